//! A report for a terminal: what is wrong first, then the figures, the verdict last.

use std::fmt::Write;

use crate::report::escape::harmless;
use crate::report::phrases::{describe_witness, forwarding, meaning, slow_backends, traffic_meanwhile, variation};
use crate::wrap::{columns_of, wrapped};
use verdict::facts::requests::Extent;
use verdict::finding::{EvidenceLine, Facts, Finding, Level, Rule};
use verdict::life::StreamKind;
use verdict::numbers::{count_of, grouped, percent, time};
use verdict::outcome::Outcome;
use verdict::report::{
    Check, CheckError, NotCounted, Outage, OutcomeCount, Percentiles, Report, Shares, Unit, Verdict,
};

/// How a report is shown on a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Style {
    /// Whether colours and weights are shown.
    pub(crate) colour: bool,
    /// Columns of the terminal.
    pub(crate) width: usize,
    pub(crate) detail: Detail,
}

/// How much a report shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// The verdict of each check.
    Quiet,
    /// What is wrong with its evidence, and the figures.
    Usual,
    /// The evidence of what is as it should be too.
    Verbose,
}

/// How the word ERROR looks.
const ERROR: &str = "1;31";

/// Columns of a report.
const WIDEST: usize = 80;
const NARROWEST: usize = 60;

impl Style {
    /// Colours for a terminal, unless NO_COLOR is set (<https://no-color.org>), and lines of its width, 80 columns at most.
    pub(crate) fn of_terminal(terminal: bool) -> Style {
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let width = if terminal { columns_of(std::io::stdout()).clamp(NARROWEST, WIDEST) } else { WIDEST };
        Style { colour: terminal && unset("NO_COLOR") && !is_dumb, width, detail: Detail::Usual }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn is_verbose(&self) -> bool {
        self.detail == Detail::Verbose
    }

    fn title(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// A sentence after a label of that look.
    fn sentence(&self, indent: usize, label: &str, code: &str, text: &str) -> String {
        let plain = format!("{:indent$}{label}", "");
        wrapped(&plain, text, self.width).replacen(label, &self.paint(code, label), 1)
    }
}

/// All checks, and the verdict last.
pub(crate) fn text(report: &Report, style: &Style) -> String {
    let mut out = String::new();
    if style.detail == Detail::Quiet {
        for check in &report.checks {
            let name = check.name.as_deref().unwrap_or(&check.url);
            // A request with its attempts is for those who look into it.
            let cause = decisive(check).and_then(Finding::cause).filter(|it| it.parts.is_empty());
            let cause = cause.map(|it| format!(": {}", harmless(&it.line))).unwrap_or_default();
            let line = format!("{}: {}{cause}", harmless(name), reason(check));
            out.push_str(&style.sentence(0, &format!("{}  ", word(check.verdict)), look(check.verdict), &line));
        }
        errors(&mut out, 0, report, style);
        return out;
    }
    for check in &report.checks {
        one(&mut out, check, style);
        out.push('\n');
    }
    let all = report.wanted();
    if all == 1 {
        errors(&mut out, 0, report, style);
    } else {
        let _ = writeln!(out, "{}", style.title("All checks"));
        for check in &report.checks {
            let name = harmless(check.name.as_deref().unwrap_or(&check.url));
            let line = format!("{name}: {}", reason(check));
            out.push_str(&style.sentence(2, &format!("{}  ", word(check.verdict)), look(check.verdict), &line));
        }
        errors(&mut out, 2, report, style);
        let (look, last) = match report.errors.len() {
            0 => (look(report.verdict), word(report.verdict).to_owned()),
            some => (ERROR, format!("ERROR: {some} of {all} checks could not run")),
        };
        let _ = writeln!(out, "\n{}", style.paint(look, &last));
    }
    out
}

/// What could not run, and what to try.
fn errors(out: &mut String, indent: usize, report: &Report, style: &Style) {
    for error in &report.errors {
        let name = error.check.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        out.push_str(&style.sentence(indent, "ERROR  ", ERROR, &harmless(&format!("{name}{}", error.error))));
        if let Some(hint) = &error.hint {
            out.push_str(&wrapped(&format!("{:indent$}  hint: ", ""), &harmless(hint), style.width));
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Inconclusive => "INCONCLUSIVE",
        Verdict::Fail => "FAIL",
    }
}

fn look(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "1;32",
        Verdict::Fail => "1;31",
        Verdict::Inconclusive => "1;33",
    }
}

/// The first finding that makes the verdict.
fn decisive(check: &Check) -> Option<&Finding> {
    let of = |level| check.findings.iter().find(|finding| finding.level == level);
    match check.verdict {
        Verdict::Fail => of(Level::Fail),
        Verdict::Inconclusive => of(Level::Inconclusive),
        Verdict::Pass => None,
    }
}

/// What could not run.
pub(crate) fn subject(error: &CheckError) -> &str {
    error.check.as_deref().unwrap_or("uuid-generator")
}

/// Why it is so, in a sentence.
pub(crate) fn reason(check: &Check) -> String {
    match (decisive(check), &check.outage) {
        (Some(finding), _) => harmless(finding.summary()),
        (None, Some(outage)) if outage.client_errors > 0 => {
            format!("all expectations met; {} allowed", count_of(outage.client_errors, "client error"))
        }
        (None, _) => "all expectations met".to_owned(),
    }
}

fn one(out: &mut String, check: &Check, style: &Style) {
    let name = check.name.as_ref().map(|name| format!("{}: ", harmless(name))).unwrap_or_default();
    let fleet = match &check.fleet {
        Some(fleet) if fleet.not_ready.is_empty() => format!("fleet of {}", list_names(&fleet.backends)),
        Some(fleet) => format!("fleet of {}; not ready: {}", list_names(&fleet.backends), list_names(&fleet.not_ready)),
        None => "third-party backends".to_owned(),
    };
    let title = wrapped("", &format!("{name}{} · {fleet}", harmless(&check.url)), style.width);
    title.lines().for_each(|line| {
        let _ = writeln!(out, "{}", style.title(line));
    });
    out.push_str(&wrapped("", &traffic(check), style.width));
    out.push('\n');
    if !check.surroundings.is_empty() {
        let _ = writeln!(out, "{}", style.title("Rehearsal"));
        check.surroundings.iter().for_each(|it| out.push_str(&wrapped("  ", &harmless(&it.line), style.width)));
        out.push('\n');
    }
    if !check.not_understood.is_empty() {
        let _ = writeln!(out, "{}", style.title("Not understood, and not judged"));
        check.not_understood.iter().for_each(|line| out.push_str(&wrapped("  ", &harmless(line), style.width)));
        out.push('\n');
    }
    let (wrong, fine): (Vec<&Finding>, Vec<&Finding>) =
        check.findings.iter().partition(|finding| finding.level > Level::Note);
    for finding in &wrong {
        self::finding(out, finding, style);
    }
    if !wrong.is_empty() {
        out.push('\n');
    }
    account(out, check, style);
    if let Some(shares) = &check.shares {
        let expected = || format!("expected: {}", harmless(&shares.expected));
        self::shares(
            out,
            (shares, counted_in(check, shares)),
            &unjudged(check).map_or_else(expected, str::to_owned),
            style,
        );
    }
    if let Some(split) = fine.iter().find(|finding| finding.rule() == Rule::Split) {
        out.push_str(&style.sentence(0, "Split  ", "1", split.summary()));
    }
    algorithm(out, check, style);
    if check.shares.is_some() || check.algorithm.is_some() {
        out.push('\n');
    }
    latency(out, check, style);
    if let Some(outage) = &check.outage {
        self::outage(out, outage, style);
    }
    for finding in fine.iter().filter(|finding| style.is_verbose() || is_news(finding, check)) {
        self::finding(out, finding, style);
    }
    write_passed(out, &fine, style);
    let verdict = format!("{}: ", word(check.verdict));
    let _ = write!(out, "\n{}", style.sentence(0, &verdict, look(check.verdict), &reason(check)));
}

/// Why the shares are not judged, if they are not.
pub(crate) fn unjudged(check: &Check) -> Option<&'static str> {
    let judged = |finding: &Finding| match finding.rule() {
        Rule::Shares => finding.level != Level::Note,
        // A backend that gets nothing is what is wrong with them.
        Rule::Reach => finding.level == Level::Fail,
        _ => false,
    };
    match (check.findings.iter().any(judged), &check.outage) {
        (true, _) => None,
        (false, Some(_)) => Some("not judged: backends were changed"),
        (false, None) => Some("not judged"),
    }
}

/// What a reader of a short report needs besides the figures: what happens to every request stands in the account already.
pub(crate) fn is_news(finding: &Finding, check: &Check) -> bool {
    let described = matches!(
        finding.rule(),
        Rule::MethodChanged | Rule::PathChanged | Rule::QueryChanged | Rule::HostChanged | Rule::FieldChanged
    );
    // That requests are not all treated alike does not.
    let is_in_several_ways = matches!(&finding.facts, Facts::HostChanged(change) if change.extent == Extent::Ways);
    finding.level == Level::Note && (is_in_several_ways || !(described && check.forwarding.is_some()))
}

/// The rules that passed, by name; their sentences are for who asks for all.
fn write_passed(out: &mut String, fine: &[&Finding], style: &Style) {
    let names: Vec<&str> =
        fine.iter().filter(|it| it.level == Level::Pass).map(|finding| finding.rule().id()).collect();
    if !style.is_verbose() && !names.is_empty() {
        // The one line that begins with PASS is the verdict.
        out.push_str(&style.sentence(0, "Rules met  ", "1", &names.join(", ")));
    }
}

fn list_names(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 5 => format!("{} backends, {first} to {last}", names.len()),
        names => names.join(", "),
    }
}

fn traffic(check: &Check) -> String {
    let traffic = &check.traffic;
    if let Some(kind) = traffic.streams {
        let what = match kind {
            StreamKind::Events => "event streams",
            StreamKind::Chunks => "chunked streams",
            StreamKind::Download => "downloads",
            StreamKind::Websocket => "WebSockets",
        };
        return format!("{} {what} in {}, {} at once", traffic.requests, time(traffic.seconds), traffic.connections);
    }
    let connections = match (traffic.connections, traffic.kept) {
        (1, true) => "1 kept connection".to_owned(),
        (count, true) => format!("up to {count} kept connections"),
        (count, false) => format!("new connections, {count} at once"),
    };
    let connections = match traffic.multiplex {
        0 | 1 => connections,
        streams => format!("{connections} of {streams} streams"),
    };
    let pace = match traffic.rate {
        Some(rate) => format!("{rate} req/s as scheduled"),
        None => format!("{} req/s", grouped(traffic.requests_per_second as u64)),
    };
    let varied = traffic
        .varied
        .as_ref()
        .map(|varied| format!(", {}", harmless(&variation(varied, &check.findings))))
        .unwrap_or_default();
    format!(
        "{} {} in {}: {connections}, {pace}{varied}",
        grouped(traffic.requests),
        if traffic.grpc { "gRPC calls".into() } else { harmless(&traffic.method) },
        time(traffic.seconds)
    )
}

fn account(out: &mut String, check: &Check, style: &Style) {
    let account = &check.account;
    let experiments = account.sent.saturating_sub(check.traffic.requests);
    let of_them = if experiments > 0 { format!(" ({} in experiments)", grouped(experiments)) } else { String::new() };
    let others = not_counted(&account.not_counted).map(|text| format!("; not counted: {text}")).unwrap_or_default();
    let total = format!("{}{of_them}{others}", grouped(account.sent));
    out.push_str(&style.sentence(0, "Requests  ", "1", &total));
    for it in &account.outcomes {
        let means = meaning(it.outcome, check.fleet.is_some());
        let figures = format!("  {:>11}  {:<12}", grouped(it.count), it.outcome.name());
        out.push_str(&wrapped(&figures, means, style.width));
    }
    for it in &account.urls {
        let counts: Vec<String> =
            it.outcomes.iter().map(|(outcome, count)| format!("{} {}", grouped(*count), outcome.name())).collect();
        out.push_str(&wrapped(&format!("  {}: ", harmless(&it.url)), &counts.join(", "), style.width));
    }
    if let Some(clauses) = check.forwarding.as_ref().map(forwarding).filter(|clauses| !clauses.is_empty()) {
        out.push_str(&wrapped("  the balancer changes: ", &harmless(&clauses.join("; ")), style.width));
    }
    out.push('\n');
}

/// What is not part of the account; None if there is nothing.
pub(crate) fn not_counted(it: &NotCounted) -> Option<String> {
    let counts = [
        (it.warm_up, "warm-up request", "warm-up requests"),
        (it.health_checks, "health check", "health checks"),
        (it.others, "request of others", "requests of others"),
        (it.unexplained, "unexplained record", "unexplained records"),
        (it.experiments, "error in experiments", "errors in experiments"),
    ];
    let some = counts.iter().filter(|(count, ..)| *count > 0);
    let mut texts: Vec<String> = some
        .map(|(count, one, many)| format!("{} {}", grouped(*count), if *count == 1 { one } else { many }))
        .collect();
    if let (Some(warm_up), true) = (texts.first_mut(), it.warm_up_errors > 0) {
        *warm_up += &format!(" ({})", count_of(it.warm_up_errors, "error"));
    }
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// What shares are of: where balancers try elsewhere, or ask another one for the page of an error, it is not all that a backend got.
pub(crate) fn counted_in(check: &Check, shares: &Shares) -> &'static str {
    let is_tried_elsewhere = |it: &OutcomeCount| matches!(it.outcome, Outcome::Retried | Outcome::Duplicated);
    let is_more = check.account.outcomes.iter().any(is_tried_elsewhere)
        || check.findings.iter().any(|finding| matches!(finding.facts, Facts::Retried(_)));
    match shares.unit {
        Unit::Requests if is_more => "first attempts",
        unit => unit.name(),
    }
}

fn shares(out: &mut String, (shares, unit): (&Shares, &str), expected: &str, style: &Style) {
    /// What follows a name and its bar.
    const FIGURES: usize = 2 + 2 + 2 + 8 + 2 + 11;
    /// The shortest bar.
    const LEAST: usize = 8;
    let title = style.title("Shares");
    let length = "Shares of , ".len() + unit.chars().count() + expected.chars().count();
    match expected.split_once(": ").filter(|_| length > style.width) {
        // Names and weights of many backends.
        Some((what, list)) => {
            let _ = writeln!(out, "{title} of {unit}, {what}:");
            let list = list.split(',').map(str::trim).collect::<Vec<_>>().join(", ");
            out.push_str(&wrapped("  ", &list, style.width));
        }
        None => {
            let _ = writeln!(out, "{title} of {unit}, {expected}");
        }
    }
    let most = shares.rows.iter().map(|row| row.share.max(row.expected.unwrap_or(0.0))).fold(0.01, f64::max);
    let width = shares.rows.iter().map(|row| harmless(&row.backend).chars().count()).max().unwrap_or(0);
    // A name that leaves no room for a bar has a line of its own.
    let is_long = FIGURES + width + LEAST > style.width;
    let width = if is_long { 0 } else { width };
    let bar = style.width.saturating_sub(FIGURES + width).clamp(LEAST, 40);
    let columns = |share: f64| (share / most * bar as f64).round() as usize;
    const ROWS: usize = 20;
    for row in shares.rows.iter().take(ROWS) {
        let filled = columns(row.share);
        let mark = row.expected.map(columns);
        let cell = |column: usize| match (column < filled, mark) {
            (_, Some(mark)) if mark > 0 && column == mark - 1 => '┃',
            (true, _) => '█',
            (false, _) => '·',
        };
        let bar: String = (0..bar).map(cell).collect();
        let mut name = harmless(&row.backend);
        if is_long {
            let _ = writeln!(out, "  {}", std::mem::take(&mut name));
        }
        let _ = writeln!(out, "  {name:<width$}  {bar}  {:>8}  {:>11}", percent(row.share), grouped(row.count));
    }
    if shares.rows.len() > ROWS {
        let _ = writeln!(out, "  … and {} more", shares.rows.len() - ROWS);
    }
    if let Some(test) = &shares.test {
        let _ = writeln!(
            out,
            "  detects deviations ≥ {:.2} pp; false-positive rate {}",
            (test.detects * 100.0).max(0.01),
            false_positives(test.false_alarm)
        );
    }
}

/// A rate; 0 for what is no matter of chance.
pub(crate) fn false_positives(rate: f64) -> String {
    if rate > 0.0 { format!("{rate:.0e}") } else { "0".to_owned() }
}

/// How many rotations take part, in words.
pub(crate) fn rotations(count: Option<u32>) -> String {
    match count {
        Some(1) => ", 1 rotation".to_owned(),
        Some(count) => format!(", at least {count} independent rotations"),
        None => String::new(),
    }
}

fn algorithm(out: &mut String, check: &Check, style: &Style) {
    let Some(algorithm) = &check.algorithm else { return };
    let label = format!("{}{}", harmless(&algorithm.label), rotations(algorithm.rotations));
    out.push_str(&style.sentence(0, "Algorithm  ", "1", &label));
    if !algorithm.or.is_empty() {
        out.push_str(&wrapped("  also fits: ", &algorithm.or.join(", "), style.width));
    }
    if style.is_verbose() || check.verdict != Verdict::Pass {
        for line in &algorithm.evidence {
            out.push_str(&wrapped("  · ", &harmless(line), style.width));
        }
    }
    if let Some(hint) = &algorithm.hint {
        out.push_str(&wrapped("  hint: ", hint, style.width));
    }
}

fn latency(out: &mut String, check: &Check, style: &Style) {
    let Some(latency) = &check.latency else { return };
    let title = if latency.open_loop { "Latency, open loop" } else { "Latency, closed loop" };
    let gap = " ".repeat(21 - title.len());
    // What a narrow terminal has no room for, the most dispensable first.
    const DISPENSABLE: [&str; 3] = ["p99.99", "p99.9", "p90"];
    let missing = (17 + 6 * 10usize).saturating_sub(style.width).div_ceil(10).min(DISPENSABLE.len());
    let all = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let shown = all.map(|column| !DISPENSABLE[..missing].contains(&column));
    let line = |cells: [String; 6]| -> String {
        cells.into_iter().zip(shown).filter(|(_, shown)| *shown).map(|(cell, _)| format!("{cell:>10}")).collect()
    };
    let heads = line(all.map(str::to_owned));
    let _ = writeln!(out, "{}{gap}{}", style.title(title), &heads[4..]);
    let mut row = |name: &str, it: &Percentiles| {
        let cells = line(it.columns().map(time));
        let _ = writeln!(out, "  {name:<15}{cells}");
    };
    row("client", &latency.client);
    if let Some(backend) = &latency.backend {
        row("backend", backend);
    }
    if let Some(between) = &latency.between {
        row("network+proxy", between);
    }
    if let Some(slow) = slow_backends(latency) {
        out.push_str(&wrapped("  ", &harmless(&slow), style.width));
    }
    if style.is_verbose() {
        let _ = writeln!(out, "  {}", loop_note(latency.open_loop));
    }
    out.push('\n');
}

/// Whether latencies include the time that a late request waited.
pub(crate) fn loop_note(open_loop: bool) -> &'static str {
    if open_loop {
        "open loop: measured from when each request was due"
    } else {
        "closed loop: slow responses delay later requests; use --rate to avoid it"
    }
}

fn outage(out: &mut String, outage: &Outage, style: &Style) {
    let retries =
        if outage.retries == 1 { "1 retry".to_owned() } else { format!("{} retries", grouped(outage.retries)) };
    let twice = match outage.double_executions {
        0 => String::new(),
        count => format!(", {} executed more than once", grouped(count)),
    };
    let errors = count_of(outage.client_errors, "client error");
    out.push_str(&style.sentence(0, "Outage  ", "1", &format!("{errors}, {retries}{twice}")));
    for step in &outage.steps {
        let result = step.result.as_ref().map(|result| format!(" ({})", harmless(result))).unwrap_or_default();
        let at = format!("  at {:>7}  ", format!("{:.2} s", step.at));
        out.push_str(&wrapped(&at, &format!("{}{result}", harmless(&step.what)), style.width));
    }
    for backend in &outage.backends {
        let name = format!("  {}: ", harmless(&backend.backend));
        if backend.received_before == 0 {
            let _ = writeln!(out, "{name}no traffic before, so none could be lost");
            continue;
        }
        let back = backend
            .back_after
            .map_or("not back by the end".to_owned(), |seconds| format!("back {} after its mend", time(seconds)));
        let stopped = traffic_meanwhile(backend);
        let traffic = stopped.map_or_else(|| "traffic continued".to_owned(), |stopped| format!("{stopped}, {back}"));
        let errors = count_of(backend.client_errors, "client error");
        out.push_str(&wrapped(&name, &format!("{traffic}, {errors} meanwhile"), style.width));
    }
    out.push('\n');
}

fn finding(out: &mut String, finding: &Finding, style: &Style) {
    let (word, code) = match finding.level {
        Level::Pass => ("pass", "32"),
        Level::Note => ("note", "36"),
        Level::Inconclusive => ("INCONCLUSIVE", "1;33"),
        Level::Fail => ("FAIL", "1;31"),
    };
    let label = format!("{word} {}: ", finding.rule().id());
    out.push_str(&style.sentence(0, &label, code, &harmless(finding.summary())));
    let Some(prose) = &finding.prose else { return };
    let shown = match finding.level {
        Level::Inconclusive | Level::Fail => prose.evidence.clone(),
        Level::Pass | Level::Note if style.is_verbose() => prose.evidence.clone(),
        // One request shows what is meant.
        Level::Note => finding.witness.first().map(describe_witness).into_iter().collect(),
        Level::Pass => Vec::new(),
    };
    for EvidenceLine { line, parts } in &shown {
        out.push_str(&wrapped("  ", &harmless(line), style.width));
        parts.iter().for_each(|part| out.push_str(&wrapped("    ", &harmless(part), style.width)));
    }
    if let (Some(hint), true) = (&prose.hint, finding.level > Level::Pass) {
        out.push_str(&wrapped("  hint: ", &harmless(hint), style.width));
    }
    if let (Some(source), true) = (&prose.source, finding.level >= Level::Inconclusive) {
        out.push_str(&wrapped("  see: ", source, style.width));
    }
}
