//! Jobs at level `disk`: what is told and when, what is written, and how a job goes on in a later life of its owner.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::durable::{LogRecord, RECORD_BYTES_MAX};
use weft_core::message::{Delivery, LeaseRange, Message, Progress};
use weft_core::snapshot::Note;
use weft_core::*;
use wire::{JOB, Mesh};

const CHILD: JobId = JobId(0xc1d);

fn kept(what: &mut Submission) {
    what.level = Level::Disk;
}

fn lazy(slots: &[u32]) -> Mesh {
    let mut mesh = Mesh::of(slots);
    mesh.lazy = true;
    mesh
}

/// The events of a node about jobs, in a word each.
fn words(mesh: &Mesh, node: usize) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Accepted { tasks, .. } => format!("accepted {tasks}"),
        Event::TaskEnded { index, report, .. } => format!("{index} {}", report.outcome.word()),
        Event::JobEnded { .. } => "ended".into(),
        Event::JobGivenUp { failed, .. } => format!("given up {failed}"),
        Event::DependenciesSatisfied { .. } => "satisfied".into(),
        Event::Confirmed { .. } => "confirmed".into(),
        Event::Forgotten { .. } => "forgotten".into(),
        Event::ExtensionRefused { tasks, .. } => format!("not extended by {tasks}"),
        Event::Refused { reason, .. } => format!("{reason:?}"),
        Event::Leads { .. } => "leads".into(),
        Event::Follows { .. } => "follows".into(),
        Event::Keepers { keepers, .. } => format!("kept by {}", keepers.len()),
        Event::Printed { .. } | Event::Lost { .. } | Event::Differed { .. } | Event::OwnerGone { .. } => {
            "else".into()
        }
    };
    mesh.events[node].iter().map(word).collect()
}

/// The records of a node's life, in a word each.
fn kinds(mesh: &Mesh, node: usize) -> Vec<String> {
    let kind = |record: LogRecord| match record {
        LogRecord::Accepted(accepted) => format!("accepted {}", accepted.tasks),
        LogRecord::Extended { inputs } => format!("extended {}", inputs.len()),
        LogRecord::Closed => "closed".into(),
        LogRecord::Outcomes(all) => format!("outcomes {}", all.len()),
        LogRecord::Rest(rest) => format!("rest {}", rest.tasks.len()),
        LogRecord::ParentEnded(end) => format!("parent {}", end.succeeded),
        LogRecord::Cancelled => "cancelled".into(),
        LogRecord::GivenUp { failed } => format!("given up {failed}"),
        LogRecord::Restarted { epoch, .. } => format!("epoch {epoch}"),
        LogRecord::Ended => "ended".into(),
        LogRecord::Retried { epoch, .. } => format!("retried {epoch}"),
        LogRecord::Led { epoch, .. } => format!("led {epoch}"),
        LogRecord::Replaced { seat, .. } => format!("replaced {seat}"),
    };
    mesh.records(node).into_iter().map(kind).collect()
}

fn acks(mesh: &Mesh, from: usize) -> usize {
    let sent = mesh.log.iter().filter(|(sender, ..)| *sender == from);
    let acks = sent.map(|(.., message)| {
        let alone = if let Message::Ack(leases) = message { leases.len() } else { 0 };
        alone + if let Message::Assign(assign) = message { assign.acks.len() } else { 0 }
    });
    acks.sum()
}

fn leases_awarded(mesh: &Mesh) -> Vec<LeaseId> {
    let mut grants = Vec::new();
    for (.., message) in &mesh.log {
        if let Message::Award(award) = message {
            grants.extend(&award.grants);
        }
        if let Message::Assign(assign) = message {
            grants.extend(&assign.grants);
        }
    }
    grants.into_iter().map(|grant| grant.lease).collect()
}

fn cancel(mesh: &mut Mesh, node: usize) {
    mesh.input(node, Input::Command(Command::Cancel { job: JOB }));
}

// ---- what waits for the disk

#[test]
fn nothing_is_told_before_the_disk_has_it_and_placing_does_not_wait() {
    let mut mesh = lazy(&[0, 2]);
    mesh.submit_with(0, 2, kept);
    assert_eq!(mesh.running(), [0, 2], "tasks run before their job is kept");
    mesh.run_all();
    assert_eq!(kinds(&mesh, 0), ["accepted 2", "outcomes 2", "ended"]);
    assert_eq!((words(&mesh, 0), acks(&mesh, 0)), (vec![], 0));
    assert_eq!(mesh.engines[1].audit().undelivered, 2, "the worker keeps what is not acknowledged");
    mesh.sync_upto(0, 1);
    assert_eq!((words(&mesh, 0), acks(&mesh, 0)), (vec!["accepted 2".to_owned()], 0));
    mesh.sync_upto(0, 2);
    assert_eq!(words(&mesh, 0), ["accepted 2", "0 done", "1 done"]);
    mesh.sync_upto(0, 3);
    assert_eq!(words(&mesh, 0), ["accepted 2", "0 done", "1 done", "ended"]);
    mesh.advance_ms(2000);
    assert_eq!(acks(&mesh, 0), 2);
    assert_eq!(mesh.engines[0].audit().held_words_bytes, 0);
    mesh.assert_quiet();
}

#[test]
fn what_ran_here_waits_as_well() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 1, kept);
    mesh.run_all();
    assert_eq!(words(&mesh, 0), Vec::<String>::new());
    mesh.sync(0);
    assert_eq!(words(&mesh, 0), ["accepted 1", "0 done", "ended"]);
    assert!(mesh.pinned(0).is_empty());
}

#[test]
fn an_outcome_that_is_sent_again_is_not_acknowledged_before_the_first_is_on_the_disk() {
    let mut mesh = lazy(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    mesh.run_all();
    mesh.advance_ms(5000);
    let sent = mesh.log.iter().filter(|(_, _, message)| matches!(message, Message::Outcome(_))).count();
    assert!(sent > 1, "it was sent again: {sent}");
    assert_eq!(acks(&mesh, 0), 0);
    mesh.sync(0);
    mesh.advance_ms(2000);
    assert!(acks(&mesh, 0) >= 1);
    assert_eq!((words(&mesh, 0).len(), mesh.engines[1].audit().undelivered), (3, 0));
}

#[test]
fn a_job_in_memory_writes_nothing_and_waits_for_nothing() {
    let mut mesh = lazy(&[1, 1]);
    mesh.submit(0, 4);
    mesh.run_all();
    assert_eq!((mesh.ended(0), mesh.records(0).len()), (4, 0));
    assert!(leases_awarded(&mesh).iter().all(|lease| lease.epoch == 0));
}

#[test]
fn a_job_in_memory_does_not_wait_for_one_on_disk() {
    let mut mesh = lazy(&[2]);
    mesh.submit_with(0, 1, kept);
    mesh.submit_with(0, 1, |what| what.job = CHILD);
    mesh.run_all();
    assert_eq!(words(&mesh, 0), ["0 done", "ended"]);
}

#[test]
fn too_many_inputs_for_one_record_are_several_and_accepted_is_told_after_the_last() {
    let mut mesh = lazy(&[0]);
    mesh.submit_with(0, 0, |what| {
        kept(what);
        what.inputs = vec![Payload::inline(&[7; 16 << 10]); 100];
        what.inputs.extend(vec![Payload::empty(); 100_000]);
    });
    let sizes: Vec<usize> =
        mesh.disks[0].written.iter().filter_map(|(.., bytes)| Some(bytes.as_ref()?.len())).collect();
    assert!(sizes.len() > 2 && sizes.iter().all(|bytes| *bytes <= RECORD_BYTES_MAX), "{sizes:?}");
    mesh.sync_upto(0, sizes.len() as u64 - 1);
    assert_eq!(words(&mesh, 0), Vec::<String>::new());
    mesh.sync(0);
    assert_eq!(words(&mesh, 0), ["accepted 100100"]);
    assert_eq!(mesh.disks[0].fold(JOB).figures().open(), 100_100);
}

#[test]
fn too_much_that_waits_stops_outcomes_and_awards_until_the_disk_is_through() {
    // A worker keeps 16 MiB for an owner that does not acknowledge, and takes no more of its tasks.
    let workers = 1..=6;
    let mut mesh = lazy(&[0, 16, 16, 16, 16, 16, 16]);
    let long = || Payload::inline(&[7; 16 << 10]);
    mesh.submit_with(0, 3000, |what| {
        kept(what);
        what.terms.memo = Recall::Off;
    });
    let mut ran = 0;
    for _ in 0..60 {
        for node in workers.clone() {
            let report = Report { output: long(), errors: long(), files: long(), ..mesh.report() };
            let runs: Vec<_> = mesh.slots[node].drain(..).map(|run| (run, report.clone())).collect();
            ran += runs.len();
            mesh.steps = 0;
            mesh.input(node, Input::Ran(runs));
        }
        mesh.advance_ms(50);
    }
    let audit = mesh.engines[0].audit();
    let bound = (64 << 20) + (1 << 20);
    assert!(ran < 3000 && audit.held_words_bytes <= bound, "{ran} ran, {} held", audit.held_words_bytes);
    assert!(mesh.engines[0].snapshot().counters.dropped > 0, "outcomes were put off: {ran} ran");
    for _ in 0..100 {
        mesh.steps = 0;
        mesh.sync(0);
        workers.clone().for_each(|node| mesh.run_some(node));
        mesh.advance_ms(500);
    }
    assert_eq!((mesh.ended(0), words(&mesh, 0).last().map(String::as_str)), (3000, Some("ended")));
}

// ---- what is written

#[test]
fn the_ends_of_a_cancelled_job_are_one_record() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 5, kept);
    cancel(&mut mesh, 0);
    assert_eq!(kinds(&mesh, 0), ["accepted 5", "cancelled", "rest 5", "ended"]);
    mesh.sync(0);
    let ends = ["0 cancelled", "1 cancelled", "2 cancelled", "3 cancelled", "4 cancelled"];
    assert_eq!(words(&mesh, 0)[1..6], ends);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.has_ended() && job.is_cancelled());
    assert_eq!((job.figures().cancelled, job.figures().open()), (5, 0));
}

#[test]
fn giving_up_extending_closing_and_expiring_are_records() {
    let mut mesh = lazy(&[1]);
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.submit_with(0, 3, |what| {
        kept(what);
        (what.closed, what.policy.failures_max, what.policy.retries) = (false, Some(1), 0);
    });
    let inputs = mesh.fresh_inputs(2);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.run_some(0);
    mesh.run_some(0);
    let written = kinds(&mesh, 0);
    assert_eq!(written[..4], ["accepted 3", "extended 2", "outcomes 1", "outcomes 1"]);
    assert_eq!(written[4..], ["given up 2", "rest 3", "ended"]);
    mesh.sync(0);
    let told = words(&mesh, 0);
    assert_eq!(told[..2], ["accepted 3", "accepted 5"]);
    assert_eq!(told[4..], ["given up 2", "2 cancelled", "3 cancelled", "4 cancelled", "ended"]);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.is_given_up() && !job.is_open());

    let mut mesh = lazy(&[0]);
    mesh.submit_with(0, 2, |what| {
        kept(what);
        (what.closed, what.policy.expires_ms) = (false, Some(1000));
    });
    mesh.advance_ms(1500);
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    assert_eq!(kinds(&mesh, 0), ["accepted 2", "rest 2", "closed", "ended"]);
    mesh.sync(0);
    assert_eq!(mesh.disks[0].fold(JOB).figures().failed, 2);
}

// ---- later lives

#[test]
fn a_job_goes_on_where_its_log_ends() {
    let mut mesh = lazy(&[0, 1]);
    mesh.submit_with(0, 4, kept);
    mesh.run_some(1);
    mesh.sync(0);
    mesh.run_some(1);
    assert_eq!(words(&mesh, 0), ["accepted 4", "0 done"], "the second is not on the disk");
    mesh.log.clear();
    mesh.restart(0, 0);
    assert_eq!(kinds(&mesh, 0), ["epoch 2"]);
    assert_eq!(leases_awarded(&mesh), [], "no attempt is issued before the disk knows the epoch");
    mesh.sync(0);
    for _ in 0..5 {
        mesh.run_all();
        mesh.sync(0);
        mesh.advance_ms(1000);
    }
    let mut told = words(&mesh, 0);
    told[2..5].sort();
    assert_eq!(told, ["accepted 4", "0 done", "1 done", "2 done", "3 done", "ended"]);
    assert!(leases_awarded(&mesh).iter().all(|lease| lease.epoch == 2 && lease.index > 0));
    assert!(
        mesh.pinned(0).iter().all(|blob| mesh.pins[&(0, *blob)] > 0),
        "the life before died with its pins"
    );
    mesh.assert_quiet();
}

#[test]
fn a_job_that_was_never_accepted_is_gone_and_one_that_ended_stays_ended() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 1, kept);
    mesh.restart(0, 1);
    assert!(mesh.engines[0].snapshot().jobs.is_empty());
    mesh.submit_with(0, 1, kept);
    mesh.run_all();
    mesh.sync(0);
    mesh.events[0].clear();
    mesh.restart(0, 1);
    assert_eq!((kinds(&mesh, 0), words(&mesh, 0), mesh.running()), (vec![], vec![], vec![0]));
    let jobs = mesh.engines[0].snapshot().jobs;
    assert_eq!((jobs.len(), jobs[0].done), (1, 1), "its figures are known");
}

#[test]
fn a_job_that_was_cancelled_or_given_up_halfway_ends_in_the_next_life() {
    for cancelled in [true, false] {
        let mut mesh = lazy(&[1]);
        mesh.outcome = Outcome::Failed(Failure::Exit(1));
        mesh.submit_with(0, 3, |what| {
            kept(what);
            (what.policy.failures_max, what.policy.retries) = (Some(0), 0);
        });
        if cancelled {
            cancel(&mut mesh, 0);
            mesh.sync_upto(0, 2);
        } else {
            mesh.run_some(0);
            mesh.sync_upto(0, 3);
        }
        mesh.events[0].clear();
        mesh.restart(0, 1);
        mesh.sync(0);
        assert_eq!(mesh.running(), [0]);
        assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("ended"), "cancelled {cancelled}");
        let ends = if cancelled { 3 } else { 2 };
        assert_eq!(mesh.ended(0), ends);
        assert!(mesh.disks[0].fold(JOB).has_ended());
    }
}

#[test]
fn an_outcome_of_an_earlier_life_is_acknowledged_and_not_committed() {
    let mut mesh = lazy(&[0, 0]);
    mesh.submit_with(0, 2, kept);
    mesh.sync(0);
    mesh.restart(0, 0);
    mesh.sync(0);
    let lease = LeaseId { job: JOB, epoch: 1, index: 0, attempt: 1 };
    let report = mesh.report();
    mesh.log.clear();
    mesh.say(1, 0, Message::Outcome(vec![Delivery { lease, report, memo: None, proof: None }]));
    assert!(mesh.log.iter().any(|(_, to, message)| *to == 1 && *message == Message::Ack(vec![lease])));
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.late), (0, 1));
    assert_eq!(mesh.engines[0].snapshot().counters.forged, 0);
    // The worker lets go of what it still runs, too; and an epoch that never was is a lie.
    mesh.log.clear();
    let (paused, progress) = (false, Progress::Running);
    mesh.say(1, 0, Message::Renew(vec![LeaseRange { first: lease, count: 2, paused, progress }]));
    let both = vec![lease, LeaseId { index: 1, ..lease }];
    assert!(mesh.log.iter().any(|(_, to, message)| *to == 1 && *message == Message::Cancel(both.clone())));
    let (lease, report) = (LeaseId { epoch: 3, ..lease }, mesh.report());
    mesh.say(1, 0, Message::Outcome(vec![Delivery { lease, report, memo: None, proof: None }]));
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.forged), (0, 1));
}

#[test]
fn times_go_on_in_the_next_life() {
    let mut mesh = lazy(&[0]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.policy.expires_ms = Some(10_000);
    });
    mesh.sync(0);
    mesh.advance_ms(6000);
    mesh.restart(0, 0);
    mesh.advance_ms(3000);
    assert!(!kinds(&mesh, 0).contains(&"ended".into()));
    mesh.advance_ms(1500);
    mesh.sync(0);
    assert_eq!(words(&mesh, 0), ["accepted 1", "0 expired", "ended"]);
}

#[test]
fn engines_that_begin_long_after_1970_do_the_same() {
    let mut mesh = Mesh::at(Time(1_796_000_000_000_000), &[1, 2, 2]);
    mesh.submit_with(0, 20, kept);
    for _ in 0..20 {
        mesh.run_all();
        mesh.advance_ms(1000);
    }
    assert_eq!((mesh.ended(0), words(&mesh, 0).last().map(String::as_str)), (20, Some("ended")));
    assert_eq!(mesh.engines[0].snapshot().counters.lost, 0);
    mesh.assert_quiet();
}

#[test]
fn what_a_job_comes_after_is_known_in_the_next_life() {
    // Whether the parent's last task is done, and how far the log got: before the parent's end, or with it.
    for (done, with_end) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut mesh = lazy(&[1]);
        mesh.outcome = if done { Outcome::Done } else { Outcome::Failed(Failure::Exit(1)) };
        mesh.submit_with(0, 1, |what| {
            kept(what);
            what.policy.retries = 0;
        });
        mesh.submit_with(0, 1, |what| {
            kept(what);
            (what.job, what.after) = (CHILD, vec![JOB]);
        });
        mesh.run_some(0);
        let written = kinds(&mesh, 0);
        let place = |word: &str| written.iter().position(|other| other == word).expect("it was written");
        let (parent, end) = (place(&format!("parent {done}")), place("ended"));
        assert!(parent < end, "what comes after a job knows its end before the job's log ends: {written:?}");
        mesh.sync_upto(0, if with_end { end as u64 + 1 } else { parent as u64 });
        mesh.outcome = Outcome::Done;
        mesh.restart(0, 1);
        for _ in 0..4 {
            mesh.sync(0);
            mesh.run_all();
        }
        let child = mesh.disks[0].fold(CHILD);
        assert!(child.has_ended(), "done {done}, with its end {with_end}");
        assert_eq!(child.figures().done, u32::from(done));
    }
}

/// A child of two parents fails with the first, and is over when the second ends: in the same life, in a later one, and
/// when it was tried again.
#[test]
fn a_parent_that_ends_late_finds_no_child_that_is_gone() {
    const OTHER: JobId = JobId(0x07);
    let lives = [0, 5, 6, 7, 8].into_iter().flat_map(|upto| [(upto, false), (upto, true)]);
    for (upto, retried) in lives {
        let mut mesh = lazy(&[2]);
        mesh.submit_with(0, 1, |what| {
            kept(what);
            what.policy.retries = 0;
        });
        mesh.submit_with(0, 1, |what| {
            kept(what);
            what.job = OTHER;
        });
        mesh.submit_with(0, 1, |what| {
            kept(what);
            (what.job, what.after) = (CHILD, vec![JOB, OTHER]);
        });
        let run = mesh.slots[0][0];
        mesh.end(0, run, Report::bare(Outcome::Failed(Failure::Exit(1))));
        assert_eq!(kinds(&mesh, 0)[3..], ["outcomes 1", "parent false", "rest 1", "ended", "ended"]);
        if upto > 0 {
            mesh.sync_upto(0, upto);
            mesh.restart(0, 2);
        }
        mesh.sync(0);
        let child = mesh.disks[0].fold(CHILD);
        assert!(child.has_ended() && child.figures().failed == 1, "up to {upto}");
        if retried {
            mesh.input(0, Input::Command(Command::Retry(child)));
            mesh.sync(0);
        }
        assert_eq!(mesh.running(), [1], "what is tried again waits for the parent that still runs");
        assert_ne!(mesh.disks[0].fold(CHILD).has_ended(), retried);
        mesh.run_all();
        mesh.sync(0);
        assert!(mesh.disks[0].fold(OTHER).has_ended(), "up to {upto}, retried {retried}");
        assert!(mesh.disks[0].fold(CHILD).has_ended() && mesh.running() == [0]);
    }
}

#[test]
fn a_job_that_is_to_be_kept_does_not_come_after_one_that_is_not() {
    let mut mesh = lazy(&[0]);
    mesh.submit(0, 1);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        (what.job, what.after) = (CHILD, vec![JOB]);
    });
    let refused = Event::Refused { job: CHILD, reason: Refusal::ParentNotKept { job: JOB } };
    assert!(mesh.events[0].contains(&refused));
}

#[test]
fn failed_tasks_are_tried_again_and_others_are_not() {
    let mut mesh = Mesh::of(&[2]);
    mesh.submit_with(0, 2, |what| {
        kept(what);
        what.policy.retries = 0;
    });
    let runs = mesh.slots[0].clone();
    mesh.end(0, runs[0], Report::bare(Outcome::Failed(Failure::Exit(1))));
    mesh.end(0, runs[1], Report::bare(Outcome::Done));
    let failed = if words(&mesh, 0).contains(&"0 failed".into()) { 0 } else { 1 };
    mesh.events[0].clear();
    let stale = mesh.disks[0].fold(JOB);
    mesh.input(0, Input::Command(Command::Retry(stale.clone())));
    assert_eq!(mesh.running(), [1]);
    assert_eq!(mesh.engines[0].snapshot().jobs.len(), 1, "it is listed once");
    mesh.run_all();
    assert_eq!(words(&mesh, 0), ["confirmed".into(), format!("{failed} done"), "ended".into()]);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.has_ended() && job.figures().done == 2);
    // The log went on since this was read.
    mesh.input(0, Input::Command(Command::Retry(stale)));
    assert_eq!(mesh.running(), [0]);
    // Of one that runs the log does not say that it ended.
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.job = CHILD;
    });
    let child = mesh.disks[0].fold(CHILD);
    mesh.input(0, Input::Command(Command::Retry(child)));
    assert_eq!(mesh.running(), [1]);
    assert!(mesh.pins.values().all(|pins| *pins >= 0));
}

#[test]
fn a_job_is_forgotten_when_it_has_ended_and_not_before() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 1, kept);
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    mesh.run_all();
    mesh.sync(0);
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("ended"));
    let log = mesh.disks[0].fold(JOB);
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("ended"), "told when the log is gone");
    mesh.input(0, Input::Command(Command::Retry(log.clone())));
    mesh.sync(0);
    mesh.input(0, Input::Command(Command::Retry(log)));
    assert_eq!((mesh.running(), kinds(&mesh, 0).last().map(String::as_str)), (vec![0], Some("ended")));
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("forgotten"));
    assert!(mesh.disks[0].logs.is_empty() && mesh.engines[0].snapshot().jobs.is_empty());
}

// ---- no disk

#[test]
fn a_disk_without_room_takes_no_more_and_lets_the_rest_end() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.closed = false;
    });
    mesh.sync(0);
    mesh.input(0, Input::DiskLow(true));
    let inputs = mesh.fresh_inputs(2);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.job = CHILD;
    });
    mesh.run_all();
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.sync(0);
    assert_eq!(
        words(&mesh, 0),
        ["accepted 1", "not extended by 2", "DiskLow", "0 done", "confirmed", "ended"]
    );
    let inputs = mesh.fresh_inputs(1);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("not extended by 1"), "it is over");
    mesh.input(0, Input::DiskLow(false));
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.job = CHILD;
    });
    mesh.sync(0);
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("accepted 1"));
}

/// Tasks that come later would be given the places of those that were refused.
#[test]
fn the_first_refused_extension_is_the_last_one() {
    let mut mesh = lazy(&[0]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.closed = false;
    });
    for low in [true, false] {
        mesh.input(0, Input::DiskLow(low));
        let inputs = mesh.fresh_inputs(2);
        mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    }
    mesh.sync(0);
    assert_eq!(words(&mesh, 0), ["accepted 1", "not extended by 2", "not extended by 2"]);
    assert_eq!(mesh.disks[0].fold(JOB).figures().tasks, 1);
}

#[test]
fn an_outcome_whose_bytes_come_after_a_failed_write_is_kept_by_its_worker() {
    let mut mesh = lazy(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, kept);
    let fetches = mesh.held_fetches.take().unwrap_or_default();
    for (node, blob, _) in fetches {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    }
    mesh.sync(0);
    mesh.held_fetches = Some(Vec::new());
    let output = Payload::Blob { id: BlobId::of(b"out"), bytes: 3 };
    let run = mesh.slots[1][0];
    mesh.end(1, run, Report { output, ..Report::bare(Outcome::Done) });
    mesh.input(0, Input::JournalFailed);
    mesh.held_fetches = None;
    mesh.input(0, Input::Fetched { blob: BlobId::of(b"out"), fetched: Fetched::Here });
    cancel(&mut mesh, 0);
    mesh.advance_ms(20_000);
    assert_eq!((words(&mesh, 0), acks(&mesh, 0)), (vec!["accepted 1".to_owned()], 0));
    assert_eq!(mesh.engines[1].audit().undelivered, 1);
    assert_eq!(mesh.engines[0].snapshot().jobs[0].cancelled, 0, "a later life goes on with it");
}

#[test]
fn after_a_failed_write_kept_jobs_stand_still_and_others_go_on() {
    let mut mesh = lazy(&[0, 1]);
    mesh.submit_with(0, 2, kept);
    mesh.sync(0);
    mesh.input(0, Input::JournalFailed);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.job = CHILD;
    });
    mesh.run_all();
    mesh.advance_ms(5000);
    assert_eq!(words(&mesh, 0), ["accepted 2", "JournalFailed"]);
    assert_eq!((acks(&mesh, 0), mesh.running()), (0, vec![0, 0]), "nothing is acknowledged or placed");
    let why = mesh.engines[0].why(mesh.now, JOB, 1).expect("it has that task");
    assert!(why.notes.contains(&Note::JournalFailed), "{why:?}");
    assert_eq!(mesh.engines[1].audit().undelivered, 1, "the worker keeps it for a later life");
    mesh.submit_with(0, 1, |what| what.job = CHILD);
    mesh.run_all();
    assert_eq!(words(&mesh, 0)[2..], ["0 done", "ended"]);
    assert_eq!(mesh.records(0).len(), 1);
}

#[test]
fn after_a_failed_write_a_kept_task_that_runs_here_makes_room_for_what_is_in_memory() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 1, kept);
    mesh.sync(0);
    assert_eq!(mesh.running(), vec![1]);
    mesh.input(0, Input::JournalFailed);
    // Its slot is free once the run has ended, as that of any run that is aborted.
    assert_eq!(mesh.aborted, 1);
    mesh.submit_with(0, 1, |what| what.job = CHILD);
    mesh.run_all();
    assert_eq!(words(&mesh, 0), ["accepted 1", "0 done", "ended"]);
}
