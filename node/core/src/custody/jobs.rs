//! The jobs at level mesh that this node keeps: a [`Member`] each. Routes what happens to them, does what they want done, and
//! says what it means for the owner ([`News`]), which the engine tells. Driven by the engine; no rule of custody is decided here.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::action::Action;
use super::blobs::{Blobs, Wanted};
use super::member::{Member, Moment, Restored, Role};
use super::message::CustodyMessage;
use super::position::Position;
use super::post::Post;
use super::tombstones::Tombstones;
use super::trio::{Seat, Trio};
use super::writes::{Done, Gone, Of, Order, Writes};
use super::{Eligible, answer_without_log, lookout};
use crate::ctx::Ctx;
use crate::durable::{self, LogRecord};
use crate::effect::Event;
use crate::id::{BlobId, JobId, PeerId};
use crate::input::Fetched;
use crate::membership::Membership;
use crate::message::{BATCH_MAX, Message};
use crate::owner::MeshLog;
use crate::snapshot::KeptView;
use crate::time::{Soonest, Time};

/// Jobs that a node keeps at most, those of others; beyond it no further one is taken.
const JOBS_MAX: usize = 65_536;

/// What the owner is to know.
#[derive(Debug)]
pub(crate) enum News {
    /// Another node answers for a job from here on; this one keeps it.
    Keeps(JobId),
    /// All records of a led job up to that one are committed.
    Committed { job: JobId, upto: u32 },
    /// This node leads a job no more.
    StepDown(JobId),
    /// This node leads a job.
    Leads(Box<Led>),
    /// Who keeps a job from here on.
    Keepers { job: JobId, trio: Trio },
    /// A job that another node leads has ended for good.
    Ended(Box<durable::Restored>),
    /// This node keeps a job no more.
    Gone(JobId),
}

/// A job that this node leads from here on.
#[derive(Debug)]
pub(crate) struct Led {
    pub(crate) job: durable::Restored,
    /// Its user wanted it tried again.
    pub(crate) retried: bool,
    /// All of its records up to that one are committed.
    pub(crate) committed: u32,
}

/// All jobs that this node keeps.
#[derive(Debug)]
pub(crate) struct Custody {
    me: Seat,
    jobs: BTreeMap<JobId, Box<Kept>>,
    forgotten: Tombstones,
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
    /// When vacant seats are looked for.
    looks_at: Option<Time>,
    draining: bool,
    failed: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) member: Member<LogRecord>,
    serial: u64,
    wakes_at: Option<Time>,
    /// The engine does not know yet which of the others are connected.
    is_new: bool,
    /// What the driver was asked.
    awaits: Answers,
    /// Its user wants it tried again: the next epoch begins so.
    retried: bool,
    /// The owner wants to know how it ends, though another node leads it.
    is_parent: bool,
    /// It lacks inputs for ever: it is forgotten once its end is committed.
    is_void: bool,
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
            forgotten: Tombstones::default(),
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
            draining: false,
            failed: false,
        }
    }

    /// Whether this node keeps jobs of others.
    fn keeps(&self) -> bool {
        self.me.disk != 0 && !self.failed
    }

    // ---- earlier lives

    pub(crate) fn on_restore(&mut self, ctx: &mut Ctx<'_>, promised: u32, restored: &durable::Restored) {
        let job = restored.job();
        let Some(log) = restored.outline().filter(|_| self.keeps() && !self.jobs.contains_key(&job)) else {
            ctx.counters.dropped += 1;
            return;
        };
        let moment = moment(ctx, self.draining);
        let restored = Restored { job, me: self.me, log: log.clone(), promised };
        let member = Member::restored(restored, &moment);
        self.insert(job, member);
        self.news.push_back(News::Keeps(job));
        self.perform(ctx, job);
    }

    pub(crate) fn on_restore_forgotten(&mut self, jobs: &[JobId]) {
        jobs.iter().for_each(|job| self.forgotten.add(*job));
    }

    // ---- the other nodes

    pub(crate) fn on_messages(&mut self, ctx: &mut Ctx<'_>, from: PeerId, messages: Vec<CustodyMessage>) {
        ctx.counters.dropped += messages.len().saturating_sub(BATCH_MAX) as u64;
        ctx.examine(messages.len().min(BATCH_MAX));
        for message in messages.into_iter().take(BATCH_MAX) {
            self.on_message(ctx, from, message);
        }
    }

    fn on_message(&mut self, ctx: &mut Ctx<'_>, from: PeerId, message: CustodyMessage) {
        let job = message.job();
        if !self.keeps() {
            ctx.counters.dropped += 1;
            return;
        }
        let moment = moment(ctx, self.draining);
        if let Some(answer) = self.forgotten.answer(&message) {
            self.post.add(from, answer);
        } else if let Some(kept) = self.jobs.get_mut(&job) {
            ctx.counters.dropped += u64::from(!kept.member.on_message(from, message, &moment));
            self.perform(ctx, job);
        } else if let Some(member) = self.learn(from, &message, &moment) {
            self.insert(job, member);
            self.news.push_back(News::Keeps(job));
            self.perform(ctx, job);
        } else if let Some(answer) = answer_without_log(&message, self.me.disk) {
            self.post.add(from, answer);
        } else {
            ctx.counters.dropped += 1;
        }
    }

    fn learn(&self, from: PeerId, message: &CustodyMessage, moment: &Moment) -> Option<Member<LogRecord>> {
        if self.jobs.len() < JOBS_MAX { Member::learn(self.me, from, message, moment) } else { None }
    }

    pub(crate) fn on_peer_up(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, restarted: bool) {
        if restarted {
            self.on_peer_down(ctx, peer);
        }
        self.each(ctx, |member, moment| member.on_connected(peer, moment));
        let unfinished = self.led().filter(|(_, member)| !member.has_ended());
        let led: Vec<(JobId, u32)> = unfinished.map(|(job, member)| (job, member.epoch())).collect();
        for part in led.chunks(BATCH_MAX) {
            ctx.send(peer, Message::Lead(part.to_vec()));
        }
    }

    pub(crate) fn on_peer_down(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) {
        self.each(ctx, |member, moment| member.on_disconnected(peer, moment));
    }

    /// Each member is told something.
    fn each(&mut self, ctx: &mut Ctx<'_>, mut tell: impl FnMut(&mut Member<LogRecord>, &Moment)) {
        for job in self.jobs.keys().copied().collect::<Vec<_>>() {
            self.with(ctx, job, &mut tell);
        }
    }

    // ---- the driver

    pub(crate) fn on_persisted(&mut self, ctx: &mut Ctx<'_>, upto: u64) {
        for done in self.writes.on_persisted(upto) {
            match done {
                Done::Writes { of, count } => {
                    if self.jobs.get(&of.job).is_some_and(|kept| kept.serial == of.serial) {
                        self.with(ctx, of.job, |member, moment| member.on_durable(count, moment));
                    }
                }
                Done::Gone(Gone { job, remembered: _, tell }) => {
                    tell.into_iter().for_each(|to| self.post.add(to, CustodyMessage::Forgotten { job }));
                    ctx.notify(Event::Forgotten { job });
                }
            }
        }
    }

    /// This node can't write any more: it keeps and leads nothing.
    pub(crate) fn on_journal_failed(&mut self, ctx: &mut Ctx<'_>) {
        self.failed = true;
        for job in self.led().map(|(job, _)| job).collect::<Vec<_>>() {
            self.news.push_back(News::StepDown(job));
            ctx.notify(Event::Follows { job, leader: None });
        }
        self.jobs.clear();
        self.wakes.clear();
        self.writes.on_failed();
    }

    pub(crate) fn on_fetched(&mut self, ctx: &mut Ctx<'_>, blob: BlobId, fetched: Fetched) {
        for (job, at) in self.blobs.on_fetched(ctx.now, blob, fetched) {
            self.with(ctx, job, |member, moment| member.on_blobs(at, moment));
        }
    }

    pub(crate) fn on_log_read(&mut self, ctx: &mut Ctx<'_>, job: JobId, from: u32, records: Vec<LogRecord>) {
        if self.is_orphan(job, |answers| &mut answers.reads) {
            return;
        }
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.awaits.reads = kept.awaits.reads.saturating_sub(1);
        }
        self.with(ctx, job, |member, moment| member.on_read(from, records, moment));
    }

    /// A log was read as a whole: of a job that this node is to lead, or of one whose end the owner wants to know.
    pub(crate) fn on_recalled(
        &mut self,
        ctx: &mut Ctx<'_>,
        job: JobId,
        restored: Option<Box<durable::Restored>>,
    ) {
        if self.is_orphan(job, |answers| &mut answers.recalls) {
            return;
        }
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.awaits.recalls = kept.awaits.recalls.saturating_sub(1);
        let Some(restored) = restored else {
            ctx.counters.dropped += 1;
            return;
        };
        let leads = kept.member.role() == Role::Leader && kept.member.epoch() == restored.epoch;
        if leads && restored.is_whole() {
            let (retried, committed) = (core::mem::take(&mut kept.retried), kept.member.committed());
            self.news.push_back(News::Leads(Box::new(Led { job: *restored, retried, committed })));
        } else if leads {
            // No client was told that it is accepted, and its inputs are nowhere.
            kept.is_void = true;
            if restored.has_ended() || kept.member.append(LogRecord::Ended).is_some() {
                self.appended.insert(job);
            }
        } else if kept.is_parent && restored.has_ended() {
            kept.is_parent = false;
            self.news.push_back(News::Ended(restored));
        }
    }

    /// Whether an answer is for a member that is gone.
    fn is_orphan(&mut self, job: JobId, of: impl Fn(&mut Answers) -> &mut u32) -> bool {
        let Some(answers) = self.orphans.get_mut(&job) else { return false };
        let left = of(answers);
        let is_orphan = *left > 0;
        *left = left.saturating_sub(1);
        if answers.reads + answers.recalls == 0 {
            self.orphans.remove(&job);
        }
        is_orphan
    }

    // ---- what the user and the owner want

    /// An ended job is to be tried again. False if this node does not lead it, or it has not ended for good.
    pub(crate) fn retry(&mut self, ctx: &mut Ctx<'_>, job: JobId) -> bool {
        let mut retries = false;
        self.with(ctx, job, |member, moment| retries = member.retry(moment));
        if let Some(kept) = self.jobs.get_mut(&job) {
            kept.retried = retries;
        }
        retries
    }

    /// Whether this node keeps a job.
    pub(crate) fn has(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// A job is to be forgotten. False if this node does not lead it, or it has not ended for good.
    pub(crate) fn forget(&mut self, ctx: &mut Ctx<'_>, job: JobId) -> bool {
        let mut forgets = false;
        self.with(ctx, job, |member, moment| forgets = member.forget(moment));
        forgets
    }

    /// The owner wants to know how a job ends that it does not lead.
    pub(crate) fn watch(&mut self, job: JobId) {
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        kept.is_parent = true;
        let of = Of { job, serial: kept.serial };
        if kept.member.has_ended() && kept.awaits.recalls == 0 {
            kept.awaits.recalls += 1;
            self.writes.add(of, Order::Recall);
        }
    }

    // ---- time, and the end of each input

    pub(crate) fn on_time(&mut self, ctx: &mut Ctx<'_>, draining: bool) {
        self.draining = draining;
        self.blobs.try_again(ctx);
        let due: Vec<JobId> =
            self.wakes.iter().take_while(|(at, _)| *at <= ctx.now).map(|(_, job)| *job).collect();
        for job in due {
            self.with(ctx, job, Member::on_time);
        }
    }

    /// Gives seats of nodes that are gone for long to others.
    pub(crate) fn look_out(&mut self, ctx: &mut Ctx<'_>, members: &Membership, eligible: &[Eligible]) {
        for job in self.led().map(|(job, _)| job).collect::<Vec<_>>() {
            let nodes = lookout::Nodes { members, eligible };
            self.with(ctx, job, |member, moment| lookout::replace(member, job, nodes, moment));
        }
        let leads = self.led().next().is_some();
        self.looks_at = leads.then(|| ctx.now.plus_ms(lookout::LOOK_MS));
    }

    /// Whether it is time for that.
    pub(crate) fn is_to_look_out(&self, now: Time) -> bool {
        self.looks_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn next_wakeup(&self) -> Option<(Time, &'static str)> {
        let mut next = Soonest::default();
        next.at(self.wakes.first().map(|(at, _)| *at), "a job that three nodes keep is looked after");
        next.at(self.blobs.next_wakeup(), "bytes of a job that three nodes keep are fetched again");
        next.at(self.looks_at, "nodes that are gone for long are replaced");
        next.get()
    }

    pub(crate) fn next_news(&mut self) -> Option<News> {
        self.news.pop_front()
    }

    /// The input has been handled: what was appended is sent, and all that is to be written is emitted.
    pub(crate) fn flush(&mut self, ctx: &mut Ctx<'_>, members: &Membership, issue: &mut dyn FnMut() -> u64) {
        for job in core::mem::take(&mut self.appended) {
            let is_new = self.jobs.get_mut(&job).is_some_and(|kept| core::mem::take(&mut kept.is_new));
            self.with(ctx, job, |member, moment| {
                if is_new {
                    note_links(member, members, moment);
                }
                member.flush(moment);
            });
        }
        self.writes.emit(ctx, issue);
        self.blobs.unpin(ctx);
        self.post.send(ctx, members);
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

    // ---- what members want

    /// Tells a member something, and does what it wants done.
    fn with(&mut self, ctx: &mut Ctx<'_>, job: JobId, tell: impl FnOnce(&mut Member<LogRecord>, &Moment)) {
        if let Some(kept) = self.jobs.get_mut(&job) {
            tell(&mut kept.member, &moment(ctx, self.draining));
            self.perform(ctx, job);
        }
    }

    fn perform(&mut self, ctx: &mut Ctx<'_>, job: JobId) {
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
            Action::Persist { seq: _, record } => self.writes.add(of, Order::Persist(Box::new(record))),
            Action::Cut { after } => self.writes.add(of, Order::Cut { after }),
            Action::Promise { epoch } => self.writes.add(of, Order::Promise { epoch }),
            Action::Read { from, bytes_max } => {
                kept.awaits.reads += 1;
                self.writes.add(of, Order::Read { from, bytes_max });
            }
            Action::Fetch { at, record } => {
                let wanted = wanted(kept, job, at, &record, self.me.peer);
                self.blobs.want(ctx, wanted);
            }
            Action::Drop { from } => self.blobs.drop_from(job, from),
            Action::Committed { upto } => self.on_committed(ctx, job, upto),
            Action::Lead { epoch } => {
                kept.awaits.recalls += 1;
                self.writes.add(of, Order::Recall);
                self.begun.push((job, epoch));
                self.looks_at.get_or_insert(ctx.now.plus_ms(lookout::LOOK_MS));
            }
            Action::StepDown => self.news.push_back(News::StepDown(job)),
            Action::Follow { leader } => {
                kept.retried = false;
                ctx.notify(Event::Follows { job, leader });
            }
            Action::Keepers(trio) => self.news.push_back(News::Keepers { job, trio }),
            Action::Forget { tell } => {
                self.forgotten.add(job);
                self.remove(job, Gone { job, remembered: true, tell });
            }
            Action::Leave => self.remove(job, Gone { job, remembered: false, tell: None }),
        }
    }

    fn on_committed(&mut self, ctx: &mut Ctx<'_>, job: JobId, upto: u32) {
        let moment = moment(ctx, self.draining);
        let Some(kept) = self.jobs.get_mut(&job) else { return };
        let leads = kept.member.role() == Role::Leader;
        if leads && kept.is_void && kept.member.has_ended() {
            let _forgets = kept.member.forget(&moment);
        } else if leads {
            self.news.push_back(News::Committed { job, upto });
        } else if kept.is_parent {
            self.watch(job);
        }
    }

    fn insert(&mut self, job: JobId, member: Member<LogRecord>) {
        self.serial += 1;
        let kept = Kept {
            member,
            serial: self.serial,
            wakes_at: None,
            is_new: true,
            awaits: Answers::default(),
            retried: false,
            is_parent: false,
            is_void: false,
        };
        self.jobs.insert(job, Box::new(kept));
        self.appended.insert(job);
    }

    /// A member has done its work.
    fn remove(&mut self, job: JobId, gone: Gone) {
        let Some(kept) = self.jobs.remove(&job) else { return };
        if let Some(at) = kept.wakes_at {
            self.wakes.remove(&(at, job));
        }
        self.blobs.drop_from(job, 0);
        if kept.awaits.reads + kept.awaits.recalls > 0 {
            let orphans = self.orphans.entry(job).or_default();
            orphans.reads += kept.awaits.reads;
            orphans.recalls += kept.awaits.recalls;
        }
        self.writes.add(Of { job, serial: kept.serial }, Order::Forget(gone));
        self.news.push_back(News::Gone(job));
    }

    /// The jobs that this node leads.
    fn led(&self) -> impl Iterator<Item = (JobId, &Member<LogRecord>)> {
        let all = self.jobs.iter().map(|(job, kept)| (*job, &kept.member));
        all.filter(|(_, member)| member.role() == Role::Leader)
    }

    // ---- how others see it

    pub(crate) fn views(&self) -> Vec<KeptView> {
        self.jobs.iter().map(|(job, kept)| view(*job, &kept.member, self.me.peer)).collect()
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
        self.looks_at.get_or_insert(ctx.now.plus_ms(lookout::LOOK_MS));
        Some(1)
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

/// What of a record is to be fetched, and from where: its leader is asked first.
fn wanted(kept: &Kept, job: JobId, at: Position, record: &LogRecord, me: PeerId) -> Wanted {
    let leader = leader_of(&kept.member, me);
    let others = kept.member.log().trio().peers();
    let others = others.into_iter().filter(|peer| *peer != me && Some(*peer) != leader);
    let from = leader.filter(|leader| *leader != me).into_iter().chain(others).collect();
    Wanted { job, at, blobs: record.blobs().collect(), from }
}

/// The node that leads a job, if this one knows it.
fn leader_of(member: &Member<LogRecord>, me: PeerId) -> Option<PeerId> {
    match member.role() {
        Role::Leader => Some(me),
        Role::Candidate => None,
        Role::Follower { leader } => leader,
    }
}

fn view(job: JobId, member: &Member<LogRecord>, me: PeerId) -> KeptView {
    KeptView {
        job,
        keepers: member.log().trio().peers().to_vec(),
        leader: leader_of(member, me),
        epoch: member.epoch(),
        committed: member.committed(),
        last: member.log().last().seq,
        has_seat: member.is_member(),
    }
}
