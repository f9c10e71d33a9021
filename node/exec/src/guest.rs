//! The state that a wasmtime store holds for one run: bounds on its memory, clocks and randomness, the file system, and
//! why the run was ended. It is dropped with the run.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::ResourceLimiter;
use weft_core::{Limit, Limits, Profile, TaskId};

use crate::TABLE_ELEMENTS_MAX;
use crate::component::state::ComponentState;
use crate::end::End;
use crate::engine_config::INSTANCES_PER_COMPONENT;
use crate::stop::{Stop, Watch};
use crate::vfs::{Files, Vfs};
use crate::wasi::state::Wasi;
use crate::world::World;

/// The data of a store.
pub(crate) struct Guest {
    /// Only for modules that import WASI: building it costs a tenth of a small task.
    pub(crate) wasi: Option<Wasi>,
    /// Only for components.
    pub(crate) component: Option<Box<ComponentState>>,
    /// Its file system, created on first use.
    pub(crate) files: Files,
    pub(crate) watch: Watch,
    pub(crate) world: World,
    pub(crate) bounds: Bounds,
    end: Option<End>,
}

impl Guest {
    pub(crate) fn new(files: Files, watch: Watch, world: World, bounds: Bounds) -> Self {
        Self { wasi: None, component: None, files, watch, world, bounds, end: None }
    }

    /// For a store in which nothing runs.
    pub(crate) fn idle() -> Self {
        let watch = Watch::new(Stop::new(), 0, Instant::now());
        let files = Files::new(Bytes::new(), Limits::DEFAULT);
        Self::new(files, watch, World::new(Profile::Pure, TaskId([0; 32])), Bounds::new(0, 0))
    }

    /// Records why the run ends, and returns the error that unwinds the guest. The first reason is kept.
    pub(crate) fn end(&mut self, end: End) -> wasmtime::Error {
        self.end.get_or_insert(end);
        wasmtime::Error::msg("the run was ended")
    }

    /// The guest's file system, and the time for its timestamps, in nanoseconds since 1970.
    ///
    /// # Errors
    /// When the archive for `/in` is invalid; the run must end with this.
    pub(crate) fn vfs(&mut self) -> Result<(&mut Vfs, u64), End> {
        let now_ns = self.world.peek_wall_ns();
        let vfs = self.files.vfs(now_ns).map_err(|text| End::Limit(Limit::Other(text)))?;
        Ok((vfs, now_ns))
    }

    /// Charges the current size of the guest's files to its memory. Must be called after each change that may add
    /// bytes.
    ///
    /// # Errors
    /// When memory and files together exceed what this node gives a task; the run must end with this.
    pub(crate) fn count_files(&mut self) -> Result<(), End> {
        self.bounds.count_files(self.files.used_bytes())
    }

    /// Sleeps for the guest. A virtual clock is advanced instead, which takes no time.
    ///
    /// # Errors
    /// When the run must end.
    pub(crate) fn sleep(&mut self, sleep_ns: u64) -> Result<(), End> {
        match &self.world {
            World::Virtual { .. } => {
                self.world.advance(sleep_ns);
                Ok(())
            }
            World::Real { .. } => self.watch.sleep(Duration::from_nanos(sleep_ns)),
        }
    }

    /// Takes the last growth of a memory or table that the task's own limit refused, unless memory grew later.
    pub(crate) fn take_refused(&mut self) -> Option<Limit> {
        self.bounds.refused.take()
    }

    /// Why the run was ended, if it was.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        self.end.take().or_else(|| self.bounds.end.take())
    }
}

/// Bounds on the memories and tables of one run. The heap of garbage-collected objects counts as a memory.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Limit of the task, in bytes.
    limit_bytes: u64,
    /// Limit of this node for any task, in bytes.
    node_bytes: u64,
    /// Current size of all memories, in bytes; they never shrink.
    pub(crate) memory_bytes: u64,
    /// Current size of its files, in bytes.
    files_bytes: u64,
    end: Option<End>,
    /// The last growth that the task's own limit refused, unless one succeeded later: the guest got an error and
    /// continued with less.
    refused: Option<Limit>,
}

impl Bounds {
    pub(crate) fn new(limit_bytes: u64, node_bytes: u64) -> Self {
        Self { limit_bytes, node_bytes, memory_bytes: 0, files_bytes: 0, end: None, refused: None }
    }

    fn count_files(&mut self, files_bytes: u64) -> Result<(), End> {
        self.files_bytes = files_bytes;
        let asked_bytes = self.memory_bytes.saturating_add(files_bytes);
        if asked_bytes > self.node_bytes { Err(self.too_much(asked_bytes)) } else { Ok(()) }
    }

    fn too_much(&self, asked_bytes: u64) -> End {
        let node_bytes = self.node_bytes;
        End::Host(format!("the task asked for {asked_bytes} bytes of memory, this node gives {node_bytes}"))
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
            // Beyond the module's own maximum: growing fails as the specification says, and the guest continues.
            return Ok(false);
        }
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let asked_bytes = self.memory_bytes.saturating_add(more);
        if asked_bytes > self.limit_bytes {
            // Growing fails as the specification says. Every node refuses it, so the result is the same everywhere.
            self.refused = Some(Limit::Memory { asked_bytes, limit_bytes: self.limit_bytes });
            return Ok(false);
        }
        let with_files = asked_bytes.saturating_add(self.files_bytes);
        if with_files > self.node_bytes {
            let end = self.too_much(with_files);
            return Err(self.end(end));
        }
        (self.memory_bytes, self.refused) = (asked_bytes, None);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Only an error of the operating system is the host's fault; the others are growth beyond the module's own
        // maximum.
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
            self.refused = Some(Limit::Other(text));
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        // A core module is one instance; those of a component were counted when it was compiled.
        INSTANCES_PER_COMPONENT as usize
    }
}
