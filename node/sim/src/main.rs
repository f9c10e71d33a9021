//! `weft-sim`: plays a swarm or a scenario, looks for seeds that fail, replays logs, compares two runs.
//! The verbs are in `verbs/`, one file each; this is their table.
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
        assert_eq!(PROGRAM.unexplained(), Vec::<String>::new());
    }
}
