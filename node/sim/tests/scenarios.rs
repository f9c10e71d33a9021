//! Hand-written scenarios: one per test, named by its expected outcome.

use std::time::Duration;

use weft_core::message::Class;
use weft_core::snapshot::{Regime, TaskView};
use weft_core::{JobId, Recall, Terms};
use weft_sim::{Fate, Fault, HostId, HostSpec, JobSpec, Weather, World};

const OWNER: HostId = HostId(0);
const WORKER: HostId = HostId(1);
const OTHER: HostId = HostId(2);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A job that only hosts with the label `role=worker` may run.
fn for_workers(tasks: u32, service_ms: u32) -> JobSpec {
    JobSpec { labels: vec![("role".into(), "worker".into())], ..JobSpec::new(tasks, service_ms) }
}

fn worker(slots: u32) -> HostSpec {
    HostSpec::slots(slots).label("role", "worker")
}

fn done(world: &World, job: JobId, tasks: usize) -> bool {
    world.reference().done(job) == tasks
}

#[test]
fn a_cut_in_one_direction_delays_nothing_for_ever() {
    for (seed, from, to) in [(5, OWNER, WORKER), (6, WORKER, OWNER)] {
        let mut world = World::builder(seed).hosts(1, 1).host(worker(4)).build();
        world.connect();
        let job = world.submit(OWNER, &for_workers(12, 500));
        world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
        world.fault(Fault::Cut { from, to });
        world.run_for(ms(5000));
        assert!(!done(&world, job, 12), "no other host can run them");
        world.fault(Fault::Mend { from, to });
        world.run_until("all tasks end", ms(10_000), |world| done(world, job, 12));
    }
}

#[test]
fn short_tasks_keep_remote_slots_busy_over_a_slow_link() {
    let weather = Weather { delay_us: 2000, ..Weather::LAN };
    let mut world = World::builder(18).hosts(1, 0).hosts(2, 2).weather(weather).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(4000, 1));
    let took = world.run_until("all tasks end", ms(10_000), |world| done(world, job, 4000));
    assert!(took < ms(1500), "four slots need 1 s for 4 s of work, and took {took:?}");
}

#[test]
fn realtime_on_a_full_mesh() {
    // Owner and worker in one, and an owner without slots: both find every slot taken by ten seconds of batch work.
    for (seed, own_slots) in [(40, 2), (41, 0)] {
        let mut world = World::builder(seed).hosts(1, own_slots).hosts(4, 2).build();
        world.connect();
        // Both jobs have the same module, so that it is on the workers already.
        let batch = world.submit(OWNER, &JobSpec { same: Some(4), ..JobSpec::new(40, 10_000) });
        let full = |world: &World| (1..5).all(|host| world.running(HostId(host)) == 2);
        world.run_until("all slots are busy", ms(1000), full);
        world.run_for(ms(500));
        let urgent = JobSpec { class: Class::Realtime, same: Some(0), ..JobSpec::new(8, 1) };
        let urgent = world.submit(OWNER, &urgent);
        // 10 ms, the task's own millisecond, and the round trip.
        world.run_until("urgent tasks end", ms(12), |world| done(world, urgent, 8));
        let took = world.run_until("all tasks end", ms(70_000), |world| done(world, batch, 40));
        assert!(took < ms(10_000 * 40 / (8 + u64::from(own_slots)) + 1000), "it took {took:?}");
        assert_eq!(world.reference().executions(batch), 40, "nothing that was stopped ran twice");
    }
}

#[test]
fn memo_hits() {
    let mut world = World::builder(43).hosts(1, 0).hosts(3, 2).build();
    world.connect();
    for fate in [Fate::Done, Fate::Bulky] {
        let spec = JobSpec { same: Some(fate as u64), fate, ..JobSpec::new(6, 60) };
        let first = world.submit(OWNER, &spec);
        world.run_until("all tasks end", ms(1000), |world| done(world, first, 6));
        let ran = world.reference().executions(first);
        world.run_for(ms(10));
        // The owner received the results, the others heard them by gossip.
        for (host, memo) in [(OWNER, Recall::Own), (WORKER, Recall::Mesh), (OTHER, Recall::Mesh)] {
            let terms = Terms { memo, ..Terms::default() };
            let again = world.submit(host, &JobSpec { terms, ..spec.clone() });
            world.run_until("known tasks end", ms(50), |world| done(world, again, 6));
            assert_eq!(world.reference().proved_and_recalled(again), (0, 6));
        }
        assert_eq!((ran, world.reference().executions(first)), (6, 6), "nothing ran again");
        let fresh = JobSpec { terms: Terms { memo: Recall::Off, ..Terms::default() }, ..spec };
        let fresh = world.submit(OWNER, &fresh);
        world.run_until("all tasks run", ms(1000), |world| done(world, fresh, 6));
        assert_eq!(world.reference().executions(first), 12);
    }
}

#[test]
fn receipts() {
    let mut world = World::builder(44).hosts(1, 1).hosts(3, 2).build();
    world.connect();
    let terms = Terms { receipts: true, ..Terms::default() };
    let spec = JobSpec { terms, ..JobSpec::new(200, 3) };
    let job = world.submit(OWNER, &spec);
    world.run_until("all tasks end", ms(2000), |world| done(world, job, 200));
    assert_eq!(world.reference().proved_and_recalled(job), (200, 0));
    let plain = world.submit(OWNER, &JobSpec::new(20, 3));
    world.run_until("all tasks end", ms(1000), |world| done(world, plain, 20));
    assert_eq!(world.reference().proved_and_recalled(plain), (0, 0));
}

#[test]
fn a_worker_that_forgot_everything_loses_its_leases_at_once() {
    // A dial takes up to a second, and a closed connection has a grace of half a second: in some of these seeds the
    // worker is back before that has passed.
    for seed in 30..40 {
        let mut world = World::builder(seed).hosts(1, 0).host(worker(2)).build();
        world.connect();
        let job = world.submit(OWNER, &for_workers(2, 5000));
        world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
        world.fault(Fault::Kill { host: WORKER, told: false });
        world.run_for(ms(200));
        world.fault(Fault::Restart(WORKER));
        world.run_until("it is back", ms(2500), |world| {
            world.snapshot(WORKER).is_some_and(|snapshot| snapshot.peers.iter().any(|peer| peer.connected))
        });
        world.run_until("its first leases are void", ms(50), |world| {
            (0..2).all(|index| {
                let state = world.why(OWNER, job, index).unwrap().state;
                !matches!(state, TaskView::Leased { attempt: 1, .. })
            })
        });
        world.run_until("the worker is at work again", ms(1500), |world| world.running(WORKER) == 2);
        world.run_until("all tasks end", ms(6000), |world| done(world, job, 2));
    }
}

#[test]
fn an_output_that_travels_as_a_blob_is_here_before_its_task_has_ended() {
    let mut world = World::builder(13).hosts(1, 0).hosts(3, 2).build();
    world.connect();
    let spec = JobSpec { fate: Fate::Bulky, bulky_inputs: true, ..JobSpec::new(30, 50) };
    let job = world.submit(OWNER, &spec);
    world.run_until("all tasks end", ms(5000), |world| done(world, job, 30));
}

/// A job of half-millisecond tasks of one program.
fn short_ones(tasks: u32, same: u64) -> JobSpec {
    JobSpec {
        service_us: (500, 500),
        same: Some(same),
        terms: Terms { memo: Recall::Off, ..Terms::default() },
        ..JobSpec::new(tasks, 1)
    }
}

#[test]
fn short_tasks_one_by_one_call_nobody_once_room_stands() {
    let mut world = World::builder(50).hosts(6, 2).build();
    world.connect();
    let first = world.submit(OWNER, &short_ones(60, 4));
    world.run_until("all tasks end", ms(1000), |world| done(world, first, 60));
    // Three times what two slots can do, in bursts: most of it must go elsewhere.
    let (before, mut jobs) = (world.snapshot(OWNER).unwrap().counters, Vec::new());
    for _ in 0..60 {
        jobs.extend((0..12).map(|_| world.submit(OWNER, &short_ones(1, 4))));
        world.run_for(ms(1));
    }
    world.run_until("all tasks end", ms(200), |world| jobs.iter().all(|job| done(world, *job, 1)));
    let after = world.snapshot(OWNER).unwrap();
    let (calls, awards) = (after.counters.calls - before.calls, after.counters.awards - before.awards);
    assert_eq!(awards, 720);
    assert!(calls <= 60, "{calls} calls for 720 tasks");
    assert!(after.peers.iter().all(|peer| peer.window > 0), "every worker gives credit: {:?}", after.peers);
    assert!(after.jobs.iter().all(|job| job.regime == Regime::OnCredit && job.service_us == 500));
    let away = jobs.iter().filter(|job| world.reference().brought(**job, world.peer(OWNER)) == 0).count();
    assert!(away > 300, "{away} of 720 went elsewhere");
}

#[test]
fn standing_room_ends_with_its_ttl() {
    let mut world = World::builder(51).hosts(4, 2).build();
    world.connect();
    for _ in 0..2 {
        let job = world.submit(OWNER, &short_ones(200, 4));
        world.run_until("all tasks end", ms(1000), |world| done(world, job, 200));
    }
    let reserved =
        |world: &World| (1..4).map(|host| world.snapshot(HostId(host)).unwrap().reserved).sum::<u32>();
    assert!(reserved(&world) > 0);
    world.run_for(ms(2100));
    assert_eq!(reserved(&world), 0);
    // An engine's time advances with its inputs only.
    world.run_for(ms(3000));
    assert!(world.snapshot(OWNER).unwrap().peers.iter().all(|peer| (peer.window, peer.room) == (0, 0)));
}

#[test]
fn tasks_that_prove_long_are_called_out_like_any() {
    let mut world = World::builder(52).hosts(4, 1).build();
    world.connect();
    let short = world.submit(OWNER, &short_ones(200, 4));
    world.run_until("all tasks end", ms(1000), |world| done(world, short, 200));
    // The same program, and each task takes a hundred times as long.
    let long = world.submit(OWNER, &JobSpec { service_us: (50_000, 50_000), ..short_ones(40, 8) });
    let took = world.run_until("all tasks end", ms(5000), |world| done(world, long, 40));
    assert!(took < ms(1000), "four slots need 0.5 s for 2 s of work, and took {took:?}");
}
