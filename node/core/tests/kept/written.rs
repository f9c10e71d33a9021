//! What is written into a job's log.

use super::*;

#[test]
fn the_ends_of_a_cancelled_job_are_one_record() {
    let mut mesh = lazy(&[1]);
    mesh.submit_with(0, 5, kept);
    cancel(&mut mesh, 0);
    assert_eq!(kinds(&mesh, 0), ["accepted 5", "cancelled", "rest 5", "ended"]);
    mesh.sync(0);
    let ends = ["0 cancelled", "1 cancelled", "2 cancelled", "3 cancelled", "4 cancelled"];
    assert_eq!(words(&mesh, 0)[1..6], ends);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.has_ended() && job.is_cancelled());
    assert_eq!((job.figures().cancelled, job.figures().open()), (5, 0));
}

#[test]
fn giving_up_extending_closing_and_expiring_are_records() {
    let mut mesh = lazy(&[1]);
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.submit_with(0, 3, |what| {
        kept(what);
        (what.closed, what.policy.failures_max, what.policy.retries) = (false, Some(1), 0);
    });
    let inputs = mesh.fresh_inputs(2);
    mesh.input(0, Input::Command(Command::Extend { job: JOB, inputs }));
    mesh.run_some(0);
    mesh.run_some(0);
    let written = kinds(&mesh, 0);
    assert_eq!(written[..4], ["accepted 3", "extended 2", "outcomes 1", "outcomes 1"]);
    assert_eq!(written[4..], ["given up 2", "rest 3", "ended"]);
    mesh.sync(0);
    let told = words(&mesh, 0);
    assert_eq!(told[..2], ["accepted 3", "accepted 5"]);
    assert_eq!(told[4..], ["given up 2", "2 cancelled", "3 cancelled", "4 cancelled", "ended"]);
    let job = mesh.disks[0].fold(JOB);
    assert!(job.is_given_up() && !job.is_open());

    let mut mesh = lazy(&[0]);
    mesh.submit_with(0, 2, |what| {
        kept(what);
        (what.closed, what.policy.expires_ms) = (false, Some(1000));
    });
    mesh.advance_ms(1500);
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    assert_eq!(kinds(&mesh, 0), ["accepted 2", "rest 2", "closed", "ended"]);
    mesh.sync(0);
    assert_eq!(mesh.disks[0].fold(JOB).figures().failed, 2);
}
