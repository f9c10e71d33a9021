//! Files of tasks under `/in` and `/out`, as blobs: fetched, pinned, and unpinned.

mod wire;

use std::sync::Arc;

use weft_core::message::{Delivery, Message};
use weft_core::*;
use wire::{Mesh, id};

fn blob(name: &[u8], bytes: u64) -> Payload {
    Payload::Blob { id: BlobId::of(name), bytes }
}

fn with_files(what: &mut Submission) {
    let program = Program { files: blob(b"archive", 70_000), ..Program::clone(&what.program) };
    what.program = Arc::new(program);
}

#[test]
fn a_worker_fetches_what_lies_under_in_before_it_runs() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, with_files);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    assert!(asked.contains(&(1, BlobId::of(b"archive"), vec![id(0)])), "{asked:?}");
    assert_eq!(mesh.running(), [0, 0]);
    for (node, blob, _) in asked {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    }
    assert_eq!(mesh.running(), [0, 1]);
    assert!(mesh.pinned(0).contains(&BlobId::of(b"archive")), "its owner keeps it for others");
    assert!(mesh.pinned(1).contains(&BlobId::of(b"archive")), "its worker keeps it while it runs");
    mesh.held_fetches = None;
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
    assert_eq!((mesh.pinned(0), mesh.pinned(1)), (vec![], vec![]), "nothing rests on it any more");
}

/// Two jobs of two owners with one archive, one of which claims too short a length.
fn submit_honest_and_cut(mesh: &mut Mesh, first: u64, second: u64) {
    for (owner, job, bytes) in [(0, JobId(1), first), (1, JobId(2), second)] {
        mesh.submit_with(owner, 1, |what| {
            what.job = job;
            let program = Program { files: blob(b"archive", bytes), ..Program::clone(&what.program) };
            what.program = Arc::new(program);
        });
    }
}

#[test]
fn a_blob_that_is_here_does_not_stand_for_one_of_another_length() {
    let mut mesh = Mesh::of(&[0, 0, 4]);
    submit_honest_and_cut(&mut mesh, 70_000, 70_000);
    assert_eq!(mesh.running(), [0, 0, 2]);
    mesh.held_fetches = Some(Vec::new());
    submit_cut_again(&mut mesh);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    assert_eq!(asked, [(2, BlobId::of(b"archive"), vec![id(1)])], "whether it has that length is looked up");
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"archive"), fetched: Fetched::Missing });
    assert_eq!(mesh.running(), [0, 0, 2], "it never runs on a part of it");
}

fn submit_cut_again(mesh: &mut Mesh) {
    mesh.submit_with(1, 1, |what| {
        what.job = JobId(77);
        let program = Program { files: blob(b"archive", 60_000), ..Program::clone(&what.program) };
        what.program = Arc::new(program);
    });
}

#[test]
fn who_was_told_another_length_does_not_take_the_answer_to_the_first() {
    let archive = BlobId::of(b"archive");
    for (first, second, found_first) in [(70_000, 60_000, true), (60_000, 70_000, false)] {
        let mut mesh = Mesh::of(&[0, 0, 4]);
        mesh.submit(0, 1); // the module arrives
        mesh.held_fetches = Some(Vec::new());
        submit_honest_and_cut(&mut mesh, first, second);
        let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
        assert_eq!(asked, [(2, archive, vec![id(0)])]);
        mesh.input(2, Input::Fetched { blob: archive, fetched: arrives(found_first) });
        assert_eq!(mesh.running()[2], 1 + usize::from(found_first));
        let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
        assert!(asked.contains(&(2, archive, vec![id(1)])), "{asked:?}");
        mesh.input(2, Input::Fetched { blob: archive, fetched: arrives(!found_first) });
        assert_eq!(mesh.running()[2], 2, "the honest one ran, the other did not");
    }
}

#[test]
fn what_is_left_in_out_is_here_before_its_task_ended() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let run = mesh.slots[1][0];
    let report = Report { files: blob(b"left", 90_000), ..mesh.report() };
    mesh.end(1, run, report.clone());
    assert_eq!(mesh.ended(0), 0);
    assert_eq!(mesh.pinned(1), [BlobId::of(b"left")], "its worker keeps it until it is safe");
    mesh.input(0, Input::Fetched { blob: BlobId::of(b"left"), fetched: Fetched::Here });
    let Event::TaskEnded { report: told, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert_eq!(told.files, report.files);
    assert_eq!(mesh.pinned(1), []);
}

#[test]
fn one_blob_that_is_output_and_files_at_once_is_fetched_once() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let same = blob(b"same", 90_000);
    let report = Report { output: same.clone(), files: same, ..mesh.report() };
    let run = mesh.slots[1][0];
    mesh.end(1, run, report);
    assert_eq!(mesh.held_fetches.as_ref().unwrap().len(), 1);
    mesh.input(0, Input::Fetched { blob: BlobId::of(b"same"), fetched: Fetched::Here });
    assert_eq!(mesh.ended(0), 1);
}

fn arrives(found: bool) -> Fetched {
    if found { Fetched::Here } else { Fetched::Missing }
}

/// A worker's first outcome named one blob that it did not have; its second names others.
#[test]
fn a_blob_of_an_earlier_outcome_does_not_count_for_a_later_one() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let lease = mesh.engines[1].audit().held[0].1;
    let say = |mesh: &mut Mesh, output: Payload, errors: Payload| {
        let report = Report { output, errors, ..mesh.report() };
        let delivery = Delivery { lease, report: report.into(), memo: None, proof: None };
        mesh.say(1, 0, Message::Outcome(vec![delivery]));
    };
    let fetched = |mesh: &mut Mesh, name: &[u8], fetched: Fetched| {
        mesh.input(0, Input::Fetched { blob: BlobId::of(name), fetched });
    };
    say(&mut mesh, blob(b"a", 70_000), blob(b"b", 70_000));
    fetched(&mut mesh, b"a", Fetched::Missing);
    say(&mut mesh, blob(b"c", 70_000), blob(b"d", 70_000));
    fetched(&mut mesh, b"b", Fetched::Here);
    fetched(&mut mesh, b"c", Fetched::Here);
    assert_eq!(mesh.ended(0), 0, "one of its two is not here");
    fetched(&mut mesh, b"d", Fetched::Here);
    assert_eq!(mesh.ended(0), 1);
}
