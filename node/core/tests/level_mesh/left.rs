//! What workers have of jobs that a node knows no more: it lost its disk, or its seat. It is for the next leader, and nothing of it
//! stays where there is none.

use weft_core::message::Delivery;

use super::*;

/// A job of two tasks of node 0, which run on the last of the nodes; that one keeps no jobs.
fn worked_elsewhere(keepers: &[u32]) -> (Mesh, [usize; 3], usize) {
    let mut mesh = Mesh::keeping(keepers);
    let worker = keepers.len();
    mesh.keep = false;
    mesh.join(2, Vec::new());
    mesh.keep = true;
    mesh.submit_with(0, 2, |what| {
        kept(what);
        // No known result is told in place of an outcome that was lost.
        Arc::make_mut(&mut what.program).profile = Profile::Impure;
    });
    let keepers = self::keepers(&mesh, 0, JOB);
    assert_eq!(mesh.running()[worker], 2);
    (mesh, keepers, worker)
}

/// Each task was computed once and told once.
fn assert_ran_once(mesh: &Mesh, worker: usize) {
    let ends = told(mesh, JOB);
    assert!(ends.len() == 2 && ends.values().all(|ends| ends == &["done"]), "{ends:?}");
    assert_eq!(
        (mesh.engines[worker].snapshot().counters.executed, mesh.aborted),
        (2, 0),
        "nothing ran twice"
    );
    mesh.assert_quiet();
}

#[test]
fn an_owner_that_lost_its_disk_leaves_outcomes_to_the_next_leader() {
    let (mut mesh, [_, custodian, _], worker) = worked_elsewhere(&[0, 0, 0]);
    mesh.switch_off(0);
    mesh.wipe(0);
    mesh.run_some(worker);
    mesh.restart(0, 0);
    mesh.advance_ms(3_000);
    assert_ne!(leader(&mesh, custodian), Some(custodian), "no node leads it yet");
    assert_eq!(mesh.engines[worker].audit().undelivered, 2);
    run(&mut mesh, 40_000);
    assert_ran_once(&mesh, worker);
}

#[test]
fn an_owner_that_lost_its_disk_stops_nothing_that_runs_for_the_next_leader() {
    let (mut mesh, _, worker) = worked_elsewhere(&[0, 0, 0]);
    mesh.switch_off(0);
    mesh.wipe(0);
    mesh.restart(0, 0);
    mesh.steps = 0;
    mesh.advance_ms(15_000);
    assert_eq!(mesh.running()[worker], 2);
    run(&mut mesh, 40_000);
    assert_ran_once(&mesh, worker);
}

/// The same job, of which the node that led it has nothing any more: it drained, and another one has its seat. What ran has ended,
/// and its worker is connected to that node alone.
fn left_for_good() -> (Mesh, usize, usize) {
    let (mut mesh, [_, custodian, _], worker) = worked_elsewhere(&[0, 0, 0, 0]);
    (1..4).for_each(|node| mesh.cut(node, worker, false));
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    assert_eq!(leader(&mesh, 0), Some(custodian));
    mesh.run_some(worker);
    while view(&mesh, 0, JOB).is_some() {
        mesh.steps = 0;
        mesh.advance_ms(100);
    }
    // The worker offers all that it has anew.
    mesh.cut(0, worker, false);
    mesh.join_again(0, worker);
    (mesh, custodian, worker)
}

#[test]
fn a_node_that_lost_its_seat_leaves_outcomes_to_the_leader() {
    let (mut mesh, custodian, worker) = left_for_good();
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    assert_eq!(mesh.engines[worker].audit().undelivered, 2);
    mesh.join_again(custodian, worker);
    run(&mut mesh, 10_000);
    assert_ran_once(&mesh, worker);
}

#[test]
fn a_worker_that_hears_of_no_other_leader_does_not_keep_outcomes_for_long() {
    let (mut mesh, _, worker) = left_for_good();
    mesh.advance_ms(40_000);
    assert_eq!(mesh.engines[worker].audit().undelivered, 0);
}

#[test]
fn what_a_worker_has_of_a_forgotten_job_is_for_no_other_leader() {
    let (mut mesh, _, worker) = worked_elsewhere(&[0, 0, 0]);
    run(&mut mesh, 5_000);
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    mesh.advance_ms(3_000);
    assert_eq!(view(&mesh, 0, JOB), None);
    let lease = LeaseId { job: JOB, epoch: 3, index: 0, attempt: 9 };
    let delivery = Delivery { lease, report: mesh.report().into(), memo: None, proof: None };
    mesh.say(worker, 0, Message::Outcome(vec![delivery]));
    let leaves = |message: &Message| matches!(message, Message::Cancel(leases) if leases.contains(&lease));
    assert!(mesh.log.iter().any(|(from, to, message)| (*from, *to) == (0, worker) && leaves(message)));
}

#[test]
fn what_the_own_slots_of_a_leader_ended_once_it_leads_no_more_is_the_next_leaders() {
    let mut mesh = Mesh::keeping(&[2, 0, 0]);
    mesh.submit_with(0, 2, |what| {
        kept(what);
        Arc::make_mut(&mut what.program).profile = Profile::Impure;
    });
    let [_, custodian, _] = keepers(&mesh, 0, JOB);
    mesh.advance_ms(1_000);
    mesh.lazy = true;
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.advance_ms(100);
    // The custodian wants to lead, and cannot before this node's promise is on its disk.
    mesh.sync(custodian);
    assert_ne!(leader(&mesh, 0), Some(0));
    mesh.run_some(0);
    mesh.lazy = false;
    (0..3).for_each(|node| mesh.sync(node));
    run(&mut mesh, 10_000);
    assert_eq!(leader(&mesh, 0), Some(custodian));
    assert_ran_once(&mesh, 0);
}
