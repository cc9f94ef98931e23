//! Reads header blocks (RFC 7541): bytes to fields.

use crate::Malformed;
use crate::h2::hpack::table::{DynamicTable, OVERHEAD, STATIC};
use crate::h2::hpack::{huffman, read_integer};

/// The fields of one head, decoded, in the order in which they came. It is filled again for each head, so that one serves all
/// connections of a thread.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    spans: Vec<ByteSpan>,
    /// RFC 9113 §6.5.2: with 32 bytes more for each field.
    size: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct ByteSpan {
    start: u32,
    name: u32,
    end: u32,
}

impl Block {
    /// Room that grows with the first head.
    pub fn new() -> Block {
        Block::default()
    }

    pub(crate) fn begin(&mut self, limit: usize) {
        self.bytes.clear();
        self.spans.clear();
        self.size = 0;
        self.limit = limit;
    }

    /// Whether there was more than the limit allows: what is over it is not kept.
    pub fn is_too_large(&self) -> bool {
        self.size > self.limit
    }

    /// Names and values, those of pseudo-fields too.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|ByteSpan { start, name, end }| {
            (&self.bytes[*start as usize..*name as usize], &self.bytes[*name as usize..*end as usize])
        })
    }

    #[cfg(test)]
    pub(super) fn bytes_kept(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a field whose bytes `write` appends; it returns where the name ends.
    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<usize>) -> Option<(usize, usize)> {
        let start = self.bytes.len();
        let name = write(&mut self.bytes)?;
        let end = self.bytes.len();
        self.size += end - start + OVERHEAD;
        Some((start, name))
    }

    /// Keeps the field that was added, unless there are too many bytes by now.
    fn keep(&mut self, start: usize, name: usize) {
        if self.size > self.limit {
            return self.bytes.truncate(start);
        }
        let end = self.bytes.len();
        self.spans.push(ByteSpan { start: start as u32, name: name as u32, end: end as u32 });
    }
}

/// Decodes the header blocks of one direction of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    table: DynamicTable,
    /// What this end has announced: the other may choose less.
    most: usize,
}

impl Decoder {
    /// With a table as large as this end announces.
    pub(crate) fn new(most: u32) -> Decoder {
        Decoder { table: DynamicTable::new(most as usize), most: most as usize }
    }

    /// Reads a whole block. What it fails at ends the connection: the tables of both ends would differ from there on.
    pub(crate) fn decode(&mut self, mut input: &[u8], limit: usize, block: &mut Block) -> Result<(), Malformed> {
        block.begin(limit);
        let mut begun = false;
        while let Some(first) = input.first().copied() {
            match first {
                0x80.. => {
                    let index = read_integer(&mut input, 7);
                    self.indexed(index, block).ok_or(Malformed::HeaderCompression)?;
                }
                0x40..0x80 => {
                    let (start, name) = self.literal(&mut input, 6, block).ok_or(Malformed::HeaderCompression)?;
                    self.table.insert(&block.bytes[start..name], &block.bytes[name..]);
                    block.keep(start, name);
                }
                0x20..0x40 => {
                    // RFC 7541 §4.2: only before the first field.
                    let size = read_integer(&mut input, 5).filter(|size| *size <= self.most && !begun);
                    self.table.set_limit(size.ok_or(Malformed::HeaderCompression)?);
                    continue;
                }
                0..0x20 => {
                    let (start, name) = self.literal(&mut input, 4, block).ok_or(Malformed::HeaderCompression)?;
                    block.keep(start, name);
                }
            }
            begun = true;
        }
        Ok(())
    }

    fn entry(&self, index: usize) -> Option<(&[u8], &[u8])> {
        match STATIC.get(index.checked_sub(1)?) {
            Some((name, value)) => Some((name.as_bytes(), value.as_bytes())),
            None => self.table.get(index - 1 - STATIC.len()),
        }
    }

    fn indexed(&self, index: Option<usize>, block: &mut Block) -> Option<()> {
        let (name, value) = self.entry(index?)?;
        if block.is_too_large() {
            // A byte can name an entry of 4 KiB.
            block.size += name.len() + value.len() + OVERHEAD;
            return Some(());
        }
        let (start, name) = block.add(|bytes| {
            bytes.extend_from_slice(name);
            let name = bytes.len();
            bytes.extend_from_slice(value);
            Some(name)
        })?;
        block.keep(start, name);
        Some(())
    }

    fn literal(&self, input: &mut &[u8], prefix: u8, block: &mut Block) -> Option<(usize, usize)> {
        let index = read_integer(input, prefix)?;
        block.add(|bytes| {
            match index {
                0 => read_string(input, bytes)?,
                index => bytes.extend_from_slice(self.entry(index)?.0),
            }
            let name = bytes.len();
            read_string(input, bytes)?;
            Some(name)
        })
    }
}

fn read_string(input: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
    let is_huffman = input.first()? & 0x80 != 0;
    let length = read_integer(input, 7)?;
    let (string, rest) = input.split_at_checked(length)?;
    *input = rest;
    if is_huffman {
        return huffman::decode(string, out).ok();
    }
    out.extend_from_slice(string);
    Some(())
}
