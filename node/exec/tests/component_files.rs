//! Components and their files: the same as a module's, with the same quota.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use bytes::Bytes;
use support::{command, component_of, limit, prepare, run, sandbox, task};
use weft_core::{Limit, Limits, Outcome, Program};
use weft_exec::{Finished, Given, Sandbox, Stop};

fn limited(program: Program, change: impl FnOnce(&mut Limits)) -> Program {
    let mut program = program;
    change(&mut program.limits);
    program
}

/// A command that does this to files; each call's errno, one byte, is printed at the end. `$at` paths are strings in
/// memory, made by `path`.
fn file_command(calls: &[String], data: &[(usize, &str)]) -> Vec<u8> {
    let data: String = data.iter().map(|(at, text)| format!(r#"(data (i32.const {at}) "{text}")"#)).collect();
    let calls: String = calls.iter().map(|call| format!("(call $note {call})")).collect();
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
            (import "wasi_snapshot_preview1" "path_open" (func $path_open
                (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_remove_directory" (func $rmdir (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 4)
            {data}
            (global $notes (mut i32) (i32.const 1024))
            (func $note (param $errno i32)
                (i32.store8 (global.get $notes) (local.get $errno))
                (global.set $notes (i32.add (global.get $notes) (i32.const 1))))
            (func $open (param $at i32) (param $len i32) (param $how i32) (result i32)
                (call $path_open (i32.const 3) (i32.const 0) (local.get $at) (local.get $len) (local.get $how)
                    (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 512)))
            (func $fd (result i32) (i32.load (i32.const 512)))
            (func $write (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 520) (local.get $at))
                (i32.store (i32.const 524) (local.get $len))
                (call $fd_write (local.get $fd) (i32.const 520) (i32.const 1) (i32.const 528)))
            (func (export "_start")
                {calls}
                (drop (call $write (i32.const 1) (i32.const 1024) (i32.sub (global.get $notes) (i32.const 1024))))))"#
    ))
    .unwrap()
}

/// An archive with this one file.
fn archive(name: &str, bytes: &[u8]) -> Bytes {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, name, bytes).unwrap();
    Bytes::from(builder.into_inner().unwrap())
}

fn run_with_files(sandbox: &Sandbox, module: &[u8], program: &Program, files: &Bytes) -> Finished {
    let prepared = prepare(sandbox, module, program);
    let given = Given { input: Bytes::new(), files: files.clone() };
    sandbox.run(&prepared, program, task(1), given, &Stop::new(), None)
}

/// A walk through all that can be done to files, and that can't.
fn file_walk() -> Vec<u8> {
    let paths = [
        "in/a.txt",
        "out/dir",
        "out/dir/b",
        "out/c",
        "in/new",
        "../etc/passwd",
        "/etc/passwd",
        "out/up",
        "../..",
        "tmp/t",
        "out/up/etc",
        "none/x",
        "in",
        "x",
    ];
    let data: Vec<(usize, &str)> = (8192..).step_by(64).zip(paths).collect();
    let path = |text: &str| {
        let (at, _) = data.iter().find(|(_, path)| *path == text).unwrap();
        format!("(i32.const {at}) (i32.const {})", text.len())
    };
    let (create, exclusive, directory) = (1, 4, 2);
    let open = |text: &str, how: i32| format!("(call $open {} (i32.const {how}))", path(text));
    let write = |at: &str| format!("(call $write (call $fd) {at})");
    let close = || "(call $close (call $fd))".to_owned();
    let calls = [
        open("in/a.txt", 0),
        "(block (result i32) (i32.store (i32.const 520) (i32.const 16384)) (i32.store (i32.const 524) (i32.const 100))
            (call $read (call $fd) (i32.const 520) (i32.const 1) (i32.const 528)))".into(),
        "(i32.load (i32.const 528))".into(),
        "(i32.load8_u (i32.const 16385))".into(),
        write("(i32.const 16384) (i32.const 4)"),
        close(),
        close(),
        format!("(call $mkdir (i32.const 3) {})", path("out/dir")),
        format!("(call $mkdir (i32.const 3) {})", path("out/dir")),
        format!("(call $mkdir (i32.const 3) {})", path("x")),
        open("out/dir/b", create),
        write("(i32.const 16384) (i32.const 4)"),
        write("(i32.const 16384) (i32.const 2)"),
        "(call $set_size (call $fd) (i64.const 5))".into(),
        close(),
        open("out/dir/b", create | exclusive),
        format!("(call $rename (i32.const 3) {} (i32.const 3) {})", path("out/dir/b"), path("out/c")),
        format!("(call $rmdir (i32.const 3) {})", path("out/dir")),
        format!("(call $unlink (i32.const 3) {})", path("in/a.txt")),
        format!("(call $unlink (i32.const 3) {})", path("none/x")),
        format!("(call $rmdir (i32.const 3) {})", path("out/c")),
        format!("(call $symlink {} (i32.const 3) {})", path("../.."), path("out/up")),
        open("out/up/etc", 0),
        open("in/new", create),
        open("../etc/passwd", 0),
        open("/etc/passwd", 0),
        open("none/x", 0),
        open("out/c", directory),
        open("in", directory),
        "(call $readdir (call $fd) (i32.const 20480) (i32.const 100) (i64.const 0) (i32.const 528))".into(),
        close(),
        open("tmp/t", create),
    ];
    file_command(&calls, &data)
}

#[test]
fn a_component_has_the_same_files_as_a_module() {
    let core = file_walk();
    let component = component_of(&core);
    let sandbox = sandbox();
    let files = archive("a.txt", b"text");
    let expected = run_with_files(&sandbox, &core, &command(&core), &files);
    assert_eq!(expected.outcome, Outcome::Done);
    let found = run_with_files(&sandbox, &component, &command(&component), &files);
    assert_eq!(found.outcome, Outcome::Done);
    assert_eq!(found.output, expected.output);
    assert_eq!(found.files, expected.files);
    assert!(!found.files.is_empty());
    for _ in 0..2 {
        let again = run_with_files(&sandbox, &component, &command(&component), &files);
        assert_eq!((again.output, again.files), (found.output.clone(), found.files.clone()));
    }
}

#[test]
fn a_component_can_not_outrun_its_quota() {
    let data = [(8192, "tmp/t"), (8200, "tmp/u")];
    let open = |at: usize| format!("(call $open (i32.const {at}) (i32.const 5) (i32.const 1))");
    let fill = "(loop (result i32) (br_if 0 (i32.eqz (call $write (call $fd) (i32.const 0) (i32.const 65536)))) (i32.const 0))";
    let module = component_of(&file_command(&[open(8192), fill.into()], &data));
    let sandbox = sandbox();
    let program = limited(command(&module), |limits| limits.files_bytes = 1 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::FilesBytes { limit_bytes: 1 << 20 });
    let module = component_of(&file_command(&[open(8192), open(8200)], &data));
    let program = limited(command(&module), |limits| limits.files = 1);
    assert_eq!(limit(&run(&sandbox, &module, &program, b"")), &Limit::Files { limit: 1 });
    let sparse = "(call $set_size (call $fd) (i64.const 0x1000000000000000))";
    let module = component_of(&file_command(&[open(8192), sparse.into()], &data));
    let finished = run(&sandbox, &module, &command(&module), b"");
    assert!(matches!(limit(&finished), Limit::FilesBytes { .. }));
}
