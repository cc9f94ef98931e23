//! Events to lines: what a person sees of the fleet, and what a program reads of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::escape::harmless;
use crate::fleet::printer::OutputStream;
use crate::topology::Topology;
use crate::wire::{
    AttemptEnd, BackendChange, Calendar, Departure, FailedHandshakes, Fault, FleetEvent, FleetNames, Generator, Moment,
    Record, Starvation,
};
use verdict::numbers::grouped;

/// How attempts are logged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogMode {
    /// A line each; under load the first of each second and a sum of the others.
    Text,
    /// An object of JSON each, all of them.
    Json,
    /// No attempt is logged.
    Off,
}

/// Attempts of a second that are shown one by one.
const SHOWN_A_SECOND: u64 = 20;
/// How many backends a sum names one by one.
const NAMED: usize = 8;
const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Log {
    mode: LogMode,
    calendar: Calendar,
    zone: TimeZone,
    topology: Topology,
    names: FleetNames,
    second: Moment,
    shown: u64,
    more: BTreeMap<Generator, u64>,
}

/// A line and where it goes.
pub(crate) type Line = (OutputStream, String);

impl Log {
    /// The log of a fleet that has just begun, with times of day in `zone`.
    pub(crate) fn new(mode: LogMode, topology: Topology, calendar: Calendar, zone: TimeZone) -> Log {
        let names = topology.names();
        Log { mode, calendar, zone, topology, names, second: calendar.moment, shown: 0, more: BTreeMap::new() }
    }

    pub(crate) fn event(&mut self, event: &FleetEvent) -> Vec<Line> {
        match event {
            FleetEvent::Attempt(record) => {
                self.attempt(record).map(|line| (OutputStream::Log, line)).into_iter().collect()
            }
            FleetEvent::Backend { at, generator, change } => self.backend(*at, *generator, change),
            FleetEvent::Seen { .. } => Vec::new(),
            FleetEvent::Lost { at, generator, count } => {
                let name = self.names.of(*generator);
                let lost = format!("{count} records of {name} were overwritten before they could be read");
                vec![(OutputStream::Log, self.remark(*at, "lost", &lost, json!({ "backend": name, "count": count })))]
            }
        }
        .into_iter()
        .filter(|(stream, _)| *stream == OutputStream::Output || self.mode != LogMode::Off)
        .collect()
    }

    /// The sum of what was not shown in the second that has ended, if one has.
    pub(crate) fn tick(&mut self, now: Moment) -> Option<Line> {
        if now.since(self.second) < SECOND {
            return None;
        }
        self.second = now;
        self.shown = 0;
        let more = std::mem::take(&mut self.more);
        if more.is_empty() {
            return None;
        }
        let mut line = format!("… {} more in the last second:", grouped(more.values().sum()));
        for (index, (generator, count)) in more.iter().take(NAMED).enumerate() {
            let separator = if index == 0 { "" } else { " ·" };
            let _ = write!(line, "{separator} {} {}", self.names.of(*generator), grouped(*count));
        }
        if more.len() > NAMED {
            let others: u64 = more.values().skip(NAMED).sum();
            let _ = write!(line, " · {} others {}", more.len() - NAMED, grouped(others));
        }
        line.push('\n');
        Some((OutputStream::Log, line))
    }

    /// What the printer had to drop.
    pub(crate) fn dropped(&self, now: Moment, lines: u64) -> Line {
        let text = format!("{lines} lines were not shown: they are read more slowly than they come");
        (OutputStream::Log, self.remark(now, "not-shown", &text, json!({ "lines": lines })))
    }

    fn attempt(&mut self, record: &Record) -> Option<String> {
        match self.mode {
            LogMode::Off => None,
            LogMode::Json => {
                let mut object = json!(record.view(&self.calendar, &self.names));
                object["event"] = json!("attempt");
                Some(format!("{object}\n"))
            }
            LogMode::Text if self.shown >= SHOWN_A_SECOND => {
                *self.more.entry(record.generator).or_default() += 1;
                None
            }
            LogMode::Text => {
                self.shown += 1;
                Some(self.line(record))
            }
        }
    }

    fn line(&self, record: &Record) -> String {
        let Record { generator, peer, .. } = record;
        // Of a call the status of HTTP says nothing.
        let status = match record.call.and_then(|call| call.status) {
            Some(status) => format!("{} {status}", record.status),
            None => record.status.to_string(),
        };
        let name = self.names.of(*generator);
        let (method, path) = (harmless(&record.method.to_string()), harmless(&record.path.to_string()));
        let time = self.time(record.received, "%H:%M:%S%.3f");
        let id = record.response.map_or("health".to_owned(), |answer| answer.to_string());
        match record.outcome {
            AttemptEnd::Completed => format!("{time} {name} {peer} {method} {path} {status} {id}\n"),
            AttemptEnd::CutOff => {
                format!("{time} {name} {peer} {method} {path} {status} {id} cut off after {} bytes\n", record.bytes)
            }
            AttemptEnd::Refused => format!("{time} {name} {peer} {method} {path} - {id} stream refused\n"),
            AttemptEnd::Received => {
                format!("{time} {name} {peer} {method} {path} - {id} in flight when its backend ended\n")
            }
        }
    }

    fn backend(&self, at: Moment, generator: Generator, change: &BackendChange) -> Vec<Line> {
        let url = self.topology.url(generator);
        let said = match change {
            BackendChange::Starting(_) => None,
            BackendChange::Accepting => Some(format!("App server started - {url}")),
            BackendChange::Gone(departure) => Some(gone(departure, &url, self.names.of(generator))),
            BackendChange::Paused => {
                Some(format!("App server paused - {url}: it takes connections and answers nobody"))
            }
            BackendChange::Resumed => Some(format!("App server resumed - {url}")),
            BackendChange::Draining => {
                Some(format!("App server draining - {url}: it answers what is in flight, then stops"))
            }
            BackendChange::Readiness(true) => Some(format!("App server ready - {url}")),
            BackendChange::Readiness(false) => Some(format!("App server unready - {url}: readiness answers 503")),
            BackendChange::Faults(faults) if faults.is_empty() => {
                Some(format!("App server behaves - {url}: no faults any more"))
            }
            BackendChange::Faults(faults) => {
                let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
                Some(format!("App server misbehaves - {url}: {}", faults.join(", ")))
            }
            BackendChange::Starved(Starvation::OutOfFiles) => {
                Some(format!("App server starved - {url}: out of file descriptors, new connections wait"))
            }
            BackendChange::Starved(Starvation::ConnectionLimit(limit)) => {
                Some(format!("App server starved - {url}: it holds {limit} connections, its limit; new ones wait"))
            }
            BackendChange::HandshakeFailed(FailedHandshakes { bad_certificate, reason, .. }) => {
                let with = bad_certificate.map(|bad| format!(", with a certificate that is bad: {}", bad.name()));
                Some(format!("TLS handshake failed - {url}: {}{}", reason.name(), with.unwrap_or_default()))
            }
            BackendChange::Recovered => Some(format!("App server recovered - {url}: it takes connections again")),
            BackendChange::RestartIn(delay) => {
                Some(format!("App server restarts - {url}: in {} ms", delay.as_millis()))
            }
            BackendChange::StartFailed(why) => Some(format!("App server failed to start - {url}: {why}")),
        };
        let output = said.map(|said| (OutputStream::Output, format!("{} {said}\n", self.time(at, "%H:%M:%S"))));
        let log = (self.mode == LogMode::Json).then(|| (OutputStream::Log, self.backend_object(at, generator, change)));
        output.into_iter().chain(log).collect()
    }

    fn backend_object(&self, at: Moment, generator: Generator, change: &BackendChange) -> String {
        let (name, detail) = match change {
            BackendChange::Starting(pid) => ("starting", json!({ "pid": pid })),
            BackendChange::Accepting => ("accepting", json!({})),
            BackendChange::Gone(Departure { cause, asked, unanswered }) => {
                ("gone", json!({ "cause": cause.to_string(), "asked": asked, "unanswered": unanswered }))
            }
            BackendChange::Paused => ("paused", json!({})),
            BackendChange::Resumed => ("resumed", json!({})),
            BackendChange::Draining => ("draining", json!({})),
            BackendChange::Readiness(ready) => ("readiness", json!({ "ready": ready })),
            BackendChange::Faults(faults) => ("faults", json!({ "faults": faults })),
            BackendChange::Starved(why) => ("starved", json!({ "why": why })),
            BackendChange::HandshakeFailed(failed) => ("handshake-failed", json!(failed)),
            BackendChange::Recovered => ("recovered", json!({})),
            BackendChange::RestartIn(delay) => ("restarts", json!({ "in_ms": delay.as_millis() as u64 })),
            BackendChange::StartFailed(why) => ("start-failed", json!({ "why": why })),
        };
        let mut object = detail;
        object["event"] = json!(name);
        object["backend"] = json!(self.names.of(generator));
        object["time"] = json!(self.timestamp(at).to_string());
        format!("{object}\n")
    }

    fn remark(&self, at: Moment, name: &str, text: &str, mut object: serde_json::Value) -> String {
        match self.mode {
            LogMode::Json => {
                object["event"] = json!(name);
                object["time"] = json!(self.timestamp(at).to_string());
                format!("{object}\n")
            }
            LogMode::Text | LogMode::Off => format!("{} {text}\n", self.time(at, "%H:%M:%S")),
        }
    }

    fn timestamp(&self, moment: Moment) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.calendar.unix(moment))).unwrap_or_default()
    }

    fn time(&self, moment: Moment, format: &str) -> impl std::fmt::Display {
        self.timestamp(moment).to_zoned(self.zone.clone()).strftime(format).to_string()
    }
}

fn gone(departure: &Departure, url: &str, name: &str) -> String {
    let Departure { cause, asked, unanswered } = departure;
    let unanswered = match unanswered {
        0 => String::new(),
        1 => "; 1 request was in flight".to_owned(),
        more => format!("; {} requests were in flight", grouped(*more as u64)),
    };
    if *asked {
        format!("App server stopped - {url}{unanswered}")
    } else {
        format!(
            "App server gone - {url}: {cause}{unanswered}. Its port refuses connections, the others go on. \
             Bring it back: uuid-generator fleet start {name}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Cause, Clipped, End, ResponseId};
    use http::grpc::GrpcStatus;
    use verdict::Call;

    const NOON: u64 = 1_795_435_200_000_000_000;

    fn log(mode: LogMode) -> Log {
        let topology = Topology::of("localhost".parse().unwrap(), (9001..=9120).map(Generator).collect());
        Log::new(mode, topology, Calendar { moment: Moment(0), unix: NOON }, TimeZone::UTC)
    }

    fn record(generator: u16) -> Record {
        Record {
            number: 1,
            received: Moment(5_123_000_000),
            responded: Moment(5_123_040_000),
            generator: Generator(generator),
            response: Some(ResponseId("550e8400-e29b-41d4-a716-446655440000".parse().unwrap())),
            connection: 1,
            request_number: 1,
            peer: End::Address("127.0.0.1:5000".parse().unwrap()),
            method: Clipped::new(b"GET"),
            path: Clipped::new("/uuid\u{9b}2J".as_bytes()),
            status: 200,
            bytes: 512,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        }
    }

    fn text(lines: Vec<Line>) -> String {
        lines.into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn an_attempt_is_one_readable_line_that_cannot_command_the_terminal() {
        let lines = log(LogMode::Text).event(&FleetEvent::Attempt(record(9001)));
        assert_eq!(
            text(lines),
            "12:00:05.123 9001 127.0.0.1:5000 GET /uuid\\u{9b}2J 200 550e8400-e29b-41d4-a716-446655440000\n"
        );
        let unix = Record { peer: End::Unix, ..record(9001) };
        assert!(text(log(LogMode::Text).event(&FleetEvent::Attempt(unix))).starts_with("12:00:05.123 9001 unix GET /"));
        let cut = Record { outcome: AttemptEnd::CutOff, bytes: 7, ..record(9001) };
        assert!(text(log(LogMode::Text).event(&FleetEvent::Attempt(cut))).ends_with(" cut off after 7 bytes\n"));
        let call = Call { status: Some(GrpcStatus::UNAVAILABLE), ..Call::default() };
        let called = Record { call: Some(call), ..record(9001) };
        assert!(text(log(LogMode::Text).event(&FleetEvent::Attempt(called))).contains(" 200 UNAVAILABLE 550e8400"));
        let refused = Record { outcome: AttemptEnd::Refused, ..record(9001) };
        assert!(text(log(LogMode::Text).event(&FleetEvent::Attempt(refused))).ends_with(" stream refused\n"));
        let open = Record { outcome: AttemptEnd::Received, ..record(9001) };
        assert!(
            text(log(LogMode::Text).event(&FleetEvent::Attempt(open))).ends_with(" in flight when its backend ended\n")
        );
    }

    #[test]
    fn under_load_the_first_are_shown_and_the_others_summed_up() {
        let mut log = log(LogMode::Text);
        let shown: usize =
            (0..48_140).map(|number| log.event(&FleetEvent::Attempt(record(9001 + number % 3))).len()).sum();
        assert_eq!(shown, 20);
        assert_eq!(log.tick(Moment(999_999_999)), None);
        let sum = "… 48,120 more in the last second: 9001 16,040 · 9002 16,040 · 9003 16,040\n";
        assert_eq!(log.tick(Moment(1_000_000_000)), Some((OutputStream::Log, sum.to_owned())));
        assert_eq!(log.tick(Moment(2_000_000_000)), None);
        assert_eq!(log.event(&FleetEvent::Attempt(record(9001))).len(), 1);
    }

    #[test]
    fn a_sum_over_many_backends_stays_a_line() {
        let mut log = log(LogMode::Text);
        for number in 0..120 {
            log.event(&FleetEvent::Attempt(record(9001 + number)));
        }
        let (_, line) = log.tick(Moment(1_000_000_000)).unwrap();
        assert!(line.starts_with("… 100 more in the last second: 9021 1 · 9022 1 "), "{line}");
        assert!(line.ends_with(" · 92 others 92\n"), "{line}");
    }

    #[test]
    fn programs_get_every_attempt_as_json_and_off_is_silent_about_attempts_only() {
        let mut json = log(LogMode::Json);
        for _ in 0..50 {
            let line = text(json.event(&FleetEvent::Attempt(record(9001))));
            let object: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object["event"], "attempt");
            assert_eq!(object["received"], "2026-11-23T12:00:05.123000000Z");
            assert_eq!(object["response"], "550e8400-e29b-41d4-a716-446655440000");
        }
        let mut off = log(LogMode::Off);
        assert_eq!(off.event(&FleetEvent::Attempt(record(9001))), []);
        let started =
            FleetEvent::Backend { at: Moment(0), generator: Generator(9001), change: BackendChange::Accepting };
        let line = "12:00:00 App server started - http://localhost:9001\n".to_owned();
        assert_eq!(off.event(&started), [(OutputStream::Output, line)]);
    }

    #[test]
    fn faults_are_told_to_people_and_programs() {
        let faults = |mode, faults: &[&str]| {
            let change = BackendChange::Faults(faults.iter().map(|fault| fault.parse().unwrap()).collect());
            text(log(mode).event(&FleetEvent::Backend { at: Moment(0), generator: Generator(9001), change }))
        };
        assert_eq!(
            faults(LogMode::Text, &["status:503:10%", "latency:200ms"]),
            "12:00:00 App server misbehaves - http://localhost:9001: status:503:10%, latency:200ms\n"
        );
        assert_eq!(
            faults(LogMode::Text, &[]),
            "12:00:00 App server behaves - http://localhost:9001: no faults any more\n"
        );
        let line = faults(LogMode::Json, &["hang:10%"]);
        let object: serde_json::Value = serde_json::from_str(line.lines().nth(1).unwrap()).unwrap();
        let expected = json!({
            "event": "faults", "faults": ["hang:10%"], "backend": "9001", "time": "2026-11-23T12:00:00Z"
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn a_departure_says_why_and_what_to_do() {
        let gone = |asked, cause, unanswered| {
            let change = BackendChange::Gone(Departure { cause, asked, unanswered });
            text(log(LogMode::Text).event(&FleetEvent::Backend { at: Moment(0), generator: Generator(9001), change }))
        };
        assert_eq!(gone(true, Cause::Exit(0), 0), "12:00:00 App server stopped - http://localhost:9001\n");
        assert_eq!(
            gone(false, Cause::Signal(9), 2),
            "12:00:00 App server gone - http://localhost:9001: signal 9, SIGKILL; 2 requests were in flight. Its port refuses \
             connections, the others go on. Bring it back: uuid-generator fleet start 9001\n"
        );
    }
}
