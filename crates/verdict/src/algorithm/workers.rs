//! Workers that each know of their own requests alone: their rotations show on connections that are kept, and what they look at beside requests in
//! flight at many of them.

use super::evidence::{Evidence, Pick, backends};
use super::inference::Inference;
use super::order::{OrderPattern, counts};
use super::result::ExperimentFacts;
use crate::observation::Backend;

/// Least connections leaves one of three in its rotation, where its worker happens to have as many in flight everywhere.
const FEWEST_ROWS: usize = 12;
/// Of this number of connections, ten at a time beside ten requests in flight, one at least would leave out a backend if workers looked at load: of
/// 32 workers not once in a hundred thousand times.
const MANY_ROWS: usize = 40;

impl Evidence {
    /// The rotation that workers have each for itself: one connection goes round, and connections in sequence do not.
    pub(super) fn rotation_of_workers(&self) -> Option<Vec<Backend>> {
        let order = OrderPattern::of(&backends(&self.kept));
        let is_one = order.is_of_one_rotation() && !OrderPattern::of(&backends(&self.fresh)).is_of_one_rotation();
        match order {
            OrderPattern::Turns { period, exceptions: 0 } if is_one => Some(period),
            _ => None,
        }
    }

    /// Whether rotations are left while much is in flight; none if too little was tried, or it is not clear.
    pub(super) fn leaves_rotations_beside(&self) -> Option<bool> {
        let (left, _) = self.left_beside(&self.rotation_of_workers()?);
        match left {
            0 if self.beside_held() >= FEWEST_ROWS => Some(false),
            0..3 => None,
            _ => Some(true),
        }
    }

    /// Of the connections beside much that is in flight, how many left out a backend of these turns, of how many.
    fn left_beside(&self, turns: &[Backend]) -> (usize, usize) {
        rotations_left(self.beside.iter().map(|row| row.get(2..).unwrap_or_default()), turns)
    }

    /// Whether rotations of workers were tried beside much that is in flight, and all of them went on.
    pub(super) fn has_tried_workers(&self) -> bool {
        self.rotation_of_workers().is_some_and(|turns| {
            let (left, of) = self.left_beside(&turns);
            left == 0 && of >= MANY_ROWS
        })
    }

    /// Whether one connection draws its backends, or keeps one: then no worker goes round by itself, unless others have their part in it.
    pub(super) fn is_drawn_in_sequence(&self) -> bool {
        let order = OrderPattern::of(&backends(&self.kept));
        let is_drawn = matches!(order, OrderPattern::Chance | OrderPattern::One(_) | OrderPattern::TooFew);
        is_drawn && self.is_undisturbed()
    }

    /// Connections between whose first two requests one that was held took a turn: it is in flight at their worker.
    fn beside_held(&self) -> usize {
        let Some(period) = self.rotation_of_workers() else { return 0 };
        // Where a backend has several turns it is not known which of them it was.
        if counts(&period).len() < period.len() {
            return 0;
        }
        let place = |pick: &Pick| period.iter().position(|turn| *turn == pick.backend);
        let is_held = |row: &&Vec<Pick>| match row.as_slice() {
            [first, second, rest @ ..] if rest.len() == 2 * period.len() => {
                place(first).zip(place(second)).is_some_and(|(first, second)| (first + 1) % period.len() != second)
            }
            _ => false,
        };
        self.beside.iter().filter(is_held).count()
    }

    /// Whether several workers may take connections, each with what it knows alone: no rotation is that of all of them.
    pub(super) fn may_count_apart(&self) -> bool {
        let is_one = |picks: &[Pick]| OrderPattern::of(&backends(picks)).is_of_one_rotation();
        !is_one(&self.fresh) && self.leaves_rotations_beside() != Some(false)
    }

    /// Whether rotations are left after slow responses; none if too little was tried, or it is not clear.
    pub(super) fn leaves_rotations_afterwards(&self) -> Option<bool> {
        let (left, of) = rotations_left(self.afterwards.iter().map(Vec::as_slice), &self.rotation_of_workers()?);
        match left {
            0 if of >= 6 => Some(false),
            0..3 => None,
            _ => Some(true),
        }
    }

    pub(super) fn describe_beside(&self, inference: &mut Inference) {
        let Some(turns) = self.rotation_of_workers() else { return };
        let (left, of) = self.left_beside(&turns);
        if of > 0 {
            let (connections, beside, left_out) = (of as u64, self.beside_held() as u64, left as u64);
            inference.note(ExperimentFacts::BesideWorkers { connections, beside, left_out });
        }
    }
}

/// Of these connections, how many left out a backend of these turns, of how many that are known to their end.
fn rotations_left<'p>(rows: impl Iterator<Item = &'p [Pick]>, turns: &[Backend]) -> (usize, usize) {
    let is_whole = |row: &Vec<Backend>| row.len() == 2 * turns.len() && row.iter().all(|backend| backend.is_known());
    let whole: Vec<Vec<Backend>> = rows.map(backends).filter(is_whole).collect();
    // Somebody else's request that comes between takes one turn of two.
    let all = counts(turns).len();
    (whole.iter().filter(|row| counts(row).len() < all).count(), whole.len())
}
