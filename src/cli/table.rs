//! Aligned columns of text for a terminal of a given width.

use crate::model::is_deceptive;

/// Between two columns.
const GAP: usize = 2;
/// Stands for what was cut off.
const ELLIPSIS: &str = "...";
/// Between two steps.
pub const STEP: &str = " > ";
/// Columns of text are not cut below this.
const CLIPPED_MIN: usize = 8;

/// Where the cells of a column begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text: on the left, and cut if the table is too wide.
    Left,
    /// Steps with ` > ` between them: on the left, and gone on with on the next line if the table is too wide.
    Steps,
    /// Dates, and what other commands take: on the left, never cut.
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
            self.lines(row, &widths, &mut out);
        }
        out
    }

    /// The same in as many blocks as the width needs: each begins with the first column, the others are spread over them.
    pub fn render_in_blocks(&self, width: usize) -> String {
        let widths = self.widths(usize::MAX);
        let first = widths.first().copied().unwrap_or(0);
        let (mut blocks, mut used) = (vec![vec![0]], first);
        for (at, column) in widths.iter().enumerate().skip(1) {
            if used > first && used + GAP + column > width {
                blocks.push(vec![0]);
                used = first;
            }
            blocks.last_mut().into_iter().for_each(|block| block.push(at));
            used += GAP + column;
        }
        let blocks = blocks.iter().map(|columns| self.of(columns).render(width));
        blocks.collect::<Vec<_>>().join("\n")
    }

    /// Whether that has no line wider than `width`.
    pub fn fits(&self, width: usize) -> bool {
        let widths = self.widths(width);
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) <= width
    }

    /// Some of the columns.
    fn of(&self, columns: &[usize]) -> Self {
        let headers = columns.iter().filter_map(|at| self.headers.get(*at).cloned()).collect();
        let cell = |row: &Vec<String>, at: usize| row.get(at).cloned().unwrap_or_default();
        let rows = self.rows.iter().map(|row| columns.iter().map(|at| cell(row, *at)).collect()).collect();
        Self { headers, rows }
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
            let gives_way = |align: Align| matches!(align, Align::Left | Align::Steps);
            let text = widths.iter_mut().zip(&self.headers).filter(|(_, (_, align))| gives_way(*align));
            let longest = text.map(|(width, _)| width).filter(|width| **width > CLIPPED_MIN).max();
            match longest {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }

    /// A row: more than a line where steps go on.
    fn lines(&self, row: &[String], widths: &[usize], out: &mut String) {
        let cells = self.headers.iter().zip(widths).zip(row);
        let cells: Vec<Vec<String>> = cells
            .map(|(((_, align), width), cell)| match align {
                Align::Steps => in_lines(cell, *width),
                _ => vec![cell.clone()],
            })
            .collect();
        for at in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let line: Vec<String> =
                cells.iter().map(|cell| cell.get(at).cloned().unwrap_or_default()).collect();
            self.line(&line, widths, out);
        }
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
                Align::Left | Align::Steps | Align::Whole => out.extend([cell, padding]),
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

/// The steps in lines of at most `width` columns; one that is wider is gone on with anywhere.
fn in_lines(steps: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    let mut end = |line: &mut String| lines.push(std::mem::take(line).trim_end().to_owned());
    for step in steps.split_inclusive(STEP) {
        if used > 0 && used + display_width(step.trim_end()) > width {
            end(&mut line);
            used = 0;
        }
        for c in step.chars() {
            // The space behind a step may lie outside.
            if used > 0 && used + char_width(c) > width && c != ' ' {
                end(&mut line);
                used = 0;
            }
            used += char_width(c);
            line.push(c);
        }
    }
    end(&mut line);
    lines
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
    fn steps_go_on_below_and_what_is_whole_stays() {
        let mut table = Table::new(&[("N", Align::Right), ("Who", Align::Whole), ("Way", Align::Steps)]);
        table.row(row(&["12", "jane.doe@example.com", "Seen > Signed Up > Came Back To It > Paid"]));
        let expected = [
            " N  Who                   Way",
            "--  --------------------  --------------",
            "12  jane.doe@example.com  Seen >",
            "                          Signed Up >",
            "                          Came Back To I",
            "                          t > Paid",
            "",
        ];
        assert_eq!(table.render(40), expected.join("\n"));
        assert!(table.fits(40) && table.fits(usize::MAX) && !table.fits(33));
        assert!(table.render(usize::MAX).ends_with("  Seen > Signed Up > Came Back To It > Paid\n"));
    }

    #[test]
    fn columns_that_find_no_room_are_in_a_block_below() {
        let headers = ["From", "All", "google.com", "twitter.com"];
        let mut table = Table::new(&headers.map(|name| (name, Align::Right)));
        table.row(row(&["day", "6", "4", "2"]));
        let blocks = "From  All  google.com\n----  ---  ----------\n day    6           4\n\n\
                      From  twitter.com\n----  -----------\n day            2\n";
        assert_eq!(table.render_in_blocks(22), blocks);
        assert_eq!(table.render_in_blocks(usize::MAX), table.render(usize::MAX));
        assert_eq!(table.render_in_blocks(3).lines().count(), 11, "a column is never alone");
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
