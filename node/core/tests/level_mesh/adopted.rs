//! A job at level `mesh` that goes on for another one: what ended there is kept and told like any other end.

use weft_core::durable::Kept;

use super::*;

fn end(index: u32, outcome: Outcome) -> Kept {
    let report = Report { output: Payload::inline(&[7]), ..Report::bare(outcome) };
    let worker = Some(PeerId([9; 32]));
    Kept { index, report: report.into(), worker, attempts: 3, memo: None, proof: None, verified: None }
}

#[test]
fn what_ended_elsewhere_is_told_once_two_disks_have_it_and_outlives_its_node() {
    let mut mesh = Mesh::keeping(&[0, 1, 1, 1]);
    mesh.submit_with(0, 0, |what| {
        kept(what);
        what.closed = false;
    });
    let [_, custodian, witness] = keepers(&mesh, 0, JOB);
    mesh.lazy = true;
    let inputs = mesh.fresh_inputs(4);
    let ends = vec![end(1, Outcome::Done), end(3, Outcome::Failed(Failure::Exit(1)))];
    mesh.input(0, Input::Command(Command::ExtendEnded { job: JOB, inputs, ends }));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.sync(0);
    assert_eq!(words(&mesh, 0, JOB)[1..], ["accepted 0"], "its own disk alone is not enough");
    mesh.sync(custodian);
    assert_eq!(words(&mesh, 0, JOB)[2..], ["accepted 4", "1 done", "3 failed", "confirmed"]);
    mesh.lazy = false;
    (0..4).for_each(|node| mesh.sync(node));
    assert_eq!(mesh.works.len(), 2, "what ended is not run");
    mesh.switch_off(0);
    run(&mut mesh, 60_000);
    assert_eq!((leader(&mesh, custodian), leader(&mesh, witness)), (Some(custodian), Some(custodian)));
    assert_eq!(words(&mesh, custodian, JOB).last().map(String::as_str), Some("ended"));
    let ends = told(&mesh, JOB);
    assert_eq!(ends.values().flatten().collect::<Vec<_>>(), ["done", "done", "done", "failed"], "{ends:?}");
    let figures = mesh.disks[custodian].fold(JOB).figures();
    assert_eq!((figures.tasks, figures.done, figures.failed), (4, 3, 1));
    let executed: u64 = (1..4).map(|node| mesh.engines[node].snapshot().counters.executed).sum();
    assert_eq!(executed, 2);
    mesh.assert_quiet();
}
