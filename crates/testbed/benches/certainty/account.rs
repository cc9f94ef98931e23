//! How fast both ends are joined, and what that takes.

use std::fmt::Write as _;

use uuid::Uuid;
use verdict::ledger::{Arrival, BackendRecords, Ledger};
use verdict::observation::{Backend, ClientOutcome, Echo, Observation};
use verdict::tally::Tally;
use verdict::{AttemptEnd, Moment};

pub(crate) fn write(text: &mut String, quick: bool) {
    let count: u32 = if quick { 100_000 } else { 10_000_000 };
    let (observations, arrivals) = (observations(count), arrivals(count));
    let start = processor_time();
    let ledger = Ledger::join(observations, arrivals, BackendRecords::Kept);
    let tally = Tally::of(&ledger, 0, 0..count);
    let took = processor_time() - start;
    let memory = peak_memory() / 1024.0 / 1024.0;
    let delivered = tally.outcomes[0];
    let _ = writeln!(
        text,
        "## The account\n\n{count} requests, {delivered} of them delivered: joined and counted in {took:.2} s of one core's time, {:.2} s a million; the most memory that this \
         process had meanwhile, both ends together: {memory:.2} GiB.",
        took / f64::from(count) * 1e6
    );
}

pub(crate) fn observations(count: u32) -> Vec<Observation> {
    let mut all = Vec::with_capacity(count as usize);
    all.extend((0..count).map(|sequence| Observation {
        due: Moment(u64::from(sequence) * 10_000),
        ended: Moment(u64::from(sequence) * 10_000 + 500_000),
        response: Uuid::from_u128(u128::from(sequence) * 0x1_0000_0001_0000_0003 + 1),
        waited: 0,
        client: 0,
        backend: Backend((sequence % 3) as u16),
        status: 200,
        outcome: ClientOutcome::Response,
        echo: Echo::Own,
        reused: true,
        flaw: None,
    }));
    all
}

/// In the order in which three journals are read: each in its own order.
pub(crate) fn arrivals(count: u32) -> Vec<Arrival> {
    let mut all = Vec::with_capacity(count as usize);
    for batch in 0..count.div_ceil(3000) {
        for backend in 0..3 {
            let sequences = (batch * 3000..((batch + 1) * 3000).min(count)).filter(|sequence| sequence % 3 == backend);
            all.extend(sequences.map(|sequence| Arrival {
                received: Moment(u64::from(sequence) * 10_000 + 100_000),
                response: Uuid::from_u128(u128::from(sequence) * 0x1_0000_0001_0000_0003 + 1),
                sequence,
                took: 100,
                backend: Backend(backend as u16),
                status: 200,
                end: AttemptEnd::Completed,
                differences: verdict::request::Differences::NONE,
                way: verdict::ledger::WayNumber::default(),
            }));
        }
    }
    all
}

/// Seconds that this thread has run: what else runs on the machine does not count.
fn processor_time() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedule.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok()).map_or(f64::NAN, |it| it / 1e9)
}

/// The largest resident memory so far, in KiB.
fn peak_memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
}
