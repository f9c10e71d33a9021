//! The API of a node whose loop is not there, for tests: what the loop would be asked comes out here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use weft_core::message::Class;
use weft_core::{BlobId, Level, PeerId, Recall};

use super::places::{Bounds, Lasting};
use super::{Api, Orphan, Parts};
use crate::handle::{NodeHandle, NodeInfo, REQUESTS_MAX, Request, StoreFault};
use crate::jobs::{JobMeta, JobTable, Title};

pub(super) const ME: PeerId = PeerId([1; 32]);

pub(super) struct Loopless {
    pub(super) api: Api,
    pub(super) asked: mpsc::Receiver<Request>,
    pub(super) orphans: mpsc::Receiver<Orphan>,
}

pub(super) fn loopless(dir: &Path) -> Loopless {
    let store = weft_blobs::Store::open(dir, weft_blobs::Quota { bytes: 1 << 20 }).unwrap();
    let info = NodeInfo {
        peer: ME,
        name: String::from("anna"),
        version: "0",
        data_dir: dir.to_owned(),
        memo: Recall::Own,
        mesh: String::from("key"),
        listen: Mutex::default(),
        troubles: Mutex::default(),
        started: Instant::now(),
        store_fault: StoreFault::default(),
        grace: Duration::ZERO,
    };
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let (orphaned, orphans) = mpsc::channel(1);
    let handle = NodeHandle::new(requests, store, Arc::new(JobTable::new()), Arc::new(info));
    let lasting = Lasting::new(Bounds::of_members());
    let parts = Parts {
        handle,
        token: "".into(),
        port: 0,
        lasting,
        leaders: Arc::default(),
        looked: Arc::default(),
        arrivals: Arc::default(),
        orphans: orphaned,
    };
    let api = parts.into();
    Loopless { api, asked, orphans }
}

/// A job of this node, in memory.
pub(super) fn meta() -> JobMeta {
    JobMeta {
        module: BlobId([0; 32]),
        class: Class::Batch,
        detached: true,
        level: Level::Memory,
        owner: ME,
        shared: false,
        title: Arc::new(Title { name: String::new(), labels: BTreeMap::new() }),
        submitted_ms: 0,
        streamed: false,
        signed: None,
        after: Arc::default(),
        takes_results: false,
    }
}
