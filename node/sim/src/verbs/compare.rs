//! `weft-sim compare`: the first event in which two runs differ, and a table of their figures side by side.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use weft_sim::{Coverage, Settings, replay, simulate_with};

use super::run::{find, play};
use super::{Problem, Verb, Words};

pub(crate) const VERB: Verb = Verb {
    name: "compare",
    usage: "compare A B [--all]",
    help: "\
Compare two runs: the first event in which they differ, and a table of figures.

A and B are each one of
  44                 the swarm of seed 44
  44,lease_ms=8000   the same with another setting; several settings are separated by commas:
                     lease_ms, renew_ms, grace_ms, bid_ms, call_ms, call_ttl_ms, resend_ms, keep_ms, capacity_ms,
                     capacity_min_ms, losses_max, delay_us, jitter_us, loss_permille, and calm (1: no faults)
  a scenario's name  as `weft-sim scenarios` lists them
  a file             the log of a node, as `weft node --record FILE` writes it

  --all              also print figures that are equal

The exit code is 0 when no event differs, and 1 when one does.",
    run,
};

/// One side of the comparison.
#[derive(Debug)]
enum Subject {
    Seed(u64, Settings),
    Scenario(&'static weft_sim::Scenario),
    Log(String, Vec<u8>),
}

fn run(words: &[String]) -> Result<(), Problem> {
    let words = Words::sort("compare", words, (&[], &["--all"]), 2)?;
    let (Some(a), Some(b)) = (words.plain(0), words.plain(1)) else {
        return Err(Problem::Usage("compare: expected two runs, each a seed, a scenario or a log".into()));
    };
    let (one, other) = (subject(a)?, subject(b)?);
    let (first, first_tally) = gather(&one, None)?;
    let (second, second_tally) = gather(&other, None)?;
    println!("A: {a}, {} events", first.hashes.len());
    println!("B: {b}, {} events", second.hashes.len());
    let differs = first.hashes.iter().zip(&second.hashes).position(|(one, other)| one != other);
    let longer = first.hashes.len().min(second.hashes.len());
    let differs = differs.or((first.hashes.len() != second.hashes.len()).then_some(longer));
    if let Some(place) = differs {
        println!("\nThe first event that differs is number {}:", place + 1);
        print_event("A", &gather(&one, Some(place))?.0.text);
        print_event("B", &gather(&other, Some(place))?.0.text);
    }
    print_table(&first_tally, &second_tally, words.has("--all"));
    match differs {
        None => {
            println!("\nNo event differs.");
            Ok(())
        }
        Some(place) => Err(Problem::Failed(format!("\nThey differ from event {} on.", place + 1))),
    }
}

fn subject(text: &str) -> Result<Subject, Problem> {
    let (name, settings) = text.split_once(',').unwrap_or((text, ""));
    if let Ok(seed) = name.parse() {
        return Ok(Subject::Seed(seed, Settings::parse(settings).map_err(Problem::Usage)?));
    }
    if std::path::Path::new(text).exists() {
        return Ok(Subject::Log(text.to_owned(), super::replay::read(text)?));
    }
    find(text).map(Subject::Scenario)
}

/// What a run printed: a hash of each event with its effects, and the text of the wanted event.
#[derive(Debug, Default)]
struct Gathered {
    hashes: Vec<u64>,
    wanted: Option<usize>,
    text: Vec<String>,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

/// Runs one side, and keeps the text of the event with the wanted index.
fn gather(subject: &Subject, wanted: Option<usize>) -> Result<(Gathered, Coverage), Problem> {
    GATHERED.replace(Gathered { wanted, ..Gathered::default() });
    let coverage = match subject {
        Subject::Seed(seed, settings) => {
            let ended = simulate_with(*seed, settings, Some(take));
            ended.map_err(|failure| Problem::Failed(failure.to_string()))?.coverage
        }
        Subject::Scenario(scenario) => play(scenario, Some(take))?.coverage(),
        Subject::Log(path, bytes) => {
            let tell = |number: u64, step: &weft_core::log::Step| {
                take(&format!("{number:>8} {:?} {:?}", step.at, step.input));
                step.effects.iter().for_each(|effect| take(&format!("         -> {effect:?}")));
            };
            let replayed = replay(bytes, None, tell);
            let replayed = replayed.map_err(|error| Problem::Failed(format!("{path}: {error}")))?;
            Coverage::of_log(&replayed)
        }
    };
    Ok((GATHERED.take(), coverage))
}

/// Takes a line of the run: an event, or one of the effects of the event before.
fn take(line: &str) {
    GATHERED.with_borrow_mut(|gathered| {
        let is_effect = line.trim_start().starts_with("->");
        let mut hasher = DefaultHasher::new();
        match gathered.hashes.pop() {
            Some(hash) if is_effect => hash.hash(&mut hasher),
            Some(hash) => gathered.hashes.push(hash),
            None => {}
        }
        line.hash(&mut hasher);
        gathered.hashes.push(hasher.finish());
        if gathered.wanted == Some(gathered.hashes.len() - 1) {
            gathered.text.push(line.to_owned());
        }
    });
}

fn print_event(name: &str, lines: &[String]) {
    if lines.is_empty() {
        println!("{name}: has ended");
    }
    lines.iter().for_each(|line| println!("{name}: {line}"));
}

fn print_table(one: &Coverage, other: &Coverage, all: bool) {
    println!("\n{:>14} {:>14}  figure", "A", "B");
    let times = [one, other].map(|coverage| format!("{:.1?}", coverage.mean_completion()));
    println!("{:>14} {:>14}  mean time from submission to end", times[0], times[1]);
    println!("{:>14} {:>14}  tasks ended", one.ended(), other.ended());
    let names: BTreeSet<&str> = one.iter().chain(other.iter()).map(|(name, _)| name).collect();
    for name in names {
        let (a, b) = (one.count(name), other.count(name));
        if all || a != b {
            println!("{a:>14} {b:>14}  {name}");
        }
    }
}
