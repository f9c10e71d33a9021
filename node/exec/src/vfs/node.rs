//! What is behind an inode. Data with small helpers; the rules are in the modules beside.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::content::Content;
use super::error::Error;

/// A file's, directory's or link's number: never used twice in a task, and the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode(pub(crate) u64);

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its number.
    pub(crate) inode: Inode,
    /// What it is.
    pub(crate) kind: Kind,
    /// How many names it has; 1 for a directory.
    pub(crate) links: u64,
    /// Bytes of a file or of a link's text; 0 for a directory.
    pub(crate) size: u64,
    /// Last access, nanoseconds since 1970. Reading does not change it.
    pub(crate) accessed_ns: u64,
    /// Last change of the content.
    pub(crate) modified_ns: u64,
    /// Last change of anything.
    pub(crate) changed_ns: u64,
}

/// Names of a directory, in the order of their bytes.
pub(super) type Entries = BTreeMap<Box<str>, Inode>;

#[derive(Debug)]
pub(super) enum Body {
    Directory { entries: Entries, parent: Inode },
    File(Content),
    Link(Box<str>),
}

impl Body {
    /// What it costs of the quota.
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
    /// Names.
    pub(super) links: u32,
    /// Open handles.
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

    /// Its content changed.
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
    /// A directory with nothing in it.
    pub(super) fn directory(parent: Inode) -> Self {
        Self::Directory { entries: Entries::new(), parent }
    }

    /// A file that came in the archive.
    pub(super) fn given(bytes: Bytes) -> Self {
        Self::File(Content::Given(bytes))
    }
}
