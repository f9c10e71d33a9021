//! `weft map` with a real node: where its inputs come from, what each task is given, where its outputs go, and that one
//! fault costs one task.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::live::RunningNode;
use crate::{Said, finish, kill, module, poll, run, run_with, weft};

/// A node, and a directory to work in.
struct Bench {
    node: RunningNode,
    work: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { node: RunningNode::start(&["--slots", "2"]), work: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// Makes a file; its path as a word.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `weft map MODULE ARGS..`, with paths from the working directory.
    fn map(&self, name: &str, args: &[&str], stdin: &str) -> Said {
        let module = module(name);
        let mut command = weft(self.node.path(), &[&["map", module.as_str()], args].concat());
        command.current_dir(self.work.path());
        run_with(command, stdin.as_bytes())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names in a directory, sorted.
    fn names(&self, dir: &str) -> Vec<String> {
        let Ok(found) = fs::read_dir(self.path(dir)) else { return Vec::new() };
        let mut names: Vec<String> =
            found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn an_input_that_cant_be_read_is_one_failed_task() {
    let bench = Bench::new();
    for name in ["a", "b"] {
        bench.file(name, name);
    }
    // A file that is there and can be opened, and whose first byte can't be read.
    let unreadable = "/proc/self/mem";
    let args = ["--fn", "upper", "--out", "out", "--each-file", "a", unreadable, "b"];
    let said = bench.map("echo", &args, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("/proc/self/mem (task 1) can't run: cannot read /proc/self/mem"), "{said:?}");
    assert!(said.err.contains("3 tasks: 2 done, 1 failed"), "{said:?}");
    assert_eq!((bench.read("out/a"), bench.read("out/b")), ("A".into(), "B".into()));
    let said = bench.map("echo", &["--fn", "upper", "--each-file", "a", unreadable, "b"], "");
    assert_eq!((said.code, said.out.as_str()), (1, "A\nB\n"), "the order is kept: {said:?}");
    let json = bench.map("echo", &["--fn", "upper", "--json", "--each-file", "a", unreadable, "b"], "");
    let mut outcomes: Vec<(u64, String)> = json
        .json_lines()
        .iter()
        .map(|line| (line["index"].as_u64().unwrap(), line["outcome"].as_str().unwrap().to_owned()))
        .collect();
    outcomes.sort();
    assert_eq!(outcomes, [(0, "done".into()), (1, "invalid".into()), (2, "done".into())]);
}

#[test]
fn too_many_inputs_that_cant_be_read_end_the_job() {
    let bench = Bench::new();
    let mut args = vec!["--fn", "spin", "--max-failures", "2", "--each-file"];
    args.extend(["/proc/self/mem"; 5]);
    let slow = bench.file("slow", "1000000000");
    args.push(&slow);
    let said = bench.map("spin", &args, "");
    assert!(said.code >= 3, "{said:?}");
    assert!(said.err.contains("more than 2 tasks failed") && said.err.contains("--max-failures"), "{said:?}");
}

#[test]
fn no_name_of_an_output_is_in_the_way_of_another() {
    let bench = Bench::new();
    let longest = "n".repeat(255);
    let names = ["song.ogg", "song.ogg.part", longest.as_str()];
    for name in names {
        bench.file(name, name);
    }
    for order in [[0, 1, 2], [1, 0, 2]] {
        let args =
            [&["--fn", "upper", "--out", "out", "--each-file"][..], &order.map(|at| names[at])].concat();
        bench.map("echo", &args, "").well();
        for name in names {
            assert_eq!(bench.read(&format!("out/{name}")), name.to_uppercase());
        }
        assert_eq!(bench.names("out").len(), 3, "nothing else is left there");
        fs::remove_dir_all(bench.path("out")).unwrap();
    }
}

#[test]
fn outputs_of_two_runs_are_never_mixed() {
    let bench = Bench::new();
    for (name, text) in
        [("in/x", "10"), ("in/y", "ten"), ("i1/one", "1"), ("i2/two", "2"), ("out/mine", "mine")]
    {
        bench.file(name, text);
    }
    let upper = |args: &[&str]| {
        bench.map("echo", &[&["--fn", "upper", "--each-file", "in/x", "in/y"], args].concat(), "")
    };
    let refused = upper(&["--out", "out"]);
    assert_eq!(refused.code, 125);
    assert!(
        ["out is not empty", "--resume", "--force"].iter().all(|word| refused.err.contains(word)),
        "{refused:?}"
    );
    upper(&["--out", "out", "--force"]).well();
    assert_eq!((bench.read("out/y"), bench.read("out/mine")), ("TEN".into(), "mine".into()));
    let spin = ["--fn", "spin", "--each-file", "in/x", "in/y", "--out", "out", "--force"];
    assert_eq!(bench.map("spin", &spin, "").code, 1);
    assert_eq!(bench.names("out"), ["mine", "x"], "what failed has no output of an earlier run");
    let said = upper(&["--out", "out", "--resume"]).well();
    assert!(
        said.err.contains("1 task: 1 done") && said.err.contains("1 output was there already"),
        "{said:?}"
    );
    assert_eq!(bench.read("out/y"), "TEN", "what failed is done again");
    let said = upper(&["--out", "out", "--resume"]).well();
    assert!(said.err.contains("0 tasks") && said.err.contains("2 outputs were there"), "{said:?}");

    let files = |dir: &str, force: &[&str]| {
        let args =
            [&["--each-file", "in/x", "--input", dir, "--out", "left"], force, &["--", "upper"]].concat();
        bench.map("files", &args, "").well()
    };
    files("i1:/in", &[]);
    files("i2:/in", &["--force"]);
    assert_eq!(bench.names("left/x.out"), ["two"]);
}

#[test]
fn a_resumed_map_of_lines_goes_on_behind_what_is_there() {
    let bench = Bench::new();
    let args = ["--fn", "spin", "--each-line", "-", "--out", "out/{index}-{line}.txt"];
    let said = bench.map("spin", &args, "1\nx\n2\n");
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(bench.names("out"), ["0-1.txt", "2-2.txt"]);
    let kept = bench.read("out/0-1.txt");
    fs::write(bench.path("out/0-1.txt"), "kept").unwrap();
    let said = bench.map("spin", &[&args[..], &["--resume"]].concat(), "1\n3\n2\n");
    assert!(said.well().err.contains("2 outputs were there already"));
    assert_eq!(bench.names("out"), ["0-1.txt", "1-3.txt", "2-2.txt"]);
    assert_eq!((bench.read("out/0-1.txt").as_str(), kept.is_empty()), ("kept", false));
}

#[test]
fn a_map_that_was_killed_is_gone_on_with() {
    let bench = Bench::new();
    let (echo, out) = (module("echo"), bench.path("out"));
    let args = ["--fn", "upper", "--each-line", "-", "--out", out.to_str().unwrap()];
    let mut command = weft(bench.node.path(), &[&["map", echo.as_str()][..], &args].concat());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"a\n").unwrap();
    poll(|| bench.path("out/0").exists().then_some(()));
    kill(child.id(), "KILL");
    child.wait().unwrap();
    assert_eq!(bench.names("out").len(), 2, "the temporary directory of a killed map stays");
    let said = bench.map("echo", &[&args[..], &["--resume"]].concat(), "a\nb\n").well();
    assert!(said.err.contains("1 task: 1 done"), "{said:?}");
    assert_eq!(bench.names("out"), ["0", "1"]);
}

#[test]
fn what_others_keep_in_the_directory_stays_there() {
    let bench = Bench::new();
    let (in_theirs, in_named_alike) =
        ("out/.weft-backup/precious", "out/.weft-map-0123456789abcdef/precious");
    for name in ["a", in_theirs, in_named_alike] {
        bench.file(name, "mine");
    }
    let args = ["--fn", "upper", "--out", "out", "--each-file", "a"];
    for (more, code) in [(&[][..], 125), (&["--resume"], 0), (&["--force"], 0)] {
        let said = bench.map("echo", &[&args[..], more].concat(), "");
        assert_eq!(said.code, code, "{said:?}");
        assert_eq!((bench.read(in_theirs), bench.read(in_named_alike)), ("mine".into(), "mine".into()));
    }
}

#[test]
fn the_longest_names_can_be_forced_and_resumed() {
    let bench = Bench::new();
    let names: Vec<String> = (251..=255).map(|length| "n".repeat(length)).collect();
    for name in &names {
        bench.file(name, "a");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let map = |more: &[&str]| {
        bench
            .map("echo", &[&["--fn", "upper", "--out", "out", "--each-file"], &names[..], more].concat(), "")
            .well()
    };
    map(&[]);
    map(&["--force"]);
    for name in &names[1..] {
        fs::remove_file(bench.path("out").join(name)).unwrap();
    }
    assert!(map(&["--resume"]).err.contains("4 tasks: 4 done"));
    assert_eq!(bench.names("out"), names);
}

#[test]
fn a_map_that_ends_before_its_input_leaves_outputs_only() {
    let bench = Bench::new();
    for (text, more, code) in [("10\n", &[][..], 130), ("10\nx\n", &["--max-failures", "0"], 1)] {
        let (spin, out) = (module("spin"), bench.path(&format!("out{code}")));
        let args = ["map", &spin, "--fn", "spin", "--each-line", "-", "--out", out.to_str().unwrap()];
        let mut command = weft(bench.node.path(), &[&args[..], more].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It stays open until the end, so that the reader waits for more.
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
        if code == 130 {
            poll(|| out.join("0").exists().then_some(()));
            kill(child.id(), "INT");
        }
        let said = finish(child);
        assert_eq!(said.code, code, "{said:?}");
        let left = bench.names(&format!("out{code}"));
        assert!(left.iter().all(|name| name == "0"), "{left:?}");
        drop(stdin);
    }
}

#[test]
fn an_output_never_takes_the_place_of_a_file_that_is_read() {
    let bench = Bench::new();
    let texts = ["in/a", "in/b", "in/a.out/c", "in/cfg/d", "in/list"];
    for name in texts {
        bench.file(name, "mine");
    }
    std::os::unix::fs::symlink("in", bench.path("link")).unwrap();
    fs::create_dir(bench.path("hard")).unwrap();
    fs::hard_link(bench.path("in/b"), bench.path("hard/b")).unwrap();
    let upper = ["--fn", "upper"];
    let lines = ["--each-line", "in/list", "--out", "in/{line}"];
    let refused: [(&[&str], &[&str]); 7] = [
        (&upper, &["--each-file", "in/a", "in/b", "--out", "in"]),
        (&upper, &["--each-file", "in/a", "in/b", "--out", "link"]),
        (&upper, &["--each-file", "in/b", "--out", "hard"]),
        (&upper, &["--each-file", "in/a.out/c", "--out", "in/a{ext}"]),
        (&["--input", "in/b"], &["--each-file", "in/a", "--out", "in/b{ext}"]),
        (&["--input", "in:/in"], &["--each-file", "in/a", "--out", "in/b{ext}"]),
        (&["--input", "in/cfg/d{ext}:/in/d"], &["--each-file", "in/a", "--out", "in/cfg/d{ext}"]),
    ];
    for how in ["--force", "--resume"] {
        for (task, args) in refused.iter().take(if how == "--force" { 7 } else { 3 }) {
            let said = bench.map("files", &[*task, *args, &[how]].concat(), "");
            assert_eq!(said.code, 125, "{args:?} {how}: {said:?}");
            assert!(said.err.contains("would take the place of a file that this map reads"), "{said:?}");
            assert!(texts.iter().all(|name| bench.read(name) == "mine"), "{args:?} {how}");
        }
    }
    // Names of a stream come late: the task fails, and the others run.
    bench.file("in/list", "list\nnew\n");
    let said = bench.map("echo", &[&upper[..], &lines, &["--force"]].concat(), "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("task 0 can't run: its output in/list would take the place"), "{said:?}");
    assert_eq!((bench.read("in/list"), bench.read("in/new")), ("list\nnew\n".into(), "NEW".into()));
    // A link to an input is no input: it alone is replaced.
    fs::create_dir(bench.path("out")).unwrap();
    std::os::unix::fs::symlink("../in/a", bench.path("out/a")).unwrap();
    bench.map("echo", &["--fn", "upper", "--each-file", "in/a", "--out", "out", "--force"], "").well();
    assert_eq!((bench.read("in/a"), bench.read("out/a")), ("mine".into(), "MINE".into()));
}

#[test]
fn an_output_is_called_as_the_words_say_and_never_leaves_its_directory() {
    let bench = Bench::new();
    for name in ["photos/a.tar.gz", "photos/b", "other/a.tar.gz"] {
        bench.file(name, name);
    }
    let files = ["--fn", "upper", "--each-file", "photos/a.tar.gz", "photos/b", "other/a.tar.gz"];
    bench.map("echo", &[&files[..], &["--out", "o1/{dir}/{index}-{stem}.up"]].concat(), "").well();
    assert_eq!(bench.names("o1"), ["other", "photos"]);
    assert_eq!(bench.names("o1/photos"), ["0-a.tar.up", "1-b.up"]);
    assert_eq!(bench.read("o1/other/2-a.tar.up"), "OTHER/A.TAR.GZ");
    let twice = bench.map("echo", &[&files[..], &["--out", "o2/{name}"]].concat(), "");
    assert_eq!(twice.code, 125);
    assert!(twice.err.contains("two inputs are called a.tar.gz") && !bench.path("o2").exists(), "{twice:?}");
    let typo = bench.map("echo", &[&files[..], &["--out", "o2/{nmae}"]].concat(), "");
    assert!(typo.code == 125 && typo.err.contains("{nmae}") && typo.err.contains("{stem}"), "{typo:?}");

    let lines = "good\n../escape\n/abs/x\ngood\n\na/b\n";
    let said = bench.map("echo", &["--fn", "upper", "--each-line", "-", "--out", "o3/{line}"], lines);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.err.contains("leads out of the directory by `..`"), "{said:?}");
    assert!(
        said.err.contains("task 3 can't run: its output would be good, as that of an input before it"),
        "{said:?}"
    );
    assert_eq!(bench.names("o3"), ["a", "abs", "good"]);
    assert_eq!(bench.read("o3/abs/x"), "/ABS/X");
    assert!(!bench.path("escape").exists() && !Path::new("/abs/x").exists());
}

#[test]
fn each_task_has_arguments_and_files_of_its_own() {
    let bench = Bench::new();
    for (name, text) in [("d/a.txt", "aaa"), ("d/a.cfg", "ca"), ("d/b.txt", "bbb"), ("shared/s", "s")] {
        bench.file(name, text);
    }
    let own = ["--input", "{dir}/{stem}.cfg:/in/cfg", "--input", "shared", "--as-file", "--out", "out"];
    let args = [&["--each-file", "d/a.txt", "d/b.txt"], &own[..], &["--", "upper"]].concat();
    let said = bench.map("files", &args, "");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("d/b.txt (task 1) can't run: cannot read d/b.cfg"), "{said:?}");
    assert_eq!(bench.names("out/a.txt.out"), ["a.txt", "cfg", "shared"]);
    assert_eq!(
        (bench.read("out/a.txt.out/a.txt"), bench.read("out/a.txt.out/cfg")),
        ("AAA".into(), "CA".into())
    );
    // The same bytes are its stdin, and arguments differ.
    let said = bench.map("lines", &["--each-file", "d/a.txt", "--as-file", "--", "--bytes"], "").well();
    assert_eq!(said.out, "3\n");
    let said = bench.map("lines", &["--each-line", "-", "--", "{line}"], "--words\n--lines\n--wrong\n");
    assert_eq!((said.code, said.out.as_str()), (1, "1\n0\n"), "{said:?}");
    assert!(said.err.contains("unknown argument \"--wrong\""), "{said:?}");
    // What is no word stays as it is, and one file is not put over another.
    let said = bench.map("lines", &["--each-line", "-", "--", "{{index}}"], "x\n");
    assert!(said.err.contains("unknown argument \"{index}\""), "{said:?}");
    let args =
        ["--each-file", "d/a.txt", "--input", "shared/s:/in/x", "--input", "{line}:/in/x", "--", "upper"];
    assert!(bench.map("files", &args, "").err.contains("is there twice"));
    // A long input and a long file travel apart from the frame.
    let long = "x".repeat(3 << 20);
    bench.file("long", &long);
    let said =
        bench.map("files", &["--each-file", "long", "--as-file", "--out", "o2", "--", "upper"], "").well();
    assert!(bench.read("o2/long.out/long") == long.to_uppercase(), "{said:?}");
}

#[test]
fn inputs_are_cut_chosen_and_tagged_as_the_flags_say() {
    let bench = Bench::new();
    let text: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    bench.file("big.log", &text);
    let said = bench.map("lines", &["--each-block", "10KiB", "big.log", "--", "--lines"], "").well();
    let counts: Vec<u64> = said.out.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!((counts.iter().sum::<u64>(), counts.len()), (5000, text.len().div_ceil(10 << 10)));
    let whole = bench.map("echo", &["--fn", "echo", "--each-block", "10KiB", "-"], &text).well();
    assert!(whole.out == text);
    let tagged = bench.map("echo", &["--fn", "echo", "--tag", "--each-block", "1GiB", "big.log"], "").well();
    assert!(tagged.out.lines().all(|line| line.starts_with("big.log:0\tline ")), "{}", tagged.out.len());
    let said = bench.map("echo", &["--fn", "upper", "--tag", "--each-line", "-"], "a\n\nb\n").well();
    assert_eq!(said.out, "a\tA\n\t\nb\tB\n");
    let said = bench.map("echo", &["--fn", "upper", "--nul", "--each-line", "-"], "a\nb\0c").well();
    assert_eq!(said.out, "A\nB\nC\n");
    let said = bench.map("echo", &["--fn", "upper", "--jsonl", "--each-line", "-"], "{\"a\": 1}\n\nnope\n");
    assert_eq!((said.code, said.out.as_str()), (1, "{\"A\": 1}\n"));
    assert!(said.err.contains("task 1 can't run: line 3 is no JSON"), "{said:?}");
    let said = bench.map("echo", &["--fn", "upper", "--limit", "2", "--each-line", "-"], "a\nb\nc\n").well();
    assert_eq!(said.out, "A\nB\n");
    assert!(said.err.starts_with("weft: job "), "{said:?}");
    let args = ["--fn", "echo", "--shuf", "--json", "--tag", "--each-line", "-"];
    for line in bench.map("echo", &args, "0\n1\n2\n3\n").well().json_lines() {
        assert_eq!(
            (&line["input"], line["index"].to_string()),
            (&line["output"], line["output"].as_str().unwrap().into())
        );
    }
}

/// Prints what a panic in Rust prints, and traps.
const PANIC: &str = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 100) "\nthread 'main' (1) panicked at src/main.rs:3:5:\nrecord 17 is broken\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n")
 (func (export "_start") (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 146))
  (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable))"#;

#[test]
fn a_failed_task_is_told_with_what_went_wrong() {
    let bench = Bench::new();
    let module = bench.file("panic.wat", PANIC);
    let said = run_with(weft(bench.node.path(), &["map", &module, "--each-line", "-"]), b"x\n");
    assert!(said.err.contains("panicked at src/main.rs:3:5: record 17 is broken"), "{said:?}");
}

#[test]
fn ctrl_c_ends_what_waits_for_its_reader() {
    let bench = Bench::new();
    let (bulk, sizes) = (module("bulk"), bench.file("sizes", &"10000 1\n".repeat(100)));
    let one = bench.file("size", "900000 7");
    let lines = ["map", &bulk, "--fn", "fill", "--each-line", &sizes];
    let json = [&lines[..], &["--json"]].concat();
    for args in [&lines[..], &json, &["run", &bulk, "--fn", "fill", "--stdin", &one]] {
        let jobs = || run(bench.node.path(), &["jobs", "--json"]).well().json().as_array().unwrap().clone();
        let before = jobs().len();
        let mut command = weft(bench.node.path(), args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It is not read, and stays open until the end.
        let unread = child.stdout.take();
        poll(|| jobs().get(before).filter(|job| job["done"] == job["tasks"] && job["done"] != 0).cloned());
        kill(child.id(), "INT");
        let said = finish(child);
        assert_eq!(said.code, 130, "{args:?}: {said:?}");
        assert!(said.err.contains("interrupted"), "{args:?}: {said:?}");
        drop(unread);
    }
}

#[test]
fn ctrl_c_ends_it_even_if_stderr_takes_no_more() {
    let bench = Bench::new();
    let (bulk, sizes) = (module("bulk"), bench.file("sizes", &"10000 1\n".repeat(100)));
    // Both streams into one pipe that is not read.
    let (unread, full) = std::io::pipe().unwrap();
    let mut command = weft(bench.node.path(), &["map", &bulk, "--fn", "fill", "--each-line", &sizes]);
    command.stdout(full.try_clone().unwrap()).stderr(full);
    let mut child = command.spawn().unwrap();
    drop(command);
    poll(|| bench.node.job().filter(|job| job["done"] == 100));
    kill(child.id(), "INT");
    let ended = poll(|| child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(130));
    drop(unread);
    poll(|| bench.node.job().filter(|job| job["state"] == "done" || job["state"] == "cancelled"));
}
