//! Unpacks the archive of files for `/in`: tar, in any common dialect, untrusted. File contents are not copied. An
//! entry that is not a plain file, directory or link inside of `/in` is refused with a text that names it.

use std::io::Cursor;

use bytes::Bytes;
use tar::{Archive, Entry, EntryType};
use weft_core::Limits;

use super::node::{Body, Inode};
use super::path::{NAME_BYTES_MAX, PATH_BYTES_MAX};
use super::tree::Vfs;

/// Most files, directories and links of an archive: as many as any task may have.
const ENTRIES_MAX: usize = Limits::MAX.files as usize;
/// Longest name in an error text, in characters.
const QUOTED_MAX: usize = 80;

type Reader<'a> = Cursor<&'a [u8]>;

impl Vfs {
    /// A file system with this archive (tar; may be empty) as `/in`, and empty `/out` and `/tmp`. Times are in
    /// nanoseconds since 1970, here and in all other methods.
    ///
    /// # Errors
    /// With a text for the task's author, when the archive is invalid.
    pub(crate) fn new(files: &Bytes, limits: &Limits, now_ns: u64) -> Result<Self, String> {
        let mut vfs = Self::empty(limits, now_ns);
        unpack(&mut vfs, files, now_ns)?;
        Ok(vfs)
    }
}

/// Adds the archive's files to `/in`. `now_ns` is the time of directories that it does not list.
pub(super) fn unpack(vfs: &mut Vfs, files: &Bytes, now_ns: u64) -> Result<(), String> {
    if files.is_empty() {
        return Ok(());
    }
    let mut archive = Archive::new(Cursor::new(&**files));
    let entries = archive.entries_with_seek().map_err(|error| no_tar(&error))?;
    let mut unpacker = Unpacker { vfs, files, now_ns, room: ENTRIES_MAX };
    for entry in entries {
        unpacker.take(&mut entry.map_err(|error| no_tar(&error))?)?;
    }
    Ok(())
}

fn no_tar(error: &std::io::Error) -> String {
    format!("the files for /in are not a valid tar archive: {error}")
}

struct Unpacker<'a> {
    vfs: &'a mut Vfs,
    files: &'a Bytes,
    now_ns: u64,
    /// Entries that may still be added.
    room: usize,
}

impl Unpacker<'_> {
    fn take(&mut self, entry: &mut Entry<'_, Reader<'_>>) -> Result<(), String> {
        let raw = entry.path_bytes().into_owned();
        let path = text(&raw)?;
        let (parents, name) = split(path).map_err(|what| refuse(path, what))?;
        let time_ns = entry.header().mtime().unwrap_or(0).saturating_mul(1_000_000_000);
        let kind = entry.header().entry_type();
        let dir = self.directories(&parents).map_err(|what| refuse(path, what))?;
        let Some(name) = name else {
            // The top directory itself, as `./`.
            return if kind == EntryType::Directory { Ok(()) } else { Err(refuse(path, "has no name")) };
        };
        self.spend().map_err(|what| refuse(path, what))?;
        self.add(entry, kind, dir, name, &parents, time_ns).map_err(|what| refuse(path, &what))
    }

    fn add(
        &mut self,
        entry: &Entry<'_, Reader<'_>>,
        kind: EntryType,
        dir: Inode,
        name: &str,
        parents: &[&str],
        time_ns: u64,
    ) -> Result<(), String> {
        let taken = || "is there twice".to_owned();
        if kind == EntryType::Directory {
            let body = Body::directory(dir);
            let listed = self.vfs.find(dir, name, false).is_ok_and(|inode| self.vfs.entries(inode).is_ok());
            return if listed { Ok(()) } else { self.put(dir, name, body, time_ns).ok_or_else(taken) };
        }
        if kind == EntryType::Regular || kind == EntryType::Continuous {
            let bytes = self.bytes(entry)?;
            return self.put(dir, name, Body::given(bytes), time_ns).ok_or_else(taken);
        }
        if kind != EntryType::Symlink && kind != EntryType::Link {
            return Err("is neither a file, nor a directory, nor a link".into());
        }
        let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
        let target = text(&target)?;
        if kind == EntryType::Symlink {
            check_symlink(parents, target)?;
            return self.put(dir, name, Body::Link(target.into()), time_ns).ok_or_else(taken);
        }
        let (_, named) = split(target)?;
        let file = named.and_then(|_| self.vfs.find(Vfs::IN, target, false).ok());
        let file = file.filter(|file| self.vfs.entries(*file).is_err());
        let file = file.ok_or("is a link to no file before it")?;
        if self.vfs.add_given_link(dir, name, file) { Ok(()) } else { Err(taken()) }
    }

    fn put(&mut self, dir: Inode, name: &str, body: Body, time_ns: u64) -> Option<()> {
        self.vfs.add_given(dir, name, body, time_ns).map(drop)
    }

    /// The entry's bytes, as a slice of the archive.
    fn bytes(&self, entry: &Entry<'_, Reader<'_>>) -> Result<Bytes, String> {
        let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
        let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
        let end = start.checked_add(size).filter(|end| *end <= self.files.len());
        let end = end.ok_or_else(|| format!("claims {size} bytes, more than the archive has"))?;
        Ok(self.files.slice(start..end))
    }

    /// The directory of these names, created if necessary.
    fn directories(&mut self, names: &[&str]) -> Result<Inode, &'static str> {
        let mut dir = Vfs::IN;
        for name in names {
            let entries =
                self.vfs.entries(dir).map_err(|_no_directory| "is below something that is no directory")?;
            dir = match entries.get(*name) {
                Some(inode) => *inode,
                None => {
                    self.spend()?;
                    let made = self.vfs.add_given(dir, name, Body::directory(dir), self.now_ns);
                    made.ok_or("is below something that is no directory")?
                }
            };
        }
        self.vfs.entries(dir).map_err(|_no_directory| "is below something that is no directory")?;
        Ok(dir)
    }

    fn spend(&mut self) -> Result<(), &'static str> {
        self.room = self.room.checked_sub(1).ok_or("is one more than a task may have")?;
        Ok(())
    }
}

/// The names of a path, the last one separately; `None` if the path ends in no name. `.` and double slashes are
/// skipped.
fn split(path: &str) -> Result<(Vec<&str>, Option<&str>), &'static str> {
    if path.starts_with('/') {
        return Err("has an absolute name");
    }
    if path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return Err("has a name that is too long, or has a zero in it");
    }
    let mut names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err("leads out by `..`");
    }
    if names.iter().any(|name| name.len() > NAME_BYTES_MAX) {
        return Err("has a name of more than 255 bytes");
    }
    let last = names.pop();
    Ok((names, last))
}

/// Checks that a symbolic link stays inside of `/in`, by its names only.
fn check_symlink(parents: &[&str], target: &str) -> Result<(), String> {
    if target.is_empty() || target.len() > PATH_BYTES_MAX || target.contains('\0') {
        return Err("is a link with an impossible target".into());
    }
    if target.starts_with('/') {
        return Err("is a link to an absolute path".into());
    }
    let mut depth = parents.len();
    for name in target.split('/') {
        depth = match name {
            "" | "." => depth,
            ".." => depth.checked_sub(1).ok_or("is a link that leads out")?,
            _ => depth + 1,
        };
    }
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes)
        .map_err(|_not_text| refuse(&String::from_utf8_lossy(bytes), "has a name that is not UTF-8"))
}

fn refuse(path: &str, what: &str) -> String {
    let path: String = path.chars().take(QUOTED_MAX).collect();
    format!("the archive of files for /in: `{}` {what}", path.escape_debug())
}
