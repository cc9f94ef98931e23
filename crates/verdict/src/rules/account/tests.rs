use super::*;
use crate::Moment;
use crate::algorithm::Algorithm;
use crate::attempt::WayNumber;
use crate::limit::RateLimit;
use crate::observation::{Backend, ClientOutcome, Observation};
use crate::rules::expectations::Expectations;
use crate::rules::trial::{As, MILLISECOND, RuleTrial};
use crate::timeline::{OutageWindow, StepSpan};

#[test]
fn a_healthy_run_passes_with_one_finding_of_the_account() {
    let mut trial = RuleTrial::new();
    trial.healthy(300);
    assert_eq!((trial.level("account"), trial.failures()), (Some(Level::Pass), vec![]));
}

#[test]
fn what_is_lost_fails_with_its_witness() {
    let mut trial = RuleTrial::new();
    trial.healthy(100);
    trial.failed(ClientOutcome::Closed, false);
    trial.attempt(1, 200, AttemptEnd::Completed);
    trial.failed(ClientOutcome::TimedOut, false);
    assert_eq!(trial.failures(), ["lost", "not-reached"]);
    assert!(trial.judge().iter().filter(|it| it.level == Level::Fail).all(|it| it.witness.len() == 1));
}

#[test]
fn what_a_cache_fetched_in_the_background_is_stale_and_a_response_to_the_request_before_is_swapped() {
    // Each response is given to that many requests, the first of which comes after its own.
    let given_later = |to: u16| {
        let mut trial = RuleTrial::new();
        let mut latest = None;
        for turn in 0..100u16 {
            trial.failed(ClientOutcome::Response, true);
            let before = latest;
            if turn % to == 0 {
                latest = Some((trial.attempt(turn % 3, 200, AttemptEnd::Completed), turn % 3));
            }
            if let Some((answer, backend)) = before {
                trial.answered(answer, backend, 200);
            } else {
                trial.balancer(200);
            }
        }
        trial.failures().into_iter().filter(|rule| ["stale", "swapped"].contains(rule)).collect::<Vec<_>>()
    };
    assert_eq!(given_later(5), ["stale"]);
    assert_eq!(given_later(1), ["swapped"]);
}

#[test]
fn what_the_client_never_sent_is_no_loss() {
    let mut trial = RuleTrial::new();
    trial.healthy(300);
    for _ in 0..100 {
        trial.failed(ClientOutcome::Unsent, false);
    }
    assert_eq!((trial.level("unsent"), trial.level("not-reached")), (Some(Level::Inconclusive), None));
    assert_eq!(trial.failures(), [""; 0]);
    trial.failed(ClientOutcome::TimedOut, false);
    assert_eq!(trial.failures(), ["not-reached"]);
}

#[test]
fn a_lost_request_that_no_backend_finished_is_not_known_to_be_executed() {
    let mut trial = RuleTrial::new();
    trial.healthy(300);
    for end in [AttemptEnd::Completed, AttemptEnd::CutOff, AttemptEnd::Received] {
        trial.failed(ClientOutcome::Closed, false);
        trial.attempt(1, 0, end);
    }
    let findings = trial.judge();
    let losses = findings.iter().find_map(|finding| match &finding.facts {
        Facts::Lost(losses) => Some((losses.requests, losses.unfinished)),
        _ => None,
    });
    assert_eq!(losses, Some((3, 2)));
}

#[test]
fn a_double_execution_is_excused_only_where_a_backend_was_broken() {
    let doubled = |backend: u16, at: u64| {
        let mut trial = RuleTrial::new();
        trial.drill.kind = Drill::Rough;
        let window = |from: usize, to: usize| OutageWindow {
            backend: Backend(1),
            broken: RuleTrial::due(from),
            mended: Some(RuleTrial::due(to)),
            is_restarted: false,
        };
        trial.drill.windows = vec![window(100, 200)];
        for turn in 0..20_000 {
            trial.delivered(if u64::from(turn) == at { 0 } else { turn % 3 }, 200);
            if u64::from(turn) == at {
                trial.attempt(backend, 200, AttemptEnd::Completed);
            }
        }
        trial.level("duplicated")
    };
    assert_eq!(doubled(1, 150), Some(Level::Note));
    assert_eq!(doubled(2, 150), Some(Level::Fail), "of a backend that was well");
    assert_eq!(doubled(1, 19_000), Some(Level::Fail), "long after the outage");
}

#[test]
fn an_outage_may_explain_what_reached_another_backend_when_its_client_had_all_but_given_up() {
    let lost = |outcome: ClientOutcome, tenths: u64| {
        let mut trial = RuleTrial::new();
        trial.drill.kind = Drill::Rough;
        let (broken, mended) = (RuleTrial::due(100), Some(RuleTrial::due(200)));
        trial.drill.windows = vec![OutageWindow { backend: Backend(1), broken, mended, is_restarted: false }];
        trial.healthy(150);
        let observation = trial.failed(outcome, false);
        let ended = Moment(observation.due.0 + 100 * MILLISECOND);
        observation.ended = ended;
        trial.attempt(2, 200, AttemptEnd::Completed);
        trial.arrivals.last_mut().unwrap().received = Moment(ended.0 - 10 * MILLISECOND * (10 - tenths));
        trial.healthy(150);
        trial.level("lost")
    };
    assert_eq!(lost(ClientOutcome::TimedOut, 9), Some(Level::Inconclusive), "who was tried before is not known");
    assert_eq!(lost(ClientOutcome::TimedOut, 8), Some(Level::Fail), "it had time left");
    assert_eq!(lost(ClientOutcome::Closed, 9), Some(Level::Fail), "nobody waited that long");
}

#[test]
fn an_outage_does_not_explain_losses_before_it_and_closes_far_from_its_steps() {
    let mut trial = RuleTrial::new();
    trial.drill.kind = Drill::Rough;
    let at = |request: usize| RuleTrial::due(request);
    trial.drill.windows =
        vec![OutageWindow { backend: Backend(1), broken: at(6_000), mended: Some(at(7_000)), is_restarted: false }];
    trial.drill.steps = [6_000, 7_000]
        .map(|step| StepSpan { backend: None, begun: at(step), ended: at(step), is_done: true, is_rough: true })
        .to_vec();
    for turn in 0..9_000u16 {
        match turn % 100 {
            99 => {
                // Fresh connections before the outage, kept ones in it.
                trial.failed(ClientOutcome::Closed, turn > 6_000);
            }
            _ => trial.delivered(turn % 3, 200),
        }
    }
    assert!(trial.failures().contains(&"not-reached"), "{:?}", trial.failures());
    let mut early = RuleTrial::new();
    early.drill = trial.drill.clone();
    for turn in 0..9_000u16 {
        match turn % 100 {
            99 if turn < 5_000 => drop(early.failed(ClientOutcome::Closed, true)),
            _ => early.delivered(turn % 3, 200),
        }
    }
    assert_eq!(early.level("idle-close"), Some(Level::Inconclusive));
}

#[test]
fn an_experiment_that_fails_is_nobodys_failure() {
    let mut trial = RuleTrial::new();
    trial.healthy(100);
    trial.balancer(504);
    assert_eq!(trial.failures(), ["balancer"]);
    trial.span.invented = vec![100];
    assert_eq!((trial.level("account"), trial.failures()), (Some(Level::Pass), vec![]));
}

#[test]
fn a_few_closes_at_the_moment_of_use_are_a_note_and_many_are_not() {
    let closed = |method: &'static str, count: u16, late: bool| {
        let mut trial = RuleTrial::new();
        trial.sent.method = method;
        trial.healthy(1000);
        for _ in 0..count {
            let observation = trial.failed(ClientOutcome::Closed, true);
            if late {
                observation.ended = Moment(observation.due.0 + 300 * MILLISECOND);
            }
        }
        trial
    };
    assert_eq!(closed("GET", 2, false).level("idle-close"), Some(Level::Note));
    assert_eq!(closed("GET", 10, false).level("idle-close"), Some(Level::Inconclusive));
    assert_eq!(closed("POST", 2, false).level("idle-close"), Some(Level::Inconclusive));
    assert_eq!(closed("POST", 10, false).failures(), ["idle-close"]);
    // Much later than a round trip it is no race.
    assert_eq!(closed("GET", 2, true).failures(), ["not-reached"]);
}

#[test]
fn a_close_that_comes_as_late_as_responses_on_a_busy_machine_proves_nothing() {
    let trial = |slowest: u64, closed_after: u64| {
        let mut trial = RuleTrial::new();
        trial.healthy(1000);
        let end_after = |last: &mut Observation, time: u64| last.ended = Moment(last.sent().0 + time * MILLISECOND);
        end_after(trial.observations.last_mut().unwrap(), slowest);
        end_after(trial.failed(ClientOutcome::Closed, true), closed_after);
        trial
    };
    let busy = trial(90, 80);
    assert_eq!((busy.level("idle-close"), busy.failures()), (Some(Level::Inconclusive), vec![]));
    assert_eq!(trial(90, 40).level("idle-close"), Some(Level::Note));
    // Nothing else was as slow, or a busy machine does not explain it.
    assert_eq!(trial(20, 80).failures(), ["not-reached"]);
    assert_eq!(trial(900, 300).failures(), ["not-reached"]);
}

fn broken(backend: u16, from: u64, until: u64) -> OutageWindow {
    let at = |millisecond: u64| Moment((1000 + millisecond) * MILLISECOND);
    OutageWindow { backend: Backend(backend), broken: at(from), mended: Some(at(until)), is_restarted: false }
}

#[test]
fn an_outage_excuses_errors_in_its_time_and_of_its_backend_alone() {
    let at = |place: u16, backend: Option<u16>| {
        let mut trial = RuleTrial::new();
        trial.drill.kind = Drill::Rough;
        trial.drill.windows = vec![broken(1, 100, 200)];
        for turn in 0..300 {
            if turn == place {
                trial.balancer(502);
                backend.map(|backend| trial.attempt(backend, 0, AttemptEnd::CutOff));
            } else {
                trial.delivered(turn % 3, 200);
            }
        }
        trial
    };
    for excused in [at(150, None), at(150, Some(1)), at(250, None)] {
        assert_eq!((excused.level("balancer"), excused.failures()), (Some(Level::Note), vec![]));
    }
    for judged in [at(50, None), at(50, Some(1)), at(150, Some(2))] {
        assert_eq!(judged.failures(), ["balancer"]);
    }
    let mut lossless = at(150, Some(1));
    lossless.expectations.lossless = Some(true);
    assert_eq!(lossless.failures(), ["balancer"]);
}

#[test]
fn a_third_of_the_clients_with_503_is_no_silent_pass() {
    let run = |status: u16| {
        let mut trial = RuleTrial::new();
        (0..300).for_each(|turn| trial.delivered(turn % 3, if turn % 3 == 1 { status } else { 200 }));
        trial
    };
    assert_eq!(run(503).failures(), ["statuses"]);
    assert_eq!(run(304).failures(), Vec::<&str>::new());
    let mut expected = run(503);
    expected.expectations.required = vec![Requirement::Status { low: 200, high: 503 }];
    assert_eq!((expected.level("statuses"), expected.failures()), (Some(Level::Pass), vec![]));
    let mut expected = run(304);
    expected.expectations.required = vec![Requirement::Status { low: 200, high: 299 }];
    assert_eq!(expected.failures(), ["statuses"]);
}

#[test]
fn a_head_that_is_too_large_as_the_check_sends_it_accuses_no_balancer() {
    let level = |status: u16, bytes: usize| {
        let mut trial = RuleTrial::new();
        trial.sent.fields = vec![("cookie".to_owned(), "a".repeat(bytes))];
        (0..30).for_each(|turn| trial.delivered(turn % 3, if turn % 10 == 0 { status } else { 200 }));
        trial.arrivals.iter_mut().filter(|it| it.status == status).for_each(|it| it.way = WayNumber::UNREAD);
        trial.level("refused")
    };
    assert_eq!(level(431, 17_000), Some(Level::Inconclusive));
    // What the balancer adds makes a smaller one too large, and no size is a reason for another status.
    assert_eq!((level(431, 9_000), level(400, 17_000)), (Some(Level::Fail), Some(Level::Fail)));
}

#[test]
fn what_backends_refuse_to_read_is_said_to_be_so() {
    let mut trial = RuleTrial::new();
    (0..30).for_each(|turn| trial.delivered(turn % 3, if turn % 10 == 0 { 400 } else { 200 }));
    assert_eq!(trial.failures(), ["statuses"], "a status that was asked for");
    trial.arrivals.iter_mut().filter(|it| it.status == 400).for_each(|it| it.way = WayNumber::UNREAD);
    assert_eq!(trial.failures(), ["refused"]);
    let reset = |way: WayNumber| {
        let mut trial = RuleTrial::new();
        trial.healthy(30);
        trial.failed(ClientOutcome::StreamReset, true);
        trial.attempt(1, 400, AttemptEnd::CutOff);
        trial.arrivals.last_mut().unwrap().way = way;
        trial
    };
    assert_eq!(reset(WayNumber::default()).failures(), ["lost"]);
    let refused = reset(WayNumber::UNREAD);
    assert_eq!(refused.failures(), ["refused"]);
    let Facts::Refused(facts) = refused.facts("refused") else { panic!("{:?}", refused.judge()) };
    assert_eq!(
        (facts.statuses, facts.backends),
        (BTreeMap::from([(400, 1)]), BTreeMap::from([("9002".to_owned(), 1)]))
    );
}

#[test]
fn responses_of_the_balancer_itself_name_the_backends_that_had_the_requests() {
    let mut trial = RuleTrial::new();
    trial.healthy(30);
    for backend in [1, 1, 2] {
        trial.balancer(504);
        trial.attempt(backend, 0, AttemptEnd::CutOff);
    }
    let Facts::Balancer(facts) = trial.facts("balancer") else { panic!() };
    assert_eq!(facts.backends, BTreeMap::from([("9002".to_owned(), 2), ("9003".to_owned(), 1)]));
    assert_eq!((facts.received, facts.dead_turns), (3, None));
}

#[test]
fn a_turn_that_reaches_nobody_is_that_of_a_server_which_is_none_of_the_backends() {
    let dead = |known: u16, drill: Drill| {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        (0..3).for_each(|turn| trial.delivered(turn % known, 200));
        trial.balancer(502);
        let turns: Vec<Backend> = (0..known).map(Backend).chain([Backend::UNKNOWN]).collect();
        trial.inference.weights = turns.iter().map(|backend| (*backend, 1)).collect();
        trial.inference.turns = Some(turns);
        trial.drill.kind = drill;
        let Facts::Balancer(facts) = trial.facts("balancer") else { panic!() };
        facts.dead_turns
    };
    assert_eq!(dead(3, Drill::None), Some((1, 4)));
    // The turn of a backend that is missing is its own.
    assert_eq!((dead(2, Drill::None), dead(3, Drill::Rough)), (None, None));
}

#[test]
fn a_retry_at_the_backend_that_had_just_failed_is_named() {
    let mut trial = RuleTrial::new();
    trial.healthy(100);
    trial.failed(ClientOutcome::Response, false);
    trial.attempt(1, 503, AttemptEnd::Completed);
    let answer = trial.attempt(1, 503, AttemptEnd::Completed);
    trial.answered(answer, 1, 503);
    let Facts::Retried(facts) = trial.facts("retried") else { panic!() };
    assert_eq!((facts.requests, facts.same_backend, facts.failed, facts.begun), (1, 1, 1, 0));
}

#[test]
fn a_success_or_redirect_that_no_backend_of_the_fleet_gave_may_be_that_of_another_backend() {
    let own = |status: u16, received: u64| OwnResponses {
        requests: 9,
        excused: 0,
        of: 300,
        statuses: BTreeMap::from([(status, 9)]),
        received,
        unprocessed: 0,
        backends: BTreeMap::new(),
        dead_turns: None,
        given_up: 0,
        handshakes: None,
        kept: false,
        configured: Vec::new(),
    };
    assert!(own(302, 0).may_be_foreign() && !own(404, 0).may_be_foreign());
    assert!(!own(304, 0).may_be_foreign(), "nobody asked whether it has changed");
    assert!(own(200, 0).may_be_foreign() && !own(502, 0).may_be_foreign() && !own(200, 1).may_be_foreign());
}

fn mirrored(every: u16, copy: &[RequestPart], took: u32) -> RuleTrial {
    let mut trial = RuleTrial::new();
    for turn in 0..300 {
        trial.delivered(turn % 2, 200);
        if turn % every == 0 {
            trial.attempt(2, 200, AttemptEnd::Completed);
            let copied = trial.arrivals.last_mut().unwrap();
            copied.differences = copy.iter().copied().collect();
            copied.took = took;
            let observation = trial.observations.last_mut().unwrap();
            observation.ended = observation.due.after(std::time::Duration::from_nanos(u64::from(took) * 100));
        }
    }
    trial
}

#[test]
fn faithful_copies_are_a_note_and_copies_that_are_other_requests_a_failure() {
    let trial = mirrored(1, &[], 100);
    assert_eq!((trial.level("mirrored"), trial.failures()), (Some(Level::Note), vec![]));
    // The mirror has no share.
    assert_eq!(trial.level("shares"), Some(Level::Pass));
    assert_eq!(mirrored(1, &[RequestPart::Path], 100).failures(), ["mirrored"]);
    let mut rewritten = mirrored(1, &[], 100);
    for own in rewritten.arrivals.iter_mut().filter(|arrival| arrival.backend != Backend(2)) {
        own.differences = [RequestPart::Path].into_iter().collect();
    }
    assert_eq!(rewritten.level("mirrored"), Some(Level::Note));
    let mut post = mirrored(1, &[], 100);
    post.sent.method = "POST";
    assert_eq!(post.failures(), ["mirrored"]);
    post.expectations.allowed = vec![Outcome::Mirrored];
    assert!(post.failures().is_empty());
    let mut expected = mirrored(5, &[], 100);
    expected.expectations.required = vec![Requirement::Mirrored(0.2)];
    assert_eq!(expected.level("mirrored"), Some(Level::Pass));
    expected.expectations.required = vec![Requirement::Mirrored(0.5)];
    assert_eq!(expected.failures(), ["mirrored"]);
}

#[test]
fn a_slow_mirror_is_put_together_with_the_time_that_requests_take_longer() {
    let Facts::Mirrored(facts) = mirrored(1, &[], 2_000_000).facts("mirrored") else { panic!() };
    assert_eq!(facts.held.map(|(copy, _)| copy), Some(0.2));
    let Facts::Mirrored(facts) = mirrored(1, &[], 100).facts("mirrored") else { panic!() };
    assert_eq!(facts.held, None);
}

#[test]
fn a_post_that_was_tried_twice_fails_and_a_get_is_a_note() {
    let run = |method| {
        let mut trial = RuleTrial::new();
        trial.sent.method = method;
        trial.healthy(100);
        trial.failed(ClientOutcome::Response, false);
        trial.attempt(0, 0, AttemptEnd::CutOff);
        let answer = trial.attempt(1, 200, AttemptEnd::Completed);
        trial.answered(answer, 1, 200);
        trial.delivered_as(2, 200, &As::default());
        trial
    };
    assert_eq!(run("POST").failures(), ["repeated"]);
    assert_eq!((run("GET").level("retried"), run("GET").failures()), (Some(Level::Note), vec![]));
}

#[test]
fn whether_a_call_may_be_repeated_after_unavailable_is_for_its_method_to_say() {
    let run = |end: AttemptEnd, status: u16, allowed: &[Outcome]| {
        let mut trial = RuleTrial::new();
        trial.sent.method = "POST";
        trial.sent.fields = vec![("Content-Type".to_owned(), "application/grpc".to_owned())];
        trial.expectations.allowed = allowed.to_vec();
        trial.failed(ClientOutcome::Response, false);
        trial.attempt(0, status, end);
        let answer = trial.attempt(1, 200, AttemptEnd::Completed);
        trial.answered(answer, 1, 200);
        trial.level("repeated")
    };
    assert_eq!(run(AttemptEnd::Completed, 503, &[]), Some(Level::Inconclusive));
    assert_eq!(run(AttemptEnd::Completed, 503, &[Outcome::Retried]), Some(Level::Note));
    // It may have been executed, or was.
    assert_eq!(run(AttemptEnd::CutOff, 0, &[Outcome::Retried]), Some(Level::Fail));
    assert_eq!(run(AttemptEnd::Completed, 200, &[]), Some(Level::Fail));
}

#[test]
fn what_backends_refuse_unprocessed_may_be_sent_again_and_was_not_executed() {
    let run = |end: AttemptEnd| {
        let mut trial = RuleTrial::new();
        trial.sent.method = "POST";
        trial.failed(ClientOutcome::Response, true);
        trial.attempt(0, 0, end);
        let answer = trial.attempt(1, 200, AttemptEnd::Completed);
        trial.answered(answer, 1, 200);
        trial.delivered_as(2, 200, &As::default());
        trial
    };
    assert_eq!(run(AttemptEnd::CutOff).failures(), ["repeated"]);
    let refused = run(AttemptEnd::Refused);
    assert_eq!((refused.level("retried"), refused.failures()), (Some(Level::Note), vec![]));
}

#[test]
fn a_loss_or_a_response_of_the_balancer_after_refusals_alone_says_that_nothing_was_executed() {
    let mut trial = RuleTrial::new();
    for (place, end) in [AttemptEnd::Refused, AttemptEnd::Refused, AttemptEnd::CutOff].into_iter().enumerate() {
        trial.failed(ClientOutcome::Reset, true);
        trial.attempt(place as u16, 0, end);
        trial.balancer(503);
        trial.attempt(place as u16, 0, end);
    }
    let Facts::Lost(lost) = trial.facts("lost") else { panic!() };
    assert_eq!((lost.requests, lost.unprocessed), (3, 2));
    let Facts::Balancer(own) = trial.facts("balancer") else { panic!() };
    assert_eq!((own.requests, own.received, own.unprocessed), (3, 1, 2));
}

#[test]
fn a_stream_that_is_reset_is_no_connection_that_idled() {
    let run = |outcome: ClientOutcome| {
        let mut trial = RuleTrial::new();
        trial.healthy(3_000);
        let reset = trial.failed(outcome, false);
        (reset.reused, reset.ended) = (true, reset.sent());
        trial
    };
    assert_eq!(run(ClientOutcome::Closed).level("idle-close"), Some(Level::Note));
    assert_eq!(run(ClientOutcome::StreamReset).failures(), ["not-reached"]);
}

#[test]
fn what_a_limit_refuses_is_said_by_its_own_rule() {
    let run = |has_limit: bool, status: u16| {
        let mut trial = RuleTrial::new();
        trial.healthy(100);
        for _ in 0..50 {
            trial.balancer(status);
        }
        trial.limit = has_limit.then_some(RateLimit { status: 429, refused: 50, ..RateLimit::default() });
        trial
    };
    let limited = run(true, 429);
    assert_eq!((limited.failures(), limited.level("rate-limit")), (vec![], Some(Level::Inconclusive)));
    assert_eq!((limited.level("balancer"), limited.level("account")), (None, None));
    assert_eq!(run(false, 429).failures(), ["balancer"]);
    assert_eq!(run(true, 502).failures(), ["balancer"], "another status");
    let with = |change: fn(&mut Expectations)| {
        let mut trial = run(true, 429);
        change(&mut trial.expectations);
        trial
    };
    assert_eq!(with(|it| it.lossless = Some(true)).failures(), ["balancer"], "the user wants no error at all");
    assert_eq!(with(|it| it.required.push(Requirement::Status { low: 200, high: 299 })).failures(), ["statuses"]);
    assert_eq!(with(|it| it.allowed.push(Outcome::Balancer)).level("rate-limit"), Some(Level::Note));
}

#[test]
fn what_a_backend_would_not_do_may_be_asked_of_another_and_was_not_executed() {
    let run = |first: u16, second: u16, delivered: usize| {
        let mut trial = RuleTrial::new();
        trial.healthy(100);
        trial.failed(ClientOutcome::Response, false);
        let answers = [trial.attempt(1, first, AttemptEnd::Completed), trial.attempt(2, second, AttemptEnd::Completed)];
        trial.answered(answers[delivered], 1 + delivered as u16, [first, second][delivered]);
        trial
    };
    for status in [404, 429] {
        let asked_on = run(status, 200, 1);
        assert_eq!((asked_on.level("retried"), asked_on.failures()), (Some(Level::Note), vec![]), "{status}");
    }
    // Done twice; and once more though it had been done.
    for (first, second, delivered) in [(200, 200, 1), (200, 404, 0)] {
        assert!(run(first, second, delivered).failures().contains(&"duplicated"), "{first} {second}");
    }
}

/// Of a hundred requests every third goes to 9001 as well, which says 404; `over`: before the other one is asked.
fn lacks(status: u16, over: bool) -> RuleTrial {
    let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
    for turn in 0..100u16 {
        trial.failed(ClientOutcome::Response, false);
        if turn % 3 == 0 {
            trial.attempt(turn / 3 % 3, 404, AttemptEnd::Completed);
            trial.arrivals.last_mut().expect("it was made").took = if over { 0 } else { 1_000_000 };
        }
        let backend = 1 + turn % 2;
        let answer = trial.attempt(backend, status, AttemptEnd::Completed);
        trial.answered(answer, backend, status);
    }
    trial
}

#[test]
fn backends_that_lack_what_is_asked_for_may_be_asked_one_after_the_other() {
    for status in [200, 404] {
        let asked_on = lacks(status, true);
        assert_eq!(asked_on.level("retried"), Some(Level::Note), "{status}");
        assert!(!asked_on.failures().contains(&"duplicated"), "{status}");
    }
    assert!(lacks(404, false).failures().contains(&"duplicated"), "at the same time");
}

#[test]
fn a_mirror_that_refuses_all_may_be_a_backend_that_lacks_what_is_asked_for() {
    let refused = |status: u16| {
        let mut trial = RuleTrial::of(3, Some(Algorithm::RoundRobin));
        for turn in 0..100u16 {
            trial.failed(ClientOutcome::Response, false);
            if turn % 3 == 0 {
                trial.attempt(0, status, AttemptEnd::Completed);
            }
            let answer = trial.attempt(1 + turn % 2, 200, AttemptEnd::Completed);
            trial.answered(answer, 1 + turn % 2, 200);
        }
        let Facts::Mirrored(facts) = trial.facts("mirrored") else { panic!() };
        facts.refused
    };
    assert_eq!((refused(404), refused(200)), (true, false));
}

#[test]
fn what_the_balancer_refuses_after_it_left_slow_backends_is_explained_by_that() {
    let mut trial = RuleTrial::new();
    trial.balancer(504).ended.0 += 3_000 * MILLISECOND;
    trial.attempt(1, 200, AttemptEnd::CutOff);
    trial.arrivals.last_mut().expect("it was made").took = 10_000_000;
    trial.span.warm_up = 1;
    for _ in 0..9 {
        trial.balancer(502);
    }
    let given_up = |trial: &RuleTrial| {
        let Facts::Balancer(facts) = trial.facts("balancer") else { panic!() };
        (facts.requests, facts.given_up)
    };
    assert_eq!(given_up(&trial), (9, 1));
    trial.span.invented = vec![0];
    assert_eq!(given_up(&trial), (9, 0), "the check itself had it answered late");
    trial.span.invented.clear();
    trial.observations[0].ended = RuleTrial::due(1);
    assert_eq!(given_up(&trial), (9, 0), "its client had left");
}

#[test]
fn what_a_client_gave_up_while_backends_were_at_work_is_not_held_against_the_balancer() {
    const SECOND: u64 = 1000 * MILLISECOND;
    let lost = |outcome: ClientOutcome, attempts: &[(AttemptEnd, u16, u64)], lossless: Option<bool>| {
        let mut trial = RuleTrial::new();
        trial.expectations.lossless = lossless;
        (0..30).for_each(|turn| trial.delivered(turn % 3, 200));
        let observation = trial.failed(outcome, false);
        observation.ended = Moment(observation.due.0 + SECOND);
        for (place, (end, status, milliseconds)) in (0..).zip(attempts) {
            trial.attempt(place, *status, *end);
            trial.arrivals.last_mut().unwrap().took = (milliseconds * MILLISECOND / 100) as u32;
        }
        trial.level("lost")
    };
    use AttemptEnd::{Completed, CutOff, Received};
    for end in [(Received, 0, 0), (CutOff, 200, 1001), (Completed, 200, 990)] {
        assert_eq!(lost(ClientOutcome::TimedOut, &[end], None), Some(Level::Inconclusive), "{end:?}");
        assert_eq!(lost(ClientOutcome::TimedOut, &[end], Some(true)), Some(Level::Fail), "{end:?}");
        assert_eq!(lost(ClientOutcome::Closed, &[end], None), Some(Level::Fail), "{end:?}");
    }
    // The balancer had a response to pass on, or had ended the attempt itself.
    for end in [(Completed, 200, 10), (Completed, 500, 10), (CutOff, 200, 10)] {
        assert_eq!(lost(ClientOutcome::TimedOut, &[end], None), Some(Level::Fail), "{end:?}");
    }
    // A client that waits for 4 ms is no witness; one that waits for 20 ms is.
    for (waits, level) in [(4, Level::Inconclusive), (20, Level::Fail)] {
        let mut trial = RuleTrial::new();
        (0..30).for_each(|turn| trial.delivered(turn % 3, 200));
        let observation = trial.failed(ClientOutcome::TimedOut, false);
        observation.ended = Moment(observation.due.0 + waits * MILLISECOND);
        trial.attempt(0, 200, Completed);
        assert_eq!(trial.level("lost"), Some(level), "{waits} ms");
    }
    assert_eq!(lost(ClientOutcome::TimedOut, &[(Completed, 200, 10), (Received, 0, 0)], None), Some(Level::Fail));
    assert_eq!(
        lost(ClientOutcome::TimedOut, &[(Completed, 503, 10), (Received, 0, 0)], None),
        Some(Level::Inconclusive)
    );
}

#[test]
fn failed_handshakes_stand_with_what_the_balancer_responded_where_they_may_be_the_cause() {
    let named = |reason: HandshakeFailure, count: u64, own: u16| {
        let mut trial = RuleTrial::new();
        for turn in 0..60 {
            if turn < own {
                trial.balancer(502);
            } else {
                trial.delivered(turn % 3, 200);
            }
        }
        trial.tls.connections.failed = vec![Refused { reason, count }];
        match trial.facts("balancer") {
            Facts::Balancer(facts) => facts.handshakes.map(|it| it.reason),
            other => panic!("{other:?}"),
        }
    };
    let missing = HandshakeFailure::NoClientCertificate;
    // A balancer that keeps away from what failed tries few.
    assert_eq!(named(missing, 2, 30), Some(missing));
    // Health checks connect and leave, too.
    assert_eq!(named(HandshakeFailure::ClosedAfter, 2, 30), None);
    assert_eq!(named(HandshakeFailure::ClosedAfter, 20, 30), Some(HandshakeFailure::ClosedAfter));
}
