//! Blobs between nodes.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "a test may panic")]

mod common;

use common::{FULL, Node, PANICS, duo, story};
use weft_core::BlobId;
use weft_net::{Fault, FetchError, peer_id_of};

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect()
}

fn faults(error: FetchError) -> Vec<Fault> {
    match error {
        FetchError::Failed { faults, .. } => faults.into_iter().map(|(_, fault)| fault).collect(),
        FetchError::Store(error) => panic!("{error}"),
    }
}

#[test]
fn twenty_mebibytes_arrive_as_they_are() {
    story(async {
        let (alice, bob) = duo().await;
        let blob = bytes(20 << 20);
        let id = alice.store.put(&blob);
        let began = std::time::Instant::now();
        assert_eq!(bob.net.fetch(id, &[alice.id], None).await.unwrap(), 20 << 20);
        println!("20 MiB in {:?}", began.elapsed());
        assert_eq!(bob.store.get(id).unwrap()[..], blob[..]);
        // The second time it is here.
        assert_eq!(bob.net.fetch(id, &[], None).await.unwrap(), 20 << 20);
    });
}

#[test]
fn an_empty_blob_and_many_at_once_arrive() {
    story(async {
        let (alice, bob) = duo().await;
        let ids: Vec<_> = (0..100).map(|i| alice.store.put(&bytes(i * 1000))).collect();
        let fetches = ids.iter().map(|id| async { bob.net.fetch(*id, &[alice.id], None).await.unwrap() });
        let lengths = futures::future::join_all(fetches).await;
        assert!(lengths.iter().enumerate().all(|(i, length)| *length == i as u64 * 1000));
    });
}

#[test]
fn what_is_not_the_blob_is_refused_and_the_next_is_asked() {
    story(async {
        let (mut alice, bob) = duo().await;
        let mut carol = Node::member(3, &alice.address()).await;
        let blob = bytes(1 << 20);
        let id = BlobId::of(&blob);
        carol.until_up(alice.id).await;
        carol.until_up(bob.id).await;
        alice.until_up(carol.id).await;
        bob.store.put_as(id, &bytes((1 << 20) - 1));
        let error = carol.net.fetch(id, &[bob.id], None).await.unwrap_err();
        assert!(matches!(faults(error).first(), Some(Fault::Wrong(_))));
        assert!(carol.store.get(id).is_none());
        // A node that knows the length detects the lie at once.
        let error = carol.net.fetch(id, &[bob.id], Some(1 << 20)).await.unwrap_err();
        assert!(matches!(faults(error).first(), Some(Fault::OtherLength { known: 1_048_576, .. })));
        alice.store.put(&blob);
        carol.net.fetch(id, &[bob.id, alice.id], None).await.unwrap();
        assert_eq!(carol.store.get(id).unwrap()[..], blob[..]);
    });
}

#[test]
fn a_store_that_panics_or_is_full_is_this_nodes_own_fault_and_ends_the_fetch() {
    story(async {
        let (alice, bob) = duo().await;
        let blob = bytes(1 << 20);
        let id = alice.store.put(&blob);
        for trouble in [PANICS, FULL] {
            bob.store.have_trouble(trouble);
            let error = bob.net.fetch(id, &[alice.id], Some(1 << 20)).await.unwrap_err();
            assert!(matches!(error, FetchError::Store(_)), "{error}");
            assert!(error.is_ours(Some(1 << 20)) && !error.is_wrong());
        }
        // The store works again, and so does everything else.
        assert_eq!(bob.net.fetch(id, &[alice.id], None).await.unwrap(), 1 << 20);
    });
}

#[test]
fn whose_fault_a_fetch_was_follows_from_what_each_provider_did() {
    let failed = |fault| FetchError::Failed {
        blob: BlobId::of(b"x"),
        faults: vec![(peer_id_of(&[1; 32]), Fault::NotFound), (peer_id_of(&[2; 32]), fault)],
    };
    let wrong = failed(Fault::OtherLength { bytes: 1, known: 2 });
    assert!(wrong.is_wrong() && !wrong.is_ours(Some(2)));
    let missing = failed(Fault::Stalled);
    assert!(!missing.is_wrong() && !missing.is_ours(Some(2)));
    let no_room = failed(Fault::NoRoom { bytes: 2 });
    assert!(no_room.is_ours(Some(2)), "it is as long as was said before, and has no room here");
    assert!(!no_room.is_ours(None), "only the provider says how long it is");
}

#[test]
fn a_blob_that_nobody_has_names_who_was_asked() {
    story(async {
        let (alice, bob) = duo().await;
        let id = BlobId::of(b"nowhere");
        let stranger = peer_id_of(&[9; 32]);
        let error = bob.net.fetch(id, &[stranger, alice.id], None).await.unwrap_err();
        assert_eq!(faults(error), [Fault::NotConnected, Fault::NotFound]);
    });
}

#[test]
fn a_provider_out_of_reach_is_reached_through_another_node() {
    story(async {
        // Bob knows all nodes; a newcomer asks before it has met alice, so that bob must fetch for it. If alice
        // is quicker for once, the next newcomer tries.
        let alice = Node::member(1, &[]).await;
        let mut bob = Node::member(2, &alice.address()).await;
        bob.until_up(alice.id).await;
        let blob = bytes(3 << 20);
        let id = alice.store.put(&blob);
        for seed in 3..20 {
            let mut carol = Node::member(seed, &bob.address()).await;
            carol.until_up(bob.id).await;
            assert_eq!(carol.net.fetch(id, &[alice.id], None).await.unwrap(), 3 << 20);
            assert_eq!(carol.store.get(id).unwrap()[..], blob[..]);
            if bob.store.get(id).is_some() {
                return;
            }
        }
        panic!("bob was never asked");
    });
}
