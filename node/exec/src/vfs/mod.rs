//! The file system of one task, in memory: `/in` (read-only, from an archive), `/out` and `/tmp`, and nothing else.
//!
//! It opens no file of the host. Order, inode numbers and times are the same on every node. It knows no WASI:
//! [`crate::wasi`] and the host of components call it with inodes and paths, convert [`Error`] to their own codes, and
//! pass the time. Every byte and name is charged before it is kept; reaching a bound is [`Error::Limit`], which ends
//! the run.
//!
//! Paths are resolved as under `wasmtime run`: a directory that is open is the root of what is reached through it.
//! An absolute path, `..` beyond that root, or a symbolic link that leads there is [`Error::NotPermitted`].

mod archive;
mod content;
mod error;
mod export;
mod files;
mod names;
mod node;
mod path;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use error::Error;
pub(crate) use export::{Left, SPARE_BYTES};
pub(crate) use files::Files;
pub(crate) use names::OpenHow;
pub(crate) use node::{Inode, Kind, Stat};
pub(crate) use path::PATH_BYTES_MAX;
pub(crate) use tree::{PREOPENS, Vfs};
