//! Receipts: one signature for many outcomes, which wait for it for a limited time.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::Delivery;
use weft_core::*;
use wire::{JOB, Mesh, id, signature};

fn with_receipts(what: &mut Submission) {
    what.terms.receipts = true;
}

/// Checks every end that a node reported: signed by that worker, over the root that its proof leads to.
fn proved(mesh: &Mesh, owner: usize, worker: usize) -> usize {
    let mut count = 0;
    for event in &mesh.events[owner] {
        let Event::TaskEnded { report, proof: Some(proof), .. } = event else { continue };
        let mut works = mesh.works.iter().filter(|((node, _), _)| *node == worker);
        let found = works.any(|(_, work)| {
            let leaf = Receipt::new(work.task, &work.program, report, id(worker)).leaf();
            proof.root(leaf).is_some_and(|root| signature(root) == proof.signature)
        });
        assert!(found, "a proof that proves nothing");
        count += 1;
    }
    count
}

#[test]
fn outcomes_of_one_flush_come_home_under_one_signature() {
    let mut mesh = Mesh::of(&[0, 5]);
    mesh.unsigned = Some(Vec::new());
    mesh.submit_with(0, 5, with_receipts);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 0, "they wait to be signed");
    let batches = mesh.unsigned.take().unwrap();
    assert_eq!(batches.len(), 1);
    let (node, batch, root) = batches[0];
    mesh.input(node, Input::Signed { batch, signature: signature(root) });
    assert_eq!((mesh.ended(0), proved(&mesh, 0, 1)), (5, 5));
    mesh.assert_quiet();
}

#[test]
fn a_node_proves_to_itself_too() {
    let mut mesh = Mesh::of(&[2]);
    mesh.submit_with(0, 7, with_receipts);
    mesh.run_all();
    assert_eq!((mesh.ended(0), proved(&mesh, 0, 0)), (7, 7));
}

#[test]
fn the_time_in_the_queue_is_part_of_what_is_proved() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 2, with_receipts);
    mesh.held_fetches = Some(Vec::new());
    mesh.advance_ms(300);
    mesh.run_all();
    assert_eq!((mesh.ended(0), proved(&mesh, 0, 1)), (2, 2));
}

#[test]
fn an_outcome_that_nobody_signs_comes_home_without_a_proof() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.unsigned = Some(Vec::new());
    mesh.submit_with(0, 1, with_receipts);
    mesh.run_all();
    mesh.advance_ms(900);
    assert_eq!(mesh.ended(0), 0);
    mesh.advance_ms(200);
    assert_eq!((mesh.ended(0), proved(&mesh, 0, 1)), (1, 0));
    let (node, batch, root) = mesh.unsigned.take().unwrap()[0];
    let said = mesh.log.len();
    mesh.input(node, Input::Signed { batch, signature: signature(root) });
    assert_eq!(mesh.log.len(), said, "too late a signature moves nothing");
    mesh.assert_quiet();
}

#[test]
fn nothing_is_signed_unasked() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.unsigned = Some(Vec::new());
    mesh.submit(0, 1);
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.unsigned.unwrap().len()), (1, 0));
}

#[test]
fn a_proof_that_cannot_belong_is_dropped_and_the_outcome_kept() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, with_receipts);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let proof = Proof { index: 0, count: 4, path: Vec::new(), signature: [0; 64] };
    let delivery = Delivery { lease, report: mesh.report().into(), memo: None, proof: Some(proof.into()) };
    mesh.say(1, 0, Message::Outcome(vec![delivery]));
    let Event::TaskEnded { proof, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert_eq!((proof, mesh.engines[0].snapshot().counters.unproven), (&None, 1));
}

#[test]
fn a_proof_is_kept_for_the_way_around_a_cut() {
    let mut mesh = Mesh::of(&[0, 1, 0]);
    mesh.submit_with(0, 1, with_receipts);
    mesh.cut(0, 1, false);
    mesh.run_all();
    mesh.advance_ms(1100);
    assert_eq!((mesh.ended(0), proved(&mesh, 0, 1)), (1, 1));
    assert_eq!(mesh.engines[0].snapshot().counters.gossiped_home, 1);
}
