//! Prepared modules in memory. Each is prepared once, however many threads ask for it; the least recently used are
//! evicted. A module that can't be prepared is remembered as well, so that a job with a million such tasks is answered
//! at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use weft_core::BlobId;

use crate::error::Refusal;
use crate::make::{EngineKey, Tier};
use crate::module::Prepared;

/// Most modules in the cache.
const MODULES_MAX: usize = 256;
/// Most bytes of compiled code in the cache; a single module may exceed it.
const CODE_BYTES_MAX: u64 = 1 << 30;

/// The key of a prepared module: its hash, engine and compiler.
pub(crate) type Key = (BlobId, EngineKey, Tier);

/// The result for a module: prepared, or refused.
pub(crate) type Verdict = Result<Arc<Prepared>, Refusal>;

/// A cell for the result of one module. The holder of `making` must set it.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    verdict: OnceLock<Verdict>,
    making: Mutex<()>,
}

impl Cell {
    /// The result, if it is known.
    pub(crate) fn get(&self) -> Option<Verdict> {
        self.verdict.get().cloned()
    }

    /// Locks the cell for preparing. A caller that waited for the lock must check first whether the result was set
    /// meanwhile.
    pub(crate) fn make(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the result; the first one is kept.
    pub(crate) fn set(&self, verdict: &Verdict) {
        self.verdict.get_or_init(|| verdict.clone());
    }
}

/// Prepared modules by hash, engine and compiler.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Key, Entry>,
    uses: u64,
    code_bytes: u64,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<Cell>,
    used: u64,
    code_bytes: u64,
}

impl Cache {
    /// The cell for this module.
    pub(crate) fn cell(&self, key: Key) -> Arc<Cell> {
        let mut entries = self.lock();
        entries.uses += 1;
        let used = entries.uses;
        if let Some(entry) = entries.by_key.get_mut(&key) {
            entry.used = used;
            return Arc::clone(&entry.cell);
        }
        let cell = Arc::new(Cell::default());
        entries.by_key.insert(key, Entry { cell: Arc::clone(&cell), used, code_bytes: 0 });
        entries.trim();
        cell
    }

    /// Records the length of a module's code, in bytes.
    pub(crate) fn weigh(&self, key: Key, code_bytes: u64) {
        let mut entries = self.lock();
        let Some(entry) = entries.by_key.get_mut(&key) else { return };
        let before = std::mem::replace(&mut entry.code_bytes, code_bytes);
        entries.code_bytes = entries.code_bytes - before + code_bytes;
        entries.trim();
    }

    /// Whether this module would run without compiling or loading, on any engine.
    pub(crate) fn is_warm(&self, id: BlobId) -> bool {
        let entries = self.lock();
        let tiers = [Tier::Baseline, Tier::Optimised];
        let keys = EngineKey::ALL.iter().flat_map(|key| tiers.map(|tier| (id, *key, tier)));
        keys.filter_map(|key| entries.by_key.get(&key)).any(|entry| {
            // A refused module is not warm.
            entry.cell.get().is_some_and(|verdict| verdict.is_ok())
        })
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn trim(&mut self) {
        while self.by_key.len() > MODULES_MAX || (self.code_bytes > CODE_BYTES_MAX && self.by_key.len() > 1) {
            let oldest = self.by_key.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(entry) = oldest.and_then(|key| self.by_key.remove(&key)) else { return };
            self.code_bytes -= entry.code_bytes;
        }
    }
}
