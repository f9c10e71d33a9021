//! The rules of custody that no other test shows by itself: each fails when its rule is broken. `.ci/custody` plants a fault for
//! each rule, and names the test.

#[path = "trio/mesh.rs"]
mod mesh;
mod trio;

use mesh::{ACCEPTED, Mesh};
use trio::{JOB, Node, Tiny, moment};
use weft_core::custody::{CustodyMessage, Role};

#[test]
fn of_two_logs_the_one_of_the_later_epoch_is_further_though_it_is_shorter() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(0);
    (1..4).for_each(|value| assert!(mesh.write(0, Tiny::Value(value)).is_some()));
    mesh.pass(10_500);
    assert_eq!(mesh.committed(1), [ACCEPTED, Tiny::Led(4)]);
    mesh.isolate(1);
    mesh.join(0, 2);
    mesh.pass(20_000);
    assert_eq!(mesh.role(0), Some(Role::Leader));
    assert_eq!(mesh.committed(0), [ACCEPTED, Tiny::Led(4), Tiny::Led(6)], "what was committed is there");
}

#[test]
fn records_of_an_older_epoch_count_once_one_of_the_own_epoch_does() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(0);
    mesh.write(0, Tiny::Value(1));
    mesh.settle();
    mesh.at(0, Node::crash);
    mesh.join(0, 2);
    mesh.member(0, |member| member.take_over(&moment(0)));
    mesh.at(0, Node::sync_all);
    mesh.deliver();
    mesh.at(2, Node::sync_all);
    mesh.deliver();
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 6));
    mesh.at(0, Node::sync_all);
    mesh.deliver();
    // The witness has the record of epoch 3 on its disk, and not yet the one with which epoch 6 begins.
    mesh.at(2, Node::sync_one);
    mesh.deliver();
    assert_eq!(mesh.nodes[2].disk.log, [ACCEPTED, Tiny::Value(1)]);
    let sent = mesh.sent.iter().any(|(from, to, message)| {
        (*from, *to) == (2, 0) && matches!(message, CustodyMessage::Kept { epoch: 6, upto: 2, .. })
    });
    assert!(sent, "and its leader knows that");
    assert!(!mesh.committed(0).contains(&Tiny::Value(1)), "a leader of epoch 4 or 5 would not have it");
    mesh.at(2, Node::sync_one);
    mesh.deliver();
    assert_eq!(mesh.committed(0), [ACCEPTED, Tiny::Value(1), Tiny::Led(6)]);
}

#[test]
fn each_member_has_epochs_of_its_own_and_promises_none_to_two() {
    for (node, epoch) in [(0, 6), (1, 4), (2, 5)] {
        let mut mesh = Mesh::accepted();
        mesh.member(node, |member| {
            if node > 0 {
                member.take_over(&moment(0));
            }
        });
        if node == 0 {
            mesh.at(0, Node::crash);
            mesh.join(0, 1);
            mesh.member(0, |member| member.take_over(&moment(0)));
        }
        assert_eq!(mesh.epoch(node), epoch, "of node {node}");
    }
    let mut mesh = Mesh::accepted();
    let seal = |epoch| CustodyMessage::Seal { job: JOB, epoch };
    for epoch in [4, 5, 7, 8] {
        mesh.at(1, |node, said| node.receive(0, &seal(epoch), said));
        assert_eq!(mesh.epoch(1), 3, "epoch {epoch} is not the owner's");
    }
    mesh.at(1, |node, said| node.receive(0, &seal(6), said));
    assert_eq!(mesh.epoch(1), 6);
}
