//! The sample as evidence, and what it shows of load where no backend can be asked to take its time, and none keeps records: some take longer than others by
//! themselves, and a rotation goes on to them all the same.

use std::ops::Range;
use std::time::Duration;

use super::evidence::{Evidence, Flight, Pick, backends, span};
use super::flights::{Uphill, drift, uphill};
use super::inference::Inference;
use super::load::{LEAST_PACED, LoadEffect, PACE};
use super::missing::{Missing, SkipReason};
use super::order::{OrderPattern, counts};
use super::result::{BY_LOAD, ExperimentFacts};
use crate::ledger::Ledger;
use crate::observation::Backend;

/// Requests at once from which on more of them are at one worker than its own rotation takes: where each worker has
/// one of them, their rotations keep no pace together.
const AT_ONCE: usize = 16;
/// Requests that went to a backend at work while another had less to do, at the least.
const FEWEST_UPHILL: u64 = 20;

/// What requests of the sample show of load.
struct SampledLoad {
    at_once: usize,
    drift: f64,
    seen: Uphill,
}

impl SampledLoad {
    /// Whether the rotation kept its pace though what looks at load would have left it: it goes uphill as often as turns do that heed no load. What
    /// came late for another reason than its backend is seldom, and no matter: what looks at load goes uphill then alone.
    fn ignores(&self) -> bool {
        let is_as_often = self.seen.taken as f64 > self.seen.by_draw * 0.75;
        self.drift <= PACE && self.at_once >= AT_ONCE && self.seen.taken >= FEWEST_UPHILL && is_as_often
    }
}

/// Requests of the sample that are looked at in flight, at most.
const SAMPLE_FLIGHTS: u32 = 4_000;

impl Evidence {
    /// Adds the sample: which backends were selected, in the order in which requests were sent, and how the first of them were in flight.
    pub fn add_sample(&mut self, ledger: &Ledger, sample: Range<u32>, picks: &[Backend]) {
        self.sample = picks.to_vec();
        // Only where nothing could be held are they looked at.
        let asks_the_sample = self.asks_the_sample();
        if self.mixed.is_empty() && !asks_the_sample {
            return;
        }
        let head = sample.start..sample.end.min(sample.start.saturating_add(SAMPLE_FLIGHTS));
        let flight = |sequence: u32| {
            let entry = ledger.entry(sequence)?;
            let (sent, got) = (entry.observation.sent(), entry.observation.ended);
            let pick = Pick { sequence, backend: entry.observation.backend };
            let mut flight = Flight { pick, sent, from: got, to: got, got, delay: Duration::ZERO };
            if !asks_the_sample {
                let first = *entry.selected_attempt()?;
                flight.pick.backend = first.backend;
                (flight.from, flight.to) = span(ledger, &flight, &first);
            }
            Some(flight)
        };
        self.sample_flights = head.filter_map(flight).collect();
        if asks_the_sample {
            place_at_work(&mut self.sample_flights);
            self.settle_load_by_sample();
        }
    }

    /// Takes what the sample shows of load for the experiment that could not be made.
    fn settle_load_by_sample(&mut self) {
        if self.sampled_load().is_some_and(|load| load.ignores()) {
            self.missing.retain(|missing| !matches!(missing, Missing::Load(_)));
        }
    }

    /// Whether the sample shows that load does not count; nothing else can be seen there.
    pub(super) fn load_of_sample(&self, inference: &mut Inference) -> LoadEffect {
        let Some(load) = self.sampled_load() else { return LoadEffect::Unknown };
        let facts = ExperimentFacts::SampleSideBySide {
            requests: self.sample_flights.len() as u64,
            at_once: load.at_once as u64,
            drift: load.drift,
            chances: load.seen.chances,
            uphill: load.seen.taken,
            expected: load.seen.by_draw,
        };
        let ignores = load.ignores();
        inference.exclude(facts, if ignores { BY_LOAD } else { &[] });
        if ignores { LoadEffect::Ignores } else { LoadEffect::Unknown }
    }

    /// None where there is no strict rotation of new connections, or another one on one of them: what is balanced else, or by workers apart, keeps
    /// counts that the sample does not show.
    fn sampled_load(&self) -> Option<SampledLoad> {
        let orders = [&self.fresh, &self.kept].map(|picks| OrderPattern::of(&backends(picks)));
        let [fresh, kept] = orders.map(|order| match order {
            OrderPattern::Turns { period, exceptions: 0 } => counts(&period),
            _ => Vec::new(),
        });
        let is_known = |flight: &Flight| flight.pick.backend.is_known();
        let is_long = self.sample_flights.len() >= LEAST_PACED && self.sample_flights.iter().all(is_known);
        let is_another = !self.kept.is_empty() && fresh != kept;
        if fresh.is_empty() || is_another || !is_long || !self.mixed.is_empty() {
            return None;
        }
        let picks = self.sample_flights.iter().map(|flight| flight.pick.backend);
        Some(SampledLoad {
            at_once: at_once(&self.sample_flights),
            drift: drift(picks, &fresh),
            seen: uphill(&self.sample_flights, &self.failing, &fresh),
        })
    }

    /// Whether the sample alone may show whether load counts.
    fn asks_the_sample(&self) -> bool {
        self.missing.contains(&Missing::Load(SkipReason::NotOurs))
    }
}

/// The most of them in flight at the same time.
fn at_once(flights: &[Flight]) -> usize {
    let mut ends: Vec<_> = flights.iter().map(|flight| flight.got).collect();
    ends.sort_unstable();
    let mut over = 0;
    let flying = flights.iter().enumerate().map(|(number, flight)| {
        while ends.get(over).is_some_and(|end| *end <= flight.sent) {
            over += 1;
        }
        number + 1 - over
    });
    flying.max().unwrap_or(0)
}

/// From when until when each was certainly at its backend, as far as the client can know. A backend needs what its quickest response took, less what
/// the quickest of all took: that much is the way there and back, and the balancer. What else a request took may have passed before or
/// after.
fn place_at_work(flights: &mut [Flight]) {
    let quickest_of = |of: Option<Backend>| {
        let those = flights.iter().filter(|flight| of.is_none_or(|backend| flight.pick.backend == backend));
        those.map(|flight| flight.got.since(flight.sent)).min().unwrap_or_default()
    };
    let way = quickest_of(None);
    let reached = counts(&flights.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
    let quickest: Vec<(Backend, Duration)> =
        reached.into_iter().map(|(backend, _)| (backend, quickest_of(Some(backend)))).collect();
    for flight in flights {
        let own = quickest.iter().find(|(backend, _)| *backend == flight.pick.backend).map_or(way, |(_, own)| *own);
        let elsewhere = flight.got.since(flight.sent).saturating_sub(own) + way;
        flight.from = flight.sent.after(elsewhere).min(flight.got);
        flight.to = flight.got.before(elsewhere).max(flight.from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Moment;
    use crate::algorithm::Algorithm;

    /// A balancer in front of three backends, and clients of which each sends as soon as it has a response.
    struct Simulated {
        /// What a request takes at each backend, in microseconds.
        takes: [u64; 3],
        clients: usize,
        /// Workers of which each counts for itself; a client is at one of them.
        workers: usize,
        by_load: bool,
        /// Of this number of requests one is late on its way back, by 30 ms.
        late: u64,
    }

    impl Simulated {
        fn sample(&self, requests: u32) -> Vec<Flight> {
            let mut free: Vec<u64> = (0..self.clients as u64).map(|client| client * 40).collect();
            // Of each worker, when what it has in flight at each backend is over, and where its rotation goes on.
            let mut busy: Vec<[Vec<u64>; 3]> = vec![Default::default(); self.workers];
            let mut next = vec![0usize; self.workers];
            let flight = |sequence: u32| {
                let client = (0..self.clients).min_by_key(|client| free[*client]).unwrap();
                let sent = free[client];
                let worker = client % self.workers;
                let selected = sent + 100;
                busy[worker].iter_mut().for_each(|ends| ends.retain(|end| *end > selected));
                let load = |backend: usize| if self.by_load { busy[worker][backend].len() } else { 0 };
                let turn = next[worker];
                let backend = (turn..turn + 3).map(|at| at % 3).min_by_key(|backend| load(*backend)).unwrap();
                next[worker] = backend + 1;
                // Responses vary by a tenth.
                let takes = self.takes[backend] * (1_000 + u64::from(sequence) * 7_919 % 100) / 1_000;
                busy[worker][backend].push(selected + takes);
                let is_late = u64::from(sequence) * 31 % self.late == 0;
                let got = selected + takes + 100 + if is_late { 30_000 } else { 0 };
                free[client] = got + 20;
                let at = |micros: u64| Moment(micros * 1_000);
                let pick = Pick { sequence, backend: Backend(backend as u16) };
                Flight { pick, sent: at(sent), from: at(got), to: at(got), got: at(got), delay: Duration::ZERO }
            };
            (0..requests).map(flight).collect()
        }

        fn shows(&self, requests: u32) -> (LoadEffect, Vec<Missing>) {
            let seen = self.shows_beside(requests, 150);
            // Where there was no time for a long order on one connection it is the same.
            assert_eq!(self.shows_beside(requests, 0), seen);
            seen
        }

        fn shows_beside(&self, requests: u32, kept: u32) -> (LoadEffect, Vec<Missing>) {
            let picks = |count: u32| -> Vec<Pick> {
                (0..count).map(|sequence| Pick { sequence, backend: Backend((sequence % 3) as u16) }).collect()
            };
            let mut sample_flights = self.sample(requests);
            place_at_work(&mut sample_flights);
            let missing = vec![Missing::Load(SkipReason::NotOurs)];
            let mut evidence =
                Evidence { fresh: picks(200), kept: picks(kept), sample_flights, missing, ..Evidence::default() };
            evidence.settle_load_by_sample();
            let mut inference = Inference::of(None, Algorithm::RoundRobin.into());
            (evidence.load_of_sample(&mut inference), evidence.missing)
        }
    }

    const ROTATES: Simulated =
        Simulated { takes: [1_000, 20_000, 1_000], clients: 32, workers: 1, by_load: false, late: 1_000_000 };

    #[test]
    fn a_rotation_that_goes_on_to_a_slow_backend_heeds_no_load() {
        assert_eq!(ROTATES.shows(2_000), (LoadEffect::Ignores, Vec::new()));
        let late = Simulated { late: 100, ..ROTATES };
        assert_eq!(late.shows(2_000).0, LoadEffect::Ignores);
        let all_differ = Simulated { takes: [5_000, 40_000, 15_000], ..ROTATES };
        assert_eq!(all_differ.shows(2_000).0, LoadEffect::Ignores);
    }

    #[test]
    fn what_looks_at_load_is_no_rotation_however_many_workers_count_apart() {
        let left = |simulated: Simulated| {
            let seen = simulated.shows(1_000);
            assert_eq!(seen, (LoadEffect::Unknown, vec![Missing::Load(SkipReason::NotOurs)]));
        };
        for takes in [[1_000, 20_000, 1_000], [2_000, 3_000, 2_500]] {
            for clients in [2, 16, 40] {
                for workers in [1, 2, 5, 16] {
                    for late in [1_000_000, 50] {
                        left(Simulated { takes, clients, workers, by_load: true, late });
                    }
                }
            }
        }
    }

    #[test]
    fn backends_that_are_alike_or_a_few_requests_at_once_show_nothing() {
        for quiet in [
            Simulated { takes: [1_000; 3], ..ROTATES },
            Simulated { clients: 1, ..ROTATES },
            Simulated { clients: 8, ..ROTATES },
            // What seems slow is late on its way.
            Simulated { takes: [1_000; 3], late: 10, ..ROTATES },
        ] {
            assert_eq!(quiet.shows(2_000).0, LoadEffect::Unknown);
        }
        assert_eq!(ROTATES.shows(100).0, LoadEffect::Unknown);
    }
}
