//! Requests one at a time, or a few held open, for experiments: each waits for its answer, or is begun and finished apart.

use std::borrow::Cow;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, sockopt};

use crate::check::load::answer::{Book, Reader, Rules, Step};
use crate::check::load::connect::{self, Failure};
use crate::check::load::engine::{DriveError, no_socket};
use crate::check::load::identity::{Backends, Identity};
use crate::check::load::jar::SetCookie;
use crate::check::load::notes::Notes;
use crate::check::load::request::{Template, Wording, id};
use crate::check::load::{Progress, Target};
use crate::io::poller::timespec;
use crate::io::stream::{Ending, Received, Stream};
use crate::io::tls::TlsFailure;
use crate::io::{clock, socket};
use crate::wire::Moment;
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};

/// Sends probes and keeps their observations.
pub struct Prober {
    target: Target,
    run: u64,
    first: u64,
    timeout: Duration,
    identity: Identity,
    wording: OwnRequest,
    progress: Option<Arc<Progress>>,
    /// By slot.
    kept: Vec<Option<Open>>,
    observations: Vec<Observation>,
    notes: Notes,
    input: Box<[u8]>,
}

/// What every request of a check has, whatever a probe adds.
#[derive(Clone, Debug)]
pub struct OwnRequest {
    /// `GET` and the like.
    pub method: String,
    /// They prevail over those of a probe, except cookies, which are sent together.
    pub headers: Vec<(String, String)>,
    /// Sent with each.
    pub body: Vec<u8>,
}

impl Default for OwnRequest {
    fn default() -> OwnRequest {
        OwnRequest { method: "GET".to_owned(), headers: Vec::new(), body: Vec::new() }
    }
}

impl OwnRequest {
    fn with<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, Cow<'a, str>)> {
        let mut all: Vec<(&str, Cow<str>)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
        for (name, value) in more {
            match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                None => all.push((name, Cow::Borrowed(value))),
                Some((_, own)) if name.eq_ignore_ascii_case("cookie") => *own = format!("{own}; {value}").into(),
                Some(_) => {}
            }
        }
        all
    }
}

struct Open {
    stream: Stream,
    /// Requests that it has carried.
    carried: u32,
}

/// One request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe<'a> {
    /// On which connection.
    pub connection: Connection,
    /// From which address; matters where a connection is opened.
    pub source: Option<IpAddr>,
    /// Path and query, if not the target's.
    pub path: Option<&'a str>,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// If not that of every request; then it has no body either.
    pub method: Option<&'a str>,
    /// If less than the timeout of all.
    pub patience: Option<Duration>,
    /// If not that of every request.
    pub body: Option<&'a [u8]>,
}

/// On which connection a probe is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Connection {
    /// One of its own, which ends with it.
    #[default]
    Fresh,
    /// That of this slot, opened if there is none (any more), and kept if the other end lets it.
    Kept(usize),
}

/// What became of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// As it stands in the list.
    pub observation: Observation,
    /// Its sequence number.
    pub sequence: u64,
    /// Those that the answer set, names and values.
    pub cookies: Vec<(String, String)>,
    /// Whether there was a connection.
    pub connected: bool,
    /// Status line and headers of the answer.
    pub head: String,
    /// The first 16 KiB of its body.
    pub body: String,
    /// Why there was no TLS, or no more of it.
    pub tls_failure: Option<TlsFailure>,
}

/// A probe whose answer is not awaited yet. Dropped, its connection ends, and its observation says that nothing came in time.
#[must_use = "a held probe is finished, or its connection ends"]
pub struct Held {
    open: Option<Open>,
    reader: Reader,
    index: usize,
    deadline: Moment,
    slot: Option<usize>,
    connected: bool,
    failed: Option<ClientOutcome>,
}

/// Bytes of an answer's body.
const BODY_LIMIT: u64 = 16 * 1024 * 1024;
const INPUT_BYTES: usize = 64 * 1024;

impl Prober {
    /// For that target. A probe has `timeout` from its begin to the end of its answer.
    pub fn new(target: Target, run: u64, first_sequence: u64, timeout: Duration, identity: Identity) -> Prober {
        Prober {
            target,
            run,
            first: first_sequence,
            timeout,
            identity,
            wording: OwnRequest::default(),
            progress: None,
            kept: Vec::new(),
            observations: Vec::new(),
            notes: Notes::default(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
        }
    }

    /// With these in every request.
    pub fn with_request(self, wording: OwnRequest) -> Prober {
        Prober { wording, ..self }
    }

    /// Counts its requests there.
    pub fn with_progress(self, progress: Arc<Progress>) -> Prober {
        Prober { progress: Some(progress), ..self }
    }

    /// Where responses from now on say who gave them.
    pub fn set_identity(&mut self, identity: Identity) {
        self.identity = identity;
    }

    /// What every request has.
    pub(crate) fn own_request(&self) -> &OwnRequest {
        &self.wording
    }

    /// Sends a request and waits for its answer. An error is of this machine, and then nothing was sent.
    pub fn probe(&mut self, probe: &Probe, backends: &mut Backends) -> Result<Seen, DriveError> {
        Ok(self.begin(probe)?.finish(self, backends))
    }

    /// Sends a request. An error is of this machine, and then nothing was sent; what the other end does shows at the end.
    pub fn begin(&mut self, probe: &Probe) -> Result<Held, DriveError> {
        let slot = match probe.connection {
            Connection::Fresh => None,
            Connection::Kept(slot) => Some(slot),
        };
        let kept = slot.and_then(|slot| self.kept.get_mut(slot)?.take());
        let now = clock::now();
        let (open, failed) = match kept.and_then(|mut open| open.stream.is_usable().then_some(open)) {
            Some(open) => (Some(open), None),
            None => match connect::open(self.target.address, probe.source) {
                Ok(socket) => {
                    let _ = sockopt::set_tcp_nodelay(&socket, true);
                    (Some(Open { stream: Stream::over(socket, self.target.tls.as_ref()), carried: 0 }), None)
                }
                Err(Failure::Peer(sight)) => (None, Some(sight)),
                Err(Failure::Local(errno)) => return Err(no_socket(errno, probe.source)),
            },
        };
        let index = self.observations.len();
        let sequence = self.first + index as u64;
        let own = self.wording.with(probe.headers);
        let headers: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        let method = probe.method.unwrap_or(&self.wording.method);
        let own_body = if probe.method.is_none() { self.wording.body.as_slice() } else { &[] };
        let body = probe.body.unwrap_or(own_body);
        let mut held = Held {
            open,
            reader: Reader::new(),
            index,
            deadline: now.after(probe.patience.map_or(self.timeout, |patience| patience.min(self.timeout))),
            slot,
            connected: false,
            failed,
        };
        held.reader.begin(&id(self.run, sequence), method == "HEAD");
        if let Some(progress) = &self.progress {
            progress.probed.fetch_add(1, Ordering::Relaxed);
        }
        self.observations.push(Observation {
            due: now,
            ended: now,
            answer: uuid::Uuid::nil(),
            waited: 0,
            client: 0,
            backend: Backend::UNKNOWN,
            status: 0,
            sight: failed.unwrap_or(ClientOutcome::TimedOut),
            echo: Echo::None,
            reused: held.open.as_ref().is_some_and(|open| open.carried > 0),
        });
        let wording = Wording {
            method,
            path: probe.path.unwrap_or(&self.target.path),
            host: &self.target.host,
            headers: &headers,
            body: body.len(),
            last: slot.is_none(),
        };
        let mut template = Template::new(&wording, self.run);
        template.append(body);
        match held.send(template.with(sequence)) {
            Ok(()) => Ok(held),
            Err(errno) => {
                self.observations.pop();
                Err(no_socket(errno, probe.source))
            }
        }
    }

    /// Ends the connection of a slot.
    pub fn close(&mut self, slot: usize) {
        if let Some(open) = self.kept.get_mut(slot) {
            *open = None;
        }
    }

    /// The sequence number of the next probe.
    pub fn next_sequence(&self) -> u64 {
        self.first + self.observations.len() as u64
    }

    /// One for each request that was sent; the place is its sequence number less the first.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// The same, and what was noted beside.
    pub fn into_observations(self) -> (Vec<Observation>, Notes) {
        (self.observations, self.notes)
    }
}

impl Held {
    /// Its sequence number.
    pub fn sequence(&self, prober: &Prober) -> u64 {
        prober.first + self.index as u64
    }

    /// Waits until the connection is established and the request is with the kernel. An error is of this machine.
    fn send(&mut self, mut request: &[u8]) -> Result<(), Errno> {
        while let Some(open) = &mut self.open
            && !(request.is_empty() && open.stream.is_flushed())
        {
            let sent = match request.is_empty() {
                true => open.stream.flush().map(|()| 0),
                false => open.stream.send(request, SendFlags::NOSIGNAL),
            };
            self.connected |= open.stream.is_secured();
            match sent {
                Ok(sent) => {
                    self.connected = true;
                    request = &request[sent..];
                }
                Err(Errno::AGAIN | Errno::INTR) => {
                    let what = if open.stream.wants_to_send() { PollFlags::OUT } else { PollFlags::IN };
                    if !wait(&open.stream, what, self.deadline) {
                        self.failed = Some(match open.stream.is_shaking_hands() {
                            _ if self.connected => ClientOutcome::TimedOut,
                            true => ClientOutcome::TlsFailed,
                            false => ClientOutcome::Unreachable,
                        });
                        return Ok(());
                    }
                }
                // The answer may have come before the connection ended: `finish` sees.
                Err(errno) if self.connected => {
                    self.failed = Some(connect::outcome(socket::ending(errno)));
                    return Ok(());
                }
                Err(_) if open.stream.tls_failure().is_some() => {
                    self.failed = Some(ClientOutcome::TlsFailed);
                    return Ok(());
                }
                // It was established, and reset before anything was sent.
                Err(Errno::CONNRESET | Errno::PIPE) => {
                    self.connected = true;
                    self.failed = Some(ClientOutcome::Reset);
                    return Ok(());
                }
                Err(errno) => match connect::failure(errno) {
                    Failure::Peer(sight) => {
                        self.failed = Some(sight);
                        return Ok(());
                    }
                    Failure::Local(errno) => return Err(errno),
                },
            }
        }
        Ok(())
    }

    /// Waits for the answer; what has come already is read even when the time is over.
    pub fn finish(mut self, prober: &mut Prober, backends: &mut Backends) -> Seen {
        let rules = Rules { identity: &prober.identity, body_limit: BODY_LIMIT, cookies: true, heads: true };
        let mut book = Book { backends, notes: &mut prober.notes };
        let sight = loop {
            let Some(open) = self.open.as_mut().filter(|_| self.connected) else {
                break self.failed.unwrap_or(ClientOutcome::Unreachable);
            };
            match open.stream.receive(&mut prober.input) {
                Received::Bytes(length) => {
                    if let Step::Over(sight) = self.reader.feed(&prober.input[..length], &rules, &mut book) {
                        break sight;
                    }
                }
                Received::Nothing => {
                    if self.failed.is_some() || !wait(&open.stream, PollFlags::IN, self.deadline) {
                        let sight = self.failed.unwrap_or(ClientOutcome::TimedOut);
                        self.reader.give_up(sight, &mut book);
                        break sight;
                    }
                }
                Received::End(ending) => {
                    let failed = self.failed.filter(|_| ending != Ending::Reset);
                    break self.reader.end(ending, &rules, &mut book).or(failed).unwrap_or(connect::outcome(ending));
                }
            }
        };
        let observation = &mut prober.observations[self.index];
        self.reader.note(observation);
        observation.sight = sight;
        observation.ended = clock::now();
        let seen = Seen {
            observation: *observation,
            sequence: prober.first + self.index as u64,
            cookies: self
                .reader
                .cookies()
                .iter()
                .filter_map(|value| SetCookie::parse(value))
                .map(|cookie| (cookie.name.to_owned(), cookie.value.to_owned()))
                .collect(),
            connected: self.connected,
            head: self.reader.head_text(),
            body: self.reader.body_text(),
            tls_failure: self.open.as_ref().and_then(|open| match (open.stream.tls_failure(), sight) {
                (None, ClientOutcome::TlsFailed) => Some(TlsFailure::TimedOut),
                (failure, _) => failure.cloned(),
            }),
        };
        if let (Some(slot), Some(mut open), true) = (self.slot, self.open, self.reader.is_reusable()) {
            open.carried += 1;
            if prober.kept.len() <= slot {
                prober.kept.resize_with(slot + 1, || None);
            }
            prober.kept[slot] = Some(open);
        }
        seen
    }
}

/// False when the time is over.
fn wait(socket: &impl AsFd, flags: PollFlags, deadline: Moment) -> bool {
    loop {
        let left = deadline.since(clock::now());
        if left.is_zero() {
            return false;
        }
        match poll(&mut [PollFd::new(socket, flags)], Some(&timespec(left))) {
            Ok(0) | Err(Errno::INTR) => {}
            // What an error means, the next call tells.
            Ok(_) | Err(_) => return true,
        }
    }
}
