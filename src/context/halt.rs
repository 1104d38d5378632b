//! The halt of a kernel, when its last handle is gone.

use std::sync::Arc;

use super::curlwp::cpu;
use super::{exit, nest};
use crate::kernel::Inner;
use crate::panics::{Panic, catch, go_on};
use crate::sync::{Ordering, fence};

/// Releases what nobody holds, and closes what pid 1 has open. What is held is released by who lets go of it.
pub(crate) fn halt(kernel: &Arc<Inner>) {
    // SeqCst: pairs with the fence in `leave`.
    fence(Ordering::SeqCst);
    let mut panic = None;
    reap(kernel, &mut panic);
    nest(kernel, |_| exit::end_init(kernel, &mut panic));
    exit::empty_kernel(kernel, &mut panic);
    go_on(panic);
}

/// Releases all lwps of a halted kernel that are Idle, each in spite of the others' panics.
pub(crate) fn reap(kernel: &Arc<Inner>, panic: &mut Option<Panic>) {
    for lwp in kernel.lwps.iter() {
        let Some(slot) = kernel.lwps.slot(lwp.handle) else { continue };
        let release = || {
            nest(kernel, |nested| {
                if slot.claim(lwp.handle, cpu(|cpu| cpu.host())).is_err() {
                    return;
                }
                // SAFETY: claimed just now.
                if unsafe { slot.proc() }.lwps.ending() {
                    // Left in the midst of its end, which was fatal. It stays claimed, out of everybody's reach.
                    return;
                }
                // SAFETY: claimed just now.
                unsafe { nested.run(slot) };
                // SAFETY: it is the current lwp.
                unsafe { exit::release(kernel, slot) };
            });
        };
        catch(release, panic);
    }
}
