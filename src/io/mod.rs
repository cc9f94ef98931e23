//! How a descriptor waits and what time it is: the poll, its alarm, sockets, TLS over them, clocks. It knows no HTTP and
//! no policy; client and backend share it.

pub(crate) mod accepted;
pub(crate) mod authority;
pub(crate) mod clock;
pub(crate) mod ending;
pub(crate) mod poller;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod tls_server;
