//! Writes header blocks (RFC 7541): fields to bytes.

use std::sync::OnceLock;

use crate::encode::Decimal;
use crate::h2::hpack::table::{DynamicTable, STATIC, find_static};
use crate::h2::hpack::{TABLE_SIZE, huffman, write_integer};

/// Of one direction of a connection: what it has put into the other end's table it names by a byte or two.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    table: DynamicTable,
    /// Of the limits that the other end has set since the last block the smallest, if any was set.
    smallest: Option<usize>,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder { table: DynamicTable::new(TABLE_SIZE as usize), smallest: None }
    }
}

impl Encoder {
    /// The other end's SETTINGS_HEADER_TABLE_SIZE.
    pub(crate) fn allow(&mut self, size: u32) {
        // More than the default would be this end's memory for little gain.
        let limit = size.min(TABLE_SIZE) as usize;
        if limit != self.table.limit() {
            self.smallest = Some(self.smallest.unwrap_or(limit).min(limit));
            self.table.set_limit(limit);
        }
    }

    /// Appends what a block begins with: RFC 7541 §4.2 wants a change of the table's size to be said, the smallest and the last.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.smallest.take() else { return };
        write_integer(out, 0x20, 5, smallest);
        if smallest != self.table.limit() {
            write_integer(out, 0x20, 5, self.table.limit());
        }
    }

    /// Appends a field, and puts it into the table if it fits there and is no secret.
    pub(crate) fn field(&mut self, name: &str, value: &[u8], out: &mut Vec<u8>) {
        let known = find_static(name, value);
        if let Some((index, true)) = known {
            return write_integer(out, 0x80, 7, index);
        }
        // RFC 7541 §7.1.3: who can guess a secret must not be able to see in the size of a block that the guess was right.
        let is_secret = matches!(name, "authorization" | "proxy-authorization" | "cookie");
        if !is_secret && let Some(index) = self.table.find(name, value) {
            return write_integer(out, 0x80, 7, STATIC.len() + 1 + index);
        }
        let (pattern, prefix) = if is_secret { (0x10, 4) } else { (0x40, 6) };
        write_integer(out, pattern, prefix, known.map_or(0, |(index, _)| index));
        if known.is_none() {
            write_string(name.as_bytes(), out);
        }
        write_string(value, out);
        if !is_secret {
            self.table.insert(name.as_bytes(), value);
        }
    }
}

/// Appends a field as a literal that enters no table: the same bytes on every connection. The name is written in lower case.
pub fn literal(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    literal_name(out, name);
    write_raw(value, out);
}

/// Where the name of a field that is written often is kept as it is encoded.
#[derive(Debug, Default)]
pub struct EncodedName(OnceLock<Box<[u8]>>);

impl EncodedName {
    /// Of a field that has not been written yet.
    pub const fn new() -> EncodedName {
        EncodedName(OnceLock::new())
    }

    /// Appends a field, as [`literal`] does. The name is always the same.
    pub fn literal(&self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        let encoded = self.0.get_or_init(|| {
            let mut encoded = Vec::new();
            literal_name(&mut encoded, name);
            encoded.into_boxed_slice()
        });
        out.extend_from_slice(encoded);
        write_raw(value, out);
    }
}

fn literal_name(out: &mut Vec<u8>, name: &str) {
    let lower = name.to_ascii_lowercase();
    match find_static(&lower, b"") {
        Some((index, _)) => write_integer(out, 0, 4, index),
        None => {
            out.push(0);
            write_string(lower.as_bytes(), out);
        }
    }
}

/// Appends `:status`.
pub(crate) fn status(out: &mut Vec<u8>, status: u16) {
    let known = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            out.push(8);
            return write_raw(Decimal::new().of(u64::from(status)), out);
        }
    };
    out.push(0x80 | known);
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    let shorter = huffman::encoded_length(text);
    if shorter > text.len() || text.is_empty() {
        return write_raw(text, out);
    }
    write_integer(out, 0x80, 7, shorter);
    huffman::encode(text, out);
}

fn write_raw(text: &[u8], out: &mut Vec<u8>) {
    write_integer(out, 0, 7, text.len());
    out.extend_from_slice(text);
}
