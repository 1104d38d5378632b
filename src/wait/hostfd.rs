//! A descriptor of the host that can be waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sync::{AtomicBool, AtomicUsize, Ordering, thread};
use crate::wait::events::Events;

/// A descriptor of the host that a [`Watch`](crate::Watch) can wait for.
///
/// ```
/// use std::sync::Arc;
/// use std::task::Waker;
/// use lwproc::{Events, HostFd, Watch};
///
/// let (reader, _writer) = std::io::pipe()?;
/// let reader = Arc::new(HostFd::new(reader.into()));
/// let mut watch = Watch::new(Waker::noop());
/// watch.host(&reader, Events::IN);
/// assert_eq!(watch.host_fds().len(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// It remembers which host thread found it *dry*: nothing to read, or no room to write. A multiplexer of that thread has
/// been told of every change since, as soon as it knows the descriptor, and need not ask the host again before it waits.
/// That only holds on one thread: what another found dry may have changed in between, and its change been told.
///
/// And it remembers which host thread *was told* by the host that it is ready, for one who waited for that: he need not
/// ask again. It is said once, and not after anything was read or written.
#[derive(Debug)]
pub struct HostFd {
    fd: OwnedFd,
    /// *Atomic*: for reading, the token of the thread that found it dry, or that and [`TOLD`]; 0 for none. Relaxed, as
    /// `output` is: a thread relies on its own stores alone, and if another's came between it asks the host once too often.
    input: AtomicUsize,
    /// *Atomic*: the same for writing.
    output: AtomicUsize,
    /// *Atomic*: whether the host has told of more than data and room, such as that no more will come. Relaxed, as above.
    ends: AtomicBool,
}

/// Makes a thread that was told of one that found dry.
const TOLD: usize = 1;

impl HostFd {
    /// Takes `fd` over; it is closed with the last reference.
    pub fn new(fd: OwnedFd) -> Self {
        Self { fd, input: AtomicUsize::new(0), output: AtomicUsize::new(0), ends: AtomicBool::new(false) }
    }

    /// An attempt of this host thread's for `events` was `EAGAIN`, or it asked the host, and none of them was there.
    pub(crate) fn found_dry(&self, events: Events) {
        self.set(events, thread::token());
    }

    /// Something was read or written, and it is not known what is left.
    pub(crate) fn used(&self, events: Events) {
        self.set(events, 0);
    }

    /// The host tells of a change: `events` it is ready for, of which somebody on this host thread waited for `awaited`.
    /// `ends`: and of something else, which a look will find.
    pub(crate) fn changed(&self, events: Events, awaited: Events, ends: bool) {
        if ends {
            self.ends.store(true, Ordering::Relaxed);
        }
        self.set(events, 0);
        self.set(events & awaited, thread::token() | TOLD);
    }

    /// Whether the host has told of something beside data and room.
    pub(crate) fn ends(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    fn set(&self, events: Events, word: usize) {
        if events.contains(Events::IN) {
            self.input.store(word, Ordering::Relaxed);
        }
        if events.contains(Events::OUT) {
            self.output.store(word, Ordering::Relaxed);
        }
    }

    /// Which of `events` it is ready for, if that is known on this host thread without asking the host. That it is ready
    /// is known once.
    pub(crate) fn known(&self, events: Events) -> Option<Events> {
        if events.is_empty() || !(Events::IN | Events::OUT).contains(events) {
            return None;
        }
        let here = thread::token();
        let mut ready = Events::empty();
        for (event, word) in [(Events::IN, &self.input), (Events::OUT, &self.output)] {
            if events.contains(event) {
                match word.load(Ordering::Relaxed) {
                    found if found == here => {}
                    told if told == here | TOLD => ready |= event,
                    _ => return None,
                }
            }
        }
        self.set(ready, 0);
        Some(ready)
    }
}

impl AsFd for HostFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<OwnedFd> for HostFd {
    fn from(fd: OwnedFd) -> Self {
        Self::new(fd)
    }
}
