//! How long a client waits for a call: `grpc-timeout`, at most eight digits and a unit.

use std::time::Duration;

/// From the finest on: the unit, and its nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3600 * 1_000_000_000),
];
const MOST_DIGITS: usize = 8;
const MOST: u128 = 99_999_999;

/// Reads the value of `grpc-timeout`.
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    let is_number = (1..=MOST_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    let (_, nanoseconds) = UNITS.into_iter().find(|(it, _)| it == unit)?;
    // At most 11,416 years: beyond what 64 bits hold of nanoseconds, not of seconds.
    let total = u128::from(number) * u128::from(nanoseconds);
    Some(Duration::new(u64::try_from(total / 1_000_000_000).ok()?, (total % 1_000_000_000) as u32))
}

/// As `grpc-timeout` says it, in the finest unit that has room; rounded up, so that nobody gives up before the client does.
pub fn format_timeout(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let fitting = UNITS.into_iter().map(|(unit, each)| (unit, nanoseconds.div_ceil(u128::from(each))));
    let (unit, number) = fitting.into_iter().find(|(_, number)| *number <= MOST).unwrap_or((b'H', MOST));
    format!("{number}{}", char::from(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        for (value, time) in [
            ("5S", Some(Duration::from_secs(5))),
            ("4940m", Some(Duration::from_millis(4940))),
            ("0n", Some(Duration::ZERO)),
            ("1H", Some(Duration::from_secs(3600))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("00000001u", Some(Duration::from_micros(1))),
            ("000000001u", None),
            ("", None),
            ("S", None),
            ("5", None),
            ("5s", None),
            ("-5S", None),
            ("+5S", None),
            ("1.5S", None),
            ("5 S", None),
        ] {
            assert_eq!(parse_timeout(value.as_bytes()), time, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_timeout_is_never_shortened_and_keeps_seven_digits(seconds in 0..11_416 * 365 * 86_400u64, rest in 0..1_000_000_000u32) {
            let time = Duration::new(seconds, rest);
            let written = format_timeout(time);
            let read = parse_timeout(written.as_bytes()).unwrap();
            prop_assert!(read >= time && written.len() <= MOST_DIGITS + 1, "{written}");
            // A unit is at most a thousand of the one before, which had no room.
            prop_assert!((read - time).as_nanos() <= time.as_nanos() / 99_999, "{written}");
        }
    }
}
