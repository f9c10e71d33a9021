//! What must hold after every event, by name. Each check looks at the host whose engine just handled an input: at what
//! the engine did in this step, and at its audit.
//!
//! By what they protect:
//!
//! ```text
//!    1  an_accepted_task_is_in_one_state
//!    2  a_task_ends_once                        3  an_end_has_an_attempt, an_attempt_is_issued_once
//!    4  promises_hold, a_slot_is_promised_once, slots_hold, nothing_runs_without_a_lease,
//!       running_and_held_memory_is_what_the_node_gives
//!    5  no_reservation_outlives_its_ttl, no_lease_outlives_its_ttl, no_lease_ends_unsaid; at rest, in the swarm:
//!       a_quiet_mesh_holds_nothing
//!       an_outcome_is_kept_until_acknowledged, an_outcome_is_soon_acknowledged,
//!       a_draining_node_begins_nothing, given_back_work_blames_nobody,
//!       a_forgetful_owners_leases_are_void, what_is_held_is_believed_only_from_who_was_given_it, no_work_outlasts_its_owner, who_is_given_up_is_gone
//!       a_bid_is_handed_on_once, a_claimed_worker_was_matched_by_an_asked_node, who_was_named_is_given_nothing
//!    6  a_cancel_is_final, no_lease_ends_unsaid
//!       an_accepted_job_is_never_lost, one_committed_outcome_over_all_lives, a_told_outcome_never_changes,
//!       nothing_is_told_before_it_is_kept, an_acknowledged_outcome_is_on_the_disk
//!       of jobs at level mesh: an_accepted_job_is_never_lost, a_told_outcome_never_changes,
//!       nothing_is_told_before_two_disks_have_it, one_committed_outcome_over_all_epochs,
//!       a_returning_owner_commits_nothing_of_its_old_epoch, a_member_never_cuts_what_is_committed,
//!       an_epoch_has_one_leader, a_promised_epoch_is_kept, a_promise_is_on_the_disk_before_it_is_answered,
//!       an_acknowledged_record_is_on_the_disk, a_cancel_is_final_over_all_epochs,
//!       what_a_worker_has_of_a_lost_job_is_left_to_its_next_leader,
//!       no_lease_of_an_older_epoch_begins; at rest: at_quiescence_no_member_holds_what_was_forgotten
//!       of copies of jobs at level disk: a_copy_never_leads, a_copy_has_what_its_owner_wrote
//!    7  a_join_fires_once_after_its_parents, an_input_is_its_parents_told_output, a_gathered_input_is_all_told_outputs; at rest: a_job_takes_each_result_of_its_parent
//!    8  not here: the engine has no schedules
//!    9  an_output_is_the_tasks_own              10  state_is_bounded, words_fit
//!    after all faults are mended, in the swarm: a_healed_mesh_ends_what_it_owes, no_slot_idles_beside_an_eligible_task
//! ```

mod bounds;
mod ends;
mod pace;

use std::collections::BTreeMap;
use std::fmt;

use weft_core::{LeaseId, MeshConfig, Outcome, PeerId, Receipt, Time};

use crate::copies;
use crate::credit_invariants;
use crate::drain;
use crate::fetches;
use crate::gathers;
use crate::gone;
use crate::holders;
use crate::host::{HostId, SimHost};
use crate::joins;
use crate::kept;
use crate::leases;
use crate::load;
use crate::machines;
use crate::memories;
use crate::memory;
use crate::mesh;
use crate::policies;
use crate::ports::{PRINTED, signature};
use crate::reference::{End, Fact, Reference};
use crate::results;
use crate::trust;
pub(crate) use ends::{ends, ensure};

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub name: &'static str,
    /// What was seen, in words.
    pub text: String,
    /// The event after which it was seen, counted from 1.
    pub event: u64,
    /// The time of that event.
    pub at: Time,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?} (event {}): {}", self.name, self.at, self.event, self.text)
    }
}

impl std::error::Error for Violation {}

/// What a check may read.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    /// The time by the world's clock.
    pub(crate) world_now: Time,
    /// The time by the host's own clock.
    pub(crate) now: Time,
    pub(crate) mesh: &'a MeshConfig,
    pub(crate) host: &'a SimHost,
    /// The number of slots that the host's bids still promise.
    pub(crate) promised: u32,
    pub(crate) facts: &'a [Fact],
    pub(crate) reference: &'a Reference,
    /// The host of each peer.
    pub(crate) peers: &'a BTreeMap<PeerId, HostId>,
}

type Check = fn(&Scene<'_>) -> Result<(), String>;

/// All invariants of single steps; the first that fails is reported.
pub(crate) const INVARIANTS: &[(&str, Check)] = &[
    // First: a fault that breaks this one breaks others, too, whose texts say less.
    ("a_join_fires_once_after_its_parents", joins::invariant_a_join_fires_once_after_its_parents),
    ("an_input_is_its_parents_told_output", results::an_input_is_its_parents_told_output),
    ("a_gathered_input_is_all_told_outputs", gathers::a_gathered_input_is_all_told_outputs),
    ("an_accepted_job_is_never_lost", kept::an_accepted_job_is_never_lost),
    ("one_committed_outcome_over_all_lives", kept::one_committed_outcome_over_all_lives),
    ("a_told_outcome_never_changes", kept::a_told_outcome_never_changes),
    ("nothing_is_told_before_it_is_kept", kept::nothing_is_told_before_it_is_kept),
    ("an_acknowledged_outcome_is_on_the_disk", kept::an_acknowledged_outcome_is_on_the_disk),
    ("an_accepted_job_is_never_lost", mesh::an_accepted_job_is_never_lost),
    ("a_member_never_cuts_what_is_committed", mesh::a_member_never_cuts_what_is_committed),
    ("an_epoch_has_one_leader", mesh::an_epoch_has_one_leader),
    ("a_promised_epoch_is_kept", mesh::a_promised_epoch_is_kept),
    ("a_promise_is_on_the_disk_before_it_is_answered", mesh::a_promise_is_on_the_disk_before_it_is_answered),
    ("an_acknowledged_record_is_on_the_disk", mesh::an_acknowledged_record_is_on_the_disk),
    ("nothing_is_told_before_two_disks_have_it", mesh::nothing_is_told_before_two_disks_have_it),
    (
        "a_returning_owner_commits_nothing_of_its_old_epoch",
        mesh::a_returning_owner_commits_nothing_of_its_old_epoch,
    ),
    ("one_committed_outcome_over_all_epochs", mesh::one_committed_outcome_over_all_epochs),
    ("a_told_outcome_never_changes", mesh::a_told_outcome_never_changes),
    ("no_lease_of_an_older_epoch_begins", mesh::no_lease_of_an_older_epoch_begins),
    ("a_cancel_is_final_over_all_epochs", mesh::a_cancel_is_final_over_all_epochs),
    (
        "what_a_worker_has_of_a_lost_job_is_left_to_its_next_leader",
        mesh::what_a_worker_has_of_a_lost_job_is_left_to_its_next_leader,
    ),
    ("a_copy_never_leads", copies::a_copy_never_leads),
    ("a_copy_has_what_its_owner_wrote", copies::a_copy_has_what_its_owner_wrote),
    ("an_accepted_task_is_in_one_state", invariant_an_accepted_task_is_in_one_state),
    ("a_task_ends_once", invariant_a_task_ends_once),
    ("an_end_has_an_attempt", invariant_an_end_has_an_attempt),
    ("a_task_is_given_up_after_its_losses", invariant_a_task_is_given_up_after_its_losses),
    ("an_attempt_is_issued_once", invariant_an_attempt_is_issued_once),
    ("slots_hold", invariant_slots_hold),
    (
        "running_and_held_memory_is_what_the_node_gives",
        memory::invariant_running_and_held_memory_is_what_the_node_gives,
    ),
    ("promises_hold", invariant_promises_hold),
    ("a_slot_is_promised_once", load::invariant_a_slot_is_promised_once),
    ("no_reservation_outlives_its_ttl", invariant_no_reservation_outlives_its_ttl),
    ("no_lease_outlives_its_ttl", leases::no_lease_outlives_its_ttl),
    ("no_lease_ends_unsaid", leases::no_lease_ends_unsaid),
    ("an_outcome_is_soon_acknowledged", leases::an_outcome_is_soon_acknowledged),
    ("a_forgetful_owners_leases_are_void", leases::a_forgetful_owners_leases_are_void),
    ("an_outcome_is_kept_until_acknowledged", leases::an_outcome_is_kept_until_acknowledged),
    (
        "what_is_held_is_believed_only_from_who_was_given_it",
        holders::what_is_held_is_believed_only_from_who_was_given_it,
    ),
    ("no_work_outlasts_its_owner", gone::no_work_outlasts_its_owner),
    ("who_is_given_up_is_gone", gone::who_is_given_up_is_gone),
    ("a_draining_node_begins_nothing", drain::a_draining_node_begins_nothing),
    ("given_back_work_blames_nobody", drain::given_back_work_blames_nobody),
    ("nothing_runs_without_a_lease", leases::nothing_runs_without_a_lease),
    ("a_cancel_is_final", invariant_a_cancel_is_final),
    ("a_job_ends_once_after_its_tasks", invariant_a_job_ends_once_after_its_tasks),
    ("an_output_is_the_tasks_own", invariant_an_output_is_the_tasks_own),
    ("a_verified_task_has_its_majority", trust::invariant_a_verified_task_has_its_majority),
    ("a_host_address_has_one_vote", machines::invariant_a_host_address_has_one_vote),
    ("who_is_named_lied", trust::invariant_who_is_named_lied),
    ("who_was_named_is_given_nothing", credit_invariants::invariant_who_was_named_is_given_nothing),
    (
        "a_claimed_worker_was_matched_by_an_asked_node",
        credit_invariants::invariant_a_claimed_worker_was_matched_by_an_asked_node,
    ),
    ("a_bid_is_handed_on_once", credit_invariants::invariant_a_bid_is_handed_on_once),
    ("nothing_runs_twice_unasked", trust::invariant_nothing_runs_twice_unasked),
    ("copies_keep_to_their_budget", trust::invariant_copies_keep_to_their_budget),
    ("what_is_recalled_was_asked_for", memories::what_is_recalled_was_asked_for),
    (
        "a_known_result_is_the_word_of_who_is_believed",
        memories::a_known_result_is_the_word_of_who_is_believed,
    ),
    ("a_proof_is_its_tasks_own", invariant_a_proof_is_its_tasks_own),
    ("what_is_printed_was_asked_for", invariant_what_is_printed_was_asked_for),
    ("nothing_runs_without_its_blobs", fetches::nothing_runs_without_its_blobs),
    ("nothing_starts_before_its_time", policies::invariant_nothing_starts_before_its_time),
    ("a_node_runs_only_classes_that_it_takes", policies::invariant_a_node_runs_only_classes_that_it_takes),
    ("a_node_runs_only_owners_that_it_takes", policies::invariant_a_node_runs_only_owners_that_it_takes),
    ("an_attempt_waits_its_backoff", policies::invariant_an_attempt_waits_its_backoff),
    ("what_expires_has_ended_by_then", policies::invariant_what_expires_has_ended_by_then),
    ("only_what_may_expire_does", policies::invariant_only_what_may_expire_does),
    (
        "a_job_is_given_up_when_it_fails_too_often",
        policies::invariant_a_job_is_given_up_when_it_fails_too_often,
    ),
    ("state_is_bounded", bounds::state_is_bounded),
    ("words_fit", bounds::words_fit),
    ("no_engine_spins", pace::no_engine_spins),
    ("nobody_bids_in_vain_for_ever", pace::nobody_bids_in_vain_for_ever),
];

fn invariant_an_accepted_task_is_in_one_state(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    for job in &audit.jobs {
        let states =
            job.queued + job.held + job.awaiting + job.leased + job.delayed + job.ended + job.cancelled;
        ensure(states == job.total, || format!("{states} states for {} tasks: {job:?}", job.total))?;
        ensure(job.queued == job.in_queue, || format!("the queue differs from the queued tasks: {job:?}"))?;
        ensure(job.held == job.in_held, || {
            format!("the held tasks differ from those that wait for parents: {job:?}")
        })?;
        // Another node may lead it and tell its user; or its tasks are results of another job, and come when that is read.
        if scene.reference.mesh.has(job.job) || scene.reference.takes_results(job.job) {
            continue;
        }
        let owed = scene.reference.jobs.get(&job.job);
        let known = owed.map_or(0, |owed| owed.tasks.len());
        ensure(job.total as usize == known, || format!("{known} tasks accepted, the engine has {job:?}"))?;
        let told = owed.map_or(0, |owed| owed.told);
        let over = job.ended + job.cancelled - job.unwritten;
        // After a failed write the engine ends what its user cancels, and does not tell it.
        let lags = scene.host.journal_failed && over as usize > told;
        ensure(lags || over as usize == told, || {
            format!("{told} ends were reported, the engine has {job:?}")
        })?;
    }
    Ok(())
}

fn invariant_a_task_ends_once(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, .. } in ends(scene) {
        let task = scene.reference.task(*job, *index);
        let told = task.map_or(0, |task| task.ends);
        ensure(told == 1, || format!("the end of {job:?} task {index} was reported {told} times"))?;
    }
    Ok(())
}

fn invariant_an_end_has_an_attempt(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, worker, memo, .. } in ends(scene) {
        let ran = matches!(report.outcome, Outcome::Done | Outcome::Failed(_));
        let Some(worker) = worker else {
            ensure(!ran, || format!("{job:?} task {index} ran, and its end names no worker"))?;
            continue;
        };
        // An attempt of an earlier epoch may go on.
        let of_task = |lease: LeaseId| lease.index == *index;
        let awarded = *worker == scene.host.peer
            || scene.reference.leases_given(*job, *worker).any(of_task)
            || holders::claims(scene, *job, *index, *worker)
            || scene.reference.mesh.has(*job);
        ensure(awarded || memo.is_some(), || {
            format!("{job:?} task {index} was never awarded to {worker:?}")
        })?;
        let executed = scene.reference.executed_by(*job, *index, *worker);
        let claimed = holders::claims(scene, *job, *index, *worker);
        ensure(!ran || executed || claimed || memories::was_told(scene, *memo, report), || {
            format!("{worker:?} never ran {job:?} task {index}")
        })?;
    }
    Ok(())
}

fn invariant_a_task_is_given_up_after_its_losses(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, .. } in ends(scene) {
        let attempts = scene.reference.task(*job, *index).map_or(0, |task| task.attempts);
        let most = scene.mesh.losses_max;
        let nodes = scene.reference.jobs.get(job).map_or(1, |owed| owed.policy.verify);
        let undecided = nodes > 1 && attempts > 2 * nodes;
        ensure(!matches!(report.outcome, Outcome::Lost(_)) || attempts > most || undecided, || {
            format!("{job:?} task {index} was given up after {attempts} attempts: {}", report.outcome)
        })?;
    }
    Ok(())
}

fn invariant_an_attempt_is_issued_once(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        if let Fact::Awarded(lease) = fact {
            let issued: u32 = scene.reference.issued.get(lease).map_or(0, |workers| workers.values().sum());
            ensure(issued == 1, || format!("{lease:?} was awarded {issued} times"))?;
        }
    }
    Ok(())
}

fn invariant_slots_hold(scene: &Scene<'_>) -> Result<(), String> {
    let host = scene.host;
    let Some(audit) = host.audit.as_ref().filter(|_| host.pile.is_empty()) else { return Ok(()) };
    let (handed, runs) = (audit.handed, host.runs.len());
    ensure(audit.slots == host.spec.slots, || format!("{} slots, not {}", audit.slots, host.spec.slots))?;
    ensure(handed as usize == runs, || format!("{handed} handed to the slots, which have {runs}"))?;
    let paused = host.runs.values().filter(|run| run.paused).count();
    ensure(audit.paused as usize == paused, || format!("{} paused, the slots have {paused}", audit.paused))?;
    ensure(audit.paused <= audit.slots, || format!("{paused} paused for {} slots", audit.slots))?;
    ensure(handed <= audit.held_max, || format!("{handed} handed, at most {}", audit.held_max))?;
    // The fake slots begin one task each, of any width: the engine must keep enough slots free for multi-slot tasks.
    let begun = host.runs.values().filter(|run| run.ends.is_some());
    let taken: u32 = begun.map(|run| scene.reference.ledger.width(run.work.task)).sum();
    ensure(taken <= audit.slots, || format!("what runs takes {taken} of {} slots", audit.slots))
}

fn invariant_promises_hold(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = &scene.host.audit else { return Ok(()) };
    let (reserved, most) = (audit.reserved, audit.held_max);
    let held: u32 = audit.held.iter().map(|(_, lease)| scene.reference.width_of(*lease)).sum();
    ensure(held + reserved <= most, || format!("{held} slots held and {reserved} reserved, at most {most}"))?;
    let of_others = audit.held.iter().filter(|(owner, _)| *owner != scene.host.peer);
    let (others, most): (u32, u32) =
        (of_others.map(|(_, lease)| scene.reference.width_of(*lease)).sum(), audit.reserved_max);
    ensure(others + reserved <= most, || {
        format!("{others} held for others, {reserved} reserved, at most {most}")
    })?;
    // A task that its owner retracted holds its slot until it has left.
    ensure(held <= audit.held_slots, || format!("{held} slots held, the engine has {}", audit.held_slots))
}

/// Bids of a node to itself pass without a message, so only nodes without jobs of their own are checked.
fn invariant_no_reservation_outlives_its_ttl(scene: &Scene<'_>) -> Result<(), String> {
    let Some(audit) = scene.host.audit.as_ref().filter(|audit| audit.jobs.is_empty()) else { return Ok(()) };
    // Bids that are advertised at the node's own matchmaker were never sent.
    let (reserved, promised) = (audit.reserved - audit.cells.advertised_here, scene.promised);
    ensure(reserved <= promised, || {
        format!("{reserved} slots reserved, {promised} promised by bids in force")
    })
}

fn invariant_a_cancel_is_final(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, is_after_cancel, .. } in
        ends(scene).filter(|end| !scene.reference.mesh.has(end.job))
    {
        ensure(!is_after_cancel || report.outcome == Outcome::Cancelled, || {
            format!("{job:?} was cancelled, then task {index} ended as {}", report.outcome)
        })?;
    }
    Ok(())
}

fn invariant_a_job_ends_once_after_its_tasks(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let Fact::JobEnded(name) = fact else { continue };
        let Some(job) = scene.reference.jobs.get(name) else { return Err(format!("{name:?} is unknown")) };
        ensure(job.ends == 1, || format!("the end of {name:?} was reported {} times", job.ends))?;
        let may_be_open = job.is_stopped() || scene.reference.results.may_get_more_later(*name);
        ensure(job.closed || may_be_open, || format!("{name:?} ended while it was open"))?;
        let open = job.unended();
        ensure(open == 0 || job.cancelled, || format!("{name:?} ended before {open} of its tasks"))?;
    }
    Ok(())
}

fn invariant_an_output_is_the_tasks_own(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, memo, .. } in ends(scene) {
        if report.outcome != Outcome::Done {
            continue;
        }
        let task = scene.reference.task(*job, *index);
        let own = task.map(|task| task.spec.success()).is_some_and(|own| {
            (own.output, own.errors, own.files)
                == (report.output.clone(), report.errors.clone(), report.files.clone())
        });
        // A job that is not verified may get a lie; a verified one may not.
        let asked = scene.reference.jobs.get(job).map_or(1, |owed| owed.policy.verify);
        let lied = asked < 2 && scene.reference.lies.contains(&report.output.id());
        ensure(own || lied || memories::was_told(scene, *memo, report), || {
            format!("{job:?} task {index} brought {:?}", report.output)
        })?;
        let here = report.blobs().all(|blob| scene.host.blobs.contains(&blob));
        ensure(here, || format!("{job:?} task {index} ended before its output was here"))?;
    }
    Ok(())
}

fn invariant_a_proof_is_its_tasks_own(scene: &Scene<'_>) -> Result<(), String> {
    for End { job, index, report, worker, proof, .. } in ends(scene) {
        let (Some(proof), Some(owed)) = (proof, scene.reference.jobs.get(job)) else { continue };
        ensure(owed.terms.receipts, || format!("{job:?} task {index} has a proof that was not asked for"))?;
        let (Some(worker), Some(task)) = (worker, scene.reference.task(*job, *index)) else {
            return Err(format!("{job:?} task {index} has a proof and no worker"));
        };
        let name = owed.program.task_id(&task.input);
        let leaf = Receipt::new(name, &owed.program, report, *worker).leaf();
        let signed = proof.root(leaf).map(|root| signature(*worker, root));
        ensure(signed == Some(proof.signature), || format!("the proof of {job:?} task {index} is wrong"))?;
    }
    Ok(())
}

fn invariant_what_is_printed_was_asked_for(scene: &Scene<'_>) -> Result<(), String> {
    for fact in scene.facts {
        let Fact::Printed { job, index, bytes } = fact else { continue };
        let wanted = scene.reference.jobs.get(job).is_some_and(|job| job.terms.stream);
        ensure(wanted && **bytes == *PRINTED, || format!("{job:?} task {index} printed {bytes:?}"))?;
    }
    Ok(())
}
