//! Work conservation: once all faults are mended, no slot stays idle for long while a task that fits it waits. The swarm
//! checks it every half second from what the model knows.

use std::collections::BTreeMap;

use weft_core::{JobId, Time};

use crate::host::{HostId, SimHost};
use crate::invariants::Violation;
use crate::world::World;

/// How long a slot may be idle next to a waiting task, in microseconds. After a partition a host dials for a second, an
/// open call is repeated each second, an unused bid lasts two seconds, and a task that failed on one worker waits a
/// second for another one.
const IDLE_MAX_US: u64 = 10_000_000;

/// The idle slots of the last check, and since when each has been idle.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    since: BTreeMap<(HostId, JobId), Time>,
    longest_us: u64,
}

impl Liveness {
    /// The longest idle time of a slot next to a task that fits it, in microseconds.
    pub(crate) fn longest_us(&self) -> u64 {
        self.longest_us
    }

    /// Checks all hosts against all jobs with queued tasks.
    pub(crate) fn check(&mut self, world: &World) -> Result<(), Violation> {
        let now = world.now();
        let mut idle: BTreeMap<(HostId, JobId), Time> = BTreeMap::new();
        for owner in &world.hosts {
            for job in owner.audit.iter().flat_map(|audit| &audit.jobs).filter(|job| job.queued > 0) {
                let fitting = world.hosts.iter().filter(|host| fits(world, owner, host, job.job));
                for host in fitting.filter(|host| !keeps_slots(world, host, job.job)) {
                    let key = (host.id, job.job);
                    idle.insert(key, self.since.get(&key).copied().unwrap_or(now));
                }
            }
        }
        self.since = idle;
        let longest = self.since.iter().max_by_key(|(_, since)| now.since_us(**since));
        let Some(((host, job), since)) = longest else { return Ok(()) };
        let idle_us = now.since_us(*since);
        self.longest_us = self.longest_us.max(idle_us);
        if idle_us > IDLE_MAX_US {
            let owner = world.reference().jobs[job].owner;
            let why = (0..).find_map(|index| world.why(owner, *job, index).filter(waits));
            let text = format!(
                "host {} is idle next to {job:?} of host {} since {since:?}: {why:?}",
                host.0, owner.0
            );
            return Err(world.violation("no_slot_idles_beside_an_eligible_task", text));
        }
        Ok(())
    }
}

fn waits(why: &weft_core::snapshot::Why) -> bool {
    matches!(why.state, weft_core::snapshot::TaskView::Queued { .. })
}

/// Whether a host has room for a job's task, and nothing is against it: neither a label that it lacks, nor a class or an owner
/// that it refuses, nor its owner's record of what it did, by which it is given nothing now: it lost tasks or lied and is
/// waited out, its disk was full and is, or it has the one task that it may have. Who is asked last is asked all the same.
/// What several nodes compute wants distinct ones, and is not looked at.
fn fits(world: &World, owner: &SimHost, host: &SimHost, job: JobId) -> bool {
    let Some(audit) = host.audit.as_ref().filter(|_| host.engine.is_some() && !host.paused) else {
        return false;
    };
    let reached = owner.id == host.id
        || (world.fabric.connected(owner.id, host.id) && world.fabric.connected(host.id, owner.id));
    let Some(owed) = world.reference().jobs.get(&job).filter(|_| reached) else { return false };
    let labelled = owed.labels.iter().all(|label| host.spec.labels.contains(label));
    let takes = owed.promised.class >= host.spec.class_min && owed.policy.verify < 2;
    let local = owner.local(world.now());
    let trusted = owner.engine.as_ref().is_some_and(|engine| engine.may_give(local, job, host.peer));
    let welcome = owner.id == host.id || host.spec.guests.takes(owner.id);
    let held: u32 = audit.held.iter().map(|(_, lease)| world.reference().width_of(*lease)).sum();
    labelled && takes && welcome && trusted && held + owed.width <= audit.slots
}

/// Whether a host may keep slots free for a waiting task that takes more slots than this job's and fits there. That such
/// a task begins eventually is checked by `a_healed_mesh_ends_what_it_owes`.
fn keeps_slots(world: &World, host: &SimHost, job: JobId) -> bool {
    let width = |job: &JobId| world.reference().jobs.get(job).map_or(1, |owed| owed.width);
    let own = width(&job);
    let queued = world.hosts.iter().flat_map(|owner| &owner.audit).flat_map(|audit| &audit.jobs);
    queued.filter(|job| job.queued > 0).any(|other| {
        let other = width(&other.job);
        other > own && other <= host.spec.slots
    })
}
