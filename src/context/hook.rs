//! How a panic that nobody sees comes to the hook of the current kernel.

use std::any::Any;

use super::curlwp::cpu;
use crate::kernel::Inner;

/// Tells the hook of the kernel that the calling context is in, if it is in one that has a hook.
pub(crate) fn tell(panic: &(dyn Any + Send)) {
    // SAFETY: a context in a kernel has its memory kept. The hook is taken out by count: it is anybody's code, and may leave it.
    let hook = unsafe { cpu(|cpu| cpu.context()).kernel.as_ref() }.and_then(Inner::panic_hook);
    if let Some(hook) = hook {
        hook(panic);
    }
}
