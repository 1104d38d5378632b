//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;

/// An HTTP/1.1 file server whose tenants are lwproc processes.
///
/// Without --tenant it serves alice and bob from memory, and prints commands to try.
#[derive(Debug, Parser)]
#[command(name = "httpd", version)]
pub(crate) struct Options {
    /// Address to listen on; port 0 is any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Serve the host directory DIR as /~NAME/, read-only unless :rw (repeatable). With :rw the tenant counts as the owner
    /// of all files there; otherwise it sees what everybody may read
    #[arg(long = "tenant", value_name = "NAME=DIR[:rw]")]
    pub(crate) tenants: Vec<TenantDir>,

    /// Let those who know PASSWORD write as NAME (repeatable)
    #[arg(long = "auth", value_name = "NAME:PASSWORD")]
    pub(crate) passwords: Vec<Login>,

    /// Longest content of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20)]
    pub(crate) max_body: u64,

    /// What serves a connection: a fiber, of which each host thread runs thousands, or a host thread
    #[arg(long, value_name = "WHAT", value_enum, default_value = "fiber")]
    pub(crate) per_connection: Form,

    /// Host threads; unless said one per core, or 64 with --per-connection thread
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=30_000))]
    pub(crate) threads: Option<u16>,

    /// Connections served at a time; more wait. Unless said 10000, if the host lets it have that many descriptors; with
    /// --per-connection thread as many as there are threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: Option<u32>,

    /// Descriptors that each tenant may have open; a connection takes one, a file being sent another; unless said, as many
    /// as the connections can use
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(8..))]
    pub(crate) files: Option<u16>,

    /// How long a request head may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) head_timeout: Duration,

    /// How long content may stand still, in seconds; it must also come and go at 1 KiB a second on average. A reader's TCP
    /// tells of what it read in steps, so that a response may stand still four times as long if that holds
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) body_timeout: Duration,

    /// How long a connection may wait between requests, in seconds; at most 1 while there is no room for another
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) idle_timeout: Duration,

    /// How long requests under way may take after SIGINT, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) stop_timeout: Duration,

    /// Write a line to standard error when a connection keeps its host thread from all others for longer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) watchdog: Duration,

    /// Write a line per request to standard error
    #[arg(long)]
    pub(crate) log: bool,
}

/// What serves a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    Fiber,
    Thread,
}

/// `NAME=DIR[:rw]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TenantDir {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) writable: bool,
}

impl FromStr for TenantDir {
    type Err = &'static str;

    fn from_str(argument: &str) -> Result<Self, Self::Err> {
        let (name, directory) = argument.split_once('=').ok_or("expected NAME=DIR or NAME=DIR:rw")?;
        let (directory, writable) = match directory.strip_suffix(":rw") {
            Some(directory) => (directory, true),
            None => (directory.strip_suffix(":ro").unwrap_or(directory), false),
        };
        if directory.is_empty() {
            return Err("the directory is missing");
        }
        Ok(Self { name: tenant_name(name)?, directory: directory.into(), writable })
    }
}

/// `NAME:PASSWORD`
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: String,
}

impl FromStr for Login {
    type Err = &'static str;

    fn from_str(argument: &str) -> Result<Self, Self::Err> {
        let (name, password) = argument.split_once(':').ok_or("expected NAME:PASSWORD")?;
        if password.is_empty() {
            return Err("the password is empty");
        }
        Ok(Self { name: tenant_name(name)?, password: password.to_owned() })
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Names go into URLs, paths and pages: nothing in them needs escaping, and none is a path of its own.
fn tenant_name(name: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 32 || name.starts_with('.') || !name.bytes().all(plain) {
        return Err("a tenant's name has 1 to 32 letters, digits, '.', '_' or '-', and does not start with '.'");
    }
    Ok(name.to_owned())
}

fn seconds(argument: &str) -> Result<Duration, &'static str> {
    argument
        .parse::<f64>()
        .ok()
        .filter(|seconds| (0.001..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or("expected seconds, from 0.001 to 86400")
}

#[cfg(test)]
mod tests {
    use super::{Login, Options, TenantDir};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn tenants_are_read_only_unless_said() {
        for (argument, directory, writable) in [
            ("a=/srv", "/srv", false),
            ("a=/srv:rw", "/srv", true),
            ("a=/srv:ro", "/srv", false),
            ("a=x:y=z:rw", "x:y=z", true),
        ] {
            let tenant: TenantDir = argument.parse().unwrap();
            assert_eq!((tenant.directory.to_str().unwrap(), tenant.writable), (directory, writable), "{argument}");
        }
        for argument in ["", "a", "=/srv", "a=", "a=:rw", "../a=/srv", "a/b=/srv", ".a=/srv", "a b=/srv", "<a>=/srv"] {
            assert!(argument.parse::<TenantDir>().is_err(), "{argument}");
        }
    }

    #[test]
    fn passwords_may_hold_colons_and_are_not_shown() {
        let login: Login = "a:b:c".parse().unwrap();
        assert_eq!(login.password, "b:c");
        assert!(!format!("{login:?}").contains("b:c"));
        assert!("a:".parse::<Login>().is_err() && "a".parse::<Login>().is_err());
    }

    #[test]
    fn nonsense_on_the_command_line_is_refused() {
        for arguments in [
            ["--threads", "0"],
            ["--connections", "0"],
            ["--per-connection", "process"],
            ["--max-body", "-1"],
            ["--listen", "nowhere"],
            ["--idle-timeout", "nan"],
            ["--head-timeout", "0"],
        ] {
            assert!(Options::try_parse_from(["httpd"].into_iter().chain(arguments)).is_err(), "{arguments:?}");
        }
    }
}
