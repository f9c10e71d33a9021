//! Archives `/out`. The archive is deterministic: it depends on names and contents only.
//!
//! Names are sorted by their bytes, a directory comes before its contents; owners and times are zero. A file with
//! several names is stored for each; symbolic links are left out.

use tar::{Builder, EntryType, Header};

use super::content::Content;
use super::error::Error;
use super::node::{Body, Inode};
use super::path::PATH_BYTES_MAX;
use super::tree::Vfs;

/// Most bytes of paths and of second copies in the archive, beyond the quota.
pub(crate) const SPARE_BYTES: u64 = 1 << 20;

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// The contents of `/out`.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// A tar archive; empty for none.
    pub(crate) archive: Vec<u8>,
    /// Number of symbolic links that were left out.
    pub(crate) links: u32,
}

/// The entries of the archive.
struct Names {
    names: Vec<(String, Inode)>,
    links: u32,
    /// Bytes that may still be added.
    room: u64,
}

impl Vfs {
    /// Archives `/out`. File contents are moved into the archive.
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

    /// Every path below `/out`, relative to it, in order.
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
            // Counted before it is added: paths repeat the names of their directories.
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
