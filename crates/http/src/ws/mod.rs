//! WebSocket (RFC 6455): the handshake over HTTP/1.1, frames and messages. permessage-deflate is not spoken: a server that does not
//! accept an extension has refused it (§9.1).

mod frames;
mod handshake;

pub use frames::{
    Closing, FrameReader, Opcode, ReaderRole, Violation, WebSocketEvent, is_close_code, write_close, write_frame,
};
pub use handshake::{AcceptKey, NoUpgrade, VERSION, accept_key, announces_content, is_accepted, key, upgrade};
