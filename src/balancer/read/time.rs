//! Times as balancers write them: `250ms`, `0.25s`, `1m30s`, and numbers alone, in a unit of the balancer's own.

use std::time::Duration;

use serde_json::Value;

use crate::balancer::read::document;

/// The unit of a number that is written without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LoneNumber {
    Seconds,
    Milliseconds,
    Nanoseconds,
}

impl LoneNumber {
    fn seconds(self) -> f64 {
        match self {
            LoneNumber::Seconds => 1.0,
            LoneNumber::Milliseconds => 1e-3,
            LoneNumber::Nanoseconds => 1e-9,
        }
    }
}

/// What is longer is no time that anybody means: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// None if it is no time.
pub(crate) fn parse(text: &str, alone: LoneNumber) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let (number, more) =
            rest.split_at(rest.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(rest.len()));
        let (unit, more) = more.split_at(more.find(|it: char| !it.is_alphabetic()).unwrap_or(more.len()));
        let factor = match unit {
            "" => alone.seconds(),
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "w" => 7.0 * 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * factor;
        rest = more;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|time| !text.is_empty() && *time < LONGEST)
}

/// The same of a value of a document.
pub(crate) fn of(value: &Value, alone: LoneNumber) -> Option<Duration> {
    parse(&document::text(value)?, alone)
}

/// The shorter of a time that is known already and one of a file, where 0 is none.
pub(crate) fn shorten(known: &mut Option<Duration>, time: Option<Duration>) {
    let time = time.filter(|time| !time.is_zero());
    *known = [*known, time].into_iter().flatten().min();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_with_a_unit_or_several() {
        for (text, alone, expected) in [
            ("250ms", LoneNumber::Seconds, Some(0.25)),
            ("0.25s", LoneNumber::Seconds, Some(0.25)),
            ("1m30s", LoneNumber::Seconds, Some(90.0)),
            ("30", LoneNumber::Seconds, Some(30.0)),
            ("5000", LoneNumber::Milliseconds, Some(5.0)),
            ("250000000", LoneNumber::Nanoseconds, Some(0.25)),
            ("2w", LoneNumber::Seconds, Some(1_209_600.0)),
            ("", LoneNumber::Seconds, None),
            ("soon", LoneNumber::Seconds, None),
            ("1x", LoneNumber::Seconds, None),
            ("-1", LoneNumber::Seconds, None),
            ("9e999s", LoneNumber::Seconds, None),
        ] {
            assert_eq!(parse(text, alone), expected.map(Duration::from_secs_f64), "{text}");
        }
    }

    #[test]
    fn the_shortest_time_counts_and_none_is_written_as_0() {
        let mut known = None;
        for (time, expected) in
            [(None, None), (Some(0), None), (Some(5), Some(5)), (Some(2), Some(2)), (Some(9), Some(2))]
        {
            shorten(&mut known, time.map(Duration::from_secs));
            assert_eq!(known, expected.map(Duration::from_secs));
        }
    }
}
