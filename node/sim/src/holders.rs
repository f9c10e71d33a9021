//! What workers go on with over epochs of a kept job: the invariant, by its name. Which tasks workers were given the model knows by
//! the awards that it saw; what a leader gives itself passes without a message.

use weft_core::{JobId, LeaseId, PeerId};

use crate::invariants::{Scene, ends, ensure};
use crate::reference::End;

/// Whether a node was given a task by those that led its job, or led it and may have given it to itself.
fn was_given(scene: &Scene<'_>, job: JobId, index: u32, worker: PeerId) -> bool {
    let reference = scene.reference;
    let led = |worker: PeerId| {
        let host = scene.peers.get(&worker);
        reference.mesh.leaders(job).any(|leader| Some(&leader) == host)
    };
    let mut given = reference.leases_given(job, worker);
    worker == scene.host.peer || given.any(|lease| lease.index == index) || led(worker)
}

/// Whether a node that was given a task of a kept job, in whose name false outcomes were sent, may say of other attempts of it: it
/// is one of those that are asked what they hold.
pub(crate) fn claims(scene: &Scene<'_>, job: JobId, index: u32, worker: PeerId) -> bool {
    let is_kept = scene.reference.kept.epoch(job) > 1 || scene.reference.mesh.has(job);
    is_kept && scene.reference.forgers.contains(&worker) && was_given(scene, job, index, worker)
}

/// A leader takes what is held of an earlier epoch, and what comes of it, only from nodes that were given that task.
pub(crate) fn what_is_held_is_believed_only_from_who_was_given_it(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    let epoch_of =
        |job: JobId| audit.jobs.iter().find(|known| known.job == job).map_or(0, |known| known.epoch);
    for (worker, lease) in audit.issued.iter().filter(|(_, lease)| lease.epoch < epoch_of(lease.job)) {
        let LeaseId { job, index, .. } = *lease;
        ensure(was_given(scene, job, index, *worker), || {
            format!("{worker:?} is said to hold {lease:?}, and was not given that task")
        })?;
    }
    for End { job, index, worker, memo, .. } in ends(scene) {
        let Some(worker) = worker.filter(|_| memo.is_none()) else { continue };
        ensure(was_given(scene, *job, *index, worker), || {
            format!("task {index} of {job:?} ended by {worker:?}, which was not given that task")
        })?;
    }
    Ok(())
}
