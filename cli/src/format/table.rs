//! Tables of text: a head, columns as wide as they need to be, two blanks between.

use std::fmt;

/// A table.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    /// Columns whose cells end, not begin, below each other.
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<const COLUMNS: usize>(head: [&'static str; COLUMNS]) -> Self {
        Self {
            head: head.to_vec(),
            right: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Makes columns of numbers of some.
    #[must_use]
    pub fn right<const COUNT: usize>(mut self, columns: [usize; COUNT]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        let cells = cells.map(|cell| {
            if cell.is_empty() {
                "-".to_owned()
            } else {
                cell
            }
        });
        self.rows.push(cells.to_vec());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(self.head[column].len())
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (column, cell) in cells.enumerate() {
                if column > 0 {
                    text.push_str("  ");
                }
                let width = widths[column];
                if self.right.contains(&column) {
                    text.push_str(&format!("{cell:>width$}"));
                } else {
                    text.push_str(&format!("{cell:<width$}"));
                }
            }
            writeln!(formatter, "{}", text.trim_end())
        };
        line(&mut self.head.iter().copied())?;
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(["NAME", "COUNT"]).right([1]);
        table.row(["a".to_owned(), "1".to_owned()]);
        table.row(["flights".to_owned(), "336776".to_owned()]);
        table.row([String::new(), String::new()]);
        assert_eq!(
            table.to_string(),
            "NAME      COUNT\na             1\nflights  336776\n-             -\n"
        );
    }
}
