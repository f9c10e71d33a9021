//! Room on the disk for a job that is to be kept, before it is handed in: blobs that nothing needs give way. Whether there is room
//! then, the node's loop says.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tokio::task::spawn_blocking;
use weft_core::Level;
use weft_journal::lacking_in;

use super::Api;
use crate::settings::JOURNAL_DIR;

/// Evicts blobs where the disk has too little room for one more job of that level. Nearly always that is one system call.
pub(super) async fn make_room(api: &Api, level: Level) {
    if level == Level::Memory {
        return;
    }
    let data_dir = api.handle.info().data_dir.clone();
    let lacking = lacking_in(&data_dir.join(JOURNAL_DIR));
    if lacking == 0 {
        return;
    }
    let store = api.handle.store().clone();
    let made = spawn_blocking(move || {
        if shares_a_disk(&data_dir) {
            store.make_room(lacking)?;
        }
        Ok::<_, weft_blobs::Error>(())
    });
    match made.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("no blob makes room for jobs: {error}"),
        Err(error) => tracing::warn!("no blob makes room for jobs: {error}"),
    }
}

/// Whether room that blobs leave is room for the journal.
fn shares_a_disk(data_dir: &Path) -> bool {
    let disk_of = |dir: &str| fs::metadata(data_dir.join(dir)).map(|found| found.dev()).ok();
    let journal = disk_of(JOURNAL_DIR);
    journal.is_some() && journal == disk_of(weft_blobs::DIR)
}
