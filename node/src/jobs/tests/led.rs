//! Jobs at level `mesh` that this node leads, and those that it keeps for another leader.

use super::*;

const OTHER: PeerId = PeerId([9; 32]);

fn restored(led: Led) -> RestoredJob {
    RestoredJob {
        meta: JobMeta { level: Level::Mesh, ..meta(true) },
        ended_ms: None,
        read_ms: None,
        closed: true,
        cancelled: false,
        given_up: false,
        counts: Counts { tasks: 3, done: 1, ..Counts::default() },
        input_bytes: 0,
        told: 1,
        ended: vec![0b1],
        accepted: true,
        restarted: None,
        refused_more: None,
        custody: Some(Custody { keepers: vec![OTHER], led, shared: false }),
    }
}

fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn moved(leader: Option<PeerId>) -> Moved {
    Moved { job: JOB, leader }
}

#[test]
fn whoever_waits_for_a_job_that_moves_is_told_where_it_is() {
    let table = JobTable::new();
    table.create(JOB, JobMeta { level: Level::Mesh, ..meta(true) }).unwrap();
    table.submitted(JOB, &[Payload::empty()]);
    assert!(table.poll_told(&cx(), JOB, 0).is_pending());
    assert!(table.poll_ended(&cx(), JOB).is_pending());
    assert!(table.poll_accepted(&cx(), JOB).is_pending());
    assert!(table.poll_moved(&cx(), JOB).is_pending());
    table.record(Event::Follows { job: JOB, leader: None });
    assert_eq!(table.poll_told(&cx(), JOB, 0), Poll::Ready(Err(NotHere::Moved(moved(None)))));
    table.record(Event::Follows { job: JOB, leader: Some(OTHER) });
    let there = moved(Some(OTHER));
    assert_eq!(table.poll_told(&cx(), JOB, 0), Poll::Ready(Err(NotHere::Moved(there))));
    assert_eq!(table.poll_ended(&cx(), JOB), Poll::Ready(Err(NotHere::Moved(there))));
    assert_eq!(table.poll_accepted(&cx(), JOB), Poll::Ready(Err(NotAccepted::Moved(there))));
    assert_eq!(table.poll_moved(&cx(), JOB), Poll::Ready(Ok(there)));
    assert_eq!(table.summary(JOB).unwrap().here(), Err(there));
    assert!(there.to_string().contains("node 09090909"), "{there}");
    assert_eq!(table.poll_moved(&cx(), JobId(7)), Poll::Ready(Err(NoSuchJob)));
}

#[test]
fn a_job_that_moves_while_its_log_is_read_is_not_opened_again_here() {
    let table = JobTable::new();
    let counts = Counts { tasks: 3, done: 1, failed: 2, ..Counts::default() };
    let ended =
        || RestoredJob { counts, told: 3, ended: vec![0b111], ended_ms: Some(5), ..restored(Led::Here) };
    table.restore(JOB, ended());
    assert!(table.summary(JOB).unwrap().ended);
    let read_before = restored(Led::Here);
    table.record(Event::Follows { job: JOB, leader: Some(OTHER) });
    assert!(!table.reopen(JOB, read_before));
    assert_eq!(table.summary(JOB).unwrap().here(), Err(moved(Some(OTHER))));
}

#[test]
fn a_job_that_comes_back_is_shown_as_its_log_is_and_goes_on_here() {
    let table = JobTable::new();
    table.keep(JOB, restored(Led::Elsewhere { leader: Some(OTHER) }));
    let counts = Counts { tasks: 3, done: 2, ..Counts::default() };
    table.show(JOB, Shown { counts, closed: true, ..Shown::default() });
    let kept = table.summary(JOB).unwrap();
    assert_eq!((kept.done, kept.custody.unwrap().keepers), (2, vec![OTHER]));
    table.lead(JOB, RestoredJob { counts, told: 2, ended: vec![0b11], ..restored(Led::Here) });
    let led = table.summary(JOB).unwrap();
    assert_eq!((led.done, led.told, led.here()), (2, 2, Ok(())));
    assert!(table.poll_told(&cx(), JOB, 2).is_pending());
    table.record(end(JOB, 2, 0));
    assert_eq!(table.poll_told(&cx(), JOB, 2), Poll::Ready(Ok(())));
    table.show(JOB, Shown::default());
    assert_eq!(table.summary(JOB).unwrap().done, 3, "a late word about the log changes nothing here");
}

#[test]
fn a_job_that_is_led_elsewhere_is_no_unfinished_or_unread_one_of_this_node() {
    let table = JobTable::new();
    for job in 0..UNFINISHED_MAX {
        table.keep(JobId(job as u64 + 10), restored(Led::Elsewhere { leader: None }));
    }
    let job = JobId(5);
    table.create(job, JobMeta { level: Level::Mesh, ..meta(true) }).unwrap();
    table.record(Event::Follows { job, leader: None });
    table.create(JobId(6), meta(true)).unwrap();
    let shown = Shown { has_ended: true, ..Shown::default() };
    table.show(job, shown);
    assert!(table.summary(job).unwrap().ended);
    assert_eq!(table.unread_since(u64::MAX, 9), [], "its leader forgets it");
    table.lead(job, RestoredJob { ended_ms: Some(1), ..restored(Led::Here) });
    assert_eq!(table.unread_since(u64::MAX, 9), [job]);
    table.forget_followed(job);
    assert!(table.summary(job).is_some(), "it is led here");
    table.record(Event::Follows { job, leader: None });
    table.forget_followed(job);
    assert_eq!(table.summary(job), None);
}

#[test]
fn who_submitted_a_job_is_not_who_has_the_first_seat() {
    let table = JobTable::new();
    table.create(JOB, JobMeta { level: Level::Mesh, ..meta(true) }).unwrap();
    let owner = table.summary(JOB).unwrap().owner();
    table.record(Event::Keepers { job: JOB, keepers: vec![OTHER, PeerId([2; 32]), PeerId([3; 32])] });
    assert_eq!((table.summary(JOB).unwrap().owner(), owner), (PeerId([1; 32]), PeerId([1; 32])));
}

#[test]
fn a_job_of_this_node_alone_is_one_that_has_no_keepers() {
    let table = table_with(JOB, true, 1);
    table.create(JobId(2), JobMeta { level: Level::Disk, ..meta(true) }).unwrap();
    table.create(JobId(3), JobMeta { level: Level::Mesh, ..meta(true) }).unwrap();
    table.keep(JobId(4), restored(Led::Elsewhere { leader: None }));
    let alone = (1..=5).map(|job| table.is_of_this_node_alone(JobId(job)));
    assert_eq!(alone.collect::<Vec<_>>(), [true, true, false, false, false]);
}
