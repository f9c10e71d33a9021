//! Two nodes meet, talk, part and meet again.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use std::io::Write;
use std::time::Duration;

use common::{KEY, Node, config, duo, eventually, story};
use weft_core::message::{Capacity, Gossip, MESSAGE_BYTES_MAX};
use weft_core::{CallId, JobId, LeaseId, Message, PeerId};
use weft_net::{Admission, NetError, NetEvent, peer_id_of, start};

/// A message of about `bytes` bytes with a number in it.
fn message(number: u64, bytes: usize) -> Message {
    let lease = LeaseId { job: JobId(u64::MAX - number), epoch: 0, index: u32::MAX, attempt: u32::MAX };
    Message::Ack(vec![lease; (bytes / 19).max(1)])
}

fn is_up(event: &NetEvent) -> Option<bool> {
    match event {
        NetEvent::Up { .. } => Some(true),
        NetEvent::Down { .. } => Some(false),
        _ => None,
    }
}

fn assert_up_and_down_alternate(node: &Node) {
    let ups: Vec<_> = node.seen.iter().filter_map(is_up).collect();
    assert!(ups.iter().enumerate().all(|(i, up)| *up == (i % 2 == 0)), "{ups:?}");
}

#[test]
fn two_nodes_meet_by_address_and_talk_in_order() {
    story(async {
        let (mut alice, mut bob) = duo().await;
        for i in 0..100 {
            alice.net.send(bob.id, &Message::Withdraw(CallId(i)));
            bob.net.send(alice.id, &Message::Withdraw(CallId(1000 + i)));
        }
        for i in 0..100 {
            assert_eq!(bob.until_received().await, (alice.id, Message::Withdraw(CallId(i))));
            assert_eq!(alice.until_received().await, (bob.id, Message::Withdraw(CallId(1000 + i))));
        }
        assert_eq!(alice.net.connected(), [bob.id]);
        assert_eq!((alice.net.dropped(), bob.net.dropped()), (0, 0));
    });
}

#[test]
fn a_peer_is_found_by_its_host_name() {
    story(async {
        let alice = Node::member(1, &[]).await;
        let port = alice.address()[0].rsplit('/').next().unwrap().to_owned();
        let mut bob = Node::member(2, &[format!("localhost:{port}")]).await;
        bob.until_up(alice.id).await;
    });
}

#[test]
fn the_round_trip_is_measured() {
    story(async {
        let (mut alice, _bob) = duo().await;
        let rtt_us = alice.until(|e| match e {
            NetEvent::Rtt { rtt_us, .. } => Some(*rtt_us),
            _ => None,
        });
        assert!(rtt_us.await < 5_000_000);
    });
}

#[test]
fn ten_thousand_messages_both_ways_at_once_lose_nothing() {
    story(async {
        let (mut alice, mut bob) = duo().await;
        let began = std::time::Instant::now();
        for i in 0..10_000 {
            alice.net.send(bob.id, &message(i, 200));
            bob.net.send(alice.id, &message(i, 200));
        }
        let (a, b) = (alice.id, bob.id);
        let drain = async |node: &mut Node, from: PeerId| {
            for i in 0..10_000 {
                assert_eq!(node.until_received().await, (from, message(i, 200)));
            }
        };
        tokio::join!(drain(&mut alice, b), drain(&mut bob, a));
        assert_eq!((alice.net.dropped(), bob.net.dropped()), (0, 0));
        println!("20,000 messages in {:?}", began.elapsed());
    });
}

#[test]
fn the_longest_message_passes_and_a_longer_one_is_counted() {
    story(async {
        let (mut alice, mut bob) = duo().await;
        let long = message(1, 900_000);
        for _ in 0..8 {
            alice.net.send(bob.id, &long);
            bob.net.send(alice.id, &long);
        }
        for _ in 0..8 {
            assert_eq!(bob.until_received().await.1, long);
            assert_eq!(alice.until_received().await.1, long);
        }
        alice.net.send(bob.id, &message(1, 2 * MESSAGE_BYTES_MAX));
        assert_eq!(alice.net.dropped(), 1);
        alice.net.send(bob.id, &Message::Withdraw(CallId(7)));
        assert_eq!(bob.until_received().await.1, Message::Withdraw(CallId(7)));
    });
}

#[test]
fn what_has_nobody_to_go_to_is_counted() {
    story(async {
        let alice = Node::member(1, &[]).await;
        alice.net.send(peer_id_of(&[2; 32]), &Message::Withdraw(CallId(7)));
        assert_eq!(alice.net.dropped(), 1);
    });
}

#[test]
fn gossip_said_before_anybody_came_is_heard_by_who_comes() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let gossip = Gossip::Capacity(Capacity { slots: 7, ..Capacity::default() });
        alice.net.publish(&gossip);
        let mut bob = Node::member(2, &alice.address()).await;
        let heard = bob.until(|e| match e {
            NetEvent::Heard { origin, gossip } => Some((*origin, gossip.clone())),
            _ => None,
        });
        assert_eq!(heard.await, (alice.id, gossip));
        alice.until_up(bob.id).await;
    });
}

#[test]
fn another_key_is_refused_with_a_reason_on_both_sides() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let mut mallory = Node::start(config(2, 2, Admission::Key([13; 32]), &alice.address())).await;
        assert!(alice.until_refused().await.contains("another mesh"));
        assert!(mallory.until_refused().await.contains("another mesh"));
        assert!(alice.net.connected().is_empty());
    });
}

#[test]
fn no_key_meets_a_key_and_both_are_told() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let mut keyless = Node::start(config(2, 2, Admission::Loopback, &alice.address())).await;
        assert!(alice.until_refused().await.contains("holds no mesh key"));
        assert!(keyless.until_refused().await.contains("it holds a mesh key"));
    });
}

#[test]
fn a_retrying_outsider_is_told_of_once() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let mut mallory = Node::start(config(3, 3, Admission::Key([13; 32]), &alice.address())).await;
        mallory.until_refused().await;
        // By the time a member came in twice, the outsider has knocked again.
        for boot in 1..3 {
            let bob = Node::start(config(2, boot, KEY, &alice.address())).await;
            alice.until_up(bob.id).await;
            drop(bob);
            alice.until_down(peer_id_of(&[2; 32])).await;
        }
        let refusals = alice.seen.iter().filter(|e| matches!(e, NetEvent::Refused { .. })).count();
        assert_eq!(refusals, 1);
    });
}

#[test]
fn the_same_identity_elsewhere_is_told() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let mut copy = Node::start(config(1, 99, KEY, &alice.address())).await;
        let told = |e: &NetEvent| matches!(e, NetEvent::SameIdentity { .. }).then_some(());
        alice.until(told).await;
        copy.until(told).await;
        assert!(alice.net.connected().is_empty());
    });
}

#[test]
fn a_node_does_not_mind_its_own_address() {
    story(async {
        let alice = Node::member(1, &[]).await;
        let address = alice.address();
        drop(alice);
        let port = address.first().unwrap().rsplit('/').next().unwrap().to_string();
        let mut itself = config(1, 1, KEY, &address);
        itself.listen = vec![format!("127.0.0.1:{port}")];
        let mut alice = Node::start(retrying(itself).await).await;
        let bob = Node::member(2, &alice.address()).await;
        alice.until_up(bob.id).await;
        assert!(
            !alice.seen.iter().any(|e| matches!(e, NetEvent::Refused { .. } | NetEvent::SameIdentity { .. }))
        );
    });
}

/// Waits until the port of a config is free: a dropped node closes it when its tasks are next polled.
async fn retrying(config: weft_net::NetConfig) -> weft_net::NetConfig {
    let address = config.listen.first().unwrap().clone();
    let free = async {
        while std::net::TcpListener::bind(&address).is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.unwrap();
    config
}

#[test]
fn a_taken_port_is_named() {
    story(async {
        let alice = Node::member(1, &[]).await;
        let port = alice.address().first().unwrap().rsplit('/').next().unwrap().to_string();
        let mut second = config(2, 2, KEY, &[]);
        second.listen = vec![format!("127.0.0.1:{port}")];
        let error = start(second, alice.store.clone()).await.unwrap_err();
        assert!(matches!(error, NetError::Listen { .. }));
        assert!(error.to_string().contains(&port) && error.to_string().contains("--listen"), "{error}");
    });
}

#[test]
fn garbage_on_the_port_hurts_nobody() {
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let multiaddr = alice.address().first().unwrap().clone();
        let port: u16 = multiaddr.rsplit('/').next().unwrap().parse().unwrap();
        let mut clients = Vec::new();
        for i in 0..40u8 {
            let mut client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            client.write_all(&[i.wrapping_mul(37); 3000]).unwrap();
            clients.push(client);
        }
        let mut bob = Node::member(2, &alice.address()).await;
        bob.until_up(alice.id).await;
        alice.until_up(bob.id).await;
    });
}

#[test]
fn a_restarted_peer_goes_down_and_comes_up_with_its_new_nonce() {
    story(async {
        let (mut alice, bob) = duo().await;
        let bob_id = bob.id;
        drop(bob);
        let mut bob = Node::start(config(2, 77, KEY, &alice.address())).await;
        alice.until_down(bob_id).await;
        assert_eq!(alice.until_up(bob_id).await, 77);
        bob.until_up(alice.id).await;
        alice.net.send(bob.id, &Message::Withdraw(CallId(1)));
        bob.until_received().await;
        bob.net.send(alice.id, &Message::Withdraw(CallId(2)));
        alice.until_received().await;
        // And gossip flows both ways again.
        let gossip = Gossip::Capacity(Capacity::default());
        alice.net.publish(&gossip);
        bob.net.publish(&gossip);
        let heard = |e: &NetEvent| matches!(e, NetEvent::Heard { .. }).then_some(());
        bob.until(heard).await;
        alice.until(heard).await;
        assert_up_and_down_alternate(&alice);
    });
}

#[test]
fn a_second_process_with_a_peers_identity_replaces_the_first() {
    story(async {
        // What a restart looks like while the old connection still seems alive.
        let (mut alice, _bob) = duo().await;
        let again = Node::start(config(2, 78, KEY, &alice.address())).await;
        alice.until_down(again.id).await;
        alice.until_up(again.id).await;
        assert_up_and_down_alternate(&alice);
    });
}

#[test]
fn remembered_peers_are_found_again_without_being_named() {
    story(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers");
        let mut alice = Node::member(1, &[]).await;
        let mut first = config(2, 2, KEY, &alice.address());
        first.peers_file = Some(path.clone());
        let mut bob = Node::start(first).await;
        bob.until_up(alice.id).await;
        eventually(|| path.exists().then_some(())).await;
        // Or he might leave before she has seen him.
        alice.until_up(peer_id_of(&[2; 32])).await;
        drop(bob);
        alice.until_down(peer_id_of(&[2; 32])).await;
        let mut second = config(2, 3, KEY, &[]);
        second.peers_file = Some(path.clone());
        let mut bob = Node::start(second).await;
        bob.until_up(alice.id).await;
    });
}

#[test]
fn a_dropped_node_closes_its_port_and_its_connections() {
    story(async {
        let (mut alice, bob) = duo().await;
        let port: u16 = bob.address().first().unwrap().rsplit('/').next().unwrap().parse().unwrap();
        drop(bob);
        alice.until_down(peer_id_of(&[2; 32])).await;
        let closed = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    });
}

#[test]
fn a_peer_that_stands_still_goes_down_and_comes_back() {
    let (say, heard) = std::sync::mpsc::channel();
    let (wake, woken) = std::sync::mpsc::channel::<()>();
    let (leave, left) = tokio::sync::oneshot::channel::<()>();
    story(async {
        let mut alice = Node::member(1, &[]).await;
        let address = alice.address();
        let bob = std::thread::spawn(move || {
            story(async {
                let mut bob = Node::member(2, &address).await;
                bob.until_up(peer_id_of(&[1; 32])).await;
                say.send(()).unwrap();
                // The whole thread blocks, as a stopped process does.
                woken.recv().unwrap();
                bob.until_up(peer_id_of(&[1; 32])).await;
                // Alice may be up for Bob a moment before he is up for her.
                left.await.unwrap();
            });
        });
        let bob_id = peer_id_of(&[2; 32]);
        alice.until_up(bob_id).await;
        heard.recv().unwrap();
        let reason = alice.until_down(bob_id).await;
        assert!(reason.contains("silent"), "{reason}");
        wake.send(()).unwrap();
        alice.until_up(bob_id).await;
        leave.send(()).unwrap();
        bob.join().unwrap();
        assert_up_and_down_alternate(&alice);
    });
}
