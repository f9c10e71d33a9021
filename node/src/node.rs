//! The node's loop. `select` waits, `apply` has the engine decide, `perform` (in [`crate::ports`]) acts and never waits.
//!
//! One thread: the swarm, the engine and the API share a current-thread runtime, for a hand-over between threads
//! costs more than a small task. Guests run in slot processes (on threads in embedded nodes), file work on the runtime's
//! blocking threads.

mod ending;
mod handing;
mod hearing;
mod kept;
mod leaving;
mod notice;
mod start;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use weft_core::log::Header;
use weft_core::{Command, Effect, Engine, Input, MeshConfig, NodeConfig, Time};
use weft_net::{NetEvent, NetEvents, Signer};

use crate::api;
use crate::handle::{NodeHandle, REQUESTS_MAX, Request, Standing, StoreFault};
use crate::jobs::{Happened, JobTable};
use crate::ports::Ports;
use crate::record::Recorder;
use crate::settings::{self, Settings};
use crate::slots::{self, Readable};
pub use ending::Ending;
pub use notice::Notice;
pub use start::StartError;
use start::{info_of, random_seed, random_u64, start_api, start_net};

/// Ended fetches that wait for the loop; beyond it a fetch waits with its answer.
const FETCHED_MAX: usize = 256;
/// Notices that wait for the reader; beyond it the newest is dropped, because nothing depends on them.
const NOTICES_MAX: usize = 256;

/// A running node. Dropping it stops it at once, as a crash would: its peers are not told.
pub struct Node {
    engine: Engine,
    recorder: Recorder,
    ports: Ports,
    started: Instant,
    /// The engine's time at the start: microseconds since 1970, so that it means the same in each life.
    base: Time,
    /// How long work of others may run on when this node is told to end.
    grace: Duration,
    kept: kept::Keeping,
    requests: mpsc::Receiver<Request>,
    events: NetEvents,
    fetched: mpsc::Receiver<Input>,
    ran: Arc<Notify>,
    /// Readable when slot processes have something to say; slot threads tell through `ran`.
    slots_ready: Option<Readable>,
    handle: NodeHandle,
    notices: (mpsc::Sender<Notice>, Option<mpsc::Receiver<Notice>>),
    // Dropped last: the API's server first, then the directory's lock.
    api: JoinSet<()>,
    _published: api::Published,
    _lock: settings::DirLock,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// A part that a node can't do without has ended, so the node ended too: a fault of weft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the node's {part} broke, which is a fault of weft; what it logged before says how; start the node again, and \
     please report it"
)]
pub struct Broken {
    part: &'static str,
}

/// Whether the loop goes on after a step.
enum Flow {
    On,
    /// The node is told to end, or ends by itself.
    Stop,
}

/// What the loop waits for.
enum Step {
    Input(Input),
    Request(Request),
    Net(NetEvent),
    Ran,
    /// The journal says something.
    News,
    /// It is time to look what may be forgotten, or whether a node that is to end can.
    Look,
    Broken(Broken),
    Stop,
}

impl Node {
    /// Starts a node: takes the data directory, opens the store, starts slots, mesh and API. To be called inside a
    /// `LocalSet` on a current-thread runtime.
    ///
    /// # Errors
    /// When any of these can't be had; each says what was wrong and what to do.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let lock = settings::lock(&settings.data_dir)?;
        let boot = random_u64()?.max(1);
        let store_fault = StoreFault::default();
        let quota = weft_blobs::Quota { bytes: settings.store_bytes };
        let store = weft_blobs::Store::open_whole(&settings.data_dir, quota)?;
        // The journal's, when it has used up what it set aside.
        store.leave_free(settings.reserve_bytes);
        let me = weft_net::peer_id_of(&settings.identity);
        let jobs = Arc::new(JobTable::default());
        // Before the mesh: its workers hear of its jobs first.
        let (kept, keeper) = kept::Keeping::open(&settings, me, &store, &jobs)?;
        // What its jobs rest on is pinned now.
        store.shrink()?;
        let (mut net, events) = start_net(&settings, boot, &store, &store_fault).await?;
        let (asker, asked) = (net.asker(), net.asked());
        let ran = Arc::new(Notify::new());
        let (fetched_tx, fetched) = mpsc::channel(FETCHED_MAX);
        let mut ports = Ports::new(
            slots::config(&settings),
            Rc::new(net),
            Signer::new(&settings.identity),
            store.clone(),
            jobs.clone(),
            ran.clone(),
            (fetched_tx, store_fault.clone()),
        )?;
        let slots_ready = ports.poll_fd().and_then(slots::wait_for).map_err(StartError::Slots)?;
        let (requests_tx, requests) = mpsc::channel(REQUESTS_MAX);
        let info = info_of(&settings, me, store_fault);
        let handle = NodeHandle::new(requests_tx, store, jobs, Arc::new(info)).with_asker(asker);
        let handle = kept.begin(keeper, handle, &mut ports);
        let started = start_api(&settings, handle.clone(), asked).await;
        let (api, published) = started.inspect_err(|_| ports.abandon_journal())?;
        let node = NodeConfig {
            name: settings.name,
            slots: settings.slots,
            memory_bytes: settings.memory_bytes,
            module_bytes: settings.module_bytes,
            store_bytes: settings.store_bytes,
            labels: crate::cpu::with_own(settings.labels),
            class_min: settings.class_min,
            disk: kept.disk,
            boot,
            owners: settings.owners,
        };
        let (mesh, version) = (MeshConfig::DEFAULT, env!("CARGO_PKG_VERSION").into());
        let header = Header { version, me, mesh, node, seed: random_seed()? };
        let (notices_tx, notices_rx) = mpsc::channel(NOTICES_MAX);
        let node = Self {
            engine: header.engine(),
            recorder: Recorder::new(header),
            ports,
            started: Instant::now(),
            base: kept.base(),
            grace: settings.grace,
            kept,
            requests,
            events,
            fetched,
            ran,
            slots_ready,
            handle,
            notices: (notices_tx, Some(notices_rx)),
            api,
            _published: published,
            _lock: lock,
        };
        node.tell_what_was_kept();
        Ok(node)
    }

    /// The way to talk to it while it runs.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// Notices of peers that come and go, and of what goes wrong; `None` the second time.
    pub fn notices(&mut self) -> Option<mpsc::Receiver<Notice>> {
        self.notices.1.take()
    }

    /// Writes everything that its engine is told and answers into a new file, for `weft-sim replay`.
    ///
    /// # Errors
    /// When the file exists, or can't be made.
    pub fn record(&mut self, path: &std::path::Path) -> std::io::Result<()> {
        self.recorder.start(path)
    }

    /// Runs the loop until `stop` is ready, or the handle asks for the end. Then gives back what it has not begun for other
    /// owners, and lets what runs for them end; tells the workers that run tasks of this node to stop, and waits for a second
    /// at most until they were told. Returns what ends with it.
    ///
    /// # Errors
    /// When the network adapter or the API's server has panicked: without them a node would only seem to run.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> Result<Ending, Broken> {
        let handle = self.handle.clone();
        self.log_notices();
        self.restore();
        let mut stop = std::pin::pin!(async move {
            tokio::select! {
                () = stop => {}
                () = handle.stopped() => {}
            }
        });
        loop {
            let step = self.select(stop.as_mut()).await;
            match self.on_step(step)? {
                Flow::On => {}
                // Apart: a node is large, and this future has room for one.
                Flow::Stop => return Box::pin(self.leave()).await,
            }
        }
    }

    fn on_step(&mut self, step: Step) -> Result<Flow, Broken> {
        match step {
            Step::Stop => return Ok(Flow::Stop),
            Step::Broken(broken) => return Err(broken),
            Step::News => self.on_news(),
            Step::Look if self.look() => return Ok(Flow::Stop),
            Step::Look => {}
            Step::Input(input) => self.apply(input),
            Step::Net(event) => self.on_net(event),
            Step::Request(request) => self.on_request(request),
            Step::Ran => {
                if self.slots_ready.is_some() && self.ports.turn() {
                    // Its bound was reached: the rest comes behind whatever else waits.
                    self.ran.notify_one();
                }
                self.ports.take_events().into_iter().for_each(|input| self.apply(input));
            }
        }
        Ok(Flow::On)
    }

    /// Waits; changes nothing, so that it may be dropped at any point.
    async fn select(&mut self, stop: std::pin::Pin<&mut impl Future<Output = ()>>) -> Step {
        let wakeup = self.engine.next_wakeup().map(|(at, _)| self.started + self.since_start(at));
        let timer = async {
            match wakeup {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        if self.ports.is_full() {
            // The disk is behind: nothing more comes in before it has caught up.
            return tokio::select! {
                () = stop => Step::Stop,
                () = self.kept.news.notified() => Step::News,
                _ended = self.api.join_next() => Step::Broken(Broken { part: "API server" }),
            };
        }
        tokio::select! {
            () = stop => Step::Stop,
            () = self.kept.news.notified() => Step::News,
            () = tokio::time::sleep_until(self.kept.look_at.into()) => Step::Look,
            () = self.ran.notified() => Step::Ran,
            () = slots::readable(self.slots_ready.as_ref()) => Step::Ran,
            event = self.events.next() => event.map_or(Step::Broken(Broken { part: "network adapter" }), Step::Net),
            _ended = self.api.join_next() => Step::Broken(Broken { part: "API server" }),
            Some(request) = self.requests.recv() => Step::Request(request),
            Some(input) = self.fetched.recv() => Step::Input(input),
            () = timer => Step::Input(Input::Wake),
        }
    }

    fn now(&self) -> Time {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Time(self.base.0.saturating_add(elapsed))
    }

    /// How long after the node's start a time of the engine is.
    fn since_start(&self, at: Time) -> Duration {
        Duration::from_micros(at.0.saturating_sub(self.base.0))
    }

    /// Decides, and performs what was decided; what is answered at once is an input of its own.
    fn apply(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            let now = self.now();
            let draft = self.recorder.draft(now, &input);
            let effects = self.engine.handle(now, input);
            match draft {
                None => effects.for_each(|effect| self.ports.perform(effect)),
                Some(draft) => {
                    let effects: Vec<Effect> = effects.collect();
                    self.recorder.finish(draft, &effects);
                    effects.into_iter().for_each(|effect| self.ports.perform(effect));
                }
            }
            next = self.ports.answered();
        }
        self.ports.flush();
        self.ports.take_words().into_iter().for_each(|word| self.notice(Notice::Kept(word)));
    }

    fn on_request(&mut self, request: Request) {
        // A caller that went away no longer needs its answer.
        match request {
            // An engine without further answers needs no loop.
            Request::Command(Command::Stop) => self.handle.stop(),
            // It ends, and takes no work again.
            Request::Command(Command::Drain(false)) if self.handle.is_stopping() => {}
            Request::Command(Command::Drain(on)) => self.drain(on),
            Request::Command(command) => {
                if let Command::Forget(peer) = &command {
                    self.ports.forget_peer(*peer);
                }
                if self.is_about_kept(&command) {
                    return self.hand_in(command);
                }
                self.apply(Input::Command(command));
            }
            Request::Standing(reply) => {
                let standing = Standing { snapshot: self.engine.snapshot(), pool: self.ports.pool_status() };
                drop(reply.send(standing));
            }
            Request::Why { job, index, reply } => {
                drop(reply.send(self.engine.why(self.now(), job, index)));
            }
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening(address) => {
                self.handle.info().add_listen(address.clone());
                self.notice(Notice::Listening(address));
            }
            NetEvent::ListeningNoMore(address) => self.handle.info().remove_listen(&address),
            NetEvent::Trouble { about, text } => {
                self.handle.info().set_trouble(about, text.clone());
                if let Some(text) = text {
                    self.notice(Notice::Trouble(text));
                }
            }
            NetEvent::Up { peer, boot, address } => {
                let host = crate::hosts::host_of(&address, &self.handle.info().listening());
                self.notice(Notice::PeerUp { peer, address });
                self.handle.jobs().events().note(Happened::NodeUp { peer });
                self.apply(Input::PeerUp { peer, boot, host });
            }
            NetEvent::Down { peer, reason, closed } => {
                self.handle.jobs().events().note(Happened::NodeDown { peer, reason: reason.clone() });
                self.notice(Notice::PeerDown { peer, reason });
                self.apply(Input::PeerDown { peer, closed });
            }
            NetEvent::Received { from, message } => {
                let message = kept::about_kept_by_others(self.handle.jobs(), message);
                self.apply(Input::Received { from, message });
            }
            NetEvent::Heard { origin, gossip } => self.apply(Input::Heard { origin, gossip }),
            NetEvent::Rtt { peer, rtt_us } => self.apply(Input::Rtt { peer, rtt_us }),
            NetEvent::Refused { address, reason } => self.notice(Notice::Refused { address, reason }),
            NetEvent::SameIdentity { address } => self.notice(Notice::SameIdentity { address }),
        }
    }

    /// Has a person told, once: who took the notices reads it there; if they were not taken, it is in the log.
    fn notice(&self, notice: Notice) {
        match self.notices.0.try_send(notice) {
            Ok(()) => {}
            Err(TrySendError::Closed(notice) | TrySendError::Full(notice)) => notice.log(),
        }
    }

    /// The notices that were not taken go to the log, now and later.
    fn log_notices(&mut self) {
        let Some(mut notices) = self.notices.1.take() else { return };
        while let Ok(notice) = notices.try_recv() {
            notice.log();
        }
    }
}
