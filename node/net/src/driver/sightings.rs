//! Addresses of nodes: sending and receiving address lists, saving them; and repairing gossip subscriptions.

use std::time::Duration;

use libp2p::Multiaddr;
use tokio::time::Instant;
use weft_core::PeerId;

use super::Driver;
use super::state::Done;
use crate::address::{multiaddr_of, socket_of};
use crate::caught::caught_call;
use crate::config::{Admission, parse};
use crate::event::NetEvent;
use crate::frame::{NetFrame, TOLD_ADDRESSES_MAX, TOLD_PEERS_MAX, Told};
use crate::mdns::Heard;
use crate::places::Source;
use crate::{interfaces, names, remembered, zone};

/// A peer's subscription arrives within this time after its link is up, or was lost.
const SUBSCRIPTION_MAX: Duration = Duration::from_millis(1500);
/// Most addresses of this node.
const LISTENING_MAX: usize = 256;
/// Least time between two requests for it, and between two repetitions.
const RESUBSCRIBE_EVERY: Duration = Duration::from_secs(5);

impl Driver {
    pub(super) fn on_listening(&mut self, address: &Multiaddr) {
        let address = interfaces::zoned(address);
        self.book.is_own(&address);
        if interfaces::is_for_people(&address) {
            self.tell(NetEvent::Listening(address.to_string()));
        }
        // Interfaces times families; no real machine has more.
        if self.listening.len() < LISTENING_MAX {
            self.listening.push(address);
        }
        self.retell();
    }

    pub(super) fn on_listening_no_more(&mut self, address: &Multiaddr) {
        // The interface may be gone as well, so its zone can't be read.
        let gone: Vec<_> =
            self.listening.iter().filter(|known| zone::without(known) == *address).cloned().collect();
        self.listening.retain(|known| !gone.contains(known));
        for address in gone {
            self.book.is_own_no_more(&address);
            self.tell(NetEvent::ListeningNoMore(address.to_string()));
        }
        self.retell();
    }

    /// Sends the node's changed addresses to all linked peers.
    fn retell(&mut self) {
        self.told = interfaces::worth_telling(&self.listening);
        self.setting.shared.set_listening(texts(&self.told));
        self.setting.shared.set_listening_all(self.listening.clone());
        let frame = NetFrame::Addresses(vec![self.myself()]).encode();
        for link in self.links.values() {
            link.outbox.push_urgent(frame.clone());
        }
    }

    fn myself(&self) -> Told {
        Told { peer: self.setting.me, addresses: texts(&self.told) }
    }

    /// The entries of this node and of its linked peers, for one of them.
    pub(super) fn everybody_but(&self, peer: PeerId) -> Vec<Told> {
        let others = self.links.keys().filter(|other| **other != peer).map(|other| self.about(*other));
        let others = others.filter(|told| !told.addresses.is_empty());
        std::iter::once(self.myself()).chain(others).take(TOLD_PEERS_MAX).collect()
    }

    fn about(&self, peer: PeerId) -> Told {
        Told { peer, addresses: texts(&self.book.addresses(peer)) }
    }

    pub(super) fn tell_others_about(&self, peer: PeerId) {
        let told = self.about(peer);
        if told.addresses.is_empty() {
            return;
        }
        let frame = NetFrame::Addresses(vec![told]).encode();
        for (_, link) in self.links.iter().filter(|(other, _)| **other != peer) {
            link.outbox.push_urgent(frame.clone());
        }
    }

    pub(super) fn on_told(&mut self, from: PeerId, told: &[Told]) {
        let now = Instant::now();
        for Told { peer, addresses } in told {
            let addresses: Vec<_> = addresses.iter().filter_map(|text| self.plausible(from, text)).collect();
            if *peer != from {
                // Linked peers tell their own addresses; ids that are no key are ignored.
                if self.links.contains_key(peer) || names::to_libp2p(*peer).is_none() {
                    continue;
                }
                for address in addresses.iter().rev() {
                    self.book.learn(*peer, address, Source::Other, now);
                }
                continue;
            }
            let before = self.book.addresses(from);
            self.book.replace(from, &addresses, now);
            if let Some(seen) = self.observed(from, &addresses) {
                self.book.learn(from, &seen, Source::Proven, now);
            }
            if self.book.addresses(from) != before {
                self.unsaved = true;
                self.tell_others_about(from);
            }
        }
        self.dial_due(now);
    }

    /// An address that could lead to another node. Loopback is accepted only from a peer on this machine, and only
    /// loopback without a key; link-local only from a peer on the same network, with its interface.
    fn plausible(&self, from: PeerId, text: &str) -> Option<Multiaddr> {
        let address = zone::without(&parse(text)?);
        let socket = socket_of(&address)?;
        let here = |a: &Multiaddr| socket_of(a).is_some_and(|s| s.ip().is_loopback());
        let loopback_fits = if socket.ip().is_loopback() {
            self.address_of(from).is_some_and(here)
        } else {
            self.setting.admission != Admission::Loopback
        };
        let sound = socket.port() != 0 && !socket.ip().is_unspecified() && !socket.ip().is_multicast();
        if !(sound && loopback_fits) {
            return None;
        }
        if zone::is_link_local(socket.ip()) {
            return self.address_of(from).and_then(zone::of).map(|zone| zone::with(&address, &zone));
        }
        Some(address)
    }

    /// The address at which a peer is reached: the dialled one, else the IP that it dialled from with the port that it
    /// tells.
    fn observed(&self, peer: PeerId, told: &[Multiaddr]) -> Option<Multiaddr> {
        let mut connections = self.connections.values().filter(|c| c.peer == peer);
        if connections.any(|c| c.dialled) {
            // The book got that address when the connection was established.
            return None;
        }
        let address = self.address_of(peer)?;
        let mut seen = socket_of(address)?;
        let sockets: Vec<_> = told.iter().filter_map(socket_of).collect();
        let same_family = sockets.iter().find(|socket| socket.is_ipv4() == seen.is_ipv4());
        seen.set_port(same_family.or(sockets.first())?.port());
        let bare = multiaddr_of(seen);
        Some(zone::of(address).map_or_else(|| bare.clone(), |zone| zone::with(&bare, &zone)))
    }

    /// Tells the gate the addresses of known members, for which it reserves places.
    pub(super) fn keep_places(&self) {
        let known = self.book.known().filter_map(socket_of);
        self.setting.gate.know(known.map(|socket| socket.ip()));
    }

    pub(super) fn on_heard(&mut self, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::Blocked(interfaces) => self.on_blocked(&interfaces),
            Heard::At(peer, address) => {
                let Some(peer) = names::to_core(&peer) else { return };
                if peer == self.setting.me {
                    self.book.probe(&address, now);
                } else {
                    // It is dialled at the next tick: outsiders control how often announcements arrive.
                    self.book.learn(peer, &address, Source::Multicast, now);
                }
            }
        }
    }

    /// gossipsub sends its subscriptions on the first connection only; a peer that still had an older one never sends
    /// them on the new one (rust-libp2p issue 5097). The side that misses them asks.
    pub(super) fn mend_gossip(&mut self, now: Instant) {
        let topic = self.setting.topic.hash();
        let gossip = &self.swarm.behaviour().gossip;
        let listens: std::collections::BTreeSet<_> = gossip
            .all_peers()
            .filter(|(_, topics)| topics.contains(&&topic))
            .filter_map(|(peer, _)| names::to_core(peer))
            .collect();
        for (peer, link) in &self.links {
            let lately = self.asked.get(peer).is_some_and(|at| now - *at < RESUBSCRIBE_EVERY);
            if !listens.contains(peer) && now - link.since > SUBSCRIPTION_MAX && !lately {
                tracing::debug!(?peer, "its subscription is missing");
                link.outbox.push_urgent(NetFrame::Resubscribe.encode());
                self.asked.insert(*peer, now);
            }
        }
    }

    pub(super) fn resubscribe(&mut self) {
        let now = Instant::now();
        if self.resubscribed.is_some_and(|at| now - at < RESUBSCRIBE_EVERY) {
            return;
        }
        self.resubscribed = Some(now);
        let topic = self.setting.topic.clone();
        let gossip = &mut self.swarm.behaviour_mut().gossip;
        gossip.unsubscribe(&topic);
        if let Err(error) = gossip.subscribe(&topic) {
            tracing::warn!(%error, "gossip can't be listened to");
        }
    }

    /// Saves the peers file. One write at a time, on a blocking thread; later changes are saved by the next one.
    pub(super) fn save(&mut self) {
        let Some(path) = self.setting.peers_file.clone().filter(|_| self.unsaved && !self.saving) else {
            return;
        };
        (self.unsaved, self.saving) = (false, true);
        let peers = self.book.memorable(remembered::PEERS_MAX);
        self.tasks.spawn_blocking(move || {
            if let Ok(Err(error)) = caught_call("saving peers", || remembered::save(&path, &peers)) {
                tracing::warn!(path = %path.display(), %error, "peers can't be remembered");
            }
            Done::Saved
        });
    }
}

fn texts(addresses: &[Multiaddr]) -> Vec<String> {
    let mut texts: Vec<_> = addresses.iter().map(|address| zone::without(address).to_string()).collect();
    texts.dedup();
    texts.truncate(TOLD_ADDRESSES_MAX);
    texts
}
