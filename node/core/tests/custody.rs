//! One member of a trio after another: what is committed, who takes over, what is cut, how a job is forgotten.
//! Seats are in `custody_seats.rs`.

#[path = "trio/mesh.rs"]
mod mesh;
mod trio;

use mesh::{ACCEPTED, Mesh, number};
use trio::{JOB, Node, Said, Tiny, moment, peer};
use weft_core::custody::{CustodyMessage, Member, Position, Role, Spans, Tombstones};

#[test]
fn a_record_is_committed_once_the_leader_and_one_other_have_it_on_disk() {
    // Which of the three have synced, and whether it is committed.
    let table = [
        ([false, false, false], false),
        ([true, false, false], false),
        ([false, true, true], false),
        ([true, true, false], true),
        ([true, false, true], true),
        ([true, true, true], true),
    ];
    for (synced, is_committed) in table {
        let mut mesh = Mesh::accepted();
        assert_eq!(mesh.write(0, Tiny::Value(1)), Some(2));
        mesh.deliver();
        (0..3).filter(|at| synced[*at]).for_each(|at| mesh.at(at, Node::sync_all));
        mesh.deliver();
        assert_eq!(mesh.committed(0).contains(&Tiny::Value(1)), is_committed, "{synced:?}");
    }
}

#[test]
fn another_member_takes_over_and_has_what_was_committed() {
    // Who is gone, in which epoch the custodian leads then, and after how long at the latest.
    let table = [(&[0][..], 4, 10_500), (&[0, 1], 4, 18_500)];
    for (gone, epoch, within_ms) in table {
        let mut mesh = Mesh::accepted();
        mesh.write(0, Tiny::Value(1));
        mesh.settle();
        mesh.isolate(0);
        mesh.write(0, Tiny::Value(2));
        mesh.pass(7_000);
        assert_eq!(mesh.role(0), Some(Role::Leader), "others wait");
        assert_eq!(mesh.role(1), Some(Role::Follower { leader: Some(peer(0)) }));
        if gone.len() == 2 {
            // The custodian is gone as well, and the owner is back: two of three.
            mesh.isolate(1);
            mesh.join(0, 2);
            mesh.settle();
            assert_eq!(mesh.committed(0).last(), Some(&Tiny::Value(2)), "two of three go on");
            mesh.isolate(0);
            mesh.join(1, 2);
        }
        mesh.pass(within_ms - 7_000 + 3_000);
        assert_eq!((mesh.role(1), mesh.epoch(1)), (Some(Role::Leader), epoch), "{gone:?}");
        let mut log = vec![ACCEPTED, Tiny::Value(1), Tiny::Led(4)];
        if gone.len() == 2 {
            log.insert(2, Tiny::Value(2));
        }
        assert_eq!(mesh.committed(1), log);
    }
}

#[test]
fn an_owner_that_is_back_cuts_what_was_not_committed_and_leads_again() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(0);
    mesh.write(0, Tiny::Value(1));
    mesh.pass(10_500);
    assert_eq!(mesh.role(1), Some(Role::Leader));
    mesh.write(1, Tiny::Value(2));
    mesh.settle();
    assert_eq!(mesh.role(0), Some(Role::Leader), "it does not know better");
    mesh.rejoin(0);
    mesh.settle();
    assert_eq!(mesh.role(0), Some(Role::Follower { leader: Some(peer(1)) }));
    assert!(mesh.said.contains(&(0, Said::SteppedDown)));
    mesh.pass(1_500);
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 6));
    let log = vec![ACCEPTED, Tiny::Led(4), Tiny::Value(2), Tiny::Led(6)];
    assert_eq!(mesh.committed(0), log);
    mesh.pass(3_000);
    assert_eq!(mesh.logs(), [log.clone(), log.clone(), log]);
    assert_eq!(mesh.role(1), Some(Role::Follower { leader: Some(peer(0)) }));
}

#[test]
fn a_member_that_is_alone_promises_nothing_and_leaves_the_leader_in_peace() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(1);
    mesh.pass(120_000);
    assert_eq!((mesh.epoch(1), mesh.nodes[1].disk.promised), (3, 3));
    assert_eq!(
        mesh.nodes[1].member.as_ref().and_then(Member::next_wakeup),
        None,
        "it waits for a connection"
    );
    // Two who were both alone: the leader is gone, and it takes no second silence.
    mesh.join(1, 2);
    mesh.pass(250);
    assert_eq!(mesh.role(1), Some(Role::Follower { leader: Some(peer(0)) }), "the leader may be there");
    mesh.join(0, 1);
    mesh.pass(20_000);
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 3));
    mesh.isolate(0);
    mesh.isolate(2);
    mesh.pass(30_000);
    mesh.join(1, 2);
    mesh.pass(3_000);
    let roles = [1, 2].map(|node| mesh.role(node));
    let custodian = Some(Role::Follower { leader: Some(peer(1)) });
    assert_eq!(roles, [Some(Role::Leader), custodian], "the custodian goes before the witness");
    // Without the custodian the witness does not wait for it.
    mesh.isolate(1);
    mesh.isolate(2);
    mesh.pass(30_000);
    mesh.join(0, 2);
    mesh.pass(12_000);
    assert!([0, 2].iter().any(|node| mesh.role(*node) == Some(Role::Leader)));
}

#[test]
fn a_member_that_lost_only_its_connection_to_the_leader_leaves_it_in_peace() {
    for member in [1, 2] {
        let mut mesh = Mesh::accepted();
        mesh.cut(0, member);
        mesh.pass(120_000);
        assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 3), "the other one hears it");
        assert!((1..3).all(|node| mesh.nodes[node].disk.promised == 3), "and nothing was promised");
        let next = mesh.nodes[member].member.as_ref().and_then(Member::next_wakeup);
        assert!(next.is_some_and(|at| at > moment(mesh.now_ms).now), "it does not ask all the time");
        // When the leader is gone, it takes over all the same.
        mesh.isolate(0);
        mesh.pass(20_000);
        assert!((1..3).any(|node| mesh.role(node) == Some(Role::Leader)), "{member}");
    }
}

#[test]
fn a_leader_that_hangs_is_replaced_though_it_is_connected() {
    let mut mesh = Mesh::accepted();
    // Nothing comes from the owner any more, and no connection is closed.
    mesh.cut.extend([(0, 1), (0, 2)]);
    mesh.pass(11_000);
    assert_eq!((mesh.role(1), mesh.epoch(1)), (Some(Role::Leader), 4));
}

#[test]
fn an_answer_about_an_older_epoch_or_to_no_question_begins_no_takeover() {
    let silent = |epoch| CustodyMessage::PreSealed { job: JOB, epoch, silent: true };
    let mut mesh = Mesh::accepted();
    mesh.at(1, |node, said| node.receive(2, &silent(3), said));
    assert_eq!(mesh.epoch(1), 3, "it did not ask");
    mesh.isolate(0);
    mesh.cut.insert((2, 1));
    mesh.pass(10_500);
    for stranger in [(2, 2), (2, 4), (3, 3)] {
        mesh.at(1, |node, said| node.receive(stranger.0, &silent(stranger.1), said));
        assert_eq!(mesh.epoch(1), 3, "{stranger:?}");
    }
    mesh.at(1, |node, said| node.receive(2, &silent(3), said));
    assert_eq!(mesh.epoch(1), 4);
}

#[test]
fn a_leader_that_drains_has_another_member_lead_at_once() {
    // Which members are fit, and who leads then.
    for (fit, leader) in [(&[1, 2][..], 1), (&[2], 2)] {
        let mut mesh = Mesh::accepted();
        mesh.write(0, Tiny::Value(1));
        let is_fit = |peer| fit.iter().any(|node| self::peer(*node) == peer);
        mesh.member(0, |member| assert!(member.hand_over(is_fit)));
        mesh.settle();
        assert_eq!(mesh.role(leader), Some(Role::Leader), "no time has passed");
        assert_eq!(mesh.role(0), Some(Role::Follower { leader: Some(number(leader)) }));
        assert!(mesh.committed(leader).contains(&Tiny::Value(1)), "what was on the way is not lost");
    }
    let mut mesh = Mesh::accepted();
    mesh.member(0, |member| assert!(!member.hand_over(|_| false), "all drain"));
    mesh.member(1, |member| assert!(!member.hand_over(|_| true), "it does not lead"));
    let stranger = CustodyMessage::HandOver { job: JOB, epoch: 3 };
    mesh.at(1, |node, said| node.receive(2, &stranger, said));
    mesh.settle();
    assert_eq!((mesh.role(0), mesh.epoch(1)), (Some(Role::Leader), 3), "its leader alone says so");
    mesh.isolate(0);
    mesh.member(0, |member| assert!(!member.hand_over(|_| true), "no other one is there"));
}

#[test]
fn an_ended_job_whose_leader_is_gone_is_led_by_another() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Ended);
    mesh.pass(60_000);
    // One that lost only its own connection to the leader leaves it in peace, and asks now and then.
    mesh.cut(0, 1);
    let sent = mesh.sent.len();
    mesh.pass(120_000);
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 3));
    assert!(mesh.sent.len() < sent + 20, "{}", mesh.sent.len() - sent);
    mesh.isolate(0);
    mesh.pass(90_000);
    let leader = (1..3).find(|node| mesh.role(*node) == Some(Role::Leader)).expect("one leads");
    assert_eq!(mesh.committed(leader)[..2], [ACCEPTED, Tiny::Ended]);
    // Its owner has no need to lead it again.
    mesh.rejoin(0);
    mesh.pass(60_000);
    assert_eq!(mesh.role(leader), Some(Role::Leader));
}

#[test]
fn an_ended_job_is_handed_over_too() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Ended);
    mesh.settle();
    mesh.member(0, |member| assert!(member.hand_over(|_| true)));
    mesh.settle();
    assert_eq!(mesh.committed(1), [ACCEPTED, Tiny::Ended, Tiny::Led(4)]);
    assert!(mesh.nodes[1].member.as_ref().is_some_and(Member::has_ended));
}

#[test]
fn a_member_that_was_cut_off_while_its_job_was_forgotten_asks_when_it_is_back() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Ended);
    mesh.pass(5_000);
    mesh.isolate(2);
    let now = moment(mesh.now_ms);
    mesh.member(0, |member| assert!(member.forget(&now)));
    mesh.settle();
    assert!(mesh.nodes[0].disk.has_forgotten() && mesh.nodes[1].disk.has_forgotten());
    mesh.pass(3_600_000);
    mesh.join(1, 2);
    mesh.settle();
    assert!(mesh.nodes[2].disk.has_forgotten() && mesh.nodes[2].member.is_none(), "it was not started again");
}

#[test]
fn a_job_that_the_others_have_forgotten_too_long_ago_to_know_goes_in_the_end() {
    // Whether the member knows that the job has ended.
    for knows in [true, false] {
        let mut mesh = Mesh::accepted();
        if !knows {
            mesh.isolate(2);
        }
        mesh.write(0, Tiny::Ended);
        mesh.pass(5_000);
        mesh.isolate(2);
        let now = moment(mesh.now_ms);
        mesh.member(0, |member| assert!(member.forget(&now)));
        mesh.settle();
        // Their tombstones are gone: they forgot many jobs since.
        [0, 1].iter().for_each(|node| mesh.nodes[*node].disk.gone = Tombstones::default());
        mesh.join(1, 2);
        mesh.pass(1_000_000);
        assert!(mesh.nodes[2].member.is_some(), "the other one may have it");
        mesh.join(0, 2);
        mesh.pass(500_000);
        assert!(mesh.nodes[2].member.is_some(), "a node that it does not know may lead it");
        assert_eq!(mesh.nodes[2].disk.promised, 3, "it promises nothing meanwhile");
        mesh.pass(200_000);
        assert!(mesh.nodes[2].member.is_none() && mesh.nodes[2].disk.log.is_empty(), "{knows}");
    }
}

#[test]
fn a_draining_owner_does_not_take_the_lead_back() {
    let mut mesh = Mesh::accepted();
    mesh.member(1, |member| member.take_over(&moment(0)));
    mesh.settle();
    assert_eq!(mesh.role(1), Some(Role::Leader));
    for now_ms in (0..20_000).step_by(500) {
        let draining = weft_core::custody::Moment { draining: true, ..moment(now_ms) };
        mesh.now_ms = now_ms;
        mesh.member(0, |member| member.on_time(&draining));
        mesh.member(1, |member| member.on_time(&moment(now_ms)));
        mesh.settle();
        let next = mesh.nodes[0].member.as_ref().and_then(Member::next_wakeup).expect("it waits");
        assert!(next > moment(now_ms).now, "it does not ask to be woken at once");
    }
    assert_eq!(mesh.role(1), Some(Role::Leader));
}

#[test]
fn a_leader_that_restarted_goes_on_in_an_epoch_of_its_own_above_the_one_before() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Value(1));
    mesh.settle();
    mesh.write(0, Tiny::Value(2));
    mesh.wire.clear();
    mesh.at(0, Node::crash);
    assert_eq!(mesh.role(0), Some(Role::Follower { leader: None }));
    mesh.rejoin(0);
    mesh.pass(250);
    assert_eq!((mesh.role(0), mesh.epoch(0)), (Some(Role::Leader), 6));
    assert_eq!(
        mesh.committed(0),
        [ACCEPTED, Tiny::Value(1), Tiny::Led(6)],
        "the lost one is lost everywhere"
    );
}

#[test]
fn a_seal_is_answered_once_it_is_on_disk_and_only_to_a_higher_epoch() {
    let mut mesh = Mesh::accepted();
    let seal = |epoch| CustodyMessage::Seal { job: JOB, epoch };
    mesh.at(2, |node, said| node.receive(1, &seal(4), said));
    let answers = |mesh: &Mesh| {
        let sent = mesh.sent.iter().filter(|(from, to, _)| (*from, *to) == (2, 1));
        sent.filter(|(_, _, message)| matches!(message, CustodyMessage::Sealed { epoch: 4, .. })).count()
    };
    assert_eq!(answers(&mesh), 0, "not before it is on disk");
    mesh.at(2, Node::sync_all);
    assert_eq!(answers(&mesh), 1);
    mesh.at(2, |node, said| node.receive(1, &seal(4), said));
    assert_eq!(answers(&mesh), 2, "the same one is answered again: the answer may be lost");
    mesh.at(2, |node, said| node.receive(0, &seal(3), said));
    let stale = (2, 0, CustodyMessage::Stale { job: JOB, promised: 4 });
    assert!(mesh.sent.contains(&stale));
    mesh.at(2, |node, said| node.receive(0, &seal(7), said));
    assert_eq!(mesh.epoch(2), 4, "epoch 7 is the custodian's, not the owner's");
}

#[test]
fn a_leader_of_a_lower_epoch_is_refused_and_steps_down() {
    let mut mesh = Mesh::accepted();
    mesh.at(2, |node, said| node.receive(1, &CustodyMessage::Seal { job: JOB, epoch: 4 }, said));
    mesh.at(2, Node::sync_all);
    mesh.wire.clear();
    mesh.cut(0, 1);
    mesh.write(0, Tiny::Value(1));
    mesh.settle();
    assert_eq!(mesh.role(0), Some(Role::Follower { leader: None }));
    assert_eq!(mesh.committed(0), [ACCEPTED]);
    assert_eq!(mesh.write(0, Tiny::Value(2)), None, "it appends no more");
}

#[test]
fn a_long_log_is_sent_in_pages_also_to_a_member_that_lacks_all_of_it() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    for n in (0..=249).chain(0..=249) {
        mesh.write(0, Tiny::Value(n % 250));
    }
    mesh.settle();
    assert_eq!(mesh.committed(0).len(), 501);
    let most = mesh.sent.iter().map(|(_, _, message)| {
        if let CustodyMessage::Keep { records, .. } = message { records.len() } else { 0 }
    });
    assert!(most.max() <= Some(64));
    // From the owner's disk.
    mesh.rejoin(2);
    mesh.settle();
    assert_eq!(mesh.nodes[2].disk.log, mesh.nodes[0].disk.log);
    // By the candidate itself, from the further log.
    mesh.isolate(1);
    for n in (0..=149).chain(0..=149) {
        mesh.write(0, Tiny::Value(n));
    }
    mesh.settle();
    mesh.isolate(0);
    mesh.join(1, 2);
    mesh.member(1, |member| member.take_over(&moment(0)));
    mesh.settle();
    assert_eq!(mesh.role(1), Some(Role::Leader));
    assert_eq!(mesh.committed(1).len(), 802);
    assert_eq!(mesh.nodes[1].disk.log, mesh.nodes[2].disk.log);
}

#[test]
fn a_record_is_written_and_acknowledged_only_with_its_blobs() {
    let mut mesh = Mesh::accepted();
    mesh.isolate(2);
    mesh.write(0, Tiny::Blob(1));
    mesh.write(0, Tiny::Value(2));
    mesh.settle();
    assert!(mesh.said.contains(&(1, Said::Fetches(Tiny::Blob(1)))));
    assert_eq!(mesh.nodes[1].disk.log, [ACCEPTED]);
    assert_eq!(mesh.committed(0), [ACCEPTED]);
    mesh.member(1, |member| member.on_blobs(Position { epoch: 3, seq: 2 }, &moment(0)));
    mesh.settle();
    assert_eq!(mesh.nodes[1].disk.log, [ACCEPTED, Tiny::Blob(1), Tiny::Value(2)]);
    assert_eq!(mesh.committed(0).len(), 3);
}

#[test]
fn an_ended_job_is_tried_again_in_a_new_epoch() {
    let mut mesh = Mesh::accepted();
    mesh.member(0, |member| assert!(!member.retry(&moment(0)), "it has not ended"));
    mesh.write(0, Tiny::Ended);
    mesh.settle();
    mesh.pass(60_000);
    assert_eq!(mesh.role(0), Some(Role::Leader), "who follows an ended job waits for nothing");
    let sent = mesh.sent.len();
    mesh.pass(60_000);
    assert_eq!(mesh.sent.len(), sent, "and says nothing");
    let now = moment(mesh.now_ms);
    mesh.member(0, |member| assert!(member.retry(&now)));
    mesh.settle();
    assert_eq!(mesh.committed(0), [ACCEPTED, Tiny::Ended, Tiny::Retried(6)]);
    assert!(mesh.said.contains(&(0, Said::Leads(vec![ACCEPTED, Tiny::Ended, Tiny::Retried(6)]))));
}

#[test]
fn a_forgotten_job_is_forgotten_by_all_also_by_one_that_was_away() {
    let mut mesh = Mesh::accepted();
    mesh.member(0, |member| assert!(!member.forget(&moment(0)), "it has not ended"));
    mesh.write(0, Tiny::Ended);
    mesh.settle();
    mesh.isolate(2);
    mesh.cut(0, 1);
    mesh.member(0, |member| assert!(member.forget(&moment(0))));
    mesh.settle();
    assert!(mesh.nodes[0].member.is_some(), "not before another one agrees");
    mesh.join(0, 1);
    mesh.pass(2_500);
    assert!(mesh.nodes[0].disk.has_forgotten() && mesh.nodes[1].disk.has_forgotten());
    mesh.at(2, Node::crash);
    mesh.rejoin(2);
    mesh.pass(20_000);
    assert!(mesh.nodes[2].disk.has_forgotten() && mesh.nodes[2].member.is_none());
}

#[test]
fn a_leader_of_the_past_forgets_nothing() {
    let mut mesh = Mesh::accepted();
    mesh.write(0, Tiny::Ended);
    mesh.settle();
    mesh.isolate(0);
    mesh.at(1, Node::crash);
    mesh.join(1, 2);
    mesh.pass(12_000);
    assert_eq!(
        mesh.role(1),
        Some(Role::Leader),
        "after its restart it does not know that the end is committed"
    );
    let now = moment(mesh.now_ms);
    mesh.member(1, |member| assert!(member.retry(&now)));
    mesh.settle();
    mesh.member(0, |member| assert!(member.forget(&now)));
    mesh.rejoin(0);
    mesh.pass(5_000);
    assert!(mesh.nodes.iter().all(|node| !node.disk.has_forgotten()));
    assert_eq!(mesh.nodes[0].disk.log, mesh.nodes[1].disk.log);
}

#[test]
fn what_no_member_sends_changes_nothing_and_breaks_nothing() {
    let (epochs, places) = ([0, 1, 3, 4, 5, 8, u32::MAX - 1, u32::MAX], [0, 1, 2, 900, u32::MAX]);
    let mut messages = Vec::new();
    for epoch in epochs {
        messages.push(CustodyMessage::Seal { job: JOB, epoch });
        messages.push(CustodyMessage::Stale { job: JOB, promised: epoch });
        for seq in places {
            let after = Position { epoch, seq };
            let mut spans = Spans::new();
            spans.push(Some(epoch.max(1)));
            let records = [
                vec![],
                vec![vec![].into()],
                vec![vec![5, 1].into(), vec![1, 4].into()],
                vec![vec![0, 1, 2, 3].into()],
            ];
            for records in records {
                messages.push(CustodyMessage::Have { job: JOB, epoch, after, records: records.clone() });
                messages.push(CustodyMessage::Keep {
                    job: JOB,
                    epoch,
                    after,
                    records,
                    committed: seq,
                    last: seq,
                });
            }
            messages.push(CustodyMessage::Kept { job: JOB, epoch, upto: seq, disk: u64::from(seq) });
            messages.push(CustodyMessage::Want { job: JOB, epoch, after });
            messages.push(CustodyMessage::Behind { job: JOB, epoch, spans: spans.clone(), disk: 2 });
            messages.push(CustodyMessage::Sealed { job: JOB, epoch, spans, committed: seq, disk: 2 });
        }
    }
    for (place, first) in messages.iter().enumerate() {
        for second in messages.iter().skip(place % 17).step_by(17) {
            for at in 0..3 {
                let mut mesh = Mesh::accepted();
                if at == 2 {
                    mesh.member(2, |member| member.take_over(&moment(0)));
                }
                for message in [first, second] {
                    mesh.at(at, |node, said| node.receive((at + 1) % 3, message, said));
                    mesh.at(at, |node, said| node.receive(3, message, said));
                    mesh.at(at, Node::sync_all);
                }
                assert_eq!(mesh.nodes[at].disk.log.first(), Some(&ACCEPTED), "{first:?} {second:?}");
            }
        }
    }
}
