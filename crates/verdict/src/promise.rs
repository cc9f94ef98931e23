//! Which shares an algorithm promises to whom. Rules, reports, live view and demo ask here.

use crate::algorithm::Algorithm;

/// What an algorithm promises of the requests that each backend gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// Exact shares: each rotation is never further off than its own schedule.
    Rotation,
    /// Each request is an independent draw by the configured weights. Balancers that draw from a hash ring (HAProxy's
    /// `random`) have arcs that differ by some 20 %, so only the user's word makes even shares a requirement.
    Draw,
    /// No shares of requests: a key, the load or the configuration decides.
    Nothing,
}

impl Promise {
    /// What that algorithm promises.
    pub fn of(algorithm: Algorithm) -> Promise {
        match algorithm {
            Algorithm::RoundRobin | Algorithm::WeightedRoundRobin => Promise::Rotation,
            Algorithm::Random => Promise::Draw,
            Algorithm::TwoChoices | Algorithm::LeastConnections | Algorithm::LeastTime => Promise::Nothing,
            Algorithm::Source | Algorithm::Uri | Algorithm::Header | Algorithm::Cookie => Promise::Nothing,
            Algorithm::Body | Algorithm::Sticky | Algorithm::One => Promise::Nothing,
        }
    }
}

/// What a balancer was configured to do with a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// It takes its share while it is ready.
    #[default]
    Active,
    /// It gets requests while no active backend is ready.
    Backup,
    /// It gets no requests, whatever happens to the others.
    Down,
}

/// A backend as far as shares go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareParty {
    /// Relative to the others.
    pub weight: u32,
    /// Its role in the balancer's configuration.
    pub role: Role,
    /// Whether it takes requests now.
    pub ready: bool,
}

/// The share of each backend; none if the algorithm promises no shares, or if nobody is there to get any.
pub fn shares(algorithm: Algorithm, parts: &[ShareParty]) -> Option<Vec<f64>> {
    match Promise::of(algorithm) {
        Promise::Rotation | Promise::Draw => by_weight(parts),
        Promise::Nothing => None,
    }
}

/// The weights of those whose turn it is, as shares. Backups count only while no active backend is ready.
pub fn by_weight(parts: &[ShareParty]) -> Option<Vec<f64>> {
    let of = |role: Role| {
        let weight = |part: &ShareParty| if part.ready && part.role == role { f64::from(part.weight) } else { 0.0 };
        let weights: Vec<f64> = parts.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        (sum > 0.0).then(|| weights.into_iter().map(|weight| weight / sum).collect())
    };
    of(Role::Active).or_else(|| of(Role::Backup))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: ShareParty = ShareParty { weight: 1, role: Role::Active, ready: true };
    const BACKUP: ShareParty = ShareParty { role: Role::Backup, ..ACTIVE };

    #[test]
    fn a_backup_is_promised_nothing_while_an_active_backend_is_ready() {
        let shares = |parts: &[ShareParty]| shares(Algorithm::RoundRobin, parts);
        assert_eq!(shares(&[ACTIVE, ACTIVE, BACKUP]), Some(vec![0.5, 0.5, 0.0]));
        let gone = ShareParty { ready: false, ..ACTIVE };
        assert_eq!(shares(&[gone, ACTIVE, BACKUP]), Some(vec![0.0, 1.0, 0.0]));
        assert_eq!(shares(&[gone, gone, BACKUP]), Some(vec![0.0, 0.0, 1.0]));
        assert_eq!(shares(&[gone, gone, ShareParty { role: Role::Down, ..ACTIVE }]), None);
        assert_eq!(shares(&[]), None);
    }

    #[test]
    fn weights_are_shares_where_the_algorithm_promises_any() {
        let parts = [ShareParty { weight: 3, ..ACTIVE }, ACTIVE];
        for algorithm in Algorithm::ALL {
            let promised = Promise::of(algorithm) != Promise::Nothing;
            assert_eq!(shares(algorithm, &parts), promised.then(|| vec![0.75, 0.25]), "{algorithm}");
        }
    }
}
