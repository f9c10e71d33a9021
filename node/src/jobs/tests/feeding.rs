//! Who hands in the inputs of an open job.

use std::time::Instant;

use super::*;

/// A job of the journal that may have more inputs.
pub(super) fn open_job(tasks: u32) -> RestoredJob {
    RestoredJob {
        meta: JobMeta { level: Level::Disk, ..meta(true) },
        ended_ms: None,
        read_ms: None,
        closed: false,
        cancelled: false,
        given_up: false,
        counts: Counts { tasks, ..Counts::default() },
        input_bytes: 0,
        told: 0,
        ended: Vec::new(),
        accepted: true,
        restarted: None,
        refused_more: None,
        custody: None,
    }
}

fn inputs(count: usize) -> Vec<Payload> {
    vec![Payload::Inline([1_u8].into()); count]
}

#[test]
fn a_client_goes_on_where_the_log_ends_and_no_other_stream_does() {
    let (table, now) = (JobTable::new(), Instant::now());
    table.restore(JOB, open_job(3));
    assert_eq!(table.feed_on(JOB, 3), Err(NotFed::NotAwaited(JOB)), "its client is not waited for");
    table.await_client(JOB, now + CLIENT_WAIT_MAX);
    assert_eq!(table.next_given_up(), Some(now + CLIENT_WAIT_MAX));
    for wrong in [0, 2, 4] {
        assert_eq!(table.feed_on(JOB, wrong), Err(NotFed::Otherwise { job: JOB, tasks: 3 }));
    }
    let feed = table.feed_on(JOB, 3).unwrap();
    assert!(table.is_fed_by(JOB, feed));
    assert_eq!(table.feed_on(JOB, 3), Err(NotFed::NotAwaited(JOB)), "one stream at a time");
    assert!(table.give_up_clients(now + CLIENT_WAIT_MAX).is_empty(), "its client is back");
    table.submitted(JOB, &inputs(2));
    assert_eq!(table.summary(JOB).unwrap().tasks, 5);
    // This node led it, did not, and leads it again: the stream of before brings nothing more.
    table.lead(JOB, open_job(4));
    table.await_client(JOB, now);
    assert!(!table.is_fed_by(JOB, feed));
    assert!(table.feed_on(JOB, 4).is_ok_and(|again| again != feed));
}

#[test]
fn a_client_that_does_not_come_back_is_given_up_once() {
    let (table, now) = (JobTable::new(), Instant::now());
    table.restore(JOB, open_job(3));
    table.await_client(JOB, now + CLIENT_WAIT_MAX);
    assert!(table.give_up_clients(now).is_empty());
    assert_eq!(table.give_up_clients(now + CLIENT_WAIT_MAX), [JOB]);
    assert!(table.give_up_clients(now + CLIENT_WAIT_MAX).is_empty());
    assert_eq!(table.feed_on(JOB, 3), Err(NotFed::NotAwaited(JOB)));
    assert_eq!(table.next_given_up(), None);
    // One that was cancelled meanwhile is given up without a word.
    table.await_client(JOB, now);
    table.cancel(JOB);
    assert!(table.give_up_clients(now).is_empty());
}

#[test]
fn a_stream_is_told_how_many_of_its_inputs_are_kept() {
    let (table, cx) = (JobTable::new(), Context::from_waker(Waker::noop()));
    table.create(JOB, JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    table.submitted(JOB, &inputs(5));
    assert_eq!(table.poll_kept(&cx, JOB, 1), Poll::Pending);
    table.record(Event::Accepted { job: JOB, tasks: 4 });
    assert_eq!(table.poll_kept(&cx, JOB, 4), Poll::Ready(4));
    assert_eq!(table.poll_kept(&cx, JOB, 5), Poll::Pending);
}
