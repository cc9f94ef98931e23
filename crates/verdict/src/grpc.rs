//! How the ledger counts calls of gRPC: each status has one of HTTP of its own, so that one set of rules judges both.

use http::grpc::GrpcStatus;

/// By number of the call's status. What says that nothing can be done with it now is an error of the server (500 and more), and what
/// the client is to blame for one of the client (400 and more).
const STATUSES: [u16; 17] = [200, 499, 520, 422, 504, 404, 409, 403, 429, 412, 423, 416, 405, 500, 503, 507, 401];
/// Of a status that gRPC does not know, which counts as UNKNOWN.
const UNKNOWN: u16 = 520;

/// The HTTP status that corresponds to a call's status.
pub fn status_of_call(status: GrpcStatus) -> u16 {
    STATUSES.get(status.0 as usize).copied().unwrap_or(UNKNOWN)
}

/// The inverse of [`status_of_call`].
pub fn call_of_status(status: u16) -> Option<GrpcStatus> {
    let place = STATUSES.iter().position(|known| *known == status)?;
    u32::try_from(place).ok().map(GrpcStatus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_of_a_call_has_one_of_http() {
        for number in 0..17 {
            assert_eq!(call_of_status(status_of_call(GrpcStatus(number))), Some(GrpcStatus(number)));
        }
        assert_eq!(status_of_call(GrpcStatus(99)), status_of_call(GrpcStatus::UNKNOWN));
    }
}
