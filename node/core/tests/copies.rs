//! Copies of jobs at level `disk`: where two nodes can keep jobs, the other one has the log of each, and never goes on with it.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::ops::Range;

use weft_core::custody::{CustodyMessage, Keepers, Pair, Position, Seat};
use weft_core::durable::{Accepted, Adopting, Fold, LogRecord, Unsound};
use weft_core::message::{BATCH_MAX, Message};
use weft_core::snapshot::CopyView;
use weft_core::*;
use wire::{JOB, Mesh, id, index};

/// Node 0 submits a job of this many tasks at level disk; node 1 has no slots.
fn submitted(tasks: usize) -> Mesh {
    let mut mesh = Mesh::keeping(&[1, 0]);
    mesh.submit_with(0, tasks, |what| what.level = Level::Disk);
    mesh
}

fn bytes(mesh: &Mesh, node: usize) -> Vec<Vec<u8>> {
    mesh.disks[node].log(JOB).iter().map(LogRecord::encode).collect()
}

fn view(mesh: &Mesh, node: usize) -> Option<CopyView> {
    mesh.engines[node].snapshot().copies.into_iter().find(|view| view.job == JOB)
}

/// Ends the first of the tasks that run on node 0.
fn run_one(mesh: &mut Mesh) {
    let run = mesh.slots[0][0];
    mesh.end(0, run, Report::bare(Outcome::Done));
}

fn outcomes(mesh: &Mesh, node: usize) -> usize {
    mesh.disks[node].log(JOB).iter().map(|record| record.ends().count()).sum()
}

fn told(mesh: &Mesh, node: usize, event: impl Fn(&Event) -> bool) -> usize {
    mesh.events[node].iter().filter(|told| event(told)).count()
}

/// Whether a node goes on with the job in any way.
fn goes_on(mesh: &Mesh, node: usize) -> bool {
    let snapshot = mesh.engines[node].snapshot();
    let leads = told(mesh, node, |event| matches!(event, Event::Leads { .. } | Event::TaskEnded { .. }));
    !snapshot.jobs.is_empty() || !snapshot.kept.is_empty() || leads > 0 || mesh.running()[node] > 0
}

fn custody(message: CustodyMessage) -> Message {
    Message::Custody(vec![message])
}

fn keep(job: JobId, after: Position, records: Vec<Vec<u8>>) -> CustodyMessage {
    let records = records.into_iter().map(Into::into).collect();
    CustodyMessage::Keep { job, epoch: 0, after, records, committed: 0, last: 0 }
}

fn behind(seq: u32) -> Position {
    Position { epoch: 0, seq }
}

// ---- who has one

#[test]
fn where_two_nodes_keep_jobs_the_other_one_has_a_copy_of_all_that_is_written() {
    let mut mesh = submitted(3);
    let kept_by = |event: &Event| matches!(event, Event::Keepers { keepers, .. } if keepers.iter().map(|peer| index(*peer)).eq([0, 1]));
    assert_eq!(told(&mesh, 0, kept_by), 1, "its user is told who has it");
    mesh.run_all();
    let owner = bytes(&mesh, 0);
    assert!(owner.len() > 3 && outcomes(&mesh, 0) == 3, "it has ended");
    assert_eq!(bytes(&mesh, 1), owner);
    let records = u32::try_from(owner.len()).unwrap();
    let copy = CopyView { job: JOB, owner: id(0), is_connected: true, records };
    assert_eq!(view(&mesh, 1), Some(copy));
    assert!(!goes_on(&mesh, 1) && view(&mesh, 0).is_none());
    mesh.advance_ms(120_000);
    let before = mesh.log.len();
    mesh.advance_ms(120_000);
    let said = mesh.log[before..].iter().filter(|(.., message)| matches!(message, Message::Custody(_)));
    assert_eq!(said.count(), 0, "what is whole costs nothing");
}

#[test]
fn one_node_or_three_keep_no_copy() {
    for slots in [&[1][..], &[1, 0, 0]] {
        let mut mesh = Mesh::keeping(slots);
        mesh.submit_with(0, 1, |what| what.level = Level::Disk);
        mesh.run_all();
        assert_eq!(told(&mesh, 0, |event| matches!(event, Event::Keepers { .. })), 0);
        assert!(mesh.disks.iter().skip(1).all(|disk| disk.logs.is_empty()));
    }
}

#[test]
fn nothing_that_is_told_waits_for_the_copy() {
    let mut mesh = Mesh::keeping(&[1, 0]);
    mesh.lazy = true;
    mesh.submit_with(0, 1, |what| what.level = Level::Disk);
    mesh.sync(0);
    assert_eq!(told(&mesh, 0, |event| matches!(event, Event::Accepted { .. })), 1);
    mesh.run_all();
    mesh.sync(0);
    assert_eq!(told(&mesh, 0, |event| matches!(event, Event::JobEnded { .. })), 1);
    assert_eq!(view(&mesh, 1).map(|copy| copy.records), Some(0), "nothing is on the other disk yet");
    for _ in 0..20 {
        mesh.sync(1);
        mesh.advance_ms(100);
    }
    assert_eq!(bytes(&mesh, 1), bytes(&mesh, 0));
}

#[test]
fn a_record_is_in_the_copy_once_its_bytes_are_there() {
    let mut mesh = Mesh::keeping(&[0, 0]);
    mesh.held_fetches = Some(Vec::new());
    mesh.submit_with(0, 1, |what| what.level = Level::Disk);
    let wanted = mesh.held_fetches.take().expect("they are held");
    assert_eq!(wanted, [(1, BlobId::of(b"module"), vec![id(0)])]);
    assert!(bytes(&mesh, 1).is_empty());
    mesh.input(1, Input::Fetched { blob: wanted[0].1, fetched: Fetched::Here });
    assert_eq!(bytes(&mesh, 1), bytes(&mesh, 0));
    assert_eq!(mesh.pins[&(1, wanted[0].1)], 0, "its driver keeps it from now on");
}

// ---- it never goes on by itself

#[test]
fn a_copy_never_goes_on_by_itself_whatever_it_is_told() {
    let mut mesh = submitted(3);
    run_one(&mut mesh);
    mesh.cut(0, 1, true);
    let before = bytes(&mesh, 1);
    for _ in 0..60 {
        mesh.steps = 0;
        mesh.advance_ms(60_000);
    }
    assert!(!goes_on(&mesh, 1) && bytes(&mesh, 1) == before);
    assert_eq!(view(&mesh, 1).map(|copy| copy.is_connected), Some(false));
    mesh.join_again(0, 1);
    let epoch = 4;
    for message in [
        CustodyMessage::HandOver { job: JOB, epoch: 0 },
        CustodyMessage::HandOver { job: JOB, epoch },
        CustodyMessage::Seal { job: JOB, epoch },
        CustodyMessage::PreSeal { job: JOB, epoch },
        CustodyMessage::PreSealed { job: JOB, epoch: 0, silent: true },
        CustodyMessage::Stale { job: JOB, promised: epoch },
        CustodyMessage::Unknown { job: JOB, disk: 1001 },
        CustodyMessage::Forget { job: JOB, epoch },
        CustodyMessage::Dismissed { job: JOB, at: behind(1) },
    ] {
        let said = mesh.log.len();
        mesh.say(0, 1, custody(message.clone()));
        let answered = mesh.log[said..]
            .iter()
            .any(|(from, _, message)| *from == 1 && matches!(message, Message::Custody(_)));
        assert!(!answered, "{message:?}");
        mesh.advance_ms(20_000);
        assert!(!goes_on(&mesh, 1) && view(&mesh, 1).is_some(), "{message:?}");
        assert!(mesh.disks[1].promises.is_empty(), "{message:?}");
    }
}

// ---- lives

#[test]
fn an_owner_that_is_started_again_goes_on_and_its_copy_catches_up() {
    let mut mesh = submitted(6);
    run_one(&mut mesh);
    mesh.switch_off(1);
    run_one(&mut mesh);
    mesh.restart(0, 1);
    assert_eq!(outcomes(&mesh, 1), 1);
    mesh.advance_ms(5_000);
    run_one(&mut mesh);
    mesh.restart(1, 0);
    mesh.advance_ms(5_000);
    assert_eq!((outcomes(&mesh, 1), bytes(&mesh, 1)), (3, bytes(&mesh, 0)), "the copy was away");
    mesh.restart(0, 1);
    mesh.steps = 0;
    for _ in 0..20 {
        mesh.run_all();
        mesh.advance_ms(1000);
    }
    assert_eq!((outcomes(&mesh, 0), bytes(&mesh, 1)), (6, bytes(&mesh, 0)));
    assert!(!goes_on(&mesh, 1));
}

#[test]
fn a_copy_whose_disk_is_lost_gets_all_of_it_again() {
    let mut mesh = submitted(3);
    mesh.run_all();
    mesh.switch_off(1);
    mesh.wipe(1);
    mesh.restart(1, 0);
    mesh.advance_ms(5_000);
    assert_eq!(bytes(&mesh, 1), bytes(&mesh, 0));
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    for deaf in [(0, 1), (1, 0)] {
        let mut mesh = Mesh::keeping(&[1, 0]);
        mesh.deaf = Some(deaf);
        mesh.submit_with(0, 3, |what| what.level = Level::Disk);
        mesh.run_all();
        mesh.deaf = None;
        mesh.advance_ms(10_000);
        assert_eq!(bytes(&mesh, 1), bytes(&mesh, 0), "{deaf:?}");
    }
}

#[test]
fn an_owner_that_lost_its_disk_does_not_take_the_copy_with_it() {
    let mut mesh = submitted(3);
    run_one(&mut mesh);
    let copy = bytes(&mesh, 1);
    mesh.switch_off(0);
    mesh.wipe(0);
    mesh.restart(0, 1);
    for _ in 0..30 {
        mesh.steps = 0;
        mesh.advance_ms(60_000);
    }
    assert_eq!(bytes(&mesh, 1), copy);
}

#[test]
fn an_owner_whose_disk_may_lack_records_sends_no_others_in_their_place() {
    let mut mesh = submitted(3);
    let old = mesh.disks[0].logs.clone();
    run_one(&mut mesh);
    let copy = bytes(&mesh, 1);
    assert_eq!(outcomes(&mesh, 1), 1);
    mesh.switch_off(0);
    mesh.wipe(0);
    mesh.disks[0].logs = old;
    mesh.restart(0, 1);
    mesh.advance_ms(5_000);
    mesh.run_all();
    mesh.advance_ms(120_000);
    assert!(outcomes(&mesh, 0) == 3 && bytes(&mesh, 1) == copy, "its log is another one by now");
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    assert_eq!((view(&mesh, 1), mesh.disks[1].logs.len()), (None, 0), "that it is forgotten is said");
}

// ---- forgotten

#[test]
fn a_forgotten_job_is_forgotten_at_the_copy_also_where_that_was_away() {
    for away in [false, true] {
        let mut mesh = submitted(2);
        mesh.run_all();
        if away {
            mesh.switch_off(1);
        }
        mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
        mesh.advance_ms(1_000);
        if away {
            mesh.restart(0, 1);
            mesh.restart(1, 0);
            mesh.advance_ms(1_000);
        }
        assert!(mesh.disks.iter().all(|disk| disk.logs.is_empty()), "away: {away}");
        assert_eq!(view(&mesh, 1), None);
        assert_eq!(told(&mesh, 1, |event| matches!(event, Event::Forgotten { job, .. } if *job == JOB)), 1);
        let before = mesh.log.len();
        mesh.advance_ms(300_000);
        let said = mesh.log[before..].iter().filter(|(.., message)| matches!(message, Message::Custody(_)));
        assert_eq!(said.count(), 0, "nothing more is said of it");
    }
}

#[test]
fn that_a_job_is_forgotten_is_said_until_the_copy_has_heard_it() {
    let mut mesh = submitted(1);
    mesh.run_all();
    mesh.deaf = Some((0, 1));
    mesh.input(0, Input::Command(Command::ForgetJob { job: JOB }));
    mesh.advance_ms(1_000);
    assert!(view(&mesh, 1).is_some());
    mesh.deaf = None;
    mesh.advance_ms(10_000);
    assert_eq!((view(&mesh, 1), mesh.disks[1].logs.len()), (None, 0));
}

// ---- a person adopts it

#[test]
fn what_the_copy_said_that_it_has_goes_over_to_a_job_that_is_made_of_it() {
    let mut mesh = submitted(4);
    run_one(&mut mesh);
    run_one(&mut mesh);
    mesh.cut(0, 1, true);
    run_one(&mut mesh);
    let mut adopting = Adopting::default();
    for (seq, record) in (1..).zip(mesh.disks[1].log(JOB)) {
        adopting.apply(seq, record).expect("an owner wrote it");
    }
    let adoption = adopting.finish().expect("it can be adopted");
    assert_eq!((adoption.tasks(), adoption.outcomes()), (4, 2), "the third may be doubted");
    assert_eq!(outcomes(&mesh, 0), 3);
}

// ---- owners that lie

#[test]
fn one_owner_gets_a_share_of_the_places_and_the_disk_must_have_room() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.lazy = true;
    let pair = Pair { owner: Seat { peer: id(1), disk: 1002 }, copy: id(0) };
    let first = {
        let mut other = submitted(1);
        other.run_all();
        let Some(LogRecord::Accepted(mut first)) = other.disks[0].log(JOB).first().cloned() else { return };
        first.keepers = Keepers::Copied(pair);
        first
    };
    let say = |mesh: &mut Mesh, jobs: Range<u64>| {
        let message = |job| {
            let mut first = first.clone();
            first.spec.job = JobId(job);
            keep(JobId(job), Position::NONE, vec![LogRecord::Accepted(first).encode()])
        };
        let all: Vec<CustodyMessage> = jobs.map(message).collect();
        for part in all.chunks(BATCH_MAX) {
            mesh.steps = 0;
            mesh.say(1, 0, Message::Custody(part.to_vec()));
            mesh.log.clear();
        }
        mesh.engines[0].snapshot().copies.len()
    };
    mesh.input(0, Input::DiskLow(true));
    assert_eq!(say(&mut mesh, 0..10), 0);
    mesh.input(0, Input::DiskLow(false));
    assert_eq!(say(&mut mesh, 0..20_000), 16_384);
}

#[test]
fn records_that_have_no_place_in_a_copy_are_not_taken() {
    let mut mesh = Mesh::keeping(&[1, 0, 0]);
    mesh.input(2, Input::Command(Command::Drain(true)));
    mesh.advance_ms(1000);
    mesh.submit_with(0, 3, |what| what.level = Level::Disk);
    let log = bytes(&mesh, 0);
    assert_eq!(bytes(&mesh, 1), log, "a node that drains is none");
    let seq = u32::try_from(log.len()).unwrap();
    let bad = [
        log[0].clone(),
        LogRecord::Led { epoch: 9, at: Time(1) }.encode(),
        LogRecord::Replaced { seat: 1, by: Seat { peer: id(1), disk: 9 } }.encode(),
        vec![4, 255, 255, 255],
        vec![9],
        Vec::new(),
    ];
    for record in bad {
        mesh.say(0, 1, custody(keep(JOB, behind(seq), vec![record.clone()])));
        assert_eq!(bytes(&mesh, 1), log, "{record:?}");
    }
    let closed = LogRecord::Closed.encode();
    // There is a gap before it, another node says it, or it is for another node.
    mesh.say(0, 1, custody(keep(JOB, behind(seq + 1), vec![closed.clone()])));
    mesh.say(2, 1, custody(keep(JOB, behind(seq), vec![closed.clone()])));
    mesh.say(2, 1, custody(CustodyMessage::Forgotten { job: JOB }));
    mesh.say(0, 2, custody(keep(JOB, Position::NONE, log.clone())));
    mesh.say(1, 2, custody(keep(JOB, Position::NONE, log.clone())));
    mesh.say(0, 1, custody(keep(JobId(5), Position::NONE, log.clone())));
    assert_eq!(bytes(&mesh, 1), log);
    assert!(mesh.disks[2].logs.is_empty() && mesh.disks[1].logs.len() == 1);
    mesh.say(0, 1, custody(keep(JOB, behind(seq), vec![closed])));
    assert_eq!(bytes(&mesh, 1).len(), log.len() + 1, "its owner may write it");
}

#[test]
fn a_log_that_names_no_two_nodes_is_none() {
    let mesh = submitted(1);
    let Some(LogRecord::Accepted(first)) = mesh.disks[0].log(JOB).first().cloned() else { return };
    let fold = |level, owner: Seat, copy| {
        let keepers = Keepers::Copied(Pair { owner, copy });
        let mut first = Accepted { keepers, ..(*first).clone() };
        first.spec.level = level;
        Fold::new().apply(LogRecord::Accepted(Box::new(first)))
    };
    let owner = Seat { peer: id(0), disk: 7 };
    assert_eq!(fold(Level::Disk, owner, id(1)), Ok(()));
    assert_eq!(fold(Level::Disk, owner, id(0)), Err(Unsound::NoPair));
    assert_eq!(fold(Level::Disk, Seat { disk: 0, ..owner }, id(1)), Err(Unsound::NoPair));
    assert_eq!(fold(Level::Memory, owner, id(1)), Err(Unsound::OtherLevel));
    assert_eq!(fold(Level::Mesh, owner, id(1)), Err(Unsound::NoTrio));
}

#[test]
fn no_answer_of_a_copy_costs_its_owner_a_page_twice() {
    let mut mesh = submitted(3);
    mesh.run_all();
    let before = mesh.log.len();
    for _ in 0..100 {
        mesh.say(1, 0, custody(CustodyMessage::PreSeal { job: JOB, epoch: 0 }));
        mesh.say(1, 0, custody(CustodyMessage::Kept { job: JOB, epoch: 0, upto: 0, disk: 7 }));
    }
    let pages = mesh.log[before..].iter().filter(|(from, _, message)| {
        let Message::Custody(all) = message else { return false };
        *from == 0
            && all
                .iter()
                .any(|message| matches!(message, CustodyMessage::Keep { records, .. } if !records.is_empty()))
    });
    assert_eq!(pages.count(), 0);
}
