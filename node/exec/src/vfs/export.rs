//! Writes what is left in `/out` as an archive: the same files, the same bytes, whoever made them and when.
//!
//! Names in the order of their bytes, a directory before what is in it; no owner, no time. Every name of a file has its
//! bytes, and symbolic links are left out: plain files and directories are all that anybody takes out of an archive.

use tar::{Builder, EntryType, Header};

use super::content::Content;
use super::error::Error;
use super::node::{Body, Inode};
use super::path::PATH_BYTES_MAX;
use super::tree::Vfs;

/// Bytes of paths and of second copies that the archive may have beyond the quota.
pub(crate) const SPARE_BYTES: u64 = 1 << 20;

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// What was in `/out`.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// A tar archive; empty for nothing.
    pub(crate) archive: Vec<u8>,
    /// Symbolic links that are not in it.
    pub(crate) links: u32,
}

/// What the archive will have.
struct Names {
    names: Vec<(String, Inode)>,
    links: u32,
    /// Bytes that it may still have.
    room: u64,
}

impl Vfs {
    /// What is in `/out`. The files' contents go over into it.
    ///
    /// # Errors
    /// With [`Error::NameTooLong`] when a path is longer than [`PATH_BYTES_MAX`], and [`Error::Limit`] when paths and
    /// contents are together more than the quota and [`SPARE_BYTES`].
    pub(crate) fn into_out(self) -> Result<Left, Error> {
        let Names { names, links, room: _ } = self.out_names()?;
        let archive = if names.is_empty() { Vec::new() } else { self.pack(names) };
        Ok(Left { archive, links })
    }

    fn pack(mut self, names: Vec<(String, Inode)>) -> Vec<u8> {
        let mut tar = Builder::new(Vec::new());
        for (path, inode) in names {
            let Some(node) = self.nodes.get_mut(&inode) else { continue };
            let taken;
            let body = if node.links > 1 {
                &node.body
            } else {
                taken = std::mem::replace(&mut node.body, Body::File(Content::empty()));
                &taken
            };
            add(&mut tar, &path, body).expect("memory takes everything, and the names were checked");
        }
        tar.into_inner().expect("memory takes everything")
    }

    /// Every path below `/out`, without it, in order.
    fn out_names(&self) -> Result<Names, Error> {
        let room = self.quota.bytes_max.saturating_add(SPARE_BYTES);
        let mut all = Names { names: Vec::new(), links: 0, room };
        let mut todo: Vec<(String, Inode)> = Vec::new();
        self.push_reversed(&mut todo, "", Self::OUT, &mut all)?;
        while let Some((path, inode)) = todo.pop() {
            match &self.node(inode)?.body {
                Body::Link(_) => all.links += 1,
                Body::File(_) => all.names.push((path, inode)),
                Body::Directory { .. } => {
                    let path = format!("{path}/");
                    self.push_reversed(&mut todo, &path, inode, &mut all)?;
                    all.names.push((path, inode));
                }
            }
        }
        Ok(all)
    }

    fn push_reversed(
        &self,
        todo: &mut Vec<(String, Inode)>,
        prefix: &str,
        dir: Inode,
        all: &mut Names,
    ) -> Result<(), Error> {
        for (name, inode) in self.entries(dir)?.iter().rev() {
            let path_bytes = prefix.len() + name.len();
            if path_bytes > PATH_BYTES_MAX {
                return Err(Error::NameTooLong);
            }
            // Counted before it is kept: paths repeat the names of their directories.
            let bytes = self.node(*inode)?.body.bytes().saturating_add(path_bytes as u64);
            all.room = all.room.checked_sub(bytes).ok_or_else(|| self.quota.full())?;
            todo.push((format!("{prefix}{name}"), *inode));
        }
        Ok(())
    }
}

fn add(tar: &mut Builder<Vec<u8>>, path: &str, body: &Body) -> std::io::Result<()> {
    match body {
        Body::Directory { .. } => {
            let mut header = header(EntryType::Directory, DIRECTORY_MODE, 0);
            tar.append_data(&mut header, path, std::io::empty())
        }
        Body::File(content) => {
            let mut header = header(EntryType::Regular, FILE_MODE, content.len());
            tar.append_data(&mut header, path, content.reader())
        }
        Body::Link(_) => Ok(()),
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}
