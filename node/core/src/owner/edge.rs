//! How far a job has read the log of another one whose results are its inputs: one edge. A fold over that log's committed
//! records, a page at a time. Plain bookkeeping; `edges.rs` has the pages read and acts on what they say.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::durable::{Ends, LogRecord};
use crate::id::JobId;
use crate::submission::Submission;
use crate::task::{Outcome, Payload};

/// How often in a row a log could not be read, of a job that does not run, before it counts as gone.
const UNREAD_MAX: u8 = 12;
/// As how many such times it counts that nothing is there where the log begins.
const EMPTY_COUNTS: u8 = 4;

/// One edge.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) parent: JobId,
    /// The record that is read next, from 1.
    pub(super) next: u32,
    /// There may be more to read.
    pub(super) grown: bool,
    /// How often in a row it was not read, or nothing was there where it begins, as [`EMPTY_COUNTS`] says.
    unread: u8,
    /// Tasks of the parent's submission, and those that it has.
    submitted: u32,
    tasks: u32,
    /// It gets no more tasks from its client, or from its own parent.
    closed: bool,
    /// Its end was read, and no new try since.
    ended: bool,
    /// All of its results are known for good.
    over: bool,
    /// Its tasks that ended otherwise than done, as far as it was not tried again since.
    failed: BTreeSet<u32>,
}

/// What a page says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Outputs of tasks that were done.
    pub(super) outputs: Vec<(u32, Payload)>,
    /// Tasks that ended otherwise, for good.
    pub(super) failed: Vec<u32>,
}

impl Edge {
    /// Those of a new job; none if it takes no results.
    pub(super) fn all_of(spec: &Submission) -> Vec<Self> {
        let parents = spec.after.iter().filter(|_| spec.join.takes_results());
        parents.map(|parent| Self::new(*parent)).collect()
    }

    pub(super) fn new(parent: JobId) -> Self {
        Self {
            parent,
            next: 1,
            grown: true,
            unread: 0,
            submitted: 0,
            tasks: 0,
            closed: false,
            ended: false,
            over: false,
            failed: BTreeSet::new(),
        }
    }

    /// The tasks that the parent has, as far as its log was read.
    pub(super) fn tasks(&self) -> u32 {
        self.tasks
    }

    /// Whether it gets no more.
    pub(super) fn is_whole(&self) -> bool {
        self.closed && self.tasks >= self.submitted
    }

    /// Whether the parent has no more to say, but by a new try.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// The parent's log is read from its beginning.
    pub(super) fn begin_again(&mut self) {
        *self = Self::new(self.parent);
    }

    /// The parent's log is gone: no result of it will come any more.
    pub(super) fn lose(&mut self) {
        self.over = true;
    }

    /// The next records, all committed.
    pub(super) fn read(&mut self, records: &[LogRecord]) -> Page {
        self.unread = 0;
        self.grown = true;
        let mut page = Page::default();
        for record in records {
            self.next = self.next.saturating_add(1);
            self.apply(record, &mut page);
        }
        page
    }

    fn apply(&mut self, record: &LogRecord, page: &mut Page) {
        match record {
            LogRecord::Accepted(accepted) => {
                (self.submitted, self.closed) = (accepted.tasks, accepted.spec.closed);
            }
            LogRecord::Closed | LogRecord::Cancelled | LogRecord::GivenUp { .. } => self.closed = true,
            LogRecord::Ended => self.ended = true,
            LogRecord::Retried { .. } => {
                self.ended = false;
                self.failed.clear();
            }
            LogRecord::Extended { .. }
            | LogRecord::Outcomes(_)
            | LogRecord::Rest(_)
            | LogRecord::ParentEnded(_)
            | LogRecord::Restarted { .. }
            | LogRecord::Led { .. }
            | LogRecord::Replaced { .. }
            | LogRecord::NotTaken(_)
            | LogRecord::Given { .. }
            | LogRecord::Leased { .. }
            | LogRecord::Resolved { .. } => {}
        }
        let more = u32::try_from(record.inputs().len()).unwrap_or(u32::MAX);
        self.tasks = self.tasks.saturating_add(more);
        match record.ends() {
            Ends::None => {}
            Ends::Outcomes(all) => {
                for kept in all {
                    if kept.report.outcome == Outcome::Done {
                        page.outputs.push((kept.index, kept.report.output.clone()));
                    } else {
                        self.note_failed(kept.index);
                    }
                }
            }
            Ends::Rest(rest) => rest.tasks.iter().for_each(|task| self.note_failed(task.index)),
        }
    }

    /// A node that leads the parent may name tasks that it does not have.
    fn note_failed(&mut self, index: u32) {
        if index < self.tasks {
            self.failed.insert(index);
        }
    }

    /// Nothing more is committed; or no log is there at all. If the parent has ended, what failed of it did so for good.
    pub(super) fn on_nothing_more(&mut self, is_gone: bool) -> Page {
        let is_gone = is_gone && self.next == 1;
        self.unread = if is_gone { self.unread.saturating_add(EMPTY_COUNTS) } else { 0 };
        self.over |= self.ended;
        let failed = if self.over { core::mem::take(&mut self.failed) } else { BTreeSet::new() };
        Page { outputs: Vec::new(), failed: failed.into_iter().collect() }
    }

    /// It could not be read now; of a job that may go on that says nothing.
    pub(super) fn on_unread(&mut self, may_go_on: bool) {
        self.unread = if may_go_on { 0 } else { self.unread.saturating_add(1) };
    }

    /// Whether there is no log, as far as was tried.
    pub(super) fn has_no_log(&self) -> bool {
        self.unread >= UNREAD_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::{Kept, Rest, RestTask};
    use crate::task::{Failure, Report};
    use crate::time::Time;

    fn kept(index: u32, outcome: Outcome) -> Kept {
        let report = Report { output: Payload::inline(&[7]), ..Report::bare(outcome) };
        Kept {
            index,
            report: report.into(),
            worker: None,
            attempts: 1,
            memo: None,
            proof: None,
            verified: None,
        }
    }

    fn failed(index: u32) -> Kept {
        kept(index, Outcome::Failed(Failure::Error("no".into())))
    }

    fn more(tasks: usize) -> LogRecord {
        LogRecord::Extended { inputs: alloc::vec![Payload::empty(); tasks] }
    }

    #[test]
    fn outputs_are_told_at_once_and_failures_once_the_log_ends_with_the_end() {
        let mut edge = Edge::new(JobId(1));
        let page = edge.read(&[more(3), LogRecord::Outcomes(alloc::vec![failed(0), kept(2, Outcome::Done)])]);
        assert_eq!(page, Page { outputs: alloc::vec![(2, Payload::inline(&[7]))], failed: Vec::new() });
        assert_eq!((edge.tasks(), edge.is_whole(), edge.next), (3, false, 3));
        assert_eq!(edge.on_nothing_more(false), Page::default(), "it may be tried again");
        let rest =
            Rest { outcome: Outcome::Cancelled, tasks: alloc::vec![RestTask { index: 1, attempts: 0 }] };
        assert_eq!(
            edge.read(&[LogRecord::Cancelled, LogRecord::Rest(rest), LogRecord::Ended]),
            Page::default()
        );
        assert!(edge.is_whole() && !edge.is_over());
        assert_eq!(edge.on_nothing_more(false), Page { outputs: Vec::new(), failed: alloc::vec![0, 1] });
        assert!(edge.is_over());
    }

    #[test]
    fn what_failed_before_a_new_try_has_not_failed() {
        let mut edge = Edge::new(JobId(1));
        let again = LogRecord::Retried { epoch: 2, at: Time::ZERO };
        edge.read(&[
            more(1),
            LogRecord::Closed,
            LogRecord::Outcomes(alloc::vec![failed(0)]),
            LogRecord::Ended,
            again,
        ]);
        assert_eq!((edge.on_nothing_more(false), edge.is_over()), (Page::default(), false));
        let page = edge.read(&[LogRecord::Outcomes(alloc::vec![kept(0, Outcome::Done)]), LogRecord::Ended]);
        assert_eq!(page.outputs.len(), 1);
        assert_eq!((edge.on_nothing_more(false), edge.is_over()), (Page::default(), true));
    }

    #[test]
    fn a_log_is_gone_when_its_beginning_is_not_there_again_and_again() {
        let mut edge = Edge::new(JobId(1));
        for tries in 0..3 {
            assert!(!edge.has_no_log(), "after {tries} tries");
            edge.on_nothing_more(true);
        }
        assert!(edge.has_no_log());
        edge.read(&[more(1)]);
        for tries in 0..UNREAD_MAX {
            assert!(!edge.has_no_log(), "after {tries} tries");
            edge.on_unread(false);
        }
        assert!(edge.has_no_log());
        edge.on_unread(true);
        assert!(!edge.has_no_log());
    }
}
