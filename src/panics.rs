//! Panics of code that is not this crate's: each is caught where it occurs, so that all else goes on.
//!
//! One that somebody is to see is kept, and goes on when all is done ([`catch`], [`go_on`]). One that nobody would see (a
//! waker's, that of a value which somebody else drops) is [told](tell) to a hook, and ends there. The hook is that of a
//! kernel, which those above this layer find: the first kernel that is entered says how ([`tell_by`]).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

/// What a panic carries.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Finds the hook, and calls it.
type Teller = fn(&(dyn Any + Send));

static TELLER: OnceLock<Teller> = OnceLock::new();

/// Says how panics are told. The first one to say so is obeyed.
pub(crate) fn tell_by(teller: Teller) {
    // The others said the same.
    let _ = TELLER.set(teller);
}

/// Runs `f`, and keeps its panic if it is the first. Whether there was none.
pub(crate) fn catch(f: impl FnOnce(), first: &mut Option<Panic>) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(panic) => {
            match first {
                None => *first = Some(panic),
                Some(_) => tell(panic),
            }
            false
        }
    }
}

/// Lets a panic that was kept go on, unless the thread is panicking already, which would abort.
pub(crate) fn go_on(panic: Option<Panic>) {
    match panic {
        Some(panic) if std::thread::panicking() => tell(panic),
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

/// Runs `f`. A panic of it is told, and ends here.
#[inline]
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        tell(panic);
    }
}

/// Tells a panic that nobody will see to the hook. It has ended then: neither the hook nor the payload's drop may go on
/// with one of their own.
#[cold]
pub(crate) fn tell(panic: Panic) {
    // What panics in a model is the model that fails.
    if cfg!(loom) && !std::thread::panicking() {
        resume_unwind(panic);
    }
    if let Some(teller) = TELLER.get() {
        forget_panic_of(|| teller(&*panic));
    }
    forget_panic_of(|| drop(panic));
}

/// [`tell`] for a panic that was kept, if one was.
pub(crate) fn tell_any(panic: Option<Panic>) {
    if let Some(panic) = panic {
        tell(panic);
    }
}

/// The payload is not dropped: that might panic again, without end.
fn forget_panic_of(f: impl FnOnce()) {
    std::mem::forget(catch_unwind(AssertUnwindSafe(f)));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;

    use super::{catch, contain, go_on};

    /// Panics when it is dropped, with another of its kind, as often as it says.
    struct OnDrop(u32, Arc<()>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            if let Some(left) = self.0.checked_sub(1) {
                panic_any(OnDrop(left, Arc::clone(&self.1)));
            }
        }
    }

    #[test]
    fn a_payload_that_panics_in_its_drop_ends_here() {
        let counted = Arc::new(());
        for depth in 0..3 {
            contain(|| panic_any(OnDrop(depth, Arc::clone(&counted))));
        }
        let mut first = None;
        for _ in 0..3 {
            assert!(!catch(|| panic_any(OnDrop(1, Arc::clone(&counted))), &mut first));
        }
        // Not dropped here, where it would panic.
        std::mem::forget(first);
    }

    #[test]
    fn panics_are_contained_while_the_thread_unwinds() {
        struct Unwound;
        impl Drop for Unwound {
            fn drop(&mut self) {
                let mut first = None;
                contain(|| panic!("told"));
                assert!(!catch(|| panic!("kept"), &mut first));
                go_on(first);
            }
        }
        let mut first = None;
        catch(
            || {
                let _unwound = Unwound;
                panic!("the first");
            },
            &mut first,
        );
        assert_eq!(first.unwrap().downcast_ref(), Some(&"the first"));
    }
}
