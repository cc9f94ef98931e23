//! Whether a balancer looks at load, from requests side by side of which some take much longer than others.

use std::time::Duration;

use super::Algorithm;
use super::evidence::{Evidence, Hold, backends};
use super::flights::{SideBySide, Uphill, drift, is_limited, uphill};
use super::inference::{AlgorithmRemark, Inference};
use super::order::{OrderPattern, counts};
use super::result::{BY_LOAD, ExperimentFacts, REGARDLESS_OF_LOAD, name};
use super::selection::{LoadSelection, Selection};
use crate::observation::Backend;
use crate::statistics::{binomial_at_least, binomial_at_most, lower_bound, multinomial};

/// A false conclusion from chance alone is less likely than that.
pub(super) const LEVEL: f64 = 1e-8;
/// What counts load gives a busy backend half of its share at most, and looks as if it gave it all less often than that, and in truth far less.
const LIKELY: f64 = 1e-3;
/// Requests beside one that is held of which it is known how seldom they go there.
const SETTLED: u64 = 150;

/// Whether the load of a backend counts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum LoadEffect {
    /// Busy backends are avoided: always, or only more often than not.
    Follows {
        partly: bool,
        /// What requests side by side showed; none where one was held instead.
        side_by_side: Option<Uphill>,
    },
    Ignores,
    Unknown,
}

/// What requests beside one that is held show.
enum HeldLoad {
    Effect(LoadEffect),
    /// Backends may take a limited number at a time: then nothing is known of load.
    Limited,
}

/// Requests beside one that was held, and how many of them went to where it was.
struct BesideHolds {
    /// The share that usually goes there.
    usual: f64,
    /// The least that it surely is.
    low: f64,
    /// The share of one whose weight is divided by the requests in flight and one.
    halved: f64,
    there: u64,
    others: u64,
}

impl LoadEffect {
    /// Beside what is held in flight.
    fn follows(partly: bool) -> LoadEffect {
        LoadEffect::Follows { partly, side_by_side: None }
    }

    /// What does not select like that.
    fn excludes(self) -> &'static [Algorithm] {
        match self {
            LoadEffect::Follows { .. } => REGARDLESS_OF_LOAD,
            LoadEffect::Ignores => BY_LOAD,
            LoadEffect::Unknown => &[],
        }
    }
}

impl Evidence {
    /// Whether backends with requests in flight are avoided.
    pub(super) fn load(&self, names: &[String], inference: &mut Inference) -> LoadEffect {
        if let Some((facts, excludes)) = self.turns_beside() {
            inference.exclude(facts, excludes);
            return LoadEffect::Ignores;
        }
        let first = inference.evidence.len();
        let load = if !self.mixed.is_empty() {
            self.load_of_mixed(inference)
        } else if self.held_one.is_empty() {
            self.load_of_sample(inference)
        } else {
            self.load_of_held(names, inference)
        };
        // The others with busy backends only add to it.
        if let Some(result) = inference.evidence.get_mut(first) {
            result.excludes = load.excludes().to_vec();
        }
        load
    }

    fn load_of_held(&self, names: &[String], inference: &mut Inference) -> LoadEffect {
        let holds = self.holds();
        let holds: Vec<&Hold> = holds.iter().collect();
        let load = self.held_load(&holds, LIKELY);
        if !holds.is_empty() {
            let beside = self.beside_holds(&holds);
            self.describe_held(&holds, beside.usual, names, inference);
            self.describe_beside(inference);
            if matches!(load, HeldLoad::Limited) {
                inference.remark = Some(AlgorithmRemark::Limit);
            }
        }
        match load {
            HeldLoad::Limited => LoadEffect::Unknown,
            HeldLoad::Effect(effect) => effect,
        }
    }

    /// How many requests went there with nothing in flight, of how many. One connection that is kept may have a backend of its own.
    pub(super) fn usual_of(&self, backend: Backend) -> (u64, usize) {
        let is_spread = self.kept.iter().any(|pick| pick.backend != self.kept[0].backend);
        let idle = || self.fresh.iter().chain(self.kept.iter().filter(|_| is_spread));
        (idle().filter(|pick| pick.backend == backend).count() as u64, idle().count().max(1))
    }

    /// Of all where one is held.
    fn beside_one(&self) -> BesideHolds {
        let holds = self.holds();
        self.beside_holds(&holds.iter().collect::<Vec<&Hold>>())
    }

    fn beside_holds(&self, holds: &[&Hold]) -> BesideHolds {
        let others: usize = holds.iter().map(|hold| hold.others.len()).sum();
        let weighted = |share: &dyn Fn(Backend) -> f64| {
            let expected = |hold: &&Hold| hold.busy.first().map_or(0.0, |busy| share(*busy)) * hold.others.len() as f64;
            holds.iter().map(expected).sum::<f64>() / others.max(1) as f64
        };
        let share = |busy| {
            let (seen, total) = self.usual_of(busy);
            seen as f64 / total as f64
        };
        let usual = weighted(&share);
        // What a rotation gives is no estimate.
        let rotates = self.rotates();
        let lowest = |busy| {
            let (seen, total) = self.usual_of(busy);
            lower_bound(seen, total as u64)
        };
        let low = if rotates { usual * 0.97 } else { weighted(&lowest) };
        let there: usize = holds.iter().map(|hold| hold.to_busy()).sum();
        let halved = weighted(&|busy| share(busy) / (2.0 - share(busy)));
        BesideHolds { usual, low, halved, there: there as u64, others: others as u64 }
    }

    fn rotates(&self) -> bool {
        [&self.fresh, &self.kept].into_iter().any(|picks| OrderPattern::of(&backends(picks)).is_of_one_rotation())
    }

    /// `level`: how likely what counts load may look as if it ignored it.
    fn held_load(&self, holds: &[&Hold], level: f64) -> HeldLoad {
        let BesideHolds { usual, low, halved, there, others } = self.beside_holds(holds);
        if others == 0 {
            return HeldLoad::Effect(LoadEffect::Unknown);
        }
        let share = there as f64 / others as f64;
        let is_less = binomial_at_most(there, others, low) < LEVEL;
        if is_less && share < low * 0.7 {
            // A backend that is full gets nothing, whatever the algorithm.
            if self.full.is_limit() || self.avoids_some_alone(holds) {
                return HeldLoad::Limited;
            }
            return HeldLoad::Effect(LoadEffect::follows(share > usual * 0.1));
        }
        if self.leaves_rotations_beside() == Some(true) && !self.full.is_limit() && self.failing.is_empty() {
            return HeldLoad::Effect(LoadEffect::follows(true));
        }
        // Weights divided by the requests in flight (Envoy's least request) leave a busy backend most of its share.
        if is_less {
            let counts = self.rotates() && self.is_undisturbed() && !self.keeps_some(holds);
            return HeldLoad::Effect(if counts { LoadEffect::follows(true) } else { LoadEffect::Unknown });
        }
        // What fails looks idle and is chosen for that. Least request with weights leaves most, and two choices with replacement less; but where
        // several workers may count each for itself, only a part of it is missing, and the more there are, the less: then each must have been tried.
        let may_be_apart = self.may_count_apart();
        let most = if may_be_apart { usual * OF_ONE_WORKER } else { halved };
        let is_as_ever = binomial_at_least(there, others, most) < level;
        let is_tried = !may_be_apart || self.is_drawn_in_sequence() || self.has_tried_workers();
        let ignores = (self.failing.is_empty() || self.rotates()) && is_as_ever && is_tried;
        HeldLoad::Effect(if ignores { LoadEffect::Ignores } else { LoadEffect::Unknown })
    }

    /// Whether more requests beside one that is held would not tell more, also if one of the backends turns out to fail: what was held there
    /// does not count then.
    pub(super) fn is_held_settled(&self) -> bool {
        let holds = self.holds();
        let holds: Vec<&Hold> = holds.iter().collect();
        let is_settled = |holds: &[&Hold]| match self.held_load(holds, LEVEL) {
            HeldLoad::Effect(LoadEffect::Ignores) => true,
            HeldLoad::Effect(LoadEffect::Follows { .. }) => self.beside_holds(holds).others >= SETTLED,
            HeldLoad::Effect(LoadEffect::Unknown) | HeldLoad::Limited => false,
        };
        let without = |failing: &Backend| {
            holds.iter().copied().filter(|hold| !hold.busy.contains(failing)).collect::<Vec<&Hold>>()
        };
        is_settled(&holds) && holds.iter().flat_map(|hold| &hold.busy).all(|busy| is_settled(&without(busy)))
    }

    fn describe_held(&self, holds: &[&Hold], expected: f64, names: &[String], inference: &mut Inference) {
        let sent = |holds: &[&Hold]| holds.iter().map(|hold| hold.others.len() as u64).sum();
        let to_busy = |holds: &[&Hold]| holds.iter().map(|hold| hold.to_busy() as u64).sum();
        let mut busy: Vec<String> =
            holds.iter().filter_map(|hold| Some(name(names, *hold.busy.first()?).to_owned())).collect();
        busy.sort_unstable();
        busy.dedup();
        inference.note(ExperimentFacts::BesideOne { busy, requests: sent(holds), to_busy: to_busy(holds), expected });
        if !self.held_most.is_empty() {
            let most: Vec<&Hold> = self.held_most.iter().collect();
            let (requests, to_busy) = (sent(&most), to_busy(&most));
            let (busy, backends) = self.most_busy();
            inference.note(ExperimentFacts::BesideMost {
                requests,
                to_busy,
                busy: busy as u64,
                backends: backends as u64,
            });
        }
        if self.full.is_limit() {
            let (requests, waited) = (u64::from(self.full.sent), u64::from(self.full.waited));
            inference.note(ExperimentFacts::BesideAll { requests, waited });
        }
    }

    /// Whether some backend got as much as ever while it was busy.
    fn keeps_some(&self, holds: &[&Hold]) -> bool {
        let busy = |hold: &Hold| hold.busy.first().copied();
        let keeps = |wanted: Backend| {
            let of = || holds.iter().filter(|hold| busy(hold) == Some(wanted));
            let there: usize = of().map(|hold| hold.to_busy()).sum();
            let others: usize = of().map(|hold| hold.others.len()).sum();
            let (seen, total) = self.usual_of(wanted);
            let expected = seen as f64 / total as f64 * others as f64;
            expected >= 40.0 && there as f64 >= expected * 0.9
        };
        holds.iter().filter_map(|hold| busy(hold)).any(keeps)
    }

    /// Whether one busy backend got as much as ever while another was avoided: one of them has a limit. Load counts at all or at none.
    fn avoids_some_alone(&self, holds: &[&Hold]) -> bool {
        let busy = |hold: &Hold| hold.busy.first().copied();
        let is_ignored = |wanted: Backend| {
            let of = || holds.iter().filter(|hold| busy(hold) == Some(wanted));
            let (there, others) =
                of().fold((0, 0), |(there, others), hold| (there + hold.to_busy(), others + hold.others.len()));
            let (seen, total) = self.usual_of(wanted);
            let usual = seen as f64 / total as f64;
            binomial_at_least(there as u64, others as u64, usual * 0.6) < 1e-4
        };
        holds.iter().filter_map(|hold| busy(hold)).any(is_ignored)
    }

    fn load_of_mixed(&self, inference: &mut Inference) -> LoadEffect {
        let weighings = self.weighings();
        let sides = &least_uphill(&weighings);
        let load = self.mixed_load_of(&weighings);
        let seems_followed = (sides.seen.taken as f64) < sides.expected * 0.7;
        let waited = load == LoadEffect::Unknown && seems_followed && is_limited(&self.mixed);
        if waited {
            inference.remark = Some(AlgorithmRemark::Limit);
        }
        inference.note(ExperimentFacts::SideBySide {
            requests: self.mixed.len() as u64,
            drift: self.drift(),
            chances: sides.seen.chances,
            uphill: sides.seen.taken,
            expected: sides.expected,
            waited,
        });
        load
    }

    /// The turns that requests in sequence show, if they are those of one rotation: backend, times.
    fn turns_in_sequence(&self) -> Option<Vec<(Backend, u32)>> {
        let orders = [&self.fresh, &self.kept].map(|picks| OrderPattern::of(&backends(picks)));
        orders.into_iter().find(OrderPattern::is_of_one_rotation).map(|order| match order {
            OrderPattern::Turns { period, .. } => counts(&period),
            OrderPattern::Blocks(weights) => weights,
            _ => Vec::new(),
        })
    }

    /// How far requests side by side went from the turns that requests in sequence have, or from even ones where those have no order.
    fn drift(&self) -> Option<f64> {
        let picks = || self.mixed.iter().map(|flight| flight.pick.backend);
        let even = || {
            let reached = counts(&picks().collect::<Vec<Backend>>());
            reached.into_iter().map(|(backend, _)| (backend, 1)).collect()
        };
        let weights: Vec<(Backend, u32)> = self.turns_in_sequence().unwrap_or_else(even);
        (self.mixed.len() >= LEAST_PACED).then(|| drift(picks(), &weights))
    }

    /// Whether requests side by side keep the pace of a rotation, or of several. What looks at load in several workers, each of which goes
    /// round by itself, wanders off, but slowly.
    pub(super) fn keeps_pace(&self) -> bool {
        let least = if self.may_count_apart() { LEAST_PACED_APART } else { LEAST_PACED };
        self.mixed.len() >= least && self.drift().is_some_and(|drift| drift <= PACE)
    }

    /// What requests side by side show, in the light of the weights that requests in sequence have, and of those that they have themselves
    /// where shares are far from even: HAProxy's least connections heeds weights under load alone.
    fn weighings(&self) -> Vec<SideBySide> {
        self.weightings().iter().map(|weights| SideBySide::of(&self.mixed, &self.failing, weights)).collect()
    }

    /// The weights that backends may have: backend, weight; empty for equal ones.
    fn weightings(&self) -> Vec<Vec<(Backend, u32)>> {
        let reached = counts(&self.mixed.iter().map(|flight| flight.pick.backend).collect::<Vec<Backend>>());
        let known = || reached.iter().filter(|(backend, _)| backend.is_known());
        let rarest = known().map(|(_, count)| *count).min().unwrap_or(0);
        let is_uneven = rarest >= 5 && known().any(|(_, count)| *count > rarest + rarest / 2);
        let own = known().map(|(backend, count)| (*backend, (count + rarest / 2) / rarest.max(1))).collect();
        [self.turns_in_sequence().unwrap_or_default()].into_iter().chain(is_uneven.then_some(own)).collect()
    }

    /// Whether all side by side went to one backend while others were idle, which is not by load.
    fn piles_up_at_one(&self) -> bool {
        let mut reached: Vec<Backend> = self.mixed.iter().map(|flight| flight.pick.backend).collect();
        reached.retain(|backend| backend.is_known());
        let overlaps = self.mixed.windows(2).filter(|pair| pair[0].to > pair[1].from).count();
        counts(&reached).len() == 1 && self.backends.is_some_and(|backends| backends > 1) && overlaps >= 60
    }

    fn mixed_load_of(&self, weighings: &[SideBySide]) -> LoadEffect {
        let sides = least_uphill(weighings);
        if self.piles_up_at_one() {
            return LoadEffect::Ignores;
        }
        let count = sides.seen.taken as f64;
        if sides.is_seldom() {
            if is_limited(&self.mixed) {
                return LoadEffect::Unknown;
            }
            // In turns among equals it goes on as if it were a rotation until loads differ.
            return LoadEffect::Follows { partly: count > sides.expected * 0.1, side_by_side: Some(sides.seen) };
        }
        // A rotation that goes on while loads differ ignores them.
        let is_as_often = count > sides.expected * 0.75 && !sides.is_less();
        if self.keeps_pace() && is_as_often && sides.seen.taken >= 10 {
            return LoadEffect::Ignores;
        }
        // What fails looks idle and is chosen for that.
        if sides.is_less() || !self.failing.is_empty() {
            return LoadEffect::Unknown;
        }
        // Turns that end as soon as requests go side by side are no rotation, and no draws either. Many workers that each look at their own
        // requests alone are more even than chance only in a long sample. Where others send too, it is not known what a balancer saw in flight.
        if self.turns_in_sequence().is_some() || !self.is_undisturbed() || self.sample.len() < LONG_SAMPLE {
            return LoadEffect::Unknown;
        }
        let sample = uphill(&self.sample_flights, &self.failing, &[]);
        if count > sides.expected * 0.6 && weighings.iter().all(|sides| sides.is_beyond_choice(BLIND_WORKERS, &sample))
        {
            return LoadEffect::Ignores;
        }
        LoadEffect::Unknown
    }
}

/// Where it went uphill most seldom, compared with what is expected.
fn least_uphill(weighings: &[SideBySide]) -> SideBySide {
    let share = |sides: &SideBySide| sides.seen.taken as f64 / sides.expected.max(1.0);
    let least = weighings.iter().min_by(|a, b| share(a).total_cmp(&share(b)));
    least.copied().unwrap_or_default()
}

/// Of what ignores load, that much is left where one worker in eight knows of a request that is held.
const OF_ONE_WORKER: f64 = 0.87;
/// Requests side by side that a rotation has to keep its pace for.
pub(super) const LEAST_PACED: usize = 200;
/// The same where several workers may each know of their own requests alone: of 240 requests one in a hundred such series keeps within that pace,
/// and each further 240 make it as many times rarer.
const LEAST_PACED_APART: usize = 960;
/// Requests of a sample in which the two choices of sixteen workers, each blind for the others, are surely more even than draws.
pub(super) const LONG_SAMPLE: usize = 10_000;
/// Turns from the farthest behind to the farthest ahead that several rotations give, and requests that overtake each other on a busy machine. What
/// looks at load, and what draws, is hardly ever within that (the bench `certainty`).
pub(super) const PACE: f64 = 4.0;
/// What takes longer may differ from backend to backend by more than a slow response.
const QUICK: Duration = Duration::from_millis(3);
/// Workers that each know of their own requests alone, beyond which two random choices side by side are not told from one.
const BLIND_WORKERS: u32 = 4;

impl Evidence {
    /// Whether requests side by side have shown already that load counts.
    pub(super) fn follows_load(&self) -> bool {
        !self.mixed.is_empty() && matches!(self.mixed_load_of(&self.weighings()), LoadEffect::Follows { .. })
    }

    /// Whether more requests side by side would not tell more. What a balancer that ignores load would have done is dear to find out, and
    /// asked only where it may settle this.
    pub(super) fn is_load_settled(&self) -> bool {
        let seems_chosen = |weights: &Vec<(Backend, u32)>| {
            let seen = uphill(&self.mixed, &self.failing, weights);
            seen.avoids_all() || seen.is_by_choice()
        };
        if !self.piles_up_at_one() && !self.keeps_pace() && !self.weightings().iter().any(seems_chosen) {
            return false;
        }
        let weighings = self.weighings();
        let sides = least_uphill(&weighings);
        match self.mixed_load_of(&weighings) {
            LoadEffect::Ignores => true,
            LoadEffect::Unknown => false,
            LoadEffect::Follows { .. } => sides.seen.avoids_all() || sides.seen.is_by_choice(),
        }
    }

    /// What looks at load side by side may look at the time of responses as well.
    pub(super) fn consider_time(&self, side_by_side: Option<Uphill>, inference: &mut Inference) {
        let may_be = match side_by_side {
            None => !self.surely_forgets(),
            Some(seen) => self.may_be_by_time(&seen),
        };
        inference.or.extend(may_be.then_some(Algorithm::LeastTime));
    }

    /// Whether what looks at load may look at the time of responses as well: unless it was seen to forget them, or to do nothing but even out
    /// what is in flight, also where that is much.
    fn may_be_by_time(&self, seen: &Uphill) -> bool {
        let is_beyond_time = self.after.is_empty() && seen.avoids_all() && seen.busy >= 60;
        !(self.surely_forgets() || is_beyond_time)
    }

    /// Whether a backend got more than twice as much as another where hardly anything was in flight.
    fn is_uneven_in_sequence(&self) -> bool {
        let times = counts(&backends(&self.fresh)).into_iter().map(|(_, count)| count);
        times.clone().max().unwrap_or(0) > times.min().unwrap_or(0) * 2
    }

    /// All to one, and to that one again after a slow response, is what the fastest gets too where others are slow. One of several slow
    /// responses that does not matter proves nothing where another did.
    fn surely_forgets(&self) -> bool {
        let is_by_speed = match self.order_so_far() {
            OrderPattern::One(_) => self.usual > QUICK,
            order => !order.is_of_one_rotation() && self.is_uneven_in_sequence(),
        };
        let is_avoided = (0..self.after.len()).any(|round| self.is_avoided(round));
        self.forgets() && !is_avoided && !is_by_speed
    }
}

impl Evidence {
    /// Names what avoids backends that have more in flight than others, side by side.
    pub(super) fn name_by_flights(&self, fresh: &OrderPattern, seen: &Uphill, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, TwoChoices};
        inference.set(LeastConnections);
        if !seen.avoids_all() {
            // Among idle backends two choices are chance; workers that see their own load alone are even.
            let is_chance = !self.kept.is_empty() && self.draws_alike() && matches!(fresh, OrderPattern::Chance);
            if is_chance && seen.is_by_choice() && self.forgets() {
                return inference.set(TwoChoices);
            }
            inference.or.push(TwoChoices);
        }
        if self.may_be_by_time(seen) {
            inference.or.push(LeastTime);
        }
        if !inference.or.is_empty() {
            inference.selection = Selection::ByLoad { how: LoadSelection::LeastConnectionsOrOther };
        }
    }

    /// Whether new connections in sequence are draws in which each backend is as likely as another.
    fn draws_alike(&self) -> bool {
        let times: Vec<u64> = counts(&backends(&self.fresh)).into_iter().map(|(_, count)| u64::from(count)).collect();
        multinomial(&times, &vec![1.0 / times.len() as f64; times.len()], 0.0).p > LIKELY
    }

    /// Names what avoids backends where a request is held.
    pub(super) fn name_by_holds(&self, partly: bool, even_in_series: bool, inference: &mut Inference) {
        use Algorithm::{LeastConnections, LeastTime, TwoChoices};
        // Least connections never picks a busy one while another is idle, also not for those that are held. With all busy but one, two
        // choices take a busy one a third of the time at least. One that was not under way yet, or not any more, is no proof.
        let spread: Vec<&Hold> = self.held_most.iter().filter(|hold| hold.is_spread()).collect();
        let others: usize = spread.iter().map(|hold| hold.others.len()).sum();
        let there: usize = spread.iter().map(|hold| hold.to_busy()).sum();
        let avoided = !spread.is_empty() && there * 10 < others;
        // Both choices of two are busy that often at most; what picks a busy one more often leaves out the idle one for another reason.
        let (busy, all) = self.most_busy();
        let (busy, all) = (busy as f64, all as f64);
        let by_choice = (busy / all).powi(2);
        if !spread.is_empty() && binomial_at_least(there as u64, others as u64, by_choice) < 1e-8 {
            inference.or = vec![LeastConnections, TwoChoices, LeastTime];
            inference.selection = Selection::ByLoad { how: LoadSelection::LeavesOutIdle };
            return;
        }
        // Of two choices, the same one twice or not, and of however many workers that count apart, the share of the busy grows by that much
        // from one that is busy to as many. What least connections send there, because the idle ones seemed busy a moment longer or another
        // worker held them, grows by less.
        let alone = self.beside_one();
        let grows = (busy * (busy - 1.0) / (all * (all - 1.0))).min((busy * busy - 1.0) / (all * all));
        let least = grows + alone.there as f64 / alone.others.max(1) as f64;
        let falls_short = binomial_at_most(there as u64, others as u64, least) < LIKELY;
        if !avoided && !spread.is_empty() && (falls_short || !self.is_by_two()) {
            inference.or = vec![LeastConnections, TwoChoices, LeastTime];
            inference.selection = Selection::ByLoad { how: LoadSelection::LeastConnectionsOrTwoChoices };
            return;
        }
        if !self.is_undisturbed() {
            // What others have in flight, or copies, may lead either of them to a backend that is busy for us.
            inference.or = vec![LeastConnections, TwoChoices];
            inference.selection = Selection::ByLoad { how: LoadSelection::ChangedByOthers };
            return;
        }
        self.consider_time(None, inference);
        let by_load = |how| Selection::ByLoad { how };
        (inference.kind, inference.selection) = match (self.held_most.is_empty(), avoided) {
            // The least loaded of many draws, with a few misses: HAProxy's `random(10)`.
            (false, true) if there > 0 => {
                inference.or.push(TwoChoices);
                (Some(LeastConnections), by_load(LoadSelection::LeastConnectionsOrSeveralChoices))
            }
            (false, true) => (Some(LeastConnections), by_load(LoadSelection::ChanceAmongEquals)),
            // Two random choices are chance while all are idle; what is even then are workers that each see their own load alone.
            (_, false) if partly && even_in_series => match self.leaves_rotations_afterwards() {
                Some(true) => (Some(LeastTime), Selection::ByLoadOfEachWorker { algorithm: LeastTime }),
                seen => {
                    let is_open = seen.is_none() && !self.beside.is_empty();
                    inference.or.extend(is_open.then_some(LeastTime));
                    (Some(LeastConnections), Selection::ByLoadOfEachWorker { algorithm: LeastConnections })
                }
            },
            // Three choices leave a busy one less often, if not by much.
            (false, false) if binomial_at_least(there as u64, others as u64, (busy / all).powi(3)) > LIKELY => {
                (Some(TwoChoices), by_load(LoadSelection::SeveralChoices))
            }
            (false, false) => (Some(TwoChoices), TwoChoices.into()),
            (true, _) if partly && !self.is_by_two() => {
                inference.or = vec![LeastConnections, TwoChoices, LeastTime];
                (None, by_load(LoadSelection::InPart))
            }
            // The least connections of two workers, each blind for the other, give one of two as much.
            (true, _) if partly => {
                inference.or.push(LeastConnections);
                (Some(TwoChoices), by_load(LoadSelection::LeastConnectionsOrTwoChoices))
            }
            (true, _) => {
                inference.or.push(TwoChoices);
                (Some(LeastConnections), by_load(LoadSelection::LeastConnectionsOrTwoChoices))
            }
        };
    }

    /// How many backends were kept busy at once where it was most of them, of how many.
    fn most_busy(&self) -> (usize, usize) {
        let busy = self.held_most.iter().filter(|hold| hold.is_spread()).map(|hold| hold.busy.len()).max().unwrap_or(1);
        (busy, counts(&backends(&self.fresh)).len().max(busy + 1))
    }

    /// Whether a busy backend gets no more than two draws, each of which is any backend as likely as another, would send there.
    fn is_by_two(&self) -> bool {
        let BesideHolds { there, others, .. } = self.beside_one();
        let all = counts(&backends(&self.fresh)).len().max(1) as f64;
        binomial_at_least(there, others, (1.0 / all).powi(2)) > LIKELY
    }

    /// Names what avoids a backend that was slow once.
    pub(super) fn name_least_time(&self, names: &[String], inference: &mut Inference) {
        inference.set(Algorithm::LeastTime);
        if let Some((slow, there, others, usual)) = (0..self.after.len()).find_map(|round| self.memory(round)) {
            let backend = name(names, slow).to_owned();
            let facts = ExperimentFacts::AfterSlow { backend, requests: others, there, usual };
            // Nothing else remembers.
            inference.exclude(facts, &Algorithm::ALL);
        }
    }
}
