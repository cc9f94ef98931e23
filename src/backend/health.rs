//! What a backend says about itself: liveness and readiness. No UUID is minted for it.

use crate::wire::{LIVENESS_PATHS, READINESS_PATHS};

/// What readiness answers, as it was set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Health {
    /// False after an order to be unready.
    pub(crate) ready: bool,
    /// True under the fault of that name.
    pub(crate) unhealthy: bool,
}

impl Default for Health {
    fn default() -> Self {
        Health { ready: true, unhealthy: false }
    }
}

const UNHEALTHY: (u16, &str) = (503, "unhealthy, a fault that is switched on");

impl Health {
    /// Whether its liveness is reported as good.
    pub(crate) fn is_live(self) -> bool {
        !self.unhealthy
    }

    /// Whether its readiness is reported as good.
    pub(crate) fn is_ready(self, draining: bool) -> bool {
        self.is_live() && self.ready && !draining
    }

    /// Status and text for a path of health; none for every other path. A balancer that maps `/uuid` to `/` makes `//readyz`
    /// of `/uuid/readyz`, so leading slashes count as one.
    pub(crate) fn of(self, path: &str, draining: bool) -> Option<(u16, &'static str)> {
        const LONGEST: usize = "/healthz".len();
        if path.len() > LONGEST + 1 || path.len() < 2 {
            return None;
        }
        let path = if path.starts_with("//") { &path[1..] } else { path };
        if LIVENESS_PATHS.contains(&path) {
            Some(if self.is_live() { (200, "ok") } else { UNHEALTHY })
        } else if READINESS_PATHS.contains(&path) {
            Some(match (self.ready, draining) {
                _ if !self.is_live() => UNHEALTHY,
                (_, true) => (503, "draining"),
                (false, false) => (503, "not ready"),
                (true, false) => (200, "ready"),
            })
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_what_was_set_and_liveness_does_not() {
        let (ready, unready) = (Health::default(), Health { ready: false, ..Health::default() });
        assert_eq!(ready.of("/readyz", false), Some((200, "ready")));
        assert_eq!(unready.of("/ready", false), Some((503, "not ready")));
        assert!(ready.is_ready(false) && !ready.is_ready(true) && !unready.is_ready(false) && unready.is_live());
        assert_eq!(ready.of("//readyz", true), Some((503, "draining")));
        assert_eq!(unready.of("/livez", true), Some((200, "ok")));
        for path in ["/", "", "*", "/uuid", "/readyz/", "/healthzz", "readyz"] {
            assert_eq!(ready.of(path, false), None, "{path}");
        }
    }

    #[test]
    fn unhealthy_it_fails_all_health_and_nothing_else() {
        for ready in [true, false] {
            let health = Health { ready, unhealthy: true };
            for path in ["/livez", "/healthz", "/health", "/readyz", "/ready"] {
                assert_eq!(health.of(path, false), Some(UNHEALTHY), "{path}");
            }
            assert_eq!(health.of("/", false), None);
            assert!(!health.is_live() && !health.is_ready(false));
        }
    }
}
