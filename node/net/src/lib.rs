//! The mesh adapter of a weft node: translates between libp2p and the core's messages.
//!
//! It finds nodes, admits those that prove the mesh key, keeps one framed stream to each, carries messages and gossip,
//! transfers blobs, and carries requests of members to each other. It does not know what a message means, which node to trust with work, or what to do about a
//! lost peer: the core decides that. No other crate depends on libp2p.
//!
//! ```text
//!   Net::send, publish --> outboxes, gossip --> swarm        NetEvent <-- links <-- swarm
//!   Net::fetch --> a substream of its own --> BlobStore
//!   Asker::ask --> a substream of its own --> Asked, to the node
//! ```
//!
//! [`start`] is called inside a [`tokio::task::LocalSet`] on a current-thread runtime; whatever it starts there ends
//! when the [`Net`] is dropped.

mod address;
mod admission;
mod answer;
mod api;
mod ask;
mod behaviour;
mod blob;
mod book;
mod caught;
mod census;
mod config;
mod driver;
mod event;
mod fetch;
mod frame;
mod gate;
mod inbox;
mod interfaces;
mod link;
mod mdns;
mod names;
mod net;
mod outbox;
mod paths;
mod places;
mod refusals;
mod remembered;
mod retry;
mod serve;
mod shared;
mod sign;
mod transport;
mod twins;
mod versions;
mod zone;

pub use api::{ApiBody, ApiHead, ApiReply, ApiRequest, Asked, REQUEST_BODY_BYTES_MAX};
pub use ask::{ApiAnswer, AskError, Asker, STALL as ASK_STALL};
pub use blob::{BLOB_BYTES_MAX, BlobSink, BlobStore};
pub use caught::{Panicked, caught, caught_call, of_task};
pub use config::{Admission, DEFAULT_PORT, NetConfig, NetError, is_host_name};
pub use event::NetEvent;
pub use fetch::{Fault, FetchError};
pub use inbox::NetEvents;
pub use names::peer_id_of;
pub use net::{Net, start};
pub use sign::{Signer, is_signed_by};
