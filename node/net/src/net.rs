//! The handle of the mesh adapter, and its start.

use std::sync::Arc;
use std::time::Duration;

use libp2p::gossipsub::IdentTopic;
use libp2p::identity::Keypair;
use libp2p::{StreamProtocol, Swarm, swarm};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weft_core::codec::{encode_gossip, encode_message};
use weft_core::message::{MESSAGE_BYTES_MAX, PROTOCOL};
use weft_core::{BlobId, Gossip, Message, PeerId};

use crate::address;
use crate::admission::Doorkeeper;
use crate::answer::{ASKED_MAX, answer};
use crate::api::{self, Asked};
use crate::ask::Asker;
use crate::behaviour::{self, Behaviour};
use crate::blob::{self, BlobStore};
use crate::caught::caught;
use crate::config::{self, NetConfig, NetError};
use crate::driver::{Driver, Ports, Setting};
use crate::fetch::{FetchError, Fetcher};
use crate::frame::NetFrame;
use crate::gate::Gate;
use crate::inbox::{Inbox, NetEvents};
use crate::mdns::{self, Mdns};
use crate::names;
use crate::serve::serve;
use crate::shared::Shared;
use crate::transport;

/// Most gossip that waits for the swarm; beyond it the newest is dropped and counted.
const GOSSIP_MAX: usize = 256;
const REFUSED_MAX: usize = 64;
/// Most requests to forget a peer that wait.
const FORGOTTEN_MAX: usize = 64;
/// Most multicast addresses that wait for the driver; beyond it the newest is dropped, for it is repeated.
const HEARD_MAX: usize = 256;
/// Longest wait for the first listen address.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// Idle timeout of connections; links keep theirs alive themselves.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// The handle of a node's mesh adapter. Dropping it closes all connections and listeners.
pub struct Net {
    shared: Arc<Shared>,
    gossip: mpsc::Sender<Vec<u8>>,
    forget: mpsc::Sender<PeerId>,
    fetcher: Fetcher,
    asker: Asker,
    asked: Option<mpsc::Receiver<Asked>>,
    /// The swarm, the servers of blobs and of requests, and multicast; aborted when dropped.
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Net").field("connected", &self.connected()).finish_non_exhaustive()
    }
}

/// Joins the mesh. Must be called inside a `LocalSet`.
///
/// # Errors
/// When an address is invalid, not allowed without a key, or can't be listened on. Nothing keeps running.
pub async fn start(config: NetConfig, blobs: Arc<dyn BlobStore>) -> Result<(Net, NetEvents), NetError> {
    let me = names::peer_id_of(&config.identity);
    let doorkeeper = Doorkeeper::new(me, config.boot, config.admission);
    start_with(config, blobs, doorkeeper, std::future::pending()).await
}

/// [`start`], with what tests change: what this node says at admission, and `part`, which runs as a part of the
/// adapter.
async fn start_with(
    config: NetConfig,
    blobs: Arc<dyn BlobStore>,
    doorkeeper: Doorkeeper,
    part: impl Future<Output = ()> + 'static,
) -> Result<(Net, NetEvents), NetError> {
    let listen = config::listen_addresses(&config)?;
    let targets = config::peer_addresses(&config)?;
    let keypair = names::keypair_of(&config.identity);
    let me = doorkeeper.me;
    let topic = behaviour::topic(&doorkeeper.mesh_id);
    let (refused, refusals) = mpsc::channel(REFUSED_MAX);
    let (gossip, published) = mpsc::channel(GOSSIP_MAX);
    let (forget, forgotten) = mpsc::channel(FORGOTTEN_MAX);
    let (announced, heard) = mpsc::channel(HEARD_MAX);
    let shared = Arc::new(Shared::default());
    let inbox = Inbox::new(Arc::clone(&shared));
    let events = NetEvents::new(Arc::clone(&inbox));
    let (gate, census) = (Arc::new(Gate::default()), Arc::clone(&doorkeeper.census));

    let mut swarm = swarm(&keypair, doorkeeper, Arc::clone(&gate), refused, &topic)?;
    let mut control = swarm.behaviour().streams.new_control();
    let accept = |control: &mut libp2p_stream::Control, protocol| {
        control.accept(protocol).map_err(|error| NetError::SetUp(error.to_string()))
    };
    let incoming = accept(&mut control, StreamProtocol::new(PROTOCOL))?;
    let transfers = accept(&mut control, blob::PROTOCOL)?;
    let requests = accept(&mut control, api::PROTOCOL)?;
    let (ask, asked) = mpsc::channel(ASKED_MAX);
    for address in listen {
        let failed = |error| config::cannot_listen(address, &std::io::Error::other(error));
        swarm.listen_on(address::multiaddr_of(address)).map_err(failed)?;
    }

    let fetcher = Fetcher::new(control.clone(), blobs, Arc::clone(&shared));
    let asker = Asker::new(control.clone(), fetcher.clone());
    let setting = Setting {
        me,
        boot: config.boot,
        admission: config.admission,
        topic,
        peers_file: config.peers_file,
        shared: Arc::clone(&shared),
        gate,
        census,
    };
    let ports =
        Ports { inbox: Arc::clone(&inbox), gossip: published, forgotten, refused: refusals, heard, incoming };
    let mut driver = Driver::new(setting, swarm, control, ports, targets);
    if tokio::time::timeout(SETTLE_MAX, driver.settle()).await.is_err() {
        tracing::warn!("no interface to listen on yet");
    }
    let mut tasks = JoinSet::new();
    // One task for all parts: if one panics, the events end, and the node learns that the network failed.
    let serving = serve(transfers, fetcher.clone());
    let end = EndOfAdapter { inbox, shared: Arc::clone(&shared) };
    tasks.spawn_local(async move {
        let _end = end;
        let running = Box::pin(async { tokio::join!(driver.run(), serving, answer(requests, ask), part) });
        drop(caught("the network adapter", running).await);
    });
    if config.mdns && config.admission != config::Admission::Loopback {
        let me = keypair.public().to_peer_id();
        let multicast = mdns::run(Mdns { me, shared: Arc::clone(&shared), heard: announced });
        tasks.spawn_local(async { drop(caught("multicast DNS", multicast).await) });
    }
    Ok((Net { shared, gossip, forget, fetcher, asker, asked: Some(asked), _tasks: tasks }, events))
}

fn swarm(
    keypair: &Keypair,
    doorkeeper: Doorkeeper,
    gate: Arc<Gate>,
    refused: mpsc::Sender<transport::Refused>,
    topic: &IdentTopic,
) -> Result<Swarm<Behaviour>, NetError> {
    let mut behaviour = behaviour::build(keypair).map_err(NetError::SetUp)?;
    behaviour.gossip.subscribe(topic).map_err(|error| NetError::SetUp(error.to_string()))?;
    let transport = transport::build(keypair, doorkeeper, gate, refused)
        .map_err(|error| NetError::SetUp(error.to_string()))?;
    let settings = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_MAX);
    Ok(Swarm::new(transport, behaviour, keypair.public().to_peer_id(), settings))
}

/// Ends the events, and says that no peer is connected, when the adapter's task ends, however that comes about.
struct EndOfAdapter {
    inbox: Arc<Inbox>,
    shared: Arc<Shared>,
}

impl Drop for EndOfAdapter {
    fn drop(&mut self) {
        self.shared.unlink_all();
        self.inbox.end();
    }
}

impl Net {
    /// Sends a message to a peer. Never blocks: a message that does not fit the peer's outbox, is too long, has no linked
    /// peer, or is of a kind that a peer of an older version does not know is dropped and counted.
    pub fn send(&self, to: PeerId, message: &Message) {
        let bytes = encode_message(message);
        if bytes.len() > MESSAGE_BYTES_MAX {
            tracing::error!(
                bytes = bytes.len(),
                limit = MESSAGE_BYTES_MAX,
                "a message is too long to be sent"
            );
            self.shared.count_dropped();
            return;
        }
        self.shared.send(to, message.since(), NetFrame::Message(bytes).encode());
    }

    /// Publishes gossip. Never blocks: gossip that is too long or does not fit is dropped and counted.
    pub fn publish(&self, gossip: &Gossip) {
        let sent = encode_gossip(gossip).is_ok_and(|bytes| self.gossip.try_send(bytes).is_ok());
        if !sent {
            self.shared.count_dropped();
        }
    }

    /// Fetches a blob into the store from the first of these peers that delivers it, else through up to three other
    /// peers that may reach them. Peers that claim another length than the known one are skipped. Returns its length;
    /// at once if it is stored.
    ///
    /// # Errors
    /// When this node's store fails, or no peer delivers the blob.
    pub async fn fetch(&self, blob: BlobId, from: &[PeerId], known: Option<u64>) -> Result<u64, FetchError> {
        self.fetcher.fetch(blob, from, known).await
    }

    /// What asks other members.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Requests of other members, to be answered; `None` the second time. Until they are taken, they wait.
    pub fn asked(&mut self) -> Option<mpsc::Receiver<Asked>> {
        self.asked.take()
    }

    /// Forgets the addresses of a peer, on disk as well, unless it is connected. Never blocks: beyond 64 waiting
    /// requests it has no effect.
    pub fn forget(&self, peer: PeerId) {
        if self.forget.try_send(peer).is_err() {
            self.shared.count_dropped();
        }
    }

    /// Waits until these peers have received all earlier messages. Use a timeout: a peer may never answer.
    pub async fn deliver(&self, peers: &[PeerId]) {
        let outboxes = self.shared.outboxes(peers);
        futures::future::join_all(outboxes.iter().map(|outbox| outbox.deliver())).await;
    }

    /// Addresses at which other nodes can reach this one, as multiaddrs.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<String> {
        self.shared.listening()
    }

    /// The linked peers.
    #[must_use]
    pub fn connected(&self) -> Vec<PeerId> {
        self.shared.linked()
    }

    /// Messages, gossip and events that were dropped at a bound, or for want of a linked peer, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped()
    }
}

#[cfg(test)]
mod tests;
