//! A fleet in a container with little memory, which here is a control group. It takes root.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::support::{Fleet, PROGRAM, TemporaryDirectory, eventually, http::Connection, in_place, list, ports};

/// What installing says that a container needs.
const MEMORY: u64 = 64 * 1024 * 1024;
/// Their records have 46 MiB, and those that wait in a journal come in addition.
const REQUESTS: usize = 150_000;

/// A control group of its own with a limit of memory, which goes with it.
struct Group(PathBuf);

impl Group {
    /// None where this process may make none.
    fn limited_to(bytes: u64) -> Option<Group> {
        let name = format!("uuid-generator-{}", std::process::id());
        let versions = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        versions.into_iter().find_map(|(root, limit)| {
            let group = Group(Path::new(root).join(&name));
            fs::create_dir(&group.0).ok()?;
            let limit = group.0.join(limit);
            (limit.exists() && fs::write(limit, bytes.to_string()).is_ok()).then_some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Sends that many requests over one connection without waiting, and counts the responses.
fn flood(port: u16, requests: usize) -> usize {
    let connection = Connection::to(port);
    let mut sender = connection.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let last = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        let text = request.repeat(100);
        (0..requests / 100 - 1).for_each(|_| sender.write_all(text.as_bytes()).unwrap());
        sender.write_all(format!("{}{last}", request.repeat(99)).as_bytes()).unwrap();
    });
    let lines = BufReader::new(connection.stream).split(b'\n');
    let responses = lines.map(Result::unwrap).filter(|line| line.starts_with(b"HTTP/1.1 200")).count();
    sending.join().unwrap();
    responses
}

#[test]
fn a_fleet_in_64_mb_survives_more_records_than_that_memory_holds_and_loses_none_in_silence() {
    let Some(group) = Group::limited_to(MEMORY) else {
        eprintln!("not run: a control group with a limit of memory needs root");
        return;
    };
    let (place, ports) = (TemporaryDirectory::new(), ports(1));
    let mut command = in_place(Command::new("sh"), &place);
    command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&group.0).arg(PROGRAM);
    command.args(["--control", "127.0.0.1:0", "--log", "off", "--ports", &list(&ports)]);
    let fleet = Fleet::spawn(command, place);
    assert_eq!(flood(ports[0], REQUESTS), REQUESTS);
    let accounted = || {
        let backend = fleet.backend(ports[0]);
        backend.attempts + backend.lost
    };
    eventually("every request is recorded or said to be lost", || accounted() == REQUESTS as u64);
    // The group can be removed when nobody is in it.
    fleet.stop();
}
