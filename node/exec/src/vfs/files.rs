//! A task's file system before and after its first use: most tasks never ask for it, and then it is never made.

use bytes::Bytes;
use weft_core::Limits;

use super::archive::unpack;
use super::tree::Vfs;

/// What a file system is made from, and the file system once it was asked for.
#[derive(Debug)]
pub(crate) struct Files {
    given: Bytes,
    /// What is added to those.
    own: Bytes,
    limits: Limits,
    vfs: Option<Box<Vfs>>,
}

impl Files {
    /// Files of a task that is given this archive (tar; may be empty).
    pub(crate) fn new(given: Bytes, limits: Limits) -> Self {
        Self { given, own: Bytes::new(), limits, vfs: None }
    }

    /// The same, with what another archive has beside it. A file that both have makes it unsound.
    pub(crate) fn with(self, own: Bytes) -> Self {
        Self { own, ..self }
    }

    /// Whether it was given nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty() && self.own.is_empty()
    }

    /// The file system, made now if it was not asked for before.
    ///
    /// # Errors
    /// With a text for the task's author, when the archive is not sound. Never when it is empty.
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

    /// What is charged now to the task, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.vfs.as_ref().map_or(0, |vfs| vfs.used_bytes())
    }

    /// The file system, if it was ever asked for.
    pub(crate) fn take(&mut self) -> Option<Vfs> {
        self.vfs.take().map(|vfs| *vfs)
    }
}
