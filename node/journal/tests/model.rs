//! Any sequence of appends, snapshots, cuts, forgetting and restarts leaves what a plain map says.
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use support::{Open, open, quick_dir};
use weft_core::JobId;
use weft_journal::{Entry, Kind, Shelf};

#[derive(Clone, Debug)]
enum Step {
    Append { job: u64, length: usize },
    Snapshot { job: u64, skipped: u32 },
    Cut { job: u64, back: u32 },
    Forget { job: u64 },
    Own { job: u64, byte: u8 },
    Put { key: u8, byte: u8 },
    Take { key: u8 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let job = 1..4u64;
    prop_oneof![
        8 => (job.clone(), 0..6000usize).prop_map(|(job, length)| Step::Append { job, length }),
        2 => (job.clone(), 0..3u32).prop_map(|(job, skipped)| Step::Snapshot { job, skipped }),
        2 => (job.clone(), 0..4u32).prop_map(|(job, back)| Step::Cut { job, back }),
        1 => job.clone().prop_map(|job| Step::Forget { job }),
        1 => (job, any::<u8>()).prop_map(|(job, byte)| Step::Own { job, byte }),
        1 => (0..4u8, any::<u8>()).prop_map(|(key, byte)| Step::Put { key, byte }),
        1 => (0..4u8).prop_map(|key| Step::Take { key }),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Default)]
struct Model {
    logs: BTreeMap<u64, Vec<(u32, Kind, Vec<u8>)>>,
    own: BTreeMap<u64, Vec<u8>>,
    things: BTreeMap<u8, u8>,
    written: u8,
}

impl Model {
    fn next(&self, job: u64) -> u32 {
        self.logs.get(&job).and_then(|log| log.last()).map_or(1, |(seq, _, _)| seq + 1)
    }

    /// Does the same to itself; the entry to append, if it can be.
    fn take(&mut self, step: &Step) -> Option<Entry> {
        self.written = self.written.wrapping_add(1);
        match *step {
            Step::Append { job, length } => {
                let seq = self.next(job);
                let kind = if seq == 1 { Kind::Accepted } else { Kind::Outcomes };
                Some(self.append(job, seq, kind, length))
            }
            Step::Snapshot { job, skipped } => {
                let seq = self.next(job) + skipped;
                self.logs.remove(&job);
                Some(self.append(job, seq, Kind::Snapshot, 10))
            }
            Step::Cut { job, back } => {
                let log = self.logs.get_mut(&job)?;
                let first = log.first()?.0;
                let after = log.last()?.0.checked_sub(back).filter(|after| *after >= first)?;
                log.retain(|(seq, _, _)| *seq <= after);
                Some(Entry::Cut { job: JobId(job), after })
            }
            Step::Forget { job } => {
                self.logs.remove(&job);
                self.own.remove(&job);
                Some(Entry::Forget { job: JobId(job) })
            }
            Step::Own { job, byte } => {
                self.own.insert(job, vec![byte]);
                Some(Entry::Own { job: JobId(job), bytes: vec![byte] })
            }
            Step::Put { key, byte } => {
                self.things.insert(key, byte);
                Some(Entry::Put { shelf: Shelf::Schedules, key: vec![key], bytes: vec![byte] })
            }
            Step::Take { key } => {
                self.things.remove(&key);
                Some(Entry::Take { shelf: Shelf::Schedules, key: vec![key] })
            }
            Step::Restart => None,
        }
    }

    fn append(&mut self, job: u64, seq: u32, kind: Kind, length: usize) -> Entry {
        let bytes = vec![self.written; length];
        self.logs.entry(job).or_default().push((seq, kind, bytes.clone()));
        Entry::Append { job: JobId(job), seq, kind, ends: 0, bytes }
    }

    fn check(&self, open: &Open) {
        assert_eq!(open.story.logs, self.logs);
        assert_eq!(open.story.own, self.own);
        assert!(open.story.quarantined.is_empty(), "{:?}", open.story.quarantined);
        let things: BTreeMap<u8, u8> =
            open.story.shelved.iter().map(|((_, key), bytes)| (key[0], bytes[0])).collect();
        assert_eq!(things, self.things);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_what_a_map_says(steps in prop::collection::vec(step(), 1..60)) {
        let dir = quick_dir();
        let mut model = Model::default();
        let mut journal = open(dir.path());
        for step in &steps {
            if matches!(step, Step::Restart) {
                drop(journal);
                journal = open(dir.path());
                model.check(&journal);
            } else if let Some(entry) = model.take(step) {
                journal.journal.append(vec![entry]).unwrap();
            }
        }
        drop(journal);
        model.check(&open(dir.path()));
    }
}
