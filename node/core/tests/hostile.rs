//! Hostile messages and unlucky orders of events that must not delay any task: each test reproduces a fault that a
//! review found. Same engines and wire as the stories.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::sync::Arc;

use weft_core::message::{Award, Bid, Call, Delivery, Grant, LeaseRange, Needs, Progress};
use weft_core::snapshot::Deadline;
use weft_core::*;
use wire::{JOB, Mesh, bid_for_all};

const LEASE: LeaseId = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };

/// The last call that one node sent another.
fn call_to(mesh: &Mesh, from: usize, to: usize) -> Call {
    let calls = mesh.log.iter().rev().filter(|(of, at, _)| (*of, *at) == (from, to));
    let mut calls = calls.filter_map(|(_, _, message)| {
        let Message::Call(call) = message else { return None };
        Some(call.clone())
    });
    calls.next().expect("it was called")
}

/// Makes it known that the program's tasks take a millisecond.
fn known_to_be_short(mesh: &mut Mesh, node: usize) {
    mesh.submit_with(node, 1, |what| what.job = JobId(1));
    let worker = mesh.running().iter().position(|runs| *runs > 0).expect("it runs somewhere");
    let run = mesh.slots[worker][0];
    let usage = Usage { wall_us: 1000, ..Usage::default() };
    // All that its owner sees is the time that passes.
    mesh.now = mesh.now.plus_ms(1);
    mesh.end(worker, run, Report { usage, ..Report::bare(Outcome::Done) });
    assert_eq!(mesh.ended(node), 1);
}

fn wants_a_label(what: &mut Submission) {
    what.needs = Needs { labels: vec![("gpu".into(), "yes".into())], ..Needs::default() };
}

/// They bid for everything and refuse every award.
#[test]
fn two_that_refuse_what_they_bid_for_keep_no_task_from_others() {
    let mut mesh = Mesh::of(&[0, 0, 0, 1]);
    mesh.bid_for_all = vec![1, 2];
    mesh.submit(0, 6);
    for _ in 0..60 {
        mesh.steps = 0;
        mesh.advance_ms(500);
        mesh.run_some(3);
    }
    assert_eq!(mesh.ended(0), 6);
    let refused = mesh.engines[0].snapshot().counters.refused;
    assert!(refused < 600, "{refused} awards were refused in half a minute");
}

/// The owner remembers a thousand ended jobs, and more than that end in one instant.
#[test]
fn a_thousand_short_jobs_and_more_that_end_at_once_leave_nothing_behind() {
    let mut mesh = Mesh::of(&[1]);
    known_to_be_short(&mut mesh, 0);
    for job in 0..1200 {
        mesh.submit_with(0, 1, |what| {
            what.job = JobId(1000 + job);
            what.policy.expires_ms = Some(1000);
        });
    }
    mesh.steps = 0;
    mesh.advance_ms(2000);
    assert_eq!(mesh.ended(0), 1201);
    assert_eq!(mesh.engines[0].audit().calls_open, 0);
}

#[test]
fn short_jobs_that_nobody_can_run_hide_none_that_this_node_can() {
    let mut mesh = Mesh::of(&[2]);
    known_to_be_short(&mut mesh, 0);
    for job in 0..40 {
        mesh.submit_with(0, 1, |what| {
            what.job = JobId(1000 + job);
            wants_a_label(what);
        });
    }
    mesh.submit(0, 2);
    mesh.advance_ms(500);
    assert_eq!(mesh.running(), [2]);
}

#[test]
fn short_jobs_that_nobody_can_run_hide_none_that_another_node_can() {
    let mut mesh = Mesh::of(&[0, 2]);
    known_to_be_short(&mut mesh, 0);
    // The bids for the first one have ended.
    mesh.advance_ms(5000);
    for job in 0..40 {
        mesh.submit_with(0, 1, |what| {
            what.job = JobId(1000 + job);
            wants_a_label(what);
        });
    }
    mesh.advance_ms(3000);
    mesh.submit(0, 2);
    mesh.steps = 0;
    mesh.advance_ms(3000);
    assert_eq!(mesh.running(), [0, 2]);
}

/// This node's own worker declines a call for too much memory, and must not get such tasks without a call either.
#[test]
fn a_short_task_that_this_node_declines_is_not_handed_to_oneself_again_and_again() {
    let mut mesh = Mesh::of(&[1, 0]);
    mesh.submit_with(0, 2, |what| {
        let limits = Limits { memory_bytes: 2 << 30, ..Limits::DEFAULT };
        what.program = Arc::new(Program { limits, ..Program::clone(&what.program) });
    });
    let call = call_to(&mesh, 0, 1);
    // The other node's engine did not send this.
    mesh.deaf = Some((0, 1));
    let Message::Bid(bid) = bid_for_all(call.call) else { panic!("a bid") };
    mesh.say(1, 0, Message::Bid(Bid { slots: 1, ..bid }));
    mesh.now = mesh.now.plus_ms(1);
    let usage = Usage { wall_us: 1000, ..Usage::default() };
    let report = Report { usage, ..Report::bare(Outcome::Done) };
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease: LEASE, report: report.into(), memo: None, proof: None }]),
    );
    assert_eq!(mesh.ended(0), 1);
    mesh.advance_ms(2000);
    let counters = mesh.engines[0].snapshot().counters;
    assert!(counters.refused < 10, "{} awards were refused", counters.refused);
}

/// One bid to an owner ran out unused, as happens to an owner that sleeps; another owner always has work.
#[test]
fn who_left_a_bid_unused_once_is_served_before_long_all_the_same() {
    let mut mesh = Mesh::of(&[0, 0, 1]);
    mesh.submit_with(0, 1, |what| what.job = JobId(1));
    let call = Call { call: CallId(99), ..call_to(&mesh, 0, 2) };
    mesh.run_all();
    mesh.lose_withdraws_to = Some(2);
    mesh.say(0, 2, Message::Call(call));
    mesh.advance_ms(2500);
    mesh.lose_withdraws_to = None;
    mesh.submit_with(1, 500, |what| what.job = JobId(2));
    mesh.submit_with(0, 1, |what| what.job = JobId(3));
    for _ in 0..60 {
        mesh.steps = 0;
        mesh.advance_ms(1000);
        mesh.run_some(2);
    }
    assert_eq!(mesh.ended(0), 2, "one task, after a minute and {} tasks of the other", mesh.ended(1));
}

/// Ranges of a renewal are in order; leases that are named repeatedly are examined once.
#[test]
fn a_lease_is_renewed_once_a_frame() {
    let mut mesh = Mesh::of(&[0, 4]);
    mesh.submit(0, 4);
    let before = mesh.engines[0].snapshot().counters.dropped;
    let range = LeaseRange { first: LEASE, count: 4, paused: false, progress: Progress::Unknown };
    mesh.say(1, 0, Message::Renew(vec![range; 256]));
    assert_eq!(mesh.engines[0].snapshot().counters.dropped - before, 255);
    assert_eq!(mesh.engines[0].audit().leases_open, 4);
}

/// A reported service time is capped at the time between award and outcome.
#[test]
fn nobody_makes_a_deadline_hopeless_by_what_it_says_that_a_task_took() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 2, |what| what.policy.deadline_ms = Some(60_000));
    let run = mesh.slots[1][0];
    mesh.advance_ms(100);
    let usage = Usage { wall_us: u64::MAX, ..Usage::default() };
    mesh.end(1, run, Report { usage, ..Report::bare(Outcome::Done) });
    let why = mesh.engines[0].why(mesh.now, JOB, 1).expect("it is known");
    assert_eq!(why.deadline, Some(Deadline::Left { ms: 59_900 }));
    let took_us = mesh.engines[0].snapshot().jobs[0].service_us;
    assert!(took_us <= 1_100_000, "{took_us}");
}

/// Tasks that are expected to be short take a minute, in both slots: the worker must not take more.
#[test]
fn a_worker_both_of_whose_slots_are_stuck_hoards_no_short_tasks() {
    let mut mesh = Mesh::of(&[0, 2]);
    known_to_be_short(&mut mesh, 0);
    mesh.submit(0, 100);
    for _ in 0..30 {
        mesh.steps = 0;
        mesh.advance_ms(1000);
    }
    assert_eq!(mesh.engines[1].audit().held.len(), 2);
}

/// An owner replaces a call by one whose tasks want more slots, and awards tasks on the bid for the first.
#[test]
fn an_award_gets_no_more_slots_than_its_bid_reserved() {
    let mut mesh = Mesh::of(&[0, 0, 8]);
    mesh.submit_with(0, 1, |what| what.job = JobId(1));
    let call = Call { call: CallId(99), count: 4, ..call_to(&mesh, 0, 2) };
    mesh.run_all();
    mesh.lose_withdraws_to = Some(2);
    mesh.say(0, 2, Message::Call(call.clone()));
    let bids = mesh.log.iter().rev().filter_map(|(_, _, message)| {
        let Message::Bid(bid) = message else { return None };
        (bid.call == call.call).then(|| bid.clone())
    });
    let bid = bids.clone().next().expect("the worker bids");
    drop(bids);
    let labels = vec![("gpu".into(), "yes".into())];
    mesh.say(0, 2, Message::Call(Call { needs: Needs { labels, ..Needs::default() }, ..call.clone() }));
    let wide = Needs { slots: 8, ..Needs::default() };
    mesh.say(0, 2, Message::Call(Call { needs: wide, count: 0, ..call.clone() }));
    let lease = |index| LeaseId { job: call.job, epoch: 0, index, attempt: 1 };
    let grants = (0..bid.slots).map(|index| Grant { lease: lease(index), input: Payload::empty() }).collect();
    mesh.say(0, 2, Message::Award(Award { call: call.call, bid: bid.bid, left: 0, grants }));
    assert_eq!(mesh.engines[2].audit().held.len(), 0, "tasks of eight slots on a bid for tasks of one");
}

/// A worker says again and again that a task was cancelled, which only its owner can do.
#[test]
fn a_task_that_a_worker_calls_cancelled_is_lost() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    for _ in 0..200 {
        mesh.steps = 0;
        mesh.advance_ms(60_000);
        if let Some(run) = mesh.slots[1].first().copied() {
            mesh.end(1, run, Report::bare(Outcome::Cancelled));
        }
    }
    let Event::TaskEnded { report, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert!(matches!(report.outcome, Outcome::Lost(_)), "{:?}", report.outcome);
}
