//! `check --dry-run`: what would be run and expected, in words.

use std::fmt::Write;
use std::time::Duration;

use crate::check::plan::{CheckPlan, Experiments};
use crate::escape::harmless;
use verdict::numbers::{grouped, time};
use verdict::outcome::Outcome;

/// Each plan; `with` is the balancer that would be started.
pub(super) fn describe(plans: &[CheckPlan], with: Option<&str>) -> String {
    let mut out = String::new();
    for plan in plans {
        let name = plan.name.as_deref().map(|name| format!(" {}", harmless(name))).unwrap_or_default();
        let _ = writeln!(out, "check{name}");
        let mut line = |label: &str, text: &str| {
            let _ = writeln!(out, "  {label:<13}{text}");
        };
        match with {
            Some(with) => line("balancer", &format!("{with}, started with a fleet for this check")),
            None => line("balancer", &plan.target.urls().collect::<Vec<_>>().join(", ")),
        }
        line("requests", &requests(plan));
        line("experiments", &experiments(plan.load.experiments));
        line("expected", &describe_expected(plan, with));
        for step in &plan.scenario.steps {
            line("outage", &format!("at {} {step}", seconds(step.at)));
        }
    }
    out + "nothing was run\n"
}

fn seconds(duration: Duration) -> String {
    time(duration.as_secs_f64())
}

fn requests(plan: &CheckPlan) -> String {
    let CheckPlan { load, request, expectations, .. } = plan;
    let count = match (load.requests, load.duration) {
        (Some(count), _) => format!("{} ", grouped(count)),
        (None, Some(_)) => String::new(),
        (None, None) => format!("as many as detect {} pp, ", expectations.tolerance * 100.0),
    };
    let pace = match plan.sample_rate() {
        Some(rate) => format!("{rate} req/s"),
        None => format!("{} connections", plan.connections_at_once()),
    };
    let duration = load.duration.map(|it| format!(", for {}", seconds(it))).unwrap_or_default();
    let budget = load.budget.map(|it| format!(", {} at most in all", grouped(it))).unwrap_or_default();
    let bodies = match request.bodies.len() {
        0 => String::new(),
        1 => ", with a body".to_owned(),
        some => format!(", with {some} bodies in sequence"),
    };
    format!("{count}{}{bodies}, {pace}{duration}{budget}", request.method)
}

fn experiments(experiments: Experiments) -> String {
    match experiments {
        Experiments::Usual => "to find out the algorithm, 30 s at most".to_owned(),
        Experiments::Off => "none".to_owned(),
        Experiments::For(time) => format!("to find out the algorithm, {} at most", seconds(time)),
    }
}

fn describe_expected(plan: &CheckPlan, with: Option<&str>) -> String {
    let it = &plan.expectations;
    let mut all = Vec::new();
    all.extend(it.shares.as_ref().map(|weights| format!("shares {weights}")));
    all.extend(it.algorithm.map(|algorithm| algorithm.name().to_owned()));
    all.extend(it.backups.iter().map(|name| format!("backup {name}")));
    all.extend(it.lossless.filter(|on| *on).map(|_| "lossless".to_owned()));
    all.extend(it.required.iter().map(ToString::to_string));
    match with {
        Some(with) if it.shares.is_none() || it.algorithm.is_none() => {
            all.push(format!("what {with} is configured to do"));
        }
        None if it.shares.is_none() => all.push("the shares that the algorithm promises".to_owned()),
        Some(_) | None => {}
    }
    if !it.allowed.is_empty() {
        all.push(format!("allowed: {}", it.allowed.iter().map(|it| Outcome::name(*it)).collect::<Vec<_>>().join(" ")));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::plan::Backing;

    #[test]
    fn a_plan_is_told_without_running_it() {
        let mut plan = CheckPlan::new("http://localhost:8080/uuid".to_owned(), Backing::Any);
        plan.scenario = "kill:9002@2s".parse().unwrap();
        plan.expectations.algorithm = Some(verdict::algorithm::Algorithm::RoundRobin);
        let text = describe(&[plan.clone()], None);
        for part in [
            "check\n  balancer     http://localhost:8080/uuid\n",
            "requests     as many as detect 2 pp, GET, 500 req/s\n",
            "expected     round-robin, the shares that the algorithm promises\n",
            "outage       at 2.00 s kill 9002\n",
            "nothing was run\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        plan.name = Some("a".to_owned());
        assert!(describe(&[plan], Some("nginx")).starts_with("check a\n  balancer     nginx, started with a fleet"));
    }
}
