//! The task of the swarm: waits for the next event and handles it without blocking. It decides about connections only:
//! which peer to dial, which stream to use, what to close. Started by [`crate::start`], ended by dropping.

mod links;
mod named;
mod outsiders;
mod sightings;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use libp2p::core::ConnectedPoint;
use libp2p::gossipsub::{self, IdentTopic, PublishError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use weft_core::PeerId;

use crate::address::socket_of;
use crate::behaviour::{Behaviour, BehaviourEvent, PENDING_MAX};
use crate::book::{Book, Dial};
use crate::census::{Admitted, Census};
use crate::config::{Admission, name_of};
use crate::event::NetEvent;
use crate::gate::Gate;
use crate::inbox::Inbox;
use crate::link::{LinkNews, on_rhythm};
use crate::mdns::Heard;
use crate::paths::Paths;
use crate::refusals::Refusals;
use crate::shared::Shared;
use crate::transport::Refused;
use crate::twins::Twins;
use crate::versions::Spoken;
use crate::{names, remembered, zone};
use state::{Connection, Done, Greeting, Held, Named};

/// Time between two checks of timeouts and dials.
const TICK: Duration = Duration::from_millis(250);
/// A connection without a framed stream is useless after this long.
const UNLINKED_MAX: Duration = Duration::from_secs(10);

/// Ends of the channels that the driver owns.
pub(crate) struct Ports {
    pub(crate) inbox: Arc<Inbox>,
    /// Encoded gossip to publish.
    pub(crate) gossip: mpsc::Receiver<Vec<u8>>,
    /// Peers that the user wants forgotten.
    pub(crate) forgotten: mpsc::Receiver<PeerId>,
    pub(crate) refused: mpsc::Receiver<Refused>,
    /// Addresses received by multicast.
    pub(crate) heard: mpsc::Receiver<Heard>,
    /// Framed streams that peers opened.
    pub(crate) incoming: libp2p_stream::IncomingStreams,
}

/// Settings of the driver.
pub(crate) struct Setting {
    pub(crate) me: PeerId,
    pub(crate) boot: u64,
    pub(crate) admission: Admission,
    pub(crate) topic: IdentTopic,
    pub(crate) peers_file: Option<PathBuf>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) census: Arc<Census>,
}

pub(crate) struct Driver {
    setting: Setting,
    swarm: Swarm<Behaviour>,
    control: libp2p_stream::Control,
    ports: Ports,
    news: (mpsc::Sender<LinkNews>, mpsc::Receiver<LinkNews>),
    /// Periodic events of the driver and the links happen at this instant and whole periods after it.
    rhythm: Instant,
    book: Book,
    dials: BTreeMap<ConnectionId, Dial>,
    connections: BTreeMap<ConnectionId, Connection>,
    greetings: BTreeMap<PeerId, Greeting>,
    links: BTreeMap<PeerId, Held>,
    tasks: JoinSet<Done>,
    listening: Vec<Multiaddr>,
    /// The part of `listening` that peers are told.
    told: Vec<Multiaddr>,
    refusals: Refusals,
    /// Configured host names: 64 at most, as many as there may be configured addresses.
    named: BTreeMap<Multiaddr, Named>,
    twins: Twins,
    paths: Paths,
    /// The last gossip, if no peer was subscribed.
    unsaid: Option<Vec<u8>>,
    /// When this node last repeated its subscription to gossip, and when it last asked a peer to.
    resubscribed: Option<Instant>,
    asked: BTreeMap<PeerId, Instant>,
    /// Whether the peers file and the gate are older than the book.
    unsaved: bool,
    saving: bool,
}

enum Happening {
    Swarm(SwarmEvent<BehaviourEvent>),
    Incoming(libp2p::PeerId, libp2p::Stream),
    Done(Done),
    News(LinkNews),
    Publish(Vec<u8>),
    Refused(Refused),
    Forget(PeerId),
    Heard(Heard),
    Tick,
}

impl Driver {
    pub(crate) fn new(
        setting: Setting,
        swarm: Swarm<Behaviour>,
        control: libp2p_stream::Control,
        ports: Ports,
        targets: Vec<Multiaddr>,
    ) -> Self {
        let now = Instant::now();
        let mut book = Book::new(setting.me, targets, now);
        if let Some(path) = &setting.peers_file {
            // The latest comes first in the file and must be the last to be remembered.
            for (peer, mut addresses) in remembered::load(path).into_iter().rev() {
                let here = |a: &Multiaddr| socket_of(a).is_some_and(|s| s.ip().is_loopback());
                addresses.retain(|address| setting.admission != Admission::Loopback || here(address));
                book.remember(peer, &addresses, now);
            }
        }
        let driver = Self {
            setting,
            swarm,
            control,
            ports,
            // Address lists and requests from all links; dropped when full, for they are repeated.
            news: mpsc::channel(256),
            rhythm: now,
            book,
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            greetings: BTreeMap::new(),
            links: BTreeMap::new(),
            tasks: JoinSet::new(),
            listening: Vec::new(),
            told: Vec::new(),
            refusals: Refusals::default(),
            named: BTreeMap::new(),
            twins: Twins::default(),
            paths: Paths::default(),
            unsaid: None,
            resubscribed: None,
            asked: BTreeMap::new(),
            unsaved: false,
            saving: false,
        };
        driver.keep_places();
        driver
    }

    /// Waits until the node listens somewhere.
    pub(crate) async fn settle(&mut self) {
        while self.listening.is_empty() {
            let event = self.swarm.select_next_some().await;
            self.on_swarm(event);
        }
    }

    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        let mut ticks = on_rhythm(self.rhythm, TICK);
        loop {
            let happening = tokio::select! {
                event = self.swarm.select_next_some() => Happening::Swarm(event),
                Some((peer, stream)) = self.ports.incoming.next() => Happening::Incoming(peer, stream),
                Some(Ok(done)) = self.tasks.join_next() => Happening::Done(done),
                Some(news) = self.news.1.recv() => Happening::News(news),
                Some(bytes) = self.ports.gossip.recv() => Happening::Publish(bytes),
                Some(refused) = self.ports.refused.recv() => Happening::Refused(refused),
                Some(peer) = self.ports.forgotten.recv() => Happening::Forget(peer),
                Some(heard) = self.ports.heard.recv() => Happening::Heard(heard),
                _ = ticks.tick() => Happening::Tick,
            };
            self.apply(happening);
        }
    }

    fn apply(&mut self, happening: Happening) {
        match happening {
            Happening::Swarm(event) => self.on_swarm(event),
            Happening::Incoming(peer, stream) => self.on_incoming(&peer, stream),
            Happening::Done(done) => self.on_done(done),
            Happening::News(LinkNews::Addresses { from, told }) => self.on_told(from, &told),
            Happening::News(LinkNews::Resubscribe) => self.resubscribe(),
            Happening::News(LinkNews::Passes(peer)) => self.on_passing(peer),
            Happening::Publish(bytes) => self.publish(bytes),
            Happening::Refused(refused) => self.on_refused(&refused),
            Happening::Forget(peer) => self.unsaved |= self.book.forget(peer),
            Happening::Heard(heard) => self.on_heard(heard),
            Happening::Tick => self.on_tick(Instant::now()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "libp2p's enum: what is not named needs no act")]
    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(&peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, .. } => self.forget_connection(connection_id),
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failed(connection_id, &error);
            }
            SwarmEvent::NewListenAddr { address, .. } => self.on_listening(&address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.on_listening_no_more(&address),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener stumbled"),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener closed");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: &libp2p::PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let now = Instant::now();
        if let Some(dial) = self.dials.remove(&id) {
            self.book.dialled(&dial, true, now);
            if let (Dial::Target(target), Some(peer)) = (&dial, names::to_core(peer)) {
                self.book.reached(target, peer);
            }
        }
        let Some(peer) = names::to_core(peer) else {
            self.swarm.close_connection(id);
            return;
        };
        let (address, dialled) = (zoned(endpoint), endpoint.is_dialer());
        self.book.connected(peer, dialled.then_some(&address), now);
        let process = self.setting.census.take(peer, endpoint.get_remote_address());
        let Admitted { boot, spoken } = process.unwrap_or(Admitted { boot: 0, spoken: Spoken::LEAST });
        self.connections.insert(id, Connection { peer, boot, spoken, since: now, address, dialled });
        self.part_twins(now);
        self.greet_if_due(peer, now);
    }

    fn on_dial_failed(&mut self, id: ConnectionId, error: &DialError) {
        tracing::debug!(%error, "a dial failed");
        let Some(dial) = self.dials.remove(&id) else { return };
        self.book.dialled(&dial, false, Instant::now());
        match (error, dial) {
            (DialError::WrongPeerId { address, .. }, Dial::Peer(peer, _)) => {
                self.book.forget_address(peer, address);
            }
            (DialError::LocalPeerId { address }, _) => self.book.is_own(address),
            (_, _) => {}
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { message, .. } => {
                match message.source.as_ref().and_then(names::to_core) {
                    Some(origin) => self.ports.inbox.hear(origin, message.data),
                    None => self.setting.shared.count_dropped(),
                }
            }
            gossipsub::Event::Subscribed { .. } => {
                if let Some(bytes) = self.unsaid.take() {
                    self.publish(bytes);
                }
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => {
                tracing::debug!(peer = %peer_id, "too slow for gossip; some was dropped");
            }
            gossipsub::Event::Unsubscribed { .. } | gossipsub::Event::GossipsubNotSupported { .. } => {}
        }
    }

    /// Publishes gossip. Without a subscribed peer, the latest gossip is kept until one subscribes.
    fn publish(&mut self, bytes: Vec<u8>) {
        let published = self.swarm.behaviour_mut().gossip.publish(self.setting.topic.clone(), bytes.clone());
        match published {
            Ok(_) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => self.unsaid = Some(bytes),
            Err(error) => {
                tracing::debug!(%error, "gossip was dropped");
                self.setting.shared.count_dropped();
            }
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.dial_due(now);
        let peers: Vec<_> = self.connections.values().map(|c| c.peer).collect();
        for peer in peers {
            self.greet_if_due(peer, now);
        }
        self.book.expire(now);
        self.part_twins(now);
        self.forget_twins(now);
        self.forget_versions(now);
        self.close_useless(now);
        self.mend_gossip(now);
        if self.unsaved {
            self.keep_places();
        }
        self.save();
    }

    fn dial_due(&mut self, now: Instant) {
        let room = (PENDING_MAX as usize).saturating_sub(self.dials.len());
        for dial in self.book.due(now, room) {
            let options = match &dial {
                Dial::Peer(peer, addresses) => {
                    let Some(name) = names::to_libp2p(*peer) else {
                        self.book.dialled(&dial, false, now);
                        continue;
                    };
                    // libp2p may still count a connection that this node has closed.
                    DialOpts::peer_id(name)
                        .condition(PeerCondition::Always)
                        .addresses(addresses.clone())
                        .allocate_new_port()
                        .build()
                }
                Dial::Target(address) if name_of(address).is_some() => {
                    self.look_up(address.clone());
                    continue;
                }
                Dial::Target(address) => {
                    DialOpts::unknown_peer_id().address(address.clone()).allocate_new_port().build()
                }
            };
            self.dial(options, dial);
        }
    }

    fn close_useless(&mut self, now: Instant) {
        let links = &self.links;
        let useless = |c: &&Connection| !links.contains_key(&c.peer) && now - c.since > UNLINKED_MAX;
        let peers: Vec<_> = self.connections.values().filter(useless).map(|c| c.peer).collect();
        for peer in peers {
            self.close_connections(peer, |c| now - c.since > UNLINKED_MAX);
        }
    }

    /// Sends an event that may be dropped if the receiver is slow.
    fn tell(&self, event: NetEvent) {
        if !self.ports.inbox.hint(event) {
            self.setting.shared.count_dropped();
        }
    }
}

/// The address of the other side; a link-local one with the interface of the connection.
fn zoned(endpoint: &ConnectedPoint) -> Multiaddr {
    let address = endpoint.get_remote_address();
    let ConnectedPoint::Listener { local_addr, .. } = endpoint else { return address.clone() };
    let (Some(theirs), Some(ours)) = (socket_of(address), socket_of(local_addr)) else {
        return address.clone();
    };
    let zone = if zone::is_link_local(theirs.ip()) { zone::that_has(ours.ip()) } else { None };
    zone.map_or_else(|| address.clone(), |zone| zone::with(address, &zone))
}
