//! How many tasks a worker offers to take, as pure functions with a table of tests. Owner and worker both ask.
//!
//! Long tasks bind late: only slots that are free now are offered, so that a task goes to whoever is ready. Short
//! tasks would idle a slot for a round trip each (a share t/(t+RTT) of its time remains, 71 % at t = 0.5 ms and
//! RTT = 0.2 ms), so room for the work of one round trip is offered ahead of need.

/// What passes between the end of a task and the start of the next one beside the network's round trip: waking
/// threads and taking batches apart, in microseconds.
const HANDOVER_US: u64 = 500;
/// Tasks at least this many round trips long are long.
const LONG_ROUND_TRIPS: u64 = 10;
/// Most tasks per slot that are offered ahead.
const AHEAD_MAX: u64 = 128;

/// Tasks that a worker with `slots` may hold or have promised, while it offers to an owner whose tasks take
/// `service_us` (0: unknown) and whose round trip is `rtt_us`.
pub(crate) fn slots_to_offer(slots: u32, service_us: u32, rtt_us: u32) -> u32 {
    slots.saturating_mul(per_slot(service_us, u64::from(rtt_us) + HANDOVER_US))
}

/// Most that a worker ever holds and has promised together: its window, and for each class that may hold back others
/// as many tasks as it has slots.
pub(crate) fn offered_max(slots: u32) -> u32 {
    slots_to_offer(slots, 1, u32::MAX).saturating_add(slots.saturating_mul(3))
}

/// Tasks that may be in the slots' own queue, running ones included.
pub(crate) fn slots_to_hand(slots: u32, service_us: u32) -> u32 {
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
}
