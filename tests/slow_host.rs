//! A file system of the host's that takes its time holds up nobody but who asks it. Passed over where FUSE is not to be had.

#[path = "common/temp.rs"]
mod temp;

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner, ReplyAttr,
    ReplyData, ReplyDirectory, ReplyEntry, Request,
};
use lwproc::{Errno, Kernel, MountOptions, Mux, OpenFlags, ProcOptions, Result, mux, sys};
use parking_lot::{Condvar, Mutex};
use temp::Temp;

const CONTENTS: &[u8] = b"after a while";

/// Closed, it lets no request be answered.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock() = closed;
        self.changed.notify_all();
    }

    /// Not for ever: a test that hangs says nothing. Then it is open, which the test sees.
    fn pass(&self) {
        let mut closed = self.closed.lock();
        while *closed {
            if self.changed.wait_for(&mut closed, Duration::from_secs(20)).timed_out() {
                *closed = false;
            }
        }
    }
}

/// A directory with one file in it, `file`.
struct Gated(Arc<Gate>);

fn attributes(ino: INodeNo) -> FileAttr {
    let dir = ino == INodeNo::ROOT;
    FileAttr {
        ino,
        size: if dir { 0 } else { CONTENTS.len() as u64 },
        blocks: 1,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: if dir { FileType::Directory } else { FileType::RegularFile },
        perm: 0o755,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        flags: 0,
        blksize: 512,
    }
}

impl Filesystem for Gated {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.0.pass();
        if name == "file" {
            reply.entry(&Duration::ZERO, &attributes(INodeNo(2)), Generation(0));
        } else {
            reply.error(fuser::Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.0.pass();
        reply.attr(&Duration::ZERO, &attributes(ino));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        _: u32,
        _: fuser::OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.0.pass();
        reply.data(CONTENTS.get(offset as usize..).unwrap_or_default());
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.0.pass();
        if offset == 0 {
            let _ = reply.add(INodeNo(2), 1, FileType::RegularFile, "file");
        }
        reply.ok();
    }
}

/// A kernel with that directory at `/slow`.
fn boot(gate: &Arc<Gate>, temp: &Temp) -> Option<(Kernel, BackgroundSession)> {
    let mounted = fuser::spawn_mount(Gated(Arc::clone(gate)), &temp.0, &Config::default());
    let Ok(session) = mounted else {
        eprintln!("passed over: no FUSE here");
        return None;
    };
    let kernel = Kernel::new().unwrap();
    kernel.enter(|| sys::mkdir("/slow", 0o755)).unwrap();
    kernel.mount("/slow", temp.dir(), MountOptions::new()).unwrap();
    Some((kernel, session))
}

/// Whether a neighbour has its turns while `ask` waits, and `ask` gets what it asks for.
fn neighbours_go_on<T: Send + 'static>(
    kernel: &Kernel,
    gate: &Arc<Gate>,
    ask: impl FnOnce() -> Result<T> + Send + 'static,
) -> T {
    gate.set(true);
    let mut mux = Mux::new(kernel).unwrap();
    let lwp = || kernel.spawn(ProcOptions::new()).unwrap();
    let mut asks = mux.spawn_fiber(lwp(), ask).unwrap();
    let opens = Arc::clone(gate);
    let mut neighbour = mux
        .spawn_fiber(lwp(), move || {
            (0..1000).for_each(|_| mux::yield_now());
            let held = *opens.closed.lock();
            opens.set(false);
            held
        })
        .unwrap();
    mux.run().unwrap();
    assert!(neighbour.join().unwrap(), "the neighbour had no turns before the gate opened by itself");
    asks.join().unwrap().unwrap()
}

#[test]
fn what_asks_a_slow_file_system_waits_alone() {
    let (gate, temp) = (Arc::new(Gate::default()), Temp::new());
    let Some((kernel, session)) = boot(&gate, &temp) else { return };
    assert_eq!(neighbours_go_on(&kernel, &gate, || sys::stat("/slow/file")).size, CONTENTS.len() as u64);
    assert_eq!(neighbours_go_on(&kernel, &gate, || Ok(sys::stat("/slow/none"))), Err(Errno::ENOENT));
    let read = || {
        let fd = sys::open("/slow/file", OpenFlags::empty(), 0)?;
        let mut buf = [0; 64];
        let read = sys::read(fd, &mut buf)?;
        // The offset has moved.
        assert_eq!(sys::read(fd, &mut buf[read..])?, 0);
        sys::close(fd)?;
        Ok(buf[..read].to_vec())
    };
    assert_eq!(neighbours_go_on(&kernel, &gate, read), CONTENTS);
    let list = || sys::getdents(sys::open("/slow", OpenFlags::empty(), 0)?, 10);
    let names: Vec<_> = neighbours_go_on(&kernel, &gate, list).into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["file"]);
    // In the implicit context, off a multiplexer, it is asked as ever.
    assert_eq!(kernel.enter(|| sys::stat("/slow/file")).unwrap().size, CONTENTS.len() as u64);
    drop(session);
}

#[test]
fn a_killed_reader_of_a_slow_file_system_is_told_at_once() {
    let (gate, temp) = (Arc::new(Gate::default()), Temp::new());
    let Some((kernel, session)) = boot(&gate, &temp) else { return };
    gate.set(true);
    let mut mux = Mux::new(&kernel).unwrap();
    let lwp = kernel.spawn(ProcOptions::new()).unwrap();
    let pid = lwp.pid();
    let mut asks = mux.spawn_fiber(lwp, || sys::stat("/slow/file")).unwrap();
    let (theirs, opens) = (kernel.clone(), Arc::clone(&gate));
    let mut kills = mux
        .spawn_fiber(kernel.spawn(ProcOptions::new()).unwrap(), move || {
            mux::yield_now();
            theirs.kill(pid).unwrap();
            (0..10).for_each(|_| mux::yield_now());
            *opens.closed.lock()
        })
        .unwrap();
    mux.run().unwrap();
    assert!(kills.join().unwrap(), "the gate opened by itself");
    assert_eq!(asks.join().unwrap().map(|stat| stat.size), Err(Errno::EINTR));
    gate.set(false);
    drop(session);
}
