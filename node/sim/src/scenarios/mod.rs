//! Hand-written scenarios by name: each is a world, its faults, and the expected outcome. `weft-sim scenarios` lists
//! them, `weft-sim run NAME` runs one, and the tests run all. A scenario that fails panics.
#![expect(clippy::unwrap_used, reason = "a scenario that fails stops with a message")]

mod custody;
mod faults;
mod joins;
mod market;
mod strangers;
mod wide;

use std::time::Duration;

use weft_core::JobId;

use crate::{HostId, HostSpec, JobSpec, World};

/// A function that gets every event as one line, if any.
pub type Watch = Option<fn(&str)>;

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name, which states the expected outcome.
    pub name: &'static str,
    /// Runs it to its end and returns its world.
    ///
    /// # Panics
    /// When an invariant is broken, or the outcome is not the expected one.
    pub play: fn(Watch) -> World,
}

/// All scenarios.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "a_task_whose_worker_is_killed_ends_elsewhere_within_two_seconds",
        play: faults::a_task_whose_worker_is_killed_ends_elsewhere_within_two_seconds,
    },
    Scenario {
        name: "a_result_comes_home_around_a_cut_and_is_not_computed_twice",
        play: faults::a_result_comes_home_around_a_cut_and_is_not_computed_twice,
    },
    Scenario {
        name: "a_task_that_is_longer_than_its_lease_survives_a_cut_by_renewals_through_others",
        play: faults::a_task_that_is_longer_than_its_lease_survives_a_cut_by_renewals_through_others,
    },
    Scenario {
        name: "a_worker_that_slept_for_thirty_seconds_commits_nothing_twice",
        play: faults::a_worker_that_slept_for_thirty_seconds_commits_nothing_twice,
    },
    Scenario {
        name: "an_owner_that_dies_between_bids_and_awards_leaves_no_slot_reserved",
        play: faults::an_owner_that_dies_between_bids_and_awards_leaves_no_slot_reserved,
    },
    Scenario {
        name: "a_worker_that_dies_with_a_bulky_output_has_its_task_run_again",
        play: faults::a_worker_that_dies_with_a_bulky_output_has_its_task_run_again,
    },
    Scenario {
        name: "an_owner_whose_disk_is_full_has_nothing_computed_twice_and_ends_when_there_is_room",
        play: faults::an_owner_whose_disk_is_full_has_nothing_computed_twice_and_ends_when_there_is_room,
    },
    Scenario {
        name: "a_worker_whose_disk_is_full_costs_no_attempt_while_another_has_room",
        play: faults::a_worker_whose_disk_is_full_costs_no_attempt_while_another_has_room,
    },
    Scenario {
        name: "a_node_that_leaves_gently_costs_its_owners_no_task_and_no_trust",
        play: faults::a_node_that_leaves_gently_costs_its_owners_no_task_and_no_trust,
    },
    Scenario {
        name: "a_lone_node_loses_none_of_a_thousand_tasks_of_its_first_instant",
        play: market::a_lone_node_loses_none_of_a_thousand_tasks_of_its_first_instant,
    },
    Scenario {
        name: "of_two_owners_that_want_the_last_slot_one_is_told_so_and_served_later",
        play: market::of_two_owners_that_want_the_last_slot_one_is_told_so_and_served_later,
    },
    Scenario {
        name: "a_task_that_nobody_may_run_waits_says_why_and_starts_when_somebody_joins",
        play: market::a_task_that_nobody_may_run_waits_says_why_and_starts_when_somebody_joins,
    },
    Scenario {
        name: "short_tasks_do_not_wait_behind_a_long_one_while_others_are_idle",
        play: market::short_tasks_do_not_wait_behind_a_long_one_while_others_are_idle,
    },
    Scenario {
        name: "no_slot_idles_beside_a_task_that_waits",
        play: market::no_slot_idles_beside_a_task_that_waits,
    },
    Scenario {
        name: "an_urgent_job_overtakes_a_queue_of_batch_work",
        play: market::an_urgent_job_overtakes_a_queue_of_batch_work,
    },
    Scenario {
        name: "a_stopped_task_is_not_lost_over_a_long_wait",
        play: market::a_stopped_task_is_not_lost_over_a_long_wait,
    },
    Scenario {
        name: "a_task_that_always_fails_ends_as_failed_after_its_retries",
        play: market::a_task_that_always_fails_ends_as_failed_after_its_retries,
    },
    Scenario {
        name: "a_cancelled_job_frees_every_slot_soon",
        play: market::a_cancelled_job_frees_every_slot_soon,
    },
    Scenario {
        name: "a_wide_task_begins_amid_narrow_ones_that_never_end",
        play: wide::a_wide_task_begins_amid_narrow_ones_that_never_end,
    },
    Scenario {
        name: "a_wide_task_begins_amid_short_ones_that_never_end",
        play: wide::a_wide_task_begins_amid_short_ones_that_never_end,
    },
    Scenario {
        name: "a_wide_task_begins_in_a_mesh_of_cells_full_of_narrow_ones",
        play: wide::a_wide_task_begins_in_a_mesh_of_cells_full_of_narrow_ones,
    },
    Scenario {
        name: "a_task_wider_than_every_node_says_so_and_begins_when_a_large_one_joins",
        play: wide::a_task_wider_than_every_node_says_so_and_begins_when_a_large_one_joins,
    },
    Scenario {
        name: "what_a_stopped_wide_task_leaves_free_is_used",
        play: wide::what_a_stopped_wide_task_leaves_free_is_used,
    },
    Scenario {
        name: "an_urgent_wide_task_stops_as_many_as_it_needs_and_none_in_vain",
        play: wide::an_urgent_wide_task_stops_as_many_as_it_needs_and_none_in_vain,
    },
    Scenario {
        name: "wide_and_narrow_tasks_share_a_node_without_ever_taking_more_than_it_has",
        play: wide::wide_and_narrow_tasks_share_a_node_without_ever_taking_more_than_it_has,
    },
    Scenario {
        name: "a_join_begins_when_the_last_of_its_parents_has_ended_wherever_that_ran",
        play: joins::a_join_begins_when_the_last_of_its_parents_has_ended_wherever_that_ran,
    },
    Scenario {
        name: "a_join_fires_once_though_its_parents_end_is_told_again_after_a_long_sleep",
        play: joins::a_join_fires_once_though_its_parents_end_is_told_again_after_a_long_sleep,
    },
    Scenario {
        name: "a_chain_falls_when_its_first_job_fails_and_what_takes_any_end_begins",
        play: joins::a_chain_falls_when_its_first_job_fails_and_what_takes_any_end_begins,
    },
    Scenario {
        name: "an_owner_that_slept_past_a_joins_time_does_not_begin_it",
        play: joins::an_owner_that_slept_past_a_joins_time_does_not_begin_it,
    },
    Scenario {
        name: "an_owner_that_died_knows_none_of_its_joins_parents",
        play: joins::an_owner_that_died_knows_none_of_its_joins_parents,
    },
    Scenario {
        name: "a_job_goes_on_when_its_owner_is_lost_for_ever",
        play: custody::a_job_goes_on_when_its_owner_is_lost_for_ever,
    },
    Scenario {
        name: "an_owner_that_returns_leads_its_job_again",
        play: custody::an_owner_that_returns_leads_its_job_again,
    },
    Scenario {
        name: "a_job_outlives_two_takeovers_in_a_row",
        play: custody::a_job_outlives_two_takeovers_in_a_row,
    },
    Scenario {
        name: "an_owner_in_the_minority_tells_nothing_and_follows_when_it_is_back",
        play: custody::an_owner_in_the_minority_tells_nothing_and_follows_when_it_is_back,
    },
    Scenario {
        name: "a_job_waits_for_its_owner_when_its_custodian_lost_its_disk",
        play: custody::a_job_waits_for_its_owner_when_its_custodian_lost_its_disk,
    },
    Scenario {
        name: "a_stranger_can_neither_end_nor_stop_nor_prolong_what_others_agreed_on",
        play: strangers::a_stranger_can_neither_end_nor_stop_nor_prolong_what_others_agreed_on,
    },
    Scenario {
        name: "an_award_that_no_bid_stands_for_is_refused",
        play: strangers::an_award_that_no_bid_stands_for_is_refused,
    },
    Scenario {
        name: "a_flood_of_calls_takes_bounded_room_and_leaves_room_for_others",
        play: strangers::a_flood_of_calls_takes_bounded_room_and_leaves_room_for_others,
    },
    Scenario {
        name: "a_worker_whose_owner_knows_nothing_of_its_call_does_not_bid_for_ever",
        play: strangers::a_worker_whose_owner_knows_nothing_of_its_call_does_not_bid_for_ever,
    },
];

/// The scenario of that name.
#[must_use]
pub fn scenario(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

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

/// The number of slots that bids of the first `hosts` hosts promise now.
fn reserved(world: &World, hosts: usize) -> u32 {
    (0..hosts).filter_map(|host| world.snapshot(HostId(host))).map(|snapshot| snapshot.reserved).sum()
}
