//! What both threads of a slot use: the socket, the page, the run that is under way.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::page::Page;
use super::socket::Outgoing;
use super::swap::Swaps;
use crate::stop::Stop;

/// What both threads of a slot use.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) socket: OwnedFd,
    pub(super) page: Page,
    pub(super) out: Mutex<Outgoing>,
    /// The run that is under way. Whoever takes it away answers it.
    pub(super) current: Mutex<Option<Current>>,
    /// Whether the keeper waits to be woken.
    pub(super) asleep: AtomicBool,
    /// The runner's, which never is raised: a run that is to end takes its process along.
    pub(super) stop: OnceLock<Stop>,
    /// The runner came to its end, and with it the process does.
    pub(super) over: AtomicBool,
    pub(super) swaps: Swaps,
}

/// A run that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) number: u32,
    pub(super) limit_ms: u32,
    pub(super) started: Instant,
    /// For how long the slot had been held before.
    pub(super) held: Duration,
    pub(super) queue_us: u64,
    pub(super) in_bytes: u64,
}

impl Current {
    /// For how long it has been running.
    pub(super) fn ran(&self, held: Duration) -> Duration {
        self.started.elapsed().saturating_sub(held.saturating_sub(self.held))
    }
}

impl Slot {
    pub(super) fn out(&self) -> MutexGuard<'_, Outgoing> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits, for as long as that takes.
    pub(super) fn flush(&self, out: &mut Outgoing) -> io::Result<()> {
        out.send(&self.socket).map(|_all| ())
    }
}

/// Last words, for the node's log: a child has none of its own.
pub(super) fn complain(text: &str) {
    // The pipe takes a little and never waits. Without it, how the process ended has to do.
    let _told = writeln!(io::stderr(), "weft slot: {text}");
}
