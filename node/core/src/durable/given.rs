//! Which tasks of a job which workers were given: as a record says it, and as the fold over a log and the owner of the job keep it,
//! within a bound. Plain bookkeeping; what it is good for is in `owner/holding.rs`.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;
use core::ops::Range;

use crate::id::PeerId;

/// Workers of one job that its log names; what further ones hold after its owner's restart, or when another node leads it,
/// is not asked for, and runs again. A log that names more is malformed.
pub const GIVEN_MAX: usize = 256;
/// Ranges of tasks of one job of which is known which worker was given them. Those whose tasks have all ended make room; what is
/// given beyond it is not noted, and runs again after a restart or a takeover. A record that has more is malformed.
pub const GIVEN_RANGES_MAX: usize = 4096;
/// When there is no room, ranges are looked through once in as many ranges that want to be noted.
const LOOKED_AFTER: usize = 256;
/// Tasks that are looked at for each of these.
const LOOKED_TASKS: usize = 128;

/// Tasks that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct TaskRange {
    /// The first task's place in the job.
    pub first: u32,
    /// Tasks after it.
    pub more: u32,
}

/// Tasks that a worker was given.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct GivenTasks {
    /// The worker.
    pub worker: PeerId,
    /// The tasks.
    pub ranges: Vec<TaskRange>,
}

impl TaskRange {
    /// The places of its tasks, if a job of this many tasks has all of them.
    pub(crate) fn within(self, tasks: u32) -> Option<Range<u32>> {
        let end = self.first.checked_add(self.more)?.checked_add(1)?;
        (end <= tasks).then_some(self.first..end)
    }
}

impl GivenTasks {
    /// One task more. True if that makes one range more.
    pub(crate) fn add(&mut self, index: u32) -> bool {
        let next = |range: &&mut TaskRange| {
            range.first.checked_add(range.more).and_then(|last| last.checked_add(1)) == Some(index)
        };
        if let Some(range) = self.ranges.last_mut().filter(next) {
            range.more += 1;
            return false;
        }
        self.ranges.push(TaskRange { first: index, more: 0 });
        true
    }
}

/// Who was given what.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Given {
    of: BTreeMap<PeerId, Ranges>,
    /// Ranges of all workers.
    ranges: usize,
    /// Ranges that wanted to be noted since all were looked through.
    since_looked: usize,
}

/// Tasks of one worker: in order, each range apart from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
struct Ranges(Vec<Range<u32>>);

impl Given {
    /// The workers that were given tasks, those included of whose tasks none is known any more.
    pub(crate) fn workers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.of.keys().copied()
    }

    /// Whether a worker was given a task.
    pub(crate) fn has(&self, worker: PeerId, index: u32) -> bool {
        self.of.get(&worker).is_some_and(|ranges| ranges.has(&(index..index.saturating_add(1))))
    }

    /// A worker was given tasks, and which of them is not said. False if there is no room for it.
    pub(crate) fn add_worker(&mut self, worker: PeerId) -> bool {
        self.entry(worker).is_some()
    }

    /// The tasks of a worker, unless there is no room for one worker more.
    fn entry(&mut self, worker: PeerId) -> Option<&mut Ranges> {
        let is_full = self.of.len() >= GIVEN_MAX;
        match self.of.entry(worker) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(place) => (!is_full).then(|| place.insert(Ranges::default())),
        }
    }

    /// A worker was given these tasks. True if that is noted and was not known.
    pub(crate) fn add(&mut self, worker: PeerId, tasks: Range<u32>, has_ended: impl Fn(u32) -> bool) -> bool {
        let Some(ranges) = self.entry(worker).filter(|ranges| !ranges.has(&tasks)) else { return false };
        if let Some(fewer) = ranges.join(&tasks) {
            self.ranges -= fewer;
            return true;
        }
        let has_room = self.make_room(has_ended);
        if has_room {
            self.of.entry(worker).or_default().insert(tasks);
            self.ranges += 1;
        }
        has_room
    }

    /// Nothing of before is of use.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether there is room for one range more, perhaps because tasks have ended. Looking for those costs no more than a fixed
    /// number of steps for each range that wants to be noted, whatever a log of another node says.
    fn make_room(&mut self, has_ended: impl Fn(u32) -> bool) -> bool {
        self.since_looked = self.since_looked.saturating_add(1);
        if self.ranges >= GIVEN_RANGES_MAX && self.since_looked >= LOOKED_AFTER {
            let mut steps = self.since_looked.saturating_mul(LOOKED_TASKS);
            self.of.values_mut().for_each(|ranges| ranges.drop_ended(&has_ended, &mut steps));
            self.ranges = self.of.values().map(|ranges| ranges.0.len()).sum();
            self.since_looked = 0;
        }
        self.ranges < GIVEN_RANGES_MAX
    }
}

impl Ranges {
    /// Whether all of these tasks are in one of them.
    fn has(&self, tasks: &Range<u32>) -> bool {
        // Most tasks are given in order.
        if self.0.last().is_some_and(|last| last.end <= tasks.start) {
            return false;
        }
        let behind = self.0.partition_point(|range| range.start <= tasks.start);
        let before = behind.checked_sub(1).and_then(|place| self.0.get(place));
        before.is_some_and(|range| tasks.end <= range.end)
    }

    /// Joins tasks with the ranges that they touch. How many ranges fewer that makes; nothing is done if they touch none.
    fn join(&mut self, tasks: &Range<u32>) -> Option<usize> {
        if let Some(last) = self.0.last_mut().filter(|last| last.end == tasks.start) {
            last.end = tasks.end;
            return Some(0);
        }
        let first = self.0.partition_point(|range| range.end < tasks.start);
        let behind = self.0.partition_point(|range| range.start <= tasks.end);
        let touched = self.0.get(first..behind)?;
        let (low, high) = (touched.first()?, touched.last()?);
        let whole = low.start.min(tasks.start)..high.end.max(tasks.end);
        let fewer = touched.len() - 1;
        self.0.splice(first..behind, [whole]);
        Some(fewer)
    }

    /// Tasks that touch none of the ranges.
    fn insert(&mut self, tasks: Range<u32>) {
        let place = self.0.partition_point(|range| range.start < tasks.start);
        self.0.insert(place, tasks);
    }

    /// Tasks at the beginning of a range that have ended go.
    fn drop_ended(&mut self, has_ended: &impl Fn(u32) -> bool, steps: &mut usize) {
        for range in &mut self.0 {
            while *steps > 0 && range.start < range.end && has_ended(range.start) {
                *steps -= 1;
                range.start += 1;
            }
        }
        self.0.retain(|range| range.start < range.end);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const ONE: PeerId = PeerId([1; 32]);
    const OTHER: PeerId = PeerId([2; 32]);

    fn never(_: u32) -> bool {
        false
    }

    fn note(given: &mut Given, worker: PeerId, index: u32) -> bool {
        given.add(worker, index..index + 1, never)
    }

    #[test]
    fn tasks_in_order_are_one_range_and_each_is_new_once() {
        let mut given = Given::default();
        assert!((0..1000).all(|index| note(&mut given, ONE, index)));
        assert!(!(0..1000).any(|index| note(&mut given, ONE, index)), "they are known");
        assert_eq!(given.ranges, 1);
        assert!(note(&mut given, OTHER, 7), "another worker may be given the same task");
        assert!(given.has(OTHER, 7) && !given.has(OTHER, 8) && given.has(ONE, 999) && !given.has(ONE, 1000));
        assert!(!given.has(PeerId([3; 32]), 7));
    }

    #[test]
    fn ranges_of_ended_tasks_make_room_and_those_of_others_do_not() {
        let most = u32::try_from(GIVEN_RANGES_MAX).expect("it is small");
        let mut given = Given::default();
        assert!((0..most).all(|number| note(&mut given, ONE, 2 * number)));
        assert!(!note(&mut given, OTHER, 1), "there is no room");
        assert!(note(&mut given, ONE, 1), "what joins ranges needs none");
        assert_eq!(given.ranges, GIVEN_RANGES_MAX - 1);
        assert!(note(&mut given, OTHER, 1));
        let ended = |index: u32| index < 100;
        let noted = (0..600).map(|number| given.add(OTHER, 10_000 + 2 * number..10_001 + 2 * number, ended));
        assert_eq!(noted.filter(|noted| *noted).count(), 50, "as many ranges had ended");
        assert!(!given.has(ONE, 98) && given.has(ONE, 100) && !given.has(OTHER, 1));
        assert_eq!(given.ranges, GIVEN_RANGES_MAX);
        assert_eq!(given.workers().collect::<Vec<_>>(), [ONE, OTHER]);
    }

    #[test]
    fn long_ranges_of_ended_tasks_cost_a_bounded_number_of_steps() {
        let most = u32::try_from(GIVEN_RANGES_MAX).expect("it is small");
        let mut given = Given::default();
        let long = |number: u32| number * 2000..number * 2000 + 1999;
        assert!((0..most).all(|number| given.add(ONE, long(number), never)));
        let steps = core::cell::Cell::new(0);
        let ended = |_| {
            steps.set(steps.get() + 1);
            true
        };
        let tries = 10 * LOOKED_AFTER;
        for number in (most..).take(tries) {
            given.add(ONE, long(number), ended);
        }
        let most_steps = (GIVEN_RANGES_MAX + tries) * LOOKED_TASKS;
        assert!(steps.get() <= most_steps + tries, "{} steps", steps.get());
        assert!(given.ranges <= GIVEN_RANGES_MAX);
    }

    #[test]
    fn there_are_not_more_workers_than_the_bound() {
        let mut given = Given::default();
        let peer = |number: usize| {
            let mut id = [0; 32];
            id.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, of)| *byte = of);
            PeerId(id)
        };
        assert!((0..GIVEN_MAX).all(|number| note(&mut given, peer(number), 0)));
        assert!(!note(&mut given, peer(GIVEN_MAX), 0) && !given.add_worker(peer(GIVEN_MAX)));
        assert!(given.add_worker(peer(0)) && note(&mut given, peer(0), 1));
        assert_eq!(given.workers().count(), GIVEN_MAX);
    }

    #[test]
    fn a_record_names_tasks_in_order_in_few_bytes() {
        let mut tasks = GivenTasks { worker: ONE, ranges: Vec::new() };
        let new = [4, 5, 6, 8, 7, u32::MAX].map(|index| tasks.add(index));
        assert_eq!(new, [true, false, false, true, true, true]);
        let range = |first, more| TaskRange { first, more };
        assert_eq!(tasks.ranges, vec![range(4, 2), range(8, 0), range(7, 0), range(u32::MAX, 0)]);
        assert_eq!(range(4, 2).within(7), Some(4..7));
        for (range, tasks) in [(range(4, 2), 6), (range(u32::MAX, 0), u32::MAX), (range(1, u32::MAX), 9)] {
            assert_eq!(range.within(tasks), None, "{range:?} of {tasks}");
        }
    }

    #[test]
    fn ranges_say_what_a_set_of_tasks_says() {
        const TASKS: u32 = 6;
        let all: Vec<Range<u32>> =
            (0..TASKS).flat_map(|first| (first + 1..=TASKS).map(move |end| first..end)).collect();
        for (one, two, three, four) in all.iter().flat_map(|one| {
            let pairs = all.iter().flat_map(|two| all.iter().map(move |three| (two, three)));
            pairs.map(move |(two, three)| (one, two, three, 1..3))
        }) {
            let (mut given, mut set) = (Given::default(), 0_u32);
            for tasks in [one, two, &four, three] {
                let bits = tasks.clone().fold(0, |bits, index| bits | 1 << index);
                assert_eq!(
                    given.add(ONE, tasks.clone(), never),
                    set | bits != set,
                    "{one:?} {two:?} {three:?}"
                );
                set |= bits;
                let ranges = given.of.get(&ONE).map_or(&[][..], |ranges| &ranges.0);
                assert!(
                    ranges.windows(2).all(|pair| matches!(pair, [a, b] if a.end < b.start)),
                    "{ranges:?}"
                );
                assert_eq!(given.ranges, ranges.len());
            }
            let has = (0..TASKS + 2).fold(0, |bits, index| bits | u32::from(given.has(ONE, index)) << index);
            assert_eq!(has, set, "{one:?} {two:?} {three:?}");
        }
    }
}
