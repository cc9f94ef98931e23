//! Reads the records of a run from its fleet while they come, and keeps of each what the ledger needs.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::remote::Remote;
use crate::wire::{Generator, Record};
use verdict::ledger::{Arrival, UNNUMBERED};
use verdict::observation::Backend;
use verdict::report::NotCounted;

/// How often the fleet is asked: it keeps a quarter of a million records, which is two seconds at full speed.
const INTERVAL: Duration = Duration::from_millis(100);

/// Requests without an id that are kept, 40 bytes each; of more only their number is.
const MOST_UNNUMBERED: usize = 1 << 20;

/// The records of a run.
pub(crate) struct Collector {
    remote: Remote,
    run: u64,
    /// Places of the fleet's backends, and of those that join later.
    generators: Vec<Generator>,
    next: u64,
    /// What the fleet had lost before.
    lost_before: u64,
    lost: u64,
    missed: u64,
    arrivals: Vec<Arrival>,
    /// Without an id: requests of others, and ours if their id did not arrive. The ledger tells them apart by response ids.
    unnumbered: Vec<Arrival>,
    /// The ids of requests do not reach the backends.
    is_stripped: bool,
    not_counted: NotCounted,
    failure: Option<String>,
}

/// How a request of ours looks in the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Recorded {
    WithId,
    /// The balancer has stripped it.
    WithoutId,
    /// The backend could not read the request, and so not its id.
    Refused,
}

/// What was collected.
#[derive(Default)]
pub(crate) struct Collected {
    /// Of the run.
    pub(crate) arrivals: Vec<Arrival>,
    /// Of others.
    pub(crate) not_counted: NotCounted,
    /// Why some may be missing.
    pub(crate) gaps: Vec<String>,
}

impl Collector {
    /// From now on.
    pub(crate) async fn begin(remote: Remote, run: u64, generators: Vec<Generator>) -> Result<Collector> {
        let head = remote.records(u64::MAX, |_, _| {}).await?;
        Ok(Collector {
            remote,
            run,
            generators,
            next: head.next,
            lost_before: head.lost,
            lost: 0,
            missed: 0,
            arrivals: Vec::new(),
            unnumbered: Vec::new(),
            is_stripped: false,
            not_counted: NotCounted::default(),
            failure: None,
        })
    }

    /// The fleet.
    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The ids of requests do not reach the backends.
    pub(crate) fn expect_unnumbered(&mut self) {
        self.is_stripped = true;
    }

    /// How a backend recorded the request that it gave that response, according to the records until now.
    pub(crate) async fn find(&mut self, answer: Uuid) -> Option<Recorded> {
        self.catch_up().await;
        if self.arrivals.iter().any(|arrival| arrival.answer == answer) {
            return Some(Recorded::WithId);
        }
        let unnumbered = self.unnumbered.iter().find(|arrival| arrival.answer == answer)?;
        Some(if matches!(unnumbered.status, 400 | 431 | 501 | 505) { Recorded::Refused } else { Recorded::WithoutId })
    }

    /// Collects until `end` is there.
    pub(crate) async fn collect_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        tokio::pin!(end);
        loop {
            tokio::select! {
                end = &mut end => return end,
                () = sleep(INTERVAL) => { self.catch_up().await; }
            }
        }
    }

    /// Collects what is still to come, for so long at most: attempts that are in flight end, or not.
    pub(crate) async fn settle(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let in_flight = self.catch_up().await;
            if in_flight.is_empty() || self.failure.is_some() {
                return;
            }
            if Instant::now() >= deadline {
                in_flight.iter().for_each(|record| self.take(record));
                return;
            }
            sleep(INTERVAL / 5).await;
        }
    }

    /// All that is there now; returns what of the run is in flight.
    async fn catch_up(&mut self) -> Vec<Record> {
        loop {
            let mut ended = Vec::new();
            let mut in_flight = Vec::new();
            let from = self.next;
            let page = self.remote.records(from, |record, has_ended| match has_ended {
                true => ended.push(record),
                false => in_flight.push(record),
            });
            let head = match page.await {
                Ok(head) => head,
                Err(error) => {
                    self.failure.get_or_insert(format!("{error:#}"));
                    return Vec::new();
                }
            };
            self.next = head.next;
            self.missed += head.missed;
            self.lost = head.lost.saturating_sub(self.lost_before);
            ended.iter().for_each(|record| self.take(record));
            if ended.is_empty() || ended.len() < 10_000 {
                in_flight.retain(|record| record.request.is_some_and(|request| request.run == self.run));
                return in_flight;
            }
        }
    }

    fn take(&mut self, record: &Record) {
        let Some(answer) = record.answer else {
            self.not_counted.health_checks += 1;
            return;
        };
        let sequence = match record.request {
            Some(request) if request.run == self.run => u32::try_from(request.sequence).unwrap_or(UNNUMBERED - 1),
            None if self.unnumbered.len() < MOST_UNNUMBERED => UNNUMBERED,
            Some(_) | None => {
                self.not_counted.others += 1;
                return;
            }
        };
        let took = record.answered.0.saturating_sub(record.received.0) / 100;
        let arrival = Arrival {
            received: record.received,
            answer: answer.0,
            sequence,
            took: u32::try_from(took).unwrap_or(u32::MAX),
            backend: self.place(record.generator),
            status: record.status,
            end: record.outcome,
        };
        let list = if sequence == UNNUMBERED { &mut self.unnumbered } else { &mut self.arrivals };
        list.push(arrival);
    }

    fn place(&mut self, generator: Generator) -> Backend {
        let place = self.generators.iter().position(|known| *known == generator).unwrap_or_else(|| {
            self.generators.push(generator);
            self.generators.len() - 1
        });
        Backend(place as u16)
    }

    /// All of it.
    pub(crate) fn finish(mut self) -> Collected {
        let mut gaps = Vec::new();
        if let Some(why) = self.failure {
            gaps.push(format!("the fleet could not be asked any more: {why}"));
        }
        if self.lost > 0 {
            gaps.push(format!("the fleet lost {} records: start it with larger --journal-records", self.lost));
        }
        if self.missed > 0 {
            gaps.push(format!("{} records were gone before they could be read", self.missed));
        }
        if self.is_stripped {
            gaps.push(
                "the balancer strips the header Check-Request-Id: retried, lost and duplicated requests cannot be told"
                    .to_owned(),
            );
        }
        self.arrivals.extend(self.unnumbered);
        Collected { arrivals: self.arrivals, not_counted: self.not_counted, gaps }
    }
}
