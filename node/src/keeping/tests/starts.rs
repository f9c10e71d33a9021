//! What a start takes into memory, and what it misses in the store.

use super::*;

#[test]
fn an_unfinished_job_that_rests_on_a_blob_which_is_gone_says_so_at_the_start() {
    let place = with_a_job();
    let other = tempfile::tempdir().unwrap();
    let empty = weft_blobs::Store::open(other.path(), Quota { bytes: 1 << 30 }).unwrap();
    let opened = open(&place.place, &empty, &place.jobs, Arc::clone(&place.wake)).unwrap();
    let said = opened.troubles.join("\n");
    assert!(said.contains(&format!("blobs that job {JOB} rests on are not in the store (1, ")), "{said}");
}

#[test]
fn of_jobs_that_ended_long_ago_the_table_knows_the_figures_and_the_engine_nothing() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    let mut ticket = 0;
    for job in (1..=1002).map(JobId) {
        let LogRecord::Accepted(mut first) = accepted(module, 1) else { panic!("it is made above") };
        first.spec.job = job;
        let outcomes = LogRecord::Outcomes(vec![failed(0)]);
        for record in [LogRecord::Accepted(first), outcomes, LogRecord::Ended] {
            ticket += 1;
            keeper.add(Order::Keep { ticket, job, record: Box::new(record), listing: None });
        }
    }
    place.wait_for(&keeper, ticket);
    keeper.close().unwrap();
    let Opened { restored, jobs: shown, keeper, .. } = place.open();
    assert!(shown.iter().all(|(_, shown)| (shown.counts.tasks, shown.counts.failed) == (1, 1)));
    assert_eq!((shown.len(), restored.len(), restored.first().unwrap().job()), (1002, 1000, JobId(3)));
    let again = keeper.kept().shelf.restored(JobId(1)).unwrap().0;
    assert_eq!(again.figures().failed, 1, "its log has all of it");
}
