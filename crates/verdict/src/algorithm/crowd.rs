//! Whether affinity has a bound: requests of one value, or of one client, that are in flight at once, and where they go when their backend is busy with others
//! of them (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam 2018; HAProxy's hash-balance-factor).

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::evidence::{Evidence, Hold, Keeping, Key, Pick};
use super::lab::Lab;
use super::subject::{Pace, ProbeRequest};
use crate::observation::Backend;

/// Values that are tried.
const VALUES: usize = 4;
/// Requests of each at once.
const AT_ONCE: usize = 6;
/// Their backend is asked to take that long.
const DELAY: Duration = Duration::from_millis(200);

impl Lab<'_> {
    /// Sends several requests at once of values that have their backend as long as they are sent one by one, or of clients that were
    /// given a cookie.
    pub(super) fn crowd(&mut self) {
        if !self.setting.can_hold || self.longest_delay() < DELAY {
            return;
        }
        let decisive = self.evidence.keys.iter().find(|(_, trial)| trial.decides()).cloned();
        let at = |row: &Vec<Pick>| row.first().map(|pick| pick.backend);
        let (homes, is_of_path): (Vec<(ProbeRequest, Backend)>, bool) = match &decisive {
            Some((key, trial)) => {
                let homes =
                    (1u32..).zip(&trial.rows).filter_map(|(value, row)| Some((self.of_value(key, value), at(row)?)));
                // The delay stands in the path: another value, with another backend.
                (homes.take(VALUES).collect(), matches!(key, Key::Path | Key::PathFront | Key::Query))
            }
            None => {
                let Some((given, trial)) = self.evidence.jar.as_ref() else { return };
                // Sessions of backends move for no load.
                if given.session.is_some() || trial.moved() > 0 || trial.keeps() != Keeping::Kept {
                    return;
                }
                let homes =
                    self.clients.iter().zip(&trial.rows).filter_map(|(client, row)| Some((client.clone(), at(row)?)));
                (homes.take(VALUES).collect(), false)
            }
        };
        for (request, home) in homes {
            if self.affordable(AT_ONCE + 1, 0.9) <= AT_ONCE || self.left() < (DELAY + self.usual) * 2 {
                return;
            }
            let request = ProbeRequest { delay: Some(DELAY), ..request };
            let pace = Pace { width: AT_ONCE, gap: self.gap(), until: self.setting.budget };
            let home = if is_of_path {
                let alone = self.subject.send_all(std::slice::from_ref(&request), &pace);
                self.sent += alone.len() as u64;
                let Some(pick) = alone.into_iter().find_map(|reply| reply.pick) else { continue };
                pick.backend
            } else {
                home
            };
            let replies = self.subject.send_all(&vec![request; AT_ONCE], &pace);
            self.sent += replies.len() as u64;
            let others = replies.into_iter().filter_map(|reply| reply.pick).collect();
            self.evidence.crowded.push(Hold { busy: vec![home], others });
        }
    }

    /// As the trials of this key send it.
    fn of_value(&self, key: &Key, value: u32) -> ProbeRequest {
        let mut request = ProbeRequest::default();
        match key {
            Key::Network => request.source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, value as u8, 1))),
            Key::Host => request.source = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, value as u8 + 1))),
            Key::Path => request.path = Some(value),
            Key::PathFront => request.front = Some(value),
            Key::Query => request.query = Some(value),
            Key::Body => request.body = Some(value),
            Key::Cookie(name) => request.headers = vec![("Cookie".to_owned(), format!("{name}=value-{value}"))],
            Key::Header(name) if self.setting.own_headers.contains(name) => {
                request.replaced = super::experiments::values_of(std::slice::from_ref(name), value);
            }
            Key::Header(name) => {
                request.headers = super::experiments::values_of(std::slice::from_ref(name), value);
            }
        }
        request
    }
}

impl Evidence {
    /// How many requests of one value at once went elsewhere than one at a time, of how many; none if no more than a fault would send astray.
    pub(super) fn bound(&self) -> Option<(usize, usize)> {
        let sent: usize = self.crowded.iter().map(|hold| hold.others.len()).sum();
        let strays = |hold: &Hold| {
            let elsewhere = |pick: &&Pick| pick.backend.is_known() && !hold.busy.contains(&pick.backend);
            hold.others.iter().filter(elsewhere).count()
        };
        let strayed: usize = self.crowded.iter().map(strays).sum();
        // One in a hundred that strays at any time makes four of 24 once in ten thousand times.
        (strayed >= 4 && strayed * 6 >= sent).then_some((strayed, sent))
    }
}
