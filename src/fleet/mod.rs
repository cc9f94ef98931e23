//! The supervisor process: binds all addresses, starts a process for each backend, watches them, and is told what to do by signals
//! and by its API. It reaches `backend` only by starting the same executable.

mod bind;
mod control;
mod errand;
mod limits;
mod live;
mod log;
mod member;
mod metrics;
mod printer;
mod process;
mod records;
mod supervisor;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::topology::{Host, Ports, Sockets};
use crate::wire::Limits;

pub use log::Mode as LogMode;
pub use supervisor::run;

/// What a fleet is to be.
pub struct Plan {
    /// Where the backends listen.
    pub host: Host,
    /// On which ports, as they were asked for.
    pub ports: Ports,
    /// Who asked for these ports, for messages: `--ports`, or a file and a line.
    pub ports_origin: String,
    /// They also listen on unix sockets there.
    pub sockets: Option<Sockets>,
    /// Whether connections to backends may begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Bounds of each backend.
    pub limits: Limits,
    /// How long requests in flight have to end when the fleet or a backend is stopped gracefully.
    pub grace: Duration,
    /// Whether a backend that ended unasked is started again.
    pub restart: bool,
    /// How attempts are shown.
    pub log: LogMode,
    /// Where the API listens.
    pub control: ControlAddress,
    /// How many ended attempts each backend's journal holds; none to share out a sensible amount of memory.
    pub journal: Option<u32>,
    /// Shown once all backends accept.
    pub advice: Box<dyn Fn(&crate::topology::Topology) -> String>,
}

/// Where the API listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlAddress {
    /// There if it is free, on any free port else.
    Preferred(SocketAddr),
    /// There or not at all.
    Required(SocketAddr),
}

/// Everything that keeps a fleet from starting. Nothing was started, or it has been ended again.
#[derive(Debug, PartialEq, Eq)]
pub struct StartError {
    /// What fails, each on what and why.
    pub problems: Vec<String>,
    /// What to try.
    pub hints: Vec<String>,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to start the fleet; nothing is left running")?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}

impl StartError {
    fn new() -> StartError {
        StartError { problems: Vec::new(), hints: Vec::new() }
    }

    fn add(&mut self, problem: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(problem.into());
        let hint = hint.into();
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }
}
