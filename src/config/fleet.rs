//! The settings of a fleet: flags over environment over file over defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::balancing::BalancingConfig;
use super::check::CheckConfig;
use super::environment;
use super::file::{self, FILE};
use super::layer::{Layer, layer};
use super::text::{Count, Flag, PowerOfTwo};
use super::token;
use crate::balancer::nginx;
use crate::error::Problem;
use crate::fleet::{ControlAddress, FleetPlan, LogMode, TlsPlan};
use crate::platform::machine_name;
use crate::topology::{BackendName, Host, NamedBackends, Ports, Sockets, StartFaults, TlsFile, Topology};
use crate::wire::{ConnectionLimits, Protocols, Time, Token};

layer! {
    /// One layer: what is typed for a fleet, set in the environment, or written in the file.
    #[derive(Args, Deserialize, Default, Debug)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub(crate) struct FleetConfig {
        /// Ports of the backends: a list of ports and ranges, up to 1,000 [default: 9001-9003]
        #[arg(long, value_name = "PORTS")]
        pub(crate) ports: Option<Ports>,

        /// Backends by name and address, such as app1=10.20.0.11:8080,app2=10.20.0.12:80,unix:/run/app.sock; repeating a name adds an
        /// address [default: those of --ports, named by their port]
        #[arg(long, value_name = "BACKENDS", conflicts_with_all = ["ports", "host", "sockets"])]
        pub(crate) backends: Option<NamedBackends>,

        /// Host to listen on: a name or an address; localhost is both 127.0.0.1 and ::1, 0.0.0.0 all interfaces [default: localhost]
        #[arg(long, value_name = "HOST")]
        pub(crate) host: Option<Host>,

        /// Name of the backend; `hostname` is the name of the machine or container; several backends are called NAME-PORT [default: the
        /// port]
        #[arg(long, value_name = "NAME", conflicts_with_all = ["backends", "sockets"])]
        pub(crate) name: Option<BackendName>,

        /// Directory in which backends also listen on unix sockets: FOLDER/9001.sock and so on [default: ports only]
        #[arg(long, value_name = "FOLDER")]
        pub(crate) sockets: Option<Sockets>,

        /// Accept a PROXY protocol header, version 1 or 2, at the start of connections to backends [default: refused]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        pub(crate) proxy_protocol: Option<Flag>,

        /// Protocols of the backends: http/1.1, h2 or both; with both, HTTP/2 if the client begins with its preface or negotiates it (ALPN)
        /// [default: http/1.1,h2]
        #[arg(long, value_name = "PROTOCOLS")]
        pub(crate) protocols: Option<Protocols>,

        /// Serve TLS, with certificates of the fleet's own authority; the path of the authority's certificate is printed at start [default:
        /// plain HTTP]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", help_heading = "TLS of the backends")]
        pub(crate) tls: Option<Flag>,

        /// Host names and addresses in that certificate, in addition to localhost, this machine's and those of the backends:
        /// api.internal,10.0.0.5
        #[arg(long, value_name = "NAMES", help_heading = "TLS of the backends")]
        pub(crate) tls_names: Option<String>,

        /// File for the certificate of the fleet's authority; its revocation list is written next to it: ca.crl.pem for ca.pem [default: in the
        /// directory of run files]
        #[arg(long, value_name = "FILE", help_heading = "TLS of the backends")]
        pub(crate) ca_out: Option<PathBuf>,

        /// Private key of the fleet's authority (PEM), created if it is missing: whoever trusts the authority's certificate trusts it after a
        /// restart, too [default: a new authority at each start]
        #[arg(long, value_name = "FILE", help_heading = "TLS of the backends")]
        pub(crate) authority_key: Option<PathBuf>,

        /// Certificate chain of the backends (PEM), instead of a generated one; switches TLS on
        #[arg(long, value_name = "FILE", help_heading = "TLS of the backends")]
        pub(crate) cert: Option<PathBuf>,

        /// Private key of that certificate (PEM)
        #[arg(long, value_name = "FILE", help_heading = "TLS of the backends")]
        pub(crate) key: Option<PathBuf>,

        /// Authorities (PEM) whose certificates clients must present (mTLS); `fleet` is the fleet's own, which creates a client certificate
        /// and writes it, with its key, next to its own: ca.client.pem for ca.pem; switches TLS on
        #[arg(long, value_name = "FILE", help_heading = "TLS of the backends")]
        pub(crate) client_ca: Option<TlsFile>,

        /// Faults that backends have from their start, separated by commas: the words of `fault` joined by colons, with the name of a
        /// backend unless all have it: latency:100ms,close:10%:9002 [default: none]
        #[arg(long, value_name = "FAULTS")]
        pub(crate) fault: Option<StartFaults>,

        /// Restart a backend that died: after 0.1 s, then 0.2 s and so on up to 5 s [default: it stays down]
        #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
        pub(crate) restart: Option<Flag>,

        /// Time for requests in flight to finish when the fleet stops or a backend drains [default: 10s]
        #[arg(long, value_name = "TIME")]
        pub(crate) grace: Option<Time>,

        /// Time that a backend is unready before it drains: readiness responds 503, and connections are still accepted, so that balancers
        /// notice first [default: drain at once]
        #[arg(long, value_name = "TIME")]
        pub(crate) drain_delay: Option<Time>,

        /// Log of requests on standard error [default: text]
        #[arg(long, value_enum, value_name = "MODE")]
        pub(crate) log: Option<LogMode>,

        /// Address of the live view and the API; on other than loopback addresses everything needs the token [default: 127.0.0.1:9000, or
        /// any free port if that is taken]
        #[arg(long, value_name = "ADDRESS")]
        pub(crate) control: Option<SocketAddr>,

        /// Address on which everybody can read the metrics, and nothing else [default: /metrics of the API, which needs the token if other
        /// machines can connect]
        #[arg(long, value_name = "ADDRESS")]
        pub(crate) metrics: Option<SocketAddr>,

        /// File with the token of the live view and the API, at least 16 characters; or set UUID_GENERATOR_TOKEN [default: a random token,
        /// printed at start]
        #[arg(long, value_name = "FILE")]
        pub(crate) token_file: Option<PathBuf>,

        /// Most connections of a backend; more wait in the kernel's queue [default: 16384]
        #[arg(long, value_name = "COUNT", help_heading = "Limits of each backend")]
        pub(crate) max_connections: Option<Count<1, 1_000_000>>,

        /// Most bytes of a request's line and headers; longer ones get 431 or 414 [default: 32768; HTTP/2 16384]
        #[arg(long, value_name = "BYTES", help_heading = "Limits of each backend")]
        pub(crate) max_header_bytes: Option<Count<256, 1_000_000>>,

        /// Time for a request's head to arrive; then it gets 408 [default: 10s]
        #[arg(long, value_name = "TIME", help_heading = "Limits of each backend")]
        pub(crate) header_timeout: Option<Time>,

        /// Time that an idle connection is kept; longer than balancers keep them, so that they close first [default: 3m]
        #[arg(long, value_name = "TIME", help_heading = "Limits of each backend")]
        pub(crate) idle_timeout: Option<Time>,

        /// Time that a request body or a response may make no progress [default: 30s]
        #[arg(long, value_name = "TIME", help_heading = "Limits of each backend")]
        pub(crate) stall_timeout: Option<Time>,

        /// Records that a backend's journal holds until they are read: a power of two, 320 bytes each [default: 131072, fewer in large
        /// fleets or with little memory]
        #[arg(long, value_name = "COUNT", help_heading = "Limits of each backend")]
        pub(crate) journal_records: Option<PowerOfTwo>,

        /// File with settings [default: uuid-generator.toml in the working directory, if it exists]
        #[arg(long, value_name = "FILE")]
        #[serde(skip)]
        pub(crate) config: Option<PathBuf>,

        /// The table `[balancer]` of the file.
        #[arg(skip)]
        pub(crate) balancer: BalancingConfig,

        /// The tables `[[check]]` of the file.
        #[arg(skip)]
        pub(crate) check: Vec<CheckConfig>,
    }
}

/// All layers, and where the ports come from.
#[derive(Debug)]
pub(crate) struct MergedFleet {
    config: FleetConfig,
    ports_origin: String,
    token: Option<Token>,
}

impl FleetConfig {
    /// Over a lower layer: who names backends above does not mean the ports below, and the other way round.
    fn above(self, mut below: FleetConfig) -> FleetConfig {
        if self.backends.is_some() {
            (below.ports, below.host, below.sockets, below.name) = (None, None, None, None);
        }
        if self.ports.is_some() || self.host.is_some() || self.sockets.is_some() || self.name.is_some() {
            below.backends = None;
        }
        self.or(below)
    }

    fn speaks_tls(&self) -> bool {
        self.tls.map_or(self.cert.is_some() || self.client_ca.is_some(), |Flag(on)| on)
    }

    /// What the TLS of its backends is to be; none without.
    fn tls(&self) -> Result<Option<TlsPlan>, Problem> {
        let given = [
            ("tls-names", self.tls_names.is_some()),
            ("ca-out", self.ca_out.is_some()),
            ("authority-key", self.authority_key.is_some()),
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("client-ca", self.client_ca.is_some()),
        ];
        let given =
            |names: &[&str]| given.iter().find(|(name, is_given)| *is_given && names.contains(name)).map(|it| it.0);
        if !self.speaks_tls() {
            return match given(&["tls-names", "ca-out", "authority-key", "cert", "key", "client-ca"]) {
                None => Ok(None),
                Some(name) => Err(Problem::new("the backends speak no TLS").on(name).hint("switch it on with --tls")),
            };
        }
        let own = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (Some(_), None) => {
                return Err(Problem::new("the certificate has no key").on("cert").hint("add --key FILE"));
            }
            (None, Some(_)) => {
                return Err(Problem::new("the key has no certificate").on("key").hint("add --cert FILE"));
            }
        };
        if own.is_some()
            && let Some(name) = given(&["tls-names", "ca-out", "authority-key"])
        {
            let problem = Problem::new("it is for a generated certificate, but cert names an existing one");
            return Err(problem.on(name).hint("leave one of the two out"));
        }
        if own.is_some() && self.client_ca == Some(TlsFile::Fleet) {
            let problem =
                Problem::new("the fleet has no authority of its own, because cert names an existing certificate");
            return Err(problem.on("client-ca").hint("name a file with the authority of clients, or leave --cert out"));
        }
        let names = self.tls_names.as_deref().unwrap_or_default().split(',').map(str::trim);
        Ok(Some(TlsPlan {
            own,
            client_ca: self.client_ca.clone(),
            authority_key: self.authority_key.clone(),
            ca_out: self.ca_out.clone(),
            names: names.filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }))
    }

    /// Adds the environment and the file beneath what was typed.
    pub(crate) fn merge(self) -> Result<MergedFleet, Problem> {
        self.merge_with(environment::variables(), Path::new(""))
    }

    fn merge_with(self, mut variables: BTreeMap<String, OsString>, directory: &Path) -> Result<MergedFleet, Problem> {
        let named_by_environment = variables.remove("CONFIG").map(PathBuf::from);
        let token_of_environment = variables.remove(token::VARIABLE);
        let environment: FleetConfig = environment::read(variables)?;
        let usual = directory.join(FILE);
        let path = self.config.clone().or(named_by_environment).or_else(|| usual.exists().then_some(usual));
        let (file, line) = match &path {
            Some(path) => file::read(path, "ports")?,
            None => Default::default(),
        };
        let ports_origin = match (&self.ports, &environment.ports, path.zip(line)) {
            (Some(_), _, _) => "from --ports".to_owned(),
            (None, Some(_), _) => format!("from {}PORTS", environment::PREFIX),
            (None, None, Some((path, line))) => format!("from {}, line {line}", path.display()),
            (None, None, None) => "the default".to_owned(),
        };
        let token = match (&self.token_file, token_of_environment) {
            (None, Some(value)) => Some(token::of_variable(value.to_str().unwrap_or_default())?),
            (Some(_), _) | (None, None) => None,
        };
        let config = self.above(environment.above(file));
        if config.backends.is_some() && (config.ports.is_some() || config.host.is_some() || config.sockets.is_some()) {
            return Err(Problem::new(
                "backends have their own addresses: ports, host and sockets are for fleets of ports",
            )
            .on("backends")
            .hint("leave out either backends or ports, host and sockets"));
        }
        Ok(MergedFleet { config, ports_origin, token })
    }
}

/// The checks that a file holds.
pub(crate) fn checks_of_file(path: &Path) -> Result<Vec<CheckConfig>, Problem> {
    let (file, _): (FleetConfig, _) = file::read(path, "ports")?;
    Ok(file.check)
}

impl MergedFleet {
    fn host(&self) -> Host {
        self.config.host.clone().unwrap_or_else(|| "localhost".parse().expect("localhost is a host"))
    }

    fn ports(&self) -> Ports {
        self.config.ports.clone().unwrap_or_else(Ports::of_the_original)
    }

    /// The backends, for those who look for them rather than start them; a balancer in front of them does nothing in particular.
    pub(crate) fn topology(&self) -> Result<Topology, Problem> {
        let mut topology = match self.named()? {
            Some(named) => Topology::of_named(named),
            None => Topology::of(self.host(), self.ports().meant().map_err(|why| Problem::new(why.to_string()))?),
        };
        topology.sockets = self.config.sockets.clone();
        topology.proxy_protocol = self.config.proxy_protocol.is_some_and(|Flag(on)| on);
        topology.tls = self.config.speaks_tls();
        topology.authority = self.config.ca_out.clone().filter(|_| topology.tls);
        Ok(topology)
    }

    /// Those that backends have from their start.
    pub(crate) fn faults(&self) -> Option<StartFaults> {
        self.config.fault.clone()
    }

    /// Those with names of their own; none in a fleet of ports.
    fn named(&self) -> Result<Option<NamedBackends>, Problem> {
        let Some(name) = &self.config.name else { return Ok(self.config.backends.clone()) };
        if self.config.backends.is_some() || self.config.sockets.is_some() {
            return Err(Problem::new("it names backends on ports, not those of --backends or --sockets").on("name"));
        }
        // Who binds them names all that cannot be ports.
        let Ok(ports) = self.ports().meant() else { return Ok(None) };
        let ports: Vec<u16> = ports.into_iter().map(|port| port.0).collect();
        NamedBackends::of_ports(name, &machine_name(), &self.host(), &ports)
            .map(Some)
            .map_err(|why| Problem::new(why).on("name"))
    }

    /// Whether its backends have names of their own, and not those of their ports.
    pub(crate) fn names_backends(&self) -> bool {
        self.config.backends.is_some() || self.config.name.is_some()
    }

    /// The table `[balancer]` of the file.
    pub(crate) fn balancing(&self) -> BalancingConfig {
        self.config.balancer.clone()
    }

    /// With the defaults, the fleet to start.
    pub(crate) fn resolve(self) -> Result<FleetPlan, Problem> {
        let token = match (self.token.clone(), &self.config.token_file) {
            (None, Some(file)) => Some(token::of_file(file)?),
            (token, _) => token,
        };
        let (host, ports, named) = (self.host(), self.ports(), self.named()?);
        let config = self.config;
        let tls = config.tls()?;
        let time = |time: Option<Time>, default| time.map_or(default, |Time(time)| time);
        let is_on = |flag: Option<Flag>| flag.is_some_and(|Flag(on)| on);
        let speaks_tls = tls.is_some();
        Ok(FleetPlan {
            host,
            ports,
            ports_origin: self.ports_origin,
            named,
            network: None,
            sockets: config.sockets,
            proxy_protocol: is_on(config.proxy_protocol),
            protocols: config.protocols.unwrap_or_default(),
            tls,
            faults: config.fault.unwrap_or_default(),
            limits: ConnectionLimits {
                connections: config.max_connections.map_or(16_384, |count| count.0),
                header_bytes: config.max_header_bytes.map_or(32 * 1024, |count| count.0),
                // What a client may make each of many connections hold.
                field_bytes: config.max_header_bytes.map_or(16 * 1024, |count| count.0),
                header_time: time(config.header_timeout, Duration::from_secs(10)),
                idle_time: time(config.idle_timeout, Duration::from_secs(180)),
                stall_time: time(config.stall_timeout, Duration::from_secs(30)),
            },
            grace: time(config.grace, Duration::from_secs(10)),
            drain_delay: time(config.drain_delay, Duration::ZERO),
            restart: is_on(config.restart),
            log: config.log.unwrap_or(LogMode::Text),
            control: config.control.map_or_else(
                || ControlAddress::Preferred(SocketAddr::from(([127, 0, 0, 1], 9000))),
                ControlAddress::Required,
            ),
            metrics: config.metrics,
            token,
            journal: config.journal_records.map(|count| count.0),
            advice: Box::new(move |topology| if speaks_tls { TLS_ADVICE.to_owned() } else { advice(topology) }),
        })
    }
}

const TLS_ADVICE: &str = "To balance over them with NGINX and verify these certificates, see:\n\n    \
                          uuid-generator config nginx --backend-protocol https --backend-tls-verify CA-FILE";

fn advice(topology: &Topology) -> String {
    format!(
        "To balance over them with NGINX, put this inside `http {{ … }}`, or as a file into /etc/nginx/conf.d:\n\n{}\n\
         Reload it (nginx -s reload) and open http://localhost/uuid",
        nginx::lines(topology)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(flags: FleetConfig, environment: &[(&str, &str)], file: &str) -> Result<MergedFleet, Problem> {
        let directory = std::env::temp_dir().join(format!("uuid-generator-config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join(FILE), file).unwrap();
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
        let merged = flags.merge_with(environment, &directory);
        std::fs::remove_dir_all(directory).unwrap();
        merged
    }

    fn flags(typed: &[&str]) -> FleetConfig {
        use clap::FromArgMatches;
        let command = FleetConfig::augment_args(clap::Command::new("test").no_binary_name(true));
        FleetConfig::from_arg_matches(&command.try_get_matches_from(typed).unwrap()).unwrap()
    }

    #[test]
    fn a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default() {
        let file = "ports = [1, \"2-3\"]\ngrace = \"1s\"\nlog = \"off\"\nrestart = true\n";
        let environment = [("GRACE", "2s"), ("LOG", "json"), ("MAX_CONNECTIONS", "7")];
        let plan = merge(flags(&["--grace", "3s"]), &environment, file).unwrap().resolve().unwrap();
        assert_eq!(plan.grace, Duration::from_secs(3));
        assert_eq!((plan.log, plan.limits.connections), (LogMode::Json, 7));
        assert_eq!((plan.ports, plan.restart), ("1-3".parse().unwrap(), true));
        assert_eq!(plan.limits.idle_time, Duration::from_secs(180));
    }

    #[test]
    fn the_origin_of_the_ports_is_known() {
        let origin = |flags, environment: &[_], file| merge(flags, environment, file).unwrap().ports_origin;
        assert_eq!(origin(flags(&["--ports", "1"]), &[("PORTS", "2")], "ports = 3"), "from --ports");
        assert_eq!(origin(flags(&[]), &[("PORTS", "2")], "ports = 3"), "from UUID_GENERATOR_PORTS");
        assert!(origin(flags(&[]), &[], "\n\nports = 3").ends_with("uuid-generator.toml, line 3"));
        assert_eq!(origin(flags(&[]), &[], "log = \"off\""), "the default");
    }

    #[test]
    fn a_bad_setting_is_named_with_its_place_and_what_was_expected() {
        let error = |environment: &[_], file| merge(flags(&[]), environment, file).unwrap_err().to_string();
        assert!(error(&[], "host = \"a\"\nprots = 1").ends_with("line 2: no such key: prots"));
        assert!(
            error(&[], "\ngrace = 3")
                .ends_with("line 2: expected a time above 0 with its unit, such as 10s, 250ms or 1m, found \"3\"")
        );
        assert!(error(&[], "ports = {}").contains("line 1: expected a text, a number, true or false, found a table"));
        assert!(error(&[], "ports").contains("line 1: "));
        assert_eq!(
            error(&[("JOURNAL_RECORDS", "100")], ""),
            "UUID_GENERATOR_JOURNAL_RECORDS: expected a power of two from 64 to 4194304, found \"100\""
        );
        assert_eq!(error(&[("PRTS", "1")], ""), "UUID_GENERATOR_PRTS: no such setting");
        assert!(
            error(&[("LOG", "loud")], "")
                .starts_with("UUID_GENERATOR_LOG: expected one of text, json, off, found \"loud\"")
        );
    }
}
