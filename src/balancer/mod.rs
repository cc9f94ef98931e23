//! The balancer in front of the fleet: PURE writers of its configuration, the launcher of a real one, and one that is built in.
//!
//! What a balancer cannot be told is an error that names the nearest thing, never left out in silence.

pub mod caddy;
mod choice;
pub mod envoy;
pub mod expected;
mod fallback;
pub mod guard;
pub mod haproxy;
pub mod installed;
pub mod kubernetes;
pub mod launch;
mod lines;
pub mod nginx;
pub mod nginx_files;
pub mod own;
pub mod product;
pub mod read;
pub mod traefik;

pub use product::{Balancer, Product, Program, ReloadSignal};

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use crate::topology::{Host, Topology};

/// How a configuration is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Where the balancer listens; None: port 80 of a snippet, 8080 else.
    pub listen: Option<Listen>,
    /// Only what is included in a configuration that is there already.
    pub snippet: bool,
    /// For which version.
    pub version: For,
    /// How many workers or threads serve; None: one, and in a snippet whatever there is.
    pub workers: Option<NonZeroU32>,
}

impl Options {
    /// What is included, for the newest version.
    pub const SNIPPET: Options = Options { listen: None, snippet: true, version: For::Newest, workers: None };
    /// What runs by itself, for the newest version.
    pub const WHOLE: Options = Options { snippet: false, ..Options::SNIPPET };

    fn listen(&self) -> Listen {
        self.listen.unwrap_or(Listen { address: None, port: if self.snippet { 80 } else { 8080 } })
    }

    fn workers(&self) -> u32 {
        self.workers.map_or(1, NonZeroU32::get)
    }

    fn version(&self, product: &Product) -> Version {
        match self.version {
            For::Asked(version) | For::Found(version) => version,
            For::Newest => product.newest,
        }
    }

    /// What the first line of a configuration says.
    fn head(&self, product: &Product, topology: &Topology) -> String {
        let (title, version) = (product.title, self.version(product));
        let origin = match self.version {
            For::Asked(_) => String::new(),
            For::Found(_) => ", which was found on PATH".to_owned(),
            For::Newest if !matches!(product.program, Program::OnPath { .. }) => ", the newest known".to_owned(),
            For::Newest => ": none was found on PATH, so the newest known was assumed".to_owned(),
        };
        let count = topology.members.len();
        let backends = if count == 1 { "1 backend".to_owned() } else { format!("{count} backends") };
        format!("{title} in front of {backends}, written by uuid-generator for version {version}{origin}.")
    }
}

/// For which version of a balancer a configuration is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// As was asked for.
    Asked(Version),
    /// As the program on PATH says.
    Found(Version),
    /// Nothing is known.
    Newest,
}

/// Of a balancer: `1.31.3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// The first one in what a program says of itself: `nginx version: nginx/1.22.1`.
    pub fn in_text(text: &str) -> Option<Version> {
        text.split(|c: char| !(c.is_ascii_digit() || c == '.')).find_map(|word| {
            let word = word.trim_matches('.');
            (word.split('.').count() == 3).then(|| word.parse().ok()).flatten()
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Version, &'static str> {
        const EXPECTED: &str = "expected a version such as 1.31.3 or 2.6";
        let mut numbers = [0; 3];
        let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
        if !(2..=3).contains(&parts.len()) {
            return Err(EXPECTED);
        }
        for (number, part) in numbers.iter_mut().zip(parts) {
            *number = part.parse().map_err(|_| EXPECTED)?;
        }
        Ok(Version(numbers[0], numbers[1], numbers[2]))
    }
}

/// Where a balancer listens: `8080` is that port of all of the machine's IPv4 addresses, `127.0.0.1:8080` of one address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// One address of the machine.
    pub address: Option<IpAddr>,
    /// Not 0.
    pub port: u16,
}

impl Listen {
    /// With an address in any case: `0.0.0.0:8080`.
    fn ip(self) -> IpAddr {
        self.address.unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }
}

/// `8080`, `127.0.0.1:8080`, `[::1]:8080`
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => self.port.fmt(f),
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
        }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Listen, &'static str> {
        const EXPECTED: &str = "expected a port, or an address and a port: 8080, 127.0.0.1:8080, [::1]:8080";
        let listen = match text.rsplit_once(':') {
            None => text.parse().ok().map(|port| Listen { address: None, port }),
            Some((host, port)) => host.parse::<Host>().ok().zip(port.parse().ok()).and_then(|(host, port)| {
                let address = host.fixed_addresses()?.first().copied();
                Some(Listen { address, port })
            }),
        };
        listen.filter(|listen| listen.port != 0).ok_or(EXPECTED)
    }
}

/// A configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// Its files. Their names are relative to the folder in which the balancer is started.
    pub files: Vec<File>,
    /// How it is started in that folder, in the foreground; nothing for a snippet.
    pub run: Option<Run>,
}

/// One file of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Without a folder.
    pub name: &'static str,
    /// With a newline at its end.
    pub text: String,
}

/// How a balancer is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Variables that are set.
    pub environment: Vec<(&'static str, String)>,
    /// The program and its arguments.
    pub command: Vec<String>,
}

impl Run {
    fn of(environment: &[(&'static str, &str)], command: &str) -> Run {
        Run {
            environment: environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            command: command.split(' ').map(str::to_owned).collect(),
        }
    }
}

/// As it is typed in a shell.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.environment {
            write!(f, "{name}={value} ")?;
        }
        f.write_str(&self.command.join(" "))
    }
}

/// A balancer does not support something, in its free edition or in that version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unsupported {
    /// Such as `stick to a backend by a cookie of its own (--algorithm sticky): from 1.29.6`.
    pub what: String,
    /// Which one, by its title.
    pub title: &'static str,
    /// For which the configuration was to be written.
    pub version: Version,
    /// What comes nearest.
    pub nearest: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { what, title, version, nearest } = self;
        write!(f, "{title} {version} cannot {what}\n  hint: {nearest}")
    }
}

impl std::error::Error for Unsupported {}

/// The limits of one version of a balancer: they name it in what they refuse.
#[derive(Clone, Copy)]
struct Limits {
    title: &'static str,
    version: Version,
}

impl Limits {
    fn of(product: &Product, options: &Options) -> Limits {
        Limits { title: product.title, version: options.version(product) }
    }

    /// It cannot, if so.
    fn refuse_if(self, so: bool, what: &str, nearest: &str) -> Result<(), Unsupported> {
        if so { Err(self.cannot(what, nearest)) } else { Ok(()) }
    }

    fn refuse_if_older_than(self, oldest: Version) -> Result<(), Unsupported> {
        let what = format!("be configured: configuration is written from version {oldest} on");
        self.refuse_if(
            self.version < oldest,
            &what,
            "take a newer one, and see whether the older takes what is written for it",
        )
    }

    /// Most have that where a snippet does not reach.
    fn refuse_workers_in_snippet(self, options: &Options) -> Result<(), Unsupported> {
        self.refuse_if(
            options.snippet && options.workers.is_some(),
            "say in a snippet how many workers serve (--workers)",
            "leave out --workers or --snippet",
        )
    }

    fn cannot(self, what: &str, nearest: &str) -> Unsupported {
        let Limits { title, version } = self;
        Unsupported { what: what.to_owned(), title, version, nearest: nearest.to_owned() }
    }
}

/// What several cannot, and what is nearest to it.
const LEAST_TIME: &str = "go by the time of answers (--algorithm least-time)";
const FEWEST: &str = "--algorithm least-connections: a slow backend has more requests in flight";

/// Methods whose requests may be executed twice (RFC 9110, section 9.2.2).
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

/// `10s`, `250ms`
fn time(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{}ms", millis.max(1)),
    }
}

#[cfg(test)]
mod tests;
