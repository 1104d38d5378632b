//! `block_on`: a future, run to its end where the caller is.

use std::future::Future;

use crate::context::Curproc;
use crate::errno::Result;
use crate::wait;

/// Runs `future` to its end, in the context of the caller: a fiber is suspended while it is pending, a plain host thread
/// parks. Within a future it holds up the whole multiplexer: await there.
///
/// Whatever [`sys::aio`](crate::sys::aio) waits for can be waited for, host descriptors and times too.
///
/// # Errors
/// `EINTR`: the process was killed, and the future, polled once more, was not ready; it has been dropped. Calls of `sys::aio`
/// that wait are ready then, with their own `EINTR`. `ENFILE`, `EMFILE`, `ENOMEM`, `ENOSPC`: the host has nothing left to
/// wait with.
///
/// # Panics
/// When the future does.
///
/// ```
/// use lwproc::{Kernel, block_on, sys};
///
/// Kernel::new()?.enter(|| {
///     let (reader, writer) = sys::pipe()?;
///     let mut buf = [0; 5];
///     let talk = async {
///         sys::aio::write(writer, b"hello").await?;
///         sys::aio::read(reader, &mut buf).await
///     };
///     assert_eq!(block_on(talk)?, Ok(5));
///     Ok::<(), lwproc::Errno>(())
/// })?;
/// # Ok::<(), lwproc::Errno>(())
/// ```
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    wait::until_ready(Curproc, future)
}
