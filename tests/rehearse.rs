//! Rehearsals with a real NGINX: a tree as Debian has it, as root and as an unprivileged user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
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
    let mut command = match unprivileged {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", program]);
            command
        }
        false => Command::new(program),
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
    for user in users() {
        let words = ["https://shop.example/cart", "-n", "400", "--format", "json"];
        let output = rehearse(&place, user, &words);
        assert_eq!(output.status.code(), Some(0), "{} {}", said(&output), String::from_utf8_lossy(&output.stdout));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
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
fn what_cannot_be_rehearsed_is_one_message_with_what_to_try() {
    let place = tree(SITE);
    let broken = tree("upstrem shop { }");
    for (place, words, parts) in [
        (&place, &["http://shop.example/"][..], &["asked no backend for 20 requests", "https://shop.example/"][..]),
        (&place, &["http://shop.example:81/"], &["nothing listens on port 81", "0.0.0.0:443"]),
        (
            &place,
            &["https://shop.example/private/", "--answer", "auth.internal:9000=403"],
            &["asked no backend", "403"],
        ),
        (&place, &["https://shop.example/", "--certificate", "real"], &["fullchain.pem", "--certificate real"]),
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
fn a_dry_run_says_what_is_read_and_starts_nothing() {
    let place = tree(SITE);
    let output = rehearse(&place, false, &["https://shop.example/", "--dry-run"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in
        ["upstream shop: weighted-round-robin", "10.20.0.99:8080, backup", "cannot be read here: /etc/letsencrypt"]
    {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}
