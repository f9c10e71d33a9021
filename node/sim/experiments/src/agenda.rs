//! Virtual time for models of millions of tasks: a queue for each fixed delay, which is always in order, and a heap for
//! all other events. Events of the same time happen in the order in which they were planned.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

/// A planned event.
#[derive(Clone, Copy, Debug)]
struct Entry<E> {
    at: u64,
    seq: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// The planned events of a model; times are in microseconds.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    now: u64,
    seq: u64,
    lanes: Vec<(u64, VecDeque<Entry<E>>)>,
    heap: BinaryHeap<Reverse<Entry<E>>>,
}

impl<E> Agenda<E> {
    /// An empty agenda at time 0.
    pub(crate) fn new() -> Self {
        Self { now: 0, seq: 0, lanes: Vec::new(), heap: BinaryHeap::new() }
    }

    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Plans an event after a delay that many events share, such as the network's.
    pub(crate) fn after(&mut self, delay_us: u64, event: E) {
        let entry = self.entry(self.now + delay_us, event);
        match self.lanes.iter_mut().find(|(delay, _)| *delay == delay_us) {
            Some((_, lane)) => lane.push_back(entry),
            None => self.lanes.push((delay_us, VecDeque::from([entry]))),
        }
    }

    /// Plans an event at any time; one in the past happens now.
    pub(crate) fn at(&mut self, at_us: u64, event: E) {
        let entry = self.entry(at_us.max(self.now), event);
        self.heap.push(Reverse(entry));
    }

    fn entry(&mut self, at: u64, event: E) -> Entry<E> {
        self.seq += 1;
        Entry { at, seq: self.seq, event }
    }

    /// The next event, with the clock set to it.
    pub(crate) fn pop(&mut self) -> Option<E> {
        let mut best = self.heap.peek().map(|Reverse(entry)| (entry.at, entry.seq));
        let mut from = None;
        for (number, (_, lane)) in self.lanes.iter().enumerate() {
            if let Some(first) = lane.front().map(|entry| (entry.at, entry.seq))
                && best.is_none_or(|best| first < best)
            {
                (best, from) = (Some(first), Some(number));
            }
        }
        let entry = match from {
            Some(number) => self.lanes[number].1.pop_front()?,
            None => self.heap.pop()?.0,
        };
        self.now = entry.at;
        Some(entry.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_and_heap_are_one_order() {
        let mut agenda = Agenda::new();
        agenda.at(7, 'd');
        agenda.after(5, 'a');
        agenda.after(7, 'e');
        agenda.at(5, 'b');
        agenda.after(6, 'c');
        let mut order = String::new();
        while let Some(event) = agenda.pop() {
            order.push(event);
        }
        assert_eq!((order.as_str(), agenda.now()), ("abcde", 7));
    }
}
