//! What several hosts recorded, on one time line; and what is known of their fleets as a whole.

use std::collections::HashSet;
use std::time::Duration;

use crate::check::collector::{Collected, GoneHost};
use crate::check::session::SessionData;
use crate::fleets::{Fleets, KnownBackend};
use crate::wire::Moment;
use verdict::clocks::{self, Clock, Responses};
use verdict::facts::fleets::{ChangeKind, FleetChange, FleetFacts};
use verdict::ledger::RecordClock;
use verdict::observation::{Backend, Observation};
use verdict::timeline::Avoidance;

/// What is known of the hosts of a run.
pub(crate) struct JoinedHosts {
    pub(crate) facts: FleetFacts,
    /// How far times are known, by the place of the backend; empty if all hosts have the client's clock.
    pub(crate) clocks: Vec<RecordClock>,
    /// Times of which records are missing.
    pub(crate) unrecorded: Vec<(Moment, Moment)>,
}

/// Converts the times of hosts with other clocks, and says who was behind the balancer, which may keep away that long from what failed, if
/// that is known.
pub(crate) fn join(
    collected: &mut Collected,
    observations: &mut [Observation],
    data: &SessionData,
    keeps_away: Option<Avoidance>,
) -> JoinedHosts {
    let mut facts = FleetFacts::default();
    let Some(fleets) = &collected.fleets else {
        facts.see_processes(&data.received.processes, &data.names, None);
        return JoinedHosts { facts, clocks: Vec::new(), unrecorded: Vec::new() };
    };
    facts.fleets = fleets.hosts.len() as u64;
    let named = |is_meant: &dyn Fn(&KnownBackend) -> bool| -> Vec<String> {
        fleets.backends.iter().filter(|backend| is_meant(backend)).map(|backend| backend.name.clone()).collect()
    };
    facts.unsteady = named(&|backend| !backend.is_steady || backend.may_be_avoided(keeps_away));
    facts.unwell = named(&|backend| backend.may_be_avoided(keeps_away));
    facts.slow = named(&|backend| backend.is_slow);
    let known: Vec<_> = fleets.instances().map(|(instance, _)| instance).collect();
    facts.see_processes(&data.received.processes, &data.names, Some(&known));
    let hosts = &collected.hosts;
    let host_of = |backend: Backend| hosts.get(usize::from(backend.0)).copied().flatten();
    correct_names(collected, observations, host_of);
    clocks::read(observations, &collected.arrivals, &mut collected.clocks, host_of);
    let known: Vec<Clock> = collected.clocks.iter().map(clocks::HostClock::clock).collect();
    collected.other_clocks = known.iter().any(|clock| *clock != Clock::Same);
    let mut half_widths = vec![Some(Duration::ZERO); known.len()];
    if collected.other_clocks {
        let responses = Responses::of(observations, &collected.arrivals);
        for arrival in &mut collected.arrivals {
            let Some(host) = host_of(arrival.backend) else { continue };
            let Some(clock) = known.get(host).filter(|clock| **clock != Clock::Same) else { continue };
            let converted = collected.clocks[host].convert(*clock, arrival.received);
            half_widths[host] = half_widths[host].zip(converted.half_width).map(|(known, this)| known.max(this));
            arrival.received = converted.moment;
            // Whoever got the response knows more: it was received between both.
            if let Some(observation) = responses.find(arrival) {
                arrival.received =
                    arrival.received.clamp(observation.sent(), observation.ended.max(observation.sent()));
            }
        }
        for lived in &mut collected.lived {
            let Some(host) = host_of(lived.backend) else { continue };
            let Some(clock) = known.get(host) else { continue };
            lived.began = collected.clocks[host].convert(*clock, lived.began).moment;
            lived.ended = collected.clocks[host].convert(*clock, lived.ended).moment;
        }
        for (host, half_width) in half_widths.iter().enumerate() {
            match half_width {
                Some(Duration::ZERO) => {}
                Some(half) => facts.half_width = Some(facts.half_width.unwrap_or_default().max(half.as_secs_f64())),
                None => facts.unjoined.push(fleets.hosts[host].label.clone()),
            }
        }
    }
    let clock = |host: &Option<usize>| RecordClock {
        // What no fleet has, has no records.
        host: host.map_or(u32::MAX, |host| host as u32),
        half_width: host.and_then(|host| half_widths.get(host).copied().flatten()).unwrap_or(Duration::MAX),
    };
    let clocks = if collected.other_clocks { hosts.iter().map(clock).collect() } else { Vec::new() };
    facts.changes = changes(fleets, collected, data.started);
    let unrecorded = collected.gone.iter().map(|gone| (gone.responded, gone.ended.unwrap_or(Moment(u64::MAX))));
    JoinedHosts { unrecorded: unrecorded.collect(), facts, clocks }
}

/// Of a process that joined the client knew the name alone, which may be another's as well: its records say which backend it is.
fn correct_names(collected: &Collected, observations: &mut [Observation], host_of: impl Fn(Backend) -> Option<usize>) {
    let joined: HashSet<usize> = collected.joined.iter().map(|(host, _)| *host).collect();
    if joined.is_empty() {
        return;
    }
    let responses = Responses::of(observations, &collected.arrivals);
    let of_joined =
        collected.arrivals.iter().filter(|arrival| host_of(arrival.backend).is_some_and(|host| joined.contains(&host)));
    let found: Vec<(usize, Backend)> =
        of_joined.filter_map(|arrival| Some((responses.place(arrival)?, arrival.backend))).collect();
    found.into_iter().for_each(|(place, backend)| observations[place].backend = backend);
}

fn changes(fleets: &Fleets, collected: &Collected, began: Moment) -> Vec<FleetChange> {
    let seconds = |at: Moment| at.since(began).as_secs_f64() - began.since(at).as_secs_f64();
    let change = |host: usize, at: Moment, kind, why| FleetChange {
        at: seconds(at),
        host: fleets.hosts[host].label.clone(),
        backends: fleets.hosts[host].names.clone(),
        kind,
        why,
    };
    let joined = collected.joined.iter().map(|(host, at)| change(*host, *at, ChangeKind::Joined, None));
    let gone = collected.gone.iter();
    let gone = gone
        .map(|GoneHost { host, responded, why, .. }| change(*host, *responded, ChangeKind::Gone, Some(why.clone())));
    let mut changes: Vec<FleetChange> = joined.chain(gone).collect();
    changes.sort_by(|a, b| a.at.total_cmp(&b.at));
    changes
}
