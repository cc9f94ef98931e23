//! Watches the wire for whom a program asks and who refuses. A refusal is an address at which somebody is missing: a listener that is
//! there takes the connection, whoever it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use simple_dns::{Packet, PacketFlag};

use crate::network::every_packet;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SYN: u8 = 0x02;
const RST_ACK: u8 = 0x14;
const GLANCE: Duration = Duration::from_millis(20);
/// A mark that is lost, because too much is on the wire, is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What was seen on the wire, with how often.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sightings {
    /// Addresses to which a connection was asked for.
    pub asked: BTreeMap<SocketAddr, u64>,
    /// Addresses that refused one.
    pub refused: BTreeMap<SocketAddr, u64>,
    /// Addresses to which datagrams went.
    pub datagrams: BTreeMap<SocketAddr, u64>,
    /// Those of them to which questions of DNS went.
    pub questions: BTreeSet<SocketAddr>,
}

/// Watches the network in which it was started, until it is dropped.
pub struct Scout {
    noted: Arc<Noted>,
    mark: UdpSocket,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread has noted of the wire.
#[derive(Default)]
struct Noted {
    sightings: Mutex<Sightings>,
    /// The last mark that it met, and news of the next: datagrams that the scout sends to itself. All that was sent before it is noted.
    mark: Mutex<u64>,
    news: Condvar,
}

impl Scout {
    /// All links of this network.
    pub fn start() -> io::Result<Scout> {
        let mut socket = every_packet()?;
        socket.set_read_timeout(Some(GLANCE))?;
        // What is lost when it is full is lost in silence.
        let _ = socket.set_recv_buffer_size(8 << 20);
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let marked = mark.local_addr()?;
        mark.connect(marked)?;
        let (noted, end) = (Arc::new(Noted::default()), Arc::new(AtomicBool::new(false)));
        let (noting, ended) = (noted.clone(), end.clone());
        let thread = thread::spawn(move || {
            let mut packet = vec![0; 640];
            while !ended.load(Ordering::Relaxed) {
                // An error is that nothing came, or that a link has gone.
                let Ok(length) = socket.read(&mut packet) else { continue };
                match mark_of(&packet[..length], marked) {
                    Some(mark) => noting.meet(mark),
                    None => note(&packet[..length], &mut locked(&noting.sightings)),
                }
            }
        });
        Ok(Scout { noted, mark, end, thread: Some(thread) })
    }

    /// What was asked for so far.
    pub fn seen(&self) -> Sightings {
        self.noted.wait(&self.mark);
        locked(&self.noted.sightings).clone()
    }
}

impl Noted {
    fn meet(&self, mark: u64) {
        *locked(&self.mark) = mark;
        self.news.notify_all();
    }

    /// Until all is noted that was sent before.
    fn wait(&self, socket: &UdpSocket) {
        let met = locked(&self.mark);
        let next = *met + 1;
        if socket.send(&next.to_be_bytes()).is_ok() {
            let _ = self.news.wait_timeout_while(met, PATIENCE, |met| *met < next);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Scout {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct TcpSegment<'p> {
    protocol: u8,
    from: IpAddr,
    to: IpAddr,
    rest: &'p [u8],
}

fn segment(packet: &[u8]) -> Option<TcpSegment<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let length = usize::from(packet[0] & 15) * 4;
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
            let (from, to) = (address(12)?.into(), address(16)?.into());
            Some(TcpSegment { protocol: *packet.get(9)?, from, to, rest: packet.get(length..)? })
        }
        6 => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?));
            let (from, to) = (address(8)?.into(), address(24)?.into());
            Some(TcpSegment { protocol: *packet.get(6)?, from, to, rest: packet.get(40..)? })
        }
        _ => None,
    }
}

/// The number in a datagram that the scout sent to itself.
fn mark_of(packet: &[u8], own: SocketAddr) -> Option<u64> {
    let TcpSegment { protocol, from, to, rest } = segment(packet)?;
    let port = own.port().to_be_bytes();
    let is_own =
        protocol == UDP && from == own.ip() && to == own.ip() && rest.get(..2)? == port && rest.get(2..4)? == port;
    is_own.then(|| rest.get(8..16)?.try_into().ok().map(u64::from_be_bytes)).flatten()
}

fn note(packet: &[u8], seen: &mut Sightings) {
    let Some(TcpSegment { protocol, from, to, rest }) = segment(packet) else { return };
    let port = |at: usize| Some(u16::from_be_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let (Some(source), Some(target)) = (port(0), port(2)) else { return };
    let count = |counts: &mut BTreeMap<SocketAddr, u64>, address| *counts.entry(address).or_default() += 1;
    if protocol == UDP {
        let to = SocketAddr::new(to, target);
        count(&mut seen.datagrams, to);
        if rest.get(8..).is_some_and(is_question) {
            seen.questions.insert(to);
        }
    }
    let (Some(sequence), Some(flags)) = (rest.get(4..8), rest.get(13)) else { return };
    if protocol != TCP {
        return;
    }
    match *flags & (SYN | RST_ACK) {
        SYN => count(&mut seen.asked, SocketAddr::new(to, target)),
        // The response to a SYN at a port where nobody listens; a connection that is cut off has a sequence number (RFC 9293 §3.10.7.1).
        RST_ACK if sequence == [0; 4] => count(&mut seen.refused, SocketAddr::new(from, source)),
        _ => {}
    }
}

/// Whether somebody asks a name server, on whichever port it is.
fn is_question(datagram: &[u8]) -> bool {
    Packet::parse(datagram).is_ok_and(|it| !it.has_flags(PacketFlag::RESPONSE) && it.questions.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0, 192, 0, 2, 1, 10, 0, 0, 53];
        packet.extend([0x9c, 0x40, 0x21, 0x98, 0, 0, 0, 0]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn a_question_of_dns_is_one_on_any_port_and_a_line_of_syslog_is_none() {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        question.extend(*b"\x03app\x08internal\x00\x00\x01\x00\x01");
        let mut seen = Sightings::default();
        note(&udp(&question), &mut seen);
        assert_eq!(seen.questions, BTreeSet::from(["10.0.0.53:8600".parse().unwrap()]));
        let mut seen = Sightings::default();
        question[2] = 0x81;
        for payload in [question.as_slice(), b"<134>Nov 28 17:00:00 haproxy[7]: 10.0.0.1:4711 GET /", b""] {
            note(&udp(payload), &mut seen);
        }
        assert_eq!((seen.questions.len(), seen.datagrams.len()), (0, 1));
    }

    fn tcp(flags: u8, sequence: u32) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
        packet.extend([0x1f, 0x90, 0x9c, 0x40]);
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        packet
    }

    #[test]
    fn a_refusal_is_told_from_a_connection_that_is_cut_off() {
        let mut seen = Sightings::default();
        note(&tcp(RST_ACK, 0), &mut seen);
        note(&tcp(RST_ACK, 77), &mut seen);
        note(&tcp(SYN, 5), &mut seen);
        note(&tcp(0x12, 0), &mut seen);
        assert_eq!(seen.refused, BTreeMap::from([("10.0.0.1:8080".parse().unwrap(), 1)]));
        assert_eq!(seen.asked, BTreeMap::from([("192.0.2.1:40000".parse().unwrap(), 1)]));
    }

    #[test]
    fn what_is_cut_short_is_passed_over() {
        let whole = tcp(SYN, 1);
        for length in 0..whole.len() {
            let mut seen = Sightings::default();
            note(&whole[..length], &mut seen);
            assert!(length >= 34 || seen == Sightings::default(), "{length}");
        }
    }
}
