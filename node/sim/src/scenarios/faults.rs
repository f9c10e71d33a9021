//! Scenarios of processes that die, are paused or cut off, and of full disks.

use super::{OTHER, OWNER, WORKER, Watch, done, for_workers, ms, reserved, worker};
use crate::{Fate, Fault, JobSpec, World};
use weft_core::{Command, MeshConfig};

pub(super) fn a_task_whose_worker_is_killed_ends_elsewhere_within_two_seconds(watch: Watch) -> World {
    let mut world = World::builder(2).watch(watch).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(60, 100));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
    world.kill(WORKER);
    world.run_until("all tasks end", ms(2000), |world| done(world, job, 60));
    world
}

pub(super) fn a_result_comes_home_around_a_cut_and_is_not_computed_twice(watch: Watch) -> World {
    let mut world = World::builder(3).watch(watch).hosts(1, 0).host(worker(4)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(4, 3000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
    world.cut(OWNER, WORKER);
    world.run_until("all tasks end", ms(6000), |world| done(world, job, 4));
    world.run_for(ms(10_000));
    assert_eq!(world.reference().executions(job), 4);
    assert_eq!(world.snapshot(WORKER).unwrap().undelivered, 0);
    assert!(world.snapshot(OWNER).unwrap().counters.gossiped_home > 0);
    world
}

pub(super) fn a_task_that_is_longer_than_its_lease_survives_a_cut_by_renewals_through_others(
    watch: Watch,
) -> World {
    let mut world = World::builder(4).watch(watch).hosts(1, 0).host(worker(2)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(2, 15_000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
    world.cut(OWNER, WORKER);
    world.run_until("all tasks end", ms(20_000), |world| done(world, job, 2));
    assert_eq!(world.reference().executions(job), 2);
    world
}

pub(super) fn a_worker_that_slept_for_thirty_seconds_commits_nothing_twice(watch: Watch) -> World {
    let mut world = World::builder(7).watch(watch).hosts(1, 0).hosts(2, 4).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(16, 1000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
    world.fault(Fault::Pause(WORKER));
    world.run_until("all tasks end", ms(15_000), |world| done(world, job, 16));
    world.run_for(ms(30_000));
    world.fault(Fault::Resume(WORKER));
    world.run_for(ms(20_000));
    let snapshot = world.snapshot(WORKER).unwrap();
    assert_eq!((snapshot.undelivered, snapshot.running, snapshot.reserved), (0, 0, 0));
    world
}

pub(super) fn an_owner_that_dies_between_bids_and_awards_leaves_no_slot_reserved(watch: Watch) -> World {
    let mut world = World::builder(8).watch(watch).hosts(1, 0).hosts(10, 2).build();
    world.connect();
    world.submit(OWNER, &JobSpec::new(100, 200));
    world.run_until("ten nodes bid", ms(1000), |world| reserved(world, 11) >= 10);
    world.fault(Fault::Kill { host: OWNER, told: false });
    // The heartbeat notices within 2.6 s; bids that were sent meanwhile end with the connection.
    world.run_for(ms(MeshConfig::DEFAULT.bid_ms + 600));
    assert_eq!(reserved(&world, 11), 0);
    world
}

pub(super) fn a_worker_that_dies_with_a_bulky_output_has_its_task_run_again(watch: Watch) -> World {
    let mut world = World::builder(14).watch(watch).hosts(1, 0).hosts(2, 1).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { fate: Fate::Bulky, ..JobSpec::new(2, 300) });
    world.run_until("an attempt ends", ms(2000), |world| world.reference().executions(job) > 0);
    for host in [WORKER, OTHER] {
        world.fault(Fault::Kill { host, told: false });
    }
    world.run_for(ms(500));
    for host in [WORKER, OTHER] {
        world.fault(Fault::Restart(host));
    }
    world.run_until("all tasks end", ms(15_000), |world| done(world, job, 2));
    world
}

pub(super) fn an_owner_whose_disk_is_full_has_nothing_computed_twice_and_ends_when_there_is_room(
    watch: Watch,
) -> World {
    let mut world = World::builder(61).watch(watch).hosts(1, 0).hosts(2, 2).build();
    world.connect();
    world.fault(Fault::Full { host: OWNER, on: true });
    let job = world.submit(OWNER, &JobSpec { fate: Fate::Bulky, ..JobSpec::new(8, 300) });
    world.run_until("all ran", ms(5000), |world| world.reference().executions(job) == 8);
    // Several lease periods, and longer than outcomes are resent in short intervals.
    world.run_for(ms(60_000));
    let owner = world.snapshot(OWNER).unwrap();
    assert_eq!((owner.counters.lost, owner.starved), (0, 8));
    assert!(owner.peers.iter().all(|peer| peer.lost == 0), "no peer is blamed");
    world.fault(Fault::Full { host: OWNER, on: false });
    world.run_until("all tasks end", ms(15_000), |world| done(world, job, 8));
    assert_eq!(world.reference().executions(job), 8, "nothing ran twice");
    world
}

pub(super) fn a_worker_whose_disk_is_full_costs_no_attempt_while_another_has_room(watch: Watch) -> World {
    let mut world = World::builder(62).watch(watch).hosts(1, 0).hosts(2, 2).build();
    world.connect();
    world.fault(Fault::Full { host: WORKER, on: true });
    let job = world.submit(OWNER, &JobSpec::new(20, 300));
    world.run_until("all tasks end", ms(20_000), |world| done(world, job, 20));
    let owner = world.snapshot(OWNER).unwrap();
    assert_eq!(owner.counters.lost, 0, "a full disk does not count as a lost task");
    world
}

pub(super) fn a_node_that_leaves_gently_costs_its_owners_no_task_and_no_trust(watch: Watch) -> World {
    let mut world = World::builder(63).watch(watch).hosts(1, 0).hosts(2, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(12, 1500));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
    world.fault(Fault::Drain { host: WORKER, on: true });
    world.run_for(ms(500));
    world.command(WORKER, Command::GiveBack);
    world.run_until("it owes nothing", ms(500), |world| {
        world.engine(WORKER).is_some_and(|engine| engine.owed().tasks + engine.owed().outcomes == 0)
    });
    world.fault(Fault::Stop(WORKER));
    world.run_until("all tasks end", ms(20_000), |world| done(world, job, 12));
    let owner = world.snapshot(OWNER).unwrap();
    let brought = world.reference().brought(job, world.peer(WORKER));
    assert_eq!((owner.counters.lost, brought), (0, 0));
    assert!(owner.peers.iter().all(|peer| peer.lost == 0 && peer.reputation.blame == 0), "no peer is blamed");
    world
}
