//! What the check spends on records of several hosts beside one host of as many backends, at 50,000 requests a second and more.
//! `make hosts` runs it; it writes docs/results/HOSTS.md.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use uuid_generator::testing::cost_of_a_record;

const ROUNDS: usize = 5;
const SECONDS: u64 = 3;
/// Hosts, and backends of each: many, and one of as many.
const FLEETS: [[(u64, u16); 2]; 2] = [[(5, 60), (1, 300)], [(10, 100), (1, 1000)]];
const RATES: [u64; 2] = [50_000, 200_000];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let mut report = HEAD.to_owned();
    for rate in RATES {
        for fleets in FLEETS {
            let mut rounds = Vec::new();
            for round in 0..=ROUNDS {
                let [many, one] = fleets.map(|(hosts, backends)| cost_of_a_record(hosts, backends, rate, SECONDS));
                // The first round warms up.
                if round > 0 {
                    rounds.push((many?, one?));
                }
            }
            let row = row(rate, fleets, &rounds);
            print!("{row}");
            report += &row;
        }
    }
    std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results/HOSTS.md"), report)?;
    Ok(())
}

fn row(rate: u64, [(hosts, backends), (_, all)]: [(u64, u16); 2], rounds: &[(Duration, Duration)]) -> String {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let many = median(rounds.iter().map(|(many, _)| micros(*many)));
    let one = median(rounds.iter().map(|(_, one)| micros(*one)));
    let ratio = median(rounds.iter().map(|(many, one)| many.as_secs_f64() / one.as_secs_f64()));
    let mut row = String::new();
    // Nothing is wrong with writing into a text.
    let _ = writeln!(
        row,
        "| {rate} | {hosts} × {backends} | 1 × {all} | {many:.2} | {one:.2} | {ratio:.3} | {:.0} |",
        1e6 / many / 1000.0
    );
    row
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const HEAD: &str = "\
# Many hosts

Written by `make hosts`.

What `check` spends on the records of several hosts, beside one host with as many backends: processor time, in the program and in the
kernel, of the thread that asks each host for pages ten times a second, reads the records, and keeps what the ledger needs. The collector
is the check's own. Hosts are threads that give records over TCP as supervisors do, at a steady rate; the requests themselves are not
made, since no machine of two cores makes as many through a balancer. Each run lasts three seconds and ends with an error
unless each record has arrived exactly once. Five rounds after a warm-up, in turn; a ratio is the median of the rounds' ratios.

| records a second | hosts × backends | beside | µs a record | µs a record of one host | ratio | 1,000 records a second that one core carries |
|---|---|---|---|---|---|---|
";
