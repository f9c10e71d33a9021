//! What only a node that breaks its own rules shows to others, and to itself.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;
use weft_core::CallId;

use super::*;
use crate::api::{ApiHead, ApiReply, ApiRequest};
use crate::blob::BlobSink;
use crate::config::Admission;
use crate::event::NetEvent;
use crate::fetch::FetchError;
use crate::versions::Versions;

const KEY: Admission = Admission::Key([42; 32]);
const DEADLINE: Duration = Duration::from_secs(30);
const ABSENT: BlobId = BlobId([9; 32]);

/// A store that holds nothing, and says so at once or when it may.
struct Empty(Option<Slow>);

struct Slow {
    /// Told when the store was asked.
    asked: Arc<Notify>,
    /// Closed when it may answer.
    may_answer: Mutex<mpsc::Receiver<()>>,
}

impl BlobStore for Empty {
    fn open(&self, _: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>> {
        if let Self(Some(slow)) = self {
            slow.asked.notify_one();
            let may_answer = slow.may_answer.lock().unwrap_or_else(PoisonError::into_inner);
            let _closed = may_answer.recv();
        }
        Ok(None)
    }

    fn create(&self, _: BlobId, _: u64) -> io::Result<Box<dyn BlobSink>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A node, with all that it was told.
struct Node {
    id: PeerId,
    net: Net,
    events: NetEvents,
    seen: Vec<NetEvent>,
}

impl Node {
    /// One that says `boot` in its hellos and `admitted` at admission, and runs `part` as a part of its adapter.
    async fn start(
        seed: u8,
        (boot, admitted): (u64, u64),
        peers: &[String],
        store: Empty,
        part: impl Future<Output = ()> + 'static,
    ) -> Self {
        let doorkeeper = Doorkeeper::new(names::peer_id_of(&[seed; 32]), admitted, KEY);
        Self::start_as(seed, boot, doorkeeper, peers, store, part).await
    }

    /// One that speaks these versions of the protocol.
    async fn speaking(seed: u8, versions: Versions, peers: &[String]) -> Self {
        let boot = u64::from(seed);
        let mut doorkeeper = Doorkeeper::new(names::peer_id_of(&[seed; 32]), boot, KEY);
        doorkeeper.versions = versions;
        Self::start_as(seed, boot, doorkeeper, peers, Empty(None), std::future::pending()).await
    }

    async fn start_as(
        seed: u8,
        boot: u64,
        doorkeeper: Doorkeeper,
        peers: &[String],
        store: Empty,
        part: impl Future<Output = ()> + 'static,
    ) -> Self {
        let identity = [seed; 32];
        let id = doorkeeper.me;
        let config = NetConfig {
            identity,
            boot,
            admission: KEY,
            listen: vec![String::from("127.0.0.1:0")],
            peers: peers.to_vec(),
            mdns: false,
            peers_file: None,
        };
        let (net, events) = start_with(config, Arc::new(store), doorkeeper, part).await.unwrap();
        Self { id, net, events, seen: Vec::new() }
    }

    async fn honest(seed: u8, peers: &[String]) -> Self {
        let boot = u64::from(seed);
        Self::start(seed, (boot, boot), peers, Empty(None), std::future::pending()).await
    }

    async fn until(&mut self, wanted: impl Fn(&NetEvent) -> bool) {
        let waiting = async {
            loop {
                let event = self.events.next().await.expect("the adapter has not broken");
                let found = wanted(&event);
                self.seen.push(event);
                if found {
                    return;
                }
            }
        };
        within(waiting).await;
    }

    async fn until_up(&mut self, who: PeerId) {
        self.until(|event| matches!(event, NetEvent::Up { peer, .. } if *peer == who)).await;
    }

    /// An honest node comes up here; the liar has not by then, and nothing is wrong with the network.
    async fn heard_nothing_of(&mut self, liar: &Self) {
        let carol = Self::honest(100, &self.net.listen_addresses()).await;
        self.until_up(carol.id).await;
        let of_liar = |event: &NetEvent| match event {
            NetEvent::Up { peer, .. } => *peer == liar.id,
            NetEvent::Trouble { .. } => true,
            NetEvent::Listening(_)
            | NetEvent::ListeningNoMore(_)
            | NetEvent::Down { .. }
            | NetEvent::Received { .. }
            | NetEvent::Heard { .. }
            | NetEvent::Rtt { .. }
            | NetEvent::Refused { .. }
            | NetEvent::SameIdentity { .. } => false,
        };
        assert!(!self.seen.iter().any(of_liar), "{:?}", self.seen);
        assert_eq!(self.net.connected(), [carol.id]);
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it happens within the deadline")
}

fn story(steps: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, steps);
}

/// A member says one boot nonce at admission and another one in its hello: compared with each other they look like two
/// processes, so like a copied data directory.
async fn a_liar_is_not_listened_to(smaller: bool) {
    let mut alice = Node::honest(1, &[]).await;
    let mut liar = liar_of(&alice, smaller, (7, 8)).await;
    for _ in 0..2 {
        // It takes its stream for a link, until the stream is dropped.
        liar.until_up(alice.id).await;
        liar.until(|event| matches!(event, NetEvent::Down { .. })).await;
    }
    alice.heard_nothing_of(&liar).await;
}

/// A member says 0 at admission, which means a nonce that is not known: any hello would do then.
async fn a_member_without_a_nonce_is_not_admitted(smaller: bool) {
    let mut alice = Node::honest(1, &[]).await;
    let liar = liar_of(&alice, smaller, (7, 0)).await;
    let is_told = |event: &NetEvent| matches!(event, NetEvent::Refused { reason, .. } if reason.contains("boot nonce is 0"));
    alice.until(is_told).await;
    alice.heard_nothing_of(&liar).await;
}

/// A member with an id smaller or larger than hers, which says the first nonce in its hellos and the second at admission.
async fn liar_of(alice: &Node, smaller: bool, nonces: (u64, u64)) -> Node {
    let seed = (2..).find(|seed| (names::peer_id_of(&[*seed; 32]) < alice.id) == smaller).unwrap();
    Node::start(seed, nonces, &alice.net.listen_addresses(), Empty(None), std::future::pending()).await
}

#[test]
fn a_member_of_a_smaller_id_cannot_pass_itself_off_as_two_processes() {
    story(a_liar_is_not_listened_to(true));
}

#[test]
fn a_member_of_a_larger_id_cannot_pass_itself_off_as_two_processes() {
    story(a_liar_is_not_listened_to(false));
}

#[test]
fn a_member_that_tells_no_boot_nonce_at_admission_is_refused() {
    story(a_member_without_a_nonce_is_not_admitted(true));
    story(a_member_without_a_nonce_is_not_admitted(false));
}

#[test]
fn a_panic_of_the_adapter_ends_the_events_and_answers_those_who_wait() {
    story(async {
        let (asked, (_held, may_answer)) = (Arc::new(Notify::new()), mpsc::channel());
        let slow = Empty(Some(Slow { asked: Arc::clone(&asked), may_answer: Mutex::new(may_answer) }));
        let mut bob = Node::start(2, (2, 2), &[], slow, std::future::pending()).await;
        let (panic, panicking) = oneshot::channel();
        let fault = async move {
            panicking.await.unwrap();
            panic!("a fault of the adapter");
        };
        let mut alice = Node::start(1, (1, 1), &bob.net.listen_addresses(), Empty(None), fault).await;
        let (one, two) = (alice.id, bob.id);
        tokio::join!(alice.until_up(two), bob.until_up(one));

        let providers = [two];
        let fetching = alice.net.fetch(ABSENT, &providers, None);
        let breaking = async {
            asked.notified().await;
            panic.send(()).unwrap();
            while alice.events.next().await.is_some() {}
        };
        let (fetched, ()) = within(async { tokio::join!(fetching, breaking) }).await;
        assert!(matches!(fetched, Err(FetchError::Failed { .. })), "{fetched:?}");
        // Who asks later is not left waiting either.
        assert!(within(alice.net.fetch(ABSENT, &providers, None)).await.is_err());
        within(alice.net.deliver(&[two])).await;
        assert!(alice.net.connected().is_empty());
        // The others see it go at once, as if its process had ended.
        bob.until(|event| matches!(event, NetEvent::Down { closed: true, .. })).await;
    });
}

#[test]
fn what_is_no_request_is_not_answered_and_the_next_one_is() {
    story(async {
        let mut alice = Node::honest(1, &[]).await;
        let mut bob = Node::honest(2, &alice.net.listen_addresses()).await;
        let (one, two) = (alice.id, bob.id);
        tokio::join!(alice.until_up(two), bob.until_up(one));
        let mut asked = alice.net.asked().unwrap();
        let name = names::to_libp2p(one).unwrap();
        let mut control = bob.net.asker.control.clone();
        // No frame, a frame that is too long, one of an answer, and half a request.
        let longest = u32::MAX.to_be_bytes();
        for wrong in [&[0, 0, 0, 1, 77][..], &longest, &[0, 0, 0, 1, 4], &[0, 0, 0, 9, 0, 1]] {
            let mut stream = control.open_stream(name, api::PROTOCOL).await.unwrap();
            stream.write_all(wrong).await.unwrap();
            stream.close().await.unwrap();
            let mut answered = Vec::new();
            // However the stream ends, nothing was said on it.
            drop(within(stream.read_to_end(&mut answered)).await);
            assert_eq!(answered, [], "{wrong:?}");
        }
        assert!(asked.try_recv().is_err());
        let asker = bob.net.asker();
        let request = ApiRequest { method: String::from("GET"), ..ApiRequest::default() };
        let asking = asker.ask(one, &request);
        let answering = async {
            let question = asked.recv().await.unwrap();
            assert_eq!((question.from, &question.request), (two, &request));
            let head = ApiHead { status: 204, headers: Vec::new() };
            drop(question.reply.send(ApiReply { head, body: Box::pin(futures::stream::empty()) }));
        };
        let (answer, ()) = within(async { tokio::join!(asking, answering) }).await;
        assert_eq!(answer.unwrap().head.status, 204);
    });
}

/// Nodes of this version, of the next one, and of the one after that: neighbours work with each other.
#[test]
fn a_version_and_the_next_one_work_in_one_mesh() {
    story(async {
        let mut old = Node::speaking(1, Versions::of(11, 11), &[]).await;
        let mut new = Node::speaking(2, Versions::of(11, 12), &old.net.listen_addresses()).await;
        let (one, two) = (old.id, new.id);
        tokio::join!(old.until_up(two), new.until_up(one));
        // What the old one does not know is not sent to it,
        new.net.shared.send(one, 12, NetFrame::Message(vec![200]).encode());
        assert_eq!((new.net.asker.unknown(), new.net.dropped()), (1, 0));
        // and if it is, that costs neither the link nor what comes behind it.
        new.net.shared.send(one, 11, NetFrame::Message(vec![200]).encode());
        new.net.shared.send(one, 11, vec![0, 0, 0, 1, 77]);
        let known = Message::Withdraw(CallId(7));
        new.net.send(one, &known);
        old.until(|event| *event == NetEvent::Received { from: two, message: known.clone() }).await;
        assert_eq!((old.net.asker.unknown(), old.net.dropped()), (2, 0));
        old.net.send(two, &known);
        new.until(|event| *event == NetEvent::Received { from: one, message: known.clone() }).await;
        let is_down = |event: &NetEvent| matches!(event, NetEvent::Down { .. });
        assert!(!old.seen.iter().chain(&new.seen).any(is_down), "{:?} {:?}", old.seen, new.seen);
    });
}

/// One of the same version that says something unknown breaks the protocol, as ever.
#[test]
fn what_a_node_of_the_same_version_says_must_be_known() {
    story(async {
        let mut alice = Node::honest(1, &[]).await;
        let mut bob = Node::honest(2, &alice.net.listen_addresses()).await;
        let (one, two) = (alice.id, bob.id);
        tokio::join!(alice.until_up(two), bob.until_up(one));
        bob.net.shared.send(one, 11, NetFrame::Message(vec![200]).encode());
        let broke = |event: &NetEvent| matches!(event, NetEvent::Down { reason, .. } if reason.contains("broke the protocol"));
        alice.until(broke).await;
        assert_eq!(alice.net.asker.unknown(), 0);
    });
}

#[test]
fn nodes_of_versions_further_apart_say_so_on_both_sides() {
    story(async {
        let mut old = Node::speaking(1, Versions::of(14, 14), &[]).await;
        let mut new = Node::speaking(2, Versions::of(15, 16), &old.net.listen_addresses()).await;
        let says = |text: &'static str| move |event: &NetEvent| matches!(event, NetEvent::Trouble { text: Some(said), .. } if said.ends_with(text));
        let this = "it speaks versions 15 to 16 of the protocol, this node version 14: only versions next to each other work in \
                    one mesh; upgrade this node";
        let other = "it speaks version 14 of the protocol, this node versions 15 to 16: only versions next to each other work \
                     in one mesh; upgrade the other one";
        tokio::join!(old.until(says(this)), new.until(says(other)));
        // One sentence each, however often they try.
        let tells = |event: &&NetEvent| matches!(event, NetEvent::Trouble { .. } | NetEvent::Refused { .. });
        let carol = Node::honest(100, &old.net.listen_addresses()).await;
        old.until_up(carol.id).await;
        assert_eq!(old.seen.iter().filter(tells).count(), 1, "{:?}", old.seen);
    });
}
