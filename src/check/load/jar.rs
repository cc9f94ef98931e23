//! PURE. The cookies of one virtual client, kept as a browser keeps them for one host and one path.

use std::time::SystemTime;

/// Names and values, in the order in which they were first set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Jar(Vec<(String, String)>);

impl Jar {
    /// Obeys a Set-Cookie for requests with that path; whether that changed what is sent.
    pub fn set(&mut self, value: &str, path: &str, now: SystemTime) -> bool {
        let Some(cookie) = SetCookie::parse(value) else { return false };
        if !cookie.path.is_none_or(|prefix| covers(prefix, path)) {
            return false;
        }
        let place = self.0.iter().position(|(name, _)| name == cookie.name);
        match (place, cookie.is_over(now)) {
            (Some(place), true) => {
                self.0.remove(place);
                true
            }
            (None, true) => false,
            (Some(place), false) if self.0[place].1 == cookie.value => false,
            (Some(place), false) => {
                cookie.value.clone_into(&mut self.0[place].1);
                true
            }
            (None, false) => {
                self.0.push((cookie.name.to_owned(), cookie.value.to_owned()));
                true
            }
        }
    }

    /// The value of Cookie; none if it is empty.
    pub fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// The parts of a Set-Cookie that matter here. RFC 6265 section 5.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetCookie<'v> {
    /// Its name.
    pub name: &'v str,
    /// Its value.
    pub value: &'v str,
    path: Option<&'v str>,
    max_age: Option<i64>,
    expires: Option<SystemTime>,
}

impl<'v> SetCookie<'v> {
    /// Reads a header's value.
    pub fn parse(text: &'v str) -> Option<SetCookie<'v>> {
        let mut parts = text.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let mut cookie = SetCookie { name: name.trim(), value: value.trim(), path: None, max_age: None, expires: None };
        for attribute in parts {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "path" => cookie.path = Some(value.trim()).filter(|path| path.starts_with('/')),
                "max-age" => cookie.max_age = value.trim().parse().ok(),
                "expires" => cookie.expires = httpdate::parse_http_date(&value.trim().replace('-', " ")).ok(),
                _ => {}
            }
        }
        (!cookie.name.is_empty()).then_some(cookie)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        match (self.max_age, self.expires) {
            (Some(seconds), _) => seconds <= 0,
            (None, Some(time)) => time <= now,
            (None, None) => false,
        }
    }
}

/// RFC 6265 section 5.1.4.
fn covers(prefix: &str, path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_jar_keeps_replaces_and_drops_as_a_browser_does() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut jar = Jar::default();
        assert_eq!(jar.header(), None);
        assert!(jar.set("route=a1; Path=/; HttpOnly", "/uuid", now));
        assert!(jar.set(" b = 2 ", "/uuid", now));
        assert!(!jar.set("route=a1; Max-Age=60", "/uuid", now));
        assert!(!jar.set("other=1; Path=/admin", "/uuid", now));
        assert!(!jar.set("other=1; Path=/uu", "/uuid", now));
        assert!(!jar.set("nonsense", "/uuid", now));
        assert_eq!(jar.header().as_deref(), Some("route=a1; b=2"));
        assert!(jar.set("route=c3; Path=/uuid; Expires=Tue, 19 Jan 2038 03:14:07 GMT", "/uuid?x=1", now));
        assert_eq!(jar.header().as_deref(), Some("route=c3; b=2"));
        assert!(jar.set("b=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "/uuid", now));
        assert!(jar.set("route=; Max-Age=0", "/uuid", now));
        assert!(!jar.set("route=; Expires=Thu, 01-Jan-1970 00:00:00 GMT", "/uuid", now));
        assert_eq!(jar.header(), None);
    }
}
