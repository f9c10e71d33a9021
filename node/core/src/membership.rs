//! The known peers and the capacity that they announced. Soft state: it decides which peers are asked, never which peer
//! holds a task.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::cells::Cells;
use crate::config::MeshConfig;
use crate::custody::choice::Eligible;
use crate::custody::trio::Seat;
use crate::host::{self, Host, Reach, Voice};
use crate::id::PeerId;
use crate::message::{Capacity, Needs, label_excess};
use crate::policy::OWNERS_MAX;
use crate::time::Time;

/// Peers kept, connected or not; beyond it the longest disconnected is forgotten, and a new one ignored if there is
/// none.
pub(crate) const PEERS_MAX: usize = 4096;
/// Most slots that count for one peer in sums.
const SLOTS_MAX: u32 = 65_536;

/// One peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    pub(crate) connected: bool,
    pub(crate) boot: u64,
    /// Its machine when it connected last.
    pub(crate) host: Host,
    /// When it connected first; `None` if only gossip named it.
    pub(crate) since: Option<Time>,
    pub(crate) rtt_us: u32,
    pub(crate) capacity: Capacity,
    /// When the capacity arrived; `None` before the first.
    pub(crate) told_at: Option<Time>,
    pub(crate) changed_at: Time,
    pub(crate) done: u64,
    pub(crate) lost: u64,
}

/// Properties of a connected peer that decide about short tasks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means {
    pub(crate) rtt_us: u32,
    /// Memory that it gives to one task, in bytes; `u64::MAX` before it announced any.
    pub(crate) memory_bytes: u64,
}

/// What a new connection shows about the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// New, or back with its state intact.
    Same,
    /// Restarted since it was last connected: it lost all its state.
    Restarted,
    /// No room to keep it.
    Ignored,
}

/// All peers.
#[derive(Debug)]
pub(crate) struct Membership {
    me: PeerId,
    peers: BTreeMap<PeerId, Peer>,
    /// Connected peers.
    connected: usize,
    /// Connected peers by the way in which they are reached.
    reached: BTreeMap<Reach, usize>,
    /// The way in which peers with votes are reached.
    voters: Reach,
    cells: Cells,
}

impl Membership {
    pub(crate) fn new(me: PeerId, mesh: &MeshConfig) -> Self {
        let cells = Cells::new(me, mesh);
        Self {
            me,
            peers: BTreeMap::new(),
            connected: 0,
            reached: BTreeMap::new(),
            voters: Reach::Here,
            cells,
        }
    }

    pub(crate) fn on_up(&mut self, peer: PeerId, boot: u64, host: Host, now: Time) -> Arrival {
        if !self.make_room(peer) {
            return Arrival::Ignored;
        }
        let entry = self.peers.entry(peer).or_default();
        let restarted = entry.boot != 0 && entry.boot != boot;
        if restarted {
            entry.told_at = None;
        }
        let news = !core::mem::replace(&mut entry.connected, true);
        self.connected += usize::from(news);
        let before = core::mem::replace(&mut entry.host, host);
        entry.since.get_or_insert(now);
        entry.boot = boot;
        entry.changed_at = now;
        *self.reached.entry(host.reach()).or_default() += 1;
        if !news {
            self.reach_no_more(before);
        }
        self.choose_voters();
        if news && self.cells.on_connected(peer, true) {
            self.fill_cells();
        }
        if restarted { Arrival::Restarted } else { Arrival::Same }
    }

    pub(crate) fn on_down(&mut self, peer: PeerId, now: Time) {
        let Some(entry) = self.peers.get_mut(&peer) else { return };
        let news = core::mem::replace(&mut entry.connected, false);
        self.connected -= usize::from(news);
        entry.changed_at = now;
        let host = entry.host;
        if news {
            self.reach_no_more(host);
            self.choose_voters();
        }
        if news && self.cells.on_connected(peer, false) {
            self.fill_cells();
        }
    }

    fn reach_no_more(&mut self, host: Host) {
        if let Some(count) = self.reached.get_mut(&host.reach()) {
            *count -= 1;
        }
        self.reached.retain(|_, count| *count > 0);
    }

    /// While no peer is connected, the voters stay the same, so that a short network failure changes nothing.
    fn choose_voters(&mut self) {
        if let Some((reach, _)) = self.reached.last_key_value() {
            self.voters = *reach;
        }
    }

    /// Whether a boot nonce is that of the process to which this node is connected, or was last; none if it knows of none.
    pub(crate) fn is_boot(&self, peer: PeerId, boot: u64) -> Option<bool> {
        let known = self.peers.get(&peer).map(|entry| entry.boot).filter(|known| *known != 0);
        known.map(|known| known == boot)
    }

    /// Forgets a peer that is not connected.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        if !self.is_connected(peer) {
            self.peers.remove(&peer);
        }
    }

    /// The driver reports the size of the mesh.
    pub(crate) fn on_mesh(&mut self, nodes: u32) {
        if self.cells.on_told(nodes) {
            self.fill_cells();
        }
    }

    fn fill_cells(&mut self) {
        let connected = self.peers.iter().filter(|(_, entry)| entry.connected);
        self.cells.fill(connected.map(|(peer, _)| *peer));
    }

    pub(crate) fn on_matchmaker(&mut self, origin: PeerId, slots: u32, now: Time, mesh: &MeshConfig) {
        self.cells.on_matchmaker(origin, slots, now, mesh);
    }

    /// Slots that the connected nodes of this cell announced.
    pub(crate) fn slots_of_cell(&self) -> u32 {
        let mates = self.connected().filter(|(peer, _)| self.cells.is_mate(*peer));
        let told = mates.filter(|(_, entry)| entry.told_at.is_some() && !entry.capacity.draining);
        told.map(|(_, entry)| entry.capacity.slots.min(SLOTS_MAX)).fold(0, u32::saturating_add)
    }

    /// Slots of the largest connected node, by what each announced.
    pub(crate) fn slots_max(&self) -> u32 {
        let told = self.connected().filter(|(_, entry)| entry.told_at.is_some());
        told.map(|(_, entry)| entry.capacity.slots.min(SLOTS_MAX)).max().unwrap_or(0)
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The capacity that a peer announced, if it did.
    pub(crate) fn told(&self, peer: PeerId) -> Option<&Capacity> {
        self.peers.get(&peer).filter(|entry| entry.told_at.is_some()).map(|entry| &entry.capacity)
    }

    pub(crate) fn on_rtt(&mut self, peer: PeerId, rtt_us: u32) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.rtt_us = rtt_us;
        }
    }

    /// Accepts an announced capacity, unless it is older than the known one or breaks a bound.
    pub(crate) fn on_capacity(&mut self, peer: PeerId, capacity: Capacity, now: Time) -> bool {
        if !self.is_connected(peer) && !self.cells.is_mate(peer) {
            // A node keeps capacities of its own cell only, however large the mesh is.
            return true;
        }
        let sound = label_excess(&capacity.labels).is_none()
            && capacity.name.len() <= 64
            && capacity.owners.named().len() <= OWNERS_MAX;
        if !sound || !self.make_room(peer) {
            return false;
        }
        let entry = self.peers.entry(peer).or_default();
        let newer = entry.told_at.is_none()
            || entry.capacity.boot != capacity.boot
            || entry.capacity.seq < capacity.seq;
        if newer {
            entry.capacity = capacity;
            entry.told_at = Some(now);
        }
        newer
    }

    pub(crate) fn rtt_us(&self, peer: PeerId) -> u32 {
        self.peers.get(&peer).map_or(0, |entry| entry.rtt_us)
    }

    /// Properties of a peer that decide about short tasks; `None` if it is not connected.
    pub(crate) fn means(&self, peer: PeerId) -> Option<Means> {
        let entry = self.peers.get(&peer).filter(|entry| entry.connected)?;
        let memory_bytes = if entry.told_at.is_some() { entry.capacity.memory_bytes } else { u64::MAX };
        Some(Means { rtt_us: entry.rtt_us, memory_bytes })
    }

    /// Tasks of a peer's own jobs that wait, as it announced less than three intervals ago.
    pub(crate) fn backlog(&self, peer: PeerId, now: Time, mesh: &MeshConfig) -> u32 {
        let fresh = |at: Time| now.since_us(at) <= 3000 * mesh.capacity_ms;
        let told = self.peers.get(&peer).filter(|entry| entry.told_at.is_some_and(fresh));
        told.map_or(0, |entry| entry.capacity.backlog)
    }

    /// Whether a peer has these labels, as it announced; true before it announced any.
    pub(crate) fn fits(&self, peer: PeerId, needs: &Needs) -> bool {
        let told = self.peers.get(&peer).filter(|entry| entry.told_at.is_some());
        told.is_none_or(|entry| needs.labels.iter().all(|wanted| entry.capacity.labels.contains(wanted)))
    }

    /// Whether it is or once was connected, and so was admitted to the mesh.
    pub(crate) fn has_met(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.since.is_some())
    }

    pub(crate) fn is_connected(&self, peer: PeerId) -> bool {
        self.peers.get(&peer).is_some_and(|entry| entry.connected)
    }

    /// The way in which peers with votes are reached.
    pub(crate) fn voters(&self) -> Reach {
        self.voters
    }

    /// The connected nodes that keep jobs of others, by what each announced.
    pub(crate) fn keepers(&self) -> impl Iterator<Item = Eligible> {
        let told = self.connected().filter(|(_, entry)| entry.told_at.is_some() && !entry.capacity.draining);
        let kept = told.filter(|(_, entry)| entry.capacity.disk != 0);
        kept.map(|(peer, entry)| {
            let seat = Seat { peer, disk: entry.capacity.disk };
            Eligible { seat, host: entry.host }
        })
    }

    /// The machine of a node, by its latest connection.
    pub(crate) fn host(&self, peer: PeerId) -> Host {
        if peer == self.me {
            return Host::Here;
        }
        self.peers.get(&peer).map(|entry| entry.host).unwrap_or_default()
    }

    /// Whose vote an answer of that node is; `None` if it has none.
    pub(crate) fn voice(&self, peer: PeerId) -> Option<Voice> {
        self.voters.voice(peer, self.host(peer))
    }

    /// Votes of all connected peers that may have slots, and of this node, if it has slots.
    pub(crate) fn voices(&self, own_slots: u32) -> usize {
        let runs = |entry: &Peer| entry.told_at.is_none() || entry.capacity.slots > 0;
        let others = self.connected().filter(|(_, entry)| runs(entry)).map(|(peer, _)| peer);
        let all = others.chain((own_slots > 0).then_some(self.me));
        all.filter_map(|peer| self.voice(peer)).collect::<BTreeSet<Voice>>().len()
    }

    /// The class of a node by the time since its first connection; the highest for this node itself.
    pub(crate) fn seniority(&self, peer: PeerId, now: Time) -> u32 {
        if peer == self.me {
            return u32::MAX;
        }
        let since = self.peers.get(&peer).and_then(|entry| entry.since);
        since.map_or(0, |since| host::seniority(now.since_us(since)))
    }

    /// The highest class of a connected node.
    pub(crate) fn seniority_max(&self, now: Time) -> u32 {
        let since = self.connected().filter_map(|(_, entry)| entry.since).min();
        since.map_or(0, |since| host::seniority(now.since_us(since)))
    }

    pub(crate) fn any_connected(&self) -> bool {
        self.connected > 0
    }

    /// Whether a message to it may arrive: it is connected, or it was never connected and the driver dials such nodes
    /// on demand. Only the simulator's drivers do, so a real node reaches only its connected peers.
    pub(crate) fn is_reachable(&self, peer: PeerId) -> bool {
        let stranger = self.cells.dials_on_demand();
        self.peers.get(&peer).map_or(stranger, |entry| entry.connected || (stranger && entry.boot == 0))
    }

    /// Connected peers.
    pub(crate) fn count_connected(&self) -> usize {
        self.connected
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.iter().filter(|(_, peer)| peer.connected)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        self.peers.iter().map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn count_done(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.done += 1;
        }
    }

    pub(crate) fn count_lost(&mut self, peer: PeerId) {
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.lost += 1;
        }
    }

    fn make_room(&mut self, peer: PeerId) -> bool {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&peer) {
            return true;
        }
        let gone = self.peers.iter().filter(|(_, entry)| !entry.connected);
        let oldest = gone.min_by_key(|(_, entry)| entry.changed_at).map(|(id, _)| *id);
        oldest.is_some_and(|id| self.peers.remove(&id).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: MeshConfig = MeshConfig { full_mesh: 2, cell_nodes: 2, ..MeshConfig::DEFAULT };

    fn peer(number: u8) -> PeerId {
        PeerId([number; 32])
    }

    #[test]
    fn a_node_that_is_not_connected_is_reached_only_where_the_driver_dials_on_demand() {
        let mut members = Membership::new(peer(0), &MESH);
        for number in 1..=4 {
            members.on_up(peer(number), 7, Host::Unknown, Time::ZERO);
        }
        members.on_down(peer(4), Time::ZERO);
        assert!(members.cells().on(), "three connected peers are more than a full mesh has here");
        let reached = |members: &Membership| [1, 4, 9].map(|number| members.is_reachable(peer(number)));
        assert_eq!(reached(&members), [true, false, false], "no driver said that it dials");
        members.on_mesh(5);
        assert_eq!(
            reached(&members),
            [true, false, true],
            "one that was lost is dialled by its own schedule"
        );
        members.on_mesh(1);
        for number in 1..=2 {
            members.on_down(peer(number), Time::ZERO);
        }
        assert_eq!(reached(&members), [false, false, false], "a full mesh has no strangers");
    }
}
