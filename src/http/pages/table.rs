//! Tables: one description gives the rows of a page and the CSV of the same name, so that the two cannot differ.

use maud::{Markup, html};

use super::words;
use crate::limits::TARGET_BYTES_MAX;
use crate::model::{Json, within};

/// Rows that a page shows of a table: more than anybody reads, and few enough to be drawn at once.
const SHOWN_MAX: usize = 1000;
/// Bytes of these rows: one of an event takes 12 KB if its name is as long as it may be, and a page has other parts.
const SHOWN_BYTES: usize = 3 * 1024 * 1024;

/// A table of a page.
pub struct Table {
    /// What the address of its CSV calls it.
    pub name: String,
    /// What it shows, for whoever does not see it.
    pub caption: String,
    /// How it looks, besides.
    pub class: &'static str,
    head: Vec<(String, bool)>,
    rows: Vec<(&'static str, Vec<Cell>)>,
    /// Rows that nobody sees and that were not made.
    unmade: usize,
}

/// One cell.
pub struct Cell {
    shown: Markup,
    plain: Plain,
    link: Option<String>,
    heads: bool,
    class: String,
    title: Option<String>,
    /// Whether it is a number of seconds in a file, whatever it reads here.
    seconds: bool,
}

/// What a cell is in a file.
enum Plain {
    Text(String),
    Number(String),
}

impl Cell {
    fn new(shown: Markup, plain: Plain) -> Self {
        let class = if matches!(plain, Plain::Number(_)) { "n" } else { "" };
        Self { shown, plain, link: None, heads: false, class: class.to_owned(), title: None, seconds: false }
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(html! { (text) }, Plain::Text(text))
    }

    /// A value that somebody sent, which can be long.
    pub fn value(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(html! { (words::clipped(&text)) }, Plain::Text(text))
    }

    /// What the row is about.
    pub fn head(text: impl Into<String>) -> Self {
        Self { heads: true, ..Self::text(text) }
    }

    /// The first day of a unit of time; a star marks one that is not over.
    pub fn unit(start: &Json, open: bool) -> Self {
        let cell = Self::head(words::value(start)).class("date");
        if open { cell.starred() } else { cell }
    }

    /// Something that is shown in more than words.
    pub fn marked(shown: Markup, plain: impl Into<String>) -> Self {
        Self::new(shown, Plain::Text(plain.into()))
    }

    /// Is what the row is about.
    pub fn heading(mut self) -> Self {
        self.heads = true;
        self
    }

    /// A number of events or the like.
    pub fn number(number: &Json) -> Self {
        let number = words::number(number);
        Self::new(html! { (words::count(number)) }, Plain::Number(number.to_string()))
    }

    /// A number of people, which opens into them if there is a link.
    pub fn people(number: &Json, link: impl Into<Option<String>>) -> Self {
        Self::number(number).link(link)
    }

    /// A share.
    pub fn percent(share: &Json) -> Self {
        Self::shown_number(words::percent(share), share)
    }

    /// A duration in seconds.
    pub fn duration(seconds: &Json) -> Self {
        Self { seconds: true, ..Self::shown_number(words::duration(seconds), seconds) }
    }

    /// Money.
    pub fn money(amount: &Json) -> Self {
        Self::shown_number(words::money(amount), amount)
    }

    /// What a trend measures.
    pub fn measured(value: &Json) -> Self {
        Self::shown_number(words::measured(value), value)
    }

    /// A number that reads `shown`.
    pub fn shown_number(shown: String, value: &Json) -> Self {
        let number = match value {
            Json::String(text) if text.parse::<f64>().is_ok_and(f64::is_finite) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => String::new(),
        };
        Self::new(html! { (shown) }, Plain::Number(number))
    }

    /// An instant, which reads `shown`; in a file it is what every program understands.
    pub fn instant(instant: &Json, shown: String) -> Self {
        let plain = Plain::Text(instant.as_str().unwrap_or_default().to_owned());
        Self::new(html! { (shown) }, plain).class("date")
    }

    /// Opens this address, if there is one that can be asked for.
    pub fn link(mut self, target: impl Into<Option<String>>) -> Self {
        self.link = target.into().filter(|target| target.len() <= TARGET_BYTES_MAX);
        self
    }

    /// Has a star, in a file too, where a number becomes text by it: spreadsheets leave it out of sums and means.
    pub fn starred(mut self) -> Self {
        self.shown = html! { (self.shown) "*" };
        match &mut self.plain {
            Plain::Text(text) | Plain::Number(text) => text.push('*'),
        }
        self
    }

    /// Looks like this, besides.
    pub fn class(mut self, class: &str) -> Self {
        if !self.class.is_empty() {
            self.class.push(' ');
        }
        self.class.push_str(class);
        self
    }

    /// Says more to whoever stays on it.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    fn html(&self, linked: bool) -> Markup {
        let class = (!self.class.is_empty()).then_some(self.class.as_str());
        let number = matches!(self.plain, Plain::Number(_));
        let inner = html! {
            @match self.link.as_ref().filter(|_| linked) {
                Some(target) => a class=[number.then_some("number")] href=(target) { (self.shown) },
                None => (self.shown),
            }
        };
        html! {
            @if self.heads { th scope="row" class=[class] title=[&self.title] { (inner) } }
            @else { td class=[class] title=[&self.title] { (inner) } }
        }
    }
}

impl Table {
    /// An empty table. The names of columns of numbers begin with `#`; one without a name is for the page alone, as buttons are.
    pub fn new(name: impl Into<String>, caption: impl Into<String>, head: &[&str]) -> Self {
        let mut table = Self {
            name: name.into(),
            caption: caption.into(),
            class: "",
            head: Vec::new(),
            rows: Vec::new(),
            unmade: 0,
        };
        head.iter().for_each(|column| table.column(column));
        table
    }

    /// One more column.
    pub fn column(&mut self, name: &str) {
        let number = name.strip_prefix('#');
        self.head.push((number.unwrap_or(name).to_owned(), number.is_some()));
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(("", cells));
    }

    /// A row of each of some items; unless `all` are wanted for a file, no more than the page shows are made.
    pub fn rows<T>(
        &mut self,
        mut items: impl ExactSizeIterator<Item = T>,
        all: bool,
        mut row: impl FnMut(T) -> Vec<Cell>,
    ) {
        let room = if all { usize::MAX } else { SHOWN_MAX.saturating_sub(self.rows.len()) };
        items.by_ref().take(room).for_each(|item| self.row(row(item)));
        self.unmade += items.len();
    }

    /// A row that sums up others.
    pub fn sum(&mut self, cells: Vec<Cell>) {
        self.rows.push(("pooled", cells));
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// As a part of a page; without `linked` numbers open nothing. `file` is the address of its CSV.
    pub fn html(&self, linked: bool, file: Option<&str>) -> Markup {
        let row = |(class, cells): &(&str, Vec<Cell>)| {
            html! {
                tr class=[(!class.is_empty()).then_some(*class)] { @for cell in cells { (cell.html(linked)) } }
            }
        };
        let first = self.rows.iter().take(SHOWN_MAX).map(row);
        let rows: Vec<Markup> = within(first, SHOWN_BYTES, |row| row.0.len()).collect();
        let more = (self.rows.len() + self.unmade - rows.len()) as u64;
        html! {
            div.scroll role="region" aria-label=(self.caption) tabindex="0" {
                table class=[(!self.class.is_empty()).then_some(self.class)] {
                    caption { (self.caption) }
                    thead { tr { @for (name, number) in &self.head { th scope="col" class=[number.then_some("n")] { (words::clipped(name)) } } } }
                    tbody { @for row in &rows { (row) } }
                }
            }
            @if more > 0 { p.hint { (words::count(more)) " more rows are in the file." } }
            @if let Some(file) = file { p.under { a.file href=(file) download { "CSV" } } }
        }
    }

    /// As a file: numbers as they are, every text in quotes. A column of durations says that they are seconds, which the page need not.
    pub fn csv(&self) -> String {
        let seconds =
            |at: usize| self.rows.iter().any(|(_, cells)| cells.get(at).is_some_and(|cell| cell.seconds));
        let named = self.head.iter().enumerate().filter(|(_, (name, _))| !name.is_empty());
        let head = named
            .map(|(at, (name, _))| quoted(&format!("{name}{}", if seconds(at) { " (seconds)" } else { "" })));
        line(head) + &self.csv_rows()
    }

    /// Its rows as those of a file.
    pub fn csv_rows(&self) -> String {
        let row = |(_, cells): &(_, Vec<Cell>)| {
            let named = self.head.iter().zip(cells).filter(|((name, _), _)| !name.is_empty());
            line(named.map(|(_, cell)| match &cell.plain {
                Plain::Text(text) => quoted(text),
                Plain::Number(number) => number.clone(),
            }))
        };
        self.rows.iter().map(row).collect()
    }
}

/// A line of a file.
fn line(cells: impl Iterator<Item = String>) -> String {
    cells.collect::<Vec<_>>().join(",") + "\r\n"
}

/// Text in quotes. What a spreadsheet could take for a formula gets an apostrophe, which makes it text there too.
fn quoted(text: &str) -> String {
    let first = text.trim_start_matches([' ', '"', '\'']).chars().next();
    // The last four are the full-width forms of the first.
    let formula = |c: char| "=+-@\t\r\n\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}".contains(c);
    let mark = if first.is_some_and(formula) { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_the_page_shows_and_no_formulas() {
        let mut table = Table::new("t", "T", &["Name", "#People"]);
        for hostile in
            ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\"=1", "\u{ff1d}1", "plain, \"x\""]
        {
            table.row(vec![Cell::head(hostile), Cell::people(&1234_u64.into(), "/x".to_owned())]);
        }
        table.row(vec![Cell::money(&"-5.5".into()), Cell::percent(&Json::Null)]);
        let text = table.csv();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 11);
        assert!(rows.iter().take(9).all(|row| row[0].starts_with('\'') && &row[1] == "1234"), "{text}");
        assert_eq!((&rows[9][0], &rows[10][0], &rows[10][1]), ("plain, \"x\"", "-5.5", ""));
        let mut times = Table::new("t", "T", &["Step", "#People", "#Median time"]);
        assert_eq!(times.csv(), "\"Step\",\"People\",\"Median time\"\r\n");
        times.row(vec![Cell::text("1"), Cell::number(&5_u64.into()), Cell::duration(&90_u64.into())]);
        assert_eq!(times.csv(), "\"Step\",\"People\",\"Median time (seconds)\"\r\n\"1\",5,90\r\n");
        let page = table.html(true, None).into_string();
        assert!(page.contains("<a class=\"number\" href=\"/x\">1,234</a>") && page.contains("&quot;x&quot;"));
        assert!(!table.html(false, None).into_string().contains("href"));
        (0..SHOWN_MAX).for_each(|_| table.row(vec![Cell::text("x")]));
        assert!(
            table.html(true, None).into_string().contains("11 more rows")
                && table.csv().lines().count() > SHOWN_MAX
        );
        let mut wide = Table::new("t", "T", &["Name"]);
        (0..10).for_each(|_| wide.row(vec![Cell::text("x".repeat(SHOWN_BYTES / 4))]));
        wide.unmade = 5;
        let page = wide.html(true, None).into_string();
        assert!(page.len() < SHOWN_BYTES && page.contains("12 more rows"));
        let made = |all: bool| {
            let (mut table, mut made) = (Table::new("t", "T", &["#N"]), 0);
            table.sum(vec![Cell::text("all")]);
            table.rows(0..SHOWN_MAX + 5, all, |_| {
                made += 1;
                vec![Cell::text("x")]
            });
            assert!(table.html(true, None).into_string().contains("6 more rows"), "{all}");
            made
        };
        assert_eq!((made(false), made(true)), (SHOWN_MAX - 1, SHOWN_MAX + 5));
    }

    #[test]
    fn a_long_value_is_clipped_on_the_page_and_whole_in_the_file() {
        let long = "\u{e9}&".repeat(4000);
        let mut table = Table::new("t", "T", &["Name", &format!("#{long}")]);
        let target = |length: usize| "x".repeat(length);
        table.row(vec![
            Cell::value(&*long).heading(),
            Cell::people(&1_u64.into(), target(TARGET_BYTES_MAX + 1)),
        ]);
        table.row(vec![Cell::value("short").heading(), Cell::people(&2_u64.into(), None)]);
        let page = table.html(true, None).into_string();
        assert!(
            page.len() < 2000 && page.contains("&amp;\u{e9}\u{2026}</th>") && !page.contains("href"),
            "{}",
            page.len()
        );
        assert!(table.csv().matches(&long).count() == 2 && page.contains(">short</th>"));
    }
}
