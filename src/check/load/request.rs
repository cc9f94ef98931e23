//! PURE. The bytes of a request, written once; then only its id changes.

use crate::check::load::answer::ID_BYTES;
use crate::wire::{REQUEST_HEADER, RequestId};

/// What a request says.
#[derive(Clone, Copy, Debug)]
pub struct Wording<'a> {
    /// `GET` and the like.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The value of Host.
    pub host: &'a str,
    /// More headers; one that is named Host or User-Agent replaces ours.
    pub headers: &'a [(&'a str, &'a str)],
    /// Its length; the body itself is not part of the template.
    pub body: usize,
    /// Whether the connection ends with it.
    pub last: bool,
}

/// A head in which the id is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    sequence_at: usize,
}

impl Template {
    /// For requests of that run.
    pub fn new(wording: &Wording, run: u64) -> Template {
        let Wording { method, path, host, headers, body, last } = *wording;
        let has = |wanted: &str| headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let mut text = format!("{method} {path} HTTP/1.1\r\n");
        if !has("host") {
            text += &format!("Host: {host}\r\n");
        }
        text += &format!("{REQUEST_HEADER}: ");
        let sequence_at = text.len() + ID_BYTES - HEXADECIMAL;
        text += &format!("{}\r\n", RequestId { run, sequence: 0 });
        if !has("user-agent") {
            text += concat!("User-Agent: uuid-generator/", env!("CARGO_PKG_VERSION"), "\r\n");
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if body > 0 || matches!(method, "POST" | "PUT" | "PATCH") {
            text += &format!("Content-Length: {body}\r\n");
        }
        if last {
            text += "Connection: close\r\n";
        }
        text += "\r\n";
        Template { bytes: text.into_bytes(), sequence_at }
    }

    /// With a body behind it, the same for all requests.
    pub fn append(&mut self, body: &[u8]) {
        self.bytes.extend_from_slice(body);
    }

    /// The head of the request with that number.
    pub fn with(&mut self, sequence: u64) -> &[u8] {
        self.bytes[self.sequence_at..self.sequence_at + HEXADECIMAL].copy_from_slice(&hexadecimal(sequence));
        &self.bytes
    }
}

/// The id of a request as text.
pub fn id(run: u64, sequence: u64) -> [u8; ID_BYTES] {
    let mut text = [b'-'; ID_BYTES];
    text[..HEXADECIMAL].copy_from_slice(&hexadecimal(run));
    text[ID_BYTES - HEXADECIMAL..].copy_from_slice(&hexadecimal(sequence));
    text
}

const HEXADECIMAL: usize = 16;

fn hexadecimal(number: u64) -> [u8; HEXADECIMAL] {
    let mut text = [0; HEXADECIMAL];
    for (place, byte) in text.iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 15];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_differs_from_the_next_in_its_id_alone() {
        let wording = Wording { method: "GET", path: "/uuid", host: "h:1", headers: &[], body: 0, last: false };
        let mut template = Template::new(&wording, 0x4d2);
        let text = |sequence| {
            format!(
                "GET /uuid HTTP/1.1\r\nHost: h:1\r\nCheck-Request-Id: {}\r\nUser-Agent: uuid-generator/{}\r\n\r\n",
                RequestId { run: 0x4d2, sequence },
                env!("CARGO_PKG_VERSION")
            )
        };
        for sequence in [0, 1, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(str::from_utf8(template.with(sequence)), Ok(&*text(sequence)));
            assert_eq!(RequestId::from_bytes(&id(0x4d2, sequence)), Ok(RequestId { run: 0x4d2, sequence }));
        }
    }

    #[test]
    fn own_headers_come_first_and_a_body_has_its_length() {
        let headers = [("host", "other"), ("X-A", "b"), ("User-agent", "mine")];
        let wording = Wording { method: "POST", path: "/", host: "h", headers: &headers, body: 3, last: true };
        let text = format!(
            "POST / HTTP/1.1\r\nCheck-Request-Id: {}\r\nhost: other\r\nX-A: b\r\nUser-agent: mine\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\n",
            RequestId { run: 1, sequence: 2 }
        );
        assert_eq!(str::from_utf8(Template::new(&wording, 1).with(2)), Ok(&*text));
    }
}
