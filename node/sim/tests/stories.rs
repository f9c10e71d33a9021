//! Every scenario has its expected outcome. One test per name, so that each can be run and fail alone.

use weft_sim::{SCENARIOS, scenario};

macro_rules! stories {
    ($($name:ident,)*) => {
        $(#[test]
        fn $name() {
            let story = scenario(stringify!($name)).expect("the list of scenarios has it");
            let world = (story.play)(None);
            assert!(world.events() > 0, "nothing happened");
        })*

        #[test]
        fn every_scenario_is_played_here() {
            let ours = [$(stringify!($name),)*];
            let missing: Vec<&str> =
                SCENARIOS.iter().map(|story| story.name).filter(|name| !ours.contains(name)).collect();
            assert!(missing.is_empty(), "{missing:?} are not played");
        }
    };
}

stories! {
    a_wide_task_begins_amid_narrow_ones_that_never_end,
    a_wide_task_begins_amid_short_ones_that_never_end,
    a_wide_task_begins_in_a_mesh_of_cells_full_of_narrow_ones,
    a_task_wider_than_every_node_says_so_and_begins_when_a_large_one_joins,
    what_a_stopped_wide_task_leaves_free_is_used,
    an_urgent_wide_task_stops_as_many_as_it_needs_and_none_in_vain,
    wide_and_narrow_tasks_share_a_node_without_ever_taking_more_than_it_has,
    a_task_whose_worker_is_killed_ends_elsewhere_within_two_seconds,
    a_result_comes_home_around_a_cut_and_is_not_computed_twice,
    a_task_that_is_longer_than_its_lease_survives_a_cut_by_renewals_through_others,
    a_worker_that_slept_for_thirty_seconds_commits_nothing_twice,
    an_owner_that_dies_between_bids_and_awards_leaves_no_slot_reserved,
    a_worker_that_dies_with_a_bulky_output_has_its_task_run_again,
    an_owner_whose_disk_is_full_has_nothing_computed_twice_and_ends_when_there_is_room,
    a_worker_whose_disk_is_full_costs_no_attempt_while_another_has_room,
    a_node_that_leaves_gently_costs_its_owners_no_task_and_no_trust,
    a_lone_node_loses_none_of_a_thousand_tasks_of_its_first_instant,
    of_two_owners_that_want_the_last_slot_one_is_told_so_and_served_later,
    a_task_that_nobody_may_run_waits_says_why_and_starts_when_somebody_joins,
    short_tasks_do_not_wait_behind_a_long_one_while_others_are_idle,
    no_slot_idles_beside_a_task_that_waits,
    an_urgent_job_overtakes_a_queue_of_batch_work,
    a_stopped_task_is_not_lost_over_a_long_wait,
    a_task_that_always_fails_ends_as_failed_after_its_retries,
    a_cancelled_job_frees_every_slot_soon,
    a_join_begins_when_the_last_of_its_parents_has_ended_wherever_that_ran,
    a_join_fires_once_though_its_parents_end_is_told_again_after_a_long_sleep,
    a_chain_falls_when_its_first_job_fails_and_what_takes_any_end_begins,
    an_owner_that_slept_past_a_joins_time_does_not_begin_it,
    an_owner_that_died_knows_none_of_its_joins_parents,
    a_job_goes_on_when_its_owner_is_lost_for_ever,
    an_owner_that_returns_leads_its_job_again,
    a_job_outlives_two_takeovers_in_a_row,
    an_owner_in_the_minority_tells_nothing_and_follows_when_it_is_back,
    a_job_waits_for_its_owner_when_its_custodian_lost_its_disk,
    a_stranger_can_neither_end_nor_stop_nor_prolong_what_others_agreed_on,
    an_award_that_no_bid_stands_for_is_refused,
    a_flood_of_calls_takes_bounded_room_and_leaves_room_for_others,
    a_worker_whose_owner_knows_nothing_of_its_call_does_not_bid_for_ever,
}
