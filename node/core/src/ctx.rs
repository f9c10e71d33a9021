//! What a role may do while it handles one input: read the time, draw random numbers, send messages, emit effects. Only
//! the engine drains the effects.

use alloc::collections::VecDeque;
use alloc::vec::{Drain, Vec};

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

/// The context of one input.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) me: PeerId,
    pub(crate) mesh: &'a MeshConfig,
    pub(crate) counters: &'a mut Counters,
    pub(crate) memo: &'a mut Memo,
    pub(crate) programs: &'a mut Programs,
    out: &'a mut Outlet,
}

/// Effects, messages between roles, and randomness. The roles reach it only through a [`Ctx`]; the engine drains it.
#[derive(Debug)]
pub(crate) struct Outlet {
    rng: ChaCha8Rng,
    effects: Vec<Effect>,
    /// Messages between this node's owner and worker; handled before the input ends.
    loopback: VecDeque<Message>,
    /// Entries examined one by one because of peers' messages, since the node's start.
    examined: u64,
}

impl Outlet {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, effects: Vec::new(), loopback: VecDeque::new(), examined: 0 }
    }

    pub(crate) fn drain(&mut self) -> Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// Adds an effect of the engine itself.
    pub(crate) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    pub(crate) fn has_loopback(&self) -> bool {
        !self.loopback.is_empty()
    }

    pub(crate) fn pop_loopback(&mut self) -> Option<Message> {
        self.loopback.pop_front()
    }

    pub(crate) fn examined(&self) -> u64 {
        self.examined
    }
}

/// What a context is made of.
pub(crate) struct Surroundings<'a> {
    pub(crate) counters: &'a mut Counters,
    pub(crate) memo: &'a mut Memo,
    pub(crate) programs: &'a mut Programs,
    pub(crate) out: &'a mut Outlet,
}

impl<'a> Ctx<'a> {
    pub(crate) fn new(now: Time, me: PeerId, mesh: &'a MeshConfig, of: Surroundings<'a>) -> Self {
        let Surroundings { counters, memo, programs, out } = of;
        Self { now, me, mesh, counters, memo, programs, out }
    }

    pub(crate) fn emit(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }

    pub(crate) fn notify(&mut self, event: Event) {
        self.out.effects.push(Effect::Notify(event));
    }

    /// Sends a message to a peer, or to this node's other role.
    pub(crate) fn send(&mut self, to: PeerId, message: Message) {
        if to == self.me {
            self.out.loopback.push_back(message);
        } else {
            self.out.effects.push(Effect::Send { to, message });
        }
    }

    /// Pins a payload's blob in the store; every pin is removed once.
    pub(crate) fn pin(&mut self, payload: &Payload) {
        self.out.effects.extend(payload.blob().map(Effect::Pin));
    }

    pub(crate) fn unpin(&mut self, payload: &Payload) {
        self.out.effects.extend(payload.blob().map(Effect::Unpin));
    }

    /// Replaces inline bytes that are too long by their id, and puts them into the blob store, where others can fetch
    /// them.
    pub(crate) fn by_name(&mut self, payload: &mut Payload, inline_max: usize) {
        let Payload::Inline(bytes) = payload else { return };
        if bytes.len() <= inline_max {
            return;
        }
        let named = Payload::Blob { id: BlobId::of(bytes), bytes: bytes.len() as u64 };
        self.out.effects.push(Effect::Stash(bytes.clone()));
        *payload = named;
    }

    /// Counts entries that are examined one by one because of a peer's message.
    pub(crate) fn examine(&mut self, count: usize) {
        self.out.examined = self.out.examined.saturating_add(count as u64);
    }

    /// The entries of a peer's list that one frame may hold; the rest is dropped and counted.
    pub(crate) fn within_frame<'l, T>(&mut self, all: &'l [T]) -> &'l [T] {
        let (within, beyond) = all.split_at_checked(BATCH_MAX).unwrap_or((all, &[]));
        self.counters.dropped += beyond.len() as u64;
        self.examine(within.len());
        within
    }

    /// A new random id.
    pub(crate) fn fresh_id(&mut self) -> u64 {
        self.draw()
    }

    /// A uniformly random number.
    pub(crate) fn draw(&mut self) -> u64 {
        self.out.rng.next_u64()
    }
}
