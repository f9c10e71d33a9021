//! Blobs that clients bring, by the room that they take in the store: an upload begins only while what work pins, and what comes
//! already, is less than three quarters of the quota. The rest is for what tasks write: inputs that filled the store would wait for
//! ever for the outputs that have no room. Plain bookkeeping; the handler of uploads drives it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_blobs::{Error, Room, Store, Usage};

/// What comes.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Held while room is reserved, so that two don't find the same.
    looking: Mutex<()>,
    /// Uploads that wait.
    waiting: Mutex<usize>,
}

/// Whether an upload may begin.
pub(super) fn has_room(store: &Store) -> bool {
    let Usage { pinned, reserved, quota, .. } = store.usage();
    (pinned + reserved) / 3 < quota / 4
}

impl Arrivals {
    /// Room for an upload of this length, if there is some. Blocks while other blobs give way.
    ///
    /// # Errors
    /// As [`Store::reserve`], but for a store that is full.
    pub(super) fn begin(&self, store: &Store, bytes: u64) -> Result<Option<Room>, Error> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is longer than the store is refused by that.
        if !has_room(store) && bytes <= store.usage().quota {
            return Ok(None);
        }
        match store.reserve(bytes) {
            Ok(room) => Ok(Some(room)),
            // What tasks write took it.
            Err(Error::Full { wanted, quota, .. }) if wanted <= quota => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An upload waits, until this is dropped.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting {
        *self.waiting() += 1;
        Waiting(Arc::clone(self))
    }

    /// Whether uploads wait for room.
    pub(super) fn is_waited_for(&self) -> bool {
        *self.waiting() > 0
    }

    fn waiting(&self) -> MutexGuard<'_, usize> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that waits.
#[derive(Debug)]
pub(super) struct Waiting(Arc<Arrivals>);

impl Drop for Waiting {
    fn drop(&mut self) {
        *self.0.waiting() -= 1;
    }
}

#[cfg(test)]
mod tests {
    use weft_blobs::Quota;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn some_of_the_store_is_left_for_what_tasks_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota { bytes: 16 * MIB }).unwrap();
        let arrivals = Arrivals::default();
        let begin = |bytes| arrivals.begin(&store, bytes).unwrap();
        let first = begin(11 * MIB).unwrap();
        let second = begin(2 * MIB).expect("there is less than three quarters");
        assert!(begin(1).is_none(), "both are under way, and not there yet");
        let written = store.reserve(3 * MIB).expect("what tasks write has the rest");
        drop((second, written));
        assert!(begin(6 * MIB).is_none(), "it is longer than what is left");
        drop(first);
        let id = store.put(&vec![1; 12 << 20]).unwrap();
        store.keep_for_job(id);
        assert!(begin(1).is_none(), "it came, and its job pins it soon");
        store.pin(id);
        assert!(begin(1).is_none(), "pinned, and not counted twice");
        store.unpin(id);
        assert!(begin(16 * MIB).is_some(), "nothing is wanted");
        assert!(matches!(arrivals.begin(&store, 17 * MIB), Err(Error::Full { .. })), "it never will");
    }

    #[test]
    fn who_waits_is_counted_as_long_as_it_does() {
        let arrivals = Arc::<Arrivals>::default();
        let waiting = arrivals.wait();
        assert!(arrivals.is_waited_for());
        drop(waiting);
        assert!(!arrivals.is_waited_for());
    }
}
