//! Jobs that come after others: until all that a job names have ended its tasks are held, which means that they are in
//! no queue, are called for by nobody and hold nothing anywhere. At the moment at which the last of them ends the join
//! *fires*, once; or it falls, when one of them did not succeed and the job wants that they all do, and whoever comes
//! after it falls in turn. Driven by the owner; bookkeeping of names, nothing is told to a worker here.
//!
//! A job can only come after jobs that this owner knows already, so there are no cycles, and none has to be
//! looked for. A parent is struck out by its name, not counted: what is told twice counts once.
//!
//! - A parent must be live, or one of the thousand ended jobs that are remembered; otherwise the child is refused.
//! - With `Join::AllSucceeded` a join falls as soon as a parent ended otherwise than with all tasks done, was cancelled, or
//!   fell: its tasks end as `ParentFailed`. Children fall by a list, not by recursion. `Join::AllEnded` takes any end.
//! - Children hang at their parents, so an end costs as much as it has children, and nothing walks through what waits. To
//!   fire costs the same however many tasks are held.
//! - A join fires within the input that ended its last parent, and that is told (`Event::Fired`). Times of a join count
//!   from its submission: one that expires or is cancelled while it waits never fires. It can be extended and closed
//!   meanwhile; a known result is not told before it fires.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::Owner;
use super::job::Job;
use crate::ctx::Ctx;
use crate::effect::Event;
use crate::id::JobId;
use crate::input::{Join, Submission};
use crate::stats::Average;
use crate::refusal::Refusal;
use crate::snapshot::{ParentView, TaskView};
use crate::task::Outcome;

/// Parents that `why` names.
const NAMED_MAX: usize = 8;

/// Whether a job's tasks may begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Gate {
    /// They may.
    #[default]
    Open,
    /// They are held until these have ended, of which there is at least one.
    Waits(BTreeSet<JobId>),
    /// They never will, and end like that.
    Shut(Outcome),
}

/// Jobs of one owner that come after one another, in the order in which they were submitted.
pub(super) type Children = BTreeSet<(u64, JobId)>;

/// What those that come after a job have not been told yet: that it has ended, and how.
#[derive(Debug)]
pub(super) struct Over {
    parent: JobId,
    succeeded: bool,
    children: Children,
}

/// Ended jobs whose children are to be told, in the order of their ends: a list, so that a long chain of jobs falls
/// without a long chain of calls.
pub(super) type Overs = VecDeque<Over>;

impl Owner {
    /// The first parent that is not known here: it was never submitted, or has been over for so long that it is
    /// forgotten.
    pub(super) fn unknown_parent(&self, what: &Submission) -> Option<Refusal> {
        let known = |job: &JobId| self.jobs.contains_key(job) || self.past.tasks_of(*job).is_some();
        let unknown = what.after.iter().find(|job| !known(job));
        unknown.map(|job| Refusal::ParentUnknown { job: *job })
    }

    /// A job has come, its tasks not yet: it waits for those parents that have not ended, and the others count as they
    /// ended. One without parents that have not ended fires at once.
    pub(super) fn enter(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get(&name).filter(|job| !job.what.after.is_empty()) else { return };
        let (number, parents) = (job.number, job.what.after.clone());
        let mut over: Vec<(JobId, bool)> = Vec::new();
        for parent in parents {
            match self.jobs.get_mut(&parent) {
                Some(live) if !live.ended => {
                    live.children.insert((number, name));
                }
                Some(ended) => over.push((parent, ended.has_succeeded())),
                None => over.push((parent, self.past.has_succeeded(parent))),
            }
        }
        for (parent, succeeded) in over {
            self.on_parent_ended(ctx, name, parent, succeeded);
        }
    }

    /// Tells all that come after jobs which have ended, and those that come after what ends thereby.
    pub(super) fn tell_children(&mut self, ctx: &mut Ctx<'_>) {
        while let Some(over) = self.overs.pop_front() {
            for (_, child) in over.children {
                if self.on_parent_ended(ctx, child, over.parent, over.succeeded) {
                    self.end_if_shut(ctx, child, 0);
                    self.end_if_over(ctx, child);
                }
            }
        }
    }

    /// True when the job waits no more: it fired, or fell and its tasks are to be ended.
    fn on_parent_ended(&mut self, ctx: &mut Ctx<'_>, name: JobId, parent: JobId, succeeded: bool) -> bool {
        let Some(job) = self.jobs.get_mut(&name) else { return false };
        let Gate::Waits(left) = &mut job.gate else { return false };
        if !left.remove(&parent) {
            return false;
        }
        let falls = match job.what.join {
            Join::AllSucceeded => !succeeded,
            Join::AllEnded => false,
        };
        let fires = !falls && left.is_empty();
        if falls {
            self.shut(name, Outcome::ParentFailed { job: parent });
        }
        if fires {
            self.fire(ctx, name);
        }
        falls || fires
    }

    /// All that the job waited for is over: what was held queues.
    fn fire(&mut self, ctx: &mut Ctx<'_>, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        job.gate = Gate::Open;
        job.queue = core::mem::take(&mut job.held);
        // It waited for no worker until now, and claims nothing for that; its program may have been measured meanwhile.
        (job.fed_at, job.placed_at) = (ctx.now, ctx.now);
        if job.service_us() == 0 {
            job.stats.service = Average::from(ctx.programs.service_us(job.key()));
        }
        self.dirty.insert(name);
        ctx.notify(Event::Fired { job: name });
    }

    /// A job that waits for others does so no more: it will never fire.
    pub(super) fn shut(&mut self, name: JobId, outcome: Outcome) {
        let Some(job) = self.jobs.get_mut(&name) else { return };
        let Gate::Waits(left) = &mut job.gate else { return };
        let (left, child) = (core::mem::take(left), (job.number, name));
        job.gate = Gate::Shut(outcome);
        for parent in left {
            if let Some(parent) = self.jobs.get_mut(&parent) {
                parent.children.remove(&child);
            }
        }
    }

    /// Ends those tasks of a job from that one on that never may begin.
    pub(super) fn end_if_shut(&mut self, ctx: &mut Ctx<'_>, name: JobId, first: u32) {
        let Some(job) = self.jobs.get(&name) else { return };
        if let Gate::Shut(outcome) = &job.gate {
            let (outcome, rest) = (outcome.clone(), first..job.total);
            self.end_rest(ctx, name, rest, &outcome);
        }
    }

    /// A job has ended: those that come after it are to be told.
    pub(super) fn note_over(&mut self, name: JobId) {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| !job.children.is_empty()) else { return };
        let children = core::mem::take(&mut job.children);
        self.overs.push_back(Over { parent: name, succeeded: job.has_succeeded(), children });
    }

    /// What a job waits for, if it does: the first few that have not ended, as it names them, and how far they are.
    pub(super) fn waits_for(&self, job: &Job) -> Option<TaskView> {
        let Gate::Waits(left) = &job.gate else { return None };
        let open = job.what.after.iter().filter(|parent| left.contains(parent));
        let parents = open.filter_map(|parent| self.jobs.get(parent)).take(NAMED_MAX);
        let parents = parents.map(|parent| ParentView {
            job: parent.what.job,
            ended: parent.total - parent.unfinished(),
            tasks: parent.total,
            open: parent.open,
            waits: parent.is_held(),
        });
        let left = u32::try_from(left.len()).unwrap_or(u32::MAX);
        Some(TaskView::After { parents: parents.collect(), left })
    }
}

impl Job {
    /// Whether its tasks are held until others have ended.
    pub(super) fn is_held(&self) -> bool {
        matches!(self.gate, Gate::Waits(_))
    }

    /// Whether all of its tasks, now that it has ended, were done, and nobody stopped it: its user, or a parent of its
    /// own.
    pub(super) fn has_succeeded(&self) -> bool {
        self.counts.failed + self.counts.cancelled == 0 && !self.stopped && self.gate == Gate::Open
    }
}

impl Gate {
    /// The gate of a new job.
    pub(super) fn new(what: &Submission) -> Self {
        if what.after.is_empty() { Self::Open } else { Self::Waits(what.after.iter().copied().collect()) }
    }
}
