//! The file system of one task, in memory: `/in` (read-only, from an archive), `/out` and `/tmp`, and nothing else.
//!
//! It opens nothing of the host's, so there is nothing to escape to; order, inode numbers and times are the same on
//! every node. It knows no WASI: [`crate::wasi`] and the components' host call it with inodes and paths, map [`Error`]
//! to their own codes, and give the time. Every byte and every name that a guest adds is counted before it is kept;
//! reaching a bound is [`Error::Limit`], which ends the run.
//!
//! Paths are resolved as under `wasmtime run`: a directory that is open is the root of what is reached through it.
//! An absolute path, `..` beyond that root, or a symbolic link that leads there is [`Error::NotPermitted`].

mod archive;
mod content;
mod export;
mod files;
mod names;
mod node;
mod path;

use std::collections::BTreeMap;

use bytes::Bytes;
use weft_core::{Limit, Limits};

use content::Content;
pub(crate) use export::{Left, SPARE_BYTES};
pub(crate) use files::Files;
use node::{Body, Node};
pub(crate) use node::{Inode, Kind, Stat};

/// Longest path or link, in bytes.
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// Longest name of one file, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Symbolic links followed for one path.
const LINKS_FOLLOWED_MAX: u32 = 40;

/// The directories that a task starts with, with the names by which it knows them. The root comes first: it is where
/// relative paths begin.
pub(crate) const PREOPENS: [(Inode, &str); 4] =
    [(Vfs::ROOT, "/"), (Vfs::IN, "/in"), (Vfs::OUT, "/out"), (Vfs::TMP, "/tmp")];

/// Why an operation did not happen; the file system is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Error {
    /// ENOENT: there is no such file or directory.
    NoEntry,
    /// EEXIST: there is one already.
    Exists,
    /// ENOTDIR: a directory was needed.
    NotDirectory,
    /// EISDIR: a directory was there.
    IsDirectory,
    /// ENOTEMPTY: the directory still has entries.
    NotEmpty,
    /// ELOOP: too many symbolic links, or one where none is followed.
    Loop,
    /// ENAMETOOLONG: a name or path is too long.
    NameTooLong,
    /// EROFS: `/in` and the root can't be changed.
    ReadOnly,
    /// EINVAL: it makes no sense.
    Invalid,
    /// EPERM: it leads out of the directory it started from.
    NotPermitted,
    /// EXDEV: `/in` shares no file with the others.
    CrossDevice,
    /// EBUSY: it is in use as what it is.
    Busy,
    /// The guest reached a bound; the run must end with it.
    Limit(Limit),
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenHow {
    /// Whether a symbolic link at the end of the path is followed.
    pub(crate) follow: bool,
    /// Make it if it is not there.
    pub(crate) create: bool,
    /// With `create`: fail if it is there.
    pub(crate) exclusive: bool,
    /// Fail unless it is a directory.
    pub(crate) directory: bool,
    /// Empty the file.
    pub(crate) truncate: bool,
    /// It will be written to. The file system checks only whether that is possible: a handle's mode is its holder's.
    pub(crate) write: bool,
}

/// A task's file system.
#[derive(Debug)]
pub(crate) struct Vfs {
    nodes: BTreeMap<Inode, Node>,
    next: u64,
    quota: Quota,
}

impl Vfs {
    /// `/`: read-only, holds just the other three.
    pub(crate) const ROOT: Inode = Inode(1);
    /// `/in`: read-only.
    pub(crate) const IN: Inode = Inode(2);
    /// `/out`: comes back when the task ends.
    pub(crate) const OUT: Inode = Inode(3);
    /// `/tmp`: goes with the task.
    pub(crate) const TMP: Inode = Inode(4);

    /// A file system whose `/in` has what the archive `files` (tar; may be empty) has, and whose `/out` and `/tmp` are
    /// empty. Times are nanoseconds since 1970, here and everywhere.
    ///
    /// # Errors
    /// With a text for the task's author, when the archive is none, or has what it must not have.
    pub(crate) fn new(files: &Bytes, limits: &Limits, now_ns: u64) -> Result<Self, String> {
        let mut vfs = Self { nodes: BTreeMap::new(), next: 5, quota: Quota::new(limits) };
        for (inode, name) in PREOPENS {
            let read_only = matches!(inode, Self::ROOT | Self::IN);
            vfs.nodes.insert(inode, Node::directory(Self::ROOT, read_only, now_ns));
            if let Some(name) = name.strip_prefix('/').filter(|name| !name.is_empty()) {
                // The root comes first in the list, and so is there.
                vfs.entries_mut(Self::ROOT).map(|entries| entries.insert(name.into(), inode)).ok();
            }
        }
        archive::unpack(&mut vfs, files, now_ns)?;
        Ok(vfs)
    }

    /// What is charged now to the task, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.quota.bytes
    }

    /// What the inode is. An inode that nobody holds and no directory names does not exist.
    ///
    /// # Errors
    /// When it does not exist.
    pub(crate) fn stat(&self, inode: Inode) -> Result<Stat, Error> {
        self.node(inode).map(|node| node.stat(inode))
    }

    /// Finds what the path names.
    ///
    /// # Errors
    /// When it names nothing, or leads out.
    pub(crate) fn find(&self, at: Inode, path: &str, follow: bool) -> Result<Inode, Error> {
        self.walk(at, path, follow)?.found.ok_or(Error::NoEntry)
    }

    /// Opens or makes a file, or opens a directory, and holds it: the caller owes a [`Self::release`].
    ///
    /// # Errors
    /// As `open` of POSIX has them.
    pub(crate) fn open(&mut self, at: Inode, path: &str, how: OpenHow, now_ns: u64) -> Result<Inode, Error> {
        let exclusive = how.create && how.exclusive;
        let place = self.walk(at, path, how.follow && !exclusive)?;
        let inode = match place.found {
            Some(_) if exclusive => return Err(Error::Exists),
            Some(inode) => inode,
            None if !how.create => return Err(Error::NoEntry),
            None if place.slash => return Err(Error::IsDirectory),
            None => {
                self.check_writable(place.dir)?;
                self.make(place.dir, &place.name, Body::File(Content::empty()), now_ns)?
            }
        };
        let node = self.node(inode)?;
        let writes = how.write || how.create || how.truncate;
        match &node.body {
            Body::Directory { .. } if writes => return Err(Error::IsDirectory),
            Body::Directory { .. } => {}
            Body::Link(_) => return Err(Error::Loop),
            Body::File(_) if how.directory || place.slash => return Err(Error::NotDirectory),
            Body::File(_) if writes && node.read_only => return Err(Error::ReadOnly),
            Body::File(_) => {}
        }
        if how.truncate {
            self.set_len(inode, 0, now_ns)?;
        }
        self.hold(inode)?;
        Ok(inode)
    }

    /// Keeps an inode in existence until it is released, whatever becomes of its names.
    ///
    /// # Errors
    /// When it does not exist.
    pub(crate) fn hold(&mut self, inode: Inode) -> Result<(), Error> {
        self.node_mut(inode)?.held += 1;
        Ok(())
    }

    /// Undoes one [`Self::hold`] or [`Self::open`].
    pub(crate) fn release(&mut self, inode: Inode) {
        if let Ok(node) = self.node_mut(inode) {
            node.held = node.held.saturating_sub(1);
            self.forget_if_unused(inode);
        }
    }

    /// Reads into `buffer` what the file has at `offset`; returns how much, 0 at the end.
    ///
    /// # Errors
    /// When it is no file.
    pub(crate) fn read(&self, file: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.content(file)?.read(offset, buffer))
    }

    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// When it is no file that can be written to, or the quota is reached: then nothing is written.
    pub(crate) fn write(&mut self, file: Inode, offset: u64, bytes: &[u8], now_ns: u64) -> Result<(), Error> {
        let len = self.content(file)?.len();
        self.check_writable(file)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| self.quota.full())?;
        self.quota.charge(end.saturating_sub(len))?;
        let node = self.node_mut(file)?;
        node.touch(now_ns);
        node.content_mut()?.write(offset, bytes);
        Ok(())
    }

    /// Cuts a file, or extends it with zeros.
    ///
    /// # Errors
    /// When it is no file that can be written to, or the quota is reached.
    pub(crate) fn set_len(&mut self, file: Inode, len: u64, now_ns: u64) -> Result<(), Error> {
        let before = self.content(file)?.len();
        self.check_writable(file)?;
        self.quota.charge(len.saturating_sub(before))?;
        self.quota.refund(before.saturating_sub(len));
        let node = self.node_mut(file)?;
        node.touch(now_ns);
        node.content_mut()?.set_len(len);
        Ok(())
    }

    /// Sets the times that are given. The time of access is only ever set here: reading does not change it.
    ///
    /// # Errors
    /// When the inode does not exist, or can't be changed.
    pub(crate) fn set_times(
        &mut self,
        inode: Inode,
        accessed_ns: Option<u64>,
        modified_ns: Option<u64>,
        now_ns: u64,
    ) -> Result<(), Error> {
        self.check_writable(inode)?;
        let node = self.node_mut(inode)?;
        node.accessed_ns = accessed_ns.unwrap_or(node.accessed_ns);
        node.modified_ns = modified_ns.unwrap_or(node.modified_ns);
        node.changed_ns = now_ns;
        Ok(())
    }

    /// The directory's entries after this name, in the order of the names' bytes; without `.` and `..`.
    ///
    /// # Errors
    /// When it is no directory.
    pub(crate) fn entries_after(
        &self,
        directory: Inode,
        after: Option<&str>,
    ) -> Result<impl Iterator<Item = (&str, Inode, Kind)>, Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let entries = self.entries(directory)?.range::<str, _>((from, Unbounded));
        Ok(entries.filter_map(|(name, inode)| Some((&**name, *inode, self.nodes.get(inode)?.kind()))))
    }

    fn content(&self, file: Inode) -> Result<&Content, Error> {
        match &self.node(file)?.body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } => Err(Error::IsDirectory),
            Body::Link(_) => Err(Error::Loop),
        }
    }

    fn check_writable(&self, inode: Inode) -> Result<(), Error> {
        let node = self.node(inode)?;
        match node.body {
            _ if node.read_only => Err(Error::ReadOnly),
            // It was removed while it was open: nothing can be made in it any more.
            Body::Directory { .. } if node.links == 0 => Err(Error::NoEntry),
            Body::Directory { .. } | Body::File(_) | Body::Link(_) => Ok(()),
        }
    }

    fn node(&self, inode: Inode) -> Result<&Node, Error> {
        self.nodes.get(&inode).ok_or(Error::NoEntry)
    }

    fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Error> {
        self.nodes.get_mut(&inode).ok_or(Error::NoEntry)
    }
}

/// What a task may keep, and what it keeps.
#[derive(Debug)]
struct Quota {
    bytes_max: u64,
    files_max: u32,
    bytes: u64,
    files: u32,
}

impl Quota {
    fn new(limits: &Limits) -> Self {
        Self { bytes_max: limits.files_bytes, files_max: limits.files, bytes: 0, files: 0 }
    }

    fn charge(&mut self, more: u64) -> Result<(), Error> {
        let bytes = self.bytes.checked_add(more).filter(|bytes| *bytes <= self.bytes_max);
        self.bytes = bytes.ok_or_else(|| self.full())?;
        Ok(())
    }

    fn refund(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn charge_file(&mut self) -> Result<(), Error> {
        if self.files >= self.files_max {
            return Err(Error::Limit(Limit::Files { limit: self.files_max }));
        }
        self.files += 1;
        Ok(())
    }

    fn refund_file(&mut self) {
        self.files = self.files.saturating_sub(1);
    }

    fn full(&self) -> Error {
        Error::Limit(Limit::FilesBytes { limit_bytes: self.bytes_max })
    }
}

#[cfg(test)]
mod tests;
