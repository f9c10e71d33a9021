//! What a task is given, what it leaves, what is remembered and signed of it, and what its slot is: real nodes as
//! processes, driven by the command line.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and shows what its processes said"
)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Host, Node, all_meet, assert_each_once, eventually, mesh_key, module, turn};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Every file below a directory, by its path.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A directory with two files, one of them longer than what travels inline.
fn sources(host: &Host) -> String {
    let dir = host.path("src");
    fs::create_dir_all(dir.join("deep")).unwrap();
    fs::write(dir.join("a.txt"), "hello").unwrap();
    fs::write(dir.join("deep/b.txt"), "x".repeat(100_000)).unwrap();
    text(&dir)
}

#[test]
fn files_go_in_and_what_is_left_comes_out() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--slots", "1"]);
    let (files, src, out) = (module("files"), sources(&host), host.path("out"));
    let single = host.path("single");
    fs::write(&single, "alone").unwrap();
    let (single, out_word) = (format!("{}:/in/d/one", text(&single)), text(&out));
    let run = ["run", &files, "--input", &src, "--input", &single, "--out", &out_word, "--", "upper"];
    let ended = host.cli(&run);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "/in/d/one\n/in/src/a.txt\n/in/src/deep/b.txt\n");
    let expected: BTreeMap<String, Vec<u8>> = [
        ("d/one".to_owned(), b"ALONE".to_vec()),
        ("src/a.txt".to_owned(), b"HELLO".to_vec()),
        ("src/deep/b.txt".to_owned(), b"X".repeat(100_000)),
    ]
    .into();
    assert_eq!(tree(&out), expected);

    let again = host.cli(&run);
    assert_eq!(again.code, Some(125));
    assert!(again.stderr.contains("is not empty") && again.stderr.contains("--force"), "{}", again.stderr);
    fs::write(out.join("d/one"), "mine").unwrap();
    let forced = host.cli(&["run", &files, "--input", &single, "--out", &out_word, "--force", "--", "upper"]);
    assert_eq!(forced.code, Some(0), "{}", forced.stderr);
    assert_eq!(fs::read(out.join("d/one")).unwrap(), b"ALONE");

    let untaken = host.cli(&["run", &files, "--input", &src, "--", "upper"]);
    assert!(untaken.stderr.contains("--out DIR takes them"), "{}", untaken.stderr);
    let missing = host.cli(&["run", &files, "--input", "/nonexistent/x", "--", "upper"]);
    assert_eq!(missing.code, Some(125));
    assert!(
        missing.stderr.contains("/nonexistent/x") && missing.stderr.lines().count() == 1,
        "{}",
        missing.stderr
    );
}

#[test]
fn a_map_leaves_each_tasks_files_beside_its_output() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--slots", "2"]);
    let (files, src, out) = (module("files"), sources(&host), host.path("out"));
    let (out_word, a) = (text(&out), format!("{src}/a.txt"));
    let map = ["map", &files, "--input", &a, "--out", &out_word, "--each-line", "-", "--", "upper"];
    let ended = host.cli_with(&map, b"1\n2\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let names: Vec<String> = tree(&out).into_keys().collect();
    assert_eq!(names, ["0", "0.out/a.txt", "1", "1.out/a.txt"]);
}

#[test]
fn a_module_that_is_too_long_for_a_node_waits_and_is_told_the_bound() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "1", "--module-limit", "1MiB"]);
    let long = host.path("long.wat");
    let data = "x".repeat(2 << 20);
    let command = "(func (export \"_start\"))";
    fs::write(&long, format!("(module (memory (export \"memory\") 40) (data \"{data}\") {command})"))
        .unwrap();
    let long = text(&long);
    // It ends as expired: no node took it.
    let ended = host.cli(&["run", &long, "--expires", "5s"]);
    assert_eq!(ended.code, Some(124), "{}", ended.stderr);
    assert!(ended.stderr.contains("no node has taken the task yet"), "{}", ended.stderr);
    drop(node);
    let _node = host.loopback_node(&["--slots", "1", "--module-limit", "4MiB"]);
    let ended = host.cli(&["run", &long]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn limits_and_profiles_reach_the_task() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--slots", "1"]);
    let (files, spin) = (module("files"), module("spin"));
    let ended = host.cli(&["run", &files, "--files-limit", "20", "--", "count", "30"]);
    assert_eq!(ended.code, Some(125));
    assert!(
        ended.stderr.contains("files: more than 20 bytes") && ended.stderr.contains("--files-limit"),
        "{}",
        ended.stderr
    );
    for (flag, most, said) in [
        ("--files-count", "5", "files: more than 5 under /tmp and /out"),
        ("--output-limit", "1", "output: more than 1 bytes"),
    ] {
        let ended = host.cli(&["run", &files, flag, most, "--", "count", "30"]);
        assert_eq!(ended.code, Some(125), "{flag}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{said}; see {flag}")), "{}", ended.stderr);
    }
    let ended = host.cli_with(&["run", &spin, "--fn", "spin", "--fuel", "1000"], b"1000000");
    assert_eq!(ended.code, Some(124));
    assert!(
        ended.stderr.contains("fuel: used up all 1000") && ended.stderr.contains("--fuel"),
        "{}",
        ended.stderr
    );
    for (flag, profile) in [("--portable", "portable"), ("--impure", "impure")] {
        let run = host.json(&["run", &files, flag, "--receipt", "--json", "--", "count", "1"]);
        assert_eq!(run["receipt"]["profile"], profile);
    }
    let run = host.json(&["run", &files, "--fuel", "100000000", "--json", "--", "count", "1"]);
    assert!(run["usage"]["fuel"].as_u64().unwrap() > 1000, "{run}");
    assert_eq!(host.cli(&["run", &files, "--class", "urgent", "--", "count", "1"]).code, Some(125));
    for (name, body) in
        [("core", "(module (func (export \"_start\")))"), ("bad", "(module (func $f (call $g)))")]
    {
        fs::write(host.path(name), body).unwrap();
    }
    assert_eq!(host.cli(&["run", &text(&host.path("core"))]).code, Some(0));
    let bad = host.cli(&["run", &text(&host.path("bad"))]);
    assert_eq!(bad.code, Some(125));
    assert!(bad.stderr.contains("bad:1:") && bad.stderr.lines().count() == 1, "{}", bad.stderr);
}

#[test]
fn a_known_result_is_not_computed_again_here_or_elsewhere() {
    let _turn = turn();
    let key = mesh_key();
    let (worker, owner) = (Host::new(&key), Host::new(&key));
    let anna = worker.loopback_node(&["--slots", "1", "--name", "anna"]);
    let bert = owner.loopback_node(&["--slots", "0", "--name", "bert", "--peer", &anna.address]);
    all_meet(&[(&worker, &anna), (&owner, &bert)], DEADLINE);
    let src = sources(&owner);
    let files = module("files");
    let run = |host: &Host, out: &str, more: &[&str]| {
        let out = host.path(out);
        let mut words = vec!["run", &files, "--input", &src, "--out", out.to_str().unwrap()];
        words.extend(more);
        // Only what took a while is worth remembering: these turns take longer than that on every machine.
        words.extend(["--", "upper", "400000000"]);
        let ended = host.cli(&words);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        (ended.stdout, tree(&out), ended.stderr)
    };
    let (output, left, words) = run(&worker, "first", &[]);
    assert!(!words.contains("from memory"), "{words}");
    for (host, out) in [(&worker, "second"), (&owner, "third")] {
        let (again, left_again, words) = run(host, out, &[]);
        assert_eq!((&again, &left_again), (&output, &left), "{words}");
        assert!(words.contains("from memory, computed by anna"), "{words}");
    }
    assert_eq!(worker.counter("executed"), 1);
    let (again, left_again, words) = run(&owner, "fourth", &["--no-memo"]);
    assert_eq!((again, left_again), (output, left));
    assert!(!words.contains("from memory"), "{words}");
    assert_eq!(worker.counter("executed"), 2);
    // Impure tasks and failed ones are never known.
    let exit = module("exit");
    for words in
        [&["run", &files, "--impure", "--json", "--", "count", "3"][..], &["run", &exit, "--json", "--", "3"]]
    {
        for _ in 0..2 {
            let ended = worker.cli(words);
            let line: Value = serde_json::from_str(&ended.stdout).unwrap();
            assert_eq!((&line["memo"], &line["attempts"]), (&Value::from(false), &Value::from(1)), "{line}");
        }
    }
}

#[test]
fn what_took_long_is_told_to_everybody() {
    let _turn = turn();
    let key = mesh_key();
    let (worker, owner) = (Host::new(&key), Host::new(&key));
    let mut anna = worker.loopback_node(&["--slots", "1", "--name", "anna"]);
    let bert = owner.loopback_node(&["--slots", "0", "--peer", &anna.address]);
    all_meet(&[(&worker, &anna), (&owner, &bert)], DEADLINE);
    let run = ["run", &module("spin"), "--fn", "spin", "--json", "--memo", "mesh"];
    let first: Value = serde_json::from_str(&worker.cli_with(&run, b"100000000").stdout).unwrap();
    eventually(DEADLINE, "the result is known to the other node", || {
        let status = owner.json(&["status", "--json"]);
        (status["memo"]["entries"].as_u64()? > 0).then_some(())
    });
    anna.process.kill9();
    let second: Value = serde_json::from_str(&owner.cli_with(&run, b"100000000").stdout).unwrap();
    assert_eq!((&second["output"], &second["memo"]), (&first["output"], &Value::from(true)));
    assert_eq!(
        (&second["worker"], &second["recalled"]),
        (&Value::from(anna.id.as_str()), &Value::from("mesh"))
    );
    let map = ["map", &module("spin"), "--fn", "spin", "--each-line", "-", "--memo", "mesh"];
    let map = owner.cli_with(&map, b"100000000\n");
    assert!(map.stderr.contains("1 done, 0 failed, 1 from memory"), "{}", map.stderr);
}

#[test]
fn a_receipt_is_checked_by_anybody_and_no_byte_of_it_may_change() {
    let _turn = turn();
    let host = Host::keyless();
    let node = host.loopback_node(&["--slots", "1"]);
    let run = ["run", &module("exit"), "--receipt", "--json", "--", "3"];
    let ended = host.cli(&run);
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let line: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(line["receipt"]["worker"], node.id.as_str());
    drop(node);

    // The node is gone; a third party has the file and nothing else.
    let third = Host::keyless();
    let check = |value: &Value| {
        fs::write(third.path("receipt.json"), value.to_string()).unwrap();
        third.cli(&["receipt", "check", &text(&third.path("receipt.json"))])
    };
    for good in [&line, &line["receipt"]] {
        let checked = check(good);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(
            checked.stdout.contains("good: task") && checked.stdout.contains("exit code 3"),
            "{}",
            checked.stdout
        );
    }
    let changes: [(&str, Value); 10] = [
        ("/output", "this is another stdout\n".into()),
        ("/errors", "".into()),
        ("/outcome", "done".into()),
        ("/wall_us", 1.into()),
        ("/usage/cpu_us", 1.into()),
        ("/worker", "0".repeat(64).into()),
        ("/receipt/outcome", "done".into()),
        ("/receipt/usage/memory_bytes", 1.into()),
        ("/receipt/proof/count", 2.into()),
        ("/receipt/worker", "0".repeat(64).into()),
    ];
    for (place, value) in changes {
        let mut changed = line.clone();
        *changed.pointer_mut(place).unwrap() = value;
        let checked = check(&changed);
        assert_eq!((checked.code, checked.stdout.as_str()), (Some(1), ""), "{place}: {}", checked.stderr);
    }
    for place in ["/receipt/statement", "/receipt/proof/signature", "/receipt/task"] {
        let mut changed = line.clone();
        let digits = changed.pointer_mut(place).unwrap();
        let mut bytes = digits.as_str().unwrap().as_bytes().to_vec();
        let last = bytes.last_mut().unwrap();
        *last = if *last == b'0' { b'1' } else { b'0' };
        *digits = String::from_utf8(bytes).unwrap().into();
        assert_eq!(check(&changed).code, Some(1), "{place}");
    }
    assert_eq!(check(&Value::from(5)).code, Some(1));
}

#[test]
fn receipts_of_a_map_come_in_batches_and_are_all_good() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--slots", "2"]);
    let input: String = (0..300).map(|line| format!("{line}\n")).collect();
    let map = ["map", &module("echo"), "--fn", "echo", "--each-line", "-", "--json", "--receipt"];
    let ended = host.cli_with(&map, input.as_bytes());
    assert_each_once(&ended, 300);
    fs::write(host.path("all"), &ended.stdout).unwrap();
    let checked = host.cli(&["receipt", "check", &text(&host.path("all"))]);
    assert_eq!((checked.code, checked.stdout.lines().count()), (Some(0), 300), "{}", checked.stderr);
}

#[test]
fn what_a_task_prints_is_shown_while_it_runs() {
    let _turn = turn();
    let key = mesh_key();
    let (worker, owner) = (Host::new(&key), Host::new(&key));
    let anna = worker.loopback_node(&["--slots", "1"]);
    let bert = owner.loopback_node(&["--slots", "0", "--peer", &anna.address]);
    all_meet(&[(&worker, &anna), (&owner, &bert)], DEADLINE);
    // The task never ends by itself: what is seen of it is seen while it runs. Here, and on another node.
    for host in [&worker, &owner] {
        let mut run = host.spawn(&["run", &module("files"), "--", "say", "hello"]);
        eventually(DEADLINE, "the first line is shown", || (run.lines_out() == 1).then_some(()));
        assert!(run.is_running());
        run.interrupt();
        let ended = run.finish(DEADLINE);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), "hello\n"), "{}", ended.stderr);
    }
    let stopped = owner.cli(&["run", &module("files"), "--timeout", "300ms", "--", "say", "hello"]);
    assert_eq!((stopped.code, stopped.stdout.as_str()), (Some(124), "hello\n"), "{}", stopped.stderr);
}

/// The processes that this one started, from the system's own list.
#[cfg(target_os = "linux")]
fn children(node: &Node) -> Vec<i32> {
    let parent = node.process.pid().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name is in parentheses and may hold anything; behind it come state and parent.
        let mut behind = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let state = behind.next();
        if behind.next() == Some(parent.as_str()) && state != Some("Z") {
            found.push(pid);
        }
    }
    found
}

#[cfg(target_os = "linux")]
fn kill9(pid: i32) {
    // One that has just ended needs no killing.
    let _gone = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

#[cfg(target_os = "linux")]
#[test]
fn a_slot_that_is_killed_costs_an_attempt_and_no_result() {
    let _turn = turn();
    let host = Host::keyless();
    let mut node = host.loopback_node(&["--slots", "2"]);
    let status = host.json(&["status", "--json"]);
    assert_eq!(status["sandbox"]["kind"], "process", "{status}");
    let map = host.spin_map(&host.spin_file(400, 10), &[]);
    let mut killed = 0;
    for results in [20, 60, 100, 140, 180, 220] {
        eventually(DEADLINE, "results flow", || (map.lines_out() >= results).then_some(()));
        for child in children(&node) {
            kill9(child);
            killed += 1;
        }
    }
    assert_each_once(&map.finish(DEADLINE), 400);
    assert!(killed >= 6, "only {killed} processes were there to be killed");
    assert!(host.json(&["status", "--json"])["sandbox"]["replaced"].as_u64().unwrap() >= 6);
    assert!(node.process.is_running());
}

#[cfg(target_os = "linux")]
#[test]
fn no_slot_outlives_its_node() {
    let _turn = turn();
    let host = Host::keyless();
    let mut node = host.loopback_node(&["--slots", "2"]);
    let mut run = host.spawn(&["run", &module("files"), "--", "say", "hello"]);
    eventually(DEADLINE, "the task runs", || (run.lines_out() == 1).then_some(()));
    let slots = children(&node);
    assert!(!slots.is_empty());
    node.process.kill9();
    eventually(DEADLINE, "all slots are gone", || slots.iter().all(|pid| !is_alive(*pid)).then_some(()));
    eventually(DEADLINE, "the waiting client is told", || (!run.is_running()).then_some(()));
}

/// Whether a process runs; one that is dead and not yet reaped does not.
#[cfg(target_os = "linux")]
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|behind| behind.split_whitespace().next())
        .is_some_and(|state| state != "Z")
}

#[test]
fn a_realtime_task_does_not_wait_for_batch_tasks() {
    let _turn = turn();
    let host = Host::keyless();
    let _node = host.loopback_node(&["--slots", "1"]);
    // Each of them works until it is interrupted.
    let spin = module("spin");
    fs::write(host.path("lines"), "1\n2\n3\n4\n").unwrap();
    let lines = text(&host.path("lines"));
    let mut map = host.spawn(&["map", &spin, "--fn", "forever", "--each-line", &lines, "--json"]);
    eventually(DEADLINE, "the slot is taken", || {
        (host.json(&["status", "--json"])["running"] == 1).then_some(())
    });
    for class in ["interactive", "realtime"] {
        let run =
            host.cli_with(&["run", &module("echo"), "--fn", "upper", "--class", class], class.as_bytes());
        assert_eq!((run.code, run.stdout), (Some(0), class.to_uppercase()), "{}", run.stderr);
    }
    assert!(map.is_running());
    assert_eq!(map.lines_out(), 0, "no batch task has ended");
    assert!(host.counter("preempted") >= 1);
    map.interrupt();
    assert_eq!(map.finish(DEADLINE).code, Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn status_says_what_slots_are() {
    let _turn = turn();
    for (flag, words) in [("process", "seccomp"), ("thread", "thread")] {
        let host = Host::keyless();
        let _node = host.loopback_node(&["--slots", "1", "--slot-kind", flag]);
        let page = host.cli(&["status"]).stdout;
        assert!(page.contains(flag) && page.contains(words), "{page}");
        assert_eq!(host.json(&["status", "--json"])["sandbox"]["kind"], flag);
    }
    let wrong = Host::keyless().cli(&["node", "--slot-kind", "vm"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("slot-kind") && wrong.stderr.contains("process or thread"),
        "{}",
        wrong.stderr
    );
}
