//! The ledger as two Parquet files, for questions that a report does not answer: one row a request, one row an attempt.

mod parquet;
mod thrift;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::check::ledger_file::parquet::{CellValue, Column, ColumnKind, Row, TableWriter};
use crate::error::Problem;
use crate::wire::{Calendar, Moment};
use verdict::ledger::{Arrival, Entry, Ledger, UNNUMBERED};
use verdict::observation::Backend;

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
    writer: TableWriter<File>,
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
        let requests = Table::create::<RequestRow>(at("requests"))?;
        let attempts = Table::create::<AttemptRow>(at("attempts"))?;
        Ok(LedgerFiles { requests, attempts, calendar })
    }

    /// Appends the ledger of a check.
    pub(crate) fn write(&mut self, ledger: &Ledger, origin: &LedgerOrigin) -> Result<()> {
        let rows = RowContext { origin, ledger, calendar: &self.calendar };
        let requests = ledger.entries().map(|entry| RequestRow { entry, of: &rows });
        self.requests.append(requests)?;
        let numbered = ledger.entries().flat_map(|entry| {
            let answer = entry.observation.response;
            (1..).zip(entry.attempts).map(move |(number, arrival)| {
                let is_delivered = !answer.is_nil() && arrival.response == answer;
                (number, arrival, is_delivered)
            })
        });
        let others = ledger.others().iter().map(|arrival| (1, arrival, false));
        let attempts = numbered.chain(others);
        self.attempts.append(attempts.map(|(number, arrival, is_delivered)| AttemptRow {
            number,
            arrival,
            is_delivered,
            of: &rows,
        }))
    }

    /// Without its end a file of this format cannot be read.
    pub(crate) fn finish(self) -> Result<()> {
        self.requests.finish()?;
        self.attempts.finish()
    }
}

impl Table {
    fn create<R: Row>(path: PathBuf) -> Result<Table> {
        let create = || TableWriter::begin::<R>(File::create(&path)?);
        let writer = create().with_context(|| format!("failed to write {}", path.display()))?;
        Ok(Table { path, writer })
    }

    fn append<R: Row>(&mut self, rows: impl Iterator<Item = R>) -> Result<()> {
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let some: Vec<R> = rows.by_ref().take(ROWS).collect();
            self.writer.append(&some).with_context(|| format!("failed to write {}", self.path.display()))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.writer.finish().with_context(|| format!("failed to write {}", self.path.display()))
    }
}

/// What the rows of a check have in common.
struct RowContext<'a> {
    origin: &'a LedgerOrigin<'a>,
    ledger: &'a Ledger,
    calendar: &'a Calendar,
}

impl RowContext<'_> {
    fn phase(&self, sequence: u32) -> &'static str {
        match sequence {
            warm_up if warm_up < self.origin.judged => "warm-up",
            sampled if self.origin.sample.contains(&sampled) => "sample",
            _ => "experiments",
        }
    }

    fn name(&self, backend: Backend) -> Option<&str> {
        self.origin.names.get(usize::from(backend.0)).map(String::as_str)
    }

    /// Microseconds since 1970: 2^63 of them are 292,000 years.
    fn time(&self, moment: Moment) -> CellValue<'static> {
        CellValue::Time((self.calendar.unix(moment) / 1000) as i64)
    }
}

/// Of a request: what the client saw, and what became of it.
struct RequestRow<'a> {
    entry: Entry<'a>,
    of: &'a RowContext<'a>,
}

impl Row for RequestRow<'_> {
    const NAME: &'static str = "request";

    fn columns() -> Vec<Column<Self>> {
        use ColumnKind::{Double, Flag, Int32, Int64, Text, Time, Uuid};
        vec![
            Column::required("check_name", Text, |row| CellValue::Text(row.of.origin.check)),
            Column::required("request", Int64, |row| CellValue::Int64(i64::from(row.entry.sequence))),
            Column::required("phase", Text, |row| CellValue::Text(row.of.phase(row.entry.sequence))),
            Column::required("client", Int32, |row| CellValue::Int32(row.entry.observation.client as i32)),
            Column::required("due", Time, |row| row.of.time(row.entry.observation.due)),
            Column::required("sent", Time, |row| row.of.time(row.entry.observation.sent())),
            Column::required("ended", Time, |row| row.of.time(row.entry.observation.ended)),
            Column::required("seconds", Double, |row| {
                let it = row.entry.observation;
                CellValue::Double(it.ended.since(it.due).as_secs_f64())
            }),
            Column::required("reused", Flag, |row| CellValue::Flag(row.entry.observation.reused)),
            Column::optional("backend", Text, |row| {
                row.of.name(row.entry.observation.backend).map_or(CellValue::Null, CellValue::Text)
            }),
            Column::optional("status", Int32, |row| status(row.entry.observation.status)),
            Column::required("client_outcome", Text, |row| CellValue::Text(row.entry.observation.outcome.name())),
            Column::required("outcome", Text, |row| CellValue::Text(row.entry.outcome.name())),
            Column::optional("response", Uuid, |row| id(row.entry.observation.response)),
            Column::required("attempts", Int32, |row| CellValue::Int32(row.entry.attempts.len() as i32)),
            Column::required("is_ordered", Flag, |row| CellValue::Flag(row.entry.is_ordered)),
        ]
    }
}

/// Of an attempt: what its backend recorded. Those of other clients have no request.
struct AttemptRow<'a> {
    number: i32,
    arrival: &'a Arrival,
    is_delivered: bool,
    of: &'a RowContext<'a>,
}

impl Row for AttemptRow<'_> {
    const NAME: &'static str = "attempt";

    fn columns() -> Vec<Column<Self>> {
        use ColumnKind::{Double, Flag, Int32, Int64, Text, Time, Uuid};
        vec![
            Column::required("check_name", Text, |row| CellValue::Text(row.of.origin.check)),
            Column::optional("request", Int64, |row| match row.arrival.sequence {
                UNNUMBERED => CellValue::Null,
                sequence => CellValue::Int64(i64::from(sequence)),
            }),
            Column::required("attempt", Int32, |row| CellValue::Int32(row.number)),
            Column::required("backend", Text, |row| CellValue::Text(row.of.name(row.arrival.backend).unwrap_or("?"))),
            Column::required("received", Time, |row| row.of.time(row.arrival.received)),
            Column::required("half_width", Double, |row| {
                CellValue::Double(row.of.ledger.half_width(row.arrival.backend).as_secs_f64())
            }),
            Column::required("seconds", Double, |row| CellValue::Double(f64::from(row.arrival.took) / 1e7)),
            Column::optional("status", Int32, |row| status(row.arrival.status)),
            Column::required("attempt_end", Text, |row| CellValue::Text(row.arrival.end.name())),
            Column::required("is_delivered", Flag, |row| CellValue::Flag(row.is_delivered)),
            Column::optional("response", Uuid, |row| id(row.arrival.response)),
        ]
    }
}

fn status(status: u16) -> CellValue<'static> {
    if status > 0 { CellValue::Int32(i32::from(status)) } else { CellValue::Null }
}

fn id(response: Uuid) -> CellValue<'static> {
    if response.is_nil() { CellValue::Null } else { CellValue::Uuid(response) }
}
