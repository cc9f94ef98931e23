//! Messages of rtnetlink(7), as far as a world sends them: headers as the kernel's headers lay them out, and attributes.

use std::net::IpAddr;

/// What a message orders.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    NewLink = 16,
    SetLink = 19,
    NewAddress = 20,
    NewRoute = 24,
    DeleteRoute = 25,
    NewRule = 32,
    DeleteRule = 33,
}

/// Of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AddressFamily {
    Inet = 2,
    Inet6 = 10,
}

/// Names of attributes, which each kind of message numbers anew.
pub(crate) mod attribute {
    pub(crate) const LINK_NAME: u16 = 3;
    pub(crate) const LINK_INFO: u16 = 18;
    pub(crate) const LINK_NAMESPACE: u16 = 28;
    /// Within the information of a link.
    pub(crate) const INFO_KIND: u16 = 1;
    pub(crate) const INFO_DATA: u16 = 2;
    /// Within the data of a pair.
    pub(crate) const PAIR_PEER: u16 = 1;
    pub(crate) const ADDRESS: u16 = 1;
    pub(crate) const LOCAL_ADDRESS: u16 = 2;
    pub(crate) const ROUTE_TO: u16 = 1;
    pub(crate) const ROUTE_LINK: u16 = 4;
    pub(crate) const ROUTE_ROUTER: u16 = 5;
    pub(crate) const ROUTE_SOURCE: u16 = 7;
    pub(crate) const RULE_TO: u16 = 1;
    pub(crate) const RULE_FROM: u16 = 2;
    pub(crate) const RULE_LINK_NAME: u16 = 3;
    pub(crate) const RULE_PRIORITY: u16 = 6;
    pub(crate) const RULE_TABLE: u16 = 15;
}

/// Add only what is not there yet: `NLM_F_CREATE | NLM_F_EXCL`.
pub(crate) const ANEW: u16 = 0x600;
/// `NLM_F_REQUEST | NLM_F_ACK`.
const ACKNOWLEDGED: u16 = 0x005;
/// An acknowledgement, or why there is none: `NLMSG_ERROR`.
const OUTCOME: u16 = 2;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
const FLAG_UP: u32 = 1;

/// A message that grows by its attributes.
pub(crate) struct NetlinkMessage(Vec<u8>);

impl NetlinkMessage {
    /// `flags`: beside that it is a request to be acknowledged.
    fn begin(order: Order, flags: u16) -> NetlinkMessage {
        let mut message = NetlinkMessage(vec![0; HEADER]);
        message.0[4..6].copy_from_slice(&(order as u16).to_ne_bytes());
        message.0[6..8].copy_from_slice(&(ACKNOWLEDGED | flags).to_ne_bytes());
        message
    }

    /// Of a link, by its number.
    pub(crate) fn of_link(order: Order, flags: u16, index: u32) -> NetlinkMessage {
        NetlinkMessage::begin(order, flags).with(&link(index, 0))
    }

    /// Of a link that is to be up.
    pub(crate) fn of_link_up(index: u32) -> NetlinkMessage {
        NetlinkMessage::begin(Order::SetLink, 0).with(&link(index, FLAG_UP))
    }

    /// `struct ifaddrmsg`.
    pub(crate) fn of_address(family: AddressFamily, prefix: u8, flags: u8, index: u32) -> NetlinkMessage {
        NetlinkMessage::begin(Order::NewAddress, ANEW)
            .with(&[family as u8, prefix, flags, 0])
            .with(&index.to_ne_bytes())
    }

    /// `struct rtmsg` and `struct fib_rule_hdr`, which have the same shape.
    pub(crate) fn of_route(order: Order, flags: u16, head: [u8; 8]) -> NetlinkMessage {
        NetlinkMessage::begin(order, flags).with(&head).with(&[0; 4])
    }

    fn with(mut self, bytes: &[u8]) -> NetlinkMessage {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds an attribute.
    pub(crate) fn attribute(mut self, name: u16, value: &[u8]) -> NetlinkMessage {
        put_attribute(&mut self.0, name, value);
        self
    }

    pub(crate) fn number(self, name: u16, value: u32) -> NetlinkMessage {
        self.attribute(name, &value.to_ne_bytes())
    }

    pub(crate) fn address(self, name: u16, address: IpAddr) -> NetlinkMessage {
        match address {
            IpAddr::V4(address) => self.attribute(name, &address.octets()),
            IpAddr::V6(address) => self.attribute(name, &address.octets()),
        }
    }

    pub(crate) fn text(self, name: u16, text: &str) -> NetlinkMessage {
        self.attribute(name, &terminated(text))
    }

    /// Its bytes, with its length and that number.
    pub(crate) fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// The other end of a pair of links, as an attribute of this one holds it: its number, its name and its namespace.
pub(crate) fn pair(peer: u32, name: &str, namespace: i32) -> Vec<u8> {
    let mut end = link(peer, 0).to_vec();
    put_attribute(&mut end, attribute::LINK_NAME, &terminated(name));
    put_attribute(&mut end, attribute::LINK_NAMESPACE, &namespace.to_ne_bytes());
    let (mut data, mut info) = (Vec::new(), Vec::new());
    put_attribute(&mut data, attribute::PAIR_PEER, &end);
    put_attribute(&mut info, attribute::INFO_KIND, &terminated("veth"));
    put_attribute(&mut info, attribute::INFO_DATA, &data);
    info
}

/// `struct ifinfomsg`. The flags are those that are set, and no others change.
fn link(index: u32, flags: u32) -> [u8; 16] {
    let mut link = [0; 16];
    link[4..8].copy_from_slice(&index.to_ne_bytes());
    link[8..12].copy_from_slice(&flags.to_ne_bytes());
    link[12..].copy_from_slice(&flags.to_ne_bytes());
    link
}

/// Each begins at a multiple of four bytes.
fn put_attribute(out: &mut Vec<u8>, name: u16, value: &[u8]) {
    out.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
    out.extend_from_slice(&name.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn terminated(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// What the kernel answers to an order: the number of an error, 0 for none. `None`: it is no answer to an order.
pub(crate) fn outcome(answer: &[u8]) -> Option<i32> {
    let kind = answer.get(4..6)?;
    let code = answer.get(HEADER..)?.first_chunk()?;
    (kind == OUTCOME.to_ne_bytes()).then(|| -i32::from_ne_bytes(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn an_order_is_laid_out_as_the_kernel_reads_it() {
        let order = NetlinkMessage::of_route(Order::NewRule, ANEW, [2, 32, 0, 0, 0, 0, 0, 6])
            .number(attribute::RULE_PRIORITY, 7)
            .address(attribute::RULE_TO, [10, 0, 0, 1].into())
            .text(attribute::RULE_LINK_NAME, "lo");
        let expected = [
            &[52, 0, 0, 0, 32, 0, 5, 6, 9, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 32, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0],
            &[8, 0, 6, 0, 7, 0, 0, 0, 8, 0, 1, 0, 10, 0, 0, 1],
            &[7, 0, 3, 0, b'l', b'o', 0, 0],
        ];
        assert_eq!(order.finish(9), expected.concat());
    }

    #[test]
    fn an_acknowledgement_says_which_error_there_was() {
        let answer =
            |kind: u16, code: i32| [&[0; 4][..], &kind.to_ne_bytes(), &[0; 10], &code.to_ne_bytes(), &[0; 16]].concat();
        assert_eq!(outcome(&answer(2, 0)), Some(0));
        assert_eq!(outcome(&answer(2, -17)), Some(17));
        assert_eq!(outcome(&answer(16, 0)), None);
        assert_eq!(outcome(&answer(2, 0)[..18]), None);
    }
}
