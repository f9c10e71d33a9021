//! State that [`super::Compiler`] and its threads share: settings, caches, queues, and the engines that compile. It
//! starts no thread and compiles nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use wasmtime::Engine;

use super::job::ModuleKey;
use super::module_table::ModuleTable;
use super::settings::CompilerConfig;
use crate::code::Code;
use crate::disk::DiskCache;
use crate::engine_config::fingerprint;
use crate::error::PrepareError;
use crate::make::{EngineKey, Make, Tier};
use crate::text::{panic_text, words};

pub(super) struct Shared {
    pub(super) config: CompilerConfig,
    pub(super) disk: Option<DiskCache>,
    pub(super) engines: Mutex<Vec<(Make, Arc<CompilerEngine>)>>,
    pub(super) table: Mutex<ModuleTable>,
    /// Notified when a module is queued, or when the threads must end.
    pub(super) queued: Condvar,
    /// Notified when the result of a module is known.
    pub(super) answered: Condvar,
}

/// An engine that compiles, and its fingerprint.
pub(super) struct CompilerEngine {
    pub(super) engine: Engine,
    pub(super) fingerprint: String,
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, ModuleTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes the result to all callers that asked for it.
    pub(super) fn answer(&self, module_key: ModuleKey, result: &Result<Arc<Code>, PrepareError>) {
        let heard = self.table().answer(module_key, result);
        self.answered.notify_all();
        for on_done in heard {
            let theirs = result.as_ref().map(Arc::clone).map_err(PrepareError::again);
            // A callback that panics must not cost the others their result, nor the module its optimised code.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_done(theirs))) {
                tracing::error!(panic = panic_text(panic.as_ref()), "the callback of a request panicked");
            }
        }
    }

    pub(super) fn engine(
        &self,
        key: EngineKey,
        tier: Tier,
    ) -> Result<(Make, Arc<CompilerEngine>), PrepareError> {
        let make = Make { key, interrupt: self.config.interrupt, tier };
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = engines.iter().find(|(has, _)| *has == make) {
            return Ok((make, Arc::clone(engine)));
        }
        let engine = make.compiler().map_err(|error| PrepareError::Engine(words(&error)))?;
        let engine = Arc::new(CompilerEngine { fingerprint: fingerprint(&engine), engine });
        engines.push((make, Arc::clone(&engine)));
        Ok((make, engine))
    }
}
