use super::*;
use crate::wire::{Cause, Clipped, Departure, ResponseId, sample};
use http::grpc::GrpcStatus;
use verdict::Call;

const NOON: u64 = 1_795_435_200;

fn live() -> LiveView {
    let calendar = Calendar { moment: Moment(0), unix: NOON * 1_000_000_000 };
    let names = [9001, 9002].map(|port| (Generator(port), port.to_string())).into_iter().collect();
    LiveView::new([Generator(9001), Generator(9002)].into_iter(), names, calendar)
}

fn at(milliseconds: u64) -> Moment {
    Moment(milliseconds * 1_000_000)
}

fn record(generator: u16, milliseconds: u64, request: u64) -> Record {
    Record {
        number: 1,
        received: at(milliseconds),
        responded: Moment(at(milliseconds).0 + 40_000),
        generator: Generator(generator),
        response: Some(ResponseId(uuid::Uuid::from_u128(7))),
        request: (request > 0).then_some(RequestId { run: 1, sequence: request }),
        connection: 1,
        request_number: 1,
        method: Clipped::new(b"GET"),
        path: Clipped::new(b"/uuid"),
        status: 200,
        bytes: 512,
        outcome: AttemptEnd::Completed,
        ..Record::default()
    }
}

#[test]
fn backends_that_join_are_counted_from_then_on() {
    let mut live = live();
    live.event(&FleetEvent::Attempt(record(9001, 10, 0)));
    live.pass(at(1_500));
    let names = [9001, 9002, 9003].map(|port| (Generator(port), port.to_string())).into_iter().collect();
    live.extend([Generator(9003)].into_iter(), names);
    live.event(&FleetEvent::Attempt(record(9003, 1_600, 0)));
    live.event(&FleetEvent::Attempt(record(9001, 1_700, 0)));
    let frame = live.pass(at(2_500));
    let counts: Vec<Vec<u32>> = live.seconds.iter().map(|second| second.counts.clone()).collect();
    assert_eq!(counts, [[1, 0, 0], [1, 0, 1]]);
    assert_eq!(frame.seconds.last().map(|second| second.counts.clone()), Some(vec![1, 0, 1]));
    assert_eq!(live.window.rates(at(2_500)), [1, 0, 1]);
}

fn kinds(frame: &Frame) -> Vec<(MarkKind, Option<u16>, u32)> {
    frame
        .marks
        .iter()
        .map(|mark| (mark.kind, mark.backend.as_ref().map(|it| it.parse().unwrap()), mark.count))
        .collect()
}

fn backends() -> Vec<BackendStatus> {
    [9001, 9002].map(|generator| status(generator, BackendState::Ready)).to_vec()
}

fn status(port: u16, state: BackendState) -> BackendStatus {
    BackendStatus { state, in_flight: 3, websockets: 2, connections: 5, ..sample::backend(port) }
}

fn shares(figures: &Figures) -> Vec<Option<f64>> {
    figures.backends.iter().map(|backend| backend.share).collect()
}

#[test]
fn what_clients_feel_is_shown_for_ten_seconds_beside_what_backends_took() {
    let mut live = live();
    let times = ClientTimes { microseconds: (1..=100).map(|number| number * 100).collect() };
    live.add_client_times(&times, Moment(1_000_000_000));
    let felt = live.figures(Moment(2_000_000_000), &[]).client.unwrap();
    assert!((4_900..=5_100).contains(&felt.p50) && (9_800..=10_200).contains(&felt.p99), "{felt:?}");
    assert_eq!(live.figures(Moment(2_000_000_000), &[]).latency, None);
    assert_eq!(live.figures(Moment(12_000_000_000), &[]).client, None);
}

#[test]
fn a_frame_shows_what_ended_in_the_order_of_arrival_and_the_figures_of_now() {
    let mut live = live();
    for (generator, milliseconds) in [(9001, 10), (9001, 30), (9002, 20), (9001, 40)] {
        live.event(&FleetEvent::Attempt(record(generator, milliseconds, 0)));
    }
    live.event(&FleetEvent::Attempt(Record { response: None, ..record(9001, 50, 0) }));
    let mut over_http2 = record(9001, 60, 0);
    over_http2.arrived.notes.add(Note::Http2);
    live.event(&FleetEvent::Attempt(Record { status: 503, ..over_http2 }));
    let frame = live.frame(at(100), &backends(), false);
    assert_eq!((frame.strip, frame.strip_end, frame.backends), (vec![0, 1, 0, 0, 0], 5, None));
    assert_eq!((frame.at, frame.figures.rate), (NOON * 1000 + 100, 5));
    assert_eq!(shares(&frame.figures), [Some(0.8), Some(0.2)]);
    let first = &frame.figures.backends[0];
    assert_eq!((first.requests, first.rate, first.errors, first.in_flight), (4, 4, 1, 3));
    assert_eq!((first.streams, first.websockets, first.connections), (0, 2, 5));
    assert_eq!((first.http_2, frame.figures.backends[1].http_2), (Some(0.25), Some(0.0)));
    assert_eq!((frame.figures.latency.unwrap().p50, first.latency.unwrap().p99), (40, 41));
    let frame = live.frame(at(200), &backends(), true);
    assert_eq!((frame.strip.len(), frame.strip_end, frame.marks.len(), frame.backends), (0, 5, 0, Some(backends())));
    let figures = live.frame(at(1200), &backends(), false).figures;
    assert_eq!((figures.rate, shares(&figures)[0]), (0, Some(0.8)), "a second of silence");
    let figures = live.frame(at(20_000), &backends(), false).figures;
    assert_eq!((shares(&figures), figures.latency, figures.backends[0].errors), (vec![None; 2], None, 0));
    assert_eq!(figures.backends[0].requests, 4);
}

#[test]
fn shares_are_expected_of_the_backends_that_are_ready_and_of_a_backup_only_without_them() {
    let mut live = live();
    let mut expected = |states: [BackendState; 2]| {
        let backends = [status(9001, states[0]), status(9002, states[1])];
        let figures = live.frame(at(100), &backends, false).figures;
        figures.backends.iter().map(|backend| backend.expected).collect::<Vec<_>>()
    };
    assert_eq!(expected([BackendState::Ready; 2]), [None; 2], "nobody said how it balances");
    let backups = vec!["9002".to_owned()];
    let front = BalancerInfo { algorithm: Some(api::Policy::RoundRobin), backups, ..BalancerInfo::default() };
    live.set_front(front, at(1));
    let mut expected = |states: [BackendState; 2]| {
        let backends = [status(9001, states[0]), status(9002, states[1])];
        let figures = live.frame(at(100), &backends, false).figures;
        figures.backends.iter().map(|backend| backend.expected).collect::<Vec<_>>()
    };
    assert_eq!(expected([BackendState::Ready; 2]), [Some(1.0), Some(0.0)]);
    assert_eq!(expected([BackendState::Gone, BackendState::Ready]), [Some(0.0), Some(1.0)]);
}

#[test]
fn percentiles_are_of_the_last_ten_seconds_and_of_any_length() {
    let mut live = live();
    let slow = Record { responded: Moment(at(3010).0), ..record(9002, 10, 0) };
    for record in [record(9001, 2500, 0), record(9001, 2600, 0), slow] {
        live.event(&FleetEvent::Attempt(record));
    }
    let figures = live.frame(at(3100), &backends(), false).figures;
    let [all, first, second] =
        [figures.latency, figures.backends[0].latency, figures.backends[1].latency].map(Option::unwrap);
    assert_eq!((all.p50, first.p99), (40, 41));
    assert!((2_990_000..3_300_000).contains(&all.p99) && second.p50 > 2_900_000, "{figures:?}");
}

#[test]
fn seconds_are_kept_also_the_silent_ones_and_say_whether_a_check_ran() {
    let mut live = live();
    live.event(&FleetEvent::Attempt(record(9001, 900, 0)));
    live.event(&FleetEvent::Attempt(record(9002, 3100, 0)));
    let frame = live.frame(at(4050), &backends(), false);
    let counts = |seconds: &[Second]| seconds.iter().map(|second| second.counts.clone()).collect::<Vec<_>>();
    assert_eq!(counts(&frame.seconds), [[1, 0], [0, 0], [0, 0], [0, 1]]);
    assert_eq!(frame.seconds.iter().map(|second| second.at - NOON).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(frame.seconds.iter().all(|second| second.latency.is_some_and(|it| it.p50 == 40) && !second.is_check));
    let snapshot = live.snapshot(at(4050), sample::fleet(backends()));
    assert_eq!((snapshot.seconds, snapshot.strip), (frame.seconds, vec![0, 1]));
    live.set_check(CheckNews { url: "http://x/".to_owned(), ..CheckNews::default() }, at(4100));
    live.frame(at(6100), &backends(), false);
    live.set_check(CheckNews { error: Some("no".to_owned()), ..CheckNews::default() }, at(6200));
    let frame = live.frame(at(8100), &backends(), false);
    assert_eq!(frame.seconds.iter().map(|second| second.is_check).collect::<Vec<_>>(), [true, false]);
    let snapshot = live.snapshot(at(8100), sample::fleet(backends()));
    let checked: Vec<u64> =
        snapshot.seconds.iter().filter(|second| second.is_check).map(|second| second.at - NOON).collect();
    assert_eq!(checked, [4, 5, 6]);
    let frame = live.frame(at(3_600_000), &backends(), false);
    assert_eq!(frame.seconds.len(), KEPT.seconds);
    assert_eq!(frame.seconds.last().unwrap().at, NOON + 3599);
    assert!(frame.seconds.iter().all(|second| second.counts == [0, 0] && second.latency.is_none()));
}

#[test]
fn a_second_attempt_is_a_retry_if_one_of_both_failed_and_a_double_execution_if_none_did() {
    let mut live = live();
    let unavailable = Call { status: Some(GrpcStatus::UNAVAILABLE), ..Call::default() };
    live.event(&FleetEvent::Attempt(Record { call: Some(unavailable), ..record(9001, 1, 5) }));
    live.event(&FleetEvent::Attempt(record(9002, 2, 5)));
    live.event(&FleetEvent::Attempt(record(9001, 3, 6)));
    live.event(&FleetEvent::Attempt(record(9002, 4, 6)));
    // One that hung in a paused backend ends after the attempt that was delivered.
    live.event(&FleetEvent::Attempt(record(9002, 6, 7)));
    live.event(&FleetEvent::Attempt(Record { outcome: AttemptEnd::CutOff, ..record(9001, 5, 7) }));
    let frame = live.frame(at(100), &backends(), false);
    let expected = [
        (MarkKind::Error, Some(9001), 2),
        (MarkKind::Retry, Some(9002), 1),
        (MarkKind::Double, Some(9002), 1),
        (MarkKind::Retry, Some(9001), 1),
    ];
    assert_eq!(kinds(&frame), expected);
    // One that grows is sent again, under its id; in another second it is another one.
    live.event(&FleetEvent::Attempt(Record { status: 500, ..record(9001, 300, 0) }));
    let grown = live.frame(at(400), &backends(), false);
    assert_eq!((kinds(&grown), grown.marks[0].id), (vec![(MarkKind::Error, Some(9001), 3)], frame.marks[0].id));
    live.event(&FleetEvent::Attempt(Record { status: 500, ..record(9001, 1300, 0) }));
    let other = live.frame(at(1400), &backends(), false);
    assert_eq!((kinds(&other), other.marks[0].id), (vec![(MarkKind::Error, Some(9001), 1)], 4));
}

#[test]
fn what_happens_to_backends_and_in_front_of_them_is_marked() {
    let mut live = live();
    let departure = Departure { cause: Cause::Signal(9), asked: false, unanswered: 0 };
    let gone = BackendChange::Gone(departure);
    live.event(&FleetEvent::Backend { at: at(5), generator: Generator(9002), change: gone });
    let front = BalancerInfo {
        url: "http://localhost:8080/uuid".to_owned(),
        balancer: Some("NGINX".to_owned()),
        algorithm: Some(api::Policy::RoundRobin),
        weights: vec![5, 1],
        ..BalancerInfo::default()
    };
    live.set_front(front.clone(), at(6));
    live.set_front(BalancerInfo { problem: Some("no".to_owned()), ..front }, at(7));
    live.set_check(CheckNews { url: "http://x/?k=secret".to_owned(), ..CheckNews::default() }, at(8));
    live.set_check(CheckNews { sent: 9, ..CheckNews::default() }, at(9));
    let frame = live.frame(at(100), &backends(), false);
    let texts: Vec<&str> = frame.marks.iter().map(|mark| mark.text.as_str()).collect();
    assert_eq!(
        texts,
        ["gone: signal 9, SIGKILL", "NGINX balances: round-robin 5:1", "a check of http://x/?k=<6 bytes> begins"]
    );
    assert_eq!(frame.front.unwrap().problem.as_deref(), Some("no"));
    assert_eq!(frame.check.unwrap().sent, 9);
}
