//! The ledger: each kind of thing that can become of a request has its outcome, and every request has exactly one.

use proptest::prelude::*;
use uuid::Uuid;
use verdict::ledger::{Arrival, BackendRecords, Ledger, UNNUMBERED};
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};
use verdict::outcome::Outcome;
use verdict::tally::Tally;
use verdict::{AttemptEnd, Moment};

const MILLISECOND: u64 = 1_000_000;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(0xdead_beef_0000_4000_8000_0000_0000_0000 | number)
}

/// A request that got a whole answer of `backend` with that id.
fn got(answer: u128, backend: u16) -> Observation {
    Observation {
        due: Moment(1000 * MILLISECOND),
        ended: Moment(1005 * MILLISECOND),
        response: uuid(answer),
        waited: 0,
        client: 0,
        backend: Backend(backend),
        status: 200,
        outcome: ClientOutcome::Response,
        echo: Echo::Own,
        reused: false,
        flaw: None,
    }
}

/// A request that got nothing.
fn failed(outcome: ClientOutcome, reused: bool) -> Observation {
    let nothing = Observation { response: Uuid::nil(), backend: Backend::UNKNOWN, status: 0, ..got(0, 0) };
    Observation { outcome, reused, echo: Echo::None, ..nothing }
}

/// The balancer's own page.
fn own_page(status: u16) -> Observation {
    Observation { status, ..failed(ClientOutcome::Response, false) }
}

/// An attempt that was answered.
fn at(sequence: u32, backend: u16, answer: u128) -> Arrival {
    Arrival {
        received: Moment(1001 * MILLISECOND),
        response: uuid(answer),
        sequence,
        took: 100,
        backend: Backend(backend),
        status: 200,
        end: AttemptEnd::Completed,
        differences: verdict::request::Differences::NONE,
        way: verdict::ledger::WayNumber::default(),
    }
}

fn cut(arrival: Arrival) -> Arrival {
    Arrival { end: AttemptEnd::CutOff, ..arrival }
}

fn outcomes(observations: &[Observation], arrivals: &[Arrival]) -> Vec<Outcome> {
    let ledger = Ledger::join(observations.to_vec(), arrivals.to_vec(), BackendRecords::Kept);
    ledger.entries().map(|entry| entry.outcome).collect()
}

#[track_caller]
fn one(observation: Observation, arrivals: &[Arrival]) -> Outcome {
    outcomes(&[observation], arrivals)[0]
}

#[test]
fn one_attempt_and_its_answer_is_delivered() {
    assert_eq!(one(got(7, 1), &[at(0, 1, 7)]), Outcome::Delivered);
    // Also an answer that says 503, if the backend says so.
    let refused = Observation { status: 503, ..got(7, 1) };
    assert_eq!(one(refused, &[Arrival { status: 503, ..at(0, 1, 7) }]), Outcome::Delivered);
}

#[test]
fn an_attempt_that_failed_before_the_one_that_was_delivered_makes_it_retried() {
    assert_eq!(one(got(7, 1), &[cut(at(0, 2, 6)), at(0, 1, 7)]), Outcome::Retried);
    let died = Arrival { end: AttemptEnd::Received, ..at(0, 2, 6) };
    assert_eq!(one(got(7, 1), &[died, at(0, 1, 7)]), Outcome::Retried);
    let unwell = Arrival { status: 503, ..at(0, 2, 6) };
    assert_eq!(one(got(7, 1), &[unwell, at(0, 1, 7)]), Outcome::Retried);
}

#[test]
fn two_attempts_that_were_both_executed_make_it_duplicated() {
    assert_eq!(one(got(7, 1), &[at(0, 2, 6), at(0, 1, 7)]), Outcome::Duplicated);
    assert_eq!(one(got(7, 1), &[at(0, 1, 7), at(0, 1, 8)]), Outcome::Duplicated);
}

#[test]
fn copies_to_a_backend_that_never_delivers_are_mirrored() {
    let count = 30;
    let observations: Vec<_> = (0..count).map(|i| got(u128::from(i), 0)).collect();
    let mut arrivals: Vec<_> = (0..count).map(|i| at(i, 0, u128::from(i))).collect();
    arrivals.extend((0..count).map(|i| at(i, 3, 1000 + u128::from(i))));
    assert!(outcomes(&observations, &arrivals).iter().all(|outcome| *outcome == Outcome::Mirrored));
    // As soon as that backend delivers once, they are executed twice.
    let mut more = observations.clone();
    more.push(got(5000, 3));
    arrivals.push(at(count, 3, 5000));
    let seen = outcomes(&more, &arrivals);
    assert!(seen[..30].iter().all(|outcome| *outcome == Outcome::Duplicated));
    assert_eq!(seen[30], Outcome::Delivered);
}

#[test]
fn executed_without_an_answer_is_lost_and_without_an_attempt_unserved() {
    for outcome in [ClientOutcome::Closed, ClientOutcome::Reset, ClientOutcome::TimedOut] {
        assert_eq!(one(failed(outcome, false), &[at(0, 1, 7)]), Outcome::Lost, "{outcome:?}");
        assert_eq!(one(failed(outcome, false), &[]), Outcome::NotReached, "{outcome:?}");
    }
    assert_eq!(one(failed(ClientOutcome::Refused, false), &[]), Outcome::NotReached);
    // Something came, and it is not what a backend writes.
    assert_eq!(one(failed(ClientOutcome::Malformed, false), &[at(0, 1, 7)]), Outcome::Altered);
    assert_eq!(one(failed(ClientOutcome::Malformed, false), &[]), Outcome::Balancer);
}

#[test]
fn an_idle_connection_that_is_closed_when_it_is_used_again_is_no_fault() {
    let ledger = |reused, arrivals: &[Arrival]| {
        Ledger::join(vec![failed(ClientOutcome::Closed, reused)], arrivals.to_vec(), BackendRecords::Kept)
    };
    assert!(ledger(true, &[]).entries().all(|entry| entry.is_idle_close()));
    assert!(!ledger(false, &[]).entries().any(|entry| entry.is_idle_close()));
    assert!(!ledger(true, &[at(0, 1, 7)]).entries().any(|entry| entry.is_idle_close()));
}

#[test]
fn an_answer_without_a_backend_is_the_balancers_own() {
    assert_eq!(one(own_page(502), &[]), Outcome::Balancer);
    assert_eq!(one(own_page(504), &[cut(at(0, 1, 7))]), Outcome::Balancer);
    assert_eq!(one(own_page(200), &[]), Outcome::Balancer);
}

#[test]
fn an_answer_that_its_own_request_got_too_is_stale() {
    let observations = [got(7, 1), Observation { echo: Echo::Other, ..got(7, 1) }];
    assert_eq!(outcomes(&observations, &[at(0, 1, 7)]), [Outcome::Delivered, Outcome::Stale]);
    // Also when the second one was executed as well.
    assert_eq!(outcomes(&observations, &[at(0, 1, 7), at(1, 1, 8)]), [Outcome::Delivered, Outcome::Stale]);
    // Or when it is from before this run.
    assert_eq!(one(Observation { echo: Echo::Other, ..got(99, 1) }, &[]), Outcome::Stale);
}

#[test]
fn answers_that_changed_places_are_swapped() {
    let other = |answer| Observation { echo: Echo::Other, ..got(answer, 1) };
    let arrivals = [at(0, 1, 100), at(1, 1, 101)];
    assert_eq!(outcomes(&[other(101), other(100)], &arrivals), [Outcome::Swapped, Outcome::Swapped]);
    // One got the answer of a request that was given up.
    assert_eq!(
        outcomes(&[failed(ClientOutcome::TimedOut, false), other(100)], &arrivals),
        [Outcome::Lost, Outcome::Swapped]
    );
}

#[test]
fn what_breaks_off_is_truncated_and_what_differs_is_altered() {
    let seen = |outcome| Observation { outcome, ..got(7, 1) };
    assert_eq!(one(seen(ClientOutcome::Truncated), &[cut(at(0, 1, 7))]), Outcome::Truncated);
    assert_eq!(one(seen(ClientOutcome::Altered), &[at(0, 1, 7)]), Outcome::Altered);
    assert_eq!(one(seen(ClientOutcome::TooLarge), &[at(0, 1, 7)]), Outcome::Altered);
    let other_status = Observation { status: 404, ..got(7, 1) };
    assert_eq!(one(other_status, &[at(0, 1, 7)]), Outcome::Altered);
}

#[test]
fn an_answer_without_a_record_is_alien() {
    assert_eq!(one(got(7, 1), &[]), Outcome::Unrecorded);
}

#[test]
fn without_records_only_the_clients_end_is_judged() {
    let became =
        |observation| Ledger::join(vec![observation], vec![], BackendRecords::None).entries().next().unwrap().outcome;
    let named = Observation { response: Uuid::nil(), echo: Echo::None, ..got(0, 1) };
    assert_eq!(became(named), Outcome::Delivered);
    assert_eq!(became(own_page(502)), Outcome::Balancer);
    assert_eq!(became(own_page(200)), Outcome::Unrecorded);
    assert_eq!(became(failed(ClientOutcome::Closed, false)), Outcome::NoResponse);
    for outcome in [ClientOutcome::Refused, ClientOutcome::Unreachable, ClientOutcome::TlsFailed] {
        assert_eq!(became(failed(outcome, false)), Outcome::NotReached);
    }
    assert_eq!(became(Observation { outcome: ClientOutcome::Truncated, ..named }), Outcome::Truncated);
}

#[test]
fn arrivals_without_a_number_belong_to_the_request_that_got_their_answer() {
    let observations = [Observation { echo: Echo::None, ..got(7, 1) }, failed(ClientOutcome::Closed, false)];
    let arrivals = [at(UNNUMBERED, 1, 7), at(UNNUMBERED, 1, 8)];
    let ledger = Ledger::join(observations.to_vec(), arrivals.to_vec(), BackendRecords::Kept);
    let seen: Vec<Outcome> = ledger.entries().map(|entry| entry.outcome).collect();
    assert_eq!((seen, ledger.unassigned, ledger.unexplained), (vec![Outcome::Delivered, Outcome::NotReached], 1, 0));
}

#[test]
fn arrivals_of_requests_that_were_never_sent_are_counted_beside() {
    let ledger = Ledger::join(vec![got(7, 1)], vec![at(0, 1, 7), at(5, 1, 8)], BackendRecords::Kept);
    assert_eq!((ledger.unexplained, ledger.arrivals().len()), (1, 1));
}

fn any_sight() -> impl Strategy<Value = ClientOutcome> {
    prop_oneof![
        4 => Just(ClientOutcome::Response),
        1 => Just(ClientOutcome::Altered),
        1 => Just(ClientOutcome::Truncated),
        1 => Just(ClientOutcome::TooLarge),
        1 => Just(ClientOutcome::Malformed),
        1 => Just(ClientOutcome::Closed),
        1 => Just(ClientOutcome::Reset),
        1 => Just(ClientOutcome::TimedOut),
        1 => Just(ClientOutcome::Refused),
        1 => Just(ClientOutcome::Unreachable),
        1 => Just(ClientOutcome::TlsFailed)
    ]
}

proptest! {
    /// Whatever both ends say: one entry a request, in order, one outcome each, and all attempts are somewhere.
    #[test]
    fn every_request_has_exactly_one_fate(
        observed in proptest::collection::vec((any_sight(), 0..40u128, 0..4u16, any::<bool>(), 0..3u8), 0..40),
        arrived in proptest::collection::vec((0..45u32, 0..40u128, 0..4u16, 0..3u8), 0..80),
        kept: bool,
    ) {
        let observations: Vec<Observation> = observed
            .iter()
            .map(|(outcome, answer, backend, reused, echo)| {
                let echo = [Echo::None, Echo::Own, Echo::Other][usize::from(*echo)];
                let answer = if *answer < 5 { Uuid::nil() } else { uuid(*answer) };
                let backend = if *backend == 3 { Backend::UNKNOWN } else { Backend(*backend) };
                Observation { outcome: *outcome, response: answer, backend, reused: *reused, echo, ..got(0, 0) }
            })
            .collect();
        let arrivals: Vec<Arrival> = arrived
            .iter()
            .map(|(sequence, answer, backend, outcome)| {
                let outcome = [AttemptEnd::Received, AttemptEnd::Completed, AttemptEnd::CutOff][usize::from(*outcome)];
                let sequence = if *sequence == 44 { UNNUMBERED } else { *sequence };
                Arrival { end: outcome, ..at(sequence, *backend, *answer) }
            })
            .collect();
        let records = if kept { BackendRecords::Kept } else { BackendRecords::None };
        let ledger = Ledger::join(observations.clone(), arrivals.clone(), records);
        let sequences: Vec<u32> = ledger.entries().map(|entry| entry.sequence).collect();
        prop_assert_eq!(sequences, (0..observations.len() as u32).collect::<Vec<_>>());
        for entry in ledger.entries() {
            let alone = ledger.entry(entry.sequence).unwrap();
            prop_assert_eq!((alone.outcome, alone.attempts), (entry.outcome, entry.attempts));
        }
        let placed: usize = ledger.entries().map(|entry| entry.attempts.len()).sum();
        prop_assert_eq!(placed as u64 + ledger.unexplained + ledger.unassigned, arrivals.len() as u64);
        let tally = Tally::of(&ledger, 0, 0..observations.len() as u32);
        prop_assert_eq!(tally.outcomes.iter().sum::<u64>(), observations.len() as u64);
    }
}
