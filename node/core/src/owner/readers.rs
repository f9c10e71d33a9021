//! Which jobs read the logs of which others, and when there may be more to read. Plain bookkeeping; `edges.rs` has it read.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::edge::Edge;
use crate::id::JobId;

/// The jobs whose logs others read.
#[derive(Debug, Default)]
pub(super) struct Readers {
    of: BTreeMap<JobId, Reader>,
    /// Those to look at: more may be committed, an answer came, or one that reads has room again.
    pending: BTreeSet<JobId>,
    /// Those of which more may be committed.
    grown: BTreeSet<JobId>,
    /// Those of which more is there, and none that reads it had room for it.
    full: BTreeSet<JobId>,
    /// Those of which a page was asked for in this input.
    asked: Vec<JobId>,
}

/// Who reads one job's log.
#[derive(Debug, Default)]
struct Reader {
    by: BTreeSet<JobId>,
    /// The tickets of the first and the last of its records that are not known to be on the disk; of a job at level disk alone.
    tickets: Option<(u64, u64)>,
    /// A page was asked for that has not come.
    asked: Option<Asked>,
    /// It is looked at again at a time that is set.
    looks: bool,
}

/// A page that was asked for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// The record from which on.
    from: u32,
    /// What was committed then of a job at level mesh, by which member of this node.
    committed: Option<(u64, u32)>,
}

impl Readers {
    pub(super) fn add(&mut self, parent: JobId, child: JobId) {
        self.of.entry(parent).or_default().by.insert(child);
        self.pending.insert(parent);
    }

    /// A job reads no more: it has ended, or is gone from here.
    pub(super) fn leave(&mut self, child: JobId, edge: Option<Box<Edge>>) {
        let Some(Edge { parent, .. }) = edge.as_deref() else { return };
        // It may have been what the others had to wait for.
        self.pending.append(&mut self.full);
        let Some(reader) = self.of.get_mut(parent) else { return };
        reader.by.remove(&child);
        // What was asked for is still answered, and is this owner's to take.
        if reader.by.is_empty() && reader.asked.is_none() {
            self.of.remove(parent);
        }
    }

    /// All jobs that read logs.
    pub(super) fn children(&self) -> impl Iterator<Item = JobId> {
        self.of.values().flat_map(|reader| reader.by.iter().copied())
    }

    /// The jobs that read that one's log.
    pub(super) fn of(&self, parent: JobId) -> Vec<JobId> {
        self.of.get(&parent).map(|reader| reader.by.iter().copied().collect()).unwrap_or_default()
    }

    // ---- when there is more

    /// A record of a job at level disk is to be written with that ticket.
    pub(super) fn on_written(&mut self, parent: JobId, ticket: u64) {
        if let Some(reader) = self.of.get_mut(&parent) {
            reader.tickets = Some((reader.tickets.map_or(ticket, |(first, _)| first), ticket));
        }
    }

    /// All up to that ticket is on the disk.
    pub(super) fn on_persisted(&mut self, upto: u64) {
        for (parent, reader) in &mut self.of {
            let Some((_, last)) = reader.tickets.take_if(|(first, _)| *first <= upto) else { continue };
            reader.tickets = (last > upto).then_some((upto + 1, last));
            self.grown.insert(*parent);
        }
    }

    /// More of a log may be committed.
    pub(super) fn on_grown(&mut self, parent: JobId) {
        if self.of.contains_key(&parent) {
            self.grown.insert(parent);
        }
    }

    /// It is to be looked at again after a while. False if that is so already.
    pub(super) fn look_later(&mut self, parent: JobId) -> bool {
        let reader = self.of.get_mut(&parent);
        reader.is_some_and(|reader| !core::mem::replace(&mut reader.looks, true))
    }

    /// That while is over.
    pub(super) fn on_time(&mut self, parent: JobId) {
        if let Some(reader) = self.of.get_mut(&parent) {
            reader.looks = false;
            self.grown.insert(parent);
        }
    }

    /// No job that reads it has room for more: that is looked at again when one has.
    pub(super) fn note_full(&mut self, parent: JobId) {
        self.full.insert(parent);
    }

    /// A job that reads that one's log may have room for more.
    pub(super) fn note_room(&mut self, parent: JobId) {
        if self.full.remove(&parent) {
            self.pending.insert(parent);
        }
    }

    /// Any of them may have.
    pub(super) fn note_room_of_all(&mut self) {
        self.pending.append(&mut self.full);
    }

    pub(super) fn take_grown(&mut self) -> BTreeSet<JobId> {
        let grown = core::mem::take(&mut self.grown);
        self.pending.extend(&grown);
        grown
    }

    /// Those to look at of which no page is on its way.
    pub(super) fn take_pending(&mut self) -> Vec<JobId> {
        let is_free = |parent: &JobId| self.of.get(parent).is_some_and(|reader| reader.asked.is_none());
        core::mem::take(&mut self.pending).into_iter().filter(is_free).collect()
    }

    pub(super) fn has_news(&self) -> bool {
        !self.grown.is_empty() || !self.pending.is_empty()
    }

    // ---- what is read

    /// A page from that record on was asked for.
    pub(super) fn ask(&mut self, parent: JobId, from: u32) {
        if let Some(reader) = self.of.get_mut(&parent) {
            reader.asked = Some(Asked { from, committed: None });
            self.asked.push(parent);
        }
    }

    /// The jobs of which a page was asked for since this was last asked.
    pub(super) fn take_asked(&mut self) -> Vec<JobId> {
        core::mem::take(&mut self.asked)
    }

    /// What of a job at level mesh is committed as its page is asked for.
    pub(super) fn note_committed(&mut self, parent: JobId, committed: Option<(u64, u32)>) {
        let asked = self.of.get_mut(&parent).and_then(|reader| reader.asked.as_mut());
        asked.into_iter().for_each(|asked| asked.committed = committed);
    }

    /// A page came; nothing if it was not asked for here. The last record of it that counts: one that was committed when it was
    /// asked for and is now, by the same member of this node. What was not may have been replaced meanwhile. Of a job that this node
    /// keeps alone all count.
    pub(super) fn answer(&mut self, parent: JobId, from: u32, committed: Option<(u64, u32)>) -> Option<u32> {
        let reader = self.of.get_mut(&parent)?;
        let asked = reader.asked.take_if(|asked| asked.from == from)?;
        if reader.by.is_empty() {
            self.of.remove(&parent);
        } else {
            self.pending.insert(parent);
        }
        Some(match (asked.committed, committed) {
            (None, None) => u32::MAX,
            (Some((then, before)), Some((now, upto))) if then == now => before.min(upto),
            (Some(_), _) | (None, Some(_)) => 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: JobId = JobId(1);
    const CHILD: JobId = JobId(2);

    #[test]
    fn one_page_at_a_time_is_asked_for_and_belongs_to_who_asked() {
        let mut readers = Readers::default();
        readers.add(PARENT, CHILD);
        assert_eq!(readers.take_pending(), [PARENT]);
        readers.ask(PARENT, 5);
        readers.note_full(PARENT);
        assert_eq!(readers.take_pending(), [], "a page is on its way");
        assert_eq!(readers.answer(PARENT, 4, None), None);
        assert_eq!(
            (readers.answer(PARENT, 5, None), readers.answer(PARENT, 5, None)),
            (Some(u32::MAX), None)
        );
        assert_eq!(readers.take_pending(), [PARENT]);
        readers.ask(PARENT, 6);
        readers.leave(CHILD, Some(Box::new(Edge::new(PARENT))));
        assert_eq!(
            readers.answer(PARENT, 6, None),
            Some(u32::MAX),
            "it was asked for, though no job wants it any more"
        );
        assert!(readers.answer(PARENT, 6, None).is_none() && readers.of(PARENT).is_empty());
    }

    #[test]
    fn what_was_not_committed_when_a_page_was_asked_for_does_not_count() {
        let mut readers = Readers::default();
        readers.add(PARENT, CHILD);
        // what was committed then and is now, by which member, and the last record that counts
        for (then, now, counts) in [
            (None, None, u32::MAX),
            (Some((1, 4)), Some((1, 9)), 4),
            (Some((1, 9)), Some((1, 4)), 4),
            (Some((1, 4)), Some((2, 9)), 0),
            (Some((1, 4)), None, 0),
            (None, Some((1, 4)), 0),
        ] {
            readers.ask(PARENT, 1);
            assert_eq!(readers.take_asked(), [PARENT]);
            readers.note_committed(PARENT, then);
            assert_eq!(readers.answer(PARENT, 1, now), Some(counts), "{then:?} {now:?}");
        }
    }

    #[test]
    fn there_is_more_once_some_of_what_was_written_is_on_the_disk() {
        let mut readers = Readers::default();
        readers.add(PARENT, CHILD);
        for ticket in [7, 9] {
            readers.on_written(PARENT, ticket);
        }
        readers.on_written(JobId(9), 8);
        // what is on the disk, and whether there is more
        for (upto, more) in [(6, false), (8, true), (8, false), (9, true), (10, false)] {
            readers.on_persisted(upto);
            assert_eq!(!readers.take_grown().is_empty(), more, "upto {upto}");
        }
        readers.on_grown(PARENT);
        readers.on_grown(JobId(9));
        assert_eq!(readers.take_grown(), BTreeSet::from([PARENT]));
    }

    #[test]
    fn what_had_no_room_is_looked_at_again_when_a_job_that_reads_it_has_some() {
        let mut readers = Readers::default();
        let other = JobId(3);
        readers.add(PARENT, CHILD);
        readers.add(other, JobId(4));
        assert_eq!(readers.take_pending(), [PARENT, other]);
        let fill = |readers: &mut Readers| [PARENT, other].map(|parent| readers.note_full(parent));
        fill(&mut readers);
        assert!(!readers.has_news() && readers.take_pending().is_empty(), "nothing changed");
        readers.note_room(PARENT);
        assert!(readers.has_news());
        assert_eq!(readers.take_pending(), [PARENT]);
        fill(&mut readers);
        readers.note_room_of_all();
        assert_eq!(readers.take_pending(), [PARENT, other]);
        fill(&mut readers);
        readers.leave(CHILD, Some(Box::new(Edge::new(PARENT))));
        assert_eq!(readers.take_pending(), [other], "the one that left may have been what it waited for");
    }
}
