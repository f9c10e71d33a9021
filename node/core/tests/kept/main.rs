//! Jobs at level `disk`: what is told and when, what is written, and how a job goes on in a later life of its owner.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod adopted;
mod held;
mod later_lives;
mod no_disk;
mod waiting;
#[path = "../wire/mod.rs"]
mod wire;
mod written;

use weft_core::durable::{LogRecord, NotTaken};
use weft_core::message::Message;
use weft_core::*;
use wire::{JOB, Mesh};

const CHILD: JobId = JobId(0xc1d);

fn kept(what: &mut Submission) {
    what.level = Level::Disk;
}

fn lazy(slots: &[u32]) -> Mesh {
    let mut mesh = Mesh::of(slots);
    mesh.lazy = true;
    mesh
}

/// The events of a node about jobs, in a word each.
fn words(mesh: &Mesh, node: usize) -> Vec<String> {
    let word = |event: &Event| match event {
        Event::Accepted { tasks, .. } => format!("accepted {tasks}"),
        Event::TaskEnded { index, report, .. } => format!("{index} {}", report.outcome.word()),
        Event::JobEnded { .. } => "ended".into(),
        Event::JobGivenUp { failed, .. } => format!("given up {failed}"),
        Event::DependenciesSatisfied { .. } => "satisfied".into(),
        Event::Confirmed { .. } => "confirmed".into(),
        Event::Forgotten { .. } => "forgotten".into(),
        Event::Grown { tasks, .. } => format!("grown to {tasks}"),
        Event::ExtensionRefused { tasks, .. } => format!("not extended by {tasks}"),
        Event::Refused { reason, .. } => format!("{reason:?}"),
        Event::RetryRefused { reason, .. } => format!("not again: {reason:?}"),
        Event::Leads { .. } => "leads".into(),
        Event::Follows { .. } => "follows".into(),
        Event::Keepers { keepers, .. } => format!("kept by {}", keepers.len()),
        Event::Printed { .. }
        | Event::Lost { .. }
        | Event::Differed { .. }
        | Event::Leased { .. }
        | Event::OwnerGone { .. } => "else".into(),
    };
    let told = mesh.events[node].iter().filter(|event| !matches!(event, Event::Leased { .. }));
    told.map(word).collect()
}

/// The records of a node's life, in a word each.
fn kinds(mesh: &Mesh, node: usize) -> Vec<String> {
    let kind = |record: LogRecord| match record {
        LogRecord::Accepted(accepted) => format!("accepted {}", accepted.tasks),
        LogRecord::Extended { inputs } => format!("extended {}", inputs.len()),
        LogRecord::Closed => "closed".into(),
        LogRecord::Outcomes(all) => format!("outcomes {}", all.len()),
        LogRecord::Rest(rest) => format!("rest {}", rest.tasks.len()),
        LogRecord::ParentEnded(end) => format!("parent {}", end.succeeded),
        LogRecord::Cancelled => "cancelled".into(),
        LogRecord::GivenUp { failed } => format!("given up {failed}"),
        LogRecord::Restarted { epoch, .. } => format!("epoch {epoch}"),
        LogRecord::Ended { .. } => "ended".into(),
        LogRecord::Retried { epoch, .. } => format!("retried {epoch}"),
        LogRecord::Led { epoch, .. } => format!("led {epoch}"),
        LogRecord::Replaced { seat, .. } => format!("replaced {seat}"),
        LogRecord::NotTaken(NotTaken { tasks, .. }) => format!("not taken {tasks}"),
        LogRecord::Given { workers } => format!("given once to {}", workers.len()),
        LogRecord::Leased { all } => format!("given to {}", all.len()),
        LogRecord::Resolved { inputs } => format!("resolved {}", inputs.len()),
    };
    mesh.records(node).into_iter().map(kind).collect()
}

/// The epoch that a node's life began.
fn epoch(mesh: &Mesh, node: usize) -> u32 {
    let begun = |record: &LogRecord| {
        if let LogRecord::Restarted { epoch, .. } = record { Some(*epoch) } else { None }
    };
    mesh.records(node).iter().find_map(begun).expect("it was started again")
}

fn acks(mesh: &Mesh, from: usize) -> usize {
    let sent = mesh.log.iter().filter(|(sender, ..)| *sender == from);
    let acks = sent.map(|(.., message)| {
        let alone = if let Message::Ack(leases) = message { leases.len() } else { 0 };
        alone + if let Message::Assign(assign) = message { assign.acks.len() } else { 0 }
    });
    acks.sum()
}

fn leases_awarded(mesh: &Mesh) -> Vec<LeaseId> {
    let mut grants = Vec::new();
    for (.., message) in &mesh.log {
        if let Message::Award(award) = message {
            grants.extend(&award.grants);
        }
        if let Message::Assign(assign) = message {
            grants.extend(&assign.grants);
        }
    }
    grants.into_iter().map(|grant| grant.lease).collect()
}

fn cancel(mesh: &mut Mesh, node: usize) {
    mesh.input(node, Input::Command(Command::Cancel { job: JOB }));
}
