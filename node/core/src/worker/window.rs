//! How many tasks a worker offers to take: the whole art of bidding, as pure functions with a table of tests.
//!
//! Long tasks bind late: only slots that are free now are offered, so that a task goes to whoever is ready. Short
//! tasks would idle a slot for a round trip each (a share t/(t+RTT) of its time remains, 71 % at t = 0.5 ms and
//! RTT = 0.2 ms), so room for the work of one round trip is offered ahead of need.

use alloc::collections::BTreeMap;

use crate::id::{JobId, PeerId};

/// What passes between the end of a task and the start of the next one beside the network's round trip: waking
/// threads and taking batches apart, in microseconds.
const HANDOVER_US: u64 = 500;
/// Tasks at least this many round trips long are long.
const LONG_ROUND_TRIPS: u64 = 10;
/// Most tasks per slot that are offered ahead.
const AHEAD_MAX: u64 = 128;
/// Jobs whose service time is remembered; beyond it the memory is cleared and measured anew.
const SERVICES_MAX: usize = 1024;

/// Tasks that a worker with `slots` may hold or have promised, while it offers to an owner whose tasks take
/// `service_us` (0: unknown) and whose round trip is `rtt_us`.
pub(crate) fn slots_to_offer(slots: u32, service_us: u32, rtt_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, u64::from(rtt_us) + HANDOVER_US))
}

/// Tasks that may be in the slots' own queue, running ones included.
pub(super) fn slots_to_hand(slots: u32, service_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, HANDOVER_US))
}

/// Whether tasks are so short that work is bound ahead of need, rather than to whoever is free.
pub(crate) fn is_short(service_us: u32, rtt_us: u32) -> bool {
    let gap_us = u64::from(rtt_us) + HANDOVER_US;
    (1..LONG_ROUND_TRIPS * gap_us).contains(&u64::from(service_us))
}

fn per_slot(service_us: u32, gap_us: u64) -> u32 {
    let service = u64::from(service_us);
    if service == 0 || service >= LONG_ROUND_TRIPS * gap_us {
        return 1;
    }
    u32::try_from((1 + gap_us.div_ceil(service)).min(AHEAD_MAX)).unwrap_or(1)
}

/// What tasks of each job took, as a moving average.
#[derive(Debug, Default)]
pub(super) struct Services {
    by_job: BTreeMap<(PeerId, JobId), u32>,
}

impl Services {
    /// In microseconds, 0 while unknown.
    pub(super) fn estimate_us(&self, owner: PeerId, job: JobId) -> u32 {
        self.by_job.get(&(owner, job)).copied().unwrap_or(0)
    }

    /// What the owner says, which counts until something was measured here.
    pub(super) fn hint(&mut self, owner: PeerId, job: JobId, service_us: u32) {
        if service_us > 0 && !self.by_job.contains_key(&(owner, job)) {
            self.put(owner, job, service_us);
        }
    }

    /// One task's running time. The average moves by an eighth, and by a half when the task was much longer, so that
    /// a worker that promised too much stops at once.
    pub(super) fn measure(&mut self, owner: PeerId, job: JobId, wall_us: u64) {
        let sample = u32::try_from(wall_us.max(1)).unwrap_or(u32::MAX);
        let old = self.estimate_us(owner, job);
        let new = match old {
            0 => sample,
            _ if sample > old.saturating_mul(4) => old / 2 + sample / 2,
            _ => old - old / 8 + sample / 8,
        };
        self.put(owner, job, new.max(1));
    }

    fn put(&mut self, owner: PeerId, job: JobId, service_us: u32) {
        if self.by_job.len() >= SERVICES_MAX && !self.by_job.contains_key(&(owner, job)) {
            self.by_job.clear();
        }
        self.by_job.insert((owner, job), service_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_service_and_round_trip() {
        // slots, service_us, rtt_us -> offered
        let table = [
            (2, 0, 200, 2),         // unknown: late binding
            (2, 100_000, 200, 2),   // long: late binding
            (2, 7_000, 200, 2),     // ten round trips: long
            (2, 1_000, 200, 4),     // one millisecond: one ahead per slot
            (2, 500, 200, 6),       // half a millisecond: two ahead
            (2, 5, 200, 256),       // no-op: the clamp
            (2, 1_000, 20_000, 44), // a slow link: twenty-one ahead
            (0, 5, 200, 0),         // a node without slots offers none
        ];
        for (slots, service_us, rtt_us, offered) in table {
            assert_eq!(slots_to_offer(slots, service_us, rtt_us), offered, "{slots} {service_us} {rtt_us}");
        }
    }

    #[test]
    fn a_much_longer_task_moves_the_average_at_once() {
        let (owner, job) = (PeerId([1; 32]), JobId(1));
        let mut services = Services::default();
        services.hint(owner, job, 10);
        services.hint(owner, job, 99);
        assert_eq!(services.estimate_us(owner, job), 10);
        services.measure(owner, job, 1_000_000);
        assert_eq!(services.estimate_us(owner, job), 500_005);
        services.measure(owner, job, 10);
        assert_eq!(services.estimate_us(owner, job), 500_005 - 62_500 + 1);
    }
}
