//! Reads the records of a run from its fleet while they come, and keeps of each what the ledger needs.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::remote::Remote;
use crate::wire::{Clipped, End, FORWARDED_BYTES, Generator, HOST_BYTES, Record};
use verdict::arrived::{ArrivedRequest, OtherRequests, RequestChanges};
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
    changes: RequestChanges,
    others: OtherRequests,
    texts: Texts,
    not_counted: NotCounted,
    failure: Option<String>,
}

/// Of the record that was looked at last.
#[derive(Default)]
struct Texts {
    method: String,
    target: String,
    host: String,
    forwarded_for: String,
    peer: String,
    /// What the texts of Host and X-Forwarded-For were written from.
    of: Option<(Clipped<HOST_BYTES>, Clipped<FORWARDED_BYTES>)>,
}

fn rewrite(text: &mut String, what: &impl fmt::Display) {
    text.clear();
    // Nothing is wrong with writing into a text.
    let _ = write!(text, "{what}");
}

/// With which a backend responds to what it cannot read.
fn is_refusal(status: u16) -> bool {
    matches!(status, 400 | 431 | 501 | 505)
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
    /// How requests of the run arrived.
    pub(crate) changes: RequestChanges,
    /// Requests of others, those of ours among them whose id did not arrive.
    pub(crate) others: OtherRequests,
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
            changes: RequestChanges::default(),
            others: OtherRequests::default(),
            texts: Texts::default(),
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
        Some(if is_refusal(unnumbered.status) { Recorded::Refused } else { Recorded::WithoutId })
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
            Some(_) | None => UNNUMBERED,
        };
        self.describe(record, sequence);
        if sequence == UNNUMBERED && self.unnumbered.len() >= MOST_UNNUMBERED {
            self.not_counted.others += 1;
            return;
        }
        let took = record.answered.0.saturating_sub(record.received.0) / 100;
        let arrival = Arrival {
            received: record.received,
            answer: answer.0,
            sequence,
            took: u32::try_from(took).unwrap_or(u32::MAX),
            backend: self.place(record.generator),
            status: record.status,
            end: record.outcome,
            differences: record.arrived.differences,
        };
        let list = if sequence == UNNUMBERED { &mut self.unnumbered } else { &mut self.arrivals };
        list.push(arrival);
    }

    /// Counts how it arrived.
    fn describe(&mut self, record: &Record, sequence: u32) {
        let backend = self.place(record.generator);
        let Texts { method, target, host, forwarded_for, peer, of } = &mut self.texts;
        let arrived = &record.arrived;
        // Most are like the one before: nothing is written anew for them.
        if *of != Some((arrived.host, arrived.forwarded_for)) {
            rewrite(host, &arrived.host);
            rewrite(forwarded_for, &arrived.forwarded_for);
            *of = Some((arrived.host, arrived.forwarded_for));
        }
        if sequence == UNNUMBERED || !arrived.differences.is_empty() {
            rewrite(method, &record.method);
            rewrite(target, &record.path);
            match record.peer {
                End::Address(address) => rewrite(peer, &address.ip()),
                End::Unix => rewrite(peer, &End::Unix),
            }
        }
        let request = ArrivedRequest {
            sequence: (sequence != UNNUMBERED).then_some(sequence),
            received: record.received,
            backend,
            method,
            target,
            host,
            forwarded_for: if record.arrived.forwarded_for.as_bytes().is_empty() { "" } else { forwarded_for },
            peer,
            status: record.status,
            differences: record.arrived.differences,
            fields: record.arrived.fields,
            notes: record.arrived.notes,
            body: record.arrived.body,
        };
        match &record.refusal {
            Some(refusal) if sequence != UNNUMBERED => self.changes.see_refused(&refusal.to_string()),
            // Whose it was is known when its response has been joined, if ever.
            Some(_) => {}
            None if sequence != UNNUMBERED => self.changes.see(&request),
            None => self.others.see(&request),
        }
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
                "the balancer strips the header Check-Request-Id: retried, lost and duplicated requests cannot be recognised"
                    .to_owned(),
            );
        }
        self.arrivals.extend(self.unnumbered);
        Collected {
            arrivals: self.arrivals,
            not_counted: self.not_counted,
            changes: self.changes,
            others: self.others,
            gaps,
        }
    }
}
