//! The keeper of a slot, on its main thread: ends a run at its time limit, sends what waits behind a long run, and
//! ends the process with its node. It sleeps while nothing runs, and nothing here touches the guest: when time is up,
//! the keeper answers for it and the whole process goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use weft_core::{Limit, Outcome, Usage};

use super::payload::brought;
use super::shared::{Current, Slot, complain};
use super::wire::{Brought, FromSlot};
use crate::stop::Stop;

/// How often the keeper looks while anything runs.
const TICK: Duration = Duration::from_millis(2);
/// How many ticks without a run before it sleeps: waking it costs more than a small task.
const LINGER_TICKS: u32 = 50;
/// How many ticks between two looks whether the node still is there.
const LIFE_TICKS: u32 = 100;

/// Keeps the time until the process is to end.
pub(super) fn watch(slot: &Slot) {
    let mut idle = 0;
    let mut ticks = 0;
    let mut meter = Meter::default();
    while !slot.over.load(Ordering::SeqCst) {
        if idle >= LINGER_TICKS {
            sleep(slot);
            idle = 0;
        }
        thread::park_timeout(TICK);
        ticks += 1;
        let current = *slot.current();
        idle = if current.is_some() { 0 } else { idle + 1 };
        if !flush(slot) || (ticks % LIFE_TICKS == 0 && is_alone(slot)) {
            return;
        }
        if slot.swaps.came() {
            return complain("this machine has got swap, with which a slot resets its memory in another way");
        }
        if let Some(current) = current {
            meter.follow(&current);
            if end_if_late(slot, &meter) {
                return;
            }
        }
    }
}

/// Wakes the keeper if it sleeps; for the runner, which has set `current` before.
pub(super) fn wake(slot: &Slot, watchdog: &Thread) {
    if slot.asleep.load(Ordering::SeqCst) && slot.asleep.swap(false, Ordering::SeqCst) {
        watchdog.unpark();
    }
}

/// Parks until a run begins or the runner ends. `asleep` is raised before the last look at `current`, and the runner
/// sets `current` before it looks at `asleep`: one of the two sees the other.
fn sleep(slot: &Slot) {
    slot.asleep.store(true, Ordering::SeqCst);
    while slot.asleep.load(Ordering::SeqCst) && slot.current().is_none() && !slot.over.load(Ordering::SeqCst)
    {
        thread::park();
    }
    slot.asleep.store(false, Ordering::SeqCst);
}

/// Processor time of the run that is under way, as of the tick that saw it first.
#[derive(Default)]
struct Meter {
    number: Option<u32>,
    cpu_us: u64,
    ran: Duration,
}

impl Meter {
    fn follow(&mut self, current: &Current) {
        if self.number != Some(current.number) {
            *self = Self { number: Some(current.number), cpu_us: cpu_us(), ran: current.started.elapsed() };
        }
    }

    /// What it used so far; before the first tick it is taken to have run all the time.
    fn used_us(&self) -> u64 {
        micros(self.ran).saturating_add(cpu_us().saturating_sub(self.cpu_us))
    }
}

/// Answers for a run whose time is up. True if there was one; the process is to end then.
fn end_if_late(slot: &Slot, meter: &Meter) -> bool {
    let mut guard = slot.current();
    let held = slot.page.held();
    let late =
        guard.filter(|current| current.ran(held) >= Duration::from_millis(u64::from(current.limit_ms)));
    let Some(current) = late else { return false };
    // From here on the runner can't answer it any more.
    *guard = None;
    drop(guard);
    let wall = current.ran(slot.page.held());
    let (output, errors) = slot.stop.get().map(Stop::printed).unwrap_or_default();
    let usage = Usage {
        in_bytes: current.in_bytes,
        out_bytes: (output.len() as u64).saturating_add(errors.len() as u64),
        wall_us: micros(wall),
        cpu_us: meter.used_us(),
        queue_us: current.queue_us,
        ..Usage::default()
    };
    let mut sent = Vec::new();
    // When there is no memory for it, the outcome is what counts.
    let mut bring = |bytes| {
        let (brought, file) = brought(bytes).unwrap_or((Brought::Inline(Vec::new()), None));
        sent.extend(file.map(Arc::new));
        brought
    };
    let (output, errors) = (bring(output), bring(errors));
    let mut out = slot.out();
    let outcome = Outcome::LimitExceeded(Limit::WallTime { limit_ms: current.limit_ms });
    let number = current.number;
    let files = Brought::Inline(Vec::new());
    out.push(&FromSlot::Ran { number, outcome, output, errors, files, usage }, sent);
    // When the node is gone, nobody is left to be told.
    drop(slot.flush(&mut out));
    true
}

/// Sends what waits. False if the node is gone.
fn flush(slot: &Slot) -> bool {
    let mut out = slot.out();
    out.waiting() == 0 || slot.flush(&mut out).is_ok()
}

/// Whether the node closed its end while the runner has no time to look.
fn is_alone(slot: &Slot) -> bool {
    let mut look = [PollFd::new(&slot.socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    poll(&mut look, Some(&at_once)).is_ok() && look.iter().any(|fd| fd.revents().intersects(gone))
}

fn cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let micros = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000);
    u64::try_from(micros).unwrap_or(0)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
