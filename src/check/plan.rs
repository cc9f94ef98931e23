//! PURE. What a check is to do: everything that is decided before it begins.

use std::path::PathBuf;
use std::time::Duration;

use crate::check::drill;
use crate::check::traffic::Identity;
use verdict::rules::Expectations;

/// One check.
#[derive(Clone, Debug)]
pub struct Plan {
    /// As the configuration file names it.
    pub name: Option<String>,
    /// The balancer.
    pub url: String,
    /// Where the URL wants TLS.
    pub trust: Trust,
    /// What stands behind it.
    pub backends: Backing,
    /// `GET` unless said otherwise.
    pub method: String,
    /// Sent with every request.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body of each request; none without.
    pub body_bytes: usize,
    /// Connections at once, at most; None leaves it to the pacing.
    pub connections: Option<usize>,
    /// A new connection for each request.
    pub new_connections: bool,
    /// Requests a second; None for a closed loop.
    pub rate: Option<f64>,
    /// Requests of the sample; None for as many as the tolerance needs.
    pub requests: Option<u64>,
    /// The sample ends after that time.
    pub duration: Option<Duration>,
    /// An answer is waited for so long.
    pub timeout: Duration,
    /// What is required.
    pub expectations: Expectations,
    /// Headers that the balancer might key on.
    pub key_headers: Vec<String>,
    /// Cookies that the balancer might key on.
    pub key_cookies: Vec<String>,
    /// What is done to the fleet meanwhile.
    pub drill: drill::Plan,
}

/// Whom a client with TLS trusts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Trust {
    /// The authorities that this machine trusts.
    #[default]
    Machine,
    /// Those, and the certificates of this file.
    Also(PathBuf),
    /// Anyone.
    Anyone,
}

/// What stands behind the balancer.
#[derive(Clone, Debug)]
pub enum Backing {
    /// The one fleet of this user on this machine, or that of this supervisor.
    Fleet(Option<u32>),
    /// The fleet whose API is there.
    FleetAt(String),
    /// A fleet that is started for the run, with these options.
    Started(Vec<String>),
    /// Backends that are not ours.
    Others(Identity),
    /// A fleet if one runs, else backends like the original program.
    Any,
}
