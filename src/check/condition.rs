//! The condition in which a check finds a fleet that outlives it, and in which its steps leave it.

use std::collections::BTreeMap;

use crate::fleets::Fleets;
use crate::wire::{BackendState, BackendStatus};

/// More are not named one by one.
const MOST: usize = 5;

/// What is broken, with the names of the backends.
#[derive(Default)]
pub(crate) struct Condition(BTreeMap<Broken, Vec<String>>);

/// What is broken in backends of one fleet, and the option that names the fleet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Broken(Breakage, String);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Breakage {
    /// As they are typed.
    Faults(String),
    State(BackendState),
}

impl Condition {
    /// As it is now. A fleet that does not respond has none.
    pub(crate) async fn of(fleets: &Fleets) -> Condition {
        let mut condition = Condition::default();
        for (host, status) in fleets.hosts.iter().zip(fleets.statuses().await) {
            let Ok(status) = status else { continue };
            let is_usual = fleets.hosts.len() == 1 && host.remote.is_own();
            let fleet = if is_usual { String::new() } else { format!(" --fleet {}", host.remote.control()) };
            for backend in status.backends {
                for broken in Broken::of(&backend, &fleet) {
                    condition.0.entry(broken).or_default().push(backend.name.clone());
                }
            }
        }
        condition
    }

    /// The faults that a check finds: its figures show them.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> {
        let faults = self.0.iter().filter(|(broken, _)| matches!(broken.0, Breakage::Faults(_)));
        faults.map(|(broken, names)| format!("from before the check: {}", broken.describe(names)))
    }

    /// What was not so before.
    pub(crate) fn since(&self, before: &Condition) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(|(broken, names)| {
            let had = before.0.get(broken).map_or(&[][..], Vec::as_slice);
            let new: Vec<String> = names.iter().filter(|name| !had.contains(name)).cloned().collect();
            (!new.is_empty()).then(|| format!("left by the steps: {}", broken.describe(&new)))
        })
    }
}

impl Broken {
    fn of(backend: &BackendStatus, fleet: &str) -> impl Iterator<Item = Broken> {
        let faults: Vec<String> = backend.faults.iter().map(ToString::to_string).collect();
        let faults = (!faults.is_empty()).then(|| Breakage::Faults(faults.join(", ")));
        let is_up = matches!(backend.state, BackendState::Starting | BackendState::Ready);
        let state = (!is_up).then_some(Breakage::State(backend.state));
        faults.into_iter().chain(state).map(|breakage| Broken(breakage, fleet.to_owned()))
    }

    /// What is broken, where, and what ends it.
    fn describe(&self, names: &[String]) -> String {
        let (listed, typed) = match names {
            [first, .., last] if names.len() > MOST => {
                (format!("{} backends, {first} to {last}", names.len()), String::new())
            }
            _ => (names.join(", "), format!(" {}", names.join(","))),
        };
        let Broken(breakage, fleet) = self;
        let (what, command) = match breakage {
            Breakage::Faults(faults) => (format!("{faults} at {listed}"), format!("fault{typed} clear")),
            Breakage::State(state) => {
                let command = match state {
                    BackendState::Unready => "ready",
                    BackendState::Paused => "resume",
                    _ => "start",
                };
                (format!("{listed} {state}"), format!("fleet {command}{typed}"))
            }
        };
        format!("{what}; to end it: uuid-generator {command}{fleet}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Fault, sample};

    fn condition(backends: &[(u16, BackendState, &[&str])]) -> Condition {
        let mut condition = Condition::default();
        for (port, state, faults) in backends {
            let faults: Vec<Fault> = faults.iter().map(|fault| fault.parse().expect("a fault")).collect();
            let backend = BackendStatus { faults, state: *state, ..sample::backend(*port) };
            for broken in Broken::of(&backend, "") {
                condition.0.entry(broken).or_default().push(backend.name.clone());
            }
        }
        condition
    }

    #[test]
    fn what_was_broken_before_is_found_and_what_steps_broke_is_left() {
        use BackendState::{Gone, Paused, Ready};
        let before = condition(&[(9001, Ready, &[]), (9002, Ready, &["status:503:10%"]), (9003, Gone, &[])]);
        let found: Vec<String> = before.faults().collect();
        assert_eq!(
            found,
            ["from before the check: status:503:10% at 9002; to end it: uuid-generator fault 9002 clear"]
        );
        assert_eq!(before.since(&before).count(), 0);
        let after = condition(&[(9001, Paused, &["hang"]), (9002, Ready, &["status:503:10%"]), (9003, Ready, &[])]);
        let left: Vec<String> = after.since(&before).collect();
        assert_eq!(
            left,
            [
                "left by the steps: hang at 9001; to end it: uuid-generator fault 9001 clear",
                "left by the steps: 9001 paused; to end it: uuid-generator fleet resume 9001",
            ]
        );
    }
}
