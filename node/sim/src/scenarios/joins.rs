//! Scenarios of jobs that depend on others. That a join fires once, after all of its parents, is an invariant, which is
//! checked after every event of these, too.

use weft_core::snapshot::TaskView;
use weft_core::{JobId, Join, Policy};

use super::{OTHER, OWNER, WORKER, Watch, done, for_workers, ms, worker};
use crate::{Fate, Fault, JobSpec, World};

fn after(parents: &[JobId], spec: JobSpec) -> JobSpec {
    JobSpec { after: parents.to_vec(), ..spec }
}

fn fired(world: &World) -> u64 {
    world.coverage().count("a join fires")
}

/// Two maps of different lengths and their reduce; the worker of one of the maps dies.
pub(super) fn a_join_begins_when_the_last_of_its_parents_has_ended_wherever_that_ran(watch: Watch) -> World {
    let mut world = World::builder(80).watch(watch).hosts(1, 0).host(worker(2)).host(worker(2)).build();
    world.connect();
    let short = world.submit(OWNER, &for_workers(2, 200));
    let long = world.submit(OWNER, &for_workers(4, 1000));
    world.run_for(ms(10));
    let reduce = world.submit(OWNER, &after(&[short, long], for_workers(3, 100)));
    world.run_until("the short one ends", ms(2000), |world| done(world, short, 2));
    let why = world.why(OWNER, reduce, 0).unwrap();
    assert!(matches!(&why.state, TaskView::After { parents, left: 1 } if parents[0].job == long), "{why:?}");
    assert!(why.responses.is_empty(), "no worker was asked: {:?}", why.responses);
    world.fault(Fault::Kill { host: OTHER, told: true });
    world.run_until("the long one ends", ms(10_000), |world| done(world, long, 4));
    assert_eq!(fired(&world), 1);
    let took = world.run_until("the last tasks end", ms(2000), |world| done(world, reduce, 3));
    assert!(took < ms(300), "two slots need 0.2 s for three tasks, and took {took:?}");
    assert_eq!(world.reference().executions(reduce), 3);
    world
}

/// A resumed worker sends an outcome of a task that another worker completed meanwhile.
pub(super) fn a_join_fires_once_though_its_parents_end_is_told_again_after_a_long_sleep(
    watch: Watch,
) -> World {
    let mut world = World::builder(81).watch(watch).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let parent = world.submit(OWNER, &for_workers(1, 2000));
    let child = world.submit(OWNER, &after(&[parent], for_workers(2, 5000)));
    world.run_until("the parent runs", ms(500), |world| world.running(WORKER) == 1);
    world.fault(Fault::Pause(WORKER));
    let rescuer = world.add_host(worker(1));
    world.run_until("it ends elsewhere", ms(20_000), |world| done(world, parent, 1));
    assert_eq!(world.reference().brought(parent, world.peer(rescuer)), 1);
    world.fault(Fault::Resume(WORKER));
    world.run_until("the child ends", ms(20_000), |world| done(world, child, 2));
    assert_eq!((fired(&world), world.reference().executions(child)), (1, 2));
    assert_eq!(world.reference().executions(parent), 2, "the paused worker ran it to its end, too");
    world
}

pub(super) fn a_chain_falls_when_its_first_job_fails_and_what_takes_any_end_begins(watch: Watch) -> World {
    let mut world = World::builder(82).watch(watch).hosts(1, 0).host(worker(2)).build();
    world.connect();
    let first = world.submit(OWNER, &JobSpec { fate: Fate::Fails, ..for_workers(2, 100) });
    world.run_for(ms(1));
    let mut chain = vec![first];
    for _ in 0..5 {
        let last = chain.last().copied().unwrap();
        chain.push(world.submit(OWNER, &after(&[last], for_workers(2, 100))));
        world.run_for(ms(1));
    }
    let clean_up = JobSpec { join: Join::AllEnded, ..after(&chain, for_workers(1, 100)) };
    let clean_up = world.submit(OWNER, &clean_up);
    world.run_until("the first one fails", ms(2000), |world| world.reference().settled(first));
    assert!(
        chain.iter().skip(1).all(|job| world.reference().skipped(*job) == 2),
        "all are skipped at that moment"
    );
    world.run_until("what comes after all of them ends", ms(500), |world| done(world, clean_up, 1));
    assert_eq!(fired(&world), 1);
    world
}

/// The first input of the resumed owner is the outcome of the join's parent, but the join has expired.
pub(super) fn an_owner_that_slept_past_a_joins_time_does_not_begin_it(watch: Watch) -> World {
    let mut world = World::builder(83).watch(watch).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let parent = world.submit(OWNER, &for_workers(1, 1000));
    let policy = Policy { expires_ms: Some(10_000), ..Policy::DEFAULT };
    let child = world.submit(OWNER, &JobSpec { policy, ..after(&[parent], for_workers(2, 100)) });
    world.run_until("the parent runs", ms(500), |world| world.running(WORKER) == 1);
    world.fault(Fault::Pause(OWNER));
    world.run_for(ms(30_000));
    world.fault(Fault::Resume(OWNER));
    world.run_until("the parent ends", ms(10_000), |world| done(world, parent, 1));
    assert_eq!((world.reference().expired(child), fired(&world)), (2, 0));
    world.run_for(ms(5000));
    assert_eq!(world.reference().executions(child), 0);
    world
}

/// Jobs are lost with their owner's process: a job that depends on them is refused and does not wait.
pub(super) fn an_owner_that_died_knows_none_of_its_joins_parents(watch: Watch) -> World {
    let mut world = World::builder(84).watch(watch).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let parent = world.submit(OWNER, &for_workers(1, 1000));
    world.run_until("the parent runs", ms(500), |world| world.running(WORKER) == 1);
    let waiting = world.submit(OWNER, &after(&[parent], for_workers(1, 100)));
    world.run_for(ms(10));
    world.fault(Fault::Kill { host: OWNER, told: true });
    world.run_for(ms(100));
    world.fault(Fault::Restart(OWNER));
    world.connect();
    let late = world.submit(OWNER, &after(&[parent], for_workers(1, 100)));
    world.run_for(ms(10_000));
    assert_eq!(world.coverage().count("a job is refused"), 1);
    assert!(world.why(OWNER, late, 0).is_none() && world.why(OWNER, waiting, 0).is_none());
    assert_eq!((world.reference().executions(waiting), world.running(WORKER)), (0, 0));
    world
}
