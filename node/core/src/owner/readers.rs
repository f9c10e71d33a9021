//! Which jobs read the logs of which others, and when there may be more to read. Plain bookkeeping; `edges.rs` has it read.

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
    grown: Vec<JobId>,
}

/// Who reads one job's log.
#[derive(Debug, Default)]
struct Reader {
    by: BTreeSet<JobId>,
    /// The ticket of its last record that is not known to be on the disk; of a job at level disk alone.
    ticket: Option<u64>,
    /// The record from which on a page was asked for that has not come.
    asked: Option<u32>,
    /// It is looked at again at a time that is set.
    looks: bool,
}

impl Readers {
    pub(super) fn add(&mut self, parent: JobId, child: JobId) {
        self.of.entry(parent).or_default().by.insert(child);
        self.pending.insert(parent);
    }

    /// A job reads no more: it has ended, or is gone from here.
    pub(super) fn leave(&mut self, child: JobId, edges: &[Edge]) {
        for Edge { parent, .. } in edges {
            let Some(reader) = self.of.get_mut(parent) else { continue };
            reader.by.remove(&child);
            // What was asked for is still answered, and is this owner's to take.
            if reader.by.is_empty() && reader.asked.is_none() {
                self.of.remove(parent);
            }
        }
    }

    /// The jobs that read that one's log.
    pub(super) fn of(&self, parent: JobId) -> Vec<JobId> {
        self.of.get(&parent).map(|reader| reader.by.iter().copied().collect()).unwrap_or_default()
    }

    // ---- when there is more

    /// A record of a job at level disk is to be written with that ticket.
    pub(super) fn on_written(&mut self, parent: JobId, ticket: u64) {
        if let Some(reader) = self.of.get_mut(&parent) {
            reader.ticket = Some(ticket);
        }
    }

    /// All up to that ticket is on the disk.
    pub(super) fn on_persisted(&mut self, upto: u64) {
        for (parent, reader) in &mut self.of {
            if reader.ticket.take_if(|ticket| *ticket <= upto).is_some() {
                self.grown.push(*parent);
            }
        }
    }

    /// More of a log may be committed.
    pub(super) fn on_grown(&mut self, parent: JobId) {
        if self.of.contains_key(&parent) {
            self.grown.push(parent);
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
            self.grown.push(parent);
        }
    }

    /// Kept jobs may get more tasks again.
    pub(super) fn look_at_all(&mut self) {
        self.pending.extend(self.of.keys());
    }

    /// A job that reads it may have room for more.
    pub(super) fn look_at(&mut self, parent: JobId) {
        if self.of.contains_key(&parent) {
            self.pending.insert(parent);
        }
    }

    pub(super) fn take_grown(&mut self) -> Vec<JobId> {
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
            reader.asked = Some(from);
        }
    }

    /// A page came. Whether it was asked for here.
    pub(super) fn answer(&mut self, parent: JobId, from: u32) -> bool {
        let Some(reader) = self.of.get_mut(&parent) else { return false };
        let is_asked = reader.asked.take_if(|asked| *asked == from).is_some();
        if is_asked && reader.by.is_empty() {
            self.of.remove(&parent);
        } else if is_asked {
            self.pending.insert(parent);
        }
        is_asked
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
        readers.look_at(PARENT);
        assert_eq!(readers.take_pending(), [], "a page is on its way");
        assert!(!readers.answer(PARENT, 4) && readers.answer(PARENT, 5) && !readers.answer(PARENT, 5));
        assert_eq!(readers.take_pending(), [PARENT]);
        readers.ask(PARENT, 6);
        readers.leave(CHILD, &[Edge::new(PARENT)]);
        assert!(readers.answer(PARENT, 6), "it was asked for, though nobody wants it any more");
        assert!(!readers.answer(PARENT, 6) && readers.of(PARENT).is_empty());
    }

    #[test]
    fn there_is_more_once_the_last_ticket_is_on_the_disk() {
        let mut readers = Readers::default();
        readers.add(PARENT, CHILD);
        readers.on_written(PARENT, 7);
        readers.on_written(JobId(9), 8);
        readers.on_persisted(6);
        assert_eq!(readers.take_grown(), []);
        readers.on_persisted(7);
        assert_eq!(readers.take_grown(), [PARENT]);
        readers.on_persisted(8);
        assert_eq!(readers.take_grown(), []);
        readers.on_grown(PARENT);
        readers.on_grown(JobId(9));
        assert_eq!(readers.take_grown(), [PARENT]);
    }
}
