//! `weft-sim replay`: replays the log of a node, real or simulated, on a fresh engine.

use weft_core::log::Step;
use weft_sim::{Replayed, replay};

use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "replay",
    usage: "replay LOG [--until N] [--verbose]",
    help: "\
Replay the log of a node on a fresh engine and compare the effects, byte for byte.

LOG was written by `weft node --record LOG`, or by `weft-sim run --seed N --record DIR`. At the first step whose effects
differ, both are printed. A log that was torn because its writer was killed is replayed up to its last complete record.

  --until N  stop after the Nth input and print the engine's state
  --verbose  print every input and its effects",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("replay", words, (&["--until"], &["--verbose"]), 1)?;
    let path =
        words.plain(0).ok_or_else(|| Problem::Usage("replay: no log given: expected a file".into()))?;
    let until = words.number("--until")?;
    let bytes = read(path)?;
    let verbose = words.has("--verbose");
    let tell = |number: u64, step: &Step| {
        if verbose {
            println!("{number:>8} {:?} {:?}", step.at, step.input);
            step.effects.iter().for_each(|effect| println!("         -> {effect:?}"));
        }
    };
    let replayed =
        replay(&bytes, until, tell).map_err(|error| Problem::Failed(format!("{path}: {error}")))?;
    let Replayed { header, steps, effects, last, kinds, end, engine } = replayed;
    println!(
        "node {} ({:?}), version {}, {} slots, boot {:x}",
        header.node.name, header.me, header.version, header.node.slots, header.node.boot
    );
    kinds.iter().for_each(|(kind, count)| println!("{count:>10}  {kind}"));
    println!("{steps} inputs until {last:?}, {effects} effects, all the same, {end}");
    if until.is_some() {
        println!("{:#?}", engine.snapshot());
        println!("wakes next: {:?}", engine.next_wakeup());
    }
    Ok(())
}

/// A log's bytes.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, Problem> {
    std::fs::read(path).map_err(|error| Problem::Usage(format!("{path} can't be read: {error}")))
}
