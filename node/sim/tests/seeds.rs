//! Fixed seeds, each a swarm of its own. A seed that once failed stays here under the name of what it showed.
#![expect(clippy::panic, reason = "a test may panic")]

use weft_sim::simulate;

#[track_caller]
fn hold(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Err(failure) = simulate(seed, None) {
            panic!("{failure}");
        }
    }
}

// Four tests, so that they run beside each other.

#[test]
fn seeds_0_to_29_hold() {
    hold(0..30);
}

#[test]
fn seeds_30_to_59_hold() {
    hold(30..60);
}

#[test]
fn seeds_60_to_89_hold() {
    hold(60..90);
}

#[test]
fn seeds_90_to_119_hold() {
    hold(90..120);
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [6, 29, 44] {
        let (once, twice) = (simulate(seed, None), simulate(seed, None));
        assert_eq!(once, twice);
        assert!(once.is_ok_and(|summary| summary.events > 1000), "a story worth telling");
    }
}
