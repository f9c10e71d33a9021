//! How many tasks a worker offers to take, as pure functions with a table of tests. Owner and worker both use them.
//!
//! Long tasks bind late: only slots that are free now are offered, so that a task goes to a worker that is ready. With
//! short tasks a slot would idle for a round trip after each (a share t/(t+RTT) of its time remains, 71 % at t = 0.5 ms
//! and RTT = 0.2 ms), so room for the work of one round trip is offered in advance.

/// Time between the end of a task and the start of the next one besides the network's round trip, in microseconds:
/// waking threads and unpacking batches.
const HANDOVER_US: u64 = 500;
/// Tasks that take at least this many round trips are long.
const LONG_ROUND_TRIPS: u64 = 10;
/// What a node does itself for one task that it keeps, in microseconds, while its slots work on those that they have. Tasks that take
/// little more need many in advance, or slots and node wait for each other in turn.
const OWN_US: u64 = 6;
/// Most tasks per slot that are offered in advance.
const AHEAD_MAX: u64 = 512;

/// Slots of tasks that a worker with `slots` may hold and have promised together, when it bids to an owner whose tasks
/// take `service_us` (0: unknown) and whose round trip is `rtt_us`.
pub(crate) fn slots_to_offer(slots: u32, service_us: u32, rtt_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, u64::from(rtt_us) + HANDOVER_US))
}

/// Most that a worker ever holds and has promised together: its window, and for each of the three classes that may
/// pause others as many tasks as it has slots.
pub(crate) fn offered_max(slots: u32) -> u32 {
    slots_to_offer(slots, 1, u32::MAX).saturating_add(slots.saturating_mul(3))
}

/// Tasks that may be in the executor's queue, running ones included.
pub(crate) fn slots_to_hand(slots: u32, service_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, HANDOVER_US))
}

/// Whether tasks are short, so that they are bound in advance and not when a slot is free.
pub(crate) fn is_short(service_us: u32, rtt_us: u32) -> bool {
    let gap_us = u64::from(rtt_us) + HANDOVER_US;
    (1..LONG_ROUND_TRIPS * gap_us).contains(&u64::from(service_us))
}

fn per_slot(service_us: u32, gap_us: u64) -> u32 {
    let service = u64::from(service_us);
    if service == 0 || service >= LONG_ROUND_TRIPS * gap_us {
        return 1;
    }
    let left_us = service.saturating_sub(OWN_US).max(1);
    u32::try_from((1 + gap_us.div_ceil(left_us)).min(AHEAD_MAX)).unwrap_or(1)
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
            (2, 7_000, 200, 2),     // more than ten round trips: long
            (2, 1_000, 200, 4),     // one millisecond: one in advance per slot
            (2, 500, 200, 6),       // half a millisecond: two in advance
            (2, 20, 200, 102),      // a node does a third of that work itself
            (2, 7, 200, 1024),      // no-op: the bound
            (2, 1_000, 20_000, 44), // a slow link: twenty-one in advance
            (0, 5, 200, 0),         // a node without slots offers none
        ];
        for (slots, service_us, rtt_us, offered) in table {
            assert_eq!(slots_to_offer(slots, service_us, rtt_us), offered, "{slots} {service_us} {rtt_us}");
        }
    }
}
