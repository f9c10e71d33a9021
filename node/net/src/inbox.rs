//! The queue of received events for the node's loop: one queue for each peer, bounded in bytes and taken in turns, so
//! that a peer that sends too much delays only itself. Links fill it through a [`Door`], the loop empties it through
//! [`NetEvents`].
//!
//! Messages wait encoded and are decoded one at a time, as the loop takes them: decoding may allocate many times their
//! length, which waiting messages never do.

mod fault;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use weft_core::PeerId;
use weft_core::codec::decode_gossip;

use crate::event::NetEvent;
use crate::shared::Shared;
use crate::versions::Spoken;
use fault::Fault;

/// Bytes that a waiting event counts in addition to its own.
const ITEM_BYTES: usize = 256;
const EVENT_BYTES: usize = size_of::<NetEvent>();
/// Most waiting bytes of one peer; beyond it its link stops reading, and the peer waits.
const PEER_BYTES_MAX: usize = 4 << 20;
/// Most waiting bytes of all peers, those that are reserved for each peer excluded.
const ALL_BYTES_MAX: usize = 64 << 20;
/// Bytes reserved for each peer.
const KEPT_BYTES: usize = 32 << 10;
/// Most waiting events without a peer's order, gossip included; beyond it the newest is dropped.
const SOFT_MAX: usize = 1024;
/// Most waiting gossip of one origin; an identity costs nothing to create.
const GOSSIP_MAX: u32 = 64;

/// The receiver of events was dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unheard;

/// Events that wait for the node's loop.
pub(crate) struct Inbox {
    state: Mutex<State>,
    filled: Notify,
    all: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct State {
    lanes: BTreeMap<PeerId, Lane>,
    soft: VecDeque<Soft>,
    /// Waiting gossip by its origin.
    gossip: BTreeMap<PeerId, u32>,
    /// The order of turns: each entry has something waiting.
    turns: VecDeque<Turn>,
    bytes: usize,
    /// The receiver was dropped.
    closed: bool,
    /// The adapter has broken: nothing more comes.
    ended: bool,
}

#[derive(Clone, Copy)]
enum Turn {
    Peer(PeerId),
    Soft,
}

struct Lane {
    queue: VecDeque<Item>,
    room: Room,
    /// Links of this peer; the queue is removed with the last one, once it is empty.
    doors: u32,
}

#[derive(Clone)]
struct Room {
    own: Arc<Semaphore>,
    kept: Arc<Semaphore>,
}

struct Item {
    word: Word,
    bytes: usize,
    _place: Place,
}

enum Word {
    Event(Box<NetEvent>),
    /// Encoded, with the link to end if it does not decode.
    Message(Vec<u8>, Arc<Fault>),
}

enum Soft {
    Event(Box<NetEvent>),
    Gossip { origin: PeerId, bytes: Vec<u8> },
}

/// Bytes that a waiting event holds.
struct Place {
    _own: OwnedSemaphorePermit,
    _all: Option<OwnedSemaphorePermit>,
}

/// The events of a node's mesh adapter, for its loop. When it is dropped, links end.
pub struct NetEvents {
    inbox: Arc<Inbox>,
}

impl std::fmt::Debug for NetEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetEvents").field("waiting_bytes", &self.waiting_bytes()).finish_non_exhaustive()
    }
}

impl NetEvents {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next event: peers take turns, and events of one peer are in order. `None` after the adapter has failed or was
    /// dropped. Cancel-safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<NetEvent> {
        loop {
            if let Some(event) = self.inbox.take() {
                return Some(event);
            }
            if self.inbox.lock().ended {
                return None;
            }
            self.inbox.filled.notified().await;
        }
    }

    /// Bytes that wait for the loop.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.inbox.lock().bytes
    }
}

impl Drop for NetEvents {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        state.closed = true;
        for lane in state.lanes.values() {
            lane.room.own.close();
            lane.room.kept.close();
        }
        drop(state);
        self.inbox.all.close();
    }
}

impl Inbox {
    /// Dropped events are counted in `shared`.
    pub(crate) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(ALL_BYTES_MAX));
        Arc::new(Self { state: Mutex::default(), filled: Notify::new(), all, shared })
    }

    /// Ends the events.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.filled.notify_one();
    }

    /// The entrance for a link to this peer.
    pub(crate) fn door(self: &Arc<Self>, peer: PeerId, spoken: Spoken) -> Door {
        let mut state = self.lock();
        let lane = state.lanes.entry(peer).or_insert_with(Lane::new);
        lane.doors += 1;
        let room = lane.room.clone();
        drop(state);
        Door { inbox: Arc::clone(self), peer, room, fault: Arc::new(Fault::new(spoken.is_newer)) }
    }

    /// Adds an event without a peer's order; dropped if too many wait. Returns whether there was room.
    pub(crate) fn hint(&self, event: NetEvent) -> bool {
        self.add_soft(Soft::Event(Box::new(event)))
    }

    /// Adds encoded gossip; dropped and counted if too much waits.
    pub(crate) fn hear(&self, origin: PeerId, bytes: Vec<u8>) {
        if !self.add_soft(Soft::Gossip { origin, bytes }) {
            self.shared.count_dropped();
        }
    }

    fn add_soft(&self, soft: Soft) -> bool {
        let mut state = self.lock();
        if state.soft.len() >= SOFT_MAX {
            return false;
        }
        if let Soft::Gossip { origin, .. } = &soft {
            let waiting = state.gossip.entry(*origin).or_default();
            if *waiting >= GOSSIP_MAX {
                return false;
            }
            *waiting += 1;
        }
        state.bytes += soft.bytes();
        if state.soft.is_empty() {
            state.turns.push_back(Turn::Soft);
        }
        state.soft.push_back(soft);
        drop(state);
        self.filled.notify_one();
        true
    }

    fn add(&self, peer: PeerId, item: Item) {
        let mut state = self.lock();
        state.bytes += item.bytes;
        let Some(lane) = state.lanes.get_mut(&peer) else { return };
        lane.queue.push_back(item);
        if lane.queue.len() == 1 {
            state.turns.push_back(Turn::Peer(peer));
        }
        drop(state);
        self.filled.notify_one();
    }

    /// The next event, if there is one; a malformed message is skipped, and ends its link unless a newer version may know it.
    fn take(&self) -> Option<NetEvent> {
        loop {
            let turn = self.lock().turns.pop_front()?;
            let event = match turn {
                Turn::Peer(peer) => self.take_from(peer),
                Turn::Soft => self.take_soft(),
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn take_from(&self, peer: PeerId) -> Option<NetEvent> {
        let mut state = self.lock();
        let lane = state.lanes.get_mut(&peer)?;
        let item = lane.queue.pop_front()?;
        let (more, left) = (!lane.queue.is_empty(), lane.is_left());
        state.bytes -= item.bytes;
        if more {
            state.turns.push_back(Turn::Peer(peer));
        } else if left {
            state.lanes.remove(&peer);
        }
        drop(state);
        match item.word {
            Word::Event(event) => Some(*event),
            Word::Message(bytes, fault) => fault.decode(peer, &bytes, &self.shared),
        }
    }

    fn take_soft(&self) -> Option<NetEvent> {
        let mut state = self.lock();
        let soft = state.soft.pop_front()?;
        state.bytes -= soft.bytes();
        if let Soft::Gossip { origin, .. } = &soft {
            state.gossip_taken(*origin);
        }
        if !state.soft.is_empty() {
            state.turns.push_back(Turn::Soft);
        }
        drop(state);
        match soft {
            Soft::Event(event) => Some(*event),
            Soft::Gossip { origin, bytes } => match decode_gossip(&bytes) {
                Ok(gossip) => Some(NetEvent::Heard { origin, gossip }),
                Err(_) => {
                    self.shared.count_dropped();
                    None
                }
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn gossip_taken(&mut self, origin: PeerId) {
        let Some(waiting) = self.gossip.get_mut(&origin) else { return };
        *waiting -= 1;
        if *waiting == 0 {
            self.gossip.remove(&origin);
        }
    }
}

impl Lane {
    fn new() -> Self {
        let own = Arc::new(Semaphore::new(PEER_BYTES_MAX));
        let room = Room { own, kept: Arc::new(Semaphore::new(KEPT_BYTES)) };
        Self { queue: VecDeque::new(), room, doors: 0 }
    }

    fn is_left(&self) -> bool {
        self.doors == 0 && self.queue.is_empty()
    }
}

impl Soft {
    fn bytes(&self) -> usize {
        match self {
            Self::Event(_) => ITEM_BYTES + EVENT_BYTES,
            Self::Gossip { bytes, .. } => ITEM_BYTES + bytes.len(),
        }
    }
}

/// A link's entrance to the inbox.
pub(crate) struct Door {
    inbox: Arc<Inbox>,
    peer: PeerId,
    room: Room,
    fault: Arc<Fault>,
}

impl Door {
    /// Adds an event behind the peer's others; waits while too much of them waits.
    pub(crate) async fn tell(&self, event: NetEvent) -> Result<(), Unheard> {
        self.add(Word::Event(Box::new(event)), EVENT_BYTES).await
    }

    /// Adds an encoded message of the peer; waits while too much of this peer, or of all peers, waits.
    pub(crate) async fn deliver(&self, message: Vec<u8>) -> Result<(), Unheard> {
        let bytes = message.len();
        self.add(Word::Message(message, Arc::clone(&self.fault)), bytes).await
    }

    /// Adds an event that may be dropped. Returns whether there was room.
    pub(crate) fn hint(&self, event: NetEvent) -> bool {
        self.inbox.hint(event)
    }

    /// The peer said something that only a newer version knows.
    pub(crate) fn count_unknown(&self) {
        self.inbox.shared.count_unknown();
    }

    /// Completes, with the reason, once a malformed message was found.
    pub(crate) async fn faulty(&self) -> String {
        loop {
            if let Some(text) = self.fault.text.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                return text;
            }
            self.fault.told.notified().await;
        }
    }

    async fn add(&self, word: Word, bytes: usize) -> Result<(), Unheard> {
        let bytes = bytes + ITEM_BYTES;
        let _place = self.place(bytes).await?;
        self.inbox.add(self.peer, Item { word, bytes, _place });
        Ok(())
    }

    async fn place(&self, bytes: usize) -> Result<Place, Unheard> {
        let cost = u32::try_from(bytes.min(PEER_BYTES_MAX)).expect("the bound is far below");
        if self.inbox.lock().closed {
            return Err(Unheard);
        }
        if let Ok(own) = Arc::clone(&self.room.kept).try_acquire_many_owned(cost) {
            return Ok(Place { _own: own, _all: None });
        }
        let own = Arc::clone(&self.room.own).acquire_many_owned(cost).await.ok().ok_or(Unheard)?;
        let all = Arc::clone(&self.inbox.all).acquire_many_owned(cost).await.ok().ok_or(Unheard)?;
        Ok(Place { _own: own, _all: Some(all) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        let Some(lane) = state.lanes.get_mut(&self.peer) else { return };
        lane.doors -= 1;
        if lane.is_left() {
            state.lanes.remove(&self.peer);
        }
    }
}

#[cfg(test)]
mod tests;
