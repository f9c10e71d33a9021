//! Staging: which blobs are here, which are being fetched, and which runs wait for them. It makes runs ready; a run
//! that ends because a blob can't be fetched is returned to [`super::holder`], which settles it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::outbox::Sealed;
use super::runs::RunQueue;
use super::runs::run::{Run, Stage};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, PeerId, RunId};
use crate::input::Fetched;
use crate::task::{Outcome, Program, Report};

/// Modules remembered as present; beyond it the memory is cleared, which costs one look into the store each.
const PRESENT_MAX: usize = 1024;

/// A run that waits for a blob, and the length that it was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    run: RunId,
    blob: BlobId,
    bytes: u64,
}

/// A blob that is being fetched.
#[derive(Debug)]
struct Fetching {
    /// The peer that was asked for it.
    from: PeerId,
    /// The length that it was requested with; the answer holds for no other.
    bytes: u64,
    waiting: Vec<Wait>,
}

/// Whether a run has all blobs that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Staged {
    Ready,
    /// This many blobs are being fetched.
    Missing(u8),
}

/// What a fetch's answer does to runs, apart from making them ready.
#[derive(Debug, Default)]
pub(super) struct Arrival {
    /// Runs that ended, and how.
    pub(super) finished: Vec<(Box<Run>, Sealed)>,
    /// Whether runs ended because this node has no room for the blob.
    pub(super) disk_full: bool,
    /// Runs for which the blob is to be requested again.
    again: Vec<Wait>,
}

/// Blobs that are known to be here, and those that are being fetched.
#[derive(Debug, Default)]
pub(super) struct Staging {
    fetching: BTreeMap<BlobId, Fetching>,
    /// Blobs that are here, each with its length; a claim of another length is wrong.
    present: BTreeSet<(BlobId, u64)>,
}

impl Staging {
    /// Whether a program's module is here.
    pub(super) fn has_module(&self, program: &Program) -> bool {
        self.present.contains(&(program.module, program.module_bytes))
    }

    /// A run's blobs may be lost: the next run that needs them fetches them again.
    pub(super) fn forget(&mut self, run: &Run) {
        for need in run.all_needs() {
            self.present.remove(&need);
        }
    }

    /// Removes the waits of runs that ended.
    pub(super) fn forget_ended(&mut self, runs: &RunQueue) {
        for fetching in self.fetching.values_mut() {
            fetching.waiting.retain(|wait| runs.get(wait.run).is_some());
        }
    }

    /// Fetches the blobs that a run lacks; a run that lacks none is ready.
    pub(super) fn gather(&mut self, ctx: &mut Ctx<'_>, runs: &mut RunQueue, id: RunId) {
        match self.request(ctx, id, runs.run(id)) {
            Staged::Ready => runs.make_ready(ctx.now, id),
            Staged::Missing(missing) => runs.set_missing(ctx.now, id, missing),
        }
    }

    fn request(&mut self, ctx: &mut Ctx<'_>, id: RunId, run: &Run) -> Staged {
        let (from, lacking): (PeerId, Vec<(BlobId, u64)>) = match run.known.as_deref() {
            Some(report) => (ctx.me, report.blobs_with_lengths().into_iter().collect()),
            // The common case: the module is here since the first task of its kind.
            None if run.all_needs().all(|need| self.present.contains(&need)) => return Staged::Ready,
            None => (run.owner, run.needs().difference(&self.present).copied().collect()),
        };
        debug_assert!(!lacking.is_empty(), "a known result without blobs is answered at once");
        for (blob, bytes) in &lacking {
            self.wait_for(ctx, from, Wait { run: id, blob: *blob, bytes: *bytes });
        }
        Staged::Missing(u8::try_from(lacking.len()).unwrap_or(u8::MAX))
    }

    /// Fetches a blob for a run; if it is being fetched already, the run waits for that.
    fn wait_for(&mut self, ctx: &mut Ctx<'_>, from: PeerId, wait: Wait) {
        let Wait { blob, bytes, .. } = wait;
        let fetching = self.fetching.entry(blob).or_insert_with(|| {
            ctx.emit(Effect::Fetch { blob, from: alloc::vec![from], bytes: Some(bytes) });
            Fetching { from, bytes, waiting: Vec::new() }
        });
        fetching.waiting.push(wait);
    }

    /// A fetch ended. Fetches of this node's own owner end here too, and no run waits for them.
    pub(super) fn on_fetched(
        &mut self,
        ctx: &mut Ctx<'_>,
        runs: &mut RunQueue,
        blob: BlobId,
        fetched: Fetched,
    ) -> Arrival {
        let mut arrival = Arrival::default();
        let Some(Fetching { from, bytes, waiting }) = self.fetching.remove(&blob) else { return arrival };
        for wait in waiting {
            // A run that waits for two lengths of the blob may have ended by the other one.
            let waits = |run: &&mut Run| matches!(run.stage(), Stage::Staging(_));
            let Some(run) = runs.get_mut(wait.run).filter(waits) else { continue };
            if wait.bytes != bytes {
                arrival.again.push(wait);
            } else if fetched == Fetched::Here {
                arrival.finished.extend(self.on_here(ctx, runs, wait));
            } else if run.known.take().is_some() {
                run.task.into_iter().for_each(|task| ctx.memo.drop_known(task));
                self.compute_after_all(ctx, runs, wait.run);
            } else if fetched == Fetched::NoRoom {
                let text = alloc::format!("the worker has none for blob {blob}");
                arrival
                    .finished
                    .push((runs.remove(ctx.now, wait.run), Report::bare(Outcome::NoRoom(text)).into()));
                arrival.disk_full = true;
            } else if run.owner == from {
                let lost = Report::bare(Outcome::Lost(why_lost(blob, fetched)));
                arrival.finished.push((runs.remove(ctx.now, wait.run), lost.into()));
            } else {
                arrival.again.push(wait);
            }
        }
        if !arrival.finished.is_empty() {
            self.forget_ended(runs);
            arrival.again.retain(|wait| runs.get(wait.run).is_some());
        }
        arrival
    }

    /// Requests a blob again for runs of other owners than the one that could not give it, and for runs that wait for
    /// another length.
    pub(super) fn ask_again(&mut self, ctx: &mut Ctx<'_>, runs: &RunQueue, arrival: &Arrival) {
        for wait in &arrival.again {
            let run = runs.run(wait.run);
            let from = if run.known.is_some() { ctx.me } else { run.owner };
            self.wait_for(ctx, from, *wait);
        }
    }

    /// A blob that a run lacked is here. With the last one the run is ready, or ends if its result is known.
    fn on_here(&mut self, ctx: &mut Ctx<'_>, runs: &mut RunQueue, wait: Wait) -> Option<(Box<Run>, Sealed)> {
        let Wait { run: id, blob, bytes } = wait;
        let run = runs.run_mut(id);
        if run.program.module == blob || run.program.files.blob() == Some(blob) {
            self.remember(blob, bytes);
        }
        if let Stage::Staging(missing) = run.stage()
            && missing > 1
        {
            runs.set_missing(ctx.now, id, missing - 1);
            return None;
        }
        if let Some(report) = run.known.take() {
            ctx.counters.answered += 1;
            let sealed = Sealed { report, memo: Some(ctx.me), leaf: None };
            return Some((runs.remove(ctx.now, id), sealed));
        }
        runs.make_ready(ctx.now, id);
        None
    }

    fn remember(&mut self, blob: BlobId, bytes: u64) {
        if self.present.len() >= PRESENT_MAX {
            self.present.clear();
        }
        self.present.insert((blob, bytes));
    }

    /// A blob of a known result can't be fetched: the task runs like any other.
    fn compute_after_all(&mut self, ctx: &mut Ctx<'_>, runs: &mut RunQueue, id: RunId) {
        for fetching in self.fetching.values_mut() {
            fetching.waiting.retain(|wait| wait.run != id);
        }
        self.gather(ctx, runs, id);
    }
}

fn why_lost(blob: BlobId, fetched: Fetched) -> alloc::string::String {
    match fetched {
        Fetched::Wrong => alloc::format!("the worker was sent something else than blob {blob}"),
        Fetched::Here | Fetched::Missing | Fetched::NoRoom => {
            alloc::format!("the worker could not fetch blob {blob}")
        }
    }
}
