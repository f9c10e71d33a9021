//! What well-behaved guests can count on: input and output, exit codes, the same bytes twice, warm modules.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use bytes::Bytes;
use support::{
    command, command_echo, command_module, echo, function, function_module, prepare, program, run, sandbox,
    task,
};
use weft_core::{Entry, Failure, Limits, Outcome, Profile, Program};
use weft_exec::{Given, PrepareError, Sandbox, SandboxConfig, Stop};

#[test]
fn a_function_answers_with_bytes() {
    let sandbox = sandbox();
    let module = echo();
    let finished = run(&sandbox, &module, &function(&module, "echo"), b"warp and weft");
    assert_eq!(finished.outcome, Outcome::Done);
    assert_eq!(finished.output, b"warp and weft");
    assert_eq!(finished.errors, b"");
    assert_eq!(finished.usage.memory_bytes, 2 * 65_536);
    assert_eq!(finished.usage.fuel, None);
}

#[test]
fn a_function_answers_with_an_error() {
    let sandbox = sandbox();
    let module = echo();
    let finished = run(&sandbox, &module, &function(&module, "fail"), "kein Schuß".as_bytes());
    assert_eq!(finished.outcome, Outcome::Failed(Failure::Error("kein Schuß".into())));
    assert_eq!(finished.output, b"");
}

#[test]
fn a_long_error_text_is_shortened_and_kept_whole_beside() {
    let sandbox = sandbox();
    let module = echo();
    let text = "x".repeat(20_000);
    let finished = run(&sandbox, &module, &function(&module, "fail"), text.as_bytes());
    let Outcome::Failed(Failure::Error(short)) = &finished.outcome else { panic!("{}", finished.outcome) };
    assert!(short.len() < 3000 && text.starts_with(short.trim_end_matches('…')));
    assert_eq!(finished.errors, text.as_bytes());
}

#[test]
fn a_module_is_initialised_before_its_function_is_called() {
    let sandbox = sandbox();
    let module = function_module(
        r#"(func (export "_initialize") (i32.store8 (i32.const 17) (i32.const 42)))
           (func (export "weft_fn_peek") (param i32 i32) (result i64) (call $pack (i32.const 16) (i32.const 2)))"#,
    );
    assert_eq!(run(&sandbox, &module, &function(&module, "peek"), b"").output, [42]);
}

#[test]
fn a_command_has_stdin_args_env_streams_and_an_exit_code() {
    let sandbox = sandbox();
    let module = command_echo(3);
    let program = Program {
        args: vec!["-v".into(), "näht".into()],
        env: vec![("KEY".into(), "value".into())],
        ..command(&module)
    };
    let finished = run(&sandbox, &module, &program, b"from stdin\n");
    assert_eq!(finished.outcome, Outcome::Failed(Failure::Exit(3)));
    assert_eq!(String::from_utf8(finished.output).unwrap(), "from stdin\nmain.wasm\0-v\0näht\0KEY=value\0");
    assert_eq!(finished.errors, b"heck");
}

#[test]
fn exit_codes_of_all_sizes_are_told() {
    let sandbox = sandbox();
    for (code, outcome) in [
        (0_u32, Outcome::Done),
        (126, Outcome::Failed(Failure::Exit(126))),
        (255, Outcome::Failed(Failure::Exit(255))),
        (u32::MAX, Outcome::Failed(Failure::Exit(-1))),
    ] {
        let module = command_echo(code);
        assert_eq!(run(&sandbox, &module, &command(&module), b"").outcome, outcome);
    }
}

#[test]
fn big_inputs_and_outputs_pass_whole() {
    let sandbox = sandbox();
    let module = command_echo(0);
    let input: Vec<u8> =
        (0..3_000_000_u32).map(|n| n.to_le_bytes()).flat_map(|bytes| bytes.into_iter().take(1)).collect();
    let finished = run(&sandbox, &module, &command(&module), &input);
    assert_eq!(finished.outcome, Outcome::Done);
    assert_eq!(finished.output.strip_suffix(b"main.wasm\0").unwrap(), input);
}

/// Prints 32 random bytes and four readings of the two clocks.
fn oracle() -> Vec<u8> {
    command_module(
        r"(drop (call $random (i32.const 64) (i32.const 32)))
          (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 96)))
          (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 104)))
          (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 112)))
          (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 120)))
          (call $write (i32.const 1) (i32.const 64) (i32.const 64))",
    )
}

#[test]
fn a_pure_task_gives_the_same_bytes_on_every_node() {
    let module = oracle();
    for profile in [Profile::Pure, Profile::Portable] {
        let program = Program { profile, ..command(&module) };
        let first = run(&sandbox(), &module, &program, b"");
        let second = run(&sandbox(), &module, &program, b"");
        assert_eq!(first.output.len(), 64);
        assert_eq!(first.output, second.output);
        let other = run(&sandbox(), &module, &program, b"another input, another task");
        assert_ne!(first.output.get(..32), other.output.get(..32), "the seed is the task's name");
        let clocks: Vec<u64> = first
            .output
            .get(32..)
            .unwrap()
            .chunks(8)
            .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        let start = 1_767_225_600_000_000_000;
        assert_eq!(clocks, [start, 1_000, start + 2_000, 3_000]);
    }
}

#[test]
fn an_impure_task_sees_the_world() {
    let sandbox = sandbox();
    let module = oracle();
    let program = Program { profile: Profile::Impure, ..command(&module) };
    let first = run(&sandbox, &module, &program, b"");
    let second = run(&sandbox, &module, &program, b"");
    assert_ne!(first.output.get(..32), second.output.get(..32));
    assert_ne!(first.output.get(32..40), second.output.get(32..40));
}

#[test]
fn fuel_is_counted_and_the_same_each_time() {
    let sandbox = sandbox();
    let module = echo();
    let limits = Limits { fuel: Some(1_000_000), ..Limits::DEFAULT };
    let program = Program { limits, ..function(&module, "echo") };
    let first = run(&sandbox, &module, &program, b"thread");
    let second = run(&sandbox, &module, &program, b"thread");
    assert_eq!(first.outcome, Outcome::Done);
    assert!(first.usage.fuel.is_some_and(|fuel| fuel > 10));
    assert_eq!(first.usage.fuel, second.usage.fuel);
}

#[test]
fn a_module_is_compiled_once_however_many_ask() {
    let sandbox = sandbox();
    let module = echo();
    let program = function(&module, "echo");
    let reads = AtomicU32::new(0);
    assert!(!sandbox.is_warm(program.module));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let read = || {
                    reads.fetch_add(1, Ordering::SeqCst);
                    Ok(Bytes::copy_from_slice(&module))
                };
                let prepared = sandbox.prepare(&program, read).unwrap();
                assert_eq!(prepared.functions().collect::<Vec<_>>(), ["echo", "fail"]);
            });
        }
    });
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    assert!(sandbox.is_warm(program.module));
}

#[test]
fn a_read_that_fails_is_tried_again() {
    let sandbox = sandbox();
    let module = echo();
    let program = function(&module, "echo");
    let error = sandbox.prepare(&program, || Err(io::ErrorKind::NotFound.into())).unwrap_err();
    assert!(matches!(error, PrepareError::Unreadable(_)));
    assert_eq!(error.outcome().word(), "lost");
    let wrong = sandbox.prepare(&program, || Ok(Bytes::from_static(b"other bytes"))).unwrap_err();
    assert!(matches!(wrong, PrepareError::Unreadable(_)));
    assert_eq!(run(&sandbox, &module, &program, b"x").outcome, Outcome::Done);
}

fn on_disk(dir: &std::path::Path) -> Sandbox {
    Sandbox::new(SandboxConfig { cache_dir: Some(dir.to_owned()), ..SandboxConfig::default() }).unwrap()
}

fn unread() -> io::Result<Bytes> {
    panic!("the module is on disk")
}

#[test]
fn a_restarted_node_finds_its_modules_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let module = echo();
    let program = function(&module, "echo");
    prepare(&on_disk(dir.path()), &module, &program);
    let sandbox = on_disk(dir.path());
    let prepared = sandbox.prepare(&program, unread).unwrap();
    let finished = sandbox.run(
        &prepared,
        &program,
        task(1),
        Given::input(Bytes::from_static(b"again")),
        &Stop::new(),
        None,
    );
    assert_eq!(finished.output, b"again");
}

#[test]
fn a_tampered_file_is_compiled_again_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let module = echo();
    let program = function(&module, "echo");
    prepare(&on_disk(dir.path()), &module, &program);
    let file = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .unwrap();
    let good = fs::read(&file).unwrap();
    let flipped: Vec<u8> = good
        .iter()
        .enumerate()
        .map(|(index, byte)| if index == good.len() / 2 { byte ^ 1 } else { *byte })
        .collect();
    for bad in [flipped.as_slice(), good.get(..good.len() - 9).unwrap(), b"", b"short"] {
        fs::write(&file, bad).unwrap();
        let sandbox = on_disk(dir.path());
        let mut read = false;
        let prepared = sandbox.prepare(&program, || {
            read = true;
            Ok(Bytes::copy_from_slice(&module))
        });
        assert!(read, "a damaged file of {} bytes was trusted", bad.len());
        let finished = sandbox.run(
            &prepared.unwrap(),
            &program,
            task(1),
            Given::input(Bytes::from_static(b"safe")),
            &Stop::new(),
            None,
        );
        assert_eq!(finished.output, b"safe");
        assert_eq!(fs::read(&file).unwrap().len(), good.len(), "the file is made anew");
    }
}

#[test]
fn a_key_that_others_may_read_is_replaced() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let module = echo();
    let program = function(&module, "echo");
    prepare(&on_disk(dir.path()), &module, &program);
    let key = dir.path().join("key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    drop(on_disk(dir.path()));
    assert_ne!(fs::read(&key).unwrap(), before);
}

#[test]
fn each_profile_and_metering_has_its_own_code() {
    let sandbox = sandbox();
    let module = echo();
    for profile in [Profile::Pure, Profile::Portable, Profile::Impure] {
        for fuel in [None, Some(100_000)] {
            let program =
                Program { profile, limits: Limits { fuel, ..Limits::DEFAULT }, ..function(&module, "echo") };
            assert_eq!(run(&sandbox, &module, &program, b"same").output, b"same");
        }
    }
    let plain = function(&module, "echo");
    let metered = Program { limits: Limits { fuel: Some(1), ..Limits::DEFAULT }, ..plain.clone() };
    let prepared = prepare(&sandbox, &module, &plain);
    let mixed = sandbox.run(&prepared, &metered, task(1), Given::input(Bytes::new()), &Stop::new(), None);
    assert_eq!(mixed.outcome.word(), "lost", "{}", mixed.outcome);
}

#[test]
fn a_function_module_may_print_and_sees_no_input_on_stdin() {
    let sandbox = sandbox();
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 64) "printed")
            (func (export "weft_alloc") (param i32) (result i32) (i32.const 1024))
            (func (export "weft_fn_f") (param i32 i32) (result i64)
                (i32.store (i32.const 0) (i32.const 64))
                (i32.store (i32.const 4) (i32.const 7))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i64.const 0x800_0000_0001)))"#,
    )
    .unwrap();
    let finished = run(&sandbox, &module, &program(&module, Entry::Function("f".into())), b"");
    assert_eq!(finished.outcome, Outcome::Done);
    assert_eq!(
        (finished.output.as_slice(), finished.errors.as_slice()),
        (b"".as_slice(), b"printed".as_slice())
    );
}

#[test]
fn a_parcel_that_is_none_ends_its_own_task() {
    let sandbox = sandbox();
    let module = command_module("(call $exit (i32.const 0))");
    let program = program(&module, Entry::Parcel);
    for input in [&b""[..], b"stdin", &[0xff; 48], &[0xff; 4096]] {
        let Outcome::Invalid(text) = run(&sandbox, &module, &program, input).outcome else {
            panic!("{input:?}")
        };
        assert!(text.contains("expected a parcel"), "{text}");
    }
    let empty = [&[0; 40][..], b"weftprc1"].concat();
    assert_eq!(run(&sandbox, &module, &program, &empty).outcome, Outcome::Done);
    // Its files are one more archive for `/in`, and have to be one.
    let mut no_tar = [0; 5 * 8];
    no_tar[24] = 7;
    let no_tar = [&b"nonsense"[..], &no_tar, b"weftprc1"].concat();
    let outcome = run(&sandbox, &module, &program, &no_tar).outcome;
    assert!(matches!(&outcome, Outcome::Invalid(text) if text.contains("/in")), "{outcome:?}");
}
