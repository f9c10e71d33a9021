//! Compiled code as an immutable file: written once, then mapped by every slot that runs it, so that all processes
//! share its pages. On Linux it is a sealed memory file, which no process can write to; elsewhere it is a byte vector.
//! How it is compiled is in [`crate::compile`], how it is run in [`crate::module`].

use std::fmt;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::io;
#[cfg(target_os = "linux")]
use std::io::Write;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(target_os = "linux")]
use std::os::unix::fs::FileExt;
use std::time::Duration;

use crate::make::{Make, Tier};
use weft_core::BlobId;

/// Longest compiled code of one module, in bytes. Code is three to eight times as long as its module.
pub(crate) const CODE_BYTES_MAX: u64 = 1 << 30;

/// The kind of a module, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Kind {
    /// A core module: a WASI preview 1 command, or functions of the guest ABI.
    Core,
    /// A component of preview 2.
    Component,
}

/// Describes compiled code; sent together with its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CodeInfo {
    /// Hash of the module that it was compiled from.
    pub module: BlobId,
    /// Kind of the module.
    pub kind: Kind,
    /// The make of the engine that runs it.
    pub make: Make,
    /// Length of the code, in bytes.
    pub bytes: u64,
}

/// Compiled code of one module.
pub struct Code {
    info: CodeInfo,
    took: Duration,
    #[cfg(target_os = "linux")]
    file: File,
    #[cfg(not(target_os = "linux"))]
    held: Vec<u8>,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Code {
    /// The compiler that made it.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.info.make.tier
    }

    /// Kind of the module.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.info.kind
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        self.info.bytes
    }

    /// How long compiling it, or loading it from disk, took.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        self.took
    }

    /// Sets how long compiling or loading took.
    pub(crate) fn with_time(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// Its description, to be sent together with the file.
    #[must_use]
    pub fn info(&self) -> &CodeInfo {
        &self.info
    }
}

#[cfg(target_os = "linux")]
impl Code {
    /// Code that another process of this node sent, with its description. The file must be sealed: mapped code must not
    /// change.
    ///
    /// # Errors
    /// When the file is not sealed or its length differs from the description.
    pub fn from_file(info: CodeInfo, file: File) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(sealed()) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the code's file is not sealed"));
        }
        if file.metadata()?.len() != info.bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the code's file has another length"));
        }
        Ok(Self { info, took: Duration::ZERO, file })
    }

    /// The file, to map it or to send it to another process.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// A duplicate of the file's descriptor.
    ///
    /// # Errors
    /// When this process has too many open files.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Reads the code and passes it to `piece`, at most 1 MiB at a time.
    ///
    /// # Errors
    /// Errors of reading and of `piece`.
    pub(crate) fn each_piece(&self, mut piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut buffer = vec![0; PIECE_BYTES];
        let mut at = 0;
        while at < self.info.bytes {
            let read = self.file.read_at(&mut buffer, at)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            piece(bytes)?;
            at += read as u64;
        }
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Code {
    /// The code's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.held
    }

    /// Passes the code to `piece`, 1 MiB at a time.
    ///
    /// # Errors
    /// Errors of `piece`.
    pub(crate) fn each_piece(&self, piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.held.chunks(1 << 20).try_for_each(piece)
    }
}

/// Bytes read at once.
#[cfg(target_os = "linux")]
const PIECE_BYTES: usize = 1 << 20;

/// Code that is being written.
pub(crate) struct Draft {
    #[cfg(target_os = "linux")]
    file: File,
    #[cfg(not(target_os = "linux"))]
    held: Vec<u8>,
}

#[cfg(target_os = "linux")]
impl Draft {
    /// An empty one.
    ///
    /// # Errors
    /// When the system has no file or memory left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
        Ok(Self { file: File::from(rustix::fs::memfd_create("weft-code", flags)?) })
    }

    /// The file, for the compiler that writes to it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Seals the file: no process can write to it any more.
    ///
    /// # Errors
    /// When a process has it mapped for writing, or it is longer than [`CODE_BYTES_MAX`].
    pub(crate) fn seal(self, module: BlobId, kind: Kind, make: Make) -> io::Result<Code> {
        rustix::fs::fcntl_add_seals(&self.file, sealed())?;
        let bytes = self.file.metadata()?.len();
        if bytes > CODE_BYTES_MAX {
            return Err(too_long(bytes));
        }
        let info = CodeInfo { module, kind, make, bytes };
        Ok(Code { info, took: Duration::ZERO, file: self.file })
    }
}

#[cfg(target_os = "linux")]
fn sealed() -> rustix::fs::SealFlags {
    use rustix::fs::SealFlags;
    SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

#[cfg(not(target_os = "linux"))]
impl Draft {
    /// An empty one.
    ///
    /// # Errors
    /// None here.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { held: Vec::new() })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// When it gets longer than [`CODE_BYTES_MAX`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Turns it into code.
    ///
    /// # Errors
    /// When it is longer than [`CODE_BYTES_MAX`].
    pub(crate) fn seal(self, module: BlobId, kind: Kind, make: Make) -> io::Result<Code> {
        let bytes = self.held.len() as u64;
        if bytes > CODE_BYTES_MAX {
            return Err(too_long(bytes));
        }
        let info = CodeInfo { module, kind, make, bytes };
        Ok(Code { info, took: Duration::ZERO, held: self.held })
    }
}

fn too_long(bytes: u64) -> io::Error {
    io::Error::other(format!("the code has {bytes} bytes, the limit is {CODE_BYTES_MAX}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Seek;

    use super::*;
    use crate::make::{EngineKey, Interrupt};

    fn make() -> Make {
        Make { key: EngineKey::PLAIN, interrupt: Interrupt::Kill, tier: Tier::Optimised }
    }

    #[test]
    fn sealed_code_cannot_be_written_by_anybody() {
        let mut draft = Draft::new().unwrap();
        draft.write(b"code").unwrap();
        let mut writer = File::from(draft.fd().try_clone_to_owned().unwrap());
        let code = draft.seal(BlobId::of(b"m"), Kind::Core, make()).unwrap();
        writer.rewind().unwrap();
        writer.write_all(b"evil").unwrap_err();
        writer.set_len(2).unwrap_err();
        let mut read = Vec::new();
        code.each_piece(|bytes| {
            read.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        assert_eq!(read, b"code");
        let sent = Code::from_file(*code.info(), code.file().unwrap()).unwrap();
        assert_eq!(sent.bytes_len(), 4);
    }

    #[test]
    fn a_file_that_may_still_change_is_not_code() {
        let mut draft = Draft::new().unwrap();
        draft.write(b"code").unwrap();
        let open = File::from(draft.fd().try_clone_to_owned().unwrap());
        let info = CodeInfo { module: BlobId::of(b"m"), kind: Kind::Core, make: make(), bytes: 4 };
        Code::from_file(info, open).unwrap_err();
        let code = draft.seal(BlobId::of(b"m"), Kind::Core, make()).unwrap();
        Code::from_file(CodeInfo { bytes: 5, ..info }, code.file().unwrap()).unwrap_err();
    }
}
