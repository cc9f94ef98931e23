//! The fleet behind a real nginx: the lines that we ship balance as they say, and what happens to a backend fails no request.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{Answer, Connection};
use crate::support::nginx::{Configuration, Method as Way, Nginx};
use crate::support::{Fleet, eventually};
use rustix::process::Signal;
use uuid::Uuid;
use verdict::AttemptEnd;

const SHIPPED: &str = include_str!("../load_balancer.conf");
/// One after the other.
const CLIENTS: [Manner; 8] = {
    use Manner::{Anew, Kept};
    [Anew, Kept, Anew, Kept, Anew, Kept, Anew, Kept]
};

#[test]
fn the_file_that_is_shipped_shows_the_three_backends_in_sequence() {
    let _fleet = Fleet::start(&[]);
    let nginx = Nginx::start(SHIPPED);
    let mut client = Client::new(nginx.address, Manner::Anew, Method::Get);
    let mut uuids = HashSet::new();
    let mut counts = BTreeMap::new();
    for expected in [9001, 9002, 9003].into_iter().cycle().take(300) {
        let answer = client.ask().unwrap();
        answer.expect_page_of(expected);
        assert!(answer.body.contains("<title>uuid</title>"), "nginx sends its upstream's name: {}", answer.body);
        assert_eq!(answer.id().get_version_num(), 4);
        uuids.insert(answer.id());
        *counts.entry(number(&answer)).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(9001, 100), (9002, 100), (9003, 100)]));
    assert_eq!(uuids.len(), 300);
}

#[test]
fn a_backend_killed_under_load_fails_no_request() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let nginx = Nginx::start(&lines(&ports));
    let killed = ports[1];
    let answers = under_load(&nginx, Method::Get, |load| {
        load.wait_for_more();
        crate::support::send(fleet.backend_pid(killed), Signal::KILL);
        fleet.expect_said(&format!("App server gone - http://localhost:{killed}: signal 9, SIGKILL"));
        for _ in 0..10 {
            load.wait_for_more();
        }
    });
    let count = |port| answers.iter().filter(|answer| number(answer) == port).count();
    assert!(count(killed) > 0, "{killed} was killed before it answered");
    for survivor in [ports[0], ports[2]] {
        assert!(count(survivor) > count(killed), "{killed} went on to answer as much as {survivor}");
    }
}

#[test]
fn graceful_restarts_lose_no_get_when_each_has_a_connection_of_its_own() {
    restart_under_load(lines, Method::Get);
}

#[test]
fn graceful_restarts_lose_no_post_when_each_has_a_connection_of_its_own() {
    restart_under_load(lines, Method::Post);
}

#[test]
fn graceful_restarts_lose_no_get_on_kept_connections() {
    restart_under_load(lines_that_keep_connections, Method::Get);
}

#[test]
fn graceful_restarts_lose_no_post_on_kept_connections() {
    restart_under_load(lines_that_keep_connections, Method::Post);
}

/// Four backends of six are drained and started again, each once: nginx avoids one that has refused a connection for 10 s, and
/// when it avoids all it answers 502 itself.
fn restart_under_load(lines: fn(&[u16]) -> String, method: Method) {
    let (fleet, ports) = Fleet::of(6, &[]);
    let nginx = Nginx::start(&lines(&ports));
    let answers = under_load(&nginx, method, |load| {
        for port in &ports[..4] {
            load.wait_for_more();
            fleet.act("drain", *port);
            load.wait_for_more();
            fleet.act("start", *port);
        }
        load.wait_for_more();
    });
    for port in ports {
        assert!(answers.iter().any(|answer| number(answer) == port), "{port} has answered nothing");
    }
    let page = fleet.records();
    assert_eq!((page.missed, page.lost, page.in_flight.len()), (0, 0, 0));
    for record in &page.records {
        assert_eq!(record.outcome, AttemptEnd::Completed, "{record:?}");
    }
    let mut recorded: Vec<Uuid> = page.records.iter().map(|record| record.response.unwrap().0).collect();
    let mut received: Vec<Uuid> = answers.iter().map(Answer::id).collect();
    recorded.sort_unstable();
    received.sort_unstable();
    assert_eq!(recorded.len(), received.len(), "answers that were recorded and that were received");
    assert!(recorded == received, "other answers were recorded than were received");
}

// Each way in which nginx can be told to balance starts and balances.

#[test]
fn nginx_has_its_order_for_each_method() {
    let (_fleet, ports) = Fleet::of(3, &[]);
    for (method, weights, expected) in [
        (Way::RoundRobin, vec![], "abcabcabc"),
        (Way::RoundRobin, vec![5, 1, 1], "aabacaaaa"),
        (Way::LeastConnections, vec![], "abcabcabc"),
        (Way::Hash { key: "$http_x_none", consistent: false }, vec![], "abcabcabc"),
    ] {
        let nginx = Configuration { method, weights, ..Configuration::of(&ports) }.start();
        assert_eq!(order(&nginx, 9, &ports), expected, "{method:?}");
    }
    for method in [Way::Random, Way::RandomTwoLeastConnections] {
        let nginx = Configuration { method, ..Configuration::of(&ports) }.start();
        let order = order(&nginx, 120, &ports);
        assert!(['a', 'b', 'c'].iter().all(|letter| order.contains(*letter)), "{method:?}: {order}");
        assert!(!"abc".repeat(41).contains(&order), "{method:?}");
    }
}

#[test]
fn nginx_hashes_whatever_it_is_told() {
    let (_fleet, ports) = Fleet::of(3, &[]);
    for consistent in [false, true] {
        for (key, path, header) in [
            ("$request_uri", "/#", ""),
            ("$http_x_user", "/", "X-User: #\r\n"),
            ("$cookie_session", "/", "Cookie: other=x; session=#\r\n"),
        ] {
            let nginx = Configuration { method: Way::Hash { key, consistent }, ..Configuration::of(&ports) }.start();
            let mut connection = Connection::open(nginx.address).unwrap();
            let mut ask = |user: u32| {
                let (path, header) = (path.replace('#', &user.to_string()), header.replace('#', &user.to_string()));
                number(&connection.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n{header}\r\n")))
            };
            let backends: Vec<u16> = (0..60).map(&mut ask).collect();
            assert_eq!(backends, (0..60).map(&mut ask).collect::<Vec<_>>());
            assert_eq!(backends.iter().collect::<HashSet<_>>().len(), 3, "{key}");
        }
    }
    for method in [Way::IpHash, Way::Hash { key: "$remote_addr", consistent: true }] {
        let nginx = Configuration { method, ..Configuration::of(&ports) }.start();
        let order = order(&nginx, 6, &ports);
        assert_eq!(order, order[..1].repeat(6), "{method:?}");
    }
}

#[test]
fn workers_of_nginx_share_what_they_know_in_a_zone() {
    let (_fleet, ports) = Fleet::of(3, &[]);
    for (zone, reuseport) in [(true, false), (true, true), (false, true), (false, false)] {
        let nginx = Configuration { workers: 2, zone, reuseport, ..Configuration::of(&ports) }.start();
        assert_eq!(nginx.workers().len(), 2);
        let order: String = (0..90).map(|_| order(&nginx, 1, &ports)).collect();
        if zone {
            assert_eq!(order, "abc".repeat(30));
        } else {
            let counts = ['a', 'b', 'c'].map(|letter| order.matches(letter).count());
            assert!(counts.iter().all(|count| (28..=32).contains(count)), "{counts:?}");
        }
    }
}

#[test]
fn nginx_keeps_connections_to_backends_or_not() {
    for keepalive in [true, false] {
        let (fleet, ports) = Fleet::of(3, &[]);
        let nginx = Configuration { keepalive, ..Configuration::of(&ports) }.start();
        order(&nginx, 30, &ports);
        let most = fleet.records().records.iter().map(|record| record.request_number).max();
        assert!(if keepalive { most >= Some(9) } else { most == Some(1) }, "{most:?}");
    }
}

#[test]
fn nginx_caches_what_it_was_told_not_to() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let nginx = Configuration { cache: true, ..Configuration::of(&ports) }.start();
    assert_eq!(order(&nginx, 30, &ports), "a".repeat(30));
    assert_eq!(fleet.records().records.len(), 1);
    assert_eq!(nginx.workers().len(), 1, "the managers of the cache are no workers");
}

#[test]
fn nginx_waits_for_a_second_and_then_goes_to_the_next_if_it_may() {
    for (next_upstream, method, expected) in [
        (None, "GET", 200),
        (None, "POST", 504),
        (Some("error timeout non_idempotent"), "POST", 200),
        (Some("off"), "GET", 504),
    ] {
        let (fleet, ports) = Fleet::of(2, &[]);
        let nginx = Configuration { next_upstream, ..Configuration::of(&ports) }.start();
        fleet.act("pause", ports[0]);
        let begin = Instant::now();
        let request = format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n");
        // nginx's own pages have a length too.
        assert_eq!(Connection::open(nginx.address).unwrap().ask(&request).status, expected, "{next_upstream:?}");
        assert!((900..5_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    }
}

#[test]
fn nginx_avoids_who_has_failed_as_long_as_it_is_told() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let (max_fails, fail_timeout) = (Some(1), Some(Duration::from_secs(1)));
    let nginx = Configuration { max_fails, fail_timeout, ..Configuration::of(&ports) }.start();
    fleet.act("kill", ports[0]);
    assert_eq!(order(&nginx, 6, &ports), "bbbbbb");
    fleet.act("start", ports[0]);
    eventually("it is back", || order(&nginx, 6, &ports).contains('a'));
    let always = Configuration { max_fails: Some(0), ..Configuration::of(&ports) }.start();
    fleet.act("kill", ports[0]);
    assert_eq!(order(&always, 6, &ports), "bbbbbb");
    fleet.act("start", ports[0]);
    assert!(order(&always, 6, &ports).contains('a'));
}

#[test]
fn a_reloaded_nginx_has_new_workers_that_begin_anew() {
    let (_fleet, ports) = Fleet::of(3, &[]);
    for (workers, zone, reuseport) in [(1, false, false), (2, true, false), (2, true, true)] {
        let configuration = Configuration { workers, zone, reuseport, ..Configuration::of(&ports) };
        let nginx = configuration.start();
        let mut idle = Connection::open(nginx.address).unwrap();
        for _ in 0..5 {
            let before = nginx.workers();
            idle.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(order(&nginx, 1, &ports), "b");
            nginx.reload();
            assert!(idle.is_closed().unwrap());
            assert!(nginx.workers().iter().all(|worker| !before.contains(worker)));
            idle = Connection::open(nginx.address).unwrap();
        }
        nginx.reload_with(&Configuration { backends: ports[1..].to_vec(), ..configuration });
        assert_eq!(order(&nginx, 6, &ports), "bcbcbc");
    }
}

/// In which this number of requests on one connection goes to the backends.
fn order(nginx: &Nginx, count: usize, ports: &[u16]) -> String {
    let mut connection = Connection::open(nginx.address).unwrap();
    let mut letter = || {
        let answer = connection.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let place = ports.iter().position(|port| *port == number(&answer)).unwrap();
        ["a", "b", "c"][place]
    };
    (0..count).map(|_| letter()).collect()
}

/// The lines that are shipped, for these backends.
fn lines(ports: &[u16]) -> String {
    let servers: String = ports.iter().map(|port| format!("    server 127.0.0.1:{port};\n")).collect();
    let shipped = SHIPPED.split_once("upstream uuid {\n").unwrap().1.split_once("}\n").unwrap().1;
    format!("upstream uuid {{\n{servers}}}\n{shipped}")
}

/// As nginx's documentation of `keepalive` says.
fn lines_that_keep_connections(ports: &[u16]) -> String {
    const PASS: &str = "proxy_pass http://uuid/;";
    let last = format!("server 127.0.0.1:{};", ports.last().unwrap());
    let lines = lines(ports);
    assert!(lines.contains(PASS) && lines.contains(&last), "{lines}");
    lines
        .replace(&last, &format!("{last}\n    keepalive 16;"))
        .replace(PASS, &format!("{PASS}\n        proxy_http_version 1.1;\n        proxy_set_header Connection \"\";"))
}

/// What clients were answered while something happened. No request may have failed.
fn under_load(nginx: &Nginx, method: Method, happening: impl FnOnce(&Load)) -> Vec<Answer> {
    let load = Load { over: AtomicBool::new(false), requests: AtomicUsize::new(0) };
    let outcomes: Vec<Result<Answer, String>> = thread::scope(|scope| {
        let over = SetOnDrop(&load.over);
        let clients = CLIENTS.map(|manner| {
            let client = Client::new(nginx.address, manner, method);
            scope.spawn(|| load.ask_until_over(client))
        });
        happening(&load);
        drop(over);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let failures: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} requests failed: {failures:?}\n{}",
        failures.len(),
        outcomes.len(),
        nginx.complaints()
    );
    let answers: Vec<Answer> = outcomes.into_iter().flatten().collect();
    let uuids: HashSet<Uuid> = answers.iter().map(Answer::id).collect();
    assert_eq!(uuids.len(), answers.len(), "a UUID came twice");
    answers
}

struct Load {
    over: AtomicBool,
    requests: AtomicUsize,
}

impl Load {
    fn ask_until_over(&self, mut client: Client) -> Vec<Result<Answer, String>> {
        let mut outcomes = Vec::new();
        while !self.over.load(Ordering::Relaxed) {
            outcomes.push(client.ask());
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
        outcomes
    }

    /// Until there was time for hundreds of requests.
    fn wait_for_more(&self) {
        let enough = self.requests.load(Ordering::Relaxed) + 500;
        eventually("more requests", || self.requests.load(Ordering::Relaxed) >= enough);
    }
}

/// Also when what happens panics.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How a client uses its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// One for each request.
    Anew,
    /// One for as many requests as nginx takes on it.
    Kept,
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
}

struct Client {
    nginx: SocketAddr,
    manner: Manner,
    request: String,
    kept: Option<Connection>,
}

impl Client {
    fn new(nginx: SocketAddr, manner: Manner, method: Method) -> Client {
        let connection = match manner {
            Manner::Anew => "close",
            Manner::Kept => "keep-alive",
        };
        let (line, rest) = match method {
            Method::Get => ("GET /uuid", "\r\n".to_owned()),
            Method::Post => ("POST /uuid", format!("Content-Length: 2000\r\n\r\n{}", "x".repeat(2000))),
        };
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n{rest}");
        Client { nginx, manner, request, kept: None }
    }

    /// An answer that is no page is a failure too.
    fn ask(&mut self) -> Result<Answer, String> {
        let answer = self.exchange().map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(answer),
            _ => Err(format!("{answer:?}")),
        }
    }

    fn exchange(&mut self) -> io::Result<Answer> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => Connection::open(self.nginx)?,
        };
        connection.send(&self.request)?;
        let answer = connection.answer()?;
        if self.manner == Manner::Kept && answer.header("Connection") != Some("close") {
            self.kept = Some(connection);
        }
        Ok(answer)
    }
}

fn number(answer: &Answer) -> u16 {
    answer.header("Generator-Number").unwrap().parse().unwrap()
}
