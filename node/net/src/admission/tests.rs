//! Two doorkeepers over an in-memory pipe, and attacks on them.

use tokio_util::compat::TokioAsyncReadCompatExt;

use super::*;

const ALICE: PeerId = PeerId([1; 32]);
const BOB: PeerId = PeerId([2; 32]);
const CAROL: PeerId = PeerId([3; 32]);

fn refusal(result: Result<Admitted, AdmitError>) -> Refusal {
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
) -> (Result<Admitted, AdmitError>, Result<Admitted, AdmitError>) {
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
    assert_eq!((a.unwrap().boot, b.unwrap().boot), (2, 1), "each learns the other's boot nonce");
}

#[tokio::test]
async fn the_second_process_of_a_connected_identity_is_refused_and_told_why() {
    let key = Admission::Key([9; 32]);
    let bob = Doorkeeper::new(BOB, 2, key);
    bob.census.refuse(ALICE, vec![1]);
    let (a, b) = meet(Doorkeeper::new(ALICE, 1, key), bob.clone(), BOB, ALICE).await;
    assert_eq!((refusal(a), refusal(b)), (Refusal::TwinOfMine, Refusal::Twin));
    let (_, b) = meet(Doorkeeper::new(ALICE, 3, key), bob.clone(), BOB, ALICE).await;
    assert_eq!(b.unwrap().boot, 3, "the other process comes in");
    bob.census.refuse(ALICE, Vec::new());
    let (_, b) = meet(Doorkeeper::new(ALICE, 1, key), bob, BOB, ALICE).await;
    assert_eq!(b.unwrap().boot, 1);
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

/// A doorkeeper of a node that speaks these versions.
fn speaking(me: PeerId, boot: u64, versions: Versions) -> Doorkeeper {
    Doorkeeper { versions, ..Doorkeeper::new(me, boot, Admission::Key([9; 32])) }
}

#[tokio::test]
async fn a_version_and_the_next_one_speak_the_older() {
    let (old, new) = (speaking(ALICE, 1, Versions::of(7, 7)), speaking(BOB, 2, Versions::of(7, 8)));
    let (a, b) = meet(old, new, BOB, ALICE).await;
    assert_eq!(a.unwrap().spoken, Spoken { version: 7, is_newer: true });
    assert_eq!(b.unwrap().spoken, Spoken { version: 7, is_newer: false });
}

#[tokio::test]
async fn versions_further_apart_are_refused_and_both_sides_know_which_is_old() {
    let (old, new) = (Versions::of(7, 7), Versions::of(8, 9));
    let (a, b) = meet(speaking(ALICE, 1, old), speaking(BOB, 2, new), BOB, ALICE).await;
    assert_eq!(
        refusal(a).to_string(),
        "it speaks versions 8 to 9 of the protocol, this node version 7: only versions next to each other work in one \
         mesh; upgrade this node"
    );
    let b = refusal(b);
    assert_eq!(b, Refusal::Version(Apart { ours: new, theirs: old, is_of_mesh: true }));
    assert!(b.to_string().ends_with("upgrade the other one"), "{b}");
}

#[tokio::test]
async fn a_node_that_refuses_an_older_version_than_it_could_speak_is_told_of_by_its_hello() {
    // As nodes did before two versions could meet: they compare the hello's two bytes.
    let new = speaking(BOB, 2, Versions::of(7, 8));
    let (left, right) = tokio::io::duplex(1024);
    let (mut left, mut right) = (left.compat(), right.compat());
    let elder = async {
        let versions = Versions::of(7, 7);
        let hello = Hello { magic: *MAGIC, versions, mesh_id: new.mesh_id, boot: 1, nonce: [5; 32] };
        left.write_all(&hello.encode()).await.unwrap();
        let mut bytes = [0; HELLO_BYTES + PROOF_BYTES];
        left.read_exact(&mut bytes).await.unwrap();
        let mut refused = [0; PROOF_BYTES];
        refused[0] = 2;
        left.write_all(&refused).await.unwrap();
    };
    let ((), judged) = tokio::join!(elder, new.admit(&mut right, ALICE, Role::Listener));
    let judged = refusal(judged).to_string();
    assert!(
        judged.contains("it speaks version 7 of") && judged.ends_with("upgrade the other one"),
        "{judged}"
    );
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
