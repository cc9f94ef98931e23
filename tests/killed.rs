//! SIGKILL of any process of a demo or of a check with its own balancer, at any moment: nothing of them is left. `KILLS=100` for more rounds.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::balancers::names;
use crate::support::{PROGRAM, TemporaryDirectory, is_free, list, ports, program, run};

/// Whoever was killed, the others notice within this time.
const GONE: Duration = Duration::from_secs(2);
/// Whoever is asked to end may let requests end first.
const STOPPED: Duration = Duration::from_secs(20);
/// A folder of a balancer that is younger is left alone by others: `scratch.rs`.
const YOUNG: Duration = Duration::from_secs(11);

/// The same numbers in each run (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % end
    }
}

struct Round {
    place: TemporaryDirectory,
    starter: Child,
    ports: Vec<u16>,
    what: String,
}

impl Round {
    fn begin(number: u64, balancer: &str) -> Round {
        let (place, backends, listen) = (TemporaryDirectory::new(), ports(3), ports(1)[0]);
        let (name, more): (_, &[&str]) = match number % 2 {
            0 => ("demo", &["--control", "127.0.0.1:0"]),
            _ => ("check", &["--duration", "20s", "--format", "json"]),
        };
        let (list, port) = (list(&backends), listen.to_string());
        let starter = program(&place)
            .args([name, "--with", balancer, "--ports", &list, "--listen", &port])
            .args(more)
            .env("TMPDIR", place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ports = backends.into_iter().chain([listen]).collect();
        Round { place, starter, ports, what: format!("round {number}, {name} with {balancer}") }
    }

    /// Kills one of them, or the starter and the process that guards the balancer at once.
    fn kill(&mut self, both: bool, chance: &mut Chance) {
        let mut all = self.place.processes();
        let victims = if both {
            let guards = all.into_iter().filter(|pid| command_of(*pid).starts_with("guard"));
            std::iter::once(self.starter.id()).chain(guards).collect()
        } else {
            let index = chance.below(all.len().max(1) as u64) as usize;
            if all.is_empty() { Vec::new() } else { vec![all.swap_remove(index)] }
        };
        let names: Vec<String> = victims.iter().map(|pid| format!("{pid} ({})", command_of(*pid))).collect();
        self.what += &format!(", killed {}", names.join(" and "));
        for pid in victims {
            let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
        }
    }

    /// Whether the starter is gone; without a backend or a worker of the balancer it may go on, and is asked to end.
    fn is_over(&mut self) -> bool {
        let killed = Instant::now();
        while killed.elapsed() < Duration::from_millis(300) {
            if self.starter.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = kill_process(Pid::from_child(&self.starter), Signal::TERM);
        false
    }

    fn expect_nothing(&mut self) {
        let limit = if self.is_over() { GONE.mul_f64(load()) } else { STOPPED };
        let killed = Instant::now();
        loop {
            let ended = self.starter.try_wait().unwrap().is_some();
            let left = self.place.processes();
            let taken: Vec<u16> = self.ports.iter().copied().filter(|port| !is_free(*port)).collect();
            if ended && left.is_empty() && taken.is_empty() {
                return;
            }
            let names: Vec<String> = left.iter().map(|pid| format!("{pid} ({})", command_of(*pid))).collect();
            let what = &self.what;
            assert!(
                killed.elapsed() < limit,
                "{what}: left after {limit:?}: {names:?}, ports {taken:?}, starter {ended}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn folders(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.place.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_of_balancer =
            |path: &PathBuf| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("uuid-generator-"));
        entries.filter(is_of_balancer).collect()
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        for pid in self.place.processes() {
            let _ = kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL);
        }
        let _ = self.starter.wait();
    }
}

/// Its arguments, the program's name left out.
fn command_of(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.skip(1).take(2).collect::<Vec<_>>().join(" ")
}

/// A machine that has several times as much to do as it can takes as much longer.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average: f64 = text.split(' ').next().and_then(|it| it.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    (average / processors).max(1.0)
}

/// Those that are installed, and the built-in one.
fn balancers() -> Vec<&'static str> {
    let is_here = |name: &&str| *name == "builtin" || Command::new(name).arg("-h").output().is_ok();
    names().chain(["builtin"]).filter(is_here).collect()
}

#[test]
fn whichever_process_is_killed_and_whenever_nothing_is_left() {
    let rounds: u64 = std::env::var("KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(12);
    let (mut chance, balancers) = (Chance(0x9e37_79b9_7f4a_7c15), balancers());
    let mut unswept: Vec<(Instant, Round)> = Vec::new();
    for number in 0..rounds {
        let mut round = Round::begin(number, balancers[(number / 2) as usize % balancers.len()]);
        // Half of them while everything starts.
        let delay = if number % 4 < 2 { chance.below(20_000) } else { 20_000 + chance.below(3_000_000) };
        std::thread::sleep(Duration::from_micros(delay));
        round.what += &format!(" after {} ms", delay / 1000);
        round.kill(number % 6 == 5, &mut chance);
        round.expect_nothing();
        if !round.folders().is_empty() {
            unswept.push((Instant::now(), round));
        }
    }
    // Who makes such a folder and who guards it may both be killed. The next start removes it.
    for (killed, round) in unswept {
        std::thread::sleep(YOUNG.saturating_sub(killed.elapsed()));
        let list = list(&ports(3));
        let words = ["check", "--with", "builtin", "--ports", &list, "-n", "10"];
        run(program(&round.place).args(words).env("TMPDIR", round.place.path()));
        assert_eq!(round.folders(), [] as [PathBuf; 0], "{}", round.what);
    }
}

const REHEARSED: &str = "
pid /run/nginx-of-a-test.pid; error_log /var/log/nginx-of-a-test.log; worker_processes 2; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8080; server app2.internal:8080; server unix:/run/app-of-a-test/a.sock; }
    server { listen 80; location / { proxy_pass http://shop; } }
}
";

/// The namespace of processes that a process is in.
fn namespace(pid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// All processes whose namespace is one of these.
fn within(namespaces: &[PathBuf]) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|it| it.file_name().to_str()?.parse().ok());
    pids.filter(|pid| namespace(*pid).is_some_and(|it| namespaces.contains(&it))).collect()
}

/// A process and all that it has started.
fn family(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let further = children.split_whitespace().filter_map(|it| it.parse().ok()).flat_map(family);
    std::iter::once(pid).chain(further).collect()
}

#[test]
fn whichever_process_of_a_rehearsal_is_killed_nothing_is_left() {
    let rounds: u64 = std::env::var("KILLS").ok().and_then(|it| it.parse().ok()).unwrap_or(4);
    let (mut chance, own) = (Chance(0x1234_5678_9abc_def1), namespace(std::process::id()));
    for number in 0..rounds {
        let place = TemporaryDirectory::new();
        let file = place.path().join("nginx.conf");
        std::fs::write(&file, REHEARSED).unwrap();
        let mut starter = program(&place)
            .args(["rehearse", "nginx", &file.to_string_lossy(), "http://shop.example/", "--duration", "30s"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let delay = if number % 2 == 0 { chance.below(400) } else { 400 + chance.below(3_000) };
        std::thread::sleep(Duration::from_millis(delay));
        let all = family(starter.id());
        let namespaces: Vec<PathBuf> =
            all.iter().filter_map(|pid| namespace(*pid)).filter(|it| Some(it) != own.as_ref()).collect();
        // A balancer that daemonizes is no longer of the family.
        let mut victims = within(&namespaces);
        victims.extend(all.iter().filter(|pid| !within(&namespaces).contains(pid)));
        let victim = victims[chance.below(victims.len() as u64) as usize];
        let what = format!("round {number}, killed {} after {delay} ms", command_of(victim));
        let _ = kill_process(Pid::from_raw(victim as i32).unwrap(), Signal::KILL);
        let killed = Instant::now();
        while starter.try_wait().unwrap().is_none() && killed.elapsed() < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Without a backend or a worker of the balancer it goes on, and is asked to end.
        if starter.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(&starter), Signal::TERM);
        }
        let limit = STOPPED.mul_f64(load());
        loop {
            let (ended, left) = (starter.try_wait().unwrap().is_some(), within(&namespaces));
            if ended && left.is_empty() {
                break;
            }
            let names: Vec<String> = left.iter().map(|pid| format!("{pid} ({})", command_of(*pid))).collect();
            assert!(killed.elapsed() < limit, "{what}: left after {limit:?}: {names:?}, starter ended: {ended}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let files: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(files, ["nginx.conf"], "{what}");
        for file in ["/run/nginx-of-a-test.pid", "/var/log/nginx-of-a-test.log", "/run/app-of-a-test"] {
            assert!(!std::fs::exists(file).unwrap(), "{what}: {file}");
        }
    }
}

#[test]
fn a_signal_to_the_process_of_a_rehearsal_alone_stops_what_runs_within() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = TemporaryDirectory::new();
        let file = place.path().join("nginx.conf");
        std::fs::write(&file, REHEARSED).unwrap();
        let words = ["rehearse", "nginx", &file.to_string_lossy(), "http://shop.example/", "--duration", "60s"];
        let mut command = program(&place);
        let child = command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        crate::support::eventually("a backend runs within", || {
            family(child.id()).into_iter().any(|pid| command_of(pid).starts_with("backend"))
        });
        crate::support::send(child.id(), signal);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.starts_with("stopped after ")), "{said}");
    }
}

#[test]
fn a_demo_finds_other_ports_where_nobody_named_any_and_says_so() {
    let _ports = crate::support::DefaultPorts::wait();
    let held = std::net::TcpListener::bind("127.0.0.1:9002").unwrap();
    let place = TemporaryDirectory::new();
    let words = ["check", "--with", "builtin", "-n", "500"];
    let output = run(program(&place).args(words).env("TMPDIR", place.path()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("port 9002 is taken by another program: using 90"), "{said}");
    // A busy machine may leave the algorithm open.
    let has_verdict = |output: &std::process::Output| matches!(output.status.code(), Some(0 | 3));
    assert!(has_verdict(&output), "{said}");
    // Ports that somebody named are those or none.
    let words = ["check", "--with", "builtin", "-n", "500", "--ports", "9001-9003"];
    let error = crate::support::error_of(&run(program(&place).args(words).env("TMPDIR", place.path())));
    assert!(error.contains("backend 9002 on 127.0.0.1:9002: address already in use"), "{error}");
    assert_eq!(place.processes(), [] as [u32; 0]);
    // Of a fleet of one's own it is said which.
    drop(held);
    let mut first = program(&place).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    crate::support::eventually("it runs", || (9001..=9003).all(|port| !is_free(port)));
    let words = ["check", "--with", "builtin", "-n", "500"];
    let output = run(program(&place).args(words).env("TMPDIR", place.path()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let expected = format!("ports 9001,9002,9003 belong to your fleet {}: using 9011,9012,9013", first.id());
    assert!(has_verdict(&output) && said.contains(&expected), "{expected}: {said}");
    // What names backends names those of the check, wherever they listen. Ports of a file are usual ones too.
    std::fs::write(place.path().join("uuid-generator.toml"), "ports = \"9001-9003\"\n").unwrap();
    let words = "check --with builtin -n 2000 --fault latency:1ms:9001 --outage kill:9002@100ms,start:9002@200ms";
    let words = words.split(' ').chain(["--expect", "9001=1,9002=1,9003=1"]);
    let output = run(program(&place).args(words).env("TMPDIR", place.path()).current_dir(place.path()));
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("9013; backends keep their names") && said.contains("kill 9002\n"), "{said}");
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    assert!(first.wait().unwrap().success());
}

/// As a container with a read-only root has it: a mount namespace of its own, in which nothing can be written but what is named.
fn read_only(writable: Option<&str>, words: &str) -> std::process::Output {
    let remount = writable.map(|folder| format!("mount -o remount,rw {folder};")).unwrap_or_default();
    let script = format!(
        "mount --make-rprivate /; for folder in /tmp /var/tmp /dev/shm /run; do mount -t tmpfs -o ro none $folder; done; \
         {remount} ip link set lo up; cd /; exec {PROGRAM} {words}"
    );
    let mut command = Command::new("unshare");
    command.args(["-mn", "sh", "-c", &script]).env_remove("XDG_RUNTIME_DIR").env_remove("TMPDIR").stdin(Stdio::null());
    run(&mut command)
}

#[test]
fn without_any_folder_for_temporary_files_a_check_says_what_to_set_and_with_one_it_runs() {
    let words = "check --with builtin -n 500";
    let error = crate::support::error_of(&read_only(None, words));
    assert!(error.contains("no folder for the balancer's files (/tmp: Read-only file system"), "{error}");
    assert!(error.contains("hint: set TMPDIR to a folder that can be written"), "{error}");
    let output = read_only(Some("/dev/shm"), words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
