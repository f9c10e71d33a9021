//! Messages to other members, in as few frames as possible. Plain bookkeeping.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::message::CustodyMessage;
use crate::ctx::Ctx;
use crate::id::PeerId;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Message};

/// Bytes of messages in one frame beyond which another one is begun.
const FRAME_BYTES: usize = 256 << 10;

/// Records in one frame beyond which another one is begun; of a frame of another node no further ones are taken.
pub(super) const RECORDS_MAX: usize = 512;
/// Bytes of messages that say what a log is made of, to one node because of one input. Each of a few bytes may be answered by
/// a long one; further ones are lost, as on the way, and their receiver asks again.
const SPANS_BYTES_MAX: usize = 1 << 20;

/// What is to be sent at the end of an input.
#[derive(Debug, Default)]
pub(super) struct Post(BTreeMap<PeerId, Letters>);

/// What is for one node.
#[derive(Debug, Default)]
struct Letters {
    messages: Vec<CustodyMessage>,
    /// Bytes of those that say what a log is made of.
    spans_bytes: usize,
}

impl Post {
    pub(super) fn add(&mut self, to: PeerId, message: CustodyMessage) {
        let letters = self.0.entry(to).or_default();
        if let CustodyMessage::Behind { .. } | CustodyMessage::Sealed { .. } = message {
            letters.spans_bytes = letters.spans_bytes.saturating_add(message.cost());
            if letters.spans_bytes > SPANS_BYTES_MAX {
                return;
            }
        }
        letters.messages.push(message);
    }

    /// Sends all of it. What is for a node that can't be reached is lost, as on the way.
    pub(super) fn send(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.0.is_empty() {
            return;
        }
        for (to, Letters { messages, .. }) in core::mem::take(&mut self.0) {
            if !members.is_reachable(to) {
                continue;
            }
            let mut frame = Frame::default();
            for message in messages {
                if !frame.has_room_for(&message) {
                    ctx.send(to, Message::Custody(core::mem::take(&mut frame).messages));
                }
                frame.add(message);
            }
            ctx.send(to, Message::Custody(frame.messages));
        }
    }
}

/// Messages that go together.
#[derive(Default)]
struct Frame {
    messages: Vec<CustodyMessage>,
    bytes: usize,
    records: usize,
}

impl Frame {
    /// The first message always has.
    fn has_room_for(&self, message: &CustodyMessage) -> bool {
        let fits = self.messages.len() < BATCH_MAX
            && self.bytes + message.cost() <= FRAME_BYTES
            && self.records + message.records() <= RECORDS_MAX;
        self.messages.is_empty() || fits
    }

    fn add(&mut self, message: CustodyMessage) {
        self.bytes += message.cost();
        self.records += message.records();
        self.messages.push(message);
    }
}
