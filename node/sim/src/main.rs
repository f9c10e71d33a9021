//! `weft-sim`: tells the story of a swarm or a scenario, looks for seeds that fail, replays logs, compares two runs.
//! The verbs are in `verbs/`, one file each; this is their table.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod verbs;

use std::process::ExitCode;

use verbs::{Problem, Verb};

const ABOUT: &str = "\
weft-sim: the weft engine under virtual time, in a cruel world

usage: weft-sim VERB [ARGUMENTS]";

const CODES: &str = "\
Exit codes:
  0  all is well: nothing failed, nothing differs
  1  a seed or scenario failed, a log does not replay, two runs differ
  2  the command line is wrong, or a file can't be read

`weft-sim VERB --help` says more of one.";

/// All verbs, in the order of their help.
const VERBS: &[Verb] = &[
    verbs::scenarios::VERB,
    verbs::run::VERB,
    verbs::seeds::VERB,
    verbs::replay::VERB,
    verbs::compare::VERB,
    verbs::cells::VERB,
    verbs::experiment::VERB,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Failed(text)) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
        Err(Problem::Usage(text)) => {
            eprintln!("weft-sim: {text}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(words: &[String]) -> Result<(), Problem> {
    let known = || VERBS.iter().map(|verb| verb.name).collect::<Vec<_>>().join(", ");
    let Some((name, rest)) = words.split_first() else {
        return Err(Problem::Usage(format!("which verb? {}; --help says more", known())));
    };
    match name.as_str() {
        "--help" | "-h" | "help" => {
            println!("{}", help());
            return Ok(());
        }
        "--version" => {
            println!("weft-sim {}", env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
        _ => {}
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        return Err(Problem::Usage(format!("`{name}` is no verb; there are {}", known())));
    };
    if rest.iter().any(|word| word == "--help" || word == "-h") {
        println!("usage: weft-sim {}\n\n{}", verb.usage, verb.help);
        return Ok(());
    }
    (verb.run)(rest)
}

fn help() -> String {
    let lines = VERBS.iter().map(|verb| {
        let first = verb.help.lines().next().unwrap_or_default();
        format!("  {:<10} {first}", verb.name)
    });
    format!("{ABOUT}\n\nVerbs:\n{}\n\n{CODES}", lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn usage_error(line: &str) -> String {
        match dispatch(&words(line)) {
            Err(Problem::Usage(text)) => text,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong_with_it() {
        let table = [
            ("", "which verb?"),
            ("walk", "`walk` is no verb; there are scenarios, run"),
            ("run", "a scenario's name or --seed N"),
            ("run --seed x", "--seed: `x` is no whole number"),
            ("run --seed", "--seed wants a value"),
            ("run --sed 3", "`--sed` is no flag of run"),
            ("run no_such_story", "`no_such_story` is no scenario"),
            ("run one two", "`two` is one word too many"),
            ("seeds", "--count N is missing"),
            ("replay", "which log?"),
            ("replay /no/such/file", "/no/such/file"),
            ("experiment nothing", "`nothing` is no experiment; there are sparrow"),
            ("experiment slow --golden", "are for sparrow"),
            ("experiment sparrow --golden --engines", "one at a time"),
            ("compare 1", "two runs"),
            ("compare 1 2,speed=3", "`speed` is no setting"),
            ("compare 1 2,lease_ms=soon", "lease_ms: `soon`"),
        ];
        for (line, expected) in table {
            let said = usage_error(line);
            assert!(said.contains(expected), "`{line}`: {said}");
        }
    }

    #[test]
    fn every_verb_has_a_help_that_names_its_flags() {
        for verb in VERBS {
            assert!(help().contains(verb.name));
            let flags = verb.usage.split(|c: char| c.is_whitespace() || "[]|".contains(c));
            for flag in flags.filter(|word| word.starts_with("--")) {
                assert!(verb.help.contains(flag), "{flag} of {} is not explained", verb.name);
            }
        }
    }
}
