//! Signals that end a command before it is done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;

use crate::check::CheckWatch;

/// A signal that comes again so soon is the same: in a private copy of the machine it comes from the terminal and from the process outside.
const SAME: Duration = Duration::from_secs(1);

/// CTRL+C, SIGTERM and a closed terminal stop the check; the second time at once.
pub(crate) fn stop_on_signals(watch: &Arc<CheckWatch>) -> Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // Whoever starts a check with `nohup` wants it to outlive its terminal.
        if kind == SignalKind::hangup() && is_ignored(kind) {
            continue;
        }
        let mut signals = signal(kind).context("failed to listen to signals")?;
        let watch = watch.clone();
        spawn_local(async move {
            signals.recv().await;
            let status = 128 + kind.as_raw_value();
            watch.stop(status as u8);
            let stopped = Instant::now();
            while stopped.elapsed() < SAME {
                signals.recv().await;
            }
            // At once: what this process started ends with it, by its guards.
            #[allow(clippy::disallowed_methods, reason = "asked twice, it waits for nothing")]
            std::process::exit(status);
        });
    }
    Ok(())
}

fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
