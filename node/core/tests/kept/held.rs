//! What workers hold of a job when its owner restarts, and when they restart themselves.

use weft_core::durable::{GivenTasks, TaskRange};
use weft_core::message::{Delivery, HeldLease, HeldState, Holding};

use super::*;

fn lease(index: u32) -> LeaseId {
    LeaseId { job: JOB, epoch: 1, index, attempt: 1 }
}

fn adopted(mesh: &Mesh) -> u64 {
    mesh.engines[0].snapshot().counters.adopted
}

/// Tasks that a worker has finished or runs, of an owner that has just started again.
fn restarted(tasks: usize, slots: u32) -> Mesh {
    let mut mesh = Mesh::of(&[0, slots]);
    mesh.submit_with(0, tasks, kept);
    mesh.log.clear();
    mesh.restart(0, 0);
    mesh
}

#[test]
fn what_a_worker_runs_goes_on_in_the_next_life_of_its_owner() {
    let mut mesh = restarted(3, 2);
    assert_eq!((adopted(&mesh), mesh.running(), mesh.aborted), (2, vec![0, 2], 0));
    mesh.run_some(1);
    assert_eq!(mesh.ended(0), 2, "their outcomes count, under the numbers that they had");
    mesh.advance_ms(1000);
    mesh.run_all();
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("ended"));
    let epoch = epoch(&mesh, 0);
    assert!(leases_awarded(&mesh).iter().all(|lease| (lease.epoch, lease.index) == (epoch, 2)));
    assert_eq!(mesh.engines[1].snapshot().counters.executed, 3, "nothing ran twice");
    mesh.assert_quiet();
}

#[test]
fn what_ended_while_the_owner_was_away_counts_when_it_is_back() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit_with(0, 2, kept);
    mesh.switch_off(0);
    mesh.advance_ms(60_000);
    assert_eq!(mesh.running(), [0, 2], "a kept job's tasks go on without their owner");
    mesh.run_some(1);
    mesh.advance_ms(60_000);
    mesh.restart(0, 0);
    mesh.advance_ms(1000);
    assert_eq!((mesh.ended(0), mesh.running()), (2, vec![0, 0]));
    assert_eq!(leases_awarded(&mesh).iter().filter(|lease| lease.epoch > 1).count(), 0);
    mesh.assert_quiet();
}

#[test]
fn what_an_owner_awarded_in_an_earlier_life_is_known_as_come_home() {
    const AGAIN: JobId = JobId(0xa9a1);
    let inputs = || vec![Payload::inline(b"the same")];
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.inputs = inputs();
    });
    mesh.restart(0, 0);
    mesh.run_some(1);
    assert_eq!((adopted(&mesh), mesh.ended(0)), (1, 1));
    // The one that computed it answers from its own memory no more.
    mesh.switch_off(1);
    mesh.submit_with(0, 1, |what| (what.job, what.inputs) = (AGAIN, inputs()));
    let end = mesh.last_end(0);
    let home = |memo: &Option<Recalled>| *memo == Some(Recalled::Home);
    assert!(
        matches!(end, Event::TaskEnded { job: AGAIN, memo, worker, .. } if home(memo) && *worker == Some(wire::id(1))),
        "{end:?}"
    );
}

#[test]
fn an_owner_that_stays_away_is_given_up_in_the_end() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.switch_off(0);
    mesh.advance_ms(599_000);
    assert_eq!((mesh.running(), mesh.aborted), (vec![0, 1], 0));
    mesh.advance_ms(2000);
    assert_eq!(mesh.aborted, 1);
}

#[test]
fn only_a_worker_that_was_given_tasks_is_believed() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 2, kept);
    mesh.join(0, Vec::new());
    mesh.restart(0, 0);
    let asked = |mesh: &Mesh, to: usize| {
        mesh.log
            .iter()
            .filter(|(_, node, message)| *node == to && matches!(message, Message::AskHolding(_)))
            .count()
    };
    assert_eq!((asked(&mesh, 1), asked(&mesh, 2)), (1, 0));
    assert_eq!(adopted(&mesh), 1);
    let all = vec![HeldLease { lease: lease(1), state: HeldState::Running }];
    mesh.say(2, 0, Message::Holding(Holding { job: JOB, epoch: epoch(&mesh, 0), all, is_last: true }));
    let report = mesh.report();
    let false_outcome = Delivery { lease: lease(1), report: report.into(), memo: None, proof: None };
    mesh.say(2, 0, Message::Outcome(vec![false_outcome]));
    assert_eq!((adopted(&mesh), mesh.ended(0)), (1, 0));
}

#[test]
fn what_was_given_after_a_copy_of_the_disk_was_made_does_not_count() {
    let extend = |mesh: &mut Mesh, input: &[u8]| {
        let inputs = vec![Payload::inline(input)];
        mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    };
    for goes_back in [true, false] {
        let mut mesh = Mesh::of(&[0, 3]);
        mesh.submit_with(0, 1, |what| {
            kept(what);
            what.closed = false;
        });
        let copy = mesh.disks[0].logs.clone();
        extend(&mut mesh, b"one");
        assert_eq!(given(&mesh, 1), [0, 1]);
        mesh.advance_ms(1000);
        mesh.switch_off(0);
        if goes_back {
            mesh.disks[0].logs.clone_from(&copy);
        }
        mesh.restart(0, 0);
        if goes_back {
            extend(&mut mesh, b"another");
            mesh.advance_ms(1000);
            let again = |lease: &LeaseId| lease.index == 1 && lease.epoch == epoch(&mesh, 0);
            assert!(leases_awarded(&mesh).iter().any(again), "the same worker has the same number again");
        }
        let report = mesh.report();
        let outcome = Delivery { lease: lease(1), report: report.into(), memo: None, proof: None };
        mesh.say(1, 0, Message::Outcome(vec![outcome]));
        assert_eq!(mesh.ended(0), usize::from(!goes_back), "a result of another input counts");
    }
}

/// The places of the tasks that a node was given.
fn given(mesh: &Mesh, to: usize) -> Vec<u32> {
    let mut grants = Vec::new();
    for (.., message) in mesh.log.iter().filter(|(_, node, _)| *node == to) {
        if let Message::Award(award) = message {
            grants.extend(&award.grants);
        }
        if let Message::Assign(assign) = message {
            grants.extend(&assign.grants);
        }
    }
    grants.into_iter().map(|grant| grant.lease.index).collect()
}

#[test]
fn a_worker_is_believed_only_about_tasks_that_it_was_given() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 4, kept);
    let (own, others) = (given(&mesh, 1)[0], given(&mesh, 2)[0]);
    let open = (0..4).find(|index| ![own, others].contains(index)).expect("there are four");
    mesh.deaf = Some((0, 1));
    mesh.restart(0, 0);
    assert_eq!(adopted(&mesh), 1, "the one that hears the question says what it has");
    let held = |index, state| HeldLease { lease: lease(index), state };
    let all = vec![
        held(open, HeldState::Running),
        held(others, HeldState::Ended),
        held(open, HeldState::Ended),
        held(own, HeldState::Running),
    ];
    mesh.say(1, 0, Message::Holding(Holding { job: JOB, epoch: epoch(&mesh, 0), all, is_last: true }));
    assert_eq!(adopted(&mesh), 2, "its own task");
    let report = mesh.report();
    let outcome =
        |index| Delivery { lease: lease(index), report: report.clone().into(), memo: None, proof: None };
    mesh.say(1, 0, Message::Outcome(vec![outcome(open), outcome(others)]));
    assert_eq!((adopted(&mesh), mesh.ended(0)), (2, 0), "not of tasks of others");
    mesh.say(1, 0, Message::Outcome(vec![outcome(own)]));
    assert_eq!(mesh.ended(0), 1, "its own counts");
}

#[test]
fn a_worker_of_which_an_older_log_says_no_tasks_is_asked_and_leaves_what_it_has() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.switch_off(0);
    for record in &mut mesh.disks[0].logs[0].1 {
        if let Ok(LogRecord::Leased { all }) = LogRecord::decode(record) {
            let workers = all.iter().map(|of| of.worker).collect();
            *record = LogRecord::Given { workers }.encode();
        }
    }
    mesh.restart(0, 0);
    assert_eq!((adopted(&mesh), mesh.aborted), (0, 1));
    mesh.advance_ms(1000);
    mesh.run_all();
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("ended"), "it ran again");
    mesh.assert_quiet();
}

#[test]
fn the_log_names_a_task_of_a_worker_once_however_often_it_is_given_back() {
    let mut mesh = Mesh::of(&[0, 0]);
    // It refuses what it is given, for its engine knows of no bid.
    mesh.bid_for_all = vec![1];
    mesh.submit_with(0, 3, kept);
    for _ in 0..20 {
        mesh.steps = 0;
        mesh.advance_ms(1000);
    }
    assert!(leases_awarded(&mesh).len() > 6, "{:?}", leases_awarded(&mesh));
    let all = vec![GivenTasks { worker: wire::id(1), ranges: vec![TaskRange { first: 0, more: 2 }] }];
    assert_eq!(mesh.records(0)[1..], [LogRecord::Leased { all }]);
}

#[test]
fn a_job_that_verifies_takes_its_votes_anew() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.policy.verify = 2;
    });
    assert_eq!(mesh.running(), [0, 1, 1]);
    mesh.restart(0, 0);
    assert_eq!((adopted(&mesh), mesh.aborted), (0, 2));
}

#[test]
fn tasks_wait_for_answers_and_not_for_long() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 3, kept);
    assert_eq!(mesh.running(), [0, 1, 1]);
    mesh.log.clear();
    mesh.deaf = Some((0, 1));
    mesh.restart(0, 0);
    assert_eq!(adopted(&mesh), 1, "the other one did not hear the question");
    mesh.run_some(2);
    mesh.advance_ms(2900);
    assert_eq!(leases_awarded(&mesh), []);
    let why = mesh.engines[0].why(mesh.now, JOB, 2).expect("it has that task");
    assert!(why.notes.contains(&snapshot::Note::AskingHolders), "{why:?}");
    mesh.advance_ms(200);
    assert_eq!(leases_awarded(&mesh).len(), 1, "the worker that has a free slot gets one");
    // It answers when it is asked again; what has begun elsewhere meanwhile it leaves.
    mesh.deaf = None;
    mesh.cut(0, 1, false);
    mesh.join_again(0, 1);
    for _ in 0..5 {
        mesh.run_all();
        mesh.advance_ms(1000);
    }
    assert_eq!((mesh.ended(0), words(&mesh, 0).last().map(String::as_str)), (3, Some("ended")));
    mesh.assert_quiet();
}

#[test]
fn what_was_tried_again_since_takes_nothing_of_before() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.policy.retries = 0;
    });
    let run = mesh.slots[1][0];
    mesh.end(1, run, Report::bare(Outcome::Failed(Failure::Exit(1))));
    let log = mesh.disks[0].fold(JOB);
    mesh.slots[1].clear();
    mesh.input(0, Input::Command(Command::Retry(log)));
    let report = Report::bare(Outcome::Failed(Failure::Exit(1)));
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease: lease(0), report: report.into(), memo: None, proof: None }]),
    );
    assert_eq!(adopted(&mesh), 0);
    mesh.run_all();
    assert_eq!(mesh.disks[0].fold(JOB).figures().done, 1);
}

#[test]
fn a_worker_that_restarts_offers_again_what_was_not_acknowledged() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.switch_off(0);
    mesh.run_some(1);
    assert_eq!(mesh.disks[1].retained.len(), 0, "most are acknowledged sooner");
    mesh.advance_ms(100);
    assert_eq!(mesh.disks[1].retained.len(), 1);
    mesh.restart(1, 1);
    mesh.restart(0, 0);
    mesh.advance_ms(1000);
    assert_eq!((mesh.ended(0), mesh.running()), (1, vec![0, 0]), "it counts, and nothing runs again");
    assert_eq!(mesh.disks[1].retained.len(), 0, "what is acknowledged is kept no longer");
    mesh.assert_quiet();
}

#[test]
fn outcomes_of_jobs_in_memory_and_old_ones_are_not_kept() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.lose_acks_from = Some(0);
    mesh.run_some(1);
    mesh.advance_ms(500);
    assert_eq!((mesh.engines[1].audit().undelivered, mesh.disks[1].retained.len()), (1, 0));
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.switch_off(0);
    mesh.run_some(1);
    mesh.advance_ms(100);
    mesh.switch_off(1);
    mesh.now = mesh.now.plus_ms(MeshConfig::DEFAULT.keep_ms + 1000);
    mesh.restart(1, 1);
    assert_eq!((mesh.engines[1].audit().undelivered, mesh.disks[1].retained.len()), (0, 0));
}

#[test]
fn a_worker_that_restarts_loses_what_ran_and_its_owner_knows_at_once() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.restart(1, 1);
    assert_eq!(mesh.events[0].iter().filter(|event| matches!(event, Event::Lost { .. })).count(), 1);
    mesh.advance_ms(2000);
    assert_eq!(mesh.running(), [0, 1], "it runs again");
}
