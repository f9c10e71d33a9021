//! A task's file system, created on first use: most tasks have none.

use bytes::Bytes;
use weft_core::Limits;

use super::archive::unpack;
use super::tree::Vfs;

/// The archives of a file system, and the file system once it is created.
#[derive(Debug)]
pub(crate) struct Files {
    given: Bytes,
    /// A second archive for `/in`.
    own: Bytes,
    limits: Limits,
    vfs: Option<Box<Vfs>>,
}

impl Files {
    /// For a task with this archive of files (tar; may be empty).
    pub(crate) fn new(given: Bytes, limits: Limits) -> Self {
        Self { given, own: Bytes::new(), limits, vfs: None }
    }

    /// Adds the files of a second archive. A file in both of them makes it invalid.
    pub(crate) fn with(self, own: Bytes) -> Self {
        Self { own, ..self }
    }

    /// Whether both archives are empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.own.is_empty()
    }

    /// The file system, created now if it was not used before.
    ///
    /// # Errors
    /// With a text for the task's author, when an archive is invalid. Never if both are empty.
    pub(crate) fn vfs(&mut self, now_ns: u64) -> Result<&mut Vfs, String> {
        let vfs = match self.vfs.take() {
            Some(vfs) => vfs,
            None => {
                let mut vfs = Vfs::new(&self.given, &self.limits, now_ns)?;
                unpack(&mut vfs, &self.own, now_ns)?;
                Box::new(vfs)
            }
        };
        Ok(self.vfs.insert(vfs))
    }

    /// Bytes that are charged to the task now.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.vfs.as_ref().map_or(0, |vfs| vfs.used_bytes())
    }

    /// Takes the file system, if it was used.
    pub(crate) fn take(&mut self) -> Option<Vfs> {
        self.vfs.take().map(|vfs| *vfs)
    }
}
