//! WASI preview 1 from a guest's side: the same answers as under `wasmtime run`, files in and out, and no way out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use support::{command, command_module, limit, prepare, run, sandbox, task, trap};
use weft_core::{Failure, Limit, Limits, Outcome, Profile, Program, Stream, Trap};
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

/// `tests/wasi/corners.rs` (which says how to build it) calls WASI in its corners and prints the answers;
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

/// What came back from `/out`, by path; directories are empty.
fn unpacked(files: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(files);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    });
    entries.collect()
}

/// A command that works on files: `$open` (fd, path, flags, rights) answers a number or ends the guest with the error,
/// `$try` answers the error. Paths are at the addresses given with them.
fn files_module(paths: &[(u32, &str)], body: &str) -> Vec<u8> {
    let data: String =
        paths.iter().map(|(at, path)| format!("(data (i32.const {at}) \"{path}\")\n")).collect();
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_pwrite" (func $fd_pwrite (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
            (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "sock_recv" (func $recv (param i32 i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 4)
            {data}
            (func $try (param $fd i32) (param $at i32) (param $len i32) (param $flags i32) (result i32)
                (call $path_open (local.get $fd) (i32.const 1) (local.get $at) (local.get $len) (local.get $flags)
                    (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
            (func $make (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (local $errno i32)
                (local.set $errno (call $path_open (local.get $fd) (i32.const 1) (local.get $at) (local.get $len)
                    (i32.const 1) (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 8)))
                (if (local.get $errno) (then (call $exit (local.get $errno))))
                (i32.load (i32.const 8)))
            (func $expect (param $got i32) (param $wanted i32) (param $code i32)
                (if (i32.ne (local.get $got) (local.get $wanted)) (then (call $exit (local.get $code)))))
            (func $write (param $fd i32) (param $at i32) (param $len i32)
                (i32.store (i32.const 16) (local.get $at))
                (i32.store (i32.const 20) (local.get $len))
                (call $expect (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 24))
                    (i32.const 0) (i32.const 90)))
            (func (export "_start") {body}))"#
    ))
    .unwrap()
}

/// The four starting directories have these numbers.
const OUT: &str = "(i32.const 5)";
const TMP: &str = "(i32.const 6)";

#[test]
fn files_left_in_out_come_back() {
    let module = files_module(
        &[(100, "sub/result.txt"), (200, "done\\n"), (300, "scratch")],
        &format!(
            "(call $expect (call $mkdir {OUT} (i32.const 100) (i32.const 3)) (i32.const 0) (i32.const 80))
             (call $write (call $make {OUT} (i32.const 100) (i32.const 14)) (i32.const 200) (i32.const 5))
             (call $write (call $make {TMP} (i32.const 300) (i32.const 7)) (i32.const 200) (i32.const 5))
             (call $exit (i32.const 3))"
        ),
    );
    let given = archive(&[("given", "12345")]);
    let finished = run_with(&sandbox(), &module, &command(&module), given.clone());
    assert_eq!(finished.outcome, Outcome::Failed(Failure::Exit(3)), "files come back from a failed run too");
    let files = unpacked(&finished.files);
    assert_eq!(files, [("sub/".into(), "".into()), ("sub/result.txt".into(), "done\n".into())].into());
    assert_eq!(finished.usage.in_bytes, given.len() as u64);
    assert_eq!(finished.usage.out_bytes, finished.files.len() as u64);
    let none = run_with(&sandbox(), &command_module(""), &command(&command_module("")), Bytes::new());
    assert_eq!((none.outcome, none.files.len()), (Outcome::Done, 0));
}

#[test]
fn a_bad_archive_is_told_even_to_a_task_that_would_not_look() {
    let module = command_module("");
    let finished = run_with(&sandbox(), &module, &command(&module), Bytes::from_static(b"not a tar archive"));
    let Outcome::Invalid(text) = finished.outcome else { panic!("{}", finished.outcome) };
    assert!(text.contains("/in"), "{text}");
}

#[test]
fn nothing_of_the_host_can_be_reached() {
    // Every way that could lead out: its error number is what is expected, or the guest exits with its place's number.
    let ways = [
        ("(i32.const 3)", "etc/passwd", 44),
        ("(i32.const 3)", "/etc/passwd", 63),
        ("(i32.const 3)", "..", 63),
        ("(i32.const 3)", "../etc/passwd", 63),
        ("(i32.const 3)", "proc/self/environ", 44),
        ("(i32.const 3)", "dev/null", 44),
        ("(i32.const 4)", "../../etc/passwd", 63),
        ("(i32.const 4)", "../tmp", 63),
        ("(i32.const 4)", "/", 63),
        ("(i32.const 5)", "./../../../../etc", 63),
        ("(i32.const 6)", "/tmp", 63),
        ("(i32.const 0)", "etc", 8),
        ("(i32.const 7)", "etc", 8),
        ("(i32.const 1000000)", "etc", 8),
        ("(i32.const -1)", "etc", 8),
    ];
    let paths: Vec<(u32, &str)> =
        (0_u32..).zip(ways).map(|(n, (_, path, _))| (1000 + 64 * n, path)).collect();
    let tries: String = paths
        .iter()
        .zip(ways)
        .enumerate()
        .map(|(n, ((at, _), (fd, path, errno)))| {
            let len = path.len();
            let call = format!("(call $try {fd} (i32.const {at}) (i32.const {len}) (i32.const 0))");
            format!("(call $expect {call} (i32.const {errno}) (i32.const {}))\n", 100 + n)
        })
        .collect();
    let body = format!(
        r#"{tries}
        (call $expect (call $env_sizes (i32.const 32) (i32.const 36)) (i32.const 0) (i32.const 50))
        (call $expect (i32.load (i32.const 32)) (i32.const 0) (i32.const 51))
        (call $expect (call $accept (i32.const 0) (i32.const 0) (i32.const 32)) (i32.const 58) (i32.const 52))
        (call $expect (call $accept (i32.const 7) (i32.const 0) (i32.const 32)) (i32.const 8) (i32.const 53))
        (call $expect (call $send (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32))
            (i32.const 58) (i32.const 54))
        (call $expect (call $recv (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 32))
            (i32.const 58) (i32.const 55))"#
    );
    let module = files_module(&paths, &body);
    for profile in [Profile::Pure, Profile::Impure] {
        let program = Program { profile, ..command(&module) };
        assert_eq!(run(&sandbox(), &module, &program, b"").outcome, Outcome::Done);
    }
}

#[test]
fn no_task_sees_anothers_files_or_handles() {
    let sandbox = sandbox();
    let paths = [(100, "trace")];
    let leave = files_module(
        &paths,
        &format!(
            "(drop (call $make {TMP} (i32.const 100) (i32.const 5)))
             (call $write (call $make {OUT} (i32.const 100) (i32.const 5)) (i32.const 100) (i32.const 5))"
        ),
    );
    let look = files_module(
        &paths,
        &format!(
            "(call $expect (call $try {TMP} (i32.const 100) (i32.const 5) (i32.const 0)) (i32.const 44) (i32.const 70))
             (call $expect (call $try {OUT} (i32.const 100) (i32.const 5) (i32.const 0)) (i32.const 44) (i32.const 71))
             (call $expect (call $fdstat (i32.const 7) (i32.const 32)) (i32.const 8) (i32.const 72))
             (call $expect (call $fdstat (i32.const 8) (i32.const 32)) (i32.const 8) (i32.const 73))"
        ),
    );
    for _ in 0..5 {
        let left = run(&sandbox, &leave, &command(&leave), b"");
        assert_eq!((left.outcome, unpacked(&left.files).len()), (Outcome::Done, 1));
        let looked = run(&sandbox, &look, &command(&look), b"");
        assert_eq!((looked.outcome, looked.files.len()), (Outcome::Done, 0));
    }
}

fn with_limits(module: &[u8], change: impl FnOnce(&mut Limits)) -> Program {
    let mut program = command(module);
    change(&mut program.limits);
    program
}

#[test]
fn the_quota_of_bytes_ends_the_run_however_it_is_reached() {
    let sandbox = sandbox();
    let file = format!("(call $make {TMP} (i32.const 100) (i32.const 1))");
    let bodies = [
        // Byte by byte, by one byte far away, by size, and by many files.
        format!("(local $f i32) (local.set $f {file}) (loop (call $write (local.get $f) (i32.const 0) (i32.const 1000)) (br 0))"),
        format!(
            "(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 1))
             (call $exit (call $fd_pwrite {file} (i32.const 16) (i32.const 1) (i64.const 0x1000000000000000) (i32.const 24)))"
        ),
        format!("(call $exit (call $set_size {file} (i64.const 0x4000000000000000)))"),
        format!(
            "(loop (i32.store8 (i32.const 100) (i32.add (i32.load8_u (i32.const 100)) (i32.const 1)))
                   (call $write {file} (i32.const 0) (i32.const 60000)) (br 0))"
        ),
    ];
    for body in bodies {
        let module = files_module(&[(100, "0")], &body);
        let program = with_limits(&module, |limits| limits.files_bytes = 100_000);
        let finished = run(&sandbox, &module, &program, b"");
        assert_eq!(limit(&finished), &Limit::FilesBytes { limit_bytes: 100_000 });
        assert!(finished.files.is_empty());
        // Just the limit is fine.
        let all = format!("(call $exit (call $set_size {file} (i64.const 100000)))");
        let all = files_module(&[(100, "0")], &all);
        let program = with_limits(&all, |limits| limits.files_bytes = 100_000);
        assert_eq!(run(&sandbox, &all, &program, b"").outcome, Outcome::Done);
    }
}

#[test]
fn the_quota_of_files_ends_the_run() {
    let module = files_module(
        &[(100, "00000000")],
        &format!(
            "(local $n i32)
             (loop (i32.store (i32.const 100) (i32.add (i32.const 0x41414141) (local.get $n)))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (call $expect (call $mkdir {OUT} (i32.const 100) (i32.const 8)) (i32.const 0) (i32.const 80))
                   (br_if 0 (i32.lt_u (local.get $n) (i32.const 40))))"
        ),
    );
    let program = with_limits(&module, |limits| limits.files = 40);
    assert_eq!(run(&sandbox(), &module, &program, b"").outcome, Outcome::Done);
    let program = with_limits(&module, |limits| limits.files = 39);
    assert_eq!(limit(&run(&sandbox(), &module, &program, b"")), &Limit::Files { limit: 39 });
}

#[test]
fn handles_have_a_bound_that_the_guest_is_told() {
    let module = files_module(
        &[(100, "f")],
        &format!(
            "(local $n i32) (local $errno i32)
             (drop (call $make {TMP} (i32.const 100) (i32.const 1)))
             (loop (local.set $errno (call $try {TMP} (i32.const 100) (i32.const 1) (i32.const 0)))
                   (local.set $n (i32.add (local.get $n) (i32.const 1)))
                   (br_if 0 (i32.eqz (local.get $errno))))
             (call $expect (local.get $n) (i32.const 1017) (i32.const 80))
             (call $exit (local.get $errno))"
        ),
    );
    assert_eq!(run(&sandbox(), &module, &command(&module), b"").outcome, Outcome::Failed(Failure::Exit(33)));
}

#[test]
fn files_count_as_the_nodes_memory() {
    let config =
        weft_exec::SandboxConfig { memory_max_bytes: 1 << 20, ..weft_exec::SandboxConfig::default() };
    let sandbox = Sandbox::new(config).unwrap();
    let size = |bytes: u32| {
        let file = format!("(call $make {TMP} (i32.const 100) (i32.const 1))");
        files_module(&[(100, "f")], &format!("(call $exit (call $set_size {file} (i64.const {bytes})))"))
    };
    let fits = size((1 << 20) - 4 * 65_536);
    assert_eq!(run(&sandbox, &fits, &command(&fits), b"").outcome, Outcome::Done);
    let over = size((1 << 20) - 4 * 65_536 + 1);
    let outcome = run(&sandbox, &over, &command(&over), b"").outcome;
    assert_eq!(
        outcome.word(),
        "lost",
        "a node that gives less than the task's own limit is not the guest's fault"
    );
}

#[test]
fn a_wasi_error_in_the_start_function_is_the_guests_fault() {
    let sandbox = sandbox();
    let module = |call: &str, memory: &str| {
        wat::parse_str(format!(
            r#"(module (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
                {memory}
                (func $begin (drop {call})) (start $begin) (func (export "_start")))"#
        ))
        .unwrap()
    };
    let wild = module("(call $random (i32.const -8) (i32.const 64))", r#"(memory (export "memory") 1)"#);
    assert_eq!(trap(&run(&sandbox, &wild, &command(&wild), b"")), &Trap::MemoryOutOfBounds);
    let without = module("(call $random (i32.const 0) (i32.const 64))", "");
    let finished = run(&sandbox, &without, &command(&without), b"");
    let Trap::Other(text) = trap(&finished) else { panic!("{}", finished.outcome) };
    assert!(text.contains("memory"), "{text}");
}

#[test]
fn what_is_printed_is_handed_on_as_it_comes() {
    let module = command_module(
        "(call $write (i32.const 1) (i32.const 1000) (i32.const 40000))
         (call $write (i32.const 2) (i32.const 1000) (i32.const 3))
         (call $write (i32.const 1) (i32.const 1000) (i32.const 1))",
    );
    let program = command(&module);
    let sandbox = sandbox();
    let prepared = prepare(&sandbox, &module, &program);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    let printer = move |stream: Stream, offset: u64, bytes: &[u8]| {
        into.lock().unwrap().push((stream, offset, bytes.len()));
    };
    let finished =
        sandbox.run(&prepared, &program, task(1), Given::default(), &Stop::new(), Some(Box::new(printer)));
    assert_eq!((finished.outcome, finished.output.len(), finished.errors.len()), (Outcome::Done, 40_001, 3));
    let expected = [
        (Stream::Output, 0, 16_384),
        (Stream::Output, 16_384, 16_384),
        (Stream::Output, 32_768, 7_232),
        (Stream::Errors, 0, 3),
        (Stream::Output, 40_000, 1),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn the_same_task_brings_the_same_bytes_each_time() {
    let module = include_bytes!("wasi/corners.wasm");
    let files = archive(&[("notes.txt", "line one\nline two\n"), ("sub/deep.txt", "deep\n")]);
    for profile in [Profile::Pure, Profile::Portable] {
        let program = Program { profile, ..command(module) };
        let first = run_with(&sandbox(), module, &program, files.clone());
        for _ in 0..2 {
            let again = run_with(&sandbox(), module, &program, files.clone());
            assert_eq!((&again.output, &again.files), (&first.output, &first.files));
        }
    }
}

/// `tests/wasi/walk.rs`, a program of Rust's standard library; `walk.txt` is what it prints under `wasmtime run`.
#[test]
fn an_ordinary_program_of_files_prints_what_it_prints_anywhere() {
    let module = include_bytes!("wasi/walk.wasm");
    let files = archive(&[("notes.txt", "line one\nline two\n"), ("sub/deep.txt", "deep\n")]);
    for arg in ["", "page-by-page"] {
        let program = Program { args: vec![arg.into()], ..command(module) };
        let finished = run_with(&sandbox(), module, &program, files.clone());
        assert_eq!(finished.outcome, Outcome::Done, "{}", String::from_utf8_lossy(&finished.errors));
        assert_eq!(String::from_utf8(finished.output).unwrap(), include_str!("wasi/walk.txt"));
        let expected = [
            ("copy/", ""),
            ("copy/log.txt", "saw lin\0\0\0gap"),
            ("copy/notes.txt", "LINE ONE\nLINE TWO\n"),
            ("copy/sub/", ""),
            ("copy/sub/deep.txt", "DEEP\n"),
        ];
        let expected = expected.map(|(path, content)| (path.to_owned(), content.to_owned()));
        assert_eq!(unpacked(&finished.files), BTreeMap::from(expected));
    }
}

/// Every function of WASI preview 1 with its parameters: `i` for 32 bits, `l` for 64.
const CALLS: [(&str, &str); 44] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "ill"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_raise", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
];

/// Calls this function with numbers from standard input, eight bytes each, until there are no more.
fn caller(name: &str, params: &str) -> Vec<u8> {
    let types: String = params.chars().map(|kind| if kind == 'l' { " i64" } else { " i32" }).collect();
    let loads: String = params
        .chars()
        .enumerate()
        .map(|(n, kind)| {
            let (ty, offset) = (if kind == 'l' { "i64" } else { "i32" }, n * 8);
            format!("({ty}.load offset={offset} (local.get $at))")
        })
        .collect();
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{name}" (func $call (param{types}) (result i32)))
            (import "wasi_snapshot_preview1" "fd_pread" (func (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 60000) "file")
            (func (export "_start") (local $at i32) (local $end i32)
                (i32.store (i32.const 0) (i32.const 40000))
                (i32.store (i32.const 4) (i32.const 8192))
                (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (local.set $at (i32.const 40000))
                (local.set $end (i32.add (i32.const 40000) (i32.load (i32.const 8))))
                (loop (drop (call $call {loads}))
                      (local.set $at (i32.add (local.get $at) (i32.const 72)))
                      (br_if 0 (i32.lt_u (local.get $at) (local.get $end))))))"#
    ))
    .unwrap()
}

/// A number as a guest might choose it: mostly small, or an address with something at it, sometimes wild.
fn number(random: u64) -> u64 {
    match (random % 16, random >> 8) {
        (0..=5, small) => small % 9,
        (6..=9, address) => 60_000 + address % 8,
        (10..=12, address) => address % 65_536,
        (13, edge) => 65_536_u64.wrapping_sub(edge % 40),
        (14, edge) => u64::MAX.wrapping_sub(edge % 40),
        (_, wild) => wild.wrapping_mul(0x9e37_79b9),
    }
}

#[test]
fn no_numbers_at_all_in_any_call_hurt_the_host() {
    let sandbox = sandbox();
    let mut random = 0x5eed_u64;
    for (name, params) in CALLS {
        let module = caller(name, params);
        let program = with_limits(&module, |limits| limits.files_bytes = 1 << 20);
        let prepared = prepare(&sandbox, &module, &program);
        for round in 0..60_u8 {
            let numbers = std::iter::repeat_with(|| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                number(random >> 20)
            });
            let input: Vec<u8> = numbers.take(9 * 20).flat_map(u64::to_le_bytes).collect();
            let given = Given { input: Bytes::from(input), files: archive(&[("file", "content")]) };
            let outcome = sandbox.run(&prepared, &program, task(round), given, &Stop::new(), None).outcome;
            let sound = matches!(
                outcome,
                Outcome::Done | Outcome::LimitExceeded(_) | Outcome::Trapped(Trap::MemoryOutOfBounds)
            );
            assert!(sound, "{name}, round {round}: {outcome}");
        }
    }
}

/// A command that imports both versions of WASI, and exits with the number of what went wrong first.
fn both_versions(body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_unstable" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_unstable" "fd_seek" (func $seek0 (param i32 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_seek" (func $seek1 (param i32 i64 i32 i32) (result i32)))
            (import "wasi_unstable" "fd_filestat_get" (func $stat0 (param i32 i32) (result i32)))
            (import "wasi_unstable" "path_filestat_get" (func $stat_at0 (param i32 i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_filestat_get" (func $stat1 (param i32 i32) (result i32)))
            (import "wasi_unstable" "poll_oneoff" (func $poll0 (param i32 i32 i32 i32) (result i32)))
            (import "wasi_unstable" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
            (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (data (i32.const 100) "file")
            (data (i32.const 200) "0123456789")
            (func $check (param $is i64) (param $want i64) (param $number i32)
                (if (i64.ne (local.get $is) (local.get $want)) (then (call $exit (local.get $number)))))
            (func $check32 (param $is i32) (param $want i32) (param $number i32)
                (if (i32.ne (local.get $is) (local.get $want)) (then (call $exit (local.get $number)))))
            (func (export "_start") (local $fd i32)
                (call $check32 (call $open (i32.const {TMP}) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 1)
                    (i64.const 0x3fffffff) (i64.const 0) (i32.const 0) (i32.const 8)) (i32.const 0) (i32.const 1))
                (local.set $fd (i32.load (i32.const 8)))
                (i32.store (i32.const 16) (i32.const 200))
                (i32.store (i32.const 20) (i32.const 10))
                (call $check32 (call $write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 24)) (i32.const 0) (i32.const 2))
                {body}))"#,
        TMP = 6,
    ))
    .unwrap()
}

#[test]
fn the_snapshot_before_preview_1_runs_with_its_own_numbers() {
    let body = r#"
        ;; 0 is from here, 1 from the end, 2 from the start; in preview 1 it is 1, 2 and 0.
        (call $check32 (call $seek0 (local.get $fd) (i64.const -3) (i32.const 1) (i32.const 32)) (i32.const 0) (i32.const 3))
        (call $check (i64.load (i32.const 32)) (i64.const 7) (i32.const 4))
        (call $check32 (call $seek0 (local.get $fd) (i64.const -2) (i32.const 0) (i32.const 32)) (i32.const 0) (i32.const 5))
        (call $check (i64.load (i32.const 32)) (i64.const 5) (i32.const 6))
        (call $check32 (call $seek0 (local.get $fd) (i64.const 4) (i32.const 2) (i32.const 32)) (i32.const 0) (i32.const 7))
        (call $check (i64.load (i32.const 32)) (i64.const 4) (i32.const 8))
        (call $check32 (call $seek1 (local.get $fd) (i64.const 1) (i32.const 1) (i32.const 32)) (i32.const 0) (i32.const 9))
        (call $check (i64.load (i32.const 32)) (i64.const 5) (i32.const 10))
        ;; 56 bytes describe a file, and no more are written: links at 20, the length at 24, the last time at 48.
        (i64.store (i32.const 456) (i64.const 77))
        (call $check32 (call $stat0 (local.get $fd) (i32.const 400)) (i32.const 0) (i32.const 11))
        (call $check32 (call $stat1 (local.get $fd) (i32.const 500)) (i32.const 0) (i32.const 12))
        (call $check (i64.load (i32.const 408)) (i64.load (i32.const 508)) (i32.const 13))
        (call $check32 (i32.load8_u (i32.const 416)) (i32.const 4) (i32.const 14))
        (call $check32 (i32.load (i32.const 420)) (i32.const 1) (i32.const 15))
        (call $check (i64.load (i32.const 424)) (i64.const 10) (i32.const 16))
        (call $check (i64.load (i32.const 448)) (i64.load (i32.const 556)) (i32.const 17))
        (call $check (i64.load (i32.const 456)) (i64.const 77) (i32.const 18))
        (i64.store (i32.const 424) (i64.const 0))
        (call $check32 (call $stat_at0 (i32.const 6) (i32.const 0) (i32.const 100) (i32.const 4) (i32.const 400))
            (i32.const 0) (i32.const 19))
        (call $check (i64.load (i32.const 424)) (i64.const 10) (i32.const 20))
        ;; Two subscriptions of 56 bytes: a clock for a second, with the guest's own number before it, and one for an hour.
        (i64.store (i32.const 600) (i64.const 11))
        (i64.store (i32.const 616) (i64.const 999))
        (i32.store (i32.const 624) (i32.const 1))
        (i64.store (i32.const 632) (i64.const 1000000000))
        (i64.store (i32.const 656) (i64.const 22))
        (i32.store (i32.const 680) (i32.const 1))
        (i64.store (i32.const 688) (i64.const 3600000000000))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 40)))
        (call $check32 (call $poll0 (i32.const 600) (i32.const 800) (i32.const 2) (i32.const 900)) (i32.const 0) (i32.const 21))
        (call $check32 (i32.load (i32.const 900)) (i32.const 1) (i32.const 22))
        (call $check (i64.load (i32.const 800)) (i64.const 11) (i32.const 23))
        (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 48)))
        (call $check32 (i64.lt_u (i64.sub (i64.load (i32.const 48)) (i64.load (i32.const 40))) (i64.const 1000000000))
            (i32.const 0) (i32.const 24))"#;
    let module = both_versions(body);
    assert_eq!(run(&sandbox(), &module, &command(&module), b"").outcome, Outcome::Done);
}

#[test]
fn an_empty_buffer_is_written_wherever_it_begins() {
    let body = r#"
        (i32.store (i32.const 16) (i32.const 0xfffffff0))
        (i32.store (i32.const 20) (i32.const 0))
        (call $check32 (call $write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 24)) (i32.const 0) (i32.const 3))
        (call $check32 (i32.load (i32.const 24)) (i32.const 0) (i32.const 4))
        (call $check32 (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)) (i32.const 0) (i32.const 5))
        (i32.store (i32.const 20) (i32.const 1))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))"#;
    let module = both_versions(body);
    let outcome = run(&sandbox(), &module, &command(&module), b"").outcome;
    assert_eq!(outcome, Outcome::Trapped(Trap::MemoryOutOfBounds), "the last one is not empty");
}

#[test]
fn a_directory_of_a_files_name_exists_with_and_without_a_slash() {
    let body = r#"
        (i32.store8 (i32.const 104) (i32.const 47))
        (call $check32 (call $mkdir (i32.const 6) (i32.const 100) (i32.const 4)) (i32.const 20) (i32.const 3))
        (call $check32 (call $mkdir (i32.const 6) (i32.const 100) (i32.const 5)) (i32.const 20) (i32.const 4))
        (i32.store8 (i32.const 103) (i32.const 120))
        (call $check32 (call $mkdir (i32.const 6) (i32.const 100) (i32.const 5)) (i32.const 0) (i32.const 5))
        (call $check32 (call $mkdir (i32.const 6) (i32.const 100) (i32.const 5)) (i32.const 20) (i32.const 6))"#;
    let module = both_versions(body);
    assert_eq!(run(&sandbox(), &module, &command(&module), b"").outcome, Outcome::Done);
}
