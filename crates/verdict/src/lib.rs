//! From two lists to a judgement: what the client observed and what the backends recorded, joined in a ledger, counted,
//! named and judged. Pure: no runtime, socket, clock, file or randomness, which `Cargo.toml` proves.

#![warn(missing_docs)]

pub mod algorithm;
pub mod arrived;
mod attempt;
mod call;
mod certificate;
pub mod clocks;
pub mod facts;
pub mod finding;
pub mod grpc;
mod handshake;
mod id;
pub mod ledger;
pub mod life;
pub mod limit;
pub mod notes;
pub mod numbers;
pub mod observation;
pub mod outcome;
pub mod promise;
mod ramp;
pub mod report;
pub mod request;
pub mod response;
pub mod rules;
pub mod statistics;
pub mod streams;
mod subrequests;
pub mod surroundings;
pub mod tally;
mod time;
pub mod timeline;
pub mod upstream;

pub use attempt::AttemptEnd;
pub use call::Call;
pub use certificate::BadCertificate;
pub use handshake::HandshakeFailure;
pub use id::{
    GENERATOR_HEADER, Generator, INSTANCE_HEADER, Instance, NAME_HEADER, NotARequestId, REQUEST_HEADER,
    RESPONSE_HEADER, RequestId, ResponseId, run_from_text,
};
pub use time::{Calendar, Moment};
