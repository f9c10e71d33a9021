//! Read-only views of the engine: the snapshot, `why`, and the audit for invariants. No decisions here.

use super::Engine;
use crate::audit::Audit;
use crate::id::{JobId, PeerId};
use crate::owner::Viewpoint;
use crate::snapshot::{Owed, PeerView, Snapshot, Why};
use crate::time::Time;

impl Engine {
    /// Whether this node leads a job at level `mesh`, or is about to: its log is being read.
    #[must_use]
    pub fn leads(&self, job: JobId) -> bool {
        self.custody.leads(job)
    }

    /// Words about a job at level `mesh` that wait for a second disk, for tests; [`Audit::held_words`] counts them, too.
    #[must_use]
    pub fn held_words_about(&self, job: JobId) -> usize {
        self.owner.held_words_about(job)
    }

    /// The state of the engine.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let credit = |peer| self.owner.credit_of(peer, self.now);
        let peers = self.members.iter().map(|(peer, known)| PeerView {
            peer,
            connected: known.connected,
            gone_ms: (!known.connected).then(|| self.now.since_us(known.changed_at) / 1000),
            rtt_us: known.rtt_us,
            capacity: known.capacity.clone(),
            leased: self.owner.leased_to(peer),
            done: known.done,
            lost: known.lost,
            reputation: self.owner.reputation(self.now, peer),
            window: credit(peer).map_or(0, |room| room.saturating_add(self.owner.leased_to(peer))),
            room: credit(peer).unwrap_or(0),
        });
        Snapshot {
            me: self.me,
            capacity: self.capacity(),
            running: self.worker.handed() - self.worker.paused(),
            paused: self.worker.paused(),
            known: u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
            waiting: self.worker.held() - self.worker.handed(),
            reserved: self.worker.reserved(),
            undelivered: u32::try_from(self.worker.undelivered()).unwrap_or(u32::MAX),
            starved: self.owner.starved(),
            self_fencing: self.owner.fencing(self.now),
            peers: peers.collect(),
            jobs: self.owner.job_views(),
            kept: self.custody.views(),
            copies: self.custody.copies(),
            counters: self.counters,
        }
    }

    /// What this node owes to other owners.
    #[must_use]
    pub fn owed(&self) -> Owed {
        let of_others = |owner: PeerId| owner != self.me;
        let tasks = self.worker.leases().filter(|(owner, _)| of_others(*owner)).count();
        let awaited = |owner| of_others(owner) && self.members.is_reachable(owner);
        let outcomes = self.worker.kept().filter(|(owner, _)| awaited(*owner)).count();
        let capped = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let jobs = self.custody.handing_over();
        Owed { tasks: capped(tasks), outcomes: capped(outcomes), jobs: capped(jobs) }
    }

    /// The state of a task and why it does not run; `None` for a job or index that this node does not own.
    #[must_use]
    pub fn why(&self, now: Time, job: JobId, index: u32) -> Option<Why> {
        let fencing = self.owner.fencing(now);
        let from = Viewpoint { now, members: &self.members, own_slots: self.node.slots, fencing };
        self.owner.why(from, job, index)
    }

    /// Whether this node gives a worker a further task of its job now, by what that worker did so far; false for a job
    /// that it does not own. For invariants.
    #[must_use]
    pub fn may_give(&self, now: Time, job: JobId, worker: PeerId) -> bool {
        self.owner.may_give(now, job, worker)
    }

    /// The state that invariants are checked against.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let (held_words, held_words_bytes) = self.owner.held_words();
        Audit {
            held: self.worker.leases().collect(),
            handed: self.worker.handed(),
            paused: self.worker.paused(),
            slots: self.node.slots,
            held_slots: self.worker.held_slots(),
            busy_slots: self.worker.active_slots(),
            reserved: self.worker.reserved(),
            bid: self.worker.bid_to_callers(),
            reserved_max: crate::policy::window::offered_max(self.node.slots),
            held_max: crate::policy::window::offered_own_max(self.node.slots),
            undelivered: self.worker.undelivered(),
            kept: self.worker.kept().collect(),
            reservations_open: self.worker.reservations(),
            calls_heard: self.worker.calls_open(),
            calls_open: self.owner.calls_open(),
            leases_open: self.owner.issued().count(),
            issued: self.owner.issued().collect(),
            held_words,
            held_words_bytes,
            lease_ends: self.owner.lease_ends(),
            blamed: self.owner.blamed(self.now),
            jobs: self.owner.audits(),
            cells: self.audit_cells(),
            examined: self.out.examined(),
            memory: self.worker.memory_in_use(),
            memory_max: self.worker.memory_max(),
        }
    }
}
