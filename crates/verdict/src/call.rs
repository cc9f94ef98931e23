//! What a backend notes of a gRPC call beside its request and response.

use std::time::Duration;

use http::grpc::GrpcStatus;
use http::h2::ErrorCode;

/// One call, as its backend saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// The status that the backend wrote; none as long as it had not, for example of a call that its client cancelled.
    pub status: Option<GrpcStatus>,
    /// Whether the head of the response had the status, and nothing followed (Trailers-Only).
    pub is_trailers_only: bool,
    /// How long the client waits, as `grpc-timeout` said when it arrived.
    pub timeout: Option<Duration>,
    /// The code with which the client reset the stream. When: the attempt's end.
    pub cancelled: Option<ErrorCode>,
    /// Messages that came from the client.
    pub received: u32,
    /// Number of the last of them, if it was a check's; else 0.
    pub last_received: u32,
    /// Messages of a check whose number did not follow the one before: lost, repeated or out of order on the way.
    pub misplaced: u16,
    /// Messages that the backend wrote.
    pub written: u32,
}

impl Call {
    /// A message has come, with its number if it has one.
    pub fn see_message(&mut self, number: Option<u32>) {
        self.received = self.received.saturating_add(1);
        if let Some(number) = number {
            let follows = self.last_received.checked_add(1) == Some(number);
            self.misplaced = self.misplaced.saturating_add(u16::from(!follows));
            self.last_received = number;
        }
    }
}
