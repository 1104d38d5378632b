//! What the server says on standard error, by a thread of its own: one who reads it slowly, or not at all, holds up nobody.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// So many lines wait to be written; what comes on top of them is counted, and lost.
const LINES: usize = 1024;

/// See the module.
struct Log {
    lines: SyncSender<String>,
    /// *Atomic*, as the others here: lines that wait, the one that is being written included.
    waiting: AtomicU64,
    /// Lines that are lost, and nothing has been said of it.
    lost: AtomicU64,
}

/// The program's one, made at the first line; `None` where the host has no thread for it.
static LOG: OnceLock<Option<Log>> = OnceLock::new();

fn log() -> Option<&'static Log> {
    let make = || {
        let (lines, written) = sync_channel(LINES);
        let thread = std::thread::Builder::new().name("httpd log".into()).spawn(move || write_all(&written));
        thread.is_ok().then(|| Log { lines, waiting: AtomicU64::new(0), lost: AtomicU64::new(0) })
    };
    LOG.get_or_init(make).as_ref()
}

/// Says a line, soon.
pub(crate) fn line(text: &str) {
    let Some(log) = log() else { return };
    // Relaxed, here and below: numbers to look at, which order nothing.
    log.waiting.fetch_add(1, Ordering::Relaxed);
    if log.lines.try_send(format!("{text}\n")).is_err() {
        log.waiting.fetch_sub(1, Ordering::Relaxed);
        log.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until all is written, for `patience` at most. Answers how many lines were lost without a word, those included that
/// still wait.
pub(crate) fn finish(patience: Duration) -> u64 {
    let Some(log) = LOG.get().and_then(Option::as_ref) else { return 0 };
    let deadline = Instant::now() + patience;
    while log.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    log.waiting.load(Ordering::Relaxed) + log.lost.load(Ordering::Relaxed)
}

/// The log's thread. That nobody reads what it writes is no reason to stop.
fn write_all(lines: &Receiver<String>) {
    let mut out = std::io::stderr();
    for line in lines {
        let Some(log) = log() else { return };
        // One write, so that lines of others do not come in between.
        let _ = out.write_all(line.as_bytes());
        log.waiting.fetch_sub(1, Ordering::Relaxed);
        let lost = log.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = out.write_all(format!("httpd: {lost} lines of the log are lost\n").as_bytes());
        }
    }
}
