//! Compiled code as an immutable file: made once, then mapped by every slot that runs it, so that all processes share
//! its pages. On Linux it is a sealed memory file, which nobody can write to any more, whoever holds it; elsewhere it
//! is plain bytes. It knows neither how it was compiled ([`crate::compile`]) nor how it is run ([`crate::module`]).

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

/// Longest code of one module, in bytes. Code is three to eight times as long as its module.
pub(crate) const CODE_BYTES_MAX: u64 = 1 << 30;

/// What the module is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Kind {
    /// A core module: a WASI preview 1 command, or functions of the guest ABI.
    Core,
    /// A component of preview 2.
    Component,
}

/// What a piece of code is; travels beside its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CodeInfo {
    /// The module that it was compiled from.
    pub module: BlobId,
    /// What the module is.
    pub kind: Kind,
    /// The engine that runs it.
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
    /// Which compiler made it.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.info.make.tier
    }

    /// What the module is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.info.kind
    }

    /// Length in bytes.
    #[must_use]
    pub fn bytes_len(&self) -> u64 {
        self.info.bytes
    }

    /// How long it took to compile it, or to load it from the disk.
    #[must_use]
    pub fn compile_time(&self) -> Duration {
        self.took
    }

    /// Notes how long it took.
    pub(crate) fn with_time(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// All that must travel beside the file.
    #[must_use]
    pub fn info(&self) -> &CodeInfo {
        &self.info
    }
}

#[cfg(target_os = "linux")]
impl Code {
    /// Code that another process of this node sent, with the words beside it. The file must be sealed: what was
    /// mapped can't change any more.
    ///
    /// # Errors
    /// When it is not sealed or has another length.
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

    /// The file, to be mapped or to be sent to another process.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The file, once more.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Copies it into a piece at a time.
    ///
    /// # Errors
    /// Those of reading, and those of `piece`.
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

    /// Hands it out in pieces.
    ///
    /// # Errors
    /// Those of `piece`.
    pub(crate) fn each_piece(&self, piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.held.chunks(1 << 20).try_for_each(piece)
    }
}

/// How much is copied at once.
#[cfg(target_os = "linux")]
const PIECE_BYTES: usize = 1 << 20;

/// Code that is still being written.
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
    /// When the system has no more files or memory.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
        Ok(Self { file: File::from(rustix::fs::memfd_create("weft-code", flags)?) })
    }

    /// The file, for a compiler that writes it.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Closes it for good, whoever else has it open.
    ///
    /// # Errors
    /// When somebody has it mapped for writing, or it is longer than [`CODE_BYTES_MAX`].
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

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When it gets longer than [`CODE_BYTES_MAX`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends it.
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
