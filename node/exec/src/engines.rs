//! The wasmtime engines and their settings, each justified. There are several, because two of a task's wishes change
//! the compiled code, canonical NaNs and fuel, and so does the compiler that made it. All but the plain one are made
//! when first needed. The engines that compile have the same settings and no pool of instances.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{
    Collector, Config, Enabled, Engine, InstanceAllocationStrategy, Linker, PoolingAllocationConfig, Store,
    Strategy,
};
use weft_core::{Profile, Program};

use crate::code::Tier;
use crate::component;
use crate::guest::Guest;
use crate::wasi;

/// Runs that may be under way beyond the slots: callers of `Sandbox::run` outside the pool.
const SPARE_INSTANCES: u32 = 16;
/// Tables that one module may have. LLVM emits one; hand-written modules a few.
const TABLES_PER_MODULE: u32 = 4;
/// Core modules' instances that one component may have: componentize-py makes one per native library.
pub(crate) const INSTANCES_PER_COMPONENT: u32 = 128;
/// Memories that one component or module may have: one for each program that it was composed of.
const MEMORIES_PER_COMPONENT: u32 = 8;
/// Tables that one component may have.
const TABLES_PER_COMPONENT: u32 = 32;
/// Guest stack. Twice wasmtime's default, for interpreters that recurse; the slot threads' own stacks are larger.
const WASM_STACK_BYTES: usize = 1 << 20;
/// The same for code of the baseline compiler, whose frames are larger: no program that fits into the other's stack
/// should overflow because it came first.
const BASELINE_STACK_BYTES: usize = 4 << 20;
/// Where the pool itself ends a table. The run's own bound is lower and has a better answer.
const POOL_TABLE_ELEMENTS: usize = 1 << 20;
/// Room for one instance's own data, which grows with the number of functions in tables.
const INSTANCE_BYTES: usize = 4 << 20;

/// Which engine a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct EngineKey {
    /// Canonical NaNs: up to three times slower on float-heavy code.
    pub portable: bool,
    /// Counts fuel.
    pub metered: bool,
}

/// How a guest that runs too long is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Interrupt {
    /// It looks at an epoch in every loop: for guests on threads.
    Epochs,
    /// Its process is killed: nothing is added to its code.
    Kill,
}

/// All that decides how code is compiled: code of one make runs in the engine of the same make only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct Make {
    /// What the program wishes.
    pub key: EngineKey,
    /// How its guests are ended.
    pub interrupt: Interrupt,
    /// Which compiler.
    pub tier: Tier,
}

impl Make {
    /// An engine that compiles to this make and runs nothing.
    ///
    /// # Errors
    /// When there is no such compiler for this processor.
    pub(crate) fn compiler(self) -> wasmtime::Result<Engine> {
        Engine::new(&config(self))
    }

    /// Whether the baseline compiler may stand in until the optimised code is there. It has no canonical NaNs, and its
    /// fuel need not be counted as the other's is, to the last unit.
    pub(crate) fn has_baseline(self) -> bool {
        !self.key.portable && !self.key.metered
    }
}

impl EngineKey {
    pub(crate) fn of(program: &Program) -> Self {
        let portable = match program.profile {
            Profile::Portable => true,
            Profile::Pure | Profile::Impure => false,
        };
        Self { portable, metered: program.limits.fuel.is_some() }
    }

    pub(crate) const ALL: [Self; 4] = [
        Self { portable: false, metered: false },
        Self { portable: false, metered: true },
        Self { portable: true, metered: false },
        Self { portable: true, metered: true },
    ];

    pub(crate) const PLAIN: Self = Self { portable: false, metered: false };
}

/// One engine and what belongs to it.
pub(crate) struct Lane {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    /// Made for the first component.
    components: OnceLock<component::Linker<Guest>>,
    /// Every import that the linker can satisfy, as (module, name).
    pub(crate) offers: BTreeSet<(String, String)>,
}

impl Lane {
    /// All that a component may import.
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
    /// Whether freed slots may keep their pages and have only the dirty ones reset.
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
    /// Makes the plain engine, so that settings which this machine refuses are known at once.
    pub(crate) fn new(slots: u32, interrupt: Interrupt) -> wasmtime::Result<Self> {
        let plain = Make { key: EngineKey::PLAIN, interrupt, tier: Tier::Optimised };
        let scan = swap_is_empty() && Engine::new(&pooled(plain, 1, true)).is_ok();
        let engines = Self { slots, interrupt, scan, lanes: Mutex::new(Vec::new()) };
        engines.lane(plain.key, plain.tier)?;
        Ok(engines)
    }

    /// Whether the reset of a freed slot relies on there being no swap.
    pub(crate) fn scans(&self) -> bool {
        self.scan
    }

    /// How its guests are ended.
    pub(crate) fn interrupt(&self) -> Interrupt {
        self.interrupt
    }

    /// The engine for this key, made when first asked for.
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

    /// Makes all engines that code may be for.
    pub(crate) fn make_all(&self) -> wasmtime::Result<()> {
        for key in EngineKey::ALL {
            self.lane(key, Tier::Optimised)?;
            let baseline = Make { key, interrupt: self.interrupt, tier: Tier::Baseline };
            // Where there is no such compiler there is no such code.
            if baseline.has_baseline() && baseline.compiler().is_ok() {
                self.lane(key, Tier::Baseline)?;
            }
        }
        Ok(())
    }

    /// One tick: every running guest looks at its watch.
    pub(crate) fn increment_epochs(&self) {
        for (_, lane) in self.lanes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            lane.engine.increment_epoch();
        }
    }
}

fn lane(engine: Engine) -> wasmtime::Result<Lane> {
    let linker = wasi::linker(&engine)?;
    let mut store = Store::new(&engine, Guest::idle());
    // The store was made only to list the names; it must not be dropped by the epoch's deadline.
    store.set_epoch_deadline(u64::MAX / 2);
    let offers =
        linker.iter(&mut store).map(|(module, name, _)| (module.to_owned(), name.to_owned())).collect();
    drop(store);
    Ok(Lane { engine, linker, components: OnceLock::new(), offers })
}

/// The settings of an engine that runs guests.
fn pooled(make: Make, slots: u32, scan: bool) -> Config {
    let mut config = config(make);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, scan)));
    config
}

/// The settings that decide what code is made, and those that go with it.
fn config(make: Make) -> Config {
    let Make { key, interrupt, tier } = make;
    let mut config = Config::new();
    config.strategy(match tier {
        Tier::Baseline => Strategy::Winch,
        Tier::Optimised => Strategy::Cranelift,
    });
    // On a thread, the wall limit and `Stop` need to interrupt any loop.
    config.epoch_interruption(match interrupt {
        Interrupt::Epochs => true,
        Interrupt::Kill => false,
    });
    config.consume_fuel(key.metered);
    config.cranelift_nan_canonicalization(key.portable);
    // The same bytes on every processor.
    config.relaxed_simd_deterministic(true);
    // The guest ABI and WASI preview 1 are 32-bit words. `compile/proposals.rs` says what else is off, and why.
    config.wasm_memory64(false);
    // What joins two programs of one component reaches the memories of both.
    config.wasm_multi_memory(true);
    // Named, so that a new default of the runtime does not change when a task reaches its memory limit. Exceptions and
    // references need it too; a run that uses none of them never gets a heap.
    config.collector(Collector::Copying);
    let stack_bytes = match tier {
        Tier::Baseline => BASELINE_STACK_BYTES,
        Tier::Optimised => WASM_STACK_BYTES,
    };
    // Nothing runs on an asynchronous stack, but it must not be the smaller one.
    config.max_wasm_stack(stack_bytes).async_stack_size(2 * stack_bytes);
    // Nobody reads a guest's backtrace, and collecting it costs more than a small task.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config
}

/// Pooling with copy-on-write: five to twenty-five times cheaper per small task than mapping afresh. The memory's
/// size is left at what a 32-bit memory can have, so that the run's own limiter is the one that refuses.
fn pool(slots: u32, scan: bool) -> PoolingAllocationConfig {
    let instances = slots.saturating_add(SPARE_INSTANCES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(INSTANCES_PER_COMPONENT))
        // The heap of collected objects is a memory too, one a run.
        .total_memories(instances.saturating_mul(MEMORIES_PER_COMPONENT + 1))
        .total_gc_heaps(instances)
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_BYTES)
        .total_stacks(1)
        .max_tables_per_module(TABLES_PER_MODULE)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_memory_size(1 << 32)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(POOL_TABLE_ELEMENTS)
        .max_unused_warm_slots(slots.max(1));
    let resident = if scan { 1 << 20 } else { 64 << 10 };
    pool.linear_memory_keep_resident(resident).table_keep_resident(resident);
    pool.pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

/// Whether this system has no swap. The scan asks for pages that are present: a dirty page that was swapped out is
/// not reset, and the next guest of that slot could read its predecessor's bytes (wasmtime pull request 14357). A slot's
/// process watches that it stays so (`slot/swap.rs`); a program that embeds slot threads must not be given swap later.
fn swap_is_empty() -> bool {
    std::fs::read_to_string(SWAPS).is_ok_and(|swaps| !lists_swap(&swaps))
}

/// Where the system lists its swap.
pub(crate) const SWAPS: &str = "/proc/swaps";

/// Whether that list, which has one line of headings, names any.
pub(crate) fn lists_swap(list: &str) -> bool {
    list.lines().count() > 1
}

/// Names the engine's version and all settings that its code depends on, 16 hexadecimal digits.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Digest(blake3::Hasher::new_derive_key("weft 2026 engine fingerprint v1"));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut text = hasher.0.finalize().to_hex().to_string();
    text.truncate(16);
    text
}

/// `std::hash` into BLAKE3, because the standard hasher's answer may differ between two starts.
struct Digest(blake3::Hasher);

impl Hasher for Digest {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
