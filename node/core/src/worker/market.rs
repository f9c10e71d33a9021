//! Read-only answers about the market: what can run here and when, and which owner is served next. The
//! [`super::bidder`] promises by them, and this node's own owner asks the same.

use alloc::vec::Vec;

use super::identity::{Identity, Refusal};
use super::ledger::Ledger;
use super::outbox::Outbox;
use super::requests::{CallKey, OpenCall, Requests};
use super::room::Room;
use super::runs::RunQueue;
use super::runtimes::Runtimes;
use crate::id::PeerId;
use crate::message::{Call, Class, Reason};
use crate::policy::order::Turn;
use crate::policy::{admission, fit};
use crate::time::Time;

/// The parts of a worker that these answers come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Market<'a> {
    pub(super) identity: &'a Identity,
    pub(super) requests: &'a Requests,
    pub(super) ledger: &'a Ledger,
    pub(super) runs: &'a RunQueue,
    pub(super) stats: &'a Runtimes,
    pub(super) outbox: &'a Outbox,
}

impl<'a> Market<'a> {
    pub(super) fn room(self) -> Room<'a> {
        Room { slots: self.identity.slots, runs: self.runs, ledger: self.ledger }
    }

    /// Why a call is declined, whatever is free.
    pub(super) fn refusal(self, owner: PeerId, call: &Call) -> Option<Refusal> {
        let Call { program, needs, class, .. } = call;
        let task = fit::Task { owner, needs, program, class: *class };
        self.identity.inability(task).or_else(|| {
            let full = self.requests.is_full_for(CallKey { owner, call: call.call });
            full.then(|| Refusal::for_now(Reason::TooManyCalls))
        })
    }

    /// Why a task of a call can't be done here in the time that is left, in microseconds; `None` of it is no deadline.
    pub(super) fn too_late(self, owner: PeerId, call: &Call, left_us: Option<u64>) -> Option<Reason> {
        let left_us = left_us?;
        let service_us = self.stats.estimate_us(owner, call.job);
        let start_us = self.room().start_in_us(call.class, call.needs.task_slots());
        admission::late(start_us, u64::from(service_us), left_us)
    }

    // ---- order of service

    /// The calls with tasks that no bid covers, of owners that acknowledge their outcomes.
    pub(super) fn wanting(self) -> impl Iterator<Item = (CallKey, &'a OpenCall)> {
        self.requests.wanting(move |owner| self.outbox.takes(owner))
    }

    /// The same, in order of service.
    pub(super) fn queue(self, now: Time) -> Vec<(Turn, CallKey)> {
        let turn = |key: CallKey, open| (self.requests.turn_of_call(now, key.owner, open), key);
        let mut turns: Vec<_> = self.wanting().map(|(key, open)| turn(key, open)).collect();
        turns.sort_unstable();
        turns
    }

    /// The first owner with held tasks on credit, and its place in the order of service.
    pub(super) fn first_on_credit(self, now: Time) -> Option<(Turn, PeerId)> {
        let all = self.ledger.credits.at_work();
        all.map(|(owner, class)| (self.requests.turn_on_credit(now, owner, class), owner)).min()
    }

    /// Whether a call of another owner is served before more tasks on credit of that owner.
    pub(super) fn is_others_turn(self, now: Time, owner: PeerId, class: Class) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        let turn = self.requests.turn_on_credit(now, owner, class);
        self.wanting().filter(|(key, _)| key.owner != owner).any(|(key, open)| {
            self.requests.turn_of_call(now, key.owner, open) < turn
                && self.too_late(key.owner, &open.call, open.left_us(now)).is_none()
                && open.holds_up(now, self.identity.me)
        })
    }
}
