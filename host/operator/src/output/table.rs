//! Aligned columns, with colours or without.

/// Between two columns.
const GAP: &str = "  ";

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// For a terminal.
    On,
    /// For anything else.
    Off,
}

/// What a colour says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Doubtful,
    Bad,
}

impl Tone {
    /// `text` in this tone.
    pub(super) fn paint(self, text: &str, colours: Colours) -> String {
        let code = match (colours, self) {
            (Colours::Off, _) | (_, Self::Plain) => return text.to_owned(),
            (Colours::On, Self::Good) => 32,
            (Colours::On, Self::Doubtful) => 33,
            (Colours::On, Self::Bad) => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// To which side a column's cells go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A cell: its text, and its tone.
pub(super) type Cell = (String, Tone);

/// A table with a line of headings.
pub(super) struct Table<const COLUMNS: usize> {
    columns: [(&'static str, Side); COLUMNS],
    rows: Vec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(columns: [(&'static str, Side); COLUMNS]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a line. What is in its cells is shown without control characters.
    pub(super) fn row(&mut self, cells: [Cell; COLUMNS]) {
        self.rows
            .push(cells.map(|(text, tone)| (plain(&text), tone)));
    }

    /// Its lines, each with `indent` before it.
    pub(super) fn render(&self, indent: &str, colours: Colours) -> String {
        let headings = self
            .columns
            .map(|(heading, _)| (heading.to_owned(), Tone::Plain));
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
            lines()
                .map(|line| line[column].0.chars().count())
                .max()
                .unwrap_or_default()
        });
        let mut text = String::new();
        for line in lines() {
            let mut written = indent.to_owned();
            for (column, (cell, tone)) in line.iter().enumerate() {
                let gap = if column == 0 { "" } else { GAP };
                let blank = " ".repeat(widths[column] - cell.chars().count());
                let cell = tone.paint(cell, colours);
                written.push_str(gap);
                written.push_str(&match self.columns[column].1 {
                    Side::Left => cell + &blank,
                    Side::Right => blank + &cell,
                });
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Without control characters, which a terminal might obey.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<3> {
        let mut table = Table::new([
            ("NAME", Side::Left),
            ("N", Side::Right),
            ("STATE", Side::Left),
        ]);
        for (name, number, state, tone) in [
            ("é", "1", "well", Tone::Good),
            ("longer", "1000", "\x1b[2Jill", Tone::Bad),
        ] {
            let cell = |text: &str| (text.to_owned(), Tone::Plain);
            table.row([cell(name), cell(number), (state.to_owned(), tone)]);
        }
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_end_with_words() {
        assert_eq!(
            table().render(" ", Colours::Off),
            " NAME       N  STATE\n é          1  well\n longer  1000  \u{fffd}[2Jill\n"
        );
    }

    #[test]
    fn colours_are_there_when_asked_for_and_take_no_room() {
        assert_eq!(
            table().render("", Colours::On),
            "NAME       N  STATE\né          1  \x1b[32mwell\x1b[0m\n\
             longer  1000  \x1b[31m\u{fffd}[2Jill\x1b[0m\n"
        );
    }
}
