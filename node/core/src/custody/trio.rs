//! The three nodes that keep a job at level `mesh`, and the two of one at level `disk` that has a copy. Plain data.

use alloc::vec::Vec;

use crate::id::{JobId, PeerId};

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
    /// The nodes that keep all of these jobs, which each have the trio named with it, if one has any; the first job that others keep,
    /// if there is one.
    pub(crate) fn common(jobs: impl Iterator<Item = (JobId, Option<Self>)>) -> Result<Option<Self>, JobId> {
        let mut common: Option<Self> = None;
        for (job, trio) in jobs {
            match (common, trio) {
                (None, trio) => common = trio,
                (Some(one), Some(other)) if one.has_all(&other) => {}
                (Some(_), _) => return Err(job),
            }
        }
        Ok(common)
    }

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

/// The two nodes of a job at level `disk` that has a copy. The owner alone leads it; the other one keeps what the owner's log says,
/// for a person who adopts the job when the owner is gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Pair {
    /// The owner, with the disk on which the job was accepted.
    pub owner: Seat,
    /// The node that has the copy.
    pub copy: PeerId,
}

impl Pair {
    /// Whether these are two nodes, the owner with a disk.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.owner.peer != self.copy && self.owner.disk != 0
    }

    /// Both nodes, the owner first.
    #[must_use]
    pub fn peers(&self) -> [PeerId; 2] {
        [self.owner.peer, self.copy]
    }

    /// Whether a node has the job as a copy, and not as its owner.
    #[must_use]
    pub fn is_copied_by(&self, peer: PeerId) -> bool {
        self.copy == peer && self.owner.peer != peer
    }
}

/// Who keeps a job. Encoded, the first two are as `None` and `Some` of a [`Trio`], which older programs wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum Keepers {
    /// Its owner alone.
    Owner,
    /// Three nodes, at level `mesh`.
    Trio(Trio),
    /// Its owner at level `disk`, and another node has a copy.
    Copied(Pair),
}

impl Keepers {
    /// The three nodes that keep a job at level `mesh`.
    #[must_use]
    pub fn trio(&self) -> Option<Trio> {
        if let Self::Trio(trio) = self { Some(*trio) } else { None }
    }

    /// The two nodes of a job that has a copy.
    #[must_use]
    pub fn pair(&self) -> Option<Pair> {
        if let Self::Copied(pair) = self { Some(*pair) } else { None }
    }

    /// All nodes that keep it, the owner first; none if that is its owner alone.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerId> {
        match self {
            Self::Owner => Vec::new(),
            Self::Trio(trio) => trio.peers().to_vec(),
            Self::Copied(pair) => pair.peers().to_vec(),
        }
    }

    /// Whether a node has the job as a copy.
    #[must_use]
    pub fn is_copied_by(&self, peer: PeerId) -> bool {
        self.pair().is_some_and(|pair| pair.is_copied_by(peer))
    }
}
