//! `weft-experiments`: measures weft's engines and published policies under the same drawn load, prints tables and
//! draws plots. The experiments are in the library; this is their command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::path::Path;
use std::process::ExitCode;

use weft_experiments::cells::Study;
use weft_experiments::sparrow;
use weft_sim::program::{Problem, Program, Verb, Words};

const PROGRAM: Program = Program {
    name: "weft-experiments",
    about: "scheduling policies measured under the same drawn load",
    verbs: &[RUN, CELLS],
};

const RUN: Verb = Verb {
    name: "run",
    usage: "run [NAME] [--quick] [--engines|--golden] [--out DIR]",
    help: "\
Measure policies under the same drawn load: tables are printed, and written to a folder with the plots.
Without a NAME the experiments are listed.

  --quick    a smaller version: seconds instead of minutes
  --engines  sparrow: weft's own engines next to the models; takes an hour
  --golden   sparrow: only the golden values, under the load at which they were measured
  --out DIR  the folder of tables and plots [default: experiments]",
    run,
};

const CELLS: Verb = Verb {
    name: "cells",
    usage: "cells [--nodes N] [--load PERCENT] [--jobs N] [--tasks N] [FLAGS]",
    help: "\
Measure a large mesh of real engines against one omniscient queue: delays, and messages of a node.

  --nodes N         number of nodes [default: 10000]
  --load PERCENT    load of all slots [default: 95]
  --jobs N          number of jobs [default: 4000]
  --tasks N         number of tasks of each job
  --constant        all tasks run equally long
  --seed N          seed of arrivals and running times [default: 1]
  --owners N        number of nodes that submit jobs
  --cell-nodes N    mean number of nodes of a cell
  --flocks N        number of matchmakers that are asked to pass on bids
  --crash CELLS     number of cells whose matchmakers die under load
  --silent CELLS    number of cells whose matchmakers match no worker
  --forge CELLS     number of cells whose matchmakers match bids that do not exist
  --loss PERMILLE   lost messages per thousand
  --halves MS       cut the mesh in two halves for this time",
    run: cells,
};

fn main() -> ExitCode {
    PROGRAM.main()
}

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("run", words, (&["--out"], &["--quick", "--engines", "--golden"]), 1)?;
    let Some(name) = words.plain(0) else {
        weft_experiments::ALL.iter().for_each(|(name, what, _)| println!("{name:8} {what}"));
        return Ok(());
    };
    let quick = words.has("--quick");
    let (file, report) = match (name, words.has("--engines"), words.has("--golden")) {
        ("sparrow", true, false) => (name, Some(sparrow::with_engines(quick))),
        ("sparrow", false, true) => ("sparrow-golden", Some(sparrow::golden::experiment(quick))),
        (_, false, false) => (name, weft_experiments::run(name, quick)),
        (_, _, _) => {
            let text = "--engines and --golden need the experiment sparrow, one at a time";
            return Err(Problem::Usage(text.into()));
        }
    };
    let Some(report) = report else {
        let known: Vec<&str> = weft_experiments::ALL.iter().map(|(known, _, _)| *known).collect();
        return Err(Problem::Usage(format!(
            "unknown experiment `{name}`: expected one of {}",
            known.join(", ")
        )));
    };
    print!("{}", report.text);
    let folder = words.text("--out").unwrap_or("experiments");
    let files = report.write(file, Path::new(folder));
    let files = files.map_err(|error| Problem::Usage(format!("{folder} can't be written: {error}")))?;
    eprintln!("written to {folder}: {}", files.join(", "));
    Ok(())
}

fn cells(words: &[String]) -> Result<(), Problem> {
    let Some(study) = Study::from_flags(words) else {
        return Err(Problem::Usage(format!(
            "cells: invalid flags `{}`; --help lists the valid ones",
            words.join(" ")
        )));
    };
    println!("{}", study.run());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong_with_it() {
        let table = [
            ("run nothing", "unknown experiment `nothing`: expected one of sparrow"),
            ("run slow --golden", "need the experiment sparrow"),
            ("run sparrow --golden --engines", "one at a time"),
            ("cells --nodes", "invalid flags"),
        ];
        for (line, expected) in table {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            match PROGRAM.dispatch(&words) {
                Err(Problem::Usage(text)) => assert!(text.contains(expected), "`{line}`: {text}"),
                other => panic!("`{line}` gave {other:?}"),
            }
        }
        assert_eq!(PROGRAM.unexplained(), Vec::<String>::new());
    }
}
