//! Scenarios of jobs that three nodes keep: their owner dies, comes back, is cut off; a disk is lost at the wrong moment.

use super::{Watch, done, ms};
use crate::{Fault, HostId, HostSpec, JobSpec, World};
use weft_core::{JobId, Level};

const OWNER: HostId = HostId(0);

/// An owner without slots, and four nodes that keep jobs and run tasks; the job's first task has begun.
fn kept(seed: u64, watch: Watch, tasks: u32) -> (World, JobId) {
    let node = |slots| HostSpec::slots(slots).keeps();
    let mut world = World::builder(seed).watch(watch).host(node(0)).build();
    for _ in 0..4 {
        world.add_host(node(2));
    }
    world.connect();
    let job = world.submit(OWNER, &JobSpec { level: Level::Mesh, ..JobSpec::new(tasks, 2000) });
    world.run_until("the job is accepted", ms(2000), |world| world.leader(job) == Some(OWNER));
    world.run_until("a task has begun", ms(2000), |world| (1..5).any(|host| world.running(HostId(host)) > 0));
    assert_eq!(world.keepers(job).len(), 3);
    (world, job)
}

fn led_by_another(world: &World, job: JobId) -> bool {
    world.leader(job).is_some_and(|leader| leader != OWNER)
}

pub(super) fn a_job_goes_on_when_its_owner_is_lost_for_ever(watch: Watch) -> World {
    let (mut world, job) = kept(70, watch, 40);
    world.run_until("some tasks ended", ms(10_000), |world| world.reference().done(job) >= 4);
    world.fault(Fault::Lose(OWNER));
    let took = world.run_until("another node leads it", ms(15_000), |world| led_by_another(world, job));
    assert!(took > ms(5000), "it waits for what is only slow, and waited {took:?}");
    world.run_until("all tasks end", ms(60_000), |world| done(world, job, 40));
    world.run_until("the job ends", ms(5000), |world| world.reference().settled(job));
    world
}

pub(super) fn an_owner_that_returns_leads_its_job_again(watch: Watch) -> World {
    let (mut world, job) = kept(71, watch, 60);
    world.kill(OWNER);
    world.run_until("another node leads it", ms(15_000), |world| led_by_another(world, job));
    world.run_for(ms(3000));
    world.fault(Fault::Restart(OWNER));
    world.run_until("its owner leads it", ms(10_000), |world| world.leader(job) == Some(OWNER));
    world.run_until("all tasks end", ms(60_000), |world| done(world, job, 60));
    world
}

pub(super) fn a_job_outlives_two_takeovers_in_a_row(watch: Watch) -> World {
    let (mut world, job) = kept(72, watch, 80);
    world.kill(OWNER);
    world.run_until("another node leads it", ms(15_000), |world| led_by_another(world, job));
    let second = world.leader(job).expect("it is led");
    world.run_for(ms(2000));
    world.fault(Fault::Restart(OWNER));
    world.kill(second);
    let anew = |world: &World| world.leader(job).is_some_and(|leader| leader != second);
    world.run_until("a third one leads it", ms(30_000), anew);
    world.fault(Fault::Restart(second));
    world.run_until("all tasks end", ms(90_000), |world| done(world, job, 80));
    world
}

pub(super) fn an_owner_in_the_minority_tells_nothing_and_follows_when_it_is_back(watch: Watch) -> World {
    let (mut world, job) = kept(73, watch, 40);
    (1..5).for_each(|other| world.cut(OWNER, HostId(other)));
    world.run_until("another node leads it", ms(20_000), |world| led_by_another(world, job));
    world.run_until("all tasks end", ms(90_000), |world| done(world, job, 40));
    (1..5).for_each(|other| world.mend(OWNER, HostId(other)));
    world.run_for(ms(30_000));
    world
}

/// The only disk with the last records is away: waiting is right, going on without them is not.
pub(super) fn a_job_waits_for_its_owner_when_its_custodian_lost_its_disk(watch: Watch) -> World {
    let (mut world, job) = kept(74, watch, 40);
    let [_, custodian, witness] = world.keepers(job)[..] else { panic!("three nodes keep it") };
    world.cut(OWNER, witness);
    world.cut(custodian, witness);
    world.run_until("some tasks ended", ms(20_000), |world| world.reference().done(job) >= 8);
    world.fault(Fault::Kill { host: OWNER, told: true });
    world.fault(Fault::Kill { host: custodian, told: true });
    world.fault(Fault::Wipe(custodian));
    world.fault(Fault::Restart(custodian));
    world.mend(OWNER, witness);
    world.mend(custodian, witness);
    world.run_for(ms(60_000));
    assert_eq!(world.leader(job), None, "no node may lead it without its owner's records");
    world.fault(Fault::Restart(OWNER));
    world.run_until("all tasks end", ms(90_000), |world| done(world, job, 40));
    world
}
