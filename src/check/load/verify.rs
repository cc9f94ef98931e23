//! Whether a response is the one that its backend wrote: by the digest that it carries; without one by our page, or by the
//! response's id in the body. A content coding that was added on the way is undone first.

use std::time::UNIX_EPOCH;

use http::{Digest, Framing, Malformed, ResponseHead};

use crate::check::load::coding::Coding;
use crate::check::load::identify::{BackendNames, Identify};
use crate::check::load::page::{Page, UuidSearch};
use verdict::observation::Flaw;
use verdict::response::{
    HeadChange, PATTERN, ReceivedHead, has_content_type, is_another_date, is_pattern, of_body, of_pattern, read_date,
    read_digest_value,
};

/// What a response is compared with, and how far that has come.
#[derive(Debug)]
pub(super) struct Verify {
    /// Digests of head and body, as the response carries them.
    said: Option<(u32, u32)>,
    /// The digest of the body, as the trailers of a call carry it.
    late: Option<u32>,
    /// The digest is none, or there are two.
    unreadable: bool,
    head: ReceivedHead,
    date: DateComparison,
    varies_by_accept: bool,
    kind: Kind,
    /// The head names one of our backends.
    ours: bool,
    coding: Coding,
    /// Bytes of content, decoded.
    length: u64,
    against: Against,
    /// Where the digest is there and the head does not say who wrote it: our page may.
    unnamed: Option<Box<Page>>,
    /// The first bytes of content that has no digest: bodies that are made while they are sent have none.
    beginning: Vec<u8>,
}

/// How bodies begin that are written event by event (`verdict::life::StreamEvent`).
const EVENTS: [&[u8]; 2] = [b"{\"event\":", b"id: "];

#[derive(Debug)]
enum Against {
    Nothing,
    /// Our page, where no digest says better.
    Page(Box<Page>),
    /// The id that must stand in it.
    Search(Box<UuidSearch>),
    Digest(BodyDigest),
}

/// Date as it was written and as it came.
#[derive(Debug, Default)]
struct DateComparison {
    /// Seconds since 1970.
    written: Option<u32>,
    lines: u8,
    /// Of the last line; `None` if that is no date.
    received: Option<u64>,
}

impl DateComparison {
    fn see(&mut self, value: &[u8]) {
        let date = str::from_utf8(value).ok().and_then(|text| httpdate::parse_http_date(text).ok());
        self.received = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).map(|since| since.as_secs());
        self.lines = self.lines.saturating_add(1);
    }

    fn changed(&self) -> Option<u32> {
        let is_right = |written| self.lines == 1 && self.received.is_some_and(|date| !is_another_date(written, date));
        self.written.filter(|written| !is_right(*written))
    }
}

/// The digest of a body as it comes.
#[derive(Debug)]
enum BodyDigest {
    /// No byte has come.
    Empty,
    /// All of it came in one piece, as most do.
    Whole(u32),
    Pieces(Digest),
    /// Bytes of the pattern, so far: a backend tells their number alone.
    Pattern,
}

/// What the comparison of a body shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct BodyComparison {
    /// Of what kind the response is not the one that was written.
    pub(super) flaw: Option<Flaw>,
    /// Fields that are not as the backend wrote them.
    pub(super) changes: Vec<HeadChange>,
    /// The head's digest is none that a backend writes.
    pub(super) digest_changed: bool,
    /// It has none, though it says that one of our backends wrote it: bodies and fields are then hardly compared.
    pub(super) digest_lost: bool,
}

/// What two readers of a response may take for its end. Our backends write one length, which whoever reads both may refuse.
pub(super) fn ambiguous_length(head: &ResponseHead, is_of_fleet: bool) -> Option<Malformed> {
    match head.fields.elements("content-length").count() {
        0 => None,
        _ if head.framing == Framing::Chunked => Some(Malformed::LengthAndEncoding),
        lengths => (lengths > 1 && is_of_fleet).then_some(Malformed::LengthTwice),
    }
}

/// What a response is compared with depends on these.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) status: u16,
    /// Bytes of its body, where the head says.
    pub(super) length: Option<u64>,
    pub(super) has_body: bool,
    pub(super) html: bool,
    /// Whether it answers a call of gRPC.
    pub(super) call: bool,
    /// Responses of our fleet alone are compared.
    pub(super) fleet: bool,
}

impl Verify {
    pub(super) fn new() -> Verify {
        Verify {
            said: None,
            late: None,
            unreadable: false,
            head: ReceivedHead::default(),
            date: DateComparison::default(),
            varies_by_accept: false,
            kind: Kind { status: 0, length: None, has_body: false, html: false, call: false, fleet: false },
            ours: false,
            coding: Coding::Identity,
            length: 0,
            against: Against::Nothing,
            unnamed: None,
            beginning: Vec::new(),
        }
    }

    /// A field that may be one of those that a digest covers.
    pub(super) fn see_field(&mut self, name: &str, value: &[u8]) {
        self.head.see(name, value);
        if name.len() != 4 {
            return;
        }
        if name.eq_ignore_ascii_case("vary") {
            let accept = |it: &[u8]| it == b"*" || it.eq_ignore_ascii_case(b"accept");
            self.varies_by_accept |= http::list(value).any(accept);
        } else if name.eq_ignore_ascii_case("date") {
            self.date.see(value);
        }
    }

    /// Takes the digest that the backend sent in its header.
    pub(super) fn see_digest(&mut self, value: &[u8]) {
        let said = read_digest_value(value);
        self.unreadable |= said.is_none() || self.said.is_some_and(|earlier| Some(earlier) != said);
        self.said = self.said.or(said);
        self.date.written = self.date.written.or(read_date(value));
    }

    /// Takes the digest that the backend sent in the trailers, where it could not know it before.
    pub(super) fn see_late_digest(&mut self, value: &[u8]) {
        self.late = read_digest_value(value).map(|(_, body)| body);
    }

    /// A content coding: backends write none.
    pub(super) fn see_coding(&mut self, value: &[u8]) {
        self.coding.see(value);
    }

    /// Whether the head is not the one that was written.
    pub(super) fn head_differs(&self) -> bool {
        self.written_head().is_some_and(|written| self.head.digest(self.kind.status) != written)
    }

    /// Whether it is that one; nobody knows where the response does not tell.
    pub(super) fn is_head_as_written(&self) -> bool {
        self.written_head().is_some_and(|written| self.head.digest(self.kind.status) == written)
    }

    fn written_head(&self) -> Option<u32> {
        self.said.filter(|_| self.kind.fleet && !self.unreadable).map(|(written, _)| written)
    }

    /// Whether a response to HEAD has that Content-Length and says that there is no content, where the backend has some.
    pub(super) fn hides_content(&self, length: Option<&[u8]>) -> bool {
        let empty = [of_body(b""), of_pattern(0)];
        let has_content = has_content_type(self.kind.status) && self.is_head_as_written();
        let is_written = self.said.is_some_and(|(_, written)| !empty.contains(&written));
        length == Some(b"0") && has_content && is_written
    }

    /// The Date that was written, where another came.
    pub(super) fn changed_date(&self) -> Option<u32> {
        self.date.changed().filter(|_| self.kind.fleet && !self.unreadable)
    }

    pub(super) fn is_coded(&self) -> bool {
        self.coding.is_coded()
    }

    /// The head is complete.
    pub(super) fn end_head(&mut self, kind: Kind, who: &Identify) {
        self.kind = kind;
        self.ours = who.is_ours();
        self.against = match who.response {
            _ if !kind.fleet || !kind.has_body || matches!(self.coding, Coding::Other) => Against::Nothing,
            _ if self.said.is_some() && !self.unreadable => Against::Digest(BodyDigest::Empty),
            // Its messages may be the client's own, without an id; what was written, the trailers say.
            _ if kind.call => Against::Digest(BodyDigest::Empty),
            _ if kind.html || !who.is_ours() => Against::Page(Box::default()),
            // Of what is written for programs and terminals; lines of text, patterns and refusals have an id in their head alone.
            Some(response) if kind.status == 200 && self.varies_by_accept => {
                Against::Search(Box::new(UuidSearch::new(response)))
            }
            _ => Against::Nothing,
        };
        let is_named = who.named.is_some() && who.response.is_some();
        self.unnamed = (matches!(self.against, Against::Digest(_)) && !is_named).then(Box::default);
    }

    /// A piece of the body, as it came. `take` gets the content that it completes.
    pub(super) fn see_data(&mut self, data: &[u8], mut take: impl FnMut(&[u8])) {
        if !self.coding.is_coded() {
            self.compare(data);
            return take(data);
        }
        let mut coding = std::mem::replace(&mut self.coding, Coding::Identity);
        let decoded = coding.decode(data);
        self.compare(&decoded);
        take(&decoded);
        self.coding = coding;
    }

    /// The body has ended. `take` gets what remains of the content.
    pub(super) fn end_data(&mut self, mut take: impl FnMut(&[u8])) {
        let mut coding = std::mem::replace(&mut self.coding, Coding::Identity);
        coding.end(self.kind.has_body, |decoded| {
            self.compare(decoded);
            take(decoded);
        });
        self.coding = coding;
    }

    /// Bytes of content so far, decoded.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn compare(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if let Some(page) = &mut self.unnamed {
            page.feed(data);
        }
        if self.said.is_none() && self.kind.fleet {
            let room = EVENTS[0].len() - self.beginning.len();
            self.beginning.extend_from_slice(&data[..data.len().min(room)]);
        }
        match &mut self.against {
            Against::Nothing => {}
            Against::Page(page) => page.feed(data),
            Against::Search(search) => search.feed(data),
            Against::Digest(body) => {
                let is_all = self.kind.length == Some(data.len() as u64) && matches!(self.coding, Coding::Identity);
                body.feed(data, self.length, is_all);
            }
        }
        self.length += data.len() as u64;
    }

    /// The response is whole, and all of its content compared.
    pub(super) fn end(&self, who: &mut Identify, backends: &mut BackendNames) -> BodyComparison {
        let mut comparison = BodyComparison::default();
        if !self.kind.fleet {
            return comparison;
        }
        if let (Some((written, _)), true) = (self.said, self.head_differs()) {
            self.compare_head(written, &mut comparison);
        }
        if self.changed_date().is_some() {
            comparison.flaw = comparison.flaw.or(Some(Flaw::Field));
        }
        if self.unreadable {
            comparison.digest_changed = true;
            comparison.flaw = Some(Flaw::Field);
        }
        if matches!(self.coding, Coding::Broken) {
            comparison.flaw = Some(Flaw::Coding);
        } else if !comparison.digest_changed && self.body_differs() {
            comparison.flaw = Some(Flaw::Body);
        }
        let page = match &self.against {
            Against::Page(page) => Some(page),
            Against::Digest(_) => self.unnamed.as_ref(),
            Against::Nothing | Against::Search(_) => None,
        };
        if let Some((named, uuid)) = page.and_then(|page| page.whole()) {
            let other = who.says_another(named) || who.response.is_some_and(|said| said != *uuid);
            if other {
                comparison.flaw = Some(Flaw::Identity);
            }
            who.see_page(named, uuid, backends);
        }
        if self.is_digest_lost(who) {
            comparison.digest_lost = true;
            comparison.flaw = comparison.flaw.or(Some(Flaw::Field));
        }
        if who.contradicts {
            comparison.flaw = Some(Flaw::Identity);
        }
        comparison
    }

    fn compare_head(&self, written: u32, comparison: &mut BodyComparison) {
        let Some(changes) = self.head.changes(self.kind.status, written) else {
            comparison.digest_changed = true;
            comparison.flaw = Some(Flaw::Field);
            return;
        };
        for change in changes {
            match change {
                // Whoever may compress says that the response depends on more than it did.
                HeadChange::Changed { name: "Vary", .. } | HeadChange::Doubled { name: "Vary" }
                    if self.varies_by_accept => {}
                HeadChange::Added { name: "Vary" } => {}
                HeadChange::Status { .. } => {
                    comparison.flaw = Some(Flaw::Status);
                    comparison.changes.push(change);
                }
                HeadChange::Lost { .. }
                | HeadChange::Changed { .. }
                | HeadChange::Doubled { .. }
                | HeadChange::Added { .. } => {
                    comparison.flaw = comparison.flaw.or(Some(Flaw::Field));
                    comparison.changes.push(change);
                }
            }
        }
    }

    /// Whether our backend wrote a digest that did not come. It writes one with all content that it knows before that leaves; how a call
    /// ended, the balancer may have written.
    fn is_digest_lost(&self, who: &Identify) -> bool {
        let is_of_events = EVENTS.iter().any(|beginning| self.beginning.starts_with(beginning));
        let is_written = self.length > 0 && !self.kind.call && !is_of_events && who.backend.is_known();
        is_written && self.said.is_none() && !self.unreadable
    }

    fn body_differs(&self) -> bool {
        match &self.against {
            Against::Nothing => false,
            // Not our page, and nothing says that it should be.
            Against::Page(page) => self.ours && page.whole().is_none(),
            Against::Search(search) => !search.has_found(),
            Against::Digest(body) => {
                let written = self.said.map(|(_, written)| written).or(self.late);
                written.is_some_and(|written| !body.is(written, self.length))
            }
        }
    }
}

impl BodyDigest {
    /// The next piece, which begins at that position; whether it is all of the body is known where its length is.
    fn feed(&mut self, data: &[u8], position: u64, is_all: bool) {
        *self = match std::mem::replace(self, BodyDigest::Empty) {
            BodyDigest::Empty if is_pattern(0, data) => BodyDigest::Pattern,
            BodyDigest::Empty if is_all => BodyDigest::Whole(of_body(data)),
            BodyDigest::Empty => BodyDigest::Pieces(of_pieces(0, data)),
            BodyDigest::Pattern if is_pattern(position, data) => BodyDigest::Pattern,
            // It only began like the pattern.
            BodyDigest::Pattern => BodyDigest::Pieces(of_pieces(position, data)),
            BodyDigest::Pieces(mut digest) => {
                digest.update(data);
                BodyDigest::Pieces(digest)
            }
            // More than all cannot come.
            BodyDigest::Whole(digest) => BodyDigest::Whole(!digest),
        };
    }

    /// Whether a body of that length is the one that was written.
    fn is(&self, written: u32, length: u64) -> bool {
        match self {
            BodyDigest::Empty => written == of_body(b"") || written == of_pattern(0),
            BodyDigest::Whole(digest) => *digest == written,
            BodyDigest::Pieces(digest) => digest.finish() as u32 == written,
            BodyDigest::Pattern => written == of_pattern(length) || written == of_pieces(length, b"").finish() as u32,
        }
    }
}

/// Of that many bytes of the pattern, and then these.
fn of_pieces(pattern: u64, data: &[u8]) -> Digest {
    let mut digest = Digest::new();
    let (whole, rest) = (pattern / PATTERN.len() as u64, (pattern % PATTERN.len() as u64) as usize);
    (0..whole).for_each(|_| digest.update(PATTERN));
    digest.update(&PATTERN[..rest]);
    digest.update(data);
    digest
}
