//! When a node keeps what becomes free for a task that needs several slots at once. Slots become free one by one, and
//! each would go to a narrow task before the next one is: a wide task would wait for ever. That is the known flaw of
//! schedulers that hand out what happens to be free (Hindman et al., Mesos, NSDI 2011, part 4.4, whose answer is to
//! offer nothing of a machine before enough of it is free); batch systems reserve for the head of the queue (Lifka,
//! JSSPP 1995; Mu'alem and Feitelson, IEEE TPDS 12(6), 2001).
//!
//! Here a call that is next in a worker's queue, as [`super::order`] has it, and finds too few slots lets others by for
//! a moment, and then holds the queue up: what becomes free stays free until there is enough. So no task of its class
//! or below begins before it any more, and it waits at most as long as the longest of those that run. Nothing is
//! backfilled behind it: how long a task takes is a guess here, and a wrong one would have the wide task wait.
//!
//! Not all nodes do so at once, for one of them is enough and each wastes slots while it does: how long each lets
//! others by follows from chance, the same for the same node and call.

use crate::id::{CallId, PeerId};

/// A wide call lets others by for one to [`STEPS`] times so long, in microseconds. A call's owner says for how long
/// none of its tasks was placed anywhere, so that nobody keeps slots for a job that gets on.
const STEP_US: u64 = 500_000;
/// In so many steps all nodes come to keep slots: a wide task is let wait for this many [`STEP_US`] at most.
const STEPS: u64 = 8;

/// Whether that node keeps what becomes free for a wide call of which no task was served for so long.
pub(crate) fn keeps(node: PeerId, call: CallId, waited_us: u64) -> bool {
    waited_us >= STEP_US * (1 + lot(node, call) % STEPS)
}

/// A number that node and call alone decide: the finalizer of splitmix64 over both.
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
        let keeping = |ms: u64| nodes().filter(|node| keeps(*node, CallId(7), ms * 1000)).count();
        // milliseconds -> least and most of 64 nodes
        let table = [(0, 0, 0), (499, 0, 0), (500, 1, 20), (2000, 16, 48), (3999, 40, 63), (4000, 64, 64)];
        for (ms, least, most) in table {
            let count = keeping(ms);
            assert!((least..=most).contains(&count), "{count} of 64 nodes after {ms} ms");
        }
    }

    #[test]
    fn another_call_has_another_order() {
        let first =
            |call| (0..64u8).filter(move |number| keeps(PeerId([*number; 32]), CallId(call), 500_000));
        assert_ne!(first(1).collect::<alloc::vec::Vec<_>>(), first(2).collect::<alloc::vec::Vec<_>>());
    }
}
