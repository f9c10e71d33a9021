//! Jobs that go on without their submitter: handed in, waited for, shown again and again, found, forgotten.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::live::RunningNode;
use crate::{Said, finish, kill, module, poll, run, run_with, weft};

/// `weft submit MODULE ARGS..` with that stdin, on this node.
fn submit(node: &RunningNode, name: &str, args: &[&str], stdin: &str) -> Said {
    let module = module(name);
    run_with(weft(node.path(), &[&["submit", module.as_str()], args].concat()), stdin.as_bytes())
}

/// The id of a job that was handed in: it is alone on stdout.
fn id(said: &Said) -> String {
    let id = said.out.strip_suffix('\n').unwrap();
    assert!(id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{said:?}");
    id.to_owned()
}

/// The ids that `weft jobs ARGS.. --json` lists.
fn listed(node: &RunningNode, args: &[&str]) -> Vec<String> {
    let said = run(node.path(), &[&["jobs", "--json"], args].concat()).well();
    let jobs = said.json().as_array().unwrap().clone();
    jobs.iter().map(|job| job["job"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_job_that_is_handed_in_is_shown_as_a_map_again_and_again() {
    let node = RunningNode::start(&["--slots", "2", "--name", "anna"]);
    let input: String = (0..500).map(|number| format!("line {number}\n")).collect();
    let named = ["--fn", "upper", "--each-line", "-", "--name", "friday", "--label", "team=fonts"];
    let said = submit(&node, "echo", &[&named[..], &["--level", "memory"]].concat(), &input).well();
    let job = id(&said);
    assert_eq!(said.err.trim_end(), "weft: kept in the memory of anna; it ends with that node");
    let said = run(node.path(), &["wait", "friday"]).well();
    assert!(said.err.contains("500 tasks: 500 done, 0 failed"), "{said:?}");
    for name in ["friday", job.as_str(), job.get(..12).unwrap()] {
        let said = run(node.path(), &["results", name]).well();
        assert!(said.out == input.to_uppercase() && said.err.is_empty(), "{said:?}");
    }
    let said = run(node.path(), &["results", "friday", "--from", "498"]).well();
    assert_eq!(said.out, "LINE 498\nLINE 499\n");
    let said = run(node.path(), &["attach", "friday", "--from", "499"]).well();
    assert_eq!(said.out, "LINE 499\n");
    let lines = run(node.path(), &["results", "friday", "--json"]).well().json_lines();
    assert_eq!(lines.len(), 500);
    assert_eq!(lines.iter().filter(|line| line["outcome"] == "done").count(), 500);

    let out = node.path().join("out");
    let out = out.to_str().unwrap();
    run(node.path(), &["results", "friday", "--out", out]).well();
    assert_eq!(fs::read_to_string(format!("{out}/499")).unwrap(), "LINE 499");
    run(node.path(), &["results", "friday", "--out", out]).refused(125, &["is not empty", "--resume"]);
    fs::write(format!("{out}/7"), "mine").unwrap();
    fs::remove_file(format!("{out}/8")).unwrap();
    run(node.path(), &["results", "friday", "--out", out, "--resume"]).well();
    let read = |name: &str| fs::read_to_string(format!("{out}/{name}")).unwrap();
    assert_eq!((read("7"), read("8")), ("mine".into(), "LINE 8".into()));
    // A run that was killed between the files of an output and the output itself left those.
    fs::remove_file(format!("{out}/9")).unwrap();
    fs::create_dir(format!("{out}/9.out")).unwrap();
    run(node.path(), &["results", "friday", "--out", out, "--resume"]).well();
    assert_eq!((read("7"), read("9")), ("mine".into(), "LINE 9".into()));
    assert!(!fs::exists(format!("{out}/9.out")).unwrap());
    run(node.path(), &["results", "friday", "--out", out, "--force"]).well();
    assert_eq!((read("7"), read("9")), ("LINE 7".into(), "LINE 9".into()));
    let names = format!("{out}/{{index}}.txt");
    run(node.path(), &["results", "friday", "--out", &names, "--force"]).well();
    assert_eq!(read("7.txt"), "LINE 7");
    let names = format!("{out}/{{stem}}");
    run(node.path(), &["results", "friday", "--out", &names, "--force"]).refused(125, &["{stem}", "{index}"]);

    let view = run(node.path(), &["jobs", "--json"]).well().json()[0].clone();
    let told = (&view["name"], &view["labels"]["team"], &view["level"], &view["detached"]);
    assert_eq!(told, (&"friday".into(), &"fonts".into(), &"memory".into(), &Value::Bool(true)));
    run(node.path(), &["forget", "friday"]).well();
    run(node.path(), &["wait", &job]).refused(125, &["no job", "was forgotten", "s ago"]);
    run(node.path(), &["results", job.split_at(8).0]).refused(125, &[&job, "was forgotten"]);
}

#[test]
fn one_task_is_handed_in_as_it_is_run() {
    let node = RunningNode::start(&["--slots", "1"]);
    let job = id(&submit(&node, "exit", &["--", "7"], "").well());
    let said = run(node.path(), &["wait", &job]);
    assert_eq!(said.code, 1, "one task failed: {said:?}");
    let said = run(node.path(), &["results", &job]);
    assert!(said.code == 1 && said.err.contains("task 0 failed with exit code 7"), "{said:?}");
    let job = id(&submit(&node, "lines", &[], "one two\nthree\n").well());
    run(node.path(), &["wait", &job]).well();
    assert_eq!(run(node.path(), &["results", &job]).well().out, "2 3 14\n");
    let file = node.path().join("input");
    fs::write(&file, "a\nb\n").unwrap();
    let said =
        submit(&node, "lines", &["--stdin", file.to_str().unwrap(), "--json", "--", "--lines"], "").well();
    let job = said.json()["job"].as_str().unwrap().to_owned();
    run(node.path(), &["wait", &job]).well();
    assert_eq!(run(node.path(), &["results", &job]).well().out, "2\n");
}

#[test]
fn failed_tasks_count_as_of_a_map() {
    let node = RunningNode::start(&["--slots", "1"]);
    let inputs = ["--fn", "spin", "--each-line", "-", "--level", "memory"];
    let job = id(&submit(&node, "spin", &inputs, "1\nx\n2\n").well());
    let said = run(node.path(), &["wait", &job, "--json"]);
    assert_eq!((said.code, &said.json()["failed"]), (1, &1.into()), "{said:?}");
    for verb in ["results", "attach"] {
        let said = run(node.path(), &[verb, &job]);
        assert_eq!((said.code, said.out.lines().count()), (1, 2), "{said:?}");
        assert!(said.err.contains("task 1 failed: expected a number"), "{said:?}");
    }
    run(node.path(), &["retry", &job]).refused(1, &["not kept on disk", "level disk"]);
    assert_eq!(listed(&node, &["--state", "failed"]), [job.as_str()]);
    assert!(listed(&node, &["--state", "done,cancelled,unfinished"]).is_empty());
}

#[test]
fn a_job_that_has_not_ended_says_what_is_missing_and_goes_on_when_left() {
    let node = RunningNode::start(&["--slots", "1"]);
    let job =
        id(&submit(&node, "echo", &["--fn", "upper", "--need", "gpu=yes", "--name", "later"], "x").well());
    run(node.path(), &["results", "later"]).refused(125, &["has not ended", "0 of 1", "task 0", "--follow"]);
    run(node.path(), &["forget", "later"]).refused(1, &["has not ended", "cancel"]);
    run(node.path(), &["retry", "later"]).refused(1, &["has not ended"]);
    for verb in [&["wait", "later"][..], &["attach", "later"], &["results", "later", "--follow"]] {
        let command = weft(node.path(), verb).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It is asked for once it listens for an interrupt.
        poll(|| {
            let signals = fs::read_to_string(format!("/proc/{}/status", command.id())).unwrap();
            let caught = signals.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
            (caught & 2 != 0).then_some(())
        });
        kill(command.id(), "INT");
        let said = finish(command);
        assert!(said.code == 130 && said.err.contains(&job), "{said:?}");
    }
    assert_eq!(listed(&node, &["--state", "running"]), [job.as_str()]);
    run(node.path(), &["cancel", "later"]).well();
    let said = run(node.path(), &["wait", "later"]);
    assert!(said.code == 130 && said.err.contains("was cancelled"), "{said:?}");
    assert_eq!(run(node.path(), &["results", "later"]).code, 130);
    assert_eq!(listed(&node, &["--state", "cancelled"]), [job.as_str()]);
}

#[test]
fn half_a_job_that_is_cancelled_is_no_success_though_each_of_its_tasks_is_done() {
    let node = RunningNode::start(&["--slots", "1"]);
    for level in ["memory", "disk"] {
        let name = format!("half-{level}");
        let module = module("echo");
        let args = ["map", &module, "--fn", "upper", "--each-line", "-", "--level", level, "--name", &name];
        let mut command = weft(node.path(), &args);
        let mut map =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = map.stdin.take().unwrap();
        lines.write_all(b"a\nb\n").unwrap();
        let job = poll(|| {
            let jobs = run(node.path(), &["jobs", "--name", &name, "--json"]).well().json();
            let job = jobs.as_array().unwrap().first().filter(|job| job["done"] == 2)?;
            assert_eq!(job["open"], true);
            Some(job["job"].as_str().unwrap().to_owned())
        });
        run(node.path(), &["cancel", &job]).well();
        let said = finish(map);
        assert!(said.code == 130 && said.err.contains("before all of its inputs had come"), "{said:?}");
        assert_eq!(said.out, "A\nB\n");
        drop(lines);
        let said = run(node.path(), &["wait", &job]);
        assert!(said.code == 130 && said.err.contains("before all of its inputs had come"), "{said:?}");
        if level == "disk" {
            for verb in ["results", "attach"] {
                let said = run(node.path(), &[verb, &job]);
                assert!(said.code == 130 && said.out == "A\nB\n", "{said:?}");
            }
            // As the node's log has it: what comes after a job that succeeded would run.
            let after =
                id(&submit(&node, "echo", &["--fn", "upper", "--level", "memory", "--after", &job], "x")
                    .well());
            let said = run(node.path(), &["wait", &after]);
            assert!(said.code == 1 && said.err.contains("0 done, 1 failed"), "{said:?}");
        }
    }
}

#[test]
fn jobs_are_listed_in_pages_and_by_what_they_are_called() {
    let node = RunningNode::start(&["--slots", "2"]);
    let mut jobs = Vec::new();
    for number in 0..17 {
        let label = format!("number={number}");
        let name = if number < 2 { "twin" } else { "one of many" };
        let args = ["--fn", "upper", "--label", "all=yes", "--label", &label, "--name", name];
        jobs.push(id(&submit(&node, "echo", &args, "x").well()));
    }
    assert_eq!(listed(&node, &[]), jobs);
    assert_eq!(listed(&node, &["--limit", "3"]), jobs[14..]);
    assert_eq!(listed(&node, &["--limit", "3", "--before", &jobs[14]]), jobs[11..14]);
    assert_eq!(listed(&node, &["--label", "all=yes", "--label", "number=4"]), [jobs[4].as_str()]);
    assert_eq!(listed(&node, &["--name", "twin"]), jobs[..2]);
    assert_eq!(listed(&node, &["--since", "1h", "--name", "twin"]), jobs[..2]);
    let said = run(node.path(), &["jobs", "--limit", "5"]).well();
    assert_eq!(said.out.lines().count(), 6);
    assert!(said.err.contains("--before"), "{said:?}");
    let said = run(node.path(), &["jobs", "--name", "triplet"]).well();
    assert!(said.out.is_empty() && said.err.contains("no such jobs"), "{said:?}");
    run(node.path(), &["wait", "twin"])
        .refused(125, &["several jobs have the name twin", &format!("{} (", jobs[0]), &jobs[1], " ago)"]);
    // Of 17 ids, two begin with the same digit.
    let digits = "0123456789abcdef".split("").filter(|digit| !digit.is_empty());
    let several = |digit: &&str| jobs.iter().filter(|job| job.starts_with(*digit)).count() > 1;
    let digit = { digits }.find(several).unwrap();
    run(node.path(), &["wait", digit]).refused(125, &["several jobs begin with"]);
    run(node.path(), &["cancel", digit]).refused(1, &["several jobs begin with"]);
}

#[test]
fn what_can_not_be_kept_or_called_so_is_refused_in_one_line() {
    let node = RunningNode::start(&["--slots", "1"]);
    let echo = module("echo");
    let tried = |args: &[&str]| run(node.path(), &[&["submit", &echo, "--fn", "upper"], args].concat());
    tried(&["--level", "mesh"]).refused(
        1,
        &["level mesh is kept by three nodes, and 1 here can", "start `weft node`", "--level disk"],
    );
    tried(&["--level", "Disk"]).refused(2, &["--level", "memory, disk or mesh"]);
    tried(&["--label", "team"]).refused(2, &["--label", "NAME=VALUE"]);
    tried(&["--label", "a=1", "--label", "a=2"]).refused(2, &["--label", "twice"]);
    tried(&["--name", ""]).refused(2, &["--name"]);
    tried(&["--name", "cafe"]).refused(2, &["looks like an id"]);
    tried(&["--name", "a/b"]).refused(2, &["slashes"]);
    tried(&["--name", "a\u{1b}[31mb"]).refused(2, &["control characters"]);
    tried(&["--label", "a=\u{7}"]).refused(1, &["control characters"]);
    let many: Vec<String> = (0..33).map(|number| format!("--label=l{number}=x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    tried(&many).refused(1, &["33 labels", "at most 32"]);
    let said = run(node.path(), &["run", &echo, "--fn", "upper", "--level", "mesh"]);
    assert!(said.code == 125 && said.err.contains("kept by three nodes"), "{said:?}");
    for verb in ["wait", "results", "attach"] {
        run(node.path(), &[verb, "0123456789abcdef"]).refused(125, &["no job 0123456789abcdef"]);
        run(node.path(), &[verb, "no such name"]).refused(125, &["no job no such name"]);
    }
    for verb in ["cancel", "retry", "forget"] {
        run(node.path(), &[verb, "0123456789abcdef"]).refused(1, &["no job 0123456789abcdef"]);
    }
    run(node.path(), &["jobs", "--state", "lost"]).refused(2, &["--state", "waiting, running"]);
    tried(&["--each-line", "/no/such/file"]).refused(1, &["/no/such/file"]);
    tried(&["--each-file", "/proc/self/mem"]).refused(1, &["/proc/self/mem"]);
    poll(|| listed(&node, &["--state", "unfinished"]).is_empty().then_some(()));
}

#[test]
fn an_attached_job_in_memory_shows_its_results_once() {
    let node = RunningNode::start(&["--slots", "1"]);
    let echo = module("echo");
    run_with(
        weft(node.path(), &["map", &echo, "--fn", "upper", "--each-line", "-", "--name", "once"]),
        b"a\n",
    )
    .well();
    run(node.path(), &["results", "once"]).refused(125, &["flow to its submitter", "level disk"]);
    run(node.path(), &["wait", "once"]).well();
}
