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

/// What is to be sent at the end of an input.
#[derive(Debug, Default)]
pub(super) struct Post(BTreeMap<PeerId, Vec<CustodyMessage>>);

impl Post {
    pub(super) fn add(&mut self, to: PeerId, message: CustodyMessage) {
        self.0.entry(to).or_default().push(message);
    }

    /// Sends all of it. What is for a node that can't be reached is lost, as on the way.
    pub(super) fn send(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        for (to, messages) in core::mem::take(&mut self.0) {
            if !members.is_reachable(to) {
                continue;
            }
            let (mut frame, mut bytes) = (Vec::new(), 0);
            for message in messages {
                let cost = message.cost();
                if !frame.is_empty() && (frame.len() >= BATCH_MAX || bytes + cost > FRAME_BYTES) {
                    ctx.send(to, Message::Custody(core::mem::take(&mut frame)));
                    bytes = 0;
                }
                bytes += cost;
                frame.push(message);
            }
            ctx.send(to, Message::Custody(frame));
        }
    }
}
