//! Flows with real processes: a second run does only what is new, a flow goes on without its command and over its node's death, what
//! failed or was cancelled runs again, and what can't be is refused before anything runs.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says what it saw"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::Value;
use support::{Host, all_meet, eventually, mesh_key, module, turn};

/// Some seconds' work has got on after this, whatever happened to its node.
const WORK: Duration = Duration::from_secs(180);

/// Writes a flow's file with these steps, in which `NAME.wasm` of a module is its file; its path.
fn flow(host: &Host, steps: &str) -> String {
    let path = host.path("flow.toml");
    let named = ["echo", "files", "exit", "spin", "lines"];
    let steps = named.iter().fold(steps.to_owned(), |steps, name| {
        steps.replace(&format!("'{name}.wasm'"), &format!("'{}'", module(name)))
    });
    fs::write(&path, format!("[flow]\nname = 'words'\n{steps}")).unwrap();
    path.display().to_string()
}

/// The words of two steps in a row, and a page of them.
const WORDS: &str = "[step.upper]\nmodule = 'echo.wasm'\nfn = 'upper'\neach = 'lines:words.txt'\n\
                     [step.again]\nmodule = 'echo.wasm'\nfn = 'upper'\neach = '@upper'\n\
                     [step.page]\nmodule = 'files.wasm'\ngather = '@again'\nargs = ['upper']\n";

/// Runs a flow to its end; its exit code and what it said.
#[track_caller]
fn run(host: &Host, args: &[&str]) -> (Option<i32>, String) {
    let ended = host.spawn(&[&["flow", "run"], args].concat()).finish(WORK);
    (ended.code, ended.stderr)
}

/// What `weft flow plan` says about each step: the decision, and why.
#[track_caller]
fn planned(host: &Host, args: &[&str]) -> BTreeMap<String, (String, String)> {
    let ended = host.cli(&[&["flow", "plan", "--json"], args].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (text(&line["step"]), (text(&line["decision"]), text(&line["why"])))
    };
    ended.stdout.lines().map(line).collect()
}

fn decisions(plan: &BTreeMap<String, (String, String)>, steps: [&str; 3]) -> [String; 3] {
    steps.map(|step| plan[step].0.clone())
}

/// The jobs of all flows on the node.
fn jobs(host: &Host) -> Vec<Value> {
    host.json(&["jobs", "--all", "--json"]).as_array().unwrap().clone()
}

#[test]
fn a_second_run_does_only_what_is_new_and_says_why() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "2"]);
    fs::write(host.path("words.txt"), "one\ntwo\n").unwrap();
    let path = flow(&host, WORDS);
    let out = host.path("out").display().to_string();
    let (code, said) = run(&host, &[&path, "--out", &out]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_to_string(host.path("out/page/0")).unwrap(), "/in/000000\n/in/000001\n");
    assert_eq!(fs::read_to_string(host.path("out/page/0.out/000001")).unwrap(), "TWO");
    // Nothing is new, whatever the times of files say.
    fs::write(host.path("words.txt"), "one\ntwo\n").unwrap();
    let (code, said) = run(&host, &[&path]);
    assert_eq!((code, said.matches(": kept, ").count()), (Some(0), 3), "{said}");
    assert_eq!(jobs(&host).len(), 3);
    // One step's arguments.
    let changed = flow(&host, &WORDS.replace("['upper']", "['lower']"));
    let plan = planned(&host, &[&changed]);
    assert_eq!(decisions(&plan, ["upper", "again", "page"]), ["kept", "kept", "new"], "{plan:?}");
    assert_eq!(plan["page"].1, "the arguments changed");
    // An input, and all that takes from it.
    let path = flow(&host, WORDS);
    fs::write(host.path("words.txt"), "one\nthree\n").unwrap();
    let plan = planned(&host, &[&path]);
    let whys = ["upper", "again", "page"].map(|step| plan[step].1.as_str());
    assert_eq!(whys, ["the inputs changed", "step upper runs anew", "step again runs anew"]);
    let plan = planned(&host, &[&path, "--only", "again"]);
    assert_eq!(plan.keys().map(String::as_str).collect::<Vec<_>>(), ["again", "upper"]);
    let (code, said) = run(&host, &[&path]);
    assert_eq!(code, Some(0), "{said}");
    let status = host.cli(&["flow", "status", "words", "--json"]).stdout;
    assert_eq!(status.matches("\"state\":\"done\"").count(), 3, "{status}");
    // By name, without its file; and what a later run replaced goes.
    let forgotten = host.cli(&["flow", "forget", "words", "--old"]);
    assert!(
        forgotten.code == Some(0) && forgotten.stderr.contains("3 jobs forgotten"),
        "{}",
        forgotten.stderr
    );
    let plan = planned(&host, &[&path, "--from", "again"]);
    assert_eq!(decisions(&plan, ["upper", "again", "page"]), ["kept", "new", "new"], "{plan:?}");
    host.cli(&["flow", "forget", "words"]);
    assert_eq!(jobs(&host), Vec::<Value>::new());
}

#[test]
fn the_example_gives_what_a_direct_count_gives() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "2"]);
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let flow = examples.join("words.toml").display().to_string();
    let out = host.path("out").display().to_string();
    let (code, said) = run(&host, &[&flow, "--out", &out]);
    assert_eq!(code, Some(0), "{said}");
    let text = fs::read_to_string(examples.join("data/shakespeare.txt")).unwrap().to_lowercase();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    for word in words.map(|word| word.trim_matches('\'')).filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let expected: String = counts.iter().take(20).map(|(word, count)| format!("{word}\t{count}\n")).collect();
    assert_eq!(fs::read_to_string(host.path("out/top/0")).unwrap(), expected);
}

#[test]
fn a_flow_goes_on_without_its_command_and_when_its_node_is_killed() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&["--slots", "2"]);
    let lines: String = (0..2000).map(|number| format!("word {number}\n")).collect();
    fs::write(host.path("words.txt"), lines).unwrap();
    let path = flow(&host, WORDS);
    let mut first = host.spawn(&["flow", "run", &path]);
    eventually(WORK, "all steps are handed in, and some tasks are done", || {
        let all = jobs(&host);
        (all.len() == 3 && all[0]["done"].as_u64()? > 0).then_some(())
    });
    first.kill9();
    node.process.kill9();
    let _node = host.loopback_node(&["--slots", "2"]);
    let out = host.path("out").display().to_string();
    let (code, said) = run(&host, &[&path, "--out", &out]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(jobs(&host).len(), 3, "nothing is begun twice");
    let page = fs::read_to_string(host.path("out/page/0")).unwrap();
    assert_eq!(page.lines().count(), 2000);
    assert_eq!(fs::read_to_string(host.path("out/page/0.out/001999")).unwrap(), "WORD 1999");
}

#[test]
fn among_many_nodes_three_keep_all_of_a_flow_and_can_gather_it() {
    let _turn = turn();
    let key = mesh_key();
    let hosts: Vec<Host> = (0..6).map(|_| Host::new(&key)).collect();
    let mut nodes = vec![hosts[0].loopback_node(&["--slots", "2"])];
    for host in &hosts[1..] {
        let address = nodes[0].address.clone();
        nodes.push(host.loopback_node(&["--slots", "0", "--peer", &address]));
    }
    all_meet(&hosts.iter().zip(&nodes).collect::<Vec<_>>(), WORK);
    let host = &hosts[0];
    fs::write(host.path("words.txt"), "one\ntwo\n").unwrap();
    let root =
        |name: &str| format!("[step.{name}]\nmodule = 'echo.wasm'\nfn = 'upper'\neach = 'lines:words.txt'\n");
    let steps: String = ["a", "b", "c", "d"].map(root).concat();
    let gathers = "[step.page]\nmodule = 'files.wasm'\ngather = ['@a', '@b', '@c', '@d']\nargs = ['upper']\n";
    let path = flow(host, &format!("{steps}{gathers}"));
    let (code, said) = run(host, &[&path]);
    assert_eq!(code, Some(0), "{said}");
    let keepers = |job: &Value| -> BTreeSet<String> {
        job["keepers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["peer"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = jobs(host);
    assert!(all.len() == 5 && all.iter().all(|job| job["level"] == "mesh"), "{said}");
    let trios: BTreeSet<_> = all.iter().map(keepers).collect();
    assert!(trios.len() == 1 && trios.iter().all(|trio| trio.len() == 3), "{trios:?}");
}

#[test]
fn what_was_cancelled_runs_again_in_every_step() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let mut node = host.loopback_node(&["--slots", "0"]);
    fs::write(host.path("words.txt"), "one\ntwo\n").unwrap();
    let path = flow(&host, WORDS);
    let (code, said) = run(&host, &[&path, "--no-wait"]);
    assert_eq!(code, Some(0), "{said}");
    let cancelled = host.cli(&["flow", "cancel", &path]);
    assert!(
        cancelled.code == Some(0) && cancelled.stderr.contains("3 jobs cancelled"),
        "{}",
        cancelled.stderr
    );
    eventually(WORK, "all have ended", || {
        jobs(&host).iter().all(|job| job["state"] == "cancelled").then_some(())
    });
    let plan = planned(&host, &[&path]);
    assert_eq!(decisions(&plan, ["upper", "again", "page"]), ["retry"; 3].map(String::from), "{plan:?}");
    node.process.kill9();
    let _node = host.loopback_node(&["--slots", "2"]);
    let retried = host.spawn(&["flow", "retry", &path]).finish(WORK);
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    assert_eq!(jobs(&host).iter().filter(|job| job["state"] == "done").count(), 3);
}

#[test]
fn a_failure_ends_its_step_and_skips_what_takes_from_it_alone() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "1"]);
    fs::write(host.path("words.txt"), "one\ntwo\nthree\n").unwrap();
    let steps = "[step.bad]\nmodule = 'exit.wasm'\nargs = ['3']\neach = 'lines:words.txt'\n\
                 [step.page]\nmodule = 'files.wasm'\ngather = '@bad'\nargs = ['upper']\n\
                 [step.other]\nmodule = 'echo.wasm'\nfn = 'upper'\neach = 'lines:words.txt'\n\
                 [step.last]\nmodule = 'echo.wasm'\nfn = 'upper'\nafter = 'bad'\neven-if-failed = true\n";
    let path = flow(&host, steps);
    let (code, said) = run(&host, &[&path, "--keep-going"]);
    assert_eq!(code, Some(4), "three tasks and the page: {said}");
    let state = |step: &str| {
        let jobs = jobs(&host);
        let job = jobs.iter().find(|job| job["labels"]["step"] == step).unwrap();
        job["state"].as_str().unwrap().to_owned()
    };
    let states = ["bad", "page", "other", "last"].map(state);
    assert_eq!(states, ["failed", "failed", "done", "done"]);
    let why = host.cli(&["flow", "why", "bad/1", "--flow", &path]);
    assert!(why.stdout.contains("failed with exit code 3"), "{}{}", why.stdout, why.stderr);
    let why = host.cli(&["flow", "why", "bda", "--flow", &path]);
    assert!(why.code == Some(125) && why.stderr.contains("did you mean bad?"), "{}", why.stderr);
    // It is tried again in place, and what is done stays.
    let (code, said) = run(&host, &[&path]);
    assert!(code == Some(4) && said.contains("step bad: 3 tasks of job"), "{said}");
    assert_eq!(jobs(&host).len(), 4);
    // Without the flag the first failure ends a step.
    let (code, said) = run(&host, &[&path, "--from", "bad"]);
    assert!(code == Some(2) && said.contains("it ended at a failure"), "{said}");
    // And what it says then is so.
    let (code, said) = run(&host, &[&path, "--keep-going"]);
    assert!(code == Some(4) && said.contains("ends at its first failure"), "{said}");
    assert!(said.contains("step bad: 0 done, 3 failed"), "{said}");
}

#[test]
fn what_can_not_run_is_one_line_and_nothing_half_made_stays() {
    let _turn = turn();
    let host = Host::new(&mesh_key());
    let _node = host.loopback_node(&["--slots", "1"]);
    fs::write(host.path("words.txt"), "one\n").unwrap();
    let first = "[step.first]\nmodule = 'echo.wasm'\neach = 'lines:words.txt'\n";
    for (steps, expected) in [
        (
            "[step.a]\nmodule = 'echo.wasm'\neach = '@b'\n[step.b]\nmodule = 'echo.wasm'\neach = '@a'",
            "in a circle",
        ),
        (
            "[step.a]\nmodule = 'echo.wasm'\neach = '@frist'",
            "line 6: step a: there is no step frist; did you mean first?",
        ),
        ("[step.first]\nmodule = 'echo.wasm'", "line 6: duplicate key"),
        ("[step.a]\nmodule = 'echo.wasm'\neach = 'photos/*.jpg'", "no file matches `photos/*.jpg`"),
        (
            "[step.a]\nmodule = 'echo.wasm'\nretires = 3",
            "line 8: step a: unknown key retires; did you mean retries?",
        ),
        (
            "[step.a]\nmodule = 'echo.wasm'\nretries = 'many'",
            "retries: invalid value `many`: expected a whole number from 0 to 100",
        ),
        ("[step.a]\nmodule = 'none.wasm'", "none.wasm"),
        ("[step.a]\nmodule = 'words.txt'", "is not a WebAssembly module"),
    ] {
        let path = flow(&host, &format!("{first}{steps}"));
        for verb in ["check", "plan", "run"] {
            let ended = host.cli(&["flow", verb, &path]);
            assert_eq!(
                (ended.code, ended.stderr.lines().count()),
                (Some(125), 1),
                "{verb} {steps}: {}",
                ended.stderr
            );
            assert!(ended.stderr.contains(expected), "{steps}: {}", ended.stderr);
        }
    }
    assert_eq!(jobs(&host), Vec::<Value>::new());
    let path = flow(&host, first);
    let checked = host.cli(&["flow", "check", &path]);
    assert!(
        checked.code == Some(0) && checked.stderr.contains("flow words is right, with 1 step"),
        "{}",
        checked.stderr
    );
    let none = host.cli(&["flow", "status", "thumbs"]);
    assert!(none.code == Some(125) && none.stderr.contains("flow thumbs has no jobs"), "{}", none.stderr);
}
