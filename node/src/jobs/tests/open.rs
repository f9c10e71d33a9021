//! Room for further inputs of detached jobs.

use super::*;
use crate::jobs::open::{OPEN_BYTES_MAX, OPEN_TASKS_MAX, Open};

const SHARE: u32 = 4;
const OTHER: JobId = JobId(2);

/// A table with a job of the journal with these open tasks and bytes of inputs.
fn table_with_kept(tasks: u64, input_bytes: u64) -> JobTable {
    let table = JobTable::new();
    let counts = Counts { tasks: u32::try_from(tasks).unwrap(), ..Counts::default() };
    table.restore(JOB, RestoredJob { counts, input_bytes, ..feeding::open_job(0) });
    table
}

fn submit(table: &JobTable, job: JobId, tasks: usize, bytes: usize) {
    table.submitted(job, &vec![Payload::inline(&vec![0; bytes]); tasks]);
}

fn has_room(table: &JobTable, job: JobId) -> bool {
    table.poll_room(&Context::from_waker(Waker::noop()), job, SHARE).is_ready()
}

fn open(table: &JobTable) -> Open {
    table.lock().open
}

#[test]
fn a_kept_job_has_room_while_all_detached_jobs_together_have() {
    let table = table_with_kept(OPEN_TASKS_MAX - 1, 0);
    table.create(OTHER, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    assert!(has_room(&table, JOB), "one more fits");
    submit(&table, OTHER, 4, 0);
    assert!(!has_room(&table, JOB));
    assert!(!has_room(&table, OTHER), "it has its share");
    for index in 0..4 {
        table.record(end(OTHER, index, 0));
    }
    assert!(has_room(&table, JOB) && has_room(&table, OTHER), "the tasks of the other have ended");
    submit(&table, OTHER, 1, 0);
    assert!(!has_room(&table, JOB));
    assert!(has_room(&table, OTHER), "its share is its own");
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(open(&table), Open { tasks: 1, bytes: 0 }, "a job that has ended holds no tasks");
    submit(&table, OTHER, 4, 0);
    assert!(has_room(&table, OTHER));
}

#[test]
fn inputs_in_memory_are_counted_until_their_tasks_end() {
    const BYTES: u64 = 16 << 10;
    let tasks = OPEN_BYTES_MAX / BYTES;
    let table = table_with_kept(tasks - 1, OPEN_BYTES_MAX - BYTES);
    assert!(has_room(&table, JOB));
    submit(&table, JOB, 1, 16 << 10);
    assert!(!has_room(&table, JOB));
    table.record(end(JOB, 0, 0));
    assert!(has_room(&table, JOB));
    assert_eq!(open(&table), Open { tasks: tasks - 1, bytes: OPEN_BYTES_MAX - BYTES });
    table.lock().forget(JOB);
    assert_eq!(open(&table), Open::default());
}

#[test]
fn a_stream_that_waits_for_room_ends_its_wait_when_its_job_moves() {
    let table = table_with_kept(OPEN_TASKS_MAX, 0);
    assert!(!has_room(&table, JOB));
    table.record(Event::Follows { job: JOB, leader: None });
    assert!(has_room(&table, JOB));
    assert_eq!(open(&table), Open::default(), "the tasks are the other leader's");
}

#[test]
fn a_detached_job_in_memory_has_its_share_alone() {
    let table = table_with(JOB, true, SHARE);
    assert!(!has_room(&table, JOB));
    table.record(end(JOB, 0, 0));
    assert!(has_room(&table, JOB));
}
