//! The door of the crate: prepare a module once, run it many times. Thread-safe, cheap to clone; it has no queue and
//! no slots (see [`crate::Pool`]), and its only thread is the ticker.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::Module;
use wasmtime::component::Component;
use weft_core::{BlobId, Program, TaskId};

use crate::MODULE_BYTES_MAX;
use crate::cache::{Cache, Verdict};
use crate::code::{Code, Kind};
use crate::compile::{Compiler, CompilerConfig, How};
use crate::cpu;
use crate::engines::{Engines, Lane};
use crate::error::{PrepareError, Refusal, SandboxError};
use crate::make::{EngineKey, Interrupt, Make, Tier};
use crate::module::{Compiled, Prepared};
use crate::run::{Attempt, Finished, Given};
use crate::sink::Printer;
use crate::stop::Stop;
use crate::text::words;
use crate::ticker::Ticker;

/// What a node chooses about its sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Where compiled modules are kept between starts; `None` keeps them in memory only. Nobody else may write there,
    /// and no other node may use it at the same time.
    pub cache_dir: Option<PathBuf>,
    /// How many runs are under way at once. A few more have room, so that a caller beside the pool finds one.
    pub slots: u32,
    /// Memory that any one task gets, in bytes. A task whose own limit is higher and which needs more ends as `Lost`.
    pub memory_max_bytes: u64,
    /// Longest module that it takes, in bytes.
    pub module_max_bytes: u64,
}

impl Default for SandboxConfig {
    /// One slot, 4 GiB, modules of up to [`MODULE_BYTES_MAX`], nothing on disk.
    fn default() -> Self {
        Self { cache_dir: None, slots: 1, memory_max_bytes: 4 << 30, module_max_bytes: MODULE_BYTES_MAX }
    }
}

/// Runs tasks. Clones are the same sandbox; the last one dropped ends its threads.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    memory_max_bytes: u64,
    cache: Cache,
    engines: Arc<Engines>,
    /// Only where modules are compiled in this process.
    compiler: Option<Compiler>,
    /// Only where guests are interrupted by epochs.
    ticker: Option<Ticker>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("engines", &self.0.engines).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with these settings, whose guests run on threads of this process.
    ///
    /// # Errors
    /// When this machine refuses the address space, the cache's directory, or a thread.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let SandboxConfig { cache_dir, slots, memory_max_bytes, module_max_bytes } = config;
        let config = CompilerConfig::new(cache_dir, Interrupt::Epochs, How::Here).modules(module_max_bytes);
        let compiler = Compiler::start(config)?;
        Self::open(slots, memory_max_bytes, Interrupt::Epochs, Some(compiler))
    }

    /// A sandbox for the one guest at a time of a process that is killed when the guest must end: it has no ticker,
    /// compiles nothing, and runs what [`Sandbox::load`] is given.
    ///
    /// # Errors
    /// When this machine refuses the address space.
    pub fn for_slot(memory_max_bytes: u64) -> Result<Self, SandboxError> {
        Self::open(1, memory_max_bytes, Interrupt::Kill, None)
    }

    /// Makes all engines that any code may need: for a process that can open nothing later.
    ///
    /// # Errors
    /// When this machine refuses the address space.
    pub(crate) fn make_engines(&self) -> Result<(), SandboxError> {
        self.0.engines.make_all().map_err(|error| SandboxError::Engine(words(&error)))
    }

    /// Whether a page of one guest stays from the next only as long as this machine has no swap.
    pub(crate) fn relies_on_no_swap(&self) -> bool {
        self.0.engines.scans()
    }

    fn open(
        slots: u32,
        memory_max_bytes: u64,
        interrupt: Interrupt,
        compiler: Option<Compiler>,
    ) -> Result<Self, SandboxError> {
        let engines = Engines::new(slots, interrupt).map_err(|error| SandboxError::Engine(words(&error)))?;
        let engines = Arc::new(engines);
        let ticker = match interrupt {
            Interrupt::Epochs => Some(Ticker::start(Arc::clone(&engines)).map_err(SandboxError::Thread)?),
            Interrupt::Kill => None,
        };
        let cache = Cache::default();
        Ok(Self(Arc::new(Inner { memory_max_bytes, cache, engines, compiler, ticker })))
    }

    /// Makes code ready to run, once: the same code again gives what was made before. About 1 ms for code of 50 MB,
    /// for the code is mapped, not copied.
    ///
    /// # Errors
    /// [`PrepareError::Invalid`] when the module can't be run at all; the others when this machine fails.
    pub fn load(&self, code: &Code) -> Result<Arc<Prepared>, PrepareError> {
        let Make { key, interrupt, tier } = code.info().make;
        if interrupt != self.0.engines.interrupt() {
            return Err(PrepareError::Engine("the code was compiled for another kind of slot".into()));
        }
        let name = (code.info().module, key, tier);
        let cell = self.0.cache.cell(name);
        if let Some(verdict) = cell.get() {
            return Ok(verdict?);
        }
        let making = cell.make();
        let verdict = match cell.get() {
            Some(verdict) => verdict,
            None => {
                let lane =
                    self.0.engines.lane(key, tier).map_err(|error| PrepareError::Engine(words(&error)))?;
                let verdict = prepared(&lane, code)?;
                cell.set(&verdict);
                verdict
            }
        };
        drop(making);
        let prepared = verdict?;
        self.0.cache.weigh(name, prepared.code_bytes());
        Ok(prepared)
    }

    /// A module, ready to run: compiled and optimised by this thread if nobody did before. `read` is called only
    /// then, and its bytes must be the module's.
    ///
    /// # Errors
    /// As [`PrepareError`] says. A module that can't run is remembered, a read that failed is not.
    pub fn prepare(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Prepared>, PrepareError> {
        self.prepare_timed(program, read).map(|(prepared, _)| prepared)
    }

    /// Like [`Sandbox::prepare`], with the time it took: zero when the module was ready.
    pub(crate) fn prepare_timed(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<(Arc<Prepared>, Duration), PrepareError> {
        let key = EngineKey::of(program);
        let cell = self.0.cache.cell((program.module, key, Tier::Optimised));
        if let Some(verdict) = cell.get() {
            return Ok((verdict?, Duration::ZERO));
        }
        let started = Instant::now();
        let Some(compiler) = &self.0.compiler else {
            return Err(PrepareError::Engine("this sandbox runs what others compile".into()));
        };
        let code = compiler.code(program, read)?;
        let prepared = self.load(&code)?;
        Ok((prepared, started.elapsed()))
    }

    /// What compiles for it, in this process; `None` in a slot's process.
    #[must_use]
    pub fn compiler(&self) -> Option<&Compiler> {
        self.0.compiler.as_ref()
    }

    /// Memory that any one task gets, in bytes.
    pub(crate) fn memory_max_bytes(&self) -> u64 {
        self.0.memory_max_bytes
    }

    /// Whether a task of this module would run at once. Modules that are only on disk don't count until one ran.
    #[must_use]
    pub fn is_warm(&self, module: BlobId) -> bool {
        self.0.cache.is_warm(module)
    }

    /// Runs one attempt on this thread, which must not belong to an async runtime and needs 2 MiB of stack. Returns
    /// when the guest has ended: at its wall limit and one tick (5 ms) at the latest, or within about 10 ms of `stop`.
    /// `printer` is called on this thread with what the guest prints, as it comes; the whole is in the result too.
    #[must_use]
    pub fn run(
        &self,
        prepared: &Prepared,
        program: &Program,
        task: TaskId,
        given: Given,
        stop: &Stop,
        printer: Option<Printer>,
    ) -> Finished {
        let running = self.0.ticker.as_ref().map(Ticker::keep);
        let node_bytes = self.0.memory_max_bytes;
        // Nobody knows what this thread did before.
        cpu::forget();
        let started = Instant::now();
        let (finished, _) =
            Attempt { prepared, program, task, given, printer, stop, node_bytes, started }.run();
        drop(running);
        finished
    }
}

/// The system refused something: that is not the module's fault, and passes.
fn is_host_fault(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause();
    cause.is::<rustix::io::Errno>() || cause.is::<io::Error>() || cause.is::<wasmtime::error::OutOfMemory>()
}

/// Loads code and links it.
fn prepared(lane: &Lane, code: &Code) -> Result<Verdict, PrepareError> {
    let started = Instant::now();
    let compiled = match open(lane, code) {
        Ok(compiled) => compiled,
        Err(error) if is_host_fault(&error) => return Err(PrepareError::Engine(words(&error))),
        // The code was made by this node, so the pool refused it: more memories, tables or instances than there are.
        Err(error) => return Ok(Err(Refusal::Invalid(words(&error)))),
    };
    let made = Prepared::new(code.info().make.key, lane, &compiled, started.elapsed());
    Ok(made.map(Arc::new).map_err(Refusal::Invalid))
}

#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "loading compiled code is unsafe in wasmtime; this is sealed and verified code"
)]
fn open(lane: &Lane, code: &Code) -> wasmtime::Result<Compiled> {
    // SAFETY: `deserialize_open_file` and `deserialize` trust the bytes, the former also that they stay. They stay: `Code` holds only a memory
    // file whose seals forbid every change (checked when it came from another process). And they are what an engine
    // of this make wrote: a `Code` is made only from the answer of this node's own compiler, or from this node's disk
    // cache, after its tag, keyed with a key that only this node has, was checked over the very bytes in the file.
    unsafe {
        match code.kind() {
            Kind::Core => Module::deserialize_open_file(&lane.engine, code.file()?).map(Compiled::from),
            // wasmtime maps a component only by its path, and a slot may open none.
            Kind::Component => Component::deserialize(&lane.engine, &whole(code)?).map(Compiled::from),
        }
    }
}

#[cfg(target_os = "linux")]
fn whole(code: &Code) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(code.bytes_len()).unwrap_or(0));
    code.each_piece(|piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(bytes)
}

#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "loading compiled code is unsafe in wasmtime; this is verified code")]
fn open(lane: &Lane, code: &Code) -> wasmtime::Result<Compiled> {
    // SAFETY: `deserialize` trusts its bytes. They are what an engine of this make wrote: a `Code` is made only by this
    // node's own compiler, or from its disk cache, after the tag made with this node's own key was checked.
    unsafe {
        match code.kind() {
            Kind::Core => Module::deserialize(&lane.engine, code.bytes()).map(Compiled::from),
            Kind::Component => Component::deserialize(&lane.engine, code.bytes()).map(Compiled::from),
        }
    }
}
