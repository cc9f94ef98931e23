//! What a balancer is told: typed, or in the table `[balancer]` of the file. `config` writes it, `demo` and `check --with` run it.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::cli::settings::{Complete, Count};
use crate::topology::{Algorithm, Failure, Health, HttpPath, Ports, Retries, Timeouts, Topology, Weights};
use crate::wire::Time;

/// One layer of it: what it does not say, the next one does.
#[derive(Args, Deserialize, Default, Clone, PartialEq, Debug)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Balancing {
    /// How a backend is picked: round-robin, least-connections, least-time, random, two-choices, source, uri, header:NAME, cookie:NAME,
    /// sticky or sticky:NAME [default: round-robin]
    #[arg(long, value_name = "ALGORITHM", help_heading = "Balancing")]
    algorithm: Option<Algorithm>,

    /// How often each backend gets its turn, from 1 to 256, in their order: 5:1:1 [default: all alike]
    #[arg(long, value_name = "WEIGHTS", help_heading = "Balancing")]
    weights: Option<Weights>,

    /// Backends that get requests only while no other can have them
    #[arg(long, value_name = "PORTS", help_heading = "Balancing")]
    backup: Option<Ports>,

    /// Requests to this path and those below are balanced, and arrive without it [default: /uuid]
    #[arg(long, value_name = "PATH", help_heading = "Balancing")]
    path: Option<HttpPath>,

    /// Processes or threads that serve [default: 1]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing")]
    workers: Option<Count<1, 64>>,

    /// The balancer probes backends at this path, such as /readyz
    #[arg(long, value_name = "PATH", help_heading = "Balancing: failures")]
    health_path: Option<HttpPath>,

    /// From one probe to the next [default: 1s]
    #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
    health_interval: Option<Time>,

    /// How long the answer to a probe is waited for [default: the interval]
    #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
    health_timeout: Option<Time>,

    /// Good probes in a row until a backend is taken back [default: 1]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
    health_rise: Option<NonZeroU32>,

    /// Bad probes in a row until a backend is avoided [default: 1]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
    health_fall: Option<NonZeroU32>,

    /// A backend that failed so many requests is avoided [default: 1 with --fail-timeout, else as the balancer has it]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
    max_fails: Option<NonZeroU32>,

    /// For so long [default: 10s with --max-fails, else as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
    fail_timeout: Option<Time>,

    /// So often a request that a backend failed is tried again; 0: never [default: as the balancer has it]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing: failures")]
    retries: Option<Count<0, 100>>,

    /// Also one such as POST that was sent already, and may have been executed
    #[arg(long, help_heading = "Balancing: failures")]
    retry_non_idempotent: bool,

    /// How long the balancer waits for a connection to a backend [default: as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
    connect_timeout: Option<Time>,

    /// How long it waits for a backend's answer [default: as the balancer has it]
    #[arg(long, value_name = "TIME", help_heading = "Balancing: failures")]
    answer_timeout: Option<Time>,

    /// Idle connections to backends that are kept; 0: a new one for each request [default: as the balancer has it]
    #[arg(long, value_name = "COUNT", help_heading = "Balancing")]
    keep_alive: Option<Count<0, 65_535>>,
}

impl Balancing {
    /// What is not said here is said by `next`.
    pub fn or(self, next: Balancing) -> Balancing {
        Balancing {
            algorithm: self.algorithm.or(next.algorithm),
            weights: self.weights.or(next.weights),
            backup: self.backup.or(next.backup),
            path: self.path.or(next.path),
            workers: self.workers.or(next.workers),
            health_path: self.health_path.or(next.health_path),
            health_interval: self.health_interval.or(next.health_interval),
            health_timeout: self.health_timeout.or(next.health_timeout),
            health_rise: self.health_rise.or(next.health_rise),
            health_fall: self.health_fall.or(next.health_fall),
            max_fails: self.max_fails.or(next.max_fails),
            fail_timeout: self.fail_timeout.or(next.fail_timeout),
            retries: self.retries.or(next.retries),
            retry_non_idempotent: self.retry_non_idempotent || next.retry_non_idempotent,
            connect_timeout: self.connect_timeout.or(next.connect_timeout),
            answer_timeout: self.answer_timeout.or(next.answer_timeout),
            keep_alive: self.keep_alive.or(next.keep_alive),
        }
    }

    /// Nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Balancing::default()
    }

    /// The fleet of these settings, with what the balancer in front of it is told, and how many workers it has.
    pub fn tell(self, settings: &Complete) -> Result<(Topology, Option<NonZeroU32>)> {
        let (host, ports) = settings.whereabouts()?;
        let mut topology = Topology::of(host, ports.meant().map_err(anyhow::Error::msg)?);
        topology.sockets = settings.sockets();
        topology.proxy_protocol = settings.proxy_protocol();
        if let Some(weights) = &self.weights {
            topology.weigh(weights).map_err(|why| anyhow::anyhow!("--weights: {why}"))?;
        }
        if let Some(backup) = &self.backup {
            for generator in backup.meant().map_err(|why| anyhow::anyhow!("--backup {why}"))? {
                let member = topology.members.iter_mut().find(|member| member.generator == generator);
                member.with_context(|| format!("--backup {generator}: the fleet has no such backend"))?.backup = true;
            }
            if topology.active().next().is_none() {
                bail!("--backup: all backends would be backups");
            }
        }
        topology.algorithm = self.algorithm.unwrap_or_default();
        if let Some(path) = self.path {
            topology.path = path;
        }
        let details = [
            ("--health-interval", self.health_interval.is_some()),
            ("--health-timeout", self.health_timeout.is_some()),
            ("--health-rise", self.health_rise.is_some()),
            ("--health-fall", self.health_fall.is_some()),
        ];
        if let (None, Some((detail, _))) = (&self.health_path, details.iter().find(|(_, said)| *said)) {
            bail!("{detail}: says how probes go, and there are none\n  hint: --health-path /readyz");
        }
        match (self.retries, self.retry_non_idempotent) {
            (None, true) => {
                bail!("--retry-non-idempotent: says what is tried again\n  hint: say how often, --retries 2")
            }
            (Some(Count(0)), true) => bail!("--retry-non-idempotent: with --retries 0 nothing is tried again"),
            (retries, non_idempotent) => {
                topology.retries = retries.map(|Count(attempts)| Retries { attempts, non_idempotent });
            }
        }
        let connect = whole("connect-timeout", self.connect_timeout)?;
        let answer = whole("answer-timeout", self.answer_timeout)?;
        topology.timeouts = Timeouts { connect, answer };
        let interval = whole("health-interval", self.health_interval)?.unwrap_or(Duration::from_secs(1));
        let timeout = whole("health-timeout", self.health_timeout)?.unwrap_or(interval);
        let (rise, fall) = (self.health_rise.unwrap_or(NonZeroU32::MIN), self.health_fall.unwrap_or(NonZeroU32::MIN));
        topology.health = self.health_path.map(|path| Health { path, interval, timeout, rise, fall });
        let fail_timeout = whole("fail-timeout", self.fail_timeout)?;
        if self.max_fails.is_some() || fail_timeout.is_some() {
            topology.failure = Some(Failure {
                max_fails: self.max_fails.unwrap_or(NonZeroU32::MIN),
                fail_timeout: fail_timeout.unwrap_or(Duration::from_secs(10)),
            });
        }
        topology.keep_alive = self.keep_alive.map(|Count(connections)| connections);
        Ok((topology, self.workers.and_then(|Count(workers)| NonZeroU32::new(workers))))
    }
}

/// A time that every balancer's configuration can write.
fn whole(name: &str, given: Option<Time>) -> Result<Option<Duration>> {
    match given {
        Some(Time(time)) if time.subsec_nanos() % 1_000_000 != 0 => bail!("--{name}: expected whole milliseconds"),
        given => Ok(given.map(|Time(time)| time)),
    }
}
