//! Demand: the open calls, the owners that reported a backlog, and the fair-share order in which they are served. It
//! promises nothing; [`super::bidder`] reads it and bids.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{CallId, PeerId};
use crate::message::{Call, Class};
use crate::policy::multi_slot;
use crate::policy::order::{self, Candidate, Turn};
use crate::policy::share::Shares;
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

/// A call that has not expired.
#[derive(Debug)]
pub(super) struct OpenCall {
    pub(super) call: Call,
    /// The part of its tasks' ids that they share.
    pub(super) key: TaskKey,
    /// Tasks that the owner still wants run, by its last message less what it awarded since.
    pub(super) wanted: u32,
    /// Tasks for which slots are promised now.
    pub(super) promised: u32,
    expires_at: Time,
    /// Order of service: the call that was bid for longest ago has the lowest.
    turn: u64,
    /// Its deadline, by its owner's last message.
    pub(super) due: Option<Time>,
    /// When one of its tasks was awarded last, here or, by its owner's last message, anywhere.
    waits_since: Time,
}

impl OpenCall {
    /// Tasks for which nothing is promised yet.
    pub(super) fn unpromised(&self) -> u32 {
        self.wanted.saturating_sub(self.promised)
    }

    /// Time until its deadline, in microseconds; `None` without one.
    pub(super) fn left_us(&self, now: Time) -> Option<u64> {
        self.due.map(|due| due.since_us(now))
    }

    /// How long none of its tasks was awarded, in microseconds.
    pub(super) fn waited_us(&self, now: Time) -> u64 {
        now.since_us(self.waits_since)
    }

    /// Its class, raised for the time that it waited.
    pub(super) fn aged_class(&self, now: Time) -> Class {
        order::aged(self.call.class, self.waited_us(now))
    }

    /// Whether the calls behind it wait while it is next and finds too few free slots.
    pub(super) fn holds_up(&self, now: Time, me: PeerId) -> bool {
        self.call.needs.task_slots() == 1 || multi_slot::reserves(me, self.call.call, self.waited_us(now))
    }
}

/// The fields of a call that each repetition updates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) count: u32,
    pub(super) due: Option<Time>,
    waits_since: Time,
    expires_at: Time,
}

impl Wish {
    /// The fields of a call that is remembered for `ttl_ms` from now.
    pub(super) fn of(call: &Call, now: Time, ttl_ms: u64) -> Self {
        Self {
            count: call.count,
            due: call.deadline_ms.map(|ms| now.plus_ms(u64::from(ms))),
            waits_since: Time(now.0.saturating_sub(1000 * u64::from(call.waited_ms))),
            expires_at: now.plus_ms(ttl_ms),
        }
    }
}

/// All demand that this worker knows of.
#[derive(Debug, Default)]
pub(super) struct Requests {
    calls: BTreeMap<CallKey, OpenCall>,
    /// No call expires earlier.
    next_end: Option<Time>,
    next_turn: u64,
    /// Slot time used by each owner.
    pub(super) shares: Shares,
    /// Owners that let their last bid expire unused, and when. They are served last until they use one, or for the time
    /// in which a waiting call gains a class.
    unused_bids: BTreeMap<PeerId, Time>,
    /// Owners that reported a backlog since this worker last granted them credit for it.
    pub(super) backlogged: BTreeSet<PeerId>,
    /// Owners whose last grant of credit reported no free slot; they are sent another when there is one.
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

    /// Whether a bound forbids to remember one more call of that owner.
    pub(super) fn is_full_for(&self, key: CallKey) -> bool {
        let full = self.calls.len() >= CALLS_MAX || self.names_of(key.owner).count() >= CALLS_PER_OWNER_MAX;
        full && !self.calls.contains_key(&key)
    }

    /// The ids of an owner's open calls.
    fn names_of(&self, owner: PeerId) -> impl Iterator<Item = CallId> + '_ {
        let key = |call| CallKey { owner, call: CallId(call) };
        self.calls.range(key(0)..=key(u64::MAX)).map(|(key, _)| key.call)
    }

    /// The calls that are remembered.
    pub(super) fn keys(&self) -> impl Iterator<Item = CallKey> + '_ {
        self.calls.keys().copied()
    }

    /// Remembers a new call, or updates a repeated one.
    pub(super) fn hear(&mut self, key: CallKey, call: Call, task_key: TaskKey, wish: Wish) {
        let Wish { count, due, waits_since, expires_at } = wish;
        let (turn, terms) = (self.next_turn, call.terms);
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
        // What it is to compute anew it may have been free to remember before.
        open.call.terms = terms;
        (open.wanted, open.due) = (count, due);
        (open.waits_since, open.expires_at) = (waits_since, expires_at);
        self.next_end.get_or_insert(expires_at);
    }

    pub(super) fn remove(&mut self, key: CallKey) {
        self.calls.remove(&key);
    }

    /// Forgets an owner that disconnected or restarted.
    pub(super) fn forget(&mut self, owner: PeerId) {
        let names: Vec<CallId> = self.names_of(owner).collect();
        for call in names {
            self.calls.remove(&CallKey { owner, call });
        }
        self.unused_bids.remove(&owner);
        self.backlogged.remove(&owner);
        self.awaiting_slots.remove(&owner);
    }

    /// Removes calls that were not repeated in time.
    pub(super) fn expire(&mut self, now: Time) {
        if self.next_end.is_some_and(|at| at <= now) {
            self.calls.retain(|_, open| open.expires_at > now);
            self.next_end = self.calls.values().map(|open| open.expires_at).min();
        }
    }

    pub(super) fn next_end(&self) -> Option<Time> {
        self.next_end
    }

    /// An owner reported that tasks wait, or that none does.
    pub(super) fn on_backlog(&mut self, owner: PeerId, waits: bool) {
        if waits {
            self.backlogged.insert(owner);
        } else {
            self.backlogged.remove(&owner);
        }
    }

    // ---- what becomes of promises

    /// A bid was made for tasks of a call, which goes to the end of the order of service.
    pub(super) fn on_bid(&mut self, key: CallKey, tasks: u32) {
        let open = self.calls.get_mut(&key).expect("a call that is bid for is open");
        open.promised += tasks;
        open.turn = self.next_turn;
        self.next_turn += 1;
    }

    /// An award used a bid for tasks of a call; its owner says that `left` tasks still wait.
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

    /// An owner used a promise.
    pub(super) fn on_used(&mut self, owner: PeerId) {
        self.unused_bids.remove(&owner);
    }

    /// A promise for this many tasks of a call ended, used or not.
    pub(super) fn on_promise_ended(&mut self, key: CallKey, tasks: u32) {
        if let Some(open) = self.calls.get_mut(&key) {
            // A call that was declined and then repeated does not count what was promised to it before.
            open.promised = open.promised.saturating_sub(tasks);
        }
    }

    /// An owner has no use for a bid: its call gets no further one until its owner repeats it, or awards tasks of it. What
    /// was released at once would be bid for again at once.
    pub(super) fn on_released(&mut self, key: CallKey, tasks: u32) {
        self.on_promise_ended(key, tasks);
        if let Some(open) = self.calls.get_mut(&key) {
            open.wanted = 0;
        }
    }

    /// An owner's credit ended: it is not sent another grant when a slot is free.
    pub(super) fn on_credit_ended(&mut self, owner: PeerId) {
        self.awaiting_slots.remove(&owner);
    }

    /// A bid expired unused: its owner is served last for a while.
    pub(super) fn on_expired(&mut self, now: Time, key: CallKey, tasks: u32) {
        self.unused_bids.insert(key.owner, now);
        self.on_promise_ended(key, tasks);
        if let Some(open) = self.calls.get_mut(&key) {
            open.wanted = open.wanted.saturating_sub(tasks);
        }
    }

    // ---- order of service

    /// The calls with tasks that no bid covers, of the owners that `takes` accepts.
    pub(super) fn wanting<'a>(
        &'a self,
        takes: impl Fn(PeerId) -> bool + 'a,
    ) -> impl Iterator<Item = (CallKey, &'a OpenCall)> + 'a {
        let all = self.calls.iter().map(|(key, open)| (*key, open));
        all.filter(move |(key, open)| open.wanted > open.promised && takes(key.owner))
    }

    /// The place of a call in the order of service.
    pub(super) fn turn_of_call(&self, now: Time, owner: PeerId, open: &OpenCall) -> Turn {
        order::turn(&Candidate {
            unused_bids: self.leaves_unused(owner, now),
            class: open.call.class,
            waited_us: open.waited_us(now),
            due: open.due,
            used_us: self.shares.used_us(owner),
            turn: open.turn,
        })
    }

    /// The place of an owner's tasks on credit in the order of service.
    pub(super) fn turn_on_credit(&self, now: Time, owner: PeerId, class: Class) -> Turn {
        order::turn(&Candidate {
            unused_bids: self.leaves_unused(owner, now),
            class,
            waited_us: 0,
            due: None,
            used_us: self.shares.used_us(owner),
            turn: self.next_turn,
        })
    }

    /// Whether an owner let a bid expire unused lately, and has used none since.
    fn leaves_unused(&self, owner: PeerId, now: Time) -> bool {
        self.unused_bids.get(&owner).is_some_and(|at| now.since_us(*at) < order::AGE_US)
    }
}
