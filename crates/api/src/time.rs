//! A duration as it is typed.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A time above 0 with its unit, of a year at most: `10s`, `250ms`, `1m 30s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Time, &'static str> {
        const EXPECTED: &str = "expected a time above 0 with its unit, such as 10s, 250ms or 1m";
        match Time::from_start(text) {
            Some(time) if time > Duration::ZERO => Ok(Time(time)),
            None if text.parse::<jiff::SignedDuration>().is_ok_and(|it| it.is_positive()) => {
                Err("expected a time of a year at most, such as 10s, 250ms or 1m")
            }
            Some(_) | None => Err(EXPECTED),
        }
    }
}

impl Time {
    /// The time of something after the start of something else, which may be 0.
    pub fn from_start(text: &str) -> Option<Duration> {
        const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
        let time: jiff::SignedDuration = text.parse().ok()?;
        Duration::try_from(time).ok().filter(|time| *time <= YEAR)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsTyped;

        impl Visitor<'_> for AsTyped {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(|why| E::custom(format!("{why}, found {text:?}")))
            }

            // A number alone has no unit: the error says so.
            fn visit_i64<E: Error>(self, number: i64) -> Result<Time, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Time, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(AsTyped)
    }
}
