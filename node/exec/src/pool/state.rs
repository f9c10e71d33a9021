//! The state of the pool of processes: the queue, the slots with their tasks, and the rules that move tasks between
//! them. It is called with events and acts at once; it never blocks and owns no thread. Slow operations are requested
//! from other threads (see [`super::front`]).

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
use weft_core::{BlobId, Outcome, Report, RunId, Work};

use super::assignment::{Ending, Intent, TASKS_MAX, Waiting};
use super::blobs::too_long;
use super::child::{Child, Phase};
use super::programs::{Missing, Programs, Runnable};
use super::requests::Request;
use super::types::{PoolEvent, QUEUE_MAX};
use crate::os::now_us;
use crate::slot::Confinement;

/// Most inputs that are open, or being opened, for tasks that are not assigned yet.
const INPUTS_MAX: usize = 64;
/// Most pieces of printed output that wait to be collected; more are dropped, for the report has all of it.
const PRINTED_MAX: usize = 4096;

/// Where a run is.
pub(super) enum Found {
    /// It is not assigned to a slot any more.
    Waiting(Box<Waiting>),
    /// This slot has started it, under this number.
    Started(u64, u32),
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) slots: usize,
    pub(super) memory_max_bytes: u64,
    /// Longest accepted module, in bytes.
    module_max_bytes: u64,
    pub(super) epoll: OwnedFd,
    pub(super) timer: OwnedFd,
    /// When the timer expires, if it is set.
    pub(super) armed: Option<Instant>,
    /// Tasks that may be assigned, by position.
    pub(super) queue: BTreeMap<u64, Box<Waiting>>,
    /// Tasks whose input is being opened.
    pub(super) opening: BTreeMap<u64, Box<Waiting>>,
    /// Tasks that were paused before they were assigned.
    pub(super) held: BTreeMap<u64, Box<Waiting>>,
    /// Position and program of each task that is not assigned.
    pub(super) places: BTreeMap<RunId, (u64, u32)>,
    next_place: u64,
    pub(super) programs: Programs,
    pub(super) children: BTreeMap<u64, Child>,
    next_child: u64,
    /// Processes that are being started.
    pub(super) spawning: usize,
    /// Starts that failed since one succeeded, and when the next is tried.
    pub(super) failures: u32,
    pub(super) retry_at: Option<Instant>,
    /// Why no slot starts, if none does.
    pub(super) broken: Option<String>,
    pub(super) confinement: Option<Confinement>,
    /// Slots that died or were killed, and were replaced.
    pub(super) replaced: u64,
    pub(super) events: Vec<PoolEvent>,
    printed: usize,
    /// Whether the caller was notified of events.
    rung: bool,
    pub(super) requests: Vec<Request>,
    /// Whether a caller waits for the first slot.
    pub(super) awaited: bool,
    pub(super) quit: bool,
}

impl State {
    pub(super) fn new(slots: u32, memory_max_bytes: u64, module_max_bytes: u64) -> std::io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            slots: usize::try_from(slots).unwrap_or(usize::MAX),
            memory_max_bytes,
            module_max_bytes,
            epoll: rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?,
            timer: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            armed: None,
            queue: BTreeMap::new(),
            opening: BTreeMap::new(),
            held: BTreeMap::new(),
            places: BTreeMap::new(),
            next_place: 0,
            programs: Programs::default(),
            children: BTreeMap::new(),
            next_child: 0,
            spawning: 0,
            failures: 0,
            retry_at: None,
            broken: None,
            confinement: None,
            replaced: 0,
            events: Vec::new(),
            printed: 0,
            rung: false,
            requests: Vec::new(),
            awaited: true,
            quit: false,
        })
    }

    /// Whether the list of events has become non-empty: then the caller must be notified.
    pub(super) fn take_ring(&mut self) -> bool {
        let full = !self.events.is_empty();
        full && !std::mem::replace(&mut self.rung, full)
    }

    /// Adds a task at the end of the queue.
    pub(super) fn enter(
        &mut self,
        run: RunId,
        work: Work,
        since_us: u64,
        len: impl Fn(BlobId) -> Option<u64>,
    ) {
        if self.places.len() >= QUEUE_MAX {
            let text = format!("{QUEUE_MAX} tasks wait for this node's slots already");
            return self.answer(run, Report::bare(Outcome::Lost(text)));
        }
        if let Some(text) = self.broken.clone() {
            return self.answer(run, Report::bare(Outcome::Lost(text)));
        }
        let most = (self.memory_max_bytes, self.module_max_bytes);
        if let Some(report) = too_long(&work, self.programs.knows(&work.program), most, len) {
            return self.answer(run, report);
        }
        let program = self.programs.enter(&work.program);
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(run, (place, program));
        let waiting =
            Box::new(Waiting { run, place, work, program, since_us, compile_us: 0, deaths: 0, input: None });
        // Requested now, so that it is available when the task's turn comes.
        match self.programs.missing(program, waiting.work.owner) {
            Missing::Nothing => drop(self.queue.insert(place, waiting)),
            Missing::Code => self.park_for_code(place, waiting),
            Missing::Files => self.programs.park(place, waiting),
            Missing::Failed(outcome) => self.give_up(waiting, outcome),
        }
    }

    /// Keeps a task until its code is available.
    fn park_for_code(&mut self, place: u64, waiting: Box<Waiting>) {
        self.tell_compiling(waiting.run, true);
        self.programs.park(place, waiting);
    }

    /// The code of a task is available.
    pub(super) fn unpark_for_code(&mut self, place: u64, waiting: Box<Waiting>) {
        self.tell_compiling(waiting.run, false);
        self.queue.insert(place, waiting);
    }

    /// Removes a task that waits for its program, and for its code no longer.
    fn unpark(&mut self, run: RunId, program: u32, place: u64) -> Option<Box<Waiting>> {
        let waiting = self.programs.unpark(program, place)?;
        if self.programs.lacks_code(program) {
            self.tell_compiling(run, false);
        }
        Some(waiting)
    }

    /// Adds an event that a task waits, or waits no longer, for its module to be compiled; merged with the last event
    /// if possible.
    fn tell_compiling(&mut self, run: RunId, waits: bool) {
        match self.events.last_mut() {
            Some(PoolEvent::Compiling { runs, waits: same }) if *same == waits => runs.push(run),
            _ => self.events.push(PoolEvent::Compiling { runs: vec![run], waits }),
        }
    }

    /// Puts tasks back to their positions in the queue.
    pub(super) fn requeue(&mut self, waiting: impl IntoIterator<Item = Box<Waiting>>) {
        for waiting in waiting {
            self.places.insert(waiting.run, (waiting.place, waiting.program));
            self.queue.insert(waiting.place, waiting);
        }
    }

    /// Pauses a task that is not assigned.
    pub(super) fn hold(&mut self, waiting: Box<Waiting>) {
        self.places.insert(waiting.run, (waiting.place, waiting.program));
        self.held.insert(waiting.place, waiting);
    }

    /// Records what is asked of an assigned task, for the case that its slot dies. An abort is final.
    pub(super) fn ask(&mut self, run: RunId, intent: Intent) {
        let mut tasks = self.children.values_mut().flat_map(|child| &mut child.tasks);
        if let Some(task) = tasks.find(|task| task.waiting.run == run && task.intent != Intent::Abort) {
            task.intent = intent;
        }
    }

    /// Reports the end of a run.
    pub(super) fn answer(&mut self, run: RunId, report: Report) {
        self.events.push(PoolEvent::Ran(run, report));
    }

    /// Ends a task that is not assigned any more.
    pub(super) fn give_up(&mut self, waiting: Box<Waiting>, outcome: Outcome) {
        self.end(&waiting, Report::bare(outcome));
    }

    /// Ends a task that is not assigned any more with this report, and adds its waiting times.
    pub(super) fn end(&mut self, waiting: &Waiting, mut report: Report) {
        self.places.remove(&waiting.run);
        self.programs.done(waiting.program);
        let all_us = now_us().saturating_sub(waiting.since_us);
        report.usage.compile_us = waiting.compile_us;
        report.usage.queue_us =
            all_us.saturating_sub(waiting.compile_us).saturating_sub(report.usage.wall_us);
        self.answer(waiting.run, report);
    }

    /// Passes on output that a guest printed.
    pub(super) fn print(&mut self, event: PoolEvent) {
        if self.printed < PRINTED_MAX {
            self.printed += 1;
            self.events.push(event);
        }
    }

    pub(super) fn take_events(&mut self) -> Vec<PoolEvent> {
        (self.printed, self.rung) = (0, false);
        // The next list will have about the same length; growing to it would cost more.
        let room = Vec::with_capacity(self.events.len().min(TASKS_MAX));
        std::mem::replace(&mut self.events, room)
    }

    /// Slots that run a task.
    pub(super) fn active(&self) -> usize {
        self.children.values().filter(|child| child.is_active()).count()
    }

    /// Slots that are paused.
    pub(super) fn on_hold(&self) -> usize {
        self.children.values().filter(|child| child.held_since.is_some()).count()
    }

    /// Assigns waiting tasks, passes on requests, and asks for the slots that the rest needs.
    pub(super) fn advance(&mut self, now: Instant) {
        self.hand_out(now);
        let requests = std::mem::take(&mut self.programs.requests);
        self.requests.extend(requests.into_iter().map(Request::Program));
        self.want_slots(now);
    }

    /// Assigns waiting tasks to slots that have room.
    pub(super) fn hand_out(&mut self, now: Instant) {
        while !self.queue.is_empty() {
            let Some(id) = self.next_slot() else { break };
            let Some(mut child) = self.children.remove(&id) else { break };
            let gave = self.fill(&mut child, now);
            child.send(&self.epoll);
            self.children.insert(id, child);
            if gave == 0 {
                break;
            }
        }
    }

    /// The slot that gets the next task: an idle one if one more may run, else one that will soon be idle and has room for it.
    fn next_slot(&self) -> Option<u64> {
        let idle = self.children.values().find(|child| child.is_idle());
        let idle = idle.filter(|_| self.active() < self.slots);
        idle.or_else(|| self.dry_slot()).map(|child| child.id)
    }

    fn dry_slot(&self) -> Option<&Child> {
        let (_, waiting) = self.queue.first_key_value()?;
        let expected = self.programs.expected(waiting.program)?;
        let runnable = self.programs.runnable(waiting.program);
        let dry = self.children.values().filter(|child| {
            let brings_files = brings_files(child, waiting, runnable.as_ref());
            child.wants_more(brings_files) && child.has_room(expected, brings_files)
        });
        dry.min_by_key(|child| child.expected)
    }

    /// Assigns a slot its share of the queue; returns how many tasks left the queue.
    fn fill(&mut self, child: &mut Child, now: Instant) -> usize {
        let share = self.queue.len().div_ceil(self.slots.max(1)).max(1);
        let (mut given, mut left) = (0, 0);
        while given < share {
            let Some((place, waiting)) = self.queue.pop_first() else { break };
            match self.programs.missing(waiting.program, waiting.work.owner) {
                Missing::Nothing => {}
                Missing::Code => {
                    self.park_for_code(place, waiting);
                    left += 1;
                    continue;
                }
                Missing::Files => {
                    self.programs.park(place, waiting);
                    left += 1;
                    continue;
                }
                Missing::Failed(outcome) => {
                    self.give_up(waiting, outcome);
                    left += 1;
                    continue;
                }
            }
            let blob = waiting.work.input.blob().filter(|_| waiting.input.is_none());
            if let Some(blob) = blob {
                if self.opening.len() >= INPUTS_MAX {
                    self.queue.insert(place, waiting);
                    break;
                }
                self.requests.push(Request::Input(place, blob));
                self.opening.insert(place, waiting);
                left += 1;
                continue;
            }
            let Some(runnable) = self.programs.runnable(waiting.program) else { continue };
            if !child.has_room(runnable.expected, brings_files(child, &waiting, Some(&runnable))) {
                self.queue.insert(place, waiting);
                break;
            }
            self.places.remove(&waiting.run);
            match child.assign(waiting, &runnable, now) {
                Ok(()) => given += 1,
                Err((waiting, error)) => {
                    left += 1;
                    self.give_up(waiting, Outcome::Lost(format!("no slot can be given the task: {error}")));
                }
            }
        }
        given + left
    }

    /// Requests processes: one for each task that could run now, and a spare one.
    fn want_slots(&mut self, now: Instant) {
        if self.quit || self.slots == 0 || self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        let held = self.on_hold();
        let waiting = self.queue.len() + self.opening.len();
        let busy = self.active() + waiting.min(self.slots.saturating_sub(self.active()));
        let wanted = (busy + 1 + held).min(2 * self.slots + 1);
        let there = self.children.values().filter(|child| child.phase != Phase::Dying).count();
        for _ in (there + self.spawning)..wanted {
            self.spawning += 1;
            let id = self.next_child;
            self.next_child += 1;
            self.requests.push(Request::Spawn(id));
        }
    }

    /// Removes a run from where it waits, or finds the slot that started it. All other tasks of that slot are
    /// retracted, for it is about to be paused or killed.
    pub(super) fn find(&mut self, run: RunId) -> Option<Found> {
        if let Some((place, program)) = self.places.get(&run).copied() {
            let waiting = self.queue.remove(&place);
            let waiting =
                waiting.or_else(|| self.opening.remove(&place)).or_else(|| self.held.remove(&place));
            return waiting.or_else(|| self.unpark(run, program, place)).map(Found::Waiting);
        }
        let has = |child: &&mut Child| child.tasks.iter().any(|task| task.waiting.run == run);
        let child = self.children.values_mut().find(has)?;
        if child.phase == Phase::Dying {
            return None;
        }
        let id = child.id;
        let back = match child.retract() {
            Ok(back) => back,
            Err(error) => {
                child.kill(Ending::Any(Outcome::Lost(format!("the slot: {error}"))));
                return None;
            }
        };
        let number = child.tasks.iter().find(|task| task.waiting.run == run).map(|task| task.number);
        let (wanted, others): (Vec<_>, Vec<_>) = back.into_iter().partition(|waiting| waiting.run == run);
        self.requeue(others);
        let waiting = wanted.into_iter().next().map(Found::Waiting);
        waiting.or_else(|| number.map(|number| Found::Started(id, number)))
    }
}

/// Whether a task comes to that slot with files: its input, or code and files of its program. What still has to be opened is seen to
/// whatever the slot has loaded.
fn brings_files(child: &Child, waiting: &Waiting, runnable: Option<&Runnable<'_>>) -> bool {
    let is_loaded = runnable.is_none_or(|it| child.has_loaded(it.program_number, it.code_number));
    waiting.work.input.blob().is_some() || !is_loaded
}
