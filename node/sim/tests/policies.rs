//! One hand-written scenario for each part of a job's policy. The swarm draws combinations of them.

use std::time::Duration;

use weft_core::message::{Class, Reason};
use weft_core::snapshot::{Deadline, Response, TaskView};
use weft_core::{Backoff, Policy};
use weft_sim::{Fate, Guests, HostId, HostSpec, JobSpec, World};

const OWNER: HostId = HostId(0);
const OTHER: HostId = HostId(1);
const WORKER: HostId = HostId(2);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Two hosts without slots, and `workers` workers of `slots` slots each.
fn world(seed: u64, workers: usize, slots: u32) -> World {
    let mut world = World::builder(seed).hosts(2, 0).hosts(workers, slots).build();
    world.connect();
    world
}

fn with(policy: Policy, spec: JobSpec) -> JobSpec {
    JobSpec { policy, ..spec }
}

#[test]
fn a_job_waits_until_it_may_start_and_says_until_when() {
    let mut world = world(30, 1, 2);
    let policy = Policy { not_before_ms: 5000, ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(4, 10)));
    world.run_for(ms(2000));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.state, TaskView::NotBefore { in_ms: 3000 });
    assert!(why.responses.is_empty(), "no worker was asked: {:?}", why.responses);
    world.run_for(ms(2999));
    assert_eq!(world.reference().executions(job), 0);
    world.run_until("it is done", ms(100), |world| world.reference().done(job) == 4);
}

#[test]
fn what_has_not_ended_by_its_time_expires_and_is_never_done_after_that() {
    let mut world = world(31, 1, 2);
    let policy = Policy { expires_ms: Some(1500), retries: 9, ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(6, 1000)));
    world.run_until("all are told", ms(1501), |world| world.reference().settled(job));
    assert_eq!((world.reference().done(job), world.reference().expired(job)), (2, 4));
    world.run_until("the slots are free", ms(100), |world| world.running(WORKER) == 0);
    world.run_for(ms(5000));
    assert_eq!(world.reference().executions(job), 2);
}

#[test]
fn inputs_that_come_after_their_jobs_time_expire_at_once() {
    let mut world = world(32, 1, 2);
    let policy = Policy { expires_ms: Some(0), ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(3, 10)));
    world.run_for(ms(1));
    assert_eq!(world.reference().expired(job), 3);
}

#[test]
fn a_task_that_failed_waits_longer_each_time_and_lets_others_by() {
    let mut world = world(33, 1, 1);
    let backoff = Backoff { first_ms: 1000, most_ms: 60_000, jitter_percent: 0 };
    let policy = Policy { backoff, ..Policy::DEFAULT };
    let spec = JobSpec { fate: Fate::Fails, retries: 3, ..with(policy, JobSpec::new(1, 100)) };
    let failing = world.submit(OWNER, &spec);
    world.run_until("it has failed", ms(500), |world| {
        world.why(OWNER, failing, 0).is_some_and(|why| matches!(why.state, TaskView::Delayed { .. }))
    });
    let other = world.submit(OWNER, &JobSpec::new(5, 100));
    world.run_until("others pass", ms(700), |world| world.reference().done(other) == 5);
    // Backoff of 1 + 2 + 4 s.
    world.run_for(ms(2000));
    let state = world.why(OWNER, failing, 0).unwrap().state;
    assert!(matches!(state, TaskView::Delayed { failures: 2, in_ms: 1..=1000 }), "{state:?}");
    let took = world.run_until("it ends", ms(10_000), |world| world.reference().settled(failing));
    assert_eq!(world.reference().executions(failing), 4);
    assert!(took > ms(4000), "{took:?}");
}

#[test]
fn no_attempt_begins_after_a_task_was_given_up() {
    let mut world = world(34, 1, 1);
    let backoff = Backoff { first_ms: 1000, most_ms: 1000, jitter_percent: 0 };
    let policy = Policy { backoff, give_up_ms: Some(2500), ..Policy::DEFAULT };
    let spec = JobSpec { fate: Fate::Fails, retries: 99, ..with(policy, JobSpec::new(1, 100)) };
    let job = world.submit(OWNER, &spec);
    // Attempts begin after 0, 1.1 and 2.2 s.
    world.run_until("it ends", ms(2400), |world| world.reference().settled(job));
    assert_eq!(world.reference().executions(job), 3);
}

#[test]
fn a_lost_task_that_nobody_takes_again_is_given_up_at_its_time() {
    let mut world = world(35, 1, 1);
    let policy = Policy { give_up_ms: Some(8000), ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(1, 60_000)));
    world.run_until("it runs", ms(500), |world| world.running(WORKER) == 1);
    world.kill(WORKER);
    world.run_for(ms(7000));
    assert!(!world.reference().settled(job), "a worker may still join");
    world.run_until("it is given up", ms(1500), |world| world.reference().expired(job) == 1);
}

#[test]
fn a_job_of_which_too_many_tasks_fail_stops() {
    let mut world = world(36, 2, 2);
    let policy = Policy { failures_max: Some(5), ..Policy::DEFAULT };
    let spec = JobSpec { fate: Fate::Fails, ..with(policy, JobSpec::new(1000, 10)) };
    let job = world.submit(OWNER, &spec);
    world.run_until("it stops", ms(1000), |world| world.reference().settled(job));
    assert!(world.reference().executions(job) < 20, "{} ran", world.reference().executions(job));
    let view = world.snapshot(OWNER).unwrap().jobs.pop().unwrap();
    assert_eq!((view.given_up, view.failed, view.cancelled), (true, 6, 994));
    world.run_until("the slots are free", ms(100), |world| world.running(WORKER) == 0);
}

#[test]
fn the_earliest_deadline_goes_first_among_jobs_of_one_class() {
    let mut world = world(37, 1, 1);
    let busy = world.submit(OWNER, &JobSpec { class: Class::Interactive, ..JobSpec::new(1, 500) });
    world.run_until("the slot is taken", ms(500), |world| world.running(WORKER) == 1);
    let plain = world.submit(OWNER, &JobSpec::new(1, 100));
    let due = |seconds: u64| Policy { deadline_ms: Some(seconds * 1000), ..Policy::DEFAULT };
    let late = world.submit(OTHER, &with(due(600), JobSpec::new(1, 100)));
    let soon = world.submit(OWNER, &with(due(60), JobSpec::new(1, 100)));
    let urgent = world.submit(OTHER, &JobSpec { class: Class::Interactive, ..JobSpec::new(1, 100) });
    let order = [busy, urgent, soon, late, plain];
    for (place, job) in order.into_iter().enumerate() {
        world.run_until("the next is done", ms(2000), |world| world.reference().done(job) == 1);
        for waiting in &order[place + 1..] {
            assert_eq!(world.reference().done(*waiting), 0, "place {place}");
        }
    }
}

#[test]
fn who_cannot_make_a_deadline_says_so_and_what_nobody_can_make_is_done_all_the_same() {
    let mut world = world(38, 1, 1);
    let long = world.submit(OTHER, &JobSpec::new(8, 4000));
    world.run_until("three have ended", ms(13_000), |world| world.reference().done(long) == 3);
    world.run_for(ms(50));
    // The worker estimates about two seconds by now.
    let policy = Policy { deadline_ms: Some(1900), ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(1, 100)));
    world.run_for(ms(100));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.deadline, Some(Deadline::Left { ms: 1800 }));
    let late = |said: &Response| matches!(said, Response::Declined(Reason::Late { left_ms: 1900, .. }));
    assert!(why.responses.iter().any(|answer| late(&answer.response)), "{why:?}");
    world.run_for(ms(1000));
    assert_eq!(world.why(OWNER, job, 0).unwrap().deadline, Some(Deadline::Missed));
    world.run_until("it is done", ms(15_000), |world| world.reference().done(job) == 1);
}

#[test]
fn a_deadline_is_made_elsewhere_when_one_worker_cannot() {
    let mut world = World::builder(39).hosts(2, 0).hosts(1, 1).build();
    world.connect();
    world.submit(OTHER, &JobSpec::new(2, 4000));
    world.run_for(ms(4100));
    let idle = world.add_host(HostSpec::slots(1));
    world.connect();
    let policy = Policy { deadline_ms: Some(3000), ..Policy::DEFAULT };
    let job = world.submit(OWNER, &with(policy, JobSpec::new(1, 100)));
    world.run_until("it is done in time", ms(3000), |world| world.reference().done(job) == 1);
    assert_eq!(world.reference().brought(job, world.peer(idle)), 1);
}

#[test]
fn a_node_takes_only_the_classes_that_its_owner_wants() {
    let mut world = World::builder(40).hosts(2, 0).host(HostSpec::slots(2).takes(Class::Interactive)).build();
    world.connect();
    let batch = world.submit(OWNER, &JobSpec::new(1, 10));
    let spec = JobSpec { class: Class::Interactive, ..JobSpec::new(1, 10) };
    let interactive = world.submit(OWNER, &spec);
    world.run_until("what it takes is done", ms(500), |world| world.reference().done(interactive) == 1);
    world.run_for(ms(3000));
    let why = world.why(OWNER, batch, 0).unwrap();
    let refused = Response::NotAsked(Reason::Class { least: Class::Interactive });
    assert!(why.responses.iter().any(|answer| answer.response == refused), "{why:?}");
}

/// How much slot time, in milliseconds, each of two jobs has used.
fn used(world: &World, jobs: [(weft_core::JobId, u64); 2]) -> [u64; 2] {
    jobs.map(|(job, each_ms)| u64::from(world.reference().executions(job)) * each_ms)
}

#[test]
fn two_owners_have_equal_time_whatever_number_and_length_their_tasks_have() {
    // (tasks, milliseconds) of each owner, slots, workers
    let table = [
        ((5000, 20), (500, 200), 2, 2),
        ((10_000, 4), (1000, 40), 1, 3),
        ((3000, 10), (100, 1000), 1, 2),
        ((2000, 50), (2000, 50), 2, 3),
    ];
    for (seed, (one, two, slots, workers)) in (41..).zip(table) {
        let mut world = world(seed, workers, slots);
        let job = world.submit(OWNER, &JobSpec::new(one.0, one.1));
        let other = world.submit(OTHER, &JobSpec::new(two.0, two.1));
        world.run_for(ms(10_000));
        let [a, b] = used(&world, [(job, u64::from(one.1)), (other, u64::from(two.1))]);
        assert!(a.min(b) * 100 >= a.max(b) * 85, "{one:?} had {a} ms and {two:?} had {b} ms");
        let most = 10_000 * u64::from(slots) * workers as u64;
        assert!(a + b > most * 8 / 10, "{a} and {b} of {most} ms: no slot idles for fairness");
    }
}

#[test]
fn a_scavenger_ends_under_an_endless_realtime_load() {
    for (seed, slots) in [(46, 1), (47, 2)] {
        let mut world = world(seed, 1, slots);
        let spec = JobSpec { class: Class::Realtime, ..JobSpec::new(6000, 100) };
        let load = world.submit(OTHER, &spec);
        world.run_until("the load is there", ms(500), |world| world.running(WORKER) == slots as usize);
        let spec = JobSpec { class: Class::Scavenger, ..JobSpec::new(1, 300) };
        let poor = world.submit(OWNER, &spec);
        let took = world.run_until("it ends", ms(100_000), |world| world.reference().done(poor) == 1);
        assert!(took > ms(80_000), "not before it counts as realtime: {took:?}");
        assert!(world.reference().done(load) < 6000, "the load goes on");
    }
}

#[test]
fn what_was_stopped_for_others_goes_on_some_day() {
    let mut world = world(48, 1, 1);
    let poor = world.submit(OWNER, &JobSpec::new(1, 2000));
    world.run_until("it runs", ms(500), |world| world.running(WORKER) == 1);
    let load = world.submit(OTHER, &JobSpec { class: Class::Realtime, ..JobSpec::new(2000, 100) });
    world.run_until("it ends", ms(70_000), |world| world.reference().done(poor) == 1);
    assert!(world.reference().done(load) < 2000, "the load goes on");
    let before = world.reference().done(load);
    world.run_for(ms(1000));
    assert!(world.reference().done(load) > before + 5);
}

#[test]
fn an_aged_call_that_finds_no_room_does_not_keep_an_urgent_one_from_stopping_what_runs() {
    let mut world = world(49, 1, 1);
    world.submit(OWNER, &JobSpec::new(1, 300_000));
    world.run_until("it runs", ms(500), |world| world.running(WORKER) == 1);
    world.submit(OWNER, &JobSpec { class: Class::Scavenger, ..JobSpec::new(1, 100) });
    world.run_for(ms(100_000));
    let urgent = world.submit(OTHER, &JobSpec { class: Class::Realtime, ..JobSpec::new(1, 100) });
    world.run_until("it is served", ms(500), |world| world.reference().done(urgent) == 1);
}

#[test]
fn a_failure_that_comes_after_its_lease_ran_out_still_has_its_task_wait() {
    let mut world = world(47, 1, 1);
    let backoff = Backoff { first_ms: 3000, most_ms: 3000, jitter_percent: 0 };
    let policy = Policy { backoff, retries: 1, ..Policy::DEFAULT };
    let spec = JobSpec { fate: Fate::Fails, retries: 1, ..with(policy, JobSpec::new(1, 500)) };
    let job = world.submit(OWNER, &spec);
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 1);
    [OWNER, OTHER].into_iter().for_each(|host| world.cut(host, WORKER));
    world.run_for(ms(6000));
    assert!(matches!(world.why(OWNER, job, 0).unwrap().state, TaskView::Queued { .. }), "its lease ran out");
    [OWNER, OTHER].into_iter().for_each(|host| world.mend(host, WORKER));
    let delayed = |world: &World| matches!(world.why(OWNER, job, 0).unwrap().state, TaskView::Delayed { .. });
    world.run_until("its failure is known, and it waits", ms(5000), delayed);
    world.run_until("it ends", ms(10_000), |world| world.reference().settled(job));
    assert_eq!(world.reference().executions(job), 2);
}

#[test]
fn a_node_takes_only_whose_tasks_it_likes_and_the_owner_knows_without_asking() {
    let mut world = World::builder(44)
        .hosts(1, 0)
        .host(HostSpec::slots(2).guests(Guests::AllBut(vec![OWNER])))
        .host(HostSpec::slots(2).guests(Guests::Only(vec![OTHER])))
        .host(HostSpec::slots(2).takes(Class::Realtime))
        .build();
    world.connect();
    let unwelcome = world.submit(OWNER, &JobSpec::new(3, 50));
    let own = world.submit(OTHER, &JobSpec::new(3, 50));
    world.run_until("its own tasks are done", ms(1000), |world| world.reference().done(own) == 3);
    world.run_for(ms(10_000));
    let answers = world.why(OWNER, unwelcome, 0).unwrap().responses;
    let said =
        |host| answers.iter().find(|answer| answer.peer == world.peer(host)).map(|answer| &answer.response);
    assert_eq!(said(OTHER), Some(&Response::NotAsked(Reason::Owner)));
    assert_eq!(said(WORKER), Some(&Response::NotAsked(Reason::Owner)));
    assert_eq!(said(HostId(3)), Some(&Response::NotAsked(Reason::Class { least: Class::Realtime })));
    world.add_host(HostSpec::slots(1).guests(Guests::Only(vec![OWNER])));
    world.run_until("another worker runs it", ms(3000), |world| world.reference().done(unwelcome) == 3);
}

/// The node has no memory to keep the long task paused next to an urgent one, and an urgent one comes every three seconds.
#[test]
fn a_task_that_is_stopped_for_memory_ends_amid_a_steady_higher_class() {
    let mut world = world(50, 1, 1);
    let long = world.submit(OWNER, &JobSpec { same: Some(1), ..JobSpec::new(1, 20_000) });
    let urgent = JobSpec { class: Class::Interactive, same: Some(3), ..JobSpec::new(1, 100) };
    let mut came = Vec::new();
    while world.reference().done(long) == 0 {
        assert!(came.len() < 40, "it is not done after two minutes");
        world.run_for(ms(3000));
        came.push(world.submit(OTHER, &urgent));
    }
    assert!(world.reference().executions(long) <= 3, "it is stopped twice at most");
    let all = |world: &World| came.iter().all(|job| world.reference().done(*job) == 1);
    world.run_until("the urgent ones end, too", ms(10_000), all);
}
