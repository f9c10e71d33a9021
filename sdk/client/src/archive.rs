//! What a task finds under `/in`, packed into one tar archive: the same files give the same bytes on every machine,
//! independent of their owner and their times. Packing only; what a task left is read by [`crate::Files`].

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::Error;
use crate::input::{FilePart, Input};

/// Most files and directories of one archive.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// Longest path below `/in`, in bytes.
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// Longest single name of a path, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Directories inside one another.
const DEPTH_MAX: usize = 64;

const MODE_PLAIN: u32 = 0o644;
const MODE_EXECUTABLE: u32 = 0o755;

/// Files on their way under `/in`, by their paths there.
///
/// ```
/// let mut archive = weft_client::Archive::default();
/// archive.add_bytes("words/first.txt", "hello")?;
/// let mut tar = Vec::new();
/// archive.write_to(&mut tar)?;
/// assert_eq!(tar.len() % 512, 0);
/// # Ok::<(), weft_client::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// Sorted, so that a directory comes before what is in it.
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory,
    Bytes(Bytes),
    File(PathBuf),
    Part(FilePart),
}

impl Archive {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts these bytes at `/in/NAME`; `name` may begin with `/in/` or not.
    ///
    /// # Errors
    /// [`Error::BadFile`] when the name is not a path below `/in`, or is taken.
    pub fn add_bytes(&mut self, name: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        self.add(&place(name)?, Entry::Bytes(bytes.into()))
    }

    /// Puts the bytes of an input at `/in/NAME`.
    pub(crate) fn add_input(&mut self, name: &str, input: &Input) -> Result<(), Error> {
        match input {
            Input::Bytes(bytes) => self.add_bytes(name, bytes.clone()),
            Input::File(path) => {
                let unreadable = |source| Error::File { path: path.clone(), source };
                let about = fs::metadata(path).map_err(unreadable)?;
                self.add_file(&place(name)?, path, &about)
            }
            Input::Part(part) => self.add(&place(name)?, Entry::Part(part.clone())),
            Input::Missing { reason } => Err(Error::NoInput { reason: reason.clone() }),
            Input::Blob { .. } | Input::Parcel(_) => {
                Err(bad(Path::new("/in").join(name), "a parcel takes bytes and files only"))
            }
        }
    }

    /// Puts a file, or a directory with everything in it, at `/in/NAME`; the name `/in` puts what is in a directory
    /// right there. Symbolic links inside a directory are followed where they stay in it. Files are read when the
    /// archive is written.
    ///
    /// # Errors
    /// [`Error::File`] when something can't be read, [`Error::BadFile`] when a link leads out of the directory, a name
    /// is taken, or something is neither file nor directory.
    pub fn add_path(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let unreadable = |source| Error::File { path: path.to_owned(), source };
        let about = fs::metadata(path).map_err(unreadable)?;
        if !about.is_dir() {
            return self.add_file(&place(name)?, path, &about);
        }
        let root = fs::canonicalize(path).map_err(unreadable)?;
        let name = if is_root(name) { String::new() } else { place(name)? };
        if !name.is_empty() {
            self.add(&name, Entry::Directory)?;
        }
        self.add_directory(&name, path, &root, &mut vec![root.clone()])
    }

    /// What is in a directory; `above` are the true paths from the root to here.
    fn add_directory(
        &mut self,
        name: &str,
        path: &Path,
        root: &Path,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), Error> {
        if above.len() > DEPTH_MAX {
            return Err(bad(path, format!("more than {DEPTH_MAX} directories inside one another")));
        }
        let unreadable = |source| Error::File { path: path.to_owned(), source };
        for child in fs::read_dir(path).map_err(unreadable)? {
            let path = child.map_err(unreadable)?.path();
            let unreadable = |source| Error::File { path: path.clone(), source };
            let last = path.file_name().and_then(|name| name.to_str());
            let last = last.ok_or_else(|| bad(&path, "its name is not UTF-8"))?;
            let name = place(&if name.is_empty() { last.to_owned() } else { format!("{name}/{last}") })?;
            let truly = fs::canonicalize(&path).map_err(unreadable)?;
            if !truly.starts_with(root) {
                return Err(bad(&path, format!("a link that leads out of {}", root.display())));
            }
            let about = fs::metadata(&truly).map_err(unreadable)?;
            if !about.is_dir() {
                self.add_file(&name, &truly, &about)?;
            } else if above.contains(&truly) {
                return Err(bad(&path, "a link to a directory that it is in"));
            } else {
                self.add(&name, Entry::Directory)?;
                above.push(truly.clone());
                self.add_directory(&name, &truly, root, above)?;
                above.pop();
            }
        }
        Ok(())
    }

    fn add_file(&mut self, name: &str, path: &Path, about: &Metadata) -> Result<(), Error> {
        if !about.is_file() {
            return Err(bad(path, "neither a file nor a directory"));
        }
        self.add(name, Entry::File(path.to_owned()))
    }

    fn add(&mut self, name: &str, entry: Entry) -> Result<(), Error> {
        for (end, _) in name.match_indices('/') {
            let parent = name.get(..end).unwrap_or_default();
            if !matches!(self.entries.get(parent), Some(Entry::Directory)) {
                self.insert(parent, Entry::Directory)?;
            }
        }
        self.insert(name, entry)
    }

    fn insert(&mut self, name: &str, entry: Entry) -> Result<(), Error> {
        match (self.entries.get(name), &entry) {
            (Some(Entry::Directory), Entry::Directory) => return Ok(()),
            (Some(_), Entry::Directory | Entry::Bytes(_) | Entry::File(_) | Entry::Part(_)) => {
                return Err(bad(Path::new("/in").join(name), "two inputs have this name"));
            }
            (None, Entry::Directory | Entry::Bytes(_) | Entry::File(_) | Entry::Part(_)) => {}
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(bad("/in", format!("more than {ENTRIES_MAX} files and directories")));
        }
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Writes the archive: sorted by name, without owners and times, modes 0644 and 0755. Blocks.
    ///
    /// # Errors
    /// [`Error::File`] when a file can't be read or has changed its length meanwhile, or the writer fails.
    pub fn write_to(&self, writer: impl Write) -> Result<(), Error> {
        self.write_noting(writer, None).map(drop)
    }

    /// The same; says where in the archive the bytes of the file `noted` begin, and how many they are.
    pub(crate) fn write_noting(
        &self,
        writer: impl Write,
        noted: Option<&str>,
    ) -> Result<Option<(u64, u64)>, Error> {
        let failed = |source| Error::File { path: PathBuf::from("the archive for /in"), source };
        let noted = noted.map(place).transpose()?;
        let mut place = None;
        let mut tar = tar::Builder::new(Counted { inner: writer, count: 0 });
        for (name, entry) in &self.entries {
            let length = append_entry(&mut tar, name, entry)?;
            if noted.as_ref() == Some(name) {
                // What fills the last block is behind the bytes.
                let padded = length.div_ceil(512) * 512;
                place = Some((tar.get_ref().count - padded, length));
            }
        }
        tar.into_inner().and_then(|mut writer| writer.flush()).map_err(failed)?;
        Ok(place)
    }
}

/// Appends an entry; says how many bytes it has.
fn append_entry(tar: &mut tar::Builder<impl Write>, name: &str, entry: &Entry) -> Result<u64, Error> {
    let failed = |source| Error::File { path: PathBuf::from("the archive for /in"), source };
    match entry {
        Entry::Directory => append(tar, name, tar::EntryType::Directory, MODE_EXECUTABLE, 0, io::empty())
            .map(|()| 0)
            .map_err(failed),
        Entry::Bytes(bytes) => {
            let length = bytes.len() as u64;
            append(tar, name, tar::EntryType::Regular, MODE_PLAIN, length, &bytes[..])
                .map(|()| length)
                .map_err(failed)
        }
        Entry::File(path) => {
            append_file(tar, name, path).map_err(|source| Error::File { path: path.clone(), source })
        }
        Entry::Part(part) => {
            let length = part.bytes_len();
            append(tar, name, tar::EntryType::Regular, MODE_PLAIN, length, part.reader())
                .map(|()| length)
                .map_err(|source| Error::File { path: part.name().to_owned(), source })
        }
    }
}

fn append_file(tar: &mut tar::Builder<impl Write>, name: &str, path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file any more"));
    }
    let mode = if about.permissions().mode() & 0o111 == 0 { MODE_PLAIN } else { MODE_EXECUTABLE };
    let length = about.len();
    let mut read = Counted { inner: file.take(length), count: 0 };
    append(tar, name, tar::EntryType::Regular, mode, length, &mut read)?;
    if read.count == length {
        Ok(length)
    } else {
        Err(io::Error::other("it became shorter while it was read"))
    }
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    kind: tar::EntryType,
    mode: u32,
    length: u64,
    bytes: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(length);
    tar.append_data(&mut header, name, bytes)
}

/// A reader that knows how much it gave, or a writer that knows how much it took.
pub(crate) struct Counted<T> {
    pub(crate) inner: T,
    pub(crate) count: u64,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.count += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn is_root(name: &str) -> bool {
    matches!(name, "/in" | "/in/")
}

/// The path below `/in` that a user named.
fn place(name: &str) -> Result<String, Error> {
    let below = name.strip_prefix("/in/").unwrap_or(name);
    match flaw(below) {
        None => Ok(below.to_owned()),
        Some(flaw) => Err(bad(Path::new("/in").join(below.trim_start_matches('/')), flaw)),
    }
}

/// What is wrong with a path that must stay below where it is put; the same rule for what goes in and what comes out.
pub(crate) fn flaw(path: &str) -> Option<String> {
    if path.len() > PATH_BYTES_MAX {
        return Some(format!("longer than {PATH_BYTES_MAX} bytes"));
    }
    path.split('/').find_map(|name| match name {
        "" => Some(String::from("an empty name in its path")),
        "." | ".." => Some(format!("`{name}` in its path")),
        _ if name.len() > NAME_BYTES_MAX => Some(format!("a name longer than {NAME_BYTES_MAX} bytes")),
        _ if name.contains('\0') => Some(String::from("a zero byte in its name")),
        _ => None,
    })
}

pub(crate) fn bad(path: impl Into<PathBuf>, reason: impl Into<String>) -> Error {
    Error::BadFile { path: path.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(archive: &Archive) -> Vec<u8> {
        let mut tar = Vec::new();
        archive.write_to(&mut tar).unwrap();
        tar
    }

    fn names(tar: &[u8]) -> Vec<String> {
        let mut tar = tar::Archive::new(tar);
        let entries =
            tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        entries.collect()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let orders = [["b/2", "a", "b/1"], ["b/1", "b/2", "a"]];
        let tars = dirs.each_ref().map(|dir| dir.path()).map(|dir| {
            fs::create_dir(dir.join("b")).unwrap();
            let order = if dir == dirs[0].path() { orders[0] } else { orders[1] };
            for name in order {
                fs::write(dir.join(name), name).unwrap();
            }
            fs::set_permissions(dir.join("b/2"), fs::Permissions::from_mode(0o700)).unwrap();
            let mut archive = Archive::default();
            archive.add_path("/in/data", dir).unwrap();
            tar_of(&archive)
        });
        assert!(tars[0] == tars[1]);
        assert_eq!(names(&tars[0]), ["data", "data/a", "data/b", "data/b/1", "data/b/2"]);
    }

    #[test]
    fn links_are_followed_within_the_directory_only() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("in/real"), "inside").unwrap();
        symlink("real", dir.path().join("in/link")).unwrap();
        let pack = || {
            let mut archive = Archive::default();
            archive.add_path("x", &dir.path().join("in")).map(|()| names(&tar_of(&archive)))
        };
        assert_eq!(pack().unwrap(), ["x", "x/link", "x/real"]);
        symlink("/etc/hostname", dir.path().join("in/out")).unwrap();
        assert!(pack().unwrap_err().to_string().contains("leads out of"));
        fs::remove_file(dir.path().join("in/out")).unwrap();
        symlink(".", dir.path().join("in/loop")).unwrap();
        assert!(pack().unwrap_err().to_string().contains("a directory that it is in"));
    }

    #[test]
    fn names_stay_below_in() {
        let mut archive = Archive::default();
        for name in
            ["", "/", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "/in/", "a\0b", &"x".repeat(256)]
        {
            assert!(archive.add_bytes(name, "").is_err(), "{name:?}");
        }
        archive.add_bytes("/in/a", "").unwrap();
        archive.add_bytes("b/c", "").unwrap();
        for taken in ["a", "a/b", "b", "b/c"] {
            let text = archive.add_bytes(taken, "").unwrap_err().to_string();
            assert!(text.contains("two inputs have this name"), "{text}");
        }
        assert_eq!(names(&tar_of(&archive)), ["a", "b", "b/c"]);
    }

    #[test]
    fn a_name_longer_than_a_tar_header_survives() {
        let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
        let mut archive = Archive::default();
        archive.add_bytes(&long, "deep").unwrap();
        assert_eq!(names(&tar_of(&archive))[1], long);
    }
}
