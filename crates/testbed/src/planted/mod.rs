//! A reverse proxy for HTTP/1.1 that does exactly what it is told, also what no balancer should do: the ground truth for the check. `tests/balancer.rs`
//! holds it to what stands here.
//!
//! It reads a request to its end before it asks a backend, and asks on when the client has left meanwhile.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Result as Io};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as Listening};
use std::rc::Rc;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use slab::Slab;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::timeout;
use verdict::RequestId;

use choice::{Places, Random, Worker, cookie_value, owner, places};
use http::Body;
use message::{Answer, NoRequest, Parsed, Request};

mod choice;
mod message;

/// Who gets a request. Backends are meant by their place in the list that [`Balancer::start`] was given.
#[derive(Clone, Debug, Default)]
pub enum Algorithm {
    /// `abcabc`, from the first on.
    #[default]
    RoundRobin,
    /// NGINX's: 5:1:1 gives `aabacaa`.
    SmoothWeighted(Vec<u32>),
    /// 5:1:1 gives `aaaaabc`.
    BlockWeighted(Vec<u32>),
    /// Each block of as many requests as there are backends is a random permutation of them, as with Traefik.
    ShuffledBlocks,
    /// A fair draw for each request.
    Random,
    /// A draw for each request in these proportions.
    RandomWeighted(Vec<u32>),
    /// Who has the fewest requests in flight.
    LeastConnections {
        /// Who, when several have.
        ties: Ties,
    },
    /// Of two that are drawn, who has fewer requests in flight, the first at a tie. With replacement both may be the same.
    TwoChoices {
        /// Both draws may give the same.
        replacement: bool,
    },
    /// By the client's address or, with `block`, by its first 24 bits.
    SourceHash {
        /// Only the first 24 bits count.
        block: bool,
    },
    /// By path and query.
    UriHash,
    /// By the value of this header; round robin without one.
    HeaderHash(&'static str),
    /// By the value of this cookie; round robin without one.
    CookieHash(&'static str),
    /// A first answer sets this cookie, and who sends it gets the same backend; all others round robin.
    StickyCookie(&'static str),
    /// As on layer 4: each client connection is tied to one connection to one backend, round robin, when it is accepted. What
    /// happens to one happens to the other; nothing is retried.
    PerConnection,
    /// All to the first that can be reached.
    First,
}

/// Who gets a request when several have the fewest in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ties {
    /// Each in turn.
    RoundRobin,
    /// By a fair draw.
    Random,
}

/// What it does wrong. `n`: every n-th of those that it can happen to; when it cannot happen to the n-th, then to the first after
/// it. All of them keep the rest of HTTP in order.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Defect {
    /// Nothing.
    #[default]
    None,
    /// Of the requests that the algorithm gives to the last two backends, this share goes to the first of the two: evenly spread
    /// if the algorithm draws no lots, else drawn.
    Skew(f64),
    /// The last backend never gets anything.
    MissingBackend,
    /// Every n-th request that a backend has answered goes to another backend too. The first answer is delivered, after the second
    /// has come.
    TwiceEvery(u64),
    /// Every n-th GET is answered with the latest earlier 200 for a GET, whatever its path, byte by byte. No backend gets it.
    CachedEvery(u64),
    /// Every n-th complete 200 is exchanged for that of another client connection; waits for the next when others are in flight.
    SwapEvery(u64),
    /// Every n-th request with a valid cookie of [`Algorithm::StickyCookie`] goes to another backend. No cookie is set then.
    ForgetsSticky(u64),
    /// As [`Defect::TwiceEvery`], of the POSTs.
    RetriesPost(u64),
    /// At a reload, clients with a request in flight have their connection closed without an answer.
    LosesAtReload,
    /// Every n-th answer with a body ends in the middle of it, and with it the connection. Its head says the whole length.
    Truncates(u64),
    /// In every n-th answer with a body, every 16th byte of that is another.
    Alters(u64),
    /// Backends do not get Check-Request-Id.
    StripsRequestHeader,
    /// Clients do not get Generator-Number, Answer-Id and Check-Request-Id.
    StripsAnswerHeaders,
    /// Every n-th request is answered with 502. No backend gets it.
    OwnErrorEvery(u64),
    /// Every n-th request that a backend has answered completely: the client's connection is closed instead.
    DropsEvery(u64),
    /// A copy of each request goes to this port of loopback too; what it answers is read and ignored.
    Mirror(u16),
    /// Reads what clients send and is silent. No backend gets it.
    NeverAnswers,
    /// Answers with 200 and a body of 10 GiB. No backend gets it.
    Endless,
}

/// What happens to backends that fail, as NGINX has it.
#[derive(Clone, Copy, Debug)]
pub struct Ejection {
    /// So many failures, and it gets nothing for `fail_timeout`; then one request to try. When all are out, all are in.
    pub max_fails: u32,
    /// For so long.
    pub fail_timeout: Duration,
}

/// All that it does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Who gets a request.
    pub algorithm: Algorithm,
    /// So many workers that know nothing of each other: cursors, requests in flight and failures are each one's own. A client
    /// connection belongs to one at random.
    pub cursors: usize,
    /// What it does wrong.
    pub defect: Defect,
    /// Requests that are no POST or PATCH go to the next backend if one closes without an answer or does not answer in time. A
    /// refused connection leads to the next one always. A request goes to each backend once at most.
    pub retries: bool,
    /// The same for POST and PATCH.
    pub retry_post: bool,
    /// Such an answer is a failure like the others, but delivered if there is no next backend. POST and PATCH: with `retry_post`.
    pub retry_statuses: Vec<u16>,
    /// A backend that is silent for longer has failed. If it was the last to be tried, the answer is 504, else it is 502.
    pub backend_timeout: Option<Duration>,
    /// Backends that fail get nothing for a while.
    pub ejection: Option<Ejection>,
    /// Whether connections to backends are used again.
    pub keeps_connections: bool,
    /// Where its random numbers begin; none: anywhere.
    pub seed: Option<u64>,
}

impl Default for Behaviour {
    /// Round robin with one cursor, no defect, no retries and no timeout.
    fn default() -> Behaviour {
        Behaviour {
            algorithm: Algorithm::default(),
            cursors: 1,
            defect: Defect::None,
            retries: false,
            retry_post: false,
            retry_statuses: Vec::new(),
            backend_timeout: None,
            ejection: None,
            keeps_connections: true,
            seed: None,
        }
    }
}

impl From<Algorithm> for Behaviour {
    fn from(algorithm: Algorithm) -> Behaviour {
        Behaviour { algorithm, ..Behaviour::default() }
    }
}

impl From<Defect> for Behaviour {
    fn from(defect: Defect) -> Behaviour {
        Behaviour { defect, ..Behaviour::default() }
    }
}

/// A running balancer with a thread of its own. Dropping it ends it and all of its connections.
pub struct Balancer {
    port: u16,
    orders: Option<UnboundedSender<Reload>>,
    spoiled: Arc<Mutex<Vec<Option<RequestId>>>>,
    thread: Option<JoinHandle<()>>,
}

struct Reload {
    done: mpsc::Sender<()>,
}

impl Balancer {
    /// On a free port of loopback, in front of these ports of 127.0.0.1, at most 128.
    pub fn start(backends: &[u16], behaviour: impl Into<Behaviour>) -> Balancer {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Balancer::listen(any, backends, behaviour).expect("a port of loopback is free")
    }

    /// On that address. An error means that it cannot be had.
    pub fn listen(address: SocketAddr, backends: &[u16], behaviour: impl Into<Behaviour>) -> Io<Balancer> {
        let behaviour = behaviour.into();
        assert!((1..=128).contains(&backends.len()) && behaviour.cursors > 0, "{backends:?}, {behaviour:?}");
        if let Algorithm::SmoothWeighted(weights)
        | Algorithm::BlockWeighted(weights)
        | Algorithm::RandomWeighted(weights) = &behaviour.algorithm
        {
            assert!(weights.len() == backends.len() && weights.iter().any(|weight| *weight > 0), "{weights:?}");
        }
        let listening = Listening::bind(address)?;
        // More than the standard library asks for: many clients may come at once.
        rustix::net::listen(&listening, 4096)?;
        listening.set_nonblocking(true)?;
        let port = listening.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let spoiled = Arc::default();
        let (orders, received) = unbounded_channel();
        let (backends, noted) = (backends.to_vec(), Arc::clone(&spoiled));
        let thread = std::thread::spawn(move || {
            let site = Rc::new(Site::new(backends, behaviour, noted));
            LocalSet::new().block_on(&runtime, site.accept(listening, received));
        });
        Ok(Balancer { port, orders: Some(orders), spoiled, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Its cursors begin anew, failures are forgotten, kept client connections that wait for a request are closed, and those with a
    /// request in flight (or the first one yet to come) after its answer, which says so. Returns when it has happened.
    pub fn reload(&self) {
        let (done, happened) = mpsc::channel();
        let order = self.orders.as_ref().map(|orders| orders.send(Reload { done }));
        assert!(matches!(order, Some(Ok(()))), "the balancer has panicked");
        happened.recv().expect("a reload is answered");
    }

    /// To which requests the defect has happened so far, by their ids if they had one. An exchange of two answers counts twice;
    /// Skew, MissingBackend, NeverAnswers, Endless and headers that are stripped count nothing.
    pub fn spoiled(&self) -> Vec<Option<RequestId>> {
        self.spoiled.lock().expect("nobody panics with it").clone()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

// One balancer.

struct Site {
    backends: Vec<u16>,
    behaviour: Behaviour,
    workers: RefCell<Vec<Rc<RefCell<Worker>>>>,
    random: RefCell<Random>,
    /// Kept connections to each backend, and last to the port of the mirror.
    pools: RefCell<Vec<Vec<Link>>>,
    clients: RefCell<Slab<Client>>,
    reloads: Cell<u64>,
    /// Since the defect happened last.
    counted: Cell<u64>,
    skewed: Cell<f64>,
    spoiled: Arc<Mutex<Vec<Option<RequestId>>>>,
    earlier: RefCell<Option<Answer>>,
    /// Requests in flight, without the one whose answer waits to be exchanged.
    asking: Cell<usize>,
    waiting: RefCell<Option<Waiting>>,
}

struct Client {
    idle: Rc<Cell<bool>>,
    asking: Rc<Cell<Option<Asked>>>,
    task: Option<AbortHandle>,
}

/// A request in flight, by its id if it has one.
type Asked = Option<RequestId>;

/// An answer that waits for another to be exchanged with.
struct Waiting {
    answer: Answer,
    /// With true; with false if it comes back.
    exchanged: oneshot::Sender<(Answer, bool)>,
}

/// A connection to a backend, and its place.
struct Link {
    stream: TcpStream,
    place: usize,
}

enum Failure {
    /// Nothing was sent.
    Unreachable,
    Closed,
    TimedOut,
}

/// What becomes of a request.
enum Outcome {
    Answered(Answer),
    /// The answer is cut in the middle of its body.
    Cut(Answer),
    /// The connection is closed without a word.
    Dropped,
}

/// A backend has a request in flight as long as this lives.
struct InFlight {
    worker: Rc<RefCell<Worker>>,
    place: usize,
}

impl InFlight {
    fn begin(worker: &Rc<RefCell<Worker>>, place: usize) -> InFlight {
        worker.borrow_mut().peers[place].in_flight += 1;
        InFlight { worker: Rc::clone(worker), place }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.worker.borrow_mut().peers[self.place].in_flight -= 1;
    }
}

/// A client waits for an answer that may be exchanged.
struct Asking<'a>(&'a Site);

impl<'a> Asking<'a> {
    fn begin(site: &'a Site) -> Asking<'a> {
        site.asking.set(site.asking.get() + 1);
        Asking(site)
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
struct Choice {
    place: usize,
    sets_cookie: bool,
}

impl Site {
    fn new(backends: Vec<u16>, behaviour: Behaviour, spoiled: Arc<Mutex<Vec<Option<RequestId>>>>) -> Site {
        let seed = behaviour.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().1);
        let site = Site {
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
        site.begin();
        site
    }

    /// With workers that know nothing yet.
    fn begin(&self) {
        let worker = || Rc::new(RefCell::new(Worker::new(self.backends.len())));
        *self.workers.borrow_mut() = (0..self.behaviour.cursors).map(|_| worker()).collect();
    }

    /// Until nobody can give orders any more.
    async fn accept(self: Rc<Self>, listening: Listening, mut orders: UnboundedReceiver<Reload>) {
        let listener = TcpListener::from_std(listening).expect("the runtime takes a socket that does not block");
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(reload) => {
                        self.reload().await;
                        let _ = reload.done.send(());
                    }
                    None => return,
                },
                accepted = listener.accept() => {
                    // A client that has left before it was welcomed, or no descriptor is free.
                    let Ok((stream, peer)) = accepted else { continue };
                    self.welcome(stream, peer.ip());
                }
            }
        }
    }

    fn welcome(self: &Rc<Self>, stream: TcpStream, peer: IpAddr) {
        let _ = stream.set_nodelay(true);
        let (idle, asking) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(None)));
        let client = Client { idle: Rc::clone(&idle), asking: Rc::clone(&asking), task: None };
        let number = self.clients.borrow_mut().insert(client);
        let index = self.random.borrow_mut().below(self.behaviour.cursors);
        let worker = Rc::clone(&self.workers.borrow()[index]);
        let leaving = Leaving { site: Rc::clone(self), number };
        let reloads = self.reloads.get();
        let task = spawn_local(async move {
            let site = &leaving.site;
            let unread = Vec::new();
            let (tied, link, is_kept) = (None, None, false);
            let mut dialogue =
                Dialogue { site, stream, peer, worker, idle, asking, reloads, tied, link, is_kept, unread };
            // A client that goes away is no concern of ours.
            let _ = match site.behaviour.defect {
                Defect::NeverAnswers => dialogue.listen().await,
                Defect::Endless => dialogue.talk().await,
                _ => dialogue.serve().await,
            };
        });
        self.clients.borrow_mut()[number].task = Some(task.abort_handle());
    }

    async fn reload(&self) {
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
    fn choose(&self, worker: &Rc<RefCell<Worker>>, request: &Request, tried: Places) -> Option<Choice> {
        let mut worker = worker.borrow_mut();
        let mut random = self.random.borrow_mut();
        let last = self.backends.len() - 1;
        let mut all = Places::MAX >> (127 - last);
        if self.behaviour.defect == Defect::MissingBackend {
            all &= !(1 << last);
        }
        let mut open = all & !tried;
        if let Some(ejection) = &self.behaviour.ejection {
            let now = Instant::now();
            let out = places(all).filter(|place| worker.is_out(*place, ejection, now));
            let out = out.fold(0, |out: Places, place| out | 1 << place);
            if out != all {
                open &= !out;
            }
        }
        if open == 0 {
            return None;
        }
        let hashed = |key: Option<u64>, worker: &mut Worker| match key {
            Some(key) => owner(key, open),
            None => worker.round_robin(open),
        };
        let mut sets_cookie = false;
        let mut place = match &self.behaviour.algorithm {
            Algorithm::RoundRobin | Algorithm::PerConnection => worker.round_robin(open),
            Algorithm::SmoothWeighted(weights) => worker.smooth(weights, open)?,
            Algorithm::BlockWeighted(weights) => worker.blocks(weights, open)?,
            Algorithm::ShuffledBlocks => worker.shuffled(open, &mut random),
            Algorithm::Random => random.among(open),
            Algorithm::RandomWeighted(weights) => random.weighted(weights, open)?,
            Algorithm::LeastConnections { ties } => worker.fewest(*ties, open, &mut random),
            Algorithm::TwoChoices { replacement } => {
                let first = random.among(open);
                let others = if *replacement { open } else { open & !(1 << first) };
                let second = if others == 0 { first } else { random.among(others) };
                let fewer = worker.peers[second].in_flight < worker.peers[first].in_flight;
                if fewer { second } else { first }
            }
            Algorithm::SourceHash { .. } | Algorithm::UriHash => hashed(request.key, &mut worker),
            Algorithm::HeaderHash(_) | Algorithm::CookieHash(_) => hashed(request.key, &mut worker),
            Algorithm::StickyCookie(_) => match request.pinned.filter(|pinned| open & 1 << pinned != 0) {
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
            Algorithm::First => open.trailing_zeros() as usize,
        };
        if let Defect::Skew(share) = self.behaviour.defect
            && last > 0
            && place + 1 >= last
            && open >> (last - 1) == 0b11
        {
            let draws = matches!(
                self.behaviour.algorithm,
                Algorithm::Random | Algorithm::RandomWeighted(_) | Algorithm::TwoChoices { .. }
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
            place = if is_first { last - 1 } else { last };
        }
        if let Some(ejection) = &self.behaviour.ejection {
            let (peer, now) = (&mut worker.peers[place], Instant::now());
            if peer.checked.is_some_and(|checked| now - checked > ejection.fail_timeout) {
                peer.checked = Some(now);
            }
        }
        Some(Choice { place, sets_cookie })
    }

    fn failed(&self, worker: &Rc<RefCell<Worker>>, place: usize) {
        if self.behaviour.ejection.is_some() {
            let peer = &mut worker.borrow_mut().peers[place];
            peer.fails += 1;
            peer.failed = Some(Instant::now());
            peer.checked = peer.failed;
        }
    }

    fn succeeded(&self, worker: &Rc<RefCell<Worker>>, place: usize) {
        let peer = &mut worker.borrow_mut().peers[place];
        // As with NGINX: only what was tried after `fail_timeout` forgives.
        if peer.failed < peer.checked {
            peer.fails = 0;
        }
    }

    // Defects.

    /// Counts one to which the defect can happen; whether it does.
    fn is_due(&self, n: u64) -> bool {
        let counted = self.counted.get() + 1;
        let is_due = counted >= n;
        self.counted.set(if is_due { 0 } else { counted });
        is_due
    }

    /// Another one that it cannot happen to although it may be due.
    fn postpone(&self) {
        self.counted.set(self.counted.get() + 1);
    }

    fn note(&self, request: &Request) {
        self.spoiled.lock().expect("nobody panics with it").push(request.id);
    }

    /// Whether answers must be known to their end before anything of them is delivered.
    fn collects(&self) -> bool {
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
    async fn link(&self, place: usize, port: u16) -> Result<Link, Failure> {
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
        let stream = connected.map_err(|_| Failure::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| Failure::Unreachable)?;
        Ok(Link { stream, place })
    }

    async fn read(&self, stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
        bytes.reserve(8 * 1024);
        let reading = stream.read_buf(bytes);
        let read = match self.behaviour.backend_timeout {
            Some(limit) => timeout(limit, reading).await.map_err(|_| Failure::TimedOut)?,
            None => reading.await,
        };
        read.map_err(|_| Failure::Closed)
    }

    /// The answer at least up to the end of its head; to its end if it came with that or must be known.
    async fn exchange(&self, mut link: Link, request: &Request, bytes: &[u8]) -> Result<Answer, Failure> {
        link.stream.write_all(bytes).await.map_err(|_| Failure::Closed)?;
        let mut read = Vec::new();
        let mut answer = loop {
            if self.read(&mut link.stream, &mut read).await? == 0 {
                return Err(Failure::Closed);
            }
            if let Some(answer) = Answer::parse(&mut read, request, self.behaviour.defect).ok_or(Failure::Closed)? {
                break answer;
            }
        };
        if self.collects() {
            while !answer.is_complete() {
                let from = answer.bytes.len();
                match self.read(&mut link.stream, &mut answer.bytes).await {
                    Ok(0) if matches!(answer.body, Body::UntilClose) => answer.body = Body::Done,
                    Ok(0) | Err(_) => break,
                    Ok(_) => answer.take(from),
                }
            }
        }
        answer.link = Some(link).filter(|_| !answer.is_complete() || answer.keeps);
        Ok(answer)
    }

    /// What was used for it to its end can be used again.
    fn release(&self, answer: &mut Answer) {
        if answer.is_complete()
            && let Some(link) = answer.link.take().filter(|_| self.behaviour.keeps_connections)
        {
            self.pools.borrow_mut()[link.place].push(link);
        }
    }

    /// From whoever is next until somebody answers.
    async fn forward(&self, worker: &Rc<RefCell<Worker>>, request: &Request, bytes: &[u8]) -> (Option<usize>, Answer) {
        let mut tried = 0;
        let mut refused = None;
        let mut last = Failure::Closed;
        while let Some(Choice { place, sets_cookie }) = self.choose(worker, request, tried) {
            tried |= 1 << place;
            let in_flight = InFlight::begin(worker, place);
            let asked = match self.link(place, self.backends[place]).await {
                Ok(link) => self.exchange(link, request, bytes).await,
                Err(failure) => Err(failure),
            };
            let failure = match asked {
                Ok(mut answer) => {
                    if sets_cookie && let Algorithm::StickyCookie(name) = self.behaviour.algorithm {
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
                Failure::Unreachable => true,
                Failure::Closed | Failure::TimedOut if request.is_idempotent => self.behaviour.retries,
                Failure::Closed | Failure::TimedOut => self.behaviour.retry_post,
            };
            (last, refused) = (failure, None);
            if !goes_on {
                break;
            }
        }
        refused.unwrap_or_else(|| match last {
            Failure::Unreachable | Failure::Closed => (None, Answer::error("502 Bad Gateway", request)),
            Failure::TimedOut => (None, Answer::error("504 Gateway Timeout", request)),
        })
    }

    /// To another backend than `first`, the next that can be reached.
    async fn repeat(&self, n: u64, first: usize, request: &Request, bytes: &[u8]) {
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

    fn mirror(self: &Rc<Self>, port: u16, request: &Request, bytes: &[u8]) {
        let (site, request, bytes) = (Rc::clone(self), request.clone(), bytes.to_vec());
        self.note(&request);
        spawn_local(async move {
            if let Ok(link) = site.link(site.backends.len(), port).await {
                let Ok(mut answer) = site.exchange(link, &request, &bytes).await else { return };
                let Some(mut rest) = answer.link.take_if(|_| !matches!(answer.body, Body::Done)) else {
                    return site.release(&mut answer);
                };
                let mut ignored = Vec::new();
                while site.read(&mut rest.stream, &mut ignored).await.is_ok_and(|length| length > 0) {
                    ignored.clear();
                }
            }
        });
    }

    /// Gives it for another client's answer, now or when one comes.
    async fn swap(&self, n: u64, asking: Asking<'_>, request: &Request, answer: Answer) -> Answer {
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
        *self.waiting.borrow_mut() = Some(Waiting { answer, exchanged });
        drop(asking);
        let (other, is_another) = other.await.expect("whoever takes it gives one for it");
        match is_another {
            true => self.note(request),
            false => self.counted.set(n - 1),
        }
        other
    }

    /// What the defect makes of an answer that has come from a backend.
    async fn spoil(
        &self,
        place: usize,
        asking: Asking<'_>,
        request: &Request,
        bytes: &[u8],
        mut answer: Answer,
    ) -> Outcome {
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
                return Outcome::Cut(answer);
            }
            Defect::Alters(n) if has_body && self.is_due(n) => {
                self.note(request);
                answer.bytes[answer.head..].iter_mut().step_by(16).for_each(|byte| *byte ^= 1);
            }
            Defect::DropsEvery(n) if complete && self.is_due(n) => {
                self.note(request);
                return Outcome::Dropped;
            }
            _ => {}
        }
        Outcome::Answered(answer)
    }
}

/// A client that is known no more, however its task ended.
struct Leaving {
    site: Rc<Site>,
    number: usize,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.site.clients.borrow_mut().remove(self.number);
    }
}

// One client connection.

struct Dialogue<'a> {
    site: &'a Rc<Site>,
    stream: TcpStream,
    peer: IpAddr,
    worker: Rc<RefCell<Worker>>,
    /// It waits for another request than its first.
    idle: Rc<Cell<bool>>,
    /// A whole request has come and is not answered yet.
    asking: Rc<Cell<Option<Asked>>>,
    /// So many had been when it was accepted.
    reloads: u64,
    /// With [`Algorithm::PerConnection`].
    tied: Option<InFlight>,
    /// What it is tied to.
    link: Option<Link>,
    /// It has had an answer.
    is_kept: bool,
    unread: Vec<u8>,
}

impl Dialogue<'_> {
    async fn listen(&mut self) -> Io<()> {
        while self.stream.read(&mut [0; 4096]).await? > 0 {}
        Ok(())
    }

    async fn talk(&mut self) -> Io<()> {
        const LENGTH: usize = 10 << 30;
        let Some(request) = self.request().await? else { return Ok(()) };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {LENGTH}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        if request.is_head {
            return Ok(());
        }
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..LENGTH / piece.len() {
            self.stream.write_all(&piece).await?;
        }
        Ok(())
    }

    async fn serve(&mut self) -> Io<()> {
        if matches!(self.site.behaviour.algorithm, Algorithm::PerConnection) && !self.tie().await {
            return Ok(());
        }
        while let Some(request) = self.request().await? {
            self.asking.set(Some(request.id));
            let fate = self.fate(&request).await;
            self.asking.set(None);
            let retired = self.reloads != self.site.reloads.get();
            let cut = matches!(fate, Outcome::Cut(_));
            let mut answer = match fate {
                Outcome::Answered(answer) | Outcome::Cut(answer) => answer,
                Outcome::Dropped => return Ok(()),
            };
            let is_tied = self.tied.is_some();
            let keeps = request.keeps && !retired && !answer.is_unframed && (!is_tied || answer.keeps);
            match (keeps, request.is_old) {
                (true, false) => {}
                (true, true) => answer.add("Connection: keep-alive\r\n"),
                (false, _) => answer.add("Connection: close\r\n"),
            }
            if cut {
                let half = answer.head + (answer.bytes.len() - answer.head) / 2;
                return self.stream.write_all(&answer.bytes[..half]).await;
            }
            self.stream.write_all(&answer.bytes).await?;
            if let Some(mut link) = answer.link.take() {
                while !answer.is_complete() {
                    answer.bytes.clear();
                    match self.site.read(&mut link.stream, &mut answer.bytes).await {
                        Ok(0) | Err(_) => return Ok(()),
                        Ok(_) => answer.take(0),
                    }
                    self.stream.write_all(&answer.bytes).await?;
                }
                answer.link = Some(link).filter(|_| answer.keeps);
                match is_tied {
                    true => self.link = answer.link,
                    false => self.site.release(&mut answer),
                }
            }
            if !keeps || is_tied && self.link.is_none() {
                return Ok(());
            }
            self.unread.drain(..request.length);
            self.is_kept = true;
        }
        Ok(())
    }

    /// The next whole request; none if the client has closed.
    async fn request(&mut self) -> Io<Option<Request>> {
        let mut continues = false;
        loop {
            match Request::parse(&self.unread, self.peer, &self.site.behaviour) {
                Ok(Parsed::Whole(request)) => return Ok(Some(request)),
                Ok(Parsed::Waits) if !continues => {
                    continues = true;
                    self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                Ok(Parsed::Waits | Parsed::Part) => {}
                Err(NoRequest) => {
                    let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    self.stream.write_all(refusal).await?;
                    return Ok(None);
                }
            }
            self.idle.set(self.is_kept && self.unread.is_empty());
            self.unread.reserve(8 * 1024);
            let read = self.stream.read_buf(&mut self.unread).await;
            self.idle.set(false);
            if read? == 0 {
                return Ok(None);
            }
        }
    }

    /// To a backend that accepts; false if none does.
    async fn tie(&mut self) -> bool {
        let nothing = Request::default();
        let mut tried = 0;
        while let Some(Choice { place, .. }) = self.site.choose(&self.worker, &nothing, tried) {
            tried |= 1 << place;
            let in_flight = InFlight::begin(&self.worker, place);
            if let Ok(link) = self.site.link(place, self.site.backends[place]).await {
                (self.tied, self.link) = (Some(in_flight), Some(link));
                return true;
            }
            self.site.failed(&self.worker, place);
        }
        false
    }

    async fn fate(&mut self, request: &Request) -> Outcome {
        let site = self.site;
        let bytes = request.rewritten.as_deref().unwrap_or(&self.unread[..request.length]);
        match site.behaviour.defect {
            Defect::OwnErrorEvery(n) if site.is_due(n) => {
                site.note(request);
                return Outcome::Answered(Answer::error("502 Bad Gateway", request));
            }
            Defect::CachedEvery(n) if request.is_get => match &*site.earlier.borrow() {
                None => site.postpone(),
                Some(earlier) if site.is_due(n) => {
                    site.note(request);
                    return Outcome::Answered(earlier.copy());
                }
                Some(_) => {}
            },
            Defect::Mirror(port) => site.mirror(port, request, bytes),
            _ => {}
        }
        let asking = Asking::begin(site);
        let (place, answer) = match (&self.tied, self.link.take()) {
            (None, _) => site.forward(&self.worker, request, bytes).await,
            (Some(_), None) => return Outcome::Dropped,
            (Some(tied), Some(link)) => {
                let Ok(mut answer) = site.exchange(link, request, bytes).await else { return Outcome::Dropped };
                self.link = answer.link.take_if(|_| matches!(answer.body, Body::Done));
                (Some(tied.place), answer)
            }
        };
        match place {
            Some(place) => site.spoil(place, asking, request, bytes, answer).await,
            None => Outcome::Answered(answer),
        }
    }
}
