//! Bytes by their BLAKE3 hash, checked as they stream.
//!
//! A [`Store`] keeps blobs as files named by their hash, below a quota, with a small memory cache before them. It
//! knows no peers and decides nothing: the network layer streams a peer's bytes into an [`Incoming`], the node
//! puts inputs and outputs, pins what work needs, and reads. Bytes are never trusted before their hash: what
//! arrives is checked before it becomes visible, and what an earlier run left is checked when first read.
//!
//! ```text
//!   put, put_reader, incoming --> incoming/<n>  --hash, rename-->  ab/<hex>  --hash once after open--> get, open_read
//!                                 (a leftover is               (least recently used goes first,
//!                                  removed at open)             pinned never)
//! ```
//!
//! Every call blocks on the disk: call from a thread that may wait. One store at a time may be open on a directory;
//! the node's lock on its data directory sees to that.

mod cache;
mod disk;
mod durability;
mod error;
mod incoming;
mod index;
mod shared;
mod store;

pub use durability::Durability;
pub use error::Error;
pub use incoming::Incoming;
pub use index::Usage;
pub use store::{Quota, Store};
