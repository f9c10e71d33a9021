//! `weft-sim experiment`: measures policies beside each other, prints tables and draws plots.

use std::path::Path;

use weft_sim::experiments;

use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "experiment",
    usage: "experiment NAME [--quick] [--out DIR]",
    help: "\
Measure policies beside each other under the same drawn load: tables to stdout, and with the plots into a folder.
Without a NAME the experiments are listed.

  --quick    seconds instead of minutes, in small
  --out DIR  where the tables and plots go [default: experiments]",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("experiment", words, (&["--out"], &["--quick"]), 1)?;
    let Some(name) = words.plain(0) else {
        experiments::ALL.iter().for_each(|(name, what, _)| println!("{name:8} {what}"));
        return Ok(());
    };
    let Some(report) = experiments::run(name, words.has("--quick")) else {
        let known: Vec<&str> = experiments::ALL.iter().map(|(known, _, _)| *known).collect();
        return Err(Problem::Usage(format!("`{name}` is no experiment; there are {}", known.join(", "))));
    };
    print!("{}", report.text);
    let folder = words.text("--out").unwrap_or("experiments");
    let files = report.write(name, Path::new(folder));
    let files = files.map_err(|error| Problem::Usage(format!("{folder} can't be written: {error}")))?;
    eprintln!("written to {folder}: {}", files.join(", "));
    Ok(())
}
