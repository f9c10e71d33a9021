//! Scenarios of reputation, verification, backup copies and self-fencing: nodes that are slow, lie, fall silent, or were
//! paused themselves. One per test.

use std::time::Duration;

use weft_core::message::Delivery;
use weft_core::snapshot::{Cause, Note, TaskView, Trust};
use weft_core::{JobId, LeaseId, MeshConfig, Message, Outcome, Payload, Policy, Report};
use weft_sim::{Fault, HostId, HostSpec, JobSpec, World};

const OWNER: HostId = HostId(0);
const WORKER: HostId = HostId(1);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A policy by which `verify` nodes compute each task.
fn verified(verify: u32) -> Policy {
    Policy { verify, ..Policy::DEFAULT }
}

fn done(world: &World, job: JobId, tasks: usize) -> bool {
    world.reference().done(job) == tasks
}

fn for_workers(tasks: u32, service_ms: u32) -> JobSpec {
    JobSpec { labels: vec![("role".into(), "worker".into())], ..JobSpec::new(tasks, service_ms) }
}

fn worker(slots: u32) -> HostSpec {
    HostSpec::slots(slots).label("role", "worker")
}

/// A host's reputation with the owner.
fn trust(world: &World, host: HostId) -> Trust {
    let peer = world.peer(host);
    let snapshot = world.snapshot(OWNER).expect("the owner lives");
    snapshot.peers.iter().find(|view| view.peer == peer).expect("it knows the host").reputation.trust
}

// ---- backup copies

/// A mesh of one owner and ten hosts, the last of which is slower by the factor `times`.
fn with_a_slow_host(seed: u64, times: u32) -> World {
    let mut world = World::builder(seed).hosts(1, 0).hosts(10, 1).build();
    world.connect();
    world.fault(Fault::Slow { host: HostId(10), times, lag_ms: 0 });
    world
}

#[test]
fn a_straggler_has_one_copy_elsewhere_and_the_copy_counts() {
    let mut world = with_a_slow_host(60, 20);
    let job = world.submit(OWNER, &JobSpec::new(40, 1000));
    let took = world.run_until("all tasks end", ms(20_000), |world| done(world, job, 40));
    // Four or five rounds of a second, and a copy after them.
    assert!(took < ms(7500), "without a copy it takes 20 s, with one it took {took:?}");
    let counters = world.snapshot(OWNER).unwrap().counters;
    assert_eq!((counters.copies, counters.copies_won), (1, 1));
    assert_eq!(world.reference().brought(job, world.peer(HostId(10))), 0);
    assert_ne!(world.snapshot(OWNER).unwrap().peers.iter().map(|peer| peer.reputation.slow).max(), Some(0));
    world.run_for(ms(1000));
    assert_eq!(world.running(HostId(10)), 0, "the copied attempt is stopped");
}

#[test]
fn a_job_that_forbids_copies_waits_for_its_straggler() {
    let mut world = with_a_slow_host(61, 10);
    let job = world.submit(
        OWNER,
        &JobSpec { policy: Policy { backups: false, ..Policy::DEFAULT }, ..JobSpec::new(40, 1000) },
    );
    let took = world.run_until("all tasks end", ms(20_000), |world| done(world, job, 40));
    assert!(took > ms(9000), "it took {took:?}");
    assert_eq!(world.reference().executions(job), 40);
}

#[test]
fn copies_are_a_tenth_at_most_however_many_are_slow() {
    let mut world = World::builder(62).hosts(1, 0).hosts(20, 1).build();
    world.connect();
    for host in 11..=20 {
        world.fault(Fault::Slow { host: HostId(host), times: 30, lag_ms: 0 });
    }
    let job = world.submit(OWNER, &JobSpec::new(60, 500));
    world.run_until("all tasks end", ms(30_000), |world| done(world, job, 60));
    let copies = world.snapshot(OWNER).unwrap().counters.copies;
    assert_eq!(copies, 6, "of sixty tasks");
}

#[test]
fn an_owner_copies_a_straggler_to_its_own_slot() {
    let mut world = World::builder(65).hosts(1, 1).hosts(1, 1).build();
    world.connect();
    world.fault(Fault::Slow { host: WORKER, times: 50, lag_ms: 0 });
    let job = world.submit(OWNER, &JobSpec::new(10, 200));
    let took = world.run_until("all tasks end", ms(10_000), |world| done(world, job, 10));
    assert!(took < ms(2500), "nine tasks and a copy of the tenth at 200 ms each, and it took {took:?}");
    assert_eq!(world.reference().brought(job, world.peer(OWNER)), 10);
}

#[test]
fn a_lone_node_has_nobody_to_copy_to() {
    let mut world = World::builder(63).hosts(1, 2).build();
    let spec = JobSpec { service_us: (1000, 3_000_000), ..JobSpec::new(30, 0) };
    let job = world.submit(OWNER, &spec);
    world.run_until("all tasks end", ms(60_000), |world| done(world, job, 30));
    assert_eq!(world.reference().executions(job), 30);
}

#[test]
fn a_paused_task_is_no_straggler() {
    let mut world = World::builder(64).hosts(1, 0).host(worker(1)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(6, 1000));
    world.run_until("most end", ms(6000), |world| done(world, job, 5));
    let urgent = JobSpec { class: weft_core::message::Class::Realtime, ..for_workers(1, 8000) };
    let urgent = world.submit(OWNER, &urgent);
    world.run_for(ms(3000));
    world.add_host(worker(2));
    world.run_until("all tasks end", ms(20_000), |world| done(world, job, 6) && done(world, urgent, 1));
    assert_eq!((world.reference().executions(job), world.snapshot(OWNER).unwrap().counters.copies), (6, 0));
}

// ---- verification

#[test]
fn three_nodes_compute_each_task_and_agree() {
    let mut world = World::builder(70).hosts(1, 1).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { policy: verified(3), ..JobSpec::new(40, 20) });
    world.run_until("all tasks end", ms(5000), |world| done(world, job, 40));
    let ran = world.reference().executions(job);
    assert!((80..=120).contains(&ran), "two must agree, three may have run: {ran} executions");
    assert_eq!(world.snapshot(OWNER).unwrap().counters.verified, 40);
    assert_eq!(world.reference().named(job).0, 0);
}

#[test]
fn a_liar_commits_nothing_is_named_and_shut_out() {
    for (seed, verify) in [(71, 2), (72, 3), (73, 5)] {
        let mut world =
            World::builder(seed).hosts(1, 0).hosts(4, 2).host(HostSpec::slots(4).lies(1000)).build();
        world.connect();
        let job = world.submit(OWNER, &JobSpec { policy: verified(verify), ..JobSpec::new(30, 50) });
        world.run_until("all tasks end", ms(30_000), |world| done(world, job, 30));
        let (times, named) = world.reference().named(job);
        assert!(times > 0 && named == [world.peer(HostId(5))].into(), "{named:?}");
        assert_eq!(trust(&world, HostId(5)), Trust::Open);
        assert!((1..5).all(|host| trust(&world, HostId(host)) == Trust::Closed), "honest nodes stay trusted");
    }
}

#[test]
fn a_liar_is_believed_by_who_asks_nobody_else() {
    let mut world = World::builder(74).hosts(1, 0).host(HostSpec::slots(4).lies(1000)).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(10, 50));
    world.run_until("all tasks end", ms(5000), |world| world.reference().settled(job));
    assert_eq!(world.reference().named(job).0, 0, "one node computed each task, so its lies are not noticed");
}

#[test]
fn remembered_results_are_no_computation_for_who_wants_several() {
    let mut world = World::builder(75).hosts(1, 0).hosts(3, 2).build();
    world.connect();
    let spec = JobSpec { same: Some(1), ..JobSpec::new(6, 60) };
    let first = world.submit(OWNER, &spec);
    world.run_until("all tasks end", ms(1000), |world| done(world, first, 6));
    let again = world.submit(OWNER, &JobSpec { policy: verified(3), ..spec });
    world.run_until("all tasks end again", ms(2000), |world| done(world, again, 6));
    assert!(world.reference().executions(again) >= 6 + 12);
    assert_eq!(world.reference().proved_and_recalled(again), (0, 0));
}

#[test]
fn too_few_nodes_wait_say_why_and_go_on_when_one_joins() {
    let mut world = World::builder(76).hosts(1, 0).host(worker(4)).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { policy: verified(3), ..for_workers(2, 100) });
    world.run_for(ms(10_000));
    assert!(!done(&world, job, 2));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.notes, [Note::Verifying { nodes: 3, answered: 1, held: 0, wanted: 2, machines: 1 }]);
    assert_eq!(world.reference().executions(job), 2, "one node computes it once, however long it waits");
    world.add_host(worker(4));
    world.run_until("two of three agree", ms(3000), |world| done(world, job, 2));
}

#[test]
fn a_verified_task_outlives_the_nodes_that_compute_it() {
    let mut world = World::builder(77).hosts(1, 0).hosts(5, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { policy: verified(3), ..JobSpec::new(6, 2000) });
    world.run_until("they are at work", ms(1000), |world| world.running(WORKER) == 2);
    for host in [1, 2, 3] {
        world.kill(HostId(host));
    }
    world.run_until("all tasks end", ms(30_000), |world| done(world, job, 6));
}

/// One machine may run any number of members: all of them together have one vote.
#[test]
fn six_identities_of_one_machine_win_no_verified_task() {
    for (seed, verify) in [(78, 2), (79, 3), (81, 5)] {
        let league = HostSpec::slots(4).on(7).lies(1000);
        let mut builder = World::builder(seed).hosts(1, 0).hosts(4, 2);
        for _ in 0..6 {
            builder = builder.host(league.clone());
        }
        let mut world = builder.build();
        world.connect();
        let job = world.submit(OWNER, &JobSpec { policy: verified(verify), ..JobSpec::new(30, 50) });
        // Invariants check after every event that no lie is committed and that a machine has one vote.
        world.run_until("all tasks end", ms(60_000), |world| done(world, job, 30));
        let (_, named) = world.reference().named(job);
        assert!((1..5).all(|host| !named.contains(&world.peer(HostId(host)))), "{named:?}");
    }
}

#[test]
fn too_few_machines_wait_and_say_that_addresses_count() {
    let mut world = World::builder(82).hosts(1, 0).host(worker(4).on(7)).host(worker(4).on(7)).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { policy: verified(2), ..for_workers(1, 100) });
    world.run_for(ms(10_000));
    let note = world.why(OWNER, job, 0).unwrap().notes.first().map(ToString::to_string).unwrap();
    assert!(note.ends_with("nodes of one host address have one vote, and 1 address can be asked"), "{note}");
    assert_eq!(world.reference().executions(job), 1, "the other member of that machine is not asked");
    world.add_host(worker(4));
    world.run_until("another machine agrees", ms(3000), |world| done(world, job, 1));
}

#[test]
fn members_that_are_known_longest_are_asked_first() {
    let mut world = World::builder(83).hosts(1, 0).hosts(3, 1).build();
    world.connect();
    world.run_for(ms(150_000));
    let newcomer = world.add_host(HostSpec::slots(1));
    world.connect();
    let verify = JobSpec { policy: verified(2), ..JobSpec::new(1, 300) };
    for _ in 0..20 {
        let job = world.submit(OWNER, &verify);
        world.run_until("it ends", ms(3000), |world| done(world, job, 1));
        assert_eq!(world.reference().brought(job, world.peer(newcomer)), 0);
    }
    assert_eq!(world.snapshot(newcomer).unwrap().counters.executed, 0, "three older ones were free");
    // If they do not suffice, it is asked, too: four of seven must agree.
    let job = world.submit(OWNER, &JobSpec { policy: verified(7), ..JobSpec::new(4, 300) });
    world.run_until("all end", ms(10_000), |world| done(world, job, 4));
    assert!(world.snapshot(newcomer).unwrap().counters.executed > 0);
}

// ---- reputation

#[test]
fn a_host_that_lost_its_tasks_is_asked_last_and_trusted_again_later() {
    let mut world = World::builder(80).hosts(1, 0).host(worker(2)).host(worker(2)).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(60, 500));
    world.run_until("both are at work", ms(1000), |world| world.running(WORKER) == 2);
    world.fault(Fault::Kill { host: WORKER, told: true });
    world.run_for(ms(700));
    assert_eq!(trust(&world, WORKER), Trust::Open);
    world.fault(Fault::Restart(WORKER));
    world.run_until("all tasks end", ms(30_000), |world| done(world, job, 60));
    assert!(world.reference().brought(job, world.peer(WORKER)) > 10, "it was given tasks again");
    assert_eq!(trust(&world, WORKER), Trust::Closed);
}

// ---- leases across pauses and partitions

#[test]
fn an_owner_that_slept_for_thirty_seconds_has_nothing_run_twice() {
    let mut world = World::builder(90).hosts(1, 0).hosts(3, 4).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(12, 10_000));
    world.run_until("all are at work", ms(1000), |world| (1..4).all(|host| world.running(HostId(host)) == 4));
    world.fault(Fault::Pause(OWNER));
    world.run_for(ms(30_000));
    world.fault(Fault::Resume(OWNER));
    world.run_until("all tasks end", ms(10_000), |world| done(world, job, 12));
    assert_eq!(world.reference().executions(job), 12);
    world.run_for(ms(20_000));
    for host in 1..4 {
        let snapshot = world.snapshot(HostId(host)).unwrap();
        assert_eq!((snapshot.undelivered, snapshot.running, snapshot.reserved), (0, 0, 0));
    }
}

#[test]
fn an_owner_that_slept_through_a_long_task_goes_on_waiting_for_it() {
    let mut world = World::builder(91).hosts(1, 0).hosts(3, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(6, 60_000));
    world.run_until("all are at work", ms(1000), |world| (1..4).all(|host| world.running(HostId(host)) == 2));
    world.fault(Fault::Pause(OWNER));
    world.run_for(ms(30_000));
    world.fault(Fault::Resume(OWNER));
    world.run_for(ms(500));
    let snapshot = world.snapshot(OWNER).unwrap();
    assert!(matches!(snapshot.self_fencing.map(|view| view.cause), Some(Cause::Slept { late_ms: 20_000.. })));
    assert!(world.why(OWNER, job, 0).unwrap().notes.iter().any(|note| matches!(note, Note::SelfFencing(_))));
    world.run_until("all tasks end", ms(40_000), |world| done(world, job, 6));
    assert_eq!(world.reference().executions(job), 6);
}

#[test]
fn owner_and_worker_that_slept_together_do_no_harm() {
    for (seed, apart_ms) in [(92, 0), (93, 3000)] {
        let mut world = World::builder(seed).hosts(1, 0).hosts(3, 2).build();
        world.connect();
        let job = world.submit(OWNER, &JobSpec::new(30, 1000));
        world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
        world.fault(Fault::Pause(OWNER));
        world.fault(Fault::Pause(WORKER));
        world.run_for(ms(30_000));
        world.fault(Fault::Resume(WORKER));
        world.run_for(ms(apart_ms));
        world.fault(Fault::Resume(OWNER));
        world.run_until("all tasks end", ms(30_000), |world| done(world, job, 30));
        world.run_for(ms(20_000));
        for host in 0..4 {
            let snapshot = world.snapshot(HostId(host)).unwrap();
            assert_eq!((snapshot.undelivered, snapshot.running, snapshot.reserved), (0, 0, 0));
        }
    }
}

/// Partitions of five hosts: a name, and the cut directions as pairs of sender and receiver.
fn shapes() -> [(&'static str, Vec<(usize, usize)>); 6] {
    let both = |pairs: &[(usize, usize)]| pairs.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
    let all = || (0..5).flat_map(|a| (0..5).map(move |b| (a, b))).filter(|(a, b)| a != b);
    let beside = |a: usize, b: usize| (a + 1) % 5 == b || (b + 1) % 5 == a;
    [
        ("one way, out of the owner", vec![(0, 1), (0, 2), (0, 3), (0, 4)]),
        ("one way, to the owner", vec![(1, 0), (2, 0), (3, 0), (4, 0)]),
        ("halves, the owner in the smaller", all().filter(|(a, b)| (*a < 2) != (*b < 2)).collect()),
        ("halves, the owner in the larger", all().filter(|(a, b)| (*a < 3) != (*b < 3)).collect()),
        ("a star around a worker", both(&[(0, 1), (0, 3), (0, 4), (1, 3), (1, 4), (3, 4)])),
        ("a ring", all().filter(|(a, b)| !beside(*a, *b)).collect()),
    ]
}

#[test]
fn a_partition_of_any_shape_ends_with_every_task_committed_once() {
    for (seed, (shape, cuts)) in (100..).zip(shapes()) {
        for verify in [1, 3] {
            let mut world = World::builder(seed).hosts(5, 2).build();
            world.connect();
            let job = world.submit(OWNER, &JobSpec { policy: verified(verify), ..JobSpec::new(60, 1000) });
            world.run_for(ms(1500));
            for (from, to) in &cuts {
                world.fault(Fault::Cut { from: HostId(*from), to: HostId(*to) });
            }
            world.run_for(ms(10_000));
            for (from, to) in &cuts {
                world.fault(Fault::Mend { from: HostId(*from), to: HostId(*to) });
            }
            // An invariant checks after every event that each task ends once.
            world.run_until(shape, ms(60_000), |world| done(world, job, 60));
            world.run_for(ms(30_000));
            for host in 0..5 {
                let audit = world.engine(HostId(host)).unwrap().audit();
                let left = (audit.held.len(), audit.reserved, audit.leases_open, audit.undelivered);
                assert_eq!(left, (0, 0, 0, 0), "{shape}");
            }
        }
    }
}

#[test]
fn reservations_end_at_workers_that_hear_nothing_more() {
    let mut world = World::builder(110).hosts(1, 0).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(40, 300));
    world.run_until("a worker bids", ms(1000), |world| {
        (1..5).filter_map(|host| world.snapshot(HostId(host))).any(|snapshot| snapshot.reserved > 0)
    });
    (1..5).for_each(|host| world.fault(Fault::Cut { from: OWNER, to: HostId(host) }));
    // The silence is noticed within 2.6 s; until then they bid again as their slots get free.
    world.run_for(ms(2700));
    let reserved = |host| world.snapshot(HostId(host)).unwrap().reserved;
    assert_eq!((1..5).map(reserved).sum::<u32>(), 0);
    assert!(!done(&world, job, 40));
}

#[test]
fn late_doubled_and_invented_outcomes_are_fenced_by_their_attempt() {
    let mut world = World::builder(111).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(2, 1000));
    world.run_until("one ends", ms(2000), |world| done(world, job, 1));
    let first = u32::from(matches!(world.why(OWNER, job, 1).unwrap().state, TaskView::Ended));
    let deliver = |index, attempt| {
        let report = Report { output: Payload::inline(b"again"), ..Report::bare(Outcome::Done) };
        Delivery {
            lease: LeaseId { job, epoch: 0, index, attempt },
            report: report.into(),
            memo: None,
            proof: None,
        }
    };
    let other = 1 - first;
    let all = vec![deliver(first, 1), deliver(first, 1), deliver(first, 7), deliver(other, 9), deliver(5, 1)];
    world.lie(WORKER, OWNER, Message::Outcome(all));
    world.run_for(ms(100));
    let counters = world.snapshot(OWNER).unwrap().counters;
    assert_eq!((counters.late, counters.differing, counters.forged), (3, 2, 2), "{counters:?}");
    world.run_until("the other one ends", ms(2000), |world| done(world, job, 2));
    assert_eq!(world.reference().executions(job), 2);
}

// ---- self-fencing

/// An owner and ten hosts with tasks of ten seconds, and the links between two parts: the owner and one host, and the
/// other nine hosts.
fn cut_off(seed: u64) -> (World, JobId, Vec<(usize, usize)>) {
    let mut world = World::builder(seed).hosts(1, 0).hosts(10, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(20, 10_000));
    world
        .run_until("all are at work", ms(1000), |world| (1..11).all(|host| world.running(HostId(host)) == 2));
    let cuts = [0, 1].into_iter().flat_map(|here| (2..11).map(move |there| (here, there))).collect();
    (world, job, cuts)
}

#[test]
fn an_owner_that_is_cut_off_from_most_does_not_release_the_world() {
    let (mut world, job, cuts) = cut_off(120);
    for (here, there) in &cuts {
        world.cut(HostId(*here), HostId(*there));
    }
    world.run_for(ms(5000));
    let snapshot = world.snapshot(OWNER).unwrap();
    assert!(matches!(
        snapshot.self_fencing.map(|view| view.cause),
        Some(Cause::LostPeers { lost: 6.., had: 10 })
    ));
    assert!(world.why(OWNER, job, 19).unwrap().notes.iter().any(|note| matches!(note, Note::SelfFencing(_))));
    world.run_for(ms(1000));
    for (here, there) in &cuts {
        world.mend(HostId(*here), HostId(*there));
    }
    world.run_until("all tasks end", ms(10_000), |world| done(world, job, 20));
    assert_eq!(world.reference().executions(job), 20);
    assert!(world.snapshot(OWNER).unwrap().counters.fenced > 0);
}

#[test]
fn an_owner_whose_peers_are_all_dead_goes_on_after_its_grace() {
    let (mut world, job, _) = cut_off(121);
    for host in 2..11 {
        world.fault(Fault::Kill { host: HostId(host), told: false });
    }
    world.run_for(ms(2600 + 2 * MeshConfig::DEFAULT.lease_ms + 100));
    assert_eq!(world.snapshot(OWNER).unwrap().self_fencing, None);
    let waits = |index| matches!(world.why(OWNER, job, index).unwrap().state, TaskView::Queued { .. });
    assert!((0..20).any(waits), "their tasks wait for another worker");
    // Eighteen tasks on the two slots that are left.
    world.run_until("all tasks end", ms(100_000), |world| done(world, job, 20));
}

#[test]
fn a_half_that_is_cut_off_goes_on_with_copies_of_what_the_other_half_holds() {
    let mut world = World::builder(122).hosts(8, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(600, 100));
    world.run_for(ms(500));
    for (here, there) in (0..4).flat_map(|here| (4..8).map(move |there| (here, there))) {
        world.cut(HostId(here), HostId(there));
    }
    // The eight slots of this half have seven seconds of work left; the other half stays cut off meanwhile.
    world.run_until("all tasks end", ms(9000), |world| done(world, job, 600));
    let snapshot = world.snapshot(OWNER).unwrap();
    let cause = snapshot.self_fencing.map(|view| view.cause);
    assert!(matches!(cause, Some(Cause::LostPeers { lost: 4, had: 7 })), "{cause:?}");
    let counters = snapshot.counters;
    assert!((1..=8).contains(&counters.copies), "copies of the tasks of the other half: {counters:?}");
    assert_eq!(counters.lost, 0, "no lease of a silent peer expires: {counters:?}");
    assert!(
        snapshot.peers.iter().all(|peer| peer.reputation.trust == Trust::Closed),
        "a peer that is cut off does not count as slow"
    );
    assert!(world.reference().executions(job) <= 608);
}
