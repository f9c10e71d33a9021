//! What must hold after every event if nodes lie, are slow, or have a bad reputation. Part of the invariants.

use std::collections::BTreeSet;

use weft_core::{Outcome, PeerId, Verified};

use crate::invariants::{Scene, ends, ensure};
use crate::reference::{End, Fact};

pub(crate) fn invariant_a_verified_task_has_its_majority(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, worker, verified, .. } in ends(scene) {
        let asked = scene.reference.jobs.get(job).map_or(1, |owed| owed.policy.verify);
        let ran = matches!(report.outcome, Outcome::Done | Outcome::Failed(_));
        let Some(Verified { agreed, differed }) = verified else {
            ensure(asked < 2 || !ran, || format!("{job:?} task {index} ended unverified"))?;
            continue;
        };
        let all: BTreeSet<PeerId> = agreed.iter().chain(differed).copied().collect();
        ensure(all.len() == agreed.len() + differed.len(), || format!("a node has two votes: {verified:?}"))?;
        ensure(agreed.len() > asked as usize / 2, || format!("{} of {asked} agreed", agreed.len()))?;
        ensure(agreed.first() == worker.as_ref(), || format!("{worker:?} is not the first of {agreed:?}"))?;
        let executed = all.iter().all(|worker| scene.reference.executed_by(*job, *index, *worker));
        ensure(executed, || format!("not all of {verified:?} ran {job:?} task {index}"))?;
    }
    Ok(())
}

pub(crate) fn invariant_who_is_named_lied(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let Fact::Named { job, index, worker } = fact else { continue };
        let task = scene.reference.task_id(*job, *index);
        // A node that forged outcomes lied, too; the model does not record about which tasks.
        let lied = task.is_some_and(|task| scene.reference.liars.contains(&(task, *worker)))
            || scene.reference.forgers.contains(worker);
        ensure(lied, || format!("{worker:?} is named a liar about {job:?} task {index}, and did not lie"))?;
    }
    Ok(())
}

pub(crate) fn invariant_nothing_runs_twice_unasked(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for job in &audit.jobs {
        let Some(owed) = scene.reference.jobs.get(&job.job) else { continue };
        let copies = 1 + u32::from(owed.policy.backups);
        let most = if owed.policy.verify > 1 { owed.policy.verify } else { copies };
        ensure(job.most_due <= most, || format!("a task is leased {} times: {job:?}", job.most_due))?;
        ensure(job.most_doubled == 0, || format!("a worker has a task twice: {job:?}"))?;
        ensure(job.ballots == 0 || owed.policy.verify > 1, || {
            format!("a ballot without verification: {job:?}")
        })?;
    }
    Ok(())
}

pub(crate) fn invariant_copies_keep_to_their_budget(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for job in &audit.jobs {
        let allowed = scene.reference.jobs.get(&job.job).is_some_and(|owed| owed.policy.backups);
        let most = if allowed { (job.total / 10).max(1) } else { 0 };
        ensure(job.copies <= most, || format!("{} copies, at most {most}: {job:?}", job.copies))?;
    }
    Ok(())
}
