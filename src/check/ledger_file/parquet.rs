//! Writes tables as Parquet files (<https://parquet.apache.org/docs/file-format/>): flat, not compressed, each column of a group one page, texts
//! as numbers in a dictionary. The library for all of Parquet, with what it depends on, takes an eighth of the time to build this program.

use std::collections::HashMap;
use std::io::{Result, Write};

use uuid::Uuid;

use crate::check::ledger_file::thrift::{self, ThriftFields, varint};

/// What has the values of a row.
pub(super) trait Row: Sized {
    /// What a row is.
    const NAME: &'static str;
    /// Always the same.
    fn columns() -> Vec<Column<Self>>;
}

/// A column of a table whose rows are `R`.
pub(super) struct Column<R> {
    schema: ColumnSchema,
    value: fn(&R) -> CellValue<'_>,
}

#[derive(Clone, Copy)]
struct ColumnSchema {
    name: &'static str,
    kind: ColumnKind,
    /// [`CellValue::Null`] is only for columns that are optional.
    is_optional: bool,
}

impl<R> Column<R> {
    /// Each row has a value of that kind.
    pub(super) fn required(name: &'static str, kind: ColumnKind, value: fn(&R) -> CellValue<'_>) -> Column<R> {
        Column { schema: ColumnSchema { name, kind, is_optional: false }, value }
    }

    /// Rows may have none.
    pub(super) fn optional(name: &'static str, kind: ColumnKind, value: fn(&R) -> CellValue<'_>) -> Column<R> {
        Column { schema: ColumnSchema { name, kind, is_optional: true }, value }
    }
}

/// What the values of a column are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ColumnKind {
    Flag,
    Int32,
    Int64,
    Double,
    Text,
    Time,
    Uuid,
}

/// The value of a column in a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum CellValue<'r> {
    Null,
    Flag(bool),
    Int32(i32),
    Int64(i64),
    Double(f64),
    Text(&'r str),
    /// Microseconds since 1970 (UTC).
    Time(i64),
    Uuid(Uuid),
}

const MAGIC: &[u8; 4] = b"PAR1";
const CREATED_BY: &str = concat!("uuid-generator version ", env!("CARGO_PKG_VERSION"));

/// Numbers of `parquet.thrift`.
mod code {
    pub(super) const FORMAT_VERSION: i32 = 1;
    pub(super) const DATA_PAGE: i32 = 0;
    pub(super) const DICTIONARY_PAGE: i32 = 2;
    pub(super) const PLAIN: i32 = 0;
    pub(super) const RLE: i32 = 3;
    pub(super) const RLE_DICTIONARY: i32 = 8;
    pub(super) const UNCOMPRESSED: i32 = 0;
    pub(super) const REQUIRED: i32 = 0;
    pub(super) const OPTIONAL: i32 = 1;
    pub(super) const UTF8: i32 = 0;
    pub(super) const TIMESTAMP_MICROS: i32 = 10;
}

impl ColumnKind {
    /// The type in which it is stored.
    fn physical(self) -> i32 {
        match self {
            ColumnKind::Flag => 0,
            ColumnKind::Int32 => 1,
            ColumnKind::Int64 | ColumnKind::Time => 2,
            ColumnKind::Double => 5,
            ColumnKind::Text => 6,
            ColumnKind::Uuid => 7,
        }
    }

    /// The rest of its element in the schema: how long it is, and what it means.
    fn write_meaning(self, element: &mut ThriftFields) {
        match self {
            ColumnKind::Flag | ColumnKind::Int32 | ColumnKind::Int64 | ColumnKind::Double => {}
            ColumnKind::Text => {
                element.i32(6, code::UTF8);
                element.record(10, |meaning| meaning.record(1, |_| {}));
            }
            ColumnKind::Time => {
                element.i32(6, code::TIMESTAMP_MICROS);
                element.record(10, |meaning| {
                    meaning.record(8, |timestamp| {
                        timestamp.flag(1, true);
                        timestamp.record(2, |unit| unit.record(2, |_| {}));
                    });
                });
            }
            ColumnKind::Uuid => element.record(10, |meaning| meaning.record(14, |_| {})),
        }
    }
}

impl CellValue<'_> {
    fn kind(self) -> Option<ColumnKind> {
        Some(match self {
            CellValue::Null => return None,
            CellValue::Flag(_) => ColumnKind::Flag,
            CellValue::Int32(_) => ColumnKind::Int32,
            CellValue::Int64(_) => ColumnKind::Int64,
            CellValue::Double(_) => ColumnKind::Double,
            CellValue::Text(_) => ColumnKind::Text,
            CellValue::Time(_) => ColumnKind::Time,
            CellValue::Uuid(_) => ColumnKind::Uuid,
        })
    }
}

/// A table of such rows while it is written.
pub(super) struct TableWriter<W> {
    name: &'static str,
    columns: Vec<ColumnSchema>,
    out: W,
    /// Bytes that have been written.
    position: u64,
    groups: Vec<RowGroup>,
}

struct RowGroup {
    rows: u64,
    chunks: Vec<ColumnChunk>,
}

/// Where the pages of a column of a group are.
struct ColumnChunk {
    dictionary: Option<u64>,
    data: u64,
    end: u64,
}

impl ColumnChunk {
    fn start(&self) -> u64 {
        self.dictionary.unwrap_or(self.data)
    }

    fn bytes(&self) -> i64 {
        (self.end - self.start()) as i64
    }
}

impl<W: Write> TableWriter<W> {
    /// A table of such rows, without any.
    pub(super) fn begin<R: Row>(out: W) -> Result<TableWriter<W>> {
        let columns = R::columns().iter().map(|column| column.schema).collect();
        let mut table = TableWriter { name: R::NAME, columns, out, position: 0, groups: Vec::new() };
        table.put(MAGIC)?;
        Ok(table)
    }

    /// Appends rows, of the kind with which it began, as a group of their own, which readers take at once.
    pub(super) fn append<R: Row>(&mut self, rows: &[R]) -> Result<()> {
        let mut chunks = Vec::with_capacity(self.columns.len());
        for column in R::columns() {
            let pages = ColumnPages::of(&column, rows);
            let dictionary = self.position;
            self.put(&pages.dictionary)?;
            let data = self.position;
            self.put(&pages.data)?;
            let dictionary = (data > dictionary).then_some(dictionary);
            chunks.push(ColumnChunk { dictionary, data, end: self.position });
        }
        self.groups.push(RowGroup { rows: rows.len() as u64, chunks });
        Ok(())
    }

    /// Writes what a reader begins with: without it the file cannot be read.
    pub(super) fn finish(mut self) -> Result<()> {
        let mut footer = Vec::new();
        thrift::write(&mut footer, |file| self.write_footer(file));
        let length = footer.len() as u32;
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(MAGIC);
        self.put(&footer)?;
        self.out.flush()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.position += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn write_footer(&self, file: &mut ThriftFields) {
        file.i32(1, code::FORMAT_VERSION);
        // The row itself, then its columns.
        let elements: Vec<Option<&ColumnSchema>> = std::iter::once(None).chain(self.columns.iter().map(Some)).collect();
        file.records(2, &elements, |column, element| match column {
            None => {
                element.text(4, self.name);
                element.i32(5, self.columns.len() as i32);
            }
            Some(column) => {
                element.i32(1, column.kind.physical());
                if column.kind == ColumnKind::Uuid {
                    element.i32(2, size_of::<Uuid>() as i32);
                }
                element.i32(3, if column.is_optional { code::OPTIONAL } else { code::REQUIRED });
                element.text(4, column.name);
                column.kind.write_meaning(element);
            }
        });
        file.i64(3, self.groups.iter().map(|group| group.rows as i64).sum());
        file.records(4, &self.groups, |group, fields| self.write_group(group, fields));
        file.text(6, CREATED_BY);
    }

    fn write_group(&self, group: &RowGroup, fields: &mut ThriftFields) {
        let chunks: Vec<(&ColumnSchema, &ColumnChunk)> = self.columns.iter().zip(&group.chunks).collect();
        fields.records(1, &chunks, |(column, chunk), fields| {
            fields.i64(2, chunk.start() as i64);
            fields.record(3, |fields| {
                fields.i32(1, column.kind.physical());
                let encodings = [code::PLAIN, code::RLE, code::RLE_DICTIONARY];
                fields.i32s(2, if column.kind == ColumnKind::Text { &encodings } else { &encodings[..2] });
                fields.texts(3, &[column.name]);
                fields.i32(4, code::UNCOMPRESSED);
                fields.i64(5, group.rows as i64);
                fields.i64(6, chunk.bytes());
                fields.i64(7, chunk.bytes());
                fields.i64(9, chunk.data as i64);
                if let Some(dictionary) = chunk.dictionary {
                    fields.i64(11, dictionary as i64);
                }
            });
        });
        fields.i64(2, group.chunks.iter().map(ColumnChunk::bytes).sum());
        fields.i64(3, group.rows as i64);
    }
}

/// The pages of a column of a group, with their headers; the dictionary is that of texts.
struct ColumnPages {
    dictionary: Vec<u8>,
    data: Vec<u8>,
}

impl ColumnPages {
    fn of<R>(column: &Column<R>, rows: &[R]) -> ColumnPages {
        let ColumnSchema { name, kind, is_optional } = column.schema;
        let of = |row| -> CellValue {
            let value: CellValue = (column.value)(row);
            debug_assert!(value.kind().map_or(is_optional, |it| it == kind), "{name}: {value:?}");
            value
        };
        let mut content = Vec::new();
        if is_optional {
            // Whether there is a value. Its length stands before it.
            let levels = rows.iter().map(|row| u32::from(of(row) != CellValue::Null));
            let packed = pack(levels, 1);
            content.extend_from_slice(&(packed.len() as u32).to_le_bytes());
            content.extend_from_slice(&packed);
        }
        let values = rows.iter().map(of).filter(|value| *value != CellValue::Null);
        let mut dictionary = Vec::new();
        if kind == ColumnKind::Text {
            let (texts, numbers) = number_texts(values);
            let mut plain = Vec::new();
            texts.iter().for_each(|text| write_plain(CellValue::Text(text), &mut plain));
            dictionary = page(code::DICTIONARY_PAGE, &plain, |header| {
                header.record(7, |header| {
                    header.i32(1, texts.len() as i32);
                    header.i32(2, code::PLAIN);
                });
            });
            // Not every reader takes 0 bits.
            let width = bits(texts.len().saturating_sub(1) as u32).max(1);
            content.push(width);
            content.extend_from_slice(&pack(numbers.into_iter(), width));
        } else if kind == ColumnKind::Flag {
            pack_into(&mut content, values.map(|value| u32::from(value == CellValue::Flag(true))), 1);
        } else {
            values.for_each(|value| write_plain(value, &mut content));
        }
        let encoding = if kind == ColumnKind::Text { code::RLE_DICTIONARY } else { code::PLAIN };
        let data = page(code::DATA_PAGE, &content, |header| {
            header.record(5, |header| {
                header.i32(1, rows.len() as i32);
                header.i32(2, encoding);
                header.i32(3, code::RLE);
                header.i32(4, code::RLE);
            });
        });
        ColumnPages { dictionary, data }
    }
}

/// Each text once, and which of them each value is.
fn number_texts<'v>(values: impl Iterator<Item = CellValue<'v>>) -> (Vec<&'v str>, Vec<u32>) {
    let (mut texts, mut known) = (Vec::new(), HashMap::new());
    let numbers = values.map(|value| {
        let text = if let CellValue::Text(text) = value { text } else { "" };
        *known.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() as u32 - 1
        })
    });
    let numbers = numbers.collect();
    (texts, numbers)
}

fn page(kind: i32, content: &[u8], header: impl FnOnce(&mut ThriftFields)) -> Vec<u8> {
    let mut page = Vec::with_capacity(content.len() + 32);
    thrift::write(&mut page, |fields| {
        fields.i32(1, kind);
        fields.i32(2, content.len() as i32);
        fields.i32(3, content.len() as i32);
        header(fields);
    });
    page.extend_from_slice(content);
    page
}

fn write_plain(value: CellValue, out: &mut Vec<u8>) {
    match value {
        CellValue::Int32(value) => out.extend_from_slice(&value.to_le_bytes()),
        CellValue::Int64(value) | CellValue::Time(value) => out.extend_from_slice(&value.to_le_bytes()),
        CellValue::Double(value) => out.extend_from_slice(&value.to_le_bytes()),
        CellValue::Uuid(value) => out.extend_from_slice(value.as_bytes()),
        CellValue::Text(text) => {
            out.extend_from_slice(&(text.len() as u32).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        // One is not stored, the other is a bit.
        CellValue::Null | CellValue::Flag(_) => {}
    }
}

/// Bits that a number needs.
fn bits(number: u32) -> u8 {
    (u32::BITS - number.leading_zeros()) as u8
}

/// The hybrid of runs and packed numbers: here one packed run of all of them.
fn pack(numbers: impl ExactSizeIterator<Item = u32>, width: u8) -> Vec<u8> {
    let groups = numbers.len().div_ceil(8);
    let mut out = Vec::with_capacity(groups * usize::from(width) + 8);
    varint(&mut out, (groups as u64) << 1 | 1);
    let start = out.len();
    pack_into(&mut out, numbers, width);
    // Eight numbers are a group, also the last few.
    out.resize(start + groups * usize::from(width), 0);
    out
}

/// Numbers of that many bits, the lowest first.
fn pack_into(out: &mut Vec<u8>, numbers: impl Iterator<Item = u32>, width: u8) {
    let (mut pending, mut filled) = (0u64, 0);
    for number in numbers {
        pending |= u64::from(number) << filled;
        filled += width;
        while filled >= 8 {
            out.push(pending as u8);
            (pending, filled) = (pending >> 8, filled - 8);
        }
    }
    if filled > 0 {
        out.push(pending as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named {
        name: Option<&'static str>,
        number: i64,
    }

    impl Row for Named {
        const NAME: &'static str = "named";

        fn columns() -> Vec<Column<Self>> {
            vec![
                Column::optional("name", ColumnKind::Text, |row| row.name.map_or(CellValue::Null, CellValue::Text)),
                Column::required("number", ColumnKind::Int64, |row| CellValue::Int64(row.number)),
            ]
        }
    }

    #[test]
    fn numbers_are_packed_as_in_the_example_of_the_format() {
        assert_eq!(pack(0..8, 3), [0x03, 0x88, 0xc6, 0xfa]);
        assert_eq!(pack([1, 0, 1].into_iter(), 1), [0x03, 0b101]);
        assert_eq!(pack([5; 9].into_iter(), 4), [0x05, 0x55, 0x55, 0x55, 0x55, 0x05, 0, 0, 0]);
        assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(bits), [0, 1, 2, 2, 3, 32]);
    }

    #[test]
    fn pages_lie_where_the_footer_says_and_a_text_is_written_once() {
        let rows = [Some("a"), None, Some("b"), Some("a")].map(|name| Named { name, number: 7 });
        let mut file = Vec::new();
        let mut table = TableWriter::begin::<Named>(&mut file).unwrap();
        table.append(&rows).unwrap();
        table.append(&rows[..1]).unwrap();
        let groups = std::mem::take(&mut table.groups);
        table.finish().unwrap();
        assert_eq!(groups.iter().map(|group| group.rows).collect::<Vec<_>>(), [4, 1]);
        let ColumnChunk { dictionary: Some(dictionary), data, end } = groups[0].chunks[0] else { panic!() };
        assert_eq!(dictionary, MAGIC.len() as u64);
        assert!(file[..data as usize].ends_with(b"\x01\0\0\0a\x01\0\0\0b"));
        // Levels 1 0 1 1 with their length, then the width of a number and the numbers 0 1 0.
        assert!(file[..end as usize].ends_with(&[2, 0, 0, 0, 3, 0b1101, 1, 3, 0b010]));
        assert_eq!(groups[0].chunks[1].start(), end);
        let [.., a, b, c, d, b'P', b'A', b'R', b'1'] = file[..] else { panic!() };
        let footer = u32::from_le_bytes([a, b, c, d]) as usize;
        let names = &file[file.len() - 8 - footer..];
        assert!(file.starts_with(MAGIC) && names.windows(4).any(|it| it == b"name"));
    }
}
