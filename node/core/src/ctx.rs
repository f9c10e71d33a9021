//! What a role may do while it handles one input: read the time, draw chance, speak, emit. Only the engine drains.

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

/// One input's surroundings.
pub(crate) struct Ctx<'a> {
    pub(crate) now: Time,
    pub(crate) me: PeerId,
    pub(crate) mesh: &'a MeshConfig,
    pub(crate) counters: &'a mut Counters,
    pub(crate) memo: &'a mut Memo,
    pub(crate) programs: &'a mut Programs,
    out: &'a mut Outlet,
}

/// What the roles emit and draw. They reach it only by a [`Ctx`]; the engine drains it.
#[derive(Debug)]
pub(crate) struct Outlet {
    rng: ChaCha8Rng,
    effects: Vec<Effect>,
    /// What this node's owner and worker say to each other; handled before the input is done with.
    loopback: VecDeque<Message>,
    /// What was looked at one by one because peers said so, since the node's start.
    looked: u64,
}

impl Outlet {
    pub(crate) fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, effects: Vec::new(), loopback: VecDeque::new(), looked: 0 }
    }

    pub(crate) fn drain(&mut self) -> Drain<'_, Effect> {
        self.effects.drain(..)
    }

    /// The engine's own effects.
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

    pub(crate) fn looked(&self) -> u64 {
        self.looked
    }
}

/// What one input's surroundings are made of.
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

    /// Says something to a peer, or to this node's other role.
    pub(crate) fn send(&mut self, to: PeerId, message: Message) {
        if to == self.me {
            self.out.loopback.push_back(message);
        } else {
            self.out.effects.push(Effect::Send { to, message });
        }
    }

    /// Keeps a payload's bytes in the store while something rests on them; every pin is taken back once.
    pub(crate) fn pin(&mut self, payload: &Payload) {
        self.out.effects.extend(payload.blob().map(Effect::Pin));
    }

    pub(crate) fn unpin(&mut self, payload: &Payload) {
        self.out.effects.extend(payload.blob().map(Effect::Unpin));
    }

    /// Replaces bytes that are too long for a gossip by their name, and keeps them where others can fetch them.
    pub(crate) fn by_name(&mut self, payload: &mut Payload, inline_max: usize) {
        let Payload::Inline(bytes) = payload else { return };
        if bytes.len() <= inline_max {
            return;
        }
        let named = Payload::Blob { id: BlobId::of(bytes), bytes: bytes.len() as u64 };
        self.out.effects.push(Effect::Stash(bytes.clone()));
        *payload = named;
    }

    /// Counts so many things that are looked at one by one because a peer said so.
    pub(crate) fn look(&mut self, count: usize) {
        self.out.looked = self.out.looked.saturating_add(count as u64);
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
        self.draw()
    }

    /// Chance: any number, evenly drawn.
    pub(crate) fn draw(&mut self) -> u64 {
        self.out.rng.next_u64()
    }
}
