//! Jobs at level disk on the command line: they go on without their submitter, and without their node for a while.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::live::RunningNode;
use crate::{Said, finish, kill, module, poll, run, run_with, weft};

fn submit(node: &RunningNode, name: &str, args: &[&str], stdin: &str) -> String {
    let module = module(name);
    let said =
        run_with(weft(node.path(), &[&["submit", module.as_str()], args].concat()), stdin.as_bytes()).well();
    assert!(said.err.contains("kept on the disk of anna"), "{said:?}");
    said.out.trim_end().to_owned()
}

/// Waits until that many tasks of the oldest job are done.
fn done(node: &RunningNode, least: u64) {
    poll(|| (node.job()?.get("done")?.as_u64()? >= least).then_some(()));
}

const NODE: [&str; 4] = ["--slots", "1", "--name", "anna"];

#[test]
fn results_are_there_again_after_the_node_was_killed() {
    let mut node = RunningNode::start(&NODE);
    let input: String = (0..300).map(|number| format!("line {number}\n")).collect();
    let args = ["--fn", "upper", "--each-line", "-", "--name", "friday", "--label", "team=fonts"];
    let job = submit(&node, "echo", &args, &input);
    run(node.path(), &["wait", "friday"]).well();
    node.again(&NODE);
    for _ in 0..2 {
        let said = run(node.path(), &["results", "friday"]).well();
        assert!(said.out == input.to_uppercase(), "{said:?}");
    }
    let jobs =
        run(node.path(), &["jobs", "--json", "--label", "team=fonts", "--state", "done"]).well().json();
    assert_eq!((&jobs[0]["job"], &jobs[0]["level"]), (&job.as_str().into(), &"disk".into()));
    let of = |owner: &str| run(node.path(), &["jobs", "--json", "--owner", owner]).well().json();
    let id = jobs[0]["owner"]["peer"].as_str().unwrap();
    let digits = |count| id.get(..count).unwrap();
    assert!([id, digits(8), "anna"].iter().all(|owner| of(owner) == jobs), "{jobs}");
    assert!(["bert", digits(7)].iter().all(|owner| of(owner) == serde_json::json!([])));
    run(node.path(), &["retry", "friday"]).refused(1, &["no task that ended otherwise"]);
    run(node.path(), &["forget", "friday"]).well();
    run(node.path(), &["results", &job]).refused(125, &["no job"]);
    node.again(&NODE);
    run(node.path(), &["results", &job]).refused(125, &["no job"]);
}

/// The file below a directory that has these bytes.
fn file_of(dir: &Path, bytes: &[u8]) -> Option<PathBuf> {
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                dirs.push(entry);
            } else if std::fs::read(&entry).is_ok_and(|found| found == bytes) {
                return Some(entry);
            }
        }
    }
    None
}

#[test]
fn an_output_whose_bytes_were_changed_or_removed_says_which_of_both() {
    let mut node = RunningNode::start(&NODE);
    let outputs = ["A", "B"].map(|letter| letter.repeat(100_000));
    let input = format!("{}\n", outputs.join("\n"));
    let job = submit(&node, "echo", &["--fn", "upper", "--each-line", "-"], &input.to_lowercase());
    run(node.path(), &["wait", &job]).well();
    let [changed, removed] = outputs.map(|output| file_of(node.path(), output.as_bytes()).unwrap());
    let mut bytes = std::fs::read(&changed).unwrap();
    bytes[50_000] ^= 1;
    std::fs::write(&changed, bytes).unwrap();
    // The store looks at a file anew that it did not write in this life.
    node.again(&NODE);
    std::fs::remove_file(&removed).unwrap();
    let said = run(node.path(), &["results", &job]);
    assert!(said.err.contains("task 0: its output is no longer in the node's store"), "{said:?}");
    assert!(said.err.contains("other bytes than were stored") && said.err.contains("again"), "{said:?}");
    let said = run(node.path(), &["results", &job, "--from", "1"]);
    assert!(said.err.contains("task 1") && said.err.contains("another program removed"), "{said:?}");
    let vanished = || run(node.path(), &["status", "--json"]).well().json()["store"]["vanished"].clone();
    assert_eq!(vanished(), 2);
}

#[test]
fn a_job_that_was_cancelled_is_retried_by_its_inputs() {
    let mut node = RunningNode::start(&NODE);
    let args = ["--fn", "upper", "--each-line", "-", "--name", "later", "--need", "rack=3"];
    submit(&node, "echo", &args, "a\nb\nc\n");
    run(node.path(), &["retry", "later"]).refused(1, &["has not ended"]);
    run(node.path(), &["cancel", "later"]).well();
    assert_eq!(run(node.path(), &["wait", "later"]).code, 130);
    node.again(&[&NODE[..], &["--label", "rack=3"]].concat());
    let said = run(node.path(), &["retry", "later"]).well();
    assert!(said.err.contains("3 tasks run again"), "{said:?}");
    run(node.path(), &["wait", "later"]).well();
    assert_eq!(run(node.path(), &["results", "later"]).well().out, "A\nB\nC\n");
}

/// `weft map` at level disk, interrupted after it showed its first results; some inputs are never handed in.
fn interrupted(node: &RunningNode) -> (Said, usize) {
    let echo = module("echo");
    let args = ["map", &echo, "--fn", "upper", "--each-line", "-", "--level", "disk", "--name", "left"];
    let mut map = weft(node.path(), &args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = map.stdin.take().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    let mut shown = BufReader::new(map.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..2 {
        shown.read_line(&mut line).unwrap();
    }
    assert_eq!(line, "ONE\nTWO\n");
    kill(map.id(), "INT");
    (finish(map), 2)
}

#[test]
fn an_interrupted_map_on_disk_goes_on_and_is_shown_again() {
    let node = RunningNode::start(&NODE);
    let (said, shown) = interrupted(&node);
    assert_eq!(said.code, 130, "{said:?}");
    let way = format!("--from {shown}` shows the rest");
    assert!(
        said.err.contains("goes on with the inputs that it has by now") && said.err.contains(&way),
        "{said:?}"
    );
    let said = run(node.path(), &["attach", "left"]).well();
    assert_eq!(said.out, "ONE\nTWO\n");
    assert!(said.err.contains("2 tasks: 2 done"), "{said:?}");
    assert!(run(node.path(), &["attach", "left", "--from", "2"]).well().out.is_empty());
}

#[test]
fn a_map_whose_node_is_killed_goes_on_in_its_next_life() {
    let mut node = RunningNode::start(&NODE);
    let (spin, file) = (module("spin"), node.path().join("lines"));
    // The first is quick, the second takes longer than the test may.
    std::fs::write(&file, "1\n100000000000\n").unwrap();
    let lines = file.to_str().unwrap();
    let args = [
        "map",
        &spin,
        "--fn",
        "spin",
        "--each-line",
        lines,
        "--level",
        "disk",
        "--timeout",
        "1h",
        "--name",
        "long",
    ];
    let map = weft(node.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    done(&node, 1);
    node.again(&NODE);
    let said = run(node.path(), &["results", "long"]);
    assert!(said.code == 125 && said.out.lines().count() == 1 && said.err.contains("1 of 2"), "{said:?}");
    run(node.path(), &["cancel", "long"]).well();
    let said = finish(map);
    assert!(said.code == 130 && said.out.lines().count() == 1, "{said:?}");
    assert!(said.err.contains("is looked for again") && said.err.contains("was cancelled"), "{said:?}");
    let said = run(node.path(), &["wait", "long"]);
    assert!(said.code == 130 && said.err.contains("1 outcome kept, 1 task open"), "{said:?}");
}

#[test]
fn one_task_is_run_and_kept() {
    let node = RunningNode::start(&NODE);
    let echo = module("echo");
    let run_kept = ["run", &echo, "--fn", "upper", "--level", "disk", "--name", "single"];
    let said = run_with(weft(node.path(), &run_kept), b"hello").well();
    assert_eq!(said.out, "HELLO");
    for _ in 0..2 {
        assert_eq!(run(node.path(), &["results", "single"]).well().out, "HELLO\n");
    }
}
