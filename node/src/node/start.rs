//! The parts of a node's start that can fail: mesh adapter, API, randomness; and why a node did not start.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weft_core::PeerId;
use weft_exec::SandboxError;
use weft_net::{Admission, Asked, Net, NetConfig, NetError, NetEvents};

use crate::api;
use crate::handle::{NodeHandle, NodeInfo, StoreFault};
use crate::settings::{self, DirError, Settings};

/// What is made free on a full disk for the files that a start writes, in bytes.
const START_BYTES: u64 = 1 << 20;

/// Why a node did not start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used, or another node uses it.
    #[error(transparent)]
    Dir(#[from] DirError),
    /// The blob store can't be opened.
    #[error("the blob store can't be opened: {0}")]
    Store(#[from] weft_blobs::Error),
    /// The journal can't be opened.
    #[error("the journal, which keeps jobs on disk, can't be opened: {0}")]
    Journal(#[from] weft_journal::Error),
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
        /// The cause.
        source: std::io::Error,
    },
    /// The files by which clients find the API can't be written.
    #[error("cannot write {} and api.token next to it: {source}; {}", path.display(), settings::disk_advice(source))]
    Publish {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes: {0}")]
    Random(getrandom::Error),
}

/// What the node is, apart from what its engine knows.
pub(super) fn info_of(settings: &Settings, me: PeerId, store_fault: StoreFault) -> NodeInfo {
    NodeInfo {
        peer: me,
        name: settings.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        data_dir: settings.data_dir.clone(),
        memo: settings.memo,
        mesh: settings.mesh_word().to_owned(),
        listen: Mutex::new(Vec::new()),
        troubles: Mutex::default(),
        started: Instant::now(),
        store_fault,
        grace: settings.grace,
    }
}

pub(super) async fn start_net(
    settings: &Settings,
    boot: u64,
    store: &weft_blobs::Store,
    fault: &StoreFault,
) -> Result<(Net, NetEvents), StartError> {
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
        // A node that listens on loopback only can't be reached over multicast's networks: it has nothing to announce.
        mdns: settings.mdns && !settings.listen.iter().all(|address| is_loopback(address)),
        peers_file: Some(settings.data_dir.join("peers")),
    };
    let blobs = Arc::new(crate::ports::NetBlobs(store.clone(), fault.clone()));
    match weft_net::start(config.clone(), blobs.clone()).await {
        Err(NetError::Listen { cause, .. }) if settings.listen_is_default => {
            // Most often it is another node's of this machine: any port will do.
            tracing::warn!(
                "port {} is taken ({cause}): this node listens on another port, which changes with each start, and a \
                 ticket names it only while the node runs; give it a port of its own with --listen 0.0.0.0:PORT or in \
                 weft.toml",
                settings::DEFAULT_PORT
            );
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

pub(super) async fn start_api(
    settings: &Settings,
    handle: NodeHandle,
    asked: Option<mpsc::Receiver<Asked>>,
) -> Result<(JoinSet<()>, api::Published), StartError> {
    let failed = |source| StartError::Api { address: settings.api, source };
    let listener = api::bind(settings.api).await.map_err(failed)?;
    let published = match api::publish(&settings.data_dir, &listener) {
        // A disk that is full of this node's own cache does not keep it from starting.
        Err(error) if settings::is_full(&error) && handle.store().make_room(START_BYTES)? > 0 => {
            api::publish(&settings.data_dir, &listener)
        }
        published => published,
    };
    let path = settings.data_dir.join("api.json");
    let published = published.map_err(|source| StartError::Publish { path, source })?;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(api::serve(listener, handle, published.token().to_owned(), asked));
    Ok((tasks, published))
}

pub(super) fn random_u64() -> Result<u64, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(super) fn random_seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(StartError::Random)?;
    Ok(seed)
}
