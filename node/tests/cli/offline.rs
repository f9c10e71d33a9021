//! What needs no node: help, files, refusals.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::{finish, module, run, run_with, weft};

/// Words that must be in each verb's help.
const HELP: [(&str, &str); 15] = [
    ("init", "--show --force --address password"),
    ("join", "--force TICKET"),
    (
        "node",
        "--listen --api --slots --label --class-min --accept --refuse --peer --open WEFT_SLOTS weft.toml mDNS --record",
    ),
    (
        "run",
        "--fn --env --stdin --timeout --memory --need --slots --json 137 126 124 --deadline --not-before --expires --verify",
    ),
    (
        "map",
        "--each-line --each-file --out --json --retries --fn --need 100 125 130 --backoff 1s..600s --give-up \
         --max-failures --no-backup --each-block --jsonl --nul --shuf --limit --as-file --force --resume --tag \
         {name} {stem} {ext} {dir} {line} {index} {{name}}",
    ),
    ("peers", "--json --all --forget"),
    ("status", "--json"),
    ("jobs", "--json"),
    ("cancel", "JOB"),
    ("drain", "--off --wait --leave"),
    ("stop", "--no-wait"),
    ("why", "JOB[/INDEX] --json"),
    ("blob", "put get"),
    ("demo", "--tiles --out --nodes --slots 512 ./weft-demo"),
    ("--version", "weft 0."),
];

#[test]
fn the_help_of_each_verb_names_its_flags() {
    let dir = tempfile::tempdir().unwrap();
    for (verb, words) in HELP {
        let said = run(dir.path(), &[verb, "--help"]).well();
        if !verb.starts_with('-') {
            assert_eq!(run(dir.path(), &["help", verb]).well().out, said.out, "`weft help {verb}`");
        }
        for word in words.split_whitespace() {
            assert!(
                said.out.contains(word) || verb == "--version",
                "{word} is missing in the help of {verb}"
            );
        }
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "help makes no files");
}

#[test]
fn a_help_that_can_not_be_written_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    for (args, code) in
        [(&["help"][..], 1), (&["help", "node"], 1), (&["--version"], 1), (&["map", "--help"], 125)]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = weft(dir.path(), args);
        let said = finish(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap());
        said.refused(code, &["cannot write to stdout: No space left on device"]);
    }
}

#[test]
fn a_directory_that_the_demo_does_not_look_at_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["demo"]).refused(2, &["`--data-dir`", "--out DIR"]);
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing was begun");
}

#[test]
fn without_a_node_every_verb_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let start = format!("weft node --data-dir {}", dir.path().display());
    let words = ["no weft node runs on", start.as_str()];
    for verb in
        [&["peers"][..], &["status"], &["jobs"], &["cancel", "ab"], &["why", "ab/0"], &["blob", "get", "ab"]]
    {
        run(dir.path(), verb).refused(1, &words);
    }
    let lines = module("lines");
    run(dir.path(), &["run", &lines]).refused(125, &words);
    run(dir.path(), &["map", &lines, "--each-line", "-"]).refused(125, &words);
}

/// A block is whole lines as they are; that they are JSON would be ignored.
#[test]
fn json_lines_and_blocks_are_refused_together() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = ["map", "x.wasm", "--jsonl", "--each-block", "1MiB", "big.log"];
    let said = run(dir.path(), &blocks);
    assert_eq!(said.code, 125, "{said:?}");
    assert!(said.err.contains("'--jsonl' cannot be used with '--each-block"), "{said:?}");
}

#[test]
fn a_wrong_word_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = "`--slots`: invalid value `lots`: expected a whole number from 0 to 4096";
    run(dir.path(), &["node", "--slots", "lots"]).refused(2, &[wrong]);
    run(dir.path(), &["jbos"]).refused(2, &["unknown verb `jbos`: did you mean `weft jobs`?"]);
    run(dir.path(), &["run", "x.wasm", "--timeout", "soon"])
        .refused(125, &["`--timeout`: invalid value `soon`"]);
    run(dir.path(), &["node", "--memory", "lots"])
        .refused(2, &["`--memory`: invalid value `lots`: expected a size"]);
    // A flag of a task says what it takes, in its own name and not in that of a field.
    for (flag, given, expected) in [
        ("--files-count", "lots", "a whole number from 0 to 100000"),
        ("--files-count", "200000", "a whole number from 0 to 100000"),
        ("--limit", "lots", "a whole number from 1 to 18446744073709551615"),
        ("--retries", "101", "a whole number from 0 to 100"),
        ("--verify", "16", "a whole number from 1 to 15"),
        ("--timeout", "2w", "at most 7 days"),
        ("--memory", "5GiB", "at most 4 GiB"),
        ("--files-limit", "2GiB", "at most 1 GiB"),
        ("--output-limit", "1GiB", "at most 256 MiB"),
        ("--errors-limit", "1GiB", "at most 16 MiB"),
        ("--expires", "400d", "at most 366 days"),
        ("--not-before", "400d", "at most 366 days"),
    ] {
        let said = format!("`{flag}`: invalid value `{given}`: expected {expected}");
        run(dir.path(), &["map", "x.wasm", "--each-line", "-", flag, given]).refused(125, &[&said]);
    }
}

#[test]
fn a_verb_that_lacks_its_second_word_shows_its_help_whatever_is_set() {
    let dir = tempfile::tempdir().unwrap();
    for (verb, word) in [(&[][..], "demo"), (&["blob"], "put"), (&["receipt"], "check")] {
        let with = |variables: &[(&str, &str)]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
            command.env_clear().env("HOME", dir.path()).envs(variables.iter().copied()).args(verb);
            run_with(command, b"")
        };
        // No flag and no variable: the parser's own help.
        let bare = with(&[]);
        let set = with(&[("WEFT_DATA_DIR", dir.path().to_str().unwrap()), ("WEFT_LOG", "info")]);
        let flag = run(dir.path(), verb);
        assert!(bare.err.contains("Usage: weft") && bare.err.contains(word), "{bare:?}");
        for said in [&bare, &set, &flag] {
            assert_eq!((said.code, said.out.as_str(), &said.err), (2, "", &bare.err));
        }
    }
}

#[test]
fn a_variable_that_is_not_unicode_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let with = |variable: &str, args: &[&str]| {
        let mut command = weft(dir.path(), args);
        command.env(variable, OsStr::from_bytes(b"a\xffb"));
        run_with(command, b"")
    };
    let said = |variable: &str| format!("`{variable}`: the variable is not Unicode: expected a text");
    with("WEFT_NAME", &["node"]).refused(2, &[&said("WEFT_NAME")]);
    with("WEFT_OPEN", &["node"]).refused(2, &[&said("WEFT_OPEN")]);
    with("WEFT_LOG", &["jobs"]).refused(2, &[&said("WEFT_LOG")]);
    with("WEFT_LOG", &["run", "x.wasm"]).refused(125, &[&said("WEFT_LOG")]);
    with("WEFT_NAME", &["jobs"]).refused(1, &["no weft node runs"]);
}

#[test]
fn a_wrong_command_line_has_the_code_of_its_verb() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32); 14] = [
        (&["frob"], 2),
        (&["peers", "--frob"], 2),
        (&["run"], 125),
        (&["map", "x.wasm"], 125),
        (&["run", "x.wasm", "--timeout", "soon"], 125),
        (&["run", "x.wasm", "--deadline", "soon"], 125),
        (&["run", "x.wasm", "--retries", "2", "--backoff", "10s..1s"], 125),
        (&["run", "x.wasm", "--backoff", "1s"], 125),
        (&["run", "x.wasm", "--verify", "0"], 125),
        (&["run", "x.wasm", "--slots", "0"], 125),
        (&["run", "x.wasm", "--class", "urgent"], 125),
        (&["map", "x.wasm", "--each-line", "-", "--max-failures", "some"], 125),
        (&["map", "x.wasm", "--each-line", "-", "--give-up", "0"], 125),
        (&["node", "--slots", "many"], 2),
    ];
    for (args, code) in cases {
        let said = run(dir.path(), args);
        assert_eq!(said.code, code, "{said:?}");
        assert!(said.out.is_empty() && !said.err.is_empty(), "{said:?}");
    }
}

#[test]
fn a_file_that_is_no_module_is_refused_with_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.wasm");
    std::fs::write(&path, "#!/bin/sh\n").unwrap();
    let path = path.to_str().unwrap();
    for verb in [&["run", path][..], &["map", path, "--each-line", "-"]] {
        run(dir.path(), verb).refused(125, &["is not a WebAssembly module", "#!/bin/s", "wasm32-wasip1"]);
    }
    run(dir.path(), &["run", "/nonexistent/m.wasm"])
        .refused(125, &["/nonexistent/m.wasm", "No such file", "check"]);
}

#[test]
fn wrong_inputs_are_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let lines = module("lines");
    let missing = run(dir.path(), &["map", &lines, "--each-file", "/nonexistent/a"]);
    missing.refused(125, &["/nonexistent/a", "check the path"]);
    let folder = dir.path().to_str().unwrap().to_owned();
    run(dir.path(), &["map", &lines, "--each-line", &folder]).refused(125, &[&folder]);
    for name in ["a", "b"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join("same"), "x").unwrap();
    }
    let (first, second) = (format!("{folder}/a/same"), format!("{folder}/b/same"));
    let out = format!("{folder}/out");
    let twice = run(dir.path(), &["map", &lines, "--each-file", &first, &second, "--out", &out]);
    twice.refused(125, &["two inputs are called same"]);
    for (args, word) in [
        (
            &["--each-block", "some", &first][..],
            "`--each-block`: invalid value `some`: expected a size such as",
        ),
        (&["--each-block", "0", &first], "a block of no bytes"),
        (&["--each-block", "1GiB", "-"], "at most 64 MiB"),
        (&["--each-block", "1MiB", &first, "--out", "{line}"], "a block has no {line}"),
        (&["--each-line", &first, "--out", "o/{nmae}"], "unknown word {nmae}"),
        (&["--each-line", &first, "--fn", "f", "--", "{line}"], "--fn calls a function"),
    ] {
        run(dir.path(), &[&["map", &lines][..], args].concat()).refused(125, &[word]);
    }
    let echo = module("echo");
    run(dir.path(), &["run", &echo, "--fn", "echo", "--", "arg"]).refused(125, &["--fn", "only its input"]);
}

#[test]
fn a_mesh_is_made_once_and_shown_again() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["init", "--show"]).refused(1, &["belongs to no mesh", "weft init"]);
    let made = run(dir.path(), &["init", "--address", "192.168.7.1:7117"]).well();
    assert!(made.out.starts_with("weft1") && made.out.lines().count() == 1, "{made:?}");
    assert!(made.err.contains("secret") && made.err.contains("192.168.7.1:7117"), "{made:?}");
    let shown = run(dir.path(), &["init", "--show", "--address", "192.168.7.1:7117"]).well();
    assert_eq!(shown.out, made.out);
    let json = run(dir.path(), &["init", "--show", "--json", "--address", "192.168.7.1:7117"]).well().json();
    assert_eq!(json["ticket"], made.out.trim());
    run(dir.path(), &["init"]).refused(1, &["belongs to a mesh already", "--show", "--force"]);
    let other = run(dir.path(), &["init", "--force", "--address", "192.168.7.1:7117"]).well();
    assert_ne!(other.out, made.out);
    for name in ["mesh.key", "identity.key"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_ticket_lets_in_and_another_mesh_keeps_its_machine() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ticket = run(first.path(), &["init", "--address", "192.168.7.1:7117"]).well().out;
    let ticket = ticket.trim();
    let joined = run(second.path(), &["join", ticket]).well();
    assert!(joined.out.is_empty() && joined.err.contains("192.168.7.1:7117"), "{joined:?}");
    assert!(!joined.err.contains(ticket), "a ticket is a secret");
    let read = |dir: &tempfile::TempDir, name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read(&first, "mesh.key"), read(&second, "mesh.key"));
    assert_ne!(read(&first, "identity.key"), read(&second, "identity.key"));
    assert_eq!(read(&second, "joined.peers"), "/ip4/192.168.7.1/tcp/7117\n");
    run(second.path(), &["join", ticket]).well();

    let third = tempfile::tempdir().unwrap();
    run(third.path(), &["init"]).well();
    run(third.path(), &["join", ticket]).refused(1, &["belongs to another mesh", "--force"]);
    let mut command = weft(third.path(), &["join", "--force", "-"]);
    command.env("NO_COLOR", "1");
    run_with(command, format!("{ticket}\n").as_bytes()).well();
    assert_eq!(read(&first, "mesh.key"), read(&third, "mesh.key"));
}

#[test]
fn a_ticket_with_a_typo_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ticket = run(dir.path(), &["init"]).well().out.trim().to_owned();
    let other = tempfile::tempdir().unwrap();
    let cut = ticket.get(..ticket.len() - 3).unwrap();
    run(other.path(), &["join", cut]).refused(2, &["typo or is cut off", "weft init --show"]);
    let swapped = ticket.replacen("weft1", "weft18", 1);
    run(other.path(), &["join", &swapped]).refused(2, &["`8` at place 6"]);
    run(other.path(), &["join", "hello"]).refused(2, &["not a ticket"]);
    assert!(!other.path().join("mesh.key").exists());
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("weft.toml"), "slotz = 3\n").unwrap();
    run(dir.path(), &["node"]).refused(2, &["weft.toml, line 1", "unknown key `slotz`", "`slots`"]);
    std::fs::remove_file(dir.path().join("weft.toml")).unwrap();
    run(dir.path(), &["node", "--listen", "0.0.0.0:0"])
        .refused(2, &["without a mesh key", "weft init", "--open"]);
    run(dir.path(), &["node", "--api", "0.0.0.0:0"]).refused(2, &["api", "loopback"]);
    run(dir.path(), &["--log", "a=b=c", "peers"]).refused(2, &["`--log`", "a=b=c", "weft_node=debug"]);
    run(dir.path(), &["--log", "weft_node[task]=debug", "peers"])
        .refused(2, &["`--log`", "spans and fields"]);
}

/// A verb under these variables.
fn under(dir: &std::path::Path, words: &[&str], variables: &[(&str, &str)]) -> crate::Said {
    let mut command = weft(dir, words);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_and_a_refusal_names_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("weft.toml");
    std::fs::write(&file, "slots = 'file'\napi = '127.0.0.1:1'\n").unwrap();
    let file = format!("`slots` in {}: invalid value `file`: expected a whole number", file.display());
    run(dir.path(), &["node"]).refused(2, &[&file]);
    let set = [("WEFT_SLOTS", "variable")];
    under(dir.path(), &["node"], &set).refused(2, &["`WEFT_SLOTS`: invalid value `variable`: expected"]);
    let flag = ["node", "--slots", "flag"];
    under(dir.path(), &flag, &set).refused(2, &["`--slots`: invalid value `flag`: expected"]);
    under(dir.path(), &["node"], &[("WEFT_SLOTS", "")]).refused(2, &[&file]);
    under(dir.path(), &["peers"], &[("WEFT_LOG", "a=b=c")])
        .refused(2, &["`WEFT_LOG`: invalid value `a=b=c`"]);
    let link_local = [("WEFT_LISTEN", "127.0.0.1:0, [fe80::1%eth0]:1"), ("WEFT_SLOTS", "1")];
    under(dir.path(), &["node"], &link_local).refused(2, &["`WEFT_LISTEN`: invalid value `/ip6zone/eth0"]);
    assert!(!dir.path().join("identity.key").exists(), "settings that are refused make no identity");
}

#[test]
fn help_shows_variables_and_not_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let secret =
        [("WEFT_NAME", "a-private-name"), ("WEFT_LISTEN", "10.1.2.3:4"), ("WEFT_LOG", "weft_secret=debug")];
    let help = under(dir.path(), &["node", "--help"], &secret).well().out;
    for (name, value) in secret {
        assert!(help.contains(&format!("[env: {name}]")) && !help.contains(value), "{help}");
    }
}
