//! How long a peer may take.

use std::time::{Duration, Instant};

/// Bytes a second that content must come and go at, on average.
const RATE: u64 = 1024;

/// How many times as long as content may stand still a response may, if the bytes taken before it make up for that at
/// [`RATE`]. A peer's TCP tells of what was read in steps, of a segment or a part of its buffer: up to 64 KiB, which take a
/// minute at that rate.
const STEPS: u32 = 4;

/// A deadline that progress moves on: the peer may stand still for `patience`, and as long as it is slower than
/// [`RATE`] it uses that up.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Duration,
    deadline: Instant,
    /// Bytes that were written.
    sent: u64,
    /// What of them was taken when last looked at. Below 0: what was written before them was not all taken.
    taken: i64,
}

impl Pace {
    /// Starts now.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, deadline: Instant::now() + patience, sent: 0, taken: 0 }
    }

    /// When patience ends, unless something happens.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When to look at what was taken: nothing else tells of it as long as the host's buffer is full.
    pub(crate) fn next_look(&self) -> Instant {
        self.deadline.min(Instant::now() + self.patience / 4)
    }

    /// So many bytes have come.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.progress(bytes as u64, Instant::now(), self.patience);
    }

    /// So many bytes were written. That is not yet progress: the host's buffer lies between.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Of all that was written so many bytes are not taken yet.
    pub(crate) fn untaken(&mut self, bytes: u64) {
        self.untaken_at(bytes, Instant::now());
    }

    fn untaken_at(&mut self, bytes: u64, now: Instant) {
        let taken = self.sent.cast_signed().saturating_sub_unsigned(bytes);
        let more = u64::try_from(taken - self.taken).unwrap_or(0);
        self.taken = taken;
        self.progress(more, now, self.patience * STEPS);
    }

    fn progress(&mut self, bytes: u64, now: Instant, most: Duration) {
        let earned = Duration::from_micros(bytes.saturating_mul(1_000_000) / RATE);
        // A deadline that is later already stays: it was earned.
        self.deadline = (self.deadline + earned).min((now + most).max(self.deadline));
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
        pace.progress(1 << 20, second(9), Duration::from_secs(10));
        assert_eq!(pace.deadline(), second(19));
        for n in 10..19 {
            pace.progress(1, second(n), Duration::from_secs(10));
        }
        assert!(pace.deadline() > second(19) && pace.deadline() < second(20));
        pace.progress(1024, second(19), Duration::from_secs(10));
        assert!(pace.deadline() > second(20) && pace.deadline() < second(21));
    }

    #[test]
    fn what_is_written_counts_when_it_is_taken_and_makes_up_for_standing_still() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let start = pace.deadline() - Duration::from_secs(10);
        let second = |n| start + Duration::from_secs(n);
        // 20 KiB that the one before it left; then 1 MiB is written, and nothing of all that is taken.
        pace.sent(1 << 20);
        pace.untaken_at((1 << 20) + (20 << 10), second(1));
        assert_eq!(pace.deadline(), second(10));
        pace.untaken_at(1 << 20, second(5));
        assert_eq!(pace.deadline(), second(30));
        // It stands still: that earns nothing.
        pace.untaken_at(1 << 20, second(29));
        assert_eq!(pace.deadline(), second(30));
        // A fast one does not earn more than the steps of its TCP are worth.
        pace.untaken_at(0, second(29));
        assert_eq!(pace.deadline(), second(69));
    }
}
