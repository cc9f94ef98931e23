//! What no peer can bring about: the client itself is late.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;
use crate::check::load::LoadTarget;

/// One request in flight, at whose deadline the client looks at the time: what became of it, where a response may have come.
fn outcome_at_the_deadline(response: &'static str) -> ClientOutcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (responded, has_responded) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let server = thread::spawn(move || {
        let mut peer = listener.accept().unwrap().0;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            peer.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        peer.write_all(response.as_bytes()).unwrap();
        responded.send(()).unwrap();
        let _ = ends.recv();
    });
    let timeout = Duration::from_secs(20);
    let target = LoadTarget::new(address, address.to_string(), "/");
    let load = Load { requests: Some(1), timeout, ..Load::new(target, 1) };
    let (mut backends, progress) = (BackendNames::new(Vec::new()), LoadProgress::default());
    let mut engine = Engine::new(&load, &mut backends, &progress).unwrap();
    let started = clock::now();
    engine.dispatch(started).unwrap();
    let mut events = Vec::new();
    while !engine.slots[0].exchange.is_connected() {
        engine.poller.wait(&mut events, Some(ATTENTION)).unwrap();
        engine.serve(0, false).unwrap();
    }
    has_responded.recv().unwrap();
    // Over loopback it is there when it has been written.
    engine.keep_time(clock::now().after(timeout)).unwrap();
    drop(end);
    server.join().unwrap();
    engine.observations[0].outcome
}

#[test]
fn a_response_that_has_come_is_read_though_its_time_is_over() {
    assert_eq!(outcome_at_the_deadline("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), ClientOutcome::Response);
    assert_eq!(outcome_at_the_deadline("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), ClientOutcome::TimedOut);
    assert_eq!(outcome_at_the_deadline(""), ClientOutcome::TimedOut);
}
