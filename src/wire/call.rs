//! What a record holds of a gRPC call, in the words of the journal.

use std::time::Duration;

use http::grpc::GrpcStatus;
use http::h2::ErrorCode;
use verdict::Call;

use crate::wire::CallView;

/// Words of a record that a call takes.
pub(super) const CALL_WORDS: usize = 4;

const HAS_STATUS: u64 = 1;
const HAS_TIMEOUT: u64 = 2;
const IS_CANCELLED: u64 = 4;
const IS_TRAILERS_ONLY: u64 = 8;

/// A status above 255 has no name, and a timeout above 584 years is none: both are kept as the highest that there is room for.
pub(super) fn to_words(call: &Call) -> [u64; CALL_WORDS] {
    let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
    let status = call.status.map_or(0, |status| u64::from(status.0.min(0xff)));
    let code = call.cancelled.map_or(0, |code| u64::from(code.0));
    let timeout = call.timeout.map_or(0, nanoseconds);
    [
        code << 32
            | u64::from(call.misplaced) << 16
            | status << 8
            | flag(call.status.is_some(), HAS_STATUS)
            | flag(call.timeout.is_some(), HAS_TIMEOUT)
            | flag(call.cancelled.is_some(), IS_CANCELLED)
            | flag(call.is_trailers_only, IS_TRAILERS_ONLY),
        timeout,
        u64::from(call.written) << 32 | u64::from(call.received),
        u64::from(call.last_received),
    ]
}

pub(super) fn from_words(words: &[u64]) -> Option<Call> {
    let [rest, timeout, counts, last_received] = *words.first_chunk::<CALL_WORDS>()?;
    let has = |flag: u64| rest & flag != 0;
    Some(Call {
        status: has(HAS_STATUS).then_some(GrpcStatus((rest >> 8 & 0xff) as u32)),
        is_trailers_only: has(IS_TRAILERS_ONLY),
        timeout: has(HAS_TIMEOUT).then(|| Duration::from_nanos(timeout)),
        cancelled: has(IS_CANCELLED).then_some(ErrorCode((rest >> 32) as u32)),
        received: counts as u32,
        last_received: last_received as u32,
        misplaced: (rest >> 16) as u16,
        written: (counts >> 32) as u32,
    })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// As the API and the log for programs give it.
pub(super) fn view(call: &Call) -> CallView {
    CallView {
        status: call.status.map(|status| status.to_string()),
        trailers_only: call.is_trailers_only,
        timeout_ns: call.timeout.map(nanoseconds),
        cancelled: call.cancelled.map(|code| code.to_string()),
        received: call.received,
        last_received: call.last_received,
        misplaced: call.misplaced,
        written: call.written,
    }
}
