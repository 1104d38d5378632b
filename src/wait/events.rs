//! What a descriptor can be ready for.

use bitflags::bitflags;

bitflags! {
    /// What a descriptor is ready for, with the values of `poll(2)`.
    ///
    /// ```
    /// use lwproc::Events;
    /// let asked = Events::IN | Events::OUT;
    /// // What a poll of it may answer.
    /// assert!((asked | Events::ALWAYS).contains(Events::HUP));
    /// ```
    ///
    /// Source: POSIX.1-2024, `<poll.h>`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    #[repr(transparent)]
    pub struct Events: i16 {
        /// Data, a connection or end of file can be read without blocking.
        const IN = 0x001;
        /// Priority data can be read.
        const PRI = 0x002;
        /// Data can be written without blocking.
        const OUT = 0x004;
        /// An error is pending. Reported whether asked for or not.
        const ERR = 0x008;
        /// The other side hung up. Reported whether asked for or not.
        const HUP = 0x010;
        /// The descriptor is not open. Reported whether asked for or not.
        const NVAL = 0x020;
    }
}

impl Events {
    /// Reported whether asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);
}
