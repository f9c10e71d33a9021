//! A store of blobs by BLAKE3 hash, verified while they are streamed.
//!
//! A [`Store`] keeps blobs as files named by their hash, within a quota, with a small cache in memory. It knows no
//! peers and makes no decisions: the network layer streams a peer's bytes into an [`Incoming`]; the node stores inputs
//! and outputs, pins blobs that its work needs, and reads them. Bytes are never trusted before they are hashed:
//! incoming blobs are verified before they become visible, files of an earlier run when they are first read.
//!
//! ```text
//!   put, put_reader, incoming --> incoming/<n>  --hash, rename-->  ab/<hex>  --hash once after open--> get, open_read
//!                                 (a leftover is               (least recently used goes first,
//!                                  removed at open)             pinned never)
//! ```
//!
//! Every call blocks on the disk, so call it from a thread that may block. Only one store may be open on a directory;
//! the node's lock on its data directory guarantees that.

mod awaited;
mod cache;
mod disk;
mod durability;
mod error;
mod incoming;
mod index;
mod shared;
mod store;

pub use disk::DIR;
pub use durability::Durability;
pub use error::Error;
pub use incoming::{Incoming, Room};
pub use index::{Loss, Usage};
pub use store::{Quota, Store};
