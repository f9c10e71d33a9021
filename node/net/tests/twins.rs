//! A copied data directory: two processes with one identity, seen by a third node that both connect to.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use common::{KEY, Node, config, story};
use weft_core::{CallId, Message};
use weft_net::{NetEvent, peer_id_of};

/// A seed whose id is smaller, or larger, than that of seed 1.
fn seed(smaller: bool) -> u8 {
    let third = peer_id_of(&[1; 32]);
    (2..).find(|seed| (peer_id_of(&[*seed; 32]) < third) == smaller).unwrap()
}

async fn are_reported_and_parted(smaller: bool) {
    let mut third = Node::member(1, &[]).await;
    let seed = seed(smaller);
    let mut first = Node::start(config(seed, 10, KEY, &third.address())).await;
    third.until_up(first.id).await;
    let mut second = Node::start(config(seed, 11, KEY, &third.address())).await;

    let text = third.until_trouble("identity").await.unwrap();
    assert!(
        text.contains("copied") && text.contains("identity.key") && text.contains(&first.id.short()),
        "{text}"
    );
    assert_eq!(text.matches("/ip4/127.0.0.1/tcp/").count(), 2, "both places are named: {text}");

    // Who is left out hears why; who is in stays.
    let reason = tokio::select! {
        reason = first.until_refused() => reason,
        reason = second.until_refused() => reason,
    };
    assert!(reason.contains("this node's identity"), "{reason}");
    let is_up = |node: &Node| node.net.connected() == [third.id];
    let (linked, other) = if is_up(&first) { (&mut first, &mut second) } else { (&mut second, &mut first) };
    third.net.send(linked.id, &Message::Withdraw(CallId(1)));
    assert_eq!(linked.until_received().await, (third.id, Message::Withdraw(CallId(1))));
    // By the time the other was refused a second time it has tried to come in more than once.
    let turns = third.seen.iter().filter(|event| matches!(event, NetEvent::Up { .. })).count();
    assert!(turns <= 2, "the third node was torn to and fro {turns} times");
    assert!(other.net.connected().is_empty());
}

#[test]
fn two_processes_of_a_smaller_id_are_reported_and_parted() {
    story(are_reported_and_parted(true));
}

#[test]
fn two_processes_of_a_larger_id_are_reported_and_parted() {
    story(are_reported_and_parted(false));
}

#[test]
fn when_the_one_that_is_in_ends_the_other_comes_in() {
    story(async {
        let mut third = Node::member(1, &[]).await;
        let seed = seed(true);
        let first = Node::start(config(seed, 10, KEY, &third.address())).await;
        third.until_up(first.id).await;
        let second = Node::start(config(seed, 11, KEY, &third.address())).await;
        assert_eq!(third.until_up(first.id).await, 11);
        third.until_trouble("identity").await.unwrap();
        drop(second);
        third.until_down(first.id).await;
        assert_eq!(third.until_up(first.id).await, 10);
    });
}
