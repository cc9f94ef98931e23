//! What is typed of the surroundings of a rehearsal: `--name`, `--answer`, `--map`.

use std::str::FromStr;

/// A name and its addresses: `app.internal=3:8080`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NameOption {
    /// The name in lower case.
    pub(crate) name: String,
    pub(crate) addresses: usize,
    pub(crate) port: u16,
}

/// Hosts of one name; more do not fit into a response of the DNS that any balancer reads.
const MOST: usize = 250;

impl FromStr for NameOption {
    type Err = String;

    fn from_str(text: &str) -> Result<NameOption, String> {
        let expected = || format!("expected a name and 1 to {MOST} addresses, such as app.internal=3, found {text:?}");
        let (name, size) = text.rsplit_once('=').ok_or_else(expected)?;
        let (count, port) = size.split_once(':').unwrap_or((size, "80"));
        let addresses = count.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(expected)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if !name.is_empty() && name.bytes().all(plain) {
            Ok(NameOption { name, addresses, port })
        } else {
            Err(expected())
        }
    }
}

/// What a stand-in answers: `auth.internal:9000=204`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AnswerOption {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) status: u16,
}

impl FromStr for AnswerOption {
    type Err = String;

    fn from_str(text: &str) -> Result<AnswerOption, String> {
        let expected =
            || format!("expected a host, its port and a status, such as auth.internal:9000=204, found {text:?}");
        let (address, status) = text.rsplit_once('=').ok_or_else(expected)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(expected)?;
        let status = status.parse().ok().filter(|status| (200..600).contains(status)).ok_or_else(expected)?;
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() { Err(expected()) } else { Ok(AnswerOption { host, port, status }) }
    }
}

/// Which backend is at an address: `10.20.0.11:8080=9001`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MapOption {
    /// As the file writes it.
    pub(crate) server: String,
    pub(crate) port: u16,
}

impl FromStr for MapOption {
    type Err = String;

    fn from_str(text: &str) -> Result<MapOption, String> {
        let expected = || format!("expected a server and a port, such as 10.20.0.11:8080=9001, found {text:?}");
        let (server, port) = text.rsplit_once('=').ok_or_else(expected)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(expected)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/[]@".contains(&byte);
        if !server.is_empty() && server.bytes().all(plain) {
            Ok(MapOption { server: server.to_owned(), port })
        } else {
            Err(expected())
        }
    }
}

impl MapOption {
    /// The text with this server on loopback, and how often it stood there.
    pub(crate) fn apply(&self, text: &str) -> (String, usize) {
        let own = format!("127.0.0.1:{}", self.port);
        let is_part = |byte: Option<&u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric() || b"-.".contains(it));
        let (mut mapped, mut rest, mut count) = (String::with_capacity(text.len()), text, 0);
        let mut before: Option<u8> = None;
        while let Some(at) = rest.find(&self.server) {
            let end = at + self.server.len();
            let first = if at > 0 { rest.as_bytes().get(at - 1).copied() } else { before };
            let after = rest.as_bytes().get(end);
            // `10.0.0.1` is no part of `10.0.0.1:8080`, nor of `10.0.0.11`.
            let is_whole = !is_part(first.as_ref()) && !is_part(after) && after != Some(&b':');
            mapped += &rest[..at];
            mapped += if is_whole { &own } else { &self.server };
            count += usize::from(is_whole);
            before = rest.as_bytes().get(end - 1).copied();
            rest = &rest[end..];
        }
        let (mapped, apart) = self.apply_apart(mapped + rest);
        (mapped, count + apart)
    }

    /// Maps a server whose port has a key of its own, as in files of Envoy: `address: 10.0.0.1`, `port_value: 80`, in either order.
    fn apply_apart(&self, text: String) -> (String, usize) {
        let Some((host, port)) = self.server.rsplit_once(':') else { return (text, 0) };
        let host = regex_lite::escape(host.trim_matches(['[', ']']));
        let next = r#"["']?\s*(?:#[^\n]*\n\s*)?,?\s*["']?"#;
        let (address, port_key) = (r#"address["']?\s*:\s*["']?"#, r#"port_?[vV]alue["']?\s*:\s*"#);
        let (end, own) = (r#"(["'\s,}\]]|$)"#, self.port);
        let patterns = [
            (format!("({address}){host}({next}{port_key}){port}{end}"), format!("${{1}}127.0.0.1${{2}}{own}${{3}}")),
            (format!("({port_key}){port}({next}{address}){host}{end}"), format!("${{1}}{own}${{2}}127.0.0.1${{3}}")),
        ];
        patterns.iter().fold((text, 0), |(text, count), (pattern, place)| {
            let Ok(pattern) = regex_lite::Regex::new(pattern) else { return (text, count) };
            let found = pattern.find_iter(&text).count();
            (pattern.replace_all(&text, place.as_str()).into_owned(), count + found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_mapped_where_it_stands_as_a_whole() {
        let map: MapOption = "10.0.0.1:80=9001".parse().unwrap();
        let (text, count) =
            map.apply("server 10.0.0.1:80; http://10.0.0.1:80/x 110.0.0.1:80 10.0.0.1:8080 10.0.0.1:80");
        assert_eq!(text, "server 127.0.0.1:9001; http://127.0.0.1:9001/x 110.0.0.1:80 10.0.0.1:8080 127.0.0.1:9001");
        assert_eq!(count, 3);
        let bare: MapOption = "app1=9002".parse().unwrap();
        assert_eq!(bare.apply("server app1; server app1:8080; server app1.internal;").0.matches("9002").count(), 1);
        for wrong in ["10.0.0.1:80", "=9001", "a=0", "a b=9001"] {
            assert!(wrong.parse::<MapOption>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_is_mapped_where_its_port_has_a_key_of_its_own() {
        let map: MapOption = "10.0.0.1:80=9001".parse().unwrap();
        for (text, mapped) in [
            ("{ address: 10.0.0.1, port_value: 80 }", Some("{ address: 127.0.0.1, port_value: 9001 }")),
            ("address: 10.0.0.1 # a\n  port_value: 80\n", Some("address: 127.0.0.1 # a\n  port_value: 9001\n")),
            ("{\"portValue\":80,\"address\":\"10.0.0.1\"}", Some("{\"portValue\":9001,\"address\":\"127.0.0.1\"}")),
            ("{ address: 10.0.0.1, port_value: 8080 }", None),
            ("{ address: 10.0.0.11, port_value: 80 }", None),
            ("{ port_value: 80, address: 10.0.0.11 }", None),
            ("{ address: 10.0.0.1 }, { port_value: 80 }", None),
        ] {
            assert_eq!(map.apply(text), (mapped.unwrap_or(text).to_owned(), usize::from(mapped.is_some())), "{text}");
        }
        let map: MapOption = "[fd00::1]:80=9001".parse().unwrap();
        assert_eq!(map.apply("address: \"fd00::1\", port_value: 80 ").0, "address: \"127.0.0.1\", port_value: 9001 ");
    }

    #[test]
    fn names_and_answers_are_read_or_refused_with_what_was_expected() {
        let name: NameOption = "App.internal.=3:8080".parse().unwrap();
        assert_eq!(name, NameOption { name: "app.internal".to_owned(), addresses: 3, port: 8080 });
        assert_eq!("a=1".parse::<NameOption>().unwrap().port, 80);
        for text in ["", "a", "a=0", "a=251", "a=x", "=3", "a b=3", "a=3:0", "a=3:x"] {
            assert!(text.parse::<NameOption>().unwrap_err().contains("such as app.internal=3"), "{text}");
        }
        let answer: AnswerOption = "[fd00::1]:9000=401".parse().unwrap();
        assert_eq!(answer, AnswerOption { host: "fd00::1".to_owned(), port: 9000, status: 401 });
        for text in ["", "a=200", "a:80", "a:0=200", "a:80=100", "a:80=600", ":80=200"] {
            assert!(text.parse::<AnswerOption>().unwrap_err().contains("such as auth.internal:9000=204"), "{text}");
        }
    }
}
