//! Jobs with parents: when they start, when they are skipped, and what is reported while they wait.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use weft_core::message::Message;
use weft_core::snapshot::{ParentView, TaskView};
use weft_core::*;
use wire::{Mesh, worker_of};

const A: JobId = JobId(0xa);
const B: JobId = JobId(0xb);
const C: JobId = JobId(0xc);
const D: JobId = JobId(0xd);

fn named(job: JobId) -> impl FnOnce(&mut Submission) {
    move |what| what.job = job
}

fn after(job: JobId, parents: &[JobId]) -> impl FnOnce(&mut Submission) {
    let after = parents.to_vec();
    move |what| (what.job, what.after) = (job, after)
}

fn after_all_ended(job: JobId, parents: &[JobId]) -> impl FnOnce(&mut Submission) {
    let after = parents.to_vec();
    move |what| (what.job, what.after, what.join) = (job, after, Join::AllEnded)
}

fn fired(mesh: &Mesh, job: JobId) -> usize {
    mesh.events[0].iter().filter(|event| **event == Event::DependenciesSatisfied { job }).count()
}

fn over(mesh: &Mesh, job: JobId) -> usize {
    mesh.events[0].iter().filter(|event| **event == Event::JobEnded { job }).count()
}

/// Outcomes of a job's tasks, in the order of their events.
fn outcomes(mesh: &Mesh, of: JobId) -> Vec<Outcome> {
    let end = |event: &Event| {
        let Event::TaskEnded { job, report, .. } = event else { return None };
        (*job == of).then(|| report.outcome.clone())
    };
    mesh.events[0].iter().filter_map(end).collect()
}

/// The reason for which a job was refused.
fn refusal(mesh: &Mesh, of: JobId) -> Option<Refusal> {
    let refused = |event: &Event| {
        let Event::Refused { job, reason } = event else { return None };
        (*job == of).then(|| reason.clone())
    };
    mesh.events[0].iter().find_map(refused)
}

fn state(mesh: &Mesh, job: JobId) -> Option<TaskView> {
    mesh.engines[0].why(mesh.now, job, 0).map(|why| why.state)
}

fn fail_all(mesh: &mut Mesh) {
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.run_all();
    mesh.outcome = Outcome::Done;
}

fn extend(mesh: &mut Mesh, job: JobId, tasks: usize) {
    let inputs = mesh.fresh_inputs(tasks);
    mesh.input(0, Input::Command(Command::Extend { job, inputs }));
}

fn cancel(mesh: &mut Mesh, job: JobId) {
    mesh.input(0, Input::Command(Command::Cancel { job }));
}

/// Messages sent after the first `before` ones.
fn said(mesh: &Mesh, since: usize) -> &[(usize, usize, Message)] {
    mesh.log.get(since..).unwrap_or_default()
}

#[test]
fn a_join_fires_once_after_the_last_of_its_parents() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, named(B));
    let before = mesh.log.len();
    mesh.submit_with(0, 3, after(C, &[A, B]));
    assert_eq!(said(&mesh, before), [], "no message about a job that waits");
    let first = if mesh.running()[1] == 1 { 1 } else { 2 };
    mesh.run_some(first);
    assert_eq!((over(&mesh, A) + over(&mesh, B), fired(&mesh, C)), (1, 0));
    assert_eq!(mesh.running().iter().sum::<usize>(), 1, "one parent runs, and nothing else");
    mesh.run_some(3 - first);
    let told = |event: Event| mesh.events[0].iter().position(|other| *other == event);
    assert!(told(Event::DependenciesSatisfied { job: C }) > told(Event::JobEnded { job: A }));
    assert!(told(Event::DependenciesSatisfied { job: C }) > told(Event::JobEnded { job: B }));
    assert_eq!(mesh.running(), [0, 1, 1], "it begins at that moment");
    mesh.run_all();
    assert_eq!((fired(&mesh, C), over(&mesh, C)), (1, 1));
    assert_eq!(outcomes(&mesh, C), [Outcome::Done, Outcome::Done, Outcome::Done]);
    assert_eq!((fired(&mesh, A), fired(&mesh, B)), (0, 0), "what has no parents does not fire");
    mesh.assert_quiet();
}

#[test]
fn what_waits_is_no_backlog_and_holds_nothing_anywhere() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 5, after(B, &[A]));
    mesh.advance_ms(3000);
    let snapshot = mesh.engines[0].snapshot();
    assert_eq!(snapshot.capacity.backlog, 0);
    let view = snapshot.jobs.iter().find(|view| view.job == B).map(|view| (view.queued, view.held));
    assert_eq!(view, Some((0, 5)));
    let audit = mesh.engines[0].audit();
    assert_eq!((audit.calls_open, audit.leases_open), (0, 1), "the parent's lease alone");
    mesh.run_all();
    assert_eq!(outcomes(&mesh, B).len(), 5);
}

#[test]
fn a_join_whose_parents_are_over_fires_at_once() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.run_all();
    mesh.submit_with(0, 1, after(B, &[A]));
    assert_eq!((fired(&mesh, B), mesh.running()), (1, vec![1]));
    mesh.run_all();
    assert_eq!((fired(&mesh, B), over(&mesh, B)), (1, 1));
}

#[test]
fn an_empty_join_ends_when_it_fires_and_not_before() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 0, after(B, &[A]));
    mesh.submit_with(0, 1, after(C, &[B]));
    assert_eq!((fired(&mesh, B), over(&mesh, B)), (0, 0), "Celery's empty chord");
    mesh.run_some(0);
    assert_eq!((fired(&mesh, B), over(&mesh, B), fired(&mesh, C)), (1, 1, 1));
    mesh.run_all();
    mesh.submit_with(0, 0, after(D, &[A, B, C]));
    assert_eq!((fired(&mesh, D), over(&mesh, D)), (1, 1));
}

#[test]
fn parents_without_tasks_end_when_they_are_closed() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 0, |what| (what.job, what.closed) = (A, false));
    mesh.submit_with(0, 1, after(B, &[A]));
    assert_eq!(fired(&mesh, B), 0);
    mesh.input(0, Input::Command(Command::Close { job: A }));
    assert_eq!((over(&mesh, A), fired(&mesh, B), mesh.running()), (1, 1, vec![1]));
}

#[test]
fn a_join_falls_with_the_first_parent_that_fails_and_names_it() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 2, named(A));
    mesh.submit_with(0, 1, named(B));
    mesh.submit_with(0, 2, after(C, &[B, A]));
    mesh.submit_with(0, 1, after(D, &[C]));
    mesh.outcome = Outcome::Trapped(Trap::Unreachable);
    mesh.run_some(0);
    assert_eq!(over(&mesh, C), 0, "a parent that may still fail has not ended");
    mesh.run_some(0);
    let fell = Outcome::ParentFailed { job: A };
    assert_eq!(outcomes(&mesh, C), [fell.clone(), fell]);
    assert_eq!(outcomes(&mesh, D), [Outcome::ParentFailed { job: C }], "what comes after it falls in turn");
    assert_eq!((fired(&mesh, C), over(&mesh, C), over(&mesh, D)), (0, 1, 1));
    assert_eq!(worker_of(mesh.last_end(0)), None);
    mesh.run_all();
    assert_eq!((over(&mesh, B), fired(&mesh, C)), (1, 0), "the other parent's end changes nothing");
    let view = mesh.engines[0].snapshot().jobs.into_iter().find(|view| view.job == C);
    assert_eq!(view.map(|view| (view.failed, view.cancelled, view.held)), Some((2, 0, 0)));
    mesh.assert_quiet();
}

#[test]
fn a_join_that_takes_any_end_fires_after_failed_cancelled_and_expired_parents() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, named(B));
    let expires = Policy { expires_ms: Some(500), ..Policy::DEFAULT };
    mesh.submit_with(0, 1, |what| (what.job, what.policy) = (C, expires));
    mesh.submit_with(0, 2, after_all_ended(D, &[A, B, C]));
    cancel(&mut mesh, B);
    mesh.advance_ms(500);
    assert_eq!((over(&mesh, B), over(&mesh, C), fired(&mesh, D)), (1, 1, 0));
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.run_some(0);
    mesh.outcome = Outcome::Done;
    assert_eq!(fired(&mesh, D), 1);
    mesh.run_all();
    assert_eq!(outcomes(&mesh, D), [Outcome::Done, Outcome::Done]);
}

#[test]
fn a_parent_that_ended_badly_counts_so_as_long_as_it_is_remembered() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    fail_all(&mut mesh);
    mesh.submit_with(0, 1, after(B, &[A]));
    assert_eq!(outcomes(&mesh, B), [Outcome::ParentFailed { job: A }]);
    mesh.submit_with(0, 0, after(C, &[B]));
    mesh.submit_with(0, 1, after(D, &[C]));
    assert_eq!(outcomes(&mesh, D), [Outcome::ParentFailed { job: C }], "an empty one falls like any other");
    assert_eq!((fired(&mesh, B), fired(&mesh, C), over(&mesh, C)), (0, 0, 1));
}

#[test]
fn a_parent_that_its_user_stopped_has_not_succeeded_whatever_its_tasks_did() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, |what| (what.job, what.closed) = (A, false));
    mesh.submit_with(0, 1, after(B, &[A]));
    mesh.run_all();
    assert_eq!((outcomes(&mesh, A), over(&mesh, A)), (vec![Outcome::Done], 0));
    cancel(&mut mesh, A);
    assert_eq!(outcomes(&mesh, B), [Outcome::ParentFailed { job: A }]);
    mesh.submit_with(0, 1, after(C, &[A]));
    assert_eq!(outcomes(&mesh, C), [Outcome::ParentFailed { job: A }], "and that is remembered");
}

#[test]
fn a_cancelled_join_ends_at_once_and_never_fires() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 2, after(B, &[A]));
    mesh.submit_with(0, 0, after(C, &[A]));
    mesh.submit_with(0, 1, after_all_ended(D, &[B, C]));
    cancel(&mut mesh, B);
    cancel(&mut mesh, C);
    assert_eq!(outcomes(&mesh, B), [Outcome::Cancelled, Outcome::Cancelled]);
    assert_eq!((over(&mesh, B), over(&mesh, C), fired(&mesh, D)), (1, 1, 1));
    mesh.run_all();
    assert_eq!((fired(&mesh, B), fired(&mesh, C), outcomes(&mesh, B).len()), (0, 0, 2));
    mesh.assert_quiet();
}

#[test]
fn a_join_that_expires_while_it_waits_never_fires() {
    let mut mesh = Mesh::of(&[1]);
    let expires = Policy { expires_ms: Some(1000), ..Policy::DEFAULT };
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, |what| {
        (what.job, what.after, what.policy, what.closed) = (B, vec![A], expires, false);
    });
    mesh.submit_with(0, 0, |what| (what.job, what.after, what.policy) = (C, vec![A], expires));
    mesh.submit_with(0, 1, after(D, &[C]));
    mesh.advance_ms(1000);
    let expired = Outcome::Expired(Expiry::Unfinished { after_ms: 1000 });
    assert_eq!((outcomes(&mesh, B), over(&mesh, C)), (vec![expired.clone()], 1));
    assert_eq!(
        outcomes(&mesh, D),
        [Outcome::ParentFailed { job: C }],
        "it was never done, though it has no tasks"
    );
    mesh.run_all();
    assert_eq!((over(&mesh, A), fired(&mesh, B), fired(&mesh, C)), (1, 0, 0));
    extend(&mut mesh, B, 1);
    mesh.input(0, Input::Command(Command::Close { job: B }));
    assert_eq!((outcomes(&mesh, B), over(&mesh, B)), (vec![expired.clone(), expired], 1));
    mesh.assert_quiet();
}

#[test]
fn a_join_waits_for_its_parents_and_for_its_own_time() {
    let mut mesh = Mesh::of(&[1]);
    let later = |ms| Policy { not_before_ms: ms, ..Policy::DEFAULT };
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.policy) = (B, vec![A], later(2000)));
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.policy) = (C, vec![B], later(1000)));
    mesh.advance_ms(500);
    mesh.run_some(0);
    assert_eq!((fired(&mesh, B), mesh.running()), (1, vec![0]), "fired, and too early");
    assert_eq!(state(&mesh, B), Some(TaskView::NotBefore { in_ms: 1500 }));
    mesh.advance_ms(1499);
    assert_eq!((mesh.running(), fired(&mesh, C)), (vec![0], 0), "the other's time alone does nothing");
    mesh.advance_ms(1);
    assert_eq!(mesh.running(), [1]);
    mesh.run_all();
    assert_eq!((outcomes(&mesh, C), fired(&mesh, C)), (vec![Outcome::Done], 1));
}

#[test]
fn tasks_come_and_a_join_is_closed_while_it_waits() {
    let mut mesh = Mesh::of(&[2]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.closed) = (B, vec![A], false));
    extend(&mut mesh, B, 2);
    mesh.input(0, Input::Command(Command::Close { job: B }));
    extend(&mut mesh, B, 1);
    assert_eq!((mesh.running(), over(&mesh, B)), (vec![1], 0), "closed is not ended");
    mesh.run_all();
    assert_eq!((outcomes(&mesh, B).len(), over(&mesh, B), fired(&mesh, B)), (3, 1, 1));
    mesh.submit_with(0, 0, |what| (what.job, what.after, what.closed) = (C, vec![B], false));
    extend(&mut mesh, C, 2);
    assert_eq!(mesh.running(), [2], "it has fired: what comes now begins now");
}

#[test]
fn what_is_given_to_a_join_that_fell_ends_like_the_rest_of_it() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.closed) = (B, vec![A], false));
    fail_all(&mut mesh);
    extend(&mut mesh, B, 2);
    assert_eq!(outcomes(&mesh, B), vec![Outcome::ParentFailed { job: A }; 3]);
    assert_eq!((over(&mesh, B), state(&mesh, B)), (0, Some(TaskView::Ended)), "its user has not closed it");
    mesh.input(0, Input::Command(Command::Close { job: B }));
    assert_eq!(over(&mesh, B), 1);
}

#[test]
fn a_known_result_is_not_told_before_the_join_fires() {
    let mut mesh = Mesh::of(&[1]);
    let same = vec![Payload::inline(b"the same input")];
    let inputs = same.clone();
    mesh.submit_with(0, 0, |what| (what.job, what.inputs) = (A, inputs));
    let report =
        Report { usage: Usage { wall_us: 90_000, ..Usage::default() }, ..Report::bare(Outcome::Done) };
    let run = mesh.slots[0][0];
    mesh.end(0, run, report);
    mesh.submit_with(0, 1, named(B));
    let inputs = same.clone();
    mesh.submit_with(0, 0, |what| (what.job, what.inputs, what.after) = (C, inputs, vec![B]));
    assert_eq!(outcomes(&mesh, C), []);
    mesh.run_some(0);
    assert_eq!(
        (outcomes(&mesh, C), mesh.running()),
        (vec![Outcome::Done], vec![0]),
        "known, so nothing runs"
    );
    let place = |event: Event| mesh.events[0].iter().position(|other| *other == event);
    assert!(place(Event::DependenciesSatisfied { job: C }) < place(Event::JobEnded { job: C }));
}

#[test]
fn why_names_the_parents_that_have_not_ended_and_how_far_they_are() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 3, named(A));
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.closed) = (B, vec![A], false));
    mesh.submit_with(0, 1, after(C, &[B, A]));
    mesh.run_some(0);
    let a = ParentView { job: A, ended: 1, tasks: 3, open: false, waits: false };
    let b = ParentView { job: B, ended: 0, tasks: 1, open: true, waits: true };
    assert_eq!(state(&mesh, C), Some(TaskView::After { parents: vec![b, a], left: 2 }));
    assert_eq!(a.to_string(), "job 000000000000000a: 1 of 3 tasks have ended");
    let said = "job 000000000000000b: 0 of 1 tasks have ended, more may come, it waits for others itself";
    assert_eq!(b.to_string(), said);
    let many: Vec<JobId> = (100..164).map(JobId).collect();
    for job in &many {
        mesh.submit_with(0, 0, |what| (what.job, what.closed) = (*job, false));
    }
    mesh.submit_with(0, 1, after(D, &many));
    let Some(TaskView::After { parents, left }) = state(&mesh, D) else { panic!("it waits") };
    assert_eq!((parents.len(), left, parents[7].job), (8, 64, many[7]));
}

#[test]
fn parents_that_cant_be_are_refused_with_a_reason() {
    let mut mesh = Mesh::of(&[1, 1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(1, 1, named(B));
    let many: Vec<JobId> = (100..165).map(JobId).collect();
    let table = [
        (1, vec![A, A], Refusal::ParentTwice { job: A }),
        (2, vec![A, JobId(2)], Refusal::ParentItself),
        (3, many, Refusal::ParentsTooMany { asked: 65 }),
        (4, vec![A, C], Refusal::ParentUnknown { job: C }),
        (5, vec![B], Refusal::ParentUnknown { job: B }), // another node's
    ];
    for (job, parents, reason) in table {
        mesh.submit_with(0, 1, after(JobId(job), &parents));
        assert_eq!(refusal(&mesh, JobId(job)), Some(reason), "{parents:?}");
        assert_eq!(state(&mesh, JobId(job)), None);
    }
    let said = "it comes after job 000000000000000c, which was not submitted to this node, or ended so long ago that it is \
                forgotten";
    assert_eq!(Refusal::ParentUnknown { job: C }.to_string(), said);
    mesh.run_all();
    assert_eq!(mesh.ended(0), 1);
}

#[test]
fn a_parent_that_was_forgotten_is_not_known() {
    let mut mesh = Mesh::of(&[1]);
    for job in 1000..=2000 {
        mesh.submit_with(0, 0, named(JobId(job)));
    }
    mesh.submit_with(0, 1, after(A, &[JobId(1000)]));
    assert_eq!(refusal(&mesh, A), Some(Refusal::ParentUnknown { job: JobId(1000) }));
    mesh.submit_with(0, 1, after(B, &[JobId(1001)]));
    assert_eq!((refusal(&mesh, B), fired(&mesh, B)), (None, 1), "a thousand are remembered");
}

/// A recursive implementation would need a stack of megabytes for this chain.
#[test]
fn a_chain_of_ten_thousand_jobs_falls_in_one_go() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(JobId(1)));
    for job in 2..=10_000 {
        mesh.submit_with(0, 1, after(JobId(job), &[JobId(job - 1)]));
    }
    fail_all(&mut mesh);
    assert_eq!(mesh.ended(0), 10_000);
    assert_eq!(outcomes(&mesh, JobId(10_000)), [Outcome::ParentFailed { job: JobId(9999) }]);
    assert_eq!(mesh.engines[0].audit().jobs, []);
    mesh.assert_quiet();
}

#[test]
fn a_chain_of_ten_thousand_empty_jobs_fires_in_one_go() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(JobId(1)));
    for job in 2..=10_000 {
        mesh.submit_with(0, 0, after(JobId(job), &[JobId(job - 1)]));
    }
    mesh.run_all();
    let told =
        mesh.events[0].iter().filter(|event| matches!(event, Event::DependenciesSatisfied { .. })).count();
    assert_eq!((told, over(&mesh, JobId(10_000))), (9999, 1));
}

/// In a diamond two parents may end within one input.
#[test]
fn a_diamond_whose_sides_fall_together_fires_its_end_once() {
    let mut mesh = Mesh::of(&[1]);
    mesh.submit_with(0, 1, named(A));
    mesh.submit_with(0, 1, after(B, &[A]));
    mesh.submit_with(0, 1, after(C, &[A]));
    mesh.submit_with(0, 2, after_all_ended(D, &[B, C, A]));
    fail_all(&mut mesh);
    assert_eq!((outcomes(&mesh, B).len(), outcomes(&mesh, C).len()), (1, 1));
    assert_eq!((fired(&mesh, D), outcomes(&mesh, D).len(), over(&mesh, D)), (1, 2, 1));
    mesh.assert_quiet();
}

#[test]
fn a_worker_cant_say_that_a_parent_failed() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, named(A));
    for attempt in 1..=MeshConfig::DEFAULT.losses_max + 1 {
        let lease = LeaseId { job: A, epoch: 0, index: 0, attempt };
        let report = Report::bare(Outcome::ParentFailed { job: B });
        let delivery = message::Delivery { lease, report: report.into(), memo: None, proof: None };
        mesh.say(1, 0, Message::Outcome(vec![delivery]));
        mesh.advance_ms(70_000);
    }
    let said = outcomes(&mesh, A);
    assert!(matches!(said.as_slice(), [] | [Outcome::Lost(_)]), "{said:?}");
    assert!(mesh.engines[0].snapshot().counters.lost > 0);
}
