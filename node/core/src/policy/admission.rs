//! Admission: whether a worker can meet a deadline. A worker that can't declines at once, while there is time to ask
//! another one (as in BOINC and Tarcil). Unknown times count as zero, so that no task is declined on a guess.

use crate::message::Reason;

/// Expected time until a task awarded now gets `task_slots` slots, in microseconds. Tasks of its class or above that
/// hold `held` slots go before it, and need an estimated `work_us` of one slot together. With all slots busy, one
/// becomes free each `1 / slots` of the service time of a task.
pub(crate) fn start_in_us(slots: u32, task_slots: u32, held: u32, work_us: u64) -> u64 {
    if held.saturating_add(task_slots) <= slots || slots == 0 {
        return 0;
    }
    let each_us = work_us / u64::from(held.max(1));
    let ends = u64::from(held) + u64::from(task_slots) - u64::from(slots);
    each_us.saturating_mul(ends) / u64::from(slots)
}

/// Why a worker declines a task that is due in `left_us`, would start in `start_us` and take `service_us`; `None` if it
/// can meet the deadline. All in microseconds.
pub(crate) fn late(start_us: u64, service_us: u64, left_us: u64) -> Option<Reason> {
    let ms = |us: u64| u32::try_from(us.div_ceil(1000)).unwrap_or(u32::MAX);
    let needed_us = start_us.saturating_add(service_us);
    (needed_us > left_us).then(|| Reason::Late {
        start_ms: ms(start_us),
        service_ms: ms(service_us),
        left_ms: ms(left_us),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_starts_when_the_tasks_before_it_have_ended() {
        // slots, task_slots, held, work_us -> start_us
        let table = [
            (4, 1, 3, 3_000, 0),     // a slot is free
            (4, 1, 4, 4_000, 250),   // all slots are busy, and the first of four ends soon
            (4, 1, 8, 8_000, 1_250), // one more each
            (1, 1, 3, 3_000_000, 3_000_000),
            (2, 1, 2, 0, 0), // the service time is unknown
            (0, 1, 0, 0, 0), // a node without slots offers nothing
            (1, 1, u32::MAX, u64::MAX, u64::MAX),
            (4, 2, 2, 2_000, 0),   // two are free
            (4, 4, 2, 2_000, 500), // two of two must end
            (4, 4, 4, 4_000, 1_000),
            (4, u32::MAX, 0, 0, 0), // it never fits, and is not called
        ];
        for (slots, task_slots, held, work_us, start_us) in table {
            assert_eq!(
                start_in_us(slots, task_slots, held, work_us),
                start_us,
                "{slots} {task_slots} {held} {work_us}"
            );
        }
    }

    #[test]
    fn what_would_be_late_is_declined_with_the_numbers() {
        // start_us, service_us, left_us -> can't make it
        let table = [
            (0, 0, 0, false),
            (0, 1_000, 1_000, false),
            (0, 1_001, 1_000, true),
            (500, 600, 1_000, true),
            (u64::MAX, u64::MAX, u64::MAX, false),
        ];
        for (start, service, left, declines) in table {
            assert_eq!(late(start, service, left).is_some(), declines, "{start} {service} {left}");
        }
        let why = late(2_000_000, 1_500_000, 3_000_000).map(|reason| alloc::format!("{reason}"));
        let text = "late: would start in 2000 ms and take 1500 ms, 3000 ms are left";
        assert_eq!(why.as_deref(), Some(text));
    }
}
