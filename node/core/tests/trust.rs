//! Which nodes an owner trusts: tasks that several nodes compute, nodes that lost tasks, and jobs that are refused.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may panic")]

mod wire;

use std::sync::Arc;

use weft_core::message::Delivery;
use weft_core::snapshot::{ReputationView, Trust};
use weft_core::*;
use wire::{JOB, Mesh, host, id};

const LEASE: LeaseId = LeaseId { job: JOB, epoch: 0, index: 0, attempt: 1 };

fn verify(nodes: u32) -> impl FnOnce(&mut Submission) {
    move |what| what.policy.verify = nodes
}

/// Ends what runs on a node with this output.
fn answer(mesh: &mut Mesh, node: usize, output: &[u8]) {
    let run = *mesh.slots[node].first().expect("something runs");
    let report = Report { output: Payload::inline(output), ..mesh.report() };
    mesh.end(node, run, report);
}

fn reputation(mesh: &Mesh, node: usize) -> ReputationView {
    let peers = mesh.engines[0].snapshot().peers;
    peers.iter().find(|view| view.peer == id(node)).expect("a peer").reputation
}

fn verified(mesh: &Mesh) -> Verified {
    let Event::TaskEnded { verified, .. } = mesh.last_end(0) else { panic!("a task ended") };
    verified.clone().expect("several nodes computed it")
}

#[test]
fn what_can_not_be_verified_is_refused() {
    let impure = |what: &mut Submission| {
        what.policy.verify = 2;
        what.program = Arc::new(Program { profile: Profile::Impure, ..Program::clone(&what.program) });
    };
    let many = |what: &mut Submission| what.policy.verify = VERIFY_MAX + 1;
    type Change<'a> = &'a dyn Fn(&mut Submission);
    let table: [(Change<'_>, Refusal); 2] =
        [(&impure, Refusal::VerifyImpure), (&many, Refusal::VerifyTooMany { asked: VERIFY_MAX + 1 })];
    for (change, reason) in table {
        let mut mesh = Mesh::of(&[2, 2]);
        mesh.submit_with(0, 3, |what| {
            change(what);
            assert_eq!(what.check(), Err(reason.clone()));
        });
        assert_eq!(mesh.events[0], [Event::Refused { job: JOB, reason }]);
        assert_eq!(mesh.running(), [0, 0]);
        assert!(mesh.pinned(0).is_empty());
        mesh.assert_quiet();
    }
}

#[test]
fn distinct_nodes_compute_a_task_and_as_many_as_agree_suffice() {
    let mut mesh = Mesh::of(&[0, 4, 4, 4, 4]);
    mesh.submit_with(0, 1, verify(3));
    assert_eq!(mesh.running().iter().sum::<usize>(), 3);
    assert!(mesh.running().iter().all(|runs| *runs <= 1), "on distinct nodes: {:?}", mesh.running());
    let nodes: Vec<usize> = (1..5).filter(|node| mesh.running()[*node] == 1).collect();
    answer(&mut mesh, nodes[2], b"x");
    assert_eq!(mesh.ended(0), 0);
    answer(&mut mesh, nodes[0], b"x");
    let agreed = vec![id(nodes[2]), id(nodes[0])];
    assert_eq!(verified(&mesh), Verified { agreed, differed: vec![] });
    assert_eq!(mesh.aborted, 1, "the third is of no use any more");
}

#[test]
fn a_tie_is_broken_by_one_more_node_and_who_differed_is_named() {
    let mut mesh = Mesh::of(&[0, 1, 1, 1]);
    mesh.submit_with(0, 1, verify(2));
    let (first, second): (Vec<usize>, Vec<usize>) = (1..4).partition(|node| mesh.running()[*node] == 1);
    assert_eq!((first.len(), second.len()), (2, 1));
    answer(&mut mesh, first[0], b"x");
    answer(&mut mesh, first[1], b"y");
    assert_eq!((mesh.ended(0), mesh.running()[second[0]]), (0, 1));
    answer(&mut mesh, second[0], b"x");
    let verified = verified(&mesh);
    assert_eq!(
        verified,
        Verified { agreed: vec![id(first[0]), id(second[0])], differed: vec![id(first[1])] }
    );
    let named = Event::Differed { job: JOB, index: 0, worker: id(first[1]) };
    assert!(mesh.events[0].contains(&named));
    let liar = reputation(&mesh, first[1]);
    assert_eq!((liar.trust, liar.lies, liar.open_ms), (Trust::Open, 1, 30_000));
    assert_eq!(reputation(&mesh, first[0]), ReputationView::default());
    mesh.assert_quiet();
}

#[test]
fn a_liar_that_comes_late_is_named_too() {
    let mut mesh = Mesh::of(&[0, 1, 1, 1]);
    mesh.submit_with(0, 1, verify(3));
    let leases: Vec<LeaseId> = (1..4).map(|node| mesh.engines[node].audit().held[0].1).collect();
    answer(&mut mesh, 1, b"x");
    answer(&mut mesh, 2, b"x");
    assert_eq!(mesh.ended(0), 1);
    let say = |mesh: &mut Mesh, output: &[u8]| {
        let report = Report { output: Payload::inline(output), ..mesh.report() };
        let delivery = Delivery { lease: leases[2], report: report.into(), memo: None, proof: None };
        mesh.say(3, 0, Message::Outcome(vec![delivery]));
    };
    mesh.submit_with(0, 1, |what| what.job = JobId(7)); // so that there is another job than the one before
    say(&mut mesh, b"x");
    assert_eq!(reputation(&mesh, 3).lies, 0, "late and true");
    let mut open = Mesh::of(&[0, 1, 1, 1]);
    open.submit_with(0, 1, |what| {
        what.policy.verify = 3;
        what.closed = false;
    });
    answer(&mut open, 1, b"x");
    answer(&mut open, 2, b"x");
    say(&mut open, b"y");
    assert_eq!((open.ended(0), reputation(&open, 3).lies), (1, 1), "late and false");
    assert_eq!(open.engines[0].snapshot().counters.lies, 1);
}

#[test]
fn when_everybody_says_something_else_nobody_is_believed() {
    let mut mesh = Mesh::of(&[0, 1, 1, 1, 1, 1, 1]);
    mesh.submit_with(0, 1, verify(2));
    for round in 0..5u8 {
        let node = (1..7).find(|node| mesh.running()[*node] == 1).expect("one more is asked");
        assert_eq!(mesh.ended(0), 0);
        answer(&mut mesh, node, &[round]);
    }
    let Event::TaskEnded { report, worker, verified, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert!(matches!(report.outcome, Outcome::Lost(_)) && worker.is_none() && verified.is_none());
    assert!(mesh.pinned(0).is_empty());
    mesh.assert_quiet();
}

#[test]
fn who_only_remembers_did_not_compute() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, verify(2));
    let report = Report { output: Payload::inline(b"easy"), ..mesh.report() };
    let delivery = Delivery { lease: LEASE, report: report.into(), memo: Some(id(1)), proof: None };
    mesh.say(1, 0, Message::Outcome(vec![delivery]));
    assert_eq!((mesh.ended(0), mesh.engines[0].snapshot().counters.lost), (0, 1));
}

#[test]
fn one_node_has_one_voice() {
    let mut mesh = Mesh::of(&[0, 4]);
    mesh.submit_with(0, 1, verify(2));
    answer(&mut mesh, 1, b"x");
    let report = Report { output: Payload::inline(b"x"), ..mesh.report() };
    for attempt in 1..4 {
        let lease = LeaseId { attempt, ..LEASE };
        let delivery = Delivery { lease, report: report.clone().into(), memo: None, proof: None };
        mesh.say(1, 0, Message::Outcome(vec![delivery]));
        mesh.advance_ms(1500);
    }
    assert_eq!((mesh.ended(0), mesh.running()), (0, vec![0, 0]));
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    assert!(mesh.pinned(0).is_empty(), "what it said is not kept");
    mesh.assert_quiet();
}

#[test]
fn a_task_that_fails_on_most_nodes_is_tried_again_as_often_as_asked() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.outcome = Outcome::Failed(Failure::Exit(3));
    mesh.submit_with(0, 1, |what| {
        what.policy.verify = 2;
        what.policy.retries = 1;
    });
    for round in 0..2 {
        assert_eq!((mesh.ended(0), mesh.running()), (0, vec![0, 1, 1]), "round {round}");
        mesh.run_some(1);
        mesh.run_some(2);
        mesh.advance_ms(1100);
    }
    let Event::TaskEnded { report, attempts, .. } = mesh.last_end(0) else { panic!("a task ended") };
    assert_eq!((&report.outcome, attempts), (&Outcome::Failed(Failure::Exit(3)), &4));
}

#[test]
fn a_worker_that_lost_its_tasks_again_gets_one_as_a_probe() {
    let mut mesh = Mesh::of(&[0, 4]);
    mesh.submit(0, 20);
    for ms in [600, 1200] {
        assert_eq!(mesh.running()[1], 4);
        let lost = mesh.slots[1].drain(..).map(|run| (run, Report::bare(Outcome::Lost("broken".into()))));
        let lost = lost.collect();
        mesh.input(1, Input::Ran(lost));
        assert_eq!(mesh.running()[1], 0, "it is not asked at once");
        mesh.advance_ms(ms + 1000);
    }
    assert_eq!(mesh.running()[1], 1, "a probe");
    mesh.run_some(1);
    assert_eq!(mesh.running()[1], 4, "it did well");
}

#[test]
fn what_one_job_lacks_says_nothing_about_another() {
    let mut mesh = Mesh::of(&[0, 2]);
    mesh.submit(0, 2);
    let lost =
        mesh.slots[1].drain(..).map(|run| (run, Report::bare(Outcome::Lost("no module".into())))).collect();
    mesh.input(1, Input::Ran(lost));
    mesh.submit_with(0, 2, |what| what.job = JobId(2));
    assert_eq!(mesh.running()[1], 2, "another job's tasks run there");
}

#[test]
fn what_was_said_is_not_kept_when_a_task_is_given_up() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 1, verify(2));
    let run = mesh.slots[1][0];
    let bulky = Payload::Blob { id: BlobId::of(b"bulk"), bytes: 50_000 };
    let report = Report { output: bulky, ..mesh.report() };
    mesh.end(1, run, report);
    assert!(mesh.pinned(0).contains(&BlobId::of(b"bulk")), "it may be what counts in the end");
    // The other one loses it repeatedly.
    for _ in 0..80 {
        let lost = mesh.slots[2].drain(..).map(|run| (run, Report::bare(Outcome::Lost("broken".into()))));
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            mesh.input(2, Input::Ran(lost));
        }
        mesh.steps = 0;
        mesh.advance_ms(60_000);
    }
    assert_eq!(mesh.ended(0), 1);
    assert!(mesh.pinned(0).is_empty());
    mesh.assert_quiet();
}

#[test]
fn who_answered_after_its_lease_is_not_asked_again() {
    let mut mesh = Mesh::of(&[0, 1]);
    mesh.submit_with(0, 1, verify(2));
    let run = mesh.slots[1][0];
    mesh.cut(0, 1, false);
    mesh.advance_ms(6000);
    mesh.links.insert((0, 1), true);
    mesh.links.insert((1, 0), true);
    mesh.input(0, Input::PeerUp { peer: id(1), boot: 2, host: host(1) });
    mesh.input(1, Input::PeerUp { peer: id(0), boot: 1, host: host(0) });
    let report = Report { output: Payload::inline(b"x"), ..mesh.report() };
    mesh.end(1, run, report);
    for _ in 0..10 {
        mesh.advance_ms(1000);
        assert_eq!((mesh.running()[1], mesh.ended(0)), (0, 0), "it has spoken");
    }
    mesh.join(1, Vec::new());
    mesh.advance_ms(1000);
    answer(&mut mesh, 2, b"x");
    assert_eq!(verified(&mesh).agreed, [id(1), id(2)]);
}

#[test]
fn who_takes_too_long_is_slow_and_no_liar() {
    let mut mesh = Mesh::of(&[0, 1, 1, 1]);
    mesh.submit_with(0, 1, verify(3));
    let run = mesh.slots[1][0];
    let limit = Outcome::LimitExceeded(Limit::WallTime { limit_ms: 50 });
    mesh.end(1, run, Report::bare(limit));
    answer(&mut mesh, 2, b"x");
    answer(&mut mesh, 3, b"x");
    let verified = verified(&mesh);
    assert_eq!((verified.agreed, verified.differed), (vec![id(2), id(3)], vec![id(1)]));
    assert_eq!((reputation(&mesh, 1).lies, reputation(&mesh, 1).slow), (0, 1));
}

#[test]
fn of_two_that_run_a_task_one_is_heard() {
    let mut mesh = Mesh::of(&[0, 1, 1]);
    mesh.submit_with(0, 1, |what| {
        what.policy.verify = 2;
        what.terms.stream = true;
    });
    for node in [1, 2] {
        let (run, bytes) = (mesh.slots[node][0], (*b"working").into());
        mesh.input(node, Input::Printed { run, stream: Stream::Output, offset: 0, bytes });
    }
    let printed = mesh.events[0].iter().filter(|event| matches!(event, Event::Printed { .. })).count();
    assert_eq!(printed, 1);
}

#[test]
fn all_that_agree_have_done_well_not_only_who_came_last() {
    let mut mesh = Mesh::of(&[0, 2, 1, 1]);
    mesh.submit_with(0, 1, |what| what.needs.labels = vec![("node".into(), id(1).to_string())]);
    // No other node hears of it, which would pass its renewals on.
    mesh.kill(1);
    mesh.advance_ms(1000);
    mesh.input(0, Input::Command(Command::Cancel { job: JOB }));
    mesh.links.extend([((0, 1), true), ((1, 0), true)]);
    mesh.input(0, Input::PeerUp { peer: id(1), boot: 2, host: host(1) });
    mesh.submit_with(0, 1, |what| (what.job, what.policy.verify) = (JobId(9), 3));
    mesh.advance_ms(1100);
    let before = reputation(&mesh, 1).blame;
    assert!(before > 900, "it lost a task: {before}");
    answer(&mut mesh, 1, b"x");
    assert!(reputation(&mesh, 1).blame + 9 > before, "an answer alone is nothing yet");
    answer(&mut mesh, 2, b"x");
    assert_eq!(verified(&mesh).agreed, [id(1), id(2)]);
    assert_eq!(reputation(&mesh, 1).blame, 0, "less than half of a loss is forgotten");
}

/// A job has its own record of a node besides the owner's: how often in a row its disk was full.
#[test]
fn who_agrees_has_done_well_for_the_job_too() {
    let mut mesh = Mesh::of(&[0, 1, 1, 1]);
    mesh.submit_with(0, 2, verify(3));
    let fill = |mesh: &mut Mesh| {
        let run = *mesh.slots[1].first().expect("something runs");
        mesh.end(1, run, Report::bare(Outcome::NoRoom("the output can't be stored".into())));
        assert_eq!(mesh.running()[1], 0);
        (0..7).for_each(|_| mesh.advance_ms(1000));
        assert_eq!(mesh.running()[1], 1, "the first pause is one of 5 s, the second in a row one of 10 s");
    };
    fill(&mut mesh);
    answer(&mut mesh, 1, b"x");
    answer(&mut mesh, 2, b"x");
    assert_eq!(
        verified(&mesh).agreed,
        [id(1), id(2)],
        "the last that agreed is not the only one that did well"
    );
    (0..2).for_each(|_| mesh.advance_ms(1000));
    fill(&mut mesh);
}
