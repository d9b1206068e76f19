//! What a section found: text, tables and plots, for a terminal or a page.

use std::io::Write as _;

use super::plot::Plot;

/// Tells on stderr how far a section is: it takes a minute or two.
pub fn progress(text: &str) {
    // Where stderr is closed there is no one to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One section.
pub struct Report {
    /// Its heading.
    pub title: &'static str,
    /// What was done, and what was checked; a paragraph each.
    pub notes: Vec<String>,
    pub tables: Vec<Table>,
    pub plots: Vec<Plot>,
}

/// Rows of cells: the first column is a name, the others are numbers.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub fn new(columns: &[&str]) -> Self {
        Self {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// A row, as long as the head.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.columns.len(), "every column has a cell");
        self.rows.push(cells);
    }

    /// Head and rows.
    pub fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.columns).chain(&self.rows)
    }

    fn text(&self) -> String {
        let width = |column: usize| self.lines().map(|line| line[column].chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let mut text = String::new();
        for line in self.lines() {
            for (index, (cell, width)) in line.iter().zip(&widths).enumerate() {
                match index {
                    0 => text.push_str(&format!("{cell:<width$}")),
                    _ => text.push_str(&format!("  {cell:>width$}")),
                }
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}

impl Report {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("== {} ==\n", self.title);
        for note in &self.notes {
            text.push_str(note);
            text.push('\n');
        }
        for table in &self.tables {
            text.push('\n');
            text.push_str(&table.text());
        }
        text.push('\n');
        text
    }
}
