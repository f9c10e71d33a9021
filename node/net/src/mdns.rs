//! Multicast DNS on every network of this machine, over IPv4 and IPv6: queries for nodes, answers with this node's
//! addresses on that network, and passes received addresses to the driver. The service is `_p2p._udp.local`, as
//! libp2p's own is, so that nodes of other versions are found and refused with a reason.
//!
//! libp2p's own behaviour is not used, because it supports only one family, sends IPv6 to one interface, drops the
//! interface of a link-local address, and does not report a second node with this node's identity.

mod packet;
mod sockets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::address::socket_of;
use crate::shared::Shared;
use crate::{interfaces, zone};
use packet::Packet;
use sockets::{Family, Network};

/// Time between two queries; shorter at the start.
const QUERY_EVERY: Duration = Duration::from_secs(5);
const QUERY_FIRST: Duration = Duration::from_millis(500);
/// Least time between two answers: they are multicast, so a node that asks right after another one has received the
/// answer.
const ANSWER_EVERY: Duration = Duration::from_secs(1);
/// Longest packet that is read, in bytes, as RFC 6762 says.
const PACKET_BYTES_MAX: usize = 9000;
/// Most packets that are read from one network in a second; the others wait in the socket's buffer.
const PACKETS_MAX: u32 = 500;
/// Most sockets; two for each interface.
const SOCKETS_MAX: usize = 64;
/// An interface that can't send for this long is reported: a new address can't be used for its first seconds.
const FAILING_FOR: Duration = Duration::from_secs(8);

/// A received address, or interfaces that can't send.
pub(crate) enum Heard {
    /// The address of a node with this id, with the zone that it needs.
    At(libp2p::PeerId, Multiaddr),
    /// Interfaces on which multicast can't be sent, and why; empty when it can again.
    Blocked(Vec<(String, String)>),
}

/// What it starts from.
pub(crate) struct Mdns {
    pub(crate) me: libp2p::PeerId,
    /// Provides this node's addresses.
    pub(crate) shared: Arc<Shared>,
    /// Dropped when full, for it is repeated.
    pub(crate) heard: mpsc::Sender<Heard>,
}

struct Open {
    network: Network,
    socket: Rc<UdpSocket>,
    reader: AbortHandle,
    /// Since when sending fails, and the operating system's error.
    failing: Option<(Instant, String)>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Runs for ever. Must be called inside of a `LocalSet`.
pub(crate) async fn run(mdns: Mdns) {
    let mdns = Rc::new(mdns);
    let mut open: BTreeMap<(u32, Family), Open> = BTreeMap::new();
    let mut failed: BTreeMap<(u32, Family), (String, Instant, String)> = BTreeMap::new();
    let mut readers = JoinSet::new();
    let (mut pause, mut blocked) = (QUERY_FIRST, Vec::new());
    loop {
        let networks = sockets::networks();
        open.retain(|key, held| networks.get(key) == Some(&held.network));
        failed.retain(|key, _| networks.contains_key(key));
        for (key, network) in networks {
            if open.contains_key(&key) || open.len() >= SOCKETS_MAX {
                continue;
            }
            match sockets::open(&network) {
                Ok(socket) => {
                    failed.remove(&key);
                    let socket = Rc::new(socket);
                    let reader =
                        readers.spawn_local(Rc::clone(&mdns).read(Rc::clone(&socket), network.clone()));
                    open.insert(key, Open { network, socket, reader, failing: None });
                }
                Err(error) => {
                    let entry = failed.entry(key);
                    entry.or_insert_with(|| (network.name.clone(), Instant::now(), error.to_string()));
                }
            }
        }
        for held in open.values_mut() {
            held.ask().await;
        }
        let now_blocked = blocked_now(&open, &failed);
        if now_blocked != blocked && mdns.heard.try_send(Heard::Blocked(now_blocked.clone())).is_ok() {
            blocked = now_blocked;
        }
        let until = Instant::now() + pause;
        pause = (pause * 2).min(QUERY_EVERY);
        // Readers end with their sockets.
        while tokio::time::timeout_at(until, ended(&mut readers)).await.is_ok() {}
    }
}

async fn ended(readers: &mut JoinSet<()>) {
    if readers.join_next().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Interfaces on which sending fails for both families, with the error.
fn blocked_now(
    open: &BTreeMap<(u32, Family), Open>,
    failed: &BTreeMap<(u32, Family), (String, Instant, String)>,
) -> Vec<(String, String)> {
    let now = Instant::now();
    let long = |since: &Instant| now - *since >= FAILING_FOR;
    let mut blocked: BTreeMap<u32, (String, String)> = BTreeMap::new();
    for ((index, _), (name, since, why)) in failed {
        if long(since) {
            blocked.insert(*index, (name.clone(), why.clone()));
        }
    }
    for ((index, _), held) in open {
        if let Some((_, why)) = held.failing.as_ref().filter(|(since, _)| long(since)) {
            blocked.insert(*index, (held.network.name.clone(), why.clone()));
        }
    }
    for ((index, _), held) in open {
        if !held.failing.as_ref().is_some_and(|(since, _)| long(since)) {
            blocked.remove(index);
        }
    }
    // Tunnels carry no multicast, and need none.
    blocked.into_values().filter(|(name, _)| !interfaces::is_virtual(name)).collect()
}

impl Open {
    async fn ask(&mut self) {
        match self.socket.send_to(&packet::query(), self.network.group()).await {
            Ok(_) => self.failing = None,
            Err(error) => {
                tracing::debug!(interface = self.network.name, %error, "multicast can't be sent");
                let since = self.failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                self.failing = Some((since, error.to_string()));
            }
        }
    }
}

impl Mdns {
    /// Reads one socket until it is closed.
    async fn read(self: Rc<Self>, socket: Rc<UdpSocket>, network: Network) {
        let mut bytes = vec![0; PACKET_BYTES_MAX];
        let mut answered: Option<Instant> = None;
        let (mut second, mut taken) = (Instant::now(), 0);
        loop {
            if second.elapsed() >= Duration::from_secs(1) {
                (second, taken) = (Instant::now(), 0);
            }
            taken += 1;
            if taken > PACKETS_MAX {
                tokio::time::sleep_until(second + Duration::from_secs(1)).await;
            }
            let read = match socket.recv_from(&mut bytes).await {
                Ok((read, _from)) => read,
                Err(error) => {
                    // For instance an unreachable answer; a socket that is broken for good must not keep the node busy.
                    tracing::debug!(interface = network.name, %error, "multicast can't be read");
                    tokio::time::sleep(ANSWER_EVERY).await;
                    continue;
                }
            };
            match packet::parse(bytes.get(..read).unwrap_or_default()) {
                Some(Packet::Query) => {
                    let now = Instant::now();
                    if answered.is_none_or(|at| now - at >= ANSWER_EVERY) {
                        answered = Some(now);
                        self.answer(&socket, &network).await;
                    }
                }
                Some(Packet::Answer(addresses)) => self.take(addresses, &network),
                None => {}
            }
        }
    }

    async fn answer(&self, socket: &UdpSocket, network: &Network) {
        let addresses = on_network(self.shared.listening_all(), network, self.me);
        for packet in packet::answers(&addresses) {
            if let Err(error) = socket.send_to(&packet, network.group()).await {
                tracing::debug!(interface = network.name, %error, "multicast can't be answered");
            }
        }
    }

    fn take(&self, addresses: Vec<Multiaddr>, network: &Network) {
        for mut address in addresses {
            let Some(Protocol::P2p(peer)) = address.pop() else { continue };
            let Some(ip) = socket_of(&address).map(|socket| socket.ip()) else { continue };
            // Loopback in a multicast answer belongs to the other machine; and this machine receives its own packets.
            let own = peer == self.me && network.ips.contains(&ip);
            if own || ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() {
                continue;
            }
            let address = zone::without(&address);
            let address = if zone::is_link_local(ip) { zone::with(&address, &network.name) } else { address };
            if self.heard.try_send(Heard::At(peer, address)).is_err() {
                tracing::debug!("the driver is behind; an announcement was dropped");
            }
        }
    }
}

/// This node's addresses that can be reached on this network.
fn on_network(listening: Vec<Multiaddr>, network: &Network, me: libp2p::PeerId) -> Vec<Multiaddr> {
    let here = |address: &Multiaddr| {
        let ip: Option<IpAddr> = socket_of(address).map(|socket| socket.ip());
        ip.is_some_and(|ip| network.ips.contains(&ip))
    };
    let mut addresses: Vec<_> = listening.into_iter().filter(here).map(|a| zone::without(&a)).collect();
    addresses.dedup();
    addresses.into_iter().map(|address| address.with(Protocol::P2p(me))).collect()
}
