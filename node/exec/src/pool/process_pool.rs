//! The pool of processes: the front, and the threads that work for it.

use std::ffi::OsString;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use weft_core::{Report, RunId, Work};

use super::blobs::BlobAccess;
use super::clock::START_MAX;
use super::front::Front;
use super::io_threads::{IoThreads, caught};
use super::programs::ProgramRequest;
use super::requests::Request;
use super::spawn_queue::SpawnQueue;
use super::supervisor;
use super::types::{PoolConfig, PoolEvent, PoolStatus};
use crate::compile::{Compiler, CompilerConfig, How};
use crate::error::SandboxError;
use crate::make::Interrupt;
use crate::outcome::of_unstored;

/// The argument after a slot's arguments that makes its process compile.
pub(crate) const COMPILE_ARG: &str = "--compile";

/// The pool of processes. Dropping it kills them and ends the threads.
pub(super) struct ProcessPool {
    front: Arc<Front>,
    supervisor: SpawnQueue,
    io_threads: IoThreads,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPool").field("io_threads", &self.io_threads).finish_non_exhaustive()
    }
}

impl ProcessPool {
    /// Starts the threads and the first process.
    ///
    /// # Errors
    /// When one of them can't be started, or the process reports an error.
    pub(super) fn start(
        config: &PoolConfig,
        program: &Path,
        args: &[OsString],
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        let refused = |error: std::io::Error| SandboxError::Slot(error.to_string());
        let supervisor = SpawnQueue::new().map_err(refused)?;
        let io_threads = IoThreads::default();
        let mut compile_args = args.to_vec();
        compile_args.push(COMPILE_ARG.into());
        let how = How::Child { program: program.to_owned(), args: compile_args };
        let cache_dir = config.cache_dir.clone();
        let compiler = Compiler::start(
            CompilerConfig::new(cache_dir, Interrupt::Kill, how).modules(config.module_max_bytes),
        )?;
        let memory = config.memory_max_bytes;
        let theirs = Arc::clone(&blobs);
        let helpers = (supervisor.clone(), io_threads.clone(), compiler);
        let front = Front::new(config.slots, memory, theirs, on_ready, helpers).map_err(refused)?;
        // Created before the threads, so that an error ends those that were started.
        let mut pool = Self { front, supervisor, io_threads, threads: Vec::new() };
        pool.threads.push(pool.start_supervisor(program, args).map_err(SandboxError::Thread)?);
        let front = Arc::clone(&pool.front);
        let perform: Arc<dyn Fn(Request) + Send + Sync> =
            Arc::new(move |request| perform(&front, &*blobs, request));
        pool.threads.extend(pool.io_threads.start(&perform).map_err(SandboxError::Thread)?);
        pool.front.begin(START_MAX).map_err(SandboxError::Slot)?;
        Ok(pool)
    }

    fn start_supervisor(&self, program: &Path, args: &[OsString]) -> std::io::Result<JoinHandle<()>> {
        let (supervisor, front) = (self.supervisor.clone(), Arc::clone(&self.front));
        let (program, args) = (program.to_owned(), args.to_owned());
        thread::Builder::new()
            .name("weft-supervisor".into())
            .spawn(move || supervisor::serve(&supervisor, &front, &program, &args))
    }

    pub(super) fn submit(&self, work: Vec<(RunId, Work)>) {
        self.front.submit(work);
    }

    pub(super) fn abort(&self, run: RunId) {
        self.front.abort(run);
    }

    pub(super) fn pause(&self, run: RunId) {
        self.front.pause(run);
    }

    pub(super) fn resume(&self, run: RunId) {
        self.front.resume(run);
    }

    pub(super) fn take_events(&self) -> Vec<PoolEvent> {
        self.front.take_events()
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.front.poll_fd()
    }

    pub(super) fn turn(&self) {
        self.front.turn();
    }

    pub(super) fn status(&self, status: &mut PoolStatus) {
        self.front.status(status);
    }
}

impl Drop for ProcessPool {
    fn drop(&mut self) {
        self.io_threads.quit();
        self.supervisor.quit();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the slots had panicked");
            }
        }
        // After the supervisor, so that no process is started later.
        self.front.quit();
    }
}

/// Performs one request and passes the result to the front.
fn perform(front: &Front, blobs: &dyn BlobAccess, request: Request) {
    match request {
        Request::Program(ProgramRequest::Files(program, blob)) => {
            front.opened_files(program, caught("the blob store", || blobs.open(blob).map(OwnedFd::from)));
        }
        Request::Input(place, blob) => {
            front.opened_input(place, caught("the blob store", || blobs.open(blob).map(OwnedFd::from)));
        }
        Request::Store(pending) => {
            let run = pending.run;
            let stored = caught("the blob store", || Ok(pending.store(blobs)));
            front.stored(run, stored.unwrap_or_else(|error| Report::bare(of_unstored(&error))));
        }
        // The supervisor starts processes, for they die with the thread that started them; the compiler has threads of
        // its own.
        Request::Spawn(_) | Request::Program(ProgramRequest::Code(..)) => {}
    }
}
