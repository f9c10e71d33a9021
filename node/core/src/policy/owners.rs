//! Whose tasks a node takes. Owners are named by the id that they proved when they connected, not by a label, which any
//! node may claim. A node always takes its own tasks.

use alloc::vec::Vec;

use crate::id::PeerId;

/// Owners that one node may name; a capacity that names more is dropped.
pub const OWNERS_MAX: usize = 32;

/// Owners whose tasks a node takes, besides its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Owners {
    /// All owners.
    #[default]
    All,
    /// Only these, at most [`OWNERS_MAX`].
    Only(Vec<PeerId>),
    /// All but these, at most [`OWNERS_MAX`].
    AllBut(Vec<PeerId>),
}

impl Owners {
    /// Whether it takes tasks of that owner.
    #[must_use]
    pub fn takes(&self, owner: PeerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(owners) => owners.contains(&owner),
            Self::AllBut(owners) => !owners.contains(&owner),
        }
    }

    /// The owners that it names.
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
        // setting, owner of the task -> taken
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
