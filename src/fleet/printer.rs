//! Writes lines to the terminal or wherever they go, in a thread of its own: a reader that is slow, or stopped by CTRL+S, must not
//! stop the supervisor.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::spawn;
use std::time::Duration;

/// What waits to be written beyond this is dropped, and counted, if it may be.
const MAX_WAITING_BYTES: usize = 16 * 1024 * 1024;

/// How long a reader that does not read is waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OutputStream {
    /// Results: what became of the backends. Never dropped.
    Output,
    /// The log. Dropped, and counted, when nobody reads it.
    Log,
}

/// The thread that writes to the terminal, which may block.
pub(crate) struct Printer {
    lines: Option<Sender<(OutputStream, String)>>,
    waiting: Arc<AtomicUsize>,
    /// Ends when the thread has.
    end: Receiver<()>,
    dropped: u64,
}

impl Printer {
    pub(crate) fn start() -> Printer {
        let (lines, incoming) = channel::<(OutputStream, String)>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        let (ended, end) = channel::<()>();
        spawn(move || {
            let _ended = ended;
            for (stream, text) in incoming {
                // A reader that has gone away is no reason to stop a fleet.
                let _ = match stream {
                    OutputStream::Output => write_all(io::stdout().lock(), &text),
                    OutputStream::Log => write_all(io::stderr().lock(), &text),
                };
                written.fetch_sub(text.len(), Ordering::Relaxed);
            }
        });
        Printer { lines: Some(lines), waiting, end, dropped: 0 }
    }

    /// Hands over whole lines.
    pub(crate) fn print(&mut self, stream: OutputStream, text: String) {
        if text.is_empty() {
            return;
        }
        if stream == OutputStream::Log && self.waiting.load(Ordering::Relaxed) > MAX_WAITING_BYTES {
            self.dropped += text.lines().count() as u64;
            return;
        }
        self.waiting.fetch_add(text.len(), Ordering::Relaxed);
        if let Some(lines) = &self.lines {
            let _ = lines.send((stream, text));
        }
    }

    /// How many lines of the log were dropped since this was asked last.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        if self.waiting.load(Ordering::Relaxed) > MAX_WAITING_BYTES { 0 } else { std::mem::take(&mut self.dropped) }
    }
}

fn write_all(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

impl Drop for Printer {
    fn drop(&mut self) {
        drop(self.lines.take());
        // What was printed is written, unless nobody reads it.
        let _ = self.end.recv_timeout(LAST_WORDS);
    }
}
