//! A letter as a page, for mail programs that prefer HTML.
//!
//! What it keeps true: the page says what the text says, and nothing in the text becomes a tag; it refers to nothing
//! outside itself, so that opening it tells nobody.

/// The page that shows this text: its first line as the heading, then its paragraphs, which blank lines part. At most
/// about twelve times as long.
pub(super) fn page(text: &str) -> String {
    let (heading, rest) = text.split_once('\n').unwrap_or((text, ""));
    let heading = heading.trim();
    let mut page = String::with_capacity(512 + 2 * text.len());
    page.push_str(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>"#,
    );
    escape(heading, &mut page);
    page.push_str(
        r#"</title>
</head>
<body style="font-family: sans-serif; line-height: 1.5; max-width: 40em">
<h1 style="font-size: 1.2em">"#,
    );
    escape(heading, &mut page);
    page.push_str("</h1>\n");
    let mut within = false;
    for line in rest.lines().map(str::trim) {
        page.push_str(match (within, line.is_empty()) {
            (false, false) => "<p>",
            (true, false) => "<br>\n",
            (true, true) => "</p>\n",
            (false, true) => "",
        });
        escape(line, &mut page);
        within = !line.is_empty();
    }
    page.push_str(if within { "</p>\n" } else { "" });
    page.push_str("</body>\n</html>\n");
    page
}

/// Appends a text of which nothing is a tag.
fn escape(text: &str, page: &mut String) {
    for char in text.chars() {
        match char {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            other => page.push(other),
        }
    }
}
