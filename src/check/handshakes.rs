//! Handshakes that backends counted as failed before the check began: those are none of its balancer's.

use std::collections::{BTreeMap, HashMap};

use crate::fleets::Fleets;
use crate::wire::{BackendStatus, Instance};
use verdict::HandshakeFailure;

/// Of each backend, and of which process of it.
#[derive(Debug, Default)]
pub(crate) struct HandshakesBefore(HashMap<String, (Option<Instance>, FailureCounts)>);

type FailureCounts = BTreeMap<HandshakeFailure, u64>;

impl HandshakesBefore {
    /// As they are counted now. Without TLS at the first backend, none has any.
    pub(crate) async fn of(fleets: &Fleets) -> HandshakesBefore {
        let mut before = HandshakesBefore::default();
        for backend in &fleets.backends {
            let Ok(status) = fleets.status_of(&backend.name).await else { continue };
            if status.tls.is_none() {
                break;
            }
            before.0.insert(backend.name.clone(), (status.instances.last().copied(), counts(&status)));
        }
        before
    }

    /// Those of a backend since then. A process that was started later has counted all of its own meanwhile.
    pub(crate) fn since(&self, status: &BackendStatus) -> FailureCounts {
        let known = self.0.get(&status.name).filter(|(instance, _)| *instance == status.instances.last().copied());
        match known {
            Some((_, before)) => less(counts(status), before),
            None => counts(status),
        }
    }
}

fn less(mut now: FailureCounts, before: &FailureCounts) -> FailureCounts {
    now.iter_mut().for_each(|(reason, count)| {
        *count = count.saturating_sub(before.get(reason).copied().unwrap_or_default());
    });
    now.retain(|_, count| *count > 0);
    now
}

fn counts(status: &BackendStatus) -> FailureCounts {
    let failed = status.tls.iter().flat_map(|tls| &tls.failed);
    failed.fold(FailureCounts::new(), |mut counts, failed| {
        *counts.entry(failed.reason).or_default() += failed.count;
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_failed_before_is_left_out() {
        let before = FailureCounts::from([(HandshakeFailure::NoClientCertificate, 40), (HandshakeFailure::NotTls, 1)]);
        let now = FailureCounts::from([
            (HandshakeFailure::NoClientCertificate, 40),
            (HandshakeFailure::NotTls, 3),
            (HandshakeFailure::ClosedAfter, 1),
        ]);
        let since = FailureCounts::from([(HandshakeFailure::NotTls, 2), (HandshakeFailure::ClosedAfter, 1)]);
        assert_eq!(less(now.clone(), &before), since);
        assert_eq!(less(now.clone(), &FailureCounts::new()), now);
    }
}
