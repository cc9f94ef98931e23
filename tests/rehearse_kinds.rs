//! Rehearsals of files as production has them, of all five balancers: names that only production resolves, services (SRV), certificates
//! of which the key is out of reach, accounts and folders that this machine lacks, servers that only permit, canaries, other protocols. Each
//! kind is a folder of `tests/rehearse_kinds`; what its `want` expects is what the balancer itself does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::support::TemporaryDirectory;

/// One kind of file.
struct Kind {
    name: String,
    /// Balancer, file, URL and options.
    run: Vec<String>,
    backends: Vec<String>,
    /// Empty where none are certain.
    shares: String,
    /// What groups are expected to get, in percent; empty where nothing is split, or all backends have shares.
    split: String,
    /// None where the file is not judged.
    algorithm: Option<String>,
    /// In the report or beside it.
    notes: Vec<String>,
    /// What the error must say.
    refused: Option<String>,
    /// Part of every run of the tests.
    always: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rehearse_kinds")
}

/// All kinds, or those of every run: `KINDS=all`, or a part of a name.
fn kinds() -> Vec<Kind> {
    let mut names: Vec<String> =
        fs::read_dir(folder()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let wanted = std::env::var("KINDS").unwrap_or_default();
    let is_wanted = |kind: &Kind| match wanted.as_str() {
        "" => kind.always,
        "all" => true,
        part => kind.name.contains(part),
    };
    names.into_iter().map(kind).filter(is_wanted).collect()
}

fn kind(name: String) -> Kind {
    let text = fs::read_to_string(folder().join(&name).join("want")).unwrap();
    let all = |key: &str| -> Vec<String> {
        let rest = text.lines().filter_map(|line| line.strip_prefix(key));
        rest.filter(|rest| rest.is_empty() || rest.starts_with(' ')).map(|rest| rest.trim().to_owned()).collect()
    };
    let one = |key: &str| all(key).into_iter().next().unwrap_or_default();
    Kind {
        run: one("run").split_whitespace().map(str::to_owned).collect(),
        backends: one("backends").split(',').map(str::to_owned).collect(),
        shares: one("shares"),
        split: one("split"),
        algorithm: Some(one("algorithm")).filter(|it| !it.is_empty() && it != "not judged"),
        notes: all("note"),
        refused: all("refused").into_iter().next(),
        always: !all("always").is_empty(),
        name,
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            fs::create_dir(&target).unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Kind {
    fn rehearse(&self, unprivileged: bool) -> (TemporaryDirectory, Output) {
        let place = TemporaryDirectory::new();
        copy(&folder().join(&self.name), place.path());
        let options = ["-n", "300", "--no-experiments", "--format", "json"];
        // Other files of the folder are written `./NAME`.
        let beside = |word: &String| match word.strip_prefix("./") {
            Some(name) => place.path().join(name).display().to_string(),
            None => word.clone(),
        };
        let words: Vec<String> = self.run[2..].iter().map(beside).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options).collect();
        let output = rehearse(&place, &self.run[0], &self.run[1], &words, unprivileged);
        (place, output)
    }

    /// What is not as it should be, if anything.
    fn judge(&self, unprivileged: bool) -> Result<(), String> {
        let (_place, output) = self.rehearse(unprivileged);
        let err = said(&output);
        let about = format!("{}{}", self.name, if unprivileged { "" } else { " as root" });
        let expect = |is: bool, what: &str| if is { Ok(()) } else { Err(format!("{about}: {what}: {err}")) };
        if let Some(refused) = &self.refused {
            expect(output.status.code() == Some(2), "exit status 2 expected")?;
            return expect(err.contains(refused), refused);
        }
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|_| format!("{about}: {err}"))?;
        let check = &report["checks"][0];
        let text = report.to_string();
        expect(check["fleet"]["backends"] == serde_json::json!(self.backends), &format!("backends: {text}"))?;
        let failed: Vec<&Value> =
            check["findings"].as_array().into_iter().flatten().filter(|it| it["level"] == "fail").collect();
        expect(failed.is_empty(), &format!("failed: {failed:?}"))?;
        for note in &self.notes {
            expect(check["surroundings"].to_string().contains(note) || err.contains(note), note)?;
        }
        match &self.algorithm {
            // Without experiments nothing is found out of the algorithm.
            Some(algorithm) => {
                expect(output.status.code() == Some(3), &format!("exit status 3 expected: {text}"))?;
                expect(text.contains(&format!("{algorithm} was expected")), &format!("{algorithm}: {text}"))?;
            }
            None if self.shares.is_empty() && self.split.is_empty() => {
                expect(output.status.code() == Some(0), &format!("exit status 0 expected: {text}"))?;
                expect(err.contains("not judged"), "not judged")?;
            }
            None => {}
        }
        if !self.split.is_empty() {
            let split = check["findings"].as_array().into_iter().flatten().find(|it| it["rule"] == "split");
            let groups = split.and_then(|it| it["facts"]["groups"].as_array()).cloned().unwrap_or_default();
            let part = |group: &Value, key: &str| group[key].as_f64().unwrap() * 100.0;
            let of = |group: &Value| format!("{}={}", group["group"].as_str().unwrap(), part(group, "expected"));
            let expected: Vec<String> = groups.iter().map(of).collect();
            expect(expected.join(",") == self.split, &format!("{}: {text}", self.split))?;
            let is_near = |group: &Value| (part(group, "share") - part(group, "expected")).abs() <= 10.0;
            expect(groups.iter().all(is_near), &format!("split: {groups:?}"))?;
        }
        if !self.shares.contains('=') {
            return Ok(());
        }
        expect(text.contains(&self.shares), &format!("{}: {text}", self.shares))?;
        // The balancer itself does what was read.
        let weight = |it: &str| it.rsplit_once('=').unwrap().1.parse::<f64>().unwrap();
        let weights: Vec<f64> = self.shares.split(',').map(weight).collect();
        let rows = check["shares"]["rows"].as_array().unwrap();
        for (row, weight) in rows.iter().zip(&weights) {
            let share = weight / weights.iter().sum::<f64>();
            let count = row["count"].as_u64().unwrap() as f64;
            // Five standard deviations of draws.
            let granted = 5.0 * (300.0 * share * (1.0 - share)).sqrt();
            expect((count - 300.0 * share).abs() <= granted, &format!("counts: {rows:?}"))?;
        }
        Ok(())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As this user, or as an unprivileged one if this one is root.
fn rehearse(place: &TemporaryDirectory, balancer: &str, file: &str, words: &[&str], unprivileged: bool) -> Output {
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_uuid-generator");
    let mut command = if unprivileged && rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/.balancers/programs");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}:/usr/sbin", programs.display())).current_dir("/");
    command.args(["rehearse", balancer]).arg(place.path().join(file)).args(words).output().unwrap()
}

/// The first file is rehearsed.
fn rehearse_files(place: &TemporaryDirectory, balancer: &str, files: &[(&str, &str)], words: &[&str]) -> Output {
    for (name, text) in files {
        fs::write(place.path().join(name), text).unwrap();
    }
    rehearse(place, balancer, files[0].0, words, true)
}

#[test]
fn backends_of_a_rehearsal_serve_bad_certificates_and_who_verifies_none_is_found() {
    let file = |transport: &str| {
        format!(
            "{{\n admin off\n auto_https off\n}}\nhttp://shop.example:8080 {{\n reverse_proxy https://10.7.0.1:8443 https://app2.internal:8443 {{\n\
             lb_policy round_robin\n transport http {{\n {transport}\n }}\n }}\n}}\n"
        )
    };
    let verifies = "tls_trust_pool file /etc/corp-of-a-test/ca.pem";
    for (transport, level, status) in [("tls_insecure_skip_verify", "fail", 1), (verifies, "pass", 3)] {
        let place = TemporaryDirectory::new();
        let words = [
            "http://shop.example:8080/",
            "--expect",
            "tls:verified",
            "-n",
            "200",
            "--no-experiments",
            "--format",
            "json",
        ];
        let output = rehearse_files(&place, "caddy", &[("Caddyfile", &file(transport))], &words);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
        let findings = report["checks"][0]["findings"].as_array().unwrap();
        let found = findings.iter().find(|it| it["rule"] == "tls-verified").unwrap();
        // Without experiments the algorithm is not certain.
        assert_eq!((found["level"].as_str(), output.status.code()), (Some(level), Some(status)), "{found}");
    }
}

/// Of files of this machine that a rehearsal could change: their lengths and times.
fn state() -> Vec<String> {
    let files = [
        "/run/nginx.pid",
        "/run/haproxy.pid",
        "/etc",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/var/log",
        "/var/cache",
        "/var/lib",
    ];
    let state = |file: &&str| {
        let metadata = fs::metadata(file).ok();
        let facts = metadata.map(|it| (it.len(), it.modified().unwrap()));
        format!("{file}: {facts:?}")
    };
    files.iter().map(state).collect()
}

/// Side by side, as many as a small machine bears.
#[test]
fn files_of_all_balancers_are_expected_to_do_what_they_say_by_their_own_names() {
    let before = state();
    let everybody = std::env::var("KINDS").is_ok() && rustix::process::geteuid().is_root();
    let users: &[bool] = if everybody { &[true, false] } else { &[true] };
    let todo: Vec<(Kind, bool)> = users.iter().flat_map(|user| kinds().into_iter().map(|kind| (kind, *user))).collect();
    let (next, wrong) = (Mutex::new(todo.into_iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((kind, unprivileged)) = next.lock().unwrap().next() else { break };
                    if let Err(why) = kind.judge(unprivileged) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(before, state());
}

#[test]
fn what_a_balancer_takes_from_elsewhere_is_named_and_refused_in_its_own_words() {
    const ELSEWHERE: &str = "providers: { docker: {} }\nentryPoints: { web: { address: \":80\" } }\n";
    let place = TemporaryDirectory::new();
    let output = rehearse_files(&place, "traefik", &[("traefik.yml", ELSEWHERE)], &["http://shop.example/"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["asked no backend", "provider docker: services come from elsewhere"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let broken = [("haproxy.cfg", "defaults\n mode http\nfrontend a\n bindd :80\n")];
    let output = rehearse_files(&place, "haproxy", &broken, &["http://shop.example/"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["does not start", "unknown keyword 'bindd'"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
}

const HOSTS: &str = "
user root; pid /run/nginx.pid; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8080; server 10.20.0.12:8080; server 127.0.0.1:8081; }
    server { listen 80; location / { proxy_connect_timeout 700ms; proxy_pass http://shop; } }
}
";

#[test]
fn a_host_may_be_silent_or_known_to_be_out_of_reach_and_come_back() {
    let files = [("nginx.conf", HOSTS)];
    let mut longest = Vec::new();
    for how in ["gone", "unreachable"] {
        let place = TemporaryDirectory::new();
        let outage = format!("{how}:10.20.0.12:8080@300ms,back@1500ms");
        let words = [
            "http://shop.example/",
            "--outage",
            &outage,
            "--duration",
            "2s",
            "--rate",
            "200",
            "--no-experiments",
            "--format",
            "json",
        ];
        let output = rehearse_files(&place, "nginx", &files, &words);
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{how}: {}", said(&output)));
        let check = &report["checks"][0];
        // NGINX tries another one each time.
        assert_eq!(check["outage"]["client_errors"], 0, "{how}: {report:#}");
        let done: Vec<bool> =
            check["outage"]["steps"].as_array().unwrap().iter().map(|it| it["done"].as_bool().unwrap()).collect();
        assert_eq!(done, [true, true], "{how}: {report:#}");
        let failed = check["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "fail").count();
        assert_eq!(failed, 0, "{how}: {report:#}");
        longest.push(check["latency"]["client"]["max"].as_f64().unwrap());
    }
    // A silent host is waited for until the time limit.
    assert!(longest[0] >= 0.7, "{longest:?}");
    let place = TemporaryDirectory::new();
    let words = ["http://shop.example/", "--outage", "gone:127.0.0.1:8081@1s"];
    let output = rehearse_files(&place, "nginx", &files, &words);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("127.0.0.1:8081 runs on the balancer's own host"), "{}", said(&output));
}

#[test]
fn a_file_that_takes_the_place_of_another_loses_nothing_and_both_fleets_are_there() {
    const NEW: &str = "
user root; pid /run/nginx.pid; events {}
http {
    upstream shop { zone s 64k; server 10.20.0.11:8080; server app4.internal:8080; }
    server { listen 80; location / { proxy_pass http://shop; } }
}
";
    let files = [("nginx.conf", HOSTS), ("new.conf", NEW)];
    let place = TemporaryDirectory::new();
    let then = place.path().join("new.conf");
    let words = [
        "http://shop.example/",
        "--then",
        &then.to_string_lossy(),
        "--duration",
        "4s",
        "--rate",
        "200",
        "--no-experiments",
        "--format",
        "json",
    ];
    let output = rehearse_files(&place, "nginx", &files, &words);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)));
    let check = &report["checks"][0];
    let names = ["10.20.0.11:8080", "10.20.0.12:8080", "127.0.0.1:8081", "app4.internal"];
    assert_eq!(check["fleet"]["backends"], serde_json::json!(names), "{report:#}");
    assert_eq!(
        (&check["outage"]["client_errors"], &check["outage"]["steps"][0]["done"]),
        (&0.into(), &true.into()),
        "{report:#}"
    );
    let failed: Vec<_> = check["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "fail").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    // The new one balances from then on, and that of the first file alone gets no more.
    let counts: Vec<u64> =
        check["shares"]["rows"].as_array().unwrap().iter().map(|it| it["count"].as_u64().unwrap()).collect();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(counts[0] > counts[3] && counts[0] > counts[1], "{counts:?}");
}
