//! How a job goes on in a later life of its owner, is tried again, and is forgotten.

use weft_core::message::{Delivery, LeaseRange, Progress};

use super::*;

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
    let epoch = epoch(&mesh, 0);
    let begins = format!("epoch {epoch}");
    assert_eq!(kinds(&mesh, 0), [begins.as_str(), "outcomes 1"], "its worker offers the second again");
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
    assert!(leases_awarded(&mesh).iter().all(|lease| lease.epoch == epoch && lease.index > 0));
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
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease, report: report.into(), memo: None, proof: None }]),
    );
    assert!(mesh.log.iter().any(|(_, to, message)| *to == 1 && *message == Message::Ack(vec![lease])));
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.late), (0, 1));
    assert_eq!(mesh.engines[0].snapshot().counters.forged, 0);
    // The worker lets go of what it still runs, too; and an epoch that never was is a lie.
    mesh.log.clear();
    let (paused, progress) = (false, Progress::Running);
    mesh.say(1, 0, Message::Renew(vec![LeaseRange { first: lease, count: 2, paused, progress }]));
    let both = vec![lease, LeaseId { index: 1, ..lease }];
    assert!(mesh.log.iter().any(|(_, to, message)| *to == 1 && *message == Message::Cancel(both.clone())));
    let (lease, report) = (LeaseId { epoch: epoch(&mesh, 0) + 1, ..lease }, mesh.report());
    mesh.say(
        1,
        0,
        Message::Outcome(vec![Delivery { lease, report: report.into(), memo: None, proof: None }]),
    );
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.forged), (0, 1));
}

#[test]
fn a_life_on_an_older_copy_of_the_disk_has_an_epoch_of_its_own() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 2, kept);
    let copy = mesh.disks[0].logs.clone();
    let mut epochs = Vec::new();
    for _ in 0..3 {
        mesh.disks[0].logs.clone_from(&copy);
        mesh.restart(0, 0);
        epochs.push(epoch(&mesh, 0));
    }
    epochs.dedup();
    assert_eq!(
        (epochs.len(), epochs[0] > 1),
        (3, true),
        "what workers bring of another life is known as such"
    );
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
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("not again: LogOutdated"));
    // Of one that runs the log does not say that it ended.
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.job = CHILD;
    });
    let child = mesh.disks[0].fold(CHILD);
    mesh.input(0, Input::Command(Command::Retry(child)));
    assert_eq!(mesh.running(), [1]);
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("not again: JobGoesOn"));
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
    mesh.input(0, Input::Command(Command::Retry(log.clone())));
    assert_eq!((mesh.running(), kinds(&mesh, 0).last().map(String::as_str)), (vec![0], Some("ended")));
    let told = words(&mesh, 0);
    assert_eq!(
        told.get(told.len() - 3..).unwrap(),
        ["not again: LogOutdated", "forgotten", "not again: LogOutdated"]
    );
    mesh.input(0, Input::JournalFailed);
    mesh.input(0, Input::Command(Command::Retry(log)));
    assert_eq!(words(&mesh, 0).last().map(String::as_str), Some("not again: JournalFailed"));
    assert!(mesh.disks[0].logs.is_empty() && mesh.engines[0].snapshot().jobs.is_empty());
}
