//! How long each job's log is: what an append is checked against before it waits for the disk, so that the writer has
//! nothing left to refuse.

use std::collections::HashMap;

use weft_core::JobId;

use crate::error::{Damage, Refused};
use crate::head::Head;
use crate::kind::Kind;
use crate::listing::Listing;
use crate::record::Entry;
use crate::shelf::Shelf;

/// Logs that may be kept; beyond it no new one is begun.
pub(crate) const LOGS_MAX: usize = 1_000_000;

/// All of them.
#[derive(Debug)]
pub(crate) struct Heads {
    of: HashMap<JobId, Head>,
    /// What is wrong with those in quarantine.
    damages: HashMap<JobId, Damage>,
    next_no: u32,
}

/// An entry that was let in: where it goes in the file.
#[derive(Debug)]
pub(crate) enum Op {
    /// A record, or as record 0 a member's own word.
    Row { job: JobId, head: Head, seq: u32, kind: i64, ends: u32, bytes: Vec<u8> },
    /// Records behind `after` go.
    Cut { job: JobId, head: Head, after: u32 },
    /// All of it goes.
    Forget { job: JobId, head: Head },
    /// A line of the list.
    List { job: JobId, no: u32, listing: Listing },
    /// A thing for a shelf.
    Put { shelf: Shelf, key: Vec<u8>, bytes: Vec<u8> },
    /// A thing from a shelf.
    Take { shelf: Shelf, key: Vec<u8> },
}

/// What a head was before an append that may yet be refused.
type Undo = Vec<(JobId, Option<Head>)>;

impl Heads {
    /// The heads that were read back; new logs get numbers from `next_no` on.
    pub(crate) fn new(of: HashMap<JobId, Head>, damages: HashMap<JobId, Damage>, next_no: u32) -> Self {
        Self { of, damages, next_no }
    }

    pub(crate) fn get(&self, job: JobId) -> Option<Head> {
        self.of.get(&job).copied()
    }

    /// What is wrong with a job's log; none if it is sound, or if there is none.
    pub(crate) fn damage(&self, job: JobId) -> Option<Damage> {
        self.get(job).filter(|head| !head.sound)?;
        Some(self.damages.get(&job).cloned().unwrap_or(Damage::Head))
    }

    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    /// Puts a job into quarantine.
    pub(crate) fn distrust(&mut self, job: JobId) {
        if let Some(head) = self.of.get_mut(&job)
            && head.sound
        {
            head.sound = false;
            let why = String::from("the node could not make sense of them");
            self.damages.insert(job, Damage::Meaning(why));
        }
    }

    /// Lets entries in, all or none.
    pub(crate) fn admit(&mut self, entries: Vec<Entry>) -> Result<Vec<Op>, Refused> {
        let mut undo = Undo::new();
        let mut ops = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.admit_one(entry, &mut undo) {
                Ok(Some(op)) => ops.push(op),
                Ok(None) => {}
                Err(refused) => {
                    self.restore(undo);
                    return Err(refused);
                }
            }
        }
        for op in &ops {
            if let Op::Forget { job, .. } = op {
                self.damages.remove(job);
            }
        }
        Ok(ops)
    }

    fn restore(&mut self, undo: Undo) {
        for (job, before) in undo.into_iter().rev() {
            match before {
                Some(head) => self.of.insert(job, head),
                None => self.of.remove(&job),
            };
        }
    }

    fn admit_one(&mut self, entry: Entry, undo: &mut Undo) -> Result<Option<Op>, Refused> {
        entry.check_size()?;
        let op = match entry {
            Entry::Append { job, seq, kind, ends, bytes } => match self.append(job, seq, kind, undo)? {
                Some(head) => Op::Row { job, head, seq, kind: kind.number(), ends, bytes },
                None => return Ok(self.forget(job, undo)),
            },
            Entry::Cut { job, after } => return self.cut(job, after, undo),
            Entry::Own { job, bytes } => {
                let mut head = self.sound_or_new(job)?;
                head.owns = head.owns.wrapping_add(1);
                self.set(job, head, undo);
                Op::Row { job, head, seq: 0, kind: i64::from(head.owns), ends: 0, bytes }
            }
            Entry::List { job, listing } => match self.sound(job) {
                Ok(head) => Op::List { job, no: head.no, listing },
                Err(_gone) => return Ok(None),
            },
            Entry::Forget { job } => return Ok(self.forget(job, undo)),
            Entry::Put { shelf, key, bytes } => Op::Put { shelf, key, bytes },
            Entry::Take { shelf, key } => Op::Take { shelf, key },
        };
        Ok(Some(op))
    }

    /// Where the log is with a record that comes next; none if the record says that the log goes.
    fn append(&mut self, job: JobId, seq: u32, kind: Kind, undo: &mut Undo) -> Result<Option<Head>, Refused> {
        let mut head = self.sound_or_new(job)?;
        let is_empty = head.next == head.first;
        let jumps = kind == Kind::Snapshot && seq > head.next;
        if seq != head.next && !jumps {
            return Err(Refused::Order { job, expected: head.next, found: seq });
        }
        if is_empty && !matches!(kind, Kind::Accepted | Kind::Snapshot | Kind::Fired | Kind::Forgotten) {
            return Err(Refused::Beginning { job, kind });
        }
        head.next = seq.checked_add(1).ok_or(Refused::TooMany { logs: self.len() })?;
        if kind == Kind::Snapshot {
            head.first = seq;
        }
        self.set(job, head, undo);
        Ok((kind != Kind::Forgotten).then_some(head))
    }

    fn cut(&mut self, job: JobId, after: u32, undo: &mut Undo) -> Result<Option<Op>, Refused> {
        let mut head = self.sound(job)?;
        let stays = after >= head.first || (after == 0 && head.first == 1);
        if !stays || after >= head.next {
            return Err(Refused::Order { job, expected: head.next, found: after });
        }
        if after + 1 == head.next {
            return Ok(None);
        }
        head.next = after + 1;
        head.cuts = head.cuts.saturating_add(1);
        self.set(job, head, undo);
        Ok(Some(Op::Cut { job, head, after }))
    }

    fn forget(&mut self, job: JobId, undo: &mut Undo) -> Option<Op> {
        let head = self.of.remove(&job)?;
        undo.push((job, Some(head)));
        Some(Op::Forget { job, head })
    }

    fn sound(&self, job: JobId) -> Result<Head, Refused> {
        match self.get(job) {
            Some(head) if head.sound => Ok(head),
            Some(_) => Err(Refused::Quarantined { job }),
            None => Err(Refused::Unknown { job }),
        }
    }

    fn sound_or_new(&mut self, job: JobId) -> Result<Head, Refused> {
        match self.sound(job) {
            Err(Refused::Unknown { .. }) if self.len() < LOGS_MAX => {
                let no = self.next_no;
                self.next_no = no.checked_add(1).ok_or(Refused::TooMany { logs: self.len() })?;
                Ok(Head { no, first: 1, next: 1, cuts: 0, owns: 0, sound: true })
            }
            Err(Refused::Unknown { .. }) => Err(Refused::TooMany { logs: self.len() }),
            other => other,
        }
    }

    fn set(&mut self, job: JobId, head: Head, undo: &mut Undo) {
        undo.push((job, self.of.insert(job, head)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(7);

    fn append(seq: u32, kind: Kind) -> Entry {
        Entry::Append { job: JOB, seq, kind, ends: 0, bytes: vec![1] }
    }

    fn heads() -> Heads {
        Heads::new(HashMap::new(), HashMap::new(), 1)
    }

    #[test]
    fn a_log_has_no_gaps_and_begins_at_its_beginning() {
        let mut heads = heads();
        assert_eq!(
            heads.admit(vec![append(1, Kind::Closed)]).unwrap_err(),
            Refused::Beginning { job: JOB, kind: Kind::Closed }
        );
        heads.admit(vec![append(1, Kind::Accepted), append(2, Kind::Closed)]).unwrap();
        for found in [0, 1, 2, 4] {
            assert_eq!(
                heads.admit(vec![append(found, Kind::Outcomes)]).unwrap_err(),
                Refused::Order { job: JOB, expected: 3, found }
            );
        }
        heads.admit(vec![append(9, Kind::Snapshot)]).unwrap();
        assert_eq!(heads.get(JOB).map(|head| (head.first, head.next)), Some((9, 10)));
    }

    #[test]
    fn a_refused_append_leaves_nothing_behind() {
        let mut heads = heads();
        heads.admit(vec![append(1, Kind::Accepted)]).unwrap();
        let before = heads.get(JOB);
        heads
            .admit(vec![append(2, Kind::Closed), Entry::Forget { job: JOB }, append(7, Kind::Ended)])
            .unwrap_err();
        assert_eq!(heads.get(JOB), before);
    }

    #[test]
    fn only_what_is_behind_the_snapshot_can_be_cut() {
        let mut heads = heads();
        heads
            .admit(vec![append(1, Kind::Accepted), append(2, Kind::Snapshot), append(3, Kind::Ended)])
            .unwrap();
        assert!(heads.admit(vec![Entry::Cut { job: JOB, after: 1 }]).is_err());
        assert!(heads.admit(vec![Entry::Cut { job: JOB, after: 4 }]).is_err());
        heads.admit(vec![Entry::Cut { job: JOB, after: 2 }, append(3, Kind::Cancelled)]).unwrap();
        assert_eq!(heads.get(JOB).map(|head| head.next), Some(4));
        assert!(
            heads.admit(vec![Entry::Cut { job: JOB, after: 0 }]).is_err(),
            "what a snapshot covers is gone"
        );
    }

    #[test]
    fn a_log_that_is_cut_to_nothing_begins_anew_and_keeps_what_was_promised() {
        let mut heads = heads();
        heads
            .admit(vec![
                append(1, Kind::Accepted),
                Entry::Own { job: JOB, bytes: vec![7] },
                append(2, Kind::Closed),
            ])
            .unwrap();
        heads.admit(vec![Entry::Cut { job: JOB, after: 0 }]).unwrap();
        assert_eq!(heads.get(JOB).map(|head| (head.next, head.owns)), Some((1, 1)));
        assert!(heads.admit(vec![append(1, Kind::Closed)]).is_err(), "it begins at its beginning");
        heads.admit(vec![append(1, Kind::Accepted)]).unwrap();
    }

    #[test]
    fn a_job_in_quarantine_can_only_be_forgotten() {
        let mut heads = heads();
        heads.admit(vec![append(1, Kind::Accepted)]).unwrap();
        heads.distrust(JOB);
        assert_eq!(
            heads.admit(vec![append(2, Kind::Closed)]).unwrap_err(),
            Refused::Quarantined { job: JOB }
        );
        heads.admit(vec![Entry::Forget { job: JOB }]).unwrap();
        assert_eq!(heads.get(JOB), None);
    }
}
