//! What a running node does for the command line.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;

use crate::{DEADLINE, finish, kill, module, poll, run, run_with, weft};

/// A node in a process of its own; killed when dropped.
pub(crate) struct RunningNode {
    child: Child,
    dir: tempfile::TempDir,
    lines: mpsc::Receiver<String>,
    address: String,
}

impl RunningNode {
    /// Starts one and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), args)
    }

    /// Kills it as the system would, and starts it again.
    pub(crate) fn again(&mut self, args: &[&str]) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let other = tempfile::tempdir().unwrap();
        let dir = std::mem::replace(&mut self.dir, other);
        *self = Self::start_in(dir, args);
    }

    fn start_in(dir: tempfile::TempDir, args: &[&str]) -> Self {
        let mut command = weft(dir.path(), &["node", "--no-mdns"]);
        let mut child = command.args(args).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have ended; the node's words are read on, so that it never waits for us.
                drop(sender.send(line));
            }
        });
        let mut node = Self { child, dir, lines, address: String::new() };
        let line = node.wait_for("listening on ");
        node.address = line.rsplit(' ').next().unwrap().to_owned();
        node
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Its oldest job.
    pub(crate) fn job(&self) -> Option<serde_json::Value> {
        run(self.path(), &["jobs", "--json"]).well().json().as_array()?.first().cloned()
    }

    /// The next line with these words.
    fn wait_for(&self, words: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => seen.push(line),
                Err(_late) => panic!("{words:?} is not among {seen:#?}"),
            }
        }
    }
}

impl Drop for RunningNode {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_task_is_run_like_a_program() {
    let node = RunningNode::start(&["--slots", "1"]);
    let lines = module("lines");
    let said = run_with(weft(node.path(), &["run", &lines]), b"one two\nthree\n").well();
    assert_eq!(said.out, "2 3 14\n");
    let said =
        run_with(weft(node.path(), &["run", &lines, "--env", "LABEL=x", "--", "--words"]), b"a b").well();
    assert_eq!(said.out, "2 x\n");
    let file = node.path().join("input");
    std::fs::write(&file, "a\nb\n").unwrap();
    let said = run(node.path(), &["run", &lines, "--stdin", file.to_str().unwrap(), "--", "--lines"]).well();
    assert_eq!(said.out, "2\n");
    let exit = module("exit");
    let said = run(node.path(), &["run", &exit, "--", "7"]);
    assert_eq!((said.code, said.out.as_str()), (7, "this is stdout\n"));
    assert_eq!(said.err, "this is stderr: exiting with 7\n");
    let echo = module("echo");
    let bytes: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
    let said = run_with(weft(node.path(), &["run", &echo, "--fn", "echo"]), &bytes).well();
    assert!(said.raw == bytes, "{} bytes came back", said.raw.len());
    let said = run_with(weft(node.path(), &["run", &echo, "--fn", "fail"]), b"because");
    assert_eq!(said.code, 1);
    assert!(said.err.contains("failed: because"), "{said:?}");
}

#[test]
fn exit_codes_tell_how_a_task_ended() {
    let node = RunningNode::start(&["--slots", "1"]);
    let (trap, spin, exit) = (module("trap"), module("spin"), module("exit"));
    let said = run(node.path(), &["run", &trap, "--fn", "unreachable"]);
    assert_eq!(said.code, 126, "{said:?}");
    let said = run(node.path(), &["run", &spin, "--fn", "forever", "--timeout", "200ms"]);
    assert_eq!(said.code, 124, "{said:?}");
    assert!(said.err.contains("200 ms"), "{said:?}");
    let said = run(node.path(), &["run", &trap, "--fn", "nothing-by-that-name"]);
    assert_eq!(said.code, 125, "{said:?}");
    let json = run(node.path(), &["run", &exit, "--json", "--", "3"]);
    assert_eq!(json.code, 3);
    let json = json.json();
    assert_eq!(json["outcome"], "failed");
    assert_eq!(json["exit_code"], 3);
    assert_eq!(json["output"], "this is stdout\n");
    assert_eq!(json["worker"].as_str().unwrap().len(), 64);
}

#[test]
fn a_map_keeps_the_order_of_its_lines() {
    let node = RunningNode::start(&["--slots", "2"]);
    let echo = module("echo");
    let input: String = (0..3_000).map(|number| format!("line {number}\n")).collect();
    let said =
        run_with(weft(node.path(), &["map", &echo, "--fn", "upper", "--each-line", "-"]), input.as_bytes())
            .well();
    assert!(said.out == input.to_uppercase(), "{} bytes", said.out.len());
    assert!(said.err.contains("3000 tasks: 3000 done, 0 failed") && said.err.contains("/s"), "{said:?}");
}

#[test]
fn failures_are_counted_and_told() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let said = run_with(weft(node.path(), &["map", &spin, "--fn", "spin", "--each-line", "-"]), b"1\nx\n2\n");
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(said.out.lines().count(), 2);
    assert!(said.err.contains("task 1 failed: expected a number"), "{said:?}");
    let many = "x\n".repeat(150);
    let said = run_with(
        weft(node.path(), &["map", &spin, "--fn", "spin", "--each-line", "-", "--json"]),
        many.as_bytes(),
    );
    assert_eq!(said.code, 100);
    let lines = said.json_lines();
    assert_eq!(lines.len(), 150);
    assert!(lines.iter().all(|line| line["outcome"] == "failed"), "{lines:?}");
}

#[test]
fn files_become_files() {
    let node = RunningNode::start(&["--slots", "2"]);
    let work = tempfile::tempdir().unwrap();
    let mut args = vec!["map".to_owned(), module("lines"), "--out".into()];
    args.push(work.path().join("out").to_str().unwrap().to_owned());
    args.push("--each-file".into());
    for (name, text) in [("a.txt", "one\n"), ("b.txt", "one two\n")] {
        std::fs::write(work.path().join(name), text).unwrap();
        args.push(work.path().join(name).to_str().unwrap().to_owned());
    }
    args.extend(["--".into(), "--words".into()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = run(node.path(), &args).well();
    assert!(said.out.is_empty());
    let read = |name: &str| std::fs::read_to_string(work.path().join("out").join(name)).unwrap();
    assert_eq!((read("a.txt").as_str(), read("b.txt").as_str()), ("1\n", "2\n"));
}

#[test]
fn views_are_tables_and_json() {
    let node = RunningNode::start(&["--slots", "3", "--name", "anna", "--label", "rack=3"]);
    let status = run(node.path(), &["status"]).well();
    assert!(status.out.contains("anna") && status.out.contains("3 free of 3"), "{status:?}");
    assert!(status.out.contains("rack=3"), "{status:?}");
    let json = run(node.path(), &["status", "--json"]).well().json();
    assert_eq!(json["slots"], 3);
    assert_eq!(run(node.path(), &["peers", "--json"]).well().out, "[]\n");
    assert!(run(node.path(), &["peers"]).well().err.contains("no peers yet"));
    assert!(run(node.path(), &["jobs"]).well().err.contains("no jobs"));
    for verb in ["cancel", "why"] {
        run(node.path(), &[verb, "0123456789abcdef"]).refused(1, &["no job 0123456789abcdef", "weft jobs"]);
    }
}

#[test]
fn a_job_that_nothing_fits_waits_and_says_why_until_it_is_cancelled() {
    let node = RunningNode::start(&["--slots", "1"]);
    let echo = module("echo");
    let mut command = weft(node.path(), &["run", &echo, "--fn", "echo", "--need", "gpu=yes"]);
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let job = poll(|| node.job())["job"].as_str().unwrap().to_owned();
    assert!(run(node.path(), &["jobs"]).well().out.contains(&job));
    let why = run(node.path(), &["why", &job]).well();
    assert!(why.out.contains("waits for a worker") && why.out.contains("gpu"), "{why:?}");
    assert_eq!(
        run(node.path(), &["why", &format!("{job}/0"), "--json"]).well().json()["task"]["state"],
        "queued"
    );
    let prefix = job.get(..12).unwrap();
    assert!(run(node.path(), &["cancel", prefix]).well().err.contains("is cancelled"));
    assert_eq!(finish(waiting).code, 130);
}

#[test]
fn a_map_that_somebody_cancels_says_so_and_none_of_it_has_failed() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let lines = node.path().join("lines");
    std::fs::write(&lines, "1\n".repeat(20)).unwrap();
    let lines = lines.to_str().unwrap();
    let mut command = weft(node.path(), &["map", &spin, "--fn", "forever", "--each-line", lines]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let job = poll(|| node.job().filter(|job| job["leased"] == 1 && job["tasks"] == 20));
    let job = job["job"].as_str().unwrap();
    run(node.path(), &["cancel", job]).well();
    let said = finish(child);
    assert_eq!(said.code, 130, "{said:?}");
    for words in ["0 done, 0 failed, 20 cancelled", "was cancelled before 20 of its tasks had ended"] {
        assert!(said.err.contains(words), "{words:?} is missing in {said:?}");
    }
}

/// No node will ever take it, so nothing waits for one.
#[test]
fn arguments_that_no_node_can_take_are_refused_at_once() {
    let node = RunningNode::start(&["--slots", "1"]);
    let (spin, long) = (module("spin"), "a".repeat(70_000));
    let words = ["no node can take such a task", "at most 65536", "as the task's input"];
    run(node.path(), &["run", &spin, "--", &long]).refused(125, &words);
    let many = vec![""; 3000];
    let mut args = vec!["run", spin.as_str(), "--"];
    args.extend(many);
    run(node.path(), &args).refused(125, &words);
}

#[test]
fn ctrl_c_cancels_the_job() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let mut command = weft(node.path(), &["map", &spin, "--fn", "spin", "--each-line", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"10\n").unwrap();
    // The first result shows that the job runs; its stdin stays open, so that it does not end by itself.
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    kill(child.id(), "INT");
    let said = finish(child);
    assert_eq!(said.code, 130, "{said:?}");
    assert!(said.err.contains("is cancelled"), "{said:?}");
    drop(stdin);
}

#[test]
fn ctrl_c_cancels_a_single_task_too() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let mut command = weft(node.path(), &["run", &spin, "--fn", "forever"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    poll(|| node.job().filter(|job| job["leased"] == 1));
    kill(child.id(), "INT");
    let said = finish(child).refused(130, &["interrupted", "is cancelled"]);
    assert!(!said.err.contains("panic"), "{said:?}");
    poll(|| node.job().filter(|job| job["cancelled"] == 1 && job["state"] == "cancelled"));
}

#[test]
fn a_long_stdin_leaves_nothing_behind_even_after_a_kill() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let mut command = weft(node.path(), &["run", &spin, "--fn", "forever"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &vec![b'x'; 5 << 20]).unwrap();
    poll(|| node.job().filter(|job| job["leased"] == 1));
    kill(child.id(), "KILL");
    child.wait().unwrap();
    let names = std::fs::read_dir(node.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().contains("stdin")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn whoever_stops_reading_is_left_in_peace() {
    let node = RunningNode::start(&["--slots", "1"]);
    let echo = module("echo");
    let mut command = weft(node.path(), &["map", &echo, "--fn", "echo", "--each-line", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"a\nb\n").unwrap();
    drop(stdin);
    let said = finish(child);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.err.contains("ipe") && !said.err.contains("panic"), "{said:?}");
}

#[test]
fn blobs_go_in_and_out() {
    let node = RunningNode::start(&["--slots", "1"]);
    let file = node.path().join("file");
    let bytes: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    std::fs::write(&file, &bytes).unwrap();
    let id = run(node.path(), &["blob", "put", file.to_str().unwrap()]).well().out;
    let again = run_with(weft(node.path(), &["blob", "put", "-", "--json"]), &bytes).well().json();
    assert_eq!(again["id"], id.trim());
    assert!(run(node.path(), &["blob", "get", id.trim()]).well().raw == bytes);
    let copy = node.path().join("copy");
    run(node.path(), &["blob", "get", id.trim(), "-o", copy.to_str().unwrap()]).well();
    assert!(std::fs::read(copy).unwrap() == bytes);
    let unknown = "0".repeat(64);
    run(node.path(), &["blob", "get", &unknown]).refused(1, &["no blob"]);
}

#[test]
fn a_directory_holds_one_node() {
    let node = RunningNode::start(&["--slots", "1"]);
    let words = ["already runs on", node.path().to_str().unwrap(), "--data-dir"];
    run(node.path(), &["node", "--slots", "1"]).refused(1, &words);
}

#[test]
fn a_taken_port_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let port = address.port().to_string();
    run(dir.path(), &["node", "--no-mdns", "--listen", &address.to_string()]).refused(1, &[&port]);
    run(dir.path(), &["node", "--no-mdns", "--api", &address.to_string()]).refused(1, &[&port, "--api"]);
}

#[test]
fn nodes_of_one_ticket_see_each_other_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let ticket = run(dir.path(), &["init"]).well().out;
    let first = RunningNode::start_in(dir, &["--slots", "1", "--listen", "127.0.0.1:0", "--name", "anna"]);
    let other = tempfile::tempdir().unwrap();
    run(other.path(), &["join", ticket.trim()]).well();
    let args = ["--slots", "1", "--listen", "127.0.0.1:0", "--name", "bert", "--peer", &first.address];
    let second = RunningNode::start_in(other, &args);
    let came = second.wait_for(" came");
    assert!(came.contains("peer "), "{came}");
    first.wait_for(" came");
    let table =
        poll(|| Some(run(first.path(), &["peers"]).well().out).filter(|table| table.contains("bert")));
    assert!(table.starts_with("PEER") && table.contains("here"), "{table}");
    kill(second.child.id(), "TERM");
    second.wait_for("stopped");
    first.wait_for(" went");
}

#[test]
fn a_node_drains_and_stops_by_word() {
    let node = RunningNode::start(&["--slots", "1", "--name", "anna"]);
    let draining = || run(node.path(), &["status", "--json"]).well().json()["draining"] == true;
    assert!(run(node.path(), &["drain", "--wait"]).well().err.contains("holds no task any more"));
    assert!(draining());
    let kept = run(
        node.path(),
        &["submit", &module("echo"), "--fn", "upper", "--level", "disk", "--need", "gpu=yes"],
    )
    .well();
    let said = run(node.path(), &["drain", "--leave"]);
    assert!(said.code == 1 && said.err.contains("its disk alone has 1 job at level disk: "), "{said:?}");
    run(node.path(), &["cancel", kept.out.trim()]).well();
    run(node.path(), &["forget", kept.out.trim()]).well();
    run(node.path(), &["drain", "--leave"]).well();
    assert!(run(node.path(), &["drain", "--off"]).well().err.contains("takes new tasks again"));
    assert!(!draining());
    let mut waiting = weft(node.path(), &["run", &module("echo"), "--fn", "upper", "--need", "gpu=yes"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    poll(|| node.job());
    let said = run(node.path(), &["stop"]).well();
    assert!(
        said.err.contains("node anna is told to stop; 1 job with 1 unfinished task ends with it"),
        "{said:?}"
    );
    assert!(said.err.contains("node anna has stopped"), "{said:?}");
    run(node.path(), &["status"]).refused(1, &["no weft node runs on"]);
    assert_eq!(finish(waiting).code, 125);
}

#[test]
fn a_task_that_ends_by_its_limit_or_is_cancelled_is_no_warning() {
    let node = RunningNode::start(&["--slots", "1"]);
    let spin = module("spin");
    let said = run(node.path(), &["run", &spin, "--fn", "forever", "--timeout", "300ms"]);
    assert_eq!(said.code, 124, "{said:?}");
    let mut forever = weft(node.path(), &["run", &spin, "--fn", "forever"]);
    let forever = forever.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    poll(|| {
        let status = run(node.path(), &["status", "--json"]).well().json();
        (status["sandbox"]["replaced"] == 1 && status["sandbox"]["busy"] == 1).then_some(())
    });
    kill(forever.id(), "INT");
    assert_eq!(finish(forever).code, 130);
    poll(|| {
        (run(node.path(), &["status", "--json"]).well().json()["sandbox"]["replaced"] == 2).then_some(())
    });
    run(node.path(), &["stop"]).well();
    let said: Vec<String> = node.lines.iter().collect();
    assert!(said.iter().any(|line| line.contains("stopped")), "all that it said is here: {said:#?}");
    assert!(!said.iter().any(|line| line.contains("WARN") || line.contains("ERROR")), "{said:#?}");
}

#[test]
fn a_task_that_a_job_does_not_have_is_what_why_speaks_of() {
    let node = RunningNode::start(&["--slots", "1"]);
    run_with(weft(node.path(), &["run", &module("echo"), "--fn", "upper"]), b"x").well();
    let job = node.job().unwrap()["job"].as_str().unwrap().to_owned();
    let task = format!("{job}/9");
    run(node.path(), &["why", &task]).refused(1, &["no task 9 in job", &job, "it has 1, counted from 0"]);
    run(node.path(), &["why", "0123456789abcdef/9"]).refused(1, &["no job 0123456789abcdef"]);
}

#[test]
fn why_says_of_an_ended_task_how_it_ended_and_by_whom() {
    let node = RunningNode::start(&["--slots", "1", "--name", "anna"]);
    let exit = module("exit");
    let job = run(node.path(), &["submit", &exit, "--", "7"]).well().out.trim().to_owned();
    run(node.path(), &["wait", &job]);
    let why = run(node.path(), &["why", &job]).well();
    let words = ["task 0 of job", "failed with exit code 7, by anna (", ", attempt 1"];
    assert!(words.iter().all(|word| why.out.contains(word)), "{why:?}");
    assert!(why.err.contains(&format!("`weft results {job} --from 0`")), "{why:?}");
    let ended = run(node.path(), &["why", &job, "--json"]).well().json()["ended"].clone();
    let told = (&ended["outcome"], &ended["exit_code"], &ended["name"], &ended["attempts"]);
    assert_eq!(told, (&"failed".into(), &7.into(), &"anna".into(), &1.into()));

    // Each by its number; no two are the same, so that none is known from another.
    let lines: String = (0..300).map(|number| format!("fine {number}\n")).collect();
    let args = ["submit", &module("echo"), "--fn", "upper", "--each-line", "-"];
    let job = run_with(weft(node.path(), &args), lines.as_bytes()).well().out.trim().to_owned();
    run(node.path(), &["wait", &job]).well();
    let why = run(node.path(), &["why", &format!("{job}/299")]).well();
    assert!(why.out.contains("task 299 of job") && why.out.contains(": done, by anna ("), "{why:?}");
    assert!(run(node.path(), &["why", &job]).well().out.contains("task 0 of job"));

    // Where it is kept nowhere, that is what is said.
    let args = ["run", &module("echo"), "--fn", "upper", "--name", "attached"];
    run_with(weft(node.path(), &args), b"x").well();
    let why = run(node.path(), &["why", "attached"]).well();
    assert!(why.out.contains(": ended\n") && why.out.contains("went to the client"), "{why:?}");
}

#[test]
fn letters_that_steer_a_terminal_are_escaped_in_json_and_left_alone_in_a_pipe() {
    let node = RunningNode::start(&["--slots", "1"]);
    let echo = module("echo");
    let hostile = "a\u{9b}2J\u{202e}b\u{2066}\u{2028}\x1b[2Jc";
    let said =
        run_with(weft(node.path(), &["run", &echo, "--fn", "echo", "--json"]), hostile.as_bytes()).well();
    assert!(said.out.contains("a\\u009b2J\\u202eb\\u2066\\u2028\\u001b[2Jc"), "{}", said.out.escape_debug());
    assert_eq!(said.json()["output"], hostile);
    let said = run_with(weft(node.path(), &["run", &echo, "--fn", "echo"]), hostile.as_bytes()).well();
    assert_eq!(said.raw, hostile.as_bytes());
    let each = ["map", &echo, "--fn", "echo", "--json", "--each-line", "-"];
    let said = run_with(weft(node.path(), &each), "\u{85}\u{202e}".as_bytes()).well();
    assert!(said.out.contains("\\u0085\\u202e"), "{}", said.out.escape_debug());
}
