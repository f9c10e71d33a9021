//! The compiler: one compile per module, baseline first and optimised behind; the disk cache in `cache`, and children that are
//! killed, too slow or too greedy in `children`.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::panic, reason = "a test may panic")]

mod cache;
mod children;
#[expect(dead_code, reason = "each test uses its part")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{DEADLINE, OWNER, command, echo, function, function_module, task};
use weft_core::{Limits, Outcome, PeerId, Profile, Program};
use weft_exec::{
    Allowance, Code, Compiler, CompilerConfig, Given, How, Interrupt, PrepareError, Read, Sandbox, Stop, Tier,
};

/// Not a test: the compile child of those below, which start this very program with only this "test".
#[test]
#[ignore = "it is the child of other tests"]
fn the_child() {
    assert_eq!(weft_exec::compile_main(), std::process::ExitCode::SUCCESS);
}

/// The same under another name, so that a test finds it among the processes.
#[test]
#[ignore = "it is the child of another test"]
fn the_victim() {
    assert_eq!(weft_exec::compile_main(), std::process::ExitCode::SUCCESS);
}

fn child_of(name: &str) -> How {
    let args = ["--ignored", "--exact", name, "--test-threads=1"];
    How::Child { program: std::env::current_exe().unwrap(), args: args.map(Into::into).to_vec() }
}

fn child() -> How {
    child_of("the_child")
}

/// A child behind a line of shell.
fn shell(line: &str) -> How {
    let program = std::env::current_exe().unwrap();
    let line = format!("{line}; exec '{}' --ignored --exact the_child --test-threads=1", program.display());
    How::Child { program: PathBuf::from("/bin/sh"), args: vec!["-c".into(), line.into()] }
}

fn config(how: How) -> CompilerConfig {
    CompilerConfig::new(None, Interrupt::Epochs, how)
}

fn compiler(config: CompilerConfig) -> Compiler {
    Compiler::start(config).unwrap()
}

fn reads(module: &[u8]) -> Read {
    let module = Bytes::copy_from_slice(module);
    Arc::new(move || Ok(module.clone()))
}

/// Asks and waits.
fn ask(compiler: &Compiler, module: &[u8], program: &Program) -> Result<Arc<Code>, PrepareError> {
    let (tell, hear) = mpsc::channel();
    compiler.request(program, OWNER, reads(module), Box::new(move |result| tell.send(result).unwrap()));
    hear.recv_timeout(DEADLINE).expect("no answer")
}

fn limit(result: Result<Arc<Code>, PrepareError>) -> String {
    match result.map_err(|error| error.outcome()) {
        Err(Outcome::LimitExceeded(limit)) => limit.to_string(),
        Err(other) => panic!("expected a limit, got {other}"),
        Ok(code) => panic!("expected a limit, got {code:?}"),
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::yield_now();
    }
}

/// A function module of `functions` functions, about 150 bytes each, that all of `answer`'s work goes through.
fn large(functions: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..functions {
        let next = if number + 1 < functions { format!("$f{}", number + 1) } else { "$last".into() };
        let steps = format!(
            "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {})) (i32.xor (local.get 1) (i32.const {number}))))",
            number * 2 + 1
        )
        .repeat(6);
        text.push_str(&format!(
            "(func $f{number} (param i32 i32) (result i32) {steps} (call {next} (local.get 0) (i32.add (local.get 1) (i32.const 1))))"
        ));
    }
    function_module(&format!(
        r#"(func $last (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
           {text}
           (func (export "weft_fn_answer") (param i32 i32) (result i64)
               (i32.store8 (i32.const 16) (i32.const 0))
               (i32.store (i32.const 17) (call $f0 (local.get 1) (i32.const 7)))
               (call $pack (i32.const 16) (i32.const 5)))"#
    ))
}

/// Small, and more work for an optimising compiler than for a baseline one: every local lives through every loop.
fn carried(locals: usize, loops: usize) -> Vec<u8> {
    let open = "(loop ".repeat(loops);
    let close = ")".repeat(loops);
    let steps: String = (0..locals)
        .map(|local| {
            format!("(local.set {local} (i32.add (local.get {local}) (local.get {})))", (local + 1) % locals)
        })
        .collect();
    let back: String = (0..loops).map(|label| format!("(br_if {label} (local.get 0))")).collect();
    let names = " i32".repeat(locals);
    wat::parse_str(format!(
        r#"(module (func (export "_start") (local {names}) {open} {steps} {back} {close}))"#
    ))
    .unwrap()
}

fn run(code: &Code, program: &Program) -> Vec<u8> {
    let sandbox = support::sandbox();
    let prepared = sandbox.load(code).unwrap();
    let finished =
        sandbox.run(&prepared, program, task(1), Given::input(Bytes::from_static(b"in")), &Stop::new(), None);
    assert_eq!(finished.outcome, Outcome::Done);
    finished.output
}

fn baseline_then_optimised(how: How) {
    let compiler = compiler(CompilerConfig { quick_bytes: 1000, ..config(how) });
    let module = large(400);
    let program = function(&module, "answer");
    let first = ask(&compiler, &module, &program).unwrap();
    assert_eq!(first.tier(), Tier::Baseline);
    let tier = || compiler.get(&program).unwrap().unwrap().tier();
    wait_until("optimised code", || tier() == Tier::Optimised);
    let second = compiler.get(&program).unwrap().unwrap();
    assert_eq!(run(&first, &program), run(&second, &program));
    assert_eq!(ask(&compiler, &module, &program).unwrap().tier(), Tier::Optimised);
    assert_eq!(compiler.status().compiled, 2);
    assert_eq!(compiler.status().optimising, 0);
}

#[test]
fn a_large_module_runs_on_baseline_code_until_the_optimised_is_there() {
    baseline_then_optimised(How::Here);
}

#[test]
fn children_do_the_same() {
    baseline_then_optimised(child());
}

#[test]
fn small_portable_and_metered_modules_are_optimised_at_once() {
    let module = large(40);
    let plain = function(&module, "answer");
    let metered = Program { limits: Limits { fuel: Some(1000), ..plain.limits }, ..plain.clone() };
    let portable = Program { profile: Profile::Portable, ..plain.clone() };
    for (quick_bytes, program) in [(1 << 20, &plain), (0, &metered), (0, &portable)] {
        let compiler = compiler(CompilerConfig { quick_bytes, ..config(How::Here) });
        assert_eq!(ask(&compiler, &module, program).unwrap().tier(), Tier::Optimised);
    }
}

#[test]
fn what_the_baseline_compiler_lacks_is_optimised_at_once() {
    // Winch has no tail calls.
    let module = function_module(
        r#"(func $f (param i32 i32) (result i64) (i64.const 0))
           (func (export "weft_fn_answer") (param i32 i32) (result i64)
               (return_call $f (local.get 0) (local.get 1)))"#,
    );
    for how in [How::Here, child()] {
        let compiler = compiler(CompilerConfig { quick_bytes: 0, ..config(how) });
        let code = ask(&compiler, &module, &function(&module, "answer")).unwrap();
        assert_eq!(code.tier(), Tier::Optimised);
    }
}

#[test]
fn a_module_is_compiled_once_however_many_ask() {
    let compiler = compiler(config(How::Here));
    let module = large(100);
    let program = function(&module, "answer");
    let count = Arc::new(AtomicU32::new(0));
    let (tell, hear) = mpsc::channel();
    for _ in 0..50 {
        let (count, module, tell) = (Arc::clone(&count), module.clone(), tell.clone());
        let read: Read = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Bytes::copy_from_slice(&module))
        });
        compiler.request(&program, OWNER, read, Box::new(move |result| tell.send(result.unwrap()).unwrap()));
    }
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                compiler.code(&program, || panic!("somebody else compiles it")).unwrap();
            });
        }
    });
    for _ in 0..50 {
        hear.recv_timeout(DEADLINE).unwrap();
    }
    assert_eq!((count.load(Ordering::SeqCst), compiler.status().compiled), (1, 1));
}

#[test]
fn an_owner_with_many_modules_delays_anothers_by_one() {
    const OTHER: PeerId = PeerId([8; 32]);
    const THIRD: PeerId = PeerId([9; 32]);
    let compiler = compiler(config(How::Here));
    let (tell, begun) = mpsc::channel();
    let mut gates = BTreeMap::new();
    let mut ask = |name: u32, owner| {
        let module = function_module(&format!("(func (export \"weft_fn_{name}\"))"));
        let program = command(&module);
        let (open, gate) = mpsc::channel::<()>();
        let (gate, tell) = (Mutex::new(gate), tell.clone());
        // The thread that compiles it reports that, and waits.
        let read: Read = Arc::new(move || {
            tell.send(name).unwrap();
            gate.lock().unwrap().recv().unwrap();
            Ok(Bytes::copy_from_slice(&module))
        });
        compiler.request(&program, owner, read, Box::new(|result| drop(result.unwrap())));
        gates.insert(name, open);
    };
    let next = || begun.recv_timeout(DEADLINE).unwrap();
    for name in 0..100 {
        ask(name, OWNER);
    }
    // One thread has the first; the other takes none of this owner's.
    assert_eq!(next(), 0);
    ask(1000, OTHER);
    ask(1001, OTHER);
    assert_eq!(next(), 1000);
    ask(2000, THIRD);
    // One of them goes on; the other stays where it is.
    gates[&0].send(()).unwrap();
    assert_eq!(next(), 1);
    gates[&1].send(()).unwrap();
    assert_eq!(next(), 2000);
    gates[&2000].send(()).unwrap();
    assert_eq!(next(), 2);
    gates[&1000].send(()).unwrap();
    assert_eq!(next(), 1001);
    for gate in gates.values() {
        // Releasing those that are released already has no effect.
        let _gone = gate.send(());
    }
    wait_until("all are compiled", || compiler.status().compiled == 103);
}

/// Each module's code is an open file, and any owner can send modules: fuzzing found one more for each of 4,096.
#[test]
fn many_small_modules_do_not_keep_a_file_each() {
    let compiler = compiler(config(How::Here));
    for number in 0..300 {
        let module = function_module(&format!("(func (export \"weft_fn_{number}\"))"));
        compiler.code(&command(&module), || Ok(Bytes::from(module.clone()))).unwrap();
        assert!(compiler.status().ready <= 256, "{:?}", compiler.status());
    }
    assert_eq!((compiler.status().ready, compiler.status().compiled), (256, 300));
    let last = function_module("(func (export \"weft_fn_299\"))");
    assert!(compiler.get(&command(&last)).is_some(), "the last one used stays");
    let first = function_module("(func (export \"weft_fn_0\"))");
    assert!(compiler.get(&command(&first)).is_none(), "the one that was not used for the longest goes");
}

#[test]
fn baseline_code_stays_when_optimising_takes_too_long() {
    let allowance = Allowance { optimised: Duration::from_millis(20), ..Allowance::NODE };
    let compiler = compiler(CompilerConfig { allowance, quick_bytes: 0, ..config(child()) });
    let module = large(5000);
    let program = function(&module, "answer");
    let first = ask(&compiler, &module, &program).unwrap();
    wait_until("the optimiser to give up", || compiler.status().optimising == 0);
    let still = compiler.get(&program).unwrap().unwrap();
    assert_eq!((first.tier(), still.tier()), (Tier::Baseline, Tier::Baseline));
}

/// Tasks of other owners wait for the same threads, and optimising takes several times as long.
#[test]
fn a_module_that_is_too_slow_for_the_baseline_compiler_is_not_optimised_for_a_waiting_task() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("children");
    let allowance = Allowance { baseline: Duration::from_millis(20), ..Allowance::NODE };
    let base = config(shell(&format!("echo $$ >> '{}'; exec /bin/sleep 3600", log.display())));
    let compiler = compiler(CompilerConfig { allowance, quick_bytes: 0, ..base });
    let module = echo();
    let text = limit(ask(&compiler, &module, &function(&module, "echo")));
    assert_eq!(text, "compile time: more than 20 ms");
    let children = fs::read_to_string(&log).unwrap_or_default();
    assert!(children.lines().count() <= 1, "another compiler was started after the first: {children}");
}

#[test]
fn a_callback_that_panics_costs_nobody_else_anything() {
    let compiler = compiler(CompilerConfig { quick_bytes: 1000, ..config(How::Here) });
    let module = large(400);
    let program = function(&module, "answer");
    compiler.request(&program, OWNER, reads(&module), Box::new(|_| panic!("on purpose")));
    let tier = || compiler.get(&program).map(|code| code.unwrap().tier());
    wait_until("optimised code", || tier() == Some(Tier::Optimised));
    let other = echo();
    ask(&compiler, &other, &function(&other, "echo")).unwrap();
}

#[test]
fn a_module_that_was_too_slow_to_optimise_gets_another_chance() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("child").display().to_string();
    // The first child is the baseline compiler, the second the optimising one.
    let sleeps =
        format!("if /bin/mkdir '{mark}1'; then :; elif /bin/mkdir '{mark}2'; then exec /bin/sleep 3600; fi");
    let allowance = Allowance { optimised: Duration::from_secs(2), ..Allowance::NODE };
    let base = config(shell(&sleeps));
    let compiler = compiler(CompilerConfig { allowance, quick_bytes: 0, late_for: Duration::ZERO, ..base });
    let module = echo();
    let program = function(&module, "echo");
    assert_eq!(ask(&compiler, &module, &program).unwrap().tier(), Tier::Baseline);
    let tier = || compiler.get(&program).unwrap().unwrap().tier();
    wait_until("optimised code", || tier() == Tier::Optimised);
    assert!(dir.path().join("child2").exists(), "the first try did not sleep");
}

#[test]
fn a_module_that_the_baseline_compiler_lacks_a_proposal_for_goes_straight_to_the_other() {
    let compiler = compiler(CompilerConfig { quick_bytes: 0, ..config(child()) });
    let module = function_module(
        r#"(tag $e (param i32))
           (func (export "weft_fn_catch") (param i32 i32) (result i64)
               (i32.store8
                   (i32.const 16)
                   (block $caught (result i32)
                       (try_table (catch $e $caught) (throw $e (i32.const 0)))
                       (i32.const 1)))
               (call $pack (i32.const 16) (i32.const 1)))"#,
    );
    let code = ask(&compiler, &module, &function(&module, "catch")).unwrap();
    assert_eq!((code.tier(), compiler.status().optimising), (Tier::Optimised, 0));
}

/// The processes whose command line has this word.
fn processes(word: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let Ok(id) = entry.unwrap().file_name().to_string_lossy().parse() else { continue };
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        // A child of this test run, not of another one at the same time.
        let ours = line.starts_with(std::env::current_exe().unwrap().as_os_str().as_encoded_bytes());
        if ours && line.split(|byte| *byte == 0).any(|arg| arg == word.as_bytes()) {
            found.push(id);
        }
    }
    found
}

#[test]
fn code_for_slots_that_are_killed_does_not_load_where_guests_are_interrupted() {
    let module = echo();
    let program = function(&module, "echo");
    let base = config(How::Here);
    let compiler = compiler(CompilerConfig { interrupt: Interrupt::Kill, ..base });
    let code = ask(&compiler, &module, &program).unwrap();
    assert!(matches!(support::sandbox().load(&code).unwrap_err(), PrepareError::Engine(_)));
    let slot = Sandbox::for_slot(1 << 30).unwrap();
    let prepared = slot.load(&code).unwrap();
    let finished =
        slot.run(&prepared, &program, task(1), Given::input(Bytes::from_static(b"fast")), &Stop::new(), None);
    assert_eq!(finished.output, b"fast");
    assert!(Arc::ptr_eq(&prepared, &slot.load(&code).unwrap()), "made ready once");
}
