//! A planted balancer does what its algorithms and defects say, and nothing else: real backends record what reached them.

mod defects;
mod rig;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::Fleet;
use crate::support::http::Connection;
use rig::{
    Fake, ask_or_hold, completed, connection_from, cookie_of, drive, expect_each_once, id, in_sequence, letter, number,
    order, order_of, read_until, request, shares,
};
use testbed::planted::{Behaviour, Defect, Ejection, PlantedAlgorithm, PlantedBalancer, Ties};

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
