//! All results of several jobs as one input: a parcel with a file for each. Reads the jobs' logs and the store, and writes to a
//! spool file and to the store; it blocks, on a thread that may. When it is asked for, the engine says.
//!
//! The files, in the order of the jobs and of their tasks: what task 7 put out is `000007`, and what it left in `/out` is in the
//! directory `000007.out`. With several jobs each has a directory of its own: its label `step`, or its name, or, where it has neither
//! or that of another one of them, its id. The same results make the same bytes on every node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::ops::ControlFlow;
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};
use weft_blobs::Store;
use weft_core::durable::{Ends, Fold, LogRecord};
use weft_core::{About, Gathered, JobId, Level, Limits, Outcome, Payload};

use super::shelf::{Shelf, Unreadable};

/// Most files and directories of one input: as many as any task may have.
const FILES_MAX: usize = Limits::MAX.files as usize;
/// Most bytes of one input.
const BYTES_MAX: u64 = 2 << 30;
/// Most bytes of results that are in the logs themselves, which are held in memory meanwhile.
const CARRIED_BYTES_MAX: u64 = 256 << 20;
/// Longest name of a directory, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Why results are no input.
#[derive(Debug)]
enum Lack {
    /// As the engine is told.
    Told(Gathered),
    Log(Unreadable),
    Io(io::Error),
}

impl From<io::Error> for Lack {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Unfit>() {
            Ok(Unfit(text)) => Self::Told(Gathered::Unfit(text)),
            Err(error) => Self::Io(error),
        }
    }
}

/// They can't be one input, for good.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unfit(String);

fn unfit(text: String) -> Lack {
    Lack::Told(Gathered::Unfit(text))
}

/// What a log says.
struct Parent {
    job: JobId,
    name: String,
    results: Vec<Kept>,
}

/// What a task put out and left.
#[derive(Clone, Debug)]
struct Kept {
    output: Payload,
    files: Payload,
}

/// Makes the input of these jobs' results, each with the last record of its log that counts.
pub(super) fn gather(
    shelf: &Shelf,
    store: &Store,
    spool: &Path,
    parents: &[(JobId, u32)],
) -> Result<Gathered, Unreadable> {
    let made = read_all(shelf, parents).and_then(|parents| pack(store, spool, &parents));
    match made {
        Ok(input) => Ok(Gathered::Input(input)),
        Err(Lack::Told(gathered)) => Ok(gathered),
        Err(Lack::Log(error)) => Err(error),
        Err(Lack::Io(error)) => {
            tracing::warn!(%error, "the results of a job could not be made into an input now; it is tried again");
            Ok(Gathered::NotNow)
        }
    }
}

// ---- what the logs say

fn read_all(shelf: &Shelf, parents: &[(JobId, u32)]) -> Result<Vec<Parent>, Lack> {
    let mut room = Room { files: FILES_MAX, carried: CARRIED_BYTES_MAX };
    parents.iter().map(|(job, upto)| read(shelf, *job, *upto, &mut room)).collect()
}

/// How much more an input may have.
struct Room {
    files: usize,
    carried: u64,
}

impl Room {
    fn take_files(&mut self, count: usize) -> Result<(), Lack> {
        let left = self.files.checked_sub(count);
        self.files = left.ok_or_else(|| {
            unfit(format!(
                "the results to gather are more than {FILES_MAX}, as many as one input can have: gather them in parts"
            ))
        })?;
        Ok(())
    }

    fn take_carried(&mut self, kept: &Kept) -> Result<(), Lack> {
        let left = self.carried.checked_sub(kept.output.inline_len() + kept.files.inline_len());
        self.carried = left.ok_or_else(|| {
            unfit(format!(
                "the results to gather that are shorter than 16 KiB each are longer than {} MiB together: gather them in parts",
                CARRIED_BYTES_MAX >> 20
            ))
        })?;
        Ok(())
    }
}

/// A log while it is read.
#[derive(Default)]
struct Reading {
    fold: Fold,
    name: String,
    is_at_mesh: bool,
    results: BTreeMap<u32, Kept>,
}

impl Reading {
    fn apply(&mut self, job: JobId, record: LogRecord, room: &mut Room) -> Result<(), Lack> {
        if let LogRecord::Accepted(accepted) = &record {
            self.name = dir_of(&accepted.spec.about);
            self.is_at_mesh = accepted.spec.level == Level::Mesh;
        }
        if let Ends::Outcomes(all) = record.ends() {
            for end in all.iter().filter(|end| end.report.outcome == Outcome::Done) {
                let kept = Kept { output: end.report.output.clone(), files: end.report.files.clone() };
                room.take_carried(&kept)?;
                room.take_files(1)?;
                self.results.insert(end.index, kept);
            }
        }
        self.fold.apply(record).map_err(|error| Lack::Log(Unreadable::new(job, error)))
    }
}

/// All results of a job, if its log says that it has ended with every task done.
fn read(shelf: &Shelf, job: JobId, upto: u32, room: &mut Room) -> Result<Parent, Lack> {
    let mut reading = Reading::default();
    let mut lack = None;
    let walked = shelf.walk(job, 0, |seq, record| {
        if seq > upto {
            return ControlFlow::Break(());
        }
        lack = reading.apply(job, record, room).err();
        if lack.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    walked.map_err(Lack::Log)?;
    lack.map_or(Ok(()), Err)?;
    let Reading { fold, name, is_at_mesh, results } = reading;
    // A log that says nothing, or only a part, is no job; and of one at level mesh nothing is known to be committed.
    let is_counted = !is_at_mesh || upto != u32::MAX;
    let restored = fold.into_restored().ok().filter(|job| is_counted && job.has_ended());
    let restored = restored.ok_or(Lack::Told(Gathered::Missing(job)))?;
    let tasks = usize::try_from(restored.figures().tasks).unwrap_or(usize::MAX);
    if results.len() < tasks || restored.is_cancelled() {
        return Err(Lack::Told(Gathered::NotDone(job)));
    }
    Ok(Parent { job, name, results: results.into_values().collect() })
}

// ---- what becomes of them

fn pack(store: &Store, spool: &Path, parents: &[Parent]) -> Result<Payload, Lack> {
    let mut file = tempfile::tempfile_in(spool)?;
    let bytes = write(store, &mut file, parents)?;
    file.rewind()?;
    if bytes <= weft_core::task::INLINE_BYTES_MAX as u64 {
        let mut inline = Vec::new();
        file.read_to_end(&mut inline)?;
        return Ok(Payload::inline(&inline));
    }
    let (id, bytes) = store.put_reader_held(file, bytes).map_err(not_stored)?;
    Ok(Payload::Blob { id, bytes })
}

/// Room comes when other work ends, unless there is less than this takes in the whole store.
fn not_stored(error: weft_blobs::Error) -> Lack {
    if let weft_blobs::Error::Full { wanted, quota, .. } = error
        && wanted > quota
    {
        return unfit(format!(
            "the results to gather have {wanted} bytes together, the store of this node can have {quota}: gather them in parts, or \
             start the node with a larger store (--store)"
        ));
    }
    Lack::Io(io::Error::other(error))
}

/// Writes the parcel; says how many bytes it has.
fn write(store: &Store, file: &mut File, parents: &[Parent]) -> Result<u64, Lack> {
    let bounded = Bounded { inner: BufWriter::new(file), count: 0 };
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

/// What the directory of a job would be called.
fn dir_of(about: &About) -> String {
    let step = about.labels.iter().find(|(label, _)| label == "step");
    step.map_or_else(|| about.name.clone(), |(_, step)| step.clone())
}

/// The directory of each job, with a `/` at its end; nothing if there is one job.
fn dirs(parents: &[Parent]) -> Vec<String> {
    if parents.len() == 1 {
        return vec![String::new()];
    }
    let mut taken: BTreeSet<String> = parents.iter().map(|parent| parent.job.to_string()).collect();
    let name = |parent: &Parent| {
        let is_plain = is_below(&parent.name) && !parent.name.contains(|c: char| c == '/' || c.is_control());
        let is_name = is_plain && parent.name.len() <= NAME_BYTES_MAX;
        if is_name { parent.name.clone() } else { parent.job.to_string() }
    };
    let unique = |parent| {
        let name = name(parent);
        if taken.insert(name.clone()) { name } else { parent.job.to_string() }
    };
    parents.iter().map(unique).map(|name| format!("{name}/")).collect()
}

/// A writer that takes as much as an input may have.
struct Bounded<W> {
    inner: W,
    count: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.inner.write(bytes)?;
        self.count += taken as u64;
        if self.count > BYTES_MAX {
            return Err(io::Error::other(Unfit(format!(
                "the results to gather are longer than {} GiB together, as long as one input can be: gather them in parts",
                BYTES_MAX >> 30
            ))));
        }
        Ok(taken)
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

    /// What a task left in `/out`, below that directory. Its worker packed it, and may have packed anything.
    fn add_left(&mut self, dir: &str, files: Box<dyn Read>) -> Result<(), Lack> {
        let broken =
            |error: io::Error| unfit(format!("the archive of files that a task left, for {dir}: {error}"));
        self.add(dir, EntryType::Directory, 0, io::empty())?;
        let mut archive = Archive::new(files);
        for entry in archive.entries().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let path = String::from_utf8(entry.path_bytes().into_owned()).ok().filter(|path| is_below(path));
            let kind = entry.header().entry_type();
            let (Some(path), EntryType::Regular | EntryType::Directory) = (path, kind) else {
                let what = "is neither a file nor a directory with a plain path";
                return Err(unfit(format!("a file that a task left, for {dir}, {what}")));
            };
            let name = format!("{dir}{path}");
            self.add(&name, kind, entry.size(), entry)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, kind: EntryType, bytes: u64, content: impl Read) -> Result<(), Lack> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(unfit(format!(
                "the files to gather are more than {FILES_MAX}, as many as one input can have: gather them in parts"
            )));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(bytes);
        header.set_mtime(0);
        let mut content = Counted { inner: content, count: 0 };
        self.tar.append_data(&mut header, name, &mut content)?;
        if content.count == bytes {
            Ok(())
        } else {
            Err(unfit(format!(
                "{name} of the results to gather has {} bytes, {bytes} were said",
                content.count
            )))
        }
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
                    unfit(format!(
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

/// Whether a path is one of plain names below its directory.
fn is_below(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').all(|name| !name.is_empty() && name != "." && name != "..")
}
