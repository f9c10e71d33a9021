//! Scenarios of which task gets a slot and which waits, without faults.

use weft_core::Command;
use weft_core::message::{Class, Reason};
use weft_core::snapshot::{Response, TaskView};

use super::{OTHER, OWNER, WORKER, Watch, done, for_workers, ms, worker};
use crate::{Fate, HostId, JobSpec, World};

pub(super) fn a_lone_node_loses_none_of_a_thousand_tasks_of_its_first_instant(watch: Watch) -> World {
    let mut world = World::builder(1).watch(watch).hosts(1, 4).build();
    let job = world.submit(OWNER, &JobSpec::new(1000, 1));
    world.run_until("a thousand tasks end", ms(2000), |world| done(world, job, 1000));
    assert_eq!(world.reference().executions(job), 1000);
    world
}

pub(super) fn of_two_owners_that_want_the_last_slot_one_is_told_so_and_served_later(watch: Watch) -> World {
    let mut world = World::builder(9).watch(watch).hosts(1, 0).host(worker(1)).hosts(1, 0).build();
    world.connect();
    let first = world.submit(OWNER, &for_workers(1, 500));
    let second = world.submit(OTHER, &for_workers(1, 500));
    world.run_until("the slot is taken", ms(100), |world| world.running(WORKER) == 1);
    world.run_for(ms(10));
    let busy = [(OWNER, first), (OTHER, second)].into_iter().filter(|(owner, job)| {
        let answers = world.why(*owner, *job, 0).unwrap().responses;
        answers.iter().any(|answer| matches!(answer.response, Response::Declined(Reason::Busy { .. })))
    });
    assert_eq!(busy.count(), 1);
    world.run_until("both end", ms(3000), |world| done(world, first, 1) && done(world, second, 1));
    world
}

pub(super) fn a_task_that_nobody_may_run_waits_says_why_and_starts_when_somebody_joins(
    watch: Watch,
) -> World {
    let mut world = World::builder(10).watch(watch).hosts(3, 2).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(1, 100));
    world.run_for(ms(10_000));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    for host in [OWNER, WORKER, OTHER] {
        let said = &why.responses.iter().find(|answer| answer.peer == world.peer(host)).unwrap().response;
        let lacks = matches!(
            said,
            Response::Declined(Reason::Label { name, .. }) | Response::NotAsked(Reason::Label { name, .. }) if name == "role"
        );
        assert!(lacks, "host {} said {said:?}", host.0);
    }
    let fitting = world.add_host(worker(1));
    world.run_until("the task ends", ms(2500), |world| done(world, job, 1));
    assert_eq!(world.reference().brought(job, world.peer(fitting)), 1);
    world
}

pub(super) fn short_tasks_do_not_wait_behind_a_long_one_while_others_are_idle(watch: Watch) -> World {
    let mut world = World::builder(11).watch(watch).hosts(5, 1).build();
    world.connect();
    let long = world.submit(OWNER, &JobSpec::new(1, 60_000));
    world.run_until("the long task runs", ms(1000), |world| world.running(OWNER) == 1);
    let short = world.submit(OWNER, &JobSpec::new(20, 10));
    world.run_until("short tasks end", ms(500), |world| done(world, short, 20));
    assert!(!done(&world, long, 1));
    world
}

pub(super) fn no_slot_idles_beside_a_task_that_waits(watch: Watch) -> World {
    let mut world = World::builder(17).watch(watch).hosts(5, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(200, 50));
    let took = world.run_until("all tasks end", ms(3000), |world| done(world, job, 200));
    assert!(took < ms(1100), "ten slots need 1 s for 10 s of work, and took {took:?}");
    world
}

pub(super) fn an_urgent_job_overtakes_a_queue_of_batch_work(watch: Watch) -> World {
    let mut world = World::builder(19).watch(watch).hosts(1, 0).hosts(2, 2).build();
    world.connect();
    let batch = world.submit(OWNER, &JobSpec::new(400, 100));
    world.run_for(ms(500));
    let urgent = world.submit(OWNER, &JobSpec { class: Class::Realtime, ..JobSpec::new(8, 10) });
    world.run_until("urgent tasks end", ms(1000), |world| done(world, urgent, 8));
    assert!(!done(&world, batch, 400));
    world
}

pub(super) fn a_stopped_task_is_not_lost_over_a_long_wait(watch: Watch) -> World {
    let mut world = World::builder(42).watch(watch).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let batch = world.submit(OWNER, &for_workers(1, 2000));
    world.run_until("the slot is taken", ms(100), |world| world.running(WORKER) == 1);
    let urgent = world.submit(OWNER, &JobSpec { class: Class::Interactive, ..for_workers(1, 40_000) });
    world.run_until("the urgent task ends", ms(40_100), |world| done(world, urgent, 1));
    world.run_until("the other one resumes where it was", ms(2000), |world| done(world, batch, 1));
    assert_eq!(world.reference().executions(batch), 1);
    world
}

pub(super) fn a_task_that_always_fails_ends_as_failed_after_its_retries(watch: Watch) -> World {
    let mut world = World::builder(15).watch(watch).hosts(3, 1).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { fate: Fate::Fails, retries: 2, ..JobSpec::new(3, 20) });
    world.run_until("all tasks end", ms(10_000), |world| world.reference().settled(job));
    assert_eq!(world.reference().done(job), 0);
    assert_eq!(world.reference().executions(job), 9);
    world
}

pub(super) fn a_cancelled_job_frees_every_slot_soon(watch: Watch) -> World {
    let mut world = World::builder(16).watch(watch).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(40, 60_000));
    let all_busy = |world: &World| (0..4).all(|host| world.running(HostId(host)) == 2);
    world.run_until("all slots are busy", ms(1000), all_busy);
    world.command(OWNER, Command::Cancel { job });
    let all_idle = |world: &World| (0..4).all(|host| world.running(HostId(host)) == 0);
    world.run_until("all slots are free", ms(200), all_idle);
    assert!(world.reference().settled(job));
    world
}
