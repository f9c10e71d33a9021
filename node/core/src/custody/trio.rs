//! The three nodes that keep a job at level `mesh`. Plain data.

use crate::id::PeerId;

/// A member of a trio: a node with one disk. Another disk of the same node is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Seat {
    /// The node.
    pub peer: PeerId,
    /// The number of its disk ([`crate::NodeConfig::disk`]), never 0.
    pub disk: u64,
}

/// The members: the owner, the custodian that takes over first, and the witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Trio(pub [Seat; 3]);

impl Trio {
    /// Its nodes, by their seats.
    #[must_use]
    pub fn peers(&self) -> [PeerId; 3] {
        self.0.map(|seat| seat.peer)
    }

    /// Whether these are three nodes, each with a disk.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let [owner, custodian, witness] = self.0;
        let apart =
            owner.peer != custodian.peer && owner.peer != witness.peer && custodian.peer != witness.peer;
        apart && self.0.iter().all(|seat| seat.disk != 0)
    }
}
