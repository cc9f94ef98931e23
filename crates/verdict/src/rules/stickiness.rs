//! The rule of stickiness: a client, or a key, stays with its backend while that is up.

use std::collections::HashMap;

use crate::Moment;
use crate::algorithm::Algorithm;
use crate::facts::stickiness::{Disruption, StickinessFacts, needed};
use crate::finding::{self, Finding, Level, Witness};
use crate::ledger::Entry;
use crate::observation::Backend;
use crate::report::Outage;
use crate::rules::case::{Case, Drill};

/// It is a rule where the algorithm has affinity, as it seems or as it should.
pub(crate) fn judge(case: &Case, outage: Option<&Outage>) -> Option<Finding> {
    let pins = |kind: Option<Algorithm>| kind.is_some_and(Algorithm::pins);
    let is_required = case.expectations.sessions;
    if !case.varied || !(pins(case.inference.kind) || pins(case.expectations.algorithm) || is_required) {
        return None;
    }
    let no_session = is_required && case.received.sessions == 0;
    let pinned = &case.tally.pins;
    // A reload takes no backend away, so it excuses no move.
    let is_backend_away = outage.is_some_and(|outage| !outage.backends.is_empty()) || case.drill == Drill::Rough;
    let joined = joined(case);
    // Affinity was found with the first URL: others may have backends of their own, unless the user says that sessions last.
    let is_own = is_required || pins(case.expectations.algorithm) && !case.expectations.are_by_file();
    let of_several_urls = case.urls.are_several() && pinned.left > 0 && !is_own;
    let (detects, needed) = needed(case.expectations.tolerance);
    // Experiments are made before a drill: of what comes after it they show nothing.
    let stayed_before = if case.drill == Drill::None { case.inference.stayed() } else { 0 };
    // A cookie says where its client belongs, whoever else is gone.
    let must_last = is_required || is_own && case.expectations.algorithm == Some(Algorithm::Sticky);
    let left_untouched = if must_last { left_untouched(case) } else { 0 };
    let bound = case.inference.bound.filter(|_| !must_last);
    let is_another_fleet = is_backend_away || !joined.is_empty();
    let may_have_to = is_another_fleet || pinned.left_alive == 0 || pinned.left_gone > 0;
    let level = match (pinned.left, case.drill) {
        // Nothing that clients were given ties them to a backend.
        _ if no_session || of_several_urls => Level::Inconclusive,
        // How long a session is to last is known to whoever requires one.
        (0, Drill::None) if pinned.lapsed_left > 0 && is_own => Level::Fail,
        (0, Drill::None) if pinned.lapsed_left > 0 => Level::Inconclusive,
        (0, _) if pinned.later > 0 && pinned.later + stayed_before >= needed => Level::Pass,
        (0, Drill::None) => Level::Inconclusive,
        (_, Drill::None) if pinned.left_alive == 0 && pinned.left_gone > 0 => Level::Inconclusive,
        // What a bound on load moves comes back, and nobody forbids it.
        (_, Drill::None) if bound.is_some() => Level::Inconclusive,
        // It is not what the sample was for.
        (0, Drill::Graceful | Drill::Rough) => Level::Note,
        (_, Drill::Graceful | Drill::Rough) if is_another_fleet && left_untouched > 0 => Level::Inconclusive,
        // Those that left may have to: a hash without a backend, or with one more, is another one.
        (_, Drill::Graceful | Drill::Rough) if may_have_to => Level::Note,
        (_, Drill::None | Drill::Graceful | Drill::Rough) => Level::Fail,
    };
    let facts = StickinessFacts {
        clients: pinned.clients,
        later: pinned.later,
        longest: pinned.longest,
        lasted: pinned.lasted.as_secs_f64(),
        stayed_before,
        left: pinned.left,
        left_alive: pinned.left_alive,
        left_gone: pinned.left_gone,
        clients_alive: pinned.movers.iter().map(|movers| movers.alive).sum(),
        clients_gone: pinned.movers.iter().map(|movers| movers.gone).sum(),
        lapsed: pinned.lapsed,
        lapsed_left: pinned.lapsed_left,
        lapsed_line: case.expectations.session_life.as_ref().map(|it| it.line.clone()),
        lapsed_cookie: case.received.lapsed_cookie.clone(),
        left_untouched,
        disruption: disruption(case),
        no_session,
        other_cookies: if no_session { case.received.other_cookies.clone() } else { Vec::new() },
        bound,
        is_backend_away,
        joined,
        of_several_urls,
        stayed_at_each_url: pinned.left > 0 && stayed_at_each_url(case),
        left_from: left_from(case),
        no_affinity: is_required && is_without_affinity(case),
        needed,
        detects,
    };
    let shown = if no_session { Vec::new() } else { witness(case) };
    Some(Finding::new(level, finding::Facts::Stickiness(facts)).shown_by(shown))
}

/// Whether the algorithm is known, and looks at no client.
fn is_without_affinity(case: &Case) -> bool {
    case.inference.kind.is_some_and(|kind| !kind.pins()) && case.inference.or.is_empty()
}

/// The backends at which all began who left, where clients of others stayed.
fn left_from(case: &Case) -> Vec<String> {
    let pins = &case.tally.pins;
    let left = |place: &usize| pins.movers.get(*place).map_or(0, |movers| movers.alive + movers.gone);
    let clients = |place: &usize| pins.by_backend.get(*place).copied().unwrap_or(0);
    let (from, others): (Vec<usize>, Vec<usize>) = (0..case.names.len()).partition(|place| left(place) > 0);
    // By chance hardly anybody stays: who never left is enough to say that there is a difference.
    let stayed: u64 = others.iter().map(clients).sum();
    if stayed < LEAST_STAYED || case.drill != Drill::None {
        Vec::new()
    } else {
        from.iter().map(|place| case.names[*place].clone()).collect()
    }
}

/// Clients of which none left.
const LEAST_STAYED: u64 = 10;

/// Whether each client has one backend at each of several URLs: as where each of them gives a cookie of its own, for its path alone. With
/// the first response from a URL a client is known there.
fn stayed_at_each_url(case: &Case) -> bool {
    if !case.urls.are_several() {
        return false;
    }
    let mut known: HashMap<(u32, usize), (Backend, Moment)> = HashMap::new();
    let mut is_left = |entry: &Entry| {
        let Entry { observation, sequence, .. } = entry;
        if !observation.backend.is_known() {
            return false;
        }
        let new = (observation.backend, observation.ended);
        let (backend, since) = *known.entry((observation.client, case.urls.of(*sequence))).or_insert(new);
        observation.sent() >= since && backend != observation.backend
    };
    let mut sample = case.ledger.entries().filter(|entry| case.sample.contains(&entry.sequence));
    !sample.any(|entry| is_left(&entry))
}

/// The same client, two requests, two backends; and that the first of them was there afterwards, if it was.
fn witness(case: &Case) -> Vec<Witness> {
    let request = |sequence: u32| case.ledger.entry(sequence).map(|entry| case.witness(&entry));
    let moved = case.tally.pins.examples.iter().filter_map(|example| {
        Some(Witness::Moved {
            client: example.client,
            first: Box::new(request(example.first)?),
            moved: Box::new(request(example.moved)?),
            proof: example.proof.and_then(request).map(Box::new),
        })
    });
    moved.collect()
}

/// Clients that left backends which were there, and to which nothing was done.
fn left_untouched(case: &Case) -> u64 {
    let is_touched = |place: usize| case.outages.iter().any(|window| window.backend == Backend(place as u16));
    let movers = case.tally.pins.movers.iter().enumerate();
    movers.filter(|(place, _)| !is_touched(*place)).map(|(_, movers)| movers.alive).sum()
}

/// Backends that steps put in, and that none had taken away.
fn joined(case: &Case) -> Vec<String> {
    let is_put_in = |place: &usize| {
        let backend = Backend(*place as u16);
        let is_touched = case.steps.iter().any(|step| step.is_done && step.backend == Some(backend));
        is_touched && !case.outages.iter().any(|window| window.backend == backend)
    };
    // One that was away when the check began is no backend of it yet.
    (0..case.names.len()).filter(is_put_in).map(|place| case.names[place].clone()).collect()
}

/// Of a hash of what clients bring: one that the balancer remembers, or writes into a cookie, moves nobody.
fn disruption(case: &Case) -> Option<Disruption> {
    let is_hash = case.inference.kind?.is_hash();
    let pins = &case.tally.pins;
    let is_removed = |place: usize| case.outages.iter().any(|window| window.backend == Backend(place as u16));
    let places = 0..case.backends;
    let (removed, stayed): (Vec<usize>, Vec<usize>) = places.partition(|place| is_removed(*place));
    let clients = |place: &usize| pins.by_backend.get(*place).copied().unwrap_or(0);
    let moved = |place: &usize| pins.movers.get(*place).map_or(0, |movers| movers.alive);
    let disruption = Disruption {
        backends: case.backends as u64,
        removed: removed.iter().filter_map(|place| case.names.get(*place).cloned()).collect(),
        clients: stayed.iter().map(clients).sum(),
        moved: stayed.iter().map(moved).sum(),
        of_removed: removed.iter().map(clients).sum(),
    };
    // Someone must have been sent elsewhere, or the balancer never left the backend out.
    let has_moved = removed.iter().any(|place| pins.movers.get(*place).is_some_and(|it| it.gone + it.alive > 0));
    (is_hash && stayed.len() > 1 && disruption.clients > 0 && has_moved).then_some(disruption)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{ExperimentFacts, ExperimentResult, Key, KeySpread};
    use crate::facts::shares::SharesSource;
    use crate::rules::trial::RuleTrial;
    use crate::tally::SessionLife;
    use crate::timeline::{OutageWindow, StepSpan};
    use std::time::Duration;

    /// A hundred clients that come every 10 ms for 4 s; from the middle on their backend is that of `later`.
    fn trial(later: impl Fn(u16) -> u16) -> RuleTrial {
        let mut trial = RuleTrial::of(3, Some(Algorithm::Header));
        trial.varied = true;
        for round in 0..400u64 {
            for client in 0..100u16 {
                let own = client % 3;
                let backend = if round < 200 { own } else { later(own) };
                trial.send(u32::from(client), backend, round * 10_000 + u64::from(client) * 10);
            }
        }
        trial
    }

    fn finding(trial: &RuleTrial) -> (Level, StickinessFacts) {
        let found = trial.judge_by(|case| judge(case, trial.drill.outage.as_ref())).expect("it is judged");
        let finding::Facts::Stickiness(facts) = found.facts else { panic!("another rule") };
        (found.level, facts)
    }

    #[test]
    fn the_backends_that_clients_leave_are_named_where_others_keep_theirs() {
        assert_eq!(finding(&trial(|own| if own == 2 { 0 } else { own })).1.left_from, ["9003"]);
        assert!(finding(&trial(|own| (own + 1) % 3)).1.left_from.is_empty(), "each is left");
        assert!(finding(&trial(|own| own)).1.left_from.is_empty(), "none is left");
    }

    #[test]
    fn sessions_that_are_required_of_a_rotation_are_none_that_end() {
        let required = |kind: Algorithm| {
            let mut trial = trial(|own| (own + 1) % 3);
            trial.inference = crate::rules::trial::inference(Some(kind));
            trial.expectations.sessions = true;
            trial.received.sessions = 100;
            finding(&trial).1.no_affinity
        };
        assert_eq!((required(Algorithm::RoundRobin), required(Algorithm::Sticky)), (true, false));
    }

    #[test]
    fn who_stays_passes_and_who_leaves_a_backend_that_is_there_fails() {
        let (level, facts) = finding(&trial(|own| own));
        assert_eq!((level, facts.longest, facts.lasted.round()), (Level::Pass, 399, 4.0));
        let (level, facts) = finding(&trial(|own| (own + 1) % 3));
        assert!(level == Level::Fail && facts.left_gone == 0 && facts.left_alive > facts.left / 2, "{facts:?}");
    }

    #[test]
    fn clients_that_meet_another_backend_at_another_url_left_nobody_until_sessions_must_last() {
        let mut pages = RuleTrial::of(3, Some(Algorithm::Source));
        pages.varied = true;
        pages.sent.urls = vec!["/hashed".to_owned(), "/other".to_owned()];
        for round in 0..40u16 {
            for client in 0..60u16 {
                let url = round % 2;
                let backend = if url == 0 { client % 3 } else { (client + round) % 3 };
                pages.send(u32::from(client), backend, u64::from(round) * 10_000 + u64::from(client) * 10);
                pages.sent.url_of.push(url as u8);
            }
        }
        assert!(finding(&pages).0 == Level::Inconclusive && finding(&pages).1.of_several_urls);
        assert!(!finding(&pages).1.stayed_at_each_url);
        let mut required = pages.clone();
        required.expectations.algorithm = Some(Algorithm::Source);
        assert_eq!(finding(&required).0, Level::Fail);
        required.expectations.shares_by = SharesSource::File { name: "nginx.conf".to_owned() };
        assert_eq!(finding(&required).0, Level::Inconclusive);
    }

    #[test]
    fn clients_that_stay_at_each_url_have_a_session_at_each() {
        let pages = |moves: u16| {
            let mut pages = RuleTrial::of(3, Some(Algorithm::Sticky));
            pages.varied = true;
            pages.expectations.algorithm = Some(Algorithm::Sticky);
            pages.sent.urls = vec!["/shop".to_owned(), "/cart".to_owned()];
            for round in 0..40u16 {
                for client in 0..60u16 {
                    let url = round % 2;
                    let backend = (client + url + round / 20 * moves) % 3;
                    pages.send(u32::from(client), backend, u64::from(round) * 10_000 + u64::from(client) * 10);
                    pages.sent.url_of.push(url as u8);
                }
            }
            let (level, facts) = finding(&pages);
            (level, facts.stayed_at_each_url)
        };
        assert_eq!((pages(0), pages(1)), ((Level::Fail, true), (Level::Fail, false)));
    }

    #[test]
    fn how_many_requests_are_enough_follows_the_tolerance() {
        let mut few = RuleTrial::of(3, Some(Algorithm::Header));
        few.varied = true;
        for round in 0..3u64 {
            for client in 0..60u32 {
                few.send(client, client as u16 % 3, round * 10_000 + u64::from(client));
            }
        }
        assert_eq!(finding(&few).0, Level::Inconclusive);
        // What experiments saw of the same key counts as well, unless something was done to backends since.
        let spread = KeySpread { backends: 3, moved: 0 };
        let key = ExperimentFacts::Key { key: Key::Header("x".to_owned()), values: 24, requests: 6, spread };
        few.inference.evidence = vec![ExperimentResult { facts: key, excludes: Vec::new() }];
        let (level, facts) = finding(&few);
        assert_eq!((level, facts.stayed_before, facts.needed), (Level::Pass, 120, 228));
        few.drill.kind = Drill::Graceful;
        assert_eq!(finding(&few).0, Level::Note);
        (few.drill.kind, few.inference.evidence) = (Drill::None, Vec::new());
        few.expectations.tolerance = 0.1;
        let (level, facts) = finding(&few);
        assert_eq!((level, facts.needed, facts.later), (Level::Pass, 44, 120));
    }

    #[test]
    fn a_reload_excuses_no_move_and_a_backend_that_is_gone_does() {
        let mut reload = trial(|own| (own + 1) % 3);
        reload.drill.kind = Drill::Graceful;
        assert_eq!(finding(&reload).0, Level::Fail);
        let mut gone = trial(|own| if own == 2 { 1 } else { own });
        gone.drill.kind = Drill::Graceful;
        let (level, facts) = finding(&gone);
        assert!(level == Level::Note && facts.left_alive == 0 && facts.left_gone > 0, "{level:?} {facts:?}");
        gone.drill.kind = Drill::None;
        assert_ne!(finding(&gone).0, Level::Fail);
    }

    #[test]
    fn who_leaves_a_backend_to_which_nothing_was_done_is_not_excused_by_the_outage_of_another() {
        // The third is away for half of a second, and later all clients move, or none does.
        let drill = |moves: u16, required: Option<Algorithm>| {
            let mut trial = trial(|own| (own + moves) % 3);
            trial.drill.kind = Drill::Graceful;
            let at = |millisecond: u64| Moment(millisecond * 1_000_000);
            let (backend, broken, mended) = (Backend(2), at(500), Some(at(1_000)));
            trial.drill.windows = vec![OutageWindow { backend, broken, mended, is_restarted: false }];
            let backends = vec![crate::timeline::Affected::default()];
            trial.drill.outage =
                Some(Outage { steps: Vec::new(), client_errors: 0, retries: 0, double_executions: 0, backends });
            trial.expectations.algorithm = required;
            let (level, facts) = finding(&trial);
            (level, facts.left_untouched)
        };
        assert_eq!(drill(1, Some(Algorithm::Sticky)), (Level::Inconclusive, 67));
        assert_eq!(drill(0, Some(Algorithm::Sticky)), (Level::Pass, 0));
        // What is left of a hash is another one.
        assert_eq!((drill(1, Some(Algorithm::Header)), drill(1, None)), ((Level::Note, 0), (Level::Note, 0)));
    }

    #[test]
    fn the_witness_is_one_client_two_requests_two_backends_and_a_proof_of_life() {
        let found = trial(|own| (own + 1) % 3).judge_by(|case| judge(case, None)).unwrap();
        let Some(Witness::Moved { first, moved, proof, .. }) = found.witness.first() else { panic!("{found:?}") };
        let proof = proof.as_ref().expect("its backend goes on");
        assert_ne!(first.client.backend, moved.client.backend);
        assert_eq!(first.client.backend, proof.client.backend);
        assert!(first.number < moved.number && moved.number < proof.number);
    }

    #[test]
    fn who_moved_while_a_backend_was_broken_may_stay_where_it_went() {
        let mut moved = trial(|own| if own == 2 { 1 } else { own });
        // It is back after 200 ms, and gets new clients.
        for round in 0..180u64 {
            moved.send(500, 2, 2_200_000 + round * 10_000);
        }
        let alive = finding(&moved).1.left_alive;
        moved.drill.kind = Drill::Rough;
        let (broken, mended) = (Moment(1_990_000_000), Some(Moment(2_200_000_000)));
        moved.drill.windows = vec![OutageWindow { backend: Backend(2), broken, mended, is_restarted: false }];
        let (level, facts) = finding(&moved);
        assert!(alive > 0 && facts.left_alive == 0 && facts.clients_gone == 33, "{alive} {level:?} {facts:?}");
    }

    #[test]
    fn who_was_served_elsewhere_when_its_backend_failed_may_stay_there() {
        // Client 0 has backend 0, which may fail it once: then backend 1 takes over.
        let with = |fails: bool| {
            let mut trial = trial(|own| own);
            trial.send(0, 1, 4_000_000);
            if fails {
                trial.after_failure_at(0);
            }
            for round in 0..40u64 {
                let at = 4_010_000 + round * 10_000;
                trial.send(0, 1, at);
                trial.send(3, 0, at + 10);
            }
            trial.send(3, 0, 5_200_000);
            finding(&trial)
        };
        let (level, facts) = with(true);
        assert_eq!((level, facts.left_alive, facts.left), (Level::Inconclusive, 0, 40), "{facts:?}");
        let (level, facts) = with(false);
        assert!(level == Level::Fail && facts.left_alive > 0, "{level:?} {facts:?}");
    }

    #[test]
    fn a_hash_without_a_backend_moves_its_clients_or_all() {
        let removed = |later: fn(u16) -> u16| {
            let mut trial = trial(later);
            trial.drill.kind = Drill::Rough;
            trial.drill.windows = vec![OutageWindow {
                backend: Backend(2),
                broken: Moment(2_000_000_000),
                mended: None,
                is_restarted: false,
            }];
            finding(&trial).1
        };
        let consistent = removed(|own| if own == 2 { 1 } else { own }).disruption.expect("it is a hash");
        assert_eq!((consistent.moved, consistent.of_removed, consistent.clients), (0, 33, 67));
        assert!(!consistent.is_of_all());
        let modulo = removed(|own| (own + 1) % 2).disruption.expect("it is a hash");
        assert!(modulo.is_of_all() && modulo.moved == 67, "{modulo:?}");
    }

    #[test]
    fn sessions_that_are_required_are_judged_whatever_the_algorithm_and_only_where_one_was_opened() {
        let mut trial = trial(|own| (own + 1) % 3);
        trial.inference.kind = Some(Algorithm::RoundRobin);
        assert!(trial.judge_by(|case| judge(case, None)).is_none());
        trial.expectations.sessions = true;
        trial.received.other_cookies = vec!["lb".to_owned()];
        let (level, facts) = finding(&trial);
        assert_eq!((level, facts.other_cookies), (Level::Inconclusive, vec!["lb".to_owned()]));
        trial.received.sessions = 100;
        assert_eq!(finding(&trial).0, Level::Fail);
    }

    #[test]
    fn a_client_whose_cookie_has_expired_comes_as_somebody_new_unless_sessions_must_last() {
        // From the middle on all are with another backend: the first request of each came without its cookie.
        let mut trial = trial(|own| (own + 1) % 3);
        trial.inference.kind = Some(Algorithm::Sticky);
        assert_eq!(finding(&trial).0, Level::Fail);
        trial.received.lapsed = (200 * 100..201 * 100).collect();
        let (level, facts) = finding(&trial);
        assert_eq!((level, facts.left, facts.lapsed, facts.lapsed_left), (Level::Inconclusive, 0, 100, 100));
        trial.expectations.algorithm = Some(Algorithm::Sticky);
        assert_eq!(finding(&trial).0, Level::Fail);
        let mut stays = super::tests::trial(|own| own);
        stays.received.lapsed = trial.received.lapsed;
        assert_eq!(finding(&stays).0, Level::Pass);
    }

    #[test]
    fn a_session_that_the_configuration_ends_may_move_then_and_no_sooner() {
        let mut trial = trial(|own| (own + 1) % 3);
        trial.inference.kind = Some(Algorithm::Sticky);
        let mut level = |whole: Option<u64>, idle: Option<u64>| {
            let life = |time: Option<u64>| time.map(Duration::from_micros);
            let line = "haproxy.cfg, line 7: cookie SRV insert maxlife 3s".to_owned();
            trial.expectations.session_life = Some(SessionLife { whole: life(whole), idle: life(idle), line });
            let (level, facts) = finding(&trial);
            (level, facts.left > 0, facts.lapsed_left)
        };
        assert_eq!(level(Some(1), None), (Level::Inconclusive, false, 100));
        assert_eq!(level(None, Some(1)), (Level::Inconclusive, false, 100));
        assert_eq!(level(Some(3_600_000_000), Some(3_600_000_000)), (Level::Fail, true, 0));
    }

    #[test]
    fn a_hash_with_a_bound_on_load_may_send_requests_elsewhere() {
        let mut trial = trial(|own| (own + 1) % 3);
        trial.inference.bound = Some((12, 24));
        assert_eq!(finding(&trial).0, Level::Inconclusive);
        let mut required = trial.clone();
        required.expectations.sessions = true;
        required.received.sessions = 100;
        assert_eq!(finding(&required).0, Level::Fail);
        trial.inference.kind = Some(Algorithm::Sticky);
        assert_eq!(finding(&trial).0, Level::Inconclusive);
        trial.expectations.algorithm = Some(Algorithm::Sticky);
        assert_eq!(finding(&trial).0, Level::Fail);
    }

    #[test]
    fn a_backend_that_joins_may_be_given_clients_of_others_and_a_command_joins_nobody() {
        let joining = |backend: Option<u16>, required: Option<Algorithm>| {
            // The third is put in after two seconds.
            let mut trial = RuleTrial::of(3, Some(Algorithm::Header));
            trial.varied = true;
            for round in 0..400u64 {
                for client in 0..100u16 {
                    let at = if round >= 200 && client % 3 == 0 { 2 } else { client % 2 };
                    trial.send(u32::from(client), at, round * 10_000 + u64::from(client) * 10);
                }
            }
            trial.drill.kind = Drill::Graceful;
            let at = Moment(2_000_000_000);
            let backend = backend.map(Backend);
            trial.drill.steps = vec![StepSpan { backend, begun: at, ended: at, is_done: true, is_rough: false }];
            trial.expectations.algorithm = required;
            finding(&trial)
        };
        let (level, facts) = joining(Some(2), None);
        assert_eq!((level, facts.joined), (Level::Note, vec!["9003".to_owned()]));
        assert_eq!(joining(Some(2), Some(Algorithm::Sticky)).0, Level::Inconclusive);
        assert_eq!(joining(None, None).0, Level::Fail);
    }

    #[test]
    fn of_first_requests_side_by_side_the_balancer_may_remember_any() {
        // Two of each client are under way at once; later ones go where the second went, or one day elsewhere.
        let side_by_side = |moves: u16| {
            let mut trial = RuleTrial::of(3, Some(Algorithm::Source));
            trial.varied = true;
            for round in 0..40u16 {
                for client in 0..60u16 {
                    let own = if round == 0 { client } else { client + 1 + round / 20 * moves };
                    let at =
                        u64::from(round.max(1) - 1) * 10_000 + u64::from(client) * 100 + u64::from(round.min(1)) * 10;
                    trial.send(u32::from(client), own % 3, at);
                    trial.observations.last_mut().unwrap().ended = Moment((at + 30) * 1_000);
                }
            }
            finding(&trial)
        };
        let (level, facts) = side_by_side(0);
        assert!(level == Level::Pass && facts.left == 0 && facts.later > 2_000, "{facts:?}");
        let (level, facts) = side_by_side(1);
        assert!(level == Level::Fail && facts.left_alive > 500, "{facts:?}");
    }

    #[test]
    fn a_client_whose_backend_fails_a_request_has_not_left_it() {
        let mut trial = trial(|own| own);
        trial.send(4, 2, 5_000_000);
        trial.after_failure_at(1);
        assert_eq!(finding(&trial).1.left, 0);
    }
}
