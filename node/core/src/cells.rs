//! Cells: a mesh that is too large to call every node is split into cells of about a hundred nodes by rendezvous hash,
//! and each cell has a matchmaker, its node of the highest rank. There is no election and no durable state: if two
//! nodes disagree, tasks are delayed for a moment, and none is lost. This file decides which node belongs to which
//! cell; what a matchmaker does is in [`crate::matchmaker`]. Driven by the membership.
//!
//! **Simulated only.** Meshes above 64 nodes (`MeshConfig::full_mesh`) run in the simulator today. The node's driver
//! never reports the mesh's size (`Input::Mesh`), never reads `Gossip::scope`, and does not dial on demand; a node with
//! more than 64 connected peers splits its mesh by that number alone, which was never tested.
//!
//! - A node keeps its own cell and the matchmakers, at most 256 of them. In the simulator it gets capacity of its own
//!   cell only, every ten seconds.
//! - Leases, renewals and outcomes go directly to their receiver, also between nodes that were not connected before. A
//!   driver that reports the mesh's size must dial on demand ([`crate::Input::Mesh`]); without it, only connected peers
//!   are reached, and outcomes and renewals for others are gossiped.
//! - Waiting times compared with one global queue, from models at 95 % load: 1.02 to 1.04 times as long in cells of 100
//!   nodes, 1.07 to 1.14 times in cells of 33 nodes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::config::MeshConfig;
use crate::id::PeerId;
use crate::time::Time;

/// Most cells of a mesh. Bounds the matchmakers that a node keeps, and the cost of a scan over them.
const CELLS_MAX: u32 = 256;

/// Most slots that are accepted for a cell, in multiples of the median cell.
const SHARE_MAX: u32 = 4;

/// Most slots that are accepted for a cell.
const SLOTS_MAX: u32 = 1 << 20;

/// The cell of this node, and the matchmaker of each cell.
#[derive(Debug)]
pub(crate) struct Cells {
    me: PeerId,
    full_mesh: u32,
    cell_nodes: u32,
    /// Nodes of the mesh, as the driver reported.
    told: u32,
    connected: u32,
    /// Number of cells; 0 while every node is called directly.
    cells: u32,
    cell: u32,
    /// Connected nodes of this cell and this node, lowest rank first.
    mates: BTreeSet<(u64, PeerId)>,
    /// The node that claims to serve each cell.
    matchmakers: BTreeMap<u32, Known>,
}

/// A matchmaker that announced itself.
#[derive(Clone, Copy, Debug)]
struct Known {
    peer: PeerId,
    rank: u64,
    /// Slots of its cell, as it announced.
    slots: u32,
    heard_at: Time,
}

impl Cells {
    pub(crate) fn new(me: PeerId, mesh: &MeshConfig) -> Self {
        Self {
            me,
            full_mesh: mesh.full_mesh,
            cell_nodes: mesh.cell_nodes.max(1),
            told: 0,
            connected: 0,
            cells: 0,
            cell: 0,
            mates: BTreeSet::new(),
            matchmakers: BTreeMap::new(),
        }
    }

    /// Whether the mesh is too large to call every node.
    pub(crate) fn on(&self) -> bool {
        self.cells > 0
    }

    /// Whether the driver dials a node that was never connected when a message is sent to it: a driver that reports the
    /// mesh's size promises that (`Input::Mesh`). The node's driver does neither.
    pub(crate) fn dials_on_demand(&self) -> bool {
        self.on() && self.told > 0
    }

    /// The driver reports the size of the mesh. True when the cells changed, and must be filled again.
    pub(crate) fn on_told(&mut self, nodes: u32) -> bool {
        self.told = nodes;
        self.resize()
    }

    /// A node was connected or disconnected. True when the cells changed, and must be filled again.
    pub(crate) fn on_connected(&mut self, peer: PeerId, connected: bool) -> bool {
        if connected {
            self.connected += 1;
        } else {
            self.connected = self.connected.saturating_sub(1);
            self.matchmakers.retain(|_, known| known.peer != peer);
        }
        if self.resize() {
            return true;
        }
        if self.on() && cell_of(peer, self.cells) == self.cell {
            let mate = (rank(peer, self.cell), peer);
            if connected {
                self.mates.insert(mate);
            } else {
                self.mates.remove(&mate);
            }
        }
        false
    }

    /// Adapts the number of cells to the number of nodes. True when it changed.
    fn resize(&mut self) -> bool {
        let nodes = self.told.max(self.connected.saturating_add(1));
        let cells = cells_for(nodes, self.full_mesh, self.cell_nodes);
        let changed = cells != self.cells;
        if changed {
            self.cells = cells;
            self.cell = cell_of(self.me, cells);
        }
        changed
    }

    /// Fills this node's cell, after the cells changed.
    pub(crate) fn fill(&mut self, connected: impl Iterator<Item = PeerId>) {
        self.mates.clear();
        let (cells, cell) = (self.cells, self.cell);
        for known in core::mem::take(&mut self.matchmakers).into_values() {
            self.matchmakers.insert(cell_of(known.peer, cells), known);
        }
        if cells > 0 {
            let mates = connected.filter(|peer| cell_of(*peer, cells) == cell);
            self.mates.extend(mates.chain([self.me]).map(|peer| (rank(peer, cell), peer)));
        }
    }

    /// Whether a node belongs to the same cell.
    pub(crate) fn is_mate(&self, peer: PeerId) -> bool {
        !self.on() || cell_of(peer, self.cells) == self.cell
    }

    /// A node claims to serve its cell. It replaces the known matchmaker of that cell only if it ranks higher, or the
    /// known one was not heard for long. A node can claim no cell but its own.
    pub(crate) fn on_matchmaker(&mut self, origin: PeerId, slots: u32, now: Time, mesh: &MeshConfig) {
        if !self.on() {
            return;
        }
        let cell = cell_of(origin, self.cells);
        let slots = slots.min(SLOTS_MAX);
        let claim = Known { peer: origin, rank: rank(origin, cell), slots, heard_at: now };
        let known = self.matchmakers.get(&cell);
        let keeps = known.is_some_and(|known| {
            let fresh = now.since_us(known.heard_at) < 1500 * mesh.cell_tell_ms;
            known.peer != origin && fresh && known.rank > claim.rank
        });
        if !keeps {
            self.matchmakers.insert(cell, claim);
        }
    }

    /// Whether this node serves its cell, by the nodes that it knows.
    pub(crate) fn is_matchmaker(&self) -> bool {
        self.on() && self.matchmaker(false) == self.me
    }

    /// The matchmaker of this node's cell, or the next one in rank (`shadow`).
    pub(crate) fn matchmaker(&self, shadow: bool) -> PeerId {
        let mut best = self.mates.iter().rev().map(|(_, peer)| *peer);
        let first = best.next().unwrap_or(self.me);
        if shadow { best.next().unwrap_or(first) } else { first }
    }

    /// Whether a node is known to serve its cell, or may serve this node's own.
    pub(crate) fn serves(&self, peer: PeerId) -> bool {
        let own = [self.matchmaker(false), self.matchmaker(true)];
        own.contains(&peer) || self.matchmakers.values().any(|known| known.peer == peer)
    }

    /// Every matchmaker that was heard within three intervals, one for each cell, and the own cell's, each with the
    /// slots of its cell, but at most [`SHARE_MAX`] times the median.
    pub(crate) fn matchmakers(&self, now: Time, mesh: &MeshConfig) -> Vec<(PeerId, u32)> {
        let fresh = |known: &Known| now.since_us(known.heard_at) <= 3000 * mesh.cell_tell_ms;
        let mut all: Vec<(PeerId, u32)> = Vec::new();
        let mut own = (self.matchmaker(false), 0);
        for (cell, known) in self.matchmakers.iter().filter(|(_, known)| fresh(known)) {
            if *cell != self.cell {
                all.push((known.peer, known.slots));
            } else if known.peer == own.0 {
                own.1 = known.slots;
            }
        }
        all.push(own);
        let mut shares: Vec<u32> = all.iter().map(|(_, slots)| *slots).filter(|slots| *slots > 0).collect();
        shares.sort_unstable();
        // Of two the smaller, so that a false claim does not raise the median.
        let usual = shares.get(shares.len().saturating_sub(1) / 2).copied().unwrap_or(1);
        for (_, slots) in &mut all {
            *slots = if *slots == 0 { usual } else { (*slots).min(usual.saturating_mul(SHARE_MAX)) };
        }
        all
    }
}

/// Number of cells of a mesh; 0 when each node can call all others.
#[must_use]
pub fn cells_for(nodes: u32, full_mesh: u32, cell_nodes: u32) -> u32 {
    if nodes <= full_mesh.saturating_add(1) {
        return 0;
    }
    nodes.div_ceil(cell_nodes.max(1)).min(CELLS_MAX)
}

/// The cell of a node: the one for which it ranks highest. One more cell takes its share from all others.
#[must_use]
pub fn cell_of(peer: PeerId, cells: u32) -> u32 {
    (0..cells).max_by_key(|cell| rank(peer, *cell)).unwrap_or(0)
}

/// The rank of a node for a cell. A node may choose its key and thereby its rank: a matchmaker is not trusted.
fn rank(peer: PeerId, cell: u32) -> u64 {
    let mut head = [0; 8];
    head.copy_from_slice(peer.0.get(..8).expect("an id has 32 bytes"));
    mix(u64::from_le_bytes(head) ^ mix(u64::from(cell) + 1))
}

/// The finaliser of splitmix64.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> PeerId {
        PeerId(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    #[test]
    fn a_mesh_has_as_many_cells_as_its_size_wants() {
        // nodes, full mesh, nodes a cell -> cells
        let table = [
            (1, 64, 100, 0),
            (65, 64, 100, 0),
            (66, 64, 100, 1),
            (100, 64, 100, 1),
            (101, 64, 100, 2),
            (10_000, 64, 100, 100),
            (1_000_000, 64, 100, 256),
            (3, 1, 2, 2),
            (9, 0, 0, 9),
        ];
        for (nodes, full_mesh, cell_nodes, cells) in table {
            assert_eq!(cells_for(nodes, full_mesh, cell_nodes), cells, "{nodes} {full_mesh} {cell_nodes}");
        }
    }

    #[test]
    fn cells_are_about_equal_and_one_more_takes_its_share_from_all() {
        let mut sizes = [0u32; 20];
        let mut moved = 0;
        for number in 0..2000 {
            let (before, after) = (cell_of(peer(number), 19), cell_of(peer(number), 20));
            sizes[after as usize] += 1;
            assert!(before == after || after == 19, "a node that moves, moves to the new cell");
            moved += u32::from(before != after);
        }
        assert!(sizes.iter().all(|size| (60..150).contains(size)), "{sizes:?}");
        assert!((60..150).contains(&moved), "{moved} moved");
    }

    #[test]
    fn the_highest_rank_serves_and_the_next_when_it_is_gone() {
        let mesh = MeshConfig { full_mesh: 0, ..MeshConfig::DEFAULT };
        let mut cells = Cells::new(peer(0), &mesh);
        for number in 1..10 {
            if cells.on_connected(peer(number), true) {
                cells.fill((1..=number).map(peer));
            }
        }
        let (first, second) = (cells.matchmaker(false), cells.matchmaker(true));
        let best = (0..10).map(peer).max_by_key(|peer| rank(*peer, 0));
        assert_eq!(best, Some(first));
        assert_ne!(first, second);
        if first != peer(0) {
            assert!(!cells.on_connected(first, false));
            assert_eq!(cells.matchmaker(false), second);
        }
    }

    #[test]
    fn a_claim_is_for_the_own_cell_and_the_higher_rank_wins() {
        let mesh = MeshConfig { cell_nodes: 10, full_mesh: 0, ..MeshConfig::DEFAULT };
        let mut cells = Cells::new(peer(0), &mesh);
        assert!(cells.on_told(20));
        cells.fill(core::iter::empty());
        let mut others: Vec<PeerId> =
            (1..40).map(peer).filter(|other| cell_of(*other, 2) != cells.cell).collect();
        others.sort_by_key(|other| rank(*other, 1 - cells.cell));
        let (low, high) = (others[0], others[others.len() - 1]);
        cells.on_matchmaker(low, 9, Time(1), &mesh);
        cells.on_matchmaker(high, 8, Time(2), &mesh);
        cells.on_matchmaker(low, 9, Time(3), &mesh);
        assert_eq!(cells.matchmakers(Time(4), &mesh), [(high, 8), (peer(0), 8)]);
        let later = Time(4).plus_ms(2 * mesh.cell_tell_ms);
        cells.on_matchmaker(low, 9, later, &mesh);
        assert_eq!(
            cells.matchmakers(later, &mesh),
            [(low, 9), (peer(0), 9)],
            "a silent matchmaker is replaced"
        );
        let never = later.plus_ms(4 * mesh.cell_tell_ms);
        assert_eq!(cells.matchmakers(never, &mesh), [(peer(0), 1)], "and is forgotten");
    }
}
