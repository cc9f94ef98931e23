//! The supervisor's loop: one `select!` over what processes say, what signals and the API ask, and the tick at which journals are
//! read. It alone holds the truth about the backends.

use std::cmp::Reverse;
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, HashSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;
use rustix::process::Signal;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::fleet::api::command::{
    CommandReceiver, CommandRefusal, FaultChange, InFlightCount, SupervisorCommand, queues,
};
use crate::fleet::api::feed::{Feed, feed};
use crate::fleet::api::server::{Api, Sources};
use crate::fleet::backends::{FleetBackends, FleetRun, Notification};
use crate::fleet::bind::Listeners;
use crate::fleet::certificates::{AuthorityFiles, ClientCredentials, Prepared};
use crate::fleet::fold::live::LiveView;
use crate::fleet::fold::log::Log;
use crate::fleet::fold::metrics::Metrics;
use crate::fleet::fold::records::RecordStore;
use crate::fleet::limits::RecordMemory;
use crate::fleet::plan::FleetPlan;
use crate::fleet::printer::{OutputStream, Printer};
use crate::fleet::process::Notice;
use crate::fleet::start::{self, Bound};
use crate::fleet::start_error::StartError;
use crate::fleet::stops::Stops;
use crate::fleet::waiting::{Goal, ReplySender, Waiters};
use crate::io::clock;
use crate::journal::{JournalReader, Overwritten};
use crate::runfile::{Runfile, Whereabouts};
use crate::topology::Topology;
use crate::wire::{
    Action, BackendChange, BackendReport, BackendState, BalanceRequest, Cause, FRAME, FleetEvent, Generator, Instance,
    Record, Token,
};

/// How often journals are read: soon enough for a person, and for a ring of the default size at full speed.
const TICK: Duration = Duration::from_millis(50);
/// What readers without the token may cost from one reading of the journals to the next.
const READERS_TIME: Duration = Duration::from_millis(20);

/// Runs a fleet from start to stop. An error of type [`StartError`] means that nothing was left running.
pub(crate) async fn run(plan: FleetPlan) -> Result<ExitCode> {
    // Before anything starts, so that a stop that comes early is not lost.
    let mut stops = Stops::listen()?;
    let (mut fleet, api) = RunningFleet::start(plan).await?;
    let early = tokio::select! {
        accepting = fleet.until_all_accept() => { accepting?; None }
        signal = stops.next() => Some(signal),
    };
    if early.is_none() {
        let advice = (fleet.backends.plan.advice)(&fleet.backends.topology);
        let (view, url) = (api.view(), api.url());
        let taken = api.taken().map(|taken| format!("   ({taken} is taken)")).unwrap_or_default();
        fleet.printer.print(
            OutputStream::Output,
            format!("\nThe live view: {view}{taken}\nThe API listens on {url}\n\n{advice}\n"),
        );
    }
    fleet.serve(&mut stops, early).await
}

struct RunningFleet {
    backends: FleetBackends,
    notices: UnboundedReceiver<Notification>,
    asked: CommandReceiver,
    /// What readers without the token have cost since the journals were read.
    readers_took: Duration,
    waiting: Waiters,
    stopping: bool,
    records: Arc<Mutex<RecordStore>>,
    log: Log,
    live: LiveView,
    metrics: Arc<Metrics>,
    /// Feeds those who look at the live view.
    feed: Feed,
    /// Whether more about backends has changed than those who look count by themselves.
    backends_changed: bool,
    printer: Printer,
    _runfile: Runfile,
    _client: Option<ClientCredentials>,
}

/// Lets other commands of this user find the fleet.
fn publish(control: String, token: &Token, topology: &Topology) -> Result<Runfile> {
    Runfile::publish(&Whereabouts {
        pid: std::process::id(),
        control,
        token: token.as_str().to_owned(),
        backends: topology.backends.iter().map(|backend| backend.name.clone()).collect(),
    })
}

impl RunningFleet {
    /// Binds everything, then starts everything; or ends what it has started and says what is wrong.
    async fn start(plan: FleetPlan) -> Result<(RunningFleet, Api)> {
        let Bound { topology, resolved, listening, api, metrics: open_metrics, tls, connections } = start::bind(&plan)?;
        let is_token_given = plan.token.is_some();
        let token = plan.token.clone().unwrap_or_else(Token::random);
        let calendar = clock::calendar();
        let (notify, notices) = unbounded_channel();
        let runfile = publish(api.url(), &token, &topology)?;
        let (ask, asked) = queues();
        let (feed, hub) = feed();
        let instance = Instance(uuid::Uuid::new_v4().as_u64_pair().1);
        let memory = RecordMemory::find();
        let records = Arc::new(Mutex::new(RecordStore::new(calendar, instance, topology.names(), memory.kept())));
        let metrics = Arc::new(Metrics::new(topology.names()));
        let sources = Sources {
            token,
            is_token_given,
            ask,
            hub,
            records: records.clone(),
            metrics: metrics.clone(),
            connections,
            is_joint: false,
        };
        let api = Api::serve(api, open_metrics, sources)?;
        let mut printer = Printer::start();
        printer.print(OutputStream::Output, introduction(topology.generators().len()));
        tls.iter().for_each(|tls| introduce_authority(tls, &mut printer));
        let log = Log::new(plan.log, topology.clone(), calendar, TimeZone::system());
        let live = LiveView::new(topology.generators(), topology.names(), calendar);
        let (assignment, files) = tls.map(|tls| (tls.assignment, tls.authority)).unzip();
        let mut fleet = RunningFleet {
            backends: FleetBackends::new(
                plan,
                topology,
                resolved,
                assignment,
                FleetRun { calendar, instance, memory },
                api.url().to_owned(),
                notify,
            ),
            notices,
            asked,
            readers_took: Duration::ZERO,
            waiting: Waiters::default(),
            stopping: false,
            records,
            log,
            live,
            metrics,
            feed,
            backends_changed: false,
            printer,
            _runfile: runfile,
            _client: files.flatten().and_then(|files| files.client),
        };
        fleet.spawn_all(listening).await?;
        fleet.tell_of_backends();
        Ok((fleet, api))
    }

    async fn spawn_all(&mut self, listening: Vec<Listeners>) -> Result<()> {
        for (index, listeners) in listening.into_iter().enumerate() {
            if let Err(why) = self.backends.spawn(index, listeners) {
                let problem = format!("backend {}: {why:#}", self.backends.list[index].name);
                return Err(self.give_up(problem).await);
            }
        }
        Ok(())
    }

    async fn until_all_accept(&mut self) -> Result<()> {
        // Which process is first is chance: all of them are reported in the fleet's order.
        let mut accepting = Vec::new();
        while accepting.len() < self.backends.list.len() {
            let Some((index, incarnation, notice)) = self.notices.recv().await else { break };
            if matches!(notice, Notice::Report(BackendReport::Accepting)) {
                accepting.push((index, incarnation));
                continue;
            }
            self.note(index, incarnation, notice);
            let backend = &mut self.backends.list[index];
            if backend.state == BackendState::Gone {
                let problem = format!("backend {}: {}", backend.name, backend.why_it_failed());
                return Err(self.give_up(problem).await);
            }
        }
        accepting.sort_unstable();
        for (index, incarnation) in accepting {
            self.note(index, incarnation, Notice::Report(BackendReport::Accepting));
        }
        Ok(())
    }

    /// Ends what was started and waits for its end.
    async fn give_up(&mut self, problem: String) -> anyhow::Error {
        self.backends.signal_all(Signal::KILL);
        while self.backends.list.iter().any(|backend| backend.process.is_some()) {
            let Some((index, incarnation, Notice::Gone(_))) = self.notices.recv().await else { continue };
            if self.backends.list[index].incarnation == incarnation {
                self.backends.list[index].process = None;
            }
        }
        let hint = if crate::platform::means().this_program().is_ok_and(|program| program.exists()) {
            "raise the limits of processes and memory, or start fewer backends with --ports"
        } else {
            "mount /proc: backends are started from /proc/self/exe"
        };
        let mut error = StartError::new();
        error.add(problem, hint);
        error.into()
    }

    /// Until a signal has come and all has ended.
    async fn serve(mut self, stops: &mut Stops, early: Option<i32>) -> Result<ExitCode> {
        let (mut tick, mut frames) = (interval(TICK), interval(FRAME));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if early.is_some() {
            self.stop();
        }
        while !(self.stopping && self.backends.are_gone()) {
            let due = self.backends.due();
            tokio::select! {
                Some((index, incarnation, notice)) = self.notices.recv() => self.note(index, incarnation, notice),
                Some(command) = self.asked.owner.recv() => self.obey(command),
                Some(command) = self.asked.readers.recv(), if self.readers_took < READERS_TIME => {
                    let begun = Instant::now();
                    self.obey(command);
                    self.readers_took += begun.elapsed();
                }
                _ = tick.tick() => {
                    self.readers_took = Duration::ZERO;
                    self.tick();
                }
                _ = frames.tick() => self.show(),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.backends.do_what_is_due();
                    self.tell_of_backends();
                }
                number = stops.next() => {
                    if self.stopping {
                        // The second one: at once. What is left of the backends ends with this process.
                        return Ok(ExitCode::from(128 + number as u8));
                    }
                    self.stop();
                }
            }
        }
        self.tick();
        if let Some((stream, line)) = self.log.tick(clock::now().after(Duration::from_secs(1))) {
            self.printer.print(stream, line);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Asks all backends to end.
    fn stop(&mut self) {
        self.stopping = true;
        self.backends.drain_all();
    }

    fn note(&mut self, index: usize, incarnation: u32, notice: Notice) {
        if self.backends.list[index].incarnation != incarnation {
            return;
        }
        match notice {
            Notice::Report(BackendReport::Accepting) => {
                self.backends.change(index, BackendState::Ready, BackendChange::Accepting);
            }
            // When all of them stop, that is no news of one.
            Notice::Report(BackendReport::Draining) if self.stopping => {}
            Notice::Report(BackendReport::Draining) => {
                self.backends.list[index].sockets.clear();
                self.backends.change(index, BackendState::Draining, BackendChange::Draining);
            }
            Notice::Report(BackendReport::Faults(faults)) => {
                let backend = &mut self.backends.list[index];
                backend.faults_ordered = backend.faults_ordered.saturating_sub(1);
                self.backends.event(index, BackendChange::Faults(faults));
            }
            Notice::Report(BackendReport::Handshakes(handshakes)) => self.backends.note_handshakes(index, handshakes),
            Notice::Report(BackendReport::Starved(why)) => self.backends.event(index, BackendChange::Starved(why)),
            Notice::Report(BackendReport::Recovered) => self.backends.event(index, BackendChange::Recovered),
            Notice::Report(BackendReport::Seen(seen)) => {
                let generator = self.backends.list[index].generator;
                self.tell(&FleetEvent::Seen { generator, seen });
            }
            Notice::Report(BackendReport::Failed(why)) => self.backends.list[index].failure = Some(why),
            Notice::Gone(cause) => self.gone(index, cause),
        }
        self.tell_of_backends();
        self.answer_those_who_wait();
    }

    fn gone(&mut self, index: usize, cause: Cause) {
        self.read_journals();
        let (departure, unanswered, unclaimed) = self.backends.list[index].ends(cause);
        self.lose(index, unclaimed);
        for record in unanswered {
            self.records().push(&record);
            self.tell(&FleetEvent::Attempt(record));
        }
        let asked = departure.asked;
        self.backends.event(index, BackendChange::Gone(departure));
        if self.backends.plan.restart && !asked {
            self.backends.restart_later(index);
        }
    }

    /// What has happened to backends, before anything that happened later.
    fn tell_of_backends(&mut self) {
        for event in self.backends.take_events() {
            self.backends_changed = true;
            self.tell(&event);
        }
    }

    fn tell(&mut self, event: &FleetEvent) {
        self.live.event(event);
        self.metrics.event(event);
        for (stream, line) in self.log.event(event) {
            self.printer.print(stream, line);
        }
    }

    /// Reads what has ended by now from all journals, and tells it in the order in which it happened, not backend by backend: the
    /// next one is that of the journal whose next one is the earliest. What has not been read yet waits in the journals, and nowhere else.
    fn read_journals(&mut self) {
        self.tell_of_backends();
        let mut next = BinaryHeap::new();
        let mut lost = vec![0; self.backends.list.len()];
        for (index, backend) in self.backends.list.iter_mut().enumerate() {
            let Some(journal) = &mut backend.journal else { continue };
            journal.look();
            next.extend(journal.next_end().map(|ended| Reverse((ended, index))));
        }
        while let Some(mut first) = next.peek_mut() {
            let Reverse((_, index)) = *first;
            let backend = &mut self.backends.list[index];
            let Some(journal) = &mut backend.journal else {
                PeekMut::pop(first);
                continue;
            };
            let read = journal.read();
            match journal.next_end() {
                Some(ended) => *first = Reverse((ended, index)),
                None => drop(PeekMut::pop(first)),
            }
            match read {
                Ok(record) => {
                    backend.attempts += 1;
                    self.records().push(&record);
                    self.tell(&FleetEvent::Attempt(record));
                }
                Err(Overwritten(count)) => lost[index] += count,
            }
        }
        lost.into_iter().enumerate().for_each(|(index, count)| self.lose(index, count));
    }

    fn records(&self) -> std::sync::MutexGuard<'_, RecordStore> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&mut self, index: usize, count: u64) {
        if count > 0 {
            self.records().lose(count);
            let backend = &mut self.backends.list[index];
            backend.lost += count;
            let generator = backend.generator;
            self.tell(&FleetEvent::Lost { at: clock::now(), generator, count });
        }
    }

    /// The attempts that are in flight now; all that have ended are in the records.
    fn in_flight(&mut self) -> InFlightCount {
        self.read_journals();
        let journals = self.backends.list.iter().filter_map(|backend| backend.journal.as_ref());
        let mut open: Vec<Record> = journals.flat_map(JournalReader::in_flight).collect();
        // One that ended between the two readings would be in neither; now it is in both.
        let before = self.records().end();
        self.read_journals();
        let records = self.records();
        let ended: HashSet<(Generator, u64)> =
            records.since(before).map(|record| (record.generator, record.number)).collect();
        open.retain(|record| !ended.contains(&(record.generator, record.number)));
        InFlightCount { records: open, ended: records.end() }
    }

    fn tick(&mut self) {
        self.read_journals();
        let now = clock::now();
        if let Some((stream, line)) = self.log.tick(now) {
            self.printer.print(stream, line);
        }
        let dropped = self.printer.take_dropped();
        if dropped > 0 {
            let (stream, line) = self.log.dropped(now, dropped);
            self.printer.print(stream, line);
        }
    }

    // Those who look.

    /// A frame for them, if there are any. Backends show requests only while there are.
    fn show(&mut self) {
        let watched = self.feed.has_readers();
        self.backends.watch(watched);
        let now = clock::now();
        if !watched {
            self.live.pass(now);
            return;
        }
        self.backends.notice_pauses();
        self.tick();
        let backends = self.backends.status().backends;
        let frame = self.live.frame(now, &backends, std::mem::take(&mut self.backends_changed));
        self.feed.frame(frame);
    }

    /// Passes it to the process that keeps the balancer.
    fn balance(&mut self, wanted: BalanceRequest) -> Result<(), CommandRefusal> {
        let nobody = "no program here can change the balancer: uuid-generator demo starts one that it can change";
        let choices = self.live.front().map(|front| front.choices.clone()).unwrap_or_default();
        if choices.is_empty() {
            return Err(CommandRefusal::Impossible(nobody.to_owned()));
        }
        if !choices.contains(&wanted.algorithm) {
            let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
            let why = format!("no algorithm {} here: it can be {}", wanted.algorithm, choices.join(", "));
            return Err(CommandRefusal::Unknown(why));
        }
        if !wanted.weights.is_empty() && wanted.weights.len() != self.backends.list.len() {
            let why = format!("{} weights for {} backends", wanted.weights.len(), self.backends.list.len());
            return Err(CommandRefusal::Impossible(why));
        }
        if !self.feed.has_readers() {
            return Err(CommandRefusal::Impossible(nobody.to_owned()));
        }
        self.feed.balance(wanted);
        Ok(())
    }

    // The API.

    fn obey(&mut self, command: SupervisorCommand) {
        self.backends.notice_pauses();
        self.tell_of_backends();
        match command {
            SupervisorCommand::Status(reply) => {
                self.tick();
                let _ = reply.send(self.backends.status());
            }
            SupervisorCommand::InFlight(reply) => {
                let _ = reply.send(self.in_flight());
            }
            SupervisorCommand::Watch(watch) => {
                self.tick();
                // What has happened since the last frame is in the snapshot, and not again in a frame.
                self.show();
                let status = self.backends.status();
                let snapshot = self.live.snapshot(clock::now(), status);
                self.feed.snapshot(snapshot, watch);
            }
            SupervisorCommand::SetFront(front, reply) => {
                self.live.set_front(front, clock::now());
                let _ = reply.send(());
            }
            SupervisorCommand::Front(reply) => {
                let _ = reply.send(self.live.front().cloned());
            }
            SupervisorCommand::Balance(wanted, reply) => {
                let _ = reply.send(self.balance(wanted));
            }
            SupervisorCommand::CheckNews(news) => self.live.set_check(news, clock::now()),
            SupervisorCommand::ClientTimes(times) => self.live.add_client_times(&times, clock::now()),
            SupervisorCommand::Act(_, _, reply) | SupervisorCommand::Faults(_, _, reply) if self.stopping => {
                let _ = reply.send(Err(CommandRefusal::Impossible("the fleet is stopping".to_owned())));
            }
            SupervisorCommand::Act(action, wanted, reply) => {
                match self.backends.choose(action.name(), |state| action.applies_to(state), &wanted) {
                    Ok(backends) => self.act(action, backends, reply),
                    Err(refusal) => {
                        let _ = reply.send(Err(refusal));
                    }
                }
            }
            SupervisorCommand::Faults(change, wanted, reply) => {
                let chosen = self.backends.choose(change.name(), |state| state != BackendState::Gone, &wanted);
                let chosen = chosen.map_err(|refusal| match refusal {
                    CommandRefusal::Impossible(why) => CommandRefusal::Impossible(why + "; start it first"),
                    refusal => refusal,
                });
                match self.backends.refuse_fault(&change).and(chosen) {
                    Ok(mut backends) => {
                        // Where all are to behave, those that do need no command.
                        let all_clear = wanted.is_empty() && change == FaultChange::Clear;
                        backends.retain(|index| !all_clear || !self.backends.list[*index].faults.is_empty());
                        self.misbehave(&change, backends, reply);
                    }
                    Err(refusal) => {
                        let _ = reply.send(Err(refusal));
                    }
                }
            }
        }
    }

    fn act(&mut self, action: Action, backends: Vec<usize>, reply: ReplySender) {
        let mut failures = Vec::new();
        for &index in &backends {
            if let Err(why) = self.backends.act_on(action, index) {
                failures.push(format!("failed to {} {}: {why}", action.name(), self.backends.list[index].name));
            }
        }
        self.tell_of_backends();
        let goal = match action {
            _ if !failures.is_empty() => {
                let _ = reply.send(Err(CommandRefusal::Failed(failures.join("; "))));
                return;
            }
            Action::Kill | Action::Drain => Goal::Gone,
            Action::Start => Goal::Accepting,
            Action::Pause | Action::Resume | Action::Ready | Action::Unready => {
                let _ = reply.send(Ok(self.backends.status()));
                return;
            }
        };
        self.waiting.add(backends, goal, reply);
        self.answer_those_who_wait();
    }

    fn misbehave(&mut self, change: &FaultChange, backends: Vec<usize>, reply: ReplySender) {
        for &index in &backends {
            self.backends.misbehave(index, change);
        }
        self.waiting.add(backends, Goal::FaultsSet, reply);
        self.answer_those_who_wait();
    }

    fn answer_those_who_wait(&mut self) {
        for (reply, failure) in self.waiting.take_arrived(&self.backends.list) {
            let _ =
                reply.send(failure.map_or_else(|| Ok(self.backends.status()), |why| Err(CommandRefusal::Failed(why))));
        }
    }
}

/// Where clients find the certificate of the fleet's own authority.
fn introduce_authority(tls: &Prepared, printer: &mut Printer) {
    let Some(AuthorityFiles { certificate, revocations, client }) = &tls.authority else { return };
    let (certificate, revocations) = (certificate.display(), revocations.display());
    let client = client.as_ref().map_or_else(String::new, |file| {
        format!("     a certificate for clients, and its key, is {}\n", file.path().display())
    });
    let text = format!(
        "TLS: the authority's certificate is {certificate}\n     its revocation list is {revocations}\n{client}\n"
    );
    printer.print(OutputStream::Output, text);
}

fn introduction(backends: usize) -> String {
    match backends {
        1 => "One backend, in a process of its own. CTRL+C stops it.\n\n".to_owned(),
        more => format!("{more} backends, each in a process of its own. CTRL+C stops them.\n\n"),
    }
}
