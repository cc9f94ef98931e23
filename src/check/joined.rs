//! PURE. What several hosts recorded, on one time line; and what is known of their fleets as a whole.

use std::time::Duration;

use crate::check::collector::Collected;
use crate::check::fleets::Fleets;
use crate::check::session::SessionData;
use crate::wire::Moment;
use verdict::clocks::{self, Clock, HostClock};
use verdict::facts::fleets::{ChangeKind, FleetChange, FleetFacts};
use verdict::observation::{Backend, Observation};

/// A host that is gone was asked that often: what it received since it answered last is unknown.
const UNKNOWN: Duration = Duration::from_millis(100);

/// Converts the times of hosts with other clocks, and says who was behind the balancer.
pub(crate) fn join(collected: &mut Collected, observations: &[Observation], data: &SessionData) -> FleetFacts {
    let mut facts = FleetFacts::default();
    let Some(fleets) = &collected.fleets else {
        facts.see_processes(&data.received.processes, &data.names, None);
        return facts;
    };
    facts.fleets = fleets.hosts.len() as u64;
    let known: Vec<_> = fleets.instances().map(|(instance, _)| instance).collect();
    facts.see_processes(&data.received.processes, &data.names, Some(&known));
    let host_of = |backend: Backend| fleets.backends.get(usize::from(backend.0)).map_or(usize::MAX, |it| it.host);
    let clocks = clocks::read(observations, &collected.arrivals, fleets.hosts.len(), host_of);
    let received = |host: &usize| collected.arrivals.iter().any(|arrival| host_of(arrival.backend) == *host);
    // Of a host that got no request there is nothing to convert.
    let used = (0..clocks.len()).filter(received).map(|host| (&clocks[host], fleets.hosts[host].label.as_str()));
    facts.see_clocks(used);
    for arrival in &mut collected.arrivals {
        if let Some(clock) = clocks.get(host_of(arrival.backend)) {
            arrival.received = HostClock::convert(clock, arrival.received);
        }
    }
    collected.other_clocks = clocks.iter().any(|clock| clock.clock() != Clock::Same);
    facts.changes = changes(fleets, collected, data.started);
    facts
}

fn changes(fleets: &Fleets, collected: &Collected, began: Moment) -> Vec<FleetChange> {
    let seconds = |at: Moment| at.since(began).as_secs_f64() - began.since(at).as_secs_f64();
    let change = |host: usize, at: Moment, kind, why| FleetChange {
        at: seconds(at),
        host: fleets.hosts[host].label.clone(),
        backends: fleets.backends.iter().filter(|it| it.host == host).map(|it| it.name.clone()).collect(),
        kind,
        why,
    };
    let joined = collected.joined.iter().map(|(host, at)| change(*host, *at, ChangeKind::Joined, None));
    let gone = collected.gone.iter().map(|(host, at, why)| change(*host, *at, ChangeKind::Gone, Some(why.clone())));
    let mut changes: Vec<FleetChange> = joined.chain(gone).collect();
    changes.sort_by(|a, b| a.at.total_cmp(&b.at));
    changes
}

/// Times of which records of hosts that are gone are missing: from its last response on, until nobody can send to it any more.
pub(crate) fn unrecorded(gone: &[(usize, Moment, String)]) -> Vec<(Moment, Moment)> {
    gone.iter().map(|(_, answered, _)| (*answered, answered.after(UNKNOWN * 2))).collect()
}
