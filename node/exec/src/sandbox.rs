//! The door of the crate: prepare a module once, run it many times. Thread-safe, cheap to clone; it has no queue and
//! no slots (see [`crate::Pool`]), and its only thread is the ticker.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};
use weft_core::{BlobId, Limit, Outcome, Program, TaskId};

use crate::MODULE_BYTES_MAX;
use crate::cache::{Cache, Verdict};
use crate::disk::DiskCache;
use crate::engines::{EngineKey, Engines, Lane};
use crate::module::{Compiled, Kind, Prepared, words};
use crate::run::{Attempt, Finished, Given};
use crate::sink::Printer;
use crate::stop::Stop;
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
}

impl Default for SandboxConfig {
    /// One slot, 4 GiB, nothing on disk.
    fn default() -> Self {
        Self { cache_dir: None, slots: 1, memory_max_bytes: 4 << 30 }
    }
}

/// This machine can't have a sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The runtime refused its settings: most often the address space is limited (`ulimit -v`).
    #[error("the wasm runtime does not start: {0}")]
    Engine(String),
    /// The cache's directory or key can't be used.
    #[error("the module cache can't be opened: {0}")]
    Cache(#[source] io::Error),
    /// A thread could not be started.
    #[error("a thread can't be started: {0}")]
    Thread(#[source] io::Error),
}

/// A module was not prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its bytes were not to be had, or were not the ones asked for: this node's fault.
    #[error("the module can't be read: {0}")]
    Unreadable(#[source] io::Error),
    /// It can't be run at all; the text says what was looked for and what was found.
    #[error("invalid module: {0}")]
    Invalid(String),
    /// It is longer than [`MODULE_BYTES_MAX`].
    #[error("the module has {bytes} bytes, the limit is {MODULE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: u64,
    },
    /// The runtime could not make an engine for the task's profile: this node's fault.
    #[error("the wasm runtime does not start: {0}")]
    Engine(String),
}

impl PrepareError {
    /// How a task that needed the module ends.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unreadable(_) | Self::Engine(_) => Outcome::Lost(self.to_string()),
            Self::Invalid(text) => Outcome::Invalid(text.clone()),
            Self::TooLong { .. } => Outcome::LimitExceeded(Limit::Other(self.to_string())),
        }
    }
}

/// Why a module will never be prepared.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Invalid(String),
    TooLong { bytes: u64 },
}

impl From<Refusal> for PrepareError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text) => Self::Invalid(text),
            Refusal::TooLong { bytes } => Self::TooLong { bytes },
        }
    }
}

/// Runs tasks. Clones are the same sandbox; the last one dropped ends its thread.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    memory_max_bytes: u64,
    cache: Cache,
    disk: Option<DiskCache>,
    engines: Arc<Engines>,
    ticker: Ticker,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("engines", &self.0.engines).finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox with these settings.
    ///
    /// # Errors
    /// When this machine refuses the address space, the cache's directory, or a thread.
    pub fn new(config: SandboxConfig) -> Result<Self, SandboxError> {
        let SandboxConfig { cache_dir, slots, memory_max_bytes } = config;
        let disk = cache_dir.map(|dir| DiskCache::open(&dir)).transpose().map_err(SandboxError::Cache)?;
        let engines = Engines::new(slots).map_err(|error| SandboxError::Engine(words(&error)))?;
        let engines = Arc::new(engines);
        let ticker = Ticker::start(Arc::clone(&engines)).map_err(SandboxError::Thread)?;
        Ok(Self(Arc::new(Inner { memory_max_bytes, cache: Cache::default(), disk, engines, ticker })))
    }

    /// The program's module, ready to run: from memory, else from disk, else compiled on this thread from what `read`
    /// gives. Requests for one module at the same time compile it once; the others wait.
    ///
    /// # Errors
    /// When the bytes are not to be had, or the module can't be run at all.
    pub fn prepare(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Prepared>, PrepareError> {
        self.prepare_timed(program, read).map(|(prepared, _)| prepared)
    }

    /// Also says how long the caller waited for compiling or loading; zero if the module was warm.
    pub(crate) fn prepare_timed(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<(Arc<Prepared>, Duration), PrepareError> {
        if program.module_bytes > MODULE_BYTES_MAX {
            // The task's own claim, and so not remembered: another task of this module may claim otherwise.
            return Err(PrepareError::TooLong { bytes: program.module_bytes });
        }
        let key = EngineKey::of(program);
        let cell = self.0.cache.cell((program.module, key));
        if let Some(verdict) = cell.get() {
            return Ok((verdict?, Duration::ZERO));
        }
        let started = Instant::now();
        let making = cell.make();
        let verdict = match cell.get() {
            Some(verdict) => verdict,
            None => {
                let lane = self.0.engines.lane(key).map_err(|error| PrepareError::Engine(words(&error)))?;
                let verdict = self.0.make(key, &lane, program, read).map_err(PrepareError::Unreadable)?;
                cell.set(&verdict);
                verdict
            }
        };
        drop(making);
        let prepared = verdict?;
        self.0.cache.weigh((program.module, key), prepared.code_bytes());
        Ok((prepared, started.elapsed()))
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
        let running = self.0.ticker.keep();
        let node_bytes = self.0.memory_max_bytes;
        let finished = Attempt { prepared, program, task, given, printer, stop, node_bytes }.run();
        drop(running);
        finished
    }
}

impl Inner {
    fn make(
        &self,
        key: EngineKey,
        lane: &Lane,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> io::Result<Verdict> {
        let started = Instant::now();
        let module = match self.load(lane, program.module) {
            Some(module) => Ok(module),
            None => self.compile(lane, program, read)?,
        };
        let made = module.and_then(|module| {
            Prepared::new(key, lane, &module, started.elapsed()).map(Arc::new).map_err(Refusal::Invalid)
        });
        Ok(made)
    }

    #[expect(
        unsafe_code,
        reason = "loading compiled code is unsafe in wasmtime; this is the verified module cache"
    )]
    fn load(&self, lane: &Lane, id: BlobId) -> Option<Compiled> {
        let code = self.disk.as_ref()?.load(id, &lane.fingerprint)?;
        // SAFETY: `deserialize` trusts its bytes. These carry a tag made with this node's own key over the module's
        // name, the engine's fingerprint and the content, and were checked after they were read; only `compile` below
        // writes them, and from what an engine with this very fingerprint serialised.
        let loaded = unsafe {
            match Engine::detect_precompiled(&code)? {
                Precompiled::Module => Module::deserialize(&lane.engine, &code).map(Compiled::from),
                Precompiled::Component => Component::deserialize(&lane.engine, &code).map(Compiled::from),
            }
        };
        loaded.inspect_err(|error| tracing::warn!(%error, %id, "a cached module does not load")).ok()
    }

    fn compile(
        &self,
        lane: &Lane,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> io::Result<Result<Compiled, Refusal>> {
        let bytes = read()?;
        let len = bytes.len() as u64;
        if len > MODULE_BYTES_MAX {
            return Ok(Err(Refusal::TooLong { bytes: len }));
        }
        if BlobId::of(&bytes) != program.module {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "these bytes have another hash than the module",
            ));
        }
        let compiled = match Kind::of(&bytes) {
            Err(text) => return Ok(Err(Refusal::Invalid(text))),
            Ok(Kind::Core) => Module::from_binary(&lane.engine, &bytes).map(Compiled::from),
            Ok(Kind::Component) => Component::from_binary(&lane.engine, &bytes).map(Compiled::from),
        };
        let compiled = match compiled {
            Ok(compiled) => compiled,
            // The system refused memory: that is not the module's fault, and passes.
            Err(error) if error.root_cause().is::<rustix::io::Errno>() => {
                return Err(io::Error::other(words(&error)));
            }
            Err(error) => return Ok(Err(Refusal::Invalid(words(&error)))),
        };
        if let Some(disk) = &self.disk {
            match compiled.serialize() {
                Ok(code) => disk.store(program.module, &lane.fingerprint, &code),
                Err(error) => tracing::warn!(%error, "a compiled module can't be serialised"),
            }
        }
        Ok(Ok(compiled))
    }
}
