//! What a check expects because a balancer is configured so: the one that we started, or a file of one.

use std::time::Duration;

use crate::args::check::CheckArgs;
use crate::balancer::Balancer;
use crate::balancer::expected::{self, Expected};
use crate::balancer::read::{Endpoint, Upstream};
use crate::balancer::recognise::recognise;
use crate::balancer::run::installed;
use crate::check::plan::CheckPlan;
use crate::error::Problem;
use crate::fleets::Fleets;
use crate::stack::Stack;
use verdict::report::SharesSource;
use verdict::timeline::Avoidance;

/// After that time it is tried with a request, and is back if that succeeds.
const NOTICES: Duration = Duration::from_secs(1);

/// Expects what the balancer of the stack is configured to do, where the user expects nothing else.
pub(super) fn from_stack(stack: &Stack, plan: &mut CheckPlan, has_tolerance: bool) {
    // What an algorithm promises of requests it does not promise of streams that live on.
    if plan.streams.is_some() {
        return;
    }
    let configured = stack.plan(None);
    let expectations = &mut plan.expectations;
    if expectations.shares.is_none() {
        expectations.shares = configured.expectations.shares;
        expectations.shares_by = configured.expectations.shares_by;
    }
    expectations.algorithm = expectations.algorithm.or(configured.expectations.algorithm);
    configured.expectations.backups.into_iter().for_each(|name| expectations.expect_backup(name));
    if !has_tolerance {
        expectations.tolerance = configured.expectations.tolerance;
        expectations.margin = configured.expectations.margin;
    }
    plan.affinity.headers.extend(configured.affinity.headers);
    plan.affinity.cookies.extend(configured.affinity.cookies);
}

/// What is known of the fleet before the check.
#[derive(Clone, Copy)]
pub(super) enum KnownFleet<'f> {
    /// Nothing yet.
    Nothing,
    /// It was started by this command, and has these ports.
    Started(&'f [u16]),
    /// The fleet runs, on these hosts.
    Running(&'f Fleets),
}

/// Expects what the block of `--from` says of a fleet, where the user expects nothing else. What of the file was not understood is
/// returned.
pub(super) fn from_file(
    args: &CheckArgs,
    fleet: KnownFleet<'_>,
    plans: &mut [CheckPlan],
) -> anyhow::Result<Vec<String>> {
    let Some(file) = &args.from else { return Ok(Vec::new()) };
    let started = args.with.as_ref().and_then(|with| Balancer::all_that_run().find(|it| it.name == with));
    let balancer = started.filter(|it| it.read.is_some()).unwrap_or_else(|| recognise(file));
    let name = file.display().to_string();
    let Some(read) = balancer.read else {
        return Err(Problem::new(format!("files of {} are not read", balancer.title)).on(name).into());
    };
    let configuration = match balancer.several.filter(|_| started.is_some() && file.is_file()) {
        Some(several) => (several.read)(std::slice::from_ref(file), installed::version(&balancer))?,
        None => read(file)?,
    };
    let upstream = expected::choose(&configuration, &name, args.upstream.as_deref())
        .map_err(|(what, hint)| Problem::new(what).hint(hint))?;
    // The servers of a production file are on other hosts: the fleet of this command is not what it balances over.
    if let (Some(_), KnownFleet::Started(ports)) = (&args.balancer_config, fleet)
        && expected::is_elsewhere(upstream, ports)
    {
        eprintln!(
            "no server of {name} is a backend of this fleet; to run the file unchanged, with a backend at every address that it \
             names: uuid-generator rehearse {} {name} URL",
            balancer.name
        );
    }
    let expected = of_fleet(upstream, fleet);
    let mut not_judged = Vec::new();
    for plan in plans {
        plan.environment.balancer.get_or_insert_with(|| balancer.title.to_owned());
        plan.environment.patience = configuration.patience;
        plan.expectations.configured = configuration.responses.clone();
        let expected = expected.clone().under(plan.requests_at_once());
        let expected = expected.with_headers(&configuration, plan.request.names());
        expect(&expected, &name, plan);
        not_judged = [configuration.not_read.clone(), expected.unknown, expected.remarks].concat();
        plan.environment.not_understood.clone_from(&not_judged);
    }
    Ok(not_judged)
}

/// On one machine a port is enough to know a backend; on several its host has to be the server's; and a pod is known by its name.
fn of_fleet(upstream: &Upstream, fleet: KnownFleet<'_>) -> Expected {
    let has_pods = upstream.servers.iter().any(|server| matches!(server.endpoint, Endpoint::Pods(_)));
    let fleets = match fleet {
        KnownFleet::Started(ports) if !has_pods => return Expected::of(upstream, Some(ports)),
        KnownFleet::Running(fleets) if has_pods || fleets.hosts.len() > 1 => fleets,
        KnownFleet::Nothing | KnownFleet::Started(_) | KnownFleet::Running(_) => return Expected::of(upstream, None),
    };
    Expected::of_named(upstream, &|server| match &server.endpoint {
        Endpoint::Tcp(host, port) => {
            fleets.at(host.trim_matches(['[', ']']), *port).map(|it| it.name.clone()).collect()
        }
        Endpoint::Pods(pods) => {
            let own = fleets.backends.iter().filter(|it| pods.has(&it.name, fleets.pod(it)));
            own.map(|it| it.name.clone()).collect()
        }
        Endpoint::Unix(_) | Endpoint::Other => Vec::new(),
    })
}

/// Expects that, where the user expects nothing else; `file` says it.
pub(crate) fn expect(expected: &Expected, file: &str, plan: &mut CheckPlan) {
    if plan.streams.is_some() {
        return;
    }
    let expectations = &mut plan.expectations;
    expectations.algorithm = expectations.algorithm.or(expected.algorithm);
    if expectations.shares.is_none() {
        expectations.shares = expected.shares.clone();
        expectations.groups = expected.groups.clone();
        expectations.shares_by = SharesSource::File { name: file.to_owned() };
        expectations.not_understood.extend(expected.unknown.iter().cloned());
        expectations.listed.clone_from(&expected.listed);
    }
    expected.backups.iter().for_each(|name| expectations.expect_backup(name.clone()));
    let keeps_away = expected.keeps_away.map(|it| Avoidance { time: it.time + NOTICES, ..it });
    plan.environment.keeps_away = plan.environment.keeps_away.or(keeps_away);
    plan.expectations.slow_start = plan.expectations.slow_start.max(expected.slow_start);
    plan.expectations.session_life.clone_from(&expected.session_life);
    plan.affinity.headers.extend(expected.key_header.clone());
    plan.affinity.cookies.extend(expected.key_cookie.clone());
}
