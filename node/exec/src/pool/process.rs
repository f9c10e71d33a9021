//! Slots that are child processes: the front that callers, the carriers and the keeper come to. It holds the lock,
//! tells [`State`] what happened, and hands on what that wishes for. Nothing in it waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::fs::{SealFlags, fcntl_get_seals};
use weft_core::{Outcome, Payload, Program, Report, RunId, Work};

use super::carrier::{Carriers, Parcel, Part};
use super::child::{Child, Ending, Phase, Spawned, TIMER};
use super::keeper::Keeper;
use super::programs::{CodeKey, Wish};
use super::state::{Errand, State};
use super::{BlobAccess, PoolEvent, PoolStatus};
use crate::code::{Code, Tier};
use crate::compile::Compiler;
use crate::sandbox::PrepareError;
use crate::slot::now_us;
use crate::slot::socket::Broken;
use crate::slot::wire::{Brought, FromSlot, PROTOCOL};

/// Starts that fail in a row before the pool says that it has no slots.
const FAILURES_MAX: u32 = 3;
/// How long the pool waits after that before it tries again, doubled each time up to the longest.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Events taken from epoll at once, and how often in one turn.
const EVENTS: usize = 64;
const ROUNDS_MAX: usize = 64;
/// What a sealed file from a slot must be sealed against: its bytes can't change any more.
const SEALS: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

/// The slots of a node, as processes.
pub(super) struct Front {
    /// Itself, for those who are told later.
    me: Weak<Self>,
    state: Mutex<State>,
    /// For who waits until the first slot is ready.
    changed: Condvar,
    epoll: OwnedFd,
    blobs: Arc<dyn BlobAccess>,
    on_ready: Arc<dyn Fn() + Send + Sync>,
    keeper: Keeper,
    carriers: Carriers,
    compiler: Compiler,
    /// Whether somebody asked for the descriptor and so promised to call `turn`.
    polled: AtomicBool,
}

impl Front {
    pub(super) fn new(
        slots: u32,
        memory_max_bytes: u64,
        blobs: Arc<dyn BlobAccess>,
        on_ready: Arc<dyn Fn() + Send + Sync>,
        (keeper, carriers, compiler): (Keeper, Carriers, Compiler),
    ) -> io::Result<Arc<Self>> {
        let state = State::new(slots, memory_max_bytes)?;
        epoll::add(&state.epoll, &state.timer, EventData::new_u64(TIMER), EventFlags::IN)?;
        let epoll = state.epoll.try_clone()?;
        let (state, polled) = (Mutex::new(state), AtomicBool::new(false));
        let changed = Condvar::new();
        let new = |me: &Weak<Self>| {
            let me = me.clone();
            Self { me, state, changed, epoll, blobs, on_ready, keeper, carriers, compiler, polled }
        };
        Ok(Arc::new_cyclic(new))
    }

    pub(super) fn submit(&self, work: Vec<(RunId, Work)>) {
        let since_us = now_us();
        let mut state = self.lock();
        for (run, work) in work {
            state.enter(run, work, since_us, |blob| self.blobs.len(blob));
        }
        self.advance(state);
    }

    pub(super) fn abort(&self, run: RunId) {
        let mut state = self.lock();
        match find(&mut state, run) {
            Some(Found::Waiting(waiting)) => state.give_up(waiting, Outcome::Cancelled),
            Some(Found::Started(id, number)) => {
                if let Some(child) = state.children.get_mut(&id) {
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
        match find(&mut state, run) {
            Some(Found::Waiting(waiting)) => {
                state.places.insert(run, (waiting.place, waiting.program));
                state.held.insert(waiting.place, waiting);
            }
            Some(Found::Started(id, number)) => {
                // One that ended already and is not reported yet needs no holding.
                if let Some(child) = state.children.get_mut(&id)
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
        if let Some(place) = state.places.get(&run).map(|(place, _)| *place)
            && let Some(waiting) = state.held.remove(&place)
        {
            state.requeue([waiting]);
        }
        let has = |child: &&mut Child| child.tasks.iter().any(|task| task.waiting.run == run);
        if let Some(child) = state.children.values_mut().find(has) {
            child.go_on(now);
        }
        self.advance(state);
    }

    pub(super) fn take_events(&self) -> Vec<PoolEvent> {
        self.lock().take_events()
    }

    /// The descriptor to wait on.
    pub(super) fn slots_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The descriptor to wait on; from now on the caller calls [`Front::turn`].
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        if !self.polled.swap(true, Ordering::SeqCst) {
            self.keeper.wake();
        }
        self.epoll.as_fd()
    }

    /// Whether the keeper is to call [`Front::turn`].
    pub(super) fn is_kept(&self) -> bool {
        !self.polled.load(Ordering::SeqCst)
    }

    /// Takes what the slots say, and acts on it.
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
                self.look(&mut state, data.u64());
            }
            rounds += 1;
            if rounds == ROUNDS_MAX {
                // A slot that never stops talking must not keep the caller; who waits for edges needs a new one.
                let now = Instant::now();
                state.ring_at(now, now);
                break;
            }
        }
        self.advance(state);
    }

    fn look(&self, state: &mut State, what: u64) {
        let now = Instant::now();
        if what == TIMER {
            state.rang();
            state.look_at_clock(now);
            return;
        }
        let id = what >> 1;
        let Some(mut child) = state.children.remove(&id) else { return };
        self.listen(state, &mut child, now);
        if what & 1 == 1 {
            match child.bury() {
                Ok(None) => {}
                Ok(Some(status)) => return self.died(state, child, &status.to_string(), now),
                Err(error) => return self.died(state, child, &error.to_string(), now),
            }
        }
        if let Err(error) = child.send(&state.epoll) {
            tracing::debug!(%error, pid = child.pid(), "a slot does not listen");
        }
        state.children.insert(id, child);
    }

    fn listen(&self, state: &mut State, child: &mut Child, now: Instant) {
        let mut words = Vec::new();
        let heard = child.hear(&mut words);
        for (word, files) in words {
            if let Err(error) = self.obey(state, child, word, files, now) {
                return child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}"))));
            }
        }
        match heard {
            Ok(()) => {}
            // An honest one closes it by dying, and how it died is told by its other descriptor.
            Err(Broken::Closed) => child.hang_up(&state.epoll),
            Err(error) => child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}")))),
        }
    }

    fn obey(
        &self,
        state: &mut State,
        child: &mut Child,
        word: FromSlot,
        files: Vec<OwnedFd>,
        now: Instant,
    ) -> Result<(), Broken> {
        match word {
            FromSlot::Ready { protocol, confinement } => {
                if protocol != PROTOCOL || child.phase != Phase::Starting {
                    return Err(Broken::Protocol("it is of another version"));
                }
                (child.phase, child.greeted, child.progress) = (Phase::Ready, true, now);
                (state.failures, state.broken) = (0, None);
                state.confinement = Some(confinement);
            }
            FromSlot::Failed(text) => {
                let text: String = text.chars().take(500).collect();
                child.kill(Ending::Any(Outcome::Lost(format!("the slot did not start: {text}"))));
            }
            FromSlot::Printed { number, stream, offset, bytes } => {
                let Some(task) = child.tasks.iter().find(|task| task.number == number) else { return Ok(()) };
                if task.waiting.work.stream {
                    let run = task.waiting.run;
                    state.print(PoolEvent::Printed { run, stream, offset, bytes: bytes.into() });
                }
            }
            FromSlot::Ran { number, outcome, output, errors, files: left, usage } => {
                let Some(task) = child.reported(number, now)? else { return Ok(()) };
                child.go_on(now);
                let limits = task.waiting.work.program.limits;
                // A function's error text goes to `errors` whatever its limit.
                let sound = output.len() <= limits.output_bytes
                    && errors.len() <= limits.errors_bytes
                    && left.len() <= limits.files_bytes.saturating_mul(2).saturating_add(1 << 20);
                if !sound {
                    state.give_up(task.waiting, Outcome::Lost("the slot brought more than it may".into()));
                    return Err(Broken::Protocol("it brought more than it may"));
                }
                let mut usage = usage;
                usage.compile_us = task.waiting.compile_us;
                usage.queue_us = usage.queue_us.saturating_sub(usage.compile_us);
                let took = Duration::from_micros(usage.wall_us.max(1));
                state.programs.took(task.waiting.program, took);
                state.programs.done(task.waiting.program);
                let mut files = files.into_iter();
                let mut part = |brought| part(brought, &mut files);
                let parts = [part(output)?, part(errors)?, part(left)?];
                let parcel = Parcel { run: task.waiting.run, outcome, parts, usage };
                match parcel.at_once() {
                    Ok(report) => state.answer(task.waiting.run, report),
                    Err(parcel) => state.errands.push(Errand::Store(parcel)),
                }
            }
        }
        Ok(())
    }

    /// Answers for a process that has ended, and takes back what it did not start.
    fn died(&self, state: &mut State, mut child: Child, how: &str, now: Instant) {
        let pid = child.pid();
        let running = child.running();
        let ending = child.ending.take();
        let outcome = match &ending {
            Some(Ending::Any(outcome)) => outcome.clone(),
            Some(Ending::Run(number, outcome)) if *number == running => outcome.clone(),
            Some(Ending::Run(..)) | None => Outcome::Lost(format!("the slot died: {how}")),
        };
        let idle = child.tasks.is_empty();
        if !child.greeted {
            let reason = if ending.is_some() { outcome.to_string() } else { format!("the slot died: {how}") };
            self.failed_to_start(state, &reason, now);
        } else if !idle || ending.is_none() {
            state.replaced += 1;
            tracing::warn!(pid, how, %outcome, "a slot is replaced");
        }
        let tasks = std::mem::take(&mut child.tasks);
        for task in tasks {
            // Those before it have ended, but their reports are gone with the slot; they run again.
            if task.number == running {
                state.give_up(task.waiting, outcome.clone());
            } else {
                state.requeue([task.waiting]);
            }
        }
    }

    fn failed_to_start(&self, state: &mut State, reason: &str, now: Instant) {
        state.failures += 1;
        tracing::warn!(reason, failures = state.failures, "a slot did not start");
        if state.failures < FAILURES_MAX {
            return;
        }
        let wait = RETRY * 2_u32.saturating_pow((state.failures - FAILURES_MAX).min(16));
        state.retry_at = Some(now + wait.min(RETRY_MAX));
        if state.children.values().any(|child| child.phase == Phase::Ready) {
            return;
        }
        let text = format!("no slot starts: {reason}");
        state.broken = Some(text.clone());
        for (_, waiting) in std::mem::take(&mut state.queue) {
            state.give_up(waiting, Outcome::Lost(text.clone()));
        }
    }

    /// A process was started, or could not be.
    pub(super) fn spawned(&self, id: u64, spawned: io::Result<Spawned>) {
        let now = Instant::now();
        let mut state = self.lock();
        state.spawning = state.spawning.saturating_sub(1);
        let memory = state.memory_max_bytes;
        match spawned.and_then(|spawned| Child::new(id, spawned, &state.epoll, memory, now)) {
            Ok(mut child) => {
                if let Err(error) = child.send(&state.epoll) {
                    tracing::debug!(%error, pid = child.pid(), "a slot does not listen");
                }
                state.children.insert(id, child);
            }
            Err(error) => self.failed_to_start(&mut state, &error.to_string(), now),
        }
        self.advance(state);
    }

    /// Code came, the first or a better one, or will not come.
    pub(super) fn compiled(&self, key: CodeKey, code: Result<Arc<Code>, Outcome>) {
        let now = now_us();
        let mut state = self.lock();
        let failed = code.as_ref().err().cloned();
        for (index, (place, mut waiting)) in state.programs.code_came(key, code).into_iter().enumerate() {
            // It was made for the first; the others only waited.
            if index == 0 {
                waiting.compile_us = now.saturating_sub(waiting.since_us);
            }
            match &failed {
                Some(outcome) => state.give_up(waiting, outcome.clone()),
                None => drop(state.queue.insert(place, waiting)),
            }
        }
        self.advance(state);
    }

    /// A program's files were opened, or can't be.
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

    /// A task's input was opened, or can't be.
    pub(super) fn opened_input(&self, place: u64, file: io::Result<OwnedFd>) {
        let mut state = self.lock();
        // One that was aborted meanwhile is gone.
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

    /// What a run brought is kept, or can't be.
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

    /// Starts the first slot, and waits until it is ready.
    ///
    /// # Errors
    /// Why it will not be.
    pub(super) fn begin(&self, longest: Duration) -> Result<(), String> {
        self.advance(self.lock());
        let is_open = |state: &mut State| {
            let ready = state.children.values().any(|child| child.phase == Phase::Ready);
            state.slots > 0 && state.broken.is_none() && !ready
        };
        let waited = self.changed.wait_timeout_while(self.lock(), longest, is_open);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match &state.broken {
            Some(text) => Err(text.clone()),
            None if timeout.timed_out() => Err("no slot is ready yet, and it should be".into()),
            None => Ok(()),
        }
    }

    /// Ends all slots and waits for that; nothing is started any more.
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

    /// Moves on, lets go of the lock, and only then rings and asks others.
    fn advance(&self, mut state: MutexGuard<'_, State>) {
        let now = Instant::now();
        self.improve(&mut state, now);
        state.advance(now);
        let errands = std::mem::take(&mut state.errands);
        let ring = state.take_ring();
        drop(state);
        self.changed.notify_all();
        for errand in errands {
            match errand {
                Errand::Spawn(id) => self.keeper.spawn(id),
                Errand::Program(Wish::Code(key, program)) => self.compile(key, &program),
                other @ (Errand::Program(Wish::Files(..)) | Errand::Input(..) | Errand::Store(_)) => {
                    self.carriers.send(other);
                }
            }
        }
        if ring {
            (self.on_ready)();
        }
    }

    /// Asks for a module's code, which may be there already.
    fn compile(&self, key: CodeKey, program: &Arc<Program>) {
        let (me, blobs, module) = (self.me.clone(), Arc::clone(&self.blobs), program.module);
        let told = Box::new(move |code: Result<Arc<Code>, PrepareError>| {
            if let Some(front) = me.upgrade() {
                front.compiled(key, code.map_err(|error| error.outcome()));
            }
        });
        self.compiler.request(program, Arc::new(move || blobs.read(module)), told);
    }

    /// Takes better code where it has come meanwhile.
    fn improve(&self, state: &mut State, now: Instant) {
        for (key, program) in state.programs.to_improve(now) {
            if let Some(Ok(code)) = self.compiler.get(&program)
                && code.tier() == Tier::Optimised
            {
                let parked = state.programs.code_came(key, Ok(code));
                state.queue.extend(parked);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a run is.
enum Found {
    /// No slot has it any more.
    Waiting(super::state::Waiting),
    /// This slot has started it, as this number.
    Started(u64, u32),
}

/// Takes a run out of where it waits, or says which slot started it. Nothing else of that slot's is left to it: it is
/// about to be held or killed.
fn find(state: &mut State, run: RunId) -> Option<Found> {
    if let Some((place, program)) = state.places.get(&run).copied() {
        let waiting = state.queue.remove(&place);
        let waiting = waiting.or_else(|| state.opening.remove(&place)).or_else(|| state.held.remove(&place));
        let waiting = waiting.or_else(|| state.programs.unpark(program, place));
        return waiting.map(Found::Waiting);
    }
    let has = |child: &&mut Child| child.tasks.iter().any(|task| task.waiting.run == run);
    let child = state.children.values_mut().find(has)?;
    if child.phase == Phase::Dying {
        return None;
    }
    let id = child.id;
    let back = match child.take_back() {
        Ok(back) => back,
        Err(error) => {
            child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}"))));
            return None;
        }
    };
    let number = child.tasks.iter().find(|task| task.waiting.run == run).map(|task| task.number);
    let (wanted, others): (Vec<_>, Vec<_>) = back.into_iter().partition(|waiting| waiting.run == run);
    state.requeue(others);
    let waiting = wanted.into_iter().next().map(Found::Waiting);
    waiting.or_else(|| number.map(|number| Found::Started(id, number)))
}

/// A part of a report, in memory or in a file whose bytes can't change any more.
fn part(brought: Brought, files: &mut impl Iterator<Item = OwnedFd>) -> Result<Part, Broken> {
    match brought {
        Brought::Inline(bytes) if bytes.len() <= weft_core::task::INLINE_BYTES_MAX => {
            Ok(Part::Ready(Payload::Inline(bytes.into())))
        }
        Brought::Inline(_) => Err(Broken::Protocol("a payload is too long to travel inline")),
        Brought::File(bytes) => {
            let file = files.next().ok_or(Broken::Protocol("a file is missing"))?;
            // Only files in memory have seals; reading one can't wait for anybody.
            match fcntl_get_seals(&file) {
                Ok(seals) if seals.contains(SEALS) => Ok(Part::File(file, bytes)),
                Ok(_) | Err(_) => Err(Broken::Protocol("a file is not sealed")),
            }
        }
    }
}
