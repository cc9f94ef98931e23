//! What the ledger means: the judgement of one rule or one family of rules a file. Their facts and descriptions stand in `facts`.

mod account;
mod algorithm;
mod around;
mod backups;
mod case;
mod client_address;
mod configured;
mod connections;
mod copies;
mod expectations;
mod extent;
mod fleets;
mod forwarding;
mod given_up;
mod identity;
mod idle;
mod limit;
mod queue;
mod reach;
mod records;
mod recovery;
mod requests;
mod requirement;
mod resilience;
mod responses;
mod rotation;
mod share_test;
mod shares;
mod split;
mod stickiness;
mod streams;
mod subrequests;
mod tls;
#[cfg(test)]
mod trial;
mod unit;
mod way_fields;

pub use crate::facts::identity::{IdentitySource, SharedCounter};
use crate::finding::{Facts, Finding, Witness};
use crate::observation::Backend;
use crate::report::{Outage, Shares, Verdict};
pub use case::{AVOIDED, Case, DETECTION, Drill, Urls};
pub use expectations::{ConfiguredResponses, Expectations, ExpectedGroup, ExpectedWeights, FALSE_ALARM};
pub use forwarding::describe as describe_forwarding;
pub use requirement::{RequiredUnit, Requirement, TlsRequirement};
pub use share_test::{is_certain, needed_of_rotation};

/// Applies all rules: the findings, the worst first, the shares, and the verdict.
pub fn judge(case: &Case, outage: Option<&Outage>) -> (Vec<Finding>, Option<Shares>, Verdict) {
    let expectations = without_mirrors(case);
    let case = &Case { expectations: &expectations, sample: case.sample.clone(), ..*case };
    if case.streams.is_some() {
        return judge_streams(case, outage);
    }
    let (shares, share_findings) = shares::judge(case);
    let mut findings: Vec<Finding> = records::judge(case).into_iter().collect();
    findings.extend(fleets::judge(case));
    findings.extend(identity::judge(case));
    findings.extend(limit::judge(case));
    findings.extend(account::judge(case));
    findings.extend(subrequests::judge(case));
    findings.extend(copies::judge(case));
    findings.extend(requests::judge(case));
    findings.extend(client_address::judge(case));
    findings.extend(way_fields::judge(case));
    findings.extend(responses::judge(case));
    findings.extend(reach::judge(case));
    findings.extend(backups::judge(case));
    findings.extend(share_findings);
    findings.extend(split::judge(case));
    findings.extend(algorithm::judge(case));
    findings.extend(rotation::judge(case));
    findings.extend(unit::judge(case));
    findings.extend(stickiness::judge(case, outage));
    findings.extend(resilience::judge(case, outage));
    resilience::absorb_losses(case, &mut findings);
    backups::absorb_shares(&mut findings);
    findings.extend(recovery::judge(case, outage));
    findings.extend(connections::judge(case));
    findings.extend(given_up::judge(case));
    findings.extend(tls::judge(case));
    configured::soften(case, &mut findings);
    fleets::soften(case, &mut findings);
    records::soften(case, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    show_orders_once(&mut findings);
    let verdict = Verdict::of(&findings);
    (findings, shares, verdict)
}

/// Streams are held, not sent one after the other: what is said of the order and the shares of requests is not said of them.
fn judge_streams(case: &Case, outage: Option<&Outage>) -> (Vec<Finding>, Option<Shares>, Verdict) {
    let mut findings: Vec<Finding> = records::judge(case).into_iter().collect();
    findings.extend(fleets::judge(case));
    findings.extend(account::judge(case));
    findings.extend(copies::judge(case));
    findings.extend(requests::judge(case));
    findings.extend(client_address::judge(case));
    findings.extend(responses::fields(case));
    findings.extend(streams::judge(case));
    findings.extend(resilience::judge_steps(case, outage));
    findings.extend(connections::judge(case));
    findings.extend(tls::judge(case));
    // The handshake is what was refused.
    if findings.iter().any(|finding| matches!(finding.facts, Facts::Upgrade(_))) {
        findings.retain(|finding| !matches!(finding.facts, Facts::Statuses(_) | Facts::Balancer(_)));
    }
    configured::soften(case, &mut findings);
    fleets::soften(case, &mut findings);
    records::soften(case, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let verdict = Verdict::of(&findings);
    (findings, None, verdict)
}

/// Shares and reach are shown by the same order: it stands with the first of them.
fn show_orders_once(findings: &mut [Finding]) {
    let mut shown: Vec<Witness> = Vec::new();
    for finding in findings {
        finding.witness.retain(|witness| !shown.contains(witness));
        shown.extend(finding.witness.iter().filter(|it| matches!(it, Witness::Order { .. })).cloned());
    }
}

/// A backend that gets copies, or is only asked before requests are passed on, has no share, and need not be reached.
fn without_mirrors(case: &Case) -> Expectations {
    let mut expectations = case.expectations.clone();
    let is_mirror = |place: &usize| {
        let backend = Backend(*place as u16);
        case.ledger.is_mirror(backend) || case.ledger.gets_subrequests_alone(backend)
    };
    let mirrors = (0..case.names.len()).filter(is_mirror).map(|place| case.names[place].clone());
    expectations.backups.extend(mirrors);
    expectations
}
