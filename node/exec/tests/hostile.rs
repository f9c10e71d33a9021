//! Guests that try: each limit, each lie, each malformed byte, and what the next guest may see of them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use support::{
    DEADLINE, command, command_module, echo, function, function_module, limit, prepare, refusal, run,
    sandbox, task, trap,
};
use weft_core::{Entry, Failure, Limit, Limits, Outcome, Profile, Program, Trap};
use weft_exec::{Given, PrepareError, Printer, Sandbox, SandboxConfig, Stop, TABLE_ELEMENTS_MAX};

/// How much later than its limit a run may end, on a machine that is busy with other tests.
const LATE: Duration = Duration::from_secs(2);
/// How much of the processor a run may use beyond its limit. However busy the machine is, that is not the run's.
const OVER: Duration = Duration::from_millis(100);

fn limited(program: Program, change: impl FnOnce(&mut Limits)) -> Program {
    let mut program = program;
    change(&mut program.limits);
    program
}

/// Runs with this wall limit, and expects it to be met in time and to be told of what was used.
fn expect_wall(sandbox: &Sandbox, module: &[u8], program: Program, limit_ms: u32) {
    let program = limited(program, |limits| limits.wall_ms = limit_ms);
    let prepared = prepare(sandbox, module, &program);
    let (started, cpu) = (Instant::now(), thread_cpu());
    let finished = sandbox.run(&prepared, &program, task(1), Given::input(Bytes::new()), &Stop::new(), None);
    let (took, used) = (started.elapsed(), thread_cpu() - cpu);
    assert_eq!(limit(&finished), &Limit::WallTime { limit_ms });
    let due = Duration::from_millis(u64::from(limit_ms));
    assert!(took >= due && took < due + LATE, "limit {due:?}, took {took:?}");
    assert!(used < due + OVER, "limit {due:?}, used {used:?}");
    assert!(finished.usage.wall_us >= u64::from(limit_ms) * 1000);
    let told = Duration::from_micros(finished.usage.cpu_us);
    assert!(
        told > used / 2 && told < used + Duration::from_millis(1),
        "{used:?} were used, it tells {told:?}"
    );
}

/// Processor time of this thread, on which guests run here, by the system's own count.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

const SPIN: &str =
    r#"(func (export "weft_fn_spin") (param i32 i32) (result i64) (loop (br 0)) (i64.const 0))"#;

#[test]
fn an_endless_loop_meets_its_deadline() {
    let module = function_module(SPIN);
    expect_wall(&sandbox(), &module, function(&module, "spin"), 50);
    let module = command_module("(loop (br 0))");
    expect_wall(&sandbox(), &module, command(&module), 50);
}

#[test]
fn a_loop_in_the_start_function_or_initialiser_meets_it_too() {
    let sandbox = sandbox();
    let module = function_module(&format!("{SPIN} (func $loop (loop (br 0))) (start $loop)"));
    expect_wall(&sandbox, &module, function(&module, "spin"), 50);
    let module = function_module(&format!("{SPIN} (func (export \"_initialize\") (loop (br 0)))"));
    expect_wall(&sandbox, &module, function(&module, "spin"), 50);
}

#[test]
fn an_endless_loop_of_host_calls_meets_it_too() {
    let module = command_module("(loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0))");
    expect_wall(&sandbox(), &module, command(&module), 50);
}

/// Writes a word to standard error, sleeps for an hour by `poll_oneoff`, then prints "ok".
fn sleeper() -> Vec<u8> {
    command_module(
        r"(call $write (i32.const 2) (i32.const 700) (i32.const 1))
          (i32.store (i32.const 80) (i32.const 1))
          (i64.store (i32.const 88) (i64.const 3600000000000))
          (if (call $poll (i32.const 64) (i32.const 256) (i32.const 1) (i32.const 512)) (then (call $exit (i32.const 9))))
          (if (i32.ne (i32.load (i32.const 512)) (i32.const 1)) (then (call $exit (i32.const 8))))
          (i32.store (i32.const 600) (i32.const 0x6b6f))
          (call $write (i32.const 1) (i32.const 600) (i32.const 2))",
    )
}

#[test]
fn a_sleeping_guest_ends_at_its_limit_and_a_pure_one_does_not_wait() {
    let sandbox = sandbox();
    let module = sleeper();
    let impure = Program { profile: Profile::Impure, ..command(&module) };
    expect_wall(&sandbox, &module, impure, 60);
    let started = Instant::now();
    let pure = run(&sandbox, &module, &command(&module), b"");
    assert_eq!((pure.outcome, pure.output.as_slice()), (Outcome::Done, b"ok".as_slice()));
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// Stops a run after it has printed something, and expects it to end soon after.
fn expect_stop(module: &[u8], program: Program) {
    let sandbox = sandbox();
    let program = limited(program, |limits| limits.wall_ms = 60_000);
    let prepared = prepare(&sandbox, module, &program);
    let stop = Stop::new();
    let (tell, hear) = mpsc::channel();
    let printer: Printer = Box::new(move |_, _, _| tell.send(()).unwrap());
    let none = || Given::input(Bytes::new());
    let (finished, took) = thread::scope(|scope| {
        let run = || sandbox.run(&prepared, &program, task(1), none(), &stop, Some(printer));
        let runner = scope.spawn(run);
        // By then the guest runs, or sleeps at once.
        hear.recv_timeout(DEADLINE).unwrap();
        let stopped = Instant::now();
        stop.stop();
        (runner.join().unwrap(), stopped.elapsed())
    });
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(took < LATE, "took {took:?}");
    let again = sandbox.run(&prepared, &program, task(1), none(), &stop, None);
    assert_eq!(again.outcome, Outcome::Cancelled);
}

#[test]
fn a_stop_ends_a_spinning_and_a_sleeping_guest() {
    let module = command_module("(call $write (i32.const 2) (i32.const 64) (i32.const 1)) (loop (br 0))");
    expect_stop(&module, command(&module));
    let module = sleeper();
    expect_stop(&module, Program { profile: Profile::Impure, ..command(&module) });
}

/// Grows its memory until that is refused, then does this.
fn hoard(then: &str) -> Vec<u8> {
    function_module(&format!(
        r#"(func (export "weft_fn_hoard") (param i32 i32) (result i64)
               (loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
               (i32.store (i32.const 16) (i32.const 0x6c6c7566))
               {then})"#
    ))
}

#[test]
fn memory_ends_at_the_limit() {
    let sandbox = sandbox();
    let module = hoard("unreachable");
    let program = limited(function(&module, "hoard"), |limits| limits.memory_bytes = 16 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    let asked_bytes = (2 + 16 * 16) * 65_536;
    assert_eq!(limit(&finished), &Limit::Memory { asked_bytes, limit_bytes: 16 << 20 });
    assert_eq!(finished.usage.memory_bytes, asked_bytes - (1 << 20));
}

#[test]
fn a_guest_that_can_live_with_refused_memory_goes_on() {
    let sandbox = sandbox();
    // A tag of 0, then "ull".
    let module = hoard("(i32.store8 (i32.const 16) (i32.const 0)) (call $pack (i32.const 16) (i32.const 4))");
    let program = limited(function(&module, "hoard"), |limits| limits.memory_bytes = 16 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!((finished.outcome, finished.output.as_slice()), (Outcome::Done, b"ull".as_slice()));
    assert!(finished.usage.memory_bytes <= 16 << 20);
}

#[test]
fn a_guest_that_fails_after_memory_was_refused_failed_for_that() {
    let sandbox = sandbox();
    let module = hoard("(i32.store8 (i32.const 16) (i32.const 1)) (call $pack (i32.const 16) (i32.const 4))");
    let program = limited(function(&module, "hoard"), |limits| limits.memory_bytes = 16 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    let asked_bytes = (2 + 16 * 16) * 65_536;
    assert_eq!(limit(&finished), &Limit::Memory { asked_bytes, limit_bytes: 16 << 20 });
    assert_eq!(finished.errors, b"ull", "its own words are kept");
    let module = command_module("(drop (memory.grow (i32.const 1000))) (call $exit (i32.const 3))");
    let program = limited(command(&module), |limits| limits.memory_bytes = 16 << 20);
    let asked_bytes = 1002 * 65_536;
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::Memory { asked_bytes, limit_bytes: 16 << 20 });
    // A failure for another reason stays what it is.
    let module = command_module(
        "(drop (memory.grow (i32.const 1000))) (drop (memory.grow (i32.const 10))) (call $exit (i32.const 3))",
    );
    let program = limited(command(&module), |limits| limits.memory_bytes = 16 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(finished.outcome, Outcome::Failed(Failure::Exit(3)), "it went on with less");
    let module = command_module("(drop (memory.grow (i32.const 100))) (call $exit (i32.const 3))");
    let finished = run(&sandbox, &module, &command(&module), b"");
    assert_eq!(finished.outcome, Outcome::Failed(Failure::Exit(3)));
}

/// Conses cells of a list without end, or keeps one of them at a time.
fn objects(kept: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (type $cell (struct (field (ref null $cell)) (field i64 i64 i64 i64)))
            (global $list (mut (ref null $cell)) (ref.null $cell))
            (memory (export "memory") 1)
            (func (export "_start") (local $n i32)
                (loop
                    (global.set $list (struct.new $cell {kept} (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if 0 (i32.lt_u (local.get $n) (i32.const 1000000))))))"#
    ))
    .unwrap()
}

#[test]
fn collected_objects_count_as_memory() {
    let sandbox = sandbox();
    let within = |module: &[u8]| {
        let program = limited(command(module), |limits| limits.memory_bytes = 8 << 20);
        run(&sandbox, module, &program, b"")
    };
    let finished = within(&objects("(global.get $list)"));
    assert!(
        matches!(limit(&finished), Limit::Memory { asked_bytes, limit_bytes } if *limit_bytes == 8 << 20 && asked_bytes > limit_bytes),
        "{}",
        finished.outcome
    );
    assert!(finished.usage.memory_bytes <= 8 << 20);
    // Garbage is collected: the same number of cells, of which one is alive.
    let finished = within(&objects("(ref.null $cell)"));
    assert_eq!(finished.outcome, Outcome::Done);
    assert!(finished.usage.memory_bytes <= 8 << 20);
}

#[test]
fn an_object_that_is_too_large_at_once_ends_at_the_limit_too() {
    let sandbox = sandbox();
    let text = r#"(module (type $bytes (array (mut i8))) (memory (export "memory") 1)
        (func (export "_start") (drop (array.new_default $bytes (i32.const 500000000)))))"#;
    let start = r#"(module (type $bytes (array (mut i8))) (memory (export "memory") 1)
        (global (ref $bytes) (array.new_default $bytes (i32.const 500000000)))
        (func (export "_start")))"#;
    for text in [text, start] {
        let module = wat::parse_str(text).unwrap();
        let finished = run(&sandbox, &module, &command(&module), b"");
        assert!(matches!(limit(&finished), Limit::Memory { .. }), "{}", finished.outcome);
    }
}

#[test]
fn a_module_that_needs_more_than_the_limit_does_not_start() {
    let sandbox = sandbox();
    let module =
        wat::parse_str(r#"(module (memory (export "memory") 32) (func (export "_start")))"#).unwrap();
    let program = limited(command(&module), |limits| limits.memory_bytes = 1 << 20);
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::Memory { asked_bytes: 2 << 20, limit_bytes: 1 << 20 });
}

#[test]
fn a_nodes_own_memory_bound_is_never_the_guests_fault() {
    let config = SandboxConfig { memory_max_bytes: 1 << 20, ..SandboxConfig::default() };
    let sandbox = Sandbox::new(config).unwrap();
    let module =
        wat::parse_str(r#"(module (memory (export "memory") 32) (func (export "_start")))"#).unwrap();
    assert_eq!(run(&sandbox, &module, &command(&module), b"").outcome.word(), "lost");
}

#[test]
fn growing_beyond_the_modules_own_maximum_just_fails() {
    let sandbox = sandbox();
    let module = wat::parse_str(
        r#"(module (memory (export "memory") 1 2)
            (func (export "_start")
                (if (i32.ne (memory.grow (i32.const 9)) (i32.const -1)) (then unreachable))))"#,
    )
    .unwrap();
    assert_eq!(run(&sandbox, &module, &command(&module), b"").outcome, Outcome::Done);
}

#[test]
fn tables_end_at_the_limit() {
    let sandbox = sandbox();
    let over = TABLE_ELEMENTS_MAX + 1;
    let growing = format!(
        r#"(module (table $t 1 funcref) (func (export "_start")
            (if (i32.eq (table.grow $t (ref.null func) (i32.const {TABLE_ELEMENTS_MAX})) (i32.const -1))
                (then unreachable))))"#
    );
    let declared = format!(r#"(module (table {over} funcref) (func (export "_start")))"#);
    for text in [growing, declared] {
        let module = wat::parse_str(text).unwrap();
        let finished = run(&sandbox, &module, &command(&module), b"");
        assert!(
            matches!(limit(&finished), Limit::Other(text) if text.contains("table")),
            "{}",
            finished.outcome
        );
    }
}

#[test]
fn fuel_ends() {
    let sandbox = sandbox();
    let module = function_module(SPIN);
    let program = limited(function(&module, "spin"), |limits| limits.fuel = Some(100_000));
    let finished = run(&sandbox, &module, &program, b"");
    assert_eq!(limit(&finished), &Limit::Fuel { limit: 100_000 });
    assert!(finished.usage.fuel.is_some_and(|fuel| fuel >= 99_000), "{:?}", finished.usage.fuel);
}

#[test]
fn deep_recursion_is_a_stack_overflow() {
    let sandbox = sandbox();
    let module = function_module(
        r#"(func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (i32.add (local.get 0) (i32.const 1)))))
           (func (export "weft_fn_deep") (param i32 i32) (result i64) (i64.extend_i32_u (call $deep (i32.const 0))))"#,
    );
    assert_eq!(trap(&run(&sandbox, &module, &function(&module, "deep"), b"")), &Trap::StackOverflow);
    // And the thread still works.
    let module = echo();
    assert_eq!(run(&sandbox, &module, &function(&module, "echo"), b"up").output, b"up");
}

#[test]
fn endless_output_ends_at_its_limit() {
    let sandbox = sandbox();
    for (fd, expected) in
        [(1, Limit::Output { limit_bytes: 10_000 }), (2, Limit::Errors { limit_bytes: 9_000 })]
    {
        let module = command_module(&format!(
            "(loop (call $write (i32.const {fd}) (i32.const 64) (i32.const 3000)) (br 0))"
        ));
        let program = limited(command(&module), |limits| {
            limits.output_bytes = 10_000;
            limits.errors_bytes = 9_000;
        });
        let finished = run(&sandbox, &module, &program, b"");
        assert_eq!(limit(&finished), &expected);
        assert_eq!(finished.output.len() + finished.errors.len(), if fd == 1 { 10_000 } else { 9_000 });
    }
}

#[test]
fn an_output_of_just_the_limit_is_fine() {
    let sandbox = sandbox();
    let module = echo();
    let exact = limited(function(&module, "echo"), |limits| limits.output_bytes = 5);
    assert_eq!(run(&sandbox, &module, &exact, b"12345").outcome, Outcome::Done);
    assert_eq!(limit(&run(&sandbox, &module, &exact, b"123456")), &Limit::Output { limit_bytes: 5 });
    let module = command_module("(call $write (i32.const 1) (i32.const 64) (i32.const 5))");
    let exact = limited(command(&module), |limits| limits.output_bytes = 5);
    assert_eq!(run(&sandbox, &module, &exact, b"").outcome, Outcome::Done);
}

#[test]
fn traps_are_told_apart() {
    let sandbox = sandbox();
    for (body, expected) in [
        ("unreachable", Trap::Unreachable),
        ("(drop (i32.load (i32.const -4)))", Trap::MemoryOutOfBounds),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", Trap::Arithmetic),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", Trap::Arithmetic),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", Trap::Arithmetic),
        ("(call_indirect (type 0) (i32.const 0))", Trap::BadTable),
        ("(call_indirect (type 0) (i32.const 77))", Trap::BadTable),
    ] {
        let text = format!(
            r#"(module (type (func)) (memory (export "memory") 1) (table 2 funcref) (func (export "_start") {body}))"#
        );
        let module = wat::parse_str(text).unwrap();
        assert_eq!(trap(&run(&sandbox, &module, &command(&module), b"")), &expected, "{body}");
    }
}

#[test]
fn a_module_that_is_none_is_refused_with_a_reason() {
    let sandbox = sandbox();
    let module = echo();
    for bad in [b"".as_slice(), b"\0asm", b"#!/bin/sh\necho weft\n", module.get(..module.len() / 2).unwrap()]
    {
        let text = refusal(&sandbox, bad, &function(bad, "echo"));
        assert!(!text.is_empty() && text.len() < 4096, "{text}");
    }
    for cut in 1..module.len() {
        let cut = module.get(..cut).unwrap();
        // A cut between sections may leave a whole module; it must not be more than that.
        let program = function(cut, "echo");
        let Ok(prepared) = sandbox.prepare(&program, || Ok(Bytes::copy_from_slice(cut))) else { continue };
        let finished = sandbox.run(
            &prepared,
            &program,
            task(1),
            Given::input(Bytes::from_static(b"x")),
            &Stop::new(),
            None,
        );
        assert_eq!((finished.outcome, finished.output.as_slice()), (Outcome::Done, b"x".as_slice()));
    }
    let component = wat::parse_str("(component)").unwrap();
    assert!(refusal(&sandbox, &component, &command(&component)).contains("component"));
}

#[test]
fn a_damaged_module_is_refused_or_run_but_never_worse() {
    let sandbox = sandbox();
    let module = echo();
    for place in (0..module.len()).step_by(3) {
        let damaged: Vec<u8> = module
            .iter()
            .enumerate()
            .map(|(index, byte)| if index == place { byte ^ 0x55 } else { *byte })
            .collect();
        let program = limited(function(&damaged, "echo"), |limits| limits.wall_ms = 200);
        let Ok(prepared) = sandbox.prepare(&program, || Ok(Bytes::from(damaged))) else { continue };
        let finished = sandbox.run(
            &prepared,
            &program,
            task(1),
            Given::input(Bytes::from_static(b"x")),
            &Stop::new(),
            None,
        );
        assert_ne!(finished.outcome.word(), "lost", "{}", finished.outcome);
    }
}

#[test]
fn what_is_missing_is_named() {
    let sandbox = sandbox();
    let module = wat::parse_str(
        r#"(module (import "env" "magic" (func)) (import "wasi_snapshot_preview1" "sock_dance" (func))
            (func (export "_start")))"#,
    )
    .unwrap();
    let text = refusal(&sandbox, &module, &command(&module));
    assert!(text.contains("env::magic") && text.contains("sock_dance"), "{text}");

    let wrong_type = wat::parse_str(
        r#"(module (import "wasi_snapshot_preview1" "fd_write" (func (param i64))) (func (export "_start")))"#,
    )
    .unwrap();
    assert!(refusal(&sandbox, &wrong_type, &command(&wrong_type)).contains("fd_write"));

    let neither = wat::parse_str(r#"(module (func (export "main")))"#).unwrap();
    let text = refusal(&sandbox, &neither, &command(&neither));
    assert!(text.contains("_start") && text.contains("weft_fn_") && text.contains("`main`"), "{text}");

    let no_alloc = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "weft_fn_f") (param i32 i32) (result i64) unreachable))"#,
    )
    .unwrap();
    assert!(refusal(&sandbox, &no_alloc, &function(&no_alloc, "f")).contains("weft_alloc"));

    let bad_type = function_module(r#"(func (export "weft_fn_f") (param i32) (result i64) unreachable)"#);
    assert!(refusal(&sandbox, &bad_type, &function(&bad_type, "f")).contains("(i32, i32) -> (i64)"));

    let module = echo();
    let outcome = run(&sandbox, &module, &function(&module, "ehco"), b"").outcome;
    assert!(
        matches!(&outcome, Outcome::Invalid(text) if text.contains("ehco") && text.contains("weft_fn_echo"))
    );
    let outcome =
        run(&sandbox, &module, &Program { entry: Entry::Command, ..function(&module, "") }, b"").outcome;
    assert!(matches!(&outcome, Outcome::Invalid(text) if text.contains("_start")));
}

#[test]
fn a_module_that_is_too_long_is_refused_unread() {
    let sandbox = sandbox();
    let module = echo();
    let program = Program { module_bytes: 65 << 20, ..function(&module, "echo") };
    let error = sandbox.prepare(&program, || panic!("it was read")).unwrap_err();
    assert!(matches!(error, PrepareError::TooLong { .. }));
    assert_eq!(error.outcome().word(), "limit");
    let honest = function(&module, "echo");
    assert_eq!(run(&sandbox, &module, &honest, b"x").outcome, Outcome::Done, "a false claim must not stick");
}

#[test]
fn liars_of_the_guest_abi_are_caught() {
    let sandbox = sandbox();
    let lie = |answer: &str| {
        function_module(&format!(r#"(func (export "weft_fn_lie") (param i32 i32) (result i64) {answer})"#))
    };
    for module in [
        lie("(i64.const 0)"),
        lie("(i64.const -1)"),
        lie("(call $pack (i32.const 131071) (i32.const 2))"),
        lie("(call $pack (i32.const -1) (i32.const 1))"),
        lie("(i32.store8 (i32.const 8) (i32.const 7)) (call $pack (i32.const 8) (i32.const 1))"),
        lie("(i32.store16 (i32.const 8) (i32.const 0xff01)) (call $pack (i32.const 8) (i32.const 2))"),
    ] {
        let finished = run(&sandbox, &module, &function(&module, "lie"), b"x");
        assert!(matches!(trap(&finished), Trap::Abi(_)), "{}", finished.outcome);
    }
    for room in ["131072", "-1", "131071"] {
        let text = format!(
            r#"(module (memory (export "memory") 2) (func (export "weft_alloc") (param i32) (result i32) (i32.const {room}))
                (func (export "weft_fn_lie") (param i32 i32) (result i64) unreachable))"#
        );
        let module = wat::parse_str(text).unwrap();
        let finished = run(&sandbox, &module, &function(&module, "lie"), b"two");
        assert!(
            matches!(trap(&finished), Trap::Abi(text) if text.contains("weft_alloc")),
            "{}",
            finished.outcome
        );
    }
}

#[test]
fn a_function_that_exits_owes_its_answer() {
    let sandbox = sandbox();
    for (code, expected) in [(0, "trapped"), (7, "failed")] {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
                (func (export "weft_alloc") (param i32) (result i32) (i32.const 64))
                (func (export "weft_fn_f") (param i32 i32) (result i64) (call $exit (i32.const {code})) (i64.const 0)))"#
        );
        let module = wat::parse_str(text).unwrap();
        assert_eq!(run(&sandbox, &module, &function(&module, "f"), b"").outcome.word(), expected);
    }
}

#[test]
fn wild_addresses_in_host_calls_are_answered_not_obeyed() {
    let sandbox = sandbox();
    let call = |call: &str| command_module(&format!("(call $exit {call})"));
    for module in [
        call("(call $random (i32.const -8) (i32.const 64))"),
        call("(call $random (i32.const 0) (i32.const -1))"),
        call("(call $clock (i32.const 0) (i64.const 0) (i32.const 131070))"),
        call("(call $clock (i32.const 5) (i64.const 0) (i32.const 64))"),
        call("(call $poll (i32.const 64) (i32.const 64) (i32.const 0) (i32.const 64))"),
        call("(call $poll (i32.const 64) (i32.const 64) (i32.const -1) (i32.const 64))"),
        call("(call $poll (i32.const 131050) (i32.const 64) (i32.const 1) (i32.const 64))"),
        call("(call $poll (i32.const 64) (i32.const 131071) (i32.const 1) (i32.const 64))"),
        call("(call $poll (i32.const 64) (i32.const 256) (i32.const 1) (i32.const 131071))"),
        call("(call $fd_write (i32.const 1) (i32.const 131071) (i32.const 9) (i32.const 64))"),
        call("(call $fd_read (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 64))"),
    ] {
        let outcome = run(&sandbox, &module, &command(&module), b"").outcome;
        // Some are answered with an error number, which becomes the exit code; some end the guest.
        assert!(
            matches!(outcome, Outcome::Failed(_) | Outcome::Trapped(Trap::MemoryOutOfBounds)),
            "{outcome}"
        );
    }
}

#[test]
fn no_guest_sees_its_predecessors_bytes() {
    let sandbox = Sandbox::new(SandboxConfig::default()).unwrap();
    let paint = command_module(
        r"(local $at i32)
          (drop (memory.grow (i32.const 62)))
          (loop (i32.store (local.get $at) (i32.const 0x5ec3e7))
                (local.set $at (i32.add (local.get $at) (i32.const 4)))
                (br_if 0 (i32.lt_u (local.get $at) (i32.const 4194304))))",
    );
    let search = function_module(
        r#"(func (export "weft_fn_search") (param i32 i32) (result i64)
               (local $at i32)
               (drop (memory.grow (i32.const 62)))
               (loop (if (i32.load (local.get $at)) (then unreachable))
                     (local.set $at (i32.add (local.get $at) (i32.const 4)))
                     (br_if 0 (i32.lt_u (local.get $at) (i32.const 4194304))))
               (call $pack (i32.const 0) (i32.const 1)))"#,
    );
    for _ in 0..20 {
        assert_eq!(run(&sandbox, &paint, &command(&paint), b"").outcome, Outcome::Done);
        assert_eq!(run(&sandbox, &search, &function(&search, "search"), b"").outcome, Outcome::Done);
    }
}
