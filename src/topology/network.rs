//! A network of clients' addresses, such as `203.0.113.0/24`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// At least 254 addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClientNetwork {
    first: u32,
    prefix: u8,
}

impl ClientNetwork {
    /// Its own address, and the length of its prefix.
    pub(crate) fn route(self) -> (IpAddr, u8) {
        (Ipv4Addr::from(self.first).into(), self.prefix)
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if u32::from(address) & self.mask() == self.first)
    }

    /// Whether clients can be in many networks of 256 addresses: hashes that leave out the last number see no difference in one.
    pub(crate) fn has_networks(self) -> bool {
        self.prefix <= 19
    }

    fn mask(self) -> u32 {
        u32::MAX << (32 - self.prefix)
    }

    /// The address here for one of 127.0.0.0/16: different ones for different ones, in different networks of 256 addresses for different
    /// ones of these, as far as there are any.
    pub(crate) fn of_loopback(self, address: Ipv4Addr) -> Ipv4Addr {
        let [_, _, network, host] = address.octets().map(u32::from);
        let networks = 1 << (24 - self.prefix).min(8);
        // Neither the network's own address nor that of all.
        let host = 1 + (host + network / networks).wrapping_sub(1) % 254;
        Ipv4Addr::from(self.first | (network % networks) << 8 | host)
    }
}

impl FromStr for ClientNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<ClientNetwork, String> {
        let expected = || {
            format!(
                "expected a network of IPv4 with at least 254 addresses and none of 127.0.0.0/8, such as 203.0.113.0/24, found {text:?}"
            )
        };
        let (address, prefix) = text.split_once('/').ok_or_else(expected)?;
        let address: Ipv4Addr = address.parse().map_err(|_| expected())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (8..=24).contains(prefix)).ok_or_else(expected)?;
        let network = ClientNetwork { first: 0, prefix };
        if address.is_loopback() || address.is_multicast() || address.is_unspecified() {
            return Err(expected());
        }
        Ok(ClientNetwork { first: u32::from(address) & network.mask(), prefix })
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_client_has_an_address_of_its_own_and_each_network_too_if_there_are_any() {
        for text in ["203.0.113.0/24", "10.8.0.0/16", "10.0.0.0/8", "198.51.96.0/20"] {
            let network: ClientNetwork = text.parse().unwrap();
            let networks: BTreeSet<Ipv4Addr> =
                (1..=64).map(|a| network.of_loopback(Ipv4Addr::new(127, 0, a, 1))).collect();
            let hosts: BTreeSet<Ipv4Addr> =
                (2..=65).map(|b| network.of_loopback(Ipv4Addr::new(127, 0, 0, b))).collect();
            assert_eq!((networks.len(), hosts.len()), (64, 64), "{text}");
            assert!(networks.iter().chain(&hosts).all(|it| network.contains((*it).into())), "{text}: {networks:?}");
            assert!(hosts.iter().all(|it| it.octets()[..3] == hosts.first().unwrap().octets()[..3]), "{text}");
        }
        let network: ClientNetwork = "10.8.0.0/16".parse().unwrap();
        assert_eq!(network.of_loopback(Ipv4Addr::new(127, 0, 7, 9)), Ipv4Addr::new(10, 8, 7, 9));
    }

    #[test]
    fn what_is_no_network_of_clients_is_refused() {
        assert_eq!("203.0.113.77/24".parse::<ClientNetwork>().unwrap().to_string(), "203.0.113.0/24");
        for text in
            ["", "203.0.113.0", "203.0.113.0/25", "203.0.113.0/0", "127.0.0.0/8", "224.0.0.0/8", "fd00::/64", "a/24"]
        {
            assert!(text.parse::<ClientNetwork>().unwrap_err().contains("such as 203.0.113.0/24"), "{text}");
        }
    }
}
