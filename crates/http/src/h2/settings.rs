//! What each end announces of itself: RFC 9113 §6.5.2.

use crate::Malformed;
use crate::h2::frame::{self, LARGEST, USUAL_WINDOW, setting};
use crate::h2::hpack::TABLE_SIZE;

/// Which end of a connection this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ConnectionSide {
    Server,
    Client,
}

/// What this end announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnnouncedSettings {
    /// Streams that the other end may have open at once; those over it are refused.
    pub max_streams: u32,
    /// Bytes of content that may be on their way on one stream.
    pub stream_window: u32,
    /// Bytes of content that may be on their way on all streams together.
    pub connection_window: u32,
    /// Bytes of a head, with 32 more for each of its fields.
    pub max_head: u32,
}

impl AnnouncedSettings {
    /// Of a server: nothing of a body is kept, so that large windows cost no memory.
    pub const SERVER: AnnouncedSettings =
        AnnouncedSettings { max_streams: 128, stream_window: 1 << 20, connection_window: 1 << 24, max_head: 16 * 1024 };
    /// Of a client, which must not wait for its own windows.
    pub const CLIENT: AnnouncedSettings =
        AnnouncedSettings { max_streams: 0, stream_window: 1 << 24, connection_window: 1 << 30, max_head: 64 * 1024 };

    pub(super) fn write(&self, side: ConnectionSide, out: &mut Vec<u8>) {
        let first = match side {
            ConnectionSide::Client => (setting::ENABLE_PUSH, 0),
            ConnectionSide::Server => (setting::MAX_CONCURRENT_STREAMS, self.max_streams),
        };
        let settings =
            [first, (setting::INITIAL_WINDOW_SIZE, self.stream_window), (setting::MAX_HEADER_LIST_SIZE, self.max_head)];
        frame::write_settings(out, &settings);
        if let Some(more) = self.connection_window.checked_sub(USUAL_WINDOW).filter(|more| *more > 0) {
            frame::write_window_update(out, 0, more);
        }
    }
}

/// What the other end has announced, or what holds until it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerSettings {
    /// Bytes of its HPACK table.
    pub header_table_size: u32,
    /// Streams that this end may have open at once; none if it set no limit.
    pub max_streams: Option<u32>,
    /// Bytes of content that this end may send on a new stream.
    pub stream_window: u32,
    /// Bytes of a frame's payload.
    pub max_frame_size: u32,
    /// Bytes of a head, if it set a limit.
    pub max_head: Option<u32>,
}

impl Default for PeerSettings {
    fn default() -> PeerSettings {
        PeerSettings {
            header_table_size: TABLE_SIZE,
            max_streams: None,
            stream_window: USUAL_WINDOW,
            max_frame_size: LARGEST,
            max_head: None,
        }
    }
}

impl PeerSettings {
    /// Takes one of them at this side. Unknown ones are ignored.
    pub(super) fn take(&mut self, name: u16, value: u32, side: ConnectionSide) -> Result<(), Malformed> {
        match name {
            setting::HEADER_TABLE_SIZE => self.header_table_size = value,
            // RFC 9113 §6.5.2: a server sends no other value than 0.
            setting::ENABLE_PUSH if value > 1 || (side == ConnectionSide::Client && value != 0) => {
                return Err(Malformed::Setting);
            }
            setting::MAX_CONCURRENT_STREAMS => self.max_streams = Some(value),
            setting::INITIAL_WINDOW_SIZE if i64::from(value) > frame::LARGEST_WINDOW => {
                return Err(Malformed::WindowExceeded);
            }
            setting::INITIAL_WINDOW_SIZE => self.stream_window = value,
            setting::MAX_FRAME_SIZE if !(LARGEST..1 << 24).contains(&value) => return Err(Malformed::Setting),
            setting::MAX_FRAME_SIZE => self.max_frame_size = value,
            setting::MAX_HEADER_LIST_SIZE => self.max_head = Some(value),
            _ => {}
        }
        Ok(())
    }
}
