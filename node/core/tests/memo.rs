//! Known results: which node keeps them, how they spread, which tasks need not run, and which sources are not trusted.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod wire;

use std::sync::Arc;

use weft_core::message::Delivery;
use weft_core::*;
use wire::{JOB, Mesh, id};

const AGAIN: JobId = JobId(0xa9a1);

fn same_input(what: &mut Submission) {
    what.inputs = vec![Payload::inline(b"the same")];
}

fn again(what: &mut Submission) {
    same_input(what);
    what.job = AGAIN;
}

fn result(mesh: &Mesh, output: &[u8]) -> Report {
    Report { output: Payload::inline(output), ..mesh.report() }
}

/// The same, for a job that accepts gossiped results.
fn again_from_the_mesh(what: &mut Submission) {
    again(what);
    what.terms.memo = Recall::Mesh;
}

/// The last end of a task: the source if nothing ran, the node that computed it, the number of attempts.
fn means(mesh: &Mesh, node: usize) -> (Option<Recalled>, Option<PeerId>, u32) {
    let Event::TaskEnded { memo, worker, attempts, .. } = mesh.last_end(node) else { panic!("a task ended") };
    (*memo, *worker, *attempts)
}

/// A mesh in which node 1 computed the task of node 0, with this report.
fn computed(slots: &[u32], report: impl FnOnce(&Mesh) -> Report) -> Mesh {
    let mut mesh = Mesh::of(slots);
    mesh.submit_with(0, 1, same_input);
    let run = mesh.slots[1][0];
    let report = report(&mesh);
    mesh.end(1, run, report);
    assert_eq!(mesh.ended(0), 1);
    mesh
}

#[test]
fn a_task_whose_result_came_home_before_ends_at_once() {
    let mut mesh = computed(&[0, 1], |mesh| result(mesh, b"answer"));
    mesh.submit_with(0, 1, again);
    assert_eq!(means(&mesh, 0), (Some(Recalled::Home), Some(id(1)), 0));
    let Event::TaskEnded { report, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert_eq!(report.output, Payload::inline(b"answer"));
    assert!(mesh.events[0].contains(&Event::JobEnded { job: AGAIN }));
    let snapshot = mesh.engines[0].snapshot();
    assert_eq!((snapshot.counters.recalled, snapshot.known, snapshot.jobs[1].recalled), (1, 1, 1));
    mesh.assert_quiet();
}

#[test]
fn more_tasks_of_an_open_job_are_looked_up_too() {
    let mut mesh = computed(&[0, 1], |mesh| result(mesh, b"answer"));
    mesh.submit_with(0, 0, |what| (what.job, what.closed) = (AGAIN, false));
    let inputs =
        vec![Payload::inline(b"the same"), Payload::inline(b"another"), Payload::inline(b"the same")];
    mesh.input(0, Input::Command(Command::Extend { job: AGAIN, inputs }));
    assert_eq!(mesh.ended(0), 3, "two of the three");
    assert_eq!(mesh.running(), [0, 1]);
    mesh.input(0, Input::Command(Command::Close { job: AGAIN }));
    mesh.run_all();
    assert!(mesh.events[0].contains(&Event::JobEnded { job: AGAIN }));
    mesh.assert_quiet();
}

#[test]
fn a_node_that_was_told_rests_on_that_only_where_its_job_asks_for_it() {
    let mut mesh = computed(&[0, 1, 0], |mesh| result(mesh, b"answer"));
    assert_eq!(mesh.engines[1].snapshot().counters.told, 1);
    mesh.submit_with(2, 1, again_from_the_mesh);
    assert_eq!(means(&mesh, 2), (Some(Recalled::Told), Some(id(1)), 0));
    // By default the worker gets the task, and has its own result.
    mesh.submit_with(2, 1, |what| {
        again(what);
        what.job = JobId(3);
    });
    assert_eq!(means(&mesh, 2), (Some(Recalled::Worker), Some(id(1)), 1));
}

#[test]
fn what_was_computed_or_came_home_is_known_in_the_next_life() {
    let mut mesh = computed(&[0, 1, 0], |mesh| result(mesh, b"answer"));
    mesh.restart(0, 0);
    mesh.submit_with(0, 1, again);
    assert_eq!(means(&mesh, 0), (Some(Recalled::Home), Some(id(1)), 0));
    mesh.restart(1, 1);
    // Another owner asks the worker, which answers from memory.
    mesh.submit_with(2, 1, |what| {
        again(what);
        what.job = JobId(3);
    });
    assert_eq!(means(&mesh, 2), (Some(Recalled::Worker), Some(id(1)), 1));
    assert_eq!(mesh.running(), [0, 0, 0]);
    assert_eq!(mesh.engines[1].snapshot().counters.answered, 1);
}

#[test]
fn what_was_told_does_not_outlive_its_node() {
    let mut mesh = computed(&[0, 1, 0], |mesh| result(mesh, b"answer"));
    assert_eq!(mesh.engines[2].snapshot().known, 1);
    assert_eq!([0, 1, 2].map(|node| mesh.disks[node].remembered.len()), [1, 1, 0]);
    mesh.restart(2, 0);
    assert_eq!(mesh.engines[2].snapshot().known, 0);
}

#[test]
fn what_a_disk_brings_back_is_remembered_only_if_it_is_worth_it_and_within_the_bound() {
    let mut mesh = Mesh::of(&[0]);
    let kept = |number: u32, report: Report| Remembered {
        task: TaskId(BlobId::of(&number.to_le_bytes()).0),
        report: report.into(),
        worker: id(1),
    };
    let report = result(&mesh, b"answer");
    let quick = Report { usage: Usage::default(), ..report.clone() };
    let all = (0..20_000).map(|number| kept(number, report.clone())).chain([kept(20_000, quick)]);
    mesh.input(0, Input::Remembered(all.collect()));
    let snapshot = mesh.engines[0].snapshot();
    assert_eq!((snapshot.known, snapshot.counters.dropped), (16_384, 1));
    assert_eq!(mesh.disks[0].forgotten, 20_000 - 16_384, "what has no room goes from the disk, too");
}

#[test]
fn nobodys_word_gets_better_by_being_taken() {
    let mut mesh = computed(&[0, 1, 0], |mesh| result(mesh, b"answer"));
    mesh.submit_with(2, 1, again_from_the_mesh);
    // The worker is gone, and with it its own result.
    mesh.input(2, Input::PeerDown { peer: id(1), closed: true });
    mesh.submit_with(2, 1, |what| {
        again(what);
        what.job = JobId(3);
    });
    assert_eq!(mesh.ended(2), 1, "what was told is no more than that, though a job took it");
}

#[test]
fn a_worker_answers_with_nothing_that_others_brought_or_told() {
    // Node 1 awarded the task to node 0, which delivered it; node 2 got the gossip.
    let mut mesh = Mesh::of(&[1, 0, 1]);
    mesh.submit_with(1, 1, |what| {
        same_input(what);
        what.needs.labels = vec![("node".into(), id(0).to_string())];
    });
    let (run, report) = (mesh.slots[0][0], result(&mesh, b"answer"));
    mesh.end(0, run, report);
    mesh.submit_with(1, 1, |what| {
        again_from_the_mesh(what);
        what.needs.labels = vec![("node".into(), id(2).to_string())];
        what.terms.memo = Recall::Off;
    });
    assert_eq!(mesh.running()[2], 1);
    let lease = LeaseId { job: AGAIN, epoch: 0, index: 0, attempt: 1 };
    let delivery =
        Delivery { lease, report: result(&mesh, b"answer").into(), memo: Some(id(0)), proof: None };
    mesh.say(2, 1, Message::Outcome(vec![delivery]));
    assert_eq!(mesh.engines[1].snapshot().counters.lost, 1, "its word is its own only");
}

#[test]
fn nobody_is_told_anything_by_strangers_and_by_whom_it_refuses() {
    let mut mesh = Mesh::of(&[1, 0, 0]);
    mesh.submit_with(0, 1, same_input);
    let task = mesh.works[&(0, RunId(0))].task;
    let report = result(&mesh, b"forged");
    let stranger = PeerId([77; 32]);
    let known = |worker| Gossip::Known(vec![Known { task, report: report.clone().into(), worker }]);
    mesh.input(1, Input::Heard { origin: stranger, gossip: known(stranger) });
    assert_eq!(mesh.engines[1].snapshot().known, 0, "it never was here");
    mesh.input(1, Input::Heard { origin: id(2), gossip: known(id(2)) });
    assert_eq!(mesh.engines[1].snapshot().known, 1);
    let node = NodeConfig {
        name: "picky".into(),
        slots: 0,
        memory_bytes: 1 << 30,
        module_bytes: u64::MAX,
        store_bytes: u64::MAX,
        labels: Vec::new(),
        class_min: message::Class::Scavenger,
        disk: 0,
        boot: 1,
        owners: Owners::AllBut(vec![id(2)]),
    };
    let mut picky = Engine::new(id(9), MeshConfig::DEFAULT, node, [9; 32]);
    for (peer, knows) in [(2, 0), (1, 1)] {
        drop(picky.handle(Time(1), Input::PeerUp { peer: id(peer), boot: 1, host: Host::Unknown }));
        drop(picky.handle(Time(1), Input::Heard { origin: id(peer), gossip: known(id(peer)) }));
        assert_eq!(picky.snapshot().known, knows, "node {peer}");
    }
}

#[test]
fn a_worker_answers_for_an_owner_that_was_not_told() {
    let mut mesh = computed(&[0, 1], |mesh| result(mesh, b"answer"));
    mesh.join(0, Vec::new()); // after the gossip
    mesh.submit_with(2, 1, again);
    assert_eq!(means(&mesh, 2), (Some(Recalled::Worker), Some(id(1)), 1));
    let counters = mesh.engines[1].snapshot().counters;
    assert_eq!((counters.executed, counters.answered), (1, 1));
    mesh.assert_quiet();
}

#[test]
fn who_wants_it_run_gets_it_run() {
    let mut mesh = computed(&[0, 1], |mesh| result(mesh, b"answer"));
    mesh.submit_with(0, 1, |what| {
        again(what);
        what.terms.memo = Recall::Off;
    });
    assert_eq!(mesh.running(), [0, 1]);
}

#[test]
fn what_failed_was_quick_or_impure_is_not_remembered() {
    let quick = |mesh: &Mesh| Report { usage: Usage { wall_us: 99, ..Usage::default() }, ..mesh.report() };
    let failed = |mesh: &Mesh| Report { outcome: Outcome::Failed(Failure::Exit(1)), ..mesh.report() };
    let stopped = |mesh: &Mesh| Report {
        outcome: Outcome::LimitExceeded(Limit::WallTime { limit_ms: 50 }),
        ..mesh.report()
    };
    for report in [&quick as &dyn Fn(&Mesh) -> Report, &failed, &stopped] {
        let mut mesh = computed(&[0, 1], report);
        mesh.submit_with(0, 1, again);
        assert_eq!((mesh.running()[1], mesh.engines[0].snapshot().known), (1, 0));
    }
    let mut mesh = Mesh::of(&[0, 1]);
    let impure = |what: &mut Submission| {
        what.inputs = vec![Payload::inline(b"the same")];
        what.program = Arc::new(Program { profile: Profile::Impure, ..Program::clone(&what.program) });
    };
    mesh.submit_with(0, 1, impure);
    mesh.run_all();
    mesh.submit_with(0, 1, |what| {
        impure(what);
        what.job = AGAIN;
    });
    assert_eq!(mesh.running(), [0, 1]);
}

#[test]
fn a_known_result_ends_its_task_only_when_its_bytes_are_here() {
    let bulky = |mesh: &Mesh| Report { output: blob(), ..mesh.report() };
    let mut mesh = computed(&[0, 1, 0], bulky);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, again_from_the_mesh);
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    assert_eq!(asked, [(2, BlobId::of(b"bulk"), vec![id(1)])]);
    assert_eq!(mesh.ended(2), 0);
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Here });
    assert_eq!(means(&mesh, 2), (Some(Recalled::Told), Some(id(1)), 0));
}

/// The bytes of a known result are on their way under attempt 0, which no worker holds.
#[test]
fn a_peer_that_refuses_attempt_0_changes_nothing() {
    let bulky = |mesh: &Mesh| Report { output: blob(), ..mesh.report() };
    let mut mesh = computed(&[0, 1, 0], bulky);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, again_from_the_mesh);
    mesh.say(1, 2, Message::Refuse { leases: vec![LeaseId { job: AGAIN, epoch: 0, index: 0, attempt: 0 }] });
    assert_eq!((mesh.ended(2), mesh.running()), (0, vec![0, 0, 0]));
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Here });
    assert_eq!(means(&mesh, 2), (Some(Recalled::Told), Some(id(1)), 0));
}

#[test]
fn a_known_result_that_is_anothers_word_by_now_stays_when_its_bytes_come() {
    let bulky = |mesh: &Mesh| Report { output: blob(), ..mesh.report() };
    let mut mesh = computed(&[0, 1, 0], bulky);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, again_from_the_mesh);
    let (task, report) = (mesh.works[&(1, RunId(0))].task, bulky(&mesh));
    let known = Gossip::Known(vec![Known { task, report: report.into(), worker: id(0) }]);
    mesh.input(2, Input::Heard { origin: id(0), gossip: known });
    mesh.held_fetches = None;
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Here });
    mesh.run_all();
    assert_eq!(mesh.ended(2), 1);
    assert_eq!(mesh.engines[2].snapshot().known, 1, "the other's word is as good as it was");
    mesh.assert_quiet();
}

#[test]
fn a_known_result_whose_bytes_are_gone_is_forgotten_and_its_task_runs() {
    let bulky = |mesh: &Mesh| Report { output: blob(), ..mesh.report() };
    let mut mesh = computed(&[0, 1, 0], bulky);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, again_from_the_mesh);
    mesh.held_fetches = Some(Vec::new());
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Missing });
    assert_eq!(mesh.engines[2].snapshot().known, 0);
    // The worker knows the result, too, and has lost the bytes as well.
    let asked = mesh.held_fetches.replace(Vec::new()).unwrap();
    assert_eq!(asked, [(1, BlobId::of(b"bulk"), vec![id(1)])]);
    mesh.input(1, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Missing });
    assert_eq!(mesh.running(), [0, 1, 0]);
    mesh.held_fetches = None;
    mesh.run_all();
    assert_eq!(means(&mesh, 2), (None, Some(id(1)), 1));
    mesh.assert_quiet();
}

#[test]
fn a_job_that_is_cancelled_while_known_bytes_come_stays_cancelled() {
    let bulky = |mesh: &Mesh| Report { output: blob(), ..mesh.report() };
    let mut mesh = computed(&[0, 1, 0], bulky);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(2, 1, again_from_the_mesh);
    mesh.input(2, Input::Command(Command::Cancel { job: AGAIN }));
    mesh.input(2, Input::Fetched { blob: BlobId::of(b"bulk"), fetched: Fetched::Here });
    assert_eq!(mesh.ended(2), 1);
    let Event::TaskEnded { report, .. } = mesh.last_end(2) else { panic!("a task ended") };
    assert_eq!(report.outcome, Outcome::Cancelled);
    mesh.assert_quiet();
}

#[test]
fn what_is_told_does_not_unsettle_what_came_home() {
    let mut mesh = computed(&[0, 1], |mesh| result(mesh, b"answer"));
    let task = mesh.works[&(1, RunId(0))].task;
    let known = Known { task, report: result(&mesh, b"another").into(), worker: id(1) };
    mesh.input(0, Input::Heard { origin: id(1), gossip: Gossip::Known(vec![known.clone()]) });
    mesh.input(0, Input::Heard { origin: id(1), gossip: Gossip::Known(vec![known]) });
    let snapshot = mesh.engines[0].snapshot();
    assert_eq!((snapshot.known, snapshot.counters.disagreed), (1, 2));
    mesh.submit_with(0, 1, again);
    assert_eq!(means(&mesh, 0), (Some(Recalled::Home), Some(id(1)), 0));
}

#[test]
fn nobody_speaks_for_another() {
    let mut mesh = Mesh::of(&[1, 0, 0]);
    mesh.submit_with(0, 1, same_input);
    let task = mesh.works[&(0, RunId(0))].task;
    let report = result(&mesh, b"forged");
    let big = Report { output: Payload::Inline(vec![0; 20_000].into()), ..report.clone() };
    let known = |report: &Report, worker| Known { task, report: report.clone().into(), worker: id(worker) };
    let gossip = Gossip::Known(vec![known(&report, 2), known(&big, 1)]);
    mesh.input(0, Input::Heard { origin: id(1), gossip });
    let snapshot = mesh.engines[0].snapshot();
    assert_eq!((snapshot.known, snapshot.counters.dropped), (0, 2));
}

#[test]
fn a_worker_that_remembers_unasked_has_lost_the_task() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, |what| what.terms.memo = Recall::Off);
    let lease = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };
    let report = result(&mesh, b"easy");
    let delivery = Delivery { lease, report: report.into(), memo: Some(id(1)), proof: None };
    mesh.say(1, 0, Message::Outcome(vec![delivery]));
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.lost), (0, 1));
}

#[test]
fn what_a_proven_liar_remembers_is_not_taken() {
    for (told, lost) in [(b"answer", 0), (b"a lie!", 1)] {
        let mut mesh = Mesh::of(&[1, 1]);
        let at = |node: usize| vec![("node".into(), id(node).to_string())];
        mesh.submit_with(0, 1, |what| {
            same_input(what);
            what.needs.labels = at(0);
        });
        let (task, run) = (mesh.works[&(0, RunId(0))].task, mesh.slots[0][0]);
        let (report, told) = (result(&mesh, b"answer"), result(&mesh, told));
        mesh.end(0, run, report);
        // Only tasks that ran are measured.
        let known = Known { task, report: told.into(), worker: id(1) };
        mesh.input(0, Input::Heard { origin: id(1), gossip: Gossip::Known(vec![known]) });
        mesh.submit_with(0, 1, |what| (what.job, what.needs.labels) = (AGAIN, at(1)));
        let lease = LeaseId { job: AGAIN, epoch: 0, index: 0, attempt: 1 };
        let delivery =
            Delivery { lease, report: result(&mesh, b"easy").into(), memo: Some(id(1)), proof: None };
        mesh.say(1, 0, Message::Outcome(vec![delivery]));
        assert_eq!(mesh.engines[0].snapshot().counters.lost, lost);
    }
}

#[test]
fn a_proven_liar_runs_what_it_remembers() {
    let mut mesh = Mesh::of(&[1, 1, 0]);
    let at = |node: usize| vec![("node".into(), id(node).to_string())];
    let (report, lie) = (result(&mesh, b"answer"), result(&mesh, b"a lie!"));
    mesh.submit_with(2, 1, |what| {
        (what.job, what.needs.labels) = (JobId(7), at(1));
        same_input(what);
    });
    mesh.end(1, mesh.slots[1][0], report.clone());
    mesh.submit_with(0, 1, |what| what.needs.labels = at(0));
    let (task, run) = (mesh.works[&(0, mesh.slots[0][0])].task, mesh.slots[0][0]);
    mesh.end(0, run, report.clone());
    let known = Known { task, report: lie.into(), worker: id(1) };
    mesh.input(0, Input::Heard { origin: id(1), gossip: Gossip::Known(vec![known]) });
    mesh.submit_with(0, 1, |what| {
        again(what);
        what.needs.labels = at(1);
    });
    assert_eq!(mesh.running(), [0, 1, 0], "it remembers the result, and is asked to compute it anew");
    mesh.end(1, mesh.slots[1][0], report);
    assert_eq!((means(&mesh, 0), mesh.engines[0].snapshot().counters.lost), ((None, Some(id(1)), 1), 0));
}

#[test]
fn what_is_told_keeps_to_its_budget_and_its_length() {
    let mut mesh = Mesh::of(&[64, 0]);
    mesh.submit(0, 64);
    let long = Report { output: Payload::inline(&[7; 2000]), ..mesh.report() };
    let ran = mesh.slots[0].drain(..).map(|run| (run, long.clone())).collect();
    mesh.feed(0, Input::Ran(ran));
    let gossips: Vec<_> = mesh.air.iter().map(|(_, gossip)| gossip.clone()).collect();
    let told: usize =
        gossips.iter().map(|gossip| if let Gossip::Known(all) = gossip { all.len() } else { 0 }).sum();
    let counters = mesh.engines[0].snapshot().counters;
    assert_eq!((told, counters.told, counters.untold), (32, 32, 32));
    assert_eq!(mesh.stashed, 32, "long outputs are told by name");
    assert!(gossips.iter().all(|gossip| codec::encode_gossip(gossip).is_ok()));
}

#[test]
fn what_is_told_keeps_to_its_bytes() {
    let mut mesh = Mesh::of(&[64, 0]);
    mesh.submit(0, 64);
    let wide = Report { output: Payload::inline(&[7; 900]), ..mesh.report() };
    let ran = mesh.slots[0].drain(..).map(|run| (run, wide.clone())).collect();
    mesh.feed(0, Input::Ran(ran));
    let all: Vec<usize> =
        mesh.air.iter().map(|(_, told)| codec::encode_gossip(told).unwrap().len()).collect();
    let known = mesh.air.iter().filter(|(_, told)| matches!(told, Gossip::Known(_))).count();
    assert!(known > 1 && all.iter().sum::<usize>() < 8 * 1024 + 500, "{known} of {all:?}");
    mesh.advance_ms(1100);
    mesh.carry();
    assert!(mesh.engines[1].snapshot().known >= 8);
}

fn blob() -> Payload {
    Payload::Blob { id: BlobId::of(b"bulk"), bytes: 50_000 }
}
