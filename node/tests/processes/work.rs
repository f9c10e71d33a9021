//! What users get of their work: streams and exit codes, the order of lines, long inputs and outputs, jobs that wait for a node or for
//! other jobs.

use serde_json::Value;

use crate::support::{Host, Proc, all_meet, assert_each_once, eventually, mesh_key, module, turn};
use crate::{JOB, MEET, Mesh, memory_kib};

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
