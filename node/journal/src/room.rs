//! Room on the disk. New work is refused while there is still room to end what was begun, and a reserve, a file of
//! zeros, is given up when the rest is gone.

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{self, Files};
use crate::error::{Error, Refused};

/// Bytes of the reserve.
pub(crate) const RESERVE_BYTES: u64 = 32 << 20;
/// Bytes that must be free for new work.
pub(crate) const LOW_BYTES: u64 = 64 << 20;
/// Zeros that are written at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Bytes that the disk of a journal's directory lacks for new work. Where the system does not say, none.
#[must_use]
pub fn lacking_in(dir: &Path) -> u64 {
    LOW_BYTES.saturating_sub(available_in(dir))
}

fn available_in(dir: &Path) -> u64 {
    rustix::fs::statvfs(dir).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// What is left, as the writer saw it last.
#[derive(Debug)]
pub(crate) struct Room {
    files: Files,
    reserve_bytes: u64,
    low_bytes: u64,
    available: AtomicU64,
}

impl Room {
    pub(crate) fn new(files: Files, reserve_bytes: u64, low_bytes: u64) -> Self {
        Self { files, reserve_bytes, low_bytes, available: AtomicU64::new(u64::MAX) }
    }

    /// Asks the system how much is left. Where it does not say, there is room until a write fails.
    pub(crate) fn look(&self) {
        self.available.store(available_in(&self.files.dir), Ordering::Relaxed);
    }

    /// Makes the reserve, or makes it whole, if there is room for it.
    pub(crate) fn set_aside(&self) -> Result<(), Error> {
        self.look();
        if disk::length(&self.files.reserve)? == Some(self.reserve_bytes) {
            return Ok(());
        }
        disk::remove(&self.files.reserve)?;
        if self.available.load(Ordering::Relaxed) < self.low_bytes.saturating_add(self.reserve_bytes) {
            return Ok(());
        }
        match self.fill() {
            Err(error) if error.is_disk_full() => disk::remove(&self.files.reserve),
            other => other,
        }
    }

    fn fill(&self) -> Result<(), Error> {
        let path = &self.files.reserve;
        let fill = || {
            let mut file = disk::create(path)?;
            let zeros = vec![0; CHUNK_BYTES];
            let mut left = self.reserve_bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                file.write_all(zeros.get(..part).unwrap_or_default())?;
                left -= u64::try_from(part).unwrap_or(left);
            }
            file.sync_all()
        };
        fill().map_err(Error::io("write", path))
    }

    /// Gives the reserve up. False if there was none.
    pub(crate) fn give_up(&self) -> bool {
        let had = std::fs::remove_file(&self.files.reserve).is_ok();
        self.look();
        had
    }

    /// Whether new work may begin.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let available = self.available.load(Ordering::Relaxed);
        if available < self.low_bytes {
            return Err(Refused::DiskLow { available, low: self.low_bytes });
        }
        Ok(())
    }
}
