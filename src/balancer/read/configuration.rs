//! What is understood of a configuration, whichever balancer it is for: its groups of servers, and what else a check or a rehearsal
//! has to know of it.

use std::time::Duration;

use verdict::rules::ConfiguredResponses;

use crate::balancer::read::endpoint::Endpoint;
use crate::topology::Policy;
use verdict::tally::SessionLife;
use verdict::timeline::Avoidance;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ConfigFile {
    /// The file's name, as errors show it.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A group of servers: NGINX's `upstream`, HAProxy's `backend`, Envoy's cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Upstream {
    /// The group's name in the file.
    pub(crate) name: String,
    /// The group that the balancer knows, where it selects only some of its servers for a route; else None.
    pub(crate) part_of: Option<String>,
    /// The group's servers, in the file's order.
    pub(crate) servers: Vec<UpstreamServer>,
    /// How long it keeps away from a server that failed, or needs to notice that one did, the longest of them; None if it never does, or it
    /// is not known.
    pub(crate) keeps_away: Option<Avoidance>,
    /// How long the share of a server grows after its return, the longest of them; None if it has its share at once.
    pub(crate) slow_start: Option<Duration>,
    /// How long the sessions last that it keeps by a cookie, where it ends them itself.
    pub(crate) session_life: Option<SessionLife>,
    /// How a server is selected.
    pub(crate) method: UpstreamMethod,
    /// The key by which it is selected, as NGINX writes it.
    pub(crate) key: Option<String>,
    /// Whether a server has all the turns of its weight in a row, so that equal weights are no plain rotation.
    pub(crate) turns_in_a_row: bool,
    /// Whether it draws from a hash ring, whose arcs differ: then a draw promises no shares.
    pub(crate) draws_from_ring: bool,
    /// What its health checks expect of responses, where a backend of ours need not meet it.
    pub(crate) health: Vec<String>,
    /// What was not understood but decides nothing about who gets what, each with its place.
    pub(crate) not_understood: Vec<String>,
}

/// How an upstream picks a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum UpstreamMethod {
    /// The policy is one that the check knows.
    Known(Policy),
    /// Each request goes to one of several groups by their weights, by turns or by chance: shares are known, and no order.
    Split(Vec<SplitPart>),
    /// Not understood: what decides, with its place.
    Unknown(String),
}

/// A group of a split: some of the servers, which follow those of the groups before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SplitPart {
    pub(crate) name: String,
    /// Relative to the other groups.
    pub(crate) weight: u32,
    /// How many of the servers are its own.
    pub(crate) servers: usize,
    /// How it picks one of them.
    pub(crate) method: UpstreamMethod,
}

/// A server of a group: a `server` line of NGINX and HAProxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UpstreamServer {
    /// The address as the file writes it, such as `127.0.0.1:9001`.
    pub(crate) address: String,
    /// The address, taken apart.
    pub(crate) endpoint: Endpoint,
    /// 1 unless the file says otherwise.
    pub(crate) weight: u32,
    /// Gets something only when all others are down.
    pub(crate) backup: bool,
    /// What the balancer itself calls it, where it has names for servers.
    pub(crate) name: Option<String>,
    /// Which of its addresses it uses, if it has several.
    pub(crate) takes: Takes,
    /// Gets nothing, or nothing but what belongs to its sessions (`drain`, from NGINX 1.29.6).
    pub(crate) down: bool,
    /// The most requests that the balancer has in flight there; others go elsewhere, wait or are refused. None: as many as come.
    pub(crate) at_once: Option<AtOnce>,
    /// Its place: `nginx.conf, line 3`.
    pub(crate) place: String,
}

/// A limit of what is in flight at a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AtOnce {
    pub(crate) most: usize,
    /// As the file writes it: `max_conns=20`.
    pub(crate) written: String,
}

/// Which addresses of a name a server line uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takes {
    /// Each, as a server of its own.
    All,
    /// Those of IPv4 or those of IPv6, each as a server of its own.
    OneFamily,
    One,
    /// Some of them, at most this many.
    AtMost(usize),
    /// Each that a resolver has while it runs.
    Resolved,
}

/// What of a configuration is understood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Configuration {
    /// All `upstream` blocks, in order.
    pub(crate) upstreams: Vec<Upstream>,
    /// Servers that requests are passed to without a block that has them, each as a group of its own.
    pub(crate) implied: Vec<Upstream>,
    /// The `server` blocks of NGINX, which respond to clients.
    pub(crate) server_blocks: Vec<ServerBlock>,
    /// Whether the file is only a part of one that NGINX starts with.
    pub(crate) is_part: bool,
    /// The directives outside of all blocks, each word by word: `daemon off`.
    pub(crate) main: Vec<Vec<String>>,
    /// Certificates and their keys, each pair as written: of one server in their order.
    pub(crate) certificates: Vec<(String, String)>,
    /// Files of authorities whose backends are trusted, as the file names them.
    pub(crate) authorities: Vec<String>,
    /// Names that backends are to have in their certificates.
    pub(crate) names: Vec<String>,
    /// Files in which certificates of a public authority are kept, each with the resolver that gets them.
    pub(crate) storages: Vec<(String, String)>,
    /// Whom the balancer itself speaks to, such as its peers, mailers and log servers: no request of a client goes there.
    pub(crate) companions: Vec<Endpoint>,
    /// Names of headers from which the balancer takes a client's address, if the client may say it.
    pub(crate) client_headers: Vec<String>,
    /// Lines by which it speaks another protocol than HTTP to servers.
    pub(crate) foreign: Vec<String>,
    /// The shortest time for which it waits for a response anywhere, if it says so.
    pub(crate) patience: Option<Duration>,
    /// What it has the balancer do to responses itself.
    pub(crate) responses: ConfiguredResponses,
    /// What decides where a request goes, such as hosts, each as the file writes it; NGINX has its server blocks.
    pub(crate) routes: Vec<String>,
    /// What should be included and could not be read, with the place that says so.
    pub(crate) not_read: Vec<String>,
}

/// A `server` block of NGINX.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ServerBlock {
    /// Its place: `nginx.conf, line 3`.
    pub(crate) place: String,
    /// Its `listen` lines without the word itself.
    pub(crate) listen: Vec<Vec<String>>,
    /// Its `server_name`s.
    pub(crate) names: Vec<String>,
}

impl Configuration {
    /// Notes a line with which the balancer itself responds.
    pub(crate) fn responds(&mut self, status: u16, line: String) {
        let lines = self.responses.statuses.entry(status).or_default();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }

    /// What health checks of any group expect.
    pub(crate) fn health(&self) -> impl Iterator<Item = &String> {
        self.groups().flat_map(|upstream| &upstream.health)
    }

    /// Blocks, and groups without one.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Upstream> {
        self.upstreams.iter().chain(&self.implied)
    }
}

impl Upstream {
    /// Without servers yet, in turn.
    pub(crate) fn named(name: &str) -> Upstream {
        Upstream {
            name: name.to_owned(),
            part_of: None,
            servers: Vec::new(),
            keeps_away: None,
            slow_start: None,
            session_life: None,
            method: UpstreamMethod::Known(Policy::RoundRobin),
            key: None,
            turns_in_a_row: false,
            draws_from_ring: false,
            health: Vec::new(),
            not_understood: Vec::new(),
        }
    }

    /// The name of the group as the balancer knows it.
    pub(crate) fn whole(&self) -> &str {
        self.part_of.as_ref().unwrap_or(&self.name)
    }

    /// Notes another reason to keep away from servers, if there is one.
    pub(crate) fn avoids(&mut self, avoidance: Option<Avoidance>) {
        self.keeps_away = self.keeps_away.into_iter().chain(avoidance).reduce(Avoidance::or_longer);
    }

    /// Of groups between which each request is divided, each with its weight.
    pub(crate) fn split(parts: Vec<(Upstream, u32)>) -> Upstream {
        let names: Vec<&str> = parts.iter().map(|(part, _)| part.name.as_str()).collect();
        let mut split = Upstream::named(&names.join("+"));
        let mut methods = Vec::new();
        for (part, weight) in parts {
            let servers = part.servers.len();
            let method = match part.method {
                UpstreamMethod::Known(Policy::Random) if part.draws_from_ring => {
                    UpstreamMethod::Unknown(format!("{}: it draws from a hash ring", part.name))
                }
                other => other,
            };
            methods.push(SplitPart { name: part.name, weight, servers, method });
            split.servers.extend(part.servers);
            split.not_understood.extend(part.not_understood);
            split.health.extend(part.health);
            split.avoids(part.keeps_away);
            split.slow_start = split.slow_start.max(part.slow_start);
        }
        split.method = UpstreamMethod::Split(methods);
        split
    }
}

impl UpstreamServer {
    /// Notes a limit of it, of which the lowest counts; 0 means none.
    pub(crate) fn limit(&mut self, most: Option<usize>, written: String) {
        let most = most.filter(|most| *most > 0);
        if let Some(most) = most.filter(|most| self.at_once.as_ref().is_none_or(|known| *most < known.most)) {
            self.at_once = Some(AtOnce { most, written });
        }
    }

    /// With the weight 1, each of its addresses in use.
    pub(crate) fn at(address: &str, endpoint: Endpoint, place: &str) -> UpstreamServer {
        UpstreamServer {
            address: address.to_owned(),
            endpoint,
            name: None,
            takes: Takes::All,
            weight: 1,
            backup: false,
            down: false,
            at_once: None,
            place: place.to_owned(),
        }
    }
}
