//! Workers that each know of their own requests alone: their rotations show on connections that are kept, and what they look at beside requests in
//! flight at many of them.

use super::evidence::{Evidence, Pick, WorkerRow, backends};
use super::inference::Inference;
use super::order::{OrderPattern, counts, loose_rotation};
use super::result::ExperimentFacts;
use crate::observation::Backend;

/// Least connections leaves one of three in its rotation, where its worker happens to have as many in flight everywhere.
const FEWEST_ROWS: usize = 12;
/// Of this number of connections, ten at a time beside ten requests in flight, one at least would leave out a backend if workers looked at load: of
/// 32 workers not once in a hundred thousand times.
const MANY_ROWS: usize = 40;
/// Requests on one connection that would not all come to one of several backends.
const LONG: usize = 60;

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
        rotations_left(self.rotating(turns).map(|row| row.beside.get(2..).unwrap_or_default()), turns)
    }

    /// The connections that went round as long as nothing was in flight: what is left beside that is left for it.
    fn rotating(&self, turns: &[Backend]) -> impl Iterator<Item = &WorkerRow> {
        self.beside.iter().filter(|row| goes_round(&row.before, turns) == Some(true))
    }

    /// Connections that keep to one backend, while others go round: how many, of how many, and whose they are.
    pub(super) fn kept_connections(&self) -> Option<(usize, usize, Vec<Backend>)> {
        let is_spread = |picks: &[Pick]| counts(&backends(picks)).len() > 1;
        let mut kept: Vec<Backend> = Vec::new();
        let mut of = 0;
        // What goes round in turns never comes to the same backend again and again, with nothing in flight.
        for row in self.beside.iter().filter(|row| row.before.len() >= 4 && row.after.len() >= 4) {
            of += 1;
            let picks = [row.before.as_slice(), &row.after].concat();
            kept.extend((!is_spread(&picks)).then_some(picks[0].backend));
        }
        let is_one_kept = self.kept.len() >= LONG && !is_spread(&self.kept);
        if is_one_kept && self.connections.moved() * 2 > self.connections.rows.len() {
            of += self.connections.moved() + 1;
            kept.push(self.kept[0].backend);
        }
        kept.retain(|backend| backend.is_known());
        let whose = counts(&kept).into_iter().map(|(backend, _)| backend).collect();
        (!kept.is_empty() && kept.len() * 2 < of).then_some((kept.len(), of, whose))
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
        self.rotating(&period).map(|row| &row.beside).filter(is_held).count()
    }

    /// Whether several workers may take connections, each with what it knows alone: no rotation is that of all of them.
    pub(super) fn may_count_apart(&self) -> bool {
        let fresh = backends(&self.fresh);
        // Also where it is left again and again: what mixes the rotations of several workers hides each of them.
        let is_one =
            OrderPattern::of(&fresh).is_of_one_rotation() || self.is_undisturbed() && loose_rotation(&fresh).is_some();
        !is_one && self.leaves_rotations_beside() != Some(false)
    }

    /// The backends that the first requests of each connection reach, one after the other, where these are the same for all connections.
    pub(super) fn round_of_each_connection(&self) -> Option<Vec<Backend>> {
        let rows: Vec<Vec<Backend>> = self.connections.rows.iter().map(|row| backends(row)).collect();
        let first = rows.first()?;
        let is_round = first.len() >= 3 && counts(first).len() > 1 && first.iter().all(|backend| backend.is_known());
        (is_round && rows.len() >= FEWEST_ROWS && rows.iter().all(|row| row == first)).then(|| first.clone())
    }

    /// Whether rotations are left after slow responses; none if too little was tried, or it is not clear.
    pub(super) fn leaves_rotations_afterwards(&self) -> Option<bool> {
        let turns = self.rotation_of_workers()?;
        let (left, of) = rotations_left(self.rotating(&turns).map(|row| row.after.as_slice()), &turns);
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
    let whole: Vec<bool> = rows.filter_map(|row| goes_round(row, turns)).collect();
    (whole.iter().filter(|goes_round| !**goes_round).count(), whole.len())
}

/// Whether two rounds of these turns came to all of their backends; none if they are not known to their end. Somebody else's request that comes
/// between takes one turn of two.
fn goes_round(row: &[Pick], turns: &[Backend]) -> Option<bool> {
    let is_whole = row.len() == 2 * turns.len() && row.iter().all(|pick| pick.backend.is_known());
    is_whole.then(|| counts(&backends(row)).len() == counts(turns).len())
}
