//! The queue of slot processes to start, with an eventfd that wakes the thread which starts them (`supervisor.rs`).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct SpawnQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bell: OwnedFd,
    state: Mutex<Orders>,
}

#[derive(Debug, Default)]
struct Orders {
    spawn: Vec<u64>,
    quit: bool,
}

impl SpawnQueue {
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Shared { bell, state: Mutex::default() })))
    }

    /// Queues the start of a process with this number.
    pub(super) fn spawn(&self, id: u64) {
        self.lock().spawn.push(id);
        self.wake();
    }

    /// Ends the thread.
    pub(super) fn quit(&self) {
        self.lock().quit = true;
        self.wake();
    }

    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // It can fail only if the eventfd is readable already.
        let _rings = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }

    /// Takes the processes to start; `None` when the thread is to end.
    pub(super) fn take(&self) -> Option<Vec<u64>> {
        let mut orders = self.lock();
        if orders.quit { None } else { Some(std::mem::take(&mut orders.spawn)) }
    }

    /// The eventfd: readable after each call of `spawn`, `quit` and `wake`, until [`SpawnQueue::silence`].
    pub(super) fn bell(&self) -> &OwnedFd {
        &self.0.bell
    }

    /// Makes the eventfd unreadable again.
    pub(super) fn silence(&self) {
        let _rang = rustix::io::read(&self.0.bell, &mut [0_u8; 8]);
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
