//! Nodes over real loopback TCP inside one process, and a store in memory.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_in_result,
    reason = "each test file uses its part of it"
)]

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::LocalSet;
use weft_core::{BlobId, Message, PeerId};
use weft_net::{Admission, BlobSink, BlobStore, Net, NetConfig, NetEvent, NetEvents, peer_id_of, start};

pub const KEY: Admission = Admission::Key([42; 32]);
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs a story as a node runs: one thread, one local set.
pub fn story(steps: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, steps);
}

/// A node and its events that were not taken yet.
pub struct Node {
    pub id: PeerId,
    pub net: Net,
    pub store: Arc<Store>,
    events: NetEvents,
    pub seen: Vec<NetEvent>,
}

pub fn config(seed: u8, boot: u64, admission: Admission, peers: &[String]) -> NetConfig {
    NetConfig {
        identity: [seed; 32],
        boot,
        admission,
        listen: vec![String::from("127.0.0.1:0")],
        peers: peers.to_vec(),
        mdns: false,
        peers_file: None,
    }
}

impl Node {
    pub async fn start(config: NetConfig) -> Self {
        let store = Arc::new(Store::default());
        let id = peer_id_of(&config.identity);
        let (net, events) = start(config, Arc::<Store>::clone(&store)).await.unwrap();
        Self { id, net, store, events, seen: Vec::new() }
    }

    pub async fn member(seed: u8, peers: &[String]) -> Self {
        Self::start(config(seed, u64::from(seed), KEY, peers)).await
    }

    pub fn address(&self) -> Vec<String> {
        self.net.listen_addresses()
    }

    /// What waits to be asked for, in bytes.
    pub fn waiting_bytes(&self) -> usize {
        self.events.waiting_bytes()
    }

    /// Waits for what is heard of trouble with something whose name holds this word.
    pub async fn until_trouble(&mut self, word: &str) -> Option<String> {
        self.until(|event| match event {
            NetEvent::Trouble { about, text } if about.contains(word) => Some(text.clone()),
            _ => None,
        })
        .await
    }

    pub async fn next(&mut self) -> NetEvent {
        let event = tokio::time::timeout(DEADLINE, self.events.next()).await;
        event
            .unwrap_or_else(|_| panic!("nothing happened; seen: {:?}", self.seen))
            .expect("the adapter has not broken")
    }

    /// Waits for an event that `pick` picks; the others are kept in `seen`.
    pub async fn until<T>(&mut self, mut pick: impl FnMut(&NetEvent) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let event = self.events.next().await;
                let event = event.expect("the adapter has not broken");
                let picked = pick(&event);
                self.seen.push(event);
                if let Some(picked) = picked {
                    return picked;
                }
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        waited.unwrap_or_else(|_| panic!("it did not happen"))
    }

    /// Waits until that peer is up; returns its boot nonce.
    pub async fn until_up(&mut self, wanted: PeerId) -> u64 {
        self.until(|event| match event {
            NetEvent::Up { peer, boot, .. } if *peer == wanted => Some(*boot),
            _ => None,
        })
        .await
    }

    pub async fn until_down(&mut self, wanted: PeerId) -> String {
        self.until(|event| match event {
            NetEvent::Down { peer, reason, .. } if *peer == wanted => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub async fn until_refused(&mut self) -> String {
        self.until(|event| match event {
            NetEvent::Refused { reason, .. } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    pub async fn until_received(&mut self) -> (PeerId, Message) {
        self.until(|event| match event {
            NetEvent::Received { from, message } => Some((*from, message.clone())),
            _ => None,
        })
        .await
    }
}

/// Looks again and again until there is something to see.
pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("it did not happen"))
}

/// Two members that are up for each other; the first listens, the second dialled.
pub async fn duo() -> (Node, Node) {
    let mut alice = Node::member(1, &[]).await;
    let mut bob = Node::member(2, &alice.address()).await;
    tokio::join!(alice.until_up(peer_id_of(&[2; 32])), bob.until_up(peer_id_of(&[1; 32])));
    (alice, bob)
}

/// Blobs in memory.
#[derive(Default)]
pub struct Store {
    blobs: Arc<Mutex<BTreeMap<BlobId, Arc<[u8]>>>>,
    /// What becomes of the next blob that comes in; 0 lets it.
    trouble: AtomicU8,
}

/// A store that panics.
pub const PANICS: u8 = 1;
/// A disk that is full once the bytes are there.
pub const FULL: u8 = 2;

impl Store {
    pub fn have_trouble(&self, trouble: u8) {
        self.trouble.store(trouble, Ordering::Relaxed);
    }

    pub fn put(&self, bytes: &[u8]) -> BlobId {
        let id = BlobId::of(bytes);
        self.put_as(id, bytes);
        id
    }

    /// For liars.
    pub fn put_as(&self, id: BlobId, bytes: &[u8]) {
        self.blobs.lock().unwrap().insert(id, Arc::from(bytes));
    }

    pub fn get(&self, id: BlobId) -> Option<Arc<[u8]>> {
        self.blobs.lock().unwrap().get(&id).cloned()
    }
}

impl BlobStore for Store {
    fn open(&self, id: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>> {
        let reader =
            |bytes: Arc<[u8]>| (bytes.len() as u64, Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>);
        Ok(self.get(id).map(reader))
    }

    fn create(&self, id: BlobId, bytes: u64) -> io::Result<Box<dyn BlobSink>> {
        let trouble = self.trouble.swap(0, Ordering::Relaxed);
        Ok(Box::new(Sink { id, wanted: bytes, bytes: Vec::new(), blobs: Arc::clone(&self.blobs), trouble }))
    }
}

struct Sink {
    id: BlobId,
    wanted: u64,
    bytes: Vec<u8>,
    blobs: Arc<Mutex<BTreeMap<BlobId, Arc<[u8]>>>>,
    trouble: u8,
}

impl BlobSink for Sink {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        assert_ne!(self.trouble, PANICS, "a fault of the store");
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        if self.trouble == FULL {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.bytes.len() as u64 != self.wanted || BlobId::of(&self.bytes) != self.id {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "hash mismatch"));
        }
        let mut blobs = self.blobs.lock().expect("nobody panics with the lock");
        blobs.insert(self.id, Arc::from(self.bytes));
        Ok(())
    }
}
