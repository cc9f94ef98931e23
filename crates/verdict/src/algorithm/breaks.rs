//! Where a rotation is left for no reason that shows: a turn that is skipped or repeated now and then.

use super::Algorithm;
use super::evidence::{Evidence, Pick, backends};
use super::inference::{Inference, RotationBreaks};
use super::order::{OrderPattern, exceptions, regular, unevenness};
use super::rotation::UNEVEN;
use crate::observation::Backend;

/// Breaks that count in any case: a single one may be due to a connection to a backend that has just been closed.
const FEWEST: usize = 2;
/// Breaks that show whether they come regularly.
const ENOUGH: usize = 6;
/// Where new connections see breaks, a kept one sees this many in as many requests, unless new ones reach several workers.
const REFUTED: usize = 2;
/// One request in that many on one connection leaves the turns at most, or the connection has turns of its own.
const FOLLOWED: usize = 8;
/// Requests on one connection at most.
const MOST_KEPT: usize = 3_000;

impl Evidence {
    /// Weights that hardly differ look like turns that are left at regular intervals, or hardly ever; then shares are not even.
    pub(super) fn look_for_breaks(&self, fresh: &OrderPattern, inference: &mut Inference) {
        let OrderPattern::Turns { period, exceptions } = fresh else { return };
        if inference.kind != Some(Algorithm::RoundRobin) {
            return;
        }
        inference.breaks = self.breaks(period);
        let (off, mean) = unevenness(&self.sample);
        let several = inference.breaks.as_ref().filter(|breaks| breaks.at.len() >= FEWEST);
        let may_be_weights = match several.map(|breaks| breaks.every) {
            // Each time another backend was skipped, or one of them had far less on the whole.
            Some(Some(every)) => off * 4.0 >= self.sample.len() as f64 / every as f64,
            Some(None) => false,
            None => *exceptions > 0 && off > UNEVEN && off < mean * 0.2,
        };
        inference.or.extend(may_be_weights.then_some(Algorithm::WeightedRoundRobin));
    }

    /// Where only one connection shows the rotation, as new ones may reach several workers, or leave it as often.
    pub(super) fn look_for_breaks_on_one(&self, period: &[Backend], inference: &mut Inference) {
        let rotates = matches!(inference.kind, Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
        if !rotates || self.others > 0 || !self.is_undisturbed() {
            return;
        }
        let mut left = exceptions(&backends(&self.kept), period);
        left.retain(|place| self.follows(*place));
        if left.len() < FEWEST {
            return;
        }
        let at = left.iter().map(|place| self.kept[*place].sequence).collect();
        inference.breaks = Some(RotationBreaks { requests: self.kept.len(), at, every: regular(&left) });
        (inference.rotations, inference.remark) = (None, None);
        // One that some requests take no part in has other shares than its turns.
        inference.or.extend([Algorithm::RoundRobin, Algorithm::WeightedRoundRobin]);
    }

    /// Whether a request on the one connection was sent right after the one before it: between others nobody knows what came.
    fn follows(&self, place: usize) -> bool {
        let pair = place.checked_sub(1).and_then(|before| Some((self.kept.get(before)?, self.kept.get(place)?)));
        pair.is_some_and(|(before, pick)| before.sequence + 1 == pick.sequence && !self.opened.contains(&pick.sequence))
    }

    fn breaks(&self, period: &[Backend]) -> Option<RotationBreaks> {
        if self.kept.is_empty() || self.others > 0 || !self.is_undisturbed() {
            return None;
        }
        let left = |picks: &[Pick]| exceptions(&backends(picks), period);
        let (fresh, kept) = (left(&self.fresh), self.left_on_one(period));
        // What is left every hundred requests is left once or twice in those of one connection.
        let is_regular = |left: &[usize]| regular(left).is_some();
        // Or too few were sent on one connection.
        let skipped = if self.may_be_left(REFUTED) { self.skipped(period) } else { Vec::new() };
        let (picks, left) = if !is_regular(&kept) && is_regular(&fresh) && !kept.is_empty() {
            (&self.fresh, fresh)
        } else if kept.len() < FEWEST && skipped.len() > kept.len() {
            (&self.fresh, skipped)
        } else {
            (&self.kept, kept)
        };
        let at: Vec<u32> = left.iter().filter_map(|place| Some(picks.get(*place)?.sequence)).collect();
        // Where many more went on, one is no rule.
        let fewest = if self.needs_more_breaks() { 1 } else { FEWEST };
        (at.len() >= fewest).then(|| RotationBreaks { requests: picks.len(), at, every: regular(&left) })
    }

    /// Where the turns are left on one connection: new ones may reach another worker, with a rotation of its own. Between requests whose numbers do
    /// not follow each other others took their turns.
    fn left_on_one(&self, period: &[Backend]) -> Vec<usize> {
        let mut left = exceptions(&backends(&self.kept), period);
        // Or it has turns of its own.
        let has_these = left.len() * FOLLOWED <= self.kept.len();
        left.retain(|place| has_these && self.follows(*place));
        left
    }

    /// Where new connections skip turns and go on from there: a request that another worker has comes between two turns, whichever it is.
    fn skipped(&self, period: &[Backend]) -> Vec<usize> {
        let sequence = backends(&self.fresh);
        let turn = |at: usize| period[at % period.len()];
        let goes_on = |place: usize| {
            let last = sequence.get(place.checked_sub(1)?)?;
            let expected = 1 + period.iter().position(|turn| turn == last)?;
            let steps = (1..period.len() - 1).find(|steps| turn(expected + steps) == sequence[place])?;
            let mut rest = sequence[place..].iter().take(period.len()).enumerate();
            rest.all(|(at, backend)| turn(expected + steps + at) == *backend).then_some(())
        };
        let mut left = exceptions(&sequence, period);
        left.retain(|place| goes_on(*place).is_some());
        left
    }

    /// Whether a rotation was left in sequence, and more requests on the one connection may tell whether it is left there too, and how regularly.
    pub(super) fn needs_more_breaks(&self) -> bool {
        self.may_be_left(ENOUGH)
    }

    /// Whether a rotation was left in sequence, less often than that on one connection, and fewer were sent there than new ones would have
    /// left it that often with.
    fn may_be_left(&self, times: usize) -> bool {
        let order = self.order_so_far();
        match &order {
            OrderPattern::Turns { period, exceptions } if order.is_of_one_rotation() => {
                let kept = self.left_on_one(period).len();
                let enough = (self.fresh.len() * times).checked_div(*exceptions).unwrap_or(MOST_KEPT).min(MOST_KEPT);
                exceptions + kept > 0 && kept < times && self.kept.len() < enough
            }
            _ => false,
        }
    }
}
