//! Aligned columns of text for a terminal of a given width.

use crate::model::is_deceptive;

/// Between two columns.
const GAP: usize = 2;
/// Stands for what was cut off.
const ELLIPSIS: &str = "...";
/// Columns of text are not cut below this.
const CLIPPED_MIN: usize = 8;

/// Where the cells of a column begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text: on the left, and cut if the table is too wide.
    Left,
    /// Dates: on the left, never cut.
    Whole,
    /// Numbers: on the right, never cut.
    Right,
}

/// Rows below named columns.
#[derive(Clone, Debug)]
pub struct Table {
    headers: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows. A header may have several lines.
    pub fn new(headers: &[(&str, Align)]) -> Self {
        let headers = headers.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect();
        Self { headers, rows: Vec::new() }
    }

    /// Adds a row: a cell a column, missing ones are empty.
    pub fn row(&mut self, cells: Vec<String>) -> &mut Self {
        self.rows.push(cells.iter().map(|cell| visible(cell)).collect());
        self
    }

    /// The lines of the table, each ended. Numbers keep their digits even if that makes it wider than `width`.
    pub fn render(&self, width: usize) -> String {
        let widths = self.widths(width);
        let mut out = String::new();
        for line in self.header_lines() {
            self.line(&line, &widths, &mut out);
        }
        let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&dashes, &widths, &mut out);
        for row in &self.rows {
            self.line(row, &widths, &mut out);
        }
        out
    }

    /// The lines of the headers; short headers stand on the last one.
    fn header_lines(&self) -> Vec<Vec<String>> {
        let height = self.headers.iter().map(|(name, _)| name.lines().count()).max().unwrap_or(0);
        let cell = |name: &str, line: usize| {
            let above = height - name.lines().count();
            let at = line.checked_sub(above).and_then(|at| name.lines().nth(at));
            visible(at.unwrap_or_default())
        };
        (0..height).map(|line| self.headers.iter().map(|(name, _)| cell(name, line)).collect()).collect()
    }

    fn widths(&self, most: usize) -> Vec<usize> {
        let header = |name: &str| name.lines().map(|line| display_width(&visible(line))).max().unwrap_or(0);
        let column = |at: usize, name: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(at));
            cells.map(|cell| display_width(cell)).max().unwrap_or(0).max(header(name))
        };
        let mut widths: Vec<usize> =
            self.headers.iter().enumerate().map(|(at, (name, _))| column(at, name)).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > most {
            let text = widths.iter_mut().zip(&self.headers).filter(|(_, (_, align))| *align == Align::Left);
            let longest = text.map(|(width, _)| width).filter(|width| **width > CLIPPED_MIN).max();
            match longest {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize], out: &mut String) {
        let start = out.len();
        for (at, ((_, align), width)) in self.headers.iter().zip(widths).enumerate() {
            let cell = clip(cells.get(at).map(String::as_str).unwrap_or_default(), *width);
            let padding = " ".repeat(width.saturating_sub(display_width(&cell)));
            if at > 0 {
                out.push_str(&" ".repeat(GAP));
            }
            match align {
                Align::Left | Align::Whole => out.extend([cell, padding]),
                Align::Right => out.extend([padding, cell]),
            }
        }
        out.truncate(start + out.get(start..).unwrap_or_default().trim_end().len());
        out.push('\n');
    }
}

/// The text with everything escaped that would move the cursor, colour the terminal or turn the reading order: names
/// and values come from strangers.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_deceptive(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Columns that a terminal gives the text.
fn display_width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// The common cases: combining marks have no width, East Asian characters and emoji have two columns.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn clip(text: &str, width: usize) -> String {
    if display_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(ELLIPSIS.len());
    let mut used = 0;
    let fits = |c: &char| {
        used += char_width(*c);
        used <= room
    };
    let mut out: String = text.chars().take_while(fits).collect();
    out.push_str(ELLIPSIS);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_aligned_below_their_headers() {
        let mut table =
            Table::new(&[("Event", Align::Left), ("of\nfirst", Align::Right), ("Note", Align::Left)]);
        table.row(row(&["Purchased", "11.0 %", "x"])).row(row(&["Billed", "9.5 %"]));
        let expected = [
            "               of",
            "Event       first  Note",
            "---------  ------  ----",
            "Purchased  11.0 %  x",
            "Billed      9.5 %",
            "",
        ];
        assert_eq!(table.render(80), expected.join("\n"));
    }

    #[test]
    fn the_longest_text_gives_way_and_numbers_never_do() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Left), ("N", Align::Right)]);
        table.row(row(&["short text", &"long".repeat(20), "1,234,567,890"]));
        let text = table.render(40);
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
        assert!(text.ends_with("short text  longlonglo...  1,234,567,890\n"), "{text}");
        assert!(table.render(10).contains("short...  longl...  1,234,567,890"), "{}", table.render(10));
    }

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[31m\n\u{202e}b\u{e9}"), "a\\u{1b}[31m\\n\\u{202e}b\u{e9}");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let mut table = Table::new(&[("K", Align::Left), ("N", Align::Right)]);
        table.row(row(&["\u{6771}\u{4eac}", "1"])).row(row(&["e\u{301}", "2"]));
        let text = table.render(80);
        assert!(text.ends_with("\u{6771}\u{4eac}  1\ne\u{301}     2\n"), "{text}");
        assert_eq!(clip("\u{6771}\u{4eac}\u{6771}\u{4eac}\u{6771}", 8), "\u{6771}\u{4eac}...");
    }
}
