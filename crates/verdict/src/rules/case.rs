//! Everything that the rules look at, as one value.

use std::ops::Range;
use std::time::Duration;

use http::grpc::is_content_type;

use crate::algorithm::Inference;
use crate::arrived::{OtherRequests, RequestChanges};
use crate::facts::fleets;
use crate::facts::identity::IdentitySource;
use crate::facts::records::RecordGap;
use crate::facts::responses::ReceivedResponses;
use crate::facts::tls::KnownTls;
use crate::finding::{AttemptWitness, ClientWitness, RequestWitness, Witness};
use crate::id::RequestId;
use crate::ledger::{Arrival, BackendRecords, Entry, Ledger};
use crate::limit::RateLimit;
use crate::observation::{Backend, ClientOutcome, Observation};
use crate::outcome::Outcome;
use crate::request::Sent;
use crate::rules::expectations::Expectations;
use crate::rules::requirement::Requirement;
use crate::streams::Streams;
use crate::tally::{Judged, Tally, directed};
use crate::timeline::{OutageWindow, Outages, StepSpan};
use crate::{AttemptEnd, Moment};

/// Where nothing better is known: errors are forgiven for this time after a backend is well again. It is NGINX's fail_timeout.
pub const DETECTION: Duration = Duration::from_secs(10);

/// Where nothing better is known: a right balancer may keep away from a backend that failed for this time. Files say 10 or 30 s (NGINX's
/// fail_timeout, Envoy's base_ejection_time), and some make it longer each time.
pub const AVOIDED: Duration = Duration::from_secs(60);

/// Requests of which the order is shown where shares or reach are not as they should be.
const TURNS_SHOWN: usize = 24;

/// Everything that the rules look at.
pub struct Case<'a> {
    /// Both ends of each request.
    pub ledger: &'a Ledger,
    /// What was counted in the ledger.
    pub tally: &'a Tally,
    /// Names of the backends, by place. The fleet's own come first.
    pub names: &'a [String],
    /// How many of them are to be reached: those that were ready. All of them without a fleet.
    pub backends: usize,
    /// What the user requires.
    pub expectations: &'a Expectations,
    /// How the balancer picks.
    pub inference: &'a Inference,
    /// Why records are missing.
    pub gaps: &'a [RecordGap],
    /// Who is behind the balancer, and whether that stayed so.
    pub fleets: &'a fleets::FleetFacts,
    /// Where the names of backends that are not ours were found.
    pub identity: Option<&'a IdentitySource>,
    /// A rate limit that the sample met.
    pub limit: Option<RateLimit>,
    /// How requests arrived at backends.
    pub changes: &'a RequestChanges,
    /// What was noted of responses.
    pub received: &'a ReceivedResponses,
    /// What else arrived there.
    pub others: &'a OtherRequests,
    /// The user's own request.
    pub sent: Sent<'a>,
    /// Whether it went to the balancer in HTTP/2; none where that differs from URL to URL.
    pub over_http2: Option<bool>,
    /// Which requests are judged.
    pub judged: Judged<'a>,
    /// On which connection of the client each request of the run went: its number, or `NO_CONNECTION`.
    pub connections: &'a [u32],
    /// Where the sample's requests went, if to several URLs.
    pub urls: Urls<'a>,
    /// Bytes of each of the user's bodies, which the sample's requests to a URL take in turn.
    pub bodies: &'a [u64],
    /// How long the balancer may keep away from a backend that failed, and need to notice one that is well, if that is known.
    pub keeps_away: Option<Duration>,
    /// The numbers of the sample's requests.
    pub sample: Range<u32>,
    /// Health checks that backends recorded during the run.
    pub health_checks: u64,
    /// Whether the check started the fleet itself, so that nobody else sends requests to it.
    pub own_fleet: bool,
    /// Something was broken on purpose.
    pub drill: Drill,
    /// Its steps, in the order of their times.
    pub steps: &'a [StepSpan],
    /// From each break of a backend to its mend.
    pub outages: &'a [OutageWindow],
    /// When the sample began and ended.
    pub sampled: (Moment, Moment),
    /// What is known of TLS between balancer and backends.
    pub tls: &'a KnownTls,
    /// Whether the client reaches the balancer over loopback, and so has a loopback address.
    pub over_loopback: bool,
    /// Clients, paths or the like differed from request to request.
    pub varied: bool,
    /// Of the run, as in the ids of its requests.
    pub run: u64,
    /// When the check began.
    pub began: Moment,
    /// Of a check of streams: both ends of each.
    pub streams: Option<&'a Streams>,
}

/// The URLs of a sample with several of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Urls<'a> {
    /// Path and query of each, as it was sent.
    pub targets: &'a [String],
    /// The place of each request's, from the first one of the sample on.
    pub of: &'a [u8],
    /// Number of the sample's first request.
    pub first: u32,
}

impl Urls<'_> {
    /// Whether there are several.
    pub fn are_several(&self) -> bool {
        self.targets.len() > 1
    }

    /// The place of that request's.
    pub fn of(&self, sequence: u32) -> usize {
        let place = sequence.checked_sub(self.first).and_then(|place| self.of.get(place as usize));
        place.map_or(0, |place| usize::from(*place))
    }
}

/// What is done to the fleet meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drill {
    /// Nothing is done to backends during the check.
    None,
    /// Something that a good balancer hides: a drain, a reload.
    Graceful,
    /// Something that may cost requests: a kill, a pause, a fault.
    Rough,
}

impl Case<'_> {
    /// The place of the body that a request of the sample had.
    pub(crate) fn body_of(&self, sequence: u32) -> usize {
        let turn = sequence.saturating_sub(self.sample.start) as usize / self.urls.targets.len().max(1);
        turn % self.bodies.len().max(1)
    }

    /// Whether no client may see an error.
    pub(crate) fn lossless(&self) -> bool {
        self.expectations.lossless.unwrap_or(self.drill != Drill::Rough)
    }

    /// Whether the requests may be sent twice without harm (RFC 9110 §9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        http::IDEMPOTENT.contains(&self.sent.method)
    }

    /// Whether an outage explains that this request failed: it was under way while the backend was broken, or shortly after,
    /// and it is not known to have failed anywhere else.
    pub(crate) fn is_excused(&self, entry: &Entry) -> bool {
        (!self.lossless() && self.is_explained(entry)) || self.met_nobody(entry)
    }

    /// Whether a request reached no backend because steps had taken all of them out of service, or because the balancer need not have
    /// noticed yet that one is there again: nobody can serve it then, however gently each was taken out.
    pub(crate) fn met_nobody(&self, entry: &Entry) -> bool {
        self.without_anybody(entry).is_some_and(|since| since <= self.avoidance())
    }

    /// Whether it is one of those that came later than most balancers need to notice.
    pub(crate) fn met_nobody_late(&self, entry: &Entry) -> bool {
        self.without_anybody(entry).is_some_and(|since| since > self.detection() && since <= self.avoidance())
    }

    /// How long after the return of the first backend a request was sent that reached none, after steps had taken all of them out of
    /// service; zero before it. None for another request.
    fn without_anybody(&self, entry: &Entry) -> Option<Duration> {
        if self.expectations.lossless == Some(true) || !entry.is_client_error() || !entry.attempts.is_empty() {
            return None;
        }
        let observation = entry.observation;
        let all_out = self.outages.iter().map(|window| window.broken).filter(|all_out| observation.ended >= *all_out);
        let since = all_out.filter_map(|all_out| {
            let window_of = |place: usize| {
                self.outages.iter().find(|it| it.backend == Backend(place as u16) && it.contains(all_out))
            };
            let ends = (0..self.backends).map(|place| Some(window_of(place)?.mended)).collect::<Option<Vec<_>>>()?;
            let first_back = ends.into_iter().flatten().min();
            Some(first_back.map_or(Duration::ZERO, |back| observation.sent().since(back)))
        });
        since.min()
    }

    /// For how long after a backend is well again its outage explains errors.
    pub(crate) fn detection(&self) -> Duration {
        self.keeps_away.unwrap_or(DETECTION)
    }

    /// For how long after a backend is well again it need not get requests.
    pub(crate) fn avoidance(&self) -> Duration {
        self.keeps_away.unwrap_or(AVOIDED)
    }

    /// What is done to backends.
    pub fn done(&self) -> Outages<'_> {
        Outages {
            windows: self.outages,
            steps: self.steps,
            detection: self.detection(),
            may_be_repeated: self.is_idempotent(),
        }
    }

    /// Of a balancer of requests the client's connection is its own: no backend refuses that.
    fn is_refused_by_balancer(&self, entry: &Entry) -> bool {
        let is_of_requests = self.inference.is_unit_known && !self.inference.per_connection;
        is_of_requests && matches!(entry.observation.outcome, ClientOutcome::Refused | ClientOutcome::Unreachable)
    }

    /// Whether an outage may explain it although another backend got it in the end, when its client had all but given up: who was tried before
    /// is not known, for a backend that hangs records nothing.
    pub(crate) fn may_be_excused(&self, entry: &Entry) -> bool {
        !self.lossless() && self.explains(entry, |attempt| !is_in_vain(entry.observation, attempt))
    }

    /// Whether its client gave it up while a backend was at work on it, or had only just responded, and no other had executed it: then there was
    /// no response that a balancer could have passed on.
    pub(crate) fn was_at_work(&self, entry: &Entry) -> bool {
        let left = entry.observation.ended;
        let is_at_work = |attempt: &Arrival| {
            let on_the_way = (entry.observation.took() / 10).clamp(AT_LEAST_ON_THE_WAY, ON_THE_WAY);
            let news = on_the_way.saturating_add(self.ledger.half_width(attempt.backend));
            match attempt.end {
                AttemptEnd::Received => true,
                AttemptEnd::Completed | AttemptEnd::CutOff => attempt.responded().after(news) >= left,
                AttemptEnd::Refused => false,
            }
        };
        // A stream that is being written has begun: there is something to pass on.
        self.streams.is_none()
            && entry.observation.outcome == ClientOutcome::TimedOut
            && entry.attempts.iter().any(is_at_work)
            && !entry.attempts.iter().any(|attempt| attempt.executed() && !is_at_work(attempt))
    }

    fn is_explained(&self, entry: &Entry) -> bool {
        self.explains(entry, |_| true)
    }

    /// Whether an outage explains it, as far as the attempts go that count.
    fn explains(&self, entry: &Entry, counts: impl Fn(&Arrival) -> bool) -> bool {
        let observation = entry.observation;
        if self.is_refused_by_balancer(entry) {
            return false;
        }
        self.outages.iter().any(|window| {
            let begun = observation.ended >= window.broken;
            let ended = window.mended.is_some_and(|mended| observation.sent() > mended.after(self.detection()));
            let mut known = entry.attempts.iter().filter(|attempt| counts(attempt)).peekable();
            let elsewhere = known.peek().is_some() && known.all(|attempt| attempt.backend != window.backend);
            begun && !ended && !elsewhere && (!observation.backend.is_known() || observation.backend == window.backend)
        })
    }

    /// Whether a limit explains that the balancer refused that request, and errors may be explained.
    pub(crate) fn is_limited(&self, entry: &Entry) -> bool {
        self.expectations.lossless != Some(true) && self.limit.is_some_and(|limit| limit.refuses(entry))
    }

    /// Whether an outage explains that a balancer tried that request elsewhere: one of its attempts met a backend that was broken then, or
    /// had been shortly before.
    pub(crate) fn meets_outage(&self, entry: &Entry) -> bool {
        self.outages.iter().any(|window| {
            let ended = |at: Moment| window.mended.is_some_and(|mended| at > mended.after(self.detection()));
            let hit = |attempt: &Arrival| attempt.backend == window.backend;
            let observation = entry.observation;
            observation.ended >= window.broken && !ended(observation.sent()) && entry.attempts.iter().any(hit)
        })
    }

    /// Whether backends that no step had touched failed it for reasons of their own, as their records say: they responded with an error, or
    /// refused its stream unprocessed.
    pub(crate) fn is_failed_by_backends(&self, entry: &Entry) -> bool {
        let observation = entry.observation;
        let is_error = observation.outcome == ClientOutcome::Response && observation.status >= 400;
        let is_failed = |attempt: &Arrival| {
            let is_error_of_backend = attempt.end == AttemptEnd::Completed && attempt.status >= 400 && is_error;
            attempt.is_unprocessed() || is_error_of_backend
        };
        (is_error || observation.outcome == ClientOutcome::StreamReset)
            && !entry.attempts.is_empty()
            && entry.attempts.iter().all(is_failed)
            && !self.meets_outage(entry)
            && self.expectations.lossless != Some(true)
    }

    /// Backends at which an attempt failed, in the whole run: a balancer may avoid them, rightly.
    pub(crate) fn failed_somewhere(&self) -> Vec<bool> {
        self.failed_before(None)
    }

    /// Likewise, in what was before that moment, from which on steps are done.
    pub(crate) fn failed_before(&self, until: Option<Moment>) -> Vec<bool> {
        let mut failed = self.with_failed_attempts(until);
        // One that is gone refuses connections, one whose certificate is not accepted or that was too slow before gets no request: none
        // records that.
        let is_touched = |place: usize| self.outages.iter().any(|it| it.backend == Backend(place as u16));
        for (place, name) in self.names.iter().enumerate() {
            // What a step did to it was later.
            let is_later = until.is_some() && is_touched(place) && !self.fleets.unwell.contains(name);
            failed[place] |= self.fleets.unsteady.contains(name) && !is_later;
        }
        for (place, name) in self.names.iter().enumerate() {
            let may_be_left = self.tls.connections.not_accepted.contains_key(name) || self.fleets.slow.contains(name);
            let is_reached = || self.ledger.arrivals().iter().any(|it| usize::from(it.backend.0) == place);
            failed[place] |= may_be_left && !is_reached();
        }
        failed
    }

    /// Backends at which an attempt failed, as the records say, in what was before that moment.
    pub(crate) fn with_failed_attempts(&self, until: Option<Moment>) -> Vec<bool> {
        let mut failed = vec![false; self.names.len()];
        let is_before = |attempt: &&Arrival| until.is_none_or(|until| attempt.received < until);
        for attempt in self.ledger.arrivals().iter().filter(is_before).filter(|attempt| !attempt.executed()) {
            if let Some(failed) = failed.get_mut(usize::from(attempt.backend.0)) {
                *failed = true;
            }
        }
        failed
    }

    /// Whether it was put right, or started, so shortly before that a balancer may avoid it.
    pub(crate) fn may_be_avoided(&self, place: usize) -> bool {
        self.names.get(place).is_some_and(|name| self.fleets.unsteady.contains(name))
    }

    /// Whether the requests are calls of gRPC.
    pub(crate) fn are_calls(&self) -> bool {
        let is_content = |name: &str| name.eq_ignore_ascii_case("content-type");
        self.sent.fields.iter().any(|(name, value)| is_content(name) && is_content_type(value.as_bytes()))
    }

    /// Whether something was done to that backend.
    pub(crate) fn is_changed(&self, place: usize) -> bool {
        let backend = Backend(place as u16);
        self.steps.iter().any(|step| step.backend == Some(backend))
            || self.outages.iter().any(|window| window.backend == backend)
    }

    /// When the first thing was done to backends.
    pub(crate) fn first_step(&self) -> Option<Moment> {
        self.steps.iter().map(|step| step.begun).min()
    }

    /// Whether that backend gets copies.
    pub(crate) fn is_mirror(&self, name: &str) -> bool {
        let place = self.names.iter().position(|known| known == name);
        place.is_some_and(|place| self.ledger.is_mirror(Backend(place as u16)))
    }

    /// The statuses that `--expect status:…` allows, both ends included.
    pub(crate) fn required_statuses(&self) -> Option<(u16, u16)> {
        self.expectations.required.iter().find_map(|it| match it {
            Requirement::Status { low, high } => Some((*low, *high)),
            _ => None,
        })
    }

    /// Attempts of the requests that are judged, by request.
    pub(crate) fn judged_arrivals(&self) -> &[Arrival] {
        let arrivals = self.ledger.arrivals();
        &arrivals[arrivals.partition_point(|arrival| arrival.sequence < self.judged.from)..]
    }

    /// These requests, seen from both ends.
    pub fn witnesses(&self, sequences: &[u32]) -> Vec<Witness> {
        let entries = sequences.iter().filter_map(|sequence| self.ledger.entry(*sequence));
        entries.map(|entry| Witness::Request(self.witness(&entry))).collect()
    }

    /// Where the first requests of the sample went.
    pub(crate) fn order(&self) -> Vec<Witness> {
        let first = self.sample.start.max(self.judged.from);
        let name = |backend: Backend| self.names.get(usize::from(backend.0)).cloned();
        let place = |sequence: u32| directed(&self.ledger.entry(sequence)?).and_then(name);
        let backends: Vec<Option<String>> = (first..self.sample.end).take(TURNS_SHOWN).map(place).collect();
        if backends.is_empty() { Vec::new() } else { vec![Witness::Order { first, backends }] }
    }

    /// A request, seen from both ends.
    pub fn witness(&self, entry: &Entry) -> RequestWitness {
        let observation = entry.observation;
        let name = |backend: Backend| self.names.get(usize::from(backend.0)).cloned();
        let attempts = entry.attempts.iter().map(|attempt| AttemptWitness {
            backend: name(attempt.backend).unwrap_or_else(|| "?".to_owned()),
            at: round(self.seconds(attempt.received), self.ledger.half_width(attempt.backend)),
            end: attempt.end,
            status: (attempt.status > 0).then_some(attempt.status),
            seconds: f64::from(attempt.took) / 1e7,
        });
        let is_own = !observation.backend.is_known() && observation.status > 0;
        let words = self.received.words(entry.sequence, observation.status).filter(|_| is_own);
        RequestWitness {
            id: RequestId { run: self.run, sequence: u64::from(entry.sequence) }.to_string(),
            number: entry.sequence,
            at: self.seconds(observation.due),
            client: ClientWitness::of(observation, name(observation.backend)),
            attempts: attempts.collect(),
            unrecorded: !self.has_records() || entry.outcome == Outcome::NoResponse,
            words: words.map(str::to_owned),
        }
    }

    /// Seconds since the sample began, as the steps of an outage are timed; negative before it.
    pub(crate) fn seconds(&self, at: Moment) -> f64 {
        let began = self.sampled.0;
        at.since(began).as_secs_f64() - began.since(at).as_secs_f64()
    }

    pub(crate) fn has_records(&self) -> bool {
        self.ledger.records() == BackendRecords::Kept
    }
}

/// A response needs no longer to its client, however busy the machine is; nor a tenth of the time for which the client waited, but for
/// clients that hardly wait.
const ON_THE_WAY: Duration = Duration::from_millis(200);
const AT_LEAST_ON_THE_WAY: Duration = Duration::from_millis(5);

/// Whether an attempt arrived in the last tenth of the time for which the client waited, or later.
fn is_in_vain(observation: &Observation, attempt: &Arrival) -> bool {
    let (waited, passed) = (observation.took(), attempt.received.since(observation.sent()));
    observation.outcome == ClientOutcome::TimedOut && passed * 10 >= waited * 9
}

/// Seconds, as far as they are known: what lies below the half-width of a clock is noise.
fn round(seconds: f64, half_width: Duration) -> f64 {
    let width = half_width.as_secs_f64();
    if width > 0.0 { (seconds / width).round() * width } else { seconds }
}
