//! Hand-written histories: one story a test, named by what must come of it.

use std::sync::Arc;
use std::time::Duration;

use weft_core::message::{Award, Call, Class, Delivery, Grant, LeaseRange, Needs, Reason};
use weft_core::snapshot::{Regime, Said, TaskView};
use weft_core::{
    BidId, BlobId, CallId, Entry, JobId, LeaseId, Limits, MeshConfig, Message, Outcome, Payload, Profile,
    Program, Report, Terms,
};
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

/// Slots that bids of all hosts promise now.
fn reserved(world: &World, hosts: usize) -> u32 {
    (0..hosts).filter_map(|host| world.snapshot(HostId(host))).map(|snapshot| snapshot.reserved).sum()
}

#[test]
fn a_lone_node_loses_none_of_a_thousand_tasks_of_its_first_instant() {
    let mut world = World::builder(1).hosts(1, 4).build();
    let job = world.submit(OWNER, &JobSpec::new(1000, 1));
    world.run_until("a thousand tasks end", ms(2000), |world| done(world, job, 1000));
    assert_eq!(world.reference().executions(job), 1000);
}

#[test]
fn a_task_whose_worker_is_killed_ends_elsewhere_within_two_seconds() {
    let mut world = World::builder(2).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(60, 100));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
    world.kill(WORKER);
    world.run_until("all tasks end", ms(2000), |world| done(world, job, 60));
}

#[test]
fn a_result_comes_home_around_a_cut_and_is_not_computed_twice() {
    let mut world = World::builder(3).hosts(1, 0).host(worker(4)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(4, 3000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
    world.cut(OWNER, WORKER);
    world.run_until("all tasks end", ms(6000), |world| done(world, job, 4));
    world.run_for(ms(10_000));
    assert_eq!(world.reference().executions(job), 4);
    assert_eq!(world.snapshot(WORKER).unwrap().undelivered, 0);
    assert!(world.snapshot(OWNER).unwrap().counters.gossiped_home > 0);
}

#[test]
fn a_task_that_is_longer_than_its_lease_survives_a_cut_by_renewals_through_others() {
    let mut world = World::builder(4).hosts(1, 0).host(worker(2)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(2, 15_000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 2);
    world.cut(OWNER, WORKER);
    world.run_until("all tasks end", ms(20_000), |world| done(world, job, 2));
    assert_eq!(world.reference().executions(job), 2);
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
        assert!(!done(&world, job, 12), "nobody else can run them");
        world.fault(Fault::Mend { from, to });
        world.run_until("all tasks end", ms(10_000), |world| done(world, job, 12));
    }
}

#[test]
fn a_worker_that_slept_for_thirty_seconds_commits_nothing_twice() {
    let mut world = World::builder(7).hosts(1, 0).hosts(2, 4).build();
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
}

#[test]
fn an_owner_that_dies_between_bids_and_awards_leaves_no_slot_reserved() {
    let mut world = World::builder(8).hosts(1, 0).hosts(10, 2).build();
    world.connect();
    world.submit(OWNER, &JobSpec::new(100, 200));
    world.run_until("ten nodes bid", ms(1000), |world| reserved(world, 11) >= 10);
    world.fault(Fault::Kill { host: OWNER, told: false });
    // The heartbeat notices within 2.6 s; what was bid in between ends with the connection.
    world.run_for(ms(MeshConfig::DEFAULT.bid_ms + 600));
    assert_eq!(reserved(&world, 11), 0);
}

#[test]
fn of_two_owners_that_want_the_last_slot_one_is_told_so_and_served_later() {
    let mut world = World::builder(9).hosts(1, 0).host(worker(1)).hosts(1, 0).build();
    world.connect();
    let first = world.submit(OWNER, &for_workers(1, 500));
    let second = world.submit(OTHER, &for_workers(1, 500));
    world.run_until("the slot is taken", ms(100), |world| world.running(WORKER) == 1);
    world.run_for(ms(10));
    let busy = [(OWNER, first), (OTHER, second)].into_iter().filter(|(owner, job)| {
        let answers = world.why(*owner, *job, 0).unwrap().answers;
        answers.iter().any(|answer| matches!(answer.said, Said::Declined(Reason::Busy { .. })))
    });
    assert_eq!(busy.count(), 1);
    world.run_until("both end", ms(3000), |world| done(world, first, 1) && done(world, second, 1));
}

#[test]
fn a_task_that_nobody_may_run_waits_says_why_and_starts_when_somebody_joins() {
    let mut world = World::builder(10).hosts(3, 2).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(1, 100));
    world.run_for(ms(10_000));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.state, TaskView::Queued { before: 0 });
    for host in [OWNER, WORKER, OTHER] {
        let said = &why.answers.iter().find(|answer| answer.peer == world.peer(host)).unwrap().said;
        let lacks = matches!(
            said,
            Said::Declined(Reason::Label { name, .. }) | Said::NotAsked(Reason::Label { name, .. }) if name == "role"
        );
        assert!(lacks, "host {} said {said:?}", host.0);
    }
    let fitting = world.add_host(worker(1));
    world.run_until("the task ends", ms(2500), |world| done(world, job, 1));
    assert_eq!(world.reference().brought(job, world.peer(fitting)), 1);
}

#[test]
fn short_tasks_do_not_wait_behind_a_long_one_while_others_are_idle() {
    let mut world = World::builder(11).hosts(5, 1).build();
    world.connect();
    let long = world.submit(OWNER, &JobSpec::new(1, 60_000));
    world.run_until("the long task runs", ms(1000), |world| world.running(OWNER) == 1);
    let short = world.submit(OWNER, &JobSpec::new(20, 10));
    world.run_until("short tasks end", ms(500), |world| done(world, short, 20));
    assert!(!done(&world, long, 1));
}

#[test]
fn no_slot_idles_beside_a_task_that_waits() {
    let mut world = World::builder(17).hosts(5, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(200, 50));
    let took = world.run_until("all tasks end", ms(3000), |world| done(world, job, 200));
    assert!(took < ms(1100), "ten slots need 1 s for 10 s of work, and took {took:?}");
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
fn an_urgent_job_overtakes_a_queue_of_batch_work() {
    let mut world = World::builder(19).hosts(1, 0).hosts(2, 2).build();
    world.connect();
    let batch = world.submit(OWNER, &JobSpec::new(400, 100));
    world.run_for(ms(500));
    let urgent = world.submit(OWNER, &JobSpec { class: Class::Realtime, ..JobSpec::new(8, 10) });
    world.run_until("urgent tasks end", ms(1000), |world| done(world, urgent, 8));
    assert!(!done(&world, batch, 400));
}

#[test]
fn realtime_on_a_full_mesh() {
    // Owner and worker in one, and an owner without slots: both find every slot taken by ten seconds of batch work.
    for (seed, own_slots) in [(40, 2), (41, 0)] {
        let mut world = World::builder(seed).hosts(1, own_slots).hosts(4, 2).build();
        world.connect();
        // Of one module, so that it is there already.
        let batch = world.submit(OWNER, &JobSpec { same: Some(4), ..JobSpec::new(40, 10_000) });
        let full = |world: &World| (1..5).all(|host| world.running(HostId(host)) == 2);
        world.run_until("all slots are busy", ms(1000), full);
        world.run_for(ms(500));
        let urgent = JobSpec { class: Class::Realtime, same: Some(0), ..JobSpec::new(8, 1) };
        let urgent = world.submit(OWNER, &urgent);
        // 10 ms, the task's own millisecond, and the links there and back.
        world.run_until("urgent tasks end", ms(12), |world| done(world, urgent, 8));
        let took = world.run_until("all tasks end", ms(70_000), |world| done(world, batch, 40));
        assert!(took < ms(10_000 * 40 / (8 + u64::from(own_slots)) + 1000), "it took {took:?}");
        assert_eq!(world.reference().executions(batch), 40, "nothing that was stopped ran twice");
    }
}

#[test]
fn a_stopped_task_is_not_lost_over_a_long_wait() {
    let mut world = World::builder(42).hosts(1, 0).host(worker(1)).build();
    world.connect();
    let batch = world.submit(OWNER, &for_workers(1, 2000));
    world.run_until("the slot is taken", ms(100), |world| world.running(WORKER) == 1);
    let urgent = world.submit(OWNER, &JobSpec { class: Class::Interactive, ..for_workers(1, 40_000) });
    world.run_until("the urgent task ends", ms(40_100), |world| done(world, urgent, 1));
    world.run_until("the other one goes on where it was", ms(2000), |world| done(world, batch, 1));
    assert_eq!(world.reference().executions(batch), 1);
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
        // The owner saw the results come home, the others were told.
        for host in [OWNER, WORKER, OTHER] {
            let again = world.submit(host, &spec);
            world.run_until("known tasks end", ms(50), |world| done(world, again, 6));
            assert_eq!(world.reference().proved_and_recalled(again), (0, 6));
        }
        assert_eq!((ran, world.reference().executions(first)), (6, 6), "nothing ran again");
        let fresh = JobSpec { terms: Terms { memo: false, ..Terms::default() }, ..spec };
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
    // A dial takes up to a second, and a closed connection has its own grace of half a second: among some seeds there
    // is one that is back before.
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

#[test]
fn a_worker_that_dies_with_a_bulky_output_has_its_task_run_again() {
    let mut world = World::builder(14).hosts(1, 0).hosts(2, 1).build();
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
}

#[test]
fn a_task_that_always_fails_ends_as_failed_after_its_retries() {
    let mut world = World::builder(15).hosts(3, 1).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec { fate: Fate::Fails, retries: 2, ..JobSpec::new(3, 20) });
    world.run_until("all tasks end", ms(10_000), |world| world.reference().settled(job));
    assert_eq!(world.reference().done(job), 0);
    assert_eq!(world.reference().executions(job), 9);
}

#[test]
fn a_cancelled_job_frees_every_slot_soon() {
    let mut world = World::builder(16).hosts(4, 2).build();
    world.connect();
    let job = world.submit(OWNER, &JobSpec::new(40, 60_000));
    let all_busy = |world: &World| (0..4).all(|host| world.running(HostId(host)) == 2);
    world.run_until("all slots are busy", ms(1000), all_busy);
    world.command(OWNER, weft_core::Command::Cancel { job });
    let all_idle = |world: &World| (0..4).all(|host| world.running(HostId(host)) == 0);
    world.run_until("all slots are free", ms(200), all_idle);
    assert!(world.reference().settled(job));
}

#[test]
fn a_stranger_can_neither_end_nor_stop_nor_prolong_what_others_agreed_on() {
    let mut world = World::builder(20).hosts(1, 0).host(worker(4)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(4, 1000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
    let leases: Vec<LeaseId> = (0..4).map(|index| LeaseId { job, index, attempt: 1 }).collect();
    let forged = Report { output: Payload::inline(b"forged"), ..Report::bare(Outcome::Done) };
    let deliveries = leases
        .iter()
        .map(|lease| Delivery { lease: *lease, report: forged.clone(), memo: None, proof: None })
        .collect();
    world.lie(OTHER, OWNER, Message::Outcome(deliveries));
    world.lie(OTHER, OWNER, Message::Refuse { leases: leases.clone() });
    let all = LeaseRange { first: leases.first().copied().unwrap(), count: u32::MAX, paused: false };
    world.lie(OTHER, OWNER, Message::Renew(vec![all; 256]));
    world.lie(OTHER, WORKER, Message::Cancel(leases.clone()));
    world.lie(OTHER, WORKER, Message::Ack(leases));
    world.run_until("all tasks end", ms(2000), |world| done(world, job, 4));
    assert_eq!(world.reference().executions(job), 4);
    assert_eq!(world.reference().brought(job, world.peer(WORKER)), 4);
    assert_eq!(world.snapshot(OWNER).unwrap().counters.forged, 4);
}

#[test]
fn an_award_that_no_bid_stands_for_is_refused() {
    let mut world = World::builder(21).hosts(1, 0).host(worker(4)).build();
    world.connect();
    let lease = LeaseId { job: JobId(1), index: 0, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    let award = Award { call: CallId(1), bid: BidId(1), lease_ms: u32::MAX, left: u32::MAX, grants };
    world.lie(OWNER, WORKER, Message::Award(award));
    world.run_for(ms(100));
    assert_eq!(world.running(WORKER), 0);
    assert!(world.engine(WORKER).unwrap().audit().held.is_empty());
}

#[test]
fn a_flood_of_calls_takes_bounded_room_and_leaves_room_for_others() {
    let mut world = World::builder(22).hosts(1, 0).host(worker(1)).hosts(1, 0).build();
    world.connect();
    for call in 0..5000 {
        world.lie(OTHER, WORKER, Message::Call(idle_call(CallId(call))));
    }
    world.run_for(ms(10));
    assert!(world.engine(WORKER).unwrap().audit().calls_heard <= 64);
    let job = world.submit(OWNER, &for_workers(3, 100));
    world.run_until("an honest job ends", ms(5000), |world| done(world, job, 3));
}

#[test]
fn a_worker_whose_owner_knows_nothing_of_its_call_does_not_bid_for_ever() {
    let mut world = World::builder(23).hosts(1, 0).host(worker(2)).build();
    world.connect();
    world.lie(OWNER, WORKER, Message::Call(idle_call(CallId(7))));
    world.run_for(ms(10_000));
    let bids = world.snapshot(WORKER).unwrap().counters.bids_made;
    assert!((1..=10).contains(&bids), "{bids} bids for nothing");
}

/// A call that promises many tasks, none of which will ever be awarded.
fn idle_call(call: CallId) -> Call {
    let program = Program {
        module: BlobId::of(b"no module"),
        module_bytes: 1,
        entry: Entry::Command,
        args: Vec::new(),
        env: Vec::new(),
        files: Payload::empty(),
        profile: Profile::Pure,
        limits: Limits::DEFAULT,
    };
    Call {
        call,
        job: JobId(call.0),
        program: Arc::new(program),
        needs: Needs::default(),
        class: Class::Realtime,
        terms: Terms::default(),
        count: u32::MAX,
        service_us: 1,
    }
}

/// A job of so many half-millisecond tasks of one program.
fn short_ones(tasks: u32, same: u64) -> JobSpec {
    JobSpec {
        service_us: (500, 500),
        same: Some(same),
        terms: Terms { memo: false, ..Terms::default() },
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
    assert!(after.peers.iter().all(|peer| peer.window > 0), "room stands everywhere: {:?}", after.peers);
    assert!(after.jobs.iter().all(|job| job.regime == Regime::BiddingAhead && job.service_us == 500));
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
    // An engine's clock stands between two inputs.
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
