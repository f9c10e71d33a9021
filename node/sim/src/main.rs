//! `weft-sim`: runs swarms by their seeds, and tells the story of one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::process::ExitCode;

use weft_sim::cells::Study;
use weft_sim::{Summary, simulate};

const USAGE: &str = "usage: weft-sim run --seed N [--verbose]
       weft-sim seeds --from A --count N
       weft-sim cells --help";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Verb {
    Run { seed: u64, verbose: bool },
    Seeds { from: u64, count: u64 },
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("cells", flags)) = args.split_first().map(|(verb, flags)| (verb.as_str(), flags)) {
        return cells(flags);
    }
    match parse(&args) {
        Some(Verb::Run { seed, verbose }) => run(seed, verbose),
        Some(Verb::Seeds { from, count }) => seeds(from, count),
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// A large mesh under Sparrow's workload, beside one omniscient queue.
fn cells(flags: &[String]) -> ExitCode {
    let Some(study) = Study::from_flags(flags) else {
        eprintln!("usage: {}", weft_sim::cells::USAGE);
        return ExitCode::from(2);
    };
    println!("{}", study.run());
    ExitCode::SUCCESS
}

fn parse(args: &[String]) -> Option<Verb> {
    let (verb, flags) = args.split_first()?;
    let (mut seed, mut from, mut count, mut verbose) = (None, None, None, false);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        match flag.as_str() {
            "--verbose" => verbose = true,
            "--seed" => seed = Some(flags.next()?.parse().ok()?),
            "--from" => from = Some(flags.next()?.parse().ok()?),
            "--count" => count = Some(flags.next()?.parse().ok()?),
            _ => return None,
        }
    }
    match verb.as_str() {
        "run" => Some(Verb::Run { seed: seed?, verbose }),
        "seeds" => Some(Verb::Seeds { from: from.unwrap_or(0), count: count? }),
        _ => None,
    }
}

fn run(seed: u64, verbose: bool) -> ExitCode {
    let watch: Option<fn(&str)> = if verbose { Some(|line| println!("{line}")) } else { None };
    match simulate(seed, watch) {
        Ok(summary) => {
            println!("{HEADER}");
            println!("{}", row(&summary));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(from: u64, count: u64) -> ExitCode {
    println!("{HEADER}");
    let mut failed = 0u64;
    for seed in from..from.saturating_add(count) {
        match simulate(seed, None) {
            Ok(summary) => println!("{}", row(&summary)),
            Err(failure) => {
                failed += 1;
                println!("{seed:>8}  FAILED {failure}");
            }
        }
    }
    println!("{failed} of {count} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const HEADER: &str =
    "    seed  hosts  faults   tasks   ended  forgotten  executions   events         time  trace";

fn row(summary: &Summary) -> String {
    let Summary { seed, hosts, faults, tasks, ended, forgotten, executions, events, time, trace } = summary;
    let time = format!("{time:?}");
    format!(
        "{seed:>8} {hosts:>6} {faults:>7} {tasks:>7} {ended:>7} {forgotten:>10} {executions:>11} {events:>8} \
         {time:>12}  {trace:016x}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(String::from).collect()
    }

    #[test]
    fn flags_become_verbs() {
        assert_eq!(parse(&words("run --seed 7 --verbose")), Some(Verb::Run { seed: 7, verbose: true }));
        assert_eq!(parse(&words("seeds --from 3 --count 9")), Some(Verb::Seeds { from: 3, count: 9 }));
        assert_eq!(parse(&words("run --seed x")), None);
        assert_eq!(parse(&words("run")), None);
    }
}
