//! The rule of the fleets: the check knows every backend behind the balancer, from the first request to the last.

use crate::facts::fleets::{FleetFacts, SharedName, Stranger};
use crate::facts::responses::ObservedProcess;
use crate::finding::{self, Finding, Level};
use crate::rules::case::Case;

pub(crate) fn judge(case: &Case) -> Option<Finding> {
    let facts = case.fleets;
    let level = match facts.is_settled() && facts.unjoined.is_empty() {
        true if facts.half_width.is_none() && facts.fleets < 2 => return None,
        true => Level::Note,
        false => Level::Inconclusive,
    };
    let unordered = case.tally.unordered;
    Some(Finding::new(level, finding::Facts::Fleets(FleetFacts { unordered, ..facts.clone() })))
}

/// What a rule says that depends on who takes part cannot fail a balancer where that is not known.
pub(crate) fn soften(case: &Case, findings: &mut [Finding]) {
    if case.fleets.is_settled() {
        return;
    }
    for finding in findings {
        let depends = matches!(
            finding.facts,
            finding::Facts::Shares(_)
                | finding::Facts::Split(_)
                | finding::Facts::Reach(_)
                | finding::Facts::Algorithm(_)
                | finding::Facts::Backups(_)
                | finding::Facts::Rotation(_)
                | finding::Facts::Stickiness(_)
        );
        if depends && finding.level == Level::Fail {
            finding.level = Level::Inconclusive;
        }
    }
}

impl FleetFacts {
    /// Notes which processes responded. `known` are those of the fleets; none without fleets, and then only names that several
    /// processes share can be told.
    pub fn see_processes(
        &mut self,
        processes: &[ObservedProcess],
        names: &[String],
        known: Option<&[crate::Instance]>,
    ) {
        let name_of = |process: &ObservedProcess| names.get(usize::from(process.backend.0)).cloned();
        for (place, process) in processes.iter().enumerate() {
            let Some(name) = name_of(process) else { continue };
            let is_stranger = known.is_some_and(|known| !known.contains(&process.instance));
            if is_stranger {
                match self.strangers.iter_mut().find(|stranger| stranger.name == name) {
                    Some(stranger) => {
                        stranger.processes += 1;
                        stranger.responses += process.responses;
                    }
                    None => self.strangers.push(Stranger { name, processes: 1, responses: process.responses }),
                }
                continue;
            }
            // One that replaces another responds after it, never between its responses.
            let overlaps = |other: &&ObservedProcess| {
                other.backend == process.backend && other.first < process.last && process.first < other.last
            };
            let shares = known.is_none() && processes[..place].iter().any(|other| overlaps(&other));
            if shares && !self.shared_names.iter().any(|shared| shared.name == name) {
                let all = processes.iter().filter(|other| other.backend == process.backend).count();
                self.shared_names.push(SharedName { name, processes: all as u64 });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Backend;
    use crate::{Instance, Moment};

    fn process(instance: u64, backend: u16, first: u64, last: u64) -> ObservedProcess {
        let (first, last) = (Moment(first), Moment(last));
        ObservedProcess { instance: Instance(instance), backend: Backend(backend), responses: 10, first, last }
    }

    fn seen(processes: &[ObservedProcess], known: Option<&[Instance]>) -> FleetFacts {
        let mut facts = FleetFacts::default();
        facts.see_processes(processes, &["9001".to_owned(), "9002".to_owned()], known);
        facts
    }

    #[test]
    fn processes_that_no_fleet_knows_are_strangers_whatever_they_call_themselves() {
        let processes = [process(1, 0, 0, 9), process(2, 1, 0, 9), process(3, 1, 0, 9), process(4, 1, 0, 9)];
        let facts = seen(&processes, Some(&[Instance(1), Instance(2)]));
        assert_eq!(facts.strangers, [Stranger { name: "9002".to_owned(), processes: 2, responses: 20 }]);
        assert!(!facts.is_settled() && facts.shared_names.is_empty());
        assert!(seen(&processes[..2], Some(&[Instance(1), Instance(2)])).is_settled());
    }

    #[test]
    fn replicas_with_one_name_respond_at_once_and_a_restarted_backend_does_not() {
        let replicas = [process(1, 0, 0, 90), process(2, 0, 1, 91), process(3, 0, 2, 92), process(4, 1, 0, 90)];
        assert_eq!(seen(&replicas, None).shared_names, [SharedName { name: "9001".to_owned(), processes: 3 }]);
        let restarted = [process(1, 0, 0, 40), process(2, 0, 50, 90), process(3, 1, 0, 90)];
        assert!(seen(&restarted, None).is_settled());
    }
}
