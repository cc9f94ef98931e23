//! The ledger as two Parquet files, for questions that a report does not answer: one row a request, one row an attempt.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int32Type,
    Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use uuid::Uuid;

use crate::error::Problem;
use crate::wire::{Calendar, Moment};
use verdict::ledger::{Arrival, Entry, Ledger, is_numbered};
use verdict::observation::Backend;

/// Of a request: what the client saw, and what became of it.
const REQUESTS: &str = "message request {
    required binary check_name (STRING);
    required int64 request;
    required binary phase (STRING);
    required int32 client;
    required int64 due (TIMESTAMP(MICROS,true));
    required int64 sent (TIMESTAMP(MICROS,true));
    required int64 ended (TIMESTAMP(MICROS,true));
    required double seconds;
    required boolean reused;
    optional binary backend (STRING);
    optional int32 status;
    required binary client_outcome (STRING);
    required binary outcome (STRING);
    optional fixed_len_byte_array(16) response (UUID);
    required int32 attempts;
    required boolean is_ordered;
}";

/// Of an attempt: what its backend recorded. Those of other clients have no request.
const ATTEMPTS: &str = "message attempt {
    required binary check_name (STRING);
    optional int64 request;
    required int32 attempt;
    required binary backend (STRING);
    required int64 received (TIMESTAMP(MICROS,true));
    required double half_width;
    required double seconds;
    optional int32 status;
    required binary attempt_end (STRING);
    required boolean is_delivered;
    optional fixed_len_byte_array(16) response (UUID);
}";

/// Rows that are written at once: few enough to be held beside the ledger.
const ROWS: usize = 64 * 1024;

/// Both files, as long as they are written.
pub(crate) struct LedgerFiles {
    requests: Table,
    attempts: Table,
    calendar: Calendar,
}

/// What the ledger of one check belongs to.
pub(crate) struct LedgerOrigin<'a> {
    pub(crate) check: &'a str,
    pub(crate) names: &'a [String],
    /// Requests before this one warmed the balancer up.
    pub(crate) judged: u32,
    pub(crate) sample: Range<u32>,
}

struct Table {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
}

impl LedgerFiles {
    /// `NAME.parquet` is written as `NAME.requests.parquet` and `NAME.attempts.parquet`.
    pub(crate) fn create(path: &Path, calendar: Calendar) -> Result<LedgerFiles> {
        let is_parquet = path.extension().is_some_and(|extension| extension == "parquet");
        if !is_parquet || path.file_stem().is_none() {
            let expected = Problem::new("expected a name such as run.parquet");
            return Err(expected.on(format!("--ledger {}", path.display())).into());
        }
        let at = |kind: &str| path.with_extension(format!("{kind}.parquet"));
        let requests = Table::create(at("requests"), REQUESTS)?;
        let attempts = Table::create(at("attempts"), ATTEMPTS)?;
        Ok(LedgerFiles { requests, attempts, calendar })
    }

    /// Appends the ledger of a check.
    pub(crate) fn write(&mut self, ledger: &Ledger, origin: &LedgerOrigin) -> Result<()> {
        let requests = &mut self.requests;
        let rows = Rows { origin, ledger, calendar: &self.calendar };
        let mut entries = ledger.entries().peekable();
        while entries.peek().is_some() {
            let some: Vec<Entry> = entries.by_ref().take(ROWS).collect();
            requests.append(|group| rows.requests(group, &some))?;
        }
        let attempts = &mut self.attempts;
        let numbered = ledger.entries().flat_map(|entry| {
            let answer = entry.observation.response;
            (1..).zip(entry.attempts).map(move |(number, arrival)| AttemptRow {
                number,
                arrival,
                is_delivered: !answer.is_nil() && arrival.response == answer,
            })
        });
        let others = ledger.others().iter().map(|arrival| AttemptRow { number: 1, arrival, is_delivered: false });
        let mut all = numbered.chain(others).peekable();
        while all.peek().is_some() {
            let some: Vec<AttemptRow> = all.by_ref().take(ROWS).collect();
            attempts.append(|group| rows.attempts(group, &some))?;
        }
        Ok(())
    }

    /// Without its end a file of this format cannot be read.
    pub(crate) fn finish(self) -> Result<()> {
        self.requests.finish()?;
        self.attempts.finish()
    }
}

impl Table {
    fn create(path: PathBuf, schema: &str) -> Result<Table> {
        let file = File::create(&path).with_context(|| format!("failed to write {}", path.display()))?;
        let schema = Arc::new(parse_message_type(schema)?);
        let properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).build();
        Ok(Table { writer: SerializedFileWriter::new(file, schema, Arc::new(properties))?, path })
    }

    fn append(&mut self, write: impl FnOnce(&mut SerializedRowGroupWriter<File>) -> Result<()>) -> Result<()> {
        let append = || {
            let mut group = self.writer.next_row_group()?;
            write(&mut group)?;
            group.close()?;
            anyhow::Ok(())
        };
        append().with_context(|| format!("failed to write {}", self.path.display()))
    }

    fn finish(self) -> Result<()> {
        self.writer.close().with_context(|| format!("failed to write {}", self.path.display()))?;
        Ok(())
    }
}

struct AttemptRow<'a> {
    number: i32,
    arrival: &'a Arrival,
    is_delivered: bool,
}

struct Rows<'a> {
    origin: &'a LedgerOrigin<'a>,
    ledger: &'a Ledger,
    calendar: &'a Calendar,
}

/// Columns in the order of the schemas.
impl Rows<'_> {
    fn requests(&self, group: &mut SerializedRowGroupWriter<File>, entries: &[Entry]) -> Result<()> {
        let observed = || entries.iter().map(|entry| entry.observation);
        let check = ByteArray::from(self.origin.check);
        column::<ByteArrayType>(group, entries.iter().map(|_| check.clone()))?;
        column::<Int64Type>(group, entries.iter().map(|entry| i64::from(entry.sequence)))?;
        column::<ByteArrayType>(group, entries.iter().map(|entry| ByteArray::from(self.phase(entry.sequence))))?;
        column::<Int32Type>(group, observed().map(|it| it.client as i32))?;
        column::<Int64Type>(group, observed().map(|it| self.time(it.due)))?;
        column::<Int64Type>(group, observed().map(|it| self.time(it.sent())))?;
        column::<Int64Type>(group, observed().map(|it| self.time(it.ended)))?;
        column::<DoubleType>(group, observed().map(|it| it.ended.since(it.due).as_secs_f64()))?;
        column::<BoolType>(group, observed().map(|it| it.reused))?;
        optional::<ByteArrayType>(group, observed().map(|it| self.name(it.backend)))?;
        optional::<Int32Type>(group, observed().map(|it| status(it.status)))?;
        column::<ByteArrayType>(group, observed().map(|it| ByteArray::from(it.outcome.name())))?;
        column::<ByteArrayType>(group, entries.iter().map(|entry| ByteArray::from(entry.outcome.name())))?;
        optional::<FixedLenByteArrayType>(group, observed().map(|it| id(it.response)))?;
        column::<Int32Type>(group, entries.iter().map(|entry| entry.attempts.len() as i32))?;
        column::<BoolType>(group, entries.iter().map(|entry| entry.is_ordered))
    }

    fn attempts(&self, group: &mut SerializedRowGroupWriter<File>, rows: &[AttemptRow]) -> Result<()> {
        let arrived = || rows.iter().map(|row| row.arrival);
        let (check, nobody) = (ByteArray::from(self.origin.check), ByteArray::from("?"));
        let half_width = |backend: Backend| self.ledger.half_width(backend).as_secs_f64();
        column::<ByteArrayType>(group, rows.iter().map(|_| check.clone()))?;
        let request = |it: &Arrival| is_numbered(it.sequence).then_some(i64::from(it.sequence));
        optional::<Int64Type>(group, arrived().map(request))?;
        column::<Int32Type>(group, rows.iter().map(|row| row.number))?;
        column::<ByteArrayType>(group, arrived().map(|it| self.name(it.backend).unwrap_or_else(|| nobody.clone())))?;
        column::<Int64Type>(group, arrived().map(|it| self.time(it.received)))?;
        column::<DoubleType>(group, arrived().map(|it| half_width(it.backend)))?;
        column::<DoubleType>(group, arrived().map(|it| f64::from(it.took) / 1e7))?;
        optional::<Int32Type>(group, arrived().map(|it| status(it.status)))?;
        column::<ByteArrayType>(group, arrived().map(|it| ByteArray::from(it.end.name())))?;
        column::<BoolType>(group, rows.iter().map(|row| row.is_delivered))?;
        optional::<FixedLenByteArrayType>(group, arrived().map(|it| id(it.response)))
    }

    fn phase(&self, sequence: u32) -> &'static str {
        match sequence {
            warm_up if warm_up < self.origin.judged => "warm-up",
            sampled if self.origin.sample.contains(&sampled) => "sample",
            _ => "experiments",
        }
    }

    fn name(&self, backend: Backend) -> Option<ByteArray> {
        self.origin.names.get(usize::from(backend.0)).map(|name| ByteArray::from(name.as_str()))
    }

    /// Microseconds since 1970: 2^63 of them are 292,000 years.
    fn time(&self, moment: Moment) -> i64 {
        (self.calendar.unix(moment) / 1000) as i64
    }
}

fn status(status: u16) -> Option<i32> {
    (status > 0).then_some(i32::from(status))
}

fn id(response: Uuid) -> Option<FixedLenByteArray> {
    (!response.is_nil()).then(|| FixedLenByteArray::from(response.as_bytes().to_vec()))
}

/// Writes the next column of a group, which has a value in each row.
fn column<T: DataType>(group: &mut SerializedRowGroupWriter<File>, values: impl Iterator<Item = T::T>) -> Result<()> {
    let values: Vec<T::T> = values.collect();
    let mut column = group.next_column()?.context("the schema has no such column")?;
    column.typed::<T>().write_batch(&values, None, None)?;
    column.close()?;
    Ok(())
}

/// Writes a column whose rows may have no value.
fn optional<T: DataType>(
    group: &mut SerializedRowGroupWriter<File>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let (mut levels, mut known) = (Vec::new(), Vec::new());
    for value in values {
        levels.push(i16::from(value.is_some()));
        known.extend(value);
    }
    let mut column = group.next_column()?.context("the schema has no such column")?;
    column.typed::<T>().write_batch(&known, Some(&levels), None)?;
    column.close()?;
    Ok(())
}
