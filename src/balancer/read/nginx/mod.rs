//! Reads an `nginx.conf` and what it includes: the servers, weights and method of its `upstream` blocks. The grammar is nginx's; what is not
//! understood is named.

pub(crate) mod files;
mod passed;
mod rewrites;
pub(crate) mod servers;
mod split_clients;
mod tokens;
pub(super) mod variables;

use std::time::Duration;

use crate::balancer::read::configuration::{
    ConfigFile, Configuration, ServerBlock, Takes, Upstream, UpstreamMethod, UpstreamServer,
};
use crate::balancer::read::endpoint::{Endpoint, endpoint};
use crate::balancer::read::time::{self, LoneNumber};
use crate::topology::Policy;
use verdict::timeline::Avoidance;

use passed::PassedUrls;
use rewrites::Rewrites;
use split_clients::{ClientSplit, ClientSplits};
use tokens::{ConfigToken, Tokens, Wrong};
use variables::keyed;

/// The files that `include PATTERN` means, or why they cannot be read.
pub(crate) type Included<'i> = &'i dyn Fn(&str) -> Result<Vec<ConfigFile>, String>;

/// Files may include others, these again others, and so on; more often than that they go round.
const DEEPEST: usize = 16;

/// Reads a file and all that it includes.
pub(crate) fn read(source: &ConfigFile, included: Included) -> Result<Configuration, Wrong> {
    // Each that NGINX starts with has a block of events.
    let mut configuration = Configuration { is_part: true, ..Configuration::default() };
    let mut targets = Targets::default();
    configuration.file(source, included, 0, &mut targets)?;
    configuration.implied = targets.passed.groups(&configuration.upstreams);
    targets.splits.join(&mut configuration.upstreams);
    targets.rewrites.apply(&mut configuration.upstreams);
    if !targets.stores {
        configuration.responses.stored.clear();
    }
    Ok(configuration)
}

/// Where requests are passed to.
#[derive(Default)]
struct Targets {
    passed: PassedUrls,
    splits: ClientSplits,
    rewrites: Rewrites,
    /// Whether a cache is in use.
    stores: bool,
}

/// The grammar of NGINX, outside of `upstream` blocks and at their edges.
/// Where the servers of an upstream end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ServersUntil {
    /// The `}` of their block.
    Brace,
    /// The end of a file that the block includes.
    EndOfFile,
}

/// The files of certificates and of their keys, each in order.
#[derive(Default)]
struct CertificatePairs {
    certificates: Vec<String>,
    keys: Vec<String>,
}

impl Configuration {
    fn file(
        &mut self,
        source: &ConfigFile,
        included: Included,
        deep: usize,
        targets: &mut Targets,
    ) -> Result<(), Wrong> {
        let mut tokens = Tokens::of(source);
        let mut depth = 0usize;
        let mut words: Vec<String> = Vec::new();
        let mut pairs = CertificatePairs::default();
        while let Some(token) = tokens.next()? {
            match (token, words.as_slice()) {
                (ConfigToken::Word(word), _) => {
                    words.push(word);
                    continue;
                }
                (ConfigToken::End, [include, pattern]) if include == "include" => {
                    for source in self.sources(pattern, included, deep, &tokens)? {
                        self.file(&source, included, deep + 1, targets)?;
                    }
                }
                (ConfigToken::End, line) => {
                    let is_known = self.line(line, &tokens, targets, &mut pairs);
                    if !is_known && depth == 0 {
                        self.main.push(std::mem::take(&mut words));
                    }
                }
                (ConfigToken::Open, [upstream, name]) if upstream == "upstream" => {
                    let mut upstream = Upstream::named(name);
                    self.servers(&mut upstream, &mut tokens, included, deep, ServersUntil::Brace)?;
                    self.upstreams.push(upstream);
                }
                (ConfigToken::Open, [split, key, variable]) if split == "split_clients" => {
                    targets.splits.add(ClientSplit::read(key, variable, &mut tokens)?);
                }
                (ConfigToken::Open, [name, ..]) if is_lua(name) => tokens.skip_lua()?,
                (ConfigToken::Open, words) => {
                    if words == ["events"] {
                        self.is_part = false;
                    }
                    if words == ["server"] {
                        self.server_blocks.push(ServerBlock { place: tokens.place(), ..ServerBlock::default() });
                    }
                    depth += 1;
                }
                (ConfigToken::Close, _) => {
                    depth = depth.checked_sub(1).ok_or_else(|| tokens.wrong("a `}` without its `{`"))?;
                }
            }
            words.clear();
        }
        self.certificates.extend(pairs.certificates.into_iter().zip(pairs.keys));
        match depth {
            0 => Ok(()),
            _ => Err(tokens.wrong("a `{` without its `}`")),
        }
    }
    /// Takes a directive that ends with a semicolon. Whether it is one of those that matter.
    fn line(&mut self, line: &[String], tokens: &Tokens, targets: &mut Targets, pairs: &mut CertificatePairs) -> bool {
        let Some((directive, values)) = line.split_first() else { return false };
        match (directive.as_str(), values) {
            ("ssl_certificate", [file]) => pairs.certificates.push(file.clone()),
            ("ssl_certificate_key", [file]) => pairs.keys.push(file.clone()),
            ("proxy_ssl_trusted_certificate", [file]) => self.authorities.push(file.clone()),
            ("proxy_pass" | "grpc_pass", [url]) => {
                targets.passed.pass_to(url, tokens.place());
                targets.splits.pass_to(url);
            }
            ("proxy_read_timeout" | "grpc_read_timeout" | "proxy_timeout", [time]) => {
                time::shorten(&mut self.patience, time::parse(time, LoneNumber::Seconds));
            }
            ("listen" | "server_name", values) => self.server_line(directive, values),
            ("set", [variable, value]) => {
                targets.passed.set(variable, value);
                targets.splits.set(variable);
            }
            ("proxy_ssl_name", [name]) => self.names.push(name.clone()),
            ("proxy_cache", [zone]) => targets.stores |= zone != "off",
            ("proxy_ignore_headers", headers) if headers.iter().any(|it| it.eq_ignore_ascii_case("cache-control")) => {
                self.responses.stored.push(format!("{}: {}", tokens.place(), line.join(" ")));
            }
            ("real_ip_header", [name]) if name != "proxy_protocol" => self.client_headers.push(name.clone()),
            ("fastcgi_pass" | "uwsgi_pass" | "scgi_pass" | "memcached_pass", [_]) => {
                self.foreign.push(format!("{}: {}", tokens.place(), line.join(" ")));
            }
            _ => {
                targets.rewrites.note(line, &tokens.place());
                return self.response_line(directive, values, tokens);
            }
        }
        true
    }

    /// A directive by which NGINX itself responds, or rewrites responses. Whether it is one.
    fn response_line(&mut self, directive: &str, values: &[String], tokens: &Tokens) -> bool {
        let status = match (directive, values) {
            ("return", [status, ..]) => status.parse().ok().or(Some(302)),
            ("rewrite", [.., flag]) if flag == "permanent" => Some(301),
            ("rewrite", [.., flag]) if flag == "redirect" => Some(302),
            ("try_files", [.., status]) => status.strip_prefix('=').and_then(|status| status.parse().ok()),
            ("deny", _) => Some(403),
            ("auth_basic", [realm]) if realm != "off" => Some(401),
            ("limit_req" | "limit_conn", _) => Some(503),
            ("limit_req_status" | "limit_conn_status", [status]) => status.parse().ok(),
            _ => None,
        };
        let rewrites = match (directive, values) {
            ("sub_filter" | "add_before_body" | "add_after_body" | "image_filter" | "xslt_stylesheet", _) => true,
            ("ssi", [is_on]) => is_on == "on",
            _ => false,
        };
        let line = || format!("{}: {directive} {}", tokens.place(), values.join(" "));
        if let Some(status) = status {
            self.responds(status, line());
        }
        if rewrites {
            self.responses.bodies.push(line());
        }
        status.is_some() || rewrites
    }

    /// A line of the block that was opened last: these blocks are never in each other.
    fn server_line(&mut self, directive: &str, words: &[String]) {
        let Some(block) = self.server_blocks.last_mut() else { return };
        match directive {
            "listen" => block.listen.push(words.to_vec()),
            _ => block.names.extend(words.iter().cloned()),
        }
    }

    /// What stands in an upstream block: up to its `}`, or to the end of a file that it includes.
    fn servers(
        &mut self,
        upstream: &mut Upstream,
        tokens: &mut Tokens,
        included: Included,
        deep: usize,
        until: ServersUntil,
    ) -> Result<(), Wrong> {
        let mut words: Vec<String> = Vec::new();
        while let Some(token) = tokens.next()? {
            match (token, words.as_slice()) {
                (ConfigToken::Word(word), _) => words.push(word),
                (ConfigToken::End, [include, pattern]) if include == "include" => {
                    for source in self.sources(pattern, included, deep, tokens)? {
                        self.servers(upstream, &mut Tokens::of(&source), included, deep + 1, ServersUntil::EndOfFile)?;
                    }
                    words.clear();
                }
                (ConfigToken::End, _) => upstream.directive(&std::mem::take(&mut words), tokens)?,
                (ConfigToken::Close, []) if until == ServersUntil::Brace => return Ok(()),
                (ConfigToken::Close, []) => return Err(tokens.wrong("a `}` without its `{`")),
                (ConfigToken::Close, _) => return Err(tokens.wrong("a directive without its `;`")),
                (ConfigToken::Open, [name, ..]) => {
                    upstream.method = UpstreamMethod::Unknown(format!("{}: {name}", tokens.place()));
                    if is_lua(name) {
                        tokens.skip_lua()?;
                    } else {
                        tokens.skip_block()?;
                    }
                    words.clear();
                }
                (ConfigToken::Open, []) => return Err(tokens.wrong("a `{` without a name")),
            }
        }
        match until {
            ServersUntil::Brace => Err(tokens.wrong("an upstream without its `}`")),
            ServersUntil::EndOfFile if words.is_empty() => Ok(()),
            ServersUntil::EndOfFile => Err(tokens.wrong("a directive without its `;`")),
        }
    }

    fn sources(
        &mut self,
        pattern: &str,
        included: Included,
        deep: usize,
        tokens: &Tokens,
    ) -> Result<Vec<ConfigFile>, Wrong> {
        if deep == DEEPEST {
            return Err(tokens.wrong(&format!("include {pattern}: files include each other {DEEPEST} times over")));
        }
        Ok(included(pattern).unwrap_or_else(|why| {
            self.not_read.push(format!("{}: include {pattern}: {why}", tokens.place()));
            Vec::new()
        }))
    }
}

/// The lines of an `upstream` block.
impl Upstream {
    fn directive(&mut self, words: &[String], tokens: &Tokens) -> Result<(), Wrong> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let unknown = || UpstreamMethod::Unknown(format!("{}: {}", tokens.place(), words.join(" ")));
        match words.as_slice() {
            ["server", address, parameters @ ..] => {
                let server = self.server(address, parameters, tokens)?;
                self.servers.push(server);
            }
            ["least_conn"] => self.method = UpstreamMethod::Known(Policy::LeastConnections),
            ["least_time", "header" | "last_byte"] | ["least_time", "header" | "last_byte", "inflight"] => {
                self.method = UpstreamMethod::Known(Policy::LeastTime);
            }
            ["random"] => self.method = UpstreamMethod::Known(Policy::Random),
            ["random", "two"] | ["random", "two", "least_conn"] => {
                self.method = UpstreamMethod::Known(Policy::TwoChoices);
            }
            ["ip_hash"] => self.method = UpstreamMethod::Known(Policy::Source),
            ["hash", key] | ["hash", key, "consistent"] => {
                self.key = Some((*key).to_owned());
                self.method = keyed(key).map_or_else(unknown, UpstreamMethod::Known);
            }
            ["sticky", "cookie", name, ..] => {
                self.method =
                    name.parse().map_or_else(|_| unknown(), |name| UpstreamMethod::Known(Policy::Sticky(name)));
            }
            // These change nothing of who gets what.
            ["zone" | "keepalive" | "keepalive_requests" | "keepalive_timeout" | "keepalive_time", ..] => {}
            ["resolver" | "resolver_timeout", ..] => {}
            ["queue" | "ntlm" | "bind_conn", ..] => {
                self.not_understood.push(format!("{}: {}", tokens.place(), words.join(" ")));
            }
            // It may be a method of another module, or bring servers (`state`).
            _ => self.method = unknown(),
        }
        Ok(())
    }

    fn server(&mut self, address: &str, parameters: &[&str], tokens: &Tokens) -> Result<UpstreamServer, Wrong> {
        let mut server = UpstreamServer::at(address, endpoint(address), &tokens.place());
        // What NGINX takes where nothing is written.
        let (mut fail_timeout, mut is_left_out) = (Duration::from_secs(10), true);
        for parameter in parameters {
            match parameter.split_once('=') {
                None if *parameter == "backup" => server.backup = true,
                None if matches!(*parameter, "down" | "drain") => server.down = true,
                None if *parameter == "resolve" => server.takes = Takes::Resolved,
                Some(("weight", weight)) => {
                    let number = weight.parse().ok().filter(|weight| *weight > 0);
                    server.weight =
                        number.ok_or_else(|| tokens.wrong(&format!("weight={weight}: expected a number above 0")))?;
                }
                Some(("fail_timeout", time)) => {
                    fail_timeout = time::parse(time, LoneNumber::Seconds)
                        .ok_or_else(|| tokens.wrong(&format!("fail_timeout={time}: expected a time such as 30s")))?;
                }
                Some(("max_fails", fails)) => is_left_out = fails != "0",
                Some(("max_conns", most)) => server.limit(most.parse().ok(), (*parameter).to_owned()),
                Some(("slow_start", time)) => {
                    self.slow_start = self.slow_start.max(time::parse(time, LoneNumber::Seconds));
                }
                Some(("service", service)) => server.endpoint = Endpoint::Tcp(service_name(service, address), 0),
                Some(("route", _)) => {
                    self.not_understood.push(format!("{}: {parameter} of server {address}", tokens.place()));
                }
                _ => {
                    self.method =
                        UpstreamMethod::Unknown(format!("{}: {parameter} of server {address}", tokens.place()));
                }
            }
        }
        if is_left_out {
            self.avoids(Some(Avoidance::of(fail_timeout)));
        }
        Ok(server)
    }
}

/// The name under which a resolver has a service (SRV): each brings its port.
fn service_name(service: &str, host: &str) -> String {
    if service.contains('.') { format!("{service}.{host}") } else { format!("_{service}._tcp.{host}") }
}

/// Its block is in another language, with comments and quotes of its own.
fn is_lua(directive: &str) -> bool {
    directive.ends_with("_by_lua_block")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> ConfigFile {
        ConfigFile { name: name.to_owned(), text: text.to_owned() }
    }

    fn upstreams(text: &str) -> Result<Vec<Upstream>, Wrong> {
        let nothing = |_: &str| Ok(Vec::new());
        read(&source("a.conf", text), &nothing).map(|configuration| configuration.upstreams)
    }

    #[test]
    fn a_limit_responds_with_its_status() {
        let text = "server { limit_req zone=a burst=5; limit_req_status 429; location / { limit_conn b 2; } }";
        let read = read(&source("a.conf", text), &|_| Ok(Vec::new())).unwrap();
        let counts: Vec<(u16, usize)> = read.responses.statuses.iter().map(|(it, lines)| (*it, lines.len())).collect();
        assert_eq!(counts, [(429, 1), (503, 2)]);
    }

    #[test]
    fn a_cache_keeps_what_it_should_not_where_the_file_has_it_ignore_what_backends_say() {
        for (lines, count) in [
            ("proxy_cache a; proxy_ignore_headers Set-Cookie Cache-Control;", 1),
            ("proxy_cache off; proxy_ignore_headers Cache-Control;", 0),
            ("proxy_cache a; proxy_ignore_headers Vary;", 0),
        ] {
            let text = format!("server {{ location / {{ {lines} }} }}");
            let read = read(&source("a.conf", &text), &|_| Ok(Vec::new())).unwrap();
            assert_eq!(read.responses.stored.len(), count, "{lines}");
        }
    }

    #[test]
    fn the_shipped_file_is_three_servers_in_turn() {
        let [upstream] = upstreams(include_str!("../../../../load_balancer.conf")).unwrap().try_into().unwrap();
        let local = |port| Endpoint::Tcp("127.0.0.1".to_owned(), port);
        let endpoints: Vec<Endpoint> = upstream.servers.iter().map(|server| server.endpoint.clone()).collect();
        assert_eq!((upstream.name.as_str(), endpoints), ("uuid", vec![local(9001), local(9002), local(9003)]));
        assert_eq!((upstream.method, upstream.not_understood), (UpstreamMethod::Known(Policy::RoundRobin), vec![]));
    }

    #[test]
    fn servers_of_a_service_are_those_that_a_resolver_has() {
        for (service, name) in [("http", "_http._tcp.b.internal"), ("_api._tcp", "_api._tcp.b.internal")] {
            let found = upstreams(&format!("upstream a {{ server b.internal service={service} resolve; }}")).unwrap();
            let server = &found[0].servers[0];
            assert_eq!(
                (&server.endpoint, server.takes, &found[0].method),
                (&Endpoint::Tcp(name.to_owned(), 0), Takes::Resolved, &UpstreamMethod::Known(Policy::RoundRobin))
            );
        }
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
              server { location ~ \"^/a{1,2}$\" { set $x ${host}_y; proxy_pass http://one; } }
            }";
        let found = upstreams(text).unwrap();
        let [one, two] = found.as_slice() else { panic!("{found:?}") };
        let methods = [Policy::Uri, Policy::TwoChoices].map(UpstreamMethod::Known);
        assert_eq!([&one.method, &two.method], [&methods[0], &methods[1]]);
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        let endpoints: Vec<Endpoint> = one.servers.iter().map(|server| server.endpoint.clone()).collect();
        let unix = Endpoint::Unix("/tmp/a.sock".to_owned());
        let expected = [tcp("[::1]", 9001), tcp("127.0.0.1", 9002), unix, tcp("backend", 80), tcp("a", 1)];
        assert_eq!(endpoints, expected);
        assert_eq!((one.servers[0].weight, one.servers[1].backup), (5, true));
        assert_eq!(one.servers.iter().map(|server| server.down).collect::<Vec<_>>(), [false, false, true, true, false]);
        assert_eq!(one.not_understood, ["a.conf, line 7: queue 10"]);
        assert_eq!((one.slow_start, two.slow_start), (Some(Duration::from_secs(3)), None));
    }

    #[test]
    fn the_longest_fail_timeout_counts_where_a_server_may_fail() {
        for (parameters, seconds) in [
            ("", Some(10)),
            ("fail_timeout=30", Some(30)),
            ("fail_timeout=1m30s max_fails=2", Some(90)),
            ("max_fails=0 fail_timeout=30s", None),
        ] {
            let found = upstreams(&format!("upstream a {{ server b:1 {parameters}; }}")).unwrap();
            assert_eq!(found[0].keeps_away.map(|it| it.time), seconds.map(Duration::from_secs), "{parameters}");
        }
        assert!(upstreams("upstream a { server b:1 fail_timeout=soon; }").is_err());
    }

    #[test]
    fn a_server_may_take_only_a_number_of_requests_at_once() {
        let found = upstreams("upstream a { server b:1 max_conns=20; server c:1 max_conns=0; server d:1; }").unwrap();
        let limits: Vec<_> =
            found[0].servers.iter().map(|it| it.at_once.as_ref().map(|it| (it.most, it.written.as_str()))).collect();
        assert_eq!(limits, [Some((20, "max_conns=20")), None, None]);
    }

    #[test]
    fn the_shortest_time_for_a_response_counts() {
        let text = "http { proxy_read_timeout 30; upstream a { server b:1; } server { location / { proxy_read_timeout 250ms; } \
            location /slow { proxy_read_timeout 1h; } } }";
        let read = read(&source("a.conf", text), &|_| Ok(Vec::new())).unwrap();
        assert_eq!(read.patience, Some(Duration::from_millis(250)));
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
            let UpstreamMethod::Known(method) = &found[0].method else { panic!("{algorithm}: {found:?}") };
            assert_eq!((method.to_string().as_str(), found[0].not_understood.len()), (algorithm, 0));
        }
    }

    #[test]
    fn a_method_that_is_not_known_is_none_that_is() {
        for lines in [
            "hash $arg_a;",
            "hash $host$arg_a consistent;",
            "least_time last_bit;",
            "fair;",
            "state a;",
            "sticky learn a=b;",
        ] {
            let found = upstreams(&format!("upstream a {{ {lines} server b:1; }}")).unwrap();
            let what = format!("a.conf, line 1: {}", lines.trim_end_matches(';'));
            assert_eq!(found[0].method, UpstreamMethod::Unknown(what), "{lines}");
        }
        let found = upstreams("upstream a { server b resolve; balancer_by_lua_block { f('}') } }").unwrap();
        assert_eq!(found[0].method, UpstreamMethod::Unknown("a.conf, line 1: balancer_by_lua_block".to_owned()));
    }

    #[test]
    fn what_nginx_takes_is_read() {
        for text in [
            "http { server { return 200 ok}; } upstream u { server a:1; } }",
            "http { # caf\u{fffd}\n upstream u { server a:1; } }",
            "http { log_format x '\"}\"' \"a\\\"{\"; map $a $b { \"~^\\d+{2}\" x; } upstream u { server a:1; } }",
            "content_by_lua_block {\n -- it's {\n --[==[ } ]] ]==] local t = { [ [[ } ]] ] = \"}\\\"\", 'x}' }\n f(a - b)\n}\nupstream u { server a:1; }",
            "upstream u { server a:1; }\u{a0}x;",
        ] {
            let found = upstreams(text).unwrap_or_else(|wrong| panic!("{text}: {wrong}"));
            assert_eq!((found.len(), found[0].servers.len()), (1, 1), "{text}");
        }
    }

    #[test]
    fn words_are_those_of_nginx() {
        let words = |text: &str| {
            let nothing = |_: &str| Ok(Vec::new());
            read(&source("a", text), &nothing).unwrap().main.remove(0)
        };
        assert_eq!(words("a ok} b}c;"), ["a", "ok}", "b}c"]);
        assert_eq!(words(r#"a \"b \d a\;b x"y '\'';"#), ["a", "\"b", "\\d", "a\\;b", "x\"y", "'"]);
        assert_eq!(words("a ${b}c;"), ["a", "${b}c"]);
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
        let found = read(&source("nginx.conf", text), &included).unwrap();
        assert_eq!(found.main, [["user", "www-data"], ["daemon", "off"]]);
        assert!(found.is_part && !read(&source("a", "events {} http {}"), &included).unwrap().is_part);
        assert_eq!(found.not_read, ["nginx.conf, line 2: include mime.types: no such file"]);
        let [one, two] = found.upstreams.as_slice() else { panic!("{found:?}") };
        assert_eq!(
            (one.name.as_str(), &one.method, one.servers[0].weight),
            ("one", &UpstreamMethod::Known(Policy::LeastConnections), 3)
        );
        assert_eq!(two.method, UpstreamMethod::Unknown("two.conf, line 2: bogus".to_owned()));
    }

    #[test]
    fn what_is_wrong_in_an_included_file_is_told_with_its_name_and_files_that_go_round_are_told() {
        let beside = |text: &'static str| {
            let included = move |_: &str| Ok(vec![source("other.conf", text)]);
            read(&source("nginx.conf", "http {\n include a; }"), &included).unwrap_err().to_string()
        };
        assert_eq!(beside("\n}"), "other.conf, line 2: a `}` without its `{`");
        assert!(beside("include a;").contains("files include each other"), "{}", beside("include a;"));
        let within = |text: &'static str| {
            let included = move |_: &str| Ok(vec![source("other.conf", text)]);
            read(&source("nginx.conf", "upstream u { include a; }"), &included).unwrap_err().to_string()
        };
        assert_eq!(within("server a:1"), "other.conf, line 1: a directive without its `;`");
        assert_eq!(within("server a:1; }"), "other.conf, line 1: a `}` without its `{`");
    }
}
