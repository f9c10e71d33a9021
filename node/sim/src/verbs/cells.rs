//! `weft-sim cells`: a large mesh under Sparrow's workload, beside one omniscient queue.

use weft_sim::cells::Study;

use super::{Problem, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "cells",
    usage: "cells [--nodes N] [--load PERCENT] [--jobs N] [--tasks N] [FLAGS]",
    help: "\
Measure a large mesh of real engines beside one omniscient queue: delays, and what a node hears.

  --nodes N         how many [default: 10000]
  --load PERCENT    of all slots [default: 95]
  --jobs N          how many [default: 4000]
  --tasks N         of each job
  --constant        tasks that all take as long
  --seed N          of arrivals and services [default: 1]
  --owners N        only so many nodes have jobs
  --cell-nodes N    about how many nodes have one exchange
  --scouts N        how many exchanges are asked to lend
  --crash CELLS     their exchanges die under load
  --silent CELLS    their exchanges say nothing
  --forge CELLS     their exchanges introduce whom nobody stood for
  --loss PERMILLE   frames that are lost
  --halves MS       for so long the mesh is cut in two halves",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let Some(study) = Study::from_flags(words) else {
        return Err(Problem::Usage(format!(
            "cells: `{}` can't be read; --help lists the flags",
            words.join(" ")
        )));
    };
    println!("{}", study.run());
    Ok(())
}
