//! Jobs that another node leads: found, read and changed by id from any node of the mesh, with real processes on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ChildStdin;
use std::time::Duration;

use serde_json::Value;
use support::{Ended, Host, Node, Proc, all_meet, assert_each_once, eventually, mesh_key, module, turn};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(20);
/// A job of some seconds' work has ended after this.
const JOB: Duration = Duration::from_secs(90);
/// Longer than travels inside a message: such an output is a blob.
const LONG_BYTES: usize = 100_000;

/// Nodes that have met: the first with two slots, the others with none, under these names.
fn start(names: &[&str]) -> Vec<(Host, Node)> {
    let key = mesh_key();
    let mut nodes: Vec<(Host, Node)> = Vec::new();
    for name in names {
        let host = Host::new(&key);
        let slots = if nodes.is_empty() { "2" } else { "0" };
        let mut args = vec!["--name", name, "--slots", slots];
        let peers: Vec<String> = nodes.iter().map(|(_, node)| node.address.clone()).collect();
        peers.iter().for_each(|peer| args.extend(["--peer", peer]));
        let node = host.loopback_node(&args);
        nodes.push((host, node));
    }
    let members: Vec<(&Host, &Node)> = nodes.iter().map(|(host, node)| (host, node)).collect();
    all_meet(&members, MEET);
    nodes
}

#[track_caller]
fn well(ended: Ended) -> Ended {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

/// Submits one task that gives back its input, and returns the job's id.
#[track_caller]
fn submit_echo(host: &Host, input: &[u8], flags: &[&str]) -> String {
    let echo = module("echo");
    let args = [&["submit", &echo, "--fn", "echo", "--level", "disk"], flags].concat();
    well(host.cli_with(&args, input)).stdout.trim().to_owned()
}

/// The job as a node shows it.
#[track_caller]
fn listed(host: &Host, flags: &[&str], job: &str) -> Option<Value> {
    let found = host.json(&[&["jobs", "--json"], flags].concat());
    let jobs = if flags.contains(&"--mesh") { &found["jobs"] } else { &found };
    jobs.as_array().unwrap().iter().find(|known| known["job"] == job).cloned()
}

#[test]
fn a_job_is_read_from_any_node_by_id_prefix_or_name() {
    let _turn = turn();
    let nodes = start(&["anna", "bert", "cleo"]);
    let [(anna, at), (bert, _), (cleo, _)] = nodes.as_slice() else { panic!("three nodes") };
    let long: Vec<u8> = (0..LONG_BYTES).map(|i| b'a' + u8::try_from(i % 23).unwrap()).collect();
    let job = submit_echo(anna, &long, &["--name", "friday"]);

    let waited = well(bert.cli(&["wait", "friday"]));
    assert!(waited.stderr.contains("1 task: 1 done"), "{waited:?}");
    let expected = format!("{}\n", String::from_utf8(long).unwrap());
    for name in [&job, &job[..6], "friday"] {
        for host in [anna, bert, cleo] {
            let results = well(host.cli(&["results", name]));
            assert!(results.stdout == expected, "the results of {name} are whole: {}", results.stderr);
        }
    }
    assert!(well(cleo.cli(&["attach", &job])).stdout == expected);
    let line: Value = serde_json::from_str(&well(cleo.cli(&["results", &job, "--json"])).stdout).unwrap();
    assert_eq!((line["index"].as_u64(), line["worker"].as_str()), (Some(0), Some(at.id.as_str())));

    // Each node lists its own, and everybody's with --mesh.
    assert_eq!(listed(bert, &[], &job), None);
    let seen = listed(bert, &["--mesh", "--name", "friday"], &job).unwrap();
    assert_eq!(
        (seen["owner"]["name"].as_str(), seen["leader"]["peer"].as_str()),
        (Some("anna"), Some(at.id.as_str()))
    );
    let table = well(bert.cli(&["jobs", "--mesh"])).stdout;
    assert!(table.contains("LED BY") && table.contains("anna"), "{table}");
    assert!(!well(anna.cli(&["jobs"])).stdout.contains("LED BY"), "all are its own");

    let nowhere = bert.cli(&["results", "0000000000000000"]);
    assert_eq!(nowhere.code, Some(125), "{nowhere:?}");
    assert!(
        nowhere.stderr.contains("no job 0000000000000000 on this node or one that is connected"),
        "{nowhere:?}"
    );
    // Two jobs of one name on two nodes are told apart by their ids.
    let other = submit_echo(cleo, b"other", &["--name", "friday"]);
    let both = bert.cli(&["results", "friday"]);
    assert!(both.code == Some(125) && both.stderr.contains("several jobs have the name friday"), "{both:?}");
    assert!(both.stderr.contains(&job) && both.stderr.contains(&other), "{both:?}");
    assert!(well(anna.cli(&["results", "friday"])).stdout == expected, "its own goes first");
}

/// What a node's API answers to a request without a body, as it comes.
#[track_caller]
fn raw(host: &Host, method: &str, path: &str) -> String {
    let api: Value = serde_json::from_slice(&std::fs::read(host.path("api.json")).unwrap()).unwrap();
    let [address, token] = ["address", "token"].map(|name| api[name].as_str().unwrap());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(MEET)).unwrap();
    let head = format!("host: {address}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{method} {path} HTTP/1.1\r\n{head}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_job_of_another_node_is_looked_at_without_its_body_too() {
    let _turn = turn();
    let nodes = start(&["anna", "bert"]);
    let [(anna, _), (bert, _)] = nodes.as_slice() else { panic!("two nodes") };
    let job = submit_echo(anna, b"one", &[]);
    well(bert.cli(&["wait", &job]));
    for (path, kind) in [("", "application/json"), ("/results", "application/x-ndjson")] {
        let path = format!("/v1/jobs/{job}{path}");
        let [whole, bare] = ["GET", "HEAD"].map(|method| raw(bert, method, &path));
        let [whole, bare] = [&whole, &bare].map(|answer| answer.split_once("\r\n\r\n").unwrap());
        assert!(!whole.1.is_empty() && bare.1.is_empty(), "{whole:?} {bare:?}");
        for (head, _) in [whole, bare] {
            assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(kind), "{head}");
        }
    }
    for (method, path) in [("GET", "cancel"), ("HEAD", "forget")] {
        let answer = raw(bert, method, &format!("/v1/jobs/{job}/{path}"));
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    }
}

#[test]
fn a_list_of_all_jobs_names_the_nodes_that_gave_no_answer() {
    let _turn = turn();
    let nodes = start(&["anna", "bert"]);
    let [(anna, _), (_, bert)] = nodes.as_slice() else { panic!("two nodes") };
    let list = || anna.json(&["jobs", "--mesh", "--json"]);
    assert_eq!(list(), serde_json::json!({ "jobs": [], "silent": [] }));
    // Until it counts as gone, it is asked.
    let stopped = |what: &str, look: &dyn Fn() -> bool| {
        eventually(JOB, what, || {
            eventually(MEET, "they meet", || anna.connected().contains(&bert.id).then_some(()));
            bert.process.stop();
            let said = look();
            bert.process.cont();
            said.then_some(())
        });
    };
    let named = serde_json::json!([{ "peer": bert.id, "name": "bert" }]);
    stopped("the list says who is silent", &|| list()["silent"] == named);
    stopped("and so does the table's page", &|| {
        let ended = well(anna.cli(&["jobs", "--mesh"]));
        ended.stderr.lines().any(|line| line.contains("no answer from bert"))
    });
    eventually(MEET, "it answers again", || list()["silent"].as_array().unwrap().is_empty().then_some(()));
}

#[test]
fn only_the_submitter_changes_a_job_unless_it_is_shared() {
    let _turn = turn();
    let nodes = start(&["anna", "bert"]);
    let [(anna, _), (bert, _)] = nodes.as_slice() else { panic!("two nodes") };
    let own = submit_echo(anna, b"own", &[]);
    well(bert.cli(&["wait", &own]));
    for verb in ["cancel", "retry", "forget"] {
        // An ended job need not be cancelled, so that is not even asked.
        let refused = bert.cli(&[verb, &own]);
        let is_refused =
            refused.code == Some(1) && refused.stderr.contains("submitted on node anna, and is not shared");
        assert!(is_refused || (verb == "cancel" && refused.code == Some(0)), "{verb}: {refused:?}");
    }
    let spin = anna.spin_file(1, 600_000);
    let args = ["submit", &module("spin"), "--fn", "spin", "--each-line", &spin, "--level", "disk"];
    let running = well(anna.cli(&args)).stdout.trim().to_owned();
    let refused = bert.cli(&["cancel", &running]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is not shared"), "{refused:?}");
    let seen = well(bert.cli(&["why", &running]));
    assert!(!seen.stdout.is_empty(), "{seen:?}");
    well(anna.cli(&["cancel", &running]));

    let shared = well(anna.cli(&[&args[..], &["--shared"]].concat())).stdout.trim().to_owned();
    assert_eq!(listed(bert, &["--mesh"], &shared).unwrap()["shared"], true);
    well(bert.cli(&["cancel", &shared]));
    let waited = bert.cli(&["wait", &shared]);
    assert!(waited.code == Some(130) && waited.stderr.contains("was cancelled"), "{waited:?}");
    well(bert.cli(&["retry", &shared]));
    well(bert.cli(&["cancel", &shared]));
    eventually(JOB, "it has ended", || (bert.cli(&["wait", &shared]).code == Some(130)).then_some(()));
    well(bert.cli(&["forget", &shared]));
    assert_eq!(listed(anna, &[], &shared), None);
    let gone = anna.cli(&["wait", &shared]);
    assert!(gone.stderr.contains(&format!("job {shared} was here and was forgotten")), "{}", gone.stderr);
}

#[test]
fn results_flow_through_another_node_while_the_job_runs() {
    let _turn = turn();
    let nodes = start(&["anna", "bert"]);
    let [(anna, _), (bert, _)] = nodes.as_slice() else { panic!("two nodes") };
    let spin = anna.spin_file(300, 20);
    let args = ["submit", &module("spin"), "--fn", "spin", "--each-line", &spin, "--level", "disk"];
    let job = well(anna.cli(&args)).stdout.trim().to_owned();
    let attached = bert.spawn(&["attach", &job, "--json"]);
    eventually(JOB, "results come while the job runs", || (attached.lines_out() > 0).then_some(()));
    assert_each_once(&attached.finish(JOB), 300);
}

#[test]
fn a_node_that_is_alone_says_that_a_job_is_unknown() {
    let _turn = turn();
    let nodes = start(&["anna"]);
    let [(anna, _)] = nodes.as_slice() else { panic!("one node") };
    let unknown = anna.cli(&["wait", "friday"]);
    assert!(unknown.code == Some(125) && unknown.stderr.contains("no job friday"), "{unknown:?}");
}

/// The spin tasks of that node's job have all been handed in.
#[track_caller]
fn until_handed_in(host: &Host, tasks: u64) -> String {
    eventually(JOB, "all inputs are handed in, and some results are there", || {
        let jobs = host.json(&["jobs", "--json"]);
        let job = jobs.as_array()?.iter().find(|job| job["state"] == "running" && job["tasks"] == tasks)?;
        (job["done"].as_u64()? > 3).then(|| job["job"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_map_goes_on_when_its_node_is_started_again() {
    let _turn = turn();
    let host = Host::keyless();
    let start = || host.loopback_node(&["--slots", "2"]);
    let mut node = start();
    let map = host.spin_map(&host.spin_file(200, 30), &["--level", "disk"]);
    until_handed_in(&host, 200);
    node.process.kill9();
    map.wait_for("is looked for again", JOB);
    let _again = start();
    assert_each_once(&map.finish(JOB), 200);
}

/// A client that is handed its inputs while it runs: each is another spin task of some milliseconds.
struct Feeding {
    client: Proc,
    stdin: ChildStdin,
    written: usize,
}

impl Feeding {
    fn start(host: &Host, verb: &str, flags: &[&str]) -> Self {
        let spin = module("spin");
        let args = [&[verb, &spin, "--fn", "spin", "--each-line", "-"], flags].concat();
        let (client, stdin) = host.spawn_open(&args);
        Self { client, stdin, written: 0 }
    }

    fn write(&mut self, count: usize) {
        let lines: String =
            (self.written..self.written + count).map(|index| format!("{}\n", 5_000_000 + index)).collect();
        self.stdin.write_all(lines.as_bytes()).unwrap();
        self.stdin.flush().unwrap();
        self.written += count;
    }

    /// The job that these inputs are of is open, and has results.
    #[track_caller]
    fn until_under_way(host: &Host) -> String {
        eventually(JOB, "some tasks ended, and inputs may come", || {
            let jobs = host.json(&["jobs", "--json"]);
            let job = jobs.as_array()?.iter().find(|job| job["open"] == true)?;
            (job["done"].as_u64()? > 3).then(|| job["job"].as_str().unwrap().to_owned())
        })
    }

    /// All inputs were written; how the client ended.
    fn finish(self) -> (Ended, usize) {
        drop(self.stdin);
        (self.client.finish(JOB), self.written)
    }
}

#[test]
fn a_map_goes_on_with_the_rest_of_its_inputs_when_its_node_is_started_again() {
    let _turn = turn();
    let host = Host::keyless();
    let start = || host.loopback_node(&["--slots", "2"]);
    let mut node = start();
    let mut map = Feeding::start(&host, "map", &["--level", "disk", "--json"]);
    for life in 1..=3 {
        map.write(40);
        Feeding::until_under_way(&host);
        // Some of these are on their way when it ends.
        map.write(700);
        node.process.kill9();
        eventually(JOB, "its job is looked for again", || {
            (map.client.said_times("is looked for again") >= life).then_some(())
        });
        map.write(10);
        node = start();
        eventually(JOB, "it goes on", || (map.client.said_times("goes on") >= life).then_some(()));
    }
    let (ended, written) = map.finish();
    assert_each_once(&ended, written);
}

#[test]
fn a_submission_goes_on_with_the_rest_of_its_inputs_when_its_node_is_started_again() {
    let _turn = turn();
    let host = Host::keyless();
    let start = || host.loopback_node(&["--slots", "2"]);
    let mut node = start();
    let mut submission = Feeding::start(&host, "submit", &["--level", "disk"]);
    for _ in 0..2 {
        submission.write(40);
        Feeding::until_under_way(&host);
        submission.write(700);
        node.process.kill9();
        submission.write(10);
        node = start();
        Feeding::until_under_way(&host);
    }
    let (ended, written) = submission.finish();
    let job = well(ended).stdout.trim().to_owned();
    well(host.cli(&["wait", &job]));
    assert_each_once(&host.cli(&["results", &job, "--json"]), written);
}

#[test]
fn a_map_at_level_mesh_goes_on_when_its_node_was_away_while_another_led_its_job() {
    let _turn = turn();
    let mut nodes = start(&["anna", "bert", "cleo"]);
    let peers = [nodes[1].1.address.clone(), nodes[2].1.address.clone()];
    let mut map = Feeding::start(&nodes[0].0, "map", &["--level", "mesh", "--json"]);
    map.write(40);
    let job = Feeding::until_under_way(&nodes[0].0);
    map.write(100);
    nodes[0].1.process.kill9();
    map.client.wait_for("is looked for again", JOB);
    eventually(JOB, "another node leads it", || {
        let seen = listed(&nodes[1].0, &["--mesh"], &job)?;
        (seen["leader"]["peer"].as_str()? != nodes[0].1.id).then_some(())
    });
    let flags = ["--name", "anna", "--slots", "2", "--peer", &peers[0], "--peer", &peers[1]];
    nodes[0].1 = nodes[0].0.loopback_node(&flags);
    map.client.wait_for("goes on", JOB);
    map.write(30);
    let (ended, written) = map.finish();
    assert_each_once(&ended, written);
}

#[test]
fn clients_of_another_node_go_on_when_the_leader_is_started_again() {
    let _turn = turn();
    let mut nodes = start(&["anna", "bert"]);
    let spin = nodes[0].0.spin_file(200, 30);
    let args = ["submit", &module("spin"), "--fn", "spin", "--each-line", &spin, "--level", "disk"];
    let job = well(nodes[0].0.cli(&args)).stdout.trim().to_owned();
    let attached = nodes[1].0.spawn(&["attach", &job, "--json"]);
    let waiting = nodes[1].0.spawn(&["wait", &job]);
    eventually(JOB, "results come", || (attached.lines_out() > 3).then_some(()));
    nodes[0].1.process.kill9();
    attached.wait_for("is looked for again", JOB);
    let peer = nodes[1].1.address.clone();
    nodes[0].1 = nodes[0].0.loopback_node(&["--name", "anna", "--slots", "2", "--peer", &peer]);
    assert_each_once(&attached.finish(JOB), 200);
    let waited = well(waiting.finish(JOB));
    assert!(waited.stderr.contains("200 done"), "{waited:?}");
}
