//! How far a job has read the log of another one whose results are its inputs: one edge. A fold over that log's committed
//! records, a page at a time. Plain bookkeeping; `edges.rs` has the pages read and acts on what they say.

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
    /// The parent takes results itself: where it is stopped before it has all of its tasks, a new try brings it the others.
    takes_results: bool,
    /// It gets no more tasks, for good.
    closed: bool,
    /// Its end was read, and no new try since.
    ended: bool,
    /// All of its results are known, unless it is tried again.
    over: bool,
}

/// Whether a parent has all of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tasks {
    /// It gets more.
    Coming,
    /// It has all, for good.
    All,
    /// It ended before it had all, and gets the others if it is tried again.
    Stopped,
    /// It has not all that it should have, and gets no more.
    Lacking,
}

impl Edge {
    /// That of a new job; none if it takes no results.
    pub(super) fn of(spec: &Submission) -> Option<Self> {
        let parent = spec.after.first().filter(|_| spec.join.takes_each());
        parent.map(|parent| Self::new(*parent))
    }

    pub(super) fn new(parent: JobId) -> Self {
        Self {
            parent,
            next: 1,
            grown: true,
            unread: 0,
            submitted: 0,
            tasks: 0,
            takes_results: false,
            closed: false,
            ended: false,
            over: false,
        }
    }

    /// The tasks that the parent has, as far as its log was read.
    pub(super) fn tasks(&self) -> u32 {
        self.tasks
    }

    /// Whether these are all.
    pub(super) fn has_all(&self) -> Tasks {
        match (self.closed && self.tasks >= self.submitted, self.over) {
            (true, _) => Tasks::All,
            (false, false) => Tasks::Coming,
            (false, true) if self.takes_results && !self.closed && self.tasks >= self.submitted => {
                Tasks::Stopped
            }
            (false, true) => Tasks::Lacking,
        }
    }

    /// The record that it wants to be read next, if it wants one.
    pub(super) fn wants(&self) -> Option<u32> {
        (self.grown && !self.over).then_some(self.next)
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

    /// The next records, all committed: what they say of tasks that were done. What comes of a node that leads the parent may be
    /// longer than an input may be; of such a task no result is known.
    pub(super) fn read(&mut self, records: &[LogRecord]) -> Vec<(u32, Payload)> {
        self.unread = 0;
        self.grown = true;
        let mut outputs = Vec::new();
        for record in records {
            self.next = self.next.saturating_add(1);
            self.apply(record);
            let Ends::Outcomes(all) = record.ends() else { continue };
            for kept in all {
                if kept.report.outcome == Outcome::Done && kept.report.is_sound() {
                    outputs.push((kept.index, kept.report.output.clone()));
                }
            }
        }
        outputs
    }

    fn apply(&mut self, record: &LogRecord) {
        match record {
            LogRecord::Accepted(accepted) => {
                (self.submitted, self.closed) = (accepted.tasks, accepted.spec.closed);
                self.takes_results = accepted.spec.join.takes_results();
            }
            LogRecord::Closed => self.closed = true,
            // No client brings more to what was stopped.
            LogRecord::Cancelled | LogRecord::GivenUp { .. } => self.closed |= !self.takes_results,
            LogRecord::Ended { .. } => self.ended = true,
            LogRecord::Retried { .. } => self.ended = false,
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
    }

    /// Nothing more is committed; or no log is there at all. If the parent has ended, there is no more to come.
    pub(super) fn on_nothing_more(&mut self, is_gone: bool) {
        let is_gone = is_gone && self.next == 1;
        self.unread = if is_gone { self.unread.saturating_add(EMPTY_COUNTS) } else { 0 };
        self.over |= self.ended;
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
    use crate::custody::trio::Keepers;
    use crate::durable::{Accepted, Kept, Rest, RestTask};
    use crate::id::BlobId;
    use crate::submission::Join;
    use crate::task::{Entry, Failure, INLINE_BYTES_MAX, Limits, Profile, Program, Report};
    use crate::time::Time;

    fn kept(index: u32, outcome: Outcome, output: &[u8]) -> Kept {
        let report = Report { output: Payload::inline(output), ..Report::bare(outcome) };
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

    fn done(index: u32) -> LogRecord {
        LogRecord::Outcomes(alloc::vec![kept(index, Outcome::Done, &[7])])
    }

    fn failed(index: u32) -> LogRecord {
        LogRecord::Outcomes(alloc::vec![kept(index, Outcome::Failed(Failure::Error("no".into())), &[])])
    }

    fn more(tasks: usize) -> LogRecord {
        LogRecord::Extended { inputs: alloc::vec![Payload::empty(); tasks] }
    }

    /// The first record of a job that takes results itself.
    fn taker() -> LogRecord {
        let program = Program {
            module: BlobId([7; 32]),
            module_bytes: 6,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let spec = Submission::new(JobId(1), program.into(), Vec::new());
        let spec = Submission { join: Join::EachResult, closed: false, ..spec };
        LogRecord::Accepted(alloc::boxed::Box::new(Accepted {
            spec,
            tasks: 0,
            at: Time::ZERO,
            parents: Vec::new(),
            keepers: Keepers::Owner,
        }))
    }

    #[test]
    fn outputs_are_told_at_once_and_nothing_more_comes_once_the_log_ends_with_the_end() {
        let mut edge = Edge::new(JobId(1));
        assert_eq!(edge.read(&[more(3), failed(0), done(2)]), [(2, Payload::inline(&[7]))]);
        assert_eq!((edge.tasks(), edge.has_all(), edge.next), (3, Tasks::Coming, 4));
        edge.on_nothing_more(false);
        assert!(!edge.is_over(), "it may be tried again");
        let rest =
            Rest { outcome: Outcome::Cancelled, tasks: alloc::vec![RestTask { index: 1, attempts: 0 }] };
        assert_eq!(
            edge.read(&[LogRecord::Cancelled, LogRecord::Rest(rest), LogRecord::Ended { at: Time(9) }]),
            []
        );
        assert_eq!((edge.has_all(), edge.is_over()), (Tasks::All, false));
        edge.on_nothing_more(false);
        assert!(edge.is_over());
    }

    #[test]
    fn what_was_tried_again_is_not_over() {
        let mut edge = Edge::new(JobId(1));
        let again = LogRecord::Retried { epoch: 2, at: Time::ZERO };
        edge.read(&[more(1), LogRecord::Closed, failed(0), LogRecord::Ended { at: Time(9) }, again]);
        edge.on_nothing_more(false);
        assert!(!edge.is_over());
        assert_eq!(edge.read(&[done(0), LogRecord::Ended { at: Time(9) }]).len(), 1);
        edge.on_nothing_more(false);
        assert!(edge.is_over());
    }

    #[test]
    fn what_takes_results_itself_and_was_stopped_may_get_more_and_nothing_else_may() {
        let stopped = [more(2), LogRecord::Cancelled, LogRecord::Ended { at: Time(9) }];
        let mut edge = Edge::new(JobId(1));
        edge.read(&[taker()]);
        edge.read(&stopped);
        assert_eq!(edge.has_all(), Tasks::Coming);
        edge.on_nothing_more(false);
        assert_eq!(edge.has_all(), Tasks::Stopped);
        // Read on after a new try, as by a job that came later.
        let mut edge = Edge::new(JobId(1));
        edge.read(&[taker()]);
        edge.read(&stopped);
        edge.read(&[LogRecord::Retried { epoch: 2, at: Time::ZERO }, more(3), LogRecord::Closed]);
        assert_eq!((edge.tasks(), edge.has_all()), (5, Tasks::All));
        // A job that ended and was neither closed nor stopped, which only a node that lies writes.
        let mut edge = Edge::new(JobId(1));
        edge.read(&[more(2), LogRecord::Ended { at: Time(9) }]);
        edge.on_nothing_more(false);
        assert_eq!(edge.has_all(), Tasks::Lacking);
    }

    #[test]
    fn an_output_that_is_longer_than_an_input_may_be_is_none() {
        let mut edge = Edge::new(JobId(1));
        let long = Payload::Inline(alloc::vec![0; INLINE_BYTES_MAX + 1].into());
        let report = Report { output: long, ..Report::bare(Outcome::Done) };
        let outcome = Kept { report: report.into(), ..kept(0, Outcome::Done, &[]) };
        assert_eq!(edge.read(&[more(1), LogRecord::Outcomes(alloc::vec![outcome])]), []);
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
