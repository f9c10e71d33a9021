//! Constants of WASI preview 1: error codes, flags, rights, and the layouts of results.

use std::num::TryFromIntError;

use crate::vfs::{Kind, Stat};

/// An error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(u16);

impl Errno {
    pub(super) const SUCCESS: Self = Self(0);
    pub(super) const BADF: Self = Self(8);
    pub(super) const BUSY: Self = Self(10);
    pub(super) const EXIST: Self = Self(20);
    pub(super) const ILSEQ: Self = Self(25);
    pub(super) const INVAL: Self = Self(28);
    pub(super) const IO: Self = Self(29);
    pub(super) const ISDIR: Self = Self(31);
    pub(super) const LOOP: Self = Self(32);
    pub(super) const MFILE: Self = Self(33);
    pub(super) const NAMETOOLONG: Self = Self(37);
    pub(super) const NOENT: Self = Self(44);
    pub(super) const NOTDIR: Self = Self(54);
    pub(super) const NOTEMPTY: Self = Self(55);
    pub(super) const NOTSUP: Self = Self(58);
    pub(super) const OVERFLOW: Self = Self(61);
    pub(super) const PERM: Self = Self(63);
    pub(super) const ROFS: Self = Self(69);
    pub(super) const SPIPE: Self = Self(70);
    pub(super) const XDEV: Self = Self(75);

    pub(super) fn code(self) -> i32 {
        i32::from(self.0)
    }
}

impl From<TryFromIntError> for Errno {
    fn from(_number: TryFromIntError) -> Self {
        Self::OVERFLOW
    }
}

pub(super) const FILETYPE_UNKNOWN: u8 = 0;
pub(super) const FILETYPE_DIRECTORY: u8 = 3;
const FILETYPE_REGULAR: u8 = 4;
const FILETYPE_LINK: u8 = 7;

/// The file type's number.
pub(super) fn filetype(kind: Kind) -> u8 {
    match kind {
        Kind::Directory => FILETYPE_DIRECTORY,
        Kind::File => FILETYPE_REGULAR,
        Kind::Link => FILETYPE_LINK,
    }
}

pub(super) const LOOKUP_FOLLOW: u32 = 1;

pub(super) const OPEN_CREATE: u32 = 1;
pub(super) const OPEN_DIRECTORY: u32 = 2;
pub(super) const OPEN_EXCLUSIVE: u32 = 4;
pub(super) const OPEN_TRUNCATE: u32 = 8;
pub(super) const OPEN_ALL: u32 = 15;

pub(super) const FD_APPEND: u32 = 1;
pub(super) const FD_NONBLOCK: u32 = 4;
/// DSYNC, RSYNC and SYNC: `wasmtime run` has none of them.
pub(super) const FD_SYNCS: u32 = 2 | 8 | 16;
pub(super) const FD_ALL: u32 = 31;

pub(super) const TIME_ACCESSED: u32 = 1;
pub(super) const TIME_ACCESSED_NOW: u32 = 2;
pub(super) const TIME_MODIFIED: u32 = 4;
pub(super) const TIME_MODIFIED_NOW: u32 = 8;
pub(super) const TIME_ALL: u32 = 15;

pub(super) const RIGHT_READ: u64 = 1 << 1;
pub(super) const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_SEEK: u64 = 1 << 2;
const RIGHT_READDIR: u64 = 1 << 14;
const RIGHT_PATH_SET_SIZE: u64 = 1 << 19;
const RIGHT_SET_SIZE: u64 = 1 << 22;
const RIGHTS_ALL: u64 = (1 << 30) - 1;
/// Rights of a preopened directory, as C libraries expect them: the `path_*` calls except setting sizes, reading the
/// directory, its status and times.
const RIGHTS_PREOPEN: u64 = 0x7fe00 | 1 << 20 | 1 << 21 | 1 << 23 | 0x0700_0000;
/// Rights of a file opened in it: the `fd_*` calls too, and polling.
const RIGHTS_INHERITED: u64 = RIGHTS_PREOPEN | 0x1ff | RIGHT_SET_SIZE | 1 << 27;

/// The result of `fd_fdstat_get`.
#[derive(Clone, Copy, Debug)]
pub(super) struct FdStat {
    pub(super) filetype: u8,
    pub(super) flags: u16,
    pub(super) rights: u64,
    pub(super) inherited: u64,
}

impl FdStat {
    /// A standard stream with this right only.
    pub(super) fn stream(right: u64) -> Self {
        Self { filetype: FILETYPE_UNKNOWN, flags: 0, rights: right, inherited: right }
    }

    /// A preopened directory.
    pub(super) fn preopen() -> Self {
        Self { filetype: FILETYPE_DIRECTORY, flags: 0, rights: RIGHTS_PREOPEN, inherited: RIGHTS_INHERITED }
    }

    /// A directory that was opened.
    pub(super) fn directory() -> Self {
        let without = RIGHT_SEEK | RIGHT_SET_SIZE | RIGHT_PATH_SET_SIZE | RIGHT_WRITE;
        let rights = RIGHTS_ALL & !without;
        Self { filetype: FILETYPE_DIRECTORY, flags: 0, rights, inherited: rights }
    }

    pub(super) fn file(read: bool, write: bool, flags: u16) -> Self {
        let mut rights = RIGHTS_ALL;
        if !read {
            rights &= !(RIGHT_READ | RIGHT_READDIR);
        }
        if !write {
            rights &= !RIGHT_WRITE;
        }
        Self { filetype: FILETYPE_REGULAR, flags, rights, inherited: rights }
    }

    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        fill(&mut bytes, 0, &[self.filetype]);
        fill(&mut bytes, 2, &self.flags.to_le_bytes());
        fill(&mut bytes, 8, &self.rights.to_le_bytes());
        fill(&mut bytes, 16, &self.inherited.to_le_bytes());
        bytes
    }
}

/// The result of `fd_filestat_get` for a file; zeros for a standard stream.
pub(super) fn filestat(stat: Option<Stat>) -> [u8; 64] {
    let mut bytes = [0; 64];
    let Some(stat) = stat else { return bytes };
    fill(&mut bytes, 0, &1_u64.to_le_bytes());
    fill(&mut bytes, 8, &stat.inode.0.to_le_bytes());
    fill(&mut bytes, 16, &[filetype(stat.kind)]);
    fill(&mut bytes, 24, &stat.links.to_le_bytes());
    fill(&mut bytes, 32, &stat.size.to_le_bytes());
    fill(&mut bytes, 40, &stat.accessed_ns.to_le_bytes());
    fill(&mut bytes, 48, &stat.modified_ns.to_le_bytes());
    fill(&mut bytes, 56, &stat.changed_ns.to_le_bytes());
    bytes
}

/// Bytes of a directory entry before its name.
pub(super) const DIRENT_BYTES: usize = 24;

/// A directory entry without its name.
pub(super) fn dirent(next: u64, inode: u64, name_len: u32, filetype: u8) -> [u8; DIRENT_BYTES] {
    let mut bytes = [0; DIRENT_BYTES];
    fill(&mut bytes, 0, &next.to_le_bytes());
    fill(&mut bytes, 8, &inode.to_le_bytes());
    fill(&mut bytes, 16, &name_len.to_le_bytes());
    fill(&mut bytes, 20, &[filetype]);
    bytes
}

/// Writes a field at its offset.
pub(super) fn fill(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(room) = bytes.get_mut(at..at + field.len()) {
        room.copy_from_slice(field);
    }
}

/// Checks that no flag outside of `all` is set.
pub(super) fn flags(word: i32, all: u32) -> Result<u32, Errno> {
    let word = word.cast_unsigned();
    if word & !all == 0 { Ok(word) } else { Err(Errno::INVAL) }
}
