//! Connections that carry several requests at once: each slot of the engine is a place on one of them.

use super::{Engine, Lane, MOST_RETURNS, no_socket};
use crate::check::load::connect::{self, ConnectFailure};
use crate::check::load::http2::StreamEnd;
use crate::check::load::multiplexed::{Gone, SharedConnection};
use crate::check::load::response::ResponseNotes;
use crate::check::load::{DriveError, Pacing};
use crate::io::clock;
use crate::io::poller::Watched;
use verdict::observation::ClientOutcome;

impl Lane {
    pub(super) fn new(places: usize) -> Lane {
        Lane {
            connection: SharedConnection::new(places),
            watched: Watched::default(),
            is_unsent: false,
            waiting: Vec::new(),
            again: Vec::new(),
        }
    }

    /// The connection has ended, and with it the requests that were on it.
    fn close(&mut self, outcome: ClientOutcome, ended: &mut Vec<(usize, StreamEnd)>) {
        self.connection.close(outcome, ended);
        self.watched = Watched::default();
    }

    /// Whether a request that has not been sent may begin.
    fn is_ready(&self) -> bool {
        self.again.is_empty() && self.connection.can_begin()
    }
}

impl Engine<'_> {
    /// The connection of a slot, and its place there.
    fn place_of(&self, token: usize) -> (usize, usize) {
        (token % self.lanes.len(), token / self.lanes.len())
    }

    pub(super) fn is_idle(&self, token: usize) -> bool {
        if self.lanes.is_empty() {
            return self.slots[token].exchange.is_idle();
        }
        let (lane, place) = self.place_of(token);
        !self.lanes[lane].connection.is_in_flight(place) && !self.lanes[lane].again.contains(&token)
    }

    pub(super) fn is_reused(&self, token: usize) -> bool {
        if self.lanes.is_empty() {
            self.slots[token].exchange.is_reused()
        } else {
            self.lanes[self.place_of(token).0].connection.is_reused()
        }
    }

    /// Whether something of a response may have come: its connection is established.
    pub(super) fn may_have_come(&self, token: usize) -> bool {
        if self.lanes.is_empty() {
            return self.slots[token].exchange.is_connected();
        }
        self.lanes[self.place_of(token).0].connection.is_open()
    }

    /// Reads what has come on its connection, though nothing said that it is ready.
    pub(super) fn look(&mut self, token: usize) -> Result<(), DriveError> {
        if self.lanes.is_empty() { self.serve(token, false) } else { self.serve_lane(self.place_of(token).0) }
    }

    /// The time of its request is over.
    pub(super) fn expire(&mut self, token: usize) -> ClientOutcome {
        if self.lanes.is_empty() {
            return self.slots[token].exchange.expire();
        }
        let (lane, place) = self.place_of(token);
        // What waits for a place there can go on, too.
        self.mark_unsent(lane);
        let lane = &mut self.lanes[lane];
        let returned = lane.again.iter().position(|it| *it == token);
        match returned {
            Some(at) => {
                lane.again.remove(at);
                ClientOutcome::StreamReset
            }
            None => {
                let outcome = lane.connection.expire(place);
                if !lane.connection.is_open() {
                    lane.watched = Watched::default();
                }
                outcome
            }
        }
    }

    /// Whether the connection of that free slot takes no request now: the slot is free again when it does.
    pub(super) fn must_wait(&mut self, token: usize) -> bool {
        if self.lanes.is_empty() {
            return false;
        }
        let (lane, _) = self.place_of(token);
        let lane = &mut self.lanes[lane];
        let waits = !lane.is_ready();
        if waits {
            lane.waiting.push(token);
        }
        waits
    }

    /// Puts the request of that slot out.
    pub(super) fn start_on_lane(&mut self, token: usize) -> Result<(), DriveError> {
        let (number, place) = self.place_of(token);
        let (index, target) = (self.slots[token].index, self.slots[token].target);
        let question = self.question(index);
        let lane = &mut self.lanes[number];
        if !lane.connection.is_open() {
            let target = &self.load.targets[target];
            // In a network of clients each connection is one client's.
            let from = target.clients.map(|_| connect::source(number as u32));
            match lane.connection.connect(target, from, self.opened) {
                Ok(()) => self.opened += 1,
                Err(ConnectFailure::Peer(outcome)) => {
                    lane.connection.refuse(place, question);
                    self.finish(token, outcome, clock::now());
                    return Ok(());
                }
                Err(ConnectFailure::Local(errno)) => return Err(DriveError::of_socket(errno, from)),
            }
        }
        if let Some(connection) = lane.connection.number() {
            self.connections[index] = connection;
        }
        let client = self.observations[index].client;
        let template = self.clients.template(client, target, index / self.load.targets.len());
        lane.connection.begin(place, question, template);
        self.mark_unsent(number);
        Ok(())
    }

    fn mark_unsent(&mut self, lane: usize) {
        if !std::mem::replace(&mut self.lanes[lane].is_unsent, true) {
            self.unsent.push(lane);
        }
    }

    /// Sends what was put out.
    pub(super) fn send_lanes(&mut self) -> Result<(), DriveError> {
        while let Some(lane) = self.unsent.pop() {
            self.lanes[lane].is_unsent = false;
            self.send_lane(lane)?;
        }
        Ok(())
    }

    fn send_lane(&mut self, number: usize) -> Result<(), DriveError> {
        let lane = &mut self.lanes[number];
        match lane.connection.flush() {
            Ok(interest) => {
                if let Some(stream) = lane.connection.stream() {
                    self.poller
                        .watch(stream, number as u64, &mut lane.watched, interest)
                        .map_err(|errno| DriveError::of_call("watch a connection", errno))?;
                }
                self.resume(number)
            }
            Err(gone) => {
                // Responses may have come before the connection ended.
                let _ = self.receive(number);
                self.lose(number, gone)
            }
        }
    }

    fn receive(&mut self, lane: usize) -> Result<(), Gone> {
        let mut notes = ResponseNotes { backends: self.backends, samples: &mut self.samples };
        self.lanes[lane].connection.receive(&self.rules, &mut notes, &mut self.input, &mut self.ended)
    }

    fn lose(&mut self, lane: usize, gone: Gone) -> Result<(), DriveError> {
        match gone {
            Gone::Local(errno) => Err(no_socket(errno)),
            Gone::Peer(outcome) => {
                self.lanes[lane].close(outcome, &mut self.ended);
                self.settle(lane)
            }
        }
    }

    /// Something has happened on a connection.
    pub(super) fn serve_lane(&mut self, number: usize) -> Result<(), DriveError> {
        if !self.lanes[number].connection.is_open() {
            return Ok(());
        }
        self.send_lane(number)?;
        match self.receive(number) {
            Ok(()) => self.settle(number),
            Err(gone) => self.lose(number, gone),
        }
    }

    /// Notes what has ended there, and lets go on what waited for it.
    fn settle(&mut self, number: usize) -> Result<(), DriveError> {
        let now = clock::now();
        let mut ended = std::mem::take(&mut self.ended);
        for (place, end) in ended.drain(..) {
            let token = place * self.lanes.len() + number;
            match end {
                StreamEnd::Unprocessed if self.slots[token].returned < MOST_RETURNS => {
                    self.slots[token].returned += 1;
                    self.lanes[number].again.push(token);
                }
                StreamEnd::Unprocessed => self.finish(token, ClientOutcome::StreamReset, now),
                StreamEnd::Over(outcome) => self.finish(token, outcome, now),
            }
        }
        self.ended = ended;
        let lane = &mut self.lanes[number];
        if lane.connection.is_done() {
            lane.close(ClientOutcome::Closed, &mut self.ended);
        }
        self.resume(number)?;
        // What came may have to be answered.
        self.mark_unsent(number);
        Ok(())
    }

    /// Requests that were given back go first, then new ones.
    fn resume(&mut self, number: usize) -> Result<(), DriveError> {
        while self.lanes[number].connection.can_begin()
            && let Some(token) = self.lanes[number].again.pop()
        {
            self.start_on_lane(token)?;
        }
        let lane = &mut self.lanes[number];
        if lane.is_ready() {
            let waiting = std::mem::take(&mut lane.waiting);
            match self.load.pacing {
                Pacing::Closed => waiting.into_iter().for_each(|token| self.idle.push_front(token)),
                Pacing::Open { .. } => self.idle.extend(waiting),
            }
        }
        Ok(())
    }
}
