//! The owner as others may look at it: jobs, one task and why it does not run, figures for invariants. Nothing here
//! decides.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::ballot;
use super::books::Books;
use super::dependencies::waits_for;
use super::dispatch::credit_book::CreditBook;
use super::history::History;
use super::record::{Record, Records};
use super::task::{Attempt, Task, TaskState};
use crate::audit::JobAudit;
use crate::id::{JobId, PeerId};
use crate::membership::Membership;
use crate::snapshot::{Deadline, JobView, Note, PeerResponse, Response, SelfFencingView, TaskView, Why};
use crate::time::Time;

pub(super) fn job_views(records: &Records, history: &History) -> Vec<JobView> {
    let live = records.values().map(|record| (record.job.number, record.view()));
    let mut all: Vec<(u64, JobView)> = live.chain(history.views()).collect();
    all.sort_unstable_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, view)| view).collect()
}

/// Tasks that wait for workers: those of jobs that call, and of those that wait for credit.
pub(super) fn backlog(records: &Records, books: &Books, credit: &CreditBook) -> u32 {
    let called: BTreeSet<JobId> = books.calls.jobs().collect();
    let short = credit.jobs().filter(|name| !called.contains(name));
    let waiting = short.chain(called.iter().copied()).filter_map(|name| records.get(&name));
    waiting.map(|record| record.wanted()).fold(0, u32::saturating_add)
}

pub(super) fn leased_to(books: &Books, peer: PeerId) -> u32 {
    count(books.leases.of(peer).count())
}

/// From where a task is looked at.
#[derive(Clone, Copy)]
pub(crate) struct Viewpoint<'a> {
    pub(crate) now: Time,
    pub(crate) members: &'a Membership,
    /// Slots of this node.
    pub(crate) own_slots: u32,
    /// Why this node distrusts its own view, if it does.
    pub(crate) fencing: Option<SelfFencingView>,
}

/// Why a task of a job that is over does not run.
pub(super) fn why_ended() -> Why {
    Why { state: TaskView::Ended, deadline: None, responses: Vec::new(), notes: Vec::new() }
}

/// Where a task of a job is and why it does not run.
pub(super) fn why(from: Viewpoint<'_>, records: &Records, record: &Record, index: u32) -> Option<Why> {
    let Record { job, dispatch, .. } = record;
    if index >= job.total() {
        return None;
    }
    let Viewpoint { now, members, own_slots, .. } = from;
    let state = match job.task(index) {
        None => ended_view(job.tasks.fate(index).map(|(state, _)| state)),
        Some(_) => task_view(now, records, record, index)?,
    };
    let responses = dispatch.responses.iter().map(|(peer, at, response)| {
        let reachable = members.is_connected(peer) || !members.iter().any(|(known, _)| known == peer);
        let response = if reachable { response.clone() } else { Response::Unreachable };
        PeerResponse { peer, response, ago_ms: now.since_us(at) / 1000 }
    });
    let mut notes = job.task(index).map(|task| notes(from, record, index, task)).unwrap_or_default();
    let slots = job.spec.needs.task_slots();
    if slots > 1 && job.task(index).is_some_and(|task| task.state() == TaskState::Queued) {
        notes.push(Note::MultiSlot { slots, largest: members.slots_max().max(own_slots) });
    }
    Some(Why { state, deadline: deadline(record, now), responses: responses.collect(), notes })
}

fn ended_view(state: Option<TaskState>) -> TaskView {
    match state {
        Some(TaskState::Cancelled) => TaskView::Cancelled,
        Some(TaskState::Expired) => TaskView::Expired,
        Some(
            TaskState::Awaiting
            | TaskState::Queued
            | TaskState::Leased
            | TaskState::Delayed(_)
            | TaskState::Done(_)
            | TaskState::Failed(_),
        )
        | None => TaskView::Ended,
    }
}

fn task_view(now: Time, records: &Records, record: &Record, index: u32) -> Option<TaskView> {
    let job = &record.job;
    let task = job.task(index)?;
    Some(match task.state() {
        TaskState::Awaiting if record.dependencies.is_satisfied() && record.edge.is_none() => {
            TaskView::Gathering
        }
        TaskState::Awaiting if !record.dependencies.lets_begin() => waits_for(records, record)?,
        TaskState::Awaiting => TaskView::AwaitsResult { of: record.edge.as_ref()?.parent },
        TaskState::Queued if !record.dependencies.lets_begin() => waits_for(records, record)?,
        TaskState::Queued if now < job.starts_at => {
            TaskView::NotBefore { in_ms: job.starts_at.since_us(now) / 1000 }
        }
        TaskState::Queued => {
            let before = job.queue.iter().take_while(|queued| **queued != index).count();
            TaskView::Queued { before: count(before) }
        }
        TaskState::Leased => leased_view(task.live.iter().rfind(|attempt| !attempt.overdue), now),
        TaskState::Delayed(until) => {
            TaskView::Delayed { failures: task.failures, in_ms: until.since_us(now) / 1000 }
        }
        ended @ (TaskState::Done(_) | TaskState::Failed(_) | TaskState::Cancelled | TaskState::Expired) => {
            ended_view(Some(ended))
        }
    })
}

fn notes(from: Viewpoint<'_>, record: &Record, index: u32, task: &Task) -> Vec<Note> {
    let Record { job, replicas, .. } = record;
    let mut notes = Vec::new();
    if task.state().is_end() {
        return notes;
    }
    let held = count(task.due().count());
    if job.verifies() {
        let (nodes, answered) = (job.spec.policy.verify, replicas.answers(index));
        let wanted = ballot::missing(nodes, answered, held);
        let machines = count(from.members.voices(from.own_slots));
        notes.push(Note::Verifying { nodes, answered, held, wanted, machines });
    } else if replicas.wants(index) {
        notes.push(Note::CopySought);
    } else if held > 1 {
        notes.push(Note::Copied { copies: held - 1 });
    }
    notes.extend((task.stops > 0).then_some(Note::Stopped { times: task.stops }));
    notes.extend(from.fencing.map(Note::SelfFencing));
    let starved = task.live.iter().any(|attempt| attempt.starved);
    notes.extend(starved.then_some(Note::NoRoom));
    notes
}

pub(super) fn audit(record: &Record, unwritten: u32) -> JobAudit {
    let Record { job, replicas, dependencies, .. } = record;
    let of = |wanted: fn(TaskState) -> bool| count(job.tasks.states().filter(|state| wanted(*state)).count());
    let most = |measure: fn(&Task) -> usize| count(job.tasks.live().map(measure).max().unwrap_or(0));
    let waiting = of(|state| state == TaskState::Queued);
    let held = !dependencies.lets_begin();
    JobAudit {
        job: job.spec.job,
        epoch: job.epoch,
        total: job.total(),
        queued: if held { 0 } else { waiting },
        held: if held { waiting } else { 0 },
        in_held: count(dependencies.held.len()),
        in_queue: job.waiting(),
        awaiting: of(|state| state == TaskState::Awaiting),
        leased: of(|state| state == TaskState::Leased),
        delayed: of(|state| matches!(state, TaskState::Delayed(_))),
        ended: of(|state| matches!(state, TaskState::Done(_) | TaskState::Failed(_) | TaskState::Expired)),
        cancelled: of(|state| state == TaskState::Cancelled),
        unwritten,
        copies: replicas.copies,
        most_due: most(|task| task.due().count()),
        most_doubled: most(|task| {
            let twice =
                |attempt: &Attempt| task.due().filter(|other| other.worker() == attempt.worker()).count() - 1;
            task.due().map(twice).max().unwrap_or(0)
        }),
        ballots: replicas.count_ballots(),
    }
}

fn deadline(record: &Record, now: Time) -> Option<Deadline> {
    let job = &record.job;
    job.spec.policy.deadline_ms.filter(|_| !job.ended)?;
    Some(job.deadline_left_ms(now).map_or(Deadline::Missed, |ms| Deadline::Left { ms }))
}

fn leased_view(attempt: Option<&Attempt>, now: Time) -> TaskView {
    match attempt {
        None => TaskView::Queued { before: 0 },
        Some(attempt) if attempt.fetching.is_some() => TaskView::Fetching { worker: attempt.worker() },
        Some(attempt) => TaskView::Leased {
            worker: attempt.worker(),
            attempt: attempt.number(),
            since_ms: now.since_us(attempt.since) / 1000,
            paused: attempt.paused,
            progress: attempt.progress,
        },
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
