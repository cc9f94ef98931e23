//! Those who wait for backends to arrive in a state, and get the status then.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::fleet::api::command::Refusal;
use crate::fleet::member::Member;
use crate::wire::{FleetStatus, MemberState};

/// Where the answer goes.
pub(crate) type Reply = oneshot::Sender<Result<FleetStatus, Refusal>>;

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    Gone,
    Accepting,
    /// What was ordered about faults is in effect.
    FaultsSet,
}

struct Wait {
    /// Those that have not arrived.
    members: VecDeque<usize>,
    goal: Goal,
    reply: Reply,
}

/// All who wait.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Wait>);

impl Waiting {
    /// One more waits.
    pub(crate) fn add(&mut self, members: Vec<usize>, goal: Goal, reply: Reply) {
        self.0.push(Wait { members: members.into(), goal, reply });
    }

    /// Takes out those who wait no longer, each with why it failed if it has.
    pub(crate) fn take_arrived(&mut self, members: &[Member]) -> Vec<(Reply, Option<String>)> {
        let mut arrived = Vec::new();
        for mut wait in std::mem::take(&mut self.0) {
            let mut failure = None;
            wait.members.retain(|index| match progress(&members[*index], wait.goal) {
                Progress::Waits => true,
                Progress::Arrived => false,
                Progress::Failed(why) => {
                    failure = Some(why);
                    false
                }
            });
            if failure.is_some() || wait.members.is_empty() {
                arrived.push((wait.reply, failure));
            } else {
                self.0.push(wait);
            }
        }
        arrived
    }
}

enum Progress {
    Waits,
    Arrived,
    Failed(String),
}

fn progress(member: &Member, goal: Goal) -> Progress {
    let waits = match (goal, member.state) {
        (Goal::Gone, state) => state != MemberState::Gone,
        (Goal::Accepting, MemberState::Starting) => true,
        (Goal::Accepting, MemberState::Gone) => {
            return Progress::Failed(format!("failed to start {}: {}", member.generator, member.why_it_failed()));
        }
        (Goal::Accepting, _) => false,
        // One that is paused will obey before it answers anybody.
        (Goal::FaultsSet, MemberState::Paused | MemberState::Gone) => false,
        (Goal::FaultsSet, _) => member.faults_ordered > 0,
    };
    if waits { Progress::Waits } else { Progress::Arrived }
}
