//! The slots: threads that run tasks, one first-in-first-out queue before them, one list of reports behind. Driven by
//! the node, which submits, aborts and collects without ever waiting. It knows no lease and no owner.
//!
//! Hand-overs are batched both ways: a wake-up costs more than a small task, so `on_finished` is called once per
//! batch, and slot threads that are busy are not woken.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{BlobId, Limit, Outcome, Payload, Program, Report, RunId, Work};

use crate::MODULE_BYTES_MAX;
use crate::run::{Finished, Given, panic_text};
use crate::sandbox::{Sandbox, SandboxError};
use crate::stop::Stop;

/// Tasks that may wait for a slot. What is submitted beyond it is answered `Lost` at once.
pub const QUEUE_MAX: usize = 65_536;
/// Stack of a slot's thread: room for the guest's and for the compiler.
const STACK_BYTES: usize = 8 << 20;

/// Bytes by their hash, as the node keeps them. Called on slot threads; may block.
pub trait BlobAccess: Send + Sync {
    /// The bytes of this name.
    ///
    /// # Errors
    /// When they are not here.
    fn read(&self, id: BlobId) -> io::Result<Bytes>;

    /// How many bytes [`BlobAccess::read`] would bring into memory; `None` if they are not here.
    fn len(&self, id: BlobId) -> Option<u64>;

    /// Keeps bytes and names them.
    ///
    /// # Errors
    /// When there is no room, or the disk fails.
    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId>;
}

/// The slot threads. Dropping it stops the guests and joins the threads; what was not collected is gone.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    sandbox: Sandbox,
    blobs: Arc<dyn BlobAccess>,
    on_finished: Arc<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    /// What each busy slot runs; at most as many as there are slots.
    running: Vec<(RunId, Stop)>,
    finished: Vec<(RunId, Report)>,
    /// Threads that wait for work.
    idle: usize,
    quit: bool,
}

struct Waiting {
    run: RunId,
    work: Work,
    since: Instant,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("slots", &self.threads.len())
            .field("busy", &self.busy())
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts `slots` threads. `on_finished` is called, on any thread, when the list of reports goes from empty to
    /// non-empty; it must not wait.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn start(
        sandbox: Sandbox,
        slots: u32,
        blobs: Arc<dyn BlobAccess>,
        on_finished: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { sandbox, blobs, on_finished, state, work: Condvar::new() });
        // Made before the threads, so that a failure half-way ends the ones that were started.
        let mut pool = Self { shared, threads: Vec::new() };
        for slot in 0..slots {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("weft-slot-{slot}"))
                .stack_size(STACK_BYTES)
                .spawn(move || shared.serve())
                .map_err(SandboxError::Thread)?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Queues tasks in this order; each is answered by exactly one report. Never waits for a guest.
    pub fn submit(&self, work: Vec<(RunId, Work)>) {
        let since = Instant::now();
        let mut state = self.shared.lock();
        let mut refused = Vec::new();
        for (run, work) in work {
            if state.queue.len() < QUEUE_MAX {
                state.queue.push_back(Waiting { run, work, since });
            } else {
                let text = format!("{QUEUE_MAX} tasks wait for this node's slots already");
                refused.push((run, Report::bare(Outcome::Lost(text))));
            }
        }
        let wake = state.idle.min(state.queue.len());
        drop(state);
        for _ in 0..wake {
            self.shared.work.notify_one();
        }
        self.shared.finish(refused);
    }

    /// Ends a task, queued or running: it answers `Cancelled`, unless it has ended already.
    pub fn abort(&self, run: RunId) {
        let mut state = self.shared.lock();
        if let Some((_, stop)) = state.running.iter().find(|(running, _)| *running == run) {
            stop.stop();
            return;
        }
        let Some(place) = state.queue.iter().position(|waiting| waiting.run == run) else { return };
        let waiting = state.queue.remove(place);
        drop(state);
        let queue_us = waiting.map_or(0, |waiting| micros(waiting.since.elapsed()));
        let mut report = Report::bare(Outcome::Cancelled);
        report.usage.queue_us = queue_us;
        self.shared.finish(vec![(run, report)]);
    }

    /// The reports since the last call, in the order in which the tasks ended.
    #[must_use]
    pub fn take_finished(&self) -> Vec<(RunId, Report)> {
        std::mem::take(&mut self.shared.lock().finished)
    }

    /// How many slots run a task now.
    #[must_use]
    pub fn busy(&self) -> u32 {
        u32::try_from(self.shared.lock().running.len()).unwrap_or(u32::MAX)
    }

    /// How many tasks wait for a slot now.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.lock().queue.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.quit = true;
        state.queue.clear();
        for (_, stop) in &state.running {
            stop.stop();
        }
        drop(state);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a slot's thread had panicked");
            }
        }
    }
}

impl Shared {
    /// A slot's life.
    fn serve(&self) {
        lower_priority();
        let mut state = self.lock();
        while !state.quit {
            let Some(waiting) = state.queue.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let stop = Stop::new();
            state.running.push((waiting.run, stop.clone()));
            drop(state);
            let run = waiting.run;
            let report = self.attempt(&waiting, &stop);
            state = self.lock();
            state.running.retain(|(running, _)| *running != run);
            let first = state.finished.is_empty();
            state.finished.push((run, report));
            if first {
                drop(state);
                (self.on_finished)();
                state = self.lock();
            }
        }
    }

    fn attempt(&self, waiting: &Waiting, stop: &Stop) -> Report {
        let queue_us = micros(waiting.since.elapsed());
        let mut report =
            catch_unwind(AssertUnwindSafe(|| self.execute(&waiting.work, stop))).unwrap_or_else(|panic| {
                Report::bare(Outcome::Lost(format!("the slot panicked: {}", panic_text(panic.as_ref()))))
            });
        report.usage.queue_us = queue_us;
        report
    }

    fn execute(&self, work: &Work, stop: &Stop) -> Report {
        let Work { task, program, input, stream: _ } = work;
        if let Some(report) = self.too_long(program, input) {
            return report;
        }
        let (prepared, compile_time) =
            match self.sandbox.prepare_timed(program, || self.blobs.read(program.module)) {
                Ok(prepared) => prepared,
                Err(error) => return Report::bare(error.outcome()),
            };
        let given = match (self.read(input), self.read(&program.files)) {
            (Ok(input), Ok(files)) => Given { input, files },
            (Err(error), _) => {
                return Report::bare(Outcome::Lost(format!("the input can't be read: {error}")));
            }
            (_, Err(error)) => {
                return Report::bare(Outcome::Lost(format!("the files can't be read: {error}")));
            }
        };
        let finished = self.sandbox.run(&prepared, program, *task, given, stop, None);
        self.report(finished, micros(compile_time))
    }

    fn read(&self, payload: &Payload) -> io::Result<Bytes> {
        match payload {
            Payload::Inline(bytes) => Ok(Bytes::from_owner(Arc::clone(bytes))),
            Payload::Blob { id, .. } => self.blobs.read(*id),
        }
    }

    /// Module, input and files are held in memory whole, so their true lengths are looked at first.
    fn too_long(&self, program: &Program, input: &Payload) -> Option<Report> {
        let most = self.sandbox.memory_max_bytes();
        let long = |payload: &Payload| {
            payload.blob().and_then(|id| self.blobs.len(id)).filter(|bytes| *bytes > most)
        };
        let module = self.blobs.len(program.module).filter(|bytes| *bytes > MODULE_BYTES_MAX);
        let text = match (long(input), long(&program.files), module) {
            (Some(bytes), _, _) => format!("input: {bytes} bytes, this node gives a task {most}"),
            (None, Some(bytes), _) => format!("files: {bytes} bytes, this node gives a task {most}"),
            (None, None, Some(bytes)) => format!("module: {bytes} bytes, the limit is {MODULE_BYTES_MAX}"),
            (None, None, None) => return None,
        };
        Some(Report::bare(Outcome::LimitExceeded(Limit::Other(text))))
    }

    fn report(&self, finished: Finished, compile_us: u64) -> Report {
        let Finished { outcome, output, errors, files, mut usage } = finished;
        usage.compile_us = compile_us;
        match (self.payload(output), self.payload(errors), self.payload(files)) {
            (Ok(output), Ok(errors), Ok(files)) => Report { outcome, output, errors, files, usage },
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                let outcome = Outcome::Lost(format!("the output can't be stored: {error}"));
                Report { usage, ..Report::bare(outcome) }
            }
        }
    }

    fn payload(&self, bytes: Vec<u8>) -> io::Result<Payload> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Payload::inline(&bytes));
        }
        let len = bytes.len() as u64;
        Ok(Payload::Blob { id: self.blobs.write(bytes)?, bytes: len })
    }

    fn finish(&self, reports: Vec<(RunId, Report)>) {
        if reports.is_empty() {
            return;
        }
        let mut state = self.lock();
        let first = state.finished.is_empty();
        state.finished.extend(reports);
        drop(state);
        if first {
            (self.on_finished)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network's thread must not wait for guests. On Linux a nice value belongs to the calling thread.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(5) {
        tracing::debug!(%error, "a slot keeps its priority");
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
