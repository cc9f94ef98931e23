//! What the handlers of requests share.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use crate::fleet::api::command::{CommandSender, Stopped, SupervisorCommand};
use crate::fleet::fold::metrics::Metrics;
use crate::fleet::fold::records::RecordStore;
use tokio::sync::oneshot;

/// What a request may see and do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// A client with the token.
    Owner,
    /// Anybody on this machine: may read what is not secret.
    Reader,
}

/// What the handlers of requests share.
#[derive(Clone)]
pub(super) struct ApiState {
    pub(super) token: Arc<str>,
    /// Whether other machines can connect.
    pub(super) open: bool,
    /// Whether it shows several fleets, which keep the records.
    pub(super) is_joint: bool,
    pub(super) ask: CommandSender,
    pub(super) records: Arc<Mutex<RecordStore>>,
    pub(super) metrics: Arc<Metrics>,
    /// Whether a check that was asked for runs.
    pub(super) is_checking: Arc<AtomicBool>,
    /// Readers of the live view without the token.
    pub(super) watching: Arc<AtomicUsize>,
}

impl ApiState {
    /// Asks the supervisor's loop, and waits for its reply.
    pub(super) async fn ask<T>(
        &self,
        access: Access,
        command: impl FnOnce(oneshot::Sender<T>) -> SupervisorCommand,
    ) -> Result<T, Stopped> {
        match access {
            Access::Owner => self.ask.as_owner(command).await,
            Access::Reader => self.ask.as_reader(command).await,
        }
    }
}
