//! A task of a higher class on a full worker: which tasks are paused or stopped for it, and when they resume.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::{Class, LeaseRange, Progress};
use weft_core::snapshot::TaskView;
use weft_core::*;
use wire::{JOB, Mesh};

fn job(number: u64, class: Class) -> impl FnOnce(&mut Submission) {
    move |what: &mut Submission| (what.job, what.class) = (JobId(number), class)
}

/// Runs, paused runs.
fn counts(mesh: &Mesh, node: usize) -> (usize, usize) {
    (mesh.slots[node].len(), mesh.paused[node].len())
}

fn last_run(mesh: &mut Mesh, node: usize) {
    let run = *mesh.slots[node].iter().max().unwrap_or(&RunId(0));
    let report = mesh.report();
    mesh.end(node, run, report);
}

#[test]
fn a_realtime_task_starts_at_once_on_a_full_worker_and_the_stopped_one_goes_on() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 6);
    mesh.advance_ms(10);
    mesh.submit_with(0, 1, job(9, Class::Realtime));
    assert_eq!(counts(&mesh, 1), (2, 1));
    let snapshot = mesh.engines[1].snapshot();
    assert_eq!((snapshot.running, snapshot.paused, snapshot.counters.preempted), (2, 1, 1));
    last_run(&mut mesh, 1);
    assert!(mesh.events[0].contains(&Event::JobEnded { job: JobId(9) }));
    assert_eq!(counts(&mesh, 1), (2, 0), "it goes on before the next of its class begins");
    mesh.run_all();
    assert_eq!(mesh.ended(0), 7);
    mesh.assert_quiet();
}

#[test]
fn the_youngest_of_the_lowest_class_is_stopped() {
    let mut mesh = Mesh::of(&[0, 3]);
    for (number, class) in [(1, Class::Scavenger), (2, Class::Batch), (3, Class::Scavenger)] {
        mesh.submit_with(0, 1, job(number, class));
        mesh.advance_ms(10);
    }
    mesh.submit_with(0, 1, job(9, Class::Interactive));
    assert_eq!(mesh.paused[1], [RunId(2)]);
    mesh.submit_with(0, 1, job(10, Class::Interactive));
    assert_eq!(mesh.paused[1], [RunId(2), RunId(0)], "then the older scavenger, before the batch");
}

#[test]
fn nobody_stops_for_its_own_class() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, job(1, Class::Realtime));
    mesh.submit_with(0, 1, job(2, Class::Realtime));
    mesh.submit_with(0, 1, job(3, Class::Interactive));
    assert_eq!((counts(&mesh, 1), mesh.engines[1].snapshot().counters.preempted), ((1, 0), 0));
    mesh.run_all();
    assert_eq!(mesh.ended(0), 3);
}

#[test]
fn never_more_are_paused_than_there_are_slots() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit_with(0, 2, job(1, Class::Scavenger));
    mesh.submit_with(0, 2, job(2, Class::Batch));
    mesh.submit_with(0, 2, job(3, Class::Interactive));
    mesh.submit_with(0, 2, job(4, Class::Realtime));
    assert_eq!(counts(&mesh, 1), (2, 2));
    let audit = mesh.engines[1].audit();
    assert!(audit.held.len() + audit.reserved as usize <= audit.reserved_max as usize);
    mesh.run_all();
    for _ in 0..10 {
        mesh.advance_ms(1000);
        mesh.run_all();
    }
    assert_eq!(mesh.ended(0), 8);
    mesh.assert_quiet();
}

#[test]
fn short_tasks_are_waited_for_and_make_way_when_they_prove_long() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit(0, 4);
    let run = mesh.slots[0][0];
    let quick = Report { usage: Usage { wall_us: 4000, ..Usage::default() }, ..mesh.report() };
    mesh.end(0, run, quick);
    assert_eq!(mesh.slots[0], [RunId(1), RunId(2)], "one runs, one is handed over ahead");
    mesh.submit_with(0, 1, job(9, Class::Realtime));
    assert_eq!((counts(&mesh, 0), mesh.aborted), ((2, 0), 0), "four milliseconds are waited for");
    mesh.advance_ms(6);
    assert_eq!(mesh.aborted, 1, "but no more than five: what has not begun is taken back");
    mesh.end(0, RunId(2), Report::bare(Outcome::Cancelled));
    assert_eq!((mesh.paused[0].clone(), mesh.slots[0].len()), (vec![RunId(1)], 1));
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.lost), (5, 0));
    mesh.assert_quiet();
}

#[test]
fn what_is_taken_back_may_have_ended_or_be_cancelled_meanwhile() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit(0, 4);
    let run = mesh.slots[0][0];
    let quick = Report { usage: Usage { wall_us: 4000, ..Usage::default() }, ..mesh.report() };
    mesh.end(0, run, quick);
    mesh.submit_with(0, 1, job(9, Class::Realtime));
    mesh.advance_ms(6);
    mesh.end(0, RunId(2), mesh.report());
    assert_eq!(mesh.ended(0), 2, "it had ended");
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.run_all();
    assert_eq!(mesh.ended(0), 5);
    mesh.assert_quiet();
}

#[test]
fn a_cancelled_job_takes_its_paused_tasks_along() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.submit_with(0, 1, job(9, Class::Realtime));
    assert_eq!(counts(&mesh, 1), (1, 1));
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    assert_eq!(mesh.aborted, 1);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 2);
    assert_eq!(mesh.engines[1].audit().paused, 0);
    mesh.assert_quiet();
}

#[test]
fn a_run_that_ends_while_it_is_being_paused_has_ended() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.submit_with(0, 1, job(9, Class::Realtime));
    let run = mesh.paused[1].remove(0);
    let report = mesh.report();
    mesh.end(1, run, report);
    assert_eq!(mesh.ended(0), 1);
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.engines[1].audit().paused), (2, 0));
    mesh.assert_quiet();
}

#[test]
fn a_paused_lease_is_renewed_says_so_and_its_time_does_not_count() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.submit_with(0, 1, |what| {
        job(9, Class::Realtime)(what);
        let limits = Limits { wall_ms: 3_600_000, ..Limits::DEFAULT };
        what.program = std::sync::Arc::new(Program { limits, ..Program::clone(&what.program) });
    });
    for _ in 0..1200 {
        mesh.steps = 0;
        mesh.advance_ms(1000);
    }
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0, "twenty minutes are not held against it");
    let why = mesh.engines[0].why(mesh.now, JOB, 0).map(|why| why.state);
    let Some(TaskView::Leased { paused: true, .. }) = why else { panic!("{why:?}") };
    assert_eq!(mesh.engines[1].audit().held.len(), 2, "nothing was given back");
}

#[test]
fn a_worker_that_says_paused_for_ever_keeps_nothing_for_ever() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    mesh.links.insert((1, 0), false); // its own message is lost
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let mut seconds = 0;
    while mesh.engines[0].snapshot().counters.lost == 0 {
        mesh.steps = 0;
        let range = LeaseRange { first: lease, count: 1, paused: true, progress: Progress::Unknown };
        mesh.feed(0, Input::Received { from: wire::id(1), message: Message::Renew(vec![range]) });
        mesh.advance_ms(3000);
        seconds += 3;
        assert!(seconds < 2 * 3600, "two hours of renewals");
    }
    assert!(seconds > 3600, "an hour is granted, and it had {seconds} s");
}

/// A task of that class, of a job of this number, with this limit of memory in MiB.
fn using(number: u64, class: Class, mib: u64) -> impl FnOnce(&mut Submission) {
    move |what: &mut Submission| {
        job(number, class)(what);
        let limits = Limits { memory_bytes: mib << 20, ..Limits::DEFAULT };
        what.program = std::sync::Arc::new(Program { limits, ..Program::clone(&what.program) });
    }
}

/// The node gives one GiB to each task, so that two tasks of half of it can be paused and run together, and no more.
#[test]
fn what_is_held_and_what_runs_share_the_memory_that_the_node_gives() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, using(1, Class::Batch, 512));
    mesh.submit_with(0, 1, using(9, Class::Realtime, 512));
    assert_eq!(counts(&mesh, 1), (1, 1), "both fit");
    let audit = mesh.engines[1].audit();
    assert_eq!((audit.memory, audit.memory_max), (1 << 30, 1 << 30));
}

#[test]
fn what_there_is_no_memory_to_hold_is_stopped_and_begins_anew_and_why_says_so() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, using(1, Class::Batch, 513));
    let first = mesh.slots[1][0];
    mesh.submit_with(0, 1, using(9, Class::Realtime, 512));
    assert_eq!(
        (counts(&mesh, 1), mesh.aborted),
        ((1, 0), 1),
        "it is told to end, and has its memory until it has"
    );
    assert_eq!(mesh.slots[1], [first]);
    mesh.end(1, first, Report::bare(Outcome::Cancelled));
    assert_eq!(mesh.slots[1].len(), 1, "then the other begins, and no more is stopped");
    let why = mesh.engines[0].why(mesh.now, JobId(1), 0).expect("it is known");
    assert!(matches!(why.state, TaskView::Queued { .. }), "{:?}", why.state);
    let notes: Vec<String> = why.notes.iter().map(ToString::to_string).collect();
    let said =
        "stopped once for tasks of a higher class: the node that ran it had no memory to hold it meanwhile";
    assert!(notes.iter().any(|note| note.starts_with(said)), "{notes:?}");
    mesh.run_all();
    mesh.advance_ms(3000);
    mesh.run_all();
    let counters = mesh.engines[0].snapshot().counters;
    assert_eq!((mesh.ended(0), counters.lost), (2, 0), "no worker is blamed, and nothing is lost");
    mesh.assert_quiet();
}

/// If a scavenger task is paused already and a batch task would have to be, the scavenger task is stopped.
#[test]
fn the_least_of_those_that_are_held_is_stopped_first() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit_with(0, 1, using(1, Class::Realtime, 100));
    mesh.submit_with(0, 1, using(2, Class::Scavenger, 900));
    let scavenger = mesh.slots[1][1];
    mesh.submit_with(0, 1, using(3, Class::Batch, 900));
    assert_eq!((mesh.paused[1].clone(), mesh.aborted), (vec![scavenger], 0), "1900 of 2048 MiB");
    mesh.submit_with(0, 1, using(4, Class::Realtime, 900));
    assert_eq!(
        (mesh.aborted, counts(&mesh, 1)),
        (1, (3, 0)),
        "the scavenger is told to end where it was held"
    );
    mesh.end(1, scavenger, Report::bare(Outcome::Cancelled));
    assert_eq!(counts(&mesh, 1), (2, 1), "the batch task is held, the urgent one runs");
    let audit = mesh.engines[1].audit();
    assert_eq!((audit.memory, audit.memory_max), (1900 << 20, 2048 << 20));
}

/// Memory is short, and the paused task has the same class: it resumes first.
#[test]
fn nothing_of_its_own_class_is_stopped_for_memory() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit_with(0, 2, using(1, Class::Batch, 700));
    mesh.submit_with(0, 1, using(2, Class::Realtime, 500));
    assert_eq!((counts(&mesh, 1), mesh.aborted), ((2, 1), 0));
    mesh.submit_with(0, 2, using(3, Class::Batch, 1024));
    for _ in 0..8 {
        mesh.run_all();
        mesh.advance_ms(1000);
    }
    assert_eq!((mesh.ended(0), mesh.aborted), (5, 0));
    mesh.assert_quiet();
}

/// Three urgent tasks each need the memory of the long one: a task that was stopped twice is not stopped again.
#[test]
fn a_task_that_was_stopped_twice_ends_amid_a_steady_higher_class() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, using(1, Class::Batch, 1024));
    for number in [10, 11] {
        let long = mesh.slots[1][0];
        mesh.submit_with(0, 1, using(number, Class::Interactive, 1024));
        mesh.end(1, long, Report::bare(Outcome::Cancelled));
        last_run(&mut mesh, 1);
        mesh.advance_ms(3000);
        assert_eq!(mesh.slots[1].len(), 1, "it begins anew");
    }
    assert_eq!((mesh.ended(0), mesh.aborted), (2, 2));
    let long = mesh.slots[1][0];
    mesh.submit_with(0, 1, using(12, Class::Realtime, 1024));
    assert_eq!((mesh.aborted, mesh.slots[1].clone()), (2, vec![long]), "it is stopped no more");
    last_run(&mut mesh, 1);
    assert_eq!(mesh.ended(0), 3, "it ends");
    mesh.advance_ms(3000);
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.aborted), (4, 2));
    mesh.assert_quiet();
}

/// A task that may not be stopped again is paused, and the next one needs its memory: there is no deadlock.
#[test]
fn what_is_held_and_may_not_be_stopped_goes_on_where_its_memory_is_wanted() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, using(1, Class::Batch, 512));
    for number in [10, 11] {
        let long = mesh.slots[1][0];
        mesh.submit_with(0, 1, using(number, Class::Interactive, 1024));
        mesh.end(1, long, Report::bare(Outcome::Cancelled));
        last_run(&mut mesh, 1);
        mesh.advance_ms(3000);
    }
    mesh.submit_with(0, 1, using(12, Class::Interactive, 512));
    assert_eq!((counts(&mesh, 1), mesh.aborted), ((1, 1), 2), "there is memory to hold it");
    mesh.submit_with(0, 1, using(13, Class::Realtime, 1024));
    last_run(&mut mesh, 1);
    assert_eq!(mesh.slots[1].len(), 1, "the slot is used");
    for _ in 0..3 {
        mesh.run_all();
        mesh.advance_ms(3000);
    }
    assert_eq!((mesh.ended(0), mesh.aborted), (5, 2));
    mesh.assert_quiet();
}

/// Four refusals in a row exclude a worker; stopping a task for a higher class is not a refusal.
#[test]
fn a_worker_that_stops_tasks_for_others_is_not_blamed() {
    let mut mesh = Mesh::of(&[0, 6]);
    mesh.submit(0, 6);
    for index in 0..6 {
        let lease = LeaseId { job: JOB, epoch: 0, index, attempt: 1 };
        mesh.say(1, 0, Message::Stopped { leases: vec![lease] });
        mesh.advance_ms(50);
    }
    let why = mesh.engines[0].why(mesh.now, JOB, 5).expect("it is known");
    let said: Vec<String> = why.responses.iter().map(|answer| format!("{:?}", answer.response)).collect();
    assert!(!said.is_empty() && !said.iter().any(|said| said.contains("Mistrusted")), "{said:?}");
}
