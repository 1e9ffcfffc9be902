//! From the one table of settings to each service's own knobs.

use std::time::Duration;

use anyhow::Context as _;
use balance::domain::Capital;
use contracts::Asset;
use notification::domain::delivery::Patience;
use notification::mailer::Sender;
use service_kit::settings::{Deposits, Settings};
use storage::commands::CommandTimes;
use storage::outbox::HAND_OVER;

/// What the hot wallet is funded with.
pub(super) fn capital(settings: &Settings) -> anyhow::Result<Capital> {
    Ok(Capital {
        fiat: settings.funding_fiat.amount(Asset::USD).context("funding_fiat")?,
        crypto: settings.funding_crypto.amount(Asset::BTC).context("funding_crypto")?,
    })
}

pub(super) fn command_times(settings: &Settings) -> CommandTimes {
    CommandTimes {
        lease: settings.command_lease,
        hand_over: HAND_OVER,
        stuck_after: settings.stuck_after,
    }
}

pub(super) fn hashing(settings: &Settings) -> auth::PoolLimits {
    auth::PoolLimits {
        concurrent: settings.password_hashers,
        ..auth::PoolLimits::default()
    }
}

pub(super) fn auth(settings: &Settings) -> auth::Settings {
    auth::Settings {
        issuer: settings.token_issuer.clone(),
        audience: settings.token_audience.clone(),
        token_ttl: settings.token_ttl,
        failures: auth::domain::logins::FailurePolicy {
            limit: settings.login_failures,
            window: settings.login_window,
        },
        ..auth::Settings::default()
    }
}

pub(super) fn exchanger(settings: &Settings) -> exchanger::Settings {
    exchanger::Settings {
        rules: exchanger::Rules {
            order_life: settings.venue_expiry,
            // An order that waited for half of its life is sent with a new one.
            shortest_life: settings.venue_expiry / 2,
            engine_timeout: settings.venue_engine_timeout,
            clock_skew: settings.venue_skew,
            max_attempts: settings.max_attempts.get(),
            max_reverse_attempts: settings.max_attempts.get(),
            ..exchanger::Rules::default()
        },
        venue_timeout: settings.venue_timeout,
        sweep_every: settings.sweep_interval,
        ..exchanger::Settings::default()
    }
}

pub(super) fn bc_gateway(settings: &Settings) -> bc_gateway::Settings {
    bc_gateway::Settings {
        call_timeout: settings.chain_timeout,
        sweep_every: settings.sweep_interval,
        ..bc_gateway::Settings::default()
    }
}

/// By SMTP a mail may take its time and arrive twice, so fewer are under way and a lost answer is not asked for again and
/// again; a file is written at once, and written again it is the same file.
pub(super) fn notification(settings: &Settings) -> anyhow::Result<notification::Settings> {
    let sender: Sender = settings.mail_from.parse().context("mail_from")?;
    let usual = notification::Settings {
        message_host: sender.domain().to_owned(),
        sweep_every: settings.sweep_interval,
        ..notification::Settings::default()
    };
    if settings.smtp_url.is_none() {
        return Ok(notification::Settings {
            send_timeout: settings.command_lease / 2,
            patience: Patience::with_files(),
            ..usual
        });
    }
    Ok(notification::Settings {
        send_timeout: settings.longest_mail(),
        concurrency: settings.smtp_connections.get(),
        // What waits here waits under its lease, and needs most of that for itself.
        lane_capacity: settings.smtp_connections.get().saturating_mul(4),
        ..usual
    })
}

/// `alone`: whether no other process works on the same database.
pub(super) fn wallet(settings: &Settings, alone: bool) -> wallet::Settings {
    let usual = wallet::Streams::default();
    wallet::Settings {
        deposits: match settings.deposits {
            Deposits::SelfService => wallet::Deposits::SelfService,
            Deposits::Operator => wallet::Deposits::Operator,
        },
        max_in_flight: settings.max_in_flight,
        hold_wait: settings.hold_wait,
        streams: wallet::Streams {
            most: settings.max_streams,
            most_per_user: settings.max_streams_per_user,
            // Where nobody else commits, a look now and then costs little all the same.
            look_again: if alone {
                Duration::from_secs(30)
            } else {
                usual.look_again
            },
            ..usual
        },
        key_lifetime: settings.idempotency_retention,
        sweep_every: settings.sweep_interval,
        single_process: alone,
        ..wallet::Settings::default()
    }
}
