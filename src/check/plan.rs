//! What a check is to do: everything that is decided before it begins.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::check::grpc;
use crate::check::load::{BodyTransfer, Identity, RequestSpec, SessionPlace};
use crate::check::scenario::{HostControl, Scenario};
use crate::remote::FleetChoice;
use crate::topology::ClientNetwork;
use verdict::life::StreamKind;
use verdict::request::{Sent, SentBody};
use verdict::rules::Expectations;
use verdict::surroundings::Surrounding;
use verdict::timeline::Avoidance;

/// Everything that one check is to do.
#[derive(Clone, Debug)]
pub(crate) struct CheckPlan {
    /// As the configuration file names it.
    pub(crate) name: Option<String>,
    /// The balancer, and how it is reached.
    pub(crate) target: TargetPlan,
    /// What is known of the balancer, and what can be done around it.
    pub(crate) environment: CheckEnvironment,
    /// The backends behind the balancer.
    pub(crate) backends: Backing,
    pub(crate) request: RequestPlan,
    /// How much is sent, and how fast.
    pub(crate) load: LoadPlan,
    /// What the balancer must fulfil.
    pub(crate) expectations: Expectations,
    /// What may tie a client to a backend.
    pub(crate) affinity: AffinityPlan,
    /// What is done to the fleet meanwhile.
    pub(crate) scenario: Scenario,
    /// Streams or WebSockets, which are held open instead of requests that are sent.
    pub(crate) streams: Option<StreamPlan>,
}

/// The balancer, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct TargetPlan {
    /// URL of the balancer.
    pub(crate) url: String,
    /// Further URLs of the same balancer: requests go to all of them in turn.
    pub(crate) further_urls: Vec<String>,
    /// HTTP/2 is wanted, whatever the URL begins with.
    pub(crate) http2: bool,
    /// Used for URLs with TLS.
    pub(crate) trust: Trust,
    /// Shown to a balancer that asks for a certificate of its clients.
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// Where connections go instead of to the URL's host and port: the first that fits.
    pub(crate) routes: Vec<Route>,
    /// Each connection begins with a PROXY protocol header (curl's `--haproxy-protocol`).
    pub(crate) haproxy_protocol: bool,
    /// In a rehearsal: the addresses of clients.
    pub(crate) clients: Option<ClientNetwork>,
}

/// What is known of the balancer, and what can be done around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckEnvironment {
    /// Which balancer it is, if its configuration is known.
    pub(crate) balancer: Option<String>,
    /// How long it may keep away from a backend that failed, if that is known.
    pub(crate) keeps_away: Option<Avoidance>,
    /// How long it waits for a response, if that is known.
    pub(crate) patience: Option<Duration>,
    /// In a rehearsal: what differs from production.
    pub(crate) surroundings: Vec<Surrounding>,
    /// What of the balancer's file was not understood, and is not judged.
    pub(crate) not_understood: Vec<String>,
    /// In a rehearsal: changes how the backends' hosts are reached.
    pub(crate) hosts: Option<HostControl>,
}

/// The user's own request.
#[derive(Clone, Debug)]
pub(crate) struct RequestPlan {
    /// `GET` by default.
    pub(crate) method: String,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// The bodies of requests, in turn: one for all, or several; none without.
    pub(crate) bodies: Vec<Arc<[u8]>>,
    pub(crate) transfer: BodyTransfer,
    /// Requests are calls of gRPC.
    pub(crate) grpc: bool,
}

/// How much is sent, and how fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadPlan {
    /// Connections at once, at most; None leaves it to the pacing.
    pub(crate) connections: Option<usize>,
    /// Requests at once on each connection of HTTP/2, at most.
    pub(crate) multiplex: usize,
    /// A new connection for each request.
    pub(crate) new_connections: bool,
    /// Requests a second; None for a closed loop.
    pub(crate) rate: Option<f64>,
    /// Requests of the sample; None for as many as the tolerance needs.
    pub(crate) requests: Option<u64>,
    /// Requests of the whole check at most, those of warm-up and experiments with them: requests to some services cost money.
    pub(crate) budget: Option<u64>,
    /// What the experiments may take that find out the algorithm.
    pub(crate) experiments: Experiments,
    /// The sample ends after that time.
    pub(crate) duration: Option<Duration>,
    /// How long a response is waited for.
    pub(crate) timeout: Duration,
}

/// What may tie a client to a backend.
#[derive(Clone, Debug, Default)]
pub(crate) struct AffinityPlan {
    /// Headers that the balancer might key on.
    pub(crate) headers: Vec<String>,
    /// Cookies that the balancer might key on.
    pub(crate) cookies: Vec<String>,
    /// Where backends open sessions that the balancer is to keep.
    pub(crate) session: Option<SessionPlace>,
}

/// Streams or WebSockets that are held open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamPlan {
    pub(crate) kind: StreamKind,
    /// How many are open at the same time.
    pub(crate) count: usize,
    /// From one message of the client to the next.
    pub(crate) every: Duration,
    /// How long streams are held open.
    pub(crate) duration: Duration,
}

impl CheckPlan {
    /// A check of that URL with nothing else asked for.
    pub(crate) fn new(url: String, backends: Backing) -> CheckPlan {
        CheckPlan {
            name: None,
            target: TargetPlan::new(url),
            environment: CheckEnvironment::default(),
            backends,
            request: RequestPlan::default(),
            load: LoadPlan::default(),
            expectations: Expectations::default(),
            affinity: AffinityPlan::default(),
            scenario: Scenario::default(),
            streams: None,
        }
    }
}

impl TargetPlan {
    /// That URL with nothing else asked for.
    pub(crate) fn new(url: String) -> TargetPlan {
        TargetPlan {
            url,
            further_urls: Vec::new(),
            http2: false,
            trust: Trust::Machine,
            client_certificate: None,
            routes: Vec::new(),
            haproxy_protocol: false,
            clients: None,
        }
    }

    /// All of them, in the order in which requests take them.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.further_urls).map(String::as_str)
    }

    /// Whether requests go to the balancer in HTTP/2; none where that differs from URL to URL.
    pub(crate) fn is_over_http2(&self) -> Option<bool> {
        let of = |url: &str| self.http2 || ["h2c://", "grpc://", "grpcs://"].iter().any(|it| url.starts_with(it));
        let first = of(&self.url);
        self.urls().all(|url| of(url) == first).then_some(first)
    }
}

impl Default for RequestPlan {
    fn default() -> RequestPlan {
        RequestPlan {
            method: "GET".to_owned(),
            headers: Vec::new(),
            bodies: Vec::new(),
            transfer: BodyTransfer::default(),
            grpc: false,
        }
    }
}

impl RequestPlan {
    /// The names of its headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// The request as the load sends it.
    pub(crate) fn spec(&self) -> RequestSpec {
        RequestSpec::new(&self.method, &self.headers, &self.bodies, self.transfer)
    }
}

impl Default for LoadPlan {
    fn default() -> LoadPlan {
        LoadPlan {
            connections: None,
            multiplex: 1,
            new_connections: false,
            rate: None,
            requests: None,
            budget: None,
            experiments: Experiments::Usual,
            duration: None,
            timeout: Duration::from_secs(10),
        }
    }
}

const CLOSED_CONNECTIONS: usize = 32;
const OPEN_CONNECTIONS: usize = 512;
/// Requests per second of a sample with a scenario, if nobody gave a rate: in a closed loop an outage hides itself.
const SCENARIO_RATE: f64 = 500.0;

impl CheckPlan {
    /// Requests a second of the sample; None for a closed loop.
    pub(crate) fn sample_rate(&self) -> Option<f64> {
        self.load.rate.or((!self.scenario.steps.is_empty()).then_some(SCENARIO_RATE))
    }

    /// The request that the user asked for, without what differs from client to client.
    pub(crate) fn sent(&self) -> Sent<'_> {
        let RequestPlan { method, headers, bodies, grpc: is_call, .. } = &self.request;
        let (authority, path) = split_url(&self.target.url);
        let own_host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        Sent {
            method,
            target: if *is_call { grpc::path_of(path) } else { path },
            host: Some(own_host.map_or(authority, |(_, value)| value)),
            body: bodies.first().map(|body| SentBody::of(body)),
            fields: headers,
        }
    }

    /// Connections of the sample, at most.
    pub(crate) fn connections_at_once(&self) -> usize {
        let usual = if self.sample_rate().is_some() { OPEN_CONNECTIONS } else { CLOSED_CONNECTIONS };
        self.load.connections.unwrap_or(usual)
    }

    /// Requests of the sample that are in flight, at most.
    pub(crate) fn requests_at_once(&self) -> usize {
        self.connections_at_once().saturating_mul(self.load.multiplex.max(1))
    }
}

/// Host with port, and path with query.
pub(crate) fn split_url(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, target) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    (authority, if target.is_empty() { "/" } else { target })
}

/// The experiments that find out the algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Experiments {
    /// As long as a check with nothing else asked for gives them.
    #[default]
    Usual,
    /// None: only the user's own requests are sent.
    Off,
    /// They take this time at most.
    For(Duration),
}

/// What a client with TLS shows of itself: files in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ClientCertificate {
    /// The certificate, with those between it and an authority.
    pub(crate) certificate: PathBuf,
    /// Its private key; it may stand in the same file.
    pub(crate) key: PathBuf,
}

/// Another way to a host and a port, as curl's `--connect-to` and `--resolve` give it. `Host`, SNI and the certificate's name stay the
/// URL's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Route {
    /// The URL's host; None for any.
    pub(crate) host: Option<String>,
    /// The URL's port; None for any.
    pub(crate) port: Option<u16>,
    /// Where connections to that host and port go instead.
    pub(crate) to: RouteTo,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RouteTo {
    /// To this address, at the URL's port (`--resolve`).
    Address(IpAddr),
    /// To this host and port; None leaves the URL's (`--connect-to`).
    Host(Option<String>, Option<u16>),
}

/// As it was typed.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        let own = port(self.port);
        match &self.to {
            RouteTo::Address(address) => {
                write!(f, "--resolve {}:{own}:{address}", self.host.as_deref().unwrap_or("*"))
            }
            RouteTo::Host(other, other_port) => {
                let [host, other] = [&self.host, other].map(|host| host.as_deref().unwrap_or_default());
                write!(f, "--connect-to {host}:{own}:{other}:{}", port(*other_port))
            }
        }
    }
}

/// Which certificates a client with TLS accepts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Trust {
    /// The authorities that this machine trusts.
    #[default]
    Machine,
    /// Those, and the certificates of this file.
    Also(PathBuf),
    /// Any certificate is accepted.
    Anyone,
}

/// The backends behind the balancer.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// The fleets that are meant, which are all behind the balancer.
    Fleets(Vec<FleetChoice>),
    /// A fleet that is started for the run, with these options.
    Started(Vec<String>),
    /// One that this run has started already, with the balancer in front of it: nobody else sends it anything, and it ends with the run.
    Ours(FleetChoice),
    /// Backends that are not ours.
    Others(Identity),
    /// A fleet if one runs, else backends like the original program.
    Any,
}

impl Backing {
    /// Whether the fleet is for this run alone.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self, Backing::Started(_) | Backing::Ours(_))
    }
}
