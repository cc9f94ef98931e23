//! The opening handshake: RFC 6455 §4.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1_smol::Sha1;

use crate::{HttpVersion, RequestHead, ResponseHead};

/// The version of the protocol, as Sec-WebSocket-Version has it.
pub const VERSION: &str = "13";
/// What every key is joined with (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Length of 16 bytes in base64.
const KEY_BYTES: usize = 24;

/// The value of Sec-WebSocket-Accept.
pub type AcceptKey = [u8; 28];

/// Why a request opens no WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoUpgrade {
    /// It asks for none: no `Upgrade: websocket`, or Connection does not name it, or it is no GET of HTTP/1.1.
    NotAsked,
    /// Sec-WebSocket-Version is missing or another than 13: the response names the one that is spoken (§4.4).
    Version,
    /// Sec-WebSocket-Key is missing, there twice, or not 16 bytes in base64.
    Key,
}

impl NoUpgrade {
    /// The sentence that its sender reads.
    pub fn as_str(self) -> &'static str {
        match self {
            NoUpgrade::NotAsked => {
                "expected the opening handshake of a WebSocket (RFC 6455): GET in HTTP/1.1 with Connection: Upgrade and Upgrade: websocket"
            }
            NoUpgrade::Version => "expected Sec-WebSocket-Version: 13 (RFC 6455 section 4.4)",
            NoUpgrade::Key => "expected one Sec-WebSocket-Key, 16 bytes in base64 (RFC 6455 section 4.1)",
        }
    }
}

/// What a server accepts a WebSocket with, or why it must not.
pub fn upgrade(head: &RequestHead) -> Result<AcceptKey, NoUpgrade> {
    let names = |field: &str, token: &[u8]| head.fields.elements(field).any(|it| it.eq_ignore_ascii_case(token));
    if head.method != "GET"
        || head.version != HttpVersion::Http11
        || !names("upgrade", b"websocket")
        || !names("connection", b"upgrade")
    {
        return Err(NoUpgrade::NotAsked);
    }
    if head.fields.first("sec-websocket-version") != Some(VERSION.as_bytes()) {
        return Err(NoUpgrade::Version);
    }
    let mut keys = head.fields.all("sec-websocket-key");
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(accept_key(key)),
        _ => Err(NoUpgrade::Key),
    }
}

/// Whether a response of status 101 accepts the WebSocket that was asked for with that key: without extensions, and with a
/// subprotocol only if it is one of those that were offered (RFC 6455 section 4.1).
pub fn is_accepted(head: &ResponseHead, key: &[u8], offered: &[u8]) -> bool {
    let names = |field: &str, token: &[u8]| head.fields.elements(field).any(|it| it.eq_ignore_ascii_case(token));
    head.status == 101
        && names("upgrade", b"websocket")
        && names("connection", b"upgrade")
        && head.fields.first("sec-websocket-accept") == Some(&accept_key(key)[..])
        && head.fields.first("sec-websocket-extensions").is_none()
        && head.fields.all("sec-websocket-protocol").all(|chosen| crate::list(offered).any(|it| it == chosen))
}

/// Whether a response of status 101 announces content, which it cannot have (RFC 9110 section 8.6, RFC 9112 section 6.1): who believes it
/// takes frames for a body.
pub fn announces_content(head: &ResponseHead) -> bool {
    ["content-length", "transfer-encoding"].iter().any(|name| head.fields.first(name).is_some())
}

/// The proof that a server has read a key.
pub fn accept_key(key: &[u8]) -> AcceptKey {
    let mut proof = Sha1::from(key);
    proof.update(GUID);
    encoded(&proof.digest().bytes())
}

/// A key of 16 random bytes, as it is sent.
pub fn key(random: [u8; 16]) -> [u8; KEY_BYTES] {
    encoded(&random)
}

/// RFC 4648 §4, with padding. `N` is the length that this comes to.
fn encoded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let written = BASE64_STANDARD.encode_slice(bytes, &mut out);
    debug_assert_eq!(written, Ok(N));
    out
}

fn is_key(key: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == KEY_BYTES && key.ends_with(b"==") && key[..KEY_BYTES - 2].iter().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RequestContext, Room, Strictness};

    fn asked(head: &str) -> Result<AcceptKey, NoUpgrade> {
        let head = format!("{}\r\n\r\n", head.replace('\n', "\r\n"));
        let mut room = Room::<20>::new();
        upgrade(&RequestHead::parse(head.as_bytes(), &mut room, 999, Strictness::Strict).unwrap().unwrap())
    }

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION_LINE: &str = "Sec-WebSocket-Version: 13";

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let head = format!(
            "GET /chat HTTP/1.1\nHost: h\nUpgrade: WebSocket\nConnection: keep-alive, Upgrade\n{KEY}\n{VERSION_LINE}"
        );
        assert_eq!(asked(&head), Ok(*b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(&key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn what_is_no_handshake_says_why() {
        let upgrade = "Host: h\nUpgrade: websocket\nConnection: Upgrade";
        for (head, why) in [
            (format!("GET / HTTP/1.1\nHost: h\n{KEY}\n{VERSION_LINE}"), NoUpgrade::NotAsked),
            (format!("GET / HTTP/1.1\nHost: h\nUpgrade: websocket\n{KEY}\n{VERSION_LINE}"), NoUpgrade::NotAsked),
            (
                format!("GET / HTTP/1.1\nHost: h\nUpgrade: h2c\nConnection: upgrade\n{KEY}\n{VERSION_LINE}"),
                NoUpgrade::NotAsked,
            ),
            (format!("POST / HTTP/1.1\n{upgrade}\n{KEY}\n{VERSION_LINE}"), NoUpgrade::NotAsked),
            (format!("GET / HTTP/1.0\n{upgrade}\n{KEY}\n{VERSION_LINE}"), NoUpgrade::NotAsked),
            (format!("GET / HTTP/1.1\n{upgrade}\n{KEY}"), NoUpgrade::Version),
            (format!("GET / HTTP/1.1\n{upgrade}\n{KEY}\nSec-WebSocket-Version: 8"), NoUpgrade::Version),
            (format!("GET / HTTP/1.1\n{upgrade}\n{VERSION_LINE}"), NoUpgrade::Key),
            (format!("GET / HTTP/1.1\n{upgrade}\n{KEY}\n{KEY}\n{VERSION_LINE}"), NoUpgrade::Key),
            (format!("GET / HTTP/1.1\n{upgrade}\nSec-WebSocket-Key: short\n{VERSION_LINE}"), NoUpgrade::Key),
        ] {
            assert_eq!(asked(&head), Err(why), "{head}");
        }
    }

    #[test]
    fn a_client_accepts_the_proof_of_its_own_key_and_what_it_offered() {
        let key = key([7; 16]);
        let accept = String::from_utf8(accept_key(&key).to_vec()).unwrap();
        let other = String::from_utf8(accept_key(b"x").to_vec()).unwrap();
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade";
        for (fields, accepted) in [
            (format!("{upgrade}\r\nSec-WebSocket-Accept: {accept}"), true),
            (format!("{upgrade}\r\nSec-WebSocket-Accept: {other}"), false),
            (format!("Upgrade: websocket\r\nSec-WebSocket-Accept: {accept}"), false),
            (
                format!("{upgrade}\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate"),
                false,
            ),
            (format!("{upgrade}\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat.v2"), true),
            (format!("{upgrade}\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat.v3"), false),
        ] {
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\n");
            let mut room = Room::<20>::new();
            let head = ResponseHead::parse(head.as_bytes(), &mut room, 999, RequestContext::Other, Strictness::Lenient)
                .unwrap()
                .unwrap();
            assert_eq!(is_accepted(&head, &key, b"chat.v1, chat.v2"), accepted, "{fields}");
        }
    }

    #[test]
    fn a_response_that_switches_protocols_has_no_content() {
        for (field, announces) in
            [("Upgrade: websocket", false), ("Content-Length: 0", true), ("Transfer-Encoding: chunked", true)]
        {
            let head = format!("HTTP/1.1 101 Switching Protocols\r\n{field}\r\n\r\n");
            let mut room = Room::<20>::new();
            let head = ResponseHead::parse(head.as_bytes(), &mut room, 999, RequestContext::Other, Strictness::Lenient);
            assert_eq!(announces_content(&head.unwrap().unwrap()), announces, "{field}");
        }
    }
}
