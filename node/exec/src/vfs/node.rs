//! The node of an inode: data with small helpers; the operations are in the other modules here.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::content::Content;
use super::error::Error;

/// An inode number: never reused in a task, and the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode(pub(crate) u64);

/// The kind of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// The status of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its number.
    pub(crate) inode: Inode,
    /// Its kind.
    pub(crate) kind: Kind,
    /// Number of its names; 1 for a directory.
    pub(crate) links: u64,
    /// Bytes of a file or of a link's text; 0 for a directory.
    pub(crate) size: u64,
    /// Last access, nanoseconds since 1970. Reading does not change it.
    pub(crate) accessed_ns: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub(crate) modified_ns: u64,
    /// Last change of content or status, in nanoseconds since 1970.
    pub(crate) changed_ns: u64,
}

/// Names in a directory, sorted by their bytes.
pub(super) type Entries = BTreeMap<Box<str>, Inode>;

#[derive(Debug)]
pub(super) enum Body {
    Directory { entries: Entries, parent: Inode },
    File(Content),
    Link(Box<str>),
}

impl Body {
    /// Bytes that it is charged.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Directory { .. } => 0,
            Self::File(content) => content.len(),
            Self::Link(target) => target.len() as u64,
        }
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) read_only: bool,
    /// Number of names.
    pub(super) links: u32,
    /// Number of open handles.
    pub(super) held: u32,
    pub(super) accessed_ns: u64,
    pub(super) modified_ns: u64,
    pub(super) changed_ns: u64,
}

impl Node {
    pub(super) fn new(body: Body, read_only: bool, now_ns: u64) -> Self {
        let (accessed_ns, modified_ns, changed_ns) = (now_ns, now_ns, now_ns);
        Self { body, read_only, links: 1, held: 0, accessed_ns, modified_ns, changed_ns }
    }

    pub(super) fn directory(parent: Inode, read_only: bool, now_ns: u64) -> Self {
        Self::new(Body::Directory { entries: Entries::new(), parent }, read_only, now_ns)
    }

    pub(super) fn kind(&self) -> Kind {
        match self.body {
            Body::Directory { .. } => Kind::Directory,
            Body::File(_) => Kind::File,
            Body::Link(_) => Kind::Link,
        }
    }

    pub(super) fn stat(&self, inode: Inode) -> Stat {
        Stat {
            inode,
            kind: self.kind(),
            links: u64::from(self.links),
            size: self.body.bytes(),
            accessed_ns: self.accessed_ns,
            modified_ns: self.modified_ns,
            changed_ns: self.changed_ns,
        }
    }

    /// Updates the times after a change of the content.
    pub(super) fn touch(&mut self, now_ns: u64) {
        self.modified_ns = now_ns;
        self.changed_ns = now_ns;
    }

    pub(super) fn content_mut(&mut self) -> Result<&mut Content, Error> {
        match &mut self.body {
            Body::File(content) => Ok(content),
            Body::Directory { .. } => Err(Error::IsDirectory),
            Body::Link(_) => Err(Error::Loop),
        }
    }
}

impl Body {
    /// An empty directory.
    pub(super) fn directory(parent: Inode) -> Self {
        Self::Directory { entries: Entries::new(), parent }
    }

    /// A file of the archive.
    pub(super) fn given(bytes: Bytes) -> Self {
        Self::File(Content::Given(bytes))
    }
}
