//! All results of several jobs as one input: what the jobs' logs say of them; `packing.rs` makes a parcel of it. It blocks, on a
//! thread that may. When it is asked for, the engine says.
//!
//! The files, in the order of the jobs and of their tasks: what task 7 put out is `000007`, and what it left in `/out` is in the
//! directory `000007.out`. With several jobs each has a directory of its own: its label `step`, or its name, or, where it has neither
//! or that of another one of them, its id. The same results make the same bytes on every node.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use weft_blobs::Store;
use weft_core::durable::{Ends, Fold, LogRecord};
use weft_core::{About, Gathered, JobId, Level, Outcome};

use super::packing::{self, FILES_MAX, Kept, Parent};
use super::shelf::{Shelf, Unreadable};

/// Most bytes of results that are in the logs themselves, which are held in memory meanwhile.
const CARRIED_BYTES_MAX: u64 = 256 << 20;

/// Why results are no input.
#[derive(Debug)]
enum Lack {
    /// As the engine is told.
    Told(Gathered),
    Log(Unreadable),
}

fn unfit(text: String) -> Lack {
    Lack::Told(Gathered::Unfit(text))
}

impl From<packing::Lack> for Lack {
    fn from(lack: packing::Lack) -> Self {
        match lack {
            packing::Lack::Unfit(text) => unfit(text),
            packing::Lack::Io(error) => {
                tracing::warn!(%error, "results could not be made into the input of a job now; it is tried again");
                Self::Told(Gathered::NotNow)
            }
        }
    }
}

/// Makes the input of these jobs' results, each with the last record of its log that counts.
pub(super) fn gather(
    shelf: &Shelf,
    store: &Store,
    spool: &Path,
    parents: &[(JobId, u32)],
) -> Result<Gathered, Unreadable> {
    let read = read_all(shelf, parents);
    match read.and_then(|parents| packing::pack(store, spool, &parents).map_err(Lack::from)) {
        Ok(input) => Ok(Gathered::Input(input)),
        Err(Lack::Told(gathered)) => Ok(gathered),
        Err(Lack::Log(error)) => Err(error),
    }
}

fn read_all(shelf: &Shelf, parents: &[(JobId, u32)]) -> Result<Vec<Parent>, Lack> {
    let mut room = Room { results: FILES_MAX, carried: CARRIED_BYTES_MAX };
    parents.iter().map(|(job, upto)| read(shelf, *job, *upto, &mut room)).collect()
}

/// How much more may be held in memory.
struct Room {
    results: usize,
    carried: u64,
}

impl Room {
    fn take(&mut self, kept: &Kept) -> Result<(), Lack> {
        self.results = self.results.checked_sub(1).ok_or_else(|| unfit(packing::too_many()))?;
        let carried = self.carried.checked_sub(kept.output.inline_len() + kept.files.inline_len());
        self.carried = carried.ok_or_else(|| {
            let most = CARRIED_BYTES_MAX >> 20;
            unfit(format!(
                "the results to gather that are shorter than 16 KiB each are longer than {most} MiB together: gather them in parts"
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
            self.name = name_of(&accepted.spec.about);
            self.is_at_mesh = accepted.spec.level == Level::Mesh;
        }
        if let Ends::Outcomes(all) = record.ends() {
            for end in all.iter().filter(|end| end.report.outcome == Outcome::Done) {
                let kept = Kept { output: end.report.output.clone(), files: end.report.files.clone() };
                room.take(&kept)?;
                self.results.insert(end.index, kept);
            }
        }
        self.fold.apply(record).map_err(|error| Lack::Log(Unreadable::new(job, error)))
    }
}

/// What the directory of a job would be called.
fn name_of(about: &About) -> String {
    let step = about.labels.iter().find(|(label, _)| label == "step");
    step.map_or_else(|| about.name.clone(), |(_, step)| step.clone())
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
