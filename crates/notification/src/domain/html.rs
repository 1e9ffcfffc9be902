//! A letter as a page, for mail programs that prefer HTML.
//!
//! What it keeps true: the page says what the text says, and nothing in the text becomes a tag; it refers to nothing
//! outside itself, so that opening it tells nobody.

/// The page that shows this text: its first line as the heading, then its paragraphs. At most about twelve times as long.
pub(super) fn page(text: &str) -> String {
    let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
    let heading = escaped(heading.trim());
    let paragraphs: String = paragraphs(rest)
        .iter()
        .map(|lines| format!("<p>{}</p>\n", lines.join("<br>\n")))
        .collect();
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{heading}</title>
</head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 40em">
<h1 style="font-size: 1.2em">{heading}</h1>
{paragraphs}</body>
</html>
"#
    )
}

/// Lines that follow one another, escaped; blank lines part them.
fn paragraphs(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .split(|line| line.is_empty())
        .filter(|lines| !lines.is_empty())
        .map(|lines| lines.iter().copied().map(escaped).collect())
        .collect()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
