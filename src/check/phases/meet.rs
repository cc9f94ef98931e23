//! The first response of a backend: that there is one, that its backend can be identified, and that the fleet has its record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::spawn_blocking;

use crate::check::backing;
use crate::check::collector::{Collector, Recorded};
use crate::check::counters;
use crate::check::handshakes::HandshakesBefore;
use crate::check::identities::{self, Candidate, TextResponse};
use crate::check::load::{Identity, Probe, ProbeResult};
use crate::check::phases::diagnosis::{self, Unmet};
use crate::check::session::CheckSession;
use crate::check::subject::LiveSubject;
use crate::error::Problem;
use crate::fleets::Fleets;
use crate::io::tls;
use crate::wire::{INSTANCE_HEADER, Instance};
use verdict::HandshakeFailure;
use verdict::observation::ClientOutcome;
use verdict::rules::IdentitySource;

/// What mends by itself (a health check that has not begun, a backend that starts) is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// A router that reads its routes late answers 404 until then; one that reads its certificate late shows another.
pub(super) const ROUTES: Duration = Duration::from_secs(3);
/// Where backends cannot read what the balancer sends, time mends little.
const UNREAD: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(200);
/// The first request waits no longer: its backend may hang while others do not.
const FIRST: Duration = Duration::from_secs(3);
/// Then as many side by side.
const SIDE_BY_SIDE: usize = 6;
/// A port that ends that many connections without a response is asked whether it speaks TLS: some speak both.
const SAME_END: usize = 5;
/// A port that speaks TLS shows it within that time.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// What responded to the first requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Met {
    Backend,
    /// Nobody with a whole response, though backends have the requests: they break off again and again, hang, or reset each stream; or
    /// the balancer refuses bodies as too large. The sample counts that, and nothing else can be found out.
    NothingWhole,
}

pub(crate) async fn meet(session: &mut CheckSession<'_>) -> Result<Met> {
    let begun = Instant::now();
    let (mut hung, mut tries) = (false, 0);
    loop {
        tries += 1;
        let seen = if hung { several(session).await? } else { one(session).await? };
        if is_identified(&seen) {
            if session.identity.is_fleet() {
                meet_record(session, &seen).await?;
            } else {
                examine_identity(session).await?;
            }
            return Ok(Met::Backend);
        }
        if is_whole(&seen) && !session.identity.is_fleet() && (200..300).contains(&seen.observation.status) {
            identify(session, seen).await?;
            return Ok(Met::Backend);
        }
        let has_body = session.plan.request.bodies.iter().any(|body| !body.is_empty());
        if is_whole(&seen) && seen.observation.status == 413 && has_body && session.collector.is_some() {
            return Ok(Met::NothingWhole);
        }
        let speaks_tls = should_have_tls(session, &seen, tries).await?;
        let is_lasting = seen.tls_failure.as_ref().is_some_and(|failure| failure.is_lasting());
        let patience = match seen.observation.outcome {
            ClientOutcome::TimedOut if !hung => {
                hung = true;
                continue;
            }
            ClientOutcome::TimedOut | ClientOutcome::TooLarge | ClientOutcome::Malformed => Duration::ZERO,
            // One that was just started may show a certificate of its own until it has read ours, as Traefik does.
            ClientOutcome::TlsFailed if is_lasting && session.plan.environment.balancer.is_some() => ROUTES,
            _ if speaks_tls || is_lasting => Duration::ZERO,
            ClientOutcome::Response | ClientOutcome::Altered => match seen.observation.status {
                404 => ROUTES,
                500.. if unread(session).await.is_some() => UNREAD,
                408 | 425 | 429 | 500.. => PATIENCE,
                // The first response may be of a backend that is not ours, or one that the balancer gives to some requests.
                _ if tries <= ASKS => continue,
                _ => Duration::ZERO,
            },
            ClientOutcome::Truncated | ClientOutcome::Closed | ClientOutcome::Reset | ClientOutcome::StreamReset => {
                PATIENCE
            }
            ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed | ClientOutcome::Unsent => {
                PATIENCE
            }
        };
        if begun.elapsed() >= patience {
            if breaks_off(&seen)
                && let Some(collector) = &mut session.collector
                && collector.has_attempts().await
            {
                return Ok(Met::NothingWhole);
            }
            return Err(unmet(session, &seen, speaks_tls).await.into());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn unmet(session: &mut CheckSession<'_>, seen: &ProbeResult, speaks_tls: bool) -> Problem {
    let unread = unread(session).await;
    let failed_handshake = failed_handshake(session).await;
    let unmet = Unmet {
        plan: session.plan,
        seen,
        speaks_tls,
        has_client_certificate: session.plan.target.client_certificate.is_some(),
        with_fleet: session.collector.is_some(),
        not_ready: session.backends.map_or_else(Vec::new, |ready| session.client.names().split_off(ready)),
        failed_handshake,
        unread: unread.as_deref(),
    };
    unmet.problem()
}

/// Why backends refused to read most of what came so far.
async fn unread(session: &mut CheckSession<'_>) -> Option<String> {
    let collector = session.collector.as_mut()?;
    collector.unread().await.map(str::to_owned)
}

/// No stream could be opened: if a request gets no connection or no TLS session either, there is nothing to judge, and it is said why.
pub(super) async fn refuse_unmet(session: &mut CheckSession<'_>) -> Result<()> {
    let seen = one(session).await?;
    match seen.observation.outcome {
        ClientOutcome::TlsFailed
        | ClientOutcome::Refused
        | ClientOutcome::Unreachable
        | ClientOutcome::Unsent
        | ClientOutcome::Closed
        | ClientOutcome::Reset
        | ClientOutcome::Malformed => {
            let speaks_tls = should_have_tls(session, &seen, SAME_END).await?;
            Err(unmet(session, &seen, speaks_tls).await.into())
        }
        ClientOutcome::Response
        | ClientOutcome::Altered
        | ClientOutcome::TimedOut
        | ClientOutcome::TooLarge
        | ClientOutcome::Truncated
        | ClientOutcome::StreamReset => Ok(()),
    }
}

/// Why most handshakes failed that the fleet's backends count: during this check, or else before it.
async fn failed_handshake(session: &CheckSession<'_>) -> Option<HandshakeFailure> {
    let fleets = session.fleets()?;
    let mut counts: BTreeMap<HandshakeFailure, (u64, u64)> = BTreeMap::new();
    for backend in &fleets.backends {
        let Ok(status) = fleets.status_of(&backend.name).await else { continue };
        for (reason, count) in session.handshakes_before.since(&status) {
            counts.entry(reason).or_default().0 += count;
        }
        for (reason, count) in HandshakesBefore::default().since(&status) {
            counts.entry(reason).or_default().1 += count;
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(reason, _)| reason)
}

fn is_whole(seen: &ProbeResult) -> bool {
    matches!(seen.observation.outcome, ClientOutcome::Response | ClientOutcome::Altered)
}

fn is_identified(seen: &ProbeResult) -> bool {
    is_whole(seen) && seen.observation.backend.is_known()
}

/// Whether it is what a client sees of a backend that breaks off or hangs, or what becomes of its response on the way. A refusal, such as 401, is
/// none, though a backend may have decided it.
fn breaks_off(seen: &ProbeResult) -> bool {
    match seen.observation.outcome {
        ClientOutcome::Truncated
        | ClientOutcome::Closed
        | ClientOutcome::Reset
        | ClientOutcome::StreamReset
        | ClientOutcome::TimedOut
        | ClientOutcome::Malformed => true,
        ClientOutcome::Response | ClientOutcome::Altered => seen.observation.status >= 500,
        ClientOutcome::TooLarge
        | ClientOutcome::Refused
        | ClientOutcome::Unreachable
        | ClientOutcome::TlsFailed
        | ClientOutcome::Unsent => false,
    }
}

async fn one(session: &mut CheckSession<'_>) -> Result<ProbeResult> {
    let patience = Some(session.plan.load.timeout.min(FIRST));
    session
        .on_client(move |live| live.prober.probe(&Probe { patience, ..Probe::default() }, live.backends))
        .await?
        .map_err(Into::into)
}

/// The best of several that are in flight at once.
async fn several(session: &mut CheckSession<'_>) -> Result<ProbeResult> {
    let all = session
        .on_client(|live| -> Result<Vec<ProbeResult>, _> {
            let held: Result<Vec<_>, _> =
                (0..SIDE_BY_SIDE).map(|_| live.prober.begin(&Probe::default(), live.backends)).collect();
            Ok::<_, crate::check::load::DriveError>(
                held?.into_iter().map(|held| held.finish(live.prober, live.backends)).collect(),
            )
        })
        .await??;
    let mut all = all;
    let best = all.iter().position(is_identified).or_else(|| all.iter().position(is_whole)).unwrap_or(0);
    Ok(all.swap_remove(best))
}

/// Whom a balancer takes requests to come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Askers {
    One,
    /// Each from an address of its own, where the balancer is on this machine.
    Several,
}

/// One after the other, each on a connection of its own.
async fn ask(session: &mut CheckSession<'_>, count: usize, askers: Askers) -> Result<Vec<TextResponse>> {
    session.on_client(move |live| ask_live(live, count, askers)).await
}

fn ask_live(live: &mut LiveSubject, count: usize, askers: Askers) -> Vec<TextResponse> {
    let sources = askers == Askers::Several && live.local;
    let seen = (0..count).filter_map(|place| {
        let source = sources.then(|| std::net::Ipv4Addr::new(127, 0, 7, place as u8 + 1).into());
        live.prober.probe(&Probe { source, patience: Some(FIRST), ..Probe::default() }, live.backends).ok()
    });
    seen.filter(is_whole).map(|seen| TextResponse { head: seen.head, body: seen.body }).collect()
}

/// With a fleet: the response has a record, or it is another fleet's.
async fn meet_record(session: &mut CheckSession<'_>, seen: &ProbeResult) -> Result<()> {
    let name = session.client.names().get(usize::from(seen.observation.backend.0)).cloned();
    let Some(collector) = &mut session.collector else { return Ok(()) };
    let Some(answer) = seen.observation.response_id() else {
        if collector.has_only_health_checks().await {
            let what = "backends take these requests for health checks, which they count and do not record one by one";
            return Err(Problem::new(what)
                .on(&session.plan.target.url)
                .hint("give a path of the service, such as /uuid, or grpc://HOST:PORT for uuid.v1.Generator/Generate")
                .into());
        }
        collector.expect_unnumbered();
        return Ok(());
    };
    let found = find_record(collector, answer.0).await;
    if found.is_some()
        && let Some(refused) = diagnosis::proxy_header(&session.plan.target.url, seen)
    {
        return Err(refused.into());
    }
    match found {
        // What else backends refuse is a matter of the account.
        Some(Recorded::WithId | Recorded::Refused) => Ok(()),
        Some(Recorded::WithoutId) => {
            collector.expect_unnumbered();
            Ok(())
        }
        // The check goes on where some are known: the rule of the fleets says what is not.
        None if answers_of_ours(session).await? => Ok(()),
        None => {
            let control = session.fleets().map(Fleets::controls).unwrap_or_default();
            let what = format!(
                "backend {} responds, and the fleet at {control} has no record of it: another fleet's backends are behind \
                 the balancer, or a cache does",
                name.as_deref().unwrap_or("?"),
            );
            Err(Problem::new(what)
                .on(&session.plan.target.url)
                .hint(
                    "choose the fleet with --fleet (uuid-generator fleet status), turn the cache off, or say where else the \
                     backend's name is with --identity",
                )
                .into())
        }
    }
}

/// Whether processes of the fleets respond as well.
async fn answers_of_ours(session: &mut CheckSession<'_>) -> Result<bool> {
    let responses = ask(session, ASKS, Askers::One).await?;
    let Some(fleets) = session.fleets() else { return Ok(false) };
    let is_known = |response: &TextResponse| {
        let process = identities::header(&response.head, INSTANCE_HEADER);
        let process = process.and_then(|process| Instance::from_bytes(process.as_bytes()));
        process.is_some_and(|process| fleets.instances().any(|(known, _)| known == process))
    };
    Ok(responses.iter().any(is_known))
}

/// A record may need a moment.
async fn find_record(collector: &mut Collector, answer: uuid::Uuid) -> Option<Recorded> {
    for _ in 0..15 {
        if let Some(recorded) = collector.find(answer).await {
            return Some(recorded);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Requests that find out whether a value names backends.
const ASKS: usize = 12;
/// Fewer backends than that repeat their names among as many.
const MORE: usize = 130;

/// Without a fleet, where the name that was asked for is found: it must be some backend's, not each response's.
async fn examine_identity(session: &mut CheckSession<'_>) -> Result<()> {
    let identity = session.identity.clone();
    let named = |responses: &[TextResponse]| -> Vec<String> {
        responses.iter().filter_map(|response| identities::name_in(response, &identity)).collect()
    };
    let begin = Instant::now();
    let responses = ask(session, ASKS, Askers::One).await?;
    let shared = counters::shared(&responses, &identity, begin.elapsed());
    session.found_identity = Some(IdentitySource { shared, ..session.chosen_identity() });
    let is_of_fleet = |response: &TextResponse| identities::name_of_ours(&response.head).is_some();
    if responses.iter().any(is_of_fleet)
        && let Some(fleet) = backing::find_foreign().await
    {
        session.watch.announce(&format!("{fleet}: --fleet URL chooses it, and its records with it"));
    }
    let mut names = named(&responses);
    if names.len() > 1 && identities::distinct(&names) == names.len() {
        names.extend(named(&ask(session, MORE, Askers::One).await?));
        let (values, asked) = (identities::distinct(&names), names.len());
        if values == asked {
            let what = format!(
                "{} has another value in each of {asked} responses ({}, {}, …): that names responses, not backends",
                identities::describe(&session.identity),
                names[0],
                names[1]
            );
            let hint = "--identity must say where the same backend always writes the same name";
            return Err(Problem::new(what).on(&session.plan.target.url).hint(hint).into());
        }
    }
    Ok(())
}

/// Where the name of the backend stands in responses that do not have it where it was looked for.
async fn identify(session: &mut CheckSession<'_>, first: ProbeResult) -> Result<()> {
    let mut responses = vec![TextResponse { head: first.head, body: first.body }];
    let begin = Instant::now();
    responses.extend(ask(session, ASKS, Askers::One).await?);
    let elapsed = begin.elapsed();
    let is_chosen = session.is_identity_chosen;
    // Some responses may have it: those that do not are accounted for.
    if responses.iter().any(|response| identities::name_in(response, &session.identity).is_some()) {
        return Ok(());
    }
    let mut candidates = identities::candidates(&responses);
    if candidates.is_empty() {
        // One client may always get the same backend.
        let spread = ask(session, ASKS, Askers::Several).await?;
        candidates = identities::candidates(&spread);
    }
    if candidates.is_empty() && identities::may_be_of_more_backends(&responses) {
        let more = session.budget_left().map_or(MORE, |left| MORE.min(left as usize / 2));
        responses.extend(ask(session, more, Askers::One).await?);
        candidates = identities::candidates(&responses);
    }
    match candidates.iter().find(|candidate| candidate.is_trusted) {
        Some(found) if !is_chosen => {
            let other = candidates.iter().find(|other| other.is_trusted && !other.tells_the_same(found));
            let other = other.map_or_else(String::new, |other| format!(", not by {}", other.describe()));
            session.watch.announce(&format!(
                "backends are distinguished by {} ({} values: {}){other}; --identity chooses another place",
                found.place,
                identities::distinct(&found.values),
                identities::some_of(&found.values)
            ));
            session.found_identity = Some(IdentitySource {
                place: found.place.clone(),
                chosen: false,
                named: found.is_named,
                shared: counters::shared(&responses[1..], &found.identity, elapsed),
            });
            set_identity(session, found.identity.clone());
            Ok(())
        }
        _ => Err(explain_no_identity(session, &responses, &candidates).await.into()),
    }
}

fn set_identity(session: &mut CheckSession<'_>, identity: Identity) {
    session.client.with(|prober, _| prober.set_identity(identity.clone()));
    session.identity = identity;
}

async fn explain_no_identity(
    session: &CheckSession<'_>,
    responses: &[TextResponse],
    candidates: &[Candidate],
) -> Problem {
    let looked = if session.is_identity_chosen {
        format!("no response has {}", identities::describe(&session.identity))
    } else if candidates.is_empty() {
        "nothing in the responses tells one backend from another".to_owned()
    } else {
        "nothing in the responses is surely the name of a backend".to_owned()
    };
    let is_ours = responses.iter().any(|response| identities::name_of_ours(&response.head).is_some());
    let foreign = if is_ours {
        let fleet = backing::find_foreign().await;
        let fleet = fleet.unwrap_or_else(|| "no fleet of this user runs on this machine".to_owned());
        format!("\n  they come from backends of a fleet, and {fleet}\n  --fleet URL chooses it by its API")
    } else {
        String::new()
    };
    let first = responses.first().map(TextResponse::excerpt).unwrap_or_default();
    let differs: Vec<String> = candidates.iter().take(4).map(Candidate::describe).collect();
    let hint = match candidates.first() {
        Some(best) => format!("--identity '{}'", best.place),
        None if session.plan.request.method == "HEAD" => {
            "responses to HEAD have no body: check with GET, or have each \
             backend write its name into a header, then --identity header:NAME"
                .to_owned()
        }
        None => format!(
            "apart from times, no value in {} responses differs and comes again, as a backend's name does; have each backend \
             write its name into a header, then --identity header:NAME",
            responses.len()
        ),
    };
    let differs = if differs.is_empty() {
        String::new()
    } else {
        format!("\n  what differs and repeats:\n    {}", differs.join("\n    "))
    };
    Problem::new(format!("{looked}{foreign}\n  the first response has:\n{first}{differs}"))
        .on(&session.plan.target.url)
        .hint(hint)
}

/// Whether what came of a request without TLS comes of that: asks the port, where that is likely.
async fn should_have_tls(session: &CheckSession<'_>, seen: &ProbeResult, tries: usize) -> Result<bool> {
    let odd = match seen.observation.outcome {
        ClientOutcome::Malformed => !session.plan.target.haproxy_protocol,
        // A backend that breaks off looks the same, and others do not.
        ClientOutcome::Closed | ClientOutcome::Reset => tries >= SAME_END,
        // As nginx and others say it. Some ports speak both, and a PROXY header is no request of either.
        ClientOutcome::Response | ClientOutcome::Altered => {
            seen.observation.status == 400 && !session.plan.target.haproxy_protocol
        }
        ClientOutcome::Truncated | ClientOutcome::TooLarge | ClientOutcome::TimedOut => false,
        ClientOutcome::StreamReset => false,
        ClientOutcome::Refused | ClientOutcome::Unreachable | ClientOutcome::TlsFailed | ClientOutcome::Unsent => false,
    };
    let target = session.client.target();
    if target.tls.is_some() || !odd {
        return Ok(false);
    }
    let (address, patience) = (target.address, session.plan.load.timeout.min(HANDSHAKE));
    Ok(spawn_blocking(move || tls::is_spoken(address, patience)).await?)
}
