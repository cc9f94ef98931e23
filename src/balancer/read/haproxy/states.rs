//! The state of servers that HAProxy keeps: from files when it starts, which stand before what the configuration says, and as a running
//! one reports it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::balancer::read::endpoint::Endpoint;
use crate::balancer::read::reported::ReportedServers;

/// What a section says of the file of its state.
#[derive(Clone, Default)]
pub(super) struct SavedState {
    /// The line that has a file read, with its place; None if none does.
    line: Option<String>,
    /// Whether that file is the section's own.
    is_local: bool,
    /// How that one is called; None: as the section.
    name: Option<String>,
}

impl SavedState {
    pub(super) fn note(&mut self, words: &[&str], place: &str) {
        match words {
            ["load-server-state-from-file", which] => {
                self.line = (*which != "none").then(|| format!("{place}: {}", words.join(" ")));
                self.is_local = *which == "local";
            }
            ["server-state-file-name", name] => {
                self.name = (*name != "use-backend-name").then(|| (*name).to_owned());
            }
            _ => {}
        }
    }
}

/// The files of all sections.
pub(super) struct StateFiles<'e> {
    /// The directory that relative file names start from.
    base: PathBuf,
    /// The state file that all sections share.
    shared: Option<PathBuf>,
    exists: &'e dyn Fn(&Path) -> bool,
}

impl StateFiles<'_> {
    pub(super) fn new(exists: &dyn Fn(&Path) -> bool) -> StateFiles<'_> {
        StateFiles { base: PathBuf::new(), shared: None, exists }
    }

    /// What a line of `global` says of them.
    pub(super) fn note(&mut self, words: &[String]) {
        match words {
            [base, folder] if base == "server-state-base" => self.base = PathBuf::from(folder),
            [file, name] if file == "server-state-file" => self.shared = Some(PathBuf::from(name)),
            _ => {}
        }
    }

    /// The line of a section that has a file read which is there. Without it HAProxy starts with what the configuration says.
    pub(super) fn deciding(&self, state: &SavedState, section: &str) -> Option<String> {
        let own = || PathBuf::from(state.name.as_deref().unwrap_or(section));
        let file = if state.is_local { Some(own()) } else { self.shared.clone() };
        state.line.clone().filter(|_| file.is_some_and(|file| (self.exists)(&self.base.join(file))))
    }
}

/// Reads the response to `show servers state`, in its first format. Servers that the file disables are left out.
pub(crate) fn read_states(text: &str) -> Option<ReportedServers> {
    const CONFIGURED_DOWN: u32 = 0x04;
    let mut lines = text.lines().filter(|line| !line.is_empty());
    lines.next().filter(|version| version.trim() == "1")?;
    let mut groups: BTreeMap<String, Vec<(Endpoint, u64)>> = BTreeMap::new();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let at = |place: usize| fields.get(place).copied();
        let (group, address, state, weight, port) = (at(1)?, at(4)?, at(6)?, at(8)?, at(18)?);
        let servers = groups.entry(group.to_owned()).or_default();
        // Unix sockets have no address here, nor have names that are not resolved yet.
        let Ok(ip) = address.parse::<IpAddr>() else { continue };
        let weight = weight.parse::<u64>().ok()?;
        if state.parse::<u32>().ok()? & CONFIGURED_DOWN == 0 && weight > 0 {
            servers.push((Endpoint::Tcp(ip.to_string(), port.parse().ok()?), weight));
        }
    }
    Some(ReportedServers::Groups(groups))
}
