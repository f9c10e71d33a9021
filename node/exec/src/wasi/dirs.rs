//! Listing directories, page by page. A page continues after the last name of the page before, even if names were added
//! or removed meanwhile.

use wasmtime::Linker;

use super::abi::{self, DIRENT_BYTES, Errno, FILETYPE_DIRECTORY};
use super::call::{Call, calls};
use super::fail::Answer;
use super::ram::Word;
use super::version::Version;
use crate::guest::Guest;

/// Cookies below this are `.` and `..`.
const DOTS: u64 = 2;

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        fd_readdir(fd: u32, address: u32, len: u32, cookie: u64, out: u32);
    }
    Ok(())
}

impl Call<'_> {
    fn fd_readdir(&mut self, fd: u32, address: Word, len: Word, cookie: u64, out: Word) -> Answer {
        let directory = self.wasi().table.directory(fd)?;
        let inode = directory.inode;
        let listed = directory.listed.take();
        let span = self.ram.span(address, len)?;
        let mut page = Page { room: self.ram.bytes_mut(span)?, used: 0 };
        let mut last = None;

        for (next, name) in [(1, "."), (2, "..")] {
            if next > cookie {
                page.put(next, inode.0, FILETYPE_DIRECTORY, name)?;
            }
        }
        let (vfs, _) = self.guest.vfs()?;
        let mut next = cookie.max(DOTS);
        let after = match &listed {
            _ if cookie <= DOTS => None,
            Some((at, name)) if *at == cookie => Some(&**name),
            // Not the position where the last page ended: counted from the start.
            Some(_) | None => {
                let before = usize::try_from(cookie - DOTS - 1)?;
                let Some((name, ..)) = vfs.entries_after(inode, None)?.nth(before) else {
                    return self.ram.put_len(out, 0);
                };
                Some(name)
            }
        };
        for (name, inode, kind) in vfs.entries_after(inode, after)? {
            next = next.checked_add(1).ok_or(Errno::OVERFLOW)?;
            if !page.put(next, inode.0, abi::filetype(kind), name)? {
                break;
            }
            last = Some((next, name));
        }
        let listed = last.map(|(next, name)| (next, name.into())).or(listed);
        let used = page.used;
        self.wasi().table.directory(fd)?.listed = listed;
        self.ram.put_len(out, used)
    }
}

/// The guest's buffer for entries; a truncated last entry tells the guest that there are more.
struct Page<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl Page<'_> {
    /// Adds an entry; false if it was truncated.
    fn put(&mut self, next: u64, inode: u64, filetype: u8, name: &str) -> Answer<bool> {
        let name_len = u32::try_from(name.len())?;
        let head: [u8; DIRENT_BYTES] = abi::dirent(next, inode, name_len, filetype);
        let free = self.room.get_mut(self.used..).unwrap_or_default();
        let whole = DIRENT_BYTES + name.len();
        let fits = whole.min(free.len());
        for (to, from) in free.iter_mut().zip(head.iter().chain(name.as_bytes())) {
            *to = *from;
        }
        self.used += fits;
        Ok(fits == whole)
    }
}
