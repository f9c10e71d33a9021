//! This node's own jobs of which another node has a copy, as their owner sends it: one page at a time, read from the owner's disk,
//! so that a copy has nothing that its owner may lose, and a slow one costs no memory. What is not answered is found out by
//! asking where the copy ends.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::means::{EPOCH, Means, PROBE, at};
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::post::RECORDS_MAX;
use crate::custody::writes::{Of, Order};
use crate::durable::LogRecord;
use crate::id::{JobId, PeerId};
use crate::time::Time;

/// A page in bytes; one record may be longer.
const PAGE_BYTES: u32 = 256 << 10;
/// A copy that does not answer is asked again after this time, in milliseconds; twice as long each time, up to the longest.
const AGAIN_MS: u64 = 2_000;
const AGAIN_MAX_MS: u64 = 60_000;
/// Pages that are being read at once; the other jobs wait their turn.
const READS_MAX: usize = 64;

/// All of them.
#[derive(Debug, Default)]
pub(in crate::custody) struct Senders {
    of: BTreeMap<JobId, Sender>,
    wakes: BTreeSet<(Time, JobId)>,
    /// Jobs whose next pages are to be read, and those whose are being read.
    waiting: BTreeSet<JobId>,
    reading: BTreeSet<JobId>,
}

/// What of a job's log goes to its copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::custody) enum Sending {
    /// All of it; it is a new job.
    New,
    /// What the copy lacks, if it is there.
    Rest,
    /// Nothing, for this node's disk may not have all that it had sent. That the job is forgotten is told all the same.
    Nothing,
}

/// One of them.
#[derive(Debug)]
struct Sender {
    of: Of,
    to: PeerId,
    is_up: bool,
    sends: bool,
    /// The job was forgotten here.
    forgets: bool,
    /// The next record to send.
    next: u32,
    state: State,
    /// The log has records that were not read since.
    has_more: bool,
    pause_ms: u64,
    again_at: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// The copy was asked where it ends.
    Probing,
    /// The next page is being read.
    Reading,
    /// A page was sent.
    Sent,
}

impl Senders {
    pub(in crate::custody) fn has(&self, job: JobId) -> bool {
        self.of.contains_key(&job)
    }

    /// The node that has a copy of a job.
    fn is_sent_to(&self, job: JobId, peer: PeerId) -> bool {
        self.of.get(&job).is_some_and(|sender| sender.to == peer)
    }

    /// Another node has a copy of a job, or is to get one. A new one is connected.
    pub(in crate::custody) fn begin(&mut self, of: Of, to: PeerId, sending: Sending) {
        let sender = Sender {
            of,
            to,
            is_up: sending == Sending::New,
            sends: sending != Sending::Nothing,
            forgets: false,
            next: 1,
            state: State::Idle,
            has_more: false,
            pause_ms: AGAIN_MS,
            again_at: None,
        };
        self.of.insert(of.job, sender);
    }

    pub(in crate::custody) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A record was added to a job's log.
    pub(in crate::custody) fn on_written(&mut self, job: JobId) {
        if let Some(sender) = self.of.get_mut(&job) {
            sender.has_more = true;
            self.waiting.insert(job);
        }
    }

    /// The input has been handled: what was added is read, behind the writes.
    pub(in crate::custody) fn flush(&mut self, means: &mut Means<'_, '_>) {
        while self.reading.len() < READS_MAX
            && let Some(job) = self.waiting.pop_first()
        {
            let Some(sender) = self.of.get_mut(&job).filter(|sender| sender.is_to_read()) else { continue };
            sender.read(means);
            self.reading.insert(job);
        }
    }

    /// A job was forgotten here. A copy that is away asks when it is back.
    pub(in crate::custody) fn forget(&mut self, means: &mut Means<'_, '_>, job: JobId) {
        let is_up = self.of.get(&job).is_some_and(|sender| sender.is_up);
        self.with(means, job, Sender::forget);
        if !is_up {
            self.remove(job);
        }
    }

    fn remove(&mut self, job: JobId) {
        self.reading.remove(&job);
        if let Some(at) = self.of.remove(&job).and_then(|sender| sender.again_at) {
            self.wakes.remove(&(at, job));
        }
    }

    // ---- what the copy says

    /// False if it was dropped.
    pub(in crate::custody) fn on_message(
        &mut self,
        means: &mut Means<'_, '_>,
        from: PeerId,
        message: &CustodyMessage,
    ) -> bool {
        let job = message.job();
        if !self.is_sent_to(job, from) {
            return false;
        }
        if let CustodyMessage::Kept { epoch: EPOCH, upto, .. } = message {
            self.with(means, job, |sender, _| sender.on_kept(*upto));
        } else if let CustodyMessage::Behind { epoch: EPOCH, .. } = message {
            self.with(means, job, |sender, _| sender.on_kept(0));
        } else if let CustodyMessage::PreSeal { epoch: EPOCH, .. } = message {
            self.with(means, job, Sender::greet);
        } else if matches!(message, CustodyMessage::Forgotten { .. }) && self.forgets(job) {
            self.remove(job);
        } else {
            return false;
        }
        true
    }

    fn forgets(&self, job: JobId) -> bool {
        self.of.get(&job).is_some_and(|sender| sender.forgets)
    }

    // ---- what the driver says

    /// A page was read; none if there is no more, or it could not be.
    pub(in crate::custody) fn on_read(
        &mut self,
        means: &mut Means<'_, '_>,
        job: JobId,
        from: u32,
        records: &[LogRecord],
    ) {
        self.reading.remove(&job);
        self.with(means, job, |sender, means| sender.on_read(means, from, records));
    }

    // ---- connections

    pub(in crate::custody) fn on_peer_up(&mut self, means: &mut Means<'_, '_>, peer: PeerId) {
        for job in self.jobs_to(peer) {
            self.with(means, job, |sender, means| {
                sender.is_up = true;
                sender.pause_ms = AGAIN_MS;
                sender.probe(means);
            });
        }
    }

    pub(in crate::custody) fn on_peer_down(&mut self, means: &mut Means<'_, '_>, peer: PeerId) {
        for job in self.jobs_to(peer) {
            self.with(means, job, |sender, _| {
                sender.is_up = false;
                (sender.state, sender.again_at) = (State::Idle, None);
            });
            if self.forgets(job) {
                self.remove(job);
            }
        }
    }

    fn jobs_to(&self, peer: PeerId) -> Vec<JobId> {
        self.of.iter().filter(|(_, sender)| sender.to == peer).map(|(job, _)| *job).collect()
    }

    // ---- time

    pub(in crate::custody) fn on_time(&mut self, means: &mut Means<'_, '_>) {
        let now = means.ctx.now;
        let due: Vec<JobId> =
            self.wakes.iter().take_while(|(at, _)| *at <= now).map(|(_, job)| *job).collect();
        due.into_iter().for_each(|job| self.with(means, job, Sender::try_again));
    }

    pub(in crate::custody) fn next_wakeup(&self) -> Option<Time> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Does something with one of them, and notes what it is to do then.
    fn with(
        &mut self,
        means: &mut Means<'_, '_>,
        job: JobId,
        act: impl FnOnce(&mut Sender, &mut Means<'_, '_>),
    ) {
        let Some(sender) = self.of.get_mut(&job) else { return };
        let before = sender.again_at;
        act(sender, means);
        if sender.is_to_read() {
            self.waiting.insert(job);
        }
        if before != sender.again_at {
            before.into_iter().for_each(|at| _ = self.wakes.remove(&(at, job)));
            self.wakes.extend(sender.again_at.map(|at| (at, job)));
        }
    }
}

impl Sender {
    /// Whether its next page is to be read: there may be one, and none is on its way.
    fn is_to_read(&self) -> bool {
        let goes = self.is_up && self.sends && !self.forgets;
        goes && self.has_more && self.state == State::Idle
    }

    fn read(&mut self, means: &mut Means<'_, '_>) {
        (self.has_more, self.state) = (false, State::Reading);
        means.writes.add(self.of, Order::Read { from: self.next, bytes_max: PAGE_BYTES });
    }

    fn on_read(&mut self, means: &mut Means<'_, '_>, from: u32, records: &[LogRecord]) {
        if self.state != State::Reading || from != self.next {
            return;
        }
        self.state = State::Idle;
        let page: Vec<_> = records.iter().take(RECORDS_MAX).map(|record| record.encode().into()).collect();
        if page.is_empty() {
            return;
        }
        (self.state, self.has_more) = (State::Sent, true);
        self.send_keep(means, at(self.next.saturating_sub(1)), page);
        self.again_at = Some(means.ctx.now.plus_ms(self.pause_ms));
    }

    /// The copy has all up to that record. It counts as an answer to what was asked, or if it is of use for what was sent: else a
    /// few bytes would cost this node a page.
    fn on_kept(&mut self, upto: u32) {
        match self.state {
            State::Probing => {}
            State::Sent if upto >= self.next => self.pause_ms = AGAIN_MS,
            State::Sent | State::Idle | State::Reading => return,
        }
        (self.next, self.state) = (upto.saturating_add(1), State::Idle);
        (self.has_more, self.again_at) = (true, None);
    }

    /// Asks the copy where it ends, or says that the job is forgotten, until it is answered.
    fn probe(&mut self, means: &mut Means<'_, '_>) {
        self.greet(means);
        if self.forgets || self.sends {
            self.state = State::Probing;
            self.again_at = Some(means.ctx.now.plus_ms(self.pause_ms));
        }
    }

    /// Says that the job is here, or forgotten.
    fn greet(&mut self, means: &mut Means<'_, '_>) {
        if self.forgets {
            means.post.add(self.to, CustodyMessage::Forget { job: self.of.job, epoch: EPOCH });
        } else {
            self.send_keep(means, PROBE, Vec::new());
        }
    }

    fn forget(&mut self, means: &mut Means<'_, '_>) {
        (self.forgets, self.pause_ms) = (true, AGAIN_MS);
        if self.is_up {
            self.probe(means);
        }
    }

    fn try_again(&mut self, means: &mut Means<'_, '_>) {
        self.again_at = None;
        self.pause_ms = self.pause_ms.saturating_mul(2).min(AGAIN_MAX_MS);
        if self.is_up {
            self.probe(means);
        }
    }

    fn send_keep(&self, means: &mut Means<'_, '_>, after: Position, records: Vec<alloc::sync::Arc<[u8]>>) {
        let last = after.seq.saturating_add(u32::try_from(records.len()).unwrap_or(u32::MAX));
        let keep =
            CustodyMessage::Keep { job: self.of.job, epoch: EPOCH, after, records, committed: 0, last };
        means.post.add(self.to, keep);
    }
}
