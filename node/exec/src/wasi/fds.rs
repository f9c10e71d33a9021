//! Calls on open descriptors that transfer no data: status, flags, sizes, times, positions, numbers, closing.

use wasmtime::Linker;

use super::abi::{
    self, Errno, FD_ALL, FD_APPEND, FD_NONBLOCK, FD_SYNCS, FdStat, RIGHT_READ, RIGHT_WRITE, TIME_ACCESSED,
    TIME_ACCESSED_NOW, TIME_ALL, TIME_MODIFIED, TIME_MODIFIED_NOW,
};
use super::call::{Call, calls};
use super::fail::Answer;
use super::ram::Word;
use super::table::Descriptor;
use super::version::{Version, Whence};
use crate::guest::Guest;
use crate::vfs::Stat;

/// Number of kinds of advice.
const ADVICES: u32 = 6;

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, out: u32);
        fd_fdstat_set_flags(fd: u32, flags: i32);
        fd_fdstat_set_rights(fd: u32, rights: u64, inherited: u64);
        fd_filestat_get(fd: u32, out: u32);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, accessed: u64, modified: u64, which: i32);
        fd_prestat_get(fd: u32, out: u32);
        fd_prestat_dir_name(fd: u32, address: u32, len: u32);
        fd_renumber(from: u32, to: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, out: u32);
        fd_sync(fd: u32);
        fd_tell(fd: u32, out: u32);
    }
    Ok(())
}

impl Call<'_> {
    fn fd_advise(&mut self, fd: u32, _offset: u64, _len: u64, advice: u32) -> Answer {
        if advice >= ADVICES {
            return Err(Errno::INVAL.into());
        }
        self.wasi().table.file(fd)?;
        Ok(())
    }

    /// Not supported by `wasmtime run` either.
    fn fd_allocate(&mut self, fd: u32, _offset: u64, _len: u64) -> Answer {
        self.wasi().table.file(fd)?;
        Err(Errno::NOTSUP.into())
    }

    fn fd_close(&mut self, fd: u32) -> Answer {
        let closed = self.wasi().table.remove(fd)?;
        self.release(closed)
    }

    fn release(&mut self, descriptor: Descriptor) -> Answer {
        let inode = match descriptor {
            Descriptor::File(file) => file.inode,
            Descriptor::Directory(directory) if directory.preopen.is_none() => directory.inode,
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                return Ok(());
            }
        };
        self.vfs()?.0.release(inode);
        Ok(self.guest.count_files()?)
    }

    fn fd_datasync(&mut self, fd: u32) -> Answer {
        self.wasi().table.file(fd)?;
        Ok(())
    }

    fn fd_sync(&mut self, fd: u32) -> Answer {
        self.wasi().table.file(fd)?;
        Ok(())
    }

    fn fd_fdstat_get(&mut self, fd: u32, out: Word) -> Answer {
        let stat = match self.wasi().table.get(fd)? {
            Descriptor::Input { .. } => FdStat::stream(RIGHT_READ),
            Descriptor::Output | Descriptor::Errors => FdStat::stream(RIGHT_WRITE),
            Descriptor::Directory(directory) if directory.preopen.is_some() => FdStat::preopen(),
            Descriptor::Directory(_) => FdStat::directory(),
            Descriptor::File(file) => {
                let append = if file.append { FD_APPEND } else { 0 };
                let nonblock = if file.nonblock { FD_NONBLOCK } else { 0 };
                let flags = u16::try_from(append | nonblock)?;
                FdStat::file(file.read, file.write, flags)
            }
        };
        self.ram.put(out, &stat.to_bytes())
    }

    fn fd_fdstat_set_flags(&mut self, fd: u32, flags: i32) -> Answer {
        let flags = abi::flags(flags, FD_ALL)?;
        let file = self.wasi().table.file_mut(fd)?;
        if flags & FD_SYNCS != 0 {
            return Err(Errno::INVAL.into());
        }
        file.append = flags & FD_APPEND != 0;
        file.nonblock = flags & FD_NONBLOCK != 0;
        Ok(())
    }

    /// Not supported by `wasmtime run` either.
    fn fd_fdstat_set_rights(&mut self, fd: u32, _rights: u64, _inherited: u64) -> Answer {
        self.wasi().table.inode(fd)?;
        Err(Errno::NOTSUP.into())
    }

    fn fd_filestat_get(&mut self, fd: u32, out: Word) -> Answer {
        let inode = match self.wasi().table.get(fd)? {
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors => None,
            Descriptor::Directory(directory) => Some(directory.inode),
            Descriptor::File(file) => Some(file.inode),
        };
        let stat = match inode {
            Some(inode) => Some(self.vfs()?.0.stat(inode)?),
            None => None,
        };
        self.put_filestat(out, stat)
    }

    /// Writes the status of a file; zeros for a standard stream.
    pub(super) fn put_filestat(&mut self, out: Word, stat: Option<Stat>) -> Answer {
        let (stat, len) = self.version.filestat(abi::filestat(stat));
        self.ram.put(out, stat.get(..len).unwrap_or_default())
    }

    fn fd_filestat_set_size(&mut self, fd: u32, size: u64) -> Answer {
        let file = self.wasi().table.file(fd)?;
        let (inode, write) = (file.inode, file.write);
        if !write || i64::try_from(size).is_err() {
            return Err(Errno::INVAL.into());
        }
        let (vfs, now_ns) = self.vfs()?;
        vfs.set_len(inode, size, now_ns)?;
        Ok(self.guest.count_files()?)
    }

    fn fd_filestat_set_times(&mut self, fd: u32, accessed: u64, modified: u64, which: i32) -> Answer {
        let times = Times::new(accessed, modified, which)?;
        let inode = self.wasi().table.inode(fd)?;
        let (vfs, now_ns) = self.vfs()?;
        let (accessed, modified) = times.at(now_ns);
        Ok(vfs.set_times(inode, accessed, modified, now_ns)?)
    }

    fn fd_prestat_get(&mut self, fd: u32, out: Word) -> Answer {
        let name = self.preopen(fd)?.ok_or(Errno::BADF)?;
        // The tag of a directory is 0.
        self.ram.put_u32(out, 0)?;
        self.ram.put_len(out.checked_add(4).ok_or(Errno::OVERFLOW)?, name.len())
    }

    fn fd_prestat_dir_name(&mut self, fd: u32, address: Word, len: Word) -> Answer {
        let name = self.preopen(fd)?.ok_or(Errno::NOTDIR)?;
        if u64::from(len) < name.len() as u64 {
            return Err(Errno::NAMETOOLONG.into());
        }
        self.ram.put(address, name.as_bytes())
    }

    /// The name of a preopened directory.
    fn preopen(&mut self, fd: u32) -> Answer<Option<&'static str>> {
        match self.wasi().table.get(fd)? {
            Descriptor::Directory(directory) => Ok(directory.preopen),
            Descriptor::Input { .. } | Descriptor::Output | Descriptor::Errors | Descriptor::File(_) => {
                Ok(None)
            }
        }
    }

    fn fd_renumber(&mut self, from: u32, to: u32) -> Answer {
        match self.wasi().table.renumber(from, to)? {
            Some(replaced) => self.release(replaced),
            None => Ok(()),
        }
    }

    fn fd_seek(&mut self, fd: u32, offset: i64, whence: u32, out: Word) -> Answer {
        let file = self.wasi().table.seekable(fd)?;
        let (inode, position) = (file.inode, file.position);
        let from = match self.version.whence(whence)? {
            Whence::Start => 0,
            Whence::Current => position,
            Whence::End => self.vfs()?.0.stat(inode)?.size,
        };
        let position = from.checked_add_signed(offset).ok_or(Errno::INVAL)?;
        self.wasi().table.seekable(fd)?.position = position;
        self.ram.put_u64(out, position)
    }

    fn fd_tell(&mut self, fd: u32, out: Word) -> Answer {
        let position = self.wasi().table.seekable(fd)?.position;
        self.ram.put_u64(out, position)
    }
}

/// The times that a call sets; the inner `None` is the current time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    accessed: Option<Option<u64>>,
    modified: Option<Option<u64>>,
}

impl Times {
    pub(super) fn new(accessed: u64, modified: u64, which: i32) -> Answer<Self> {
        let which = abi::flags(which, TIME_ALL)?;
        let choose = |time: u64, set: u32, now: u32| match (which & set != 0, which & now != 0) {
            (true, true) => Err(Errno::INVAL),
            (true, false) => Ok(Some(Some(time))),
            (false, true) => Ok(Some(None)),
            (false, false) => Ok(None),
        };
        Ok(Self {
            accessed: choose(accessed, TIME_ACCESSED, TIME_ACCESSED_NOW)?,
            modified: choose(modified, TIME_MODIFIED, TIME_MODIFIED_NOW)?,
        })
    }

    pub(super) fn at(self, now_ns: u64) -> (Option<u64>, Option<u64>) {
        let time = |which: Option<Option<u64>>| which.map(|time| time.unwrap_or(now_ns));
        (time(self.accessed), time(self.modified))
    }
}
