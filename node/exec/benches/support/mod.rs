//! What the benchmarks share: bare wasmtime with a pool of the sandbox's settings, as the reference, and a pool of
//! slots that is handed tasks in batches and waited for.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use wasmtime::{
    Caller, Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module,
    PoolingAllocationConfig, Store,
};
use weft_core::{BlobId, Entry, Limits, Outcome, Payload, PeerId, Profile, Program, RunId, Work};
use weft_exec::{BlobAccess, MODULE_BYTES_MAX, Pool, PoolConfig, PoolEvent, Slots};

/// A function module called on bare wasmtime: a fresh store and instance each time, nothing else.
pub(crate) struct Bare {
    engine: Engine,
    pre: InstancePre<()>,
    function: String,
}

impl Bare {
    pub(crate) fn function(module: &[u8], function: &str) -> Self {
        Self::function_in(engine(true), module, function)
    }

    /// The same on an engine that has neither collected objects nor exceptions.
    pub(crate) fn function_without_references(module: &[u8], function: &str) -> Self {
        Self::function_in(engine(false), module, function)
    }

    fn function_in(engine: Engine, module: &[u8], function: &str) -> Self {
        let module = Module::new(&engine, module).unwrap();
        let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
        Self { engine, pre, function: function.to_owned() }
    }

    pub(crate) fn call(&self, input: &[u8]) -> Vec<u8> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let alloc = instance.get_typed_func::<i32, i32>(&mut store, "weft_alloc").unwrap();
        let function = instance.get_typed_func::<(i32, i32), i64>(&mut store, &self.function).unwrap();
        let len = i32::try_from(input.len()).unwrap();
        let at = alloc.call(&mut store, len).unwrap();
        memory.write(&mut store, usize::try_from(at).unwrap(), input).unwrap();
        let packed = function.call(&mut store, (at, len)).unwrap();
        let mut output = vec![0; usize::try_from(packed & 0xffff_ffff).unwrap()];
        memory.read(&store, usize::try_from(packed >> 32).unwrap(), &mut output).unwrap();
        output
    }
}

/// A command on bare wasmtime that reads its input once and writes once: a fresh store and instance each time, and of
/// WASI just these two calls, made by hand.
pub(crate) struct BareCommand {
    engine: Engine,
    pre: InstancePre<Streams>,
}

/// What a bare command reads, and what it wrote.
struct Streams {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl BareCommand {
    pub(crate) fn new(module: &[u8]) -> Self {
        let engine = engine(true);
        let module = Module::new(&engine, module).unwrap();
        let mut linker: Linker<Streams> = Linker::new(&engine);
        linker.func_wrap("wasi_snapshot_preview1", "fd_read", read).unwrap();
        linker.func_wrap("wasi_snapshot_preview1", "fd_write", write).unwrap();
        let pre = linker.instantiate_pre(&module).unwrap();
        Self { engine, pre }
    }

    pub(crate) fn run(&self, input: &[u8]) -> Vec<u8> {
        let mut store = Store::new(&self.engine, Streams { input: input.to_vec(), output: Vec::new() });
        let instance = self.pre.instantiate(&mut store).unwrap();
        instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap().call(&mut store, ()).unwrap();
        store.into_data().output
    }
}

fn read(mut caller: Caller<'_, Streams>, _fd: i32, iovs: i32, _count: i32, into: i32) -> i32 {
    let (memory, streams) = parts(&mut caller);
    let (at, len) = (word(memory, iovs), word(memory, iovs + 4));
    let count = len.min(streams.input.len());
    memory[at..at + count].copy_from_slice(&streams.input[..count]);
    put(memory, into, count)
}

fn write(mut caller: Caller<'_, Streams>, _fd: i32, iovs: i32, _count: i32, into: i32) -> i32 {
    let (memory, streams) = parts(&mut caller);
    let (at, len) = (word(memory, iovs), word(memory, iovs + 4));
    streams.output.extend_from_slice(&memory[at..at + len]);
    put(memory, into, len)
}

fn parts<'a>(caller: &'a mut Caller<'_, Streams>) -> (&'a mut [u8], &'a mut Streams) {
    let memory = caller.get_export("memory").unwrap().into_memory().unwrap();
    memory.data_and_store_mut(caller)
}

fn word(memory: &[u8], at: i32) -> usize {
    let at = usize::try_from(at).unwrap();
    u32::from_le_bytes(memory[at..at + 4].try_into().unwrap()) as usize
}

fn put(memory: &mut [u8], at: i32, value: usize) -> i32 {
    let at = usize::try_from(at).unwrap();
    memory[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    0
}

/// Pooling as in the sandbox: copy-on-write, pages kept, only the dirty ones reset. With what collected objects,
/// exceptions and foreign references need, or without.
pub(crate) fn engine(references: bool) -> Engine {
    let config = |scan: bool| {
        let resident = if scan { 1 << 20 } else { 64 << 10 };
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(18).total_memories(18).total_tables(18).max_unused_warm_slots(2);
        pool.linear_memory_keep_resident(resident).table_keep_resident(resident);
        pool.pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        if !references {
            config.wasm_exceptions(false).wasm_gc(false).wasm_function_references(false).gc_support(false);
        }
        config
    };
    Engine::new(&config(true)).or_else(|_| Engine::new(&config(false))).unwrap()
}

/// How a pool runs what it runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) processes: bool,
    pub(crate) profile: Profile,
    pub(crate) fuel: Option<u64>,
}

impl Setting {
    pub(crate) const PROCESS: Self = Self { processes: true, profile: Profile::Pure, fuel: None };
    pub(crate) const THREAD: Self = Self { processes: false, ..Self::PROCESS };
}

/// A pool, one program, and a bell that rings when something happened.
pub(crate) struct PoolBench {
    pool: Pool,
    bell: Arc<(Mutex<u64>, Condvar)>,
    program: Arc<Program>,
    next_run: Mutex<u64>,
}

impl PoolBench {
    pub(crate) fn new(module: &[u8], entry: Entry, setting: Setting, slots: u32) -> Self {
        let bell = Arc::new((Mutex::new(0_u64), Condvar::new()));
        let ringer = Arc::clone(&bell);
        let on_ready = Arc::new(move || {
            *ringer.0.lock().unwrap() += 1;
            ringer.1.notify_one();
        });
        let kind = if setting.processes {
            Slots::Processes { program: env!("CARGO_BIN_EXE_weft-slot").into(), args: Vec::new() }
        } else {
            Slots::Threads
        };
        let config = PoolConfig {
            slots,
            kind,
            cache_dir: None,
            memory_max_bytes: 4 << 30,
            module_max_bytes: MODULE_BYTES_MAX,
        };
        let blobs = Arc::new(OneBlob(Bytes::copy_from_slice(module)));
        let pool = Pool::start(config, blobs, on_ready).unwrap();
        let program = Arc::new(Program {
            module: BlobId::of(module),
            module_bytes: module.len() as u64,
            entry,
            args: Vec::new(),
            env: Vec::new(),
            files: Payload::empty(),
            profile: setting.profile,
            limits: Limits { fuel: setting.fuel, ..Limits::DEFAULT },
        });
        Self { pool, bell, program, next_run: Mutex::new(0) }
    }

    /// Submits this many tasks at once, waits for all, and returns their outputs in order.
    pub(crate) fn run(&self, tasks: u64, input: &[u8]) -> Vec<Vec<u8>> {
        let mut outputs: Vec<(RunId, Payload)> = self.reports(tasks, input);
        outputs.sort_by_key(|(run, _)| *run);
        let bytes = |payload: Payload| match payload {
            Payload::Inline(bytes) => bytes.to_vec(),
            Payload::Blob { .. } => panic!("a short answer travels inline"),
        };
        outputs.into_iter().map(|(_, payload)| bytes(payload)).collect()
    }

    /// The same as they come: what is timed does no more with them than a node must.
    pub(crate) fn reports(&self, tasks: u64, input: &[u8]) -> Vec<(RunId, Payload)> {
        let first = {
            let mut next = self.next_run.lock().unwrap();
            let first = *next;
            *next += tasks;
            first
        };
        let input = Payload::inline(input);
        let task = self.program.task_id(&input);
        let work = |run| {
            (
                RunId(run),
                Work {
                    task,
                    owner: PeerId([0; 32]),
                    program: Arc::clone(&self.program),
                    input: input.clone(),
                    stream: false,
                },
            )
        };
        let tasks = usize::try_from(tasks).unwrap();
        let mut outputs = Vec::with_capacity(tasks);
        self.pool.submit((first..).take(tasks).map(work).collect());
        while outputs.len() < tasks {
            let rung = *self.bell.0.lock().unwrap();
            for event in self.pool.take_events() {
                let PoolEvent::Ran(run, report) = event else { continue };
                assert_eq!(report.outcome, Outcome::Done);
                outputs.push((run, report.output));
            }
            if outputs.len() < tasks {
                self.wait(rung);
            }
        }
        outputs
    }

    /// Waits as a node does: on the slots' descriptor with whatever else it waits for; where slots are threads, for
    /// the bell.
    fn wait(&self, rung: u64) {
        let Some(fd) = self.pool.poll_fd() else {
            let guard = self.bell.0.lock().unwrap();
            return drop(self.bell.1.wait_while(guard, |now| *now == rung).unwrap());
        };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        poll(&mut fds, None).unwrap();
        self.pool.turn();
    }
}

/// One module, and nothing else.
struct OneBlob(Bytes);

impl BlobAccess for OneBlob {
    fn read(&self, _: BlobId) -> io::Result<Bytes> {
        Ok(self.0.clone())
    }

    fn len(&self, _: BlobId) -> Option<u64> {
        Some(self.0.len() as u64)
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        Ok(BlobId::of(&bytes))
    }
}
