//! Words and tables for people, JSON for scripts. Data goes to stdout, everything else to stderr; what came from a
//! peer passes through [`weft_node::terminal`] before a terminal sees it.

mod log;
mod progress;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

use weft_node::counts::tenths;
pub(crate) use weft_node::counts::{micros, millis};
use weft_node::settings::environment;
use weft_node::terminal::{self, visible};

use crate::commands::Problem;
pub(crate) use log::{Stderr, flush, log_filter, write_behind};
pub(crate) use progress::{Progress, Total};
pub(crate) use table::{Side, Table};

/// One line on stderr, after our name. If stderr is gone, the line is lost and the program goes on.
pub(crate) fn say(text: &str) {
    drop(Stderr.write_all(format!("weft: {}\n", visible(text)).as_bytes()));
}

/// A help that was not asked for, on stderr.
pub(crate) fn show_help(help: &clap::builder::StyledStr) {
    let text = if stderr_has_colour() { help.ansi().to_string() } else { help.to_string() };
    drop(Stderr.write_all(text.as_bytes()));
}

/// Whether stderr is a terminal that may be coloured.
pub(crate) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && colour_wanted()
}

fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && colour_wanted()
}

fn colour_wanted() -> bool {
    environment("NO_COLOR").is_none() && !terminal::is_dumb()
}

/// Text on stdout, as it is: what came from others passes through [`visible`] before.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Problem::Stdout)
}

/// A value on stdout, as indented JSON.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Problem::Failed(error.to_string()))?;
    print(&format!("{}\n", terminal::json_text(text)))
}

/// A value as one line of JSON, with its newline.
pub(crate) fn json_line<T: serde::Serialize>(value: &T) -> Result<String, Problem> {
    let text = serde_json::to_string(value).map_err(|error| Problem::Failed(error.to_string()))?;
    Ok(format!("{}\n", terminal::json_text(text)))
}

/// An id as people read it: its first eight digits.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// A size with a unit of 1024.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{} {unit}", tenths(count, *size)),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 30), "1 GiB");
    }
}
