//! Jobs whose inputs are results of other jobs: which task gets which input, when, and what happens when a node stops or a
//! parent goes in the middle.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::collections::BTreeMap;

use weft_core::durable::LogRecord;
use weft_core::snapshot::TaskView;
use weft_core::*;
use wire::{JOB, Mesh};

const CHILD: JobId = JobId(0xc1d);
const GRANDCHILD: JobId = JobId(0x6ca);

/// A job that takes each result of that one.
fn each_of(parent: JobId, job: JobId, level: Level) -> impl FnOnce(&mut Submission) {
    move |what| {
        (what.job, what.after, what.join) = (job, vec![parent], Join::EachResult);
        (what.closed, what.level) = (false, level);
    }
}

fn at(level: Level) -> impl FnOnce(&mut Submission) {
    move |what| what.level = level
}

/// Nodes of which tasks put out their input with one more byte, a parent of this many tasks, and a child.
fn family(slots: &[u32], tasks: usize, parent: Level, child: Level) -> Mesh {
    let mut mesh = Mesh::keeping(slots);
    mesh.echo = true;
    mesh.submit_with(0, tasks, at(parent));
    mesh.submit_with(0, 0, each_of(JOB, CHILD, child));
    mesh
}

/// What a node told of the ends of a job's tasks: outcome and output, by index; of no task twice.
fn told(mesh: &Mesh, node: usize, of: JobId) -> BTreeMap<u32, (Outcome, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for event in &mesh.events[node] {
        if let Event::TaskEnded { job, index, report, .. } = event
            && *job == of
        {
            let Payload::Inline(output) = &report.output else { continue };
            let before = all.insert(*index, (report.outcome.clone(), output.to_vec()));
            assert_eq!(before, None, "task {index} of {job:?} is told twice");
        }
    }
    all
}

fn over(mesh: &Mesh, node: usize, job: JobId) -> usize {
    mesh.events[node].iter().filter(|event| **event == Event::JobEnded { job }).count()
}

/// Runs all, and waits for what waits for more of its kind before it is written.
fn run_on(mesh: &mut Mesh) {
    for _ in 0..4 {
        mesh.run_all();
        mesh.advance_ms(100);
    }
}

/// The inputs of tasks of jobs as the harness makes them, with that many bytes behind them.
fn number(index: u64, more: usize) -> Vec<u8> {
    [index.to_le_bytes().as_slice(), &vec![1; more]].concat()
}

fn refusal(mesh: &Mesh, of: JobId) -> Option<Refusal> {
    mesh.events[0].iter().find_map(|event| {
        let Event::Refused { job, reason } = event else { return None };
        (*job == of).then(|| reason.clone())
    })
}

fn view(mesh: &Mesh, job: JobId) -> snapshot::JobView {
    mesh.engines[0].snapshot().jobs.into_iter().find(|view| view.job == job).expect("it is known")
}

#[test]
fn each_task_gets_its_parents_output_as_soon_as_that_is_done() {
    for (parent, child) in [
        (Level::Disk, Level::Disk),
        (Level::Disk, Level::Memory),
        (Level::Mesh, Level::Mesh),
        (Level::Mesh, Level::Memory),
    ] {
        let mut mesh = family(&[0, 1, 0], 3, parent, child);
        let (view, waits) = (view(&mesh, CHILD), mesh.engines[0].why(mesh.now, CHILD, 1));
        assert_eq!((view.tasks, view.held, view.open), (3, 3, false), "{parent:?} {child:?}");
        assert_eq!(waits.map(|why| why.state), Some(TaskView::AwaitsResult { of: JOB }));
        mesh.run_some(1);
        mesh.advance_ms(100);
        assert_eq!((told(&mesh, 0, JOB).len(), mesh.running()[1]), (1, 1));
        // The first task of the child may run now though the parent has not ended.
        while told(&mesh, 0, CHILD).is_empty() {
            assert!(mesh.running()[1] == 1, "one of the two runs");
            mesh.run_some(1);
            mesh.advance_ms(100);
        }
        mesh.run_all();
        mesh.advance_ms(1000);
        mesh.run_all();
        let ends = told(&mesh, 0, CHILD);
        assert_eq!(ends.len(), 3);
        for (index, end) in ends {
            assert_eq!(end, (Outcome::Done, number(index.into(), 2)), "task {index}");
        }
        assert_eq!((over(&mesh, 0, JOB), over(&mesh, 0, CHILD)), (1, 1));
        mesh.assert_quiet();
    }
}

#[test]
fn results_go_through_a_chain_and_to_several_jobs() {
    let mut mesh = family(&[2, 0, 0], 20, Level::Disk, Level::Disk);
    mesh.submit_with(0, 0, each_of(CHILD, GRANDCHILD, Level::Disk));
    let other = JobId(0x07e4);
    mesh.submit_with(0, 0, each_of(JOB, other, Level::Disk));
    mesh.run_all();
    for (job, more) in [(CHILD, 2), (GRANDCHILD, 3), (other, 2)] {
        let ends = told(&mesh, 0, job);
        assert_eq!(ends.len(), 20, "{job:?}");
        assert!(ends.iter().all(|(index, end)| *end == (Outcome::Done, number((*index).into(), more))));
        assert_eq!(over(&mesh, 0, job), 1);
    }
}

#[test]
fn a_job_takes_the_results_of_one_that_has_ended() {
    let mut mesh = Mesh::keeping(&[2, 0, 0]);
    mesh.echo = true;
    mesh.submit_with(0, 5, at(Level::Disk));
    mesh.run_all();
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Disk));
    mesh.run_all();
    assert_eq!((told(&mesh, 0, CHILD).len(), over(&mesh, 0, CHILD)), (5, 1));
}

#[test]
fn a_job_after_one_without_tasks_ends_at_once() {
    let mut mesh = Mesh::keeping(&[2, 0, 0]);
    mesh.submit_with(0, 0, at(Level::Disk));
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Disk));
    assert_eq!((told(&mesh, 0, CHILD).len(), over(&mesh, 0, JOB), over(&mesh, 0, CHILD)), (0, 1, 1));
    let ended = view(&mesh, CHILD);
    assert_eq!((ended.tasks, ended.failed, ended.open), (0, 0, false));
}

#[test]
fn what_failed_in_the_parent_is_skipped_alone() {
    let mut mesh = family(&[1, 0, 0], 3, Level::Disk, Level::Disk);
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.run_some(0);
    mesh.outcome = Outcome::Done;
    mesh.run_all();
    let ends = told(&mesh, 0, CHILD);
    assert_eq!(ends[&0].0, Outcome::ParentFailed { job: JOB });
    assert_eq!(
        (ends[&1].0.clone(), ends[&2].0.clone(), over(&mesh, 0, CHILD)),
        (Outcome::Done, Outcome::Done, 1)
    );
    // The parent's user has it tried again, and then the child.
    for job in [JOB, CHILD] {
        let log = mesh.disks[0].fold(job);
        mesh.input(0, Input::Command(Command::Retry(log)));
        let is_new = |event: &&Event| matches!(event, Event::TaskEnded { job: of, .. } if *of == job);
        let before = mesh.events[0].iter().filter(is_new).count();
        mesh.run_all();
        assert_eq!(
            mesh.events[0].iter().filter(is_new).count(),
            before + 1,
            "the task that had failed alone"
        );
    }
    let last = mesh.last_end(0);
    let is_right = |report: &Report| {
        (&report.outcome, &report.output) == (&Outcome::Done, &Payload::inline(&number(0, 2)))
    };
    assert!(
        matches!(last, Event::TaskEnded { job: CHILD, index: 0, report, .. } if is_right(report)),
        "{last:?}"
    );
}

#[test]
fn a_cancelled_parent_ends_what_waits_for_its_results() {
    let mut mesh = family(&[1, 0, 0], 3, Level::Disk, Level::Disk);
    mesh.run_some(0);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.run_all();
    let ends = told(&mesh, 0, CHILD);
    assert_eq!((ends[&0].0.clone(), ends.len(), over(&mesh, 0, CHILD)), (Outcome::Done, 3, 1));
    assert!((1..3).all(|index| ends[&index].0 == Outcome::ParentFailed { job: JOB }));
}

#[test]
fn a_job_goes_on_with_results_where_its_node_was_started_again() {
    let mut mesh = family(&[1, 0, 0], 6, Level::Disk, Level::Disk);
    for _ in 0..4 {
        mesh.run_some(0);
    }
    let before = told(&mesh, 0, CHILD);
    mesh.events[0].clear();
    mesh.restart(0, 1);
    mesh.advance_ms(4000);
    mesh.run_all();
    let after = told(&mesh, 0, CHILD);
    assert!(before.keys().all(|index| !after.contains_key(index)), "told twice: {before:?} {after:?}");
    let all: BTreeMap<_, _> = before.into_iter().chain(after).collect();
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|(index, end)| *end == (Outcome::Done, number((*index).into(), 2))));
    assert_eq!(over(&mesh, 0, CHILD), 1);
    let resolved = mesh.disks[0].log(CHILD).into_iter().filter_map(|record| {
        let LogRecord::Resolved { inputs } = record else { return None };
        Some(inputs.len())
    });
    assert_eq!(resolved.sum::<usize>(), 6, "each input is written once, over all lives");
}

#[test]
fn another_node_goes_on_with_both_when_the_owner_is_gone() {
    let mut mesh = family(&[1, 0, 0, 1], 6, Level::Mesh, Level::Mesh);
    mesh.run_some(0);
    mesh.run_some(3);
    mesh.switch_off(0);
    for _ in 0..120 {
        mesh.steps = 0;
        mesh.run_all();
        mesh.advance_ms(500);
    }
    for job in [JOB, CHILD] {
        let more = if job == JOB { 1 } else { 2 };
        let mut all = BTreeMap::new();
        for node in 0..4 {
            for (index, end) in told(&mesh, node, job) {
                assert!(all.insert(index, end.clone()).is_none_or(|before| before == end), "{job:?}/{index}");
            }
        }
        assert_eq!(all.len(), 6, "{job:?}");
        assert!(all.iter().all(|(index, end)| *end == (Outcome::Done, number((*index).into(), more))));
    }
}

#[test]
fn no_result_is_taken_before_a_second_disk_has_it() {
    let mut mesh = family(&[2, 0, 0], 1, Level::Mesh, Level::Mesh);
    let keepers = mesh.engines[0].snapshot().kept.into_iter().find(|view| view.job == JOB).unwrap().keepers;
    mesh.lazy = true;
    mesh.run_some(0);
    mesh.sync(0);
    // It is looked at again meanwhile.
    mesh.advance_ms(6_000);
    assert_eq!(mesh.running(), [0, 0, 0], "what is on one disk alone may be lost with it");
    keepers.iter().for_each(|keeper| mesh.sync(wire::index(*keeper)));
    assert_eq!(mesh.running(), [1, 0, 0]);
}

#[test]
fn a_forgotten_parent_ends_what_waits_for_its_results() {
    let mut mesh = family(&[1, 0, 0], 2, Level::Disk, Level::Disk);
    // A kept job gets no inputs while the disk is nearly full.
    mesh.input(0, Input::DiskLow(true));
    mesh.run_all();
    assert_eq!((over(&mesh, 0, JOB), told(&mesh, 0, CHILD).len()), (1, 0));
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    let ends = told(&mesh, 0, CHILD);
    assert!(ends.values().all(|end| end.0 == Outcome::ParentFailed { job: JOB }), "{ends:?}");
    assert_eq!((ends.len(), over(&mesh, 0, CHILD)), (2, 1));
}

#[test]
fn a_full_disk_holds_results_back_until_there_is_room() {
    let mut mesh = family(&[1, 0, 0], 2, Level::Disk, Level::Disk);
    mesh.input(0, Input::DiskLow(true));
    mesh.run_all();
    assert_eq!(told(&mesh, 0, CHILD).len(), 0);
    mesh.input(0, Input::DiskLow(false));
    mesh.run_all();
    assert_eq!((told(&mesh, 0, CHILD).len(), over(&mesh, 0, CHILD)), (2, 1));
}

/// A parent of many tasks that run for that long, and a child; how many tasks of the child waited for workers at most.
fn most_ahead(wall_us: u64) -> u32 {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.wall_us = wall_us;
    mesh.submit_with(0, 9_000, at(Level::Disk));
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Disk));
    mesh.join(8, Vec::new());
    assert_eq!(view(&mesh, CHILD).held, 9_000);
    let mut most = 0;
    for job in [JOB, CHILD] {
        let mut before = 0;
        while view(&mesh, job).done < 9_000 {
            mesh.steps = 0;
            mesh.run_some(3);
            mesh.advance_ms(1);
            most = most.max(view(&mesh, CHILD).queued);
            before += 1;
            assert!(before < 30_000, "{:?}", view(&mesh, job));
        }
    }
    most
}

#[test]
fn no_more_results_are_read_than_a_job_has_use_for() {
    // Up to the bound, and one page more: 512 KiB of records, each of which counts with more than 175 bytes.
    let most_waiting = 4096 + (512 << 10) / 175;
    // Long tasks are bid for, short ones go on credit.
    for wall_us in [50_000, 20] {
        let most = most_ahead(wall_us);
        assert!((1..most_waiting).contains(&most), "{most} tasks of the child waited for workers");
    }
}

#[test]
fn a_job_that_fails_too_often_ends_while_its_parent_runs() {
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.submit_with(0, 1, |what| (what.level, what.closed) = (Level::Disk, false));
    mesh.submit_with(0, 0, |what| {
        each_of(JOB, CHILD, Level::Disk)(what);
        what.policy.failures_max = Some(0);
    });
    mesh.run_some(0);
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.run_all();
    assert_eq!((over(&mesh, 0, JOB), over(&mesh, 0, CHILD)), (0, 1));
    mesh.outcome = Outcome::Done;
    let inputs = mesh.fresh_inputs(1);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.run_all();
    assert_eq!((over(&mesh, 0, JOB), over(&mesh, 0, CHILD)), (1, 1));
    mesh.restart(0, 1);
    mesh.assert_quiet();
}

#[test]
fn what_was_cancelled_before_its_parent_had_all_tasks_gets_them_when_it_is_tried_again() {
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.echo = true;
    mesh.submit_with(0, 2, |what| (what.level, what.closed) = (Level::Disk, false));
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Disk));
    mesh.input(0, Input::Command(Command::Cancel { job: CHILD }));
    assert_eq!((view(&mesh, CHILD).tasks, over(&mesh, 0, CHILD)), (2, 1));
    let inputs = mesh.fresh_inputs(3);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.events[0].clear();
    let log = mesh.disks[0].fold(CHILD);
    mesh.input(0, Input::Command(Command::Retry(log)));
    mesh.run_some(0);
    mesh.restart(0, 1);
    mesh.advance_ms(4000);
    mesh.run_all();
    let ends = told(&mesh, 0, CHILD);
    assert!(ends.values().all(|end| end.0 == Outcome::Done), "{ends:?}");
    assert_eq!((ends.len(), over(&mesh, 0, CHILD), view(&mesh, CHILD).tasks), (5, 1, 5));
}

#[test]
fn a_cancel_further_up_closes_no_job_for_good() {
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.echo = true;
    mesh.submit_with(0, 2, |what| (what.level, what.closed) = (Level::Disk, false));
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Disk));
    mesh.submit_with(0, 0, each_of(CHILD, GRANDCHILD, Level::Disk));
    run_on(&mut mesh);
    assert_eq!(told(&mesh, 0, GRANDCHILD).len(), 2);
    mesh.input(0, Input::Command(Command::Cancel { job: CHILD }));
    run_on(&mut mesh);
    assert_eq!([CHILD, GRANDCHILD].map(|job| over(&mesh, 0, job)), [1, 1]);
    let inputs = mesh.fresh_inputs(3);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.run_all();
    for job in [CHILD, GRANDCHILD] {
        let log = mesh.disks[0].fold(job);
        mesh.input(0, Input::Command(Command::Retry(log)));
        mesh.run_all();
        assert_eq!(
            (told(&mesh, 0, job).len(), view(&mesh, job).tasks, over(&mesh, 0, job)),
            (5, 5, 2),
            "{job:?}"
        );
    }
    // What comes later reads the cancel and the new try at once.
    let late = JobId(0x1a7e);
    mesh.submit_with(0, 0, each_of(CHILD, late, Level::Disk));
    mesh.run_all();
    assert_eq!((told(&mesh, 0, late).len(), over(&mesh, 0, late)), (5, 1));
}

#[test]
fn how_many_tasks_there_are_is_told_before_any_of_them_ends() {
    for level in [Level::Memory, Level::Disk] {
        let mut mesh = family(&[2, 0, 0], 5, Level::Disk, level);
        mesh.run_all();
        // The same tasks again: what they bring is known.
        let again = JobId(0xa9a1);
        mesh.submit_with(0, 0, each_of(JOB, again, level));
        assert_eq!((told(&mesh, 0, again).len(), mesh.running()), (5, vec![0, 0, 0]));
        let place = |wanted: fn(&Event) -> bool| {
            let of_it = |event: &&Event| matches!(event, Event::TaskEnded { job, .. } | Event::Grown { job, .. } if *job == again);
            mesh.events[0].iter().filter(of_it).position(wanted)
        };
        let grown = place(|event| matches!(event, Event::Grown { tasks: 5, .. }));
        assert!(
            grown.is_some() && grown < place(|event| matches!(event, Event::TaskEnded { .. })),
            "{level:?}"
        );
        assert_eq!(over(&mesh, 0, again), 1);
    }
}

#[test]
fn a_job_is_kept_where_the_results_are_also_of_one_that_has_ended() {
    let mut mesh = Mesh::keeping(&[1, 0, 0, 0, 0, 0]);
    mesh.submit_with(0, 2, at(Level::Mesh));
    mesh.run_all();
    mesh.advance_ms(1000);
    let keepers = |mesh: &Mesh, job| {
        let kept = mesh.engines[0].snapshot().kept.into_iter().find(|view| view.job == job);
        kept.map(|view| view.keepers)
    };
    for job in [CHILD, GRANDCHILD, JobId(1), JobId(2)] {
        mesh.submit_with(0, 0, each_of(JOB, job, Level::Mesh));
        assert!(keepers(&mesh, job).is_some() && keepers(&mesh, job) == keepers(&mesh, JOB), "{job:?}");
    }
    mesh.submit_with(0, 1, |what| (what.job, what.level) = (JobId(9), Level::Disk));
    mesh.run_all();
    mesh.submit_with(0, 0, each_of(JobId(9), JobId(10), Level::Mesh));
    assert_eq!(refusal(&mesh, JobId(10)), Some(Refusal::ParentNotKept { job: JobId(9) }));
}

#[test]
fn a_job_in_memory_ends_without_the_results_that_can_not_be_read_any_more() {
    let mut mesh = family(&[1, 0, 0], 2, Level::Disk, Level::Disk);
    mesh.run_all();
    mesh.lazy = true;
    let again = JobId(0xa9a1);
    mesh.submit_with(0, 1, |what| (what.job, what.level) = (again, Level::Disk));
    mesh.submit_with(0, 0, each_of(again, GRANDCHILD, Level::Memory));
    mesh.input(0, Input::JournalFailed);
    mesh.advance_ms(60_000);
    assert_eq!(over(&mesh, 0, GRANDCHILD), 1, "the node ends once nothing in its memory runs");
    assert!(view(&mesh, GRANDCHILD).failed + view(&mesh, GRANDCHILD).cancelled > 0);
}

#[test]
fn results_are_taken_of_one_kept_job_and_of_nothing_else() {
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.submit(0, 1);
    mesh.submit_with(0, 0, each_of(JOB, CHILD, Level::Memory));
    assert_eq!(refusal(&mesh, CHILD), Some(Refusal::ResultsNotKept { job: JOB }));
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.submit_with(0, 1, at(Level::Disk));
    mesh.submit_with(0, 1, each_of(JOB, CHILD, Level::Disk));
    assert_eq!(refusal(&mesh, CHILD), Some(Refusal::TakesResults), "it has an input of its own");
    mesh.submit_with(0, 0, |what| {
        each_of(JOB, GRANDCHILD, Level::Disk)(what);
        what.after.clear();
    });
    assert_eq!(refusal(&mesh, GRANDCHILD), Some(Refusal::ResultsOfSeveral { asked: 0 }));
    // No client adds to what takes results, or closes it.
    let child = JobId(0xc1e);
    mesh.submit_with(0, 0, each_of(JOB, child, Level::Disk));
    let inputs = mesh.fresh_inputs(1);
    mesh.input(0, Input::Command(Command::Extend { job: child, inputs }));
    mesh.input(0, Input::Command(Command::Close { job: child }));
    mesh.run_all();
    assert_eq!((told(&mesh, 0, child).len(), over(&mesh, 0, child)), (1, 1));
}
