//! The loop that drives a load: sockets, readiness and time. One thread, one `epoll`, level-triggered. What an answer says is
//! `answer`'s.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::net::{SendFlags, sockopt};

use crate::check::load::answer::{Book, Reader, Rules, Step};
use crate::check::load::connect::{self, Failure};
use crate::check::load::identity::{Backends, Identity};
use crate::check::load::jar::Jar;
use crate::check::load::notes::Notes;
use crate::check::load::request::{Template, Wording, id};
use crate::check::load::{Progress, Target};
use crate::io::poller::{Alarm, EventFlags, Interest, Poller};
use crate::io::stream::{Ending, Received, Stream};
use crate::io::{clock, limits, socket};
use crate::wire::Moment;
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};

/// What is sent, how fast, and for how long.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where to.
    pub target: Target,
    /// In every request's id.
    pub run: u64,
    /// Sequence number of the first request.
    pub first: u64,
    /// `GET` and the like.
    pub method: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Sent with every request.
    pub body: Vec<u8>,
    /// As many at once at most. Where clients have source addresses and connections are kept, there are at least as many as clients.
    pub connections: usize,
    /// What becomes of a connection after its answer.
    pub reuse: Reuse,
    /// When requests are sent.
    pub pacing: Pacing,
    /// So many, unless `duration` is over before.
    pub requests: Option<u64>,
    /// For so long, unless there were as many as `requests` before. With neither until it is stopped.
    pub duration: Option<Duration>,
    /// From the moment at which a request is sent, or its connection begun, to the end of its answer.
    pub timeout: Duration,
    /// Bytes of an answer's body; more are [`ClientOutcome::TooLarge`].
    pub body_limit: u64,
    /// In what requests differ.
    pub vary: Vary,
    /// Where answers say who gave them.
    pub identity: Identity,
}

/// What becomes of a connection after its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reuse {
    /// It carries the next request, if the other end lets it.
    Kept,
    /// Each request has its own, and says so.
    New,
}

/// When requests are sent.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Pacing {
    /// On each connection the next one when its answer has come. After a connection that could not be opened, its place rests
    /// for 10 ms.
    Closed,
    /// So many a second, evenly, whatever becomes of them; those for which there is no connection wait.
    Open {
        /// A second.
        rate: f64,
    },
}

/// In what the requests of virtual clients differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Vary {
    /// There is one client.
    Nothing,
    /// Their addresses: 127.0.1.1, 127.0.2.1, …; each connection belongs to a client.
    Source {
        /// How many.
        clients: u32,
    },
    /// Their paths.
    Path {
        /// In which `{}` stands for the client's number.
        template: String,
        /// How many.
        clients: u32,
    },
    /// A header whose value is `client-N`.
    Header {
        /// Its name.
        name: String,
        /// How many.
        clients: u32,
    },
    /// A cookie whose value is `client-N`.
    Cookie {
        /// Its name.
        name: String,
        /// How many.
        clients: u32,
    },
    /// Each sends the cookies that it was given.
    Jar {
        /// How many.
        clients: u32,
    },
}

impl Vary {
    /// How many virtual clients there are.
    pub fn clients(&self) -> u32 {
        match self {
            Vary::Nothing => 1,
            Vary::Source { clients }
            | Vary::Path { clients, .. }
            | Vary::Header { clients, .. }
            | Vary::Cookie { clients, .. }
            | Vary::Jar { clients } => (*clients).max(1),
        }
    }
}

/// What a drive saw.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// One for each request; the place is its sequence number less the first.
    pub observations: Vec<Observation>,
    /// What is told to people.
    pub notes: Notes,
    /// When it began.
    pub started: Moment,
    /// When the last request had ended.
    pub ended: Moment,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// Why a drive could not go on. What the other end does is no such error.
#[derive(Debug)]
pub enum DriveError {
    /// No file descriptor is left.
    OutOfFiles {
        /// The limit of this process.
        limit: Option<u64>,
    },
    /// No local port is left for a connection to the target.
    OutOfPorts,
    /// A virtual client's address cannot reach the target.
    Source(IpAddr, io::Error),
    /// Any other system call.
    System(&'static str, io::Error),
}

impl fmt::Display for DriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DriveError::OutOfFiles { limit: Some(limit) } => write!(
                f,
                "no file descriptor is left for another connection: the limit is {limit}\n  \
                 hint: raise it (ulimit -n), or use fewer connections"
            ),
            DriveError::OutOfFiles { limit: None } => f.write_str("the machine has no file descriptor left"),
            DriveError::OutOfPorts => f.write_str(
                "no local port is left for another connection to the target: those of ended connections rest for a minute\n  \
                 hint: keep connections, send more slowly, or widen net.ipv4.ip_local_port_range",
            ),
            DriveError::Source(ip, error) => write!(
                f,
                "failed to connect from {ip}: {error}\n  hint: clients with addresses of their own need a target on 127.0.0.0/8"
            ),
            DriveError::System(what, error) => write!(f, "failed to {what}: {error}"),
        }
    }
}

impl std::error::Error for DriveError {}

/// Sends the load and returns what became of each request.
pub fn drive(load: &Load, backends: &mut Backends, progress: &Progress) -> Result<Traffic, DriveError> {
    Engine::new(load, backends, progress)?.run()
}

/// A place rests for so long after a connection that could not be opened.
const REST: Duration = Duration::from_millis(10);
/// Requests in flight have so long after a stop.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// A stop is noticed within this time.
const ATTENTION: Duration = Duration::from_millis(50);
/// Timeouts are looked for no more often.
const SWEEP: Duration = Duration::from_millis(1);
const EVENTS_A_TURN: usize = 1024;
const INPUT_BYTES: usize = 64 * 1024;
/// A larger body is sent after its head, not with it.
const SMALL_BODY: usize = 16 * 1024;
/// Observations for which room is made at the start.
const RESERVED: u64 = 1 << 20;

struct Engine<'a> {
    load: &'a Load,
    rules: Rules<'a>,
    backends: &'a mut Backends,
    notes: Notes,
    progress: &'a Progress,
    poller: Poller,
    /// For an open loop: the poll's own timeout is rounded up to milliseconds.
    alarm: Option<Alarm>,
    places: Vec<Place>,
    /// Free ones, in the order in which they are taken.
    idle: VecDeque<usize>,
    /// Ones that could not connect, until then.
    resting: VecDeque<(Moment, usize)>,
    /// Of each client, or one of all.
    templates: Vec<Template>,
    jars: Vec<Jar>,
    observations: Vec<Observation>,
    in_flight: usize,
    answered: u64,
    started: Moment,
    /// Nothing that is due later is sent.
    until: Option<Moment>,
    stopped: Option<Moment>,
    next_sweep: Moment,
    input: Box<[u8]>,
    head_only: bool,
}

const ALARM: u64 = u64::MAX;

/// Room for a connection.
struct Place {
    stream: Option<Stream>,
    state: State,
    reader: Reader,
    /// Of the request in flight.
    index: usize,
    deadline: Moment,
    client: u32,
    /// Whether the connection has carried a request before.
    reused: bool,
    /// Whether it is of no further use.
    spent: bool,
    connected: bool,
    interest: Interest,
    /// What of the head has not been sent.
    outbox: Vec<u8>,
    /// What of the body has.
    body_sent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Idle,
    Sending,
    Receiving,
}

impl<'a> Engine<'a> {
    fn new(load: &'a Load, backends: &'a mut Backends, progress: &'a Progress) -> Result<Engine<'a>, DriveError> {
        limits::raise_files();
        let clients = load.vary.clients();
        let connections = match (&load.vary, load.reuse) {
            (Vary::Source { .. }, Reuse::Kept) => load.connections.max(clients as usize),
            _ => load.connections.max(1),
        };
        let poller = Poller::new().map_err(|errno| local("create a poll", errno))?;
        let alarm = match load.pacing {
            Pacing::Closed => None,
            Pacing::Open { .. } => Some(Alarm::new(&poller, ALARM).map_err(|errno| local("create a timer", errno))?),
        };
        let place = |place| Place {
            stream: None,
            state: State::Idle,
            reader: Reader::new(),
            index: 0,
            deadline: Moment(0),
            client: (place % clients as usize) as u32,
            reused: false,
            spent: false,
            connected: false,
            interest: Interest::None,
            outbox: Vec::new(),
            body_sent: 0,
        };
        let jars = match load.vary {
            Vary::Jar { clients } => vec![Jar::default(); clients.max(1) as usize],
            _ => Vec::new(),
        };
        let own_templates = match load.vary {
            Vary::Nothing | Vary::Source { .. } => 1,
            Vary::Path { .. } | Vary::Header { .. } | Vary::Cookie { .. } | Vary::Jar { .. } => clients,
        };
        let room = load.requests.unwrap_or(RESERVED).min(RESERVED) as usize;
        let started = clock::now();
        let mut observations = Vec::new();
        observations.reserve_exact(room);
        Ok(Engine {
            load,
            rules: Rules {
                identity: &load.identity,
                body_limit: load.body_limit,
                cookies: matches!(load.vary, Vary::Jar { .. }),
                heads: false,
            },
            backends,
            notes: Notes::default(),
            progress,
            poller,
            alarm,
            places: (0..connections).map(place).collect(),
            idle: (0..connections).collect(),
            resting: VecDeque::new(),
            templates: (0..own_templates).map(|client| template(load, client, None)).collect(),
            jars,
            observations,
            in_flight: 0,
            answered: 0,
            started,
            until: load.duration.map(|duration| started.after(duration)),
            stopped: None,
            next_sweep: started.after(load.timeout),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            head_only: load.method == "HEAD",
        })
    }

    fn run(mut self) -> Result<Traffic, DriveError> {
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        loop {
            let now = clock::now();
            self.keep_time(now);
            self.dispatch(now)?;
            self.report();
            if self.in_flight == 0 && !self.has_more() {
                break;
            }
            self.set_alarm();
            let timeout = self.next_wake(clock::now());
            self.poller.wait(&mut events, Some(timeout)).map_err(|errno| local("wait for connections", errno))?;
            for event in events.drain(..) {
                match event.data.u64() {
                    // It has woken the loop, which is all.
                    ALARM => {}
                    token => self.serve(token as usize, event.flags)?,
                }
            }
        }
        self.give_up_what_is_due();
        self.report();
        Ok(Traffic {
            observations: self.observations,
            notes: self.notes,
            started: self.started,
            ended: clock::now(),
            interrupted: self.stopped.is_some(),
        })
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
        let due = match self.load.pacing {
            Pacing::Closed => now,
            Pacing::Open { rate } => due(self.started, next, rate),
        };
        self.until.is_none_or(|until| due < until).then_some(due)
    }

    /// Of an open loop, what is due and has waited until after the end for as long as an answer is waited for is not sent.
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
            if let Some((_, place)) = self.resting.pop_front() {
                self.idle.push_back(place);
            }
        }
        while !self.idle.is_empty() && !self.is_over(now) {
            let now = clock::now();
            match self.next_due(now) {
                Some(due) if due <= now => {
                    if let Some(place) = self.idle.pop_front() {
                        self.start(place, due, now)?;
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn next_wake(&self, now: Moment) -> Duration {
        let rested = self.resting.front().map(|(end, _)| *end);
        let moments = [Some(self.next_sweep), rested].into_iter().flatten();
        moments.map(|moment| moment.since(now)).min().unwrap_or(ATTENTION).min(ATTENTION)
    }

    /// For the next request that is due, if there is a place for it.
    fn set_alarm(&mut self) {
        if self.alarm.is_none() {
            return;
        }
        let now = clock::now();
        let sends = !self.idle.is_empty() && !self.is_over(now);
        let due = if sends { self.next_due(now) } else { None };
        if let Some(alarm) = &mut self.alarm {
            alarm.set(due);
        }
    }

    fn keep_time(&mut self, now: Moment) {
        if self.stopped.is_none() && self.progress.is_stopping() {
            self.stopped = Some(now);
        }
        let stopped = self.stopped.is_some_and(|stopped| now >= stopped.after(STOP_GRACE));
        if now < self.next_sweep && !stopped {
            return;
        }
        let mut next = now.after(self.load.timeout);
        for place in 0..self.places.len() {
            let Place { state, deadline, connected, ref stream, .. } = self.places[place];
            if state == State::Idle {
                continue;
            }
            if now >= deadline || stopped {
                let sight = match stream {
                    _ if connected => ClientOutcome::TimedOut,
                    Some(stream) if stream.is_shaking_hands() => ClientOutcome::TlsFailed,
                    Some(_) | None => ClientOutcome::Unreachable,
                };
                self.finish(place, sight, now);
            } else {
                next = next.min(deadline);
            }
        }
        self.next_sweep = next.max(now.after(SWEEP));
    }

    /// Requests of an open loop that were due and for which there was no connection until the end.
    fn give_up_what_is_due(&mut self) {
        if self.stopped.is_some() || !matches!(self.load.pacing, Pacing::Open { .. }) {
            return;
        }
        let now = clock::now();
        while let Some(due) = self.next_due(now).filter(|due| *due <= now) {
            let client = self.client_of_next(0);
            let waited = microseconds(now.since(due));
            self.observations.push(Observation { ended: now, waited, ..unanswered(due, client, false) });
        }
    }

    // A request.

    fn client_of_next(&self, place: usize) -> u32 {
        match (&self.load.vary, self.load.reuse) {
            (Vary::Nothing, _) => 0,
            (Vary::Source { .. }, Reuse::Kept) => self.places[place].client,
            (vary, _) => (self.observations.len() as u64 % u64::from(vary.clients())) as u32,
        }
    }

    fn start(&mut self, token: usize, due: Moment, now: Moment) -> Result<(), DriveError> {
        let client = self.client_of_next(token);
        let index = self.observations.len();
        let place = &mut self.places[token];
        if place.stream.as_mut().is_some_and(|stream| !stream.is_usable()) {
            place.close();
        }
        self.observations
            .push(Observation { waited: microseconds(now.since(due)), ..unanswered(due, client, place.reused) });
        self.in_flight += 1;
        place.index = index;
        place.deadline = now.after(self.load.timeout);
        let sequence = self.load.first + index as u64;
        place.reader.begin(&id(self.load.run, sequence), self.head_only);
        if place.stream.is_none() {
            let from = matches!(self.load.vary, Vary::Source { .. }).then(|| connect::source(client));
            match connect::open(self.load.target.address, from) {
                Ok(socket) => {
                    if self.load.reuse == Reuse::Kept {
                        let _ = sockopt::set_tcp_nodelay(&socket, true);
                    }
                    place.stream = Some(Stream::over(socket, self.load.target.tls.as_ref()));
                }
                Err(Failure::Peer(sight)) => {
                    self.finish(token, sight, clock::now());
                    return Ok(());
                }
                Err(Failure::Local(errno)) => return Err(no_socket(errno, from)),
            }
        }
        let template = match self.templates.len() {
            1 => 0,
            _ => client as usize,
        };
        let head = self.templates[template].with(sequence);
        let Some(stream) = &mut place.stream else { return Ok(()) };
        let late = self.load.body.len() > SMALL_BODY;
        let flags = if late { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        match stream.send(head, flags) {
            Ok(sent) if sent == head.len() && !late && stream.is_flushed() => {
                place.connected = true;
                place.state = State::Receiving;
                self.wait_for(token, Interest::Read)
            }
            Ok(sent) => {
                place.connected = true;
                self.send_later(token, template, sent)
            }
            Err(Errno::AGAIN | Errno::INTR) => self.send_later(token, template, 0),
            Err(errno) => self.send_failed(token, errno),
        }
    }

    /// The rest of the head and a large body, when the kernel takes them.
    fn send_later(&mut self, token: usize, template: usize, sent: usize) -> Result<(), DriveError> {
        let sequence = self.load.first + self.places[token].index as u64;
        let place = &mut self.places[token];
        place.outbox.clear();
        place.outbox.extend_from_slice(&self.templates[template].with(sequence)[sent..]);
        place.body_sent = if self.load.body.len() > SMALL_BODY { 0 } else { self.load.body.len() };
        place.state = State::Sending;
        match place.connected {
            true => self.send_more(token),
            false => self.wait_to_send(token),
        }
    }

    fn send_more(&mut self, token: usize) -> Result<(), DriveError> {
        loop {
            let place = &mut self.places[token];
            let Some(stream) = &mut place.stream else { return Ok(()) };
            let rest = match place.outbox.as_slice() {
                [] => &self.load.body[place.body_sent..],
                head => head,
            };
            let sent =
                if rest.is_empty() { stream.flush().map(|()| 0) } else { stream.send(rest, SendFlags::NOSIGNAL) };
            match sent {
                Ok(_) if rest.is_empty() => {
                    place.state = State::Receiving;
                    return self.wait_for(token, Interest::Read);
                }
                Ok(sent) => {
                    place.connected = true;
                    match place.outbox.is_empty() {
                        true => place.body_sent += sent,
                        false => drop(place.outbox.drain(..sent)),
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => return self.wait_to_send(token),
                Err(errno) => return self.send_failed(token, errno),
            }
        }
    }

    fn wait_to_send(&mut self, token: usize) -> Result<(), DriveError> {
        let waits_for_answer = self.places[token].stream.as_ref().is_some_and(|stream| !stream.wants_to_send());
        self.wait_for(token, if waits_for_answer { Interest::Read } else { Interest::ReadWrite })
    }

    fn send_failed(&mut self, token: usize, errno: Errno) -> Result<(), DriveError> {
        let Place { connected, ref stream, .. } = self.places[token];
        if !connected && !stream.as_ref().is_some_and(Stream::is_secured) {
            let tls_failed = stream.as_ref().is_some_and(|stream| stream.tls_failure().is_some());
            let failure = match errno {
                _ if tls_failed => Failure::Peer(ClientOutcome::TlsFailed),
                // A connection that was established and reset before anything was sent is a connection.
                Errno::CONNRESET | Errno::PIPE => Failure::Peer(ClientOutcome::Reset),
                errno => connect::failure(errno),
            };
            return match failure {
                Failure::Peer(sight) => {
                    self.finish(token, sight, clock::now());
                    Ok(())
                }
                Failure::Local(errno) => Err(no_socket(errno, None)),
            };
        }
        // The answer may have come before the connection ended.
        self.places[token].state = State::Receiving;
        loop {
            let Some(stream) = &mut self.places[token].stream else { return Ok(()) };
            match stream.receive(&mut self.input) {
                Received::Bytes(length) => self.take(token, length, EventFlags::RDHUP),
                Received::Nothing | Received::End(_) => {
                    self.ended(token, socket::ending(errno));
                    return Ok(());
                }
            }
            if self.places[token].state == State::Idle {
                return Ok(());
            }
        }
    }

    // An answer.

    fn serve(&mut self, token: usize, flags: EventFlags) -> Result<(), DriveError> {
        let place = &mut self.places[token];
        let Some(stream) = &mut place.stream else { return Ok(()) };
        if place.state == State::Idle {
            // The other end has ended it, or says what it was not asked.
            if !stream.is_usable() {
                place.close();
            }
            return Ok(());
        }
        if place.state == State::Sending && !place.connected {
            return self.send_more(token);
        }
        while self.receive(token, flags) {}
        match self.places[token].state {
            State::Sending => self.send_more(token),
            State::Idle => self.dispatch_again(token),
            State::Receiving => Ok(()),
        }
    }

    /// Whether more may have come of which the poll does not tell.
    fn receive(&mut self, token: usize, flags: EventFlags) -> bool {
        let Some(stream) = &mut self.places[token].stream else { return false };
        match stream.receive(&mut self.input) {
            Received::Bytes(length) => {
                let more = stream.hides_bytes();
                self.take(token, length, flags);
                more && self.places[token].state != State::Idle
            }
            Received::Nothing => false,
            Received::End(ending) => {
                self.ended(token, ending);
                false
            }
        }
    }

    /// In a closed loop the next request follows at once on the connection that has become free.
    fn dispatch_again(&mut self, token: usize) -> Result<(), DriveError> {
        if self.load.pacing != Pacing::Closed || self.idle.front() != Some(&token) {
            return Ok(());
        }
        let now = self.observations[self.places[token].index].ended;
        if self.next_due(now).is_some() {
            self.idle.pop_front();
            return self.start(token, now, now);
        }
        Ok(())
    }

    fn take(&mut self, token: usize, length: usize, flags: EventFlags) {
        let place = &mut self.places[token];
        let now = clock::now();
        let mut book = Book { backends: self.backends, notes: &mut self.notes };
        match place.reader.feed(&self.input[..length], &self.rules, &mut book) {
            Step::More => {}
            Step::Over(sight) => {
                let ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
                if ended || place.state == State::Sending || !place.reader.is_reusable() {
                    place.spent = true;
                }
                self.finish(token, sight, now);
            }
        }
    }

    fn ended(&mut self, token: usize, ending: Ending) {
        let now = clock::now();
        let mut book = Book { backends: self.backends, notes: &mut self.notes };
        let sight = self.places[token].reader.end(ending, &self.rules, &mut book).unwrap_or(connect::outcome(ending));
        self.places[token].spent = true;
        self.finish(token, sight, now);
    }

    /// Notes what became of a request and frees its place.
    fn finish(&mut self, token: usize, sight: ClientOutcome, now: Moment) {
        let place = &mut self.places[token];
        let observation = &mut self.observations[place.index];
        place.reader.note(observation);
        observation.ended = now;
        observation.sight = sight;
        let answered = matches!(sight, ClientOutcome::Answer | ClientOutcome::Altered);
        self.answered += u64::from(answered);
        self.in_flight -= 1;
        place.state = State::Idle;
        if !place.reader.cookies().is_empty() {
            self.keep_cookies(token);
        }
        let place = &mut self.places[token];
        if !answered {
            place.reader.give_up(sight, &mut Book { backends: self.backends, notes: &mut self.notes });
        }
        if answered && self.load.reuse == Reuse::Kept && !place.spent {
            place.reused = true;
        } else {
            place.close();
        }
        let rests = matches!(sight, ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed)
            && self.load.pacing == Pacing::Closed;
        let own = matches!(self.load.vary, Vary::Source { .. });
        match place.stream {
            _ if rests => self.resting.push_back((now.after(REST), token)),
            // A closed loop goes on with the place that has become free. An open one takes a connection that is open before it
            // opens another, unless each is another client's.
            None if self.load.pacing != Pacing::Closed => self.idle.push_back(token),
            Some(_) if own && self.load.pacing != Pacing::Closed => self.idle.push_back(token),
            Some(_) | None => self.idle.push_front(token),
        }
    }

    fn keep_cookies(&mut self, token: usize) {
        let place = &self.places[token];
        let client = self.observations[place.index].client;
        let jar = &mut self.jars[client as usize];
        let now = SystemTime::now();
        let mut changed = false;
        for value in place.reader.cookies() {
            changed |= jar.set(value, &self.load.target.path, now);
        }
        if changed {
            self.templates[client as usize] = template(self.load, client, jar.header());
        }
    }

    fn wait_for(&mut self, token: usize, wanted: Interest) -> Result<(), DriveError> {
        let place = &mut self.places[token];
        let Some(stream) = &place.stream else { return Ok(()) };
        self.poller
            .watch(stream, token as u64, &mut place.interest, wanted)
            .map_err(|errno| local("watch a connection", errno))
    }
}

impl Place {
    fn close(&mut self) {
        self.stream = None;
        self.connected = false;
        self.reused = false;
        self.spent = false;
        self.interest = Interest::None;
    }
}

/// When the request with that number is due.
fn due(started: Moment, number: u64, rate: f64) -> Moment {
    started.after(Duration::from_nanos((number as f64 * 1e9 / rate) as u64))
}

fn unanswered(due: Moment, client: u32, reused: bool) -> Observation {
    Observation {
        due,
        ended: due,
        answer: uuid::Uuid::nil(),
        waited: 0,
        client,
        backend: Backend::UNKNOWN,
        status: 0,
        sight: ClientOutcome::TimedOut,
        echo: Echo::None,
        reused,
    }
}

/// What a client sends, with a small body.
fn template(load: &Load, client: u32, cookies: Option<String>) -> Template {
    let mut path = load.target.path.clone();
    let mut headers = load.headers.clone();
    let mut set_cookie = |pair: String| match headers.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("cookie")) {
        Some((_, others)) => *others += &format!("; {pair}"),
        None => headers.push(("Cookie".to_owned(), pair)),
    };
    match &load.vary {
        Vary::Nothing | Vary::Source { .. } => {}
        Vary::Path { template, .. } => path = template.replace("{}", &client.to_string()),
        Vary::Header { name, .. } => headers.push((name.clone(), format!("client-{client}"))),
        Vary::Cookie { name, .. } => set_cookie(format!("{name}=client-{client}")),
        Vary::Jar { .. } => cookies.into_iter().for_each(set_cookie),
    }
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let wording = Wording {
        method: &load.method,
        path: &path,
        host: &load.target.host,
        headers: &headers,
        body: load.body.len(),
        last: load.reuse == Reuse::New,
    };
    let mut template = Template::new(&wording, load.run);
    if load.body.len() <= SMALL_BODY {
        template.append(&load.body);
    }
    template
}

/// Why there is no socket for a connection.
pub(super) fn no_socket(errno: Errno, from: Option<IpAddr>) -> DriveError {
    match (errno, from) {
        (Errno::MFILE, _) => DriveError::OutOfFiles { limit: limits::files() },
        (Errno::NFILE, _) => DriveError::OutOfFiles { limit: None },
        (Errno::ADDRINUSE | Errno::ADDRNOTAVAIL, _) => DriveError::OutOfPorts,
        (errno, Some(ip)) => DriveError::Source(ip, errno.into()),
        (errno, None) => local("connect", errno),
    }
}

fn local(what: &'static str, errno: Errno) -> DriveError {
    DriveError::System(what, errno.into())
}

fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
