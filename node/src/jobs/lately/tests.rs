use weft_core::{Outcome, Payload, Report};

use super::*;

const JOB: JobId = JobId(1);
const OTHER: JobId = JobId(2);
const ALL: Portion = Portion { results_max: usize::MAX, bytes: usize::MAX };
/// Inline bytes of an end of which some fill a job's share soon.
const LONG: usize = 16 << 10;

fn end(index: u32, bytes: usize) -> TaskEnd {
    let report = Report { output: Payload::inline(&vec![0; bytes]), ..Report::bare(Outcome::Done) };
    TaskEnd {
        number: None,
        index,
        report: report.into(),
        worker: None,
        attempts: 1,
        memo: None,
        receipt: None,
        verified: None,
    }
}

/// With ends of a job of which this is the first number, each with its number as its index.
fn add(lately: &mut Lately, job: JobId, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        lately.add(job, number, end(u32::try_from(number).unwrap(), bytes));
    }
}

/// Numbers and indexes of what is read.
fn read(lately: &mut Lately, job: JobId, from: u64, portion: Portion) -> Option<Vec<(u64, u32)>> {
    let ends = lately.read(job, from, portion)?;
    Some(ends.iter().map(|end| (end.number.unwrap(), end.index)).collect())
}

/// What all ends take, counted anew.
fn counted(lately: &Lately) -> u64 {
    lately.of.values().flat_map(|told| &told.ends).map(bytes_of).sum()
}

#[test]
fn nothing_is_here_of_a_job_without_listeners() {
    let mut lately = Lately::default();
    add(&mut lately, JOB, 0..3, 0);
    assert_eq!((read(&mut lately, JOB, 0, ALL), lately.bytes), (None, 0));
    lately.listen(JOB);
    lately.listen(JOB);
    add(&mut lately, JOB, 3..5, 0);
    lately.leave(JOB);
    assert_eq!(read(&mut lately, JOB, 3, ALL), Some(vec![(3, 3), (4, 4)]), "one still listens");
    lately.leave(JOB);
    assert_eq!((lately.of.len(), lately.bytes), (0, 0));
    lately.leave(JOB);
}

#[test]
fn ends_are_read_in_order_from_any_number_that_is_here_and_in_portions() {
    let mut lately = Lately::default();
    lately.listen(JOB);
    lately.listen(JOB);
    add(&mut lately, JOB, 5..9, 0);
    assert_eq!(read(&mut lately, JOB, 4, ALL), None, "it is in the journal alone");
    assert_eq!(read(&mut lately, JOB, 9, ALL), None, "it was not told");
    assert_eq!(read(&mut lately, OTHER, 5, ALL), None);
    let two = Portion { results_max: 2, ..ALL };
    assert_eq!(read(&mut lately, JOB, 6, two), Some(vec![(6, 6), (7, 7)]));
    assert_eq!(read(&mut lately, JOB, 5, ALL).unwrap().len(), 4, "the other one may be behind");
    let few = Portion { bytes: 1, ..ALL };
    add(&mut lately, JOB, 9..11, 10);
    assert_eq!(read(&mut lately, JOB, 8, few), Some(vec![(8, 8), (9, 9)]));
}

#[test]
fn what_its_only_listener_has_is_dropped() {
    let mut lately = Lately::default();
    lately.listen(JOB);
    add(&mut lately, JOB, 0..4, 0);
    let three = Portion { results_max: 3, ..ALL };
    assert_eq!(read(&mut lately, JOB, 0, three).unwrap().len(), 3);
    assert_eq!((lately.bytes, counted(&lately)), (END_BYTES, END_BYTES));
    assert_eq!(read(&mut lately, JOB, 0, ALL), None, "who asks again reads the journal");
    add(&mut lately, JOB, 4..6, 0);
    assert_eq!(read(&mut lately, JOB, 4, ALL), Some(vec![(4, 4), (5, 5)]));
    assert_eq!((read(&mut lately, JOB, 3, ALL), lately.bytes), (None, 0));
    add(&mut lately, JOB, 6..7, 0);
    assert_eq!(read(&mut lately, JOB, 6, ALL), Some(vec![(6, 6)]), "what comes next is here");
}

#[test]
fn a_listener_that_is_far_behind_reads_the_oldest_in_the_journal() {
    let mut lately = Lately::default();
    lately.listen(JOB);
    let fitting = JOB_BYTES_MAX / (END_BYTES + LONG as u64);
    add(&mut lately, JOB, 0..fitting, LONG);
    assert_eq!(lately.of[&JOB].ends.len() as u64, fitting);
    add(&mut lately, JOB, fitting..fitting + 3, LONG);
    assert_eq!((read(&mut lately, JOB, 2, ALL), lately.bytes <= JOB_BYTES_MAX), (None, true));
    assert_eq!(lately.bytes, counted(&lately));
    assert_eq!(read(&mut lately, JOB, 3, ALL).unwrap().len() as u64, fitting);
    assert_eq!(lately.bytes, 0);
}

#[test]
fn ends_of_all_jobs_take_no_more_than_they_may() {
    let mut lately = Lately::default();
    let jobs = 2 * ALL_BYTES_MAX / JOB_BYTES_MAX;
    for job in 0..jobs {
        lately.listen(JobId(job));
        add(&mut lately, JobId(job), 0..300, LONG);
        assert!(lately.bytes <= ALL_BYTES_MAX);
        assert_eq!(lately.bytes, counted(&lately));
    }
    let last = JobId(jobs - 1);
    assert_eq!(read(&mut lately, last, 299, ALL), None, "the others have all the room");
    lately.leave(JobId(0));
    add(&mut lately, last, 300..302, LONG);
    assert_eq!(read(&mut lately, last, 300, ALL), Some(vec![(300, 300), (301, 301)]));
}

#[test]
fn what_is_here_has_no_gaps_and_is_of_one_log() {
    let mut lately = Lately::default();
    lately.listen(JOB);
    lately.listen(OTHER);
    add(&mut lately, OTHER, 0..2, 0);
    add(&mut lately, JOB, 0..4, 0);
    add(&mut lately, JOB, 5..6, 0);
    assert_eq!((read(&mut lately, JOB, 0, ALL), read(&mut lately, JOB, 3, ALL)), (None, None));
    assert_eq!(read(&mut lately, JOB, 5, ALL), Some(vec![(5, 5)]));
    // As many ends as before, of another log.
    lately.clear(JOB);
    assert_eq!((read(&mut lately, JOB, 5, ALL), lately.bytes), (None, 2 * END_BYTES));
    add(&mut lately, JOB, 5..6, 0);
    assert_eq!(read(&mut lately, JOB, 5, ALL), Some(vec![(5, 5)]));
}

#[test]
fn an_end_takes_no_more_than_it_counts() {
    // A shared report and three payloads, each with its counts in front of it.
    let least = size_of::<TaskEnd>() + size_of::<Report>() + 4 * 2 * size_of::<usize>();
    assert!(least as u64 <= END_BYTES, "{least}");
}
