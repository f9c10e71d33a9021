//! What a worker reports about the tasks that it holds, and that it takes no task with too long a module.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod wire;

use weft_core::message::{Class, Progress, Reason};
use weft_core::snapshot::{Response, TaskView};
use weft_core::*;
use wire::{JOB, Mesh, id};

/// The owner's view of its first task; the owner is the first node.
fn progress(mesh: &Mesh) -> Progress {
    let why = mesh.engines[0].why(mesh.now, JOB, 0).map(|why| why.state);
    let Some(TaskView::Leased { progress, .. }) = why else { panic!("{why:?}") };
    progress
}

#[test]
fn an_owner_is_told_that_a_module_is_being_compiled_and_then_that_the_task_runs() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit(0, 1);
    assert_eq!(progress(&mesh), Progress::Unknown, "nothing was said yet");
    let runs = mesh.slots[1].clone();
    mesh.input(1, Input::Compiling { runs: runs.clone(), waits: true });
    mesh.advance_ms(1500);
    assert_eq!(progress(&mesh), Progress::Compiling);
    mesh.input(1, Input::Compiling { runs, waits: false });
    mesh.advance_ms(1500);
    assert_eq!(progress(&mesh), Progress::Running);
    mesh.run_all();
    mesh.assert_quiet();
}

#[test]
fn an_owner_is_told_that_a_module_is_on_its_way() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit(0, 1);
    mesh.advance_ms(1500);
    assert_eq!(progress(&mesh), Progress::Fetching);
    for (node, blob, _) in mesh.held_fetches.take().unwrap() {
        mesh.input(node, Input::Fetched { blob, fetched: Fetched::Here });
    }
    mesh.advance_ms(1500);
    assert_eq!(progress(&mesh), Progress::Running);
}

#[test]
fn what_is_said_of_runs_that_are_not_there_changes_nothing() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.input(1, Input::Compiling { runs: vec![RunId(99)], waits: true });
    mesh.submit(0, 1);
    mesh.advance_ms(1500);
    assert_eq!(progress(&mesh), Progress::Running);
}

#[test]
fn a_module_that_is_longer_than_a_node_takes_is_declined_with_the_bound() {
    let mut mesh = Mesh::of(&[0]);
    let node = NodeConfig {
        name: "small".into(),
        slots: 1,
        memory_bytes: 1 << 30,
        module_bytes: 5,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: Class::Scavenger,
        disk: 0,
        boot: 9,
        owners: Owners::All,
    };
    let mut small = Engine::new(id(0), MeshConfig::DEFAULT, node, [0; 32]);
    let mut said = |module_bytes| {
        let program = Program {
            module: BlobId([1; 32]),
            module_bytes,
            entry: Entry::Command,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: Profile::Pure,
            limits: Limits::DEFAULT,
        };
        let job = JobId(module_bytes);
        let what = Submission::new(job, program.into(), mesh.fresh_inputs(1));
        drop(small.handle(Time::ZERO, Input::Command(Command::Submit(what))));
        small.why(Time::ZERO, job, 0).map(|why| why.responses).unwrap_or_default()
    };
    let reason = Reason::Limit { name: "module_bytes".into(), wanted: 6, most: 5 };
    let text =
        "limit module_bytes: 6 wanted, at most 5 granted (start that node with a higher --module-limit)";
    assert_eq!(reason.to_string(), text);
    let refused = Response::Declined(reason);
    assert!(said(6).iter().any(|answer| answer.response == refused));
    assert!(
        !said(5).iter().any(|answer| matches!(answer.response, Response::Declined(Reason::Limit { .. })))
    );
}
