//! Storing what a client sends. Runs with an lwp of the tenant current.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use lwproc::{Access, Errno, FileKind, Mode, OpenFlags, Stat, sys};

use super::connection::Connection;
use super::descriptor::Descriptor;
use super::file::{Named, describe, precondition_failed, validators};
use super::http::{Body, Method, Refusal, Request, Response, Status, Verdict};
use super::refusal::Trouble;
use super::server::Server;
use super::tenant::Tenant;

/// What the names of files start with that are being uploaded. Nobody is shown or served them.
const PARTIAL: &str = ".httpd-partial-";

/// Whether it is the name of a file that is being uploaded.
pub(crate) fn is_partial(name: &[u8]) -> bool {
    name.starts_with(PARTIAL.as_bytes())
}

/// `PUT`: the file is there whole or not at all. What is sent goes to a file beside it, which takes the name at the end.
pub(crate) fn store(
    server: &Server,
    connection: &mut Connection<'_>,
    request: &Request,
    body: &mut Body,
    tenant: &Tenant,
    named: &Named<'_>,
) -> Result<Response<Descriptor>, Trouble> {
    let directory = || Refusal::new(Status::CONFLICT, "this is a directory");
    if named.slash || named.parts.last().is_none_or(|name| name == b"..") {
        return Err(directory().into());
    }
    if request.is_partial {
        return Err(Refusal::bad("a part of a file cannot be stored").into());
    }
    let replaced = replaced(&named.path)?;
    judge(request, replaced.as_ref())?;
    let mut partial = Partial::create(Path::new(&named.path), replaced.as_ref())?;

    if request.expects_continue {
        connection.send_continue()?;
    }
    let mut pace = connection.pace();
    while let Some(piece) = connection.content(body, &mut pace)? {
        partial.write(piece)?;
    }
    server.sync(tenant, &partial.file)?;

    let _step = tenant.commit.lock();
    // Again: uploads take their time, and others write meanwhile.
    let replaced = self::replaced(&named.path)?;
    judge(request, replaced.as_ref())?;
    let stat = partial.rename_to(Path::new(&named.path))?;
    let status = if replaced.is_some() { Status::NO_CONTENT } else { Status::CREATED };
    Ok(describe(Response::empty(status), &validators(&stat)))
}

/// The file that is to be replaced, if there is one and the tenant may write it: taking its name away would do for the
/// directory's permissions, but a file made read-only is meant to stay.
fn replaced(path: &OsStr) -> Result<Option<Stat>, Trouble> {
    let stat = match sys::stat(path) {
        Ok(stat) => stat,
        // Whether the directory is there turns out when the upload's own file is made.
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    match stat.kind() {
        FileKind::Directory => return Err(Refusal::new(Status::CONFLICT, "this is a directory").into()),
        FileKind::Regular => sys::access(path, Access::WRITE)?,
        _ => return Err(Refusal::new(Status::FORBIDDEN, "this is not a file").into()),
    }
    Ok(Some(stat))
}

fn judge(request: &Request, replaced: Option<&Stat>) -> Result<(), Trouble> {
    match request.conditions.judge(&Method::Put, replaced.map(validators).as_ref()) {
        Verdict::Perform => Ok(()),
        _ => Err(precondition_failed().into()),
    }
}

/// A file that is being uploaded. Dropped before it has its name, it is removed.
struct Partial {
    file: Descriptor,
    /// `None` once it has its name.
    path: Option<PathBuf>,
}

impl Partial {
    /// Makes a file in the directory of `path`, with the permissions of the one that it will replace.
    fn create(path: &Path, replaced: Option<&Stat>) -> Result<Self, Trouble> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let flags = OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOFOLLOW;
        loop {
            // Relaxed: a counter. A server that was killed may have left files with the first numbers.
            let partial = path.with_file_name(format!("{PARTIAL}{}", NEXT.fetch_add(1, Ordering::Relaxed)));
            match Descriptor::open(&partial, flags, 0o666) {
                Ok(file) => {
                    let partial = Self { file, path: Some(partial) };
                    if let Some(replaced) = replaced {
                        sys::fchmod(partial.file.number(), replaced.permissions() & 0o777 as Mode)?;
                    }
                    return Ok(partial);
                }
                Err(Errno::EEXIST) => {}
                Err(Errno::ENOENT | Errno::ENOTDIR) => {
                    return Err(Refusal::new(Status::CONFLICT, "there is no directory to store it in").into());
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn write(&mut self, mut piece: &[u8]) -> Result<(), Errno> {
        while !piece.is_empty() {
            let written = sys::write(self.file.number(), piece)?;
            piece = &piece[written..];
        }
        Ok(())
    }

    /// Gives the file its name, and tells what it is now.
    fn rename_to(mut self, path: &Path) -> Result<Stat, Errno> {
        if let Some(partial) = &self.path {
            sys::rename(partial, path)?;
            self.path = None;
        }
        sys::fstat(self.file.number())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = sys::unlink(path);
        }
    }
}
