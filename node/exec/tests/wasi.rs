//! WASI preview 1 from a guest's side: the same answers as under `wasmtime run`, files in and out, and no way out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use support::{command, limit, prepare, sandbox, task};
use weft_core::{Limit, Limits, Outcome, Program};
use weft_exec::{Finished, Given, Sandbox, Stop};

/// A tar archive of these files.
fn archive(files: &[(&str, &str)]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    Bytes::from(builder.into_inner().unwrap())
}

fn run_with(sandbox: &Sandbox, module: &[u8], program: &Program, files: Bytes) -> Finished {
    let prepared = prepare(sandbox, module, program);
    let given = Given { input: Bytes::new(), files };
    sandbox.run(&prepared, program, task(1), given, &Stop::new(), None)
}

/// Where we answer otherwise, and why.
const OTHERWISE: [&str; 5] = [
    // A slash after a symbolic link asks for what it leads to, says POSIX; the plain runtime tells of the link.
    "stat(TMP, 0, \"l/\") =",
    "stat(TMP, 0, \"la/\") =",
    // POSIX lets a slash follow the name of a directory to be removed.
    "rmdir(TMP, \"c/\") =",
    // A file is always ready to be read; there it depends on another thread.
    "n = 2",
    "e = [77,",
];

/// `tests/wasi/corners.rs` (how to build it stands there) calls WASI in its corners and prints the answers;
/// `corners.txt` is what it prints under `wasmtime run` with the same four directories.
#[test]
fn the_answers_are_those_of_the_plain_runtime() {
    let module = include_bytes!("wasi/corners.wasm");
    let expected = include_str!("wasi/corners.txt");
    let files = archive(&[("notes.txt", "line one\nline two\n"), ("sub/deep.txt", "deep\n")]);
    let finished = run_with(&sandbox(), module, &command(module), files);
    let printed = String::from_utf8(finished.output).unwrap();
    let (otherwise, differing): (Vec<_>, Vec<_>) = printed
        .lines()
        .zip(expected.lines())
        .filter(|(ours, theirs)| ours != theirs)
        .map(|(ours, theirs)| format!("ours   {ours}\ntheirs {theirs}\n"))
        .partition(|line| OTHERWISE.iter().any(|known| line.contains(known)));
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert_eq!(otherwise.len(), OTHERWISE.len(), "{}", otherwise.join("\n"));
    assert_eq!((finished.outcome, printed.lines().count()), (Outcome::Done, expected.lines().count()));
}
