//! The image and the compose file, with real containers on a network of their own.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{PROGRAM, TemporaryDirectory, run};

/// What makes the containers; `tests/prepare` installs it.
const NEEDED: [&str; 5] = ["podman", "runc", "iptables", "ldd", "strip"];

#[test]
fn a_fleet_a_balancer_and_a_check_work_in_three_containers() {
    let lacks = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    if let Some(missing) = NEEDED.iter().find(lacks) {
        eprintln!("not run: there is no {missing}");
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("not run: it takes root");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = TemporaryDirectory::new();
    let [example, folder] = ["example", "podman"].map(|name| place.path().join(name));
    fs::create_dir(&folder).unwrap();
    assert!(run(Command::new("cp").arg("-r").arg(root.join("examples/compose")).arg(&example)).status.success());
    let nginx = fs::canonicalize(root.join("tests/.balancers/programs/nginx")).unwrap();
    let mut command = Command::new(root.join("tests/containers/run"));
    command.arg(PROGRAM).args([&example, &nginx, &folder]);
    let output = run(&mut command);
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let log = format!("{said}{complained}");
    // The image by itself: its health check asks the fleet that runs, read-only and without /tmp.
    assert!(said.contains("\nhealthy\nhealthy again\nstopped with 0\n"), "{log}");
    // On a busy machine experiments may prove nothing, which is no pass; all else is accounted for.
    let verdict = log.contains("PASS: all expectations met") && output.status.success()
        || log.contains("INCONCLUSIVE: ") && output.status.code() == Some(3);
    assert!(verdict && log.contains("fleet of 9001, 9002, 9003") && !log.contains("FAIL"), "{log}");
    assert!(log.contains("  delivered   one attempt, one response"), "{log}");
}
