//! The watchdog of a slot, on its main thread: ends a run at its time limit, sends reports that wait behind a long run,
//! and ends the process with its node. It sleeps while nothing runs. It does not touch the guest: at the time limit,
//! the watchdog reports the run and the process ends.

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

/// Time between two checks while a guest runs.
const TICK: Duration = Duration::from_millis(2);
/// Ticks without a run before it sleeps: waking it costs more than a small task.
const LINGER_TICKS: u32 = 50;
/// Ticks between two checks whether the node is alive.
const LIFE_TICKS: u32 = 100;

/// Runs until the process is to end.
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
            return complain("swap was added to this machine, and this slot relies on there being none");
        }
        if let Some(current) = current {
            meter.follow(&current);
            if end_if_late(slot, &meter) {
                return;
            }
        }
    }
}

/// Wakes the watchdog if it sleeps; called by the runner after it has set `current`.
pub(super) fn wake(slot: &Slot, watchdog: &Thread) {
    if slot.asleep.load(Ordering::SeqCst) && slot.asleep.swap(false, Ordering::SeqCst) {
        watchdog.unpark();
    }
}

/// Parks until a run begins or the runner ends. `asleep` is set before the last check of `current`, and the runner sets
/// `current` before it checks `asleep`: at least one of the two sees the other.
fn sleep(slot: &Slot) {
    slot.asleep.store(true, Ordering::SeqCst);
    while slot.asleep.load(Ordering::SeqCst) && slot.current().is_none() && !slot.over.load(Ordering::SeqCst)
    {
        thread::park();
    }
    slot.asleep.store(false, Ordering::SeqCst);
}

/// Processor time of the current run, since the first tick that saw it.
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

    /// Processor time so far; before the first tick it is taken to have used the processor all the time.
    fn used_us(&self) -> u64 {
        micros(self.ran).saturating_add(cpu_us().saturating_sub(self.cpu_us))
    }
}

/// Reports a run that reached its time limit. True if there was one; the process must end then.
fn end_if_late(slot: &Slot, meter: &Meter) -> bool {
    let mut guard = slot.current();
    let held = slot.page.held();
    let late =
        guard.filter(|current| current.ran(held) >= Duration::from_millis(u64::from(current.limit_ms)));
    let Some(current) = late else { return false };
    // From here on the runner can't report it any more.
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
    // Without memory for it, the outcome is reported alone.
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
    // If the node is gone, there is nothing to report to.
    drop(slot.flush(&mut out));
    true
}

/// Sends queued frames. False if the node is gone.
fn flush(slot: &Slot) -> bool {
    let mut out = slot.out();
    out.waiting() == 0 || slot.flush(&mut out).is_ok()
}

/// Whether the node closed the socket while the runner is busy.
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
