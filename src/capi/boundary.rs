//! Where C calls in: the one place that a panic could cross, and where it ends.

use std::any::type_name;
use std::marker::PhantomData;
use std::mem;

use crate::kernel::report;

/// Runs the body of an entry. A panic in it, which only a bug or a file of a Rust embedder's can raise, aborts the host
/// process with a report: C frames cannot be unwound.
#[inline(always)]
pub(super) fn boundary<R, F: FnOnce() -> R>(body: F) -> R {
    let guard = Boundary::<F>(PhantomData);
    let result = body();
    // Dropped by a panic alone.
    mem::forget(guard);
    result
}

/// Costs nothing as long as nobody panics.
struct Boundary<F>(PhantomData<F>);

impl<F> Drop for Boundary<F> {
    fn drop(&mut self) {
        escaped(type_name::<F>())
    }
}

/// `body` is the path of a closure in the entry.
#[cold]
fn escaped(body: &str) -> ! {
    let entry = body.rsplit("::").find(|part| !part.contains('{')).unwrap_or(body);
    fatal(&format!("a panic in {entry}, which C called"))
}

/// Reports misuse that no kernel is asked about, and aborts.
#[cold]
pub(super) fn fatal(what: &str) -> ! {
    report(&format!("lwproc: fatal: {what}"));
    std::process::abort()
}
