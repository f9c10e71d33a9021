//! What owners say of their calls and bids. The bidder decides; the rest of `worker/mod.rs`, in a file of its own for its
//! length.

use super::Worker;
use super::epochs::bound_keepers;
use super::requests::CallKey;
use crate::ctx::Ctx;
use crate::id::{BidId, CallId, PeerId};
use crate::membership::Membership;
use crate::message::Call;

impl Worker {
    pub(crate) fn on_call(&mut self, ctx: &mut Ctx<'_>, members: &Membership, owner: PeerId, mut call: Call) {
        bound_keepers(ctx, &mut call);
        self.bidder().on_call(ctx, members, owner, call);
    }

    pub(crate) fn on_withdraw(&mut self, owner: PeerId, call: CallId) {
        self.bidder().on_withdraw(CallKey { owner, call });
    }

    pub(crate) fn on_release(&mut self, owner: PeerId, bid: BidId) {
        self.bidder().on_release(owner, bid);
    }

    /// An owner gossiped how many of its tasks wait.
    pub(crate) fn on_backlog(&mut self, ctx: &Ctx<'_>, owner: PeerId, backlog: u32) {
        let may_ask = owner != ctx.me && self.identity.slots > 0 && self.identity.owners.takes(owner);
        self.requests.on_backlog(owner, backlog > 0 && may_ask);
    }
}
