//! Nodes inside a program: each on a thread of its own, with its own identity, data directory, swarm and slots, as if
//! it were a process. For demos, tests and programs that bring their mesh along. Slots are threads here.

use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use weft_core::PeerId;

use crate::handle::NodeHandle;
use crate::node::{Node, Notice, StartError};
use crate::settings::{DirError, Settings, SlotKind};

/// How long nodes of one machine may take to find each other.
const MEET_MAX: Duration = Duration::from_secs(20);

/// Notices of one node that wait until the mesh has started.
const NOTICES_MAX: usize = 1024;

/// Why an embedded mesh did not come up. Whatever was started is stopped again.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A node did not start.
    #[error("node {index} of the embedded mesh does not start: {source}")]
    Start {
        /// Its number, from 0.
        index: usize,
        /// The cause.
        source: StartError,
    },
    /// The operating system refused a thread, a directory, or randomness.
    #[error("the embedded mesh can't be set up: {0}")]
    System(#[from] std::io::Error),
    /// A node ended before it was up.
    #[error("node {index} of the embedded mesh ended while it started")]
    Ended {
        /// Its number, from 0.
        index: usize,
    },
    /// The nodes did not find each other in time.
    #[error("node {index} met {met} of {wanted} peers within {} s", MEET_MAX.as_secs())]
    Apart {
        /// Its number, from 0.
        index: usize,
        /// Peers that it found.
        met: usize,
        /// Peers that it should have found.
        wanted: usize,
    },
}

impl EmbeddedError {
    /// The file that the disk did not take, and why, if that is what this says.
    ///
    /// # Errors
    /// The same error, where it is about something else.
    pub(crate) fn into_file(self) -> Result<(PathBuf, std::io::Error), Self> {
        let Self::Start { index, source } = self else { return Err(self) };
        match source {
            StartError::Dir(DirError::Io { path, source, .. })
            | StartError::Publish { path, source }
            | StartError::Store(weft_blobs::Error::Io { path, source, .. })
            | StartError::Journal(weft_journal::Error::Io { path, source, .. }) => Ok((path, source)),
            StartError::Journal(weft_journal::Error::NoLocks { path, why }) => {
                Ok((path, std::io::Error::other(format!("its file system has no locks ({why})"))))
            }
            StartError::Dir(_)
            | StartError::Store(_)
            | StartError::Journal(_)
            | StartError::Slots(_)
            | StartError::Sandbox(_)
            | StartError::Net(_)
            | StartError::Api { .. }
            | StartError::Random(_) => Err(Self::Start { index, source }),
        }
    }
}

/// What an embedded mesh is made of.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// How many nodes, at least 1.
    pub nodes: usize,
    /// Slots of each node, at least 1.
    pub slots: u32,
    /// Where the nodes' data directories are made, as `node-0` and so on.
    pub dir: PathBuf,
}

/// A running embedded mesh. Dropping it stops its nodes, which tell each other, and leaves its directories.
#[derive(Debug)]
pub struct EmbeddedMesh {
    nodes: Vec<EmbeddedNode>,
}

impl EmbeddedMesh {
    /// Starts the nodes and waits until each is connected to each. Blocks the calling thread meanwhile.
    ///
    /// # Errors
    /// When a node does not start, or they don't find each other.
    pub fn start(config: &EmbeddedConfig) -> Result<Self, EmbeddedError> {
        let mut mesh_key = [0; 32];
        getrandom::fill(&mut mesh_key).map_err(std::io::Error::from)?;
        let mut nodes: Vec<EmbeddedNode> = Vec::new();
        for index in 0..config.nodes {
            let peers = nodes.first().map(|first| first.address.clone()).into_iter().collect();
            let settings = settings(config, index, mesh_key, peers)?;
            nodes.push(EmbeddedNode::start(index, settings)?);
        }
        let wanted = nodes.len().saturating_sub(1);
        for (index, node) in nodes.iter_mut().enumerate() {
            node.meet(index, wanted)?;
        }
        Ok(Self { nodes })
    }

    /// The nodes, in order; the killed ones too.
    #[must_use]
    pub fn nodes(&self) -> &[EmbeddedNode] {
        &self.nodes
    }

    /// Ends a node at once, as `kill -9` would: its peers are not told. Unknown numbers are ignored.
    pub fn kill(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.kill();
        }
    }
}

/// One node on its thread.
pub struct EmbeddedNode {
    handle: NodeHandle,
    address: String,
    data_dir: PathBuf,
    notices: mpsc::Receiver<Notice>,
    /// Ends it: its peers are told when this is dropped, and are not told when it is used.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for EmbeddedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedNode")
            .field("address", &self.address)
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

impl Drop for EmbeddedNode {
    fn drop(&mut self) {
        self.stop();
    }
}

impl EmbeddedNode {
    fn start(index: usize, settings: Settings) -> Result<Self, EmbeddedError> {
        let data_dir = settings.data_dir.clone();
        let (up_tx, up) = mpsc::channel();
        let (notices_tx, notices) = mpsc::sync_channel(NOTICES_MAX);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("weft-node-{index}"))
            .spawn(move || serve(settings, &up_tx, &notices_tx, stopped))?;
        let handle = match up.recv() {
            Ok(Ok(handle)) => handle,
            Ok(Err(source)) => return Err(EmbeddedError::Start { index, source }),
            Err(_ended) => return Err(EmbeddedError::Ended { index }),
        };
        let mut node = Self {
            handle,
            address: String::new(),
            data_dir,
            notices,
            stop: Some(stop),
            thread: Some(thread),
        };
        node.address = node.first_address(index)?;
        Ok(node)
    }

    /// The way to talk to it.
    #[must_use]
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Its data directory: what a client connects in.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether it was not killed.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.thread.is_some()
    }

    fn kill(&mut self) {
        // One that has ended by itself does not receive it.
        let _ended = self.stop.take().map(|stop| stop.send(()));
        self.stop();
    }

    fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("an embedded node panicked");
        }
    }

    fn first_address(&self, index: usize) -> Result<String, EmbeddedError> {
        loop {
            match self.notices.recv_timeout(MEET_MAX) {
                Ok(Notice::Listening(address)) => return Ok(address),
                Ok(_other) => {}
                Err(_late) => return Err(EmbeddedError::Ended { index }),
            }
        }
    }

    fn meet(&mut self, index: usize, wanted: usize) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + MEET_MAX;
        let mut met: Vec<PeerId> = Vec::new();
        while met.len() < wanted {
            match self.notices.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Notice::PeerUp { peer, .. }) => met.push(peer),
                Ok(Notice::PeerDown { peer, .. }) => met.retain(|known| *known != peer),
                Ok(
                    Notice::Listening(_)
                    | Notice::Refused { .. }
                    | Notice::SameIdentity { .. }
                    | Notice::Kept(_)
                    | Notice::Leaving(_)
                    | Notice::Trouble(_),
                ) => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(EmbeddedError::Apart { index, met: met.len(), wanted });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(EmbeddedError::Ended { index }),
            }
        }
        Ok(())
    }
}

/// The node's thread.
fn serve(
    settings: Settings,
    up: &mpsc::Sender<Result<NodeHandle, StartError>>,
    told: &mpsc::SyncSender<Notice>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "no runtime for an embedded node"),
    };
    LocalSet::new().block_on(&runtime, async move {
        let mut node = match Node::start(settings).await {
            Ok(node) => node,
            // The thread that started this node has stopped waiting only if it panicked.
            Err(error) => return drop(up.send(Err(error))),
        };
        drop(up.send(Ok(node.handle())));
        let mut notices = node.notices().expect("a fresh node has its notices");
        let pass_on = async {
            while let Some(notice) = notices.recv().await {
                match notice {
                    // What is wrong and what becomes of work is not for the thread that waits for the mesh.
                    Notice::Trouble(_) | Notice::Kept(_) | Notice::Leaving(_) => notice.log(),
                    // Once the mesh is up, the others are not read: the bound is reached and the rest is dropped.
                    Notice::Listening(_)
                    | Notice::PeerUp { .. }
                    | Notice::PeerDown { .. }
                    | Notice::Refused { .. }
                    | Notice::SameIdentity { .. } => drop(told.try_send(notice)),
                }
            }
        };
        let (dropped, stop) = oneshot::channel::<()>();
        let killed = async {
            if stopped.await.is_ok() {
                return;
            }
            drop(dropped);
            std::future::pending::<()>().await;
        };
        let stop = async {
            tokio::select! {
                _dropped = stop => {}
                () = pass_on => {}
            }
        };
        tokio::select! {
            () = killed => {}
            ended = node.run_until(stop) => {
                if let Err(broken) = ended {
                    tracing::error!(%broken, "an embedded node ended");
                }
            }
        }
    });
    // A fetch or a write that is still on a blocking thread is abandoned, as it would be by a crash.
    runtime.shutdown_background();
}

/// What one of these nodes is made of.
pub(crate) fn settings(
    config: &EmbeddedConfig,
    index: usize,
    mesh_key: [u8; 32],
    peers: Vec<String>,
) -> Result<Settings, EmbeddedError> {
    let data_dir = config.dir.join(format!("node-{index}"));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir)?;
    let mut identity = [0; 32];
    getrandom::fill(&mut identity).map_err(std::io::Error::from)?;
    Ok(Settings {
        data_dir,
        name: format!("node-{index}"),
        listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
        listen_is_default: false,
        api: std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        slots: config.slots,
        slot_kind: SlotKind::Thread,
        memory_bytes: 1 << 30,
        module_bytes: weft_exec::MODULE_BYTES_MAX,
        labels: Vec::new(),
        class_min: weft_core::message::Class::Scavenger,
        owners: weft_core::Owners::All,
        memo: weft_core::Recall::Own,
        peers,
        open: false,
        mdns: false,
        store_bytes: 4 << 30,
        keep_results: Duration::from_secs(3600),
        // It lives as long as the program.
        reserve_bytes: 0,
        // They end with the program.
        client_wait: Duration::ZERO,
        // Its owners mostly end with it.
        grace: Duration::ZERO,
        mesh_key: Some(mesh_key),
        identity,
    })
}
