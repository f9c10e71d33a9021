//! The engine in a mesh of cells: routes its words, lets the exchange see what time and peers do.

use super::Engine;
use crate::audit::CellsAudit;
use crate::id::{CallId, PeerId};
use crate::referral::CellWord;

impl Engine {
    pub(super) fn receive_cell(&mut self, from: PeerId, word: CellWord) {
        let (mut ctx, owner, worker, members, exchange) = self.all_parts();
        let ctx = &mut ctx;
        if !members.cells().on() {
            // Nodes may disagree for a moment; what is lost by it is sought again, or called for directly.
            ctx.counters.dropped += 1;
            if let CellWord::Hire { call: _, award } = word {
                worker.refuse(ctx, from, &award);
            }
            return;
        }
        match word {
            CellWord::Stand { bids, ttl_ms } => exchange.on_stand(ctx, members, from, bids, ttl_ms),
            CellWord::Seek(seek) => exchange.on_seek(ctx, members, from, seek),
            CellWord::Waits { call, desk, count: _ } => owner.on_waits(ctx, from, call, desk),
            CellWord::Scout { count, memory_bytes } => {
                exchange.on_scout(ctx, members, from, count, memory_bytes);
            }
            CellWord::Lend { bids, ttl_ms } => exchange.on_lend(ctx, members, from, (bids, ttl_ms)),
            CellWord::Introduce(word) => owner.on_matched(ctx, members, from, &word),
            CellWord::Hire { call, award } => worker.on_hire(ctx, from, call, award),
        }
    }

    /// An owner needs nothing more of a call, at the worker or at the exchange.
    pub(super) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.worker.on_withdraw(owner, call);
        self.exchange.on_withdraw(owner, call);
    }

    pub(super) fn on_time_cells(&mut self) {
        let slots = self.node.slots;
        let (mut ctx, _, _, members, exchange) = self.all_parts();
        exchange.on_time(&mut ctx, members, slots);
    }

    pub(super) fn audit_cells(&self) -> CellsAudit {
        let (standing, standing_bids) = self.worker.advertised();
        CellsAudit {
            standing,
            standing_bids,
            standing_here: self.worker.advertised_at(self.me),
            waiting: self.exchange.waiting(),
            bids: self.exchange.standing(),
        }
    }
}
