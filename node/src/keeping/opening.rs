//! The journal at a node's start: opened, read back job by job, and made into what the engine is told first and what the
//! job table shows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;
use weft_blobs::Store;
use weft_core::durable::Restored;
use weft_core::{BlobId, JobId, Join, Left, PeerId, Remains, Remembered, Retained, Time};
use weft_journal::{Error, Journal, Listing, Reader, Settings};

use super::back::{Back, Found, Unusable};
use super::keeper::Keeper;
use super::news::News;
use super::orders::Order;
use super::shelf::{READERS_MAX, READERS_MORE, Shelf};
use super::worker::Parts;
use super::{Kept, disk, shown};
use crate::jobs::{JobTable, RestoredJob};

/// Where the journal is, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// This node.
    pub(crate) me: PeerId,
    /// The file outside of it that says how often it was opened, if there is one.
    pub(crate) mark: Option<PathBuf>,
    /// Bytes of the disk that are set aside.
    pub(crate) reserve_bytes: u64,
}

/// An open journal, and what it brought back.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What keeps from now on.
    pub(crate) keeper: Keeper,
    /// For the engine, in the order in which they were accepted.
    pub(crate) restored: Vec<Restored>,
    /// Known results for the engine, before the jobs.
    pub(crate) remembered: Vec<Remembered>,
    /// Outcomes of this node's worker that were not acknowledged, for the engine, before the jobs.
    pub(crate) retained: Vec<Retained>,
    /// The same of jobs that other nodes keep, too, each with the greatest epoch that this node promised.
    pub(crate) mesh: Vec<(u32, Restored)>,
    /// Jobs that every node which kept them was to forget.
    pub(crate) forgotten: Vec<JobId>,
    /// When jobs were forgotten, in milliseconds since 1970; the longest forgotten first.
    pub(crate) gone: Vec<(JobId, u64)>,
    /// Jobs that this node left because another one keeps them in its place.
    pub(crate) left: Vec<(JobId, Left)>,
    /// These two are all jobs of others that ever went from this disk.
    pub(crate) knows_all: bool,
    /// The number of this node's disk; 0 if it keeps no jobs with others.
    pub(crate) disk: u64,
    /// For the job table.
    pub(crate) jobs: Vec<(JobId, RestoredJob)>,
    /// Jobs whose line in the list is missing, or an old one.
    pub(crate) unlisted: Vec<JobId>,
    /// The latest time that a record names: the engine's time goes on behind it.
    pub(crate) latest: Time,
    /// What is wrong with it as a whole, in sentences; what is wrong with single jobs, [`super::JournalState`] says.
    pub(crate) troubles: Vec<String>,
    /// Why it does not have all that this node ever put into it, or why some of that can't be used: the first of these.
    pub(crate) damage: Option<String>,
}

/// Opens the journal, pins in the store what its jobs rest on, and starts its keeper. Blocks meanwhile.
pub(crate) fn open(
    place: &Place,
    store: &Store,
    table: &Arc<JobTable>,
    wake: Arc<Notify>,
) -> Result<Opened, Error> {
    let Place { dir, me, mark, reserve_bytes } = place.clone();
    let settings = Settings { mark, reserve_bytes, ..Settings::new(dir, me) };
    let news = News::new(wake);
    let mut back = Back::new(place.me);
    let told = news.clone();
    let (journal, opened) = Journal::open(&settings, &mut back, move |event| told.tell(event))?;
    let readers = |count: usize| (0..count).map(|_| journal.reader()).collect::<Result<Vec<Reader>, _>>();
    let (shelf, own) = (readers(READERS_MAX)?, readers(READERS_MORE)?);
    let (shelf, own) = (Arc::new(Shelf::new(shelf)), Arc::new(Shelf::new(own)));
    let hurt = trouble_of(&opened);
    news.note_incomplete(hurt.clone());
    back.read_again(&shelf);
    let Unused { unaccepted, given_up } = Unused::sorted(std::mem::take(&mut back.unusable), &journal, &news);
    let damage = hurt.clone().or_else(|| news.journal().troubles().next());
    if damage.is_some() {
        // What jobs rest on that are not known now may be wanted again, by a backup of the journal.
        store.set_aside();
    }
    let settled = disk::settle(&journal, &opened, &news, &back.disk, &given_up);
    let mesh = back.jobs.iter().filter(|found| found.is_shared());
    let mesh = mesh.map(|found| (found.restored.job(), found.tally.clone())).collect();
    let parts = Parts {
        me: place.me,
        store: store.clone(),
        spool: place.dir.clone(),
        jobs: Arc::clone(table),
        shelf: own,
        mesh,
        given_up,
    };
    let kept = Kept { shelf, orders: Arc::default(), news };
    let keeper = Keeper::start(journal, kept, parts).map_err(|source| Error::Io {
        doing: "start a thread for",
        path: place.dir.clone(),
        source,
    })?;
    for job in unaccepted {
        keeper.add(Order::Forget { ticket: None, job, remains: Remains::Nothing });
    }
    let mut opened = Opened {
        keeper,
        restored: Vec::new(),
        remembered: std::mem::take(&mut back.remembered).into(),
        retained: std::mem::take(&mut back.retained),
        mesh: Vec::new(),
        forgotten: std::mem::take(&mut back.disk.forgotten),
        gone: std::mem::take(&mut back.gone),
        left: std::mem::take(&mut back.disk.left),
        knows_all: settled.knows_all,
        disk: settled.disk,
        jobs: Vec::new(),
        unlisted: Vec::new(),
        latest: back.latest,
        troubles: hurt.into_iter().collect(),
        damage,
    };
    let lines = std::mem::take(&mut back.lines);
    for found in std::mem::take(&mut back.jobs) {
        let read_ms = back.read_ms(&found);
        opened.add(store, &lines, found, read_ms);
    }
    opened.keeper.look_at_room();
    Ok(opened)
}

/// Jobs of which nothing goes on.
#[derive(Default)]
struct Unused {
    /// Those that were never accepted.
    unaccepted: Vec<JobId>,
    /// Those at level `mesh` that are in quarantine.
    given_up: BTreeSet<JobId>,
}

impl Unused {
    /// Puts those into quarantine whose records are not what was written.
    fn sorted(unusable: Vec<(JobId, Unusable)>, journal: &Journal, news: &News) -> Self {
        let mut unused = Self::default();
        for (job, why) in unusable {
            let (why, is_mesh) = match why {
                Unusable::NeverAccepted => {
                    unused.unaccepted.push(job);
                    continue;
                }
                Unusable::Damaged { why, is_mesh } => (why, is_mesh),
                Unusable::Unsound { why, is_mesh } => {
                    journal.distrust(job);
                    (why.to_string(), is_mesh)
                }
            };
            news.quarantine(job, why);
            if is_mesh {
                unused.given_up.insert(job);
            }
        }
        unused
    }
}

impl Opened {
    /// Adds a job that can be used.
    fn add(&mut self, store: &Store, lines: &BTreeMap<JobId, Listing>, found: Found, read_ms: Option<u64>) {
        let is_followed = found.is_followed(self.keeper.me());
        // Of an own one that is too old to be told of, its copy is to learn when it is forgotten.
        let is_copied = found.is_shared();
        let Found { restored, is_told, tally, promised, read_ms: _, blobs } = found;
        let job = restored.job();
        // Of a job that another node may lead, not all of its outputs need have come here.
        blobs.iter().for_each(|blob| if is_followed { store.pin(*blob) } else { store.pin_again(*blob) });
        if let Some(seq) = tally.retried {
            self.keeper.kept().shelf.note_retried(job, seq);
        }
        if !restored.has_ended() {
            self.troubles.extend(missing(store, job, &blobs));
            self.troubles.extend(lost_parent(self.keeper.kept(), &restored));
        }
        let line = lines.get(&job);
        let shown = RestoredJob { read_ms, ..shown::of(self.keeper.me(), &restored, &tally, line) };
        if line.is_none_or(|line| line.ended_ms != shown.ended_ms) {
            self.unlisted.push(job);
        }
        self.jobs.push((job, shown));
        if is_followed || (is_copied && !is_told) {
            self.mesh.push((promised, restored));
        } else if is_told {
            self.restored.push(restored);
        }
    }
}

/// What becomes of an unfinished job that waits for one whose records can't be used, if it does.
fn lost_parent(kept: &Kept, restored: &Restored) -> Option<String> {
    let waits = |parent: &&JobId| restored.waits_for(**parent) && kept.is_quarantined(**parent);
    let (job, parent) = (restored.job(), restored.spec().after.iter().find(waits)?);
    let fate = match restored.spec().join {
        Join::AllSucceeded => {
            format!("its tasks end as skipped, and `weft retry {job}` runs them without that one")
        }
        Join::AllEnded => String::from("it goes on without that one"),
        Join::EachResult => String::from("its tasks that wait for results of that one end as skipped"),
        Join::Gather => {
            format!("its task ends as skipped, and `weft retry {job}` tries it again once that one is back")
        }
    };
    Some(format!("job {job} comes after job {parent}, which can't be restored: {fate}"))
}

/// What an unfinished job rests on and is not in the store, if that is so.
fn missing(store: &Store, job: JobId, blobs: &[BlobId]) -> Option<String> {
    let missing: BTreeSet<&BlobId> = blobs.iter().filter(|blob| !store.has(**blob)).collect();
    let (first, count) = (missing.first()?, missing.len());
    Some(format!(
        "blobs that job {job} rests on are not in the store ({count}, the first is {first}): they were removed, or \
         deleted because their bytes were wrong; put them back (`weft blob put FILE`), or cancel the job and submit it again"
    ))
}

/// What is wrong with the journal as a whole, if something is.
fn trouble_of(opened: &weft_journal::Opened) -> Option<String> {
    let rebuilt = opened.rebuilt.as_ref().map(|rebuilt| {
        let (why, kept) = (&rebuilt.why, rebuilt.kept.display());
        format!(
            "the journal's file was damaged ({why}) and was rebuilt from what can be recognised in it; the damaged file is kept as \
             {kept}"
        )
    });
    let is_whole = opened.continuity.is_whole();
    rebuilt.or_else(|| (!is_whole).then(|| opened.continuity.to_string()))
}
