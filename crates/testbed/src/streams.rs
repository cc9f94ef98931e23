//! A proxy in front of one backend after the other that passes streams and WebSockets on and does one thing wrong to each: the ground
//! truth for the check of streams. It knows how this program's backends write: an event a chunk, a message a frame.

use std::io::{Read, Result as Io, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

/// What it does to what a backend sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamDefect {
    /// It passes streams on as they are.
    None,
    /// Each event, or message, is held back for that long: slow, and right.
    Delays(Duration),
    /// The third event never comes.
    Drops,
    /// The third event comes twice.
    Doubles,
    /// The fourth event comes before the third.
    Swaps,
    /// After the fifth event both connections are closed.
    Cuts,
    /// After the fifth event the response is ended in order: it looks whole.
    EndsInOrder,
    /// After the fifth event nothing more comes, and the connection stays.
    Stalls,
    /// Events arrive as plain text.
    ChangesMediaType,
    /// Every third response arrives without its Cache-Control.
    LosesCacheControl,
    /// Responses that come in chunks say a length, too.
    SaysLength,
    /// The third message of text arrives as one of bytes.
    ChangesType,
    /// A reserved bit of the third message's frame is set.
    ReservedBit,
    /// The code of a close frame is 1000, whatever the backend says.
    CloseCode,
    /// A close frame does not come, but the end of the connection does.
    LosesClose,
    /// After the fifth message the client gets a close frame with 1001 that nobody sent.
    Closes,
    /// The handshake of a WebSocket arrives as a plain request.
    StripsUpgrade,
}

/// A running proxy. Dropping it ends it; what it has open ends with its peers.
pub struct StreamProxy {
    port: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StreamProxy {
    /// On a free port of loopback, in front of these ports of 127.0.0.1: round robin by connection.
    pub fn start(backends: &[u16], defect: StreamDefect) -> StreamProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (ends, turn) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
        let (over, backends) = (Arc::clone(&ends), backends.to_vec());
        let thread = spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let turn = turn.fetch_add(1, Ordering::Relaxed);
                let backend = backends[turn % backends.len()];
                let Ok(client) = client else { continue };
                // Whoever leaves is no concern of ours.
                spawn(move || _ = pass(client, SocketAddr::from((Ipv4Addr::LOCALHOST, backend)), defect, turn));
            }
        });
        StreamProxy { port, ends, thread: Some(thread) }
    }

    /// The port on loopback where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for StreamProxy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pass(mut client: TcpStream, backend: SocketAddr, defect: StreamDefect, turn: usize) -> Io<()> {
    let mut backend = TcpStream::connect(backend)?;
    for stream in [&client, &backend] {
        stream.set_nodelay(true)?;
    }
    let mut head = read_head(&mut client)?;
    if defect == StreamDefect::StripsUpgrade {
        let lines = head.split("\r\n").filter(|line| {
            let line = line.to_ascii_lowercase();
            !line.starts_with("upgrade:") && !line.starts_with("connection:")
        });
        head = lines.collect::<Vec<_>>().join("\r\n");
    }
    backend.write_all(head.as_bytes())?;
    let (mut from_client, mut to_backend) = (client.try_clone()?, backend.try_clone()?);
    spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_backend);
        let _ = to_backend.shutdown(Shutdown::Both);
    });
    let mut head = read_head(&mut backend)?;
    if defect == StreamDefect::ChangesMediaType {
        head = head.replace("text/event-stream", "text/plain");
    }
    if defect == StreamDefect::LosesCacheControl && turn.is_multiple_of(3) {
        head = head.replace("Cache-Control: no-store\r\n", "");
    }
    if defect == StreamDefect::SaysLength {
        head = head.replacen("\r\n\r\n", "\r\nContent-Length: 7\r\n\r\n", 1);
    }
    client.write_all(head.as_bytes())?;
    let lower = head.to_ascii_lowercase();
    let result = if head.starts_with("HTTP/1.1 101") {
        units(&mut backend, &mut client, defect, read_frame)
    } else if lower.contains("transfer-encoding: chunked") {
        units(&mut backend, &mut client, defect, read_chunk)
    } else {
        std::io::copy(&mut backend, &mut client).map(|_| ())
    };
    let _ = client.shutdown(Shutdown::Both);
    let _ = backend.shutdown(Shutdown::Both);
    result
}

fn read_head(from: &mut TcpStream) -> Io<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// What belongs together on the wire.
#[derive(Debug)]
enum WireUnit {
    Event(Vec<u8>),
    /// The last chunk of a body.
    End(Vec<u8>),
    Close(Vec<u8>),
    Other(Vec<u8>),
}

fn read_chunk(from: &mut TcpStream) -> Io<WireUnit> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n") {
        from.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned();
    let length = usize::from_str_radix(&text, 16).map_err(std::io::Error::other)?;
    let start = bytes.len();
    bytes.resize(start + length + 2, 0);
    from.read_exact(&mut bytes[start..])?;
    Ok(if length == 0 { WireUnit::End(bytes) } else { WireUnit::Event(bytes) })
}

fn read_frame(from: &mut TcpStream) -> Io<WireUnit> {
    const CLOSE: u8 = 8;
    const TEXT: u8 = 1;
    let mut bytes = vec![0; 2];
    from.read_exact(&mut bytes)?;
    let mut length = usize::from(bytes[1] & 0x7f);
    if length == 126 {
        bytes.resize(4, 0);
        from.read_exact(&mut bytes[2..])?;
        length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    }
    let start = bytes.len();
    bytes.resize(start + length, 0);
    from.read_exact(&mut bytes[start..])?;
    Ok(match bytes[0] & 0x0f {
        CLOSE => WireUnit::Close(bytes),
        // Echoes are no events: what is numbered by the backend is spoiled.
        TEXT if bytes[start..].starts_with(b"{\"event\"") => WireUnit::Event(bytes),
        _ => WireUnit::Other(bytes),
    })
}

fn units(
    from: &mut TcpStream,
    to: &mut TcpStream,
    defect: StreamDefect,
    read: fn(&mut TcpStream) -> Io<WireUnit>,
) -> Io<()> {
    let mut events = 0;
    let mut third = Vec::new();
    loop {
        match read(from)? {
            WireUnit::Event(bytes) => {
                events += 1;
                match (defect, events) {
                    (StreamDefect::Drops, 3) => {}
                    (StreamDefect::ChangesType, 3) => to.write_all(&[&[0x82], &bytes[1..]].concat())?,
                    (StreamDefect::ReservedBit, 3) => to.write_all(&[&[0xc1], &bytes[1..]].concat())?,
                    (StreamDefect::Swaps, 3) => third = bytes,
                    (StreamDefect::Swaps, 4) => {
                        to.write_all(&bytes)?;
                        to.write_all(&third)?;
                    }
                    (StreamDefect::Doubles, 3) => {
                        to.write_all(&bytes)?;
                        to.write_all(&bytes)?;
                    }
                    (StreamDefect::Cuts, 6) => return Ok(()),
                    (StreamDefect::EndsInOrder, 6) => return to.write_all(b"0\r\n\r\n"),
                    // Until the client leaves.
                    (StreamDefect::Stalls, 6) => return std::io::copy(from, &mut std::io::sink()).map(|_| ()),
                    (StreamDefect::Closes, 6) => return to.write_all(&[0x88, 2, 0x03, 0xe9]),
                    (StreamDefect::Delays(time), _) => {
                        sleep(time);
                        to.write_all(&bytes)?;
                    }
                    _ => to.write_all(&bytes)?,
                }
            }
            WireUnit::Close(_) if defect == StreamDefect::LosesClose => return Ok(()),
            WireUnit::Close(_) if defect == StreamDefect::CloseCode => to.write_all(&[0x88, 2, 0x03, 0xe8])?,
            WireUnit::End(bytes) | WireUnit::Close(bytes) | WireUnit::Other(bytes) => to.write_all(&bytes)?,
        }
    }
}
