//! Binds everything that a fleet needs before anything of it runs, or says all that is wrong.

use std::net::IpAddr;

use anyhow::Result;

use crate::fleet::api::server::Listening;
use crate::fleet::bind::{self, Listeners};
use crate::fleet::certificates::{self, Prepared};
use crate::fleet::limits;
use crate::fleet::plan::{ControlAddress, FleetPlan};
use crate::fleet::start_error::StartError;
use crate::topology::{Address, Host, Topology};
use crate::wire::Protocols;

/// The sockets of all backends, bound before the first process starts.
pub(crate) struct Bound {
    pub(crate) topology: Topology,
    /// Hosts whose addresses stay as they were at the start.
    pub(crate) resolved: Vec<(Host, Vec<IpAddr>)>,
    /// The listening sockets of each backend.
    pub(crate) listening: Vec<Listeners>,
    pub(crate) api: Listening,
    /// Where metrics are open to anybody.
    pub(crate) metrics: Option<Listening>,
    /// What backends serve with TLS.
    pub(crate) tls: Option<Prepared>,
    /// Connections that the API may hold in addition to all that backends need.
    pub(crate) connections: usize,
}

/// All addresses and sockets; or everything that is wrong.
pub(crate) fn bind(plan: &FleetPlan) -> Result<Bound> {
    crate::platform::limits::raise_files();
    let mut error = StartError::new();
    let mut topology = topology(plan, &mut error);
    let connections = limits::check(&mut error, &topology);
    let names: Vec<&str> = topology.backends.iter().map(|backend| backend.name.as_str()).collect();
    if let Some(unknown) = plan.faults.unknown(&names) {
        error.add(
            format!("--fault: the fleet has no backend {unknown}"),
            format!("its backends are {}", names.join(", ")),
        );
    }
    if let Some(bad) = plan.faults.certificate()
        && plan.tls.as_ref().is_none_or(|tls| tls.own.is_some())
    {
        error.add(
            format!("--fault certificate:{}: the fleet has no authority of its own", bad.name()),
            "such certificates need --tls without --cert",
        );
    }
    if let Some(fault) = plan.faults.of_http2().filter(|_| plan.protocols == Protocols::Http1) {
        error.add(
            format!("--fault {fault}: it is of HTTP/2, which these backends do not speak"),
            "leave out --protocols http/1.1",
        );
    }
    // Of a fleet of ports: what does not resolve is said once, and not for each of them.
    let mut resolved = Vec::new();
    if !topology.is_named() {
        let addresses = bind::resolve(&plan.host).unwrap_or_else(|why| {
            let problem = format!("host {}: it does not resolve ({why})", plan.host);
            error.add(problem, "choose another host with --host: localhost, or 0.0.0.0 for all addresses");
            Vec::new()
        });
        resolved.push((plan.host.clone(), addresses));
    }
    let listening = listen(plan, &topology, &resolved, &mut error);
    let mut tls = plan.tls.as_ref().and_then(|tls| certificates::prepare(tls, &topology, &mut error));
    topology.authority = tls.as_ref().and_then(|tls| tls.authority.as_ref()).map(|files| files.certificate.clone());
    let mut serve = |address, what, option| match Listening::bind(address, what, option) {
        Ok(listening) => Some(listening),
        Err((problem, hint)) => {
            error.add(problem, hint);
            None
        }
    };
    let api = serve(plan.control, "the API", "--control");
    let metrics = plan.metrics.and_then(|at| serve(ControlAddress::Required(at), "metrics", "--metrics"));
    if let (Some(tls), true) = (&mut tls, error.problems.is_empty())
        && let Err(problem) = tls.write()
    {
        error.add(problem.to_string(), problem.hint_text().unwrap_or("see the message of the operating system"));
    }
    let Some(api) = api.filter(|_| error.problems.is_empty()) else { return Err(error.into()) };
    Ok(Bound { topology, resolved, listening, api, metrics, tls, connections })
}

/// The listening sockets of each backend.
fn listen(
    plan: &FleetPlan,
    topology: &Topology,
    resolved: &[(Host, Vec<IpAddr>)],
    error: &mut StartError,
) -> Vec<Listeners> {
    let has_folder = plan.sockets.as_ref().is_none_or(|sockets| bind::find_folder(error, sockets));
    let mut listening = Vec::new();
    for backend in &topology.backends {
        let mut addresses = topology.listens_on(backend.generator);
        addresses.retain(|address| has_folder || !matches!(address, Address::Unix(_)));
        // Each by itself, so that all that is wrong is said.
        let mut all = Listeners::default();
        for address in addresses {
            match bind::listen_on(std::slice::from_ref(&address), resolved, plan.network.as_deref()) {
                Ok(Listeners { sockets, files }) => {
                    all.sockets.extend(sockets);
                    all.files.extend(files);
                }
                Err(unbound) => bind::explain(error, &backend.name, &unbound),
            }
        }
        listening.push(all);
    }
    bind::explain_taken(error, if topology.is_named() { "--backends" } else { "--ports" });
    listening
}

fn topology(plan: &FleetPlan, error: &mut StartError) -> Topology {
    if let Some(named) = &plan.named {
        return Topology { tls: plan.tls.is_some(), ..Topology::of_named(named.clone()) };
    }
    let (generators, no_ports) = plan.ports.generators();
    for no_port in no_ports {
        error.add(
            format!("{no_port} ({})", plan.ports_origin),
            "give each backend a port of its own, such as --ports 9001-9003",
        );
    }
    let mut topology = Topology::of(plan.host.clone(), generators);
    topology.sockets.clone_from(&plan.sockets);
    topology.tls = plan.tls.is_some();
    topology
}
