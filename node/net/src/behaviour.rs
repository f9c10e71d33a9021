//! The libp2p protocols of a node and their settings: limits, streams, gossip. The driver acts on their events.

use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;

/// Most outgoing connections that are being set up; further dials wait.
pub(crate) const PENDING_MAX: u32 = 64;
/// Most incoming connections that are being set up, as libp2p counts them: four times the places of the gate, which
/// counts them too.
const KNOCKING_MAX: u32 = 256;
/// Most connections to one peer: two nodes may dial each other at the same time, and a restarted one may connect before
/// its old connection is closed.
const ESTABLISHED_PER_PEER_MAX: u32 = 4;
const ESTABLISHED_MAX: u32 = 512;
/// Longest gossip frame, with its signature.
const GOSSIP_FRAME_BYTES: usize = 16 << 10;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(crate) struct Behaviour {
    limits: connection_limits::Behaviour,
    pub(crate) streams: libp2p_stream::Behaviour,
    pub(crate) gossip: gossipsub::Behaviour,
}

/// Builds it.
pub(crate) fn build(keypair: &Keypair) -> Result<Behaviour, String> {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(KNOCKING_MAX))
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established_per_peer(Some(ESTABLISHED_PER_PEER_MAX))
        .with_max_established(Some(ESTABLISHED_MAX));
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(limits),
        streams: libp2p_stream::Behaviour::new(),
        gossip: gossip(keypair)?,
    })
}

/// The one topic of a mesh.
pub(crate) fn topic(mesh_id: &[u8; 32]) -> IdentTopic {
    IdentTopic::new(format!("weft/1/{}", blake3::Hash::from_bytes(*mesh_id).to_hex()))
}

/// Settings for a LAN of a few to a hundred nodes: libp2p's defaults are for thousands of untrusted nodes, and take
/// seconds to form a mesh.
fn gossip(keypair: &Keypair) -> Result<gossipsub::Behaviour, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .max_transmit_size(GOSSIP_FRAME_BYTES)
        .heartbeat_interval(Duration::from_secs(1))
        .heartbeat_initial_delay(Duration::from_millis(200))
        .mesh_n(4)
        .mesh_n_low(2)
        .mesh_n_high(8)
        .mesh_outbound_min(1)
        .gossip_lazy(4)
        .history_length(6)
        .history_gossip(3)
        .duplicate_cache_time(Duration::from_secs(60))
        .prune_backoff(Duration::from_secs(2))
        .unsubscribe_backoff(Duration::from_secs(1))
        .flood_publish(true)
        .build()
        .map_err(|error| error.to_string())?;
    gossipsub::Behaviour::new(MessageAuthenticity::Signed(keypair.clone()), config).map_err(String::from)
}
