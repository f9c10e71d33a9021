//! Scenarios of members that send false messages.

use weft_core::message::{Award, Delivery, Grant, LeaseRange, Progress};
use weft_core::{BidId, CallId, JobId, LeaseId, Message, Outcome, Payload, Report};

use super::{OTHER, OWNER, WORKER, Watch, done, for_workers, ms, worker};
use crate::{World, idle_call};

pub(super) fn a_stranger_can_neither_end_nor_stop_nor_prolong_what_others_agreed_on(watch: Watch) -> World {
    let mut world = World::builder(20).watch(watch).hosts(1, 0).host(worker(4)).hosts(1, 0).build();
    world.connect();
    let job = world.submit(OWNER, &for_workers(4, 1000));
    world.run_until("the worker is at work", ms(1000), |world| world.running(WORKER) == 4);
    let leases: Vec<LeaseId> = (0..4).map(|index| LeaseId { job, epoch: 0, index, attempt: 1 }).collect();
    let forged = Report { output: Payload::inline(b"forged"), ..Report::bare(Outcome::Done) };
    let deliveries = leases
        .iter()
        .map(|lease| Delivery { lease: *lease, report: forged.clone().into(), memo: None, proof: None })
        .collect();
    world.lie(OTHER, OWNER, Message::Outcome(deliveries));
    world.lie(OTHER, OWNER, Message::Refuse { leases: leases.clone() });
    world.lie(OTHER, OWNER, Message::GivenBack { leases: leases.clone() });
    let all = LeaseRange {
        first: leases.first().copied().unwrap(),
        count: u32::MAX,
        paused: false,
        progress: Progress::Unknown,
    };
    world.lie(OTHER, OWNER, Message::Renew(vec![all; 256]));
    world.lie(OTHER, WORKER, Message::Cancel(leases.clone()));
    world.lie(OTHER, WORKER, Message::Ack(leases));
    world.run_until("all tasks end", ms(2000), |world| done(world, job, 4));
    assert_eq!(world.reference().executions(job), 4);
    assert_eq!(world.reference().brought(job, world.peer(WORKER)), 4);
    assert_eq!(world.snapshot(OWNER).unwrap().counters.forged, 4);
    world
}

pub(super) fn an_award_that_no_bid_stands_for_is_refused(watch: Watch) -> World {
    let mut world = World::builder(21).watch(watch).hosts(1, 0).host(worker(4)).build();
    world.connect();
    let lease = LeaseId { job: JobId(1), epoch: 0, index: 0, attempt: 1 };
    let grants = vec![Grant { lease, input: Payload::empty() }];
    let award = Award { call: CallId(1), bid: BidId(1), left: u32::MAX, grants };
    world.lie(OWNER, WORKER, Message::Award(award));
    world.run_for(ms(100));
    assert_eq!(world.running(WORKER), 0);
    assert!(world.engine(WORKER).unwrap().audit().held.is_empty());
    world
}

pub(super) fn a_flood_of_calls_takes_bounded_room_and_leaves_room_for_others(watch: Watch) -> World {
    let mut world = World::builder(22).watch(watch).hosts(1, 0).host(worker(1)).hosts(1, 0).build();
    world.connect();
    for call in 0..5000 {
        world.lie(OTHER, WORKER, Message::Call(idle_call(CallId(call))));
    }
    world.run_for(ms(10));
    assert!(world.engine(WORKER).unwrap().audit().calls_heard <= 64);
    let job = world.submit(OWNER, &for_workers(3, 100));
    world.run_until("an honest job ends", ms(5000), |world| done(world, job, 3));
    world
}

pub(super) fn a_worker_whose_owner_knows_nothing_of_its_call_does_not_bid_for_ever(watch: Watch) -> World {
    let mut world = World::builder(23).watch(watch).hosts(1, 0).host(worker(2)).build();
    world.connect();
    world.lie(OWNER, WORKER, Message::Call(idle_call(CallId(7))));
    world.run_for(ms(10_000));
    let bids = world.snapshot(WORKER).unwrap().counters.bids_made;
    assert!((1..=10).contains(&bids), "{bids} bids for nothing");
    world
}
