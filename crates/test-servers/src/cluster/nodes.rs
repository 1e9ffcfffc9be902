//! Which processes there are, and what they are called.

use std::fmt;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Users, credentials, keys.
    Auth,
    /// The ledger.
    Balance,
    /// Trades.
    Exchanger,
    /// Transfers on the chain.
    BcGateway,
    /// Mails.
    Notification,
    /// Orders.
    Wallet,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Auth,
        Self::Balance,
        Self::Exchanger,
        Self::BcGateway,
        Self::Notification,
        Self::Wallet,
    ];

    /// Those with a worker.
    pub const WITH_WORKER: [Self; 4] = [Self::Exchanger, Self::BcGateway, Self::Notification, Self::Wallet];

    /// As in commands and settings: `bc_gateway`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Balance => "balance",
            Self::Exchanger => "exchanger",
            Self::BcGateway => "bc_gateway",
            Self::Notification => "notification",
            Self::Wallet => "wallet",
        }
    }

    /// Whom it calls.
    #[must_use]
    pub const fn calls(self) -> &'static [Self] {
        match self {
            Self::Auth | Self::Balance | Self::Notification => &[],
            Self::Exchanger | Self::BcGateway => &[Self::Balance],
            Self::Wallet => &[
                Self::Auth,
                Self::Balance,
                Self::Exchanger,
                Self::BcGateway,
                Self::Notification,
            ],
        }
    }
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Everything.
    Up,
    /// The world outside.
    Simulate,
    /// A service's API.
    Serve(Service),
    /// A service's worker.
    Work(Service),
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// What it does.
    pub kind: Kind,
    /// The first, the second of its kind.
    pub replica: u8,
}

impl Node {
    /// `cambist up`.
    pub const UP: Self = Self::first(Kind::Up);
    /// `cambist simulate`.
    pub const SIMULATE: Self = Self::first(Kind::Simulate);
    /// Six APIs and four workers.
    pub const TEN: [Self; 10] = [
        Self::serve(Service::Auth),
        Self::serve(Service::Balance),
        Self::serve(Service::Exchanger),
        Self::serve(Service::BcGateway),
        Self::serve(Service::Notification),
        Self::serve(Service::Wallet),
        Self::work(Service::Exchanger),
        Self::work(Service::BcGateway),
        Self::work(Service::Notification),
        Self::work(Service::Wallet),
    ];

    const fn first(kind: Kind) -> Self {
        Self { kind, replica: 1 }
    }

    /// `cambist serve SERVICE`.
    #[must_use]
    pub const fn serve(service: Service) -> Self {
        Self::first(Kind::Serve(service))
    }

    /// `cambist work SERVICE`.
    #[must_use]
    pub const fn work(service: Service) -> Self {
        Self::first(Kind::Work(service))
    }

    /// Another process that does the same. What is second calls what is second, where there is one.
    #[must_use]
    pub const fn second(self) -> Self {
        Self { replica: 2, ..self }
    }

    /// The service whose process it is; `None` when it is of all or of none.
    #[must_use]
    pub const fn service(self) -> Option<Service> {
        match self.kind {
            Kind::Serve(service) | Kind::Work(service) => Some(service),
            Kind::Up | Kind::Simulate => None,
        }
    }

    /// Whether users may call it.
    #[must_use]
    pub const fn is_public(self) -> bool {
        matches!(self.kind, Kind::Up | Kind::Serve(Service::Auth | Service::Wallet))
    }

    pub(super) fn arguments(self) -> Vec<&'static str> {
        match self.kind {
            Kind::Up => vec!["up"],
            Kind::Simulate => vec!["simulate"],
            Kind::Serve(service) => vec!["serve", service.name()],
            Kind::Work(service) => vec!["work", service.name()],
        }
    }

    pub(super) fn file_name(self) -> String {
        self.to_string().replace(' ', "-")
    }
}

impl fmt::Display for Node {
    /// `serve wallet`, `work exchanger 2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self.replica {
            1 => self.arguments().join(" "),
            number => format!("{} {number}", self.arguments().join(" ")),
        })
    }
}
