//! What the audit says, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use balance::domain::BooksReport;
use contracts::Amount;
use serde_json::{Value, json};
use wallet::domain::{OrderState, Saga};

use super::attention::Attention;

/// The most findings that are listed; a broken database must not fill the memory.
pub const MAX_FINDINGS: usize = 1_000;

/// One thing that cannot be in a sound database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: `order 7`, `deposit 3`, `hot wallet`, `books`.
    pub subject: String,
    /// What is wrong with it.
    pub problem: String,
}

/// How many orders are in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderCounts {
    states: BTreeMap<&'static str, u64>,
    in_flight: u64,
    stuck: u64,
}

impl OrderCounts {
    pub(super) fn count(&mut self, saga: &Saga) {
        *self.states.entry(saga.state.as_str()).or_default() += 1;
        if matches!(saga.state, OrderState::Stuck { .. }) {
            self.stuck += 1;
        } else if !saga.state.is_end() {
            self.in_flight += 1;
        }
    }

    /// All orders.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.states.values().sum()
    }

    /// Those that are neither at an end nor stuck.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Those that wait for an outside party or an operator.
    #[must_use]
    pub const fn stuck(&self) -> u64 {
        self.stuck
    }
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    books: BooksReport,
    /// The orders, by state.
    pub orders: OrderCounts,
    /// How many deposits were checked.
    pub deposits: u64,
    /// How many orders have ended whose users' notifications are still on their way.
    pub untold: u64,
    /// What needs an operator; nothing of it is a finding.
    pub attention: Attention,
    findings: Vec<Finding>,
    unlisted: u64,
}

impl Report {
    pub(super) fn new(books: BooksReport) -> Self {
        let mut report = Self {
            orders: OrderCounts::default(),
            deposits: 0,
            untold: 0,
            attention: Attention::default(),
            findings: Vec::new(),
            unlisted: books.unlisted,
            books,
        };
        for violation in report.books.violations.clone() {
            report.find("books", violation.to_string());
        }
        report
    }

    pub(super) fn find(&mut self, subject: impl Into<String>, problem: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                subject: subject.into(),
                problem: problem.into(),
            });
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.unlisted == 0
    }

    /// What is wrong, the first [`MAX_FINDINGS`].
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let text = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
        let totals = self.books.totals.iter().map(|totals| {
            json!({
                "asset": totals.asset, "customers": text(totals.customers), "hot_wallet": text(totals.hot_wallet),
                "system": text(totals.system)
            })
        });
        let findings = self
            .findings
            .iter()
            .map(|finding| json!({"subject": finding.subject, "problem": finding.problem}));
        json!({
            "clean": self.is_clean(),
            "accounts": self.books.accounts,
            "transfers": self.books.transfers,
            "deposits": self.deposits,
            "orders": self.orders.states,
            "orders_in_flight": self.orders.in_flight,
            "orders_stuck": self.orders.stuck,
            "notifications_on_their_way": self.untold,
            "needs_operator": self.attention.to_json(),
            "totals": totals.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "findings_not_listed": self.unlisted,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "books     {} accounts, {} transfers, {} deposits",
            self.books.accounts, self.books.transfers, self.deposits
        )?;
        let states = self
            .orders
            .states
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect::<Vec<_>>();
        let states = if states.is_empty() {
            String::new()
        } else {
            format!(": {}", states.join(", "))
        };
        writeln!(f, "orders    {}{states}", self.orders.total())?;
        if self.orders.stuck > 0 {
            let stuck = self.orders.stuck;
            writeln!(
                f,
                "needs an operator: {stuck} stuck orders (cambist ops sagas --state stuck)"
            )?;
        }
        for line in self.attention.lines() {
            writeln!(f, "needs an operator: {line}")?;
        }
        if !self.books.totals.is_empty() {
            writeln!(
                f,
                "\n{:6} {:>23} {:>23} {:>23}",
                "asset", "customers", "hot wallet", "system"
            )?;
        }
        let text =
            |amount: Option<Amount>| amount.map_or_else(|| "beyond 128 bits".to_owned(), |amount| amount.to_string());
        for totals in &self.books.totals {
            let (customers, hot_wallet, system) =
                (text(totals.customers), text(totals.hot_wallet), text(totals.system));
            writeln!(
                f,
                "{:6} {customers:>23} {hot_wallet:>23} {system:>23}",
                totals.asset.code()
            )?;
        }
        writeln!(f)?;
        for Finding { subject, problem } in &self.findings {
            writeln!(f, "✗ {subject} {problem}")?;
        }
        if self.unlisted > 0 {
            writeln!(f, "✗ and {} more", self.unlisted)?;
        }
        if self.is_clean() {
            write!(f, "✓ the books balance and every order is explained")
        } else {
            let found = self
                .unlisted
                .saturating_add(u64::try_from(self.findings.len()).unwrap_or(u64::MAX));
            write!(f, "{found} findings: the books are not in order")
        }
    }
}
