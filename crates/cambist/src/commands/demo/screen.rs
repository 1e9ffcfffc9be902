//! What is shown: lines of at most 80 columns for people, one JSON object a line for machines. Both say the same.

use std::io::Write as _;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Style};
use notification::ports::Mail;
use serde_json::{Value, json};

use super::customer::{Answer, Booking};
use crate::audit::Report;

/// The width of a terminal.
const COLUMNS: usize = 80;
/// The pause before an act, for whoever reads along.
const BREATH: Duration = Duration::from_millis(900);

/// Something to be shown.
pub(super) enum Line<'a> {
    Opening {
        public: &'a str,
    },
    Act {
        number: usize,
        title: &'a str,
    },
    Remark(&'a str),
    Request {
        method: &'a str,
        path: &'a str,
        body: Option<&'a Value>,
        answer: &'a Answer,
    },
    /// The data of an order's event.
    Event(&'a Value),
    Booking(&'a Booking),
    Balances {
        fiat: &'a str,
        crypto: &'a str,
    },
    Mail(&'a Mail),
    Audit(&'a Report),
}

/// Where it is shown.
pub(super) struct Screen {
    json: bool,
    colours: bool,
    takes_its_time: bool,
    acts: usize,
}

impl Screen {
    /// Colours are for a terminal only, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub(super) fn new(json: bool, terminal: bool, takes_its_time: bool) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            colours: terminal && !no_color,
            takes_its_time,
            acts: 0,
        }
    }

    /// Whether somebody reads along.
    pub(super) const fn takes_its_time(&self) -> bool {
        self.takes_its_time
    }

    /// Begins an act.
    pub(super) async fn act(&mut self, title: &str) -> anyhow::Result<()> {
        if self.takes_its_time && self.acts > 0 {
            // sleep: a pause for the eyes, and only for them
            tokio::time::sleep(BREATH).await;
        }
        self.acts += 1;
        self.say(&Line::Act {
            number: self.acts,
            title,
        })
    }

    /// Shows a line, at once.
    pub(super) fn say(&self, line: &Line<'_>) -> anyhow::Result<()> {
        let text = if self.json {
            to_json(line).to_string()
        } else {
            let paint = if self.colours { style(line) } else { Style::new() };
            let lines = to_text(line).into_iter().map(|text| format!("{paint}{text}{paint:#}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }
}

fn style(line: &Line<'_>) -> Style {
    match line {
        Line::Act { .. } => AnsiColor::Cyan.on_default().bold(),
        Line::Event(_) => AnsiColor::Green.on_default(),
        Line::Booking(_) => AnsiColor::Yellow.on_default(),
        Line::Mail(_) => AnsiColor::Blue.on_default(),
        Line::Balances { .. } => Style::new().bold(),
        Line::Audit(report) if !report.is_clean() => AnsiColor::Red.on_default(),
        Line::Opening { .. } | Line::Remark(_) | Line::Request { .. } | Line::Audit(_) => Style::new(),
    }
}

fn to_json(line: &Line<'_>) -> Value {
    match line {
        Line::Opening { public } => json!({"line": "opening", "public": public}),
        Line::Act { number, title } => json!({"line": "act", "number": number, "title": title}),
        Line::Remark(text) => json!({"line": "remark", "text": text}),
        Line::Request {
            method,
            path,
            body,
            answer,
        } => {
            json!({
                "line": "request", "method": method, "path": path, "body": body.map(masked), "status": answer.status,
                "answer": masked(&answer.body)
            })
        }
        Line::Event(data) => json!({"line": "event", "data": data}),
        Line::Booking(booking) => json!({
            "line": "booking", "entry_id": booking.entry_id, "debit": booking.debit, "credit": booking.credit,
            "amount": booking.amount, "leg": booking.leg
        }),
        Line::Balances { fiat, crypto } => json!({"line": "balances", "USD": fiat, "BTC": crypto}),
        Line::Mail(mail) => json!({
            "line": "mail", "order_id": mail.order_id, "to": mail.to, "subject": mail.subject, "text": mail.text
        }),
        Line::Audit(report) => json!({"line": "audit", "report": report.to_json()}),
    }
}

fn to_text(line: &Line<'_>) -> Vec<String> {
    match line {
        Line::Opening { public } => vec![
            "A day at Cambist: a fresh instance in this process, real HTTP, and every booking".to_owned(),
            format!("as the books have it. The instance listens on {public}."),
        ],
        Line::Act { number, title } => vec![String::new(), format!("{number}. {title}")],
        Line::Remark(text) => wrapped("  ", text),
        Line::Request {
            method,
            path,
            body,
            answer,
        } => {
            let body = body.map(|body| masked(body).to_string()).unwrap_or_default();
            let asked = format!("  {method} {path} {body}");
            let told = format!("    {} {}", answer.status, masked(&answer.body));
            [asked, told].map(|text| clipped(text.trim_end())).to_vec()
        }
        Line::Event(data) => vec![clipped(&event_text(data))],
        Line::Booking(booking) => vec![clipped(&booking_text(booking))],
        Line::Balances { fiat, crypto } => vec![format!("  Ada has {fiat} USD and {crypto} BTC.")],
        Line::Mail(mail) => {
            let head = [format!("  ✉ to {}", mail.to)];
            let text = mail.text.trim_end().lines().flat_map(|line| wrapped("  │ ", line));
            head.into_iter().chain(text).collect()
        }
        Line::Audit(report) => report.to_string().lines().map(clipped).collect(),
    }
}

fn event_text(data: &Value) -> String {
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let amount = |name: &str| {
        let of = |part: &str| data[name][part].as_str().unwrap_or_default();
        format!("{} {}", of("amount"), of("asset"))
    };
    let note = match data["event"].as_str().unwrap_or_default() {
        "placed" => amount("requested"),
        "exchanged" => format!("{} at {}", amount("filled"), amount("price")),
        _ => text("failure_code"),
    };
    let (seq, event, state) = (data["seq"].as_i64().unwrap_or_default(), text("event"), text("state"));
    format!("  {seq}  {event:<16} → {state:<18} {note}")
        .trim_end()
        .to_owned()
}

fn booking_text(booking: &Booking) -> String {
    let Booking {
        debit,
        credit,
        amount,
        leg,
        ..
    } = booking;
    let accounts = format!("{debit} → {credit}");
    let sum = format!("{amount} {}", amount.asset());
    format!("       {accounts:<30} {sum:>16}   {leg}")
}

/// The same without secrets: a demo's are worth nothing, but nobody should learn to show them.
fn masked(value: &Value) -> Value {
    let mut value = value.clone();
    for secret in ["password", "token"] {
        if let Some(text) = value.get_mut(secret) {
            *text = Value::from("…");
        }
    }
    value
}

/// At most as wide as the screen.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(COLUMNS) {
        None => text.to_owned(),
        Some(_) => text.chars().take(COLUMNS - 1).chain(['…']).collect(),
    }
}

/// A text in as many lines as it needs, each after `margin`.
fn wrapped(margin: &str, text: &str) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let mut lines = vec![margin.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        let begins = width(line) == width(margin);
        if !begins && width(line) + 1 + width(word) > COLUMNS {
            lines.push(format!("{margin}{word}"));
        } else {
            if !begins {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().map(|line| clipped(line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wider_than_a_terminal() {
        let long = "Überweisung ".repeat(20);
        for lines in [
            wrapped("  │ ", &long),
            wrapped("", &"x".repeat(200)),
            vec![clipped(&long)],
        ] {
            assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{lines:?}");
        }
        assert_eq!(wrapped("  │ ", ""), ["  │"]);
        assert_eq!(clipped(&"x".repeat(80)), "x".repeat(80));
        assert_eq!(wrapped("> ", "one two"), ["> one two"]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = masked(&json!({"username": "ada", "password": "p", "token": "t", "expires_in": 900}));
        assert_eq!(
            shown,
            json!({"username": "ada", "password": "…", "token": "…", "expires_in": 900})
        );
    }
}
