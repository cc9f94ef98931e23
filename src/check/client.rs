//! The one client of a check: its connections and the names of backends, lent to each phase in turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::load::{BackendNames, LoadTarget, Prober};
use crate::check::subject::{LiveSubject, is_local};
use crate::topology::ClientNetwork;

/// A handle: a phase that waits for its responses runs on a thread of its own, and holds the client meanwhile.
#[derive(Clone)]
pub(crate) struct ClientHandle {
    target: LoadTarget,
    /// Requests that the sample has at once, at most.
    connections: usize,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// Connections that the balancer serves at once, if that is known to be few.
    most_connections: usize,
    prober: Prober,
    /// Numbers of requests that were not the user's own, in order.
    invented: Vec<u32>,
    backends: BackendNames,
}

impl ClientHandle {
    pub(crate) fn new(target: LoadTarget, prober: Prober, names: Vec<String>, connections: usize) -> ClientHandle {
        ClientHandle {
            target,
            connections,
            shared: Arc::new(Mutex::new(Shared {
                most_connections: usize::MAX,
                prober,
                invented: Vec::new(),
                backends: BackendNames::new(names),
            })),
        }
    }

    pub(crate) fn target(&self) -> &LoadTarget {
        &self.target
    }

    /// Runs a phase to its end. An error is of this machine: what the other end does is among the observations.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        phase: impl FnOnce(&mut LiveSubject) -> T + Send + 'static,
    ) -> Result<T> {
        let client = self.clone();
        let phase = spawn_blocking(move || {
            let own = is_local(client.target.address.ip());
            let local = client.target.clients.map_or(own, ClientNetwork::has_networks);
            let mut shared = client.lock();
            let Shared { most_connections, prober, backends, invented } = &mut *shared;
            let mut live = LiveSubject::new(prober, backends, &client.target.path, local, client.connections)
                .with_at_most(*most_connections);
            let result = phase(&mut live);
            invented.extend(live.end()?);
            Ok(result)
        });
        phase.await?
    }

    /// Phases from now on use no more connections at once.
    pub(crate) fn limit_connections(&self, most: usize) {
        self.lock().most_connections = most;
    }

    /// What only a thread that may wait should do for long.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Prober, &mut BackendNames) -> T) -> T {
        let mut shared = self.lock();
        let Shared { prober, backends, .. } = &mut *shared;
        look(prober, backends)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A phase that panicked has ended the check before anybody looks again.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers of requests that were not the user's own, in order.
    pub(crate) fn invented(&self) -> Vec<u32> {
        self.lock().invented.clone()
    }

    /// The number of the next request of the run.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.with(|prober, _| prober.next_sequence())
    }

    /// The names of backends, in the order that observations refer to.
    pub(crate) fn names(&self) -> Vec<String> {
        self.with(|_, backends| backends.names().to_vec())
    }
}
