//! Blobs that clients bring, by the room that they take in the store: an upload begins only where three quarters of the quota hold it
//! with all that work pins and the blobs that come already. The rest is for what tasks write: inputs that filled the store would wait
//! for ever for the outputs that have no room. Plain bookkeeping; the handler of uploads drives it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weft_blobs::{Error, Room, Store, Usage};
use weft_core::BlobId;

/// An upload of this length or less does not wait for a longer one that came first.
const SHORT_BYTES_MAX: u64 = 1 << 20;

/// What comes.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// Held while room is reserved, so that two don't find the same.
    looking: Mutex<()>,
    queue: Mutex<Queue>,
}

/// Uploads that wait.
#[derive(Debug, Default)]
struct Queue {
    count: u64,
    /// Their lengths, by the order in which they came.
    waiting: BTreeMap<u64, u64>,
}

impl Queue {
    /// What is to be left to those that came first: the first of them is next.
    fn owed_to_others(&self, place: Option<u64>, bytes: u64) -> u64 {
        let first = self.waiting.first_key_value();
        let is_before = |first: &u64| place.is_none_or(|place| *first < place);
        match first.filter(|(first, _)| bytes > SHORT_BYTES_MAX && is_before(first)) {
            Some((_, bytes)) => *bytes,
            None => 0,
        }
    }
}

impl Arrivals {
    /// Whether a job may have a blob that is here already, but which nothing needs: its pin, too, takes room from what tasks write.
    /// A short one always, as most modules are: a store that is full of kept results runs them still.
    pub(super) fn lets_in(&self, store: &Store, id: BlobId) -> bool {
        let bytes = store.len(id).unwrap_or(0);
        let Usage { pinned, reserved, quota, .. } = store.usage();
        let is_within = || (pinned + reserved).saturating_add(bytes) <= quota / 8 * 7;
        bytes <= SHORT_BYTES_MAX || store.is_pinned(id) || is_within()
    }

    /// Whether this many bytes more leave room for what tasks write, and for the upload that waits longest, if this one is not it:
    /// `place` is that of one that waits. One long input may take more where it is nearly alone: it would wait for ever.
    pub(super) fn leaves_room(&self, store: &Store, bytes: u64, place: Option<u64>) -> bool {
        let Usage { pinned, reserved, quota, .. } = store.usage();
        let owed = self.queue().owed_to_others(place, bytes);
        let held = pinned + reserved;
        let is_nearly_alone = owed == 0 && held <= quota / 16;
        is_nearly_alone || held.saturating_add(owed).saturating_add(bytes) <= quota / 4 * 3
    }

    /// Room for an upload of this length, if there is some. Blocks while other blobs give way.
    ///
    /// # Errors
    /// As [`Store::reserve`], but for a store that is full.
    pub(super) fn begin(&self, store: &Store, bytes: u64, place: Option<u64>) -> Result<Option<Room>, Error> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is longer than the store is refused by that.
        if !self.leaves_room(store, bytes, place) && bytes <= store.usage().quota {
            return Ok(None);
        }
        match store.reserve(bytes) {
            Ok(room) => Ok(Some(room)),
            // What tasks write took it.
            Err(Error::Full { wanted, quota, .. }) if wanted <= quota => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An upload of this length waits, until this is dropped.
    pub(super) fn wait(self: &Arc<Self>, bytes: u64) -> Waiting {
        let mut queue = self.queue();
        queue.count += 1;
        let number = queue.count;
        queue.waiting.insert(number, bytes);
        Waiting { arrivals: Arc::clone(self), number }
    }

    /// Whether uploads wait for room.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.queue().waiting.is_empty()
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    arrivals: Arc<Arrivals>,
    number: u64,
}

impl Waiting {
    /// Its place among those that wait.
    pub(super) fn place(&self) -> u64 {
        self.number
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.arrivals.queue().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use weft_blobs::Quota;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_quarter_of_the_store_is_left_for_what_tasks_write() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota { bytes: 8 * MIB }).unwrap();
        let arrivals = Arrivals::default();
        let begin = |bytes| arrivals.begin(&store, bytes, None).unwrap();
        let first = begin(4 * MIB).unwrap();
        let second = begin(2 * MIB).unwrap();
        assert!(begin(1).is_none(), "both are under way, and not there yet");
        drop(second);
        let id = store.put(&vec![1; 2 << 20]).unwrap();
        store.keep_for_job(id);
        assert!(begin(MIB).is_none(), "it came, and its job pins it soon");
        store.pin(id);
        drop(first);
        assert!(begin(5 * MIB).is_none());
        let third = begin(4 * MIB).expect("it is not counted twice");
        let written = store.reserve(2 * MIB).expect("what tasks write has the last quarter");
        drop((third, written));
        store.unpin(id);
        store.pin(store.put(b"a module").unwrap());
        assert!(begin(7 * MIB).is_some(), "it is nearly alone, so it may have more");
        assert!(matches!(arrivals.begin(&store, 9 * MIB, None), Err(Error::Full { .. })), "it never will");
    }

    #[test]
    fn what_is_here_is_let_in_while_some_of_the_store_is_left_and_a_short_blob_always() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota { bytes: 16 * MIB }).unwrap();
        let arrivals = Arrivals::default();
        let put = |bytes: usize| store.put(&vec![2; bytes]).unwrap();
        let (module, input) = (put(1 << 20), put(2 << 20));
        // As results do that are kept.
        let kept = store.reserve(12 * MIB).unwrap();
        assert!(arrivals.begin(&store, MIB, None).unwrap().is_none(), "an upload waits");
        assert!(arrivals.lets_in(&store, module) && arrivals.lets_in(&store, input));
        let more = store.reserve(MIB).unwrap();
        assert!(arrivals.lets_in(&store, module) && !arrivals.lets_in(&store, input));
        drop((kept, more));
        store.pin(input);
        let kept = store.reserve(13 * MIB).unwrap();
        assert!(arrivals.lets_in(&store, input), "a job has it");
        drop(kept);
    }

    #[test]
    fn who_waits_is_counted_as_long_as_it_does() {
        let arrivals = Arc::<Arrivals>::default();
        let waiting = arrivals.wait(1);
        assert!(arrivals.is_waited_for());
        drop(waiting);
        assert!(!arrivals.is_waited_for());
    }

    #[test]
    fn a_long_upload_is_not_passed_for_ever_by_those_that_came_later() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Quota { bytes: 32 * MIB }).unwrap();
        let arrivals = Arc::<Arrivals>::default();
        let begin = |bytes, place: Option<&Waiting>| {
            arrivals.begin(&store, bytes * MIB, place.map(Waiting::place)).unwrap()
        };
        let first = begin(8, None).unwrap();
        assert!(begin(20, None).is_none());
        let long = arrivals.wait(20 * MIB);
        let later = arrivals.wait(4 * MIB);
        assert!(begin(4, Some(&later)).is_none() && begin(4, None).is_none(), "its room is not theirs");
        assert!(begin(1, None).is_some(), "a short one takes little");
        drop(first);
        let second = begin(4, Some(&later)).expect("both fit");
        assert!(begin(4, None).is_none());
        let third = begin(20, Some(&long)).expect("it is its turn");
        drop((second, third, long));
        assert!(begin(20, None).is_some(), "both fit, and four are left to the one that waits");
    }
}
