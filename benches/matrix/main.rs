//! The acceptance matrix: real balancers, in each of their ways, healthy and with something broken, each cell a check of its own. Writes
//! docs/results/MATRIX.md. With `--part` only the cells of CI, with `--part=N` one half of these (N even or odd), and with words such as `Envoy reload` only
//! those whose names have them; then nothing is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::process::{ExitCode, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use verdict::finding::{Level, Rule};
use verdict::report::{Check, Verdict};

#[path = "../balancers/mod.rs"]
mod balancers;

use balancers::{BALANCERS, Errors, NoReport, RealBalancer};

/// A balancer of the matrix, in one edition.
struct Edition {
    title: &'static str,
    balancer: &'static RealBalancer,
    from_wheels: bool,
}

static EDITIONS: LazyLock<Vec<Edition>> = LazyLock::new(|| {
    let of = |balancer: &'static RealBalancer| {
        let editions = balancer.editions.iter();
        editions.map(move |&(title, from_wheels)| Edition { title, balancer, from_wheels })
    };
    BALANCERS.iter().flat_map(of).collect()
});

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
    Slow,
    FailingPost,
    Intact,
}

const CONDITIONS: [(Condition, &str); 8] = [
    (Condition::Healthy, "healthy"),
    (Condition::Killed, "killed -9"),
    (Condition::Paused, "paused"),
    (Condition::Answers503, "answers 503"),
    (Condition::Reload, "reload"),
    (Condition::Slow, "slow, 100 ms"),
    (Condition::FailingPost, "POST, one backend failing"),
    (Condition::Intact, "request intact"),
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
    /// The check said something that is not true; with what it said.
    Wrong(String),
    /// So when it was tried again, alone; what was wrong before, and what was seen then.
    Unsteady(String, String),
    /// The balancer cannot do it in this edition; with the reason.
    Impossible(String),
}

fn main() -> ExitCode {
    let (options, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|it| it.starts_with("--"));
    let selection = match Selection::from_options(&options) {
        Ok(selection) => selection,
        Err(option) => {
            eprintln!("error: unexpected argument '{option}'\n  hint: options are --part and --part=N");
            return ExitCode::from(2);
        }
    };
    let begin = Instant::now();
    let has_words = |cell: &Cell| words.iter().all(|word| cell.name().contains(word.as_str()));
    let cells: Vec<Cell> = selection.of(cells()).into_iter().filter(has_words).collect();
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<Cell, Result>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for lane in 0..LANES {
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
    let mut results = results.into_inner().expect("no lane panics");
    for (cell, result) in &mut results {
        result.try_again(|| cell.run(0));
    }
    let unsteady = results.values().filter(|result| matches!(result, Result::Unsteady(..))).count();
    let wrong = results.values().filter(|result| matches!(result, Result::Wrong(_))).count();
    let text = render(&results, begin.elapsed().as_secs());
    println!("{text}");
    if selection == Selection::All && words.is_empty() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/MATRIX.md"), text)
            .expect("MATRIX.md can be written");
    }
    // Last, where whoever reads the end of a log sees it.
    let told = results.iter().filter(|(_, result)| matches!(result, Result::Wrong(_) | Result::Unsteady(..)));
    told.for_each(|(cell, result)| println!("{}: {}", cell.name(), result.text()));
    let unnamed = results.values().filter(|result| result.text().contains(UNNAMED)).count();
    println!(
        "{} cells, {wrong} of them wrong, {unsteady} right only at the second try, {unnamed} {UNNAMED}",
        results.len()
    );
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Cells run side by side: most of their time they wait.
const LANES: u16 = 4;

/// Which cells are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Selection {
    All,
    /// Those of CI.
    Part,
    /// Every second of those, from the first or the second on.
    Half(usize),
}

impl Selection {
    /// The error is the option that is none.
    fn from_options(options: &[String]) -> std::result::Result<Self, &str> {
        let mut selection = Selection::All;
        for option in options {
            selection = match option.as_str() {
                "--bench" => continue, // cargo's own
                "--part" => Selection::Part,
                _ => match option.strip_prefix("--part=").and_then(|number| number.parse::<usize>().ok()) {
                    Some(number) => Selection::Half(number % 2),
                    None => return Err(option),
                },
            };
        }
        Ok(selection)
    }

    fn of(self, cells: impl Iterator<Item = Cell>) -> Vec<Cell> {
        match self {
            Selection::All => cells.collect(),
            Selection::Part => cells.filter(Cell::is_in_part).collect(),
            Selection::Half(first) => cells.filter(Cell::is_in_part).skip(first).step_by(2).collect(),
        }
    }
}

fn cells() -> impl Iterator<Item = Cell> {
    let ways =
        (0..EDITIONS.len()).flat_map(|balancer| (0..ALGORITHMS.len()).map(move |algorithm| (balancer, algorithm)));
    let workers = ways.flat_map(|(balancer, algorithm)| [1, 2].map(move |workers| (balancer, algorithm, workers)));
    workers
        .flat_map(|(balancer, algorithm, workers)| {
            CONDITIONS.map(move |(condition, _)| Cell { balancer, algorithm, workers, condition })
        })
        .filter(Cell::is_of_interest)
}

impl Cell {
    /// What becomes of one request does not depend on how many there are, or on how a backend is selected.
    fn is_of_interest(&self) -> bool {
        match self.condition {
            Condition::Healthy | Condition::Killed | Condition::Paused | Condition::Answers503 | Condition::Reload => {
                true
            }
            Condition::Slow => self.workers == 1,
            Condition::FailingPost | Condition::Intact => self.workers == 1 && self.algorithm == 0,
        }
    }

    /// Every way healthy with two workers, and round robin in every condition.
    fn is_in_part(&self) -> bool {
        let healthy = self.condition == Condition::Healthy && self.workers == 2;
        healthy || (self.algorithm == 0 && self.workers == 1)
    }

    fn name(&self) -> String {
        let (_, condition) = CONDITIONS[self.condition as usize];
        format!(
            "{}, {}, {} workers, {condition}",
            EDITIONS[self.balancer].title, ALGORITHMS[self.algorithm].0, self.workers
        )
    }

    fn run(&self, lane: u16) -> Result {
        let Edition { balancer, from_wheels, .. } = &EDITIONS[self.balancer];
        let (_, options, expected) = ALGORITHMS[self.algorithm];
        let first = balancers::first_port(lane);
        let mut words: Vec<String> =
            vec!["check".into(), "--with".into(), balancer.name.into(), "--format".into(), "json".into()];
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
            Condition::Slow => words.extend(["--fault", "latency:100ms", "-n", "1000"].map(str::to_owned)),
            Condition::FailingPost => {
                words.extend(["--fault".to_owned(), format!("close:10%:{victim}"), "-n".into(), "1000".into()]);
                words.extend(["--method", "POST", "--body-bytes", "100"].map(str::to_owned));
            }
            Condition::Intact => {
                words.extend(["--method", "PUT", "--body-bytes", "1000", "-n", "1000"].map(str::to_owned));
                words.extend(["--header", "X-Probe: a  b", "--expect", "header:X-Probe:preserved"].map(str::to_owned));
            }
            Condition::Reload => {
                let during = format!("{}@700ms", balancer.reload);
                words.extend(["--during".into(), during, "--duration".into(), "2s".into()]);
                words.extend(["--rate".into(), "200".into()]);
            }
        }
        self.judge(&balancers::run_program(&words, *from_wheels), expected)
    }

    /// How many errors clients see of a backend that has traffic and is broken, or of a reload: with the configuration that is written, where
    /// nothing is said of retries and timeouts.
    fn errors(&self) -> RangeInclusive<u64> {
        // Who answered soonest lately may have got all of it or none.
        let by_time = ALGORITHMS[self.algorithm].2 == "least-time";
        let balancer = EDITIONS[self.balancer].balancer;
        let of_step = |errors: Errors| match errors {
            Errors::None => NONE,
            Errors::AFew => 0..=2,
            Errors::Some => SOME,
            Errors::Perhaps => PERHAPS,
        };
        match self.condition {
            Condition::Healthy | Condition::Slow | Condition::Intact => NONE,
            // What it may not try again fails; who avoids a backend that failed once may never meet it in the sample.
            Condition::FailingPost => PERHAPS,
            Condition::Answers503 if by_time => PERHAPS,
            // A status is an answer.
            Condition::Answers503 => SOME,
            Condition::Killed if by_time => of_step(balancer.killed_by_time),
            Condition::Killed => of_step(balancer.killed),
            // Whoever waits longer than the pause gets an answer.
            Condition::Paused => NONE,
            Condition::Reload => of_step(balancer.reloaded),
        }
    }
}

/// Of the latest hundred requests before an outage.
const LITTLE: u64 = 10;

const NONE: RangeInclusive<u64> = 0..=0;
const SOME: RangeInclusive<u64> = 1..=u64::MAX;
const PERHAPS: RangeInclusive<u64> = 0..=u64::MAX;

impl Cell {
    fn judge(&self, output: &Output, expected: &str) -> Result {
        let check = match balancers::read_check(output) {
            Ok(check) => check,
            Err(NoReport::Impossible(why)) => return Result::Impossible(why),
            Err(NoReport::Failed(why)) => return Result::Wrong(why),
        };
        let algorithm = check.algorithm.as_ref();
        let names: Vec<&str> =
            algorithm.iter().flat_map(|it| it.name.iter().chain(&it.or)).map(String::as_str).collect();
        let open = names.len() > 1;
        let adds_up = balancers::adds_up(&check);
        let outage = check.outage.as_ref();
        let errors = outage.map_or(check.account.client_errors, |it| it.client_errors);
        // A command that fails has reloaded nothing.
        let done = outage.is_none_or(|it| it.steps.iter().all(|step| step.result.is_none()));
        let idle = outage.is_some_and(|it| it.backends.iter().any(|backend| backend.received_before < LITTLE));
        // Who had next to no traffic may get some when all others are busy, and may not.
        let right = if idle { PERHAPS } else { self.errors() };
        let found = |rule: Rule| check.findings.iter().find(|finding| finding.rule() == rule);
        let verdict = match (self.condition, check.verdict) {
            // Whatever clients see of it, no backend gets such a request a second time.
            (Condition::FailingPost, _)
                if [Rule::Repeated, Rule::Duplicated].into_iter().any(|it| found(it).is_some()) =>
            {
                false
            }
            (Condition::FailingPost, Verdict::Pass) => errors == 0,
            (Condition::FailingPost, Verdict::Fail) => errors > 0,
            (Condition::FailingPost, Verdict::Inconclusive) => true,
            // A thousand requests may be too few to judge shares of chance.
            (Condition::Slow, Verdict::Inconclusive) => true,
            (Condition::Intact, _) if found(Rule::Intact).is_none_or(|it| it.level != Level::Pass) => false,
            // A reload that costs something must fail.
            (Condition::Reload, Verdict::Pass) => errors == 0,
            (Condition::Reload, Verdict::Fail) => errors > 0,
            (_, Verdict::Pass) => true,
            (_, Verdict::Fail) => false,
            // To say that it cannot be said is the truth as well.
            (_, Verdict::Inconclusive) => open,
        };
        // Who answered soonest may change between experiments and sample. That name may be left open, is said to be, and is counted in
        // the last line; every other one must be found.
        let unnamed = expected == "least-time" && names.is_empty() && check.verdict == Verdict::Inconclusive;
        // A backend that fails is met less often: that order names nothing for certain.
        let disturbed = self.condition == Condition::FailingPost && names.is_empty();
        let named = names.contains(&expected) || unnamed || disturbed;
        if adds_up && done && named && (verdict || unnamed) && right.contains(&errors) {
            return Result::True(describe(&check, self.condition, open, unnamed));
        }
        let failed: Vec<&str> =
            check.findings.iter().filter(|it| it.level > Level::Note).map(|it| it.summary()).collect();
        Result::Wrong(format!(
            "adds up: {adds_up}, done: {done}, named {names:?}, {:?}, {errors} client errors ({} are right): {}",
            check.verdict,
            match right.into_inner() {
                (least, u64::MAX) => format!("{least} or more"),
                (least, most) => format!("{least} to {most}"),
            },
            failed.join("; ")
        ))
    }
}

/// Of a cell whose algorithm the evidence did not settle.
const UNNAMED: &str = "inconclusive, not named";

/// What is worth telling of a check that is right.
fn describe(check: &Check, condition: Condition, open: bool, unnamed: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    if unnamed {
        parts.push(UNNAMED.to_owned());
    }
    if let Some(rotations) = check.algorithm.as_ref().and_then(|it| it.rotations).filter(|rotations| *rotations > 1) {
        parts.push(format!("{rotations} rotations"));
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
            parts.push(match (backend.received_before, backend.back_after) {
                (0, _) => "it had no traffic".to_owned(),
                (_, None) => "not back in 2 s".to_owned(),
                (_, Some(seconds)) => format!("back {seconds:.2} s"),
            });
        }
    }
    parts.join(", ")
}

impl Result {
    /// Real balancers on a busy machine have bad moments. What is wrong for good is wrong again; both tries are shown.
    fn try_again(&mut self, run: impl FnOnce() -> Result) {
        let Result::Wrong(first) = self else { return };
        let first = std::mem::take(first);
        *self = match run() {
            Result::True(seen) => Result::Unsteady(first, seen),
            Result::Wrong(second) => Result::Wrong(format!("{first}; and again: {second}")),
            other => other,
        };
    }

    fn text(&self) -> String {
        match self {
            Result::True(seen) if seen.is_empty() => "✓".to_owned(),
            Result::True(seen) => format!("✓ {seen}"),
            Result::Wrong(why) => format!("✗ {why}"),
            Result::Unsteady(first, seen) => format!("✓ {seen} (at the second try; at the first: {first})"),
            Result::Impossible(_) => "–".to_owned(),
        }
    }
}

fn render(results: &BTreeMap<Cell, Result>, seconds: u64) -> String {
    let mut text = String::from(
        "# The check against real balancers\n\nWritten by `make matrix`. Each cell is a `uuid-generator check --with …` of its own: a fleet of three, the balancer with the \
         configuration that `config` writes, the experiments, the sample, the account. **✓**: the outcomes add up to the requests, the algorithm has its true name, the \
         verdict is the true one, and clients saw errors where this balancer is known to let them through, and nowhere else. In an outage of 1.5 s: what clients saw of it (200 requests \
         a second), and how long after its end the backend was back. A reload that costs a request fails its check, as it must. Slow: each response takes 100 ms. POST, one backend failing: it closes 10 % of its requests without a \
         response, and no POST may reach backends twice. Request intact: method, query, body and a header of 1,000 PUTs are compared where they arrive. A cell that is wrong is tried once more, alone, and both tries are shown. `–`: not possible in this edition, with the reason below.\n",
    );
    for (place, Edition { title: name, .. }) in EDITIONS.iter().enumerate() {
        let _ = write!(text, "\n## {name}\n\n| algorithm | workers |");
        CONDITIONS.iter().for_each(|(_, condition)| {
            let _ = write!(text, " {condition} |");
        });
        let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(CONDITIONS.len()));
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
