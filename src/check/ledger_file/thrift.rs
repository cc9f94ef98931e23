//! Writes the compact protocol of Thrift (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>), in which Parquet
//! keeps what it says of its pages: as much of it as that needs.

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// The fields of a struct, in ascending order of their ids, none of which is more than 15 above the one before it.
pub(super) struct ThriftFields<'o> {
    out: &'o mut Vec<u8>,
    last: u8,
}

/// Appends a struct.
pub(super) fn write(out: &mut Vec<u8>, fields: impl FnOnce(&mut ThriftFields)) {
    fields(&mut ThriftFields { out, last: 0 });
    out.push(0);
}

impl ThriftFields<'_> {
    fn begin(&mut self, id: u8, kind: u8) {
        self.out.push((id - self.last) << 4 | kind);
        self.last = id;
    }

    pub(super) fn flag(&mut self, id: u8, value: bool) {
        self.begin(id, if value { TRUE } else { FALSE });
    }

    pub(super) fn i32(&mut self, id: u8, value: i32) {
        self.begin(id, I32);
        integer(self.out, i64::from(value));
    }

    pub(super) fn i64(&mut self, id: u8, value: i64) {
        self.begin(id, I64);
        integer(self.out, value);
    }

    pub(super) fn text(&mut self, id: u8, value: &str) {
        self.begin(id, BINARY);
        text(self.out, value);
    }

    pub(super) fn record(&mut self, id: u8, fields: impl FnOnce(&mut ThriftFields)) {
        self.begin(id, STRUCT);
        write(self.out, fields);
    }

    pub(super) fn records<T>(&mut self, id: u8, items: &[T], fields: impl Fn(&T, &mut ThriftFields)) {
        self.list(id, STRUCT, items, |item, out| write(out, |it| fields(item, it)));
    }

    pub(super) fn i32s(&mut self, id: u8, items: &[i32]) {
        self.list(id, I32, items, |item, out| integer(out, i64::from(*item)));
    }

    pub(super) fn texts(&mut self, id: u8, items: &[&str]) {
        self.list(id, BINARY, items, |item, out| text(out, item));
    }

    fn list<T>(&mut self, id: u8, kind: u8, items: &[T], write: impl Fn(&T, &mut Vec<u8>)) {
        self.begin(id, LIST);
        match items.len() {
            few @ 0..15 => self.out.push((few as u8) << 4 | kind),
            many => {
                self.out.push(0xf0 | kind);
                varint(self.out, many as u64);
            }
        }
        items.iter().for_each(|item| write(item, self.out));
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Zigzag: small ones of either sign are short.
fn integer(out: &mut Vec<u8>, value: i64) {
    varint(out, (value << 1 ^ value >> 63) as u64);
}

/// Seven bits a byte, the lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_written_as_the_specification_says() {
        let mut out = Vec::new();
        write(&mut out, |fields| {
            fields.i32(1, -1);
            fields.i64(3, 300);
            fields.text(4, "ab");
            fields.flag(5, true);
            fields.record(20, |inner| inner.flag(1, false));
            fields.i32s(21, &[1, 2]);
        });
        let expected = [0x15, 1, 0x26, 0xd8, 0x04, 0x18, 2, b'a', b'b', 0x11, 0xfc, 0x12, 0, 0x19, 0x25, 2, 4, 0];
        assert_eq!(out, expected);
        out.clear();
        write(&mut out, |fields| fields.texts(1, &["x"; 20]));
        assert_eq!(out[..3], [0x19, 0xf8, 20]);
    }
}
