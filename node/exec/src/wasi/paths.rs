//! Calls on paths: they decode arguments; the file system decides everything else.

use wasmtime::Linker;

use super::abi::{
    self, Errno, FD_ALL, FD_APPEND, FD_NONBLOCK, FD_SYNCS, LOOKUP_FOLLOW, OPEN_ALL, OPEN_CREATE,
    OPEN_DIRECTORY, OPEN_EXCLUSIVE, OPEN_TRUNCATE, RIGHT_READ, RIGHT_WRITE,
};
use super::call::{Call, calls};
use super::fail::Answer;
use super::fds::Times;
use super::ram::Word;
use super::table::{Descriptor, Directory, File};
use super::version::Version;
use crate::guest::Guest;
use crate::vfs::{Inode, Kind, OpenHow};

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        path_create_directory(fd: u32, path: u32, len: u32);
        path_filestat_get(fd: u32, flags: i32, path: u32, len: u32, out: u32);
        path_filestat_set_times(
            fd: u32, flags: i32, path: u32, len: u32, accessed: u64, modified: u64, which: i32
        );
        path_link(fd: u32, flags: i32, path: u32, len: u32, new_fd: u32, new_path: u32, new_len: u32);
        path_open(
            fd: u32, flags: i32, path: u32, len: u32, how: i32, rights: u64, inherited: u64, fd_flags: i32,
            out: u32
        );
        path_readlink(fd: u32, path: u32, len: u32, address: u32, room: u32, out: u32);
        path_remove_directory(fd: u32, path: u32, len: u32);
        path_rename(fd: u32, path: u32, len: u32, new_fd: u32, new_path: u32, new_len: u32);
        path_symlink(target: u32, target_len: u32, fd: u32, path: u32, len: u32);
        path_unlink_file(fd: u32, path: u32, len: u32);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "WASI's own signatures")]
impl Call<'_> {
    fn path_create_directory(&mut self, fd: u32, path: Word, len: Word) -> Answer {
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, now_ns) = self.guest.vfs()?;
        Ok(vfs.create_directory(at, path, now_ns)?)
    }

    fn path_filestat_get(&mut self, fd: u32, flags: i32, path: Word, len: Word, out: Word) -> Answer {
        let follow = follows(flags)?;
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, _) = self.guest.vfs()?;
        let stat = vfs.stat(vfs.find(at, path, follow)?)?;
        self.put_filestat(out, Some(stat))
    }

    fn path_filestat_set_times(
        &mut self,
        fd: u32,
        flags: i32,
        path: Word,
        len: Word,
        accessed: u64,
        modified: u64,
        which: i32,
    ) -> Answer {
        let follow = follows(flags)?;
        let times = Times::new(accessed, modified, which)?;
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, now_ns) = self.guest.vfs()?;
        let inode = vfs.find(at, path, follow)?;
        let (accessed, modified) = times.at(now_ns);
        Ok(vfs.set_times(inode, accessed, modified, now_ns)?)
    }

    fn path_link(
        &mut self,
        fd: u32,
        flags: i32,
        path: Word,
        len: Word,
        new_fd: u32,
        new_path: Word,
        new_len: Word,
    ) -> Answer {
        let follow = follows(flags)?;
        let (at, new_at) = (self.directory(fd)?, self.directory(new_fd)?);
        let (path, new_path) = (self.ram.text(path, len)?, self.ram.text(new_path, new_len)?);
        if follow {
            return Err(Errno::INVAL.into());
        }
        let (vfs, now_ns) = self.guest.vfs()?;
        Ok(vfs.hard_link(at, path, new_at, new_path, now_ns)?)
    }

    fn path_open(
        &mut self,
        fd: u32,
        flags: i32,
        path: Word,
        len: Word,
        how: i32,
        rights: u64,
        _inherited: u64,
        fd_flags: i32,
        out: Word,
    ) -> Answer {
        let (follow, how, fd_flags) =
            (follows(flags)?, abi::flags(how, OPEN_ALL)?, abi::flags(fd_flags, FD_ALL)?);
        let path = self.ram.text(path, len)?;
        let table = &self.guest.wasi.as_ref().ok_or(Errno::BADF)?.table;
        let at = match table.get(fd)? {
            Descriptor::Directory(directory) => directory.inode,
            Descriptor::File(_) => return Err(Errno::NOTDIR.into()),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors => {
                return Err(Errno::BADF.into());
            }
        };
        table.check_room()?;
        if fd_flags & FD_SYNCS != 0 {
            return Err(Errno::NOTSUP.into());
        }
        if how & OPEN_DIRECTORY != 0 && how != OPEN_DIRECTORY {
            return Err(Errno::INVAL.into());
        }
        let write = rights & RIGHT_WRITE != 0 || how & (OPEN_CREATE | OPEN_TRUNCATE) != 0;
        // A file that is not opened for writing is opened for reading, whatever rights the guest asks for.
        let read = rights & RIGHT_READ != 0 || rights & RIGHT_WRITE == 0;
        let asked = OpenHow {
            follow,
            create: how & OPEN_CREATE != 0,
            exclusive: how & OPEN_EXCLUSIVE != 0,
            directory: how & OPEN_DIRECTORY != 0,
            truncate: how & OPEN_TRUNCATE != 0,
            write,
        };
        let (vfs, now_ns) = self.guest.vfs()?;
        let inode = vfs.open(at, path, asked, now_ns)?;
        let opened = match vfs.stat(inode)?.kind {
            Kind::Directory => Descriptor::Directory(Directory { inode, preopen: None, listed: None }),
            Kind::File | Kind::Link => Descriptor::File(File {
                inode,
                position: 0,
                read,
                write,
                append: fd_flags & FD_APPEND != 0,
                nonblock: fd_flags & FD_NONBLOCK != 0,
            }),
        };
        self.guest.count_files()?;
        let number = self.wasi().table.push(opened)?;
        self.ram.put_u32(out, number)
    }

    fn path_readlink(
        &mut self,
        fd: u32,
        path: Word,
        len: Word,
        address: Word,
        room: Word,
        out: Word,
    ) -> Answer {
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, _) = self.guest.vfs()?;
        let target = vfs.read_link(at, path)?.as_bytes();
        let fits = usize::try_from(room).ok().and_then(|room| target.get(..room)).unwrap_or(target);
        self.ram.put(address, fits)?;
        self.ram.put_len(out, fits.len())
    }

    fn path_remove_directory(&mut self, fd: u32, path: Word, len: Word) -> Answer {
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, now_ns) = self.guest.vfs()?;
        Ok(vfs.remove_directory(at, path, now_ns)?)
    }

    fn path_rename(
        &mut self,
        fd: u32,
        path: Word,
        len: Word,
        new_fd: u32,
        new_path: Word,
        new_len: Word,
    ) -> Answer {
        let (at, new_at) = (self.directory(fd)?, self.directory(new_fd)?);
        let (path, new_path) = (self.ram.text(path, len)?, self.ram.text(new_path, new_len)?);
        let (vfs, now_ns) = self.guest.vfs()?;
        vfs.rename(at, path, new_at, new_path, now_ns)?;
        Ok(self.guest.count_files()?)
    }

    fn path_symlink(&mut self, target: Word, target_len: Word, fd: u32, path: Word, len: Word) -> Answer {
        let at = self.directory(fd)?;
        let (target, path) = (self.ram.text(target, target_len)?, self.ram.text(path, len)?);
        let (vfs, now_ns) = self.guest.vfs()?;
        vfs.symlink(target, at, path, now_ns)?;
        Ok(self.guest.count_files()?)
    }

    fn path_unlink_file(&mut self, fd: u32, path: Word, len: Word) -> Answer {
        let at = self.directory(fd)?;
        let path = self.ram.text(path, len)?;
        let (vfs, now_ns) = self.guest.vfs()?;
        vfs.unlink(at, path, now_ns)?;
        Ok(self.guest.count_files()?)
    }

    /// The inode of an open directory.
    fn directory(&mut self, fd: u32) -> Answer<Inode> {
        Ok(self.wasi().table.directory(fd)?.inode)
    }
}

fn follows(flags: i32) -> Answer<bool> {
    Ok(abi::flags(flags, LOOKUP_FOLLOW)? != 0)
}
