//! Writes what is left in `/out` as an archive: the same files, the same bytes, whoever made them and when.
//!
//! Names in the order of their bytes, a directory before what is in it; no owner, no time; second names of a file as
//! links to its first. Symbolic links come as they are: whoever unpacks an archive must not trust it.

use std::collections::BTreeMap;

use tar::{Builder, EntryType, Header};

use super::content::Content;
use super::node::Body;
use super::{Error, Inode, PATH_BYTES_MAX, Vfs};

const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
const LINK_MODE: u32 = 0o777;

impl Vfs {
    /// What is in `/out` as a tar archive; empty for nothing. The files' contents go over into it.
    ///
    /// # Errors
    /// With [`Error::NameTooLong`] when a path is longer than [`PATH_BYTES_MAX`].
    pub(crate) fn into_out(self) -> Result<Vec<u8>, Error> {
        let names = self.out_names()?;
        Ok(if names.is_empty() { Vec::new() } else { self.pack(names) })
    }

    fn pack(mut self, names: Vec<(String, Inode)>) -> Vec<u8> {
        let mut exporter = Exporter { tar: Builder::new(Vec::new()), first: BTreeMap::new() };
        for (path, inode) in names {
            let Some(node) = self.nodes.get_mut(&inode) else { continue };
            let body = std::mem::replace(&mut node.body, Body::File(Content::empty()));
            exporter.add(path, inode, &body).expect("memory takes everything, and the names were checked");
        }
        exporter.tar.into_inner().expect("memory takes everything")
    }

    /// Every path below `/out`, without it, in order.
    fn out_names(&self) -> Result<Vec<(String, Inode)>, Error> {
        let mut names = Vec::new();
        let mut todo: Vec<(String, Inode)> = Vec::new();
        self.push_reversed(&mut todo, "", Self::OUT)?;
        while let Some((path, inode)) = todo.pop() {
            if path.len() > PATH_BYTES_MAX {
                return Err(Error::NameTooLong);
            }
            if self.entries(inode).is_ok() {
                let path = format!("{path}/");
                self.push_reversed(&mut todo, &path, inode)?;
                names.push((path, inode));
            } else {
                names.push((path, inode));
            }
        }
        Ok(names)
    }

    fn push_reversed(&self, todo: &mut Vec<(String, Inode)>, prefix: &str, dir: Inode) -> Result<(), Error> {
        let entries = self.entries(dir)?.iter().rev();
        todo.extend(entries.map(|(name, inode)| (format!("{prefix}{name}"), *inode)));
        Ok(())
    }
}

struct Exporter {
    tar: Builder<Vec<u8>>,
    /// The first name of each file with several.
    first: BTreeMap<Inode, String>,
}

impl Exporter {
    fn add(&mut self, path: String, inode: Inode, body: &Body) -> std::io::Result<()> {
        if let Some(first) = self.first.get(&inode) {
            let mut header = header(EntryType::Link, FILE_MODE, 0);
            return self.tar.append_link(&mut header, &path, first);
        }
        match body {
            Body::Directory { .. } => {
                let mut header = header(EntryType::Directory, DIRECTORY_MODE, 0);
                return self.tar.append_data(&mut header, &path, std::io::empty());
            }
            Body::Link(target) => {
                let mut header = header(EntryType::Symlink, LINK_MODE, 0);
                self.tar.append_link(&mut header, &path, &**target)?;
            }
            Body::File(content) => {
                let mut header = header(EntryType::Regular, FILE_MODE, content.len());
                self.tar.append_data(&mut header, &path, content.reader())?;
            }
        }
        self.first.insert(inode, path);
        Ok(())
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
