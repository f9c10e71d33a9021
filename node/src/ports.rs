//! Performs the engine's effects: peers, slots, blobs, the job table. Nothing here waits and nothing fails: what goes
//! wrong comes back as an input. A new effect does not compile until it is handled here.

mod keeping;
#[cfg(test)]
mod tests;

pub(crate) use keeping::News;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use weft_blobs::{Durability, Incoming, Loss, Store};
use weft_core::receipt::signed_bytes;
use weft_core::{BlobId, Effect, Event, Fetched, Input, JobId, PeerId, RunId, Work};
use weft_exec::{BlobAccess, Pool, PoolConfig, PoolEvent, PoolStatus, SandboxError};
use weft_net::{BlobSink, BlobStore, Net, Signer, caught, of_task};

use crate::handle::StoreFault;
use crate::jobs::{JobTable, RestoredJob};
use crate::keeping::{Keeper, Question};

/// Fetches and writes under way; a fetch beyond it waits.
const TASKS_MAX: usize = 1024;
/// Fetches that wait; one beyond it finds no room, and is tried again later.
const QUEUED_MAX: usize = 65_536;
/// How long a node that ends waits until its peers were told.
const DELIVER_MAX: Duration = Duration::from_secs(1);
/// Most bytes of an output that is stored from memory, and so is in the store's cache; a longer one is copied.
const WRITTEN_WHOLE_MAX: u64 = 1 << 20;

/// A blob to fetch.
#[derive(Debug)]
struct Wanted {
    blob: BlobId,
    from: Vec<PeerId>,
    bytes: Option<u64>,
}

/// What performs the engine's effects.
pub(crate) struct Ports {
    pool: Pool,
    net: Rc<Net>,
    signer: Signer,
    store: Store,
    jobs: Arc<JobTable>,
    /// Fetches and writes under way.
    tasks: JoinSet<()>,
    /// Fetches that wait until one of those has ended; at most as many as leases and held tasks want.
    queued: VecDeque<Wanted>,
    fetched: mpsc::Sender<Input>,
    answered: VecDeque<Input>,
    to_run: Vec<(RunId, Work)>,
    fault: StoreFault,
    /// Keeps jobs at level `disk`; none until the journal is open, and once it is closed.
    keeper: Option<Keeper>,
    /// Jobs whose logs were read for the engine, which is to lead them, as the table shows them then.
    recalled: BTreeMap<JobId, RestoredJob>,
    /// What a person is to be told of jobs that are led here.
    words: Vec<String>,
    /// Who leads jobs whose first record is on its way to this node.
    leaders: BTreeMap<JobId, PeerId>,
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
        (fetched, fault): (mpsc::Sender<Input>, StoreFault),
    ) -> Result<Self, SandboxError> {
        let blobs = Arc::new(SlotBlobs(store.clone(), fault.clone()));
        let pool = Pool::start(config, blobs, Arc::new(move || ran.notify_one()))?;
        Ok(Self {
            pool,
            net,
            signer,
            store,
            jobs,
            tasks: JoinSet::new(),
            queued: VecDeque::new(),
            fetched,
            answered: VecDeque::new(),
            to_run: Vec::new(),
            fault,
            keeper: None,
            recalled: BTreeMap::new(),
            words: Vec::new(),
            leaders: BTreeMap::new(),
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
            Effect::Notify(event) => {
                if let Event::TaskEnded { report, .. } = &event {
                    report.blobs().for_each(|blob| self.store.keep_for_client(blob));
                }
                self.note(event);
            }
            Effect::Persist { ticket, job, record, bytes } => self.persist(ticket, job, record, bytes),
            Effect::Forget { ticket, job, remains } => self.forget(ticket, job, remains),
            Effect::Cut { ticket, job, after } => self.cut(ticket, job, after),
            Effect::Promise { ticket, job, epoch } => self.promise(ticket, job, epoch),
            Effect::ReadLog { reader, job, from, bytes_max } => {
                self.ask(Question::Page { reader, job, from, bytes_max });
            }
            Effect::Gather { job, epoch, parents } => self.ask(Question::Gather { job, epoch, parents }),
            Effect::Recall { job } => self.ask(Question::Whole { job }),
            Effect::Remember { known, gone } => self.remember(known, gone),
            Effect::Retain { outcomes, gone } => self.retain(outcomes, gone),
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
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended {
                report_panic("a fetch or a write", error);
            }
        }
        while self.tasks.len() < TASKS_MAX
            && let Some(wanted) = self.queued.pop_front()
        {
            self.begin(wanted);
        }
    }

    /// What becomes readable when the slots have something to say; `None` when they report by themselves. The caller that asks
    /// must take their turns from then on.
    pub(crate) fn poll_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.pool.poll_fd().map(|fd| fd.try_clone_to_owned()).transpose()
    }

    /// Reads what the slots sent. True when there may be more: a turn is bounded.
    pub(crate) fn turn(&self) -> bool {
        self.pool.turn();
        let Some(fd) = self.pool.poll_fd() else { return false };
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// The slots' events since the last call; ends of runs that come together are one input.
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

    /// Forgets the address of a peer that is gone.
    pub(crate) fn forget_peer(&self, peer: PeerId) {
        self.net.forget(peer);
    }

    /// Waits until these peers have received all that was said to them, but not for long.
    pub(crate) async fn deliver(&self, peers: &[PeerId]) {
        if tokio::time::timeout(DELIVER_MAX, self.net.deliver(peers)).await.is_err() {
            tracing::warn!("not every node that worked for this one answered when it was told to stop");
        }
    }

    /// The state of the slots.
    pub(crate) fn pool_status(&self) -> PoolStatus {
        self.pool.status()
    }

    fn fetch(&mut self, blob: BlobId, from: Vec<PeerId>, bytes: Option<u64>) {
        if let Some(length) = self.store.len(blob) {
            // What it is for, such as the other blobs of an outcome, may come later.
            self.store.hold(blob);
            // Bytes of that name have that length: a node that claimed another one lied, and no fetch changes that.
            self.answered.push_back(Input::Fetched { blob, fetched: here(bytes, length) });
            return;
        }
        let wanted = Wanted { blob, from, bytes };
        if self.tasks.len() < TASKS_MAX {
            self.begin(wanted);
        } else if self.queued.len() < QUEUED_MAX {
            self.queued.push_back(wanted);
        } else {
            self.answered.push_back(Input::Fetched { blob, fetched: Fetched::NoRoom });
        }
    }

    fn begin(&mut self, Wanted { blob, from, bytes }: Wanted) {
        let (net, answers) = (self.net.clone(), self.fetched.clone());
        let (store, fault) = (self.store.clone(), self.fault.clone());
        self.tasks.spawn_local(async move {
            let fetched = match caught("a fetch", net.fetch(blob, &from, bytes)).await {
                // It may have come by another way meanwhile, and be of another length than was said.
                Ok(Ok(length)) => {
                    fault.set(None);
                    store.hold(blob);
                    here(bytes, length)
                }
                Ok(Err(error)) if error.is_ours(bytes) => {
                    fault.set(Some(error.to_string()));
                    Fetched::NoRoom
                }
                Ok(Err(error)) => {
                    tracing::warn!(%blob, %error, "a blob could not be fetched");
                    log_if_lost(&store, &fault, blob);
                    if error.is_wrong() { Fetched::Wrong } else { Fetched::Missing }
                }
                // A fault of this node, and logged already: what waits for the blob is tried again.
                Err(_panicked) => Fetched::NoRoom,
            };
            // The receiver is gone only when the node is.
            let _gone = answers.send(Input::Fetched { blob, fetched }).await;
        });
    }

    fn stash(&mut self, bytes: Arc<[u8]>) {
        let (store, fault) = (self.store.clone(), self.fault.clone());
        self.tasks.spawn_blocking(move || match store.put(&bytes) {
            Ok(_id) => fault.set(None),
            Err(error) => fault.set(Some(format!("an output could not be kept for others: {error}"))),
        });
    }
}

/// Bytes of a name have one length: a fetch that expected another one was given a false length.
fn here(wanted: Option<u64>, length: u64) -> Fetched {
    if wanted.is_none_or(|wanted| wanted == length) { Fetched::Here } else { Fetched::Wrong }
}

/// Logs the panic of a task that was spawned; nothing else can end one badly while the node runs.
pub(crate) fn report_panic(what: &'static str, error: tokio::task::JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        drop(of_task(what, panic.as_ref()));
    }
}

/// The blob store as the slots see it.
#[derive(Debug)]
struct SlotBlobs(Store, StoreFault);

impl SlotBlobs {
    /// A failure is noted for `weft status`: outputs that can't be stored are how a full disk shows.
    fn noted(&self, kept: Result<BlobId, weft_blobs::Error>) -> io::Result<BlobId> {
        self.1.set(kept.as_ref().err().map(ToString::to_string));
        // Its kind says whether the disk is full, which is no fault of the worker.
        kept.map_err(io::Error::from)
    }
}

impl BlobAccess for SlotBlobs {
    fn read(&self, id: BlobId) -> io::Result<Bytes> {
        let found = self.0.get(id)?;
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("blob {id} is not in the store")))
    }

    fn len(&self, id: BlobId) -> Option<u64> {
        self.0.len(id)
    }

    fn open(&self, id: BlobId) -> io::Result<File> {
        let found = self.0.open_read(id)?;
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("blob {id} is not in the store"));
        found.map(|(_length, file)| file).ok_or_else(missing)
    }

    fn write(&self, bytes: Vec<u8>) -> io::Result<BlobId> {
        // The engine pins it once it hears of it; another output, on a full disk, is not to be the end of it until then.
        self.noted(self.0.put_held(&bytes))
    }

    fn write_file(&self, mut file: File, bytes: u64) -> io::Result<BlobId> {
        if bytes <= WRITTEN_WHOLE_MAX {
            let mut content = Vec::new();
            file.take(bytes).read_to_end(&mut content)?;
            return self.write(content);
        }
        self.noted(self.0.put_reader_held(&mut file, bytes).map(|(id, _)| id))
    }
}

/// Says that a blob that work of this node rests on was lost, if so. The store counts it until it is healed; a fault would be over
/// with the next success.
fn log_if_lost(store: &Store, fault: &StoreFault, id: BlobId) {
    let how = match store.loss(id) {
        None => return,
        Some(Loss::Removed) => "is gone from its directory: another program removed it",
        Some(Loss::Corrupt) => "is deleted: its file had other bytes than were stored",
        Some(Loss::Before) => "was not there when this node started",
    };
    let todo = "cancel the job if it has not ended, and submit it again";
    fault.log(&format!("blob {id}, which a job of this node rests on, {how}; {todo}"));
}

/// The blob store as the mesh sees it.
#[derive(Debug)]
pub(crate) struct NetBlobs(pub(crate) Store, pub(crate) StoreFault);

impl BlobStore for NetBlobs {
    fn open(&self, id: BlobId) -> io::Result<Option<(u64, Box<dyn Read + Send>)>> {
        let found: Option<(u64, File)> = self.0.open_read(id)?;
        if found.is_none() {
            log_if_lost(&self.0, &self.1, id);
        }
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
        self.0.write(chunk).map_err(io::Error::from)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        // Its kind says whether the bytes or the disk are to blame.
        self.0.finish(Durability::Cached).map_err(io::Error::from)
    }
}
