//! Two doorkeepers over an in-memory pipe, and attacks on them.

use tokio_util::compat::TokioAsyncReadCompatExt;

use super::*;

const ALICE: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);
const CAROL: PeerId = PeerId([3; 32]);

fn refusal(result: Result<u64, AdmitError>) -> Refusal {
    match result {
        Err(AdmitError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Alice dials a peer that she authenticated as `seen_by_alice`; Bob is dialled by a peer that he authenticated as
/// `seen_by_bob`.
async fn meet(
    alice: Doorkeeper,
    bob: Doorkeeper,
    seen_by_alice: PeerId,
    seen_by_bob: PeerId,
) -> (Result<u64, AdmitError>, Result<u64, AdmitError>) {
    let (left, right) = tokio::io::duplex(1024);
    let (mut left, mut right) = (left.compat(), right.compat());
    tokio::join!(
        alice.admit(&mut left, seen_by_alice, Role::Dialer),
        bob.admit(&mut right, seen_by_bob, Role::Listener),
    )
}

#[tokio::test]
async fn holders_of_one_key_admit_each_other() {
    let key = Admission::Key([9; 32]);
    let (a, b) = meet(Doorkeeper::new(ALICE, 1, key), Doorkeeper::new(BOB, 2, key), BOB, ALICE).await;
    assert_eq!((a.unwrap(), b.unwrap()), (2, 1), "each learns the other's boot nonce");
}

#[tokio::test]
async fn the_second_process_of_a_connected_identity_is_refused_and_told_why() {
    let key = Admission::Key([9; 32]);
    let bob = Doorkeeper::new(BOB, 2, key);
    bob.census.refuse(ALICE, vec![1]);
    let (a, b) = meet(Doorkeeper::new(ALICE, 1, key), bob.clone(), BOB, ALICE).await;
    assert_eq!((refusal(a), refusal(b)), (Refusal::TwinOfMine, Refusal::Twin));
    let (_, b) = meet(Doorkeeper::new(ALICE, 3, key), bob.clone(), BOB, ALICE).await;
    assert_eq!(b.unwrap(), 3, "the other process comes in");
    bob.census.refuse(ALICE, Vec::new());
    let (_, b) = meet(Doorkeeper::new(ALICE, 1, key), bob, BOB, ALICE).await;
    assert_eq!(b.unwrap(), 1);
}

#[tokio::test]
async fn another_key_no_key_and_a_key_are_three_meshes() {
    let keys = [Admission::Key([9; 32]), Admission::Key([8; 32]), Admission::Open];
    for (i, ours) in keys.iter().enumerate() {
        for theirs in keys.iter().skip(i + 1) {
            let (a, b) =
                meet(Doorkeeper::new(ALICE, 1, *ours), Doorkeeper::new(BOB, 2, *theirs), BOB, ALICE).await;
            assert!(matches!(refusal(a), Refusal::OtherMesh { .. }));
            assert!(matches!(refusal(b), Refusal::OtherMesh { .. }));
        }
    }
}

#[tokio::test]
async fn who_knows_the_mesh_id_alone_is_refused_by_proof() {
    let honest = Doorkeeper::new(BOB, 2, Admission::Key([9; 32]));
    let mut liar = Doorkeeper::new(ALICE, 1, Admission::Key([8; 32]));
    liar.mesh_id = honest.mesh_id;
    let (_, b) = meet(liar, honest, BOB, ALICE).await;
    assert_eq!(refusal(b), Refusal::Proof);
}

#[tokio::test]
async fn a_proof_made_for_another_id_does_not_count() {
    // Bob authenticated Carol; the proof that reaches him was made by Alice.
    let key = Admission::Key([9; 32]);
    let (_, b) = meet(Doorkeeper::new(ALICE, 1, key), Doorkeeper::new(BOB, 2, key), BOB, CAROL).await;
    assert_eq!(refusal(b), Refusal::Proof);
}

#[tokio::test]
async fn a_reflected_proof_does_not_count() {
    let key = Admission::Key([9; 32]);
    let honest = Doorkeeper::new(BOB, 2, key);
    let (left, right) = tokio::io::duplex(1024);
    let (mut left, mut right) = (left.compat(), right.compat());
    let mirror = async {
        let mut bytes = [0; HELLO_BYTES + PROOF_BYTES];
        for part in [0..HELLO_BYTES, HELLO_BYTES..HELLO_BYTES + PROOF_BYTES] {
            left.read_exact(&mut bytes[part.clone()]).await.unwrap();
            left.write_all(&bytes[part]).await.unwrap();
        }
        let mut code = [0];
        left.read_exact(&mut code).await.unwrap();
        left.write_all(&code).await.unwrap();
        code[0]
    };
    let (code, judged) = tokio::join!(mirror, honest.admit(&mut right, ALICE, Role::Listener));
    assert_eq!(code, Refusal::Proof.code());
    assert_eq!(refusal(judged), Refusal::Proof);
}

#[tokio::test]
async fn ones_own_identity_is_oneself_or_a_copy() {
    let me = Doorkeeper::new(ALICE, 1, Admission::Open);
    let (a, b) = meet(me.clone(), me.clone(), ALICE, ALICE).await;
    assert_eq!((refusal(a), refusal(b)), (Refusal::Myself, Refusal::Myself));
    let copy = Doorkeeper::new(ALICE, 2, Admission::Open);
    let (a, b) = meet(me, copy, ALICE, ALICE).await;
    assert_eq!((refusal(a), refusal(b)), (Refusal::SameIdentity, Refusal::SameIdentity));
}

#[tokio::test]
async fn a_boot_nonce_of_0_is_refused() {
    let (a, b) = meet(
        Doorkeeper::new(ALICE, 0, Admission::Open),
        Doorkeeper::new(BOB, 2, Admission::Open),
        BOB,
        ALICE,
    )
    .await;
    assert_eq!((refusal(a), refusal(b)), (Refusal::Unknown(8), Refusal::NoBoot));
}

#[tokio::test]
async fn another_version_is_told_so() {
    let honest = Doorkeeper::new(BOB, 2, Admission::Open);
    let (left, right) = tokio::io::duplex(1024);
    let (mut left, mut right) = (left.compat(), right.compat());
    let elder = async {
        let hello = Hello { magic: *MAGIC, version: 9, mesh_id: [0; 32], boot: 1, nonce: [5; 32] };
        left.write_all(&hello.encode()).await.unwrap();
        let mut bytes = [0; HELLO_BYTES + PROOF_BYTES];
        left.read_exact(&mut bytes).await.unwrap();
        drop(left);
        bytes[HELLO_BYTES]
    };
    let (code, judged) = tokio::join!(elder, honest.admit(&mut right, ALICE, Role::Listener));
    assert_eq!(code, Refusal::Version(None).code());
    assert_eq!(refusal(judged), Refusal::Version(Some(9)));
}

#[tokio::test]
async fn random_bytes_are_not_weft() {
    let honest = Doorkeeper::new(BOB, 2, Admission::Open);
    let (left, right) = tokio::io::duplex(1024);
    let (mut left, mut right) = (left.compat(), right.compat());
    left.write_all(&[0x5a; 300]).await.unwrap();
    let judged = honest.admit(&mut right, ALICE, Role::Listener).await;
    assert_eq!(refusal(judged), Refusal::NotWeft);
}
