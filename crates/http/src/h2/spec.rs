//! RFC 9113, section by section: what another end may do wrong, and what this one makes of it. Each case is a row.

use super::client::{self, Client, FirstLine};
use super::frame::{self, ACK, END_HEADERS, END_STREAM, Head, PADDED, kind, setting};
use super::server::{self, Server};
use super::*;
use crate::{Framing, Malformed, RequestContext, StreamId};

/// Frames as a peer would write them, right or wrong.
#[derive(Clone, Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn frame(mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Bytes {
        Head { length: payload.len() as u32, kind, flags, stream }.write(&mut self.0);
        self.0.extend_from_slice(payload);
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Bytes {
        self.0.extend_from_slice(bytes);
        self
    }

    fn settings(self, settings: &[(u16, u32)]) -> Bytes {
        let mut out = self.0;
        frame::write_settings(&mut out, settings);
        Bytes(out)
    }

    fn headers(self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Bytes {
        let block = block(fields);
        self.frame(kind::HEADERS, flags | END_HEADERS, stream, &block)
    }

    fn get(self, stream: u32) -> Bytes {
        self.headers(stream, END_STREAM, GET)
    }

    fn post(self, stream: u32) -> Bytes {
        self.headers(stream, 0, POST)
    }

    fn data(self, stream: u32, flags: u8, data: &[u8]) -> Bytes {
        self.frame(kind::DATA, flags, stream, data)
    }

    fn window(self, stream: u32, increment: u32) -> Bytes {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
    }

    fn reset(self, stream: u32) -> Bytes {
        self.frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
    }
}

const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")];
const POST: &[(&str, &str)] = &[(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "h")];

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // As it is written, also where that is wrong.
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn begun() -> Bytes {
    Bytes::default().raw(PREFACE).settings(&[])
}

/// What a server makes of bytes, one line for each event; data and frames that it sends in answer, too.
fn story(input: &[u8], respond: bool) -> (Vec<String>, Vec<u8>) {
    let (mut server, mut out, mut story, mut room) =
        (Server::new(AnnouncedSettings::SERVER), Vec::new(), Vec::new(), Block::new());
    let mut rest = input;
    while let Some((StreamId(id), event)) = server.receive(&mut rest, &mut room, 0, &mut out) {
        let mut whole = false;
        story.push(match event {
            server::ServerEvent::Head(request) => {
                let lines = request.lines();
                let head = request.head(&lines);
                whole = head.framing == Framing::None;
                format!("{id} {} {}", head.method, head.target)
            }
            server::ServerEvent::Refused(request) => format!("{id} refused {}", request.head(&request.lines()).target),
            server::ServerEvent::Data(data) => format!("{id} data {}", data.escape_ascii()),
            server::ServerEvent::Trailers(trailers) => {
                let names: Vec<&str> = trailers.iter().map(|field| field.name).collect();
                format!("{id} trailers {}", names.join(","))
            }
            server::ServerEvent::End => {
                whole = true;
                format!("{id} end")
            }
            server::ServerEvent::Malformed(why) => format!("{id} malformed {why:?}"),
            server::ServerEvent::Reset(code) => format!("{id} reset {code}"),
            server::ServerEvent::GoAway(code) => format!("goaway {code}"),
            server::ServerEvent::Broken(why) => format!("broken {why:?}"),
        });
        if whole && respond {
            server.respond(StreamId(id), 200, Follows::Nothing, &mut out, |_| {});
        }
    }
    (story, out)
}

/// The frames in some bytes: what each is, its flags, its stream, and for errors the code.
fn frames(mut bytes: &[u8]) -> Vec<String> {
    let mut frames = Vec::new();
    while let Some(head) = Head::read(bytes) {
        let payload = &bytes[9..9 + head.length as usize];
        let code = |at: usize| ErrorCode(u32::from_be_bytes(payload[at..at + 4].try_into().unwrap()));
        frames.push(match head.kind {
            kind::DATA => format!("DATA {} {}", head.stream, payload.len()),
            kind::HEADERS => format!("HEADERS {}", head.stream),
            kind::RST_STREAM => format!("RST {} {}", head.stream, code(0)),
            kind::GOAWAY => format!("GOAWAY {} {}", code(0).0, code(4)),
            kind::SETTINGS if head.flags == ACK => "SETTINGS ack".to_owned(),
            kind::SETTINGS => "SETTINGS".to_owned(),
            kind::PING => format!("PING {} {}", head.flags, payload.escape_ascii()),
            kind::WINDOW_UPDATE => format!("WINDOW {} {}", head.stream, code(0).0),
            kind::CONTINUATION => format!("CONTINUATION {}", head.stream),
            other => format!("{other}"),
        });
        bytes = &bytes[9 + head.length as usize..];
    }
    frames
}

/// After the settings' acknowledgement.
fn answer(bytes: &Bytes) -> (Vec<String>, Vec<String>) {
    let (story, out) = story(&bytes.0, false);
    let sent = frames(&out);
    (story, sent.into_iter().filter(|it| it != "SETTINGS ack").collect())
}

#[test]
fn the_preface_comes_first() {
    for (input, why) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Malformed::Http2Preface),
        (b"PRI * HTTP/2.0\r\n\r\nSX".to_vec(), Malformed::Http2Preface),
        (Bytes::default().raw(PREFACE).frame(kind::PING, 0, 0, &[0; 8]).0, Malformed::SettingsMissing),
        (Bytes::default().raw(PREFACE).frame(kind::SETTINGS, ACK, 0, &[]).0, Malformed::SettingsMissing),
    ] {
        let (story, out) = story(&input, false);
        assert_eq!(story, [format!("broken {why:?}")]);
        assert_eq!(frames(&out), ["GOAWAY 0 PROTOCOL_ERROR"]);
    }
    for length in 0..PREFACE.len() {
        assert_eq!(story(&PREFACE[..length], false), (vec![], vec![]));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_breaks_the_connection_says_so_and_why() {
    use Malformed::*;
    let zeros = [0; 16_385];
    let block_of = block(GET);
    let half = &block_of[..10];
    for (section, input, why, code) in [
        ("4.2 a frame that is too long", begun().frame(kind::DATA, 0, 1, &zeros), FrameSize, "FRAME_SIZE_ERROR"),
        (
            "4.3 a block that is none",
            begun().frame(kind::HEADERS, END_HEADERS, 1, &[0x80]),
            HeaderCompression,
            "COMPRESSION_ERROR",
        ),
        (
            "4.3 PRIORITY within a block",
            begun().frame(kind::HEADERS, 0, 1, half).frame(kind::PRIORITY, 0, 1, &[0; 5]),
            BlockInterrupted,
            "PROTOCOL_ERROR",
        ),
        (
            "4.3 another stream's HEADERS within a block",
            begun().frame(kind::HEADERS, 0, 1, half).get(3),
            BlockInterrupted,
            "PROTOCOL_ERROR",
        ),
        ("5.1 DATA on an idle stream", begun().data(1, 0, b"a"), FrameUnexpected, "PROTOCOL_ERROR"),
        ("5.1 RST_STREAM on an idle stream", begun().reset(1), FrameUnexpected, "PROTOCOL_ERROR"),
        ("5.1 WINDOW_UPDATE on an idle stream", begun().window(1, 1), FrameUnexpected, "PROTOCOL_ERROR"),
        (
            "5.1 CONTINUATION without HEADERS",
            begun().frame(kind::CONTINUATION, END_HEADERS, 1, half),
            FrameUnexpected,
            "PROTOCOL_ERROR",
        ),
        ("5.1.1 an even number", begun().get(2), FrameStream, "PROTOCOL_ERROR"),
        ("5.1.1 a number that was passed over", begun().get(5).get(3), FrameStream, "PROTOCOL_ERROR"),
        (
            "5.3.1 a stream that depends on itself",
            begun().frame(kind::HEADERS, END_HEADERS | frame::PRIORITY, 1, &[0, 0, 0, 1, 0]),
            FrameStream,
            "PROTOCOL_ERROR",
        ),
        ("6.1 DATA on stream 0", begun().data(0, 0, b"a"), FrameStream, "PROTOCOL_ERROR"),
        ("6.1 padding as long as the frame", begun().post(1).data(1, PADDED, &[2, 0]), FramePadding, "PROTOCOL_ERROR"),
        ("6.1 padding without a length", begun().post(1).data(1, PADDED, &[]), FrameSize, "FRAME_SIZE_ERROR"),
        ("6.2 HEADERS on stream 0", begun().get(0), FrameStream, "PROTOCOL_ERROR"),
        (
            "6.2 padding longer than HEADERS",
            begun().frame(kind::HEADERS, END_HEADERS | PADDED, 1, &[9, 0]),
            FramePadding,
            "PROTOCOL_ERROR",
        ),
        (
            "6.2 HEADERS too short for a priority",
            begun().frame(kind::HEADERS, END_HEADERS | frame::PRIORITY, 1, &[0]),
            FrameSize,
            "FRAME_SIZE_ERROR",
        ),
        ("6.3 PRIORITY on stream 0", begun().frame(kind::PRIORITY, 0, 0, &[0; 5]), FrameStream, "PROTOCOL_ERROR"),
        ("6.4 RST_STREAM on stream 0", begun().reset(0), FrameStream, "PROTOCOL_ERROR"),
        (
            "6.4 RST_STREAM of three bytes",
            begun().post(1).frame(kind::RST_STREAM, 0, 1, &[0; 3]),
            FrameSize,
            "FRAME_SIZE_ERROR",
        ),
        ("6.5 SETTINGS on a stream", begun().frame(kind::SETTINGS, 0, 1, &[]), FrameStream, "PROTOCOL_ERROR"),
        ("6.5 SETTINGS of five bytes", begun().frame(kind::SETTINGS, 0, 0, &[0; 5]), FrameSize, "FRAME_SIZE_ERROR"),
        (
            "6.5 an acknowledgement with settings",
            begun().frame(kind::SETTINGS, ACK, 0, &[0; 6]),
            FrameSize,
            "FRAME_SIZE_ERROR",
        ),
        ("6.5.2 ENABLE_PUSH of 2", begun().settings(&[(setting::ENABLE_PUSH, 2)]), Setting, "PROTOCOL_ERROR"),
        (
            "6.5.2 a window of 2^31",
            begun().settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 31)]),
            WindowExceeded,
            "FLOW_CONTROL_ERROR",
        ),
        (
            "6.5.2 frames of 16,383 bytes",
            begun().settings(&[(setting::MAX_FRAME_SIZE, 16_383)]),
            Setting,
            "PROTOCOL_ERROR",
        ),
        (
            "6.5.2 frames of 2^24 bytes",
            begun().settings(&[(setting::MAX_FRAME_SIZE, 1 << 24)]),
            Setting,
            "PROTOCOL_ERROR",
        ),
        (
            "6.6 a client pushes",
            begun().frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            PushUnasked,
            "PROTOCOL_ERROR",
        ),
        ("6.7 PING on a stream", begun().frame(kind::PING, 0, 1, &[0; 8]), FrameStream, "PROTOCOL_ERROR"),
        ("6.7 PING of seven bytes", begun().frame(kind::PING, 0, 0, &[0; 7]), FrameSize, "FRAME_SIZE_ERROR"),
        ("6.8 GOAWAY on a stream", begun().frame(kind::GOAWAY, 0, 1, &[0; 8]), FrameStream, "PROTOCOL_ERROR"),
        ("6.8 GOAWAY of seven bytes", begun().frame(kind::GOAWAY, 0, 0, &[0; 7]), FrameSize, "FRAME_SIZE_ERROR"),
        ("6.9 a window that grows by nothing", begun().window(0, 0), WindowIncrement, "PROTOCOL_ERROR"),
        (
            "6.9 WINDOW_UPDATE of three bytes",
            begun().frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3]),
            FrameSize,
            "FRAME_SIZE_ERROR",
        ),
        ("6.9.1 a window beyond 2^31-1", begun().window(0, 0x7fff_ffff), WindowExceeded, "FLOW_CONTROL_ERROR"),
        (
            "6.9.2 a setting that makes a window too large",
            begun().post(1).window(1, 0x7fff_ffff - 65_535).settings(&[(setting::INITIAL_WINDOW_SIZE, 65_536)]),
            WindowExceeded,
            "FLOW_CONTROL_ERROR",
        ),
        (
            "10.5.1 CONTINUATION without end",
            (0..20)
                .fold(begun().frame(kind::HEADERS, 0, 1, half), |bytes, _| bytes.frame(kind::CONTINUATION, 0, 1, &[])),
            BlockTooLong,
            "ENHANCE_YOUR_CALM",
        ),
        (
            "10.5.1 CONTINUATION beyond the limit",
            (0..3).fold(begun().frame(kind::HEADERS, 0, 1, half), |bytes, _| {
                bytes.frame(kind::CONTINUATION, 0, 1, &zeros[..16_000])
            }),
            BlockTooLong,
            "ENHANCE_YOUR_CALM",
        ),
    ] {
        let (story, sent) = answer(&input);
        assert_eq!(story.last(), Some(&format!("broken {why:?}")), "{section}");
        assert!(sent.last().is_some_and(|it| it.starts_with("GOAWAY ") && it.ends_with(code)), "{section}: {sent:?}");
    }
    for (section, input) in [
        ("5.1 HEADERS on a stream that ended", begun().get(1).get(1)),
        ("5.1 DATA on a stream that ended", begun().get(1).data(1, 0, b"a")),
        ("5.1 DATA on a stream that the client reset", begun().post(1).reset(1).data(1, 0, b"a")),
        ("5.1 HEADERS on a stream that the client reset", begun().post(1).reset(1).get(1)),
    ] {
        let (story, out) = story(&input.0, true);
        assert_eq!(story.last().map(String::as_str), Some("broken StreamClosed"), "{section}");
        assert!(frames(&out).last().is_some_and(|it| it.ends_with("STREAM_CLOSED")), "{section}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_with_one_request_ends_its_stream_alone() {
    use Malformed::*;
    let with = |fields: &[(&'static str, &'static str)]| [GET, fields].concat();
    let head = |fields: &[(&str, &str)]| begun().headers(1, END_STREAM, fields);
    for (section, input, why, code) in [
        ("5.1 DATA after the end", begun().get(1).data(1, 0, b"a"), StreamClosed, "STREAM_CLOSED"),
        ("5.1 HEADERS after the end", begun().get(1).get(1), StreamClosed, "STREAM_CLOSED"),
        (
            "6.3 PRIORITY of four bytes",
            begun().post(1).frame(kind::PRIORITY, 0, 1, &[0; 4]),
            FrameSize,
            "FRAME_SIZE_ERROR",
        ),
        ("6.9 a window that grows by nothing", begun().post(1).window(1, 0), WindowIncrement, "PROTOCOL_ERROR"),
        ("6.9.1 a window beyond 2^31-1", begun().post(1).window(1, 0x7fff_ffff), WindowExceeded, "FLOW_CONTROL_ERROR"),
        (
            "8.1 a second head that ends nothing",
            begun().post(1).headers(1, 0, &[("a", "b")]),
            FrameUnexpected,
            "PROTOCOL_ERROR",
        ),
        (
            "8.1 a pseudo-field in trailers",
            begun().post(1).headers(1, END_STREAM, &[(":method", "GET")]),
            PseudoField,
            "PROTOCOL_ERROR",
        ),
        (
            "8.1.1 more content than was stated",
            begun().headers(1, 0, &[POST, &[("content-length", "1")]].concat()).data(1, END_STREAM, b"ab"),
            LengthMismatch,
            "PROTOCOL_ERROR",
        ),
        (
            "8.1.1 less content than was stated",
            begun()
                .headers(1, 0, &[POST, &[("content-length", "3")]].concat())
                .data(1, 0, b"a")
                .data(1, END_STREAM, b"b"),
            ContentMissing,
            "PROTOCOL_ERROR",
        ),
        (
            "8.1.1 content that was stated and is not there",
            head(&with(&[("content-length", "1")])),
            LengthMismatch,
            "PROTOCOL_ERROR",
        ),
        ("8.2 a length that is none", head(&with(&[("content-length", "+1")])), LengthInvalid, "PROTOCOL_ERROR"),
        ("8.2.1 an upper-case name", head(&with(&[("A", "b")])), FieldUpperCase, "PROTOCOL_ERROR"),
        ("8.2.1 a name with a space", head(&with(&[("a b", "c")])), FieldName, "PROTOCOL_ERROR"),
        ("8.2.1 a value with a line feed", head(&with(&[("a", "b\nc")])), FieldValue, "PROTOCOL_ERROR"),
        ("8.2.1 a value with a space before it", head(&with(&[("a", " b")])), FieldValue, "PROTOCOL_ERROR"),
        ("8.2.2 connection", head(&with(&[("connection", "close")])), ConnectionField, "PROTOCOL_ERROR"),
        (
            "8.2.2 transfer-encoding",
            head(&with(&[("transfer-encoding", "chunked")])),
            ConnectionField,
            "PROTOCOL_ERROR",
        ),
        ("8.2.2 te other than trailers", head(&with(&[("te", "gzip")])), ConnectionField, "PROTOCOL_ERROR"),
        ("8.3 an unknown pseudo-field", head(&[GET, &[(":protocol", "x")]].concat()), PseudoField, "PROTOCOL_ERROR"),
        ("8.3 a pseudo-field of responses", head(&with(&[(":status", "200")])), PseudoField, "PROTOCOL_ERROR"),
        ("8.3 a pseudo-field after others", head(&[&[("a", "b")], GET].concat()), PseudoField, "PROTOCOL_ERROR"),
        ("8.3.1 a path that is empty", head(&[GET[0], GET[1], (":path", ""), GET[3]]), PseudoField, "PROTOCOL_ERROR"),
        ("8.3.1 no method", head(&GET[1..]), PseudoField, "PROTOCOL_ERROR"),
        ("8.3.1 no scheme", head(&[GET[0], GET[2], GET[3]]), PseudoField, "PROTOCOL_ERROR"),
        ("8.3.1 no path", head(&[GET[0], GET[1], GET[3]]), PseudoField, "PROTOCOL_ERROR"),
        (
            "8.3.1 two methods",
            head(&with(&[])[..1].iter().chain(GET).copied().collect::<Vec<_>>()),
            PseudoField,
            "PROTOCOL_ERROR",
        ),
        ("8.3.1 no host", head(&GET[..3]), HostMissing, "PROTOCOL_ERROR"),
        ("8.3.1 two hosts", head(&with(&[("host", "other")])), HostTwice, "PROTOCOL_ERROR"),
        (
            "8.3.1 a target that is absolute",
            head(&[GET[0], GET[1], (":path", "http://a/"), GET[3]]),
            Target,
            "PROTOCOL_ERROR",
        ),
        (
            "8.5 CONNECT with a path",
            head(&[(":method", "CONNECT"), (":path", "/"), (":authority", "h:1")]),
            PseudoField,
            "PROTOCOL_ERROR",
        ),
    ] {
        // Another request on the same connection is none the worse.
        let (story, sent) = answer(&input.get(7));
        assert!(story.contains(&format!("1 malformed {why:?}")), "{section}: {story:?}");
        assert_eq!(story.last().map(String::as_str), Some("7 GET /"), "{section}");
        assert_eq!(sent, [format!("RST 1 {code}")], "{section}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_allowed_is_taken() {
    let with = |fields: &[(&'static str, &'static str)]| [GET, fields].concat();
    for (section, input, told) in [
        (
            "5.1 frames on a stream that this end has refused",
            begun().headers(1, 0, &[("a", "b")]).data(1, 0, b"x").headers(1, END_STREAM, &[]).get(3),
            &["1 malformed PseudoField", "3 GET /"][..],
        ),
        (
            "5.1 WINDOW_UPDATE and RST_STREAM on a stream that has ended",
            begun().post(1).reset(1).window(1, 1).reset(1).get(3),
            &["1 POST /", "1 reset CANCEL", "3 GET /"],
        ),
        (
            "5.3 priorities",
            begun().frame(kind::PRIORITY, 0, 9, &[0, 0, 0, 1, 0]).frame(
                kind::HEADERS,
                END_HEADERS | END_STREAM | frame::PRIORITY,
                1,
                &[&[0x80, 0, 0, 3, 255], &block(GET)[..]].concat(),
            ),
            &["1 GET /"],
        ),
        ("5.5 an unknown frame", begun().frame(99, 0xff, 77, b"x").get(1), &["1 GET /"]),
        (
            "6.1 padding",
            begun().post(1).data(1, PADDED, b"\x02abcXX").data(1, PADDED | END_STREAM, b"\x00d"),
            &["1 POST /", "1 data abc", "1 data d", "1 end"],
        ),
        ("6.1 content that is empty", begun().post(1).data(1, 0, b"").data(1, END_STREAM, b""), &["1 POST /", "1 end"]),
        (
            "6.2 padding of HEADERS",
            begun().frame(
                kind::HEADERS,
                END_HEADERS | END_STREAM | PADDED,
                1,
                &[&[3][..], &block(GET), &[0; 3]].concat(),
            ),
            &["1 GET /"],
        ),
        ("6.5.3 an acknowledgement", begun().frame(kind::SETTINGS, ACK, 0, &[]).get(1), &["1 GET /"]),
        ("6.5.2 an unknown setting", begun().settings(&[(0xff, 1)]).get(1), &["1 GET /"]),
        (
            "6.10 a block in pieces",
            begun()
                .frame(kind::HEADERS, END_STREAM, 1, &block(GET)[..7])
                .frame(kind::CONTINUATION, 0, 1, &block(GET)[7..9])
                .frame(kind::CONTINUATION, END_HEADERS, 1, &block(GET)[9..]),
            &["1 GET /"],
        ),
        (
            "8.1 trailers",
            begun().post(1).data(1, 0, b"a").headers(1, END_STREAM, &[("t", "u")]),
            &["1 POST /", "1 data a", "1 trailers t", "1 end"],
        ),
        (
            "8.1.1 content as was stated",
            begun().headers(1, 0, &[POST, &[("content-length", "2")]].concat()).data(1, END_STREAM, b"ab"),
            &["1 POST /", "1 data ab", "1 end"],
        ),
        ("8.2.2 te: trailers", begun().headers(1, END_STREAM, &with(&[("te", "trailers")])), &["1 GET /"]),
        ("8.3.1 Host beside the same authority", begun().headers(1, END_STREAM, &with(&[("host", "h")])), &["1 GET /"]),
        (
            "8.3.1 Host instead of the authority",
            begun().headers(1, END_STREAM, &[GET[0], GET[1], GET[2], ("host", "h")]),
            &["1 GET /"],
        ),
        (
            "8.3.1 OPTIONS of everything",
            begun().headers(1, END_STREAM, &[(":method", "OPTIONS"), GET[1], (":path", "*"), GET[3]]),
            &["1 OPTIONS *"],
        ),
        (
            "8.5 CONNECT",
            begun().headers(1, END_STREAM, &[(":method", "CONNECT"), (":authority", "h:1")]),
            &["1 CONNECT h:1"],
        ),
        ("6.8 GOAWAY", begun().frame(kind::GOAWAY, 0, 0, &[0; 8]).get(1), &["goaway NO_ERROR", "1 GET /"]),
    ] {
        let (whole, out) = story(&input.0, false);
        assert_eq!(whole, told, "{section}");
        assert!(!frames(&out).iter().any(|it| it.starts_with("GOAWAY")), "{section}");
        // However it arrives.
        let (mut server, mut inbox, mut room, mut sent) =
            (Server::new(AnnouncedSettings::SERVER), Vec::new(), Block::new(), Vec::new());
        let mut count = 0;
        for byte in &input.0 {
            inbox.push(*byte);
            let mut rest = &inbox[..];
            while server.receive(&mut rest, &mut room, 0, &mut sent).is_some() {
                count += 1;
            }
            let left = rest.len();
            inbox.drain(..inbox.len() - left);
        }
        let pieces = |story: &[String]| -> usize {
            let length = |line: &String| line.split_once(" data ").map_or(1, |(_, data)| data.len());
            story.iter().map(length).sum()
        };
        assert_eq!((count, inbox.len()), (pieces(&whole), 0), "{section}");
        assert_eq!(sent, out, "{section}");
    }
}

#[test]
fn pings_and_settings_are_answered_and_priorities_are_not() {
    let input = begun().frame(kind::PING, 0, 0, b"12345678").frame(kind::PING, ACK, 0, b"87654321");
    assert_eq!(frames(&story(&input.0, false).1), ["SETTINGS ack", "PING 1 12345678"]);
}

#[test]
fn more_streams_than_announced_are_refused_and_the_others_go_on() {
    let input = (0..=128).fold(begun(), |bytes, number| bytes.get(2 * number + 1));
    let (story, sent) = answer(&input);
    assert_eq!((story.len(), story[128].as_str()), (129, "257 refused /"));
    assert_eq!(sent, ["RST 257 REFUSED_STREAM"]);
}

#[test]
fn requests_that_are_cancelled_at_once_end_the_connection_after_a_hundred() {
    let input = (0..10_000).fold(begun(), |bytes, number| bytes.get(2 * number + 1).reset(2 * number + 1));
    let (story, sent) = answer(&input);
    assert!(story.len() < 2 * 110, "{} events", story.len());
    assert_eq!(story.last().map(String::as_str), Some("broken ResetFlood"));
    assert_eq!(sent, ["GOAWAY 201 ENHANCE_YOUR_CALM"]);
    // So do streams that it has the other end reset.
    let input = (0..10_000).fold(begun(), |bytes, number| bytes.get(2 * number + 1).window(2 * number + 1, 0));
    let (story, sent) = answer(&input);
    assert_eq!(story.last().map(String::as_str), Some("broken ResetFlood"));
    assert_eq!((sent.len(), sent[101].as_str()), (102, "GOAWAY 201 ENHANCE_YOUR_CALM"));
    // Fifty a second are a client with little patience.
    let (mut server, mut out, mut room) = (Server::new(AnnouncedSettings::SERVER), Vec::new(), Block::new());
    for number in 0..1000 {
        let input = if number == 0 { begun() } else { Bytes::default() }.get(2 * number + 1).reset(2 * number + 1);
        let mut rest = &input.0[..];
        while let Some((_, event)) = server.receive(&mut rest, &mut room, u64::from(number) * 20_000_000, &mut out) {
            assert!(!matches!(event, server::ServerEvent::Broken(_)), "{number}");
        }
    }
}

#[test]
fn a_head_over_the_limit_is_responded_to_and_the_next_is_read() {
    let long = "a".repeat(120);
    let fields: Vec<(&str, &str)> = GET.iter().copied().chain((0..200).map(|_| ("x", &*long))).collect();
    let block = block(&fields);
    let (one, other) = block.split_at(16_000);
    let input =
        begun().frame(kind::HEADERS, END_STREAM, 1, one).frame(kind::CONTINUATION, END_HEADERS, 1, other).get(3);
    let (story, sent) = answer(&input);
    assert_eq!(story, ["1 malformed HeadTooLarge", "3 GET /"]);
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn windows_hold_in_both_directions() {
    // Received: they are filled again before they are empty, and more than they allow is an error.
    let settings = AnnouncedSettings { stream_window: 40_000, connection_window: 70_000, ..AnnouncedSettings::SERVER };
    let run = |frames: &[(u32, usize)]| {
        let (mut server, mut out, mut room) = (Server::new(settings), Vec::new(), Block::new());
        let input = frames
            .iter()
            .fold(begun().post(1).post(3), |bytes, (stream, length)| bytes.data(*stream, 0, &vec![b'x'; *length]));
        let mut rest = &input.0[..];
        let mut wrong = None;
        while let Some((stream, event)) = server.receive(&mut rest, &mut room, 0, &mut out) {
            match event {
                server::ServerEvent::Malformed(why) | server::ServerEvent::Broken(why) => wrong = Some((stream.0, why)),
                _ => {}
            }
        }
        (super::spec::frames(&out)[1..].to_vec(), wrong)
    };
    assert_eq!(run(&[(1, 16_000)]), (vec![], None));
    assert_eq!(run(&[(1, 16_000), (1, 16_000)]).0, ["WINDOW 1 32000"]);
    assert_eq!(run(&[(1, 16_000), (1, 16_000), (3, 16_000)]).0, ["WINDOW 1 32000", "WINDOW 0 48000"]);
    let small = AnnouncedSettings { stream_window: 10_000, connection_window: 70_000, ..AnnouncedSettings::SERVER };
    let over = |settings: AnnouncedSettings| {
        let (mut server, mut out, mut room) = (Server::new(settings), Vec::new(), Block::new());
        let input = begun().post(1).data(1, 0, &[b'x'; 16_000]);
        let mut rest = &input.0[..];
        while server.receive(&mut rest, &mut room, 0, &mut out).is_some() {}
        super::spec::frames(&out).pop().unwrap()
    };
    assert_eq!(over(small), "RST 1 FLOW_CONTROL_ERROR");
    assert_eq!(over(AnnouncedSettings { connection_window: 10_000, ..small }), "GOAWAY 1 FLOW_CONTROL_ERROR");

    // Sent: no more than both windows allow, and a setting may make less than nothing of one.
    let (mut server, mut out, mut room) = (Server::new(AnnouncedSettings::SERVER), Vec::new(), Block::new());
    let mut take = |server: &mut Server, bytes: Bytes, out: &mut Vec<u8>| {
        let mut rest = &bytes.0[..];
        while server.receive(&mut rest, &mut room, 0, out).is_some() {}
    };
    take(&mut server, begun().get(1).get(3), &mut out);
    let (one, three) = (StreamId(1), StreamId(3));
    server.respond(one, 200, Follows::More, &mut out, |_| {});
    server.respond(three, 200, Follows::More, &mut out, |_| {});
    assert_eq!((server.capacity(one), server.capacity(StreamId(9))), (65_535, 0));
    server.data(one, &[0; 60_000], Follows::More, &mut out);
    assert_eq!((server.capacity(one), server.capacity(three)), (5_535, 5_535), "the connection's window is shared");
    take(&mut server, Bytes::default().window(0, 100_000), &mut out);
    assert_eq!((server.capacity(one), server.capacity(three)), (5_535, 65_535));
    take(&mut server, Bytes::default().settings(&[(setting::INITIAL_WINDOW_SIZE, 10)]), &mut out);
    assert_eq!((server.capacity(one), server.capacity(three)), (0, 10));
    take(&mut server, Bytes::default().window(1, 60_000), &mut out);
    assert_eq!(server.capacity(one), 10, "what was sent before counts");
    server.data(one, &[0; 10], Follows::Nothing, &mut out);
    assert_eq!((server.capacity(one), server.is_sending(one)), (0, false));
}

#[test]
fn a_response_has_left_when_its_last_frame_has() {
    let (mut server, mut out, mut room) = (Server::new(AnnouncedSettings::SERVER), Vec::new(), Block::new());
    let input = begun().get(1).get(3);
    let mut rest = &input.0[..];
    while server.receive(&mut rest, &mut room, 0, &mut out).is_some() {}
    let before = out.len();
    server.respond(StreamId(1), 200, Follows::More, &mut out, |out| literal(out, "a", b"b"));
    server.respond(StreamId(3), 204, Follows::Nothing, &mut out, |_| {});
    let second = out.len();
    server.data(StreamId(1), b"abc", Follows::Nothing, &mut out);
    let wrote = |server: &mut Server, bytes| server.wrote(bytes).map(|it| (it.stream.0, it.bytes)).collect::<Vec<_>>();
    assert_eq!(wrote(&mut server, before), []);
    assert_eq!(wrote(&mut server, second - before), [(3, 10)]);
    assert_eq!(wrote(&mut server, out.len() - second), [(1, 9 + 1 + 5 + 9 + 3)]);
    assert_eq!(server.streams(), 0);
}

#[test]
fn a_block_longer_than_a_frame_goes_on_in_continuation() {
    let mut client_out = Vec::new();
    let mut client = Client::new(AnnouncedSettings::CLIENT, &mut client_out);
    let long = vec![b'\xff'; 40_000];
    let first = FirstLine { method: "GET", scheme: "http", authority: "h", path: "/" };
    client.open(&first, RequestContext::Other, Follows::Nothing, &mut client_out, |fields| fields.fresh("x", &long));
    assert_eq!(frames(&client_out[PREFACE.len()..])[2..], ["HEADERS 1", "CONTINUATION 1", "CONTINUATION 1"]);
    let settings = AnnouncedSettings { max_head: 50_000, ..AnnouncedSettings::SERVER };
    let (mut server, mut out, mut room) = (Server::new(settings), Vec::new(), Block::new());
    let mut rest = &client_out[..];
    let (_, event) = server.receive(&mut rest, &mut room, 0, &mut out).unwrap();
    let server::ServerEvent::Head(request) = event else { panic!("{event:?}") };
    let lines = request.lines();
    assert_eq!(request.head(&lines).fields.first("x"), Some(&long[..]));
}

/// What a client makes of what a server says to one request that has no body.
fn answered(input: &Bytes, asked: RequestContext) -> (Vec<String>, Vec<String>) {
    let (mut out, mut room, mut story) = (Vec::new(), Block::new(), Vec::new());
    let mut client = Client::new(AnnouncedSettings::CLIENT, &mut out);
    let method = if asked == RequestContext::Head { "HEAD" } else { "GET" };
    let first = FirstLine { method, scheme: "http", authority: "h", path: "/" };
    client.open(&first, asked, Follows::Nothing, &mut out, |_| {});
    out.clear();
    let mut rest = &input.0[..];
    while let Some((StreamId(id), event)) = client.receive(&mut rest, &mut room, 0, &mut out) {
        story.push(match event {
            client::ClientEvent::Interim(status) => format!("{id} interim {status}"),
            client::ClientEvent::Head(response) => {
                format!("{id} {} {:?}", response.status, response.head(&response.lines()).framing)
            }
            client::ClientEvent::Data(data) => format!("{id} data {}", data.escape_ascii()),
            client::ClientEvent::Trailers(trailers) => format!("{id} trailers {}", trailers.iter().count()),
            client::ClientEvent::End => format!("{id} end"),
            client::ClientEvent::Malformed(why) => format!("{id} malformed {why:?}"),
            client::ClientEvent::Reset(code) => format!("{id} reset {code}"),
            client::ClientEvent::GoAway(code) => format!("goaway {code}"),
            client::ClientEvent::Broken(why) => format!("broken {why:?}"),
        });
    }
    (story, frames(&out).into_iter().filter(|it| it != "SETTINGS ack").collect())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_client_takes_what_is_allowed_and_names_what_is_not() {
    let begun = || Bytes::default().settings(&[(setting::MAX_CONCURRENT_STREAMS, 1)]);
    let ok: &[(&str, &str)] = &[(":status", "200")];
    let of = |length: &'static str| [(":status", "200"), ("content-length", length)];
    for (section, input, asked, told) in [
        (
            "a response",
            begun().headers(1, 0, &of("3")).data(1, END_STREAM, b"abc"),
            RequestContext::Other,
            &["1 200 Length(3)", "1 data abc", "1 end"][..],
        ),
        (
            "one without a length",
            begun().headers(1, 0, ok).data(1, END_STREAM, b"abc"),
            RequestContext::Other,
            &["1 200 Stream", "1 data abc", "1 end"],
        ),
        ("one without content", begun().headers(1, END_STREAM, ok), RequestContext::Other, &["1 200 None"]),
        (
            "interim responses",
            begun().headers(1, 0, &[(":status", "103")]).headers(1, END_STREAM, ok),
            RequestContext::Other,
            &["1 interim 103", "1 200 None"],
        ),
        (
            "trailers",
            begun().headers(1, 0, ok).data(1, 0, b"a").headers(1, END_STREAM, &[("grpc-status", "0")]),
            RequestContext::Other,
            &["1 200 Stream", "1 data a", "1 trailers 1", "1 end"],
        ),
        ("HEAD", begun().headers(1, END_STREAM, &of("3")), RequestContext::Head, &["1 200 None"]),
        (
            "304 with a length",
            begun().headers(1, END_STREAM, &[(":status", "304"), ("content-length", "9")]),
            RequestContext::Other,
            &["1 304 None"],
        ),
        (
            "content after HEAD",
            begun().headers(1, 0, &of("3")).data(1, END_STREAM, b"abc"),
            RequestContext::Head,
            &["1 200 Length(0)", "1 data abc", "1 malformed LengthMismatch"],
        ),
        (
            "too little content",
            begun().headers(1, 0, &of("3")).data(1, END_STREAM, b"ab"),
            RequestContext::Other,
            &["1 200 Length(3)", "1 data ab", "1 malformed ContentMissing"],
        ),
        (
            "no content where some was stated",
            begun().headers(1, END_STREAM, &of("3")),
            RequestContext::Other,
            &["1 malformed LengthMismatch"],
        ),
        (
            "no status",
            begun().headers(1, END_STREAM, &[("a", "b")]),
            RequestContext::Other,
            &["1 malformed PseudoField"],
        ),
        (
            "a status that is none",
            begun().headers(1, END_STREAM, &[(":status", "20")]),
            RequestContext::Other,
            &["1 malformed StatusLine"],
        ),
        (
            "two statuses",
            begun().headers(1, END_STREAM, &[ok[0], ok[0]]),
            RequestContext::Other,
            &["1 malformed PseudoField"],
        ),
        ("101", begun().headers(1, 0, &[(":status", "101")]), RequestContext::Other, &["1 malformed UpgradeUnasked"]),
        (
            "an interim response that ends",
            begun().headers(1, END_STREAM, &[(":status", "100")]),
            RequestContext::Other,
            &["1 malformed FrameUnexpected"],
        ),
        (
            "a field of connections",
            begun().headers(1, END_STREAM, &[ok[0], ("connection", "close")]),
            RequestContext::Other,
            &["1 malformed ConnectionField"],
        ),
        ("content before a head", begun().data(1, 0, b"a"), RequestContext::Other, &["1 malformed FrameUnexpected"]),
        (
            "a reset",
            begun().headers(1, 0, ok).frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 2]),
            RequestContext::Other,
            &["1 200 Stream", "1 reset INTERNAL_ERROR"],
        ),
        (
            "GOAWAY that lets it live",
            begun().frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]).headers(1, END_STREAM, ok),
            RequestContext::Other,
            &["goaway NO_ERROR", "1 200 None"],
        ),
        (
            "GOAWAY below it",
            begun().frame(kind::GOAWAY, 0, 0, &[0; 8]),
            RequestContext::Other,
            &["goaway NO_ERROR", "1 reset REFUSED_STREAM"],
        ),
        (
            "a push",
            begun().frame(kind::PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            RequestContext::Other,
            &["broken PushUnasked"],
        ),
        (
            "a stream that nobody asked for",
            begun().headers(3, END_STREAM, ok),
            RequestContext::Other,
            &["broken FrameStream"],
        ),
        (
            "HTTP/1 instead",
            Bytes::default().raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            RequestContext::Other,
            &["broken Http2Preface"],
        ),
        (
            "ENABLE_PUSH of a server",
            Bytes::default().settings(&[(setting::ENABLE_PUSH, 1)]),
            RequestContext::Other,
            &["broken Setting"],
        ),
    ] {
        let (story, sent) = answered(&input, asked);
        assert_eq!(story, told, "{section}");
        let wrong = story.iter().filter(|it| it.contains("malformed")).count();
        assert_eq!(sent.iter().filter(|it| it.starts_with("RST")).count(), wrong, "{section}: {sent:?}");
        assert_eq!(
            sent.iter().any(|it| it.starts_with("GOAWAY")),
            story.iter().any(|it| it.starts_with("broken")),
            "{section}"
        );
    }
}

#[test]
fn a_client_opens_no_more_streams_than_it_may() {
    let (mut out, mut room) = (Vec::new(), Block::new());
    let mut client = Client::new(AnnouncedSettings::CLIENT, &mut out);
    let first = FirstLine { method: "GET", scheme: "http", authority: "h", path: "/" };
    assert!(client.can_open() && !client.has_settings());
    let input = Bytes::default().settings(&[(setting::MAX_CONCURRENT_STREAMS, 2)]);
    assert!(client.receive(&mut &input.0[..], &mut room, 0, &mut out).is_none());
    let (one, three) = (
        client.open(&first, RequestContext::Other, Follows::Nothing, &mut out, |_| {}),
        client.open(&first, RequestContext::Other, Follows::More, &mut out, |_| {}),
    );
    assert_eq!((one, three, client.can_open(), client.streams()), (StreamId(1), StreamId(3), false, 2));
    client.cancel(three, ErrorCode::CANCEL, &mut out);
    assert!(client.can_open());
    // What the server had sent by then is passed over.
    let late = Bytes::default().headers(3, 0, &[(":status", "200")]).data(3, END_STREAM, b"late").reset(3);
    assert!(client.receive(&mut &late.0[..], &mut room, 0, &mut out).is_none());
    let leaving = Bytes::default().frame(kind::GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
    assert!(client.receive(&mut &leaving.0[..], &mut room, 0, &mut out).is_some());
    assert!(client.is_leaving() && !client.can_open() && client.streams() == 1);
}
