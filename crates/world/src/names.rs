//! The world's DNS: every name has addresses, which are invented, and noted.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::socket::sockopt::Ipv4PacketInfo;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt};
use simple_dns::rdata::{A, RData, SRV};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::network::within;

/// Addresses that belong to nobody: those for tests between networks (RFC 2544).
const FIRST: u32 = u32::from_be_bytes([198, 18, 0, 1]);
const COUNT: u32 = (1 << 17) - 2;
/// What systemd-resolved and Docker give a machine as its resolver.
const LOCAL: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 53), Ipv4Addr::new(127, 0, 0, 11)];
const PORT: u16 = 53;
/// Seconds; balancers ask again that often.
const TTL: u32 = 5;
/// What a datagram takes without a word about larger ones (RFC 1035 §4.2.1).
const SMALL: usize = 512;

/// How many addresses a name has, and on which port its services are, where that is not one address and port 80.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Size {
    /// In small letters, without a dot at its end.
    pub name: String,
    /// How many addresses a name has, at least 1.
    pub addresses: usize,
    /// The port that SRV records name.
    pub port: u16,
}

/// A name that was asked for, and what it got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameQuery {
    /// The name that was asked for, in lower case.
    pub name: String,
    /// The addresses that were invented for it.
    pub addresses: Vec<IpAddr>,
    /// Asked for as a service (SRV): it has this port.
    pub service: Option<u16>,
}

/// All names of a world: clones are the same ones.
#[derive(Clone)]
pub struct WorldNames(Arc<Mutex<NameTable>>);

struct NameTable {
    sizes: Vec<Size>,
    known: BTreeMap<String, NameQuery>,
    next: u32,
}

impl WorldNames {
    /// None is known yet.
    pub fn new(sizes: Vec<Size>) -> WorldNames {
        WorldNames(Arc::new(Mutex::new(NameTable { sizes, known: BTreeMap::new(), next: 0 })))
    }

    fn table(&self) -> MutexGuard<'_, NameTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names that were asked for.
    pub fn asked(&self) -> Vec<NameQuery> {
        self.table().known.values().cloned().collect()
    }

    /// Whose address that is, and which of its addresses, from 1.
    pub fn name_of(&self, address: IpAddr) -> Option<(String, usize)> {
        let table = self.table();
        let all = table.known.values().filter(|asked| asked.service.is_none());
        all.filter_map(|asked| {
            let place = asked.addresses.iter().position(|it| *it == address)?;
            Some((asked.name.clone(), place + 1))
        })
        .next()
    }

    /// The addresses that a name has, or gets.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        self.table().ask(name, NameQuestion::Host).addresses
    }

    /// Whether [`WorldNames::serve`] answers there.
    pub fn is_served(address: SocketAddr) -> bool {
        let is_usual = |ip: Ipv4Addr| !ip.is_loopback() || LOCAL.contains(&ip);
        address.port() == PORT && matches!(address.ip(), IpAddr::V4(ip) if is_usual(ip))
    }

    /// Answers on port 53 of every address of the backends' network, and on the usual addresses of resolvers in this one, as long as
    /// this process lives.
    pub fn serve(&self, backends: &Path) -> io::Result<()> {
        let (datagrams, streams) = within(backends, || open(Ipv4Addr::UNSPECIFIED))??;
        self.answer(datagrams, streams);
        for address in LOCAL {
            // The balancer under test may be a resolver itself.
            if let Ok((datagrams, streams)) = open(address) {
                self.answer(datagrams, streams);
            }
        }
        Ok(())
    }

    /// Answers at that address too, in the network of the backends or in this one.
    pub fn serve_at(&self, address: SocketAddr, network: Option<&Path>) -> io::Result<()> {
        let open = || io::Result::Ok((UdpSocket::bind(address)?, TcpListener::bind(address).ok()));
        let (datagrams, streams) = match network {
            Some(network) => within(network, open)??,
            None => open()?,
        };
        let names = self.clone();
        thread::spawn(move || {
            let mut bytes = vec![0; 4096];
            while let Ok((length, from)) = datagrams.recv_from(&mut bytes) {
                if let Some(answer) = names.reply(&bytes[..length], SMALL) {
                    let _ = datagrams.send_to(&answer, from);
                }
            }
        });
        if let Some(streams) = streams {
            self.answer_streams(streams);
        }
        Ok(())
    }

    fn answer(&self, datagrams: UdpSocket, streams: TcpListener) {
        let names = self.clone();
        thread::spawn(move || {
            while let Ok((question, from, to)) = receive(&datagrams) {
                if let Some(answer) = names.reply(&question, SMALL) {
                    let _ = send(&datagrams, &answer, from, to);
                }
            }
        });
        self.answer_streams(streams);
    }

    fn answer_streams(&self, streams: TcpListener) {
        let names = self.clone();
        thread::spawn(move || {
            for stream in streams.incoming().flatten() {
                let names = names.clone();
                thread::spawn(move || names.converse(stream));
            }
        });
    }

    /// Questions one after the other, each with its length before it (RFC 1035 §4.2.2).
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            let Some(answer) = self.reply(&question, usize::from(u16::MAX)) else { return Ok(()) };
            stream.write_all(&(answer.len() as u16).to_be_bytes())?;
            stream.write_all(&answer)?;
        }
    }

    /// The response to a question; none to what is no question.
    fn reply(&self, question: &[u8], most: usize) -> Option<Vec<u8>> {
        let question = Packet::parse(question).ok().filter(|packet| !packet.has_flags(PacketFlag::RESPONSE))?;
        let most = question.opt().map_or(most, |opt| most.max(usize::from(opt.udp_packet_size)));
        let mut reply = Packet::new_reply(question.id());
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::AUTHORITATIVE_ANSWER);
        if question.has_flags(PacketFlag::RECURSION_DESIRED) {
            reply.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        reply.questions = question.questions.clone();
        for asked in &question.questions {
            let name = asked.qname.to_string().to_ascii_lowercase();
            match asked.qtype {
                QTYPE::TYPE(TYPE::A) => {
                    let found = self.table().ask(&name, NameQuestion::Host);
                    reply.answers.extend(found.addresses.iter().filter_map(|it| address(asked.qname.clone(), *it)));
                }
                QTYPE::TYPE(TYPE::SRV) => self.services(&name, asked.qname.clone(), &mut reply),
                QTYPE::TYPE(TYPE::PTR) => *reply.rcode_mut() = RCODE::NameError,
                // It is there, and has nothing of that kind: whoever asks goes on with A.
                _ => {}
            }
        }
        let bytes = reply.build_bytes_vec_compressed().ok()?;
        if bytes.len() <= most {
            return Some(bytes);
        }
        reply.set_flags(PacketFlag::TRUNCATION);
        (reply.answers, reply.additional_records) = (Vec::new(), Vec::new());
        reply.build_bytes_vec_compressed().ok()
    }

    /// A host for each instance of a service: `1.app.internal` for `_http._tcp.app.internal`.
    fn services(&self, name: &str, owner: Name, reply: &mut Packet) {
        let mut table = self.table();
        let service = table.ask(name, NameQuestion::Service);
        let host = name.split('.').skip_while(|label| label.starts_with('_')).collect::<Vec<_>>().join(".");
        for (number, given) in service.addresses.iter().enumerate() {
            let target = format!("{}.{host}", number + 1);
            let entry = NameQuery { name: target.clone(), addresses: vec![*given], service: None };
            table.known.insert(target.clone(), entry);
            let Ok(target) = Name::new(&target) else { continue };
            let target = target.into_owned();
            let port = service.service.unwrap_or(80);
            let record = SRV { priority: 0, weight: 1, port, target: target.clone() };
            reply.answers.push(ResourceRecord::new(owner.clone().into_owned(), CLASS::IN, TTL, RData::SRV(record)));
            reply.additional_records.extend(address(target, *given));
        }
    }
}

/// What somebody wants to know of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NameQuestion {
    /// The addresses of a host.
    Host,
    /// The hosts and ports of a service (SRV).
    Service,
}

impl NameTable {
    fn ask(&mut self, name: &str, what: NameQuestion) -> NameQuery {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let size = self.sizes.iter().find(|size| size.name == name);
        let (count, port) = size.map_or((1, 80), |size| (size.addresses, size.port));
        let addresses = if name == "localhost" {
            vec![Ipv4Addr::LOCALHOST.into()]
        } else {
            (0..count).map(|_| self.invent()).collect()
        };
        let asked =
            NameQuery { name: name.to_owned(), addresses, service: (what == NameQuestion::Service).then_some(port) };
        self.known.insert(name.to_owned(), asked.clone());
        asked
    }

    fn invent(&mut self) -> IpAddr {
        let address = Ipv4Addr::from(FIRST + self.next % COUNT);
        self.next += 1;
        address.into()
    }
}

fn address<'n>(owner: Name<'n>, address: IpAddr) -> Option<ResourceRecord<'n>> {
    let IpAddr::V4(address) = address else { return None };
    Some(ResourceRecord::new(owner, CLASS::IN, TTL, RData::A(A { address: address.into() })))
}

fn open(address: Ipv4Addr) -> io::Result<(UdpSocket, TcpListener)> {
    let datagrams = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The balancer may take datagrams on this port of all addresses.
    datagrams.set_reuse_address(true)?;
    datagrams.bind(&SockAddr::from(SocketAddrV4::new(address, PORT)))?;
    let datagrams = UdpSocket::from(datagrams);
    setsockopt(&datagrams, Ipv4PacketInfo, &true)?;
    Ok((datagrams, TcpListener::bind((address, PORT))?))
}

/// A datagram, who sent it, and to which address.
fn receive(socket: &UdpSocket) -> io::Result<(Vec<u8>, SocketAddrV4, Ipv4Addr)> {
    let mut bytes = vec![0; 4096];
    let mut space = nix::cmsg_space!([u8; 64]);
    let (length, from, to) = {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())?;
        let to = message.cmsgs()?.find_map(|it| match it {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))),
            _ => None,
        });
        (message.bytes, message.address, to)
    };
    bytes.truncate(length);
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok((bytes, SocketAddrV4::new(from.ip(), from.port()), to.unwrap_or(Ipv4Addr::UNSPECIFIED)))
}

/// From the address that was asked: a client takes a response from no other.
fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddrV4, from: Ipv4Addr) -> io::Result<()> {
    let source = nix::libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: nix::libc::in_addr { s_addr: u32::from(from).to_be() },
        ipi_addr: nix::libc::in_addr { s_addr: 0 },
    };
    let source = [ControlMessage::Ipv4PacketInfo(&source)];
    let to = SockaddrIn::from(to);
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &source, MsgFlags::empty(), Some(&to))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{QCLASS, Question};

    fn ask(names: &WorldNames, name: &str, kind: TYPE) -> Vec<u8> {
        let mut question = Packet::new_query(7);
        let name = Name::new(name).unwrap().into_owned();
        question.questions.push(Question::new(name, kind.into(), QCLASS::CLASS(CLASS::IN), false));
        names.reply(&question.build_bytes_vec().unwrap(), SMALL).unwrap()
    }

    #[test]
    fn a_name_keeps_its_addresses_and_has_as_many_as_were_wanted() {
        let size = Size { name: "app.internal".to_owned(), addresses: 3, port: 80 };
        let names = WorldNames::new(vec![size]);
        let one = ask(&names, "App.Internal", TYPE::A);
        assert_eq!(one, ask(&names, "App.Internal", TYPE::A));
        let answer = Packet::parse(&one).unwrap();
        assert_eq!((answer.id(), answer.answers.len()), (7, 3));
        assert_eq!(names.name_of("198.18.0.2".parse().unwrap()), Some(("app.internal".to_owned(), 2)));
        assert_eq!(names.asked().len(), 1);
    }

    #[test]
    fn a_name_without_that_kind_of_record_is_there_and_empty() {
        let names = WorldNames::new(Vec::new());
        let bytes = ask(&names, "app.internal", TYPE::AAAA);
        let answer = Packet::parse(&bytes).unwrap();
        assert_eq!((answer.rcode(), answer.answers.len()), (RCODE::NoError, 0));
        let bytes = ask(&names, "1.0.0.10.in-addr.arpa", TYPE::PTR);
        assert_eq!(Packet::parse(&bytes).unwrap().rcode(), RCODE::NameError);
    }

    #[test]
    fn a_service_names_hosts_that_have_addresses() {
        let size = Size { name: "_http._tcp.app.internal".to_owned(), addresses: 2, port: 8080 };
        let names = WorldNames::new(vec![size]);
        let bytes = ask(&names, "_http._tcp.app.internal", TYPE::SRV);
        let answer = Packet::parse(&bytes).unwrap();
        let ports: Vec<u16> =
            answer.answers.iter().map(|it| if let RData::SRV(srv) = &it.rdata { srv.port } else { 0 }).collect();
        assert_eq!((ports, answer.additional_records.len()), (vec![8080, 8080], 2));
        let host = Packet::parse(&ask(&names, "2.app.internal", TYPE::A)).unwrap().answers.len();
        assert_eq!((host, names.addresses("2.app.internal")), (1, vec!["198.18.0.2".parse::<IpAddr>().unwrap()]));
    }

    #[test]
    fn what_is_too_long_for_a_datagram_is_asked_again_over_tcp() {
        let size = Size { name: "many".to_owned(), addresses: 100, port: 80 };
        let names = WorldNames::new(vec![size]);
        let bytes = ask(&names, "many", TYPE::A);
        let answer = Packet::parse(&bytes).unwrap();
        assert!(answer.has_flags(PacketFlag::TRUNCATION) && answer.answers.is_empty());
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let names = WorldNames::new(Vec::new());
        assert_eq!(names.reply(b"GET / HTTP/1.1\r\n\r\n", SMALL), None);
        let reply = ask(&names, "a.b", TYPE::A);
        assert_eq!(names.reply(&reply, SMALL), None, "two responders would answer each other without end");
    }
}
