//! Rehearsals with a real NGINX: a tree as Debian has it, as root and as an unprivileged user.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::TemporaryDirectory;

const CONFIGURATION: &str = "
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 768; }
http {
    access_log /var/log/nginx/access.log;
    limit_req_zone $binary_remote_addr zone=perip:10m rate=100000r/s;
    proxy_cache_path /var/cache/nginx/shop-of-a-test levels=1:2 keys_zone=shop:10m;
    include sites-enabled/*;
}
";

const SITE: &str = "
upstream shop {
    zone shop_servers 64k;
    server 10.20.0.11:8080 weight=2;
    server 10.20.0.12:8080;
    server app3.internal:8080;
    server 10.20.0.99:8080 backup;
}
server {
    listen 80;
    listen 203.0.113.10:8081;
    server_name shop.example;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl;
    server_name shop.example;
    ssl_certificate /etc/letsencrypt/live/shop-of-a-test/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/shop-of-a-test/privkey.pem;
    location = /auth { internal; proxy_pass http://auth.internal:9000; proxy_pass_request_body off; }
    location /private/ { auth_request /auth; proxy_pass http://shop; }
    location / { limit_req zone=perip burst=1000 nodelay; proxy_pass http://shop; }
}
";

/// A tree with that site.
fn tree(site: &str) -> TemporaryDirectory {
    let place = TemporaryDirectory::new();
    let sites = place.path().join("sites-enabled");
    fs::create_dir(&sites).unwrap();
    fs::write(place.path().join("nginx.conf"), CONFIGURATION).unwrap();
    fs::write(sites.join("shop"), site).unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

/// As this user, or as an unprivileged one.
fn rehearse(place: &TemporaryDirectory, unprivileged: bool, words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_uuid-generator");
    let mut command = if unprivileged {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
        command
    } else {
        Command::new(program)
    };
    command.args(["rehearse", "nginx"]).arg(place.path().join("nginx.conf")).args(words);
    let output = command.current_dir("/").output().unwrap();
    let forbidden = said(&output).contains("does not let this user make namespaces");
    assert!(!forbidden, "this machine forbids namespaces, without which nothing can be rehearsed: {}", said(&output));
    output
}

fn users() -> impl Iterator<Item = bool> {
    [false, true].into_iter().take(1 + usize::from(rustix::process::geteuid().is_root()))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_production_tree_is_judged_by_the_names_of_its_own_servers() {
    let place = tree(SITE);
    let before = state_of_the_machine(place.path());
    for user in users() {
        let words = ["https://shop.example/cart", "-n", "400", "--format", "json"];
        let output = rehearse(&place, user, &words);
        let about = format!("{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
        // On a starved machine the experiments may not fit into their time.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{about}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let findings = report["checks"][0]["findings"].as_array().unwrap();
        let open: Vec<_> = findings.iter().filter(|it| it["level"] == "inconclusive").map(|it| &it["rule"]).collect();
        assert!(open.iter().all(|rule| **rule == "algorithm"), "{open:?}: {about}");
        let backends = &report["checks"][0]["fleet"]["backends"];
        let expected = ["10.20.0.11:8080", "10.20.0.12:8080", "app3.internal", "10.20.0.99:8080"];
        assert_eq!(*backends, serde_json::json!(expected), "{report:#}");
        // Both the report and what is said beside it.
        let notes = format!("{} {}", report["checks"][0]["surroundings"], said(&output));
        for note in [
            "name app3.internal: invented address 198.18.0.",
            "fullchain.pem: cannot be used here; a certificate of our own stands in",
            "address 203.0.113.10: listened on, and this machine lacks it",
            "written in the private copy alone: /run/nginx.pid (",
            "/var/log/nginx/access.log (",
        ] {
            assert!(notes.contains(note), "{note}: {notes}");
        }
        assert!(!fs::exists("/var/cache/nginx/shop-of-a-test").unwrap());
    }
    let after = state_of_the_machine(place.path());
    let changed: Vec<_> = after.iter().filter(|(file, state)| before.get(*file) != Some(*state)).collect();
    assert!(changed.is_empty() && after.len() == before.len(), "changed: {changed:?}");
}

/// What of this machine a rehearsal of NGINX could change, file by file with all bytes: links, modes, owners and contents.
fn state_of_the_machine(place: &Path) -> BTreeMap<PathBuf, String> {
    let mut state = BTreeMap::new();
    // Other tests run NGINX too, and may write to its logs and caches meanwhile.
    let mut open = vec![PathBuf::from("/etc"), place.to_owned()];
    for file in ["/run/nginx.pid", "/run/nginx", "/var/cache/nginx", "/var/log/nginx"].map(PathBuf::from) {
        state.insert(file.clone(), describe(&file));
    }
    while let Some(path) = open.pop() {
        state.insert(path.clone(), describe(&path));
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|it| it.is_dir());
        open.extend(fs::read_dir(&path).into_iter().flatten().flatten().filter(|_| is_folder).map(|it| it.path()));
    }
    state
}

fn describe(path: &Path) -> String {
    let Ok(metadata) = fs::symlink_metadata(path) else { return "missing".to_owned() };
    let hash = |bytes: Vec<u8>| {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        hasher.finish()
    };
    let content = metadata.is_file().then(|| fs::read(path).map(hash).ok());
    let link = fs::read_link(path).ok();
    format!("{:o} {}:{} {link:?} {content:?}", metadata.mode(), metadata.uid(), metadata.gid())
}

#[test]
fn what_the_file_does_not_do_is_no_pass() {
    let place = tree(SITE);
    let words = ["https://shop.example/cart", "-n", "400", "--expect", "least-connections"];
    let output = rehearse(&place, false, &words);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn a_server_that_only_permits_is_no_backend() {
    let place = tree(SITE);
    let words = ["https://shop.example/private/x", "-n", "400"];
    let output = rehearse(&place, false, &words);
    assert_eq!(output.status.code(), Some(0), "{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
    let report = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = report.split_whitespace().collect();
    assert!(words.join(" ").contains("(auth.internal:9000): asked too, and no backend; it responds 204"), "{report}");
}

#[test]
fn what_may_be_a_typing_error_is_noted() {
    let twice = "server 10.20.0.12:8080;";
    let place = tree(&SITE.replace(twice, &format!("{twice} {twice}")));
    let others = ["--answer", "nobody.internal:9000=204", "--name", "other.internal=2"];
    let output = rehearse(&place, false, &[&["https://shop.example/", "-n", "300"][..], &others].concat());
    assert_eq!(output.status.code(), Some(0), "{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
    let report = String::from_utf8_lossy(&output.stdout);
    let report = report.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in [
        "10.20.0.12:8080: its address is listed 2 times",
        "--answer nobody.internal:9000: the balancer has not asked for that",
        "--name other.internal: the balancer has not asked for that",
    ] {
        assert!(report.contains(note), "{note}: {report}");
    }
}

#[test]
fn what_cannot_be_rehearsed_is_one_message_with_what_to_try() {
    let place = tree(SITE);
    let broken = tree("upstrem shop { }");
    for (place, words, parts) in [
        (&place, &["http://shop.example/"][..], &["asked no backend for", "https://shop.example/"][..]),
        (&place, &["http://shop.example:81/"], &["nothing listens on port 81", "0.0.0.0:443"]),
        (
            &place,
            &["https://shop.example/private/", "--answer", "auth.internal:9000=403"],
            &["asked no backend", "it asked auth.internal:9000, which responds 403"],
        ),
        (&place, &["https://shop.example/", "--certificate", "real"], &["fullchain.pem", "--certificate real"]),
        (
            &place,
            &["https://shop.example/", "--answer", "10.20.0.12:8080=200"],
            &["one of the backends behind the URL", "--answer 10.20.0.12:8080=200"],
        ),
        (
            &place,
            &["https://shop.example/", "--name", "app3.internal=2", "--name", "app3.internal=3"],
            &["--name app3.internal: given twice"],
        ),
        (&place, &["https://shop.example/", "--upstream", "shopp"], &["has no upstream shopp, only shop"]),
        (&broken, &["http://shop.example/"], &["does not start", "unknown directive \"upstrem\""]),
    ] {
        let output = rehearse(place, false, words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        parts.iter().for_each(|part| assert!(said(&output).contains(part), "{part}: {}", said(&output)));
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_uuid-generator"))
        .args(["rehearse", "nginx", "/nowhere/nginx.conf", "http://a/"])
        .output()
        .unwrap();
    assert_eq!((missing.status.code(), said(&missing).contains("/nowhere/nginx.conf")), (Some(2), true));
}

#[test]
fn more_servers_than_a_rehearsal_can_have_and_programs_that_are_missing_are_refused() {
    let server = |number: u32| format!("server 10.{}.{}.{}:80;", number >> 16, number >> 8 & 255, number & 255);
    let many: String = (1..=1001).map(server).collect();
    let place =
        tree(&format!("upstream shop {{ {many} }} server {{ listen 80; location / {{ proxy_pass http://shop; }} }}"));
    let output = rehearse(&place, false, &["http://shop.example/"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("more than 1,000 servers"), "{}", said(&output));
    let words = ["rehearse", "envoy", "/etc/hostname", "http://shop.example/"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_uuid-generator")).args(words).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("it is not installed"), "{}", said(&output));
}

#[test]
fn programs_and_files_behind_links_are_found_and_those_of_servers_without_their_folder_on_path() {
    let site = "upstream shop { server 10.20.0.11:8080; } server { listen 80; location / { proxy_pass http://shop; } }";
    let place = tree(site);
    let folder = |name: &str| {
        let path = place.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (programs, real, links) = (folder("programs"), folder("real"), folder("links"));
    fs::copy("/usr/sbin/nginx", real.join("nginx")).unwrap();
    symlink(real.join("nginx"), programs.join("nginx")).unwrap();
    symlink(place.path().join("nginx.conf"), links.join("nginx.conf")).unwrap();
    for path in [format!("{}:/usr/bin:/bin", programs.display()), "/usr/bin:/bin".to_owned()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uuid-generator"));
        command.args(["rehearse", "nginx"]).arg(links.join("nginx.conf")).arg("http://shop.example/");
        command.args(["-n", "500", "--no-experiments", "-q", "--during", "nginx -s reload@0s"]);
        let output = command.env("PATH", &path).current_dir("/").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{path}: {}", said(&output));
    }
}

#[test]
fn a_copy_of_a_tree_is_rehearsed_where_production_has_it() {
    let site = "upstream shop { server 10.20.0.11:8080; } server { listen 80; location / { proxy_pass http://shop; } }";
    let place = tree(site);
    let main = CONFIGURATION.replace("include sites-enabled/*", "include /etc/nginx-of-a-test/sites-enabled/*");
    fs::write(place.path().join("nginx.conf"), main).unwrap();
    for user in users() {
        let words =
            ["http://shop.example/", "-n", "100", "--no-experiments", "--at", "/etc/nginx-of-a-test/nginx.conf"];
        let output = rehearse(&place, user, &words);
        let report = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{} {report}", said(&output));
        assert!(report.contains("/etc/nginx-of-a-test/sites-enabled/shop, line 1"), "{report}");
        assert!(!fs::exists("/etc/nginx-of-a-test").unwrap());
    }
}

/// No namespaces can be made within it.
fn without_namespaces() -> Command {
    const FORBID: &str =
        "echo 0 > /proc/sys/user/max_user_namespaces && echo 0 > /proc/sys/user/max_pid_namespaces && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", FORBID, "sh", env!("CARGO_BIN_EXE_uuid-generator")]);
    command
}

#[test]
fn where_namespaces_are_forbidden_a_rewritten_copy_is_checked() {
    const KINDS: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = TemporaryDirectory::new();
    // Of Debian's own folders no owner is mapped there.
    let folders = KINDS.map(|kind| format!("{kind}_temp_path {}/{kind};", temporary.path().display())).join(" ");
    let main = format!(
        "user root; worker_processes 1; error_log stderr; events {{}} http {{ access_log off; {folders} include sites/*; }}"
    );
    let (place, ports) = (TemporaryDirectory::new(), crate::support::ports(4));
    let sites = place.path().join("sites");
    fs::create_dir(&sites).unwrap();
    let file = place.path().join("nginx.conf");
    fs::write(&file, main).unwrap();
    let site = format!(
        "upstream shop {{ server 10.20.0.11:8080 weight=2; server 10.20.0.12:8080; server app3.internal:8080; }} \
         server {{ listen {}; location / {{ proxy_pass http://shop; }} }}",
        ports[3]
    );
    fs::write(sites.join("shop"), &site).unwrap();
    let url = format!("http://shop.example:{}/cart", ports[3]);
    let run = |words: &[&str]| {
        let mut command = without_namespaces();
        command.args(["rehearse", "nginx"]).arg(&file).arg(&url).args(words);
        command.env("TMPDIR", place.path()).env("XDG_RUNTIME_DIR", temporary.path()).current_dir("/").output().unwrap()
    };
    let output = run(&["-n", "400"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for part in ["does not let this user make namespaces", "sudo", "--map 10.20.0.11:8080=9001"] {
        assert!(said(&output).contains(part), "{part}: {}", said(&output));
    }
    let maps: Vec<String> = ["10.20.0.11:8080", "10.20.0.12:8080", "app3.internal:8080"]
        .iter()
        .zip(&ports)
        .map(|(server, port)| format!("--map={server}={port}"))
        .collect();
    let mut words: Vec<&str> = maps.iter().map(String::as_str).collect();
    words.extend(["-n", "400", "--format", "json"]);
    let output = run(&words);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{} {text}", said(&output));
    let shares = format!("{}=2,{}=1,{}=1", ports[0], ports[1], ports[2]);
    assert!(text.contains(&shares), "{shares}: {text}");
    let copied = format!("10.20.0.11:8080 is backend {} in a copy of the file", ports[0]);
    assert!(said(&output).contains(&copied), "{}", said(&output));
    // A server that is not there was misspelt.
    let output = run(&["--map=10.20.0.13:8080=9001"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("10.20.0.13:8080 stands nowhere in"), "{}", said(&output));
    assert_eq!(fs::read_to_string(sites.join("shop")).unwrap(), site);
    let mut left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["nginx.conf", "sites"]);
}

#[test]
fn where_namespaces_are_permitted_the_file_itself_runs_whatever_is_mapped() {
    let place = tree(SITE);
    let words = ["https://shop.example/", "--map=10.20.0.11:8080=9001", "-n", "60", "--no-experiments"];
    let output = rehearse(&place, true, &words);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said(&output).contains("--map is not needed") && !said(&output).contains("copy of the file"),
        "{}",
        said(&output)
    );
    assert!(printed.contains("10.20.0.11:8080"), "{printed}");
}

#[test]
fn a_dry_run_says_what_is_read_and_starts_nothing() {
    let place = tree(SITE);
    let output = rehearse(&place, false, &["--dry-run"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in
        ["upstream shop: weighted-round-robin", "10.20.0.99:8080, backup", "cannot be read here: /etc/letsencrypt"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}
