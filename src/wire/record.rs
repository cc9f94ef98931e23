//! What a backend notes about an attempt, and its shape in the words of the journal.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::Malformed;
use jiff::Timestamp;
use uuid::Uuid;

use crate::wire::call::{self, CALL_WORDS};
use crate::wire::clipped::Clipped;
use crate::wire::life::{self, LIFE_WORDS};
use crate::wire::{AttemptEnd, Calendar, FleetNames, Generator, Moment, RecordView, RequestId, ResponseId, Secured};
use verdict::Call;
use verdict::life::Life;
use verdict::notes::{Note, Notes};
use verdict::request::{Differences, FieldMask, SentBody};

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// An end of a TCP connection.
    Address(SocketAddr),
    /// Of a unix socket. A client's has no name.
    Unix,
}

impl End {
    /// As words of the journal: what no end of a connection can be stands for a unix socket.
    pub(super) const UNIX: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
}

/// `unix` in place of an address.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Address(address) => address.fmt(f),
            End::Unix => f.write_str("unix"),
        }
    }
}

/// What the backend noted about an attempt. As words of the journal it has [`RECORD_WORDS`] × 8 = 320 bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// Number of the attempt in its backend process, from 1.
    pub(crate) number: u64,
    /// When the head of the request had been read.
    pub(crate) received: Moment,
    /// When the response had been written, or given up.
    pub(crate) responded: Moment,
    pub(crate) generator: Generator,
    /// The UUID of its response; none for health.
    pub(crate) response: Option<ResponseId>,
    /// The client's id for the request, if it sent ours.
    pub(crate) request: Option<RequestId>,
    /// Number of the connection in its backend process, from 1.
    pub(crate) connection: u64,
    /// Number of the request on that connection, from 1.
    pub(crate) request_number: u32,
    /// The other end of the connection, or the client that a PROXY header tells of.
    pub(crate) peer: End,
    /// Empty if the request could not be understood.
    pub(crate) method: Clipped<METHOD_BYTES>,
    /// Path and query as received; empty if the request could not be understood.
    pub(crate) path: Clipped<PATH_BYTES>,
    /// Status code of the response.
    pub(crate) status: u16,
    /// Bytes of the response that were written, head and body.
    pub(crate) bytes: u64,
    /// Whether its response was written whole.
    pub(crate) outcome: AttemptEnd,
    /// The request as it arrived, beyond its method and path.
    pub(crate) arrived: AsArrived,
    /// Why the backend refused to read it.
    pub(crate) refusal: Option<Refusal>,
    /// Of a unit with a life: what has become of it.
    pub(crate) life: Option<Life>,
    /// Of a gRPC call, which has no such life.
    pub(crate) call: Option<Call>,
    pub(crate) tls: Option<Secured>,
}

/// Why a backend did not read a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Refusal {
    /// Its bytes are no request, or could be read in two ways.
    Malformed(Malformed),
    /// Its head took longer than the limit.
    TooSlow,
    /// It came without TLS to a port that speaks TLS.
    NoTls,
}

impl Refusal {
    /// In a byte of the journal: 0 says that there is none.
    pub(super) fn code(refusal: Option<Refusal>) -> u8 {
        match refusal {
            None => 0,
            Some(Refusal::TooSlow) => u8::MAX,
            Some(Refusal::NoTls) => u8::MAX - 1,
            Some(Refusal::Malformed(why)) => {
                let index = Malformed::ALL.iter().position(|it| *it == why);
                index.and_then(|index| u8::try_from(index + 1).ok()).unwrap_or(u8::MAX)
            }
        }
    }

    fn from_code(code: u8) -> Option<Refusal> {
        match code {
            0 => None,
            u8::MAX => Some(Refusal::TooSlow),
            code if code == u8::MAX - 1 => Some(Refusal::NoTls),
            code => Malformed::ALL.get(usize::from(code) - 1).copied().map(Refusal::Malformed),
        }
    }
}

/// The sentence that its sender reads.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Malformed(why) => why.fmt(f),
            Refusal::TooSlow => f.write_str("the request's head did not arrive in time"),
            Refusal::NoTls => f.write_str("a plain HTTP request was sent to an HTTPS port"),
        }
    }
}

/// A request as it arrived: what is compared with the request as it was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AsArrived {
    /// Parts that differ from what its client says that it sent.
    pub(crate) differences: Differences,
    /// Which of the user's own fields do.
    pub(crate) fields: FieldMask,
    pub(crate) notes: Notes,
    /// Host and port, from the target or the Host field.
    pub(crate) host: Clipped<HOST_BYTES>,
    /// X-Forwarded-For, several lines joined.
    pub(crate) forwarded_for: Clipped<FORWARDED_BYTES>,
    /// Digest of the target, also of what is not kept.
    pub(crate) target: u64,
    /// Content that came; final when the attempt has ended.
    pub(crate) body: SentBody,
}

/// What becomes known of an attempt between its head and its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revision {
    /// Length and digest of the content that arrived.
    pub(crate) body: SentBody,
    /// Parts that arrived other than they were sent.
    pub(crate) differences: Differences,
    /// Why its body could not be read.
    pub(crate) refusal: Option<Refusal>,
}

/// Size of a record in words of 8 bytes.
pub(crate) const RECORD_WORDS: usize = 40;
/// When the response had been written is in that word.
pub(crate) const RESPONDED_WORD: usize = 2;
/// A record keeps this much of the method.
pub(crate) const METHOD_BYTES: usize = 16;
/// A record keeps this much of path and query, with the length that they had; up to five words less where Host and
/// X-Forwarded-For need them, and four less where there is a life or a call.
pub(crate) const PATH_BYTES: usize = 136;
/// A record keeps this much of Host.
pub(crate) const HOST_BYTES: usize = 32;
/// A record keeps this much of X-Forwarded-For.
pub(crate) const FORWARDED_BYTES: usize = 40;
/// Of a longer one the length is not known.
pub(super) const LONGEST_PATH: u32 = (1 << 20) - 1;
/// Above it in that word: the notes for which there is no room in the word of the flags.
pub(super) const FURTHER_NOTES: u32 = 32 + 20;
pub(super) const METHOD_WORD: usize = 13;
pub(super) const BODY_LENGTH_WORD: usize = 15;
pub(super) const BODY_DIGEST_WORD: usize = 16;
pub(super) const TARGET_WORD: usize = 17;
pub(super) const FLAGS_WORD: usize = 18;
/// A life or a call, where there is one; then TLS, where there is some; then Host, X-Forwarded-For and path, each from a word of its own on.
pub(super) const TEXT_WORD: usize = 19;
/// Beside the end of the attempt, in its byte.
pub(super) const HAS_LIFE: u64 = 0x80;
pub(super) const HAS_TLS: u64 = 0x40;
pub(super) const HAS_CALL: u64 = 0x20;
const OUTCOME: u64 = 0x1f;

impl Default for Record {
    /// Of nothing: for tests, and as a base.
    fn default() -> Record {
        Record {
            number: 0,
            received: Moment(0),
            responded: Moment(0),
            generator: Generator(0),
            response: None,
            request: None,
            connection: 0,
            request_number: 0,
            peer: End::Unix,
            method: Clipped::default(),
            path: Clipped::default(),
            status: 0,
            bytes: 0,
            outcome: AttemptEnd::Received,
            arrived: AsArrived::default(),
            refusal: None,
            life: None,
            call: None,
            tls: None,
        }
    }
}

impl Record {
    /// Writes what has become known of an attempt in flight since it was claimed into its words: where, and what.
    pub(crate) fn revise(word: impl Fn(usize) -> u64, revision: &Revision) -> [(usize, u64); 4] {
        let mut flags = word(FLAGS_WORD) & !0xffff;
        flags |= u64::from(revision.differences.bits());
        let end = word(12) & !(0xff << 56) | u64::from(Refusal::code(revision.refusal)) << 56;
        [
            (BODY_LENGTH_WORD, revision.body.length),
            (BODY_DIGEST_WORD, revision.body.digest),
            (FLAGS_WORD, flags),
            (12, end),
        ]
    }

    /// What has become of a life that was claimed with its attempt: where, and what.
    pub(crate) fn life_words(life: &Life) -> impl Iterator<Item = (usize, u64)> {
        (TEXT_WORD..).zip(life::to_words(life))
    }

    /// What has become of a call that was claimed with its attempt: where, and what.
    pub(crate) fn call_words(call: &Call) -> impl Iterator<Item = (usize, u64)> {
        (TEXT_WORD..).zip(call::to_words(call))
    }

    /// How an attempt that was received has ended, to be written into its words: where, and what.
    pub(crate) fn end(
        word: impl Fn(usize) -> u64,
        status: u16,
        answered: Moment,
        bytes: u64,
        outcome: AttemptEnd,
    ) -> [(usize, u64); 4] {
        let (status, outcome) = (word(8) & !0xffff | u64::from(status), word(12) & !OUTCOME | outcome.word());
        [(RESPONDED_WORD, answered.0), (8, status), (9, bytes), (12, outcome)]
    }

    /// The inverse of `Record::to_words`, which is next to what is written of an attempt when it is received.
    pub(crate) fn from_words(words: &[u64; RECORD_WORDS]) -> Record {
        let address = Ipv6Addr::from_bits(u128::from(words[10]) << 64 | u128::from(words[11]));
        let peer = SocketAddr::new(address.to_canonical(), (words[12] >> 16) as u16);
        let flags = words[FLAGS_WORD];
        let has_life = words[12] & HAS_LIFE != 0;
        let after_life = TEXT_WORD + if has_life { LIFE_WORDS } else { 0 };
        let has_call = words[12] & HAS_CALL != 0;
        let after_call = after_life + if has_call { CALL_WORDS } else { 0 };
        let has_tls = words[12] & HAS_TLS != 0;
        let tls = has_tls.then(|| Secured::of_words(words[after_call], &words[after_call + 1..]));
        let texts = after_call + tls.map_or(0, |(_, names)| 1 + names);
        let host = Clipped::read(&words[texts..], (flags >> 48 & 0xff) as u32);
        let forwarded = texts + host.words();
        let forwarded_for = Clipped::read(&words[forwarded..], (flags >> 56) as u32);
        let path = forwarded + forwarded_for.words();
        Record {
            number: words[0],
            received: Moment(words[1]),
            responded: Moment(words[RESPONDED_WORD]),
            response: Some(ResponseId(Uuid::from_u64_pair(words[3], words[4]))).filter(|answer| !answer.0.is_nil()),
            request: Some(RequestId { run: words[5], sequence: words[6] }).filter(|request| request.run != 0),
            connection: words[7],
            request_number: (words[8] >> 32) as u32,
            generator: Generator((words[8] >> 16) as u16),
            status: words[8] as u16,
            bytes: words[9],
            peer: if peer == End::UNIX { End::Unix } else { End::Address(peer) },
            outcome: AttemptEnd::of_word(words[12] & OUTCOME),
            method: Clipped::read(&words[METHOD_WORD..BODY_LENGTH_WORD], (words[12] >> 8 & 0xff) as u32),
            path: Clipped::read(&words[path..], (words[12] >> 32) as u32 & LONGEST_PATH),
            refusal: Refusal::from_code((words[12] >> 56) as u8),
            life: if has_life { life::from_words(&words[TEXT_WORD..]) } else { None },
            call: if has_call { call::from_words(&words[after_life..]) } else { None },
            tls: tls.map(|(tls, _)| tls),
            arrived: AsArrived {
                differences: Differences::from_bits(flags as u16),
                fields: FieldMask((flags >> 16) as u16),
                notes: Notes::from_bits(
                    (flags >> 32) as u32 & 0xffff | ((words[12] >> FURTHER_NOTES) as u32 & 0xf) << 16,
                ),
                host,
                forwarded_for,
                target: words[TARGET_WORD],
                body: SentBody { length: words[BODY_LENGTH_WORD], digest: words[BODY_DIGEST_WORD] },
            },
        }
    }
}

impl Record {
    /// As the API and the log for programs give it: with its times on the calendar and the name of its backend.
    pub(crate) fn view(&self, calendar: &Calendar, names: &FleetNames) -> RecordView {
        let time = |moment: Moment| {
            let time = Timestamp::from_nanosecond(i128::from(calendar.unix(moment))).unwrap_or_default();
            format!("{time:.9}")
        };
        let arrived = &self.arrived;
        RecordView {
            backend: names.of(self.generator).to_owned(),
            response: self.response,
            request: self.request,
            received: time(self.received),
            responded: (self.outcome != AttemptEnd::Received).then(|| time(self.responded)),
            connection: self.connection,
            request_number: self.request_number,
            peer: self.peer.to_string(),
            method: self.method.to_string(),
            path: self.path.to_string(),
            status: self.status,
            bytes: self.bytes,
            outcome: self.outcome,
            refusal: self.refusal.map(|refusal| refusal.to_string()),
            life: self.life,
            call: self.call.as_ref().map(call::view),
            host: arrived.host.to_string(),
            forwarded_for: arrived.notes.contains(Note::ForwardedFor).then(|| arrived.forwarded_for.to_string()),
            body_bytes: arrived.body.length,
            body_digest: (arrived.body.length > 0).then(|| format!("{:016x}", arrived.body.digest)),
            differences: arrived.differences.iter().map(|part| part.name().to_owned()).collect(),
            differing_fields: arrived.fields.iter().collect(),
            notes: arrived.notes.iter().map(|note| note.name().to_owned()).collect(),
            tls: self.tls.as_ref().map(Secured::view),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{BadCertificate, Protocol, TlsVersion};
    use http::grpc::GrpcStatus;
    use http::h2::ErrorCode;
    use proptest::prelude::*;
    use std::time::Duration;
    use verdict::life::{LifeEnd, StreamKind};

    fn any_record() -> impl Strategy<Value = Record> {
        let numbers =
            (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u16>(), any::<u64>());
        let ids = (proptest::option::of(1..u128::MAX), proptest::option::of((1..u64::MAX, any::<u64>())));
        let address = (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port));
        let peer = prop_oneof![9 => address.prop_map(End::Address), 1 => Just(End::Unix)];
        let texts = (proptest::collection::vec(any::<u8>(), 0..40), proptest::collection::vec(any::<u8>(), 0..300));
        let outcome = proptest::sample::select(&AttemptEnd::ALL[..]);
        let unit = prop_oneof![
            Just((None, None)),
            any_life().prop_map(|life| (Some(life), None)),
            any_call().prop_map(|call| (None, Some(call))),
        ];
        (numbers, ids, peer, texts, outcome, any_arrival(), unit).prop_map(
            |(numbers, ids, peer, (method, path), outcome, (arrived, refusal), (life, call))| Record {
                number: numbers.0,
                received: Moment(numbers.1),
                responded: Moment(numbers.2),
                connection: numbers.3,
                request_number: numbers.4,
                status: numbers.5,
                generator: Generator(numbers.5 ^ 1),
                bytes: numbers.6,
                response: ids.0.map(|bits| ResponseId(Uuid::from_u128(bits))),
                request: ids.1.map(|(run, sequence)| RequestId { run, sequence }),
                peer,
                method: Clipped::new(&method),
                path: Clipped::new(&path),
                outcome,
                arrived,
                refusal,
                life,
                call,
                tls: None,
            },
        )
    }

    fn any_life() -> impl Strategy<Value = Life> {
        let kind = proptest::sample::select(&StreamKind::ALL[..]);
        let end = proptest::sample::select(&LifeEnd::ALL[..]);
        let codes = (proptest::option::of(1..u16::MAX), proptest::option::of(1..u16::MAX));
        (kind, end, any::<[u32; 4]>(), any::<(u16, u64)>(), codes).prop_map(
            |(kind, end, counts, (misplaced, received_bytes), codes)| {
                let [first, written, received, last_received] = counts;
                let (close_sent, close_received) = codes;
                Life {
                    kind,
                    first,
                    written,
                    received,
                    last_received,
                    misplaced,
                    received_bytes,
                    end,
                    close_sent,
                    close_received,
                }
            },
        )
    }

    fn any_call() -> impl Strategy<Value = Call> {
        let codes = (proptest::option::of(0..=255u32), proptest::option::of(any::<u32>()));
        (codes, proptest::option::of(any::<u64>()), any::<[u32; 3]>(), any::<(bool, u16)>()).prop_map(
            |((status, code), timeout, [received, last_received, written], (is_trailers_only, misplaced))| Call {
                status: status.map(GrpcStatus),
                is_trailers_only,
                timeout: timeout.map(Duration::from_nanos),
                cancelled: code.map(ErrorCode),
                received,
                last_received,
                misplaced,
                written,
            },
        )
    }

    fn any_tls() -> impl Strategy<Value = Option<Secured>> {
        let name = || proptest::option::of(proptest::collection::vec(any::<u8>(), 1..40));
        let protocol = prop_oneof![Just(None), Just(Some(Protocol::Http1)), Just(Some(Protocol::Http2))];
        let bad = proptest::option::of(proptest::sample::select(&BadCertificate::ALL[..]));
        let secured = (any::<(bool, bool, u16)>(), protocol, bad, name(), name());
        proptest::option::of(secured.prop_map(|((new, resumed, cipher), protocol, bad, name, client)| Secured {
            version: if new { TlsVersion::V13 } else { TlsVersion::V12 },
            cipher,
            protocol,
            bad,
            resumed,
            name: name.map(|name| Clipped::new(&name)),
            client: client.map(|client| Clipped::new(&client)),
        }))
    }

    fn any_arrival() -> impl Strategy<Value = (AsArrived, Option<Refusal>)> {
        let refusal = prop_oneof![
            Just(None),
            Just(Some(Refusal::TooSlow)),
            proptest::sample::select(&Malformed::ALL[..]).prop_map(|why| Some(Refusal::Malformed(why))),
        ];
        let texts = (proptest::collection::vec(any::<u8>(), 0..40), proptest::collection::vec(any::<u8>(), 0..50));
        let arrived = (any::<[u16; 3]>(), any::<u32>(), any::<[u64; 3]>(), texts).prop_map(
            |(flags, notes, numbers, (host, forwarded))| AsArrived {
                differences: Differences::from_bits(flags[0]),
                fields: FieldMask(flags[1]),
                notes: Notes::from_bits(u32::from(flags[2]) | notes),
                host: Clipped::new(&host),
                forwarded_for: Clipped::new(&forwarded),
                target: numbers[0],
                body: SentBody { length: numbers[1], digest: numbers[2] },
            },
        );
        (arrived, refusal)
    }

    /// With as much of its path as there is room for in addition to the other texts.
    fn fitted(record: Record) -> Record {
        let life = if record.life.is_some() { LIFE_WORDS } else { 0 };
        let life = life + if record.call.is_some() { CALL_WORDS } else { 0 };
        let names = |tls: Secured| tls.name.map_or(0, |it| it.words()) + tls.client.map_or(0, |it| it.words());
        let tls = record.tls.map_or(0, |tls| 1 + names(tls));
        let texts = record.arrived.host.words() + record.arrived.forwarded_for.words();
        let room = (RECORD_WORDS - TEXT_WORD - life - tls - texts) * 8;
        let mut path = record.path;
        path.kept = path.kept.min(room as u8);
        path.bytes[usize::from(path.kept)..].fill(0);
        Record { path, ..record }
    }

    #[test]
    fn a_path_keeps_its_bytes_unless_host_and_forwarded_for_need_them() {
        let record = |host: &[u8], forwarded: &[u8]| {
            let arrived =
                AsArrived { host: Clipped::new(host), forwarded_for: Clipped::new(forwarded), ..AsArrived::default() };
            let record = Record { path: Clipped::new(&[b'a'; 200]), arrived, ..Record::default() };
            let kept = Record::from_words(&record.to_words().0).path;
            assert!(kept.is_clipped());
            kept.as_bytes().len()
        };
        assert_eq!(record(b"127.0.0.1:9001", b"127.0.0.1"), PATH_BYTES);
        assert_eq!(record(&[b'h'; 99], &[b'f'; 99]), PATH_BYTES - 40);
    }

    proptest! {
        #[test]
        fn a_record_survives_the_journal_even_when_unused_words_hold_anything(
            record in any_record(),
            tls in any_tls(),
            noise: u64,
        ) {
            let record = Record { tls, ..record };
            let (mut words, used) = record.to_words();
            words[used..].fill(noise);
            prop_assert_eq!(Record::from_words(&words), fitted(record));
        }

        #[test]
        fn any_bytes_are_safe_in_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shown = Clipped::<PATH_BYTES>::new(&bytes).to_string();
            prop_assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
    }
}
