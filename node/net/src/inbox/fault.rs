//! What a link did wrong, found out when its words are decoded: a word that is none ends the link that it came by.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use weft_core::PeerId;
use weft_core::codec::decode_message;

use crate::event::NetEvent;

/// What a link did wrong, found out when its words were decoded.
#[derive(Default)]
pub(super) struct Fault {
    pub(super) text: Mutex<Option<String>>,
    pub(super) told: Notify,
}

impl Fault {
    pub(super) fn decode(&self, from: PeerId, bytes: &[u8]) -> Option<NetEvent> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_some() {
            // What followed a word that was none can't be trusted either.
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
