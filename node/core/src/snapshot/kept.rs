//! The jobs of which a node has logs that are not, or not only, its own. Plain data.

use alloc::vec::Vec;

use crate::id::{JobId, PeerId};

/// One job at level disk of another node of which this node has a copy. It is never led here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyView {
    /// Its id.
    pub job: JobId,
    /// The node that owns it.
    pub owner: PeerId,
    /// Whether that node is connected.
    pub is_connected: bool,
    /// Records of its log on the disk here.
    pub records: u32,
}

/// One job at level mesh that this node keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptView {
    /// Its id.
    pub job: JobId,
    /// The nodes that keep it, by their seats: the owner first.
    pub keepers: Vec<PeerId>,
    /// The node that leads it, if this one knows it.
    pub leader: Option<PeerId>,
    /// The epoch that this node promised last; as its leader, its own.
    pub epoch: u32,
    /// Records that a second node has, as far as this one knows.
    pub committed: u32,
    /// Records of its log here.
    pub last: u32,
    /// Whether this node's disk has a seat; otherwise what it keeps does not count.
    pub has_seat: bool,
}
