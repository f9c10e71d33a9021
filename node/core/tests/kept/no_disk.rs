//! A disk without room, and one that fails.

use weft_core::snapshot::Note;

use super::*;

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
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.sync(0);
    assert_eq!(kinds(&mesh, 0), ["accepted 1", "not taken 4", "closed"]);
    let log = mesh.disks[0].fold(JOB);
    let not_taken = log.not_taken().expect("a later life knows, too");
    assert_eq!((not_taken.tasks, not_taken.why.as_str()), (4, Refusal::DiskLow.to_string().as_str()));
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
    assert_eq!(kinds(&mesh, 0), ["accepted 2", "given to 1"]);
}

/// It would wait for as long as its node runs, which waits for it.
#[test]
fn after_a_failed_write_no_job_in_memory_waits_for_a_kept_one() {
    const GRANDCHILD: JobId = JobId(0xc2d);
    let mut mesh = lazy(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    for (job, parent, join) in [(CHILD, JOB, Join::AllSucceeded), (GRANDCHILD, CHILD, Join::AllEnded)] {
        mesh.submit_with(0, 1, |what| {
            (what.job, what.join) = (job, join);
            what.after = vec![parent];
        });
    }
    mesh.sync(0);
    mesh.events[0].clear();
    mesh.input(0, Input::JournalFailed);
    assert_eq!(words(&mesh, 0), ["0 skipped", "ended", "satisfied"]);
    mesh.run_all();
    assert_eq!(words(&mesh, 0)[3..], ["0 done", "ended"], "what comes after it in any way goes on");
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
