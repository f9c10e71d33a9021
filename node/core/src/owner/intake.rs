//! New tasks of a job: those whose result is known end without being run, the others queue.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::books::OwnerCtx;
use super::ending::{Ending, commit, end_if_failed, end_if_over, end_rest, expired};
use super::fetching::fetch_blobs;
use super::lease_table::Lease;
use super::record::Record;
use super::retry::again;
use super::task::{Attempt, Brought, RECALLED, TaskState};
use crate::durable::{Kept, KeptEnd};
use crate::effect::Event;
use crate::id::{JobId, LeaseId};
use crate::input::Submission;
use crate::refusal::Refusal;
use crate::task::{Payload, Recall};

/// More tasks of a kept job.
#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) inputs: Vec<Payload>,
    /// Outcomes of some of them in another job, which this one goes on for.
    pub(crate) ends: Vec<Kept>,
}

impl From<Vec<Payload>> for Extension {
    fn from(inputs: Vec<Payload>) -> Self {
        Self { inputs, ends: Vec::new() }
    }
}

/// A kept job is to have more tasks. The first refusal is final: tasks that come later would be given the places of those
/// that were refused.
pub(super) fn extend_kept(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, extension: Extension) {
    let Extension { inputs, ends } = extension;
    let Record { job, .. } = &mut *record;
    let keeping = &mut cx.books.keeping;
    let over = (!job.open).then_some(Refusal::JobOver);
    let refusal = job.refused.clone().or(over).or_else(|| keeping.refusal());
    if let Some(reason) = refusal.or_else(|| Submission::check_inputs(&inputs).err()) {
        job.refused = Some(reason.clone());
        let tasks = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
        job.refused_tasks = job.refused_tasks.saturating_add(tasks);
        return refuse(cx, record.name(), &inputs, reason);
    }
    keeping.extend(job.spec.job, &inputs, job.total());
    if ends.is_empty() { extend(cx, record, inputs) } else { extend_ended(cx, record, inputs, ends) }
}

/// Takes tasks of which some have ended elsewhere.
fn extend_ended(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, inputs: Vec<Payload>, ends: Vec<Kept>) {
    let first = record.job.total();
    let mut ends: BTreeMap<u32, Kept> = ends.into_iter().map(|kept| (kept.index, kept)).collect();
    // Those that run, behind the last one that has ended.
    let mut open = Vec::new();
    for (index, input) in (first..).zip(inputs) {
        let Some(kept) = ends.remove(&index).filter(|kept| kept.report.is_sound()) else {
            open.push(input);
            continue;
        };
        take_inputs(cx, record, core::mem::take(&mut open));
        record.job.add_ended(KeptEnd::from(&kept));
        cx.books.keeping.task_ended(record.name(), kept);
    }
    take_inputs(cx, record, open);
    begin_new(cx, record, first);
}

/// Says that tasks of a kept job are not taken, after all that was said of it before.
pub(super) fn refuse(cx: &mut OwnerCtx<'_, '_>, job: JobId, inputs: &[Payload], reason: Refusal) {
    let tasks = u32::try_from(inputs.len()).unwrap_or(u32::MAX);
    let event = Event::ExtensionRefused { job, tasks, reason };
    match tasks {
        0 => {}
        _ if cx.books.keeping.has_failed() => cx.ctx.notify(event),
        _ => cx.books.keeping.event(job, event),
    }
}

/// A job that is open has more tasks.
pub(super) fn extend(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, inputs: Vec<Payload>) {
    let first = record.job.total();
    take_inputs(cx, record, inputs);
    begin_new(cx, record, first);
}

/// Tasks from that index on have just come to a job that has others.
pub(super) fn begin_new(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, first: u32) {
    if record.job.expires_at().is_some_and(|at| at <= cx.ctx.now) {
        let (late, outcome) = (first..record.job.total(), expired(&record.job));
        end_rest(cx, record, late, &outcome);
    }
    settle_new(cx, record, first);
}

/// Tasks from that index on have just come: they end if they never can begin, and are placed otherwise.
pub(super) fn settle_new(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, first: u32) {
    end_if_failed(cx, record, first);
    cx.touch(record.name());
    end_if_over(cx, record);
}

/// Takes the first tasks of a new job: with these inputs, or, where results of others are inputs, in the places of those.
pub(super) fn take_first(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, inputs: Vec<Payload>) {
    if record.job.spec.join.takes_results() {
        inputs.iter().for_each(|_| record.job.add_awaiting());
    } else {
        take_inputs(cx, record, inputs);
    }
}

/// Takes tasks with these inputs. Without a remembered result it costs nothing to look.
pub(super) fn take_inputs(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, inputs: Vec<Payload>) {
    let first = record.job.total();
    for input in inputs {
        record.job.add(input);
    }
    let all = first..record.job.total();
    take_known(cx, record, all);
}

/// Tasks whose inputs are known, and that are nowhere yet, queue, or end with their known results.
pub(super) fn take_known(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, tasks: impl Iterator<Item = u32>) {
    let Record { job, dependencies, .. } = &mut *record;
    // What is held does not end before its job begins, though its result be known; nor is it asked for then, since that
    // would cost as much at once as there are tasks: workers answer from memory, too.
    let open = dependencies.lets_begin();
    let wanted = job.spec.terms.memo;
    let asks = open && wanted != Recall::Off && job.spec.program.is_pure() && !cx.ctx.memo.is_empty();
    let mut recalled: Vec<(u32, Brought)> = Vec::new();
    for index in tasks {
        let input = &job.live_task(index).input;
        cx.ctx.pin(input);
        let task = asks.then(|| job.key.task_id(input));
        match task.and_then(|task| cx.ctx.memo.recall(task, wanted)) {
            Some((report, worker, word)) => {
                recalled.push((index, Brought { memo: Some((worker, word)), ..report.into() }));
            }
            None if open => job.queue.push_back(index),
            None => dependencies.held.push_back(index),
        }
    }
    for (index, brought) in recalled {
        recall(cx, record, index, brought);
    }
}

/// Ends a task with its known result, once everything that belongs to it is here.
fn recall(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, brought: Brought) {
    let (worker, _) = brought.memo.expect("a known result says whose it is");
    let lease = LeaseId { job: record.name(), epoch: record.job.epoch, index, attempt: RECALLED };
    record.job.transition(index, TaskState::Leased);
    let attempt = Attempt::new(Lease::unissued(worker, lease), cx.ctx.now);
    record.job.live_task_mut(index).live.push(attempt);
    if brought.names_blobs() {
        fetch_blobs(cx, record, lease, brought);
    } else {
        commit_recalled(cx, record, index, brought);
    }
}

/// A known result is whole.
pub(super) fn commit_recalled(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, brought: Brought) {
    let task = take_recalled(record, index);
    if brought.memo.is_none_or(|(computer, _)| !cx.ctx.memo.is_word_of(task, computer)) {
        // The node that said it was caught lying while its bytes came, or the result is another's word by now, which stays.
        again(cx, record, index);
        return;
    }
    cx.ctx.counters.recalled += 1;
    commit(cx, record, index, Ending::recalled(brought));
}

/// What the known result names can't be fetched: it is forgotten, and the task waits like any other.
pub(super) fn on_not_recalled(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32) {
    let task = take_recalled(record, index);
    cx.ctx.memo.drop_known(task);
    again(cx, record, index);
}

/// Takes away the attempt that stood for a known result; the task's name.
fn take_recalled(record: &mut Record, index: u32) -> crate::id::TaskId {
    let task = record.job.live_task_mut(index);
    task.live.retain(|attempt| attempt.number() != RECALLED);
    let input = &record.job.live_task(index).input;
    record.job.key.task_id(input)
}
