//! Binds everything that a fleet needs before anything of it runs, or says all that is wrong.

use anyhow::Result;
use socket2::Socket;
use std::net::IpAddr;

use crate::fleet::api::server::Listening;
use crate::fleet::bind::{self, SocketFile};
use crate::fleet::limits;
use crate::fleet::plan::Plan;
use crate::fleet::start_error::StartError;
use crate::topology::Topology;

/// What is bound.
pub(crate) struct Bound {
    pub(crate) topology: Topology,
    pub(crate) addresses: Vec<IpAddr>,
    /// Of each backend: its listening sockets, the file of the unix socket among them.
    pub(crate) listening: Vec<(Vec<Socket>, Option<SocketFile>)>,
    pub(crate) api: Listening,
    /// Connections that the API may hold beside all that backends need.
    pub(crate) connections: usize,
}

/// All addresses and sockets; or everything that is wrong.
pub(crate) fn bind(plan: &Plan) -> Result<Bound> {
    crate::io::limits::raise_files();
    let (generators, no_ports) = plan.ports.generators();
    let mut error = StartError::new();
    for no_port in no_ports {
        error.add(
            format!("{no_port} ({})", plan.ports_origin),
            "give each backend a port of its own, such as --ports 9001-9003",
        );
    }
    let connections = limits::check(&mut error, generators.len(), plan.sockets.is_some());
    let addresses = bind::resolve(&plan.host).unwrap_or_else(|why| {
        let problem = format!("host {}: it does not resolve ({why})", plan.host);
        error.add(problem, "choose another host with --host: localhost, or 0.0.0.0 for all addresses");
        Vec::new()
    });
    let folder = plan.sockets.as_ref().filter(|sockets| bind::find_folder(&mut error, sockets));
    let mut listening = Vec::new();
    for &generator in &generators {
        let mut listeners = bind::listen(&addresses, generator).unwrap_or_else(|(address, why)| {
            bind::explain(&mut error, generator, address, &why);
            Vec::new()
        });
        let file = folder.map(|folder| folder.path(generator)).and_then(|path| match bind::listen_unix(&path) {
            Ok((listener, file)) => {
                listeners.push(listener);
                Some(file)
            }
            Err(why) => {
                bind::explain_unix(&mut error, generator, &path, &why);
                None
            }
        });
        listening.push((listeners, file));
    }
    let api = match Listening::bind(plan.control) {
        Ok(api) => Some(api),
        Err((problem, hint)) => {
            error.add(problem, hint);
            None
        }
    };
    let Some(api) = api.filter(|_| error.problems.is_empty()) else { return Err(error.into()) };
    Ok(Bound { topology: Topology::of(plan.host.clone(), generators), addresses, listening, api, connections })
}
