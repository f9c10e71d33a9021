//! Ordering: which call a worker serves first, and which of its jobs an owner dispatches first. By class, aged by
//! waiting; then the earliest deadline; then the owner that used least time; then the longest wait. A total order over
//! plain numbers.
//!
//! No starvation: a call gains one class for each thirty seconds in which none of its tasks was served. An aged call
//! goes before others of its new class when a slot is free; it does not pause running tasks.

use core::cmp::Reverse;

use crate::message::Class;
use crate::time::Time;

/// Wait that counts as one class, in microseconds.
pub(crate) const AGE_US: u64 = 30_000_000;

/// The class that a call counts as after a wait.
pub(crate) fn aged(class: Class, waited_us: u64) -> Class {
    (0..waited_us / AGE_US).take(Class::ALL.len()).fold(class, |class, _| class.above())
}

/// The order key of a call or job; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// Its owner left bids unused.
    unused_bids: bool,
    class: Reverse<Class>,
    /// The deadline; `u64::MAX` without one.
    due: Time,
    /// Time that its owner has used, in microseconds.
    used_us: u64,
    /// Least for the one that was served longest ago.
    turn: u64,
}

/// What the order key of a call or job is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) unused_bids: bool,
    pub(crate) class: Class,
    /// Time since a task of it was served, in microseconds.
    pub(crate) waited_us: u64,
    pub(crate) due: Option<Time>,
    pub(crate) used_us: u64,
    pub(crate) turn: u64,
}

/// Its order key.
pub(crate) fn turn(candidate: &Candidate) -> Turn {
    Turn {
        unused_bids: candidate.unused_bids,
        class: Reverse(aged(candidate.class, candidate.waited_us)),
        due: candidate.due.unwrap_or(Time(u64::MAX)),
        used_us: candidate.used_us,
        turn: candidate.turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Candidate =
        Candidate { unused_bids: false, class: Class::Batch, waited_us: 0, due: None, used_us: 0, turn: 0 };

    #[test]
    fn thirty_seconds_are_worth_a_class() {
        // class, seconds -> class
        let table = [
            (Class::Scavenger, 29, Class::Scavenger),
            (Class::Scavenger, 30, Class::Batch),
            (Class::Scavenger, 89, Class::Interactive),
            (Class::Scavenger, 90, Class::Realtime),
            (Class::Realtime, 1_000_000, Class::Realtime),
            (Class::Batch, u64::MAX / 1_000_000, Class::Realtime),
        ];
        for (class, seconds, counts_as) in table {
            assert_eq!(aged(class, seconds * 1_000_000), counts_as, "{class:?} after {seconds} s");
        }
    }

    #[test]
    fn class_goes_before_deadline_before_share_before_patience() {
        // In order: each row goes before the next one.
        let table = [
            Candidate { class: Class::Realtime, used_us: 9, turn: 9, ..BATCH },
            Candidate { class: Class::Interactive, due: Some(Time(5)), used_us: 9, ..BATCH },
            Candidate { class: Class::Interactive, due: Some(Time(6)), ..BATCH },
            Candidate { class: Class::Interactive, turn: 8, ..BATCH },
            Candidate { waited_us: AGE_US, used_us: 1, turn: 7, ..BATCH },
            Candidate { due: Some(Time(u64::MAX - 1)), used_us: 100, turn: 9, ..BATCH },
            Candidate { turn: 3, used_us: 5, ..BATCH },
            Candidate { turn: 4, used_us: 5, ..BATCH },
            Candidate { turn: 1, used_us: 6, ..BATCH },
            Candidate { class: Class::Scavenger, due: Some(Time(1)), ..BATCH },
            Candidate { unused_bids: true, class: Class::Realtime, ..BATCH },
        ];
        for pair in table.windows(2) {
            let [first, second] = pair else { continue };
            assert!(turn(first) < turn(second), "{first:?} goes before {second:?}");
        }
    }
}
