//! Members that are killed, stopped, or told to stop while work goes on: nothing is lost, and no other member works for them any more.

use std::time::{Duration, Instant};

use crate::support::{Proc, all_meet, eventually, module, turn};
use crate::{JOB, MEET, Mesh};

#[test]
fn an_interrupted_map_leaves_nobody_working() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let map = mesh.map_under_way(1000, 50, &[]);
    map.interrupt();
    let ended = map.finish(MEET);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    mesh.assert_idle(MEET);
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
}

#[test]
fn a_killed_map_leaves_nobody_working() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let mut map = mesh.map_under_way(1000, 50, &[]);
    map.kill9();
    mesh.assert_idle(MEET);
    eventually(MEET, "the owner has no job left", || {
        (mesh.owner.0.json(&["status", "--json"])["jobs_unfinished"] == 0).then_some(())
    });
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
}

#[test]
fn a_killed_owner_leaves_nobody_working_and_its_map_says_so() {
    let _turn = turn();
    let mut mesh = Mesh::start(2);
    let map = mesh.map_under_way(1000, 50, &[]);
    mesh.owner.1.process.kill9();
    let ended = map.finish(MEET);
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert!(ended.stderr.lines().last().unwrap().contains("node"), "{}", ended.stderr);
    // What the workers hold runs out with its leases; only what has ended already is kept for the owner.
    for (host, _) in &mesh.workers {
        eventually(Duration::from_secs(10), "the worker has stopped working", || {
            let status = host.json(&["status", "--json"]);
            ["running", "waiting", "reserved"].iter().all(|name| status[name] == 0).then_some(())
        });
    }
    mesh.workers[0].0.runs_on(&mesh.workers[1].1.id);
}

/// Tasks that may run for an hour, whose owner ends: its workers' slots are free for others.
#[track_caller]
fn workers_are_free_again(end: fn(&mut Proc)) -> Mesh {
    let mut mesh = Mesh::start(2);
    let lines = mesh.owner.0.path("lines");
    std::fs::write(&lines, "1\n2\n3\n4\n5\n").unwrap();
    let (spin, lines) = (module("spin"), lines.display().to_string());
    let map = ["map", &spin, "--fn", "forever", "--each-line", &lines, "--timeout", "1h"];
    let _map = mesh.owner.0.spawn(&map);
    let busy = |mesh: &Mesh, tasks: u64| {
        mesh.workers
            .iter()
            .all(|(host, _)| host.json(&["status", "--json"])["running"] == tasks)
            .then_some(())
    };
    eventually(JOB, "both work", || busy(&mesh, 1));
    end(&mut mesh.owner.1.process);
    eventually(JOB, "both are free", || busy(&mesh, 0));
    mesh.workers[0].0.runs_on(&mesh.workers[1].1.id);
    mesh
}

const UNHEARD: &str = "its process has ended, and nothing was heard";

#[test]
fn an_owner_that_is_stopped_tells_its_workers_and_says_what_ends_with_it() {
    let _turn = turn();
    let mesh = workers_are_free_again(|owner| owner.terminate());
    assert!(
        !mesh.workers.iter().any(|(_, node)| node.process.said(UNHEARD)),
        "they were told, and did not wait"
    );
    mesh.owner.1.process.wait_for("1 job with 5 unfinished tasks ends with this node", MEET);
}

#[test]
fn workers_leave_an_owner_that_was_killed_and_say_so() {
    let _turn = turn();
    let mesh = workers_are_free_again(Proc::kill9);
    for (_, node) in &mesh.workers {
        node.process.wait_for(UNHEARD, MEET);
    }
}

#[test]
fn a_node_that_is_told_to_stop_stops() {
    let _turn = turn();
    let mut mesh = Mesh::start(2);
    let map = mesh.map_under_way(60, 50, &[]);
    let (host, worker) = mesh.workers.remove(0);
    worker.process.terminate();
    let ended = worker.process.finish(MEET);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!host.path("api.json").exists(), "clients are not told to look for it");
    mesh.settle(map, 60);
}

#[test]
fn an_owner_that_stood_still_goes_on() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let map = mesh.map_under_way(60, 50, &[]);
    mesh.owner.1.process.stop();
    let stopped = Instant::now();
    eventually(JOB, "longer than a lease", || (stopped.elapsed() > Duration::from_secs(6)).then_some(()));
    mesh.owner.1.process.cont();
    mesh.settle(map, 60);
    all_meet(&mesh.members(), MEET);
}

#[test]
fn a_killed_worker_costs_no_result() {
    let _turn = turn();
    let mut mesh = Mesh::start(3);
    let map = mesh.map_under_way(100, 50, &[]);
    mesh.workers[0].1.process.kill9();
    mesh.settle(map, 100);
    assert!(mesh.owner.0.counter("lost") > 0, "it held tasks when it was killed");
}

#[test]
fn a_stopped_worker_comes_back_and_nothing_is_counted_twice() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let map = mesh.map_under_way(60, 50, &["--no-backup"]);
    mesh.workers[0].1.process.stop();
    let stopped = Instant::now();
    mesh.settle(map, 60);
    assert!(mesh.owner.0.counter("lost") > 0, "it held tasks when it was stopped");
    // Longer than a lease lasts, so that what it held is another node's by now.
    eventually(JOB, "longer than a lease", || (stopped.elapsed() > Duration::from_secs(6)).then_some(()));
    mesh.workers[0].1.process.cont();
    all_meet(&mesh.members(), Duration::from_secs(10));
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
    assert_eq!(mesh.owner.0.counter("committed"), 61, "60 of the map, and the last");
    eventually(JOB, "the worker has given up what it held", || {
        let status = mesh.workers[0].0.json(&["status", "--json"]);
        (status["undelivered"] == 0 && status["running"] == 0).then_some(())
    });
    assert_eq!(mesh.owner.0.counter("committed"), 61);
}

#[test]
fn a_node_that_is_killed_and_restarted_is_taken_back_each_time() {
    let _turn = turn();
    let mut mesh = Mesh::start(1);
    let to = mesh.owner.1.address.clone();
    for round in 0..10 {
        mesh.workers[0].1.process.kill9();
        let worker = mesh.workers[0].0.loopback_node(&["--slots", "1", "--peer", &to]);
        assert_eq!(worker.id, mesh.workers[0].1.id, "round {round}");
        mesh.workers[0].1 = worker;
        all_meet(&mesh.members(), MEET);
        mesh.owner.0.runs_on(&mesh.workers[0].1.id);
    }
}
