//! Jobs that take the results of other jobs as their inputs, with real processes: a chain of three on one node that is killed in
//! the middle, and two jobs on three nodes of which the one that they were submitted to is lost for good. Every result is there
//! once and is made of the right one.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::fs;
use std::time::Duration;

use futures::StreamExt as _;
use support::work::{self, Work};
use support::{Host, all_meet, eventually, mesh_key, module, turn};
use weft_client::{Level, Mesh, Outcome, Task};

/// Some seconds' work has got on after this, whatever happened to its nodes.
const WORK: Duration = Duration::from_secs(180);
/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(20);

/// Submits a job of that module and function; its id.
#[track_caller]
fn submit(host: &Host, name: &str, function: &str, args: &[&str]) -> String {
    let ended = host.cli(&[&["submit", &module(name), "--fn", function], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// A file with these lines.
fn file(host: &Host, lines: &str) -> String {
    let path = host.path("lines.txt");
    fs::write(&path, lines).unwrap();
    path.display().to_string()
}

/// Tasks of a job that are done, as a node knows it.
fn done(host: &Host, job: &str) -> u64 {
    let jobs = host.json(&["jobs", "--all", "--json"]);
    let found = jobs.as_array().unwrap().iter().find(|found| found["job"] == job);
    found.map_or(0, |found| found["done"].as_u64().unwrap())
}

/// That each task of a job has one result, made of the parent's; where the parent's task failed, it is skipped.
#[track_caller]
fn assert_results(host: &Host, job: &str, work: &Work, made: impl Fn(&str) -> String) {
    let work = work.of_results(made);
    let waited = host.spawn(&["wait", job]).finish(WORK);
    assert_eq!(waited.code, Some(work.failures()), "{}", waited.stderr);
    work::assert_results(job, &work, &host.cli(&["results", job, "--json"]));
}

#[test]
fn a_chain_of_jobs_goes_on_where_its_node_is_killed() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&["--slots", "2"]);
    // More than is done by the time that a loaded machine takes to look.
    let work = Work::mixed(1000);
    let file = file(&host, &work.lines);
    let first = submit(&host, "spin", "spin", &["--each-line", &file]);
    let second = submit(&host, "echo", "upper", &["--each-result", &first]);
    let third = submit(&host, "echo", "echo", &["--each-result", &second]);
    eventually(WORK, "some results are through the chain", || (done(&host, &third) >= 10).then_some(()));
    assert!(done(&host, &first) < 900, "tasks begin while the job before still runs");
    node.process.kill9();
    let _node = host.loopback_node(&["--slots", "2"]);
    let upper = |output: &str| output.to_uppercase();
    assert_results(&host, &second, &work, upper);
    assert_results(&host, &third, &work, upper);
}

#[test]
fn a_job_that_was_read_gives_its_results_to_another_one() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "2"]);
    let file = file(&host, "one\ntwo\nthree\n");
    let first = submit(&host, "echo", "upper", &["--each-line", &file]);
    assert_eq!(host.spawn(&["wait", &first]).finish(WORK).code, Some(0));
    // Each reading is noted in the log of the job.
    assert_eq!(host.cli(&["results", &first]).stdout, host.cli(&["results", &first]).stdout);
    let second = submit(&host, "echo", "echo", &["--each-result", &first]);
    let waited = host.spawn(&["wait", &second]).finish(WORK);
    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
    assert_eq!(host.cli(&["results", &second]).stdout, "ONE\nTWO\nTHREE\n");
}

#[test]
fn jobs_with_results_of_others_end_elsewhere_when_their_node_is_lost() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 3].map(|()| Host::new(&key));
    let mut first = hosts[0].loopback_node(&["--slots", "1"]);
    let second = hosts[1].loopback_node(&["--slots", "1", "--peer", &first.address]);
    let third =
        hosts[2].loopback_node(&["--slots", "1", "--peer", &first.address, "--peer", &second.address]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second), (&hosts[2], &third)], MEET);
    let work = Work::mixed(120);
    let file = file(&hosts[0], &work.lines);
    let parent = submit(&hosts[0], "spin", "spin", &["--each-line", &file, "--level", "mesh"]);
    let child = submit(&hosts[0], "echo", "upper", &["--each-result", &parent]);
    eventually(WORK, "some results are through", || (done(&hosts[0], &child) >= 10).then_some(()));
    first.process.kill9();
    assert_results(&hosts[1], &child, &work, |output| output.to_uppercase());
}

#[test]
fn what_can_not_take_results_is_told_why() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "1"]);
    let file = file(&host, "1\n");
    let memory = submit(&host, "spin", "spin", &["--each-line", &file, "--level", "memory"]);
    let echo = module("echo");
    let refused = |args: &[&str]| {
        let ended = host.cli(&[&["submit", &echo, "--fn", "echo"], args].concat());
        (ended.code, ended.stderr)
    };
    let (code, said) = refused(&["--each-result", &memory]);
    assert!(code == Some(1) && said.contains("is in memory, where results are not kept"), "{said}");
    let (code, said) = refused(&["--each-result", "0123456789abcdef"]);
    assert!(code == Some(1) && said.contains("0123456789abcdef"), "{said}");
    let (code, said) = refused(&["--each-result", &memory, "--each-line", &file]);
    assert!(code == Some(2) && said.contains("--each-result"), "{said}");
}

#[test]
fn a_map_over_results_goes_on_when_its_node_is_back() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&["--slots", "2"]);
    let work = Work::mixed(400);
    let file = file(&host, &work.lines);
    let parent = submit(&host, "spin", "spin", &["--each-line", &file]);
    let task = Task::function(fs::read(module("echo")).unwrap(), "upper");
    let task = task.each_result_of(parent).level(Level::Disk);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let mesh = Mesh::connect_in(&host.path("")).await.unwrap();
        let mut results = mesh.map_iter(&task, Vec::<Vec<u8>>::new()).await.unwrap();
        let mut told = vec![results.next().await.unwrap().unwrap()];
        node.process.kill9();
        node = host.loopback_node(&["--slots", "2"]);
        while let Some(result) = results.next().await {
            told.push(result.unwrap());
        }
        assert!(results.has_ended());
        told
    });
    let mut indices: Vec<u32> = told.iter().map(|result| result.index).collect();
    indices.sort_unstable();
    assert_eq!(indices, (0..400).collect::<Vec<u32>>(), "each once");
    let done = told.iter().filter(|result| result.outcome == Outcome::Done).count();
    assert_eq!(done, work.outputs.iter().flatten().count());
}
