//! Jobs at level `mesh` outlive any one node: three real processes, of which the one that the job was submitted to is killed in
//! the middle of it. The job ends at another node, every result is there once and is the right one, and the node leads the job
//! again when it comes back.
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
/// A job of some seconds' work has got on after this, whatever happened to its nodes: another one takes over within 20 s.
const JOB: Duration = Duration::from_secs(180);

/// Three nodes that know each other.
struct Trio {
    key: String,
    hosts: [Host; 3],
    nodes: [Option<Node>; 3],
}

impl Trio {
    #[track_caller]
    fn start() -> Self {
        let key = mesh_key();
        let hosts = [(); 3].map(|()| Host::new(&key));
        let first = hosts[0].loopback_node(&["--slots", "1"]);
        let second = hosts[1].loopback_node(&["--slots", "1", "--peer", &first.address]);
        let third =
            hosts[2].loopback_node(&["--slots", "1", "--peer", &first.address, "--peer", &second.address]);
        all_meet(&[(&hosts[0], &first), (&hosts[1], &second), (&hosts[2], &third)], MEET);
        Self { key, hosts, nodes: [Some(first), Some(second), Some(third)] }
    }

    /// Submits a job at the first node. It is accepted when this returns.
    #[track_caller]
    fn submit(&self, work: &Work) -> String {
        let host = &self.hosts[0];
        let path = host.path("lines.txt");
        fs::write(&path, &work.lines).unwrap();
        let file = path.display().to_string();
        // Three nodes that keep jobs are there, so that this is the level.
        let ended = host.cli(&["submit", &module("spin"), "--fn", "spin", "--each-line", &file]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let job = ended.stdout.trim().to_owned();
        let shown = self.job(0, &job).unwrap();
        let keepers = shown["keepers"].as_array().map(Vec::len);
        assert_eq!((shown["level"].as_str(), keepers), (Some("mesh"), Some(3)), "{shown}: {}", ended.stderr);
        job
    }

    fn kill9(&mut self, place: usize) {
        self.nodes[place].take().unwrap().process.kill9();
    }

    /// Starts a node again, in its own directory.
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

    /// Tasks of a job that have ended, as a node knows it.
    fn ended(&self, place: usize, job: &str) -> u64 {
        let shown = self.job(place, job);
        let count = |name: &str| shown.as_ref().map_or(0, |shown| shown[name].as_u64().unwrap());
        count("done") + count("failed")
    }

    /// Whether a node leads a job, by its own word.
    fn leads(&self, place: usize, job: &str) -> bool {
        let (Some(node), Some(shown)) = (&self.nodes[place], self.job(place, job)) else { return false };
        shown["leader"]["peer"] == node.id
    }

    /// That a node makes no new job of this one, and says why.
    #[track_caller]
    fn assert_not_adopted(&self, place: usize, args: &[&str], why: &str) {
        let refused = self.hosts[place].cli(&[&["adopt"], args].concat());
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(125), ""), "{}", refused.stderr);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }

    /// Makes a new job of this one at a node; its id.
    #[track_caller]
    fn adopt(&self, place: usize, job: &str) -> String {
        let adopted = self.hosts[place].cli(&["adopt", job, "--force"]);
        assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
        let doubts = [format!("job {job} is left as it is"), String::from("may not be among them")];
        assert!(doubts.iter().all(|doubt| adopted.stderr.contains(doubt.as_str())), "{}", adopted.stderr);
        let heir = adopted.stdout.trim().to_owned();
        let shown = self.job(place, &heir).unwrap();
        let whose = (shown["owner"]["peer"].as_str(), shown["labels"]["adopted-from"].as_str());
        assert_eq!(whose, (self.nodes[place].as_ref().map(|node| node.id.as_str()), Some(job)), "{shown}");
        assert!(heir != job && shown["level"] == "disk", "{shown}");
        heir
    }

    /// That a node tells every result of a job once, and right, wherever the job is led.
    #[track_caller]
    fn assert_results_at(&self, place: usize, job: &str, work: &Work) {
        let waited = self.hosts[place].spawn(&["wait", job]).finish(JOB);
        assert_eq!(waited.code, Some(work.failures()), "{}", waited.stderr);
        assert_results(job, work, &self.hosts[place].cli(&["results", job, "--json"]));
    }
}

#[test]
fn a_job_at_level_mesh_ends_elsewhere_when_its_node_is_killed_for_good() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(120);
    let job = trio.submit(&work);
    eventually(JOB, "the job gets on", || (trio.ended(0, &job) > 10).then_some(()));
    trio.kill9(0);
    trio.assert_results_at(1, &job, &work);
    trio.assert_results_at(2, &job, &work);
    // It comes back, and tells the same.
    trio.restart(0);
    trio.assert_results_at(0, &job, &work);
}

#[test]
fn a_node_that_comes_back_leads_its_job_again() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(240);
    let job = trio.submit(&work);
    eventually(JOB, "the job gets on", || (trio.ended(0, &job) > 10).then_some(()));
    let before = trio.ended(0, &job);
    trio.kill9(0);
    eventually(JOB, "another node takes over", || (trio.leads(1, &job) || trio.leads(2, &job)).then_some(()));
    trio.restart(0);
    eventually(JOB, "its owner leads it again", || trio.leads(0, &job).then_some(()));
    assert!(trio.ended(0, &job) >= before, "what was told is known still");
    trio.assert_results_at(0, &job, &work);
    trio.assert_results_at(2, &job, &work);
    // There is no fourth node that could take its place.
    let drained = trio.hosts[1].cli(&["drain", "--wait"]);
    assert_eq!(drained.code, Some(0), "{}", drained.stderr);
    let left = "its disk still has a place in 1 job at level mesh, which no other node can take now";
    assert!(drained.stderr.contains(left), "{}", drained.stderr);
}

#[test]
fn a_machine_that_goes_for_good_leaves_its_places_to_others() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(60);
    let job = trio.submit(&work);
    let fourth = Host::new(&trio.key);
    let addresses: Vec<String> = trio.nodes.iter().flatten().map(|node| node.address.clone()).collect();
    let peers = addresses.iter().flat_map(|address| ["--peer", address.as_str()]);
    let node = fourth.loopback_node(&peers.collect::<Vec<_>>());
    eventually(MEET, "the fourth node can keep jobs", || {
        let known = trio.hosts[1].json(&["peers", "--json"]);
        let can =
            |peer: &Value| peer["peer"] == node.id && peer["connected"] == true && peer["keeps"] == true;
        known.as_array()?.iter().any(can).then_some(())
    });
    let leaves = trio.hosts[1].spawn(&["drain", "--leave"]).finish(JOB);
    assert_eq!(leaves.code, Some(0), "{}", leaves.stderr);
    assert!(leaves.stderr.contains("waits for other nodes to take its place in 1 job"), "{}", leaves.stderr);
    assert!(!leaves.stderr.contains("its disk still has"), "{}", leaves.stderr);
    let shown = trio.job(0, &job).unwrap();
    let keeps = |id: &str| shown["keepers"].as_array().unwrap().iter().any(|keeper| keeper["peer"] == id);
    assert!(keeps(&node.id) && !keeps(&trio.nodes[1].as_ref().unwrap().id), "{shown}");
    // The next one goes without a word.
    trio.kill9(1);
    trio.kill9(2);
    trio.assert_results_at(0, &job, &work);
}

#[test]
fn a_node_that_is_told_to_end_has_another_lead_its_job_and_says_so() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(240);
    let job = trio.submit(&work);
    let node = trio.nodes[0].take().unwrap();
    node.process.terminate();
    node.process.wait_for("1 job at level mesh is led by another node now", JOB);
    // It has promised to, and shows it once it has read its log.
    eventually(JOB, "the other node shows that it leads", || {
        (trio.leads(1, &job) || trio.leads(2, &job)).then_some(())
    });
    let ended = node.process.finish(JOB);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("end with this node"), "nothing is lost: {}", ended.stderr);
    trio.assert_results_at(1, &job, &work);
}

#[test]
fn the_last_node_that_keeps_a_job_makes_a_new_one_of_it_when_a_person_says_so() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(120);
    let job = trio.submit(&work);
    eventually(JOB, "the job gets on", || (trio.ended(0, &job) > 10).then_some(()));
    trio.assert_not_adopted(2, &[&job, "--force"], "leads job");
    trio.assert_not_adopted(2, &["0123456789abcdef", "--force"], "no copy");
    trio.kill9(0);
    trio.kill9(1);
    eventually(MEET, "the others are gone", || trio.hosts[2].connected().is_empty().then_some(()));
    trio.assert_not_adopted(2, &[&job], "would be made anew");
    let heir = trio.adopt(2, &job);
    trio.assert_results_at(2, &heir, &work);
    trio.assert_not_adopted(2, &[&job, "--force"], &format!("adopted here before, as job {heir}"));
    // The others were not gone for good: the old job goes on under its own id.
    trio.restart(0);
    trio.restart(1);
    trio.assert_results_at(2, &job, &work);
    trio.assert_results_at(0, &heir, &work);
}

#[test]
fn the_owner_alone_makes_a_new_job_too() {
    let _turn = turn();
    let mut trio = Trio::start();
    let work = Work::mixed(60);
    let job = trio.submit(&work);
    eventually(JOB, "the job gets on", || (trio.ended(0, &job) > 10).then_some(()));
    trio.assert_not_adopted(0, &[&job, "--force"], "leads job");
    trio.kill9(1);
    trio.kill9(2);
    // It says so once it knows that they are gone.
    eventually(MEET, "the others are gone", || trio.hosts[0].connected().is_empty().then_some(()));
    let heir = trio.adopt(0, &job);
    trio.assert_results_at(0, &heir, &work);
}
