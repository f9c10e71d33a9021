//! A job's log as the job table shows it.

use std::sync::Arc;

use weft_core::durable::{Accepted, Restored};
use weft_core::{Level, PeerId, Submission};
use weft_journal::{Listing, State};

use super::tally::Tally;
use crate::jobs::{self, Counts, Custody, JobMeta, Led, Restarted, RestoredJob, Title, now_ms};

/// A job as its log says that it is, with its line in the list if it has one. One at level `mesh` is shown as one that is led
/// elsewhere: who leads it is for the engine to find out. The owner of one at level `disk` is this node, unless it is a copy.
pub(super) fn of(me: PeerId, restored: &Restored, tally: &Tally, line: Option<&Listing>) -> RestoredJob {
    let spec = restored.spec();
    let has_ended = restored.has_ended();
    let now = now_ms();
    let restarted = Restarted { at_ms: now, kept: tally.counts.ended(), open: tally.open() };
    let custody = tally.custody(me);
    let owner = tally.owner.unwrap_or(me);
    let submitted_ms = line.map_or(restored.submitted_at().0 / 1000, |line| line.since_ms);
    RestoredJob {
        meta: meta(spec, owner, line.map(title_of).unwrap_or_else(|| title(spec)), submitted_ms),
        // Where neither its line nor its log says when, it counts from now.
        ended_ms: has_ended
            .then(|| line.and_then(|line| line.ended_ms).or_else(|| tally.ended_ms()).unwrap_or(now)),
        read_ms: None,
        closed: !restored.is_open(),
        cancelled: restored.is_cancelled(),
        given_up: restored.is_given_up(),
        counts: tally.counts,
        input_bytes: tally.input_bytes,
        told: tally.told,
        ended: if has_ended { Vec::new() } else { tally.ended.0.clone() },
        accepted: true,
        restarted: (!has_ended).then_some(restarted),
        refused_more: restored.not_taken().map(|not_taken| jobs::not_taken(not_taken.tasks, &not_taken.why)),
        custody,
    }
}

/// A job that another node leads, as its first record on this node's disk is. What it has of tasks follows.
pub(crate) fn kept_for_another(accepted: &Accepted) -> Option<RestoredJob> {
    let spec = &accepted.spec;
    let keepers = accepted.keepers.peers();
    let owner = *keepers.first()?;
    let led = Led::Elsewhere { leader: Some(owner) };
    let custody = Custody { keepers, led, shared: spec.about.shared };
    Some(RestoredJob {
        meta: meta(spec, owner, title(spec), spec.about.submitted_ms),
        ended_ms: None,
        read_ms: None,
        closed: spec.closed,
        cancelled: false,
        given_up: false,
        counts: Counts::default(),
        input_bytes: 0,
        told: 0,
        ended: Vec::new(),
        accepted: true,
        restarted: None,
        refused_more: None,
        custody: Some(custody),
    })
}

fn meta(spec: &Submission, owner: PeerId, title: Title, submitted_ms: u64) -> JobMeta {
    JobMeta {
        module: spec.program.module,
        class: spec.class,
        detached: true,
        level: spec.level,
        owner,
        shared: spec.about.shared,
        title: Arc::new(title),
        submitted_ms,
        streamed: false,
        signed: spec.terms.receipts.then(|| Arc::clone(&spec.program)),
        after: spec.after.clone().into(),
        takes_results: spec.join.takes_results(),
    }
}

/// What a job is called by its submission, which may be another node's: nothing, if that is none for the list.
fn title(spec: &Submission) -> Title {
    let about = &spec.about;
    let line = Listing {
        owner: PeerId([0; 32]),
        name: about.name.clone(),
        labels: about.labels.clone(),
        state: State::Running,
        since_ms: 0,
        ended_ms: None,
        tasks: 0,
        done: 0,
        failed: 0,
    };
    if spec.level >= Level::Disk && line.check().is_ok() { title_of(&line) } else { Title::default() }
}

fn title_of(line: &Listing) -> Title {
    Title { name: line.name.clone(), labels: line.labels.iter().cloned().collect() }
}
