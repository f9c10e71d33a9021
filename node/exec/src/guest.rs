//! What a store holds for one run: its bounds, its view of the world, and why it was ended. Nothing here outlives
//! the run.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::ResourceLimiter;
use weft_core::{Limit, Limits, Profile, TaskId};

use crate::TABLE_ELEMENTS_MAX;

use crate::end::End;
use crate::engine_config::INSTANCES_PER_COMPONENT;
use crate::stop::{Stop, Watch};
use crate::vfs::{Files, Vfs};

use crate::component::state::ComponentState;
use crate::wasi::state::Wasi;
use crate::world::World;

/// The data of a store.
pub(crate) struct Guest {
    /// Only for modules that import WASI: building it costs a tenth of a small task.
    pub(crate) wasi: Option<Wasi>,
    /// Only for components.
    pub(crate) component: Option<Box<ComponentState>>,
    /// Its file system, made at its first use.
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

    /// A guest that never runs.
    pub(crate) fn idle() -> Self {
        let watch = Watch::new(Stop::new(), 0, Instant::now());
        let files = Files::new(Bytes::new(), Limits::DEFAULT);
        Self::new(files, watch, World::new(Profile::Pure, TaskId([0; 32])), Bounds::new(0, 0))
    }

    /// Notes why the run ends; the error only unwinds the guest. The first reason stays.
    pub(crate) fn end(&mut self, end: End) -> wasmtime::Error {
        self.end.get_or_insert(end);
        wasmtime::Error::msg("the run was ended")
    }

    /// The guest's file system, and the time of a change to it now.
    ///
    /// # Errors
    /// When the archive for `/in` is not sound; the run must end with it.
    pub(crate) fn vfs(&mut self) -> Result<(&mut Vfs, u64), End> {
        let now_ns = self.world.peek_wall_ns();
        let vfs = self.files.vfs(now_ns).map_err(|text| End::Limit(Limit::Other(text)))?;
        Ok((vfs, now_ns))
    }

    /// Counts what the guest's files hold now as its memory. Due after every change that may have added to them.
    ///
    /// # Errors
    /// When this node gives a task less than that together; the run must end with it.
    pub(crate) fn count_files(&mut self) -> Result<(), End> {
        self.bounds.count_files(self.files.used_bytes())
    }

    /// Sleeps on the guest's behalf; on a virtual clock that takes no time.
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

    /// The last growth of memory or of a table that was refused for a bound of the task's.
    pub(crate) fn take_refused(&mut self) -> Option<Limit> {
        self.bounds.refused.take()
    }

    /// Why the run was ended, if it was.
    pub(crate) fn take_end(&mut self) -> Option<End> {
        self.end.take().or_else(|| self.bounds.end.take())
    }
}

/// Memory and tables of one run. The heap of collected objects is one of its memories.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// The task's own limit.
    limit_bytes: u64,
    /// What this node gives any task.
    node_bytes: u64,
    /// All memories together, now; they never shrink.
    pub(crate) memory_bytes: u64,
    /// What its files hold, now.
    files_bytes: u64,
    end: Option<End>,
    /// The last growth that was refused for the task's own limit. The guest was told, and may live with it.
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
            // The module's own maximum: growing fails as the specification says, and the guest may live with that.
            return Ok(false);
        }
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let asked_bytes = self.memory_bytes.saturating_add(more);
        if asked_bytes > self.limit_bytes {
            // As the specification says of growth that fails. Every node refuses it, so the result is the same.
            self.refused = Some(Limit::Memory { asked_bytes, limit_bytes: self.limit_bytes });
            return Ok(false);
        }
        let with_files = asked_bytes.saturating_add(self.files_bytes);
        if with_files > self.node_bytes {
            let end = self.too_much(with_files);
            return Err(self.end(end));
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
            self.refused = Some(Limit::Other(text));
            return Ok(false);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        // A core module is one; a component's number was checked when it was compiled.
        INSTANCES_PER_COMPONENT as usize
    }
}
