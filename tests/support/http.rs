//! A client that does what it is told and nothing more.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use ::http::{BodyDecoder, RequestContext, ResponseHead, Room, Strictness};
use uuid::Uuid;

use crate::support::{Fleet, PATIENCE, eventually};

const HEAD_LIMIT: usize = 64 * 1024;

/// A request that leaves its connection open.
pub const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// The UUID that it shows.
    pub fn id(&self) -> Uuid {
        self.header("Response-Id").unwrap_or_else(|| panic!("no UUID: {self:?}")).parse().unwrap()
    }

    /// The backend that answered.
    pub fn backend(&self) -> u16 {
        let number = self.header("Generator-Number").unwrap_or_else(|| panic!("of no backend: {self:?}"));
        number.parse().unwrap()
    }

    pub fn expect_page_of(&self, port: u16) {
        assert_eq!(self.status, 200, "{self:?}");
        for text in [format!("<h1>Generator #{port}</h1>"), format!("<h1>UUID={}</h1>", self.id())] {
            assert!(self.body.contains(&text), "no {text} in {self:?}");
        }
    }
}

/// One request on a connection of its own.
pub fn get(url: &str) -> io::Result<Answer> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut connection = Connection::open(authority)?;
    connection.send(&format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"))?;
    connection.answer()
}

/// The page of a backend, on a connection of its own.
pub fn expect_page(port: u16) {
    get(&format!("http://localhost:{port}/")).unwrap().expect_page_of(port);
}

pub struct Connection {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl Connection {
    pub fn open(address: impl ToSocketAddrs) -> io::Result<Connection> {
        Connection::over(TcpStream::connect(address)?)
    }

    pub fn over(stream: TcpStream) -> io::Result<Connection> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, unread: Vec::new() })
    }

    /// A new connection to a backend.
    pub fn to(port: u16) -> Connection {
        Connection::open((Ipv4Addr::LOCALHOST, port)).unwrap()
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }

    pub fn ask(&mut self, request: &str) -> Answer {
        self.send(request).unwrap();
        self.answer().unwrap()
    }

    /// The next answer, its body read to where its head says that it ends.
    pub fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some(answer) = self.take(false) {
                return Ok(answer);
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return self.take(true).ok_or_else(|| ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.unread.extend_from_slice(&bytes[..length]),
                // This process was stopped and goes on, as when the machine is suspended.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the other end closes, in order and with nothing more said.
    pub fn is_closed(&mut self) -> io::Result<bool> {
        Ok(self.unread.is_empty() && self.stream.read(&mut [0; 1])? == 0)
    }

    /// Nothing comes in this time.
    pub fn expect_silence(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let error = self.stream.read(&mut [0; 1]).expect_err("something came, or the end");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// The next answer, if it has come as a whole; or, where the end of the connection is that of its body, what has come.
    fn take(&mut self, is_at_end: bool) -> Option<Answer> {
        let mut room = Room::<100>::new();
        let parsed =
            ResponseHead::parse(&self.unread, &mut room, HEAD_LIMIT, RequestContext::Other, Strictness::Lenient);
        let head = parsed.unwrap_or_else(|why| panic!("{why}: {:?}", String::from_utf8_lossy(&self.unread)))?;
        let mut decoder = BodyDecoder::new(head.framing);
        let (mut body, mut rest) = (Vec::new(), &self.unread[head.length..]);
        while !rest.is_empty() && !decoder.is_done() {
            let data;
            (data, rest) = decoder.take(rest).unwrap_or_else(|why| panic!("{why} in a body"));
            body.extend_from_slice(data);
        }
        let is_whole = decoder.is_done() || is_at_end && decoder.ends_with_the_connection();
        let answer = Answer {
            status: head.status,
            head: String::from_utf8(head.bytes.to_vec()).unwrap(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let read = self.unread.len() - rest.len();
        is_whole.then(|| {
            self.unread.drain(..read);
            answer
        })
    }
}

/// A request that a backend has received and cannot answer yet: half of its body is missing.
pub struct Unfinished {
    pub connection: Connection,
}

impl Unfinished {
    /// Under a path of its own, by which it is known. Returns when it is in flight.
    pub fn send(fleet: &Fleet, port: u16, path: &str) -> Unfinished {
        Unfinished::send_with(fleet, port, path, "")
    }

    /// The beginning of a request with further headers.
    pub fn send_with(fleet: &Fleet, port: u16, path: &str, headers: &str) -> Unfinished {
        let mut connection = Connection::to(port);
        let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: 5\r\n\r\n12");
        connection.send(&request).unwrap();
        eventually(&format!("POST {path} is in flight"), || {
            fleet.records().in_flight.iter().any(|record| record.path == path)
        });
        Unfinished { connection }
    }

    /// Sends the other half.
    pub fn finish(&mut self) -> Answer {
        self.connection.ask("345")
    }
}
