//! PURE. Reads an `nginx.conf` and what it includes: the servers, weights and method of its `upstream` blocks. The grammar is nginx's; what is not
//! understood is named.

use std::fmt;

use crate::topology::Algorithm;

/// An `upstream` block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Its servers, in order.
    pub servers: Vec<Server>,
    /// How it picks one.
    pub algorithm: Algorithm,
    /// What was not understood, each with its place.
    pub not_understood: Vec<String>,
}

/// A `server` line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// As written, such as `127.0.0.1:9001`.
    pub address: String,
    /// Its port: 80 if none is written; none for a unix socket.
    pub port: Option<u16>,
    /// 1 unless written.
    pub weight: u32,
    /// Gets something only when all others are down.
    pub backup: bool,
    /// Gets nothing, or nothing but what belongs to its sessions (`drain`, from NGINX 1.29.6).
    pub down: bool,
}

/// What is wrong with a configuration, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The name of that file.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In a few words.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Wrong {}

/// A file of a configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// For people.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// What of a configuration is understood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Configuration {
    /// All `upstream` blocks, in order.
    pub upstreams: Vec<Upstream>,
    /// The directives outside of all blocks, each word by word: `daemon off`.
    pub main: Vec<Vec<String>>,
    /// What should be included and could not be read, with the place that says so.
    pub not_read: Vec<String>,
}

/// The files that `include PATTERN` means, or why they cannot be read.
pub type Included<'i> = &'i dyn Fn(&str) -> Result<Vec<Source>, String>;

/// Files may include others, these again others, and so on; more often than that they go round.
const DEEPEST: usize = 16;

impl Configuration {
    /// Reads a file and all that it includes.
    pub fn read(source: &Source, included: Included) -> Result<Configuration, Wrong> {
        let mut configuration = Configuration::default();
        configuration.file(source, included, 0)?;
        Ok(configuration)
    }

    fn file(&mut self, source: &Source, included: Included, deep: usize) -> Result<(), Wrong> {
        let mut tokens = Tokens::of(source);
        let mut depth = 0usize;
        let mut words: Vec<String> = Vec::new();
        while let Some(token) = tokens.next()? {
            match (token, words.as_slice()) {
                (Token::Word(word), _) => {
                    words.push(word);
                    continue;
                }
                (Token::End, [include, pattern]) if include == "include" => {
                    for source in self.sources(pattern, included, deep, &tokens)? {
                        self.file(&source, included, deep + 1)?;
                    }
                }
                (Token::End, _) if depth == 0 => self.main.push(std::mem::take(&mut words)),
                (Token::End, _) => {}
                (Token::Open, [upstream, name]) if upstream == "upstream" => {
                    let mut upstream = Upstream::named(name);
                    self.servers(&mut upstream, &mut tokens, included, deep, true)?;
                    self.upstreams.push(upstream);
                }
                (Token::Open, _) => depth += 1,
                (Token::Close, _) => {
                    depth = depth.checked_sub(1).ok_or_else(|| tokens.wrong("a `}` without its `{`"))?;
                }
            }
            words.clear();
        }
        match depth {
            0 => Ok(()),
            _ => Err(tokens.wrong("a `{` without its `}`")),
        }
    }

    /// What stands in an upstream block: up to its `}`, or to the end of a file that it includes.
    fn servers(
        &mut self,
        upstream: &mut Upstream,
        tokens: &mut Tokens,
        included: Included,
        deep: usize,
        is_block: bool,
    ) -> Result<(), Wrong> {
        let mut words: Vec<String> = Vec::new();
        while let Some(token) = tokens.next()? {
            match (token, words.as_slice()) {
                (Token::Word(word), _) => words.push(word),
                (Token::End, [include, pattern]) if include == "include" => {
                    for source in self.sources(pattern, included, deep, tokens)? {
                        self.servers(upstream, &mut Tokens::of(&source), included, deep + 1, false)?;
                    }
                    words.clear();
                }
                (Token::End, _) => upstream.directive(&std::mem::take(&mut words), tokens)?,
                (Token::Close, []) if is_block => return Ok(()),
                (Token::Close, []) => return Err(tokens.wrong("a `}` without its `{`")),
                (Token::Close, _) => return Err(tokens.wrong("a directive without its `;`")),
                (Token::Open, _) => return Err(tokens.wrong("a block within an upstream")),
            }
        }
        match (is_block, words.is_empty()) {
            (true, _) => Err(tokens.wrong("an upstream without its `}`")),
            (false, false) => Err(tokens.wrong("a directive without its `;`")),
            (false, true) => Ok(()),
        }
    }

    fn sources(
        &mut self,
        pattern: &str,
        included: Included,
        deep: usize,
        tokens: &Tokens,
    ) -> Result<Vec<Source>, Wrong> {
        if deep == DEEPEST {
            return Err(tokens.wrong(&format!("include {pattern}: files include each other {DEEPEST} times over")));
        }
        Ok(included(pattern).unwrap_or_else(|why| {
            self.not_read.push(format!("{}: include {pattern}: {why}", tokens.place()));
            Vec::new()
        }))
    }
}

impl Upstream {
    fn named(name: &str) -> Upstream {
        Upstream {
            name: name.to_owned(),
            servers: Vec::new(),
            algorithm: Algorithm::RoundRobin,
            not_understood: Vec::new(),
        }
    }

    fn directive(&mut self, words: &[String], tokens: &Tokens) -> Result<(), Wrong> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["server", address, parameters @ ..] => {
                let server = self.server(address, parameters, tokens)?;
                self.servers.push(server);
            }
            ["least_conn"] => self.algorithm = Algorithm::LeastConnections,
            ["least_time", "header" | "last_byte"] | ["least_time", "header" | "last_byte", "inflight"] => {
                self.algorithm = Algorithm::LeastTime;
            }
            ["random"] => self.algorithm = Algorithm::Random,
            ["random", "two"] | ["random", "two", "least_conn"] => self.algorithm = Algorithm::TwoChoices,
            ["ip_hash"] => self.algorithm = Algorithm::Source,
            ["hash", key] | ["hash", key, "consistent"] => match keyed(key) {
                Some(algorithm) => self.algorithm = algorithm,
                None => self.not_understood.push(format!("{}: hash {key}", tokens.place())),
            },
            ["sticky", "cookie", name, ..] => match name.parse() {
                Ok(name) => self.algorithm = Algorithm::Sticky(name),
                Err(_) => self.not_understood.push(format!("{}: sticky cookie {name}", tokens.place())),
            },
            // These change nothing of who gets what.
            ["zone" | "keepalive" | "keepalive_requests" | "keepalive_timeout" | "keepalive_time", ..] => {}
            other => self.not_understood.push(format!("{}: {}", tokens.place(), other.join(" "))),
        }
        Ok(())
    }

    fn server(&mut self, address: &str, parameters: &[&str], tokens: &Tokens) -> Result<Server, Wrong> {
        let mut server =
            Server { address: address.to_owned(), port: port(address), weight: 1, backup: false, down: false };
        for parameter in parameters {
            match parameter.split_once('=') {
                None if *parameter == "backup" => server.backup = true,
                None if matches!(*parameter, "down" | "drain") => server.down = true,
                Some(("weight", weight)) => {
                    let number = weight.parse().ok().filter(|weight| *weight > 0);
                    server.weight =
                        number.ok_or_else(|| tokens.wrong(&format!("weight={weight}: expected a number above 0")))?;
                }
                Some(("max_fails" | "fail_timeout" | "max_conns", _)) => {}
                _ => self.not_understood.push(format!("{}: {parameter} of server {address}", tokens.place())),
            }
        }
        Ok(server)
    }
}

fn port(address: &str) -> Option<u16> {
    if address.starts_with("unix:") {
        return None;
    }
    let behind = address.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    behind.map_or(Some(80), |(_, port)| port.parse().ok())
}

fn keyed(key: &str) -> Option<Algorithm> {
    let key = key.trim_matches(|quote| quote == '"' || quote == '\'');
    Some(match key {
        "$remote_addr" | "$binary_remote_addr" => Algorithm::Source,
        "$request_uri" | "$uri" | "$scheme$proxy_host$request_uri" => Algorithm::Uri,
        _ => match (key.strip_prefix("$http_"), key.strip_prefix("$cookie_")) {
            (Some(header), _) if is_name(header) => Algorithm::Header(header.replace('_', "-").parse().ok()?),
            (_, Some(cookie)) if is_name(cookie) => Algorithm::Cookie(cookie.parse().ok()?),
            _ => return None,
        },
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

enum Token {
    Word(String),
    /// `;`
    End,
    /// `{`
    Open,
    /// `}`
    Close,
}

struct Tokens<'t> {
    file: &'t str,
    rest: &'t str,
    line: usize,
}

impl Tokens<'_> {
    fn of(source: &Source) -> Tokens<'_> {
        Tokens { file: &source.name, rest: &source.text, line: 1 }
    }

    fn place(&self) -> String {
        format!("{}, line {}", self.file, self.line)
    }

    fn wrong(&self, what: &str) -> Wrong {
        Wrong { file: self.file.to_owned(), line: self.line, what: what.to_owned() }
    }

    fn skip(&mut self, bytes: usize) -> &str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.line += skipped.matches('\n').count();
        skipped
    }

    /// Past spaces and comments.
    fn skip_blank(&mut self) {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.skip(blank);
            if !self.rest.starts_with('#') {
                return;
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.skip(comment);
        }
    }

    fn next(&mut self) -> Result<Option<Token>, Wrong> {
        self.skip_blank();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        let token = match first {
            ';' => Token::End,
            '{' => Token::Open,
            '}' => Token::Close,
            '"' | '\'' => return self.quoted(first).map(Some),
            _ => {
                let end = |character: char| character.is_whitespace() || matches!(character, ';' | '{' | '}');
                // `${name}` is part of a word.
                let mut length = 0;
                let mut within = false;
                for (place, character) in self.rest.char_indices() {
                    let opens = character == '{' && self.rest[..place].ends_with('$');
                    if !within && !opens && end(character) {
                        break;
                    }
                    within = opens || (within && character != '}');
                    length = place + character.len_utf8();
                }
                return Ok(Some(Token::Word(self.skip(length).to_owned())));
            }
        };
        self.skip(1);
        Ok(Some(token))
    }

    fn quoted(&mut self, quote: char) -> Result<Token, Wrong> {
        let mut word = String::new();
        let mut escaped = false;
        for (place, character) in self.rest.char_indices().skip(1) {
            match character {
                _ if escaped => {
                    word.push(character);
                    escaped = false;
                }
                '\\' => escaped = true,
                _ if character == quote => {
                    self.skip(place + 1);
                    return Ok(Token::Word(word));
                }
                _ => word.push(character),
            }
        }
        Err(self.wrong("a quote that does not end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Source {
        Source { name: name.to_owned(), text: text.to_owned() }
    }

    fn upstreams(text: &str) -> Result<Vec<Upstream>, Wrong> {
        let nothing = |_: &str| Ok(Vec::new());
        Configuration::read(&source("a.conf", text), &nothing).map(|configuration| configuration.upstreams)
    }

    #[test]
    fn the_shipped_file_is_three_servers_in_turn() {
        let [upstream] = upstreams(include_str!("../../load_balancer.conf")).unwrap().try_into().unwrap();
        let ports: Vec<Option<u16>> = upstream.servers.iter().map(|server| server.port).collect();
        assert_eq!((upstream.name.as_str(), ports), ("uuid", vec![Some(9001), Some(9002), Some(9003)]));
        assert_eq!((upstream.algorithm, upstream.not_understood), (Algorithm::RoundRobin, vec![]));
    }

    #[test]
    fn weights_methods_and_states_are_read_and_the_rest_is_named() {
        let text = "
            http { # a comment with { and ;
              map $http_upgrade $connection_upgrade { default upgrade; '' close; }
              upstream one {
                zone one 64k; hash \"$request_uri\" consistent; server [::1]:9001 weight=5 max_fails=3;
                server 127.0.0.1:9002 backup; server unix:/tmp/a.sock down; server backend drain;
                queue 10; server a:1 slow_start=3s;
              }
              upstream two { server a:9001; server a:9002; random two least_conn; keepalive 16; }
              server { location ~ ^/a{1,2}$ { set $x ${host}_y; proxy_pass http://one; } }
            }";
        let found = upstreams(text).unwrap();
        let [one, two] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((&one.algorithm, &two.algorithm), (&Algorithm::Uri, &Algorithm::TwoChoices));
        let ports: Vec<Option<u16>> = one.servers.iter().map(|server| server.port).collect();
        assert_eq!(ports, [Some(9001), Some(9002), None, Some(80), Some(1)]);
        assert_eq!((one.servers[0].weight, one.servers[1].backup), (5, true));
        assert_eq!(one.servers.iter().map(|server| server.down).collect::<Vec<_>>(), [false, false, true, true, false]);
        assert_eq!(one.not_understood, ["a.conf, line 7: queue 10", "a.conf, line 7: slow_start=3s of server a:1"]);
    }

    #[test]
    fn every_method_has_its_algorithm() {
        for (method, algorithm) in [
            ("", "round-robin"),
            ("least_conn;", "least-connections"),
            ("least_time header;", "least-time"),
            ("least_time last_byte inflight;", "least-time"),
            ("random;", "random"),
            ("random two;", "two-choices"),
            ("ip_hash;", "source"),
            ("hash $remote_addr consistent;", "source"),
            ("hash $request_uri;", "uri"),
            ("hash $http_x_user;", "header:x-user"),
            ("hash $cookie_session;", "cookie:session"),
            ("sticky cookie route expires=1h;", "sticky:route"),
        ] {
            let found = upstreams(&format!("upstream a {{ {method} server b:1; }}")).unwrap();
            assert_eq!((found[0].algorithm.to_string().as_str(), found[0].not_understood.len()), (algorithm, 0));
        }
        let found = upstreams("upstream a { hash $arg_a; least_time last_bit; server b:1; }").unwrap();
        assert_eq!(found[0].not_understood, ["a.conf, line 1: hash $arg_a", "a.conf, line 1: least_time last_bit"]);
    }

    #[test]
    fn what_is_no_configuration_is_told_with_its_line() {
        for (text, line) in [
            ("http {\n", 2),
            ("}", 1),
            ("upstream a {\nserver b:1 weight=0;\n}", 2),
            ("a \"b", 1),
            ("upstream a {\nserver b }", 2),
        ] {
            assert_eq!(upstreams(text).map_err(|wrong| wrong.line), Err(line), "{text}");
        }
    }

    #[test]
    fn what_is_included_is_read_where_it_stands() {
        let included = |pattern: &str| match pattern {
            "conf.d/*.conf" => Ok(vec![
                source("one.conf", "upstream one { include servers; least_conn; }"),
                source("two.conf", "upstream two {\n bogus; server b:1; }"),
            ]),
            "servers" => Ok(vec![source("servers", "server a:1 weight=3;\n# no more\n")]),
            _ => Err("no such file".to_owned()),
        };
        let text =
            "user www-data; daemon off;\nhttp { include mime.types; include conf.d/*.conf; keepalive_timeout 5; }";
        let found = Configuration::read(&source("nginx.conf", text), &included).unwrap();
        assert_eq!(found.main, [["user", "www-data"], ["daemon", "off"]]);
        assert_eq!(found.not_read, ["nginx.conf, line 2: include mime.types: no such file"]);
        let [one, two] = found.upstreams.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (one.name.as_str(), &one.algorithm, one.servers[0].weight),
            ("one", &Algorithm::LeastConnections, 3)
        );
        assert_eq!(two.not_understood, ["two.conf, line 2: bogus"]);
    }

    #[test]
    fn what_is_wrong_in_an_included_file_is_told_with_its_name_and_files_that_go_round_are_told() {
        let read = |text: &'static str| {
            let included = move |_: &str| Ok(vec![source("other.conf", text)]);
            Configuration::read(&source("nginx.conf", "http {\n include a; }"), &included).unwrap_err().to_string()
        };
        assert_eq!(read("\n}"), "other.conf, line 2: a `}` without its `{`");
        assert!(read("include a;").contains("files include each other"), "{}", read("include a;"));
        let within = |text: &'static str| {
            let included = move |_: &str| Ok(vec![source("other.conf", text)]);
            Configuration::read(&source("nginx.conf", "upstream u { include a; }"), &included).unwrap_err().to_string()
        };
        assert_eq!(within("server a:1"), "other.conf, line 1: a directive without its `;`");
        assert_eq!(within("server a:1; }"), "other.conf, line 1: a `}` without its `{`");
    }
}
