//! What follows from the evidence: a name, or several, and why.

use serde::{Deserialize, Serialize};

use super::Algorithm;
use super::evidence::Key;
use super::result::{ExperimentFacts, ExperimentResult, OrderFacts};
use super::selection::Selection;
use crate::observation::Backend;

/// What follows from the evidence.
#[derive(Clone, PartialEq, Debug)]
pub struct Inference {
    /// None if nothing fits, or if too much does.
    pub kind: Option<Algorithm>,
    /// What it may be as well: what no experiment excludes.
    pub or: Vec<Algorithm>,
    /// How it selects, in more detail than a name has.
    pub selection: Selection,
    /// Whether connections are balanced, and all requests of one go the same way.
    pub per_connection: bool,
    /// Whether that was tried.
    pub is_unit_known: bool,
    /// What it keys on.
    pub key: Option<Key>,
    /// The turns that repeat.
    pub turns: Option<Vec<Backend>>,
    /// How often each backend has its turn, where it has turns.
    pub weights: Vec<(Backend, u32)>,
    /// Independent rotations seen, at least; None if that has no meaning or is not known.
    pub rotations: Option<u32>,
    /// How often the rotation was left.
    pub exceptions: usize,
    /// Where it was left though no backend failed, nobody else sent anything and nothing was in flight.
    pub breaks: Option<RotationBreaks>,
    /// Of a hash: requests of one value at once that went elsewhere than one by one, of how many; none if it has no bound that shows.
    pub bound: Option<(usize, usize)>,
    /// Whether all that is not among the names is excluded, though none is certain.
    pub excludes_others: bool,
    /// What goes by a key that requests usually lack, and was not tried: that the others follow another rule does not exclude it.
    pub untried: Vec<Algorithm>,
    /// What each experiment showed.
    pub evidence: Vec<ExperimentResult>,
    /// What the reader should know of it besides.
    pub remark: Option<AlgorithmRemark>,
}

/// What the reader should know besides the name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlgorithmRemark {
    /// A limit of requests at a time hides whether load counts.
    Limit,
    /// All to one in sequence, and several backends under load.
    FillsInOrder,
    /// Each worker process, or each balancer, has a rotation of its own.
    SeveralRotations,
    /// Even and without order, as rotations of several workers or balancers are.
    SeveralWorkers,
    /// A fixed order as a ring of hashes has its points, which requests without the key go through.
    Ring,
    /// The same, though the user has named keys: it is another one.
    RingOfAnotherKey,
    /// A second rule sends some requests to a backend that has no turn.
    Canary,
    /// The first request of each connection reaches the same backend.
    FirstOfConnections,
    /// Backends got their first requests while the check ran.
    Joined,
    /// Some connections keep to a backend, and others do not.
    KeptConnections,
}

/// Where a rotation was left for no reason that shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RotationBreaks {
    /// Requests one after the other.
    pub requests: usize,
    /// Numbers of those that did not go where the rotation would have sent them; a single one only where too few followed to tell
    /// whether it is left again.
    pub at: Vec<u32>,
    /// The number of requests between two of them, if it is constant.
    pub every: Option<usize>,
}

impl Inference {
    /// That name and nothing else, without evidence.
    pub(crate) fn of(kind: Option<Algorithm>, selection: Selection) -> Inference {
        Inference {
            kind,
            or: Vec::new(),
            selection,
            per_connection: false,
            is_unit_known: true,
            key: None,
            turns: None,
            weights: Vec::new(),
            rotations: None,
            exceptions: 0,
            breaks: None,
            bound: None,
            excludes_others: false,
            untried: Vec::new(),
            evidence: Vec::new(),
            remark: None,
        }
    }

    /// Names the algorithm, and knows no more of how it selects.
    pub(super) fn set(&mut self, algorithm: Algorithm) {
        (self.kind, self.selection) = (Some(algorithm), algorithm.into());
    }

    /// What is left of it where a limit refused requests of the experiments: what each showed, and which unit is balanced.
    pub fn behind_a_limit(self) -> Inference {
        let Inference { per_connection, is_unit_known, evidence, .. } = self;
        let open = Inference::of(None, Selection::BehindALimit);
        Inference { per_connection, is_unit_known, evidence, ..open }
    }

    /// The name, if it is certain: nothing else fits.
    pub fn certain(&self) -> Option<Algorithm> {
        self.kind.filter(|_| self.or.is_empty())
    }

    /// Everything that it may be; empty if that could be anything.
    pub fn candidates(&self) -> Vec<Algorithm> {
        self.kind.into_iter().chain(self.or.iter().copied()).collect()
    }
}

impl Inference {
    /// Requests of the experiments whose client, address or value had a backend before, and kept it.
    pub(crate) fn stayed(&self) -> u64 {
        let is_by_address = self.kind == Some(Algorithm::Source);
        let kept = |result: &ExperimentResult| match &result.facts {
            // All experiments come from one address, unless they vary it.
            ExperimentFacts::NewConnections { requests, order: OrderFacts::One { .. } } if is_by_address => {
                requests.saturating_sub(1)
            }
            ExperimentFacts::Key { values, requests, spread, .. }
                if spread.moved == 0 && (spread.backends > 1 || is_by_address) =>
            {
                values * requests.saturating_sub(1)
            }
            ExperimentFacts::GivenCookies { clients, requests, spread, .. } if spread.moved == 0 => {
                clients * requests.saturating_sub(1)
            }
            _ => 0,
        };
        self.evidence.iter().map(kept).sum()
    }

    /// Requests in sequence with which the only rotation that was seen went round without an exception.
    pub(crate) fn in_turn(&self) -> u64 {
        let rotates = matches!(self.certain(), Some(Algorithm::RoundRobin | Algorithm::WeightedRoundRobin));
        if !rotates || self.rotations != Some(1) || self.exceptions > 0 {
            return 0;
        }
        let goes_round =
            |order: &OrderFacts| matches!(order, OrderFacts::Turns { exceptions: 0, .. } | OrderFacts::Blocks { .. });
        let turned = |result: &ExperimentResult| match &result.facts {
            ExperimentFacts::NewConnections { requests, order }
            | ExperimentFacts::OneConnection { requests, order }
                if goes_round(order) =>
            {
                *requests
            }
            _ => 0,
        };
        self.evidence.iter().map(turned).sum()
    }

    /// Adds an experiment that excludes nothing by itself.
    pub(super) fn note(&mut self, facts: ExperimentFacts) {
        self.exclude(facts, &[]);
    }

    /// Adds an experiment, and what it excludes.
    pub(super) fn exclude(&mut self, facts: ExperimentFacts, excludes: &[Algorithm]) {
        self.evidence.push(ExperimentResult { facts, excludes: excludes.to_vec() });
    }

    /// What is left open after all is not excluded by anything.
    pub(super) fn reconcile(&mut self) {
        let candidates = self.candidates();
        let may_be_anything = self.kind.is_none() && !self.excludes_others;
        for result in &mut self.evidence {
            let is_open = |algorithm: &Algorithm| candidates.contains(algorithm) || self.untried.contains(algorithm);
            result.excludes.retain(|excluded| !may_be_anything && !is_open(excluded));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::algorithm::evidence::{Evidence, Hold, KeyTrial, Pick, backends};
    use crate::algorithm::missing::{Missing, SkipReason};
    use crate::algorithm::order::OrderPattern;
    use crate::observation::Backend;

    /// What 600 new connections and then 150 requests on one show of a balancer whose turns are numbered.
    fn of_turns(backend: impl Fn(u32) -> u16) -> Inference {
        let picks = |turns: Range<u32>| -> Vec<Pick> {
            turns.map(|sequence| Pick { sequence, backend: Backend(backend(sequence)) }).collect()
        };
        let evidence =
            Evidence { fresh: picks(0..600), kept: picks(600..750), backends: Some(3), ..Evidence::default() };
        evidence.infer(&["a", "b", "c"].map(str::to_owned))
    }

    #[test]
    fn a_turn_that_is_skipped_is_found_wherever_the_experiments_begin() {
        for begin in 0..97 {
            let seen = of_turns(|turn| ((turn + begin + (turn + begin) / 97) % 3) as u16);
            assert_eq!(seen.kind, Some(Algorithm::RoundRobin), "{begin}: {seen:#?}");
            assert_eq!(seen.breaks.and_then(|breaks| breaks.every), Some(97), "{begin}");
        }
    }

    #[test]
    fn a_ring_that_is_gone_through_without_a_key_is_no_fault_and_bursts_are_one() {
        // Sixteen points of each on a ring, as HAProxy 2.6 has them for `balance hdr(x)` with `hash-type consistent`.
        let ring = "baabcbaaccbcabbaccabacbbcaabccbabcabccaabcbabcac";
        let points: Vec<u16> = ring.bytes().map(|letter| u16::from(letter - b'a')).collect();
        let seen = of_turns(|turn| points[turn as usize % points.len()]);
        assert!(!seen.excludes_others && seen.kind.is_none(), "{seen:#?}");
        assert!(seen.or.contains(&Algorithm::Header) && seen.or.contains(&Algorithm::Cookie), "{seen:#?}");
        assert!(!seen.or.contains(&Algorithm::RoundRobin), "{seen:#?}");
        for length in [10, 20, 50, 100] {
            let seen = of_turns(|turn| (turn / length % 3) as u16);
            assert!(seen.excludes_others && seen.kind.is_none(), "{length}: {seen:#?}");
            assert!(!seen.or.contains(&Algorithm::RoundRobin), "{length}: {seen:#?}");
        }
        // What one connection shows is too short here.
        assert_eq!(of_turns(|turn| (turn / 20 % 10) as u16).kind, None);
    }

    #[test]
    fn a_backend_that_bursts_leave_alone_for_long_is_not_avoided_for_a_slow_response() {
        let picks = |turns: Range<u32>| -> Vec<Pick> {
            turns.map(|sequence| Pick { sequence, backend: Backend((sequence / 100 % 3) as u16) }).collect()
        };
        let after = vec![Hold { busy: vec![Backend(1)], others: picks(800..933) }];
        let evidence =
            Evidence { fresh: picks(0..600), kept: picks(600..750), after, backends: Some(3), ..Evidence::default() };
        assert!(!evidence.is_avoided(0) && !evidence.remembers());
    }

    #[test]
    fn a_burst_that_ends_at_a_slow_response_shows_no_memory_of_it() {
        // The 200 requests before show no span without the backend in the middle.
        let picks = |turns: Range<u32>| -> Vec<Pick> {
            turns.map(|sequence| Pick { sequence, backend: Backend((sequence / 100 % 3) as u16) }).collect()
        };
        let evidence = |after| Evidence { fresh: picks(50..250), after, backends: Some(3), ..Evidence::default() };
        let slow =
            |turn: u32| Hold { busy: vec![Backend((turn / 100 % 3) as u16)], others: picks(turn + 1..turn + 101) };
        assert!(evidence(vec![slow(499)]).is_avoided(0));
        assert!(!evidence(vec![slow(499)]).remembers());
        assert!(!evidence(vec![slow(499), slow(899)]).remembers());
    }

    #[test]
    fn what_turns_to_another_backend_by_itself_shows_no_memory() {
        let picks = |backend: u16, count: u32| -> Vec<Pick> {
            (0..count).map(|sequence| Pick { sequence, backend: Backend(backend) }).collect()
        };
        let slow = |backend: u16, next: u16| Hold { busy: vec![Backend(backend)], others: picks(next, 133) };
        let slow_rounds = [slow(0, 1), slow(1, 2), slow(2, 0)];
        let evidence = |rounds: usize, steady: Vec<Pick>| {
            let after = slow_rounds[..rounds].to_vec();
            Evidence { fresh: picks(0, 96), steady, after, backends: Some(3), ..Evidence::default() }
        };
        assert!(evidence(3, picks(0, 1_000)).remembers());
        // Once it may be by chance that it was then, and what changes on its own does so each time.
        assert!(!evidence(1, picks(0, 1_000)).remembers());
        assert!(!evidence(3, [picks(0, 900), picks(1, 100)].concat()).remembers());
    }

    #[test]
    fn a_break_that_too_few_requests_followed_is_not_forgotten() {
        let picks = |turns: Range<u32>| -> Vec<Pick> {
            turns
                .map(|sequence| Pick { sequence, backend: Backend(((sequence + sequence / 250) % 3) as u16) })
                .collect()
        };
        let breaks = |kept: Range<u32>| {
            let evidence =
                Evidence { fresh: picks(0..200), kept: picks(kept), backends: Some(3), ..Evidence::default() };
            evidence.infer(&[]).breaks.map(|breaks| breaks.at)
        };
        assert_eq!(breaks(200..350), Some(vec![250]));
        assert_eq!(breaks(250..350), None);
        assert_eq!(breaks(200..620), Some(vec![250, 500]));
    }

    #[test]
    fn what_reaches_nobody_for_a_while_is_no_burst() {
        let seen = of_turns(|turn| if turn > 200 { Backend::UNKNOWN.0 } else { (turn % 3) as u16 });
        assert!(seen.selection != Selection::Bursts && !seen.excludes_others, "{seen:#?}");
    }

    #[test]
    fn several_dead_backends_are_no_weight_of_one() {
        let dead = |all: &'static [u32]| {
            of_turns(move |turn| if all.contains(&(turn % 10)) { Backend::UNKNOWN.0 } else { (turn % 10) as u16 })
        };
        let two = dead(&[1, 6]);
        assert_eq!((two.kind, two.certain()), (Some(Algorithm::RoundRobin), None), "{two:#?}");
        assert_eq!(two.or.last(), Some(&Algorithm::LeastTime));
        assert!(two.or.contains(&Algorithm::WeightedRoundRobin), "{two:#?}");
        assert!(!dead(&[1]).or.contains(&Algorithm::WeightedRoundRobin));
        // Every fifth new one is refused, whosever turn it is.
        let refused = of_turns(|turn| if turn % 5 == 4 && turn < 600 { Backend::UNKNOWN.0 } else { (turn % 3) as u16 });
        assert_eq!((refused.kind, refused.certain()), (Some(Algorithm::RoundRobin), None), "{refused:#?}");
        assert!(refused.or.contains(&Algorithm::WeightedRoundRobin));
    }

    #[test]
    fn a_rotation_beside_a_canary_is_not_the_whole_truth() {
        let seen = of_turns(|turn| if turn % 131 == 60 { 2 } else { (turn % 2) as u16 });
        assert_eq!((seen.kind, seen.breaks), (None, None), "{:?}", seen.selection);
        assert!(seen.or.contains(&Algorithm::RoundRobin));
        let Selection::RotationBesides { turns, others, .. } = seen.selection else { panic!("{:?}", seen.selection) };
        assert_eq!((turns, others), (vec!["a".to_owned(), "b".to_owned()], vec!["c".to_owned()]));
        // One that gets nothing at all takes no part.
        assert_eq!(of_turns(|turn| (turn % 2) as u16).kind, Some(Algorithm::RoundRobin));
    }

    #[test]
    fn new_connections_and_requests_on_one_that_rotate_otherwise_have_no_rotation_in_common() {
        for every in [7, 16, 50] {
            // One new connection in `every` goes to the second backend, and those that are kept are none of these.
            let mut turn = 0;
            let mut picks = |numbers: Range<u32>, strays: bool| -> Vec<Pick> {
                let pick = |sequence: u32| {
                    let is_stray = strays && sequence % every == every - 1;
                    turn += u16::from(!is_stray);
                    Pick { sequence, backend: Backend(if is_stray { 1 } else { turn % 3 }) }
                };
                numbers.map(pick).collect()
            };
            let (fresh, kept) = (picks(0..600, true), picks(600..750, false));
            let evidence = Evidence { fresh, kept, backends: Some(3), ..Evidence::default() };
            let seen = evidence.infer(&["a", "b", "c"].map(str::to_owned));
            assert_eq!(seen.kind, None, "{every}: {seen:#?}");
            assert!(matches!(seen.selection, Selection::RotationsByConnection { .. }), "{every}: {:?}", seen.selection);
            assert!(seen.or.contains(&Algorithm::RoundRobin));
        }
    }

    #[test]
    fn what_workers_nearly_repeat_together_is_no_rotation_with_weights() {
        // Of two workers the second takes a connection now and then, nearly at even intervals.
        let pick = |sequence: u32| {
            let turn = if sequence % 14 < 12 { sequence % 14 % 3 } else { sequence % 14 - 11 };
            let is_stray = sequence % 97 == 96;
            Pick { sequence, backend: Backend(if is_stray { turn + 1 } else { turn } as u16 % 3) }
        };
        let fresh: Vec<Pick> = (0..600).map(pick).collect();
        assert!(
            matches!(OrderPattern::of(&backends(&fresh)), OrderPattern::Turns { exceptions: 1.., period } if period.len() == 14)
        );
        let kept = (600..750).map(|sequence| Pick { sequence, backend: Backend(sequence as u16 % 3) }).collect();
        let seen = Evidence { fresh, kept, backends: Some(3), ..Evidence::default() }
            .infer(&["a", "b", "c"].map(str::to_owned));
        assert_eq!(seen.kind, Some(Algorithm::RoundRobin), "{seen:#?}");
    }

    #[test]
    fn a_strict_rotation_is_no_draw_where_nothing_waits_for_a_place() {
        let of = |in_turn: bool| {
            let fresh = (0..200).map(|sequence| Pick { sequence, backend: Backend(sequence as u16 % 3) }).collect();
            let evidence = Evidence { fresh, in_turn, backends: Some(3), ..Evidence::default() };
            evidence.infer(&["a", "b", "c"].map(str::to_owned)).candidates()
        };
        assert!(of(false).contains(&Algorithm::Random));
        let one_by_one = of(true);
        assert!(one_by_one.contains(&Algorithm::LeastConnections) && !one_by_one.contains(&Algorithm::Random));
    }

    #[test]
    fn a_backend_that_joins_the_rotation_later_is_no_canary() {
        let joins = |at: u32| {
            let picks = |turns: Range<u32>| -> Vec<Pick> {
                let pick = |turn: u32| if turn < at { turn % 2 } else { turn % 3 };
                turns.map(|sequence| Pick { sequence, backend: Backend(pick(sequence) as u16) }).collect()
            };
            let sample = picks(750..3_000).into_iter().map(|pick| pick.backend).collect();
            let (fresh, kept) = (picks(0..600), picks(600..750));
            Evidence { fresh, kept, sample, backends: Some(3), ..Evidence::default() }
                .infer(&["a", "b", "c"].map(str::to_owned))
        };
        for at in [600, 700, 750, 1_200, 2_900] {
            let seen = joins(at);
            assert_eq!(seen.kind, None, "{at}");
            let Selection::RotationAtFirst { turns, others } = seen.selection else {
                panic!("{at}: {:?}", seen.selection)
            };
            assert_eq!((turns.join(""), others.join("")), ("ab".to_owned(), "c".to_owned()), "{at}");
        }
        assert_eq!(joins(100).kind, Some(Algorithm::RoundRobin));
    }

    #[test]
    fn connections_that_all_begin_with_the_same_backend_rotate_each_by_itself() {
        let rows = |row: fn(u32) -> u16| -> Vec<Vec<Pick>> {
            let pick = |sequence: u32| Pick { sequence, backend: Backend(row(sequence)) };
            (0..16).map(|_| (0..3).map(pick).collect()).collect()
        };
        let of = |row: fn(u32) -> u16| {
            let fresh = (0..96).map(|sequence| Pick { sequence, backend: Backend(0) }).collect();
            let connections = KeyTrial { rows: rows(row) };
            let evidence = Evidence { fresh, connections, backends: Some(3), ..Evidence::default() };
            evidence.infer(&["a", "b", "c"].map(str::to_owned))
        };
        let seen = of(|place| place as u16);
        let Selection::ByPlaceOnConnection { round } = seen.selection else { panic!("{:?}", seen.selection) };
        assert_eq!((round.join(""), seen.kind), ("abc".to_owned(), None));
        let all_to_one = of(|_| 0);
        assert!(matches!(all_to_one.selection, Selection::AllToOneUntried { .. }), "{:?}", all_to_one.selection);
    }

    #[test]
    fn a_backend_that_joins_while_requests_are_held_takes_from_all_and_not_from_the_busy() {
        let picks = |backends: &[u16], numbers: Range<u32>| -> Vec<Pick> {
            let backend = |sequence: u32| Backend(backends[sequence as usize % backends.len()]);
            numbers.map(|sequence| Pick { sequence, backend: backend(sequence) }).collect()
        };
        // Beside what is held at the first, and then at the second of two that were there.
        let of = |beside_first: &[u16], beside_second: &[u16]| {
            let held = |busy: u16, others: &[u16]| Hold { busy: vec![Backend(busy)], others: picks(others, 0..260) };
            let evidence = Evidence {
                fresh: picks(&[0, 1], 0..600),
                kept: picks(&[0, 1], 600..750),
                held_one: vec![held(0, beside_first), held(1, beside_second)],
                backends: Some(3),
                ..Evidence::default()
            };
            evidence.infer(&["a", "b", "c"].map(str::to_owned)).candidates()
        };
        let rotates = of(&[0, 1, 2], &[0, 1, 2]);
        assert!(rotates.contains(&Algorithm::RoundRobin), "{rotates:?}");
        assert!(!rotates.contains(&Algorithm::LeastConnections), "{rotates:?}");
        let by_load = of(&[1, 2], &[0, 2]);
        assert!(by_load.contains(&Algorithm::LeastConnections), "{by_load:?}");
        assert!(!by_load.contains(&Algorithm::RoundRobin), "{by_load:?}");
    }

    #[test]
    fn what_goes_to_others_under_load_alone_has_not_changed() {
        let of = |sample: &dyn Fn(u32) -> u16| {
            let to_first = |numbers: Range<u32>| -> Vec<Pick> {
                numbers.map(|sequence| Pick { sequence, backend: Backend(0) }).collect()
            };
            let evidence = Evidence {
                fresh: to_first(0..96),
                held_one: vec![Hold { busy: vec![Backend(0)], others: to_first(96..500) }],
                keys: [Key::Path, Key::Host].map(|key| (key, KeyTrial { rows: vec![to_first(0..3); 24] })).to_vec(),
                sample: (0..1_000).map(|at| Backend(sample(at))).collect(),
                backends: Some(3),
                ..Evidence::default()
            };
            evidence.infer(&["a", "b", "c"].map(str::to_owned)).selection
        };
        // The slowest gets a few at the beginning alone.
        let by_load = |at: u32| if at < 9 && at.is_multiple_of(3) { 2 } else { u16::from(at.is_multiple_of(5)) };
        assert_eq!(of(&by_load), Selection::AllToOneUntilLoad);
        assert_eq!(of(&|at| u16::from(at > 500)), Selection::Changed);
    }

    #[test]
    fn paths_that_led_to_no_backend_do_not_say_that_paths_decide_nothing() {
        let of = |path_rows: Vec<Vec<Pick>>| {
            let to_first = |numbers: Range<u32>| -> Vec<Pick> {
                numbers.map(|sequence| Pick { sequence, backend: Backend(0) }).collect()
            };
            let host = KeyTrial { rows: vec![to_first(0..3); 24] };
            let evidence = Evidence {
                fresh: to_first(0..96),
                held_one: vec![Hold { busy: vec![Backend(0)], others: to_first(96..500) }],
                keys: vec![(Key::Host, host), (Key::Path, KeyTrial { rows: path_rows })],
                sample: vec![Backend(0); 1_000],
                backends: Some(2),
                ..Evidence::default()
            };
            evidence.infer(&["a", "b"].map(str::to_owned))
        };
        // As behind `location = /one`, where NGINX itself responds to others.
        let unreached = of(vec![Vec::new(); 24]);
        assert!(unreached.kind.is_none() && unreached.candidates().contains(&Algorithm::Uri), "{unreached:#?}");
        let reached = of(vec![vec![Pick { sequence: 0, backend: Backend(0) }; 3]; 24]);
        assert!(!reached.candidates().contains(&Algorithm::Uri), "{reached:#?}");
    }

    #[test]
    fn a_rotation_that_seldom_comes_to_a_backend_is_not_said_to_be_several() {
        // As Traefik gives 50:1, whose fractions add up to a turn more now and then.
        let mut sequence = 0;
        let mut picks = |count: usize| -> Vec<Pick> {
            let picks = (0..count).map(|_| {
                sequence += 1;
                Pick { sequence, backend: Backend(u16::from(matches!(sequence % 202, 50 | 101 | 151 | 201))) }
            });
            picks.collect()
        };
        let (fresh, kept, others) = (picks(600), picks(150), picks(4_000));
        let held_one = vec![Hold { busy: vec![Backend(0)], others }];
        let sample = picks(3_000).into_iter().map(|pick| pick.backend).collect();
        let evidence = Evidence { fresh, kept, held_one, sample, backends: Some(2), ..Evidence::default() };
        let seen = evidence.infer(&[]);
        assert_eq!(seen.kind, Some(Algorithm::WeightedRoundRobin), "{seen:#?}");
        assert_eq!((seen.rotations, seen.remark), (None, None));
    }

    #[test]
    fn what_comes_in_bursts_may_follow_load_though_what_is_held_gets_its_share() {
        // Draws that count twice: in bursts, and in blocks not surely less even than chance.
        let mut state = 88_172_645_463_325_252u64;
        let mut sequence = 0;
        let mut picks = |count: u32| -> Vec<Pick> {
            let draws = (0..count / 2).flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                [Backend((state % 3) as u16); 2]
            });
            let numbered = draws.map(|backend| {
                sequence += 1;
                Pick { sequence, backend }
            });
            numbered.collect()
        };
        let (fresh, kept) = (picks(600), picks(300));
        assert_eq!(OrderPattern::of(&backends(&fresh)), OrderPattern::Unclear);
        let held_one = (0..12).map(|round| Hold { busy: vec![Backend(round % 3)], others: picks(200) }).collect();
        let evidence = Evidence { fresh, kept, held_one, backends: Some(3), ..Evidence::default() };
        let seen = evidence.infer(&[]);
        assert!(seen.excludes_others && seen.or.contains(&Algorithm::LeastTime), "{seen:#?}");
    }

    #[test]
    fn a_cookie_of_a_balancer_that_selects_by_address_may_keep_clients_too() {
        let picks = |turns: Range<u32>, backend: u16| -> Vec<Pick> {
            turns.map(|sequence| Pick { sequence, backend: Backend(backend) }).collect()
        };
        let rows = (0..24).map(|value| picks(700 + 3 * value..703 + 3 * value, (value % 3) as u16)).collect();
        let keys = vec![(Key::Host, KeyTrial { rows })];
        let evidence = Evidence { fresh: picks(0..600, 1), keys, backends: Some(3), ..Evidence::default() };
        let untried = |missing: Vec<Missing>| {
            let seen = Evidence { missing, ..evidence.clone() }.infer(&["a", "b", "c"].map(str::to_owned));
            assert_eq!(seen.kind, Some(Algorithm::Source));
            seen.untried.contains(&Algorithm::Sticky)
        };
        assert!(untried(vec![Missing::Jar(SkipReason::AllToOne)]) && !untried(Vec::new()));
    }

    #[test]
    fn a_hash_of_a_header_that_was_not_tried_is_not_excluded_by_a_rotation_of_requests_without_it() {
        let picks = |turns: Range<u32>| -> Vec<Pick> {
            turns.map(|sequence| Pick { sequence, backend: Backend((sequence % 3) as u16) }).collect()
        };
        let missing = vec![Missing::Header(SkipReason::NoTime)];
        let evidence = Evidence { fresh: picks(0..600), kept: picks(600..750), missing, ..Evidence::default() };
        let seen = evidence.infer(&["a", "b", "c"].map(str::to_owned));
        assert_eq!((seen.kind, seen.untried), (Some(Algorithm::RoundRobin), vec![Algorithm::Header]));
    }
}
