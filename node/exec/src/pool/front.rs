//! The front of the pool of processes: callers, I/O threads and the supervisor call it. It holds the lock, applies
//! events to [`State`], and passes on the state's requests. It never blocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use weft_core::{Outcome, PeerId, Program, Report, RunId, Work};

use super::assignment::{Ending, Intent, TASKS_MAX};
use super::blobs::BlobAccess;
use super::child::{Child, Phase, Spawned, TIMER};
use super::io_threads::IoThreads;
use super::programs::{CodeKey, ProgramRequest};
use super::requests::Request;
use super::spawn_queue::SpawnQueue;
use super::state::{Found, State};
use super::types::{PoolEvent, PoolStatus};
use crate::code::Code;
use crate::compile::Compiler;
use crate::error::PrepareError;
use crate::make::Tier;
use crate::os::now_us;

/// Events that are read from epoll at once, and most reads in one turn.
const EVENTS: usize = 64;
const ROUNDS_MAX: usize = 64;

/// The front of the pool of processes.
pub(super) struct Front {
    /// Itself, for callbacks.
    me: Weak<Self>,
    state: Mutex<State>,
    /// Notified on changes while a caller waits for the first slot.
    changed: Condvar,
    epoll: OwnedFd,
    blobs: Arc<dyn BlobAccess>,
    on_ready: Arc<dyn Fn() + Send + Sync>,
    supervisor: SpawnQueue,
    io_threads: IoThreads,
    compiler: Compiler,
    /// Whether the caller took the descriptor and so calls `turn`.
    polled: AtomicBool,
}

impl Front {
    pub(super) fn new(
        slots: u32,
        memory_max_bytes: u64,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
        (supervisor, io_threads, compiler): (SpawnQueue, IoThreads, Compiler),
    ) -> io::Result<Arc<Self>> {
        let state = State::new(slots, memory_max_bytes, compiler.module_bytes_max())?;
        epoll::add(&state.epoll, &state.timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let epoll = state.epoll.try_clone()?;
        let (state, polled) = (Mutex::new(state), AtomicBool::new(false));
        let changed = Condvar::new();
        let new = |me: &Weak<Self>| {
            let me = me.clone();
            Self { me, state, changed, epoll, blobs, on_ready, supervisor, io_threads, compiler, polled }
        };
        Ok(Arc::new_cyclic(new))
    }

    pub(super) fn submit(&self, work: Vec<(RunId, Work)>) {
        let (since_us, now) = (now_us(), Instant::now());
        let mut state = self.lock();
        // The slots begin while the remaining tasks are queued.
        let full = TASKS_MAX.saturating_mul(state.slots.max(1));
        let mut work = work.into_iter();
        while work.len() > 0 {
            for (run, work) in work.by_ref().take(full) {
                state.enter(run, work, since_us, |blob| self.blobs.len(blob));
            }
            state.hand_out(now);
        }
        self.advance(state);
    }

    pub(super) fn abort(&self, run: RunId) {
        let mut state = self.lock();
        state.ask(run, Intent::Abort);
        match state.find(run) {
            Some(Found::Waiting(waiting)) => state.give_up(waiting, Outcome::Cancelled),
            Some(Found::Started(id, number)) => {
                // A task that has ended already is reported soon; the slot runs another one now.
                if let Some(child) = state.children.get_mut(&id)
                    && child.running() == number
                {
                    child.kill(Ending::Run(number, Outcome::Cancelled));
                }
            }
            None => {}
        }
        self.advance(state);
    }

    pub(super) fn pause(&self, run: RunId) {
        let now = Instant::now();
        let mut state = self.lock();
        state.ask(run, Intent::Hold);
        match state.find(run) {
            Some(Found::Waiting(waiting)) => state.hold(waiting),
            Some(Found::Started(id, number)) => {
                let room = state.on_hold() < state.slots;
                // A task that has ended and is not reported yet needs no pause.
                if let Some(child) = state.children.get_mut(&id)
                    && room
                    && child.held_since.is_none()
                    && child.running() == number
                {
                    child.hold(now);
                }
            }
            None => {}
        }
        self.advance(state);
    }

    pub(super) fn resume(&self, run: RunId) {
        let now = Instant::now();
        let mut state = self.lock();
        state.ask(run, Intent::Run);
        if let Some(place) = state.places.get(&run).map(|(place, _)| *place)
            && let Some(waiting) = state.held.remove(&place)
        {
            state.requeue([waiting]);
        }
        let has = |child: &&mut Child| child.tasks.iter().any(|task| task.waiting.run == run);
        if let Some(child) = state.children.values_mut().find(has) {
            child.resume(now);
        }
        self.advance(state);
    }

    pub(super) fn take_events(&self) -> Vec<PoolEvent> {
        self.lock().take_events()
    }

    /// The epoll descriptor.
    pub(super) fn slots_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The epoll descriptor; from now on the caller calls [`Front::turn`].
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        if !self.polled.swap(true, Ordering::SeqCst) {
            self.supervisor.wake();
        }
        self.epoll.as_fd()
    }

    /// Whether the supervisor must call [`Front::turn`].
    pub(super) fn turns_itself(&self) -> bool {
        !self.polled.load(Ordering::SeqCst)
    }

    /// Reads the slots' messages and handles them.
    pub(super) fn turn(&self) {
        let mut state = self.lock();
        let mut rounds = 0;
        loop {
            let mut events = Vec::with_capacity(EVENTS);
            let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            let waited =
                epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&at_once));
            if waited.is_err() || events.is_empty() {
                break;
            }
            for Event { data, .. } in events {
                state.on_event(data.u64());
            }
            rounds += 1;
            if rounds == ROUNDS_MAX {
                // A slot that sends without end must not block the caller; callers with edge-triggered polling need a
                // new edge.
                let now = Instant::now();
                state.ring_at(now, now);
                break;
            }
        }
        self.advance(state);
    }

    /// A process was started, or failed to start.
    pub(super) fn spawned(&self, id: u64, spawned: io::Result<Spawned>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.spawning = state.spawning.saturating_sub(1);
        let memory = state.memory_max_bytes;
        match spawned.and_then(|spawned| Child::new(id, spawned, &state.epoll, memory, now)) {
            Ok(mut child) => {
                child.send(&state.epoll);
                state.children.insert(id, child);
            }
            Err(error) => state.failed_to_start(&error.to_string(), false, now),
        }
        self.advance(state);
    }

    /// Code arrived, the first or a better one, or failed.
    pub(super) fn compiled(&self, key: CodeKey, code: Result<Arc<Code>, Outcome>) {
        let now = now_us();
        let mut state = self.lock();
        let failed = code.as_ref().err().cloned();
        for (index, (place, mut waiting)) in state.programs.code_came(key, code).into_iter().enumerate() {
            // The first task is charged for compiling; the others only waited.
            if index == 0 {
                waiting.compile_us = now.saturating_sub(waiting.since_us);
            }
            match &failed {
                Some(outcome) => state.give_up(waiting, outcome.clone()),
                None => state.unpark_for_code(place, waiting),
            }
        }
        self.advance(state);
    }

    /// A program's files were opened, or failed to open.
    pub(super) fn opened_files(&self, program: u32, file: io::Result<OwnedFd>) {
        let mut state = self.lock();
        let failed = file.as_ref().err().map(|error| format!("the program's files can't be read: {error}"));
        for (place, waiting) in state.programs.files_came(program, file.ok().map(Arc::new)) {
            match &failed {
                Some(text) if waiting.program == program => {
                    state.give_up(waiting, Outcome::Lost(text.clone()));
                }
                Some(_) | None => drop(state.queue.insert(place, waiting)),
            }
        }
        self.advance(state);
    }

    /// A task's input was opened, or failed to open.
    pub(super) fn opened_input(&self, place: u64, file: io::Result<OwnedFd>) {
        let mut state = self.lock();
        // It was aborted meanwhile if it is missing.
        if let Some(mut waiting) = state.opening.remove(&place) {
            match file {
                Ok(file) => {
                    waiting.input = Some(Arc::new(file));
                    state.queue.insert(place, waiting);
                }
                Err(error) => {
                    state.give_up(waiting, Outcome::Lost(format!("the input can't be read: {error}")));
                }
            }
        }
        self.advance(state);
    }

    /// The output of a run was stored, or failed to store.
    pub(super) fn stored(&self, run: RunId, report: Report) {
        let mut state = self.lock();
        state.answer(run, report);
        self.advance(state);
    }

    pub(super) fn status(&self, status: &mut PoolStatus) {
        let state = self.lock();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        status.busy = count(state.active());
        status.queued = state.queue.len() + state.opening.len() + state.programs.parked();
        status.queued +=
            state.children.values().map(|child| child.tasks.len().saturating_sub(1)).sum::<usize>();
        status.paused = count(state.on_hold() + state.held.len());
        status.children = state.children.values().map(Child::pid).collect();
        status.replaced = state.replaced;
        status.confinement = state.confinement.clone();
        let compiler = self.compiler.status();
        (status.compiled, status.compiling) = (compiler.ready, compiler.compiling);
        status.optimising = compiler.optimising;
        status.broken = state.broken.clone();
    }

    /// Starts the first slot and waits until it is ready.
    ///
    /// # Errors
    /// Why no slot is ready.
    pub(super) fn begin(&self, longest: Duration) -> Result<(), String> {
        self.advance(self.lock());
        let is_open = |state: &mut State| {
            let ready = state.children.values().any(|child| child.phase == Phase::Ready);
            state.slots > 0 && state.broken.is_none() && !ready
        };
        let waited = self.changed.wait_timeout_while(self.lock(), longest, is_open);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.awaited = false;
        match &state.broken {
            Some(text) => Err(text.clone()),
            None if timeout.timed_out() => Err("no slot is ready yet, and it should be".into()),
            None => Ok(()),
        }
    }

    /// Ends all slots and waits for their end; no slot is started any more.
    pub(super) fn quit(&self) {
        let mut state = self.lock();
        state.quit = true;
        state.queue.clear();
        let children = std::mem::take(&mut state.children);
        drop(state);
        for (_, child) in children {
            child.end();
        }
    }

    /// Assigns tasks and sets the timer, releases the lock, and then notifies callers and passes on requests.
    fn advance(&self, mut state: MutexGuard<'_, State>) {
        let now = Instant::now();
        self.adopt_better_code(&mut state, now);
        state.advance(now);
        state.set_timer(now);
        let requests = std::mem::take(&mut state.requests);
        let (ring, awaited) = (state.take_ring(), state.awaited);
        drop(state);
        if awaited {
            self.changed.notify_all();
        }
        for request in requests {
            match request {
                Request::Spawn(id) => self.supervisor.spawn(id),
                Request::Program(ProgramRequest::Code(key, program, owner)) => {
                    self.compile(key, &program, owner);
                }
                other @ (Request::Program(ProgramRequest::Files(..))
                | Request::Input(..)
                | Request::Store(_)) => {
                    self.io_threads.send(other);
                }
            }
        }
        if ring {
            (self.on_ready)();
        }
    }

    /// Requests a module's code, which may be available already.
    fn compile(&self, key: CodeKey, program: &Arc<Program>, owner: PeerId) {
        let (me, blobs, module) = (self.me.clone(), Arc::clone(&self.blobs), program.module);
        let told = Box::new(move |code: Result<Arc<Code>, PrepareError>| {
            if let Some(front) = me.upgrade() {
                front.compiled(key, code.map_err(|error| error.outcome()));
            }
        });
        self.compiler.request(program, owner, Arc::new(move || blobs.read(module)), told);
    }

    /// Adopts better code that has been compiled meanwhile.
    fn adopt_better_code(&self, state: &mut State, now: Instant) {
        for (key, program) in state.programs.due_for_better(now) {
            if let Some(Ok(code)) = self.compiler.get(&program)
                && code.tier() == Tier::Optimised
            {
                let parked = state.programs.code_came(key, Ok(code));
                state.queue.extend(parked);
            }
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
