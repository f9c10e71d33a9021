//! What a map remembers and when it ends early: `--joblog`, `--resume`, `--resume-failed`, `--halt`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use weft_client::api::{ErrorBody, Outcome, Usage};
use weft_client::frames::{self, NodeFrame, Payload, ResultItem};

use crate::live::RunningNode;
use crate::{Said, module, poll, run_with, weft};

const HEADING: &str = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand";

/// `weft map spin.wasm --fn spin --each-line - ARGS..`: a number is a task that succeeds, the larger the slower.
fn map(node: &RunningNode, args: &[&str], stdin: &str) -> Said {
    let spin = module("spin");
    let first = ["map", spin.as_str(), "--fn", "spin", "--each-line", "-", "--no-memo"];
    let mut command = weft(node.path(), &[&first[..], args].concat());
    command.current_dir(node.path());
    run_with(command, stdin.as_bytes())
}

/// Seq, Host, Exitval and Command of each line of the log.
fn logged(node: &RunningNode) -> Vec<(String, String, String, String)> {
    let text = fs::read_to_string(node.path().join("log")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(HEADING));
    let line = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [seq, host, start, runtime, send, receive, exit, signal, command] = columns[..] else {
            panic!("{line}")
        };
        assert!(start.parse::<f64>().unwrap() > 1e9 && runtime.parse::<f64>().unwrap() >= 0.0, "{line}");
        assert!(send.parse::<u64>().is_ok() && receive.parse::<u64>().is_ok() && signal == "0", "{line}");
        (seq.to_owned(), host.to_owned(), exit.to_owned(), command.to_owned())
    };
    lines.map(line).collect()
}

/// A result of a task that printed its number.
fn done(index: u32) -> ResultItem {
    let output = Payload::Inline(index.to_string().into_bytes().into());
    let (errors, files) = (Payload::default(), Payload::default());
    ResultItem {
        number: None,
        index,
        outcome: Outcome::Done,
        output,
        errors,
        files,
        worker: None,
        attempts: 1,
        memo: None,
        usage: Usage::default(),
        receipt: None,
        verified: None,
    }
}

/// Answers one connection as a node that has each blob, and whose job has these ends.
fn answer(mut stream: TcpStream, told: &[u8]) {
    let mut asked = [0; 4096];
    drop(stream.read(&mut asked));
    let head = if asked.starts_with(b"POST /v1/jobs ") {
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    } else if asked.starts_with(b"HEAD ") {
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    } else {
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    };
    drop(stream.write_all(head.as_bytes()));
    if head.contains("chunked") {
        drop(
            stream.write_all(&[format!("{:x}\r\n", told.len()).as_bytes(), told, b"\r\n0\r\n\r\n"].concat()),
        );
        // Until the client has read it.
        while stream.read(&mut asked).is_ok_and(|count| count > 0) {}
    }
}

#[test]
fn what_was_given_out_before_an_error_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let endpoint = serde_json::json!({ "address": address, "token": "t", "pid": 1 });
    fs::write(dir.path().join("api.json"), endpoint.to_string()).unwrap();
    let error = ErrorBody { error: String::from("the disk is full"), expected: None, help: None };
    let frames = [
        NodeFrame::Accepted { job: String::from("a7c372edeab46585") },
        NodeFrame::Results((0..3).map(done).collect()),
        NodeFrame::Error(error),
    ];
    let mut told = Vec::new();
    frames.iter().for_each(|frame| frames::encode(frame, &mut told).unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, told) = (stream.unwrap(), told.clone());
            std::thread::spawn(move || answer(stream, &told));
        }
    });
    let log = dir.path().join("log");
    let spin = module("spin");
    let args = ["map", &spin, "--fn", "spin", "--each-line", "-", "--joblog", log.to_str().unwrap()];
    let said = run_with(weft(dir.path(), &args), b"1\n2\n3\n");
    assert!(said.code == 125 && said.err.contains("the disk is full"), "{said:?}");
    assert_eq!(said.out, "0\n1\n2\n");
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.lines().count(), 4, "the heading and three results: {log}");
}

#[test]
fn a_map_goes_on_by_its_log() {
    let node = RunningNode::start(&["--slots", "1", "--name", "anna"]);
    let said = map(&node, &["--joblog", "log"], "1\nx\n2\n");
    assert_eq!(said.code, 1, "{said:?}");
    let row = |seq: &str, exit: &str, line: &str| {
        (seq.to_owned(), "anna".to_owned(), exit.to_owned(), format!("spin.wasm {line}"))
    };
    assert_eq!(logged(&node), [row("1", "0", "1"), row("2", "1", "x"), row("3", "0", "2")]);

    map(&node, &["--joblog", "log"], "1\n").refused(125, &["--joblog", "--resume", "--force"]);
    let said = map(&node, &["--joblog", "log", "--resume"], "1\nx\n2\n3\n").well();
    assert_eq!(said.out.lines().count(), 1);
    assert!(said.err.contains("3 inputs had ended before"), "{said:?}");
    // The input was mended: the last line about it counts.
    let said = map(&node, &["--joblog", "log", "--resume-failed"], "1\n5\n2\n3\n").well();
    assert_eq!(said.out.lines().count(), 1);
    assert_eq!(logged(&node)[3..], [row("4", "0", "3"), row("2", "0", "5")]);
    let said = map(&node, &["--joblog", "log", "--resume-failed"], "1\n5\n2\n3\n").well();
    assert!(said.out.is_empty() && said.err.contains("4 inputs had ended before"), "{said:?}");
    map(&node, &["--joblog", "log", "--force"], "7\n").well();
    assert_eq!(logged(&node), [row("1", "0", "7")]);

    map(&node, &["--resume"], "1\n").refused_with_usage("--resume");
    map(&node, &["--resume-failed", "--out", "out"], "1\n").refused_with_usage("--joblog");
    fs::write(node.path().join("words"), "1\n").unwrap();
    let spin = module("spin");
    let mut command = weft(
        node.path(),
        &["map", &spin, "--fn", "spin", "--each-line", "words", "--joblog", "words", "--force"],
    );
    run_with(
        {
            command.current_dir(node.path());
            command
        },
        b"",
    )
    .refused(125, &["--joblog", "reads"]);
    assert_eq!(fs::read_to_string(node.path().join("words")).unwrap(), "1\n");
}

/// The reader of the outputs reads nothing: what is on the way to it when the map is killed is in no line of the log.
#[test]
fn no_line_of_the_log_is_without_its_output() {
    let node = RunningNode::start(&["--slots", "1"]);
    let (echo, tasks) = (module("echo"), 2000);
    let lines: String = (0..tasks).map(|number| format!("{number:01000}\n")).collect();
    let path = node.path().join("lines");
    fs::write(&path, lines).unwrap();
    let inputs = path.to_str().unwrap();
    let args = ["map", &echo, "--fn", "upper", "--each-line", inputs, "--joblog", "log"];
    let mut map = weft(node.path(), &args);
    let mut map = map.current_dir(node.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    poll(|| (node.job()?["done"].as_u64()? == tasks).then_some(()));
    map.kill().unwrap();
    let given = map.wait_with_output().unwrap().stdout;
    let outputs = given.iter().filter(|byte| **byte == b'\n').count();
    assert!(outputs < 2000, "a pipe does not hold all of it");
    assert!(logged(&node).len() <= outputs, "{} lines, {outputs} outputs", logged(&node).len());
}

#[test]
fn outputs_and_log_together_say_what_is_left() {
    let node = RunningNode::start(&["--slots", "1"]);
    let both = ["--joblog", "log", "--out", "out"];
    let inputs = "1\nx\n2\n";
    assert_eq!(map(&node, &both, inputs).code, 1);
    fs::remove_file(node.path().join("out/2")).unwrap();
    // The failed one is over by the log; the done one whose output is gone is not.
    let said = map(&node, &[&both[..], &["--resume"]].concat(), inputs).well();
    assert!(said.err.contains("1 task: 1 done") && node.path().join("out/2").exists(), "{said:?}");
    let said = map(&node, &[&both[..], &["--resume-failed"]].concat(), inputs);
    assert!(said.code == 1 && said.err.contains("1 task: 0 done, 1 failed"), "{said:?}");
    // Without a log there is no trace of it.
    let said = map(&node, &["--out", "out", "--resume"], inputs);
    assert!(said.code == 1 && said.err.contains("1 task: 0 done, 1 failed"), "{said:?}");
}

#[test]
fn a_map_ends_early_when_it_is_told_to() {
    let node = RunningNode::start(&["--slots", "1"]);
    // Each of the slow ones would take longer than the test may.
    let slow = "100000000000\n".repeat(50);
    let said =
        map(&node, &["--halt", "now,fail=1", "--timeout", "1h", "--joblog", "log"], &format!("x\n{slow}"));
    assert!(said.code == 1 && said.err.contains("the rest was cancelled, see --halt"), "{said:?}");
    assert_eq!(logged(&node).len(), 1, "cancelled tasks have no line");
    let said = map(&node, &["--halt", "now,success=2", "--timeout", "1h"], &format!("x\n1\n2\n{slow}"));
    assert!(said.code == 0 && said.out.lines().count() == 2, "{said:?}");

    let quick = "1\n".repeat(200);
    let said = map(&node, &["--halt", "soon,fail=1"], &format!("x\n{quick}"));
    assert!(said.code == 1 && said.err.contains("no further input was begun"), "{said:?}");
    assert!(said.out.lines().count() <= 2, "with one slot, two inputs are ahead at most: {said:?}");
    let said = map(&node, &["--halt", "soon,done=5"], &quick);
    assert!((5..=7).contains(&said.out.lines().count()) && said.code == 0, "{said:?}");
    let said = map(&node, &["--halt", "soon,fail=2"], "x\n1\n");
    assert!(said.code == 1 && !said.err.contains("--halt"), "it is not reached: {said:?}");
    map(&node, &["--halt", "later"], "1\n").refused(125, &["--halt", "soon,fail=1"]);
}
