//! Components: preview 2 commands, made of preview 1 ones by the usual adapter, and by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use support::{
    command, command_echo, command_module, component_of, function, limit, prepare, refusal, run, sandbox,
    task, trap,
};
use weft_core::{Failure, Limit, Limits, Outcome, Profile, Program, Trap};
use weft_exec::{Finished, Given, Sandbox, Stop};

/// How much later than its limit a run may end, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(2);

/// A component whose `run` has this body, in a core module with 1 page; it may use what `uses` lowers. `$r` is its
/// result: 0 is well.
fn by_hand(imports: &str, lowered: &str, uses: &str, globals: &str, body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            {imports}
            (core module $memory (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $memory (instantiate $memory))
            {lowered}
            (core module $main
                (import "memory" "memory" (memory 0))
                {uses}
                {globals}
                (func (export "run") (result i32) (local $r i32) {body} (local.get $r)))
            (core instance $main (instantiate $main
                (with "memory" (instance (export "memory" (memory $memory "memory"))))
                (with "host" (instance {exports}))))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $cli)))"#,
        exports = exports_of(lowered),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// `(core func $name ...` of each lowered function, as an export of the same name.
fn exports_of(lowered: &str) -> String {
    let names = lowered.split("(core func $").filter_map(|rest| Some(rest.split_once(" (canon ")?.0));
    names.map(|name| format!(r#"(export "{name}" (func ${name}))"#)).collect()
}

/// A component that uses nothing.
fn plain(body: &str) -> Vec<u8> {
    by_hand("", "", "", "", body)
}

const RANDOM: &str = r#"(import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))"#;

fn limited(program: Program, change: impl FnOnce(&mut Limits)) -> Program {
    let mut program = program;
    change(&mut program.limits);
    program
}

fn run_plain(sandbox: &Sandbox, module: &[u8]) -> Finished {
    run(sandbox, module, &command(module), b"")
}

#[test]
fn a_component_sees_input_arguments_and_environment_and_its_exit_code_counts() {
    let sandbox = sandbox();
    for (code, outcome) in [(0, Outcome::Done), (3, Outcome::Failed(Failure::Exit(1)))] {
        let module = component_of(&command_echo(code));
        let program = Program {
            args: vec!["one".into(), "two".into()],
            env: vec![("KEY".into(), "value".into())],
            ..command(&module)
        };
        let finished = run(&sandbox, &module, &program, b"hello, ");
        // The adapter knows no code but 0 and 1.
        assert_eq!(finished.outcome, outcome);
        assert_eq!(String::from_utf8_lossy(&finished.output), "hello, main.wasm\0one\0two\0KEY=value\0");
        assert_eq!(finished.errors, b"heck");
    }
}

#[test]
fn run_answers_well_or_badly() {
    let sandbox = sandbox();
    assert_eq!(run_plain(&sandbox, &plain("")).outcome, Outcome::Done);
    let bad = plain("(local.set $r (i32.const 1))");
    assert_eq!(run_plain(&sandbox, &bad).outcome, Outcome::Failed(Failure::Exit(1)));
}

#[test]
fn exit_with_a_code_is_that_code_even_in_the_middle() {
    let module = by_hand(
        r#"(import "wasi:cli/exit@0.2.3" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))"#,
        r#"(core func $exit (canon lower (func $exit "exit-with-code")))"#,
        r#"(import "host" "exit" (func $exit (param i32)))"#,
        "",
        "(call $exit (i32.const 200)) (unreachable)",
    );
    assert_eq!(run_plain(&sandbox(), &module).outcome, Outcome::Failed(Failure::Exit(200)));
}

#[test]
fn text_and_other_bytes_are_no_module_and_the_error_says_so() {
    let sandbox = sandbox();
    for (bytes, part) in [
        (b"(component)".as_slice(), "text"),
        (b" \n(module)", "text"),
        (b"#!/bin/sh", "not WebAssembly"),
        (b"", "empty"),
        (b"\0asm", "unknown version"),
        (b"\0asm\x09\0\x09\0", "unknown version"),
    ] {
        let text = refusal(&sandbox, bytes, &command(bytes));
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_component_without_a_door_is_told_what_was_looked_for_and_what_it_exports() {
    let module = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m "f")))
            (export "greet" (func $f)))"#,
    )
    .unwrap();
    let text = refusal(&sandbox(), &module, &command(&module));
    for part in ["`_start`", "`wasi:cli/run@0.2`", "`weft_alloc`", "`weft_fn_*`", "exports `greet`"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_door_of_another_type_is_refused() {
    let module = wat::parse_str(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func $f (canon lift (core func $m "f")))
            (instance $cli (export "run" (func $f)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#,
    )
    .unwrap();
    let text = refusal(&sandbox(), &module, &command(&module));
    assert!(text.contains("`run: func() -> result`"), "{text}");
}

#[test]
fn imports_that_nobody_has_are_listed_by_name() {
    let imports = r#"(import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func))))
        (import "mine:own/thing" (instance (export "do" (func))))
        (import "wasi:cli/environment@0.3.0" (instance (export "get-arguments" (func))))"#;
    let module = by_hand(imports, "", "", "", "");
    let text = refusal(&sandbox(), &module, &command(&module));
    for part in ["`wasi:keyvalue/store@0.2.0`", "`mine:own/thing`", "`wasi:cli/environment@0.3.0`"] {
        assert!(text.contains(part), "{text}");
    }
    let imports = r#"(import "wasi:cli/environment@0.2.0" (instance (export "get-stars" (func))))"#;
    let module = by_hand(imports, "", "", "", "");
    let text = refusal(&sandbox(), &module, &command(&module));
    assert!(text.contains("get-stars"), "{text}");
}

#[test]
fn a_component_has_no_functions() {
    let module = plain("");
    let finished = run(&sandbox(), &module, &function(&module, "echo"), b"");
    let Outcome::Invalid(text) = finished.outcome else { panic!("got {}", finished.outcome) };
    assert!(text.contains("this is a component") && text.contains("`wasi:cli/run@0.2.3`"), "{text}");
}

#[test]
fn a_component_meets_its_wall_limit_and_can_be_stopped() {
    let sandbox = sandbox();
    let module = plain("(loop (br 0))");
    let program = limited(command(&module), |limits| limits.wall_ms = 50);
    let prepared = prepare(&sandbox, &module, &program);
    let started = Instant::now();
    let finished = sandbox.run(&prepared, &program, task(1), Given::default(), &Stop::new(), None);
    assert_eq!(limit(&finished), &Limit::WallTime { limit_ms: 50 });
    assert!(started.elapsed() < Duration::from_millis(50) + LATE);

    let program = command(&module);
    let stop = Stop::new();
    let finished = thread::scope(|scope| {
        let running =
            scope.spawn(|| sandbox.run(&prepared, &program, task(1), Given::default(), &stop, None));
        stop.stop();
        running.join().unwrap()
    });
    assert_eq!(finished.outcome, Outcome::Cancelled);
}

#[test]
fn a_component_meets_its_other_limits() {
    let sandbox = sandbox();
    let module = plain("(if (i32.eq (memory.grow (i32.const 1600)) (i32.const -1)) (then unreachable))");
    let program = limited(command(&module), |limits| limits.memory_bytes = 64 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert!(matches!(limit(&finished), Limit::Memory { limit_bytes, .. } if *limit_bytes == 64 << 20));

    let module = plain("(loop (br 0))");
    let program = limited(command(&module), |limits| limits.fuel = Some(100_000));
    assert_eq!(limit(&run(&sandbox, &module, &program, b"")), &Limit::Fuel { limit: 100_000 });

    let module = component_of(&command_module(
        "(loop (call $write (i32.const 1) (i32.const 0) (i32.const 4096)) (br 0))",
    ));
    let program = limited(command(&module), |limits| limits.output_bytes = 10_000);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::Output { limit_bytes: 10_000 });
    assert_eq!(finished.output.len(), 10_000);
}

#[test]
fn all_memories_of_a_component_count_together() {
    let module = wat::parse_str(
        r#"(component
            (core module $big (memory (export "memory") 600))
            (core instance $one (instantiate $big))
            (core instance $two (instantiate $big))
            (core module $main (func (export "run") (result i32) (i32.const 0)))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#,
    )
    .unwrap();
    let sandbox = sandbox();
    let program = limited(command(&module), |limits| limits.memory_bytes = 64 << 20);
    assert_eq!(
        limit(&run(&sandbox, &module, &program, b"")),
        &Limit::Memory { asked_bytes: 1200 << 16, limit_bytes: 64 << 20 }
    );
    let program = limited(command(&module), |limits| limits.memory_bytes = 128 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!((finished.outcome, finished.usage.memory_bytes), (Outcome::Done, 1200 << 16));
}

#[test]
fn a_component_of_too_many_parts_is_refused() {
    let of_parts = |parts: u32| {
        let parts: String =
            (1..parts).map(|n| format!("(core instance $i{n} (instantiate $part))")).collect();
        let text = format!(
            r#"(component
                (core module $part)
                {parts}
                (core module $main (func (export "run") (result i32) (i32.const 0)))
                (core instance $main (instantiate $main))
                (func $run (result (result)) (canon lift (core func $main "run")))
                (instance $cli (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $cli)))"#,
        );
        wat::parse_str(text).unwrap()
    };
    let sandbox = sandbox();
    assert_eq!(run_plain(&sandbox, &of_parts(128)).outcome, Outcome::Done);
    let module = of_parts(129);
    let text = refusal(&sandbox, &module, &command(&module));
    assert!(text.contains("129 core module instances") && text.contains("128"), "{text}");
}

#[test]
fn a_component_traps_as_a_module_does() {
    let sandbox = sandbox();
    assert_eq!(trap(&run_plain(&sandbox, &plain("(unreachable)"))), &Trap::Unreachable);
    let recursion = by_hand(
        "",
        "",
        "",
        "(func $deep (param i32) (call $deep (i32.add (local.get 0) (i32.const 1))))",
        "(call $deep (i32.const 0))",
    );
    assert_eq!(trap(&run_plain(&sandbox, &recursion)), &Trap::StackOverflow);
    let outside = plain("(i32.store (i32.const 0x7fff0000) (i32.const 1))");
    assert_eq!(trap(&run_plain(&sandbox, &outside)), &Trap::MemoryOutOfBounds);
}

#[test]
fn handles_of_the_host_and_of_the_guests_own_have_a_bound() {
    let sandbox = sandbox();
    let pollables = by_hand(
        r#"(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
           (alias export $poll "pollable" (type $pollable))
           (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
               (alias outer 1 $pollable (type $p)) (export "pollable" (type $q (eq $p)))
               (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))"#,
        r#"(core func $subscribe (canon lower (func $clock "subscribe-duration")))"#,
        r#"(import "host" "subscribe" (func $subscribe (param i64) (result i32)))"#,
        "",
        "(loop (drop (call $subscribe (i64.const 1))) (br 0))",
    );
    let finished = run_plain(&sandbox, &pollables);
    let Limit::Other(text) = limit(&finished) else { panic!("got {}", finished.outcome) };
    assert!(text.starts_with("handles: asked for more than 16384"), "{text}");

    let own = by_hand(
        "(type $thing (resource (rep i32)))",
        "(core func $new (canon resource.new $thing))",
        r#"(import "host" "new" (func $new (param i32) (result i32)))"#,
        "",
        "(loop (drop (call $new (i32.const 1))) (br 0))",
    );
    let finished = run_plain(&sandbox, &own);
    let Limit::Other(text) = limit(&finished) else { panic!("got {}", finished.outcome) };
    assert!(text.starts_with("handles: more than 65536"), "{text}");
}

#[test]
fn randomness_by_the_gigabyte_is_a_limit() {
    let module = by_hand(
        RANDOM,
        r#"(core func $random (canon lower (func $random "get-random-bytes") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))"#,
        r#"(import "host" "random" (func $random (param i64 i32)))"#,
        "",
        "(call $random (i64.const 0x100000000) (i32.const 8))",
    );
    let finished = run_plain(&sandbox(), &module);
    let Limit::Other(text) = limit(&finished) else { panic!("got {}", finished.outcome) };
    assert!(text.contains("asked for 4294967296 bytes"), "{text}");
}

#[test]
fn sockets_and_http_are_there_to_refuse() {
    let sockets = by_hand(
        r#"(import "wasi:sockets/network@0.2.0" (instance $network
               (export "network" (type (sub resource)))
               (type $codes (enum "unknown" "access-denied" "not-supported"))
               (export "error-code" (type (eq $codes)))))
           (alias export $network "error-code" (type $code))
           (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
               (alias outer 1 $code (type $c)) (export "error-code" (type $error (eq $c)))
               (export "tcp-socket" (type $socket (sub resource)))
               (type $family (enum "ipv4" "ipv6")) (export "ip-address-family" (type $f (eq $family)))
               (export "create-tcp-socket" (func (param "family" $f) (result (result (own $socket) (error $error)))))))"#,
        r#"(core func $create (canon lower (func $create "create-tcp-socket") (memory (core memory $memory "memory"))))"#,
        r#"(import "host" "create" (func $create (param i32 i32)))"#,
        "",
        // Err(access-denied): the tag, then the case.
        "(call $create (i32.const 0) (i32.const 64))
         (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
         (if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1)) (then (unreachable)))",
    );
    assert_eq!(run_plain(&sandbox(), &sockets).outcome, Outcome::Done);
    let http = by_hand(
        r#"(import "wasi:http/types@0.2.4" (instance $types
               (type $codes (variant (case "DNS-timeout") (case "HTTP-request-denied") (case "internal-error" (option string))))
               (export "error-code" (type (eq $codes)))
               (export "fields" (type $fields (sub resource)))
               (export "[constructor]fields" (func (result (own $fields))))))
           (alias export $types "error-code" (type $code))
           (import "wasi:http/outgoing-handler@0.2.4" (instance $handler
               (alias outer 1 $code (type $c)) (export "error-code" (type $error (eq $c)))
               (export "handle" (func (result (result u32 (error $error)))))))"#,
        r#"(core func $fields (canon lower (func $types "[constructor]fields")))
           (core func $handle (canon lower (func $handler "handle") (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))"#,
        r#"(import "host" "fields" (func $fields (result i32))) (import "host" "handle" (func $handle (param i32)))"#,
        "",
        "(drop (call $fields)) (call $handle (i32.const 64))
         (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
         (if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 1)) (then (unreachable)))",
    );
    assert_eq!(run_plain(&sandbox(), &http).outcome, Outcome::Done);
}

#[test]
fn a_pure_component_says_the_same_every_time_and_an_impure_one_sees_the_real_clock() {
    // Clock, randomness, a poll of a timer, and the clock again.
    let body = r#"(drop (call $clock (i32.const 0) (i64.const 1) (i32.const 1024)))
        (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1032)))
        (drop (call $random (i32.const 1040) (i32.const 64)))
        (i64.store (i32.const 2048) (i64.const 7)) (i32.store (i32.const 2064) (i32.const 1))
        (i64.store (i32.const 2072) (i64.const 20000000))
        (drop (call $poll (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 4096)))
        (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 1104)))
        (call $write (i32.const 1) (i32.const 1024) (i32.const 88))"#;
    let module = component_of(&command_module(body));
    let sandboxes = [sandbox(), sandbox()];
    let outputs: Vec<Vec<u8>> = (0..6)
        .map(|n| {
            let finished = run(sandboxes.get(n % 2).unwrap(), &module, &command(&module), b"");
            assert_eq!(finished.outcome, Outcome::Done);
            finished.output
        })
        .collect();
    assert!(outputs.iter().all(|output| Some(output) == outputs.first()));
    let pure = outputs.first().unwrap();
    let word =
        |output: &[u8], at: usize| u64::from_le_bytes(output.get(at..at + 8).unwrap().try_into().unwrap());
    assert!(word(pure, 80) - word(pure, 8) >= 20_000_000);

    let impure = Program { profile: Profile::Impure, ..command(&module) };
    let started = Instant::now();
    let finished = run(&sandbox(), &module, &impure, b"");
    assert!(started.elapsed() >= Duration::from_millis(20), "it slept");
    assert_ne!(&finished.output, pure);
}

#[test]
fn a_long_sleep_ends_with_the_limit() {
    let body = r#"(i32.store (i32.const 2064) (i32.const 1)) (i64.store (i32.const 2072) (i64.const 60000000000))
        (drop (call $poll (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 4096)))"#;
    let module = component_of(&command_module(body));
    let program =
        limited(Program { profile: Profile::Impure, ..command(&module) }, |limits| limits.wall_ms = 50);
    let started = Instant::now();
    let finished = run(&sandbox(), &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::WallTime { limit_ms: 50 });
    assert!(started.elapsed() < Duration::from_millis(50) + LATE);
}

#[test]
fn no_component_sees_its_predecessor() {
    let body = r#"(call $write (i32.const 1) (i32.const 65536) (i32.const 4096))
        (memory.fill (i32.const 65536) (i32.const 0x41) (i32.const 4096))"#;
    let module = component_of(&command_module(body));
    let sandbox = sandbox();
    for _ in 0..8 {
        let finished = run(&sandbox, &module, &command(&module), b"");
        assert_eq!(finished.outcome, Outcome::Done);
        assert!(finished.output.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn truncated_components_are_refused() {
    let module = component_of(&command_echo(0));
    let sandbox = sandbox();
    for len in (0..module.len()).step_by(module.len() / 60) {
        let cut = module.get(..len).unwrap();
        let text = refusal(&sandbox, cut, &command(cut));
        assert!(!text.is_empty());
    }
}
