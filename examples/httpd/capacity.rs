//! How much the server may do at a time, and what it needs of the host for that.

use std::num::NonZeroUsize;
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::options::{Form, Options};

/// The connections of a server that was not told how many.
const CONNECTIONS: usize = 10_000;
/// The threads of a server with a connection each that was not told how many.
const THREADS: usize = 64;
/// Descriptors of the host beside those of connections: standard streams, the listener, mounts, multiplexers.
const OTHERS: usize = 128;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) form: Form,
    /// Host threads.
    pub(crate) threads: usize,
    /// Connections that are served at a time.
    pub(crate) connections: usize,
    /// How many of them can be sent a file at the same time.
    pub(crate) files: usize,
}

impl Capacity {
    /// What the options ask for. Raises the host's limit of descriptors as far as that takes and the host lets it.
    ///
    /// # Errors
    /// What keeps the server from that many connections.
    pub(crate) fn of(options: &Options) -> Result<Self, String> {
        let now = getrlimit(Resource::Nofile);
        // No limit is as good as more than anybody has.
        let of = |limit: Option<u64>| limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let capacity = Self::within(of(now.maximum), options)?;
        let needed = descriptors(capacity.connections).min(of(now.maximum));
        if of(now.current) < needed {
            let raised = Rlimit { current: Some(needed as u64), maximum: now.maximum };
            setrlimit(Resource::Nofile, raised)
                .map_err(|error| format!("cannot raise the limit of descriptors to {needed}: {error}"))?;
        }
        Ok(capacity)
    }

    fn within(limit: usize, options: &Options) -> Result<Self, String> {
        let (form, threads) = (options.per_connection, options.threads.map(usize::from));
        let threads = match form {
            Form::Fiber => threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get)),
            Form::Thread => threads.unwrap_or(THREADS),
        };
        let asked = match (form, options.connections) {
            (Form::Fiber, asked) => asked.map(|asked| asked as usize),
            (Form::Thread, Some(asked)) if asked as usize != threads => {
                return Err("--per-connection thread serves as many connections as there are --threads".to_owned());
            }
            (Form::Thread, _) => Some(threads),
        };
        let most = most(limit);
        let connections = match asked {
            // Told how many, it takes them if every second can be sent a file, and says so.
            Some(asked) if asked + asked / 2 + OTHERS > limit => {
                return Err(format!(
                    "{asked} connections take {} to {} descriptors, but the host's limit is {limit} (ulimit -Hn): enough \
                     for {most}",
                    asked + asked / 2 + OTHERS,
                    descriptors(asked)
                ));
            }
            None if most == 0 => {
                return Err(format!("the host's limit of {limit} descriptors (ulimit -Hn) is too low"));
            }
            Some(connections) => connections,
            None => most.min(CONNECTIONS),
        };
        let files = (limit.saturating_sub(OTHERS + connections) / (EACH - 1)).min(connections);
        Ok(Self { form, threads, connections, files })
    }
}

/// What a connection takes that is being sent a file: its own descriptor, the file's, and the one by which that was found. A
/// file that lies deeper than others takes one more for each directory on the way that nobody else is sent a file from.
const EACH: usize = 3;

/// The descriptors of the host that so many connections take, if all are being sent a file.
fn descriptors(connections: usize) -> usize {
    EACH * connections + OTHERS
}

/// The connections that so many descriptors are enough for.
fn most(descriptors: usize) -> usize {
    descriptors.saturating_sub(OTHERS) / EACH
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::options::{Form, Options};
    use super::{Capacity, descriptors, most};

    fn within(limit: usize, arguments: &[&str]) -> Result<Capacity, String> {
        Capacity::within(limit, &Options::parse_from(["httpd"].iter().chain(arguments)))
    }

    #[test]
    fn it_takes_what_the_host_lets_it_unless_told() {
        let connections = |limit, arguments: &[&str]| within(limit, arguments).map(|capacity| capacity.connections);
        assert_eq!(connections(usize::MAX, &[]), Ok(10_000));
        assert_eq!(connections(1024, &[]), Ok(most(1024)));
        assert!(connections(130, &[]).is_err());
        assert_eq!(connections(usize::MAX, &["--connections", "50000"]), Ok(50_000));
        let refused = connections(4096, &["--connections", "5000"]).unwrap_err();
        assert!(refused.contains("4096") && refused.contains("5000"), "{refused}");
        let threads = |more: &[&str]| within(9999, &[&["--per-connection", "thread"], more].concat());
        assert_eq!(threads(&[]), Ok(Capacity { form: Form::Thread, threads: 64, connections: 64, files: 64 }));
        assert_eq!(threads(&["--threads", "7"]).unwrap().connections, 7);
        assert!(threads(&["--connections", "7"]).is_err());
    }

    #[test]
    fn it_knows_how_many_can_be_sent_a_file_at_a_time() {
        let files = |limit, connections| within(limit, &["--connections", connections]).unwrap().files;
        assert_eq!((files(usize::MAX, "1000"), files(3128, "1000"), files(2128, "1000")), (1000, 1000, 500));
        assert_eq!(within(1024, &[]).map(|capacity| capacity.files == capacity.connections), Ok(true));
    }

    #[test]
    fn as_many_as_fit_do_fit() {
        for limit in 0..3000 {
            let connections = most(limit);
            assert!(connections == 0 || descriptors(connections) <= limit, "{limit}");
        }
    }
}
