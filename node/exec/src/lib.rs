//! Runs untrusted WebAssembly tasks in wasmtime. The only crate that depends on wasmtime.
//!
//! A run has its input, its arguments, its environment and a file system in memory. It has no file of the host, no
//! network, and in the pure profiles no real clock and no real randomness. Every attempt gets a fresh store and
//! instance, dropped right after it; no state outlives a call. The crate makes no decision about the mesh, knows no
//! peer, and stores no blobs: the node provides bytes through [`BlobAccess`] and drives the slots through [`Pool`].
//!
//! ```text
//!   Pool (slots, FIFO) --> Compiler       (once: memory, then disk, then baseline, then optimised) --> Code
//!                      |-> Sandbox::load  (maps the code, links it) --> Prepared
//!                      '-> Sandbox::run   (store, instance, call) --> Finished --> Report
//! ```
//!
//! Known pitfalls of wasmtime:
//! - Its page-map scan does not reset dirty pages that were swapped out. So the scan is off on machines with swap, and
//!   a slot process ends within 2 ms of running (one tick) when swap is added (`slot/swap.rs`). Slot threads can't do
//!   that: a program that embeds a node must not be given swap while it runs.
//! - The host functions of wasmtime-wasi start a tokio runtime and sleep where no epoch can interrupt them, so only its
//!   generated traits are used (`wasi`, `component`).
//! - It maps modules from a file but copies components. Without multiple memories, adapters of components make it
//!   panic.
//! - Frames of baseline code are larger, so its stack is larger: a recursion that is slightly too deep for optimised
//!   code may succeed on baseline code, and that result is cached.

#[expect(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    reason = "shared with the guests' crate"
)]
#[path = "../../../sdk/guest/src/abi.rs"]
mod abi;
mod cache;
mod code;
mod compile;
mod component;
mod cpu;
mod disk;
mod end;
mod engine_config;
mod engines;
mod error;
mod function;
mod guest;
mod imports;
mod make;
mod module;
mod os;
mod outcome;
mod parcel;
mod pool;
mod run;
mod sandbox;
mod sink;
#[cfg(target_os = "linux")]
mod slot;
mod stop;
mod text;
mod ticker;
mod vfs;
mod wasi;
mod world;

pub use code::{Code, CodeInfo, Kind};
pub use compile::bounds::Bounds;
#[cfg(target_os = "linux")]
pub use compile::child::compile_main;
pub use compile::{Allowance, Compiler, CompilerConfig, CompilerStatus, How, OnDone, Read};
pub use error::{PrepareError, SandboxError};
pub use make::{EngineKey, Interrupt, Make, Tier};
pub use module::Prepared;
pub use parcel::tail_of_files;
pub use pool::{BlobAccess, Pool, PoolConfig, PoolEvent, PoolStatus, QUEUE_MAX, Slots};
pub use run::{Finished, Given};
pub use sandbox::{Sandbox, SandboxConfig};
pub use sink::Printer;
#[cfg(target_os = "linux")]
pub use slot::{Confinement, Fence, slot_main, try_escape};
pub use stop::Stop;

/// Longest module that is compiled unless a node is configured otherwise, in bytes. A longer one ends as
/// `LimitExceeded`. Compiling takes about 1.4 s for each MiB on one core, and can't be interrupted in this process.
pub const MODULE_BYTES_MAX: u64 = 64 << 20;
/// Most elements of one table of a guest.
pub const TABLE_ELEMENTS_MAX: usize = 65_536;
