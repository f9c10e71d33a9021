//! From what a task was given to one archive: small ones in memory, large ones in a file without a name, which goes
//! with the process however that ends.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use crate::archive::{Archive, bad};
use crate::error::Error;
use crate::input::{FilePart, Input};
use crate::task::Given;

/// An archive up to this length stays in memory.
const MEMORY_BYTES: usize = 4 << 20;

/// An archive, ready to be uploaded.
#[derive(Debug)]
pub(crate) enum Packed {
    Input(Input),
    Spooled(FilePart),
}

/// Packs what a task was given, on a thread that may block.
pub(crate) async fn pack(given: Vec<Given>) -> Result<Packed, Error> {
    by_thread(move || pack_here(given)).await
}

/// What work with files gives, on a thread that may block.
pub(crate) async fn by_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Broken { reason: format!("work with files did not end: {error}") })?
}

fn pack_here(given: Vec<Given>) -> Result<Packed, Error> {
    if let [Given::Archive(input)] = given.as_slice() {
        return Ok(Packed::Input(input.clone()));
    }
    let mut archive = Archive::default();
    add_all(&mut archive, given)?;
    let mut spool = Spool::default();
    archive.write_to(&mut spool)?;
    Ok(spool.packed())
}

/// Puts files into an archive.
pub(crate) fn add_all(archive: &mut Archive, given: Vec<Given>) -> Result<(), Error> {
    for item in given {
        match item {
            Given::Path(path, Some(name)) => archive.add_path(&name, &path)?,
            Given::Path(path, None) => archive.add_path(&own_name(&path)?, &path)?,
            Given::Bytes(name, bytes) => archive.add_bytes(&name, bytes)?,
            Given::Archive(_) => return Err(bad("/in", "a whole archive and other files as well")),
        }
    }
    Ok(())
}

/// The last name of a path; of `.` or `a/..`, that of the directory it means.
fn own_name(path: &Path) -> Result<String, Error> {
    let name = match path.file_name() {
        Some(name) => name.to_owned(),
        None => {
            let truly = std::fs::canonicalize(path);
            let truly = truly.map_err(|source| Error::File { path: path.to_owned(), source })?;
            truly
                .file_name()
                .map(ToOwned::to_owned)
                .ok_or_else(|| bad(path, "it has no name: give it one"))?
        }
    };
    name.into_string().map_err(|_name| bad(path, "its name is not UTF-8: give it another"))
}

/// Bytes that move into a file when they become many.
pub(crate) enum Spool {
    Memory(Vec<u8>),
    File(File, u64),
}

impl Default for Spool {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Spool {
    /// What was written, ready to be uploaded.
    pub(crate) fn packed(self) -> Packed {
        match self {
            Self::Memory(bytes) => Packed::Input(bytes.into()),
            Self::File(file, bytes) => {
                Packed::Spooled(FilePart::new(Arc::new(file), "the archive for /in", 0, bytes))
            }
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Self::Memory(held) = self
            && held.len() + bytes.len() > MEMORY_BYTES
        {
            let mut file = tempfile::tempfile()?;
            file.write_all(held)?;
            *self = Self::File(file, held.len() as u64);
        }
        match self {
            Self::Memory(held) => held.write(bytes),
            Self::File(file, length) => {
                let written = file.write(bytes)?;
                *length += written as u64;
                Ok(written)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(file, _) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_archive_passes_through_a_file_without_a_name() {
        let bytes = vec![7; MEMORY_BYTES];
        let Packed::Spooled(part) = pack_here(vec![Given::Bytes("a".into(), bytes.into())]).unwrap() else {
            panic!("it is too large for the memory");
        };
        let mut read = Vec::new();
        io::Read::read_to_end(&mut part.reader(), &mut read).unwrap();
        assert_eq!(read.len() as u64, part.bytes_len());
        let mut tar = tar::Archive::new(&read[..]);
        let entry = tar.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.size(), MEMORY_BYTES as u64);
    }

    #[test]
    fn a_directory_is_called_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        assert_eq!(own_name(&inner.join("../inner")).unwrap(), "inner");
        assert!(own_name(&inner.join("x/..").join("..")).is_err());
        assert_eq!(own_name(&inner.join(".")).unwrap(), "inner");
    }
}
