//! Long walks by chance through what can happen: deeper than all orders of events can be looked at, with more crashes,
//! takeovers and replacements. `CUSTODY_WALKS` is how many (3000 unless given), `CUSTODY_FROM` the number of the first.

use std::collections::BTreeSet;

use stateright::Model;
use weft_custody_model::{Bounds, Start, Step, World};

#[expect(clippy::disallowed_methods, reason = "these are settings of the tests")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Numbers by chance (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).expect("below a usize")
    }
}

/// One walk; the steps, and where it ended.
fn walk(seed: u64, steps: usize) -> (Vec<Step>, World) {
    let mut chance = Chance(seed);
    let bounds = Bounds {
        start: Start::Fresh,
        takeovers: 8,
        values: 20,
        crashes: 4,
        wipes: u8::from(chance.below(2) == 0),
        replacements: 3,
        beats: 20,
        syncs: chance.below(4) > 0,
    };
    let mut world = bounds.init_states().remove(0);
    let (mut walked, mut old) = (Vec::new(), BTreeSet::new());
    for _ in 0..steps {
        let mut all = Vec::new();
        bounds.actions(&world, &mut all);
        let wanted = chance.below(20);
        let fits = |step: &Step| match step {
            Step::Deliver(sent) if old.contains(sent) => wanted == 0,
            Step::Deliver(_) | Step::Sync(_) => (1..16).contains(&wanted),
            Step::Write(_) | Step::Beat(_) => (16..19).contains(&wanted),
            Step::TakeOver(_) | Step::Crash(_) | Step::Wipe(_) | Step::Replace(..) => wanted == 19,
        };
        let fitting: Vec<Step> = all.into_iter().filter(fits).collect();
        if fitting.is_empty() {
            continue;
        }
        let place = chance.below(fitting.len());
        let step = fitting.into_iter().nth(place).expect("a place in it");
        if let Step::Deliver(sent) = &step {
            old.insert(sent.clone());
        }
        let Some(next) = bounds.next_state(&world, step.clone()) else { continue };
        world = next;
        walked.push(step);
        if world.broken().is_some() {
            break;
        }
    }
    (walked, world)
}

#[test]
fn long_walks_break_no_rule() {
    let (from, count) = (number("CUSTODY_FROM", 0), number("CUSTODY_WALKS", 3000));
    let mut committed = 0;
    for seed in from..from + count {
        let (walked, world) = walk(seed, 400);
        if let Some(why) = world.broken() {
            panic!("counterexample: walk {seed}, {} steps\n{why}\n{walked:#?}\n{world:#?}", walked.len());
        }
        committed += world.committed_len();
    }
    let each = committed / usize::try_from(count).expect("few walks");
    println!("{count} walks, {each} records committed in each");
    assert!(each >= 4, "they do something");
}
