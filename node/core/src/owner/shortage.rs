//! Outcomes whose bytes have no room on this node. They stay unacknowledged, so that their workers keep them; their
//! leases rest, nobody is blamed, and nothing is computed again. The fetches are tried again until there is room.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;

use super::{Owner, attempt_mut, drop_lease, take_attempt};
use crate::ctx::Ctx;
use crate::effect::Effect;
use crate::id::{BlobId, LeaseId, PeerId};
use crate::task::{Limits, Report};
use crate::time::Time;

/// A look whether there is room again comes this often, in milliseconds.
const RETRY_MS: u64 = 5000;
/// Fetches that are tried at one look; each that succeeds has as many more tried at once.
const PROBES: usize = 2;

/// What one file costs in an archive beyond its content, with a long name; and the archive itself, with its names.
const ENTRY_BYTES: u64 = 2048;
const ARCHIVE_BYTES: u64 = 1 << 20;

/// What waits for room.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    /// Blobs whose last fetch found no room, and whether one is tried now; [`Owner::fetching`] knows which leases want
    /// them.
    blobs: BTreeMap<BlobId, bool>,
    /// What was tried last: all take turns, for a short one may have room where a long one has none.
    cursor: Option<BlobId>,
    look_at: Option<Time>,
}

impl Shortage {
    pub(super) fn next_wakeup(&self) -> Option<Time> {
        self.look_at
    }

    /// The blob whose turn it is, of those that are not being tried.
    fn next(&mut self) -> Option<BlobId> {
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.blobs.range((after, Bound::Unbounded));
        let mut waiting = later.chain(&self.blobs).filter(|(_, tried)| !**tried).map(|(blob, _)| *blob);
        self.cursor = waiting.next();
        self.cursor
    }
}

/// Whether what a worker says that it brings can be what the task left: nothing else may wait for room.
pub(super) fn is_within(report: &Report, limits: &Limits) -> bool {
    let archive = u64::from(limits.files).saturating_mul(ENTRY_BYTES).saturating_add(ARCHIVE_BYTES);
    report.output.bytes_len() <= limits.output_bytes
        && report.errors.bytes_len() <= limits.errors_bytes
        && report.files.bytes_len() <= limits.files_bytes.saturating_add(archive)
}

impl Owner {
    /// A blob found no room here: the leases that want it wait.
    pub(super) fn on_no_room(&mut self, ctx: &Ctx<'_>, blob: BlobId) {
        if self.fetching.of(blob).next().is_none() {
            return;
        }
        for lease in self.fetching.of(blob) {
            let task = self.jobs.get_mut(&lease.job).and_then(|job| job.task_mut(lease.index));
            let attempt = task.and_then(|task| task.live.iter_mut().find(|a| a.number == lease.attempt));
            attempt.into_iter().for_each(|attempt| attempt.starved = true);
        }
        self.shortage.blobs.insert(blob, false);
        self.shortage.look_at.get_or_insert(ctx.now.plus_ms(RETRY_MS));
    }

    /// A fetch ended otherwise. Where it found room, what waits may have some, too.
    pub(super) fn on_answer(&mut self, now: Time, blob: BlobId, is_here: bool) {
        self.shortage.blobs.remove(&blob);
        if is_here && !self.shortage.blobs.is_empty() {
            self.shortage.look_at = Some(now);
        }
    }

    /// Tries some of what waits again, when it is time.
    pub(super) fn look_for_room(&mut self, ctx: &mut Ctx<'_>) {
        if self.shortage.look_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        let mut tried = 0;
        while tried < PROBES
            && let Some(blob) = self.shortage.next()
        {
            let wanted: Vec<(PeerId, u64)> = self.wanted(blob);
            let Some((_, bytes)) = wanted.first().copied() else {
                // Cancelled, or expired meanwhile.
                drop(self.fetching.take(blob));
                self.shortage.blobs.remove(&blob);
                continue;
            };
            self.shortage.blobs.insert(blob, true);
            let from = wanted.into_iter().map(|(worker, _)| worker).collect();
            ctx.emit(Effect::Fetch { blob, from, bytes: Some(bytes) });
            tried += 1;
        }
        let more = !self.shortage.blobs.is_empty();
        self.shortage.look_at = more.then(|| ctx.now.plus_ms(RETRY_MS));
    }

    /// Who has a blob that is still wanted, each with its length.
    fn wanted(&mut self, blob: BlobId) -> Vec<(PeerId, u64)> {
        let mut wanted = Vec::new();
        for lease in self.fetching.of(blob) {
            let task = self.jobs.get(&lease.job).and_then(|job| job.task(lease.index));
            let attempt = task.and_then(|task| task.live.iter().find(|a| a.number == lease.attempt));
            let Some(attempt) = attempt else { continue };
            let Some((_, brought)) = attempt.fetching.as_deref() else { continue };
            let bytes = brought.report.blobs_with_lengths().get(&blob).copied();
            wanted.extend(bytes.map(|bytes| (attempt.worker, bytes)));
        }
        wanted
    }

    /// An outcome that waited for room can't be had any more: the worker was not asked to keep it for so long. Its task
    /// waits again, and nobody is to blame.
    pub(super) fn retract_starved(&mut self, ctx: &mut Ctx<'_>, lease: LeaseId, worker: PeerId) {
        let Some(job) = self.jobs.get_mut(&lease.job) else { return };
        debug_assert!(attempt_mut(job, lease, worker).is_some(), "its caller found it");
        let Some(attempt) = take_attempt(job, lease, worker) else { return };
        drop_lease(&mut self.leases, &mut self.expiries, &attempt, lease);
        if attempt.copy {
            job.on_copy_refused(lease.index);
        }
        self.again(ctx, lease.job, lease.index);
    }

    /// Attempts whose outcomes wait for room.
    pub(crate) fn starved(&self) -> u32 {
        let wanted = self.shortage.blobs.keys().flat_map(|blob| self.fetching.of(*blob));
        let leases: BTreeSet<LeaseId> = wanted.collect();
        u32::try_from(leases.len()).unwrap_or(u32::MAX)
    }
}
