//! A page of memory that a node shares with one slot: which tasks were claimed, since when the current one runs, and
//! how long it was paused. Atomics only; each side treats the other's values as untrusted.
//!
//! The ledger makes every task start at most once although the node may retract it at any time: the slot claims tasks
//! in the order of their numbers, and the node revokes all unclaimed ones, each in one atomic step.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Length of the mapping: one page on every system.
const PAGE_BYTES: usize = 4096;
/// Most tries of an atomic update. A correct peer causes one retry.
const TRIES_MAX: usize = 1000;

#[repr(C)]
struct Words {
    /// High half: one more than the last claimed task. Low half: the first task that may still be claimed.
    ledger: AtomicU64,
    /// When the current task began to run, in microseconds of the monotonic clock; 0 while it is being loaded.
    began_us: AtomicU64,
    /// Total time that the slot was paused, in microseconds.
    held_us: AtomicU64,
    /// Process id of the node.
    node: AtomicU32,
}

/// One side's mapping of the page.
pub(crate) struct Page(NonNull<Words>);

#[expect(unsafe_code, reason = "a mapping shared by two processes")]
// SAFETY: the words are atomics in a mapping that lives as long as `self`, and nothing else is reached through it.
unsafe impl Send for Page {}
#[expect(unsafe_code, reason = "a mapping shared by two processes")]
// SAFETY: as above; every access is atomic.
unsafe impl Sync for Page {}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("ledger", &self.words().ledger).finish_non_exhaustive()
    }
}

impl Page {
    /// A new page, and the file with which the other side maps it.
    ///
    /// # Errors
    /// When the system has no memory or descriptor left.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("weft-slot", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, PAGE_BYTES as u64)?;
        // Otherwise the other side could shorten the file and so kill any process that touches the page.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let page = Self::map(&file)?;
        page.words()
            .node
            .store(rustix::process::getpid().as_raw_nonzero().get().cast_unsigned(), Ordering::Relaxed);
        Ok((page, file))
    }

    /// Maps the page of a file that [`Page::create`] made.
    ///
    /// # Errors
    /// When it can't be mapped.
    #[expect(unsafe_code, reason = "a mapping shared by two processes")]
    pub(crate) fn map(file: impl AsFd) -> io::Result<Self> {
        let length = rustix::fs::fstat(&file)?.st_size;
        if length != PAGE_BYTES as i64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the shared page has another length"));
        }
        // SAFETY: a fresh mapping at an address that the kernel chooses. The file is a page long and sealed against
        // getting shorter by the node that made it.
        let at = unsafe {
            mmap(ptr::null_mut(), PAGE_BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file, 0)?
        };
        let words = NonNull::new(at.cast::<Words>()).ok_or_else(|| io::Error::other("mapped at nowhere"))?;
        Ok(Self(words))
    }

    #[expect(unsafe_code, reason = "a mapping shared by two processes")]
    fn words(&self) -> &Words {
        // SAFETY: the mapping is aligned to a page, longer than `Words`, lives until `drop`, and every bit pattern is
        // a valid `Words`; only atomics are in it, so that the other process may write at any time.
        unsafe { self.0.as_ref() }
    }

    /// Slot: claims this task, unless the node retracted it. Tasks are claimed in the order of their numbers.
    pub(crate) fn claim(&self, task: u32) -> bool {
        // Written before the claim, which publishes it: the last task's start must not be read for this one.
        self.words().began_us.store(0, Ordering::Relaxed);
        let next = task.wrapping_add(1);
        self.update(|_, floor| is_before(floor, next).then_some((next, floor))).is_some()
    }

    /// Slot: the claimed task is loaded and runs from now on.
    pub(crate) fn begin(&self, now_us: u64) {
        self.words().began_us.store(now_us, Ordering::Release);
    }

    /// Node: retracts every unclaimed task before `end`. Returns the first one that was not claimed; `None` if the slot
    /// keeps changing the ledger.
    pub(crate) fn revoke(&self, end: u32) -> Option<u32> {
        let (started, floor) = self.update(|started, _| Some((started, end)))?;
        Some(if is_before(started, floor) { floor } else { started })
    }

    /// One more than the last task that the slot claimed, by its own values.
    pub(crate) fn started(&self) -> u32 {
        halves(self.words().ledger.load(Ordering::Acquire)).0
    }

    /// When the current task began to run, in microseconds of the monotonic clock, moved by its pauses since; as the
    /// slot claims. `None` while it is being loaded.
    pub(crate) fn began_us(&self) -> Option<u64> {
        Some(self.words().began_us.load(Ordering::Acquire)).filter(|began| *began != 0)
    }

    /// Total time that the slot was paused.
    pub(crate) fn held(&self) -> Duration {
        Duration::from_micros(self.words().held_us.load(Ordering::Acquire))
    }

    /// Node: adds the time of a pause, before the slot continues.
    pub(crate) fn add_held(&self, held: Duration) {
        let us = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        if let Some(began) = self.began_us() {
            // It fails if the slot was not stopped and started the next task, whose start is right.
            let (order, later) = (Ordering::Relaxed, began.saturating_add(us));
            let _moved = self.words().began_us.compare_exchange(began, later, order, order);
        }
        self.words().held_us.fetch_add(us, Ordering::Release);
    }

    /// Process id of the node.
    pub(crate) fn node(&self) -> u32 {
        self.words().node.load(Ordering::Relaxed)
    }

    /// Changes the ledger in one atomic step and returns its old value; `None` if `change` refuses or the other side
    /// keeps changing it.
    fn update(&self, change: impl Fn(u32, u32) -> Option<(u32, u32)>) -> Option<(u32, u32)> {
        let ledger = &self.words().ledger;
        let mut now = ledger.load(Ordering::Acquire);
        for _ in 0..TRIES_MAX {
            let (started, floor) = halves(now);
            let (new_started, new_floor) = change(started, floor)?;
            let new = u64::from(new_started) << 32 | u64::from(new_floor);
            match ledger.compare_exchange(now, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some((started, floor)),
                Err(moved) => now = moved,
            }
        }
        None
    }
}

impl Drop for Page {
    #[expect(unsafe_code, reason = "a mapping shared by two processes")]
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this length, and no reference into it outlives `self`.
        if let Err(error) = unsafe { munmap(self.0.as_ptr().cast(), PAGE_BYTES) } {
            tracing::debug!(%error, "a shared page stays mapped");
        }
    }
}

/// Whether number `a` comes before `b`; numbers wrap at 2^32, and compared ones are close to each other.
pub(crate) fn is_before(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() < 0
}

#[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_task_is_claimed_or_revoked_and_never_both() {
        for first in [0, u32::MAX - 500] {
            let (node, file) = Page::create().unwrap();
            let slot = Page::map(&file).unwrap();
            node.words().ledger.store(u64::from(first) << 32 | u64::from(first), Ordering::SeqCst);
            let tasks = 2000;
            thread::scope(|scope| {
                let claims = scope.spawn(|| {
                    (0..tasks).filter(|index| slot.claim(first.wrapping_add(*index))).collect::<Vec<u32>>()
                });
                // Each revocation takes all that may have been sent so far.
                let mut revoked = Vec::new();
                for end in (0..=tasks).step_by(20) {
                    revoked.push((node.revoke(first.wrapping_add(end)).unwrap().wrapping_sub(first), end));
                }
                let claimed = claims.join().unwrap();
                let mut fate = vec![0_u32; usize::try_from(tasks).unwrap()];
                for index in claimed {
                    fate[usize::try_from(index).unwrap()] += 1;
                }
                for index in revoked.into_iter().flat_map(|(from, end)| from..end) {
                    fate[usize::try_from(index).unwrap()] += 1;
                }
                assert_eq!(fate.iter().position(|times| *times != 1), None);
            });
        }
    }

    #[test]
    fn time_on_hold_moves_the_beginning_and_loading_has_none() {
        let (node, file) = Page::create().unwrap();
        let slot = Page::map(&file).unwrap();
        assert!(slot.claim(0));
        node.add_held(Duration::from_micros(30));
        assert_eq!(node.began_us(), None);
        slot.begin(1000);
        node.add_held(Duration::from_micros(500));
        assert_eq!((node.began_us(), slot.held()), (Some(1500), Duration::from_micros(530)));
        assert!(slot.claim(1));
        assert_eq!(node.began_us(), None);
    }

    #[test]
    fn numbers_go_round() {
        assert!(is_before(u32::MAX, 0) && is_before(u32::MAX - 3, 7) && !is_before(7, 7) && !is_before(8, 7));
    }
}
