//! Backends with names and addresses of their own, from the command line to reports.

use crate::support::http::{Connection, get};
use crate::support::{Fleet, TemporaryDirectory, error_of, ports, program, run};

#[test]
fn backends_with_names_and_addresses_are_known_by_their_names_everywhere() {
    let (place, ports) = (TemporaryDirectory::new(), ports(3));
    let socket = place.path().join("app.sock");
    let unnamed = format!("unix:{}", socket.display());
    let backends =
        format!("app1=127.0.0.1:{},app2=127.0.0.2:{},app1=127.0.0.3:{},{unnamed}", ports[0], ports[1], ports[2]);
    let mut command = program(&place);
    command.args(["--backends", &backends, "--control", "127.0.0.1:0", "--log", "json"]);
    let fleet = Fleet::spawn(command, place);
    let names: Vec<String> = fleet.status().backends.into_iter().map(|member| member.name).collect();
    assert_eq!(names, ["app1", "app2", &unnamed]);
    // One process on both of its addresses.
    let [first, second] = [("127.0.0.1", ports[0]), ("127.0.0.3", ports[2])].map(|(host, port)| {
        let answer = Connection::open(format!("{host}:{port}")).unwrap().ask("GET /uuid HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!((answer.header("Backend-Name"), answer.header("Generator-Number")), (Some("app1"), None));
        assert!(answer.body.contains("<h1>Backend app1</h1>"), "{}", answer.body);
        answer.header("Backend-Instance").unwrap().to_owned()
    });
    assert_eq!(first, second);
    assert_eq!(fleet.status().backends[0].instances.last().unwrap().to_string(), first);
    let told: Vec<String> = fleet.records().records.into_iter().map(|record| record.backend).collect();
    assert_eq!(told, ["app1", "app1"]);
    let text = String::from_utf8(fleet.command(&["kill", "app1"]).stdout).unwrap();
    assert!(text.contains("app1") && text.contains("gone"), "{text}");
    assert!(Connection::open(format!("127.0.0.3:{}", ports[2])).is_err());
    assert!(fleet.program(&["fault", &unnamed, "status", "503"]).status.success());
    assert!(fleet.command(&["start", "app1"]).status.success());
    let error = error_of(&fleet.command(&["kill", "app3"]));
    assert!(error.contains("this fleet has no backend app3"), "{error}");
    let metrics = get(&format!("{}/metrics", fleet.control)).unwrap().body;
    assert!(metrics.contains("uuid_generator_backend_restarts{backend=\"app1\"} 1"), "{metrics}");
    let instances = fleet.status().backends[0].instances.clone();
    assert!(instances.len() == 2 && instances[0] != instances[1]);
}

#[test]
fn backends_stand_in_a_file_as_a_table_and_each_problem_of_theirs_is_named() {
    let (place, ports) = (TemporaryDirectory::new(), ports(2));
    let table = format!("[backends]\nweb-1 = \"127.0.0.1:{}\"\nweb-2 = [\"127.0.0.1:{}\"]\n", ports[0], ports[1]);
    std::fs::write(place.path().join("uuid-generator.toml"), table).unwrap();
    let mut command = program(&place);
    command.args(["--control", "127.0.0.1:0"]);
    let fleet = Fleet::spawn(command, place);
    let names: Vec<String> = fleet.status().backends.into_iter().map(|member| member.name).collect();
    assert_eq!(names, ["web-1", "web-2"]);
    let taken = format!("a=127.0.0.1:{},b=192.0.2.77:1", ports[0]);
    let error =
        error_of(&run(program(&TemporaryDirectory::new()).args(["--backends", &taken, "--control", "127.0.0.1:0"])));
    for part in [
        format!("backend a on 127.0.0.1:{}: address already in use", ports[0]),
        "backend b on 192.0.2.77:1: this machine has no such address".to_owned(),
    ] {
        assert!(error.contains(&part), "{error}");
    }
    let both = ["--backends", "a=127.0.0.1:1", "--ports", "9001"];
    assert!(error_of(&run(program(&TemporaryDirectory::new()).args(both))).contains("--ports"));
}

#[test]
fn a_check_judges_backends_by_their_names() {
    let (place, ports) = (TemporaryDirectory::new(), ports(4));
    let backends = format!("app1=127.0.0.1:{},app2=127.0.0.2:{},app3=[::1]:{}", ports[0], ports[1], ports[2]);
    let listen = ports[3].to_string();
    let words = ["check", "--with", "builtin", "--backends", &backends, "--listen", &listen, "-n", "3000"];
    let more =
        ["--weights", "2:1:1", "--outage", "kill:app2@500ms,start@1500ms", "--format", "json", "--no-experiments"];
    let output = run(program(&place).args(words).args(more));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    let check = &report["checks"][0];
    assert_eq!(check["fleet"]["backends"], serde_json::json!(["app1", "app2", "app3"]));
    let shares: Vec<&str> =
        check["shares"]["rows"].as_array().unwrap().iter().map(|it| it["backend"].as_str().unwrap()).collect();
    assert_eq!(shares, ["app1", "app2", "app3"], "{report}");
    assert_eq!(check["outage"]["backends"][0]["backend"], "app2", "{report}");
    assert_ne!(report["verdict"], "fail", "{report}");
}
