//! `Mutex`: one at a time.

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use pin_project_lite::pin_project;

use super::latch::{Glance, Latch};
use super::waiters::{Line, Wait, Waiters};
use crate::context::Curproc;
use crate::errno::{Errno, Result};
use crate::wait::{self, turn};

/// A value that one at a time may use: a fiber, a future or a host thread, over waits of any kind.
///
/// An unlock hands the mutex to whoever has waited longest, so that one who locks it again and again keeps nobody from
/// it. A guard belongs to no host thread; it may be kept over an `await`, and dropped elsewhere. Who locks a mutex that
/// he holds waits for himself, until he is killed.
///
/// There is no poisoning: a guard dropped by a panic unlocks, as in most of the field (parking_lot, tokio), since a lwp
/// that is killed or cancelled is an ordinary event, which must not spoil what others share. Who cannot leave the value
/// in order in the middle mends it when unwinding.
///
/// ```
/// use std::sync::Arc;
/// use lwproc::blocking::Mutex;
/// use lwproc::{Kernel, Mux, ProcOptions, mux};
///
/// let kernel = Kernel::new()?;
/// let mut mux = Mux::new(&kernel)?;
/// let total = Arc::new(Mutex::new(0));
/// for _ in 0..10 {
///     let total = Arc::clone(&total);
///     mux.spawn_fiber(kernel.spawn(ProcOptions::new())?, move || {
///         let mut total = total.lock()?;
///         let seen = *total;
///         mux::yield_now(); // the others wait
///         *total = seen + 1;
///         Ok::<(), lwproc::Errno>(())
///     })?;
/// }
/// mux.run()?;
/// assert_eq!(*total.lock()?, 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mutex<T: ?Sized> {
    turns: Latch<Turns>,
    /// *Whose turn it is.*
    value: UnsafeCell<T>,
}

// SAFETY: one at a time uses the value, from any thread.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// Whether it is held, and who waits. Nobody waits for what is not held.
struct Turns {
    held: bool,
    waiters: Waiters<()>,
}

/// To be seen without the latch: it is held.
const HELD: u32 = 2;

impl Glance for Turns {
    #[inline]
    fn glance(&self) -> u32 {
        if self.held { HELD } else { 0 }
    }
}

impl Line<()> for Turns {
    fn line(&mut self) -> &mut Waiters<()> {
        &mut self.waiters
    }
}

impl Turns {
    /// Holds it, unless somebody else does.
    #[inline]
    fn hold(&mut self) -> Option<()> {
        (!std::mem::replace(&mut self.held, true)).then_some(())
    }
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub fn new(value: T) -> Self {
        Self { turns: Latch::new(Turns { held: false, waiters: Waiters::new() }), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody holds it, and does. A process that was killed still gets what it need not wait for.
    ///
    /// # Errors
    /// `EINTR`: the process was killed, in the wait or before.
    pub fn lock(&self) -> Result<MutexGuard<'_, T>> {
        self.wait(None)
    }

    /// As [`lock`](Self::lock), until `deadline` at most.
    ///
    /// # Errors
    /// As there. `ETIMEDOUT`: somebody still held it at `deadline`.
    pub fn lock_until(&self, deadline: Instant) -> Result<MutexGuard<'_, T>> {
        self.wait(Some(deadline))
    }

    #[inline]
    fn wait(&self, deadline: Option<Instant>) -> Result<MutexGuard<'_, T>> {
        turn::spend();
        match self.try_lock() {
            Ok(guard) => Ok(guard),
            Err(_) => wait::until_woken(Curproc, deadline, pin!(self.lock_async())),
        }
    }

    /// [`lock`](Self::lock) as a future. Dropped, it has not locked, or has unlocked.
    pub fn lock_async(&self) -> impl Future<Output = MutexGuard<'_, T>> {
        Lock { mutex: self, wait: Wait::new(&self.turns, ()) }
    }

    /// Holds it, if nobody does.
    ///
    /// # Errors
    /// `EBUSY`: somebody does.
    #[inline]
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>> {
        if self.turns.glance() & HELD == 0 && self.turns.latch().hold().is_some() {
            return Ok(self.guard());
        }
        Err(Errno::EBUSY)
    }

    /// The value, which nobody else can be using.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// For whoever has come to hold it.
    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, _value: PhantomData }
    }

    /// Hands it to the one that has waited longest, or lets go of it.
    #[inline]
    fn unlock(&self) {
        let mut turns = self.turns.latch();
        let next = turns.waiters.settle_first(|()| ());
        turns.held = next.is_some();
        drop(turns);
        if let Some(((), waker)) = next {
            waker.wake();
        }
    }
}

pin_project! {
    struct Lock<'m, T: ?Sized> {
        mutex: &'m Mutex<T>,
        #[pin]
        wait: Wait<'m, Turns, ()>,
    }

    impl<T: ?Sized> PinnedDrop for Lock<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let (true, ()) = this.wait.leave() {
                this.mutex.unlock();
            }
        }
    }
}

impl<'m, T: ?Sized> Future for Lock<'m, T> {
    type Output = MutexGuard<'m, T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let hopeless = this.mutex.turns.glance() & HELD != 0;
        if !hopeless {
            ready!(turn::poll_spend(cx));
        }
        this.wait.poll(cx, hopeless, |turns, ()| turns.hold()).map(|_| this.mutex.guard())
    }
}

/// A [`Mutex`] held. Dropped, it is unlocked.
#[must_use = "dropped at once, it is unlocked at once"]
pub struct MutexGuard<'m, T: ?Sized> {
    mutex: &'m Mutex<T>,
    /// It can be shared where the value can.
    _value: PhantomData<&'m mut T>,
}

impl<'m, T: ?Sized> MutexGuard<'m, T> {
    /// What it holds.
    pub(super) fn mutex(&self) -> &'m Mutex<T> {
        self.mutex
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this holds the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this holds the mutex, and is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mutex = f.debug_struct("Mutex");
        match self.try_lock() {
            Ok(guard) => mutex.field("value", &&*guard),
            Err(_) => mutex.field("value", &format_args!("<locked>")),
        };
        mutex.finish()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}
