//! `cambist simulate`: the simulated venue and chain, for processes that run apart.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use contracts::SystemClock;
use service_kit::settings::Loaded;
use service_kit::shutdown::Shutdown;

use crate::simulators::{CHAIN, Simulators, VENUE};

pub(super) async fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let settings = loaded.settings.clone();
    let drain = settings.drain_timeout;
    let shutdown = Shutdown::new();
    shutdown.on_signals().context("signals cannot be listened to")?;
    let address = Simulators::open(settings, Arc::new(SystemClock))?
        .start(&shutdown)
        .await?;
    tell(address)?;
    shutdown.wait(drain).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says where it listens, in one write, for people and for whoever started it.
fn tell(address: SocketAddr) -> std::io::Result<()> {
    let text = format!(
        "cambist simulate is up.\n\n  internal    http://{address}\n\nFor exchanger and bc_gateway, or for `up`:\n\n  \
         CAMBIST_VENUE_URL=http://{address}/{VENUE}\n  CAMBIST_CHAIN_URL=http://{address}/{CHAIN}\n\nCtrl-C stops it.\n"
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
