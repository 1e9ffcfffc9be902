//! Settings that are fine each may still contradict one another; this says which, before anything starts.

use std::time::Duration;

use contracts::BasisPoints;

use super::source::SettingsError;
use super::table::Settings;

impl Settings {
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        self.check_positive()?;
        let ordered = [
            (
                "hold_wait",
                self.hold_wait,
                "request_timeout",
                self.request_timeout,
                "an order must be answered in time",
            ),
            (
                "venue_timeout",
                self.venue_timeout,
                "venue_expiry",
                self.venue_expiry,
                "an order must outlive one question",
            ),
            (
                "sweep_interval",
                self.sweep_interval,
                "stuck_after",
                self.stuck_after,
                "a sweep must come before the alarm",
            ),
        ];
        for (shorter, short, longer, long, reason) in ordered {
            if short >= long {
                return contradiction(format!("{shorter} must be shorter than {longer}: {reason}"));
            }
        }
        let resolved = self.venue_expiry + self.venue_timeout + self.venue_skew;
        if resolved >= self.command_lease {
            return contradiction(
                "venue_expiry + venue_timeout + venue_skew must be shorter than command_lease: an order at the venue \
                 must end before another worker may take the command"
                    .into(),
            );
        }
        let faults = [
            self.venue_refuse_bp,
            self.venue_partial_bp,
            self.venue_executed_but_timed_out_bp,
            self.venue_timed_out_not_executed_bp,
        ];
        if faults.into_iter().map(BasisPoints::get).sum::<u32>() > BasisPoints::MAX.get() {
            return contradiction("the fault rates of the venue add up to more than 10000 basis points".into());
        }
        if self.internal_listen == self.listen && self.listen.port() != 0 {
            return contradiction("listen and internal_listen must differ: the internal side is never public".into());
        }
        Ok(())
    }

    /// Zero means "at once" or "never" to different readers; where neither makes sense it is refused.
    fn check_positive(&self) -> Result<(), SettingsError> {
        let durations = [
            ("token_ttl", self.token_ttl),
            ("login_window", self.login_window),
            ("request_timeout", self.request_timeout),
            ("header_timeout", self.header_timeout),
            ("drain_timeout", self.drain_timeout),
            ("hold_wait", self.hold_wait),
            ("command_lease", self.command_lease),
            ("stuck_after", self.stuck_after),
            ("sweep_interval", self.sweep_interval),
            ("idempotency_retention", self.idempotency_retention),
            ("venue_expiry", self.venue_expiry),
            ("venue_timeout", self.venue_timeout),
        ];
        for (name, duration) in durations {
            if duration == Duration::ZERO {
                return contradiction(format!("{name} must be longer than zero"));
            }
        }
        if self.token_ttl < Duration::from_secs(1) {
            return contradiction("token_ttl must be at least 1s: tokens expire at whole seconds".into());
        }
        Ok(())
    }
}

fn contradiction(text: String) -> Result<(), SettingsError> {
    Err(SettingsError::Contradiction(text))
}
