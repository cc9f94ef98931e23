//! Each defect of a planted balancer does what it is called, and nothing else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::rig::{
    Fake, completed, completed_or_not, cookie_of, drive, expect_each_once, id, in_sequence, noted, number, read_until,
    request, sequence, shares, spoiled,
};
use crate::support::http::{Answer, Connection};
use crate::support::{Fleet, eventually};
use api::RecordView;
use testbed::planted::{Behaviour, Defect, PlantedAlgorithm, PlantedBalancer};
use uuid::Uuid;
use verdict::RequestId;

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
