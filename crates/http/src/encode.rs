//! Heads and bodies as bytes, written at the very end.

use crate::reason;

/// Appends `HTTP/1.1 200 OK` and the end of its line.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    if status == 200 {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(Decimal::new().of(u64::from(status)));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends `GET /path HTTP/1.1` and the end of its line.
pub fn request_line(out: &mut Vec<u8>, method: &str, target: &str) {
    for part in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends a field line.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line whose value is a number.
pub fn number_field(out: &mut Vec<u8>, name: &str, value: u64) {
    field(out, name, Decimal::new().of(value));
}

/// Appends the empty line that ends a head.
pub fn end_of_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends a chunk; an empty one is left out, because it would end the body.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, without trailers.
pub fn last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

/// Writes a number without the machinery of `fmt`, which would cost more than a small page.
#[derive(Debug, Default)]
pub struct Decimal([u8; 20]);

impl Decimal {
    /// Room for any number.
    pub fn new() -> Decimal {
        Decimal([0; 20])
    }

    /// The number in decimal digits.
    pub fn of(&mut self, mut number: u64) -> &[u8] {
        let mut start = self.0.len();
        loop {
            start -= 1;
            self.0[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return &self.0[start..];
            }
        }
    }
}

/// The last hexadecimal digits of a number, most significant first, at most 16.
pub fn hexadecimal<const DIGITS: usize>(number: u64) -> [u8; DIGITS] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight_digits(number >> 32));
    digits[8..].copy_from_slice(&eight_digits(number & u64::from(u32::MAX)));
    std::array::from_fn(|place| digits[16 - DIGITS + place])
}

/// Those of a number of 32 bits, all at once: each byte of a word becomes one of them.
fn eight_digits(number: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let halves = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let quarters = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (quarters | quarters << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One above 9 becomes one above 15, which its next bit shows.
    let letters = (digits + ONES * 6) >> 4 & ONES;
    (digits + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_and_chunks_are_written_as_the_rfc_says() {
        let mut out = Vec::new();
        status_line(&mut out, 200);
        status_line(&mut out, 503);
        status_line(&mut out, 599);
        request_line(&mut out, "GET", "/a");
        field(&mut out, "A", b"b");
        number_field(&mut out, "Content-Length", u64::MAX);
        end_of_head(&mut out);
        chunk(&mut out, b"0123456789abcdef");
        chunk(&mut out, b"");
        last_chunk(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 200 OK\r\nHTTP/1.1 503 Service Unavailable\r\nHTTP/1.1 599 \r\nGET /a HTTP/1.1\r\nA: b\r\n\
             Content-Length: 18446744073709551615\r\n\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
        );
        assert_eq!((&hexadecimal::<16>(0x2a), &hexadecimal::<8>(0xdead_beef)), (b"000000000000002a", b"deadbeef"));
    }
}
