//! One time line for all processes of a machine, and how it lies on the calendar.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reading of the machine's monotonic clock, in nanoseconds: one time line for all processes of a machine that never steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds from `earlier` to here, 0 if it is not earlier.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
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

/// A time above 0 with its unit, of a year at most: `10s`, `250ms`, `1m 30s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Time, &'static str> {
        const EXPECTED: &str = "expected a time above 0 with its unit, such as 10s, 250ms or 1m";
        let time: jiff::SignedDuration = text.parse().map_err(|_| EXPECTED)?;
        match Duration::try_from(time) {
            Ok(time) if time > Duration::ZERO && time <= Duration::from_secs(366 * 24 * 3600) => Ok(Time(time)),
            Ok(_) | Err(_) => Err(EXPECTED),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}
