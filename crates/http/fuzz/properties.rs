//! What holds for any bytes: run by `cargo fuzz` on what it invents, and by the tests of the crate on mutations of the corpora.
#![allow(dead_code)] // each target runs one of them

use http::h1::client::{self, Receiver};
use http::h1::server::{self, Length, ServerConnection};
use http::proxy_protocol::{self, Opening};
use http::{
    BodyDecoder, EventReader, Fields, Framing, HttpVersion, Malformed, NotAnEvent, RequestContext, RequestHead,
    ResponseHead, Room, Strictness, encode, grpc, ws,
};

const HEAD_LIMIT: usize = 2048;

/// The first byte chooses where the rest is cut: properties hold however bytes arrive.
fn pieces(data: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let Some((&choice, bytes)) = data.split_first() else { return (data, Vec::new()) };
    match choice {
        0 => (bytes, bytes.chunks(1).collect()),
        choice => (bytes, bytes.chunks(usize::from(choice)).collect()),
    }
}

/// What a server makes of bytes: heads, contents, ends, and what it wrote.
fn serve<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<String>, Vec<u8>) {
    let (mut server, mut story, mut output) = (ServerConnection::new(), Vec::<String>::new(), Vec::new());
    let mut inbox = Vec::new();
    for piece in pieces {
        inbox.extend_from_slice(piece);
        let mut rest = &inbox[..];
        loop {
            let before = rest.len();
            let mut room = Room::<20>::new();
            let Some((stream, event)) = server.receive(&mut rest, &mut room, HEAD_LIMIT) else { break };
            assert!(rest.len() <= before, "the rest grew");
            let is_whole = match event {
                server::RequestEvent::Head(head) => {
                    story.push(format!("{stream:?} {} {} {:?}", head.method, head.target, head.framing));
                    head.framing == Framing::None
                }
                server::RequestEvent::Data(data) => {
                    match story.last_mut().filter(|last| last.starts_with("data ")) {
                        Some(last) => *last += &data.escape_ascii().to_string(),
                        None => story.push(format!("data {}", data.escape_ascii())),
                    }
                    false
                }
                server::RequestEvent::Trailers(lines) => {
                    match story.last_mut().filter(|last| last.starts_with("trailers ")) {
                        Some(last) => *last += &lines.escape_ascii().to_string(),
                        None => story.push(format!("trailers {}", lines.escape_ascii())),
                    }
                    false
                }
                server::RequestEvent::End => true,
                server::RequestEvent::Malformed(why) => {
                    // A section that breaks is seen as far as it came.
                    story.pop_if(|last| last.starts_with("trailers "));
                    story.push(format!("{stream:?} malformed: {why:?}"));
                    true
                }
            };
            if is_whole {
                server.respond(200, Length::Known(2), true, &mut output, |_| {});
                server.data(b"ok", &mut output);
                server.end(&mut output);
            }
        }
        let left = rest.len();
        inbox.drain(..inbox.len() - left);
    }
    // Every response left to its end, in order, and together they are all that was put out.
    let written: Vec<server::Written> = server.wrote(output.len()).collect();
    assert!(written.is_sorted_by_key(|it| it.stream));
    assert_eq!(written.iter().map(|it| it.bytes).sum::<u64>(), output.len() as u64);
    assert_eq!(server.cut_off().count(), 0);
    (story, output)
}

/// A server reads requests alike however they arrive.
pub fn request(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    assert_eq!(serve(pieces), serve([bytes]), "{}", bytes.escape_ascii());
}

/// What a client makes of bytes: heads, contents, and how far it came.
fn receive<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (String, client::ResponseProgress) {
    let mut receiver = Receiver::new(HEAD_LIMIT);
    receiver.begin(RequestContext::Other);
    let (mut story, mut content) = (String::new(), Vec::new());
    for piece in pieces {
        let progress = receiver.receive(piece, &mut |event| match event {
            client::ResponseEvent::Interim(status) => story += &format!("interim {status} "),
            client::ResponseEvent::Head(head) => {
                story += &format!("{} {:?} {} ", head.status, head.framing, head.persistent);
            }
            client::ResponseEvent::Data(data) => content.extend_from_slice(data),
            client::ResponseEvent::Trailers(_) => {}
        });
        if progress != client::ResponseProgress::More {
            return (format!("{story}{}", content.escape_ascii()), progress);
        }
    }
    (format!("{story}{}", content.escape_ascii()), client::ResponseProgress::More)
}

/// A client never fails on what comes, and reads the content alike however it arrives, as far as the response is one.
pub fn response(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    let (whole, in_pieces) = (receive([bytes]), receive(pieces));
    match (whole.1, in_pieces.1) {
        // In pieces, what follows a whole response has not come yet.
        (
            client::ResponseProgress::Whole | client::ResponseProgress::WholeAndMore(_),
            client::ResponseProgress::Whole,
        ) => {
            assert_eq!(whole.0, in_pieces.0, "{}", bytes.escape_ascii());
        }
        // The same is wrong with it, perhaps by another name: fewer bytes can say less.
        (client::ResponseProgress::Malformed(_), client::ResponseProgress::Malformed(_)) => {}
        // A head in pieces is looked at when a line of it has ended.
        (client::ResponseProgress::Malformed(_), client::ResponseProgress::More) => {}
        (one, other) => assert_eq!(
            std::mem::discriminant(&one),
            std::mem::discriminant(&other),
            "{one:?} {other:?} {}",
            bytes.escape_ascii()
        ),
    }
}

fn decode<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<u8>, Result<Option<Vec<u8>>, Malformed>) {
    let (mut chunks, mut data, mut rest) = (BodyDecoder::new(Framing::Chunked), Vec::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() && !chunks.is_done() {
            match chunks.take(piece) {
                Ok((some, after)) => {
                    data.extend_from_slice(some);
                    piece = after;
                }
                Err(why) => return (data, Err(why)),
            }
        }
        rest.extend_from_slice(piece);
    }
    (data, Ok(chunks.is_done().then_some(rest)))
}

/// Chunks are read alike however they arrive; what is read can be written so that it is read again.
pub fn chunks(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    let whole = decode([bytes]);
    assert_eq!(decode(pieces), whole, "{}", bytes.escape_ascii());
    let mut written = Vec::new();
    whole.0.chunks(7).for_each(|piece| encode::chunk(&mut written, piece));
    encode::last_chunk(&mut written);
    assert_eq!(decode([&written[..]]), (whole.0, Ok(Some(Vec::new()))));
}

/// More bytes never change what the first of them said; a header is no longer than what came.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy_protocol::parse(data);
    if let Ok(Some(Opening::Header { bytes, .. })) = whole {
        assert!(bytes <= data.len());
    }
    for length in 0..data.len().min(300) {
        let part = proxy_protocol::parse(&data[..length]);
        if part != Ok(None) {
            assert_eq!(part, whole, "{}", data.escape_ascii());
        }
    }
}

fn request_head<T>(
    bytes: &[u8],
    mode: Strictness,
    see: impl FnOnce(&RequestHead) -> T,
) -> Result<Option<T>, Malformed> {
    request_head_up_to(HEAD_LIMIT, bytes, mode, see)
}

fn request_head_up_to<T>(
    limit: usize,
    bytes: &[u8],
    mode: Strictness,
    see: impl FnOnce(&RequestHead) -> T,
) -> Result<Option<T>, Malformed> {
    let mut room = Room::<20>::new();
    Ok(RequestHead::parse(bytes, &mut room, limit, mode)?.map(|head| see(&head)))
}

fn response_head<T>(
    bytes: &[u8],
    mode: Strictness,
    see: impl FnOnce(&ResponseHead) -> T,
) -> Result<Option<T>, Malformed> {
    let mut room = Room::<20>::new();
    Ok(ResponseHead::parse(bytes, &mut room, HEAD_LIMIT, RequestContext::Other, mode)?.map(|head| see(&head)))
}

/// What frames a message, by a second reader that knows of nothing but plain numbers and the word chunked.
fn plainly_framed(fields: Fields, of_none: Framing) -> Option<Framing> {
    let lengths: Vec<&[u8]> = fields.all("content-length").collect();
    let codings: Vec<&[u8]> = fields.all("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(of_none),
        ([length], []) => {
            let length: u64 = str::from_utf8(length).ok()?.parse().ok()?;
            Some(if length == 0 { Framing::None } else { Framing::Length(length) })
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunked),
        _ => None,
    }
}

/// What the strict reader accepts, the lenient one reads alike, and so does a reader that knows only the plainest framing;
/// written as it was read and read again, it is the same message.
pub fn differential(data: &[u8]) {
    let shown = data.escape_ascii();
    let seen = |head: &RequestHead| {
        let plain = plainly_framed(head.fields, Framing::None);
        assert!(plain.is_none_or(|plain| plain == head.framing), "{plain:?} {head:?}");
        let mut written = Vec::new();
        encode::request_line(&mut written, head.method, head.target);
        head.fields.iter().for_each(|field| encode::field(&mut written, field.name, field.value));
        encode::end_of_head(&mut written);
        let host = head.host.map(<[u8]>::to_vec);
        (head.version, written, head.framing, head.persistent, host, head.length)
    };
    if let Ok(Some(strict)) = request_head(data, Strictness::Strict, seen) {
        let lenient = request_head(data, Strictness::Lenient, seen);
        assert_eq!(lenient.as_ref(), Ok(&Some(strict.clone())), "{shown}");
        let (version, written, framing, ..) = strict;
        // It may be longer than it came: a line ends in CR LF, and a space follows the colon.
        let again = request_head_up_to(2 * HEAD_LIMIT, &written, Strictness::Strict, |head| head.framing);
        // A message of HTTP/1.0 is none of 1.1 without a Host.
        assert!(again == Ok(Some(framing)) || version == HttpVersion::Http10, "{shown}: {again:?}");
        let mut body = BodyDecoder::new(framing);
        let _ = body.take(&data[strict.5..]);
    }
    let seen = |head: &ResponseHead| {
        let has_body = !matches!(head.status, 100..200 | 204 | 304);
        let plain = plainly_framed(head.fields, Framing::UntilClose).filter(|_| has_body);
        assert!(plain.is_none_or(|plain| plain == head.framing), "{plain:?} {head:?}");
        (head.status, head.framing, head.persistent, head.length)
    };
    if let Ok(Some(strict)) = response_head(data, Strictness::Strict, seen) {
        assert_eq!(response_head(data, Strictness::Lenient, seen), Ok(Some(strict)), "{shown}");
    }
}

fn frames<'b>(role: ws::ReaderRole, pieces: impl IntoIterator<Item = &'b [u8]>) -> Vec<String> {
    let mut receiver = ws::FrameReader::new(role, HEAD_LIMIT);
    let mut story = Vec::new();
    for mut piece in pieces {
        loop {
            match receiver.receive(&mut piece) {
                Ok(None) => break,
                Ok(Some(event)) => story.push(format!("{event:?}")),
                Err(why) => {
                    assert!(receiver.is_over());
                    story.push(format!("{why:?}"));
                }
            }
        }
    }
    story
}

/// Frames are read alike however they arrive, by either end.
pub fn websocket(data: &[u8]) {
    for role in [ws::ReaderRole::Client, ws::ReaderRole::Server] {
        let (bytes, pieces) = pieces(data);
        assert_eq!(frames(role, pieces), frames(role, [bytes]), "{}", bytes.escape_ascii());
    }
}

fn server_sent<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<(String, String)>, bool) {
    let (mut reader, mut events) = (EventReader::new(HEAD_LIMIT), Vec::new());
    for mut piece in pieces {
        loop {
            match reader.receive(&mut piece) {
                Ok(None) => break,
                Ok(Some(event)) => events.push((event.data.to_owned(), event.id.to_owned())),
                Err(NotAnEvent) => return (events, false),
            }
        }
    }
    (events, true)
}

/// Events are read alike however they arrive.
pub fn events(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    assert_eq!(server_sent(pieces), server_sent([bytes]), "{}", bytes.escape_ascii());
}

/// Whether it is compressed, and its content.
type FlaggedMessage = (bool, Vec<u8>);

/// The messages of a call, and whether it may end after them; or why not.
fn messages<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<FlaggedMessage>, Result<bool, grpc::BadMessage>) {
    let (mut reader, mut messages) = (grpc::MessageReader::new(4096), Vec::new());
    for mut piece in pieces {
        loop {
            match reader.next(&mut piece) {
                Ok(Some(message)) => messages.push((message.is_compressed, message.content.to_vec())),
                Ok(None) => break assert!(piece.is_empty()),
                Err(why) => return (messages, Err(why)),
            }
        }
    }
    (messages, Ok(reader.is_between_messages()))
}

/// Messages of a call are read alike however they arrive, and what its fields say survives.
pub fn grpc(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    assert_eq!(messages(pieces), messages([bytes]), "{}", bytes.escape_ascii());
    let text = grpc::decode_message(bytes);
    assert_eq!(grpc::decode_message(grpc::encode_message(&text).as_bytes()), text);
    if let Some(time) = grpc::parse_timeout(bytes) {
        assert!(grpc::parse_timeout(grpc::format_timeout(time).as_bytes()).is_some_and(|again| again >= time));
    }
    if let Some(status) = grpc::GrpcStatus::of_field(bytes) {
        assert_eq!(status.to_string().parse().ok(), (status.0 <= 16).then_some(status));
    }
}

/// Bytes as they arrive, with what is left of them given again: `take` takes events until there are none.
fn feed<'b>(pieces: impl IntoIterator<Item = &'b [u8]>, mut take: impl FnMut(&mut &[u8])) {
    let mut inbox = Vec::new();
    for piece in pieces {
        inbox.extend_from_slice(piece);
        let mut rest = &inbox[..];
        take(&mut rest);
        let left = rest.len();
        assert!(left <= 9 + 16_384, "more than a frame is left");
        inbox.drain(..inbox.len() - left);
    }
}

/// Content that came in several pieces is one.
fn tell(story: &mut Vec<String>, line: String) {
    match line.split_once(" data ") {
        Some((stream, data)) if story.last().is_some_and(|last| last.starts_with(&format!("{stream} data "))) => {
            story.last_mut().unwrap().push_str(data);
        }
        _ => story.push(line),
    }
}

fn serve_h2<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<String>, Vec<u8>) {
    use http::h2::{AnnouncedSettings, Block, Follows, server};
    let (mut server, mut room) = (server::Server::new(AnnouncedSettings::SERVER), Block::new());
    let (mut story, mut out) = (Vec::new(), Vec::new());
    feed(pieces, |rest| {
        while let Some((stream, event)) = server.receive(rest, &mut room, 0, &mut out) {
            let is_whole = match &event {
                server::ServerEvent::Head(request) => request.head(&request.lines()).framing == Framing::None,
                server::ServerEvent::End => true,
                _ => false,
            };
            tell(
                &mut story,
                match event {
                    server::ServerEvent::Head(request) => format!("{} {:?}", stream.0, request.head(&request.lines())),
                    server::ServerEvent::Data(data) => format!("{} data {}", stream.0, data.escape_ascii()),
                    server::ServerEvent::Trailers(trailers) => {
                        format!("{} {:?}", stream.0, trailers.iter().collect::<Vec<_>>())
                    }
                    other => format!("{} {other:?}", stream.0),
                },
            );
            if is_whole {
                server.respond(stream, 200, Follows::More, &mut out, |_| {});
                let length = server.capacity(stream).min(2);
                server.data(stream, &b"ok"[..length], Follows::after(length == 2), &mut out);
            }
        }
    });
    assert!(server.wrote(out.len()).map(|it| it.bytes).sum::<u64>() <= out.len() as u64);
    (story, out)
}

/// A server of HTTP/2 reads frames alike however they arrive, and says the same.
pub fn h2_server(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    let (mut one, mut other) = (serve_h2(pieces), serve_h2([bytes]));
    // Windows are filled again at the heads of frames, responses are written at their ends: the order of both may differ.
    one.1.sort_unstable();
    other.1.sort_unstable();
    assert_eq!(one, other, "{}", bytes.escape_ascii());
}

fn receive_h2<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<String>, Vec<u8>) {
    use http::h2::client::{Client, ClientEvent, FirstLine};
    use http::h2::{AnnouncedSettings, Block, Follows};
    let (mut out, mut room, mut story) = (Vec::new(), Block::new(), Vec::new());
    let mut client = Client::new(AnnouncedSettings::CLIENT, &mut out);
    let first = FirstLine { method: "GET", scheme: "http", authority: "h", path: "/" };
    for asked in [RequestContext::Other, RequestContext::Head, RequestContext::Other] {
        client.open(&first, asked, Follows::Nothing, &mut out, |_| {});
    }
    feed(pieces, |rest| {
        while let Some((stream, event)) = client.receive(rest, &mut room, 0, &mut out) {
            tell(
                &mut story,
                match event {
                    ClientEvent::Head(response) => format!("{} {:?}", stream.0, response.head(&response.lines())),
                    ClientEvent::Data(data) => format!("{} data {}", stream.0, data.escape_ascii()),
                    ClientEvent::Trailers(trailers) => {
                        format!("{} {:?}", stream.0, trailers.iter().collect::<Vec<_>>())
                    }
                    other => format!("{} {other:?}", stream.0),
                },
            );
        }
    });
    (story, out)
}

/// A client of HTTP/2 reads frames alike however they arrive, and says the same.
pub fn h2_client(data: &[u8]) {
    let (bytes, pieces) = pieces(data);
    assert_eq!(receive_h2(pieces), receive_h2([bytes]), "{}", bytes.escape_ascii());
}
