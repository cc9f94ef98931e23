//! Reads the machine's clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::wire::{Calendar, Moment};

/// Now, on the monotonic clock.
pub(crate) fn now() -> Moment {
    Moment(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Both clocks at once, so that moments of this machine can be found on the calendar.
pub(crate) fn calendar() -> Calendar {
    Calendar { moment: now(), unix: nanoseconds(clock_gettime(ClockId::Realtime)) }
}

/// A moment of this machine on the calendar, as RFC 3339 writes it.
pub(crate) fn rfc3339(moment: Moment) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(calendar().unix(moment))).unwrap_or_default();
    format!("{time:.3}")
}

/// What is the same for all who read the same monotonic clock: the machine's boot, and the time namespace (`time_namespaces(7)`). None where
/// the system does not say.
pub(crate) fn identity() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Kernels before 5.6 have no time namespaces.
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    // A digest: who may read the state of a fleet need not learn which machine that is.
    Some(format!("{:016x}", http::digest(format!("{} {}", boot.trim(), namespace.display()).as_bytes())))
}

/// Neither clock is negative, and both fit until the year 2554.
fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
