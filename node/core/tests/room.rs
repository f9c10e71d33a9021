//! A disk that is full: whose it is says who waits, nobody else is blamed, and everything goes on when there is room.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::Reason;
use weft_core::snapshot::{Note, Said, TaskView};
use weft_core::*;
use wire::*;

fn output(n: u8) -> Payload {
    Payload::Blob { id: BlobId([n; 32]), bytes: 100_000 }
}

/// The one task of the job ran on node 1, and brought a blob; what the owner then wants to fetch.
fn ran(mesh: &mut Mesh) -> Vec<(usize, BlobId, Vec<PeerId>)> {
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let report = Report { output: output(7), ..Report::bare(Outcome::Done) };
    let run = mesh.slots[1].pop().unwrap();
    mesh.input(1, Input::Ran(vec![(run, report)]));
    mesh.held_fetches.replace(Vec::new()).unwrap()
}

fn no_room(mesh: &mut Mesh, asked: Vec<(usize, BlobId, Vec<PeerId>)>) {
    for (node, blob, _) in asked {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::NoRoom });
    }
}

#[test]
fn an_owner_without_room_waits_blames_nobody_and_goes_on_when_there_is_room() {
    let mut mesh = Mesh::of(&[0, 1]);
    let mut asked = ran(&mut mesh);
    let mut fetches = 0;
    // Far longer than a lease, and than the worker was asked to keep the outcome.
    for _ in 0..1000 {
        fetches += asked.len();
        no_room(&mut mesh, std::mem::take(&mut asked));
        mesh.advance_ms(1000);
        asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    }
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.counters.awards), (0, 1), "nothing is computed again");
    assert_eq!((owner.peers[0].lost, owner.starved), (0, 1));
    assert!((100..=250).contains(&fetches), "one look in five seconds, not {fetches}");
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Fetching { worker: id(1) });
    assert_eq!(why.notes, [Note::NoRoom]);
    mesh.advance_ms(6000);
    let mut all = mesh.held_fetches.replace(Vec::new()).unwrap();
    all.extend(asked);
    let (node, blob, _) = all.remove(0);
    mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().starved, 0);
}

#[test]
fn an_outcome_that_went_while_its_owner_had_no_room_is_computed_again_without_blame() {
    let mut mesh = Mesh::of(&[0, 1]);
    let asked = ran(&mut mesh);
    no_room(&mut mesh, asked);
    mesh.advance_ms(6000);
    for (node, blob, _) in mesh.held_fetches.replace(Vec::new()).unwrap() {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Missing });
    }
    mesh.advance_ms(2000);
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.peers[0].lost), (0, 0));
    assert_eq!(owner.counters.awards, 2, "it runs again");
}

#[test]
fn a_job_that_is_cancelled_while_it_waits_for_room_leaves_nothing_behind() {
    let mut mesh = Mesh::of(&[0, 1]);
    let asked = ran(&mut mesh);
    no_room(&mut mesh, asked);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.advance_ms(6000);
    assert_eq!(mesh.held_fetches.replace(Vec::new()).unwrap(), []);
    assert_eq!(mesh.engines[0].snapshot().starved, 0);
}

#[test]
fn a_worker_without_room_gives_the_task_back_says_why_and_takes_work_again_later() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 1);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    no_room(&mut mesh, asked);
    mesh.advance_ms(1500);
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    assert!(why.answers.iter().any(|a| a.said == Said::Declined(Reason::NoRoom)), "{:?}", why.answers);
    let owner = mesh.engines[0].snapshot();
    assert_eq!((owner.counters.lost, owner.peers[0].lost), (0, 0), "a full disk is no lost task");
    // There is room again: what it asks for comes.
    mesh.held_fetches = None;
    for _ in 0..10 {
        mesh.advance_ms(1000);
    }
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

/// One full disk is one refusal, however many tasks wait for the same blob.
#[test]
fn a_worker_without_room_for_many_tasks_refuses_them_in_one_word() {
    let mut mesh = Mesh::of(&[0, 6]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 6);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    let before = mesh.log.len();
    no_room(&mut mesh, asked);
    let said = |wanted: fn(&Message) -> bool| {
        mesh.log[before..].iter().filter(|(from, _, word)| *from == 1 && wanted(word)).count()
    };
    assert_eq!(said(|word| matches!(word, Message::Refuse { leases } if leases.len() == 6)), 1);
    assert_eq!(said(|word| matches!(word, Message::Refuse { .. })), 1);
    let standing = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    let shut = standing.answers.iter().any(|a| matches!(a.said, Said::NotAsked(Reason::Mistrusted { .. })));
    assert!(!shut, "{:?}", standing.answers);
}
