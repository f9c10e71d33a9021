//! The three nodes that keep a job at level `mesh`. Plain data.

use crate::id::PeerId;

/// Seats of a trio.
pub(crate) const SEATS: u32 = 3;

/// The epoch in which the owner of a job at level `mesh` leads it first: the first round, seat 0.
pub(crate) const FIRST_EPOCH: u32 = SEATS;

/// A member of a trio: a node with one disk. Another disk of the same node is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Seat {
    /// The node.
    pub peer: PeerId,
    /// The number of its disk ([`crate::NodeConfig::disk`]), never 0.
    pub disk: u64,
}

/// The members: the owner, the custodian that takes over first, and the witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
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
        let differ =
            owner.peer != custodian.peer && owner.peer != witness.peer && custodian.peer != witness.peer;
        differ && self.0.iter().all(|seat| seat.disk != 0)
    }

    /// The seat of a node, 0 to 2, whatever its disk.
    #[must_use]
    pub fn seat_of(&self, peer: PeerId) -> Option<u8> {
        (0..).zip(&self.0).find(|(_, seat)| seat.peer == peer).map(|(number, _)| number)
    }

    /// Whether this member, with this disk, sits here.
    #[must_use]
    pub fn has(&self, member: Seat) -> bool {
        self.0.contains(&member)
    }

    /// Whether all members of another one sit here, on whichever seats.
    #[must_use]
    pub fn has_all(&self, other: &Self) -> bool {
        other.0.iter().all(|member| self.has(*member))
    }

    /// The same members with this one as the owner, if it is one of them.
    #[must_use]
    pub fn owned_by(mut self, owner: Seat) -> Option<Self> {
        let place = self.0.iter().position(|member| *member == owner)?;
        self.0.swap(0, place);
        Some(self)
    }

    /// The same with another member on a seat.
    #[must_use]
    pub fn with(mut self, seat: u8, by: Seat) -> Self {
        if let Some(place) = self.0.get_mut(usize::from(seat)) {
            *place = by;
        }
        self
    }
}
