//! Performs the engine's effects: peers, slots, blobs, the job table. Nothing here waits and nothing fails: what goes
//! wrong comes back as an input. A new effect does not compile until it is handled here.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use weft_blobs::{Durability, Incoming, Store};
use weft_core::receipt::signed_bytes;
use weft_core::{BlobId, Effect, Input, PeerId, RunId, Work};
use weft_exec::{BlobAccess, Pool, PoolConfig, PoolEvent, PoolStatus, SandboxError};
use weft_net::{BlobSink, BlobStore, Net, Signer};

use crate::jobs::JobTable;

/// Fetches and writes under way; a fetch beyond it is answered as not found, and tried again as any lost blob is.
const TASKS_MAX: usize = 1024;
/// What a task brought that is kept by way of memory, and so in the store's cache, in bytes; the rest is copied.
const WRITTEN_WHOLE_MAX: u64 = 1 << 20;

/// The node's hands.
pub(crate) struct Ports {
    pool: Pool,
    net: Rc<Net>,
    signer: Signer,
    store: Store,
    jobs: Arc<JobTable>,
    /// Fetches and writes under way.
    tasks: JoinSet<()>,
    fetched: mpsc::Sender<Input>,
    answered: VecDeque<Input>,
    to_run: Vec<(RunId, Work)>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Ports {
    pub(crate) fn new(
        config: PoolConfig,
        net: Rc<Net>,
        signer: Signer,
        store: Store,
        jobs: Arc<JobTable>,
        ran: Arc<Notify>,
        fetched: mpsc::Sender<Input>,
    ) -> Result<Self, SandboxError> {
        let blobs = Arc::new(SlotBlobs(store.clone()));
        let pool = Pool::start(config, blobs, Arc::new(move || ran.notify_one()))?;
        Ok(Self {
            pool,
            net,
            signer,
            store,
            jobs,
            tasks: JoinSet::new(),
            fetched,
            answered: VecDeque::new(),
            to_run: Vec::new(),
        })
    }

    pub(crate) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.net.send(to, &message),
            Effect::Publish(gossip) => self.net.publish(&gossip),
            Effect::Execute { run, work } => self.to_run.push((run, work)),
            Effect::Abort(run) => {
                self.flush();
                self.pool.abort(run);
            }
            Effect::Pause(run) => {
                self.flush();
                self.pool.pause(run);
            }
            Effect::Resume(run) => {
                self.flush();
                self.pool.resume(run);
            }
            Effect::Sign { batch, root } => {
                let signature = self.signer.sign(&signed_bytes(root));
                self.answered.push_back(Input::Signed { batch, signature });
            }
            Effect::Fetch { blob, from, bytes } => self.fetch(blob, from, bytes),
            Effect::Pin(blob) => self.store.pin(blob),
            Effect::Unpin(blob) => self.store.unpin(blob),
            Effect::Stash(bytes) => self.stash(bytes),
            Effect::Notify(event) => self.jobs.record(event),
        }
    }

    /// What was answered at once, one at a time.
    pub(crate) fn answered(&mut self) -> Option<Input> {
        self.answered.pop_front()
    }

    /// Hands what was gathered to the slots, all at once: a hand-over costs more than a small task.
    pub(crate) fn flush(&mut self) {
        if !self.to_run.is_empty() {
            self.pool.submit(std::mem::take(&mut self.to_run));
        }
        while self.tasks.try_join_next().is_some() {}
    }

    /// What becomes readable when the slots have something to say; `None` when they tell by themselves. Whoever asks
    /// must take their turns from then on.
    pub(crate) fn poll_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.pool.poll_fd().map(|fd| fd.try_clone_to_owned()).transpose()
    }

    /// Takes what the slots say. True when there may be more: a turn is bounded.
    pub(crate) fn turn(&self) -> bool {
        self.pool.turn();
        let Some(fd) = self.pool.poll_fd() else { return false };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// What happened in the slots since the last call: ends of runs in one input, where they come together.
    pub(crate) fn take_events(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for event in self.pool.take_events() {
            match (event, inputs.last_mut()) {
                (PoolEvent::Ran(run, report), Some(Input::Ran(ended))) => ended.push((run, report)),
                (PoolEvent::Ran(run, report), Some(_) | None) => inputs.push(Input::Ran(vec![(run, report)])),
                (PoolEvent::Compiling { runs, waits }, _) => inputs.push(Input::Compiling { runs, waits }),
                (PoolEvent::Printed { run, stream, offset, bytes }, _) => {
                    inputs.push(Input::Printed { run, stream, offset, bytes });
                }
            }
        }
        inputs
    }

    /// How the slots are.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    fn fetch(&mut self, blob: BlobId, from: Vec<PeerId>, bytes: Option<u64>) {
        if let Some(length) = self.store.len(blob) {
            // Bytes of that name have that length: whoever said another lied, and no fetch will change it.
            let found = bytes.is_none_or(|bytes| bytes == length);
            self.answered.push_back(Input::Fetched { blob, found });
            return;
        }
        if self.tasks.len() >= TASKS_MAX {
            self.answered.push_back(Input::Fetched { blob, found: false });
            return;
        }
        let (net, fetched) = (self.net.clone(), self.fetched.clone());
        self.tasks.spawn_local(async move {
            let found = match net.fetch(blob, &from, bytes).await {
                // It may have come by another way meanwhile, and be of another length than was said.
                Ok(length) => bytes.is_none_or(|bytes| bytes == length),
                Err(error) => {
                    tracing::warn!(%blob, %error, "a blob could not be fetched");
                    false
                }
            };
            // The receiver is gone only when the node is.
            let _gone = fetched.send(Input::Fetched { blob, found }).await;
        });
    }

    fn stash(&mut self, bytes: Arc<[u8]>) {
        let store = self.store.clone();
        self.tasks.spawn_blocking(move || {
            if let Err(error) = store.put(&bytes) {
                tracing::warn!(%error, "an output could not be kept for others to fetch");
            }
        });
    }
}

/// The blob store as the slots see it.
#[derive(Debug)]
struct SlotBlobs(Store);

impl BlobAccess for SlotBlobs {
    fn read(&self, id: BlobId) -> io::Result<Bytes> {
        let found = self.0.get(id).map_err(io::Error::other)?;
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("blob {id} is not in the store")))
    }

    fn len(&self, id: BlobId) -> Option<u64> {
        self.0.len(id)
    }

    fn open(&self, id: BlobId) -> io::Result<File> {
        let found = self.0.open_read(id).map_err(io::Error::other)?;
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("blob {id} is not in the store"));
        found.map(|(_length, file)| file).ok_or_else(missing)
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        self.0.put(&bytes).map_err(io::Error::other)
    }

    fn write_file(&self, mut file: File, bytes: u64) -> io::Result<BlobId> {
        if bytes <= WRITTEN_WHOLE_MAX {
            let mut content = Vec::new();
            file.take(bytes).read_to_end(&mut content)?;
            return self.write(content);
        }
        let (id, _) = self.0.put_reader(&mut file, bytes, Durability::Cached).map_err(io::Error::other)?;
        Ok(id)
    }
}

/// The blob store as the mesh sees it.
#[derive(Debug)]
pub(crate) struct NetBlobs(pub(crate) Store);

impl BlobStore for NetBlobs {
    fn open(&self, id: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>> {
        let found: Option<(u64, File)> = self.0.open_read(id).map_err(io::Error::other)?;
        Ok(found.map(|(bytes, file)| (bytes, Box::new(file) as Box<dyn Read + Send>)))
    }

    fn create(&self, id: BlobId, bytes: u64) -> io::Result<Box<dyn BlobSink>> {
        // The error's kind says whether there was no room, which is the provider's fault if its length is a lie.
        let incoming = self.0.incoming(id, bytes)?;
        Ok(Box::new(Arriving(incoming)))
    }
}

/// A blob on its way in.
struct Arriving(Incoming);

impl BlobSink for Arriving {
    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.0.write(chunk).map_err(io::Error::other)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.0.finish(Durability::Cached).map_err(io::Error::other)
    }
}
