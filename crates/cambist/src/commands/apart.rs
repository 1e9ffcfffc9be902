//! `cambist serve` and `cambist work`: one service's API or worker, as a process of its own.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ArgMatches;
use contracts::{ServiceName, SystemClock, SystemEntropy};
use service_kit::settings::{Deposits, Loaded};
use service_kit::shutdown::Shutdown;

use crate::cli::SERVICE;
use crate::system::apart::Apart;
use crate::system::{Listening, Role, System};

pub(super) async fn serve(loaded: &Loaded, arguments: &ArgMatches) -> anyhow::Result<ExitCode> {
    let service = service(arguments)?;
    if service == ServiceName::Wallet && loaded.settings.deposits == Deposits::SelfService {
        super::warn_of_own_deposits();
    }
    run(loaded, Role::Api(service), service).await
}

pub(super) async fn work(loaded: &Loaded, arguments: &ArgMatches) -> anyhow::Result<ExitCode> {
    let service = service(arguments)?;
    run(loaded, Role::Worker(service), service).await
}

/// What a process is called among others: `cambist-work-exchanger`, or `cambist` where there is one for everything.
pub(super) fn name_of(command: &str, arguments: &ArgMatches) -> String {
    let service = match command {
        "serve" | "work" => service(arguments).ok(),
        _ => None,
    };
    service.map_or_else(
        || "cambist".to_owned(),
        |service| format!("cambist-{command}-{service}"),
    )
}

fn service(arguments: &ArgMatches) -> anyhow::Result<ServiceName> {
    let name = arguments.get_one::<String>(SERVICE).context("which service?")?;
    name.parse().with_context(|| format!("there is no service {name}"))
}

async fn run(loaded: &Loaded, role: Role, service: ServiceName) -> anyhow::Result<ExitCode> {
    let settings = loaded.settings.clone();
    let shutdown = Shutdown::new();
    shutdown.on_signals().context("signals cannot be listened to")?;
    // Requests in flight have one such time to end, then the work behind them, and then the queues to hear of it.
    let drain = settings.drain_timeout.saturating_mul(3);
    let apart = Apart {
        role,
        service,
        settings,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
    };
    let system = tokio::select! {
        system = System::apart(apart) => system?,
        // Whoever waits for a server that is not there can be told to stop.
        () = shutdown.token().cancelled_owned() => return Ok(ExitCode::SUCCESS),
    };
    let listening = system.start(&shutdown).await?;
    tell(role, listening)?;
    shutdown.wait(drain).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says where it listens, one line for each address, for people and for whoever started it.
fn tell(role: Role, Listening { public, internal }: Listening) -> std::io::Result<()> {
    let mut text = format!("{role} is up.\n\n");
    if let Some(public) = public {
        text.push_str(&format!("  public      http://{public}\n"));
    }
    text.push_str(&format!("  internal    http://{internal}\n\nCtrl-C stops it.\n"));
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
