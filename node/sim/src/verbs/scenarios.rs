//! `weft-sim scenarios`: the names of all histories.

use weft_sim::SCENARIOS;

use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "scenarios",
    usage: "scenarios",
    help: "List the named scenarios, one a line; a name says what must come of it.",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    Words::sort("scenarios", words, (&[], &[]), 0)?;
    SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name));
    Ok(())
}
