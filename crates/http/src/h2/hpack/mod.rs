//! HPACK (RFC 7541): heads as blocks of bytes, and back.

mod decoder;
mod encoder;
mod huffman;
mod table;
#[cfg(test)]
mod vectors;

pub use decoder::Block;
pub(super) use decoder::Decoder;
pub(super) use encoder::Encoder;
pub(super) use encoder::status;
pub use encoder::{EncodedName, literal};

/// RFC 9113 §6.5.2: the size of both tables, until a setting says otherwise.
pub(super) const TABLE_SIZE: u32 = 4096;

/// RFC 7541 §5.1, after the first byte's bits: `None` if it does not end, or is larger than anything that this crate counts.
fn read_integer(input: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, mut rest) = input.split_first()?;
    let most = u8::MAX >> (8 - prefix);
    let mut number = u64::from(first & most);
    if first & most == most {
        // Four more bytes make numbers of 28 bits: no string here has as many bytes.
        for place in 0..4 {
            let (byte, after) = rest.split_first()?;
            rest = after;
            number += u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                *input = rest;
                return usize::try_from(number).ok();
            }
        }
        return None;
    }
    *input = rest;
    usize::try_from(number).ok()
}

/// Appends an integer whose first byte has these bits before it.
fn write_integer(out: &mut Vec<u8>, pattern: u8, prefix: u8, number: usize) {
    let most = usize::from(u8::MAX >> (8 - prefix));
    if number < most {
        return out.push(pattern | number as u8);
    }
    out.push(pattern | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
