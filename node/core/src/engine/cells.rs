//! The engine in a mesh of cells: routes its messages and passes time to the matchmaker.

use super::Engine;
use crate::audit::CellsAudit;
use crate::id::{CallId, PeerId};
use crate::referral::CellMessage;

impl Engine {
    pub(super) fn receive_cell(&mut self, from: PeerId, word: CellMessage) {
        let (mut ctx, owner, worker, members, matchmaker) = self.all_parts();
        let ctx = &mut ctx;
        if !members.cells().on() {
            // Nodes may disagree for a moment; owners repeat a lost request, or call directly.
            ctx.counters.dropped += 1;
            if let CellMessage::Claim { call: _, award } = word {
                worker.refuse(ctx, from, &award);
            }
            return;
        }
        match word {
            CellMessage::Advertise { bids, ttl_ms } => {
                matchmaker.on_advertise(ctx, members, from, bids, ttl_ms);
            }
            CellMessage::Request(request) => matchmaker.on_request(ctx, members, from, request),
            CellMessage::Waits { call, request_id } => owner.on_waits(ctx, from, call, request_id),
            CellMessage::FlockRequest { count, memory_bytes } => {
                matchmaker.on_flock_request(ctx, members, from, count, memory_bytes);
            }
            CellMessage::Flock { bids, ttl_ms } => matchmaker.on_flock(ctx, members, from, (bids, ttl_ms)),
            CellMessage::Match(word) => owner.on_matched(ctx, members, from, &word),
            CellMessage::Claim { call, award } => worker.on_claim(ctx, from, call, award),
        }
    }

    /// An owner's call is over, at the worker and at the matchmaker.
    pub(super) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.worker.on_withdraw(owner, call);
        self.matchmaker.on_withdraw(owner, call);
    }

    pub(super) fn on_time_cells(&mut self) {
        let slots = self.node.slots;
        let (mut ctx, _, _, members, matchmaker) = self.all_parts();
        matchmaker.on_time(&mut ctx, members, slots);
    }

    pub(super) fn audit_cells(&self) -> CellsAudit {
        let (advertised, advertised_bids) = self.worker.advertised();
        CellsAudit {
            advertised,
            advertised_bids,
            advertised_here: self.worker.advertised_at(self.me),
            waiting: self.matchmaker.waiting(),
            bids: self.matchmaker.advertised(),
        }
    }
}
