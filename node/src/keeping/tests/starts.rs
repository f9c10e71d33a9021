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
        for record in [LogRecord::Accepted(first), outcomes, LogRecord::Ended { at: Time(9) }] {
            ticket += 1;
            keeper.add(Order::Keep { ticket, job, record: Box::new(record), bytes: None, listing: None });
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

/// The line of the job, ended with these figures.
fn ended_line(done: u64, failed: u64) -> Box<Listing> {
    Box::new(Listing {
        owner: ME,
        name: String::from("friday"),
        labels: Vec::new(),
        state: if failed > 0 { weft_journal::State::Failed } else { weft_journal::State::Done },
        since_ms: 1000,
        ended_ms: Some(5000),
        tasks: done + failed,
        done,
        failed,
    })
}

/// A job of three tasks that was tried again and has ended, one of its outputs in the store.
fn ended_job(place: &Disk) -> BlobId {
    let module = place.store.put(b"module").unwrap();
    let output = place.store.put(&[1; 100_000]).unwrap();
    let Opened { keeper, .. } = place.open();
    let long = Payload::Blob { id: output, bytes: 100_000 };
    keep(
        place,
        &keeper,
        vec![
            accepted(module, 3),
            LogRecord::Outcomes(vec![failed(0), done(1)]),
            LogRecord::Outcomes(vec![end(2, Outcome::Done, long)]),
            LogRecord::Ended { at: Time(9) },
            LogRecord::Retried { epoch: 2, at: Time(2_000_000) },
            LogRecord::Outcomes(vec![failed(0)]),
            LogRecord::Ended { at: Time(9) },
        ],
    );
    keeper.add(Order::List { job: JOB, listing: ended_line(2, 1) });
    keeper.close().unwrap();
    output
}

#[test]
fn of_a_job_that_is_listed_as_ended_the_outcomes_are_not_read_at_the_start() {
    let place = Disk::new();
    let output = ended_job(&place);
    // A bit of an outcome: who reads it is told, and a start does not look at it.
    let db = file(&place, "journal.db");
    let mut bytes = fs::read(&db).unwrap();
    let outcome = LogRecord::Outcomes(vec![failed(0), done(1)]).encode();
    let at = bytes.windows(outcome.len()).rposition(|window| window == outcome).unwrap();
    bytes[at + outcome.len() / 2] ^= 1;
    fs::write(&db, &bytes).unwrap();
    // A store that knows no pins of the life before.
    let store = weft_blobs::Store::open(place.place.dir.parent().unwrap(), Quota { bytes: 1 << 30 }).unwrap();
    let opened = open(&place.place, &store, &place.jobs, Arc::clone(&place.wake)).unwrap();
    let Opened { keeper, restored, jobs, unlisted, troubles, .. } = opened;
    assert_eq!((troubles, unlisted), (Vec::new(), Vec::new()));
    let figures = restored.first().unwrap().figures();
    assert_eq!((figures.tasks, figures.done, figures.failed, figures.cancelled), (3, 2, 1, 0));
    let (_, shown) = jobs.first().unwrap();
    assert_eq!((shown.counts.tasks, shown.counts.done, shown.counts.failed), (3, 2, 1));
    assert_eq!((shown.told, shown.ended_ms, shown.meta.title.name.as_str()), (4, Some(5000), "friday"));
    assert!(store.usage().pinned > 100_000, "what its outcomes name is pinned");
    assert!(store.has(output));
    let error = keeper.kept().shelf.results(JOB, 0..u64::MAX, ALL, None).unwrap_err().to_string();
    assert!(error.contains("quarantine"), "{error}");

    // Once it was found, the node's status has it, until the job is forgotten.
    assert_eq!(keeper.journal().troubles().count(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(keeper.kept().adoption(JOB)).unwrap_err();
    let said: Vec<String> = keeper.journal().troubles().collect();
    let words = ["can't give the records of job", "backup", "weft forget"];
    assert!(said.len() == 1 && words.iter().all(|word| said[0].contains(word)), "{said:?}");
    keeper.add(Order::Forget { ticket: Some(1), job: JOB, remains: Remains::Nothing });
    place.wait_for(&keeper, 1);
    assert_eq!(keeper.journal().troubles().count(), 0);
}

#[test]
fn results_of_a_job_of_which_only_the_figures_were_read_are_told_as_before() {
    let place = Disk::new();
    ended_job(&place);
    let Opened { keeper, .. } = place.open();
    assert_eq!(page(&keeper, 0, ALL), (vec![1, 2, 0], 4));
    let (again, tally) = keeper.kept().shelf.restored(JOB).unwrap();
    assert_eq!((again.figures().failed, tally.told), (1, 4), "it can be tried again");
}

#[test]
fn a_job_that_comes_after_one_in_quarantine_says_what_becomes_of_it() {
    let place = with_a_job();
    let child = JobId(6);
    let Opened { keeper, .. } = place.open();
    let LogRecord::Accepted(mut first) = accepted(place.store.put(b"module").unwrap(), 1) else {
        panic!("it is made above")
    };
    (first.spec.job, first.spec.after) = (child, vec![JOB]);
    let record = Box::new(LogRecord::Accepted(first));
    keeper.add(Order::Keep { ticket: 1, job: child, record, bytes: None, listing: None });
    keeper.close().unwrap();
    assert_eq!(place.open().troubles, Vec::<String>::new());
    // In the outcome of the job before, which names the worker.
    let db = file(&place, "journal.db");
    let mut bytes = fs::read(&db).unwrap();
    let at = bytes.windows(32).rposition(|window| window == ME.0).unwrap();
    bytes[at] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let Opened { jobs, troubles, .. } = place.open();
    let said = troubles.last().unwrap();
    let expected = format!("job {child} comes after job {JOB}, which can't be restored");
    assert!(said.contains(&expected) && said.contains(&format!("weft retry {child}")), "{said}");
    assert_eq!(jobs.first().unwrap().1.meta.after[..], [JOB]);
}

#[test]
fn a_job_that_is_listed_as_ended_and_is_not_goes_on() {
    let place = Disk::new();
    let module = place.store.put(b"module").unwrap();
    let Opened { keeper, .. } = place.open();
    keep(&place, &keeper, vec![accepted(module, 2), LogRecord::Outcomes(vec![done(1)])]);
    keeper.add(Order::List { job: JOB, listing: ended_line(2, 0) });
    keeper.close().unwrap();
    let Opened { restored, jobs, unlisted, troubles, .. } = place.open();
    assert_eq!((troubles, unlisted), (Vec::new(), vec![JOB]));
    assert!(!restored.first().unwrap().has_ended());
    let (_, shown) = jobs.first().unwrap();
    assert_eq!((shown.counts.done, shown.told, shown.ended.as_slice()), (1, 1, [2].as_slice()));
}
