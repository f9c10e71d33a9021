//! A handle to a running node, for everything but its loop: a queue of requests, and the data that needs no request.
//!
//! The loop owns the engine and answers [`Request`]s in the order they come; the API, the demo and an embedding
//! program hold [`NodeHandle`]s. Nothing here depends on HTTP.

mod adopting;
mod jobs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use weft_core::snapshot::{Snapshot, Why};
use weft_core::{Command, JobId, PeerId, Recall};
use weft_exec::PoolStatus;
use weft_net::Asker;

use crate::jobs::JobTable;
use crate::keeping::{JournalState, Kept};
pub use adopting::{ADOPTED_FROM, Heir, Inheritance, NotAdopted};
pub use jobs::{Changes, NoResults, NotChanged};

/// Requests that wait for the loop; beyond it, the caller waits.
pub const REQUESTS_MAX: usize = 256;

/// Addresses noted of one node.
pub const LISTEN_MAX: usize = 256;

/// Troubles noted of one node.
pub const TROUBLES_MAX: usize = 64;

/// What the loop can be asked.
#[expect(clippy::large_enum_variant, reason = "a request is handed over once, and lives no longer")]
#[derive(Debug)]
pub enum Request {
    /// Give the engine a command.
    Command(Command),
    /// Report the state of the engine and the slots.
    Standing(oneshot::Sender<Standing>),
    /// Report where a task is, and why; the answer is `None` for an unknown job or index.
    Why {
        /// The job.
        job: JobId,
        /// The task's place in it.
        index: u32,
        /// Where the answer goes.
        reply: oneshot::Sender<Option<Why>>,
    },
}

/// A node at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its engine.
    pub snapshot: Snapshot,
    /// Its slots.
    pub pool: PoolStatus,
}

/// The loop has ended; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct NodeStopped;

/// What the blob store last failed at, in words, until it works again.
#[derive(Clone, Debug, Default)]
pub struct StoreFault(Arc<Mutex<Fault>>);

#[derive(Debug, Default)]
struct Fault {
    text: Option<String>,
    logged_at: Option<Instant>,
}

/// A failure is logged once in this time: on a disk that is nearly full, short blobs still come and long ones don't.
const LOG_EVERY: Duration = Duration::from_secs(60);

impl StoreFault {
    /// Notes a failure, or that the store works. A failure is logged, once a minute.
    pub fn set(&self, fault: Option<String>) {
        if let Some(text) = &fault {
            self.log(text);
        }
        self.lock().text = fault;
    }

    /// Logs a failure, once a minute, that the next success does not end.
    pub fn log(&self, text: &str) {
        let mut known = self.lock();
        if known.logged_at.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            known.logged_at = Some(Instant::now());
            tracing::warn!("this node's blob store has no room or fails: {text}");
        }
    }

    /// The failure that lasts.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.lock().text.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a node is, apart from what its engine knows.
#[derive(Debug)]
pub struct NodeInfo {
    /// Its id.
    pub peer: PeerId,
    /// Its name for people.
    pub name: String,
    /// Its version.
    pub version: &'static str,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// Which known results its jobs use if they don't say so themselves.
    pub memo: Recall,
    /// What admits its peers: `key`, `open` or `loopback`.
    pub mesh: String,
    /// Addresses that peers can reach now.
    pub listen: Mutex<Vec<String>>,
    /// What is wrong with the network now, in sentences, by what it is about.
    pub troubles: Mutex<BTreeMap<String, String>>,
    /// When it started.
    pub started: Instant,
    /// What its blob store fails at.
    pub store_fault: StoreFault,
    /// How long work of others may run on when it is told to end.
    pub grace: Duration,
}

impl NodeInfo {
    /// The addresses that peers can reach.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        self.listen.lock().expect("no thread panics while it holds this lock").clone()
    }

    /// Notes an address that peers can reach; beyond [`LISTEN_MAX`] it is not noted.
    pub fn add_listen(&self, address: String) {
        let mut listen = self.listen.lock().expect("no thread panics while it holds this lock");
        if listen.len() < LISTEN_MAX && !listen.contains(&address) {
            listen.push(address);
        }
    }

    /// Forgets an address that peers can no longer reach.
    pub fn remove_listen(&self, address: &str) {
        self.listen
            .lock()
            .expect("no thread panics while it holds this lock")
            .retain(|known| known != address);
    }

    /// Notes what is wrong with something, or that nothing is any more; beyond [`TROUBLES_MAX`] it is not noted.
    pub fn set_trouble(&self, about: String, text: Option<String>) {
        let mut troubles = self.troubles.lock().expect("no thread panics while it holds this lock");
        match text {
            Some(text) if troubles.len() < TROUBLES_MAX || troubles.contains_key(&about) => {
                troubles.insert(about, text);
            }
            Some(_) => {}
            None => {
                troubles.remove(&about);
            }
        }
    }
}

/// A handle to a running node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    requests: mpsc::Sender<Request>,
    store: weft_blobs::Store,
    jobs: Arc<JobTable>,
    info: Arc<NodeInfo>,
    /// Where jobs at level `disk` are.
    kept: Option<Kept>,
    /// Why that could not be opened, if it could not.
    unopened: Option<Arc<str>>,
    /// What asks other nodes; none before the mesh is joined.
    asker: Option<Asker>,
    /// Jobs that are being changed: one change a job at a time.
    changing: Arc<Mutex<BTreeSet<JobId>>>,
    stop: CancellationToken,
    stop_at_once: CancellationToken,
}

impl NodeHandle {
    /// Joins the parts. The loop reads the other end of `requests`, records events in `jobs`, and ends when
    /// [`NodeHandle::stopped`] says so.
    #[must_use]
    pub fn new(
        requests: mpsc::Sender<Request>,
        store: weft_blobs::Store,
        jobs: Arc<JobTable>,
        info: Arc<NodeInfo>,
    ) -> Self {
        Self {
            requests,
            store,
            jobs,
            info,
            kept: None,
            unopened: None,
            asker: None,
            changing: Arc::default(),
            stop: CancellationToken::new(),
            stop_at_once: CancellationToken::new(),
        }
    }

    /// With jobs at level `disk`.
    #[must_use]
    pub(crate) fn with_kept(self, kept: Kept) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// Without them: the journal can't be opened.
    #[must_use]
    pub(crate) fn without_journal(self, why: &str) -> Self {
        Self { unopened: Some(why.into()), ..self }
    }

    /// Why the journal could not be opened at the start, if it could not: what is in it is not known.
    #[must_use]
    pub fn unopened_journal(&self) -> Option<&str> {
        self.unopened.as_deref()
    }

    /// With a way to ask other nodes.
    #[must_use]
    pub(crate) fn with_asker(self, asker: Asker) -> Self {
        Self { asker: Some(asker), ..self }
    }

    /// What asks other nodes; `None` where there is no mesh.
    #[must_use]
    pub fn asker(&self) -> Option<&Asker> {
        self.asker.as_ref()
    }

    /// Bytes of records that wait for the disk, about.
    #[must_use]
    pub fn journal_waiting_bytes(&self) -> usize {
        self.kept.as_ref().map_or(0, Kept::waiting_bytes)
    }

    /// How the journal is; none if there is none.
    #[must_use]
    pub fn journal(&self) -> Option<JournalState> {
        self.kept.as_ref().map(Kept::journal)
    }

    /// Hands the engine a command; returns when the loop's queue has taken it, not when it was done.
    ///
    /// # Errors
    /// When the loop has ended.
    pub async fn command(&self, command: Command) -> Result<(), NodeStopped> {
        self.requests.send(Request::Command(command)).await.ok().ok_or(NodeStopped)
    }

    /// The engine as it is now.
    ///
    /// # Errors
    /// When the loop has ended.
    pub async fn snapshot(&self) -> Result<Snapshot, NodeStopped> {
        self.standing().await.map(|standing| standing.snapshot)
    }

    /// The engine and the slots as they are now.
    ///
    /// # Errors
    /// When the loop has ended.
    pub async fn standing(&self) -> Result<Standing, NodeStopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Standing(reply)).await.ok().ok_or(NodeStopped)?;
        let mut standing = answer.await.ok().ok_or(NodeStopped)?;
        standing.snapshot.counters.unknown = self.asker.as_ref().map_or(0, Asker::unknown);
        Ok(standing)
    }

    /// Where a task is, and each peer's answer about it; `None` for an unknown job or index.
    ///
    /// # Errors
    /// When the loop has ended.
    pub async fn why(&self, job: JobId, index: u32) -> Result<Option<Why>, NodeStopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Why { job, index, reply }).await.ok().ok_or(NodeStopped)?;
        answer.await.ok().ok_or(NodeStopped)
    }

    /// Asks the loop to end: it lets work of others end first. Asked again, it ends at once.
    pub fn stop(&self) {
        if self.stop.is_cancelled() {
            self.stop_at_once.cancel();
        }
        self.stop.cancel();
    }

    /// Whether the node is told to end, and takes no work and no jobs any more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until a caller asks the loop to end.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The loop ends without having been asked through a handle.
    pub(crate) fn note_stopping(&self) {
        self.stop.cancel();
    }

    pub(crate) fn is_stopping_at_once(&self) -> bool {
        self.stop_at_once.is_cancelled()
    }

    /// Waits until a caller asks the loop to end without regard to others.
    pub(crate) async fn stopped_at_once(&self) {
        self.stop_at_once.cancelled().await;
    }

    /// The node's blobs.
    #[must_use]
    pub fn store(&self) -> &weft_blobs::Store {
        &self.store
    }

    /// The node's jobs and their results.
    #[must_use]
    pub fn jobs(&self) -> &Arc<JobTable> {
        &self.jobs
    }

    /// What the node is.
    #[must_use]
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }
}
