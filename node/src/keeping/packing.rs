//! Results as one parcel: a tar archive with a file for each, and the tail that says where it is. Reads the store, and writes to a
//! spool file and to the store. Which results these are, `gather.rs` says.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};
use weft_blobs::Store;
use weft_core::task::INLINE_BYTES_MAX;
use weft_core::{JobId, Limits, Payload};

/// Most files and directories of one parcel: as many as any task may have.
pub(super) const FILES_MAX: usize = Limits::MAX.files as usize;
/// Most bytes of one parcel.
const BYTES_MAX: u64 = 2 << 30;
/// Longest path of a file, and longest name in it, in bytes: as a slot takes them.
const PATH_BYTES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 255;
/// Longest name of a job's directory, in bytes.
const DIR_BYTES_MAX: usize = 64;
/// Longest path in an error text, in characters.
const QUOTED_MAX: usize = 80;

/// Why results are no parcel.
#[derive(Debug)]
pub(super) enum Lack {
    /// They never will be; the text says why.
    Unfit(String),
    /// Something could not be read or written now.
    Io(io::Error),
}

impl From<io::Error> for Lack {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A job, and what its tasks put out and left, in order.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) job: JobId,
    /// What its directory would be called.
    pub(super) name: String,
    pub(super) results: Vec<Kept>,
}

/// What a task put out and left.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) output: Payload,
    pub(super) files: Payload,
}

/// That there are more results, or files, than one parcel can have.
pub(super) fn too_many() -> String {
    format!(
        "the results to gather are more than {FILES_MAX} files, as many as one input can have: gather them in parts"
    )
}

/// Makes a parcel of these results, as a payload that the store has.
pub(super) fn pack(store: &Store, spool: &Path, parents: &[Parent]) -> Result<Payload, Lack> {
    // Looked at first, so that nothing is written while there is no room.
    let least = parents.iter().flat_map(|parent| &parent.results);
    let least: u64 = least.map(|kept| kept.output.bytes_len().saturating_add(kept.files.bytes_len())).sum();
    if least > BYTES_MAX {
        return Err(too_long());
    }
    drop(store.reserve(least).map_err(not_stored)?);
    let mut file = tempfile::tempfile_in(spool)?;
    let bytes = write(store, &mut file, parents)?;
    file.rewind()?;
    if bytes <= INLINE_BYTES_MAX as u64 {
        let mut inline = Vec::new();
        file.read_to_end(&mut inline)?;
        return Ok(Payload::inline(&inline));
    }
    let (id, bytes) = store.put_reader_held(file, bytes).map_err(not_stored)?;
    Ok(Payload::Blob { id, bytes })
}

fn too_long() -> Lack {
    let most = BYTES_MAX >> 30;
    Lack::Unfit(format!(
        "the results to gather are longer than {most} GiB together, as long as one input can be: gather them in parts"
    ))
}

/// Room comes when other work ends, unless there is less than this takes in the whole store.
fn not_stored(error: weft_blobs::Error) -> Lack {
    if let weft_blobs::Error::Full { wanted, quota, .. } = error
        && wanted > quota
    {
        return Lack::Unfit(format!(
            "the results to gather have {wanted} bytes together, the store of this node can have {quota}: gather them in parts, or \
             start the node with a larger store (--store)"
        ));
    }
    Lack::Io(io::Error::other(error))
}

/// Writes the parcel; says how many bytes it has.
fn write(store: &Store, file: &mut File, parents: &[Parent]) -> Result<u64, Lack> {
    let bounded = Bounded { inner: BufWriter::new(file), count: 0, is_full: false };
    let mut packer = Packer { tar: Builder::new(bounded), store, files: 0 };
    for (parent, dir) in parents.iter().zip(dirs(parents)) {
        packer.add_parent(parent, &dir)?;
    }
    let mut out = packer.tar.into_inner()?;
    let files_bytes = out.count;
    out.write_all(&weft_exec::tail_of_files(files_bytes))?;
    out.flush()?;
    Ok(out.count)
}

/// The directory of each job, with a `/` at its end; nothing if there is one job.
fn dirs(parents: &[Parent]) -> Vec<String> {
    if parents.len() == 1 {
        return vec![String::new()];
    }
    let mut taken: BTreeSet<String> = parents.iter().map(|parent| parent.job.to_string()).collect();
    let mut dir = |parent: &Parent| {
        let name = &parent.name;
        let is_fit = is_name(name) && name.len() <= DIR_BYTES_MAX && !name.contains(char::is_control);
        let is_own = is_fit && !name.contains('/') && taken.insert(name.clone());
        if is_own { format!("{name}/") } else { format!("{}/", parent.job) }
    };
    parents.iter().map(&mut dir).collect()
}

/// A writer that takes as much as a parcel may have.
struct Bounded<W> {
    inner: W,
    count: u64,
    is_full: bool,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.count += taken as u64;
        self.is_full = self.count > BYTES_MAX;
        if self.is_full { Err(io::Error::other("it is too long")) } else { Ok(taken) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that counts.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.count += read as u64;
        Ok(read)
    }
}

/// A reader that notes that its own source failed, so that this is told from what it read being wrong.
struct Watched<'a, R> {
    inner: R,
    failed: &'a Cell<bool>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.inner.read(bytes).inspect_err(|_| self.failed.set(true))
    }
}

struct Packer<'a, W: Write> {
    tar: Builder<Bounded<W>>,
    store: &'a Store,
    files: usize,
}

impl<W: Write> Packer<'_, W> {
    fn add_parent(&mut self, parent: &Parent, dir: &str) -> Result<(), Lack> {
        if !dir.is_empty() {
            self.add(dir, EntryType::Directory, 0, io::empty())?;
        }
        for (index, kept) in parent.results.iter().enumerate() {
            let name = format!("{dir}{index:06}");
            let (bytes, output) = self.open(&kept.output)?;
            self.add(&name, EntryType::Regular, bytes, output)?;
            if kept.files.bytes_len() > 0 {
                let (_, files) = self.open(&kept.files)?;
                self.add_left(&format!("{name}.out/"), files)?;
            }
        }
        Ok(())
    }

    /// What a task left in `/out`, below that directory. Its worker packed it, and may have packed anything: of what `weft-exec`
    /// writes (`node/exec/src/vfs/export.rs`) everything is taken, and nothing else, so that no record of it is held in memory.
    fn add_left(&mut self, dir: &str, files: Box<dyn Read>) -> Result<(), Lack> {
        let failed = Cell::new(false);
        let blame = |error: io::Error| match failed.get() {
            true => Lack::Io(error),
            false => Lack::Unfit(format!("what a task left is no archive, for {dir}: {error}")),
        };
        self.add(dir, EntryType::Directory, 0, io::empty())?;
        let mut archive = Archive::new(Watched { inner: files, failed: &failed });
        let mut long = None;
        for entry in archive.entries().map_err(blame)?.raw(true) {
            let mut entry = entry.map_err(blame)?;
            let kind = entry.header().entry_type();
            if kind == EntryType::GNULongName && entry.size() <= PATH_BYTES_MAX as u64 {
                let mut name = Vec::new();
                entry.read_to_end(&mut name).map_err(blame)?;
                long = Some(name.strip_suffix(b"\0").unwrap_or(&name).to_vec());
                continue;
            }
            if !matches!(kind, EntryType::Regular | EntryType::Directory) {
                return Err(not_plain(dir));
            }
            let raw = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let name = String::from_utf8(raw).ok().filter(|name| is_path(name));
            let name = name.map(|name| format!("{dir}{name}")).ok_or_else(|| not_plain(dir))?;
            self.add(&name, kind, entry.size(), entry)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, kind: EntryType, bytes: u64, content: impl Read) -> Result<(), Lack> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(Lack::Unfit(too_many()));
        }
        if name.len() > PATH_BYTES_MAX {
            return Err(Lack::Unfit(format!(
                "the path {} .. is longer than {PATH_BYTES_MAX} bytes",
                quoted(name)
            )));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(bytes);
        header.set_mtime(0);
        let mut content = Counted { inner: content, count: 0 };
        let added = self.tar.append_data(&mut header, name, &mut content);
        if self.tar.get_ref().is_full {
            return Err(too_long());
        }
        added?;
        if content.count == bytes {
            return Ok(());
        }
        let (name, found) = (quoted(name), content.count);
        Err(Lack::Unfit(format!("{name} of the results to gather has {found} bytes, {bytes} were said")))
    }

    fn open(&self, payload: &Payload) -> Result<(u64, Box<dyn Read>), Lack> {
        match payload {
            Payload::Inline(bytes) => {
                let (length, bytes) = (bytes.len() as u64, io::Cursor::new(bytes.clone()));
                Ok((length, Box::new(bytes)))
            }
            Payload::Blob { id, bytes } => {
                let opened = self.store.open_read(*id).map_err(io::Error::other)?;
                let found = opened.filter(|(length, _)| length == bytes);
                let lacking = || {
                    Lack::Unfit(format!(
                        "blob {id}, one of the results to gather, is not in the store any more: put it back (`weft blob put FILE`), \
                         and try this job again (`weft retry`)"
                    ))
                };
                let (length, file) = found.ok_or_else(lacking)?;
                Ok((length, Box::new(file)))
            }
        }
    }
}

fn not_plain(dir: &str) -> Lack {
    let what = "is neither a file nor a directory with a plain path";
    Lack::Unfit(format!("something that a task left, for {dir}, {what}"))
}

/// Whether a path is one of plain names below its directory; that of a directory ends with a `/`.
fn is_path(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path).split('/').all(is_name)
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= NAME_BYTES_MAX && !name.contains('\0')
}

fn quoted(path: &str) -> String {
    path.chars().take(QUOTED_MAX).collect()
}
