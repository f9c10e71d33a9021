//! The output of an experiment: lines and tables for people, and plots for a folder.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::plot::Plot;

/// A table with columns as wide as their cells: the first is aligned to the left, the others to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|text| (*text).to_string()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (place, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let width = *width;
                line += &if place == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The output of an experiment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Lines and tables.
    pub text: String,
    /// Plots with the names of their files.
    pub plots: Vec<(String, Plot)>,
}

impl Report {
    /// Adds a line or a table.
    pub fn say(&mut self, what: &impl fmt::Display) {
        let text = what.to_string();
        self.text += &text;
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Adds a plot with the name of its file.
    pub fn plot(&mut self, file: &str, plot: Plot) {
        self.plots.push((file.into(), plot));
    }

    /// Writes the text and the plots into a folder, which is created if needed. Returns the files' names.
    ///
    /// # Errors
    /// When the folder or a file can't be written.
    pub fn write(&self, name: &str, folder: &Path) -> io::Result<Vec<String>> {
        fs::create_dir_all(folder)?;
        let mut files = vec![format!("{name}.txt")];
        fs::write(folder.join(format!("{name}.txt")), &self.text)?;
        for (file, plot) in &self.plots {
            fs::write(folder.join(file), plot.svg())?;
            files.push(file.clone());
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(&["who", "ms"]);
        table.row(vec!["everybody".into(), "1".into()]);
        assert_eq!(table.to_string(), "who        ms\neverybody   1\n");
    }
}
