//! Nodes that drain: what they may still begin, and what their owners may make of the work that comes back.

use crate::invariants::{Scene, ensure};
use crate::reference::Fact;

/// A node that takes no new work begins none, of no owner; what it held and had not begun is given back.
pub(crate) fn a_draining_node_begins_nothing(scene: &Scene<'_>) -> Result<(), String> {
    let begun = scene.facts.iter().find(|fact| matches!(fact, Fact::Started { .. }));
    ensure(!scene.host.drains || begun.is_none(), || format!("{begun:?}, and the node drains"))?;
    let Some(audit) = scene.host.audit.as_ref().filter(|_| scene.host.drains) else { return Ok(()) };
    // A lease whose execution is aborted is over, so that there may be more executions than leases, but never fewer.
    let (held, handed) = (audit.held.len(), audit.handed);
    ensure(held <= handed as usize, || {
        format!("{held} leases are held for {handed} executions of a node that drains")
    })
}

/// An owner does not blame a worker for tasks that it gave back, and does not count them as lost.
pub(crate) fn given_back_work_blames_nobody(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for fact in scene.facts {
        let Fact::GivenBack { worker, leases, before } = fact else { continue };
        let lost = |of_these: bool| {
            scene.facts.iter().any(|fact| {
                let Fact::Lost { job, index, worker: of } = fact else { return false };
                let named = || leases.iter().any(|lease| (lease.job, lease.index) == (*job, *index));
                of == worker && (!of_these || named())
            })
        };
        ensure(!lost(true), || format!("{worker:?} gave back one of {leases:?}, and it counts as lost"))?;
        let after = audit.blamed.get(worker).copied().unwrap_or(0);
        // Another lease of the same worker may run out in the same step.
        ensure(after <= *before || lost(false), || {
            format!("{worker:?} gave back {leases:?}: it is blamed {after}, and was {before}")
        })?;
    }
    Ok(())
}
