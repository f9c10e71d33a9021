//! What a task left in `/out`: a tar archive that an untrusted machine made. Nothing in it is trusted: only plain
//! files and directories below the directory that the user names are ever made of it.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::archive::{ENTRIES_MAX, bad, flaw};
use crate::error::Error;
use crate::mesh::Mesh;
use crate::result::Output;

/// Longest archive that is unpacked, in bytes: what a task may leave at most, and its headers.
const ARCHIVE_BYTES_MAX: u64 = 2 << 30;

/// What to do about a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Stop with an error.
    Refuse,
    /// Put the new one in its place. A directory is never replaced by a file.
    Replace,
}

/// The files that a task left in `/out`, in memory.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<OutFile>,
}

/// One file that a task left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutFile {
    /// Its path below `/out`: relative, without `..`.
    pub path: String,
    /// What is in it.
    pub bytes: Bytes,
    /// Whether the task marked it as a program.
    pub executable: bool,
}

impl Files {
    /// Reads an archive; `Bytes` are shared, not copied.
    ///
    /// # Errors
    /// [`Error::BadFile`] when it holds anything but files and directories below `/out`, or is not an archive.
    pub fn parse(archive: &Bytes) -> Result<Self, Error> {
        let mut files = Vec::new();
        walk(io::Cursor::new(archive), |head, entry| {
            if let Kind::File { executable } = head.kind {
                let start = usize::try_from(entry.raw_file_position()).ok();
                let end = start
                    .zip(usize::try_from(entry.size()).ok())
                    .and_then(|(start, len)| start.checked_add(len));
                let range = start.zip(end).filter(|(start, end)| start <= end && *end <= archive.len());
                let (start, end) = range.ok_or_else(|| bad(&head.path, "it ends before its length"))?;
                files.push(OutFile { path: head.path, bytes: archive.slice(start..end), executable });
            }
            Ok(())
        })?;
        Ok(Self { files })
    }

    /// The files, sorted by path as the task's machine left them.
    pub fn iter(&self) -> std::slice::Iter<'_, OutFile> {
        self.files.iter()
    }

    /// The bytes of one file, by its path below `/out`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Bytes> {
        self.files.iter().find(|file| file.path == path).map(|file| &file.bytes)
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl<'a> IntoIterator for &'a Files {
    type Item = &'a OutFile;
    type IntoIter = std::slice::Iter<'a, OutFile>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Makes files of an archive below `dir`, which is made when it is missing; says how many.
pub(crate) async fn unpack(
    mesh: &Mesh,
    archive: &Output,
    dir: &Path,
    existing: Existing,
) -> Result<usize, Error> {
    if archive.bytes_len() > ARCHIVE_BYTES_MAX {
        return Err(bad(dir, format!("the archive of /out is longer than {} MiB", ARCHIVE_BYTES_MAX >> 20)));
    }
    let dir = dir.to_owned();
    let unpacked = match archive {
        Output::Inline(bytes) => {
            let bytes = bytes.clone();
            tokio::task::spawn_blocking(move || unpack_from(&bytes[..], &dir, existing)).await
        }
        Output::Blob { id, .. } => {
            let spool = |source| Error::File { path: std::env::temp_dir(), source };
            let mut file = tokio::fs::File::from_std(tempfile::tempfile().map_err(spool)?);
            let copied = mesh.get_blob_to(id, &mut file).await;
            copied.map_err(
                |error| if let Error::Unwritten { source } = error { spool(source) } else { error },
            )?;
            let mut file = file.into_std().await;
            file.rewind().map_err(spool)?;
            tokio::task::spawn_blocking(move || unpack_from(io::BufReader::new(file), &dir, existing)).await
        }
    };
    unpacked.map_err(|error| Error::Broken { reason: format!("unpacking did not end: {error}") })?
}

/// [`unpack`] of bytes that are here. Blocks.
fn unpack_from(archive: impl Read, dir: &Path, existing: Existing) -> Result<usize, Error> {
    fs::create_dir_all(dir).map_err(|source| Error::File { path: dir.to_owned(), source })?;
    let mut count = 0;
    walk(archive, |head, entry| {
        let path = dir.join(&head.path);
        match head.kind {
            Kind::Directory => make_directories(dir, Path::new(&head.path)),
            Kind::File { executable } => {
                count += 1;
                make_directories(dir, Path::new(&head.path).parent().unwrap_or(Path::new("")))?;
                let length = entry.size();
                let made =
                    make_file(&path, executable, existing).and_then(|mut file| io::copy(entry, &mut file));
                let whole = made.and_then(|copied| match copied == length {
                    true => Ok(()),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                });
                whole.map_err(|source| Error::File { path, source })
            }
        }
    })?;
    Ok(count)
}

/// Makes the directories of `below` in `dir`. What is there must be a directory: a link could lead anywhere.
fn make_directories(dir: &Path, below: &Path) -> Result<(), Error> {
    let mut path = dir.to_owned();
    for name in below {
        path.push(name);
        let failed = |source| Error::File { path: path.clone(), source };
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_dir() => {}
            Ok(_other) => return Err(bad(&path, "it exists and is not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o755).create(&path).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(())
}

fn make_file(path: &Path, executable: bool, existing: Existing) -> io::Result<File> {
    if existing == Existing::Replace && fs::symlink_metadata(path).is_ok_and(|about| !about.is_dir()) {
        fs::remove_file(path)?;
    }
    let mode = if executable { 0o755 } else { 0o644 };
    // Never through a link: what is there is an error.
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// An entry that may be made.
struct Head {
    path: String,
    kind: Kind,
}

enum Kind {
    Directory,
    File { executable: bool },
}

/// Goes through an archive, entry by entry; the first that must not be ends it.
fn walk<R: Read>(
    reader: R,
    mut each: impl FnMut(Head, &mut tar::Entry<'_, R>) -> Result<(), Error>,
) -> Result<(), Error> {
    let broken = |error: io::Error| bad("/out", format!("its archive is damaged: {error}"));
    let mut tar = tar::Archive::new(reader);
    let mut seen = BTreeSet::new();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let head = head_of(&entry)?;
        if seen.len() >= ENTRIES_MAX {
            return Err(bad("/out", format!("more than {ENTRIES_MAX} files and directories")));
        }
        if !seen.insert(head.path.clone()) {
            return Err(bad(shown(&head.path), "it is in the archive twice"));
        }
        each(head, &mut entry)?;
    }
    Ok(())
}

fn head_of<R: Read>(entry: &tar::Entry<'_, R>) -> Result<Head, Error> {
    let raw = entry.path_bytes();
    let path = std::str::from_utf8(&raw).ok().map(|path| path.strip_suffix('/').unwrap_or(path).to_owned());
    let path = path.ok_or_else(|| bad("/out", "a name that is not UTF-8"))?;
    if let Some(flaw) = flaw(&path) {
        return Err(bad(shown(&path), flaw));
    }
    let kind = entry.header().entry_type();
    if kind.is_dir() {
        return Ok(Head { path, kind: Kind::Directory });
    }
    if !kind.is_file() {
        return Err(bad(shown(&path), "neither a file nor a directory"));
    }
    let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
    Ok(Head { path, kind: Kind::File { executable } })
}

fn shown(path: &str) -> PathBuf {
    PathBuf::from(format!("/out/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::EntryType;

    /// An archive as no honest worker makes it: the name goes in unchecked.
    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Bytes {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            let field = &mut header.as_gnu_mut().unwrap().name;
            field.iter_mut().zip(name.as_bytes()).for_each(|(place, byte)| *place = *byte);
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            if *kind == EntryType::Symlink {
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            tar.append(&header, *bytes).unwrap();
        }
        tar.into_inner().unwrap().into()
    }

    #[test]
    fn files_come_back() {
        let bytes = archive(&[
            ("a", EntryType::Regular, b"one"),
            ("d/", EntryType::Directory, b""),
            ("d/b", EntryType::Regular, b""),
        ]);
        let files = Files::parse(&bytes).unwrap();
        let seen: Vec<(&str, &[u8])> =
            files.iter().map(|file| (file.path.as_str(), &file.bytes[..])).collect();
        assert_eq!(seen, [("a", &b"one"[..]), ("d/b", b"")]);
        assert_eq!(files.get("a").unwrap(), "one");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(unpack_from(&bytes[..], dir.path(), Existing::Refuse).unwrap(), 2);
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"one");
        assert!(dir.path().join("d/b").is_file());
    }

    #[test]
    fn a_hostile_archive_makes_nothing_outside() {
        type Entries = &'static [(&'static str, EntryType, &'static [u8])];
        const FILE: EntryType = EntryType::Regular;
        let cases: [(&str, Entries); 8] = [
            ("an empty name", &[("/etc/x", FILE, b"")]),
            ("`..`", &[("../x", FILE, b"")]),
            ("`..`", &[("a/../../x", FILE, b"")]),
            ("neither", &[("link", EntryType::Symlink, b"")]),
            ("neither", &[("link", EntryType::Link, b"")]),
            ("neither", &[("device", EntryType::Char, b"")]),
            ("neither", &[("pipe", EntryType::Fifo, b"")]),
            ("twice", &[("a", FILE, b"1"), ("a", FILE, b"2")]),
        ];
        for (word, entries) in cases {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join("out");
            let error = unpack_from(&archive(entries)[..], &dir, Existing::Replace).unwrap_err();
            assert!(error.to_string().contains(word), "{entries:?}: {error}");
            assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "{entries:?}");
            assert!(Files::parse(&archive(entries)).is_err());
        }
    }

    #[test]
    fn what_is_there_is_kept_unless_told_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = archive(&[("d/a", EntryType::Regular, b"new")]);
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a"), "old").unwrap();
        assert!(unpack_from(&bytes[..], dir.path(), Existing::Refuse).is_err());
        assert_eq!(fs::read(dir.path().join("d/a")).unwrap(), b"old");
        unpack_from(&bytes[..], dir.path(), Existing::Replace).unwrap();
        assert_eq!(fs::read(dir.path().join("d/a")).unwrap(), b"new");
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(other.path(), dir.path().join("d")).unwrap();
        let bytes = archive(&[("d/a", EntryType::Regular, b"x")]);
        let error = unpack_from(&bytes[..], dir.path(), Existing::Replace).unwrap_err();
        assert!(error.to_string().contains("is not a directory"), "{error}");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_cut_archive_is_an_error() {
        let bytes = archive(&[("a", EntryType::Regular, &[7; 2000])]);
        for length in [1, 511, 513, 1000, 2400] {
            assert!(Files::parse(&bytes.slice(..length)).is_err(), "{length}");
            let dir = tempfile::tempdir().unwrap();
            assert!(unpack_from(&bytes[..length], dir.path(), Existing::Refuse).is_err(), "{length}");
        }
    }
}
