//! A component's open files, and the calls on the task's file system. Each entry of the table that names an inode holds
//! the inode until it is dropped.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{self, NewTimestamp, PathFlags};
use wasmtime_wasi::p2::{FsError, FsResult, StreamError, StreamResult};

use crate::component::convert::{code, time};
use crate::component::resources::unknown;
use crate::component::table::{At, Cursor, Descriptor, Entry};
use crate::end::End;
use crate::guest::Guest;
use crate::vfs::{Error, Inode, Kind, Vfs};

type Handle = Resource<types::Descriptor>;

/// Most bytes of one read: a guest may ask for 2^64 and gets them in pieces.
pub(crate) const READ_BYTES_MAX: usize = 1 << 20;

impl Guest {
    /// The open file or directory of a handle.
    pub(crate) fn descriptor(&mut self, handle: &Handle) -> wasmtime::Result<Descriptor> {
        match self.component_state()?.table.get(handle) {
            Some(Entry::Descriptor(open)) => Ok(*open),
            Some(_) | None => Err(unknown()),
        }
    }

    /// The same, as a result of the file system's interface.
    pub(crate) fn open_one(&mut self, handle: &Handle) -> FsResult<Descriptor> {
        self.descriptor(handle).map_err(FsError::trap)
    }

    /// The open file of a handle, which must be opened for this access.
    pub(crate) fn file(&mut self, handle: &Handle, may: fn(&Descriptor) -> bool) -> FsResult<Descriptor> {
        let open = self.open_one(handle)?;
        match open.kind {
            Kind::Directory => Err(ErrorCode::IsDirectory.into()),
            Kind::File | Kind::Link if !may(&open) => Err(ErrorCode::BadDescriptor.into()),
            Kind::File | Kind::Link => Ok(open),
        }
    }

    /// The open directory of a handle.
    pub(crate) fn directory(&mut self, handle: &Handle) -> FsResult<Inode> {
        let open = self.open_one(handle)?;
        match open.kind {
            Kind::Directory => Ok(open.inode),
            Kind::File | Kind::Link => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// The inode of a path, relative to an open directory.
    pub(crate) fn find(&mut self, at: &Handle, flags: PathFlags, path: &str) -> FsResult<Inode> {
        let at = self.directory(at)?;
        let follow = flags.contains(PathFlags::SYMLINK_FOLLOW);
        self.with_files(|vfs, _| vfs.find(at, path, follow))
    }

    /// Adds an entry for this inode, and holds the inode for it.
    pub(crate) fn keep_file<T: 'static>(&mut self, inode: Inode, entry: Entry) -> FsResult<Resource<T>> {
        let kept = self.keep(entry).map_err(FsError::trap)?;
        self.with_files(|vfs, _| vfs.hold(inode))?;
        Ok(kept)
    }

    /// Calls `look` with the file system and the current time.
    pub(crate) fn with_files<T>(
        &mut self,
        look: impl FnOnce(&mut Vfs, u64) -> Result<T, Error>,
    ) -> FsResult<T> {
        let result = match self.vfs() {
            Ok((vfs, now_ns)) => look(vfs, now_ns),
            Err(end) => return Err(FsError::trap(self.end(end))),
        };
        result.map_err(|error| match code(&error) {
            Ok(code) => code.into(),
            Err(limit) => FsError::trap(self.end(End::Limit(limit))),
        })
    }

    /// Like [`Guest::with_files`] for a change; then charges the size of the files to the task.
    pub(crate) fn change_files<T>(
        &mut self,
        change: impl FnOnce(&mut Vfs, u64) -> Result<T, Error>,
    ) -> FsResult<T> {
        let changed = self.with_files(change)?;
        self.count_files().map_err(|end| FsError::trap(self.end(end)))?;
        Ok(changed)
    }

    /// Sets both times of an inode.
    pub(crate) fn set_times_of(
        &mut self,
        inode: Inode,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.with_files(|vfs, now_ns| {
            let (accessed, modified) = (time(accessed, now_ns)?, time(modified, now_ns)?);
            vfs.set_times(inode, accessed, modified, now_ns)
        })
    }

    /// Reads at most `len` bytes of a file; fewer at its end or beyond [`READ_BYTES_MAX`].
    pub(crate) fn read_at(&mut self, inode: Inode, offset: u64, len: usize) -> FsResult<Vec<u8>> {
        self.with_files(|vfs, _| {
            let left = vfs.stat(inode)?.size.saturating_sub(offset);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(len).min(READ_BYTES_MAX);
            let mut bytes = vec![0; len];
            let read = vfs.read(inode, offset, &mut bytes)?;
            bytes.truncate(read);
            Ok(bytes)
        })
    }

    /// Reads at a stream's position.
    pub(crate) fn read_cursor(&mut self, cursor: Cursor, len: usize) -> StreamResult<Vec<u8>> {
        let offset = match cursor.at {
            At::Offset(offset) => offset,
            At::End => u64::MAX,
        };
        let bytes = self.read_at(cursor.inode, offset, len).map_err(failed)?;
        if bytes.is_empty() && len > 0 { Err(StreamError::Closed) } else { Ok(bytes) }
    }

    /// Writes at a stream's position.
    pub(crate) fn write_cursor(&mut self, cursor: Cursor, bytes: &[u8]) -> StreamResult<()> {
        let written = self.change_files(|vfs, now_ns| {
            let offset = match cursor.at {
                At::Offset(offset) => offset,
                At::End => vfs.stat(cursor.inode)?.size,
            };
            vfs.write(cursor.inode, offset, bytes, now_ns)
        });
        written.map_err(failed)
    }
}

/// The error of a stream: one that the guest gets, or the end of the run.
fn failed(error: FsError) -> StreamError {
    match error.downcast() {
        Ok(code) => StreamError::LastOperationFailed(code.into()),
        Err(trap) => StreamError::Trap(trap),
    }
}
