//! A case for tests of rules: requests as they went, and the algorithm as it was inferred.

use uuid::Uuid;

use crate::algorithm::{Algorithm, Inference};
use crate::arrived::{OtherRequests, RequestChanges};
use crate::facts::responses::ReceivedResponses;
use crate::ledger::{Arrival, BackendRecords, Ledger};
use crate::observation::{Backend, ClientOutcome, Echo, Observation};
use crate::report::Outage;
use crate::request::{Differences, Sent};
use crate::rules::case::{Case, DETECTION, Drill, Urls};
use crate::rules::expectations::Expectations;
use crate::tally::Tally;
use crate::timeline::OutageWindow;
use crate::{AttemptEnd, Moment};

/// Requests, a microsecond after each other.
pub(crate) struct Rig {
    pub(crate) observations: Vec<Observation>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) inference: Inference,
    pub(crate) expectations: Expectations,
    pub(crate) backends: usize,
    pub(crate) drill: Drill,
    pub(crate) varied: bool,
    pub(crate) outage: Option<Outage>,
    pub(crate) windows: Vec<OutageWindow>,
    pub(crate) received: ReceivedResponses,
    /// Requests before those that are judged.
    pub(crate) warm_up: u32,
}

/// An inference that is certain of its name, or of none.
pub(crate) fn inference(kind: Option<Algorithm>) -> Inference {
    Inference {
        kind,
        or: Vec::new(),
        label: kind.map_or("not known", Algorithm::label).to_owned(),
        per_connection: false,
        is_unit_known: true,
        key: None,
        turns: None,
        weights: Vec::new(),
        rotations: None,
        exceptions: 0,
        breaks: None,
        excludes_others: false,
        evidence: Vec::new(),
        hint: None,
    }
}

impl Rig {
    pub(crate) fn of(backends: usize, kind: Option<Algorithm>) -> Rig {
        Rig {
            observations: Vec::new(),
            arrivals: Vec::new(),
            inference: inference(kind),
            expectations: Expectations::default(),
            backends,
            drill: Drill::None,
            varied: false,
            outage: None,
            windows: Vec::new(),
            received: ReceivedResponses::default(),
            warm_up: 0,
        }
    }

    /// A request of a client that this backend answered, at that microsecond.
    pub(crate) fn send(&mut self, client: u32, backend: u16, microseconds: u64) -> &mut Rig {
        let sequence = self.observations.len() as u32;
        let (sent, answer) = (Moment(microseconds * 1000), Uuid::from_u128(u128::from(sequence) + 1));
        self.observations.push(Observation {
            due: sent,
            ended: Moment(sent.0 + 300),
            response: answer,
            waited: 0,
            client,
            backend: Backend(backend),
            status: 200,
            outcome: ClientOutcome::Response,
            echo: Echo::Own,
            reused: true,
            flaw: None,
        });
        self.arrivals.push(Arrival {
            received: Moment(sent.0 + 100),
            response: answer,
            sequence,
            took: 1,
            backend: Backend(backend),
            status: 200,
            end: AttemptEnd::Completed,
            differences: Differences::default(),
        });
        self
    }

    /// The latest request was tried there before, and failed.
    pub(crate) fn after_failure_at(&mut self, backend: u16) {
        let mut failed = *self.arrivals.last().expect("a request was sent");
        (failed.backend, failed.response) =
            (Backend(backend), Uuid::from_u128(u128::from(failed.sequence) + (1 << 64)));
        (failed.received, failed.end) = (Moment(failed.received.0 - 50), AttemptEnd::CutOff);
        self.arrivals.push(failed);
    }

    pub(crate) fn sends(mut self, backends: impl IntoIterator<Item = u16>) -> Rig {
        for backend in backends {
            let at = self.observations.len() as u64;
            self.send(0, backend, at);
        }
        self
    }

    pub(crate) fn judge<T>(&self, rule: impl FnOnce(&Case) -> T) -> T {
        let ledger = Ledger::join(self.observations.clone(), self.arrivals.clone(), BackendRecords::Kept);
        let tally = Tally::of(&ledger, self.warm_up, self.warm_up..self.observations.len() as u32);
        let names: Vec<String> = (0..self.backends).map(|place| (9001 + place).to_string()).collect();
        rule(&Case {
            ledger: &ledger,
            tally: &tally,
            names: &names,
            backends: self.backends,
            expectations: &self.expectations,
            inference: &self.inference,
            gaps: &[],
            fleets: &Default::default(),
            changes: &RequestChanges::default(),
            received: &self.received,
            others: &OtherRequests::default(),
            identity: None,
            limit: None,
            sent: Sent { method: "GET", target: "/", host: None, body: None, fields: &[] },
            judged: self.warm_up.into(),
            urls: Urls::default(),
            detection: DETECTION,
            sample: self.warm_up..self.observations.len() as u32,
            steps: &[],
            outages: &self.windows,
            sampled: (Moment(0), Moment(u64::MAX)),
            health_checks: 0,
            own_fleet: false,
            drill: self.drill,
            tls: &Default::default(),
            varied: self.varied,
            run: 1,
            began: Moment(0),
            streams: None,
        })
    }
}

/// Independent draws by weight, the same in each run of the tests (xorshift64*).
pub(crate) fn draws(weights: &[u32], count: usize, seed: u64) -> Vec<u16> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let sum: u32 = weights.iter().sum();
    let mut draw = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let mut left = (((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) * u64::from(sum)) >> 32) as u32;
        let place = weights.iter().position(|weight| {
            let here = left < *weight;
            left = left.saturating_sub(*weight);
            here
        });
        place.unwrap_or(0) as u16
    };
    (0..count).map(|_| draw()).collect()
}
