//! Two networks and the link between them. In the *balancer's* network a program finds the addresses of this machine; whatever else it
//! connects to leads into the *backends'* network, to which every address in the world belongs (AnyIP), so that a listener can have
//! any. What leaves there goes back to the balancer, also to addresses that the network would call its own.

use std::fs::{self, File};
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netlink::{LOCAL, LOOPBACK, MAIN, Netlink, Packets, Via, family};

/// The network to which every other address belongs, for [`within`].
pub const BACKENDS_NETWORK: &str = "/run/world/backends";
/// The network of the command itself.
pub const BALANCER_NETWORK: &str = "/run/world/balancer";

/// The balancer's own address on the link.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The address of the backends' network on the link, where the world's DNS responds.
pub const BACKENDS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The balancer's end in IPv6.
pub const BALANCER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1);
/// The backends' end; see [`BALANCER_V6`].
pub const BACKENDS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 2);

/// Far above what the kernel makes by itself in a new namespace (tunl0, sit0 …).
const LINK: u32 = 1000;
/// The link in the balancer's network, and in the backends'.
const LINKS: [&str; 2] = ["up0", "down0"];
/// Where answers of the backends' network look up their way.
const BACK: u8 = 200;

/// Both networks: what holds them open.
pub(crate) struct Networks {
    pub(crate) backends: OwnedFd,
}

/// Makes both. This process is in the balancer's afterwards, and in none of the machine's. `own` are the addresses of the machine.
pub(crate) fn make(own: &[IpAddr]) -> io::Result<Networks> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    let balancer = File::open("/proc/self/ns/net")?;
    let mut up = Netlink::open()?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    let backends = OwnedFd::from(File::open("/proc/self/ns/net")?);
    let mut down = Netlink::open()?;
    let v6 = Path::new("/proc/sys/net/ipv6").exists();
    for (name, value) in [("ipv4/conf/all/rp_filter", "0"), ("ipv4/ip_nonlocal_bind", "1")] {
        fs::write(format!("/proc/sys/net/{name}"), value)?;
    }
    if v6 {
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")?;
    }
    setns(&balancer, CloneFlags::CLONE_NEWNET)?;
    up.add_pair(LINK, LINKS[0], LINKS[1], backends.as_fd())?;
    balancers(&mut up, own, v6)?;
    setns(&backends, CloneFlags::CLONE_NEWNET)?;
    fs::write(format!("/proc/sys/net/ipv4/conf/{}/rp_filter", LINKS[1]), "0")?;
    backends_side(&mut down, v6)?;
    setns(&balancer, CloneFlags::CLONE_NEWNET)?;
    Ok(Networks { backends })
}

fn balancers(up: &mut Netlink, own: &[IpAddr], v6: bool) -> io::Result<()> {
    // `listen 203.0.113.10:80` binds although the machine that the file is for is another one.
    fs::write("/proc/sys/net/ipv4/ip_nonlocal_bind", "1")?;
    up.set_up(LOOPBACK)?;
    up.add_address(LINK, BALANCER.into(), 30)?;
    if v6 {
        fs::write("/proc/sys/net/ipv6/ip_nonlocal_bind", "1")?;
        up.add_address(LINK, BALANCER_V6.into(), 126)?;
    }
    up.set_up(LINK)?;
    let router = |router, source| Via::Router { link: LINK, router, source: Some(source) };
    up.add_route(Ipv4Addr::UNSPECIFIED.into(), 0, router(BACKENDS.into(), BALANCER.into()), MAIN)?;
    if v6 {
        up.add_route(Ipv6Addr::UNSPECIFIED.into(), 0, router(BACKENDS_V6.into(), BALANCER_V6.into()), MAIN)?;
    }
    for address in own.iter().filter(|address| v6 || address.is_ipv4()) {
        up.add_address(LOOPBACK, *address, whole(*address))?;
    }
    Ok(())
}

fn backends_side(down: &mut Netlink, v6: bool) -> io::Result<()> {
    down.set_up(LOOPBACK)?;
    down.add_address(LINK, BACKENDS.into(), 30)?;
    if v6 {
        down.add_address(LINK, BACKENDS_V6.into(), 126)?;
    }
    down.set_up(LINK)?;
    // Of each family: every address, the balancer's end, and loopback.
    let v4: (IpAddr, IpAddr, (IpAddr, u8)) =
        (Ipv4Addr::UNSPECIFIED.into(), BALANCER.into(), (Ipv4Addr::new(127, 0, 0, 0).into(), 8));
    let v6 = v6.then(|| (Ipv6Addr::UNSPECIFIED.into(), BALANCER_V6.into(), (Ipv6Addr::LOCALHOST.into(), 128)));
    for (every, router, (loopback, prefix)) in iter::once(v4).chain(v6) {
        down.add_route(every, 0, Via::Here, LOCAL)?;
        down.add_route(loopback, prefix, Via::Here, BACK)?;
        down.add_route(every, 0, Via::Router { link: LINK, router, source: None }, BACK)?;
        // What this network sends itself (its packets come from lo) goes to the balancer; only then is everything its own. The rule
        // that every namespace begins with goes last, or nothing is reachable meanwhile.
        down.add_rule(family(every), 5, Some("lo"), BACK)?;
        down.add_rule(family(every), 10, None, LOCAL)?;
        down.delete_rule(family(every), 0, LOCAL)?;
    }
    Ok(())
}

fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The addresses of this machine that a program may listen on, loopback and links' own apart.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    });
    let ours = |address: &IpAddr| match address {
        IpAddr::V4(it) => !it.is_loopback() && ![BALANCER, BACKENDS].contains(it),
        IpAddr::V6(it) => !it.is_loopback() && !it.is_unicast_link_local() && ![BALANCER_V6, BACKENDS_V6].contains(it),
    };
    let mut addresses: Vec<IpAddr> = addresses.filter(ours).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// Does something in another network: what is opened there stays there, also when it comes back.
pub fn within<T: Send>(network: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let network = File::open(network)?;
    // A thread of its own: it alone changes its network, and ends.
    thread::scope(|scope| {
        let worker = scope.spawn(|| setns(&network, CloneFlags::CLONE_NEWNET).map(|()| work()));
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
    .map_err(io::Error::from)
}

/// A socket that reads every packet on every link of this network.
pub(crate) fn every_packet() -> io::Result<Socket> {
    /// Every protocol, as links number them.
    const ALL: u16 = 3;
    Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(ALL.to_be()))))
}

/// Gives this network an address that a program listens on although the machine lacks it.
pub fn add_address(address: IpAddr) -> io::Result<()> {
    Netlink::open()?.add_address(LOOPBACK, address, whole(address))
}

/// All addresses of a network are this one's: whoever connects may come from any of them.
pub fn add_network(network: IpAddr, prefix: u8) -> io::Result<()> {
    Netlink::open()?.add_route(network, prefix, Via::Here, LOCAL)
}

/// Whether an address belongs to this network: one may bind any.
pub fn is_own(address: IpAddr) -> bool {
    let link: [IpAddr; 2] = [BALANCER.into(), BALANCER_V6.into()];
    address.is_loopback() || link.contains(&address) || addresses().contains(&address)
}

/// The priorities of rules that drop what goes to an address and what comes from it, before all others.
const DROPPED: [u32; 2] = [1, 2];

/// From now on that address of the backends' network is silent: nothing that is sent there arrives, and nothing comes from there.
pub fn silence(address: IpAddr) -> io::Result<()> {
    within(Path::new(BACKENDS_NETWORK), || {
        let mut network = Netlink::open()?;
        network.drop_packets(Packets::To(address), DROPPED[0])?;
        network.drop_packets(Packets::From(address), DROPPED[1])
    })?
}

/// From now on who connects to that address learns at once that there is no way to it.
pub fn bar(address: IpAddr) -> io::Result<()> {
    Netlink::open()?.add_route(address, whole(address), Via::Nowhere, MAIN)
}

/// Ends [`silence`] and [`bar`], if they are in effect.
pub fn reopen(address: IpAddr) -> io::Result<()> {
    let absent = |result: io::Result<()>| match result {
        Err(why) if matches!(why.raw_os_error(), Some(nix::libc::ENOENT | nix::libc::ESRCH)) => Ok(()),
        other => other,
    };
    absent(Netlink::open()?.delete_route(address, whole(address), Via::Nowhere, MAIN))?;
    within(Path::new(BACKENDS_NETWORK), || {
        let mut network = Netlink::open()?;
        absent(network.let_pass(Packets::To(address), DROPPED[0]))?;
        absent(network.let_pass(Packets::From(address), DROPPED[1]))
    })?
}
