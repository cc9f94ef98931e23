//! How long health checks of a `haproxy.cfg` need to find a server well, or ill.

use std::time::Duration;

use crate::balancer::read::time::{self, LoneNumber};
use verdict::rules::AVOIDED;

/// What parameters of a server say, those of `default-server` before its own.
#[derive(Default)]
pub(super) struct Checks {
    is_checked: bool,
    /// It is as well as another server.
    follows: bool,
    interval: Option<String>,
    when_changing: Option<String>,
    when_down: Option<String>,
    rise: Option<String>,
    fall: Option<String>,
}

impl Checks {
    /// Notes a parameter, and its value if it is one that has one.
    pub(super) fn note(&mut self, word: &str, value: Option<&str>) {
        let value = value.map(str::to_owned);
        match word {
            "check" => self.is_checked = true,
            "no-check" => self.is_checked = false,
            "track" => self.follows = true,
            "inter" => self.interval = value,
            "fastinter" => self.when_changing = value,
            "downinter" => self.when_down = value,
            "rise" => self.rise = value,
            "fall" => self.fall = value,
            _ => {}
        }
    }

    /// None without a check: such a server is never left out. `timeout` is that of a response, after the one for the connection, and checks
    /// are late by `spread` percent of an interval.
    pub(super) fn notices(&self, timeout: Duration, spread: u32) -> Option<Duration> {
        if self.follows {
            return Some(AVOIDED);
        }
        self.is_checked.then(|| self.time(timeout, spread).unwrap_or(AVOIDED))
    }

    /// None where a value is not understood.
    fn time(&self, timeout: Duration, spread: u32) -> Option<Duration> {
        let parse = |text: &str| time::parse(text, LoneNumber::Milliseconds);
        let interval = self.interval.as_deref().map_or(Some(Duration::from_secs(2)), parse)?;
        let other = |text: &Option<String>| text.as_deref().map_or(Some(interval), parse);
        let (changing, down) = (other(&self.when_changing)?, other(&self.when_down)?);
        let count = |text: &Option<String>, usual| text.as_deref().map_or(Some(usual), |it| it.parse::<u32>().ok());
        let (rise, fall) = (count(&self.rise, 2)?.max(1), count(&self.fall, 3)?.max(1));
        let late = |time: Duration| time + time * spread.min(100) / 100;
        // How long one takes that has no response. It begins the next interval when it ends.
        let one = interval + timeout;
        let well = one + late(down) + late(changing) * (rise - 1);
        let ill = one * fall + late(interval) + late(changing) * (fall - 1);
        Some(well.max(ill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_avoided_as_long_as_its_checks_need() {
        for (line, timeout, spread, seconds) in [
            ("", 0, 0, None),
            ("check no-check", 0, 0, None),
            ("inter 5s", 0, 0, None),
            ("check", 0, 0, Some(12)),
            ("check inter 5000 rise 1 fall 1", 0, 0, Some(10)),
            ("check inter 10s fall 1", 0, 0, Some(30)),
            ("check inter 2s downinter 2m rise 3 fall 2", 0, 0, Some(126)),
            ("check inter 10s fastinter 1s fall 3 rise 2", 5, 0, Some(57)),
            ("check inter 10s rise 1 fall 1", 0, 50, Some(25)),
            ("check inter soon", 0, 0, Some(60)),
            ("track other/s1", 0, 0, Some(60)),
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut checks = Checks::default();
            for (at, word) in words.iter().enumerate() {
                checks.note(word, words.get(at + 1).copied());
            }
            assert_eq!(
                checks.notices(Duration::from_secs(timeout), spread),
                seconds.map(Duration::from_secs),
                "{line}"
            );
        }
    }
}
