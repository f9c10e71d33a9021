//! Whose call a worker serves first, and which of its jobs an owner brings forward first: by class, aged by waiting;
//! then the earliest deadline; then who had least time; then who waits longest. A total order over plain numbers.
//!
//! Ageing is one class for each thirty seconds without a task served, so that batch never starves. An
//! aged call goes before others of its new class when something is free; it holds nobody back who runs.

use core::cmp::Reverse;

use crate::message::Class;
use crate::time::Time;

/// How long something waits until it counts as one class higher, in microseconds.
pub(crate) const AGE_US: u64 = 30_000_000;

/// The class that something of that class counts as after it waited so long.
pub(crate) fn aged(class: Class, waited_us: u64) -> Class {
    (0..waited_us / AGE_US).take(Class::ALL.len()).fold(class, |class, _| class.above())
}

/// What decides between two that want the same room; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    /// Its owner left what it was offered unused.
    wasteful: bool,
    class: Reverse<Class>,
    /// `u64::MAX` without one.
    due: Time,
    /// Time that its owner had, in microseconds.
    used_us: u64,
    /// Who was served longest ago has the least.
    turn: u64,
}

/// What one that waits says for itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) wasteful: bool,
    pub(crate) class: Class,
    /// How long nothing of it was served, in microseconds.
    pub(crate) waited_us: u64,
    pub(crate) due: Option<Time>,
    pub(crate) used_us: u64,
    pub(crate) turn: u64,
}

/// Its place among others.
pub(crate) fn turn(claim: &Claim) -> Turn {
    Turn {
        wasteful: claim.wasteful,
        class: Reverse(aged(claim.class, claim.waited_us)),
        due: claim.due.unwrap_or(Time(u64::MAX)),
        used_us: claim.used_us,
        turn: claim.turn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Claim =
        Claim { wasteful: false, class: Class::Batch, waited_us: 0, due: None, used_us: 0, turn: 0 };

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
        // Each goes before the next one.
        let table = [
            Claim { class: Class::Realtime, used_us: 9, turn: 9, ..BATCH },
            Claim { class: Class::Interactive, due: Some(Time(5)), used_us: 9, ..BATCH },
            Claim { class: Class::Interactive, due: Some(Time(6)), ..BATCH },
            Claim { class: Class::Interactive, turn: 8, ..BATCH },
            Claim { waited_us: AGE_US, used_us: 1, turn: 7, ..BATCH },
            Claim { due: Some(Time(u64::MAX - 1)), used_us: 100, turn: 9, ..BATCH },
            Claim { turn: 3, used_us: 5, ..BATCH },
            Claim { turn: 4, used_us: 5, ..BATCH },
            Claim { turn: 1, used_us: 6, ..BATCH },
            Claim { class: Class::Scavenger, due: Some(Time(1)), ..BATCH },
            Claim { wasteful: true, class: Class::Realtime, ..BATCH },
        ];
        for pair in table.windows(2) {
            let [first, second] = pair else { continue };
            assert!(turn(first) < turn(second), "{first:?} goes before {second:?}");
        }
    }
}
