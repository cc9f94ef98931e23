//! Calls as bytes of messages: what comes, in whatever pieces, and what is made of it.

use std::time::Duration;

use api::generator::{
    CollectResponse, Event, EventsRequest, GenerateRequest, GenerateResponse, GeneratorMethod, NumberedMessage,
};
use http::grpc::{MessageReader, write_message};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use uuid::Uuid;

use super::*;
use crate::backend::grpc::health::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use crate::backend::grpc::method::HealthMethod;
use crate::backend::health::Health;
use crate::wire::{BackendIdentity, Generator, Instance};

fn identity() -> BackendIdentity {
    BackendIdentity { name: "9001".to_owned(), number: Some(Generator(9001)), instance: Instance(7) }
}

fn at(now: u64, identity: &BackendIdentity) -> CallFacts<'_> {
    CallFacts { now: Moment(now), identity, health: Health::default(), draining: false }
}

fn call(method: CallMethod) -> GrpcCall {
    GrpcCall::new(Some(method), ResponseId(Uuid::from_u128(5)))
}

fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, |out| message.encode(out).unwrap());
    bytes
}

/// The messages that a call has written and not sent.
fn written<M: Message + Default>(call: &mut GrpcCall) -> Vec<M> {
    let bytes = call.unsent().to_vec();
    call.note_sent(bytes.len());
    let (mut reader, mut rest, mut messages) = (MessageReader::new(u32::MAX), &bytes[..], Vec::new());
    while let Some(message) = reader.next(&mut rest).unwrap() {
        messages.push(M::decode(message.content).unwrap());
    }
    assert!(reader.is_between_messages());
    messages
}

fn status(call: &GrpcCall) -> Option<GrpcStatus> {
    call.end().map(|end| end.status)
}

#[test]
fn one_message_gets_one_with_the_uuid_of_its_response() {
    let identity = identity();
    let mut call = call(CallMethod::Generator(GeneratorMethod::Generate));
    assert!(call.awaits_request() && !call.can_respond());
    call.receive(&framed(&GenerateRequest { bytes: 3, delay_ms: 20, status: 0 }), &at(1, &identity));
    assert!(!call.can_respond(), "the request has not ended");
    call.finish(&at(1, &identity));
    assert_eq!((call.delay(), status(&call)), (Duration::from_millis(20), Some(GrpcStatus::OK)));
    let uuid = Uuid::from_u128(5).to_string();
    let expected = GenerateResponse { uuid, backend: "9001".to_owned(), number: 9001, padding: vec![0; 3] };
    assert_eq!(written::<GenerateResponse>(&mut call), [expected]);
    assert_eq!((call.record.received, call.record.written), (1, 1));
}

#[test]
fn what_cannot_be_served_has_its_status() {
    let identity = identity();
    let generate = CallMethod::Generator(GeneratorMethod::Generate);
    let good = framed(&GenerateRequest::default());
    let compressed = [1, 0, 0, 0, 0].to_vec();
    let large = [0, 0, 0x40, 0, 1].to_vec();
    let unreadable = [0, 0, 0, 0, 1, 0xff].to_vec();
    for (bytes, expected) in [
        (vec![], GrpcStatus::INTERNAL),
        ([&good[..], &good[..]].concat(), GrpcStatus::INTERNAL),
        (good[..3].to_vec(), GrpcStatus::INTERNAL),
        (compressed, GrpcStatus::INTERNAL),
        (large, GrpcStatus::RESOURCE_EXHAUSTED),
        (unreadable, GrpcStatus::INTERNAL),
        (framed(&GenerateRequest { status: 5, ..Default::default() }), GrpcStatus::NOT_FOUND),
        (framed(&GenerateRequest { status: 17, ..Default::default() }), GrpcStatus::INVALID_ARGUMENT),
        (framed(&GenerateRequest { delay_ms: 60_001, ..Default::default() }), GrpcStatus::INVALID_ARGUMENT),
    ] {
        let mut call = call(generate);
        call.receive(&bytes, &at(1, &identity));
        call.finish(&at(1, &identity));
        assert_eq!(
            (status(&call), call.unsent(), call.delay()),
            (Some(expected), &[][..], Duration::ZERO),
            "{bytes:?}"
        );
    }
}

#[test]
fn compressed_messages_are_those_that_were_compressed() {
    let identity = identity();
    let message = NumberedMessage { number: 1, sent_ns: 0, padding: vec![0; 10_000] };
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, &message.encode_to_vec()).unwrap();
    let mut compressed = Vec::new();
    write_message(&mut compressed, |out| out.extend(encoder.finish().unwrap()));
    compressed[0] = 1;
    let collect = |coding: &[u8]| {
        let mut call = call(CallMethod::Generator(GeneratorMethod::Collect));
        call.coding = MessageCoding::of(coding);
        // Not all messages of a call need be compressed.
        call.receive(&compressed, &at(1, &identity));
        call.receive(&framed(&NumberedMessage { number: 2, ..Default::default() }), &at(1, &identity));
        call.finish(&at(1, &identity));
        call
    };
    let mut read = collect(b"gzip");
    assert_eq!(status(&read), Some(GrpcStatus::OK));
    let bytes = (message.encoded_len() + 2) as u64;
    assert_eq!((written::<CollectResponse>(&mut read)[0].bytes, read.record.last_received), (bytes, 2));
    assert_eq!(status(&collect(b"snappy")), Some(GrpcStatus::UNIMPLEMENTED));
    assert_eq!(status(&collect(b"identity")), Some(GrpcStatus::INTERNAL));
}

#[test]
fn events_come_at_their_times_until_the_deadline() {
    let identity = identity();
    let mut call = call(CallMethod::Generator(GeneratorMethod::Events));
    call.deadline = Some(Moment(2_500_000));
    call.receive(&framed(&EventsRequest { count: 5, every_ms: 1, bytes: 0, first: 2 }), &at(100, &identity));
    call.finish(&at(100, &identity));
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let due = call.due().unwrap().0.max(100);
        call.advance(&at(due, &identity));
        numbers.extend(written::<Event>(&mut call).iter().map(|event| (event.number, event.written_ns)));
    }
    assert_eq!(numbers, [(2, 100), (3, 1_000_100), (4, 2_000_100)]);
    assert_eq!(call.due(), Some(Moment(2_500_000)));
    call.advance(&at(2_500_000, &identity));
    assert_eq!((status(&call), call.record.written), (Some(GrpcStatus::DEADLINE_EXCEEDED), 3));
    assert!(call.is_overdue() && call.due().is_none());
}

#[test]
fn who_watches_health_learns_each_change_once() {
    let identity = identity();
    let watch = |service: &str| {
        let mut call = call(CallMethod::Health(HealthMethod::Watch));
        call.receive(&framed(&HealthCheckRequest { service: service.to_owned() }), &at(1, &identity));
        call.finish(&at(1, &identity));
        call
    };
    let seen = |call: &mut GrpcCall, facts: CallFacts| {
        call.advance(&facts);
        written::<HealthCheckResponse>(call)
    };
    let good = at(1, &identity);
    let unready = CallFacts { health: Health { ready: false, ..Health::default() }, ..good };
    let mut call = watch("uuid.v1.Generator");
    assert_eq!(seen(&mut call, good), [ServingStatus::Serving.response()]);
    assert_eq!(seen(&mut call, good), []);
    assert_eq!(seen(&mut call, unready), [ServingStatus::NotServing.response()]);
    assert_eq!(seen(&mut call, good), [ServingStatus::Serving.response()]);
    let draining = CallFacts { draining: true, ..good };
    assert_eq!(seen(&mut call, draining), [ServingStatus::NotServing.response()]);
    assert_eq!(status(&call), Some(GrpcStatus::UNAVAILABLE), "it keeps no backend from ending");
    assert_eq!(seen(&mut watch("liveness"), unready), [ServingStatus::Serving.response()]);
    let mut unknown = watch("nobody");
    assert_eq!((seen(&mut unknown, good), status(&unknown)), (vec![ServingStatus::ServiceUnknown.response()], None));
}

#[test]
fn a_fault_leaves_half_of_the_first_message() {
    let identity = identity();
    let mut call = call(CallMethod::Generator(GeneratorMethod::Echo));
    assert!(!call.halve());
    let message = framed(&NumberedMessage { number: 1, sent_ns: 0, padding: vec![1; 20] });
    call.receive(&[&message[..], &message[..]].concat(), &at(1, &identity));
    assert!(call.halve());
    assert_eq!((call.unsent(), call.record.written), (&message[..message.len() / 2], 1));
}

proptest! {
    #[test]
    fn messages_are_echoed_and_counted_whatever_the_pieces(
        lengths in vec(0..50usize, 0..10),
        sizes in vec(1..40usize, 1..10),
        skipped in proptest::option::of(0..10usize),
    ) {
        let identity = identity();
        let sent: Vec<NumberedMessage> = lengths
            .iter()
            .enumerate()
            .map(|(place, length)| {
                let number = place as u32 + 1 + u32::from(skipped.is_some_and(|skipped| place >= skipped));
                NumberedMessage { number, sent_ns: 7, padding: vec![b'x'; *length] }
            })
            .collect();
        let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
        let mut echo = call(CallMethod::Generator(GeneratorMethod::Echo));
        let mut collect = call(CallMethod::Generator(GeneratorMethod::Collect));
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            let (piece, left) = rest.split_at((*size).min(rest.len()));
            echo.receive(piece, &at(1, &identity));
            collect.receive(piece, &at(1, &identity));
            rest = left;
            if rest.is_empty() {
                break;
            }
        }
        echo.finish(&at(2, &identity));
        collect.finish(&at(2, &identity));
        prop_assert_eq!(written::<NumberedMessage>(&mut echo), sent);
        let misplaced = u32::from(skipped.is_some_and(|skipped| skipped < lengths.len()));
        let response = &written::<CollectResponse>(&mut collect)[0];
        prop_assert_eq!((response.messages, response.misplaced), (lengths.len() as u32, misplaced));
        prop_assert_eq!(response.bytes, (bytes.len() - 5 * lengths.len()) as u64);
        prop_assert_eq!((status(&echo), status(&collect)), (Some(GrpcStatus::OK), Some(GrpcStatus::OK)));
    }

    #[test]
    fn any_bytes_end_a_call_or_leave_it_open(bytes in vec(any::<u8>(), 0..100), place in 0..7usize, cut in 0..100usize) {
        let identity = identity();
        let methods = [
            CallMethod::Generator(GeneratorMethod::Generate),
            CallMethod::Generator(GeneratorMethod::Events),
            CallMethod::Generator(GeneratorMethod::Collect),
            CallMethod::Generator(GeneratorMethod::Echo),
            CallMethod::Health(HealthMethod::Check),
            CallMethod::Health(HealthMethod::Watch),
            CallMethod::Reflection,
        ];
        let mut call = call(methods[place]);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        call.receive(first, &at(1, &identity));
        call.receive(second, &at(1, &identity));
        call.finish(&at(1, &identity));
        call.advance(&at(1, &identity));
        let goes_on = matches!(call.work, Work::Events { .. } | Work::Watch { .. });
        prop_assert!(call.end().is_some() || goes_on);
        call.fail(GrpcStatus::INTERNAL, "x");
        prop_assert!(call.unsent().is_empty());
    }
}
