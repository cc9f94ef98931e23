//! `uuid-generator fault …`.

use clap::Args;

use super::choice::ChoiceArgs;

/// Inject faults into backends of a running fleet, or clear them. Without names it applies to all that run
#[derive(Args)]
#[command(override_usage = "uuid-generator fault [OPTIONS] [BACKENDS] FAULT…\n       uuid-generator fault [OPTIONS] [BACKENDS] clear",
    after_help = SHORT, after_long_help = FAULTS)]
pub(crate) struct FaultArgs {
    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
    /// Names of backends, such as 9002, 9001-9003,9010 or app1, and the words of a fault, also joined by colons; `clear` ends all faults
    #[arg(value_name = "WORDS", required = true)]
    pub(crate) words: Vec<String>,
}

const SHORT: &str = "\
Faults: status 503, latency 200ms, reset, hang, close, close-midway,
fail-first 2, unhealthy, certificate expired, reset-stream CANCEL,
refuse-stream, goaway, max-streams 1, grpc-status UNAVAILABLE, trailers-only,
half-message; most with a share such as 10%.
Details and examples: uuid-generator fault --help";

const FAULTS: &str = "\
Faults, each for a share of requests such as 10% or for all:
  status 503 10%         respond with that status instead of the page
  latency 200ms±50ms     delay each response (+- is read as ±)
  reset 5%               TCP RST instead of a response
  hang                   read the request, never respond
  close                  read the request, close without a response
  close-midway           send the head and half of the body, then close
and for all requests:
  fail-first 2           503 for the first two attempts of each request
  unhealthy              liveness and readiness respond 503, the page is served
  certificate expired    serve a bad certificate to new TLS connections:
                         expired, future, other-name, unknown-ca, self-signed,
                         client-only, revoked; none ends it
and of HTTP/2 alone:
  reset-stream CANCEL    RST_STREAM with that code instead of a response
  refuse-stream 10%      RST_STREAM with REFUSED_STREAM: nothing was done
  goaway                 GOAWAY that leaves out the request at hand
  max-streams 1          announce that many streams at once, refuse more
and of gRPC calls alone:
  grpc-status UNAVAILABLE 10%
                         a head, then that status, without a message
  trailers-only NOT_FOUND
                         that status in the only head; UNAVAILABLE if none
  half-message           half of the first message, then status OK

`fail-first` knows a request by its Check-Request-Id and counts the attempts at this backend. A backend has at most one fault of each \
kind, and several kinds at once. Except for `unhealthy` and `certificate`, faults leave \
health checks alone. Faults end with the backend's process.

Examples:
  uuid-generator fault 9002 status 503 10%
  uuid-generator fault 9001-9003 latency 200ms
  uuid-generator fault 9002 clear

Exit status: 0 done, 2 could not.";
