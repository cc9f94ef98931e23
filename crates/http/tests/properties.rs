//! The properties that `cargo fuzz` runs without end, run for a while on mutations of its corpora.
#![allow(unreachable_pub, reason = "nothing of a bench or a test is reachable from outside")]

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[path = "../fuzz/properties.rs"]
mod properties;

#[allow(clippy::disallowed_methods, reason = "a test reads what fuzzing has found")]
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
    let inputs: Vec<Vec<u8>> = files.collect();
    assert!(inputs.len() > 3, "the corpus of {target} is gone");
    inputs
}

#[derive(Clone, Debug)]
enum Mutation {
    Put(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index),
    Repeat(Index, usize),
    Cut(Index),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    // What readers have disagreed on.
    const PARTS: [&[u8]; 20] = [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"\0",
        b",",
        b";",
        b":",
        b"0",
        b"ffffffffffffffff",
        b"+5",
        b"5, 5",
        b"\x0b",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Host: b\r\n",
        b"chunked, ",
        b"HTTP/1.2",
    ];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Put(at, byte)),
        8 => (any::<Index>(), select(&PARTS[..])).prop_map(|(at, part)| Mutation::Insert(at, part)),
        4 => any::<Index>().prop_map(Mutation::Remove),
        2 => (any::<Index>(), 1..200usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        1 => any::<Index>().prop_map(Mutation::Cut),
    ]
}

fn any_input(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (select(corpus(target)), vec(any_mutation(), 0..6)).prop_map(|(mut bytes, mutations)| {
        for mutation in mutations {
            match mutation {
                _ if bytes.is_empty() => break,
                Mutation::Put(at, byte) => *at.get_mut(&mut bytes) = byte,
                Mutation::Insert(at, part) => {
                    let at = at.index(bytes.len());
                    bytes.splice(at..at, part.iter().copied());
                }
                Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
                Mutation::Repeat(at, length) => {
                    let start = at.index(bytes.len());
                    let end = bytes.len().min(start + length);
                    let part = bytes[start..end].to_vec();
                    bytes.splice(end..end, part);
                }
                Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
            }
        }
        bytes
    })
}

fn config() -> ProptestConfig {
    // A failing input is shown; it becomes a file of the corpus.
    ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_are_read_alike_however_they_arrive(input in any_input("request")) {
        properties::request(&input);
    }

    #[test]
    fn responses_are_read_alike_however_they_arrive(input in any_input("response")) {
        properties::response(&input);
    }

    #[test]
    fn chunks_are_read_alike_however_they_arrive_and_written_so_that_they_are_read_again(input in any_input("chunks")) {
        properties::chunks(&input);
    }

    #[test]
    fn more_bytes_never_change_what_a_proxy_header_said(input in any_input("proxy_header")) {
        properties::proxy_header(&input);
    }

    #[test]
    fn what_is_accepted_strictly_is_read_alike_leniently_and_plainly(input in any_input("differential")) {
        properties::differential(&input);
    }

    #[test]
    fn frames_are_read_alike_however_they_arrive(input in any_input("websocket")) {
        properties::websocket(&input);
    }

    #[test]
    fn server_sent_events_are_read_alike_however_they_arrive(input in any_input("events")) {
        properties::events(&input);
    }

    #[test]
    fn messages_of_calls_are_read_alike_however_they_arrive(input in any_input("grpc")) {
        properties::grpc(&input);
    }

    #[test]
    fn a_server_of_http_2_reads_frames_alike_however_they_arrive(input in any_input("h2_server")) {
        properties::h2_server(&input);
    }

    #[test]
    fn a_client_of_http_2_reads_frames_alike_however_they_arrive(input in any_input("h2_client")) {
        properties::h2_client(&input);
    }
}
