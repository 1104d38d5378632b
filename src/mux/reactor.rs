use crate::errno::*;
use crate::watch::Events;
use polling::Poller;
use std::os::fd::*;
use std::sync::Arc;
use std::task::Waker;
use std::time::*;
pub(super) struct Reactor(Arc<Poller>);
impl Reactor {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(Arc::new(Poller::new().map_err(|_| Errno::EMFILE)?)))
    }
    pub(super) fn notifier(&self) -> Arc<Poller> {
        self.0.clone()
    }
    pub(super) fn watch(&self, _fd: &Arc<OwnedFd>, _e: Events, _w: &Waker) -> Result<u64> {
        Err(Errno::ENOSYS)
    }
    pub(super) fn leave(&self, _k: u64) {}
    pub(super) fn is_idle(&self) -> bool {
        true
    }
    pub(super) fn poll(&self, t: Option<Duration>, _w: &mut Vec<Waker>) -> Result<()> {
        let mut ev = polling::Events::new();
        self.0.wait(&mut ev, t).map_err(|_| Errno::EIO)?;
        Ok(())
    }
}
