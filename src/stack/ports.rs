//! The backends' ports: those of the settings; where nobody names any and the usual ones are taken, free ones near them.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::args::location::LocationArgs;
use crate::error::Problem;
use crate::remote;
use crate::topology::{Host, Ports, Topology};
use crate::wire::Generator;

/// From the usual ports to the ones that are tried next: 9011, 9021 and so on.
const STEP: u16 = 10;
const TRIES: u16 = 50;

/// The ports that backends get.
pub(super) struct Choice {
    /// With ports that can be had, as far as they are ours to choose.
    pub(super) location: LocationArgs,
    /// What a person should know of that.
    pub(super) note: Option<String>,
    /// Whether others can be chosen, should somebody take these before the fleet has them.
    pub(super) is_ours: bool,
}

/// Ports for a fleet that will be started.
pub(super) fn choose(location: LocationArgs) -> Result<Choice, Problem> {
    let settings = location.config().merge()?;
    if settings.names_backends() {
        return Ok(Choice { location, note: None, is_ours: false });
    }
    let topology = settings.topology()?;
    let usual: Vec<Generator> = topology.backends.iter().map(|backend| backend.generator).collect();
    let taken: Vec<Generator> = usual.iter().copied().filter(|port| !is_free(&topology.host, *port)).collect();
    if taken.is_empty() {
        return Ok(Choice { location, note: None, is_ours: true });
    }
    let moved = |step: u16| usual.iter().map(|port| Generator(port.0 + step * STEP)).collect::<Vec<_>>();
    let found = (1..=TRIES).map(moved).find(|ports| ports.iter().all(|port| is_free(&topology.host, *port)));
    // Without any, the start names each port and what to do.
    let Some(free) = found else { return Ok(Choice { location, note: None, is_ours: false }) };
    let (ports, belong, are) = if taken.len() == 1 { ("port", "belongs", "is") } else { ("ports", "belong", "are") };
    let holder = match remote::holder(&taken.iter().map(Generator::to_string).collect::<Vec<_>>()) {
        Some(supervisor) => format!("{belong} to your fleet {supervisor}"),
        None => format!("{are} taken by another program"),
    };
    let note = format!("{ports} {} {holder}: using {}", list(&taken), list(&free));
    Ok(Choice { location: location.with_ports(Ports::of(&free)), note: Some(note), is_ours: true })
}

/// Whether one of them cannot be had.
pub(super) fn are_taken(topology: &Topology) -> bool {
    topology.backends.iter().any(|backend| !is_free(&topology.host, backend.generator))
}

fn is_free(host: &Host, port: Generator) -> bool {
    let addresses = host.fixed_addresses().unwrap_or_default();
    addresses.into_iter().all(|address| match TcpListener::bind((address, port.0)) {
        Ok(_) => true,
        // What else is wrong with it is wrong with every port, and the start says what.
        Err(why) => why.kind() != ErrorKind::AddrInUse,
    })
}

fn list(ports: &[Generator]) -> String {
    Ports::of(ports).to_string()
}
