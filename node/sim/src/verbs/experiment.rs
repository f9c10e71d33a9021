//! `weft-sim experiment`: measures policies beside each other, prints tables and draws plots.

use std::path::Path;

use weft_sim::experiments::{self, sparrow};

use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "experiment",
    usage: "experiment NAME [--quick] [--engines|--golden] [--out DIR]",
    help: "\
Measure policies beside each other under the same drawn load: tables to stdout, and with the plots into a folder.
Without a NAME the experiments are listed.

  --quick    seconds instead of minutes, in small
  --engines  sparrow: weft's own engines beside the models; an hour
  --golden   sparrow: the golden values alone, under the load that they were measured at
  --out DIR  where the tables and plots go [default: experiments]",
    run,
};

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("experiment", words, (&["--out"], &["--quick", "--engines", "--golden"]), 1)?;
    let Some(name) = words.plain(0) else {
        experiments::ALL.iter().for_each(|(name, what, _)| println!("{name:8} {what}"));
        return Ok(());
    };
    let quick = words.has("--quick");
    let (file, report) = match (name, words.has("--engines"), words.has("--golden")) {
        ("sparrow", true, false) => (name, Some(sparrow::with_engines(quick))),
        ("sparrow", false, true) => ("sparrow-golden", Some(sparrow::golden::experiment(quick))),
        (_, false, false) => (name, experiments::run(name, quick)),
        (_, _, _) => {
            let text = "--engines and --golden are for sparrow, one at a time";
            return Err(Problem::Usage(text.into()));
        }
    };
    let Some(report) = report else {
        let known: Vec<&str> = experiments::ALL.iter().map(|(known, _, _)| *known).collect();
        return Err(Problem::Usage(format!("`{name}` is no experiment; there are {}", known.join(", "))));
    };
    print!("{}", report.text);
    let folder = words.text("--out").unwrap_or("experiments");
    let files = report.write(file, Path::new(folder));
    let files = files.map_err(|error| Problem::Usage(format!("{folder} can't be written: {error}")))?;
    eprintln!("written to {folder}: {}", files.join(", "));
    Ok(())
}
