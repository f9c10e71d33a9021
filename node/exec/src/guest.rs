//! What a store holds for one run: its bounds, its view of the world, and why it was ended. Nothing here outlives
//! the run.

use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime_wasi::p1::WasiP1Ctx;
use weft_core::{Limit, Profile, TaskId};

use crate::TABLE_ELEMENTS_MAX;
use crate::component::Desk;
use crate::engines::INSTANCES_PER_COMPONENT;
use crate::stop::{Stop, Watch};
use crate::vfs::Vfs;

/// Why a run was ended from outside the guest's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody raised its `Stop`.
    Cancelled,
    /// It reached a bound.
    Limit(Limit),
    /// It called `proc_exit`.
    Exit(i32),
    /// The host could not give what it owes.
    Host(String),
}

/// The data of a store.
pub(crate) struct Guest {
    /// Only for modules that import WASI: building it costs a tenth of a small task.
    pub(crate) wasi: Option<WasiP1Ctx>,
    /// Only for components.
    pub(crate) desk: Option<Box<Desk>>,
    pub(crate) files: Option<Vfs>,
    pub(crate) watch: Watch,
    pub(crate) world: World,
    pub(crate) bounds: Bounds,
    end: Option<End>,
}

impl Guest {
    pub(crate) fn new(wasi: Option<WasiP1Ctx>, watch: Watch, world: World, bounds: Bounds) -> Self {
        Self { wasi, desk: None, files: None, watch, world, bounds, end: None }
    }

    /// A guest that never runs.
    pub(crate) fn idle() -> Self {
        let watch = Watch::new(Stop::new(), 0, Instant::now());
        Self::new(None, watch, World::new(Profile::Pure, TaskId([0; 32])), Bounds::new(0, 0))
    }

    /// The guest's file system, and the time of a change to it now.
    pub(crate) fn vfs(&mut self) -> Result<(&mut Vfs, u64), End> {
        let now_ns = self.world.wall_ns();
        if self.files.is_none() {
            let vfs = Vfs::new(&bytes::Bytes::new(), &weft_core::Limits::DEFAULT, now_ns);
            self.files = Some(vfs.map_err(|text| End::Limit(Limit::Other(text)))?);
        }
        Ok((self.files.as_mut().expect("made above"), now_ns))
    }

    /// Counts what the guest's files hold now as its memory.
    #[expect(clippy::unnecessary_wraps, reason = "stand-in")]
    pub(crate) fn count_files(&mut self) -> Result<(), End> {
        Ok(())
    }

    /// Notes why the run ends; the error only unwinds the guest. The first reason stays.
    pub(crate) fn end(&mut self, end: End) -> wasmtime::Error {
        self.end.get_or_insert(end);
        wasmtime::Error::msg("the run was ended")
    }

    /// Why the run was ended, if it was.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        self.end.take().or_else(|| self.bounds.end.take())
    }
}

/// What a guest may see of the real world.
pub(crate) enum World {
    /// A clock that starts at the same instant for every task and advances by one microsecond per reading, and
    /// randomness that follows from the task's name.
    Virtual {
        /// Nanoseconds since the task's start.
        clock_ns: u64,
        /// The seed.
        task: TaskId,
        /// Made at the first use.
        random: Option<Box<blake3::OutputReader>>,
    },
    /// The real clock, counted from here, and the real randomness.
    Real {
        /// The run's start.
        started: Instant,
    },
}

impl World {
    pub(crate) fn new(profile: Profile, task: TaskId) -> Self {
        match profile {
            Profile::Pure | Profile::Portable => Self::Virtual { clock_ns: 0, task, random: None },
            Profile::Impure => Self::Real { started: Instant::now() },
        }
    }

    /// Fills `bytes` with randomness.
    ///
    /// # Errors
    /// When the system has none.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match self {
            Self::Virtual { task, random, .. } => {
                random.get_or_insert_with(|| Box::new(seeded(*task))).fill(bytes);
                Ok(())
            }
            Self::Real { .. } => getrandom::fill(bytes),
        }
    }
}

fn seeded(task: TaskId) -> blake3::OutputReader {
    let mut hasher = blake3::Hasher::new_derive_key("weft 2026 task randomness v1");
    hasher.update(&task.0);
    hasher.finalize_xof()
}

/// Memory and tables of one run.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The task's own limit.
    limit_bytes: u64,
    /// What this node gives any task.
    node_bytes: u64,
    /// All memories together, now; they never shrink.
    pub(crate) memory_bytes: u64,
    end: Option<End>,
}

impl Bounds {
    pub(crate) fn new(limit_bytes: u64, node_bytes: u64) -> Self {
        Self { limit_bytes, node_bytes, memory_bytes: 0, end: None }
    }

    fn end(&mut self, end: End) -> wasmtime::Error {
        self.end.get_or_insert(end);
        wasmtime::Error::msg("the run was ended")
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own maximum: growing fails as the specification says, and the guest may live with that.
            return Ok(false);
        }
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let asked_bytes = self.memory_bytes.saturating_add(more);
        if asked_bytes > self.limit_bytes {
            let limit_bytes = self.limit_bytes;
            return Err(self.end(End::Limit(Limit::Memory { asked_bytes, limit_bytes })));
        }
        if asked_bytes > self.node_bytes {
            let text = format!(
                "the task asked for {asked_bytes} bytes of memory, this node gives {}",
                self.node_bytes
            );
            return Err(self.end(End::Host(text)));
        }
        self.memory_bytes = asked_bytes;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Only an error of the system is the host's; the others are growth beyond what the module declared.
        if error.downcast_ref::<std::io::Error>().is_some() {
            return Err(self.end(End::Host(format!("no memory: {error:#}"))));
        }
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired > TABLE_ELEMENTS_MAX {
            let text = format!("table: asked for {desired} elements, the limit is {TABLE_ELEMENTS_MAX}");
            return Err(self.end(End::Limit(Limit::Other(text))));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        // A core module is one; a component's number was checked when it was compiled.
        INSTANCES_PER_COMPONENT as usize
    }
}
