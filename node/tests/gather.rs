//! Jobs that gather all results of other jobs as files of one task, with real processes: what the task finds under `/in`, that a
//! node which is killed in the middle changes nothing, and what is refused.
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

use support::{Host, eventually, mesh_key, module, turn};

/// Some seconds' work has got on after this, whatever happened to its node.
const WORK: Duration = Duration::from_secs(180);

/// Submits a job; its id.
#[track_caller]
fn submit(host: &Host, name: &str, args: &[&str]) -> String {
    let ended = host.cli(&[&["submit", &module(name)], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout.trim().to_owned()
}

/// A job with a task for each line, whose output is that line in capitals.
#[track_caller]
fn capitals(host: &Host, lines: &str, more: &[&str]) -> String {
    let path = host.path("lines.txt");
    fs::write(&path, lines).unwrap();
    let path = path.display().to_string();
    submit(host, "echo", &[&["--fn", "upper", "--each-line", &path, "--level", "disk"], more].concat())
}

/// What the tasks of a job put out, once all of it is done.
#[track_caller]
fn output(host: &Host, job: &str) -> String {
    let waited = host.spawn(&["wait", job]).finish(WORK);
    assert_eq!(waited.code, Some(0), "{}", waited.stderr);
    host.cli(&["results", job]).stdout
}

/// The files that the one task of a job left, and their contents.
#[track_caller]
fn left(host: &Host, job: &str) -> Vec<(String, String)> {
    let dir = host.path(&format!("left-{job}"));
    let read = host.cli(&["results", job, "--out", &dir.display().to_string()]);
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let mut all = Vec::new();
    let mut next = vec![dir.clone()];
    while let Some(path) = next.pop() {
        if path.is_dir() {
            next.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(&dir).unwrap().display().to_string();
            all.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn outputs_and_files_are_under_in_in_order() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "2"]);
    let first = capitals(&host, "one\ntwo\nthree\n", &[]);
    let page = submit(&host, "files", &["--gather", &first, "--", "upper"]);
    assert_eq!(output(&host, &page), "/in/000000\n/in/000001\n/in/000002\n");
    let files = left(&host, &page);
    let has = |name: &str, content: &str| {
        files.iter().any(|(path, found)| path.ends_with(name) && found == content)
    };
    assert!(has("000000", "ONE") && has("000001", "TWO") && has("000002", "THREE"), "{files:?}");
    // What a task left is in a directory of its own, and each of several jobs, too.
    let other = capitals(&host, "four\n", &["--label", "step=other"]);
    let both = submit(&host, "files", &["--gather", &page, "--gather", &other, "--", "upper"]);
    let expected = format!(
        "/in/{page}/000000\n/in/{page}/000000.out/000000\n/in/{page}/000000.out/000001\n/in/{page}/000000.out/000002\n/in/other/000000\n"
    );
    let mut found: Vec<String> = output(&host, &both).lines().map(String::from).collect();
    let mut expected: Vec<String> = expected.lines().map(String::from).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_node_that_is_killed_while_the_results_come_gathers_all_of_them() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&["--slots", "2"]);
    let lines: String = (0..3000).map(|number| format!("line {number}\n")).collect();
    let first = capitals(&host, &lines, &[]);
    let page = submit(&host, "files", &["--gather", &first, "--", "upper"]);
    eventually(WORK, "some are done", || {
        let jobs = host.json(&["jobs", "--all", "--json"]);
        let found = jobs.as_array()?.iter().find(|job| job["job"] == first.as_str())?;
        found["done"].as_u64().filter(|done| *done > 0).map(drop)
    });
    node.process.kill9();
    let _node = host.loopback_node(&["--slots", "2"]);
    assert_eq!(output(&host, &page).lines().count(), 3000);
    let files = left(&host, &page);
    let is_there = |number: usize| {
        let (name, content) = (format!("{number:06}"), format!("LINE {number}"));
        files.iter().any(|(path, found)| path.ends_with(&name) && *found == content)
    };
    assert_eq!((0..3000).find(|number| !is_there(*number)), None);
}

#[test]
fn where_a_parent_fails_it_is_skipped() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "1"]);
    let failing = submit(&host, "exit", &["--level", "disk", "--", "3"]);
    let page = submit(&host, "files", &["--gather", &failing, "--", "upper"]);
    let waited = host.spawn(&["wait", &page]).finish(WORK);
    assert_eq!(waited.code, Some(1), "{}", waited.stderr);
    let why = host.cli(&["why", &page]);
    assert!(why.stdout.contains(&failing), "{}{}", why.stdout, why.stderr);
}

#[test]
fn what_can_not_gather_is_told_why() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "1"]);
    let memory = submit(&host, "exit", &["--level", "memory", "--", "0"]);
    let refused = |name: &str, args: &[&str]| {
        let ended = host.cli(&[&["submit", &module(name)], args].concat());
        (ended.code, ended.stderr)
    };
    let (code, said) = refused("files", &["--gather", &memory, "--", "upper"]);
    assert!(code == Some(1) && said.contains("is in memory, where results are not kept"), "{said}");
    let (code, said) = refused("files", &["--gather", "0123456789abcdef", "--", "upper"]);
    assert!(code == Some(1) && said.contains("0123456789abcdef"), "{said}");
    let (code, said) = refused("echo", &["--gather", &memory, "--fn", "upper"]);
    assert!(code == Some(2) && said.contains("--gather"), "{said}");
}
