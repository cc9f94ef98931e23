//! `/session`: a session that the backend opens, so that balancers which learn a backend's own id can be tried. Who brings an id
//! keeps it; who brings none gets one, in a header, in a cookie and in JSON.

use http::RequestHead;

use crate::wire::{ResponseId, SESSION_COOKIE, SESSION_HEADER};

/// Longer ones are nobody's.
const LONGEST: usize = 128;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Session {
    id: String,
    /// It was opened by this response.
    is_new: bool,
}

impl Session {
    /// The session that the request belongs to, or a new one, which has the id of the response.
    pub(super) fn of(request: &RequestHead, answer: ResponseId) -> Session {
        let header = request.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(SESSION_HEADER));
        let cookies = request.fields.iter().filter(|field| field.name.eq_ignore_ascii_case("cookie"));
        let pairs = cookies.flat_map(|field| field.value.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let by_cookie = pairs.filter_map(|pair| pair.strip_prefix(SESSION_COOKIE.as_bytes())?.strip_prefix(b"="));
        let brought = header.map(|field| field.value).chain(by_cookie).find_map(id);
        match brought {
            Some(id) => Session { id, is_new: false },
            None => Session { id: answer.0.hyphenated().to_string(), is_new: true },
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The Set-Cookie line that opens the session.
    pub(super) fn set_cookie(&self) -> Option<String> {
        self.is_new.then(|| format!("{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax", self.id))
    }
}

/// Letters, digits and a few signs, so that it can be written back wherever it is needed.
fn id(value: &[u8]) -> Option<String> {
    let is_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let fits = (1..=LONGEST).contains(&value.len()) && value.iter().all(is_id);
    fits.then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Room, Strictness};
    use uuid::Uuid;

    fn session(fields: &str) -> Session {
        let head = format!("GET /session HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let mut room = Room::<100>::new();
        let request = RequestHead::parse(head.as_bytes(), &mut room, 9999, Strictness::Strict).unwrap().unwrap();
        Session::of(&request, ResponseId(Uuid::from_u128(7)))
    }

    #[test]
    fn who_brings_a_session_keeps_it_and_who_brings_none_gets_one() {
        for fields in ["X-Session: a-1\r\n", "Cookie: x=y; session=a-1\r\n", "x-session: a-1\r\nCookie: session=b\r\n"]
        {
            assert_eq!((session(fields).id(), session(fields).set_cookie()), ("a-1", None), "{fields}");
        }
        for fields in ["", "X-Session: a b\r\n", "Cookie: sessions=a; session=\r\n"] {
            let new = session(fields);
            assert_eq!(new.id(), Uuid::from_u128(7).to_string());
            assert!(new.set_cookie().unwrap().starts_with(&format!("session={}; Path=/", new.id())), "{fields}");
        }
    }
}
