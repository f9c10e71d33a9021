//! `weft events` with real processes: all that becomes of a job is told in order, once, from any offset on; and what a node lost with
//! its process is told to be missing.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use support::{Host, all_meet, eventually, mesh_key, module, turn};

/// Some seconds' work has got on after this, whatever happened to its node.
const WORK: Duration = Duration::from_secs(180);

/// Events as lines of JSON.
#[track_caller]
fn events(host: &Host, args: &[&str]) -> Vec<Value> {
    let ended = host.spawn(&[&["events", "--json"], args].concat()).finish(WORK);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// How often each kind is there.
fn kinds(events: &[Value]) -> BTreeMap<&str, usize> {
    let mut kinds = BTreeMap::new();
    for event in events {
        *kinds.entry(event["event"].as_str().unwrap()).or_default() += 1;
    }
    kinds
}

#[track_caller]
fn assert_grow(events: &[Value]) {
    let offsets: Vec<u64> = events.iter().map(|event| event["offset"].as_u64().unwrap()).collect();
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
}

/// Submits a job of that many lines at level disk; its id.
#[track_caller]
fn submit(host: &Host, lines: usize) -> String {
    let path = host.path("lines.txt");
    fs::write(&path, "a\n".repeat(lines)).unwrap();
    let path = path.display().to_string();
    let ended = host.cli(&[
        "submit",
        &module("echo"),
        "--fn",
        "upper",
        "--each-line",
        &path,
        "--level",
        "disk",
        "--no-memo",
    ]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

#[test]
fn each_event_of_a_job_is_told_once_and_from_any_offset_on() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "2"]);
    let job = submit(&host, 50);
    // To its end, though it may still run; another job's are not among them.
    let all = events(&host, &[&job, "--follow"]);
    submit(&host, 3);
    let expected = BTreeMap::from([("submitted", 1), ("leased", 50), ("task_ended", 50), ("job_ended", 1)]);
    assert_eq!(kinds(&all), expected);
    assert_grow(&all);
    assert_eq!(
        (all[0]["event"].as_str(), all[101]["event"].as_str()),
        (Some("submitted"), Some("job_ended"))
    );
    assert_eq!(all[101]["done"], 50);
    for index in 0..50 {
        let of_task =
            |kind: &str| all.iter().position(|event| event["event"] == kind && event["index"] == index);
        assert!(of_task("leased").unwrap() < of_task("task_ended").unwrap(), "task {index}");
    }
    // Again, and from the middle.
    assert_eq!(events(&host, &[&job]), all);
    let from = all[60]["offset"].as_u64().unwrap().to_string();
    assert_eq!(events(&host, &[&job, "--from", &from]), all[60..]);
    let words = host.cli(&["events", &job]);
    assert!(
        words.stdout.lines().last().unwrap().ends_with("done: 50 done, 0 failed, 0 cancelled"),
        "{}",
        words.stdout
    );
    let unknown = host.cli(&["events", "0123456789abcdef"]);
    assert!(
        unknown.code == Some(1) && unknown.stderr.contains("no job 0123456789abcdef"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_watch_goes_on_over_a_restart_and_says_what_is_missing() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    // Nothing can run here yet.
    let mut node = host.loopback_node(&["--slots", "0"]);
    let job = submit(&host, 20);
    let before = events(&host, &[&job]);
    assert_eq!(kinds(&before), BTreeMap::from([("submitted", 1)]));
    let watch = host.spawn(&["events", &job, "--follow", "--json"]);
    eventually(WORK, "the watch has begun", || (watch.lines_out() > 0).then_some(()));
    node.process.kill9();
    let _node = host.loopback_node(&["--slots", "2"]);
    let ended = watch.finish(WORK);
    let all: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = BTreeMap::from([
        ("submitted", 1),
        ("missed", 1),
        ("led", 1),
        ("leased", 20),
        ("task_ended", 20),
        ("job_ended", 1),
    ]);
    assert_eq!((ended.code, kinds(&all)), (Some(0), expected), "{}", ended.stderr);
    // Offsets grow over the restart: what was read before is not read again.
    assert_grow(&all.into_iter().filter(|event| event["event"] != "missed").collect::<Vec<_>>());
    let from = before[0]["offset"].as_u64().unwrap().to_string();
    let later = events(&host, &[&job, "--from", &from]);
    assert_eq!(later[0]["event"], "missed");
}

#[test]
fn a_lost_worker_is_told_with_the_tasks_that_it_had() {
    let _turn = turn();
    let key = mesh_key();
    let (host, other) = (Host::new(&key), Host::new(&key));
    let node = host.loopback_node(&["--slots", "0"]);
    let mut worker = other.loopback_node(&["--slots", "1", "--peer", &node.address]);
    all_meet(&[(&host, &node), (&other, &worker)], WORK);
    let spin = host.spin_file(1, 60_000);
    let job =
        host.cli(&["submit", &module("spin"), "--each-line", &spin, "--timeout", "5m", "--level", "disk"]);
    assert_eq!(job.code, Some(0), "{}", job.stderr);
    let job = job.stdout.trim().to_owned();
    let has = |kind: &str, args: &[&str]| {
        eventually(WORK, kind, || {
            let all = events(&host, args);
            all.iter().find(|event| event["event"] == kind).cloned()
        })
    };
    let leased = has("leased", &[&job]);
    worker.process.kill9();
    let lost = has("lease_lost", &[&job]);
    assert_eq!((&lost["index"], &lost["worker"]), (&leased["index"], &leased["worker"]));
    let down = has("node_down", &[]);
    let up = has("node_up", &[]);
    assert_eq!((&down["peer"], &up["peer"]), (&leased["worker"], &leased["worker"]));
    host.cli(&["cancel", &job]);
}
