//! Fixed seeds, each a swarm of its own. A seed that once failed stays here under the name of the fault that it showed.
#![expect(clippy::panic, reason = "a test may panic")]

use std::process::Command;
use std::thread;

use weft_sim::{Coverage, SOMETIMES, simulate};

/// Runs seeds 0 to `count` - 1, spread over at most eight threads, and counts what happened.
#[track_caller]
fn hold(count: u64) -> Coverage {
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).min(8) as u64;
    thread::scope(|scope| {
        let share = |first: u64| {
            move || {
                let mut coverage = Coverage::default();
                for seed in (first..count).step_by(usize::try_from(threads).expect("a handful")) {
                    match simulate(seed, None) {
                        Ok(summary) => coverage.merge(&summary.coverage),
                        Err(failure) => panic!("{failure}"),
                    }
                }
                coverage
            }
        };
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(share(first))).collect();
        let mut all = Coverage::default();
        for share in shares {
            match share.join() {
                Ok(coverage) => all.merge(&coverage),
                Err(_said) => panic!("a seed failed, see the panic above"),
            }
        }
        all
    })
}

#[test]
fn seeds_0_to_119_hold_and_come_to_every_rare_branch() {
    let coverage = hold(120);
    let never: Vec<&str> = SOMETIMES.into_iter().filter(|name| coverage.count(name) == 0).collect();
    assert!(never.is_empty(), "120 seeds never reached {never:?}");
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    for seed in [6, 29, 44] {
        let (once, twice) = (simulate(seed, None), simulate(seed, None));
        assert_eq!(once, twice);
        assert!(once.is_ok_and(|summary| summary.events > 1000), "the seed runs a long swarm");
    }
}

#[test]
fn a_seed_tells_the_same_story_in_another_process() {
    for seed in [6, 29, 44] {
        let summary = simulate(seed, None).unwrap();
        let run =
            Command::new(env!("CARGO_BIN_EXE_weft-sim")).args(["run", "--seed", &seed.to_string()]).output();
        let said = String::from_utf8(run.unwrap().stdout).unwrap();
        assert!(said.contains(&format!("{:016x}", summary.trace)), "{said}");
    }
}

/// The sources name nothing that could make a trace differ between machines or runs.
#[test]
fn nothing_here_depends_on_the_machine() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for word in ["HashMap", "HashSet", "Instant::", "SystemTime", "RandomState", "to_ne_bytes"] {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
        }
    }
    assert!(files > 20, "the sources were looked at");
}
