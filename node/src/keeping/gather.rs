//! All results of several jobs as one input: a parcel with a file for each. Reads the jobs' logs and the store, and writes to a
//! spool file and to the store; it blocks, on a thread that may. When it is asked for, the engine says.
//!
//! The files, in the order of the jobs and of their tasks: what task 7 put out is `000007`, and what it left in `/out` is in the
//! directory `000007.out`. With several jobs each has a directory of its own: its label `step`, or its name, or, where it has neither
//! or that of another one of them, its id. The same results make the same bytes on every node.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::ops::ControlFlow;
use std::path::Path;

use tar::{Archive, Builder, EntryType, Header};
use weft_blobs::Store;
use weft_core::durable::{Ends, Fold, LogRecord};
use weft_core::{About, Gathered, JobId, Level, Outcome, Payload};

use super::shelf::{Shelf, Unreadable};

/// Most files and directories of one input: as many as any task may have.
const FILES_MAX: usize = 100_000;
/// Most bytes of one input, as of one that a client brings.
const BYTES_MAX: u64 = 2 << 30;
/// Most bytes of results that are in the logs themselves, which are held in memory meanwhile.
const CARRIED_BYTES_MAX: u64 = 256 << 20;
/// Longest name of a directory, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Ends a parcel (`node/exec/src/parcel.rs`).
const PARCEL_MARK: [u8; 8] = *b"weftprc1";

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
    let (mut files, mut carried) = (0, 0);
    let mut all = Vec::new();
    for (job, upto) in parents {
        let parent = read(shelf, *job, *upto)?;
        files += parent.results.len();
        if files > FILES_MAX {
            return Err(unfit(format!(
                "the results to gather are more than {FILES_MAX}, as many as one input can have: gather them in parts"
            )));
        }
        let inline = |kept: &Kept| kept.output.inline_len() + kept.files.inline_len();
        carried += parent.results.iter().map(inline).sum::<u64>();
        if carried > CARRIED_BYTES_MAX {
            return Err(unfit(format!(
                "the results to gather that are shorter than 16 KiB each are longer than {} MiB together: gather them in parts",
                CARRIED_BYTES_MAX >> 20
            )));
        }
        all.push(parent);
    }
    Ok(all)
}

/// All results of a job, if its log says that it has ended with every task done.
fn read(shelf: &Shelf, job: JobId, upto: u32) -> Result<Parent, Lack> {
    let mut fold = Fold::new();
    let (mut name, mut results) = (String::new(), Vec::new());
    let mut unsound = None;
    let mut is_counted = true;
    shelf
        .walk(job, 0, |seq, record| {
            if seq > upto {
                return ControlFlow::Break(());
            }
            if let LogRecord::Accepted(accepted) = &record {
                name = dir_of(&accepted.spec.about);
                // Of such a log nothing is known to be committed.
                is_counted = accepted.spec.level != Level::Mesh || upto != u32::MAX;
            }
            note(&mut results, &record);
            match fold.apply(record) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    unsound = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
        .map_err(Lack::Log)?;
    if let Some(error) = unsound {
        return Err(Lack::Log(Unreadable::new(job, error)));
    }
    // A log that says nothing, or only a part, is no job.
    let Some(restored) = fold.into_restored().ok().filter(|_| is_counted) else {
        return Err(Lack::Told(Gathered::Missing(job)));
    };
    let figures = restored.figures();
    let is_done = figures.done == figures.tasks && !restored.is_cancelled();
    match (restored.has_ended(), is_done) {
        (false, _) => Err(Lack::Told(Gathered::Missing(job))),
        (true, false) => Err(Lack::Told(Gathered::NotDone(job))),
        (true, true) => {
            let count = usize::try_from(figures.tasks).unwrap_or(usize::MAX);
            let results: Option<Vec<Kept>> = results.into_iter().take(count).collect();
            let results = results.filter(|all| all.len() == count);
            Ok(Parent { job, name, results: results.ok_or(Lack::Told(Gathered::NotDone(job)))? })
        }
    }
}

/// Notes the results that a record tells, by their places.
fn note(results: &mut Vec<Option<Kept>>, record: &LogRecord) {
    let Ends::Outcomes(all) = record.ends() else { return };
    for end in all.iter().filter(|end| end.report.outcome == Outcome::Done) {
        let Ok(place) = usize::try_from(end.index) else { continue };
        // The fold refuses what has no place in the job.
        if place >= results.len() && place <= FILES_MAX {
            results.resize(place + 1, None);
        }
        if let Some(kept) = results.get_mut(place) {
            *kept = Some(Kept { output: end.report.output.clone(), files: end.report.files.clone() });
        }
    }
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
    let (id, bytes) = store.put_reader_held(file, bytes).map_err(io::Error::other)?;
    Ok(Payload::Blob { id, bytes })
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
    // Stdin and arguments are empty.
    for number in [0, 0, 0, files_bytes, 0] {
        out.write_all(&u64::to_le_bytes(number))?;
    }
    out.write_all(&PARCEL_MARK)?;
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
    let mut taken = BTreeSet::new();
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
        self.add(dir, EntryType::Directory, 0, io::empty())?;
        let mut archive = Archive::new(files);
        for entry in archive.entries()? {
            let entry = entry?;
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
        Ok(self.tar.append_data(&mut header, name, content)?)
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
