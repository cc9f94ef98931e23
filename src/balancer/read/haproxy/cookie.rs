//! A line `cookie` of a `haproxy.cfg`, by which sessions stick to servers.

use crate::balancer::read::configuration::UpstreamMethod;
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;
use verdict::tally::SessionLife;

#[derive(Clone)]
pub(super) struct StickyCookie {
    name: String,
    /// Whether each client gets it from HAProxy with its first response.
    is_given: bool,
    /// Whether HAProxy makes up the values.
    is_dynamic: bool,
    /// The line, with its place.
    line: String,
    pub(super) life: Option<SessionLife>,
}

/// How many of the active servers of a section have a value of the cookie, and how many have none.
#[derive(Clone, Copy, Default)]
pub(super) struct CookieValues {
    with: usize,
    without: usize,
}

impl CookieValues {
    pub(super) fn add(&mut self, has_value: bool) {
        if has_value { self.with += 1 } else { self.without += 1 }
    }
}

impl StickyCookie {
    pub(super) fn read(name: &str, how: &[&str], line: String) -> StickyCookie {
        let has = |word| how.contains(&word);
        StickyCookie {
            name: name.to_owned(),
            is_given: has("insert") && !has("postonly"),
            is_dynamic: has("dynamic"),
            life: session_life(how, &line),
            line,
        }
    }

    /// Without a value of any server nobody gets it.
    pub(super) fn is_used(&self, values: CookieValues) -> bool {
        self.is_dynamic || values.with > 0
    }

    pub(super) fn method(&self, values: CookieValues) -> UpstreamMethod {
        // Who is sent to a server without a value does not stick.
        let sticks_to_all = self.is_dynamic || values.without == 0;
        match self.name.parse() {
            Ok(name) if self.is_given && sticks_to_all => UpstreamMethod::Known(Policy::Sticky(name)),
            // With a cookie of the application's (prefix, rewrite) sticks whoever has got one from there.
            Ok(_) | Err(_) => UpstreamMethod::Unknown(self.line.clone()),
        }
    }
}

/// How long HAProxy lets sessions last by a line `cookie` with these words, if it ends them.
pub(super) fn session_life(words: &[&str], line: &str) -> Option<SessionLife> {
    let time = |name: &str| {
        let value = words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1))?;
        // A time that is not understood may be short.
        Some(time::parse(value, LoneNumber::Seconds).unwrap_or_default())
    };
    let (whole, idle) = (time("maxlife"), time("maxidle"));
    whole.or(idle)?;
    Some(SessionLife { whole, idle, line: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::balancer::read::configuration::{ConfigFile, Upstream};

    fn of(text: &str) -> Vec<Upstream> {
        let source = ConfigFile { name: "haproxy.cfg".to_owned(), text: text.to_owned() };
        super::super::read(&[source], None, &|_| None, &|_: &Path| false).upstreams
    }

    #[test]
    fn a_cookie_sticks_where_each_server_has_a_value() {
        let sticky = of(
            "backend a\n balance roundrobin\n cookie SRV insert\n server x 10.0.0.1:80 cookie x\n server y 10.0.0.2:80 cookie y\n",
        );
        assert_eq!(sticky[0].method, UpstreamMethod::Known(Policy::Sticky("SRV".parse().unwrap())));
        let dynamic = of(
            "backend a\n balance roundrobin\n cookie SRV insert dynamic\n dynamic-cookie-key k\n server x 10.0.0.1:80\n",
        );
        assert_eq!(dynamic[0].method, sticky[0].method);
        for how in ["prefix nocache", "rewrite", "", "insert postonly"] {
            let all =
                of(&format!("backend a\n balance roundrobin\n cookie SRV {how}\n server x 10.0.0.1:80 cookie x\n"));
            assert!(
                matches!(&all[0].method, UpstreamMethod::Unknown(why) if why.contains("line 3: cookie SRV")),
                "{how}"
            );
        }
        let some = of(
            "backend a\n balance roundrobin\n cookie SRV insert\n server x 10.0.0.1:80 cookie x\n server y 10.0.0.2:80\n",
        );
        assert!(matches!(&some[0].method, UpstreamMethod::Unknown(why) if why.contains("line 3: cookie SRV insert")));
        let without = of("backend a\n balance roundrobin\n cookie SRV insert\n server x 10.0.0.1:80\n");
        assert_eq!(without[0].method, UpstreamMethod::Known(Policy::RoundRobin));
    }

    #[test]
    fn sessions_end_after_their_time_or_a_pause() {
        let of = |line: &str| {
            let life = session_life(&line.split(' ').collect::<Vec<_>>(), "a")?;
            Some((life.whole.map(|it| it.as_secs()), life.idle.map(|it| it.as_secs())))
        };
        assert_eq!(of("insert indirect maxidle 30m maxlife 8h"), Some((Some(28_800), Some(1_800))));
        assert_eq!(of("insert maxidle 90"), Some((None, Some(90))));
        assert_eq!(of("insert maxlife soon"), Some((Some(0), None)));
        assert_eq!(of("insert indirect"), None);
    }
}
