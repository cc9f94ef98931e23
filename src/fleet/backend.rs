//! A backend of the fleet: what is known of a backend from one of its processes to the next.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::fleet::bind::SocketFile;
use crate::fleet::process::BackendProcess;
use crate::io::clock;
use crate::journal::JournalReader;
use crate::wire::{
    BackendCommand, BackendState, Cause, Departure, Fault, Generator, Handshakes, Instance, Moment, Record,
};

const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LAST_BACKOFF: Duration = Duration::from_secs(5);
/// A backend that has lived for this time is not failing at start: the next restart begins with the first backoff again.
const SETTLED: Duration = Duration::from_secs(10);
/// Beyond the grace, the time for a backend to notice that it is over, before it is killed.
const GRACE_SLACK: Duration = Duration::from_millis(500);

/// Processes of a backend whose instances are kept, for those who have seen a response of one that is gone.
const INSTANCES: usize = 64;

/// What the supervisor knows of a backend, whether its process lives or not.
pub(crate) struct FleetBackend {
    pub(crate) generator: Generator,
    pub(crate) name: String,
    /// Instances of its processes, the latest last.
    pub(crate) instances: VecDeque<Instance>,
    pub(crate) state: BackendState,
    /// What it does when it is not paused.
    pub(crate) before_pause: BackendState,
    pub(crate) since: Moment,
    /// When it was last put right.
    pub(crate) mended: Option<Moment>,
    pub(crate) process: Option<BackendProcess>,
    /// Of its unix sockets. They stay when its process is killed, and connections are then refused.
    pub(crate) sockets: Vec<SocketFile>,
    /// The processes that it has had, so that a notice of an earlier one is known as such.
    pub(crate) incarnation: u32,
    pub(crate) journal: Option<JournalReader>,
    pub(crate) ready: bool,
    /// As its process was last ordered to behave, whether it has obeyed yet or not.
    pub(crate) faults: Vec<Fault>,
    /// Orders about faults that it has not obeyed yet.
    pub(crate) faults_ordered: u32,
    /// How those of its process have ended.
    pub(crate) handshakes: Handshakes,
    /// Whether it was asked to end, by draining.
    pub(crate) asked: bool,
    pub(crate) attempts: u64,
    pub(crate) lost: u64,
    pub(crate) last_end: Option<Cause>,
    backoff: Duration,
    pub(crate) due: Option<(Instant, Due)>,
    /// What its process said of a start that failed.
    pub(crate) failure: Option<String>,
}

/// What is to be done to a backend at a certain time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Restart,
    /// It was asked to end and its time is over.
    Kill,
    /// Balancers have had their time to notice that it is unready; how long it then has to end.
    Drain(Duration),
}

impl FleetBackend {
    /// A backend whose process was not started yet.
    pub(crate) fn new(generator: Generator, name: String, now: Moment) -> FleetBackend {
        FleetBackend {
            generator,
            name,
            instances: VecDeque::new(),
            state: BackendState::Gone,
            before_pause: BackendState::Gone,
            since: now,
            mended: None,
            process: None,
            sockets: Vec::new(),
            incarnation: 0,
            journal: None,
            ready: true,
            faults: Vec::new(),
            faults_ordered: 0,
            handshakes: Handshakes::default(),
            asked: false,
            attempts: 0,
            lost: 0,
            last_end: None,
            backoff: FIRST_BACKOFF,
            due: None,
            failure: None,
        }
    }

    /// Asks its process to end, and sees to it that it does; first to be unready for that time, while it goes on accepting.
    pub(crate) fn drain_after(&mut self, delay: Duration, grace: Duration) {
        match &self.process {
            // One that is paused responds to nobody: a delay would help nobody either.
            Some(_) if matches!(self.due, Some((_, Due::Drain(_)))) => {}
            Some(process) if !delay.is_zero() && self.state != BackendState::Paused => {
                process.order(BackendCommand::Ready(false));
                self.ready = false;
                self.asked = true;
                self.due = Some((Instant::now() + delay, Due::Drain(grace)));
            }
            Some(_) | None => self.drain(grace),
        }
    }

    /// Asks its process to end, and sees to it that it does.
    pub(crate) fn drain(&mut self, grace: Duration) {
        self.asked = true;
        self.due = None;
        self.sockets.clear();
        if let Some(process) = &self.process {
            process.order(BackendCommand::Drain(grace));
            // One that is paused could not hear it.
            process.signal(Signal::CONT);
            self.state = self.before_pause;
            self.due = Some((Instant::now() + grace + GRACE_SLACK, Due::Kill));
        }
    }

    /// Its process is or does something else from now on.
    pub(crate) fn becomes(&mut self, state: BackendState) {
        self.before_pause = state;
        // What it said before it was stopped by SIGSTOP arrives after; it is paused all the same.
        if self.state != BackendState::Paused || state == BackendState::Gone {
            (self.state, self.since) = (state, clock::now());
        }
    }

    /// Notes that the process was stopped by SIGSTOP.
    pub(crate) fn pauses(&mut self) {
        (self.state, self.since) = (BackendState::Paused, clock::now());
    }

    /// It goes on after a pause.
    pub(crate) fn resumes(&mut self) {
        (self.state, self.since) = (self.before_pause, clock::now());
        self.mended = Some(self.since);
    }

    /// Whether it says that it takes traffic.
    pub(crate) fn sets_ready(&mut self, ready: bool) {
        if ready && !self.ready {
            self.mended = Some(clock::now());
        }
        self.ready = ready;
    }

    /// Attempts that have been received and have not ended.
    pub(crate) fn in_flight(&self) -> Vec<Record> {
        self.journal.as_ref().map(JournalReader::in_flight).unwrap_or_default()
    }
    pub(crate) fn connections(&self) -> usize {
        self.process.as_ref().and(self.journal.as_ref()).map_or(0, JournalReader::connections)
    }

    /// A process of its own begins.
    pub(crate) fn starts(&mut self, process: BackendProcess, instance: Instance, journal: JournalReader) {
        self.incarnation += 1;
        if self.instances.len() == INSTANCES {
            self.instances.pop_front();
        }
        self.instances.push_back(instance);
        self.becomes(BackendState::Starting);
        self.mended = (self.incarnation > 1).then_some(self.since).or(self.mended);
        (self.process, self.journal) = (Some(process), Some(journal));
        self.handshakes = Handshakes::default();
        (self.asked, self.ready, self.due, self.failure) = (false, true, None, None);
    }

    /// Its process has ended; its journal has been read, but for the attempts that were never answered, which are returned,
    /// and how many more of those there were than it had room for.
    pub(crate) fn ends(&mut self, cause: Cause) -> (Departure, Vec<Record>, u64) {
        let journal = self.journal.take();
        let unanswered = journal.as_ref().map(JournalReader::in_flight).unwrap_or_default();
        let unclaimed = journal.map_or(0, |journal| journal.unclaimed());
        // SIGTERM to the process itself asks it too: it then drains and exits with status 0.
        let asked = self.asked || (self.before_pause == BackendState::Draining && cause == Cause::Exit(0));
        if clock::now().since(self.since) > SETTLED {
            self.backoff = FIRST_BACKOFF;
        }
        self.attempts += unanswered.len() as u64;
        (self.process, self.due, self.last_end) = (None, None, Some(cause));
        self.faults.clear();
        self.faults_ordered = 0;
        self.becomes(BackendState::Gone);
        (Departure { cause, asked, unanswered: unanswered.len() }, unanswered, unclaimed)
    }

    /// Tells its process how to misbehave from now on.
    pub(crate) fn misbehaves(&mut self, faults: Vec<Fault>) {
        if let Some(process) = &self.process {
            process.order(BackendCommand::Faults(faults.clone()));
            let fails = |faults: &[Fault]| faults.iter().any(Fault::fails_requests);
            if fails(&self.faults) && !fails(&faults) {
                self.mended = Some(clock::now());
            }
            self.faults = faults;
            self.faults_ordered += 1;
        }
    }

    /// Plans its next start, later each time, and says in how long that is.
    pub(crate) fn restarts_later(&mut self) -> Duration {
        let delay = self.backoff;
        self.backoff = (delay * 2).min(LAST_BACKOFF);
        self.due = Some((Instant::now() + delay, Due::Restart));
        delay
    }

    /// Somebody starts it: whatever failed before counts no more.
    pub(crate) fn forgets_failures(&mut self) {
        self.backoff = FIRST_BACKOFF;
    }

    /// Why it is gone although it was to start.
    pub(crate) fn why_it_failed(&self) -> String {
        let failure = self.failure.clone().or_else(|| self.last_end.map(|cause| cause.to_string()));
        failure.unwrap_or_else(|| "it ended at once".to_owned())
    }

    /// The backend's state, with its readiness.
    pub(crate) fn current(&self) -> BackendState {
        match self.state {
            BackendState::Ready if !self.ready => BackendState::Unready,
            state => state,
        }
    }
}
