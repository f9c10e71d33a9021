//! `weft-sim seeds`: searches for swarms that break an invariant.

use weft_sim::{Coverage, simulate};

use super::run::print_figures;
use super::{HEADER, Problem, Verb, Words, row};

pub(crate) const VERB: Verb = Verb {
    name: "seeds",
    usage: "seeds [--from A] --count N [--first] [--quiet] [--figures]",
    help: "\
Run the swarms of many seeds, one after another; for a seed that fails, the command that replays it is printed.

  --from A   the first seed [default: 0]
  --count N  number of seeds
  --first    stop at the first seed that fails
  --quiet    print only seeds that fail
  --figures  print counts of what happened in all of them, by name",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let words =
        Words::sort("seeds", words, (&["--from", "--count"], &["--first", "--quiet", "--figures"]), 0)?;
    let from = words.number("--from")?.unwrap_or(0);
    let count = words.number("--count")?;
    let count = count.ok_or_else(|| Problem::Usage("seeds: --count N is missing".into()))?;
    let quiet = words.has("--quiet");
    if !quiet {
        println!("{HEADER}");
    }
    let (mut failed, mut tried, mut coverage) = (0u64, 0u64, Coverage::default());
    for seed in from..from.saturating_add(count) {
        tried += 1;
        match simulate(seed, None) {
            Ok(summary) => {
                coverage.merge(&summary.coverage);
                if !quiet {
                    println!("{}", row(&summary));
                }
            }
            Err(failure) => {
                failed += 1;
                println!("{seed:>8}  FAILED {failure}");
                if words.has("--first") {
                    break;
                }
            }
        }
    }
    if words.has("--figures") {
        print_figures(&coverage);
    }
    let ended = format!("{failed} of {tried} seeds failed");
    if failed > 0 {
        return Err(Problem::Failed(ended));
    }
    println!("{ended}");
    Ok(())
}
