//! The API for those who look: that it is as it is documented, that only those may change something who may, and that what it tells
//! is what happens.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::support::http::{Connection, get};
use crate::support::{Fleet, TemporaryDirectory, list, ports, program};
use api::{BackendState, Frame, MarkKind, Snapshot};
use serde_json::{Value, json};

const HOST: &str = "127.0.0.1";

fn documented() -> Value {
    serde_json::from_str(include_str!("../schemas/openapi.json")).unwrap()
}

/// Checks a value against a shape of the document.
fn fits(document: &Value, shape: &str, value: &Value) {
    let schema = json!({ "$ref": format!("#/components/schemas/{shape}"), "components": document["components"] });
    let schema = jsonschema::validator_for(&schema).unwrap();
    assert!(schema.is_valid(value), "{shape}: {:?}: {value}", schema.validate(value).err());
}

/// Server-sent events as they come.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(fleet: &Fleet) -> Events {
        let stream = TcpStream::connect(fleet.control.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        Events::on(stream, &fleet.bearer())
    }

    /// As anybody may have them.
    fn without_token(fleet: &Fleet) -> Events {
        let stream = TcpStream::connect(fleet.control.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        Events::on(stream, "")
    }

    fn on(stream: TcpStream, headers: &str) -> Events {
        (&stream).write_all(format!("GET /v1/live HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n").as_bytes()).unwrap();
        Events(BufReader::new(stream))
    }

    /// The next of that name.
    fn next(&mut self, name: &str) -> Value {
        loop {
            // Chunks begin and end at lines of their own.
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if line.trim_end() == format!("event: {name}") {
                line.clear();
                self.0.read_line(&mut line).unwrap();
                return serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
            }
        }
    }

    /// Frames until one satisfies.
    fn until(&mut self, what: &str, mut satisfies: impl FnMut(&Frame) -> bool) -> Frame {
        for _ in 0..200 {
            let frame: Frame = serde_json::from_value(self.next("frame")).unwrap();
            if satisfies(&frame) {
                return frame;
            }
        }
        panic!("no frame showed: {what}");
    }
}

#[test]
fn every_path_is_documented_and_answers_as_the_document_says() {
    let document = documented();
    let routes: BTreeSet<String> = include_str!("../src/fleet/api/routes.rs")
        .split(".route(\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect();
    let paths: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(routes, paths);
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    get(&format!("http://127.0.0.1:{}/a", backends[0])).unwrap();
    fleet.call("POST", &format!("/v1/fleet/fault?backends={}&fault=latency:1ms", backends[0]), HOST, &fleet.bearer());
    for (path, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|_| !path.contains('{') && path != "/v1/live") else { continue };
        let answer = fleet.call("GET", path, HOST, &fleet.bearer());
        assert_eq!(answer.status, 200, "{path}");
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        let (media_type, shape) = content.iter().next().unwrap();
        assert!(answer.header("Content-Type").unwrap().starts_with(media_type), "{path}: {}", answer.head);
        if let Some(shape) = shape["schema"]["$ref"].as_str() {
            let value = serde_json::from_str(&answer.body).unwrap();
            fits(&document, shape.rsplit('/').next().unwrap(), &value);
        }
    }
    for (method, path) in [("GET", "/nowhere"), ("POST", "/v1/fleet/kill"), ("POST", "/v1/fleet/fault")] {
        fits(&document, "Problem", &serde_json::from_str(&fleet.call(method, path, HOST, "").body).unwrap());
    }
    let mut events = Events::of(&fleet);
    fits(&document, "Snapshot", &events.next("snapshot"));
    fits(&document, "Frame", &events.next("frame"));
}

#[test]
fn what_happens_is_told_as_it_happens() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    let mut events = Events::of(&fleet);
    let snapshot: Snapshot = serde_json::from_value(events.next("snapshot")).unwrap();
    assert_eq!(snapshot.fleet.backends.len(), 2);
    for number in 0..5 {
        let mut connection = Connection::to(backends[1]);
        connection.ask(&format!("GET /status/503?{number} HTTP/1.1\r\nHost: h\r\nX-Own: yes\r\n\r\n"));
    }
    let mut counted = [0, 0];
    let mut errors = 0;
    events.until("five requests", |frame| frame.figures.backends[1].requests == 5);
    let mut events = Events::of(&fleet);
    let snapshot: Snapshot = serde_json::from_value(events.next("snapshot")).unwrap();
    for place in snapshot.strip {
        counted[usize::from(place)] += 1;
    }
    errors += snapshot.marks.iter().filter(|mark| mark.kind == MarkKind::Error).map(|mark| mark.count).sum::<u32>();
    assert_eq!((counted, errors), ([0, 5], 5));
    // Somebody looks now: a request is shown with its headers.
    let shown = loop {
        get(&format!("http://127.0.0.1:{}/looked-at", backends[0])).unwrap();
        let frame = events.until("any", |_| true);
        if let Some(shown) = frame.requests.into_iter().find(|request| request.seen.path == "/looked-at") {
            break shown;
        }
    };
    assert_eq!((shown.backend, shown.seen.status), (backends[0].to_string(), 200));
    assert_eq!(shown.seen.headers[0].0, "Host");
    fleet.act("kill", backends[1]);
    let frame = events.until("its end", |frame| frame.backends.is_some());
    assert_eq!(frame.backends.unwrap()[1].state, BackendState::Gone);
}

/// In every place where a request or a balancer's address may have one.
const SECRET: &str = "s3cr3t-value";

#[test]
fn who_has_no_token_sees_names_and_lengths_and_no_secrets() {
    let (fleet, backends) = Fleet::of(1, &["--log", "off"]);
    let bearer = fleet.bearer();
    let front = json!({ "url": format!("http://{SECRET}@127.0.0.1:{}/?key={SECRET}", backends[0]) }).to_string();
    let json = format!("{bearer}Content-Type: application/json\r\n");
    assert_eq!(fleet.call_with("PUT", "/v1/front", HOST, &json, &front).status, 200);
    let news = json!({ "url": format!("http://x/?{SECRET}"), "phase": "", "sent": 1, "total": 1, "result": { "verdict": "fail",
        "algorithm": null, "sent": 1, "outcomes": [], "findings": [["fail", SECRET, SECRET]] } })
    .to_string();
    assert_eq!(fleet.call_with("PUT", "/v1/check/news", HOST, &json, &news).status, 204);
    let mut own = Events::of(&fleet);
    let mut others = Events::without_token(&fleet);
    assert_eq!(
        (own.next("snapshot")["owner"].clone(), others.next("snapshot")["owner"].clone()),
        (json!(true), json!(false))
    );
    let mut seen = [Value::Null, Value::Null];
    while seen.iter().any(|request| request.is_null()) {
        let mut connection = Connection::to(backends[0]);
        connection.ask(&format!(
            "GET /a;s={SECRET}?k={SECRET}&{SECRET} HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {SECRET}\r\nCookie: a={SECRET}\r\n\
             X-Own-Key: {SECRET}\r\nUser-Agent: it\r\n\r\n"
        ));
        for (events, seen) in [&mut own, &mut others].into_iter().zip(&mut seen) {
            let frame = events.next("frame");
            if let Some(request) = frame["requests"].as_array().unwrap().first() {
                *seen = request.clone();
            }
        }
    }
    let [own, others] = seen.map(|request| request.to_string());
    assert_eq!(own.matches(SECRET).count(), 6, "{own}");
    assert!(!others.contains(SECRET), "{others}");
    for shown in ["Authorization", "<18 bytes>", "X-Own-Key", "\"it\"", "/a;s=<12 bytes>?k=<12 bytes>&<12 bytes>"] {
        assert!(others.contains(shown), "{shown}: {others}");
    }
    // Nor anywhere else, of whatever is there by now.
    let mut again = Events::without_token(&fleet);
    assert!(!again.next("snapshot").to_string().contains(SECRET));
    let last = fleet.records().records.len();
    assert!(last > 0);
    assert_eq!(fleet.call("GET", "/v1/records/batch", HOST, "").status, 401);
    for path in ["/v1/records", "/v1/fleet", "/metrics", "/"] {
        assert!(!fleet.call("GET", path, HOST, "").body.contains(SECRET), "{path}");
    }
    assert!(fleet.call("GET", "/v1/records", HOST, &bearer).body.contains(SECRET));
}

#[test]
fn half_heads_in_any_number_keep_nobody_out() {
    let (fleet, backends) = Fleet::of(1, &["--log", "off"]);
    let address = fleet.control.strip_prefix("http://").unwrap();
    let halves: Vec<TcpStream> = (0..700)
        .map(|_| {
            let stream = TcpStream::connect(address).unwrap();
            (&stream).write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
            stream
        })
        .collect();
    fleet.act("kill", backends[0]);
    assert_eq!(fleet.backend(backends[0]).state, BackendState::Gone);
    // The first of them were cut off, the last still wait.
    let is_cut = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let read = std::io::Read::read(&mut stream, &mut [0]);
        !matches!(read, Err(why) if why.kind() == std::io::ErrorKind::WouldBlock)
    };
    assert!(is_cut(&halves[0]) && !is_cut(&halves[699]));
}

#[test]
fn what_is_wrong_with_a_request_is_an_object_with_a_sentence() {
    let (fleet, _) = Fleet::of(1, &["--log", "off"]);
    let document = documented();
    let bearer = fleet.bearer();
    for (method, path, status) in [
        ("GET", "/v1/records?limit=x", 400),
        ("GET", "/v1/records?limits=1", 400),
        ("GET", "/v1/records/batch?from=-1", 400),
        ("GET", "/assets/%ff", 404),
        ("POST", "/v1/fleet/%ff", 404),
        ("DELETE", "/v1/fleet", 405),
        ("POST", "/v1/live", 405),
        ("PUT", "/v1/front", 400),
        ("POST", "/v1/send?requests=0", 400),
    ] {
        let answer = fleet.call(method, path, HOST, &bearer);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        fits(&document, "Problem", &serde_json::from_str(&answer.body).unwrap());
        assert_eq!(status == 405, answer.header("Allow").is_some(), "{method} {path}: {answer:?}");
    }
    let large = format!("\"{}\"", "x".repeat(2 * 1024 * 1024));
    let address = fleet.control.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head =
        format!("PUT /v1/check/news HTTP/1.1\r\nHost: {HOST}\r\n{bearer}Content-Length: {}\r\n\r\n", large.len());
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(large.as_bytes());
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 413 "), "{line}");
}

/// What no client should send: of each kind one that is too little, too much, of another kind, or made to break something.
const BAD: [&str; 14] = [
    "",
    "x",
    "-1",
    "0",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e9",
    "9001,",
    "%00",
    "%ff%fe",
    "%E2%80%AE",
    "..%2f..%2fetc%2fpasswd",
    "null",
    "%3Cscript%3E",
];
const BAD_BODIES: [&str; 9] = [
    "",
    "null",
    "[]",
    "{}",
    "{",
    "\"text\"",
    "{\"algorithm\": 7}",
    "{\"url\": \"x\", \"unknown\": 1}",
    "{\"algorithm\": \"round-robin\", \"weights\": [0, 4294967296, -1]}",
];

#[test]
fn whatever_is_sent_to_a_documented_path_gets_a_documented_status_and_no_error_of_the_server() {
    let (fleet, _) = Fleet::of(1, &["--log", "off"]);
    let document = documented();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let statuses = operation["responses"].as_object().unwrap();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let names = |place: &str| -> Vec<String> {
                let of_place = parameters.iter().filter(|it| it["in"] == place);
                of_place.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
            };
            let mut targets = vec![path.replace("{action}", "ready").replace("{name}", "main.js")];
            for name in names("path") {
                targets.extend(BAD.iter().map(|bad| path.replace(&format!("{{{name}}}"), bad)));
            }
            let usual = targets[0].clone();
            for name in names("query").iter().map(String::as_str).chain(["unknown"]) {
                targets.extend(BAD.iter().map(|bad| format!("{usual}?{name}={bad}")));
                targets.push(format!("{usual}?{name}=1&{name}=1"));
            }
            for target in &targets {
                let bodies: &[&str] = if operation.get("requestBody").is_some() { &BAD_BODIES } else { &[""] };
                for (body, bearer) in bodies.iter().flat_map(|body| [(*body, fleet.bearer()), (*body, String::new())]) {
                    // A stream without end has no body to wait for.
                    if path == "/v1/live" {
                        Events::on(
                            TcpStream::connect(fleet.control.strip_prefix("http://").unwrap()).unwrap(),
                            &bearer,
                        )
                        .next("snapshot");
                        continue;
                    }
                    let headers = format!("{bearer}Content-Type: application/json\r\n");
                    let method = method.to_uppercase();
                    let answer = fleet.call_with(&method, target, HOST, &headers, body);
                    let what = format!("{method} {target} {body}: {}", answer.head);
                    // An empty name is no path of the document.
                    let is_path = !target.trim_end_matches('/').is_empty() && !target.ends_with('/');
                    assert!(!is_path || statuses.contains_key(&answer.status.to_string()), "undocumented: {what}");
                    assert!(answer.status < 500, "{what}");
                }
            }
        }
    }
    // It still does its work.
    assert_eq!(fleet.status().backends.len(), 1);
}

#[test]
fn what_stands_before_the_fleet_is_told_wished_for_and_used() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    let bearer = fleet.bearer();
    let tell = |method: &str, path: &str, body: &str| {
        let headers = format!("{bearer}Content-Type: application/json\r\n");
        fleet.call_with(method, path, HOST, &headers, body)
    };
    let wish = json!({ "algorithm": "least-connections", "weights": [2, 1] }).to_string();
    for (method, path, body, status, part) in [
        ("POST", "/v1/send", "", 409, "where the balancer listens is not known"),
        ("POST", "/v1/front/balance", &*wish, 409, "no program here can change"),
        ("PUT", "/v1/front", "{\"url\": \"file:///etc/passwd\"}", 400, "expected a URL such as"),
        ("PUT", "/v1/front", "{\"uri\": 1}", 400, "unknown field"),
        ("PUT", "/v1/check/news", "[]", 400, "the body"),
        ("POST", "/v1/front/latency", "{\"microseconds\": [-1]}", 400, "the body"),
    ] {
        let answer = tell(method, path, body);
        assert!(answer.status == status && answer.body.contains(part), "{method} {path}: {answer:?}");
    }
    let mut events = Events::of(&fleet);
    events.next("snapshot");
    let url = format!("http://127.0.0.1:{}/", backends[0]);
    let front = json!({ "url": url, "algorithm": "round-robin", "choices": ["round-robin", "least-connections"] });
    assert_eq!(tell("PUT", "/v1/front", &front.to_string()).status, 200);
    let told = events.until("the front", |frame| frame.front.is_some()).front.unwrap();
    assert_eq!((told.url.as_str(), told.expected(&[("1", true), ("2", true)])), (url.as_str(), Some(vec![0.5, 0.5])));
    assert_eq!(tell("POST", "/v1/front/balance", &wish).status, 202);
    assert_eq!(events.next("balance")["weights"], json!([2, 1]));
    let unknown = json!({ "algorithm": "sticky" }).to_string();
    assert_eq!(tell("POST", "/v1/front/balance", &unknown).status, 404);
    // A backend is no balancer, and requests to it show nothing.
    let sent = tell("POST", "/v1/send?requests=4", "");
    assert!(sent.body.contains("there is no balancer in between"), "{sent:?}");
    assert_eq!(tell("POST", "/v1/send?requests=100000", "").status, 400);
    // A check of a backend instead of a balancer cannot run, and that is told.
    assert_eq!(tell("POST", "/v1/check", "").status, 202);
    let over = events.until("its error", |frame| frame.check.as_ref().is_some_and(|check| check.error.is_some()));
    assert!(over.check.unwrap().error.unwrap().contains("there is no balancer in between"));
}

#[test]
fn pages_of_other_sites_can_do_nothing_and_ours_takes_nothing_from_elsewhere() {
    let (fleet, backends) = Fleet::of(1, &[]);
    let bearer = fleet.bearer();
    let kill = format!("/v1/fleet/kill?backends={}", backends[0]);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let headers = format!("{bearer}Origin: {origin}\r\n");
        assert_eq!(fleet.call("POST", &kill, HOST, &headers).status, 403, "{origin}");
        assert_eq!(fleet.call("GET", "/v1/fleet", HOST, &headers).status, 403, "{origin}");
    }
    assert_eq!(fleet.backend(backends[0]).state, BackendState::Ready);
    // A form of another site needs no permission of ours to be sent, so the token is what counts.
    assert_eq!(fleet.call("POST", &kill, HOST, "Content-Type: text/plain\r\n").status, 401);
    let own = format!("{bearer}Origin: http://{HOST}\r\n");
    assert_eq!(fleet.call("POST", &kill, HOST, &own).status, 200);
    let page = fleet.call("GET", "/", HOST, "");
    let policy = page.header("Content-Security-Policy").unwrap();
    for part in
        ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
    assert!(page.header("Access-Control-Allow-Origin").is_none());
    // It is in the address that the fleet prints, and in no page: not even one that its owner's processes get.
    let token = bearer.trim_end().rsplit(' ').next().unwrap();
    assert!(!page.body.contains(token));
    assert!(!fleet.call("GET", "/", HOST, &bearer).body.contains(token));
    for asset in ["style.css", "main.js", "uPlot.js"] {
        assert_eq!(fleet.call("GET", &format!("/assets/{asset}"), HOST, "").status, 200, "{asset}");
    }
    assert_eq!(fleet.call("GET", "/assets/nothing.js", HOST, "").status, 404);
}

#[test]
fn where_other_machines_can_knock_all_needs_the_token() {
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--ports", &list(&ports(1)), "--control", "0.0.0.0:0", "--log", "off"]);
    let fleet = Fleet::spawn(command, place);
    let bearer = fleet.bearer();
    for path in ["/v1/fleet", "/v1/records", "/v1/records/batch", "/v1/live", "/metrics", "/v1/openapi.json"] {
        assert_eq!(fleet.call("GET", path, "fleet.example", "").status, 401, "{path}");
    }
    assert_eq!(fleet.call("GET", "/v1/fleet", "fleet.example", &bearer).status, 200);
    let liveness = fleet.call("GET", "/livez", "fleet.example", "");
    assert_eq!((liveness.status, liveness.body.as_str()), (200, "ok\n"));
    let page = fleet.call("GET", "/", "fleet.example", "");
    assert_eq!(page.status, 200);
    assert!(!page.body.contains(bearer.trim_end().rsplit(' ').next().unwrap()));
    // Other commands find it as ever.
    assert!(fleet.command(&["status"]).status.success());
}

#[test]
fn the_dashboard_asks_for_figures_that_there_are() {
    let (fleet, backends) = Fleet::of(2, &["--log", "off"]);
    get(&format!("http://127.0.0.1:{}/", backends[0])).unwrap();
    get(&format!("http://127.0.0.1:{}/readyz", backends[0])).unwrap();
    let answer = fleet.call("GET", "/metrics", HOST, "");
    assert!(answer.header("Content-Type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.body.ends_with("# EOF\n"));
    let dashboard: Value = serde_json::from_str(include_str!("../examples/grafana/dashboard.json")).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let names = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            for name in names.filter(|name| name.starts_with("http_server") || name.starts_with("uuid_generator")) {
                // Of counters that have counted nothing there is the description alone.
                let family = name.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_total");
                assert!(answer.body.contains(&format!("# HELP {family} ")), "{name}\n{}", answer.body);
                asked += 1;
            }
        }
    }
    assert!(asked >= 6, "{asked}");
}

#[test]
fn requests_that_are_made_from_the_document_meet_what_it_says() {
    let (fleet, _) = Fleet::of(2, &["--log", "off"]);
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.balancers/bin/schemathesis");
    let folder = TemporaryDirectory::new();
    let output = std::process::Command::new(tool)
        .current_dir(folder.path())
        .args(["run", &format!("{}/v1/openapi.json", fleet.control)])
        .args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "20", "--seed", "1", "--no-color"])
        // What it says of words with a grammar of their own (faults, algorithms) is not all in the schema.
        .args(["--exclude-checks", "positive_data_acceptance"])
        // One has no end. With the other, requests would go to addresses of its own.
        .args(["--exclude-path", "/v1/live", "--exclude-path", "/v1/front"])
        .args(["--header", fleet.bearer().trim_end(), "--request-timeout", "30"])
        .output()
        .unwrap_or_else(|why| panic!("{tool}: {why} (make setup)"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // It has sent what it was meant to.
    assert!(said.contains("Coverage") && said.contains("Fuzzing") && said.contains(" generated"), "{said}");
}
