//! The thread that advances the engines' epochs while a guest runs, and sleeps otherwise.
//!
//! It knows no run: each guest checks its own watch when the epoch advances (see [`crate::stop::Watch`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engines::Engines;

/// How often a running guest checks its watch.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Ticks without a run before the thread sleeps. Waking it costs more than a small task, so it stays awake between the
/// tasks of a stream.
const LINGER_TICKS: u32 = 20;

/// Owns the thread; dropping it ends the thread.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    asleep: AtomicBool,
    quit: AtomicBool,
}

impl Ticker {
    pub(crate) fn start(engines: Arc<Engines>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("weft-ticker".into()).spawn(move || tick(&theirs, &engines))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Epochs advance until the guard is dropped.
    pub(crate) fn keep(&self) -> Running<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) && self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
        Running(&self.shared)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic of the ticker.
            drop(thread.join());
        }
    }
}

/// While it exists, epochs advance.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Shared);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(shared: &Shared, engines: &Engines) {
    let mut idle = 0;
    while !shared.quit.load(Ordering::SeqCst) {
        idle = if shared.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
        if idle <= LINGER_TICKS {
            thread::park_timeout(TICK);
            engines.increment_epochs();
        } else {
            sleep(shared);
            idle = 0;
        }
    }
}

/// Parks until a run wakes it. `asleep` is set before the last check of `running`, and a run counts itself before it
/// checks `asleep`: at least one of the two sees the other.
fn sleep(shared: &Shared) {
    shared.asleep.store(true, Ordering::SeqCst);
    while shared.asleep.load(Ordering::SeqCst)
        && shared.running.load(Ordering::SeqCst) == 0
        && !shared.quit.load(Ordering::SeqCst)
    {
        thread::park();
    }
    shared.asleep.store(false, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::make::Interrupt;
    use std::time::Instant;

    fn wait_asleep(ticker: &Ticker) {
        let until = Instant::now() + Duration::from_secs(30);
        while !ticker.shared.asleep.load(Ordering::SeqCst) {
            assert!(Instant::now() < until, "the ticker never slept");
            thread::yield_now();
        }
    }

    #[test]
    fn it_sleeps_when_nothing_runs_and_wakes_for_a_run() {
        let ticker = Ticker::start(Arc::new(Engines::new(1, Interrupt::Epochs).unwrap())).unwrap();
        for _ in 0..3 {
            wait_asleep(&ticker);
            let running = ticker.keep();
            assert!(!ticker.shared.asleep.load(Ordering::SeqCst));
            drop(running);
        }
    }
}
