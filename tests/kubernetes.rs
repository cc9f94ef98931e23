//! Manifests: the published schemas take them, unknown fields being errors; Pod Security "restricted" admits their pods; what refers to
//! something in them refers to what is there; and the program understands its arguments in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::yaml::documents;
use crate::support::{Fleet, PROGRAM, TemporaryDirectory, complaints, eventually, http, ports, program, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Ways to ask for manifests: with weights each backend is a Deployment.
const WAYS: [&str; 6] = [
    "",
    "--replicas 5 --namespace shop --image registry.example:5000/uuid-generator:0.2.0 --listen 8080",
    "--weights 5:1:1 --token-secret own --fault latency:10ms,status:503:5%",
    "--health-path /readyz --health-interval 2s --health-rise 2 --answer-timeout 2s --path /",
    "--ports 9001",
    "--snippet --namespace shop",
];

fn config(words: &str) -> String {
    let place = TemporaryDirectory::new();
    let output = run(program(&place).args(["config", "kubernetes"]).args(words.split_whitespace()));
    assert!(output.status.success(), "{words}: {}", complaints(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a schema takes a document, and if not why.
fn refusal(schemas: &Value, kind: &str, document: &Value) -> Option<String> {
    assert!(schemas["kinds"][kind].is_object(), "no schema of {kind}");
    let mut schema = schemas["kinds"][kind].clone();
    schema["$defs"] = schemas["$defs"].clone();
    let schema = jsonschema::validator_for(&schema).unwrap();
    schema.validate(document).err().map(|error| format!("{}: {error}", error.instance_path))
}

fn schemas() -> Value {
    serde_json::from_str(&fs::read_to_string(Path::new(ROOT).join("tests/kubernetes/schemas.json")).unwrap()).unwrap()
}

#[test]
fn the_published_schemas_take_the_manifests() {
    let schemas = schemas();
    let mut kinds = BTreeMap::<String, usize>::new();
    for way in WAYS {
        for document in documents(&config(way)) {
            let kind = document["kind"].as_str().unwrap();
            assert_eq!(refusal(&schemas, kind, &document), None, "{way}: {document}");
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    let found: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(found, ["Deployment", "HTTPRoute", "Job", "PodDisruptionBudget", "Secret", "Service"]);
    // The schemas are those that a cluster holds a manifest to: they refuse what it would.
    let [sticky] = &documents(&config("--snippet --algorithm sticky --for-version 1.7.0"))[..] else { panic!() };
    assert_eq!(refusal(&schemas, "HTTPRoute-experimental", sticky), None);
    let mut deployment = documents(&config("")).remove(0);
    assert_eq!(refusal(&schemas, "Deployment", &deployment), None);
    deployment["spec"]["template"]["spec"]["enableServiceLink"] = false.into();
    assert!(refusal(&schemas, "Deployment", &deployment).unwrap().contains("enableServiceLink"));
}

/// The specifications of pods in a document.
fn pod(document: &Value) -> Option<&Value> {
    Some(&document["spec"]["template"]["spec"]).filter(|pod| pod.is_object())
}

#[test]
fn pod_security_restricted_admits_the_pods_and_they_write_nothing() {
    let mut looked_at = 0;
    for way in WAYS {
        for document in documents(&config(way)) {
            let Some(pod) = pod(&document) else { continue };
            looked_at += 1;
            let security = &pod["securityContext"];
            assert_eq!(security["runAsNonRoot"], true);
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["enableServiceLinks"], false);
            assert!(pod["volumes"].is_null() && pod["hostNetwork"].is_null());
            for container in pod["containers"].as_array().unwrap() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{container}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{container}");
                assert!(!container["image"].as_str().unwrap().ends_with(":latest"), "{container}");
            }
        }
    }
    assert!(looked_at >= 10, "{looked_at}");
}

/// Whether all labels that a selector wants are there.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn what_a_manifest_refers_to_is_there() {
    for way in WAYS.iter().filter(|way| !way.contains("--snippet")) {
        let all = documents(&config(way));
        let of = |kind: &'static str| all.iter().filter(move |document| document["kind"] == kind);
        let name = |document: &Value| document["metadata"]["name"].as_str().unwrap().to_owned();
        let namespaces: Vec<&Value> = all.iter().map(|document| &document["metadata"]["namespace"]).collect();
        assert!(namespaces.iter().all(|namespace| *namespace == namespaces[0]), "{way}: {namespaces:?}");
        let mut replicas = 0;
        for deployment in of("Deployment") {
            let labels = &deployment["spec"]["template"]["metadata"]["labels"];
            assert!(selects(&deployment["spec"]["selector"]["matchLabels"], labels));
            assert_eq!(
                of("Deployment").filter(|other| selects(&other["spec"]["selector"]["matchLabels"], labels)).count(),
                1
            );
            replicas += deployment["spec"]["replicas"].as_u64().unwrap();
            for budget in of("PodDisruptionBudget") {
                assert!(selects(&budget["spec"]["selector"]["matchLabels"], labels));
            }
        }
        for service in of("Service") {
            for port in service["spec"]["ports"].as_array().unwrap() {
                let target = &port["targetPort"];
                let has_it = of("Deployment").any(|deployment| {
                    let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
                    selects(&service["spec"]["selector"], &deployment["spec"]["template"]["metadata"]["labels"])
                        && ports.as_array().unwrap().iter().any(|port| port["name"] == *target)
                });
                assert!(has_it, "{way}: {service}");
            }
            // A Job's pod must not get the traffic that it sends.
            for job in of("Job") {
                assert!(!selects(&service["spec"]["selector"], &job["spec"]["template"]["metadata"]["labels"]));
            }
        }
        for route in of("HTTPRoute") {
            for reference in route["spec"]["rules"][0]["backendRefs"].as_array().unwrap() {
                let service = of("Service").find(|service| reference["name"] == name(service).as_str());
                let port = &service.unwrap_or_else(|| panic!("{way}: {reference}"))["spec"]["ports"][0]["port"];
                assert_eq!(reference["port"], *port);
            }
        }
        let wanted: Vec<&Value> = all
            .iter()
            .filter_map(pod)
            .flat_map(|pod| pod["containers"][0]["env"].as_array().unwrap())
            .filter_map(|variable| variable["valueFrom"].get("secretKeyRef"))
            .collect();
        assert!(wanted.len() >= 2 && wanted.iter().all(|reference| reference["key"] == "token"));
        for reference in wanted {
            if way.contains("--token-secret") {
                assert_eq!((&reference["name"], of("Secret").count()), (&"own".into(), 0));
            } else {
                assert!(of("Secret").any(|secret| reference["name"] == name(secret).as_str()));
            }
        }
        let job = of("Job").next().unwrap()["spec"]["template"]["spec"]["containers"][0]["args"].to_string();
        assert!(job.contains(&format!("\"--ready={replicas}\"")), "{job}");
        let service =
            of("Service").find(|service| name(service) == "uuid").unwrap()["spec"]["ports"][0]["port"].clone();
        let url = if service == 80 { "http://uuid/".to_owned() } else { format!("http://uuid:{service}/") };
        assert!(job.contains(&format!("\"{url}\"")), "{job}");
    }
}

/// The arguments of the first container, as text.
fn arguments(document: &Value) -> Vec<String> {
    let arguments = document["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    arguments.iter().map(|argument| argument.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_program_does_in_a_pod_what_probes_and_the_job_expect() {
    let all = documents(&config(""));
    let of = |kind: &str| all.iter().find(|document| document["kind"] == kind).unwrap();
    let port = ports(1)[0];
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    // As kubelet does, but for addresses that all tests of this machine share.
    let words = arguments(of("Deployment")).into_iter().map(|argument| {
        argument
            .replace("$(POD_NAME)", "uuid-6c9f-x2x4p")
            .replace(":9001", &format!(":{port}"))
            .replace("=0.0.0.0:9000", "=127.0.0.1:0")
    });
    command.args(words).args(["--log", "off"]);
    command.env("UUID_GENERATOR_TOKEN", "0123456789abcdef-of-a-test").env("POD_NAME", "uuid-6c9f-x2x4p");
    let fleet = Fleet::spawn(command, place);
    let status = fleet.status();
    assert_eq!((status.backends[0].name.as_str(), status.pod.as_deref()), ("uuid-6c9f-x2x4p", Some("uuid-6c9f-x2x4p")));
    let container = &of("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let path = |probe: &str| container[probe]["httpGet"]["path"].as_str().unwrap().to_owned();
    assert_eq!(http::get(&format!("http://127.0.0.1:{port}{}", path("readinessProbe"))).unwrap().status, 200);
    let liveness = || fleet.call("GET", &path("livenessProbe"), "127.0.0.1", "").status;
    assert_eq!(liveness(), 200);
    // An experiment restarts no container.
    assert!(fleet.command(&["kill", "--all"]).status.success());
    eventually("the port refuses", || http::get(&format!("http://127.0.0.1:{port}/readyz")).is_err());
    assert_eq!(liveness(), 200);
    let elsewhere = TemporaryDirectory::new();
    let mut job = program(&elsewhere);
    job.args(arguments(of("Job"))).arg("--dry-run").env("UUID_GENERATOR_TOKEN", "0123456789abcdef-of-a-test");
    let output = run(&mut job);
    assert!(output.status.success(), "{}", complaints(&output));
}

#[test]
fn the_example_is_what_the_program_writes() {
    let place = TemporaryDirectory::new();
    for (product, example) in [("kubernetes", "kubernetes"), ("compose", "compose")] {
        let folder = place.path().join(example);
        let output = run(program(&place).args(["config", product, "--output"]).arg(&folder));
        assert!(output.status.success(), "{}", complaints(&output));
        let committed = Path::new(ROOT).join("examples").join(example);
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            let written = without_token(&fs::read_to_string(&path).unwrap());
            if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
                fs::create_dir_all(&committed).unwrap();
                fs::write(committed.join(name), &written).unwrap();
            }
            let reviewed = fs::read_to_string(committed.join(name)).unwrap_or_default();
            assert_eq!(written, reviewed, "{name:?}: see the differences, then UPDATE_SNAPSHOTS=1");
        }
    }
}

/// What Helm makes of the chart with these values, or why it makes nothing.
fn chart(values: &Value) -> Result<Vec<Value>, String> {
    let python = Path::new(ROOT).join("tests/.balancers/bin/python");
    assert!(python.exists(), "{} is missing: run tests/prepare, or `make test`, which does", python.display());
    let script = Path::new(ROOT).join("tests/kubernetes/chart.py");
    let chart = Path::new(ROOT).join("examples/helm");
    let output = run(Command::new(python).arg(script).arg(chart).arg(values.to_string()));
    if !output.status.success() {
        return Err(complaints(&output));
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// The library has no wheel for other machines.
const HAS_HELM: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

#[test]
fn the_chart_is_what_the_program_writes() {
    if !HAS_HELM {
        return eprintln!("not run: no library of Helm for this machine");
    }
    let named = |documents: Vec<Value>| -> BTreeMap<(String, String), Value> {
        let name = |it: &Value, key: &str| it.pointer(key).and_then(Value::as_str).unwrap().to_owned();
        documents.into_iter().map(|it| ((name(&it, "/kind"), name(&it, "/metadata/name")), it)).collect()
    };
    let values = json!({ "token": "a-token-that-everybody-knows", "route": { "gateway": "gateway" } });
    let mut chart = named(chart(&values).unwrap());
    // A chart's check is a test of its release, and has its name.
    let mut check = chart.remove(&("Job".to_owned(), "uuid-check".to_owned())).unwrap();
    let metadata = check["metadata"].as_object_mut().unwrap();
    assert_eq!(metadata.remove("annotations").unwrap()["helm.sh/hook"], "test");
    metadata.insert("name".to_owned(), "check".into());
    chart.insert(("Job".to_owned(), "check".to_owned()), check);
    let fleet = chart.get_mut(&("Deployment".to_owned(), "uuid".to_owned())).unwrap();
    fleet["spec"]["template"]["metadata"]["annotations"]["checksum/token"] = "00000000".into();
    let example = Path::new(ROOT).join("examples/kubernetes");
    let files = ["fleet.yaml", "token.yaml", "check.yaml", "route.yaml"];
    let written = files.iter().flat_map(|file| documents(&fs::read_to_string(example.join(file)).unwrap())).collect();
    assert_eq!(chart, named(written));
}

#[test]
fn what_the_charts_values_say_is_in_its_documents_and_the_published_schemas_take_them() {
    if !HAS_HELM {
        return eprintln!("not run: no library of Helm for this machine");
    }
    let values = json!({
        "image": "registry.example:5000/uuid-generator:0.2.0", "replicas": 5, "memory": "128Mi", "tokenSecret": "own",
        "check": { "url": "https://shop.example/", "arguments": ["--expect=even", "--header=X: \"y\""] },
    });
    let documents = chart(&values).unwrap();
    let schemas = schemas();
    for document in &documents {
        let kind = document["kind"].as_str().unwrap();
        assert_eq!(refusal(&schemas, kind, document), None, "{document}");
    }
    let kinds: Vec<&str> = documents.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert!(!kinds.contains(&"Secret") && !kinds.contains(&"HTTPRoute"), "{kinds:?}");
    let of = |kind: &str| documents.iter().find(|it| it["kind"] == kind).unwrap();
    assert_eq!(of("Deployment")["spec"]["replicas"], 5);
    assert_eq!(pod(of("Deployment")).unwrap()["containers"][0]["resources"]["limits"]["memory"], "128Mi");
    let check = pod(of("Job")).unwrap()["containers"][0].clone();
    assert_eq!(check["env"][0]["valueFrom"]["secretKeyRef"]["name"], "own");
    let arguments = ["check", "https://shop.example/", "--fleet=http://uuid-headless:9000", "--ready=5", "--wait=3m"];
    let arguments: Vec<&str> = arguments.into_iter().chain(["--expect=even", "--header=X: \"y\""]).collect();
    assert_eq!(check["args"], json!(arguments));
    // Nobody gets a fleet that anybody may break.
    assert!(chart(&json!({})).unwrap_err().contains("token: set one of at least 16 characters"));
}

/// The random token in what was written, replaced by that of the example, which everybody knows.
fn without_token(text: &str) -> String {
    const KNOWN: &str = "a-token-that-everybody-knows";
    let line = |line: &str| match line.split_once(": \"") {
        Some((before, _)) if before.trim() == "token" => format!("{before}: \"{KNOWN}\" # choose your own"),
        _ if line.contains("checksum/token") => {
            line.split('"').enumerate().map(|(at, part)| if at == 1 { "\"00000000\"" } else { part }).collect()
        }
        _ => line.to_owned(),
    };
    text.lines().map(|it| line(it) + "\n").collect()
}

#[test]
fn a_check_waits_for_backends_and_the_port_and_says_what_was_missing() {
    let ports = ports(2);
    let place = TemporaryDirectory::new();
    let mut command = program(&place);
    command.args(["--ports", &ports[0].to_string(), "--name", "web", "--control", "127.0.0.1:0", "--log", "off"]);
    command.env("UUID_GENERATOR_TOKEN", "0123456789abcdef-of-a-test");
    let fleet = Fleet::spawn(command, place);
    assert_eq!(fleet.status().backends[0].name, "web");
    let elsewhere = TemporaryDirectory::new();
    let check = |port: u16, ready: &str| {
        let mut command = Command::new(PROGRAM);
        command.current_dir(elsewhere.path()).env("UUID_GENERATOR_TOKEN", "0123456789abcdef-of-a-test");
        command.args([
            "check",
            &format!("http://127.0.0.1:{port}/"),
            "--fleet",
            &fleet.control,
            "--ready",
            ready,
            "--wait",
            "600ms",
        ]);
        let output = run(&mut command);
        assert_eq!(output.status.code(), Some(2));
        complaints(&output)
    };
    let complaint = check(ports[0], "2");
    assert!(complaint.contains("waited 600ms: 1 backends are ready, not 2"), "{complaint}");
    let complaint = check(ports[1], "1");
    assert!(complaint.contains(&format!("127.0.0.1:{}: ", ports[1])), "{complaint}");
}
