//! `weft-sim`: runs a swarm or a scenario, searches for seeds that fail, replays logs, compares two runs.
//! The verbs are in `verbs/`, one file each; this file has their table.
#![expect(clippy::print_stdout, reason = "a program for people")]

mod verbs;

use std::process::ExitCode;

use weft_sim::program::Program;

const PROGRAM: Program = Program {
    name: "weft-sim",
    about: "the weft engine under virtual time, with faults",
    verbs: &[
        verbs::scenarios::VERB,
        verbs::run::VERB,
        verbs::seeds::VERB,
        verbs::replay::VERB,
        verbs::compare::VERB,
    ],
};

fn main() -> ExitCode {
    PROGRAM.main()
}

#[cfg(test)]
mod tests {
    use super::*;
    use verbs::Problem;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn usage_error(line: &str) -> String {
        match PROGRAM.dispatch(&words(line)) {
            Err(Problem::Usage(text)) => text,
            other => panic!("`{line}` gave {other:?}"),
        }
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong_with_it() {
        let table = [
            ("", "no verb given"),
            ("walk", "unknown verb `walk`: expected one of scenarios, run"),
            ("run", "a scenario's name or --seed N"),
            ("run --seed x", "--seed: invalid value `x`: expected a whole number"),
            ("run --seed", "--seed needs a value"),
            ("run --sed 3", "unknown flag `--sed` of run"),
            ("run no_such_story", "unknown scenario `no_such_story`"),
            ("run one two", "unexpected argument `two`"),
            ("seeds", "--count N is missing"),
            ("replay", "no log given"),
            ("replay /no/such/file", "/no/such/file"),
            ("compare 1", "expected two runs"),
            ("compare 1 2,speed=3", "unknown setting `speed`"),
            ("compare 1 2,lease_ms=soon", "lease_ms: invalid value `soon`"),
        ];
        for (line, expected) in table {
            let said = usage_error(line);
            assert!(said.contains(expected), "`{line}`: {said}");
        }
    }

    #[test]
    fn every_verb_has_a_help_that_names_its_flags() {
        assert_eq!(PROGRAM.unexplained(), Vec::<String>::new());
    }
}
