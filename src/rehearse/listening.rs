//! Who listens where in this network, as `/proc/net/tcp` and `tcp6` list it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const LISTEN: &str = "0A";

/// The addresses with a listener in one of these files.
pub(crate) fn listeners(text: &str) -> Vec<SocketAddr> {
    let line = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _, state) = (words.next()?, words.next()?, words.next()?);
        address(local).filter(|_| state == LISTEN)
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// Words of 32 bits in the order of this machine, the port as it is read.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<[u8; 4]>> = (0..ip.len() / 8)
        .map(|at| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect();
    let bytes: Vec<u8> = words?.concat();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The address to connect to on a port where several listen: any at all before one in particular.
pub(crate) fn choose(all: &[SocketAddr], port: u16) -> Option<SocketAddr> {
    let mut there: Vec<SocketAddr> = all.iter().copied().filter(|address| address.port() == port).collect();
    there.sort_by_key(|address| (!address.ip().is_unspecified(), address.is_ipv6(), !address.ip().is_loopback()));
    let first = *there.first()?;
    let ip = match first.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_from_connections() {
        let text = "  sl  local_address rem_address   st tx_queue\n   0: 00000000:0050 00000000:0000 0A 00000000:00000000\n   \
                    1: 0100007F:1F90 00000000:0000 0A 0\n   2: 0100007F:1F90 0100007F:9C40 01 0\n";
        let all: Vec<String> = listeners(text).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["0.0.0.0:80", "127.0.0.1:8080"]);
        let text = "head\n 0: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(listeners(text), ["[::1]:81".parse().unwrap()]);
    }

    #[test]
    fn one_connects_to_any_address_first() {
        let all: Vec<SocketAddr> =
            ["203.0.113.10:80", "0.0.0.0:80", "[::]:443", "203.0.113.10:8443"].map(|it| it.parse().unwrap()).to_vec();
        let chosen = |port| choose(&all, port).map(|it| it.to_string());
        assert_eq!(chosen(80).as_deref(), Some("127.0.0.1:80"));
        assert_eq!(chosen(443).as_deref(), Some("[::1]:443"));
        assert_eq!(chosen(8443).as_deref(), Some("203.0.113.10:8443"));
        assert_eq!(chosen(22), None);
    }
}
