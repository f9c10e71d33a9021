//! When a node reserves free slots for a multi-slot task. Slots become free one by one, and each would go to a one-slot
//! task before the next becomes free: a multi-slot task would wait for ever. This is the known flaw of schedulers that
//! offer every free slot (Hindman et al., Mesos, NSDI 2011, part 4.4, whose answer is to offer nothing of a machine
//! before enough of it is free); batch systems reserve for the head of the queue (Lifka, JSSPP 1995; Mu'alem and
//! Feitelson, IEEE TPDS 12(6), 2001).
//!
//! Here a call that is first in a worker's queue, by [`super::order`], and finds too few free slots lets others pass
//! for a while, and then blocks the queue: slots stay free until there are enough. No task of its class or below starts
//! before it then, and it waits at most for the longest running task. Nothing is backfilled behind it: service times
//! are estimates here, and a wrong estimate would delay the multi-slot task.
//!
//! Nodes do not all do so at once, because one is enough and each leaves slots idle meanwhile: how long a node lets
//! others pass is pseudo-random, and the same for the same node and call.

use crate::id::{CallId, PeerId};

/// A multi-slot call lets others pass for one to [`STEPS`] times this long, in microseconds. Its owner says for how
/// long none of its tasks was placed anywhere, so that no node reserves slots for a job that makes progress.
const STEP_US: u64 = 500_000;
/// Steps after which all nodes reserve slots: other tasks may pass a multi-slot task for this many [`STEP_US`] at most.
const STEPS: u64 = 8;

/// Whether that node reserves free slots for a multi-slot call of which no task was served for `waited_us`.
pub(crate) fn reserves(node: PeerId, call: CallId, waited_us: u64) -> bool {
    waited_us >= STEP_US * (1 + lot(node, call) % STEPS)
}

/// A pseudo-random number of node and call: the finalizer of splitmix64 over both.
fn lot(node: PeerId, call: CallId) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(node.0).for_each(|(to, from)| *to = from);
    let mixed = u64::from_le_bytes(bytes) ^ call.0;
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_begin_to_keep_slots_one_after_another_and_all_within_four_seconds() {
        let nodes = || (0..64u8).map(|number| PeerId([number; 32]));
        let reserving = |ms: u64| nodes().filter(|node| reserves(*node, CallId(7), ms * 1000)).count();
        // milliseconds -> least and most nodes of 64 that reserve
        let table = [(0, 0, 0), (499, 0, 0), (500, 1, 20), (2000, 16, 48), (3999, 40, 63), (4000, 64, 64)];
        for (ms, least, most) in table {
            let count = reserving(ms);
            assert!((least..=most).contains(&count), "{count} of 64 nodes after {ms} ms");
        }
    }

    #[test]
    fn another_call_has_another_order() {
        let first =
            |call| (0..64u8).filter(move |number| reserves(PeerId([*number; 32]), CallId(call), 500_000));
        assert_ne!(first(1).collect::<alloc::vec::Vec<_>>(), first(2).collect::<alloc::vec::Vec<_>>());
    }
}
