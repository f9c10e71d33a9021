//! What waits for the disk: words to the user, acknowledgements, and what does not wait.

use weft_core::durable::RECORD_BYTES_MAX;

use super::*;

#[test]
fn nothing_is_told_before_the_disk_has_it_and_placing_does_not_wait() {
    let mut mesh = lazy(&[0, 2]);
    mesh.submit_with(0, 2, kept);
    assert_eq!(mesh.running(), [0, 2], "tasks run before their job is kept");
    mesh.run_all();
    assert_eq!(kinds(&mesh, 0), ["accepted 2", "given to 1", "outcomes 2", "ended"]);
    assert_eq!((words(&mesh, 0), acks(&mesh, 0)), (vec![], 0));
    assert_eq!(mesh.engines[1].audit().undelivered, 2, "the worker keeps what is not acknowledged");
    mesh.sync_upto(0, 1);
    assert_eq!((words(&mesh, 0), acks(&mesh, 0)), (vec!["accepted 2".to_owned()], 0));
    mesh.sync_upto(0, 3);
    assert_eq!(words(&mesh, 0), ["accepted 2", "0 done", "1 done"]);
    mesh.sync_upto(0, 4);
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
        mesh.disks[0].written.iter().filter_map(|(.., bytes)| Some(bytes.record()?.len())).collect();
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
