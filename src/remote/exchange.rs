//! One request over one connection, and its response as it comes. Plain HTTP/1.1.

use http::h1::client::{Ended, Receiver, ResponseEvent, ResponseProgress, TransportEnd};
use http::{Malformed, RequestContext, encode};
use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::io::tls::TlsFailure;

/// Bytes of a response's head.
pub(super) const HEAD_LIMIT: usize = 64 * 1024;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoResponse {
    #[error("only http:// is supported here")]
    Scheme,
    #[error("the URL names no host")]
    Host,
    #[error("{}", describe(.0))]
    // No source: that would be the same once more, in the words of the operating system.
    Connection(std::io::Error),
    #[error("the response is no HTTP: {0}")]
    Malformed(Malformed),
    #[error("the connection ended before the response")]
    Ended,
    #[error("{0}")]
    Tls(TlsFailure),
}

impl NoResponse {
    /// Whether what is there speaks, and no HTTP/1.
    pub(crate) fn is_other_protocol(&self) -> bool {
        match self {
            NoResponse::Malformed(_) => true,
            NoResponse::Tls(failure) => failure.is_about_protocol(),
            NoResponse::Scheme | NoResponse::Host | NoResponse::Connection(_) | NoResponse::Ended => false,
        }
    }
}

impl From<std::io::Error> for NoResponse {
    fn from(error: std::io::Error) -> NoResponse {
        NoResponse::Connection(error)
    }
}

fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        _ => error.to_string(),
    }
}

pub(crate) struct ApiRequest<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a Uri,
    pub(crate) token: Option<&'a str>,
    /// JSON; empty for none.
    pub(crate) body: &'a [u8],
}

/// What the client has in mind for a connection once the response has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterResponse {
    Close,
    Keep,
}

impl ApiRequest<'_> {
    pub(super) fn encode(&self, authority: &str, after: AfterResponse) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::request_line(&mut bytes, self.method, self.url.path_and_query().map_or("/", |path| path.as_str()));
        encode::field(&mut bytes, "Host", authority.as_bytes());
        if after == AfterResponse::Close {
            encode::field(&mut bytes, "Connection", b"close");
        }
        if let Some(token) = self.token {
            encode::field(&mut bytes, "Authorization", format!("Bearer {token}").as_bytes());
        }
        if !self.body.is_empty() {
            encode::field(&mut bytes, "Content-Type", b"application/json");
        }
        if !self.body.is_empty() || self.method != "GET" {
            encode::number_field(&mut bytes, "Content-Length", self.body.len() as u64);
        }
        encode::end_of_head(&mut bytes);
        bytes.extend_from_slice(self.body);
        bytes
    }
}

/// A request that was sent, and what has come of its response.
pub(crate) struct ApiExchange {
    stream: TcpStream,
    receiver: Receiver,
    /// None until the head has arrived.
    pub(crate) status: Option<u16>,
    /// Content that has not been taken yet.
    pub(crate) content: Vec<u8>,
    piece: Vec<u8>,
}

impl ApiExchange {
    /// Sends it over a connection of its own.
    pub(crate) async fn begin(request: &ApiRequest<'_>) -> Result<ApiExchange, NoResponse> {
        ApiExchange::connect(request, AfterResponse::Close).await
    }

    async fn connect(request: &ApiRequest<'_>, after: AfterResponse) -> Result<ApiExchange, NoResponse> {
        if request.url.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(NoResponse::Scheme);
        }
        let authority = request.url.authority().ok_or(NoResponse::Host)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let mut stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        stream.write_all(&request.encode(authority.as_str(), after)).await?;
        let mut receiver = Receiver::new(HEAD_LIMIT);
        receiver.begin(RequestContext::Other);
        Ok(ApiExchange { stream, receiver, status: None, content: Vec::new(), piece: vec![0; 64 * 1024] })
    }

    /// Sends another request over a connection whose last response is whole, and waits for its response.
    async fn follow(mut self, request: &ApiRequest<'_>) -> Result<ApiExchange, NoResponse> {
        let authority = request.url.authority().ok_or(NoResponse::Host)?;
        self.stream.write_all(&request.encode(authority.as_str(), AfterResponse::Keep)).await?;
        self.receiver.begin(RequestContext::Other);
        self.status = None;
        self.content.clear();
        while self.receive().await? {}
        Ok(self)
    }

    /// Waits for more of the response. Whether even more may come.
    pub(crate) async fn receive(&mut self) -> Result<bool, NoResponse> {
        let length = self.stream.read(&mut self.piece).await?;
        if length == 0 {
            return match self.receiver.end(TransportEnd::InOrder) {
                Ended::Whole => Ok(false),
                Ended::Before | Ended::Truncated => Err(NoResponse::Ended),
                Ended::Malformed(why) => Err(NoResponse::Malformed(why)),
            };
        }
        let ApiExchange { receiver, status, content, piece, .. } = self;
        let progress = receiver.receive(&piece[..length], &mut |event| match event {
            ResponseEvent::Head(head) => *status = Some(head.status),
            ResponseEvent::Data(data) => content.extend_from_slice(data),
            ResponseEvent::Interim(_) | ResponseEvent::Trailers(_) => {}
        });
        match progress {
            ResponseProgress::More => Ok(true),
            ResponseProgress::Whole | ResponseProgress::WholeAndMore(_) => Ok(false),
            ResponseProgress::Malformed(why) => Err(NoResponse::Malformed(why)),
        }
    }

    /// Waits for the whole response: its status and its content.
    pub(crate) async fn whole(mut self) -> Result<(u16, Vec<u8>), NoResponse> {
        while self.receive().await? {}
        Ok((self.status.ok_or(NoResponse::Ended)?, self.content))
    }
}

/// A connection to one API, over which requests follow each other as long as both ends keep it.
#[derive(Default)]
pub(crate) struct PageConnection {
    /// With the latest response.
    latest: Option<ApiExchange>,
}

impl PageConnection {
    /// Asks what may be asked twice: a connection that is kept may end just as the request is sent. Its status; the content stays here.
    pub(crate) async fn ask(&mut self, request: &ApiRequest<'_>) -> Result<u16, NoResponse> {
        // Taken out while it is used: whoever stops waiting leaves half of a response in it.
        let kept = self.latest.take().filter(|exchange| exchange.receiver.is_reusable());
        let followed = match kept {
            Some(exchange) => exchange.follow(request).await.ok(),
            None => None,
        };
        let exchange = match followed {
            Some(exchange) => exchange,
            None => {
                let mut exchange = ApiExchange::connect(request, AfterResponse::Keep).await?;
                while exchange.receive().await? {}
                exchange
            }
        };
        self.latest.insert(exchange).status.ok_or(NoResponse::Ended)
    }

    /// The content of the latest response, until the next is asked for.
    pub(crate) fn content(&self) -> &[u8] {
        self.latest.as_ref().map_or(&[], |exchange| &exchange.content)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn requests_follow_each_other_over_one_connection_until_the_other_end_closes_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: Uri = format!("http://{}/page", listener.local_addr().unwrap()).parse().unwrap();
        // Two responses a connection, each with the numbers of both; the third request meets the end of the first connection.
        let server = thread::spawn(move || {
            for connection in 0..2 {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                for response in 0..2 {
                    let mut line = String::new();
                    while line != "\r\n" {
                        line.clear();
                        assert!(reader.read_line(&mut line).unwrap() > 0, "{connection}, {response}");
                        assert!(!line.to_ascii_lowercase().starts_with("connection:"), "{line}");
                    }
                    let content = format!("{connection} {response}");
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
                    reader.get_mut().write_all(format!("{head}{content}").as_bytes()).unwrap();
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut connection = PageConnection::default();
        for expected in ["0 0", "0 1", "1 0", "1 1"] {
            let request = ApiRequest { method: "GET", url: &url, token: None, body: &[] };
            let status = runtime.block_on(connection.ask(&request)).unwrap();
            assert_eq!((status, str::from_utf8(connection.content()).unwrap()), (200, expected));
        }
        server.join().unwrap();
    }
}
