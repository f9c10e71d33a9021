//! State that both threads of a slot share: the socket, the page, the current run.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::page::Page;
use super::socket::Outgoing;
use super::swap::Swaps;
use crate::stop::Stop;

/// State that both threads of a slot share.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) socket: OwnedFd,
    pub(super) page: Page,
    pub(super) out: Mutex<Outgoing>,
    /// The current run. The thread that takes it reports it.
    pub(super) current: Mutex<Option<Current>>,
    /// Whether the watchdog is parked.
    pub(super) asleep: AtomicBool,
    /// The runner's flag. It is never raised: a run that must end takes its process with it.
    pub(super) stop: OnceLock<Stop>,
    /// The runner has ended, and so the process must.
    pub(super) over: AtomicBool,
    pub(super) swaps: Swaps,
}

/// A run that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) number: u32,
    pub(super) limit_ms: u32,
    pub(super) started: Instant,
    /// Paused time of the slot at its start.
    pub(super) held: Duration,
    pub(super) queue_us: u64,
    pub(super) in_bytes: u64,
}

impl Current {
    /// How long it has been running, pauses excluded.
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

    /// Sends queued frames; blocks until they are sent.
    pub(super) fn flush(&self, out: &mut Outgoing) -> io::Result<()> {
        out.send(&self.socket).map(|_all| ())
    }
}

/// Writes a message to standard error for the node's log: a child has no log.
pub(super) fn complain(text: &str) {
    // The pipe is small and never blocks. If the message is lost, the exit status must do.
    let _told = writeln!(io::stderr(), "weft slot: {text}");
}
