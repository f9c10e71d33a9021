//! `wasi:filesystem` on the task's file system in memory. [`crate::vfs`] has the rules; this keeps the handles and
//! converts types.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types::ErrorCode};
use wasmtime_wasi::p2::bindings::sync::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, IoError};

use crate::component::convert::{hash, how, kind, stat};
use crate::component::resources::unknown;
use crate::component::table::{At, Cursor, Descriptor, Entry, Input, Listing, Output};
use crate::guest::Guest;
use crate::vfs::{Kind, PREOPENS};

type Handle = Resource<types::Descriptor>;

impl preopens::Host for Guest {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Handle, String)>> {
        let mut directories = Vec::with_capacity(PREOPENS.len());
        for (inode, name) in PREOPENS {
            let held = self.with_files(|vfs, _| vfs.hold(inode));
            held.map_err(|error| wasmtime::Error::msg(error.to_string()))?;
            let open = Descriptor { inode, kind: Kind::Directory, read: true, write: true };
            directories.push((self.keep(Entry::Descriptor(open))?, name.to_owned()));
        }
        Ok(directories)
    }
}

impl types::Host for Guest {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<types::ErrorCode> {
        error.downcast().map(types::ErrorCode::from)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<IoError>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        self.error_code(&error).map(|code| Some(code.into()))
    }
}

impl types::HostDescriptor for Guest {
    fn read_via_stream(&mut self, file: Handle, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let inode = self.file(&file, |open| open.read)?.inode;
        self.keep_file(inode, Entry::Input(Input::File(Cursor { inode, at: At::Offset(offset) })))
    }

    fn write_via_stream(&mut self, file: Handle, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let inode = self.file(&file, |open| open.write)?.inode;
        self.keep_file(inode, Entry::Output(Output::File(Cursor { inode, at: At::Offset(offset) })))
    }

    fn append_via_stream(&mut self, file: Handle) -> FsResult<Resource<DynOutputStream>> {
        let inode = self.file(&file, |open| open.write)?.inode;
        self.keep_file(inode, Entry::Output(Output::File(Cursor { inode, at: At::End })))
    }

    fn advise(&mut self, file: Handle, _: u64, _: u64, _: Advice) -> FsResult<()> {
        self.file(&file, |_| true).map(drop)
    }

    fn sync_data(&mut self, handle: Handle) -> FsResult<()> {
        self.open_one(&handle).map(drop)
    }

    fn sync(&mut self, handle: Handle) -> FsResult<()> {
        self.open_one(&handle).map(drop)
    }

    fn get_flags(&mut self, handle: Handle) -> FsResult<DescriptorFlags> {
        let open = self.open_one(&handle)?;
        let write = match open.kind {
            Kind::Directory => DescriptorFlags::MUTATE_DIRECTORY,
            Kind::File | Kind::Link => DescriptorFlags::WRITE,
        };
        let when = |set: bool, flag| if set { flag } else { DescriptorFlags::empty() };
        Ok(when(open.read, DescriptorFlags::READ) | when(open.write, write))
    }

    fn get_type(&mut self, handle: Handle) -> FsResult<DescriptorType> {
        Ok(kind(self.open_one(&handle)?.kind))
    }

    fn set_size(&mut self, file: Handle, size: u64) -> FsResult<()> {
        let inode = self.file(&file, |open| open.write)?.inode;
        self.change_files(|vfs, now| vfs.set_len(inode, size, now))
    }

    fn set_times(&mut self, handle: Handle, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()> {
        let inode = self.open_one(&handle)?.inode;
        self.set_times_of(inode, accessed, modified)
    }

    fn read(&mut self, file: Handle, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        let inode = self.file(&file, |open| open.read)?.inode;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let bytes = self.read_at(inode, offset, len)?;
        let at_end = bytes.is_empty();
        Ok((bytes, at_end))
    }

    fn write(&mut self, file: Handle, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let inode = self.file(&file, |open| open.write)?.inode;
        self.change_files(|vfs, now| vfs.write(inode, offset, &bytes, now))?;
        Ok(bytes.len() as u64)
    }

    fn read_directory(&mut self, directory: Handle) -> FsResult<Resource<types::DirectoryEntryStream>> {
        let inode = self.directory(&directory)?;
        self.keep_file(inode, Entry::Listing(Listing { inode, after: None }))
    }

    fn create_directory_at(&mut self, at: Handle, path: String) -> FsResult<()> {
        let at = self.directory(&at)?;
        self.change_files(|vfs, now| vfs.create_directory(at, &path, now))
    }

    fn stat(&mut self, handle: Handle) -> FsResult<DescriptorStat> {
        let inode = self.open_one(&handle)?.inode;
        self.with_files(|vfs, _| vfs.stat(inode)).map(|about| stat(&about))
    }

    fn stat_at(&mut self, at: Handle, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let inode = self.find(&at, flags, &path)?;
        self.with_files(|vfs, _| vfs.stat(inode)).map(|about| stat(&about))
    }

    fn set_times_at(
        &mut self,
        at: Handle,
        flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        let inode = self.find(&at, flags, &path)?;
        self.set_times_of(inode, accessed, modified)
    }

    fn link_at(
        &mut self,
        at: Handle,
        flags: PathFlags,
        path: String,
        new_at: Handle,
        new_path: String,
    ) -> FsResult<()> {
        let (at, new_at) = (self.directory(&at)?, self.directory(&new_at)?);
        if flags.contains(PathFlags::SYMLINK_FOLLOW) {
            return Err(ErrorCode::Invalid.into());
        }
        self.change_files(|vfs, now| vfs.hard_link(at, &path, new_at, &new_path, now))
    }

    fn open_at(
        &mut self,
        at: Handle,
        path_flags: PathFlags,
        path: String,
        open: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Handle> {
        let at = self.directory(&at)?;
        let how = how(path_flags, open, flags)?;
        let inode = self.change_files(|vfs, now| vfs.open(at, &path, how, now))?;
        let kind = self.with_files(|vfs, _| vfs.stat(inode))?.kind;
        let (read, write) = match kind {
            Kind::Directory => (true, true),
            Kind::File | Kind::Link => (
                flags.contains(DescriptorFlags::READ) || !flags.contains(DescriptorFlags::WRITE),
                how.write || how.create || how.truncate,
            ),
        };
        self.keep(Entry::Descriptor(Descriptor { inode, kind, read, write })).map_err(FsError::trap)
    }

    fn readlink_at(&mut self, at: Handle, path: String) -> FsResult<String> {
        let at = self.directory(&at)?;
        self.with_files(|vfs, _| vfs.read_link(at, &path).map(str::to_owned))
    }

    fn remove_directory_at(&mut self, at: Handle, path: String) -> FsResult<()> {
        let at = self.directory(&at)?;
        self.change_files(|vfs, now| vfs.remove_directory(at, &path, now))
    }

    fn rename_at(&mut self, at: Handle, path: String, new_at: Handle, new_path: String) -> FsResult<()> {
        let (at, new_at) = (self.directory(&at)?, self.directory(&new_at)?);
        self.change_files(|vfs, now| vfs.rename(at, &path, new_at, &new_path, now))
    }

    fn symlink_at(&mut self, at: Handle, target: String, path: String) -> FsResult<()> {
        let at = self.directory(&at)?;
        self.change_files(|vfs, now| vfs.symlink(&target, at, &path, now))
    }

    fn unlink_file_at(&mut self, at: Handle, path: String) -> FsResult<()> {
        let at = self.directory(&at)?;
        self.change_files(|vfs, now| vfs.unlink(at, &path, now))
    }

    fn is_same_object(&mut self, one: Handle, other: Handle) -> wasmtime::Result<bool> {
        Ok(self.descriptor(&one)?.inode == self.descriptor(&other)?.inode)
    }

    fn metadata_hash(&mut self, handle: Handle) -> FsResult<MetadataHashValue> {
        Ok(hash(self.open_one(&handle)?.inode))
    }

    fn metadata_hash_at(
        &mut self,
        at: Handle,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        self.find(&at, flags, &path).map(hash)
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        self.release(&handle)
    }
}

impl types::HostDirectoryEntryStream for Guest {
    fn read_directory_entry(
        &mut self,
        listing: Resource<types::DirectoryEntryStream>,
    ) -> FsResult<Option<DirectoryEntry>> {
        let Listing { inode, after } =
            match self.component_state().map_err(FsError::trap)?.table.get(&listing) {
                Some(Entry::Listing(listing)) => listing.clone(),
                Some(_) | None => return Err(FsError::trap(unknown())),
            };
        let next = self.with_files(|vfs, _| {
            let next = vfs.entries_after(inode, after.as_deref())?.next();
            Ok(next.map(|(name, _, kind)| (name.to_owned(), kind)))
        })?;
        let Some((name, found)) = next else { return Ok(None) };
        if let Some(Entry::Listing(listing)) =
            self.component_state().map_err(FsError::trap)?.table.get_mut(&listing)
        {
            listing.after = Some(name.clone());
        }
        Ok(Some(DirectoryEntry { type_: kind(found), name }))
    }

    fn drop(&mut self, listing: Resource<types::DirectoryEntryStream>) -> wasmtime::Result<()> {
        self.release(&listing)
    }
}
