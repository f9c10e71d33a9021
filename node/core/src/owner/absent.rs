//! Jobs at level mesh that jobs here come after and that only other nodes can tell of: this node lost its seat, or came to lead
//! the later job without having one, or can't read the earlier one's log. That says nothing about how such a job ends, so what
//! comes after it waits, and the nodes that keep it are asked until one answers. A node is believed about a job that it kept when
//! this one last knew, and by a later job that it keeps, too: both were kept by the same three when the later one was submitted.
//! `custody/jobs/ends.rs` answers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Owner;
use super::agenda::Alarm;
use super::books::{Absent, Books, Completed, OwnerCtx};
use super::gate::Children;
use super::record::{Record, Records};
use crate::ctx::Ctx;
use crate::id::{JobId, PeerId};
use crate::message::Message;
use crate::snapshot::Note;
use crate::time::Time;

/// How often the nodes that may know how a job ended are asked, in milliseconds.
const ASK_MS: u64 = 5000;

impl Owner {
    /// Another node says how jobs ended. What was not asked of it is not heard.
    pub(crate) fn on_ends(&mut self, ctx: &mut Ctx<'_>, from: PeerId, ends: &[(JobId, bool)]) {
        let Self { records, books, .. } = self;
        let ends = ctx.within_frame(ends);
        let asked = ends.iter().copied().filter(|(job, _)| books.absent.contains_key(job));
        let asked: BTreeMap<JobId, bool> = asked.collect();
        ctx.counters.dropped += (ends.len() - asked.len()) as u64;
        for (parent, succeeded) in asked {
            let children = believing(records, books, parent, from);
            books.completed.push_back(Completed { parent, succeeded, children });
        }
    }
}

/// Jobs here come after one that these nodes keep.
pub(super) fn begin(books: &mut Books, now: Time, parent: JobId, keepers: &[PeerId]) {
    let Books { absent, agenda, .. } = books;
    let known = absent.entry(parent).or_insert_with(|| {
        agenda.set(now, Alarm::AskEnd(parent));
        Absent { keepers: BTreeSet::new(), asks_at: now }
    });
    known.keepers.extend(keepers);
}

/// This node keeps a job again. Whether others here wait for its end.
pub(super) fn end(books: &mut Books, parent: JobId) -> bool {
    books.absent.remove(&parent).is_some()
}

/// It is time to ask, for as long as something waits.
pub(super) fn ask(cx: &mut OwnerCtx<'_, '_>, records: &Records, parent: JobId) {
    let OwnerCtx { ctx, members, books } = cx;
    let Some(absent) = books.absent.get_mut(&parent).filter(|absent| absent.asks_at <= ctx.now) else {
        return;
    };
    let mut all = absent.keepers.clone();
    let mut waits = false;
    for record in waiting(records, parent) {
        waits = true;
        all.extend(record.job.trio.into_iter().flat_map(|trio| trio.peers()));
    }
    if !waits {
        books.absent.remove(&parent);
        return;
    }
    let me = ctx.me;
    for peer in all.into_iter().filter(|peer| *peer != me && members.is_connected(*peer)) {
        ctx.send(peer, Message::AskEnds(alloc::vec![parent]));
    }
    absent.asks_at = ctx.now.plus_ms(ASK_MS);
    books.agenda.set(absent.asks_at, Alarm::AskEnd(parent));
}

/// The jobs that wait for that one and believe a node how it ended.
fn believing(records: &Records, books: &Books, parent: JobId, from: PeerId) -> Children {
    let kept_it = books.absent.get(&parent).is_some_and(|absent| absent.keepers.contains(&from));
    let keeps = |record: &Record| record.job.trio.is_some_and(|trio| trio.seat_of(from).is_some());
    let all = waiting(records, parent).filter(|record| kept_it || keeps(record));
    all.map(|record| (record.job.number, record.name())).collect()
}

/// The jobs that wait for that one among others.
pub(super) fn waiting(records: &Records, parent: JobId) -> impl Iterator<Item = &Record> {
    records.values().map(AsRef::as_ref).filter(move |record| record.dependencies.awaits(parent))
}

/// What a job's user is told of that.
pub(super) fn notes(books: &Books, record: &Record) -> Vec<Note> {
    let absent = |job: &&JobId| books.absent.contains_key(*job) && record.dependencies.awaits(**job);
    record.job.spec.after.iter().filter(absent).map(|job| Note::ParentElsewhere { job: *job }).collect()
}
