//! Scenarios of multi-slot tasks: they get their slots eventually, say so if no node is large enough, and leave no slot
//! idle that another task could use.

use weft_core::message::{Class, Reason};
use weft_core::snapshot::{Note, Response};
use weft_core::{MeshConfig, Policy};

use super::{OTHER, OWNER, WORKER, Watch, done, for_workers, ms, worker};
use crate::{HostId, HostSpec, JobSpec, World};

fn wide(tasks: u32, slots: u32, service_ms: u32) -> JobSpec {
    JobSpec { slots, ..for_workers(tasks, service_ms) }
}

/// Single-slot tasks of another owner, then of the same one, always wait; the multi-slot ones run nevertheless.
pub(super) fn a_wide_task_begins_amid_narrow_ones_that_never_end(watch: Watch) -> World {
    let mut world = World::builder(61).watch(watch).hosts(1, 0).host(worker(4)).hosts(1, 0).build();
    world.connect();
    for owner in [OTHER, OWNER] {
        let narrow = world.submit(owner, &for_workers(2000, 200));
        world.run_for(ms(2000));
        let job = world.submit(OWNER, &wide(3, 4, 300));
        // Three times: at most four seconds of waiting, the end of running tasks, and the task's own running time.
        world.run_until("the wide ones end", ms(15_000), |world| done(world, job, 3));
        assert!(world.reference().done(narrow) < 2000, "the narrow ones still wait");
        assert_eq!(world.reference().executions(job), 3);
    }
    world
}

/// The same with tasks so short that workers give owners credit for them in advance.
pub(super) fn a_wide_task_begins_amid_short_ones_that_never_end(watch: Watch) -> World {
    let mut world = World::builder(62).watch(watch).hosts(1, 0).host(worker(2)).hosts(1, 0).build();
    world.connect();
    let short = world.submit(OTHER, &for_workers(4000, 4));
    world.run_for(ms(300));
    let job = world.submit(OWNER, &wide(1, 2, 200));
    world.run_until("the wide one ends", ms(5000), |world| done(world, job, 1));
    assert!(world.reference().done(short) < 4000, "the short ones still wait");
    world
}

/// Matchmakers match single slots; a multi-slot task gets its slots by calls.
pub(super) fn a_wide_task_begins_in_a_mesh_of_cells_full_of_narrow_ones(watch: Watch) -> World {
    let mesh = MeshConfig { full_mesh: 2, cell_nodes: 3, ..MeshConfig::DEFAULT };
    let mut world = World::builder(63).mesh(mesh).watch(watch).hosts(1, 0);
    for _ in 0..5 {
        world = world.host(worker(2));
    }
    let mut world = world.build();
    world.connect();
    let narrow = world.submit(OWNER, &for_workers(4000, 150));
    world.run_for(ms(2000));
    let job = world.submit(OWNER, &wide(4, 2, 200));
    world.run_until("the wide ones end", ms(20_000), |world| done(world, job, 4));
    assert!(world.reference().done(narrow) < 4000, "the narrow ones still wait");
    world
}

pub(super) fn a_task_wider_than_every_node_says_so_and_begins_when_a_large_one_joins(watch: Watch) -> World {
    let mut world = World::builder(64).watch(watch).hosts(1, 1).host(worker(4)).host(worker(2)).build();
    world.connect();
    let job = world.submit(OWNER, &wide(1, 8, 100));
    world.run_for(ms(10_000));
    let why = world.why(OWNER, job, 0).unwrap();
    assert_eq!(why.notes, [Note::MultiSlot { slots: 8, largest: 4 }]);
    let text = why.notes.iter().map(Note::to_string).collect::<String>();
    assert_eq!(text, "needs 8 slots of one node, the largest known has 4");
    for (host, slots) in [(WORKER, 4), (OTHER, 2)] {
        let said = &why.responses.iter().find(|answer| answer.peer == world.peer(host)).unwrap().response;
        assert_eq!(*said, Response::NotAsked(Reason::Slots { wanted: 8, slots }));
    }
    let large = world.add_host(worker(8));
    world.run_until("the task ends", ms(3000), |world| done(world, job, 1));
    assert_eq!(world.reference().brought(job, world.peer(large)), 1);
    world
}

/// A multi-slot task that is preempted by a single-slot one leaves three slots: others of its class run there, and it
/// resumes when they have ended.
pub(super) fn what_a_stopped_wide_task_leaves_free_is_used(watch: Watch) -> World {
    let mut world = World::builder(65).watch(watch).hosts(1, 0).host(worker(4)).build();
    world.connect();
    let low = world.submit(OWNER, &wide(1, 4, 2000));
    world.run_for(ms(500));
    let urgent = |tasks| JobSpec { class: Class::Interactive, ..for_workers(tasks, 1000) };
    let first = world.submit(OWNER, &urgent(1));
    world.run_for(ms(100));
    let more = world.submit(OWNER, &urgent(3));
    world.run_until("all four run at once", ms(1200), |world| done(world, first, 1) && done(world, more, 3));
    let took = world.run_until("the wide one goes on and ends", ms(2000), |world| done(world, low, 1));
    assert!(took > ms(1200), "it had run for half a second: {took:?}");
    assert_eq!(world.reference().executions(low), 1);
    world
}

/// An urgent multi-slot task preempts as many tasks as it needs, and none while that would not free enough slots.
pub(super) fn an_urgent_wide_task_stops_as_many_as_it_needs_and_none_in_vain(watch: Watch) -> World {
    let mut world = World::builder(66).watch(watch).hosts(1, 0).host(worker(4)).build();
    world.connect();
    let policy = Policy { backups: false, ..Policy::DEFAULT };
    let low = world.submit(OWNER, &JobSpec { policy, ..for_workers(3, 3000) });
    world.run_for(ms(100));
    let high = world.submit(OWNER, &JobSpec { class: Class::Realtime, ..for_workers(1, 1000) });
    world.run_for(ms(100));
    let urgent = JobSpec { class: Class::Interactive, ..wide(1, 4, 500) };
    let urgent = world.submit(OWNER, &urgent);
    world.run_for(ms(500));
    assert_eq!(world.snapshot(WORKER).unwrap().paused, 0, "the realtime task can't be preempted");
    world.run_until("the realtime one ends", ms(600), |world| done(world, high, 1));
    world.run_until("then the urgent one", ms(700), |world| done(world, urgent, 1));
    assert_eq!(world.reference().done(low), 0);
    world.run_until("then the others go on", ms(3500), |world| done(world, low, 3));
    assert_eq!(world.reference().executions(low), 3);
    world
}

pub(super) fn wide_and_narrow_tasks_share_a_node_without_ever_taking_more_than_it_has(watch: Watch) -> World {
    let mut world = World::builder(67).watch(watch).host(HostSpec::slots(5)).hosts(1, 5).build();
    world.connect();
    let jobs: Vec<_> = (1..=5)
        .flat_map(|slots| {
            let owner = HostId(usize::from(slots % 2 == 0));
            let spec = JobSpec { slots, ..JobSpec::new(20, 40 * slots) };
            let short = JobSpec { class: Class::Interactive, ..JobSpec::new(50, 2) };
            [(world.submit(owner, &spec), 20), (world.submit(owner, &short), 50)]
        })
        .collect();
    // Slots times time: 40 ms x 20 x (1 + 4 + 9 + 16 + 25) on ten slots, if packed without a gap.
    world.run_until("all end", ms(20_000), |world| jobs.iter().all(|(job, tasks)| done(world, *job, *tasks)));
    world
}
