//! Reading and writing. A call transfers as much as its buffers and the file allow.

use wasmtime::Linker;

use super::abi::Errno;
use super::call::{Call, calls};
use super::fail::{Answer, Fail};
use super::ram::{Span, Word};
use super::state::Wasi;
use super::table::Descriptor;
use super::version::Version;
use crate::end::End;
use crate::guest::Guest;
use crate::sink::Sink;
use crate::vfs::Inode;

/// Bytes transferred between two checks of the watch.
const CHUNK_BYTES: usize = 4 << 20;

pub(super) fn link(linker: &mut Linker<Guest>, version: Version) -> wasmtime::Result<()> {
    calls! { linker, version,
        fd_read(fd: u32, list: u32, count: u32, out: u32);
        fd_pread(fd: u32, list: u32, count: u32, offset: u64, out: u32);
        fd_write(fd: u32, list: u32, count: u32, out: u32);
        fd_pwrite(fd: u32, list: u32, count: u32, offset: u64, out: u32);
    }
    Ok(())
}

impl Call<'_> {
    fn fd_read(&mut self, fd: u32, list: Word, count: Word, out: Word) -> Answer {
        let spans = self.ram.spans(list, count)?;
        let (inode, position) = match self.wasi().table.get(fd)? {
            Descriptor::File(file) if file.read => (file.inode, file.position),
            Descriptor::Input { .. } => {
                let read = self.read_input(fd, &spans)?;
                return self.ram.put_len(out, read);
            }
            Descriptor::File(_) | Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                return Err(Errno::BADF.into());
            }
        };
        let read = self.read_file(inode, position, &spans)?;
        self.wasi().table.file_mut(fd)?.position = position.saturating_add(read as u64);
        self.ram.put_len(out, read)
    }

    fn fd_pread(&mut self, fd: u32, list: Word, count: Word, offset: u64, out: Word) -> Answer {
        let spans = self.ram.spans(list, count)?;
        let inode = match self.wasi().table.get(fd)? {
            Descriptor::File(file) if file.read => file.inode,
            Descriptor::Input { .. } => return Err(Errno::SPIPE.into()),
            Descriptor::File(_) | Descriptor::Output | Descriptor::Errors | Descriptor::Directory(_) => {
                return Err(Errno::BADF.into());
            }
        };
        let read = self.read_file(inode, offset, &spans)?;
        self.ram.put_len(out, read)
    }

    fn fd_write(&mut self, fd: u32, list: Word, count: Word, out: Word) -> Answer {
        let spans = self.ram.spans(list, count)?;
        let Wasi { table, output, errors, .. } = self.wasi();
        let (inode, position) = match table.get(fd)? {
            Descriptor::File(file) if file.write => {
                (file.inode, if file.append { None } else { Some(file.position) })
            }
            Descriptor::Output => {
                let sink = output.clone();
                return self.print(&sink, &spans, out);
            }
            Descriptor::Errors => {
                let sink = errors.clone();
                return self.print(&sink, &spans, out);
            }
            Descriptor::File(_) | Descriptor::Input { .. } | Descriptor::Directory(_) => {
                return Err(Errno::BADF.into());
            }
        };
        let (written, position) = self.write_file(inode, position, &spans)?;
        self.wasi().table.file_mut(fd)?.position = position;
        self.ram.put_len(out, written)
    }

    fn fd_pwrite(&mut self, fd: u32, list: Word, count: Word, offset: u64, out: Word) -> Answer {
        let spans = self.ram.spans(list, count)?;
        let (inode, position) = match self.wasi().table.get(fd)? {
            // As on Linux: in append mode the offset is ignored.
            Descriptor::File(file) if file.write => {
                (file.inode, if file.append { None } else { Some(offset) })
            }
            Descriptor::Output | Descriptor::Errors => return Err(Errno::SPIPE.into()),
            Descriptor::File(_) | Descriptor::Input { .. } | Descriptor::Directory(_) => {
                return Err(Errno::BADF.into());
            }
        };
        let (written, _) = self.write_file(inode, position, &spans)?;
        self.ram.put_len(out, written)
    }

    fn read_input(&mut self, fd: u32, spans: &[Span]) -> Answer<usize> {
        let Some(Wasi { table, input, .. }) = self.guest.wasi.as_mut() else { return Ok(0) };
        let Descriptor::Input { at } = table.get_mut(fd)? else { return Err(Errno::BADF.into()) };
        let mut read = 0;
        for span in spans {
            let room = self.ram.bytes_mut(*span)?;
            let rest = input.get(*at..).unwrap_or_default();
            let count = rest.len().min(room.len());
            for (to, from) in room.iter_mut().zip(rest) {
                *to = *from;
            }
            *at += count;
            read += count;
        }
        Ok(read)
    }

    fn read_file(&mut self, inode: Inode, offset: u64, spans: &[Span]) -> Answer<usize> {
        let mut read = 0;
        for span in spans {
            for room in self.ram.bytes_mut(*span)?.chunks_mut(CHUNK_BYTES) {
                let from = offset.saturating_add(read as u64);
                let count = self.guest.vfs()?.0.read(inode, from, room)?;
                read += count;
                if count < room.len() {
                    return Ok(read);
                }
                look(self.guest, count)?;
            }
        }
        Ok(read)
    }

    /// Writes at `position`, or at the end for `None`; returns the bytes written and the position after them.
    fn write_file(&mut self, inode: Inode, position: Option<u64>, spans: &[Span]) -> Answer<(usize, u64)> {
        let mut at = match position {
            Some(position) => position,
            None => self.vfs()?.0.stat(inode)?.size,
        };
        let mut written = 0;
        for span in spans {
            for bytes in self.ram.bytes(*span)?.chunks(CHUNK_BYTES) {
                let (vfs, now_ns) = self.guest.vfs()?;
                vfs.write(inode, at, bytes, now_ns)?;
                at = at.saturating_add(bytes.len() as u64);
                written += bytes.len();
                self.guest.count_files()?;
                look(self.guest, bytes.len())?;
            }
        }
        Ok((written, at))
    }

    fn print(&mut self, sink: &Sink, spans: &[Span], out: Word) -> Answer {
        for span in spans {
            for bytes in self.ram.bytes(*span)?.chunks(CHUNK_BYTES) {
                sink.push(bytes).map_err(|limit| Fail::End(End::Limit(limit)))?;
                look(self.guest, bytes.len())?;
            }
        }
        self.ram.put_len(out, spans.iter().map(|span| span.len()).sum())
    }
}

/// Checks the watch after every whole chunk.
fn look(guest: &mut Guest, moved: usize) -> Result<(), End> {
    if moved < CHUNK_BYTES { Ok(()) } else { guest.watch.look() }
}
