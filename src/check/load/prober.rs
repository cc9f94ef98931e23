//! Requests one at a time, many side by side, or a few held open, for experiments. Each is an observation of the run.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::check::load::affinity::SessionPlace;
use crate::check::load::connect::ConnectFailure;
use crate::check::load::cookies::{CookieOrigin, Jar, name_and_value};
use crate::check::load::engine::unanswered;
use crate::check::load::exchange::{ClientExchange, ExchangeTurn, Idleness};
use crate::check::load::identify::{BackendNames, Identity};
use crate::check::load::pace::Limiter;
use crate::check::load::request::{Parts, RequestSpec, Template, id};
use crate::check::load::response::{Question, ResponseNotes, Rules};
use crate::check::load::samples::Samples;
use crate::check::load::{DriveError, LoadProgress, LoadTarget, Reuse};
use crate::io::clock;
use crate::io::poller::{ENDS, Interest, timespec};
use crate::io::tls::{Tls, TlsFailure};
use crate::wire::Moment;
use http::Malformed;
use verdict::observation::{ClientOutcome, Flaw, NO_CONNECTION, Observation};

/// Responses of which the usual time is taken.
const LATEST: usize = 200;

/// Sends probes and keeps their observations.
pub(crate) struct Prober {
    target: LoadTarget,
    run: u64,
    first: u64,
    timeout: Duration,
    identity: Identity,
    session: Option<SessionPlace>,
    request: Arc<RequestSpec>,
    limiter: Limiter,
    /// When the next request may be sent, where somebody asked already.
    next_turn: Option<Moment>,
    progress: Option<Arc<LoadProgress>>,
    /// Kept connections, by slot.
    kept: Vec<Option<KeptConnection>>,
    observations: Vec<Observation>,
    /// Of each request the number of its connection.
    connections: Vec<u32>,
    /// Connections that were begun.
    opened: u32,
    samples: Samples,
    input: Box<[u8]>,
}

/// A connection between two probes.
struct KeptConnection {
    exchange: ClientExchange,
    /// Of the last probe that it carried.
    index: usize,
}

/// One request of an experiment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probe<'a> {
    pub(crate) connection: ProbeConnection,
    /// From which address; matters where a connection is opened.
    pub(crate) source: Option<IpAddr>,
    /// Path and query, if not the target's.
    pub(crate) path: Option<&'a str>,
    /// More headers: the user's prevail over those, except cookies, which are sent together.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// In place of the user's own of these names.
    pub(crate) replaced: &'a [(&'a str, &'a str)],
    /// If not that of every request; then it has no body either.
    pub(crate) method: Option<&'a str>,
    /// If not the next in turn of the user's.
    pub(crate) body: Option<&'a [u8]>,
    /// If less than the timeout of all.
    pub(crate) patience: Option<Duration>,
}

/// On which connection a probe is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ProbeConnection {
    /// A new connection, which ends with the request.
    #[default]
    Fresh,
    /// The connection of this slot, opened if there is none (any more), and kept if the other end lets it.
    Kept(usize),
}

/// What became of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ProbeResult {
    /// As it stands in the list.
    pub(crate) observation: Observation,
    pub(crate) sequence: u64,
    /// Those that the response set and a browser sends back, names and values.
    pub(crate) cookies: Vec<(String, String)>,
    /// Values of its Set-Cookie fields.
    pub(crate) set_cookies: Vec<String>,
    /// The header that brings back the session that it opened, and its value.
    pub(crate) session: Option<(String, String)>,
    /// Whether there was a connection.
    pub(crate) connected: bool,
    /// Status line and headers of the response.
    pub(crate) head: String,
    /// The first 16 KiB of its body.
    pub(crate) body: String,
    /// Why there was no TLS, or no more of it.
    pub(crate) tls_failure: Option<TlsFailure>,
    /// Whether the other end asked for a certificate, and none was given.
    pub(crate) certificate_missing: bool,
}

/// A probe whose response is not awaited yet. Dropped, its connection ends, and its observation says that nothing came in time.
#[must_use = "a held probe is finished, or its connection ends"]
pub(crate) struct Held {
    exchange: ClientExchange,
    index: usize,
    deadline: Moment,
    slot: Option<usize>,
    state: ProbeState,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ProbeState {
    Waits(Interest),
    Over(ClientOutcome),
    /// This machine could not send it.
    Local(Errno),
}

/// Bytes of a response's body.
const BODY_LIMIT: u64 = 16 * 1024 * 1024;
const INPUT_BYTES: usize = 64 * 1024;

impl Prober {
    /// For that target. A probe has `timeout` from its begin to the end of its response.
    pub(crate) fn new(
        target: LoadTarget,
        run: u64,
        first_sequence: u64,
        timeout: Duration,
        identity: Identity,
    ) -> Prober {
        Prober {
            target,
            run,
            first: first_sequence,
            timeout,
            identity,
            session: None,
            request: Arc::default(),
            limiter: Limiter::default(),
            next_turn: None,
            progress: None,
            kept: Vec::new(),
            observations: Vec::new(),
            connections: Vec::new(),
            opened: 0,
            samples: Samples::default(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
        }
    }

    /// Makes each probe this request.
    pub(crate) fn with_request(self, request: Arc<RequestSpec>) -> Prober {
        Prober { request, ..self }
    }

    /// Looks for the session that a backend opens.
    pub(crate) fn with_session(self, session: Option<SessionPlace>) -> Prober {
        Prober { session, ..self }
    }

    /// No more than that many requests a second, evenly.
    pub(crate) fn with_rate(self, rate: Option<f64>) -> Prober {
        Prober { limiter: Limiter::new(rate), ..self }
    }

    /// Counts its requests in `progress`.
    pub(crate) fn with_progress(self, progress: Arc<LoadProgress>) -> Prober {
        Prober { progress: Some(progress), ..self }
    }

    /// Where responses from now on say who gave them.
    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// Where its requests go, as far as cookies depend on it.
    fn origin(&self) -> CookieOrigin {
        let own = self.request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let host = own.map_or(&self.target.host, |(_, value)| value);
        CookieOrigin::new(host, &self.target.path, self.target.tls.is_some())
    }

    /// What a report shows of the responses so far.
    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// Whether its requests are calls of gRPC.
    pub(crate) fn is_call(&self) -> bool {
        self.request.is_call()
    }

    /// The first of the bodies that requests have in turn.
    pub(crate) fn body(&self) -> &[u8] {
        self.request.first_body()
    }

    /// Sends a request and waits for its response. An error is of this machine, and then nothing was sent.
    pub(crate) fn probe(&mut self, probe: &Probe, backends: &mut BackendNames) -> Result<ProbeResult, DriveError> {
        Ok(self.begin(probe, backends)?.finish(self, backends))
    }

    /// Waits for the response to the first of several probes. The others go on meanwhile, so that each ends when its response has come.
    pub(crate) fn finish_first(
        &mut self,
        held: &mut VecDeque<Held>,
        backends: &mut BackendNames,
    ) -> Option<ProbeResult> {
        while matches!(held.front()?.state, ProbeState::Waits(_)) {
            self.turn(held.make_contiguous(), None, backends);
        }
        held.pop_front().map(|first| first.end(self))
    }

    /// Lets probes go on until one can, or that long, and takes those that are over.
    pub(crate) fn take_ended(
        &mut self,
        patience: Duration,
        held: &mut VecDeque<Held>,
        backends: &mut BackendNames,
    ) -> Vec<ProbeResult> {
        self.turn(held.make_contiguous(), Some(patience), backends);
        let (waiting, over) = held.drain(..).partition(|it| matches!(it.state, ProbeState::Waits(_)));
        *held = waiting;
        let over: VecDeque<Held> = over;
        over.into_iter().map(|it| it.end(self)).collect()
    }

    /// Lets probes go on until that moment.
    pub(crate) fn run_until(&mut self, until: Moment, held: &mut VecDeque<Held>, backends: &mut BackendNames) {
        loop {
            let left = until.since(clock::now());
            if left.is_zero() {
                return;
            }
            if !self.turn(held.make_contiguous(), Some(left), backends) {
                return std::thread::sleep(left);
            }
        }
    }

    /// Sends a request: it has left when this returns, with its body, or has failed. An error is of this machine, and then nothing was
    /// sent; what the other end does shows at the end.
    pub(crate) fn begin(&mut self, probe: &Probe, backends: &mut BackendNames) -> Result<Held, DriveError> {
        let mut held = self.start(probe, backends)?;
        // A body that waits for 100 Continue would stay here for as long as nobody looks after it.
        while !held.exchange.has_sent_all() && matches!(held.state, ProbeState::Waits(_)) {
            self.turn(std::slice::from_mut(&mut held), None, backends);
        }
        match held.state {
            ProbeState::Local(errno) => {
                self.observations.pop();
                self.connections.pop();
                Err(DriveError::of_socket(errno, probe.source))
            }
            ProbeState::Waits(_) | ProbeState::Over(_) => Ok(held),
        }
    }

    /// How long the next request has to wait for its turn at the rate. Who waits so does not wait again when it begins.
    pub(crate) fn turn_of_next(&mut self) -> Duration {
        let now = clock::now();
        let at = *self.next_turn.get_or_insert_with(|| now.after(self.limiter.take(now)));
        at.since(now)
    }

    /// Starts a request, and waits for nothing but its turn at the rate.
    fn start(&mut self, probe: &Probe, backends: &mut BackendNames) -> Result<Held, DriveError> {
        self.await_turn();
        let slot = match probe.connection {
            ProbeConnection::Fresh => None,
            ProbeConnection::Kept(slot) => Some(slot),
        };
        let now = clock::now();
        let (mut exchange, connection) = self.connect(slot, probe.source)?;
        let index = self.observations.len();
        let sequence = self.first + index as u64;
        let fields = self.request.fields_with(probe.headers, probe.replaced);
        let headers: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let method = probe.method.unwrap_or(&self.request.method);
        let other = probe.body.map(|body| self.request.payload_of(body));
        let own = self.request.payload(index).filter(|_| probe.method.is_none());
        let payload = other.as_ref().or(own);
        let question = Question {
            id: id(self.run, sequence),
            sequence,
            head_only: method == "HEAD",
            conditional: self.request.is_conditional(),
        };
        if let Some(progress) = &self.progress {
            progress.probed.fetch_add(1, Ordering::Relaxed);
        }
        self.observations.push(unanswered(now, 0, exchange.is_reused()));
        self.connections.push(connection.unwrap_or(NO_CONNECTION));
        let state = match connection {
            Err(outcome) => {
                exchange.refuse(question);
                ProbeState::Over(outcome)
            }
            Ok(_) => {
                let parts = Parts {
                    method,
                    path: probe.path.unwrap_or(&self.target.path),
                    host: &self.target.host,
                    headers: &headers,
                    payload,
                    expect_continue: self.request.expect_continue,
                    given_cookies: probe.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("cookie")),
                    last: slot.is_none(),
                    secure: self.target.tls.is_some(),
                };
                let mut template = Template::new(&parts, self.run);
                let rules = rules(&self.identity, self.session.as_ref(), self.request.is_call());
                let mut notes = ResponseNotes { backends, samples: &mut self.samples };
                state(exchange.start(question, &mut template, &rules, &mut notes, &mut self.input, now))
            }
        };
        self.note_end(index, state);
        Ok(Held {
            exchange,
            index,
            deadline: now.after(probe.patience.map_or(self.timeout, |patience| patience.min(self.timeout))),
            slot,
            state,
        })
    }

    fn await_turn(&mut self) {
        let wait = self.turn_of_next();
        self.next_turn = None;
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
    }

    /// A kept connection that can carry another request, or a new one; with its number, or why the peer refused it.
    fn connect(
        &mut self,
        slot: Option<usize>,
        source: Option<IpAddr>,
    ) -> Result<(ClientExchange, Result<u32, ClientOutcome>), DriveError> {
        if let Some((exchange, number)) = self.take_kept(slot) {
            return Ok((exchange, Ok(number)));
        }
        let mut exchange = ClientExchange::new();
        if let Some(outcome) = self.open(&mut exchange, source)? {
            return Ok((exchange, Err(outcome)));
        }
        self.opened += 1;
        Ok((exchange, Ok(self.opened - 1)))
    }

    /// Opens a connection, or says why the peer refused it.
    fn open(&self, exchange: &mut ClientExchange, source: Option<IpAddr>) -> Result<Option<ClientOutcome>, DriveError> {
        match exchange.open(&self.target, source, Reuse::Kept) {
            Ok(()) => Ok(None),
            Err(ConnectFailure::Peer(outcome)) => Ok(Some(outcome)),
            Err(ConnectFailure::Local(errno)) => Err(DriveError::of_socket(errno, source)),
        }
    }

    /// The connection of a slot with its number, if it can carry another request.
    fn take_kept(&mut self, slot: Option<usize>) -> Option<(ClientExchange, u32)> {
        let KeptConnection { mut exchange, index } = self.kept.get_mut(slot?)?.take()?;
        match exchange.look() {
            Idleness::Usable => Some((exchange, self.connections[index])),
            Idleness::Ended => None,
            Idleness::Surplus => {
                let observation = &mut self.observations[index];
                observation.outcome = ClientOutcome::Altered;
                observation.flaw = Some(Flaw::Malformed(Malformed::Surplus));
                None
            }
        }
    }

    /// Waits until one of them can go on, for `patience` at most, and lets those go on that can; false when all are over.
    fn turn(&mut self, held: &mut [Held], patience: Option<Duration>, backends: &mut BackendNames) -> bool {
        let now = clock::now();
        let mut waiting = Vec::with_capacity(held.len());
        let mut wake = Moment(u64::MAX);
        for (place, it) in held.iter_mut().enumerate() {
            let ProbeState::Waits(interest) = it.state else { continue };
            wake = wake.min(it.deadline).min(it.exchange.wakes_at().unwrap_or(it.deadline));
            waiting.push((place, interest));
        }
        if waiting.is_empty() {
            return false;
        }
        let patience = patience.unwrap_or(Duration::MAX).min(wake.since(now));
        let mut ready = vec![PollFlags::empty(); held.len()];
        {
            let mut descriptors: Vec<PollFd> = Vec::with_capacity(waiting.len());
            for (place, interest) in &waiting {
                if let Some(stream) = held[*place].exchange.stream() {
                    descriptors.push(PollFd::new(stream, flags(*interest)));
                }
            }
            // What an error means, the next call on the socket tells.
            let _ = poll(&mut descriptors, Some(&timespec(patience)));
            for ((place, _), descriptor) in waiting.iter().zip(&descriptors) {
                ready[*place] = descriptor.revents();
            }
        }
        let now = clock::now();
        let rules = rules(&self.identity, self.session.as_ref(), self.request.is_call());
        for (place, _) in waiting {
            let it = &mut held[place];
            let mut notes = ResponseNotes { backends, samples: &mut self.samples };
            let woken = it.exchange.wakes_at().is_some_and(|at| now >= at);
            if !ready[place].is_empty() || woken {
                let ends = ready[place].intersects(ENDS);
                it.state = state(it.exchange.serve(ends, &rules, &mut notes, &mut self.input, now));
            }
            // What has come already is read even when the time is over.
            if matches!(it.state, ProbeState::Waits(_)) && now >= it.deadline {
                it.state = ProbeState::Over(it.exchange.expire());
            }
            // A balancer of connections counts this one until both ends have closed it, not until somebody asks for its response.
            let has_response = matches!(it.state, ProbeState::Over(ClientOutcome::Response | ClientOutcome::Altered));
            if it.slot.is_none() && has_response {
                it.exchange.hang_up();
            }
        }
        for it in held.iter() {
            self.note_end(it.index, it.state);
        }
        true
    }

    /// The moment at which it was over.
    fn note_end(&mut self, index: usize, state: ProbeState) {
        let observation = &mut self.observations[index];
        if matches!(state, ProbeState::Over(_)) && observation.ended == observation.due {
            observation.ended = clock::now();
        }
    }

    /// The sequence number of the next probe.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.first + self.observations.len() as u64
    }

    /// One for each request that was sent; the place is its sequence number less the first.
    pub(crate) fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// On which connection of the run each went.
    pub(crate) fn connections(&self) -> &[u32] {
        &self.connections
    }

    /// The median time to a response, of the latest ones.
    pub(crate) fn usual_time(&self) -> Option<Duration> {
        let responses = self.observations.iter().rev().filter(|it| it.outcome == ClientOutcome::Response);
        let mut took: Vec<Duration> = responses.take(LATEST).map(Observation::took).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied().filter(|took| !took.is_zero())
    }

    /// Ends the connection of a slot.
    pub(crate) fn hang_up(&mut self, slot: usize) {
        if let Some(kept) = self.kept.get_mut(slot) {
            *kept = None;
        }
    }

    /// Ends all connections that are kept.
    pub(crate) fn hang_up_all(&mut self) {
        self.kept.clear();
    }

    /// How many connections are kept.
    pub(crate) fn kept(&self) -> usize {
        self.kept.iter().flatten().count()
    }

    /// Connections that were begun.
    pub(crate) fn opened(&self) -> u32 {
        self.opened
    }

    /// All observations, and what a report shows of the responses.
    pub(crate) fn into_observations(self) -> (Vec<Observation>, Samples) {
        (self.observations, self.samples)
    }
}

impl Held {
    #[cfg(test)]
    pub(crate) fn sequence(&self, prober: &Prober) -> u64 {
        prober.first + self.index as u64
    }

    /// Waits for the response; what has come already is read even when the time is over.
    pub(crate) fn finish(mut self, prober: &mut Prober, backends: &mut BackendNames) -> ProbeResult {
        while prober.turn(std::slice::from_mut(&mut self), None, backends) {}
        self.end(prober)
    }

    fn end(self, prober: &mut Prober) -> ProbeResult {
        let outcome = match self.state {
            ProbeState::Over(outcome) => outcome,
            ProbeState::Waits(_) | ProbeState::Local(_) => ClientOutcome::Unreachable,
        };
        let origin = prober.origin();
        let observation = &mut prober.observations[self.index];
        self.exchange.note(observation);
        observation.outcome = outcome;
        let reader = self.exchange.reader();
        if let Some((instance, backend)) = reader.process() {
            prober.samples.see_process(instance, backend, observation.ended);
        }
        let cookies = kept_cookies(reader.cookies(), &origin, &mut prober.samples);
        let seen = ProbeResult {
            observation: *observation,
            sequence: prober.first + self.index as u64,
            cookies,
            set_cookies: reader.cookies().to_vec(),
            session: prober
                .session
                .as_ref()
                .and_then(SessionPlace::header)
                .zip(reader.session())
                .map(|(name, id)| (name.to_owned(), id.to_owned())),
            connected: self.exchange.is_connected(),
            head: reader.head_text(),
            body: reader.body_text(),
            tls_failure: self.exchange.tls_failure(outcome),
            certificate_missing: prober.target.tls.as_ref().is_some_and(Tls::misses_certificate),
        };
        if let (Some(slot), false, true) = (self.slot, self.exchange.is_spent(), reader.is_reusable()) {
            if prober.kept.len() <= slot {
                prober.kept.resize_with(slot + 1, || None);
            }
            prober.kept[slot] = Some(KeptConnection { exchange: self.exchange, index: self.index });
        }
        seen
    }
}

/// Names and values of those that a browser sends back to there.
fn kept_cookies(set: &[String], origin: &CookieOrigin, samples: &mut Samples) -> Vec<(String, String)> {
    let now = SystemTime::now();
    let is_kept = |value: &&String| match Jar::default().set(value, origin, now) {
        Ok(is_sent) => is_sent,
        Err(why) => {
            samples.refuse_cookie(value, &why);
            false
        }
    };
    set.iter().filter(is_kept).filter_map(|value| name_and_value(value)).collect()
}

fn rules<'a>(identity: &'a Identity, session: Option<&'a SessionPlace>, grpc: bool) -> Rules<'a> {
    Rules { identity, body_limit: BODY_LIMIT, cookies: true, heads: true, session, grpc }
}

fn state(turn: ExchangeTurn) -> ProbeState {
    match turn {
        ExchangeTurn::Waits(interest) => ProbeState::Waits(interest),
        ExchangeTurn::Over(outcome) => ProbeState::Over(outcome),
        ExchangeTurn::Unprocessed => ProbeState::Over(ClientOutcome::StreamReset),
        ExchangeTurn::Local(errno) => ProbeState::Local(errno),
    }
}

fn flags(interest: Interest) -> PollFlags {
    match interest {
        Interest::None | Interest::Read | Interest::End => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::ReadWrite => PollFlags::IN | PollFlags::OUT,
    }
}
