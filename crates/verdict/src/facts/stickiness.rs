//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use serde::{Deserialize, Serialize};

use crate::facts::RuleDescription;

/// How often clients left their backends.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StickinessFacts {
    /// Clients that got a response.
    pub clients: u64,
    /// Requests that were sent after their client had got its first response.
    pub later: u64,
    /// The most later requests of one client: what ends a session after more is not seen.
    #[serde(default)]
    pub longest: u64,
    /// The longest time in seconds from the first response of a client to a later request of its.
    #[serde(default)]
    pub lasted: f64,
    /// Requests of the experiments besides, whose client, address or value had a backend before and kept it; 0 in a drill.
    #[serde(default)]
    pub stayed_before: u64,
    /// Later requests that went to another backend than their client's first.
    pub left: u64,
    /// Requests that left a backend which was there at that time: it went on getting requests.
    #[serde(default)]
    pub left_alive: u64,
    /// Requests that left a backend which got nothing any more.
    #[serde(default)]
    pub left_gone: u64,
    /// Clients that left their backend while it went on getting requests.
    #[serde(default)]
    pub clients_alive: u64,
    /// Clients that left backends to which nothing was done, while these went on getting requests; counted where sessions, or sticky, are
    /// required.
    #[serde(default)]
    pub left_untouched: u64,
    /// Clients that left their backend only when it was gone.
    #[serde(default)]
    pub clients_gone: u64,
    /// Whether the user says where backends open sessions, and no response has one there.
    #[serde(default)]
    pub no_session: bool,
    /// Names of the cookies that responses set, where none is the session's.
    #[serde(default)]
    pub other_cookies: Vec<String>,
    /// Requests of clients whose cookie had expired since their last one: they come as somebody new.
    #[serde(default)]
    pub lapsed: u64,
    /// Those of them that went to another backend than before.
    #[serde(default)]
    pub lapsed_left: u64,
    /// The line of the configuration that ends sessions.
    #[serde(default)]
    pub lapsed_line: Option<String>,
    /// The cookie that expired.
    #[serde(default)]
    pub lapsed_cookie: Option<String>,
    /// What became of the clients of the other backends while some were taken away.
    #[serde(default)]
    pub disruption: Option<Disruption>,
    /// Requests of one key at once that went elsewhere than one by one, of how many: a busy backend is left out; null if that is not so.
    #[serde(default)]
    pub bound: Option<(usize, usize)>,
    /// Whether a backend was taken away meanwhile, on purpose.
    #[serde(default)]
    pub is_backend_away: bool,
    /// Backends that steps put in meanwhile, and that none had taken away.
    #[serde(default)]
    pub joined: Vec<String>,
    /// Whether clients left between several URLs, and affinity is known of the first alone.
    #[serde(default)]
    pub of_several_urls: bool,
    /// Whether each client stayed with a backend at each of several URLs, though not with one for all.
    #[serde(default)]
    pub stayed_at_each_url: bool,
    /// Backends at which all began who left; empty where clients left each backend that has some.
    #[serde(default)]
    pub left_from: Vec<String>,
    /// Whether sessions are required of a balancer whose algorithm looks at none.
    #[serde(default)]
    pub no_affinity: bool,
    /// Later requests that are needed for a verdict, those of the experiments included.
    #[serde(default)]
    pub needed: u64,
    /// The rate of moves that they detect with a probability of 99 %.
    #[serde(default)]
    pub detects: f64,
}

/// What a hash does to clients when a backend leaves. Ideally those of that backend move, 1/N of all, and nobody else does (Karger et al.,
/// "Consistent Hashing and Random Trees", 1997); modulo the number of backends nearly all do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disruption {
    /// Backends before one left.
    pub backends: u64,
    /// Those that were taken away, one at a time or together.
    pub removed: Vec<String>,
    /// Clients whose backend stayed.
    pub clients: u64,
    /// Those of them that moved all the same.
    pub moved: u64,
    /// Clients of those that were taken away.
    pub of_removed: u64,
}

impl Disruption {
    /// Whether clients of backends that stayed moved as if all were dealt out anew: then 1 in as many as there are left stays by chance.
    pub fn is_of_all(&self) -> bool {
        let left = self.backends.saturating_sub(self.removed.len() as u64).max(1) as f64;
        self.moved as f64 >= 0.6 * self.clients as f64 * (1.0 - 1.0 / left)
    }
}

pub(crate) const STICKINESS: RuleDescription = RuleDescription {
    requires: "a client stays with its backend, where the algorithm has affinity",
    sound: "by construction: the response to a later request of a client came from another backend; where a backend was taken away or put \
            in on purpose, moves are reported and not judged; of affinity with a bound on load they are inconclusive, and so are those of a client \
            whose cookie has expired, unless --expect requires sessions",
    source: None,
};

/// The rate of moves that must be detected at this tolerance of shares, and the requests that show one with a probability of 99 %.
pub(crate) fn needed(tolerance: f64) -> (f64, u64) {
    (tolerance, (100f64.ln() / -(-tolerance).ln_1p()).ceil() as u64)
}
