//! Requests that wait at a matchmaker, and the bounds of their number and memory, for one owner and for all.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::RangeInclusive;

use super::{Matchmaker, SWEEP_MS, Turn, Waiting};
use crate::ctx::Ctx;
use crate::id::{CallId, PeerId};
use crate::message::Message;
use crate::referral::{BidRequest, CellMessage};

/// Waiting requests of one owner; beyond it a new one is dropped, and its owner asks elsewhere.
const REQUESTS_PER_OWNER_MAX: usize = 256;
/// Waiting requests of all owners; beyond it a new one is dropped, and its owner asks elsewhere.
const REQUESTS_MAX: usize = 16_384;
/// Memory of the waiting requests of one owner, in bytes; beyond it a new one is dropped, and its owner asks elsewhere.
const REQUESTS_BYTES_PER_OWNER_MAX: usize = 1 << 20;
/// Memory of the waiting requests of all owners, in bytes.
const REQUESTS_BYTES_MAX: usize = 64 << 20;

impl Matchmaker {
    /// Queues a request that no bid fits, in its former place if it waited before, and notifies its owner.
    pub(super) fn keep(
        &mut self,
        ctx: &mut Ctx<'_>,
        owner: PeerId,
        request: BidRequest,
        kept: Option<Turn>,
    ) -> bool {
        if !self.has_room(owner, request.kept_bytes()) {
            ctx.counters.dropped += 1;
            return false;
        }
        *self.request_bytes_of.entry(owner).or_default() += request.kept_bytes();
        self.request_bytes += request.kept_bytes();
        let turn = kept.filter(|(Reverse(class), _)| *class == request.class);
        let turn = turn.unwrap_or_else(|| (Reverse(request.class), self.turn()));
        let (call, request_id) = (request.call, request.request_id);
        self.places.insert((owner, call, request_id), turn);
        let expires_at = ctx.now.plus_ms(ctx.mesh.call_ttl_ms);
        self.waiting.insert(turn, Waiting { owner, request, expires_at });
        self.sweep_at.get_or_insert(ctx.now.plus_ms(SWEEP_MS));
        if kept.is_some() {
            ctx.send(owner, Message::Cell(CellMessage::Waits { call, request_id }));
        } else if self.untold.len() < REQUESTS_MAX {
            // Most are served before that, and need no notification.
            self.untold.push_back((ctx.now.plus_ms(ctx.mesh.request_ms / 2), turn));
        }
        true
    }

    /// Whether one more request of an owner with this memory may wait.
    fn has_room(&self, owner: PeerId, bytes: usize) -> bool {
        let of_owner = (owner, CallId(0), 0)..=(owner, CallId(u64::MAX), u32::MAX);
        let owners = self.request_bytes_of.get(&owner).copied().unwrap_or(0);
        self.waiting.len() < REQUESTS_MAX
            && self.places.range(of_owner).count() < REQUESTS_PER_OWNER_MAX
            && owners + bytes <= REQUESTS_BYTES_PER_OWNER_MAX
            && self.request_bytes + bytes <= REQUESTS_BYTES_MAX
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.drop_requests((owner, call, 0)..=(owner, call, u32::MAX));
    }

    /// Removes a waiting request.
    pub(super) fn drop_request(&mut self, turn: Turn) {
        let Some(Waiting { owner, request, .. }) = self.waiting.remove(&turn) else { return };
        self.places.remove(&(owner, request.call, request.request_id));
        let bytes = request.kept_bytes();
        self.request_bytes -= bytes;
        if let Some(left) = self.request_bytes_of.get_mut(&owner) {
            *left -= bytes;
            if *left == 0 {
                self.request_bytes_of.remove(&owner);
            }
        }
    }

    /// Removes waiting requests.
    pub(super) fn drop_requests(&mut self, places: RangeInclusive<(PeerId, CallId, u32)>) {
        let turns: Vec<Turn> = self.places.range(places).map(|(_, turn)| *turn).collect();
        turns.into_iter().for_each(|turn| self.drop_request(turn));
    }
}
