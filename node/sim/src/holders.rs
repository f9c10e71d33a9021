//! What workers go on with over epochs of a kept job: the invariant, by its name. Which workers were given tasks of a job the model
//! knows by the awards that it saw; what a leader gives itself passes without a message.

use weft_core::{JobId, LeaseId, PeerId};

use crate::invariants::{Scene, ends, ensure};
use crate::reference::End;

/// Whether a node was given tasks of a job by those that led it, or led it and may have given itself some.
fn was_given_work(scene: &Scene<'_>, job: JobId, worker: PeerId) -> bool {
    let reference = scene.reference;
    let led = |worker: PeerId| {
        let host = scene.peers.get(&worker);
        reference.mesh.leaders(job).any(|leader| Some(&leader) == host)
    };
    worker == scene.host.peer || reference.leases_given(job, worker).next().is_some() || led(worker)
}

/// Whether a node that was given tasks of a kept job may say of others, in whose name false outcomes were sent: it is one of those
/// that are asked what they hold.
pub(crate) fn claims(scene: &Scene<'_>, job: JobId, worker: PeerId) -> bool {
    let is_kept = scene.reference.kept.epoch(job) > 1 || scene.reference.mesh.has(job);
    is_kept && scene.reference.forgers.contains(&worker) && was_given_work(scene, job, worker)
}

/// A leader takes what is held of an earlier epoch, and what comes of it, only from nodes that were given work of the job.
pub(crate) fn what_is_held_is_believed_only_from_who_was_given_work(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    let epoch_of =
        |job: JobId| audit.jobs.iter().find(|known| known.job == job).map_or(0, |known| known.epoch);
    for (worker, lease) in audit.issued.iter().filter(|(_, lease)| lease.epoch < epoch_of(lease.job)) {
        let LeaseId { job, .. } = *lease;
        ensure(was_given_work(scene, job, *worker), || {
            format!("{worker:?} is said to hold {lease:?}, and was given nothing of {job:?}")
        })?;
    }
    for End { job, index, worker, memo, .. } in ends(scene) {
        let Some(worker) = worker.filter(|_| memo.is_none()) else { continue };
        ensure(was_given_work(scene, *job, worker), || {
            format!("task {index} of {job:?} ended by {worker:?}, which was given nothing of {job:?}")
        })?;
    }
    Ok(())
}
