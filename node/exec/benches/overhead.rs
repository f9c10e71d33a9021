//! What one task costs in this sandbox, against bare wasmtime doing the same with a pool of the same settings:
//! store, instance, input in, call, output out. Prints microseconds per task and the ratio.
//!
//! `cargo bench -p weft-exec`; no harness, plain timing, the median of several rounds.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and may panic")]

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use bytes::Bytes;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Store,
};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use weft_core::{BlobId, Entry, Limits, Outcome, Payload, Profile, Program, RunId, TaskId, Work};
use weft_exec::{BlobAccess, Given, Pool, PoolConfig, Sandbox, SandboxConfig, Slots, Stop};

const ROUNDS: usize = 7;
const TASKS: u32 = 5_000;
const POOL_TASKS: u32 = 60_000;
const INPUT: &[u8] = b"0123456789abcdef";

const FUNCTION: &str = r#"(module
    (memory (export "memory") 17)
    (func (export "weft_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "weft_fn_nothing") (param i32 i32) (result i64)
        (i32.store8 (i32.const 1023) (i32.const 0))
        (i64.or (i64.shl (i64.const 1023) (i64.const 32)) (i64.extend_i32_u (i32.add (local.get 1) (i32.const 1))))))"#;

const COMMAND: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 17)
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn main() {
    let function = wat::parse_str(FUNCTION).unwrap();
    let command = wat::parse_str(COMMAND).unwrap();
    let sandbox = Sandbox::new(SandboxConfig { slots: 2, ..SandboxConfig::default() }).unwrap();

    let bare = bare_function(&function);
    let ours = in_sandbox(&sandbox, &function, Entry::Function("nothing".into()));
    println!("function: bare {bare:.2} us, sandbox {ours:.2} us, ratio {:.2}", ours / bare);
    let bare = bare_command(&command);
    let ours = in_sandbox(&sandbox, &command, Entry::Command);
    println!("command:  bare {bare:.2} us, sandbox {ours:.2} us, ratio {:.2}", ours / bare);
    let program = env!("CARGO_BIN_EXE_weft-slot").into();
    for kind in [Slots::Threads, Slots::Processes { program, args: Vec::new() }] {
        for slots in [1, 2] {
            let (rate, node_us) = through_pool(&kind, &function, slots);
            let word = if kind == Slots::Threads { "threads" } else { "processes" };
            println!(
                "pool of {slots} {word}: {rate:.0} function tasks a second, {:.2} us a task and slot; this process's own \
                 processor time {node_us:.2} us a task",
                1e6 * f64::from(slots) / rate
            );
        }
        reactions(&kind);
    }
}

const SPIN: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "weft_alloc") (param i32) (result i32) (i32.const 1024))
    (func (export "weft_fn_spin") (param i32 i32) (result i64) (loop (br 0)) (i64.const 0)))"#;

/// How late a tight loop is ended at its limit, and how soon a newcomer is answered for whom a full pool pauses one.
fn reactions(kind: &Slots) {
    let (spin, function) = (wat::parse_str(SPIN).unwrap(), wat::parse_str(FUNCTION).unwrap());
    let blobs = Arc::new(Blobs(vec![spin.clone(), function.clone()]));
    let bell = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let pool = start(kind, 2, blobs, &bell);
    let work = |module: &[u8], name: &str, wall_ms| {
        let limits = Limits { wall_ms, ..Limits::DEFAULT };
        let program = Arc::new(Program { limits, ..program(module, Entry::Function(name.into())) });
        Work { task: TaskId([1; 32]), program, input: Payload::inline(INPUT), stream: false }
    };
    let (short, limited) = (work(&function, "nothing", 1000), work(&spin, "spin", 50));
    pool.submit(vec![(RunId(0), short.clone()), (RunId(1), limited.clone())]);
    wait(&pool, &bell, 2);
    let late = (0..20).map(|_| {
        let started = Instant::now();
        pool.submit(vec![(RunId(2), limited.clone())]);
        wait(&pool, &bell, 1);
        started.elapsed().as_secs_f64() * 1e3 - 50.0
    });
    println!("{} a tight loop's answer after its limit", spread(late.collect()));
    let long = work(&spin, "spin", 600_000);
    pool.submit(vec![(RunId(10), long.clone()), (RunId(11), long)]);
    while pool.status().busy < 2 {
        std::thread::yield_now();
    }
    let soon = (0..20).map(|_| {
        let started = Instant::now();
        pool.pause(RunId(10));
        pool.submit(vec![(RunId(12), short.clone())]);
        wait(&pool, &bell, 1);
        let took = started.elapsed().as_secs_f64() * 1e3;
        pool.resume(RunId(10));
        took
    });
    println!("{} a newcomer's answer in a full pool, by a pause", spread(soon.collect()));
}

fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let (median, worst) = (times.get(times.len() / 2).unwrap(), times.last().unwrap());
    format!("{median:.2} ms (median), {worst:.2} ms (worst of {}):", times.len())
}

/// Microseconds per call of `task`: the median of the rounds.
fn time(mut task: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..TASKS).for_each(|_| task());
            started.elapsed().as_secs_f64() * 1e6 / f64::from(TASKS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    *rounds.get(ROUNDS / 2).unwrap()
}

fn bare_engine() -> Engine {
    let config = |scan: bool| {
        let resident = if scan { 1 << 20 } else { 64 << 10 };
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(18).total_memories(18).total_tables(18).max_unused_warm_slots(2);
        pool.linear_memory_keep_resident(resident).table_keep_resident(resident);
        pool.pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        config
    };
    Engine::new(&config(true)).or_else(|_| Engine::new(&config(false))).unwrap()
}

fn bare_function(module: &[u8]) -> f64 {
    let engine = bare_engine();
    let module = Module::new(&engine, module).unwrap();
    let pre: InstancePre<()> = Linker::new(&engine).instantiate_pre(&module).unwrap();
    time(|| {
        let mut store = Store::new(&engine, ());
        let instance = pre.instantiate(&mut store).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let alloc = instance.get_typed_func::<i32, i32>(&mut store, "weft_alloc").unwrap();
        let function = instance.get_typed_func::<(i32, i32), i64>(&mut store, "weft_fn_nothing").unwrap();
        let len = i32::try_from(INPUT.len()).unwrap();
        let at = alloc.call(&mut store, len).unwrap();
        memory.write(&mut store, usize::try_from(at).unwrap(), INPUT).unwrap();
        let packed = function.call(&mut store, (at, len)).unwrap();
        let mut output = vec![0; usize::try_from(packed & 0xffff_ffff).unwrap()];
        memory.read(&store, usize::try_from(packed >> 32).unwrap(), &mut output).unwrap();
        std::hint::black_box(output);
    })
}

fn bare_command(module: &[u8]) -> f64 {
    let engine = bare_engine();
    let module = Module::new(&engine, module).unwrap();
    let mut linker: Linker<WasiP1Ctx> = Linker::new(&engine);
    p1::add_to_linker_sync(&mut linker, |wasi| wasi).unwrap();
    let pre = linker.instantiate_pre(&module).unwrap();
    time(|| {
        let output = MemoryOutputPipe::new(1 << 20);
        let mut wasi = WasiCtxBuilder::new();
        wasi.arg("main.wasm").stdin(MemoryInputPipe::new(INPUT)).stdout(output.clone());
        let mut store = Store::new(&engine, wasi.build_p1());
        let instance = pre.instantiate(&mut store).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap().call(&mut store, ()).unwrap();
        drop(store);
        assert_eq!(output.contents().len(), INPUT.len());
    })
}

fn in_sandbox(sandbox: &Sandbox, module: &[u8], entry: Entry) -> f64 {
    let program = program(module, entry);
    let bytes = Bytes::copy_from_slice(module);
    let stop = Stop::new();
    time(|| {
        let prepared = sandbox.prepare(&program, || Ok(bytes.clone())).unwrap();
        let given = Given::input(Bytes::from_static(INPUT));
        let finished = sandbox.run(&prepared, &program, TaskId([1; 32]), given, &stop, None);
        assert_eq!((finished.outcome, finished.output.len()), (Outcome::Done, INPUT.len()));
    })
}

fn program(module: &[u8], entry: Entry) -> Program {
    Program {
        module: BlobId::of(module),
        module_bytes: module.len() as u64,
        entry,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    }
}

/// Some modules, and nothing else.
struct Blobs(Vec<Vec<u8>>);

impl BlobAccess for Blobs {
    fn read(&self, id: BlobId) -> io::Result<Bytes> {
        let found = self.0.iter().find(|bytes| BlobId::of(bytes) == id);
        found.map(|bytes| Bytes::from(bytes.clone())).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn len(&self, _: BlobId) -> Option<u64> {
        None
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        Ok(BlobId::of(&bytes))
    }
}

/// Tasks a second, with everything queued at once, and this process's microseconds of processor time for each.
fn through_pool(kind: &Slots, module: &[u8], slots: u32) -> (f64, f64) {
    let bell = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let pool = start(kind, slots, Arc::new(Blobs(vec![module.to_vec()])), &bell);
    let program = Arc::new(program(module, Entry::Function("nothing".into())));
    let work = Work { task: TaskId([1; 32]), program, input: Payload::inline(INPUT), stream: false };
    let tasks = u64::from(POOL_TASKS);
    // The first task compiles.
    pool.submit(vec![(RunId(u64::MAX), work.clone())]);
    wait(&pool, &bell, 1);
    let (started, cpu) = (Instant::now(), cpu_us());
    pool.submit((0..tasks).map(|run| (RunId(run), work.clone())).collect());
    wait(&pool, &bell, tasks);
    let tasks = f64::from(POOL_TASKS);
    (tasks / started.elapsed().as_secs_f64(), (cpu_us() - cpu) / tasks)
}

fn start(kind: &Slots, slots: u32, blobs: Arc<Blobs>, bell: &Arc<(Mutex<u64>, Condvar)>) -> Pool {
    let ringer = Arc::clone(bell);
    let on_ready = Arc::new(move || {
        *ringer.0.lock().unwrap() += 1;
        ringer.1.notify_one();
    });
    let config = PoolConfig { slots, kind: kind.clone(), cache_dir: None, memory_max_bytes: 4 << 30 };
    Pool::start(config, blobs, on_ready).unwrap()
}

fn cpu_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::try_from(time).unwrap().as_secs_f64() * 1e6
}

/// Waits for so many reports.
fn wait(pool: &Pool, bell: &(Mutex<u64>, Condvar), tasks: u64) {
    let mut done = 0;
    while done < tasks {
        let rung = *bell.0.lock().unwrap();
        done += pool.take_events().len() as u64;
        if done < tasks {
            let guard = bell.0.lock().unwrap();
            drop(bell.1.wait_while(guard, |now| *now == rung).unwrap());
        }
    }
}
