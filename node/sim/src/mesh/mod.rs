//! A naive model of jobs at level `mesh`: which record is on which disks, and what users and workers were told, by which
//! node. It reads disks and messages, not the engine's fold and not its members' state. The invariants here hold over all
//! nodes and all of their lives.
//!
//! What a user was told counts as committed from then on, with all records before it: no later leader may lack it, and no
//! member may remove it.

mod fence;
mod left;
mod lives;
mod rows;
mod told;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_core::custody::Seat;
use weft_core::durable::{Level, LogRecord};
use weft_core::{JobId, LeaseId, Report, Submission};

use crate::breach::Breach;
use crate::disk::stored;
use crate::host::{HostId, SimHost};
use crate::invariants::Scene;
use crate::kept::Said;
pub(crate) use fence::{Fence, no_lease_of_an_older_epoch_begins};
use left::Named;
pub(crate) use rows::Rows;
pub(crate) use told::{Told as ToldMesh, job_in};

/// Also of jobs at level `disk`.
pub(crate) const LOST: &str = "an_accepted_job_is_never_lost";
const TOLD_ANEW: &str = "a_told_outcome_never_changes";
const TOLD_EARLY: &str = "nothing_is_told_before_two_disks_have_it";
const COMMITTED_TWICE: &str = "one_committed_outcome_over_all_epochs";
const OLD_EPOCH: &str = "a_returning_owner_commits_nothing_of_its_old_epoch";
const CUT: &str = "a_member_never_cuts_what_is_committed";
const COLLISION: &str = "an_epoch_has_one_leader";
const PROMISE: &str = "a_promised_epoch_is_kept";
const SEALED_EARLY: &str = "a_promise_is_on_the_disk_before_it_is_answered";
const ACKED_EARLY: &str = "an_acknowledged_record_is_on_the_disk";
const CANCELLED: &str = "a_cancel_is_final_over_all_epochs";
const LEFT: &str = "what_a_worker_has_of_a_lost_job_is_left_to_its_next_leader";

/// One job.
#[derive(Debug, Default)]
pub(crate) struct MeshJob {
    /// The node that it was submitted to.
    owner: Option<HostId>,
    /// Several nodes compute each task: what one of them says is a vote, which is in no record.
    verified: bool,
    /// The record of each epoch and number.
    written: BTreeMap<(u32, usize), Arc<LogRecord>>,
    /// What a user was told, and all before it.
    committed: Vec<Arc<LogRecord>>,
    /// What that says.
    said: Said,
    /// What its user was told: the number of accepted tasks, the ends of tasks, and the job's end.
    accepted: Option<usize>,
    told: BTreeMap<u32, Arc<Report>>,
    told_end: bool,
    /// Who began each epoch.
    begun: BTreeMap<u32, HostId>,
    /// Epochs whose leaders' processes ended.
    ended: BTreeSet<u32>,
    /// Who sent records in each epoch, and in which life of its node.
    leaders: BTreeMap<u32, (HostId, u32)>,
    /// The greatest epoch that a member said it promised, by its disk.
    promised: BTreeMap<(HostId, u64), u32>,
    /// What a member acknowledged, by its disk.
    acked: BTreeMap<(HostId, u64), Rows>,
    /// Whom its user follows.
    leader: Option<HostId>,
    /// Its user wanted it forgotten.
    unwanted: bool,
    /// More disks were lost than it outlives: nothing is promised any more.
    gone: bool,
}

/// All jobs at level `mesh`.
#[derive(Debug, Default)]
pub(crate) struct Mesh {
    jobs: BTreeMap<JobId, MeshJob>,
    named: Named,
    pub(crate) breach: Breach,
}

impl Mesh {
    pub(crate) fn has(&self, job: JobId) -> bool {
        self.jobs.contains_key(&job)
    }

    /// Whom a job's user follows; `None` if it is told of none.
    pub(crate) fn leader(&self, job: JobId) -> Option<HostId> {
        self.jobs.get(&job)?.leader
    }

    pub(crate) fn on_submit(&mut self, owner: HostId, submission: &Submission) {
        if submission.level == Level::Mesh {
            let job = self.jobs.entry(submission.job).or_default();
            (job.owner, job.verified) = (Some(owner), submission.policy.verify > 1);
        }
    }

    /// A submission was refused. False if the job is one that is kept.
    pub(crate) fn on_refused(&mut self, job: JobId) -> bool {
        let is_new = self.jobs.get(&job).is_none_or(|job| job.written.is_empty());
        if is_new {
            self.jobs.remove(&job);
        }
        is_new
    }

    /// A member writes a record behind those in `rows`. The record as the model holds it.
    pub(crate) fn on_written(
        &mut self,
        (name, by): (JobId, HostId),
        rows: &Rows,
        record: &LogRecord,
    ) -> Arc<LogRecord> {
        let stored = stored(record);
        let Some(job) = self.jobs.get_mut(&name) else { return Arc::new(stored) };
        let key = (rows.epoch_of_next(record), rows.len() + 1);
        let begins = !job.written.contains_key(&key);
        let known = Arc::clone(job.written.entry(key).or_insert_with(|| Arc::new(stored)));
        job.begun.entry(key.0).or_insert(by);
        let is_led = matches!(record, LogRecord::Led { .. } | LogRecord::Retried { .. });
        // Other members take the record from the one that began with it.
        let lacks = is_led && begins && !job.is_over() && !rows.begin_with(&job.committed);
        let (one, count) = (*known == *record, job.committed.len());
        self.demand(COLLISION, one, || {
            format!("record {} of epoch {} of {name:?} is {known:?}, and {record:?}", key.1, key.0)
        });
        self.demand(LOST, !lacks, || {
            format!("host {} leads {name:?} and lacks some of the {count} records that were told", by.0)
        });
        known
    }

    /// A member removes the records behind the first `after`.
    pub(crate) fn on_cut(&mut self, (name, by): (JobId, HostId), rows: &Rows, after: usize) {
        let Some(job) = self.jobs.get(&name).filter(|job| !job.is_over()) else { return };
        let common = rows.count_common(&job.committed);
        self.demand(CUT, common <= after, || {
            format!("host {} cuts {name:?} behind record {after}, {common} are committed", by.0)
        });
    }

    /// A node forgets a job, for all nodes or because it has no seat any more.
    pub(crate) fn on_forgotten(&mut self, name: JobId, by: &SimHost, for_all: bool) {
        let Some(job) = self.jobs.get(&name).filter(|job| !job.is_over()) else { return };
        let (was_accepted, seats) = (job.accepted.is_some(), job.seats());
        let sits = seats.iter().any(|seat| seat.peer == by.peer && seat.disk == by.disk.number);
        self.demand(LOST, !was_accepted || (!for_all && !sits), || {
            format!("host {} forgets {name:?}, which its user wants to keep", by.id.0)
        });
    }

    /// A job's user wants it forgotten. False if it has not ended.
    pub(crate) fn on_unwanted(&mut self, name: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(&name).filter(|job| job.told_end) else { return false };
        job.unwanted = true;
        true
    }

    /// Whether a job has ended, some of it otherwise than done, and was not tried again yet.
    pub(crate) fn may_be_tried_again(&self, name: JobId) -> bool {
        self.jobs.get(&name).is_some_and(|job| job.told_end && !job.is_over() && job.said.has_failures())
    }

    /// Whether a lease of a job was given by a leader that leads no more.
    pub(crate) fn is_of_the_past(&self, lease: LeaseId) -> bool {
        let Some(job) = self.jobs.get(&lease.job) else { return false };
        let later = job.begun.keys().any(|epoch| *epoch > lease.epoch);
        job.is_over() || later || job.ended.contains(&lease.epoch)
    }

    /// Whether a node leads a lease's job itself by now.
    pub(crate) fn leads_later(&self, host: HostId, lease: LeaseId) -> bool {
        let Some(job) = self.jobs.get(&lease.job) else { return false };
        job.begun.iter().any(|(epoch, leader)| *epoch > lease.epoch && *leader == host)
    }

    /// The greatest epoch of a job in which a node has led it; 0 for one that is not at level `mesh`.
    pub(crate) fn epoch(&self, job: JobId) -> u32 {
        self.jobs.get(&job).and_then(|job| job.begun.keys().last().copied()).unwrap_or(0)
    }

    /// The nodes that have led a job.
    pub(crate) fn leaders(&self, job: JobId) -> impl Iterator<Item = HostId> {
        self.jobs.get(&job).into_iter().flat_map(|job| job.begun.values().copied())
    }

    /// Whether all that a job's user was told holds still.
    pub(crate) fn is_owed(&self, name: JobId) -> bool {
        self.jobs.get(&name).is_some_and(|job| job.accepted.is_some() && !job.is_over())
    }

    /// Whether nothing of it is owed any more, because two of its three disks were lost.
    pub(crate) fn is_gone(&self, name: JobId) -> bool {
        self.jobs.get(&name).is_some_and(|job| job.gone)
    }

    /// Whether a job's user wanted it forgotten.
    pub(crate) fn is_unwanted(&self, name: JobId) -> bool {
        self.jobs.get(&name).is_some_and(|job| job.unwanted)
    }

    fn demand(&mut self, name: &'static str, holds: bool, text: impl FnOnce() -> String) {
        self.breach.demand(name, holds, text);
    }
}

impl MeshJob {
    /// Nothing is promised of it any more.
    fn is_over(&self) -> bool {
        self.gone || self.unwanted
    }

    /// Whether a task may end still, as far as any user was told.
    fn goes_on(&self, index: u32) -> bool {
        let is_open = self.accepted.is_some() && !self.told_end && !self.said.cancelled;
        is_open && !self.is_over() && !self.said.ends.contains_key(&index)
    }

    /// How many of its seats have these records and their blobs, or had them before their disk was lost.
    fn copies(&self, hosts: &[SimHost], name: JobId, rows: &Rows) -> usize {
        let has = |seat: &Seat| {
            let Some(host) = hosts.iter().find(|host| host.peer == seat.peer) else { return false };
            let records = host.disk.records(name);
            let here = host.disk.number == seat.disk
                && rows.begin_with_all(records)
                && rows.blobs().all(|blob| host.blobs.contains(&blob));
            here || self.acked.get(&(host.id, seat.disk)).is_some_and(|acked| rows.begin_with_all(&acked.0))
        };
        rows.seats().iter().filter(|seat| has(seat)).count()
    }
}

macro_rules! invariants {
    ($($name:ident = $breach:ident;)+) => {$(
        pub(crate) fn $name(scene: &Scene<'_>) -> Result<(), String> {
            unbroken(scene, $breach)
        }
    )+};
}

invariants! {
    an_accepted_job_is_never_lost = LOST;
    a_told_outcome_never_changes = TOLD_ANEW;
    nothing_is_told_before_two_disks_have_it = TOLD_EARLY;
    one_committed_outcome_over_all_epochs = COMMITTED_TWICE;
    a_returning_owner_commits_nothing_of_its_old_epoch = OLD_EPOCH;
    a_member_never_cuts_what_is_committed = CUT;
    an_epoch_has_one_leader = COLLISION;
    a_promised_epoch_is_kept = PROMISE;
    a_promise_is_on_the_disk_before_it_is_answered = SEALED_EARLY;
    an_acknowledged_record_is_on_the_disk = ACKED_EARLY;
    a_cancel_is_final_over_all_epochs = CANCELLED;
    what_a_worker_has_of_a_lost_job_is_left_to_its_next_leader = LEFT;
}

fn unbroken(scene: &Scene<'_>, name: &str) -> Result<(), String> {
    scene.reference.mesh.breach.check(name)
}
