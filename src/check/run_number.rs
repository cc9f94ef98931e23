//! The number that all requests of a run carry.

use uuid::Uuid;

/// Never 0, and no other run's.
pub(crate) fn new() -> u64 {
    Uuid::new_v4().as_u64_pair().0 | 1
}
