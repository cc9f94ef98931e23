//! What a balancer says of its client at the start of a connection: the PROXY protocol, versions 1 and 2
//! (<https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>). The extensions of version 2 are skipped, its checksum too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use crate::Malformed;

/// How a connection begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opening {
    /// The connection begins with a request, without a PROXY header.
    Request,
    /// With a header of this length in bytes.
    Header {
        /// Then the requests begin.
        bytes: usize,
        /// None if the sender speaks for itself, as with its health probes, or does not know.
        client: Option<ProxiedClient>,
    },
}

/// The client that a header tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxiedClient {
    /// By TCP or UDP. IPv4 in IPv6 is IPv4.
    Address(SocketAddr),
    /// It came by a unix socket.
    Unix,
}

const START: &[u8] = b"PROXY ";
/// The longest header of version 1, with its CRLF (section 2.1).
const LONGEST: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest addresses, those of unix sockets, end after 232 bytes; the others are for extensions.
const LONGEST_BINARY: usize = 2048;

/// Reads how a connection begins from all that has come; `None` if that is not enough to know.
pub fn parse(bytes: &[u8]) -> Result<Option<Opening>, Malformed> {
    if bytes.starts_with(START) {
        return line(bytes);
    }
    if bytes.starts_with(SIGNATURE) {
        return block(bytes);
    }
    let may_become_one = START.starts_with(bytes) || SIGNATURE.starts_with(bytes);
    Ok((!may_become_one).then_some(Opening::Request))
}

/// Whether such a header stands where a request should; that of version 2 without the empty lines at its start, which a reader skips.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    bytes.starts_with(START) || bytes.starts_with(SIGNATURE.trim_ascii_start())
}

/// Whether, after empty lines, this may be the rest of such a start.
pub(crate) fn may_follow_empty_lines(bytes: &[u8]) -> bool {
    let rest = SIGNATURE.trim_ascii_start();
    !bytes.is_empty() && bytes.len() < rest.len() && rest.starts_with(bytes)
}

/// Appends a header of version 2 for a connection between these addresses; of two families, both count as IPv6.
pub fn write(out: &mut Vec<u8>, source: SocketAddr, destination: SocketAddr) {
    out.extend_from_slice(SIGNATURE);
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
        }
        (from, to) => {
            let octets = |ip| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&octets(from));
            out.extend_from_slice(&octets(to));
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

/// Version 1, section 2.1.
fn line(bytes: &[u8]) -> Result<Option<Opening>, Malformed> {
    let Some(end) = bytes.iter().take(LONGEST).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST { Ok(None) } else { Err(Malformed::ProxyLineTooLong) };
    };
    let line = bytes[START.len()..end].strip_suffix(b"\r").ok_or(Malformed::ProxyLine)?;
    let line = str::from_utf8(line).map_err(|_| Malformed::ProxyLine)?;
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    let client = match family {
        "TCP4" => Some(source::<Ipv4Addr>(rest)?),
        "TCP6" => Some(source::<Ipv6Addr>(rest)?),
        // Whatever follows says nothing.
        "UNKNOWN" => None,
        _ => return Err(Malformed::ProxyLine),
    };
    Ok(Some(Opening::Header { bytes: end + 1, client }))
}

/// Of source, destination, and a port of each.
fn source<Ip: FromStr + Into<IpAddr>>(text: &str) -> Result<ProxiedClient, Malformed> {
    let parts: Vec<&str> = text.split(' ').collect();
    let &[source, destination, source_port, destination_port] = parts.as_slice() else {
        return Err(Malformed::ProxyLine);
    };
    let ip = |text: &str| text.parse::<Ip>().map_err(|_| Malformed::ProxyLine);
    ip(destination)?;
    port(destination_port)?;
    Ok(address(ip(source)?, port(source_port)?))
}

/// Without a sign and without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| plain).ok_or(Malformed::ProxyLine)
}

/// Version 2, section 2.2.
fn block(bytes: &[u8]) -> Result<Option<Opening>, Malformed> {
    let Some((&[.., command, family, high, low], rest)) = bytes.split_first_chunk::<16>() else { return Ok(None) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        0x22..=0x2f => return Err(Malformed::ProxyCommand),
        _ => return Err(Malformed::ProxyVersion),
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let all = 16 + length;
    if all > LONGEST_BINARY {
        return Err(Malformed::ProxyTooLong);
    }
    let Some(told) = rest.get(..length) else { return Ok(None) };
    let client = if is_local { None } else { client(family, told)? };
    Ok(Some(Opening::Header { bytes: all, client }))
}

/// Families and transports are told by four bits each.
fn client(family_and_transport: u8, told: &[u8]) -> Result<Option<ProxiedClient>, Malformed> {
    let port = |high, low| u16::from_be_bytes([high, low]);
    match (family_and_transport >> 4, family_and_transport & 0xf) {
        (0, 0..=2) | (1..=3, 0) => Ok(None),
        (1, 1 | 2) => {
            let [a, b, c, d, _, _, _, _, high, low, _, _, ..] = *told else { return Err(Malformed::ProxyTooShort) };
            Ok(Some(address(Ipv4Addr::new(a, b, c, d), port(high, low))))
        }
        (2, 1 | 2) => {
            let Some((source, &[.., high, low, _, _])) = told.first_chunk::<36>().and_then(|it| it.split_first_chunk())
            else {
                return Err(Malformed::ProxyTooShort);
            };
            Ok(Some(address(Ipv6Addr::from(*source), port(high, low))))
        }
        (3, 1 | 2) if told.len() < 216 => Err(Malformed::ProxyTooShort),
        (3, 1 | 2) => Ok(Some(ProxiedClient::Unix)),
        _ => Err(Malformed::ProxyFamily),
    }
}

/// As records have it: IPv4 in IPv6 is IPv4.
fn address(ip: impl Into<IpAddr>, port: u16) -> ProxiedClient {
    ProxiedClient::Address(SocketAddr::new(ip.into().to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn header(bytes: usize, client: &str) -> Result<Option<Opening>, Malformed> {
        Ok(Some(Opening::Header { bytes, client: client.parse().ok().map(ProxiedClient::Address) }))
    }

    #[test]
    fn version_1_tells_the_client() {
        for (text, client) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "192.0.2.1:56324"),
            ("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"),
            ("PROXY TCP6 2001:db8::1 ::1 0 80\r\n", "[2001:db8::1]:0"),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 5 80\r\n", "192.0.2.1:5"),
            ("PROXY UNKNOWN\r\n", "none"),
            ("PROXY UNKNOWN whatever it says\r\n", "none"),
        ] {
            assert_eq!(parse(text.as_bytes()), header(text.len(), client), "{text:?}");
            assert_eq!(parse(format!("{text}GET /").as_bytes()), header(text.len(), client), "{text:?}");
        }
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(LONGEST - 16));
        assert_eq!(parse(longest.as_bytes()), header(LONGEST, "none"));
    }

    #[test]
    fn version_1_is_refused_unless_it_is_exact() {
        for text in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +56324 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 056324 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 00 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 56324 443\r\n",
            "PROXY TCP4 192.0.2 192.0.2.2 56324 443\r\n",
            "PROXY TCP4 ::1 ::1 56324 443\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 56324 443\r\n",
            "PROXY TCP6 ::1 x 56324 443\r\n",
            "PROXY TCP5 ::1 ::1 56324 443\r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 56324 443\r\n",
            "PROXY \r\n",
            "PROXY / HTTP/1.1\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed::ProxyLine), "{text:?}");
        }
        assert_eq!(parse(b"PROXY UNKNOWN \xff\r\n"), Err(Malformed::ProxyLine));
        let long = format!("PROXY UNKNOWN {}", "f".repeat(LONGEST));
        assert_eq!(parse(&long.as_bytes()[..LONGEST - 1]), Ok(None));
        assert_eq!(parse(&long.as_bytes()[..LONGEST]), Err(Malformed::ProxyLineTooLong));
        assert_eq!(parse(format!("{}\r\n", &long[..LONGEST - 1]).as_bytes()), Err(Malformed::ProxyLineTooLong));
    }

    /// With a length that is right.
    fn binary(command: u8, family: u8, told: &[u8]) -> Vec<u8> {
        let length = u16::try_from(told.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, told].concat()
    }

    #[test]
    fn version_2_tells_the_client() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 1, 187];
        let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], &[9; 16][..], &[0xdc, 4, 1, 187]].concat();
        let extended = [&v4[..], &[4, 0, 2, 7, 7]].concat();
        for (command, family, told, client) in [
            (0x21, 0x11, &v4[..], "192.0.2.1:56324"),
            (0x21, 0x12, &v4, "192.0.2.1:56324"),
            (0x21, 0x11, &extended, "192.0.2.1:56324"),
            (0x21, 0x21, &v6, "[2001:db8::1]:56324"),
            (0x20, 0x00, &[], "none"),
            (0x20, 0x11, &v4, "none"),
            (0x20, 0xff, &[1, 2, 3], "none"),
            (0x21, 0x00, &[], "none"),
            (0x21, 0x00, &[1, 2, 3], "none"),
            (0x21, 0x10, &v4, "none"),
        ] {
            let bytes = binary(command, family, told);
            assert_eq!(parse(&bytes), header(bytes.len(), client), "{command:x} {family:x} {told:?}");
        }
        let unix = binary(0x21, 0x31, &[b'/'; 216]);
        assert_eq!(parse(&unix), Ok(Some(Opening::Header { bytes: unix.len(), client: Some(ProxiedClient::Unix) })));
    }

    #[test]
    fn version_2_is_refused_when_it_breaks_its_word_and_before_the_rest_has_come_if_it_can_be() {
        for (bytes, refusal) in [
            (binary(0x11, 0x11, &[0; 12]), Malformed::ProxyVersion),
            (binary(0x31, 0x11, &[0; 12]), Malformed::ProxyVersion),
            (binary(0x22, 0x11, &[0; 12]), Malformed::ProxyCommand),
            (binary(0x21, 0x13, &[0; 12]), Malformed::ProxyFamily),
            (binary(0x21, 0x41, &[0; 216]), Malformed::ProxyFamily),
            (binary(0x21, 0x11, &[0; 11]), Malformed::ProxyTooShort),
            (binary(0x21, 0x21, &[0; 35]), Malformed::ProxyTooShort),
            (binary(0x21, 0x31, &[0; 215]), Malformed::ProxyTooShort),
        ] {
            assert_eq!(parse(&bytes), Err(refusal), "{bytes:?}");
        }
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 2033])[..16]), Err(Malformed::ProxyTooLong));
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 2032])[..16]), Ok(None));
        assert!(matches!(parse(&binary(0x21, 0x11, &[0; 2032])), Ok(Some(Opening::Header { bytes: 2048, .. }))));
    }

    #[test]
    fn what_begins_otherwise_is_a_request() {
        for text in
            ["GET / HTTP/1.1\r\n", "POST", "PR/", "\r\nGET", "\r\n\r\nGET", "\n", "\r\n\r\n\0\r\nQUIT\r", "x", "\x16"]
        {
            assert_eq!(parse(text.as_bytes()), Ok(Some(Opening::Request)), "{text:?}");
        }
        for text in ["", "P", "PROXY", "\r", "\r\n\r\n", "\r\n\r\n\0\r\nQUIT"] {
            assert_eq!(parse(text.as_bytes()), Ok(None), "{text:?}");
        }
    }

    fn any_header() -> impl Strategy<Value = (Vec<u8>, SocketAddr)> {
        let ends = any::<bool>().prop_flat_map(|v6| {
            if v6 {
                any::<[Ipv6Addr; 2]>().prop_map(|ips| ips.map(IpAddr::V6)).boxed()
            } else {
                any::<[Ipv4Addr; 2]>().prop_map(|ips| ips.map(IpAddr::V4)).boxed()
            }
        });
        (ends, any::<[u16; 2]>(), proptest::option::of(vec(any::<u8>(), 0..300))).prop_map(
            |([source, destination], ports, extensions)| {
                let client = SocketAddr::new(source.to_canonical(), ports[0]);
                let Some(extensions) = extensions else {
                    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
                    let line = format!("PROXY {family} {source} {destination} {} {}\r\n", ports[0], ports[1]);
                    return (line.into_bytes(), client);
                };
                let octets = |ip| match ip {
                    IpAddr::V4(v4) => v4.octets().to_vec(),
                    IpAddr::V6(v6) => v6.octets().to_vec(),
                };
                let ports = ports.map(u16::to_be_bytes).concat();
                let told = [octets(source), octets(destination), ports, extensions].concat();
                (binary(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &told), client)
            },
        )
    }

    proptest! {
        #[test]
        fn a_header_that_was_written_is_read(source: (IpAddr, u16), destination: (IpAddr, u16)) {
            let mut bytes = Vec::new();
            let [source, destination] = [source, destination].map(|(ip, port)| SocketAddr::new(ip, port));
            write(&mut bytes, source, destination);
            let client = SocketAddr::new(source.ip().to_canonical(), source.port());
            let expected = Opening::Header { bytes: bytes.len(), client: Some(ProxiedClient::Address(client)) };
            prop_assert_eq!(parse(&bytes), Ok(Some(expected)));
        }

        #[test]
        fn a_header_is_read_to_its_end_and_not_before((header, client) in any_header(), rest in vec(any::<u8>(), 0..50)) {
            for part in 0..header.len() {
                prop_assert_eq!(parse(&header[..part]), Ok(None));
            }
            let whole = [&header[..], &rest].concat();
            let expected = Opening::Header { bytes: header.len(), client: Some(ProxiedClient::Address(client)) };
            prop_assert_eq!(parse(&whole), Ok(Some(expected)));
        }

        #[test]
        fn a_header_is_never_longer_than_what_has_come_nor_than_its_bound(
            start in prop_oneof![Just(START), Just(SIGNATURE), Just(&b"PROXY TCP4 1.1.1.1"[..])],
            rest in vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            match parse(&bytes) {
                Ok(Some(Opening::Header { bytes: length, .. })) => prop_assert!(length <= bytes.len()),
                Ok(Some(Opening::Request)) => prop_assert!(false, "it began as a header"),
                Ok(None) => prop_assert!(bytes.len() < LONGEST_BINARY),
                Err(_) => {}
            }
        }
    }
}
