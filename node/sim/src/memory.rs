//! Running and paused tasks together take no more memory than the machine provides: its limit for one task times its
//! slots. One of the invariants; it looks at the fake slots, not at the engine's own count.

use crate::host::{MEMORY_BYTES, SimRun};
use crate::invariants::{Scene, ensure};

pub(crate) fn invariant_running_and_held_memory_is_what_the_node_gives(
    scene: &Scene<'_>,
) -> Result<(), String> {
    let host = scene.host;
    // A task that never had a slot has no memory yet; one that had keeps its memory until it leaves.
    let begun = |run: &&SimRun| run.turn > 0;
    let taken: u64 = host.runs.values().filter(begun).map(|run| run.work.program.limits.memory_bytes).sum();
    let most = MEMORY_BYTES * u64::from(host.spec.slots);
    ensure(taken <= most, || {
        let held = host.runs.values().filter(|run| run.paused).count();
        format!("tasks that may take {taken} bytes, {held} of them paused, on a machine that provides {most}")
    })
}
