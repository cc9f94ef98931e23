//! gRPC at real backends, called by a client of others (grpcio), which learns by reflection what it can call.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use verdict::AttemptEnd;

use crate::support::{Fleet, Lines, eventually, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn client(words: &[&str]) -> Command {
    let root = Path::new(ROOT);
    let mut command = Command::new(root.join("tests/.balancers/bin/python"));
    command.arg(root.join("tests/grpc/client.py")).args(words);
    // A proxy of this machine is none for backends on it.
    command.env("no_grpc_proxy", "*");
    command
}

fn calls(address: &str, authority: Option<&Path>) -> Value {
    let mut words = vec!["calls", address];
    words.extend(authority.map(|it| it.to_str().unwrap()));
    let output = run(&mut client(&words));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a client sees of a backend, whatever carries it.
fn expect_calls(said: &Value, port: u16) {
    assert_eq!(
        said["services"],
        json!([
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "uuid.v1.Generator"
        ])
    );
    let mut uuids = Vec::new();
    for (place, response) in said["generate"].as_array().unwrap().iter().enumerate() {
        let metadata = &response[3];
        uuids.push(response[0].as_str().unwrap());
        assert_eq!((&response[1], &response[2]), (&json!(port), &json!(100)), "{response}");
        assert_eq!((&metadata["response-id"], &metadata["generator-number"]), (&response[0], &json!(port.to_string())));
        assert_eq!(metadata["check-request-id"], format!("{:016x}-{:016x}", 7, place + 1));
    }
    uuids.sort_unstable();
    uuids.dedup();
    assert_eq!(uuids.len(), 3);
    let numbers: Vec<&Value> = said["events"].as_array().unwrap().iter().map(|event| &event[0]).collect();
    assert_eq!((numbers, &said["fast"]), (vec![&json!(1), &json!(2), &json!(3), &json!(4), &json!(5)], &json!(2000)));
    assert_eq!((&said["collect"], &said["echo"], &said["first"]), (&json!([20, true, 0]), &json!(true), &json!(1)));
    for (what, status) in [
        ("deadline", "DEADLINE_EXCEEDED"),
        ("asked", "PERMISSION_DENIED"),
        ("bounds", "INVALID_ARGUMENT"),
        ("large", "RESOURCE_EXHAUSTED"),
        ("unknown", "UNIMPLEMENTED"),
        ("compressed", "OK"),
        ("deflated", "OK"),
        ("bomb", "RESOURCE_EXHAUSTED"),
    ] {
        assert_eq!(said[what][0], status, "{what}: {}", said[what]);
    }
    assert_eq!(said["bounds"][1], "delay_ms: expected at most 60000, not 60001");
    assert_eq!(said["health"], json!([1, 1, 1, "NOT_FOUND"]));
}

#[test]
fn a_client_of_others_calls_every_method_in_clear_and_over_tls() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let said = calls(&format!("127.0.0.1:{}", ports[0]), None);
    expect_calls(&said, ports[0]);
    let found = |path: &str| {
        let path = format!("/uuid.v1.Generator/{path}");
        fleet.records().records.into_iter().filter(move |it| it.path == path).collect::<Vec<_>>()
    };
    let call_of = |path: &str| found(path).into_iter().map(|it| it.call.unwrap()).collect::<Vec<_>>();
    eventually("the record of the call that was cancelled", || found("Events").len() == 3);
    let cancelled = &found("Events")[2];
    let call = cancelled.call.as_ref().unwrap();
    assert_eq!((cancelled.outcome, call.cancelled.as_deref()), (AttemptEnd::CutOff, Some("CANCEL")));
    assert!(call.written >= 1 && call.status.is_none(), "{call:?}");
    let echo = &call_of("Echo")[0];
    assert_eq!((echo.received, echo.last_received, echo.written, echo.misplaced), (20, 20, 20, 0));
    assert_eq!(echo.status.as_deref(), Some("OK"));
    // Whether the server or the client was first to say that the time was over is a matter of microseconds.
    let timeouts: Vec<u64> = call_of("Generate").iter().filter_map(|call| call.timeout_ns).collect();
    assert!(timeouts.iter().any(|time| (1..=310_000_000).contains(time)), "{timeouts:?}");
    let health =
        fleet.records().records.into_iter().filter(|it| it.path.starts_with("/grpc.health")).collect::<Vec<_>>();
    assert!(health.len() == 4 && health.iter().all(|it| it.response.is_none()), "{health:?}");

    let (fleet, ports) = Fleet::of(1, &["--tls"]);
    let authority = fleet.place.path().join(format!("uuid-generator/ca-{}.pem", ports[0]));
    expect_calls(&calls(&format!("localhost:{}", ports[0]), Some(&authority)), ports[0]);
    assert!(fleet.records().records.iter().all(|it| it.tls.as_ref().unwrap().protocol.as_deref() == Some("h2")));

    // What is served by reflection is what protoc makes of the file.
    let proto = PathBuf::from(ROOT).join("crates/api/proto");
    let output = run(&mut client(&["descriptor", proto.to_str().unwrap(), "uuid/v1/generator.proto"]));
    let made = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let bytes: Vec<u8> =
            (0..made.len() / 2).map(|at| u8::from_str_radix(&made[2 * at..2 * at + 2], 16).unwrap()).collect();
        let file = PathBuf::from(ROOT).join("src/backend/grpc/descriptors/generator.bin");
        std::fs::write(file, bytes).unwrap();
    } else {
        assert_eq!(said["descriptor"], made, "write it anew: UPDATE_SNAPSHOTS=1 cargo test --test tests grpc::");
    }
}

struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_watches_health_learns_what_becomes_of_the_backend() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let mut command = client(&["watch", &format!("127.0.0.1:{}", ports[0])]);
    let mut watching = Watching(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = Lines::default();
    lines.read(watching.0.stdout.take().unwrap());
    let expect = |expected: &[&str]| lines.wait_until("what it is told", |lines| lines == expected);
    expect(&["SERVING"]);
    fleet.act("unready", ports[0]);
    expect(&["SERVING", "NOT_SERVING"]);
    fleet.act("ready", ports[0]);
    expect(&["SERVING", "NOT_SERVING", "SERVING"]);
    fleet.act("drain", ports[0]);
    expect(&["SERVING", "NOT_SERVING", "SERVING", "NOT_SERVING", "UNAVAILABLE"]);
    eventually("its record", || {
        let mut calls = fleet.records().records.into_iter().filter_map(|it| it.call);
        calls.any(|call| call.status.as_deref() == Some("UNAVAILABLE") && call.written == 4)
    });
}
