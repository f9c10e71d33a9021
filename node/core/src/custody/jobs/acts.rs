//! What members want done, and how they begin and end. The rest of `custody/jobs.rs`, in a file of its own for its length.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{Answers, Custody, Departed, Kept, News, Wish, moment};
use crate::ctx::Ctx;
use crate::custody::action::Action;
use crate::custody::blobs::Wanted;
use crate::custody::member::{Member, Moment, Role};
use crate::custody::position::Position;
use crate::custody::tombstones::remains_of;
use crate::custody::writes::{Gone, Of, Order};
use crate::durable::LogRecord;
use crate::effect::{Event, Remains};
use crate::id::{JobId, PeerId};

impl Custody {
    /// Tells a member something, and does what it wants done.
    pub(super) fn with(
        &mut self,
        ctx: &mut Ctx<'_>,
        job: JobId,
        tell: impl FnOnce(&mut Member<LogRecord>, &Moment),
    ) {
        if let Some(kept) = self.jobs.get_mut(&job) {
            tell(&mut kept.member, &moment(ctx, self.draining));
            self.perform(ctx, job);
        }
    }

    pub(super) fn perform(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
        loop {
            let Some(kept) = self.jobs.get_mut(&job) else { return };
            let actions: Vec<Action<LogRecord>> = kept.member.actions().collect();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act(ctx, job, action);
            }
        }
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        let waits = kept.member.waiting_bytes();
        let before = core::mem::replace(&mut kept.waits_bytes, waits);
        self.waiting_bytes = self.waiting_bytes.saturating_sub(before).saturating_add(waits);
        let next = kept.member.next_wakeup();
        if let Some(before) = core::mem::replace(&mut kept.wakes_at, next) {
            self.wakes.remove(&(before, job));
        }
        self.wakes.extend(next.map(|at| (at, job)));
    }

    fn act(&mut self, ctx: &mut Ctx<'_>, job: JobId, action: Action<LogRecord>) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        let of = Of { job, serial: kept.serial };
        match action {
            Action::Send { to, message } => self.post.add(to, message),
            Action::Persist { seq: _, record, bytes } => {
                self.unwritten.end(job);
                self.writes.add(of, Order::Persist(Box::new(record), bytes));
            }
            Action::Cut { after } => self.writes.add(of, Order::Cut { after }),
            Action::Promise { epoch } => self.writes.add(of, Order::Promise { epoch }),
            Action::Read { from, bytes_max } => {
                kept.awaits.reads += 1;
                self.writes.add(of, Order::Read { from, bytes_max });
            }
            Action::Fetch { at, record, bytes } => {
                let (blobs, from) = (record.blobs().collect(), sources(kept, self.me.peer));
                self.blobs.want(ctx, Wanted { bytes, job, at, blobs, from });
            }
            Action::Drop { from } => self.blobs.drop_from(job, from),
            Action::Committed { upto } => self.on_committed(ctx, job, upto),
            Action::Lead { epoch } => {
                kept.begins = Some(epoch);
                self.recall(job);
                self.begun.push((job, epoch));
                self.look_later(ctx.now);
            }
            Action::StepDown => {
                kept.begins = None;
                self.news.push_back(News::StepDown(job));
            }
            Action::Follow { leader } => {
                (kept.retried, kept.wish) = (false, None);
                ctx.notify(Event::Follows { job, leader });
            }
            Action::Keepers(trio) => self.news.push_back(News::Keepers { job, trio }),
            Action::Forget { tell } => {
                let (epoch, followers) = (kept.member.epoch(), kept.member.followers_here());
                self.farewells.begin(job, epoch, followers, ctx.now);
                self.leave(Gone { job, remains: Remains::Forgotten, tell });
            }
            Action::Leave { at } => {
                let remains = remains_of(&kept.member, at);
                self.leave(Gone { job, remains, tell: None });
            }
        }
    }

    fn on_committed(&mut self, ctx: &mut Ctx<'_>, job: JobId, upto: u32) {
        let moment = moment(ctx, self.draining);
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        let leads = kept.member.role() == Role::Leader;
        if leads {
            self.news.push_back(News::Committed { job, upto });
            let wish = kept.wish.take_if(|_| kept.member.has_ended());
            if let Some(wish) = wish {
                kept.grant(wish, &moment);
            }
        } else if kept.is_parent {
            self.news.push_back(News::Grown(job));
            self.watch(job);
        }
    }

    pub(super) fn insert(&mut self, job: JobId, member: Member<LogRecord>) {
        self.serial += 1;
        let kept = Kept {
            member,
            serial: self.serial,
            told_by: None,
            wakes_at: None,
            waits_bytes: 0,
            is_new: true,
            awaits: Answers::default(),
            unread: 0,
            begins: None,
            retried: false,
            is_parent: false,
            leaves: None,
            ended_as: None,
            wish: None,
            handed_over: false,
            lost: BTreeSet::new(),
            fetched_again: BTreeSet::new(),
        };
        self.jobs.insert(job, Box::new(kept));
        self.appended.insert(job);
    }

    /// Has the whole log of a job read.
    pub(super) fn recall(&mut self, job: JobId) {
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.awaits.recalls += 1;
            self.writes.add(Of { job, serial: kept.serial }, Order::Recall);
        }
    }

    /// A member has done its work. Its log stays until the owner has been told what it wants to know of it.
    fn leave(&mut self, gone: Gone) {
        let job = gone.job;
        // At once, as its member says nothing more; what the disk knows follows once its end was read.
        let gone = Gone { remains: self.gone.add(job, gone.remains), ..gone };
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        if !kept.owes_its_end() {
            return self.remove(job, gone);
        }
        kept.leaves = Some(gone);
        if kept.awaits.recalls == 0 {
            self.recall(job);
        }
    }

    /// A log that only the owner wanted to know was read, or can't be.
    pub(super) fn leave_at_last(&mut self, job: JobId) {
        let gone = self.jobs.get_mut(&job).and_then(|kept| kept.leaves.take());
        gone.into_iter().for_each(|gone| self.remove(job, gone));
    }

    /// Nothing of a job is kept any more.
    pub(super) fn remove(&mut self, job: JobId, gone: Gone) {
        let Some(kept) = self.jobs.remove(&job) else { return };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(kept.waits_bytes);
        if let Some(at) = kept.wakes_at {
            self.wakes.remove(&(at, job));
        }
        kept.told_by.into_iter().for_each(|leader| self.shares.remove(leader));
        self.blobs.drop_from(job, 0);
        self.unread.remove(&job);
        self.unwritten.end(job);
        if kept.awaits.reads + kept.awaits.recalls > 0 {
            let orphans = self.orphans.entry(job).or_default();
            orphans.reads += kept.awaits.reads;
            orphans.recalls += kept.awaits.recalls;
        }
        let keepers = kept.member.log().trio().peers().to_vec();
        self.news.push_back(News::Gone(Departed {
            job,
            forgotten: gone.remains == Remains::Forgotten,
            keepers,
        }));
        self.writes.add(Of { job, serial: kept.serial }, Order::Forget(gone));
    }
}

impl Kept {
    /// Whether the owner wants to know how the job ended, and that is for its log to say. A leader knows without.
    fn owes_its_end(&self) -> bool {
        self.is_parent && self.member.has_ended() && self.member.role() != Role::Leader
    }

    /// Does what the user wants of an ended job that is led here. False if its end is not committed.
    pub(super) fn grant(&mut self, wish: Wish, moment: &Moment) -> bool {
        match wish {
            Wish::Retry => {
                self.retried = self.member.retry(moment);
                self.retried
            }
            Wish::Forget => self.member.forget(moment),
        }
    }
}

/// The other nodes that keep a job.
fn others_of(kept: &Kept, me: PeerId) -> Vec<PeerId> {
    kept.member.log().trio().peers().into_iter().filter(|peer| *peer != me).collect()
}

/// From where the blobs of a record are to be fetched: its leader is asked first.
fn sources(kept: &Kept, me: PeerId) -> Vec<PeerId> {
    let leader = leader_of(&kept.member, me);
    let others = others_of(kept, me).into_iter().filter(|peer| Some(*peer) != leader);
    leader.filter(|leader| *leader != me).into_iter().chain(others).collect()
}

/// Blobs of a job that are gone from this node's store, as something that waits before its first record.
pub(super) fn lost(kept: &Kept, job: JobId, me: PeerId) -> Wanted {
    let (blobs, from) = (kept.fetched_again.clone(), others_of(kept, me));
    Wanted { bytes: 0, job, at: Position::NONE, blobs, from }
}

/// The node that leads a job, if this one knows it.
pub(super) fn leader_of(member: &Member<LogRecord>, me: PeerId) -> Option<PeerId> {
    match member.role() {
        Role::Leader => Some(me),
        Role::Candidate => None,
        Role::Follower { leader } => leader,
    }
}
