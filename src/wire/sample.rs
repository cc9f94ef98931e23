//! A fleet and its backends with nothing in particular, for tests of those who show them.

use super::{BackendState, BackendStatus, FleetStatus, Generator};

/// A backend of that port, ready and without traffic.
pub(crate) fn backend(port: u16) -> BackendStatus {
    BackendStatus {
        name: port.to_string(),
        id: Generator(port),
        instances: Vec::new(),
        url: String::new(),
        state: BackendState::Ready,
        since: String::new(),
        pid: None,
        ready: true,
        restarts: 0,
        attempts: 0,
        connections: 0,
        in_flight: 0,
        streams: 0,
        websockets: 0,
        lost: 0,
        last_end: None,
        mended: None,
        faults: Vec::new(),
        actions: Vec::new(),
        tls: None,
    }
}

/// A fleet of those backends.
pub(crate) fn fleet(backends: Vec<BackendStatus>) -> FleetStatus {
    FleetStatus {
        version: 2,
        pid: 1,
        control: String::new(),
        started: String::new(),
        host: String::new(),
        pod: None,
        namespace: None,
        instance: None,
        clock: None,
        backends,
    }
}
