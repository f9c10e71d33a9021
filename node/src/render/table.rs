//! Rows under a heading, aligned by what letters take on a terminal, and as wide as the terminal at most where the table
//! says what may be left out.

use std::io::{self, IsTerminal as _};

use rustix::termios::tcgetwinsize;
use weft_node::terminal::{fit, visible, width};

use super::{print, say, stdout_has_colour};
use crate::commands::Problem;

/// Between two columns.
const GAP: usize = 2;
/// A column of text is not cut to less.
const TEXT_MIN: usize = 8;

/// Which side a column keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// One column: its heading, its cells, and the widest of them.
#[derive(Clone, Debug)]
struct Column {
    heading: &'static str,
    side: Side,
    cells: Vec<String>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| width(cell));
        cells.chain([width(self.heading)]).max().unwrap_or(0)
    }

    /// Whether no cell has content.
    fn is_empty(&self) -> bool {
        self.cells.iter().all(|cell| matches!(cell.as_str(), "0" | "-" | ""))
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    spare: Option<&'static [&'static str]>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Self {
        let column =
            |(heading, side): &(&'static str, Side)| Column { heading, side: *side, cells: Vec::new() };
        Self { columns: columns.iter().map(column).collect(), spare: None }
    }

    /// Makes it fit a terminal: of these columns first those without content are left out, then the others, each in
    /// this order, until it fits; then texts are cut.
    pub(crate) fn fitted(self, spare: &'static [&'static str]) -> Self {
        Self { spare: Some(spare), ..self }
    }

    /// Leaves out these columns.
    pub(crate) fn without(mut self, headings: &[&str]) -> Self {
        self.columns.retain(|column| !headings.contains(&column.heading));
        self
    }

    /// Adds a row; what is unsafe in its cells is made visible.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        for (column, cell) in self.columns.iter_mut().zip(&cells) {
            column.cells.push(visible(cell).into_owned());
        }
    }

    /// Prints it on stdout, the heading in bold where colours are. Says which columns had no room.
    pub(crate) fn print(self) -> Result<(), Problem> {
        let room = terminal_columns();
        let (table, left_out) = self.within(room);
        print(&table.text(stdout_has_colour()))?;
        if !left_out.is_empty() {
            say(&format!("no room for {}: use a wider terminal or --json", left_out.join(", ")));
        }
        Ok(())
    }

    /// The table in `room` columns of a terminal, and the headings of columns with content that were left out.
    fn within(mut self, room: Option<usize>) -> (Self, Vec<&'static str>) {
        let (Some(room), Some(spare)) = (room, self.spare) else { return (self, Vec::new()) };
        let mut left_out = Vec::new();
        for only_empty in [true, false] {
            for heading in spare {
                let place = self.columns.iter().position(|column| column.heading == *heading);
                let Some(place) = place.filter(|_| self.width() > room) else { continue };
                let is_empty = self.columns.get(place).is_some_and(Column::is_empty);
                if only_empty && !is_empty {
                    continue;
                }
                self.columns.remove(place);
                if !is_empty {
                    left_out.push(*heading);
                }
            }
        }
        self.cut(room);
        (self, left_out)
    }

    /// Cuts the widest column of text, as often as it takes; not the first, which is what a row is known by.
    fn cut(&mut self, room: usize) {
        while self.width() > room {
            let over = self.width() - room;
            let texts = self.columns.iter_mut().skip(1).filter(|column| column.side == Side::Left);
            let widest = texts.max_by_key(|column| column.width());
            let Some(column) = widest.filter(|column| column.width() > TEXT_MIN) else { return };
            // By a few at a time, so that two wide ones end up alike.
            let most = column.width().saturating_sub(over.min(4)).max(TEXT_MIN.max(width(column.heading)));
            if most >= column.width() {
                return;
            }
            for cell in &mut column.cells {
                *cell = fit(cell, most).into_owned();
            }
        }
    }

    fn width(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.width() + GAP);
        columns.sum::<usize>().saturating_sub(GAP)
    }

    fn text(&self, bold: bool) -> String {
        let heading = self.line(|column| column.heading);
        let mut text = if bold { format!("\x1b[1m{heading}\x1b[0m\n") } else { format!("{heading}\n") };
        let rows = self.columns.first().map_or(0, |column| column.cells.len());
        for row in 0..rows {
            text.push_str(&self.line(|column| column.cells.get(row).map_or("", String::as_str)));
            text.push('\n');
        }
        text
    }

    fn line<'a>(&'a self, cell: impl Fn(&'a Column) -> &'a str) -> String {
        let mut line = String::new();
        for column in &self.columns {
            let cell = cell(column);
            let room = " ".repeat(column.width().saturating_sub(width(cell)));
            let gap = " ".repeat(GAP);
            match column.side {
                Side::Left => line.extend([cell, &room, &gap]),
                Side::Right => line.extend([&room, cell, &gap]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// How wide stdout is, if it is a terminal that tells.
fn terminal_columns() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_letters_take() {
        let mut table = Table::new(&[("NAME", Side::Left), ("SLOTS", Side::Right)]);
        table.row(["anna".into(), "8".into()]);
        table.row(["\x1b[31mb\u{e4}r".into(), "128".into()]);
        table.row(["世界".into(), "1".into()]);
        let lines = ["NAME         SLOTS", "anna             8", "\\x1b[31mbär    128", "世界             1"];
        assert_eq!(table.text(false), lines.join("\n") + "\n");
        assert!(table.text(true).starts_with("\x1b[1mNAME"));
    }

    fn wide() -> Table {
        let columns = [
            ("ID", Side::Left),
            ("NAME", Side::Left),
            ("LOST", Side::Right),
            ("DONE", Side::Right),
            ("LABELS", Side::Left),
        ];
        let mut table = Table::new(&columns).fitted(&["LABELS", "LOST"]);
        table.row([
            "12345678".into(),
            "a-name-of-20-letters".into(),
            "0".into(),
            "7".into(),
            "rack=3".into(),
        ]);
        table
    }

    #[test]
    fn what_says_nothing_is_left_out_first_and_then_texts_are_cut() {
        let headings = |room| {
            let (table, left_out) = wide().within(Some(room));
            assert!(table.width() <= room, "{}", table.text(false));
            (table.columns.iter().map(|column| column.heading).collect::<Vec<_>>().join(" "), left_out)
        };
        assert_eq!(headings(60), (String::from("ID NAME LOST DONE LABELS"), vec![]));
        assert_eq!(headings(48), (String::from("ID NAME DONE LABELS"), vec![]));
        assert_eq!(headings(40), (String::from("ID NAME DONE"), vec!["LABELS"]));
        assert_eq!(headings(28), (String::from("ID NAME DONE"), vec!["LABELS"]));
        assert!(wide().within(Some(28)).0.text(false).contains('…'));
        assert_eq!(wide().within(None).0.columns.len(), 5, "a file or a pipe gets all of it");
    }
}
