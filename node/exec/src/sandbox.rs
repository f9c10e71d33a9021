//! Prepares modules and runs tasks on the caller's thread. Thread-safe, cheap to clone. It has no queue and no slots
//! (see [`crate::Pool`]); its only thread is the ticker.

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

/// Settings of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Directory for compiled modules; `None` keeps them in memory only. No other user may write to it, and no other
    /// node may use it at the same time.
    pub cache_dir: Option<PathBuf>,
    /// Most runs at the same time. A few more instances are reserved for callers outside of the pool.
    pub slots: u32,
    /// Most memory of any task, in bytes. A task that needs more and has a higher limit of its own ends as `Lost`.
    pub memory_max_bytes: u64,
    /// Longest accepted module, in bytes.
    pub module_max_bytes: u64,
}

impl Default for SandboxConfig {
    /// One run at a time, 4 GiB of memory, modules of up to [`MODULE_BYTES_MAX`], no directory.
    fn default() -> Self {
        Self { cache_dir: None, slots: 1, memory_max_bytes: 4 << 30, module_max_bytes: MODULE_BYTES_MAX }
    }
}

/// Runs tasks. Clones share the sandbox; dropping the last one ends its threads.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    memory_max_bytes: u64,
    cache: Cache,
    engines: Arc<Engines>,
    /// Only if modules are compiled in this process.
    compiler: Option<Compiler>,
    /// Only if guests are interrupted by epochs.
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
    /// When the address space, the cache directory or a thread is refused.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let SandboxConfig { cache_dir, slots, memory_max_bytes, module_max_bytes } = config;
        let config = CompilerConfig::new(cache_dir, Interrupt::Epochs, How::Here).modules(module_max_bytes);
        let compiler = Compiler::start(config)?;
        Self::open(slots, memory_max_bytes, Interrupt::Epochs, Some(compiler))
    }

    /// A sandbox for a slot process, which runs one guest at a time and is killed when the guest must end: it has no
    /// ticker and no compiler, and runs code that [`Sandbox::load`] is given.
    ///
    /// # Errors
    /// When the address space is refused.
    pub fn for_slot(memory_max_bytes: u64) -> Result<Self, SandboxError> {
        Self::open(1, memory_max_bytes, Interrupt::Kill, None)
    }

    /// Creates every engine that code may need, for a process that can't open files later.
    ///
    /// # Errors
    /// When the address space is refused.
    pub(crate) fn make_engines(&self) -> Result<(), SandboxError> {
        self.0.engines.make_all().map_err(|error| SandboxError::Engine(words(&error)))
    }

    /// Whether the isolation of guests from each other relies on this machine having no swap.
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

    /// Loads and links code; loading the same code again returns the first result. Takes about 1 ms for 50 MB, for code
    /// is mapped, not copied.
    ///
    /// # Errors
    /// [`PrepareError::Invalid`] when the module can't be run; the other errors when this machine fails.
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

    /// A module, ready to run; compiled and optimised on this thread if it is not cached. `read` is called only then
    /// and must return the module's bytes.
    ///
    /// # Errors
    /// See [`PrepareError`]. Refusals are cached, failed reads are not.
    pub fn prepare(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Prepared>, PrepareError> {
        self.prepare_timed(program, read).map(|(prepared, _)| prepared)
    }

    /// Like [`Sandbox::prepare`], with the time it took: zero if the module was cached.
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
            return Err(PrepareError::Engine("this sandbox has no compiler".into()));
        };
        let code = compiler.code(program, read)?;
        let prepared = self.load(&code)?;
        Ok((prepared, started.elapsed()))
    }

    /// Its compiler; `None` in a slot process.
    #[must_use]
    pub fn compiler(&self) -> Option<&Compiler> {
        self.0.compiler.as_ref()
    }

    /// Most memory of any task, in bytes.
    pub(crate) fn memory_max_bytes(&self) -> u64 {
        self.0.memory_max_bytes
    }

    /// Whether a task of this module would start without compiling or loading. Modules on disk count only after they
    /// ran once.
    #[must_use]
    pub fn is_warm(&self, module: BlobId) -> bool {
        self.0.cache.is_warm(module)
    }

    /// Runs a task once, on this thread, which must not belong to an async runtime and needs 2 MiB of stack. Returns
    /// when the guest ended: at its wall limit and one tick (5 ms) at the latest, or within about 10 ms of `stop`.
    /// `printer` is called on this thread with output as it is printed; the result contains all of it.
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
        // The thread may have used processor time since the last reading.
        cpu::forget();
        let started = Instant::now();
        let (finished, _) =
            Attempt { prepared, program, task, given, printer, stop, node_bytes, started }.run();
        drop(running);
        finished
    }
}

/// Whether the operating system refused something: a temporary failure that is not the module's fault.
fn is_host_fault(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause();
    cause.is::<rustix::io::Errno>() || cause.is::<io::Error>() || cause.is::<wasmtime::error::OutOfMemory>()
}

/// Loads and links code.
fn prepared(lane: &Lane, code: &Code) -> Result<Verdict, PrepareError> {
    let started = Instant::now();
    let compiled = match open(lane, code) {
        Ok(compiled) => compiled,
        Err(error) if is_host_fault(&error) => return Err(PrepareError::Engine(words(&error))),
        // This node compiled the code, so the pool refused it: too many memories, tables or instances.
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
    // SAFETY: `deserialize_open_file` and `deserialize` trust the bytes, the former also that they never change. They
    // don't: `Code` holds only a memory file whose seals forbid every change (checked when it came from another
    // process). And they are what an engine of this make wrote: a `Code` is made only from the answer of this node's
    // own compiler, or from this node's disk cache, after its tag, keyed with a key that only this node has, was
    // verified over the very bytes in the file.
    unsafe {
        match code.kind() {
            Kind::Core => Module::deserialize_open_file(&lane.engine, code.file()?).map(Compiled::from),
            // wasmtime maps components only by path, and a slot can't open files.
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
