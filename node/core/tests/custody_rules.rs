//! The rules of custody that no other test shows by itself: each fails when its rule is broken. `.ci/custody` plants a fault for
//! each rule, and names the test.

#[path = "trio/mesh.rs"]
mod mesh;
mod trio;

use mesh::{ACCEPTED, Mesh};
use trio::{JOB, Node, Said, Tiny, moment, peer, seat};
use weft_core::custody::{
    Action, CustodyMessage, Mark, Member, Outline, Position, Record, Restored, Role, SPANS_MAX, Seat, Spans,
    Trio,
};
use weft_core::{Left, Remains, Time};

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

#[test]
fn a_node_that_is_given_a_job_again_has_no_vote_before_it_knows_how_it_left() {
    // Node 3 leads on seat 0. The witness lost its seat to node 4, and has the custodian's by now; it may have acknowledged all
    // up to the record that says so first.
    let left = Tiny::Replaced(2, 4, 5);
    let log = [
        ACCEPTED,
        Tiny::Value(1),
        Tiny::Replaced(0, 3, 4),
        Tiny::Led(6),
        left,
        Tiny::Led(9),
        Tiny::Replaced(1, 2, 3),
    ];
    let keep = |after, records: &[Tiny]| CustodyMessage::Keep {
        job: JOB,
        epoch: 9,
        after,
        records: records.iter().map(|record| record.encode().into()).collect(),
        committed: 0,
        last: 7,
    };
    let mut node = Node::new(seat(2, 3));
    let at = Position { epoch: 6, seq: 5 };
    node.disk.gone.add(JOB, Remains::Left(Left { at, promised: 9 }));
    let hear = |node: &mut Node, from: usize, message: CustodyMessage| {
        let mut said = Vec::new();
        node.receive(from, &message, &mut said);
        node.sync_all(&mut said);
        said
    };
    let votes = |said: &[Said]| {
        let is_vote = |message: &CustodyMessage| {
            matches!(message, CustodyMessage::Sealed { .. } | CustodyMessage::PreSealed { .. })
        };
        said.iter().any(|said| matches!(said, Said::Sent { message, .. } if is_vote(message)))
    };
    hear(&mut node, 3, keep(Position::NONE, &log[..2]));
    assert_eq!(node.disk.log, log[..2], "as far as that it sits where it sat before");
    for starts_again in [false, true] {
        if starts_again {
            node.crash(&mut Vec::new());
        }
        node.now_ms += 10_000;
        assert!(!votes(&hear(&mut node, 0, CustodyMessage::PreSeal { job: JOB, epoch: 9 })));
        assert!(!votes(&hear(&mut node, 0, CustodyMessage::Seal { job: JOB, epoch: 12 })));
    }
    let mut said = Vec::new();
    let connected = moment(node.now_ms);
    node.with(&mut said, |member| member.on_connected(peer(0), &connected));
    said.clear();
    node.now_ms += 60_000;
    let later = moment(node.now_ms);
    node.with(&mut said, |member| member.on_time(&later));
    let asks = |said: &Said| matches!(said, Said::Sent { message: CustodyMessage::PreSeal { .. }, .. });
    assert!(said.iter().any(asks), "it asks those that it knows who leads now");
    hear(&mut node, 3, keep(Position { epoch: 3, seq: 2 }, &log[2..]));
    assert_eq!(node.disk.log, log, "a leader that it does not know tells it the rest");
    assert!(votes(&hear(&mut node, 3, CustodyMessage::Seal { job: JOB, epoch: 12 })));
}

/// The greatest epoch of a member's seat.
fn last_epoch_of(seat: u32) -> u32 {
    let last = u32::MAX - 2;
    (last..=u32::MAX).find(|epoch| epoch % 3 == seat).expect("each seat has one in three")
}

#[test]
fn no_node_uses_up_the_epochs() {
    let keep = |epoch, records| CustodyMessage::Keep {
        job: JOB,
        epoch,
        after: Position::NONE,
        records,
        committed: 0,
        last: 1,
    };
    // A member says so to the others.
    let mut mesh = Mesh::accepted();
    let last = last_epoch_of(2);
    let all = [
        CustodyMessage::Stale { job: JOB, promised: u32::MAX },
        CustodyMessage::Seal { job: JOB, epoch: last },
        keep(last, Vec::new()),
        CustodyMessage::Forget { job: JOB, epoch: last },
    ];
    for (at, message) in [0, 1].into_iter().flat_map(|at| all.iter().map(move |message| (at, message))) {
        mesh.at(at, |node, said| node.receive(2, message, said));
        mesh.settle();
        assert_eq!((mesh.role(0), mesh.epoch(at)), (Some(Role::Leader), 3), "{message:?}");
    }
    mesh.isolate(0);
    mesh.pass(20_000);
    assert_eq!((mesh.role(1), mesh.epoch(1)), (Some(Role::Leader), 4));
    // A node without a seat says so to one that has lost its disk, which would tell the leader.
    let mut mesh = Mesh::accepted();
    mesh.at(2, Node::wipe);
    let first = Record::encode(&ACCEPTED);
    mesh.at(2, |node, said| node.receive(3, &keep(u32::MAX, vec![first.into()]), said));
    mesh.settle();
    mesh.join(0, 2);
    mesh.pass(5_000);
    assert_eq!((mesh.role(0), mesh.epoch(0), mesh.epoch(2)), (Some(Role::Leader), 3, 3));
    assert_eq!(mesh.nodes[2].disk.log, mesh.nodes[0].disk.log);
}

#[test]
fn a_member_for_which_there_is_no_epoch_any_more_follows_in_peace() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(0);
    mesh.nodes[0].disk.promised = u32::MAX - 3;
    mesh.at(0, Node::crash);
    mesh.join(0, 2);
    mesh.pass(1_000);
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Candidate), u32::MAX), "the last one");
    mesh.pass(20_000);
    assert_eq!(mesh.role(0), Some(Role::Follower { leader: None }));
    let next = mesh.nodes[0].member.as_ref().and_then(Member::next_wakeup);
    assert!(next.is_none_or(|at| at > moment(mesh.now_ms).now), "it does not try all the time: {next:?}");
    assert!((1..3).any(|node| mesh.role(node) == Some(Role::Leader)), "the others go on");
}

#[test]
fn a_follower_that_says_all_the_time_where_its_log_ends_does_not_have_all_of_it_sent_each_time() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    (0..=249).chain(0..=249).for_each(|n| {
        mesh.write(0, Tiny::Value(n));
    });
    mesh.settle();
    mesh.join(0, 2);
    mesh.wire.clear();
    mesh.sent.clear();
    let behind = |spans: &Spans| CustodyMessage::Behind { job: JOB, epoch: 3, spans: spans.clone(), disk: 3 };
    let mut one = Spans::new();
    one.push(Some(3));
    // As many as are taken in one frame; each is forged, and so is what it says to have got.
    for _ in 0..85 {
        let kept = CustodyMessage::Kept { job: JOB, epoch: 3, upto: 64, disk: 3 };
        for message in [behind(&Spans::new()), behind(&one), kept] {
            mesh.at(0, |node, said| node.receive(2, &message, said));
        }
    }
    let records = |mesh: &Mesh| -> usize {
        let sent = mesh.sent.iter().filter(|(_, to, _)| *to == 2);
        sent.map(
            |(_, _, message)| {
                if let CustodyMessage::Keep { records, .. } = message { records.len() } else { 0 }
            },
        )
        .sum()
    };
    assert!(records(&mesh) <= 6 * 64, "{}", records(&mesh));
    // One that is honest then gets all of it soon.
    mesh.wire.clear();
    mesh.pass(6_000);
    assert_eq!(mesh.nodes[2].disk.log, mesh.nodes[0].disk.log);
}

/// A record of which nothing is known but what it means.
#[derive(Clone, Debug)]
struct Bare(Mark);

impl Record for Bare {
    fn mark(&self) -> Mark {
        self.0
    }

    fn names_blobs(&self) -> bool {
        false
    }

    fn led(epoch: u32, _at: Time) -> Self {
        Self(Mark::Led(epoch))
    }

    fn retried(epoch: u32, _at: Time) -> Self {
        Self(Mark::Retried(epoch))
    }

    fn replaced(seat: u8, by: Seat) -> Self {
        Self(Mark::Replaced { seat, by })
    }

    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(_bytes: &[u8]) -> Option<Self> {
        None
    }
}

/// All that a member wants written is on its disk.
fn sync(member: &mut Member<Bare>) {
    loop {
        let is_write = |action: &Action<Bare>| {
            matches!(action, Action::Persist { .. } | Action::Cut { .. } | Action::Promise { .. })
        };
        let writes = member.actions().filter(is_write).count();
        if writes == 0 {
            return;
        }
        member.on_durable(writes, &moment(0));
    }
}

#[test]
fn a_job_whose_log_has_as_many_epochs_as_it_may_is_not_tried_again() {
    let mut log = Outline::new(&Bare(Mark::Accepted(Trio([seat(0, 1), seat(1, 2), seat(2, 3)])))).unwrap();
    let mut epoch = 3;
    for _ in 0..SPANS_MAX - 2 {
        epoch += 3;
        assert!(log.push(&Bare(Mark::Led(epoch))));
    }
    let (me, left) = (seat(0, 1), Position::NONE);
    let restored = Restored { job: JOB, me, log: log.clone(), promised: epoch, left };
    let mut member = Member::<Bare>::restored(restored, &moment(0));
    member.on_connected(peer(1), &moment(0));
    member.take_over(&moment(0));
    sync(&mut member);
    let sealed = CustodyMessage::Sealed {
        job: JOB,
        epoch: epoch + 3,
        spans: log.spans().clone(),
        committed: 0,
        disk: 2,
    };
    assert!(member.on_message(peer(1), sealed, &moment(0)));
    sync(&mut member);
    let last = member.append(Bare(Mark::Ended)).expect("it leads");
    sync(&mut member);
    let kept = CustodyMessage::Kept { job: JOB, epoch: epoch + 3, upto: last, disk: 2 };
    assert!(member.on_message(peer(1), kept, &moment(0)) && member.has_ended());
    assert_eq!(member.log().spans().epochs().len(), SPANS_MAX);
    assert!(!member.retry(&moment(0)), "there is no room for a record that says so");
    assert_eq!(member.role(), Role::Leader, "and it goes on as it is");
}
