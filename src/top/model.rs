//! What is known of a fleet: its snapshot, kept up to date by its frames.

use std::collections::VecDeque;

use crate::wire::{BackendStatus, BalancerInfo, CheckNews, Figures, Frame, History, Snapshot, TimelineMark};

/// What the terminal shows.
pub(crate) struct Model {
    /// Milliseconds since 1970 (UTC).
    pub(crate) at: u64,
    pub(crate) backends: Vec<BackendStatus>,
    pub(crate) figures: Figures,
    pub(crate) front: Option<BalancerInfo>,
    pub(crate) check: Option<CheckNews>,
    pub(crate) strip: VecDeque<u16>,
    pub(crate) marks: VecDeque<TimelineMark>,
    /// Requests of each second that has ended, of all backends together.
    pub(crate) seconds: VecDeque<u64>,
    /// What came of the last key.
    pub(crate) message: String,
    kept: History,
    selected: usize,
}

/// The direction in which a key moves the selection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SelectionStep {
    Next,
    Previous,
}

impl Model {
    /// A model of all that is known at first.
    pub(crate) fn new(snapshot: Snapshot) -> Model {
        Model {
            at: snapshot.at,
            backends: snapshot.fleet.backends,
            figures: snapshot.figures,
            front: snapshot.front,
            check: snapshot.check,
            strip: snapshot.strip.into(),
            marks: snapshot.marks.into(),
            seconds: snapshot.seconds.iter().map(|second| sum(&second.counts)).collect(),
            message: String::new(),
            kept: snapshot.kept,
            selected: 0,
        }
    }

    /// Takes note of what has changed.
    pub(crate) fn frame(&mut self, frame: Frame) {
        (self.at, self.figures) = (frame.at, frame.figures);
        self.seconds.extend(frame.seconds.iter().map(|second| sum(&second.counts)));
        keep(&mut self.seconds, self.kept.seconds);
        self.strip.extend(frame.strip);
        keep(&mut self.strip, self.kept.strip);
        for mark in frame.marks {
            match self.marks.iter_mut().rev().find(|known| known.id == mark.id) {
                Some(known) => *known = mark,
                None => self.marks.push_back(mark),
            }
        }
        keep(&mut self.marks, self.kept.marks);
        self.backends = frame.backends.unwrap_or(std::mem::take(&mut self.backends));
        self.front = frame.front.or(self.front.take());
        self.check = frame.check.or(self.check.take());
    }

    /// The one that keys are for.
    pub(crate) fn selected(&self) -> String {
        self.backends.get(self.selected).map(|backend| backend.name.clone()).unwrap_or_default()
    }

    /// Place of the selected backend in the fleet.
    pub(crate) fn selected_place(&self) -> usize {
        self.selected
    }

    /// Selects another one, in a circle.
    pub(crate) fn select(&mut self, step: SelectionStep) {
        let count = self.backends.len().max(1);
        let places = match step {
            SelectionStep::Next => 1,
            SelectionStep::Previous => count - 1,
        };
        self.selected = (self.selected + places) % count;
    }
}

fn sum(counts: &[u32]) -> u64 {
    counts.iter().map(|count| u64::from(*count)).sum()
}

fn keep<T>(kept: &mut VecDeque<T>, most: usize) {
    kept.drain(..kept.len().saturating_sub(most));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wire::{BackendFigures, LatencyPercentiles, MarkKind, Second, sample};

    fn second(at: u64, counts: [u32; 2]) -> Second {
        Second { at, counts: counts.to_vec(), latency: None, is_check: false }
    }

    pub(crate) fn model() -> Model {
        let backend = |port: u16| BackendStatus {
            url: format!("http://localhost:{port}"),
            pid: Some(1),
            ..sample::backend(port)
        };
        let front = BalancerInfo {
            url: "http://localhost:8080/uuid".to_owned(),
            balancer: Some("NGINX".to_owned()),
            algorithm: Some(api::Policy::RoundRobin),
            weights: vec![3, 1],
            ..BalancerInfo::default()
        };
        Model::new(Snapshot {
            version: 2,
            owner: true,
            at: 100_500,
            kept: History { seconds: 4, strip: 3, marks: 2, requests: 1 },
            fleet: sample::fleet(vec![backend(9001), backend(9002)]),
            figures: Figures::default(),
            seconds: vec![second(98, [90, 90]), second(99, [1, 1])],
            strip: vec![0, 1],
            strip_end: 2,
            marks: Vec::new(),
            requests: Vec::new(),
            front: Some(front),
            check: None,
        })
    }

    pub(crate) fn frame(at: u64, mark: u64) -> Frame {
        let latency = Some(LatencyPercentiles { p50: 41, p90: 50, p99: 3_000_000, p99_9: 3_100_000 });
        let backend = |share, expected, in_flight| BackendFigures {
            requests: 7,
            share: Some(share),
            expected: Some(expected),
            rate: 2,
            errors: 122,
            connections: 2,
            http_2: Some(0.0),
            in_flight,
            streams: 0,
            websockets: in_flight.min(2),
            latency,
        };
        Frame {
            at,
            figures: Figures {
                rate: 4,
                latency,
                client: None,
                backends: vec![backend(0.75, 0.75, 0), backend(0.25, 0.25, 7)],
            },
            seconds: vec![second(at / 1000 - 1, [10, 0])],
            strip: vec![1],
            strip_end: 3,
            marks: vec![TimelineMark {
                id: mark,
                at,
                kind: MarkKind::Backend,
                backend: Some("9002".to_owned()),
                count: 1,
                text: "paused".to_owned(),
            }],
            ..Frame::default()
        }
    }

    #[test]
    fn frames_replace_what_is_now_and_add_to_what_was() {
        let mut model = model();
        for (at, mark, count) in [(101_000, 0, 1), (102_000, 0, 5), (103_000, 1, 1)] {
            let mut frame = frame(at, mark);
            frame.marks[0].count = count;
            model.frame(frame);
        }
        assert_eq!((model.at, model.figures.rate), (103_000, 4));
        assert_eq!(model.seconds, [2, 10, 10, 10], "as many as are kept");
        assert_eq!(model.strip, [1, 1, 1]);
        let marks: Vec<_> = model.marks.iter().map(|mark| (mark.id, mark.count)).collect();
        assert_eq!(marks, [(0, 5), (1, 1)], "one that grows replaces itself");
        assert!(model.front.is_some() && model.backends.len() == 2);
    }

    #[test]
    fn the_selection_goes_round() {
        let mut model = model();
        assert_eq!(model.selected(), "9001");
        model.select(SelectionStep::Previous);
        assert_eq!(model.selected(), "9002");
        model.select(SelectionStep::Next);
        assert_eq!(model.selected(), "9001");
    }
}
