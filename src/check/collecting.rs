//! What it costs to collect records, for a bench: the collector is the check's own, and hosts are threads that give records as supervisors
//! do, as many as a clock says.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use uuid::Uuid;

use crate::check::collector::Collector;
use crate::fleets::Fleets;
use crate::io::clock;
use crate::remote::{FleetChoice, Which};
use crate::wire::{
    AttemptEnd, BatchHead, Calendar, Clipped, Generator, Instance, MOST_IN_BATCH, Moment, Record, RequestId,
    ResponseId, write_batch,
};

const RUN: u64 = 7;
/// From the start of the hosts to the first record: the collector has asked all of them by then, also on a busy machine.
const LEAD: Duration = Duration::from_secs(2);

/// Records that hosts give, together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordLoad {
    pub(crate) hosts: u64,
    /// Of each host.
    pub(crate) backends: u16,
    /// A second, of all hosts.
    pub(crate) rate: u64,
    pub(crate) seconds: u64,
}

/// Collects them, each exactly once, and returns the processor's time that the collector took for one.
pub(crate) fn cost_of_a_record(load: RecordLoad) -> Result<Duration> {
    let first = clock::now().after(LEAD);
    let hosts = (0..load.hosts).map(|host| RecordHost { load, host, first }.start()).collect::<Result<Vec<_>>>()?;
    let choice = |at: &SocketAddr| FleetChoice { which: Which::At(format!("http://{at}")), token: None };
    let choices: Vec<FleetChoice> = hosts.iter().map(choice).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (collected, took) = runtime.block_on(async {
        let mut collector = Collector::begin(Fleets::find(&choices).await?, RUN).await?;
        let before = processor_time();
        collector.collect_until(tokio::time::sleep(LEAD + Duration::from_secs(load.seconds))).await;
        let collected = collector.finish().await;
        anyhow::Ok((collected, processor_time().saturating_sub(before)))
    })?;
    let mut sequences: Vec<u32> = collected.arrivals.iter().map(|arrival| arrival.sequence).collect();
    sequences.sort_unstable();
    let is_whole = sequences.iter().copied().eq(0..(load.rate * load.seconds) as u32);
    ensure!(is_whole && collected.gaps.is_empty(), "{load:?}: {} records, {:?}", sequences.len(), collected.gaps);
    Ok(took / sequences.len() as u32)
}

/// Of this thread, in the program and in the kernel.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A host that gives its part of the records: one of each round over all hosts.
#[derive(Clone, Copy)]
struct RecordHost {
    load: RecordLoad,
    host: u64,
    first: Moment,
}

impl RecordHost {
    /// Serves its API until this process ends.
    fn start(self) -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || self.answer(&stream));
            }
        });
        Ok(address)
    }

    fn answer(self, mut stream: &TcpStream) -> Result<()> {
        let mut lines = BufReader::new(stream).lines();
        while let Some(request) = lines.next() {
            let request = request?;
            lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let body = if request.contains("/v1/fleet") { self.status().into_bytes() } else { self.page(&request)? };
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?;
            stream.write_all(&body)?;
        }
        Ok(())
    }

    fn status(self) -> String {
        let host = self.host;
        let backend = |id: u16| {
            format!(
                r#"{{"name":"b{id}-{host}","id":{id},"url":"","state":"ready","since":"","pid":1,"ready":true,"restarts":0,
                "attempts":0,"in_flight":0,"lost":0,"last_end":null}}"#
            )
        };
        let backends: Vec<String> = (0..self.load.backends).map(backend).collect();
        let backends = backends.join(",");
        format!(
            r#"{{"version":2,"pid":1,"control":"","started":"","host":"host{host}","instance":"{:016x}","backends":[{backends}]}}"#,
            self.instance().0
        )
    }

    fn instance(self) -> Instance {
        Instance(self.host + 1)
    }

    /// The records from the number on that was asked for and until now.
    fn page(self, request: &str) -> Result<Vec<u8>> {
        let RecordLoad { hosts, rate, seconds, .. } = self.load;
        let number = request.split("from=").nth(1).and_then(|rest| rest.split(['&', ' ']).next());
        let from: u64 = number.context("a number")?.parse()?;
        let now = clock::now();
        let elapsed = now.0.saturating_sub(self.first.0).min(seconds * 1_000_000_000);
        let end = elapsed * (rate / hosts) / 1_000_000_000;
        let from = from.min(end);
        let next = end.min(from + MOST_IN_BATCH as u64);
        let records: Vec<_> = (from..next).map(|number| self.record(number).to_words().0).collect();
        let calendar = Calendar { moment: Moment(0), unix: 0 };
        let head = BatchHead { next, missed: 0, lost: 0, calendar, now, fleet: self.instance() };
        Ok(write_batch(&head, records.iter(), &[]))
    }

    fn record(self, number: u64) -> Record {
        let RecordLoad { hosts, backends, rate, .. } = self.load;
        let sequence = number * hosts + self.host;
        let received = Moment(self.first.0 + sequence * 1_000_000_000 / rate);
        let mut record = Record {
            number: number / u64::from(backends) + 1,
            received,
            responded: received.after(Duration::from_micros(10)),
            generator: Generator((number % u64::from(backends)) as u16),
            response: Some(ResponseId(Uuid::from_u64_pair(sequence + 1, self.host))),
            request: Some(RequestId { run: RUN, sequence }),
            connection: number % 64,
            request_number: 1,
            method: Clipped::new(b"GET"),
            path: Clipped::new(b"/uuid"),
            status: 200,
            bytes: 512,
            outcome: AttemptEnd::Completed,
            ..Record::default()
        };
        record.arrived.host = Clipped::new(b"shop.example:8080");
        record
    }
}
