//! Command lines of `weft-sim` and `weft-experiments`: a table of verbs, parsing of arguments, exit codes.
//! The verbs themselves are in each program's own table.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "programs for people")]

use std::collections::BTreeMap;
use std::process::ExitCode;

/// A program with verbs.
#[derive(Debug)]
pub struct Program {
    /// The name of the executable.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// All verbs, in the order of the help.
    pub verbs: &'static [Verb],
}

const CODES: &str = "\
Exit codes:
  0  success
  1  a check failed, or two runs differ
  2  the command line is wrong, or a file can't be read or written";

impl Program {
    /// Runs the verb that the process's arguments name.
    #[must_use]
    pub fn main(&self) -> ExitCode {
        let words: Vec<String> = std::env::args().skip(1).collect();
        match self.dispatch(&words) {
            Ok(()) => ExitCode::SUCCESS,
            Err(Problem::Failed(text)) => {
                eprintln!("{text}");
                ExitCode::FAILURE
            }
            Err(Problem::Usage(text)) => {
                eprintln!("{}: {text}", self.name);
                ExitCode::from(2)
            }
        }
    }

    /// Runs the verb that the first word names.
    ///
    /// # Errors
    /// The verb's own error, or what is wrong with the arguments.
    pub fn dispatch(&self, words: &[String]) -> Result<(), Problem> {
        let known = || self.verbs.iter().map(|verb| verb.name).collect::<Vec<_>>().join(", ");
        let Some((name, rest)) = words.split_first() else {
            return Err(Problem::Usage(format!("no verb given: expected one of {}; see --help", known())));
        };
        match name.as_str() {
            "--help" | "-h" | "help" => {
                println!("{}", self.help());
                return Ok(());
            }
            "--version" => {
                println!("{} {}", self.name, env!("CARGO_PKG_VERSION"));
                return Ok(());
            }
            _ => {}
        }
        let Some(verb) = self.verbs.iter().find(|verb| verb.name == name) else {
            return Err(Problem::Usage(format!("unknown verb `{name}`: expected one of {}", known())));
        };
        if rest.iter().any(|word| word == "--help" || word == "-h") {
            println!("usage: {} {}\n\n{}", self.name, verb.usage, verb.help);
            return Ok(());
        }
        (verb.run)(rest)
    }

    /// The text of `--help`.
    #[must_use]
    pub fn help(&self) -> String {
        let lines = self.verbs.iter().map(|verb| {
            let first = verb.help.lines().next().unwrap_or_default();
            format!("  {:<10} {first}", verb.name)
        });
        let verbs = lines.collect::<Vec<_>>().join("\n");
        format!(
            "{name}: {about}\n\nusage: {name} VERB [ARGUMENTS]\n\nVerbs:\n{verbs}\n\n{CODES}\n\n`{name} VERB --help` \
             explains a verb.",
            name = self.name,
            about = self.about
        )
    }

    /// Flags that a verb's usage names and its help does not explain. For tests.
    #[must_use]
    pub fn unexplained(&self) -> Vec<String> {
        let mut found = Vec::new();
        for verb in self.verbs {
            let flags = verb.usage.split(|c: char| c.is_whitespace() || "[]|".contains(c));
            let missing = flags.filter(|word| word.starts_with("--") && !verb.help.contains(word));
            found.extend(missing.map(|flag| format!("{flag} of {}", verb.name)));
        }
        found
    }
}

/// One verb.
#[derive(Debug)]
pub struct Verb {
    /// The first argument, which selects this verb.
    pub name: &'static str,
    /// What follows the program's name in the usage line.
    pub usage: &'static str,
    /// One line about the verb, then its flags.
    pub help: &'static str,
    /// Runs the verb on the arguments after its name.
    pub run: fn(&[String]) -> Result<(), Problem>,
}

/// Why a verb failed.
#[derive(Debug)]
pub enum Problem {
    /// A check failed or two runs differ: exit code 1.
    Failed(String),
    /// The command line is wrong, or a file can't be read: exit code 2.
    Usage(String),
}

/// The arguments after a verb.
#[derive(Debug)]
pub struct Words {
    plain: Vec<String>,
    flags: BTreeMap<&'static str, String>,
}

impl Words {
    /// Parses flags with a value, flags without one, and at most `most` positional arguments.
    ///
    /// # Errors
    /// When a flag is unknown or lacks its value, or there are too many positional arguments.
    pub fn sort(
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
                let value = value.ok_or_else(|| Problem::Usage(format!("{flag} needs a value")))?;
                flags.insert(*flag, value);
            } else if let Some(flag) = bare.iter().find(|flag| **flag == name && given.is_none()) {
                flags.insert(*flag, String::new());
            } else if word.starts_with("--") {
                let known: Vec<&str> = valued.iter().chain(bare).copied().collect();
                let known =
                    if known.is_empty() { "none".into() } else { format!("one of {}", known.join(", ")) };
                return Err(Problem::Usage(format!("unknown flag `{word}` of {verb}: expected {known}")));
            } else if plain.len() == most {
                return Err(Problem::Usage(format!("{verb}: unexpected argument `{word}`")));
            } else {
                plain.push(word.clone());
            }
        }
        Ok(Self { plain, flags })
    }

    /// The positional argument with this index, from 0.
    #[must_use]
    pub fn plain(&self, place: usize) -> Option<&str> {
        self.plain.get(place).map(String::as_str)
    }

    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// A flag's text, if it was given.
    #[must_use]
    pub fn text(&self, flag: &str) -> Option<&str> {
        self.flags.get(flag).map(String::as_str)
    }

    /// A flag's whole number, if it was given.
    ///
    /// # Errors
    /// When its value is not a whole number.
    pub fn number(&self, flag: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.flags.get(flag) else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Problem::Usage(format!("{flag}: invalid value `{text}`: expected a whole number"))),
        }
    }
}
