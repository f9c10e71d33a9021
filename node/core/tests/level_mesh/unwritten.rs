//! Nodes that are to keep a job and wait for bytes that its first record names, when the node that has these is gone.

use super::*;

/// A job whose keepers wait for its module; nothing of it is on their disks.
fn waiting() -> Mesh {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.lazy = true;
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, kept);
    for node in [1, 2] {
        assert!(view(&mesh, node, JOB).is_some() && mesh.disks[node].log(JOB).is_empty());
        assert_eq!(mesh.pinned(node), [BlobId::of(b"module")]);
    }
    mesh
}

/// Time passes, and what was written reaches all disks.
fn pass_synced(mesh: &mut Mesh, seconds: u64) {
    for _ in 0..seconds {
        mesh.steps = 0;
        mesh.advance_ms(1_000);
        (0..3).for_each(|node| mesh.sync(node));
    }
}

/// The job's owner starts again and has nothing of it.
fn forgets(mesh: &mut Mesh, is_wiped: bool) {
    mesh.switch_off(0);
    if is_wiped {
        mesh.wipe(0);
    }
    mesh.restart(0, 0);
}

fn is_left(mesh: &Mesh, node: usize) -> bool {
    let held = mesh.held_fetches.as_ref().map_or(0, Vec::len);
    view(mesh, node, JOB).is_none() && mesh.pinned(node).is_empty() && held > 0
}

#[test]
fn a_job_of_which_no_node_has_anything_is_left_soon() {
    // Its owner's disk was lost, or its process ended before the first record was on it.
    for is_wiped in [true, false] {
        let mut mesh = waiting();
        forgets(&mut mesh, is_wiped);
        pass_synced(&mut mesh, 40);
        assert!(is_left(&mesh, 1) && is_left(&mesh, 2), "{is_wiped}: {:?}", mesh.pins);
        mesh.held_fetches = None;
        mesh.submit_with(0, 1, kept);
        pass_synced(&mut mesh, 3);
        assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("accepted 1"), "it may come again");
    }
}

#[test]
fn two_that_wait_do_not_keep_each_other_waiting() {
    let mut mesh = waiting();
    mesh.switch_off(2);
    mesh.pins.retain(|(node, _), _| *node != 2);
    mesh.restart(2, 0);
    pass_synced(&mut mesh, 3);
    assert!(view(&mesh, 2, JOB).is_some(), "its leader tells it again");
    forgets(&mut mesh, true);
    pass_synced(&mut mesh, 40);
    assert!(is_left(&mesh, 1) && is_left(&mesh, 2), "{:?}", mesh.pins);
}

#[test]
fn a_job_that_one_other_node_has_is_not_left_because_its_owner_has_nothing_of_it() {
    let mut mesh = waiting();
    let [_, custodian, witness] = keepers(&mesh, 0, JOB);
    mesh.input(custodian, Input::Fetched { blob: BlobId::of(b"module"), fetched: Fetched::Here });
    pass_synced(&mut mesh, 1);
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("accepted 1"));
    forgets(&mut mesh, true);
    // It is away for a while, too.
    mesh.switch_off(custodian);
    pass_synced(&mut mesh, 60);
    mesh.restart(custodian, 0);
    pass_synced(&mut mesh, 60);
    assert_eq!(mesh.pinned(witness), [BlobId::of(b"module")]);
    mesh.input(witness, Input::Fetched { blob: BlobId::of(b"module"), fetched: Fetched::Here });
    pass_synced(&mut mesh, 60);
    assert_eq!(leader(&mesh, 0), leader(&mesh, witness));
    assert!(kinds(&mesh, witness, JOB)[1].starts_with("led"), "{:?}", kinds(&mesh, witness, JOB));
}

#[test]
fn a_node_that_has_nothing_of_a_job_keeps_no_other_waiting_for_ever() {
    let mut mesh = waiting();
    let [_, custodian, witness] = keepers(&mesh, 0, JOB);
    mesh.switch_off(custodian);
    forgets(&mut mesh, false);
    pass_synced(&mut mesh, 500);
    assert!(!is_left(&mesh, witness), "the one that is away may have it");
    pass_synced(&mut mesh, 200);
    assert!(is_left(&mesh, witness));
    // Two that wait, and hear of each other only.
    let mut mesh = waiting();
    mesh.switch_off(0);
    pass_synced(&mut mesh, 500);
    assert!(!is_left(&mesh, 1) && !is_left(&mesh, 2), "their leader may have it");
    pass_synced(&mut mesh, 200);
    assert!(is_left(&mesh, 1) && is_left(&mesh, 2));
}

#[test]
fn a_node_whose_disk_failed_pins_nothing_for_the_jobs_of_others() {
    let mut mesh = waiting();
    mesh.input(1, Input::JournalFailed);
    assert_eq!(mesh.pinned(1), []);
    mesh.held_fetches = Some(Vec::new());
    mesh.input(1, Input::Fetched { blob: BlobId::of(b"module"), fetched: Fetched::Missing });
    mesh.steps = 0;
    mesh.advance_ms(10_000);
    assert_eq!(mesh.held_fetches.map(|all| all.len()), Some(0), "it fetches nothing for them either");
}
