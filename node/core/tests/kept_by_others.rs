//! Jobs that other nodes keep, too, where something goes wrong around their members: forged logs, logs that can't be read, an
//! end that comes while another node leads. The rules of the members are tested in `custody.rs`, what engines do with them in
//! `level_mesh.rs`.
#![expect(clippy::indexing_slicing, reason = "a test may panic")]

mod wire;

use std::ops::Range;

use weft_core::custody::{CustodyMessage, Position};
use weft_core::durable::LogRecord;
use weft_core::message::{BATCH_MAX, Message};
use weft_core::snapshot::Note;
use weft_core::*;
use wire::{JOB, Mesh, index};

const CHILD: JobId = JobId(0xc1d);

/// The node submits a job of this many tasks at that level.
fn submit(mesh: &mut Mesh, node: usize, tasks: usize, level: Level) {
    mesh.submit_with(node, tasks, |what| what.level = level);
}

/// A job at level mesh of this many tasks of node 0, and the nodes that keep it, by seat.
fn submitted(slots: &[u32], tasks: usize) -> (Mesh, [usize; 3]) {
    let mut mesh = Mesh::keeping(slots);
    submit(&mut mesh, 0, tasks, Level::Mesh);
    let log = mesh.disks[0].log(JOB);
    let keepers = match log.first() {
        Some(LogRecord::Accepted(first)) => first.keepers.trio().map(|trio| trio.peers().map(index)),
        Some(_) | None => None,
    };
    (mesh, keepers.expect("it is kept by three"))
}

/// The beginning of the log of a job that node 1 leads as its owner, as it tells it to others.
fn forged(job: JobId) -> Message {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.submit_with(1, 1, |what| (what.level, what.job) = (Level::Mesh, job));
    let first = mesh.disks[1].log(job).first().map(LogRecord::encode).expect("it is kept");
    let keep = CustodyMessage::Keep {
        job,
        epoch: 3,
        after: Position::NONE,
        records: vec![first.into()],
        committed: 1,
        last: 1,
    };
    Message::Custody(vec![keep])
}

/// The beginnings of the logs of these jobs that a node leads as their owner, in messages of as many as one may have.
fn beginnings(owner: usize, jobs: Range<u64>) -> Vec<Message> {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    submit(&mut mesh, owner, 1, Level::Mesh);
    let first = mesh.disks[owner].log(JOB).first().map(LogRecord::encode).expect("it is kept");
    let keep = |job| CustodyMessage::Keep {
        job: JobId(job),
        epoch: 3,
        after: Position::NONE,
        records: vec![first.clone().into()],
        committed: 1,
        last: 1,
    };
    let all: Vec<CustodyMessage> = jobs.map(keep).collect();
    all.chunks(BATCH_MAX).map(|part| Message::Custody(part.to_vec())).collect()
}

/// How many ends of tasks of a job a node told.
fn ends(mesh: &Mesh, node: usize, of: JobId) -> usize {
    let ends = mesh.events[node].iter();
    ends.filter(|event| matches!(event, Event::TaskEnded { job, .. } if *job == of)).count()
}

fn leader(mesh: &Mesh, node: usize) -> Option<usize> {
    let kept = mesh.engines[node].snapshot().kept;
    kept.into_iter().find(|view| view.job == JOB).and_then(|view| view.leader).map(index)
}

/// Runs what runs until nothing does, with time for what waits.
fn run(mesh: &mut Mesh, ms: u64) {
    for _ in 0..ms / 500 {
        mesh.steps = 0;
        mesh.run_all();
        mesh.advance_ms(500);
    }
}

// ---- what others say of a job

#[test]
fn no_node_makes_a_job_of_another_one_its_own() {
    for level in [Level::Memory, Level::Disk] {
        let mut mesh = Mesh::keeping(&[1, 0, 0]);
        submit(&mut mesh, 0, 1, level);
        let before = mesh.disks[0].log(JOB).len();
        let check = |mesh: &Mesh| {
            assert_eq!(mesh.disks[0].log(JOB).len(), before, "nothing is added to its log");
            assert_eq!(mesh.disks[0].promises.get(&JOB), None);
            assert!(mesh.engines[0].snapshot().kept.is_empty());
            let moved = mesh.events[0].iter().any(|event| matches!(event, Event::Follows { .. }));
            assert!(!moved, "its clients are not sent elsewhere");
        };
        mesh.say(1, 0, forged(JOB));
        check(&mesh);
        mesh.run_all();
        assert_eq!(ends(&mesh, 0, JOB), 1);
        mesh.say(1, 0, forged(JOB));
        mesh.say(1, 0, Message::Custody(vec![CustodyMessage::Forgotten { job: JOB }]));
        let logs = usize::from(level == Level::Disk);
        assert_eq!(mesh.disks[0].logs.len(), logs, "nor is it forgotten when it has ended");
        assert!(mesh.engines[0].snapshot().kept.is_empty());
    }
}

#[test]
fn a_node_whose_disk_is_nearly_full_takes_no_further_job_of_another_one() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.input(0, Input::DiskLow(true));
    mesh.say(1, 0, forged(JOB));
    assert!(mesh.disks[0].log(JOB).is_empty() && mesh.engines[0].snapshot().kept.is_empty());
    mesh.input(0, Input::DiskLow(false));
    mesh.say(1, 0, forged(JOB));
    assert_eq!(mesh.disks[0].log(JOB).len(), 1, "its leader says it again, and there is room now");
}

#[test]
fn one_leader_gets_a_share_of_the_places_for_jobs_of_others() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.lazy = true;
    let say = |mesh: &mut Mesh, from: usize, jobs: Range<u64>| {
        for message in beginnings(from, jobs) {
            mesh.steps = 0;
            mesh.say(from, 0, message);
            mesh.log.clear();
        }
        mesh.engines[0].snapshot().kept.len()
    };
    let share = 16_384;
    assert_eq!(say(&mut mesh, 1, 0..20_000), share);
    assert_eq!(say(&mut mesh, 2, 20_000..20_001), share + 1, "there is room for those of others");
    mesh.say(1, 0, Message::Custody(vec![CustodyMessage::Forgotten { job: JobId(7) }]));
    assert_eq!(say(&mut mesh, 1, 30_000..30_002), share + 1, "the place of one that is gone is free");
}

#[test]
fn a_job_whose_bytes_never_came_is_left_when_its_leader_is_gone() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.held_fetches = Some(Vec::new());
    submit(&mut mesh, 0, 1, Level::Mesh);
    assert!(
        (1..3).all(|node| mesh.engines[node].snapshot().kept.len() == 1 && !mesh.pinned(node).is_empty())
    );
    let wait = |mesh: &mut Mesh| {
        for _ in 0..90 {
            mesh.steps = 0;
            mesh.advance_ms(10_000);
        }
    };
    wait(&mut mesh);
    assert_eq!(mesh.engines[1].snapshot().kept.len(), 1, "its leader is there, and the bytes may come");
    mesh.switch_off(0);
    wait(&mut mesh);
    for node in 1..3 {
        assert!(mesh.engines[node].snapshot().kept.is_empty() && mesh.pinned(node).is_empty(), "{node}");
    }
}

// ---- who leads it

#[test]
fn a_log_that_was_not_read_is_asked_for_again() {
    let (mut mesh, [_, custodian, _]) = submitted(&[0, 1, 1, 1], 3);
    mesh.unreadable = Some(custodian);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    let led = mesh.events[custodian].iter().any(|event| matches!(event, Event::Leads { .. }));
    assert!(!led, "it does not know the job yet");
    mesh.unreadable = None;
    run(&mut mesh, 20_000);
    assert_eq!(ends(&mesh, custodian, JOB), 3);
}

#[test]
fn a_leader_whose_log_can_t_be_read_has_another_one_lead_and_counts_for_nothing() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 3);
    mesh.unreadable = Some(custodian);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(60_000);
    assert_eq!((leader(&mesh, custodian), leader(&mesh, witness)), (Some(witness), Some(witness)));
    run(&mut mesh, 20_000);
    assert_eq!(ends(&mesh, witness, JOB), 0, "one readable log is not enough for a result");
    mesh.restart(0, 0);
    run(&mut mesh, 40_000);
    let ended = (0..4).map(|node| ends(&mesh, node, JOB)).sum::<usize>();
    assert_eq!(ended, 3, "with two of three it goes on");
    assert_ne!(leader(&mesh, 0), Some(custodian));
    // It was only a disk that was slow: the node counts again.
    mesh.unreadable = None;
    run(&mut mesh, 70_000);
    let kept = |node: usize| mesh.engines[node].snapshot().kept[0].clone();
    assert_eq!(kept(custodian).committed, kept(0).last);
    mesh.switch_off(0);
    mesh.switch_off(witness);
    mesh.restart(witness, 1);
    run(&mut mesh, 40_000);
    assert!(leader(&mesh, witness).is_some(), "it seals and leads with the other one");
}

#[test]
fn a_job_begins_whose_parent_ended_while_another_node_led_it() {
    for level in [Level::Memory, Level::Disk] {
        let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1], 1);
        mesh.submit_with(0, 1, |what| (what.level, what.job, what.after) = (level, CHILD, vec![JOB]));
        mesh.cut(0, custodian, false);
        mesh.cut(0, witness, false);
        run(&mut mesh, 40_000);
        assert_eq!((ends(&mesh, custodian, JOB), ends(&mesh, 0, CHILD)), (1, 0));
        mesh.join_again(0, custodian);
        mesh.join_again(0, witness);
        run(&mut mesh, 20_000);
        assert_eq!(leader(&mesh, 0), Some(custodian), "what has ended is not led anew");
        assert_eq!(ends(&mesh, 0, CHILD), 1, "{level:?}");
    }
}

/// A job of two tasks that have ended elsewhere, so or so, and a child of it at node 0, which is about to read how. Its log there
/// is read when the test says so.
fn parent_that_is_read(outcome: Outcome, change: impl FnOnce(&mut Submission)) -> (Mesh, usize) {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1], 2);
    mesh.submit_with(0, 1, |what| {
        (what.job, what.after) = (CHILD, vec![JOB]);
        change(what);
    });
    mesh.cut(0, custodian, false);
    mesh.cut(0, witness, false);
    mesh.outcome = outcome;
    run(&mut mesh, 40_000);
    mesh.outcome = Outcome::Done;
    mesh.held_recalls = Some(Vec::new());
    mesh.join_again(0, custodian);
    mesh.join_again(0, witness);
    run(&mut mesh, 10_000);
    assert_eq!(mesh.held_recalls, Some(vec![(0, JOB)]), "how it ended is being read");
    (mesh, custodian)
}

/// How tasks of a job ended, as a node's user was told.
fn outcomes(mesh: &Mesh, node: usize, of: JobId) -> Vec<Outcome> {
    let outcome = |event: &Event| {
        let Event::TaskEnded { job, report, .. } = event else { return None };
        (*job == of).then(|| report.outcome.clone())
    };
    mesh.events[node].iter().filter_map(outcome).collect()
}

#[test]
fn the_end_of_a_parent_is_told_though_it_is_forgotten_while_that_is_read() {
    let failed = Outcome::Failed(Failure::Exit(1));
    let skipped = Outcome::ParentFailed { job: JOB };
    for (level, end, told) in [
        (Level::Memory, Outcome::Done, Outcome::Done),
        (Level::Disk, Outcome::Done, Outcome::Done),
        (Level::Disk, failed, skipped),
    ] {
        let (mut mesh, custodian) = parent_that_is_read(end, |what| what.level = level);
        mesh.input(custodian, Input::Command(Command::ForgetJob { job: JOB }));
        run(&mut mesh, 3_000);
        assert!(mesh.disks[custodian].logs.is_empty(), "it is forgotten");
        assert_eq!(outcomes(&mesh, 0, CHILD), Vec::new(), "that says nothing about its end");
        mesh.read_logs();
        run(&mut mesh, 20_000);
        assert_eq!(outcomes(&mesh, 0, CHILD), [told], "{level:?}");
        let of_it = |(job, _): &(JobId, Vec<Vec<u8>>)| *job == JOB;
        assert!(!mesh.disks[0].logs.iter().any(of_it), "then its log goes");
    }
}

#[test]
fn a_parent_whose_end_can_t_be_read_any_more_is_told_as_lost() {
    for (join, told) in
        [(Join::AllSucceeded, Outcome::ParentFailed { job: JOB }), (Join::AllEnded, Outcome::Done)]
    {
        let (mut mesh, custodian) = parent_that_is_read(Outcome::Done, |what| what.join = join);
        mesh.input(custodian, Input::Command(Command::ForgetJob { job: JOB }));
        mesh.unreadable = Some(0);
        mesh.read_logs();
        run(&mut mesh, 60_000);
        assert_eq!(outcomes(&mesh, 0, CHILD), [told]);
        assert!(mesh.disks[0].logs.is_empty());
    }
}

#[test]
fn a_parent_whose_log_can_t_be_read_is_asked_of_the_others_and_its_child_can_be_cancelled() {
    for is_heard in [true, false] {
        for level in [Level::Memory, Level::Disk] {
            let (mut mesh, custodian) = parent_that_is_read(Outcome::Done, |what| what.level = level);
            mesh.unreadable = Some(0);
            mesh.deaf = (!is_heard).then_some((custodian, 0));
            mesh.read_logs();
            mesh.switch_off(3 - custodian);
            run(&mut mesh, 60_000);
            if is_heard {
                assert_eq!(outcomes(&mesh, 0, CHILD), [Outcome::Done], "{level:?}");
                continue;
            }
            let why = mesh.engines[0].why(mesh.now, CHILD, 0).expect("it has that task");
            assert!(why.notes.contains(&Note::ParentElsewhere { job: JOB }), "{why:?}");
            mesh.input(0, Input::Command(Command::Cancel { job: CHILD }));
            run(&mut mesh, 1_000);
            assert_eq!(outcomes(&mesh, 0, CHILD), [Outcome::Cancelled], "{level:?}");
        }
    }
}

#[test]
fn a_parent_whose_log_can_be_read_again_is_asked_of_no_other_node() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0], 1);
    mesh.submit_with(0, 1, |what| (what.level, what.job, what.after) = (Level::Memory, CHILD, vec![JOB]));
    mesh.cut(0, custodian, false);
    mesh.cut(0, witness, false);
    run(&mut mesh, 40_000);
    mesh.unreadable = Some(0);
    mesh.join_again(0, custodian);
    mesh.join_again(0, witness);
    run(&mut mesh, 60_000);
    let elsewhere = |mesh: &Mesh| {
        let why = mesh.engines[0].why(mesh.now, CHILD, 0).expect("it has that task");
        why.notes.contains(&Note::ParentElsewhere { job: JOB })
    };
    assert!(elsewhere(&mesh), "the others are asked");
    mesh.unreadable = None;
    run(&mut mesh, 90_000);
    assert_eq!((leader(&mesh, 0), elsewhere(&mesh)), (Some(0), false));
    mesh.log.clear();
    run(&mut mesh, 30_000);
    let asks =
        |(from, _, message): &(usize, usize, Message)| *from == 0 && matches!(message, Message::AskEnds(_));
    assert!(!mesh.log.iter().any(asks));
}

#[test]
fn a_child_in_memory_does_not_wait_for_a_parent_of_another_node_once_its_own_disk_failed() {
    let (mut mesh, _) = parent_that_is_read(Outcome::Done, |_| ());
    mesh.input(0, Input::JournalFailed);
    run(&mut mesh, 3_000);
    assert_eq!(outcomes(&mesh, 0, CHILD), [Outcome::ParentFailed { job: JOB }]);
}

// ---- what waits for a second node

/// Ends what runs on a node, each task with as much as travels inside a message.
fn end_with_much(mesh: &mut Mesh, node: usize) {
    let long = || Payload::inline(&[7; 16 << 10]);
    let report = Report { output: long(), errors: long(), files: long(), ..mesh.report() };
    let runs: Vec<_> = mesh.slots[node].drain(..).map(|run| (run, report.clone())).collect();
    mesh.steps = 0;
    mesh.input(node, Input::Ran(runs));
}

#[test]
fn a_job_whose_other_keepers_are_gone_holds_up_no_other() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.keep = false;
    (0..6).for_each(|_| mesh.join(16, Vec::new()));
    mesh.keep = true;
    mesh.submit_with(0, 3000, |what| (what.level, what.terms.memo) = (Level::Mesh, Recall::Off));
    mesh.switch_off(1);
    mesh.switch_off(2);
    for _ in 0..60 {
        (3..9).for_each(|node| end_with_much(&mut mesh, node));
        mesh.advance_ms(50);
    }
    let held = mesh.engines[0].audit().held_words_bytes;
    assert!((16 << 20..17 << 20).contains(&held), "it stands still by itself: {held}");
    assert_eq!(ends(&mesh, 0, JOB), 0);
    mesh.submit_with(0, 1, |what| (what.level, what.job) = (Level::Disk, CHILD));
    run(&mut mesh, 2000);
    assert_eq!(ends(&mesh, 0, CHILD), 1);
    mesh.restart(1, 0);
    for _ in 0..200 {
        (3..9).for_each(|node| mesh.run_some(node));
        mesh.steps = 0;
        mesh.advance_ms(500);
    }
    assert_eq!(ends(&mesh, 0, JOB), 3000, "it goes on when one is back");
}
