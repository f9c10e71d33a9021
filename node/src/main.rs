//! The binary `weft`: reads the command line, starts logging and a runtime, and turns what became of the verb into
//! one line and an exit code. Everything else is in `commands`.

mod cli;
mod commands;
mod render;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use commands::Problem;

fn main() -> ExitCode {
    // A slot gives up every right before anything else is started: no thread, no runtime, no log.
    if let Some(code) = slot() {
        return code;
    }
    let command = weft_node::settings::without_empty_variables(cli::Cli::command());
    let matched = command.try_get_matches();
    let parsed =
        matched.and_then(|matches| Ok((cli::Cli::from_arg_matches(&matches)?, cli::unused_flag(&matches))));
    let cli = match parsed {
        Ok((cli, None)) => cli,
        Ok((_, Some(unused))) => {
            render::say(unused);
            return ExitCode::from(commands::EXIT_USAGE);
        }
        Err(error) => return no_command(&error),
    };
    let runs_tasks = cli.verb.runs_tasks();
    let code = match run(cli) {
        Ok(code) => code,
        Err(problem) => report(&problem, runs_tasks),
    };
    render::flush();
    ExitCode::from(code)
}

/// What this process is to do as a slot of a node, or as its compiler, if it is one: `weft slot` and
/// `weft slot --compile`, which are for weft itself.
#[cfg(target_os = "linux")]
fn slot() -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let is_slot = words.next().is_some_and(|word| word == weft_node::settings::SLOT_WORD);
    match (is_slot, words.next(), words.next()) {
        (true, None, None) => Some(weft_exec::slot_main()),
        (true, Some(word), None) if word == "--compile" => Some(weft_exec::compile_main()),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn slot() -> Option<ExitCode> {
    None
}

fn run(cli: cli::Cli) -> Result<u8, Problem> {
    if matches!(cli.verb, cli::Verb::Node(_)) {
        // Before the first line of the log: its reader may have stopped already.
        render::write_behind();
    }
    start_log(&cli);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::Runtime)?;
    let ended = runtime.block_on(commands::dispatch(cli));
    // A read of stdin may still block a thread of the runtime; it is not waited for.
    runtime.shutdown_background();
    ended
}

/// Logs go to stderr, filtered by `--log` or `WEFT_LOG`, or else warnings only.
fn start_log(cli: &cli::Cli) {
    let filter = cli.log.clone().unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| weft_node::terminal::Screen::new(render::Stderr, false))
        // A line that can't be written is not reported by another line.
        .log_internal_errors(false)
        .with_ansi(render::stderr_has_colour());
    tracing_subscriber::registry().with(lines).with(filter).init();
}

/// Help and version are answers; all else is a wrong command line, or a wrong variable.
fn no_command(error: &clap::Error) -> ExitCode {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let runs_tasks =
        |words: Vec<String>| verb_of(words.into_iter()).is_some_and(|verb| cli::Verb::word_runs_tasks(&verb));
    if !error.use_stderr() {
        let written = error.print().and_then(|()| std::io::stdout().flush()).map_err(Problem::Stdout);
        return ExitCode::from(written.map_or_else(|problem| report(&problem, runs_tasks(words)), |()| 0));
    }
    match (cli::help_instead(error), cli::refusal(error, &words)) {
        (Some(help), _) => render::show_help(&help),
        (None, Some(text)) => render::say(&text),
        (None, None) => drop(error.print()),
    }
    ExitCode::from(if runs_tasks(words) { commands::EXIT_OWN } else { commands::EXIT_USAGE })
}

/// The verb of a command line that is wrong elsewhere.
fn verb_of(words: impl Iterator<Item = String>) -> Option<String> {
    let mut words = words;
    loop {
        let word = words.next()?;
        match word.as_str() {
            "--data-dir" | "--log" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            _ => return Some(word),
        }
    }
}

fn report(problem: &Problem, runs_tasks: bool) -> u8 {
    if !problem.is_quiet() {
        render::say(&problem.to_string());
    }
    problem.exit_code(runs_tasks)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_verb_is_the_first_word_that_belongs_to_no_flag() {
        let verb = |line: &str| super::verb_of(line.split(' ').map(String::from));
        assert_eq!(verb("--data-dir map run x"), Some("run".into()));
        assert_eq!(verb("--log=info map"), Some("map".into()));
        assert_eq!(verb("--help"), None);
    }
}
