//! Faults that were found and fixed, one regression test each. Same engines and wire as the stories.

mod wire;

use std::sync::Arc;

use weft_core::message::{Bid, Class, Delivery, Needs};
use weft_core::*;
use wire::{JOB, Mesh, host, id};

fn blob(n: u8) -> Payload {
    Payload::Blob { id: BlobId([n; 32]), bytes: 100_000 }
}

/// An overdue attempt whose output can't be fetched must not use up the task's losses.
#[test]
fn an_overdue_outcome_that_cannot_be_fetched_does_not_kill_the_task() {
    let mut mesh = Mesh::of(&[0, 1, 1, 0]);
    mesh.submit(0, 1);
    let first = if mesh.running()[1] == 1 { 1 } else { 2 };
    let second = 3 - first;
    mesh.cut(0, first, false);
    // no gossip gets through for a while either
    mesh.links.insert((first, second), false);
    mesh.links.insert((first, 3), false);
    mesh.advance_ms(6000);
    assert_eq!(mesh.running()[second], 1, "second attempt runs");
    mesh.links.insert((first, 3), true);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let report = Report { output: blob(7), ..Report::bare(Outcome::Done) };
    mesh.held_fetches = Some(Vec::new());
    for _ in 0..40 {
        mesh.input(
            0,
            Input::Heard {
                origin: id(first),
                gossip: Gossip::Outcome {
                    owner: id(0),
                    delivery: Delivery { lease, report: report.clone().into(), memo: None, proof: None },
                },
            },
        );
        for (node, blob, _) in mesh.held_fetches.replace(Vec::new()).unwrap() {
            mesh.input(node, Input::Fetched { blob, fetched: Fetched::Missing });
        }
        for _ in 0..5 {
            mesh.advance_ms(1000);
        }
    }
    assert_eq!(mesh.ended(0), 0, "attempt 2 still runs and renews; the task must not be given up");
}

/// A task must not be committed while its blob is missing.
#[test]
fn no_commit_before_every_blob_is_here() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 1);
    let module = mesh.held_fetches.replace(Vec::new()).unwrap();
    for (node, blob, _) in module {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    }
    let report = Report { output: blob(7), errors: blob(8), ..Report::bare(Outcome::Done) };
    let run = mesh.slots[1].pop().unwrap();
    mesh.input(1, Input::Ran(vec![(run, report)]));
    mesh.input(0, Input::Fetched { blob: BlobId([7; 32]), fetched: Fetched::Missing });
    mesh.advance_ms(1100); // the worker sends it again
    mesh.input(0, Input::Fetched { blob: BlobId([8; 32]), fetched: Fetched::Here });
    assert_eq!(mesh.ended(0), 0, "output 7 is not here");
}

/// One frame of renewals cost as much work as it claimed leases, not as many as its sender held.
#[test]
fn renewals_of_nothing_are_answered_within_a_bound() {
    let mut mesh = Mesh::of(&[0, 0]);
    mesh.submit(0, 100_000);
    let range = message::LeaseRange {
        first: LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 },
        count: u32::MAX,
        paused: false,
        progress: message::Progress::Unknown,
    };
    mesh.say(1, 0, Message::Renew(vec![range; 1000]));
    let cancelled = |message: &Message| if let Message::Cancel(leases) = message { leases.len() } else { 0 };
    let answered: usize = mesh.log.iter().map(|(_, _, message)| cancelled(message)).sum();
    assert_eq!(answered, message::BATCH_MAX, "told that it holds none of them, as far as one frame goes");
    assert_eq!(mesh.engines[0].audit().leases_open, 0);
}

/// A broken worker that is always free.
#[test]
fn a_worker_that_loses_everything_does_not_eat_the_job() {
    let mut mesh = Mesh::of(&[0, 1, 2]);
    mesh.submit(0, 50);
    // node 1 loses every task at once; node 2 works on tasks of a minute.
    let mut t = 0;
    while t < 60_000 {
        let lost: Vec<_> = mesh.slots[1]
            .drain(..)
            .map(|run| (run, Report::bare(Outcome::Lost("disk full".into()))))
            .collect();
        if lost.is_empty() {
            mesh.advance_ms(20);
            t += 20;
        } else {
            mesh.steps = 0;
            mesh.input(1, Input::Ran(lost));
        }
        mesh.steps = 0;
        if mesh.log.len() > 50_000 {
            break;
        }
    }
    let dead = mesh.events[0]
        .iter()
        .filter(
            |e| matches!(e, Event::TaskEnded { report, .. } if matches!(report.outcome, Outcome::Lost(_))),
        )
        .count();
    assert_eq!(dead, 0, "node 2 is healthy and would have run them all");
}

/// An owner that never acknowledges filled a worker's only outbox.
#[test]
fn an_owner_that_never_acknowledges_does_not_stop_a_worker_for_others() {
    let mut mesh = Mesh::of(&[0, 2, 0]);
    mesh.lose_acks_from = Some(2);
    mesh.submit_with(2, 3000, |what| what.job = JobId(9));
    for _ in 0..3000 {
        mesh.steps = 0;
        mesh.run_some(1);
    }
    let kept = mesh.engines[1].audit().undelivered;
    assert!((2048..2150).contains(&kept), "{kept} outcomes are kept for the silent owner");
    mesh.submit(0, 1);
    assert_eq!(mesh.running()[1], 1, "another owner's task starts at once");
}

/// A `Withdraw` was lost.
#[test]
fn a_lost_withdraw_does_not_make_bid_and_release_chase_each_other() {
    let mut mesh = Mesh::of(&[0, 2, 2]);
    mesh.lose_withdraws_to = Some(2);
    mesh.submit(0, 2);
    mesh.advance_ms(4500);
    let bids = mesh.log.iter().filter(|(_, _, m)| matches!(m, Message::Bid(_))).count();
    assert!(bids < 20);
}

/// A `Cancel` was lost in a partition.
#[test]
fn a_cancel_lost_in_a_cut_is_said_again_after_it() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.cut(0, 1, false);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.advance_ms(1000);
    mesh.links.insert((0, 1), true);
    mesh.links.insert((1, 0), true);
    mesh.input(0, Input::PeerUp { peer: id(1), boot: 2, host: host(1) });
    mesh.input(1, Input::PeerUp { peer: id(0), boot: 1, host: host(0) });
    for _ in 0..30 {
        mesh.advance_ms(1000);
    }
    assert_eq!(mesh.aborted, 1, "30 s after the heal the worker still runs a cancelled task");
}

/// One owner's bad provider loses another owner's task.
#[test]
fn a_fetch_that_one_owner_started_does_not_fail_anothers_task() {
    let mut mesh = Mesh::of(&[0, 4, 0]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, |what| what.job = JobId(9)); // does not have the module
    mesh.submit(0, 1); // has it
    let asked: Vec<_> = mesh.held_fetches.replace(Vec::new()).unwrap();
    for (node, blob, from) in asked {
        mesh.input(
            node,
            Input::Fetched {
                blob,
                fetched: if from.contains(&id(0)) { Fetched::Here } else { Fetched::Missing },
            },
        );
    }
    assert_eq!(
        mesh.engines[0].snapshot().counters.lost,
        0,
        "owner 0 has the module; its task was lost because owner 2 has not"
    );
}

/// A module was evicted from the store.
#[test]
fn a_module_that_left_the_store_is_fetched_again() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.run_all();
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, |what| what.job = JobId(2));
    mesh.outcome = Outcome::Lost("module unreadable: not in the store".into());
    mesh.run_some(1);
    mesh.steps = 0;
    mesh.advance_ms(10_000);
    assert!(!mesh.held_fetches.as_ref().unwrap().is_empty(), "the worker never looks for the module again");
}

/// Urgent calls that are never used.
#[test]
fn bids_that_are_never_used_do_not_starve_others() {
    let mut mesh = Mesh::of(&[0, 2, 0]);
    let program = Arc::new(Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: vec![],
        env: vec![],
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    });
    let call = Message::Call(message::Call {
        call: CallId(5),
        job: JobId(9),
        program,
        needs: Needs::default(),
        class: Class::Realtime,
        terms: Terms::default(),
        count: 1_000_000,
        service_us: 0,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    });
    // node 2 ignores its inputs: bids to it are neither used nor released
    mesh.deaf = Some((1, 2));
    mesh.say(2, 1, call.clone());
    mesh.submit(0, 2);
    for _ in 0..30 {
        mesh.steps = 0;
        mesh.say(2, 1, call.clone());
        mesh.advance_ms(1000);
    }
    assert!(mesh.running()[1] > 0, "two idle slots and an eligible task for 30 s");
}

#[test]
fn a_worker_that_only_renews_does_not_hold_a_job_for_ever() {
    let mut mesh = Mesh::of(&[0, 0, 1]); // node 1 is hostile
    mesh.input(2, Input::Command(Command::Drain(true)));
    mesh.submit(0, 1000);
    mesh.deaf = Some((0, 1));
    let call = mesh
        .log
        .iter()
        .find_map(|(_, to, m)| if let (1, Message::Call(c)) = (*to, m) { Some(c.call) } else { None })
        .unwrap();
    mesh.say(
        1,
        0,
        Message::Bid(Bid { call, bid: BidId(1), slots: u32::MAX, start_in_us: 0, warm: true, ttl_ms: 2000 }),
    );
    mesh.input(2, Input::Command(Command::Drain(false)));
    for _ in 0..1800 {
        mesh.steps = 0;
        let all = message::LeaseRange {
            first: LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 },
            count: 1000,
            paused: false,
            progress: message::Progress::Unknown,
        };
        mesh.say(1, 0, Message::Renew(vec![all]));
        mesh.advance_ms(1000);
        mesh.run_some(2);
    }
    assert!(mesh.ended(0) > 0);
}

#[test]
fn tasks_hoarded_on_a_wrong_guess_are_given_back() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 100);
    let runs: Vec<_> = mesh.slots[1]
        .drain(..)
        .map(|run| {
            (run, Report { usage: Usage { wall_us: 10, ..Usage::default() }, ..Report::bare(Outcome::Done) })
        })
        .collect();
    mesh.input(1, Input::Ran(runs));
    // the others take a minute each
    mesh.join(2, Vec::new());
    for _ in 0..60 {
        mesh.steps = 0;
        mesh.advance_ms(1000);
    }
    let held: Vec<_> = mesh.engines.iter().map(|engine| engine.audit().held.len()).collect();
    assert_eq!(held, [0, 2, 2], "two slots idle while 96 tasks wait");
}

/// A worker that answers with too long an inline payload.
#[test]
fn an_oversize_outcome_is_no_outcome() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    assert_eq!(mesh.running()[1], 1);
    let lease = mesh.engines[1].audit().held[0].1;
    let output = Payload::Inline(vec![0u8; 1_048_540].into());
    let report = Report { output, ..Report::bare(Outcome::Done) };
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease, report: report.into(), memo: None, proof: None }]),
    );
    assert_eq!(mesh.ended(0), 0, "it must not commit");
}

/// The second copy of an award found its bid used up and was refused, so that its owner ran the task again although the
/// worker held it: seed 212 of the swarm.
#[test]
fn an_award_that_comes_twice_is_not_refused_the_second_time() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit(0, 1);
    let award = mesh.log.iter().find(|(_, _, message)| matches!(message, Message::Award(_))).cloned();
    let Some((from, to, award)) = award else { return assert!(award.is_some(), "it was awarded") };
    mesh.say(from, to, award.clone());
    assert_eq!(mesh.running().iter().sum::<usize>(), 1, "no other worker runs it");
    mesh.lose_acks_from = Some(0);
    mesh.run_all();
    mesh.say(from, to, award);
    let refused = |(_, _, message): &(usize, usize, Message)| matches!(message, Message::Refuse { .. });
    assert!(!mesh.log.iter().any(refused), "neither while it is held nor while its outcome is kept");
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn room_that_ran_out_while_a_process_stood_still_is_free_again() {
    let mut mesh = Mesh::of(&[0, 1]);
    let quick = |mesh: &Mesh| Report { usage: Usage { wall_us: 300, ..Usage::default() }, ..mesh.report() };
    mesh.submit(0, 20);
    while let Some(run) = mesh.slots[1].first().copied() {
        let report = quick(&mesh);
        mesh.end(1, run, report);
    }
    assert_eq!(mesh.ended(0), 20);
    mesh.submit_with(0, 2, |what| what.job = JobId(2));
    let runs = mesh.slots[1].clone();
    let audit = mesh.engines[1].audit();
    assert!(!runs.is_empty() && audit.reserved > audit.bid, "they came on credit: {audit:?}");
    // No engine is woken meanwhile, and the worker's first input is that its tasks ended.
    mesh.now = mesh.now.plus_ms(3000);
    mesh.slots[1].clear();
    let report = quick(&mesh);
    mesh.input(1, Input::Ran(runs.into_iter().map(|run| (run, report.clone())).collect()));
    mesh.run_all();
    mesh.advance_ms(10_000);
    assert_eq!((mesh.ended(0), mesh.engines[1].audit().reserved), (22, 0));
    mesh.assert_quiet();
}

/// A worker that repeats an outcome every second whose blob never arrives holds its task for as long as one that only
/// renews.
#[test]
fn an_outcome_whose_blob_never_comes_does_not_hold_its_task_for_ever() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    for _ in 0..1800 {
        mesh.steps = 0;
        let report = Report { output: blob(7), ..Report::bare(Outcome::Done) };
        mesh.say(
            1,
            0,
            Message::Outcome(vec![Delivery { lease, report: report.into(), memo: None, proof: None }]),
        );
        for (node, blob, _) in mesh.held_fetches.replace(Vec::new()).unwrap() {
            mesh.input(node, Input::Fetched { blob, fetched: Fetched::Missing });
        }
        mesh.advance_ms(1000);
    }
    assert!(mesh.engines[0].snapshot().counters.lost > 0, "the attempt is given up");
}

#[test]
fn an_outcome_whose_blob_is_something_else_is_lost_at_once() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.held_fetches = Some(Vec::new());
    let run = mesh.slots[1].pop().unwrap();
    mesh.input(1, Input::Ran(vec![(run, Report { output: blob(7), ..Report::bare(Outcome::Done) })]));
    mesh.input(0, Input::Fetched { blob: BlobId([7; 32]), fetched: Fetched::Wrong });
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 1);
}
