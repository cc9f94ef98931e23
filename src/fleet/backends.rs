//! The backends of a fleet and what is done to them: started with their sockets and journals, signalled, restarted. What happens to
//! them is noted as events, for the supervisor to tell.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use rustix::process::Signal;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::fleet::api::command::{CommandRefusal, FaultChange};
use crate::fleet::backend::{Due, FleetBackend};
use crate::fleet::bind::{self, Listeners};
use crate::fleet::limits::RecordMemory;
use crate::fleet::plan::FleetPlan;
use crate::fleet::process::{BackendProcess, Notice, journal_name};
use crate::io::clock;
use crate::journal::{self, Capacity, JournalReader};
use crate::platform::machine_name;
use crate::topology::{Host, Topology, no_such_backend};
use crate::wire::{
    Action, Assignment, BackendChange, BackendCommand, BackendIdentity, BackendState, BackendStatus, Calendar,
    FailedHandshakes, Fault, FleetEvent, FleetStatus, Handshakes, Instance, Moment, Protocols, TlsAssignment,
    TlsStatus,
};
use verdict::life::StreamKind;

/// Requests in flight beyond the connections: responses to pipelined requests that wait to be written.
const PIPELINED: u32 = 256;
/// A process that was sent SIGSTOP shows that it is stopped after this time at the latest.
const SIGNAL_SHOWS: Duration = Duration::from_millis(500);
/// Records of one journal, unless the user says how many.
const JOURNAL_RECORDS: std::ops::RangeInclusive<usize> = 1024..=128 * 1024;

/// The machine of the fleet, as a person would look for it.
struct WhereItRuns {
    host: String,
    pod: Option<String>,
    namespace: Option<String>,
    clock: Option<String>,
}

impl WhereItRuns {
    fn find() -> WhereItRuns {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        WhereItRuns {
            host: machine_name(),
            pod: said("POD_NAME"),
            namespace: said("POD_NAMESPACE"),
            clock: clock::identity(),
        }
    }
}

/// Of a supervisor: its time, a random number, and the memory for its records.
#[derive(Clone, Copy)]
pub(crate) struct FleetRun {
    pub(crate) calendar: Calendar,
    pub(crate) instance: Instance,
    pub(crate) memory: RecordMemory,
}

/// The place of a backend, which of its processes it is, and what that has to say.
pub(crate) type Notification = (usize, u32, Notice);

/// All backends of a fleet and their processes.
pub(crate) struct FleetBackends {
    pub(crate) list: Vec<FleetBackend>,
    pub(crate) plan: FleetPlan,
    pub(crate) topology: Topology,
    /// Hosts whose addresses stay as they were at the start.
    resolved: Vec<(Host, Vec<IpAddr>)>,
    /// What backends serve with TLS; none without.
    tls: Option<TlsAssignment>,
    host: WhereItRuns,
    calendar: Calendar,
    /// Which run of a supervisor it is.
    instance: Instance,
    memory: RecordMemory,
    started: Moment,
    control: String,
    notify: UnboundedSender<Notification>,
    /// Whether processes report some of their requests.
    watched: bool,
    events: Vec<FleetEvent>,
}

impl FleetBackends {
    /// None runs yet. `control` is where the API is.
    pub(crate) fn new(
        plan: FleetPlan,
        topology: Topology,
        resolved: Vec<(Host, Vec<IpAddr>)>,
        tls: Option<TlsAssignment>,
        run: FleetRun,
        control: String,
        notify: UnboundedSender<Notification>,
    ) -> FleetBackends {
        let FleetRun { calendar, instance, memory } = run;
        let backend =
            |it: &crate::topology::BackendConfig| FleetBackend::new(it.generator, it.name.clone(), calendar.moment);
        let list = topology.backends.iter().map(backend).collect();
        let (watched, events) = (false, Vec::new());
        FleetBackends {
            list,
            plan,
            topology,
            resolved,
            tls,
            host: WhereItRuns::find(),
            calendar,
            instance,
            memory,
            started: calendar.moment,
            control,
            notify,
            watched,
            events,
        }
    }

    /// What has happened to them since this was asked last.
    pub(crate) fn take_events(&mut self) -> Vec<FleetEvent> {
        std::mem::take(&mut self.events)
    }

    /// Somebody looks from now on, or nobody: processes report some of their requests then.
    pub(crate) fn watch(&mut self, watched: bool) {
        if watched != self.watched {
            self.watched = watched;
            for process in self.list.iter().filter_map(|backend| backend.process.as_ref()) {
                process.order(BackendCommand::Watch(watched));
            }
        }
    }

    /// Asks all to end.
    pub(crate) fn drain_all(&mut self) {
        for backend in &mut self.list {
            backend.drain_after(self.plan.drain_delay, self.plan.grace);
        }
    }

    /// Whether no process is left.
    pub(crate) fn are_gone(&self) -> bool {
        self.list.iter().all(|backend| backend.process.is_none())
    }

    /// When something is to be done next.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.list.iter().filter_map(|backend| backend.due).map(|(at, _)| at).min()
    }

    /// Orders a process to misbehave from now on.
    pub(crate) fn misbehave(&mut self, index: usize, change: &FaultChange) {
        let backend = &mut self.list[index];
        let mut faults = backend.faults.clone();
        match change {
            FaultChange::Add(added) => added.iter().for_each(|fault| fault.add_to(&mut faults)),
            FaultChange::Clear => faults.clear(),
        }
        backend.misbehaves(faults);
    }

    pub(crate) fn signal_all(&self, signal: Signal) {
        for process in self.list.iter().filter_map(|backend| backend.process.as_ref()) {
            process.signal(signal);
        }
    }

    pub(crate) fn spawn(&mut self, index: usize, listeners: Listeners) -> Result<()> {
        let generator = self.list[index].generator;
        let capacity = Capacity { table: self.plan.limits.connections.saturating_add(PIPELINED), ring: self.ring() };
        let file = journal::create(&journal_name(&self.list[index].name), capacity)?;
        let Listeners { sockets, files } = listeners;
        self.list[index].sockets = files;
        let instance = Instance(uuid::Uuid::new_v4().as_u64_pair().1);
        let faults = self.plan.faults.of(&self.list[index].name);
        let assignment = Assignment {
            identity: BackendIdentity {
                name: self.list[index].name.clone(),
                number: self.topology.number(generator),
                instance,
            },
            generator,
            place: index as u16,
            calendar: self.calendar,
            limits: self.plan.limits,
            proxy_protocol: self.plan.proxy_protocol,
            protocols: self.plan.protocols,
            tls: self.tls.clone(),
            faults: faults.clone(),
            grace: self.plan.grace,
        };
        let incarnation = self.list[index].incarnation + 1;
        let notify = self.notify.clone();
        let process = BackendProcess::start(&assignment, &file, sockets, move |notice| {
            let _ = notify.send((index, incarnation, notice));
        })?;
        let pid = process.pid;
        if self.watched {
            process.order(BackendCommand::Watch(true));
        }
        self.list[index].starts(process, instance, JournalReader::open(&file)?);
        self.list[index].faults.clone_from(&faults);
        self.event(index, BackendChange::Starting(pid));
        if !faults.is_empty() {
            self.event(index, BackendChange::Faults(faults));
        }
        Ok(())
    }

    /// Number of records that one journal holds.
    fn ring(&self) -> u32 {
        let shared = self.memory.in_journals() / self.list.len().max(1);
        let ring = shared.clamp(*JOURNAL_RECORDS.start(), *JOURNAL_RECORDS.end());
        self.plan.journal.unwrap_or(1 << ring.ilog2())
    }

    /// Starts a backend that is gone: its addresses are bound again.
    pub(crate) fn start_again(&mut self, index: usize) -> Result<(), String> {
        let generator = self.list[index].generator;
        // Before the new ones are there: they may look like the old ones.
        self.list[index].sockets.clear();
        let addresses = self.topology.listens_on(generator);
        let network = self.plan.network.as_deref();
        let listeners = bind::listen_on(&addresses, &self.resolved, network).map_err(|unbound| unbound.to_string())?;
        self.spawn(index, listeners).map_err(|error| format!("{error:#}"))
    }

    pub(crate) fn do_what_is_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.list.len() {
            let backend = &mut self.list[index];
            let Some((_, due)) = backend.due.take_if(|(at, _)| *at <= now) else { continue };
            match (due, &backend.process) {
                (Due::Kill, Some(process)) => process.signal(Signal::KILL),
                (Due::Drain(grace), _) => backend.drain(grace),
                (Due::Restart, None) => {
                    if let Err(why) = self.start_again(index) {
                        self.event(index, BackendChange::StartFailed(why));
                        self.restart_later(index);
                    }
                }
                (Due::Kill, None) | (Due::Restart, Some(_)) => {}
            }
        }
    }

    pub(crate) fn restart_later(&mut self, index: usize) {
        let delay = self.list[index].restarts_later();
        self.event(index, BackendChange::RestartIn(delay));
    }

    pub(crate) fn change(&mut self, index: usize, state: BackendState, change: BackendChange) {
        self.list[index].becomes(state);
        self.event(index, change);
    }

    /// SIGSTOP and SIGCONT by hand are not reported to the supervisor; it looks when somebody asks.
    pub(crate) fn notice_pauses(&mut self) {
        for index in 0..self.list.len() {
            let backend = &self.list[index];
            // A signal of our own takes a moment to show.
            let settled = clock::now().since(backend.since) > SIGNAL_SHOWS;
            let process = backend.process.as_ref().filter(|_| settled);
            let Some(stopped) = process.and_then(BackendProcess::is_stopped) else { continue };
            match (backend.state, stopped) {
                (BackendState::Paused, false) => self.note_resumed(index),
                (BackendState::Paused, true) | (_, false) => {}
                (_, true) => self.note_paused(index),
            }
        }
    }

    fn note_paused(&mut self, index: usize) {
        self.list[index].pauses();
        self.event(index, BackendChange::Paused);
    }

    fn note_resumed(&mut self, index: usize) {
        self.list[index].resumes();
        self.event(index, BackendChange::Resumed);
    }

    /// The backends that something is for: those named, or all to which it applies. None is touched unless all can be.
    pub(crate) fn choose(
        &self,
        what: &str,
        applies: impl Fn(BackendState) -> bool,
        wanted: &[String],
    ) -> Result<Vec<usize>, CommandRefusal> {
        if wanted.is_empty() {
            let backends = 0..self.list.len();
            return Ok(backends.filter(|index| applies(self.list[*index].state)).collect());
        }
        let position = |wanted: &String| self.list.iter().position(|backend| backend.name == *wanted);
        let unknown: Vec<String> = wanted.iter().filter(|wanted| position(wanted).is_none()).cloned().collect();
        if !unknown.is_empty() {
            let names = self.list.iter().map(|backend| backend.name.as_str());
            return Err(CommandRefusal::Unknown(no_such_backend(&unknown, names)));
        }
        let mut backends: Vec<usize> = wanted.iter().filter_map(position).collect();
        backends.sort_unstable();
        backends.dedup();
        let unfit: Vec<String> = backends
            .iter()
            .map(|index| &self.list[*index])
            .filter(|backend| !applies(backend.state))
            .map(|backend| format!("{} is {}", backend.name, backend.state))
            .collect();
        if unfit.is_empty() {
            Ok(backends)
        } else {
            Err(CommandRefusal::Impossible(format!("cannot {what}: {}", unfit.join(", "))))
        }
    }

    /// Why no backend of this fleet can have that fault.
    pub(crate) fn refuse_fault(&self, change: &FaultChange) -> Result<(), CommandRefusal> {
        let FaultChange::Add(faults) = change else { return Ok(()) };
        if let Some(fault) = faults.iter().find(|it| it.needs_http2() && self.plan.protocols == Protocols::Http1) {
            let why = "is of HTTP/2, which these backends do not speak: start the fleet without --protocols http/1.1";
            return Err(CommandRefusal::Impossible(format!("the fault {fault} {why}")));
        }
        let bad = faults.iter().find_map(|fault| if let Fault::Certificate(bad) = fault { *bad } else { None });
        let Some(bad) = bad else { return Ok(()) };
        let why = match &self.tls {
            None => "the backends speak no TLS: start the fleet with --tls",
            Some(tls) if !tls.serves(bad) => {
                "the fleet's certificate comes from --cert: such certificates are made where the fleet has an authority of its own, \
                 with --tls alone"
            }
            Some(_) => return Ok(()),
        };
        Err(CommandRefusal::Impossible(format!("cannot serve a certificate that is {}: {why}", bad.name())))
    }

    /// How the handshakes of a process have ended until now: what is new becomes an event.
    pub(crate) fn note_handshakes(&mut self, index: usize, handshakes: Handshakes) {
        let known = std::mem::replace(&mut self.list[index].handshakes, handshakes);
        let alike = |new: &FailedHandshakes| {
            known.failed.iter().any(|it| (it.bad_certificate, it.reason) == (new.bad_certificate, new.reason))
        };
        let new = self.list[index].handshakes.failed.iter().filter(|it| !alike(it)).cloned().collect::<Vec<_>>();
        for failed in new {
            self.event(index, BackendChange::HandshakeFailed(failed));
        }
    }

    pub(crate) fn act_on(&mut self, action: Action, index: usize) -> Result<(), String> {
        let backend = &mut self.list[index];
        let Some(process) = &backend.process else {
            backend.forgets_failures();
            return self.start_again(index);
        };
        match action {
            Action::Kill => process.signal(Signal::KILL),
            Action::Drain => {
                let was_ready = backend.ready;
                backend.drain_after(self.plan.drain_delay, self.plan.grace);
                if was_ready && !backend.ready {
                    self.event(index, BackendChange::Readiness(false));
                }
            }
            Action::Pause => {
                process.signal(Signal::STOP);
                self.note_paused(index);
            }
            Action::Resume => {
                process.signal(Signal::CONT);
                self.note_resumed(index);
            }
            Action::Ready | Action::Unready => {
                let ready = action == Action::Ready;
                process.order(BackendCommand::Ready(ready));
                backend.sets_ready(ready);
                self.event(index, BackendChange::Readiness(ready));
            }
            Action::Start => {}
        }
        Ok(())
    }

    pub(crate) fn event(&mut self, index: usize, change: BackendChange) {
        let generator = self.list[index].generator;
        self.events.push(FleetEvent::Backend { at: clock::now(), generator, change });
    }

    pub(crate) fn status(&self) -> FleetStatus {
        FleetStatus {
            version: 2,
            pid: std::process::id(),
            control: self.control.clone(),
            started: self.time(self.started),
            host: self.host.host.clone(),
            pod: self.host.pod.clone(),
            namespace: self.host.namespace.clone(),
            instance: Some(self.instance),
            clock: self.host.clock.clone(),
            backends: self.list.iter().map(|backend| self.backend_status(backend)).collect(),
        }
    }

    fn backend_status(&self, backend: &FleetBackend) -> BackendStatus {
        let in_flight = backend.in_flight();
        let kinds = || in_flight.iter().filter_map(|record| Some(record.life?.kind));
        BackendStatus {
            name: backend.name.clone(),
            id: backend.generator,
            instances: backend.instances.iter().copied().collect(),
            url: self.topology.url(backend.generator),
            state: backend.current(),
            since: self.time(backend.since),
            pid: backend.process.as_ref().map(|process| process.pid),
            ready: backend.ready,
            restarts: backend.incarnation.saturating_sub(1),
            attempts: backend.attempts,
            connections: backend.connections(),
            in_flight: in_flight.len(),
            streams: kinds().filter(|kind| *kind != StreamKind::Websocket).count(),
            websockets: kinds().filter(|kind| *kind == StreamKind::Websocket).count(),
            lost: backend.lost,
            last_end: backend.last_end.map(|cause| cause.to_string()),
            mended: backend.mended.map(|moment| self.time(moment)),
            faults: backend.faults.clone(),
            actions: Action::all_for(backend.current()),
            tls: self.tls.as_ref().map(|tls| TlsStatus {
                completed: backend.handshakes.completed,
                resumed: backend.handshakes.resumed,
                failed: backend.handshakes.failed.clone(),
                bad_certificates: tls.bad.iter().map(|(bad, _)| *bad).collect(),
                asks_clients: tls.clients.is_some(),
            }),
        }
    }

    fn time(&self, moment: Moment) -> String {
        let time = Timestamp::from_nanosecond(i128::from(self.calendar.unix(moment))).unwrap_or_default();
        format!("{time:.3}")
    }
}
