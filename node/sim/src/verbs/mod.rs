//! The verbs of `weft-sim` and what they share: a table entry, a command line's words, two kinds of problem.

pub(crate) mod cells;
pub(crate) mod compare;
pub(crate) mod experiment;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scenarios;
pub(crate) mod seeds;

use std::collections::BTreeMap;

use weft_sim::Summary;

/// One verb.
#[derive(Debug)]
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// The line behind `usage: weft-sim`.
    pub(crate) usage: &'static str,
    /// What it does, in one line, then its flags.
    pub(crate) help: &'static str,
    pub(crate) run: fn(&[String]) -> Result<(), Problem>,
}

/// Why a verb did not end well.
#[derive(Debug)]
pub(crate) enum Problem {
    /// What was looked for was found, or differs: exit code 1.
    Failed(String),
    /// The command line is wrong, or a file can't be read: exit code 2.
    Usage(String),
}

/// The words behind a verb.
#[derive(Debug)]
pub(crate) struct Words {
    plain: Vec<String>,
    flags: BTreeMap<&'static str, String>,
}

impl Words {
    /// Sorts words into flags with a value, flags without, and at most so many others.
    pub(crate) fn sort(
        verb: &str,
        words: &[String],
        (valued, bare): (&[&'static str], &[&'static str]),
        most: usize,
    ) -> Result<Self, Problem> {
        let (mut plain, mut flags) = (Vec::new(), BTreeMap::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, given) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            if let Some(flag) = valued.iter().find(|flag| **flag == name) {
                let value = given.or_else(|| words.next().cloned());
                let value = value.ok_or_else(|| Problem::Usage(format!("{flag} wants a value")))?;
                flags.insert(*flag, value);
            } else if let Some(flag) = bare.iter().find(|flag| **flag == name && given.is_none()) {
                flags.insert(*flag, String::new());
            } else if word.starts_with("--") {
                let known: Vec<&str> = valued.iter().chain(bare).copied().collect();
                let known = if known.is_empty() { "it has none".into() } else { known.join(", ") };
                return Err(Problem::Usage(format!("`{word}` is no flag of {verb}: {known}")));
            } else if plain.len() == most {
                return Err(Problem::Usage(format!("{verb}: `{word}` is one word too many")));
            } else {
                plain.push(word.clone());
            }
        }
        Ok(Self { plain, flags })
    }

    pub(crate) fn plain(&self, place: usize) -> Option<&str> {
        self.plain.get(place).map(String::as_str)
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// A flag's text, if it was given.
    pub(crate) fn text(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag).map(String::as_str)
    }

    /// A flag's whole number, if it was given.
    pub(crate) fn number(&self, flag: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.flags.get(flag) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Problem::Usage(format!("{flag}: `{text}` is no whole number"))),
        }
    }
}

/// The columns of [`row`].
pub(crate) const HEADER: &str =
    "    seed  hosts  faults   tasks   ended  forgotten  executions   events  idle ms         time  trace";

/// A summary as a line of a table.
pub(crate) fn row(summary: &Summary) -> String {
    let Summary {
        seed,
        hosts,
        faults,
        tasks,
        ended,
        forgotten,
        executions,
        events,
        time,
        trace,
        idle_us,
        ..
    } = summary;
    let (time, idle_ms) = (format!("{time:?}"), idle_us / 1000);
    format!(
        "{seed:>8} {hosts:>6} {faults:>7} {tasks:>7} {ended:>7} {forgotten:>10} {executions:>11} {events:>8} \
         {idle_ms:>8} {time:>12}  {trace:016x}"
    )
}
