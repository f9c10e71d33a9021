//! The node's loop. `select` waits, `apply` decides, `perform` (in [`crate::ports`]) acts and never waits.
//!
//! One thread: the swarm, the engine and the API share a current-thread runtime, for a hand-over between threads
//! costs more than a small task. Guests run in slot processes (on threads in embedded nodes), file work on the runtime's
//! blocking threads.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use weft_core::log::Header;
use weft_core::{Effect, Engine, Input, MeshConfig, NodeConfig, PeerId, Time};
use weft_exec::SandboxError;
use weft_net::{Admission, Net, NetConfig, NetError, NetEvent, Signer};

use crate::api;
use crate::handle::{NodeHandle, NodeInfo, REQUESTS_MAX, Request, Standing};
use crate::jobs::JobTable;
use crate::ports::Ports;
use crate::record::Recorder;
use crate::settings::{self, DirError, Settings};
use crate::slots::{self, Readable};

/// Ended fetches that wait for the loop; beyond it a fetch waits with its answer.
const FETCHED_MAX: usize = 256;
/// Notices that wait for whoever watches; beyond it the newest is dropped, for nothing depends on them.
const NOTICES_MAX: usize = 256;

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used, or another node uses it.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The blob store can't be opened.
    #[error("the blob store can't be opened: {0}")]
    Store(#[from] weft_blobs::Error),
    /// The slots' descriptor can't be waited for.
    #[error("the slots can't be waited for: {0}")]
    Slots(std::io::Error),
    /// The sandbox does not start.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The mesh adapter does not start.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The HTTP API can't be served.
    #[error(
        "the API can't listen on {address}: {source}; pass --api with a free loopback address, or port 0"
    )]
    Api {
        /// Where it was to listen.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// Something that a person at the terminal may want to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The node can be reached at this address.
    Listening(String),
    /// A peer came.
    PeerUp {
        /// Who.
        peer: PeerId,
        /// Where it is.
        address: String,
    },
    /// A peer went.
    PeerDown {
        /// Who.
        peer: PeerId,
        /// Why.
        reason: String,
    },
    /// Somebody was not admitted, or did not admit us.
    Refused {
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Another process runs with this node's identity.
    SameIdentity {
        /// Where.
        address: String,
    },
}

/// A running node. Dropping it stops it at once, as a crash would: nothing is said to anybody.
pub struct Node {
    engine: Engine,
    recorder: Recorder,
    ports: Ports,
    started: Instant,
    requests: mpsc::Receiver<Request>,
    events: mpsc::Receiver<NetEvent>,
    fetched: mpsc::Receiver<Input>,
    ran: Arc<Notify>,
    /// Readable when slot processes have something to say; slot threads tell through `ran`.
    slots_ready: Option<Readable>,
    handle: NodeHandle,
    notices: (mpsc::Sender<Notice>, Option<mpsc::Receiver<Notice>>),
    // Dropped last: the API's server first, then the directory's lock.
    _api: JoinSet<()>,
    _published: api::Published,
    _lock: settings::DirLock,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// What the loop waits for.
enum Step {
    Input(Input),
    Request(Request),
    Net(NetEvent),
    Ran,
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
        let quota = weft_blobs::Quota { bytes: settings.store_bytes };
        let store = weft_blobs::Store::open(&settings.data_dir, quota)?;
        let (net, events) = start_net(&settings, boot, &store).await?;
        let me = weft_net::peer_id_of(&settings.identity);
        let jobs = Arc::new(JobTable::default());
        let ran = Arc::new(Notify::new());
        let (fetched_tx, fetched) = mpsc::channel(FETCHED_MAX);
        let ports = Ports::new(
            slots::config(&settings),
            Rc::new(net),
            Signer::new(&settings.identity),
            store.clone(),
            jobs.clone(),
            ran.clone(),
            fetched_tx,
        )?;
        let slots_ready = ports.poll_fd().and_then(slots::wait_for).map_err(StartError::Slots)?;
        let (requests_tx, requests) = mpsc::channel(REQUESTS_MAX);
        let info = NodeInfo {
            peer: me,
            name: settings.name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            data_dir: settings.data_dir.clone(),
            mesh: settings.mesh_word().to_owned(),
            listen: Mutex::new(Vec::new()),
            started: Instant::now(),
        };
        let handle = NodeHandle::new(requests_tx, store, jobs, Arc::new(info));
        let (api, published) = start_api(&settings, handle.clone()).await?;
        let node = NodeConfig {
            name: settings.name,
            slots: settings.slots,
            memory_bytes: settings.memory_bytes,
            module_bytes: settings.module_bytes,
            labels: crate::cpu::beside(settings.labels),
            class_min: settings.class_min,
            boot,
            owners: settings.owners,
        };
        let (mesh, version) = (MeshConfig::DEFAULT, env!("CARGO_PKG_VERSION").into());
        let header = Header { version, me, mesh, node, seed: random_seed()? };
        let (notices_tx, notices_rx) = mpsc::channel(NOTICES_MAX);
        Ok(Self {
            engine: header.engine(),
            recorder: Recorder::new(header),
            ports,
            started: Instant::now(),
            requests,
            events,
            fetched,
            ran,
            slots_ready,
            handle,
            notices: (notices_tx, Some(notices_rx)),
            _api: api,
            _published: published,
            _lock: lock,
        })
    }

    /// The way to talk to it while it runs.
    #[must_use]
    pub fn handle(&self) -> NodeHandle {
        self.handle.clone()
    }

    /// What comes and goes, for whoever watches; `None` the second time.
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

    /// Runs the loop until `stop` is ready, or somebody asks for it through the handle.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) {
        let handle = self.handle.clone();
        let mut stop = std::pin::pin!(async move {
            tokio::select! {
                () = stop => {}
                () = handle.stopped() => {}
            }
        });
        loop {
            match self.select(stop.as_mut()).await {
                Step::Stop => return,
                Step::Input(input) => self.apply(input),
                Step::Net(event) => self.on_net(event),
                Step::Request(request) => self.on_request(request),
                Step::Ran => {
                    if self.slots_ready.is_some() && self.ports.turn() {
                        // Its bound was reached: the rest comes behind whatever else waits.
                        self.ran.notify_one();
                    }
                    for input in self.ports.take_events() {
                        self.apply(input);
                    }
                }
            }
        }
    }

    /// Waits; changes nothing, so that it may be dropped at any point.
    async fn select(&mut self, stop: std::pin::Pin<&mut impl Future<Output = ()>>) -> Step {
        let wakeup = self.engine.next_wakeup().map(|(at, _)| self.started + Duration::from_micros(at.0));
        let timer = async {
            match wakeup {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => Step::Stop,
            () = self.ran.notified() => Step::Ran,
            () = slots::readable(self.slots_ready.as_ref()) => Step::Ran,
            Some(event) = self.events.recv() => Step::Net(event),
            Some(request) = self.requests.recv() => Step::Request(request),
            Some(input) = self.fetched.recv() => Step::Input(input),
            () = timer => Step::Input(Input::Wake),
        }
    }

    /// Decides, and performs what was decided; what is answered at once is an input of its own.
    fn apply(&mut self, input: Input) {
        let mut next = Some(input);
        while let Some(input) = next {
            let now = Time(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
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
    }

    fn on_request(&mut self, request: Request) {
        // A caller that went away no longer needs its answer.
        match request {
            Request::Command(command) => self.apply(Input::Command(command)),
            Request::Standing(reply) => {
                let standing = Standing { snapshot: self.engine.snapshot(), pool: self.ports.pool_status() };
                drop(reply.send(standing));
            }
            Request::Why { job, index, reply } => {
                let now = Time(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX));
                drop(reply.send(self.engine.why(now, job, index)));
            }
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Listening(address) => {
                self.handle.info().add_listen(address.clone());
                self.notice(Notice::Listening(address));
            }
            NetEvent::Up { peer, boot, address } => {
                self.notice(Notice::PeerUp { peer, address });
                self.apply(Input::PeerUp { peer, boot });
            }
            NetEvent::Down { peer, reason, closed } => {
                self.notice(Notice::PeerDown { peer, reason });
                self.apply(Input::PeerDown { peer, closed });
            }
            NetEvent::Received { from, message } => self.apply(Input::Received { from, message }),
            NetEvent::Heard { origin, gossip } => self.apply(Input::Heard { origin, gossip }),
            NetEvent::Rtt { peer, rtt_us } => self.apply(Input::Rtt { peer, rtt_us }),
            NetEvent::Refused { address, reason } => self.notice(Notice::Refused { address, reason }),
            NetEvent::SameIdentity { address } => self.notice(Notice::SameIdentity { address }),
        }
    }

    fn notice(&self, notice: Notice) {
        if let Err(error) = self.notices.0.try_send(notice) {
            tracing::debug!(%error, "nobody reads the notices");
        }
    }
}

async fn start_net(
    settings: &Settings,
    boot: u64,
    store: &weft_blobs::Store,
) -> Result<(Net, mpsc::Receiver<NetEvent>), StartError> {
    let admission = match settings.mesh_key {
        Some(key) => Admission::Key(key),
        None if settings.open => Admission::Open,
        None => Admission::Loopback,
    };
    let config = NetConfig {
        identity: settings.identity,
        boot,
        admission,
        listen: settings.listen.clone(),
        peers: settings.peers.clone(),
        // Who listens on loopback alone can't be reached from where multicast goes: it has nothing to announce.
        mdns: settings.mdns && !settings.listen.iter().all(|address| is_loopback(address)),
        peers_file: Some(settings.data_dir.join("peers")),
    };
    let blobs = Arc::new(crate::ports::NetBlobs(store.clone()));
    match weft_net::start(config.clone(), blobs.clone()).await {
        Err(NetError::Listen { .. }) if settings.listen_is_default => {
            // The default port is somebody else's, most often another node's of this machine: any port will do.
            let listen = config.listen.iter().map(|address| any_port(address)).collect();
            Ok(weft_net::start(NetConfig { listen, ..config }, blobs).await?)
        }
        other => Ok(other?),
    }
}

fn is_loopback(multiaddr: &str) -> bool {
    multiaddr.starts_with("/ip4/127.") || multiaddr.starts_with("/ip6/::1/")
}

fn any_port(address: &str) -> String {
    let (host, _) = address.rsplit_once('/').unwrap_or((address, ""));
    format!("{host}/0")
}

async fn start_api(
    settings: &Settings,
    handle: NodeHandle,
) -> Result<(JoinSet<()>, api::Published), StartError> {
    let failed = |source| StartError::Api { address: settings.api, source };
    let listener = api::bind(settings.api).await.map_err(failed)?;
    let published = api::publish(&settings.data_dir, &listener).map_err(failed)?;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(api::serve(listener, handle, published.token().to_owned()));
    Ok((tasks, published))
}

fn random_u64() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}

fn random_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    Ok(seed)
}
