//! The list of balancers. Help, errors, `demo`, `check --with` and the benches read it.

use std::fmt;
use std::ops::Deref;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::balancer::limits::VersionLimits;
use crate::balancer::options::Options;
use crate::balancer::product::{Product, Program};
use crate::balancer::written::{Unsupported, WrittenConfig};
use crate::balancer::{caddy, compose, envoy, fallback, haproxy, kubernetes, nginx, traefik};
use crate::topology::Topology;

/// One of the list, by its name.
#[derive(Clone, Copy)]
pub(crate) struct Balancer(&'static Product);

impl Balancer {
    /// All for which configuration is written, in the order in which they are best known.
    pub(crate) const ALL: [Balancer; 7] = [
        Balancer(&nginx::NGINX),
        Balancer(&haproxy::HAPROXY),
        Balancer(&envoy::ENVOY),
        Balancer(&traefik::TRAEFIK),
        Balancer(&caddy::CADDY),
        Balancer(&kubernetes::KUBERNETES),
        Balancer(&compose::COMPOSE),
    ];

    /// The one that needs nothing to be installed.
    pub(crate) const BUILT_IN: Balancer = Balancer(&fallback::FALLBACK);

    /// Those that run on this machine, if they are installed, and the built-in one.
    pub(crate) fn all_that_run() -> impl Iterator<Item = Balancer> {
        let run = Balancer::ALL.into_iter().filter(|balancer| balancer.program != Program::Elsewhere);
        run.chain([Balancer::BUILT_IN])
    }

    /// By its name, or by what it writes into Server or Via.
    pub(crate) fn of_text(text: &str) -> Option<Balancer> {
        let text = text.to_ascii_lowercase();
        let named = |balancer: &Balancer| balancer.calls_itself.iter().any(|name| text.contains(name));
        Balancer::all_that_run().find(named)
    }

    /// By what a response says that no backend gave.
    pub(crate) fn of_own_page(text: &str) -> Option<Balancer> {
        let text = text.to_ascii_lowercase();
        let says = |balancer: &Balancer| balancer.own_pages.iter().any(|words| text.contains(words));
        Balancer::all_that_run().find(says)
    }

    /// As it is configured for calls of gRPC.
    pub(crate) fn of_calls(self) -> Balancer {
        (self.0.of_calls)().map_or(self, Balancer)
    }

    /// The names that `--with` takes, for its help.
    pub(crate) fn names() -> String {
        Balancer::all_that_run().map(|balancer| balancer.name).collect::<Vec<_>>().join(", ")
    }

    /// The configuration, or what the balancer does not support.
    pub(crate) fn write(self, topology: &Topology, options: &Options) -> Result<WrittenConfig, Unsupported> {
        if let (Some(option), true) = (options.containers.asked(), self.program != Program::Elsewhere) {
            let what = format!("configure containers ({option})");
            return Err(VersionLimits::of(self.0, options).cannot(&what, "config kubernetes or config compose"));
        }
        (self.0.write)(topology, options)
    }
}

impl Deref for Balancer {
    type Target = Product;

    fn deref(&self) -> &Product {
        self.0
    }
}

impl PartialEq for Balancer {
    fn eq(&self, other: &Balancer) -> bool {
        self.name == other.name
    }
}

impl Eq for Balancer {}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

/// On the command line: help and errors list the names.
impl ValueEnum for Balancer {
    fn value_variants<'a>() -> &'a [Balancer] {
        &Balancer::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}
