//! Ends of jobs in the journal that were told a moment ago, for those who read them as they come.

use super::*;

fn kept(level: Level) -> JobMeta {
    JobMeta { level, ..meta(true) }
}

/// A table with a job in the journal, and one who listens.
fn listened(level: Level, tasks: usize) -> (Arc<JobTable>, Listener) {
    let table = Arc::new(JobTable::new());
    table.create(JOB, kept(level)).unwrap();
    table.submitted(JOB, &vec![Payload::empty(); tasks]);
    table.close(JOB);
    let listener = Listener::new(&table, JOB);
    (table, listener)
}

/// Numbers and indexes of what is in memory, and whether that was all of the job.
fn read(table: &JobTable, cursor: u64) -> Option<(Vec<(u64, u32)>, bool)> {
    let Results { ends, next, end } = table.results(JOB, cursor, ALL)?;
    assert_eq!(next, cursor + ends.len() as u64);
    let ends = ends.iter().map(|end| (end.number.unwrap(), end.index)).collect();
    Some((ends, end.is_some()))
}

#[test]
fn what_was_told_is_here_for_those_who_listen_and_nothing_before() {
    let (table, listener) = listened(Level::Disk, 4);
    assert_eq!(read(&table, 0), None);
    table.record(end(JOB, 2, 5));
    table.record(end(JOB, 2, 5));
    table.record(end(JOB, 9, 5));
    table.record(end(JOB, 0, 5));
    assert_eq!(read(&table, 0), Some((vec![(0, 2), (1, 0)], false)), "each task of the job once");
    assert_eq!(read(&table, 2), None);
    table.record(end(JOB, 1, 5));
    assert_eq!(read(&table, 2), Some((vec![(2, 1)], false)), "the job's end was not told");
    table.record(end(JOB, 3, 5));
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(read(&table, 3), Some((vec![(3, 3)], true)));
    assert_eq!(table.lock().kept.results, 0, "they count as no results that are kept in memory");
    assert_eq!(read(&table, 3), None, "who has read it reads it again in the journal");
    drop(listener);
    let (table, listener) = listened(Level::Disk, 1);
    table.record(end(JOB, 0, 5));
    assert!(table.lock().lately.bytes() > 0);
    drop(listener);
    assert_eq!((read(&table, 0), table.lock().lately.bytes()), (None, 0), "it is in the journal");
}

#[test]
fn a_job_that_moves_has_nothing_here_and_begins_anew_when_it_comes_back() {
    let (table, _listener) = listened(Level::Mesh, 3);
    table.record(end(JOB, 0, 5));
    table.record(Event::Follows { job: JOB, leader: None });
    assert_eq!((read(&table, 0), table.lock().lately.bytes()), (None, 0));
    table.record(end(JOB, 1, 5));
    assert_eq!(read(&table, 1), None, "it is led elsewhere");
    let counts = Counts { tasks: 3, done: 1, ..Counts::default() };
    let custody = Some(Custody { keepers: Vec::new(), led: Led::Here, shared: false });
    let led = RestoredJob {
        meta: kept(Level::Mesh),
        ended_ms: None,
        read_ms: None,
        closed: true,
        cancelled: false,
        given_up: false,
        counts,
        input_bytes: 0,
        told: 1,
        ended: vec![0b10],
        accepted: true,
        restarted: None,
        refused_more: None,
        custody,
    };
    table.lead(JOB, led);
    assert_eq!(read(&table, 0), None, "its log may be another one");
    table.record(end(JOB, 2, 5));
    assert_eq!(read(&table, 1), Some((vec![(1, 2)], false)));
}

#[test]
fn a_job_that_is_tried_again_or_forgotten_has_nothing_here_of_what_was() {
    let (table, _listener) = listened(Level::Disk, 1);
    table.record(Event::Accepted { job: JOB, tasks: 1 });
    let failed = Report::bare(Outcome::Failed(weft_core::Failure::Exit(1)));
    let Event::TaskEnded { job, index, worker, attempts, memo, proof, verified, .. } = end(JOB, 0, 0) else {
        panic!("expected an end")
    };
    table.record(Event::TaskEnded {
        job,
        index,
        report: failed.into(),
        worker,
        attempts,
        memo,
        proof,
        verified,
    });
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(read(&table, 0), Some((vec![(0, 0)], true)));
    let reopened = RestoredJob {
        meta: kept(Level::Disk),
        ended_ms: None,
        read_ms: None,
        closed: true,
        cancelled: false,
        given_up: false,
        counts: Counts { tasks: 1, ..Counts::default() },
        input_bytes: 0,
        told: 1,
        ended: vec![0],
        accepted: false,
        restarted: None,
        refused_more: None,
        custody: None,
    };
    assert!(table.reopen(JOB, reopened));
    assert_eq!(read(&table, 0), None, "the journal leaves out what is tried again");
    table.record(end(JOB, 0, 5));
    assert_eq!(read(&table, 1), Some((vec![(1, 0)], false)));
    table.record(Event::JobEnded { job: JOB });
    table.record(Event::Forgotten { job: JOB, remains: Remains::Nothing });
    assert_eq!(read(&table, 1), None);
}

#[test]
fn results_with_receipts_and_those_of_a_job_in_memory_are_not_here() {
    let table = Arc::new(JobTable::new());
    let program = Arc::new(weft_core::Program::command(BlobId([0; 32]), 9));
    table.create(JOB, JobMeta { signed: Some(program), ..kept(Level::Disk) }).unwrap();
    table.submitted(JOB, &[Payload::empty()]);
    let _listener = Listener::new(&table, JOB);
    table.record(end(JOB, 0, 5));
    assert_eq!((read(&table, 0), table.summary(JOB).unwrap().told), (None, 1));

    let table = Arc::new(table_with(JOB, true, 1));
    let _listener = Listener::new(&table, JOB);
    table.record(end(JOB, 0, 5));
    assert_eq!(read(&table, 0), Some((vec![(0, 0)], false)));
    assert_eq!(table.lock().kept.results, 1, "it is kept once");
    table.lock().lately.clear(JOB);
    assert_eq!(read(&table, 0), Some((vec![(0, 0)], false)));
}
