//! The loop that holds streams open: each is opened, read to its end, and reopened where it is cut while something is done to the
//! fleet. What happens on one is `stream_slot`'s.

use std::time::Duration;

use crate::check::load::identify::BackendNames;
use crate::check::load::stream_load::StreamLoad;
use crate::check::load::stream_slot::{Pass, SlotProgress, StreamSlot};
use crate::check::load::{DriveError, LoadProgress, Samples};
use crate::io::clock;
use crate::io::poller::Poller;
use crate::platform::limits;
use crate::wire::Moment;
use verdict::life::StreamKind;
use verdict::observation::{ClientOutcome, Observation};
use verdict::streams::{StreamObservation, lateness_of};

/// What the clients of streams saw.
#[derive(Debug)]
pub(crate) struct StreamTraffic {
    /// One for each request; the place is its sequence number less the first.
    pub(crate) observations: Vec<Observation>,
    /// What became of each stream.
    pub(crate) streams: Vec<StreamObservation>,
    pub(crate) samples: Samples,
    pub(crate) started: Moment,
    pub(crate) ended: Moment,
    /// How late this loop was where it meant to act at a time.
    pub(crate) lateness: Duration,
}

/// A stream that was cut is reopened after this time: what browsers wait is longer, and no better.
const REOPEN: Duration = Duration::from_millis(250);
/// How often the loop looks how late it is.
const TICK: Duration = Duration::from_millis(20);
const EVENTS_A_TURN: usize = 256;
const INPUT_BYTES: usize = 64 * 1024;

/// Holds the streams open, and returns what became of each.
pub(crate) fn hold(
    load: &StreamLoad,
    backends: &mut BackendNames,
    progress: &LoadProgress,
) -> Result<StreamTraffic, DriveError> {
    Holder::new(load, backends, progress)?.run()
}

struct Holder<'a> {
    load: &'a StreamLoad,
    backends: &'a mut BackendNames,
    progress: &'a LoadProgress,
    poller: Poller,
    slots: Vec<StreamSlot>,
    observations: Vec<Observation>,
    streams: Vec<Option<StreamObservation>>,
    samples: Samples,
    started: Moment,
    until: Moment,
    late: Vec<Duration>,
    tick: Moment,
    input: Box<[u8]>,
}

impl<'a> Holder<'a> {
    fn new(
        load: &'a StreamLoad,
        backends: &'a mut BackendNames,
        progress: &'a LoadProgress,
    ) -> Result<Holder<'a>, DriveError> {
        limits::raise_files();
        let poller = Poller::new().map_err(|errno| DriveError::of_call("create a poll", errno))?;
        let started = clock::now();
        Ok(Holder {
            load,
            backends,
            progress,
            poller,
            slots: (0..load.streams as u32).map(|client| StreamSlot::new(client, load.kind, started)).collect(),
            observations: Vec::new(),
            streams: Vec::new(),
            samples: Samples::default(),
            started,
            until: started.after(load.duration),
            late: Vec::new(),
            tick: started.after(TICK),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
        })
    }

    fn run(mut self) -> Result<StreamTraffic, DriveError> {
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        loop {
            let now = clock::now();
            let stops = self.progress.is_stopping();
            for place in 0..self.slots.len() {
                self.keep_time(place, now, stops)?;
            }
            let open = self.slots.iter().filter(|slot| slot.is_busy()).count();
            self.progress.note(self.observations.len() as u64, (self.observations.len() - open) as u64, 0);
            if open == 0 && (stops || now >= self.until || !self.slots.iter().any(|slot| slot.opens_at().is_some())) {
                break;
            }
            self.look_how_late(now);
            let wake = self.slots.iter().filter_map(StreamSlot::wakes_at).chain([self.tick]).min();
            let timeout = wake.map(|at| at.since(clock::now()));
            self.poller
                .wait(&mut events, timeout)
                .map_err(|errno| DriveError::of_call("wait for connections", errno))?;
            for event in events.drain(..) {
                self.serve(event.token as usize)?;
            }
        }
        let lateness = lateness_of(self.late);
        Ok(StreamTraffic {
            observations: self.observations,
            streams: self.streams.into_iter().flatten().collect(),
            samples: self.samples,
            started: self.started,
            ended: clock::now(),
            lateness,
        })
    }

    /// On a machine that is starved, what comes late says nothing of a balancer.
    fn look_how_late(&mut self, now: Moment) {
        // One long wait is late for all that came due meanwhile.
        while now >= self.tick {
            self.late.push(now.since(self.tick));
            self.tick = self.tick.after(TICK);
        }
    }

    fn keep_time(&mut self, place: usize, now: Moment, stops: bool) -> Result<(), DriveError> {
        if let Some(at) = self.slots[place].opens_at() {
            if now >= at && now < self.until && !stops {
                return self.open(place, now);
            }
            if now >= self.until {
                self.slots[place].rest();
            }
            return Ok(());
        }
        let leaves = stops || now >= self.until;
        let gives_up = stops || now >= self.until.after(self.load.patience);
        let pass = Pass { now, leaves, gives_up, load: self.load };
        let progress = self.slots[place].pass(&pass);
        self.obey(place, progress, now)
    }

    fn open(&mut self, place: usize, now: Moment) -> Result<(), DriveError> {
        let sequence = self.load.first + self.observations.len() as u64;
        self.observations.push(super::engine::unanswered(now, place as u32, false));
        self.streams.push(None);
        let progress = self.slots[place].open(self.load, sequence, now)?;
        self.obey(place, progress, now)
    }

    fn serve(&mut self, place: usize) -> Result<(), DriveError> {
        let now = clock::now();
        let slot = &mut self.slots[place];
        if !slot.is_busy() {
            return Ok(());
        }
        let progress = slot.serve(self.load, self.backends, &mut self.samples, &mut self.input, now);
        self.obey(place, progress, now)
    }

    fn obey(&mut self, place: usize, progress: SlotProgress, now: Moment) -> Result<(), DriveError> {
        match progress {
            SlotProgress::Waits => self.slots[place]
                .watch(&self.poller, place as u64)
                .map_err(|errno| DriveError::of_call("watch a connection", errno)),
            SlotProgress::Over(outcome) => {
                self.finish(place, outcome, now);
                Ok(())
            }
        }
    }

    fn finish(&mut self, place: usize, outcome: ClientOutcome, now: Moment) {
        let slot = &mut self.slots[place];
        let stream = slot.end(now);
        let index = (u64::from(stream.sequence) - self.load.first) as usize;
        let observation = &mut self.observations[index];
        slot.note(observation);
        (observation.ended, observation.outcome) = (now, outcome);
        let was_cut = slot.was_cut(&stream);
        let resumes = (self.load.kind == StreamKind::Events && was_cut).then_some(stream.events.last);
        self.streams[index] = Some(stream);
        if self.load.reopens && was_cut && now < self.until {
            slot.open_later(now.after(REOPEN), resumes.filter(|last| *last > 0));
        }
    }
}
