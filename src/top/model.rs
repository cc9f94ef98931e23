//! PURE. What is known of a fleet: a fold of its snapshot and its frames.

use std::collections::VecDeque;

use crate::wire::{
    CheckNews, Frame, Front, Generator, HISTORY, Latency, Mark, MemberState, MemberStatus, STRIP, Snapshot,
};

/// The shares are of so many milliseconds.
const WINDOW: u64 = 10_000;
const SECOND: u64 = 1000;
const MARKS: usize = 100;

/// What the terminal shows.
pub struct Model {
    /// Milliseconds since 1970 (UTC).
    pub at: u64,
    pub members: Vec<MemberStatus>,
    pub front: Option<Front>,
    pub check: Option<CheckNews>,
    pub in_flight: Vec<u32>,
    /// All members together, then one a member.
    pub latency: Vec<Option<Latency>>,
    pub strip: VecDeque<u16>,
    pub marks: VecDeque<Mark>,
    /// Requests of each second that has ended, of all members together.
    pub seconds: VecDeque<u64>,
    /// What came of the last key.
    pub said: String,
    selected: usize,
    running: u64,
    second: u64,
    /// When, and how many requests and errors each member had since the time before.
    window: VecDeque<(u64, Vec<u32>, Vec<u32>)>,
}

/// What is shown of a member, beside its status.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Figures {
    /// Of all requests of the last ten seconds, from 0 to 1; none without any.
    pub share: Option<f64>,
    pub expected: Option<f64>,
    /// Of the last second.
    pub rate: u32,
    /// Of the last ten seconds.
    pub errors: u32,
    pub in_flight: u32,
    pub latency: Option<Latency>,
}

impl Model {
    /// From all that is known.
    pub fn new(snapshot: Snapshot) -> Model {
        let second = snapshot.at / SECOND;
        let recent = snapshot.seconds.iter().rev().take((WINDOW / SECOND) as usize).enumerate();
        let none = vec![0; snapshot.fleet.members.len()];
        let window = recent.map(|(back, counts)| ((second - back as u64) * SECOND, counts.clone(), none.clone()));
        let mut window: VecDeque<_> = window.collect();
        window.make_contiguous().reverse();
        window.push_back((snapshot.at, snapshot.running.clone(), none));
        Model {
            at: snapshot.at,
            in_flight: snapshot.fleet.members.iter().map(|member| member.in_flight as u32).collect(),
            members: snapshot.fleet.members,
            front: snapshot.front,
            check: snapshot.check,
            latency: Vec::new(),
            strip: snapshot.strip.into(),
            marks: snapshot.marks.into(),
            seconds: snapshot.seconds.iter().map(|counts| sum(counts)).collect(),
            said: String::new(),
            selected: 0,
            running: sum(&snapshot.running),
            second,
            window,
        }
    }

    /// Takes note of what has changed.
    pub fn frame(&mut self, frame: Frame) {
        self.at = frame.at;
        for _ in self.second..frame.at / SECOND {
            self.seconds.push_back(std::mem::take(&mut self.running));
        }
        self.second = self.second.max(frame.at / SECOND);
        self.running += sum(&frame.counts);
        keep(&mut self.seconds, HISTORY);
        self.strip.extend(frame.strip);
        keep(&mut self.strip, STRIP);
        self.marks.extend(frame.marks);
        keep(&mut self.marks, MARKS);
        self.window.push_back((frame.at, frame.counts, frame.errors));
        while self.window.front().is_some_and(|(at, ..)| at + WINDOW < frame.at) {
            self.window.pop_front();
        }
        (self.in_flight, self.latency) = (frame.in_flight, frame.latency);
        self.members = frame.members.unwrap_or(std::mem::take(&mut self.members));
        self.front = frame.front.or(self.front.take());
        self.check = frame.check.or(self.check.take());
    }

    /// The figures of each member.
    pub fn figures(&self) -> Vec<Figures> {
        let count = self.members.len();
        let (mut counts, mut errors, mut rates) = (vec![0u32; count], vec![0; count], vec![0; count]);
        let add = |to: &mut Vec<u32>, more: &[u32]| to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
        for (at, requests, failed) in &self.window {
            add(&mut counts, requests);
            add(&mut errors, failed);
            if at + SECOND > self.at {
                add(&mut rates, requests);
            }
        }
        let all = sum(&counts) as f64;
        let members: Vec<(Generator, bool)> =
            self.members.iter().map(|member| (member.generator, member.state == MemberState::Ready)).collect();
        let expected = self.front.as_ref().and_then(|front| front.expected(&members));
        (0..count)
            .map(|place| Figures {
                share: (all > 0.0).then(|| f64::from(counts[place]) / all),
                expected: expected.as_ref().map(|expected| expected[place]),
                rate: rates[place],
                errors: errors[place],
                in_flight: self.in_flight.get(place).copied().unwrap_or_default(),
                latency: self.latency.get(place + 1).copied().flatten(),
            })
            .collect()
    }

    /// The one that keys are for.
    pub fn selected(&self) -> Generator {
        self.members.get(self.selected).map(|member| member.generator).unwrap_or_default()
    }

    /// Its place.
    pub fn selected_place(&self) -> usize {
        self.selected
    }

    /// Selects the next one, or the one before.
    pub fn select(&mut self, down: bool) {
        let count = self.members.len().max(1);
        self.selected = (self.selected + if down { 1 } else { count - 1 }) % count;
    }
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

fn keep<T>(kept: &mut VecDeque<T>, most: usize) {
    kept.drain(..kept.len().saturating_sub(most));
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::wire::{FleetStatus, MarkKind};

    pub fn model() -> Model {
        let member = |generator| MemberStatus {
            generator: Generator(generator),
            url: format!("http://localhost:{generator}"),
            state: MemberState::Ready,
            since: String::new(),
            pid: Some(1),
            ready: true,
            restarts: 0,
            attempts: 0,
            in_flight: 0,
            lost: 0,
            last_end: None,
            faults: Vec::new(),
        };
        let front = Front {
            url: "http://localhost:8080/uuid".to_owned(),
            balancer: Some("NGINX".to_owned()),
            algorithm: Some("round-robin".to_owned()),
            weights: vec![3, 1],
            ..Front::default()
        };
        Model::new(Snapshot {
            version: 1,
            owner: true,
            at: 100_500,
            fleet: FleetStatus {
                version: 1,
                pid: 1,
                control: String::new(),
                started: String::new(),
                members: vec![member(9001), member(9002)],
            },
            seconds: vec![vec![90, 90], vec![1, 1]],
            running: vec![5, 5],
            latency: vec![None; 2],
            strip: vec![0, 1],
            marks: Vec::new(),
            requests: Vec::new(),
            front: Some(front),
            check: None,
        })
    }

    pub fn frame(at: u64, counts: [u32; 2]) -> Frame {
        let latency = Some(Latency { p50: 41, p90: 50, p99: 3_000_000, p99_9: 3_100_000 });
        Frame {
            at,
            counts: counts.to_vec(),
            errors: vec![0, counts[1].min(1)],
            in_flight: vec![0, 7],
            strip: vec![1],
            latency: vec![latency; 3],
            marks: vec![Mark {
                at,
                kind: MarkKind::Member,
                generator: Some(Generator(9002)),
                count: 1,
                text: "paused".to_owned(),
            }],
            ..Frame::default()
        }
    }

    #[test]
    fn shares_are_of_the_last_ten_seconds() {
        let mut model = model();
        assert_eq!(model.figures()[0].share, Some(0.5));
        assert_eq!(model.figures()[0].expected, Some(0.75));
        model.frame(frame(111_000, [3, 1]));
        let figures = model.figures();
        assert_eq!((figures[0].share, figures[1].share), (Some(0.75), Some(0.25)));
        assert_eq!((figures[0].rate, figures[1].errors, figures[1].in_flight), (3, 1, 7));
        assert_eq!(model.seconds.len(), 2 + 11);
        assert_eq!(model.seconds[2], 10, "of the second in which it began");
        model.frame(frame(130_000, [0, 0]));
        assert_eq!(model.figures()[0].share, None);
        assert_eq!(model.strip, [0, 1, 1, 1]);
    }

    #[test]
    fn the_selection_goes_round() {
        let mut model = model();
        assert_eq!(model.selected(), Generator(9001));
        model.select(false);
        assert_eq!(model.selected(), Generator(9002));
        model.select(true);
        assert_eq!(model.selected(), Generator(9001));
    }
}
