use super::*;
use crate::attempt::WayNumber;
use crate::ledger::BackendRecords;
use crate::observation::{ClientOutcome, Echo, Observation};
use crate::request::Differences;
use uuid::Uuid;

const MILLISECOND: u64 = 1_000_000;
const DETECTION: Duration = Duration::from_secs(1);

/// A request a millisecond, each to the backend that `choose` says, with what became of it there; none reaches no backend and is an
/// error of the balancer's.
fn run(count: u32, choose: impl Fn(u64) -> Option<(u16, u16)>) -> Ledger {
    run_at((0..u64::from(count)).collect(), choose)
}

/// The same with requests at these milliseconds.
fn run_at(times: Vec<u64>, choose: impl Fn(u64) -> Option<(u16, u16)>) -> Ledger {
    let (mut observations, mut arrivals) = (Vec::new(), Vec::new());
    for (sequence, at) in (0u32..).zip(times) {
        let chosen = choose(at);
        let answer = chosen.map_or(Uuid::nil(), |_| Uuid::from_u128(u128::from(sequence) + 1));
        observations.push(Observation {
            due: Moment(at * MILLISECOND),
            ended: Moment(at * MILLISECOND + MILLISECOND / 2),
            response: answer,
            waited: 0,
            client: 0,
            backend: chosen.map_or(Backend::UNKNOWN, |(backend, _)| Backend(backend)),
            status: chosen.map_or(502, |(_, status)| status),
            outcome: ClientOutcome::Response,
            echo: Echo::Own,
            reused: false,
            flaw: None,
        });
        if let Some((backend, status)) = chosen {
            arrivals.push(Arrival {
                received: Moment(at * MILLISECOND + MILLISECOND / 10),
                response: answer,
                sequence,
                took: 1,
                backend: Backend(backend),
                status,
                end: AttemptEnd::Completed,
                differences: Differences::NONE,
                way: WayNumber::default(),
            });
        }
    }
    Ledger::join(observations, arrivals, BackendRecords::Kept)
}

fn of(ledger: &Ledger, broken: u64, mended: Option<u64>) -> Affected {
    all_of(ledger, broken, mended).remove(0)
}

fn all_of(ledger: &Ledger, broken: u64, mended: Option<u64>) -> Vec<Affected> {
    all_of_one(ledger, broken, mended, false)
}

fn all_of_one(ledger: &Ledger, broken: u64, mended: Option<u64>, is_restarted: bool) -> Vec<Affected> {
    let window = OutageWindow {
        backend: Backend(1),
        broken: Moment(broken * MILLISECOND),
        mended: mended.map(|mended| Moment(mended * MILLISECOND)),
        is_restarted,
    };
    let count = ledger.observations().len() as u32;
    let span = (Moment(0), Moment(u64::from(count) * MILLISECOND));
    let outages = Outages { windows: &[window], steps: &[], detection: DETECTION, may_be_repeated: true };
    timelines(ledger, 0..count, span, &outages, &["a".to_owned(), "b".to_owned()])
}

#[test]
fn a_time_that_grows_is_longer_by_no_more_than_its_backend_was_broken() {
    let window = |backend: u16, from: u64, to: Option<u64>| {
        let at = |seconds: u64| Moment(seconds * 1_000_000_000);
        OutageWindow { backend: Backend(backend), broken: at(from), mended: to.map(at), is_restarted: false }
    };
    let outages = [window(0, 0, Some(3)), window(1, 1, Some(2)), window(0, 5, Some(9)), window(1, 8, None)];
    let same = Avoidance::of(Duration::from_secs(10));
    assert_eq!((same.after(&outages), same.after(&[])), (same.time, same.time));
    let longer = Avoidance { grows: true, ..same };
    assert_eq!((longer.after(&outages), longer.after(&[])), (Duration::from_secs(17), same.time));
}

#[test]
fn what_was_broken_after_the_last_request_has_no_times() {
    let ledger = run(1_000, |at| Some(((at % 2) as u16, 200)));
    assert_eq!((all_of(&ledger, 999, None).len(), all_of(&ledger, 1_000, None)), (1, Vec::new()));
}

fn near(seconds: f64, expected: f64) -> bool {
    (seconds - expected).abs() < 0.01
}

#[test]
fn a_backend_that_leaves_and_returns_has_its_times() {
    let ledger = run(10_000, |at| {
        let out = (2_000..6_500).contains(&at);
        Some((u16::from(at % 2 == 1 && !out), 200))
    });
    let timeline = of(&ledger, 2_000, Some(6_000));
    assert!((timeline.received_meanwhile, timeline.client_errors) == (0, 0), "{timeline:?}");
    assert!(near(timeline.stopped_after.unwrap(), 0.0) && near(timeline.back_after.unwrap(), 0.5), "{timeline:?}");
    assert!(near(timeline.ramp.unwrap(), 0.0) && timeline.received_before == 50, "{timeline:?}");
    let [pause] = timeline.pauses.as_slice() else { panic!("{timeline:?}") };
    assert!(near(pause.from, 2.0) && near(pause.until.unwrap(), 6.5) && pause.failures_before == 0);
}

#[test]
fn a_request_that_waited_for_a_backend_does_not_bring_it_back() {
    const WAITED: u32 = 5_901;
    let ledger = run(10_000, |at| {
        let here = at % 2 == 1 && (!(2_000..9_000).contains(&at) || at == u64::from(WAITED));
        Some((u16::from(here), 200))
    });
    let (mut sent, mut arrived) = (ledger.observations().to_vec(), ledger.arrivals().to_vec());
    sent[WAITED as usize].ended = Moment(6_020 * MILLISECOND);
    arrived[WAITED as usize].received = Moment(6_010 * MILLISECOND);
    let ledger = Ledger::join(sent, arrived, BackendRecords::Kept);
    let timeline = of(&ledger, 2_000, Some(6_000));
    assert!(near(timeline.back_after.unwrap(), 3.0), "{timeline:?}");
    // A host that was paused got it before the mend; a process that was started then did not.
    assert_eq!((timeline.received_meanwhile, timeline.stopped_after), (1, None));
    let restarted = all_of_one(&ledger, 2_000, Some(6_000), true).remove(0);
    assert_eq!((restarted.received_meanwhile, restarted.stopped_after), (0, Some(0.0)));
    assert!(near(restarted.back_after.unwrap(), 3.0), "{restarted:?}");
}

#[test]
fn errors_go_on_after_a_mend_until_the_balancer_tries_the_backend_again() {
    let ledger = run(5_000, |at| (!(1_000..3_500).contains(&at)).then_some(((at % 2) as u16, 200)));
    let timeline = of(&ledger, 1_000, Some(3_000));
    assert!(near(timeline.errors_end_after.unwrap(), 2.5) && timeline.client_errors == 2_000, "{timeline:?}");
    // What another outage explains then, and what comes too late, is none of this one's.
    assert!(near(of(&ledger, 1_000, Some(2_000)).errors_end_after.unwrap(), 2.0));
    let at = |millisecond: u64| Moment(millisecond * MILLISECOND);
    let window = |broken, mended| OutageWindow {
        backend: Backend(1),
        broken: at(broken),
        mended: Some(at(mended)),
        is_restarted: false,
    };
    let until = |windows: &[OutageWindow], steps: &[StepSpan]| {
        Outages { windows, steps, detection: DETECTION, may_be_repeated: true }.explained_until(&windows[0])
    };
    let first = window(1_000, 2_000);
    assert_eq!(until(&[first], &[]), Some(at(3_000)));
    assert_eq!(until(&[first, window(1_500, 2_500)], &[]), Some(at(2_000)));
    let step =
        |begun, backend, is_rough| StepSpan { backend, begun: at(begun), ended: at(begun), is_done: true, is_rough };
    let mends = [step(2_000, None, false), step(2_030, Some(Backend(0)), false)];
    assert_eq!(until(&[first], &mends), Some(at(3_000)));
    assert_eq!(until(&[first], &[step(2_400, None, false)]), Some(at(2_400)));
    assert_eq!(until(&[first], &[step(2_600, Some(Backend(0)), true)]), Some(at(2_600)));
}

#[test]
fn errors_of_the_balancer_itself_are_no_traffic_there() {
    let ledger = run(4_000, |at| if at % 2 == 0 { Some((0, 200)) } else { (at < 2_000).then_some((1, 200)) });
    let timeline = of(&ledger, 2_000, None);
    assert!(
        timeline.stopped_after == Some(0.0) && timeline.received_meanwhile == 0 && timeline.client_errors == 1_000,
        "{timeline:?}"
    );
    assert!(near(timeline.errors_end_after.unwrap(), 2.0) && timeline.back_after.is_none(), "{timeline:?}");
}

#[test]
fn traffic_that_goes_on_is_seen_in_the_records() {
    let ledger = run(4_000, |at| Some(((at % 2) as u16, if at % 2 == 1 && at >= 2_000 { 503 } else { 200 })));
    let timeline = of(&ledger, 2_000, Some(4_000));
    assert!(
        timeline.stopped_after.is_none() && timeline.received_meanwhile == 1_000 && timeline.pauses.is_empty(),
        "{timeline:?}"
    );
}

#[test]
fn a_backend_that_gets_nothing_while_nobody_sends_anything_is_in_rotation() {
    let even = |at: u64| Some(((at % 2) as u16, 200));
    // The client waits: nothing is sent from 3 s to 5 s.
    let waits = |at: &u64| !(3_000..5_000).contains(at);
    let ledger = run_at((0..10_000).filter(waits).collect(), even);
    assert_eq!(of(&ledger, 2_000, Some(6_000)).pauses, []);
    let out = |at: u64| if (3_000..5_000).contains(&at) { Some((0, 200)) } else { even(at) };
    assert_eq!(of(&run(10_000, out), 2_000, Some(6_000)).pauses.len(), 1);
}

#[test]
fn failures_are_counted_before_each_ejection() {
    // Five failures, then a second without traffic, again and again.
    let ledger = run(8_000, |at| {
        let broken = (2_000..6_000).contains(&at);
        let cycle = (at.saturating_sub(2_000)) % 1_010;
        let here = at % 2 == 1 && (!broken || cycle < 10);
        Some((u16::from(here), if here && broken { 500 } else { 200 }))
    });
    let timeline = of(&ledger, 2_000, Some(6_000));
    assert_eq!(
        timeline.pauses.iter().map(|pause| (pause.failures_before, pause.known_before)).collect::<Vec<_>>(),
        [(5, 3); 4],
        "{timeline:?}"
    );
}

#[test]
fn a_ramp_lasts_until_as_much_comes_as_before() {
    // After the return a weight that grows over two seconds.
    let ledger = run(10_000, |at| {
        let here = match at {
            2_000..5_000 => false,
            5_000..7_000 => (at * 7919) % 2_000 < 2_000 * (at - 5_000) / (at - 3_000),
            _ => at % 2 == 1,
        };
        Some((u16::from(here), 200))
    });
    let ramp = of(&ledger, 2_000, Some(5_000)).ramp.unwrap();
    assert!((1.8..=2.2).contains(&ramp), "{ramp}");
}
