//! Event streams and WebSockets of real backends, read by clients of others: a library of Python, and a browser.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use verdict::life::LifeEnd;

use crate::support::{Fleet, eventually, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn start() -> (Fleet, u16) {
    let (fleet, ports) = Fleet::of(1, &["--log", "off"]);
    (fleet, ports[0])
}

#[test]
fn a_library_of_others_holds_websockets() {
    let (fleet, port) = start();
    let root = Path::new(ROOT);
    let mut client = Command::new(root.join("tests/.balancers/bin/python"));
    let output = run(client.arg(root.join("tests/websocket/client.py")).arg(port.to_string()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["extensions"], json!([]), "nothing is compressed that would not be decompressed");
    assert_eq!(said["echoes"], json!([true, true, true, true, true]));
    assert_eq!((&said["pong"], &said["closed"]), (&json!(true), &json!([4001, ""])));
    assert_eq!(said["pushed"], json!([[1, 2, 3], 1001]));
    assert_eq!(said["too_large"], 1009);
    eventually("a record of each", || fleet.records().records.len() == 3);
    let lives: Vec<_> = fleet.records().records.into_iter().map(|record| record.life.unwrap()).collect();
    let ends: Vec<_> = lives.iter().map(|life| (life.received, life.written, life.end, life.close_sent)).collect();
    assert_eq!(
        ends,
        [
            (5, 0, LifeEnd::CloseFrame, Some(4001)),
            (0, 3, LifeEnd::Backend, Some(1001)),
            (0, 0, LifeEnd::Malformed, Some(1009))
        ]
    );
}

/// In a page of the backend itself: events one by one, resumed where the stream ended; a message and its echo, and a close code.
const IN_A_PAGE: &str = "
    const done = arguments[arguments.length - 1];
    const seen = { events: [], echoes: [] };
    const source = new EventSource('/events?count=3&every=1ms');
    const socket = new WebSocket(`ws://${location.host}/ws`);
    const parts = [
        new Promise((resolve) => { source.onmessage = (event) => {
            seen.events.push(Number(event.lastEventId));
            if (seen.events.length === 3) { source.close(); resolve(); }
        } }),
        new Promise((resolve) => {
            socket.onopen = () => { seen.extensions = socket.extensions; socket.send('héllo'); };
            socket.onmessage = (event) => { seen.echoes.push(event.data); socket.close(4002, 'done'); };
            socket.onclose = (event) => { seen.closed = [event.code, event.wasClean]; resolve(); };
        }),
        new Promise((resolve) => {
            const other = new WebSocket(`ws://${location.host}/ws?close=4003`);
            other.onclose = (event) => { seen.other = [event.code, event.wasClean]; resolve(); };
        }),
    ];
    Promise.all(parts).then(() => done(seen), (error) => done(String(error)));";

#[test]
fn a_browser_reads_events_and_holds_websockets() {
    let (fleet, port) = start();
    crate::support::browser::with(600, 400, async |page| {
        page.goto(&format!("http://127.0.0.1:{port}/")).await.unwrap();
        let seen = page.execute_async(IN_A_PAGE, Vec::new()).await.unwrap();
        let expected = json!({
            "events": [1, 2, 3], "extensions": "", "echoes": ["héllo"], "closed": [4002, true], "other": [4003, true]
        });
        assert_eq!(seen, expected);
    });
    eventually("a record of each", || fleet.records().records.iter().filter(|it| it.life.is_some()).count() >= 3);
}
