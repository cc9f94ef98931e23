//! The tests' own balancer does what its algorithms and defects say, and nothing else: real backends tell what reached them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{Answer, Connection};
use crate::support::{Fleet, eventually};
use api::RecordView;
use testbed::planted::{Behaviour, Defect, Ejection, PlantedAlgorithm, PlantedBalancer, Ties};
use uuid::Uuid;
use verdict::{AttemptEnd, RequestId};

const RUN: u64 = 0x1234;

// The ground: one request, one record.

#[test]
fn of_20000_requests_over_32_connections_each_has_one_record() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Behaviour::default());
    let begin = Instant::now();
    let answers = drive(&balancer, 32, 625);
    println!("{:.0} requests a second", 20_000.0 / begin.elapsed().as_secs_f64());
    let records = completed(&fleet);
    assert_eq!(records.len(), 20_000);
    let counts = shares(&records, &ports);
    assert!(counts.iter().all(|count| (6_666..=6_667).contains(count)), "{counts:?}");
    expect_each_once(&answers, &records);
}

#[test]
fn every_algorithm_gives_each_request_to_one_backend() {
    let algorithms = [
        PlantedAlgorithm::SmoothWeighted(vec![5, 1, 1]),
        PlantedAlgorithm::BlockWeighted(vec![5, 1, 1]),
        PlantedAlgorithm::ShuffledBlocks,
        PlantedAlgorithm::Random,
        PlantedAlgorithm::RandomWeighted(vec![5, 1, 1]),
        PlantedAlgorithm::LeastConnections { ties: Ties::RoundRobin },
        PlantedAlgorithm::LeastConnections { ties: Ties::Random },
        PlantedAlgorithm::TwoChoices { replacement: false },
        PlantedAlgorithm::TwoChoices { replacement: true },
        PlantedAlgorithm::SourceHash { block: false },
        PlantedAlgorithm::UriHash,
        PlantedAlgorithm::HeaderHash("X-User"),
        PlantedAlgorithm::CookieHash("session"),
        PlantedAlgorithm::StickyCookie("lb"),
        PlantedAlgorithm::PerConnection,
        PlantedAlgorithm::First,
    ];
    for algorithm in algorithms {
        let (fleet, ports) = Fleet::of(3, &[]);
        println!("{algorithm:?}");
        let balancer = PlantedBalancer::start(&ports, Behaviour { rotations: 2, ..algorithm.into() });
        let answers = drive(&balancer, 8, 50);
        expect_each_once(&answers, &completed(&fleet));
    }
}

#[test]
fn connections_to_backends_are_used_again_or_not() {
    for keeps_connections in [true, false] {
        let (fleet, ports) = Fleet::of(3, &[]);
        let balancer = PlantedBalancer::start(&ports, Behaviour { keeps_connections, ..Behaviour::default() });
        in_sequence(&balancer, 30);
        for record in completed(&fleet) {
            if keeps_connections { assert_eq!(record.connection, 1) } else { assert_eq!(record.request_number, 1) }
        }
    }
}

// Algorithms.

#[test]
fn round_robin_begins_at_the_first() {
    assert_eq!(order_of(PlantedAlgorithm::RoundRobin, 9), "abcabcabc");
}

#[test]
fn weights_are_smooth_as_with_nginx() {
    assert_eq!(order_of(PlantedAlgorithm::SmoothWeighted(vec![5, 1, 1]), 14), "aabacaaaabacaa");
}

#[test]
fn weights_are_blocks() {
    assert_eq!(order_of(PlantedAlgorithm::BlockWeighted(vec![5, 1, 1]), 14), "aaaaabcaaaaabc");
    assert_eq!(order_of(PlantedAlgorithm::BlockWeighted(vec![1, 0, 2]), 6), "accacc");
}

#[test]
fn shuffled_blocks_are_permutations_and_not_always_the_same() {
    let order = order_of(PlantedAlgorithm::ShuffledBlocks, 300);
    let blocks: BTreeSet<&[u8]> = order.as_bytes().chunks(3).collect();
    // Each is missing with a probability of (5/6)¹⁰⁰, 10⁻⁸.
    assert_eq!(blocks, ["abc", "acb", "bac", "bca", "cab", "cba"].map(str::as_bytes).into());
}

#[test]
fn random_is_neither_too_even_nor_too_uneven_and_forgets() {
    let order = order_of(Behaviour { seed: Some(7), ..PlantedAlgorithm::Random.into() }, 3_000);
    let counts = ['a', 'b', 'c'].map(|letter| order.matches(letter).count() as f64);
    let chi_squared: f64 = counts.iter().map(|count| (count - 1_000.0).powi(2) / 1_000.0).sum();
    // The middle 98 % at two degrees of freedom.
    assert!((0.0201..9.21).contains(&chi_squared), "{counts:?}");
    let repeats = order.as_bytes().windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((900..1_100).contains(&repeats), "{repeats} repeats");
}

#[test]
fn a_weighted_draw_keeps_its_proportions() {
    let order = order_of(Behaviour { seed: Some(7), ..PlantedAlgorithm::RandomWeighted(vec![5, 1, 0]).into() }, 3_000);
    let [a, b, c] = ['a', 'b', 'c'].map(|letter| order.matches(letter).count());
    // 2,500 and 500 with a standard deviation of 20.
    assert!((2_400..2_600).contains(&a) && a + b == 3_000, "{a}, {b}, {c}");
}

#[test]
fn least_connections_avoids_the_busy_one() {
    for ties in [Ties::RoundRobin, Ties::Random] {
        let (_fleet, mut ports) = Fleet::of(2, &[]);
        let busy = Fake::holding();
        ports.insert(0, busy.port);
        let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::LeastConnections { ties });
        let mut others = String::new();
        // The second one that it is given waits behind the first.
        let mut held = Vec::new();
        for number in 0..60 {
            match ask_or_hold(&balancer, &busy, number) {
                Ok(answer) => others += letter(&answer, &ports),
                Err(connection) => held.push(connection),
            }
        }
        assert_eq!((held.len(), others.len()), (1, 59), "{ties:?}: {others}");
        if ties == Ties::RoundRobin {
            assert_eq!(others, "bc".repeat(30)[..59]);
        } else {
            assert!(others.contains("bb") && others.contains("cc"), "{others}");
        }
        busy.release();
        held[0].answer().unwrap();
    }
}

#[test]
fn two_choices_avoid_the_busy_one_always_or_mostly() {
    for replacement in [false, true] {
        let (_fleet, mut ports) = Fleet::of(2, &[]);
        let busy = Fake::holding();
        ports.insert(0, busy.port);
        let behaviour = Behaviour { seed: Some(7), ..PlantedAlgorithm::TwoChoices { replacement }.into() };
        let balancer = PlantedBalancer::start(&ports, behaviour);
        let held: Vec<_> = (0..300).filter_map(|number| ask_or_hold(&balancer, &busy, number).err()).collect();
        if replacement {
            // When it is drawn twice, 1 in 9: 33 with a standard deviation of 5.
            assert!((15..55).contains(&held.len()), "{}", held.len());
        } else {
            assert_eq!(held.len(), 1);
        }
    }
}

#[test]
fn a_source_has_its_backend_and_so_has_its_block() {
    for block in [false, true] {
        let (_fleet, ports) = Fleet::of(3, &[]);
        let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::SourceHash { block });
        let backend = |source: [u8; 4]| {
            let mut connection = connection_from(source.into(), balancer.port());
            number(&connection.ask(&request("GET", "/", 1, "")))
        };
        for last in 1..20 {
            assert_eq!(backend([127, 0, 0, last]), backend([127, 0, 0, last]));
        }
        let of_hosts: BTreeSet<u16> = (1..40).map(|last| backend([127, 0, 0, last])).collect();
        let of_blocks: BTreeSet<u16> = (1..40).map(|third| backend([127, 0, third, 1])).collect();
        assert_eq!((of_hosts.len(), of_blocks.len()), (if block { 1 } else { 3 }, 3));
    }
}

#[test]
fn a_key_has_its_backend_and_only_those_of_a_dead_one_move() {
    let path = |key: u32| (format!("/{key}?x=1"), String::new());
    let header = |key: u32| ("/".to_owned(), format!("X-User: {key}\r\n"));
    let cookie = |key: u32| ("/".to_owned(), format!("Cookie: other=1; session={key}; last=2\r\n"));
    type Keyed = fn(u32) -> (String, String);
    let cases: [(PlantedAlgorithm, Keyed); 3] = [
        (PlantedAlgorithm::UriHash, path),
        (PlantedAlgorithm::HeaderHash("x-user"), header),
        (PlantedAlgorithm::CookieHash("session"), cookie),
    ];
    for (algorithm, keyed) in cases {
        println!("{algorithm:?}");
        let (fleet, ports) = Fleet::of(3, &[]);
        let balancer = PlantedBalancer::start(&ports, algorithm);
        let mut connection = Connection::to(balancer.port());
        let mut backends = || -> Vec<u16> {
            let requests = (0..60).map(keyed).map(|(path, headers)| request("GET", &path, 1, &headers));
            requests.map(|request| number(&connection.ask(&request))).collect()
        };
        let before = backends();
        assert_eq!(before, backends());
        assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);
        fleet.act("kill", ports[0]);
        for (before, after) in before.into_iter().zip(backends()) {
            assert!(if before == ports[0] { after != before } else { after == before }, "{before} → {after}");
        }
    }
}

#[test]
fn who_has_no_key_goes_round_robin() {
    assert_eq!(order_of(PlantedAlgorithm::HeaderHash("X-User"), 6), "abcabc");
    assert_eq!(order_of(PlantedAlgorithm::CookieHash("session"), 6), "abcabc");
}

#[test]
fn a_cookie_sticks_until_its_backend_is_gone() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::StickyCookie("lb"));
    let mut connection = Connection::to(balancer.port());
    for port in &ports {
        let first = connection.ask(&request("GET", "/", 1, ""));
        assert_eq!(number(&first), *port);
        let cookie = cookie_of(&first);
        for _ in 0..5 {
            let later = connection.ask(&request("GET", "/", 1, &cookie));
            assert_eq!((number(&later), later.header("Set-Cookie")), (*port, None));
        }
    }
    let cookie = cookie_of(&connection.ask(&request("GET", "/", 1, "")));
    fleet.act("kill", ports[0]);
    let moved = connection.ask(&request("GET", "/", 1, &cookie));
    assert_ne!(number(&moved), ports[0]);
    let later = connection.ask(&request("GET", "/", 1, &cookie_of(&moved)));
    assert_eq!((number(&later), later.header("Set-Cookie")), (number(&moved), None));
}

#[test]
fn a_connection_is_one_connection_to_one_backend() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::PerConnection);
    let mut connections: Vec<_> = (0..6).map(|_| Connection::to(balancer.port())).collect();
    for _ in 0..4 {
        for (client, connection) in connections.iter_mut().enumerate() {
            assert_eq!(number(&connection.ask(&request("GET", "/", client as u64, ""))), ports[client % 3]);
        }
    }
    let tied: BTreeSet<_> = completed(&fleet).iter().map(|it| (it.request.unwrap().sequence, it.connection)).collect();
    assert_eq!(tied.len(), 6, "{tied:?}");
    fleet.act("kill", ports[0]);
    connections[0].send(&request("GET", "/", 1, "")).unwrap();
    assert!(connections[0].is_closed().unwrap());
    connections[1].ask(&request("GET", "/", 1, ""));
}

#[test]
fn all_go_to_the_first_that_can_be_reached() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::First);
    assert_eq!(order(&in_sequence(&balancer, 6), &ports), "aaaaaa");
    fleet.act("kill", ports[0]);
    assert_eq!(order(&in_sequence(&balancer, 6), &ports), "bbbbbb");
}

#[test]
fn several_cursors_know_nothing_of_each_other() {
    let (_fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Behaviour { rotations: 4, seed: Some(7), ..Behaviour::default() });
    let order: String = (0..300).map(|_| order(&in_sequence(&balancer, 1), &ports)).collect();
    let counts = ['a', 'b', 'c'].map(|letter| order.matches(letter).count());
    assert!(counts.iter().all(|count| (96..=104).contains(count)), "{counts:?}");
    // (1 − 1/4) / 3 of 299 with a standard deviation of 7.5.
    let repeats = order.as_bytes().windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((40..110).contains(&repeats), "{repeats} repeats");
    // A connection stays with one of them.
    assert!("abcabcabcabc".contains(&order_of(Behaviour { rotations: 4, ..Behaviour::default() }, 9)));
}

// Failures.

#[test]
fn a_refused_connection_leads_to_the_next_whatever_the_method() {
    let (_fleet, mut ports) = Fleet::of(1, &[]);
    ports.insert(0, crate::support::ports(1)[0]);
    let balancer = PlantedBalancer::start(&ports, Behaviour::default());
    let mut connection = Connection::to(balancer.port());
    for method in ["GET", "POST", "PATCH", "GET"] {
        assert_eq!(number(&connection.ask(&request(method, "/", 1, ""))), ports[1]);
    }
    let alone = PlantedBalancer::start(&ports[..1], Behaviour::default());
    assert_eq!(in_sequence(&alone, 1)[0].1.status, 502);
}

#[test]
fn who_closes_without_an_answer_is_retried_as_told() {
    for (retries, retry_post, method, expected) in [
        (false, false, "GET", [502, 200]),
        (true, false, "GET", [200, 200]),
        (true, false, "POST", [502, 200]),
        (false, true, "POST", [200, 200]),
        (false, true, "GET", [502, 200]),
    ] {
        let (_fleet, mut ports) = Fleet::of(1, &[]);
        let closing = Fake::start(|_, _| false);
        ports.insert(0, closing.port);
        let balancer = PlantedBalancer::start(&ports, Behaviour { retries, retry_post, ..Behaviour::default() });
        let mut connection = Connection::to(balancer.port());
        let statuses = [(); 2].map(|()| connection.ask(&request(method, "/", 1, "")).status);
        // Its turn is the first, and the third when the second retried.
        assert_eq!(statuses, expected, "{method} with {retries}, {retry_post}");
        assert_eq!(closing.arrived.try_iter().count(), if expected[0] == 200 { 2 } else { 1 });
    }
}

#[test]
fn a_silent_backend_is_waited_for_so_long_and_no_longer() {
    let (_fleet, mut ports) = Fleet::of(1, &[]);
    let silent = Fake::holding();
    ports.insert(0, silent.port);
    for (retries, expected) in [(false, 504), (true, 200)] {
        let backend_timeout = Some(Duration::from_millis(200));
        let balancer = PlantedBalancer::start(&ports, Behaviour { retries, backend_timeout, ..Behaviour::default() });
        let begin = Instant::now();
        assert_eq!(in_sequence(&balancer, 1)[0].1.status, expected);
        assert!((200..2_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    }
}

#[test]
fn a_status_may_lead_to_the_next_but_the_last_is_delivered() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let balancer = PlantedBalancer::start(&ports, Behaviour { retry_statuses: vec![503], ..Behaviour::default() });
    let mut connection = Connection::to(balancer.port());
    let mut statuses = |method| [(); 4].map(|()| connection.ask(&request(method, "/readyz", 1, "")).status);
    fleet.act("unready", ports[0]);
    assert_eq!(statuses("GET"), [200; 4]);
    fleet.act("unready", ports[1]);
    assert_eq!(statuses("GET"), [503; 4]);
}

#[test]
fn who_fails_is_out_for_a_while_and_then_tried_once() {
    let (_fleet, mut ports) = Fleet::of(1, &[]);
    let closing = Fake::start(|_, _| false);
    ports.insert(0, closing.port);
    let eject = |max_fails, fail_timeout| Behaviour {
        retries: true,
        ejection: Some(Ejection { max_fails, fail_timeout }),
        ..Behaviour::default()
    };
    let balancer = PlantedBalancer::start(&ports, eject(3, Duration::from_secs(600)));
    assert_eq!(order(&in_sequence(&balancer, 20), &ports), "b".repeat(20));
    assert_eq!(closing.arrived.try_iter().count(), 3);
    balancer.reload();
    in_sequence(&balancer, 20);
    assert_eq!(closing.arrived.try_iter().count(), 3, "failures are forgotten at a reload");

    let balancer = PlantedBalancer::start(&ports, eject(1, Duration::from_millis(300)));
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1_000) {
        in_sequence(&balancer, 1);
    }
    let tries = closing.arrived.try_iter().count();
    assert!((2..=4).contains(&tries), "{tries} tries in a second");
}

// Bytes.

#[test]
fn bodies_arrive_however_they_are_framed() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let balancer = PlantedBalancer::start(&ports, Behaviour::default());
    let mut connection = Connection::to(balancer.port());
    let large = "x".repeat(1 << 20);
    connection.ask(&format!("{}{large}", request("POST", "/sized", 1, "Content-Length: 1048576\r\n")));
    connection.ask(&format!(
        "{}4;a=b\r\nabcd\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nTrailer: t\r\n\r\n",
        request("POST", "/chunked", 2, "Transfer-Encoding: chunked\r\n")
    ));
    connection.send(&request("POST", "/expected", 3, "Expect: 100-continue\r\nContent-Length: 5\r\n")).unwrap();
    let mut leave = [0; 25];
    connection.stream.read_exact(&mut leave).unwrap();
    assert_eq!(leave, *b"HTTP/1.1 100 Continue\r\n\r\n");
    connection.ask("12345");
    // Two at once.
    connection.send(&(request("GET", "/first", 4, "") + &request("GET", "/second", 5, ""))).unwrap();
    connection.answer().unwrap();
    connection.answer().unwrap();
    connection.send(&request("HEAD", "/head", 6, "")).unwrap();
    let head = read_until(&mut connection.stream, "\r\n\r\n");
    assert!(head.contains("Content-Length: ") && head.contains("Generator-Number: "), "{head}");
    let answer = connection.ask(&request("GET", "/last", 7, "Connection: close\r\n"));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(connection.is_closed().unwrap());
    let mut old = Connection::to(balancer.port());
    let answer = old.ask("GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.header("Connection"), Some("keep-alive"));
    old.ask("GET /older HTTP/1.0\r\n\r\n");
    assert!(old.is_closed().unwrap());
    let records = completed(&fleet);
    let paths: Vec<&str> = records.iter().map(|record| record.path.as_str()).collect();
    let expected = ["sized", "chunked", "expected", "first", "second", "head", "last", "old", "older"];
    assert_eq!(paths, expected.map(|path| format!("/{path}")));
    assert!(records[..7].iter().all(|record| record.connection == 1), "{records:?}");
}

#[test]
fn answers_arrive_however_they_are_framed() {
    let chunks = "4\r\nabcd\r\n0\r\n\r\n";
    let cases = [
        ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab§cd\r\n§0\r§\n\r\n", chunks, true),
        ("sized", "HTTP/1.1 200 OK\r\nContent-§Length: 14\r\n\r\nabc§def§ghijk123", "abcdefghijk123", true),
        ("interim", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", true),
        ("unframed", "HTTP/1.0 200 OK\r\n\r\nabc§def", "abcdef", false),
        ("cut", "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nabc§def", "abcdef", false),
    ];
    for (name, pieces, body, stays) in cases {
        let backend = Fake::start(move |stream, _| {
            for piece in pieces.split('§') {
                stream.write_all(piece.as_bytes()).unwrap();
                // So that each is read alone.
                thread::sleep(Duration::from_millis(5));
            }
            stays
        });
        let balancer = PlantedBalancer::start(&[backend.port], Behaviour::default());
        for _ in 0..2 {
            let mut stream = Connection::to(balancer.port()).stream;
            for _ in 0..2 {
                stream.write_all(request("GET", "/", 1, "").as_bytes()).unwrap();
                let head = read_until(&mut stream, "\r\n\r\n");
                assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{name}: {head}");
                if stays {
                    let mut read = vec![0; body.len()];
                    stream.read_exact(&mut read).unwrap();
                    assert_eq!(String::from_utf8(read).unwrap(), body, "{name}");
                    continue;
                }
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                assert_eq!(rest, body, "{name}");
                assert_eq!(head.contains("Connection: close"), name == "unframed");
                break;
            }
        }
    }
}

#[test]
fn no_http_is_refused() {
    let balancer = PlantedBalancer::start(&crate::support::ports(1), Behaviour::default());
    let mut connection = Connection::to(balancer.port());
    assert_eq!(connection.ask("nonsense\r\n\r\n").status, 400);
    assert!(connection.is_closed().unwrap());
}

// Reloads.

#[test]
fn a_reload_begins_anew_and_cuts_off_nobody() {
    let (_fleet, mut ports) = Fleet::of(2, &[]);
    let slow = Fake::holding();
    ports.insert(2, slow.port);
    let balancer = PlantedBalancer::start(&ports, Behaviour::default());
    let mut fresh = Connection::to(balancer.port());
    let mut idle = Connection::to(balancer.port());
    idle.ask(&request("GET", "/", 1, ""));
    idle.ask(&request("GET", "/", 1, ""));
    let mut asking = Connection::to(balancer.port());
    asking.send(&request("GET", "/", 1, "")).unwrap();
    slow.wait();
    balancer.reload();
    assert!(idle.is_closed().unwrap());
    assert_eq!(order(&in_sequence(&balancer, 2), &ports), "ab");
    let answer = fresh.ask(&request("GET", "/", 1, ""));
    assert_eq!((letter(&answer, &ports), answer.header("Connection")), ("a", Some("close")), "of the old rotation");
    slow.release();
    let answer = asking.answer().unwrap();
    assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
    assert!(asking.is_closed().unwrap());
}

#[test]
fn a_reload_may_lose_what_is_in_flight() {
    let slow = Fake::holding();
    let balancer = PlantedBalancer::start(&[slow.port], Defect::LosesAtReload);
    let mut asking = Connection::to(balancer.port());
    asking.send(&request("GET", "/", 5, "")).unwrap();
    slow.wait();
    balancer.reload();
    assert!(asking.is_closed().unwrap());
    assert_eq!(balancer.spoiled(), [Some(id(5))]);
    slow.release();
    assert_eq!(in_sequence(&balancer, 1)[0].1.status, 200);
}

#[test]
fn reloads_under_load_lose_nothing_of_clients_with_a_connection_for_each_request() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Behaviour::default());
    let over = AtomicBool::new(false);
    let answers: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (balancer, over) = (&balancer, &over);
                scope.spawn(move || {
                    let ask = |number| {
                        let request = request("GET", "/", number, "");
                        (id(number), Connection::to(balancer.port()).ask(&request))
                    };
                    (client * 1_000_000..).take_while(|_| !over.load(Ordering::Relaxed)).map(ask).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..50 {
            balancer.reload();
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(answers.len() > 100);
    expect_each_once(&answers, &completed(&fleet));
}

// Defects. Each has 120 requests over 4 connections.

#[test]
fn skew_gives_one_of_two_more() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::Skew(0.52));
    expect_each_once(&drive(&balancer, 4, 100), &completed(&fleet));
    assert_eq!(shares(&completed(&fleet), &ports), [208, 192]);
}

#[test]
fn skew_leaves_others_alone_and_draws_where_lots_are_drawn() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::Skew(0.75));
    drive(&balancer, 4, 75);
    assert_eq!(shares(&completed(&fleet), &ports), [100, 150, 50]);
    let (fleet, ports) = Fleet::of(2, &[]);
    let behaviour = Behaviour { algorithm: PlantedAlgorithm::Random, seed: Some(7), ..Defect::Skew(0.75).into() };
    drive(&PlantedBalancer::start(&ports, behaviour), 1, 1_000);
    let counts = shares(&completed(&fleet), &ports);
    // A standard deviation of 14.
    assert!((700..800).contains(&counts[0]) && counts[0] != 750, "{counts:?}");
}

#[test]
fn a_missing_backend_gets_nothing() {
    for algorithm in [
        PlantedAlgorithm::RoundRobin,
        PlantedAlgorithm::Random,
        PlantedAlgorithm::PerConnection,
        PlantedAlgorithm::UriHash,
    ] {
        let (fleet, ports) = Fleet::of(3, &[]);
        let behaviour = Behaviour { algorithm, defect: Defect::MissingBackend, ..Behaviour::default() };
        let answers = drive(&PlantedBalancer::start(&ports, behaviour), 4, 30);
        expect_each_once(&answers, &completed(&fleet));
        assert_eq!(shares(&completed(&fleet), &ports)[2], 0);
    }
}

#[test]
fn every_tenth_is_forwarded_twice() {
    let (records, answers, balancer) = spoiled(Defect::TwiceEvery(10), "GET");
    expect_twice(&records, &answers, &balancer, 12);
}

#[test]
fn every_tenth_post_is_forwarded_twice() {
    let (records, answers, balancer) = spoiled(Defect::RetriesPost(10), "POST");
    expect_twice(&records, &answers, &balancer, 12);
    let (records, answers, balancer) = spoiled(Defect::RetriesPost(10), "GET");
    expect_twice(&records, &answers, &balancer, 0);
}

/// The first of both is what the client has.
fn expect_twice(records: &[RecordView], answers: &[(RequestId, Answer)], balancer: &PlantedBalancer, count: usize) {
    let spoiled = noted(balancer);
    assert_eq!((spoiled.len(), answers.len(), records.len()), (count, 120, 120 + count));
    for (id, answer) in answers {
        let mut its: Vec<_> = records.iter().filter(|record| record.request == Some(*id)).collect();
        its.sort_by(|one, other| one.received.cmp(&other.received));
        assert_eq!((its.len(), its[0].response.unwrap().0), (if spoiled.contains(id) { 2 } else { 1 }, answer.id()));
        // That the first had been answered is not to be seen: a backend notes the time of it when it has the processor again.
        assert!(its.len() == 1 || its[0].backend != its[1].backend);
    }
}

#[test]
fn every_tenth_answer_is_an_earlier_one() {
    let (records, answers, balancer) = spoiled(Defect::CachedEvery(10), "GET");
    let spoiled = noted(&balancer);
    assert_eq!((spoiled.len(), records.len()), (12, 108));
    for (id, answer) in &answers {
        let record = records.iter().find(|record| record.response.unwrap().0 == answer.id()).unwrap();
        assert_eq!(record.request != Some(*id), spoiled.contains(id));
        assert_eq!(records.iter().any(|record| record.request == Some(*id)), !spoiled.contains(id));
    }
    // All other answers and those that were given twice.
    let uuids: BTreeSet<Uuid> = answers.iter().map(|(_, answer)| answer.id()).collect();
    assert_eq!(uuids.len(), 108);
    assert_eq!(self::spoiled(Defect::CachedEvery(10), "POST").0.len(), 120);
}

#[test]
fn answers_of_two_clients_are_exchanged() {
    let (fleet, mut ports) = Fleet::of(2, &[]);
    let slow = Fake::holding();
    ports.insert(1, slow.port);
    // The third request alone goes to the slow one.
    let algorithm = PlantedAlgorithm::BlockWeighted(vec![2, 1, 10]);
    let balancer = PlantedBalancer::start(&ports, Behaviour { algorithm, ..Defect::SwapEvery(1).into() });
    // Nobody to exchange with.
    assert_eq!(in_sequence(&balancer, 2)[1].1.header("Check-Request-Id"), Some(&*id(2).to_string()));
    let [mut alone, mut one, mut other] = [(); 3].map(|()| Connection::to(balancer.port()));
    alone.send(&request("GET", "/", 3, "")).unwrap();
    slow.wait();
    one.send(&request("GET", "/", 4, "")).unwrap();
    eventually("it was answered", || fleet.records().records.len() == 3);
    other.send(&request("GET", "/", 5, "")).unwrap();
    let own = |connection: &mut Connection| connection.answer().unwrap().header("Check-Request-Id").unwrap().to_owned();
    assert_eq!([own(&mut one), own(&mut other)], [5, 4].map(|number| id(number).to_string()));
    assert_eq!(noted(&balancer), HashSet::from([id(4), id(5)]));
    // It waits for one that fails to come, and gets its own.
    one.send(&request("GET", "/", 6, "")).unwrap();
    eventually("it was answered", || fleet.records().records.len() == 5);
    one.expect_silence(Duration::from_millis(20));
    slow.close();
    assert_eq!(alone.answer().unwrap().status, 502);
    assert_eq!(own(&mut one), id(6).to_string());
    assert_eq!(noted(&balancer).len(), 2);
}

#[test]
fn under_load_exchanged_answers_go_both_ways_and_nothing_else_happens() {
    let (records, answers, balancer) = spoiled(Defect::SwapEvery(10), "GET");
    assert_eq!(records.len(), 120);
    let spoiled = noted(&balancer);
    let others: HashMap<RequestId, RequestId> = answers
        .iter()
        .map(|(id, answer)| (*id, answer.header("Check-Request-Id").unwrap().parse::<RequestId>().unwrap()))
        .filter(|(id, other)| id != other)
        .collect();
    assert!((4..=24).contains(&others.len()), "{others:?}");
    assert_eq!(others.keys().copied().collect::<HashSet<_>>(), spoiled);
    for (id, other) in &others {
        assert_eq!(others[other], *id);
        assert_ne!((id.sequence - 1) / 30, (other.sequence - 1) / 30, "one client");
    }
}

#[test]
fn every_tenth_with_a_cookie_goes_elsewhere() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let behaviour = Behaviour { algorithm: PlantedAlgorithm::StickyCookie("lb"), ..Defect::ForgetsSticky(10).into() };
    let balancer = PlantedBalancer::start(&ports, behaviour);
    let mut connection = Connection::to(balancer.port());
    let first = connection.ask(&request("GET", "/", 0, ""));
    for sequence in 1..=30 {
        let answer = connection.ask(&request("GET", "/", sequence, &cookie_of(&first)));
        assert_eq!((number(&answer) != number(&first), answer.header("Set-Cookie")), (sequence % 10 == 0, None));
    }
    assert_eq!(noted(&balancer), [10, 20, 30].map(id).into());
    assert_eq!(completed(&fleet).len(), 31);
}

#[test]
fn every_tenth_answer_ends_in_its_middle() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::Truncates(10));
    for sequence in 1..=30 {
        let mut stream = Connection::to(balancer.port()).stream;
        stream.write_all(request("GET", "/", sequence, "").as_bytes()).unwrap();
        let head = read_until(&mut stream, "\r\n\r\n");
        let length: usize = head.split_once("Content-Length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
        let due = if sequence % 10 == 0 { length / 2 } else { length };
        stream.read_exact(&mut vec![0; due]).unwrap();
        if sequence % 10 == 0 {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    }
    assert_eq!(noted(&balancer), [10, 20, 30].map(id).into());
    assert_eq!(completed(&fleet).len(), 30);
}

#[test]
fn every_tenth_body_is_altered() {
    let (records, answers, balancer) = spoiled(Defect::Alters(10), "GET");
    assert_eq!((records.len(), noted(&balancer).len()), (120, 12));
    for (id, answer) in &answers {
        let is_whole = answer.body.contains(&format!("<h1>UUID={}</h1>", answer.id()));
        assert_eq!((answer.status, is_whole), (200, !noted(&balancer).contains(id)), "{answer:?}");
    }
}

#[test]
fn backends_do_not_get_the_id_of_the_request() {
    let (records, answers, _) = spoiled(Defect::StripsRequestHeader, "GET");
    assert_eq!(records.len(), 120);
    assert!(records.iter().all(|record| record.request.is_none()));
    assert!(answers.iter().all(|(_, answer)| answer.header("Check-Request-Id").is_none()));
}

#[test]
fn clients_do_not_get_our_headers() {
    let (records, answers, _) = spoiled(Defect::StripsAnswerHeaders, "GET");
    assert!(records.len() == 120 && records.iter().all(|record| record.request.is_some()));
    for (_, answer) in answers {
        assert!(answer.body.contains("<h1>UUID="));
        for name in ["Generator-Number", "Response-Id", "Check-Request-Id"] {
            assert_eq!(answer.header(name), None);
        }
        assert!(answer.header("Content-Type").is_some() && answer.header("Date").is_some(), "{answer:?}");
    }
}

#[test]
fn every_tenth_is_refused_without_a_backend() {
    let (records, answers, balancer) = spoiled(Defect::OwnErrorEvery(10), "GET");
    assert_eq!((records.len(), noted(&balancer).len()), (108, 12));
    for (id, answer) in answers {
        assert_eq!(answer.status, if noted(&balancer).contains(&id) { 502 } else { 200 });
        assert_eq!(records.iter().any(|record| record.request == Some(id)), answer.status == 200);
    }
}

#[test]
fn every_tenth_is_forwarded_and_its_client_closed() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::DropsEvery(10));
    let mut connection = Connection::to(balancer.port());
    for sequence in 1..=30 {
        connection.send(&request("GET", "/", sequence, "")).unwrap();
        if sequence % 10 == 0 {
            assert!(connection.is_closed().unwrap());
            connection = Connection::to(balancer.port());
        } else {
            connection.answer().unwrap();
        }
    }
    assert_eq!(noted(&balancer), [10, 20, 30].map(id).into());
    assert_eq!(completed(&fleet).len(), 30);
}

#[test]
fn a_mirror_gets_all() {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports[..2], Defect::Mirror(ports[2]));
    let answers = drive(&balancer, 4, 30);
    eventually("the mirror has all", || completed_or_not(&fleet).len() == 240);
    let records = completed(&fleet);
    assert_eq!(shares(&records, &ports), [60, 60, 120]);
    let delivered: Vec<_> = records.iter().filter(|record| record.backend != ports[2].to_string()).cloned().collect();
    expect_each_once(&answers, &delivered);
    let mirrored: BTreeSet<_> = records.iter().filter(|it| it.backend == ports[2].to_string()).map(sequence).collect();
    assert_eq!(mirrored, (1..=120).collect());
}

#[test]
fn silence_reads_and_says_nothing() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::NeverAnswers);
    let mut connection = Connection::to(balancer.port());
    connection.send(&request("GET", "/", 1, "")).unwrap();
    connection.expect_silence(Duration::from_millis(50));
    assert!(fleet.records().records.is_empty());
}

#[test]
fn an_endless_answer_goes_on() {
    let (fleet, ports) = Fleet::of(1, &[]);
    let balancer = PlantedBalancer::start(&ports, Defect::Endless);
    let mut stream = Connection::to(balancer.port()).stream;
    stream.write_all(request("GET", "/", 1, "").as_bytes()).unwrap();
    let head = read_until(&mut stream, "\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 10737418240\r\n"), "{head}");
    stream.read_exact(&mut vec![0; 16 << 20]).unwrap();
    assert!(fleet.records().records.is_empty());
}

#[test]
fn dropping_it_ends_its_connections_and_frees_its_port() {
    let slow = Fake::holding();
    let balancer = PlantedBalancer::start(&[slow.port], Behaviour::default());
    let port = balancer.port();
    let mut asking = Connection::to(port);
    asking.send(&request("GET", "/", 1, "")).unwrap();
    slow.wait();
    drop(balancer);
    assert!(asking.is_closed().unwrap());
    assert_eq!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

// Clients.

fn id(sequence: u64) -> RequestId {
    RequestId { run: RUN, sequence }
}

/// A request of this run under this number.
fn request(method: &str, path: &str, number: u64, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: {}\r\n{headers}\r\n", id(number))
}

/// Numbered from 1 on, over this number of connections at once, one thread each.
fn drive(balancer: &PlantedBalancer, connections: u64, each: u64) -> Vec<(RequestId, Answer)> {
    drive_with(balancer, "GET", connections, each)
}

fn drive_with(balancer: &PlantedBalancer, method: &str, connections: u64, each: u64) -> Vec<(RequestId, Answer)> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|client| {
                scope.spawn(move || {
                    let mut connection = Connection::to(balancer.port());
                    let numbers = client * each + 1..=(client + 1) * each;
                    numbers.map(|number| (id(number), connection.ask(&request(method, "/", number, "")))).collect()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| -> Vec<_> { client.join().unwrap() }).collect()
    })
}

/// Numbered from 1 on, one after the other on one connection.
fn in_sequence(balancer: &PlantedBalancer, count: u64) -> Vec<(RequestId, Answer)> {
    let mut connection = Connection::to(balancer.port());
    (1..=count).map(|number| (id(number), connection.ask(&request("GET", "/", number, "")))).collect()
}

/// In which this number of requests in sequence goes to three backends.
fn order_of(behaviour: impl Into<Behaviour>, count: u64) -> String {
    let (_fleet, ports) = Fleet::of(3, &[]);
    order(&in_sequence(&PlantedBalancer::start(&ports, behaviour), count), &ports)
}

fn order(answers: &[(RequestId, Answer)], ports: &[u16]) -> String {
    answers.iter().map(|(_, answer)| letter(answer, ports)).collect()
}

fn letter(answer: &Answer, ports: &[u16]) -> &'static str {
    ["a", "b", "c"][ports.iter().position(|port| *port == number(answer)).unwrap()]
}

fn number(answer: &Answer) -> u16 {
    answer.header("Generator-Number").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

/// The header that sends it back.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("Set-Cookie").unwrap_or_else(|| panic!("{answer:?}"));
    format!("Cookie: a=b; {}\r\n", cookie.split(';').next().unwrap())
}

fn connection_from(source: IpAddr, port: u16) -> Connection {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    Connection::over(socket.into()).unwrap()
}

/// 120 requests over 4 connections to a balancer with a defect that leaves connections open.
fn spoiled(defect: Defect, method: &str) -> (Vec<RecordView>, Vec<(RequestId, Answer)>, PlantedBalancer) {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, defect);
    let answers = drive_with(&balancer, method, 4, 30);
    (completed(&fleet), answers, balancer)
}

fn noted(balancer: &PlantedBalancer) -> HashSet<RequestId> {
    let spoiled = balancer.spoiled();
    let noted: HashSet<RequestId> = spoiled.iter().flatten().copied().collect();
    assert_eq!(noted.len(), spoiled.len(), "{spoiled:?}");
    noted
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&read)));
        read.extend(byte);
    }
    String::from_utf8(read).unwrap()
}

// Records.

fn completed_or_not(fleet: &Fleet) -> Vec<RecordView> {
    let page = fleet.records();
    assert_eq!((page.missed, page.lost), (0, 0));
    page.records
}

/// All records, which all must be of whole answers.
fn completed(fleet: &Fleet) -> Vec<RecordView> {
    // What ends while a page is made may be missing from it, among those in flight as well as among those that have ended.
    eventually("all have ended", || fleet.records().in_flight.is_empty());
    let page = fleet.records();
    assert_eq!((page.missed, page.lost, page.in_flight.len()), (0, 0, 0));
    for record in &page.records {
        assert_eq!(record.outcome, AttemptEnd::Completed, "{record:?}");
    }
    page.records
}

fn sequence(record: &RecordView) -> u64 {
    record.request.unwrap().sequence
}

fn shares(records: &[RecordView], ports: &[u16]) -> Vec<usize> {
    ports.iter().map(|port| records.iter().filter(|record| record.backend == port.to_string()).count()).collect()
}

/// No answer is without its record, no record without its answer.
fn expect_each_once(answers: &[(RequestId, Answer)], records: &[RecordView]) {
    let recorded: BTreeMap<Uuid, _> = records.iter().map(|record| (record.response.unwrap().0, record)).collect();
    assert_eq!((recorded.len(), answers.len()), (records.len(), records.len()));
    let uuids: BTreeSet<Uuid> = answers.iter().map(|(_, answer)| answer.id()).collect();
    assert_eq!(uuids.len(), answers.len());
    for (id, answer) in answers {
        let record = recorded.get(&answer.id()).unwrap_or_else(|| panic!("no record of {answer:?}"));
        answer.expect_page_of(record.backend.parse().unwrap());
        assert_eq!((record.request, answer.header("Check-Request-Id")), (Some(*id), Some(&*id.to_string())));
    }
}

// Backends that do what real ones do not.

/// One thread for each connection. Dropped, it listens no more.
struct Fake {
    port: u16,
    /// The heads of requests, each before it is answered.
    arrived: mpsc::Receiver<String>,
    gate: Arc<Mutex<Gate>>,
    over: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Gate {
    Shut,
    Open,
    Closes,
}

impl Fake {
    /// Answers requests without a body, until it says that it closes the connection.
    fn start(answer: impl Fn(&mut TcpStream, &str) -> bool + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (arrives, arrived) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let (answer, is_over) = (Arc::new(answer), Arc::clone(&over));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (mut stream, answer, arrives) = (stream.unwrap(), Arc::clone(&answer), arrives.clone());
                stream.set_nodelay(true).unwrap();
                thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|length| length == 1) {
                        head.extend(byte);
                        if head.ends_with(b"\r\n\r\n") {
                            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
                            let _ = arrives.send(text.clone());
                            if !answer(&mut stream, &text) {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Fake { port, arrived, gate: Arc::new(Mutex::new(Gate::Shut)), over }
    }

    /// Does not answer before it may.
    fn holding() -> Fake {
        let gate = Arc::new(Mutex::new(Gate::Shut));
        let watched = Arc::clone(&gate);
        let mut fake = Fake::start(move |stream, _| {
            eventually("it may answer", || *watched.lock().unwrap() != Gate::Shut);
            let opens = *watched.lock().unwrap() == Gate::Open;
            opens && stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
        });
        fake.gate = gate;
        fake
    }

    /// Until it has a request.
    fn wait(&self) -> String {
        self.arrived.recv_timeout(crate::support::PATIENCE).unwrap()
    }

    fn release(&self) {
        *self.gate.lock().unwrap() = Gate::Open;
    }

    fn close(&self) {
        *self.gate.lock().unwrap() = Gate::Closes;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if *self.gate.lock().unwrap() == Gate::Shut {
            self.close();
        }
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// The answer, or the connection that waits for that of the busy one.
fn ask_or_hold(balancer: &PlantedBalancer, busy: &Fake, number: u64) -> Result<Answer, Connection> {
    let mut connection = Connection::to(balancer.port());
    connection.send(&request("GET", "/", number, "")).unwrap();
    let mut is_held = false;
    connection.stream.set_nonblocking(true).unwrap();
    eventually("it is somewhere", || {
        is_held = busy.arrived.try_recv().is_ok();
        is_held || connection.stream.peek(&mut [0; 1]).is_ok()
    });
    connection.stream.set_nonblocking(false).unwrap();
    if is_held { Err(connection) } else { Ok(connection.answer().unwrap()) }
}
