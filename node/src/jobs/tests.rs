use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use weft_core::message::Class;
use weft_core::{
    BlobId, Event, Left, Level, Outcome, Payload, PeerId, Proof, Refusal, Remains, Report, Verified,
};

use super::*;

mod feeding;
mod lately;
mod led;
mod open;

const JOB: JobId = JobId(1);
const ALL: Portion = Portion { results_max: 1000, bytes: usize::MAX };

fn meta(detached: bool) -> JobMeta {
    JobMeta {
        module: BlobId([0; 32]),
        class: Class::Batch,
        detached,
        level: Level::Memory,
        owner: PeerId([1; 32]),
        shared: false,
        title: Arc::default(),
        submitted_ms: 0,
        streamed: !detached,
        signed: None,
        after: Arc::default(),
        takes_results: false,
    }
}

fn end(job: JobId, index: u32, bytes: usize) -> Event {
    let report = Report { output: Payload::inline(&vec![0; bytes]), ..Report::bare(Outcome::Done) };
    Event::TaskEnded {
        job,
        index,
        report: report.into(),
        worker: None,
        attempts: 1,
        memo: None,
        proof: None,
        verified: None,
    }
}

fn table_with(job: JobId, detached: bool, tasks: u32) -> JobTable {
    let table = JobTable::new();
    table.create(job, meta(detached)).unwrap();
    table.submitted(job, &vec![Payload::empty(); usize::try_from(tasks).unwrap()]);
    table.close(job);
    table
}

fn take(table: &JobTable, portion: Portion) -> Option<Taken> {
    match table.poll_take(&Context::from_waker(Waker::noop()), JOB, portion) {
        Poll::Ready(taken) => Some(taken.unwrap()),
        Poll::Pending => None,
    }
}

/// What a submission that waits for its acceptance learns.
fn accepted(table: &JobTable) -> Option<Result<(), NotAccepted>> {
    match table.poll_accepted(&Context::from_waker(Waker::noop()), JOB) {
        Poll::Ready(known) => Some(known),
        Poll::Pending => None,
    }
}

fn indexes(taken: Taken) -> Vec<u32> {
    match taken {
        Taken::Results(results) => results.iter().map(|end| end.index).collect(),
        Taken::Printed(_) | Taken::Ended(_) => panic!("expected results"),
    }
}

#[test]
fn results_are_taken_once_in_order_of_completion() {
    let table = table_with(JOB, false, 3);
    assert_eq!(take(&table, ALL), None);
    table.record(end(JOB, 2, 0));
    table.record(end(JOB, 0, 0));
    assert_eq!(table.outstanding(JOB), 3);
    assert_eq!(indexes(take(&table, ALL).unwrap()), [2, 0]);
    assert_eq!((table.outstanding(JOB), table.first_unended(JOB)), (1, Some(1)));
    table.record(end(JOB, 1, 0));
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(indexes(take(&table, ALL).unwrap()), [1]);
    let Some(Taken::Ended(summary)) = take(&table, ALL) else { panic!("expected the end") };
    assert_eq!((summary.tasks, summary.done, table.first_unended(JOB)), (3, 3, None));
}

#[test]
fn a_job_is_cancelled_where_it_lacked_inputs_or_tasks_and_not_where_all_had_ended_before() {
    let whole = table_with(JOB, false, 1);
    whole.cancel(JOB);
    assert!(whole.is_cancelled(JOB));
    whole.record(end(JOB, 0, 0));
    whole.record(Event::JobEnded { job: JOB });
    assert!(!whole.is_cancelled(JOB), "its last task ended before the cancellation came");
    let half = JobTable::new();
    half.create(JOB, meta(false)).unwrap();
    half.submitted(JOB, &[Payload::empty()]);
    half.record(end(JOB, 0, 0));
    for _ in 0..2 {
        half.cancel(JOB);
    }
    half.record(Event::JobEnded { job: JOB });
    assert!(half.is_cancelled(JOB), "more inputs were to come");
}

#[test]
fn a_refused_job_ends_with_the_reason_in_every_task() {
    let table = table_with(JOB, false, 2);
    let reason = Refusal::ParentUnknown { job: JobId(7) };
    let words = reason.to_string();
    table.record(Event::Refused { job: JOB, reason });
    let Some(Taken::Results(results)) = take(&table, ALL) else { panic!("expected results") };
    let told: Vec<_> = results.iter().map(|end| (end.index, &end.report.outcome)).collect();
    let invalid = Outcome::Invalid(words);
    assert_eq!(told, [(0, &invalid), (1, &invalid)]);
    let Some(Taken::Ended(summary)) = take(&table, ALL) else { panic!("expected the end") };
    assert_eq!((summary.tasks, summary.done, summary.failed), (2, 0, 2));
}

#[test]
fn a_label_counts_of_this_nodes_own_jobs() {
    let table = table_with(JOB, true, 1);
    let (me, other) = (PeerId([1; 32]), PeerId([2; 32]));
    let labels = BTreeMap::from([(String::from("adopted-from"), String::from("7"))]);
    let title = Arc::new(Title { name: String::new(), labels });
    let theirs = JobMeta { owner: other, title, ..table.summary(JOB).unwrap().meta };
    table.create(JobId(9), theirs.clone()).unwrap();
    assert_eq!(table.labelled("adopted-from", "7", me), None);
    table.create(JobId(10), JobMeta { owner: me, ..theirs }).unwrap();
    assert_eq!(table.labelled("adopted-from", "7", me), Some(JobId(10)));
}

#[test]
fn a_task_counts_once_and_only_if_it_is_one() {
    let table = table_with(JOB, false, 1);
    for index in [0, 0, 7] {
        table.record(end(JOB, index, 0));
    }
    table.record(end(JobId(9), 0, 0));
    assert_eq!(indexes(take(&table, ALL).unwrap()), [0]);
    assert_eq!(table.summary(JOB).unwrap().done, 1);
}

#[test]
fn as_many_may_wait_for_a_job_as_there_are_connections() {
    let table = table_with(JOB, true, 1);
    // As many connections as the API has at most, and requests of members.
    let waits: Vec<Arc<Woken>> = (0..5248).map(|_| Arc::default()).collect();
    for wait in &waits {
        let waker = Waker::from(Arc::clone(wait));
        assert!(table.poll_told(&Context::from_waker(&waker), JOB, 0).is_pending());
    }
    let woken = || waits.iter().filter(|wait| wait.0.load(Ordering::Relaxed) > 0).count();
    assert_eq!(woken(), 0, "a wait wakes no other one, which would wait again");
    table.record(end(JOB, 0, 0));
    assert_eq!(woken(), waits.len());
}

#[test]
fn nodes_that_differed_are_named_and_counted_as_bytes() {
    let table = table_with(JOB, true, 2);
    let found = Verified { agreed: vec![PeerId([1; 32]), PeerId([2; 32])], differed: vec![PeerId([3; 32])] };
    for index in 0..2 {
        let Event::TaskEnded { job, report, worker, attempts, memo, proof, .. } = end(JOB, index, 0) else {
            panic!("expected an end")
        };
        let verified = Some(found.clone());
        table.record(Event::TaskEnded { job, index, report, worker, attempts, memo, proof, verified });
    }
    let portion = Portion { results_max: 2, bytes: 3 * 64 };
    let Some(Taken::Results(first)) = take(&table, portion) else { panic!("expected results") };
    assert_eq!(first.len(), 1, "names count");
    assert_eq!(first[0].verified.as_deref(), Some(&found));
}

#[test]
fn a_portion_ends_at_its_bytes() {
    let table = table_with(JOB, false, 4);
    for index in 0..4 {
        table.record(end(JOB, index, 100));
    }
    assert_eq!(indexes(take(&table, Portion { results_max: 3, bytes: 150 }).unwrap()), [0, 1]);
    assert_eq!(indexes(take(&table, Portion { results_max: 1, bytes: 150 }).unwrap()), [2]);
}

#[test]
fn detached_results_can_be_read_again() {
    let table = table_with(JOB, true, 2);
    table.record(end(JOB, 1, 5));
    table.record(end(JOB, 0, 5));
    for (cursor, expected) in [(0, vec![1, 0]), (1, vec![0]), (0, vec![1, 0])] {
        let results = table.results(JOB, cursor, ALL).expect("they are in memory");
        let indexes: Vec<u32> = results.ends.iter().map(|end| end.index).collect();
        assert_eq!((indexes, results.next, results.end), (expected, 2, None));
    }
    let cx = Context::from_waker(Waker::noop());
    assert!(table.poll_told(&cx, JOB, 2).is_pending());
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(table.poll_told(&cx, JOB, 2), Poll::Ready(Ok(())));
    assert!(table.results(JOB, 2, ALL).unwrap().end.is_some(), "that was all");
}

/// Results of a job in the journal are counted here and read there.
#[test]
fn a_job_in_the_journal_keeps_numbers_only_until_it_is_forgotten() {
    let table = JobTable::new();
    let kept = JobMeta { level: Level::Disk, ..meta(true) };
    table.create(JOB, kept).unwrap();
    table.submitted(JOB, &[Payload::empty(), Payload::empty()]);
    table.close(JOB);
    let cx = Context::from_waker(Waker::noop());
    assert!(table.poll_accepted(&cx, JOB).is_pending(), "its record is not on the disk yet");
    table.record(Event::Accepted { job: JOB, tasks: 2 });
    assert_eq!(table.poll_accepted(&cx, JOB), Poll::Ready(Ok(())));
    table.record(end(JOB, 1, 5));
    assert_eq!((table.results(JOB, 0, ALL), table.lock().kept.results), (None, 0));
    assert_eq!(table.poll_told(&cx, JOB, 0), Poll::Ready(Ok(())));
    assert!(table.poll_told(&cx, JOB, 1).is_pending());
    table.record(end(JOB, 0, 5));
    table.record(Event::JobEnded { job: JOB });
    let far = u64::MAX;
    assert_eq!(table.unread_since(far, 9), [JOB]);
    assert!(table.note_read(JOB, now_ms(), 1000));
    assert!(!table.note_read(JOB, now_ms(), 1_000_000), "that it was read is noted now and then only");
    assert_eq!(table.unread_since(0, 9), []);
    table.record(Event::Forgotten { job: JOB, remains: Remains::Nothing });
    assert_eq!(table.summary(JOB), None);
}

#[test]
fn what_was_forgotten_is_told_apart_from_what_never_was_and_from_what_another_node_keeps_now() {
    let table = JobTable::new();
    let kept = || JobMeta { level: Level::Mesh, ..meta(true) };
    let is_forgotten = |job: JobId| table.forgotten(&job.to_string()).is_some_and(|(of, _)| of == job);
    let (forgotten, left) = (JobId(7), JobId(8));
    for (job, remains) in [(forgotten, Remains::Forgotten), (left, Remains::Left(Left::default()))] {
        table.create(job, kept()).unwrap();
        table.record(Event::Forgotten { job, remains });
        assert_eq!(table.summary(job), None);
    }
    assert_eq!([forgotten, left, JobId(9)].map(is_forgotten), [true, false, false]);
    table.note_forgotten([(JobId(9), None)]);
    assert_eq!(table.forgotten("0000000000000009"), Some((JobId(9), None)));
    table.create(forgotten, kept()).unwrap();
    assert!(!is_forgotten(forgotten), "it is here again");
}

#[test]
fn a_job_that_is_not_tried_again_after_all_has_ended_as_before() {
    let table = JobTable::new();
    let kept = JobMeta { level: Level::Disk, ..meta(true) };
    table.create(JOB, kept.clone()).unwrap();
    table.submitted(JOB, &[Payload::empty(), Payload::empty()]);
    table.record(Event::Accepted { job: JOB, tasks: 2 });
    let reopened = || RestoredJob {
        meta: kept.clone(),
        ended_ms: None,
        read_ms: None,
        closed: true,
        cancelled: false,
        given_up: false,
        counts: Counts { tasks: 2, done: 1, ..Counts::default() },
        input_bytes: 0,
        told: 2,
        ended: vec![1],
        accepted: false,
        restarted: None,
        refused_more: None,
        custody: None,
    };
    assert!(!table.reopen(JOB, reopened()), "it has not ended");
    table.record(end(JOB, 0, 0));
    let Event::TaskEnded { job, worker, attempts, memo, proof, verified, .. } = end(JOB, 1, 0) else {
        panic!("it is made above")
    };
    let report = Report::bare(Outcome::Cancelled);
    table.record(Event::TaskEnded {
        job,
        index: 1,
        report: report.into(),
        worker,
        attempts,
        memo,
        proof,
        verified,
    });
    table.record(Event::JobEnded { job: JOB });
    let before = table.summary(JOB).unwrap();
    let read_ms = before.ended_ms.unwrap() + 1_000_000;
    assert!(table.note_read(JOB, read_ms, 0));
    assert!(table.reopen(JOB, reopened()));
    assert!(!table.summary(JOB).unwrap().ended);
    table.record(Event::RetryRefused { job: JOB, reason: Refusal::JobGoesOn });
    let after = table.summary(JOB).unwrap();
    assert_eq!((after.done, after.cancelled, after.ended, after.journalled), (1, 1, true, true));
    assert_eq!((after.tasks, after.ended_ms), (before.tasks, before.ended_ms));
    assert_eq!(table.unread_since(read_ms, 9), [], "that it was read still counts");
    assert_eq!(
        accepted(&table),
        Some(Err(NotAccepted::NotRetried(Refusal::JobGoesOn))),
        "who waits is answered"
    );
    // A word that comes late changes nothing.
    table.record(Event::RetryRefused { job: JOB, reason: Refusal::DiskLow });
    assert_eq!(table.summary(JOB).unwrap().ended_ms, before.ended_ms);
    assert!(table.reopen(JOB, reopened()), "it can be asked for again");
    assert_eq!(accepted(&table), None);
    table.record(Event::Confirmed { job: JOB });
    assert_eq!(accepted(&table), Some(Ok(())));
}

#[test]
fn who_waits_for_the_disk_is_answered_when_the_journal_fails() {
    let table = JobTable::new();
    let other = JobId(2);
    for job in [JOB, other] {
        table.create(job, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
        table.submitted(job, &[Payload::empty()]);
    }
    table.record(Event::Accepted { job: other, tasks: 1 });
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let waits = Context::from_waker(&waker);
    assert!(table.poll_accepted(&waits, JOB).is_pending());
    assert!(table.poll_forgotten(&waits, other).is_pending());
    table.note_journal_failed("its disk is gone");
    assert_eq!(woken.0.load(Ordering::Relaxed), 2, "both are woken");
    let why = String::from("its disk is gone");
    assert_eq!(accepted(&table), Some(Err(NotAccepted::JournalFailed { job: JOB, why: why.clone() })));
    let Poll::Ready(Err(said)) = table.poll_forgotten(&waits, other) else { panic!("it is answered") };
    assert_eq!(said, why);
    assert!(
        matches!(table.poll_accepted(&waits, other), Poll::Ready(Ok(()))),
        "what was kept before stays so"
    );
    // One that comes now waits no more than they.
    table.create(JobId(3), JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    assert!(matches!(
        table.poll_accepted(&waits, JobId(3)),
        Poll::Ready(Err(NotAccepted::JournalFailed { .. }))
    ));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU32);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_job_that_the_journal_can_not_take_says_why_and_keeps_its_results_here() {
    let table = JobTable::new();
    table.create(JOB, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    table.submitted(JOB, &[Payload::empty()]);
    table.record(Event::Refused { job: JOB, reason: Refusal::DiskLow });
    let cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(NotAccepted::Refused(why))) = table.poll_accepted(&cx, JOB) else {
        panic!("it is refused")
    };
    assert!(why.contains("too little room"), "{why}");
    assert_eq!(table.results(JOB, 0, ALL).unwrap().ends.len(), 1);
}

#[test]
fn the_longest_ended_detached_jobs_are_forgotten_first() {
    let table = JobTable::new();
    let count = u64::try_from(DETACHED_JOBS_MAX).unwrap() + 2;
    for job in (0..count).map(JobId) {
        table.create(job, meta(true)).unwrap();
        table.record(Event::JobEnded { job });
    }
    assert_eq!(table.summary(JobId(0)), None);
    assert_eq!(table.summary(JobId(1)), None);
    assert!(table.summary(JobId(2)).is_some());
}

/// `--after` promises a thousand.
#[test]
fn a_thousand_ended_attached_jobs_can_still_be_named() {
    let table = JobTable::new();
    for job in (0..1001).map(JobId) {
        table.create(job, meta(false)).unwrap();
        table.record(Event::JobEnded { job });
        table.abandon(job);
    }
    assert_eq!(table.summary(JobId(0)), None);
    assert!((1..1001).all(|job| table.summary(JobId(job)).is_some()));
}

#[test]
fn kept_bytes_are_bounded_and_freed() {
    let tasks = u32::try_from(RESULT_BYTES_MAX / (16 << 10)).unwrap() + 1;
    let table = table_with(JOB, true, tasks);
    for index in 0..tasks {
        table.record(end(JOB, index, 16 << 10));
    }
    assert!(table.is_full(), "a running job is not forgotten");
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(table.summary(JOB), None, "an ended one is");
    assert!(!table.is_full());
}

#[test]
fn an_abandoned_job_keeps_nothing() {
    let table = table_with(JOB, false, 2);
    table.record(end(JOB, 0, 5));
    table.abandon(JOB);
    table.record(end(JOB, 1, 5));
    assert_eq!(take(&table, ALL), None);
    assert_eq!(table.summary(JOB).unwrap().done, 2);
}

#[test]
fn what_a_task_prints_comes_before_its_result_and_has_a_bound() {
    let table = table_with(JOB, false, 1);
    let print = |offset, length| Event::Printed {
        job: JOB,
        index: 0,
        attempt: 1,
        stream: weft_core::Stream::Output,
        offset,
        bytes: vec![b'x'; length].into(),
    };
    table.record(print(0, 5));
    table.record(print(5, PRINTED_BYTES_MAX));
    table.record(print(5, 7));
    table.record(end(JOB, 0, 12));
    let Some(Taken::Printed(prints)) = take(&table, ALL) else { panic!("expected prints") };
    let seen: Vec<(u64, usize)> = prints.iter().map(|print| (print.offset, print.bytes.len())).collect();
    assert_eq!(seen, [(0, 5), (5, 7)]);
    assert_eq!(indexes(take(&table, ALL).unwrap()), [0]);
}

#[test]
fn a_receipt_names_the_task_of_its_input() {
    let program = Arc::new(weft_core::Program::command(BlobId([1; 32]), 1));
    let table = JobTable::new();
    table.create(JOB, JobMeta { signed: Some(program.clone()), ..meta(false) }).unwrap();
    let inputs = [b"a", b"b"].map(|input| Payload::inline(input));
    table.submitted(JOB, &inputs);
    let proof = Proof { index: 0, count: 1, path: Vec::new(), signature: [0; 64] };
    let (worker, report) = (Some(PeerId([2; 32])), Report::bare(Outcome::Done));
    table.record(Event::TaskEnded {
        job: JOB,
        index: 1,
        report: report.into(),
        worker,
        attempts: 1,
        memo: None,
        proof: Some(proof.into()),
        verified: None,
    });
    let Some(Taken::Results(results)) = take(&table, ALL) else { panic!("expected a result") };
    let receipt = &results.first().unwrap().receipt.as_ref().unwrap().0;
    assert_eq!(receipt.task, program.task_id(inputs.last().unwrap()));
}

#[test]
fn a_kept_job_is_found_by_its_name_and_forgotten_once_it_has_ended() {
    let table = JobTable::new();
    let title = Arc::new(Title { name: String::from("friday"), ..Title::default() });
    for (id, submitted_ms) in [(0x10, 5), (0x11, 7), (0x20, 6)] {
        let title = Arc::clone(&title);
        table.create(JobId(id), JobMeta { title, submitted_ms, ..meta(true) }).unwrap();
        table.submitted(JobId(id), &[Payload::empty()]);
        table.close(JobId(id));
    }
    assert_eq!(table.named("friday", 2), [JobId(0x11), JobId(0x20)]);
    assert_eq!(table.named("monday", 2), []);
    assert_eq!(table.beginning("000000000000001", 5), [JobId(0x10), JobId(0x11)]);
    assert_eq!(table.forget(JobId(0x10)), Err(NotEnded::Open));
    table.record(end(JobId(0x10), 0, 9));
    table.record(Event::JobEnded { job: JobId(0x10) });
    assert_eq!(table.forget(JobId(0x10)), Ok(()));
    assert_eq!(table.forget(JobId(0x10)), Err(NotEnded::Unknown));
    assert_eq!(table.results(JobId(0x10), 0, ALL), None);
}

#[test]
fn a_job_on_disk_is_accepted_once_all_of_its_tasks_are_there() {
    let table = JobTable::new();
    table.create(JOB, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    table.submitted(JOB, &[Payload::empty()]);
    assert_eq!(accepted(&table), None);
    table.record(Event::Accepted { job: JOB, tasks: 1 });
    assert_eq!(accepted(&table), Some(Ok(())));
    table.submitted(JOB, &[Payload::empty(), Payload::empty()]);
    table.record(Event::Accepted { job: JOB, tasks: 2 });
    assert_eq!(accepted(&table), None);
    table.record(Event::ExtensionRefused { job: JOB, tasks: 1, reason: Refusal::DiskLow });
    assert_eq!(accepted(&table), Some(Ok(())));
    assert!(table.summary(JOB).unwrap().refused_more.is_some());
    // It gives up while tasks are on their way: nothing will be said of them that they wait for.
    table.submitted(JOB, &[Payload::empty()]);
    assert_eq!(accepted(&table), None);
    table.record(Event::JobEnded { job: JOB });
    assert_eq!(accepted(&table), Some(Err(NotAccepted::Over)));
    table.record(Event::ExtensionRefused { job: JOB, tasks: 1, reason: Refusal::JobOver });
    assert_eq!(accepted(&table), Some(Ok(())));
    let refused = table.summary(JOB).unwrap().refused_more.unwrap();
    assert!(refused.starts_with("2 tasks were not taken"), "{refused}");
}

#[test]
fn a_job_on_disk_that_was_closed_later_is_accepted_once_the_disk_knows_that() {
    let table = JobTable::new();
    table.create(JOB, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    table.submitted(JOB, &[Payload::empty()]);
    table.record(Event::Accepted { job: JOB, tasks: 1 });
    assert_eq!(accepted(&table), Some(Ok(())));
    table.close(JOB);
    assert_eq!(accepted(&table), None, "the next life would take it for half a job");
    table.record(Event::Confirmed { job: JOB });
    assert_eq!(accepted(&table), Some(Ok(())));
}

#[test]
fn jobs_are_found_by_the_first_digits_of_their_ids() {
    let table = JobTable::new();
    let ids = [0, 1, 0x0fff_ffff_ffff_ffff, 0xa7c3_72ed_eab4_6585, 0xa7c3_72ed_eab4_6586, u64::MAX];
    ids.into_iter().for_each(|id| table.create(JobId(id), meta(true)).unwrap());
    let whole = JobId(ids[3]).to_string();
    for digits in [
        "",
        "0",
        "00",
        "a",
        "a7c372",
        "b",
        "f",
        &whole,
        whole.split_at(15).0,
        "+1",
        "A7",
        "00000000000000001",
        "x",
    ] {
        let fitting = ids.into_iter().map(JobId).filter(|job| job.to_string().starts_with(digits));
        assert_eq!(table.beginning(digits, 9), fitting.collect::<Vec<_>>(), "{digits:?}");
    }
    assert_eq!(table.beginning("a7", 1), [JobId(ids[3])]);
}
