//! Places of the API's connections. A connection is *silent* until a request on it has shown the token, and *known*
//! from then on; a known one is *idle* between requests.
//!
//! Every connection is accepted. Where one more would be too many, another one is closed: the oldest silent one for a
//! silent one, the longest idle one for a known one. So local users without the token can't keep out those who have it,
//! and clients that wait can't keep out those who want to look or to cancel: what lasts (job streams, waits, uploads,
//! downloads) has bounds of its own, half, a sixteenth, an eighth and a sixteenth of all known connections, so that a
//! quarter remains. Uploads may wait for room in the store: that takes no place of a download, by which a result comes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::jobs::WAKERS_MAX;

/// Connections that have not shown the token.
const SILENT_MAX: usize = 128;
/// Connections that have.
const KNOWN_MAX: usize = 4096;
/// The least that is given where a process may have few files.
const KNOWN_MIN: usize = 64;
/// Uploads that write at once; each keeps a thread.
const WRITERS_MAX: usize = 128;

/// Job streams of other members, and their waits for a job's end: the network lets them ask for so much at once.
const MEMBERS_MAX: usize = 512;

/// Each of them may wait for the same job.
const _: () = assert!(
    SILENT_MAX + KNOWN_MAX + 2 * MEMBERS_MAX <= WAKERS_MAX,
    "waits of one job would wake one another"
);

/// How many connections there may be, and what of them may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) silent: usize,
    pub(super) known: usize,
    pub(super) streams: usize,
    pub(super) waits: usize,
    pub(super) uploads: usize,
    pub(super) downloads: usize,
}

impl Bounds {
    /// As the system allows: known connections take at most half of the files that this process may open.
    pub(super) fn of_system() -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(usize::try_from(files).unwrap_or(usize::MAX))
    }

    /// What members may have: no connections of their own, and as much that lasts as the network lets them ask for.
    pub(super) fn of_members() -> Self {
        Self { silent: 0, known: 0, streams: MEMBERS_MAX, waits: MEMBERS_MAX, uploads: 0, downloads: 0 }
    }

    fn of(files: usize) -> Self {
        let known = (files / 2).clamp(KNOWN_MIN, KNOWN_MAX);
        Self {
            silent: SILENT_MAX,
            known,
            streams: known / 2,
            waits: known / 16,
            uploads: known / 8,
            downloads: known / 16,
        }
    }
}

/// What may last at once.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    /// Job streams, and submissions that are being read.
    pub(super) streams: Arc<Semaphore>,
    /// Questions whose answer is held back.
    pub(super) waits: Arc<Semaphore>,
    /// Blobs on their way in, those included that wait for room or for a writer.
    pub(super) uploads: Arc<Semaphore>,
    /// Of those, the ones that write.
    pub(super) writers: Arc<Semaphore>,
    /// Blobs on their way out.
    pub(super) downloads: Arc<Semaphore>,
    /// Uploads that were refused and still bring something: each has a connection.
    pub(super) refused: Arc<Mutex<JoinSet<()>>>,
    pub(super) bounds: Bounds,
}

impl Lasting {
    pub(super) fn new(bounds: Bounds) -> Self {
        let room = |most| Arc::new(Semaphore::new(most));
        Self {
            streams: room(bounds.streams),
            waits: room(bounds.waits),
            uploads: room(bounds.uploads),
            writers: room(WRITERS_MAX.min(bounds.uploads)),
            downloads: room(bounds.downloads),
            refused: Arc::default(),
            bounds,
        }
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts connections, and the beginnings of idleness.
    count: u64,
    connections: BTreeMap<u64, Connection>,
    /// By arrival.
    silent: BTreeSet<u64>,
    /// By the count when it became idle, with the connection.
    idle: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Connection {
    closed: CancellationToken,
    /// Requests under way; `None` while it is silent.
    requests: Option<u32>,
    idle_since: u64,
}

impl Places {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, state: Mutex::default() })
    }

    /// Gives a new connection its place; the oldest silent one goes where they are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Place> {
        let mut state = self.state();
        if state.silent.len() >= self.bounds.silent {
            state.close_silent();
        }
        let id = state.next();
        let closed = CancellationToken::new();
        state.connections.insert(id, Connection { closed: closed.clone(), requests: None, idle_since: 0 });
        state.silent.insert(id);
        Arc::new(Place { places: Arc::clone(self), id, closed })
    }

    /// Closes an idle connection: the system has no file left for another.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        if !state.close_silent() {
            state.close_idle();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds this lock")
    }
}

impl State {
    fn next(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Closes the oldest silent connection.
    fn close_silent(&mut self) -> bool {
        let Some(id) = self.silent.first().copied() else { return false };
        self.close(id);
        true
    }

    /// Closes the longest idle connection.
    fn close_idle(&mut self) -> bool {
        let Some((_, id)) = self.idle.first().copied() else { return false };
        self.close(id);
        true
    }

    fn close(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.silent.remove(&id);
        self.idle.remove(&(connection.idle_since, id));
        connection.closed.cancel();
    }

    fn known(&self) -> usize {
        self.connections.len() - self.silent.len()
    }
}

/// One connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    closed: CancellationToken,
}

impl Place {
    /// Waits until the place is taken away.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A request that has shown the token begins. `None` when all known connections are in use.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Visit> {
        let mut state = self.places.state();
        let was_silent = state.silent.contains(&self.id);
        if was_silent && state.known() >= self.places.bounds.known && !state.close_idle() {
            return None;
        }
        state.silent.remove(&self.id);
        // A connection that was closed just now need not be served.
        let connection = state.connections.get_mut(&self.id)?;
        connection.requests = Some(connection.requests.unwrap_or(0) + 1);
        let idle = (connection.idle_since, self.id);
        state.idle.remove(&idle);
        Some(Visit { place: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().close(self.id);
    }
}

/// A request under way, from its head to the end of its answer.
#[derive(Debug)]
pub(super) struct Visit {
    place: Arc<Place>,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let id = self.place.id;
        let mut state = self.place.places.state();
        let now = state.next();
        let Some(connection) = state.connections.get_mut(&id) else { return };
        let left = connection.requests.unwrap_or(0).saturating_sub(1);
        connection.requests = Some(left);
        if left == 0 {
            connection.idle_since = now;
            state.idle.insert((now, id));
        }
    }
}

/// Room for one more thing that lasts.
pub(super) fn take(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).try_acquire_owned().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(silent: usize, known: usize) -> Arc<Places> {
        Places::new(Bounds { silent, known, streams: 1, waits: 1, uploads: 1, downloads: 1 })
    }

    fn is_closed(place: &Place) -> bool {
        place.closed.is_cancelled()
    }

    #[test]
    fn the_oldest_silent_connection_makes_room_for_the_next() {
        let places = places(2, 4);
        let (first, second, third) = (places.enter(), places.enter(), places.enter());
        assert_eq!([&first, &second, &third].map(|place| is_closed(place)), [true, false, false]);
        drop(second);
        let fourth = places.enter();
        assert!(!is_closed(&third) && !is_closed(&fourth), "one had left");
    }

    #[test]
    fn silent_connections_never_close_a_known_one() {
        let places = places(2, 4);
        let known = places.enter();
        drop(known.begin().unwrap());
        let silent: Vec<_> = (0..100).map(|_| places.enter()).collect();
        assert!(!is_closed(&known));
        assert_eq!(silent.iter().filter(|place| !is_closed(place)).count(), 2);
        assert!(silent[99].begin().is_some(), "who shows the token comes in");
    }

    #[test]
    fn the_longest_idle_connection_makes_room_and_one_at_work_never_does() {
        let places = places(9, 2);
        let (one, two, three) = (places.enter(), places.enter(), places.enter());
        let at_work = one.begin().unwrap();
        drop(two.begin().unwrap());
        let late = three.begin().unwrap();
        assert_eq!([&one, &two].map(|place| is_closed(place)), [false, true]);
        let fourth = places.enter();
        assert!(fourth.begin().is_none(), "both are at work");
        drop(at_work);
        assert!(fourth.begin().is_some());
        assert!(is_closed(&one) && !is_closed(&three));
        drop(late);
    }

    #[test]
    fn what_lasts_leaves_a_quarter_of_the_connections_to_short_questions() {
        for files in [0, 256, 1024, 4096, 1 << 20] {
            let bounds = Bounds::of(files);
            let lasting = bounds.streams + bounds.waits + bounds.uploads + bounds.downloads;
            assert!(bounds.known - lasting >= bounds.known / 4, "{bounds:?}");
            assert!(bounds.known <= KNOWN_MAX && bounds.waits.min(bounds.downloads) > 0);
        }
        assert_eq!(Bounds::of(1 << 20).streams, 2048);
    }
}
