//! Host files, with those of the host as oracle.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::task::Waker;

use rustix::pipe::pipe;

use super::*;

/// A new file of the host without a name.
fn unnamed() -> fs::File {
    rustix::fs::memfd_create("host", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into()
}

fn wrap(file: &fs::File) -> HostFile {
    HostFile::new(file.try_clone().unwrap().into()).unwrap()
}

#[test]
fn a_regular_file_is_used_at_positions_and_keeps_the_hosts_own() {
    let mut host = unnamed();
    host.write_all(b"0123456789").unwrap();
    host.seek(SeekFrom::Start(3)).unwrap();
    let file = wrap(&host);
    assert!(file.seekable());
    let mut buf = [0; 4];
    assert_eq!(file.read_at(&mut buf, 8), Ok(2));
    assert_eq!(&buf[..2], b"89");
    assert_eq!(file.read_at(&mut buf, 10), Ok(0));
    assert_eq!(file.read_at(&mut buf, u64::MAX), Err(Errno::EINVAL));
    assert_eq!(file.write_at(b"ab", 12), Ok(2));
    assert_eq!(file.append(b"cd"), Ok((2, 16)));
    assert_eq!(host.stream_position().unwrap(), 3);
    let mut rest = Vec::new();
    host.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"3456789\0\0abcd");
    file.set_len(1).unwrap();
    file.sync().unwrap();
    assert_eq!(host.metadata().unwrap().len(), 1);
    assert_eq!(file.poll(Events::IN | Events::OUT | Events::PRI, None), Events::IN | Events::OUT);
}

#[test]
fn threads_that_append_lose_nothing() {
    let host = unnamed();
    let file = wrap(&host);
    std::thread::scope(|scope| {
        for byte in [b'a', b'b'] {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..500 {
                    assert_eq!(file.append(&[byte; 3]).map(|(written, _)| written), Ok(3));
                }
            });
        }
    });
    let mut all = vec![0; 4000];
    assert_eq!(file.read_at(&mut all, 0), Ok(3000));
    assert!(all[..3000].chunks(3).all(|run| run[0] == run[1] && run[1] == run[2]));
}

#[test]
fn a_stream_over_a_regular_file_moves_the_hosts_position() {
    let mut host = unnamed();
    host.write_all(b"abcdef").unwrap();
    host.rewind().unwrap();
    let file = HostFile::stream(host.try_clone().unwrap().into()).unwrap();
    assert!(!file.seekable());
    assert_eq!(file.read_at(&mut [0; 2], 0), Ok(2));
    assert_eq!(file.write_at(b"X", 0), Ok(1));
    assert_eq!(host.stream_position().unwrap(), 3);
}

#[test]
fn attributes_are_the_hosts() {
    let host = unnamed();
    let (ours, theirs) = (wrap(&host).stat().unwrap(), host.metadata().unwrap());
    assert_eq!((ours.dev, ours.ino, ours.mode), (theirs.dev(), theirs.ino(), theirs.mode()));
    assert_eq!((ours.nlink, ours.uid, ours.gid), (theirs.nlink(), theirs.uid(), theirs.gid()));
    assert_eq!((ours.size, ours.blocks, ours.blksize), (theirs.len(), theirs.blocks(), theirs.blksize()));
    assert_eq!(ours.mtime, theirs.modified().unwrap());
}

#[test]
fn a_time_before_the_epoch_is_told_as_the_host_means_it() {
    let host = unnamed();
    let time = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
    host.set_modified(time).unwrap();
    assert_eq!(wrap(&host).stat().unwrap().mtime, time);
}

/// A blocking pipe of the host, as the standard streams often are.
fn blocking_pipe() -> (HostFile, HostFile) {
    let (reader, writer) = pipe().unwrap();
    (HostFile::new(reader).unwrap(), HostFile::new(writer).unwrap())
}

#[test]
fn a_blocking_pipe_of_the_host_does_not_block() {
    for nowait in [true, false] {
        let (reader, writer) = blocking_pipe();
        reader.nowait.store(nowait, Ordering::Relaxed);
        writer.nowait.store(nowait, Ordering::Relaxed);
        let mut buf = vec![0; 100_000];
        assert_eq!(reader.read_at(&mut buf, 0), Err(Errno::EAGAIN));
        assert_eq!(reader.poll(Events::IN, None), Events::empty());
        let mut written = 0;
        let full = loop {
            match writer.write_at(&buf, 0) {
                Ok(len) => written += len,
                Err(error) => break error,
            }
        };
        assert_eq!((written, full), (65_536, Errno::EAGAIN));
        assert_eq!(reader.poll(Events::IN, None), Events::IN);
        assert_eq!(writer.poll(Events::OUT, None), Events::empty());
        let read = reader.read_at(&mut buf, 0).unwrap();
        assert!(read > 0);
        drop(writer);
        while reader.read_at(&mut buf, 0).unwrap() > 0 {}
        assert_eq!(reader.poll(Events::IN, None), Events::HUP);
        let flags = rustix::fs::fcntl_getfl(&reader).unwrap();
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
}

#[test]
fn a_pipe_without_a_reader_is_broken() {
    for nowait in [true, false] {
        let (reader, writer) = blocking_pipe();
        writer.nowait.store(nowait, Ordering::Relaxed);
        drop(reader);
        assert_eq!(writer.write_at(b"x", 0), Err(Errno::EPIPE));
        assert_eq!(writer.poll(Events::OUT, None), Events::OUT | Events::ERR);
    }
}

#[test]
fn only_what_is_not_ready_is_handed_to_the_watch() {
    let (reader, writer) = blocking_pipe();
    let mut watch = Watch::new(Waker::noop());
    writer.poll(Events::OUT, Some(&mut watch));
    assert!(watch.host_fds().is_empty());
    reader.poll(Events::IN, Some(&mut watch));
    let watched: Vec<_> = watch.host_fds().iter().map(|(fd, events)| (fd.as_fd().as_raw_fd(), *events)).collect();
    assert_eq!(watched, [(reader.as_fd().as_raw_fd(), Events::IN)]);
}

#[test]
fn a_terminal_is_read_only_when_a_line_is_there() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
    let terminal = HostFile::new(terminal).unwrap();
    let mut buf = [0; 16];
    assert_eq!(terminal.read_at(&mut buf, 0), Err(Errno::EAGAIN));
    rustix::io::write(&master, b"half").unwrap();
    assert_eq!(terminal.read_at(&mut buf, 0), Err(Errno::EAGAIN));
    rustix::io::write(&master, b"\n").unwrap();
    assert_eq!(terminal.poll(Events::IN, None), Events::IN);
    assert_eq!(terminal.read_at(&mut buf, 0), Ok(5));
    assert_eq!(terminal.write_at(b"out", 0), Ok(3));
}

#[test]
fn a_file_without_a_kind_is_a_stream() {
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let event = HostFile::new(event).unwrap();
    assert_eq!(event.read_at(&mut [0; 8], 0), Err(Errno::EAGAIN));
    assert_eq!(event.write_at(&7_u64.to_ne_bytes(), 0), Ok(8));
    assert_eq!(event.write_at(&[0; 3], 0), Err(Errno::EINVAL));
    let mut value = [0; 8];
    assert_eq!(event.read_at(&mut value, 0), Ok(8));
    assert_eq!(u64::from_ne_bytes(value), 7);
}

#[test]
fn a_directory_is_listed_from_any_position() {
    let dir = std::env::temp_dir().join(format!("lwproc-host-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let mut expected = vec![".".to_owned(), "..".to_owned()];
    for n in 0..300 {
        let name = format!("file-with-a-rather-long-name-{n}");
        fs::write(dir.join(&name), "").unwrap();
        expected.push(name);
    }
    let file = HostFile::new(fs::File::open(&dir).unwrap().into()).unwrap();
    let list = |from: u64| {
        let (mut at, mut entries) = (from, Vec::new());
        while let Some((entry, next)) = file.read_dir(at).unwrap() {
            entries.push((entry.name.into_string().unwrap(), next));
            at = next;
        }
        entries
    };
    let mut all = list(0);
    let (_, middle) = all[150].clone();
    assert_eq!(list(middle), all[151..]);
    all.sort();
    expected.sort();
    assert_eq!(all.iter().map(|(name, _)| name).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    assert_eq!(file.read_at(&mut [0], 0), Err(Errno::EISDIR));
    assert_eq!(file.read_dir(u64::MAX).unwrap_err(), Errno::EINVAL);
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_waiter_with_edges_does_not_ask_the_host_what_this_thread_has_found() {
    let (reader, writer) = pipe().unwrap();
    let reader = HostFile::new(reader).unwrap();
    let read = || reader.read_at(&mut [0], 0).is_err();
    let look = || reader.poll(Events::IN, None).is_empty();
    for finds_nothing in [&read as &dyn Fn() -> bool, &look] {
        assert!(finds_nothing());
        rustix::io::write(&writer, b"x").unwrap();
        let mut watch = Watch::with_edges(Waker::noop());
        assert_eq!(reader.poll(Events::IN, Some(&mut watch)), Events::empty());
        assert_eq!(watch.host_fds().len(), 1, "so the edge will tell");
        assert_eq!(reader.poll(Events::IN, Some(&mut Watch::new(Waker::noop()))), Events::IN);
        // Told of a change, it asks.
        reader.fd.changed(Events::IN, Events::empty(), false);
        assert_eq!(reader.poll(Events::IN, Some(&mut Watch::with_edges(Waker::noop()))), Events::IN);
        assert_eq!(reader.read_at(&mut [0; 2], 0), Ok(1));
    }
}
