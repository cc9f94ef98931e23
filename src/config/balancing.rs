//! What a balancer is configured to do: typed, or in the table `[balancer]` of the file. `config` writes it, `demo` and `check --with` run
//! it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::layer::{Layer, layer};
use super::text::Count;
use crate::error::Problem;
use crate::fleet::{authority_file, client_certificate_of, revocation_list_of};
use crate::topology::{
    ActiveHealthCheck, BackendHttp, BackendProtocol, BackendSelection, CertificateCheck, HttpPath, PassiveHealthCheck,
    Policy, RetryPolicy, Timeouts, TlsFile, Topology, Weights,
};
use crate::wire::Time;

layer! {
    /// One layer of it.
    #[derive(Args, Deserialize, Default, Clone, PartialEq, Debug)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub(crate) struct BalancingConfig {
        /// Algorithm: round-robin, least-connections, least-time, random, two-choices, source, uri, header:NAME, cookie:NAME, sticky or
        /// sticky:NAME [default: round-robin]
        #[arg(long, value_name = "ALGORITHM", help_heading = "Balancing")]
        algorithm: Option<Policy>,

        /// Weights of the backends, from 1 to 256, in their order: 5:1:1 [default: equal]
        #[arg(long, value_name = "WEIGHTS", help_heading = "Balancing")]
        weights: Option<Weights>,

        /// Backup servers: they get requests only while no other backend is available
        #[arg(long, value_name = "BACKENDS", help_heading = "Balancing")]
        backup: Option<BackendSelection>,

        /// Path prefix to balance; it is removed from requests to backends [default: /uuid]
        #[arg(long, value_name = "PATH", help_heading = "Balancing")]
        path: Option<HttpPath>,

        /// Worker processes or threads of the balancer, from 1 to 64 [default: 1]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing")]
        workers: Option<Count<1, 64>>,

        /// Path of an active health check, such as /readyz [default: no active health checks]
        #[arg(long, value_name = "PATH", help_heading = "Balancing: failures")]
        health_path: Option<HttpPath>,

        /// Time between two health checks of a backend [default: 1s]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        health_interval: Option<Time>,

        /// Response timeout of a health check [default: the interval]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        health_timeout: Option<Time>,

        /// Successful health checks in a row until a backend is back in rotation [default: 1]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
        health_rise: Option<NonZeroU32>,

        /// Failed health checks in a row until a backend is out of rotation [default: 1]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
        health_fall: Option<NonZeroU32>,

        /// Failed requests until a backend is out of rotation [default: 1 with --fail-timeout, else the balancer's default]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
        max_fails: Option<NonZeroU32>,

        /// How long a failed backend stays out of rotation [default: 10s with --max-fails, else the balancer's default]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        fail_timeout: Option<Time>,

        /// Retries of a request that failed at a backend, up to 100; 0: none [default: the balancer's default]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
        retries: Option<Count<0, 100>>,

        /// Also retry non-idempotent requests, such as POST, that a backend may have executed
        #[arg(long, help_heading = "Balancing: failures")]
        retry_non_idempotent: bool,

        /// Time to connect to a backend [default: the balancer's default]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        connect_timeout: Option<Time>,

        /// Time for a backend's response [default: the balancer's default]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        answer_timeout: Option<Time>,

        /// Time that a stream or a WebSocket may be idle [default: the balancer's default; HAProxy 1h for WebSockets]
        #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
        stream_timeout: Option<Time>,

        /// Protocol from the balancer to backends: http, https, h2c (HTTP/2 without TLS), h2 (with TLS), grpc or grpcs [default: https if
        /// the fleet has --tls, else http]
        #[arg(long, value_name = "PROTOCOL", help_heading = "Balancing: TLS")]
        backend_protocol: Option<BackendProtocol>,

        /// File with the authority (PEM) by which the balancer verifies backends' certificates and names; `off` accepts any certificate
        /// [default: the fleet's own authority]
        #[arg(long, value_name = "FILE", help_heading = "Balancing: TLS")]
        backend_tls_verify: Option<CertificateCheck>,

        /// File with a revocation list (PEM) for backends' certificates; `fleet` is that of the fleet's own authority [default: none]
        #[arg(long, value_name = "FILE", help_heading = "Balancing: TLS")]
        backend_tls_crl: Option<TlsFile>,

        /// File with the certificate that the balancer presents to backends, and its key (PEM, mTLS); `fleet` is one of the fleet's own
        /// authority, for a fleet with --client-ca fleet [default: none]
        #[arg(long, value_name = "FILE", help_heading = "Balancing: TLS")]
        backend_tls_cert: Option<TlsFile>,

        /// File with the balancer's own certificate and key (PEM), to serve clients over TLS [default: plain HTTP]
        #[arg(long, value_name = "FILE", help_heading = "Balancing: TLS")]
        listen_tls: Option<PathBuf>,

        /// Clients may also use HTTP/2 without TLS; check --http2 implies it [default: only over TLS, or with gRPC to backends]
        #[arg(long, help_heading = "Balancing")]
        listen_http2: bool,

        /// Idle connections to keep to backends; 0: a new connection for each request [default: the balancer's default]
        #[arg(long, value_name = "COUNT", help_heading = "Balancing")]
        keep_alive: Option<Count<0, 65_535>>,
    }
}

impl BalancingConfig {
    /// Nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == BalancingConfig::default()
    }

    /// Whether the balancer shows a certificate of the fleet's own authority.
    pub(crate) fn shows_certificate_of_fleet(&self) -> bool {
        self.backend_tls_cert == Some(TlsFile::Fleet)
    }

    /// Whether backends are spoken to in gRPC.
    pub(crate) fn speaks_grpc(&self) -> bool {
        self.backend_protocol.is_some_and(|protocol| protocol.http == BackendHttp::Grpc)
    }

    /// This configuration, for clients that speak HTTP/2.
    pub(crate) fn for_http2(self) -> BalancingConfig {
        BalancingConfig { listen_http2: true, ..self }
    }

    /// Which of what the file says nobody typed, for an error about one of them.
    pub(crate) fn only_in(&self, file: &BalancingConfig) -> Option<String> {
        let typed = self.given();
        let rest: Vec<String> = file.given().into_iter().filter(|name| !typed.contains(name)).collect();
        (!rest.is_empty()).then(|| format!("with {} of the table [balancer] in the file", rest.join(", ")))
    }

    /// The same backends behind a balancer that does this, and how many workers it has.
    pub(crate) fn resolve(self, mut topology: Topology) -> Result<(Topology, Option<NonZeroU32>), Problem> {
        if let Some(weights) = &self.weights {
            topology.weigh(weights).map_err(|why| Problem::new(why).on("--weights"))?;
        }
        if let Some(backup) = &self.backup {
            mark_backups(&mut topology, backup)?;
        }
        topology.policy = self.algorithm.clone().unwrap_or_default();
        topology.http = self.backend_protocol.map_or(BackendHttp::One, |protocol| protocol.http);
        match &self.path {
            Some(path) => topology.path = path.clone(),
            // Paths of gRPC are the names of methods.
            None if topology.http == BackendHttp::Grpc => topology.path = HttpPath::root(),
            None => (),
        }
        topology.health = self.health()?;
        topology.failure = self.failure()?;
        topology.retries = self.retries()?;
        topology.timeouts = Timeouts {
            connect: milliseconds("--connect-timeout", self.connect_timeout)?,
            answer: milliseconds("--answer-timeout", self.answer_timeout)?,
            stream: milliseconds("--stream-timeout", self.stream_timeout)?,
        };
        if topology.timeouts.answer.is_some() && topology.timeouts.stream.is_some() {
            let problem =
                Problem::new("balancers have one timeout for both").on("--answer-timeout and --stream-timeout");
            return Err(problem.hint("give one of them"));
        }
        topology.listen_http2 = self.listen_http2;
        topology.keep_alive = self.keep_alive.map(|Count(connections)| connections);
        self.resolve_tls(&mut topology)?;
        Ok((topology, self.workers.and_then(|Count(workers)| NonZeroU32::new(workers))))
    }

    fn resolve_tls(&self, topology: &mut Topology) -> Result<(), Problem> {
        let absolute = |option: &str, file: &Path| {
            std::path::absolute(file)
                .map_err(|why| Problem::new(why.to_string()).on(format!("{option} {}", file.display())))
        };
        topology.tls = match self.backend_protocol {
            None => topology.tls,
            Some(protocol) => protocol.tls,
        };
        topology.authority = match &self.backend_tls_verify {
            Some(_) if !topology.tls => {
                let problem = Problem::new("there is no TLS to backends").on("--backend-tls-verify");
                return Err(problem.hint("switch it on with --backend-protocol https, h2 or grpcs"));
            }
            _ if !topology.tls => None,
            Some(CertificateCheck::Off) => None,
            Some(CertificateCheck::By(file)) => Some(absolute("--backend-tls-verify", file)?),
            None => match topology.authority.take().or_else(|| authority_file(topology)) {
                Some(file) => Some(absolute("--ca-out", &file)?),
                None => {
                    let problem = Problem::new("no authority is given to verify the certificates of backends");
                    return Err(problem.on("--backend-protocol https").hint("add --backend-tls-verify FILE, or off"));
                }
            },
        };
        topology.revoked = self.revocation_list(topology)?;
        topology.client_certificate = self.client_certificate(topology)?;
        topology.listen_tls = self.listen_tls.as_deref().map(|file| absolute("--listen-tls", file)).transpose()?;
        Ok(())
    }

    /// Reads the files of a balancer that is started now: what is missing is better said by its option. Those of the fleet itself are
    /// written when it starts.
    pub(crate) fn examine_files(&self, fleet: &Topology) -> Result<(), Problem> {
        const CERTIFICATE: (&str, &str) = ("CERTIFICATE", "certificate");
        const KEY: (&str, &str) = ("PRIVATE KEY", "private key");
        let named = |file: &Option<TlsFile>| match file {
            Some(TlsFile::File(file)) => Some(file.clone()),
            Some(TlsFile::Fleet) | None => None,
        };
        let authority = match &self.backend_tls_verify {
            Some(CertificateCheck::By(file)) => Some(file.clone()),
            Some(CertificateCheck::Off) | None => None,
        };
        let own = fleet.authority.clone().or_else(|| authority_file(fleet)).map_or_else(Vec::new, |file| {
            let others = [revocation_list_of(&file), client_certificate_of(&file)];
            [file].into_iter().chain(others).filter_map(|file| std::path::absolute(file).ok()).collect()
        });
        let files = [
            ("--listen-tls", self.listen_tls.clone(), &[CERTIFICATE, KEY][..]),
            ("--backend-tls-verify", authority, &[CERTIFICATE]),
            ("--backend-tls-crl", named(&self.backend_tls_crl), &[("X509 CRL", "revocation list")]),
            ("--backend-tls-cert", named(&self.backend_tls_cert), &[CERTIFICATE, KEY]),
        ];
        for (option, file, parts) in files {
            let Some(file) = file.filter(|file| !std::path::absolute(file).is_ok_and(|it| own.contains(&it))) else {
                continue;
            };
            let on = || format!("{option} {}", file.display());
            let text = std::fs::read(&file).map_err(|why| {
                Problem::new(why.to_string()).on(on()).hint("give a file in PEM that this user may read")
            })?;
            let text = String::from_utf8_lossy(&text);
            let has = |label: &str| {
                let ends = |line: &str| line.trim_end().strip_suffix("-----").is_some_and(|it| it.ends_with(label));
                text.lines().any(|line| line.starts_with("-----BEGIN ") && ends(line))
            };
            if let Some((label, what)) = parts.iter().find(|(label, _)| !has(label)) {
                let problem = Problem::new(format!("it holds no {what}")).on(on());
                return Err(problem.hint(format!("expected PEM, with a line -----BEGIN {label}-----")));
            }
        }
        Ok(())
    }

    fn revocation_list(&self, topology: &Topology) -> Result<Option<PathBuf>, Problem> {
        let Some(list) = &self.backend_tls_crl else { return Ok(None) };
        let problem = |what: &str| Problem::new(what).on("--backend-tls-crl");
        let Some(authority) = &topology.authority else {
            let problem = problem("no certificates of backends are verified");
            return Err(problem.hint("give their authority too: --backend-protocol https --backend-tls-verify FILE"));
        };
        let file = match list {
            TlsFile::File(file) => file.clone(),
            TlsFile::Fleet => revocation_list_of(authority),
        };
        std::path::absolute(&file).map(Some).map_err(|why| problem(&why.to_string()))
    }

    fn client_certificate(&self, topology: &Topology) -> Result<Option<PathBuf>, Problem> {
        let Some(certificate) = &self.backend_tls_cert else { return Ok(None) };
        let problem = |what: &str| Problem::new(what).on("--backend-tls-cert");
        if !topology.tls {
            let problem = problem("there is no TLS to backends");
            return Err(problem.hint("switch it on with --backend-protocol https, h2 or grpcs"));
        }
        let file = match certificate {
            TlsFile::File(file) => Some(file.clone()),
            TlsFile::Fleet => {
                topology.authority.clone().or_else(|| authority_file(topology)).map(|it| client_certificate_of(&it))
            }
        };
        let file =
            file.ok_or_else(|| problem("it is not known where the fleet's certificates are").hint("name a file"))?;
        std::path::absolute(&file).map(Some).map_err(|why| problem(&why.to_string()))
    }

    fn health(&self) -> Result<Option<ActiveHealthCheck>, Problem> {
        let Some(path) = self.health_path.clone() else {
            let details = [
                ("--health-interval", self.health_interval.is_some()),
                ("--health-timeout", self.health_timeout.is_some()),
                ("--health-rise", self.health_rise.is_some()),
                ("--health-fall", self.health_fall.is_some()),
            ];
            return match details.into_iter().find(|(_, given)| *given) {
                None => Ok(None),
                Some((option, _)) => Err(Problem::new("there are no health checks to configure")
                    .on(option)
                    .hint("switch them on with --health-path /readyz")),
            };
        };
        let interval = milliseconds("--health-interval", self.health_interval)?.unwrap_or(Duration::from_secs(1));
        Ok(Some(ActiveHealthCheck {
            path,
            interval,
            timeout: milliseconds("--health-timeout", self.health_timeout)?.unwrap_or(interval),
            rise: self.health_rise.unwrap_or(NonZeroU32::MIN),
            fall: self.health_fall.unwrap_or(NonZeroU32::MIN),
        }))
    }

    fn failure(&self) -> Result<Option<PassiveHealthCheck>, Problem> {
        let fail_timeout = milliseconds("--fail-timeout", self.fail_timeout)?;
        let asked = self.max_fails.is_some() || fail_timeout.is_some();
        Ok(asked.then(|| PassiveHealthCheck {
            max_fails: self.max_fails.unwrap_or(NonZeroU32::MIN),
            fail_timeout: fail_timeout.unwrap_or(Duration::from_secs(10)),
        }))
    }

    fn retries(&self) -> Result<Option<RetryPolicy>, Problem> {
        let wrong = |what: &str| Problem::new(what).on("--retry-non-idempotent");
        match (self.retries, self.retry_non_idempotent) {
            (None, true) => Err(wrong("it needs --retries").hint("give the number of retries, such as --retries 2")),
            (Some(Count(0)), true) => Err(wrong("with --retries 0 nothing is retried")),
            (retries, non_idempotent) => Ok(retries.map(|Count(attempts)| RetryPolicy { attempts, non_idempotent })),
        }
    }
}

fn mark_backups(topology: &mut Topology, BackendSelection(names): &BackendSelection) -> Result<(), Problem> {
    for name in names {
        let backend = topology.backends.iter_mut().find(|backend| backend.name == *name);
        let missing = || Problem::new("the fleet has no such backend").on(format!("--backup {name}"));
        backend.ok_or_else(missing)?.backup = true;
    }
    match topology.active().next() {
        Some(_) => Ok(()),
        None => Err(Problem::new("all backends would be backups").on("--backup")),
    }
}

/// A time that every balancer's configuration can write.
fn milliseconds(option: &str, given: Option<Time>) -> Result<Option<Duration>, Problem> {
    match given {
        Some(Time(time)) if time.subsec_nanos() % 1_000_000 != 0 => {
            Err(Problem::new("expected whole milliseconds").on(option))
        }
        given => Ok(given.map(|Time(time)| time)),
    }
}
