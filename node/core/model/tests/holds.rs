//! The rules hold, within these bounds. `CUSTODY_STATES` is how many states each test looks at, at most (150,000 unless given);
//! `0` is all there are. `CUSTODY_DEPTH` is how many steps it goes, at most.
//!
//! ```sh
//! cargo test --manifest-path node/core/model/Cargo.toml
//! CUSTODY_STATES=20000000 cargo test --manifest-path node/core/model/Cargo.toml -- --nocapture
//! ```

use std::time::Instant;

use stateright::{Checker, Model};
use weft_custody_model::{Bounds, Start};

#[expect(clippy::disallowed_methods, reason = "these are settings of the tests")]
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Looks at what can happen within bounds: breadth first, so that a counterexample is a short one.
fn check(name: &str, bounds: Bounds) {
    let (states, depth) = (number("CUSTODY_STATES", 150_000), number("CUSTODY_DEPTH", 0));
    let mut builder = bounds.checker().threads(2);
    if states > 0 {
        builder = builder.target_state_count(states);
    }
    if depth > 0 {
        builder = builder.target_max_depth(depth);
    }
    let began = Instant::now();
    let checker = builder.spawn_bfs().join();
    let (unique, depth) = (checker.unique_state_count(), checker.max_depth());
    let done =
        if checker.is_done() && (states == 0 || checker.state_count() < states) { "all" } else { "so far" };
    println!("{name}: {unique} states, {done}, to depth {depth}, in {:?}", began.elapsed());
    if let Some(path) = checker.discovery("what was told stays, and each leader has it") {
        let last = path.last_state().clone();
        let steps = path.into_actions();
        panic!("counterexample: {name}, {} steps\n{steps:#?}\n{last:#?}", steps.len());
    }
    let commits = checker.discovery("a leader that took over commits").is_some();
    assert!(commits || states < 100_000, "{name}: something happens");
}

#[test]
fn with_two_takeovers() {
    check("two takeovers", Bounds { takeovers: 2, values: 1, ..Bounds::NONE });
}

#[test]
fn with_three_takeovers_and_no_client() {
    check("three takeovers", Bounds { takeovers: 3, ..Bounds::NONE });
}

#[test]
fn with_a_takeover_and_two_values_that_are_synced_late() {
    check("late syncs", Bounds { takeovers: 1, values: 2, syncs: true, ..Bounds::NONE });
}

#[test]
fn with_a_crash() {
    check("a crash", Bounds { takeovers: 1, values: 1, crashes: 1, syncs: true, ..Bounds::NONE });
}

#[test]
fn with_a_crash_and_two_takeovers() {
    check("a crash and two takeovers", Bounds { takeovers: 2, values: 1, crashes: 1, ..Bounds::NONE });
}

#[test]
fn with_a_disk_that_is_replaced() {
    let start = Start::Fresh;
    check("a wiped disk", Bounds { start, takeovers: 1, values: 1, wipes: 1, ..Bounds::NONE });
}

#[test]
fn with_a_member_that_is_replaced() {
    check("a replaced member", Bounds { takeovers: 1, values: 1, replacements: 1, ..Bounds::NONE });
}

#[test]
fn with_a_member_that_is_replaced_while_another_takes_over() {
    check("a replaced member and two takeovers", Bounds { takeovers: 2, replacements: 1, ..Bounds::NONE });
}

#[test]
fn with_two_takeovers_and_two_values() {
    check("two takeovers and two values", Bounds { takeovers: 2, values: 2, ..Bounds::NONE });
}

#[test]
fn with_a_longer_log_of_an_older_epoch() {
    let start = Start::Contested;
    check("a longer log", Bounds { start, takeovers: 1, values: 1, beats: 1, ..Bounds::NONE });
}

#[test]
fn with_a_record_of_an_older_epoch_that_only_one_has() {
    let start = Start::Older;
    check("an older record", Bounds { start, takeovers: 1, crashes: 1, syncs: true, ..Bounds::NONE });
}
