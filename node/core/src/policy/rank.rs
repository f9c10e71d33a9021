//! Which bid an owner takes first: the one that promises the earliest start, what must still be fetched included. With
//! many bidders the better of two random ones, because owners that all choose the same best one queue there (the power of
//! two choices; `weft-experiments run lan` measures it on a hundred nodes).

/// Bidders up to which the best one is taken.
pub(crate) const BIDDERS_MAX: usize = 32;
/// What a node that has not compiled a module is thought to need for that, in microseconds.
const COLD_US: u64 = 5000;
/// What is thought to pass in a microsecond when bytes are fetched: about a gigabit a second.
const BYTES_PER_US: u64 = 100;

/// What is known of one bid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// What the worker said, in microseconds from when it said so.
    pub(crate) start_in_us: u32,
    /// How long ago that was, in microseconds.
    pub(crate) age_us: u64,
    pub(crate) warm: bool,
    /// The bidder is the owner itself.
    pub(crate) own: bool,
    pub(crate) rtt_us: u32,
}

/// When a task awarded now is expected to start there, in microseconds: what the worker said, less what has passed
/// since, plus the way there and, where the module is cold, its fetch.
pub(crate) fn start_us(promise: &Promise) -> u64 {
    let queue = u64::from(promise.start_in_us).saturating_sub(promise.age_us);
    let away = if promise.own { 0 } else { u64::from(promise.rtt_us) + 1 };
    let cold = if promise.warm || promise.own { 0 } else { COLD_US };
    queue + away + cold
}

/// What fetching an input of so many bytes adds where it is not, in microseconds.
pub(crate) fn fetch_us(bytes: u64, rtt_us: u32) -> u64 {
    (bytes / BYTES_PER_US).saturating_add(u64::from(rtt_us))
}

/// Which of `count` bids, ordered by their expected start, to look at first. `draw` gives any number, evenly drawn.
pub(crate) fn pick(count: usize, draw: impl FnOnce() -> u64) -> usize {
    if count <= BIDDERS_MAX {
        return 0;
    }
    let chance = draw();
    let below = |draw: u64| usize::try_from((draw * count as u64) >> 32).unwrap_or(0);
    below(chance >> 32).min(below(chance & 0xffff_ffff))
}

/// How long a task waits behind so many others, all as long, in microseconds.
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
    fn a_wait_is_what_stands_before_a_task_shared_among_the_slots() {
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
