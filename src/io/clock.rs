//! Reads the machine's clocks.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::wire::{Calendar, Moment};

/// The monotonic clock.
pub(crate) fn now() -> Moment {
    Moment(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Both clocks at once, so that moments of this machine can be found on the calendar.
pub(crate) fn calendar() -> Calendar {
    Calendar { moment: now(), unix: nanoseconds(clock_gettime(ClockId::Realtime)) }
}

/// Neither clock is negative, and both fit until the year 2554.
fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
