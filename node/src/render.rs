//! Words and tables for people, JSON for scripts. Data goes to stdout, everything else to stderr; what came from a
//! peer is stripped of control characters before a terminal sees it.

mod log;
mod progress;

use std::io::{self, IsTerminal as _, Write as _};

use weft_node::settings::environment;

use crate::commands::Problem;
pub(crate) use log::{Stderr, flush, write_behind};
pub(crate) use progress::{Progress, Total};

/// One line on stderr, after our name. A stderr that is gone takes no words, and that is no reason to stop.
pub(crate) fn say(text: &str) {
    drop(Stderr.write_all(format!("weft: {}\n", clean(text)).as_bytes()));
}

/// Whether stderr is a terminal that may be coloured.
pub(crate) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && colour_wanted()
}

fn stdout_has_colour() -> bool {
    io::stdout().is_terminal() && colour_wanted()
}

fn colour_wanted() -> bool {
    environment("NO_COLOR").is_none() && environment("TERM").as_deref() != Some("dumb")
}

/// Text on stdout.
pub(crate) fn print(text: &str) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Problem::Stdout)
}

/// A value on stdout, as indented JSON.
pub(crate) fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Problem> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Problem::Failed(error.to_string()))?;
    text.push('\n');
    print(&text)
}

/// The text without control characters, which could move a terminal's cursor or recolour it.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
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

/// A time in its largest fitting unit.
pub(crate) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{} ms", tenths(micros, 1_000)),
        1_000_000..120_000_000 => format!("{} s", tenths(micros, 1_000_000)),
        120_000_000..7_200_000_000 => format!("{} min", tenths(micros, 60_000_000)),
        _ => format!("{} h", tenths(micros, 3_600_000_000)),
    }
}

/// [`micros`] for milliseconds.
pub(crate) fn millis(millis: u64) -> String {
    micros(millis.saturating_mul(1000))
}

/// `count` in units of `unit`, with one decimal where it says something.
fn tenths(count: u64, unit: u64) -> String {
    let (whole, tenth) = (count / unit, count % unit * 10 / unit);
    if tenth == 0 || whole >= 100 { whole.to_string() } else { format!("{whole}.{tenth}") }
}

/// Which side a column keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under a heading, aligned.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; its cells are cleaned of control characters.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// Prints it on stdout, the heading in bold where colours are.
    pub(crate) fn print(&self) -> Result<(), Problem> {
        print(&self.text(stdout_has_colour()))
    }

    fn text(&self, bold: bool) -> String {
        let width = |place: usize, heading: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(place, (heading, _))| width(place, heading)).collect();
        let headings: Vec<String> = self.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        let heading = self.line(&headings, &widths);
        let mut text = if bold { format!("\x1b[1m{heading}\x1b[0m\n") } else { format!("{heading}\n") };
        for row in &self.rows {
            text.push_str(&self.line(row, &widths));
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, side)) in cells.iter().zip(widths).zip(&self.columns) {
            let room = " ".repeat(width.saturating_sub(cell.chars().count()));
            match side {
                Side::Left => line.extend([cell, room.as_str(), "  "]),
                Side::Right => line.extend([room.as_str(), cell, "  "]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&[("NAME", Side::Left), ("SLOTS", Side::Right)]);
        table.row(["anna".into(), "8".into()]);
        table.row(["\x1b[31mb\u{e4}r".into(), "128".into()]);
        assert_eq!(table.text(false), "NAME      SLOTS\nanna          8\n [31mb\u{e4}r    128\n");
        assert!(table.text(true).starts_with("\x1b[1mNAME"));
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 30), "1 GiB");
        assert_eq!(micros(999), "999 us");
        assert_eq!(micros(1_500), "1.5 ms");
        assert_eq!(micros(61_000_000), "61 s");
        assert_eq!(millis(7_200_000), "2 h");
    }
}
