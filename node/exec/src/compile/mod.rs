//! From a module's bytes to its code: compiled once for each module and its settings, however many tasks ask; first by
//! the baseline compiler if optimising would take long; kept in memory and on disk. Driven by the pool and by
//! [`crate::Sandbox`]. It runs nothing and knows no task.
//!
//! ```text
//!   get / request / code --> ModuleTable (what is known, what is asked for)
//!                              |-- two threads for modules that tasks wait for: disk, else admission and compiling
//!                              '-- one thread that optimises what came from the baseline compiler
//! ```
//!
//! Where slots are processes, each of these threads passes its work to a child process ([`child_process`], [`child`])
//! with a deadline and a memory limit. Where slots are threads, modules are compiled in this process, after the same
//! admission but without a deadline, for a compiler can't be interrupted: such a node must trust its modules more.

pub(crate) mod admission;
pub(crate) mod bounds;
#[cfg(target_os = "linux")]
pub(crate) mod child;
#[cfg(target_os = "linux")]
mod child_process;
pub(crate) mod compilation;
mod compiler_thread;
mod fields;
mod job;
mod module_table;
mod proposals;
mod queue;
mod settings;
mod shape;
mod shared;
mod thread_group;
mod upgrade;
#[cfg(target_os = "linux")]
mod wire;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use bytes::Bytes;
use weft_core::{PeerId, Program};

use crate::code::Code;
use crate::disk::DiskCache;
use crate::engine_config::fingerprint;
use crate::error::{PrepareError, SandboxError};
use crate::make::{EngineKey, Interrupt, Make, Tier};
use crate::text::words;

use compiler_thread::{CompilerThread, FAST_THREADS, SLOW_THREADS, caught};
use job::{Job, ModuleKey, Pace};
use module_table::{Claim, ModuleTable};
use shared::Shared;

pub use job::{OnDone, Read};
pub use settings::{Allowance, CompilerConfig, CompilerStatus, How};

/// Compiles modules. Clones share the compiler; when the last one is dropped, child processes are killed and threads
/// end after their current module.
#[derive(Clone)]
pub struct Compiler(Arc<Handle>);

/// Ends the threads when the last clone is dropped.
struct Handle(Arc<Shared>);

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiler").field("config", &self.0.0.config).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.table().quit();
        self.0.queued.notify_all();
    }
}

impl Compiler {
    /// Creates a compiler. Threads and child processes are started when there is work, and end without it.
    ///
    /// # Errors
    /// When wasmtime refuses the settings, or the cache directory can't be used.
    pub fn start(config: CompilerConfig) -> Result<Self, SandboxError> {
        // Its fingerprint changes with wasmtime's version and with the processor.
        let plain = Make { key: EngineKey::PLAIN, interrupt: Interrupt::Kill, tier: Tier::Optimised };
        let engine = plain.compiler().map_err(|error| SandboxError::Engine(words(&error)))?;
        let generation = fingerprint(&engine);
        let disk = match &config.cache_dir {
            Some(dir) => open_disk(dir, &generation, config.disk_bytes)?,
            None => None,
        };
        let table = Mutex::new(ModuleTable::new(config.memory_bytes, config.late_for));
        let engines = Mutex::new(Vec::new());
        let shared =
            Shared { config, disk, engines, table, queued: Condvar::new(), answered: Condvar::new() };
        Ok(Self(Arc::new(Handle(Arc::new(shared)))))
    }

    /// The best code of the program's module so far, or why it is refused. `None` if it must be requested. Never
    /// blocks.
    #[must_use]
    pub fn get(&self, program: &Program) -> Option<Result<Arc<Code>, PrepareError>> {
        let shared = &self.0.0;
        let mut table = shared.table();
        let verdict = table.get(module_key(program))?;
        let again = table.try_again(module_key(program));
        let start = again && table.wants(Pace::Slow, SLOW_THREADS);
        drop(table);
        if again {
            shared.queued.notify_all();
        }
        if start {
            Shared::spawn(shared, Pace::Slow);
        }
        Some(verdict.map_err(PrepareError::from))
    }

    /// Longest accepted module, in bytes.
    #[must_use]
    pub fn module_bytes_max(&self) -> u64 {
        self.0.0.config.bounds.bytes
    }

    /// Requests the program's code, for a task of this owner; owners take turns. `on_done` is called once with the code
    /// or the error, at once if it is known. Later, [`Compiler::get`] may return better code. Never blocks.
    pub fn request(&self, program: &Program, owner: PeerId, read: Read, on_done: OnDone) {
        let shared = &self.0.0;
        if let Err(error) = shared.config.check_length(program.module_bytes) {
            return on_done(Err(error));
        }
        let job = Job { module_key: module_key(program), owner, read, late: 0, tries: 0 };
        let mut table = shared.table();
        let claim = table.request(job, on_done);
        let start = table.wants(Pace::Fast, FAST_THREADS);
        drop(table);
        match claim {
            Claim::Known(on_done, verdict) => on_done(verdict.map_err(PrepareError::from)),
            Claim::Full(on_done) => {
                on_done(Err(PrepareError::Host("too many modules wait to be compiled".into())));
            }
            Claim::Queued => {
                shared.queued.notify_all();
                if start {
                    Shared::spawn(shared, Pace::Fast);
                }
            }
        }
    }

    /// The program's optimised code, compiled on this thread unless it is known or being compiled. `read` is called at
    /// most once.
    ///
    /// # Errors
    /// See [`PrepareError`]. Refusals are remembered, failed reads are not.
    pub fn code(
        &self,
        program: &Program,
        read: impl FnOnce() -> io::Result<Bytes>,
    ) -> Result<Arc<Code>, PrepareError> {
        let shared = &self.0.0;
        shared.config.check_length(program.module_bytes)?;
        let module_key = module_key(program);
        let mut table = shared.table();
        while !table.claim(module_key) {
            if let Some(verdict) = table.get_best(module_key) {
                return verdict.map_err(PrepareError::from);
            }
            table = shared.answered.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        drop(table);
        let result = caught(|| CompilerThread::new(shared, Pace::Fast).optimised(module_key, 0, read));
        shared.answer(module_key, &result);
        result
    }

    /// Counters and current state.
    #[must_use]
    pub fn status(&self) -> CompilerStatus {
        self.0.0.table().status()
    }
}

fn module_key(program: &Program) -> ModuleKey {
    (program.module, EngineKey::of(program))
}

/// Opens the cache on disk; `None` if the disk is full, which costs time and fails no task.
fn open_disk(dir: &Path, generation: &str, most_bytes: u64) -> Result<Option<DiskCache>, SandboxError> {
    match DiskCache::open(dir, generation, most_bytes) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            tracing::warn!(
                "compiled modules are not kept on disk until the next start: {}: {error}",
                dir.display()
            );
            Ok(None)
        }
        Err(error) => {
            let named = format!("{}: {error}; check the directory's owner and mode", dir.display());
            Err(SandboxError::Cache(io::Error::new(error.kind(), named)))
        }
    }
}
