//! Orders to the kernel about the network of one namespace, one at a time, each acknowledged.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily as Family, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::message::{ANEW, AddressFamily, NetlinkMessage, Order, attribute, outcome, pair};

/// The loopback interface of every network namespace.
pub(crate) const LOOPBACK: u32 = 1;
/// The table of addresses that are this namespace's own.
pub(crate) const LOCAL: u8 = 255;
/// The table of all other routes.
pub(crate) const MAIN: u8 = 254;

/// Numbers of linux/rtnetlink.h and linux/fib_rules.h.
mod code {
    /// An IPv6 address is not looked for on the link before it is used.
    pub(super) const NO_DAD: u8 = 2;
    /// Whoever made a route: an administrator.
    pub(super) const STATIC: u8 = 4;
    pub(super) const UNIVERSE: u8 = 0;
    pub(super) const HOST: u8 = 254;
    pub(super) const UNICAST: u8 = 1;
    pub(super) const LOCAL: u8 = 2;
    pub(super) const UNREACHABLE: u8 = 7;
    pub(super) const LOOK_UP: u8 = 1;
    pub(super) const BLACKHOLE: u8 = 6;
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

    fn order(&mut self, message: NetlinkMessage) -> io::Result<()> {
        self.sequence += 1;
        let bytes = message.finish(self.sequence);
        sendto(&self.socket, &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answer = vec![0; 16 << 10];
        let (length, _) = recv(&self.socket, answer.as_mut_slice(), RecvFlags::empty())?;
        match outcome(&answer[..length]) {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(error)),
            None => Err(io::Error::other("expected an acknowledgement from the kernel")),
        }
    }

    /// A pair of links, one here and one in that namespace, with the same number in both.
    pub(crate) fn add_pair(&mut self, index: u32, here: &str, there: &str, other: BorrowedFd) -> io::Result<()> {
        let link = NetlinkMessage::of_link(Order::NewLink, ANEW, index)
            .text(attribute::LINK_NAME, here)
            .attribute(attribute::LINK_INFO, &pair(index, there, other.as_raw_fd()));
        self.order(link)
    }

    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        self.order(NetlinkMessage::of_link_up(index))
    }

    /// An address that is in use at once: nobody else is asked whether it has it.
    pub(crate) fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let flags = if address.is_ipv6() { code::NO_DAD } else { 0 };
        let message = NetlinkMessage::of_address(family(address), prefix, flags, index)
            .address(attribute::LOCAL_ADDRESS, address)
            .address(attribute::ADDRESS, address);
        self.order(message)
    }

    pub(crate) fn add_route(&mut self, to: IpAddr, prefix: u8, via: Via, table: u8) -> io::Result<()> {
        self.order(route(Order::NewRoute, ANEW, to, prefix, via, table))
    }

    pub(crate) fn delete_route(&mut self, to: IpAddr, prefix: u8, via: Via, table: u8) -> io::Result<()> {
        self.order(route(Order::DeleteRoute, 0, to, prefix, via, table))
    }

    /// From now on they are dropped, without an ICMP error.
    pub(crate) fn drop_packets(&mut self, packets: Packets, priority: u32) -> io::Result<()> {
        self.order(drop_rule(Order::NewRule, ANEW, packets, priority))
    }

    pub(crate) fn let_pass(&mut self, packets: Packets, priority: u32) -> io::Result<()> {
        self.order(drop_rule(Order::DeleteRule, 0, packets, priority))
    }

    /// Packets, or those that come in on `from` alone, are looked up in that table, the lowest priority first.
    pub(crate) fn add_rule(
        &mut self,
        family: AddressFamily,
        priority: u32,
        from: Option<&str>,
        table: u8,
    ) -> io::Result<()> {
        let mut rule = rule(Order::NewRule, ANEW, family, priority, table);
        if let Some(from) = from {
            rule = rule.text(attribute::RULE_LINK_NAME, from);
        }
        self.order(rule)
    }

    pub(crate) fn delete_rule(&mut self, family: AddressFamily, priority: u32, table: u8) -> io::Result<()> {
        self.order(rule(Order::DeleteRule, 0, family, priority, table))
    }
}

fn drop_rule(order: Order, flags: u16, packets: Packets, priority: u32) -> NetlinkMessage {
    let (Packets::To(address) | Packets::From(address)) = packets;
    let length = if address.is_ipv4() { 32 } else { 128 };
    let (to, from, name) = match packets {
        Packets::To(_) => (length, 0, attribute::RULE_TO),
        Packets::From(_) => (0, length, attribute::RULE_FROM),
    };
    let head = [family(address) as u8, to, from, 0, 0, 0, 0, code::BLACKHOLE];
    NetlinkMessage::of_route(order, flags, head).number(attribute::RULE_PRIORITY, priority).address(name, address)
}

fn route(order: Order, flags: u16, to: IpAddr, prefix: u8, via: Via, table: u8) -> NetlinkMessage {
    let (scope, kind) = match via {
        Via::Here => (code::HOST, code::LOCAL),
        Via::Nowhere => (code::UNIVERSE, code::UNREACHABLE),
        Via::Router { .. } => (code::UNIVERSE, code::UNICAST),
    };
    let head = [family(to) as u8, prefix, 0, 0, table, code::STATIC, scope, kind];
    let mut route = NetlinkMessage::of_route(order, flags, head);
    if prefix > 0 {
        route = route.address(attribute::ROUTE_TO, to);
    }
    match via {
        Via::Here => route.number(attribute::ROUTE_LINK, LOOPBACK),
        Via::Nowhere => route,
        Via::Router { link, router, source } => {
            let route = route.address(attribute::ROUTE_ROUTER, router).number(attribute::ROUTE_LINK, link);
            match source {
                Some(source) => route.address(attribute::ROUTE_SOURCE, source),
                None => route,
            }
        }
    }
}

fn rule(order: Order, flags: u16, family: AddressFamily, priority: u32, table: u8) -> NetlinkMessage {
    NetlinkMessage::of_route(order, flags, [family as u8, 0, 0, 0, table, 0, 0, code::LOOK_UP])
        .number(attribute::RULE_PRIORITY, priority)
        .number(attribute::RULE_TABLE, u32::from(table))
}

pub(crate) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
