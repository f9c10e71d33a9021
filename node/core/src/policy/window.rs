//! How many tasks a worker offers to take, as pure functions with a table of tests. Owner and worker both use them.
//!
//! Long tasks bind late: only slots that are free now are offered, so that a task goes to a worker that is ready. With
//! short tasks a slot would idle for a round trip after each (a share t/(t+RTT) of its time remains, 71 % at t = 0.5 ms
//! and RTT = 0.2 ms), so room for the work of one round trip is offered in advance; and more of tasks so short that their
//! node works about as long on each as the slot does.

/// Time between the end of a task and the start of the next one besides the network's round trip, in microseconds:
/// waking threads and unpacking batches.
const HANDOVER_US: u64 = 500;
/// Tasks that take at least this many round trips are long.
const LONG_ROUND_TRIPS: u64 = 10;
/// What a node does itself for one task that it keeps, in microseconds, while its slots work on those that they have. Tasks that take
/// little more need many in advance, or slots and node wait for each other in turn.
const OWN_US: u64 = 6;
/// Most tasks per slot that are offered to another owner in advance.
const AHEAD_MAX: u64 = 128;
/// The same for this node's own owner, and for the executor's queue: no message is between them, and no input of another node.
const OWN_AHEAD_MAX: u64 = 512;
/// Most tasks that the latter comes to where it is more than the former: the executor's queue is bounded, too.
const OWN_MAX: u32 = 32_768;

/// Slots of tasks that a worker with `slots` may hold and have promised together, when it bids to an owner whose tasks
/// take `service_us` (0: unknown) and whose round trip is `rtt_us`.
pub(crate) fn slots_to_offer(slots: u32, service_us: u32, rtt_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, u64::from(rtt_us) + HANDOVER_US, AHEAD_MAX))
}

/// The same when it is asked by this node's own owner.
pub(crate) fn slots_to_offer_own(slots: u32, service_us: u32) -> u32 {
    let own = slots.saturating_mul(per_slot(service_us, HANDOVER_US, OWN_AHEAD_MAX)).min(OWN_MAX);
    own.max(slots_to_offer(slots, service_us, 0))
}

/// Most that a worker ever holds and has promised together: its window, and for each of the three classes that may
/// pause others as many tasks as it has slots.
pub(crate) fn offered_max(slots: u32) -> u32 {
    slots_to_offer(slots, 1, u32::MAX).saturating_add(slots.saturating_mul(3))
}

/// The same for this node's own owner.
pub(crate) fn offered_own_max(slots: u32) -> u32 {
    slots_to_offer_own(slots, 1).saturating_add(slots.saturating_mul(3))
}

/// Whether tasks are short, so that they are bound in advance and not when a slot is free.
pub(crate) fn is_short(service_us: u32, rtt_us: u32) -> bool {
    let gap_us = u64::from(rtt_us) + HANDOVER_US;
    (1..LONG_ROUND_TRIPS * gap_us).contains(&u64::from(service_us))
}

fn per_slot(service_us: u32, gap_us: u64, ahead_max: u64) -> u32 {
    let service = u64::from(service_us);
    if service == 0 || service >= LONG_ROUND_TRIPS * gap_us {
        return 1;
    }
    let left_us = service.saturating_sub(OWN_US).max(1);
    u32::try_from((1 + gap_us.div_ceil(left_us)).min(ahead_max)).unwrap_or(1)
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
            (2, 7, 200, 256),       // no-op: the bound
            (2, 1_000, 20_000, 44), // a slow link: twenty-one in advance
            (0, 5, 200, 0),         // a node without slots offers none
        ];
        for (slots, service_us, rtt_us, offered) in table {
            assert_eq!(slots_to_offer(slots, service_us, rtt_us), offered, "{slots} {service_us} {rtt_us}");
        }
    }

    #[test]
    fn the_own_owner_is_offered_more_of_the_shortest_tasks_and_as_much_of_others() {
        // slots, service_us -> offered
        let table = [
            (2, 0, 2),          // unknown: late binding
            (2, 5_000, 2),      // long: late binding
            (2, 500, 6),        // as to others with the same round trip
            (2, 20, 74),        // the same
            (2, 7, 1002),       // no-op: 500 us of what a slot does beyond its node
            (2, 1, 1002),       // never more than that
            (128, 7, 32_768),   // the bound of all
            (1000, 7, 128_000), // many slots: as much as others are offered
            (0, 7, 0),
        ];
        for (slots, service_us, offered) in table {
            assert_eq!(slots_to_offer_own(slots, service_us), offered, "{slots} {service_us}");
            let most = offered_own_max(slots);
            assert!(offered <= most && offered_max(slots) <= most, "{slots} {service_us}");
        }
    }
}
