//! Compilers in processes of their own that are too slow, too greedy, or killed.

use super::*;

#[test]
fn a_compiler_that_is_too_slow_is_ended_with_a_reason() {
    let time = Duration::from_millis(20);
    let allowance = Allowance { baseline: time, optimised: time, ..Allowance::NODE };
    let compiler = compiler(CompilerConfig { allowance, ..config(child()) });
    let module = large(5000);
    let program = function(&module, "answer");
    assert_eq!(limit(ask(&compiler, &module, &program)), "compile time: more than 20 ms");
    // It is remembered: no request waits for it again.
    assert_eq!(limit(compiler.get(&program).unwrap()), "compile time: more than 20 ms");
}

#[test]
fn a_module_that_was_late_once_is_not_condemned() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("slept");
    // The first child never comes to its module, as on a machine that is too busy.
    let how = shell(&format!("if /bin/mkdir '{}'; then exec /bin/sleep 3600; fi", mark.display()));
    let time = Duration::from_secs(2);
    let allowance = Allowance { baseline: time, optimised: time, ..Allowance::NODE };
    let compiler = compiler(CompilerConfig { allowance, late_for: Duration::ZERO, ..config(how) });
    let module = echo();
    let program = function(&module, "echo");
    assert_eq!(limit(ask(&compiler, &module, &program)), "compile time: more than 2000 ms");
    // On a busy machine the second may be late as well.
    wait_until("code", || ask(&compiler, &module, &program).is_ok());
}

#[test]
fn a_compiler_that_is_killed_from_outside_says_nothing_of_its_module() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("died");
    let times = format!("/bin/mkdir '{0}1' || /bin/mkdir '{0}2'", mark.display());
    let how = shell(&format!("if {times}; then kill -9 $$; fi"));
    let compiler = compiler(config(how));
    let module = echo();
    let program = function(&module, "echo");
    let first = ask(&compiler, &module, &program).unwrap_err();
    assert!(matches!(first.outcome(), Outcome::Lost(_)), "{first}");
    ask(&compiler, &module, &program).unwrap();
}

#[test]
fn no_two_modules_meet_in_a_child() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("children");
    let compiler = compiler(config(shell(&format!("echo $$ >> '{}'", log.display()))));
    for functions in 1..=3 {
        let module = large(functions);
        ask(&compiler, &module, &function(&module, "answer")).unwrap();
    }
    let children = fs::read_to_string(&log).unwrap();
    let children: std::collections::BTreeSet<&str> = children.lines().collect();
    assert_eq!(children.len(), 3, "{children:?}");
}

#[test]
fn a_compile_bomb_ends_at_the_childs_memory() {
    let allowance = Allowance { memory_bytes: 512 << 20, ..Allowance::NODE };
    let base = config(child());
    let bounds = weft_exec::Bounds { carried: u64::MAX, ..base.bounds };
    let compiler = compiler(CompilerConfig { allowance, bounds, ..base });
    let module = carried(3000, 3000);
    assert!(module.len() < 100_000);
    assert_eq!(limit(ask(&compiler, &module, &command(&module))), "compile memory: more than 512 MiB");
}

/// When memory is exhausted, a compiler that fills it must go before a slot, which has 500.
#[test]
fn the_kernel_is_told_to_end_a_compiler_first() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "the_child", "--test-threads=1"])
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(std::process::Stdio::null())
        .spawn();
    let mut child = child.unwrap();
    // It waits for its first module, and ends when the socket is closed.
    let path = format!("/proc/{}/oom_score_adj", child.id());
    wait_until("a score", || fs::read_to_string(&path).is_ok_and(|score| score.trim() == "800"));
    drop(ours);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_child_that_died_once_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("died");
    // What it says last is in the log; the second one lives.
    let how = shell(&format!("if /bin/mkdir '{}'; then echo ouch >&2; kill -9 $$; fi", mark.display()));
    let module = echo();
    let program = function(&module, "echo");
    ask(&compiler(config(how)), &module, &program).unwrap();
    assert!(mark.exists(), "no child died");
}

#[test]
fn a_module_that_kills_its_compiler_twice_is_refused() {
    let compiler = compiler(config(shell("kill -11 $$")));
    let module = echo();
    let text = limit(ask(&compiler, &module, &function(&module, "echo")));
    assert!(text.starts_with("compile: the compiler died twice on this module; signal: 11"), "{text}");
}

#[test]
fn a_child_that_is_killed_while_it_compiles_costs_a_retry() {
    let compiler = compiler(config(child_of("the_victim")));
    let module = large(4000);
    let program = function(&module, "answer");
    let (tell, hear) = mpsc::channel();
    compiler.request(&program, OWNER, reads(&module), Box::new(move |result| tell.send(result).unwrap()));
    let mut victims = Vec::new();
    wait_until("a child", || {
        victims = processes("the_victim");
        !victims.is_empty()
    });
    assert!(compiler.status().compiling == 1 && hear.try_recv().is_err(), "it was done before it was killed");
    for victim in &victims {
        let victim = rustix::process::Pid::from_raw(*victim).unwrap();
        rustix::process::kill_process(victim, rustix::process::Signal::KILL).unwrap();
    }
    let code = hear.recv_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(run(&code, &program).len(), 4);
    drop(compiler);
    wait_until("no child is left", || processes("the_victim").is_empty());
}
