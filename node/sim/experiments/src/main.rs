//! `weft-experiments`: measures weft's engines and published policies under the same drawn load, prints tables and draws
//! plots. The experiments are in the library; this is their command line.
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
Measure policies under the same drawn load: tables to stdout, and with the plots into a folder.
Without a NAME the experiments are listed.

  --quick    seconds instead of minutes, in small
  --engines  sparrow: weft's own engines and the models; an hour
  --golden   sparrow: the golden values alone, under the load that they were measured at
  --out DIR  where the tables and plots go [default: experiments]",
    run,
};

const CELLS: Verb = Verb {
    name: "cells",
    usage: "cells [--nodes N] [--load PERCENT] [--jobs N] [--tasks N] [FLAGS]",
    help: "\
Measure a large mesh of real engines against one omniscient queue: delays, and what a node hears.

  --nodes N         how many [default: 10000]
  --load PERCENT    of all slots [default: 95]
  --jobs N          how many [default: 4000]
  --tasks N         of each job
  --constant        tasks that all take as long
  --seed N          of arrivals and services [default: 1]
  --owners N        only this number of nodes has jobs
  --cell-nodes N    about how many nodes have one exchange
  --scouts N        how many exchanges are asked to lend
  --crash CELLS     their exchanges die under load
  --silent CELLS    their exchanges do not answer
  --forge CELLS     their exchanges introduce workers that made no bid
  --loss PERMILLE   frames that are lost
  --halves MS       the mesh is cut in two halves for this time",
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
            let text = "--engines and --golden are for sparrow, one at a time";
            return Err(Problem::Usage(text.into()));
        }
    };
    let Some(report) = report else {
        let known: Vec<&str> = weft_experiments::ALL.iter().map(|(known, _, _)| *known).collect();
        return Err(Problem::Usage(format!("`{name}` is no experiment; there are {}", known.join(", "))));
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
            "cells: `{}` can't be read; --help lists the flags",
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
            ("run nothing", "`nothing` is no experiment; there are sparrow"),
            ("run slow --golden", "are for sparrow"),
            ("run sparrow --golden --engines", "one at a time"),
            ("cells --nodes", "can't be read"),
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
