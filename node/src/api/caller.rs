//! Who asks, and what of a job they may change: every member reads every job; the submitter changes it, and every member
//! where it is shared.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use weft_client::api::Node;
use weft_core::PeerId;
use weft_core::snapshot::Snapshot;

use super::Api;
use super::error::ApiError;
use crate::jobs::JobSummary;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A client on this machine, which has the token.
    Here,
    /// Another member, for a client of its own.
    Member(PeerId),
}

impl Caller {
    /// Whether it may cancel, retry and forget a job.
    ///
    /// # Errors
    /// With the sentence that says why not.
    pub(super) async fn check(self, api: &Api, summary: &JobSummary) -> Result<(), ApiError> {
        let me = api.handle.info().peer;
        let peer = match self {
            Self::Here => me,
            Self::Member(peer) => peer,
        };
        if summary.is_shared() || summary.owner() == peer {
            return Ok(());
        }
        let names = Names::of(api, &api.handle.snapshot().await?);
        let owner = names.node(summary.owner());
        let owner = owner.called();
        let text = format!("job {} was submitted on node {owner}, and is not shared", summary.job);
        Err(ApiError::new(StatusCode::FORBIDDEN, text)
            .expected(format!("cancel, retry and forget from {owner}; every node may read it"))
            .help("a job that is submitted with --shared can be changed from every node"))
    }
}

/// Names of the known nodes.
#[derive(Debug)]
pub(super) struct Names {
    me: PeerId,
    names: BTreeMap<PeerId, String>,
    connected: BTreeSet<PeerId>,
}

impl Names {
    /// Those that the engine knows, and this node's own.
    pub(super) fn of(api: &Api, snapshot: &Snapshot) -> Self {
        let info = api.handle.info();
        let named = snapshot.peers.iter().map(|view| (view.peer, view.capacity.name.clone()));
        let names = named.chain([(info.peer, info.name.clone())]).collect();
        let connected = snapshot.peers.iter().filter(|view| view.connected).map(|view| view.peer);
        Self { me: info.peer, names, connected: connected.collect() }
    }

    /// Whether a node is connected to this one, or is this one.
    pub(super) fn is_here(&self, peer: PeerId) -> bool {
        peer == self.me || self.connected.contains(&peer)
    }

    pub(super) fn me(&self) -> PeerId {
        self.me
    }

    pub(super) fn node(&self, peer: PeerId) -> Node {
        let name = self.names.get(&peer).cloned().unwrap_or_default();
        Node { peer: peer.to_string(), name }
    }
}
