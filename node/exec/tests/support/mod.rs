//! What the tests share: modules as text, a sandbox, a task, and blobs in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::{
    BlobId, Entry, Limit, Limits, Outcome, Payload, PeerId, Profile, Program, Report, RunId, TaskId, Trap,
    Work,
};
use weft_exec::{
    BlobAccess, Finished, Given, MODULE_BYTES_MAX, Pool, PoolConfig, PoolEvent, PoolStatus, Prepared,
    Sandbox, SandboxConfig, Stop,
};

/// Whose tasks these are.
pub(crate) const OWNER: PeerId = PeerId([7; 32]);

/// No test waits longer than this for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A function module with 2 pages, a bump allocator, and these definitions.
pub(crate) fn function_module(definitions: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (memory (export "memory") 2)
            (global $free (mut i32) (i32.const 1024))
            (func (export "weft_alloc") (param $len i32) (result i32)
                (local $at i32)
                (local.set $at (global.get $free))
                (global.set $free (i32.add (global.get $free) (local.get $len)))
                (local.get $at))
            (func $pack (param $at i32) (param $len i32) (result i64)
                (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
                        (i64.extend_i32_u (local.get $len))))
            {definitions})"#
    ))
    .unwrap()
}

/// `echo` answers its input, `fail` answers it as an error.
pub(crate) fn echo() -> Vec<u8> {
    function_module(
        r#"(func $answer (param $tag i32) (param $at i32) (param $len i32) (result i64)
               (i32.store8 (i32.const 1023) (local.get $tag))
               (call $pack (i32.const 1023) (i32.add (local.get $len) (i32.const 1))))
           (func (export "weft_fn_echo") (param i32 i32) (result i64)
               (call $answer (i32.const 0) (local.get 0) (local.get 1)))
           (func (export "weft_fn_fail") (param i32 i32) (result i64)
               (call $answer (i32.const 1) (local.get 0) (local.get 1)))"#,
    )
}

/// A WASI command with 2 pages whose `_start` has this body; the usual imports are there, and `$write` prints.
pub(crate) fn command_module(body: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (func $write (param $fd i32) (param $at i32) (param $len i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $len))
                (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))
                    (then (call $exit (i32.const 99)))))
            (func (export "_start") {body}))"#
    ))
    .unwrap()
}

/// Prints standard input, then all argument bytes, then all environment bytes, a word to stderr, and exits.
pub(crate) fn command_echo(exit: u32) -> Vec<u8> {
    command_module(&format!(
        r#"(local $got i32)
           (block $done (loop $more
               (i32.store (i32.const 16) (i32.const 4096))
               (i32.store (i32.const 20) (i32.const 4096))
               (br_if $done (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
               (local.set $got (i32.load (i32.const 24)))
               (br_if $done (i32.eqz (local.get $got)))
               (call $write (i32.const 1) (i32.const 4096) (local.get $got))
               (br $more)))
           (drop (call $args_sizes (i32.const 32) (i32.const 36)))
           (drop (call $args (i32.const 1024) (i32.const 8192)))
           (call $write (i32.const 1) (i32.const 8192) (i32.load (i32.const 36)))
           (drop (call $env_sizes (i32.const 32) (i32.const 36)))
           (drop (call $env (i32.const 1024) (i32.const 8192)))
           (call $write (i32.const 1) (i32.const 8192) (i32.load (i32.const 36)))
           (i32.store (i32.const 512) (i32.const 0x6b636568))
           (call $write (i32.const 2) (i32.const 512) (i32.const 4))
           (call $exit (i32.const {exit}))"#
    ))
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(SandboxConfig { slots: 4, ..SandboxConfig::default() }).unwrap()
}

pub(crate) fn program(module: &[u8], entry: Entry) -> Program {
    Program {
        module: BlobId::of(module),
        module_bytes: module.len() as u64,
        entry,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits { wall_ms: 10_000, ..Limits::DEFAULT },
    }
}

pub(crate) fn function(module: &[u8], name: &str) -> Program {
    program(module, Entry::Function(name.to_owned()))
}

pub(crate) fn command(module: &[u8]) -> Program {
    program(module, Entry::Command)
}

pub(crate) fn prepare(sandbox: &Sandbox, module: &[u8], program: &Program) -> Arc<Prepared> {
    sandbox.prepare(program, || Ok(Bytes::copy_from_slice(module))).unwrap()
}

/// Prepares and runs once.
pub(crate) fn run(sandbox: &Sandbox, module: &[u8], program: &Program, input: &[u8]) -> Finished {
    let prepared = prepare(sandbox, module, program);
    let task = program.task_id(&Payload::Blob { id: BlobId::of(input), bytes: input.len() as u64 });
    sandbox.run(&prepared, program, task, Given::input(Bytes::copy_from_slice(input)), &Stop::new(), None)
}

/// Why this module is refused.
pub(crate) fn refusal(sandbox: &Sandbox, module: &[u8], program: &Program) -> String {
    let error = sandbox.prepare(program, || Ok(Bytes::copy_from_slice(module))).unwrap_err();
    let Outcome::Invalid(text) = error.outcome() else { panic!("expected an invalid module, got {error}") };
    text
}

/// Blobs in a map.
#[derive(Default)]
pub(crate) struct Blobs(Mutex<BTreeMap<BlobId, Bytes>>);

impl Blobs {
    fn get(&self, id: BlobId) -> Option<Bytes> {
        self.0.lock().unwrap().get(&id).cloned()
    }

    pub(crate) fn put(&self, bytes: &[u8]) -> BlobId {
        let id = BlobId::of(bytes);
        self.0.lock().unwrap().insert(id, Bytes::copy_from_slice(bytes));
        id
    }
}

impl BlobAccess for Blobs {
    fn read(&self, id: BlobId) -> io::Result<Bytes> {
        self.get(id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn len(&self, id: BlobId) -> Option<u64> {
        self.get(id).map(|bytes| bytes.len() as u64)
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        Ok(self.put(&bytes))
    }
}

/// A bell that the pool rings, and a test waits for.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<u64>,
    wake: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap() += 1;
        self.wake.notify_all();
    }

    pub(crate) fn count(&self) -> u64 {
        *self.rung.lock().unwrap()
    }

    fn wait_beyond(&self, seen: u64, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let guard = self.rung.lock().unwrap();
        let (_guard, timeout) = self.wake.wait_timeout_while(guard, left, |rung| *rung <= seen).unwrap();
        assert!(!timeout.timed_out(), "the pool went silent");
    }
}

/// A pool with its blobs and its bell.
pub(crate) struct Slots {
    pub(crate) pool: Pool,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) bell: Arc<Bell>,
    early: Mutex<Vec<PoolEvent>>,
}

/// Both kinds of slots: what is tested must hold for either.
pub(crate) fn kinds() -> Vec<weft_exec::Slots> {
    let processes = cfg!(target_os = "linux").then(processes);
    processes.into_iter().chain([weft_exec::Slots::Threads]).collect()
}

/// Slots that are processes.
pub(crate) fn processes() -> weft_exec::Slots {
    weft_exec::Slots::Processes { program: env!("CARGO_BIN_EXE_weft-slot").into(), args: Vec::new() }
}

impl Slots {
    pub(crate) fn start(kind: weft_exec::Slots, slots: u32) -> Self {
        let blobs = Arc::new(Blobs::default());
        let bell = Arc::new(Bell::default());
        let ringer = Arc::clone(&bell);
        let access: Arc<dyn BlobAccess> = blobs.clone();
        let config = PoolConfig {
            slots,
            kind,
            cache_dir: None,
            memory_max_bytes: 4 << 30,
            module_max_bytes: MODULE_BYTES_MAX,
        };
        let pool = Pool::start(config, access, Arc::new(move || ringer.ring())).unwrap();
        Self { pool, blobs, bell, early: Mutex::default() }
    }

    /// Waits until this many reports came. What was printed stays for [`Slots::wait_printed`].
    pub(crate) fn collect(&self, count: usize) -> Vec<(RunId, Report)> {
        let mut reports = Vec::new();
        self.wait("reports", || {
            for event in self.pool.take_events() {
                match event {
                    PoolEvent::Ran(run, report) => reports.push((run, report)),
                    PoolEvent::Compiling { .. } => {}
                    printed @ PoolEvent::Printed { .. } => self.early.lock().unwrap().push(printed),
                }
            }
            reports.len() >= count
        });
        reports
    }

    /// Waits, at each ring of the bell, until this holds.
    pub(crate) fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + DEADLINE;
        loop {
            let seen = self.bell.count();
            if holds() {
                return;
            }
            assert!(Instant::now() < until, "waited in vain for {what}");
            self.bell.wait_beyond(seen, until);
        }
    }

    /// Waits until the status is like this.
    pub(crate) fn wait_status(&self, what: &str, holds: impl Fn(&PoolStatus) -> bool) -> PoolStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            let status = self.pool.status();
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < until, "waited in vain for {what}: {status:?}");
            std::thread::yield_now();
        }
    }

    /// Waits until this many slots are busy.
    pub(crate) fn wait_busy(&self, slots: u32) {
        self.wait_status("busy slots", |status| status.busy >= slots);
    }
}

pub(crate) fn work(program: &Arc<Program>, input: &[u8]) -> Work {
    let input = Payload::inline(input);
    Work { task: program.task_id(&input), owner: OWNER, program: Arc::clone(program), input, stream: false }
}

pub(crate) fn task(byte: u8) -> TaskId {
    TaskId([byte; 32])
}

pub(crate) fn limit(finished: &Finished) -> &Limit {
    let outcome = &finished.outcome;
    let Outcome::LimitExceeded(limit) = outcome else { panic!("expected a limit, got {outcome}") };
    limit
}

pub(crate) fn trap(finished: &Finished) -> &Trap {
    let outcome = &finished.outcome;
    let Outcome::Trapped(trap) = outcome else { panic!("expected a trap, got {outcome}") };
    trap
}

/// A preview 1 command as a component, as the toolchains make one.
pub(crate) fn component_of(command: &[u8]) -> Vec<u8> {
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER;
    wit_component::ComponentEncoder::default()
        .module(command)
        .unwrap()
        .adapter("wasi_snapshot_preview1", adapter)
        .unwrap()
        .encode()
        .unwrap()
}
