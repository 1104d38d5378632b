//! Panics of the embedder's code, kept while what must be done in spite of them is done.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What a panic carries.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Runs `f`, and keeps its panic if it is the first. Whether there was none.
pub(crate) fn catch(f: impl FnOnce(), first: &mut Option<Panic>) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(panic) => {
            match first {
                None => *first = Some(panic),
                // Not dropped: a payload's drop is anybody's code, and may panic.
                Some(_) => std::mem::forget(panic),
            }
            false
        }
    }
}

/// Lets a panic that was kept go on, unless the thread is panicking already, which would abort.
pub(crate) fn go_on(panic: Option<Panic>) {
    match panic {
        Some(panic) if std::thread::panicking() => std::mem::forget(panic),
        Some(panic) => resume_unwind(panic),
        None => {}
    }
}

/// Drops each of `things` in spite of the others' panics, and keeps the first of those.
pub(crate) fn drop_each<T>(things: impl IntoIterator<Item = T>, first: &mut Option<Panic>) {
    for thing in things {
        catch(|| drop(thing), first);
    }
}
