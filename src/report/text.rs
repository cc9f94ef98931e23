//! PURE. A report for a terminal: one screen a check.

use std::fmt::Write;

use crate::report::escape::harmless;
use verdict::numbers::{count_of, grouped, percent, time};
use verdict::report::{Check, Finding, Level, Outage, Percentiles, Report, Shares, Verdict};

/// How a terminal shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Whether colours and weights are shown.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

impl Style {
    /// Colours for a terminal, unless NO_COLOR is set (<https://no-color.org>).
    pub fn of_terminal(terminal: bool) -> Style {
        Style { colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()), width: 110 }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn title(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Pass => "1;32",
            Verdict::Fail => "1;31",
            Verdict::Inconclusive => "1;33",
        };
        self.paint(code, text)
    }
}

/// All checks, and the verdict last.
pub fn text(report: &Report, style: &Style) -> String {
    let mut out = String::new();
    for check in &report.checks {
        one(&mut out, check, style);
        out.push('\n');
    }
    if report.checks.len() > 1 {
        let _ = writeln!(out, "{}", style.title("All checks"));
        for check in &report.checks {
            let name = harmless(check.name.as_deref().unwrap_or(&check.url));
            let _ = writeln!(out, "  {}  {name}: {}", style.verdict(check.verdict, word(check.verdict)), reason(check));
        }
        out.push('\n');
        let _ = writeln!(out, "{}", style.verdict(report.verdict, word(report.verdict)));
    }
    out
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

/// Why it is so, in a sentence.
pub fn reason(check: &Check) -> String {
    let of = |outcome| check.findings.iter().find(|finding| finding.outcome == outcome);
    let decisive = match check.verdict {
        Verdict::Fail => of(Level::Fail),
        Verdict::Inconclusive => of(Level::Inconclusive),
        Verdict::Pass => None,
    };
    match (decisive, &check.outage) {
        (Some(finding), _) => harmless(&finding.summary),
        (None, Some(outage)) if outage.client_errors > 0 => {
            format!("all that was required holds; {} client errors were allowed for", grouped(outage.client_errors))
        }
        (None, _) => "all that was required holds".to_owned(),
    }
}

fn one(out: &mut String, check: &Check, style: &Style) {
    let fleet = match &check.fleet {
        Some(fleet) => format!("fleet of {} ({})", listed(&fleet.backends), fleet.control),
        None => "backends that are not ours".to_owned(),
    };
    let name = check.name.as_ref().map(|name| format!("{}: ", harmless(name))).unwrap_or_default();
    let _ = writeln!(out, "{}", style.title(&format!("{name}{} · {fleet}", harmless(&check.url))));
    let _ = writeln!(out, "{}\n", traffic(check));
    account(out, check, style);
    if let Some(shares) = &check.shares {
        self::shares(out, shares, style);
    }
    algorithm(out, check, style);
    latency(out, check, style);
    if let Some(outage) = &check.outage {
        self::outage(out, outage, style);
    }
    let _ = writeln!(out, "{}", style.title("Findings"));
    for finding in &check.findings {
        self::finding(out, finding, style);
    }
    let _ = writeln!(out, "\n{}: {}", style.verdict(check.verdict, word(check.verdict)), reason(check));
}

fn listed(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 5 => format!("{} backends, {first} to {last}", names.len()),
        names => names.join(", "),
    }
}

fn traffic(check: &Check) -> String {
    let traffic = &check.traffic;
    let connections = match (traffic.connections, traffic.kept) {
        (1, true) => "1 kept connection".to_owned(),
        (count, true) => format!("up to {count} kept connections"),
        (count, false) => format!("a new connection each, {count} at once"),
    };
    let pace = match traffic.rate {
        Some(rate) => format!("{rate} a second as planned"),
        None => format!("{} a second", grouped(traffic.requests_per_second as u64)),
    };
    let varied = traffic.varied.as_ref().map(|varied| format!(", {}", harmless(varied))).unwrap_or_default();
    format!(
        "{} {} in {}: {connections}, {pace}{varied}",
        grouped(traffic.requests),
        harmless(&traffic.method),
        time(traffic.seconds)
    )
}

fn account(out: &mut String, check: &Check, style: &Style) {
    let account = &check.account;
    let _ = writeln!(
        out,
        "{}  {} requests with those of the experiments, each with one fate",
        style.title("Account"),
        grouped(account.sent)
    );
    for fate in &account.fates {
        let _ = writeln!(out, "  {:>11}  {:<12}{}", grouped(fate.count), fate.fate, fate.meaning);
    }
    if let Some(beside) = account.beside.told() {
        let _ = writeln!(out, "  beside them: {beside}");
    }
    out.push('\n');
}

fn shares(out: &mut String, shares: &Shares, style: &Style) {
    const BAR: usize = 40;
    let _ = writeln!(out, "{} of {}, expected: {}", style.title("Shares"), shares.unit, harmless(&shares.expected));
    let most = shares.rows.iter().map(|row| row.share.max(row.expected.unwrap_or(0.0))).fold(0.01, f64::max);
    let columns = |share: f64| (share / most * BAR as f64).round() as usize;
    let width = shares.rows.iter().map(|row| row.backend.chars().count()).max().unwrap_or(0);
    const ROWS: usize = 20;
    for row in shares.rows.iter().take(ROWS) {
        let filled = columns(row.share);
        let mark = row.expected.map(columns);
        let cell = |column: usize| match (column < filled, mark) {
            (_, Some(mark)) if mark > 0 && column == mark - 1 => '┃',
            (true, _) => '█',
            (false, _) => '·',
        };
        let bar: String = (0..BAR).map(cell).collect();
        let _ = writeln!(
            out,
            "  {:<width$}  {bar}  {:>8}  {:>11}",
            harmless(&row.backend),
            percent(row.share),
            grouped(row.count)
        );
    }
    if shares.rows.len() > ROWS {
        let _ = writeln!(out, "  … and {} more", shares.rows.len() - ROWS);
    }
    if let Some(test) = &shares.test {
        let alarm = if test.false_alarm > 0.0 { format!("{:.0e}", test.false_alarm) } else { "never".to_owned() };
        let _ = writeln!(out, "  {}: {}", test.name, test.result);
        let _ = writeln!(
            out,
            "  finds deviations from {:.2} percentage points on; fails a balancer that is right: {alarm}",
            test.detects * 100.0
        );
    }
    out.push('\n');
}

fn algorithm(out: &mut String, check: &Check, style: &Style) {
    let Some(algorithm) = &check.algorithm else { return };
    let cursors = match algorithm.cursors {
        Some(1) => ", one cursor".to_owned(),
        Some(count) => format!(", {count} cursors at least"),
        None => String::new(),
    };
    let _ = writeln!(out, "{}  {}{cursors}", style.title("Algorithm"), harmless(&algorithm.label));
    if !algorithm.or.is_empty() {
        let _ = writeln!(out, "  cannot be told apart from here: {}", algorithm.or.join(", "));
    }
    for line in &algorithm.evidence {
        let _ = writeln!(out, "  · {}", harmless(line));
    }
    if let Some(hint) = &algorithm.hint {
        let _ = writeln!(out, "  hint: {hint}");
    }
    out.push('\n');
}

fn latency(out: &mut String, check: &Check, style: &Style) {
    let Some(latency) = &check.latency else { return };
    let _ = writeln!(
        out,
        "{}    {:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        style.title("Latency"),
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max"
    );
    let mut row = |name: &str, it: &Percentiles| {
        let cells = it.columns().map(|it| format!("{:>10}", time(it))).concat();
        let _ = writeln!(out, "  {name:<9}{cells}");
    };
    row("client", &latency.client);
    if let Some(backend) = &latency.backend {
        row("backend", backend);
    }
    if let Some(between) = &latency.between {
        row("between", between);
    }
    let _ = writeln!(out, "  {}\n", latency.note);
}

fn outage(out: &mut String, outage: &Outage, style: &Style) {
    let _ = writeln!(
        out,
        "{}  {}, {}, {} executed more than once",
        style.title("Outage"),
        count_of(outage.client_errors, "client error"),
        match outage.retries {
            1 => "1 retry".to_owned(),
            retries => format!("{} retries", grouped(retries)),
        },
        grouped(outage.double_executions)
    );
    for step in &outage.steps {
        let result = step.result.as_ref().map(|result| format!(" ({})", harmless(result))).unwrap_or_default();
        let _ = writeln!(out, "  at {:>7}  {}{result}", format!("{:.2} s", step.at), harmless(&step.what));
    }
    for backend in &outage.backends {
        if backend.received_before == 0 {
            let _ = writeln!(out, "  {}: no traffic just before, so none could be lost", harmless(&backend.backend));
            continue;
        }
        let stopped = match backend.stopped_after {
            Some(seconds) => format!("no more traffic after {}", time(seconds)),
            None => "traffic went on".to_owned(),
        };
        let back = backend
            .back_after
            .map_or("not back by the end".to_owned(), |seconds| format!("back after {}", time(seconds)));
        let errors = count_of(backend.client_errors, "client error");
        let _ = writeln!(out, "  {}: {stopped}, {back}, {errors} meanwhile", harmless(&backend.backend));
    }
    out.push('\n');
}

fn finding(out: &mut String, finding: &Finding, style: &Style) {
    let (word, code) = match finding.outcome {
        Level::Pass => ("pass", "32"),
        Level::Note => ("note", "36"),
        Level::Inconclusive => ("open", "1;33"),
        Level::Fail => ("FAIL", "1;31"),
    };
    let _ = writeln!(out, "  {}  {:<13} {}", style.paint(code, word), finding.rule, harmless(&finding.summary));
    if finding.outcome == Level::Pass {
        return;
    }
    let indent = " ".repeat(22);
    for line in &finding.evidence {
        let _ = writeln!(out, "{indent}{}", harmless(line));
    }
    if let Some(hint) = &finding.hint {
        let _ = writeln!(out, "{indent}hint: {}", harmless(hint));
    }
    if let (Some(source), true) = (&finding.source, finding.outcome >= Level::Inconclusive) {
        let _ = writeln!(out, "{indent}see: {source}");
    }
}
