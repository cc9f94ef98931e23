//! The loop that drives a load: slots for connections, readiness and time. One thread, one poll. What happens on a connection is
//! `exchange`'s.

mod lanes;
mod slots;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use slots::{Groups, Lane, Slot, reader};

use crate::check::load::clients::{Clients, SlotClient};
use crate::check::load::connect::{self, ConnectFailure};
use crate::check::load::early::SharesSoFar;
use crate::check::load::exchange::{ClientExchange, ExchangeTurn, Idleness};
use crate::check::load::http2::StreamEnd;
use crate::check::load::identify::BackendNames;
use crate::check::load::request::id;
use crate::check::load::response::{Question, ResponseNotes, Rules};
use crate::check::load::samples::Samples;
use crate::check::load::{DriveError, Load, LoadProgress, Pacing, Reuse, Traffic, Vary};
use crate::io::clock;
use crate::io::poller::{Poller, Watched};
use crate::platform::limits;
use crate::wire::Moment;
use http::Malformed;
use verdict::observation::{Backend, ClientOutcome, Echo, Flaw, NO_CONNECTION, Observation};

/// Sends the load and returns what became of each request.
pub(crate) fn drive(load: &Load, backends: &mut BackendNames, progress: &LoadProgress) -> Result<Traffic, DriveError> {
    Engine::new(load, backends, progress)?.run()
}

/// A slot rests that long after a connection that could not be opened.
const REST: Duration = Duration::from_millis(10);
/// Requests in flight have that long after a stop.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// A stop is noticed within this time.
const ATTENTION: Duration = Duration::from_millis(50);
/// Timeouts are looked for no more often.
const SWEEP: Duration = Duration::from_millis(1);
const EVENTS_A_TURN: usize = 1024;
const INPUT_BYTES: usize = 64 * 1024;
/// Observations for which room is made at the start.
const RESERVED: u64 = 1 << 20;

struct Engine<'a> {
    load: &'a Load,
    rules: Rules<'a>,
    backends: &'a mut BackendNames,
    samples: Samples,
    progress: &'a LoadProgress,
    poller: Poller,
    slots: Vec<Slot>,
    /// Where connections carry several requests at once: those connections. Each slot is a place on one of them.
    lanes: Vec<Lane>,
    /// Lanes that have something to send.
    unsent: Vec<usize>,
    /// What has ended on a connection; empty in between.
    ended: Vec<(usize, StreamEnd)>,
    /// Free ones, in the order in which they are taken.
    idle: VecDeque<usize>,
    /// Ones that could not connect, until then.
    resting: VecDeque<(Moment, usize)>,
    groups: Groups,
    clients: Clients<'a>,
    observations: Vec<Observation>,
    /// With several targets, the target of each request.
    targets: Vec<u8>,
    /// Of each request the number of its connection.
    connections: Vec<u32>,
    /// Connections that were begun.
    opened: u32,
    /// Where shares are required and their failure may end the sample.
    shares: Option<SharesSoFar<'a>>,
    in_flight: usize,
    answered: u64,
    started: Moment,
    /// Nothing that is due later is sent.
    until: Option<Moment>,
    stopped: Option<Moment>,
    next_sweep: Moment,
    input: Box<[u8]>,
    conditional: bool,
}

fn rules(load: &Load) -> Rules<'_> {
    Rules {
        identity: &load.identity,
        body_limit: load.body_limit,
        cookies: matches!(load.vary, Vary::Jar { .. }),
        heads: false,
        session: load.session.as_ref(),
        grpc: load.request.is_call(),
    }
}

impl<'a> Engine<'a> {
    fn new(
        load: &'a Load,
        backends: &'a mut BackendNames,
        progress: &'a LoadProgress,
    ) -> Result<Engine<'a>, DriveError> {
        limits::raise_files();
        let groups = Groups::new(&load.targets);
        let clients = Clients::new(load);
        let connections = load.connections.max(groups.backends.len()).max(1);
        let poller = Poller::new().map_err(|errno| DriveError::of_call("create a poll", errno))?;
        let slot = |number| Slot {
            exchange: ClientExchange::new(),
            watched: Watched::default(),
            connection: NO_CONNECTION,
            index: 0,
            target: 0,
            deadline: Moment(0),
            client: SlotClient { client: clients.of_slot(number), in_a_row: 0 },
            group: number % connections % groups.backends.len().max(1),
            returned: 0,
        };
        let streams = load.streams.max(1);
        let lanes = if streams > 1 { connections } else { 0 };
        let slots = (0..connections * streams).map(slot).collect();
        let room = load.requests.unwrap_or(RESERVED).min(RESERVED) as usize;
        let started = clock::now();
        let mut observations = Vec::new();
        observations.reserve_exact(room);
        Ok(Engine {
            load,
            rules: rules(load),
            backends,
            samples: Samples::default(),
            progress,
            poller,
            slots,
            lanes: (0..lanes).map(|_| Lane::new(streams)).collect(),
            unsent: Vec::new(),
            ended: Vec::new(),
            idle: (0..connections * streams).collect(),
            resting: VecDeque::new(),
            groups,
            clients,
            observations,
            targets: Vec::new(),
            connections: Vec::with_capacity(room),
            opened: load.first_connection,
            shares: load.required.as_deref().map(SharesSoFar::new),
            in_flight: 0,
            answered: 0,
            started,
            until: load.duration.map(|duration| started.after(duration)),
            stopped: None,
            next_sweep: started.after(load.timeout),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            conditional: load.request.is_conditional(),
        })
    }

    fn run(mut self) -> Result<Traffic, DriveError> {
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        loop {
            let now = clock::now();
            self.keep_time(now)?;
            self.dispatch(now)?;
            self.send_lanes()?;
            self.report();
            if self.in_flight == 0 && !self.has_more() {
                break;
            }
            self.set_alarm();
            let timeout = self.next_wake(clock::now());
            self.poller
                .wait(&mut events, Some(timeout))
                .map_err(|errno| DriveError::of_call("wait for connections", errno))?;
            for event in events.drain(..) {
                let token = event.token as usize;
                if self.lanes.is_empty() { self.serve(token, event.ends)? } else { self.serve_lane(token)? }
            }
        }
        self.give_up_what_is_due();
        self.report();
        Ok(Traffic {
            observations: self.observations,
            targets: self.targets,
            connections: self.connections,
            samples: self.samples,
            started: self.started,
            ended: clock::now(),
        })
    }

    /// Ends the sample as soon as the required shares are surely not met. Where requests fail, nobody knows who was selected.
    fn count(&mut self, number: usize, backend: Backend, now: Moment) {
        let failed = self.observations.len() - self.in_flight > self.answered as usize;
        if let Some(shares) = &mut self.shares
            && shares.see(number, backend)
            && !failed
        {
            self.until = Some(now);
        }
    }

    fn report(&self) {
        let ended = (self.observations.len() - self.in_flight) as u64;
        self.progress.note(self.observations.len() as u64, self.answered, ended - self.answered);
    }

    // The schedule.

    /// When the next request is due; none if there is none any more.
    fn next_due(&self, now: Moment) -> Option<Moment> {
        let next = self.observations.len() as u64;
        if self.stopped.is_some() || self.load.requests.is_some_and(|requests| next >= requests) {
            return None;
        }
        let due = self.load.pacing.due(self.started, next).unwrap_or(now);
        self.until.is_none_or(|until| due < until).then_some(due)
    }

    /// Of an open loop, what is due and has waited until after the end for as long as a response is waited for is not sent.
    fn is_over(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| now >= until.after(self.load.timeout))
    }

    /// Whether a request will still be sent.
    fn has_more(&self) -> bool {
        let now = clock::now();
        !self.is_over(now) && self.next_due(now).is_some()
    }

    fn dispatch(&mut self, now: Moment) -> Result<(), DriveError> {
        while self.resting.front().is_some_and(|(end, _)| *end <= now) {
            if let Some((_, slot)) = self.resting.pop_front() {
                self.idle.push_back(slot);
            }
        }
        while !self.is_over(now) {
            let now = clock::now();
            let Some(due) = self.next_due(now).filter(|due| *due <= now) else { break };
            let Some(place) = self.next_idle() else { break };
            let token = self.idle[place];
            if self.must_wait(token) {
                self.idle.remove(place);
                continue;
            }
            let Some(client) = self.clients.take(self.slots[token].client, self.slots.len()) else { break };
            self.idle.remove(place);
            self.start(token, client, due, now)?;
        }
        Ok(())
    }

    /// Where among the idle slots the next request's stands: an open loop goes to its targets in turn, a closed one with the slot
    /// that has become free.
    fn next_idle(&self) -> Option<usize> {
        if self.groups.backends.len() == 1 || self.load.pacing == Pacing::Closed {
            return (!self.idle.is_empty()).then_some(0);
        }
        let group = self.groups.of[self.observations.len() % self.groups.of.len()];
        self.idle.iter().position(|token| self.slots[*token].group == group)
    }

    fn next_wake(&self, now: Moment) -> Duration {
        let rested = self.resting.front().map(|(end, _)| *end);
        let moments = [Some(self.next_sweep), rested].into_iter().flatten();
        moments.map(|moment| moment.since(now)).min().unwrap_or(ATTENTION).min(ATTENTION)
    }

    /// For the next request that is due, if there is a slot for it.
    fn set_alarm(&mut self) {
        // The pace of a closed loop is its clients'.
        if self.load.pacing == Pacing::Closed {
            return;
        }
        let now = clock::now();
        let sends = self.next_idle().is_some() && !self.is_over(now);
        // What is due already waits for a client, not for the time.
        let due = if sends { self.next_due(now).filter(|due| *due > now) } else { None };
        self.poller.set_alarm(due);
    }

    fn keep_time(&mut self, now: Moment) -> Result<(), DriveError> {
        if self.stopped.is_none() && self.progress.is_stopping() {
            self.stopped = Some(now);
        }
        let stopped = self.stopped.is_some_and(|stopped| now >= stopped.after(STOP_GRACE));
        if now < self.next_sweep && !stopped {
            return Ok(());
        }
        let mut next = now.after(self.load.timeout);
        for token in 0..self.slots.len() {
            if self.is_idle(token) {
                continue;
            }
            let slot = &self.slots[token];
            let is_late = now >= slot.deadline || stopped;
            if slot.exchange.wakes_at().is_some_and(|at| now >= at) || is_late && self.may_have_come(token) {
                // What has come already is read even when the time is over: it may be this process that is late.
                self.look(token)?;
            }
            let slot = &self.slots[token];
            if self.is_idle(token) {
                continue;
            }
            if now >= slot.deadline || stopped {
                let outcome = self.expire(token);
                self.finish(token, outcome, now);
                continue;
            }
            let slot = &self.slots[token];
            next = next.min(slot.deadline).min(slot.exchange.wakes_at().unwrap_or(next));
        }
        self.next_sweep = next.max(now.after(SWEEP));
        Ok(())
    }

    /// Requests of an open loop that were due and for which there was no connection until the end.
    fn give_up_what_is_due(&mut self) {
        if self.stopped.is_some() || !matches!(self.load.pacing, Pacing::Open { .. }) {
            return;
        }
        let now = clock::now();
        while let Some(due) = self.next_due(now).filter(|due| *due <= now) {
            let client = (self.observations.len() as u64 % u64::from(self.load.vary.clients())) as u32;
            let waited = microseconds(now.since(due));
            if self.load.targets.len() > 1 {
                self.targets.push((self.observations.len() % self.load.targets.len()) as u8);
            }
            let outcome = ClientOutcome::Unsent;
            self.observations.push(Observation { ended: now, waited, outcome, ..unanswered(due, client, false) });
            self.connections.push(NO_CONNECTION);
        }
    }

    // A request.

    fn start(&mut self, token: usize, client: u32, due: Moment, now: Moment) -> Result<(), DriveError> {
        let index = self.observations.len();
        self.prepare(token, client);
        let reused = self.is_reused(token);
        let slot = &mut self.slots[token];
        let target = match (self.groups.backends.len(), self.load.pacing) {
            (1, _) => index % self.load.targets.len(),
            (_, Pacing::Open { .. }) => index % self.load.targets.len(),
            (_, Pacing::Closed) => self.groups.take(slot.group),
        };
        let waited = microseconds(now.since(due));
        self.observations.push(Observation { waited, ..unanswered(due, client, reused) });
        self.connections.push(NO_CONNECTION);
        if self.load.targets.len() > 1 {
            self.targets.push(target as u8);
        }
        self.in_flight += 1;
        slot.index = index;
        slot.target = target;
        slot.deadline = now.after(self.load.timeout);
        slot.returned = 0;
        if !self.lanes.is_empty() {
            return self.start_on_lane(token);
        }
        self.carry(token, now)
    }

    /// Sends the slot's request on a connection of its own.
    fn carry(&mut self, token: usize, now: Moment) -> Result<(), DriveError> {
        let &Slot { index, target, client: SlotClient { client, .. }, .. } = &self.slots[token];
        let question = self.question(index);
        let slot = &mut self.slots[token];
        if !slot.exchange.is_open() {
            // In a network of clients each connection is one client's.
            let client = if self.clients.have_connections() {
                Some(client)
            } else {
                self.load.targets[target].clients.map(|_| token as u32)
            };
            let from = client.map(connect::source);
            match slot.exchange.open(&self.load.targets[target], from, self.load.reuse) {
                Ok(()) => {
                    slot.connection = self.opened;
                    self.opened += 1;
                }
                Err(ConnectFailure::Peer(outcome)) => {
                    slot.exchange.refuse(question);
                    self.finish(token, outcome, clock::now());
                    return Ok(());
                }
                Err(ConnectFailure::Local(errno)) => return Err(DriveError::of_socket(errno, from)),
            }
        }
        self.connections[index] = slot.connection;
        if let Some(cookie) = self.clients.forget_cookies(client) {
            self.samples.lapse(question.sequence, cookie);
        }
        let template = self.clients.template(client, target, index / self.load.targets.len());
        let mut notes = ResponseNotes { backends: self.backends, samples: &mut self.samples };
        let turn = slot.exchange.start(question, template, &self.rules, &mut notes, &mut self.input, now);
        self.obey(token, turn)
    }

    /// What that request of the load asks.
    fn question(&self, index: usize) -> Question {
        let sequence = self.load.first + index as u64;
        Question {
            id: id(self.load.run, sequence),
            sequence,
            head_only: self.load.request.method == "HEAD",
            conditional: self.conditional,
        }
    }

    /// Ends a connection that cannot carry the next request, or is another client's.
    fn prepare(&mut self, token: usize, client: u32) {
        let slot = &mut self.slots[token];
        if slot.client.client != client {
            if self.clients.have_connections() {
                slot.close();
            }
            slot.client = SlotClient { client, in_a_row: 0 };
        }
        slot.client.in_a_row += 1;
        if !self.lanes.is_empty() {
            return;
        }
        match slot.exchange.look() {
            Idleness::Usable => {}
            Idleness::Ended => slot.close(),
            Idleness::Surplus => self.accuse(token),
        }
    }

    /// Bytes came on a connection after its last response, which was thought whole.
    fn accuse(&mut self, token: usize) {
        let slot = &mut self.slots[token];
        slot.close();
        let observation = &mut self.observations[slot.index];
        if matches!(observation.outcome, ClientOutcome::Response | ClientOutcome::Altered) {
            observation.outcome = ClientOutcome::Altered;
            observation.flaw = Some(Flaw::Malformed(Malformed::Surplus));
        }
    }

    fn obey(&mut self, token: usize, turn: ExchangeTurn) -> Result<(), DriveError> {
        match turn {
            ExchangeTurn::Waits(interest) => {
                let slot = &mut self.slots[token];
                if let Some(at) = slot.exchange.wakes_at() {
                    self.next_sweep = self.next_sweep.min(at);
                }
                let Some(stream) = slot.exchange.stream() else { return Ok(()) };
                self.poller
                    .watch(stream, token as u64, &mut slot.watched, interest)
                    .map_err(|errno| DriveError::of_call("watch a connection", errno))
            }
            ExchangeTurn::Over(outcome) => {
                self.finish(token, outcome, clock::now());
                Ok(())
            }
            ExchangeTurn::Unprocessed if self.slots[token].returned < MOST_RETURNS => {
                let slot = &mut self.slots[token];
                slot.returned += 1;
                slot.close();
                self.observations[slot.index].reused = false;
                self.carry(token, clock::now())
            }
            ExchangeTurn::Unprocessed => {
                self.finish(token, ClientOutcome::StreamReset, clock::now());
                Ok(())
            }
            ExchangeTurn::Local(errno) => Err(no_socket(errno)),
        }
    }

    fn serve(&mut self, token: usize, ends: bool) -> Result<(), DriveError> {
        let slot = &mut self.slots[token];
        if !slot.exchange.is_open() {
            return Ok(());
        }
        if slot.exchange.is_idle() {
            match slot.exchange.look() {
                Idleness::Usable => {}
                Idleness::Ended => slot.close(),
                Idleness::Surplus => self.accuse(token),
            }
            return Ok(());
        }
        let mut notes = ResponseNotes { backends: self.backends, samples: &mut self.samples };
        let now = if slot.exchange.wakes_at().is_some() { clock::now() } else { Moment(0) };
        let turn = slot.exchange.serve(ends, &self.rules, &mut notes, &mut self.input, now);
        self.obey(token, turn)?;
        if self.slots[token].exchange.is_idle() { self.dispatch_again(token) } else { Ok(()) }
    }

    /// In a closed loop the next request follows at once on the connection that has become free.
    fn dispatch_again(&mut self, token: usize) -> Result<(), DriveError> {
        if self.load.pacing != Pacing::Closed || self.idle.front() != Some(&token) {
            return Ok(());
        }
        let slot = &self.slots[token];
        let now = self.observations[slot.index].ended;
        if self.next_due(now).is_some()
            && let Some(client) = self.clients.take(slot.client, self.slots.len())
        {
            self.idle.pop_front();
            return self.start(token, client, now, now);
        }
        Ok(())
    }

    /// Notes what became of a request and frees its slot.
    fn finish(&mut self, token: usize, outcome: ClientOutcome, now: Moment) {
        let slot = &self.slots[token];
        let number = slot.index;
        let observation = &mut self.observations[number];
        let reader = reader(&self.lanes, token, slot);
        reader.note(observation);
        observation.ended = now;
        if let Some((instance, backend)) = reader.process() {
            self.samples.see_process(instance, backend, now);
        }
        observation.outcome = outcome;
        let client = observation.client;
        let answered = matches!(outcome, ClientOutcome::Response | ClientOutcome::Altered);
        let backend = observation.backend;
        self.answered += u64::from(answered);
        self.in_flight -= 1;
        self.clients.end(client, answered);
        let cookies = reader.cookies();
        if let Some(id) = reader.session() {
            self.clients.keep_session(client, id, &mut self.samples);
        }
        if !cookies.is_empty() {
            if let Some(place) = &self.load.session {
                if place.is_in(cookies) {
                    self.samples.sessions += 1;
                } else {
                    self.samples.see_other_cookies(cookies);
                }
            }
            self.clients.keep_cookies(client, slot.target, cookies, SystemTime::now(), &mut self.samples);
        }
        let slot = &mut self.slots[token];
        if !answered || self.load.reuse == Reuse::New || slot.exchange.is_spent() {
            slot.close();
        }
        let rests = matches!(outcome, ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed)
            && self.load.pacing == Pacing::Closed;
        let is_open = slot.exchange.is_open() || !self.lanes.is_empty();
        if rests {
            self.resting.push_back((now.after(REST), token));
        } else if self.load.pacing != Pacing::Closed && (!is_open || self.clients.have_connections()) {
            // An open loop takes a connection that is open before it opens another, unless each is another client's.
            self.idle.push_back(token);
        } else {
            // A closed loop goes on with the slot that has become free.
            self.idle.push_front(token);
        }
        if answered {
            self.count(number, backend, now);
        }
    }
}

/// A request that connection after connection gives back unprocessed has failed.
const MOST_RETURNS: u32 = 3;

fn no_socket(errno: Errno) -> DriveError {
    DriveError::of_socket(errno, None)
}

/// Of a request that has only just become due.
pub(super) fn unanswered(due: Moment, client: u32, reused: bool) -> Observation {
    Observation {
        due,
        ended: due,
        response: uuid::Uuid::nil(),
        waited: 0,
        client,
        backend: Backend::UNKNOWN,
        status: 0,
        outcome: ClientOutcome::TimedOut,
        echo: Echo::None,
        reused,
        flaw: None,
    }
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
