//! Options that do not go together, because streams and calls of gRPC are not what other requests are.

use super::CheckConfig;
use crate::check::grpc;
use crate::check::load::BodyTransfer;
use crate::config::streams;
use crate::error::Problem;
use verdict::rules::{Expectations, Requirement};

impl CheckConfig {
    /// What is said of requests is not said of streams, and the other way round.
    pub(super) fn refuse_what_streams_are_not(
        &self,
        holds_streams: bool,
        transfer: BodyTransfer,
        expectations: &Expectations,
    ) -> Result<(), Problem> {
        let of_streams = expectations.required.iter().find(|required| required.is_of_streams());
        if !holds_streams {
            if let Some(url) = self.url.iter().find(|url| streams::is_socket(url)) {
                let problem =
                    Problem::new("a WebSocket among other URLs: streams are opened once and held").on(url.as_str());
                return Err(problem.hint("check it alone"));
            }
            let problem =
                of_streams.map(|required| Problem::new("it is for streams").on(format!("--expect {required}")));
            return problem.map_or(Ok(()), |problem| Err(problem.hint("add --stream, or check a URL with ws://")));
        }
        if self.is_call() {
            return Err(Problem::new("--stream: gRPC calls are not held open")
                .hint("leave it out: a call of a streaming method, such as uuid.v1.Generator/Events, is accounted for as a whole"));
        }
        if self.streams.is_some() {
            return Err(Problem::new(
                "--streams: each stream that is held has a connection of its own, over HTTP/2 too",
            )
            .hint("leave it out; -c says how many are held"));
        }
        let options = [
            ("-n", self.requests.is_some()),
            ("--rate", self.rate.is_some()),
            ("--budget", self.budget.is_some()),
            ("--body", !self.body.is_empty()),
            ("--body-bytes", self.body_bytes.is_some()),
            ("--chunked", transfer.chunked),
            ("--expect-continue", transfer.expect_continue),
            ("--method", self.method.is_some()),
            ("--identity", self.identity.is_some()),
            ("--key-header", !self.key_header.is_empty()),
            ("--key-cookie", !self.key_cookie.is_empty()),
            ("--experiments-for", self.experiments_for.is_some()),
            ("--session", self.session.is_some()),
            ("several URLs", self.url.len() > 1),
            ("weights", expectations.shares.is_some()),
            ("an algorithm", expectations.algorithm.is_some()),
            ("backup:…", !expectations.backups.is_empty()),
            ("per:…", expectations.required.iter().any(|it| matches!(it, Requirement::Per(_)))),
            ("mirrored:…", expectations.required.iter().any(|it| matches!(it, Requirement::Mirrored(_)))),
            ("expectations of how requests go on after an outage", expectations.required.iter().any(is_of_a_flow)),
        ];
        match options.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => Err(Problem::new(format!("{option}: streams are opened once and held"))
                .hint("-c says how many, --duration how long; --expect alive:even judges where they are")),
        }
    }

    /// A client that sends no body waits for no `100 Continue`.
    pub(super) fn refuse_to_wait_without_a_body(has_body: bool, transfer: BodyTransfer) -> Result<(), Problem> {
        if transfer.expect_continue && !transfer.chunked && !has_body {
            let problem = Problem::new("there is no body to send after `100 Continue`").on("--expect-continue");
            return Err(problem.hint("add --body FILE or --body-bytes 1000"));
        }
        Ok(())
    }

    pub(super) fn refuse_what_calls_are_not(&self) -> Result<(), Problem> {
        let options = [
            ("a URL of another kind", !self.url.iter().all(|url| grpc::is_url(url))),
            ("--method", self.method.is_some()),
            ("--chunked", self.chunked),
            ("--expect-continue", self.expect_continue),
            ("--body-bytes", self.body_bytes.is_some()),
        ];
        match options.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                Err(Problem::new(format!("{option}: a gRPC call is a POST with messages over HTTP/2"))
                    .hint("leave it out; --body FILE is the message, without its length"))
            }
        }
    }
}

/// What is measured of requests that keep coming.
fn is_of_a_flow(required: &Requirement) -> bool {
    match required {
        Requirement::Back(_) | Requirement::Ejected(_) | Requirement::ErrorsEnd(_) | Requirement::SlowStart(_) => true,
        Requirement::Intact
        | Requirement::PathPreserved
        | Requirement::HostPreserved
        | Requirement::ClientAddress
        | Requirement::HeaderPreserved(_)
        | Requirement::Status { .. }
        | Requirement::Unbuffered(_)
        | Requirement::Uncut
        | Requirement::AliveEven
        | Requirement::Tls(_)
        | Requirement::Mirrored(_)
        | Requirement::Per(_) => false,
    }
}
