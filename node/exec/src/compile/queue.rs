//! The queue of modules to compile. Owners take turns (round robin): an owner with a thousand modules delays another
//! owner's only one by one module. Modules of one owner keep their order, and a module that several owners ask for is
//! queued for the first of them. Plain data; it starts nothing.

use std::collections::{BTreeMap, VecDeque};

use weft_core::PeerId;

/// Most entries of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Capacity {
    /// Of all owners.
    pub(super) all: usize,
    /// Of one owner, so that others have room.
    pub(super) each: usize,
}

/// Entries by owner.
#[derive(Debug)]
pub(super) struct Queue<T> {
    most: Capacity,
    len: usize,
    /// No queue in it is empty.
    by_owner: BTreeMap<PeerId, VecDeque<T>>,
    /// Each owner in `by_owner` once, in the order of their turns.
    turns: VecDeque<PeerId>,
}

impl<T> Queue<T> {
    /// An empty one.
    pub(super) fn new(most: Capacity) -> Self {
        Self { most, len: 0, by_owner: BTreeMap::new(), turns: VecDeque::new() }
    }

    /// Whether this owner may add an entry.
    pub(super) fn has_room(&self, owner: PeerId) -> bool {
        let his = self.by_owner.get(&owner).map_or(0, VecDeque::len);
        self.len < self.most.all && his < self.most.each
    }

    /// Adds an entry behind the owner's others. The caller has checked [`Queue::has_room`].
    pub(super) fn push(&mut self, owner: PeerId, one: T) {
        let his = self.by_owner.entry(owner).or_default();
        if his.is_empty() {
            self.turns.push_back(owner);
        }
        his.push_back(one);
        self.len += 1;
    }

    /// Owners with entries, in the order of their turns.
    pub(super) fn owners(&self) -> impl Iterator<Item = &PeerId> {
        self.turns.iter()
    }

    /// Takes the first entry of the first owner in turn who may have one; that owner is then the last in turn. The
    /// others keep their turns.
    pub(super) fn pop(&mut self, may: impl Fn(&PeerId) -> bool) -> Option<T> {
        let turn = self.turns.iter().position(may)?;
        let owner = self.turns.remove(turn)?;
        let his = self.by_owner.get_mut(&owner)?;
        let one = his.pop_front();
        if his.is_empty() {
            self.by_owner.remove(&owner);
        } else {
            self.turns.push_back(owner);
        }
        self.len -= usize::from(one.is_some());
        one
    }

    /// Takes all entries.
    pub(super) fn take(&mut self) -> Vec<T> {
        let most = self.most;
        let all = std::mem::replace(self, Self::new(most));
        all.by_owner.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PeerId = PeerId([1; 32]);
    const TWO: PeerId = PeerId([2; 32]);
    const THREE: PeerId = PeerId([3; 32]);

    fn any(_: &PeerId) -> bool {
        true
    }

    fn drained(queue: &mut Queue<u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.pop(any)).collect()
    }

    #[test]
    fn a_second_owner_waits_for_one_of_the_firsts_thousand() {
        let mut queue = Queue::new(Capacity { all: 2000, each: 1500 });
        for number in 0..1000 {
            queue.push(ONE, number);
        }
        assert_eq!((queue.pop(any), queue.pop(any)), (Some(0), Some(1)));
        queue.push(TWO, 5000);
        assert_eq!((queue.pop(any), queue.pop(any), queue.pop(any)), (Some(2), Some(5000), Some(3)));
        assert_eq!(drained(&mut queue), (4..1000).collect::<Vec<_>>());
        assert_eq!(queue.len, 0);
    }

    #[test]
    fn owners_take_turns_and_each_ones_own_keep_their_order() {
        let mut queue = Queue::new(Capacity { all: 100, each: 100 });
        for (owner, number) in [(ONE, 10), (ONE, 11), (ONE, 12), (TWO, 20), (THREE, 30), (THREE, 31)] {
            queue.push(owner, number);
        }
        assert_eq!(drained(&mut queue), [10, 20, 30, 11, 31, 12]);
    }

    #[test]
    fn an_owner_who_may_not_have_one_keeps_the_turn() {
        let mut queue = Queue::new(Capacity { all: 100, each: 100 });
        for (owner, number) in [(ONE, 10), (ONE, 11), (TWO, 20), (TWO, 21)] {
            queue.push(owner, number);
        }
        let not_one = |owner: &PeerId| *owner != ONE;
        assert_eq!((queue.pop(not_one), queue.pop(not_one), queue.pop(not_one)), (Some(20), Some(21), None));
        assert_eq!(queue.owners().collect::<Vec<_>>(), [&ONE]);
        queue.push(TWO, 22);
        assert_eq!(drained(&mut queue), [10, 22, 11]);
    }

    #[test]
    fn an_owner_who_comes_back_is_the_last_in_turn() {
        let mut queue = Queue::new(Capacity { all: 100, each: 100 });
        queue.push(ONE, 10);
        queue.push(TWO, 20);
        queue.push(TWO, 21);
        assert_eq!(queue.pop(any), Some(10));
        queue.push(ONE, 11);
        assert_eq!(drained(&mut queue), [20, 11, 21]);
    }

    #[test]
    fn one_owner_leaves_room_for_others_and_all_together_end_somewhere() {
        let mut queue = Queue::new(Capacity { all: 5, each: 3 });
        let fill = |queue: &mut Queue<u32>, owner| {
            let mut taken = 0;
            while queue.has_room(owner) {
                queue.push(owner, taken);
                taken += 1;
            }
            taken
        };
        assert_eq!((fill(&mut queue, ONE), fill(&mut queue, TWO), fill(&mut queue, THREE)), (3, 2, 0));
        assert_eq!(queue.pop(any), Some(0));
        assert!(queue.has_room(THREE));
    }

    #[test]
    fn taking_all_leaves_an_empty_one_with_the_same_bounds() {
        let mut queue = Queue::new(Capacity { all: 2, each: 1 });
        queue.push(TWO, 20);
        queue.push(ONE, 10);
        assert_eq!(queue.take(), [10, 20]);
        assert_eq!((queue.len, queue.pop(any)), (0, None));
        queue.push(ONE, 11);
        assert!(!queue.has_room(ONE) && queue.has_room(TWO));
        assert_eq!(queue.pop(any), Some(11));
    }
}
