//! The supervisor's loop: one `select!` over what processes say, what signals and the API ask, and the tick at which journals are
//! read. It alone holds the truth about the members.

use std::collections::HashSet;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::process::Signal;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::fleet::api::command::{Asked, Command, FaultChange, InFlight, Refusal, queues};
use crate::fleet::api::feed::{Feed, feed};
use crate::fleet::api::server::{Api, Sources};
use crate::fleet::bind;
use crate::fleet::fold::live::Live;
use crate::fleet::fold::log::Log;
use crate::fleet::fold::metrics::Metrics;
use crate::fleet::fold::records::Records;
use crate::fleet::member::{Due, Member};
use crate::fleet::plan::Plan;
use crate::fleet::printer::{Printer, Stream};
use crate::fleet::process::{Notice, Process, journal_name};
use crate::fleet::start::{self, Bound};
use crate::fleet::start_error::StartError;
use crate::fleet::waiting::{Goal, Reply, Waiting};
use crate::io::clock;
use crate::journal::{self, Capacity, Reader};
use crate::runfile::{Runfile, Whereabouts};
use crate::topology::Topology;
use crate::wire::{
    Action, Assignment, BalanceRequest, Calendar, Cause, Change, Event, FRAME, FleetStatus, Generator, MemberState,
    MemberStatus, Moment, Order, Record, Report,
};

/// How often journals are read: soon enough for a person, and for a ring of the default size at full speed.
const TICK: Duration = Duration::from_millis(50);
/// What readers without the token may cost from one reading of the journals to the next.
const READERS_TIME: Duration = Duration::from_millis(20);
/// In flight, beyond the connections: answers to pipelined requests that wait to be written.
const PIPELINED: u32 = 256;
/// A process that was sent SIGSTOP is seen to be stopped after so long at the latest.
const SIGNAL_SHOWS: Duration = Duration::from_millis(500);
/// What all journals of a fleet may take together when they are full, and one at most.
const JOURNALS_BYTES: usize = 512 * 1024 * 1024;
const JOURNAL_RECORDS: std::ops::RangeInclusive<usize> = 1024..=32 * 1024;

/// Runs a fleet from start to stop. An error of type [`StartError`] means that nothing was left running.
pub(crate) async fn run(plan: Plan) -> Result<ExitCode> {
    // Before anything starts, so that a stop that comes early is not lost.
    let mut stops = Stops::listen()?;
    let (mut fleet, api) = Fleet::start(plan).await?;
    let early = tokio::select! {
        accepting = fleet.until_all_accept() => { accepting?; None }
        signal = stops.next() => Some(signal),
    };
    if early.is_none() {
        let advice = (fleet.plan.advice)(&fleet.topology);
        let (view, url) = (api.view(), api.url());
        let taken = api.taken().map(|taken| format!("   ({taken} is taken)")).unwrap_or_default();
        fleet
            .printer
            .print(Stream::Output, format!("\nThe live view: {view}{taken}\nThe API listens on {url}\n\n{advice}\n"));
    }
    fleet.serve(&mut stops, early).await
}

struct Fleet {
    plan: Plan,
    topology: Topology,
    addresses: Vec<IpAddr>,
    calendar: Calendar,
    started: Moment,
    control: String,
    members: Vec<Member>,
    notices: UnboundedReceiver<(usize, u32, Notice)>,
    notify: UnboundedSender<(usize, u32, Notice)>,
    asked: Asked,
    /// What readers without the token have cost since the journals were read.
    readers_took: Duration,
    waiting: Waiting,
    stopping: bool,
    /// What was read from the journals in one go; kept for its capacity.
    ended: Vec<Record>,
    records: Arc<Mutex<Records>>,
    log: Log,
    live: Live,
    metrics: Arc<Metrics>,
    /// To those who look.
    feed: Feed,
    /// Whether the backends were told that somebody does.
    watched: bool,
    /// Whether more about members has changed than those who look count by themselves.
    members_changed: bool,
    printer: Printer,
    _runfile: Runfile,
}

/// The signals that end a fleet.
struct Stops {
    interrupt: SignalStream,
    terminate: SignalStream,
    hangup: SignalStream,
}

impl Stops {
    fn listen() -> Result<Stops> {
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Stops {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The number of the next one.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
            _ = self.hangup.recv() => SignalKind::hangup().as_raw_value(),
        }
    }
}

impl Fleet {
    /// Binds everything, then starts everything; or ends what it has started and says what is wrong.
    async fn start(plan: Plan) -> Result<(Fleet, Api)> {
        let Bound { topology, addresses, listening, api, connections } = start::bind(&plan)?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let calendar = clock::calendar();
        let (notify, notices) = unbounded_channel();
        let runfile = Runfile::publish(&Whereabouts {
            pid: std::process::id(),
            control: api.url(),
            token: token.clone(),
            generators: topology.generators().collect(),
        })?;
        let (ask, asked) = queues();
        let (feed, hub) = feed();
        let records = Arc::new(Mutex::new(Records::new(calendar)));
        let metrics = Arc::new(Metrics::new());
        let sources = Sources { token, ask, hub, records: records.clone(), metrics: metrics.clone(), connections };
        let api = Api::serve(api, sources)?;
        let mut printer = Printer::start();
        printer.print(Stream::Output, introduction(topology.generators().len()));
        let mut fleet = Fleet {
            addresses,
            calendar,
            started: calendar.moment,
            control: api.url().to_owned(),
            members: topology.generators().map(|generator| Member::new(generator, calendar.moment)).collect(),
            notices,
            notify,
            asked,
            readers_took: Duration::ZERO,
            waiting: Waiting::default(),
            stopping: false,
            ended: Vec::new(),
            records,
            log: Log::new(plan.log, topology.clone(), calendar, TimeZone::system()),
            live: Live::new(topology.generators(), calendar),
            metrics,
            feed,
            watched: false,
            members_changed: false,
            printer,
            _runfile: runfile,
            topology,
            plan,
        };
        for (index, (listeners, file)) in listening.into_iter().enumerate() {
            fleet.members[index].socket = file;
            if let Err(why) = fleet.spawn(index, listeners) {
                let problem = format!("backend {}: {why:#}", fleet.members[index].generator);
                return Err(fleet.give_up(problem).await);
            }
        }
        Ok((fleet, api))
    }

    async fn until_all_accept(&mut self) -> Result<()> {
        while self.members.iter().any(|member| member.state == MemberState::Starting) {
            let Some((index, incarnation, notice)) = self.notices.recv().await else { break };
            self.note(index, incarnation, notice);
            let member = &mut self.members[index];
            if member.state == MemberState::Gone {
                let problem = format!("backend {}: {}", member.generator, member.why_it_failed());
                return Err(self.give_up(problem).await);
            }
        }
        Ok(())
    }

    /// Ends what was started and waits for its end.
    async fn give_up(&mut self, problem: String) -> anyhow::Error {
        self.signal_all(Signal::KILL);
        while self.members.iter().any(|member| member.process.is_some()) {
            let Some((index, incarnation, Notice::Gone(_))) = self.notices.recv().await else { continue };
            if self.members[index].incarnation == incarnation {
                self.members[index].process = None;
            }
        }
        let mut error = StartError::new();
        error.add(problem, "raise the limits of processes and memory, or start fewer backends with --ports");
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
        while !(self.stopping && self.members.iter().all(|member| member.process.is_none())) {
            let due = self.members.iter().filter_map(|member| member.due).map(|(at, _)| at).min();
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
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.do_what_is_due(),
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
        for member in &mut self.members {
            member.drain(self.plan.grace);
        }
    }

    fn signal_all(&self, signal: Signal) {
        for process in self.members.iter().filter_map(|member| member.process.as_ref()) {
            process.signal(signal);
        }
    }

    // Members.

    fn spawn(&mut self, index: usize, listeners: Vec<socket2::Socket>) -> Result<()> {
        let generator = self.members[index].generator;
        let capacity = Capacity { table: self.plan.limits.connections.saturating_add(PIPELINED), ring: self.ring() };
        let file = journal::create(&journal_name(generator), capacity)?;
        let assignment = Assignment {
            generator,
            place: index as u16,
            calendar: self.calendar,
            limits: self.plan.limits,
            proxy_protocol: self.plan.proxy_protocol,
            grace: self.plan.grace,
        };
        let incarnation = self.members[index].incarnation + 1;
        let notify = self.notify.clone();
        let process = Process::start(&assignment, &file, listeners, move |notice| {
            let _ = notify.send((index, incarnation, notice));
        })?;
        let pid = process.pid;
        if self.watched {
            process.order(Order::Watch(true));
        }
        self.members[index].starts(process, Reader::open(&file)?);
        self.event(index, Change::Starting(pid));
        Ok(())
    }

    /// Records that one journal holds.
    fn ring(&self) -> u32 {
        let shared = JOURNALS_BYTES / (crate::wire::RECORD_WORDS * 8) / self.members.len().max(1);
        let ring = shared.clamp(*JOURNAL_RECORDS.start(), *JOURNAL_RECORDS.end());
        self.plan.journal.unwrap_or(1 << ring.ilog2())
    }

    /// Starts a member that is gone: its addresses are bound anew.
    fn start_again(&mut self, index: usize) -> Result<(), String> {
        let generator = self.members[index].generator;
        let mut listeners =
            bind::listen(&self.addresses, generator).map_err(|(address, why)| format!("{address}: {why}"))?;
        if let Some(sockets) = &self.plan.sockets {
            let path = sockets.path(generator);
            // Before the new one is there: it may look like the old one.
            self.members[index].socket = None;
            let (listener, file) = bind::listen_unix(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            listeners.push(listener);
            self.members[index].socket = Some(file);
        }
        self.spawn(index, listeners).map_err(|error| format!("{error:#}"))
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let Some((_, due)) = member.due.take_if(|(at, _)| *at <= now) else { continue };
            match (due, &member.process) {
                (Due::Kill, Some(process)) => process.signal(Signal::KILL),
                (Due::Restart, None) => {
                    if let Err(why) = self.start_again(index) {
                        self.event(index, Change::StartFailed(why));
                        self.restart_later(index);
                    }
                }
                (Due::Kill, None) | (Due::Restart, Some(_)) => {}
            }
        }
    }

    fn restart_later(&mut self, index: usize) {
        let delay = self.members[index].restarts_later();
        self.event(index, Change::RestartIn(delay));
    }

    fn note(&mut self, index: usize, incarnation: u32, notice: Notice) {
        if self.members[index].incarnation != incarnation {
            return;
        }
        match notice {
            Notice::Report(Report::Accepting) => self.change(index, MemberState::Ready, Change::Accepting),
            // When all of them stop, that is no news of one.
            Notice::Report(Report::Draining) if self.stopping => {}
            Notice::Report(Report::Draining) => {
                self.members[index].socket = None;
                self.change(index, MemberState::Draining, Change::Draining);
            }
            Notice::Report(Report::Faults(faults)) => {
                let member = &mut self.members[index];
                member.faults_ordered = member.faults_ordered.saturating_sub(1);
                self.event(index, Change::Faults(faults));
            }
            Notice::Report(Report::Starved(why)) => self.event(index, Change::Starved(why)),
            Notice::Report(Report::Recovered) => self.event(index, Change::Recovered),
            Notice::Report(Report::Seen(seen)) => {
                let generator = self.members[index].generator;
                self.tell(&Event::Seen { generator, seen });
            }
            Notice::Report(Report::Failed(why)) => self.members[index].failure = Some(why),
            Notice::Gone(cause) => self.gone(index, cause),
        }
        self.answer_those_who_wait();
    }

    fn gone(&mut self, index: usize, cause: Cause) {
        self.read_journals();
        let (departure, unanswered, unclaimed) = self.members[index].ends(cause);
        self.lose(index, unclaimed);
        self.keep(&unanswered);
        for record in unanswered {
            self.tell(&Event::Attempt(record));
        }
        let asked = departure.asked;
        self.event(index, Change::Gone(departure));
        if self.plan.restart && !asked {
            self.restart_later(index);
        }
    }

    fn change(&mut self, index: usize, state: MemberState, change: Change) {
        self.members[index].becomes(state);
        self.event(index, change);
    }

    // Events.

    fn event(&mut self, index: usize, change: Change) {
        let generator = self.members[index].generator;
        self.members_changed = true;
        self.tell(&Event::Member { at: clock::now(), generator, change });
    }

    fn tell(&mut self, event: &Event) {
        self.live.event(event);
        self.metrics.event(event);
        for (stream, line) in self.log.event(event) {
            self.printer.print(stream, line);
        }
    }

    /// SIGSTOP and SIGCONT by hand are not reported to the supervisor; it looks when somebody asks.
    fn notice_pauses(&mut self) {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            // A signal of our own takes a moment to show.
            let settled = clock::now().since(member.since) > SIGNAL_SHOWS;
            let process = member.process.as_ref().filter(|_| settled);
            let Some(stopped) = process.and_then(Process::is_stopped) else { continue };
            match (member.state, stopped) {
                (MemberState::Paused, false) => self.resumed(index),
                (MemberState::Paused, true) | (_, false) => {}
                (_, true) => self.paused(index),
            }
        }
    }

    fn paused(&mut self, index: usize) {
        self.members[index].pauses();
        self.event(index, Change::Paused);
    }

    fn resumed(&mut self, index: usize) {
        self.members[index].resumes();
        self.event(index, Change::Resumed);
    }

    /// Reads all journals and tells what they hold in the order in which it happened, not backend by backend.
    fn read_journals(&mut self) {
        let mut ended = std::mem::take(&mut self.ended);
        for index in 0..self.members.len() {
            let member = &mut self.members[index];
            let Some(journal) = &mut member.journal else { continue };
            let before = ended.len();
            let lost = journal.drain(|record| ended.push(record));
            member.attempts += (ended.len() - before) as u64;
            self.lose(index, lost);
        }
        // Each journal is in this order already: the sort merges.
        ended.sort_by_key(|record| record.answered);
        self.keep(&ended);
        for record in ended.drain(..) {
            self.tell(&Event::Attempt(record));
        }
        self.ended = ended;
    }

    fn keep(&self, records: &[Record]) {
        let mut kept = self.records();
        records.iter().for_each(|record| kept.push(record));
    }

    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&mut self, index: usize, count: u64) {
        if count > 0 {
            self.records().lose(count);
            let member = &mut self.members[index];
            member.lost += count;
            let generator = member.generator;
            self.tell(&Event::Lost { at: clock::now(), generator, count });
        }
    }

    /// The attempts that are in flight now; all that have ended are in the records.
    fn in_flight(&mut self) -> InFlight {
        self.read_journals();
        let journals = self.members.iter().filter_map(|member| member.journal.as_ref());
        let mut open: Vec<Record> = journals.flat_map(Reader::in_flight).collect();
        // One that ended between the two readings would be in neither; now it is in both.
        let before = self.records().end();
        self.read_journals();
        let records = self.records();
        let ended: HashSet<(Generator, u64)> =
            records.since(before).map(|record| (record.generator, record.number)).collect();
        open.retain(|record| !ended.contains(&(record.generator, record.number)));
        InFlight { records: open, ended: records.end() }
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
        if watched != self.watched {
            self.watched = watched;
            for process in self.members.iter().filter_map(|member| member.process.as_ref()) {
                process.order(Order::Watch(watched));
            }
        }
        let now = clock::now();
        if !watched {
            self.live.pass(now);
            return;
        }
        self.notice_pauses();
        self.tick();
        let members = self.status().members;
        let frame = self.live.frame(now, &members, std::mem::take(&mut self.members_changed));
        self.feed.frame(frame);
    }

    /// Whoever keeps the balancer gets it.
    fn balance(&mut self, wanted: BalanceRequest) -> Result<(), Refusal> {
        let nobody = "no program here can change the balancer: uuid-generator demo starts one that it can change";
        let choices = self.live.front().map(|front| front.choices.clone()).unwrap_or_default();
        if choices.is_empty() {
            return Err(Refusal::Impossible(nobody.to_owned()));
        }
        if !choices.contains(&wanted.algorithm) {
            let why = format!("no algorithm {:?} here: it can be {}", wanted.algorithm, choices.join(", "));
            return Err(Refusal::Unknown(why));
        }
        if !wanted.weights.is_empty() && wanted.weights.len() != self.members.len() {
            let why = format!("{} weights for {} backends", wanted.weights.len(), self.members.len());
            return Err(Refusal::Impossible(why));
        }
        if !self.feed.has_readers() {
            return Err(Refusal::Impossible(nobody.to_owned()));
        }
        self.feed.balance(wanted);
        Ok(())
    }

    // The API.

    fn obey(&mut self, command: Command) {
        self.notice_pauses();
        match command {
            Command::Status(reply) => {
                self.tick();
                let _ = reply.send(self.status());
            }
            Command::InFlight(reply) => {
                let _ = reply.send(self.in_flight());
            }
            Command::Watch(watch) => {
                self.tick();
                // What has happened since the last frame is in the snapshot, and not again in a frame.
                self.show();
                let status = self.status();
                let snapshot = self.live.snapshot(clock::now(), status);
                self.feed.snapshot(snapshot, watch);
            }
            Command::SetFront(front, reply) => {
                self.live.set_front(front, clock::now());
                let _ = reply.send(());
            }
            Command::Front(reply) => {
                let _ = reply.send(self.live.front().cloned());
            }
            Command::Balance(wanted, reply) => {
                let _ = reply.send(self.balance(wanted));
            }
            Command::CheckNews(news) => self.live.set_check(news, clock::now()),
            Command::Act(_, _, reply) | Command::Faults(_, _, reply) if self.stopping => {
                let _ = reply.send(Err(Refusal::Impossible("the fleet is stopping".to_owned())));
            }
            Command::Act(action, wanted, reply) => {
                match self.choose(action.name(), |state| action.applies_to(state), &wanted) {
                    Ok(members) => self.act(action, members, reply),
                    Err(refusal) => {
                        let _ = reply.send(Err(refusal));
                    }
                }
            }
            Command::Faults(change, wanted, reply) => {
                match self.choose(change.name(), |state| state != MemberState::Gone, &wanted) {
                    Ok(mut members) => {
                        // Of all, those that behave need not be told to.
                        let all_clear = wanted.is_empty() && change == FaultChange::Clear;
                        members.retain(|index| !all_clear || !self.members[*index].faults.is_empty());
                        self.misbehave(&change, members, reply);
                    }
                    Err(refusal) => {
                        let _ = reply.send(Err(refusal));
                    }
                }
            }
        }
    }

    /// The members that something is for: those named, or all to which it applies. None is touched unless all can be.
    fn choose(
        &self,
        what: &str,
        applies: impl Fn(MemberState) -> bool,
        wanted: &[Generator],
    ) -> Result<Vec<usize>, Refusal> {
        if wanted.is_empty() {
            let members = 0..self.members.len();
            return Ok(members.filter(|index| applies(self.members[*index].state)).collect());
        }
        let position = |wanted: &Generator| self.members.iter().position(|member| member.generator == *wanted);
        let unknown: Vec<String> =
            wanted.iter().filter(|wanted| position(wanted).is_none()).map(Generator::to_string).collect();
        if !unknown.is_empty() {
            return Err(Refusal::Unknown(format!("this fleet has no backend {}", unknown.join(", "))));
        }
        let mut members: Vec<usize> = wanted.iter().filter_map(position).collect();
        members.sort_unstable();
        members.dedup();
        let unfit: Vec<String> = members
            .iter()
            .map(|index| &self.members[*index])
            .filter(|member| !applies(member.state))
            .map(|member| format!("{} is {}", member.generator, member.state))
            .collect();
        match unfit.is_empty() {
            true => Ok(members),
            false => Err(Refusal::Impossible(format!("cannot {what}: {}", unfit.join(", ")))),
        }
    }

    fn act(&mut self, action: Action, members: Vec<usize>, reply: Reply) {
        let mut failures = Vec::new();
        for &index in &members {
            if let Err(why) = self.act_on(action, index) {
                failures.push(format!("failed to {} {}: {why}", action.name(), self.members[index].generator));
            }
        }
        let goal = match action {
            _ if !failures.is_empty() => {
                let _ = reply.send(Err(Refusal::Failed(failures.join("; "))));
                return;
            }
            Action::Kill | Action::Drain => Goal::Gone,
            Action::Start => Goal::Accepting,
            Action::Pause | Action::Resume | Action::Ready | Action::Unready => {
                let _ = reply.send(Ok(self.status()));
                return;
            }
        };
        self.waiting.add(members, goal, reply);
        self.answer_those_who_wait();
    }

    fn act_on(&mut self, action: Action, index: usize) -> Result<(), String> {
        let member = &mut self.members[index];
        let Some(process) = &member.process else {
            member.forgets_failures();
            return self.start_again(index);
        };
        match action {
            Action::Kill => process.signal(Signal::KILL),
            Action::Drain => member.drain(self.plan.grace),
            Action::Pause => {
                process.signal(Signal::STOP);
                self.paused(index);
            }
            Action::Resume => {
                process.signal(Signal::CONT);
                self.resumed(index);
            }
            Action::Ready | Action::Unready => {
                let ready = action == Action::Ready;
                process.order(Order::Ready(ready));
                member.ready = ready;
                self.event(index, Change::Readiness(ready));
            }
            Action::Start => {}
        }
        Ok(())
    }

    fn misbehave(&mut self, change: &FaultChange, members: Vec<usize>, reply: Reply) {
        for &index in &members {
            let member = &mut self.members[index];
            let mut faults = member.faults.clone();
            match change {
                FaultChange::Add(added) => added.iter().for_each(|fault| fault.add_to(&mut faults)),
                FaultChange::Clear => faults.clear(),
            }
            member.misbehaves(faults);
        }
        self.waiting.add(members, Goal::FaultsSet, reply);
        self.answer_those_who_wait();
    }

    fn answer_those_who_wait(&mut self) {
        for (reply, failure) in self.waiting.take_arrived(&self.members) {
            let _ = reply.send(failure.map_or_else(|| Ok(self.status()), |why| Err(Refusal::Failed(why))));
        }
    }

    fn status(&self) -> FleetStatus {
        FleetStatus {
            version: 1,
            pid: std::process::id(),
            control: self.control.clone(),
            started: self.time(self.started),
            members: self.members.iter().map(|member| self.member_status(member)).collect(),
        }
    }

    fn member_status(&self, member: &Member) -> MemberStatus {
        MemberStatus {
            generator: member.generator,
            url: self.topology.url(member.generator),
            state: member.current(),
            since: self.time(member.since),
            pid: member.process.as_ref().map(|process| process.pid),
            ready: member.ready,
            restarts: member.incarnation.saturating_sub(1),
            attempts: member.attempts,
            in_flight: member.in_flight(),
            lost: member.lost,
            last_end: member.last_end.map(|cause| cause.to_string()),
            faults: member.faults.clone(),
            actions: Action::all_for(member.current()),
        }
    }

    fn time(&self, moment: Moment) -> String {
        let time = Timestamp::from_nanosecond(i128::from(self.calendar.unix(moment))).unwrap_or_default();
        format!("{time:.3}")
    }
}

fn introduction(backends: usize) -> String {
    match backends {
        1 => "One backend, in a process of its own. CTRL+C stops it.\n\n".to_owned(),
        more => format!("{more} backends, each in a process of its own. CTRL+C stops them.\n\n"),
    }
}
