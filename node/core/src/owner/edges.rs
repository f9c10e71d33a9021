//! Jobs whose inputs are results of others ([`Join::EachResult`](crate::Join)): has the logs of these read on, and makes tasks
//! and inputs of what they say. Driven by the owner.
//!
//! A parent's log is read from this node's own disk, record by record as they are committed, so it is the same whether this node
//! leads the parent, another one does, or it ended long ago; and no result counts as an input that could be lost again. A new life
//! of the child reads it anew and skips what its own log has. Where the child has enough to do, nothing is read.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::agenda::Alarm;
use super::books::{Books, OwnerCtx};
use super::edge::{Edge, Tasks};
use super::ending::{Ending, commit};
use super::intake::{begin_new, take_known};
use super::readers::Readers;
use super::record::{Record, Records, known};
use super::task::TaskState;
use crate::durable::LogRecord;
use crate::effect::{Effect, Event, LogReader};
use crate::id::JobId;
use crate::task::{Outcome, Payload};

/// Tasks of a job that wait for workers, from which on no further results are read for it.
const READ_AHEAD_MAX: u32 = 4096;
/// Unfinished tasks of all jobs that take results, beyond which only the first of these gets more.
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
    /// The last record that counts.
    pub(crate) upto: u32,
}

impl<'a> LogPage<'a> {
    /// Those that count.
    fn usable(&self) -> &'a [LogRecord] {
        let count = self.upto.saturating_add(1).saturating_sub(self.from);
        let records = self.records.unwrap_or_default();
        usize::try_from(count).ok().and_then(|count| records.get(..count)).unwrap_or(records)
    }
}

/// How far a job has read that one's log, if it does.
pub(super) fn edge_of(record: &mut Record, parent: JobId) -> Option<&mut Edge> {
    record.edge.as_deref_mut().filter(|edge| edge.parent == parent)
}

/// A job that takes results begins, or goes on.
pub(super) fn begin(books: &mut Books, record: &Record) {
    if let Some(edge) = &record.edge {
        books.keeping.readers.add(edge.parent, record.name());
    }
}

/// A job was placed: it may have room for more results.
pub(super) fn on_placed(books: &mut Books, record: &Record) {
    if let Some(edge) = &record.edge
        && !is_ahead(record)
    {
        books.keeping.readers.note_room(edge.parent);
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
    let mut room = None;
    for parent in cx.books.keeping.readers.take_pending() {
        ask(cx, records, parent, &mut room);
    }
}

/// Asks for the page that is wanted first of a log, which all get that want the same.
fn ask(cx: &mut OwnerCtx<'_, '_>, records: &mut Records, parent: JobId, room: &mut Option<Room>) {
    let (mut wanting, mut is_full): (Vec<(u32, JobId)>, bool) = (Vec::new(), false);
    for child in cx.books.keeping.readers.of(parent) {
        let Some(next) = edge_of(known(records, child), parent).and_then(|edge| edge.wants()) else {
            continue;
        };
        let room = room.get_or_insert_with(|| Room::of(&cx.books.keeping.readers, records));
        let has_room = room.has(cx.books, known(records, child));
        is_full |= !has_room;
        wanting.extend(has_room.then_some((next, child)));
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

/// Whether as many of a job's tasks wait as it may read ahead.
fn is_ahead(record: &Record) -> bool {
    record.job.waiting().saturating_add(record.job.counts.delayed()) >= READ_AHEAD_MAX
}

/// How much jobs that take results have, all together.
struct Room {
    /// Where they have as many unfinished tasks as they may: the one that reads on all the same, if one is left.
    full: Option<Option<JobId>>,
}

impl Room {
    fn of(readers: &Readers, records: &Records) -> Self {
        let takers = || readers.children().filter_map(|job| records.get(&job));
        let tasks = takers().fold(0_u32, |sum, record| sum.saturating_add(record.job.unfinished()));
        Self { full: (tasks >= TAKEN_TASKS_MAX).then(|| first_of(takers(), records)) }
    }

    /// Whether a job may get more tasks and inputs now.
    fn has(&self, books: &Books, record: &Record) -> bool {
        let may_grow = !record.job.is_kept() || books.keeping.refusal().is_none();
        may_grow && !is_ahead(record) && self.full.is_none_or(|first| first == Some(record.name()))
    }
}

/// The oldest job that reads still, or the one that it takes results of if that does, too, and so on: the others may wait for that
/// one, and it waits for none of them.
fn first_of<'a>(takers: impl Iterator<Item = &'a Box<Record>>, records: &Records) -> Option<JobId> {
    let reads_of =
        |record: &Record| record.edge.as_ref().filter(|edge| !edge.is_over()).map(|edge| edge.parent);
    let mut first =
        takers.filter(|record| reads_of(record).is_some()).min_by_key(|record| record.job.number)?;
    // No job comes after itself; but what a log says is not for this loop to believe.
    for _ in 0..records.len() {
        let parent = reads_of(first).and_then(|parent| records.get(&parent));
        match parent.filter(|parent| reads_of(parent).is_some()) {
            Some(parent) => first = parent,
            None => break,
        }
    }
    Some(first.name())
}

/// Whether more of a job's log may come: it has not ended, or other nodes keep it.
pub(super) fn may_go_on(books: &Books, records: &Records, job: JobId) -> bool {
    records.get(&job).is_some_and(|record| !record.job.ended)
        || books.followed.contains(&job)
        || books.absent.contains_key(&job)
}

/// A job has the next records of a parent's log. True if there is no such log any more.
pub(super) fn take(
    cx: &mut OwnerCtx<'_, '_>,
    records: &mut Records,
    child: JobId,
    page: &LogPage<'_>,
) -> bool {
    let is_live = may_go_on(cx.books, records, page.job);
    let record = known(records, child);
    if cx.books.keeping.stops(&record.job) {
        return false;
    }
    let Some(edge) = edge_of(record, page.job) else { return false };
    let mut outputs = Vec::new();
    match (page.usable(), page.records) {
        (_, None) => edge.on_unread(is_live),
        ([], Some(records)) => edge.on_nothing_more(records.is_empty() && !is_live),
        (usable, Some(_)) => outputs = edge.read(usable),
    }
    let (is_gone, is_over) = (edge.has_no_log(), edge.is_over());
    let rests = !edge.grown && !is_over;
    if is_over {
        // It may have been what others had to wait for.
        cx.books.keeping.readers.note_room_of_all();
    }
    if rests && cx.books.keeping.readers.look_later(page.job) {
        cx.books.agenda.set(cx.ctx.now.plus_ms(READ_AGAIN_MS), Alarm::Read(page.job));
    }
    resolve(cx, record, page.job, outputs);
    is_gone
}

/// Makes tasks and inputs of what a page says.
fn resolve(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId, mut outputs: Vec<(u32, Payload)>) {
    let first = record.job.total();
    let Some(edge) = edge_of(record, parent) else { return };
    let (tasks, has_all, is_over) = (edge.tasks(), edge.has_all(), edge.is_over());
    if record.job.open {
        grow(cx, record, tasks);
    }
    outputs.retain(|(index, output)| record.job.resolve(*index, output.clone()));
    if record.job.is_kept() {
        cx.books.keeping.resolve(record.name(), &outputs);
    }
    take_known(cx, record, outputs.into_iter().map(|(index, _)| index));
    if is_over {
        skip(cx, record, parent);
    }
    match has_all {
        _ if !record.job.open => {}
        Tasks::Coming => {}
        Tasks::All => close(cx, record),
        Tasks::Stopped => stop(cx, record),
        Tasks::Lacking => end_short(cx, record, parent),
    }
    begin_new(cx, record, first);
}

/// The job has as many tasks as its parent. That is told before anything of them is.
fn grow(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, tasks: u32) {
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

/// It gets no more, for good.
fn close(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.job.is_kept() {
        cx.books.keeping.close(&record.job);
    }
    stop(cx, record);
}

/// It gets no more as long as it is not tried again; then its parent may have more.
fn stop(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    record.job.open = false;
    cx.tell(&record.job, Event::Grown { job: record.name(), tasks: record.job.total(), closed: true });
}

/// No more of the parent is known, which may have had more tasks than are known. One more is there for these, and ends without a
/// run: half a job must not pass for a whole one.
pub(super) fn end_short(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId) {
    grow(cx, record, record.job.total().saturating_add(1));
    close(cx, record);
    skip(cx, record, parent);
}

/// What waits for results of a parent that has no more ends without a run.
pub(super) fn skip(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId) {
    for index in 0..record.job.total() {
        if record.job.task(index).is_some_and(|task| task.state() == TaskState::Awaiting) {
            commit(cx, record, index, Ending::of_task(Outcome::ParentFailed { job: parent }));
        }
    }
}
