//! WebAssembly beyond its first version: what runs does what the standard says, on both compilers where both can, and
//! what does not is refused before it is compiled. The sentences of the refusals are tested next to their table.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use support::{command, refusal, run, sandbox, trap};
use weft_core::{Outcome, Profile, Program, Trap};

/// A command whose `main` must answer 42.
fn answering(definitions: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            {definitions}
            (func (export "_start")
                (if (i32.ne (call $main) (i32.const 42)) (then (call $exit (i32.const 1))))))"#
    ))
    .unwrap()
}

/// What runs, with a module that shows it.
const RUNS: &[(&str, &str)] = &[
    (
        "exceptions",
        "(tag $e (param i32))
         (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))
             (throw $e (i32.const 42)))
         (func $main (result i32)
             (block $caught (result i32) (try_table (catch $e $caught) (call $deep (i32.const 50))) (i32.const 0)))",
    ),
    (
        "exceptions that are thrown again",
        "(tag $e (param i32))
         (func $again (block $any (result exnref) (try_table (catch_all_ref $any) (throw $e (i32.const 42))) unreachable)
             throw_ref)
         (func $main (result i32)
             (block $caught (result i32) (try_table (catch $e $caught) (call $again)) (i32.const 0)))",
    ),
    (
        "reference types",
        "(table $t 3 externref)
         (func $main (result i32)
             (drop (table.grow $t (ref.null extern) (i32.const 39)))
             (if (result i32) (ref.is_null (table.get $t (i32.const 5))) (then (table.size $t)) (else (i32.const 0))))",
    ),
    (
        "function references",
        "(type $f (func (result i32)))
         (elem declare func $answer)
         (func $answer (result i32) (i32.const 42))
         (func $main (result i32) (call_ref $f (ref.func $answer)))",
    ),
    (
        "collected objects",
        "(type $point (sub (struct (field $x i32) (field $y (mut i32)))))
         (type $point3 (sub $point (struct (field $x i32) (field $y (mut i32)) (field $z i32))))
         (type $list (array (mut (ref null $point))))
         (func $main (result i32) (local $list (ref $list)) (local $at anyref)
             (local.set $list (array.new_default $list (i32.const 10)))
             (array.set $list (local.get $list) (i32.const 3) (struct.new $point3 (i32.const 30) (i32.const 0) (i32.const 5)))
             (local.set $at (array.get $list (local.get $list) (i32.const 3)))
             (i32.add (i32.add (struct.get $point $x (ref.cast (ref $point) (local.get $at)))
                               (struct.get $point3 $z (ref.cast (ref $point3) (local.get $at))))
                      (i31.get_s (ref.i31 (i32.const 7)))))",
    ),
    ("tail calls", "(func $f (param i32) (result i32)
             (if (i32.eqz (local.get 0)) (then (return (i32.const 42))))
             (return_call $f (i32.sub (local.get 0) (i32.const 1))))
         (func $main (result i32) (call $f (i32.const 1000000)))"),
    (
        "several memories",
        "(memory $other 1)
         (func $main (result i32)
             (i32.store $other (i32.const 8) (i32.const 42)) (i32.load $other (i32.const 8)))",
    ),
    (
        "vectors",
        "(func $main (result i32)
             (i32x4.extract_lane 2 (i32x4.add (v128.const i32x4 1 2 40 4) (v128.const i32x4 1 2 2 4))))",
    ),
    (
        "relaxed vectors",
        "(func $main (result i32)
             (i8x16.extract_lane_u 0 (i8x16.relaxed_swizzle (i8x16.splat (i32.const 42)) (i8x16.splat (i32.const 3)))))",
    ),
    ("extended constants", "(global $g i32 (i32.add (i32.const 40) (i32.const 2)))
         (func $main (result i32) (global.get $g))"),
];

#[test]
fn what_is_said_to_run_runs() {
    let sandbox = sandbox();
    for (name, definitions) in RUNS {
        let module = answering(definitions);
        for profile in [Profile::Pure, Profile::Portable, Profile::Impure] {
            let program = Program { profile, ..command(&module) };
            assert_eq!(run(&sandbox, &module, &program, b"").outcome, Outcome::Done, "{name}");
        }
        let mut metered = command(&module);
        metered.limits.fuel = Some(100_000_000);
        assert_eq!(run(&sandbox, &module, &metered, b"").outcome, Outcome::Done, "{name}, metered");
    }
}

#[test]
fn an_exception_that_nobody_catches_is_a_trap_that_says_so() {
    let sandbox = sandbox();
    let thrown = Trap::Other("an exception was thrown and not caught".into());
    let module = answering("(tag $e) (func $main (result i32) (throw $e))");
    assert_eq!(trap(&run(&sandbox, &module, &command(&module), b"")), &thrown);
    // In the start function it is the guest's own fault too.
    let module =
        answering("(tag $e) (func $s (throw $e)) (start $s) (func $main (result i32) (i32.const 42))");
    assert_eq!(trap(&run(&sandbox, &module, &command(&module), b"")), &thrown);
}

#[test]
fn what_does_not_run_is_refused_by_its_name() {
    let sandbox = sandbox();
    let module = answering("(memory $m 1 2 shared) (func $main (result i32) (i32.const 42))");
    let text = refusal(&sandbox, &module, &command(&module));
    assert!(text.starts_with("it uses threads ") && text.contains("without -pthread"), "{text}");
}
