//! The response as it was written and as it came: what backends write, what they say of it in a header, and in what the
//! client finds it changed.
//!
//! # `Response-Digest`
//!
//! Sixteen hexadecimal digits: eight of the head (status and [`COVERED`] fields), eight of the body, each the low 32 bits of a
//! 64-bit digest. Of a body that is made while it is sent (`/bytes/N`) they tell its length: see [`of_pattern`]. Where the messages of
//! a gRPC call are not known before they are sent, the field stands in the trailers. Eight more digits in a head are the time of its Date,
//! in seconds since 1970: a balancer may write its own, by its own clock ([`is_another_date`]).
//! The fields that are covered are a function of status and content ([`WrittenHead`]), so that a client which finds another digest
//! can name what was changed.

use std::fmt;

use http::{digest, encode, grpc};

/// Header of every response: digests of its head and its body.
pub const DIGEST_HEADER: &str = "Response-Digest";

/// Trailer of a call that failed: its `grpc-message`, as the backend wrote it.
pub const MESSAGE_HEADER: &str = "response-message";

/// The end-to-end fields that a digest covers, in its order. Balancers have no reason to change them, apart from
/// Vary when they compress.
pub const COVERED: [&str; 6] = ["Content-Type", "Cache-Control", "Vary", "Location", "WWW-Authenticate", "Allow"];

http::named_enum! {
    /// The kind of a response's content.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub enum ContentKind {
        /// The page, chosen by Accept.
        Html => "text/html; charset=utf-8",
        /// The same facts for programs, chosen by Accept.
        Json => "application/json",
        /// The same facts for a terminal, chosen by Accept.
        Text => "text/plain; charset=utf-8",
        /// Lines of text, whatever the client accepts.
        Line => "text/plain; charset=utf-8",
        /// A body of the [`PATTERN`].
        Bytes => "application/octet-stream",
        /// Server-sent events, written while the stream lasts.
        Events => "text/event-stream",
        /// Messages of a gRPC call.
        Grpc => grpc::CONTENT_TYPE,
    }

    /// Its media type.
    fn media_type;
}

impl ContentKind {
    fn is_negotiated(self) -> bool {
        match self {
            ContentKind::Html | ContentKind::Json | ContentKind::Text => true,
            ContentKind::Line | ContentKind::Bytes | ContentKind::Events | ContentKind::Grpc => false,
        }
    }
}

/// The head of a response as a backend writes it, as far as a digest covers it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct WrittenHead {
    /// The status code of the response.
    pub status: u16,
    /// What kind of content it announces.
    pub content: ContentKind,
}

impl WrittenHead {
    /// The value of each of the [`COVERED`] fields.
    pub fn values(self) -> [Option<&'static str>; COVERED.len()] {
        let WrittenHead { status, content } = self;
        [
            has_content_type(status).then(|| content.media_type()),
            Some("no-store"),
            content.is_negotiated().then_some("Accept"),
            matches!(status, 301 | 302 | 303 | 307 | 308).then_some("/"),
            // A browser asks its user for a password only where it says Basic or Digest.
            (status == 401).then_some("Bearer realm=\"uuid-generator\""),
            (status == 405).then_some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        ]
    }

    /// Digest of the head.
    pub fn head_digest(self) -> u32 {
        let mut head = ReceivedHead::default();
        for (name, value) in COVERED.iter().zip(self.values()) {
            if let Some(value) = value {
                head.see(name, value.as_bytes());
            }
        }
        head.digest(self.status)
    }
}

/// RFC 9110 §8.6: 204 says nothing of a content, and of 304 it would be that of another response.
pub fn has_content_type(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

/// Digest of a body that is at hand.
pub fn of_body(body: &[u8]) -> u32 {
    digest(body) as u32
}

/// Digest in place of a body that consists of that many bytes of the [`PATTERN`].
pub fn of_pattern(length: u64) -> u32 {
    digest(&length.to_le_bytes()) as u32
}

/// The value of the header.
pub fn digest_value(head: u32, body: u32) -> [u8; 16] {
    encode::hexadecimal(u64::from(head) << 32 | u64::from(body))
}

/// The value of the header in a head whose Date is that second.
pub fn dated_digest_value(head: u32, body: u32, second: u32) -> [u8; 24] {
    let mut value = [0; 24];
    value[..16].copy_from_slice(&digest_value(head, body));
    value[16..].copy_from_slice(&encode::hexadecimal::<8>(u64::from(second)));
    value
}

/// Reads the value of the header: the digests of head and body.
pub fn read_digest_value(value: &[u8]) -> Option<(u32, u32)> {
    let (digests, date) = value.split_at_checked(16)?;
    let number = hexadecimal(digests)?;
    (date.is_empty() || hexadecimal(date).is_some() && date.len() == 8)
        .then_some(((number >> 32) as u32, number as u32))
}

/// The second of the Date that was written, if the value of the header tells it.
pub fn read_date(value: &[u8]) -> Option<u32> {
    hexadecimal(value.get(16..).filter(|date| date.len() == 8)?).map(|second| second as u32)
}

/// Whether a Date is neither the one that was written nor that of another host: clocks that anybody sets are nearer to each other.
pub fn is_another_date(written: u32, received: u64) -> bool {
    const CLOCKS: u64 = 5 * 60;
    received.abs_diff(u64::from(written)) > CLOCKS
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(digit))
    })
}

/// The covered fields of a response as it came, gathered line by line. It holds no text: ten million of them may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceivedHead {
    values: [u64; COVERED.len()],
    lines: [u8; COVERED.len()],
    first: [u64; COVERED.len()],
}

impl ReceivedHead {
    /// Takes a field line. A name that is not covered changes nothing.
    pub fn see(&mut self, name: &str, value: &[u8]) {
        let index = match name.len() {
            4 => 2,
            5 => 5,
            8 => 3,
            12 => 0,
            13 => 1,
            16 => 4,
            _ => return,
        };
        if !name.eq_ignore_ascii_case(COVERED[index]) {
            return;
        }
        let value = digest(value);
        self.values[index] = mix(self.values[index], value);
        if self.lines[index] == 0 {
            self.first[index] = value;
        }
        self.lines[index] = self.lines[index].saturating_add(1);
    }

    /// Digest of this head with that status.
    pub fn digest(&self, status: u16) -> u32 {
        let all = self.values.iter().fold(u64::from(status) + 1, |all, value| mix(all, *value));
        (all >> 32 ^ all) as u32
    }

    /// What was changed on the way, given the digest of what was written; `None` if no backend of this program writes a head with
    /// that digest: then the digest itself was changed.
    pub fn changes(&self, status: u16, written: u32) -> Option<Vec<HeadChange>> {
        let statuses = std::iter::once(status).chain(200..600);
        let mut candidates = statuses
            .flat_map(|status| ContentKind::ALL.into_iter().map(move |content| WrittenHead { status, content }));
        let written = candidates.find(|candidate| candidate.head_digest() == written)?;
        Some(self.changes_of(status, written))
    }

    /// What was changed on the way of a head that is known.
    pub fn changes_of(&self, status: u16, written: WrittenHead) -> Vec<HeadChange> {
        let mut changes = Vec::new();
        if written.status != status {
            changes.push(HeadChange::Status { written: written.status });
        }
        for ((name, value), index) in COVERED.into_iter().zip(written.values()).zip(0..) {
            let lines = self.lines[index];
            match value {
                None if lines > 0 => changes.push(HeadChange::Added { name }),
                None => {}
                Some(written) if lines == 0 => changes.push(HeadChange::Lost { name, written }),
                Some(written) if self.first[index] != digest(written.as_bytes()) => {
                    changes.push(HeadChange::Changed { name, written });
                }
                Some(_) if lines > 1 => changes.push(HeadChange::Doubled { name }),
                Some(_) => {}
            }
        }
        changes
    }
}

fn mix(state: u64, value: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (state.rotate_left(23) ^ value).wrapping_mul(ODD);
    mixed ^ mixed >> 29
}

/// A way in which the head that came is not the one that was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HeadChange {
    /// The status is another one.
    Status {
        /// The one that the backend wrote.
        written: u16,
    },
    /// A field did not come.
    Lost {
        /// Name of the field.
        name: &'static str,
        /// The value that the backend wrote.
        written: &'static str,
    },
    /// A field came with another value.
    Changed {
        /// Name of the field.
        name: &'static str,
        /// The value that the backend wrote.
        written: &'static str,
    },
    /// A field came as it was written, and then once more.
    Doubled {
        /// Name of the field.
        name: &'static str,
    },
    /// A field came that the backend did not write.
    Added {
        /// Name of the field.
        name: &'static str,
    },
}

/// A clause for reports: `Cache-Control changed (written: no-store)`.
impl fmt::Display for HeadChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadChange::Status { written } => write!(f, "status changed (written: {written})"),
            HeadChange::Lost { name, written } => write!(f, "{name} lost (written: {written})"),
            HeadChange::Changed { name, written } => write!(f, "{name} changed (written: {written})"),
            HeadChange::Doubled { name } => write!(f, "{name} doubled"),
            HeadChange::Added { name } => write!(f, "{name} added"),
        }
    }
}

/// What bodies of `/bytes/N` repeat.
pub const PATTERN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Whether these bytes, found at that position of a body, are those of the [`PATTERN`].
pub fn is_pattern(position: u64, bytes: &[u8]) -> bool {
    let skip = (position % PATTERN.len() as u64) as usize;
    let (start, rest) = bytes.split_at(bytes.len().min(PATTERN.len() - skip));
    let (whole, tail) = rest.as_chunks::<{ PATTERN.len() }>();
    start == &PATTERN[skip..skip + start.len()]
        && whole.iter().all(|chunk| chunk == PATTERN)
        && tail == &PATTERN[..tail.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn received(fields: &[(&str, &str)]) -> ReceivedHead {
        let mut head = ReceivedHead::default();
        fields.iter().for_each(|(name, value)| head.see(name, value.as_bytes()));
        head
    }

    #[test]
    fn a_head_that_came_as_it_was_written_has_its_digest_in_whatever_order() {
        let page = WrittenHead { status: 200, content: ContentKind::Html };
        let head = received(&[
            ("date", "now"),
            ("vary", "Accept"),
            ("CACHE-CONTROL", "no-store"),
            ("content-type", "text/html; charset=utf-8"),
            ("Server", "x"),
        ]);
        assert_eq!(head.digest(200), page.head_digest());
        assert_eq!(head.changes(200, page.head_digest()), Some(vec![]));
    }

    #[test]
    fn each_change_of_a_head_is_named() {
        let html = ("Content-Type", "text/html; charset=utf-8");
        let (private, vary) = (("Cache-Control", "no-store"), ("Vary", "Accept"));
        let digest = WrittenHead { status: 200, content: ContentKind::Html }.head_digest();
        type Row<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);
        let rows: [Row; 8] = [
            (
                &[html, ("Cache-Control", "public, max-age=86400"), vary],
                200,
                "Cache-Control changed (written: no-store)",
            ),
            (&[html, private, ("Cache-Control", "public"), vary], 200, "Cache-Control doubled"),
            (&[html, html, private, vary], 200, "Content-Type doubled"),
            (
                &[("Content-Type", "application/octet-stream"), private, vary],
                200,
                "Content-Type changed (written: text/html; charset=utf-8)",
            ),
            (&[html, vary], 200, "Cache-Control lost (written: no-store)"),
            (&[html, private, vary, ("Location", "/")], 200, "Location added"),
            (&[html, private, vary], 404, "status changed (written: 200)"),
            (&[html, private, ("Vary", "Accept-Encoding, Accept")], 200, "Vary changed (written: Accept)"),
        ];
        for (fields, status, expected) in rows {
            let head = received(fields);
            assert_ne!(head.digest(status), digest, "{expected}");
            let changes = head.changes(status, digest).unwrap();
            let [change] = changes[..] else { panic!("{changes:?} instead of {expected}") };
            assert_eq!(change.to_string(), expected);
        }
        assert_eq!(received(&[html, private, vary]).changes(200, digest ^ 1), None);
    }

    #[test]
    fn all_heads_that_backends_write_have_digests_of_their_own() {
        let mut digests: Vec<u32> = (200..600)
            .flat_map(|status| ContentKind::ALL.map(|content| WrittenHead { status, content }))
            // Without Content-Type a line and bytes are written alike, and so are pages in different formats.
            .filter(|it| {
                has_content_type(it.status) || it.content == ContentKind::Line || it.content == ContentKind::Html
            })
            .map(WrittenHead::head_digest)
            .collect();
        let all = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), all);
    }

    proptest! {
        #[test]
        fn a_digest_survives_its_header(head: u32, body: u32, second: u32) {
            let (value, dated) = (digest_value(head, body), dated_digest_value(head, body, second));
            prop_assert_eq!((read_digest_value(&value), read_date(&value)), (Some((head, body)), None));
            prop_assert_eq!((read_digest_value(&dated), read_date(&dated)), (Some((head, body)), Some(second)));
            prop_assert_eq!(read_digest_value(&dated[..20]), None);
        }

        #[test]
        fn the_pattern_is_known_at_every_position(start in 0..1000u64, length in 0..500usize, wrong in 0..500usize) {
            let whole = PATTERN.repeat(30);
            let mut piece = whole[start as usize..][..length].to_vec();
            prop_assert!(is_pattern(start, &piece));
            if let Some(byte) = piece.get_mut(wrong) {
                *byte ^= 1;
                prop_assert!(!is_pattern(start, &piece));
            }
        }
    }
}
