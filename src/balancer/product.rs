//! What the program knows of a balancer. Each is described in one file; nothing else asks which balancer it has before it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::balancer::options::{BalancerVersion, Options};
use crate::balancer::own::Own;
use crate::balancer::read::Configuration;
use crate::balancer::read::document::get;
use crate::balancer::read::reported::ServerReport;
use crate::balancer::topic::HintTopic;
use crate::balancer::written::{Unsupported, WrittenConfig};
use crate::topology::Topology;

/// One balancer: what it is called, how it runs, what it can do.
pub(crate) struct Product {
    /// As it is typed, and its program on PATH.
    pub(crate) name: &'static str,
    /// The name as its makers write it.
    pub(crate) title: &'static str,
    /// The newest version that the writer was tried with.
    pub(crate) newest: BalancerVersion,
    /// Whether it runs on this machine, and by which program.
    pub(crate) program: Program,
    /// What to type, or where to look, if its program is not there.
    pub(crate) install: &'static str,
    /// The signal at which new processes take over from the old ones, which can be watched from outside. None: it is restarted.
    pub(crate) reload: Option<ReloadSignal>,
    /// Whether it tries another backend, unasked, when one refuses the connection.
    pub(crate) retries_refused: bool,
    /// How long it keeps away from a backend that failed, if nothing is said about that; zero if it does not.
    pub(crate) usual_fail_timeout: Duration,
    /// Whether it keeps away longer each time that the same backend fails again.
    pub(crate) avoids_longer_each_time: bool,
    /// Whether names of its configuration are compared with Host and the port in it.
    pub(crate) matches_port_of_host: bool,
    /// How far the shares of its random choice are from even, and by its own design: as tolerance and margin of an expectation.
    pub(crate) random_spread: Option<(f64, f64)>,
    /// Writes its configuration, or says what it does not support.
    pub(crate) write: fn(&Topology, &Options) -> Result<WrittenConfig, Unsupported>,
    /// What decides in it about something, for hints; empty where it has nothing of the kind.
    pub(crate) directive: fn(HintTopic) -> &'static str,
    /// With the directives that decide where calls of gRPC pass, if they are others.
    pub(crate) of_calls: fn() -> Option<&'static Product>,
    /// What it, and what is derived from it, writes into Server or Via, in lower case.
    pub(crate) calls_itself: &'static [&'static str],
    /// What its own responses say, in lower case, where nothing in their heads names it.
    pub(crate) own_pages: &'static [&'static str],
    /// How it is run with a configuration of the user's own. None: it is not run here.
    pub(crate) own: Option<fn(&Path) -> anyhow::Result<Own>>,
    /// Its arguments on a machine that it has for itself, with that file and nothing of ours. None: it is not run here.
    pub(crate) alone: Option<fn(&Path) -> Vec<OsString>>,
    /// How it reads several files as one; `alone` of each says them all. None: it reads one, which names the others.
    pub(crate) several: Option<SeveralFiles>,
    /// What such a file says of servers and how they are selected. None: it is not read.
    pub(crate) read: Option<fn(&Path) -> anyhow::Result<Configuration>>,
    /// How likely a file is a configuration of it, by its name and what is at its top.
    pub(crate) recognises: fn(&UnknownFile) -> Likelihood,
    /// Where a running one says which servers it has. None: nowhere.
    pub(crate) reports: Option<ServerReport>,
    /// A shell command with which an operator has it reread that file, in the machine that it has for itself. None: it does not.
    pub(crate) renew: Option<fn(&Path, further: &[PathBuf]) -> String>,
    /// Where it keeps certificates that it gets by itself. None: it gets none.
    pub(crate) store: Option<CertificateStore>,
}

/// How a balancer reads several files as one.
#[derive(Clone, Copy)]
pub(crate) struct SeveralFiles {
    /// The files of a folder that it reads, in its order.
    pub(crate) of_folder: fn(&Path) -> anyhow::Result<Vec<PathBuf>>,
    /// What they say together to its program of that version, if it is known.
    pub(crate) read: fn(&[PathBuf], Option<BalancerVersion>) -> anyhow::Result<Configuration>,
}

/// Certificates that a balancer gets by itself, below its data folder (`XDG_DATA_HOME`).
#[derive(Clone, Copy)]
pub(crate) struct CertificateStore {
    /// Those of public authorities: `NAME/NAME.crt`, `.key` and `.json`.
    pub(crate) public: &'static str,
    /// What the file `NAME.json` says.
    pub(crate) description: fn(name: &str) -> String,
    /// The root of its own authority.
    pub(crate) root: &'static str,
}

/// How the balancer is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// A program of its name on PATH, which prints its version when it is asked so.
    OnPath { version_argument: &'static str },
    /// This program itself, with the built-in balancer.
    BuiltIn,
    /// None that runs on this machine.
    Elsewhere,
}

/// How likely a file is a balancer's configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Likelihood {
    No,
    /// It may be, and is if no other balancer knows it better.
    IfNoOther,
    Surely,
}

impl Likelihood {
    pub(crate) fn surely_if(is_so: bool) -> Likelihood {
        if is_so { Likelihood::Surely } else { Likelihood::No }
    }
}

/// A file that may be any balancer's.
pub(crate) struct UnknownFile<'a> {
    /// In small letters.
    pub(crate) name: &'a str,
    pub(crate) extension: &'a str,
    pub(crate) is_folder: bool,
    /// What YAML, TOML or JSON holds, by the file's name; the first document of several.
    pub(crate) tree: Option<&'a Value>,
    /// The text of a file that has such a name, and cannot be read as that.
    pub(crate) unparsed: Option<&'a str>,
}

impl UnknownFile<'_> {
    /// Whether it has the name of YAML, TOML or JSON.
    pub(crate) fn is_document(&self) -> bool {
        self.tree.is_some() || self.unparsed.is_some()
    }

    /// Whether one of these keys is at its top.
    pub(crate) fn has_any(&self, keys: &[&str]) -> bool {
        self.tree.is_some_and(|tree| keys.iter().any(|key| get(tree, key).is_some()))
    }
}

/// A signal at which a balancer rereads its files and lets new processes take over from the old ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReloadSignal {
    /// SIGHUP
    Hup,
    /// SIGUSR2
    Usr2,
}
