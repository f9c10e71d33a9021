//! Which bid an owner takes first: the one with the earliest expected start, fetches included. With many bidders the
//! better of two random ones, because owners that all choose the same best one queue there (the power of two choices;
//! `weft-experiments run lan` measures it on a hundred nodes).

/// Bidders up to which the best one is taken.
pub(crate) const BIDDERS_MAX: usize = 32;
/// Assumed time for compiling a module on a node that has not done so, in microseconds.
const COLD_US: u64 = 5000;
/// Assumed speed of a fetch, in bytes per microsecond: about a gigabit a second.
const BYTES_PER_US: u64 = 100;

/// One bid, as far as it decides the rank.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// The start that the worker promised, in microseconds from its bid.
    pub(crate) start_in_us: u32,
    /// Age of the bid, in microseconds.
    pub(crate) age_us: u64,
    pub(crate) warm: bool,
    /// Whether the bidder is this node itself.
    pub(crate) own: bool,
    pub(crate) rtt_us: u32,
}

/// Expected time until a task awarded now starts there, in microseconds: the promised start, less the age of the bid,
/// plus the round trip and, if the module is cold, its compilation.
pub(crate) fn start_us(promise: &Promise) -> u64 {
    let queue = u64::from(promise.start_in_us).saturating_sub(promise.age_us);
    let away = if promise.own { 0 } else { u64::from(promise.rtt_us) + 1 };
    let cold = if promise.warm || promise.own { 0 } else { COLD_US };
    queue + away + cold
}

/// Time for fetching an input of `bytes`, in microseconds.
pub(crate) fn fetch_us(bytes: u64, rtt_us: u32) -> u64 {
    (bytes / BYTES_PER_US).saturating_add(u64::from(rtt_us))
}

/// Which of `count` bids, ordered by their expected start, to try first. `draw` gives a uniformly random number.
pub(crate) fn pick(count: usize, draw: impl FnOnce() -> u64) -> usize {
    if count <= BIDDERS_MAX {
        return 0;
    }
    let chance = draw();
    let below = |draw: u64| usize::try_from((draw * count as u64) >> 32).unwrap_or(0);
    below(chance >> 32).min(below(chance & 0xffff_ffff))
}

/// How long a task waits behind `held` others of the same service time, in microseconds.
pub(crate) fn wait_us(held: u64, slots: u32, service_us: u32) -> u64 {
    let ahead = (held + 1).saturating_sub(u64::from(slots));
    ahead.saturating_mul(u64::from(service_us)) / u64::from(slots.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_way_and_cold_code_add_up() {
        let far = Promise { start_in_us: 10_000, age_us: 0, warm: true, own: false, rtt_us: 200 };
        let table = [
            (far, 10_201),
            (Promise { age_us: 4_000, ..far }, 6_201),
            (Promise { age_us: 99_000, ..far }, 201),
            (Promise { warm: false, ..far }, 15_201),
            (Promise { own: true, warm: false, ..far }, 10_000),
        ];
        for (promise, us) in table {
            assert_eq!(start_us(&promise), us, "{promise:?}");
        }
    }

    #[test]
    fn bytes_that_are_elsewhere_cost_their_way() {
        for (bytes, rtt_us, us) in [(0, 200, 200), (1_000_000, 200, 10_200), (u64::MAX, 0, u64::MAX / 100)] {
            assert_eq!(fetch_us(bytes, rtt_us), us, "{bytes} bytes");
        }
    }

    #[test]
    fn the_best_of_few_and_the_better_of_two_of_many() {
        // count, two draws of 32 bits -> place
        let table = [
            (1, u32::MAX, u32::MAX, 0),
            (32, u32::MAX, u32::MAX, 0),
            (33, u32::MAX, u32::MAX, 32),
            (100, 0, u32::MAX, 0),
            (100, u32::MAX / 2, u32::MAX / 4, 24),
            (100, u32::MAX / 4, u32::MAX / 2, 24),
        ];
        for (count, one, other, place) in table {
            let chance = u64::from(one) << 32 | u64::from(other);
            assert_eq!(pick(count, || chance), place, "of {count}");
        }
    }

    #[test]
    fn a_wait_is_the_work_before_a_task_shared_among_the_slots() {
        // held, slots, service, wait
        let table = [
            (0, 4, 500, 0),
            (3, 4, 500, 0),
            (4, 4, 500, 125),
            (7, 4, 500, 500),
            (1, 1, 500, 500),
            (u64::MAX - 1, 1, u32::MAX, u64::MAX),
        ];
        for (held, slots, service, wait) in table {
            assert_eq!(wait_us(held, slots, service), wait, "{held} {slots} {service}");
        }
    }
}
