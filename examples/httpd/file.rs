//! Reading and deleting a tenant's files. Runs with an lwp of the tenant current: who may see what is the kernel's to say.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use lwproc::{Errno, FileKind, OpenFlags, Stat, sys};

use super::descriptor::Descriptor;
use super::http::{
    Conditions, Content, Extent, Method, Refusal, Request, Resource, Response, Status, Validators, Verdict,
};
use super::page::{self, Listed};
use super::refusal::{Trouble, refusal};
use super::tenant::Tenant;
use super::upload;

/// The most names that a listing shows.
const MAX_LISTED: usize = 10_000;

/// A tenant's file as a request names it.
#[derive(Debug)]
pub(crate) struct Named<'r> {
    pub(crate) parts: &'r [Vec<u8>],
    /// Whether a directory is meant.
    pub(crate) slash: bool,
    pub(crate) path: std::ffi::OsString,
}

impl<'r> Named<'r> {
    /// The file that a resource names.
    ///
    /// # Errors
    /// 404: none, or one that is still being uploaded.
    pub(crate) fn of(resource: &'r Resource) -> Result<Self, Refusal> {
        match (resource, resource.path()) {
            (Resource::Tenant { parts, slash, .. }, Some(path))
                if !parts.iter().any(|part| upload::is_partial(part)) =>
            {
                Ok(Self { parts, slash: *slash, path })
            }
            _ => Err(refusal(Errno::ENOENT)),
        }
    }
}

/// `GET` and `HEAD`.
pub(crate) fn read(request: &Request, named: &Named<'_>) -> Result<Response<Descriptor>, Trouble> {
    // A FIFO without a writer would block the open.
    let file = Descriptor::open(&named.path, OpenFlags::RDONLY | OpenFlags::NONBLOCK, 0)?;
    let stat = sys::fstat(file.number())?;
    match stat.kind() {
        FileKind::Directory if named.slash => list(&request.target.resource, &file, &named.path),
        FileKind::Directory => {
            let location = request.target.with_slash().ok_or(Errno::ENOENT)?;
            Ok(Response::empty(Status::MOVED_PERMANENTLY).with("Location", location))
        }
        FileKind::Regular if named.slash => Err(Errno::ENOTDIR.into()),
        FileKind::Regular => regular(request, named, file, &stat),
        _ => Err(Refusal::new(Status::FORBIDDEN, "this is neither a file nor a directory").into()),
    }
}

fn regular(
    request: &Request,
    named: &Named<'_>,
    file: Descriptor,
    stat: &Stat,
) -> Result<Response<Descriptor>, Trouble> {
    let validators = validators(stat);
    match request.conditions.judge(&request.method, Some(&validators)) {
        Verdict::Perform => {}
        Verdict::NotModified => return Ok(describe(Response::empty(Status::NOT_MODIFIED), &validators)),
        Verdict::Failed => return Err(precondition_failed().into()),
    }
    // A range means something to GET alone.
    let wanted =
        request.range.as_ref().filter(|_| request.method == Method::Get && request.conditions.range_holds(&validators));
    let (status, first, length) = match wanted.map_or(Extent::Whole, |range| Extent::of(range, stat.size)) {
        Extent::Whole => (Status::OK, 0, stat.size),
        Extent::Part { first, length } => (Status::PARTIAL_CONTENT, first, length),
        Extent::Unsatisfiable => {
            return Err(Refusal::new(Status::RANGE_NOT_SATISFIABLE, "the file has no bytes in this range")
                .with("Content-Range", format!("bytes */{}", stat.size))
                .into());
        }
    };
    let mut response = Response { status, fields: Vec::new(), content: Content::File { file, first, length } };
    if status == Status::PARTIAL_CONTENT {
        response = response.with("Content-Range", format!("bytes {first}-{}/{}", first + length - 1, stat.size));
    }
    let response = response
        .with("Content-Type", media_type(named))
        .with("Accept-Ranges", "bytes")
        .with("X-Content-Type-Options", "nosniff");
    Ok(describe(response, &validators))
}

/// With the validators' fields.
pub(crate) fn describe(response: Response<Descriptor>, validators: &Validators) -> Response<Descriptor> {
    // Files change under their names: a browser is to ask whether it has the present version.
    let response = response.with("ETag", validators.tag().to_owned()).with("Cache-Control", "no-cache");
    match validators.last_modified() {
        Some(date) => response.with("Last-Modified", date),
        None => response,
    }
}

pub(crate) fn validators(stat: &Stat) -> Validators {
    Validators::new(stat.ino, stat.size, stat.mtime)
}

pub(crate) fn precondition_failed() -> Refusal {
    Refusal::new(Status::PRECONDITION_FAILED, "the file is not in the state that the request asks for")
}

/// By the name's extension.
fn media_type(named: &Named<'_>) -> String {
    let name = named.parts.last().map_or(Path::new(""), |name| Path::new(OsStr::from_bytes(name)));
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    if guess.type_() == mime_guess::mime::TEXT && guess.get_param(mime_guess::mime::CHARSET).is_none() {
        format!("{guess}; charset=utf-8")
    } else {
        guess.to_string()
    }
}

fn list(resource: &Resource, directory: &Descriptor, path: &OsStr) -> Result<Response<Descriptor>, Trouble> {
    let mut listed = Vec::new();
    let mut complete = true;
    'all: loop {
        let entries = sys::getdents(directory.number(), 1024)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let name = entry.name.as_bytes();
            if name == b"." || name == b".." || upload::is_partial(name) {
                continue;
            }
            if listed.len() == MAX_LISTED {
                complete = false;
                break 'all;
            }
            // A link that leads nowhere, or a directory that may be read but not searched: the name is all there is.
            let stat = sys::stat(Path::new(path).join(&entry.name)).ok();
            let kind = stat.as_ref().map_or(entry.kind, Stat::kind);
            listed.push(Listed {
                name: name.to_vec(),
                is_directory: kind == FileKind::Directory,
                size: stat.as_ref().filter(|_| kind == FileKind::Regular).map(|stat| stat.size),
                modified: stat.map(|stat| stat.mtime),
            });
        }
    }
    Ok(page::listing(resource, listed, complete).with("Cache-Control", "no-cache"))
}

/// `DELETE`.
pub(crate) fn delete(
    tenant: &Tenant,
    conditions: &Conditions,
    named: &Named<'_>,
) -> Result<Response<Descriptor>, Trouble> {
    let _step = tenant.commit.lock();
    let itself = sys::lstat(&named.path)?;
    if itself.kind() == FileKind::Directory || named.slash {
        return Err(Refusal::new(Status::CONFLICT, "this is a directory").into());
    }
    // The version that a GET tells of, or the link's own where it leads nowhere.
    let current = validators(&sys::stat(&named.path).unwrap_or(itself));
    if conditions.judge(&Method::Delete, Some(&current)) != Verdict::Perform {
        return Err(precondition_failed().into());
    }
    sys::unlink(&named.path)?;
    Ok(Response::empty(Status::NO_CONTENT))
}
