//! Seeks that wait at an exchange, and what they may take of its memory: by number and by bytes, of one owner and of all.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::RangeInclusive;

use super::{Exchange, SWEEP_MS, Turn, Waiting};
use crate::ctx::Ctx;
use crate::id::{CallId, PeerId};
use crate::message::Message;
use crate::referral::{CellWord, Seek};

/// Seeks of one owner that wait; beyond it a new one is dropped, and its owner asks elsewhere.
const SEEKS_PER_OWNER_MAX: usize = 256;
/// Seeks that wait; beyond it a new one is dropped, and its owner asks elsewhere.
const SEEKS_MAX: usize = 16_384;
/// Memory of the seeks of one owner that wait, in bytes; beyond it a new one is dropped, and its owner asks elsewhere.
const SEEKS_BYTES_PER_OWNER_MAX: usize = 1 << 20;
/// The same of all owners together.
const SEEKS_BYTES_MAX: usize = 64 << 20;

impl Exchange {
    /// Nobody stands for it: it waits here, where it waited before if it did, and its owner is told.
    pub(super) fn keep(&mut self, ctx: &mut Ctx<'_>, owner: PeerId, seek: Seek, kept: Option<Turn>) -> bool {
        if !self.has_room(owner, seek.kept_bytes()) {
            ctx.counters.dropped += 1;
            return false;
        }
        *self.seek_bytes_of.entry(owner).or_default() += seek.kept_bytes();
        self.seek_bytes += seek.kept_bytes();
        let turn = kept.filter(|(Reverse(class), _)| *class == seek.class);
        let turn = turn.unwrap_or_else(|| (Reverse(seek.class), self.turn()));
        let (call, desk, count) = (seek.call, seek.desk, seek.count);
        self.places.insert((owner, call, desk), turn);
        let expires_at = ctx.now.plus_ms(ctx.mesh.call_ttl_ms);
        self.waiting.insert(turn, Waiting { owner, seek, expires_at });
        self.sweep_at.get_or_insert(ctx.now.plus_ms(SWEEP_MS));
        if kept.is_some() {
            ctx.send(owner, Message::Cell(CellWord::Waits { call, desk, count }));
        } else if self.untold.len() < SEEKS_MAX {
            // Most are served before that, and their owners need no other word.
            self.untold.push_back((ctx.now.plus_ms(ctx.mesh.seek_ms / 2), turn));
        }
        true
    }

    /// Whether one more seek of an owner that takes so many bytes may wait.
    fn has_room(&self, owner: PeerId, bytes: usize) -> bool {
        let of_owner = (owner, CallId(0), 0)..=(owner, CallId(u64::MAX), u32::MAX);
        let owners = self.seek_bytes_of.get(&owner).copied().unwrap_or(0);
        self.waiting.len() < SEEKS_MAX
            && self.places.range(of_owner).count() < SEEKS_PER_OWNER_MAX
            && owners + bytes <= SEEKS_BYTES_PER_OWNER_MAX
            && self.seek_bytes + bytes <= SEEKS_BYTES_MAX
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.drop_seeks((owner, call, 0)..=(owner, call, u32::MAX));
    }

    /// It waits no more.
    pub(super) fn drop_seek(&mut self, turn: Turn) {
        let Some(Waiting { owner, seek, .. }) = self.waiting.remove(&turn) else { return };
        self.places.remove(&(owner, seek.call, seek.desk));
        let bytes = seek.kept_bytes();
        self.seek_bytes -= bytes;
        if let Some(left) = self.seek_bytes_of.get_mut(&owner) {
            *left -= bytes;
            if *left == 0 {
                self.seek_bytes_of.remove(&owner);
            }
        }
    }

    /// None of these waits any more.
    pub(super) fn drop_seeks(&mut self, places: RangeInclusive<(PeerId, CallId, u32)>) {
        let turns: Vec<Turn> = self.places.range(places).map(|(_, turn)| *turn).collect();
        turns.into_iter().for_each(|turn| self.drop_seek(turn));
    }
}
