//! A command line that is wrong, in weft's words: which flag, what was given, what was expected; and which verb may have
//! been meant.

use std::error::Error as _;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _};
use weft_node::settings::{variable_not_unicode, variable_of};

use super::Cli;

/// Verbs that people know from other tools, with ours.
const MEANT: [(&str, &str); 19] = [
    ("exec", "run"),
    ("sbatch", "submit"),
    ("logs", "results"),
    ("ls", "jobs"),
    ("list", "jobs"),
    ("ps", "jobs"),
    ("queue", "jobs"),
    ("info", "status"),
    ("nodes", "peers"),
    ("workers", "peers"),
    ("kill", "cancel"),
    ("rm", "cancel"),
    ("start", "node"),
    ("up", "node"),
    ("daemon", "node"),
    ("serve", "node"),
    ("shutdown", "stop"),
    ("down", "stop"),
    ("token", "init --show"),
];

/// What to say about it in one line; `None` where the parser's own words are as good. `words` is the command line.
pub(crate) fn refusal(error: &clap::Error, words: &[String]) -> Option<String> {
    if error.kind() == ErrorKind::ValueValidation {
        value(error, words)
    } else if error.kind() == ErrorKind::InvalidSubcommand {
        verb(error)
    } else if error.kind() == ErrorKind::InvalidUtf8 {
        variable(words)
    } else if error.kind() == ErrorKind::UnknownArgument {
        negative(words)
    } else {
        None
    }
}

fn value(error: &clap::Error, words: &[String]) -> Option<String> {
    let Value { flag, given, expected } = Value::of(error)?;
    let is_here =
        |word: &String| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    // A flag that is not on the command line has its value from its variable.
    let variable = (flag.starts_with("--") && !words.iter().any(is_here)).then(|| variable_of(flag));
    let name = variable.as_deref().unwrap_or(flag);
    Some(format!("`{name}`: invalid value `{given}`: expected {expected}"))
}

/// A value that a flag can't have.
struct Value<'a> {
    flag: &'a str,
    given: &'a str,
    expected: String,
}

impl<'a> Value<'a> {
    fn of(error: &'a clap::Error) -> Option<Self> {
        let flag = text(error, ContextKind::InvalidArg)?;
        let given = text(error, ContextKind::InvalidValue)?;
        let reason = error.source()?.to_string();
        let expected = reason.strip_prefix("expected ").unwrap_or(&reason).to_owned();
        // "--tiles <N>" has more than the name.
        Some(Self { flag: flag.split_whitespace().next().unwrap_or(flag), given, expected })
    }
}

/// What is wrong with keys of a file that are flags elsewhere, in one line that names them without dashes.
pub(crate) fn flag_refusal(error: &clap::Error) -> String {
    if let (ErrorKind::ValueValidation, Some(Value { flag, given, expected })) =
        (error.kind(), Value::of(error))
    {
        return format!("{}: invalid value `{given}`: expected {expected}", flag.trim_start_matches('-'));
    }
    let all = error.to_string();
    let line = all.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).replace('\'', "`").replace("`--", "`")
}

/// A negative value, which the parser takes for a flag: the same line with `--retries=-1` says what was expected there.
fn negative(words: &[String]) -> Option<String> {
    let is_negative = |word: &str| {
        word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let mut joined: Vec<String> = vec![String::from("weft")];
    for word in words {
        match joined.last_mut() {
            Some(flag) if is_negative(word) && flag.starts_with("--") && flag.len() > 2 => {
                *flag = format!("{flag}={word}");
            }
            Some(_) | None => joined.push(word.clone()),
        }
    }
    let error = Cli::command().try_get_matches_from(&joined).err()?;
    (error.kind() == ErrorKind::ValueValidation).then(|| value(&error, words)).flatten()
}

/// The help of the verb that lacks its second word, or of weft itself without a verb. The parser shows it by itself only
/// where no flag and no variable is given.
pub(crate) fn help_instead(error: &clap::Error) -> Option<StyledStr> {
    if error.kind() != ErrorKind::MissingSubcommand {
        return None;
    }
    let mut all = Cli::command();
    all.build();
    // Such as "weft blob": the program's own name, then verbs.
    let mut command = &mut all;
    for word in text(error, ContextKind::InvalidSubcommand)?.split(' ').skip(1) {
        command = command.find_subcommand_mut(word)?;
    }
    Some(command.render_help())
}

/// Why a flag is refused that the verb would not look at: its nodes' data is elsewhere, as another flag says or none can.
pub(crate) fn unused_flag(matches: &ArgMatches) -> Option<&'static str> {
    if matches.value_source("data_dir") != Some(ValueSource::CommandLine) {
        return None;
    }
    match matches.subcommand_name()? {
        "demo" => {
            Some("`--data-dir`: `weft demo` starts nodes of its own: --out DIR says where their data goes")
        }
        "bench" => Some(
            "`--data-dir`: `weft bench` starts nodes of its own, and keeps nothing of them; leave it out",
        ),
        _ => None,
    }
}

/// The variable that is not Unicode; `None` where it may also be a word of the command line.
fn variable(words: &[String]) -> Option<String> {
    if words.iter().any(|word| word.contains(char::REPLACEMENT_CHARACTER)) {
        return None;
    }
    let all = Cli::command();
    let verb = words.iter().find_map(|word| all.find_subcommand(word));
    let wrong = variable_not_unicode(&all).or_else(|| variable_not_unicode(verb?))?;
    Some(wrong.to_string())
}

fn verb(error: &clap::Error) -> Option<String> {
    let given = text(error, ContextKind::InvalidSubcommand)?;
    let known = MEANT.iter().find(|(word, _)| *word == given).map(|(_, verb)| (*verb).to_owned());
    let tip = match known.or_else(|| similar(error)) {
        Some(verb) => format!("did you mean `weft {verb}`? "),
        None => String::new(),
    };
    Some(format!("unknown verb `{given}`: {tip}`weft help` lists them"))
}

/// The verb that is spelt most like the given one.
fn similar(error: &clap::Error) -> Option<String> {
    if let ContextValue::Strings(verbs) = error.get(ContextKind::SuggestedSubcommand)? {
        return verbs.first().cloned();
    }
    text(error, ContextKind::SuggestedSubcommand).map(String::from)
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    if let ContextValue::String(text) = error.get(kind)? { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn said(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        let error = Cli::try_parse_from(&words).expect_err("this is wrong");
        refusal(&error, &words[1..]).unwrap_or_else(|| panic!("{error}"))
    }

    #[test]
    fn a_negative_value_is_no_argument_of_the_task() {
        let expected = "`--retries`: invalid value `-1`: expected a whole number from 0 to 100";
        assert_eq!(said("weft run x.wasm --retries -1"), expected);
        let expected = "`--timeout`: invalid value `-1s`: expected a time such as 500ms";
        assert!(said("weft run x.wasm --timeout -1s -- a").starts_with(expected));
        let words = ["weft", "run", "x.wasm", "-1"].map(String::from);
        let error = Cli::try_parse_from(&words).expect_err("this is no flag");
        assert_eq!(refusal(&error, &words[1..]), None, "the parser's own words are as good");
    }

    #[test]
    fn a_wrong_value_is_told_with_what_was_expected() {
        let expected = "`--slots`: invalid value `lots`: expected a whole number from 1 to 256";
        assert_eq!(said("weft demo --slots lots"), expected);
        assert!(
            said("weft --log=a=b=c jobs").starts_with("`--log`: invalid value `a=b=c`: expected a filter")
        );
        let expected = "`--timeout`: invalid value `soon`: expected a time such as 500ms, 30s, 5m, 1h 30m, 1.5h, 2d or 1week";
        assert_eq!(said("weft run x.wasm --timeout soon"), expected);
        let expected = "`--class`: invalid value `high`: expected scavenger, batch, interactive or realtime";
        assert_eq!(said("weft run x.wasm --class high"), expected);
        assert!(said("weft run x.wasm --retries many").ends_with("expected a whole number from 0 to 100"));
        assert!(said("weft demo --tiles 1").ends_with("expected a whole number from 256 to 65536"));
    }

    #[test]
    fn a_mistyped_verb_gets_a_tip() {
        assert!(said("weft jbos").contains("did you mean `weft jobs`?"), "{}", said("weft jbos"));
        assert!(said("weft ps").contains("did you mean `weft jobs`?"));
        assert!(said("weft shutdown").contains("did you mean `weft stop`?"));
        assert_eq!(said("weft xyzzy"), "unknown verb `xyzzy`: `weft help` lists them");
        let words: Vec<&str> = MEANT.iter().map(|(_, verb)| *verb).collect();
        for verb in words {
            let help = format!("weft {} --help", verb.split(' ').next().unwrap());
            let error = Cli::try_parse_from(help.split(' ')).expect_err("help is an answer");
            assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{verb}");
        }
    }
}
