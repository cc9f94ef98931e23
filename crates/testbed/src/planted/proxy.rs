//! What clients share: the choice of a backend, connections to backends, and what the defect makes of it.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::BodyDecoder;
use rustix::net::RecvFlags;
use slab::Slab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;
use verdict::RequestId;

use crate::planted::behaviour::{Behaviour, Defect, PlantedAlgorithm};
use crate::planted::choice::{Places, Random, Worker, cookie_value, owner, places};
use crate::planted::link::{PlantedInFlight, PlantedLink};
use crate::planted::message::{PlantedRequest, PlantedResponse};

pub(super) struct PlantedProxy {
    pub(super) backends: Vec<u16>,
    pub(super) behaviour: Behaviour,
    pub(super) workers: RefCell<Vec<Rc<RefCell<Worker>>>>,
    pub(super) random: RefCell<Random>,
    /// Kept connections to each backend, and last to the port of the mirror.
    pub(super) pools: RefCell<Vec<Vec<PlantedLink>>>,
    pub(super) clients: RefCell<Slab<PlantedClient>>,
    pub(super) reloads: Cell<u64>,
    /// Since the defect happened last.
    pub(super) counted: Cell<u64>,
    pub(super) skewed: Cell<f64>,
    pub(super) spoiled: Arc<Mutex<Vec<Option<RequestId>>>>,
    pub(super) earlier: RefCell<Option<PlantedResponse>>,
    /// Requests in flight, without the one whose answer waits to be exchanged.
    pub(super) asking: Cell<usize>,
    pub(super) waiting: RefCell<Option<WaitingResponse>>,
}

pub(super) struct PlantedClient {
    pub(super) idle: Rc<Cell<bool>>,
    pub(super) asking: Rc<Cell<Option<InFlightId>>>,
    pub(super) task: Option<AbortHandle>,
}

/// A request in flight, by its id if it has one.
pub(super) type InFlightId = Option<RequestId>;

/// An answer that waits for another to be exchanged with.
pub(super) struct WaitingResponse {
    pub(super) answer: PlantedResponse,
    /// With true; with false if it comes back.
    pub(super) exchanged: oneshot::Sender<(PlantedResponse, bool)>,
}

pub(super) enum AttemptFailure {
    /// The connection failed, so no byte was sent.
    Unreachable,
    Closed,
    TimedOut,
}

/// What becomes of a request.
pub(super) enum ForwardOutcome {
    Answered(PlantedResponse),
    /// The response is cut in the middle of its body.
    Cut(PlantedResponse),
    /// The connection is closed without a word.
    Dropped,
}

/// A client waits for a response that may be exchanged.
pub(super) struct Asking<'a>(&'a PlantedProxy);

impl<'a> Asking<'a> {
    pub(super) fn begin(proxy: &'a PlantedProxy) -> Asking<'a> {
        proxy.asking.set(proxy.asking.get() + 1);
        Asking(proxy)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asking.set(self.0.asking.get() - 1);
        if self.0.asking.get() == 0
            && let Some(alone) = self.0.waiting.take()
        {
            // Nobody is left to exchange with.
            let _ = alone.exchanged.send((alone.answer, false));
        }
    }
}

/// What a choice came to.
pub(super) struct ChosenBackend {
    pub(super) place: usize,
    pub(super) sets_cookie: bool,
}

impl PlantedProxy {
    pub(super) fn new(
        backends: Vec<u16>,
        behaviour: Behaviour,
        spoiled: Arc<Mutex<Vec<Option<RequestId>>>>,
    ) -> PlantedProxy {
        let seed = behaviour.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1);
        let proxy = PlantedProxy {
            pools: RefCell::new((0..=backends.len()).map(|_| Vec::new()).collect()),
            backends,
            behaviour,
            workers: RefCell::default(),
            random: RefCell::new(Random(seed)),
            clients: RefCell::default(),
            reloads: Cell::new(0),
            counted: Cell::new(0),
            skewed: Cell::new(0.0),
            spoiled,
            earlier: RefCell::default(),
            asking: Cell::new(0),
            waiting: RefCell::default(),
        };
        proxy.begin();
        proxy
    }

    /// Begins with workers that know nothing yet.
    pub(super) fn begin(&self) {
        let worker = || Rc::new(RefCell::new(Worker::new(self.backends.len())));
        *self.workers.borrow_mut() = (0..self.behaviour.rotations).map(|_| worker()).collect();
    }

    pub(super) async fn reload(&self) {
        self.reloads.set(self.reloads.get() + 1);
        self.begin();
        let mut closing = Vec::new();
        for (number, client) in self.clients.borrow().iter() {
            let lost = client.asking.get().filter(|_| self.behaviour.defect == Defect::LosesAtReload);
            self.spoiled.lock().expect("nobody panics with it").extend(lost);
            if let Some(task) = client.task.as_ref().filter(|_| client.idle.get() || lost.is_some()) {
                task.abort();
                closing.push(number);
            }
        }
        // They end when it is their turn. Meanwhile nobody is welcomed, who could have the number of one of them.
        while closing.iter().any(|number| self.clients.borrow().contains(*number)) {
            tokio::task::yield_now().await;
        }
    }

    // Choosing.

    /// None if all that may be asked have been tried.
    pub(super) fn choose(
        &self,
        worker: &Rc<RefCell<Worker>>,
        request: &PlantedRequest,
        tried: Places,
    ) -> Option<ChosenBackend> {
        let mut worker = worker.borrow_mut();
        let mut random = self.random.borrow_mut();
        let open = self.open(&worker, tried);
        if open == 0 {
            return None;
        }
        let hashed = |key: Option<u64>, worker: &mut Worker| match key {
            Some(key) => owner(key, open),
            None => worker.round_robin(open),
        };
        let mut sets_cookie = false;
        let mut place = match &self.behaviour.algorithm {
            PlantedAlgorithm::RoundRobin | PlantedAlgorithm::PerConnection => worker.round_robin(open),
            PlantedAlgorithm::SmoothWeighted(weights) => worker.smooth(weights, open)?,
            PlantedAlgorithm::BlockWeighted(weights) => worker.blocks(weights, open)?,
            PlantedAlgorithm::ShuffledBlocks => worker.shuffled(open, &mut random),
            PlantedAlgorithm::Random => random.among(open),
            PlantedAlgorithm::RandomWeighted(weights) => random.weighted(weights, open)?,
            PlantedAlgorithm::LeastConnections { ties } => worker.fewest(*ties, open, &mut random),
            PlantedAlgorithm::TwoChoices { replacement } => {
                let first = random.among(open);
                let others = if *replacement { open } else { open & !(1 << first) };
                let second = if others == 0 { first } else { random.among(others) };
                let fewer = worker.peers[second].in_flight < worker.peers[first].in_flight;
                if fewer { second } else { first }
            }
            PlantedAlgorithm::SourceHash { .. } | PlantedAlgorithm::UriHash => hashed(request.key, &mut worker),
            PlantedAlgorithm::HeaderHash(_) | PlantedAlgorithm::CookieHash(_) => hashed(request.key, &mut worker),
            PlantedAlgorithm::StickyCookie(_) => match request.pinned.filter(|pinned| open & 1 << pinned != 0) {
                Some(pinned) => match (self.behaviour.defect, open & !(1 << pinned)) {
                    (Defect::ForgetsSticky(n), others) if others != 0 && tried == 0 && self.is_due(n) => {
                        self.note(request);
                        worker.round_robin(others)
                    }
                    _ => pinned,
                },
                None => {
                    sets_cookie = true;
                    worker.round_robin(open)
                }
            },
            PlantedAlgorithm::First => open.trailing_zeros() as usize,
        };
        if let Defect::Skew(share) = self.behaviour.defect {
            place = self.skew(place, share, open, &mut random);
        }
        if let Some(ejection) = &self.behaviour.ejection {
            let (peer, now) = (&mut worker.peers[place], Instant::now());
            if peer.checked.is_some_and(|checked| now - checked > ejection.fail_timeout) {
                peer.checked = Some(now);
            }
        }
        Some(ChosenBackend { place, sets_cookie })
    }

    /// Backends that may be asked: none that was tried, and none that is ejected unless all are.
    fn open(&self, worker: &Worker, tried: Places) -> Places {
        let last = self.backends.len() - 1;
        let mut all = Places::MAX >> (127 - last);
        if self.behaviour.defect == Defect::MissingBackend {
            all &= !(1 << last);
        }
        let open = all & !tried;
        let Some(ejection) = &self.behaviour.ejection else { return open };
        let now = Instant::now();
        let out = places(all).filter(|place| worker.is_out(*place, ejection, now));
        let out = out.fold(0, |out: Places, place| out | 1 << place);
        if out == all { open } else { open & !out }
    }

    /// Gives the last backend but one a part of what the last should get, or the other way round: `share` of what both get.
    fn skew(&self, place: usize, share: f64, open: Places, random: &mut Random) -> usize {
        let last = self.backends.len() - 1;
        if last == 0 || place + 1 < last || open >> (last - 1) != 0b11 {
            return place;
        }
        let draws = matches!(
            self.behaviour.algorithm,
            PlantedAlgorithm::Random | PlantedAlgorithm::RandomWeighted(_) | PlantedAlgorithm::TwoChoices { .. }
        );
        let is_first = if draws {
            random.share() < share
        } else {
            // The small excess is for the rounding of a sum of many shares.
            let sum = self.skewed.get() + share;
            let is_first = sum >= 1.0 - 1e-9;
            self.skewed.set(if is_first { sum - 1.0 } else { sum });
            is_first
        };
        if is_first { last - 1 } else { last }
    }

    pub(super) fn failed(&self, worker: &Rc<RefCell<Worker>>, place: usize) {
        if self.behaviour.ejection.is_some() {
            let peer = &mut worker.borrow_mut().peers[place];
            peer.fails += 1;
            peer.failed = Some(Instant::now());
            peer.checked = peer.failed;
        }
    }

    pub(super) fn succeeded(&self, worker: &Rc<RefCell<Worker>>, place: usize) {
        let peer = &mut worker.borrow_mut().peers[place];
        // As with NGINX: only what was tried after `fail_timeout` forgives.
        if peer.failed < peer.checked {
            peer.fails = 0;
        }
    }

    // Defects.

    /// Counts one to which the defect can happen; whether it does.
    pub(super) fn is_due(&self, n: u64) -> bool {
        let counted = self.counted.get() + 1;
        let is_due = counted >= n;
        self.counted.set(if is_due { 0 } else { counted });
        is_due
    }

    /// Another one that it cannot happen to although it may be due.
    pub(super) fn postpone(&self) {
        self.counted.set(self.counted.get() + 1);
    }

    pub(super) fn note(&self, request: &PlantedRequest) {
        self.spoiled.lock().expect("nobody panics with it").push(request.id);
    }

    /// Whether answers must be known to their end before anything of them is delivered.
    pub(super) fn collects(&self) -> bool {
        match self.behaviour.defect {
            Defect::TwiceEvery(_)
            | Defect::CachedEvery(_)
            | Defect::SwapEvery(_)
            | Defect::RetriesPost(_)
            | Defect::Truncates(_)
            | Defect::Alters(_)
            | Defect::DropsEvery(_) => true,
            Defect::None
            | Defect::Skew(_)
            | Defect::MissingBackend
            | Defect::ForgetsSticky(_)
            | Defect::LosesAtReload
            | Defect::StripsRequestHeader
            | Defect::StripsAnswerHeaders
            | Defect::OwnErrorEvery(_)
            | Defect::Mirror(_)
            | Defect::NeverAnswers
            | Defect::Endless => false,
        }
    }

    // Asking backends.

    /// A kept connection or a new one.
    pub(super) async fn link(&self, place: usize, port: u16) -> Result<PlantedLink, AttemptFailure> {
        while let Some(link) = self.pools.borrow_mut()[place].pop() {
            // Closed or not, a connection that has something to say cannot be used.
            let silent = rustix::net::recv(&link.stream, &mut [0; 1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
            if silent == Err(rustix::io::Errno::AGAIN) {
                return Ok(link);
            }
        }
        let connecting = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let connected = match self.behaviour.backend_timeout {
            Some(limit) => timeout(limit, connecting).await.unwrap_or(Err(ErrorKind::TimedOut.into())),
            None => connecting.await,
        };
        let stream = connected.map_err(|_| AttemptFailure::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| AttemptFailure::Unreachable)?;
        Ok(PlantedLink { stream, place })
    }

    pub(super) async fn read(&self, stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, AttemptFailure> {
        bytes.reserve(8 * 1024);
        let reading = stream.read_buf(bytes);
        let read = match self.behaviour.backend_timeout {
            Some(limit) => timeout(limit, reading).await.map_err(|_| AttemptFailure::TimedOut)?,
            None => reading.await,
        };
        read.map_err(|_| AttemptFailure::Closed)
    }

    /// The response at least up to the end of its head; to its end if it came with that or must be known.
    pub(super) async fn exchange(
        &self,
        mut link: PlantedLink,
        request: &PlantedRequest,
        bytes: &[u8],
    ) -> Result<PlantedResponse, AttemptFailure> {
        link.stream.write_all(bytes).await.map_err(|_| AttemptFailure::Closed)?;
        let mut read = Vec::new();
        let mut answer = loop {
            if self.read(&mut link.stream, &mut read).await? == 0 {
                return Err(AttemptFailure::Closed);
            }
            if let Some(answer) =
                PlantedResponse::parse(&mut read, request, self.behaviour.defect).ok_or(AttemptFailure::Closed)?
            {
                break answer;
            }
        };
        if self.collects() {
            while !answer.is_complete() {
                let from = answer.bytes.len();
                match self.read(&mut link.stream, &mut answer.bytes).await {
                    Ok(0) if matches!(answer.body, BodyDecoder::UntilClose) => answer.body = BodyDecoder::Done,
                    Ok(0) | Err(_) => break,
                    Ok(_) => answer.take(from),
                }
            }
        }
        answer.link = Some(link).filter(|_| !answer.is_complete() || answer.keeps);
        Ok(answer)
    }

    /// What was used for it to its end can be used again.
    pub(super) fn release(&self, answer: &mut PlantedResponse) {
        if answer.is_complete()
            && let Some(link) = answer.link.take().filter(|_| self.behaviour.keeps_connections)
        {
            self.pools.borrow_mut()[link.place].push(link);
        }
    }

    /// From whoever is next until somebody answers.
    pub(super) async fn forward(
        &self,
        worker: &Rc<RefCell<Worker>>,
        request: &PlantedRequest,
        bytes: &[u8],
    ) -> (Option<usize>, PlantedResponse) {
        let mut tried = 0;
        let mut refused = None;
        let mut last = AttemptFailure::Closed;
        while let Some(ChosenBackend { place, sets_cookie }) = self.choose(worker, request, tried) {
            tried |= 1 << place;
            let in_flight = PlantedInFlight::begin(worker, place);
            let asked = match self.link(place, self.backends[place]).await {
                Ok(link) => self.exchange(link, request, bytes).await,
                Err(failure) => Err(failure),
            };
            let failure = match asked {
                Ok(mut answer) => {
                    if sets_cookie && let PlantedAlgorithm::StickyCookie(name) = self.behaviour.algorithm {
                        answer.add(&format!("Set-Cookie: {name}={}; Path=/\r\n", cookie_value(place)));
                    }
                    self.release(&mut answer);
                    answer.in_flight = answer.link.is_some().then_some(in_flight);
                    if !self.behaviour.retry_statuses.contains(&answer.status) {
                        self.succeeded(worker, place);
                        return (Some(place), answer);
                    }
                    self.failed(worker, place);
                    if !request.is_idempotent && !self.behaviour.retry_post {
                        return (Some(place), answer);
                    }
                    refused = Some((Some(place), answer));
                    continue;
                }
                Err(failure) => failure,
            };
            self.failed(worker, place);
            let goes_on = match failure {
                AttemptFailure::Unreachable => true,
                AttemptFailure::Closed | AttemptFailure::TimedOut if request.is_idempotent => self.behaviour.retries,
                AttemptFailure::Closed | AttemptFailure::TimedOut => self.behaviour.retry_post,
            };
            (last, refused) = (failure, None);
            if !goes_on {
                break;
            }
        }
        refused.unwrap_or_else(|| match last {
            AttemptFailure::Unreachable | AttemptFailure::Closed => {
                (None, PlantedResponse::error("502 Bad Gateway", request))
            }
            AttemptFailure::TimedOut => (None, PlantedResponse::error("504 Gateway Timeout", request)),
        })
    }

    /// To another backend than `first`, the next that can be reached.
    pub(super) async fn repeat(&self, n: u64, first: usize, request: &PlantedRequest, bytes: &[u8]) {
        let count = self.backends.len();
        for place in (first + 1..first + count).map(|place| place % count) {
            let Ok(link) = self.link(place, self.backends[place]).await else { continue };
            match self.exchange(link, request, bytes).await {
                Ok(mut answer) if answer.is_complete() => {
                    self.release(&mut answer);
                    return self.note(request);
                }
                // It may have got the request, but it has not answered.
                Ok(_) | Err(_) => break,
            }
        }
        self.counted.set(n - 1);
    }

    pub(super) fn mirror(self: &Rc<Self>, port: u16, request: &PlantedRequest, bytes: &[u8]) {
        let (proxy, request, bytes) = (Rc::clone(self), request.clone(), bytes.to_vec());
        self.note(&request);
        spawn_local(async move {
            if let Ok(link) = proxy.link(proxy.backends.len(), port).await {
                let Ok(mut answer) = proxy.exchange(link, &request, &bytes).await else { return };
                let Some(mut rest) = answer.link.take_if(|_| !matches!(answer.body, BodyDecoder::Done)) else {
                    return proxy.release(&mut answer);
                };
                let mut ignored = Vec::new();
                while proxy.read(&mut rest.stream, &mut ignored).await.is_ok_and(|length| length > 0) {
                    ignored.clear();
                }
            }
        });
    }

    /// Gives it for another client's answer, now or when one comes.
    pub(super) async fn swap(
        &self,
        n: u64,
        asking: Asking<'_>,
        request: &PlantedRequest,
        answer: PlantedResponse,
    ) -> PlantedResponse {
        if !answer.is_complete() || answer.status != 200 || request.is_head {
            return answer;
        }
        if let Some(waiting) = self.waiting.take() {
            return match waiting.exchanged.send((answer, true)) {
                Ok(()) => {
                    self.note(request);
                    waiting.answer
                }
                // That client was closed by a reload.
                Err((own, _)) => own,
            };
        }
        if self.asking.get() == 1 {
            self.postpone();
            return answer;
        }
        if !self.is_due(n) {
            return answer;
        }
        let (exchanged, other) = oneshot::channel();
        *self.waiting.borrow_mut() = Some(WaitingResponse { answer, exchanged });
        drop(asking);
        let (other, is_another) = other.await.expect("whoever takes it gives one for it");
        if is_another {
            self.note(request);
        } else {
            self.counted.set(n - 1);
        }
        other
    }

    /// What the defect makes of a response that has come from a backend.
    pub(super) async fn spoil(
        &self,
        place: usize,
        asking: Asking<'_>,
        request: &PlantedRequest,
        bytes: &[u8],
        mut answer: PlantedResponse,
    ) -> ForwardOutcome {
        let complete = answer.is_complete();
        let has_body = complete && answer.bytes.len() > answer.head;
        match self.behaviour.defect {
            Defect::TwiceEvery(n) if complete && self.is_due(n) => self.repeat(n, place, request, bytes).await,
            Defect::RetriesPost(n) if complete && request.is_post && self.is_due(n) => {
                self.repeat(n, place, request, bytes).await;
            }
            Defect::CachedEvery(_) if complete && request.is_get && answer.status == 200 => {
                *self.earlier.borrow_mut() = Some(answer.copy());
            }
            Defect::SwapEvery(n) => answer = self.swap(n, asking, request, answer).await,
            Defect::Truncates(n) if has_body && self.is_due(n) => {
                self.note(request);
                return ForwardOutcome::Cut(answer);
            }
            Defect::Alters(n) if has_body && self.is_due(n) => {
                self.note(request);
                answer.bytes[answer.head..].iter_mut().step_by(16).for_each(|byte| *byte ^= 1);
            }
            Defect::DropsEvery(n) if complete && self.is_due(n) => {
                self.note(request);
                return ForwardOutcome::Dropped;
            }
            _ => {}
        }
        ForwardOutcome::Answered(answer)
    }
}
