//! What the front of the compiler and its threads share: the settings, the caches, the queue, and the engines that
//! compile. It starts no thread and compiles nothing.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use wasmtime::Engine;

use super::job::Spot;
use super::settings::CompilerConfig;
use super::shelf::Shelf;
use crate::code::Code;
use crate::disk::DiskCache;
use crate::engine_config::fingerprint;
use crate::error::PrepareError;
use crate::make::{EngineKey, Make, Tier};
use crate::text::words;

pub(super) struct Shared {
    pub(super) config: CompilerConfig,
    pub(super) disk: Option<DiskCache>,
    pub(super) makers: Mutex<Vec<(Make, Arc<Maker>)>>,
    pub(super) shelf: Mutex<Shelf>,
    /// Something was queued, or all must end.
    pub(super) queued: Condvar,
    /// A module was answered.
    pub(super) answered: Condvar,
}

/// An engine that compiles.
pub(super) struct Maker {
    pub(super) engine: Engine,
    pub(super) fingerprint: String,
}

impl Shared {
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who asked.
    pub(super) fn answer(&self, spot: Spot, result: &Result<Arc<Code>, PrepareError>) {
        let heard = self.shelf().answer(spot, result);
        self.answered.notify_all();
        for on_done in heard {
            on_done(result.as_ref().map(Arc::clone).map_err(PrepareError::again));
        }
    }

    pub(super) fn maker(&self, key: EngineKey, tier: Tier) -> Result<(Make, Arc<Maker>), PrepareError> {
        let make = Make { key, interrupt: self.config.interrupt, tier };
        let mut makers = self.makers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, maker)) = makers.iter().find(|(has, _)| *has == make) {
            return Ok((make, Arc::clone(maker)));
        }
        let engine = make.compiler().map_err(|error| PrepareError::Engine(words(&error)))?;
        let maker = Arc::new(Maker { fingerprint: fingerprint(&engine), engine });
        makers.push((make, Arc::clone(&maker)));
        Ok((make, maker))
    }
}
