//! The settings of the wasmtime engines, each justified. The engines that compile have the same settings as those that
//! run guests, and no pool of instances.

use std::hash::{Hash, Hasher};

use wasmtime::{
    Collector, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
};

use crate::make::{Interrupt, Make, Tier};

/// Instances beyond one for each slot, for callers of `Sandbox::run` outside of the pool.
const SPARE_INSTANCES: u32 = 16;
/// Tables that one module may have. LLVM emits one; hand-written modules a few.
const TABLES_PER_MODULE: u32 = 4;
/// Instances of core modules that one component may have: componentize-py makes one for each native library.
pub(crate) const INSTANCES_PER_COMPONENT: u32 = 128;
/// Memories that one component or module may have; a component has one for each program it is composed of.
const MEMORIES_PER_COMPONENT: u32 = 8;
/// Tables that one component may have.
const TABLES_PER_COMPONENT: u32 = 32;
/// Stack of a guest, in bytes: twice wasmtime's default, for interpreters that recurse. The stacks of the slot threads
/// are larger.
const WASM_STACK_BYTES: usize = 1 << 20;
/// Stack of a guest on baseline code, in bytes. Its frames are larger: a recursion that fits optimised code should not
/// overflow here.
const BASELINE_STACK_BYTES: usize = 4 << 20;
/// Elements of a table that the pool has room for. The bound of a run is lower and gives a better error.
const POOL_TABLE_ELEMENTS: usize = 1 << 20;
/// Memory for the data of one instance, in bytes; it grows with the number of functions in tables.
const INSTANCE_BYTES: usize = 4 << 20;

impl Make {
    /// An engine that compiles code of this make and runs none.
    ///
    /// # Errors
    /// When the compiler does not support this processor.
    pub(crate) fn compiler(self) -> wasmtime::Result<Engine> {
        Engine::new(&config(self))
    }
}

/// The settings of an engine that runs guests.
pub(crate) fn pooled(make: Make, slots: u32, scan: bool) -> Config {
    let mut config = config(make);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(slots, scan)));
    config
}

/// The settings that decide how code is compiled, and those that depend on them.
fn config(make: Make) -> Config {
    let Make { key, interrupt, tier } = make;
    let mut config = Config::new();
    config.strategy(match tier {
        Tier::Baseline => Strategy::Winch,
        Tier::Optimised => Strategy::Cranelift,
    });
    // On a thread, the time limit and `Stop` must be able to interrupt any loop.
    config.epoch_interruption(match interrupt {
        Interrupt::Epochs => true,
        Interrupt::Kill => false,
    });
    config.consume_fuel(key.metered);
    config.cranelift_nan_canonicalization(key.portable);
    // Results must be the same bytes on every processor.
    config.relaxed_simd_deterministic(true);
    // The guest ABI and WASI preview 1 use 32-bit words. `compile/proposals.rs` lists what else is off, and why.
    config.wasm_memory64(false);
    // Adapters between the programs of a component access the memories of both.
    config.wasm_multi_memory(true);
    // Set explicitly: a new default of the runtime must not change when a task reaches its memory limit. Exceptions and
    // references need a collector; a run that uses neither allocates no heap.
    config.collector(Collector::Copying);
    let stack_bytes = match tier {
        Tier::Baseline => BASELINE_STACK_BYTES,
        Tier::Optimised => WASM_STACK_BYTES,
    };
    // wasmtime requires that the asynchronous stack is not smaller, although nothing runs on it.
    config.max_wasm_stack(stack_bytes).async_stack_size(2 * stack_bytes);
    // Backtraces of guests are not used, and collecting one costs more than a small task.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config
}

/// Pooling with copy-on-write: 5 to 25 times cheaper for a small task than a new mapping. Memories may grow to 4 GiB,
/// the most of a 32-bit memory, so that the run's own limiter refuses first.
fn pool(slots: u32, scan: bool) -> PoolingAllocationConfig {
    let instances = slots.saturating_add(SPARE_INSTANCES);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(INSTANCES_PER_COMPONENT))
        // The heap of garbage-collected objects is a memory as well, one for each run.
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

/// Whether this machine has no swap. The scan finds pages that are present: a dirty page that was swapped out would not
/// be reset, and the next guest could read its predecessor's bytes (wasmtime pull request 14357). A slot process checks
/// that no swap is added (`slot/swap.rs`); a program that embeds slot threads must not be given swap later.
pub(crate) fn swap_is_empty() -> bool {
    std::fs::read_to_string(SWAPS).is_ok_and(|swaps| !lists_swap(&swaps))
}

/// Where Linux lists its swap.
pub(crate) const SWAPS: &str = "/proc/swaps";

/// Whether the contents of [`SWAPS`], which begin with a line of headings, name any swap.
pub(crate) fn lists_swap(list: &str) -> bool {
    list.lines().count() > 1
}

/// A name for the engine's version and all settings that compiled code depends on: 16 hexadecimal digits.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = Digest(blake3::Hasher::new_derive_key("weft 2026 engine fingerprint v1"));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut text = hasher.0.finalize().to_hex().to_string();
    text.truncate(16);
    text
}

/// `std::hash` with BLAKE3, because the standard hasher may give another value after a restart.
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
