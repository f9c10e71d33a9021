//! Nodes that are told to end while they work for others, as real processes: what runs is finished or given back, no owner
//! loses a task, and who insists is obeyed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic"
)]

mod support;

use std::time::Duration;

use support::{Host, Node, Proc, all_meet, assert_each_once, eventually, mesh_key, module, turn};

/// Nodes that were told of each other have met after this; a node that need not wait for anything has ended.
const SOON: Duration = Duration::from_secs(20);
/// A map of some seconds' work has ended after this.
const JOB: Duration = Duration::from_secs(120);

/// What a node says that lets tasks of others end.
const LETS_END: &str = "this node ends as soon as none does";

/// A node without slots that hands out work, and two workers with one slot each.
struct Mesh {
    owner: (Host, Node),
    worker: (Host, Node),
    other: (Host, Node),
}

impl Mesh {
    /// The worker has these flags.
    #[track_caller]
    fn start(flags: &[&str]) -> Self {
        let key = mesh_key();
        let host = Host::new(&key);
        let node = host.loopback_node(&["--slots", "0"]);
        let join = |flags: &[&str]| {
            let host = Host::new(&key);
            let all = [&["--slots", "1", "--peer", &node.address], flags].concat();
            let worker = host.loopback_node(&all);
            (host, worker)
        };
        let (worker, other) = (join(flags), join(&[]));
        let owner = (host, node);
        let all = [&owner, &worker, &other].map(|(host, node)| (host, node));
        all_meet(&all, SOON);
        Self { owner, worker, other }
    }

    /// Waits until the worker runs a task.
    #[track_caller]
    fn worker_runs(&self) {
        eventually(JOB, "the worker runs a task", || {
            (self.worker.0.json(&["status", "--json"])["sandbox"]["busy"] == 1).then_some(())
        });
    }

    /// Starts two tasks that never end, one for each worker.
    #[track_caller]
    fn run_forever(&self) -> Proc {
        let lines = self.owner.0.path("lines");
        std::fs::write(&lines, "1\n2\n").unwrap();
        let (spin, lines) = (module("spin"), lines.display().to_string());
        let map = ["map", &spin, "--fn", "forever", "--each-line", &lines, "--timeout", "1h", "--no-backup"];
        let map = self.owner.0.spawn(&map);
        self.worker_runs();
        map
    }

    /// The owner counts nothing as lost, and blames no node.
    #[track_caller]
    fn assert_nothing_lost(&self) {
        assert_eq!(self.owner.0.counter("lost"), 0);
        let peers = self.owner.0.json(&["peers", "--all", "--json"]);
        for peer in peers.as_array().unwrap() {
            assert_eq!((&peer["lost"], &peer["trust"]), (&0.into(), &"closed".into()), "{peers}");
        }
    }
}

#[test]
fn a_worker_that_is_terminated_in_the_middle_of_a_job_costs_its_owner_nothing() {
    let _turn = turn();
    let mesh = Mesh::start(&["--grace", "2m"]);
    let map = mesh.owner.0.spin_map(&mesh.owner.0.spin_file(12, 1000), &["--no-backup"]);
    mesh.worker_runs();
    mesh.worker.1.process.terminate();
    let ended = map.finish(JOB);
    assert_each_once(&ended, 12);
    mesh.assert_nothing_lost();
    assert_eq!(mesh.owner.0.counter("committed"), 12);
    let (_, worker) = mesh.worker;
    let ended = worker.process.finish(SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("stopped after"), "it had time to end what it ran: {}", ended.stderr);
    assert!(ended.stderr.trim_end().ends_with("stopped"), "{}", ended.stderr);
}

#[test]
fn a_node_that_is_terminated_delivers_what_it_runs_before_it_ends() {
    let _turn = turn();
    let mesh = Mesh::start(&["--grace", "2m"]);
    let map = mesh.owner.0.spin_map(&mesh.owner.0.spin_file(2, 5000), &["--no-backup"]);
    mesh.worker_runs();
    mesh.worker.1.process.terminate();
    mesh.worker.1.process.wait_for(LETS_END, SOON);
    let Mesh { owner, worker: (_, worker), other: _other } = mesh;
    let id = worker.id.clone();
    let ended = worker.process.finish(JOB);
    assert!(!ended.stderr.contains("given back"), "{}", ended.stderr);
    let map = map.finish(JOB);
    assert_each_once(&map, 2);
    assert!(map.stdout.contains(&id), "one result is of the node that ended: {}", map.stdout);
    assert_eq!((owner.0.counter("refused"), owner.0.counter("lost")), (0, 0));
}

#[test]
fn a_second_signal_ends_a_worker_at_once() {
    let _turn = turn();
    let mut mesh = Mesh::start(&["--grace", "1h"]);
    let _map = mesh.run_forever();
    mesh.worker.1.process.interrupt();
    mesh.worker.1.process.wait_for(LETS_END, SOON);
    let status = mesh.worker.0.json(&["status", "--json"]);
    assert_eq!((&status["stopping"], &status["draining"]), (&true.into(), &true.into()), "{status}");
    eventually(SOON, "the owner sees that it takes no work", || {
        let peers = mesh.owner.0.json(&["peers", "--json"]);
        let peer = peers.as_array().unwrap().iter().find(|peer| peer["peer"] == mesh.worker.1.id)?.clone();
        (peer["draining"] == true).then_some(())
    });
    assert!(mesh.worker.1.process.is_running(), "it has an hour");
    mesh.worker.1.process.terminate();
    mesh.worker.1.process.wait_for("1 task of others is stopped and given back", SOON);
    eventually(SOON, "the owner has the task back", || (mesh.owner.0.counter("refused") == 1).then_some(()));
    mesh.assert_nothing_lost();
    let ended = mesh.worker.1.process.finish(SOON);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn what_runs_is_given_back_when_its_time_is_over() {
    let _turn = turn();
    for (grace, said) in [
        ("0", "1 task of others is stopped and given back"),
        ("700ms", "stopped after 700 ms and given back"),
    ] {
        let mesh = Mesh::start(&["--grace", grace]);
        let map = mesh.run_forever();
        let (_, worker) = &mesh.worker;
        worker.process.terminate();
        worker.process.wait_for(said, SOON);
        worker.process.wait_for("stopped", SOON);
        eventually(SOON, "the owner has the task back", || {
            (mesh.owner.0.counter("refused") == 1).then_some(())
        });
        mesh.assert_nothing_lost();
        assert_eq!(mesh.other.0.json(&["status", "--json"])["running"], 1, "who has a task keeps it");
        let Mesh { worker: (_, worker), .. } = mesh;
        assert_eq!(worker.process.finish(SOON).code, Some(0));
        drop(map);
    }
}

#[test]
fn a_node_that_is_told_to_stop_takes_no_jobs_and_does_not_go_back_to_work() {
    let _turn = turn();
    let mesh = Mesh::start(&["--grace", "1h"]);
    let _map = mesh.run_forever();
    let (host, worker) = &mesh.worker;
    host.cli(&["drain"]);
    worker.process.wait_for("takes no new tasks", SOON);
    host.cli(&["drain", "--off"]);
    worker.process.wait_for("takes new tasks again", SOON);
    let told = host.cli(&["stop", "--no-wait"]);
    assert!(
        told.stderr.contains("is told to stop; it holds 1 task, and lets those of other nodes"),
        "{}",
        told.stderr
    );
    let run = host.cli_with(&["run", &module("echo"), "--fn", "echo"], b"x");
    assert_eq!(run.code, Some(125), "{}", run.stderr);
    assert!(run.stderr.contains("this node is told to stop, and takes no jobs"), "{}", run.stderr);
    let drained = host.cli(&["drain"]);
    assert!(
        drained.stderr.contains("has 1 task to end; it was told to end, and does so then"),
        "{}",
        drained.stderr
    );
    let back = host.cli(&["drain", "--off"]);
    assert_eq!(back.code, Some(1), "{}", back.stderr);
    assert!(back.stderr.contains("this node is told to stop, and takes no new work"), "{}", back.stderr);
    let again = host.cli(&["stop"]);
    assert!(again.stderr.contains("is told to stop at once"), "{}", again.stderr);
    assert!(again.stderr.contains("has stopped"), "{}", again.stderr);
    let Mesh { worker: (_, worker), .. } = mesh;
    assert_eq!(worker.process.finish(SOON).code, Some(0));
}

#[test]
fn a_data_directory_of_a_newer_weft_is_refused_and_not_touched() {
    let host = Host::keyless();
    std::fs::write(host.path("version"), "2\n").unwrap();
    for args in [&["node"][..], &["init"], &["join", "x"]] {
        let refused = host.cli(args);
        assert_ne!(refused.code, Some(0), "{args:?}");
        let words =
            ["is a data directory of version 2, and this weft reads version 1", "pass another --data-dir"];
        assert!(
            args == ["join", "x"] || words.iter().all(|word| refused.stderr.contains(word)),
            "{}",
            refused.stderr
        );
    }
    let left: Vec<_> =
        std::fs::read_dir(host.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["version"], "nothing was written");
}
