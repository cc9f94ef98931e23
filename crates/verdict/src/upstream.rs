//! What the balancer held to backends: how many connections, and how many requests at once on one.

use std::collections::BTreeMap;

use crate::Moment;
use crate::observation::Backend;

/// Requests of a run as they shared connections to backends.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UpstreamConnections {
    /// By backend and number: when each request came, and when its response had been written.
    seen: BTreeMap<(Backend, u64), Vec<(Moment, Moment)>>,
    count: usize,
}

/// How the balancer uses connections to one backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UpstreamUse {
    /// The backend.
    pub backend: Backend,
    /// Connections on which requests of the run came.
    pub connections: u64,
    /// The most requests at once on one of them.
    pub at_once: u64,
}

/// Requests that are kept, 16 bytes each.
const MOST: usize = 1 << 18;

impl UpstreamConnections {
    /// Counts a request on that connection of a backend. Of many the first are looked at.
    pub fn see(&mut self, backend: Backend, connection: u64, received: Moment, responded: Moment) {
        if self.count < MOST {
            self.count += 1;
            self.seen.entry((backend, connection)).or_default().push((received, responded));
        }
    }

    /// From here on backends have other places.
    pub fn rename(&mut self, new: impl Fn(Backend) -> Backend) {
        let old = std::mem::take(&mut self.seen);
        self.seen =
            old.into_iter().map(|((backend, connection), requests)| ((new(backend), connection), requests)).collect();
    }

    /// Whether the balancer used connections again.
    pub fn are_kept(&self) -> bool {
        self.seen.values().any(|requests| requests.len() > 1)
    }

    /// What each backend had.
    pub fn each(&self) -> Vec<UpstreamUse> {
        let mut each: Vec<UpstreamUse> = Vec::new();
        for ((backend, _), requests) in &self.seen {
            let at_once = most_at_once(requests);
            match each.last_mut().filter(|last| last.backend == *backend) {
                Some(last) => (last.connections, last.at_once) = (last.connections + 1, last.at_once.max(at_once)),
                None => each.push(UpstreamUse { backend: *backend, connections: 1, at_once }),
            }
        }
        each
    }
}

fn most_at_once(requests: &[(Moment, Moment)]) -> u64 {
    // At the same moment what ends goes before what begins.
    let begins = requests.iter().map(|(begin, _)| (*begin, 1));
    let ends = requests.iter().map(|(begin, end)| ((*end).max(Moment(begin.0 + 1)), -1));
    let mut changes: Vec<(Moment, i64)> = begins.chain(ends).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    u64::try_from(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_follow_each_other_share_a_connection_one_at_a_time() {
        let mut upstream = UpstreamConnections::default();
        let mut see =
            |backend, connection, from, to| upstream.see(Backend(backend), connection, Moment(from), Moment(to));
        see(0, 1, 10, 20);
        see(0, 1, 20, 30);
        see(0, 2, 15, 40);
        see(1, 1, 10, 50);
        see(1, 1, 20, 30);
        see(1, 1, 25, 26);
        let each: Vec<_> = upstream.each().into_iter().map(|it| (it.backend.0, it.connections, it.at_once)).collect();
        assert_eq!(each, [(0, 2, 1), (1, 1, 3)]);
    }

    #[test]
    fn of_many_requests_the_first_are_looked_at() {
        let mut upstream = UpstreamConnections::default();
        (0..MOST as u64 + 10).for_each(|number| upstream.see(Backend(0), number, Moment(number), Moment(number + 1)));
        assert_eq!(upstream.each()[0].connections, MOST as u64);
    }
}
