//! What the program knows of a balancer: one descriptor in one file each, and the list of them. Help, errors, `demo`, `check --with`
//! and the benches read it; nothing else asks which balancer it has before it.

use std::fmt;
use std::ops::Deref;
use std::path::Path;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::balancer::own::Own;
use crate::balancer::{
    Options, Unsupported, Version, Written, caddy, envoy, fallback, haproxy, kubernetes, nginx, traefik,
};
use crate::topology::Topology;

/// One balancer.
pub struct Product {
    /// As it is typed, and its program on PATH.
    pub name: &'static str,
    /// As its makers write it.
    pub title: &'static str,
    /// The newest version that the writer was tried with.
    pub newest: Version,
    /// What runs it.
    pub program: Program,
    /// What to type, or where to look, if its program is not there.
    pub install: &'static str,
    /// The signal at which new processes take over from the old ones, which can be watched from outside. None: it is started anew.
    pub reload: Option<ReloadSignal>,
    /// Whether it tries another backend, unasked, when one refuses the connection.
    pub retries_refused: bool,
    /// How far the shares of its random choice are from even, and by its own design: as tolerance and margin of an expectation.
    pub random_spread: Option<(f64, f64)>,
    /// Writes its configuration, or says what it does not support.
    pub write: fn(&Topology, &Options) -> Result<Written, Unsupported>,
    /// How it is run with a configuration of the user's own. None: it is not run here.
    pub own: Option<fn(&Path) -> anyhow::Result<Own>>,
}

/// What runs a balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Program {
    /// A program of its name on PATH, which prints its version when it is asked so.
    OnPath { version_argument: &'static str },
    /// This program.
    BuiltIn,
    /// None that runs on this machine.
    Elsewhere,
}

/// A signal at which a balancer reads its files anew and lets new processes take over from the old ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReloadSignal {
    /// SIGHUP
    Hup,
    /// SIGUSR2
    Usr2,
}

/// One of the list, by its name.
#[derive(Clone, Copy)]
pub struct Balancer(&'static Product);

/// In the order in which they are best known.
const PRODUCTS: [Balancer; 6] = [
    Balancer(&nginx::NGINX),
    Balancer(&haproxy::HAPROXY),
    Balancer(&envoy::ENVOY),
    Balancer(&traefik::TRAEFIK),
    Balancer(&caddy::CADDY),
    Balancer(&kubernetes::KUBERNETES),
];

impl Balancer {
    /// All for which configuration is written.
    pub const ALL: [Balancer; 6] = PRODUCTS;

    /// The one that needs nothing to be installed.
    pub const BUILT_IN: Balancer = Balancer(&fallback::FALLBACK);

    /// Those that run on this machine, if they are installed, and the built-in one.
    pub fn all_that_run() -> impl Iterator<Item = Balancer> {
        let run = Balancer::ALL.into_iter().filter(|balancer| balancer.program != Program::Elsewhere);
        run.chain([Balancer::BUILT_IN])
    }

    /// The configuration, or what the balancer does not support.
    pub fn write(self, topology: &Topology, options: &Options) -> Result<Written, Unsupported> {
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
        &PRODUCTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name))
    }
}
