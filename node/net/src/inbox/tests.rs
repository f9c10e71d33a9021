//! Tests of the inbox: bounds, turns and order.

use futures::FutureExt;
use weft_core::codec::encode_message;
use weft_core::message::MESSAGE_BYTES_MAX;
use weft_core::{CallId, Message};

use super::*;

const ALICE: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);

fn inbox() -> (Arc<Inbox>, NetEvents) {
    let inbox = Inbox::new(Arc::default());
    (Arc::clone(&inbox), NetEvents::new(inbox))
}

fn door(inbox: &Arc<Inbox>, peer: PeerId) -> Door {
    inbox.door(peer, Spoken::LEAST)
}

fn word(number: u64) -> Message {
    Message::Withdraw(CallId(number))
}

fn down(peer: PeerId) -> NetEvent {
    NetEvent::Down { peer, reason: String::new(), closed: false }
}

/// Delivers until the door makes its peer wait; returns the number of bytes.
fn fill(door: &Door, message: &[u8]) -> usize {
    let mut bytes = 0;
    while let Some(done) = door.deliver(message.to_vec()).now_or_never() {
        done.unwrap();
        bytes += message.len() + ITEM_BYTES;
    }
    bytes
}

fn taken(events: &mut NetEvents) -> Option<NetEvent> {
    events.next().now_or_never().flatten()
}

#[test]
fn one_peer_fills_its_own_room_and_no_more() {
    for bytes in [0, 1 << 10, MESSAGE_BYTES_MAX] {
        let (inbox, events) = inbox();
        let alice = door(&inbox, ALICE);
        let filled = fill(&alice, &vec![0; bytes]);
        assert_eq!(filled, events.waiting_bytes());
        assert!(filled <= PEER_BYTES_MAX + KEPT_BYTES, "{bytes}: {filled}");
        assert!(filled >= PEER_BYTES_MAX / 2, "{bytes}: {filled}");
    }
}

#[test]
fn all_together_are_bounded_and_a_quiet_peer_is_heard_all_the_same() {
    let (inbox, mut events) = inbox();
    let doors: Vec<_> = (10..60).map(|name| door(&inbox, PeerId([name; 32]))).collect();
    let filled: usize = doors.iter().map(|door| fill(door, &vec![0; 100_000])).sum();
    assert!(filled <= ALL_BYTES_MAX + doors.len() * KEPT_BYTES, "{filled}");
    let bob = door(&inbox, BOB);
    bob.deliver(encode_message(&word(7))).now_or_never().expect("there is room for it").unwrap();
    let heard = std::iter::from_fn(|| taken(&mut events)).take(doors.len() + 1);
    assert!(heard.into_iter().any(|event| event == NetEvent::Received { from: BOB, message: word(7) }));
}

#[test]
fn peers_take_turns_and_each_keeps_its_order() {
    let (inbox, mut events) = inbox();
    let (alice, bob) = (door(&inbox, ALICE), door(&inbox, BOB));
    for number in 0..100 {
        alice.deliver(encode_message(&word(number))).now_or_never().unwrap().unwrap();
    }
    alice.tell(down(ALICE)).now_or_never().unwrap().unwrap();
    for number in 0..3 {
        bob.deliver(encode_message(&word(number))).now_or_never().unwrap().unwrap();
    }
    let heard: Vec<_> = std::iter::from_fn(|| taken(&mut events)).collect();
    assert_eq!(heard.len(), 104);
    for number in 0..3 {
        let place = usize::try_from(number).unwrap() * 2 + 1;
        assert_eq!(heard[place], NetEvent::Received { from: BOB, message: word(number) });
    }
    let alices: Vec<_> =
        heard.into_iter().filter(|e| !matches!(e, NetEvent::Received { from: BOB, .. })).collect();
    for (number, event) in (0..).zip(&alices[..100]) {
        assert_eq!(*event, NetEvent::Received { from: ALICE, message: word(number) });
    }
    assert_eq!(alices[100], down(ALICE));
}

#[test]
fn room_comes_back_as_the_loop_takes() {
    let (inbox, mut events) = inbox();
    let alice = door(&inbox, ALICE);
    let message = encode_message(&word(1));
    for _ in 0..3 {
        let filled = fill(&alice, &message);
        assert!(filled > 0);
        while taken(&mut events).is_some() {}
        assert_eq!(events.waiting_bytes(), 0);
    }
    drop(alice);
    assert!(inbox.lock().lanes.is_empty(), "a peer that is gone leaves nothing");
}

#[test]
fn what_is_no_word_costs_its_link_and_nothing_behind_it_counts() {
    let (inbox, mut events) = inbox();
    let alice = door(&inbox, ALICE);
    for message in [encode_message(&word(1)), vec![255; 40], encode_message(&word(2))] {
        alice.deliver(message).now_or_never().unwrap().unwrap();
    }
    assert!(alice.faulty().now_or_never().is_none(), "nothing was looked at yet");
    assert_eq!(taken(&mut events), Some(NetEvent::Received { from: ALICE, message: word(1) }));
    assert_eq!(taken(&mut events), None);
    assert!(alice.faulty().now_or_never().is_some());
    // The next link to the same peer starts clean.
    let again = door(&inbox, ALICE);
    again.deliver(encode_message(&word(3))).now_or_never().unwrap().unwrap();
    assert_eq!(taken(&mut events), Some(NetEvent::Received { from: ALICE, message: word(3) }));
}

#[test]
fn what_a_newer_version_says_is_dropped_with_a_count_and_the_rest_is_heard() {
    let (inbox, mut events) = inbox();
    let alice = inbox.door(ALICE, Spoken { is_newer: true, ..Spoken::LEAST });
    let mut longer = encode_message(&word(2));
    longer.push(0);
    for message in [encode_message(&word(1)), vec![200; 40], longer, encode_message(&word(3))] {
        alice.deliver(message).now_or_never().unwrap().unwrap();
    }
    let heard: Vec<_> = std::iter::from_fn(|| taken(&mut events)).collect();
    assert_eq!(heard, [1, 3].map(|number| NetEvent::Received { from: ALICE, message: word(number) }));
    assert!(alice.faulty().now_or_never().is_none());
    assert_eq!((inbox.shared.unknown(), inbox.shared.dropped()), (2, 0));
}

#[test]
fn gossip_is_bounded_and_one_origin_leaves_room_for_the_others() {
    let (inbox, mut events) = inbox();
    for _ in 0..10_000 {
        inbox.hear(ALICE, vec![0; 4096]);
    }
    assert!(events.waiting_bytes() <= usize::try_from(GOSSIP_MAX).unwrap() * (4096 + ITEM_BYTES));
    assert!(inbox.hint(NetEvent::Listening(String::from("here"))));
    let mut heard = std::iter::from_fn(|| taken(&mut events));
    assert!(heard.any(|event| matches!(event, NetEvent::Listening(_))));
    for name in 0..=255 {
        (0..GOSSIP_MAX).for_each(|_| inbox.hear(PeerId([name; 32]), vec![0; 4096]));
    }
    assert!(events.waiting_bytes() <= SOFT_MAX * (4096 + ITEM_BYTES));
}

#[test]
fn nobody_waits_for_a_loop_that_is_gone() {
    let (inbox, events) = inbox();
    let alice = door(&inbox, ALICE);
    fill(&alice, &[0; 1000]);
    let mut waiting = std::pin::pin!(alice.deliver(vec![0; 1000]));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(events);
    assert_eq!(waiting.now_or_never(), Some(Err(Unheard)));
    assert_eq!(door(&inbox, BOB).tell(down(BOB)).now_or_never(), Some(Err(Unheard)));
}
