//! Meshes of cells under load: delays with healthy matchmakers, and no lost task when matchmakers die, lie or are cut
//! off. `weft-experiments cells` measures ten thousand nodes; these tests have a few hundred.

use weft_experiments::cells::{Figures, Owners, Study, Trouble};

/// Six cells of about fifty nodes at 95 % load; jobs of 20 tasks.
fn study() -> Study {
    let mut study = Study::sparrow(7, 300, 95, 150);
    study.tasks = 20;
    study.mesh.cell_nodes = 50;
    study
}

#[track_caller]
fn everything_ended_once(study: &Study, figures: &Figures) {
    let owed = u64::from(study.jobs) * u64::from(study.tasks);
    assert_eq!((figures.unended, figures.undone), (0, 0), "{figures}");
    assert_eq!(figures.ended, owed, "{figures}");
}

#[test]
fn cells_serve_a_loaded_mesh_almost_as_one_queue_would() {
    let study = study();
    let figures = study.run();
    everything_ended_once(&study, &figures);
    assert_eq!(figures.executed, figures.ended, "nothing ran twice");
    assert!(figures.mean_ms < figures.central_ms * 1.15, "{figures}");
    assert!(figures.messages <= 5.0, "{figures}");
}

#[test]
fn traffic_of_a_node_does_not_grow_with_the_mesh() {
    let of = |nodes| {
        let mut study = study();
        // At least as many cells as tasks in both meshes, so that each task goes to a matchmaker of its own.
        (study.nodes, study.tasks, study.jobs) = (nodes, 4, nodes * 4);
        study.run()
    };
    let (small, large) = (of(200), of(800));
    let within = |large: f64, small: f64| large < small * 1.25;
    assert!(within(large.node_messages, small.node_messages), "{small}\n{large}");
    assert!(within(large.node_bytes, small.node_bytes), "{small}\n{large}");
}

#[test]
fn a_matchmaker_that_dies_under_load_takes_a_moment_and_no_task() {
    let study = Study { trouble: Trouble::Crash(2), ..study() };
    let figures = study.run();
    everything_ended_once(&study, &figures);
}

#[test]
fn a_matchmaker_without_a_match_is_passed_over() {
    let study = Study { trouble: Trouble::Silent(2), ..study() };
    let figures = study.run();
    everything_ended_once(&study, &figures);
    assert_eq!(figures.lost, 0, "{figures}");
}

#[test]
fn a_matchmaker_that_forges_bids_costs_refusals_and_its_reputation() {
    let study = Study { trouble: Trouble::Forge(1), ..study() };
    let figures = study.run();
    everything_ended_once(&study, &figures);
    assert!(figures.mismatched > 0, "{figures}");
    assert!(figures.mismatched < 1000, "a forging matchmaker is not asked for ever: {figures}");
}

#[test]
fn a_tenth_of_all_messages_may_be_lost() {
    let study = Study { trouble: Trouble::Loss(100), ..study() };
    everything_ended_once(&study, &study.run());
}

#[test]
fn two_halves_that_can_not_speak_end_everything_once() {
    let study = Study { trouble: Trouble::Halves(3_000), ..study() };
    everything_ended_once(&study, &study.run());
}

#[test]
fn ten_nodes_may_own_all_jobs() {
    let study = Study { owners: Owners::Few(10), ..study() };
    let figures = study.run();
    everything_ended_once(&study, &figures);
    assert!(figures.mean_ms < figures.central_ms * 1.2, "{figures}");
}

#[test]
fn jobs_of_one_task_find_room_too() {
    let mut study = study();
    (study.tasks, study.jobs) = (1, 2000);
    let figures = study.run();
    everything_ended_once(&study, &figures);
    assert!(figures.mean_ms < figures.central_ms * 1.15, "{figures}");
}
