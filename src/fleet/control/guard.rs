//! Who may ask and who may change something. Pages of other sites may not, also those that give their name our address (DNS
//! rebinding); other users of this machine may look, and other machines need the token for everything.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use rustix::process::getuid;

use crate::fleet::control::{Door, page, problem};

/// Lets a request in or refuses it.
pub async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    if !door.open && !names_this_machine(host) {
        return problem(StatusCode::FORBIDDEN, "the Host header must be a loopback address or localhost");
    }
    if headers.get(header::ORIGIN).is_some_and(|origin| !is_own(origin.as_bytes(), host)) {
        return problem(StatusCode::FORBIDDEN, "pages of other sites are not answered");
    }
    let public = request.method().is_safe() && (!door.open || page::is_part(request.uri().path()));
    if public || bears(headers, &door.token) {
        return next.run(request).await;
    }
    problem(
        StatusCode::UNAUTHORIZED,
        "this needs `Authorization: Bearer` with the token of the fleet's run file, which the live view has in the address that \
         the fleet printed",
    )
}

/// An Origin that is the site which Host names.
fn is_own(origin: &[u8], host: &[u8]) -> bool {
    let site = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    site.is_some_and(|site| site.eq_ignore_ascii_case(host))
}

fn names_this_machine(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")).is_some_and(|given| {
        // In a time that does not depend on how much of it is right.
        let differences = given.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        given.len() == token.len() && differences == 0
    })
}

/// Whether the other end of a connection is a process of this user, or of root, on this machine.
pub fn is_of_this_user(peer: SocketAddr, own: SocketAddr) -> bool {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let user = tables.iter().find_map(|table| user_of(table, peer, own));
    user.is_some_and(|user| user == 0 || user == getuid().as_raw())
}

/// The user who holds the connection from `peer` to `own`, in the kernel's table of connections.
fn user_of(table: &str, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next()?, fields.next()?);
        let fits = as_in_table(peer).contains(&local.to_owned()) && as_in_table(own).contains(&remote.to_owned());
        // After the state, the queues, the timer and the retransmissions.
        fits.then(|| fields.nth(4)?.parse().ok()).flatten()
    })
}

/// An address as the kernel's tables write it, of IPv4 in both of them: words in this machine's order, in hexadecimal.
fn as_in_table(address: SocketAddr) -> Vec<String> {
    let word =
        |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).map_or(String::new(), |word| format!("{word:08X}"));
    let words = |octets: &[u8]| format!("{}:{:04X}", octets.chunks(4).map(word).collect::<String>(), address.port());
    match address.ip().to_canonical() {
        IpAddr::V4(v4) => vec![words(&v4.octets()), words(&v4.to_ipv6_mapped().octets())],
        IpAddr::V6(v6) => vec![words(&v6.octets())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_let_in() {
        for host in ["localhost", "LOCALHOST:9000", "127.0.0.1:9000", "[::1]:9000", "127.8.8.8"] {
            assert!(names_this_machine(host.as_bytes()), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9000", "10.0.0.1", "[::2]"] {
            assert!(!names_this_machine(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_has_another_origin() {
        for (origin, own) in [
            ("http://127.0.0.1:9000", true),
            ("https://127.0.0.1:9000", true),
            ("http://127.0.0.1:9001", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            assert_eq!(is_own(origin.as_bytes(), b"127.0.0.1:9000"), own, "{origin}");
        }
    }

    #[test]
    fn the_user_of_a_connection_is_found_in_the_kernels_table() {
        const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n   \
            1: 0100007F:C001 0100007F:2328 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1\n";
        let address = |text: &str| text.parse().unwrap();
        let own = address("127.0.0.1:9000");
        if cfg!(target_endian = "little") {
            assert_eq!(user_of(TABLE, address("127.0.0.1:49153"), own), Some(1000));
        }
        assert_eq!(user_of(TABLE, address("127.0.0.1:49154"), own), None);
        let (listener, client) = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (listener, client)
        };
        assert!(is_of_this_user(client.local_addr().unwrap(), listener.local_addr().unwrap()));
    }

    #[test]
    fn only_the_whole_token_opens() {
        let bearing = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bears(&headers, "abc")
        };
        assert!(bearing("Bearer abc"));
        for value in ["Bearer ab", "Bearer abcd", "Bearer abd", "Bearer ", "abc", "Basic abc"] {
            assert!(!bearing(value), "{value}");
        }
        assert!(!bears(&HeaderMap::new(), "abc"));
    }
}
