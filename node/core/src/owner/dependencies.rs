//! Jobs that wait for others: until all parents that a job names have ended its tasks are held, which means that they
//! are in no queue, are called for by no call and hold nothing anywhere. At the moment at which the last parent ends
//! the dependencies are *satisfied*, once; or they fail, when a parent did not succeed and the job wants that they all
//! do, and those that wait for this job fail in turn. Driven by the owner; nothing is sent to a worker here.
//!
//! A job can only wait for jobs that this owner knows already, so there are no cycles, and none has to be looked for. A
//! parent is struck out by its name, not counted: what is told twice counts once.
//!
//! - A job that takes the results of its parent (`edges.rs`) begins task by task, and ends when the parent has ended, too.
//! - A parent must be live, or one of the thousand ended jobs that are remembered; otherwise the child is refused.
//! - With `Join::AllSucceeded` dependencies fail as soon as a parent ended otherwise than with all tasks done, was
//!   cancelled, or failed for its own parents: the job's tasks end as `ParentFailed`. Children fail by a list, not by
//!   recursion. `Join::AllEnded` takes any end.
//! - Children are kept with their parents, so an end costs as much as it has children, and nothing walks through what
//!   waits. To satisfy dependencies costs the same however many tasks are held.
//! - A job begins within the input that ended its last parent, and that is told (`Event::DependenciesSatisfied`). Its
//!   times count from its submission: one that expires or is cancelled while it waits never begins. It can be extended
//!   and closed meanwhile; a known result is not told before it begins.

use alloc::vec::Vec;

use super::books::{Books, Completed, OwnerCtx};
use super::ending::{end_if_failed, end_if_over};
use super::gate::Gate;
use super::history::History;
use super::job::Job;
use super::lines::Lines;
use super::record::{Record, Records, known};
use crate::durable::{Level, LogRecord, ParentEnd};
use crate::effect::Event;
use crate::id::JobId;
use crate::refusal::Refusal;
use crate::snapshot::{ParentView, TaskView};
use crate::stats::Average;
use crate::submission::Submission;
use crate::task::Outcome;

/// Parents that `why` names.
const NAMED_MAX: usize = 8;

/// The first parent that is not known here: it was never submitted, or has been over for so long that it is forgotten.
pub(super) fn unknown_parent(records: &Records, history: &History, spec: &Submission) -> Option<Refusal> {
    let known = |job: &JobId| records.contains_key(job) || history.tasks_of(*job).is_some();
    let unknown = spec.after.iter().find(|job| !known(job));
    unknown.map(|job| Refusal::ParentUnknown { job: *job })
}

/// The first parent that survives less than the job is to survive, or keeps no results which it is to take; it can't come after
/// that.
pub(super) fn unkept_parent(records: &Records, history: &History, spec: &Submission) -> Option<Refusal> {
    let takes = spec.join.takes_results();
    let is_over = |job: &JobId| records.get(job).is_none_or(|live| live.job.ended);
    spec.after.iter().find_map(|job| {
        let level = records.get(job).map_or_else(|| history.level_of(*job), |live| live.job.spec.level);
        match level {
            _ if !takes && is_over(job) => None,
            below if below < spec.level => Some(Refusal::ParentNotKept { job: *job }),
            Level::Memory if takes => Some(Refusal::ResultsNotKept { job: *job }),
            Level::Memory | Level::Disk | Level::Mesh => None,
        }
    })
}

/// A job has come: notes it at those parents that have not ended; how the others ended.
pub(super) fn enter(records: &mut Records, history: &History, lines: &Lines, job: &Job) -> Vec<ParentEnd> {
    let child = (job.number, job.spec.job);
    let mut ended = Vec::new();
    // The end of one at level mesh may not be committed yet.
    for parent in job.spec.after.iter().copied().filter(|parent| !lines.end_waits(*parent)) {
        let succeeded = match records.get_mut(&parent) {
            Some(live) if !live.job.ended => {
                live.dependencies.children.insert(child);
                continue;
            }
            Some(ended) => ended.has_succeeded(),
            None => history.has_succeeded(parent),
        };
        ended.push(ParentEnd { parent, succeeded });
    }
    ended
}

/// A job has come back: notes it at those parents that it still waits for, and at no other, which would tell it of their
/// ends when it is gone.
pub(super) fn follow(records: &mut Records, record: &Record) {
    if let Gate::Waiting(left) = &record.dependencies.gate {
        let live = left.iter().filter_map(|parent| Some((parent, records.get(parent)?)));
        let live: Vec<JobId> = live.filter(|(_, it)| !it.job.ended).map(|(parent, _)| *parent).collect();
        for parent in live {
            let child = (record.job.number, record.name());
            known(records, parent).dependencies.children.insert(child);
        }
    }
}

/// A job is gone from here: what it still waits for is not to tell it.
pub(super) fn leave(records: &mut Records, books: &mut Books, gone: &Record) {
    let child = (gone.job.number, gone.name());
    for parent in &gone.job.spec.after {
        if let Some(live) = records.get_mut(parent) {
            live.dependencies.children.remove(&child);
        }
    }
    for completed in &mut books.completed {
        completed.children.remove(&child);
    }
}

/// Tells all that wait for jobs which have ended, and those that wait for what ends thereby.
pub(super) fn tell_children(cx: &mut OwnerCtx<'_, '_>, records: &mut Records) {
    while let Some(end) = cx.books.keeping.done.pop_front() {
        let ParentEnd { parent, succeeded } = end;
        let waiting = records.values().filter(|record| record.dependencies.awaits(parent));
        let children = waiting.map(|record| (record.job.number, record.name())).collect();
        cx.books.completed.push_back(Completed { parent, succeeded, children });
    }
    while let Some(completed) = cx.books.completed.pop_front() {
        let end = ParentEnd { parent: completed.parent, succeeded: completed.succeeded };
        for (_, child) in completed.children {
            if known(records, child).awaits(end.parent) {
                cx.books.keeping.record(child, LogRecord::ParentEnded(end));
            }
            if on_parent_ended(cx, records, child, end) {
                let record = known(records, child);
                end_if_failed(cx, record, 0);
                end_if_over(cx, record);
            }
        }
    }
}

/// True when the job waits no more: its dependencies are satisfied, or failed and its tasks are to be ended.
pub(super) fn on_parent_ended(
    cx: &mut OwnerCtx<'_, '_>,
    records: &mut Records,
    name: JobId,
    end: ParentEnd,
) -> bool {
    let record = known(records, name);
    let Some(is_last) = record.dependencies.strike_out(end.parent) else { return false };
    let fails = record.job.spec.join.wants_success() && !end.succeeded;
    if fails {
        fail(records, name, Outcome::ParentFailed { job: end.parent });
    } else if is_last {
        satisfy(cx, record);
    }
    fails || is_last
}

/// All that the job waited for is over: what was held queues.
fn satisfy(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let Record { job, dispatch, dependencies, .. } = &mut *record;
    let has_begun = dependencies.lets_begin();
    dependencies.gate = Gate::Satisfied;
    if has_begun {
        return cx.touch(record.name());
    }
    job.queue = core::mem::take(&mut dependencies.held);
    // It waited for no worker until now, and claims nothing for that; its program may have been measured meanwhile.
    (job.last_award_at, dispatch.prefilled_at) = (cx.ctx.now, cx.ctx.now);
    if job.service_us() == 0 {
        job.stats.service = Average::from(cx.ctx.programs.service_us(job.key));
    }
    cx.touch(record.name());
    cx.tell(&record.job, Event::DependenciesSatisfied { job: record.name() });
}

/// A job that waits for others does so no more: it will never begin.
pub(super) fn fail(records: &mut Records, name: JobId, outcome: Outcome) {
    let record = known(records, name);
    let child = (record.job.number, name);
    for parent in record.dependencies.fail(outcome) {
        // One that had ended before the job came may be retired, and knows nothing of it.
        if let Some(parent) = records.get_mut(&parent) {
            parent.dependencies.children.remove(&child);
        }
    }
}

/// What a job waits for, if it does: the first few that have not ended, as it names them, and how far they are.
pub(super) fn waits_for(records: &Records, record: &Record) -> Option<TaskView> {
    let Gate::Waiting(left) = &record.dependencies.gate else { return None };
    let open = record.job.spec.after.iter().filter(|parent| left.contains(parent));
    let parents = open.filter_map(|parent| records.get(parent)).take(NAMED_MAX);
    let parents = parents.map(|parent| ParentView {
        job: parent.name(),
        ended: parent.job.counts.ended(),
        tasks: parent.job.total(),
        open: parent.job.open,
        waits: parent.dependencies.is_waiting(),
    });
    let left = u32::try_from(left.len()).unwrap_or(u32::MAX);
    Some(TaskView::After { parents: parents.collect(), left })
}

/// Children that have not been told are work that is left.
pub(super) fn has_news(books: &Books) -> bool {
    !books.completed.is_empty() || !books.keeping.done.is_empty()
}
