//! The table without threads: who may have a thread, and what becomes of modules that could not be optimised.

use bytes::Bytes;
use weft_core::BlobId;

use super::*;
use crate::make::EngineKey;

const ONE: PeerId = PeerId([1; 32]);
const TWO: PeerId = PeerId([2; 32]);

fn table() -> ModuleTable {
    ModuleTable::new(1 << 20, Duration::ZERO)
}

fn job(number: u8, owner: PeerId) -> Job {
    let read: crate::compile::Read = Arc::new(|| Ok(Bytes::new()));
    Job { module_key: (BlobId([number; 32]), EngineKey::PLAIN), owner, read, late: 0, tries: 0 }
}

/// Requests a module, and returns whether a thread is to be started.
fn request(table: &mut ModuleTable, number: u8, owner: PeerId) -> bool {
    assert!(matches!(table.request(job(number, owner), Box::new(drop)), Claim::Queued));
    table.wants(Pace::Fast, 2)
}

fn taken(table: &mut ModuleTable, pace: Pace) -> Option<u8> {
    table.take(pace).map(|job| job.module_key.0.0[0])
}

#[test]
fn one_owners_modules_have_one_of_the_two_threads() {
    let mut table = table();
    assert!(request(&mut table, 10, ONE));
    assert_eq!(taken(&mut table, Pace::Fast), Some(10));
    assert!(!request(&mut table, 11, ONE) && !request(&mut table, 12, ONE), "no thread for what must wait");
    assert_eq!(taken(&mut table, Pace::Fast), None);
    assert!(request(&mut table, 20, TWO) && !request(&mut table, 21, TWO));
    assert_eq!((taken(&mut table, Pace::Fast), taken(&mut table, Pace::Fast)), (Some(20), None));
    table.done(Pace::Fast, ONE);
    assert_eq!((taken(&mut table, Pace::Fast), taken(&mut table, Pace::Fast)), (Some(11), None));
    table.done(Pace::Fast, TWO);
    assert_eq!((taken(&mut table, Pace::Fast), taken(&mut table, Pace::Fast)), (Some(21), None));
}

/// Queues a module that runs on baseline code.
fn queue_slow(table: &mut ModuleTable, number: u8, owner: PeerId) -> ModuleKey {
    let job = job(number, owner);
    let module_key = job.module_key;
    assert!(table.claim(module_key));
    table.queue_slow(job);
    module_key
}

#[test]
fn only_a_module_that_was_late_gets_a_longer_time_limit() {
    let mut table = table();
    let module_key = queue_slow(&mut table, 1, ONE);
    for (again, late, tries) in [(Again::Later, 0, 1), (Again::Longer, 1, 2), (Again::Later, 1, 3)] {
        let job = table.take(Pace::Slow).unwrap();
        table.done(Pace::Slow, ONE);
        table.upgraded(job, Err(again));
        assert!(table.try_again(module_key), "the wait is over at once");
        let waits = table.slow.queue.pop(|_| true).unwrap();
        assert_eq!((waits.late, waits.tries), (late, tries));
        table.queue_slow(waits);
    }
    let job = table.take(Pace::Slow).unwrap();
    table.upgraded(job, Err(Again::Never));
    assert!(!table.try_again(module_key));
}

#[test]
fn a_module_beyond_the_full_queue_was_not_late() {
    let mut table = table();
    let keys: Vec<ModuleKey> = (0..=48).map(|number| queue_slow(&mut table, number, ONE)).collect();
    assert_eq!(taken(&mut table, Pace::Slow), Some(0));
    assert!(table.try_again(keys[48]) && !table.try_again(keys[47]));
    let late: Vec<u32> = std::iter::from_fn(|| table.slow.queue.pop(|_| true)).map(|job| job.late).collect();
    assert_eq!(late, [0; 48]);
}

#[test]
fn modules_that_no_thread_could_optimise_are_tried_again() {
    let mut table = table();
    let module_key = queue_slow(&mut table, 1, ONE);
    assert!(table.wants(Pace::Slow, 1));
    assert!(table.no_thread(Pace::Slow).is_empty());
    assert_eq!(taken(&mut table, Pace::Slow), None);
    assert!(table.try_again(module_key) && table.wants(Pace::Slow, 1));
    assert_eq!(taken(&mut table, Pace::Slow), Some(1));
}
