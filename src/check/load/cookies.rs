//! The cookies of one virtual client, kept and sent as browsers do (RFC 6265bis), and why one is not.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use cookie::{Cookie, SameSite};

/// Where a request goes, as far as cookies depend on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CookieOrigin {
    /// The host in lower case, without its port.
    host: String,
    path: String,
    /// https, or this machine, which browsers trust alike.
    secure: bool,
}

impl CookieOrigin {
    /// Of a request with that Host field and that path, with a query or without.
    pub(crate) fn new(host: &str, path: &str, tls: bool) -> CookieOrigin {
        let host = host.trim();
        let end = match host.rfind(']') {
            Some(end) => end + 1,
            None => host.rfind(':').unwrap_or(host.len()),
        };
        let host = host[..end].trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let local = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        CookieOrigin { secure: tls || local, path: path.to_owned(), host }
    }

    /// The default path (RFC 6265 §5.1.4).
    fn default_path(&self) -> &str {
        match self.path.rfind('/') {
            Some(end) if end > 0 && self.path.starts_with('/') => &self.path[..end],
            _ => "/",
        }
    }
}

/// Why a browser does not keep a cookie, or never sends it to the URL that set it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NotKept {
    /// No name and value.
    Unreadable,
    /// `Secure`, and the URL is http://.
    Secure,
    /// `SameSite=None` without `Secure`, which browsers reject.
    SameSite,
    /// `Domain` is not this host's.
    Domain(String),
    /// `Path` does not cover the URL's.
    Path(String),
    /// It is over when it comes, and the client had none of that name: nothing is ended by it.
    Over,
    /// The name begins with `__Secure-` or `__Host-`, and the attributes are not as that demands.
    Prefix,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotKept::Unreadable => f.write_str("it has no name and value"),
            NotKept::Secure => f.write_str("it is Secure, and the URL is http://"),
            NotKept::SameSite => f.write_str("it is SameSite=None without Secure"),
            NotKept::Domain(domain) => write!(f, "its Domain={domain} does not cover the URL's host"),
            NotKept::Path(path) => write!(f, "its Path={path} does not cover the URL's path"),
            NotKept::Over => f.write_str("its Max-Age or Expires is over when it comes"),
            NotKept::Prefix => f.write_str("its name's prefix demands other attributes"),
        }
    }
}

/// The cookies of one client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Jar(Vec<Stored>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Stored {
    name: String,
    value: String,
    domain: String,
    /// Without Domain it is for that host alone.
    host_only: bool,
    path: String,
    secure: bool,
    expires: Option<SystemTime>,
}

impl Stored {
    fn is_for(&self, origin: &CookieOrigin) -> bool {
        let host = if self.host_only { self.domain == origin.host } else { is_within(&origin.host, &self.domain) };
        host && covers(&self.path, &origin.path) && (origin.secure || !self.secure)
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

impl Jar {
    /// Obeys a Set-Cookie; whether that may have changed what is sent.
    pub(crate) fn set(&mut self, value: &str, origin: &CookieOrigin, now: SystemTime) -> Result<bool, NotKept> {
        let cookie = Cookie::parse(value).map_err(|_| NotKept::Unreadable)?;
        let stored = store(&cookie, origin, now)?;
        let place = self.0.iter().position(|it| {
            (&it.name, &it.domain, &it.path, it.host_only)
                == (&stored.name, &stored.domain, &stored.path, stored.host_only)
        });
        let covered = covers(&stored.path, &origin.path);
        let path = stored.path.clone();
        let changed = match place {
            Some(place) if stored.is_over(now) => {
                self.0.remove(place);
                true
            }
            None if stored.is_over(now) && stored.value.is_empty() => return Ok(false),
            None if stored.is_over(now) => return Err(NotKept::Over),
            // A browser keeps the place of the one that it replaces.
            Some(place) => std::mem::replace(&mut self.0[place], stored.clone()) != stored,
            None => {
                self.0.push(stored);
                true
            }
        };
        if covered { Ok(changed) } else { Err(NotKept::Path(path)) }
    }

    /// Whether a cookie has an end.
    pub(crate) fn may_expire(&self) -> bool {
        self.0.iter().any(|it| it.expires.is_some())
    }

    /// Forgets the cookies whose time is over; the name of one.
    pub(crate) fn forget(&mut self, now: SystemTime) -> Option<String> {
        let over = self.0.iter().position(|it| it.is_over(now))?;
        let name = self.0[over].name.clone();
        self.0.retain(|it| !it.is_over(now));
        Some(name)
    }

    /// The value of Cookie for a request to there; none without cookies.
    pub(crate) fn header(&self, origin: &CookieOrigin, now: SystemTime) -> Option<String> {
        let mut sent: Vec<&Stored> = self.0.iter().filter(|it| it.is_for(origin) && !it.is_over(now)).collect();
        // Those with longer paths first; of equal length the older ones.
        sent.sort_by_key(|it| std::cmp::Reverse(it.path.len()));
        let pairs: Vec<String> = sent.iter().map(|it| format!("{}={}", it.name, it.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

fn store(cookie: &Cookie, origin: &CookieOrigin, now: SystemTime) -> Result<Stored, NotKept> {
    let secure = cookie.secure() == Some(true);
    if cookie.name().is_empty() {
        return Err(NotKept::Unreadable);
    }
    let (domain, host_only) = match cookie.domain().map(|it| it.trim_start_matches('.').to_ascii_lowercase()) {
        None => (origin.host.clone(), true),
        Some(domain) if domain.is_empty() => (origin.host.clone(), true),
        Some(domain) if domain == origin.host => (domain, false),
        // Without a list of them: a name of one label is a public suffix.
        Some(domain) if domain.contains('.') && is_within(&origin.host, &domain) => (domain, false),
        Some(domain) => return Err(NotKept::Domain(domain)),
    };
    if secure && !origin.secure {
        return Err(NotKept::Secure);
    }
    if cookie.same_site() == Some(SameSite::None) && !secure {
        return Err(NotKept::SameSite);
    }
    let path = cookie.path().filter(|path| path.starts_with('/')).unwrap_or(origin.default_path());
    let name = cookie.name();
    let prefixed = |prefix: &str| name.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix));
    if prefixed("__Secure-") && !secure || prefixed("__Host-") && !(secure && host_only && path == "/") {
        return Err(NotKept::Prefix);
    }
    let expires = match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(age), _) if !age.is_positive() => Some(SystemTime::UNIX_EPOCH),
        (Some(age), _) => now.checked_add(Duration::from_secs(age.whole_seconds().unsigned_abs())),
        (None, Some(expires)) => Some(SystemTime::from(expires)),
        (None, None) => None,
    };
    let (name, value) = (name.to_owned(), cookie.value().to_owned());
    Ok(Stored { name, value, domain, host_only, path: path.to_owned(), secure, expires })
}

/// Domain matching (RFC 6265 §5.1.3).
fn is_within(host: &str, domain: &str) -> bool {
    let below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    host == domain || below() && host.parse::<IpAddr>().is_err()
}

/// Path matching (RFC 6265 §5.1.4).
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// Name and value of a Set-Cookie.
pub(crate) fn name_and_value(value: &str) -> Option<(String, String)> {
    let cookie = Cookie::parse(value).ok()?;
    (!cookie.name().is_empty()).then(|| (cookie.name().to_owned(), cookie.value().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn plain() -> CookieOrigin {
        CookieOrigin::new("www.example.com:8080", "/shop/list?x=1", false)
    }

    /// What is sent back, or why not.
    fn one(value: &str, origin: &CookieOrigin) -> Result<Option<String>, NotKept> {
        let mut jar = Jar::default();
        jar.set(value, origin, now())?;
        Ok(jar.header(origin, now()))
    }

    #[test]
    fn a_jar_keeps_replaces_and_drops_as_a_browser_does() {
        let (mut jar, origin) = (Jar::default(), CookieOrigin::new("localhost:8080", "/uuid", false));
        assert_eq!(jar.header(&origin, now()), None);
        assert_eq!(jar.set("route=a1; Path=/; HttpOnly", &origin, now()), Ok(true));
        assert_eq!(jar.set(" b = 2 ; Path=/", &origin, now()), Ok(true));
        assert_eq!(jar.set("route=a1; Path=/", &origin, now()), Ok(false));
        assert_eq!(jar.header(&origin, now()).as_deref(), Some("route=a1; b=2"));
        assert_eq!(jar.set("route=c3; Path=/; Expires=Tue, 19 Jan 2038 03:14:07 GMT", &origin, now()), Ok(true));
        assert_eq!(jar.header(&origin, now()).as_deref(), Some("route=c3; b=2"));
        assert_eq!(jar.set("b=2; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", &origin, now()), Ok(true));
        assert_eq!(jar.set("route=; Path=/; Max-Age=0", &origin, now()), Ok(true));
        assert_eq!(jar.header(&origin, now()), None);
        assert_eq!(jar.set("nonsense", &origin, now()), Err(NotKept::Unreadable));
        assert_eq!(jar.set("t=1; Max-Age=60", &origin, now()), Ok(true));
        assert_eq!(jar.header(&origin, now() + Duration::from_secs(61)), None, "its time is over");
    }

    #[test]
    fn each_attribute_is_obeyed_and_named() {
        let secure = CookieOrigin::new("www.example.com", "/shop/list", true);
        let domain = |name: &str| Err(NotKept::Domain(name.to_owned()));
        let kept = Ok(Some("a=1".to_owned()));
        for (value, origin, expected) in [
            ("a=1", plain(), kept.clone()),
            ("a=1; Secure", plain(), Err(NotKept::Secure)),
            ("a=1; Secure", secure.clone(), kept.clone()),
            ("a=1; Secure", CookieOrigin::new("127.0.0.1:8080", "/", false), kept.clone()),
            ("a=1; Secure", CookieOrigin::new("[::1]:8080", "/", false), kept.clone()),
            ("a=1; Secure", CookieOrigin::new("app.localhost", "/", false), kept.clone()),
            ("a=1; Secure", CookieOrigin::new("10.9.9.9:8080", "/", false), Err(NotKept::Secure)),
            ("a=1; Max-Age=0", plain(), Err(NotKept::Over)),
            ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", plain(), Err(NotKept::Over)),
            ("a=; Max-Age=0", plain(), Ok(None)),
            ("a=1; SameSite=None", plain(), Err(NotKept::SameSite)),
            ("a=1; SameSite=Strict", plain(), kept.clone()),
            ("a=1; SameSite=None; Secure", secure.clone(), kept.clone()),
            ("a=1; Domain=example.com", plain(), kept.clone()),
            ("a=1; Domain=.WWW.example.com", plain(), kept.clone()),
            ("a=1; Domain=com", plain(), domain("com")),
            ("a=1; Domain=other.com", plain(), domain("other.com")),
            ("a=1; Domain=ample.com", plain(), domain("ample.com")),
            ("a=1; Domain=0.0.1", CookieOrigin::new("127.0.0.1", "/", false), domain("0.0.1")),
            ("a=1; Path=/shop", plain(), kept.clone()),
            ("a=1; Path=/sh", plain(), Err(NotKept::Path("/sh".to_owned()))),
            ("a=1; Path=/admin", plain(), Err(NotKept::Path("/admin".to_owned()))),
            ("__Secure-a=1", plain(), Err(NotKept::Prefix)),
            ("__Host-a=1; Secure; Path=/shop", secure.clone(), Err(NotKept::Prefix)),
            ("__Host-a=1; Secure; Path=/", secure.clone(), Ok(Some("__Host-a=1".to_owned()))),
        ] {
            assert_eq!(one(value, &origin), expected, "{value} from {origin:?}");
        }
    }

    #[test]
    fn a_cookie_is_sent_where_it_belongs_alone() {
        let mut jar = Jar::default();
        jar.set("host=1; Path=/", &plain(), now()).unwrap();
        jar.set("all=2; Domain=example.com; Path=/", &plain(), now()).unwrap();
        jar.set("deep=3; Path=/shop", &plain(), now()).unwrap();
        jar.set("default=4", &plain(), now()).unwrap();
        let header = |host: &str, path: &str| jar.header(&CookieOrigin::new(host, path, false), now());
        assert_eq!(header("www.example.com", "/shop").as_deref(), Some("deep=3; default=4; host=1; all=2"));
        assert_eq!(header("www.example.com", "/").as_deref(), Some("host=1; all=2"));
        assert_eq!(header("api.example.com", "/shop").as_deref(), Some("all=2"));
        assert_eq!(header("badexample.com", "/shop"), None);
    }
}
