//! The copies that this node has of jobs of others. A copy takes its owner's records in order, writes each once the bytes that it
//! names are here, and says how far it is. What its owner sends is checked like what any peer sends: a record that has no place
//! in such a log, or is beyond a bound, is not taken, and the owner sends it again.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::means::{EPOCH, Means, at};
use crate::custody::blobs::Wanted;
use crate::custody::message::CustodyMessage;
use crate::custody::position::Position;
use crate::custody::record::{Mark, Record as _};
use crate::custody::trio::Pair;
use crate::custody::waiting::{Waiting, memory_of};
use crate::custody::writes::{Of, Order};
use crate::durable::LogRecord;
use crate::effect::Event;
use crate::id::{JobId, PeerId};
use crate::snapshot::CopyView;
use crate::time::Time;

/// An owner that is connected and has not answered is asked again for its job after this time, in milliseconds.
const ASK_MS: u64 = 60_000;

/// All of them.
#[derive(Debug, Default)]
pub(in crate::custody) struct Copies {
    of: BTreeMap<JobId, Box<Copy>>,
    /// Those whose owners are connected and have not said anything of them since.
    asking: BTreeSet<JobId>,
    asks_at: Option<Time>,
    /// What all records that wait take in memory.
    waiting_bytes: usize,
}

/// One of them.
#[derive(Debug)]
struct Copy {
    of: Of,
    pair: Pair,
    /// The last record that was taken, that is to be written, and that is on the disk.
    taken: u32,
    written: u32,
    durable: u32,
    /// What was taken and is not to be written yet.
    waiting: Waiting<(LogRecord, Arc<[u8]>)>,
    /// The owner is to be told once all that was taken is on the disk.
    owes_kept: bool,
    /// Its owner is connected.
    is_up: bool,
}

/// The nodes of a job of which a node is to have a copy, by its owner's first record of it.
pub(in crate::custody) fn pair_of(me: PeerId, from: PeerId, message: &CustodyMessage) -> Option<Pair> {
    let CustodyMessage::Keep { epoch: EPOCH, after: Position::NONE, records, job, .. } = message else {
        return None;
    };
    let LogRecord::Accepted(accepted) = LogRecord::decode(records.first()?).ok()? else { return None };
    let pair = accepted.keepers.pair().filter(Pair::is_sound)?;
    let is_meant = pair.owner.peer == from && pair.is_copied_by(me) && accepted.spec.job == *job;
    is_meant.then_some(pair)
}

impl Copies {
    pub(in crate::custody) fn has(&self, job: JobId) -> bool {
        self.of.contains_key(&job)
    }

    pub(in crate::custody) fn len(&self) -> usize {
        self.of.len()
    }

    /// What the records that wait take in memory.
    pub(in crate::custody) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Those of one copy have changed.
    fn recount(&mut self, before: usize, job: JobId) {
        let now = self.of.get(&job).map_or(0, |copy| copy.waiting.bytes());
        self.waiting_bytes = self.waiting_bytes.saturating_sub(before).saturating_add(now);
    }

    /// Whether a record was written for this copy, and not for one that was here before it.
    pub(in crate::custody) fn is(&self, of: Of) -> bool {
        self.of.get(&of.job).is_some_and(|copy| copy.of == of)
    }

    /// A copy that has this many records on the disk. One whose owner is not connected waits until it is.
    pub(in crate::custody) fn insert(&mut self, of: Of, pair: Pair, records: u32, is_up: bool) {
        let copy = Copy {
            of,
            pair,
            taken: records,
            written: records,
            durable: records,
            waiting: Waiting::default(),
            owes_kept: false,
            is_up,
        };
        self.of.insert(of.job, Box::new(copy));
    }

    /// A copy is here no more; its owner, if it was here.
    pub(in crate::custody) fn remove(&mut self, job: JobId) -> Option<(Of, PeerId)> {
        self.asking.remove(&job);
        let copy = self.of.remove(&job)?;
        self.recount(copy.waiting.bytes(), job);
        Some((copy.of, copy.pair.owner.peer))
    }

    pub(in crate::custody) fn clear(&mut self) {
        *self = Self::default();
    }

    // ---- what the owner says

    /// Whether a node is the owner of a job of which this one has a copy: no other node says anything of it.
    pub(in crate::custody) fn is_owner(&self, job: JobId, peer: PeerId) -> bool {
        self.of.get(&job).is_some_and(|copy| copy.pair.owner.peer == peer)
    }

    /// The owner was heard.
    pub(in crate::custody) fn hear(&mut self, job: JobId) {
        self.asking.remove(&job);
    }

    /// The owner sends the records behind that one, or asks for the last one.
    pub(in crate::custody) fn on_keep(
        &mut self,
        means: &mut Means<'_, '_>,
        job: JobId,
        after: Position,
        records: &[Arc<[u8]>],
    ) {
        let Some(copy) = self.of.get_mut(&job) else { return };
        let before = copy.waiting.bytes();
        if let Some(known) = copy.taken.checked_sub(after.seq) {
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            let _taken = records.iter().skip(known).take_while(|bytes| copy.take(means, bytes)).count();
        }
        copy.write_waiting(means);
        if records.is_empty() {
            copy.tell(means);
        } else {
            copy.owes_kept = true;
            copy.settle(means);
        }
        self.recount(before, job);
    }

    // ---- what the driver says

    /// The bytes of a record are here.
    pub(in crate::custody) fn on_blobs(&mut self, means: &mut Means<'_, '_>, job: JobId, at: Position) {
        let Some(copy) = self.of.get_mut(&job) else { return };
        let before = copy.waiting.bytes();
        copy.waiting.note_here(at.seq, copy.written);
        copy.write_waiting(means);
        self.recount(before, job);
    }

    /// That many more records are on the disk.
    pub(in crate::custody) fn on_durable(&mut self, means: &mut Means<'_, '_>, job: JobId, records: usize) {
        let Some(copy) = self.of.get_mut(&job) else { return };
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        copy.durable = copy.durable.saturating_add(records).min(copy.written);
        copy.settle(means);
    }

    // ---- connections

    /// A node is connected: it is asked for its jobs, which it may have forgotten meanwhile.
    pub(in crate::custody) fn on_peer_up(&mut self, means: &mut Means<'_, '_>, peer: PeerId) {
        for copy in self.of.values_mut().filter(|copy| copy.pair.owner.peer == peer) {
            copy.is_up = true;
            copy.ask(means);
            self.asking.insert(copy.of.job);
            means.ctx.notify(Event::Follows { job: copy.of.job, leader: Some(peer) });
        }
        if !self.asking.is_empty() {
            self.asks_at.get_or_insert(means.ctx.now.plus_ms(ASK_MS));
        }
    }

    /// A node is not connected any more. Its jobs stand still: no copy goes on for it.
    pub(in crate::custody) fn on_peer_down(&mut self, means: &mut Means<'_, '_>, peer: PeerId) {
        for copy in self.of.values_mut().filter(|copy| copy.pair.owner.peer == peer && copy.is_up) {
            copy.is_up = false;
            self.asking.remove(&copy.of.job);
            means.ctx.notify(Event::Follows { job: copy.of.job, leader: None });
        }
    }

    // ---- time

    pub(in crate::custody) fn on_time(&mut self, means: &mut Means<'_, '_>) {
        if self.asks_at.is_none_or(|at| at > means.ctx.now) {
            return;
        }
        self.asking.iter().filter_map(|job| self.of.get(job)).for_each(|copy| copy.ask(means));
        self.asks_at = (!self.asking.is_empty()).then(|| means.ctx.now.plus_ms(ASK_MS));
    }

    pub(in crate::custody) fn next_wakeup(&self) -> Option<Time> {
        self.asks_at
    }

    pub(in crate::custody) fn views(&self) -> Vec<CopyView> {
        let view = |copy: &Copy| CopyView {
            job: copy.of.job,
            owner: copy.pair.owner.peer,
            is_connected: copy.is_up,
            records: copy.durable,
        };
        self.of.values().map(|copy| view(copy)).collect()
    }
}

impl Copy {
    /// Takes the next record. False if it can't be taken.
    fn take(&mut self, means: &mut Means<'_, '_>, bytes: &Arc<[u8]>) -> bool {
        let has_room = self.waiting.has_room();
        let record = LogRecord::decode(bytes).ok().filter(|record| has_room && self.has_place(record));
        let (Some(record), Some(seq)) = (record, self.taken.checked_add(1)) else { return false };
        self.taken = seq;
        let is_here = !record.names_blobs();
        if !is_here {
            let (job, blobs) = (self.of.job, record.blobs().collect());
            let from = alloc::vec![self.pair.owner.peer];
            means.blobs.want(means.ctx, Wanted { bytes: bytes.len(), job, at: at(seq), blobs, from });
        }
        let memory = memory_of(&record, bytes);
        self.waiting.push((record, Arc::clone(bytes)), memory, is_here);
        true
    }

    /// Whether a record can be the next one of a job at level disk.
    fn has_place(&self, record: &LogRecord) -> bool {
        let is_first = matches!(record, LogRecord::Accepted(_));
        // An owner alone leads it, and begins each of its lives otherwise.
        let is_of_trio = matches!(record.mark(), Mark::Led(_) | Mark::Replaced { .. });
        is_first == (self.taken == 0) && !is_of_trio
    }

    fn write_waiting(&mut self, means: &mut Means<'_, '_>) {
        while let Some((record, bytes)) = self.waiting.pop_here() {
            self.written = self.written.saturating_add(1);
            means.writes.add(self.of, Order::Persist(Box::new(record), bytes));
        }
    }

    fn settle(&mut self, means: &mut Means<'_, '_>) {
        if self.owes_kept && self.durable == self.taken {
            self.tell(means);
        }
    }

    /// Tells the owner what is on the disk here.
    fn tell(&mut self, means: &mut Means<'_, '_>) {
        self.owes_kept = false;
        let kept = CustodyMessage::Kept { job: self.of.job, epoch: EPOCH, upto: self.durable, disk: 0 };
        means.post.add(self.pair.owner.peer, kept);
    }

    fn ask(&self, means: &mut Means<'_, '_>) {
        means.post.add(self.pair.owner.peer, CustodyMessage::PreSeal { job: self.of.job, epoch: EPOCH });
    }
}
