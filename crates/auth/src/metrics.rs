//! What auth counts: logins and registrations by how they ended, and who asked too often. Never by whom.

use std::sync::Arc;

use contracts::UserId;
use contracts::metrics::Counter;
use service_kit::metrics::{Family, Registry};

use crate::{LogInError, LoggedIn, RegisterError, Service};

const LOGINS: Family = Family::counter(
    "cambist_logins_total",
    &["outcome"],
    "Logins: `accepted`; `wrong` name or password; `closed` after too many failures for the name; `busy` when too many \
     passwords wait to be hashed; `failed` through no fault of the user.",
);
const REGISTRATIONS: Family = Family::counter(
    "cambist_registrations_total",
    &["outcome"],
    "Registrations: `accepted`, `invalid`, `taken`, `busy`, or `failed` through no fault of the user.",
);
const RATE_LIMITED: Family = Family::counter(
    "cambist_rate_limited_total",
    &[],
    "Requests to register or log in that were answered 429, because their address asks too often.",
);

/// Logins by outcome.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    accepted: Counter,
    wrong: Counter,
    closed: Counter,
    busy: Counter,
    failed: Counter,
}

impl Logins {
    pub(crate) fn count(&self, outcome: &Result<LoggedIn, LogInError>) {
        match outcome {
            Ok(_) => self.accepted.one(),
            Err(LogInError::WrongCredentials) => self.wrong.one(),
            Err(LogInError::Closed { .. }) => self.closed.one(),
            Err(LogInError::Busy { .. }) => self.busy.one(),
            Err(LogInError::Hashing(_) | LogInError::Store(_) | LogInError::Keys(_) | LogInError::Mint(_)) => {
                self.failed.one();
            }
        }
    }
}

/// Registrations by outcome.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    accepted: Counter,
    invalid: Counter,
    taken: Counter,
    busy: Counter,
    failed: Counter,
}

impl Registrations {
    pub(crate) fn count(&self, outcome: &Result<UserId, RegisterError>) {
        match outcome {
            Ok(_) => self.accepted.one(),
            Err(RegisterError::Invalid(_)) => self.invalid.one(),
            Err(RegisterError::Taken(_)) => self.taken.one(),
            Err(RegisterError::Busy { .. }) => self.busy.one(),
            Err(RegisterError::Hashing(_) | RegisterError::Store(_)) => self.failed.one(),
        }
    }
}

impl Service {
    /// Shows what this service counts.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register_metrics(&self, registry: &mut Registry) {
        type OfLogins = fn(&Logins) -> &Counter;
        let logins: [(&str, OfLogins); 5] = [
            ("accepted", |logins| &logins.accepted),
            ("wrong", |logins| &logins.wrong),
            ("closed", |logins| &logins.closed),
            ("busy", |logins| &logins.busy),
            ("failed", |logins| &logins.failed),
        ];
        for (outcome, of) in logins {
            let parts = Arc::clone(&self.0);
            registry.value(&LOGINS, &[outcome], move || of(&parts.log_in.counted).get());
        }
        type OfRegistrations = fn(&Registrations) -> &Counter;
        let registrations: [(&str, OfRegistrations); 5] = [
            ("accepted", |registrations| &registrations.accepted),
            ("invalid", |registrations| &registrations.invalid),
            ("taken", |registrations| &registrations.taken),
            ("busy", |registrations| &registrations.busy),
            ("failed", |registrations| &registrations.failed),
        ];
        for (outcome, of) in registrations {
            let parts = Arc::clone(&self.0);
            registry.value(&REGISTRATIONS, &[outcome], move || of(&parts.register.counted).get());
        }
        let limit = Arc::clone(&self.0.rate_limit);
        registry.value(&RATE_LIMITED, &[], move || limit.refused());
    }
}
