//! A node that drains: it gives back what has not begun, its owners place that elsewhere and blame no node, and what runs
//! goes on until its time is over.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::collections::BTreeMap;

use weft_core::message::{Award, Bid, Class, Grant, Message, Reason};
use weft_core::snapshot::Owed;
use weft_core::*;
use wire::{Mesh, id};

fn drain(mesh: &mut Mesh, node: usize) {
    mesh.input(node, Input::Command(Command::Drain(true)));
}

fn given_back(mesh: &Mesh, node: usize) -> usize {
    let all = mesh.log.iter().filter(|(from, _, _)| *from == node);
    all.map(|(_, _, message)| if let Message::GivenBack { leases } = message { leases.len() } else { 0 })
        .sum()
}

/// Nothing of what was given back counts as lost, and no node is blamed for it.
fn assert_unblamed(mesh: &Mesh, owner: usize) {
    let snapshot = mesh.engines[owner].snapshot();
    assert_eq!(snapshot.counters.lost, 0);
    assert!(snapshot.peers.iter().all(|peer| peer.lost == 0));
    assert_eq!(mesh.engines[owner].audit().blamed.values().sum::<u64>(), 0);
    assert!(!mesh.events[owner].iter().any(|event| matches!(event, Event::Lost { .. })));
}

/// A worker of one slot that runs a short task and holds others behind it, in the slots' queue and outside.
fn crowded() -> Mesh {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 40);
    let run = mesh.slots[1][0];
    mesh.end(1, run, Report { usage: Usage { wall_us: 1000, ..Usage::default() }, ..mesh.report() });
    let held = mesh.engines[1].audit().held.len();
    assert!(held > mesh.slots[1].len() && mesh.slots[1].len() > 1, "{held} held, {:?}", mesh.slots);
    mesh
}

#[test]
fn what_has_not_begun_is_given_back_at_once_and_runs_elsewhere() {
    let mut mesh = crowded();
    let (held, handed) = (mesh.engines[1].audit().held.len(), mesh.slots[1].len());
    drain(&mut mesh, 1);
    assert_eq!(given_back(&mesh, 1), held - handed, "what was not in the slots");
    assert_eq!(mesh.aborted, handed - 1, "what waits in their queue is taken out of it");
    for run in mesh.slots[1].clone().into_iter().skip(1) {
        mesh.end(1, run, Report::bare(Outcome::Cancelled));
    }
    assert_eq!((given_back(&mesh, 1), mesh.running()[1]), (held - 1, 1), "one runs");
    assert_eq!(mesh.engines[1].snapshot().counters.given_back, held as u64 - 1);
    assert_eq!(mesh.engines[1].owed(), Owed { tasks: 1, outcomes: 0, jobs: 0 });
    mesh.run_all();
    // Acknowledgements of short tasks wait for the next message to their worker, for a moment.
    mesh.advance_ms(100);
    assert_eq!((mesh.engines[1].owed(), mesh.ended(0)), (Owed::default(), 2), "what ran is finished");
    mesh.join(2, Vec::new());
    for _ in 0..20 {
        mesh.advance_ms(1000);
        mesh.run_all();
    }
    assert_eq!(mesh.ended(0), 40);
    assert_unblamed(&mesh, 0);
    mesh.assert_quiet();
}

#[test]
fn a_task_that_waits_for_its_module_to_be_compiled_has_not_begun() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    let run = mesh.slots[1][0];
    mesh.input(1, Input::Compiling { runs: vec![run], waits: true });
    drain(&mut mesh, 1);
    mesh.end(1, run, Report::bare(Outcome::Cancelled));
    assert_eq!((given_back(&mesh, 1), mesh.engines[1].owed()), (1, Owed::default()));
    assert_unblamed(&mesh, 0);
}

#[test]
fn a_task_that_lacks_a_blob_is_given_back_and_pins_nothing() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 1);
    assert_eq!(mesh.pinned(1).len(), 1);
    drain(&mut mesh, 1);
    assert_eq!((given_back(&mesh, 1), mesh.pinned(1).len()), (1, 0));
    mesh.input(1, Input::Fetched { blob: BlobId::of(b"module"), fetched: Fetched::Here });
    assert_eq!(mesh.running()[1], 0);
}

#[test]
fn an_award_on_the_bid_of_a_node_that_drains_meanwhile_comes_back_without_blame() {
    let mut mesh = Mesh::of(&[0, 1]);
    for round in 0..6u64 {
        mesh.submit_with(0, 1, |what| what.job = JobId(100 + round));
        let heard = mesh.log.iter().rev().find_map(|(_, _, message)| {
            if let Message::Bid(Bid { bid, call, .. }) = message { Some((*bid, *call)) } else { None }
        });
        let (bid, call) = heard.unwrap();
        drain(&mut mesh, 1);
        let lease = LeaseId { job: JobId(100 + round), epoch: 0, index: 0, attempt: 1 };
        mesh.say(
            0,
            1,
            Message::Award(Award {
                call,
                bid,
                left: 0,
                grants: vec![Grant { lease, input: Payload::empty() }],
            }),
        );
        assert_unblamed(&mesh, 0);
        mesh.run_all();
        mesh.input(1, Input::Command(Command::Drain(false)));
        mesh.advance_ms(3000);
    }
    let refused = mesh.log.iter().any(|(_, _, message)| matches!(message, Message::Refuse { .. }));
    assert!(!refused, "a refusal would be blamed");
}

#[test]
fn a_draining_node_ends_its_bids_and_says_why_it_makes_none() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 9);
    assert!(mesh.engines[1].audit().calls_heard > 0);
    drain(&mut mesh, 1);
    let audit = mesh.engines[1].audit();
    assert_eq!((audit.calls_heard, audit.bid), (0, 0));
    let declined = mesh.log.iter().any(|(from, _, message)| {
        *from == 1 && matches!(message, Message::Decline(decline) if decline.reason == Reason::Draining)
    });
    assert!(declined);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2, "what ran is finished, and nothing else begins");
}

#[test]
fn what_still_runs_after_its_time_is_given_back_and_its_own_tasks_run_on() {
    let mut mesh = Mesh::of(&[0, 2, 1]);
    mesh.input(2, Input::Command(Command::Drain(true)));
    mesh.submit(0, 1);
    mesh.submit_with(1, 1, |what| what.job = JobId(7));
    assert_eq!(mesh.running(), [0, 2, 0]);
    drain(&mut mesh, 1);
    assert_eq!(mesh.engines[1].owed().tasks, 1, "it runs for another");
    mesh.input(2, Input::Command(Command::Drain(false)));
    mesh.input(1, Input::Command(Command::GiveBack));
    assert_eq!((mesh.aborted, mesh.engines[1].owed()), (1, Owed::default()));
    mesh.advance_ms(1500);
    assert_eq!(mesh.running()[2], 1, "it runs elsewhere");
    assert_unblamed(&mesh, 0);
    let stopped = mesh.slots[1].clone();
    assert_eq!(stopped.len(), 2);
    for run in stopped {
        mesh.end(1, run, mesh.report());
    }
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.ended(1)), (1, 1));
    mesh.assert_quiet();
}

#[test]
fn a_lone_node_that_drains_keeps_its_own_tasks_waiting_and_goes_on_when_it_takes_work_again() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit(0, 5);
    drain(&mut mesh, 0);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1, "what ran is finished");
    mesh.input(0, Input::Command(Command::Drain(false)));
    mesh.advance_ms(1000);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5);
    assert_unblamed(&mesh, 0);
    mesh.assert_quiet();
}

#[test]
fn outcomes_are_owed_until_they_are_acknowledged_while_their_owner_is_there() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.lose_acks_from = Some(0);
    drain(&mut mesh, 1);
    mesh.run_all();
    assert_eq!(mesh.engines[1].owed(), Owed { tasks: 0, outcomes: 1, jobs: 0 });
    mesh.lose_acks_from = None;
    mesh.advance_ms(3000);
    assert_eq!(mesh.engines[1].owed(), Owed::default());
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn outcomes_of_an_owner_that_is_gone_are_not_waited_for() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, true);
    mesh.run_all();
    assert_eq!(mesh.engines[1].snapshot().undelivered, 1);
    assert_eq!(mesh.engines[1].owed(), Owed::default());
}

#[test]
fn a_worker_that_gives_everything_back_for_ever_keeps_no_task_from_others() {
    let mut mesh = Mesh::of(&[0, 1, 1]); // node 1 is hostile
    mesh.deaf = Some((0, 1));
    mesh.submit(0, 30);
    let mut rounds = BTreeMap::new();
    for round in 0..240 {
        mesh.steps = 0;
        let called = mesh.log.iter().rev().find_map(|(_, _, message)| {
            if let Message::Call(call) = message { Some(call.call) } else { None }
        });
        if let Some(call) = called {
            let bid = Bid { call, bid: BidId(round), slots: 30, start_in_us: 0, warm: true, ttl_ms: 2000 };
            mesh.say(1, 0, Message::Bid(bid));
        }
        let mine: Vec<LeaseId> = mesh.engines[0]
            .audit()
            .issued
            .into_iter()
            .filter(|(to, _)| *to == id(1))
            .map(|(_, lease)| lease)
            .collect();
        rounds.insert(round, mine.len());
        mesh.say(1, 0, Message::GivenBack { leases: mine });
        mesh.advance_ms(500);
        mesh.run_some(2);
    }
    assert_eq!(mesh.ended(0), 30, "{rounds:?}");
    let taken = rounds.values().filter(|taken| **taken > 0).count();
    assert!((1..20).contains(&taken), "each time it is given none for longer: {rounds:?}");
}

#[test]
fn a_draining_node_pauses_nothing_for_what_it_gives_back_and_resumes_what_is_paused() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| (what.job, what.class) = (JobId(1), Class::Batch));
    mesh.submit_with(0, 1, |what| (what.job, what.class) = (JobId(2), Class::Realtime));
    assert_eq!((mesh.slots[1].len(), mesh.paused[1].len()), (1, 1));
    drain(&mut mesh, 1);
    assert_eq!(given_back(&mesh, 1), 0, "both have begun");
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.paused[1].len()), (2, 0));
    assert_eq!(mesh.engines[1].owed(), Owed::default());
}
