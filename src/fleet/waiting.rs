//! Those who wait for backends to arrive in a state, and get the status then.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::fleet::api::command::CommandRefusal;
use crate::fleet::backend::FleetBackend;
use crate::wire::{BackendState, FleetStatus};

/// Sends the response to a command of the API.
pub(crate) type ReplySender = oneshot::Sender<Result<FleetStatus, CommandRefusal>>;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Gone,
    Accepting,
    /// What was ordered about faults is in effect.
    FaultsSet,
}

struct PendingCommand {
    /// Backends that have not reached the goal.
    backends: VecDeque<usize>,
    goal: Goal,
    reply: ReplySender,
}

/// Commands that wait until backends have reached a state.
#[derive(Default)]
pub(crate) struct Waiters(Vec<PendingCommand>);

impl Waiters {
    pub(crate) fn add(&mut self, backends: Vec<usize>, goal: Goal, reply: ReplySender) {
        self.0.push(PendingCommand { backends: backends.into(), goal, reply });
    }

    /// Takes out those who wait no longer, each with why it failed if it has.
    pub(crate) fn take_arrived(&mut self, backends: &[FleetBackend]) -> Vec<(ReplySender, Option<String>)> {
        let mut arrived = Vec::new();
        for mut wait in std::mem::take(&mut self.0) {
            let mut failure = None;
            wait.backends.retain(|index| match progress(&backends[*index], wait.goal) {
                WaitProgress::Waits => true,
                WaitProgress::Arrived => false,
                WaitProgress::Failed(why) => {
                    failure = Some(why);
                    false
                }
            });
            if failure.is_some() || wait.backends.is_empty() {
                arrived.push((wait.reply, failure));
            } else {
                self.0.push(wait);
            }
        }
        arrived
    }
}

enum WaitProgress {
    Waits,
    Arrived,
    Failed(String),
}

fn progress(backend: &FleetBackend, goal: Goal) -> WaitProgress {
    let waits = match (goal, backend.state) {
        (Goal::Gone, state) => state != BackendState::Gone,
        (Goal::Accepting, BackendState::Starting) => true,
        (Goal::Accepting, BackendState::Gone) => {
            return WaitProgress::Failed(format!("failed to start {}: {}", backend.name, backend.why_it_failed()));
        }
        (Goal::Accepting, _) => false,
        // One that is paused will obey before it answers anybody.
        (Goal::FaultsSet, BackendState::Paused | BackendState::Gone) => false,
        (Goal::FaultsSet, _) => backend.faults_ordered > 0,
    };
    if waits { WaitProgress::Waits } else { WaitProgress::Arrived }
}
