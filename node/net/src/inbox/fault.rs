//! A protocol violation that is found when a message is decoded: it ends the link that received the message. What a node
//! of a newer version says is none: it is dropped and counted.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use weft_core::PeerId;
use weft_core::codec::{CodecError, decode_message};

use crate::event::NetEvent;
use crate::shared::Shared;

/// A protocol violation of a link.
pub(super) struct Fault {
    pub(super) text: Mutex<Option<String>>,
    pub(super) told: Notify,
    /// The peer speaks a newer version, too.
    is_newer: bool,
}

impl Fault {
    pub(super) fn new(is_newer: bool) -> Self {
        Self { text: Mutex::default(), told: Notify::new(), is_newer }
    }

    pub(super) fn decode(&self, from: PeerId, bytes: &[u8], shared: &Shared) -> Option<NetEvent> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_some() {
            // Messages after a malformed one can't be trusted either.
            return None;
        }
        match decode_message(bytes) {
            Ok(message) => Some(NetEvent::Received { from, message }),
            Err(CodecError::Malformed | CodecError::Trailing { .. }) if self.is_newer => {
                shared.count_unknown();
                None
            }
            Err(error) => {
                *text = Some(error.to_string());
                self.told.notify_one();
                None
            }
        }
    }
}
