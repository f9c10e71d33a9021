//! Seats of a trio and the disks that have them: which disk counts, how a seat is given to another one, and who counts meanwhile.

#[path = "trio/mesh.rs"]
mod mesh;
mod trio;

use mesh::{ACCEPTED, Mesh};
use trio::{JOB, Node, Said, Tiny, moment, seat};
use weft_core::custody::{CustodyMessage, Position, Record, Role, Trio};
use weft_core::{Left, Remains};

#[test]
fn a_job_is_not_given_up_because_others_have_new_disks() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Ended);
    mesh.pass(5_000);
    mesh.isolate(2);
    [0, 1].iter().for_each(|node| mesh.at(*node, Node::wipe));
    mesh.rejoin(2);
    mesh.pass(2_000_000);
    assert_eq!(mesh.nodes[2].disk.log, [ACCEPTED, Tiny::Ended], "it is the last copy");
}

#[test]
fn a_disk_that_never_had_the_job_counts_once_it_was_sent_the_first_record() {
    let mut mesh = never_had_by_the_third();
    mesh.join(0, 2);
    mesh.pass(20_000);
    assert!(!mesh.nodes[0].leads() && mesh.nodes[2].member.is_none(), "the third one may be there soon");
    mesh.pass(300_000);
    let leads = |node: usize| mesh.nodes[node].leads();
    assert!(leads(0) || leads(2), "the two of them have what was committed");
    let log = &mesh.nodes[0].disk.log;
    assert_eq!((&mesh.nodes[2].disk.log, log.first()), (log, Some(&ACCEPTED)));
}

#[test]
fn a_disk_that_had_a_log_or_has_no_seat_is_not_sent_the_first_record() {
    // Each may have acknowledged what the asking member never had, and a majority with it may be one too many.
    let had_a_log = |node: &mut Node, _: &mut Vec<Said>| {
        let left = Left { at: Position { epoch: 3, seq: 1 }, promised: 3 };
        node.disk.gone.add(JOB, Remains::Left(left));
    };
    for change in [had_a_log, Node::wipe] {
        let mut mesh = never_had_by_the_third();
        mesh.at(2, change);
        mesh.join(0, 2);
        let promised = mesh.nodes[0].disk.promised;
        mesh.pass(1_000_000);
        let (epoch, records) = (3, vec![ACCEPTED.encode().into()]);
        let first = CustodyMessage::Have { job: JOB, epoch, after: Position::NONE, records };
        mesh.at(2, |node, said| node.receive(0, &first, said));
        assert!(!mesh.nodes[0].leads() && mesh.nodes[2].member.is_none(), "one disk alone has it");
        assert_eq!(mesh.nodes[0].disk.promised, promised, "it promises nothing meanwhile");
        mesh.rejoin(1);
        mesh.pass(20_000);
        assert!(mesh.nodes[0].leads());
        assert_eq!(mesh.nodes[2].disk.log, mesh.nodes[0].disk.log, "it has been sent the job");
    }
}

#[test]
fn nodes_that_left_a_job_do_not_say_that_they_have_nothing_of_it() {
    // Whether they left it, or never had it as far as they know.
    for (left, is_forgotten) in [(true, false), (false, true)] {
        let mut mesh = Mesh::accepted();
        mesh.isolate(0);
        for node in [1, 2] {
            let me = mesh.nodes[node].me;
            mesh.nodes[node] = Node::new(me);
            let left_at = Left { at: Position { epoch: 4, seq: 3 }, promised: 4 };
            if left {
                mesh.nodes[node].disk.gone.add(JOB, Remains::Left(left_at));
            }
        }
        mesh.at(0, Node::crash);
        mesh.rejoin(0);
        mesh.pass(2_000_000);
        let owner = &mesh.nodes[0];
        assert_eq!((owner.disk.has_forgotten(), owner.member.is_none()), (is_forgotten, is_forgotten));
    }
}

#[test]
fn a_job_that_neither_of_the_others_has_is_sent_to_none_of_them() {
    let mut mesh = never_had_by_the_third();
    mesh.nodes[1].disk.log.clear();
    mesh.nodes[1].disk.promised = 0;
    mesh.at(1, Node::crash);
    mesh.rejoin(0);
    mesh.pass(500_000);
    let are_without = [1, 2].iter().all(|node| mesh.nodes[*node].member.is_none());
    assert!(are_without, "no client was told that it is accepted, or it was forgotten");
}

/// A job that the first two have accepted. The third crashed before its disk had it, and the second is not there any more; the first
/// was started again, and is alone.
fn never_had_by_the_third() -> Mesh {
    let mut mesh = Mesh::new();
    mesh.deliver();
    mesh.at(2, Node::crash);
    mesh.isolate(2);
    mesh.settle();
    assert_eq!((mesh.committed(0), mesh.logs().pop()), (vec![ACCEPTED], Some(Vec::new())));
    mesh.isolate(1);
    mesh.at(0, Node::crash);
    mesh
}

#[test]
fn members_that_were_started_again_know_that_a_replacement_is_committed() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(1);
    mesh.at(1, Node::wipe);
    mesh.rejoin(1);
    mesh.pass(5_000);
    let replaced = Tiny::Replaced(1, 1, 5);
    assert_eq!(
        mesh.committed(0),
        [ACCEPTED, replaced, replaced],
        "the second one says that the first is committed"
    );
    mesh.isolate(0);
    [1, 2].iter().for_each(|node| mesh.at(*node, Node::crash));
    mesh.join(1, 2);
    mesh.pass(60_000);
    // Of the trio before, one disk is left.
    assert!(mesh.nodes[1].leads() || mesh.nodes[2].leads());
}

/// The witness is gone, and the owner gives its seat to another node.
fn replacing() -> Mesh {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    mesh.pass(2_500);
    let now = moment(mesh.now_ms);
    mesh.member(0, |member| assert!(member.replace(2, seat(3, 4), &now)));
    mesh
}

#[test]
fn what_is_before_the_word_that_a_replacement_is_committed_needs_both_that_stay() {
    let mut mesh = replacing();
    mesh.at(0, Node::sync_all);
    mesh.deliver();
    mesh.write(0, Tiny::Value(1));
    mesh.at(0, Node::sync_all);
    mesh.wire.retain(|(_, to, _)| *to != 1);
    mesh.deliver();
    mesh.at(1, Node::sync_all);
    mesh.deliver();
    // The custodian has the replacement on its disk, and crashes before it has more.
    mesh.cut(0, 1);
    mesh.at(1, Node::crash);
    mesh.at(0, Node::sync_all);
    let replaced = Tiny::Replaced(2, 3, 4);
    let log = [ACCEPTED, replaced, Tiny::Value(1), replaced];
    assert_eq!((mesh.nodes[0].log(), mesh.nodes[1].log()), (log.to_vec(), log[..2].to_vec()));
    while mesh.nodes[3].disk.log.len() < 3 {
        mesh.at(3, Node::sync_one);
        mesh.deliver();
    }
    assert_eq!(mesh.committed(0), log[..2], "the new member would still have to ask the one that left");
    mesh.settle();
    assert_eq!(mesh.committed(0), log);
}

#[test]
fn a_node_with_another_disk_learns_and_counts_only_once_it_has_the_seat() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(1);
    mesh.cut(0, 2);
    mesh.at(1, Node::wipe);
    mesh.write(0, Tiny::Value(1));
    mesh.join(0, 1);
    mesh.settle();
    let learner = mesh.nodes[1].member.as_ref().expect("it learns");
    assert!(!learner.is_member());
    assert_eq!(mesh.nodes[1].disk.log, [ACCEPTED, Tiny::Value(1)]);
    assert_eq!(mesh.committed(0), [ACCEPTED], "what a learner keeps does not count");
    mesh.at(1, |node, said| node.receive(2, &CustodyMessage::Seal { job: JOB, epoch: 5 }, said));
    mesh.at(1, Node::sync_all);
    let sealed =
        |(_, _, message): &(usize, usize, CustodyMessage)| matches!(message, CustodyMessage::Sealed { .. });
    assert!(!mesh.sent.iter().any(sealed), "a learner does not seal");
    mesh.join(0, 2);
    mesh.settle();
    let replaced = Tiny::Replaced(1, 1, 5);
    assert_eq!(mesh.committed(0), [ACCEPTED, Tiny::Value(1), replaced, replaced]);
    assert!(mesh.said.contains(&(0, Said::Keepers(Trio([seat(0, 1), seat(1, 5), seat(2, 3)])))));
    mesh.cut(0, 2);
    mesh.write(0, Tiny::Value(2));
    mesh.settle();
    assert_eq!(mesh.committed(0).last(), Some(&Tiny::Value(2)), "it counts from now on");
}

#[test]
fn a_replacement_is_committed_once_both_that_stay_have_it() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    mesh.pass(2_500);
    let replaced = |mesh: &mut Mesh, seat_number, by| {
        let (mut done, moment) = (false, moment(mesh.now_ms));
        mesh.member(0, |member| done = member.replace(seat_number, by, &moment));
        done
    };
    assert!(!replaced(&mut mesh, 0, seat(3, 4)), "no leader replaces itself");
    assert!(!replaced(&mut mesh, 2, seat(1, 9)), "a node has one seat");
    assert!(!replaced(&mut mesh, 1, seat(3, 4)), "the witness would stay, and is not there");
    assert!(replaced(&mut mesh, 2, seat(3, 4)));
    assert!(!replaced(&mut mesh, 2, seat(3, 7)), "one at a time");
    mesh.at(0, Node::sync_all);
    mesh.write(0, Tiny::Value(1));
    // The new member has all of it before the custodian does.
    mesh.cut(0, 1);
    mesh.settle();
    assert_eq!(mesh.nodes[3].disk.log.len(), 3);
    assert_eq!(mesh.committed(0), [ACCEPTED], "the new one does not count yet");
    mesh.join(0, 1);
    mesh.settle();
    let new = Tiny::Replaced(2, 3, 4);
    assert_eq!(mesh.committed(0), [ACCEPTED, new, Tiny::Value(1), new]);
    mesh.cut(0, 1);
    mesh.write(0, Tiny::Value(2));
    mesh.settle();
    assert_eq!(mesh.committed(0).last(), Some(&Tiny::Value(2)), "owner and new witness");
    // The one that was replaced is back, and learns that it keeps nothing any more.
    mesh.join(2, 0);
    mesh.join(2, 1);
    mesh.pass(40_000);
    assert!(mesh.said.contains(&(2, Said::Left)));
    assert!(mesh.nodes[2].member.is_none() && mesh.nodes[2].disk.log.is_empty());
}

#[test]
fn a_replacement_is_not_committed_by_the_one_that_leaves() {
    let mut mesh = Mesh::accepted();
    let now = moment(mesh.now_ms);
    mesh.member(0, |member| assert!(member.replace(2, seat(3, 4), &now)));
    mesh.cut(0, 1);
    mesh.settle();
    let new = Tiny::Replaced(2, 3, 4);
    assert_eq!(mesh.nodes[2].disk.log, [ACCEPTED, new]);
    assert_eq!(mesh.committed(0), [ACCEPTED], "it deletes its log once that is committed");
    mesh.join(0, 1);
    mesh.settle();
    assert_eq!(mesh.committed(0), [ACCEPTED, new, new]);
}

#[test]
fn a_candidate_with_a_replacement_that_may_not_be_committed_needs_the_majority_before_it() {
    let mut mesh = replacing();
    // The new member has it before the custodian does.
    mesh.cut(0, 1);
    mesh.settle();
    mesh.join(0, 1);
    while mesh.nodes[1].disk.log.len() < 2 {
        mesh.deliver();
        mesh.at(1, Node::sync_all);
    }
    mesh.isolate(0);
    mesh.wire.clear();
    assert_eq!(mesh.nodes[1].disk.log, mesh.nodes[3].disk.log);
    mesh.pass(40_000);
    assert_ne!(mesh.role(1), Some(Role::Leader), "owner and former witness may have gone on without it");
    assert_ne!(mesh.role(3), Some(Role::Leader));
    mesh.join(1, 2);
    mesh.pass(40_000);
    assert!(
        [1, 3].into_iter().any(|at| mesh.role(at) == Some(Role::Leader)),
        "custodian and former witness do"
    );
}

#[test]
fn a_candidate_with_a_replacement_that_may_not_be_committed_needs_both_majorities() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    mesh.pass(2_500);
    mesh.cut(0, 3);
    mesh.cut(1, 3);
    let now = moment(mesh.now_ms);
    mesh.member(0, |member| assert!(member.replace(2, seat(3, 4), &now)));
    mesh.deliver();
    mesh.at(1, Node::sync_all);
    // The owner is gone before it heard that the custodian has it.
    mesh.isolate(0);
    mesh.wire.clear();
    mesh.join(1, 2);
    mesh.pass(30_000);
    assert_ne!(mesh.role(1), Some(Role::Leader), "the old trio alone does not decide");
    assert_ne!(mesh.role(2), Some(Role::Leader), "nor does it for one that has the replacement by now");
    mesh.join(0, 1);
    mesh.pass(20_000);
    let leader =
        [0, 1].into_iter().find(|at| mesh.role(*at) == Some(Role::Leader)).expect("owner and custodian do");
    assert!(mesh.committed(leader).contains(&Tiny::Replaced(2, 3, 4)));
}
