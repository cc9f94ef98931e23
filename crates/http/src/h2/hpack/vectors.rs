//! The examples of RFC 7541 appendix C, and what must hold of any block.

use proptest::prelude::*;

use super::*;
use crate::Malformed;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, input: &[u8]) -> Result<Vec<(String, String)>, Malformed> {
    let mut block = Block::new();
    decoder.decode(input, 16 * 1024, &mut block)?;
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    Ok(block.iter().map(|(name, value)| (text(name), text(value))).collect())
}

fn fields(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const REQUESTS: [&[(&str, &str)]; 3] = [
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "www.example.com"),
        ("cache-control", "no-cache"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/index.html"),
        (":authority", "www.example.com"),
        ("custom-key", "custom-value"),
    ],
];

const LATER: &str = "Mon, 21 Oct 2013 20:13:22 GMT";
const DATE: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
const PLACE: &str = "https://www.example.com";
const RESPONSES: [&[(&str, &str)]; 3] = [
    &[(":status", "302"), ("cache-control", "private"), ("date", DATE), ("location", PLACE)],
    &[(":status", "307"), ("cache-control", "private"), ("date", DATE), ("location", PLACE)],
    &[
        (":status", "200"),
        ("cache-control", "private"),
        ("date", LATER),
        ("location", PLACE),
        ("content-encoding", "gzip"),
        ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
];

#[test]
fn numbers_are_those_of_c_1() {
    for (number, prefix, written) in [(10, 5, &[10][..]), (1337, 5, &[31, 154, 10]), (42, 8, &[42]), (31, 5, &[31, 0])]
    {
        let mut out = Vec::new();
        write_integer(&mut out, 0, prefix, number);
        assert_eq!(out, written);
        assert_eq!(read_integer(&mut &out[..], prefix), Some(number));
    }
    for endless in [&[][..], &[0x1f], &[0x1f, 0x80, 0x80], &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x1f; 0]] {
        assert_eq!(read_integer(&mut &endless[..], 5), None, "{endless:x?}");
    }
}

#[test]
fn literals_are_those_of_c_2() {
    for (input, name, value) in [
        ("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header"),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path"),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret"),
        ("82", ":method", "GET"),
    ] {
        assert_eq!(decode(&mut Decoder::new(TABLE_SIZE), &bytes(input)), Ok(fields(&[(name, value)])));
    }
}

#[test]
fn requests_are_those_of_c_3_and_c_4_both_ways() {
    const PLAIN: [&str; 3] = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    const HUFFMAN: [&str; 3] = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let (mut plain, mut huffman, mut encoder) =
        (Decoder::new(TABLE_SIZE), Decoder::new(TABLE_SIZE), Encoder::default());
    for (request, (one, other)) in REQUESTS.iter().zip(PLAIN.iter().zip(HUFFMAN)) {
        assert_eq!(decode(&mut plain, &bytes(one)), Ok(fields(request)));
        assert_eq!(decode(&mut huffman, &bytes(other)), Ok(fields(request)));
        let mut written = Vec::new();
        encoder.begin(&mut written);
        request.iter().for_each(|(name, value)| encoder.field(name, value.as_bytes(), &mut written));
        assert_eq!(written, bytes(other));
    }
}

#[test]
fn responses_are_those_of_c_5_and_c_6_with_a_table_that_evicts() {
    const PLAIN: [&str; 3] = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d \
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f \
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b \
         2076 6572 7369 6f6e 3d31",
    ];
    const HUFFMAN: [&str; 3] = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 \
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let (mut plain, mut huffman) = (Decoder::new(256), Decoder::new(256));
    let mut encoder = Encoder::default();
    encoder.allow(256);
    for (place, (response, (one, other))) in RESPONSES.iter().zip(PLAIN.iter().zip(HUFFMAN)).enumerate() {
        assert_eq!(decode(&mut plain, &bytes(one)), Ok(fields(response)));
        assert_eq!(decode(&mut huffman, &bytes(other)), Ok(fields(response)));
        let mut written = Vec::new();
        encoder.begin(&mut written);
        response.iter().for_each(|(name, value)| encoder.field(name, value.as_bytes(), &mut written));
        // The change of the size is said once.
        let said = if place == 0 { &[0x3f, 0xe1, 0x01][..] } else { &[] };
        assert_eq!(written, [said, &bytes(other)].concat());
    }
}

#[test]
fn a_peer_that_allows_no_table_gets_none() {
    let mut encoder = Encoder::default();
    let mut decoder = Decoder::new(TABLE_SIZE);
    for (sizes, said) in [(&[][..], &[][..]), (&[0], &[0x20]), (&[], &[]), (&[100, 0, 4096], &[0x20, 0x3f, 0xe1, 0x1f])]
    {
        sizes.iter().for_each(|size| encoder.allow(*size));
        for first in [true, false] {
            let mut written = Vec::new();
            encoder.begin(&mut written);
            assert_eq!(written, if first { said } else { &[] });
            encoder.field("a", b"b", &mut written);
            assert_eq!(decode(&mut decoder, &written), Ok(fields(&[("a", "b")])));
            if sizes == [0] && said.len() == 1 {
                assert!(!written.ends_with(&[0xbe]), "it was put into no table");
            }
        }
    }
    let mut unchanged = Encoder::default();
    unchanged.allow(1 << 30);
    let mut written = Vec::new();
    unchanged.begin(&mut written);
    assert!(written.is_empty(), "more than the default is not used");
}

#[test]
fn a_block_that_both_ends_would_understand_differently_is_refused() {
    for bad in [
        "80",                      // index 0
        "be",                      // an index beyond both tables
        "ff ff ff ff ff ff",       // a number without end
        "7f 01 01 61",             // the name of an entry that there is not
        "40 05 61",                // a string that does not end
        "40",                      // nothing after the first byte
        "00 81 ff 01 61",          // a name whose Huffman code is padding alone, but a byte of it
        "82 20",                   // a size after a field
        "3f e2 1f",                // a size beyond what was announced
        "00 01 61 84 ff ff ff ff", // the end of string within a string
    ] {
        let outcome = decode(&mut Decoder::new(TABLE_SIZE), &bytes(bad));
        assert_eq!(outcome, Err(Malformed::HeaderCompression), "{bad}");
    }
}

#[test]
fn a_list_over_the_limit_is_not_kept_and_the_table_still_learns() {
    let (mut encoder, mut decoder, mut block) = (Encoder::default(), Decoder::new(TABLE_SIZE), Block::new());
    let mut written = Vec::new();
    for _ in 0..1000 {
        encoder.field("name", &[b'a'; 100], &mut written);
    }
    decoder.decode(&written, 1000, &mut block).unwrap();
    assert!(block.is_too_large() && block.bytes_kept() <= 1000);
    let mut again = Vec::new();
    encoder.field("name", &[b'a'; 100], &mut again);
    assert_eq!(again, [0xbe]);
    decoder.decode(&again, 1000, &mut block).unwrap();
    assert!(!block.is_too_large());
    assert_eq!(block.iter().next(), Some((&b"name"[..], &[b'a'; 100][..])));
}

#[test]
fn secrets_enter_no_table() {
    let (mut encoder, mut written) = (Encoder::default(), Vec::new());
    encoder.field("authorization", b"Bearer x", &mut written);
    assert_eq!(written[0] & 0xf0, 0x10, "never indexed, also not by who forwards it");
    let again = written.clone();
    written.clear();
    encoder.field("authorization", b"Bearer x", &mut written);
    assert_eq!(written, again);
}

#[test]
fn literals_and_statuses_are_read_as_they_were_meant() {
    let mut written = Vec::new();
    status(&mut written, 200);
    status(&mut written, 418);
    literal(&mut written, "Content-Type", b"text/plain");
    literal(&mut written, "X-Unknown", b"\xffa");
    EncodedName::new().literal(&mut written, "Content-Length", b"7");
    let expected = [
        (":status", "200"),
        (":status", "418"),
        ("content-type", "text/plain"),
        ("x-unknown", "\\xffa"),
        ("content-length", "7"),
    ];
    assert_eq!(decode(&mut Decoder::new(0), &written), Ok(fields(&expected)));
}

fn any_head() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let name = prop_oneof!["[a-z-]{1,12}", Just(":path".to_owned()), Just("content-type".to_owned())];
    let value =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), Just(b"GET".to_vec()), Just(b"same".to_vec())];
    proptest::collection::vec((name, value), 0..12)
}

proptest! {
    #[test]
    fn heads_survive_both_ends_whatever_sizes_are_set(
        heads in proptest::collection::vec((any_head(), proptest::option::of(0..5000u32)), 1..12),
    ) {
        let (mut encoder, mut decoder, mut block) = (Encoder::default(), Decoder::new(TABLE_SIZE), Block::new());
        for (head, size) in heads {
            if let Some(size) = size {
                encoder.allow(size);
            }
            let mut written = Vec::new();
            encoder.begin(&mut written);
            head.iter().for_each(|(name, value)| encoder.field(name, value, &mut written));
            decoder.decode(&written, 1 << 20, &mut block).unwrap();
            let read: Vec<(Vec<u8>, Vec<u8>)> = block.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let meant: Vec<(Vec<u8>, Vec<u8>)> = head.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
            prop_assert_eq!(read, meant);
        }
    }

    #[test]
    fn no_block_breaks_the_decoder(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..5)) {
        let (mut decoder, mut block) = (Decoder::new(TABLE_SIZE), Block::new());
        for input in blocks {
            if decoder.decode(&input, 4096, &mut block).is_err() {
                break;
            }
        }
    }
}
