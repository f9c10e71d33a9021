//! Jobs at level `mesh` that come after others: each is kept where those are, and waits for their ends to be certain.

use super::*;

const OTHER: JobId = JobId(0x07e4);

#[test]
fn a_child_is_kept_where_its_parent_is_and_begins_when_that_has_ended_for_good() {
    let mut mesh = Mesh::keeping(&[0, 1, 0, 0, 0]);
    mesh.submit_with(0, 1, kept);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        (what.job, what.after) = (CHILD, vec![JOB]);
    });
    let trio = keepers(&mesh, 0, JOB);
    assert_eq!(keepers(&mesh, 0, CHILD), trio);
    mesh.switch_off(0);
    run(&mut mesh, 60_000);
    for job in [JOB, CHILD] {
        let ends = told(&mesh, job);
        assert!(ends.len() == 1 && ends.values().all(|ends| ends == &["done"]), "{job:?}: {ends:?}");
    }
    assert!(kinds(&mesh, trio[1], CHILD).contains(&"parent true".into()));
}

#[test]
fn a_job_comes_after_one_that_its_node_leads_from_another_seat() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 1);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    mesh.submit_with(custodian, 1, |what| {
        kept(what);
        (what.job, what.after) = (CHILD, vec![JOB]);
    });
    assert_eq!(words(&mesh, custodian, CHILD).last().map(String::as_str), Some("accepted 1"));
    assert_eq!(keepers(&mesh, custodian, CHILD), [custodian, 0, witness], "the same three, led by this one");
}

#[test]
fn a_child_waits_until_the_end_of_its_parent_is_on_two_disks() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[2, 0, 0], 1);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        (what.job, what.after) = (CHILD, vec![JOB]);
    });
    mesh.lazy = true;
    mesh.run_all();
    mesh.sync(0);
    assert_eq!(mesh.running(), [0, 0, 0], "the parent's end may be lost with this node");
    mesh.sync(custodian);
    mesh.sync(witness);
    assert_eq!(mesh.running(), [1, 0, 0]);
}

#[test]
fn a_job_that_three_keep_does_not_come_after_one_that_they_do_not() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.submit_with(0, 1, |what| what.level = Level::Disk);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        (what.job, what.after) = (CHILD, vec![JOB]);
    });
    assert_eq!(words(&mesh, 0, CHILD), [format!("{:?}", Refusal::ParentNotKept { job: JOB })]);
}

#[test]
fn a_child_stays_where_its_parents_are_when_a_seat_is_given_away() {
    let mut mesh = Mesh::keeping(&[0; 8]);
    mesh.submit_with(0, 1, kept);
    let children = [CHILD, OTHER, JobId(1), JobId(2), JobId(3)];
    for job in children {
        mesh.submit_with(0, 1, |what| {
            kept(what);
            (what.job, what.after) = (job, vec![JOB]);
        });
    }
    let [_, custodian, _] = keepers(&mesh, 0, JOB);
    mesh.input(custodian, Input::Command(Command::Drain(true)));
    pass(&mut mesh, 130);
    let now = view(&mesh, 0, JOB).expect("it is kept").keepers;
    assert!(!now.contains(&id(custodian)), "{now:?}");
    for job in children {
        assert_eq!(view(&mesh, 0, job).expect("it is kept").keepers, now, "{job:?}");
    }
}

/// Seconds in which little happens.
fn pass(mesh: &mut Mesh, seconds: u64) {
    for _ in 0..seconds {
        mesh.steps = 0;
        mesh.advance_ms(1_000);
    }
}
