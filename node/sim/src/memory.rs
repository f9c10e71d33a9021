//! What runs and what is held on a machine takes no more memory than its owner gave, which is what the machine gives to
//! one task, once for each slot. Asked by the invariants; it looks at the fake slots, not at what the engine counts.

use crate::host::{MEMORY_BYTES, SimRun};
use crate::invariants::{Scene, ensure};

pub(crate) fn invariant_running_and_held_memory_is_what_the_node_gives(
    scene: &Scene<'_>,
) -> Result<(), String> {
    let host = scene.host;
    // What never had a slot has no memory yet; whatever had one keeps it until it leaves.
    let begun = |run: &&SimRun| run.turn > 0;
    let taken: u64 = host.runs.values().filter(begun).map(|run| run.work.program.limits.memory_bytes).sum();
    let most = MEMORY_BYTES * u64::from(host.spec.slots);
    ensure(taken <= most, || {
        let held = host.runs.values().filter(|run| run.paused).count();
        format!("tasks that may take {taken} bytes, {held} of them held, on a machine that gives {most}")
    })
}
