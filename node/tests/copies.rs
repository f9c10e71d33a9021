//! With two nodes a job at level `disk` has a copy: its node is killed for good in the middle of it, the other one shows what the
//! copy has, and makes another job of it when a person says so. Two real processes.
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

use serde_json::Value;
use support::work::{Work, assert_results};
use support::{Host, Node, all_meet, eventually, mesh_key, module, turn};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(20);
/// A job of some seconds' work has got on after this.
const JOB: Duration = Duration::from_secs(180);

/// Two nodes that know each other.
struct Pair {
    hosts: [Host; 2],
    nodes: [Option<Node>; 2],
}

impl Pair {
    #[track_caller]
    fn start() -> Self {
        let key = mesh_key();
        let hosts = [(); 2].map(|()| Host::new(&key));
        let first = hosts[0].loopback_node(&["--slots", "1"]);
        let second = hosts[1].loopback_node(&["--slots", "1", "--peer", &first.address]);
        all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
        Self { hosts, nodes: [Some(first), Some(second)] }
    }

    /// Submits a job at the first node, which says that the other one has a copy.
    #[track_caller]
    fn submit(&self, work: &Work) -> String {
        let host = &self.hosts[0];
        let path = host.path("lines.txt");
        fs::write(&path, &work.lines).unwrap();
        let file = path.display().to_string();
        let ended = host.cli(&["submit", &module("spin"), "--fn", "spin", "--each-line", &file]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains(", a copy at "), "{}", ended.stderr);
        ended.stdout.trim().to_owned()
    }

    fn kill9(&mut self, place: usize) {
        self.nodes[place].take().unwrap().process.kill9();
    }

    #[track_caller]
    fn restart(&mut self, place: usize) {
        let others = self.nodes.iter().flatten().map(|node| node.address.clone()).collect::<Vec<_>>();
        let mut args = vec!["--slots", "1"];
        others.iter().for_each(|address| args.extend(["--peer", address.as_str()]));
        self.nodes[place] = Some(self.hosts[place].loopback_node(&args));
    }

    /// A job as a node shows it, if it does.
    fn job(&self, place: usize, job: &str) -> Option<Value> {
        let jobs = self.hosts[place].json(&["jobs", "--all", "--json"]);
        jobs.as_array()?.iter().find(|found| found["job"] == job).cloned()
    }

    /// Tasks that ended, as a node shows them; of a copy those that it has.
    fn ended(&self, place: usize, job: &str) -> u64 {
        self.job(place, job).map_or(0, |shown| {
            ["done", "failed", "cancelled"].iter().filter_map(|of| shown[of].as_u64()).sum()
        })
    }

    #[track_caller]
    fn assert_results_at(&self, place: usize, job: &str, work: &Work) {
        let waited = self.hosts[place].spawn(&["wait", job]).finish(JOB);
        assert_eq!(waited.code, Some(work.failures()), "{}", waited.stderr);
        assert_results(job, work, &self.hosts[place].cli(&["results", job, "--json"]));
    }

    #[track_caller]
    fn wait_alone(&self, place: usize) {
        eventually(MEET, "the other is gone", || self.hosts[place].connected().is_empty().then_some(()));
    }
}

#[test]
fn the_node_that_has_a_copy_shows_it_and_makes_a_new_job_of_it_when_a_person_says_so() {
    let _turn = turn();
    let mut pair = Pair::start();
    let work = Work::mixed(120);
    let job = pair.submit(&work);
    eventually(JOB, "the copy gets on", || (pair.ended(1, &job) > 10).then_some(()));
    let refused = pair.hosts[1].cli(&["adopt", &job, "--force"]);
    assert!(refused.code == Some(125) && refused.stderr.contains("leads job"), "{}", refused.stderr);
    pair.kill9(0);
    pair.wait_alone(1);
    let shown = pair.job(1, &job).unwrap();
    assert_eq!((shown["state"].as_str(), shown["leader"]["peer"].as_str()), (Some("running"), Some("")));
    let results = pair.hosts[1].cli(&["results", &job, "--json"]);
    assert_eq!(results.stdout.lines().count() as u64, pair.ended(1, &job), "{}", results.stderr);
    assert!(results.stderr.contains("from another node's copy"), "{}", results.stderr);
    let asked = pair.hosts[1].cli(&["adopt", &job]);
    assert!(asked.code == Some(125) && asked.stderr.contains("would be made anew"), "{}", asked.stderr);
    let adopted = pair.hosts[1].cli(&["adopt", &job, "--force"]);
    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
    assert!(adopted.stderr.contains("after the copy's last record is not in it"), "{}", adopted.stderr);
    let heir = adopted.stdout.trim().to_owned();
    pair.assert_results_at(1, &heir, &work);
    // It was not gone for good: the old job goes on under its own id, and the copy with it.
    pair.restart(0);
    pair.assert_results_at(0, &job, &work);
    eventually(JOB, "the copy has all of it", || (pair.ended(1, &job) == 120).then_some(()));
}

#[test]
fn a_copy_that_was_away_catches_up_and_is_forgotten_with_its_job() {
    let _turn = turn();
    let mut pair = Pair::start();
    let work = Work::mixed(40);
    let job = pair.submit(&work);
    eventually(JOB, "the copy gets on", || (pair.ended(1, &job) > 3).then_some(()));
    pair.kill9(1);
    pair.assert_results_at(0, &job, &work);
    pair.restart(1);
    eventually(JOB, "the copy catches up", || (pair.ended(1, &job) == 40).then_some(()));
    pair.kill9(1);
    pair.wait_alone(0);
    let forgotten = pair.hosts[0].cli(&["forget", &job]);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.stderr);
    pair.kill9(0);
    pair.restart(0);
    pair.restart(1);
    eventually(JOB, "the copy is forgotten", || pair.job(1, &job).is_none().then_some(()));
}
