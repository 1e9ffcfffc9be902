//! Settings that are fine each may still contradict one another; this says which, before anything starts.

use std::time::Duration;

use contracts::BasisPoints;

use super::smtp::MailSecurity;
use super::source::SettingsError;
use super::table::Settings;

/// How many calls to the chain fit under one lease: a worker makes at most four, and has to store what it did.
const CHAIN_CALLS: u32 = 5;

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
        self.check_leases()?;
        self.check_mail()?;
        self.check_simulation()?;
        if self.internal_listen == self.listen && self.listen.port() != 0 {
            return contradiction("listen and internal_listen must differ: the internal side is never public".into());
        }
        Ok(())
    }

    /// How long one mail may take by SMTP, from the connection to the last answer, and a second to tell of it.
    #[must_use]
    pub fn longest_mail(&self) -> Duration {
        self.smtp_connect_timeout + self.smtp_timeout * 2 + Duration::from_secs(1)
    }

    /// A lease must not end in the middle of what a worker does outside under it: another worker would do it as well.
    fn check_leases(&self) -> Result<(), SettingsError> {
        let lasting = [
            (
                "venue_expiry + venue_timeout + venue_skew",
                self.venue_expiry + self.venue_timeout + self.venue_skew,
                "an order at the venue must end before another worker may take the command",
            ),
            (
                "5 × chain_timeout",
                self.chain_timeout * CHAIN_CALLS,
                "a worker asks the chain several times under one lease",
            ),
            (
                "smtp_connect_timeout + 2 × smtp_timeout + 1s",
                self.smtp_url.as_ref().map_or(Duration::ZERO, |_| self.longest_mail()),
                "a mail that is cut off may arrive twice",
            ),
        ];
        for (sum, lasts, reason) in lasting {
            if lasts >= self.command_lease {
                return contradiction(format!("{sum} must be shorter than command_lease: {reason}"));
            }
        }
        Ok(())
    }

    fn check_mail(&self) -> Result<(), SettingsError> {
        let open = self
            .smtp_url
            .as_ref()
            .is_none_or(|url| url.security == MailSecurity::Open);
        if self.smtp_ca_file.is_some() && open {
            return contradiction(
                "smtp_ca_file is for an encrypted connection: write smtps:// or ?tls=required in smtp_url".into(),
            );
        }
        Ok(())
    }

    /// What the simulated venue and chain are told must leave them venue and chain: nothing more than always happens, and
    /// every question is answered some time.
    fn check_simulation(&self) -> Result<(), SettingsError> {
        let venue = [
            self.venue_slow_bp,
            self.venue_refuse_bp,
            self.venue_nothing_filled_bp,
            self.venue_partial_bp,
            self.venue_executed_but_timed_out_bp,
            self.venue_timed_out_not_executed_bp,
            self.venue_not_yet_visible_bp,
        ];
        let lost = [
            self.chain_lost_broadcast_bp,
            self.chain_unknown_not_taken_bp,
            self.chain_reorganise_bp,
        ];
        let all = BasisPoints::MAX.get();
        let losses = sum(&lost);
        let broadcasts = losses + sum(&[self.chain_unknown_but_taken_bp, self.chain_late_bp]);
        for (whose, faults, of) in [("venue", sum(&venue), "orders"), ("chain", broadcasts, "broadcasts")] {
            if faults > all {
                return contradiction(format!(
                    "the rates of the simulated {whose} add up to {faults} of {all} {of}; lower some of its _bp settings"
                ));
            }
        }
        if losses == all {
            return contradiction(
                "chain_lost_broadcast_bp, chain_unknown_not_taken_bp and chain_reorganise_bp lose every broadcast: no \
                 order would ever end"
                    .into(),
            );
        }
        let ways = [
            ("venue", self.venue_latency, self.venue_timeout),
            ("chain", self.chain_latency, self.chain_timeout),
        ];
        for (whose, latency, timeout) in ways {
            if latency >= timeout {
                return contradiction(format!(
                    "{whose}_latency must be shorter than {whose}_timeout: no question would ever be answered"
                ));
            }
        }
        if sum(&[self.venue_not_yet_visible_bp]) > 0 && self.venue_hidden_for >= self.venue_engine_timeout {
            return contradiction(
                "venue_hidden_for must be shorter than venue_engine_timeout: what is hidden longer counts as absent, and \
                 would be ordered again"
                    .into(),
            );
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
            ("chain_timeout", self.chain_timeout),
            ("smtp_connect_timeout", self.smtp_connect_timeout),
            ("smtp_timeout", self.smtp_timeout),
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

fn sum(rates: &[BasisPoints]) -> u32 {
    rates.iter().map(|rate| rate.get()).sum()
}

fn contradiction(text: String) -> Result<(), SettingsError> {
    Err(SettingsError::Contradiction(text))
}
