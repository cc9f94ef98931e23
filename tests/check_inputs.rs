//! What the check says of bad input, of what is no balancer, and of fleets that are not the one: one clear message each, exit status 2,
//! nothing on standard output.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Fleet, TemporaryDirectory, complaints, error_of, eventually, program, run, send};
use rustix::process::Signal;
use testbed::planted::{Defect, PlantedAlgorithm, PlantedBalancer};
use verdict::report::{Report, Verdict};

/// A server that does this with each connection, until the test ends.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream);
        }
    });
    port
}

/// Reads a request's head.
fn heard(stream: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
}

fn answers(text: &'static str) -> u16 {
    server(move |mut stream| {
        heard(&mut stream);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// Runs a check without a fleet that must be refused, and gives its error.
fn refused(words: &[&str]) -> String {
    let place = TemporaryDirectory::new();
    error_of(&run(program(&place).arg("check").args(words)))
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    assert!(error.starts_with("error: ") && error.lines().count() <= 8, "{error}");
}

#[test]
fn what_cannot_be_reached_or_is_no_url_is_told() {
    let free = crate::support::ports(1)[0];
    says(&refused(&[&format!("http://127.0.0.1:{free}/")]), &["nothing listens there", "is the balancer running"]);
    says(&refused(&["http://no-such-host.invalid/"]), &["no-such-host.invalid does not resolve", "spelt right"]);
    says(&refused(&["ftp://localhost/"]), &["unsupported scheme ftp://"]);
    says(&refused(&["http://user:secret@localhost/"]), &["user in the URL", "Authorization"]);
    says(&refused(&["::::"]), &["not a URL"]);
    says(&refused(&[]), &["no URL", "[[check]]"]);
}

#[test]
fn options_that_make_no_sense_are_told_with_what_was_expected() {
    for (words, part) in [
        (&["--expect", "nonsense"][..], "an algorithm (round-robin, "),
        (&["--expect", "5:x"], "weights in the fleet's order"),
        (&["--expect", "0:0"], "at least one weight"),
        (&["--tolerance", "0"], "0.01% to 50%"),
        (&["--allow", "nonsense"], "expected one of delivered"),
        (&["--outage", "nonsense"], "kill:9002@2s"),
        (&["--outage", "burn:9002@1s"], "expected kill"),
        (&["--outage", "kill:9002@soon"], "time after @"),
        (&["--identity", "nonsense"], "header:NAME"),
        (&["--identity", "regex:("], "--identity"),
        (&["--rate", "-1"], "above 0"),
        (&["-n", "0"], "at least 1"),
        (&["--method", "get"], "capital letters"),
        (&["--header", "no-colon"], "Name: value"),
        (&["--header", "A: b\r\nC: d"], "Name: value"),
        (&["--duration", "0s"], "above 0"),
        (&["--fleet", "x"], "process id, or a URL"),
    ] {
        let mut all = vec!["http://localhost:1/"];
        all.extend(words);
        let error = refused(&all);
        assert!(error.contains(part), "{words:?}: {error}");
    }
}

#[test]
fn a_file_that_is_wrong_is_told_with_its_place() {
    let place = TemporaryDirectory::new();
    let check = |text: &str| {
        std::fs::write(place.path().join("uuid-generator.toml"), text).unwrap();
        error_of(&run(program(&place).arg("check")))
    };
    says(&check("ports = \"9001\"\n"), &["no table [[check]]"]);
    says(&check("[[check]]\nurl = \"http://localhost:1/\"\nrequsts = 5\n"), &["line 3", "no such key: requsts"]);
    says(&check("[[check]]\nurl = 5\n"), &["line 2"]);
    let misfit = "[[check]]\nurl = \"http://localhost:1/\"\ndeadline = \"1s\"\n";
    says(&check(misfit), &[".toml: --deadline: it is for gRPC calls"]);
    says(
        &check("[[check]]\nname = \"a\"\nurl = \"http://localhost:1/\"\nexpect = [\"x\"]\n"),
        &["check a", "no such expectation"],
    );
    says(&refused(&["--config", "/nowhere.toml"]), &["/nowhere.toml"]);
    says(&refused(&["http://localhost:1/", "--config", "some.toml"]), &["--config some.toml", "leave out the URL"]);
}

#[test]
fn what_answers_and_is_no_balancer_is_told() {
    let silent = server(|stream| {
        // Held open until the test ends.
        std::mem::forget(stream);
    });
    let closing = server(drop);
    let page = |status: &'static str| {
        answers(Box::leak(format!("HTTP/1.1 {status}\r\nServer: x\r\nContent-Length: 0\r\n\r\n").into_boxed_str()))
    };
    let endless = answers("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n");
    let identity = ["--identity", "header:X-Served-By"];
    let tried = |port: u16, parts: &[&str]| {
        let url = format!("http://127.0.0.1:{port}/");
        let error = refused(&[&[url.as_str(), "--timeout", "300ms"], &identity[..]].concat());
        says(&error, &[&[url.as_str()], parts].concat());
    };
    tried(silent, &["no response within 300ms", "--timeout waits longer"]);
    tried(answers("SSH-2.0-OpenSSH\r\n"), &["what it sends is not HTTP/1.1"]);
    tried(endless, &["larger than 16 MiB"]);
    tried(closing, &["ends it without a response"]);
    tried(page("404 Not Found"), &["404 Not Found", "location /uuid"]);
    tried(page("301 Moved Permanently"), &["redirects"]);
    tried(page("502 Bad Gateway"), &["502 Bad Gateway", "error log"]);
    tried(
        page("200 OK"),
        &[
            "no response has the header X-Served-By",
            "the first response has",
            "HTTP/1.1 200 OK",
            "--identity header:NAME",
        ],
    );
}

#[test]
fn a_backend_that_is_asked_directly_is_no_balancer() {
    let (fleet, ports) = Fleet::of(2, &["--log", "off"]);
    for host in ["localhost", "127.0.0.1"] {
        let error = error_of(&fleet.program(&["check", &format!("http://{host}:{}/", ports[1])]));
        says(&error, &[&format!("backend {} itself", ports[1]), "no balancer in between"]);
    }
}

#[test]
fn a_fleet_that_is_not_behind_the_balancer_is_told() {
    let (_behind, backends) = Fleet::of(2, &["--log", "off"]);
    let (other, _) = Fleet::of(2, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&backends, PlantedAlgorithm::RoundRobin);
    let error = error_of(&other.program(&["check", &balancer.url("/")]));
    says(&error, &["has no record of it", "choose the fleet with --fleet"]);
}

#[test]
fn weights_and_outages_must_fit_the_fleet_before_anything_is_sent() {
    let (fleet, ports) = Fleet::of(3, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let url = balancer.url("/");
    let error = |words: &[&str]| error_of(&fleet.program(&[&["check", url.as_str()], words].concat()));
    says(&error(&["--expect", "5:1"]), &["has 2 weights, and there are 3 backends"]);
    says(&error(&["--expect", "1=5"]), &["there is no backend 1"]);
    says(&error(&["--expect", "backup:1"]), &["the fleet has no backend 1, only"]);
    says(&error(&["--outage", "kill:1@1s"]), &["the fleet has no backend 1"]);
    assert_eq!(fleet.records().records, []);
}

#[test]
fn a_balancer_that_never_answers_or_never_ends_is_told() {
    let (fleet, ports) = Fleet::of(2, &["--log", "off"]);
    for (defect, part) in [(Defect::NeverAnswers, "no response within 300ms"), (Defect::Endless, "larger than 16 MiB")]
    {
        let balancer = PlantedBalancer::start(&ports, defect);
        let timeout = if defect == Defect::Endless { "10s" } else { "300ms" };
        says(&error_of(&fleet.program(&["check", &balancer.url("/"), "--timeout", timeout])), &[part]);
    }
}

#[test]
fn a_fleet_is_started_for_the_run_and_gone_after_it_and_its_own_errors_are_shown() {
    let place = TemporaryDirectory::new();
    let ports = crate::support::ports(3);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let list = crate::support::list(&ports);
    let url = balancer.url("/uuid");
    let words = ["check", &url, "--start", "--ports", &list, "-n", "300", "--format", "json"];
    let output = run(program(&place).args(words));
    let report: Report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((report.verdict, complaints(&output), place.processes()), (Verdict::Pass, String::new(), vec![]));
    let _held = TcpListener::bind(("127.0.0.1", ports[1])).unwrap();
    let output = run(program(&place).args(words));
    says(&error_of(&output), &["failed to start the fleet", "address already in use"]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.errors[0].error.contains("address already in use"), "{:?}", report.errors);
    assert_eq!(place.processes(), [] as [u32; 0]);
}

#[test]
fn several_checks_of_a_file_give_one_report_and_the_worst_verdict() {
    let (fleet, ports) = Fleet::of(3, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    let url = balancer.url("/uuid");
    let file = format!(
        "[[check]]\nname = \"good\"\nurl = \"{url}\"\nexpect = [\"round-robin\", \"even\"]\nrequests = 600\n\n\
         [[check]]\nname = \"bad\"\nurl = \"{url}\"\nexpect = [\"5:1:1\"]\nrequests = 600\n"
    );
    std::fs::write(fleet.place.path().join("uuid-generator.toml"), file).unwrap();
    let output = fleet.program(&["check", "--format", "json", "--junit", "j.xml", "--html", "r.html"]);
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts: Vec<_> = report.checks.iter().map(|check| (check.name.as_deref().unwrap(), check.verdict)).collect();
    assert_eq!(verdicts, [("good", Verdict::Pass), ("bad", Verdict::Fail)]);
    assert_eq!((output.status.code(), report.verdict, complaints(&output)), (Some(1), Verdict::Fail, String::new()));
    let read = |name: &str| std::fs::read_to_string(fleet.place.path().join(name)).unwrap();
    assert!(read("j.xml").contains("failures=\"1\"") && read("r.html").contains("</html>"));
    // A flag wins over the file.
    let output = fleet.program(&["check", "--expect", "even", "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn backends_that_name_themselves_need_no_fleet() {
    let named = |name: &'static str| {
        server(move |mut stream| {
            thread::spawn(move || {
                heard(&mut stream);
                let body = format!("{{\"host\": \"{name}\"}} Pod {name}!");
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nX-Served-By: {name}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            });
        })
    };
    let balancer = PlantedBalancer::start(&[named("a"), named("b")], PlantedAlgorithm::RoundRobin);
    let place = TemporaryDirectory::new();
    for identity in ["header:X-Served-By", "regex:Pod ([a-z]+)!"] {
        let words = ["check", &balancer.url("/"), "-n", "300", "--format", "json", "--identity", identity];
        let output = run(program(&place).args(words));
        let report: Report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        let check = &report.checks[0];
        let names: Vec<_> = check.shares.as_ref().unwrap().rows.iter().map(|row| row.backend.as_str()).collect();
        assert!(names.contains(&"a") && names.contains(&"b") && names.len() == 2, "{names:?}");
        let algorithm = check.algorithm.as_ref().unwrap();
        assert_eq!(
            (algorithm.name.as_deref(), algorithm.or.as_slice()),
            (Some("round-robin"), &["least-connections".to_owned(), "least-time".to_owned()][..])
        );
        assert_eq!((report.verdict, check.fleet.is_none()), (Verdict::Pass, true));
        assert!(check.findings.iter().any(|it| it.summary().contains("retries and repeats are unknown")));
    }
    let outage = ["check", &balancer.url("/"), "--identity", "header:X-Served-By", "--outage", "kill:9001@1s"];
    says(&error_of(&run(program(&place).args(outage))), &["only backends of a fleet can be broken"]);
}

#[test]
fn a_check_that_is_interrupted_judges_nothing_and_says_so_in_one_line() {
    let (fleet, ports) = Fleet::of(2, &["--log", "off"]);
    let balancer = PlantedBalancer::start(&ports, PlantedAlgorithm::RoundRobin);
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let before = fleet.records().records.len();
        let mut command = program(&fleet.place);
        command.args(["check", &balancer.url("/"), "--rate", "100", "--duration", "60s", "--format", "json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it sends requests", || fleet.records().records.len() > before + 50);
        let begin = Instant::now();
        send(child.id(), signal);
        let output = child.wait_with_output().unwrap();
        let (took, said) = (begin.elapsed(), complaints(&output));
        assert_eq!((output.status.code(), output.stdout.len()), (Some(status), 0), "{said}");
        assert!(said.starts_with("stopped after ") && said.ends_with(" requests; nothing is judged\n"), "{said}");
        assert!(said.lines().count() == 1 && took < Duration::from_secs(2), "{took:?}: {said}");
    }
}
