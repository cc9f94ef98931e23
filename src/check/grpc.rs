//! What a call of gRPC is as a request: its path, its fields, its message.

use std::sync::Arc;
use std::time::Duration;

use http::grpc::{self, write_message};

/// Called where the URL names none: one UUID of a backend of ours.
pub(crate) const METHOD: &str = "/uuid.v1.Generator/Generate";

/// Whether a URL is that of a method.
pub(crate) fn is_url(url: &str) -> bool {
    ["grpc://", "grpcs://"]
        .iter()
        .any(|scheme| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// The path of a call whose URL has that path.
pub(crate) fn path_of(path: &str) -> &str {
    if path == "/" { METHOD } else { path }
}

/// The fields of each call, and the user's own.
pub(crate) fn with_fields(deadline: Option<Duration>, own: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut fields =
        vec![("Content-Type".to_owned(), grpc::CONTENT_TYPE.to_owned()), ("TE".to_owned(), "trailers".to_owned())];
    fields.extend(deadline.map(|time| (grpc::TIMEOUT_FIELD.to_owned(), grpc::format_timeout(time))));
    let is_new = |name: &str| !fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let own: Vec<_> = own.into_iter().filter(|(name, _)| is_new(name)).collect();
    fields.extend(own);
    fields
}

/// The messages of calls, in turn: an empty one, unless the user gives some.
pub(crate) fn messages(bodies: &[Arc<[u8]>]) -> Vec<Arc<[u8]>> {
    match bodies {
        [] => vec![frame(b"")],
        bodies => bodies.iter().map(|body| frame(body)).collect(),
    }
}

/// A message as it crosses the connection.
pub(crate) fn frame(message: &[u8]) -> Arc<[u8]> {
    let mut framed = Vec::with_capacity(message.len() + 5);
    write_message(&mut framed, |out| out.extend_from_slice(message));
    framed.into()
}

/// The message that asks `Generate` of our backends to hold its response back: field 1, milliseconds.
pub(crate) fn delayed(delay: Duration) -> Vec<u8> {
    const FIELD: u8 = 1 << 3;
    write_varint(FIELD, u32::try_from(delay.as_millis()).unwrap_or(u32::MAX))
}

fn write_varint(tag: u8, mut number: u32) -> Vec<u8> {
    let mut message = vec![tag];
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it_and_a_delay_is_its_first_field() {
        assert_eq!(*frame(b""), [0; 5]);
        assert_eq!(*frame(b"ab"), [0, 0, 0, 0, 2, b'a', b'b']);
        assert_eq!(delayed(Duration::from_millis(5)), [8, 5]);
        assert_eq!(delayed(Duration::from_millis(300)), [8, 0xac, 2]);
    }

    #[test]
    fn methods_are_known_by_their_scheme() {
        assert!(is_url("grpc://localhost:8080") && is_url("GRPCS://h/a.B/C") && !is_url("http://grpc://"));
    }
}
