//! The phrases of how the balancer selects: shares, reach, rotation, unit.

use verdict::BadCertificate;
use verdict::algorithm::Selection;
use verdict::facts::shares::{Conclusion, SamplePart, Unproven};
use verdict::facts::split::{GroupShare, SplitConclusion, SplitFacts};
use verdict::facts::unit::{BalancingUnit, UnitFacts, UnknownUnit};
use verdict::facts::{identity, reach, rotation, shares};
use verdict::finding::Level;
use verdict::numbers::{count_of, grouped, percent};
use verdict::report::{ShareTest, SharesSource, Test};

use super::phrase::{Phrase, gave_up, listed};
use super::selection::selection;
use super::tls::with_article;
use crate::balancer::Balancer;
use crate::report::hints;

pub(super) fn identity(facts: &identity::IdentityFacts) -> Phrase {
    let place = &facts.place;
    let shared = facts.shared.first().map_or_else(String::new, counter);
    match facts.count {
        0 => Phrase::of(format!("no response names its backend at {place}"))
            .try_this("--identity says where responses have the name of their backend"),
        1 => Phrase::of(format!(
            "every response has the same name at {place} ({}): one name tells no backend from another{shared}",
            listed(&facts.values)
        ))
        .try_this(
            "if several backends respond, their names are elsewhere: leave out --identity, and the check looks for them",
        ),
        count => {
            let more = if count > facts.values.len() as u64 { ", …" } else { "" };
            let phrase = Phrase::of(format!(
                "backends are distinguished by {place}: {} ({}{more}){shared}",
                count_of(count, "name"),
                facts.values.join(", ")
            ));
            if !facts.named {
                phrase.try_this(format!("the check guessed this place: confirm it with --identity '{place}'"))
            } else if !shared.is_empty() {
                phrase.try_this(
                    "shares are of names: give each process its own name, unless that counter is per connection",
                )
            } else {
                phrase
            }
        }
    }
}

/// Where a name goes with several counts at once.
fn counter(shared: &identity::SharedCounter) -> String {
    let values: Vec<String> = shared.values.iter().map(u64::to_string).collect();
    let processes = grouped(shared.processes);
    format!("; {} may be {processes} processes: {} goes {}, …", shared.name, shared.place, values.join(", "))
}

pub(super) fn shares(facts: &shares::ShareFacts, level: Level, is_limited: bool, product: Option<Balancer>) -> Phrase {
    let unit = facts.unit.name();
    let widest = facts.widest.as_ref().map_or_else(String::new, |row| {
        let instead = row.expected.map_or_else(String::new, |expected| format!(" instead of {}", percent(expected)));
        format!("{} got {}{instead}", row.backend, percent(row.share))
    });
    let phrase = match &facts.conclusion {
        Conclusion::AsExpected => as_expected(facts),
        Conclusion::Deviates => deviating(facts, &widest),
        Conclusion::Disturbed => disturbed(facts, widest, is_limited, product),
        Conclusion::Avoided => Phrase::of(format!(
            "{widest}, while backends failed, or were avoided because they had failed shortly before"
        ))
        .try_this(left_out_for_a_time(product)),
        Conclusion::OutageThroughout => Phrase::of(format!(
            "shares of {unit} cannot be judged: no requests that count were sent after everything had recovered"
        ))
        .try_this(
            "begin the outage later, end it, and let the sample go on after that with a longer --duration: until the balancer must \
             have noticed, which is a minute, or what --from FILE says",
        ),
        Conclusion::TooFew => too_few(facts, is_limited),
        Conclusion::Unproven(why) => unproven(facts, *why, &widest, product),
        Conclusion::NotPromised => {
            let selection = selection(&facts.selection);
            Phrase::of(format!("shares of {unit} are not judged: the algorithm guarantees none ({selection})"))
        }
        Conclusion::NotUnderstood(lines) => {
            Phrase::of("shares are not judged: what decides about them is not understood".to_owned())
                .because(lines.clone())
        }
        Conclusion::Misfit(why) => misfitting(&facts.expected, why),
        Conclusion::LeftOut(names) => left_out(facts, names),
        Conclusion::Unlisted(names) => Phrase::of(format!(
            "{} got requests, and the configuration {}",
            listed(names),
            if names.len() == 1 { "has no such server" } else { "has no such servers" }
        ))
        .try_this(
            "the balancer may run another file than --from names (was it reloaded?), or the URL may lead to another \
             group of its servers (--upstream)",
        ),
    };
    let phrase = match facts.part {
        None => phrase,
        Some(SamplePart::Before) => Phrase { summary: format!("before the first step {}", phrase.summary), ..phrase },
        Some(SamplePart::After) => Phrase { summary: format!("after the last step {}", phrase.summary), ..phrase },
    };
    match &facts.test {
        Some(test) if level > Level::Pass => {
            let result = test_result(test, facts.total, unit);
            // Those that failed are left out of the comparison.
            let of_others = matches!(facts.conclusion, Conclusion::Disturbed | Conclusion::Avoided);
            phrase.because(vec![if of_others { format!("of the other backends: {result}") } else { result }])
        }
        _ => phrase,
    }
}

const FAILED: &str = "backends failed, or requests reached none: who fails gets less, and others more";

fn left_out_for_a_time(product: Option<Balancer>) -> String {
    let how_long = hints::of_avoidance(None, product);
    format!("a balancer keeps away from what failed {how_long}: repeat the check with healthy backends")
}

/// Why these expected weights do not fit the backends.
pub(crate) fn misfit(expected: impl std::fmt::Display, why: &shares::Misfit) -> String {
    match why {
        shares::Misfit::OtherNumber { weights, backends } => {
            let (count, names) = (backends.len(), backends.join(", "));
            format!("{expected} has {weights} weights, and there are {count} backends: {names}")
        }
        shares::Misfit::NoSuchBackend { name, backends } => {
            format!("{expected}: there is no backend {name}, only {}", backends.join(", "))
        }
        shares::Misfit::NobodyTakesPart => {
            format!("{expected}: all backends are backups, or are expected to get nothing")
        }
    }
}

fn misfitting(expected: &str, why: &shares::Misfit) -> Phrase {
    let phrase = Phrase::of(misfit(expected, why));
    match why {
        // A fleet of ours is refused before.
        shares::Misfit::NoSuchBackend { backends, .. } => {
            let weights: Vec<String> = backends.iter().map(|name| format!("{name}=WEIGHT")).collect();
            phrase.try_this(format!(
                "backends that are not ours are called as their responses call them: --expect {}",
                weights.join(",")
            ))
        }
        shares::Misfit::OtherNumber { .. } | shares::Misfit::NobodyTakesPart => phrase,
    }
}

fn as_expected(facts: &shares::ShareFacts) -> Phrase {
    let deviation = facts.widest.as_ref().map_or(0.0, |row| row.share - row.expected.unwrap_or_default());
    let expected = &facts.expected;
    let interval = facts.widest.as_ref().and_then(|row| Some((&row.backend, row.interval?)));
    let interval = interval.map_or_else(String::new, |(backend, (low, high))| {
        format!("; {backend}'s share is in {}–{} (99.9 % confidence)", percent(low), percent(high))
    });
    Phrase::of(format!("shares are {expected}: largest deviation {:.2} pp{interval}", deviation.abs() * 100.0))
}

fn follows_load(selection: &Selection) -> bool {
    matches!(selection, Selection::ByLoad { .. } | Selection::ByLoadOfEachWorker { .. })
        || matches!(selection, Selection::Named { algorithm } if algorithm.follows_load())
}

fn deviating(facts: &shares::ShareFacts, widest: &str) -> Phrase {
    let hint = match &facts.seen_weights {
        Some(weights) => format!("if these weights are meant, use --expect {weights}"),
        None if follows_load(&facts.selection) => {
            "the balancer looks at the load: a backend that is slower, or has more in \
                 flight, gets less; if that is meant, use --expect with the algorithm's name instead of shares"
                .to_owned()
        }
        None => "compare the weights in the balancer's configuration with --expect, and check that each \
                 server is listed once"
            .to_owned(),
    };
    let summary = format!("shares are not as expected: {widest}");
    match facts.stopped {
        None => Phrase::of(summary).try_this(hint),
        Some(since) => Phrase::of(format!(
            "{summary}; it got its share until {since:.1} s into the sample, and nothing since"
        ))
        .try_this(
            "it was taken out of the rotation then: drained, left out by a reload, or unhealthy to the balancer; if \
             nobody did that, the balancer forgot it",
        ),
    }
}

fn left_out(facts: &shares::ShareFacts, names: &[String]) -> Phrase {
    let had = facts.widest.as_ref().map_or_else(String::new, |row| percent(row.share));
    let since = facts.stopped.unwrap_or_default();
    let (each, them) = if names.len() == 1 { ("", "it") } else { ("each ", "them") };
    Phrase::of(format!(
        "{} {each}got {had} of the {} before the first step, and nothing after {since:.1} s, though nothing was done to {them}",
        listed(names),
        facts.unit.name()
    ))
    .try_this(format!(
        "if the command was meant to take {them} out, give the balancer's new configuration with --from, which then lacks {them}; if \
         not, that configuration or the balancer forgot {them}"
    ))
}

/// Shares that failures may have moved.
fn disturbed(facts: &shares::ShareFacts, widest: String, is_limited: bool, product: Option<Balancer>) -> Phrase {
    let unit = facts.unit.name();
    let widest_row = facts.widest.as_ref();
    let visible =
        widest_row.is_some_and(|row| row.expected.is_some_and(|expected| (row.share - expected).abs() >= 0.00005));
    let what = if visible { widest } else { format!("shares of {unit} cannot be judged") };
    let (meanwhile, hint) = if is_limited {
        ("a limit refused requests", BELOW_THE_LIMIT.to_owned())
    } else if widest_row.is_some_and(|row| row.count == 0) {
        (FAILED, left_out_for_a_time(product))
    } else {
        (FAILED, "repeat the check with healthy backends".to_owned())
    };
    let phrase = Phrase::of(format!("{what}, while {meanwhile}"));
    match facts.given_up {
        0 => phrase.try_this(hint),
        requests => phrase.because(vec![gave_up(requests)]).try_this(hints::of_slow_backends(product)),
    }
}

const BELOW_THE_LIMIT: &str = "the limit refuses the others: stay below it";

/// Where a limit refuses the rest, more of them would not help.
fn too_few(facts: &shares::ShareFacts, is_limited: bool) -> Phrase {
    let unit = facts.unit.name();
    let detects = facts.test.as_ref().map_or(1.0, |test| test.detects) * 100.0;
    Phrase::of(format!("too few {unit}: {} detect deviations ≥ {detects:.1} pp", grouped(facts.total))).try_this(
        match facts.needed {
            _ if is_limited => BELOW_THE_LIMIT.to_owned(),
            // A rotation shows with few, if one knows that it is one.
            Some(_) if facts.selection == Selection::NotExamined => {
                "with experiments (no --no-experiments, a larger --budget) fewer show what the algorithm promises; or a larger -n".to_owned()
            }
            Some(needed) => format!(
                "about {} {unit} are enough: a larger -n or a longer --duration; or accept a coarser --tolerance",
                grouped(needed)
            ),
            None => "send more (a larger -n, more connections with -c, a longer --duration), or accept a coarser \
                     --tolerance"
                .to_owned(),
        },
    )
}

/// What is not even, why that proves nothing, and what would decide.
fn unproven(facts: &shares::ShareFacts, why: Unproven, widest: &str, product: Option<Balancer>) -> Phrase {
    let algorithm = selection(&facts.selection);
    let names: Vec<&str> = facts.without_promise.iter().map(|it| it.name()).collect();
    match why {
        Unproven::Algorithm => {
            let none = match names.as_slice() {
                [] => "the algorithm is not known, so none are promised".to_owned(),
                [one] => format!("{one} fits too, and promises none"),
                several => format!("{} fit too, and promise none", listed(several)),
            };
            let phrase = Phrase::of(format!("shares are not even: {widest}; {none}"));
            match &facts.seen_weights {
                Some(weights) => phrase.try_this(format!("if these weights are meant, use --expect {weights}; otherwise --expect even")),
                None => phrase.try_this("use --expect even to require even shares, or --expect with the algorithm's name"),
            }
        }
        Unproven::Ring => Phrase::of(format!(
            "shares are not even: {widest}; selection that draws from a hash ring ({algorithm}) has uneven arcs by design"
        ))
        .try_this("HAProxy's `random` does so; use --expect even to require even shares all the same"),
        Unproven::Weights => Phrase::of(format!("{algorithm}: the intended weights are not known")).try_this(
            match &facts.seen_weights {
                Some(weights) => format!("if these are meant, use --expect {weights}; otherwise --expect even"),
                None => "use --expect 5:1:1 or --expect even".to_owned(),
            },
        ),
        Unproven::Order => Phrase::of(format!(
            "shares are not even: {widest}; which attempt of some requests came first is not known"
        ))
        .try_this(
            "attempts at several hosts are closer than their clocks agree: check while no backend fails, or from a host nearer to them",
        ),
        Unproven::Copies => Phrase::of(format!(
            "shares are not even: {widest}; of requests that were executed more than once it is not known which attempt is the copy"
        ))
        .try_this("turn off the mirror, or whatever sends requests twice, and check again"),
        Unproven::Others => Phrase::of(format!(
            "shares are not even: {widest}; requests of others, which came meanwhile, may have had the turns that are missing"
        ))
        .try_this("check while nobody else sends anything, or with more connections (-c)"),
        Unproven::Load => {
            let or = if names.is_empty() { String::new() } else { format!(", and so do {}", listed(&names)) };
            Phrase::of(format!(
                "shares are not even under load: {widest}; one request after the other the rotation is exact"
            ))
            .try_this(format!(
                "a limit of connections (NGINX's `max_conns`) does so{or}; --expect even requires even shares all the same"
            ))
        }
        Unproven::Unready => Phrase::of(format!(
            "backends that were not ready, or not known, when the check began got requests: {widest} of what was ready"
        ))
        .try_this(hints::of_unready(
            "fleet ready NAME, or a health check of /readyz: without an active one a balancer does not look at readiness",
            product,
        )),
        Unproven::Unit => Phrase::of(format!(
            "shares of requests are not even: {widest}; whether connections or requests are balanced is not known"
        ))
        .try_this("use --new-connections, or give the experiments more time with --experiments-for"),
        Unproven::Urls => Phrase::of(format!(
            "shares of several URLs are not even: {widest}; the algorithm is known of the first URL alone"
        ))
        .try_this("check the URLs one by one, or use --expect even to require even shares over all of them"),
    }
}

/// What says which shares are expected.
pub(crate) fn shares_source(source: &SharesSource) -> &str {
    match source {
        SharesSource::Default => "default",
        SharesSource::User => "--expect",
        SharesSource::Topology => "the topology",
        SharesSource::File { name } => name,
    }
}

pub(super) fn split(facts: &SplitFacts) -> Phrase {
    let off = |group: &&GroupShare| (group.share - group.expected).abs();
    let widest = facts.groups.iter().max_by(|a, b| off(a).total_cmp(&off(b)));
    let widest = widest.map_or_else(String::new, |group| {
        format!("{} got {} instead of {}", group.group, percent(group.share), percent(group.expected))
    });
    let of_group =
        |group: &GroupShare| format!("{} {} (expected {})", group.group, percent(group.share), percent(group.expected));
    let got = facts.groups.iter().map(of_group).collect::<Vec<_>>().join(", ");
    let said_by = shares_source(&facts.expected_by);
    let phrase = match facts.conclusion {
        SplitConclusion::AsExpected => return Phrase::of(format!("each group got its part: {got}")),
        SplitConclusion::Deviates => Phrase::of(format!("the split is not as {said_by} says: {widest}"))
            .try_this("compare the weights that the balancer runs with: a controller may not have taken the file over yet"),
        SplitConclusion::TooFew => return too_few_to_split(facts),
        SplitConclusion::Disturbed => {
            Phrase::of(format!("the split cannot be judged: {widest}, while backends failed or requests reached none"))
                .try_this("repeat the check with healthy backends")
        }
        SplitConclusion::Elsewhere => {
            Phrase::of(format!("the split cannot be judged: requests reached backends of none of its groups ({got})"))
                .try_this("another rule of the file may lead there: name the one behind the URL with --upstream")
        }
        SplitConclusion::Unit => Phrase::of(format!(
            "the split of requests is not as {said_by} says: {widest}; whether connections or requests are divided is not known"
        ))
        .try_this("use --new-connections, or give the experiments more time with --experiments-for"),
        SplitConclusion::Urls => Phrase::of(format!(
            "the split over several URLs is not as {said_by} says: {widest}; another URL may lead to other groups"
        ))
        .try_this("check the URLs one by one"),
        SplitConclusion::Affinity => Phrase::of(format!(
            "the split is not as {said_by} says: {widest}; clients stay with a backend, so the number of clients decides"
        ))
        .try_this("turn off session affinity, or check with many clients"),
    };
    phrase.because(vec![test_result(&facts.test, facts.total, "requests")])
}

fn too_few_to_split(facts: &SplitFacts) -> Phrase {
    let detects = facts.test.detects * 100.0;
    let phrase = Phrase::of(format!(
        "too few requests to judge the split: {} detect deviations ≥ {detects:.1} pp",
        grouped(facts.total)
    ));
    match facts.needed {
        Some(needed) => phrase.try_this(format!("about {} requests are enough: a larger -n", grouped(needed))),
        None => phrase.try_this("send more: a larger -n or a longer --duration"),
    }
}

/// What a test of shares found, in figures.
pub(crate) fn test_result(test: &Test, total: u64, unit: &str) -> String {
    match test.method {
        ShareTest::BoundedDiscrepancy => format!(
            "largest deviation {:.1} of {} {unit} (limit for this rotation: {:.0})",
            test.deviation,
            grouped(total),
            test.bound.unwrap_or_default()
        ),
        ShareTest::Multinomial if total == 0 => format!("no {unit} to test"),
        ShareTest::Multinomial => format!(
            "χ² = {:.1}, p {} (limit: {:.0e})",
            test.chi_square.unwrap_or_default(),
            probability(test.p.unwrap_or(1.0), "= "),
            test.false_alarm
        ),
    }
}

/// After `equal`: `0.034`, `1.2e-7`; or `< 1e-12`, for nobody needs more, and the smallest ones are none that numbers have.
fn probability(p: f64, equal: &str) -> String {
    match p {
        ..1e-12 => "< 1e-12".to_owned(),
        ..1e-3 => format!("{equal}{p:.1e}"),
        _ => format!("{equal}{p:.3}"),
    }
}

pub(super) fn reach(facts: &reach::ReachFacts, product: Option<Balancer>) -> Phrase {
    if facts.missed.is_empty() {
        let count = facts.expected.len();
        return Phrase::of(match facts.excluded.as_slice() {
            [] => format!("all {count} backends were reached"),
            excluded => format!("all {count} active backends were reached, leaving out {}", listed(excluded)),
        });
    }
    let verb = if facts.missed.len() == 1 { "is" } else { "are" };
    if let Some(why) = facts.not_accepted.values().next()
        && facts.failed == facts.missed
    {
        let names: Vec<&String> = facts.not_accepted.keys().collect();
        let serves =
            |(name, bad): (&String, &BadCertificate)| format!("a fault has {name} serve {}", with_article(*bad));
        let mut evidence: Vec<String> = facts.bad_certificates.iter().map(serves).collect();
        evidence.push(format!("TLS handshakes with {} fail: {}", listed(&names), why.name()));
        return Phrase::of(format!("{} {verb} ready and never got a request", listed(&facts.missed)))
            .because(evidence)
            .try_this(if facts.bad_certificates.is_empty() {
                "the balancer does not accept the certificate: renew it, or have the balancer trust its authority and expect its name"
            } else {
                "the balancer is right not to accept the certificate: renew it; `fault clear` ends the fault"
            });
    }
    if facts.failed == facts.missed {
        let how_long = hints::of_avoidance(facts.avoids, product);
        return Phrase::of(format!("{} failed before, and got no request that counts", listed(&facts.missed)))
            .try_this(format!(
                "a balancer avoids a backend that failed or was too slow, {how_long}: clear its faults, wait, and check again"
            ));
    }
    let chance = probability(facts.chance, "");
    let (draws, unit) = (grouped(facts.draws), facts.unit.name());
    let mut why = vec![format!("{draws} {unit}; probability that chance alone misses one: {chance}")];
    if facts.reached_nobody > 0 {
        why.push(format!("{} reached no backend", count_of(facts.reached_nobody, "other request")));
    }
    Phrase::of(format!("{} {verb} ready and never got a request", listed(&facts.missed)))
        .because(why)
        .try_this(if facts.reached_nobody > 0 {
            "check its address in the balancer's configuration: what reached no backend may have been meant for it; one that is meant to \
             get nothing: --expect backup:NAME"
        } else if facts.may_be_chance() {
            "so few need not reach all backends: send more, with a larger -n"
        } else if facts.only_one && !facts.is_promised && facts.may_be_source {
            "everything went to one backend, and so it does where the source address decides: use a URL with 127.0.0.1 if the balancer is on \
             this machine, or send from several; otherwise the balancer does not use the others: --expect even requires all"
        } else if facts.only_one && !facts.is_promised {
            "everything went to one backend: either the balancer does not use the others (in the upstream? `backup` or `down`?), or \
             something that was not varied decides: --key-header and --key-cookie NAME try one, --expect even requires all"
        } else if !facts.is_promised {
            "if it is meant to get nothing, use --expect backup:NAME; if all are to get something, --expect even"
        } else if facts.only_one {
            "everything went to one backend: check that the others are in the upstream, not `backup` or `down`"
        } else {
            "check its address and its health check in the balancer's configuration, and that the running one has it (reload); left out on \
             purpose (backup, weight 0, another route): --expect backup:NAME, or --from the configuration"
        })
}

pub(super) fn rotation(facts: &rotation::RotationFacts, level: Level) -> Phrase {
    let facts = match facts {
        rotation::RotationFacts::Breaks(facts) => facts,
        rotation::RotationFacts::Bursts(seen) => {
            let seen = selection(seen);
            return Phrase::of(format!("requests in sequence: {seen}; neither rotations nor draws give that")).try_this(
                "several requests in a row hit one backend: by weights, such as Caddy's weighted_round_robin 10 10 10, or by a fault \
                 in the balancer's selection",
            );
        }
    };
    let often = match facts.every {
        Some(every) => format!("every {every} requests"),
        None => format!("{} in {}", count_of(facts.breaks, "time"), count_of(facts.requests, "request")),
    };
    let phrase =
        Phrase::of(format!("the rotation {} skips or repeats a turn {often}", facts.round.join(" "))).because(vec![
            format!(
                "no backend failed, nobody else sent requests, and nothing was in flight: {}",
                count_of(facts.breaks, "break")
            ),
        ]);
    match (level, facts.may_be_weights) {
        (Level::Fail, _) => phrase
            .try_this("round robin never skips a turn: look for a second rule, a script or a fault in the balancer"),
        (_, _) if facts.breaks == 1 => {
            phrase.try_this("more requests in sequence show whether it does so again: --experiments-for 2m")
        }
        (_, true) => phrase.try_this("weights that hardly differ (34:33:33) look like this: say them with --expect"),
        (_, false) => phrase.try_this("--expect round-robin makes this a failure"),
    }
}

pub(super) fn unit(facts: &UnitFacts, level: Level) -> Phrase {
    let required = facts.required.as_deref();
    let instead = match (required, level) {
        (Some(required), Level::Fail) => format!("; {required} was expected"),
        (Some(_) | None, _) => String::new(),
    };
    let (connections, requests) = (count_of(facts.connections, "connection"), count_of(facts.requests, "request"));
    match (facts.unit, facts.unknown) {
        (Some(BalancingUnit::Request), _) => {
            let phrase = Phrase::of(format!(
                "balanced per request: {} of {connections} met several backends in turn{instead}",
                grouped(facts.several)
            ))
            .because(vec![format!(
                "one connection carried {}, which met {}",
                count_of(facts.busiest, "request"),
                count_of(facts.busiest_met, "backend")
            )]);
            match level {
                Level::Fail => {
                    phrase.try_this("a proxy of layer 4 balances connections (NGINX `stream`, HAProxy `mode tcp`)")
                }
                Level::Pass | Level::Note | Level::Inconclusive => phrase,
            }
        }
        (Some(BalancingUnit::Connection), _) => {
            let each = facts.busiest / facts.backends.max(1);
            let chance = facts.chance.map_or_else(String::new, |it| format!("; by chance: {}", probability(it, "")));
            Phrase::of(format!(
                "balanced per connection: {connections}, {requests}, each connection met exactly one backend{instead}"
            ))
            .because(vec![format!(
                "one connection carried {}, all to one backend; per request each of {} would have about {}{chance}",
                count_of(facts.busiest, "request"),
                count_of(facts.backends, "backend"),
                grouped(each)
            )])
            .try_this(
                "a client that keeps one connection, as gRPC clients do, gets one backend: balance requests (NGINX `grpc_pass` or \
                 `proxy_pass`, HAProxy `mode http`), or have clients balance or reconnect",
            )
        }
        (None, Some(why)) => {
            let required = required.unwrap_or("the unit");
            let (what, hint) = unknown_unit(why);
            Phrase::of(format!("{required}: what is balanced is not known: {what}")).try_this(hint)
        }
        (None, None) => Phrase::of("what is balanced, requests or connections, is not known".to_owned()),
    }
}

/// Why the unit is not known, and what would decide.
fn unknown_unit(why: UnknownUnit) -> (&'static str, &'static str) {
    match why {
        UnknownUnit::NotKept => (
            "no connection carried several requests",
            "leave --new-connections out, and have the balancer keep its clients' connections",
        ),
        UnknownUnit::NoneCounts => (
            "no kept connection has two requests to which the first backend responded",
            "fix what fails first: see the other findings",
        ),
        UnknownUnit::OneBackend => (
            "all requests on kept connections met the same backend",
            "a hash or a sticky session decides by what all requests have alike, or one backend is all there is",
        ),
        UnknownUnit::Untried => (
            "each connection met one backend, as a hash of the client's address or least connections may have it, too",
            "experiments distinguish layer 4 from them: leave --no-experiments out, or give them more time with --experiments-for",
        ),
        UnknownUnit::TooFew => (
            "each connection met one backend, but with so few requests that can be chance",
            "give the experiments more time with --experiments-for",
        ),
        UnknownUnit::Moved => (
            "connections met another backend and never the first one again",
            "they may have moved when a backend failed: repeat the check with healthy backends",
        ),
    }
}
