//! What tasks find under `/in` and leave in `/out`, as blobs: fetched, pinned, and let go.

mod wire;

use std::sync::Arc;

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
        mesh.input(node, Input::Fetched { blob, found: true });
    }
    assert_eq!(mesh.running(), [0, 1]);
    assert!(mesh.pinned(0).contains(&BlobId::of(b"archive")), "its owner keeps it for others");
    assert!(mesh.pinned(1).contains(&BlobId::of(b"archive")), "its worker keeps it while it runs");
    mesh.held_fetches = None;
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
    assert_eq!((mesh.pinned(0), mesh.pinned(1)), (vec![], vec![]), "nothing rests on it any more");
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
    mesh.input(0, Input::Fetched { blob: BlobId::of(b"left"), found: true });
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
    mesh.input(0, Input::Fetched { blob: BlobId::of(b"same"), found: true });
    assert_eq!(mesh.ended(0), 1);
}
