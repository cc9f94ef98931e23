//! The signals that end a fleet.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

/// The signals that stop this process.
pub(crate) struct Stops {
    interrupt: SignalStream,
    terminate: SignalStream,
    hangup: SignalStream,
}

impl Stops {
    pub(crate) fn listen() -> Result<Stops> {
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Stops {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}
