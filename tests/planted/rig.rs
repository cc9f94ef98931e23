//! Requests to a planted balancer, backends that do as a test says, and what has been recorded.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use crate::support::http::{Answer, Connection};
use crate::support::{Fleet, eventually};
use api::RecordView;
use testbed::planted::{Behaviour, Defect, PlantedBalancer};
use uuid::Uuid;
use verdict::{AttemptEnd, RequestId};

pub(super) const RUN: u64 = 0x1234;

pub(super) fn id(sequence: u64) -> RequestId {
    RequestId { run: RUN, sequence }
}

/// A request of this run under this number.
pub(super) fn request(method: &str, path: &str, number: u64, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: h\r\nCheck-Request-Id: {}\r\n{headers}\r\n", id(number))
}

/// Numbered from 1 on, over this number of connections at once, one thread each.
pub(super) fn drive(balancer: &PlantedBalancer, connections: u64, each: u64) -> Vec<(RequestId, Answer)> {
    drive_with(balancer, "GET", connections, each)
}

pub(super) fn drive_with(
    balancer: &PlantedBalancer,
    method: &str,
    connections: u64,
    each: u64,
) -> Vec<(RequestId, Answer)> {
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
pub(super) fn in_sequence(balancer: &PlantedBalancer, count: u64) -> Vec<(RequestId, Answer)> {
    let mut connection = Connection::to(balancer.port());
    (1..=count).map(|number| (id(number), connection.ask(&request("GET", "/", number, "")))).collect()
}

/// In which this number of requests in sequence goes to three backends.
pub(super) fn order_of(behaviour: impl Into<Behaviour>, count: u64) -> String {
    let (_fleet, ports) = Fleet::of(3, &[]);
    order(&in_sequence(&PlantedBalancer::start(&ports, behaviour), count), &ports)
}

pub(super) fn order(answers: &[(RequestId, Answer)], ports: &[u16]) -> String {
    answers.iter().map(|(_, answer)| letter(answer, ports)).collect()
}

pub(super) fn letter(answer: &Answer, ports: &[u16]) -> &'static str {
    ["a", "b", "c"][ports.iter().position(|port| *port == number(answer)).unwrap()]
}

pub(super) fn number(answer: &Answer) -> u16 {
    answer.header("Generator-Number").unwrap_or_else(|| panic!("{answer:?}")).parse().unwrap()
}

/// The header that sends it back.
pub(super) fn cookie_of(answer: &Answer) -> String {
    let cookie = answer.header("Set-Cookie").unwrap_or_else(|| panic!("{answer:?}"));
    format!("Cookie: a=b; {}\r\n", cookie.split(';').next().unwrap())
}

pub(super) fn connection_from(source: IpAddr, port: u16) -> Connection {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    Connection::over(socket.into()).unwrap()
}

/// 120 requests over 4 connections to a balancer with a defect that leaves connections open.
pub(super) fn spoiled(defect: Defect, method: &str) -> (Vec<RecordView>, Vec<(RequestId, Answer)>, PlantedBalancer) {
    let (fleet, ports) = Fleet::of(3, &[]);
    let balancer = PlantedBalancer::start(&ports, defect);
    let answers = drive_with(&balancer, method, 4, 30);
    (completed(&fleet), answers, balancer)
}

pub(super) fn noted(balancer: &PlantedBalancer) -> HashSet<RequestId> {
    let spoiled = balancer.spoiled();
    let noted: HashSet<RequestId> = spoiled.iter().flatten().copied().collect();
    assert_eq!(noted.len(), spoiled.len(), "{spoiled:?}");
    noted
}

pub(super) fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&read)));
        read.extend(byte);
    }
    String::from_utf8(read).unwrap()
}

// Records.

pub(super) fn completed_or_not(fleet: &Fleet) -> Vec<RecordView> {
    let page = fleet.records();
    assert_eq!((page.missed, page.lost), (0, 0));
    page.records
}

/// All records, which all must be of whole answers.
pub(super) fn completed(fleet: &Fleet) -> Vec<RecordView> {
    // What ends while a page is made may be missing from it, among those in flight as well as among those that have ended.
    eventually("all have ended", || fleet.records().in_flight.is_empty());
    let page = fleet.records();
    assert_eq!((page.missed, page.lost, page.in_flight.len()), (0, 0, 0));
    for record in &page.records {
        assert_eq!(record.outcome, AttemptEnd::Completed, "{record:?}");
    }
    page.records
}

pub(super) fn sequence(record: &RecordView) -> u64 {
    record.request.unwrap().sequence
}

pub(super) fn shares(records: &[RecordView], ports: &[u16]) -> Vec<usize> {
    ports.iter().map(|port| records.iter().filter(|record| record.backend == port.to_string()).count()).collect()
}

/// No answer is without its record, no record without its answer.
pub(super) fn expect_each_once(answers: &[(RequestId, Answer)], records: &[RecordView]) {
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
pub(super) struct Fake {
    pub(super) port: u16,
    /// The heads of requests, each before it is answered.
    pub(super) arrived: mpsc::Receiver<String>,
    pub(super) gate: Arc<Mutex<Gate>>,
    pub(super) over: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    Shut,
    Open,
    Closes,
}

impl Fake {
    /// Answers requests without a body, until it says that it closes the connection.
    pub(super) fn start(answer: impl Fn(&mut TcpStream, &str) -> bool + Send + Sync + 'static) -> Fake {
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
    pub(super) fn holding() -> Fake {
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
    pub(super) fn wait(&self) -> String {
        self.arrived.recv_timeout(crate::support::PATIENCE).unwrap()
    }

    pub(super) fn release(&self) {
        *self.gate.lock().unwrap() = Gate::Open;
    }

    pub(super) fn close(&self) {
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
pub(super) fn ask_or_hold(balancer: &PlantedBalancer, busy: &Fake, number: u64) -> Result<Answer, Connection> {
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
