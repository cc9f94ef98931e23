//! `uuid-generator fault …`.

use clap::Args;

use super::choice::ChoiceArgs;
use crate::config::suggest;
use crate::wire::FaultKind;

/// Inject faults into backends of a running fleet, or clear them. Without names, all running backends are affected
#[derive(Args)]
#[command(override_usage = "uuid-generator fault [OPTIONS] [BACKENDS] FAULT…\n       uuid-generator fault [OPTIONS] [BACKENDS] clear",
    after_help = SHORT, after_long_help = FAULTS)]
pub(crate) struct FaultArgs {
    #[command(flatten)]
    pub(crate) fleet: ChoiceArgs,
    /// Names of backends, such as 9002, 9001-9003,9010 or app1, then the words of a fault, separated by spaces or colons; `clear` ends all
    /// faults
    #[arg(value_name = "WORDS", required = true, value_parser = suggest::text(FaultKind::ALL.map(FaultKind::name).into_iter().chain(["clear"]).collect()), hide_possible_values = true)]
    pub(crate) words: Vec<String>,
}

const SHORT: &str = "\
Faults: status 503, latency 200ms, reset, hang, close, close-midway,
fail-first 2, unhealthy, certificate expired, reset-stream CANCEL,
refuse-stream, goaway, max-streams 1, grpc-status UNAVAILABLE, trailers-only,
half-message; most with a share such as 10%.
Details and examples: uuid-generator fault --help";

const FAULTS: &str = "\
Faults, for all requests or for a share such as 10%:
  status 503 10%         respond with that status instead of the page
  latency 200ms±50ms     delay each response (+- is read as ±)
  reset 5%               TCP RST instead of a response
  hang                   read the request, never respond
  close                  read the request, close without a response
  close-midway           send the head and half of the body, then close
Faults for all requests:
  fail-first 2           503 for the first two attempts of each request
  unhealthy              liveness and readiness respond 503; pages are served
  certificate expired    serve a bad certificate to new TLS connections:
                         expired, future, other-name, unknown-ca, self-signed,
                         client-only, revoked; none ends it
Faults of HTTP/2 only:
  reset-stream CANCEL    RST_STREAM with that code instead of a response
  refuse-stream 10%      RST_STREAM with REFUSED_STREAM: nothing is executed
  goaway                 GOAWAY that excludes the current request
  max-streams 1          announce that many concurrent streams, refuse more
Faults of gRPC calls only:
  grpc-status UNAVAILABLE 10%
                         headers, then that status, without a message
  trailers-only NOT_FOUND
                         a Trailers-Only response; UNAVAILABLE by default
  half-message           half of the first message, then status OK

`fail-first` recognises a request by its Check-Request-Id, and counts attempts at this backend. A backend can have faults of several \
kinds, but only one of each. Only `unhealthy` and `certificate` affect health checks. Faults end with the backend's process.

Examples:
  uuid-generator fault 9002 status 503 10%
  uuid-generator fault 9001-9003 latency 200ms
  uuid-generator fault 9002 clear

Exit status: 0 done, 2 could not.";
