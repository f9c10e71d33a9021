//! The inodes of one task: their contents and status, and the quota that they are charged to. Paths and names are in
//! `path.rs` and `names.rs`.

use std::collections::BTreeMap;

use weft_core::{Limit, Limits};

use super::content::Content;
use super::error::Error;
use super::node::{Body, Entries, Inode, Kind, Node, Stat};

/// The directories that a task starts with, and their names. The root comes first: relative paths begin there.
pub(crate) const PREOPENS: [(Inode, &str); 4] =
    [(Vfs::ROOT, "/"), (Vfs::IN, "/in"), (Vfs::OUT, "/out"), (Vfs::TMP, "/tmp")];

/// A task's file system.
#[derive(Debug)]
pub(crate) struct Vfs {
    pub(super) nodes: BTreeMap<Inode, Node>,
    pub(super) next: u64,
    pub(super) quota: Quota,
}

impl Vfs {
    /// `/`: read-only, contains the other three.
    pub(crate) const ROOT: Inode = Inode(1);
    /// `/in`: read-only.
    pub(crate) const IN: Inode = Inode(2);
    /// `/out`: returned when the task ends.
    pub(crate) const OUT: Inode = Inode(3);
    /// `/tmp`: dropped with the task.
    pub(crate) const TMP: Inode = Inode(4);

    /// An empty file system: the starting directories, and nothing in them.
    pub(super) fn empty(limits: &Limits, now_ns: u64) -> Self {
        let mut vfs = Self { nodes: BTreeMap::new(), next: 5, quota: Quota::new(limits) };
        for (inode, name) in PREOPENS {
            let read_only = matches!(inode, Self::ROOT | Self::IN);
            vfs.nodes.insert(inode, Node::directory(Self::ROOT, read_only, now_ns));
            if let Some(name) = name.strip_prefix('/').filter(|name| !name.is_empty()) {
                // The root comes first in the list, so it exists.
                vfs.entries_mut(Self::ROOT).map(|entries| entries.insert(name.into(), inode)).ok();
            }
        }
        vfs
    }

    /// Bytes that are charged to the task now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.quota.bytes
    }

    /// The status of an inode. An inode that is neither held nor named in a directory does not exist.
    ///
    /// # Errors
    /// When it does not exist.
    pub(crate) fn stat(&self, inode: Inode) -> Result<Stat, Error> {
        self.node(inode).map(|node| node.stat(inode))
    }

    /// Keeps an inode alive until it is released, even without a name.
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

    /// Reads from the file at `offset` into `buffer`; returns the number of bytes, 0 at the end.
    ///
    /// # Errors
    /// When it is not a file.
    pub(crate) fn read(&self, file: Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        Ok(self.content(file)?.read(offset, buffer))
    }

    /// Writes all of `bytes` at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// When it is not a writable file, or the quota is exceeded; then nothing is written.
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

    /// Truncates a file, or extends it with zeros.
    ///
    /// # Errors
    /// When it is not a writable file, or the quota is exceeded.
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

    /// Sets the given times. Reading does not change the time of access.
    ///
    /// # Errors
    /// When the inode does not exist or is read-only.
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

    /// The directory's entries after this name, sorted by the bytes of their names; without `.` and `..`.
    ///
    /// # Errors
    /// When it is not a directory.
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

    /// The entries of a directory.
    pub(super) fn entries(&self, inode: Inode) -> Result<&Entries, Error> {
        match &self.node(inode)?.body {
            Body::Directory { entries, .. } => Ok(entries),
            Body::File(_) | Body::Link(_) => Err(Error::NotDirectory),
        }
    }

    pub(super) fn entries_mut(&mut self, inode: Inode) -> Result<&mut Entries, Error> {
        match &mut self.node_mut(inode)?.body {
            Body::Directory { entries, .. } => Ok(entries),
            Body::File(_) | Body::Link(_) => Err(Error::NotDirectory),
        }
    }

    /// The parent of a directory; the root is its own.
    pub(super) fn parent(&self, inode: Inode) -> Result<Inode, Error> {
        match self.node(inode)?.body {
            Body::Directory { parent, .. } => Ok(parent),
            Body::File(_) | Body::Link(_) => Err(Error::NotDirectory),
        }
    }

    /// The target of a symbolic link, if it is one.
    pub(super) fn link(&self, inode: Inode) -> Option<&str> {
        match &self.nodes.get(&inode)?.body {
            Body::Link(target) => Some(target),
            Body::File(_) | Body::Directory { .. } => None,
        }
    }

    /// Drops an inode without names and holders, and refunds its charge.
    pub(super) fn forget_if_unused(&mut self, inode: Inode) {
        if !self.nodes.get(&inode).is_some_and(|node| node.links == 0 && node.held == 0) {
            return;
        }
        if let Some(node) = self.nodes.remove(&inode) {
            self.quota.refund(node.body.bytes());
            self.quota.refund_file();
        }
    }

    fn content(&self, file: Inode) -> Result<&Content, Error> {
        match &self.node(file)?.body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } => Err(Error::IsDirectory),
            Body::Link(_) => Err(Error::Loop),
        }
    }

    pub(super) fn check_writable(&self, inode: Inode) -> Result<(), Error> {
        let node = self.node(inode)?;
        match node.body {
            _ if node.read_only => Err(Error::ReadOnly),
            // It was removed while open: nothing can be created in it.
            Body::Directory { .. } if node.links == 0 => Err(Error::NoEntry),
            Body::Directory { .. } | Body::File(_) | Body::Link(_) => Ok(()),
        }
    }

    pub(super) fn node(&self, inode: Inode) -> Result<&Node, Error> {
        self.nodes.get(&inode).ok_or(Error::NoEntry)
    }

    pub(super) fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Error> {
        self.nodes.get_mut(&inode).ok_or(Error::NoEntry)
    }
}

/// What a task may store, and what it stores.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) bytes_max: u64,
    files_max: u32,
    bytes: u64,
    pub(super) files: u32,
}

impl Quota {
    fn new(limits: &Limits) -> Self {
        Self { bytes_max: limits.files_bytes, files_max: limits.files, bytes: 0, files: 0 }
    }

    pub(super) fn charge(&mut self, more: u64) -> Result<(), Error> {
        let bytes = self.bytes.checked_add(more).filter(|bytes| *bytes <= self.bytes_max);
        self.bytes = bytes.ok_or_else(|| self.full())?;
        Ok(())
    }

    pub(super) fn refund(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn charge_file(&mut self) -> Result<(), Error> {
        if self.files >= self.files_max {
            return Err(Error::Limit(Limit::Files { limit: self.files_max }));
        }
        self.files += 1;
        Ok(())
    }

    pub(super) fn refund_file(&mut self) {
        self.files = self.files.saturating_sub(1);
    }

    pub(super) fn full(&self) -> Error {
        Error::Limit(Limit::FilesBytes { limit_bytes: self.bytes_max })
    }
}
