//! What of jobs at level mesh waits until a second node keeps it: the words about each job, in order, behind the records of
//! its log. One job holds up no other. Held by `keeping.rs`; nothing is decided here.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::words::{Told, Word};
use crate::ctx::Ctx;
use crate::custody::trio::Trio;
use crate::id::{JobId, LeaseId, PeerId};
use crate::time::Time;

/// Bytes of held words about one job beyond which no outcome of it is taken from another node, and none of its tasks is placed.
const LINE_BYTES_MAX: usize = 16 << 20;

/// The jobs at level mesh that this node leads, each with its line of words.
#[derive(Debug, Default)]
pub(super) struct Lines {
    of: BTreeMap<JobId, Line>,
    /// What all of their words take, in bytes.
    bytes: usize,
    /// Acknowledgements among them, gathered ones included.
    acks: usize,
    /// The jobs that inputs were about since records were emitted.
    touched: Vec<JobId>,
}

/// The words about one job.
#[derive(Debug)]
struct Line {
    /// The last record of its log.
    last: u32,
    /// The last one that a second node keeps, as far as this node knows.
    committed: u32,
    held: VecDeque<Held>,
    /// What these take, in bytes.
    bytes: usize,
    /// Acknowledgements that were gathered since then.
    acks: Vec<(PeerId, LeaseId)>,
    /// The end of the job is among the words.
    end_waits: bool,
    /// Who keeps it.
    trio: Trio,
}

/// A word that waits for a record.
#[derive(Debug)]
struct Held {
    behind: u32,
    since: Time,
    word: Word,
    cost: usize,
}

impl Lines {
    /// This node leads a job that these keep, whose log has this many records, none of which is known to be committed.
    pub(super) fn open(&mut self, job: JobId, trio: Trio, last: u32) {
        self.close(job);
        let (held, acks) = (VecDeque::new(), Vec::new());
        self.of.insert(job, Line { last, committed: 0, held, bytes: 0, acks, end_waits: false, trio });
    }

    /// This node does not lead a job any more, or it is forgotten: nothing that waits is told.
    pub(super) fn close(&mut self, job: JobId) {
        let Some(line) = self.of.remove(&job) else { return };
        self.acks -= line.acks.len();
        self.bytes -= line.bytes;
        self.acks -= line.held.iter().map(|held| held.word.count_acks()).sum::<usize>();
    }

    /// Who keeps a job from here on.
    pub(super) fn set_trio(&mut self, job: JobId, trio: Trio) {
        self.of.get_mut(&job).into_iter().for_each(|line| line.trio = trio);
    }

    /// Who keeps a job that is led here.
    pub(super) fn trio(&self, job: JobId) -> Option<Trio> {
        self.of.get(&job).map(|line| line.trio)
    }

    pub(super) fn contains(&self, job: JobId) -> bool {
        self.of.contains_key(&job)
    }

    /// Words that wait.
    pub(super) fn len(&self) -> usize {
        self.of.values().map(|line| line.held.len()).sum()
    }

    /// Words about one job that wait.
    pub(super) fn count(&self, job: JobId) -> usize {
        self.of.get(&job).map_or(0, |line| line.held.len())
    }

    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more may wait about a job.
    pub(super) fn has_room(&self, job: JobId) -> bool {
        self.of.get(&job).is_none_or(|line| line.bytes < LINE_BYTES_MAX)
    }

    /// Acknowledgements that wait.
    pub(super) fn acks(&self) -> usize {
        self.acks
    }

    /// Since when the oldest word about a job has waited, if one does.
    pub(super) fn waits_since(&self, job: JobId) -> Option<Time> {
        self.of.get(&job)?.held.front().map(|held| held.since)
    }

    // ---- while an input is handled

    /// The input has something about a job. True if that is one of these.
    pub(super) fn gather(&mut self, job: JobId) -> bool {
        let is_led = self.of.contains_key(&job);
        if is_led {
            self.touched.push(job);
        }
        is_led
    }

    /// A worker is to be told that an outcome is safe. Held until the input has been handled, at least: the end that the
    /// outcome is for may be gathered after this.
    pub(super) fn ack(&mut self, worker: PeerId, lease: LeaseId) {
        let Some(line) = self.of.get_mut(&lease.job) else { return };
        line.acks.push((worker, lease));
        self.acks += 1;
        self.touched.push(lease.job);
    }

    /// Whether the input has something about one of these.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    // ---- at its end

    /// A record was added to a job's log.
    pub(super) fn on_appended(&mut self, job: JobId, seq: u32) {
        if let Some(line) = self.of.get_mut(&job) {
            line.last = line.last.max(seq);
        }
    }

    /// A word waits for the last record of a job's log.
    pub(super) fn hold(&mut self, now: Time, job: JobId, word: Word, cost: usize) {
        let Some(line) = self.of.get_mut(&job) else { return };
        self.bytes += cost;
        line.bytes += cost;
        line.end_waits |= matches!(word, Word::ParentEnded(_));
        line.held.push_back(Held { behind: line.last, since: now, word, cost });
    }

    /// The input has been handled: its acknowledgements are held behind its words, each counted as this many bytes. The jobs that
    /// may have something to tell at once.
    pub(super) fn end_input(&mut self, now: Time, ack_bytes: usize) -> Vec<JobId> {
        let mut touched = core::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for job in &touched {
            let Some(line) = self.of.get_mut(job) else { continue };
            if !line.acks.is_empty() {
                let acks = core::mem::take(&mut line.acks);
                let cost = acks.len().saturating_mul(ack_bytes);
                self.bytes += cost;
                line.bytes += cost;
                line.held.push_back(Held { behind: line.last, since: now, word: Word::Acks(acks), cost });
            }
        }
        touched
    }

    /// All records of a job up to that one are committed.
    pub(super) fn on_committed(&mut self, job: JobId, upto: u32) {
        if let Some(line) = self.of.get_mut(&job) {
            line.committed = line.committed.max(upto.min(line.last));
        }
    }

    /// Tells what of a job waits for nothing any more; what is for others than the user comes back.
    pub(super) fn release(&mut self, ctx: &mut Ctx<'_>, job: JobId) -> Told {
        let mut all = Told::default();
        let Some(line) = self.of.get_mut(&job) else { return all };
        while let Some(held) = line.held.pop_front_if(|held| held.behind <= line.committed) {
            self.bytes -= held.cost;
            line.bytes -= held.cost;
            let mut told = held.word.tell(ctx);
            self.acks -= told.acks.len();
            all.acks.append(&mut told.acks);
            all.ended = told.ended.or(all.ended);
        }
        line.end_waits &= all.ended.is_none();
        all
    }

    /// Whether a job has ended, and what comes after it was not told yet.
    pub(super) fn end_waits(&self, job: JobId) -> bool {
        self.of.get(&job).is_some_and(|line| line.end_waits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MeshConfig;
    use crate::ctx::{Outlet, Surroundings};
    use crate::custody::trio::Seat;
    use crate::effect::{Effect, Event};
    use crate::memo::Memo;
    use crate::programs::Programs;
    use crate::snapshot::Counters;
    use alloc::boxed::Box;
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng as _;

    const JOB: JobId = JobId(7);
    const OTHER: JobId = JobId(8);
    const WORKER: PeerId = PeerId([4; 32]);
    const TRIO: Trio = Trio([Seat { peer: PeerId([1; 32]), disk: 1 }; 3]);

    /// What is told of a job, and the acknowledgements.
    fn release(lines: &mut Lines, job: JobId) -> (Vec<Event>, usize) {
        let (mut counters, mut memo) = (Counters::default(), Memo::default());
        let (mut programs, mut out) = (Programs::default(), Outlet::new(ChaCha8Rng::from_seed([1; 32])));
        let of =
            Surroundings { counters: &mut counters, memo: &mut memo, programs: &mut programs, out: &mut out };
        let mut ctx = Ctx::new(Time::ZERO, PeerId([1; 32]), &MeshConfig::DEFAULT, of);
        let acks = lines.release(&mut ctx, job).acks.len();
        let told = out
            .drain()
            .filter_map(|effect| if let Effect::Notify(event) = effect { Some(event) } else { None });
        (told.collect(), acks)
    }

    fn word(lines: &mut Lines, job: JobId, seq: u32) -> Event {
        let event = Event::Accepted { job, tasks: seq };
        lines.gather(job);
        lines.on_appended(job, seq);
        lines.hold(Time(u64::from(seq)), job, Word::Event(Box::new(event.clone())), 100);
        event
    }

    fn lease(job: JobId, index: u32) -> LeaseId {
        LeaseId { job, epoch: 3, index, attempt: 1 }
    }

    #[test]
    fn a_word_waits_for_the_records_of_its_own_job_alone() {
        let mut lines = Lines::default();
        lines.open(JOB, TRIO, 0);
        lines.open(OTHER, TRIO, 5);
        let (one, two, other) =
            (word(&mut lines, JOB, 1), word(&mut lines, JOB, 2), word(&mut lines, OTHER, 6));
        assert_eq!(lines.end_input(Time(9), 10), [JOB, OTHER]);
        assert_eq!((lines.len(), lines.bytes()), (3, 300));
        lines.on_committed(OTHER, 6);
        assert_eq!(release(&mut lines, OTHER), (alloc::vec![other], 0));
        assert_eq!(release(&mut lines, JOB), (Vec::new(), 0));
        assert_eq!((lines.waits_since(JOB), lines.waits_since(OTHER)), (Some(Time(1)), None));
        lines.on_committed(JOB, 1);
        assert_eq!(release(&mut lines, JOB), (alloc::vec![one], 0));
        // More than there is can't be committed.
        lines.on_committed(JOB, 9);
        let three = word(&mut lines, JOB, 3);
        assert_eq!(release(&mut lines, JOB), (alloc::vec![two], 0));
        lines.on_committed(JOB, 3);
        assert_eq!(release(&mut lines, JOB), (alloc::vec![three], 0));
        assert_eq!((lines.len(), lines.bytes()), (0, 0));
    }

    #[test]
    fn an_acknowledgement_overtakes_nothing_and_is_counted_until_it_is_told() {
        let mut lines = Lines::default();
        lines.open(JOB, TRIO, 0);
        lines.ack(WORKER, lease(JOB, 0));
        lines.ack(WORKER, lease(OTHER, 0));
        lines.end_input(Time(9), 10);
        assert_eq!(release(&mut lines, JOB).1, 1, "nothing waits, and the other job is not led here");
        lines.ack(WORKER, lease(JOB, 1));
        word(&mut lines, JOB, 1);
        lines.end_input(Time(9), 10);
        assert_eq!(release(&mut lines, JOB).1, 0, "the end that it is for was gathered after it");
        lines.ack(WORKER, lease(JOB, 2));
        lines.end_input(Time(9), 10);
        assert_eq!((lines.acks(), lines.bytes()), (2, 120));
        lines.on_committed(JOB, 1);
        assert_eq!((release(&mut lines, JOB).1, lines.acks(), lines.bytes()), (2, 0, 0));
    }

    #[test]
    fn of_a_job_that_is_not_led_any_more_nothing_is_told_or_counted() {
        let mut lines = Lines::default();
        lines.open(JOB, TRIO, 0);
        word(&mut lines, JOB, 1);
        lines.ack(WORKER, lease(JOB, 1));
        lines.end_input(Time(9), 10);
        lines.ack(WORKER, lease(JOB, 2));
        lines.close(JOB);
        assert_eq!((lines.len(), lines.bytes(), lines.acks()), (0, 0, 0));
        lines.on_committed(JOB, 1);
        assert_eq!(release(&mut lines, JOB), (Vec::new(), 0));
        lines.open(JOB, TRIO, 1);
        assert_eq!(release(&mut lines, JOB), (Vec::new(), 0));
    }
}
