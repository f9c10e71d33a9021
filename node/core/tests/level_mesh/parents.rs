//! Jobs at level `mesh` that come after others: each is kept where those are, waits for their ends to be certain, and calls none failed
//! that only other nodes keep by now.

use super::*;

const OTHER: JobId = JobId(0x07e4);

/// The child's only task ended once, like this.
fn assert_child_is(mesh: &Mesh, how: &str) {
    let ends = told(mesh, CHILD);
    assert!(ends.len() == 1 && ends.values().all(|ends| ends == &[how]), "{ends:?}");
}

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

/// A job whose task runs on node 5, and one after it, which gets its inputs through node 0 and so is still led there. Node 0 drained,
/// and another node has its seat of the first.
fn parted() -> Mesh {
    let mut mesh = Mesh::keeping(&[0, 0, 0, 0, 0, 2]);
    mesh.submit_with(0, 1, kept);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        (what.job, what.after, what.closed) = (CHILD, vec![JOB], false);
    });
    assert_eq!(mesh.running()[5], 1);
    mesh.input(0, Input::Command(Command::Drain(true)));
    pass(&mut mesh, 130);
    mesh.input(0, Input::Command(Command::Drain(false)));
    assert_eq!(
        (view(&mesh, 0, JOB), view(&mesh, 0, CHILD).and_then(|view| view.leader)),
        (None, Some(id(0)))
    );
    mesh
}

/// Whether the user of node 0 learns that the second job waits for the first one elsewhere.
fn waits_elsewhere(mesh: &Mesh) -> bool {
    let why = mesh.engines[0].why(mesh.now, CHILD, 0).expect("it has that task");
    why.notes.contains(&Note::ParentElsewhere { job: JOB })
}

#[test]
fn a_child_begins_when_its_parent_has_succeeded_that_its_leader_keeps_no_more() {
    for starts_again in [false, true] {
        let mut mesh = parted();
        if starts_again {
            mesh.restart(0, 0);
        }
        pass(&mut mesh, 10);
        assert!(waits_elsewhere(&mesh), "started again: {starts_again}");
        assert_eq!(told(&mesh, CHILD).len(), 0, "{:?}", told(&mesh, CHILD));
        mesh.run_some(5);
        assert_eq!(told(&mesh, JOB).len(), 1);
        pass(&mut mesh, 12);
        run(&mut mesh, 3_000);
        let ends = told(&mesh, CHILD);
        assert!(ends.len() == 1 && ends.values().all(|ends| ends == &["done"]), "{ends:?}");
        assert!(kinds(&mesh, 0, CHILD).contains(&"parent true".into()), "{:?}", kinds(&mesh, 0, CHILD));
        assert_eq!(words(&mesh, 0, CHILD).iter().filter(|word| *word == "satisfied").count(), 1);
    }
}

#[test]
fn a_job_at_level_disk_waits_for_a_parent_that_its_node_keeps_no_more() {
    let mut mesh = Mesh::keeping(&[0, 0, 0, 0, 0, 2]);
    mesh.submit_with(0, 1, kept);
    mesh.submit_with(0, 1, |what| (what.job, what.after, what.level) = (CHILD, vec![JOB], Level::Disk));
    mesh.input(0, Input::Command(Command::Drain(true)));
    pass(&mut mesh, 130);
    mesh.input(0, Input::Command(Command::Drain(false)));
    assert!(view(&mesh, 0, JOB).is_none() && waits_elsewhere(&mesh));
    mesh.run_some(5);
    pass(&mut mesh, 12);
    run(&mut mesh, 3_000);
    assert_child_is(&mesh, "done");
}

#[test]
fn a_child_is_skipped_when_its_parent_failed_that_its_leader_keeps_no_more() {
    let mut mesh = parted();
    mesh.outcome = Outcome::Failed(Failure::Exit(1));
    mesh.run_some(5);
    pass(&mut mesh, 12);
    assert!(kinds(&mesh, 0, CHILD).contains(&"parent false".into()), "{:?}", kinds(&mesh, 0, CHILD));
    assert_child_is(&mesh, "skipped");
}

#[test]
fn a_child_waits_no_longer_for_a_parent_that_was_forgotten_elsewhere() {
    let mut mesh = parted();
    (1..6).for_each(|node| mesh.cut(0, node, true));
    mesh.run_some(5);
    pass(&mut mesh, 1);
    let leader = (1..6).find_map(|node| view(&mesh, node, JOB)).and_then(|view| view.leader);
    let leader = index(leader.expect("one leads it"));
    mesh.input(leader, Input::Command(Command::ForgetJob { job: JOB }));
    pass(&mut mesh, 3);
    assert!((0..6).all(|node| view(&mesh, node, JOB).is_none()), "it is forgotten");
    assert_eq!(told(&mesh, CHILD).len(), 0);
    (1..6).for_each(|node| mesh.join_again(0, node));
    pass(&mut mesh, 40);
    assert_child_is(&mesh, "skipped");
}

#[test]
fn only_nodes_that_kept_a_parent_or_keep_its_child_are_believed_about_its_end() {
    let mut mesh = parted();
    let trio = |job: JobId| {
        let all = (0..6).find_map(|node| view(&mesh, node, job)).expect("it is kept").keepers;
        all.into_iter().map(index).collect::<Vec<_>>()
    };
    let (knowing, custodian) = ([trio(JOB), trio(CHILD)].concat(), trio(CHILD)[1]);
    let stranger = (1..6).find(|node| !knowing.contains(node)).expect("there are six");
    for succeeded in [true, false] {
        mesh.say(stranger, 0, Message::JobEnds(vec![(JOB, succeeded), (OTHER, succeeded)]));
        pass(&mut mesh, 1);
        assert!(waits_elsewhere(&mesh) && told(&mesh, CHILD).is_empty());
    }
    mesh.say(custodian, 0, Message::JobEnds(vec![(JOB, true)]));
    pass(&mut mesh, 1);
    assert!(kinds(&mesh, 0, CHILD).contains(&"parent true".into()), "{:?}", kinds(&mesh, 0, CHILD));
}
