//! Announces to a fleet how its check goes: its live view shows that.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::check::watch::CheckWatch;
use crate::remote::Remote;
use crate::wire::{CheckNews, CheckResult, LatencyPercentiles};
use verdict::finding::Level;
use verdict::report::{Check, Percentiles, Verdict};

const EVERY: Duration = Duration::from_millis(200);

/// Again and again, without end. A fleet that does not hear is no reason to fail.
pub(crate) async fn progress(remote: Option<&Remote>, url: &str, watch: &CheckWatch) {
    let Some(remote) = remote else { return std::future::pending().await };
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        let phase = watch.phase.lock().map(|phase| (*phase).to_owned()).unwrap_or_default();
        let (sent, total) = (watch.progress.sent(), watch.total.load(Ordering::Relaxed));
        let news = CheckNews { url: url.to_owned(), phase, sent, total, ..CheckNews::default() };
        let _ = remote.checks(&news).await;
    }
}

pub(crate) async fn result(remote: &Remote, check: &Check) {
    let result = Some(shape(check));
    let sent = check.traffic.requests;
    let news = CheckNews { url: check.url.clone(), sent, total: sent, result, ..CheckNews::default() };
    let _ = remote.checks(&news).await;
}

pub(crate) async fn error(remote: &Remote, url: &str, error: &anyhow::Error) {
    let news = CheckNews { url: url.to_owned(), error: Some(format!("{error:#}")), ..CheckNews::default() };
    let _ = remote.checks(&news).await;
}

fn percentiles(seconds: &Percentiles) -> LatencyPercentiles {
    let [p50, p90, p99, p99_9] =
        [seconds.p50, seconds.p90, seconds.p99, seconds.p99_9].map(|it| (it * 1e6).round() as u64);
    LatencyPercentiles { p50, p90, p99, p99_9 }
}

fn shape(check: &Check) -> CheckResult {
    let said = |outcome| match outcome {
        Level::Pass => "pass",
        Level::Note => "note",
        Level::Inconclusive => "inconclusive",
        Level::Fail => "fail",
    };
    let verdict = match check.verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Fail => "fail",
    };
    let findings = check.findings.iter();
    CheckResult {
        verdict: verdict.to_owned(),
        algorithm: check.algorithm.as_ref().map(|algorithm| algorithm.label.clone()),
        sent: check.account.sent,
        client: check.latency.as_ref().map(|latency| percentiles(&latency.client)),
        outcomes: check.account.outcomes.iter().map(|it| (it.outcome.name().to_owned(), it.count)).collect(),
        findings: findings
            .map(|it| {
                let hint = it.prose.as_ref().and_then(|prose| prose.hint.clone());
                (said(it.level).to_owned(), it.summary().to_owned(), hint)
            })
            .collect(),
    }
}
