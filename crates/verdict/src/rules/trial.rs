//! A run without a network, for tests of rules: requests are added one by one, with what both ends saw, and the algorithm as it was
//! inferred.

use std::time::Duration;

use uuid::Uuid;

use crate::algorithm::{Algorithm, Inference, Selection};
use crate::arrived::{ArrivedRequest, OtherRequests, RequestChanges};
use crate::attempt::WayNumber;
use crate::facts::fleets::FleetFacts;
use crate::facts::records::RecordGap;
use crate::facts::responses::ReceivedResponses;
use crate::facts::tls::KnownTls;
use crate::finding::{Facts, Finding, Level};
use crate::ledger::{Arrival, BackendRecords, Ledger, OF_ANOTHER_CHECK, RecordClock, UNNUMBERED, is_numbered};
use crate::limit::RateLimit;
use crate::notes::{Note, Notes};
use crate::observation::{Backend, ClientOutcome, Echo, Observation};
use crate::report::Outage;
use crate::request::{Differences, FieldMask, RequestPart, Sent, SentBody};
use crate::rules::case::{Case, Drill, Urls};
use crate::rules::expectations::Expectations;
use crate::streams::Streams;
use crate::tally::{Judged, Tally};
use crate::timeline::{OutageWindow, StepSpan};
use crate::{AttemptEnd, Moment};

pub(crate) const MILLISECOND: u64 = 1_000_000;

/// What both ends of each request saw, and what else a rule looks at, in parts.
#[derive(Clone)]
pub(crate) struct RuleTrial {
    pub(crate) observations: Vec<Observation>,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) changes: RequestChanges,
    pub(crate) others: OtherRequests,
    pub(crate) received: ReceivedResponses,
    pub(crate) streams: Option<Streams>,
    pub(crate) sent: TrialRequest,
    pub(crate) fleet: TrialFleet,
    pub(crate) drill: TrialDrill,
    pub(crate) span: TrialSpan,
    pub(crate) expectations: Expectations,
    pub(crate) inference: Inference,
    pub(crate) limit: Option<RateLimit>,
    pub(crate) tls: KnownTls,
    /// Whether experiments varied keys.
    pub(crate) varied: bool,
    next_id: u128,
}

/// The user's own request, and how it went to the balancer.
#[derive(Clone)]
pub(crate) struct TrialRequest {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) body: Option<u64>,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) over_http2: Option<bool>,
    pub(crate) urls: Vec<String>,
    pub(crate) url_of: Vec<u8>,
    pub(crate) bodies: Vec<u64>,
}

/// The backends, and what is known of them.
#[derive(Clone)]
pub(crate) struct TrialFleet {
    pub(crate) names: Vec<String>,
    pub(crate) is_own: bool,
    pub(crate) over_loopback: bool,
    pub(crate) records: BackendRecords,
    pub(crate) gaps: Vec<RecordGap>,
    pub(crate) clocks: Vec<RecordClock>,
    pub(crate) fleets: FleetFacts,
    pub(crate) health_checks: u64,
}

/// What is done to backends meanwhile.
#[derive(Clone)]
pub(crate) struct TrialDrill {
    pub(crate) kind: Drill,
    pub(crate) steps: Vec<StepSpan>,
    pub(crate) windows: Vec<OutageWindow>,
    pub(crate) outage: Option<Outage>,
    pub(crate) keeps_away: Option<Duration>,
}

/// Which requests are judged, and which are the sample.
#[derive(Clone, Default)]
pub(crate) struct TrialSpan {
    /// Requests before those that are judged.
    pub(crate) warm_up: u32,
    /// The first request of the sample, if not the first that is judged.
    pub(crate) sample_from: u32,
    /// The connection of each request.
    pub(crate) connections: Vec<u32>,
    pub(crate) invented: Vec<u32>,
}

/// An inference that is certain of its name, or of none.
pub(crate) fn inference(kind: Option<Algorithm>) -> Inference {
    Inference::of(kind, kind.map_or(Selection::NoneKnown, Selection::from))
}

/// How a request arrives.
#[derive(Clone, Default)]
pub(crate) struct As<'a> {
    pub(crate) parts: &'a [RequestPart],
    pub(crate) method: Option<&'a str>,
    pub(crate) target: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) body: Option<u64>,
    pub(crate) forwarded_for: &'a str,
    pub(crate) notes: &'a [Note],
    pub(crate) fields: u16,
    pub(crate) uncompared: bool,
    pub(crate) over_http2: bool,
    /// The client that a PROXY header names.
    pub(crate) client: Option<&'static str>,
    /// How long the client of the call waits.
    pub(crate) deadline: Option<Duration>,
}

impl RuleTrial {
    pub(crate) fn new() -> RuleTrial {
        RuleTrial {
            observations: Vec::new(),
            arrivals: Vec::new(),
            changes: RequestChanges::default(),
            others: OtherRequests::default(),
            received: ReceivedResponses::default(),
            streams: None,
            sent: TrialRequest {
                method: "GET",
                target: "/",
                body: None,
                fields: Vec::new(),
                over_http2: Some(false),
                urls: Vec::new(),
                url_of: Vec::new(),
                bodies: Vec::new(),
            },
            fleet: TrialFleet {
                names: ["9001", "9002", "9003"].map(str::to_owned).to_vec(),
                is_own: true,
                over_loopback: true,
                records: BackendRecords::Kept,
                gaps: Vec::new(),
                clocks: Vec::new(),
                fleets: FleetFacts::default(),
                health_checks: 0,
            },
            drill: TrialDrill {
                kind: Drill::None,
                steps: Vec::new(),
                windows: Vec::new(),
                outage: None,
                keeps_away: None,
            },
            span: TrialSpan::default(),
            expectations: Expectations::default(),
            inference: Inference { rotations: Some(1), ..inference(Some(Algorithm::RoundRobin)) },
            limit: None,
            tls: KnownTls::default(),
            varied: false,
            next_id: 0,
        }
    }

    /// That many backends of somebody else's, and an algorithm that is certain, or none.
    pub(crate) fn of(backends: usize, kind: Option<Algorithm>) -> RuleTrial {
        let mut trial = RuleTrial { inference: inference(kind), ..RuleTrial::new() };
        trial.fleet.names = (0..backends).map(|place| (9001 + place).to_string()).collect();
        trial.fleet.is_own = false;
        trial
    }

    pub(crate) fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(0xdead_beef_0000_4000_8000_0000_0000_0000 | self.next_id)
    }

    /// When the request of that number is due: one each millisecond.
    pub(crate) fn due(sequence: usize) -> Moment {
        Moment((1000 + sequence as u64) * MILLISECOND)
    }

    /// A request whose client got nothing, and which reached no backend.
    pub(crate) fn failed(&mut self, outcome: ClientOutcome, reused: bool) -> &mut Observation {
        let due = RuleTrial::due(self.observations.len());
        self.observations.push(Observation {
            due,
            ended: Moment(due.0 + MILLISECOND / 2),
            response: Uuid::nil(),
            waited: 0,
            client: 0,
            backend: Backend::UNKNOWN,
            status: 0,
            outcome,
            echo: Echo::None,
            reused,
            flaw: None,
        });
        self.observations.last_mut().unwrap()
    }

    /// A response of the balancer itself, and no attempt.
    pub(crate) fn balancer(&mut self, status: u16) -> &mut Observation {
        let observation = self.failed(ClientOutcome::Response, false);
        observation.status = status;
        observation
    }

    /// One more attempt of the latest request; its response's id.
    pub(crate) fn attempt(&mut self, backend: u16, status: u16, end: AttemptEnd) -> Uuid {
        let sequence = self.observations.len() - 1;
        self.attempt_as(sequence as u32, backend, status, end, &As::default())
    }

    pub(crate) fn attempt_as(
        &mut self,
        sequence: u32,
        backend: u16,
        status: u16,
        end: AttemptEnd,
        arrived: &As,
    ) -> Uuid {
        let answer = self.id();
        let received = Moment(RuleTrial::due(self.observations.len() - 1).0 + MILLISECOND / 10 + self.next_id as u64);
        let differences: Differences = arrived.parts.iter().copied().collect();
        let mut notes = Notes::default();
        arrived.notes.iter().for_each(|note| notes.add(*note));
        if !arrived.uncompared {
            notes.add(Note::Compared);
        }
        if arrived.over_http2 {
            notes.add(Note::Http2);
        }
        if arrived.client.is_some() {
            notes.add(Note::Proxied);
        }
        let request = ArrivedRequest {
            sequence: is_numbered(sequence).then_some(sequence),
            of_another_check: sequence == OF_ANOTHER_CHECK,
            received,
            backend: Backend(backend),
            method: arrived.method.unwrap_or(self.sent.method),
            target: arrived.target.unwrap_or(self.sent.target),
            host: arrived.host.unwrap_or("h"),
            forwarded_for: arrived.forwarded_for,
            peer: arrived.client.unwrap_or("127.0.0.1"),
            status,
            differences,
            fields: FieldMask(arrived.fields),
            notes,
            body: SentBody { length: arrived.body.or(self.sent.body).unwrap_or(0), digest: 0 },
            deadline: arrived.deadline,
        };
        let request = self.changes.note_deadline(request);
        let differences = request.differences;
        let way = if is_numbered(sequence) {
            self.changes.see(&request)
        } else {
            self.others.see(&request);
            WayNumber::default()
        };
        self.arrivals.push(Arrival {
            received,
            response: answer,
            sequence,
            took: 100,
            backend: Backend(backend),
            status,
            end,
            differences,
            way,
        });
        answer
    }

    /// A request that reached this backend and got its response.
    pub(crate) fn delivered(&mut self, backend: u16, status: u16) {
        self.delivered_as(backend, status, &As::default());
    }

    pub(crate) fn delivered_as(&mut self, backend: u16, status: u16, arrived: &As) {
        self.failed(ClientOutcome::Response, true);
        let sequence = self.observations.len() as u32 - 1;
        let answer = self.attempt_as(sequence, backend, status, AttemptEnd::Completed, arrived);
        self.answered(answer, backend, status);
    }

    /// The latest request got this response.
    pub(crate) fn answered(&mut self, answer: Uuid, backend: u16, status: u16) {
        let observation = self.observations.last_mut().unwrap();
        (observation.response, observation.backend, observation.status) = (answer, Backend(backend), status);
        observation.outcome = ClientOutcome::Response;
        observation.echo = Echo::Own;
    }

    /// A request of somebody else arrives just after the latest one.
    pub(crate) fn other(&mut self, backend: u16) -> Uuid {
        self.attempt_as(UNNUMBERED, backend, 200, AttemptEnd::Completed, &As { uncompared: true, ..As::default() })
    }

    /// The same without our id alone.
    pub(crate) fn copy_without_id(&mut self, backend: u16) -> Uuid {
        self.attempt_as(UNNUMBERED, backend, 200, AttemptEnd::Completed, &As::default())
    }

    /// A request of another check arrives just after the latest one.
    pub(crate) fn of_another_check(&mut self, backend: u16) {
        self.attempt_as(OF_ANOTHER_CHECK, backend, 200, AttemptEnd::Completed, &As::default());
    }

    /// A request that is delivered, and whose id did not reach this backend.
    pub(crate) fn delivered_without_id(&mut self, backend: u16) {
        self.failed(ClientOutcome::Response, true);
        let answer = self.copy_without_id(backend);
        self.answered(answer, backend, 200);
        self.observations.last_mut().unwrap().echo = Echo::None;
    }

    /// Requests that are delivered, to each backend in turn.
    pub(crate) fn healthy(&mut self, requests: u16) {
        (0..requests).for_each(|turn| self.delivered(turn % 3, 200));
    }

    /// A request of a client that this backend answered, at that microsecond.
    pub(crate) fn send(&mut self, client: u32, backend: u16, microseconds: u64) -> &mut RuleTrial {
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
            way: WayNumber::default(),
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

    pub(crate) fn sends(mut self, backends: impl IntoIterator<Item = u16>) -> RuleTrial {
        for backend in backends {
            let at = self.observations.len() as u64;
            self.send(0, backend, at);
        }
        self
    }

    pub(crate) fn judge(&self) -> Vec<Finding> {
        self.judge_by(|case| crate::rules::judge(case, self.drill.outage.as_ref()).0)
    }

    /// Judges by one rule alone.
    pub(crate) fn judge_by<T>(&self, rule: impl FnOnce(&Case) -> T) -> T {
        let ledger = Ledger::join(self.observations.clone(), self.arrivals.clone(), self.fleet.records)
            .with_clocks(self.fleet.clocks.clone());
        let sample = self.span.sample_from.max(self.span.warm_up)..self.observations.len() as u32;
        let judged = Judged {
            from: self.span.warm_up,
            invented: &self.span.invented,
            outages: &self.drill.windows,
            lapsed: &self.received.lapsed,
            sessions: self.expectations.session_life.as_ref(),
        };
        let tally = Tally::of(&ledger, judged, sample.clone());
        let bodies =
            if self.sent.bodies.is_empty() { self.sent.body.into_iter().collect() } else { self.sent.bodies.clone() };
        let end = self.observations.last().map_or(Moment(0), |last| Moment(last.due.0 + MILLISECOND));
        rule(&Case {
            ledger: &ledger,
            tally: &tally,
            names: &self.fleet.names,
            backends: self.fleet.names.len(),
            expectations: &self.expectations,
            inference: &self.inference,
            gaps: &self.fleet.gaps,
            fleets: &self.fleet.fleets,
            identity: None,
            limit: self.limit,
            changes: &self.changes,
            others: &self.others,
            received: &self.received,
            sent: Sent {
                method: self.sent.method,
                target: self.sent.target,
                host: Some("h"),
                body: self.sent.body.map(|length| SentBody { length, digest: 0 }),
                fields: &self.sent.fields,
            },
            over_http2: self.sent.over_http2,
            judged,
            connections: &self.span.connections,
            urls: Urls { targets: &self.sent.urls, of: &self.sent.url_of, first: 0 },
            bodies: &bodies,
            keeps_away: self.drill.keeps_away,
            sample,
            steps: &self.drill.steps,
            outages: &self.drill.windows,
            sampled: (Moment(0), end),
            health_checks: self.fleet.health_checks,
            own_fleet: self.fleet.is_own,
            drill: self.drill.kind,
            tls: &self.tls,
            over_loopback: self.fleet.over_loopback,
            varied: self.varied,
            run: 7,
            began: Moment(0),
            streams: self.streams.as_ref(),
        })
    }

    /// What a rule concludes.
    pub(crate) fn level(&self, rule: &str) -> Option<Level> {
        self.judge().iter().find(|finding| finding.rule().id() == rule).map(|finding| finding.level)
    }

    pub(crate) fn facts(&self, rule: &str) -> Facts {
        let found = self.judge();
        let ids: Vec<&str> = found.iter().map(|finding| finding.rule().id()).collect();
        let found = found.iter().find(|finding| finding.rule().id() == rule);
        found.unwrap_or_else(|| panic!("no {rule} in {ids:?}")).facts.clone()
    }

    /// Names of the rules that fail.
    pub(crate) fn failures(&self) -> Vec<&'static str> {
        let findings = self.judge();
        findings.iter().filter(|finding| finding.level == Level::Fail).map(|finding| finding.rule().id()).collect()
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
