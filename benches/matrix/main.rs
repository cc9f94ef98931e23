//! The acceptance matrix: real balancers, in each of their ways, healthy and with something broken, each cell a check of its own. Writes
//! MATRIX.md. With `--part` only the cells that are run in CI, and nothing is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use uuid_generator::check::report::{Check, Report, Verdict};

const PROGRAM: &str = env!("CARGO_BIN_EXE_uuid-generator");

/// A balancer of the matrix: its name there, its name for `--with`, and whether it is that of the wheels.
const BALANCERS: [(&str, &str, bool); 6] = [
    ("NGINX 1.22", "nginx", false),
    ("NGINX 1.31", "nginx", true),
    ("HAProxy", "haproxy", true),
    ("Envoy", "envoy", true),
    ("Traefik", "traefik", true),
    ("Caddy", "caddy", true),
];

/// For `config` and `--with`, and how the check must name it.
const ALGORITHMS: [(&str, &[&str], &str); 11] = [
    ("round robin", &[], "round-robin"),
    ("weighted 5:1:1", &["--weights", "5:1:1"], "weighted-round-robin"),
    ("least connections", &["--algorithm", "least-connections"], "least-connections"),
    ("least time", &["--algorithm", "least-time"], "least-time"),
    ("random", &["--algorithm", "random"], "random"),
    ("two choices", &["--algorithm", "two-choices"], "two-choices"),
    ("source", &["--algorithm", "source"], "source"),
    ("URI", &["--algorithm", "uri"], "uri"),
    ("header", &["--algorithm", "header:X-User"], "header"),
    ("cookie", &["--algorithm", "cookie:session"], "cookie"),
    ("sticky", &["--algorithm", "sticky"], "sticky"),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Condition {
    Healthy,
    Killed,
    Paused,
    Answers503,
    Reload,
}

const CONDITIONS: [(Condition, &str); 5] = [
    (Condition::Healthy, "healthy"),
    (Condition::Killed, "killed -9"),
    (Condition::Paused, "paused"),
    (Condition::Answers503, "answers 503"),
    (Condition::Reload, "reload"),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Cell {
    balancer: usize,
    algorithm: usize,
    workers: u32,
    condition: Condition,
}

enum Result {
    /// The account adds up, the verdict and the name are the true ones; with what was seen.
    True(String),
    /// Not so.
    Wrong(String),
    /// In this edition.
    Impossible(String),
}

fn main() -> ExitCode {
    let part = std::env::args().any(|argument| argument == "--part");
    let begin = Instant::now();
    let cells: Vec<Cell> = cells().filter(|cell| !part || cell.is_in_part()).collect();
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<Cell, Result>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for lane in 0..if part { 2 } else { 3 } {
            let (cells, next, results) = (&cells, &next, &results);
            scope.spawn(move || {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = cell.run(lane);
                    eprintln!("{}: {}", cell.name(), result.text());
                    results.lock().expect("no lane panics").insert(*cell, result);
                }
            });
        }
    });
    let results = results.into_inner().expect("no lane panics");
    let wrong = results.values().filter(|result| matches!(result, Result::Wrong(_))).count();
    let text = written(&results, begin.elapsed().as_secs());
    println!("{text}");
    if !part {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/MATRIX.md"), text).expect("MATRIX.md can be written");
    }
    println!("{} cells, {wrong} of them wrong", results.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cells() -> impl Iterator<Item = Cell> {
    let ways =
        (0..BALANCERS.len()).flat_map(|balancer| (0..ALGORITHMS.len()).map(move |algorithm| (balancer, algorithm)));
    let workers = ways.flat_map(|(balancer, algorithm)| [1, 2].map(move |workers| (balancer, algorithm, workers)));
    workers.flat_map(|(balancer, algorithm, workers)| {
        CONDITIONS.map(move |(condition, _)| Cell { balancer, algorithm, workers, condition })
    })
}

impl Cell {
    /// Every way healthy with two workers, and round robin in every condition.
    fn is_in_part(&self) -> bool {
        let healthy = self.condition == Condition::Healthy && self.workers == 2;
        healthy || (self.algorithm == 0 && self.workers == 1)
    }

    fn name(&self) -> String {
        let (_, condition) = CONDITIONS[self.condition as usize];
        format!(
            "{}, {}, {} workers, {condition}",
            BALANCERS[self.balancer].0, ALGORITHMS[self.algorithm].0, self.workers
        )
    }

    fn run(&self, lane: u16) -> Result {
        let (_, balancer, _) = BALANCERS[self.balancer];
        let (_, options, expected) = ALGORITHMS[self.algorithm];
        // Below the ports that the kernel gives to clients, each run and each lane its own.
        let first = 20_100 + (std::process::id() % 250) as u16 * 40 + lane * 10;
        let mut words: Vec<String> =
            vec!["check".into(), "--with".into(), balancer.into(), "--format".into(), "json".into()];
        words.extend([
            "--ports".into(),
            format!("{first}-{}", first + 2),
            "--workers".into(),
            self.workers.to_string(),
        ]);
        words.extend(options.iter().map(ToString::to_string));
        let victim = first + 1;
        let outage = |steps: String| {
            ["--outage".to_owned(), steps, "--duration".into(), "4s".into(), "--rate".into(), "200".into()]
        };
        match self.condition {
            // What is tested as chance needs as many as the tolerance says.
            Condition::Healthy if expected == "random" => {}
            Condition::Healthy => words.extend(["-n".into(), "3000".into()]),
            Condition::Killed => words.extend(outage(format!("kill:{victim}@500ms,start@2s"))),
            Condition::Paused => words.extend(outage(format!("pause:{victim}@500ms,resume@2s"))),
            Condition::Answers503 => words.extend(outage(format!("status:503:{victim}@500ms,clear@2s"))),
            Condition::Reload => match reload(balancer) {
                Ok(command) => {
                    let during = ["--during".to_owned(), format!("{command}@700ms"), "--duration".into(), "2s".into()];
                    words.extend(during.into_iter().chain(["--rate".into(), "200".into()]));
                }
                Err(why) => return Result::Impossible(why.to_owned()),
            },
        }
        judge(&self.check(&words), expected, self.condition)
    }

    fn check(&self, words: &[String]) -> Output {
        let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
        let system = std::env::var_os("PATH").unwrap_or_default();
        let own = BALANCERS[self.balancer].2.then_some(wheels);
        let path = std::env::join_paths(
            own.into_iter().chain([PathBuf::from("/usr/sbin")]).chain(std::env::split_paths(&system)),
        );
        let mut command = Command::new(PROGRAM);
        command.args(words).env("PATH", path.expect("no folder has a colon")).stdin(Stdio::null());
        command.current_dir(std::env::temp_dir()).output().expect("the program runs")
    }
}

/// How a balancer is reloaded gracefully.
fn reload(balancer: &str) -> std::result::Result<&'static str, &'static str> {
    match balancer {
        "nginx" => Ok("kill -HUP {pid}"),
        "haproxy" => Ok("kill -USR2 {pid}"),
        "traefik" => Ok(
            "for f in {directory}/*; do grep -q loadBalancer $f && cp $f {directory}/new && mv {directory}/new $f; done; true",
        ),
        "envoy" => Err("a static configuration: Envoy is not reloaded but restarted hot, or told by an xDS server"),
        "caddy" => Err("its admin endpoint, which reloads, is off in what we write"),
        _ => Err("unknown"),
    }
}

fn judge(output: &Output, expected: &str, condition: Condition) -> Result {
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(2) {
        let why = said.trim().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
        return if why.contains(" cannot ") { Result::Impossible(why) } else { Result::Wrong(why) };
    }
    let Ok(report) = serde_json::from_slice::<Report>(&output.stdout) else {
        return Result::Wrong(said.trim().to_owned());
    };
    let Some(check) = report.checks.first() else { return Result::Wrong("no check".to_owned()) };
    let algorithm = check.algorithm.as_ref();
    let names: Vec<&str> = algorithm.iter().flat_map(|it| it.name.iter().chain(&it.or)).map(String::as_str).collect();
    let sum: u64 = check.account.fates.iter().map(|fate| fate.count).sum();
    // While something is broken only the account is judged; the name was found before.
    match (sum == check.account.sent, names.contains(&expected), check.verdict) {
        (true, true, Verdict::Pass) => Result::True(seen(check, condition, names.len() > 1)),
        // To say that it cannot be said is the truth as well.
        (true, true, Verdict::Inconclusive) if names.len() > 1 => Result::True(seen(check, condition, true)),
        (adds_up, named, verdict) => {
            let failed: Vec<&str> = check
                .findings
                .iter()
                .filter(|it| it.outcome > uuid_generator::check::report::Outcome::Note)
                .map(|it| it.summary.as_str())
                .collect();
            Result::Wrong(format!("adds up: {adds_up}, named {names:?}: {named}, {verdict:?}: {}", failed.join("; ")))
        }
    }
}

/// What is worth telling of a check that is right.
fn seen(check: &Check, condition: Condition, open: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(cursors) = check.algorithm.as_ref().and_then(|it| it.cursors).filter(|cursors| *cursors > 1) {
        parts.push(format!("{cursors} cursors"));
    }
    if open {
        parts.push("cannot be told apart".to_owned());
    }
    if let (Some(outage), false) = (&check.outage, condition == Condition::Healthy) {
        parts.push(match outage.client_errors {
            0 => "no errors".to_owned(),
            errors => format!("{errors} errors"),
        });
        let counts = [(outage.retries, "retried"), (outage.double_executions, "twice")];
        parts.extend(counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
        if let Some(backend) = outage.backends.first() {
            parts.push(
                backend.back_after.map_or("not back in 2 s".to_owned(), |seconds| format!("back {seconds:.2} s")),
            );
        }
    }
    parts.join(", ")
}

impl Result {
    fn text(&self) -> String {
        match self {
            Result::True(seen) if seen.is_empty() => "✓".to_owned(),
            Result::True(seen) => format!("✓ {seen}"),
            Result::Wrong(why) => format!("✗ {why}"),
            Result::Impossible(_) => "–".to_owned(),
        }
    }
}

fn written(results: &BTreeMap<Cell, Result>, seconds: u64) -> String {
    let mut text = String::from(
        "# The check against real balancers\n\nWritten by `make matrix`. Each cell is a `uuid-generator check --with …` of its own: a fleet of three, the balancer with the \
         configuration that `config` writes, the experiments, the sample, the account. **✓**: the fates add up to the requests, the algorithm has its true name, and the \
         verdict is the true one. In an outage of 1.5 s: what clients saw of it (200 requests a second), and how long after its end the backend was back. `–`: not possible in this \
         edition, with the reason below.\n",
    );
    for (place, (name, _, _)) in BALANCERS.iter().enumerate() {
        let _ = write!(text, "\n## {name}\n\n| algorithm | workers |");
        CONDITIONS.iter().for_each(|(_, condition)| {
            let _ = write!(text, " {condition} |");
        });
        text.push_str("\n|---|---|---|---|---|---|---|\n");
        let mut reasons: Vec<&str> = Vec::new();
        for (algorithm, (label, _, _)) in ALGORITHMS.iter().enumerate() {
            for workers in [1, 2] {
                let row = CONDITIONS
                    .map(|(condition, _)| results.get(&Cell { balancer: place, algorithm, workers, condition }));
                if row.iter().all(Option::is_none) {
                    continue;
                }
                let cells: Vec<String> = row.iter().map(|cell| cell.map_or(String::new(), Result::text)).collect();
                let _ = writeln!(text, "| {label} | {workers} | {} |", cells.join(" | "));
                reasons.extend(row.iter().filter_map(|cell| match cell {
                    Some(Result::Impossible(why)) => Some(why.as_str()),
                    _ => None,
                }));
            }
        }
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let _ = write!(text, "\n- {reason}");
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    let _ = writeln!(text, "\n{} cells in {} min.", results.len(), seconds.div_ceil(60));
    text
}
