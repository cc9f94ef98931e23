//! `--ledger`: the queries of its page in the docs, run by DuckDB over the files of a check.

use std::path::Path;
use std::process::Command;

use crate::support::{Fleet, TemporaryDirectory, in_place, run};
use serde_json::Value;
use testbed::planted::{PlantedAlgorithm, PlantedBalancer};
use verdict::report::{Check, Report};

const PAGE: &str = include_str!("../docs/how-to/ledger.md");

/// What DuckDB answers to each of them: rows of columns.
fn answers(place: &TemporaryDirectory, queries: &[&str]) -> Vec<Vec<Vec<Value>>> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/bin/python");
    assert!(python.exists(), "{} is missing: run tests/prepare, or `make test`, which does", python.display());
    let script = "import duckdb, json, sys\n\
                  duckdb.sql(\"SET TimeZone = 'UTC'\")\n\
                  rows = [[[str(it) if hasattr(it, 'isoformat') else it for it in row] for row in duckdb.execute(q).fetchall()]\n\
                          for q in json.loads(sys.argv[1])]\n\
                  print(json.dumps(rows))";
    let mut command = in_place(Command::new(python), place);
    let output = run(command.args(["-c", script, &serde_json::to_string(queries).unwrap()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const COLUMNS_OF_REQUESTS: &str = "check_name VARCHAR, request BIGINT, phase VARCHAR, client INTEGER, due TIMESTAMP WITH TIME ZONE, \
    sent TIMESTAMP WITH TIME ZONE, ended TIMESTAMP WITH TIME ZONE, seconds DOUBLE, reused BOOLEAN, backend VARCHAR, status INTEGER, \
    client_outcome VARCHAR, outcome VARCHAR, response UUID, attempts INTEGER, is_ordered BOOLEAN";
const COLUMNS_OF_ATTEMPTS: &str = "check_name VARCHAR, request BIGINT, attempt INTEGER, backend VARCHAR, received TIMESTAMP WITH TIME ZONE, \
    half_width DOUBLE, seconds DOUBLE, status INTEGER, attempt_end VARCHAR, is_delivered BOOLEAN, response UUID";

/// Names and types, of the rows of DESCRIBE.
fn describe(rows: &[Vec<Value>]) -> String {
    let columns = rows.iter().map(|row| format!("{} {}", row[0].as_str().unwrap(), row[1].as_str().unwrap()));
    columns.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_queries_of_the_docs_say_what_the_report_says() {
    let (fleet, ports) = Fleet::of(2, &[]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let url = balancer.url("/uuid");
    let output = fleet.program(&["check", &url, "-n", "2000", "--ledger", "run.parquet", "--format", "json"]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let [check]: [Check; 1] = report.checks.try_into().unwrap();
    let queries: Vec<&str> = PAGE.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(queries.len(), 5);
    let read = "SELECT count(*), count(r.backend), count(DISTINCT response), count(*) FILTER (WHERE reused), epoch(max(ended)) - epoch(min(due)) < 600 \
                FROM 'run.requests.parquet' r JOIN 'run.attempts.parquet' a USING (response)";
    let types = ["requests", "attempts"].map(|it| format!("DESCRIBE FROM 'run.{it}.parquet'"));
    let answers = answers(&fleet.place, &[&queries[..], &[read, &types[0], &types[1]]].concat());
    let [columns_of_requests, columns_of_attempts] = [&answers[6], &answers[7]].map(|rows| describe(rows));
    assert_eq!(columns_of_requests, COLUMNS_OF_REQUESTS);
    assert_eq!(columns_of_attempts, COLUMNS_OF_ATTEMPTS);
    let [all, with_backend, responses, reused, is_short] = &answers[5][0][..] else { panic!() };
    assert!(all.as_u64() >= Some(2000) && all == with_backend && all == responses, "{:?}", answers[5]);
    assert!(reused.as_u64() > Some(0) && reused.as_u64() < all.as_u64() && is_short == true, "{:?}", answers[5]);
    let answers = &answers[..5];
    let [outcomes, firsts, retries, overhead, slices] = answers else { panic!() };
    let sum = |rows: &[Vec<Value>], column: usize| rows.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    // Warm-up and experiments are in the file, and not all of them in the account.
    assert!(outcomes[0][0] == "delivered" && sum(outcomes, 1) >= check.account.sent, "{outcomes:?}");
    let shares: Vec<(String, u64)> =
        check.shares.unwrap().rows.iter().map(|row| (row.backend.clone(), row.count)).collect();
    let asked: Vec<(String, u64)> =
        firsts.iter().map(|row| (row[0].as_str().unwrap().to_owned(), row[1].as_u64().unwrap())).collect();
    assert_eq!(asked, shares);
    assert_eq!(retries, &[] as &[Vec<Value>]);
    assert!(overhead.len() == 2 && overhead.iter().all(|row| row[2].as_f64() >= row[1].as_f64()), "{overhead:?}");
    assert!(sum(slices, 2) >= 2000 && sum(slices, 3) == 0, "{slices:?}");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_before_anything_is_sent() {
    let (fleet, _) = Fleet::of(1, &[]);
    let cases = [("nowhere/run.parquet", "nowhere/run.requests.parquet"), ("run.csv", "a name such as run.parquet")];
    for (name, why) in cases {
        let output = fleet.program(&["check", "http://127.0.0.1:1/", "--ledger", name]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
    }
}
