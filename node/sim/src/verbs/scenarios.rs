//! `weft-sim scenarios`: lists the names of all scenarios.

use weft_sim::SCENARIOS;

use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "scenarios",
    usage: "scenarios",
    help: "List the scenarios, one per line; each name states the expected outcome.",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    Words::sort("scenarios", words, (&[], &[]), 0)?;
    SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name));
    Ok(())
}
