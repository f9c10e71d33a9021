//! How many jobs of others this node keeps at most, and how many of one leader, so that no node uses up what all of them may
//! have. A job counts for the node that told this one of it, whatever trio its log names: a log that a peer wrote may name any
//! node. Plain bookkeeping, driven by `custody/jobs.rs`.

use alloc::collections::BTreeMap;

use crate::id::PeerId;

/// Jobs that a node keeps at most, those of others; beyond it no further one is taken.
const JOBS_MAX: usize = 65_536;
/// Most of them that one node told; more than a node's own users may have unfinished.
const JOBS_PER_LEADER_MAX: usize = JOBS_MAX / 4;

/// How many jobs each other node has here.
#[derive(Debug, Default)]
pub(super) struct Shares(BTreeMap<PeerId, usize>);

impl Shares {
    /// Whether one more job of that node may be kept, where this many are kept in all.
    pub(super) fn has_room(&self, leader: PeerId, kept: usize) -> bool {
        let own = self.0.get(&leader).copied().unwrap_or(0);
        kept < JOBS_MAX && own < JOBS_PER_LEADER_MAX
    }

    /// A job of that node is kept.
    pub(super) fn add(&mut self, leader: PeerId) {
        let count = self.0.entry(leader).or_default();
        *count = count.saturating_add(1);
    }

    /// A job of that node is kept no more.
    pub(super) fn remove(&mut self, leader: PeerId) {
        let Some(count) = self.0.get_mut(&leader) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.0.remove(&leader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: PeerId = PeerId([1; 32]);
    const BOB: PeerId = PeerId([2; 32]);

    #[test]
    fn one_leader_has_a_share_and_all_of_them_have_the_whole() {
        let mut shares = Shares::default();
        for _ in 0..JOBS_PER_LEADER_MAX {
            assert!(shares.has_room(ALICE, 0));
            shares.add(ALICE);
        }
        assert!(!shares.has_room(ALICE, JOBS_PER_LEADER_MAX));
        assert!(shares.has_room(BOB, JOBS_PER_LEADER_MAX));
        assert!(!shares.has_room(BOB, JOBS_MAX));
        shares.remove(ALICE);
        assert!(shares.has_room(ALICE, JOBS_PER_LEADER_MAX - 1));
    }

    #[test]
    fn a_node_without_jobs_is_not_remembered() {
        let mut shares = Shares::default();
        shares.remove(ALICE);
        shares.add(ALICE);
        shares.remove(ALICE);
        assert!(shares.0.is_empty());
    }
}
