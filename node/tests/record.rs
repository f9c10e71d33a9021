//! Real nodes that record what their engines are told and answer: the simulator's engine answers the same, byte for
//! byte, also to the log of a node that was killed.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::path::Path;
use std::time::Duration;

use support::{Host, Node, all_meet, assert_each_once, eventually, mesh_key, turn};
use weft_sim::{LogEnd, Replayed, replay};

const MEET: Duration = Duration::from_secs(5);
const JOB: Duration = Duration::from_secs(60);

/// An owner without slots and two workers, all of them recorded; they have met.
fn recorded_mesh() -> Vec<(Host, Node)> {
    let key = mesh_key();
    let mut mesh: Vec<(Host, Node)> = Vec::new();
    for slots in ["0", "1", "1"] {
        let host = Host::new(&key);
        let log = host.path("node.log").display().to_string();
        let mut args = vec!["--slots", slots, "--record", &log];
        let first = mesh.first().map(|(_, node)| node.address.clone());
        args.extend(first.iter().flat_map(|address| ["--peer", address.as_str()]));
        let node = host.loopback_node(&args);
        mesh.push((host, node));
    }
    let members: Vec<(&Host, &Node)> = mesh.iter().map(|(host, node)| (host, node)).collect();
    all_meet(&members, MEET);
    mesh
}

#[track_caller]
fn replayed(host: &Host) -> Replayed {
    let bytes = std::fs::read(host.path("node.log")).unwrap();
    match replay(&bytes, None, |_, _| {}) {
        Ok(replayed) => {
            let Replayed { steps, effects, end, last, .. } = &replayed;
            eprintln!("{} bytes, {steps} inputs, {effects} effects, until {last:?}, {end}", bytes.len());
            replayed
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_logs_of_three_nodes_of_which_one_is_killed_replay_to_the_same_effects() {
    let _turn = turn();
    let mut mesh = recorded_mesh();
    let count = 200;
    let map = {
        let (owner, first) = (&mesh[0].0, &mesh[1].1.id);
        let map = owner.spin_map(&owner.spin_file(count, 20), &[]);
        eventually(JOB, "results flow and the first worker holds tasks", || {
            (map.lines_out() > 2 && owner.leased_to(first) > 0).then_some(())
        });
        map
    };
    mesh[1].1.process.kill9();
    assert_each_once(&map.finish(JOB), count);
    let counted = mesh[0].0.counter("committed");
    let mut logs = Vec::new();
    for (host, mut node) in mesh {
        if node.process.is_running() {
            node.process.terminate();
            assert_eq!(node.process.finish(JOB).code, Some(0));
        }
        logs.push(replayed(&host));
    }
    let ends: Vec<bool> = logs.iter().map(|log| matches!(log.end, LogEnd::Said(_))).collect();
    assert_eq!(ends, [true, false, true], "a killed node says no end");
    let snapshots: Vec<_> = logs.iter().map(|log| log.engine.snapshot()).collect();
    assert_eq!((counted, snapshots[0].counters.committed), (count as u64, count as u64));
    let executed: u64 = snapshots.iter().map(|snapshot| snapshot.counters.executed).sum();
    assert!(executed >= count as u64, "{executed} executions in the logs for {count} tasks");
    // The killed node may have lived too short a time for one of its timers to end between two messages.
    let mut stopped = logs.iter().filter(|log| matches!(log.end, LogEnd::Said(_)));
    assert!(stopped.all(|log| log.kinds.contains_key("time alone moves on")));
}

#[test]
fn a_log_that_exists_is_not_overwritten() {
    let _turn = turn();
    let host = Host::keyless();
    let path = host.path("node.log");
    std::fs::write(&path, b"mine").unwrap();
    let log = path.display().to_string();
    let ended = host.cli(&["node", "--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns", "--record", &log]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("--record") && ended.stderr.contains(&log), "{}", ended.stderr);
    assert_eq!(std::fs::read(Path::new(&path)).unwrap(), b"mine");
}
