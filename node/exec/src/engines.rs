//! The wasmtime engines that run guests, each with its linkers. There are several, because two settings of a program
//! (canonical NaNs and fuel) and the compiler change the compiled code. All but the plain one are created on first use.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{Engine, Linker, Store};

use crate::component;
use crate::engine_config::{pooled, swap_is_empty};
use crate::guest::Guest;
use crate::make::{EngineKey, Interrupt, Make, Tier};
use crate::wasi;

/// One engine with its linkers.
pub(crate) struct Lane {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    /// Created for the first component.
    components: OnceLock<component::Linker<Guest>>,
    /// Every import that the linker can satisfy, as (module, name).
    pub(crate) offers: BTreeSet<(String, String)>,
}

impl Lane {
    /// The linker for components, with everything that they may import.
    pub(crate) fn components(&self) -> wasmtime::Result<&component::Linker<Guest>> {
        if let Some(linker) = self.components.get() {
            return Ok(linker);
        }
        let linker = component::linker(&self.engine)?;
        Ok(self.components.get_or_init(|| linker))
    }
}

/// All engines of a sandbox.
pub(crate) struct Engines {
    slots: u32,
    interrupt: Interrupt,
    /// Whether freed instances keep their pages, and wasmtime resets only the dirty ones.
    scan: bool,
    lanes: Mutex<Vec<(Make, Arc<Lane>)>>,
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engines")
            .field("slots", &self.slots)
            .field("scan", &self.scan)
            .finish_non_exhaustive()
    }
}

impl Engines {
    /// Creates the plain engine at once, so that settings that this machine refuses are an error here.
    pub(crate) fn new(slots: u32, interrupt: Interrupt) -> wasmtime::Result<Self> {
        let plain = Make { key: EngineKey::PLAIN, interrupt, tier: Tier::Optimised };
        let scan = swap_is_empty() && Engine::new(&pooled(plain, 1, true)).is_ok();
        let engines = Self { slots, interrupt, scan, lanes: Mutex::new(Vec::new()) };
        engines.lane(plain.key, plain.tier)?;
        Ok(engines)
    }

    /// Whether resetting a freed instance relies on the machine having no swap.
    pub(crate) fn scans(&self) -> bool {
        self.scan
    }

    /// How guests of these engines are ended.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt
    }

    /// The engine for this key, created on first use.
    pub(crate) fn lane(&self, key: EngineKey, tier: Tier) -> wasmtime::Result<Arc<Lane>> {
        let make = Make { key, interrupt: self.interrupt, tier };
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, lane)) = lanes.iter().find(|(has, _)| *has == make) {
            return Ok(Arc::clone(lane));
        }
        let lane = Arc::new(lane(Engine::new(&pooled(make, self.slots, self.scan))?)?);
        lanes.push((make, Arc::clone(&lane)));
        Ok(lane)
    }

    /// Creates every engine that code can be compiled for.
    pub(crate) fn make_all(&self) -> wasmtime::Result<()> {
        for key in EngineKey::ALL {
            self.lane(key, Tier::Optimised)?;
            let baseline = Make { key, interrupt: self.interrupt, tier: Tier::Baseline };
            // Without the compiler there is no such code.
            if baseline.has_baseline() && baseline.compiler().is_ok() {
                self.lane(key, Tier::Baseline)?;
            }
        }
        Ok(())
    }

    /// Advances the epoch: every running guest checks its time limit and its `Stop`.
    pub(crate) fn increment_epochs(&self) {
        for (_, lane) in self.lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            lane.engine.increment_epoch();
        }
    }
}

fn lane(engine: Engine) -> wasmtime::Result<Lane> {
    let linker = wasi::linker(&engine)?;
    let mut store = Store::new(&engine, Guest::idle());
    // The store only lists the names; its epoch deadline must never be reached.
    store.set_epoch_deadline(u64::MAX / 2);
    let offers =
        linker.iter(&mut store).map(|(module, name, _)| (module.to_owned(), name.to_owned())).collect();
    drop(store);
    Ok(Lane { engine, linker, components: OnceLock::new(), offers })
}
