//! Observations joined to records: one entry a request, with its one outcome.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

pub use crate::attempt::{Arrival, WayNumber};
use crate::observation::{Backend, ClientOutcome, Echo, Flaw, Observation};
use crate::outcome::Outcome;
use crate::{AttemptEnd, Moment, ResponseId, subrequests};

/// The sequence of a request whose id did not reach the backend.
pub const UNNUMBERED: u32 = u32::MAX;

/// The sequence of a request that came with the id of another check.
pub const OF_ANOTHER_CHECK: u32 = u32::MAX - 1;

/// Whether that is the number of a request of the run.
pub const fn is_numbered(sequence: u32) -> bool {
    sequence < OF_ANOTHER_CHECK
}

/// Observations joined to records.
pub struct Ledger {
    observations: Vec<Observation>,
    /// Sorted by sequence number, then by time.
    arrivals: Vec<Arrival>,
    records: BackendRecords,
    /// For answers that were not given to the request that got them: the arrival that gave it, and how many others got it.
    owners: HashMap<Uuid, (Arrival, u32)>,
    /// Backends of which no client ever got a response, though they gave many: by place.
    mirrors: Vec<bool>,
    /// Arrivals that a balancer made of its own before it passed a request on.
    subrequests: Vec<Arrival>,
    /// Arrivals that are no attempt of a request of this run, by time.
    others: Vec<Arrival>,
    /// Requests that arrived without their id, and are known by their responses: in order.
    unidentified: Vec<u32>,
    /// Times of which some backend's records are missing.
    unrecorded: Vec<(Moment, Moment)>,
    /// How far times of records are known, by the place of their backend; empty if all have the client's clock.
    clocks: Vec<RecordClock>,
    /// The longest round trip of this run: over the network and through the balancer, apart from what backends took.
    round_trip: Duration,
    /// Arrivals with a number that was never sent.
    pub unexplained: u64,
    /// Arrivals without a number that nobody's answer explains.
    pub unassigned: u64,
}

/// Whose clock the records of a backend have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordClock {
    /// The number of its host: times of one host are in order.
    pub host: u32,
    /// How far off a time may be, converted to the client's clock.
    pub half_width: Duration,
}

/// What is known of the backends' side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendRecords {
    /// The fleet is ours and its records were read.
    Kept,
    /// The backends are not ours.
    None,
}

/// Executed attempts from which on a backend that never delivers is taken for the target of a mirror.
const MIRROR_ATTEMPTS: u32 = 20;

/// The close of an idle connection crosses the request on its way: it comes within a round trip.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// The longest that a round trip is taken for, however busy the machine is.
const LONGEST_ROUND_TRIP: Duration = Duration::from_millis(200);

/// Two attempts that are nearer than that were not made one after the other has had its time. On a busy machine a backend notes that much later
/// that it has responded.
const AT_ONCE: Duration = Duration::from_millis(50);

/// One request: what the client saw, what the backends recorded, and what that means.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry<'a> {
    /// Its number in the run.
    pub sequence: u32,
    /// What the client noted of it.
    pub observation: &'a Observation,
    /// The backends' ends, in order of time.
    pub attempts: &'a [Arrival],
    /// The one class that it falls into.
    pub outcome: Outcome,
    /// Whether the attempts are in order for certain: those at several hosts may be closer than their clocks agree.
    pub is_ordered: bool,
    /// Within which what was on the way when it was sent has come, in this run.
    round_trip: Duration,
}

impl Entry<'_> {
    /// The attempt that came first; none if there is none, or if that is not known.
    pub fn first_attempt(&self) -> Option<&Arrival> {
        self.attempts.first().filter(|_| self.is_ordered)
    }

    /// The attempt whose answer the client got.
    pub fn delivered(&self) -> Option<&Arrival> {
        own(self.observation, self.attempts)
    }

    /// The attempt for which a backend was selected, as far as that is known: the first one. A copy that was made of the request is none.
    pub fn selected_attempt(&self) -> Option<&Arrival> {
        match self.outcome {
            Outcome::Mirrored => self.delivered(),
            Outcome::Duplicated if self.is_copied_at_once() => self.delivered(),
            _ => self.first_attempt(),
        }
    }

    /// Whether another backend executed it at the time at which the one did whose response came: that is no second try.
    fn is_copied_at_once(&self) -> bool {
        let Some(own) = self.delivered() else { return false };
        let is_near = |it: &&Arrival| it.received.since(own.received).max(own.received.since(it.received)) <= AT_ONCE;
        self.attempts.iter().filter(|it| it.response != own.response && it.executed()).any(|it| is_near(&it))
    }

    /// A kept connection was closed at the moment in which it was used again, before the request reached a backend. RFC 9112 §9.5 lets
    /// either side close an idle connection at any time, and a client may repeat an idempotent request then. Whether there are so few
    /// that it can have been that is for the rule to say.
    pub fn is_idle_close(&self) -> bool {
        self.outcome == Outcome::NotReached
            && self.observation.reused
            && is_closed(self.observation)
            && self.observation.took() <= self.round_trip
    }

    /// Whether that close came so late that only a busy machine explains it.
    pub fn is_late_close(&self) -> bool {
        self.is_idle_close() && self.observation.took() > ROUND_TRIP
    }

    /// Whether a client would call it failed. What was never sent shows nothing.
    pub fn is_client_error(&self) -> bool {
        let complete = matches!(self.observation.outcome, ClientOutcome::Response | ClientOutcome::Altered);
        self.outcome != Outcome::Unsent && (!complete || self.observation.status >= 400)
    }

    /// Where the balancer sent it first; none where that is not known.
    pub fn first_backend(&self) -> Option<Backend> {
        if self.attempts.is_empty() {
            return Some(self.observation.backend).filter(|backend| backend.is_known());
        }
        self.first_attempt().map(|first| first.backend)
    }
}

fn is_closed(observation: &Observation) -> bool {
    matches!(observation.outcome, ClientOutcome::Closed | ClientOutcome::Reset)
}

fn own<'a>(observation: &Observation, attempts: &'a [Arrival]) -> Option<&'a Arrival> {
    let answer = observation.response_id()?.0;
    attempts.iter().find(|attempt| attempt.response == answer)
}

impl Ledger {
    /// Joins both ends. Every observation becomes one entry; arrivals that no observation explains are counted beside.
    pub fn join(observations: Vec<Observation>, mut arrivals: Vec<Arrival>, records: BackendRecords) -> Ledger {
        let (unidentified, unassigned) = assign_by_answer(&observations, &mut arrivals);
        arrivals.sort_unstable_by_key(|arrival| (arrival.sequence, arrival.received));
        let sent = arrivals.partition_point(|arrival| (arrival.sequence as usize) < observations.len());
        let mut others = arrivals.split_off(sent);
        let beyond = others.len() as u64;
        others.retain(|arrival| !is_numbered(arrival.sequence));
        let subrequests = subrequests::take(&observations, &mut arrivals);
        let mut ledger = Ledger {
            observations,
            arrivals,
            subrequests,
            records,
            owners: HashMap::new(),
            mirrors: Vec::new(),
            others,
            unidentified,
            unrecorded: Vec::new(),
            clocks: Vec::new(),
            round_trip: ROUND_TRIP,
            unexplained: beyond - unassigned,
            unassigned,
        };
        ledger.owners = ledger.find_owners();
        ledger.mirrors = ledger.find_mirrors();
        ledger.round_trip = ledger.find_round_trip();
        ledger
    }

    /// Notes that some backend's records of these times are missing: its host is gone.
    pub fn without_records_of(self, times: Vec<(Moment, Moment)>) -> Ledger {
        Ledger { unrecorded: times, ..self }
    }

    /// Notes the clocks of backends on several hosts, by the place of the backend.
    pub fn with_clocks(self, clocks: Vec<RecordClock>) -> Ledger {
        Ledger { clocks, ..self }
    }

    /// How far off the times of a backend's records may be.
    pub fn half_width(&self, backend: Backend) -> Duration {
        self.clocks.get(usize::from(backend.0)).map_or(Duration::ZERO, |clock| clock.half_width)
    }

    fn are_in_order(&self, attempts: &[Arrival]) -> bool {
        let clock = |attempt: &Arrival| self.clocks.get(usize::from(attempt.backend.0)).copied().unwrap_or_default();
        self.clocks.is_empty()
            || attempts.windows(2).all(|pair| {
                let (one, two) = (clock(&pair[0]), clock(&pair[1]));
                let apart = pair[1].received.since(pair[0].received);
                one.host == two.host || apart > one.half_width.saturating_add(two.half_width)
            })
    }

    /// Each request, in the order in which they were sent.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.pairs().map(|(sequence, observation, attempts)| self.judge(sequence, observation, attempts))
    }

    fn judge<'a>(&self, sequence: u32, observation: &'a Observation, attempts: &'a [Arrival]) -> Entry<'a> {
        let outcome = self.outcome(observation, attempts);
        Entry {
            sequence,
            observation,
            attempts,
            outcome,
            is_ordered: self.are_in_order(attempts),
            round_trip: self.round_trip,
        }
    }

    /// The entry of the request with this number.
    pub fn entry(&self, sequence: u32) -> Option<Entry<'_>> {
        let observation = self.observations.get(sequence as usize)?;
        let start = self.arrivals.partition_point(|arrival| arrival.sequence < sequence);
        let end = self.arrivals.partition_point(|arrival| arrival.sequence <= sequence);
        let attempts = &self.arrivals[start..end];
        Some(self.judge(sequence, observation, attempts))
    }

    /// All attempts of the run, by request.
    pub fn arrivals(&self) -> &[Arrival] {
        &self.arrivals
    }

    /// What a balancer asked backends of its own before it passed requests on: no attempts of these.
    pub fn subrequests(&self) -> &[Arrival] {
        &self.subrequests
    }

    /// Whether all that it got was asked before requests were passed on.
    pub fn gets_subrequests_alone(&self, backend: Backend) -> bool {
        let is_its = |arrival: &&Arrival| arrival.backend == backend;
        self.subrequests.iter().any(|it| is_its(&it)) && !self.arrivals.iter().any(|it| is_its(&it))
    }

    /// Requests that are not of this run, as they arrived, by time: those of other clients, and copies that the balancer made without
    /// their id.
    pub fn others(&self) -> &[Arrival] {
        &self.others
    }

    /// Requests that arrived without their id, and are known by their responses: in order.
    pub fn unidentified(&self) -> &[u32] {
        &self.unidentified
    }

    /// All observations, in the order in which they were sent.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// Whether the backends' side is known.
    pub fn records(&self) -> BackendRecords {
        self.records
    }

    fn pairs(&self) -> impl Iterator<Item = (u32, &Observation, &[Arrival])> {
        let mut rest = self.arrivals.as_slice();
        (0u32..).zip(&self.observations).map(move |(sequence, observation)| {
            let count = rest.iter().take_while(|arrival| arrival.sequence == sequence).count();
            let (attempts, after) = rest.split_at(count);
            rest = after;
            (sequence, observation, attempts)
        })
    }

    /// The arrivals that gave the responses which came back to other requests than theirs, and to how many.
    fn find_owners(&self) -> HashMap<Uuid, (Arrival, u32)> {
        let foreign = self.pairs().filter(|(_, observation, attempts)| {
            observation.response_id().is_some() && own(observation, attempts).is_none()
        });
        let mut wanted: HashMap<Uuid, u32> = HashMap::new();
        foreign.for_each(|(_, observation, _)| *wanted.entry(observation.response).or_default() += 1);
        if wanted.is_empty() {
            return HashMap::new();
        }
        let owner = |arrival: &Arrival| Some((arrival.response, (*arrival, *wanted.get(&arrival.response)?)));
        self.arrivals.iter().filter_map(owner).collect()
    }

    /// Looked for only where a close came late.
    fn find_round_trip(&self) -> Duration {
        if !self.observations.iter().any(|it| it.reused && is_closed(it) && it.took() > ROUND_TRIP) {
            return ROUND_TRIP;
        }
        let round_trips = self.pairs().filter_map(|(_, observation, attempts)| match attempts {
            [only] if only.response == observation.response => {
                Some(observation.took().saturating_sub(only.responded().since(only.received)))
            }
            _ => None,
        });
        round_trips.max().unwrap_or_default().clamp(ROUND_TRIP, LONGEST_ROUND_TRIP)
    }

    fn find_mirrors(&self) -> Vec<bool> {
        let mut delivered = Vec::new();
        let mut spare = Vec::new();
        for (_, observation, attempts) in self.pairs() {
            // Answers that reached nobody say something only where another one did.
            let delivers = own(observation, attempts).is_some();
            for attempt in attempts {
                let is_own = attempt.response == observation.response;
                let counts = if is_own { &mut delivered } else { &mut spare };
                let place = usize::from(attempt.backend.0);
                if counts.len() <= place {
                    counts.resize(place + 1, 0u32);
                }
                counts[place] += u32::from(is_own || (delivers && attempt.executed()));
            }
        }
        let spares = spare.iter().enumerate();
        spares
            .map(|(place, spare)| *spare >= MIRROR_ATTEMPTS && delivered.get(place).is_none_or(|it| *it == 0))
            .collect()
    }

    /// Whether it executed many requests and no client ever got its response: it gets copies.
    pub fn is_mirror(&self, backend: Backend) -> bool {
        self.mirrors.get(usize::from(backend.0)).copied().unwrap_or(false)
    }

    fn outcome(&self, observation: &Observation, attempts: &[Arrival]) -> Outcome {
        match observation.outcome {
            ClientOutcome::Response | ClientOutcome::Altered | ClientOutcome::Truncated | ClientOutcome::TooLarge => {
                match self.records {
                    BackendRecords::Kept => self.outcome_of_answered(observation, attempts),
                    BackendRecords::None => outcome_without_records(observation),
                }
            }
            // Something came, and it is not what a backend writes.
            ClientOutcome::Malformed => match (self.records, attempts.is_empty()) {
                (BackendRecords::None, _) | (BackendRecords::Kept, false) => Outcome::Altered,
                (BackendRecords::Kept, true) => Outcome::Balancer,
            },
            ClientOutcome::Closed | ClientOutcome::Reset | ClientOutcome::StreamReset | ClientOutcome::TimedOut => {
                match (self.records, attempts.is_empty()) {
                    (BackendRecords::None, _) => Outcome::NoResponse,
                    (BackendRecords::Kept, true) if self.may_be_unrecorded(observation) => Outcome::NoResponse,
                    (BackendRecords::Kept, true) => Outcome::NotReached,
                    // Over HTTP/2 a backend resets the stream of what it cannot read.
                    (BackendRecords::Kept, false)
                        if observation.outcome == ClientOutcome::StreamReset
                            && attempts.iter().all(Arrival::is_refusal) =>
                    {
                        Outcome::Refused
                    }
                    (BackendRecords::Kept, false) => Outcome::Lost,
                }
            }
            ClientOutcome::Unsent => Outcome::Unsent,
            // Nothing was sent.
            ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed => {
                match (self.records, attempts.is_empty()) {
                    (BackendRecords::None, _) | (BackendRecords::Kept, true) => Outcome::NotReached,
                    (BackendRecords::Kept, false) => Outcome::Lost,
                }
            }
        }
    }

    /// Whether a backend whose records are missing may have received it.
    fn may_be_unrecorded(&self, observation: &Observation) -> bool {
        self.unrecorded.iter().any(|(from, to)| observation.sent() <= *to && observation.ended >= *from)
    }

    fn outcome_of_answered(&self, observation: &Observation, attempts: &[Arrival]) -> Outcome {
        let Some(answer) = observation.response_id() else {
            return match (observation.backend.is_known(), attempts) {
                // Not even its head came whole: whose it was cannot be read.
                (false, _) if observation.status == 0 && observation.outcome == ClientOutcome::Truncated => {
                    Outcome::Truncated
                }
                // The id was stripped; the backend's name is all there is to go by.
                (true, [only]) if only.backend == observation.backend => Outcome::Delivered,
                (true, _) => Outcome::Unrecorded,
                (false, _) => Outcome::Balancer,
            };
        };
        let Some(own) = own(observation, attempts) else { return self.outcome_of_foreign(observation, answer) };
        match observation.outcome {
            ClientOutcome::Truncated => return Outcome::Truncated,
            // Its backend broke off, and the balancer ended the response as if it were whole.
            ClientOutcome::Altered
                if observation.flaw == Some(Flaw::NoCallStatus) && own.end != AttemptEnd::Completed =>
            {
                return Outcome::Truncated;
            }
            ClientOutcome::Altered | ClientOutcome::TooLarge => return Outcome::Altered,
            _ if own.status != observation.status => return Outcome::Altered,
            _ => {}
        }
        let mut others = attempts.iter().filter(|attempt| attempt.response != answer.0).peekable();
        if others.peek().is_none() && own.is_refusal() {
            return Outcome::Refused;
        }
        if others.peek().is_none() {
            return Outcome::Delivered;
        }
        let mut executed = others.filter(|attempt| attempt.executed() && !self.is_passed_on(attempt, own)).peekable();
        if executed.peek().is_none() {
            return Outcome::Retried;
        }
        if executed.all(|attempt| self.is_mirror(attempt.backend)) { Outcome::Mirrored } else { Outcome::Duplicated }
    }

    /// Whether a backend would not do what was asked (404, 429), and another was asked after it: a balancer may be configured to ask on then
    /// (NGINX `proxy_next_upstream http_404`, HAProxy `retry-on 404`, Envoy `retriable-4xx`).
    fn is_passed_on(&self, attempt: &Arrival, own: &Arrival) -> bool {
        let is_try = attempt.received <= own.received && !self.is_mirror(attempt.backend);
        // Where nobody has it, all say so, one after the other.
        is_try && attempt.status >= 400 && (own.status < 400 || attempt.responded() <= own.received.after(AT_ONCE))
    }

    /// The response is none of this request's attempts'.
    fn outcome_of_foreign(&self, observation: &Observation, answer: ResponseId) -> Outcome {
        match self.owners.get(&answer.0) {
            Some((owner, times)) => {
                // What a cache fetches in the background is given to others alone, and to many; meanwhile its own client gets what others got.
                let got = self.observations[owner.sequence as usize].response;
                let is_of_many = |response: &Uuid| self.owners.get(response).is_some_and(|(_, times)| *times > 1);
                if got == answer.0 || *times > 1 || is_of_many(&got) { Outcome::Stale } else { Outcome::Swapped }
            }
            // Minted for this request, by a process whose record is missing.
            None if observation.echo == Echo::Own => Outcome::Unrecorded,
            // Minted before this run, or for somebody else.
            None if observation.backend.is_known() => match observation.echo {
                Echo::Other => Outcome::Stale,
                Echo::None | Echo::Own => Outcome::Unrecorded,
            },
            None => Outcome::Unrecorded,
        }
    }
}

fn outcome_without_records(observation: &Observation) -> Outcome {
    match (observation.outcome, observation.backend.is_known()) {
        (ClientOutcome::Truncated, _) => Outcome::Truncated,
        (ClientOutcome::Altered | ClientOutcome::TooLarge, _) => Outcome::Altered,
        (_, true) => Outcome::Delivered,
        (_, false) if observation.status >= 500 => Outcome::Balancer,
        (_, false) => Outcome::Unrecorded,
    }
}

/// Arrivals that came without the request's id are those of the request that got their response. Returns these requests, in order, and
/// how many arrivals nobody's response explains.
fn assign_by_answer(observations: &[Observation], arrivals: &mut [Arrival]) -> (Vec<u32>, u64) {
    if arrivals.iter().all(|arrival| is_numbered(arrival.sequence)) {
        return (Vec::new(), 0);
    }
    let by_answer: HashMap<Uuid, u32> = (0u32..)
        .zip(observations)
        .filter_map(|(sequence, observation)| Some((observation.response_id()?.0, sequence)))
        .collect();
    // Whose own request arrived got somebody else's response.
    let of_checks = arrivals.iter().any(|arrival| arrival.sequence == OF_ANOTHER_CHECK);
    let arrived: HashSet<u32> = arrivals.iter().filter(|_| of_checks).map(|arrival| arrival.sequence).collect();
    let mut assigned = Vec::new();
    let mut unassigned = 0;
    for arrival in arrivals.iter_mut().filter(|arrival| !is_numbered(arrival.sequence)) {
        match by_answer.get(&arrival.response).filter(|sequence| !arrived.contains(sequence)) {
            Some(sequence) => {
                arrival.sequence = *sequence;
                assigned.push(*sequence);
            }
            None => unassigned += 1,
        }
    }
    assigned.sort_unstable();
    assigned.dedup();
    (assigned, unassigned)
}
