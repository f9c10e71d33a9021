//! Tests of the address book: contents, addresses and times of dials.

use super::*;

const ALICE: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);

fn due(book: &mut Book, now: Instant) -> Vec<Dial> {
    book.due(now, usize::MAX)
}

fn at(port: u16) -> Multiaddr {
    crate::address::multiaddr_of(([127, 0, 0, 1], port).into())
}

#[test]
fn the_smaller_id_dials_at_once_and_the_larger_waits() {
    let now = Instant::now();
    let mut alice = Book::new(ALICE, vec![], now);
    alice.learn(BOB, &at(1), Source::Other, now);
    assert_eq!(due(&mut alice, now), [Dial::Peer(BOB, vec![at(1)])]);
    let mut bob = Book::new(BOB, vec![], now);
    bob.learn(ALICE, &at(2), Source::Other, now);
    assert_eq!(due(&mut bob, now), []);
    assert_eq!(due(&mut bob, now + COURTESY), [Dial::Peer(ALICE, vec![at(2)])]);
}

#[test]
fn the_first_dial_of_a_peer_with_addresses_of_both_families_is_over_ipv4_alone() {
    let mut now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    let ipv6 = crate::address::multiaddr_of("[2001:db8::1]:7117".parse().unwrap());
    book.learn(BOB, &at(1), Source::Multicast, now);
    book.learn(BOB, &ipv6, Source::Multicast, now);
    let first = Dial::Peer(BOB, vec![at(1)]);
    assert_eq!(due(&mut book, now), std::slice::from_ref(&first));
    book.dialled(&first, false, now);
    now += BACKOFF_MIN;
    assert_eq!(due(&mut book, now), [Dial::Peer(BOB, vec![ipv6, at(1)])], "and the next one over both");
}

#[test]
fn a_configured_address_is_tried_for_ever_with_growing_pauses() {
    let mut now = Instant::now();
    let mut book = Book::new(ALICE, vec![at(1)], now);
    let dial = Dial::Target(at(1));
    let mut pause = Duration::ZERO;
    for _ in 0..100 {
        now += pause;
        assert_eq!(due(&mut book, now), std::slice::from_ref(&dial));
        assert_eq!(due(&mut book, now), [], "one at a time");
        book.dialled(&dial, false, now);
        pause = (pause * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        assert_eq!(due(&mut book, now + pause - Duration::from_millis(1)), []);
    }
    assert_eq!(pause, BACKOFF_MAX);
}

#[test]
fn a_configured_address_rests_while_its_peer_is_connected() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![at(1)], now);
    let dials = due(&mut book, now);
    book.dialled(&dials[0], true, now);
    book.connected(BOB, Some(&at(1)), now);
    assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
    book.disconnected(BOB, now);
    assert_eq!(due(&mut book, now), []);
    assert_eq!(due(&mut book, now + BACKOFF_MIN), [Dial::Target(at(1))]);
}

#[test]
fn ones_own_addresses_are_never_dialled() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![at(1)], now);
    book.learn(BOB, &at(1), Source::Other, now);
    book.is_own(&at(1));
    book.learn(BOB, &at(1), Source::Other, now);
    book.learn(ALICE, &at(2), Source::Other, now);
    assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
}

#[test]
fn a_peer_that_is_gone_can_be_forgotten_and_one_that_is_here_cannot() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    book.connected(BOB, Some(&at(1)), now);
    book.up(BOB, now);
    assert!(!book.forget(BOB));
    book.disconnected(BOB, now);
    assert!(book.forget(BOB));
    assert_eq!(due(&mut book, now + BACKOFF_MAX), []);
    assert_eq!(book.memorable(10), []);
}

#[test]
fn the_book_is_bounded_and_keeps_whom_it_knows() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    book.connected(BOB, Some(&at(1)), now);
    book.up(BOB, now);
    for i in 0..2000u32 {
        let mut name = [9; 32];
        name[..4].copy_from_slice(&i.to_be_bytes());
        book.learn(PeerId(name), &at(2), Source::Other, now);
        for dial in due(&mut book, now) {
            book.dialled(&dial, false, now);
        }
    }
    assert!(book.peers.len() <= PEERS_MAX);
    for port in 0..100 {
        book.learn(BOB, &at(port), Source::Other, now);
    }
    assert_eq!(book.addresses(BOB).len(), 5);
    assert_eq!(book.memorable(10).len(), 1);
}
#[test]
fn a_member_that_went_is_dialled_before_any_number_of_strangers() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    book.connected(BOB, Some(&at(1)), now);
    book.up(BOB, now);
    for i in 0..300u32 {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&i.to_be_bytes());
        book.learn(PeerId(name), &at(2), Source::Other, now);
    }
    book.disconnected(BOB, now);
    let later = now + BACKOFF_MAX;
    assert_eq!(book.due(later, 1), [Dial::Peer(BOB, vec![at(1)])]);
}

#[test]
fn an_address_that_is_ones_own_no_more_is_dialled_again() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![at(1)], now);
    book.is_own(&at(1));
    assert_eq!(due(&mut book, now), []);
    book.is_own_no_more(&at(1));
    assert_eq!(due(&mut book, now), [Dial::Target(at(1))]);
}

#[test]
fn ones_own_identity_elsewhere_is_looked_at_once_a_minute() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    book.is_own(&at(1));
    (0..3).for_each(|_| book.probe(&at(1), now));
    assert_eq!(due(&mut book, now), []);
    for later in [now, now + PROBE_EVERY] {
        (0..3).for_each(|_| book.probe(&at(2), later));
        assert_eq!(due(&mut book, later), [Dial::Target(at(2))]);
        assert_eq!(due(&mut book, later), []);
    }
    (0..1000).for_each(|port| book.probe(&at(port), now));
    assert_eq!(book.probes.len(), PROBES_MAX);
}

#[test]
fn the_address_that_worked_outlives_what_its_peer_tells() {
    let now = Instant::now();
    let mut book = Book::new(ALICE, vec![], now);
    book.learn(BOB, &at(1), Source::Multicast, now);
    book.connected(BOB, Some(&at(2)), now);
    let told: Vec<_> = (10..30).map(at).collect();
    book.replace(BOB, &told, now);
    book.up(BOB, now);
    assert_eq!(book.addresses(BOB)[..2], [at(2), at(1)]);
    assert_eq!(book.memorable(1)[0].1[0], at(2));
    book.disconnected(BOB, now);
    book.expire(now + Duration::from_secs(600));
    assert_eq!(book.addresses(BOB)[..2], [at(2), at(1)], "a member's are kept");
}
