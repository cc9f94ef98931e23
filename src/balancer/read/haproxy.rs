//! Reads a `haproxy.cfg`: the servers, weights and algorithm of its `backend` and `listen` sections, with what they inherit from
//! `defaults`. What is not understood is named, and nothing is promised for its section.

mod address;
mod checks;
mod cookie;
mod frontends;
mod key_lines;
mod method;
mod own_response;
pub(crate) mod states;
mod sticking;
mod variables;
mod words;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::balancer::options::BalancerVersion;
use crate::balancer::read::configuration::{
    ConfigFile, Configuration, Takes, Upstream, UpstreamMethod, UpstreamServer,
};
use crate::balancer::read::key_changes::KeyChanges;
use crate::balancer::read::time::{self, LoneNumber};
use address::{companion, endpoint};
use checks::Checks;
use cookie::{CookieValues, StickyCookie};
use frontends::Frontends;
use method::method;
use states::{SavedState, StateFiles};
use sticking::Sticking;
use variables::{Environment, Variables};
use verdict::rules::AVOIDED;
use verdict::timeline::Avoidance;
use words::{expand_address, words};

const SECTIONS: [&str; 19] = [
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "cache",
    "program",
    "http-errors",
    "ring",
    "log-forward",
    "log-profile",
    "fcgi-app",
    "crt-store",
    "traces",
    "acme",
];

/// What a section says, or inherits.
#[derive(Clone, Default)]
struct SectionSettings {
    method: Option<UpstreamMethod>,
    /// `balance first`.
    is_first: bool,
    /// The cookie by which sessions stick.
    cookie: Option<StickyCookie>,
    /// The table by which clients stick.
    sticking: Sticking,
    /// `default-server`: what each server has unless it says otherwise.
    server: Vec<String>,
    /// What decides and is not understood, each with its place.
    unknown: Vec<String>,
    state: SavedState,
    /// What health checks expect beyond a success, each with its place.
    health: Vec<String>,
    /// `timeout check`.
    check_timeout: Duration,
}

/// What `global` says for all sections.
struct Global<'e> {
    /// The directory of relative file names of authorities.
    ca_base: Option<String>,
    /// The directory in which HAProxy locks itself up: paths of servers' sockets start from there.
    chroot: Option<String>,
    /// By how many percent of their intervals health checks may be late.
    spread: u32,
    states: StateFiles<'e>,
}

impl Global<'_> {
    fn note(&mut self, words: &[String]) {
        match words {
            [base, folder, ..] if base == "ca-base" => self.ca_base = Some(folder.clone()),
            [chroot, folder, ..] if chroot == "chroot" => self.chroot = Some(folder.clone()),
            [spread, percent, ..] if spread == "spread-checks" => self.spread = percent.parse().unwrap_or(0),
            _ => self.states.note(words),
        }
    }

    /// Paths of servers and of authorities begin where it says.
    fn apply(&self, configuration: &mut Configuration) {
        if let Some(root) = &self.chroot {
            address::lock_up(root, configuration.upstreams.iter_mut().flat_map(|it| &mut it.servers));
        }
        if let Some(base) = &self.ca_base {
            lay_below(base, &mut configuration.authorities);
        }
    }
}

struct Section {
    settings: SectionSettings,
    upstream: Upstream,
    /// Files of authorities, and names in certificates.
    authorities: Vec<String>,
    names: Vec<String>,
    values: CookieValues,
    /// When each server is checked.
    checks: Vec<Checks>,
    /// Whether servers are in another order than that of their lines.
    has_ids: bool,
}

#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Open {
    Other,
    /// Of servers that HAProxy itself speaks to.
    Companions,
    Defaults(String),
    Proxy(Section),
}

/// All sections with servers, in the order of the files, as a HAProxy of that version understands them; `exists` says whether a file is
/// there. It cannot fail: what HAProxy refuses it says best. Defaults go on from file to file, and no section does.
pub(crate) fn read(
    sources: &[ConfigFile],
    version: Option<BalancerVersion>,
    environment: Environment,
    exists: &dyn Fn(&Path) -> bool,
) -> Configuration {
    let mut variables = Variables::new(environment);
    let mut configuration = Configuration::default();
    let mut defaults: BTreeMap<String, SectionSettings> = BTreeMap::new();
    let unsaid = || SectionSettings { method: version.map(method::of_version), ..SectionSettings::default() };
    let mut latest = unsaid();
    let (mut open, mut conditional) = (Open::Other, None);
    let mut global = Global { ca_base: None, chroot: None, spread: 0, states: StateFiles::new(exists) };
    let mut frontends = Frontends::default();
    let mut changes = KeyChanges::default();
    for (source, number, line) in sources.iter().flat_map(lines_of) {
        let place = format!("{}, line {number}", source.name);
        let words = words_of(line, &place, &variables, &mut configuration.not_read);
        let first = words.first().map_or("", String::as_str);
        if first.starts_with('.') {
            conditional.get_or_insert_with(|| format!("{place}: {}", words.join(" ")));
        }
        if number == 1 || SECTIONS.contains(&first) {
            let before = std::mem::replace(&mut open, Open::Other);
            close(before, &mut configuration, &mut defaults, &mut latest, &global);
            let name = words.get(1).cloned().unwrap_or_default();
            let from = inherits_from(&words);
            let inherited = || from.map_or_else(|| Some(latest.clone()), |from| defaults.get(from).cloned());
            frontends.open();
            open = match first {
                "defaults" => {
                    latest = from.and_then(|from| defaults.get(from).cloned()).unwrap_or_else(unsaid);
                    Open::Defaults(name)
                }
                "backend" | "listen" => Open::Proxy(Section::new(name, inherited().unwrap_or_else(unsaid))),
                "peers" | "mailers" | "ring" => Open::Companions,
                _ => Open::Other,
            };
            continue;
        }
        match first {
            "use-fcgi-app" => configuration.foreign.push(format!("{place}: {}", words.join(" "))),
            "use_backend" => configuration.routes.push(format!("{place}: {}", words.join(" "))),
            _ => {}
        }
        frontends.note(&words);
        key_lines::note(&words, &place, &mut changes, &mut configuration.client_headers);
        own_response::note(&words, &place, &mut configuration);
        match &mut open {
            Open::Defaults(_) | Open::Proxy(_) if is_server_timeout(&words) => {
                let time = words.get(2).and_then(|time| time::parse(time, LoneNumber::Milliseconds));
                time::shorten(&mut configuration.patience, time);
            }
            Open::Other => {
                global.note(&words);
                variables.note(&words);
            }
            Open::Companions => configuration.companions.extend(companion(&words)),
            Open::Defaults(_) => setting(&mut latest, &words, &place),
            Open::Proxy(section) => section.line(&words, &place),
        }
    }
    close(open, &mut configuration, &mut defaults, &mut latest, &global);
    frontends.join(&mut configuration.upstreams);
    changes.apply(&mut configuration.upstreams);
    global.apply(&mut configuration);
    if let Some(why) = conditional {
        configuration.upstreams.iter_mut().for_each(|it| it.method = UpstreamMethod::Unknown(why.clone()));
    }
    configuration
}

/// The words of a line, with the values of variables; an address with one that nobody sets is not read.
fn words_of(line: &str, place: &str, variables: &Variables, not_read: &mut Vec<String>) -> Vec<String> {
    let mut words = words(line, &|name| variables.get(name));
    let unset = expand_address(&mut words, &|name| variables.get(name));
    not_read.extend(unset.iter().map(|name| format!("{place}: ${name} is not set")));
    words
}

/// The name of the defaults that a section takes.
fn inherits_from(words: &[String]) -> Option<&String> {
    words.iter().position(|word| word == "from").and_then(|at| words.get(at + 1))
}

fn is_server_timeout(words: &[String]) -> bool {
    words.iter().take(2).eq(["timeout", "server"])
}

/// Each with the number that it has in its file.
fn lines_of(source: &ConfigFile) -> impl Iterator<Item = (&ConfigFile, usize, &str)> {
    (1..).zip(source.text.lines()).map(move |(number, line)| (source, number, line))
}

/// Files that are named from a folder.
fn lay_below(base: &str, files: &mut [String]) {
    for file in files.iter_mut().filter(|file| !file.starts_with('/')) {
        *file = format!("{}/{file}", base.trim_end_matches('/'));
    }
}

fn close(
    open: Open,
    configuration: &mut Configuration,
    defaults: &mut BTreeMap<String, SectionSettings>,
    latest: &mut SectionSettings,
    global: &Global,
) {
    match open {
        Open::Other | Open::Companions => {}
        Open::Defaults(name) => {
            defaults.insert(name, latest.clone());
        }
        Open::Proxy(section) if section.upstream.servers.is_empty() => {}
        Open::Proxy(mut section) => {
            configuration.authorities.append(&mut section.authorities);
            configuration.names.append(&mut section.names);
            section.settings.unknown.extend(global.states.deciding(&section.settings.state, &section.upstream.name));
            configuration.upstreams.push(section.end(global.spread));
        }
    }
}

fn setting(settings: &mut SectionSettings, words: &[String], place: &str) {
    if own_response::expects_of_health(words) {
        settings.health.push(format!("{place}: {}", words.join(" ")));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["balance", algorithm @ ..] => {
            settings.is_first = *algorithm == ["first"];
            settings.method = Some(match method(algorithm) {
                UpstreamMethod::Unknown(_) => UpstreamMethod::Unknown(format!("{place}: {}", words.join(" "))),
                known @ (UpstreamMethod::Known(_) | UpstreamMethod::Split(_)) => known,
            });
        }
        ["cookie", name, how @ ..] => {
            settings.cookie = Some(StickyCookie::read(name, how, format!("{place}: {}", words.join(" "))));
        }
        ["timeout", "check", time] => {
            // A time that is not understood is none of a few seconds.
            settings.check_timeout = time::parse(time, LoneNumber::Milliseconds).unwrap_or(AVOIDED);
        }
        ["default-server", parameters @ ..] => {
            settings.server.extend(parameters.iter().map(|word| (*word).to_owned()));
        }
        ["load-server-state-from-file" | "server-state-file-name", ..] => settings.state.note(&words, place),
        ["stick" | "stick-table", ..] => settings.sticking.note(&words, place),
        // They choose a server before the algorithm does, or change its weight.
        ["use-server" | "persist" | "dispatch" | "force-persist" | "ignore-persist", ..]
        | ["option", "transparent" | "prefer-last-server", ..]
        | ["http-request", "set-dst" | "set-dst-port", ..]
        | ["tcp-request", _, "set-dst" | "set-dst-port", ..] => {
            settings.unknown.push(format!("{place}: {}", words.join(" ")));
        }
        // A server with more than its part of the load passes what a key brings to the next one.
        ["hash-balance-factor", factor] if *factor != "0" => {
            settings.unknown.push(format!("{place}: {}", words.join(" ")));
        }
        _ => {}
    }
}

impl Section {
    fn new(name: String, settings: SectionSettings) -> Section {
        let upstream = Upstream { method: method(&[]), draws_from_ring: true, ..Upstream::named(&name) };
        Section {
            settings,
            upstream,
            authorities: Vec::new(),
            names: Vec::new(),
            values: CookieValues::default(),
            checks: Vec::new(),
            has_ids: false,
        }
    }

    fn line(&mut self, words: &[String], place: &str) {
        match words.first().map(String::as_str) {
            Some("server") => {
                let [_, name, address, parameters @ ..] = words else { return };
                self.server(Some(name.clone()), address, Takes::One, parameters, place);
            }
            Some("server-template") => {
                let [_, prefix, count, address, parameters @ ..] = words else { return };
                // `1-5` or `5`: as many servers.
                let (first, last) = count.split_once('-').unwrap_or(("1", count));
                let number = |text: &str| text.parse::<usize>().ok();
                let numbers = number(first).unwrap_or(1)..=number(last).unwrap_or(0);
                let is_resolved = self.settings.server.iter().chain(parameters).any(|word| word == "resolvers");
                if is_resolved && numbers.clone().count() != 1 {
                    self.server(None, address, Takes::AtMost(numbers.count()), parameters, place);
                } else {
                    // Nobody tells them apart: each has the first address.
                    for number in numbers {
                        self.server(Some(format!("{prefix}{number}")), address, Takes::One, parameters, place);
                    }
                }
            }
            Some(_) => setting(&mut self.settings, words, place),
            None => {}
        }
    }

    fn server(&mut self, name: Option<String>, address: &str, takes: Takes, parameters: &[String], place: &str) {
        let mut server = UpstreamServer {
            address: name.clone().unwrap_or_else(|| address.to_owned()),
            name,
            takes,
            ..UpstreamServer::at(address, endpoint(address), place)
        };
        let (mut maxconn, mut minconn) = (None, None);
        let (mut has_value, mut checks) = (false, Checks::default());
        let mut words = self.settings.server.iter().chain(parameters).map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "weight" => match words.next().and_then(|weight| weight.parse().ok()) {
                    // It gets nothing but what sticks to it.
                    Some(0) => server.down = true,
                    Some(weight) => server.weight = weight,
                    None => self.settings.unknown.push(format!("{place}: weight of server {address}")),
                },
                "ca-file" => self.authorities.extend(words.next().filter(|it| !it.starts_with('@')).map(str::to_owned)),
                "verifyhost" => self.names.extend(words.next().map(str::to_owned)),
                "backup" => server.backup = true,
                "no-backup" => server.backup = false,
                "disabled" => server.down = true,
                "enabled" => server.down = false,
                "cookie" => has_value = words.next().is_some(),
                // Its agent may change its weight at any time.
                "agent-check" => self.settings.unknown.push(format!("{place}: agent-check of server {address}")),
                "maxconn" => maxconn = words.next(),
                "minconn" => minconn = words.next(),
                "slowstart" => {
                    let time = words.next().and_then(|time| time::parse(time, LoneNumber::Milliseconds));
                    self.upstream.slow_start = self.upstream.slow_start.max(time);
                }
                "id" => self.has_ids |= words.next().is_some(),
                "check" | "no-check" => checks.note(word, None),
                "inter" | "fastinter" | "downinter" | "rise" | "fall" | "track" => checks.note(word, words.next()),
                "port" | "addr" | "maxqueue" | "init-addr" | "resolvers" | "resolve-opts" | "resolve-prefer"
                | "source" | "on-error" | "on-marked-down" | "on-marked-up" | "observe" | "error-limit" | "sni"
                | "crt" | "verify" | "alpn" | "proto" | "check-sni" | "check-alpn" | "pool-max-conn"
                | "pool-purge-delay" | "pool-low-conn" | "max-reuse" | "agent-port" | "namespace" | "interface"
                | "log-proto" | "ws" | "guid" | "hash-key" => {
                    words.next();
                }
                _ => {}
            }
        }
        // With `minconn` the limit is as low as that while the whole section has little to do.
        for (word, most) in [("maxconn", maxconn), ("minconn", minconn)] {
            server.limit(most.and_then(|most| most.parse().ok()), format!("{word} {}", most.unwrap_or_default()));
        }
        if !server.down && !server.backup {
            self.values.add(has_value);
        }
        self.checks.push(checks);
        self.upstream.servers.push(server);
    }

    fn end(mut self, spread: u32) -> Upstream {
        for checks in &self.checks {
            let time = checks.notices(self.settings.check_timeout, spread);
            self.upstream.avoids(time.map(Avoidance::of));
        }
        if let Some(method) = self.settings.method {
            self.upstream.method = method;
        }
        let are_in_order = !self.has_ids && self.upstream.servers.iter().all(|it| it.takes == Takes::One);
        if self.settings.is_first && are_in_order {
            self.upstream.method = method::fill(&mut self.upstream.servers);
        }
        if let Some(cookie) = self.settings.cookie.filter(|cookie| cookie.is_used(self.values)) {
            self.upstream.method = cookie.method(self.values);
            self.upstream.session_life = cookie.life;
        }
        self.upstream.health = self.settings.health;
        self.upstream.method = self.settings.sticking.over(self.upstream.method);
        if !self.settings.unknown.is_empty() {
            self.upstream.method = UpstreamMethod::Unknown(self.settings.unknown.join("; "));
        }
        // Only one of several backups is used unless all are wanted; which needs no judgement as long as others are there.
        self.upstream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancer::read::endpoint::Endpoint;
    use crate::topology::Policy;

    fn of(text: &str) -> Vec<Upstream> {
        let environment = |name: &str| (name == "ZONE").then(|| "b.internal".to_owned());
        read(&[ConfigFile { name: "haproxy.cfg".to_owned(), text: text.to_owned() }], None, &environment, &|file| {
            file == Path::new("/var/lib/state")
        })
        .upstreams
    }

    #[test]
    fn peers_mailers_and_rings_are_no_backends() {
        let text = "peers lb\n bind :10000\n peer a 10.9.0.1:10000\n server b 10.9.0.2:10000\nmailers m\n mailer one 10.9.0.3:25\n\
                    ring logs\n format rfc5424\n server s 10.9.0.4:6514\nbackend app\n server x 10.0.0.1:80\n";
        let it =
            read(&[ConfigFile { name: "haproxy.cfg".to_owned(), text: text.to_owned() }], None, &|_| None, &|_| false);
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        let expected = [tcp("10.9.0.1", 10000), tcp("10.9.0.2", 10000), tcp("10.9.0.3", 25), tcp("10.9.0.4", 6514)];
        assert_eq!((it.companions.as_slice(), it.upstreams.len()), (&expected[..], 1));
    }

    #[test]
    fn variables_are_those_of_the_environment_and_of_the_file() {
        let all =
            of("global\n setenv POOL 10.0.0\n presetenv ZONE other\n unsetenv GONE\nbackend a\n balance roundrobin\n \
            server x \"${POOL}.1:80\"\n server y \"app.$ZONE:${PORT-8080}\"\n server z '${POOL}.2':80\n");
        let endpoints: Vec<&Endpoint> = all[0].servers.iter().map(|it| &it.endpoint).collect();
        let tcp = |host: &str, port| Endpoint::Tcp(host.to_owned(), port);
        assert_eq!(endpoints, [&tcp("10.0.0.1", 80), &tcp("app.b.internal", 8080), &tcp("10.0.0.2", 80)]);
    }

    #[test]
    fn sections_inherit_from_the_defaults_before_them_or_by_name() {
        let all = of("defaults one\n balance leastconn\n default-server weight 3 inter 2s\ndefaults two\n mode http\n\
            backend a from one\n server x 10.0.0.1:80\nbackend b\n server y 10.0.0.2:80 # a comment\nbackend none\n");
        assert_eq!(all.len(), 2);
        assert_eq!((&all[0].method, all[0].servers[0].weight), (&UpstreamMethod::Known(Policy::LeastConnections), 3));
        assert!(matches!(all[1].method, UpstreamMethod::Unknown(_)), "the default depends on the version");
        assert_eq!((all[1].servers[0].name.as_deref(), all[1].servers[0].weight), (Some("y"), 1));
    }

    #[test]
    fn without_a_line_the_version_says_how_servers_are_picked() {
        let method = |text: &str, version| {
            let source = ConfigFile { name: "haproxy.cfg".to_owned(), text: text.to_owned() };
            read(&[source], version, &|_| None, &|_| false).upstreams.remove(0).method
        };
        let plain = "defaults\n mode http\nbackend a\n server x 10.0.0.1:80\n server y 10.0.0.2:80\n";
        for (version, policy) in [
            (BalancerVersion(2, 6, 12), Policy::RoundRobin),
            (BalancerVersion(3, 2, 0), Policy::RoundRobin),
            (BalancerVersion(3, 3, 0), Policy::TwoChoices),
        ] {
            assert_eq!(method(plain, Some(version)), UpstreamMethod::Known(policy));
        }
        assert!(matches!(method(plain, None), UpstreamMethod::Unknown(_)));
        let text = format!("{plain} balance rdp-cookie\n");
        assert!(matches!(method(&text, Some(BalancerVersion(2, 6, 12))), UpstreamMethod::Unknown(_)));
    }

    #[test]
    fn servers_have_names_weights_and_places() {
        let all = of(
            "backend a\n balance roundrobin\n server app1 app1.internal:8080 check weight 20\n server off 10.0.0.2:80 disabled\n \
            server spare [fd00::1]:80 backup\n server sock unix@/run/a.sock weight 0\n server-template t 2-4 _http._tcp.a.internal check resolvers dns\n",
        );
        let servers: Vec<(String, u32, bool, bool)> =
            all[0].servers.iter().map(|it| (it.address.clone(), it.weight, it.backup, it.down)).collect();
        let expected = [
            ("app1", 20, false, false),
            ("off", 1, false, true),
            ("spare", 1, true, false),
            ("sock", 1, false, true),
            ("_http._tcp.a.internal", 1, false, false),
        ];
        assert_eq!(servers, expected.map(|(name, weight, backup, down)| (name.to_owned(), weight, backup, down)));
        assert_eq!(all[0].servers[4].takes, Takes::AtMost(3));
        assert_eq!(all[0].servers[4].endpoint, Endpoint::Tcp("_http._tcp.a.internal".to_owned(), 0));
        assert_eq!(all[0].servers[3].endpoint, Endpoint::Unix("/run/a.sock".to_owned()));
        assert_eq!(all[0].servers[0].place, "haproxy.cfg, line 3");
        let active =
            of("backend a\n default-server backup disabled\n server x 10.0.0.1:80 no-backup enabled\n").remove(0);
        assert!(!active.servers[0].backup && !active.servers[0].down);
        let same = of("backend a\n balance roundrobin\n server-template t 2-4 app.internal:80\n").remove(0).servers;
        let servers: Vec<_> = same.iter().map(|it| (it.name.as_deref(), it.takes)).collect();
        assert_eq!(servers, ["t2", "t3", "t4"].map(|name| (Some(name), Takes::One)));
    }

    #[test]
    fn sockets_of_servers_are_below_the_directory_of_chroot() {
        for (global, path) in [("", "/run/a.sock"), ("chroot /var/lib/haproxy/", "/var/lib/haproxy/run/a.sock")] {
            let all = of(&format!("global\n {global}\nbackend a\n server x unix@/run/a.sock\n"));
            assert_eq!(all[0].servers[0].endpoint, Endpoint::Unix(path.to_owned()));
        }
    }

    #[test]
    fn a_server_is_full_at_its_own_limit_before_that_of_all() {
        let all =
            of("backend a\n balance roundrobin\n default-server maxconn 100 slowstart 30s\n server x 10.0.0.1:80\n \
            server y 10.0.0.2:80 minconn 2 maxconn 10 check\n server z 10.0.0.3:80 maxconn 0 weight 5\n");
        assert_eq!(all[0].slow_start, Some(std::time::Duration::from_secs(30)));
        let limits: Vec<_> = all[0].servers.iter().map(|it| it.at_once.as_ref().map(|it| it.most)).collect();
        assert_eq!((limits, all[0].servers[2].weight), (vec![Some(100), Some(2), None], 5));
    }

    #[test]
    fn what_chooses_before_the_algorithm_is_not_understood() {
        for line in ["use-server a if x", "balance uri depth 2", "hash-balance-factor 150"] {
            let all = of(&format!("backend a\n balance roundrobin\n {line}\n server x 10.0.0.1:80\n"));
            assert!(
                matches!(&all[0].method, UpstreamMethod::Unknown(why) if why.contains("line 3")),
                "{line}: {:?}",
                all[0]
            );
        }
        let with_state = |file: &str| {
            let text = "defaults\n load-server-state-from-file global\nbackend a\n balance roundrobin\n server x 10.0.0.1:80\n";
            of(&format!("global\n server-state-base /var/lib\n{file}{text}")).remove(0).method
        };
        assert!(matches!(with_state(" server-state-file state\n"), UpstreamMethod::Unknown(_)));
        for none in ["", " server-state-file another\n"] {
            assert_eq!(with_state(none), UpstreamMethod::Known(Policy::RoundRobin), "{none}");
        }
        let with_own_state = |section: &str, line: &str| {
            let section = format!("backend {section}\n balance roundrobin\n{line} server x 10.0.0.1:80\n");
            of(&format!("global\n server-state-base /var/lib\ndefaults\n load-server-state-from-file local\n{section}"))
                .remove(0)
                .method
        };
        for (section, line) in [("state", ""), ("a", " server-state-file-name state\n")] {
            assert!(matches!(with_own_state(section, line), UpstreamMethod::Unknown(why) if why.contains("line 4")));
        }
        let off = " load-server-state-from-file none\n";
        for (section, line) in [("a", ""), ("state", " server-state-file-name other\n"), ("state", off)] {
            assert_eq!(with_own_state(section, line), UpstreamMethod::Known(Policy::RoundRobin), "{section} {line}");
        }
        let all = of("backend a\n balance roundrobin\n .if version_atleast(2.8)\n server x 10.0.0.1:80\n .endif\n");
        assert!(matches!(all[0].method, UpstreamMethod::Unknown(_)));
    }

    #[test]
    fn the_longest_time_that_checks_of_a_server_need_counts() {
        let keeps_away = |global: &str, defaults: &str, lines: &str| {
            let text = format!("global\n{global}\ndefaults\n{defaults}\nbackend b\n{lines}");
            of(&text).remove(0).keeps_away.map(|it| it.time.as_secs())
        };
        assert_eq!(keeps_away("", "", "server a 10.0.0.1:80"), None);
        let both = "server a 10.0.0.1:80 check inter 1s\nserver b 10.0.0.2:80 check inter 20s rise 4";
        assert_eq!(keeps_away("", "", both), Some(120));
        let usual = "default-server check inter 10s fall 1 rise 1\ntimeout check 5s";
        assert_eq!(keeps_away("spread-checks 50", usual, "server a 10.0.0.1:80"), Some(30));
        assert_eq!(keeps_away("", usual, "server a 10.0.0.1:80 no-check"), None);
    }

    #[test]
    fn the_first_server_gets_all_while_it_has_room() {
        let backups = |lines: &str| -> Vec<bool> {
            let upstream = of(&format!("backend b\n balance first\n{lines}")).remove(0);
            let is_known = upstream.method == UpstreamMethod::Known(Policy::RoundRobin);
            upstream.servers.iter().filter(|_| is_known).map(|it| it.backup).collect()
        };
        assert_eq!(
            backups("server a 10.0.0.1:80 disabled\nserver b 10.0.0.2:80\nserver c 10.0.0.3:80"),
            [false, false, true]
        );
        assert_eq!(backups("server a 10.0.0.1:80 id 7\nserver b 10.0.0.2:80"), [false; 0]);
    }
}
