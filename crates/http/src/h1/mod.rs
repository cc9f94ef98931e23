//! HTTP/1.1 over one connection.

pub mod client;
pub mod server;
