//! Invariants of leases, by name: leases end in time, a worker is told of each that ends, no task runs without one. Each
//! checks one host after one step, like those of [`crate::invariants`], whose table lists them.

use std::collections::{BTreeMap, BTreeSet};

use weft_core::{Audit, LeaseId, PeerId, Time};

use crate::invariants::{Scene, ensure};
use crate::reference::Fact;

/// A lease that has not run out ends later than now, and no later than its ttl from now.
pub(crate) fn no_lease_outlives_its_ttl(scene: &Scene<'_>) -> Result<(), String> {
    let Some((first, last)) = scene.host.audit.as_ref().and_then(|audit| audit.lease_ends) else {
        return Ok(());
    };
    ensure(first > scene.now, || format!("a lease that ended at {first:?} is in force at {:?}", scene.now))?;
    let most = scene.now.plus_ms(scene.mesh.lease_ms);
    // Kept jobs of an owner whose disk failed wait for its next life, and their workers keep what they have.
    if last <= most || scene.host.journal_failed {
        return Ok(());
    }
    // An owner that fences itself keeps leases that would have expired, for two lease periods at most.
    let held_back = scene.host.engine.as_ref().is_some_and(|engine| engine.snapshot().counters.fenced > 0);
    let most = scene.now.plus_ms(2 * scene.mesh.lease_ms);
    ensure(held_back && last <= most, || format!("a lease lasts until {last:?}, allowed is {most:?}"))
}

/// How long an owner delays an acknowledgement to send it with the next message, in milliseconds.
const OWED_MS: u64 = 20;

/// Acknowledgements that an owner owes: their leases ended with an outcome, and their workers were not told yet.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Leases with a received outcome that may not have ended yet.
    heard: BTreeSet<(PeerId, LeaseId)>,
    since: BTreeMap<(PeerId, LeaseId), Time>,
    /// Records were on their way to the disk after the last step.
    waited: bool,
}

impl Owed {
    pub(crate) fn on_outcome(&mut self, worker: PeerId, lease: LeaseId) {
        self.heard.insert((worker, lease));
    }

    /// A step is over; `issued` are the leases that were in force before it.
    pub(crate) fn on_step(&mut self, now: Time, issued: &[(PeerId, LeaseId)], audit: &Audit, facts: &[Fact]) {
        for key in issued.iter().filter(|key| audit.issued.binary_search(key).is_err()) {
            if self.heard.remove(key) {
                self.since.insert(*key, now);
            }
        }
        for fact in facts {
            if let Fact::Parted { worker, leases } = fact {
                self.since.retain(|(to, lease), _| to != worker || !leases.contains(lease));
            }
        }
    }
}

impl Owed {
    /// What is owed for kept jobs waits for the disk, and counts from the step that hears that it is there: steps are not
    /// evenly spaced, so the last one before that may be long ago.
    pub(crate) fn on_disk(&mut self, now: Time, waits: bool) {
        if !core::mem::replace(&mut self.waited, waits) && !waits {
            return;
        }
        let kept = self.since.iter_mut().filter(|((_, lease), _)| lease.epoch > 0);
        kept.for_each(|(_, since)| *since = now);
    }
}

/// A worker whose outcome ended a lease gets an acknowledgement within [`OWED_MS`].
pub(crate) fn an_outcome_is_soon_acknowledged(scene: &Scene<'_>) -> Result<(), String> {
    // Of a job at level `mesh` they wait for another node.
    let owed =
        scene.host.owed.since.iter().filter(|((worker, lease), _)| {
            *worker != scene.host.peer && !scene.reference.mesh.has(lease.job)
        });
    let late =
        owed.map(|(key, since)| (*since, *key)).min().filter(|(since, _)| since.plus_ms(OWED_MS) < scene.now);
    ensure(late.is_none(), || format!("no acknowledgement for {late:?}"))
}

/// When a lease of another node ends, the owner tells that node in the same step, unless the node ended it itself. After
/// an outcome the acknowledgement may follow later.
pub(crate) fn no_lease_ends_unsaid(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for (worker, lease) in scene.host.issued.iter().filter(|(worker, _)| *worker != scene.host.peer) {
        if audit.issued.binary_search(&(*worker, *lease)).is_ok() {
            continue;
        }
        // The node that leads a job at level `mesh` no more leaves its leases to who leads it next.
        if scene.reference.mesh.has(lease.job) && audit.jobs.iter().all(|job| job.job != lease.job) {
            continue;
        }
        let said = scene.facts.iter().any(|fact| {
            matches!(fact, Fact::Parted { worker: to, leases } if to == worker && leases.contains(lease))
        });
        let owed = scene.host.owed.since.contains_key(&(*worker, *lease));
        ensure(said || owed, || format!("{lease:?} was taken from {worker:?} without a word"))?;
    }
    Ok(())
}

/// A worker holds a lease or keeps its outcome until the owner acknowledges or ends it, or the worker returns it.
/// Outcomes without acknowledgement are kept for longer than a simulation lasts.
pub(crate) fn an_outcome_is_kept_until_acknowledged(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = scene.host.audit.as_ref().filter(|_| scene.now.0 < 1000 * scene.mesh.keep_ms) else {
        return Ok(());
    };
    for (owner, lease) in scene.host.answerable.iter().filter(|(owner, _)| *owner != scene.host.peer) {
        let answerable = (*owner, *lease);
        if audit.held.binary_search(&answerable).is_ok() || audit.kept.binary_search(&answerable).is_ok() {
            continue;
        }
        let excused = scene.facts.iter().any(|fact| {
            matches!(fact, Fact::Excused { owner: from, leases } if from == owner && leases.contains(lease))
                || matches!(fact, Fact::Restarted(peer) if peer == owner)
        });
        let led_here = scene.reference.mesh.leads_later(scene.host.id, *lease);
        ensure(excused || led_here, || {
            format!("{lease:?} of {owner:?} is neither held nor kept, and no message ended it")
        })?;
    }
    Ok(())
}

/// A restarted owner does not know the leases that its earlier process awarded, but those of jobs that it keeps: a worker that
/// learns of the restart holds none of the others.
pub(crate) fn a_forgetful_owners_leases_are_void(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for fact in scene.facts {
        let Fact::Restarted(peer) = fact else { continue };
        let held = audit.held.iter().filter(|(owner, lease)| owner == peer && lease.epoch == 0).count();
        ensure(held == 0, || format!("{held} leases of {peer:?}, which was restarted, are still held"))?;
    }
    Ok(())
}

/// Every execution that was not aborted has a lease.
pub(crate) fn nothing_runs_without_a_lease(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    let runs = scene.host.runs.values().filter(|run| !run.aborted).count();
    ensure(runs <= audit.held.len(), || format!("{runs} executions for {} leases", audit.held.len()))
}
