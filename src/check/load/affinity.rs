//! A session that a backend opens: where a response has its id, and how later requests bring it.

use std::str::FromStr;

use crate::check::load::identify::Identity;

/// Of a body that has the id.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// Where the id of a session is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SessionPlace {
    /// In this header, in responses and in requests.
    Header(String),
    /// In this cookie, as browsers keep it.
    Cookie(String),
    /// In a body of JSON, at this pointer (RFC 6901); requests bring it in this header.
    Json { pointer: String, header: String },
}

impl SessionPlace {
    /// The header of requests that brings the id; None for a cookie.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            SessionPlace::Header(name) | SessionPlace::Json { header: name, .. } => Some(name),
            SessionPlace::Cookie(_) => None,
        }
    }

    /// The header of responses that has it.
    pub(super) fn in_head(&self) -> Option<&str> {
        match self {
            SessionPlace::Header(name) => Some(name),
            SessionPlace::Cookie(_) | SessionPlace::Json { .. } => None,
        }
    }

    /// Whether one of these Set-Cookie lines has the session's id.
    pub(super) fn is_in(&self, set_cookies: &[String]) -> bool {
        match self {
            SessionPlace::Cookie(name) => {
                let is_it = |value: &String| value.split_once('=').is_some_and(|(known, _)| known.trim() == name);
                set_cookies.iter().any(is_it)
            }
            SessionPlace::Header(_) | SessionPlace::Json { .. } => false,
        }
    }

    /// Whether the session's id is in response bodies.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self, SessionPlace::Json { .. })
    }

    /// The id in a body.
    pub(super) fn find(&self, body: &[u8]) -> Option<String> {
        match self {
            SessionPlace::Json { pointer, .. } => Identity::Json(pointer.clone()).find(body).filter(|id| is_id(id)),
            SessionPlace::Header(_) | SessionPlace::Cookie(_) => None,
        }
    }
}

/// Whether it can be the value of a header.
pub(super) fn is_id(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Why a text is no place of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoPlace;

/// Reads `header:NAME`, `cookie:NAME` and `json:/POINTER=HEADER`.
impl FromStr for SessionPlace {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<SessionPlace, NoPlace> {
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match text.split_once(':').ok_or(NoPlace)? {
            ("header", name) if is_name(name) => Ok(SessionPlace::Header(name.to_owned())),
            ("cookie", name) if is_name(name) => Ok(SessionPlace::Cookie(name.to_owned())),
            ("json", rest) => match rest.rsplit_once('=') {
                Some((pointer, header)) if pointer.starts_with('/') && is_name(header) => {
                    Ok(SessionPlace::Json { pointer: pointer.to_owned(), header: header.to_owned() })
                }
                Some(_) | None => Err(NoPlace),
            },
            _ => Err(NoPlace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_header_a_cookie_or_json_with_the_header_that_brings_it_back() {
        let place = |text: &str| text.parse::<SessionPlace>();
        assert_eq!(place("header:X-Session"), Ok(SessionPlace::Header("X-Session".to_owned())));
        assert_eq!(place("cookie:sid"), Ok(SessionPlace::Cookie("sid".to_owned())));
        let json = place("json:/a/b=Mcp-Session-Id").unwrap();
        assert_eq!(
            (json.header(), json.find(br#"{"a": {"b": "x-1"}}"#)),
            (Some("Mcp-Session-Id"), Some("x-1".to_owned()))
        );
        assert_eq!(json.find(br#"{"a": {"b": "x\r\nEvil: 1"}}"#), None);
        for bad in ["X-Session", "header:", "header:a b", "json:/a", "json:a=B", "body:x"] {
            assert_eq!(place(bad), Err(NoPlace), "{bad}");
        }
    }
}
