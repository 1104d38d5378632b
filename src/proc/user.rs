//! Users: how many processes each real uid has in a kernel.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cred::Cred;
use crate::id::Uid;
use crate::sync::{AtomicU32, Ordering};

/// A real uid that some process has, or had.
#[derive(Debug)]
pub(crate) struct User {
    uid: Uid,
    /// *Atomic*: its processes, of which a kernel has fewer than 2^20; and one for each thread that is changing one's user.
    procs: AtomicU32,
}

impl User {
    /// Counts one more process, unless there are `limit` already.
    #[must_use]
    pub(crate) fn add_proc(&self, limit: u32) -> bool {
        // Relaxed: a count that guards no data.
        self.procs
            .fetch_update(
                Ordering::Relaxed,
                Ordering::Relaxed,
                |procs| if procs < limit { Some(procs + 1) } else { None },
            )
            .is_ok()
    }

    /// Counts one process less.
    pub(crate) fn remove_proc(&self) {
        self.procs.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who a process is, with its real uid's counter at hand, so that `rfork` need not look it up.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) cred: Cred,
    pub(crate) user: Arc<User>,
}

/// The users of a kernel. Looked up when a process changes its real uid, never on `rfork`.
#[derive(Debug)]
pub(crate) struct Users(Mutex<Known>);

#[derive(Debug)]
struct Known {
    users: HashMap<Uid, Arc<User>>,
    /// At this many, those without processes are forgotten.
    sweep_at: usize,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Known { users: HashMap::new(), sweep_at: 64 }))
    }

    /// `cred` with its real uid's user. Counts nothing.
    pub(crate) fn identify(&self, cred: Cred) -> Arc<Identity> {
        let mut known = self.0.lock();
        if known.users.len() >= known.sweep_at {
            // A user held by this map alone has no process: only identities hold users.
            known.users.retain(|_, user| Arc::strong_count(user) > 1);
            known.sweep_at = 64.max(known.users.len() * 2);
        }
        let user =
            known.users.entry(cred.ruid).or_insert_with(|| Arc::new(User { uid: cred.ruid, procs: AtomicU32::new(0) }));
        debug_assert_eq!(user.uid, cred.ruid);
        Arc::new(Identity { user: Arc::clone(user), cred })
    }
}
