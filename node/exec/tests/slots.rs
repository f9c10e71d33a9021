//! Slots that are processes: what becomes of the tasks when one is killed, stopped, lied to or left alone.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[expect(dead_code, reason = "each test uses its part")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use support::{
    DEADLINE, Slots, command, command_module, echo, function, function_module, kinds, processes, work,
};
use weft_core::{Limit, Limits, Outcome, Payload, Profile, Program, Report, RunId, Work};
use weft_exec::{MODULE_BYTES_MAX, Pool, PoolConfig, PoolEvent};

/// Spins if its input begins with 1, and answers nothing else at once.
fn fickle() -> Vec<u8> {
    function_module(
        r#"(func (export "weft_fn_f") (param $at i32) (param $len i32) (result i64)
               (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 1)) (then (loop (br 0))))
               (i32.store8 (i32.const 1000) (i32.const 0))
               (call $pack (i32.const 1000) (i32.const 1)))"#,
    )
}

const LONG: &[u8] = &[1];
const SHORT: &[u8] = &[0];

/// A pool of these, with the module at hand, and the program with this time limit.
fn fickle_slots(kind: weft_exec::Slots, slots: u32, wall_ms: u32) -> (Slots, Arc<Program>) {
    let slots = Slots::start(kind, slots);
    let module = fickle();
    slots.blobs.put(&module);
    let limits = Limits { wall_ms, ..Limits::DEFAULT };
    (slots, Arc::new(Program { limits, ..function(&module, "f") }))
}

fn only(reports: Vec<(RunId, Report)>) -> (RunId, Report) {
    assert_eq!(reports.len(), 1);
    reports.into_iter().next().unwrap()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // One that is gone already is dead enough.
    let _gone = kill_process(pid, Signal::KILL);
}

fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn wait_dead(pids: &[u32]) {
    let until = Instant::now() + DEADLINE;
    while pids.iter().any(|pid| is_alive(*pid)) {
        assert!(Instant::now() < until, "{pids:?} outlived their node");
        std::thread::yield_now();
    }
}

#[test]
fn a_tight_loop_ends_at_its_limit_and_its_slot_is_replaced() {
    let (slots, program) = fickle_slots(processes(), 1, 100);
    for round in 0..3 {
        slots.pool.submit(vec![(RunId(round), work(&program, LONG)), (RunId(77), work(&program, SHORT))]);
        let reports: BTreeMap<_, _> = slots.collect(2).into_iter().collect();
        let (spun, other) = (reports.get(&RunId(round)).unwrap(), reports.get(&RunId(77)).unwrap());
        assert_eq!(spun.outcome, Outcome::LimitExceeded(Limit::WallTime { limit_ms: 100 }));
        assert!(spun.usage.wall_us >= 100_000 && spun.usage.cpu_us > 1000, "{:?}", spun.usage);
        assert_eq!(other.outcome, Outcome::Done);
    }
    assert_eq!(slots.wait_status("three replaced", |status| status.replaced == 3).busy, 0);
}

#[test]
fn what_was_printed_before_the_limit_comes_home() {
    for kind in kinds() {
        let slots = Slots::start(kind, 1);
        // More than travels inline, to both streams.
        let module = command_module(
            r"(call $write (i32.const 1) (i32.const 64) (i32.const 60000))
              (call $write (i32.const 2) (i32.const 64) (i32.const 5))
              (loop (br 0))",
        );
        slots.blobs.put(&module);
        let limits = Limits { wall_ms: 150, ..Limits::DEFAULT };
        let program = Arc::new(Program { limits, ..command(&module) });
        slots.pool.submit(vec![(RunId(1), work(&program, b"12345678"))]);
        let report = only(slots.collect(1)).1;
        assert_eq!(report.outcome, Outcome::LimitExceeded(Limit::WallTime { limit_ms: 150 }));
        assert_eq!((report.output.bytes_len(), report.errors.bytes_len()), (60_000, 5));
        assert!(
            report.output.blob().is_some_and(|blob| weft_exec::BlobAccess::read(&*slots.blobs, blob).is_ok())
        );
        assert_eq!((report.usage.in_bytes, report.usage.out_bytes), (8, 60_005));
    }
}

#[test]
fn an_abort_ends_a_tight_loop_and_nothing_else() {
    let (slots, program) = fickle_slots(processes(), 1, 60_000);
    slots.pool.submit(vec![(RunId(0), work(&program, SHORT))]);
    assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Done);
    let short = (2..20).map(|run| (RunId(run), work(&program, SHORT)));
    slots.pool.submit([(RunId(1), work(&program, LONG))].into_iter().chain(short).collect());
    slots.wait_busy(1);
    slots.pool.abort(RunId(1));
    for (run, report) in slots.collect(19) {
        let expected = if run == RunId(1) { Outcome::Cancelled } else { Outcome::Done };
        assert_eq!(report.outcome, expected, "{run:?}");
    }
}

#[test]
fn tasks_behind_a_long_one_go_elsewhere() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    // So that it is known to be short, and others are sent behind it.
    slots.pool.submit((0..50).map(|run| (RunId(1000 + run), work(&program, SHORT))).collect());
    slots.collect(50);
    let short = (1..100).map(|run| (RunId(run), work(&program, SHORT)));
    slots.pool.submit([(RunId(0), work(&program, LONG))].into_iter().chain(short).collect());
    let reports = slots.collect(99);
    assert!(reports.iter().all(|(run, report)| *run != RunId(0) && report.outcome == Outcome::Done));
    slots.pool.abort(RunId(0));
    assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Cancelled);
}

#[test]
fn a_paused_task_gives_way_and_its_time_stands_still() {
    for kind in kinds() {
        let (slots, program) = fickle_slots(kind, 1, 400);
        slots.pool.submit(vec![(RunId(1), work(&program, LONG))]);
        slots.wait_busy(1);
        slots.pool.pause(RunId(1));
        slots.wait_status("a paused task", |status| status.paused == 1 && status.busy == 0);
        // Takes longer than the other's limit, all of it while that is paused.
        let limits = Limits { wall_ms: 1500, ..Limits::DEFAULT };
        let newcomer = Arc::new(Program { limits, ..(*program).clone() });
        slots.pool.submit(vec![(RunId(2), work(&newcomer, LONG)), (RunId(3), work(&program, SHORT))]);
        slots.pool.pause(RunId(3));
        let (run, report) = only(slots.collect(1));
        assert_eq!(
            (run, report.outcome),
            (RunId(2), Outcome::LimitExceeded(Limit::WallTime { limit_ms: 1500 }))
        );
        slots.pool.resume(RunId(3));
        assert_eq!(only(slots.collect(1)).0, RunId(3));
        slots.pool.resume(RunId(1));
        let (run, report) = only(slots.collect(1));
        assert_eq!(
            (run, report.outcome),
            (RunId(1), Outcome::LimitExceeded(Limit::WallTime { limit_ms: 400 }))
        );
        let ran = report.usage.wall_us;
        assert!((400_000..1_500_000).contains(&ran), "ran {ran} us by its own count");
        assert_eq!(slots.pool.status().paused, 0);
    }
}

#[test]
fn a_paused_task_can_be_aborted() {
    for kind in kinds() {
        let (slots, program) = fickle_slots(kind, 1, 60_000);
        slots.pool.submit(vec![(RunId(1), work(&program, LONG)), (RunId(2), work(&program, SHORT))]);
        slots.wait_busy(1);
        slots.pool.pause(RunId(1));
        assert_eq!(only(slots.collect(1)).0, RunId(2));
        slots.pool.abort(RunId(1));
        assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Cancelled);
    }
}

#[test]
fn slots_killed_at_any_instant_cost_little_and_answer_all() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    let kills = 200;
    // The first is compiled in peace.
    slots.pool.submit(vec![(RunId(u64::MAX), work(&program, SHORT))]);
    slots.collect(1);
    let (mut submitted, mut answered, mut lost) = (0_u64, BTreeSet::new(), 0);
    for kill_number in 0..kills {
        let batch: Vec<_> = (0..100).map(|run| (RunId(submitted + run), work(&program, SHORT))).collect();
        submitted += 100;
        slots.pool.submit(batch);
        let children = slots.pool.status().children;
        let victim = children.get(kill_number % children.len().max(1));
        victim.copied().into_iter().for_each(kill);
        let missing = usize::try_from(submitted).unwrap() - answered.len();
        for (run, report) in slots.collect(missing.saturating_sub(50)) {
            assert!(answered.insert(run), "{run:?} was answered twice");
            match &report.outcome {
                Outcome::Done => {}
                Outcome::Lost(text) => {
                    assert!(text.contains("the slot died: signal: 9"), "{text}");
                    lost += 1;
                }
                Outcome::Failed(_)
                | Outcome::Trapped(_)
                | Outcome::LimitExceeded(_)
                | Outcome::Invalid(_)
                | Outcome::Cancelled
                | Outcome::NoRoom(_)
                | Outcome::Expired(_)
                | Outcome::ParentFailed { .. } => panic!("{}", report.outcome),
            }
        }
    }
    let missing = usize::try_from(submitted).unwrap() - answered.len();
    for (run, _) in slots.collect(missing) {
        assert!(answered.insert(run), "{run:?} was answered twice");
    }
    assert!(lost <= kills, "{lost} lost to {kills} kills");
    assert!(slots.pool.take_events().is_empty());
}

#[test]
fn slots_killed_before_they_are_ready_are_not_given_up() {
    let (slots, program) = fickle_slots(processes(), 1, 60_000);
    let (mut killed, until) = (BTreeSet::new(), Instant::now() + DEADLINE);
    // The first two may have been ready; three that never were would be enough to give up a program that is no slot.
    while killed.len() < 7 {
        let children = slots.pool.status().children;
        children.into_iter().filter(|pid| killed.insert(*pid)).for_each(kill);
        assert!(Instant::now() < until, "no slot takes the place of one that was killed");
        std::thread::yield_now();
    }
    slots.pool.submit(vec![(RunId(1), work(&program, SHORT))]);
    assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Done);
}

#[test]
fn what_a_task_prints_comes_while_it_runs() {
    for kind in kinds() {
        let slots = Slots::start(kind, 1);
        let module = command_module(
            r"(i32.store (i32.const 64) (i32.const 0x0a6f6c68))
              (call $write (i32.const 1) (i32.const 64) (i32.const 4))
              (call $write (i32.const 2) (i32.const 64) (i32.const 4))
              (call $write (i32.const 1) (i32.const 64) (i32.const 4))
              (loop (br 0))",
        );
        slots.blobs.put(&module);
        let limits = Limits { wall_ms: 60_000, ..Limits::DEFAULT };
        let program = Arc::new(Program { limits, ..command(&module) });
        slots.pool.submit(vec![(RunId(1), Work { stream: true, ..work(&program, b"") })]);
        let mut printed = Vec::new();
        slots.wait("what it prints", || {
            let events = slots.pool.take_events().into_iter();
            printed.extend(events.filter(|event| !matches!(event, PoolEvent::Compiling { .. })));
            printed.len() >= 3
        });
        let offsets: Vec<u64> = printed
            .iter()
            .map(|event| match event {
                PoolEvent::Printed { run: RunId(1), offset, bytes, .. } if **bytes == *b"hlo\n" => *offset,
                other @ (PoolEvent::Printed { .. } | PoolEvent::Ran(..) | PoolEvent::Compiling { .. }) => {
                    panic!("{other:?}")
                }
            })
            .collect();
        assert_eq!(offsets, [0, 0, 4]);
        slots.pool.abort(RunId(1));
        assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Cancelled);
    }
}

#[test]
fn long_inputs_and_outputs_pass_as_files() {
    for kind in kinds() {
        let slots = Slots::start(kind, 2);
        let module = echo();
        slots.blobs.put(&module);
        let program = Arc::new(function(&module, "echo"));
        let input = vec![5_u8; 60_000];
        let payload = Payload::Blob { id: slots.blobs.put(&input), bytes: 60_000 };
        let task = program.task_id(&payload);
        let one = Work { task, owner: support::OWNER, program, input: payload.clone(), stream: false };
        // More than are open at once.
        slots.pool.submit((0..300).map(|run| (RunId(run), one.clone())).collect());
        for (_, report) in slots.collect(300) {
            assert_eq!((report.outcome, report.output), (Outcome::Done, payload.clone()));
        }
    }
}

/// An archive with one file of this length.
fn archive(bytes: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "data", &*vec![b'x'; bytes]).unwrap();
    archive.into_inner().unwrap()
}

#[test]
fn every_slot_reads_all_of_a_programs_files() {
    let slots = Slots::start(processes(), 2);
    let (module, files) = (fickle(), archive(100_000));
    slots.blobs.put(&module);
    let blob = Payload::Blob { id: slots.blobs.put(&files), bytes: files.len() as u64 };
    let limits = Limits { wall_ms: 60_000, ..Limits::DEFAULT };
    let program = Arc::new(Program { files: blob, limits, ..function(&module, "f") });
    slots.pool.submit(vec![(RunId(0), work(&program, LONG))]);
    slots.wait_busy(1);
    // The other slot, and the one that takes the place of the first.
    for run in 1..=2 {
        slots.pool.submit(vec![(RunId(run), work(&program, SHORT))]);
        let (answered, report) = only(slots.collect(1));
        assert_eq!((answered, report.outcome), (RunId(run), Outcome::Done));
        assert_eq!(report.usage.in_bytes, files.len() as u64 + 1);
        if run == 1 {
            slots.pool.abort(RunId(0));
            assert_eq!(only(slots.collect(1)).1.outcome, Outcome::Cancelled);
            let children = slots.pool.status().children;
            children.iter().copied().for_each(kill);
            wait_dead(&children);
        }
    }
}

#[test]
fn a_length_that_is_not_true_loses_the_task_and_nothing_else() {
    for kind in kinds() {
        let slots = Slots::start(kind, 1);
        let (module, files) = (fickle(), archive(60_000));
        slots.blobs.put(&module);
        let bytes = files.len() as u64;
        let id = slots.blobs.put(&files);
        let plain = function(&module, "f");
        for claim in [bytes, bytes - 1, bytes + 1, 1 << 46] {
            let blob = Payload::Blob { id, bytes: claim };
            let program = Arc::new(Program { files: blob.clone(), ..plain.clone() });
            slots.pool.submit(vec![(RunId(1), work(&program, SHORT))]);
            let with_files = only(slots.collect(1)).1.outcome;
            let program = Arc::new(plain.clone());
            let task = program.task_id(&blob);
            slots.pool.submit(vec![(
                RunId(2),
                Work { task, owner: support::OWNER, program, input: blob, stream: false },
            )]);
            let with_input = only(slots.collect(1)).1.outcome;
            for outcome in [with_files, with_input] {
                if claim == bytes {
                    assert_eq!(outcome, Outcome::Done);
                } else {
                    let lost = matches!(&outcome, Outcome::Lost(text) if text.contains("another length"));
                    assert!(lost, "{claim}: {outcome}");
                }
            }
        }
        assert_eq!(slots.pool.status().replaced, 0);
    }
}

#[test]
fn each_profile_and_compiler_has_its_engine_in_a_slot() {
    let slots = Slots::start(processes(), 1);
    let module = fickle();
    // Long enough for the baseline compiler to come first.
    let work_long =
        "(local.set $x (i32.mul (i32.add (local.get $x) (i32.const 1234567)) (i32.const 7654321)))"
            .repeat(40_000);
    let large = function_module(&format!(
        r#"(func (export "weft_fn_f") (param i32 i32) (result i64) (local $x i32)
               (if (i32.eqz (i32.load8_u (local.get 0))) (then
                   (i32.store8 (i32.const 1000) (i32.const 0)) (return (call $pack (i32.const 1000) (i32.const 1)))))
               {work_long} (i64.const 0))"#
    ));
    assert!(large.len() > 300 << 10);
    slots.blobs.put(&module);
    slots.blobs.put(&large);
    let plain = function(&module, "f");
    let metered = Program { limits: Limits { fuel: Some(1 << 30), ..plain.limits }, ..plain.clone() };
    let portable = Program { profile: Profile::Portable, ..plain.clone() };
    let both = Program { profile: Profile::Portable, ..metered.clone() };
    let large = function(&large, "f");
    let programs = [plain, metered, portable, both, large].map(Arc::new);
    for (run, program) in (0..).zip(&programs) {
        slots.pool.submit(vec![(RunId(run), work(program, SHORT))]);
        let report = only(slots.collect(1)).1;
        assert_eq!(report.outcome, Outcome::Done, "{run}");
        assert_eq!(report.usage.fuel.is_some(), program.limits.fuel.is_some());
    }
}

#[test]
fn nothing_is_left_of_a_dropped_pool() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    slots.pool.submit((0..4).map(|run| (RunId(run), work(&program, LONG))).collect());
    slots.wait_busy(2);
    slots.pool.pause(RunId(0));
    let children = slots.pool.status().children;
    assert!(children.len() >= 2);
    drop(slots);
    wait_dead(&children);
}

/// Starts a pool, says who its children are, and stays until it is killed. Not a test: the next one runs it.
#[test]
#[ignore = "started by another test"]
fn a_node_for_the_test_that_kills_it() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    slots.pool.submit((0..3).map(|run| (RunId(run), work(&program, LONG))).collect());
    slots.wait_busy(2);
    slots.pool.pause(RunId(0));
    let status =
        slots.wait_status("a held one and two busy ones", |status| status.busy == 2 && status.paused == 1);
    println!("\nchildren {}", status.children.iter().map(u32::to_string).collect::<Vec<_>>().join(" "));
    loop {
        std::thread::park();
    }
}

#[test]
fn children_die_with_their_node_whatever_they_do() {
    let mut node = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_node_for_the_test_that_kills_it", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let children =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("children ").map(str::to_owned));
    let children: Vec<u32> = children.unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(children.len() >= 3 && children.iter().all(|pid| is_alive(*pid)));
    node.kill().unwrap();
    node.wait().unwrap();
    wait_dead(&children);
}

#[test]
fn a_process_without_rights_has_none() {
    let output = Command::new(env!("CARGO_BIN_EXE_weft-slot")).arg("--try-escape").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fences = text.lines().take(2).collect::<Vec<_>>();
    assert_eq!(fences, ["seccomp: full", "landlock: full"], "this kernel should have both");
    let tried: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(tried.len(), 17, "{text}");
    assert!(tried.iter().all(|line| line.ends_with(": refused")), "{text}");
    let slots = Slots::start(processes(), 1);
    assert_eq!(slots.pool.status().confinement.unwrap().seccomp, weft_exec::Fence::Full);
}

#[test]
fn a_slot_has_nothing_of_its_nodes_terminal() {
    let slots = Slots::start(processes(), 1);
    let children = slots.wait_status("a slot", |status| !status.children.is_empty()).children;
    for pid in children {
        for fd in ["0", "1", "2"] {
            let open = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap();
            let open = open.to_str().unwrap().to_owned();
            let own = open == "/dev/null" || open.starts_with("pipe:") || open.starts_with("socket:");
            assert!(own, "{fd} is {open}");
        }
    }
}

#[test]
fn a_child_closes_what_it_inherits() {
    for compile in ["--compile", ""] {
        // It waits for its node's first word, with another descriptor open than the three that it should have.
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut child = Command::new("/bin/sh")
            .args(["-c", "exec \"$0\" $1 7>&1 1>/dev/null", env!("CARGO_BIN_EXE_weft-slot"), compile])
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let other = child.stdout.take().unwrap();
        let mut fds = [rustix::event::PollFd::new(&other, rustix::event::PollFlags::IN)];
        let longest = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
        let closed = rustix::event::poll(&mut fds, Some(&longest)).unwrap();
        let lived = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        drop(ours);
        assert!(closed == 1 && lived, "{compile:?}: closed {closed}, lived {lived}");
    }
}

#[test]
fn a_program_that_is_no_slot_is_told_at_the_start() {
    let start = |program: &str, args: &[&str]| {
        let kind = weft_exec::Slots::Processes {
            program: program.into(),
            args: args.iter().map(Into::into).collect(),
        };
        let config = PoolConfig {
            slots: 1,
            kind,
            cache_dir: None,
            memory_max_bytes: 1 << 30,
            module_max_bytes: MODULE_BYTES_MAX,
        };
        Pool::start(config, Arc::new(support::Blobs::default()), Arc::new(|| {})).unwrap_err().to_string()
    };
    assert!(start("/bin/false", &[]).contains("the slot died"));
    assert!(start("/nowhere/at/all", &[]).contains("No such file"));
    // It answers, but none of our words.
    let babble = start("/bin/sh", &["-c", "exec cat <&0 >&0"]);
    assert!(babble.contains("protocol violation"), "{babble}");
    // Its last words are told, and do nothing to a terminal.
    let words = start("/bin/sh", &["-c", "printf 'no \\033[2Jluck\\n' >&2; exit 3"]);
    assert!(words.contains("no ") && words.contains("luck"), "{words}");
    assert!(!words.contains(char::is_control), "{words:?}");
}

#[test]
fn tasks_that_wait_for_a_compiler_are_told_apart_from_those_that_run() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    slots.pool.submit((0..3).map(|run| (RunId(run), work(&program, SHORT))).collect());
    let mut told = Vec::new();
    let mut ended = 0;
    slots.wait("three ends", || {
        for event in slots.pool.take_events() {
            match event {
                PoolEvent::Compiling { runs, waits } => {
                    told.extend(runs.into_iter().map(|run| (run.0, waits)));
                }
                PoolEvent::Ran(..) => ended += 1,
                PoolEvent::Printed { .. } => {}
            }
        }
        ended == 3
    });
    let first: Vec<(u64, bool)> =
        [true, false].into_iter().flat_map(|waits| (0..3).map(move |run| (run, waits))).collect();
    assert_eq!(told, first, "each waited, and then ran");
    // The code is available now: no task waits.
    slots.pool.submit(vec![(RunId(9), work(&program, SHORT))]);
    slots.wait("one more end", || {
        let events = slots.pool.take_events();
        assert!(!events.iter().any(|event| matches!(event, PoolEvent::Compiling { .. })), "{events:?}");
        !events.is_empty()
    });
}

#[test]
fn who_asks_for_the_descriptor_turns_the_pool() {
    let (slots, program) = fickle_slots(processes(), 2, 60_000);
    let fd = slots.pool.poll_fd().unwrap();
    slots.pool.submit((0..500).map(|run| (RunId(run), work(&program, SHORT))).collect());
    let until = Instant::now() + DEADLINE;
    let mut done = 0;
    while done < 500 {
        assert!(Instant::now() < until);
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let second = rustix::event::Timespec { tv_sec: 1, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&second)).unwrap();
        slots.pool.turn();
        let events = slots.pool.take_events();
        done += events.iter().filter(|event| matches!(event, PoolEvent::Ran(..))).count();
    }
    assert_eq!(done, 500);
}
