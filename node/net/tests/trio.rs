//! Three nodes: finding one another through others.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use common::{Node, story};
use weft_core::message::{Capacity, Gossip};
use weft_net::{NetEvent, peer_id_of};

#[test]
fn who_knows_one_member_comes_to_know_all() {
    story(async {
        let mut bob = Node::member(2, &[]).await;
        let mut alice = Node::member(1, &bob.address()).await;
        alice.until_up(bob.id).await;
        let mut carol = Node::member(3, &bob.address()).await;
        tokio::join!(
            alice.until_up(peer_id_of(&[3; 32])),
            carol.until_up(peer_id_of(&[1; 32])),
            bob.until_up(peer_id_of(&[3; 32]))
        );
        let gossip = Gossip::Capacity(Capacity { slots: 3, ..Capacity::default() });
        carol.net.publish(&gossip);
        for node in [&mut alice, &mut bob] {
            let heard = node.until(|e| match e {
                NetEvent::Heard { origin, gossip } => Some((*origin, gossip.clone())),
                _ => None,
            });
            assert_eq!(heard.await, (carol.id, gossip.clone()));
        }
        assert_eq!(carol.net.connected().len(), 2);
    });
}
