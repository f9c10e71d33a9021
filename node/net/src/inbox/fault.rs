//! A protocol violation that is found when a message is decoded: it ends the link that received the message.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use weft_core::PeerId;
use weft_core::codec::decode_message;

use crate::event::NetEvent;

/// A protocol violation of a link.
#[derive(Default)]
pub(super) struct Fault {
    pub(super) text: Mutex<Option<String>>,
    pub(super) told: Notify,
}

impl Fault {
    pub(super) fn decode(&self, from: PeerId, bytes: &[u8]) -> Option<NetEvent> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_some() {
            // Messages after a malformed one can't be trusted either.
            return None;
        }
        match decode_message(bytes) {
            Ok(message) => Some(NetEvent::Received { from, message }),
            Err(error) => {
                *text = Some(error.to_string());
                self.told.notify_one();
                None
            }
        }
    }
}
