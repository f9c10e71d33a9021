//! Results in the order of their inputs, from a stream in the order in which they came, in bounded memory: what does not
//! fit is left out and read again, since results that are kept can be read again.

use std::collections::BTreeMap;

use weft_client::{Output, TaskResult};

/// Bytes of results that wait for one before them.
const EARLY_BYTES_MAX: usize = 64 << 20;
/// What a result takes besides the bytes that it carries.
const RESULT_BYTES: usize = 512;

/// The results that wait.
#[derive(Debug)]
pub(crate) struct Reorder {
    next: u32,
    early: BTreeMap<u32, Early>,
    bytes: usize,
    bytes_max: usize,
    left_out: Option<LeftOut>,
}

#[derive(Debug)]
struct Early {
    /// Its number: it can be read again from there on.
    at: u64,
    result: TaskResult,
}

/// Results that were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeftOut {
    /// The least number of them.
    at: u64,
    /// The least index of them.
    least: u32,
}

impl Reorder {
    /// Begins with the result of that index.
    pub(crate) fn from(next: u32) -> Self {
        Self { next, early: BTreeMap::new(), bytes: 0, bytes_max: EARLY_BYTES_MAX, left_out: None }
    }

    /// The index of the next result in order.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Takes a result of the number `at`. Of two of one task the later one counts, as long as none was given
    /// out.
    pub(crate) fn put(&mut self, at: u64, result: TaskResult) {
        if result.index < self.next {
            return;
        }
        self.bytes += bytes_of(&result);
        if let Some(before) = self.early.insert(result.index, Early { at, result }) {
            self.bytes -= bytes_of(&before.result);
        }
        while self.bytes > self.bytes_max && self.early.len() > 1 {
            let Some((index, Early { at, result })) = self.early.pop_last() else { break };
            self.bytes -= bytes_of(&result);
            let before = self.left_out.unwrap_or(LeftOut { at, least: index });
            self.left_out = Some(LeftOut { at: before.at.min(at), least: before.least.min(index) });
        }
    }

    /// The next result in order, if it is there.
    pub(crate) fn pop(&mut self) -> Option<TaskResult> {
        let Early { at: _, result } = self.early.remove(&self.next)?;
        self.bytes -= bytes_of(&result);
        self.next = self.next.saturating_add(1);
        Some(result)
    }

    /// From where to read again, if the next result in order may be one that was left out.
    pub(crate) fn again(&mut self) -> Option<u64> {
        let left_out = self.left_out.take_if(|left_out| left_out.least <= self.next)?;
        Some(left_out.at)
    }
}

fn bytes_of(result: &TaskResult) -> usize {
    let carried = |output: &Output| match output {
        Output::Inline(bytes) => bytes.len(),
        Output::Blob { .. } => 0,
    };
    RESULT_BYTES + carried(&result.output) + carried(&result.errors) + carried(&result.archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_client::{Outcome, Usage};

    fn result(index: u32) -> TaskResult {
        let nothing = || Output::Inline(Vec::new().into());
        TaskResult {
            number: None,
            index,
            outcome: Outcome::Done,
            output: Output::Inline(vec![0; 100].into()),
            errors: nothing(),
            archive: nothing(),
            worker: None,
            attempts: 1,
            memo: false,
            recalled: None,
            usage: Usage::default(),
            receipt: None,
            verified: None,
        }
    }

    /// The order in which results are given out that come as `came`, with room for `room` of them; and how often they were read.
    fn given(came: &[u32], room: usize, first: u32) -> (Vec<u32>, u32) {
        let mut order = Reorder { bytes_max: room * bytes_of(&result(0)), ..Reorder::from(first) };
        let (mut given, mut passes, mut from) = (Vec::new(), 0, Some(0));
        while let Some(start) = from.take() {
            passes += 1;
            for (at, index) in (0u64..).zip(came).skip(usize::try_from(start).unwrap()) {
                order.put(at, result(*index));
                given.extend(std::iter::from_fn(|| order.pop()).map(|result| result.index));
                from = order.again();
                if from.is_some() {
                    break;
                }
            }
            from = from.or_else(|| order.again());
            assert!(order.early.len() <= room.max(1));
        }
        (given, passes)
    }

    #[test]
    fn every_result_is_given_out_once_in_order_whatever_the_room() {
        let mut state = 1u64;
        for tasks in [0u32, 1, 7, 200] {
            let mut came: Vec<u32> = (0..tasks).collect();
            for last in (1..came.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                came.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
            }
            for room in [1, 3, 1000] {
                let all: Vec<u32> = (0..tasks).collect();
                let (in_order, passes) = given(&came, room, 0);
                assert_eq!(in_order, all, "{tasks} {room}");
                assert!(room < 1000 || passes == 1);
            }
        }
        let backwards: Vec<u32> = (0..100).rev().collect();
        let (in_order, passes) = given(&backwards, 10, 0);
        assert_eq!(in_order.len(), 100);
        assert!(passes <= 12, "{passes}: each reading brings about as many as there is room for");
    }

    #[test]
    fn it_begins_where_it_is_told_and_ends_before_what_is_missing() {
        assert_eq!(given(&[4, 0, 3, 1, 2], 2, 3).0, [3, 4]);
        assert_eq!(given(&[0, 1, 3, 4], 1, 0).0, [0, 1]);
        assert!(given(&[], 1, 9).0.is_empty());
    }
}
