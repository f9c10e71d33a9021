//! Jobs at level `mesh`: what is told and when, and how a job goes on when nodes that keep it are gone. The rules of the members
//! are tested in `custody.rs`; here is what engines do with them.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

#[path = "level_mesh/adopted.rs"]
mod adopted;
#[path = "level_mesh/leads.rs"]
mod leads;
#[path = "level_mesh/left.rs"]
mod left;
#[path = "level_mesh/parents.rs"]
mod parents;
#[path = "level_mesh/unwritten.rs"]
mod unwritten;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_core::durable::LogRecord;
use weft_core::message::Message;
use weft_core::snapshot::{KeptView, Note};
use weft_core::*;
use wire::{JOB, Mesh, id, index};

const CHILD: JobId = JobId(0xc1d);

fn kept(what: &mut Submission) {
    what.level = Level::Mesh;
}

/// The nodes that keep a job, by their seats, as the first of its records says.
fn keepers(mesh: &Mesh, node: usize, job: JobId) -> [usize; 3] {
    let log = mesh.disks[node].log(job);
    let Some(LogRecord::Accepted(first)) = log.first() else { panic!("the job is not kept") };
    first.keepers.trio().expect("it is kept by three").0.map(|seat| index(seat.peer))
}

/// What a node's user was told of a job, in a word each.
fn words(mesh: &Mesh, node: usize, of: JobId) -> Vec<String> {
    let word = |event: &Event| {
        let (job, word) = match event {
            Event::Accepted { job, tasks } => (*job, format!("accepted {tasks}")),
            Event::TaskEnded { job, index, report, .. } => {
                (*job, format!("{index} {}", report.outcome.word()))
            }
            Event::JobEnded { job } => (*job, "ended".into()),
            Event::Confirmed { job } => (*job, "confirmed".into()),
            Event::Forgotten { job, .. } => (*job, "forgotten".into()),
            Event::RetryRefused { job, reason } => (*job, format!("not again: {reason:?}")),
            Event::Refused { job, reason } => (*job, format!("{reason:?}")),
            Event::Leads { job } => (*job, "leads".into()),
            Event::Follows { job, leader } => {
                let leader = leader.map_or("none".into(), |peer| index(peer).to_string());
                (*job, format!("follows {leader}"))
            }
            Event::Keepers { job, keepers } => {
                (*job, format!("kept by {:?}", keepers.iter().map(|peer| index(*peer)).collect::<Vec<_>>()))
            }
            Event::DependenciesSatisfied { job } => (*job, "satisfied".into()),
            Event::Printed { .. }
            | Event::Lost { .. }
            | Event::JobGivenUp { .. }
            | Event::Differed { .. }
            | Event::Leased { .. }
            | Event::OwnerGone { .. }
            | Event::Grown { .. }
            | Event::ExtensionRefused { .. } => return None,
        };
        (job == of).then_some(word)
    };
    mesh.events[node].iter().filter_map(word).collect()
}

/// Ends of tasks that any node told: each task's outcomes, in a word each.
fn told(mesh: &Mesh, of: JobId) -> BTreeMap<u32, Vec<String>> {
    let mut told: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for event in mesh.events.iter().flatten() {
        if let Event::TaskEnded { job, index, report, .. } = event
            && *job == of
        {
            told.entry(*index).or_default().push(report.outcome.word().into());
        }
    }
    told
}

fn view(mesh: &Mesh, node: usize, job: JobId) -> Option<KeptView> {
    mesh.engines[node].snapshot().kept.into_iter().find(|view| view.job == job)
}

fn leader(mesh: &Mesh, node: usize) -> Option<usize> {
    view(mesh, node, JOB).and_then(|view| view.leader).map(index)
}

/// Runs what runs until nothing does, with time for what waits.
fn run(mesh: &mut Mesh, ms: u64) {
    for _ in 0..ms / 500 {
        mesh.steps = 0;
        mesh.run_all();
        mesh.advance_ms(500);
    }
}

/// Seconds in which little happens.
fn pass(mesh: &mut Mesh, seconds: u64) {
    for _ in 0..seconds {
        mesh.steps = 0;
        mesh.advance_ms(1_000);
    }
}

/// Records of a job on a node's disk, in a word each.
fn kinds(mesh: &Mesh, node: usize, job: JobId) -> Vec<String> {
    let kind = |record: LogRecord| match record {
        LogRecord::Accepted(_) => "accepted".into(),
        LogRecord::Outcomes(all) => format!("outcomes {}", all.len()),
        LogRecord::Rest(rest) => format!("rest {}", rest.tasks.len()),
        LogRecord::ParentEnded(end) => format!("parent {}", end.succeeded),
        LogRecord::Cancelled => "cancelled".into(),
        LogRecord::Ended { .. } => "ended".into(),
        LogRecord::Retried { epoch, .. } => format!("retried {epoch}"),
        LogRecord::Led { epoch, .. } => format!("led {epoch}"),
        LogRecord::Replaced { seat, .. } => format!("replaced {seat}"),
        LogRecord::Extended { inputs } => format!("extended {}", inputs.len()),
        LogRecord::Closed => "closed".into(),
        LogRecord::NotTaken(_) => "not taken".into(),
        LogRecord::Given { workers } => format!("given once to {}", workers.len()),
        LogRecord::Leased { all } => format!("given to {}", all.len()),
        LogRecord::Resolved { inputs } => format!("resolved {}", inputs.len()),
        LogRecord::GivenUp { failed } => format!("given up {failed}"),
        LogRecord::Restarted { epoch, .. } => format!("restarted {epoch}"),
    };
    mesh.disks[node].log(job).into_iter().map(kind).collect()
}

/// A job of this many tasks of node 0, which has no slots; the nodes that keep it.
fn submitted(slots: &[u32], tasks: usize) -> (Mesh, [usize; 3]) {
    let mut mesh = Mesh::keeping(slots);
    mesh.submit_with(0, tasks, kept);
    let keepers = keepers(&mesh, 0, JOB);
    (mesh, keepers)
}

// ---- who keeps it

#[test]
fn a_job_is_accepted_once_a_second_disk_has_it() {
    let mut mesh = Mesh::keeping(&[0, 1, 1, 1]);
    mesh.lazy = true;
    mesh.submit_with(0, 2, kept);
    let [owner, custodian, witness] = keepers(&mesh, 0, JOB);
    assert_eq!(owner, 0);
    assert_eq!(words(&mesh, 0, JOB), Vec::<String>::new());
    assert_eq!(mesh.running().iter().sum::<usize>(), 2, "placing does not wait");
    mesh.sync(0);
    assert_eq!(words(&mesh, 0, JOB), Vec::<String>::new(), "its own disk alone is not enough");
    mesh.sync(custodian);
    let kept_by = format!("kept by {:?}", [0, custodian, witness]);
    assert_eq!(words(&mesh, 0, JOB), [kept_by.as_str(), "accepted 2"]);
    mesh.run_all();
    mesh.sync(0);
    assert_eq!(words(&mesh, 0, JOB).len(), 2, "no end of a task is told before it is on two disks");
    mesh.sync(custodian);
    assert_eq!(words(&mesh, 0, JOB)[2..], ["0 done", "1 done", "ended"]);
}

#[test]
fn fewer_than_three_nodes_with_disks_are_too_few() {
    let mut mesh = Mesh::keeping(&[0, 1]);
    mesh.submit_with(0, 1, kept);
    assert_eq!(words(&mesh, 0, JOB), ["TooFewKeepers { found: 2 }"]);
    mesh.keep = false;
    mesh.join(1, Vec::new());
    mesh.advance_ms(1000);
    mesh.submit_with(0, 1, kept);
    assert_eq!(words(&mesh, 0, JOB)[1..], ["TooFewKeepers { found: 2 }"], "the third has no disk");
    mesh.submit_with(2, 1, kept);
    assert_eq!(words(&mesh, 2, JOB), ["JournalFailed"]);
    mesh.keep = true;
    mesh.join(1, Vec::new());
    mesh.advance_ms(1000);
    mesh.input(3, Input::Command(Command::Drain(true)));
    mesh.advance_ms(1000);
    mesh.submit_with(0, 1, kept);
    assert_eq!(words(&mesh, 0, JOB)[2..], ["TooFewKeepers { found: 2 }"], "one that drains takes none");
    mesh.input(3, Input::Command(Command::Drain(false)));
    mesh.input(1, Input::JournalFailed);
    mesh.advance_ms(1000);
    mesh.submit_with(0, 1, kept);
    assert_eq!(words(&mesh, 0, JOB)[3..], ["TooFewKeepers { found: 2 }"], "nor does one whose disk failed");
}

#[test]
fn what_is_fetched_is_here_before_it_counts_as_kept() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.inputs = vec![Payload::Blob { id: BlobId::of(b"input"), bytes: 5 }];
    });
    assert_eq!(words(&mesh, 0, JOB), Vec::<String>::new());
    let wanted = mesh.held_fetches.take().expect("they are held");
    let by = |node: usize| {
        wanted.iter().filter(|(of, ..)| *of == node).map(|(_, blob, _)| *blob).collect::<Vec<_>>()
    };
    let all = by(1);
    assert_eq!((all.len(), by(2).len(), by(0).len()), (2, 2, 0), "module and input, each where it is not");
    assert!(wanted.iter().all(|(_, _, from)| from.first() == Some(&id(0))), "its leader is asked first");
    mesh.held_fetches = Some(Vec::new());
    mesh.input(1, Input::Fetched { blob: all[0], fetched: Fetched::Here });
    assert!(mesh.disks[1].log(JOB).is_empty() && words(&mesh, 0, JOB).is_empty());
    assert_eq!(mesh.pins.get(&(1, all[0])), Some(&1), "it is pinned until its record is written");
    mesh.input(1, Input::Fetched { blob: all[1], fetched: Fetched::Missing });
    mesh.advance_ms(6000);
    assert_eq!(mesh.held_fetches.as_ref().map(Vec::len), Some(1), "it is tried again");
    mesh.input(1, Input::Fetched { blob: all[1], fetched: Fetched::Here });
    assert_eq!(words(&mesh, 0, JOB)[1..], ["accepted 1"]);
    assert!(all.iter().all(|blob| mesh.pins[&(1, *blob)] == 0), "its driver keeps it from now on");
}

#[test]
fn a_keeper_whose_bytes_are_gone_fetches_them_again_and_does_not_count_until_then() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.lazy = true;
    mesh.submit_with(0, 1, kept);
    let [_, custodian, witness] = keepers(&mesh, 0, JOB);
    mesh.switch_off(witness);
    mesh.held_fetches = Some(Vec::new());
    let lost = [BlobId::of(b"module"), BlobId::of(b"input")];
    lost.iter().for_each(|blob| mesh.input(custodian, Input::BlobLost { job: JOB, blob: *blob }));
    mesh.sync(0);
    mesh.sync(custodian);
    mesh.steps = 0;
    mesh.advance_ms(3_000);
    assert_eq!(
        words(&mesh, 0, JOB),
        Vec::<String>::new(),
        "its record is written, and its bytes are not there"
    );
    let wanted = mesh.held_fetches.take().expect("they are held");
    let of = |(of, blob, _): &(usize, BlobId, Vec<PeerId>)| (*of == custodian).then_some(*blob);
    assert_eq!(wanted.iter().filter_map(of).collect::<Vec<_>>(), lost[..1]);
    mesh.held_fetches = Some(Vec::new());
    mesh.input(custodian, Input::Fetched { blob: lost[0], fetched: Fetched::Here });
    assert_eq!(words(&mesh, 0, JOB), Vec::<String>::new(), "one of two");
    mesh.input(custodian, Input::Fetched { blob: lost[1], fetched: Fetched::Here });
    assert_eq!(words(&mesh, 0, JOB)[1..], ["accepted 1"]);
}

#[test]
fn a_job_on_disk_does_not_wait_for_one_that_three_keep() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[1, 0, 0], 1);
    mesh.switch_off(custodian);
    mesh.switch_off(witness);
    mesh.run_all();
    mesh.advance_ms(3000);
    assert_eq!(words(&mesh, 0, JOB).len(), 2, "no other disk has its end");
    let why = mesh.engines[0].why(mesh.now, JOB, 0).expect("it has that task");
    assert!(why.notes.iter().any(|note| matches!(note, Note::KeeperBehind { waited_ms: 2900.. })), "{why:?}");
    mesh.submit_with(0, 1, |what| {
        what.level = Level::Disk;
        what.job = CHILD;
    });
    mesh.run_all();
    assert_eq!(words(&mesh, 0, CHILD), ["accepted 1", "0 done", "ended"]);
}

// ---- what its user does with it

#[test]
fn a_cancelled_job_is_over_everywhere() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1], 3);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.advance_ms(1000);
    assert_eq!(words(&mesh, 0, JOB)[2..], ["0 cancelled", "1 cancelled", "2 cancelled", "ended"]);
    mesh.run_all();
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(40_000);
    for node in [custodian, witness] {
        let job = mesh.disks[node].fold(JOB);
        assert!(job.has_ended() && job.is_cancelled() && job.figures().cancelled == 3);
    }
    assert_eq!(mesh.running(), [0, 0, 0], "no node takes up what was cancelled");
}

#[test]
fn a_forgotten_job_is_gone_everywhere_and_stays_so() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[1, 1, 1], 1);
    run(&mut mesh, 3000);
    mesh.switch_off(witness);
    mesh.input(custodian, Input::Command(Command::ForgetJob { job: JOB }));
    assert!(view(&mesh, 0, JOB).is_some(), "only who leads it has it forgotten");
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    mesh.advance_ms(3000);
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("forgotten"));
    assert_eq!((view(&mesh, 0, JOB), view(&mesh, custodian, JOB)), (None, None));
    assert!(mesh.disks[0].logs.is_empty() && mesh.disks[custodian].logs.is_empty());
    mesh.restart(witness, 1);
    mesh.steps = 0;
    mesh.advance_ms(40_000);
    assert_eq!(view(&mesh, witness, JOB), None, "who was away learns it");
    assert!(mesh.disks[witness].logs.is_empty());
    assert!(mesh.engines.iter().all(|engine| engine.snapshot().jobs.is_empty()));
}

#[test]
fn a_node_that_missed_the_word_is_told_again_that_a_job_is_forgotten() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[1, 1, 1], 1);
    run(&mut mesh, 3000);
    mesh.deaf = Some((0, witness));
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    mesh.advance_ms(500);
    assert_eq!((view(&mesh, 0, JOB), view(&mesh, custodian, JOB)), (None, None));
    assert!(view(&mesh, witness, JOB).is_some(), "it heard nothing of it, and is connected");
    mesh.deaf = None;
    mesh.steps = 0;
    mesh.advance_ms(2_500);
    assert_eq!(view(&mesh, witness, JOB), None);
    assert!(mesh.disks[witness].logs.is_empty());
    mesh.log.clear();
    pass(&mut mesh, 20);
    let says_so = |message: &Message| matches!(message, Message::Custody(all) if all.iter().any(|one| one.job() == JOB));
    assert!(
        !mesh.log.iter().any(|(_, _, message)| says_so(message)),
        "once all have agreed, nothing is said"
    );
}

#[test]
fn a_job_whose_lead_went_elsewhere_is_told_nothing_of_what_it_waited_for() {
    const PARENT: JobId = JobId(0xa0);
    let mut mesh = Mesh::keeping(&[2, 0, 0]);
    mesh.submit_with(0, 1, |what| {
        (what.job, what.level, what.policy.retries) = (PARENT, Level::Disk, 0);
    });
    let run = mesh.slots[0][0];
    mesh.end(0, run, Report::bare(Outcome::Failed(Failure::Exit(1))));
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.after = vec![PARENT];
    });
    mesh.advance_ms(1000);
    assert!(mesh.disks[0].fold(JOB).has_ended(), "it is skipped");
    for job in [PARENT, JOB] {
        let log = mesh.disks[0].fold(job);
        mesh.input(0, Input::Command(Command::Retry(log)));
        mesh.advance_ms(100);
    }
    assert_eq!(mesh.running(), [1, 0, 0], "the second waits for the first");
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.advance_ms(5000);
    assert_ne!(leader(&mesh, 0), Some(0));
    mesh.run_some(0);
    assert!(mesh.disks[0].fold(PARENT).has_ended());
}

#[test]
fn failed_tasks_are_tried_again_in_a_new_epoch() {
    let mut mesh = Mesh::keeping(&[2, 0, 0]);
    mesh.submit_with(0, 2, |what| {
        kept(what);
        what.policy.retries = 0;
    });
    let runs = mesh.slots[0].clone();
    mesh.end(0, runs[0], Report::bare(Outcome::Failed(Failure::Exit(1))));
    mesh.end(0, runs[1], Report::bare(Outcome::Done));
    mesh.advance_ms(1000);
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("ended"));
    let log = mesh.disks[0].fold(JOB);
    mesh.events[0].clear();
    mesh.input(0, Input::Command(Command::Retry(log)));
    mesh.advance_ms(100);
    assert_eq!(mesh.running(), [1, 0, 0]);
    run(&mut mesh, 3000);
    let told = words(&mesh, 0, JOB);
    assert_eq!(told[0], "leads");
    assert_eq!(told[2], "confirmed");
    assert_eq!(told.last().map(String::as_str), Some("ended"));
    assert!(kinds(&mesh, 1, JOB).contains(&"retried 6".into()), "{:?}", kinds(&mesh, 1, JOB));
    assert_eq!(mesh.disks[2].fold(JOB).figures().done, 2);
}
