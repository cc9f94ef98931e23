//! The check's client over TLS: through a real nginx that terminates it, and with servers that misbehave in it. Certificates,
//! good ones and bad ones, are made by `support`.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use crate::support::certificates::{self, Authority, marked_as_an_authority, params, signed_by_itself};
use crate::support::nginx::{Certified, Configuration, Nginx};
use crate::support::{Fleet, error_of};
use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use testbed::server::listen;
use verdict::report::{Report, Verdict};

const BOTH: &str = "TLSv1.2 TLSv1.3";
const SOME: [&str; 2] = ["-n", "3000"];

fn certified(certified: certificates::Certified) -> Certified {
    Certified { certificates: certified.certificates, key: certified.key, protocols: BOTH }
}

fn localhost() -> Certified {
    certified(certificates::localhost())
}

/// One that an authority signed, and the authority's.
fn signed_by_an_authority() -> (Certified, String) {
    let authority = Authority::new();
    (certified(authority.sign(&params("localhost"))), authority.pem())
}

// The whole check.

struct Bench {
    fleet: Fleet,
    nginx: Nginx,
}

impl Bench {
    fn of(certified: &Certified) -> Bench {
        let (fleet, ports) = Fleet::of(3, &["--log", "off"]);
        let nginx = Configuration { tls: Some(certified.clone()), ..Configuration::of(&ports) }.start();
        Bench { fleet, nginx }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/uuid", self.nginx.port())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.fleet.place.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn check(&self, options: &[&str]) -> Output {
        self.fleet.program(&[&["check", &self.url(), "--format", "json"], options].concat())
    }

    #[track_caller]
    fn passes(&self, options: &[&str]) {
        let output = self.check(&[&SOME[..], options].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(report.verdict, Verdict::Pass, "{options:?}: {:#?}", report.checks[0].findings);
        let account = &report.checks[0].account;
        let delivered = account.outcomes.iter().find(|it| it.outcome.name() == "delivered").map_or(0, |it| it.count);
        assert!(delivered == account.sent && delivered >= 3000, "{account:?}");
    }

    #[track_caller]
    fn cannot_run(&self, options: &[&str], texts: &[&str]) {
        let said = error_of(&self.check(options));
        for text in texts {
            assert!(said.contains(text), "no {text:?} in {said}");
        }
    }
}

#[test]
fn a_check_through_tls_passes_with_an_authority_given_and_with_any_certificate_trusted() {
    let (certified, authority) = signed_by_an_authority();
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let bench = Bench::of(&Certified { protocols, ..certified.clone() });
        bench.file("authority.pem", &authority);
        bench.passes(&["--ca", "authority.pem"]);
        bench.passes(&["--insecure", "--new-connections"]);
        bench.passes(&["--insecure", "--rate", "300", "--method", "POST", "--body-bytes", "100000"]);
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_when_it_is_given() {
    for certified in [localhost(), certified(signed_by_itself(marked_as_an_authority(params("localhost"))))] {
        let bench = Bench::of(&certified);
        bench.file("own.pem", &certified.certificates);
        bench.passes(&["--ca", "own.pem"]);
        bench.cannot_run(&[], &["certificate verify failed: self-signed certificate", "--ca FILE", "--insecure"]);
        bench.file("other.pem", &localhost().certificates);
        bench.cannot_run(&["--ca", "other.pem"], &["https://localhost", "certificate"]);
    }
}

#[test]
fn a_certificate_that_is_out_of_time_or_for_another_name_is_said_to_be_that() {
    let over = |mut params: CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        params
    };
    let other = || params("elsewhere.example");
    for (params, texts) in [
        (over(params("localhost")), ["certificate has expired", "clock"]),
        (over(marked_as_an_authority(params("localhost"))), ["certificate has expired", "clock"]),
        (other(), ["hostname mismatch, not for the name localhost, but for elsewhere.example", "--insecure"]),
        (
            marked_as_an_authority(other()),
            ["hostname mismatch, not for the name localhost, but for elsewhere.example", "--insecure"],
        ),
    ] {
        let certified = certified(signed_by_itself(params));
        let bench = Bench::of(&certified);
        bench.file("own.pem", &certified.certificates);
        bench.cannot_run(&["--ca", "own.pem"], &texts);
    }
    Bench::of(&certified(signed_by_itself(over(other())))).passes(&["--insecure"]);
}

#[test]
fn a_port_with_tls_and_one_without_are_told_apart() {
    let bench = Bench::of(&localhost());
    let port = bench.nginx.port();
    let said = error_of(&bench.fleet.program(&["check", &format!("http://localhost:{port}/uuid")]));
    assert!(
        said.contains("that port speaks TLS") && said.contains(&format!("https://localhost:{port}/uuid")),
        "{said}"
    );
    let plain = Configuration::of(&[1]).start();
    let url = format!("https://localhost:{}/uuid", plain.port());
    let said = error_of(&bench.fleet.program(&["check", &url, "--insecure"]));
    assert!(said.contains("what it sends is not TLS") && said.contains("http://"), "{said}");
    // One that does not say in HTTP what it thinks of that.
    let strict = silent_server(&localhost());
    let said = error_of(&bench.fleet.program(&["check", &format!("http://{strict}/uuid")]));
    assert!(said.contains("that port speaks TLS"), "{said}");
}

#[test]
fn a_server_that_closes_during_the_handshake_is_said_to_do_that() {
    let (fleet, _ports) = Fleet::of(1, &["--log", "off"]);
    let address = listen(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
    });
    let said = error_of(&fleet.program(&["check", &format!("https://{address}/uuid"), "--insecure"]));
    assert!(said.contains("closes the connection during the TLS handshake"), "{said}");
    assert!(said.contains("does that port speak TLS?"), "{said}");
}

#[test]
fn options_of_tls_need_a_url_with_tls_and_a_file_with_certificates() {
    let bench = Bench::of(&localhost());
    let plain = |options: &[&str]| error_of(&bench.fleet.program(&[&["check", "localhost:80/uuid"], options].concat()));
    let said = plain(&["--insecure"]);
    assert!(said.contains("--insecure is for TLS") && said.contains("https://"), "{said}");
    let said = plain(&["--ca", "any.pem"]);
    assert!(said.contains("--ca is for TLS"), "{said}");
    bench.cannot_run(&["--ca", "missing.pem"], &["--ca missing.pem", "No such file"]);
    bench.file("empty.pem", "nothing");
    bench.cannot_run(&["--ca", "empty.pem"], &["--ca empty.pem", "no certificate", "BEGIN CERTIFICATE"]);
    bench.cannot_run(&["--ca", "empty.pem", "--insecure"], &["cannot be used with"]);
    let checks = format!("[[check]]\nurl = \"{}\"\ninsecure = true\nrequests = 3000\n", bench.url());
    let file = bench.file("checks.toml", &checks);
    let output = bench.fleet.program(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    bench.file("checks.toml", &checks.replace("insecure = true", "ca = \"a\"\ninsecure = true"));
    let said = error_of(&bench.fleet.program(&["check", "--config", file.to_str().unwrap()]));
    assert!(said.contains("--ca and --insecure"), "{said}");
}

// Servers that misbehave.

/// Speaks TLS, reads a little and closes.
fn silent_server(certified: &Certified) -> SocketAddr {
    let certificate = CertificateDer::from_pem_slice(certified.certificates.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(certified.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(versions.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    listen(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let _ = stream.read(&mut [0; 4096]);
    })
}
