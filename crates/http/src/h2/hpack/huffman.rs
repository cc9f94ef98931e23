//! The Huffman code of RFC 7541 appendix B. It is canonical: the lengths of the codes are all that must be known, and every table
//! is made of them when the program is compiled.

/// Bits of each byte's code; the last is the end of a string, which never appears.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];
const LONGEST: usize = 30;
const END_OF_STRING: u16 = 256;
/// Codes of up to as many bits are found at once; they are those of the bytes that text is made of.
const FAST_BITS: usize = 8;

struct Tables {
    codes: [u32; 257],
    /// Symbols in the order of their codes.
    symbols: [u16; 257],
    /// Of each length: the first code, aligned left in 32 bits; beyond the last of them, shorter codes end.
    limits: [u64; LONGEST + 2],
    /// Of each length: the first code, and the place of its symbol.
    firsts: [(u32, u16); LONGEST + 1],
    /// By the next bits: the symbol, and the bits of its code; 0 for a longer one.
    fast: [(u8, u8); 1 << FAST_BITS],
}

const TABLES: Tables = make_tables();
static FAST: [(u8, u8); 1 << FAST_BITS] = TABLES.fast;
static CODES: [u32; 257] = TABLES.codes;
static SYMBOLS: [u16; 257] = TABLES.symbols;
static LIMITS: [u64; LONGEST + 2] = TABLES.limits;
static FIRSTS: [(u32, u16); LONGEST + 1] = TABLES.firsts;

const fn make_tables() -> Tables {
    let mut tables = Tables {
        codes: [0; 257],
        symbols: [0; 257],
        limits: [0; LONGEST + 2],
        firsts: [(0, 0); LONGEST + 1],
        fast: [(0, 0); 1 << FAST_BITS],
    };
    let (mut code, mut place, mut length) = (0u32, 0usize, 1usize);
    while length <= LONGEST {
        tables.firsts[length] = (code, place as u16);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                tables.codes[symbol] = code;
                tables.symbols[place] = symbol as u16;
                if length <= FAST_BITS {
                    let first = (code as usize) << (FAST_BITS - length);
                    let mut follower = 0;
                    while follower < 1 << (FAST_BITS - length) {
                        tables.fast[first + follower] = (symbol as u8, length as u8);
                        follower += 1;
                    }
                }
                code += 1;
                place += 1;
            }
            symbol += 1;
        }
        tables.limits[length] = (code as u64) << (32 - length);
        code <<= 1;
        length += 1;
    }
    tables
}

/// Why a string is none of this code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadHuffman;

/// Appends what `input` encodes.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), BadHuffman> {
    // The shortest code has five bits.
    out.reserve(input.len() * 8 / 5);
    let (mut bits, mut count) = (0u64, 0u32);
    let mut rest = input;
    loop {
        // The bits that are known stand at the left of 64: at least those of the longest code, as long as there are as many.
        if count < 32 {
            if let Some((bytes, after)) = rest.split_first_chunk::<4>() {
                bits |= u64::from(u32::from_be_bytes(*bytes)) << (32 - count);
                (count, rest) = (count + 32, after);
            } else if let Some((byte, after)) = rest.split_first() {
                bits |= u64::from(*byte) << (56 - count);
                (count, rest) = (count + 8, after);
                continue;
            }
        }
        let (symbol, length) = FAST[(bits >> (64 - FAST_BITS)) as usize];
        if length != 0 && u32::from(length) <= count {
            out.push(symbol);
            bits <<= length;
            count -= u32::from(length);
            continue;
        }
        if rest.is_empty() && count < 8 {
            // RFC 7541 §5.2: what is left is the beginning of the end of string: ones, fewer than eight.
            let padding = !(u64::MAX >> count);
            return if bits & padding == padding { Ok(()) } else { Err(BadHuffman) };
        }
        let window = bits >> 32;
        let Some(length) = (FAST_BITS + 1..=LONGEST).find(|length| window < LIMITS[*length]) else {
            return Err(BadHuffman);
        };
        let (first, place) = FIRSTS[length];
        let symbol = SYMBOLS[usize::from(place) + ((window >> (32 - length)) as u32 - first) as usize];
        if length as u32 > count || symbol == END_OF_STRING {
            return Err(BadHuffman);
        }
        out.push(symbol as u8);
        bits <<= length;
        count -= length as u32;
    }
}

/// How many bytes a string has when it is encoded.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum::<usize>().div_ceil(8)
}

/// Appends a string, encoded.
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0u32);
    for byte in text {
        let length = u32::from(LENGTHS[usize::from(*byte)]);
        bits = bits << length | u64::from(CODES[usize::from(*byte)]);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, BadHuffman> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn codes_are_those_of_appendix_b() {
        for (symbol, code) in [(b'0', 0x0), (b'a', 0x3), (b' ', 0x14), (b':', 0x5c), (b'&', 0xf8), (b'!', 0x3f8)] {
            assert_eq!(CODES[usize::from(symbol)], code, "{}", symbol.escape_ascii());
        }
        for (symbol, code) in [(0, 0x1ff8), (10, 0x3ffffffc), (92, 0x7fff0), (255, 0x3ffffee), (256, 0x3fffffff)] {
            assert_eq!(CODES[symbol], code, "{symbol}");
        }
        // A complete code: every sequence of bits begins with exactly one.
        assert_eq!(LENGTHS.iter().map(|length| 1u64 << (LONGEST - usize::from(*length))).sum::<u64>(), 1 << LONGEST);
    }

    #[test]
    fn strings_of_the_rfc_are_decoded() {
        for (input, text) in [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff][..], "www.example.com"),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decoded(input), Ok(text.as_bytes().to_vec()));
        }
    }

    #[test]
    fn padding_is_ones_and_shorter_than_a_byte() {
        // "a" and three ones; with a zero among them; with a byte of ones more; the end of string itself.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        for bad in [&[0b0001_1110][..], &[0b0001_1111, 0xff], &[0xff], &[0xff; 4], &[0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(decoded(bad), Err(BadHuffman), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_again(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut encoded = Vec::new();
            encode(&text, &mut encoded);
            prop_assert_eq!(encoded.len(), encoded_length(&text));
            prop_assert_eq!(decoded(&encoded), Ok(text));
        }

        /// The code is complete, and padding is fixed: no two inputs mean the same.
        #[test]
        fn what_is_decoded_is_encoded_to_the_same_bytes(input in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(text) = decoded(&input) {
                let mut encoded = Vec::new();
                encode(&text, &mut encoded);
                prop_assert_eq!(encoded, input);
            }
        }
    }
}
