//! How a check goes, for those who wait for it; and how they stop it.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::check::load::LoadProgress;

/// What a person who waits sees of a check.
pub(crate) struct CheckWatch {
    /// Progress of the sample.
    pub(crate) progress: Arc<LoadProgress>,
    /// Requests that the sample will have; 0 if that is not known.
    pub(crate) total: AtomicU64,
    /// The current phase, as progress shows it.
    pub(crate) phase: Mutex<&'static str>,
    /// The exit status of whoever stopped it.
    stop: watch::Sender<Option<u8>>,
}

impl Default for CheckWatch {
    fn default() -> CheckWatch {
        CheckWatch {
            progress: Arc::default(),
            total: AtomicU64::new(0),
            phase: Mutex::new(""),
            stop: watch::Sender::new(None),
        }
    }
}

impl CheckWatch {
    pub(crate) fn enter(&self, phase: &'static str) {
        if let Ok(mut now) = self.phase.lock() {
            *now = phase;
        }
    }

    /// Requests of the check until now, those before the sample with them.
    pub(crate) fn sent(&self) -> u64 {
        self.progress.probed() + self.progress.sent()
    }

    /// Something that whoever waits should know at once.
    pub(crate) fn announce(&self, line: &str) {
        // The line before may be a progress bar.
        let clear = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{line}");
    }

    /// Ends the check: nothing is judged any more.
    pub(crate) fn stop(&self, status: u8) {
        self.progress.stop();
        self.stop.send_if_modified(|stop| stop.is_none() && stop.replace(status).is_none());
    }

    /// Returns when somebody has stopped it.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as this.
        let _ = stop.wait_for(Option::is_some).await;
    }

    /// The exit status that goes with it.
    pub(crate) fn stopped_with(&self) -> u8 {
        self.stop.borrow().unwrap_or_default()
    }

    /// Begins anew, for the next check of a run.
    pub(crate) fn restart(&self) {
        self.total.store(0, Ordering::Relaxed);
    }
}
