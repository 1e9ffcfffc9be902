//! Tables that fit a terminal: as wide as what is in them, the last column cut where a line would get too long.

use contracts::time::until;
use jiff::Timestamp;

/// The widest line.
const WIDTH: usize = 100;
/// What lies between two columns.
const GAP: usize = 2;

/// A table with a heading for each column. What a cell has too much of the last column pays for.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings and no rows.
    pub(super) fn new(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
        }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: [String; N]) {
        // A line break or an escape in somebody's text must not draw on the terminal.
        self.rows.push(row.map(|cell| {
            cell.chars()
                .map(|character| if character.is_control() { ' ' } else { character })
                .collect()
        }));
    }

    /// The table as text, without a line break at its end.
    pub(super) fn text(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let lines: Vec<String> = self.rows.iter().map(|row| line(row, &widths)).collect();
        lines.join("\n")
    }
}

fn line<const N: usize>(row: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    let mut used = 0;
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if at + 1 == N {
            line.push_str(&cut(cell, WIDTH.saturating_sub(used)));
        } else {
            line.push_str(&format!("{cell:width$}{:GAP$}", ""));
            used += width + GAP;
        }
    }
    line.trim_end().to_owned()
}

/// As much of a text as fits.
fn cut(text: &str, width: usize) -> String {
    let width = width.max(8);
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

/// How long ago, in the largest unit that says enough: `42s`, `7m`, `3h`, `5d`. What is no time is a dash.
pub(super) fn age(now: Timestamp, time: &serde_json::Value) -> String {
    let then = time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
    let Some(then) = then else { return "-".to_owned() };
    let seconds = until(then, now).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_no_line_is_too_long() {
        let mut table = Table::new(["order", "why"]);
        table.add(["7".to_owned(), "x".repeat(300)]);
        table.add(["123456789".to_owned(), "line\nbreak\u{1b}[31m".to_owned()]);
        let text = table.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "order      why");
        assert_eq!(lines[1].chars().count(), WIDTH);
        assert!(lines[1].ends_with('…'));
        assert_eq!(lines[2], "123456789  line break [31m");
    }

    #[test]
    fn an_age_is_told_in_one_unit() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let told = |time: &str| age(now, &serde_json::Value::from(time));
        assert_eq!(told("2026-11-22T11:59:18Z"), "42s");
        assert_eq!(told("2026-11-22T11:53:00Z"), "7m");
        assert_eq!(told("2026-11-22T09:00:00Z"), "3h");
        assert_eq!(told("2026-11-17T12:00:00Z"), "5d");
        assert_eq!(told("never"), "-");
    }
}
