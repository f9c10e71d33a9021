//! Jobs whose inputs are results of others ([`Join::EachResult`](crate::Join)): has the logs of these read on, and makes tasks
//! and inputs of what they say. Driven by the owner.
//!
//! A parent's log is read from this node's own disk, record by record as they are committed, so it is the same whether this node
//! leads the parent, another one does, or it ended long ago; and no result counts as an input that could be lost again. A new life
//! of the child reads it anew and skips what its own log has. Where the child has enough to do, nothing is read.

use alloc::vec::Vec;

use super::agenda::Alarm;
use super::books::{Books, OwnerCtx};
use super::edge::{Edge, Page};
use super::ending::{Ending, commit};
use super::intake::{begin_new, take_known};
use super::record::{Record, Records, known};
use super::task::TaskState;
use crate::durable::LogRecord;
use crate::effect::{Effect, Event, LogReader};
use crate::id::JobId;
use crate::task::{Outcome, Payload};

/// Tasks of a job that wait for workers, from which on no further results are read for it.
const READ_AHEAD_MAX: u32 = 4096;
/// Unfinished tasks of all jobs that take results, beyond which only the oldest of these gets more.
const TAKEN_TASKS_MAX: u32 = 4_000_000;
/// Bytes of records after which a page ends.
const PAGE_BYTES: u32 = 512 << 10;
/// When a log is looked at again of which nothing more was read, and that was not said to have grown, in milliseconds.
const READ_AGAIN_MS: u64 = 5000;

/// Records of one log.
#[derive(Debug)]
pub(crate) struct LogPage<'a> {
    pub(crate) job: JobId,
    /// The number of the first.
    pub(crate) from: u32,
    /// None could be read now, if there is nothing.
    pub(crate) records: Option<&'a [LogRecord]>,
    /// The last record that counts, if not all do.
    pub(crate) committed: Option<u32>,
}

impl<'a> LogPage<'a> {
    /// Those that count.
    fn usable(&self) -> &'a [LogRecord] {
        let count = self.committed.map(|upto| upto.saturating_add(1).saturating_sub(self.from));
        let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        let records = self.records.unwrap_or_default();
        records.get(..count).unwrap_or(records)
    }
}

/// How far a job has read that one's log, if it does.
pub(super) fn edge_of(record: &mut Record, parent: JobId) -> Option<&mut Edge> {
    record.edges.iter_mut().find(|edge| edge.parent == parent)
}

/// A job that takes results begins, or goes on.
pub(super) fn begin(books: &mut Books, record: &Record) {
    for edge in &record.edges {
        books.keeping.readers.add(edge.parent, record.name());
    }
}

/// It is time to look at a log again.
pub(super) fn on_time(books: &mut Books, parent: JobId) {
    books.keeping.readers.on_time(parent);
}

/// Has logs read of which there may be more, for jobs that have room for it.
pub(super) fn read_on(cx: &mut OwnerCtx<'_, '_>, records: &mut Records) {
    for parent in cx.books.keeping.readers.take_grown() {
        for child in cx.books.keeping.readers.of(parent) {
            edge_of(known(records, child), parent).into_iter().for_each(|edge| edge.grown = true);
        }
    }
    for parent in cx.books.keeping.readers.take_pending() {
        ask(cx, records, parent);
    }
}

/// Asks for the page that is wanted first of a log, which all get that want the same.
fn ask(cx: &mut OwnerCtx<'_, '_>, records: &mut Records, parent: JobId) {
    let room = Room::of(records);
    let (mut wanting, mut is_full): (Vec<(u32, JobId)>, bool) = (Vec::new(), false);
    for child in cx.books.keeping.readers.of(parent) {
        let record = known(records, child);
        let has_room = room.has(cx.books, record);
        let Some(edge) = edge_of(record, parent).filter(|edge| edge.grown && !edge.is_over()) else {
            continue;
        };
        is_full |= !has_room;
        wanting.extend(has_room.then_some((edge.next, child)));
    }
    let Some(from) = wanting.iter().map(|(next, _)| *next).min() else {
        return if is_full {
            cx.books.keeping.readers.note_full(parent);
        };
    };
    for (_, child) in wanting.iter().filter(|(next, _)| *next == from) {
        edge_of(known(records, *child), parent).into_iter().for_each(|edge| edge.grown = false);
    }
    cx.books.keeping.readers.ask(parent, from);
    cx.ctx.emit(Effect::ReadLog { reader: LogReader::Child, job: parent, from, bytes_max: PAGE_BYTES });
}

/// How much jobs that take results have, all together.
struct Room {
    /// They have as many unfinished tasks as they may.
    is_full: bool,
    /// The place of the oldest of them that reads still.
    oldest: Option<u64>,
}

impl Room {
    fn of(records: &Records) -> Self {
        let all = || records.values().filter(|record| !record.edges.is_empty());
        let tasks = all().fold(0_u32, |sum, record| sum.saturating_add(record.job.unfinished()));
        Self { is_full: tasks >= TAKEN_TASKS_MAX, oldest: all().map(|record| record.job.number).min() }
    }

    /// Whether a job may get more tasks and inputs now. The oldest may always: the others may wait for it, and it for none of them.
    fn has(&self, books: &Books, record: &Record) -> bool {
        let job = &record.job;
        let may_grow = !job.is_kept() || books.keeping.refusal().is_none();
        let ahead = job.waiting().saturating_add(job.counts.delayed());
        may_grow && ahead < READ_AHEAD_MAX && (!self.is_full || self.oldest == Some(job.number))
    }
}

/// A job has the next records of a parent's log. True if there is no such log any more.
pub(super) fn take(
    cx: &mut OwnerCtx<'_, '_>,
    records: &mut Records,
    child: JobId,
    page: &LogPage<'_>,
) -> bool {
    let is_live = records.get(&page.job).is_some_and(|parent| !parent.job.ended)
        || cx.books.followed.contains(&page.job)
        || cx.books.absent.contains_key(&page.job);
    let record = known(records, child);
    if cx.books.keeping.stops(&record.job) {
        return false;
    }
    let Some(edge) = edge_of(record, page.job) else { return false };
    let said = match (page.usable(), page.records) {
        (_, None) => {
            edge.on_unread(is_live);
            Page::default()
        }
        ([], Some(records)) => edge.on_nothing_more(records.is_empty() && !is_live),
        (usable, Some(_)) => edge.read(usable),
    };
    let (is_gone, rests) = (edge.has_no_log(), !edge.grown && !edge.is_over());
    if rests && cx.books.keeping.readers.look_later(page.job) {
        cx.books.agenda.set(cx.ctx.now.plus_ms(READ_AGAIN_MS), Alarm::Read(page.job));
    }
    resolve(cx, record, page.job, said);
    is_gone
}

/// Makes tasks and inputs of what a page says.
fn resolve(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId, said: Page) {
    let first = record.job.total();
    let (tasks, is_whole) =
        edge_of(record, parent).map_or((0, false), |edge| (edge.tasks(), edge.is_whole()));
    if record.job.open {
        grow(cx, record, tasks);
    }
    let awaits = |(index, _): &(u32, Payload)| {
        record.job.task(*index).is_some_and(|task| task.state() == TaskState::Awaiting)
    };
    let outputs: Vec<(u32, Payload)> = said.outputs.into_iter().filter(awaits).collect();
    if record.job.is_kept() {
        cx.books.keeping.resolve(record.name(), &outputs);
    }
    let mut resolved = Vec::new();
    for (index, output) in outputs {
        resolved.extend(record.job.resolve(index, output).then_some(index));
    }
    take_known(cx, record, resolved.into_iter());
    skip(cx, record, parent, &said.failed);
    if is_whole && record.job.open {
        close(cx, record);
    }
    begin_new(cx, record, first);
}

/// The job has as many tasks as its parent. That is told before anything of them is.
pub(super) fn grow(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, tasks: u32) {
    let before = record.job.total();
    if tasks <= before {
        return;
    }
    (before..tasks).for_each(|_| record.job.add_awaiting());
    if record.job.is_kept() {
        let more = usize::try_from(tasks - before).unwrap_or(usize::MAX);
        cx.books.keeping.extend(record.name(), &alloc::vec![Payload::empty(); more], before);
    }
    cx.tell(&record.job, Event::Grown { job: record.name(), tasks, closed: false });
}

/// It gets no more.
pub(super) fn close(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.job.is_kept() {
        cx.books.keeping.close(&record.job);
    }
    record.job.open = false;
    cx.tell(&record.job, Event::Grown { job: record.name(), tasks: record.job.total(), closed: true });
}

/// Tasks whose parent's tasks ended otherwise than done end without a run.
pub(super) fn skip(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId, failed: &[u32]) {
    for index in failed {
        if record.job.task(*index).is_some_and(|task| task.state() == TaskState::Awaiting) {
            commit(cx, record, *index, Ending::of_task(Outcome::ParentFailed { job: parent }));
        }
    }
}
