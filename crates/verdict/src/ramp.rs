//! How long the weight of a backend grew after its return, by the requests that it lacks.
//!
//! A share tells nothing of a weight by itself: where one backend of weight 5 and two of weight 1 are, half of that weight is 56 % of the
//! requests, 78 % of its usual share. A weight that grows evenly over a time T, from nothing, leaves its backend short of
//! `rate · T · (S − 1 + ln(1 + o) / o)` requests, S being its usual share and o the odds `S / (1 − S)`: the integral of S minus its share
//! meanwhile. A sum over all requests is also what chance disturbs least.

use std::time::Duration;

use crate::Moment;

/// Requests are counted in pieces of time.
const PIECE: Duration = Duration::from_millis(100);
/// The usual share, and how much it varies, are those of as many pieces before the break.
const BEFORE: usize = 50;
/// Fewer tell nothing of either.
const LEAST_PIECES: usize = 10;
const LEAST_REQUESTS: f64 = 10.0;
/// A share so large has no room to tell weights apart.
const LARGEST: f64 = 0.95;
/// Selections in turns vary less than those of chance; of less than this nothing is known.
const STEADIEST: f64 = 0.02;
/// A ramp is over where the time that was watched is so much longer.
const WATCHED: f64 = 1.5;

/// Attempts in pieces of the sample's time: all of them, and those at one backend.
#[derive(Clone, Debug)]
pub(crate) struct ShareOverTime {
    started: Moment,
    pieces: Vec<(u32, u32)>,
}

/// How long the weight grew.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Ramp {
    /// In seconds; `None` if it still grew at the end.
    pub(crate) seconds: Option<f64>,
    /// Seconds by which chance may have moved that: three standard deviations.
    pub(crate) error: f64,
}

impl ShareOverTime {
    pub(crate) fn new(started: Moment) -> ShareOverTime {
        ShareOverTime { started, pieces: Vec::new() }
    }

    /// Counts an attempt.
    pub(crate) fn see(&mut self, at: Moment, is_here: bool) {
        let place = self.place(at);
        if self.pieces.len() <= place {
            self.pieces.resize(place + 1, (0, 0));
        }
        self.pieces[place].0 += 1;
        self.pieces[place].1 += u32::from(is_here);
    }

    fn place(&self, at: Moment) -> usize {
        (at.since(self.started).as_nanos() / PIECE.as_nanos()) as usize
    }

    /// From its return until the sample ended or something else was done; none if too little is known of its share before.
    pub(crate) fn ramp(&self, broken: Moment, back: Moment, until: Moment) -> Option<Ramp> {
        let broken = self.place(broken).min(self.pieces.len());
        let before = &self.pieces[broken.saturating_sub(BEFORE)..broken];
        let (all, here) = total(before);
        let share = here / all;
        if before.len() < LEAST_PIECES || here < LEAST_REQUESTS || share > LARGEST {
            return None;
        }
        let chance = share * (1.0 - share);
        let odds = share / (1.0 - share);
        let lack = share - 1.0 + odds.ln_1p() / odds;
        let squares = |(all, here): &(u32, u32)| (f64::from(*here) - share * f64::from(*all)).powi(2);
        let dispersion = (before.iter().map(squares).sum::<f64>() / (all * chance)).max(STEADIEST);
        let from = self.place(back);
        let until = self.place(until).min(self.pieces.len());
        let watched = self.pieces.get(from..until).filter(|pieces| !pieces.is_empty())?;
        let mut length = watched.len();
        let mut ramp = Ramp { seconds: None, error: f64::INFINITY };
        // What comes long after the ramp adds nothing but chance.
        for _ in 0..4 {
            let (sent, got) = total(&watched[..length]);
            let per_second = sent / (length as f64 * PIECE.as_secs_f64());
            let seconds = (share * sent - got) / (per_second * lack);
            let variance = dispersion * chance * (sent + sent * sent / all);
            ramp = Ramp { seconds: Some(seconds.max(0.0)), error: 3.0 * variance.sqrt() / (per_second * lack) };
            let enough = (seconds.max(0.0) * WATCHED / PIECE.as_secs_f64()).ceil() as usize + LEAST_PIECES;
            if enough >= length {
                break;
            }
            length = enough;
        }
        let watched = watched.len() as f64 * PIECE.as_secs_f64();
        Some(Ramp { seconds: ramp.seconds.filter(|seconds| seconds * WATCHED <= watched), ..ramp })
    }
}

fn total(pieces: &[(u32, u32)]) -> (f64, f64) {
    pieces.iter().fold((0.0, 0.0), |(all, here), piece| (all + f64::from(piece.0), here + f64::from(piece.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn second(second: f64) -> Moment {
        Moment((second * SECOND as f64) as u64)
    }

    /// A thousand requests a second, for 16 s: a backend of that weight beside two of weight 1 is out from 3 s to 5 s, and then its weight
    /// grows.
    fn ramp(weight: f64, grows: f64, is_random: bool, seed: u64) -> Ramp {
        let mut shares = ShareOverTime::new(Moment(0));
        let (mut turn, mut state) = (0.0, seed);
        for request in 0..16_000 {
            let at = f64::from(request) / 1000.0;
            let part = if at < 3.0 || grows == 0.0 { 1.0 } else { ((at - 5.0) / grows).clamp(0.0, 1.0) };
            let weight = if (3.0..5.0).contains(&at) { 0.0 } else { weight * part };
            let share = weight / (weight + 2.0);
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            turn += share;
            let is_here = if is_random { ((state >> 33) as f64) < share * (1u64 << 31) as f64 } else { turn >= 1.0 };
            turn -= f64::from(u8::from(turn >= 1.0));
            shares.see(second(at), is_here);
        }
        shares.ramp(second(3.0), second(5.0), second(16.0)).expect("it had a share before")
    }

    #[test]
    fn the_same_ramp_is_as_long_whatever_the_weight() {
        for (weight, is_random) in [(1.0, false), (5.0, false), (0.2, false), (1.0, true), (5.0, true)] {
            for seed in 1..40 {
                let Ramp { seconds, error } = ramp(weight, 4.0, is_random, seed);
                let seconds = seconds.expect("it was over");
                assert!((seconds - 4.0).abs() < error + 0.3 && error < 2.0, "{weight} {is_random}: {seconds} {error}");
                let Ramp { seconds, error } = ramp(weight, 0.0, is_random, seed);
                assert!(seconds.unwrap() < error + 0.1, "{weight} {is_random}: {seconds:?} {error}");
            }
        }
    }

    #[test]
    fn a_ramp_that_is_not_over_has_no_length() {
        assert_eq!(ramp(1.0, 30.0, false, 1).seconds, None);
        let mut shares = ShareOverTime::new(Moment(0));
        (0..100).for_each(|request| shares.see(second(f64::from(request)), true));
        // All went there: another weight would have got it as much.
        assert_eq!(shares.ramp(second(20.0), second(30.0), second(100.0)), None);
    }
}
