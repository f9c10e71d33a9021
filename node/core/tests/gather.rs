//! Jobs whose one input is all results of other jobs: when it is made, of what, and what happens when a parent fails, a log is not
//! there or a node stops in the middle.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::durable::LogRecord;
use weft_core::snapshot::TaskView;
use weft_core::*;
use wire::{JOB, Mesh};

const CHILD: JobId = JobId(0xc1d);
const OTHER: JobId = JobId(0x07e4);

/// A job that gathers the results of those.
fn gathering(parents: &[JobId], level: Level) -> impl FnOnce(&mut Submission) {
    let after = parents.to_vec();
    move |what| {
        (what.job, what.after, what.join) = (CHILD, after, Join::Gather);
        (what.inputs, what.closed, what.level) = (vec![Payload::empty()], true, level);
    }
}

fn at(job: JobId, level: Level) -> impl FnOnce(&mut Submission) {
    move |what| (what.job, what.level) = (job, level)
}

fn keeping(slots: &[u32]) -> Mesh {
    let mut mesh = Mesh::keeping(slots);
    mesh.echo = true;
    mesh
}

/// Runs all, and waits for what waits for more of its kind before it is written.
fn run_on(mesh: &mut Mesh) {
    for _ in 0..12 {
        mesh.run_all();
        mesh.advance_ms(100);
    }
}

/// What was told of the ends of a job's tasks.
fn told(mesh: &Mesh, of: JobId) -> Vec<(u32, Outcome, Vec<u8>)> {
    let ends = mesh.events[0].iter().filter_map(|event| {
        let Event::TaskEnded { job, index, report, .. } = event else { return None };
        let Payload::Inline(output) = &report.output else { return None };
        (*job == of).then(|| (*index, report.outcome.clone(), output.to_vec()))
    });
    ends.collect()
}

fn retry(mesh: &mut Mesh, job: JobId) {
    let log = mesh.disks[0].fold(job);
    mesh.input(0, Input::Command(Command::Retry(log)));
}

fn over(mesh: &Mesh, job: JobId) -> usize {
    mesh.events[0].iter().filter(|event| **event == Event::JobEnded { job }).count()
}

/// The outputs of tasks with these inputs one behind the other, and the byte that the task puts behind them which gathers them.
fn all_of(inputs: &[u64]) -> Vec<u8> {
    let outputs = inputs.iter().flat_map(|input| [&input.to_le_bytes()[..], &[1]].concat());
    outputs.chain([1]).collect()
}

#[test]
fn one_task_gets_all_outputs_in_order_once_all_are_done() {
    for (parents, child) in [
        (Level::Disk, Level::Disk),
        (Level::Disk, Level::Memory),
        (Level::Mesh, Level::Mesh),
        (Level::Mesh, Level::Memory),
    ] {
        let mut mesh = keeping(&[0, 1, 0]);
        mesh.submit_with(0, 3, at(JOB, parents));
        mesh.submit_with(0, 0, gathering(&[JOB], child));
        let waits = mesh.engines[0].why(mesh.now, CHILD, 0).map(|why| why.state);
        assert!(matches!(waits, Some(TaskView::After { left: 1, .. })), "{waits:?}");
        run_on(&mut mesh);
        assert_eq!(told(&mesh, CHILD), [(0, Outcome::Done, all_of(&[0, 1, 2]))], "{parents:?} {child:?}");
        assert_eq!((over(&mesh, JOB), over(&mesh, CHILD)), (1, 1));
        mesh.advance_ms(1000);
        mesh.run_all();
        mesh.assert_quiet();
    }
}

#[test]
fn several_jobs_are_gathered_in_the_order_in_which_they_are_named() {
    let mut mesh = keeping(&[2, 0, 0]);
    mesh.submit_with(0, 2, at(OTHER, Level::Disk));
    mesh.submit_with(0, 3, at(JOB, Level::Disk));
    mesh.submit_with(0, 0, gathering(&[JOB, OTHER], Level::Disk));
    run_on(&mut mesh);
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::Done, all_of(&[2, 3, 4, 0, 1]))]);
}

#[test]
fn a_job_without_tasks_is_gathered_into_an_empty_input_once() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.submit_with(0, 0, at(JOB, Level::Disk));
    run_on(&mut mesh);
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
    run_on(&mut mesh);
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::Done, vec![1])]);
    assert_eq!(over(&mesh, CHILD), 1);
}

#[test]
fn where_a_parent_fails_it_is_skipped_and_a_new_try_gathers_what_is_done_then() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.outcome = Outcome::Failed(Failure::Exit(3));
    mesh.submit_with(0, 2, at(JOB, Level::Disk));
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
    run_on(&mut mesh);
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::ParentFailed { job: JOB }, Vec::new())]);
    // While its parent is as it was, nothing changes.
    mesh.outcome = Outcome::Done;
    retry(&mut mesh, CHILD);
    run_on(&mut mesh);
    assert_eq!(told(&mesh, CHILD).len(), 2);
    assert_eq!(told(&mesh, CHILD)[1].1, Outcome::ParentFailed { job: JOB });
    retry(&mut mesh, JOB);
    run_on(&mut mesh);
    retry(&mut mesh, CHILD);
    run_on(&mut mesh);
    assert_eq!(told(&mesh, CHILD).last(), Some(&(0, Outcome::Done, all_of(&[0, 1]))));
}

#[test]
fn what_could_not_be_made_is_asked_for_again_and_a_log_that_stays_away_counts_as_gone() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.held_gathers = Some(Vec::new());
    mesh.submit_with(0, 1, at(JOB, Level::Disk));
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
    run_on(&mut mesh);
    let waits = mesh.engines[0].why(mesh.now, CHILD, 0).map(|why| why.state);
    assert_eq!(waits, Some(TaskView::Gathering));
    let asked = |mesh: &mut Mesh| mesh.held_gathers.as_mut().map(std::mem::take).unwrap_or_default();
    assert_eq!(asked(&mut mesh), [(0, (CHILD, 1), vec![(JOB, u32::MAX)])]);
    mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::NotNow });
    assert_eq!(asked(&mut mesh), [], "not at once");
    // An answer that was not asked for changes nothing.
    mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::Unfit("late".into()) });
    for tries in 0..11 {
        mesh.advance_ms(5000);
        assert_eq!(asked(&mut mesh).len(), 1, "try {tries}");
        mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::Missing(JOB) });
        assert_eq!(told(&mesh, CHILD), []);
    }
    mesh.advance_ms(5000);
    mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::Missing(JOB) });
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::ParentFailed { job: JOB }, Vec::new())]);
    assert_eq!(over(&mesh, CHILD), 1);
}

#[test]
fn of_a_log_at_level_mesh_only_what_is_committed_counts() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.held_gathers = Some(Vec::new());
    mesh.submit_with(0, 2, at(JOB, Level::Mesh));
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Mesh));
    run_on(&mut mesh);
    let asked = mesh.held_gathers.take().unwrap_or_default();
    let [(0, (CHILD, _), parents)] = asked.as_slice() else { panic!("{asked:?}") };
    let [(JOB, upto)] = parents.as_slice() else { panic!("{parents:?}") };
    let log = mesh.disks[0].log(JOB);
    assert!(*upto as usize <= log.len(), "{upto} of {} records", log.len());
    assert!(
        matches!(log[*upto as usize - 1], LogRecord::Ended { .. }),
        "its end is committed, or it is not asked for"
    );
}

#[test]
fn a_log_without_its_end_is_waited_for_as_long_as_that_job_goes_on() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.held_gathers = Some(Vec::new());
    mesh.submit_with(0, 1, at(JOB, Level::Disk));
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
    run_on(&mut mesh);
    // It runs, and is not run to its end.
    mesh.submit_with(0, 1, at(OTHER, Level::Disk));
    let mut asked = 0;
    for _ in 0..400 {
        for _ in mesh.held_gathers.as_mut().map(std::mem::take).unwrap_or_default() {
            asked += 1;
            mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::Missing(OTHER) });
        }
        mesh.advance_ms(5000);
    }
    assert_eq!(told(&mesh, CHILD), []);
    // After 0, 5, 15, 35, 75, 155 and 315 s, and then every 160 s.
    assert_eq!(asked, 7 + (2000 - 315) / 160);
}

#[test]
fn a_job_in_memory_ends_where_no_log_can_be_read_any_more() {
    for is_asked in [true, false] {
        let mut mesh = keeping(&[1, 0, 0]);
        mesh.held_gathers = Some(Vec::new());
        mesh.submit_with(0, 1, at(JOB, Level::Disk));
        if is_asked {
            mesh.submit_with(0, 0, gathering(&[JOB], Level::Memory));
        }
        run_on(&mut mesh);
        mesh.input(0, Input::JournalFailed);
        if !is_asked {
            mesh.submit_with(0, 0, gathering(&[JOB], Level::Memory));
        }
        assert_eq!(mesh.held_gathers.take().map(|all| all.len()), Some(1));
        mesh.input(0, Input::Gathered { job: CHILD, epoch: 0, gathered: Gathered::NotNow });
        assert_eq!(told(&mesh, CHILD), [(0, Outcome::ParentFailed { job: JOB }, Vec::new())]);
        assert_eq!(over(&mesh, CHILD), 1);
    }
}

#[test]
fn jobs_at_level_mesh_that_the_same_nodes_keep_are_gathered_together() {
    let mut mesh = keeping(&[2, 0, 0]);
    mesh.submit_with(0, 2, at(JOB, Level::Mesh));
    mesh.submit_with(0, 0, |what| {
        (what.job, what.after, what.join) = (OTHER, vec![JOB], Join::EachResult);
        (what.closed, what.level) = (false, Level::Mesh);
    });
    mesh.submit_with(0, 0, gathering(&[OTHER, JOB], Level::Mesh));
    run_on(&mut mesh);
    let twice = |index: u8| [index, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    let expected = [&twice(0)[..], &twice(1)[..], &all_of(&[0, 1])].concat();
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::Done, expected)]);
}

#[test]
fn results_that_are_no_input_end_it_with_the_reason() {
    let mut mesh = keeping(&[1, 0, 0]);
    mesh.held_gathers = Some(Vec::new());
    mesh.submit_with(0, 1, at(JOB, Level::Disk));
    mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
    run_on(&mut mesh);
    mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered: Gathered::Unfit("too many".into()) });
    assert_eq!(told(&mesh, CHILD), [(0, Outcome::Invalid("too many".into()), Vec::new())]);
}

#[test]
fn a_new_life_gathers_anew_unless_its_log_has_the_input() {
    for is_known in [false, true] {
        let mut mesh = keeping(&[0, 1, 0]);
        mesh.held_gathers = Some(Vec::new());
        mesh.submit_with(0, 3, at(JOB, Level::Disk));
        mesh.submit_with(0, 0, gathering(&[JOB], Level::Disk));
        run_on(&mut mesh);
        if is_known {
            let gathered = mesh.gathered(0, &[(JOB, u32::MAX)]);
            mesh.input(0, Input::Gathered { job: CHILD, epoch: 1, gathered });
            mesh.advance_ms(100);
        }
        mesh.held_gathers = Some(Vec::new());
        mesh.restart(0, 0);
        mesh.advance_ms(5000);
        let asked = mesh.held_gathers.take().unwrap_or_default();
        assert_eq!(asked.len(), usize::from(!is_known), "{is_known}");
        if let Some((_, (job, epoch), parents)) = asked.first().cloned() {
            // One that was made for the life before is none for this one.
            mesh.input(
                0,
                Input::Gathered { job, epoch: epoch - 1, gathered: Gathered::Unfit("late".into()) },
            );
            let gathered = mesh.gathered(0, &parents);
            mesh.input(0, Input::Gathered { job, epoch, gathered });
        }
        run_on(&mut mesh);
        assert_eq!(told(&mesh, CHILD).last(), Some(&(0, Outcome::Done, all_of(&[0, 1, 2]))));
    }
}

#[test]
fn what_can_not_gather_is_refused_with_the_reason() {
    let refusal = |parents: &[JobId], level: Level, change: fn(&mut Submission)| {
        let mut mesh = keeping(&[1, 0, 0]);
        mesh.submit_with(0, 1, at(JOB, Level::Memory));
        let gathering = gathering(parents, level);
        mesh.submit_with(0, 0, |what| {
            gathering(what);
            change(what);
        });
        mesh.events[0].iter().find_map(|event| {
            let Event::Refused { job: CHILD, reason } = event else { return None };
            Some(reason.clone())
        })
    };
    assert_eq!(refusal(&[], Level::Memory, |_| ()), Some(Refusal::GathersNothing));
    assert_eq!(refusal(&[JOB], Level::Memory, |_| ()), Some(Refusal::ResultsNotKept { job: JOB }));
    assert_eq!(refusal(&[JOB], Level::Disk, |_| ()), Some(Refusal::ParentNotKept { job: JOB }));
    let inputs = |what: &mut Submission| what.inputs = vec![Payload::inline(b"x")];
    assert_eq!(refusal(&[JOB], Level::Memory, inputs), Some(Refusal::TakesResults));
    assert_eq!(refusal(&[JOB], Level::Memory, |what| what.closed = false), Some(Refusal::TakesResults));
}
