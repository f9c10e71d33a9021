//! What a worker knows when it is asked for slots: what it can run, when, and whose turn it is. It only reads; the
//! [`super::bidder`] promises by it, and this node's own owner is answered by it.

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
use crate::policy::rank::wait_us;
use crate::policy::{admission, fit, window};
use crate::time::Time;

/// The parts of a worker that decide what it may promise.
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

    /// Why nothing is promised to a call, whatever is free.
    pub(super) fn refusal(self, owner: PeerId, call: &Call) -> Option<Refusal> {
        let Call { program, needs, class, .. } = call;
        let task = fit::Task { owner, needs, program, class: *class };
        self.identity.inability(task).or_else(|| {
            let full = self.requests.is_full_for(CallKey { owner, call: call.call });
            full.then(|| Refusal::for_now(Reason::TooManyCalls))
        })
    }

    /// Why a task of a call can't be done here by when it is due.
    pub(super) fn too_late(self, now: Time, owner: PeerId, call: &Call, due: Option<Time>) -> Option<Reason> {
        let left_us = due?.since_us(now);
        let service_us = self.stats.estimate_us(owner, call.job);
        let start_us = self.room().start_in_us(call.class, call.needs.width());
        admission::late(start_us, u64::from(service_us), left_us)
    }

    /// When a short task of this node's own would begin here, in microseconds from now, behind `more` that are on their
    /// way; `None` when there is no room.
    pub(super) fn wait_here_us(self, class: Class, service_us: u32, more: u32) -> Option<u64> {
        let room = self.room();
        let short = room.short(class);
        let held = short.held + more;
        if held >= window::slots_to_offer(short.slots, service_us, 0) || room.left() <= more {
            return None;
        }
        Some(wait_us(u64::from(held), short.slots, service_us))
    }

    // ---- whose turn it is

    /// The calls that want more than they were offered, of owners that take their outcomes.
    pub(super) fn wanting(self) -> impl Iterator<Item = (CallKey, &'a OpenCall)> {
        self.requests.wanting(move |owner| self.outbox.takes(owner))
    }

    /// The same, in order of their turns.
    pub(super) fn queue(self, now: Time) -> Vec<(Turn, CallKey)> {
        let turn = |key: CallKey, open| (self.requests.turn_of_call(now, key.owner, open), key);
        let mut turns: Vec<_> = self.wanting().map(|(key, open)| turn(key, open)).collect();
        turns.sort_unstable();
        turns
    }

    /// The owner whose short tasks that are here come before all others', and where among the calls.
    pub(super) fn first_on_credit(self, now: Time) -> Option<(Turn, PeerId)> {
        let all = self.ledger.credits.at_work();
        all.map(|(owner, class)| (self.requests.turn_on_credit(now, owner, class), owner)).min()
    }

    /// Whether a call of another owner waits whose turn it is before more short tasks of that owner.
    pub(super) fn is_others_turn(self, now: Time, owner: PeerId, class: Class) -> bool {
        if self.requests.is_empty() {
            return false;
        }
        let turn = self.requests.turn_on_credit(now, owner, class);
        self.wanting().filter(|(key, _)| key.owner != owner).any(|(key, open)| {
            self.requests.turn_of_call(now, key.owner, open) < turn
                && self.too_late(now, key.owner, &open.call, open.due).is_none()
                && open.holds_up(now, self.identity.me)
        })
    }
}
