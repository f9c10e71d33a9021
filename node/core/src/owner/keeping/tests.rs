//! What is written and told of a job at level mesh that its node turns out not to lead any more, and what waits for later inputs
//! before it is written.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::config::MeshConfig;
use crate::ctx::{Outlet, Surroundings};
use crate::custody::trio::{Seat, Trio};
use crate::durable::Kept;
use crate::memo::Memo;
use crate::programs::Programs;
use crate::snapshot::Counters;
use crate::task::{Outcome, Payload, Report};

const JOB: JobId = JobId(7);
const OTHER: JobId = JobId(8);
const TRIO: Trio = Trio([Seat { peer: PeerId([1; 32]), disk: 1 }; 3]);

/// A log that takes this many records.
struct Short(u32);

impl MeshLog for Short {
    fn append(&mut self, _: &mut Ctx<'_>, _: JobId, _: LogRecord) -> Option<u32> {
        self.0 = self.0.checked_sub(1)?;
        Some(1)
    }

    fn on_written(&mut self, _: JobId, _: &LogRecord) {}
}

#[test]
fn of_a_job_whose_log_takes_no_record_none_is_written_past_it_and_nothing_is_told() {
    for taken in [0, 1] {
        let (mut counters, mut memo) = (Counters::default(), Memo::default());
        let (mut programs, mut out) = (Programs::default(), Outlet::new(ChaCha8Rng::from_seed([1; 32])));
        let of =
            Surroundings { counters: &mut counters, memo: &mut memo, programs: &mut programs, out: &mut out };
        let mut ctx = Ctx::new(Time::ZERO, PeerId([1; 32]), &MeshConfig::DEFAULT, of);
        let mut keeping = Keeping::default();
        keeping.lines.open(JOB, TRIO, 0);
        keeping.record(JOB, LogRecord::Cancelled);
        keeping.record(JOB, LogRecord::Closed);
        keeping.event(JOB, Event::Confirmed { job: JOB });
        keeping.end(JOB, true);
        keeping.end(OTHER, true);
        keeping.seal(&mut ctx, &mut Short(taken), &|_, _| false);
        keeping.on_committed(&mut ctx, JOB, u32::MAX);
        keeping.on_persisted(&mut ctx, u64::MAX);
        let done: Vec<Effect> = out.drain().collect();
        let expected = [
            Effect::Persist {
                ticket: 1,
                job: OTHER,
                record: LogRecord::Ended { at: Time::ZERO },
                bytes: None,
            },
            Effect::Notify(Event::JobEnded { job: OTHER }),
        ];
        assert_eq!(done, expected, "{taken}");
        assert_eq!((keeping.held(), keeping.done.len()), ((0, 0), 0));
    }
}

/// A task of a kept job that ended, with an output of this many bytes.
fn kept(index: u32, bytes: usize) -> Kept {
    let output = Payload::inline(&alloc::vec![7; bytes]);
    let report = Report { output, ..Report::bare(Outcome::Done) };
    let worker = Some(PeerId([9; 32]));
    Kept { index, report: report.into(), worker, attempts: 1, memo: None, proof: None, verified: None }
}

/// What a node's keeping emits when inputs end at these times, in microseconds: before each of them, `gather` adds what is in it.
/// No worker has a task.
fn emitted(ends_us: &[u64], gather: impl Fn(&mut Keeping, u64)) -> Vec<(u64, Vec<String>)> {
    emitted_while(false, ends_us, gather)
}

/// The same; whether workers have tasks of [`JOB`].
fn emitted_while(
    is_busy: bool,
    ends_us: &[u64],
    gather: impl Fn(&mut Keeping, u64),
) -> Vec<(u64, Vec<String>)> {
    let (mut counters, mut memo) = (Counters::default(), Memo::default());
    let (mut programs, mut out) = (Programs::default(), Outlet::new(ChaCha8Rng::from_seed([1; 32])));
    let mut keeping = Keeping::default();
    let mut all = Vec::new();
    for end_us in ends_us {
        gather(&mut keeping, *end_us);
        let of =
            Surroundings { counters: &mut counters, memo: &mut memo, programs: &mut programs, out: &mut out };
        let mut ctx = Ctx::new(Time(*end_us), PeerId([1; 32]), &MeshConfig::DEFAULT, of);
        keeping.seal(&mut ctx, &mut Short(0), &|job, _| is_busy && job == JOB);
        let records = out.drain().filter_map(|effect| {
            let Effect::Persist { record, .. } = effect else { return None };
            let text = if let LogRecord::Outcomes(all) = &record {
                format!("outcomes {}", all.len())
            } else if let LogRecord::Extended { inputs } = &record {
                format!("inputs {}", inputs.len())
            } else if let LogRecord::Leased { all } = &record {
                format!("given to {}", all.len())
            } else {
                format!("{record:?}")
            };
            Some(text)
        });
        all.push((*end_us, records.collect()));
    }
    all.retain(|(_, records): &(u64, Vec<String>)| !records.is_empty());
    all
}

#[test]
fn ends_of_tasks_that_follow_closely_are_one_record() {
    let one_each = |keeping: &mut Keeping, at_us: u64| {
        let index = u32::try_from(at_us).expect("it is short");
        keeping.task_ended(JOB, kept(index, 8));
        keeping.given(JOB, PeerId([9; 32]), index + 1);
    };
    let told = emitted(&[0, 100, 200, 1999, 2000, 2100, 3999, 9000, 50_000], one_each);
    let expected: [(u64, &[&str]); 4] = [
        (0, &["outcomes 1", "given to 1"]),
        (2000, &["outcomes 4"]),
        (9000, &["outcomes 3"]),
        (50_000, &["outcomes 1", "given to 1"]),
    ];
    assert_eq!(
        told,
        expected.map(|(at_us, records)| (at_us, records.iter().map(|it| (*it).to_owned()).collect()))
    );
}

/// When records were emitted, of inputs that end at these times, after each of which this many tasks more had ended; and whether
/// workers have more of the same job.
fn emitted_of_many(is_busy: bool, ends: &[(u64, u32)]) -> Vec<u64> {
    let times: Vec<u64> = ends.iter().map(|(at_us, _)| *at_us).collect();
    let told = emitted_while(is_busy, &times, |keeping, now_us| {
        let (_, more) = ends.iter().find(|(at_us, _)| *at_us == now_us).expect("it is one of them");
        (0..*more).for_each(|index| keeping.task_ended(JOB, kept(index, 8)));
    });
    told.iter().map(|(at_us, _)| *at_us).collect()
}

#[test]
fn many_tasks_wait_longer_than_few_while_they_keep_coming() {
    let few = [(0, 1), (500, 15), (1500, 16), (2000, 0)];
    assert_eq!(emitted_of_many(true, &few), [0, 2000], "31 of them");
    let steady = |step_us: u64| (0..=11_999 / step_us).map(move |place| (place * step_us, 40));
    let end = [(11_999, 0), (12_000, 0)];
    let (slow, quick): (Vec<_>, Vec<_>) =
        (steady(4999).chain(end).collect(), steady(999).chain(end).collect());
    assert_eq!(emitted_of_many(true, &slow), [0, 12_000]);
    assert_eq!(emitted_of_many(false, &quick), [0, 12_000]);
    let early = [(0, 1), (100, 64), (1100, 0), (1999, 0), (2000, 0)];
    assert_eq!(emitted_of_many(false, &early), [0, 2000]);
    let late = [(0, 1), (20_000, 64)];
    assert_eq!(emitted_of_many(true, &late), [0, 20_000], "after a pause none waits");
}

#[test]
fn many_tasks_wait_for_later_ones_longer_where_workers_have_more_of_their_job() {
    let pause = [(0, 1), (500, 15), (1500, 17), (2499, 0), (2500, 0), (6499, 0), (6500, 0)];
    assert_eq!(emitted_of_many(false, &pause), [0, 2500], "none has come for 1 ms");
    assert_eq!(emitted_of_many(true, &pause), [0, 6500], "none has come for 5 ms");
}

#[test]
fn tasks_of_other_jobs_than_those_that_ended_are_not_waited_for() {
    let times = [0, 100, 2100];
    let told = emitted_while(true, &times, |keeping, at_us| match at_us {
        0 => keeping.task_ended(OTHER, kept(0, 8)),
        100 => (0..40).for_each(|index| keeping.task_ended(OTHER, kept(index, 8))),
        _ => (),
    });
    assert_eq!(told.iter().map(|(at_us, _)| *at_us).collect::<Vec<_>>(), [0, 2100]);
}

#[test]
fn further_tasks_count_as_ends_do() {
    let told = emitted(&[0, 100, 200, 2000, 2100], |keeping, at_us| match at_us {
        0 => keeping.task_ended(JOB, kept(0, 8)),
        100 => keeping.extend(JOB, &alloc::vec![Payload::empty(); 20], 0),
        200 => (0..12).for_each(|index| keeping.task_ended(JOB, kept(index, 8))),
        _ => keeping.extend(JOB, &[Payload::empty()], 20),
    });
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn inputs_that_follow_closely_are_one_record_and_tasks_end_behind_them() {
    let told = emitted(&[0, 100, 200, 300, 2000], |keeping, at_us| match at_us {
        0 => keeping.extend(JOB, &[Payload::empty()], 0),
        100 => keeping.task_ended(JOB, kept(0, 8)),
        200 => keeping.extend(JOB, &[Payload::empty(), Payload::empty()], 1),
        300 => {
            keeping.task_ended(JOB, kept(1, 8));
            keeping.extend(JOB, &[Payload::empty()], 3);
            keeping.task_ended(JOB, kept(3, 8));
        }
        _ => (),
    });
    let all = ["outcomes 1", "inputs 3", "outcomes 2"].map(str::to_owned).to_vec();
    assert_eq!(told, [(0, alloc::vec!["inputs 1".to_owned()]), (2000, all)]);
}

#[test]
fn what_was_given_of_a_job_that_ended_is_not_written() {
    let told = emitted(&[0, 100, 200, 90_000], |keeping, at_us| match at_us {
        0 | 100 => keeping.given(JOB, PeerId([9; 32]), u32::try_from(at_us).expect("it is short")),
        200 => keeping.end(JOB, true),
        _ => (),
    });
    assert_eq!(
        told,
        [(0, alloc::vec!["given to 1".to_owned()]), (200, alloc::vec!["Ended { at: 0.000200s }".to_owned()])]
    );
}

#[test]
fn what_is_no_end_of_a_task_waits_for_nothing_and_takes_along_what_does() {
    let told = emitted(&[0, 100, 200, 300], |keeping, at_us| match at_us {
        200 => keeping.record(OTHER, LogRecord::Closed),
        _ => keeping.task_ended(JOB, kept(0, 8)),
    });
    assert_eq!(
        told,
        [
            (0, alloc::vec!["outcomes 1".to_owned()]),
            (200, alloc::vec!["outcomes 1".to_owned(), "Closed".to_owned()])
        ]
    );
}

#[test]
fn ends_that_take_much_memory_do_not_wait() {
    let times: Vec<u64> = (0..70).collect();
    let told = emitted_while(true, &times, |keeping, _| keeping.task_ended(JOB, kept(0, 8 << 10)));
    let times: Vec<u64> = told.iter().map(|(at_us, _)| *at_us).collect();
    assert_eq!(times, [0, 61], "as many as that are too much");
}

#[test]
fn what_waits_says_until_when_and_may_be_hastened() {
    let told = emitted(&[0, 100, 200], |keeping, at_us| {
        assert_eq!(keeping.next_wakeup(), (at_us > 100).then_some(Time(2000)));
        if at_us == 200 {
            keeping.hasten();
        }
        keeping.task_ended(JOB, kept(0, 8));
    });
    assert_eq!(
        told,
        [(0, alloc::vec!["outcomes 1".to_owned()]), (200, alloc::vec!["outcomes 2".to_owned()])]
    );
}
