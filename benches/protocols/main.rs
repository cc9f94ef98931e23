//! The ground truth of protocols: each balancer with streams, WebSockets, HTTP/2 and gRPC to its backends, healthy, with a backend killed or drained, and reloaded;
//! and with each bad certificate of a backend. Each cell is a check of its own, and its findings must be the ones that are known to be true. Writes
//! docs/results/PROTOCOLS.md. With words such as `Envoy WebSocket` only the cells whose names have them are run, and nothing is written; `--runs=20` runs each cell so often.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{ExitCode, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use verdict::BadCertificate;
use verdict::finding::{Facts, Level, Rule};
use verdict::report::{Check, Verdict};

#[path = "../balancers/mod.rs"]
mod balancers;

use balancers::{BALANCERS, Errors, NoReport, RealBalancer};

/// What is spoken, and how the check is asked for it.
const PROTOCOLS: [(&str, &[&str]); 5] = [
    ("server-sent events", &["--stream", "--expect", "unbuffered:100ms"]),
    ("WebSocket", &["--stream=ws"]),
    ("HTTP/2 to backends", &["--backend-protocol", "h2c"]),
    ("HTTP/2 over TLS to backends", &["--backend-protocol", "h2"]),
    ("gRPC's way to backends", &["--backend-protocol", "grpc"]),
];

/// Its place among them.
const WEBSOCKET: usize = 1;

const CONDITIONS: [&str; 4] = ["healthy", "killed", "drained", "reload"];

/// Whether a balancer refuses a backend with that certificate; none where it cannot be configured so.
type Refuses = fn(&RealBalancer, BadCertificate) -> Option<bool>;

/// How the balancer is configured, and what it refuses then.
const VERIFICATIONS: [(&str, &[&str], Refuses); 3] = [
    ("verification off", &["--backend-tls-verify", "off"], |_, _| Some(false)),
    ("authority and name", &[], |_, bad| Some(bad != BadCertificate::Revoked)),
    ("revocation list", &["--backend-tls-crl", "fleet"], |balancer, _| balancer.has_revocation_list.then_some(true)),
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Trial {
    /// Places in [`PROTOCOLS`] and [`CONDITIONS`].
    Protocol(usize, usize),
    /// A place in [`VERIFICATIONS`].
    Certificates(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Cell {
    balancer: usize,
    trial: Trial,
}

/// What came of the runs of a cell.
#[derive(Default)]
struct Outcome {
    right: u32,
    /// So, but too little was seen to say so: a machine that is busy.
    open: u32,
    /// What was seen in the latest.
    seen: String,
    wrong: Vec<String>,
    impossible: Option<String>,
}

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|it| it.starts_with("--"));
    let runs = options.iter().find_map(|it| it.strip_prefix("--runs=")?.parse().ok()).unwrap_or(1u32);
    let begin = Instant::now();
    let cells: Vec<Cell> =
        cells().filter(|cell| words.iter().all(|word| cell.name().contains(word.as_str()))).collect();
    let queue: Vec<Cell> = (0..runs).flat_map(|_| cells.clone()).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<Cell, Outcome>> = Mutex::default();
    std::thread::scope(|scope| {
        for lane in 0..2 {
            let (queue, next, outcomes) = (&queue, &next, &outcomes);
            scope.spawn(move || {
                while let Some(cell) = queue.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = cell.run(lane);
                    eprintln!("{}: {result:?}", cell.name());
                    outcomes.lock().expect("no lane panics").entry(*cell).or_default().take(result);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().expect("no lane panics");
    let text = render(&outcomes, runs, begin.elapsed().as_secs());
    println!("{text}");
    if words.is_empty() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/PROTOCOLS.md"), text)
            .expect("PROTOCOLS.md can be written");
    }
    // Last, where whoever reads the end of a log sees it.
    for (cell, outcome) in &outcomes {
        outcome.wrong.iter().for_each(|why| println!("{}: {why}", cell.name()));
    }
    let wrong = outcomes.values().filter(|outcome| !outcome.wrong.is_empty()).count();
    println!("{} cells, {wrong} of them wrong", outcomes.len());
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cells() -> impl Iterator<Item = Cell> {
    let protocols =
        (0..PROTOCOLS.len()).flat_map(|it| (0..CONDITIONS.len()).map(move |condition| Trial::Protocol(it, condition)));
    let trials: Vec<Trial> = protocols.chain((0..VERIFICATIONS.len()).map(Trial::Certificates)).collect();
    (0..BALANCERS.len()).flat_map(move |balancer| trials.clone().into_iter().map(move |trial| Cell { balancer, trial }))
}

/// What one run shows.
#[derive(Debug)]
enum Shown {
    /// What is true, with what was seen.
    Right(String),
    /// Nothing that is false, and not all that is true.
    Open(String),
    Wrong(String),
    Impossible(String),
}

impl Cell {
    fn name(&self) -> String {
        let balancer = BALANCERS[self.balancer].title;
        match self.trial {
            Trial::Protocol(protocol, condition) => {
                format!("{balancer}, {}, {}", PROTOCOLS[protocol].0, CONDITIONS[condition])
            }
            Trial::Certificates(way) => format!("{balancer}, certificates, {}", VERIFICATIONS[way].0),
        }
    }

    fn run(&self, lane: u16) -> Shown {
        let balancer = &BALANCERS[self.balancer];
        let first = balancers::first_port(lane);
        let mut words: Vec<String> =
            ["check", "--with", balancer.name, "--format", "json", "--ports"].map(str::to_owned).to_vec();
        words.push(format!("{first}-{}", first + 2));
        let mut add = |more: &[&str]| words.extend(more.iter().map(ToString::to_string));
        match self.trial {
            Trial::Protocol(protocol, condition) => {
                let (_, options) = PROTOCOLS[protocol];
                add(options);
                if !options[0].starts_with("--stream") {
                    // On a machine that is busy the experiments need longer.
                    add(&["--rate", "200", "--experiments-for", "40s"]);
                } else if condition == 3 {
                    add(&["-c", "12", "--expect", "uncut"]);
                } else {
                    add(&["-c", "12"]);
                }
                let victim = first + 1;
                match CONDITIONS[condition] {
                    "killed" => add(&["--outage", &format!("kill:{victim}@1s,start@2s")]),
                    // A stream holds a drain up until the grace period is over.
                    "drained" => add(&["--outage", &format!("drain:{victim}@2s")]),
                    "reload" => {
                        add(&[
                            "--during",
                            &format!("{}@1500ms", balancer.reload_of_streams.unwrap_or(balancer.reload)),
                        ]);
                    }
                    _ => {}
                }
                add(&["--duration", "4s"]);
            }
            Trial::Certificates(way) => {
                add(&["--backend-protocol", "https", "--no-experiments", "-n", "300"]);
                add(VERIFICATIONS[way].1);
                add(balancer.certificate_options);
                add(&["--expect", "tls:verified", "--expect", "tls:revocation"]);
            }
        }
        self.judge(&balancers::run_program(&words, true))
    }

    /// Rules that fail if clients see errors, and whether they do; others may not fail.
    fn failing(&self) -> (&'static [Rule], Errors) {
        let Trial::Protocol(protocol, condition) = self.trial else { return (&[], Errors::None) };
        let is_stream = PROTOCOLS[protocol].1[0].starts_with("--stream");
        let balancer = &BALANCERS[self.balancer];
        match CONDITIONS[condition] {
            "reload" if protocol == WEBSOCKET && balancer.reloaded_websockets != Errors::None => {
                (&[Rule::StreamCut], balancer.reloaded_websockets)
            }
            "reload" => (&LOSSES, balancer.reloaded),
            "drained" if !is_stream => (&LOSSES, balancer.drained),
            _ => (&[], Errors::None),
        }
    }

    fn judge(&self, output: &Output) -> Shown {
        let check = match balancers::read_check(output) {
            Ok(check) => check,
            Err(NoReport::Impossible(why)) => return Shown::Impossible(why),
            Err(NoReport::Failed(why)) => return Shown::Wrong(why),
        };
        if !balancers::adds_up(&check) {
            return Shown::Wrong("the outcomes do not add up".to_owned());
        }
        match self.trial {
            Trial::Certificates(way) => self.judge_certificates(&check, way),
            Trial::Protocol(..) => self.judge_protocol(&check),
        }
    }

    fn judge_protocol(&self, check: &Check) -> Shown {
        let failed: Vec<Rule> =
            check.findings.iter().filter(|it| it.level == Level::Fail).map(|it| it.rule()).collect();
        let summaries = |level: Level| {
            let of_level = check.findings.iter().filter(|it| it.level == level);
            of_level.map(|it| it.summary()).collect::<Vec<_>>().join("; ")
        };
        let undone = check.outage.iter().flat_map(|it| &it.steps).find_map(|step| step.result.as_ref());
        if let Some(why) = undone {
            return Shown::Wrong(format!("a step was not done: {why:?}"));
        }
        let (may_fail, expected) = self.failing();
        let fits = match expected {
            Errors::None => failed.is_empty(),
            Errors::Some => !failed.is_empty(),
            Errors::AFew | Errors::Perhaps => true,
        };
        if !fits || failed.iter().any(|rule| !may_fail.contains(rule)) {
            return Shown::Wrong(format!("{failed:?} failed: {}", summaries(Level::Fail)));
        }
        let errors = check.outage.as_ref().map_or(check.account.client_errors, |it| it.client_errors);
        let seen = match (errors, failed.is_empty()) {
            (_, false) => summaries(Level::Fail),
            (0, true) => String::new(),
            (errors, true) => format!("{errors} errors"),
        };
        if check.verdict == Verdict::Inconclusive {
            return Shown::Open(summaries(Level::Inconclusive));
        }
        Shown::Right(seen)
    }

    fn judge_certificates(&self, check: &Check, way: usize) -> Shown {
        let known = check.findings.iter().find_map(|it| match &it.facts {
            Facts::TlsVerified(known) => Some(known),
            _ => None,
        });
        let Some(known) = known else { return Shown::Wrong("nothing is said of certificates".to_owned()) };
        let (mut wrong, mut open) = (Vec::new(), Vec::new());
        for bad in BadCertificate::ALL {
            let Some(truth) = VERIFICATIONS[way].2(&BALANCERS[self.balancer], bad) else { continue };
            let shown = known.trials.iter().find(|trial| trial.certificate == bad).and_then(|trial| trial.refused);
            match shown {
                Some(refused) if refused == truth => {}
                Some(refused) => wrong.push(format!("{} refused: {refused}", bad.name())),
                None => open.push(bad.name()),
            }
        }
        match (wrong.as_slice(), open.as_slice()) {
            ([], []) if known.accepted.is_empty() => Shown::Right("refuses all".to_owned()),
            ([], []) if known.accepted.len() == BadCertificate::ALL.len() => Shown::Right("accepts all".to_owned()),
            ([], []) => {
                let names: Vec<&str> = known.accepted.iter().map(|bad| bad.name()).collect();
                Shown::Right(format!("accepts {}", names.join(", ")))
            }
            ([], _) => Shown::Open(format!("open: {}", open.join(", "))),
            _ => Shown::Wrong(wrong.join("; ")),
        }
    }
}

/// What fails where they do.
const LOSSES: [Rule; 4] = [Rule::Balancer, Rule::Resilience, Rule::NotReached, Rule::IdleClose];

impl Outcome {
    fn take(&mut self, shown: Shown) {
        match shown {
            Shown::Right(seen) => (self.right, self.seen) = (self.right + 1, seen),
            Shown::Open(why) => {
                self.open += 1;
                self.seen = why;
            }
            Shown::Wrong(why) => self.wrong.push(why),
            Shown::Impossible(why) => self.impossible = Some(why),
        }
    }

    fn text(&self) -> String {
        let Outcome { right, open, seen, wrong, impossible } = self;
        if impossible.is_some() {
            return "–".to_owned();
        }
        let mark = match (wrong.as_slice(), right) {
            ([], 0) => "inconclusive:",
            ([], _) => "✓",
            _ => "✗",
        };
        let runs = right + open + wrong.len() as u32;
        let count = match (runs == *right || mark == "inconclusive:", open) {
            (true, _) => String::new(),
            (false, 0) => format!(" {right} of {runs}"),
            (false, open) => format!(" {right} of {runs}, {open} inconclusive"),
        };
        let seen = if seen.is_empty() { String::new() } else { format!(" {seen}") };
        format!("{mark}{count}{seen}")
    }
}

fn render(outcomes: &BTreeMap<Cell, Outcome>, runs: u32, seconds: u64) -> String {
    let mut text = format!(
        "# The check against real balancers: protocols\n\nWritten by `make protocols`. Each cell is a `uuid-generator check --with …` of its own, {} a cell: a fleet of three and the \
         balancer with the configuration that `config` writes. **✓**: the outcomes add up, and what failed is what is known to be true, and nothing else. A backend is killed and started \
         a second later, or drained. A reload with `--expect uncut`. `–`: not possible in this edition, with the reason below.\n",
        if runs == 1 { "one run".to_owned() } else { format!("{runs} runs") }
    );
    let titles: Vec<&str> = BALANCERS.iter().map(|balancer| balancer.title).collect();
    let row = |text: &mut String, name: &str, trial: Trial| {
        let cells = (0..BALANCERS.len()).map(|balancer| outcomes.get(&Cell { balancer, trial }));
        let cells: Vec<String> = cells.map(|cell| cell.map_or(String::new(), Outcome::text)).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    for (protocol, (name, _)) in PROTOCOLS.iter().enumerate() {
        let _ = writeln!(text, "\n## {name}\n\n| | {} |\n|---{}|", titles.join(" | "), "|---".repeat(titles.len()));
        for (condition, name) in CONDITIONS.iter().enumerate() {
            row(&mut text, name, Trial::Protocol(protocol, condition));
        }
    }
    let _ = writeln!(
        text,
        "\n## Bad certificates of backends\n\nExpired, not yet valid, another host's, of an unknown authority, self-signed, for clients only, revoked.\n\n| | {} |\n|---{}|",
        titles.join(" | "),
        "|---".repeat(titles.len())
    );
    for (way, (name, ..)) in VERIFICATIONS.iter().enumerate() {
        row(&mut text, name, Trial::Certificates(way));
    }
    let mut reasons: Vec<&str> = outcomes.values().filter_map(|outcome| outcome.impossible.as_deref()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    reasons.iter().for_each(|reason| {
        let _ = write!(text, "\n- {reason}");
    });
    let _ = writeln!(text, "\n\n{} cells in {} min.", outcomes.len(), seconds.div_ceil(60));
    text
}
