//! `cambist demo`: a user's day, shown live: a fresh instance in this process, real HTTP, and each booking as the books
//! have it.
//!
//! The instance is of its own: ports that are free, a folder that is gone afterwards, and no setting from outside, so
//! that a demo can never meet somebody's database. It exits 1 when the audit at the end finds anything, or when the day
//! does not go as it should.

mod customer;
mod day;
mod screen;
mod stage;

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ArgMatches;
use service_kit::settings::given_flags;
use service_kit::shutdown::Shutdown;
use service_kit::telemetry;

use self::screen::{Line, Screen};
use self::stage::Stage;
use crate::cli::{FAST, JSON};

/// How long the venue thinks about an order when somebody watches; long enough to see the steps one by one.
const TO_BE_SEEN: Duration = Duration::from_millis(600);

pub(super) fn run(arguments: &ArgMatches) -> anyhow::Result<ExitCode> {
    ensure!(
        given_flags(arguments).is_empty(),
        "a demo takes no settings: it has an instance of its own; `cambist up` takes them"
    );
    let json = arguments.get_flag(JSON);
    let watched = std::io::stdout().is_terminal() && !json;
    let screen = Screen::new(json, watched, watched && !arguments.get_flag(FAST));
    let folder = tempfile::tempdir().context("a temporary folder cannot be made")?;
    let thinking = if screen.takes_its_time() {
        TO_BE_SEEN
    } else {
        Duration::ZERO
    };
    let settings = stage::settings(folder.path(), thinking)?;
    let _telemetry = telemetry::init(&settings, "cambist")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the operating system gives no threads")?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals().context("signals cannot be listened to")?;
        let drain = settings.drain_timeout;
        let stage = Stage::set(settings, &shutdown).await?;
        let shown = tokio::select! {
            shown = show(stage, screen) => shown,
            // Ctrl-C, or a task that broke; then waiting says which.
            () = shutdown.token().cancelled_owned() => Ok(ExitCode::FAILURE),
        };
        shutdown.request();
        shutdown.wait(drain).await?;
        shown
    })
}

async fn show(mut stage: Stage, mut screen: Screen) -> anyhow::Result<ExitCode> {
    day::a_day(&mut stage, &mut screen).await?;
    let report = stage.audit()?;
    let clean = report.is_clean();
    screen.say(&Line::Audit(&report))?;
    if !clean {
        return Ok(ExitCode::FAILURE);
    }
    if report.orders.in_flight() + report.orders.stuck() > 0 {
        bail!("the day is over, and an order is not at its end");
    }
    Ok(ExitCode::SUCCESS)
}
