//! A job that goes on for another one: what ended there counts here, and is never run.

use weft_core::durable::Kept;

use super::*;

fn end(index: u32, outcome: Outcome) -> Kept {
    let report = Report { output: Payload::inline(&[7]), ..Report::bare(outcome) };
    let worker = Some(PeerId([9; 32]));
    Kept { index, report: report.into(), worker, attempts: 3, memo: None, proof: None, verified: None }
}

fn failed() -> Outcome {
    Outcome::Failed(Failure::Exit(1))
}

/// An open job without tasks, and then these ones.
fn adopted(tasks: usize, ends: Vec<Kept>, change: impl FnOnce(&mut Submission)) -> Mesh {
    let mut mesh = lazy(&[0, 4]);
    mesh.submit_with(0, 0, |what| {
        kept(what);
        what.closed = false;
        change(what);
    });
    let inputs = mesh.fresh_inputs(tasks);
    mesh.input(0, Input::Command(Command::ExtendEnded { job: JOB, inputs, ends }));
    mesh
}

#[test]
fn what_ended_elsewhere_is_told_and_kept_and_the_rest_runs() {
    let ends = vec![end(3, failed()), end(1, Outcome::Done), end(9, Outcome::Done)];
    let mut mesh = adopted(5, ends, |_| {});
    let figures = &mesh.engines[0].snapshot().jobs[0];
    assert_eq!((figures.tasks, figures.done, figures.failed), (5, 1, 1));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.run_all();
    mesh.sync(0);
    assert!(leases_awarded(&mesh).iter().all(|lease| [0, 2, 4].contains(&lease.index)));
    let mut told = words(&mesh, 0);
    assert_eq!(told[..3], ["accepted 0", "accepted 5", "1 done"]);
    told[3..].sort();
    assert_eq!(told[3..], ["0 done", "2 done", "3 failed", "4 done", "confirmed", "ended"]);
    let brought = mesh.events[0].iter().find_map(|event| {
        let Event::TaskEnded { index: 1, worker, attempts, report, .. } = event else { return None };
        Some((*worker, *attempts, report.output.clone()))
    });
    assert_eq!(brought, Some((Some(PeerId([9; 32])), 3, Payload::inline(&[7]))), "as it was told there");
    let job = mesh.disks[0].fold(JOB);
    assert!(job.has_ended() && job.figures().done == 4 && job.figures().failed == 1);
    assert!(mesh.pinned(0).is_empty(), "nothing is pinned for tasks that never run");
    mesh.advance_ms(2000);
    mesh.assert_quiet();
}

#[test]
fn a_job_of_which_all_ended_elsewhere_ends_when_it_is_closed() {
    let mut mesh = adopted(2, vec![end(0, Outcome::Done), end(1, Outcome::Done)], |_| {});
    mesh.sync(0);
    assert_eq!(words(&mesh, 0), ["accepted 0", "accepted 2", "0 done", "1 done"]);
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.sync(0);
    assert_eq!(words(&mesh, 0)[4..], ["confirmed", "ended"]);
    assert_eq!(kinds(&mesh, 0), ["accepted 0", "extended 2", "outcomes 2", "closed", "ended"]);
}

#[test]
fn an_end_between_inputs_and_outcomes_leaves_an_open_job() {
    let mut mesh = adopted(3, vec![end(0, Outcome::Done)], |_| {});
    mesh.sync_upto(0, 2);
    mesh.restart(0, 0);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.is_open() && job.figures().open() == 3, "the outcome was not told either");
}

#[test]
fn what_comes_to_an_expired_job_expires_and_what_had_ended_stays() {
    let mut mesh = adopted(0, Vec::new(), |what| what.policy.expires_ms = Some(1000));
    mesh.advance_ms(1500);
    let inputs = mesh.fresh_inputs(3);
    let ends = vec![end(1, Outcome::Done)];
    mesh.input(0, Input::Command(Command::ExtendEnded { job: JOB, inputs, ends }));
    mesh.sync(0);
    let mut told = words(&mesh, 0);
    told.sort();
    assert_eq!(told, ["0 expired", "1 done", "2 expired", "accepted 0", "accepted 3"]);
}
