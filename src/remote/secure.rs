//! The status with which a URL of `https` responds. Like the probes of Kubernetes it verifies no certificate: it asks whether a backend
//! is ready, not who it is. It blocks, for at most as long as it is given at each step.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use http::RequestContext;
use http::h1::client::{Receiver, ResponseEvent, ResponseProgress};
use rustls::pki_types::ServerName;

use crate::io::tls::{Tls, TlsFailure};
use crate::remote::exchange::{AfterResponse, ApiRequest, HEAD_LIMIT, NoResponse};

pub(super) fn status_of(request: &ApiRequest, patience: Duration) -> Result<u16, NoResponse> {
    let in_tls =
        |error: std::io::Error| TlsFailure::within(&error).map_or(NoResponse::Connection(error), NoResponse::Tls);
    let authority = request.url.authority().ok_or(NoResponse::Host)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| NoResponse::Host)?;
    let socket = connect(host, authority.port_u16().unwrap_or(443), patience)?;
    socket.set_read_timeout(Some(patience))?;
    socket.set_write_timeout(Some(patience))?;
    let mut stream = Tls::trusting_anyone(name).over(socket)?;
    stream.write_all(&request.encode(authority.as_str(), AfterResponse::Close)).map_err(in_tls)?;
    let mut receiver = Receiver::new(HEAD_LIMIT);
    receiver.begin(RequestContext::Other);
    let (mut status, mut piece) = (None, [0; 4096]);
    loop {
        let length = stream.read(&mut piece).map_err(in_tls)?;
        let progress = receiver.receive(&piece[..length], &mut |event| {
            if let ResponseEvent::Head(head) = event {
                status = Some(head.status);
            }
        });
        match (status, progress) {
            (_, ResponseProgress::Malformed(why)) => return Err(NoResponse::Malformed(why)),
            (Some(status), _) => return Ok(status),
            (None, _) if length == 0 => return Err(NoResponse::Ended),
            (None, _) => {}
        }
    }
}

/// To the first of its addresses that accepts.
fn connect(host: &str, port: u16, patience: Duration) -> std::io::Result<TcpStream> {
    let mut latest = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => latest = error,
        }
    }
    Err(latest)
}
