//! All that a planted balancer can be told to do.

use std::time::Duration;

/// Who gets a request. Backends are meant by their place in the list that `Balancer::start` was given.
#[derive(Clone, Debug, Default)]
pub enum PlantedAlgorithm {
    /// `abcabc`, from the first on.
    #[default]
    RoundRobin,
    /// NGINX's: 5:1:1 gives `aabacaa`.
    SmoothWeighted(Vec<u32>),
    /// Weighted in blocks: 5:1:1 gives `aaaaabc`.
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
        /// Only the first 24 bits of the address count.
        block: bool,
    },
    /// A hash of path and query.
    UriHash,
    /// By the value of this header; round robin without one.
    HeaderHash(&'static str),
    /// By the value of this cookie; round robin without one.
    CookieHash(&'static str),
    /// A first response sets this cookie, and who sends it gets the same backend; all others round robin.
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
    /// Backends in turn.
    RoundRobin,
    /// A fair draw decides.
    Random,
}

/// What it does wrong. `n`: every n-th of those that it can happen to; when it cannot happen to the n-th, then to the first after
/// it. All of them keep the rest of HTTP in order.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Defect {
    /// It does all as it should.
    #[default]
    None,
    /// Of the requests that the algorithm gives to the last two backends, this share goes to the first of the two: evenly spread
    /// if the algorithm draws no lots, else drawn.
    Skew(f64),
    /// The last backend never gets anything.
    MissingBackend,
    /// Every n-th request that a backend has answered goes to another backend too. The first response is delivered, after the second
    /// has come.
    TwiceEvery(u64),
    /// Every n-th GET is answered with the latest earlier 200 for a GET, whatever its path, byte by byte. No backend gets it.
    CachedEvery(u64),
    /// Every n-th complete 200 is exchanged for that of another client connection; waits for the next when others are in flight.
    SwapEvery(u64),
    /// Every n-th request with a valid cookie of [`PlantedAlgorithm::StickyCookie`] goes to another backend. No cookie is set then.
    ForgetsSticky(u64),
    /// Like [`Defect::TwiceEvery`], but counting POSTs only.
    RetriesPost(u64),
    /// At a reload, clients with a request in flight have their connection closed without a response.
    LosesAtReload,
    /// Every n-th answer with a body ends in the middle of it, and with it the connection. Its head says the whole length.
    Truncates(u64),
    /// In every n-th answer with a body, every 16th byte of that is another.
    Alters(u64),
    /// Backends do not get Check-Request-Id.
    StripsRequestHeader,
    /// Clients do not get Generator-Number, Response-Id and Check-Request-Id.
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
    /// After that many failures it gets nothing for `fail_timeout`; then one request to try. When all are out, all are in.
    pub max_fails: u32,
    /// How long it gets nothing.
    pub fail_timeout: Duration,
}

/// All that it does.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// How the backend of a request is selected.
    pub algorithm: PlantedAlgorithm,
    /// Workers that know nothing of each other: rotations, requests in flight and failures are each one's own. A client
    /// connection belongs to one at random.
    pub rotations: usize,
    /// What it does wrong.
    pub defect: Defect,
    /// Requests that are no POST or PATCH go to the next backend if one closes without a response or does not answer in time. A
    /// refused connection leads to the next one always. A request goes to each backend once at most.
    pub retries: bool,
    /// Whether POST and PATCH are retried too.
    pub retry_post: bool,
    /// Such a response is a failure like the others, but delivered if there is no next backend. POST and PATCH: with `retry_post`.
    pub retry_statuses: Vec<u16>,
    /// A backend that is silent for longer has failed. If it was the last to be tried, the response is 504, else it is 502.
    pub backend_timeout: Option<Duration>,
    /// Backends that fail get nothing for a while.
    pub ejection: Option<Ejection>,
    /// Whether connections to backends are used again.
    pub keeps_connections: bool,
    /// Where its random numbers begin; none: anywhere.
    pub seed: Option<u64>,
}

impl Default for Behaviour {
    /// Round robin with one rotation, no defect, no retries and no timeout.
    fn default() -> Behaviour {
        Behaviour {
            algorithm: PlantedAlgorithm::default(),
            rotations: 1,
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

impl From<PlantedAlgorithm> for Behaviour {
    fn from(algorithm: PlantedAlgorithm) -> Behaviour {
        Behaviour { algorithm, ..Behaviour::default() }
    }
}

impl From<Defect> for Behaviour {
    fn from(defect: Defect) -> Behaviour {
        Behaviour { defect, ..Behaviour::default() }
    }
}
