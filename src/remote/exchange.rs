//! One request over one connection, and its response as it comes. Plain HTTP/1.1.

use http::h1::client::{Ended, Receiver, ResponseEvent, ResponseProgress};
use http::{Malformed, RequestContext, encode};
use hyper::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes of a response's head.
const HEAD_LIMIT: usize = 64 * 1024;

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

/// A request to the API.
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: &'static str,
    pub(crate) url: &'a Uri,
    pub(crate) token: Option<&'a str>,
    /// JSON; empty for none.
    pub(crate) body: &'a [u8],
}

impl ApiRequest<'_> {
    fn encode(&self, authority: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::request_line(&mut bytes, self.method, self.url.path_and_query().map_or("/", |path| path.as_str()));
        encode::field(&mut bytes, "Host", authority.as_bytes());
        encode::field(&mut bytes, "Connection", b"close");
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
    /// Once the head is there.
    pub(crate) status: Option<u16>,
    /// Content that nobody has taken.
    pub(crate) content: Vec<u8>,
    piece: Vec<u8>,
}

impl ApiExchange {
    /// Sends it over a connection of its own.
    pub(crate) async fn begin(request: &ApiRequest<'_>) -> Result<ApiExchange, NoResponse> {
        if request.url.scheme_str().is_some_and(|scheme| scheme != "http") {
            return Err(NoResponse::Scheme);
        }
        let authority = request.url.authority().ok_or(NoResponse::Host)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let mut stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
        stream.write_all(&request.encode(authority.as_str())).await?;
        let mut receiver = Receiver::new(HEAD_LIMIT);
        receiver.begin(RequestContext::Other);
        Ok(ApiExchange { stream, receiver, status: None, content: Vec::new(), piece: vec![0; 64 * 1024] })
    }

    /// Waits for more of the response. Whether even more may come.
    pub(crate) async fn receive(&mut self) -> Result<bool, NoResponse> {
        let length = self.stream.read(&mut self.piece).await?;
        if length == 0 {
            return match self.receiver.end(true) {
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
