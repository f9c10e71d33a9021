//! Routes what time and the peers' comings and goings bring to the features. The rest of `owner/mod.rs`, in a file of
//! its own for its length.

use alloc::vec::Vec;

use super::agenda::Alarm;
use super::books::OwnerCtx;
use super::ending::expired;
use super::record::{self, known};
use super::{
    Owner, absent, edges, end_job, fetching, gather, holding, lease_upkeep, retry, say_safe, speculation,
    verification,
};
use crate::config::MeshConfig;
use crate::ctx::Ctx;
use crate::host::Reach;
use crate::id::{JobId, LeaseId, PeerId};
use crate::membership::Membership;
use crate::message::Holding;
use crate::time::{Soonest, Time};

impl Owner {
    // ---- peers and time

    pub(crate) fn on_peer_up(&mut self, members: &Membership, peer: PeerId) {
        self.fencing.on_back(peer, members.count_connected());
        for (name, record) in &mut self.records {
            if let Some(open) = &mut record.dispatch.call {
                open.forget_asked(peer);
                self.books.dirty.insert(*name);
            }
        }
    }

    /// A peer is connected: it is asked what it holds of jobs that go on under another epoch.
    pub(crate) fn ask_holding(&self, ctx: &mut Ctx<'_>, peer: PeerId) {
        holding::ask(ctx, &self.records, peer);
    }

    /// The same peer is told who may lead jobs of which it may hold something, behind the word that they are led here.
    pub(crate) fn name_keepers(&self, ctx: &mut Ctx<'_>, peer: PeerId) {
        holding::name_all_keepers(ctx, &self.records, peer);
    }

    /// A worker says what it holds of a job.
    pub(crate) fn on_holding(
        &mut self,
        ctx: &mut Ctx<'_>,
        members: &mut Membership,
        from: PeerId,
        holding: Holding,
    ) {
        let Self { records, books, .. } = self;
        match records.get_mut(&holding.job).filter(|record| !record.job.ended) {
            Some(record) => holding::on_holding(&mut OwnerCtx { ctx, members, books }, record, from, holding),
            None => ctx.counters.dropped += 1,
        }
    }

    /// Peers came or went. If others have votes than `before`, all that was said is counted anew.
    pub(crate) fn on_voters(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, before: Reach) {
        let Self { records, books, .. } = self;
        if members.voters() != before {
            let mut cx = OwnerCtx { ctx, members, books };
            records.values_mut().for_each(|record| verification::recount(&mut cx, record));
        }
    }

    /// Its bids are void. A closed connection is a hint that its leases are, too: they get a short grace in which it
    /// may come back and renew them. A silent peer's leases run their time (`grace_ms` is `None`).
    pub(crate) fn on_peer_down(&mut self, ctx: &Ctx<'_>, peer: PeerId, grace_ms: Option<u64>) {
        for open in self.records.values_mut().filter_map(|record| record.dispatch.call.as_mut()) {
            open.on_peer_down(peer, ctx.now);
            self.books.calls.remind(open.due());
        }
        self.credit.forget(peer);
        // Others gave up a node that slept; that says nothing about them.
        if let Some(grace_ms) = grace_ms.filter(|_| self.fencing.holds(ctx.now, true).is_none()) {
            let soon = ctx.now.plus_ms(grace_ms);
            lease_upkeep::shorten(&mut self.books, &mut self.records, peer, soon);
        }
    }

    /// A peer fell silent.
    pub(crate) fn on_silent(&mut self, ctx: &Ctx<'_>, members: &Membership, peer: PeerId) {
        self.fencing.on_silent(ctx.now, ctx.mesh, peer, members.count_connected());
    }

    /// An input comes: if a lease should have been looked at long ago, this node slept.
    pub(crate) fn on_woken(&mut self, now: Time, mesh: &MeshConfig) {
        if let Some(due) = self.books.leases.first_end() {
            self.fencing.on_late(now, mesh, due);
        }
    }

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership) {
        while let Some(lease) = self.books.leases.due(ctx.now) {
            self.on_lease_due(ctx, members, lease);
        }
        while let Some(alarm) = self.books.agenda.pop_due(ctx.now) {
            self.on_alarm(ctx, members, alarm);
        }
        fetching::try_again(ctx, &mut self.books, &self.records);
        for (worker, leases) in self.credit.acks_due(ctx.now) {
            say_safe(ctx, members, worker, &leases);
        }
        if self.books.calls.take_due(ctx.now) {
            self.repeat_calls(ctx.now);
        }
    }

    fn on_lease_due(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, lease: LeaseId) {
        let Self { records, books, matchmakers, fencing, .. } = self;
        let mut cx = OwnerCtx { ctx, members, books };
        if cx.books.keeping.stops(&known(records, lease.job).job) {
            return lease_upkeep::put_off(&mut cx, records, lease);
        }
        if !lease_upkeep::fence(&mut cx, fencing, records, lease) {
            let worker = record::leased(records, lease).worker();
            matchmakers.on_mismatched(cx.ctx, worker);
            retry::on_lease_ended(&mut cx, known(records, lease.job), lease);
        }
    }

    fn on_alarm(&mut self, ctx: &mut Ctx<'_>, members: &mut Membership, alarm: Alarm) {
        let Self { records, books, fencing, .. } = self;
        let slept = fencing.slept(ctx.now);
        let mut cx = OwnerCtx { ctx, members, books };
        if records.get(&alarm.job()).is_some_and(|record| cx.books.keeping.stops(&record.job)) {
            return;
        }
        match alarm {
            Alarm::Start(name) => cx.touch(name),
            Alarm::Expire(name) => {
                let outcome = expired(&known(records, name).job);
                end_job(&mut cx, records, name, &outcome);
            }
            Alarm::Retry(name, index) => retry::on_backoff_over(&mut cx, known(records, name), index),
            Alarm::GiveUp(name, index) => retry::give_up(&mut cx, known(records, name), index),
            Alarm::AskEnd(parent) => absent::ask(&mut cx, records, parent),
            Alarm::Read(parent) => edges::on_time(cx.books, parent),
            // These are not cleared when the job ends, which may be retired by now.
            Alarm::Gather(name) => {
                if let Some(record) = records.get_mut(&name) {
                    gather::on_time(&mut cx, record);
                }
            }
            Alarm::Answers(name) => {
                if let Some(record) = records.get_mut(&name) {
                    holding::on_time_over(&mut cx, record);
                }
            }
            Alarm::Speculate(name) => {
                if let Some(record) = records.get_mut(&name) {
                    speculation::on_check(&mut cx, record, slept);
                }
            }
        }
    }

    /// Has those calls repeated whose time has come, and notes when the next one's does.
    fn repeat_calls(&mut self, now: Time) {
        let Self { records, books, .. } = self;
        let names: Vec<JobId> = books.calls.jobs().collect();
        for name in names {
            let due = known(records, name).dispatch.open_call().due();
            if due <= now {
                books.dirty.insert(name);
            } else {
                books.calls.remind(due);
            }
        }
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.books.leases.first_end(), "a lease ends");
        next.at(self.books.calls.due_at(), "a call is repeated");
        next.at(self.books.fetches.shortage.next_wakeup(), "room for outcomes is looked for");
        next.at(self.books.keeping.next_wakeup(), "what was gathered of kept jobs is written");
        next.or(self.books.agenda.next_wakeup());
        self.credit.next_wakeup(&mut next);
        next.get()
    }
}
