//! Whose tasks a node takes: the other half of the choice, beside what a task needs of a node. By the id that an owner
//! proved when it connected, not by a label, which anybody may tell of itself. Its own tasks a node always takes.

use alloc::vec::Vec;

use crate::id::PeerId;

/// Owners that one node may name; a node that tells of more is not believed.
pub const OWNERS_MAX: usize = 32;

/// Whose tasks a node takes, beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Owners {
    /// Everybody's.
    #[default]
    All,
    /// Theirs and nobody else's, at most [`OWNERS_MAX`].
    Only(Vec<PeerId>),
    /// Everybody's but theirs, at most [`OWNERS_MAX`].
    AllBut(Vec<PeerId>),
}

impl Owners {
    /// Whether it takes another node's tasks.
    #[must_use]
    pub fn takes(&self, owner: PeerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(owners) => owners.contains(&owner),
            Self::AllBut(owners) => !owners.contains(&owner),
        }
    }

    /// Those it names.
    #[must_use]
    pub fn named(&self) -> &[PeerId] {
        match self {
            Self::All => &[],
            Self::Only(owners) | Self::AllBut(owners) => owners,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_whose_tasks_it_takes() {
        let id = |number: u8| PeerId([number; 32]);
        let some = || alloc::vec![id(1), id(2)];
        // who is named how, whose task, taken
        let table = [
            (Owners::All, 1, true),
            (Owners::Only(some()), 1, true),
            (Owners::Only(some()), 2, true),
            (Owners::Only(some()), 3, false),
            (Owners::Only(Vec::new()), 1, false),
            (Owners::AllBut(some()), 1, false),
            (Owners::AllBut(some()), 3, true),
            (Owners::AllBut(Vec::new()), 1, true),
        ];
        for (owners, owner, taken) in table {
            assert_eq!(owners.takes(id(owner)), taken, "{owners:?} {owner}");
        }
    }
}
