//! What the driver keeps of each connection, stream and name, and what its tasks end with. Only data; each part is written
//! by the file next to this one that is about it.

use std::net::SocketAddr;
use std::sync::Arc;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, Stream};
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_core::PeerId;

use crate::link::{End, Path};
use crate::outbox::Outbox;
use crate::versions::Spoken;

/// A connection to a peer.
pub(super) struct Connection {
    pub(super) peer: PeerId,
    /// The boot nonce that the process behind it told at admission; 0 when that is not known.
    pub(super) boot: u64,
    /// What is spoken with that process.
    pub(super) spoken: Spoken,
    pub(super) since: Instant,
    pub(super) address: Multiaddr,
    pub(super) dialled: bool,
}

/// State of a configured name.
#[derive(Default)]
pub(super) struct Named {
    /// Attempts so far.
    pub(super) attempts: usize,
    /// Why the last look-up failed; it is logged when it changes.
    pub(super) failure: Option<String>,
}

/// A stream that is being opened.
pub(super) struct Greeting {
    pub(super) running: bool,
    pub(super) failures: u32,
    pub(super) next: Instant,
}

/// A running link.
pub(super) struct Held {
    /// The boot nonce of the process that it leads to.
    pub(super) boot: u64,
    pub(super) stop: Arc<Notify>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) since: Instant,
    /// Connections when it began; it runs over one of these.
    pub(super) connections: Vec<ConnectionId>,
    /// The stream that replaces it once it has ended.
    pub(super) next: Option<(u64, Stream)>,
}

/// The result of a task of the driver.
pub(super) enum Done {
    /// Hellos were exchanged, or that failed.
    Greeted { peer: PeerId, result: Result<(u64, Stream), String> },
    /// A link ended.
    Ended { peer: PeerId, end: End, path: Path },
    /// Writing the peers file ended.
    Saved,
    /// A configured host name was resolved, or that failed.
    LookedUp { target: Multiaddr, found: Result<Vec<SocketAddr>, String> },
}
