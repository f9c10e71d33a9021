//! What a role may do while it handles one input: read the time, draw chance, speak, emit. Only the engine drains.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;

use crate::config::MeshConfig;
use crate::effect::{Effect, Event};
use crate::id::{BlobId, PeerId};
use crate::memo::Memo;
use crate::message::{BATCH_MAX, Message};
use crate::programs::Programs;
use crate::snapshot::Counters;
use crate::task::Payload;
use crate::time::Time;

/// One input's surroundings.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) me: PeerId,
    pub(crate) mesh: &'a MeshConfig,
    pub(crate) counters: &'a mut Counters,
    pub(crate) memo: &'a mut Memo,
    pub(crate) programs: &'a mut Programs,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) effects: &'a mut Vec<Effect>,
    /// What this node's owner and worker say to each other; handled before the input is done with.
    pub(crate) loopback: &'a mut VecDeque<Message>,
    /// What was looked at one by one because peers said so, since the node's start.
    pub(crate) looked: &'a mut u64,
}

impl Ctx<'_> {
    pub(crate) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.effects.push(Effect::Notify(event));
    }

    /// Says something to a peer, or to this node's other role.
    pub(crate) fn send(&mut self, to: PeerId, message: Message) {
        if to == self.me {
            self.loopback.push_back(message);
        } else {
            self.effects.push(Effect::Send { to, message });
        }
    }

    /// Keeps a payload's bytes in the store while something rests on them; every pin is taken back once.
    pub(crate) fn pin(&mut self, payload: &Payload) {
        self.effects.extend(payload.blob().map(Effect::Pin));
    }

    pub(crate) fn unpin(&mut self, payload: &Payload) {
        self.effects.extend(payload.blob().map(Effect::Unpin));
    }

    /// Replaces bytes that are too long for a gossip by their name, and keeps them where others can fetch them.
    pub(crate) fn by_name(&mut self, payload: &mut Payload, inline_max: usize) {
        let Payload::Inline(bytes) = payload else { return };
        if bytes.len() <= inline_max {
            return;
        }
        let named = Payload::Blob { id: BlobId::of(bytes), bytes: bytes.len() as u64 };
        self.effects.push(Effect::Stash(bytes.clone()));
        *payload = named;
    }

    /// Counts so many things that are looked at one by one because a peer said so.
    pub(crate) fn look(&mut self, count: usize) {
        *self.looked = self.looked.saturating_add(count as u64);
    }

    /// As many of what a peer lists as one frame may hold; the rest is dropped and counted.
    pub(crate) fn within_frame<'l, T>(&mut self, all: &'l [T]) -> &'l [T] {
        let (within, beyond) = all.split_at_checked(BATCH_MAX).unwrap_or((all, &[]));
        self.counters.dropped += beyond.len() as u64;
        self.look(within.len());
        within
    }

    /// A name that nobody used before.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.rng.next_u64()
    }
}
