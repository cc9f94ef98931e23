//! The backends' ports: those of the settings; where nobody typed any and these are taken, free ones near them.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::args::location::LocationArgs;
use crate::error::Problem;
use crate::remote;
use crate::topology::{Address, Host, NamedBackend, Ports};
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
    /// Those that are ours to choose: others can be chosen, should somebody take these before the fleet has them.
    pub(super) ours: Option<OwnPorts>,
}

/// Ports that nobody typed.
pub(super) struct OwnPorts {
    host: Host,
    ports: Vec<Generator>,
}

/// Ports for a fleet that will be started. On others than their usual ones, backends are called by their ports, or keep the names by which
/// outages, expectations and the balancer's configuration know them.
pub(super) fn choose(location: LocationArgs, keeps_names: bool) -> Result<Choice, Problem> {
    let settings = location.config().merge()?;
    if location.names_ports() || settings.names_backends() {
        return Ok(Choice { location, note: None, ours: None });
    }
    let topology = settings.topology()?;
    let host = topology.host.clone();
    let usual: Vec<Generator> = topology.generators().collect();
    let taken: Vec<Generator> = usual.iter().copied().filter(|port| !is_free(&host, *port)).collect();
    if taken.is_empty() {
        return Ok(Choice { location, note: None, ours: Some(OwnPorts { host, ports: usual }) });
    }
    let moved = |step: u16| usual.iter().map(|port| port.0.checked_add(step * STEP).map(Generator)).collect();
    let found = (1..=TRIES).filter_map(moved).find(|ports: &Vec<_>| ports.iter().all(|port| is_free(&host, *port)));
    // Without any, the start names each port and what to do.
    let Some(free) = found else { return Ok(Choice { location, note: None, ours: None }) };
    let (ports, belong, are) = if taken.len() == 1 { ("port", "belongs", "is") } else { ("ports", "belong", "are") };
    let holder = match remote::holder(&taken.iter().map(Generator::to_string).collect::<Vec<_>>()) {
        Some(supervisor) => format!("{belong} to your fleet {supervisor}"),
        None => format!("{are} taken by another program"),
    };
    let mut note = format!("{ports} {} {holder}: using {}", list(&taken), list(&free));
    // Files of sockets are called as their ports are.
    let location = if keeps_names && topology.sockets.is_none() {
        note += "; backends keep their names";
        let listens = |port: &Generator| vec![Address::Tcp(host.clone(), port.0)];
        let named = topology.backends.iter().zip(&free).map(|(backend, port)| (backend.name.clone(), listens(port)));
        location.with_backends(named.map(|(name, addresses)| NamedBackend { name, addresses }).collect())
    } else {
        location.with_ports(Ports::of(&free))
    };
    Ok(Choice { location, note: Some(note), ours: Some(OwnPorts { host, ports: free }) })
}

impl OwnPorts {
    /// Whether one of them cannot be had.
    pub(super) fn are_taken(&self) -> bool {
        self.ports.iter().any(|port| !is_free(&self.host, *port))
    }
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
