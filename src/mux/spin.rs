//! How long to spin before sleeping: as long as that has paid off lately.

use std::hint;
use std::time::{Duration, Instant};

/// A sleep that a wake ends sooner than this would have been better spun away.
const SHORT: Duration = Duration::from_micros(50);
/// Where spinning begins again after it was given up.
const FIRST: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Spin {
    /// The most looks of one spin.
    limit: u32,
    /// How many looks the next one takes.
    looks: u32,
}

impl Spin {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, looks: limit.min(FIRST) }
    }

    /// Looks whether something has `come`, for a while. Twice as long from now on if it came, half as long if not.
    pub(super) fn spin(&mut self, come: impl Fn() -> bool) -> bool {
        for _ in 0..self.looks {
            if come() {
                self.looks = self.looks.saturating_mul(2).min(self.limit);
                return true;
            }
            hint::spin_loop();
        }
        self.looks /= 2;
        false
    }

    /// Learns from a sleep that began at `since` and was ended by a wake.
    pub(super) fn slept(&mut self, since: Instant) {
        if since.elapsed() < SHORT {
            self.looks = self.looks.saturating_mul(2).clamp(self.limit.min(FIRST), self.limit);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::{FIRST, Spin};

    fn looks(spin: &mut Spin, come: bool) -> u32 {
        let looks = Cell::new(0);
        spin.spin(|| {
            looks.set(looks.get() + 1);
            come
        });
        looks.get()
    }

    #[test]
    fn spinning_in_vain_ends_and_begins_again_with_short_sleeps() {
        let mut spin = Spin::new(1000);
        assert_eq!(looks(&mut spin, false), FIRST);
        while looks(&mut spin, false) > 0 {}
        assert_eq!(looks(&mut spin, false), 0);
        spin.slept(Instant::now());
        assert_eq!(looks(&mut spin, true), 1);
        assert_eq!(looks(&mut spin, false), 2 * FIRST);
    }

    #[test]
    fn a_limit_of_nothing_never_spins() {
        let mut spin = Spin::new(0);
        spin.slept(Instant::now());
        assert_eq!(looks(&mut spin, false), 0);
    }
}
