//! Computed by several: a task of a job that verifies runs on nodes of as many machines as the job asks for, and what most
//! of them say counts. As long as no more than a minority of those that are asked lies the same lie, no lie is
//! committed; a node that is contradicted is named, and hardly trusted afterwards.
//!
//! More than half of the asked-for number must agree; that many are enough, so that one slow node holds nothing up.
//! When all have answered and too few agree, one more is asked at a time.
//!
//! Who holds the mesh key makes as many identities as it likes, so it is machines that vote ([`crate::host`]): one
//! has one vote a task, whichever of its nodes answers first. A node without a vote gets no task, and what it says does
//! not count. When peers come or go, others may have the vote: what was said until then is counted anew, so that of a
//! machine that was heard in two ways one answer is left. Members that are known longest are asked first. None of this
//! helps against an attacker with many machines, or many addresses of the LAN.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::ballot::{Verdict, Vote};
use super::books::{OwnerCtx, cancel_at};
use super::ending::{Ending, commit};
use super::record::Record;
use super::task::{Arrival, Brought, TaskState};
use crate::digest::Digest;
use crate::effect::Event;
use crate::id::{JobId, LeaseId, PeerId};
use crate::message::Delivery;
use crate::outcome::Verified;
use crate::task::{Outcome, Report};

/// One more node computed a task. What most of them brought, once enough agree; until then the task waits for others.
pub(super) fn weigh(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, arrival: Arrival) -> Option<Brought> {
    if !record.job.verifies() || !arrival.brought.report.outcome.fault().is_answer() {
        return Some(arrival.brought);
    }
    let lease = arrival.lease;
    let verdict = take_vote(cx, record, arrival);
    resume_begun(record, lease.index);
    match verdict {
        Verdict::Open => {
            record.requeue(lease.index);
            cx.touch(record.name());
            None
        }
        Verdict::Hopeless => {
            let nodes = record.replicas.close_ballot(cx.ctx, lease.index).count();
            let text = format!("{nodes} nodes computed it, and no majority of them alike");
            commit(cx, record, lease.index, Ending::of_task(Outcome::Lost(text)));
            None
        }
        Verdict::Agreed(digest) => Some(agree(cx, record, lease.index, digest)),
    }
}

/// Notes what a node computed, unless it has no vote or its machine has voted.
fn take_vote(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, arrival: Arrival) -> Verdict {
    let Arrival { lease, from: worker, brought } = arrival;
    let ballot = record.replicas.ballot(lease.index);
    if let Some(voice) = cx.members.voice(worker)
        && !ballot.holds(worker, voice)
    {
        for payload in brought.report.payloads() {
            cx.ctx.pin(payload);
        }
        let (host, digest) = (cx.members.host(worker), brought.report.digest());
        ballot.votes.push(Vote { worker, host, voice, digest, brought });
    }
    ballot.judge(record.job.spec.policy.verify)
}

/// Peers came or went, and others have votes now: what was said about a job's tasks is counted anew, one answer a machine;
/// its tasks want more nodes for the rest.
pub(super) fn recount(cx: &mut OwnerCtx<'_, '_>, record: &mut Record) {
    for index in record.replicas.begun() {
        for vote in record.replicas.ballot(index).recount(cx.members.voters()) {
            vote.brought.report.payloads().into_iter().for_each(|payload| cx.ctx.unpin(payload));
        }
        record.requeue(index);
    }
    if record.job.verifies() {
        cx.touch(record.name());
    }
}

/// A task whose first answer came after its lease had run out waits though it was computed: it is a begun one again.
fn resume_begun(record: &mut Record, index: u32) {
    let Record { job, .. } = record;
    if job.live_task(index).state() == TaskState::Queued {
        job.transition(index, TaskState::Leased);
        job.unqueue(index);
    }
}

/// Enough nodes said the same: those that did not are named, and those that were still to answer are stopped.
fn agree(cx: &mut OwnerCtx<'_, '_>, record: &mut Record, index: u32, digest: Digest) -> Brought {
    let ballot = record.replicas.close_ballot(cx.ctx, index);
    let others = core::mem::take(&mut record.job.live_task_mut(index).live);
    let (agreed, differed): (Vec<Vote>, Vec<Vote>) =
        ballot.votes.into_iter().partition(|vote| vote.digest == digest);
    let verified = Verified {
        agreed: agreed.iter().map(|vote| vote.worker).collect(),
        differed: differed.iter().map(|vote| vote.worker).collect(),
    };
    for vote in &differed {
        let contradicted = Contradicted { job: record.name(), index, worker: vote.worker };
        blame_answer(cx, contradicted, &vote.brought.report.outcome);
    }
    for worker in &verified.agreed {
        cx.books.reputation.on_done(*worker, cx.ctx.now);
        record.dispatch.reputation.on_done(*worker, cx.ctx.now);
    }
    for attempt in others {
        cancel_at(cx.ctx, attempt.worker(), &[attempt.lease.id()]);
        cx.books.leases.end(attempt.lease);
    }
    cx.ctx.counters.verified += 1;
    let winner = agreed.into_iter().next().expect("more than half of the nodes agreed");
    Brought { verified: Some((winner.worker, verified)), ..winner.brought }
}

/// A node whose answer to a task is not that of most.
struct Contradicted {
    job: JobId,
    index: u32,
    worker: PeerId,
}

/// A node computed something else than most did.
fn blame_answer(cx: &mut OwnerCtx<'_, '_>, contradicted: Contradicted, outcome: &Outcome) {
    let OwnerCtx { ctx, books, .. } = cx;
    let Contradicted { job, index, worker } = contradicted;
    let reputation = books.reputation.blamed(worker, ctx.now);
    if is_damning(outcome) {
        reputation.on_lie(ctx.now);
        ctx.memo.distrust(worker);
        ctx.counters.lies += 1;
        ctx.notify(Event::Differed { job, index, worker });
    } else {
        reputation.on_slow(ctx.now);
    }
}

/// An outcome came when enough others had agreed: it may still show which node lies.
pub(super) fn weigh_late(cx: &mut OwnerCtx<'_, '_>, record: &Record, from: PeerId, delivery: &Delivery) {
    let Delivery { lease, report, .. } = delivery;
    if !record.job.verifies() || !report.is_sound() || !is_damning(&report.outcome) {
        return;
    }
    let fate = record
        .job
        .tasks
        .fate(lease.index)
        .filter(|(_, issued)| lease.epoch == record.job.epoch && lease.attempt <= *issued);
    if let Some((TaskState::Done(digest) | TaskState::Failed(digest), _)) = fate {
        let undecided = Report::bare(Outcome::Lost(String::new())).digest().short();
        if report.digest().short() != digest && digest != undecided {
            let LeaseId { job, index, .. } = *lease;
            blame_answer(cx, Contradicted { job, index, worker: from }, &report.outcome);
        }
    }
}

/// Whether another answer than that of most can only be a lie or a broken machine: how much time a task takes, and the
/// words of a runtime's version, are a node's own.
fn is_damning(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Done | Outcome::Failed(_) => true,
        Outcome::Trapped(_)
        | Outcome::LimitExceeded(_)
        | Outcome::Invalid(_)
        | Outcome::Cancelled
        | Outcome::Lost(_)
        | Outcome::NoRoom(_)
        | Outcome::Expired(_)
        | Outcome::ParentFailed { job: _ } => false,
    }
}
