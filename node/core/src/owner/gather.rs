//! Jobs of one task whose input is all results of their parents ([`Join::Gather`](crate::Join)): has the driver make it once all
//! of these have ended. Driven by the owner. Which bytes are made of which results, the driver knows.
//!
//! A parent's results are read from this node's own disk, as `edges.rs` reads them, and of a log at level mesh only what is
//! committed. That a parent has ended may be known here before its log is: then it is asked for again.

use super::agenda::Alarm;
use super::books::OwnerCtx;
use super::ending::{Ending, commit, end_if_over};
use super::gathering::State;
use super::intake::{settle_new, take_known};
use super::record::Record;
use super::task::TaskState;
use crate::id::JobId;
use crate::input::Gathered;
use crate::submission::Join;
use crate::task::{Outcome, Payload};

/// The only task of a job that gathers.
const TASK: u32 = 0;
/// After how long it is asked for again, in milliseconds: twice as long each time, up to that many times.
const AGAIN_MS: u64 = 5000;
const AGAIN_DOUBLED_MAX: u8 = 5;
/// How often a log may lack before it counts as gone.
const MISSING_MAX: u8 = 12;

/// Asks for a job's input, if it is one that gathers and all that it comes after have ended.
pub(super) fn ask(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.gathering.state == State::Idle && wants(record) && !cx.books.keeping.stops(&record.job) {
        record.gathering.state = State::Asked;
        // The ends of these jobs are to be in their logs by then.
        cx.books.keeping.hasten();
        cx.books.gathers.push(record.name());
    }
}

fn wants(record: &Record) -> bool {
    let awaits = || record.job.task(TASK).is_some_and(|task| task.state() == TaskState::Awaiting);
    record.job.spec.join == Join::Gather && record.dependencies.is_satisfied() && awaits()
}

/// The driver has made the input, or could not.
pub(super) fn on_gathered(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, gathered: Gathered) {
    if record.gathering.state != State::Asked || cx.books.keeping.stops(&record.job) {
        return cx.ctx.counters.dropped += 1;
    }
    record.gathering.state = State::Idle;
    if !wants(record) {
        return cx.ctx.counters.dropped += 1;
    }
    match gathered {
        Gathered::Input(input) if input.is_sound() => resolve(cx, record, input),
        Gathered::Input(_) | Gathered::NotNow => put_off(cx, record),
        Gathered::NotDone(parent) => end(cx, record, Outcome::ParentFailed { job: parent }),
        Gathered::Missing(parent) => miss(cx, record, parent),
        Gathered::Unfit(why) => end(cx, record, Outcome::Invalid(why)),
    }
}

fn resolve(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, input: Payload) {
    record.job.resolve(TASK, input.clone());
    if record.job.is_kept() {
        cx.books.keeping.resolve(record.name(), &[(TASK, input)]);
    }
    take_known(cx, record, core::iter::once(TASK));
    settle_new(cx, record, TASK);
}

/// A parent's log is not there: after some time it never will be.
fn miss(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, parent: JobId) {
    record.gathering.missing += 1;
    if record.gathering.missing < MISSING_MAX {
        later(cx, record, AGAIN_MS);
    } else {
        end(cx, record, Outcome::ParentFailed { job: parent });
    }
}

/// It could not be made now. Once nothing is kept any more no log is read in this life, which is all that a job in memory has.
fn put_off(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    let first = record.job.spec.after.first().copied();
    if let Some(job) = first.filter(|_| cx.books.keeping.has_failed()) {
        return end(cx, record, Outcome::ParentFailed { job });
    }
    let wait_ms = AGAIN_MS << record.gathering.delays.min(AGAIN_DOUBLED_MAX);
    record.gathering.delays = record.gathering.delays.saturating_add(1);
    later(cx, record, wait_ms);
}

fn later(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, wait_ms: u64) {
    record.gathering.state = State::Later;
    cx.books.agenda.set(cx.ctx.now.plus_ms(wait_ms), Alarm::Gather(record.name()));
}

/// It is time to ask again.
pub(super) fn on_time(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    if record.gathering.state == State::Later {
        record.gathering.state = State::Idle;
        cx.touch(record.name());
    }
}

fn end(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, outcome: Outcome) {
    commit(cx, record, TASK, Ending::of_task(outcome));
    end_if_over(cx, record);
}
