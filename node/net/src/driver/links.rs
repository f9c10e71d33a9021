//! Chooses the stream to each peer. The node with the smaller id opens it; a new one replaces the old one, whose Down
//! comes before the new one's Up.

use std::sync::Arc;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, Stream, StreamProtocol};
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_core::PeerId;
use weft_core::message::PROTOCOL;

use super::Driver;
use super::state::{Connection, Done, Greeting, Held};
use crate::caught::caught;
use crate::frame::NetFrame;
use crate::link::{End, Link, Path, greet};
use crate::names;
use crate::outbox::Outbox;
use crate::versions::Spoken;

/// Longest time to open a stream and to exchange hellos.
const GREETING_MAX: Duration = Duration::from_secs(5);
const GREETING_PAUSE_MIN: Duration = Duration::from_millis(250);
const GREETING_PAUSE_MAX: Duration = Duration::from_secs(5);
/// After this many failures in a row the connection is closed.
const GREETING_FAILURES_MAX: u32 = 2;
/// When a link fell silent, connections that are older than this are closed as well.
const SILENT_FOR: Duration = Duration::from_millis(1500);

impl Driver {
    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Greeted { peer, result } => self.on_greeted(peer, result),
            Done::Ended { peer, end, path } => self.on_ended(peer, &end, path),
            Done::Saved => self.saving = false,
            Done::LookedUp { target, found } => self.on_looked_up(target, found),
        }
    }

    /// Opens the framed stream, if this node is to open it and a try is due.
    pub(super) fn greet_if_due(&mut self, peer: PeerId, now: Instant) {
        let mine = self.setting.me < peer && !self.links.contains_key(&peer) && self.is_connected(peer);
        let due = self.greetings.get(&peer).is_none_or(|g| !g.running && g.next <= now);
        if !(mine && due) {
            return;
        }
        let Some(name) = names::to_libp2p(peer) else { return };
        self.begin_greeting(peer, now);
        let mut control = self.control.clone();
        let boot = self.setting.boot;
        self.tasks.spawn_local(async move {
            let opening = async {
                let stream = control.open_stream(name, StreamProtocol::new(PROTOCOL)).await;
                let mut stream = stream.map_err(|error| error.to_string())?;
                let theirs = greet(&mut stream, boot).await.map_err(|error| error.to_string())?;
                Ok((theirs, stream))
            };
            Done::Greeted { peer, result: within_time(opening).await }
        });
    }

    pub(super) fn on_incoming(&mut self, peer: &libp2p::PeerId, mut stream: Stream) {
        let Some(peer) = names::to_core(peer) else { return };
        // Refused if this node opens the stream, or if one is being opened.
        if self.setting.me < peer || self.greetings.get(&peer).is_some_and(|g| g.running) {
            return;
        }
        self.begin_greeting(peer, Instant::now());
        let boot = self.setting.boot;
        self.tasks.spawn_local(async move {
            let greeting = async move {
                let theirs = greet(&mut stream, boot).await.map_err(|error| error.to_string())?;
                Ok((theirs, stream))
            };
            Done::Greeted { peer, result: within_time(greeting).await }
        });
    }

    fn begin_greeting(&mut self, peer: PeerId, now: Instant) {
        let new = || Greeting { running: true, failures: 0, next: now };
        self.greetings.entry(peer).or_insert_with(new).running = true;
    }

    fn on_greeted(&mut self, peer: PeerId, result: Result<(u64, Stream), String>) {
        match result {
            Ok((boot, _)) if !self.is_admitted(peer, boot) => {
                self.on_not_greeted(peer, "its hello names another process than its admission");
            }
            Ok((boot, stream)) => {
                self.greetings.remove(&peer);
                match self.links.get_mut(&peer) {
                    Some(link) => {
                        link.next = Some((boot, stream));
                        link.stop.notify_one();
                    }
                    None => self.start_link(peer, boot, stream, None),
                }
            }
            Err(reason) => self.on_not_greeted(peer, &reason),
        }
    }

    /// Whether a process with this boot nonce was admitted as this peer and is connected. A member whose stream names
    /// another one would be taken for two processes with one identity.
    fn is_admitted(&self, peer: PeerId, boot: u64) -> bool {
        self.connections.values().any(|c| c.peer == peer && (c.boot == boot || c.boot == 0))
    }

    fn on_not_greeted(&mut self, peer: PeerId, reason: &str) {
        tracing::debug!(?peer, reason, "no framed stream");
        if !self.is_connected(peer) || self.setting.me > peer {
            self.greetings.remove(&peer);
            return;
        }
        let Some(greeting) = self.greetings.get_mut(&peer) else { return };
        let pause = GREETING_PAUSE_MIN.saturating_mul(1 << greeting.failures.min(8)).min(GREETING_PAUSE_MAX);
        greeting.running = false;
        greeting.failures += 1;
        greeting.next = Instant::now() + pause;
        if greeting.failures >= GREETING_FAILURES_MAX {
            self.close_connections(peer, |_| true);
        }
    }

    /// `replaced` is the process whose link had to end for this one.
    fn start_link(&mut self, peer: PeerId, boot: u64, stream: Stream, replaced: Option<u64>) {
        let now = Instant::now();
        let connections: Vec<_> =
            self.connections.iter().filter(|(_, c)| c.peer == peer).map(|(id, _)| *id).collect();
        let address = self.address_of(peer).map_or_else(String::new, |address| address.to_string());
        let spoken = self.connections.values().find(|c| c.peer == peer && c.boot == boot);
        let spoken = spoken.map_or(Spoken::LEAST, |connection| connection.spoken);
        let outbox = Arc::new(Outbox::default());
        let stop = Arc::new(Notify::new());
        let link = Link {
            peer,
            boot,
            spoken,
            address,
            outbox: Arc::clone(&outbox),
            rhythm: self.rhythm,
            stop: Arc::clone(&stop),
            door: self.ports.inbox.door(peer, spoken),
            probe: self.paths.is_doubtful(peer, boot, now),
            news: self.news.0.clone(),
        };
        self.tasks.spawn_local(async move {
            let (end, path) = link.run(stream).await;
            Done::Ended { peer, end, path }
        });
        outbox.push_urgent(NetFrame::Addresses(self.everybody_but(peer)).encode());
        self.setting.shared.link(peer, Arc::clone(&outbox), spoken.version);
        self.links.insert(peer, Held { boot, stop, outbox, since: now, connections, next: None });
        self.book.up(peer, now);
        self.twins.linked(peer, boot, replaced);
        self.refuse_twins(peer);
        self.part_twins(now);
        self.unsaved = true;
        self.tell_others_about(peer);
    }

    fn on_ended(&mut self, peer: PeerId, end: &End, path: Path) {
        tracing::debug!(?peer, ?end, ?path, "a link ended");
        let Some(link) = self.links.remove(&peer) else { return };
        self.setting.shared.unlink(peer);
        self.asked.remove(&peer);
        let now = Instant::now();
        if self.paths.ended(peer, link.boot, end, path, now) {
            self.tell_of_path(peer);
        }
        let silent = *end == End::Silent;
        let old: Vec<_> = self
            .connections
            .iter()
            .filter(|(id, c)| {
                c.peer == peer && (link.connections.contains(id) || (silent && now - c.since > SILENT_FOR))
            })
            .map(|(id, _)| *id)
            .collect();
        old.into_iter().for_each(|id| self.close_connection(id));
        match link.next {
            Some((boot, stream)) => self.start_link(peer, boot, stream, Some(link.boot)),
            None => {
                self.twins.unlinked(peer);
                self.refuse_twins(peer);
                self.greet_if_due(peer, now);
            }
        }
    }

    pub(super) fn is_connected(&self, peer: PeerId) -> bool {
        self.connections.values().any(|c| c.peer == peer)
    }

    /// The address of a connected peer: the dialled one, else the one that it dialled from.
    pub(super) fn address_of(&self, peer: PeerId) -> Option<&Multiaddr> {
        let mine = self.connections.values().filter(|c| c.peer == peer);
        mine.max_by_key(|c| c.dialled).map(|c| &c.address)
    }

    pub(super) fn close_connections(&mut self, peer: PeerId, which: impl Fn(&Connection) -> bool) {
        let chosen: Vec<_> =
            self.connections.iter().filter(|(_, c)| c.peer == peer && which(c)).map(|(id, _)| *id).collect();
        chosen.into_iter().for_each(|id| self.close_connection(id));
    }

    pub(super) fn close_connection(&mut self, id: ConnectionId) {
        self.swarm.close_connection(id);
        self.forget_connection(id);
    }

    /// A connection is closed, or abandoned: libp2p may take a while to close one to a peer that does not answer.
    pub(super) fn forget_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if !self.is_connected(connection.peer) {
            self.book.disconnected(connection.peer, Instant::now());
            // A running greeting still completes; it finds no connection and ends.
            if self.greetings.get(&connection.peer).is_some_and(|g| !g.running) {
                self.greetings.remove(&connection.peer);
            }
        }
    }
}

/// Limits a greeting to [`GREETING_MAX`]: the driver waits for it before it opens another stream.
async fn within_time<T>(greeting: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    match tokio::time::timeout(GREETING_MAX, caught("a greeting", greeting)).await {
        Ok(Ok(result)) => result,
        Ok(Err(panicked)) => Err(panicked.to_string()),
        Err(_) => Err(String::from("no answer")),
    }
}
