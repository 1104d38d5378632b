//! How long a peer may take.

use std::time::{Duration, Instant};

/// Bytes a second that content must come and go at, on average.
const RATE: u64 = 1024;

/// A deadline that progress moves on: the peer may stand still for `patience`, and as long as it is slower than
/// [`RATE`] it uses that up.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    deadline: Instant,
}

impl Pace {
    /// Starts now.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, deadline: Instant::now() + patience }
    }

    /// When patience ends, unless something happens.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// So many bytes have come or gone.
    pub(crate) fn progress(&mut self, bytes: usize) {
        self.progress_at(bytes, Instant::now());
    }

    fn progress_at(&mut self, bytes: usize, now: Instant) {
        // No piece is larger than a buffer, so this is far from overflowing.
        let earned = Duration::from_micros(bytes as u64 * 1_000_000 / RATE);
        self.deadline = (self.deadline + earned).min(now + self.patience);
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn a_fast_peer_gets_the_whole_patience_again_and_a_slow_one_runs_out_of_it() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let start = pace.deadline() - Duration::from_secs(10);
        let second = |n| start + Duration::from_secs(n);
        pace.progress_at(1 << 20, second(9));
        assert_eq!(pace.deadline(), second(19));
        for n in 10..19 {
            pace.progress_at(1, second(n));
        }
        assert!(pace.deadline() > second(19) && pace.deadline() < second(20));
        pace.progress_at(1024, second(19));
        assert!(pace.deadline() > second(20) && pace.deadline() < second(21));
    }
}
