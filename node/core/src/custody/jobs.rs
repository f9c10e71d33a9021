//! The jobs at level mesh that this node keeps: a [`Member`] each. Routes what happens to them, does what they want done, and
//! says what it means for the owner ([`News`]), which the engine tells. Driven by the engine; no rule of custody is decided here.

mod acts;
mod copied;
mod driver;
mod ends;
mod hearing;
mod seats;
mod views;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::blobs::Blobs;
use super::copies::{Copies, Senders};
use super::farewells::Farewells;
use super::log::MeshLog;
use super::member::{Member, Moment, Restored, Role};
use super::news::{Departed, Led, News};
use super::post::Post;
use super::shares::Shares;
use super::tombstones::Tombstones;
use super::trio::Seat;
use super::unwritten::Unwritten;
use super::writes::{Gone, Writes};
use crate::ctx::Ctx;
use crate::durable::{self, LogRecord};
use crate::effect::{Left, Remains};
use crate::id::{BlobId, JobId, PeerId};
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Message};
use crate::time::{Soonest, Time};

/// All jobs that this node keeps.
#[derive(Debug)]
pub(crate) struct Custody {
    me: Seat,
    jobs: BTreeMap<JobId, Box<Kept>>,
    shares: Shares,
    gone: Tombstones,
    farewells: Farewells,
    writes: Writes,
    blobs: Blobs,
    post: Post,
    wakes: BTreeSet<(Time, JobId)>,
    /// Jobs whose members have something to send when the input has been handled.
    appended: BTreeSet<JobId>,
    news: VecDeque<News>,
    /// What all peers are to be told that this node leads, each job in its epoch.
    begun: Vec<(JobId, u32)>,
    /// Answers that are to come for members that are gone.
    orphans: BTreeMap<JobId, Answers>,
    /// Members so far.
    serial: u64,
    /// When vacant seats are looked for, or jobs are handed over.
    looks_at: Option<Time>,
    /// The connected nodes that drained at the last look.
    drained: BTreeSet<PeerId>,
    draining: bool,
    failed: bool,
    /// The disk has little room: no further job of another node is taken.
    low: bool,
    unwritten: Unwritten,
    /// What the records of these jobs that are not to be written yet take in memory.
    waiting_bytes: usize,
    /// Of jobs of other nodes that are at level disk.
    copies: Copies,
    /// Own ones of which other nodes have copies.
    senders: Senders,
    /// Jobs whose logs were to be read as a whole and were not, and when each is asked for again.
    unread: BTreeMap<JobId, Time>,
    /// When the first of them is.
    asks_at: Option<Time>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) member: Member<LogRecord>,
    serial: u64,
    /// The node for which it counts: the one by which it came here in this life, or the first that was heard as its leader in it.
    told_by: Option<PeerId>,
    wakes_at: Option<Time>,
    /// What its records that are not to be written yet take in memory.
    waits_bytes: usize,
    /// The engine does not know yet which of the others are connected.
    is_new: bool,
    /// What the driver was asked.
    awaits: Answers,
    /// How often in a row its log was to be read as a whole and was not.
    unread: u32,
    /// The epoch in which the owner is to lead the job, once its log was read.
    begins: Option<u32>,
    /// Its user wants it tried again: the next epoch begins so.
    retried: bool,
    /// The owner, or a node that asked, wants to know how it ends, though another node leads it.
    is_parent: bool,
    /// Its member has done its work, and its log goes once it was read: the owner is to be told how the job ended.
    leaves: Option<Gone>,
    /// How it ended, if another node wanted to know: the number of the record that says so, and whether it succeeded.
    ended_as: Option<(u32, bool)>,
    /// What is to be done with it once this node leads it and its end is committed.
    wish: Option<Wish>,
    /// This node drains, and another was asked to lead it.
    handed_over: bool,
    /// Blobs that its log names and that are gone from this node's store, and those of them that are being fetched.
    lost: BTreeSet<BlobId>,
    fetched_again: BTreeSet<BlobId>,
}

/// What a user wants of an ended job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Retry,
    Forget,
}

/// Answers of the driver that are to come.
#[derive(Clone, Copy, Debug, Default)]
struct Answers {
    reads: u32,
    recalls: u32,
}

impl Custody {
    pub(crate) fn new(me: PeerId, disk: u64) -> Self {
        Self {
            me: Seat { peer: me, disk },
            jobs: BTreeMap::new(),
            shares: Shares::default(),
            gone: Tombstones::default(),
            farewells: Farewells::default(),
            writes: Writes::default(),
            blobs: Blobs::default(),
            post: Post::default(),
            wakes: BTreeSet::new(),
            appended: BTreeSet::new(),
            news: VecDeque::new(),
            begun: Vec::new(),
            orphans: BTreeMap::new(),
            serial: 0,
            looks_at: None,
            drained: BTreeSet::new(),
            draining: false,
            failed: false,
            low: false,
            unwritten: Unwritten::default(),
            waiting_bytes: 0,
            copies: Copies::default(),
            senders: Senders::default(),
            unread: BTreeMap::new(),
            asks_at: None,
        }
    }

    /// Whether this node keeps jobs of others.
    fn keeps(&self) -> bool {
        self.me.disk != 0 && !self.failed
    }

    // ---- earlier lives

    pub(crate) fn on_restore(&mut self, ctx: &mut Ctx<'_>, promised: u32, restored: &durable::Restored) {
        let job = restored.job();
        if let Some(pair) = restored.pair() {
            return self.restore_copied(ctx, pair, restored);
        }
        let Some(log) = restored.outline().filter(|_| self.keeps() && !self.jobs.contains_key(&job)) else {
            ctx.counters.dropped += 1;
            return;
        };
        let moment = moment(ctx, self.draining);
        let left = self.gone.left_at(job);
        let restored = Restored { job, me: self.me, log: log.clone(), promised, left };
        self.insert(job, Member::restored(restored, &moment));
        self.news.push_back(News::Keeps(job));
        self.perform(ctx, job);
    }

    pub(crate) fn on_restore_gone(&mut self, forgotten: &[JobId], left: &[(JobId, Left)], knows_all: bool) {
        self.gone.restore(forgotten, left, knows_all);
    }

    // ---- the other nodes

    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, restarted: bool) {
        if restarted {
            self.on_peer_down(ctx, peer);
        }
        self.each(ctx, |member, moment| member.on_connected(peer, moment));
        self.copied(ctx, |copies, senders, means| {
            copies.on_peer_up(means, peer);
            senders.on_peer_up(means, peer);
        });
        let unfinished = self.led().filter(|(_, member)| !member.has_ended());
        let led: Vec<(JobId, u32)> = unfinished.map(|(job, member)| (job, member.epoch())).collect();
        for part in led.chunks(BATCH_MAX) {
            ctx.send(peer, Message::Lead(part.to_vec()));
        }
    }

    pub(crate) fn on_peer_down(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        self.each(ctx, |member, moment| member.on_disconnected(peer, moment));
        self.farewells.on_peer_down(peer);
        self.copied(ctx, |copies, senders, means| {
            copies.on_peer_down(means, peer);
            senders.on_peer_down(means, peer);
        });
    }

    /// Each member is told something.
    fn each(&mut self, ctx: &mut Ctx<'_>, mut tell: impl FnMut(&mut Member<LogRecord>, &Moment)) {
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.with(ctx, job, &mut tell);
        }
    }

    // ---- what the user and the owner want

    /// Whether this node keeps a job.
    pub(crate) fn has(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Whether a job that another node leads has ended, and its end is committed, or a job was forgotten.
    pub(crate) fn is_over_elsewhere(&self, job: JobId) -> bool {
        let kept = self.jobs.get(&job).map(|kept| &kept.member);
        kept.map_or_else(|| self.gone.has(job), |member| member.has_ended() && member.role() != Role::Leader)
    }

    /// Its user wants something of an ended job. A follower leads it first, if the node that led it is gone. False if another
    /// leads it, or its end is not committed.
    pub(crate) fn wish(&mut self, ctx: &mut Ctx<'_>, members: &Membership, job: JobId, wish: Wish) -> bool {
        let me = self.me.peer;
        let moment = moment(ctx, self.draining);
        let Some(kept) = self.jobs.get_mut(&job) else { return false };
        let leader = acts::leader_of(&kept.member, me);
        let granted = if leader == Some(me) {
            kept.grant(wish, &moment)
        } else {
            let is_free =
                kept.member.has_ended() && leader.is_none_or(|leader| !members.is_connected(leader));
            kept.wish = is_free.then_some(wish);
            if is_free {
                kept.member.take_over(&moment);
            }
            is_free
        };
        self.perform(ctx, job);
        granted
    }

    /// The owner wants to know how a job ends that it does not lead.
    pub(crate) fn watch(&mut self, job: JobId) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.is_parent = true;
        if kept.member.has_ended() && kept.awaits.recalls == 0 {
            self.recall(job);
        }
    }

    // ---- time, and the end of each input

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, draining: bool) {
        if draining && !self.draining {
            self.looks_at = Some(ctx.now);
        }
        self.draining = draining;
        self.blobs.try_again(ctx);
        self.recall_again(ctx.now);
        self.farewells.take_due(ctx.now).into_iter().for_each(|(to, message)| self.post.add(to, message));
        self.copied(ctx, |copies, senders, means| {
            copies.on_time(means);
            senders.on_time(means);
        });
        for job in self.unwritten.take_due(ctx.now) {
            let gone = Gone { job, remains: Remains::Nothing, tell: None };
            if self.copies.has(job) { self.remove_copy(gone) } else { self.remove(job, gone) }
        }
        let due: Vec<JobId> =
            self.wakes.iter().take_while(|(at, _)| *at <= ctx.now).map(|(_, job)| *job).collect();
        for job in due {
            self.with(ctx, job, Member::on_time);
        }
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.wakes.first().map(|(at, _)| *at), "a job that three nodes keep is looked after");
        next.at(self.blobs.next_wakeup(), "bytes of a job that three nodes keep are fetched again");
        next.at(self.looks_at, "nodes that are gone or drain for long are replaced");
        next.at(self.unwritten.next_wakeup(), "jobs whose bytes never came are left");
        next.at(self.farewells.next_wakeup(), "a forgotten job is to be forgotten by all that keep it");
        next.at(self.asks_at, "a log that was not read is asked for again");
        next.at(self.copies.next_wakeup(), "owners of jobs that have copies here are asked again");
        next.at(self.senders.next_wakeup(), "a copy that did not answer is asked again");
        next.get()
    }

    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The input has been handled: what was appended is sent, and all that is to be written is emitted.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership, issue: &mut dyn FnMut() -> u64) {
        self.flush_appended(ctx, members);
        self.copied(ctx, |_, senders, means| senders.flush(means));
        self.writes.emit(ctx, issue);
        self.blobs.unpin(ctx);
        self.post.send(ctx, members);
    }

    fn flush_appended(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        if self.appended.is_empty() {
            return;
        }
        for job in core::mem::take(&mut self.appended) {
            let is_new = self.jobs.get_mut(&job).is_some_and(|kept| core::mem::take(&mut kept.is_new));
            self.with(ctx, job, |member, moment| {
                if is_new {
                    note_links(member, members, moment);
                }
                member.flush(moment);
            });
        }
    }

    /// Tells all peers what this node leads from here on.
    pub(crate) fn tell_begun(&mut self, ctx: &mut Ctx<'_>, members: &Membership) {
        let begun = core::mem::take(&mut self.begun);
        for part in begun.chunks(BATCH_MAX) {
            // This node's own worker, too.
            ctx.send(ctx.me, Message::Lead(part.to_vec()));
            for (peer, _) in members.connected() {
                ctx.send(peer, Message::Lead(part.to_vec()));
            }
        }
    }

    // ---- how others see it

    /// The jobs that this node leads.
    fn led(&self) -> impl Iterator<Item = (JobId, &Member<LogRecord>)> {
        let all = self.jobs.iter().map(|(job, kept)| (*job, &kept.member));
        all.filter(|(_, member)| member.role() == Role::Leader)
    }
}

impl MeshLog for Custody {
    fn append(&mut self, ctx: &mut Ctx<'_>, job: JobId, record: LogRecord) -> Option<u32> {
        if !self.keeps() {
            return None;
        }
        if let Some(kept) = self.jobs.get_mut(&job) {
            self.appended.insert(job);
            return kept.member.append(record);
        }
        let member = Member::found(job, self.me, record, &moment(ctx, self.draining))?;
        self.insert(job, member);
        self.look_later(ctx.now);
        Some(1)
    }

    fn on_written(&mut self, job: JobId, record: &LogRecord) {
        self.note_written(job, record);
    }
}

/// What an input of a member comes with.
fn moment(ctx: &mut Ctx<'_>, draining: bool) -> Moment {
    Moment { now: ctx.now, draw: ctx.draw(), draining }
}

/// A member begins: those that are not connected can't be asked for anything.
fn note_links(member: &mut Member<LogRecord>, members: &Membership, moment: &Moment) {
    for peer in member.log().trio().peers() {
        if !members.is_reachable(peer) {
            member.on_disconnected(peer, moment);
        }
    }
}
