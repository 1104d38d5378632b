//! How a panic that nobody sees comes to the hook of the current kernel.

use std::any::Any;
use std::sync::Arc;

use crate::context::curlwp::cpu;

/// Tells the hook of the kernel that the calling host thread is in, if it is in one that has a hook.
pub(crate) fn tell(panic: &(dyn Any + Send)) {
    // Taken out by count: the hook is anybody's code, and may leave the kernel.
    // SAFETY: a thread in a kernel keeps its memory.
    let hook =
        cpu(|cpu| unsafe { cpu.kernel.get().as_ref() }.and_then(|kernel| kernel.panic_hook.as_ref().map(Arc::clone)));
    if let Some(hook) = hook {
        hook(panic);
    }
}
