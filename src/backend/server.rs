//! The loop of a backend: sockets, readiness and time. One thread, one poll, level-triggered.
//! What is read and written on a connection is `connection`'s.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use slab::Slab;
use socket2::Socket;

use crate::backend::channel::Channel;
use crate::backend::link::{LAST_CALL, Link, LinkTurn, Timers};
use crate::backend::speaker::Speaker;
use crate::backend::state::ProcessState;
use crate::backend::waiting::Waiting;
use crate::io::accepted::Accepted;
use crate::io::clock;
use crate::io::poller::{Poller, Watched};
use crate::platform::means;
use crate::wire::{BackendCommand, BackendReport, End, Handshakes, Moment, Starvation};
use verdict::life::LifeEnd;

/// A draining backend leaves a connection that was established and not used yet open this long: its client is certain to want a
/// response.
const FIRST_CALL: Duration = Duration::from_secs(1);
/// From the first segment to the last, a connection on this machine or next to it is established in less.
const HANDSHAKE: Duration = Duration::from_millis(10);
/// Connections are looked at this often for having waited too long, or more often if a limit is shorter than that allows.
const SWEEP: Duration = Duration::from_secs(1);
/// Out of file descriptors, it tries to accept again after this time, even if it has freed none itself.
const RETRY: Duration = Duration::from_millis(100);
/// Starvation is reported to be over after this time without it.
const CALM: Duration = Duration::from_secs(1);
/// Handshakes are reported this often at most.
const REPORTS: Duration = Duration::from_millis(20);
const ACCEPTS_A_TURN: usize = 64;
/// Events taken in one turn of the loop: few enough that long responses take about a millisecond of it.
const EVENTS_A_TURN: usize = 64;
const INPUT_BYTES: usize = 16 * 1024;

/// The loop of a backend: it waits for sockets, deadlines and its supervisor.
pub(crate) struct BackendServer {
    poller: Poller,
    listeners: Vec<Listener>,
    accepting: Accepting,
    /// The starvation that was last reported, and until when its end is not reported: it may come and go with
    /// every connection.
    starved: Option<(Starvation, Moment)>,
    channel: Channel,
    /// A byte comes for each SIGTERM.
    terminations: UnixStream,
    grace: Duration,
    state: ProcessState,
    connections: Slab<Link>,
    accepted: u64,
    /// What the supervisor knows of them, and when it is informed next.
    reported: (Handshakes, Moment),
    timers: Timers,
    next_sweep: Moment,
    drain_until: Option<Moment>,
    close_listeners_at: Option<Moment>,
    input: Box<[u8]>,
    /// Answers of the connection at hand; what the kernel does not take moves to the connection.
    output: Vec<u8>,
}

struct Listener {
    socket: Socket,
    local: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Yes,
    /// Until a connection ends, or at this moment.
    Starved {
        retry: Moment,
    },
    Ended,
}

const ORDERS: u64 = u64::MAX;
const TERMINATION: u64 = u64::MAX - 1;
const FIRST_LISTENER: u64 = u64::MAX - 1024;

impl BackendServer {
    /// Begins to accept on sockets that listen already. After SIGTERM requests in flight have `grace` to end.
    pub(crate) fn new(
        listeners: Vec<Socket>,
        channel: Channel,
        terminations: UnixStream,
        grace: Duration,
        state: ProcessState,
    ) -> io::Result<BackendServer> {
        let poller = Poller::new()?;
        poller.add(&channel, ORDERS)?;
        poller.add(&terminations, TERMINATION)?;
        let listeners = listeners
            .into_iter()
            .map(|socket| {
                socket.set_nonblocking(true)?;
                let local = socket.local_addr()?.as_socket().map_or(End::Unix, End::Address);
                Ok(Listener { socket, local })
            })
            .collect::<io::Result<_>>()?;
        let mut server = BackendServer {
            poller,
            listeners,
            accepting: Accepting::Ended,
            starved: None,
            channel,
            terminations,
            grace,
            state,
            connections: Slab::new(),
            accepted: 0,
            reported: (Handshakes::default(), Moment(0)),
            timers: Timers::default(),
            next_sweep: clock::now(),
            drain_until: None,
            close_listeners_at: None,
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            output: Vec::new(),
        };
        server.listen()?;
        Ok(server)
    }

    /// Serves until it was told to drain and all connections have ended, or its supervisor is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.channel.report(&BackendReport::Accepting);
        // An order may have come together with the assignment.
        self.obey()?;
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        let mut now = clock::now();
        while !self.has_ended(now) {
            self.poller.wait(&mut events, self.next_wake().map(|wake| wake.since(now)))?;
            let is_full = events.len() == EVENTS_A_TURN;
            for event in events.drain(..) {
                match event.token {
                    ORDERS => self.obey()?,
                    TERMINATION => self.terminate(),
                    token @ FIRST_LISTENER.. => self.accept((token - FIRST_LISTENER) as usize),
                    token => self.serve(token as usize),
                }
            }
            if is_full {
                // New connections do not wait behind all that is ready.
                (0..self.listeners.len()).for_each(|index| self.accept(index));
            }
            for seen in self.state.show.take() {
                self.channel.report_if_there_is_room(&BackendReport::Seen(seen));
            }
            now = self.keep_time();
            self.report_handshakes(now);
        }
        self.report_handshakes(Moment(u64::MAX));
        Ok(())
    }

    fn has_ended(&self, now: Moment) -> bool {
        let idle = self.connections.is_empty() && self.listeners.is_empty();
        self.drain_until.is_some_and(|until| idle || now >= until)
    }

    fn next_wake(&self) -> Option<Moment> {
        let sweep = (!self.connections.is_empty()).then_some(self.next_sweep);
        let retry = match self.accepting {
            Accepting::Starved { retry } => Some(retry),
            Accepting::Yes => self.starved.map(|(_, calm)| calm),
            Accepting::Ended => None,
        };
        let report = (self.state.handshakes != self.reported.0).then_some(self.reported.1);
        [sweep, retry, report, self.close_listeners_at, self.drain_until].into_iter().flatten().min()
    }

    /// Tells the supervisor how handshakes have ended, not for each of them.
    fn report_handshakes(&mut self, now: Moment) {
        let (reported, next) = &mut self.reported;
        if self.state.tls.is_some() && now >= *next && self.state.handshakes != *reported {
            *next = now.after(REPORTS);
            // They are counts: what finds no room is in the next report.
            if self.channel.report_if_there_is_room(&BackendReport::Handshakes(self.state.handshakes.clone())) {
                reported.clone_from(&self.state.handshakes);
            }
        }
    }

    // Accepting.

    fn listen(&mut self) -> io::Result<()> {
        for (listener, token) in self.listeners.iter().zip(FIRST_LISTENER..) {
            self.poller.add(&listener.socket, token)?;
        }
        self.accepting = Accepting::Yes;
        Ok(())
    }

    fn starve(&mut self, why: Starvation) {
        let now = clock::now();
        for listener in &self.listeners {
            // A listener that stays in the poll would wake it without end.
            let _ = self.poller.remove(&listener.socket);
        }
        self.accepting = Accepting::Starved { retry: now.after(RETRY) };
        if self.starved.replace((why, now.after(CALM))).is_none_or(|(earlier, _)| earlier != why) {
            self.channel.report(&BackendReport::Starved(why));
        }
    }

    /// Takes connections again if there may be room. The next accept shows whether there is.
    fn recover(&mut self) {
        if let Accepting::Starved { .. } = self.accepting
            && self.connections.len() < self.state.limits.connections as usize
        {
            // Fails as `starve` found it: the next retry comes.
            let _ = self.listen();
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS_A_TURN {
            if self.accepting != Accepting::Yes {
                return;
            }
            if self.connections.len() >= self.state.limits.connections as usize {
                return self.starve(Starvation::ConnectionLimit(self.state.limits.connections));
            }
            let listener = &self.listeners[index];
            match means().accept(&listener.socket) {
                Ok((socket, peer)) => {
                    let peer =
                        peer.and_then(|peer| SocketAddr::try_from(peer).ok()).map_or(listener.local, End::Address);
                    let local = own_end(&socket, listener.local);
                    self.open(socket, peer, local);
                }
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    return self.starve(Starvation::OutOfFiles);
                }
                // Or none will wait any more.
                Err(Errno::AGAIN | Errno::INVAL) => return,
                // This one connection was gone before it was taken.
                Err(_) => {}
            }
        }
    }

    fn open(&mut self, socket: OwnedFd, peer: End, local: End) {
        self.accepted += 1;
        let now = clock::now();
        if self.connections.is_empty() {
            self.next_sweep = now.after(self.sweep_interval());
        }
        // The configuration was accepted at the start: a session of it cannot fail to begin.
        let Ok(tls) = self.state.tls.as_ref().map(|tls| tls.accept()).transpose() else { return };
        let token = self.connections.insert(Link {
            stream: Accepted::new(socket, tls),
            hailed: false,
            ended: false,
            number: self.accepted,
            http: Speaker::new(peer, local, self.accepted, &self.state),
            outbox: Vec::new(),
            watched: Watched::default(),
            deadline: now.after(if self.state.draining { FIRST_CALL } else { self.state.limits.header_time }),
            waiting: Waiting::Idle,
            timer: None,
            gone: LifeEnd::Open,
        });
        self.state.journal.note_connections(self.connections.len());
        let turn = LinkTurn { poller: &self.poller, state: &mut self.state, timers: &mut self.timers, token };
        if self.connections[token].greet(turn, now, &mut self.output).is_break() {
            return self.close(token);
        }
        // The first request has often come with the connection; one that asks to close after it then never enters the poll.
        self.serve(token);
    }

    // Serving.

    fn serve(&mut self, token: usize) {
        let Some(connection) = self.connections.get_mut(token) else { return };
        let turn = LinkTurn { poller: &self.poller, state: &mut self.state, timers: &mut self.timers, token };
        if connection.serve(turn, &mut self.input, &mut self.output).is_break() {
            self.close(token);
        }
    }

    fn close(&mut self, token: usize) {
        let mut connection = self.connections.remove(token);
        connection.end(clock::now(), &mut self.state);
        drop(connection);
        self.state.journal.note_connections(self.connections.len());
        self.recover();
    }

    // Time.

    fn sweep_interval(&self) -> Duration {
        let limits = &self.state.limits;
        let shortest = limits.header_time.min(limits.idle_time).min(limits.stall_time);
        (shortest / 4).clamp(Duration::from_millis(10), if self.drain_until.is_some() { LAST_CALL / 4 } else { SWEEP })
    }

    fn keep_time(&mut self) -> Moment {
        let now = clock::now();
        match (self.accepting, self.starved) {
            (Accepting::Starved { retry }, _) if now >= retry => {
                self.accepting = Accepting::Starved { retry: now.after(RETRY) };
                self.recover();
            }
            (Accepting::Yes, Some((_, calm))) if now >= calm => {
                self.starved = None;
                self.channel.report(&BackendReport::Recovered);
            }
            _ => {}
        }
        if self.close_listeners_at.is_some_and(|at| now >= at) {
            self.close_listeners();
        }
        if self.timers.next().is_some_and(|at| now >= at) {
            self.release(now);
        }
        self.poller.set_alarm(self.timers.next());
        if now >= self.next_sweep {
            self.sweep(now);
        }
        if self.drain_until.is_some_and(|until| now >= until) {
            for mut connection in self.connections.drain() {
                connection.go_away(now, &mut self.state);
            }
        }
        now
    }

    /// Lets go what was held back until now.
    fn release(&mut self, now: Moment) {
        while let Some((token, number)) = self.timers.take_due(now) {
            let Some(connection) = self.connections.get_mut(token).filter(|it| it.number == number) else { continue };
            let turn = LinkTurn { poller: &self.poller, state: &mut self.state, timers: &mut self.timers, token };
            if connection.release(turn, now, &mut self.output).is_break() {
                self.close(token);
            }
        }
    }

    fn sweep(&mut self, now: Moment) {
        self.next_sweep = now.after(self.sweep_interval());
        let connections = &self.connections;
        self.timers.forget_unless(|token, number| connections.get(token).is_some_and(|it| it.number == number));
        let late: Vec<usize> =
            self.connections.iter().filter(|(_, it)| now >= it.deadline).map(|(token, _)| token).collect();
        for token in late {
            let turn = LinkTurn { poller: &self.poller, state: &mut self.state, timers: &mut self.timers, token };
            if self.connections[token].expire(turn, now, &mut self.output).is_break() {
                self.close(token);
            }
        }
    }

    // Orders.

    fn obey(&mut self) -> io::Result<()> {
        for order in self.channel.orders()? {
            match order {
                BackendCommand::Ready(ready) => {
                    self.state.health.ready = ready;
                    self.announce(clock::now());
                }
                BackendCommand::Drain(grace) => self.drain(grace),
                BackendCommand::Watch(watched) => self.state.show.watch(watched),
                BackendCommand::Faults(faults) => {
                    self.state.misbehave(faults.clone());
                    self.leave_other_certificates();
                    self.announce(clock::now());
                    self.channel.report(&BackendReport::Faults(faults));
                }
            }
        }
        Ok(())
    }

    /// Connections with another certificate than new ones get are left when they idle.
    fn leave_other_certificates(&mut self) {
        let now = clock::now();
        for (_, connection) in &mut self.connections {
            if connection.http.is_left(&self.state) && connection.is_idle() {
                connection.deadline = connection.deadline.min(now.after(LAST_CALL));
                self.next_sweep = now;
            }
        }
    }

    fn terminate(&mut self) {
        // How many came does not matter.
        let _ = recv(&self.terminations, &mut self.input[..], RecvFlags::DONTWAIT);
        self.drain(self.grace);
    }

    fn drain(&mut self, grace: Duration) {
        let now = clock::now();
        let until = now.after(grace);
        self.drain_until = Some(self.drain_until.map_or(until, |earlier| earlier.min(until)));
        if self.state.draining {
            return;
        }
        self.state.draining = true;
        self.channel.report(&BackendReport::Draining);
        self.stop_accepting(now);
        self.announce(now);
        for (_, connection) in &mut self.connections {
            if connection.is_idle() {
                let call = if connection.http.has_begun() { LAST_CALL } else { FIRST_CALL };
                connection.deadline = connection.deadline.min(now.after(call));
            }
        }
        self.next_sweep = now;
    }

    /// Has connections with many requests say what concerns all of them.
    fn announce(&mut self, now: Moment) {
        let open: Vec<usize> = self.connections.iter().map(|(token, _)| token).collect();
        for token in open {
            let turn = LinkTurn { poller: &self.poller, state: &mut self.state, timers: &mut self.timers, token };
            if self.connections[token].announce(turn, now, &mut self.output).is_break() {
                self.close(token);
            }
        }
    }

    /// From here on the kernel drops what asks a port for a new connection, and lets connections that are being established be
    /// established. A moment later there are no more of those, and the port closes: a close resets what nobody has taken.
    /// A client that asked in that moment asks again and is then refused. A unix socket refuses at once, and keeps those that wait.
    fn stop_accepting(&mut self, now: Moment) {
        for listener in &self.listeners {
            // Fails only for lack of memory; then some connections may be reset.
            let _ = match listener.local {
                End::Address(_) => means().refuse_silently(&listener.socket),
                End::Unix => {
                    // It would wake the poll without end.
                    let _ = self.poller.remove(&listener.socket);
                    listener.socket.shutdown(std::net::Shutdown::Read)
                }
            };
        }
        self.close_listeners_at = Some(now.after(HANDSHAKE));
    }

    fn close_listeners(&mut self) {
        self.recover();
        for index in 0..self.listeners.len() {
            let mut before = u64::MAX;
            while before != self.accepted {
                before = self.accepted;
                self.accept(index);
            }
        }
        if let Accepting::Starved { .. } = self.accepting {
            // Established connections still wait for room, which there is when others end.
            self.close_listeners_at = Some(clock::now().after(HANDSHAKE));
            return;
        }
        self.accepting = Accepting::Ended;
        for listener in self.listeners.drain(..) {
            // A unix socket has left it already.
            let _ = self.poller.remove(&listener.socket);
        }
        self.close_listeners_at = None;
    }
}

/// Of a socket that listens on all addresses, each connection has its own.
fn own_end(socket: &OwnedFd, listening: End) -> End {
    let End::Address(address) = listening else { return listening };
    if !address.ip().is_unspecified() {
        return listening;
    }
    let own = rustix::net::getsockname(socket).ok().and_then(|own| SocketAddr::try_from(own).ok());
    own.map_or(listening, End::Address)
}
