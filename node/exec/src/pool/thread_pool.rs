//! The pool of threads: one first-in-first-out queue. A guest on a thread is stopped or paused at its next check of the
//! epoch (see [`crate::stop`]); a paused guest keeps its thread, and another thread takes its place.
//!
//! Hand-overs are batched both ways, for a wake-up costs more than a small task: `on_ready` is called once for a batch,
//! and busy threads are not woken.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{Outcome, Payload, Report, RunId, Work};

use super::blobs::{ANOTHER_LENGTH, BlobAccess, too_long};
use super::types::{PoolConfig, PoolEvent, PoolStatus, QUEUE_MAX};
use crate::compile::Compiler;
use crate::error::SandboxError;
use crate::os::{SLOT_NICE, lower_priority};
use crate::outcome::of_unstored;
use crate::run::{Finished, Given};
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::sink::Printer;
use crate::stop::Stop;
use crate::text::panic_text;

/// Stack of a slot thread, in bytes: for the guest and for the compiler.
const STACK_BYTES: usize = 8 << 20;

/// Output is dropped while this many events wait to be collected: the report has all of it.
const EVENTS_MAX: usize = 4096;

/// The pool of threads. Dropping it stops the guests and joins the threads.
pub(super) struct ThreadPool {
    shared: Arc<Shared>,
}

struct Shared {
    slots: usize,
    sandbox: Sandbox,
    blobs: Arc<dyn BlobAccess>,
    on_ready: Arc<dyn Fn() + Send + Sync>,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    /// Tasks that were paused before they started.
    held: BTreeMap<RunId, Waiting>,
    /// Guests that run or are paused; at most two for each slot.
    running: Vec<Running>,
    events: Vec<PoolEvent>,
    /// Threads that wait for work.
    idle: usize,
    threads: Vec<JoinHandle<()>>,
    quit: bool,
}

struct Running {
    run: RunId,
    stop: Stop,
    held: bool,
}

struct Waiting {
    run: RunId,
    work: Work,
    since: Instant,
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool").field("slots", &self.shared.slots).finish_non_exhaustive()
    }
}

impl ThreadPool {
    pub(super) fn start(
        config: &PoolConfig,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self, SandboxError> {
        let PoolConfig { slots, kind: _, cache_dir, memory_max_bytes, module_max_bytes } = config;
        // A paused guest keeps its instance.
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: cache_dir.clone(),
            slots: slots.saturating_mul(2),
            memory_max_bytes: *memory_max_bytes,
            module_max_bytes: *module_max_bytes,
        })?;
        let slots = usize::try_from(*slots).unwrap_or(usize::MAX);
        let (state, work) = (Mutex::default(), Condvar::new());
        let pool = Self { shared: Arc::new(Shared { slots, sandbox, blobs, on_ready, state, work }) };
        for _ in 0..slots {
            let thread = pool.shared.thread().map_err(SandboxError::Thread)?;
            pool.shared.lock().threads.push(thread);
        }
        Ok(pool)
    }

    pub(super) fn submit(&self, work: Vec<(RunId, Work)>) {
        let since = Instant::now();
        let mut state = self.shared.lock();
        let mut refused = Vec::new();
        for (run, work) in work {
            if state.queue.len() + state.held.len() < QUEUE_MAX {
                state.queue.push_back(Waiting { run, work, since });
            } else {
                let text = format!("{QUEUE_MAX} tasks wait for this node's slots already");
                refused.push(PoolEvent::Ran(run, Report::bare(Outcome::Lost(text))));
            }
        }
        self.shared.wake(state);
        self.shared.tell(refused);
    }

    pub(super) fn abort(&self, run: RunId) {
        let mut state = self.shared.lock();
        if let Some(running) = state.running.iter().find(|running| running.run == run) {
            running.stop.stop();
            return;
        }
        let Some(waiting) = state.take(run) else { return };
        drop(state);
        let mut report = Report::bare(Outcome::Cancelled);
        report.usage.queue_us = micros(waiting.since.elapsed());
        self.shared.tell(vec![PoolEvent::Ran(run, report)]);
    }

    pub(super) fn pause(&self, run: RunId) {
        let mut state = self.shared.lock();
        let on_hold = state.running.iter().filter(|running| running.held).count();
        if let Some(running) = state.running.iter_mut().find(|running| running.run == run) {
            if on_hold < self.shared.slots && !running.held {
                running.held = true;
                running.stop.pause();
                self.shared.wake(state);
            }
            return;
        }
        if let Some(waiting) = state.take(run) {
            state.held.insert(run, waiting);
        }
    }

    pub(super) fn resume(&self, run: RunId) {
        let mut state = self.shared.lock();
        if let Some(running) = state.running.iter_mut().find(|running| running.run == run) {
            running.held = false;
            running.stop.resume();
        }
        if let Some(waiting) = state.held.remove(&run) {
            // It has waited longer than all tasks in the queue.
            state.queue.push_front(waiting);
            self.shared.wake(state);
        }
    }

    pub(super) fn take_events(&self) -> Vec<PoolEvent> {
        std::mem::take(&mut self.shared.lock().events)
    }

    pub(super) fn status(&self, status: &mut PoolStatus) {
        let state = self.shared.lock();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        status.busy = count(state.active());
        status.queued = state.queue.len();
        if let Some(compiler) = self.shared.sandbox.compiler() {
            let compiler = compiler.status();
            (status.compiled, status.compiling) = (compiler.ready, compiler.compiling);
            status.optimising = compiler.optimising;
        }
        status.paused = count(state.running.len() - state.active() + state.held.len());
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.quit = true;
        state.queue.clear();
        for running in &state.running {
            running.stop.stop();
        }
        let threads = std::mem::take(&mut state.threads);
        drop(state);
        self.shared.work.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a slot's thread had panicked");
            }
        }
    }
}

impl State {
    /// Guests that run now.
    fn active(&self) -> usize {
        self.running.iter().filter(|running| !running.held).count()
    }

    /// Removes a waiting task.
    fn take(&mut self, run: RunId) -> Option<Waiting> {
        let place = self.queue.iter().position(|waiting| waiting.run == run);
        place.and_then(|place| self.queue.remove(place)).or_else(|| self.held.remove(&run))
    }

    /// The next task, if one more may run.
    fn next(&mut self, slots: usize) -> Option<Waiting> {
        if self.active() < slots { self.queue.pop_front() } else { None }
    }
}

impl Shared {
    fn thread(self: &Arc<Self>) -> io::Result<JoinHandle<()>> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("weft-slot".into()).stack_size(STACK_BYTES);
        thread.spawn(move || shared.serve())
    }

    /// Wakes as many threads as there is work for, and starts threads to replace those of paused guests.
    fn wake(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let free = self.slots.saturating_sub(state.active());
        let work = free.min(state.queue.len());
        let there = state.threads.len() - state.running.len();
        for _ in there..work {
            // Without it the task waits until a running guest ends.
            match self.thread() {
                Ok(thread) => state.threads.push(thread),
                Err(error) => tracing::warn!(%error, "no thread for a slot whose guest is held"),
            }
        }
        let wake = state.idle.min(work);
        drop(state);
        for _ in 0..wake {
            self.work.notify_one();
        }
    }

    /// The main function of a slot thread.
    fn serve(self: &Arc<Self>) {
        lower_priority(SLOT_NICE);
        let mut state = self.lock();
        while !state.quit {
            let Some(waiting) = state.next(self.slots) else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let stop = Stop::new();
            state.running.push(Running { run: waiting.run, stop: stop.clone(), held: false });
            drop(state);
            let run = waiting.run;
            let report = self.attempt(&waiting, &stop);
            state = self.lock();
            state.running.retain(|running| running.run != run);
            let first = state.events.is_empty();
            state.events.push(PoolEvent::Ran(run, report));
            if first {
                drop(state);
                (self.on_ready)();
                state = self.lock();
            }
        }
    }

    fn attempt(self: &Arc<Self>, waiting: &Waiting, stop: &Stop) -> Report {
        let queue_us = micros(waiting.since.elapsed());
        let mut report = catch_unwind(AssertUnwindSafe(|| self.execute(waiting.run, &waiting.work, stop)))
            .unwrap_or_else(|panic| {
                Report::bare(Outcome::Lost(format!("the slot panicked: {}", panic_text(panic.as_ref()))))
            });
        report.usage.queue_us = queue_us;
        report
    }

    fn execute(self: &Arc<Self>, run: RunId, work: &Work, stop: &Stop) -> Report {
        let Work { task, owner: _, program, input, stream } = work;
        let module_most = self.sandbox.compiler().map_or(crate::MODULE_BYTES_MAX, Compiler::module_bytes_max);
        let most = (self.sandbox.memory_max_bytes(), module_most);
        if let Some(report) = too_long(work, false, most, |id| self.blobs.len(id)) {
            return report;
        }
        let is_warm = self.sandbox.is_warm(program.module);
        let tell_compiling = |waits| {
            if !is_warm {
                self.tell(vec![PoolEvent::Compiling { runs: vec![run], waits }]);
            }
        };
        tell_compiling(true);
        let (prepared, compile_time) =
            match self.sandbox.prepare_timed(program, || self.blobs.read(program.module)) {
                Ok(prepared) => prepared,
                Err(error) => return Report::bare(error.outcome()),
            };
        tell_compiling(false);
        let given = match (self.bytes(input), self.bytes(&program.files)) {
            (Ok(input), Ok(files)) => Given { input, files },
            (Err(error), _) => {
                return Report::bare(Outcome::Lost(format!("the input can't be read: {error}")));
            }
            (_, Err(error)) => {
                return Report::bare(Outcome::Lost(format!("the program's files can't be read: {error}")));
            }
        };
        let printer = stream.then(|| self.printer(run));
        let finished = self.sandbox.run(&prepared, program, *task, given, stop, printer);
        self.report(finished, micros(compile_time))
    }

    /// Passes on what a run prints.
    fn printer(self: &Arc<Self>, run: RunId) -> Printer {
        let shared = Arc::clone(self);
        Box::new(move |stream, offset, bytes| {
            let printed = shared.lock().events.len();
            if printed < EVENTS_MAX {
                shared.tell(vec![PoolEvent::Printed { run, stream, offset, bytes: bytes.into() }]);
            }
        })
    }

    fn bytes(&self, payload: &Payload) -> io::Result<Bytes> {
        match payload {
            Payload::Inline(bytes) => Ok(Bytes::from_owner(Arc::clone(bytes))),
            Payload::Blob { id, bytes } => {
                let content = self.blobs.read(*id)?;
                if content.len() as u64 == *bytes {
                    Ok(content)
                } else {
                    Err(io::Error::new(io::ErrorKind::InvalidData, ANOTHER_LENGTH))
                }
            }
        }
    }

    fn report(&self, finished: Finished, compile_us: u64) -> Report {
        let Finished { outcome, output, errors, files, mut usage } = finished;
        usage.compile_us = compile_us;
        match (self.payload(output), self.payload(errors), self.payload(files)) {
            (Ok(output), Ok(errors), Ok(files)) => Report { outcome, output, errors, files, usage },
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                Report { usage, ..Report::bare(of_unstored(&error)) }
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

    fn tell(&self, events: Vec<PoolEvent>) {
        if events.is_empty() {
            return;
        }
        let mut state = self.lock();
        let first = state.events.is_empty();
        state.events.extend(events);
        drop(state);
        if first {
            (self.on_ready)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
