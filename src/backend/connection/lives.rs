//! Streams and WebSockets on a connection: what the client gets, and what their records know of their lives.

use http::ws::{self, Opcode, write_close, write_frame};
use verdict::life::{Life, LifeEnd, StreamEvent, StreamKind};

use super::tests::Conversation;
use crate::wire::AttemptEnd;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn asked(target: &str, fields: &str) -> Conversation {
    let mut conversation = Conversation::begin();
    conversation.hear(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
    conversation
}

fn upgraded(target: &str) -> Conversation {
    let fields = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n"
    );
    asked(target, &fields)
}

#[test]
fn events_are_written_at_their_times_and_their_record_knows_each() {
    let mut conversation = asked("/events?count=3&every=10ms", "");
    let text = conversation.text();
    assert!(text.contains("Content-Type: text/event-stream\r\n") && text.contains("Transfer-Encoding: chunked\r\n"));
    assert!(text.contains("id: 1\n") && !text.contains("id: 2\n") && !text.contains("Response-Digest"), "{text}");
    let open = conversation.open()[0].life.unwrap();
    assert_eq!((open.kind, open.written, open.end), (StreamKind::Events, 1, LifeEnd::Open));
    while conversation.pass() {}
    assert!(conversation.text().contains("id: 3\n") && conversation.text().ends_with("\r\n0\r\n\r\n"));
    conversation.write_all();
    // The connection goes on.
    conversation.hear(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    conversation.write_all();
    let records = conversation.end_by(LifeEnd::Closed);
    let life = records[0].life.unwrap();
    assert_eq!((records[0].outcome, life.written, life.end), (AttemptEnd::Completed, 3, LifeEnd::Backend));
    assert_eq!((records[1].status, records[1].life), (200, None));
}

#[test]
fn a_client_that_leaves_is_noted_with_what_it_had_been_sent() {
    let mut conversation = asked("/events?count=9&every=10ms", "Last-Event-ID: 4\r\n");
    assert!(conversation.pass());
    assert!(conversation.text().contains("id: 5\n") && conversation.text().contains("id: 6\n"));
    let record = conversation.end_by(LifeEnd::Reset).remove(0);
    let life = record.life.unwrap();
    assert_eq!((record.outcome, life.end), (AttemptEnd::CutOff, LifeEnd::Reset));
    assert_eq!((life.first, life.written, life.last_written()), (5, 2, Some(6)));
}

#[test]
fn chunks_and_downloads_are_lines_and_head_gets_none() {
    let mut conversation = asked("/chunks?count=2&every=0s", "");
    while conversation.pass() {}
    assert_eq!(conversation.text().matches("{\"event\":").count(), 2);
    let mut conversation = asked("/download?count=1000&every=0s", "");
    while conversation.pass() {}
    let text = conversation.text();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
    assert_eq!(body.lines().filter(|line| StreamEvent::read(line.as_bytes()).is_some()).count(), 1000);
    let mut conversation = Conversation::begin();
    conversation.hear(b"HEAD /events HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(conversation.text().ends_with("\r\n\r\n") && !conversation.pass());
}

#[test]
fn a_fault_breaks_a_stream_off_midway() {
    let mut conversation = Conversation::begin();
    conversation.misbehave("close-midway");
    conversation.hear(b"GET /events?count=6&every=1ms HTTP/1.1\r\nHost: h\r\n\r\n");
    while conversation.pass() {}
    assert!(conversation.text().contains("id: 3\n") && !conversation.text().contains("id: 4\n"));
    assert!(!conversation.text().ends_with("0\r\n\r\n"));
    conversation.write_all();
    let record = conversation.end_by(LifeEnd::Backend).remove(0);
    assert_eq!((record.outcome, record.life.unwrap().written), (AttemptEnd::CutOff, 3));
}

#[test]
fn a_websocket_echoes_and_its_record_knows_both_ways() {
    let mut conversation = upgraded("/uuid/ws?push=5ms&count=2&close=4000");
    let text = conversation.text();
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && text.contains(ACCEPT), "{text}");
    assert!(text.contains("Generator-Number: 9001\r\n") && !text.contains("Sec-WebSocket-Extensions"), "{text}");
    let mut message = Vec::new();
    write_frame(&mut message, Opcode::Text, b"hello", Some([1, 2, 3, 4]));
    message.iter().for_each(|byte| conversation.hear(&[*byte]));
    assert!(conversation.text().ends_with("\u{fffd}\u{5}hello"), "{}", conversation.text());
    conversation.pass();
    assert_eq!(conversation.open()[0].life.unwrap().written, 2);
    conversation.pass();
    assert_eq!(conversation.open()[0].life.unwrap().close_sent, Some(4000));
    let mut close = Vec::new();
    write_close(&mut close, Some(4000), "", Some([9; 4]));
    conversation.hear(&close);
    conversation.write_all();
    let record = conversation.end_by(LifeEnd::Closed).remove(0);
    let expected = Life {
        written: 2,
        received: 1,
        received_bytes: 5,
        end: LifeEnd::Backend,
        close_sent: Some(4000),
        close_received: Some(4000),
        ..Life::new(StreamKind::Websocket, 1)
    };
    assert_eq!((record.status, record.outcome, record.life), (101, AttemptEnd::Completed, Some(expected)));
}

#[test]
fn frames_may_come_together_with_the_handshake() {
    let mut bytes = format!(
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    .into_bytes();
    write_close(&mut bytes, None, "", Some([0; 4]));
    let mut conversation = Conversation::begin();
    conversation.hear(&bytes);
    conversation.write_all();
    let life = conversation.end_by(LifeEnd::Closed)[0].life.unwrap();
    assert_eq!((life.close_received, life.end), (Some(1005), LifeEnd::CloseFrame));
}

#[test]
fn a_websocket_whose_connection_ends_is_noted_with_who_ended_it() {
    let life = upgraded("/ws").end_by(LifeEnd::Closed)[0].life.unwrap();
    assert_eq!((life.end, life.close_sent, life.close_received), (LifeEnd::Closed, None, None));
}

#[test]
fn what_is_no_handshake_is_refused_as_the_rfc_says() {
    let text = asked("/ws", "").text();
    assert!(text.starts_with("HTTP/1.1 426 ") && text.contains("Upgrade: websocket\r\n"), "{text}");
    assert!(text.contains(&format!("Sec-WebSocket-Version: {}\r\n", ws::VERSION)), "{text}");
    let keyless = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    assert!(asked("/ws", keyless).text().starts_with("HTTP/1.1 400 "));
    assert!(asked("/events?count=0", "").text().starts_with("HTTP/1.1 400 "));
}
