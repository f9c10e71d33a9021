//! Changes that must not matter or must not hurt: other peer ids, one more node, shorter delays. Each test compares mean
//! completion times over many worlds of one workload, with the same seeds.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says what it measured")]

use std::time::Duration;

use weft_sim::{Builder, HostId, JobSpec, Weather, World};

const WORLDS: u64 = 24;
/// Largest difference of two means that counts as noise, in percent.
const NOISE_PERCENT: u128 = 5;

const SLOW: Weather = Weather { delay_us: 1000, jitter_us: 100, ..Weather::LAN };

/// Four hosts of two slots, of which two have jobs of short and long tasks.
fn mean_completion(change: impl Fn(Builder, u64) -> Builder) -> Duration {
    let total: Duration = (0..WORLDS).map(|seed| one_world(seed, &change)).sum();
    total / u32::try_from(WORLDS).unwrap()
}

fn one_world(seed: u64, change: impl Fn(Builder, u64) -> Builder) -> Duration {
    let builder = World::builder(seed).hosts(4, 2).weather(SLOW);
    let mut world = change(builder, seed).build();
    world.connect();
    let mut jobs = Vec::new();
    for (owner, tasks, least, most) in
        [(0, 200, 1_000, 5_000), (1, 40, 20_000, 90_000), (0, 60, 5_000, 30_000)]
    {
        let spec = JobSpec { service_us: (least, most), ..JobSpec::new(tasks, 0) };
        jobs.push(world.submit(HostId(owner), &spec));
        world.run_for(Duration::from_millis(60));
    }
    world.run_until("all jobs end", Duration::from_secs(20), |world| {
        jobs.iter().all(|job| world.reference().settled(*job))
    });
    assert_eq!(world.coverage().ended(), 300);
    world.coverage().mean_completion()
}

#[track_caller]
fn no_worse(what: &str, changed: Duration, usual: Duration) {
    eprintln!("{what}: {changed:?} instead of {usual:?}");
    assert!(changed.as_micros() * 100 <= usual.as_micros() * (100 + NOISE_PERCENT), "{what} made it worse");
}

#[test]
fn other_names_of_the_nodes_do_not_matter() {
    let usual = mean_completion(|builder, _| builder);
    let renamed = mean_completion(|builder, seed| builder.ids(1000 + seed));
    no_worse("other names", renamed, usual);
    no_worse("the usual names", usual, renamed);
}

#[test]
fn one_more_idle_node_does_not_hurt() {
    let usual = mean_completion(|builder, _| builder);
    no_worse("a node without slots", mean_completion(|builder, _| builder.hosts(1, 0)), usual);
    let helped = mean_completion(|builder, _| builder.hosts(1, 2));
    no_worse("two more slots", helped, usual * 95 / 100);
}

#[test]
fn shorter_ways_do_not_hurt() {
    let usual = mean_completion(|builder, _| builder);
    let half = Weather { delay_us: SLOW.delay_us / 2, jitter_us: SLOW.jitter_us / 2, ..SLOW };
    no_worse("half the delay", mean_completion(|builder, _| builder.weather(half)), usual);
}
