//! Single messages of a mesh of cells, in a world with invariants: bids, matches and claims that do not fit.

use std::time::Duration;

use weft_core::message::{Award, Call, Class, Grant, Needs};
use weft_core::snapshot::Deadline;
use weft_core::{
    BidId, BlobId, CallId, CellMessage, Entry, JobId, LeaseId, Limits, Match, MeshConfig, Message, Payload,
    Policy, Profile, Program, Terms,
};
use weft_sim::{HostId, HostSpec, JobSpec, World};

const OWNER: HostId = HostId(0);
const WORKER: HostId = HostId(1);

fn cells_of_two(seed: u64, hosts: usize) -> World {
    let mesh = MeshConfig { full_mesh: 0, cell_nodes: 2, ..MeshConfig::DEFAULT };
    let mut world = World::builder(seed).mesh(mesh).hosts(hosts, 2).build();
    world.connect();
    world
}

#[test]
fn tasks_run_everywhere_though_nobody_is_called() {
    let mut world = cells_of_two(1, 6);
    world.run_for(Duration::from_secs(2));
    let job = world.submit(OWNER, &JobSpec::new(60, 100));
    world.run_until("all tasks end", Duration::from_secs(2), |world| world.reference().done(job) == 60);
    let counters = world.snapshot(OWNER).map(|snapshot| snapshot.counters).unwrap_or_default();
    assert!(counters.requested > 0);
    let workers = (0..6).filter(|host| world.reference().brought(job, world.peer(HostId(*host))) > 0);
    assert_eq!(workers.count(), 6, "every host ran some");
}

#[test]
fn a_claim_without_a_bid_is_refused() {
    let mut world = cells_of_two(2, 3);
    let program = Program {
        module: BlobId::of(b"module"),
        module_bytes: 6,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    let (call, job) = (CallId(1), JobId(1));
    let call_word = Call {
        call,
        job,
        program: program.into(),
        needs: Needs::default(),
        class: Class::Batch,
        terms: Terms::default(),
        count: 1,
        service_us: 0,
        deadline_ms: None,
        waited_ms: 0,
        keepers: Vec::new(),
    };
    let lease = LeaseId { job, epoch: 0, index: 0, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    let award = Award { call, bid: BidId(99), left: 0, grants };
    world.lie(OWNER, WORKER, Message::Cell(CellMessage::Claim { call: call_word, award }));
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.engine(WORKER).map(|engine| engine.audit().held.len()), Some(0));
}

#[test]
fn nobody_is_introduced_whom_the_owner_did_not_seek() {
    let mut world = cells_of_two(3, 3);
    let job = world.submit(OWNER, &JobSpec::new(8, 200));
    world.run_for(Duration::from_millis(100));
    let (worker, bid) = (world.peer(WORKER), BidId(7));
    for request_id in 0..4 {
        let word = Match { call: CallId(5), request_id, worker, bid, slots: u32::MAX, ttl_ms: u32::MAX };
        world.lie(WORKER, OWNER, Message::Cell(CellMessage::Match(word)));
    }
    world.run_until("all tasks end", Duration::from_secs(3), |world| world.reference().done(job) == 8);
    let snapshot = world.snapshot(OWNER).map(|snapshot| snapshot.counters).unwrap_or_default();
    assert_eq!((snapshot.lost, snapshot.mismatched), (0, 0));
}

/// Bids that matchmakers handed on so far.
fn matched(world: &World, hosts: usize) -> u64 {
    let all = (0..hosts).filter_map(|host| world.snapshot(HostId(host)));
    all.map(|snapshot| snapshot.counters.matched).sum()
}

#[test]
fn matchmakers_find_several_nodes_for_one_task_and_none_of_them_again_and_again() {
    let mesh = MeshConfig { full_mesh: 0, cell_nodes: 2, ..MeshConfig::DEFAULT };
    let busy = HostSpec::slots(1).label("kind", "busy");
    let mut world = World::builder(4).mesh(mesh).hosts(2, 2).host(busy).build();
    world.connect();
    world.run_for(Duration::from_secs(2));
    let labels = vec![("kind".into(), "busy".into())];
    let long = world.submit(WORKER, &JobSpec { labels, ..JobSpec::new(1, 10_000) });
    world.run_for(Duration::from_secs(2));
    let policy = Policy { verify: 4, ..Policy::DEFAULT };
    let before = matched(&world, 3);
    let job = world.submit(OWNER, &JobSpec { policy, ..JobSpec::new(1, 200) });
    let soon = Duration::from_secs(14);
    // Two nodes agree, and the third, with which they are the majority of four, is busy for a while.
    world.run_until("the task ends", soon, |world| world.reference().done(job) == 1);
    assert_eq!(world.reference().done(long), 1, "its third node was the busy one");
    let handed_on = matched(&world, 3) - before;
    assert!(handed_on <= 60, "{handed_on} matches for three leases, in eight seconds");
}

#[test]
fn a_matchmaker_respects_the_classes_that_it_takes() {
    let mesh = MeshConfig { full_mesh: 0, cell_nodes: 2, ..MeshConfig::DEFAULT };
    let picky = HostSpec::slots(2).takes(Class::Realtime);
    let mut world = World::builder(5).mesh(mesh).hosts(2, 1).host(picky).build();
    world.connect();
    world.run_for(Duration::from_secs(2));
    let job = world.submit(OWNER, &JobSpec::new(20, 300));
    world.run_until("all tasks end", Duration::from_secs(10), |world| world.reference().done(job) == 20);
    assert_eq!(world.reference().brought(job, world.peer(HostId(2))), 0);
    let counters = world.snapshot(OWNER).map(|snapshot| snapshot.counters).unwrap_or_default();
    assert_eq!(counters.refused, 0, "it advertised its lowest class, so no match to it fails");
    assert_eq!(counters.lost, 0);
}

#[test]
fn a_deadline_that_nobody_can_keep_is_known_to_be_missed_before_it_is_over() {
    let mesh = MeshConfig { full_mesh: 0, cell_nodes: 2, ..MeshConfig::DEFAULT };
    let mut world = World::builder(6).mesh(mesh).hosts(2, 0).hosts(1, 1).build();
    world.connect();
    let long = world.submit(WORKER, &JobSpec::new(8, 40_000));
    let some = Duration::from_secs(130);
    world.run_until("three have ended", some, |world| world.reference().done(long) == 3);
    world.run_for(Duration::from_millis(50));
    // The worker estimates twenty seconds or more by now.
    let policy = Policy { deadline_ms: Some(15_000), ..Policy::DEFAULT };
    let job = world.submit(OWNER, &JobSpec { policy, ..JobSpec::new(1, 100) });
    world.run_for(Duration::from_secs(5));
    let why = world.why(OWNER, job, 0).expect("it waits");
    assert_eq!(why.deadline, Some(Deadline::Missed), "{why:?}");
    let all_the_same = Duration::from_secs(300);
    world.run_until("it is done", all_the_same, |world| world.reference().done(job) == 1);
}
