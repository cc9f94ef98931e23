//! The client of the check: what it notes of real backends, and of servers that misbehave.

mod support;

use std::time::Duration;

use support::Fleet;
use uuid_generator::check::observation::{Echo, Sight};
use uuid_generator::check::traffic::{Backends, Identity, Load, Pacing, Progress, Reuse, Target, Traffic, Vary, drive};

const RUN: u64 = 0x4d2;

fn load(port: u16) -> Load {
    Load {
        target: Target {
            address: ([127, 0, 0, 1], port).into(),
            host: format!("localhost:{port}"),
            path: "/".to_owned(),
        },
        run: RUN,
        first: 7,
        method: "GET".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        connections: 4,
        reuse: Reuse::Kept,
        pacing: Pacing::Closed,
        requests: Some(1000),
        duration: None,
        timeout: support::PATIENCE,
        body_limit: 1 << 20,
        vary: Vary::Nothing,
        identity: Identity::Fleet,
    }
}

fn run(load: &Load) -> (Traffic, Backends) {
    let mut backends = Backends::new(Vec::new());
    let traffic = drive(load, &mut backends, &Progress::default()).unwrap();
    (traffic, backends)
}

#[test]
fn every_request_to_a_backend_has_an_answer_of_its_own() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let (traffic, backends) = run(&load(ports[0]));
    assert_eq!(backends.names(), [ports[0].to_string()]);
    assert_eq!(traffic.observations.len(), 1000);
    for it in &traffic.observations {
        assert_eq!((it.sight, it.status, it.echo, it.backend.0), (Sight::Answer, 200, Echo::Own, 0), "{it:?}");
        assert!(it.answer().is_some() && it.ended > it.due && it.waited == 0);
    }
    assert_eq!(traffic.observations.iter().filter(|it| !it.reused).count(), 4);
    drop(fleet);
    let _ = Duration::ZERO;
}
