//! Putting the blobs that records name onto the disk, before the records.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use weft_blobs::Store;
use weft_core::durable::LogRecord;
use weft_core::{BlobId, JobId};

/// Blobs that are put onto the disk at once: each waits for the disk most of the time.
const SYNCS: usize = 8;
/// How often the store is asked for a blob that it can't read, and the pause before: the system may be out of files.
const BLOB_TRIES: u32 = 20;
const BLOB_PAUSE: Duration = Duration::from_millis(500);

/// Puts what these records of jobs name onto the disk. Which jobs' programs and inputs are not all in the store, with the
/// first blob that each lacks: it was there when the job was handed in, so another program removed it, or its bytes went bad.
/// An error is a disk that fails.
pub(super) fn put<'a>(
    store: &Store,
    records: impl Iterator<Item = (JobId, &'a LogRecord)> + Clone,
) -> Result<Vec<(JobId, BlobId)>, String> {
    let blobs: BTreeSet<BlobId> = records.clone().flat_map(|(_, record)| record.blobs()).collect();
    let missing = put_all(store, blobs.into_iter().collect())?;
    let mut lost = Vec::new();
    for (job, record) in records.filter(|_| !missing.is_empty()) {
        let begins = matches!(
            record,
            LogRecord::Accepted(_) | LogRecord::Extended { .. } | LogRecord::Resolved { .. }
        );
        let lacks = record.blobs().find(|blob| missing.contains(blob));
        lost.extend(lacks.filter(|_| begins).map(|blob| (job, blob)));
    }
    Ok(lost)
}

/// Puts these onto the disk. Those that are not in the store.
pub(super) fn put_all(store: &Store, blobs: Vec<BlobId>) -> Result<BTreeSet<BlobId>, String> {
    let (next, missing) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    let failure = Mutex::new(None);
    let put = || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match put_blob(store, *blob) {
                Ok(true) => {}
                Ok(false) => {
                    missing.lock().unwrap_or_else(PoisonError::into_inner).insert(*blob);
                }
                Err(error) => {
                    failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..SYNCS.min(blobs.len()) {
            // Without a thread more it takes longer.
            drop(std::thread::Builder::new().spawn_scoped(scope, put));
        }
        put();
    });
    let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
    failure.map_or(Ok(missing.into_inner().unwrap_or_else(PoisonError::into_inner)), Err)
}

/// Puts a blob onto the disk. False if it is missing, which is no failure of the disk. A sync that failed is final; that it
/// could not be read may pass.
fn put_blob(store: &Store, blob: BlobId) -> Result<bool, String> {
    let mut tries = 1;
    loop {
        match store.make_durable(blob) {
            Ok(true) => return Ok(true),
            Ok(false) => {
                tracing::warn!(%blob, "a blob that a kept job rests on is not in the store");
                return Ok(false);
            }
            Err(error) if error.is_sync() || tries >= BLOB_TRIES => {
                return Err(format!("a blob that a kept job rests on can't be put onto the disk: {error}"));
            }
            Err(error) => {
                tracing::warn!(%blob, %error, "a blob that a kept job rests on can't be read, and is tried again");
                tries += 1;
                std::thread::sleep(BLOB_PAUSE);
            }
        }
    }
}
