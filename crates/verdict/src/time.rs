//! One time line for all processes of a machine, and how it lies on the calendar.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of the machine's monotonic clock, in nanoseconds: one time line for all processes of a machine that never steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds from `earlier` to here, 0 if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment that much earlier.
    pub fn before(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The moment that much later.
    pub fn after(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Ties the monotonic clock to the calendar. The supervisor reads both once and every process of its fleet uses that pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Calendar {
    /// When both were read, on the monotonic clock.
    pub moment: Moment,
    /// When both were read, in nanoseconds since 1970 (UTC).
    pub unix: u64,
}

impl Calendar {
    /// Nanoseconds since 1970 (UTC).
    pub fn unix(&self, moment: Moment) -> u64 {
        (self.unix + moment.0).saturating_sub(self.moment.0)
    }

    /// The moment of a time in nanoseconds since 1970 (UTC).
    pub fn moment(&self, unix: u64) -> Moment {
        Moment((unix.saturating_add(self.moment.0)).saturating_sub(self.unix))
    }
}
