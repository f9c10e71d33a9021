//! Real nodes as processes of this machine, on loopback, driven by the command line as a user drives them: they meet,
//! run tasks, are killed, stopped, restarted, copied and shouted at.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it measured"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Host, Node, Proc, all_meet, assert_each_once, eventually, mesh_key, module, turn};

/// Nodes that were told of each other have met after this.
const MEET: Duration = Duration::from_secs(5);
/// A map of some seconds' work has ended after this, whatever happened to its workers.
const JOB: Duration = Duration::from_secs(60);

/// A node without slots that hands out work, and workers with one slot each; all have met.
struct Mesh {
    owner: (Host, Node),
    workers: Vec<(Host, Node)>,
}

impl Mesh {
    #[track_caller]
    fn start(workers: usize) -> Self {
        let key = mesh_key();
        let host = Host::new(&key);
        let node = host.loopback_node(&["--slots", "0"]);
        let join = |_| {
            let host = Host::new(&key);
            let worker = host.loopback_node(&["--slots", "1", "--peer", &node.address]);
            (host, worker)
        };
        let workers: Vec<_> = (0..workers).map(join).collect();
        let mesh = Self { owner: (host, node), workers };
        all_meet(&mesh.members(), MEET);
        mesh
    }

    fn members(&self) -> Vec<(&Host, &Node)> {
        [&self.owner].into_iter().chain(&self.workers).map(|(host, node)| (host, node)).collect()
    }

    /// Starts a map of `count` tasks and waits until the first worker holds some of them and results flow.
    #[track_caller]
    fn map_under_way(&self, count: usize, task_ms: usize, flags: &[&str]) -> Proc {
        let host = &self.owner.0;
        let map = host.spin_map(&host.spin_file(count, task_ms), flags);
        let first = &self.workers[0].1.id;
        eventually(JOB, "results flow and the first worker holds tasks", || {
            (map.lines_out() > 2 && host.leased_to(first) > 0).then_some(())
        });
        map
    }

    /// No node runs, holds or reserves anything any more.
    #[track_caller]
    fn assert_idle(&self, deadline: Duration) {
        for (host, _) in &self.workers {
            eventually(deadline, "the worker has nothing to do", || {
                let status = host.json(&["status", "--json"]);
                let all = ["running", "waiting", "reserved", "undelivered"];
                all.iter().all(|name| status[name] == 0).then_some(())
            });
        }
    }

    /// Every task of the ended map was reported once, and the owner's books agree.
    #[track_caller]
    fn settle(&self, map: Proc, count: usize) {
        let ended = map.finish(JOB);
        eprintln!("{count} tasks took {:?}", ended.took);
        assert_each_once(&ended, count);
        assert_eq!(self.owner.0.counter("committed"), count as u64);
        assert_eq!(self.owner.0.counter("differing"), 0);
    }
}

#[test]
fn three_nodes_meet_through_the_first() {
    let _turn = turn();
    let first = Host::keyless();
    let ticket = first.json(&["init", "--json", "--address", "127.0.0.1:9"]);
    let ticket = ticket["ticket"].as_str().unwrap();
    let a = first.loopback_node(&[]);
    let [second, third] = [(); 2].map(|()| {
        let host = Host::keyless();
        assert_eq!(host.cli(&["join", ticket]).code, Some(0));
        host
    });
    let b = second.loopback_node(&["--peer", &a.address]);
    let c = third.loopback_node(&["--peer", &a.address]);
    all_meet(&[(&first, &a), (&second, &b), (&third, &c)], MEET);
    for node in [&a, &b, &c] {
        second.runs_on(&node.id);
    }
}

#[test]
fn run_gives_the_tasks_streams_and_exit_code() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&[]);
    let ended = host.cli(&["run", &module("exit"), "--", "7"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), "this is stdout\n"));
    assert!(ended.stderr.contains("this is stderr: exiting with 7"), "{}", ended.stderr);

    let label = ["run", &module("lines"), "--env", "LABEL=x", "--", "--words", "--bytes"];
    let ended = host.cli_with(&label, b"one two\nthree\n");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "3 14 x\n"), "{}", ended.stderr);

    let ended = host.cli_with(&["run", &module("echo"), "--fn", "upper"], b"weft");
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "WEFT"), "{}", ended.stderr);
    let ended = host.cli_with(&["run", &module("echo"), "--fn", "fail"], b"for a reason");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("for a reason"), "{}", ended.stderr);

    let all_bytes: Vec<u8> = (0..200_000u32).map(|i| if i % 80 == 79 { b'\n' } else { b'x' }).collect();
    let ended = host.cli_with(&["run", &module("echo"), "--fn", "echo"], &all_bytes);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), all_bytes.len()), "{}", ended.stderr);
}

#[test]
fn run_tells_each_bad_end_apart() {
    let _turn = turn();
    let host = Host::keyless();
    let mut node = host.loopback_node(&[]);
    for how in ["panic", "unreachable", "overflow", "wild"] {
        let ended = host.cli(&["run", &module("trap"), "--fn", how]);
        assert_eq!(ended.code, Some(126), "{how}: {}", ended.stderr);
    }
    let ended = host.cli(&["run", &module("spin"), "--fn", "forever", "--timeout", "300ms"]);
    assert_eq!(ended.code, Some(124), "{}", ended.stderr);
    // It wants more before it begins.
    let ended = host.cli(&["run", &module("hoard"), "--fn", "hoard", "--memory", "1MiB"]);
    assert_eq!(ended.code, Some(137), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("asked for 1114112 bytes, limit 1048576; see --memory"),
        "{}",
        ended.stderr
    );
    // It takes all there is, is told when there is no more, and goes on.
    let ended = host.cli(&["run", &module("hoard"), "--fn", "hoard", "--memory", "16MiB"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.parse::<u32>().is_ok_and(|mib| (1..16).contains(&mib)), "{}", ended.stdout);

    let text = host.path("text.wasm");
    std::fs::write(&text, "no module").unwrap();
    let cut = host.path("cut.wasm");
    std::fs::write(&cut, std::fs::read(module("echo")).unwrap().split_at(999).0).unwrap();
    for path in [text, cut, host.path("missing.wasm")] {
        let path = path.display().to_string();
        let ended = host.cli(&["run", &path]);
        assert_eq!(ended.code, Some(125), "{path}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "one line about it: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    let ended = host.cli(&["run", &module("echo"), "--fn", "nothing"]);
    assert_eq!(ended.code, Some(125), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing"), "{}", ended.stderr);
    assert!(node.process.is_running());
}

#[test]
fn map_keeps_the_order_of_its_lines() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let host = &mesh.owner.0;
    let input: String = (0..200).map(|i| format!("line {i}\n")).collect();
    let map = ["map", &module("echo"), "--fn", "upper", "--each-line", "-"];
    let ended = host.cli_with(&map, input.as_bytes());
    assert_eq!((ended.code, ended.stdout), (Some(0), input.to_uppercase()), "{}", ended.stderr);

    let json = ["map", &module("echo"), "--fn", "echo", "--each-line", "-", "--json"];
    let ended = host.cli_with(&json, input.as_bytes());
    assert_each_once(&ended, 200);
    for line in ended.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["output"], format!("line {}", line["index"]));
        assert_eq!((&line["exit_code"], &line["attempts"]), (&Value::from(0), &Value::from(1)), "{line}");
        let worker = line["worker"].as_str().unwrap();
        assert!(mesh.workers.iter().any(|(_, node)| node.id == worker), "{line}");
        assert!(line["wall_us"].is_u64(), "{line}");
    }
}

#[test]
fn map_counts_failed_tasks_in_its_exit_code() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&[]);
    let map = ["map", &module("spin"), "--fn", "spin", "--each-line", "-"];
    let ended = host.cli_with(&map, b"1\n2\nsoon\n3\nlater\n4\nnever\n");
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(3), 4), "{}", ended.stderr);
    for word in ["soon", "later", "never"] {
        assert!(ended.stderr.contains(word), "{}", ended.stderr);
    }
    let many: String = (0..150).map(|i| format!("no number {i}\n")).collect();
    assert_eq!(host.cli_with(&map, many.as_bytes()).code, Some(100));
}

#[test]
fn long_inputs_and_outputs_travel_as_blobs() {
    let _turn = turn();
    let mesh = Mesh::start(2);
    let host = &mesh.owner.0;
    for (name, bytes) in [("small", 20_000), ("large", 5_000_000)] {
        let text: String = (0..bytes / 10).map(|i| format!("{i:09}\n")).collect();
        std::fs::write(host.path(name), &text).unwrap();
    }
    let [small, large] = ["small", "large"].map(|name| host.path(name).display().to_string());
    let out = host.path("out");
    let out_word = out.display().to_string();
    let map = ["map", &module("echo"), "--fn", "echo", "--out", &out_word, "--each-file", &small, &large];
    let ended = host.cli(&map);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for name in ["small", "large"] {
        let [given, taken] = [host.path(name), out.join(name)].map(|path| std::fs::read(path).unwrap());
        assert!(given == taken, "{name}: {} bytes given, {} taken", given.len(), taken.len());
    }
}

#[test]
fn a_long_map_takes_no_more_memory_than_a_short_one() {
    let _turn = turn();
    let mesh = Mesh::start(1);
    let (host, node) = &mesh.owner;
    let input: String = (0..40_000).map(|line| format!("{line}\n")).collect();
    std::fs::write(host.path("input"), &input).unwrap();
    let file = host.path("input").display().to_string();
    let map = host.spawn(&["map", &module("echo"), "--fn", "echo", "--each-line", &file]);
    // Not how fast it is: a slow machine has all the time that it needs.
    let ended = map.finish_while_lines_come(JOB);
    assert_eq!((ended.code, ended.stdout == input), (Some(0), true), "{}", ended.stderr);
    let most_kib = memory_kib(node.process.pid(), "VmHWM");
    eprintln!("40000 tasks took {:?}, and at most {most_kib} KiB at once", ended.took);
    assert!(most_kib < 96 << 10, "{most_kib} KiB");
}

#[test]
fn owners_that_work_at_once_get_their_own_results() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 3].map(|()| Host::new(&key));
    let first = hosts[0].loopback_node(&["--slots", "1"]);
    let [second, third] = [1, 2].map(|i| hosts[i].loopback_node(&["--slots", "1", "--peer", &first.address]));
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second), (&hosts[2], &third)], MEET);
    let words = ["echo", "upper"];
    let maps: Vec<_> = (0..6).map(|i| (i, start_lines(&hosts[i % 3], words[i % 2], i))).collect();
    for (i, map) in maps {
        let ended = map.finish(JOB);
        let lines = lines_of(i);
        let expected = if i % 2 == 0 { lines } else { lines.to_uppercase() };
        assert_eq!((ended.code, ended.stdout), (Some(0), expected), "{}", ended.stderr);
    }
}

fn lines_of(number: usize) -> String {
    (0..300).map(|line| format!("map {number} line {line}\n")).collect()
}

fn start_lines(host: &Host, function: &str, number: usize) -> Proc {
    let file = host.path(&format!("lines-{number}"));
    std::fs::write(&file, lines_of(number)).unwrap();
    host.spawn(&["map", &module("echo"), "--fn", function, "--each-line", &file.display().to_string()])
}

#[test]
fn a_job_that_nobody_can_run_waits_says_why_and_runs_when_somebody_can() {
    let _turn = turn();
    let mesh = Mesh::start(1);
    let host = &mesh.owner.0;
    let run = ["run", &module("exit"), "--need", "gpu=yes", "--", "3"];
    let run = host.spawn(&run);
    let job = eventually(MEET, "the job is listed", || {
        let jobs = host.json(&["jobs", "--json"]);
        Some(jobs[0]["job"].as_str()?.to_owned())
    });
    eventually(MEET, "the worker's reason is known", || {
        let why = host.json(&["why", &job, "--json"]).to_string();
        why.contains("gpu=yes").then_some(())
    });
    let lucky = Host::keyless();
    std::fs::copy(host.path("mesh.key"), lucky.path("mesh.key")).unwrap();
    let _node = lucky.loopback_node(&["--label", "gpu=yes", "--peer", &mesh.owner.1.address]);
    let ended = run.finish(MEET);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
}

#[test]
fn a_job_comes_after_others_and_is_skipped_when_one_failed() {
    let _turn = turn();
    let mesh = Mesh::start(1);
    let host = &mesh.owner.0;
    let listed = |count: usize| {
        eventually(MEET, "the job is listed", || {
            let jobs = host.json(&["jobs", "--json"]);
            Some(jobs[count - 1]["job"].as_str()?.to_owned())
        })
    };
    // No node can run these two yet.
    let fails = host.spawn(&["run", &module("exit"), "--need", "gpu=yes", "--", "3"]);
    let failing = listed(1);
    let succeeds = host.spawn(&["run", &module("echo"), "--fn", "echo", "--need", "gpu=yes"]);
    let succeeding = listed(2);
    let run_after = |job: &str, more: &[&str]| {
        host.spawn(&[&["run", &module("echo"), "--fn", "echo", "--after", job], more].concat())
    };
    let skipped = run_after(&failing, &[]);
    listed(3);
    let undaunted = run_after(&failing, &["--even-if-failed"]);
    listed(4);
    let glad = run_after(succeeding.get(..8).unwrap(), &[]);
    let last = listed(5);
    eventually(MEET, "the job waits for the other", || {
        let why = host.json(&["why", &last, "--json"]);
        why.to_string().contains(&format!("job {succeeding}: 0 of 1 tasks have ended")).then_some(())
    });
    assert_eq!(host.json(&["jobs", "--json"])[4]["held"], 1);
    let unknown = host.cli(&["run", &module("exit"), "--after", "0123456789abcdef", "--", "0"]);
    assert_eq!(unknown.code, Some(125), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("0123456789abcdef"), "{}", unknown.stderr);
    let lucky = Host::keyless();
    std::fs::copy(host.path("mesh.key"), lucky.path("mesh.key")).unwrap();
    let _node = lucky.loopback_node(&["--label", "gpu=yes", "--peer", &mesh.owner.1.address]);
    let ends = [(fails, 3), (succeeds, 0), (skipped, 125), (undaunted, 0), (glad, 0)].map(|(run, code)| {
        let ended = run.finish(MEET);
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        ended
    });
    assert!(
        ends[2].stderr.contains(&format!("after job {failing}, which did not succeed")),
        "{}",
        ends[2].stderr
    );
    assert_eq!(host.json(&["jobs", "--json"])[2]["skipped"], 1);
    let table = host.cli(&["jobs"]).stdout;
    assert!(table.lines().nth(3).is_some_and(|line| line.contains("skipped")), "{table}");
}

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

#[test]
fn outsiders_are_refused_with_a_reason() {
    let _turn = turn();
    let mut mesh = Mesh::start(1);
    let to = mesh.owner.1.address.clone();
    let strange = Host::new(&mesh_key());
    let stranger = strange.loopback_node(&["--peer", &to]);
    let line = stranger.process.wait_for("no admission", MEET);
    assert!(line.contains("another mesh"), "{line}");
    let keyless = Host::keyless();
    let keyless_node = keyless.loopback_node(&["--peer", &to]);
    let line = keyless_node.process.wait_for("no admission", MEET);
    assert!(line.contains("mesh key"), "{line}");
    let line = mesh.owner.1.process.wait_for("no admission", MEET);
    assert!(line.contains("mesh"), "{line}");
    for outsider in [&strange, &keyless] {
        assert_eq!(outsider.connected().len(), 0);
    }
    assert_eq!(mesh.owner.0.connected().len(), 1);
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
    assert!(mesh.owner.1.process.is_running());
}

#[test]
fn garbage_harms_nobody() {
    let _turn = turn();
    let mut mesh = Mesh::start(1);
    let (host, node) = &mut mesh.owner;
    let listen = node.address.trim_start_matches("/ip4/127.0.0.1/tcp/").parse::<u16>().unwrap();
    let listen = SocketAddr::from(([127, 0, 0, 1], listen));
    let api: Value = serde_json::from_slice(&std::fs::read(host.path("api.json")).unwrap()).unwrap();
    let api: SocketAddr = api["address"].as_str().unwrap().parse().unwrap();
    let noise: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let words: [&[u8]; 5] = [b"", b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[0xff; 4096], &noise];
    for word in words {
        shout(listen, word);
        shout(api, word);
    }
    let request = format!("GET /v1/status HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\r\n");
    let answer = ask(api, request.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let answer = ask(api, b"GET /v1/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert!(node.process.is_running());
    all_meet(&mesh.members(), MEET);
    mesh.owner.0.runs_on(&mesh.workers[0].1.id);
}

#[test]
fn one_data_directory_is_one_nodes() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&[]);
    let second = host.cli(&["node", "--listen", "127.0.0.1:0", "--no-mdns"]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert_eq!(second.stderr.lines().count(), 1, "{}", second.stderr);
    assert!(second.stderr.contains("already runs"), "{}", second.stderr);

    let copy = host.copied();
    let twin = copy.loopback_node(&["--peer", &node.address]);
    assert_eq!(twin.id, node.id);
    eventually(MEET, "one of the two names the other", || {
        [&node, &twin].iter().any(|node| node.process.said("this node's identity")).then_some(())
    });
    assert!(node.process.is_running());
    host.runs_on(&node.id);
}

#[test]
fn a_thousand_tasks_right_after_the_start_are_all_done() {
    let _turn = turn();
    let key = mesh_key();
    let other = Host::new(&key);
    let other_node = other.loopback_node(&[]);
    let host = Host::new(&key);
    let started = Instant::now();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0", "--no-mdns"];
    let peer = ["node", "--peer", &other_node.address];
    let node = host.spawn(&[&peer[..], &listen].concat());
    node.wait_for("node ", MEET);
    eprintln!("submitted {:?} after the start", started.elapsed());
    assert_thousand(&host);
    drop(node);

    let lone = Host::keyless();
    let node = lone.spawn(&[&["node"], &listen[..]].concat());
    node.wait_for("node ", MEET);
    assert_thousand(&lone);
}

#[track_caller]
fn assert_thousand(host: &Host) {
    let input: String = (0..1000).map(|i| format!("{i}\n")).collect();
    let map = ["map", &module("echo"), "--fn", "echo", "--each-line", "-"];
    let ended = host.cli_with(&map, input.as_bytes());
    assert_eq!((ended.code, ended.stdout), (Some(0), input), "{}", ended.stderr);
    eprintln!("1000 tasks took {:?}", ended.took);
}

#[test]
fn a_restarted_node_finds_those_it_met_before() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 2].map(|()| Host::new(&key));
    let mut first = hosts[0].loopback_node(&[]);
    let mut second = hosts[1].loopback_node(&["--peer", &first.address]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    for host in &hosts {
        eventually(MEET, "the peer is written down", || {
            std::fs::read_to_string(host.path("peers")).ok().filter(|text| text.contains("/tcp/"))
        });
    }
    second.process.kill9();
    second = hosts[1].loopback_node(&[]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    hosts[1].runs_on(&first.id);
    // The other way round: its own address is a new one now, and it must be the one that dials.
    let told = second.address.clone();
    eventually(MEET, "the new address is written down", || {
        std::fs::read_to_string(hosts[0].path("peers")).ok().filter(|text| text.contains(&told))
    });
    first.process.kill9();
    first = hosts[0].loopback_node(&[]);
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second)], MEET);
    hosts[1].runs_on(&first.id);
}

#[test]
fn a_node_that_is_gone_is_forgotten_and_one_that_is_connected_is_not() {
    let _turn = turn();
    let mut mesh = Mesh::start(2);
    let gone = mesh.workers[0].1.id.clone();
    let listed = |host: &Host| {
        let peers = host.json(&["peers", "--json"]);
        peers.as_array().unwrap().iter().any(|peer| peer["peer"] == gone.as_str())
    };
    let written = |host: &Host| {
        let text = std::fs::read_to_string(host.path("peers")).unwrap_or_default();
        text.contains(gone.as_str())
    };
    let owner = &mesh.owner.0;
    eventually(MEET, "the peer is written down", || written(owner).then_some(()));

    let refused = owner.cli(&["peers", "--forget", &gone]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
    for words in ["is connected: only one that is gone can be forgotten", "stop its node first"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(owner.connected().contains(&gone) && written(owner));

    mesh.workers[0].1.process.kill9();
    eventually(MEET, "the owner sees it go", || (!owner.connected().contains(&gone)).then_some(()));
    assert!(listed(owner), "one that is gone is listed until it is forgotten");
    let forgot = owner.cli(&["peers", "--forget", &gone[..12]]);
    assert_eq!(forgot.code, Some(0), "{}", forgot.stderr);
    assert!(forgot.stderr.contains("forgot "), "{}", forgot.stderr);
    assert!(!listed(owner));
    let all = owner.cli(&["peers", "--all"]);
    assert!(!all.stdout.contains(&gone[..8]), "{}", all.stdout);
    eventually(MEET, "it is no longer written down", || (!written(owner)).then_some(()));
    let again = owner.cli(&["peers", "--forget", &gone]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);

    // It is no enemy: when it comes back by itself, it is a peer as before.
    mesh.workers[0].1 = mesh.workers[0].0.loopback_node(&["--slots", "1", "--peer", &mesh.owner.1.address]);
    all_meet(&mesh.members(), MEET);
    mesh.owner.0.runs_on(&gone);
}

#[test]
fn idle_nodes_are_small_and_quiet() {
    let _turn = turn();
    let key = mesh_key();
    let hosts = [(); 3].map(|()| Host::new(&key));
    let first = hosts[0].loopback_node(&[]);
    let second = hosts[1].loopback_node(&["--peer", &first.address]);
    let third = hosts[2].loopback_node(&["--peer", &first.address]);
    let nodes = [&first, &second, &third];
    all_meet(&[(&hosts[0], &first), (&hosts[1], &second), (&hosts[2], &third)], MEET);
    let before = nodes.map(|node| wakeups(node.process.pid()));
    // Nothing is waited for: this is the time over which is counted.
    let window = Duration::from_secs(5);
    std::thread::sleep(window);
    for (node, before) in nodes.into_iter().zip(before) {
        let pid = node.process.pid();
        let woken = wakeups(pid) - before;
        let [total_kib, own_kib] = ["VmRSS", "RssAnon"].map(|field| memory_kib(pid, field));
        eprintln!(
            "idle: woke {woken} times in {window:?}, {total_kib} KiB resident, {own_kib} KiB of them its own"
        );
        // How often it wakes is the node's own doing; how long that takes is the machine's, and of a benchmark.
        // A node of three wakes some 20 times a second: for beats, ticks and timers, and for what the others say.
        assert!(woken < 40 * window.as_secs(), "{woken} times awake in {window:?}");
        assert!(own_kib < 8 << 10, "{own_kib} KiB of its own");
        assert!(total_kib < 40 << 10, "{total_kib} KiB");
    }
}

/// How often the threads of a process have gone to sleep so far, which is how often something woke them.
fn wakeups(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses =
        threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    statuses.map(|status| field_of(&status, "voluntary_ctxt_switches")).sum()
}

fn memory_kib(pid: u32, field: &str) -> u64 {
    field_of(&std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap(), field)
}

fn field_of(status: &str, field: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends bytes, then nothing more, and waits until the other side closes.
fn shout(to: SocketAddr, bytes: &[u8]) {
    let mut stream = connect(to);
    // It may close before it has heard all of it.
    drop(stream.write_all(bytes));
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(stream.read_to_end(&mut Vec::new()));
}

/// Sends bytes and returns what comes back until the other side closes.
fn ask(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(to);
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}
