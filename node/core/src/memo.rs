//! The memo table: results of pure tasks. The same task always has the same result, so a task with a known result need
//! not run. A bounded table that owner and worker share; a forgotten result costs one execution, nothing else. The
//! blobs of a result may leave the blob store at any time: a node that uses a result fetches them first, and forgets
//! the result if it can't.
//!
//! Two different results of one task can't both be right, and the one from the better source is kept: a result computed
//! here goes before all others, a result delivered to an own job before a gossiped one. Of two from equally good
//! sources it is unknown which one is right: neither is used again, unless a better source brings a result.
//!
//! A known result names the node that claims it. Gossiped results are used only for jobs that ask for them, and are
//! accepted only from members that this node was connected to, whose tasks it takes, and that were not caught lying.
//! All results of a liar (contradicted by a majority, or by a result computed here) are forgotten.
//!
//! Results that were computed here or came home outlive a restart (`memo/shelf.rs`), within the same bounds.

pub(crate) mod gossip;
pub(crate) mod shelf;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::id::{PeerId, TaskId};
use crate::message::Known;
use crate::snapshot::Counters;
use crate::task::{Outcome, Payload, Recall, Recalled, Report};
use crate::time::Time;

/// Known results. Beyond it one is forgotten: gossiped results before others, then the least recently used.
const KNOWN_MAX: usize = 16_384;
/// Inline bytes of all known results; beyond it they are forgotten in the same order.
const INLINE_MAX: u64 = 16 << 20;
/// Running time from which a result is kept, in microseconds: below it, looking up and forgetting would be a noticeable
/// share of the work (up to 2 us in a full table, which is larger than the processor's caches).
const WORTH_US: u64 = 1000;
/// Running time from which a result is gossiped, in microseconds: calling, awarding and delivering a task whose result
/// another node knows takes up to some ten milliseconds, and so does a fetch of its bytes.
const TELL_US: u64 = 50_000;
/// Nodes caught lying that are kept; beyond it the oldest is accepted again.
const LIARS_MAX: usize = 4096;
/// Disputed tasks that are kept; beyond it the oldest may be used again.
const DISPUTED_MAX: usize = 4096;
/// Results gossiped within one second; the rest is not gossiped at all.
const TOLD_MAX: u32 = 32;

/// The table of known results.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    known: BTreeMap<TaskId, Entry>,
    /// Results in the order in which they are forgotten.
    order: BTreeSet<(bool, u64, TaskId)>,
    uses: u64,
    inline_bytes: u64,
    /// Tasks with two different results from equally good sources, and that source: a better one ends the dispute.
    disputed: BTreeMap<TaskId, Seen>,
    disputes: VecDeque<TaskId>,
    liars: BTreeSet<PeerId>,
    liars_in_order: VecDeque<PeerId>,
    fresh: Vec<Known>,
    /// Tasks whose results are other ones than those on the disk, of results that outlive this life.
    changed: BTreeSet<TaskId>,
    told_since: Time,
    told: u32,
    told_bytes: usize,
}

/// The source of a known result; later variants are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seen {
    /// Gossip of another node.
    Told,
    /// A worker delivered it to a job of this node.
    Home,
    /// This node computed it.
    Here,
}

/// One known result.
#[derive(Debug)]
struct Entry {
    /// Behind a pointer, because a map moves its values.
    report: Arc<Report>,
    worker: PeerId,
    seen: Seen,
    used: u64,
}

impl Entry {
    /// Its place in the order of forgetting: gossiped results first.
    fn place(&self, task: TaskId) -> (bool, u64, TaskId) {
        (self.seen != Seen::Told, self.used, task)
    }
}

impl Memo {
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The result of a task for its owner, the node that computed it, and its source, if the job accepts that source.
    pub(crate) fn recall(&mut self, task: TaskId, wanted: Recall) -> Option<(Arc<Report>, PeerId, Recalled)> {
        let believed = |seen: Seen| match wanted {
            Recall::Off => false,
            Recall::Own => seen != Seen::Told,
            Recall::Mesh => true,
        };
        let entry = self.known.get(&task).filter(|entry| believed(entry.seen))?;
        let (report, worker, seen) = (Arc::clone(&entry.report), entry.worker, entry.seen);
        self.use_again(task);
        let word = match seen {
            Seen::Told => Recalled::Told,
            Seen::Home => Recalled::Home,
            Seen::Here => Recalled::Here,
        };
        Some((report, worker, word))
    }

    /// The result of a task for another owner: a worker answers only with results that it computed itself, so that
    /// false results don't spread.
    pub(crate) fn recall_own(&mut self, task: TaskId) -> Option<Arc<Report>> {
        let entry = self.known.get(&task).filter(|entry| entry.seen == Seen::Here)?;
        let report = Arc::clone(&entry.report);
        self.use_again(task);
        Some(report)
    }

    fn use_again(&mut self, task: TaskId) {
        let Some(entry) = self.known.get_mut(&task) else { return };
        self.order.remove(&entry.place(task));
        self.uses += 1;
        entry.used = self.uses;
        self.order.insert(entry.place(task));
    }

    /// Whether a node was caught lying.
    pub(crate) fn is_liar(&self, peer: PeerId) -> bool {
        self.liars.contains(&peer)
    }

    /// Whether a task's known result still comes from that node.
    pub(crate) fn is_word_of(&self, task: TaskId, worker: PeerId) -> bool {
        self.known.get(&task).is_some_and(|entry| entry.worker == worker)
    }

    /// A node was caught lying: its results are forgotten, and no more are accepted from it.
    pub(crate) fn distrust(&mut self, liar: PeerId) {
        if !self.liars.insert(liar) {
            return;
        }
        self.liars_in_order.push_back(liar);
        if self.liars_in_order.len() > LIARS_MAX
            && let Some(oldest) = self.liars_in_order.pop_front()
        {
            self.liars.remove(&oldest);
        }
        let told = self.known.iter().filter(|(_, entry)| entry.worker == liar && entry.seen != Seen::Here);
        let told: Vec<TaskId> = told.map(|(task, _)| *task).collect();
        for task in told {
            self.forget(task);
        }
    }

    /// Keeps a result, if it is worth it. True when the task had no known result before.
    pub(crate) fn remember(
        &mut self,
        counters: &mut Counters,
        task: TaskId,
        report: &Arc<Report>,
        (worker, seen): (PeerId, Seen),
    ) -> bool {
        let liar = seen != Seen::Here && self.is_liar(worker);
        let disputed = self.disputed.get(&task).is_some_and(|disputed| seen <= *disputed);
        if liar || !is_worth_it(report) || disputed {
            return false;
        }
        let before = self.known.get(&task);
        let before = before.map(|before| (before.seen, before.worker, agree(&before.report, report)));
        let news = before.is_none();
        if let Some((before, other, agrees)) = before {
            counters.disagreed += u64::from(!agrees);
            // A result computed here proves that the other node lied or has a broken machine.
            match (before, seen) {
                (Seen::Here, Seen::Told | Seen::Home) if !agrees => self.distrust(worker),
                (Seen::Told | Seen::Home, Seen::Here) if !agrees => self.distrust(other),
                _ => {}
            }
            if before > seen {
                return false;
            }
            self.forget(task);
            if !agrees && before == seen {
                self.dispute(task, seen);
                return false;
            }
        }
        self.end_dispute(task);
        self.uses += 1;
        self.inline_bytes += inline_len(report);
        let entry = Entry { report: Arc::clone(report), worker, seen, used: self.uses };
        self.order.insert(entry.place(task));
        self.known.insert(task, entry);
        if seen != Seen::Told {
            self.changed.insert(task);
        }
        while self.known.len() > KNOWN_MAX || self.inline_bytes > INLINE_MAX {
            let Some((_, _, least)) = self.order.first().copied() else { break };
            self.forget(least);
        }
        news
    }

    /// Forgets a result whose blobs are gone.
    pub(crate) fn drop_known(&mut self, task: TaskId) {
        self.forget(task);
    }

    fn forget(&mut self, task: TaskId) -> Option<Entry> {
        let entry = self.known.remove(&task)?;
        self.order.remove(&entry.place(task));
        self.inline_bytes -= inline_len(&entry.report);
        if entry.seen != Seen::Told {
            self.changed.insert(task);
        }
        Some(entry)
    }

    fn dispute(&mut self, task: TaskId, seen: Seen) {
        self.disputed.insert(task, seen);
        self.disputes.push_back(task);
        if self.disputes.len() > DISPUTED_MAX
            && let Some(oldest) = self.disputes.pop_front()
        {
            self.disputed.remove(&oldest);
        }
    }

    fn end_dispute(&mut self, task: TaskId) {
        if self.disputed.remove(&task).is_some() {
            self.disputes.retain(|disputed| *disputed != task);
        }
    }

    /// Queues a result computed here for gossip.
    pub(crate) fn tell(&mut self, counters: &mut Counters, known: Known) {
        if known.report.usage.wall_us < TELL_US {
            return;
        }
        if self.fresh.len() < TOLD_MAX as usize {
            self.fresh.push(known);
        } else {
            counters.untold += 1;
        }
    }
}

/// Whether a result is worth keeping.
pub(crate) fn is_worth_it(report: &Report) -> bool {
    report.outcome == Outcome::Done && report.usage.wall_us >= WORTH_US
}

/// Whether two results have the same bytes, inline or as blobs.
fn agree(one: &Report, other: &Report) -> bool {
    let same = |(one, other): (&Payload, &Payload)| one == other || one.id() == other.id();
    one.payloads().into_iter().zip(other.payloads()).all(same)
}

fn inline_len(report: &Report) -> u64 {
    report.payloads().into_iter().map(Payload::inline_len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Usage;

    fn task(number: u64) -> TaskId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        TaskId(id)
    }

    fn report(bytes: &[u8]) -> Report {
        let usage = Usage { wall_us: WORTH_US, ..Usage::default() };
        Report { usage, output: Payload::inline(bytes), ..Report::bare(Outcome::Done) }
    }

    fn result(bytes: &[u8]) -> Arc<Report> {
        report(bytes).into()
    }

    const ME: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);
    const THIRD: PeerId = PeerId([3; 32]);

    #[test]
    fn only_successes_worth_it_are_remembered() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        let failed = Report { outcome: Outcome::Lost("gone".into()), ..report(b"x") };
        let quick = Report { usage: Usage::default(), ..report(b"x") };
        for report in [failed, quick].map(Arc::new) {
            assert!(!memo.remember(&mut counters, task(1), &report, (ME, Seen::Here)));
        }
        assert!(memo.recall(task(1), Recall::Mesh).is_none());
        assert!(memo.remember(&mut counters, task(1), &result(b"x"), (ME, Seen::Here)));
        assert_eq!(memo.recall(task(1), Recall::Own), Some((result(b"x"), ME, Recalled::Here)));
    }

    #[test]
    fn two_answers_known_equally_well_are_no_answer_until_one_is_known_better() {
        // source of both -> whether the right result is used once it comes from gossip, a delivery, or this node
        let table = [
            (Seen::Told, [false, true, true]),
            (Seen::Home, [false, false, true]),
            (Seen::Here, [false, false, false]),
        ];
        for (seen, served) in table {
            for (later, served) in [Seen::Told, Seen::Home, Seen::Here].into_iter().zip(served) {
                let (mut memo, mut counters) = (Memo::default(), Counters::default());
                memo.remember(&mut counters, task(1), &result(b"x"), (THIRD, seen));
                memo.remember(&mut counters, task(1), &result(b"y"), (OTHER, seen));
                assert!(memo.recall(task(1), Recall::Mesh).is_none());
                assert_eq!((memo.len(), memo.inline_bytes, counters.disagreed), (0, 0, 1));
                memo.remember(&mut counters, task(1), &result(b"x"), (ME, later));
                assert_eq!(memo.recall(task(1), Recall::Mesh).is_some(), served, "{seen:?}, then {later:?}");
                assert_eq!(memo.disputes.len(), memo.disputed.len());
            }
        }
    }

    #[test]
    fn a_gossiped_result_does_not_erase_a_delivered_one() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        let home = Some((result(b"x"), THIRD, Recalled::Home));
        memo.remember(&mut counters, task(1), &result(b"x"), (THIRD, Seen::Home));
        assert!(!memo.remember(&mut counters, task(1), &result(b"y"), (OTHER, Seen::Told)));
        assert_eq!(memo.recall(task(1), Recall::Mesh), home);
        memo.remember(&mut counters, task(1), &result(b"x"), (THIRD, Seen::Home));
        assert_eq!(memo.recall(task(1), Recall::Own), home, "and it is not disputed");
        assert_eq!((memo.len(), counters.disagreed), (1, 1), "the contradiction is counted");
    }

    #[test]
    fn what_is_brought_home_replaces_what_was_told_without_a_dispute() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        memo.remember(&mut counters, task(1), &result(b"y"), (OTHER, Seen::Told));
        memo.remember(&mut counters, task(1), &result(b"x"), (THIRD, Seen::Home));
        assert_eq!(memo.recall(task(1), Recall::Own), Some((result(b"x"), THIRD, Recalled::Home)));
        assert_eq!((memo.len(), memo.inline_bytes, counters.disagreed), (1, 1, 1));
    }

    #[test]
    fn a_result_computed_here_is_kept_whatever_others_claim() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        let told = Report { usage: Usage { wall_us: 1 << 40, ..Usage::default() }, ..report(b"x") };
        let told = Arc::new(told);
        for (report, from) in [(result(b"x"), (ME, Seen::Here)), (told, (OTHER, Seen::Told))] {
            memo.remember(&mut counters, task(1), &report, from);
        }
        let own = Some((result(b"x"), ME, Recalled::Here));
        assert_eq!(memo.recall(task(1), Recall::Own), own, "and it keeps the node that computed it");
        for from in [(OTHER, Seen::Told), (OTHER, Seen::Home)] {
            assert!(!memo.remember(&mut counters, task(1), &result(b"y"), from));
        }
        assert_eq!(memo.recall(task(1), Recall::Own), Some((result(b"x"), ME, Recalled::Here)));
        assert_eq!((memo.len(), counters.disagreed), (1, 1), "no more are accepted afterwards");
    }

    #[test]
    fn what_is_computed_here_replaces_what_others_said() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        memo.remember(&mut counters, task(1), &result(b"y"), (OTHER, Seen::Told));
        memo.remember(&mut counters, task(1), &result(b"x"), (ME, Seen::Here));
        assert_eq!(memo.recall(task(1), Recall::Own), Some((result(b"x"), ME, Recalled::Here)));
        assert_eq!((memo.len(), memo.inline_bytes, counters.disagreed), (1, 1, 1));
    }

    #[test]
    fn what_was_told_is_for_who_asks_for_it_and_no_worker_hands_it_on() {
        // source -> what is answered to a job of this node by default, to one that asks the mesh, to other owners
        let table = [
            (ME, Seen::Here, Some(Recalled::Here), Some(Recalled::Here), true),
            (OTHER, Seen::Home, Some(Recalled::Home), Some(Recalled::Home), false),
            (OTHER, Seen::Told, None, Some(Recalled::Told), false),
        ];
        for (worker, seen, own, mesh, others) in table {
            let (mut memo, mut counters) = (Memo::default(), Counters::default());
            memo.remember(&mut counters, task(1), &result(b"x"), (worker, seen));
            for (wanted, word) in [(Recall::Off, None), (Recall::Own, own), (Recall::Mesh, mesh)] {
                let said = memo.recall(task(1), wanted).map(|(_, of, word)| (of, word));
                assert_eq!(said, word.map(|word| (worker, word)), "{seen:?} for {wanted:?}");
            }
            assert_eq!(memo.recall_own(task(1)).is_some(), others, "{seen:?}");
        }
    }

    #[test]
    fn a_liar_is_forgotten_with_all_it_said_and_not_heard_again() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        for (number, from) in [(1, (OTHER, Seen::Told)), (2, (OTHER, Seen::Home)), (3, (THIRD, Seen::Told))] {
            memo.remember(&mut counters, task(number), &result(b"x"), from);
        }
        // This node computes one of the tasks, with another result.
        memo.remember(&mut counters, task(1), &result(b"y"), (ME, Seen::Here));
        let known = |memo: &mut Memo, number| memo.recall(task(number), Recall::Mesh).map(|(_, of, _)| of);
        assert_eq!([1, 2, 3].map(|number| known(&mut memo, number)), [Some(ME), None, Some(THIRD)]);
        for seen in [Seen::Told, Seen::Home] {
            assert!(!memo.remember(&mut counters, task(4), &result(b"z"), (OTHER, seen)));
        }
        assert_eq!((known(&mut memo, 4), memo.len(), memo.inline_bytes), (None, 2, 2));
    }

    #[test]
    fn what_others_tell_never_drives_out_what_was_seen_here() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        memo.remember(&mut counters, task(0), &result(b"own"), (ME, Seen::Here));
        for number in 1..=2 * KNOWN_MAX as u64 {
            memo.remember(&mut counters, task(number), &result(b"heard"), (OTHER, Seen::Told));
        }
        assert_eq!(memo.len(), KNOWN_MAX);
        assert!(memo.recall(task(0), Recall::Own).is_some());
        assert!(memo.recall(task(1), Recall::Mesh).is_none(), "the oldest gossiped result went first");
        assert!(memo.recall(task(2 * KNOWN_MAX as u64), Recall::Mesh).is_some());
    }

    #[test]
    fn bytes_are_bounded_and_what_was_used_stays() {
        let (mut memo, mut counters) = (Memo::default(), Counters::default());
        let big = alloc::vec![7; 16 * 1024];
        for number in 0..1500 {
            memo.remember(&mut counters, task(number), &result(&big), (ME, Seen::Here));
            memo.recall(task(0), Recall::Own);
        }
        assert_eq!(memo.len() as u64, INLINE_MAX / big.len() as u64);
        assert!(memo.inline_bytes <= INLINE_MAX && memo.recall(task(0), Recall::Own).is_some());
    }
}
