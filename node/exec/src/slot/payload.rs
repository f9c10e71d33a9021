//! A task's long inputs and outputs, which are passed between a node and its slot as files.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create};
use rustix::io::{Errno, pread};
use weft_core::task::INLINE_BYTES_MAX;

use super::wire::Brought;

/// Reads a file that must have this length, which the submitter of the task claims: it is compared before memory is
/// allocated. Other slots share the open file and its position, so the position is neither used nor moved.
pub(super) fn read_whole(file: &OwnedFd, bytes: u64) -> io::Result<Bytes> {
    if u64::try_from(fstat(file)?.st_size) != Ok(bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, crate::pool::blobs::ANOTHER_LENGTH));
    }
    let len = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut content = Vec::new();
    content.try_reserve_exact(len).map_err(io::Error::other)?;
    while content.len() < len {
        let at = content.len() as u64;
        match pread(file, spare_capacity(&mut content), at) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Bytes::from(content))
}

/// Puts long bytes into a sealed memory file.
pub(super) fn brought(bytes: Vec<u8>) -> io::Result<(Brought, Option<OwnedFd>)> {
    if bytes.len() <= INLINE_BYTES_MAX {
        return Ok((Brought::Inline(bytes), None));
    }
    let mut file = File::from(memfd_create("weft-output", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(&bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok((Brought::File(bytes.len() as u64), Some(file.into())))
}
