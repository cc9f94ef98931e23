//! One connection's socket: what is read and written in a turn, what it waits for then, and until when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown, sockopt};

use crate::backend::speaker::Speaker;
use crate::backend::state::ProcessState;
use crate::backend::turn::ConnectionTurn;
use crate::backend::waiting::Waiting;
use crate::io::accepted::Accepted;
use crate::io::clock;
use crate::io::poller::{Interest, Poller, Watched};
use crate::io::tls_server::{Served, Taken};
use crate::platform::means;
use crate::wire::Moment;
use verdict::HandshakeFailure;
use verdict::life::LifeEnd;

/// A draining backend leaves an idle connection open this long, in case the next request is already on its way to it.
pub(super) const LAST_CALL: Duration = Duration::from_millis(100);
/// After the last response on a connection whose client still sends: closing with unread input sends RST and may destroy the
/// response, so reading goes on this long.
const LINGER: Duration = Duration::from_secs(2);
/// A client that is to get no response and does not close its connection is left after this long.
const HANG: Duration = Duration::from_secs(10 * 60);
/// A response that is made while it is sent gets this many pieces of 64 KiB in a turn, then others have theirs.
const PIECES_A_TURN: usize = 1;
/// No more than this waits in the kernel to be sent: a thousand clients that do not read cost memory once each, not the
/// megabytes to which the kernel would let a send buffer grow.
const UNSENT_BYTES: u32 = 128 * 1024;

pub(super) struct Link {
    pub(super) stream: Accepted,
    /// A client has begun a handshake that has not ended yet.
    pub(super) hailed: bool,
    /// TLS has announced the end of what is read.
    pub(super) ended: bool,
    /// Its number in this process: tokens are used again.
    pub(super) number: u64,
    pub(super) http: Speaker,
    /// Answers that the kernel has not taken yet.
    pub(super) outbox: Vec<u8>,
    pub(super) watched: Watched,
    pub(super) deadline: Moment,
    /// When the deadline was for a head: it does not move with each byte.
    pub(super) waiting: Waiting,
    /// When its timer wakes it.
    pub(super) timer: Option<Moment>,
    /// Who ended the connection, once somebody has.
    pub(super) gone: LifeEnd,
}

/// What a connection needs of the loop for one turn.
pub(super) struct LinkTurn<'a> {
    pub(super) poller: &'a Poller,
    pub(super) state: &'a mut ProcessState,
    pub(super) timers: &'a mut Timers,
    pub(super) token: usize,
}

/// Each turn ends with whether the connection goes on.
impl Link {
    pub(super) fn serve(&mut self, turn: LinkTurn, input: &mut [u8], output: &mut Vec<u8>) -> ControlFlow<()> {
        match self.watched.interest() {
            Interest::None | Interest::Read => {}
            // Of many streams some may be read while others are written, but never while output waits: the client would make it grow.
            Interest::ReadWrite if self.outbox.is_empty() => {}
            Interest::Write | Interest::ReadWrite => {
                *output = std::mem::take(&mut self.outbox);
                return self.say(output, clock::now(), turn);
            }
            Interest::End => {
                let look = recv(&self.stream.socket, &mut input[..1], RecvFlags::PEEK | RecvFlags::DONTWAIT);
                return self.leave(if look.is_err() { LifeEnd::Reset } else { LifeEnd::Closed });
            }
        }
        let length = match self.stream.receive(input) {
            Ok(0) => return self.leave(LifeEnd::Closed),
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) if self.watched.interest() == Interest::ReadWrite => {
                output.clear();
                return self.say(output, clock::now(), turn);
            }
            Err(Errno::AGAIN | Errno::INTR) => return self.wait_for(Interest::Read, &turn),
            Err(_) => return self.leave(LifeEnd::Reset),
        };
        if self.waiting == Waiting::Over {
            // Lingering: what still comes is thrown away.
            return ControlFlow::Continue(());
        }
        let now = clock::now();
        output.clear();
        if self.stream.tls().is_some() {
            return self.decrypt(&input[..length], now, output, turn);
        }
        self.http.receive(&input[..length], &mut ConnectionTurn { now, state: turn.state, out: output });
        self.say(output, now, turn)
    }

    /// Says what comes before a client has said anything. With TLS that is when the handshake is done.
    pub(super) fn greet(&mut self, turn: LinkTurn, now: Moment, output: &mut Vec<u8>) -> ControlFlow<()> {
        if self.stream.tls().is_some() {
            return ControlFlow::Continue(());
        }
        output.clear();
        self.http.greet(&mut ConnectionTurn { now, state: turn.state, out: output });
        if output.is_empty() { ControlFlow::Continue(()) } else { self.say(output, now, turn) }
    }

    /// Takes what has come under TLS, or to begin it.
    fn decrypt(&mut self, mut bytes: &[u8], now: Moment, output: &mut Vec<u8>, turn: LinkTurn) -> ControlFlow<()> {
        if self.http.is_opening() {
            bytes = self.http.open(bytes, &mut ConnectionTurn { now, state: turn.state, out: output });
        }
        let begins = self.stream.is_shaking_hands() && !self.hailed;
        if self.http.waiting() == Waiting::Over || begins && !Served::is_tls(bytes) {
            self.stream.give_up_tls();
            if self.http.waiting() != Waiting::Over {
                turn.state.handshakes.fail(turn.state.bad_certificate(), HandshakeFailure::NotTls);
                self.http.refuse_plain(bytes, &mut ConnectionTurn { now, state: turn.state, out: output });
            }
            return self.say(output, now, turn);
        }
        while !bytes.is_empty()
            && let Some(tls) = self.stream.tls()
        {
            self.hailed |= tls.is_shaking_hands();
            match tls.take(&mut bytes) {
                Ok(taken) => {
                    if taken == Taken::Established {
                        self.hailed = false;
                        let facts = tls.facts();
                        turn.state.handshakes.completed += 1;
                        turn.state.handshakes.resumed += u64::from(facts.resumed);
                        self.http.secure(facts);
                        self.http.greet(&mut ConnectionTurn { now, state: turn.state, out: output });
                    }
                    self.ended |= taken == Taken::Closed;
                    tls.plaintext(|data| {
                        self.http.receive(data, &mut ConnectionTurn { now, state: turn.state, out: output });
                    });
                }
                Err(why) => return self.fail(why, turn),
            }
        }
        self.say(output, now, turn)
    }

    /// There is no session, or none any more.
    fn fail(&mut self, why: HandshakeFailure, turn: LinkTurn) -> ControlFlow<()> {
        if let Some(tls) = self.stream.tls() {
            let tls_was_shaking = tls.is_shaking_hands();
            if self.hailed {
                turn.state.handshakes.fail(tls.bad(), why);
            }
            self.hailed = false;
            // The client learns why, if it still listens.
            let _ = self.stream.flush();
            if !tls_was_shaking {
                // An alert, or bytes that are no records: the session is over, and not by the backend.
                self.gone = LifeEnd::Closed;
            }
            self.stream.give_up_tls();
        }
        self.waiting = Waiting::Over;
        self.part(clock::now(), &turn)
    }

    /// The connection has ended, whoever ended it.
    pub(super) fn end(&mut self, now: Moment, state: &mut ProcessState) {
        if let Some(tls) = self.stream.tls()
            && self.hailed
        {
            let late = now >= self.deadline;
            let why = if late { HandshakeFailure::TookTooLong } else { HandshakeFailure::ClosedDuring };
            state.handshakes.fail(tls.bad(), why);
        } else if let Some(tls) = self.stream.tls()
            && !tls.is_shaking_hands()
            && !self.http.has_begun()
        {
            // Some look at the certificate only now: whether it has their name.
            state.handshakes.fail(tls.bad(), HandshakeFailure::ClosedAfter);
        }
        self.http.end(self.gone, now, state);
    }

    /// Writes what it can and waits for what must come next.
    fn say(&mut self, output: &mut Vec<u8>, now: Moment, turn: LinkTurn) -> ControlFlow<()> {
        let mut now = now;
        let mut pieces = 0;
        if output.is_empty() {
            match self.stream.flush_what_is_due() {
                Ok(()) => {}
                Err(Errno::AGAIN) => return self.wait_for(Interest::Write, &turn),
                Err(_) => return self.leave(LifeEnd::Reset),
            }
        }
        loop {
            let mut answers = &output[..];
            while !answers.is_empty() {
                let sent = self.stream.send(answers);
                now = clock::now();
                match sent {
                    Ok(written) => {
                        self.http.wrote(written, now, turn.state);
                        answers = &answers[written..];
                    }
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => {
                        self.outbox = answers.to_vec();
                        self.deadline = now.after(turn.state.limits.stall_time);
                        return self.wait_for(Interest::Write, &turn);
                    }
                    Err(_) => return self.leave(LifeEnd::Reset),
                }
            }
            let before = self.waiting;
            self.waiting = self.http.waiting();
            self.wake_when_due(turn.timers, turn.token);
            let Some(interest) = while_there_is_more(self.waiting) else { return self.wait_after(before, now, turn) };
            if while_there_is_more(before).is_none() {
                // Fails for a unix socket, whose buffer is small.
                let _ = means().limit_unsent(&self.stream.socket, UNSENT_BYTES);
            }
            if pieces == PIECES_A_TURN {
                self.deadline = now.after(turn.state.limits.stall_time);
                return self.wait_for(interest, &turn);
            }
            pieces += 1;
            output.clear();
            self.http.go_on(&mut ConnectionTurn { now, state: turn.state, out: output });
        }
    }

    /// Waits for what must come next, now that all is written.
    fn wait_after(&mut self, before: Waiting, now: Moment, turn: LinkTurn) -> ControlFlow<()> {
        let limits = &turn.state.limits;
        let (interest, deadline) = match self.waiting {
            Waiting::Over => return self.part(now, &turn),
            Waiting::Reset => {
                self.stream.give_up_tls();
                let _ = sockopt::set_socket_linger(&self.stream.socket, Some(Duration::ZERO));
                return ControlFlow::Break(());
            }
            Waiting::Opening
            | Waiting::Idle
            | Waiting::Head
            | Waiting::Body
            | Waiting::Upgraded(_)
            | Waiting::Streams { .. }
                if self.ended =>
            {
                return self.leave(LifeEnd::Closed);
            }
            Waiting::Opening => (Interest::Read, self.deadline),
            Waiting::Idle if !self.http.has_begun() => (Interest::Read, self.deadline),
            Waiting::Idle if turn.state.draining => (Interest::Read, now.after(LAST_CALL)),
            Waiting::Idle => (Interest::Read, now.after(limits.idle_time)),
            Waiting::Head if before == Waiting::Head => (Interest::Read, self.deadline),
            Waiting::Head => (Interest::Read, now.after(limits.header_time)),
            Waiting::Body => (Interest::Read, now.after(limits.stall_time)),
            Waiting::Room => (Interest::Write, now.after(limits.stall_time)),
            Waiting::Moment(_) => (Interest::End, Moment(u64::MAX)),
            Waiting::Upgraded(_) => (Interest::Read, Moment(u64::MAX)),
            Waiting::Streams { body: true, .. } => (Interest::Read, now.after(limits.stall_time)),
            // What is written at its times may take as long as it likes.
            Waiting::Streams { due: Some(_), .. } => (Interest::Read, Moment(u64::MAX)),
            Waiting::Streams { .. } => (Interest::Read, now.after(HANG)),
            Waiting::End => (Interest::End, now.after(HANG)),
        };
        self.deadline = deadline;
        self.wait_for(interest, &turn)
    }

    /// If something is to be written later: at its moment, unless that is known already.
    fn wake_when_due(&mut self, timers: &mut Timers, token: usize) {
        if let Some(due) = due(self.waiting)
            && self.timer.replace(due) != Some(due)
        {
            timers.0.push(Reverse((due, token, self.number)));
        }
    }

    /// Nothing has come or goes out.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting == Waiting::Idle && self.outbox.is_empty()
    }

    /// After the last response. If the client has sent more than was read, a close would reset the connection, and that answer
    /// might be lost with it.
    fn part(&mut self, now: Moment, turn: &LinkTurn) -> ControlFlow<()> {
        let unread = self.http.left_something_unread() || self.kernel_holds_input();
        self.stream.announce_end();
        if !unread || shutdown(&self.stream.socket, Shutdown::Write).is_err() {
            return ControlFlow::Break(());
        }
        self.deadline = now.after(LINGER);
        self.wait_for(Interest::Read, turn)
    }

    /// While a response was held back or written, nothing was read.
    fn kernel_holds_input(&self) -> bool {
        match self.watched.interest() {
            Interest::None | Interest::Read => false,
            Interest::Write | Interest::ReadWrite | Interest::End => {
                rustix::io::ioctl_fionread(&self.stream.socket).is_ok_and(|bytes| bytes > 0)
            }
        }
    }

    pub(super) fn release(&mut self, turn: LinkTurn, now: Moment, output: &mut Vec<u8>) -> ControlFlow<()> {
        output.clear();
        self.timer = None;
        if !self.outbox.is_empty() {
            // What is due waits for what was written before it, and for a timer of its own then.
            return ControlFlow::Continue(());
        }
        self.http.release(&mut ConnectionTurn { now, state: turn.state, out: output });
        self.say(output, now, turn)
    }

    pub(super) fn expire(&mut self, turn: LinkTurn, now: Moment, output: &mut Vec<u8>) -> ControlFlow<()> {
        let says_so = match self.waiting {
            Waiting::Opening | Waiting::Head => true,
            Waiting::Idle => self.http.is_multiplexed(),
            _ => false,
        };
        if !says_so || !self.outbox.is_empty() || self.stream.is_shaking_hands() {
            return self.leave(LifeEnd::Stalled);
        }
        output.clear();
        self.http.expire(&mut ConnectionTurn { now, state: turn.state, out: output });
        self.say(output, now, turn)
    }

    /// Says what concerns all requests of the connection, unless output waits.
    pub(super) fn announce(&mut self, turn: LinkTurn, now: Moment, output: &mut Vec<u8>) -> ControlFlow<()> {
        if !self.http.is_multiplexed() || !self.outbox.is_empty() {
            return ControlFlow::Continue(());
        }
        output.clear();
        self.http.announce(&mut ConnectionTurn { now, state: turn.state, out: output });
        self.say(output, now, turn)
    }

    fn leave(&mut self, how: LifeEnd) -> ControlFlow<()> {
        self.gone = how;
        ControlFlow::Break(())
    }

    /// The backend ends before the connection does: says so as well as it can without waiting.
    pub(super) fn go_away(&mut self, now: Moment, state: &mut ProcessState) {
        let mut output = Vec::new();
        self.http.go_away(&mut ConnectionTurn { now, state, out: &mut output });
        if self.outbox.is_empty()
            && !output.is_empty()
            && !self.stream.is_shaking_hands()
            && let Ok(written) = self.stream.send(&output)
        {
            self.http.wrote(written, now, state);
        }
        self.gone = LifeEnd::Backend;
        self.end(now, state);
    }

    fn wait_for(&mut self, wanted: Interest, turn: &LinkTurn) -> ControlFlow<()> {
        match turn.poller.watch(&self.stream, turn.token as u64, &mut self.watched, wanted) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// What a connection waits for that has more to write as soon as there is room.
fn while_there_is_more(waiting: Waiting) -> Option<Interest> {
    match waiting {
        Waiting::Room => Some(Interest::Write),
        Waiting::Streams { more: true, .. } => Some(Interest::ReadWrite),
        _ => None,
    }
}

fn due(waiting: Waiting) -> Option<Moment> {
    match waiting {
        Waiting::Moment(due) => Some(due),
        Waiting::Upgraded(due) | Waiting::Streams { due, .. } => due,
        _ => None,
    }
}

/// The moments at which answers that are held back are due, and whose they are: by token and number. Those of connections that
/// have ended stay for a while.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Moment, usize, u64)>>);

impl Timers {
    pub(super) fn next(&self) -> Option<Moment> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn take_due(&mut self, now: Moment) -> Option<(usize, u64)> {
        let Reverse((_, token, number)) = self.next().filter(|at| *at <= now).and_then(|_| self.0.pop())?;
        Some((token, number))
    }

    pub(super) fn forget_unless(&mut self, lives: impl Fn(usize, u64) -> bool) {
        self.0.retain(|Reverse((_, token, number))| lives(*token, *number));
    }
}
