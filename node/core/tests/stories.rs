//! A few engines in one process, connected by a perfect wire: the usual exchanges of messages, one test each. Loss,
//! delay and crashes are tested in the simulator.

mod wire;

use weft_core::message::{Award, Bid, Class, Delivery, Grant, Message, Needs, Reason};
use weft_core::snapshot::{Response, TaskView};
use weft_core::*;
use wire::{JOB, Mesh, id, worker_of};

#[test]
fn a_lone_node_runs_its_own_tasks_without_asking_anybody() {
    let mut mesh = Mesh::of(&[2]);
    mesh.submit(0, 5);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5);
    assert!(mesh.log.iter().all(|(_, _, message)| !matches!(message, Message::Call(_))), "no peer to call");
    mesh.assert_quiet();
}

#[test]
fn what_does_not_fit_locally_goes_to_peers_that_bid() {
    let mut mesh = Mesh::of(&[2, 2, 2]);
    mesh.submit(0, 12);
    assert_eq!(mesh.running(), [2, 2, 2], "two slots each, filled at once");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 12);
    let mut workers: Vec<_> = mesh.events[0].iter().filter_map(worker_of).collect();
    workers.sort_unstable();
    workers.dedup();
    assert_eq!(workers.len(), 3, "every node ran some");
    mesh.assert_quiet();
}

#[test]
fn a_task_that_fits_at_home_is_not_called_out() {
    let mut mesh = Mesh::of(&[2, 2]);
    mesh.submit(0, 2);
    assert_eq!(mesh.running(), [2, 0]);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2);
}

#[test]
fn tasks_of_a_dead_worker_are_leased_again_after_the_grace() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit(0, 2);
    assert_eq!(mesh.running(), [0, 1, 1]);
    mesh.kill(1);
    mesh.advance_ms(400);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "it may come back within the grace");
    mesh.advance_ms(200);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 1);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2);
    mesh.assert_quiet();
}

#[test]
fn a_silent_workers_lease_runs_its_time() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, false);
    mesh.advance_ms(3500);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0);
    mesh.advance_ms(1000);
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 1);
}

#[test]
fn a_renewed_lease_does_not_end() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    for _ in 0..100 {
        mesh.advance_ms(500);
    }
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "fifty seconds of renewals");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn an_outcome_of_a_lease_never_issued_is_refused() {
    let mut mesh = Mesh::of(&[0, 0]);
    mesh.submit(0, 1);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let forged = Message::Outcome(vec![Delivery {
        lease,
        report: Report::bare(Outcome::Done).into(),
        memo: None,
        proof: None,
    }]);
    mesh.say(1, 0, forged);
    assert_eq!(mesh.ended(0), 0);
    assert_eq!(mesh.engines[0].snapshot().counters.forged, 1);
}

#[test]
fn a_doubled_outcome_counts_once() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.run_all();
    let outcome =
        mesh.log.iter().find(|(_, _, message)| matches!(message, Message::Outcome(_))).unwrap().2.clone();
    mesh.say(1, 0, outcome);
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().counters.late, 1);
}

#[test]
fn a_cancelled_job_ends_at_once_and_its_workers_stop() {
    let mut mesh = Mesh::of(&[1, 1]);
    mesh.submit(0, 5);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    assert_eq!(mesh.ended(0), 5);
    assert_eq!(mesh.aborted, 2);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5, "what ran on is not told twice");
    mesh.assert_quiet();
}

#[test]
fn an_award_beyond_its_bid_is_refused() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    let bid = mesh.log.iter().find_map(|(_, _, message)| {
        if let Message::Bid(Bid { bid, call, .. }) = message { Some((*bid, *call)) } else { None }
    });
    let (bid, call) = bid.unwrap();
    let lease = LeaseId { job: JOB, epoch: 0, index: 7, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    mesh.say(0, 1, Message::Award(Award { call, bid, left: 0, grants }));
    assert!(matches!(mesh.log.last(), Some((_, _, Message::Refuse { leases })) if leases == &[lease]));
    assert_eq!(mesh.running(), [0, 1]);
}

#[test]
fn a_task_that_nobody_fits_waits_and_says_why_and_starts_when_somebody_does() {
    let mut mesh = Mesh::of(&[1, 1]);
    let needs = Needs { labels: vec![("gpu".into(), "yes".into())], slots: 1 };
    mesh.submit_with(0, 1, |what| what.needs = needs);
    mesh.advance_ms(100);
    let why = mesh.engines[0].why(mesh.now, JOB, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    let label = Reason::Label { name: "gpu".into(), wanted: "yes".into() };
    let said: Vec<_> = why.responses.iter().map(|answer| answer.response.clone()).collect();
    assert_eq!(said.len(), 2);
    assert!(
        said.iter().all(|said| [Response::Declined(label.clone()), Response::NotAsked(label.clone())].contains(said))
    );
    mesh.join(1, vec![("gpu".into(), "yes".into())]);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn a_failed_task_is_tried_elsewhere_as_often_as_the_job_says() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.outcome = Outcome::Failed(Failure::Exit(3));
    mesh.submit_with(0, 1, |what| what.policy.retries = 1);
    mesh.run_all();
    let end = mesh.events[0].iter().find(|event| matches!(event, Event::TaskEnded { .. }));
    let Some(Event::TaskEnded { report, attempts, .. }) = end else { panic!("a task ended") };
    let leased = mesh.events[0].iter().filter(|event| matches!(event, Event::Leased { .. }));
    assert_eq!(leased.count(), 2, "each attempt is told");
    assert_eq!((report.outcome.clone(), *attempts), (Outcome::Failed(Failure::Exit(3)), 2));
    let executed: Vec<_> = mesh.engines.iter().map(|engine| engine.snapshot().counters.executed).collect();
    assert_eq!(executed, [0, 1, 1], "the second attempt went to the other node");
}

#[test]
fn an_urgent_job_overtakes_a_batch() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 10);
    mesh.submit_with(0, 1, |what| (what.job, what.class) = (JobId(2), Class::Realtime));
    mesh.run_some(1);
    mesh.run_some(1);
    assert!(mesh.events[0].iter().any(|event| matches!(event, Event::JobEnded { job: JobId(2) })));
}

#[test]
fn an_outcome_comes_home_through_gossip_when_its_worker_is_cut_off() {
    let mut mesh = Mesh::of(&[0, 1, 0]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, false);
    for _ in 0..10 {
        mesh.advance_ms(500);
    }
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "renewals come through the third node");
    mesh.run_all();
    mesh.advance_ms(1100);
    assert_eq!(mesh.ended(0), 1);
    assert_eq!(mesh.engines[0].snapshot().counters.gossiped_home, 1);
    mesh.advance_ms(1100);
    assert_eq!(mesh.engines[1].snapshot().undelivered, 0, "the acknowledgement came back the same way");
}

#[test]
fn an_idle_worker_that_missed_the_call_bids_unasked_to_a_backlog() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.deaf = Some((0, 1));
    mesh.submit(0, 1);
    mesh.deaf = None;
    assert_eq!(mesh.running(), [0, 0], "the call is lost, and repeated a second later");
    mesh.advance_ms(400);
    assert_eq!(mesh.running(), [0, 1]);
    assert_eq!(mesh.engines[1].snapshot().counters.unasked, 1);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
    mesh.advance_ms(3000);
    mesh.assert_quiet();
    let unasked = mesh.engines[1].snapshot().counters.unasked;
    assert_eq!(unasked, 1, "no polling");
}

#[test]
fn what_has_run_for_a_second_is_not_taken_for_a_task_of_a_second() {
    let mut mesh = Mesh::of(&[0, 2]);
    // Over such a network a task of one second would be short, and bound in advance.
    mesh.input(1, Input::Rtt { peer: id(0), rtt_us: 200_000 });
    mesh.submit(0, 8);
    for _ in 0..10 {
        mesh.advance_ms(300);
        let audit = mesh.engines[1].audit();
        assert_eq!((audit.held.len(), audit.bid), (2, 0), "their service time is unknown");
    }
    mesh.run_all();
    assert_eq!(mesh.ended(0), 8);
    mesh.assert_quiet();
}

/// Slots for short tasks, by the worker's last message to its owner.
fn slots_told(mesh: &Mesh) -> Option<u32> {
    let told = mesh.log.iter().rev().filter(|(from, _, _)| *from == 1);
    let mut aheads = told.filter_map(|(_, _, message)| {
        let (Message::Ended { credit, .. } | Message::Credit(credit)) = message else { return None };
        Some(credit.slots)
    });
    aheads.next()
}

#[test]
fn a_slot_with_an_overlong_task_is_no_slot_for_short_ones() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 40);
    let quick = |mesh: &Mesh| Report { usage: Usage { wall_us: 500, ..Usage::default() }, ..mesh.report() };
    // The first to end shows that they are short; from then on they are sent on credit. The second was called for.
    for _ in 0..2 {
        let first = mesh.slots[1][0];
        let report = quick(&mesh);
        mesh.end(1, first, report);
    }
    let overlong = mesh.slots[1][0];
    let end_another = |mesh: &mut Mesh| {
        mesh.advance_ms(1);
        let next = mesh.slots[1].iter().copied().find(|run| *run != overlong).unwrap();
        let report = quick(mesh);
        mesh.end(1, next, report);
    };
    for _ in 0..3 {
        end_another(&mut mesh);
    }
    assert_eq!(slots_told(&mesh), Some(2), "three milliseconds may be the machine's");
    for _ in 0..5 {
        end_another(&mut mesh);
    }
    assert_eq!(slots_told(&mesh), Some(1), "one slot is taken by what was thought short");
    let report = Report { usage: Usage { wall_us: 9000, ..Usage::default() }, ..mesh.report() };
    mesh.end(1, overlong, report);
    assert_eq!(slots_told(&mesh), Some(2), "and free again with its end");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 40);
    mesh.advance_ms(3000);
    mesh.assert_quiet();
}
