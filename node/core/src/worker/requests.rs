//! What others want of this worker: the calls that it heard, the owners that told of a backlog, and whose turn it is. It
//! promises nothing; [`super::bidder`] does.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{CallId, PeerId};
use crate::message::{Call, Class};
use crate::policy::order::{self, Claim, Turn};
use crate::policy::share::Shares;
use crate::policy::wide;
use crate::task::TaskKey;
use crate::time::Time;

/// Calls remembered for one owner; beyond it a new one is declined.
const CALLS_PER_OWNER_MAX: usize = 64;
/// Calls remembered in all; beyond it a new one is declined.
const CALLS_MAX: usize = 4096;

/// A call, by its owner and its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CallKey {
    pub(super) owner: PeerId,
    pub(super) call: CallId,
}

/// A call whose time is not over.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) call: Call,
    /// What its tasks' names have in common.
    pub(super) key: TaskKey,
    /// Tasks that the owner still has for us, by its last word less what we were awarded since.
    pub(super) wanted: u32,
    /// Tasks for which slots are promised now.
    pub(super) promised: u32,
    expires_at: Time,
    /// The least recently served goes first.
    turn: u64,
    /// When it should be done, by its owner's last word.
    pub(super) due: Option<Time>,
    /// Since when none of it was served, by its owner's last word, or when we last served it.
    waits_since: Time,
}

impl OpenCall {
    /// Tasks for which nothing is promised yet.
    pub(super) fn unpromised(&self) -> u32 {
        self.wanted.saturating_sub(self.promised)
    }

    /// How long none of it was served, in microseconds.
    pub(super) fn waited_us(&self, now: Time) -> u64 {
        now.since_us(self.waits_since)
    }

    /// The class that it counts as for having waited.
    pub(super) fn aged_class(&self, now: Time) -> Class {
        order::aged(self.call.class, self.waited_us(now))
    }

    /// Whether, being next and finding too little room, it keeps others from what becomes free.
    pub(super) fn holds_up(&self, now: Time, me: PeerId) -> bool {
        self.call.needs.width() == 1 || wide::keeps(me, self.call.call, self.waited_us(now))
    }
}

/// What a repeated call says anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) count: u32,
    pub(super) due: Option<Time>,
    waits_since: Time,
    expires_at: Time,
}

impl Wish {
    /// What a call says that is remembered for so long.
    pub(super) fn of(call: &Call, now: Time, ttl_ms: u64) -> Self {
        Self {
            count: call.count,
            due: call.deadline_ms.map(|ms| now.plus_ms(u64::from(ms))),
            waits_since: Time(now.0.saturating_sub(1000 * u64::from(call.waited_ms))),
            expires_at: now.plus_ms(ttl_ms),
        }
    }
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Requests {
    calls: BTreeMap<CallKey, OpenCall>,
    /// No call ends earlier.
    next_end: Option<Time>,
    next_turn: u64,
    /// Time used by each owner.
    pub(super) shares: Shares,
    /// Owners whose last bid ran out unused, and when; they come last until they use one, or until others who waited
    /// count as more urgent.
    unused_bids: BTreeMap<PeerId, Time>,
    /// Owners that told of a backlog since we last bid to them.
    pub(super) backlogged: BTreeSet<PeerId>,
    /// Owners that were told of no free slot, and are told again when there is one.
    pub(super) awaiting_slots: BTreeSet<PeerId>,
}

impl Requests {
    // ---- calls

    pub(super) fn get(&self, key: CallKey) -> Option<&OpenCall> {
        self.calls.get(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether one more call of that owner is one too many.
    pub(super) fn is_full_for(&self, key: CallKey) -> bool {
        let full = self.calls.len() >= CALLS_MAX || self.names_of(key.owner).count() >= CALLS_PER_OWNER_MAX;
        full && !self.calls.contains_key(&key)
    }

    /// The calls of an owner.
    fn names_of(&self, owner: PeerId) -> impl Iterator<Item = CallId> + '_ {
        let key = |call| CallKey { owner, call: CallId(call) };
        self.calls.range(key(0)..=key(u64::MAX)).map(|(key, _)| key.call)
    }

    /// The calls that are remembered.
    pub(super) fn keys(&self) -> impl Iterator<Item = CallKey> + '_ {
        self.calls.keys().copied()
    }

    /// Remembers a call, or what it says anew.
    pub(super) fn hear(&mut self, key: CallKey, call: Call, task_key: TaskKey, wish: Wish) {
        let Wish { count, due, waits_since, expires_at } = wish;
        let turn = self.next_turn;
        self.next_turn += 1;
        let open = self.calls.entry(key).or_insert_with(|| OpenCall {
            call,
            key: task_key,
            wanted: count,
            promised: 0,
            expires_at,
            turn,
            due,
            waits_since,
        });
        (open.wanted, open.due) = (count, due);
        (open.waits_since, open.expires_at) = (waits_since, expires_at);
        self.next_end.get_or_insert(expires_at);
    }

    pub(super) fn remove(&mut self, key: CallKey) {
        self.calls.remove(&key);
    }

    /// An owner is gone: nothing is remembered of it.
    pub(super) fn forget(&mut self, owner: PeerId) {
        let names: Vec<CallId> = self.names_of(owner).collect();
        for call in names {
            self.calls.remove(&CallKey { owner, call });
        }
        self.unused_bids.remove(&owner);
        self.backlogged.remove(&owner);
        self.awaiting_slots.remove(&owner);
    }

    /// Ends what was not repeated in time.
    pub(super) fn expire(&mut self, now: Time) {
        if self.next_end.is_some_and(|at| at <= now) {
            self.calls.retain(|_, open| open.expires_at > now);
            self.next_end = self.calls.values().map(|open| open.expires_at).min();
        }
    }

    pub(super) fn next_end(&self) -> Option<Time> {
        self.next_end
    }

    /// An owner tells of tasks that wait, or of none.
    pub(super) fn on_backlog(&mut self, owner: PeerId, waits: bool) {
        if waits {
            self.backlogged.insert(owner);
        } else {
            self.backlogged.remove(&owner);
        }
    }

    // ---- what becomes of promises

    /// Slots for tasks of a call are promised; it goes behind the others.
    pub(super) fn on_bid(&mut self, key: CallKey, tasks: u32) {
        let open = self.calls.get_mut(&key).expect("a call that is bid for is open");
        open.promised += tasks;
        open.turn = self.next_turn;
        self.next_turn += 1;
    }

    /// Tasks of a call came, and this many wait on.
    pub(super) fn on_award(&mut self, now: Time, key: CallKey, count: u32, left: u32) {
        if count > 0 {
            self.on_used(key.owner);
        }
        self.on_promise_ended(key, count);
        if let Some(open) = self.calls.get_mut(&key) {
            open.wanted = left;
            open.waits_since = now;
        }
    }

    /// An owner used what it was offered.
    pub(super) fn on_used(&mut self, owner: PeerId) {
        self.unused_bids.remove(&owner);
    }

    /// Slots for this many tasks are promised to a call no more, if it is still open.
    pub(super) fn on_promise_ended(&mut self, key: CallKey, tasks: u32) {
        if let Some(open) = self.calls.get_mut(&key) {
            // A call that was declined and came again knows nothing of what was promised before.
            open.promised = open.promised.saturating_sub(tasks);
        }
    }

    /// The owner did not use its bid: nothing more is offered to that call before the owner says again what it wants.
    pub(super) fn on_unused(&mut self, key: CallKey, tasks: u32) {
        self.on_promise_ended(key, tasks);
        if let Some(open) = self.calls.get_mut(&key) {
            open.wanted = open.wanted.saturating_sub(tasks);
        }
    }

    /// An owner's credit ended: it is not told of slots unasked.
    pub(super) fn on_credit_ended(&mut self, owner: PeerId) {
        self.awaiting_slots.remove(&owner);
    }

    /// A bid to an owner ran out unused.
    pub(super) fn on_expired(&mut self, now: Time, key: CallKey, tasks: u32) {
        self.unused_bids.insert(key.owner, now);
        self.on_unused(key, tasks);
    }

    // ---- whose turn it is

    /// The calls that want more than they were offered, of owners for which that holds.
    pub(super) fn wanting<'a>(
        &'a self,
        takes: impl Fn(PeerId) -> bool + 'a,
    ) -> impl Iterator<Item = (CallKey, &'a OpenCall)> + 'a {
        let all = self.calls.iter().map(|(key, open)| (*key, open));
        all.filter(move |(key, open)| open.wanted > open.promised && takes(key.owner))
    }

    /// The place of a call of that owner among those that wait.
    pub(super) fn turn_of_call(&self, now: Time, owner: PeerId, open: &OpenCall) -> Turn {
        order::turn(&Claim {
            wasteful: self.leaves_unused(owner, now),
            class: open.call.class,
            waited_us: open.waited_us(now),
            due: open.due,
            used_us: self.shares.used_us(owner),
            turn: open.turn,
        })
    }

    /// The place of an owner's short tasks among the calls that wait.
    pub(super) fn turn_on_credit(&self, now: Time, owner: PeerId, class: Class) -> Turn {
        order::turn(&Claim {
            wasteful: self.leaves_unused(owner, now),
            class,
            waited_us: 0,
            due: None,
            used_us: self.shares.used_us(owner),
            turn: self.next_turn,
        })
    }

    /// Whether an owner let a bid run out unused lately, and used none since.
    fn leaves_unused(&self, owner: PeerId, now: Time) -> bool {
        self.unused_bids.get(&owner).is_some_and(|at| now.since_us(*at) < order::AGE_US)
    }
}
