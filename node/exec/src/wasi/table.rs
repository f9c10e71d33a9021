//! The open descriptors of a run. Numbers are assigned as by `wasmtime run`: the highest that was closed, else the
//! next.

use super::abi::Errno;
use crate::vfs::{Inode, PREOPENS};

/// Most open descriptors, the standard streams included.
pub(super) const OPEN_MAX: usize = 1024;

/// An open descriptor.
#[derive(Debug)]
pub(super) enum Descriptor {
    /// Standard input, and the bytes read of it.
    Input {
        at: usize,
    },
    Output,
    Errors,
    Directory(Directory),
    File(File),
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) inode: Inode,
    /// Its name, if it is preopened. Other directories are held in the file system.
    pub(super) preopen: Option<&'static str>,
    /// Where the last page of a listing ended: its cookie and the name with it.
    pub(super) listed: Option<(u64, Box<str>)>,
}

#[derive(Debug)]
pub(super) struct File {
    pub(super) inode: Inode,
    pub(super) position: u64,
    pub(super) read: bool,
    pub(super) write: bool,
    pub(super) append: bool,
    pub(super) nonblock: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Descriptor>>,
    free: usize,
}

impl Table {
    /// The three standard streams and the preopened directories.
    pub(super) fn new() -> Self {
        let mut slots = Vec::with_capacity(8);
        slots.extend([Descriptor::Input { at: 0 }, Descriptor::Output, Descriptor::Errors].map(Some));
        slots.extend(PREOPENS.map(|(inode, name)| {
            Some(Descriptor::Directory(Directory { inode, preopen: Some(name), listed: None }))
        }));
        Self { slots, free: 0 }
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.slots.get(fd));
        slot.and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(super) fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.slots.get_mut(fd));
        slot.and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    pub(super) fn file(&self, fd: u32) -> Result<&File, Errno> {
        match self.get(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                Err(Errno::BADF)
            }
        }
    }

    pub(super) fn file_mut(&mut self, fd: u32) -> Result<&mut File, Errno> {
        match self.get_mut(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                Err(Errno::BADF)
            }
        }
    }

    /// A file; a stream has another error than a number that is not open.
    pub(super) fn seekable(&mut self, fd: u32) -> Result<&mut File, Errno> {
        match self.get_mut(fd)? {
            Descriptor::File(file) => Ok(file),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors => Err(Errno::SPIPE),
            Descriptor::Directory(_) => Err(Errno::BADF),
        }
    }

    pub(super) fn directory(&mut self, fd: u32) -> Result<&mut Directory, Errno> {
        match self.get_mut(fd)? {
            Descriptor::Directory(directory) => Ok(directory),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors | Descriptor::File(_) => {
                Err(Errno::BADF)
            }
        }
    }

    /// The inode of a file or directory.
    pub(super) fn inode(&self, fd: u32) -> Result<Inode, Errno> {
        match self.get(fd)? {
            Descriptor::File(file) => Ok(file.inode),
            Descriptor::Directory(directory) => Ok(directory.inode),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors => Err(Errno::BADF),
        }
    }

    /// Checks that one more descriptor can be opened.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        if self.slots.len() - self.free < OPEN_MAX { Ok(()) } else { Err(Errno::MFILE) }
    }

    pub(super) fn push(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.check_room()?;
        let freed = if self.free > 0 { self.slots.iter().rposition(Option::is_none) } else { None };
        let index = freed.unwrap_or_else(|| {
            self.slots.push(None);
            self.free += 1;
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = Some(descriptor);
            self.free -= 1;
        }
        Ok(u32::try_from(index)?)
    }

    pub(super) fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.slots.get_mut(fd));
        let descriptor = slot.and_then(Option::take).ok_or(Errno::BADF)?;
        self.free += 1;
        Ok(descriptor)
    }

    /// Moves a descriptor from number `from` to `to`; returns the descriptor that it replaced.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(to)?;
        self.get(from)?;
        if from == to {
            return Ok(None);
        }
        let moved = self.remove(from)?;
        Ok(Some(std::mem::replace(self.get_mut(to)?, moved)))
    }
}
