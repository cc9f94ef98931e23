//! Misbehaviour that is switched on inside a backend, as a person types it and as programs pass it on.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::str::FromStr;
use std::time::Duration;

use http::grpc::GrpcStatus;
use http::h2::ErrorCode;
use serde::{Deserialize, Serialize};

use verdict::BadCertificate;

use crate::Time;

/// A way in which a backend misbehaves. Health checks are answered as before, except under [`Fault::Unhealthy`], which touches nothing else.
///
/// As text: a word and what it needs, joined by colons, and the share of requests last, all of them if it is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `status:503:10%`: answers that status and a line instead of the page.
    Status(u16, FaultShare),
    /// `latency:200ms±50ms:10%`: holds the response back, once the request has been read, for a time that is uniform within ±.
    Latency {
        /// How long, on average.
        time: Duration,
        /// How much longer or shorter at most; never more than `time`.
        spread: Duration,
        /// The share of requests that it hits.
        share: FaultShare,
    },
    /// `reset:5%`: TCP RST instead of a response.
    Reset(FaultShare),
    /// `hang:10%`: reads the request and never answers; the connection stays until the client closes it.
    Hang(FaultShare),
    /// `close:10%`: reads the request and closes without a response.
    Close(FaultShare),
    /// `close-midway:10%`: sends the head and half of the body that it announces, then closes.
    CloseMidway(FaultShare),
    /// `fail-first:2`: the first two attempts at this backend of each request get 503. A request is known by its
    /// `Check-Request-Id`; one without is not touched, and attempts at other backends are unknown here.
    FailFirst(NonZeroU16),
    /// `unhealthy`: liveness and readiness answer 503, the page goes on.
    Unhealthy,
    /// `certificate:expired`: new TLS connections get a certificate that a client should refuse, health checks too; `certificate:none`
    /// ends it.
    Certificate(Option<BadCertificate>),
    /// `reset-stream:INTERNAL_ERROR:10%`: RST_STREAM with that code instead of an answer. Of HTTP/2 alone, as those below.
    ResetStream(ErrorCode, FaultShare),
    /// `refuse-stream:10%`: RST_STREAM with REFUSED_STREAM as soon as the head has come: nothing was done.
    RefuseStream(FaultShare),
    /// `goaway:10%`: GOAWAY that leaves out the request at hand: it was not begun, those before it are answered, and the
    /// connection ends with the last of them.
    GoAway(FaultShare),
    /// `max-streams:1`: announces one stream at once, and refuses more.
    MaxStreams(NonZeroU32),
    /// `grpc-status:UNAVAILABLE:10%`: a head, then trailers with that status, without a message. Of gRPC calls alone, as those below.
    GrpcStatus(GrpcStatus, FaultShare),
    /// `trailers-only:UNAVAILABLE:10%`: the status in the only head (Trailers-Only), UNAVAILABLE if it is left out.
    TrailersOnly(GrpcStatus, FaultShare),
    /// `half-message:10%`: half of the first message, then trailers with OK.
    HalfMessage(FaultShare),
}

http::named_enum! {
    /// What kind of fault it is; those of HTTP/2 alone come last.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    pub enum FaultKind {
        /// [`Fault::Status`]
        Status => "status",
        /// [`Fault::Latency`]
        Latency => "latency",
        /// [`Fault::Reset`]
        Reset => "reset",
        /// [`Fault::Hang`]
        Hang => "hang",
        /// [`Fault::Close`]
        Close => "close",
        /// [`Fault::CloseMidway`]
        CloseMidway => "close-midway",
        /// [`Fault::FailFirst`]
        FailFirst => "fail-first",
        /// [`Fault::Unhealthy`]
        Unhealthy => "unhealthy",
        /// [`Fault::Certificate`]
        Certificate => "certificate",
        /// [`Fault::ResetStream`]
        ResetStream => "reset-stream",
        /// [`Fault::RefuseStream`]
        RefuseStream => "refuse-stream",
        /// [`Fault::GoAway`]
        GoAway => "goaway",
        /// [`Fault::MaxStreams`]
        MaxStreams => "max-streams",
        /// [`Fault::GrpcStatus`]
        GrpcStatus => "grpc-status",
        /// [`Fault::TrailersOnly`]
        TrailersOnly => "trailers-only",
        /// [`Fault::HalfMessage`]
        HalfMessage => "half-message",
    }

    /// The word with which its text begins.
    fn name;
}

/// The longest [`Fault::Latency`].
const MAX_LATENCY: Duration = Duration::from_secs(5 * 60);
const MAX_ATTEMPTS: u16 = 1000;
const MAX_STREAMS: u32 = 1000;

impl Fault {
    /// Makes it one of `faults`, in the place of the one of its kind if there is one.
    pub fn add_to(self, faults: &mut Vec<Fault>) {
        if self == Fault::Certificate(None) {
            return faults.retain(|fault| fault.kind() != self.kind());
        }
        match faults.iter_mut().find(|fault| fault.kind() == self.kind()) {
            Some(same_kind) => *same_kind = self,
            None => faults.push(self),
        }
    }

    /// Whether requests or connections fail by it, so that a balancer may avoid the backend: all but those that wait.
    pub fn fails_requests(&self) -> bool {
        !matches!(self, Fault::Latency { .. })
    }

    /// Whether it is one of requests over HTTP/2 alone, those of gRPC among them.
    pub fn needs_http2(&self) -> bool {
        self.kind() >= FaultKind::ResetStream
    }

    /// A backend has one fault of each kind at most.
    pub fn kind(&self) -> FaultKind {
        match self {
            Fault::Status(..) => FaultKind::Status,
            Fault::Latency { .. } => FaultKind::Latency,
            Fault::Reset(_) => FaultKind::Reset,
            Fault::Hang(_) => FaultKind::Hang,
            Fault::Close(_) => FaultKind::Close,
            Fault::CloseMidway(_) => FaultKind::CloseMidway,
            Fault::FailFirst(_) => FaultKind::FailFirst,
            Fault::Unhealthy => FaultKind::Unhealthy,
            Fault::Certificate(_) => FaultKind::Certificate,
            Fault::ResetStream(..) => FaultKind::ResetStream,
            Fault::RefuseStream(_) => FaultKind::RefuseStream,
            Fault::GoAway(_) => FaultKind::GoAway,
            Fault::MaxStreams(_) => FaultKind::MaxStreams,
            Fault::GrpcStatus(..) => FaultKind::GrpcStatus,
            Fault::TrailersOnly(..) => FaultKind::TrailersOnly,
            Fault::HalfMessage(_) => FaultKind::HalfMessage,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().name())?;
        let share = match self {
            Fault::Status(status, share) => {
                write!(f, ":{status}")?;
                *share
            }
            Fault::Latency { time, spread, share } => {
                write!(f, ":{}", Time(*time))?;
                if !spread.is_zero() {
                    write!(f, "±{}", Time(*spread))?;
                }
                *share
            }
            Fault::ResetStream(code, share) => {
                write!(f, ":{code}")?;
                *share
            }
            Fault::TrailersOnly(GrpcStatus::UNAVAILABLE, share) | Fault::HalfMessage(share) => *share,
            Fault::GrpcStatus(status, share) | Fault::TrailersOnly(status, share) => {
                write!(f, ":{status}")?;
                *share
            }
            Fault::RefuseStream(share) | Fault::GoAway(share) => *share,
            Fault::MaxStreams(most) => return write!(f, ":{most}"),
            Fault::Reset(share) | Fault::Hang(share) | Fault::Close(share) | Fault::CloseMidway(share) => *share,
            Fault::FailFirst(attempts) => return write!(f, ":{attempts}"),
            Fault::Unhealthy => return Ok(()),
            Fault::Certificate(bad) => return write!(f, ":{}", bad.map_or("none", BadCertificate::name)),
        };
        if share == FaultShare::ALL { Ok(()) } else { write!(f, ":{share}") }
    }
}

/// A text that is no [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFault {
    /// Its first word is none of ours.
    Kind,
    /// `status` needs a status from 200 to 599.
    Status,
    /// `latency` needs a duration.
    Latency,
    /// The ± is more than the time.
    Spread,
    /// `fail-first` needs a number of attempts.
    Attempts,
    /// `certificate` needs the name of what is wrong with it.
    Certificate,
    /// `reset-stream` needs an error code of HTTP/2.
    Code,
    /// `max-streams` needs a number of streams.
    Streams,
    /// `grpc-status` needs a status of gRPC.
    GrpcStatus,
    /// `trailers-only` needs a status of gRPC other than OK.
    TrailersOnly,
    /// Where the share of requests stands.
    Share,
    /// More than the fault of this name takes.
    More(FaultKind),
}

impl fmt::Display for BadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadFault::Kind => {
                "expected status:503, latency:200ms, reset, hang, close, close-midway, fail-first:2, unhealthy, \
                 certificate:expired, reset-stream:CANCEL, refuse-stream, goaway, max-streams:1, grpc-status:UNAVAILABLE, trailers-only or \
                 half-message; most with a share such as hang:10%"
            }
            BadFault::Status => "expected a status from 200 to 599, such as 503",
            BadFault::Latency => {
                "expected a time with its unit, above 0 and at most 5m, such as 200ms or 200ms±50ms"
            }
            BadFault::Spread => "expected at most the time itself after ±, such as 200ms±50ms",
            BadFault::Attempts => "expected a number of attempts from 1 to 1000, such as 2",
            BadFault::Certificate => {
                "expected expired, future, other-name, unknown-ca, self-signed, client-only, revoked or none"
            }
            BadFault::Code => {
                "expected an error code of HTTP/2, such as INTERNAL_ERROR or CANCEL"
            }
            BadFault::Streams => "expected a number of streams from 1 to 1000, such as 1",
            BadFault::GrpcStatus => {
                "expected a status of gRPC, such as UNAVAILABLE or 14"
            }
            BadFault::TrailersOnly => {
                "expected a status of gRPC or a share of requests, such as NOT_FOUND or 10%"
            }
            BadFault::Share => {
                "expected a share of requests above 0% and at most 100%, with at most 7 decimals, such as 10% or 0.5%"
            }
            BadFault::More(kind) => return write!(f, "{}: expected nothing more after it", kind.name()),
        })
    }
}

impl std::error::Error for BadFault {}

impl FromStr for Fault {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<Fault, BadFault> {
        let mut words = text.split(':');
        let kind = words.next().unwrap_or_default();
        let kind = FaultKind::ALL.into_iter().find(|it| it.name() == kind).ok_or(BadFault::Kind)?;
        let fault = match kind {
            FaultKind::Status => {
                let status = words.next().and_then(status).ok_or(BadFault::Status)?;
                Fault::Status(status, share(words.next())?)
            }
            FaultKind::Latency => {
                let (time, spread) = latency(words.next().ok_or(BadFault::Latency)?)?;
                Fault::Latency { time, spread, share: share(words.next())? }
            }
            FaultKind::Reset => Fault::Reset(share(words.next())?),
            FaultKind::Hang => Fault::Hang(share(words.next())?),
            FaultKind::Close => Fault::Close(share(words.next())?),
            FaultKind::CloseMidway => Fault::CloseMidway(share(words.next())?),
            FaultKind::FailFirst => {
                let attempts = words.next().filter(|word| is_number(word)).and_then(|word| word.parse().ok());
                let attempts = attempts.filter(|attempts: &NonZeroU16| attempts.get() <= MAX_ATTEMPTS);
                Fault::FailFirst(attempts.ok_or(BadFault::Attempts)?)
            }
            FaultKind::Unhealthy => Fault::Unhealthy,
            FaultKind::Certificate => match words.next() {
                Some("none") => Fault::Certificate(None),
                Some(word) => {
                    let known = BadCertificate::ALL.into_iter().find(|bad| bad.name() == word);
                    Fault::Certificate(Some(known.ok_or(BadFault::Certificate)?))
                }
                None => return Err(BadFault::Certificate),
            },
            FaultKind::ResetStream => {
                let code = words.next().and_then(|word| word.parse().ok()).ok_or(BadFault::Code)?;
                Fault::ResetStream(code, share(words.next())?)
            }
            FaultKind::RefuseStream => Fault::RefuseStream(share(words.next())?),
            FaultKind::GoAway => Fault::GoAway(share(words.next())?),
            FaultKind::MaxStreams => {
                let most = words.next().filter(|word| is_number(word)).and_then(|word| word.parse().ok());
                Fault::MaxStreams(most.filter(|most: &NonZeroU32| most.get() <= MAX_STREAMS).ok_or(BadFault::Streams)?)
            }
            FaultKind::GrpcStatus => {
                let status = words.next().and_then(|word| word.parse().ok()).ok_or(BadFault::GrpcStatus)?;
                Fault::GrpcStatus(status, share(words.next())?)
            }
            FaultKind::TrailersOnly => match words.next() {
                Some(word) if !word.ends_with('%') => {
                    let status = word.parse().map_err(|_| BadFault::TrailersOnly)?;
                    Fault::TrailersOnly(status, share(words.next())?)
                }
                word => Fault::TrailersOnly(GrpcStatus::UNAVAILABLE, share(word)?),
            },
            FaultKind::HalfMessage => Fault::HalfMessage(share(words.next())?),
        };
        match words.next() {
            None => Ok(fault),
            Some(_) => Err(BadFault::More(kind)),
        }
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

fn status(word: &str) -> Option<u16> {
    word.parse().ok().filter(|status| is_number(word) && (200..=599).contains(status))
}

fn share(word: Option<&str>) -> Result<FaultShare, BadFault> {
    word.map_or(Ok(FaultShare::ALL), str::parse)
}

fn latency(word: &str) -> Result<(Duration, Duration), BadFault> {
    let (time, spread) = match word.split_once('±').or_else(|| word.split_once("+-")) {
        Some((time, spread)) => (time, Some(spread)),
        None => (word, None),
    };
    let read = |text: &str| match text.parse() {
        Ok(Time(time)) if time <= MAX_LATENCY => Ok(time),
        Ok(_) | Err(_) => Err(BadFault::Latency),
    };
    let time = read(time)?;
    match spread.map(read).transpose()?.unwrap_or_default() {
        spread if spread <= time => Ok((time, spread)),
        _ => Err(BadFault::Spread),
    }
}

impl Serialize for Fault {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A share of all requests, above 0 and at most all of them: `10%`, `0.5%`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultShare {
    billionths: u32,
}

/// Of a percentage: then its last digit is a billionth.
const DECIMALS: usize = 7;
const PERCENT: u32 = 10u32.pow(DECIMALS as u32);

impl FaultShare {
    /// Every request is hit.
    pub const ALL: FaultShare = FaultShare { billionths: 100 * PERCENT };

    /// Whether a request is one of them, of which `chance` decides, uniform from 0 and below 1.
    pub fn includes(self, chance: f64) -> bool {
        chance * f64::from(FaultShare::ALL.billionths) < f64::from(self.billionths)
    }
}

impl FromStr for FaultShare {
    type Err = BadFault;

    fn from_str(text: &str) -> Result<FaultShare, BadFault> {
        let number = text.strip_suffix('%').ok_or(BadFault::Share)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        if !is_number(whole) || !is_number(decimals) || whole.len() > 3 || decimals.len() > DECIMALS {
            return Err(BadFault::Share);
        }
        let digits: u64 = format!("{whole}{decimals:0<DECIMALS$}").parse().map_err(|_| BadFault::Share)?;
        match u32::try_from(digits) {
            Ok(billionths) if billionths > 0 && billionths <= FaultShare::ALL.billionths => {
                Ok(FaultShare { billionths })
            }
            Ok(_) | Err(_) => Err(BadFault::Share),
        }
    }
}

impl fmt::Display for FaultShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.billionths / PERCENT, self.billionths % PERCENT);
        match rest {
            0 => write!(f, "{whole}%"),
            _ => write!(f, "{whole}.{}%", format!("{rest:0DECIMALS$}").trim_end_matches('0')),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Fault {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fault".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "As it is typed, such as `status:503:10%` or `latency:200ms±50ms`." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_share() -> impl Strategy<Value = FaultShare> {
        prop_oneof![
            Just(FaultShare::ALL),
            (1..=FaultShare::ALL.billionths).prop_map(|billionths| FaultShare { billionths })
        ]
    }

    fn any_fault() -> impl Strategy<Value = Fault> {
        let latency = (1..=MAX_LATENCY.as_nanos() as u64, 0.0..=1.0, any_share()).prop_map(|(time, part, share)| {
            let spread = Duration::from_nanos((time as f64 * part) as u64);
            Fault::Latency { time: Duration::from_nanos(time), spread, share }
        });
        prop_oneof![
            (200..=599u16, any_share()).prop_map(|(status, share)| Fault::Status(status, share)),
            latency,
            any_share().prop_map(Fault::Reset),
            any_share().prop_map(Fault::Hang),
            any_share().prop_map(Fault::Close),
            any_share().prop_map(Fault::CloseMidway),
            (1..=MAX_ATTEMPTS).prop_map(|attempts| Fault::FailFirst(NonZeroU16::new(attempts).unwrap())),
            Just(Fault::Unhealthy),
            proptest::sample::select(&BadCertificate::ALL[..]).prop_map(|bad| Fault::Certificate(Some(bad))),
            (any::<u32>(), any_share()).prop_map(|(code, share)| Fault::ResetStream(ErrorCode(code), share)),
            any_share().prop_map(Fault::RefuseStream),
            any_share().prop_map(Fault::GoAway),
            (0..=16u32, any_share()).prop_map(|(status, share)| Fault::GrpcStatus(GrpcStatus(status), share)),
            (0..=16u32, any_share()).prop_map(|(status, share)| Fault::TrailersOnly(GrpcStatus(status), share)),
            any_share().prop_map(Fault::HalfMessage),
            (1..=MAX_STREAMS).prop_map(|most| Fault::MaxStreams(NonZeroU32::new(most).unwrap())),
        ]
    }

    proptest! {
        #[test]
        fn a_fault_survives_its_text(fault in any_fault()) {
            prop_assert_eq!(fault.to_string().parse(), Ok(fault));
        }

        #[test]
        fn any_text_is_a_fault_or_an_error(text in "[a-z0-9:.%±+ -]{0,40}|(latency|status|hang|fail-first):.*") {
            if let Ok(fault) = text.parse::<Fault>() {
                prop_assert_eq!(fault.to_string().parse(), Ok(fault));
            }
        }

        #[test]
        fn a_backend_has_one_fault_of_a_kind_the_latest(added in proptest::collection::vec(any_fault(), 0..20)) {
            let mut faults = Vec::new();
            added.iter().for_each(|fault| fault.add_to(&mut faults));
            for fault in &faults {
                prop_assert_eq!(faults.iter().filter(|other| other.kind() == fault.kind()).count(), 1);
                prop_assert_eq!(added.iter().rfind(|other| other.kind() == fault.kind()), Some(fault));
            }
            prop_assert!(added.iter().all(|fault| faults.iter().any(|kept| kept.kind() == fault.kind())));
        }
    }

    #[test]
    fn faults_are_written_as_they_are_typed() {
        for text in [
            "status:503",
            "status:503:10%",
            "latency:200ms",
            "latency:200ms±50ms",
            "latency:1.5s:0.0000001%",
            "latency:200ms±200ms:99.9%",
            "reset:5%",
            "hang",
            "close:10%",
            "close-midway",
            "fail-first:2",
            "unhealthy",
            "certificate:other-name",
            "certificate:none",
            "reset-stream:REFUSED_STREAM",
            "reset-stream:INTERNAL_ERROR:5%",
            "refuse-stream:5%",
            "goaway",
            "max-streams:1",
            "grpc-status:UNAVAILABLE",
            "grpc-status:OK:5%",
            "trailers-only",
            "trailers-only:5%",
            "trailers-only:NOT_FOUND:5%",
            "half-message:10%",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        for (typed, written) in [
            ("latency:200ms+-50ms", "latency:200ms±50ms"),
            ("latency:5m", "latency:300s"),
            ("hang:100.0%", "hang"),
            ("close:010.50%", "close:10.5%"),
            ("reset-stream:cancel", "reset-stream:CANCEL"),
            ("reset-stream:2:1%", "reset-stream:INTERNAL_ERROR:1%"),
            ("grpc-status:14:1%", "grpc-status:UNAVAILABLE:1%"),
            ("trailers-only:unavailable", "trailers-only"),
        ] {
            assert_eq!(typed.parse::<Fault>().map(|fault| fault.to_string()), Ok(written.to_owned()));
        }
    }

    #[test]
    fn a_good_certificate_ends_a_bad_one() {
        let mut faults = vec![Fault::Unhealthy];
        Fault::Certificate(Some(BadCertificate::Expired)).add_to(&mut faults);
        Fault::Certificate(Some(BadCertificate::Revoked)).add_to(&mut faults);
        assert_eq!(faults, [Fault::Unhealthy, Fault::Certificate(Some(BadCertificate::Revoked))]);
        Fault::Certificate(None).add_to(&mut faults);
        assert_eq!(faults, [Fault::Unhealthy]);
    }

    #[test]
    fn what_is_no_fault_is_told_what_was_expected() {
        for (text, error) in [
            ("", BadFault::Kind),
            ("Status:503", BadFault::Kind),
            ("status", BadFault::Status),
            ("status:199", BadFault::Status),
            ("status:600", BadFault::Status),
            ("status:+503", BadFault::Status),
            ("status:503:10", BadFault::Share),
            ("status:503:0%", BadFault::Share),
            ("status:503:100.1%", BadFault::Share),
            ("status:503:0.00000001%", BadFault::Share),
            ("status:503:.5%", BadFault::Share),
            ("status:503:", BadFault::Share),
            ("status:503:10%:10%", BadFault::More(FaultKind::Status)),
            ("grpc-status", BadFault::GrpcStatus),
            ("grpc-status:17", BadFault::GrpcStatus),
            ("grpc-status:10%", BadFault::GrpcStatus),
            ("trailers-only:TEAPOT", BadFault::TrailersOnly),
            ("half-message:UNAVAILABLE", BadFault::Share),
            ("latency", BadFault::Latency),
            ("latency:200", BadFault::Latency),
            ("latency:0ms", BadFault::Latency),
            ("latency:301s", BadFault::Latency),
            ("latency:-1s", BadFault::Latency),
            ("latency:200ms±201ms", BadFault::Spread),
            ("latency:200ms±", BadFault::Latency),
            ("fail-first", BadFault::Attempts),
            ("fail-first:0", BadFault::Attempts),
            ("fail-first:1001", BadFault::Attempts),
            ("fail-first:2:10%", BadFault::More(FaultKind::FailFirst)),
            ("unhealthy:10%", BadFault::More(FaultKind::Unhealthy)),
            ("certificate", BadFault::Certificate),
            ("certificate:bad", BadFault::Certificate),
            ("certificate:expired:10%", BadFault::More(FaultKind::Certificate)),
            ("reset-stream", BadFault::Code),
            ("reset-stream:10%", BadFault::Code),
            ("max-streams:0", BadFault::Streams),
            ("max-streams", BadFault::Streams),
            ("goaway:1", BadFault::Share),
        ] {
            assert_eq!(text.parse::<Fault>(), Err(error), "{text}");
        }
    }
}
