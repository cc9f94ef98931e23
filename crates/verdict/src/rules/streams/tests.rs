use std::time::Duration;

use super::*;
use crate::AttemptEnd;
use crate::facts::resilience::DrillStep;
use crate::life::Life;
use crate::observation::ClientOutcome;
use crate::report::Outage;
use crate::rules::requirement::TlsRequirement;
use crate::rules::trial::{MILLISECOND, RuleTrial};
use crate::streams::Sequence;
use crate::timeline::{OutageWindow, StepSpan};

const SECOND: u64 = 1000 * MILLISECOND;

/// A run of streams, with what both ends saw of each.
struct StreamRig {
    trial: RuleTrial,
    seen: Vec<StreamObservation>,
    lived: Vec<Lived>,
    kind: StreamKind,
    lateness: Duration,
    other_clocks: bool,
}

impl StreamRig {
    fn of(kind: StreamKind) -> StreamRig {
        let (lateness, other_clocks) = (Duration::ZERO, false);
        StreamRig { trial: RuleTrial::new(), seen: Vec::new(), lived: Vec::new(), kind, lateness, other_clocks }
    }

    /// A stream of ten events, a tenth of a second apart, that came at once and was ended as planned.
    fn whole(&mut self, backend: u16) -> (&mut StreamObservation, &mut Lived) {
        self.trial.delivered(backend, if self.kind == StreamKind::Websocket { 101 } else { 200 });
        let observation = self.trial.observations.last_mut().unwrap();
        let opened = Moment(observation.due.0 + MILLISECOND);
        let ended = opened.after(Duration::from_secs(1));
        (observation.ended, observation.client) = (ended, self.seen.len() as u32);
        let mut events = Sequence::after(0);
        (1..=10).for_each(|number| events.see(number));
        let written = |number: u64| Moment(opened.0 + number * SECOND / 10);
        let is_socket = self.kind == StreamKind::Websocket;
        self.seen.push(StreamObservation {
            sequence: self.trial.observations.len() as u32 - 1,
            kind: self.kind,
            opened: Some(opened),
            ended,
            last_came: ended,
            events,
            times: (0..10).map(|number| (written(number), Moment(written(number).0 + MILLISECOND))).collect(),
            foreign: 0,
            sent: 0,
            echoes: Sequence::after(0),
            end: if is_socket { ClientEnd::Left } else { ClientEnd::Whole },
            close_sent: is_socket.then_some(1000),
            close_received: is_socket.then_some(1000),
            resumed_after: None,
        });
        let end = if is_socket { LifeEnd::CloseFrame } else { LifeEnd::Backend };
        let code = is_socket.then_some(1000);
        let life = Life { written: 10, end, close_sent: code, close_received: code, ..Life::new(self.kind, 1) };
        let attempt = AttemptEnd::Completed;
        let answer = self.trial.observations.last().unwrap().response;
        self.lived.push(Lived { answer, backend: Backend(backend), began: opened, ended, end: attempt, life });
        (self.seen.last_mut().unwrap(), self.lived.last_mut().unwrap())
    }

    /// One whose connections the balancer ended.
    fn cut(&mut self, backend: u16) -> (&mut StreamObservation, &mut Lived) {
        self.whole(backend);
        self.trial.observations.last_mut().unwrap().outcome = ClientOutcome::Truncated;
        let (seen, lived) = (self.seen.last_mut().unwrap(), self.lived.last_mut().unwrap());
        (seen.end, seen.close_received, seen.close_sent) = (ClientEnd::Closed, None, None);
        (lived.life.end, lived.end) = (LifeEnd::Closed, AttemptEnd::CutOff);
        (lived.life.close_sent, lived.life.close_received) = (None, None);
        (seen, lived)
    }

    fn judged(mut self) -> RuleTrial {
        let mut streams = Streams::join(self.seen, self.lived);
        (streams.lateness, streams.other_clocks) = (self.lateness, self.other_clocks);
        self.trial.streams = Some(streams);
        self.trial
    }

    fn expecting(mut self, required: Requirement) -> RuleTrial {
        self.trial.expectations.required.push(required);
        self.judged()
    }

    fn step(&mut self, at: u64) {
        let at = Moment(RuleTrial::due(0).0 + at);
        self.trial.drill.steps.push(StepSpan { backend: None, begun: at, ended: at, is_done: true, is_rough: false });
        self.trial.drill.kind = Drill::Graceful;
    }
}

fn three(kind: StreamKind) -> StreamRig {
    let mut rig = StreamRig::of(kind);
    (0..9).for_each(|turn| _ = rig.whole(turn % 3));
    rig
}

#[test]
fn streams_that_come_whole_pass() {
    for kind in StreamKind::ALL {
        let trial = three(kind).judged();
        assert_eq!((trial.failures(), trial.level("streams")), (vec![], Some(Level::Note)), "{kind:?}");
        assert_eq!(trial.level("stream-alive"), Some(Level::Note));
    }
}

#[test]
fn a_planted_defect_of_each_kind_is_found_and_named() {
    let spoil = |spoil: fn(&mut StreamObservation)| {
        let mut rig = three(StreamKind::Events);
        spoil(rig.whole(0).0);
        match rig.judged().facts("stream-messages") {
            Facts::StreamMessages(facts) => facts,
            other => panic!("{other:?}"),
        }
    };
    let skip = spoil(|seen| {
        seen.events = Sequence::after(0);
        [1, 2, 4, 5, 6, 7, 8, 9, 10].into_iter().for_each(|number| seen.events.see(number));
    });
    assert_eq!((skip.streams, skip.lost, skip.doubled), (1, 1, 0));
    let double = spoil(|seen| seen.events.see(10));
    assert_eq!((double.lost, double.doubled), (0, 1));
    let swap = spoil(|seen| {
        seen.events = Sequence::after(0);
        [1, 3, 2, 4, 5, 6, 7, 8, 9, 10].into_iter().for_each(|number| seen.events.see(number));
    });
    assert_eq!((swap.lost, swap.misordered), (0, 1));
    assert_eq!(spoil(|seen| seen.foreign = 2).foreign, 2);
}

#[test]
fn messages_that_are_lost_on_the_way_there_are_no_events_that_are_lost_on_the_way_back() {
    let mut rig = three(StreamKind::Websocket);
    let (seen, lived) = rig.whole(0);
    (seen.sent, lived.life.received, lived.life.last_received, lived.life.misplaced) = (5, 4, 5, 1);
    seen.echoes = Sequence::after(0);
    [1, 2, 4, 5].into_iter().for_each(|number| seen.echoes.see(number));
    let Facts::StreamMessages(facts) = rig.judged().facts("stream-messages") else { panic!() };
    assert_eq!((facts.unreceived, facts.misplaced, facts.lost), (1, 1, 0));
    // Pushed before the close frame, and never come.
    let mut rig = three(StreamKind::Websocket);
    rig.whole(0).1.life.written = 12;
    let Facts::StreamMessages(facts) = rig.judged().facts("stream-messages") else { panic!() };
    assert_eq!(facts.lost, 2);
}

#[test]
fn a_stream_that_the_balancer_cuts_fails_and_one_that_its_backend_cuts_does_not() {
    let mut rig = three(StreamKind::Events);
    rig.cut(0);
    let Facts::StreamCut(facts) = rig.judged().facts("stream-cut") else { panic!() };
    assert_eq!((facts.streams, facts.by_balancer, facts.of, facts.event), (1, 1, 10, 10));
    let mut rig = three(StreamKind::Events);
    rig.cut(0).1.life.end = LifeEnd::Backend;
    let trial = rig.judged();
    assert_eq!((trial.failures(), trial.level("stream-cut")), (vec![], Some(Level::Note)));
}

#[test]
fn what_a_broken_backend_cuts_is_excused_and_what_it_does_not_is_not() {
    let cut_of = |backend: u16, end: LifeEnd, lossless: Option<bool>| {
        let mut rig = three(StreamKind::Websocket);
        rig.trial.drill.kind = Drill::Rough;
        rig.trial.drill.windows =
            vec![OutageWindow { backend: Backend(1), broken: RuleTrial::due(0), mended: None, is_restarted: false }];
        rig.cut(backend).1.life.end = end;
        rig.trial.expectations.lossless = lossless;
        rig.expecting(Requirement::Uncut).level("stream-cut")
    };
    assert_eq!(cut_of(1, LifeEnd::Open, None), Some(Level::Note));
    assert_eq!(cut_of(1, LifeEnd::Open, Some(true)), Some(Level::Fail));
    assert_eq!(cut_of(0, LifeEnd::Closed, None), Some(Level::Fail));
    // A backend that ended without a word may have been the one.
    assert_eq!(cut_of(0, LifeEnd::Open, None), Some(Level::Inconclusive));
}

#[test]
fn a_reload_may_close_with_a_frame_but_not_cut() {
    let closed = |required: Option<Requirement>, drilled: bool| {
        let mut rig = three(StreamKind::Websocket);
        if drilled {
            rig.step(SECOND / 2);
        }
        let (seen, lived) = rig.whole(0);
        (seen.end, seen.close_received) = (ClientEnd::Whole, Some(1001));
        (lived.life.end, lived.life.close_sent, lived.life.close_received) = (LifeEnd::Closed, None, None);
        rig.trial.expectations.required.extend(required);
        rig.judged().level("stream-cut")
    };
    assert_eq!(closed(None, true), Some(Level::Note));
    assert_eq!(closed(Some(Requirement::Uncut), true), Some(Level::Fail));
    assert_eq!(closed(None, false), Some(Level::Fail));
    let mut rig = three(StreamKind::Websocket);
    rig.step(SECOND / 2);
    rig.cut(0);
    assert_eq!(rig.judged().level("stream-cut"), Some(Level::Fail));
    assert_eq!(three(StreamKind::Websocket).expecting(Requirement::Uncut).level("stream-cut"), Some(Level::Pass));
}

#[test]
fn a_stream_that_looks_whole_and_is_not_is_found() {
    let mut rig = three(StreamKind::Chunks);
    let (_, lived) = rig.whole(0);
    (lived.life.written, lived.life.end, lived.end) = (11, LifeEnd::Closed, AttemptEnd::CutOff);
    assert_eq!(rig.judged().failures(), ["stream-truncated"]);
}

#[test]
fn events_that_are_held_back_fail_where_that_is_forbidden_and_else_are_a_note() {
    let late = |rig: &mut StreamRig, by: u64| {
        for seen in &mut rig.seen {
            seen.times.iter_mut().for_each(|(_, came)| came.0 += by);
        }
    };
    let limit = || Requirement::Unbuffered(Duration::from_millis(100));
    let mut rig = three(StreamKind::Events);
    late(&mut rig, SECOND / 5);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Fail));
    let mut rig = three(StreamKind::Events);
    late(&mut rig, SECOND / 5);
    assert_eq!(rig.judged().level("stream-delay"), Some(Level::Note));
    // A client that is late itself accuses nobody.
    let mut rig = three(StreamKind::Events);
    late(&mut rig, SECOND / 5);
    rig.lateness = Duration::from_millis(80);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Inconclusive));
    // Nor does a backend that is late, for this machine is: one event in four is written 50 ms after its time.
    let starved = |rig: &mut StreamRig| {
        for (place, (written, came)) in rig.seen.iter_mut().flat_map(|seen| seen.times.iter_mut().enumerate()) {
            let by = if place % 4 == 3 { SECOND / 20 } else { 0 };
            (written.0, came.0) = (written.0 + by, came.0 + by);
        }
    };
    let mut rig = three(StreamKind::Events);
    late(&mut rig, SECOND / 5);
    starved(&mut rig);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Inconclusive));
    // More than that explains is the balancer's all the same.
    let mut rig = three(StreamKind::Events);
    late(&mut rig, SECOND / 2);
    starved(&mut rig);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Fail));
    // Another clock is no delay.
    let mut rig = three(StreamKind::Events);
    late(&mut rig, 3600 * SECOND);
    rig.other_clocks = true;
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Pass));
    // A few that are late are the machine's.
    let mut rig = three(StreamKind::Events);
    rig.seen[0].times[0].1.0 += SECOND;
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Pass));
    // Written, and never come while the client waited.
    let mut rig = three(StreamKind::Events);
    let (seen, lived) = rig.whole(0);
    (seen.end, lived.life.written, lived.life.end) = (ClientEnd::Left, 100, LifeEnd::Closed);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Fail));
    // The latest of them, on a machine that is late by more than their pace.
    let mut rig = three(StreamKind::Events);
    let (seen, lived) = rig.whole(0);
    (seen.end, lived.life.written, lived.life.end) = (ClientEnd::Left, 15, LifeEnd::Closed);
    rig.lateness = Duration::from_millis(300);
    assert_eq!(rig.expecting(limit()).level("stream-delay"), Some(Level::Pass));
}

#[test]
fn events_that_come_more_slowly_than_they_are_written_are_not_called_buffered() {
    let is_backlog = |came: fn(u64) -> u64, written: Option<u64>| {
        let mut rig = three(StreamKind::Events);
        for seen in &mut rig.seen {
            let first = seen.times[0].0.0;
            for (number, (at, arrived)) in (0..).zip(&mut seen.times) {
                at.0 = written.map_or(at.0, |every| first + number * every);
                arrived.0 = first + came(number);
            }
        }
        let Facts::StreamDelay(facts) = rig.judged().facts("stream-delay") else { panic!() };
        facts.is_backlog
    };
    // All at the end, or each later than the one before.
    assert!(!is_backlog(|_| SECOND, None) && !is_backlog(|number| (number + 2) * SECOND / 10, None));
    assert!(is_backlog(|number| number * SECOND / 5, None));
    // Who writes as fast as it can is ahead of whoever reads.
    assert!(is_backlog(|number| SECOND / 5 + number * MILLISECOND, Some(MILLISECOND)));
}

#[test]
fn one_stream_of_many_that_is_held_back_is_found() {
    let held = |late: u64, seconds: u64, is_drill: bool| {
        let mut rig = StreamRig::of(StreamKind::Events);
        (0..30).for_each(|turn| _ = rig.whole(turn % 3));
        let (seen, lived) = rig.whole(0);
        seen.times.iter_mut().skip(10 - late as usize).for_each(|(_, came)| came.0 += SECOND);
        seen.ended = Moment(lived.began.0 + seconds * SECOND);
        lived.ended = seen.ended;
        if is_drill {
            rig.step(0);
            rig.trial.drill.steps[0].backend = Some(Backend(0));
        }
        let limit = Requirement::Unbuffered(Duration::from_millis(100));
        rig.expecting(limit).level("stream-delay")
    };
    assert_eq!(held(6, 4, false), Some(Level::Fail));
    // Half of them may be late, a stream may be short, and a step on its backend explains it.
    assert_eq!(held(5, 4, false), Some(Level::Pass));
    assert_eq!(held(6, 2, false), Some(Level::Pass));
    assert_eq!(held(6, 4, true), Some(Level::Pass));
}

#[test]
fn what_a_backend_has_ended_comes_or_is_lost() {
    let stalled = |waited: u64, quiet: u64, other_clocks: bool| {
        let mut rig = three(StreamKind::Events);
        let (seen, lived) = rig.whole(0);
        seen.end = ClientEnd::Left;
        seen.events = Sequence::after(0);
        (1..=5).for_each(|number| seen.events.see(number));
        seen.ended = Moment(lived.ended.0 + waited * SECOND);
        seen.last_came = Moment(seen.ended.0 - quiet * SECOND);
        rig.other_clocks = other_clocks;
        rig.judged().level("stream-messages")
    };
    assert_eq!(stalled(4, 4, false), Some(Level::Fail));
    // The client left too early to tell, or what is slow still comes, or nobody knows when the backend ended it.
    assert_eq!(stalled(2, 4, false), None);
    assert_eq!(stalled(9, 1, false), None);
    assert_eq!(stalled(4, 4, true), None);
}

#[test]
fn messages_of_a_websocket_that_do_not_come_leave_it_open_what_became_of_them() {
    let silent = |came: u32, written: u32, sent: u32, echoed: u32| {
        let mut rig = three(StreamKind::Websocket);
        let (seen, lived) = rig.whole(0);
        (seen.close_received, lived.life.close_received, lived.life.end) = (None, None, LifeEnd::Reset);
        (seen.events, seen.echoes) = (Sequence::after(0), Sequence::after(0));
        (1..=came).for_each(|number| seen.events.see(number));
        (1..=echoed).for_each(|number| seen.echoes.see(number));
        (seen.sent, lived.life.written) = (sent, written);
        rig.judged().level("stream-delay")
    };
    assert_eq!(silent(10, 100, 0, 0), Some(Level::Inconclusive));
    assert_eq!(silent(10, 10, 60, 12), Some(Level::Inconclusive));
    // One may be on its way when the client leaves.
    assert_eq!(silent(10, 11, 0, 0), None);
    assert_eq!(silent(10, 10, 60, 60), None);
}

#[test]
fn a_close_code_that_is_altered_or_lost_is_found_both_ways() {
    let changed = |came: Option<u16>| {
        let mut rig = three(StreamKind::Websocket);
        let (seen, lived) = rig.whole(0);
        (lived.life.end, lived.life.close_sent) = (LifeEnd::Backend, Some(4001));
        (seen.end, seen.close_received) = (came.map_or(ClientEnd::Closed, |_| ClientEnd::Whole), came);
        rig.judged().failures()
    };
    assert_eq!(changed(Some(4001)), Vec::<&str>::new());
    assert_eq!(changed(Some(1006 - 6)), ["close-code"]);
    assert_eq!(changed(None), ["close-code"]);
    let mut rig = three(StreamKind::Websocket);
    rig.whole(0).1.life.close_received = Some(1001);
    assert_eq!(rig.judged().failures(), ["close-code"]);
}

#[test]
fn a_close_frame_of_the_client_has_to_arrive_and_be_replied_to() {
    let left = |of: &dyn Fn(&mut StreamObservation, &mut Lived)| {
        let mut rig = three(StreamKind::Websocket);
        let (seen, lived) = rig.whole(0);
        of(seen, lived);
        rig.judged().level("close-code")
    };
    assert_eq!(left(&|_, _| {}), None);
    assert_eq!(left(&|seen, _| seen.close_received = Some(1011)), Some(Level::Fail));
    // The balancer may have cut the connection at that moment.
    assert_eq!(left(&|seen, _| seen.close_received = None), Some(Level::Inconclusive));
    let lost = |_: &mut StreamObservation, lived: &mut Lived| {
        lived.life.end = LifeEnd::Closed;
        (lived.life.close_received, lived.life.close_sent) = (None, None);
    };
    assert_eq!(left(&lost), Some(Level::Inconclusive));
    // Nobody waited for the reply.
    assert_eq!(left(&|seen, _| (seen.close_sent, seen.close_received) = (None, None)), None);
    let mut reloaded = three(StreamKind::Websocket);
    reloaded.whole(0).0.close_received = None;
    reloaded.trial.drill.kind = Drill::Graceful;
    assert_eq!(reloaded.judged().level("close-code"), None);
}

#[test]
fn a_handshake_that_arrives_as_a_plain_request_is_named() {
    let mut rig = StreamRig::of(StreamKind::Websocket);
    for _ in 0..3 {
        let (seen, lived) = rig.whole(0);
        (seen.end, seen.opened) = (ClientEnd::NotOpened, None);
        let answer = lived.answer;
        rig.lived.pop();
        let observation = rig.trial.observations.last_mut().unwrap();
        observation.status = 426;
        rig.trial.arrivals.iter_mut().filter(|it| it.response == answer).for_each(|it| it.status = 426);
    }
    assert_eq!(rig.judged().failures(), ["upgrade"]);
}

#[test]
fn streams_are_even_or_surely_not_or_too_few_to_tell() {
    let spread = |counts: [usize; 3]| {
        let mut rig = StreamRig::of(StreamKind::Websocket);
        for (backend, count) in counts.into_iter().enumerate() {
            (0..count).for_each(|_| _ = rig.whole(backend as u16));
        }
        rig.expecting(Requirement::AliveEven).level("stream-alive")
    };
    assert_eq!(spread([10, 10, 10]), Some(Level::Pass));
    assert_eq!(spread([9, 10, 11]), Some(Level::Pass));
    assert_eq!(spread([60, 0, 0]), Some(Level::Fail));
    // What a fair draw gives is not accused.
    assert_eq!(spread([7, 10, 13]), Some(Level::Inconclusive));
    assert_eq!(spread([3, 0, 0]), Some(Level::Inconclusive));
}

#[test]
fn a_stream_that_was_resumed_without_a_gap_is_counted() {
    let mut rig = three(StreamKind::Events);
    let (seen, lived) = rig.whole(0);
    (seen.resumed_after, seen.events) = (Some(7), Sequence::after(7));
    [8, 9, 10].into_iter().for_each(|number| seen.events.see(number));
    (lived.life.first, lived.life.written) = (8, 3);
    let Facts::Streams(facts) = rig.judged().facts("streams") else { panic!() };
    assert_eq!(facts.resumed, 1);
}

#[test]
fn a_stream_that_is_held_back_to_its_cut_was_silent_since_its_last_event() {
    let mut rig = three(StreamKind::Events);
    let (seen, lived) = rig.cut(0);
    // All comes with the end, three seconds after the last event was written.
    seen.ended = Moment(lived.began.0 + 4 * SECOND);
    (seen.opened, seen.last_came, lived.ended) = (Some(seen.ended), seen.ended, seen.ended);
    seen.times.iter_mut().for_each(|(_, came)| *came = seen.ended);
    let trial = rig.judged();
    let Facts::StreamCut(facts) = trial.facts("stream-cut") else { panic!("another rule") };
    assert_eq!((facts.age.1.round(), facts.idle.1.round()), (4.0, 3.0));
    let Facts::StreamAlive(alive) = trial.facts("stream-alive") else { panic!("another rule") };
    assert!(alive.first.iter().any(|(_, count)| *count > 0), "{alive:?}");
}

#[test]
fn a_step_that_was_not_carried_out_leaves_it_open() {
    let step = |done| DrillStep { at: 1.0, what: "start 9002".to_owned(), done, result: None };
    for (done, level) in [(true, None), (false, Some(Level::Inconclusive))] {
        let mut trial = three(StreamKind::Events).judged();
        let steps = vec![step(true), step(done)];
        trial.drill.outage =
            Some(Outage { steps, client_errors: 0, retries: 0, double_executions: 0, backends: Vec::new() });
        assert_eq!(trial.level("resilience"), level);
    }
}

#[test]
fn what_is_required_of_streams_is_judged() {
    let second = Duration::from_secs(1);
    let mut all = vec![
        (Requirement::Intact, "intact"),
        (Requirement::PathPreserved, "intact"),
        (Requirement::HostPreserved, "intact"),
        (Requirement::HeaderPreserved("X-Key".to_owned()), "intact"),
        (Requirement::ClientAddress, "client-address"),
        (Requirement::Status { low: 200, high: 299 }, "statuses"),
        (Requirement::Unbuffered(second), "stream-delay"),
        (Requirement::Uncut, "stream-cut"),
        (Requirement::AliveEven, "stream-alive"),
    ];
    let tls = |required: &TlsRequirement| {
        (Requirement::Tls(*required), if required.is_about_certificates() { "tls-verified" } else { "tls" })
    };
    all.extend(TlsRequirement::ALL.iter().map(tls));
    for (required, rule) in all {
        let mut rig = StreamRig::of(StreamKind::Events);
        for turn in 0..30 {
            rig.whole(turn % 3);
        }
        rig.trial.expectations.required = vec![required.clone()];
        let level = rig.judged().level(rule);
        assert!(level.is_some_and(|level| level != Level::Note), "{required}: {level:?}");
    }
}
