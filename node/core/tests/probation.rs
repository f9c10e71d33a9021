//! Workers on probation: an owner gives them one task at a time, and keeps no slot of theirs from others meanwhile.

#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::{Message, Reason};
use weft_core::snapshot::Response;
use weft_core::*;
use wire::*;

const OTHER: JobId = JobId(7);

/// Node 1 loses all tasks that it runs.
fn lose_all(mesh: &mut Mesh) {
    let lost = Report::bare(Outcome::Lost("the slot died".into()));
    let ran = mesh.slots[1].drain(..).map(|run| (run, lost.clone())).collect();
    mesh.input(1, Input::Ran(ran));
}

/// Node 1 with four slots lost tasks of node 0's job twice, and has the one task that it may have. Node 2 has a user, too.
fn on_probation() -> Mesh {
    let mut mesh = Mesh::of(&[0, 4, 0]);
    mesh.submit(0, 40);
    for _ in 0..2 {
        assert_eq!(mesh.running()[1], 4);
        lose_all(&mut mesh);
        mesh.advance_ms(1600);
    }
    assert_eq!(mesh.running()[1], 1);
    mesh
}

fn leases(mesh: &Mesh, job: JobId) -> usize {
    mesh.engines[1].audit().held.iter().filter(|(_, lease)| lease.job == job).count()
}

fn bids(mesh: &Mesh, to: usize) -> usize {
    let is_bid = |(from, at, message): &&(usize, usize, Message)| {
        (*from, *at) == (1, to) && matches!(message, Message::Bid(_))
    };
    mesh.log.iter().filter(is_bid).count()
}

#[test]
fn an_owner_keeps_no_bid_that_it_can_not_use() {
    let mut mesh = on_probation();
    assert_eq!(mesh.engines[1].audit().reserved, 0, "three slots are free for others");
    let why = mesh.engines[0].why(mesh.now, JOB, 39).expect("it waits");
    let said = why.responses.iter().find(|answer| answer.peer == id(1)).map(|answer| answer.response.clone());
    assert_eq!(said, Some(Response::NotAsked(Reason::Probation)));
    mesh.submit_with(2, 3, |what| what.job = OTHER);
    assert_eq!((mesh.running()[1], leases(&mesh, OTHER)), (4, 3));
}

#[test]
fn who_is_on_probation_bids_once_for_each_task_and_for_all_when_it_did_well() {
    let mut mesh = on_probation();
    let before = bids(&mesh, 0);
    mesh.advance_ms(3000);
    assert_eq!(bids(&mesh, 0), before, "it is not asked while it has its task");
    mesh.run_some(1);
    assert_eq!(mesh.running()[1], 4);
    assert_eq!(bids(&mesh, 0), before + 1, "and at once when it has done it");
}

#[test]
fn probation_for_one_job_is_not_held_up_by_tasks_of_another() {
    let mut mesh = on_probation();
    lose_all(&mut mesh);
    mesh.submit_with(0, 100, |what| what.job = OTHER);
    assert_eq!(leases(&mesh, OTHER), 4);
    let mut tried = 0;
    for _ in 0..100 {
        mesh.advance_ms(100);
        let run = *mesh.slots[1].first().unwrap_or_else(|| panic!("a slot is idle"));
        tried += leases(&mesh, JOB);
        assert!(leases(&mesh, JOB) <= 1);
        let report = mesh.report();
        if leases(&mesh, JOB) == 0 {
            mesh.end(1, run, report);
        }
    }
    assert!(tried > 0, "it always has a task of the other job, and is tried all the same");
}

/// An owner that releases each bid at once, whatever its reason.
#[test]
fn a_worker_bids_again_for_what_was_released_only_when_it_is_asked_again() {
    let mut mesh = Mesh::of(&[0, 0]);
    mesh.submit(0, 50);
    let call =
        mesh.log.iter().find_map(
            |(_, _, message)| {
                if let Message::Call(call) = message { Some(call.clone()) } else { None }
            },
        );
    let call = call.expect("node 1 was called");
    let mut mesh = Mesh::of(&[0, 1]);
    let mut made = 0;
    for _ in 0..3 {
        let asked = Input::Received { from: id(0), message: Message::Call(call.clone()) };
        let mut next = bid_in(mesh.engines[1].handle(mesh.now, asked));
        assert!(next.is_some(), "it is asked, and bids");
        while let Some(bid) = next {
            made += 1;
            let message = Message::Release(bid);
            next = bid_in(mesh.engines[1].handle(mesh.now, Input::Received { from: id(0), message }));
        }
    }
    assert_eq!(made, 3, "one bid for each time that it was asked");
}

fn bid_in(effects: impl Iterator<Item = Effect>) -> Option<BidId> {
    let bids = effects.filter_map(|effect| {
        if let Effect::Send { message: Message::Bid(bid), .. } = effect { Some(bid.bid) } else { None }
    });
    bids.last()
}
