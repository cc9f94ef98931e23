//! One fleet of a view: its records ten times a second, and what it shows those who look.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};

use crate::fleet::joint::CommandRefusal;
use crate::fleets::Fleets;
use crate::remote::{LiveEvent, PageConnection, Remote, TimedPage};
use crate::wire::{
    BackendFigures, BackendStatus, FRAME, FleetStatus, Generator, MarkKind, Moment, Record, SeenRequest, TimelineMark,
};

/// Until a fleet that cannot be reached is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// News of one fleet.
pub(super) enum SourceNews {
    /// That have ended, on this process's clock.
    Records(Vec<Record>),
    /// Records were gone before they could be read.
    Lost(u64),
    /// Something about backends has changed.
    Backends(Vec<BackendStatus>),
    /// Figures of the fleet's live view that its records do not have.
    Frame { figures: Vec<(Generator, BackendFigures)>, marks: Vec<TimelineMark>, requests: Vec<SeenRequest> },
    /// What was asked of backends has been done, or not.
    Done(StatusReply, Result<(), CommandRefusal>),
    /// The fleet cannot be reached.
    Gone,
    /// There are more fleets than before.
    Joined(Box<Fleets>),
}

/// What is open at a backend now. Its status says so, too, but comes only when something else has changed.
pub(super) fn show_open(now: &BackendFigures, status: &mut BackendStatus) {
    (status.in_flight, status.connections) = (now.in_flight as usize, now.connections as usize);
    (status.streams, status.websockets) = (now.streams as usize, now.websockets as usize);
}

fn order_of(backends: &[BackendStatus]) -> Vec<Generator> {
    backends.iter().map(|it| it.id).collect()
}

/// Where whoever asked for something waits for what became of it.
pub(super) type StatusReply = oneshot::Sender<Result<FleetStatus, CommandRefusal>>;

pub(super) struct Source {
    remote: Remote,
    has_our_clock: bool,
    /// Number of the next record to ask for.
    next: u64,
}

impl Source {
    pub(super) fn new(remote: Remote, has_our_clock: bool) -> Source {
        Source { remote, has_our_clock, next: u64::MAX }
    }

    /// Reads records until nobody wants to know of them.
    pub(super) async fn run(mut self, host: usize, tell: UnboundedSender<(usize, SourceNews)>) {
        loop {
            let ended = self.follow(host, &tell).await;
            if ended.is_none() || tell.send((host, SourceNews::Gone)).is_err() {
                return;
            }
            sleep(RETRY).await;
            // One that was started again counts from its beginning.
            self.next = u64::MAX;
        }
    }

    /// Until it cannot be reached any more; none if nobody wants to know.
    async fn follow(&mut self, host: usize, tell: &UnboundedSender<(usize, SourceNews)>) -> Option<()> {
        let Ok(mut events) = self.remote.watch().await else { return Some(()) };
        let mut pages = interval(FRAME);
        let mut connection = PageConnection::default();
        // Figures are in the order in which the fleet names its backends, which need not be that of their numbers.
        let mut order: Vec<Generator> = Vec::new();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Ok(Some(LiveEvent::Snapshot(snapshot))) => {
                        order = order_of(&snapshot.fleet.backends);
                        tell.send((host, SourceNews::Backends(snapshot.fleet.backends))).ok()?;
                    }
                    Ok(Some(LiveEvent::Frame(frame))) => {
                        if let Some(backends) = frame.backends {
                            order = order_of(&backends);
                            tell.send((host, SourceNews::Backends(backends))).ok()?;
                        }
                        let figures = order.iter().copied().zip(frame.figures.backends).collect();
                        // The rest is counted from records, over all fleets.
                        let is_its_own = |mark: &TimelineMark| matches!(mark.kind, MarkKind::Backend | MarkKind::Fault);
                        let marks = frame.marks.into_iter().filter(is_its_own).collect();
                        tell.send((host, SourceNews::Frame { figures, marks, requests: frame.requests })).ok()?;
                    }
                    Ok(Some(LiveEvent::Balance(_))) => {}
                    Ok(None) | Err(_) => return Some(()),
                },
                _ = pages.tick() => {
                    let page = self.remote.page_over(&mut connection, self.next).await;
                    let Ok(page) = page else { return Some(()) };
                    let shift = self.shift(&page);
                    let ended = connection.records().filter(|(_, has_ended)| *has_ended);
                    let mut records: Vec<Record> = ended.map(|(record, _)| record).collect();
                    for record in &mut records {
                        record.received = Moment(record.received.0.saturating_add_signed(shift));
                        record.responded = Moment(record.responded.0.saturating_add_signed(shift));
                    }
                    self.next = page.head.next;
                    if page.head.missed > 0 {
                        tell.send((host, SourceNews::Lost(page.head.missed))).ok()?;
                    }
                    tell.send((host, SourceNews::Records(records))).ok()?;
                }
            }
        }
    }

    /// What is to be added to its times: right to half the round trip of a page, which is enough for the eye.
    fn shift(&self, page: &TimedPage) -> i64 {
        if self.has_our_clock {
            return 0;
        }
        let middle = page.asked.0 / 2 + page.came.0 / 2;
        middle.wrapping_sub(page.head.now.0) as i64
    }
}
