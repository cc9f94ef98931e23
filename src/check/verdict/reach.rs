//! PURE. The rule of reach: every backend that is ready gets something, and a backup nothing.

use crate::check::algorithm::Kind;
use crate::check::fate::Fate;
use crate::check::report::{Finding, Outcome};
use crate::check::verdict::{Case, Drill, FALSE_ALARM, finding};
use crate::numbers::{count_of, grouped};

/// Which backends never got a request, and which got one though they are backups.
pub fn judge(case: &Case) -> Vec<Finding> {
    let expected_one = case.expectations.algorithm == Some(Kind::One);
    if case.drill != Drill::None || expected_one || !case.has_records() || case.members < 2 {
        return Vec::new();
    }
    let said = case.expectations.shares.is_some();
    let expected = case.expectations.shares(&case.names[..case.members]).ok().filter(|_| said);
    let takes_part = |place: &usize| case.expectations.takes_part(&case.names[*place]);
    let wanted = |place: &usize| takes_part(place) && expected.as_ref().is_none_or(|shares| shares[*place] > 0.0);
    let got = |place: &usize| case.tally.by_backend.get(*place).copied().unwrap_or(0);
    let names =
        |places: &[usize]| places.iter().map(|place| case.names[*place].as_str()).collect::<Vec<_>>().join(", ");
    let verb = |places: &[usize]| if places.len() == 1 { "is" } else { "are" };
    let (takers, backups): (Vec<usize>, Vec<usize>) = (0..case.members).partition(takes_part);
    let mut findings = Vec::new();
    let early: Vec<usize> = backups.iter().copied().filter(|place| got(place) > 0).collect();
    if !early.is_empty() {
        let requests: u64 = early.iter().map(got).sum();
        let disturbed =
            [Fate::Retried, Fate::Lost, Fate::Unserved, Fate::Balancer].map(|fate| case.tally.of_fate(fate));
        // Where others failed, backups had to help.
        let outcome = if disturbed.iter().sum::<u64>() > 0 { Outcome::Inconclusive } else { Outcome::Fail };
        let summary = format!(
            "{} {} expected to get nothing while others can, and got {}",
            names(&early),
            verb(&early),
            count_of(requests, "request")
        );
        let mut found = finding("backups", outcome, summary);
        found.hint = Some("is it marked as `backup`, and does the running configuration say so (reload)?".to_owned());
        findings.push(found);
    }
    let missed: Vec<usize> = takers.into_iter().filter(wanted).filter(|place| got(place) == 0).collect();
    if missed.is_empty() {
        let summary = match (backups.as_slice(), early.is_empty()) {
            ([], _) | (_, false) => format!("all {} backends were reached", case.members),
            (backups, true) => format!("all backends were reached that should be, and not {}", names(backups)),
        };
        findings.push(finding("reach", Outcome::Pass, summary));
        return findings;
    }
    // How likely chance alone misses one that has an even share, or the one it should have.
    let pins = case.inference.kind.is_some_and(Kind::pins);
    let draws = if pins { case.tally.pins.clients } else { case.tally.attempts };
    let share = |place: usize| expected.as_ref().map_or(1.0 / case.members as f64, |shares| shares[place]);
    let chance =
        missed.iter().map(|place| (1.0 - share(*place)).powf(draws as f64)).fold(0.0, f64::max) * case.members as f64;
    let outcome = if chance < FALSE_ALARM / 10.0 { Outcome::Fail } else { Outcome::Inconclusive };
    let summary = format!("{} {} ready and never got a request", names(&missed), verb(&missed));
    let mut found = finding("reach", outcome, summary);
    let what = if pins { "clients got answers" } else { "requests reached backends" };
    let chance = if chance < 1e-12 { "less than 1e-12".to_owned() } else { format!("{:.1e}", chance.min(1.0)) };
    found.evidence = vec![format!("{} {what}; the probability that chance alone misses one: {chance}", grouped(draws))];
    found.hint = Some(match case.inference.kind {
        Some(Kind::One) => "everything went to one backend: are the others in the upstream, and not `backup` or `down`?".to_owned(),
        _ => "is it in the balancer's configuration, with that port, and does the running configuration have it (reload)?".to_owned(),
    });
    findings.push(found);
    findings
}
