//! Who leads a job at level `mesh`, and what goes on when another node does.

use weft_core::custody::{CustodyMessage, Position};
use weft_core::message::{Assign, Call, Delivery};

use super::*;

#[test]
fn a_job_goes_on_when_its_owner_is_gone_for_ever() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 6);
    mesh.run_some(1);
    mesh.switch_off(0);
    run(&mut mesh, 60_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    assert_eq!(leader(&mesh, witness), Some(custodian));
    let ends = told(&mesh, JOB);
    assert_eq!(ends.len(), 6, "{ends:?}");
    assert!(ends.values().all(|ends| ends == &["done"]), "each is told once: {ends:?}");
    let words = words(&mesh, custodian, JOB);
    assert_eq!(words.last().map(String::as_str), Some("ended"));
    assert!(words.contains(&"leads".into()));
    assert_eq!(kinds(&mesh, custodian, JOB), kinds(&mesh, witness, JOB));
    assert!(kinds(&mesh, witness, JOB).contains(&"led 4".into()));
    assert!((1..4).all(|node| mesh.pinned(node).is_empty()), "nothing stays pinned: {:?}", mesh.pins);
    mesh.assert_quiet();
}

#[test]
fn results_of_an_ended_job_are_told_elsewhere_when_its_leader_is_gone() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 3);
    run(&mut mesh, 5_000);
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("ended"));
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    assert_eq!((leader(&mesh, custodian), leader(&mesh, witness)), (Some(custodian), Some(custodian)));
    assert!(words(&mesh, custodian, JOB).contains(&"leads".into()), "{:?}", words(&mesh, custodian, JOB));
    assert!(mesh.disks[custodian].fold(JOB).has_ended());
    mesh.restart(0, 0);
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    assert_eq!(leader(&mesh, 0), Some(custodian), "there is no need to move it back");
}

#[test]
fn the_owner_leads_again_when_it_is_back() {
    let (mut mesh, [_, custodian, _]) = submitted(&[0, 1, 1, 1], 8);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(15_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    mesh.events[0].clear();
    mesh.restart(0, 0);
    mesh.steps = 0;
    mesh.advance_ms(3_000);
    assert_eq!((leader(&mesh, 0), leader(&mesh, custodian)), (Some(0), Some(0)), "while the job goes on");
    run(&mut mesh, 20_000);
    assert_eq!((leader(&mesh, 0), leader(&mesh, custodian)), (Some(0), Some(0)));
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 8 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    assert!(
        words(&mesh, custodian, JOB).ends_with(&["follows 0".into()]),
        "{:?}",
        words(&mesh, custodian, JOB)
    );
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("ended"));
    mesh.assert_quiet();
}

#[test]
fn a_restart_of_the_owner_does_not_take_long() {
    let (mut mesh, _) = submitted(&[0, 1, 1, 1], 4);
    mesh.restart(0, 0);
    mesh.advance_ms(100);
    assert_eq!(leader(&mesh, 0), Some(0), "it seals the next epoch of its own at once");
    assert_eq!(kinds(&mesh, 0, JOB), ["accepted", "given to 1", "given to 2", "led 6"]);
    run(&mut mesh, 20_000);
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 4 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    mesh.assert_quiet();
}

#[test]
fn the_witness_leads_when_the_others_are_gone_and_one_is_back() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 4);
    mesh.switch_off(custodian);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(40_000);
    assert_ne!(leader(&mesh, witness), Some(witness), "one of three decides nothing");
    mesh.restart(custodian, 1);
    run(&mut mesh, 40_000);
    assert_eq!(leader(&mesh, custodian), Some(witness), "it has waited for longer than the one that is back");
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 4 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
}

#[test]
fn a_follower_that_starts_again_goes_on_following() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 3);
    mesh.restart(custodian, 1);
    mesh.restart(witness, 1);
    run(&mut mesh, 20_000);
    assert_eq!((leader(&mesh, custodian), leader(&mesh, witness)), (Some(0), Some(0)));
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("ended"));
    assert_eq!(kinds(&mesh, custodian, JOB), kinds(&mesh, 0, JOB));
    assert_eq!(kinds(&mesh, witness, JOB), kinds(&mesh, 0, JOB));
}

#[test]
fn in_a_partition_the_minority_tells_nothing() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[1, 0, 0], 2);
    mesh.cut(0, custodian, false);
    mesh.cut(0, witness, false);
    mesh.steps = 0;
    // The other task is not known here: so the job has not ended when the owner is back.
    mesh.run_some(1);
    mesh.advance_ms(20_000);
    assert_eq!(words(&mesh, 0, JOB).len(), 2, "what ran here is told by no node: {:?}", words(&mesh, 0, JOB));
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    mesh.join_again(0, custodian);
    mesh.join_again(0, witness);
    mesh.steps = 0;
    mesh.advance_ms(3_000);
    assert_eq!(leader(&mesh, custodian), Some(0), "while the job goes on");
    run(&mut mesh, 40_000);
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 2 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    assert_eq!(leader(&mesh, custodian), Some(0), "its owner leads again");
    assert!((0..3).all(|node| mesh.pinned(node).is_empty()), "nothing stays pinned: {:?}", mesh.pins);
    mesh.assert_quiet();
}

#[test]
fn a_wiped_disk_has_no_vote_until_it_has_a_seat() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 2);
    mesh.switch_off(custodian);
    mesh.wipe(custodian);
    mesh.switch_off(0);
    mesh.restart(custodian, 0);
    mesh.steps = 0;
    mesh.advance_ms(60_000);
    assert_eq!(leader(&mesh, witness), None, "a disk that lost the job decides nothing");
    mesh.restart(0, 0);
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    assert_eq!(leader(&mesh, 0), Some(0));
    assert!(kinds(&mesh, 0, JOB).contains(&"replaced 1".into()), "{:?}", kinds(&mesh, 0, JOB));
    assert!(view(&mesh, custodian, JOB).is_some_and(|view| view.has_seat));
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    assert_eq!(leader(&mesh, witness), Some(custodian), "with a seat it leads");
}

#[test]
fn a_keeper_that_is_gone_for_long_is_replaced() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 1);
    let other = (1..4).find(|node| ![custodian, witness].contains(node)).expect("there are four");
    mesh.switch_off(custodian);
    pass(&mut mesh, 800);
    let keepers = view(&mesh, 0, JOB).expect("it is kept").keepers;
    assert_eq!(keepers, [id(0), id(other), id(witness)]);
    let told = format!("kept by {:?}", [0, other, witness]);
    assert_eq!(words(&mesh, 0, JOB).last(), Some(&told));
    mesh.restart(custodian, 0);
    mesh.steps = 0;
    mesh.advance_ms(60_000);
    assert_eq!(view(&mesh, custodian, JOB), None, "who is back after that keeps it no more");
}

#[test]
fn a_node_that_left_a_job_has_no_vote_for_a_member_that_does_not_know_it() {
    for starts_again in [false, true] {
        let (mut mesh, [_, custodian, witness]) = submitted(&[0; 5], 1);
        (1..5).for_each(|node| mesh.cut(0, node, false));
        pass(&mut mesh, 800);
        let keepers = view(&mesh, custodian, JOB).expect("it is kept").keepers;
        assert!(!keepers.contains(&id(0)), "{keepers:?}");
        mesh.input(witness, Input::Command(Command::Drain(true)));
        pass(&mut mesh, 200);
        assert_eq!(view(&mesh, witness, JOB), None, "another node has its seat, too");
        mesh.input(witness, Input::Command(Command::Drain(false)));
        if starts_again {
            mesh.switch_off(witness);
            mesh.restart(witness, 0);
        }
        // The owner and the witness of old, with their disks, would be a majority.
        (1..5).filter(|node| *node != witness).for_each(|node| mesh.cut(node, witness, false));
        mesh.join_again(0, witness);
        let records = vec![mesh.disks[0].log(JOB)[0].encode().into()];
        let first = CustodyMessage::Have { job: JOB, epoch: 3, after: Position::NONE, records };
        mesh.say(0, witness, Message::Custody(vec![first]));
        pass(&mut mesh, 400);
        assert_eq!((leader(&mesh, 0), view(&mesh, witness, JOB)), (None, None), "{starts_again}");
        assert!(leader(&mesh, custodian).is_some_and(|node| ![0, witness].contains(&node)));
    }
}

/// Nodes that are gone one after another are replaced, the last by a leader that got its seat by a replacement itself: neither it
/// nor the new one is in the trio of the first record.
#[test]
fn a_job_is_not_forgotten_by_the_word_of_nodes_that_left_it() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0; 7], 1);
    (1..7).for_each(|node| mesh.cut(0, node, false));
    pass(&mut mesh, 800);
    for node in [witness, custodian] {
        let others = || (1..7).filter(move |other| *other != node);
        others().for_each(|other| mesh.cut(other, node, false));
        pass(&mut mesh, 800);
        others().for_each(|other| mesh.join_again(other, node));
        pass(&mut mesh, 60);
        assert_eq!(view(&mesh, node, JOB), None, "another node has its seat");
        others().for_each(|other| mesh.cut(other, node, false));
    }
    // The owner of old knows those two, and hears no other.
    [witness, custodian].iter().for_each(|node| mesh.join_again(0, *node));
    pass(&mut mesh, 1500);
    let others = (1..7).filter(|node| ![witness, custodian].contains(node));
    others.clone().for_each(|node| mesh.join_again(0, node));
    pass(&mut mesh, 200);
    let kept = others.filter(|node| view(&mesh, *node, JOB).is_some()).count();
    let forgotten: usize = mesh.disks.iter().map(|disk| disk.tombstones.len()).sum();
    assert_eq!(forgotten, 0);
    // The owner of old keeps its copy: no node that it knows keeps the job any more, so none tells it who does.
    assert_eq!((kept, leader(&mesh, 0), view(&mesh, 0, JOB).is_some()), (3, None, true));
}

#[test]
fn a_keeper_that_takes_no_work_any_more_is_replaced() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 1);
    let other = (1..4).find(|node| ![custodian, witness].contains(node)).expect("there are four");
    mesh.input(custodian, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(130_000);
    assert_eq!(view(&mesh, 0, JOB).expect("it is kept").keepers, [id(0), id(other), id(witness)]);
    assert_eq!(view(&mesh, custodian, JOB), None, "its disk has no seat any more");
}

#[test]
fn a_keeper_that_takes_no_work_for_a_moment_keeps_its_seat() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 1);
    mesh.input(custodian, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(62_000);
    mesh.input(custodian, Input::Command(Command::Drain(false)));
    mesh.steps = 0;
    mesh.advance_ms(200_000);
    assert_eq!(view(&mesh, 0, JOB).expect("it is kept").keepers, [id(0), id(custodian), id(witness)]);
}

#[test]
fn a_leader_that_drains_has_the_custodian_lead_and_gives_up_its_seat() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 1, 1, 1], 6);
    let other = (1..4).find(|node| ![custodian, witness].contains(node)).expect("there are four");
    mesh.run_some(1);
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(500);
    assert_eq!((leader(&mesh, 0), leader(&mesh, custodian)), (Some(custodian), Some(custodian)));
    assert_eq!(mesh.engines[0].owed().jobs, 0, "it may end");
    run(&mut mesh, 30_000);
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 6 && ends.values().all(|ends| ends == &["done"]), "{ends:?}");
    assert_eq!(leader(&mesh, custodian), Some(custodian), "it takes no lead back");
    mesh.steps = 0;
    mesh.advance_ms(130_000);
    let keepers = view(&mesh, custodian, JOB).expect("it is kept").keepers;
    assert_eq!(keepers, [id(other), id(custodian), id(witness)]);
    assert_eq!(view(&mesh, 0, JOB), None, "nothing of it is on the disk of the node that drained");
}

#[test]
fn a_leader_that_takes_work_again_leads_again() {
    let (mut mesh, [_, custodian, _]) = submitted(&[0, 0, 0, 0], 1);
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(5_000);
    assert_eq!(leader(&mesh, 0), Some(custodian));
    mesh.input(0, Input::Command(Command::Drain(false)));
    mesh.steps = 0;
    mesh.advance_ms(5_000);
    assert_eq!(leader(&mesh, custodian), Some(0));
}

#[test]
fn a_node_that_drains_and_has_to_lead_hands_over_to_one_that_does_not() {
    let (mut mesh, [_, custodian, witness]) = submitted(&[0, 0, 0, 0], 1);
    mesh.input(custodian, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(1_000);
    mesh.switch_off(0);
    mesh.steps = 0;
    mesh.advance_ms(14_500);
    assert_eq!((leader(&mesh, custodian), leader(&mesh, witness)), (Some(witness), Some(witness)));
    assert!(kinds(&mesh, witness, JOB).contains(&"led 4".into()), "{:?}", kinds(&mesh, witness, JOB));
}

#[test]
fn a_job_that_gets_further_tasks_stays_where_they_come() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.submit_with(0, 1, |what| {
        kept(what);
        what.closed = false;
    });
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    assert_eq!((leader(&mesh, 0), mesh.engines[0].owed().jobs), (Some(0), 0));
    mesh.input(0, Input::Command(Command::Close { job: JOB }));
    mesh.steps = 0;
    mesh.advance_ms(3_000);
    assert_ne!(leader(&mesh, 0), Some(0));
}

#[test]
fn where_all_drain_the_leader_goes_on() {
    let (mut mesh, _) = submitted(&[0, 0, 0], 1);
    (1..3).for_each(|node| mesh.input(node, Input::Command(Command::Drain(true))));
    mesh.steps = 0;
    mesh.advance_ms(3_000);
    mesh.input(0, Input::Command(Command::Drain(true)));
    mesh.steps = 0;
    mesh.advance_ms(20_000);
    assert_eq!((leader(&mesh, 0), mesh.engines[0].owed().jobs), (Some(0), 0));
    mesh.input(2, Input::Command(Command::Drain(false)));
    mesh.steps = 0;
    mesh.advance_ms(5_000);
    let (lead, all) = (leader(&mesh, 0), [leader(&mesh, 1), leader(&mesh, 2)]);
    assert!(lead == Some(2) && all == [Some(2), Some(2)], "as soon as one does not: {lead:?} {all:?}");
}

#[test]
fn a_node_whose_disk_fails_leads_nothing_any_more() {
    let (mut mesh, [_, custodian, _]) = submitted(&[1, 1, 1], 4);
    mesh.input(0, Input::JournalFailed);
    assert_eq!(words(&mesh, 0, JOB).last().map(String::as_str), Some("follows none"));
    assert_eq!(mesh.engines[0].snapshot().jobs.len(), 0);
    run(&mut mesh, 40_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 4 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
}

#[test]
fn what_runs_goes_on_for_the_next_leader() {
    let (mut mesh, custodian) = led_by_the_custodian(3, kept);
    assert_eq!((mesh.running()[3], mesh.aborted), (2, 0), "what ran for the owner goes on");
    let held = mesh.engines[3].audit().held;
    assert!(held.iter().all(|(owner, lease)| index(*owner) == custodian && lease.epoch == 3), "{held:?}");
    assert_eq!(mesh.engines[custodian].snapshot().counters.adopted, 2);
    let refused = mesh
        .log
        .iter()
        .any(|(from, to, message)| (*from, *to) == (3, 0) && matches!(message, Message::Refuse { .. }));
    assert!(refused, "what the owner awards under its old epoch is refused");
    run(&mut mesh, 10_000);
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 2 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    assert_eq!(mesh.engines[3].snapshot().counters.executed, 2, "nothing ran twice");
}

/// Three of four nodes keep a job, whose only task runs on a fifth one.
struct Apart {
    mesh: Mesh,
    custodian: usize,
    witness: usize,
    /// Of the four, the one that has no seat.
    other: usize,
    worker: usize,
}

fn apart() -> Apart {
    let mut mesh = Mesh::keeping(&[0, 0, 0, 0]);
    mesh.keep = false;
    mesh.join(1, Vec::new());
    mesh.keep = true;
    mesh.submit_with(0, 1, kept);
    let [_, custodian, witness] = keepers(&mesh, 0, JOB);
    let other = (1..4).find(|node| ![custodian, witness].contains(node)).expect("there are four");
    let worker = 4;
    assert_eq!(mesh.running()[worker], 1);
    Apart { mesh, custodian, witness, other, worker }
}

#[test]
fn what_runs_goes_on_for_a_leader_that_got_its_seat_by_a_replacement() {
    // Whether the worker is connected when the seat is given away, or only later.
    for is_there in [true, false] {
        let Apart { mut mesh, custodian, other, worker, .. } = apart();
        mesh.switch_off(custodian);
        pass(&mut mesh, 590);
        if !is_there {
            // Its renewals come by gossip.
            mesh.cut(0, worker, false);
        }
        while view(&mesh, 0, JOB).is_none_or(|view| view.keepers[1] != id(other)) {
            mesh.steps = 0;
            mesh.advance_ms(1_000);
        }
        if !is_there {
            mesh.join_again(0, worker);
        }
        mesh.steps = 0;
        mesh.advance_ms(1_000);
        mesh.switch_off(0);
        mesh.steps = 0;
        mesh.advance_ms(20_000);
        assert_eq!(leader(&mesh, other), Some(other));
        assert_eq!(mesh.engines[other].snapshot().counters.adopted, 1, "connected then: {is_there}");
        run(&mut mesh, 10_000);
        let ends = told(&mesh, JOB);
        assert!(ends.len() == 1 && ends.values().all(|ends| ends == &["done"]), "{ends:?}");
        assert_eq!(mesh.engines[worker].snapshot().counters.executed, 1, "nothing ran twice");
        mesh.assert_quiet();
    }
}

#[test]
fn no_stranger_takes_what_a_worker_runs_by_naming_itself() {
    let Apart { mut mesh, custodian, witness, other: stranger, worker } = apart();
    let sent = |(from, to, message): &(usize, usize, Message)| {
        let Message::Call(call) = message else { return None };
        ((*from, *to) == (0, worker)).then(|| call.clone())
    };
    let call = mesh.log.iter().find_map(sent).expect("the worker was called");
    let own = |seats: [usize; 3]| Call { keepers: seats.map(id).to_vec(), ..call.clone() };
    for (from, seats) in [
        (stranger, [0, stranger, witness]),
        (stranger, [stranger, custodian, witness]),
        (witness, [0, stranger, witness]),
        (custodian, [custodian, stranger, witness]),
    ] {
        let (call, bid, acks, grants) = (own(seats), BidId(0), Vec::new(), Vec::new());
        let assign = Assign { call, bid, placed: 0, acks, grants };
        mesh.say(from, worker, Message::Assign(Box::new(assign)));
        mesh.say(stranger, worker, Message::Lead(vec![(JOB, 4), (JOB, 6)]));
        mesh.say(stranger, worker, Message::AskHolding(vec![(JOB, 7), (JOB, 9)]));
        let held = mesh.engines[worker].audit().held;
        assert!(held.len() == 1 && held.iter().all(|(owner, _)| *owner == id(0)), "{held:?}");
    }
    run(&mut mesh, 3_000);
    assert_eq!((told(&mesh, JOB).len(), mesh.engines[0].snapshot().counters.executed), (1, 0));
    assert_eq!(mesh.engines[worker].snapshot().counters.executed, 1);
}

#[test]
fn a_worker_is_believed_by_the_next_leader_only_about_what_it_was_given() {
    for was_given in [false, true] {
        let mut mesh = Mesh::keeping(&[0, 0, 0]);
        mesh.keep = false;
        mesh.join(1, Vec::new());
        mesh.keep = true;
        mesh.submit_with(0, 2, kept);
        let [_, custodian, _] = keepers(&mesh, 0, JOB);
        let (worker, index) = (3, u32::from(!was_given));
        assert_eq!(mesh.running()[worker], 1, "it was given task 0");
        mesh.switch_off(0);
        mesh.deaf = Some((custodian, worker));
        mesh.steps = 0;
        while leader(&mesh, custodian) != Some(custodian) {
            mesh.advance_ms(500);
        }
        let lease = LeaseId { job: JOB, epoch: 3, index, attempt: 1 };
        let delivery = Delivery { lease, report: mesh.report().into(), memo: None, proof: None };
        mesh.say(worker, custodian, Message::Outcome(vec![delivery]));
        let ends = told(&mesh, JOB);
        assert_eq!(ends.contains_key(&index), was_given, "{ends:?}");
        mesh.deaf = None;
        mesh.cut(custodian, worker, false);
        mesh.join_again(custodian, worker);
        run(&mut mesh, 30_000);
        let ends = told(&mesh, JOB);
        assert!(ends.len() == 2 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    }
}

#[test]
fn what_ended_while_no_node_led_counts_for_the_next_leader() {
    let (mut mesh, [_, custodian, _]) = submitted(&[0, 0, 0, 2], 2);
    mesh.switch_off(0);
    let worker = (1..4).find(|node| mesh.running()[*node] > 0).expect("one has slots");
    mesh.run_some(worker);
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 2 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
    assert_eq!(mesh.engines[worker].snapshot().counters.executed, 2, "nothing ran twice");
    assert_eq!(leader(&mesh, custodian), Some(custodian));
}

#[test]
fn what_an_earlier_leader_awarded_is_not_remembered_as_come_home() {
    const AGAIN: JobId = JobId(0xa6a);
    let inputs = || vec![Payload::inline(b"one"), Payload::inline(b"other")];
    let (mut mesh, custodian) = led_by_the_custodian(3, |what| {
        kept(what);
        what.inputs = inputs();
    });
    run(&mut mesh, 10_000);
    assert_eq!((told(&mesh, JOB).len(), mesh.engines[custodian].snapshot().counters.adopted), (2, 2));
    // The one that computed them answers from its own memory no more.
    mesh.switch_off(3);
    mesh.submit_with(custodian, 2, |what| (what.job, what.inputs) = (AGAIN, inputs()));
    assert_eq!(told(&mesh, AGAIN).len(), 0, "its jobs use the word only of those it awarded the task itself");
}

/// A job whose worker is a fourth node of that many slots, and whose owner is cut off from those that keep it; the custodian, which
/// leads it.
fn led_by_the_custodian(slots: u32, change: impl FnOnce(&mut Submission)) -> (Mesh, usize) {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.keep = false;
    mesh.join(slots, Vec::new());
    mesh.keep = true;
    mesh.submit_with(0, 2, change);
    let [_, custodian, _] = keepers(&mesh, 0, JOB);
    assert_eq!(mesh.running(), [0, 0, 0, 2]);
    // The owner is cut off from those that keep its job, and not from the worker.
    mesh.cut(0, 1, false);
    mesh.cut(0, 2, false);
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    (mesh, custodian)
}

#[test]
fn a_worker_leaves_what_an_older_leader_gave_it() {
    let mut mesh = Mesh::keeping(&[0, 0, 0]);
    mesh.submit_with(0, 2, kept);
    let [_, custodian, _] = keepers(&mesh, 0, JOB);
    // The owner is cut off from those that keep its job, and not from the worker, of which these do not know.
    mesh.cut(0, 1, false);
    mesh.cut(0, 2, false);
    mesh.keep = false;
    mesh.join(2, Vec::new());
    assert_eq!(mesh.running(), [0, 0, 0, 2]);
    mesh.steps = 0;
    mesh.advance_ms(30_000);
    assert_eq!(leader(&mesh, custodian), Some(custodian));
    assert!(mesh.aborted >= 2, "what ran for the owner is stopped");
    let epochs = |mesh: &Mesh| {
        let held = mesh.engines[3].audit().held;
        held.into_iter().map(|(owner, lease)| (index(owner), lease.epoch)).collect::<Vec<_>>()
    };
    run(&mut mesh, 10_000);
    assert_eq!(epochs(&mesh), []);
    let refused = mesh
        .log
        .iter()
        .any(|(from, to, message)| (*from, *to) == (3, 0) && matches!(message, Message::Refuse { .. }));
    assert!(refused, "what the owner awards under its old epoch is refused");
    let ends = told(&mesh, JOB);
    assert!(ends.len() == 2 && ends.values().all(|ends| ends.len() == 1), "{ends:?}");
}
