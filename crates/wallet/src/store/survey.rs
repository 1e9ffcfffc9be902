//! What is shown of sagas and deposits, whatever the database they were counted in.

use jiff::Timestamp;
use service_kit::metrics::{Family, Figures};

use crate::domain::OrderState;
use crate::metrics::{DEPOSIT_AGE, DEPOSITS, SAGA_AGE, SAGAS};

/// The survey's name.
pub(super) const NAME: &str = "sagas";
/// The figures it gives.
pub(super) const FAMILIES: &[&Family] = &[&SAGAS, &SAGA_AGE, &DEPOSITS, &DEPOSIT_AGE];

/// What was counted, each with the time since when the oldest is there.
pub(super) struct Found {
    /// Of each state that is no end; states without orders may be left out.
    pub(super) sagas: Vec<(OrderState, i64, Timestamp)>,
    /// Of the deposits that are pending.
    pub(super) deposits: (i64, Option<Timestamp>),
}

impl Found {
    /// The figures at `now`.
    pub(super) fn figures(self, now: Timestamp) -> Figures {
        let Self { sagas, deposits } = self;
        let mut figures = Figures::new();
        // Those without orders are shown as well: an alert on a figure that is missing never comes.
        for state in OrderState::ALL.into_iter().filter(|state| !state.is_end()) {
            let of_state = sagas.iter().find(|(found, ..)| *found == state);
            figures.put(&SAGAS, &[state.as_str()], of_state.map_or(0, |(_, count, _)| *count));
            let oldest = of_state.map(|(.., oldest)| *oldest);
            figures.put_age(&SAGA_AGE, &[state.as_str()], now, oldest);
        }
        let (pending, oldest) = deposits;
        figures.put(&DEPOSITS, &[], pending);
        figures.put_age(&DEPOSIT_AGE, &[], now, oldest);
        figures
    }
}
