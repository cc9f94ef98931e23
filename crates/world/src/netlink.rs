//! Orders to the kernel about the network of one namespace, one at a time, each acknowledged.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily as Family, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The loopback interface of every network namespace.
pub(crate) const LOOPBACK: u32 = 1;
/// The table of addresses that are this namespace's own.
pub(crate) const LOCAL: u8 = 255;
/// The table of all other routes.
pub(crate) const MAIN: u8 = RouteHeader::RT_TABLE_MAIN;

/// Types of messages, as linux/rtnetlink.h numbers them.
mod kind {
    pub(super) const NEW_LINK: u16 = 16;
    pub(super) const SET_LINK: u16 = 19;
    pub(super) const NEW_ADDRESS: u16 = 20;
    pub(super) const NEW_ROUTE: u16 = 24;
    pub(super) const DELETE_ROUTE: u16 = 25;
    pub(super) const NEW_RULE: u16 = 32;
    pub(super) const DELETE_RULE: u16 = 33;
}

/// A message with its type. The library's message of any type would bring all of them into the program.
struct Order<M>(u16, M);

impl<M: Emitable> NetlinkSerializable for Order<M> {
    fn message_type(&self) -> u16 {
        self.0
    }

    fn buffer_len(&self) -> usize {
        self.1.buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        self.1.emit(buffer);
    }
}

/// The type of what is no acknowledgement: nothing that would be read was asked for.
struct NoAnswer(u16);

impl NetlinkDeserializable for NoAnswer {
    type Error = Infallible;

    fn deserialize(header: &NetlinkHeader, _payload: &[u8]) -> Result<NoAnswer, Infallible> {
        Ok(NoAnswer(header.message_type))
    }
}

/// A socket in the network namespace in which it was opened, wherever its process goes.
pub(crate) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

/// Packets of one address.
#[derive(Clone, Copy)]
pub(crate) enum Packets {
    To(IpAddr),
    From(IpAddr),
}

/// Where a route leads.
#[derive(Clone, Copy)]
pub(crate) enum Via {
    /// The destination is an address of this namespace.
    Here,
    /// Nowhere: a sender gets an error at once.
    Nowhere,
    /// To a router on this link, from this address of ours if the sender has none.
    Router { link: u32, router: IpAddr, source: Option<IpAddr> },
}

impl Netlink {
    /// In the namespace of this thread. Routes and links are the protocol that is none in particular, 0.
    pub(crate) fn open() -> io::Result<Netlink> {
        let socket = socket_with(Family::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        Ok(Netlink { socket, sequence: 0 })
    }

    fn order(&mut self, kind: u16, message: impl Emitable, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(Order(kind, message)));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = vec![0; 16 << 10];
        let (length, _) = recv(&self.socket, answer.as_mut_slice(), RecvFlags::empty())?;
        let answer = NetlinkMessage::<NoAnswer>::deserialize(&answer[..length]).map_err(io::Error::other)?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::Error(_) => Ok(()),
            NetlinkPayload::InnerMessage(NoAnswer(kind)) => {
                Err(io::Error::other(format!("expected an acknowledgement, got a message of type {kind}")))
            }
            _ => Err(io::Error::other("expected an acknowledgement")),
        }
    }

    /// A pair of links, one here and one in that namespace, with the same number in both.
    pub(crate) fn add_pair(&mut self, index: u32, here: &str, there: &str, other: BorrowedFd) -> io::Result<()> {
        let mut peer = LinkMessage::default();
        peer.header.index = index;
        peer.attributes = vec![LinkAttribute::IfName(there.to_owned()), LinkAttribute::NetNsFd(other.as_raw_fd())];
        let mut link = LinkMessage::default();
        link.header.index = index;
        link.attributes = vec![
            LinkAttribute::IfName(here.to_owned()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        self.order(kind::NEW_LINK, link, NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        (link.header.flags, link.header.change_mask) = (LinkFlags::Up, LinkFlags::Up);
        self.order(kind::SET_LINK, link, 0)
    }

    /// An address that is in use at once: nobody else is asked whether it has it.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = index;
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        self.order(kind::NEW_ADDRESS, message, NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn add_route(&mut self, to: IpAddr, prefix: u8, via: Via, table: u8) -> io::Result<()> {
        self.order(kind::NEW_ROUTE, route(to, prefix, via, table), NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn delete_route(&mut self, to: IpAddr, prefix: u8, via: Via, table: u8) -> io::Result<()> {
        self.order(kind::DELETE_ROUTE, route(to, prefix, via, table), 0)
    }

    /// From now on they are dropped, without an ICMP error.
    pub(crate) fn drop_packets(&mut self, packets: Packets, priority: u32) -> io::Result<()> {
        self.order(kind::NEW_RULE, drop_message(packets, priority), NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn let_pass(&mut self, packets: Packets, priority: u32) -> io::Result<()> {
        self.order(kind::DELETE_RULE, drop_message(packets, priority), 0)
    }

    /// Packets, or those that come in on `from` alone, are looked up in that table, the lowest priority first.
    pub(crate) fn add_rule(
        &mut self,
        family: AddressFamily,
        priority: u32,
        from: Option<&str>,
        table: u8,
    ) -> io::Result<()> {
        let mut rule = rule(family, priority, table);
        rule.attributes.extend(from.map(|from| RuleAttribute::Iifname(from.to_owned())));
        self.order(kind::NEW_RULE, rule, NLM_F_CREATE | NLM_F_EXCL)
    }

    pub(crate) fn delete_rule(&mut self, family: AddressFamily, priority: u32, table: u8) -> io::Result<()> {
        self.order(kind::DELETE_RULE, rule(family, priority, table), 0)
    }
}

fn drop_message(packets: Packets, priority: u32) -> RuleMessage {
    let (Packets::To(address) | Packets::From(address)) = packets;
    let mut rule = rule(family(address), priority, 0);
    rule.header.action = RuleAction::Blackhole;
    rule.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::Table(_)));
    let length = if address.is_ipv4() { 32 } else { 128 };
    match packets {
        Packets::To(_) => {
            rule.header.dst_len = length;
            rule.attributes.push(RuleAttribute::Destination(address));
        }
        Packets::From(_) => {
            rule.header.src_len = length;
            rule.attributes.push(RuleAttribute::Source(address));
        }
    }
    rule
}

fn route(to: IpAddr, prefix: u8, via: Via, table: u8) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family(to);
    route.header.destination_prefix_length = prefix;
    route.header.table = table;
    route.header.protocol = RouteProtocol::Static;
    if prefix > 0 {
        route.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    }
    match via {
        Via::Here => {
            (route.header.kind, route.header.scope) = (RouteType::Local, RouteScope::Host);
            route.attributes.push(RouteAttribute::Oif(LOOPBACK));
        }
        Via::Nowhere => {
            (route.header.kind, route.header.scope) = (RouteType::Unreachable, RouteScope::Universe);
        }
        Via::Router { link, router, source } => {
            (route.header.kind, route.header.scope) = (RouteType::Unicast, RouteScope::Universe);
            route.attributes.push(RouteAttribute::Gateway(RouteAddress::from(router)));
            route.attributes.push(RouteAttribute::Oif(link));
            route.attributes.extend(source.map(|source| RouteAttribute::PrefSource(RouteAddress::from(source))));
        }
    }
    route
}

fn rule(family: AddressFamily, priority: u32, table: u8) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header.family = family;
    rule.header.table = table;
    rule.header.action = RuleAction::ToTable;
    rule.attributes = vec![RuleAttribute::Priority(priority), RuleAttribute::Table(u32::from(table))];
    rule
}

pub(crate) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
