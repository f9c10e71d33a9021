//! Finding, opening, creating, linking, moving and removing files, as POSIX specifies. Each change is checked as a
//! whole before it begins, so that a refused one has no effect.

use super::content::Content;
use super::error::Error;
use super::node::{Body, Inode, Kind, Node};
use super::path::{PATH_BYTES_MAX, Place};
use super::tree::Vfs;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenHow {
    /// Whether a symbolic link at the end of the path is followed.
    pub(crate) follow: bool,
    /// Create it if it does not exist.
    pub(crate) create: bool,
    /// With `create`: fail if it exists.
    pub(crate) exclusive: bool,
    /// Fail unless it is a directory.
    pub(crate) directory: bool,
    /// Empty the file.
    pub(crate) truncate: bool,
    /// It will be written to. The file system only checks that this is possible; the caller keeps the mode of a handle.
    pub(crate) write: bool,
}

impl Vfs {
    /// Finds the inode of a path.
    ///
    /// # Errors
    /// When it does not exist, or the path leaves its directory.
    pub(crate) fn find(&self, at: Inode, path: &str, follow: bool) -> Result<Inode, Error> {
        self.walk(at, path, follow)?.found.ok_or(Error::NoEntry)
    }

    /// Opens or creates a file, or opens a directory, and holds it: the caller must [`Self::release`] it.
    ///
    /// # Errors
    /// Those of POSIX `open`.
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

    /// Creates a directory. Trailing slashes are ignored, as on Linux.
    ///
    /// # Errors
    /// Those of POSIX `mkdir`.
    pub(crate) fn create_directory(&mut self, at: Inode, path: &str, now_ns: u64) -> Result<(), Error> {
        let path = match path.trim_end_matches('/') {
            "" => path,
            named => named,
        };
        let place = self.walk(at, path, false)?;
        self.check_free(&place)?;
        let body = Body::directory(place.dir);
        self.make(place.dir, &place.name, body, now_ns).map(drop)
    }

    /// Creates a symbolic link with this target. An absolute target is refused, as it could not be followed.
    ///
    /// # Errors
    /// Those of POSIX `symlink`.
    pub(crate) fn symlink(&mut self, target: &str, at: Inode, path: &str, now_ns: u64) -> Result<(), Error> {
        match target {
            "" => return Err(Error::NoEntry),
            target if target.len() > PATH_BYTES_MAX => return Err(Error::NameTooLong),
            target if target.contains('\0') => return Err(Error::Invalid),
            target if target.starts_with('/') => return Err(Error::NotPermitted),
            _ => {}
        }
        let place = self.walk(at, path, false)?;
        self.check_free(&place)?;
        if place.slash {
            return Err(Error::NoEntry);
        }
        self.make(place.dir, &place.name, Body::Link(target.into()), now_ns).map(drop)
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// When it is not a symbolic link.
    pub(crate) fn read_link(&self, at: Inode, path: &str) -> Result<&str, Error> {
        let inode = self.find(at, path, false)?;
        self.link(inode).ok_or(Error::Invalid)
    }

    /// Creates a hard link to a file.
    ///
    /// # Errors
    /// Those of POSIX `link`.
    pub(crate) fn hard_link(
        &mut self,
        at: Inode,
        path: &str,
        new_at: Inode,
        new_path: &str,
        now_ns: u64,
    ) -> Result<(), Error> {
        let old = self.walk(at, path, false)?;
        let inode = old.found.ok_or(Error::NoEntry)?;
        let new = self.walk(new_at, new_path, false)?;
        self.check_free(&new)?;
        if self.node(inode)?.kind() == Kind::Directory {
            return Err(Error::NotPermitted);
        }
        if new.slash {
            return Err(Error::NoEntry);
        }
        if self.node(inode)?.read_only {
            return Err(Error::CrossDevice);
        }
        self.quota.charge_file()?;
        self.entries_mut(new.dir)?.insert((&*new.name).into(), inode);
        let node = self.node_mut(inode)?;
        node.links += 1;
        node.changed_ns = now_ns;
        self.node_mut(new.dir)?.touch(now_ns);
        Ok(())
    }

    /// Removes a name that is not a directory.
    ///
    /// # Errors
    /// Those of POSIX `unlink`.
    pub(crate) fn unlink(&mut self, at: Inode, path: &str, now_ns: u64) -> Result<(), Error> {
        let place = self.walk(at, path, false)?;
        let inode = place.found.ok_or(Error::NoEntry)?;
        if self.node(inode)?.kind() == Kind::Directory {
            return Err(Error::IsDirectory);
        }
        self.check_writable(place.dir)?;
        self.remove(place.dir, &place.name, inode, now_ns)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Those of POSIX `rmdir`.
    pub(crate) fn remove_directory(&mut self, at: Inode, path: &str, now_ns: u64) -> Result<(), Error> {
        let place = self.walk(at, path, false)?;
        let inode = place.found.ok_or(Error::NoEntry)?;
        let entries = self.entries(inode)?;
        if !place.is_named() {
            return Err(Error::Invalid);
        }
        if !entries.is_empty() {
            return Err(Error::NotEmpty);
        }
        self.check_writable(place.dir)?;
        self.remove(place.dir, &place.name, inode, now_ns)
    }

    /// Moves a file or directory, and replaces an existing target.
    ///
    /// # Errors
    /// Those of POSIX `rename`.
    pub(crate) fn rename(
        &mut self,
        at: Inode,
        path: &str,
        new_at: Inode,
        new_path: &str,
        now_ns: u64,
    ) -> Result<(), Error> {
        let old = self.walk(at, path, false)?;
        let new = self.walk(new_at, new_path, false)?;
        let inode = old.found.ok_or(Error::NoEntry)?;
        if !old.is_named() || !new.is_named() {
            return Err(Error::Busy);
        }
        self.check_writable(old.dir)?;
        self.check_writable(new.dir)?;
        let moves_directory = self.node(inode)?.kind() == Kind::Directory;
        if moves_directory && self.is_below(new.dir, inode)? {
            return Err(Error::Invalid);
        }
        if new.slash && !moves_directory {
            return Err(Error::NotDirectory);
        }
        if let Some(target) = new.found {
            if target == inode {
                return Ok(());
            }
            self.check_replaceable(target, moves_directory)?;
            self.remove(new.dir, &new.name, target, now_ns)?;
        }
        self.entries_mut(old.dir)?.remove(&*old.name);
        self.entries_mut(new.dir)?.insert((&*new.name).into(), inode);
        self.node_mut(old.dir)?.touch(now_ns);
        self.node_mut(new.dir)?.touch(now_ns);
        let node = self.node_mut(inode)?;
        node.changed_ns = now_ns;
        if let Body::Directory { parent, .. } = &mut node.body {
            *parent = new.dir;
        }
        Ok(())
    }

    fn check_replaceable(&self, target: Inode, by_directory: bool) -> Result<(), Error> {
        let target = self.node(target)?;
        match &target.body {
            Body::Directory { .. } if !by_directory => Err(Error::IsDirectory),
            Body::Directory { entries, .. } if !entries.is_empty() => Err(Error::NotEmpty),
            Body::Directory { .. } => Ok(()),
            Body::File(_) | Body::Link(_) if by_directory => Err(Error::NotDirectory),
            Body::File(_) | Body::Link(_) => Ok(()),
        }
    }

    /// Whether `inode` is `above` or inside of it, at any depth.
    fn is_below(&self, inode: Inode, above: Inode) -> Result<bool, Error> {
        let mut at = inode;
        while at != above && at != Self::ROOT {
            at = self.parent(at)?;
        }
        Ok(at == above)
    }

    fn check_free(&self, place: &Place<'_>) -> Result<(), Error> {
        if place.found.is_some() {
            return Err(Error::Exists);
        }
        self.check_writable(place.dir)
    }

    /// Adds a file, directory or link that a guest creates.
    pub(super) fn make(&mut self, dir: Inode, name: &str, body: Body, now_ns: u64) -> Result<Inode, Error> {
        let bytes = body.bytes();
        self.quota.charge_file()?;
        if let Err(full) = self.quota.charge(bytes) {
            self.quota.refund_file();
            return Err(full);
        }
        let inode = self.add(dir, name, Node::new(body, false, now_ns))?;
        self.node_mut(dir)?.touch(now_ns);
        Ok(inode)
    }

    /// Adds a node without a check.
    pub(super) fn add(&mut self, dir: Inode, name: &str, node: Node) -> Result<Inode, Error> {
        let inode = Inode(self.next);
        self.entries_mut(dir)?.insert(name.into(), inode);
        self.next += 1;
        self.nodes.insert(inode, node);
        Ok(inode)
    }

    /// Removes a name, and its inode if nothing else keeps it.
    fn remove(&mut self, dir: Inode, name: &str, inode: Inode, now_ns: u64) -> Result<(), Error> {
        self.entries_mut(dir)?.remove(name);
        self.node_mut(dir)?.touch(now_ns);
        let node = self.node_mut(inode)?;
        node.links = node.links.saturating_sub(1);
        node.changed_ns = now_ns;
        // The charge of the last name stays until the file is released.
        if node.links > 0 {
            self.quota.refund_file();
        }
        self.forget_if_unused(inode);
        Ok(())
    }

    /// Adds a file, a directory or a link of the archive; `None` if the name is taken.
    pub(super) fn add_given(&mut self, dir: Inode, name: &str, body: Body, time_ns: u64) -> Option<Inode> {
        if self.entries(dir).ok()?.contains_key(name) {
            return None;
        }
        self.add(dir, name, Node::new(body, true, time_ns)).ok()
    }

    /// Adds a second name for a file of the archive; false if the name is taken.
    pub(super) fn add_given_link(&mut self, dir: Inode, name: &str, file: Inode) -> bool {
        match self.entries_mut(dir) {
            Ok(entries) if !entries.contains_key(name) => entries.insert(name.into(), file),
            Ok(_) | Err(_) => return false,
        };
        self.node_mut(file).map(|node| node.links += 1).is_ok()
    }
}
