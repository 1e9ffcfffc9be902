//! `cambist up`: everything in one process.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bc_gateway::Custody;
use contracts::{Clock, Entropy, SystemClock, SystemEntropy};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::{Deposits, Loaded, Secret, Settings};
use service_kit::shutdown::Shutdown;

use crate::secrets;
use crate::system::{
    Address, Databases, Listening, Outside, Parts, Queues, System, establish_hot_wallet, migrate, one_process,
};

/// The name under which the token that `up` makes appears in logs.
const LOCAL_OPERATOR: &str = "local";

pub(super) async fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let settings = loaded.settings.clone();
    one_process(&settings)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let shutdown = Shutdown::new();
    shutdown.on_signals().context("signals cannot be listened to")?;

    let (databases, applied) = migrate(&Address::of(&settings)?, &settings, clock.as_ref(), &entropy).await?;
    for migration in applied {
        tracing::info!(migration, "applied");
    }
    establish_hot_wallet(&databases, &settings, Arc::clone(&clock)).await?;
    let (internal_tokens, custody) = keys(&settings, entropy.as_ref())?;
    let outside = Outside::open(&settings, &custody, &clock, &entropy)?;
    // Requests in flight have one such time to end, and then the work behind them has another.
    let drain = settings.drain_timeout.saturating_mul(2);
    let shared = matches!(databases, Databases::Server(_));
    if shared && (settings.venue_url.is_none() || settings.chain_url.is_none()) {
        tracing::warn!(
            "venue and chain are simulated inside this process: run no second one on this database, and keep {} with it, or \
             name a `cambist simulate` in venue_url and chain_url",
            settings.data_dir.display()
        );
    }
    if settings.deposits == Deposits::SelfService {
        super::warn_of_own_deposits();
    }

    let banner = settings.clone();
    let system = System::assemble(Parts {
        queues: Queues::local(&settings),
        settings,
        databases,
        outside,
        custody,
        internal_tokens,
        clock,
        entropy,
    })?;
    let listening = system.start(&shutdown).await?;
    tell(&banner, listening)?;
    shutdown.wait(drain).await?;
    Ok(ExitCode::SUCCESS)
}

/// The internal token and the seed of the chain's keys: as set, or as made at the first start.
fn keys(settings: &Settings, entropy: &dyn Entropy) -> anyhow::Result<(InternalTokens, Custody)> {
    let kept = |set: &Option<Secret>, name| match set {
        Some(secret) => Ok(secret.clone()),
        None => secrets::kept(&settings.data_dir, name, entropy),
    };
    let own = (
        Caller::Operator(LOCAL_OPERATOR.to_owned()),
        kept(&settings.internal_token, "internal_token")?,
    );
    let tokens = InternalTokens::try_new(settings.internal_tokens.0.iter().cloned().chain([own]))?;
    let custody =
        Custody::try_new(kept(&settings.chain_seed, "chain_seed")?.expose().as_bytes()).context("chain_seed")?;
    Ok((tokens, custody))
}

/// Says where it listens and what to try.
fn tell(settings: &Settings, listening: Listening) -> anyhow::Result<()> {
    let Listening { public, internal } = listening;
    let public = public.context("nobody listens for users")?;
    let data = settings.data_dir.display();
    // One write, so that whoever reads it gets all of it or waits.
    let text = format!(
        r#"Cambist is up.

  public      http://{public}
  internal    http://{internal}   (token in {data}/internal_token)
  data        {data}

Try it, in another terminal:

  curl -s http://{public}/register --json '{{"username":"ada","first_name":"Ada","last_name":"Lovelace","email":"ada@example.com","password":"password"}}'
  TOKEN=$(curl -s http://{public}/login --json '{{"username":"ada","password":"password"}}' | sed 's/.*"token":"\([^"]*\)".*/\1/')
  curl -s -X POST http://{public}/wallet/2 -H "Authorization: Bearer $TOKEN"
  curl -s -X PATCH http://{public}/wallet/2 -H "Authorization: Bearer $TOKEN" --json '{{"fiat_amount": 600}}'
  curl -s http://{public}/buy/2 -H "Authorization: Bearer $TOKEN" --json '{{"fiat_amount": 30}}'
  curl -s http://{public}/wallet/2 -H "Authorization: Bearer $TOKEN"

Ctrl-C stops it. `cambist audit` proves that the books balance.
"#
    );
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
