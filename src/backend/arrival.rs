//! What of a request's head goes into its record, and what its fields say to us.

use std::borrow::Cow;

use http::{Framing, HttpVersion, RequestHead, digest};
use verdict::notes::{Note, Notes};
use verdict::request::{Arrived, Differences, FieldMask, RequestComparison, SENT_HEADER, SentBody, states_host};

use crate::wire::{ArrivedHead, ClippedText, REQUEST_HEADER, RequestId};

/// The request's own words to this program.
pub(super) struct CheckHeaders<'b> {
    pub(super) request: Option<RequestId>,
    pub(super) notes: Notes,
    host: &'b [u8],
    /// X-Forwarded-For, several lines joined.
    forwarded_for: Cow<'b, [u8]>,
    target: u64,
    /// What is left to compare when the body has come; none if the client did not say what it sent.
    pub(super) comparison: Option<RequestComparison>,
    /// Whether an Accept field asks for more than `*/*`.
    pub(super) states_preference: bool,
}

impl<'b> CheckHeaders<'b> {
    pub(super) fn of(head: &RequestHead<'_, 'b>) -> CheckHeaders<'b> {
        let (mut request, mut sent, mut forwarded_for, mut forwarded_host) = (None, None, None, None);
        let mut states_preference = false;
        let mut notes = Notes::default();
        for field in head.fields.iter() {
            // By length first: most fields are none of these.
            match field.name.len() {
                6 if field.name.eq_ignore_ascii_case("accept") => states_preference |= field.value != b"*/*",
                16 if field.name.eq_ignore_ascii_case(REQUEST_HEADER) => {
                    request = RequestId::from_bytes(field.value).ok();
                }
                18 if field.name.eq_ignore_ascii_case(SENT_HEADER) => sent = Some(field.value),
                _ => match Note::of_field(field.name) {
                    Some(Note::ForwardedFor) if forwarded_for.is_none() => {
                        notes.add(Note::ForwardedFor);
                        forwarded_for = Some(field.value);
                    }
                    Some(note) => {
                        notes.add_field(note, field.value);
                        if note == Note::ForwardedHost {
                            forwarded_host = Some(field.value);
                        }
                    }
                    None => {}
                },
            }
        }
        match head.version {
            HttpVersion::Http10 => notes.add(Note::Http10),
            HttpVersion::Http11 => {}
            HttpVersion::Http2 => notes.add(Note::Http2),
        }
        if head.framing == Framing::Chunked {
            notes.add(Note::Chunked);
        }
        if sent.zip(forwarded_host).and_then(|(sent, host)| states_host(sent, host)) == Some(false) {
            notes.add(Note::ForwardedHostOther);
        }
        let mut comparison = sent.map(|sent| {
            notes.add(Note::Compared);
            let (path, query) = (head.path(), head.query());
            RequestComparison::of_head(
                sent,
                &Arrived { method: head.method, path, query, host: head.host, fields: head.fields },
            )
        });
        if let (Some(comparison), Framing::None) = (&mut comparison, head.framing) {
            comparison.see_body(SentBody::of(b""));
        }
        CheckHeaders {
            request,
            notes,
            host: head.host.unwrap_or_default(),
            forwarded_for: forwarded(head, forwarded_for),
            target: digest(head.target.as_bytes()),
            comparison,
            states_preference,
        }
    }

    /// How the head differs from what the client sent.
    pub(super) fn differences(&self) -> Differences {
        self.comparison.map_or(Differences::NONE, |known| known.differences)
    }

    /// The head of the request as its record keeps it.
    pub(super) fn arrived(&self) -> ArrivedHead<'_> {
        ArrivedHead {
            differences: self.differences(),
            fields: self.comparison.map_or(FieldMask(0), |known| known.fields),
            notes: self.notes,
            host: ClippedText::new(self.host),
            forwarded_for: ClippedText::new(&self.forwarded_for),
            target: self.target,
        }
    }
}

/// X-Forwarded-For: several lines are one list.
fn forwarded<'b>(head: &RequestHead<'_, 'b>, first: Option<&'b [u8]>) -> Cow<'b, [u8]> {
    let Some(first) = first else { return Cow::default() };
    let name = Note::ForwardedFor.name();
    match head.fields.all(name).count() {
        1 => Cow::Borrowed(first),
        _ => Cow::Owned(head.fields.all(name).collect::<Vec<_>>().join(&b", "[..])),
    }
}

/// The id of a request whose head cannot be read, so that its client learns which of its requests was refused.
pub(super) fn salvage_id(head: &[u8]) -> Option<RequestId> {
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            // What follows is another request's.
            return None;
        }
        if let Some((name, [b':', value @ ..])) = line.split_at_checked(REQUEST_HEADER.len())
            && name.eq_ignore_ascii_case(REQUEST_HEADER.as_bytes())
        {
            return RequestId::from_bytes(value.trim_ascii()).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Room, Strictness};
    use verdict::request::Sent;

    fn of<T>(head: &str, see: impl FnOnce(CheckHeaders) -> T) -> T {
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut room = Room::<100>::new();
        let head = RequestHead::parse(head.as_bytes(), &mut room, 9999, Strictness::Strict).unwrap().unwrap();
        see(CheckHeaders::of(&head))
    }

    #[test]
    fn what_others_added_is_noted() {
        let head = "GET /x?y HTTP/1.1\nHost: a:1\nX-Forwarded-For: 1.2.3.4\nx-forwarded-for: 5.6.7.8\nVia: 1.1 x\nKeep-Alive: 5\n\
                    TE: trailers\nAccept: text/plain\nCheck-Request-Id: 00000000000004d2-000000000000002a";
        of(head, |arrival| {
            let notes: Vec<&str> = arrival.notes.iter().map(Note::name).collect();
            assert_eq!(notes, ["via", "x-forwarded-for", "keep-alive", "te"]);
            assert_eq!((arrival.host, &arrival.forwarded_for[..]), (&b"a:1"[..], &b"1.2.3.4, 5.6.7.8"[..]));
            assert_eq!(arrival.arrived().target, digest(b"/x?y"));
            assert_eq!(arrival.request, Some(RequestId { run: 1234, sequence: 42 }));
            assert!(arrival.states_preference && arrival.comparison.is_none());
        });
    }

    #[test]
    fn a_body_that_was_dropped_is_a_difference_at_once_and_one_that_comes_is_compared_later() {
        let mut value = Vec::new();
        let body = Some(SentBody::of(b"abc"));
        Sent { method: "POST", target: "/", host: Some("h"), body, fields: &[] }.write(&mut value);
        let value = String::from_utf8(value).unwrap();
        of(&format!("POST / HTTP/1.1\nHost: h\nCheck-Request-Sent: {value}"), |arrival| {
            assert_eq!(arrival.differences().to_string(), "body-length");
        });
        of(&format!("POST / HTTP/1.1\nHost: h\nContent-Length: 3\nCheck-Request-Sent: {value}"), |arrival| {
            assert!(arrival.differences().is_empty());
            assert_eq!(arrival.comparison.unwrap().body, body);
        });
    }

    #[test]
    fn the_id_of_a_broken_head_is_found() {
        let id = RequestId { run: 1234, sequence: 42 };
        for (head, found) in [
            (format!("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\ncheck-request-id: {id}\r\n\r\n"), Some(id)),
            (format!("GET / HTTP/1.1\r\nCheck-Request-Id:{id}"), Some(id)),
            ("GET / HTTP/1.1\r\nCheck-Request-Id: 12".to_owned(), None),
            (format!("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nCheck-Request-Id: {id}"), None),
            ("GET / HTTP/1.1\r\n".to_owned(), None),
        ] {
            assert_eq!(salvage_id(head.as_bytes()), found, "{head}");
        }
    }
}
