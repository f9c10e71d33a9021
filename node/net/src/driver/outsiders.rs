//! Reports to the user: refused nodes, identities that are used twice, and bad network paths.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;
use weft_core::PeerId;

use super::Driver;
use crate::address::socket_of;
use crate::admission::{Apart, Refusal};
use crate::book::bare;
use crate::event::NetEvent;
use crate::transport::Refused;

impl Driver {
    pub(super) fn on_refused(&mut self, refused: &Refused) {
        let Refused { peer, address, dialled, refusal } = refused;
        let (text, now) = (address.to_string(), Instant::now());
        match refusal {
            Refusal::Myself if *dialled => self.book.is_own(address),
            Refusal::Myself => {}
            Refusal::Twin => self.twins.met(*peer, now),
            Refusal::SameIdentity => {
                if self.is_news(address, "same identity") {
                    self.tell(NetEvent::SameIdentity { address: text });
                }
            }
            Refusal::OtherMesh { mesh: Some(mesh), .. } => {
                if self.refusals.is_new_mesh(*mesh, now) {
                    let reason = format!("{refusal}; others of that mesh are not told of for an hour");
                    self.tell(NetEvent::Refused { address: text, reason });
                }
            }
            Refusal::Version(Apart { is_of_mesh: true, .. }) => self.tell_of_version(refused),
            Refusal::NotWeft
            | Refusal::Version(_)
            | Refusal::OtherMesh { mesh: None, .. }
            | Refusal::Proof
            | Refusal::NoBoot
            | Refusal::TwinOfMine
            | Refusal::Unknown(_) => {
                // By kind only: the outsider chooses the number in a reason.
                if self.is_news(address, refusal.kind()) {
                    self.tell(NetEvent::Refused { address: text, reason: refusal.to_string() });
                }
            }
        }
    }

    /// A node of this mesh speaks no version that this node speaks: that lasts until one of them is upgraded.
    fn tell_of_version(&mut self, refused: &Refused) {
        let Some(ip) = socket_of(&refused.address).map(|socket| socket.ip()) else { return };
        if self.refusals.is_newly_apart(ip, Instant::now()) {
            // Where it dialled from is not where it listens.
            let place = if refused.dialled { bare(&refused.address).to_string() } else { ip.to_string() };
            let (node, refusal) = (refused.peer.short(), refused.refusal);
            let text =
                format!("node {node} at {place} is of this mesh and can't work with this node: {refusal}");
            self.tell(NetEvent::Trouble { about: about_version(ip), text: Some(text) });
        }
    }

    /// Such nodes that do not try any more are no trouble.
    pub(super) fn forget_versions(&mut self, now: Instant) {
        for ip in self.refusals.no_longer_apart(now) {
            self.tell(NetEvent::Trouble { about: about_version(ip), text: None });
        }
    }

    fn is_news(&mut self, address: &Multiaddr, reason: &str) -> bool {
        let ip = socket_of(address).map(|socket| socket.ip());
        self.refusals.is_news(ip, reason, Instant::now())
    }

    /// Closes connections of processes that run at the same time as a linked one with the same identity.
    pub(super) fn part_twins(&mut self, now: Instant) {
        let others: Vec<(ConnectionId, PeerId, u64)> = self
            .connections
            .iter()
            .filter(|(_, c)| self.links.get(&c.peer).is_some_and(|link| link.boot != c.boot && c.boot != 0))
            .map(|(id, c)| (*id, c.peer, c.boot))
            .collect();
        for (id, peer, boot) in others {
            let Some(linked) = self.links.get(&peer).map(|link| link.boot) else { continue };
            let Some(since) = self.connections.get(&id).map(|connection| connection.since) else { continue };
            if self.twins.beside(peer, linked, boot, since, now) {
                if self.twins.is_news(peer, now) {
                    self.tell_of_twin(peer, linked, id);
                }
                self.close_connection(id);
                self.refuse_twins(peer);
            }
        }
    }

    /// Updates the processes that admission refuses.
    pub(super) fn refuse_twins(&self, peer: PeerId) {
        self.setting.census.refuse(peer, self.twins.refused(peer));
    }

    pub(super) fn forget_twins(&mut self, now: Instant) {
        for peer in self.twins.over(now) {
            self.refuse_twins(peer);
            self.tell(NetEvent::Trouble { about: about_twin(peer), text: None });
        }
    }

    fn tell_of_twin(&self, peer: PeerId, linked: u64, other: ConnectionId) {
        let place = |address: &Multiaddr| bare(address).to_string();
        let other = self.connections.get(&other).map(|c| place(&c.address)).unwrap_or_default();
        let mut linked = self.connections.values().filter(|c| c.peer == peer && c.boot == linked);
        let linked = linked.next().map(|c| place(&c.address)).unwrap_or_default();
        let text = format!(
            "two nodes run with the identity {}, at {linked} and at {other}: a data directory was copied; only the \
             first is listened to; delete identity.key in one of them and start that node again",
            peer.short()
        );
        self.tell(NetEvent::Trouble { about: about_twin(peer), text: Some(text) });
    }

    /// Large packets get lost on the way to this peer.
    pub(super) fn tell_of_path(&self, peer: PeerId) {
        let address = self.book.addresses(peer).first().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "large packets to or from peer {} at {address} get lost while small ones pass, so no work comes through: \
             something on the way takes smaller packets than these machines send, and does not say so; give both the \
             same smaller MTU (ip link set dev INTERFACE mtu 1400), or let ICMP pass",
            peer.short()
        );
        self.tell(NetEvent::Trouble { about: about_path(peer), text: Some(text) });
    }

    pub(super) fn on_passing(&mut self, peer: PeerId) {
        if self.paths.passed(peer) {
            self.tell(NetEvent::Trouble { about: about_path(peer), text: None });
        }
    }

    /// Multicast can't be sent on these interfaces.
    pub(super) fn on_blocked(&self, blocked: &[(String, String)]) {
        let names: Vec<_> = blocked.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        let text = (!names.is_empty()).then(|| {
            format!(
                "multicast can't be sent on {}: nodes there do not find this one by themselves; let UDP port 5353 pass \
                 to 224.0.0.251 and ff02::fb, name a peer with --peer, or pass --no-mdns",
                names.join(", ")
            )
        });
        self.tell(NetEvent::Trouble { about: String::from("multicast"), text });
    }
}

fn about_twin(peer: PeerId) -> String {
    format!("identity {}", peer.short())
}

fn about_version(ip: IpAddr) -> String {
    format!("version of the node at {ip}")
}

fn about_path(peer: PeerId) -> String {
    format!("path to {}", peer.short())
}
